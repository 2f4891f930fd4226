/*
 * k_prefill.h - launchers of the prefill kernels: everything between the matrix products when many
 * tokens of one sequence go through a layer at once (cuda.md, section 8).
 *
 * C-callable; compiled by nvcc (the device) and by g++ over gpu/emu.h (tests). All pointers are
 * device memory. T tokens at positions position .. position + T - 1 of one slot; other letters as
 * in model.h. Activations are f32; what goes into a matrix product is bf16, high and, where @low is
 * not NULL, low parts (cuda.md 1.3: x = high + low to 16 bits). Twins: tests/t_prefill.cc, in
 * double, straight from qwen35.md section 4.
 */
#ifndef GPU_K_PREFILL_H
#define GPU_K_PREFILL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dev_stream_ *dev_stream;

enum {
	PREFILL_CHUNK = 64,    /* tokens of a chunk of the DeltaNet */
	PREFILL_KEY_MAX = 256, /* largest dk */
	PREFILL_HEAD_MAX = 256 /* largest hd */
};

/* The values of a matrix of model_random() (gpu/random_weight.h): rows of @k in rows of @ld, zero
 * between. */
void prefill_fill(dev_stream s, uint16_t *out, int rows, int k, int ld, uint64_t key);

/* x[t] = embedding[ids[t]], bf16 widened, rows of @ld values; + embedding_low when not NULL. */
void prefill_embed(dev_stream s, float *x, int ldx, const int32_t *ids, const uint16_t *embedding,
                   const uint16_t *embedding_low, int ld, int T, int h);
/* N(x; w) with (1 + w): rows of @ldx values in, of @ldo out. */
void prefill_norm(dev_stream s, uint16_t *high, uint16_t *low, int ldo, const float *x, int ldx,
                  const float *w, int T, int h, float eps);
/* silu(gate) * up, [T][I] each in rows of @ld values. */
void prefill_silu_mul(dev_stream s, uint16_t *high, uint16_t *low, int ldo, const float *gate,
                      const float *up, int ld, int T, int I);
/* y[t][row] += scale * sum_r b[row][r] t[t][r]: what an adapter adds, after t = A x. */
void prefill_lora(dev_stream s, float *y, int ldy, const float *t, int ldt, const float *b,
                  int rows, int rank, int T, float scale);
/* out[i] = x[row[i]], h values. */
void prefill_gather(dev_stream s, float *out, int ldo, const float *x, int ldx, const int32_t *row,
                    int n, int h);

/* ---- attention ---- */
struct attention_piece {
	int T, position;
	int H, KV, hd, hdp, R; /* hdp: hd rounded up to 8 */
	float eps;
	const float *rope;  /* [positions][R / 2][2] cos, sin of the angles */
	const float *q;     /* [T] rows of ld values: per head hd of query, hd of gate */
	const float *k, *v; /* [KV][hd], same rows */
	int ld;
	const float *q_norm, *k_norm; /* [hd], (1 + w) */
	const int32_t *pages;         /* of the slot; all that position + T tokens need */
	void *k_pages, *v_pages;      /* this layer's: [page][KV][64][hdp] */
	bool f32;                     /* pages of f32, else of bf16 */
	float *q_turned;              /* scratch [T][H][hd] */
	uint16_t *high, *low;         /* out: [T][H * hd] in rows of ldo, after the gate */
	int ldo;
};
/* Norms and turns q and k, writes k and v to their pages, attends over all of the slot's keys up to
 * each token. hd <= 256. */
void prefill_attend(dev_stream s, const struct attention_piece *a);

/* ---- gated DeltaNet ---- */
struct delta_piece {
	int T, position;
	int nk, nv, dk, dkp, dv, K; /* dkp: values of a row of the state, padding zero */
	float eps;
	const float *y; /* [T] rows of ld: u [2 nk dk + nv dv] | a [nv] | b [nv] | z [nv dv] */
	int ld;
	const float *conv;            /* [2 nk dk + nv dv][K] */
	const float *a_log, *dt_bias; /* [nv] */
	const float *norm;            /* [dv], plain w */
	float *ring; /* u | a | b of the slot's last tokens, token t in row t % ring_rows */
	int ring_rows, ring_ld;
	float *state;         /* [nv][dv][dkp], read and written */
	bool exact;           /* products as good as f32 (precise mode), else to 7e-6 .. 4e-5 */
	float *scratch;       /* prefill_delta_scratch() floats */
	uint16_t *high, *low; /* out: [T][nv * dv] in rows of ldo, normed and gated */
	int ldo;
};
uint64_t prefill_delta_scratch(int T, int nk, int nv, int dk, int dv);
/* Everything between in_proj and out_proj. dk <= 256, K - 1 <= ring_rows. */
void prefill_delta(dev_stream s, const struct delta_piece *d);

#ifdef __cplusplus
}
#endif

#endif
