/* Derivatives written by hand, continued: bundle adjustment and a recurrent network.
   Built with peer.c, by the flags that stand there. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef double lanes __attribute__((vector_size(64)));
lanes _ZGVeN8v_sin(lanes), _ZGVeN8v_cos(lanes), _ZGVeN8v_exp(lanes), _ZGVeN8v_tanh(lanes);

/* The 2 x 15 Jacobian of each observation, eight of them side by side: Rodrigues'
   rotation of the point seen from the camera, its projection and radial distortion.
   n is a multiple of 8. */
static inline void turned_back(const lanes *g, const lanes *axis, const lanes *point,
                               const lanes *swept, lanes angle, lanes cosine, lanes sine,
                               lanes along, lanes *by_turn, lanes *by_point) {
  lanes rest = 1 - cosine, on = axis[0] * g[0] + axis[1] * g[1] + axis[2] * g[2];
  lanes by_angle = {0}, by_axis[3], back = {0};
  for (int k = 0; k < 3; k++) {
    int l = (k + 1) % 3, m = (k + 2) % 3;
    by_angle += g[k] * (cosine * swept[k] - sine * (point[k] - along * axis[k]));
    by_axis[k] = sine * (point[l] * g[m] - point[m] * g[l]) +
                 rest * (along * g[k] + on * point[k]);
    by_point[k] = cosine * g[k] - sine * (axis[l] * g[m] - axis[m] * g[l]) +
                  rest * on * axis[k];
    back += axis[k] * by_axis[k];
  }
  for (int k = 0; k < 3; k++)
    by_turn[k] = axis[k] * by_angle + (by_axis[k] - axis[k] * back) / angle;
}

void bundle(ptrdiff_t n, const double *restrict rows, const double *restrict features,
            double *restrict jacobian) {
  for (ptrdiff_t first = 0; first < n; first += 8) {
    const double *from = rows + first * 15, *seen = features + first * 2;
    double *to = jacobian + first * 30;
    lanes p[15], point[3], axis[3], swept[3], z[3], root;
    for (int j = 0; j < 15; j++)
      for (int k = 0; k < 8; k++) p[j][k] = from[k * 15 + j];
    lanes square = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
    for (int k = 0; k < 8; k++) root[k] = __builtin_sqrt(square[k]);
    lanes sine = _ZGVeN8v_sin(root), cosine = _ZGVeN8v_cos(root), along = {0};
    for (int k = 0; k < 3; k++) {
      point[k] = p[11 + k] - p[3 + k], axis[k] = p[k] / root;
      along += axis[k] * point[k];
    }
    for (int k = 0; k < 3; k++) {
      int l = (k + 1) % 3, m = (k + 2) % 3;
      swept[k] = axis[l] * point[m] - axis[m] * point[l];
      z[k] = point[k] * cosine + swept[k] * sine + axis[k] * along * (1 - cosine);
    }
    lanes inverse = 1 / z[2], flat[2] = {z[0] * inverse, z[1] * inverse};
    lanes q = flat[0] * flat[0] + flat[1] * flat[1];
    lanes radial = 1 + q * (p[9] + q * p[10]), bend = 2 * (p[9] + 2 * q * p[10]);
    for (int i = 0; i < 2; i++) {
      lanes out[15], by_flat[2], feature;
      for (int k = 0; k < 8; k++) feature[k] = seen[k * 2 + i];
      lanes scale = p[14] * p[6];
      for (int j = 0; j < 2; j++) by_flat[j] = scale * flat[i] * bend * flat[j];
      by_flat[i] += scale * radial;
      lanes g[3] = {by_flat[0] * inverse, by_flat[1] * inverse,
                    -(by_flat[0] * flat[0] + by_flat[1] * flat[1]) * inverse};
      turned_back(g, axis, point, swept, root, cosine, sine, along, out, out + 11);
      for (int k = 0; k < 3; k++) out[3 + k] = -out[11 + k];
      out[6] = p[14] * radial * flat[i];
      out[7 + i] = p[14], out[8 - i] = (lanes){0};
      out[9] = scale * q * flat[i], out[10] = out[9] * q;
      out[14] = p[6] * radial * flat[i] + p[7 + i] - feature;
      for (int j = 0; j < 15; j++)
        for (int k = 0; k < 8; k++) to[k * 30 + i * 15 + j] = out[j][k];
    }
  }
}

/* Two layers of 14, in rows of 16: the lanes beyond are zero, and so are their weights. */
enum { BITS = 14, WIDE = 16, LAYERS = 2 };
typedef double row[WIDE] __attribute__((aligned(64)));

typedef struct { /* of one layer at one step: its gates, and what came out */
  row forget, take, show, change, memory, bent, hidden;
} cell;
typedef struct {
  cell layer[LAYERS];
  row x, share;
} moment;

static inline void vector(double *restrict out, const double *restrict x, int hyperbolic) {
  for (int k = 0; k < WIDE; k += 8) {
    lanes at = *(const lanes *)(x + k);
    *(lanes *)(out + k) = hyperbolic ? _ZGVeN8v_tanh(at) : 1 / (1 + _ZGVeN8v_exp(-at));
  }
}

static void padded(double *restrict out, const double *restrict x, ptrdiff_t rows) {
  memset(out, 0, rows * WIDE * sizeof *out);
  for (ptrdiff_t i = 0; i < rows; i++) memcpy(out + i * WIDE, x + i * BITS, BITS * sizeof *x);
}

double recurrent(ptrdiff_t chars, const double *restrict main, const double *restrict extra,
                 const double *restrict state, const double *restrict text,
                 double *restrict g_main, double *restrict g_extra) {
  row w[LAYERS][2][4], by_w[LAYERS][2][4], e[3], by_e[3], s[2 * LAYERS];
  ptrdiff_t steps = chars - 1;
  moment *all = aligned_alloc(64, steps * sizeof *all);
  double *letters = aligned_alloc(64, chars * sizeof(row)), total = 0;
  padded(&w[0][0][0][0], main, LAYERS * 8), padded(&e[0][0], extra, 3);
  padded(&s[0][0], state, 2 * LAYERS), padded(letters, text, chars);
  memset(by_w, 0, sizeof by_w), memset(by_e, 0, sizeof by_e);
  for (ptrdiff_t t = 0; t < steps; t++) {
    moment *at = all + t;
    const double *x = at->x, *follows = letters + (t + 1) * WIDE;
    for (int k = 0; k < WIDE; k++) at->x[k] = letters[t * WIDE + k] * e[0][k];
    for (int i = 0; i < LAYERS; i++) {
      cell *c = &at->layer[i];
      const double *hidden = t ? at[-1].layer[i].hidden : s[2 * i];
      const double *memory = t ? at[-1].layer[i].memory : s[2 * i + 1];
      row inner[4];
      for (int k = 0; k < WIDE; k++) {
        inner[0][k] = x[k] * w[i][0][0][k] + w[i][1][0][k];
        inner[1][k] = hidden[k] * w[i][0][1][k] + w[i][1][1][k];
        inner[2][k] = x[k] * w[i][0][2][k] + w[i][1][2][k];
        inner[3][k] = hidden[k] * w[i][0][3][k] + w[i][1][3][k];
      }
      vector(c->forget, inner[0], 0), vector(c->take, inner[1], 0);
      vector(c->show, inner[2], 0), vector(c->change, inner[3], 1);
      for (int k = 0; k < WIDE; k++)
        c->memory[k] = memory[k] * c->forget[k] + c->take[k] * c->change[k];
      vector(c->bent, c->memory, 1);
      for (int k = 0; k < WIDE; k++) c->hidden[k] = c->show[k] * c->bent[k];
      x = c->hidden;
    }
    row guess;
    double sum = 2, mass = 0, dot = 0;
    for (int k = 0; k < WIDE; k++) guess[k] = x[k] * e[1][k] + e[2][k];
    for (int k = 0; k < WIDE; k += 8) *(lanes *)(at->share + k) = _ZGVeN8v_exp(*(lanes *)(guess + k));
    for (int k = 0; k < BITS; k++) sum += at->share[k], mass += follows[k], dot += follows[k] * guess[k];
    total += dot - mass * log(sum);
    for (int k = 0; k < WIDE; k++) at->share[k] = follows[k] - mass * at->share[k] / sum;
  }
  row by_hidden[LAYERS], by_memory[LAYERS];
  memset(by_hidden, 0, sizeof by_hidden), memset(by_memory, 0, sizeof by_memory);
  double scale = -1.0 / (steps * BITS);
  for (ptrdiff_t t = steps - 1; t >= 0; t--) {
    moment *at = all + t;
    row by_x;
    const double *last = at->layer[LAYERS - 1].hidden;
    for (int k = 0; k < WIDE; k++) {
      double g = k < BITS ? scale * at->share[k] : 0;
      by_e[1][k] += g * last[k], by_e[2][k] += g;
      by_x[k] = g * e[1][k];
    }
    for (int i = LAYERS - 1; i >= 0; i--) {
      cell *c = &at->layer[i];
      const double *x = i ? at->layer[i - 1].hidden : at->x;
      const double *hidden = t ? at[-1].layer[i].hidden : s[2 * i];
      const double *memory = t ? at[-1].layer[i].memory : s[2 * i + 1];
      for (int k = 0; k < WIDE; k++) {
        double g = by_hidden[i][k] + by_x[k];
        double m = by_memory[i][k] + g * c->show[k] * (1 - c->bent[k] * c->bent[k]);
        double forget = m * memory[k] * c->forget[k] * (1 - c->forget[k]);
        double take = m * c->change[k] * c->take[k] * (1 - c->take[k]);
        double show = g * c->bent[k] * c->show[k] * (1 - c->show[k]);
        double change = m * c->take[k] * (1 - c->change[k] * c->change[k]);
        by_w[i][0][0][k] += forget * x[k], by_w[i][1][0][k] += forget;
        by_w[i][0][1][k] += take * hidden[k], by_w[i][1][1][k] += take;
        by_w[i][0][2][k] += show * x[k], by_w[i][1][2][k] += show;
        by_w[i][0][3][k] += change * hidden[k], by_w[i][1][3][k] += change;
        by_memory[i][k] = m * c->forget[k];
        by_hidden[i][k] = take * w[i][0][1][k] + change * w[i][0][3][k];
        by_x[k] = forget * w[i][0][0][k] + show * w[i][0][2][k];
      }
    }
    for (int k = 0; k < WIDE; k++) by_e[0][k] += by_x[k] * letters[t * WIDE + k];
  }
  for (int i = 0; i < LAYERS; i++)
    for (int j = 0; j < 8; j++)
      memcpy(g_main + (i * 8 + j) * BITS, by_w[i][j / 4][j % 4], BITS * sizeof *g_main);
  for (int j = 0; j < 3; j++) memcpy(g_extra + j * BITS, by_e[j], BITS * sizeof *g_extra);
  free(all), free(letters);
  return total * scale;
}
