/* Value and gradient written by hand, the limit to measure against. Build:
   gcc -O3 -march=native -ffast-math -mprefer-vector-width=512 -shared -fPIC peer.c -lmvec -lm */
#include <stddef.h>

/* sum over i of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2: the gradient at i reads x[i-1],
   x[i] and x[i+1], so one pass without a carried value is enough. */
double rosenbrock(ptrdiff_t n, const double *restrict x, double *restrict g) {
  double first = x[1] - x[0] * x[0], one = 1 - x[0];
  double value = 100 * first * first + one * one;
  g[0] = -400 * x[0] * first - 2 * one;
  for (ptrdiff_t i = 1; i < n - 1; i++) {
    double here = x[i + 1] - x[i] * x[i], rest = 1 - x[i];
    double before = x[i] - x[i - 1] * x[i - 1];
    value += 100 * here * here + rest * rest;
    g[i] = 200 * before - 400 * x[i] * here - 2 * rest;
  }
  g[n - 1] = 200 * (x[n - 1] - x[n - 2] * x[n - 2]);
  return value;
}

/* sum of sin(x) exp(-x^2) + log1p(x^2), eight elements at a time through glibc's vector
   functions (gcc fuses a plain sin and cos into a scalar call). n is a multiple of 8. */
typedef double lanes __attribute__((vector_size(64)));
typedef double loose __attribute__((vector_size(64), aligned(8)));
lanes _ZGVeN8v_sin(lanes), _ZGVeN8v_cos(lanes), _ZGVeN8v_exp(lanes), _ZGVeN8v_log1p(lanes);

double elementary(ptrdiff_t n, const double *restrict x, double *restrict g) {
  lanes total = {0};
  for (ptrdiff_t i = 0; i < n; i += 8) {
    lanes a = *(const loose *)(x + i), square = a * a;
    lanes sine = _ZGVeN8v_sin(a), cosine = _ZGVeN8v_cos(a), bell = _ZGVeN8v_exp(-square);
    total += sine * bell + _ZGVeN8v_log1p(square);
    *(loose *)(g + i) = bell * (cosine - 2 * a * sine) + 2 * a / (1 + square);
  }
  double value = 0;
  for (int k = 0; k < 8; k++) value += total[k];
  return value;
}
