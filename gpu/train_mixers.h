/*
 * train_mixers.h - the two sequence mixers of Qwen3.5 with what going back needs, for the CPU
 * trainer: everything that stands between a layer's in-projections and its out-projection. f32.
 *
 * Rows are the tokens of a packed batch (gpu/train.h): nothing crosses a sample's start. Work is
 * cut into items (sample x head) that do not depend on the number of threads, and sums over rows or
 * samples (gradients of norms, convolutions, A_log) are taken in a fixed order: equal bits, and a
 * sample's outputs are the same with any neighbours. Numbers below 1.2e-38 count as 0. All matrices
 * row-major and close together; kept and scratch 8-byte aligned, of any content.
 * Formulas: qwen35.md section 4; backward of the chunked rule: cuda.md section 10.
 */
#ifndef GPU_TRAIN_MIXERS_H
#define GPU_TRAIN_MIXERS_H

#include "gpu/model.h"
#include "gpu/threads.h"

enum mixer_isa { MIXER_BEST, MIXER_PLAIN, MIXER_AVX2, MIXER_AVX512 };
struct mixer_rows {
	int n, samples;
	const int32_t *start; /* [samples + 1], rising */
	struct pool *pool;
	enum mixer_isa isa; /* MIXER_BEST: of what this processor runs; tests ask for others */
};
/* The version that a call with @isa runs; false in @runs (may be NULL): not on this processor, and
 * then MIXER_BEST is taken. */
enum mixer_isa mixer_version(enum mixer_isa isa, bool *runs);

/* What the mixers can do. */
enum { MIXER_CONV_MAX = 16 }; /* taps of a convolution */

/* ---- gated DeltaNet: from in_proj_{qkv,z,a,b}'s outputs to out_proj's input ---- */

struct delta_weights {
	const float *conv;            /* [channels][K] */
	const float *a_log, *dt_bias; /* [nv] */
	const float *norm;            /* [dv], plain w */
};
struct delta_gradients { /* added to; any may be NULL: not wanted (LoRA wants none) */
	float *conv, *a_log, *dt_bias, *norm;
};

/* Floats that a forward of up to @rows rows in up to @samples samples keeps for going back. */
size_t delta_kept_floats(const struct model_config *c, int rows, int samples);
/* Floats of scratch that either direction needs beside, for a pool of @threads. */
size_t delta_scratch_floats(const struct model_config *c, int rows, int samples, int threads);

/* @u [n][channels], @z [n][nv*dv], @a, @b [n][nv]: read. @y [n][nv*dv]: written. @kept: for
 * delta_backward(), or NULL when there will be none (then @scratch has kept's room as well). */
void delta_forward(const struct model_config *c, const struct mixer_rows *r,
                   const struct delta_weights *w, const float *u, const float *z, const float *a,
                   const float *b, float *y, float *kept, float *scratch);
/* @u, @z, @a, @b, @kept: as the forward had and left them. @dy read; @du, @dz, @da, @db written. */
void delta_backward(const struct model_config *c, const struct mixer_rows *r,
                    const struct delta_weights *w, const float *u, const float *z, const float *a,
                    const float *b, const float *kept, const float *dy, float *du, float *dz,
                    float *da, float *db, const struct delta_gradients *g, float *scratch);

/* ---- gated attention: from q_proj, k_proj, v_proj to o_proj's input ---- */

struct attention_weights {
	const float *q_norm, *k_norm; /* [hd]; (1 + w) */
};
struct attention_gradients { /* added to; may be NULL */
	float *q_norm, *k_norm;
};
size_t attention_kept_floats(const struct model_config *c, int rows, int samples);
size_t attention_scratch_floats(const struct model_config *c, int rows, int samples, int longest,
                                int threads); /* @longest: rows of the longest sample */

/* @q [n][H][2][hd] (query and gate), @k, @v [n][KV*hd]: read. @y [n][H*hd] written. */
void attention_forward(const struct model_config *c, const struct mixer_rows *r,
                       const struct attention_weights *w, const float *q, const float *k,
                       const float *v, float *y, float *kept, float *scratch);
void attention_backward(const struct model_config *c, const struct mixer_rows *r,
                        const struct attention_weights *w, const float *q, const float *k,
                        const float *v, const float *kept, const float *dy, float *dq, float *dk,
                        float *dv, const struct attention_gradients *g, float *scratch);

#endif
