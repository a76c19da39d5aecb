/* Value and gradient written by hand, continued: regressions, rows and loops. Built with
   peer.c, by the flags that stand there. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef double lanes __attribute__((vector_size(64)));
typedef double loose __attribute__((vector_size(64), aligned(8)));
typedef float lanes_f __attribute__((vector_size(64)));
typedef float loose_f __attribute__((vector_size(64), aligned(4)));
lanes _ZGVeN8v_sin(lanes), _ZGVeN8v_cos(lanes), _ZGVeN8v_exp(lanes), _ZGVeN8v_log(lanes);
lanes _ZGVeN8v_tanh(lanes), _ZGVeN8v_erf(lanes), _ZGVeN8v_log1p(lanes);
lanes_f _ZGVeN16v_sinf(lanes_f), _ZGVeN16v_expf(lanes_f), _ZGVeN16v_logf(lanes_f);
lanes_f _ZGVeN16v_tanhf(lanes_f), _ZGVeN16v_erff(lanes_f);

static double sum_of(lanes x) {
  double total = 0;
  for (int k = 0; k < 8; k++) total += x[k];
  return total;
}

/* a[i] = b[i] + s c[i]: what memory gives. */
void triad(ptrdiff_t n, double s, double *restrict a, const double *restrict b,
           const double *restrict c) {
  for (ptrdiff_t i = 0; i < n; i++) a[i] = b[i] + s * c[i];
}

/* One function of each element. n is a multiple of 16. */
#define MAP(name, type, wide, width, f)                                         \
  void name(ptrdiff_t n, const type *restrict x, type *restrict y) {            \
    for (ptrdiff_t i = 0; i < n; i += width)                                    \
      *(wide *)(y + i) = f(*(const wide *)(x + i));                             \
  }
MAP(map_exp, double, loose, 8, _ZGVeN8v_exp)
MAP(map_log, double, loose, 8, _ZGVeN8v_log)
MAP(map_sin, double, loose, 8, _ZGVeN8v_sin)
MAP(map_tanh, double, loose, 8, _ZGVeN8v_tanh)
MAP(map_erf, double, loose, 8, _ZGVeN8v_erf)
MAP(map_exp_f32, float, loose_f, 16, _ZGVeN16v_expf)
MAP(map_log_f32, float, loose_f, 16, _ZGVeN16v_logf)
MAP(map_sin_f32, float, loose_f, 16, _ZGVeN16v_sinf)
MAP(map_tanh_f32, float, loose_f, 16, _ZGVeN16v_tanhf)
MAP(map_erf_f32, float, loose_f, 16, _ZGVeN16v_erff)

/* Products of 64 rows with w, then the slopes of these, then rows back onto g: the
   features are read from memory once. */
enum { ROWS = 64 };

static inline void forth(ptrdiff_t rows, ptrdiff_t d, const double *restrict x,
                         const double *restrict w, double *restrict z) {
  ptrdiff_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const double *a = x + i * d, *b = a + d, *c = b + d, *e = c + d;
    double p = 0, q = 0, r = 0, s = 0;
    for (ptrdiff_t j = 0; j < d; j++)
      p += a[j] * w[j], q += b[j] * w[j], r += c[j] * w[j], s += e[j] * w[j];
    z[i] = p, z[i + 1] = q, z[i + 2] = r, z[i + 3] = s;
  }
  for (; i < rows; i++) {
    double p = 0;
    for (ptrdiff_t j = 0; j < d; j++) p += x[i * d + j] * w[j];
    z[i] = p;
  }
}

static inline void back(ptrdiff_t rows, ptrdiff_t d, const double *restrict x,
                        const double *restrict slope, double *restrict g) {
  ptrdiff_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const double *a = x + i * d, *b = a + d, *c = b + d, *e = c + d, *s = slope + i;
    for (ptrdiff_t j = 0; j < d; j++)
      g[j] += s[0] * a[j] + s[1] * b[j] + s[2] * c[j] + s[3] * e[j];
  }
  for (; i < rows; i++)
    for (ptrdiff_t j = 0; j < d; j++) g[j] += slope[i] * x[i * d + j];
}

double logistic(ptrdiff_t n, ptrdiff_t d, const double *restrict w, const double *b,
                const double *restrict x, const double *restrict y, double *restrict g_w,
                double *restrict g_b) {
  double z[ROWS], slope[ROWS], value = 0, by_b = 0;
  memset(g_w, 0, d * sizeof *g_w);
  for (ptrdiff_t first = 0; first < n; first += ROWS) {
    ptrdiff_t rows = n - first < ROWS ? n - first : ROWS;
    forth(rows, d, x + first * d, w, z);
    for (ptrdiff_t i = 0; i < rows; i++) {
      double m = -y[first + i] * (z[i] + *b), e = exp(-fabs(m));
      value += fmax(m, 0) + log1p(e);
      slope[i] = -y[first + i] * (m > 0 ? 1 : e) / (1 + e);
      by_b += slope[i];
    }
    back(rows, d, x + first * d, slope, g_w);
  }
  *g_b = by_b;
  return value;
}

double poisson(ptrdiff_t n, ptrdiff_t d, const double *restrict beta,
               const double *restrict x, const double *restrict y, double *restrict g) {
  double z[ROWS], slope[ROWS], value = 0;
  memset(g, 0, d * sizeof *g);
  for (ptrdiff_t first = 0; first < n; first += ROWS) {
    ptrdiff_t rows = n - first < ROWS ? n - first : ROWS;
    forth(rows, d, x + first * d, beta, z);
    for (ptrdiff_t i = 0; i < rows; i++) {
      double mean = exp(z[i]);
      value += mean - y[first + i] * z[i];
      slope[i] = mean - y[first + i];
    }
    back(rows, d, x + first * d, slope, g);
  }
  for (ptrdiff_t j = 0; j < d; j++) value += 0.5 * beta[j] * beta[j], g[j] += beta[j];
  return value;
}

/* The Hessian of rosenbrock times a vector. */
void rosenbrock_hvp(ptrdiff_t n, const double *restrict x, const double *restrict v,
                    double *restrict h) {
  h[0] = (1200 * x[0] * x[0] - 400 * x[1] + 2) * v[0] - 400 * x[0] * v[1];
  for (ptrdiff_t i = 1; i < n - 1; i++)
    h[i] = (1200 * x[i] * x[i] - 400 * x[i + 1] + 202) * v[i] - 400 * x[i] * v[i + 1] -
           400 * x[i - 1] * v[i - 1];
  h[n - 1] = 200 * v[n - 1] - 400 * x[n - 2] * v[n - 2];
}

/* The Jacobian of tanh(w x) by x. */
void layer_jacobian(ptrdiff_t n, ptrdiff_t d, const double *restrict w,
                    const double *restrict x, double *restrict jacobian) {
  double z[ROWS];
  for (ptrdiff_t first = 0; first < n; first += ROWS) {
    ptrdiff_t rows = n - first < ROWS ? n - first : ROWS;
    forth(rows, d, w + first * d, x, z);
    for (ptrdiff_t i = 0; i < rows; i++) z[i] = tanh(z[i]);
    for (ptrdiff_t i = 0; i < rows; i++)
      for (ptrdiff_t j = 0; j < d; j++)
        jacobian[(first + i) * d + j] = (1 - z[i] * z[i]) * w[(first + i) * d + j];
  }
}

/* The sum of square roots by six steps of Newton's method; the tangent goes along. */
double newton(ptrdiff_t n, const double *restrict x, double *restrict g) {
  double value = 0;
  for (ptrdiff_t i = 0; i < n; i++) {
    double y = x[i], dy = 1;
    for (int k = 0; k < 6; k++) {
      double inverse = 1 / y, q = x[i] * inverse;
      dy = 0.5 * (dy + (1 - q * dy) * inverse);
      y = 0.5 * (y + q);
    }
    value += y, g[i] = dy;
  }
  return value;
}

/* Lotka and Volterra's system by Runge and Kutta's method; u^2 + v^2 of the last state
   and its gradient by four rates and the start. Tangents go along, one a lane: there
   are six, and the numbers they belong to wait for each other anyway. */
double predators(ptrdiff_t steps, const double *rates, const double *start,
                 double *g_rates, double *g_start) {
  double r0 = rates[0], r1 = rates[1], r2 = rates[2], r3 = rates[3], h = 0.01;
  double u = start[0], v = start[1];
  lanes e0 = {1}, e1 = {0, 1}, e2 = {0, 0, 1}, e3 = {0, 0, 0, 1};
  lanes du = {0, 0, 0, 0, 1}, dv = {0, 0, 0, 0, 0, 1};
#define SLOPE(p, q, dp, dq, by_u, by_v, dby_u, dby_v)                               \
  double by_u = p * (r0 - r1 * q), by_v = q * (r2 * p - r3);                        \
  lanes dby_u = (r0 - r1 * q) * dp - (r1 * p) * dq + p * e0 - (p * q) * e1;         \
  lanes dby_v = (r2 * p - r3) * dq + (r2 * q) * dp + (p * q) * e2 - q * e3;
  for (ptrdiff_t i = 0; i < steps; i++) {
    SLOPE(u, v, du, dv, a, p, da, dp)
    double u1 = u + 0.5 * h * a, v1 = v + 0.5 * h * p;
    lanes du1 = du + 0.5 * h * da, dv1 = dv + 0.5 * h * dp;
    SLOPE(u1, v1, du1, dv1, b, q, db, dq)
    double u2 = u + 0.5 * h * b, v2 = v + 0.5 * h * q;
    lanes du2 = du + 0.5 * h * db, dv2 = dv + 0.5 * h * dq;
    SLOPE(u2, v2, du2, dv2, c, r, dc, dr)
    double u3 = u + h * c, v3 = v + h * r;
    lanes du3 = du + h * dc, dv3 = dv + h * dr;
    SLOPE(u3, v3, du3, dv3, d, s, dd, ds)
    u += h / 6 * (a + 2 * b + 2 * c + d), v += h / 6 * (p + 2 * q + 2 * r + s);
    du += h / 6 * (da + 2 * db + 2 * dc + dd), dv += h / 6 * (dp + 2 * dq + 2 * dr + ds);
  }
  lanes g = 2 * u * du + 2 * v * dv;
  for (int k = 0; k < 4; k++) g_rates[k] = g[k];
  g_start[0] = g[4], g_start[1] = g[5];
  return u * u + v * v;
}

/* x = sin(x) a + x again and again, then the sum; 40 elements side by side. n is a
   multiple of 40. */
enum { SIDE = 40 };

double chain(ptrdiff_t steps, ptrdiff_t n, const double *restrict x,
             const double *restrict a, double *restrict g_x, double *restrict g_a) {
  double *sines = malloc(2 * steps * SIDE * sizeof *sines);
  double *cosines = sines + steps * SIDE;
  lanes total = {0};
  for (ptrdiff_t first = 0; first < n; first += SIDE) {
    lanes y[SIDE / 8], by[SIDE / 8], ct[SIDE / 8], ct_by[SIDE / 8];
    for (int k = 0; k < SIDE / 8; k++)
      y[k] = *(const loose *)(x + first + 8 * k), by[k] = *(const loose *)(a + first + 8 * k);
    for (ptrdiff_t t = 0; t < steps; t++)
      for (int k = 0; k < SIDE / 8; k++) {
        lanes sine = _ZGVeN8v_sin(y[k]);
        *(loose *)(sines + t * SIDE + 8 * k) = sine;
        *(loose *)(cosines + t * SIDE + 8 * k) = _ZGVeN8v_cos(y[k]);
        y[k] += sine * by[k];
      }
    for (int k = 0; k < SIDE / 8; k++) total += y[k], ct[k] = (lanes){0} + 1, ct_by[k] = (lanes){0};
    for (ptrdiff_t t = steps - 1; t >= 0; t--)
      for (int k = 0; k < SIDE / 8; k++) {
        ct_by[k] += ct[k] * *(const loose *)(sines + t * SIDE + 8 * k);
        ct[k] += ct[k] * by[k] * *(const loose *)(cosines + t * SIDE + 8 * k);
      }
    for (int k = 0; k < SIDE / 8; k++)
      *(loose *)(g_x + first + 8 * k) = ct[k], *(loose *)(g_a + first + 8 * k) = ct_by[k];
  }
  free(sines);
  return sum_of(total);
}
