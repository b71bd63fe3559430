/* The recurrences of torch's three cells over all timesteps of all lanes: what a Python loop of small products and
   element-wise operations does, without what each of these calls costs.

   Made once for float and once, with -DDOUBLE=1, for double. All tensors are contiguous with lanes first, (S, T, B, .).
   Inputs and the gradients that come from above alone may stand otherwise: they have strides by timestep and lane. Gradients of weights and inputs are products over
   all timesteps afterwards, and not done here. States before the first step are (S, B, H), or NULL for zeros.
   Sources: Elman 1990; Hochreiter & Schmidhuber 1997 with Gers 2000; Cho 2014 (v3), as torch.nn has them. The
   approximations of exp and tanh are those of Cephes (S. Moshier), to 2 units of the last place. */

#include <stdlib.h>
#include <string.h>

/* what the registers of this machine hold, and how many rows of a product they take at once */
#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64, MOST_ROWS = 8 };
#elif defined(__AVX__)
enum { VECTOR_BYTES = 32, MOST_ROWS = 4 };
#elif defined(__aarch64__)
enum { VECTOR_BYTES = 16, MOST_ROWS = 8 };
#else
enum { VECTOR_BYTES = 16, MOST_ROWS = 4 };
#endif

#if DOUBLE
typedef double real;
#else
typedef float real;
#endif
enum { WIDTH = VECTOR_BYTES / sizeof(real), COLUMNS = 2 * WIDTH };
typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

typedef struct {
    long steps, lanes, batch, hidden, inputs;
} Shape;

/* (., ., B, H or I): all timesteps and lanes, a step of a lane in one piece; at is NULL where there is none */
typedef struct {
    const real *at;
    long by_step, by_lane;
} Strided;

typedef struct {
    Strided x;
    const real *w_ih, *bias, *w_hh; /* (S, ., I), both biases together (S, .), (S, ., H) */
} Given;

/* Sequences at a time: of small layers so few that what a step reads and writes stays in the nearest cache; weights of
   large ones leave it, and are then read once a step. */
static long block_of(Shape shape) { return shape.hidden <= 128 && shape.batch > 32 ? 32 : shape.batch; }

/* entries of the loop after it do not depend on each other */
#ifdef __clang__
#define APART _Pragma("clang loop vectorize(assume_safety)")
#else
#define APART _Pragma("GCC ivdep")
#endif

/* ---- element-wise. Comparisons are written so that a NaN stays one. */

#if DOUBLE
typedef long long whole;
#define LOWEST -708.0
#define HIGHEST 708.0
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52: what is added to it is rounded to a whole number */
#define LOG2_HIGH 6.93145751953125e-1
#define LOG2_LOW 1.42860682030941723212e-6
enum { EXPONENT_BIAS = 1023, MANTISSA = 52, TERMS = 13, NEWTON = 5 };
static const whole INVERSE = 0x7FDE623822FC16E6;
static const real FACTORIALS[TERMS] = {1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040,
                                       1. / 720, 1. / 120, 1. / 24, 1. / 6, 1. / 2, 1, 1};
#else
typedef int whole;
#define LOWEST -87.0f
#define HIGHEST 87.0f
#define ROUNDER 12582912.0f /* 1.5 * 2^23 */
#define LOG2_HIGH 0.693359375f
#define LOG2_LOW -2.12194440e-4f
enum { EXPONENT_BIAS = 127, MANTISSA = 23, TERMS = 8, NEWTON = 3 };
static const whole INVERSE = 0x7EF311C7;
static const real FACTORIALS[TERMS] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                                       1.6666665459e-1f, 5.0000001201e-1f, 1, 1};
#endif

typedef union {
    real number;
    whole bits;
} Bits;

static inline __attribute__((always_inline)) real exponential(real x) {
    x = x < LOWEST ? LOWEST : x;
    x = x > HIGHEST ? HIGHEST : x;
    Bits shifted = {x * (real)1.4426950408889634074 + ROUNDER}, scale;
    real n = shifted.number - ROUNDER;
    x = x - n * LOG2_HIGH - n * LOG2_LOW;
    real y = FACTORIALS[0];
    for (int k = 1; k < TERMS; k++) y = y * x + FACTORIALS[k];
    scale.bits = (shifted.bits + EXPONENT_BIAS) << MANTISSA;
    return y * scale.number;
}

/* 1 / x of a positive, normal x whose inverse is normal too, by Newton's steps: a fifth of the time of a division */
static inline __attribute__((always_inline)) real inverse(real x) {
    Bits y = {x};
    y.bits = INVERSE - y.bits;
    for (int k = 0; k < NEWTON; k++) y.number = y.number + y.number * (1 - x * y.number);
    return y.number;
}

static inline __attribute__((always_inline)) real sigmoid(real x) { return inverse(1 + exponential(-x)); }

static inline __attribute__((always_inline)) real small_tanh(real x) {
    real s = x * x;
#if DOUBLE
    real p = (-9.64399179425052238628e-1 * s - 9.92877231001918586564e1) * s - 1.61468768441708447952e3;
    real q = ((s + 1.12811678491632931402e2) * s + 2.23548839060100448583e3) * s + 4.84406305325125486048e3;
    return x * s * p * inverse(q) + x;
#else
    real p = (((-5.70498872745e-3f * s + 2.06390887954e-2f) * s - 5.37397155531e-2f) * s + 1.33314422036e-1f) * s;
    return (p - 3.33332819422e-1f) * s * x + x;
#endif
}

static inline __attribute__((always_inline)) real hyperbolic_tangent(real x) {
    real size = x < 0 ? -x : x;
    real far = 1 - 2 * inverse(exponential(2 * size) + 1);
    far = x < 0 ? -far : far;
    real near = small_tanh(x);
    return size > (real)0.625 ? far : near;
}

static const real *step_of(Strided full, long lane, long t) { return full.at + lane * full.by_lane + t * full.by_step; }

/* ---- products: rows (B, K) times a matrix (K, N) that was packed in panels of COLUMNS columns */

static long panels(long n) { return (n + COLUMNS - 1) / COLUMNS; }

/* matrix (K, N) with entry (k, n) at m[k * by_k + n * by_n]; columns beyond N are zeros */
static void pack(real *to, const real *m, long K, long N, long by_k, long by_n) {
    for (long p = 0; p < panels(N); p++)
        for (long k = 0; k < K; k++)
            for (long j = 0; j < COLUMNS; j++) {
                long n = p * COLUMNS + j;
                *to++ = n < N ? m[k * by_k + n * by_n] : 0;
            }
}

#define ROWS_OF(R)                                                                                       \
    static inline __attribute__((always_inline)) void rows##R(                                           \
        real *c, long by_c, const real *a, long by_a, const real *panel, long K) {                       \
        vector left[R], right[R];                                                                        \
        for (int r = 0; r < R; r++) {                                                                    \
            left[r] = *(const vector *)(c + r * by_c);                                                   \
            right[r] = *(const vector *)(c + r * by_c + WIDTH);                                          \
        }                                                                                                \
        for (long k = 0; k < K; k++, panel += COLUMNS) {                                                 \
            vector l = *(const vector *)panel, h = *(const vector *)(panel + WIDTH);                     \
            for (int r = 0; r < R; r++) {                                                                \
                real one = a[r * by_a + k];                                                              \
                left[r] += one * l;                                                                      \
                right[r] += one * h;                                                                     \
            }                                                                                            \
        }                                                                                                \
        for (int r = 0; r < R; r++) {                                                                    \
            *(vector *)(c + r * by_c) = left[r];                                                         \
            *(vector *)(c + r * by_c + WIDTH) = right[r];                                                \
        }                                                                                                \
    }
ROWS_OF(8)
ROWS_OF(4)
ROWS_OF(1)

/* c (B, N) += a (B, K) packed; spare has room for 8 * COLUMNS */
static void add_product(real *c, long by_c, const real *a, long by_a, const real *packed, long B, long K, long N,
                        real *spare) {
    for (long p = 0; p < panels(N); p++) {
        const real *panel = packed + p * K * COLUMNS;
        long first = p * COLUMNS, wide = N - first < COLUMNS ? N - first : COLUMNS;
        for (long b = 0; b < B;) {
            long rows = MOST_ROWS == 8 && B - b >= 8 ? 8 : B - b >= 4 ? 4 : 1;
            real *to = c + b * by_c + first;
            long by = by_c;
            if (wide < COLUMNS) {
                for (long r = 0; r < rows; r++) memcpy(spare + r * COLUMNS, to + r * by_c, wide * sizeof(real));
                to = spare, by = COLUMNS;
            }
            if (rows == 8) rows8(to, by, a + b * by_a, by_a, panel, K);
            else if (rows == 4) rows4(to, by, a + b * by_a, by_a, panel, K);
            else rows1(to, by, a + b * by_a, by_a, panel, K);
            if (wide < COLUMNS)
                for (long r = 0; r < rows; r++)
                    memcpy(c + (b + r) * by_c + first, spare + r * COLUMNS, wide * sizeof(real));
            b += rows;
        }
    }
}

/* rows (B, G) = bias, and + x W_ih^T in the first N columns */
static void start_rows(real *rows, long G, const real *bias, const real *x, long I, const real *packed, long B, long N,
                       real *spare) {
    for (long b = 0; b < B; b++) memcpy(rows + b * G, bias, G * sizeof(real));
    add_product(rows, G, x, I, packed, B, I, N, spare);
}

/* sum += the sum of the rows; a step by itself first, so that rounding does not grow with steps times sequences */
static void add_rows(real *sum, const real *rows, long B, long G) {
    long g = 0;
    for (; g + WIDTH <= G; g += WIDTH) {
        vector step = {0};
        for (long b = 0; b < B; b++) step += *(const vector *)(rows + b * G + g);
        *(vector *)(sum + g) += step;
    }
    for (; g < G; g++) {
        real step = 0;
        for (long b = 0; b < B; b++) step += rows[b * G + g];
        sum[g] += step;
    }
}

/* what a call needs beside its tensors, in one piece; NULL where there is no memory */
typedef struct {
    real *all, *into, *back, *spare, *rows, *one, *two;
} Room;

static int make_room(Room *room, long into, long back, long rows, long state) {
    long spare = 8 * COLUMNS, sizes[] = {into, back, spare, rows, state, state}, total = 0;
    for (int k = 0; k < 6; k++) total += sizes[k] = (sizes[k] + 15) / 16 * 16;
    void *found = NULL;
    if (posix_memalign(&found, 64, total * sizeof(real))) return 0;
    memset(found, 0, total * sizeof(real));
    real **to[] = {&room->into, &room->back, &room->spare, &room->rows, &room->one, &room->two}, *at = found;
    room->all = found;
    for (int k = 0; k < 6; at += sizes[k++]) *to[k] = at;
    return 1;
}

static long packed_size(long K, long N) { return panels(N) * COLUMNS * K; }

#define EACH_BLOCK(shape, lane, first, rows)                                                                  \
    for (long lane = 0, block = block_of(shape), rows; lane < shape.lanes; lane++)                            \
        for (long first = 0; rows = shape.batch - first < block ? shape.batch - first : block, rows > 0; first += block)

/* ---- plain: h = phi(W_ih x + b + W_hh h_before). phi: 0 tanh, 1 relu */

int rnn_forward(Shape shape, Given given, int phi, const real *begin, real *h_all) {
    long T = shape.steps, B = shape.batch, H = shape.hidden, I = shape.inputs, step = B * H;
    Room room;
    if (!make_room(&room, packed_size(I, H), packed_size(H, H), 0, 0)) return 1;
    EACH_BLOCK(shape, s, first, rows) {
        if (!first) {
            pack(room.into, given.w_ih + s * H * I, I, H, 1, I);
            pack(room.back, given.w_hh + s * H * H, H, H, 1, H);
        }
        const real *before = begin ? begin + s * step + first * H : NULL;
        const real *x = given.x.at + s * given.x.by_lane + first * I;
        real *h = h_all + s * T * step + first * H;
        for (long t = 0; t < T; t++, before = h, h += step, x += given.x.by_step) {
            start_rows(h, H, given.bias + s * H, x, I, room.into, rows, H, room.spare);
            if (before) add_product(h, H, before, H, room.back, rows, H, H, room.spare);
            if (phi == 0) {
                APART
                for (long i = 0; i < rows * H; i++) h[i] = hyperbolic_tangent(h[i]);
            } else {
                APART
                for (long i = 0; i < rows * H; i++) h[i] = h[i] < 0 ? 0 : h[i];
            }
        }
    }
    free(room.all);
    return 0;
}

/* delta = dL/da at every step; bias (S, H), zeros, gets its sum; total: dL/dh_t, or NULL; to_begin: dL/d(state before
   the first step), or NULL */
int rnn_backward(Shape shape, int phi, const real *h_all, const real *w_hh, Strided direct, real *delta, real *bias,
                 real *total, real *to_begin) {
    long T = shape.steps, B = shape.batch, H = shape.hidden, step = B * H;
    Room room;
    if (!make_room(&room, 0, packed_size(H, H), 0, block_of(shape) * H)) return 1;
    EACH_BLOCK(shape, s, first, rows) {
        if (!first) pack(room.back, w_hh + s * H * H, H, H, H, 1);
        for (long t = T - 1; t >= 0; t--) {
            long at = (s * T + t) * step + first * H;
            const real *h = h_all + at;
            real *d = delta + at, *sum = total ? total + at : room.one;
            memcpy(sum, step_of(direct, s, t) + first * H, rows * H * sizeof(real));
            if (t < T - 1) add_product(sum, H, d + step, H, room.back, rows, H, H, room.spare);
            if (phi == 0) {
                APART
                for (long i = 0; i < rows * H; i++) d[i] = sum[i] * (1 - h[i] * h[i]);
            } else {
                APART
                for (long i = 0; i < rows * H; i++) d[i] = h[i] > 0 ? sum[i] : sum[i] * 0;
            }
            add_rows(bias + s * H, d, rows, H);
        }
        if (to_begin) {
            real *to = to_begin + s * step + first * H;
            memset(to, 0, rows * H * sizeof(real));
            add_product(to, H, delta + s * T * step + first * H, H, room.back, rows, H, H, room.spare);
        }
    }
    free(room.all);
    return 0;
}

/* ---- LSTM: gates (S, T, B, 4H), i, f, g, o, NULL where no backward pass follows; h and c (S, T, B, H) */

int lstm_forward(Shape shape, Given given, const real *begin_h, const real *begin_c, real *gates, real *h_all,
                 real *c_all) {
    long T = shape.steps, B = shape.batch, H = shape.hidden, I = shape.inputs, step = B * H, G = 4 * H;
    Room room;
    if (!make_room(&room, packed_size(I, G), packed_size(H, G), block_of(shape) * G, block_of(shape) * H)) return 1;
    EACH_BLOCK(shape, s, first, rows) {
        if (!first) {
            pack(room.into, given.w_ih + s * G * I, I, G, 1, I);
            pack(room.back, given.w_hh + s * G * H, H, G, 1, H);
        }
        long at = s * step + first * H;
        const real *before_h = begin_h ? begin_h + at : NULL, *before_c = begin_c ? begin_c + at : room.one;
        const real *x = given.x.at + s * given.x.by_lane + first * I;
        real *h = h_all + s * T * step + first * H, *c = c_all + s * T * step + first * H;
        for (long t = 0; t < T; t++, before_h = h, before_c = c, h += step, c += step, x += given.x.by_step) {
            real *a = gates ? gates + ((s * T + t) * B + first) * G : room.rows;
            start_rows(a, G, given.bias + s * G, x, I, room.into, rows, G, room.spare);
            if (before_h) add_product(a, G, before_h, H, room.back, rows, H, G, room.spare);
            for (long b = 0; b < rows; b++) {
                real *i = a + b * G, *f = i + H, *g = f + H, *o = g + H;
                const real *earlier = before_c + b * H;
                real *new_c = c + b * H, *new_h = h + b * H;
                APART
                for (long j = 0; j < 2 * H; j++) i[j] = sigmoid(i[j]);
                APART
                for (long j = 0; j < H; j++) g[j] = hyperbolic_tangent(g[j]);
                APART
                for (long j = 0; j < H; j++) {
                    o[j] = sigmoid(o[j]);
                    new_c[j] = f[j] * earlier[j] + i[j] * g[j];
                    new_h[j] = o[j] * hyperbolic_tangent(new_c[j]);
                }
            }
        }
    }
    free(room.all);
    return 0;
}

/* delta = dL/d(pre-activation) of i, f, g, o; bias (S, 4H), zeros, gets its sum. direct_c, total_h, total_c, to_h, to_c
   may be absent. total_c is dL/dc_t without the path through h_t. */
int lstm_backward(Shape shape, const real *gates, const real *c_all, const real *w_hh, const real *begin_c,
                  Strided direct_h, Strided direct_c, real *delta, real *bias, real *total_h, real *total_c,
                  real *to_h, real *to_c) {
    long T = shape.steps, B = shape.batch, H = shape.hidden, step = B * H, G = 4 * H;
    Room room;
    if (!make_room(&room, 0, packed_size(G, H), block_of(shape) * H, block_of(shape) * H)) return 1;
    real *held = room.one, *carried = room.two;
    const real *zeros = room.rows;
    EACH_BLOCK(shape, s, first, rows) {
        if (!first) pack(room.back, w_hh + s * G * H, G, H, H, 1);
        memset(carried, 0, rows * H * sizeof(real)); /* full f of the step after */
        for (long t = T - 1; t >= 0; t--) {
            long at = (s * T + t) * step + first * H;
            real *sum_h = total_h ? total_h + at : held, *d_t = delta + 4 * at;
            const real *earlier_c = t ? c_all + at - step : begin_c ? begin_c + s * step + first * H : zeros;
            memcpy(sum_h, step_of(direct_h, s, t) + first * H, rows * H * sizeof(real));
            if (t < T - 1) add_product(sum_h, H, d_t + B * G, G, room.back, rows, G, H, room.spare);
            if (direct_c.at) {
                const real *more = step_of(direct_c, s, t) + first * H;
                APART
                for (long n = 0; n < rows * H; n++) carried[n] += more[n];
            }
            if (total_c) memcpy(total_c + at, carried, rows * H * sizeof(real));
            for (long b = 0; b < rows; b++) {
                const real *i = gates + 4 * at + b * G, *f = i + H, *g = f + H, *o = g + H;
                const real *now = c_all + at + b * H, *before = earlier_c + b * H, *by_h = sum_h + b * H;
                real *d_i = d_t + b * G, *d_f = d_i + H, *d_g = d_f + H, *d_o = d_g + H, *by_c = carried + b * H;
                APART
                for (long j = 0; j < H; j++) {
                    real y = hyperbolic_tangent(now[j]);
                    real full = by_c[j] + by_h[j] * (o[j] * (1 - y * y));
                    d_o[j] = by_h[j] * (y * o[j] * (1 - o[j]));
                    d_i[j] = full * (g[j] * i[j] * (1 - i[j]));
                    d_f[j] = full * (before[j] * f[j] * (1 - f[j]));
                    d_g[j] = full * (i[j] * (1 - g[j] * g[j]));
                    by_c[j] = full * f[j];
                }
            }
            add_rows(bias + s * G, d_t, rows, G);
        }
        if (to_h) {
            real *to = to_h + s * step + first * H;
            memset(to, 0, rows * H * sizeof(real));
            add_product(to, H, delta + (s * T * B + first) * G, G, room.back, rows, G, H, room.spare);
        }
        if (to_c) memcpy(to_c + s * step + first * H, carried, rows * H * sizeof(real));
    }
    free(room.all);
    return 0;
}

/* ---- GRU: kept (S, T, B, 4H) holds n, r, z and b = W_hn h + b_hn, NULL where no backward pass follows. W_ih has the
   rows n, r, z; W_hh r, z, n; the bias n, r, z, b. */

int gru_forward(Shape shape, Given given, const real *begin, real *kept, real *h_all) {
    long T = shape.steps, B = shape.batch, H = shape.hidden, I = shape.inputs, step = B * H, G = 4 * H;
    Room room;
    if (!make_room(&room, packed_size(I, 3 * H), packed_size(H, 3 * H), block_of(shape) * G, H)) return 1;
    EACH_BLOCK(shape, s, first, rows) {
        if (!first) {
            pack(room.into, given.w_ih + s * 3 * H * I, I, 3 * H, 1, I);
            pack(room.back, given.w_hh + s * 3 * H * H, H, 3 * H, 1, H);
        }
        const real *before = begin ? begin + s * step + first * H : NULL;
        const real *x = given.x.at + s * given.x.by_lane + first * I;
        real *h = h_all + s * T * step + first * H;
        for (long t = 0; t < T; t++, before = h, h += step, x += given.x.by_step) {
            real *a = kept ? kept + ((s * T + t) * B + first) * G : room.rows;
            start_rows(a, G, given.bias + s * G, x, I, room.into, rows, 3 * H, room.spare);
            if (before) add_product(a + H, G, before, H, room.back, rows, H, 3 * H, room.spare);
            for (long k = 0; k < rows; k++) {
                real *n = a + k * G, *r = n + H, *b = r + 2 * H, *new = h + k * H;
                const real *z = r + H, *earlier = before ? before + k * H : room.one;
                APART
                for (long j = 0; j < 2 * H; j++) r[j] = sigmoid(r[j]);
                APART
                for (long j = 0; j < H; j++) {
                    n[j] = hyperbolic_tangent(n[j] + r[j] * b[j]);
                    new[j] = n[j] + z[j] * (earlier[j] - n[j]);
                }
            }
        }
    }
    free(room.all);
    return 0;
}

/* delta (S, T, B, 4H): at n from x, at r, at z, and at b; bias (S, 4H), zeros, gets its sum */
int gru_backward(Shape shape, const real *kept, const real *h_all, const real *w_hh, const real *begin,
                 Strided direct, real *delta, real *bias, real *total, real *to_begin) {
    long T = shape.steps, B = shape.batch, H = shape.hidden, step = B * H, G = 4 * H;
    Room room;
    if (!make_room(&room, 0, packed_size(3 * H, H), block_of(shape) * H, block_of(shape) * H)) return 1;
    real *held = room.one, *carried = room.two;
    const real *zeros = room.rows;
    EACH_BLOCK(shape, s, first, rows) {
        if (!first) pack(room.back, w_hh + s * 3 * H * H, 3 * H, H, H, 1);
        memset(carried, 0, rows * H * sizeof(real)); /* total z of the step after */
        for (long t = T - 1; t >= 0; t--) {
            long at = (s * T + t) * step + first * H;
            real *sum = total ? total + at : held, *d_t = delta + 4 * at;
            const real *earlier = t ? h_all + at - step : begin ? begin + s * step + first * H : zeros;
            const real *above = step_of(direct, s, t) + first * H;
            APART
            for (long n = 0; n < rows * H; n++) sum[n] = above[n] + carried[n];
            if (t < T - 1) add_product(sum, H, d_t + B * G + H, G, room.back, rows, 3 * H, H, room.spare);
            for (long k = 0; k < rows; k++) {
                const real *n = kept + 4 * at + k * G, *r = n + H, *z = r + H, *b = z + H;
                const real *before = earlier + k * H, *by_h = sum + k * H;
                real *d_n = d_t + k * G, *d_r = d_n + H, *d_z = d_r + H, *d_b = d_z + H, *on = carried + k * H;
                APART
                for (long j = 0; j < H; j++) {
                    real by_n = by_h[j] * ((1 - z[j]) * (1 - n[j] * n[j]));
                    d_n[j] = by_n;
                    d_b[j] = by_n * r[j];
                    d_r[j] = by_n * (b[j] * r[j] * (1 - r[j]));
                    d_z[j] = by_h[j] * ((before[j] - n[j]) * z[j] * (1 - z[j]));
                    on[j] = by_h[j] * z[j];
                }
            }
            add_rows(bias + s * G, d_t, rows, G);
        }
        if (to_begin) {
            real *to = to_begin + s * step + first * H;
            memcpy(to, carried, rows * H * sizeof(real));
            add_product(to, H, delta + (s * T * B + first) * G + H, G, room.back, rows, 3 * H, H, room.spare);
        }
    }
    free(room.all);
    return 0;
}
