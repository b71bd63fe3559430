/* What the recurrences of kernel.c are made of: element-wise functions, products of packed weights, and room. */

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
typedef unsigned long long whole;
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
typedef unsigned int whole;
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
