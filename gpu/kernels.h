/*
 * kernels.h - the decode stages: arguments and launchers, for plain C.
 *
 * A decode step is, per layer, queue_stream (in-projections), queue_delta or queue_attention,
 * queue_stream (out), queue_stream (gate, up), queue_stream (down); before them queue_embed, after
 * them queue_stream (head) and queue_pick
 * (cuda.md sections 2 to 6). What is in a step - tokens, slots, positions, adapters - lies in a
 * struct k_step in device memory, so that launches can be captured once per number of columns.
 * Everything a kernel is given by pointer is device memory unless said otherwise.
 *
 * Columns: a step has up to K_COLUMNS tokens, one column each. A column's values do not depend on
 * the other columns, on their number or on its place among them: equal bits.
 *
 * Padding, made at load: a matrix's rows have ld = K rounded up to 32 values, its rows are rounded
 * up to 16, and what is added is zero. gate|up are stacked with each rounded up to 8 rows. Vectors
 * of activations (struct k_act) have ld values a column too, those beyond K zero (written once, no
 * kernel writes them; k_prepare writes them itself). All pointers aligned to 16 bytes, all strides
 * multiples of 4 values.
 *
 * Precise mode (cuda.md 1.3): activations as high + low bf16 parts (k_act.low), keys and values in
 * f32. A matrix may have a low part of its own (k_matrix.low: weights that were f32 or f16).
 *
 * Source: k_stream.cuh, k_delta.cuh, k_attention.cuh, k_sample.cuh; launchers: k_decode.cu. Twins
 * and tolerances: tests/t_k_decode.cc. Launchers queue and return; errors are cudaGetLastError()'s.
 */
#ifndef GPU_KERNELS_H
#define GPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dev_stream_ *dev_stream; /* a cudaStream_t; NULL in the emulation */

enum {
	K_COLUMNS = 64,
	K_MIX = 4,          /* adapters of a column (LORA_BLEND_MAX) */
	K_DISTINCT = 64,    /* different adapters in a step */
	K_SEGMENTS = 4,     /* modules that are stacked in one matrix */
	K_PAGE = 64,        /* tokens of a page */
	K_HEAD_DIM = 256,   /* largest head dim; above it k_attention cannot be used */
	K_KEY_DIM = 256,    /* largest key dim of DeltaNet */
	K_CONV = 8,         /* largest convolution */
	K_PICK_BLOCK = 1024 /* ids per record of k_pick's first pass */
};

struct k_column {
	int32_t id;       /* -1: slot_token[slot] of k_embed */
	int32_t slot;     /* row of the page table, of slot_token and of the ring */
	int32_t position; /* of the token in its sequence */
	int32_t group;    /* of struct k_step */
	int32_t n_mix;
	struct {
		int32_t distinct; /* into k_step.adapter */
		float weight;
	} mix[K_MIX];
};

/* Consecutive tokens of one slot: columns column..column+n-1, positions position...; at most 16
 * (BACKEND_WINDOW_MAX). */
struct k_group {
	int32_t slot, column, n, position;
	/* Recurrent state: read from state_from; first @replay tokens before @position are walked
	 * (whose rows are still in the ring; nothing is put out), then the group's own. After
	 * @store_after tokens, replayed ones counted, the state is written to state_to; -1: never.
	 * Plain decode: replay 0, n 1, store_after 1. A window that may be cut back: store_after =
	 * replay (or -1 when 0); afterwards the tokens kept are the next step's replay. replay + n
	 * + conv - 1 must not exceed the ring's rows. Same bits whichever way. */
	int32_t state_from, state_to, replay, store_after;
};

struct k_step {
	int32_t n_columns, n_groups;
	int32_t n_rows;     /* rows of logits */
	int32_t n_adapters; /* different ones */
	int32_t n_picks;
	int32_t unused[3];
	int32_t row[K_COLUMNS];      /* column of each row of logits */
	int32_t adapter[K_DISTINCT]; /* numbers: rows of the table that k_lora is given */
	struct k_column column[K_COLUMNS];
	struct k_group group[K_COLUMNS];
};

/* [rows][ld] bf16, padded as said above; low may be NULL. */
struct k_matrix {
	const uint16_t *high, *low;
	int32_t rows, k, ld;
};

/* [columns][ld] bf16; low NULL: not precise. */
struct k_act {
	uint16_t *high, *low;
	int32_t ld;
};

/* Multiprocessors of the device and a few choices that change speed, never values. */
struct k_tuning {
	int processors;
	int fused_max; /* up to so many columns each block does the prologue itself (at most 8) */
	bool early;    /* programmatic launches */
};

/* ---- embedding ---- */

struct k_embed {
	const struct k_step *step;
	struct k_matrix table;     /* [V, h] */
	const int32_t *slot_token; /* [slots] */
	float *x;                  /* out: [columns][ldx] residual */
	int32_t ldx;
};

void queue_embed(const struct k_embed *a, int columns, const struct k_tuning *t, dev_stream s);

/* ---- LoRA beside a matrix ---- */

/* What one adapter adds to one stacked matrix. */
struct k_adapter_stage {
	struct k_matrix a; /* A of the segments, stacked, [sum of ranks][k]; rows 0: nothing */
	int32_t n;
	int32_t unused;
	struct {
		int32_t row, rows; /* rows of the stacked matrix that the module has */
		int32_t rank, at;  /* its first row in a */
		float scale;
		int32_t unused;
		const float *b; /* [rows][rank] */
	} segment[K_SEGMENTS];
};

struct k_lora {
	const struct k_adapter_stage *table; /* NULL: no adapters at all; entry of adapter number i:
	                                        [i * stride] */
	int32_t stride;
	int32_t t_rows; /* of a distinct adapter in t; at least its a.rows rounded up to 16 */
	float *t;       /* [K_DISTINCT][t_rows][K_COLUMNS] scratch */
};

/* ---- weight streaming ---- */

enum k_prologue {
	K_READY, /* x as it is in in */
	K_RMS,   /* x / sqrt(mean x^2 + eps) (1 + norm), of in_x [columns][ld_in_x], norm [k] */
	K_GATED  /* per head of dim values: in_x / sqrt(mean + eps) norm silu(z), norm [dim], z
	            [columns][ld_z] */
};

enum k_epilogue {
	K_STORE,    /* y[column][row] = */
	K_ADD,      /* y[column][row] += (the residual) */
	K_SPLIT,    /* rows below split to the column's row of the ring, the rest to y[column][row -
	               split] */
	K_SILU_MUL, /* rows/2 gate rows, then as many up rows: out[column][i] = silu(gate) up */
	K_LOGITS    /* y[i][row] of column step->row[i]; with K_READY in's column i is row i */
};

struct k_stream {
	const struct k_step *step;
	struct k_matrix w;
	enum k_prologue prologue;
	enum k_epilogue epilogue;

	struct k_act in; /* K_READY: input; else with columns > fused_max: scratch for k_prepare */
	const float *in_x, *norm, *z;
	int32_t ld_in_x, ld_z, dim;
	float eps;
	bool precise; /* low parts of x are used */

	float *y;
	int32_t ld_y;
	int32_t split;
	float *ring; /* [slot][ring_rows][ld_ring] f32: row of token t is t % ring_rows, a power of
	                2 */
	int64_t ring_slot; /* values from slot to slot */
	int32_t ring_rows, ld_ring;
	struct k_act out;

	struct k_lora lora; /* t is filled by the launcher's own first kernel */

	/* Scratch of more than 8 columns: partial sums, k_stream_scratch() values, and counters
	 * that are zero when first used. */
	float *partial;
	uint32_t *counter;
};
/* @columns: a bound on step->n_columns (for K_LOGITS on n_rows): the one it is captured for. */
void queue_stream(const struct k_stream *a, int columns, const struct k_tuning *t, dev_stream s);
/* Values of partial, and counters, that a matrix of @rows needs. */
int64_t k_stream_scratch(int rows, int columns);
int k_stream_counters(int rows);

/* ---- gated DeltaNet ---- */

struct k_delta {
	const struct k_step *step;
	const float *ring; /* as in k_stream: row = u [2 nk dk + nv dv] | a [nv] | b [nv] */
	int64_t ring_slot;
	int32_t ring_rows, ld_ring;
	const float *conv;            /* [channels][conv_k] */
	const float *a_log, *dt_bias; /* [nv] */
	float *state;         /* S [state][nv][dv][dkp], dkp = dk rounded up to 4, padding zero */
	int64_t state_stride; /* values from state to state */
	int32_t nk, nv, dk, dv, conv_k;
	float *o; /* out: [columns][ld_o], value heads one after the other; NULL: not wanted */
	int32_t ld_o;
};
void queue_delta(const struct k_delta *a, int groups, const struct k_tuning *t, dev_stream s);

/* ---- attention ---- */

struct k_attention {
	const struct k_step *step;
	const float
		*qkv; /* [columns][ld_qkv]: per query head query [hd], gate [hd]; keys; values */
	int32_t ld_qkv;
	const float *q_norm, *k_norm; /* [hd] */
	float eps;
	const float *rope; /* [context][rotary/2][2]: cos, sin */
	int32_t heads, kv_heads, hd, rotary;
	/* [page][kv][K_PAGE][hdp], hdp = hd rounded up to 8; bf16, or f32 with kv_f32. The columns'
	 * own keys and values are written to them. */
	void *k_pages, *v_pages;
	bool kv_f32;
	const int32_t *table; /* [slot][table_stride] page numbers */
	int32_t table_stride;
	int32_t parts;     /* of the longest sequence that may come: k_attention_parts(context) */
	float *partial;    /* [columns][kv_heads][groups of 4 query heads][parts][4][hd + 2] */
	uint32_t *counter; /* [columns][kv_heads][groups of 4]; zero when first used */
	struct k_act out;  /* [columns][heads * hd]: attention times sigmoid(gate) */
};
int k_attention_parts(int tokens);
int64_t k_attention_scratch(int columns, int heads, int kv_heads, int hd, int parts);
void queue_attention(const struct k_attention *a, int columns, const struct k_tuning *t,
                     dev_stream s);

/* ---- picks ---- */

/* struct sampler_input (gpu/sampler.h), for the device. */
struct k_pick_input {
	int32_t row;  /* of logits */
	int32_t slot; /* its slot_token is set; -1: none's */
	struct sampling sampling;
	uint64_t position;
	const uint64_t *mask;   /* NULL: all are allowed */
	const int32_t *history; /* prompt, then answer; may be NULL when both are 0 */
	int32_t n_prompt, n_answer;
};

struct k_pick {
	const struct k_step *step; /* n_picks */
	const struct k_pick_input *input;
	const float *logits; /* [rows][ld] */
	int32_t ld, vocabulary;
	int32_t *count; /* [picks][V] zero when first used, zero again afterwards */
	void *scratch;  /* k_pick_scratch_bytes() */
	int32_t *slot_token;
	struct picked *out; /* [picks] */
};
int64_t k_pick_scratch_bytes(int picks, int vocabulary);
/* Equal to sampler_pick() but for the last bits of its sums. id -1 where none may be picked. */
void queue_pick(const struct k_pick *a, int picks, const struct k_tuning *t, dev_stream s);

/* ---- the yardstick ---- */

/* Reads @bytes (a multiple of 16) once, past the caches, and adds the 32-bit words to *sum. */
struct k_sweep {
	const void *p;
	int64_t bytes;
	uint32_t *sum;
};
void queue_sweep(const struct k_sweep *a, int blocks, const struct k_tuning *t, dev_stream s);

#ifdef __cplusplus
}
#endif

#endif
