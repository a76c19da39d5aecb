/* Value and gradient written by hand, the limit to measure against. Build:
   gcc -O3 -march=native -ffast-math -mprefer-vector-width=512 -shared -fPIC peer.c -lmvec -lm */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

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

/* The same in single precision, sixteen elements at a time. */
typedef float lanes_f __attribute__((vector_size(64)));
typedef float loose_f __attribute__((vector_size(64), aligned(4)));
lanes_f _ZGVeN16v_sinf(lanes_f), _ZGVeN16v_cosf(lanes_f), _ZGVeN16v_expf(lanes_f);
lanes_f _ZGVeN16v_log1pf(lanes_f);

float elementary_f32(ptrdiff_t n, const float *restrict x, float *restrict g) {
  double value = 0;
  ptrdiff_t whole = n / 16 * 16;
  for (ptrdiff_t from = 0; from < whole; from += 8192) {
    ptrdiff_t to = from + 8192 < whole ? from + 8192 : whole;
    lanes_f total = {0};
    for (ptrdiff_t i = from; i < to; i += 16) {
      lanes_f a = *(const loose_f *)(x + i), square = a * a;
      lanes_f sine = _ZGVeN16v_sinf(a), cosine = _ZGVeN16v_cosf(a);
      lanes_f bell = _ZGVeN16v_expf(-square);
      total += sine * bell + _ZGVeN16v_log1pf(square);
      *(loose_f *)(g + i) = bell * (cosine - 2 * a * sine) + 2 * a / (1 + square);
    }
    for (int k = 0; k < 16; k++) value += total[k];
  }
  for (ptrdiff_t i = whole; i < n; i++) {
    float a = x[i], square = a * a, sine = sinf(a), bell = expf(-square);
    value += sine * bell + log1pf(square);
    g[i] = bell * (cosf(a) - 2 * a * sine) + 2 * a / (1 + square);
  }
  return (float)value;
}

/* Sum of Black-Scholes call prices and its gradient by spot, strike, time, rate and
   volatility. n is a multiple of 8. */
lanes _ZGVeN8v_log(lanes), _ZGVeN8v_erf(lanes);

double black_scholes(ptrdiff_t n, const double *restrict spot, const double *restrict strike,
                     const double *restrict time, const double *restrict rate,
                     const double *restrict vol, double *restrict g_spot,
                     double *restrict g_strike, double *restrict g_time,
                     double *restrict g_rate, double *restrict g_vol) {
  lanes total = {0};
  for (ptrdiff_t i = 0; i < n; i += 8) {
    lanes s = *(const loose *)(spot + i), k = *(const loose *)(strike + i);
    lanes t = *(const loose *)(time + i), r = *(const loose *)(rate + i);
    lanes v = *(const loose *)(vol + i), root;
    for (int q = 0; q < 8; q++) root[q] = __builtin_sqrt(t[q]);
    lanes wide = v * root;
    lanes up = (_ZGVeN8v_log(s / k) + (r + 0.5 * v * v) * t) / wide, down = up - wide;
    lanes n_up = 0.5 + 0.5 * _ZGVeN8v_erf(up * 0.70710678118654752);
    lanes n_down = 0.5 + 0.5 * _ZGVeN8v_erf(down * 0.70710678118654752);
    lanes discount = _ZGVeN8v_exp(-r * t), paid = k * discount * n_down;
    lanes density = 0.39894228040143268 * _ZGVeN8v_exp(-0.5 * up * up);
    total += s * n_up - paid;
    *(loose *)(g_spot + i) = n_up;
    *(loose *)(g_strike + i) = -discount * n_down;
    *(loose *)(g_time + i) = s * density * v / (2 * root) + r * paid;
    *(loose *)(g_rate + i) = t * paid;
    *(loose *)(g_vol + i) = s * density * root;
  }
  double value = 0;
  for (int k = 0; k < 8; k++) value += total[k];
  return value;
}

/* The dense Hessian of rosenbrock, n by n. */
void rosenbrock_hessian(ptrdiff_t n, const double *restrict x, double *restrict h) {
  memset(h, 0, n * n * sizeof *h);
  for (ptrdiff_t i = 0; i < n - 1; i++) {
    h[i * n + i] += 1200 * x[i] * x[i] - 400 * x[i + 1] + 2;
    h[(i + 1) * n + i + 1] += 200;
    h[i * n + i + 1] = h[(i + 1) * n + i] = -400 * x[i];
  }
}

/* Log-likelihood of a Gaussian mixture as in workloads.py, with its gradient: the points
   in blocks of 64 that lie side by side, one mixture component after the other. The
   lower triangles are used as triangles: half the multiplications of full matrices. */
enum { SIDE = 64 };

double mixture(ptrdiff_t n, ptrdiff_t d, ptrdiff_t k, const double *restrict alphas,
               const double *restrict means, const double *restrict icf,
               const double *restrict x, double *restrict g_alphas,
               double *restrict g_means, double *restrict g_icf) {
  ptrdiff_t width = d + d * (d - 1) / 2, slab = d * SIDE;
  double *memory = malloc((2 * k * slab + 2 * slab + k * SIDE + k * d + k) * sizeof *memory);
  double *centred = memory, *turned = centred + k * slab, *points = turned + k * slab;
  double *back = points + slab, *share = back + slab, *scale = share + k * SIDE;
  double *weight = scale + k * d, value = 0;
  memset(g_alphas, 0, k * sizeof *g_alphas);
  memset(g_means, 0, k * d * sizeof *g_means);
  memset(g_icf, 0, k * width * sizeof *g_icf);
  for (ptrdiff_t c = 0; c < k; c++) {
    weight[c] = alphas[c];
    for (ptrdiff_t j = 0; j < d; j++) {
      scale[c * d + j] = exp(icf[c * width + j]);
      weight[c] += icf[c * width + j];
    }
  }
  for (ptrdiff_t first = 0; first < n; first += SIDE) {
    ptrdiff_t here = n - first < SIDE ? n - first : SIDE;
    for (ptrdiff_t j = 0; j < d; j++)
      for (ptrdiff_t i = 0; i < SIDE; i++)
        points[j * SIDE + i] = i < here ? x[(first + i) * d + j] : 0;
    double most[SIDE], sum[SIDE];
    for (int i = 0; i < SIDE; i++) most[i] = -INFINITY, sum[i] = 0;
    for (ptrdiff_t c = 0; c < k; c++) {
      double *a = centred + c * slab, *z = turned + c * slab, *s = share + c * SIDE;
      const double *low = icf + c * width + d;
      for (ptrdiff_t j = 0; j < d; j++) {
        double mean = means[c * d + j], by = scale[c * d + j];
        for (int i = 0; i < SIDE; i++) {
          a[j * SIDE + i] = points[j * SIDE + i] - mean;
          z[j * SIDE + i] = by * a[j * SIDE + i];
        }
      }
      for (ptrdiff_t q = 0; q < d; q++)
        for (ptrdiff_t r = q + 1; r < d; r++, low++)
          for (int i = 0; i < SIDE; i++) z[r * SIDE + i] += *low * a[q * SIDE + i];
      for (int i = 0; i < SIDE; i++) s[i] = 0;
      for (ptrdiff_t j = 0; j < d; j++)
        for (int i = 0; i < SIDE; i++) s[i] += z[j * SIDE + i] * z[j * SIDE + i];
      for (int i = 0; i < SIDE; i++) {
        s[i] = weight[c] - 0.5 * s[i];
        most[i] = s[i] > most[i] ? s[i] : most[i];
      }
    }
    for (ptrdiff_t c = 0; c < k; c++)
      for (int i = 0; i < SIDE; i++) {
        double e = exp(share[c * SIDE + i] - most[i]);
        share[c * SIDE + i] = e, sum[i] += e;
      }
    for (ptrdiff_t i = 0; i < here; i++) value += most[i] + log(sum[i]);
    for (int i = 0; i < SIDE; i++) sum[i] = i < here ? 1 / sum[i] : 0;
    for (ptrdiff_t c = 0; c < k; c++) {
      double *a = centred + c * slab, *z = turned + c * slab, *s = share + c * SIDE;
      const double *low = icf + c * width + d;
      double *g = g_icf + c * width, *g_low = g + d, total = 0;
      for (int i = 0; i < SIDE; i++) s[i] *= sum[i], total += s[i];
      g_alphas[c] += total;
      for (ptrdiff_t j = 0; j < d; j++) {
        double by = scale[c * d + j], dot = 0;
        for (int i = 0; i < SIDE; i++) {
          double w = -s[i] * z[j * SIDE + i];
          z[j * SIDE + i] = w, dot += w * a[j * SIDE + i], back[j * SIDE + i] = by * w;
        }
        g[j] += by * dot + total;
      }
      for (ptrdiff_t q = 0; q < d; q++)
        for (ptrdiff_t r = q + 1; r < d; r++, low++, g_low++) {
          double dot = 0;
          for (int i = 0; i < SIDE; i++) {
            dot += z[r * SIDE + i] * a[q * SIDE + i];
            back[q * SIDE + i] += *low * z[r * SIDE + i];
          }
          *g_low += dot;
        }
      for (ptrdiff_t j = 0; j < d; j++) {
        double dot = 0;
        for (int i = 0; i < SIDE; i++) dot += back[j * SIDE + i];
        g_means[c * d + j] -= dot;
      }
    }
  }
  double most = -INFINITY, sum = 0;
  for (ptrdiff_t c = 0; c < k; c++) most = alphas[c] > most ? alphas[c] : most;
  for (ptrdiff_t c = 0; c < k; c++) sum += exp(alphas[c] - most);
  value -= n * (most + log(sum));
  for (ptrdiff_t c = 0; c < k; c++) {
    g_alphas[c] -= n * exp(alphas[c] - most) / sum;
    for (ptrdiff_t j = 0; j < width; j++) {
      double at = j < d ? scale[c * d + j] : icf[c * width + j];
      value += 0.5 * at * at;
      g_icf[c * width + j] += j < d ? at * at : at;
    }
  }
  free(memory);
  return value;
}
