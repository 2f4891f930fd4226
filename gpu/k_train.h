/*
 * k_train.h - launchers of the training kernels: everything between the matrix products when packed
 * samples go through a layer, forward and back (cuda.md, section 10).
 *
 * C-callable; compiled by nvcc (the device) and by g++ over gpu/emu.h (tests). All pointers are
 * device memory. Letters as in model.h; T rows of a packed batch, of which those from @n on belong
 * to no sample (padding that makes shapes few): mixers leave them alone. Activations that enter or
 * leave a matrix product are bf16; the residual stream, the delta rule and all sums are f32. Twins:
 * tests/t_k_train.cc, in double, straight from qwen35.md section 4 and by finite differences.
 */
#ifndef GPU_K_TRAIN_H
#define GPU_K_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dev_stream_ *dev_stream;

enum {
	TRAIN_CHUNK = 64,     /* tokens of a chunk of the DeltaNet */
	TRAIN_KEY_MAX = 128,  /* largest dk */
	TRAIN_VALUE_MAX = 128 /* largest dv */
};

/* ---- row by row ---- */

/* out[i] = N(x[row[i]]; w) with (1 + w); row NULL: row i; a negative one: zeros. */
void train_norm(dev_stream s, uint16_t *out, int ldo, const float *x, int ldx, const int32_t *row,
                const float *w, int rows, int h, float eps);
/* dx[row[i]] += what dy[i] gives through the norm; as bf16 to dxb as well when not NULL. Rows are
 * different ones; negative ones are left out. */
void train_norm_back(dev_stream s, float *dx, int ldx, uint16_t *dxb, int ldb, const uint16_t *dy,
                     int ldy, const float *x, const int32_t *row, const float *w, int rows, int h,
                     float eps);
/* out = silu(gate) up; gate and up are @width values apart in rows of @ld. Widths and strides are
 * multiples of 8. */
void train_silu_mul(dev_stream s, uint16_t *out, int ldo, const uint16_t *gate_up, int ld,
                    int width, int rows);
/* dgate_up (as gate_up) of dm. */
void train_silu_back(dev_stream s, uint16_t *dgate_up, const uint16_t *dm, int ldm,
                     const uint16_t *gate_up, int ld, int width, int rows);
/* Dropout of an adapter's input (gpu/train_dropout.h): out = x or 0; and back: dx += from or 0. */
void train_drop(dev_stream s, uint16_t *out, int ldo, const uint16_t *x, int ldx, int rows, int in,
                uint64_t key, float p);
void train_drop_add(dev_stream s, uint16_t *dx, int ldx, const uint16_t *from, int ldf, int rows,
                    int in, uint64_t key, float p);

/* Log-probability of each row's label into logp[row[i]], and with @coef dlogits = coef[row[i]] (1 -
 * p) and -coef p. Rows whose row[i] is negative give zeros. */
void train_loss(dev_stream s, const float *logits, int ld, int vocabulary, const int32_t *label,
                const int32_t *row, const float *coef, float *logp, uint16_t *dlogits, int ldd,
                int rows);

/* ---- attention ---- */

struct attention_train {
	int n;                /* rows of samples */
	const int32_t *first; /* [n] first row of the row's sample */
	int H, KV, hd, R;
	float eps;
	const float *rope;            /* [positions][R / 2][2] cos, sin of the angles */
	const float *q_norm, *k_norm; /* [hd], (1 + w) */
	const uint16_t *y; /* rows of ld: per head hd of query, hd of gate; keys; values */
	uint16_t *dy;      /* its gradient, same shape */
	int ld;
	int64_t room;  /* rows that the buffers by head have room for; group = H / KV */
	uint16_t *q;   /* [KV][room][group][hd]: normed, turned, times hd^-1/2 */
	uint16_t *k;   /* [KV][room][hd]: normed, turned */
	uint16_t *o;   /* [KV][room][group][hd]: before the gate */
	float *lse;    /* [KV][room][group]: log of the sum of exp of a row's scores */
	uint16_t *out; /* [n] rows of ldo: o sigmoid(gate) */
	int ldo;
	/* backward */
	const uint16_t *dout; /* [n] rows of ldd */
	int ldd;
	uint16_t *d_o;        /* as o */
	float *dot;           /* as lse: sum of d_o o */
	const float *dq;      /* as q, of the scaled query */
	const float *dk, *dv; /* [KV][room][hd] */
};
/* y to q and k. */
void train_attention_split(dev_stream s, const struct attention_train *a);
/* o to out. */
void train_attention_gate(dev_stream s, const struct attention_train *a);
/* dout to d_o, dot and the gates' part of dy. */
void train_attention_gate_back(dev_stream s, const struct attention_train *a);
/* dq, dk, dv to the rest of dy. */
void train_attention_split_back(dev_stream s, const struct attention_train *a);

/* A strip of a sample: its tokens from..from + tokens - 1 (those from @n on are padding) against
 * its first @keys tokens (@keys beyond a token's own are padding). */
struct attention_strip {
	int row0, n; /* of the sample */
	int from, tokens, keys;
	const float *s;   /* [KV][tokens * group][ld] scores */
	const float *dp;  /* same: gradient of the weights */
	uint16_t *p, *ds; /* same: weights, gradient of the scores; zero where padding */
	int ld;
};
void train_softmax(dev_stream s, const struct attention_train *a, const struct attention_strip *x);
void train_softmax_back(dev_stream s, const struct attention_train *a,
                        const struct attention_strip *x);

/* ---- gated DeltaNet ---- */

struct delta_train {
	int n;                /* rows of samples */
	const int32_t *first; /* [n] first row of the row's sample */
	/* Samples are cut into chunks: chunk c has rows chunk_row[c] .. + chunk_n[c] - 1; sample i
	 * has chunks sample_chunk[i] .. sample_chunk[i + 1] - 1. The chunked kernels work on
	 * samples sample0 .. sample0 + samples - 1, whose chunks chunk0 .. chunk0 + chunks - 1 lie
	 * in places 0 .. chunks - 1 of the buffers by chunk, and whose rows are row0 .. row0 + rows
	 * - 1. */
	const int32_t *chunk_row, *chunk_n, *sample_chunk;
	int sample0, samples, chunk0, chunks, row0, rows;
	int nk, nv, dk, dv, K;
	float eps;
	const uint16_t *y; /* rows of ld: u [2 nk dk + nv dv] | z [nv dv] | a [nv] | b [nv] */
	uint16_t *dy;      /* its gradient */
	int ld;
	const float *conv;            /* [2 nk dk + nv dv][K] */
	const float *a_log, *dt_bias; /* [nv] */
	const float *norm;            /* [dv], plain w */
	float *q, *k, *v;             /* [n][nk dk] twice, [n][nv dv] */
	float *g, *beta;              /* [n][nv] */
	float *W, *U, *P, *X,
		*G;    /* by chunk: [nv][64] of [dk], [dv], [64], [64], 1; X = (I + A)^-1 */
	float *S, *vn; /* by chunk: state at its start [nv][dk][dv], V' [nv][64][dv] */
	float *o;      /* [n][nv dv] */
	uint16_t *out; /* [n] rows of ldo: normed and gated */
	int ldo;
	/* backward */
	const uint16_t *dout; /* [n] rows of ldd */
	int ldd;
	float *d_o;            /* [n][nv dv] */
	float *dS, *dvn;       /* as S (of the state at the chunk's end) and vn */
	float *dq, *d_k, *d_v; /* as q, k, v */
	float *dg, *dbeta;     /* as g, beta */
};
/* y to q, k, v, g, beta; all rows. */
void train_delta_conv(dev_stream s, const struct delta_train *d);
/* Those to o; the chosen samples. @keep: S and vn are written, for going back. */
void train_delta_forward(dev_stream s, const struct delta_train *d, bool keep);
/* o and z to out; all rows. */
void train_delta_gate(dev_stream s, const struct delta_train *d);
/* dout to d_o and z's part of dy, then dq .. dbeta; the chosen samples. */
void train_delta_back(dev_stream s, const struct delta_train *d);
/* dq .. dbeta to the rest of dy; all rows. What dq, d_k, d_v held is used up. */
void train_delta_conv_back(dev_stream s, const struct delta_train *d);

/* ---- parameters ---- */

/* *norm2 = sum of squares of @n values, in double and in a fixed order. @part: TRAIN_SQUARES
 * doubles of scratch. */
enum { TRAIN_SQUARES = 1024 };
void train_squares(dev_stream s, double *norm2, double *part, const float *g, uint64_t n);

/* adamw_update() of gpu/optimizer.h over @n values. */
struct adamw_train {
	float *p;
	const float *g;
	float *m, *v;
	uint64_t n;
	double lr, beta1, beta2, eps, decay; /* decay 0: none */
	double correction1, correction2;     /* 1 - beta^step */
	double scale;
};
void train_adamw(dev_stream s, const struct adamw_train *a);

/* dst[i][j] = bf16(scale src[i][j]), for each of @n entries. */
struct train_copy {
	const float *src; /* [rows][cols] */
	uint16_t *dst;    /* rows of ld */
	int32_t rows, cols, ld;
	float scale;
};
void train_refresh(dev_stream s, const struct train_copy *table, int n);

#ifdef __cplusplus
}
#endif

#endif
