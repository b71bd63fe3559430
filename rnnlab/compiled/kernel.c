/* The recurrences of torch's three cells over all timesteps of all lanes: what a Python loop of small products and
   element-wise operations does, without what each of these calls costs.

   Made once for float and once, with -DDOUBLE=1, for double. All tensors are contiguous with lanes first, (S, T, B, .).
   Inputs and the gradients that come from above alone may stand otherwise: they have strides by timestep and lane.
   Gradients of weights and inputs are products over all timesteps afterwards, and not done here. States before the first
   step are (S, B, H), or NULL for zeros.
   Sources: Elman 1990; Hochreiter & Schmidhuber 1997 with Gers 2000; Cho 2014 (v3), as torch.nn has them. The
   approximations of exp and tanh are those of Cephes (S. Moshier), to 2 units of the last place. */

#include "parts.h"

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
            if (T) add_product(to, H, delta + s * T * step + first * H, H, room.back, rows, H, H, room.spare);
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
            if (T) add_product(to, H, delta + (s * T * B + first) * G, G, room.back, rows, G, H, room.spare);
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
            if (T) add_product(to, H, delta + (s * T * B + first) * G + H, G, room.back, rows, 3 * H, H, room.spare);
        }
    }
    free(room.all);
    return 0;
}
