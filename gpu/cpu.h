/*
 * cpu.h - what the CPU backend's two halves share: cpu.c keeps slots, pages, adapters and weights;
 * cpu_forward.c computes. And two doors of its own: how fast this machine reads memory, and a look
 * at what is inside a forward pass.
 *
 * Notation as in model.h. Everything is F32; matrices may be F16, BF16 or int8 and are widened in
 * registers. Strides: a row of n floats is kept row_pad(n) + ROW_PAD apart, zero beyond n, so that
 * kernels read whole vectors and rows of 4 KiB don't all fall on the same lines of the cache.
 *
 * Because each value is a fixed sequence of operations on the tokens before it (cpu_kernels.h), the
 * CPU backend keeps more than backend.h promises: where a prefill is cut makes no difference at
 * all, nor does the number of threads.
 */
#ifndef GPU_CPU_H
#define GPU_CPU_H

#include "gpu/backend.h"
#include "gpu/cpu_kernels.h"
#include "gpu/threads.h"

/* Bytes a second of plain reading of @bytes by @threads (0: as the backend takes), best of a few;
 * 0 when there is no memory for it. Takes about @bytes / 2 GB/s. */
double cpu_read_sweep(int threads, uint64_t bytes);
/* Floating-point operations a second of the product of [rows, k] F32 weights with @cols columns, as
 * prefill computes it; 0 when there is no memory for it. */
double cpu_product_rate(int threads, int rows, int k, int cols);

/* Called with intermediate values: [rows, n], rows @ld apart, under the names of the oracle's
 * traces. Only for tests; NULL switches it off. */
typedef void cpu_trace_fn(void *ctx, int layer, const char *name, const float *v, size_t ld,
                          int rows, int n);
void cpu_trace(struct backend *b, cpu_trace_fn *fn, void *ctx);
/* The recurrent state [nv][dk][dv], compact, of a slot's layer. */
void cpu_state(const struct backend *b, int slot, int layer, float *out);
/* Another version of the kernels, by name, before the first step. 0, or -1: not here. */
int cpu_use_kernels(struct backend *b, const char *name);

/* ---- between cpu.c and cpu_forward.c ---- */

enum {
	CPU_PAGE = 64,       /* tokens of a page of keys and values */
	CPU_COLS = 576,      /* columns of one pass: a piece of prefill and a batch */
	CPU_HEAD_ROWS = 64,  /* rows of logits held at once */
	CPU_ATTEND_COLS = 12 /* query rows that go over a page together */
};

struct cpu_layer {
	enum layer_kind kind;
	int index; /* among the layers of its kind */
	struct mat linear[MODULE_COUNT];
	float *input_norm, *post_norm; /* 1 + w */
	float *q_norm, *k_norm;        /* 1 + w */
	float *conv;                   /* [K][ld_channels] */
	float *minus_a, *dt_bias;      /* -exp(A_log); [nv] */
	float *norm;                   /* [dv] */
};

struct cpu_adapter {
	float *values; /* NULL: dropped, or never there */
	struct cpu_part {
		struct mat a;   /* MAT_NONE: this module has none */
		const float *b; /* B the other way round: [rank][ldb], zero beyond its rows */
		size_t ldb;
		float scale;
	} (*part)[MODULE_COUNT];
	int rank_max;
};

/* A window may be cut back: what it started from, and what it did. */
struct cpu_undo {
	int n;        /* tokens of the window; 0: nothing to undo */
	int position; /* before it */
	float *state; /* as struct cpu_slot's; NULL until the first window */
	/* of each DeltaNet layer: u before the convolution [n][ld_channels], k
	 * [n][nk][row_pad(dk)], d [n][nv][row_pad(dv)], e^g [n][nv] */
	float *u, *k, *d, *decay;
};

struct cpu_slot {
	bool open;
	int position;
	int32_t last;  /* last picked; -1: none */
	float *state;  /* recurrent states of all layers, then their convolution windows */
	int32_t *page; /* [pages a context needs] */
	int n_pages;
	struct cpu_undo undo;
};

struct cpu {
	struct backend base; /* first */
	const struct model *model;
	struct model_config c;
	const struct kernels *kernels;
	struct pool *pool;
	int context, pages_max; /* of a slot */

	struct cpu_layer *layer;
	struct mat head;
	float *final_norm;
	float *inverse_frequency; /* [R / 2] */
	void **owned;             /* copies of weights */
	int n_owned;
	uint64_t weight_bytes;

	struct cpu_slot *slot;
	int n_slots;
	size_t state_floats, recurrent_floats; /* of a slot; of one layer of it */
	size_t ld_channels, ld_key, ld_value;  /* row_pad of channels, dk, dv */

	float *kv;          /* pages: [attention layer][KV][K, V][CPU_PAGE][hd_pad] */
	uint64_t kv_mapped; /* bytes */
	size_t page_floats, hd_pad;
	int n_pages, n_free;
	int32_t *free_page;
	uint16_t *page_users;

	struct cpu_adapter *adapter; /* [n_adapters]; number 1 is the first */
	int n_adapters;

	struct cpu_work *work;    /* cpu_forward.c's */
	struct sampler **sampler; /* one a thread */
	struct picked *picked;
	int n_picked, picked_cap;
	bool pending;

	cpu_trace_fn *trace;
	void *trace_ctx;
};

/* Consecutive columns of a pass: tokens of one slot. */
struct cpu_span {
	int slot, position; /* of its first token */
	int column, n;
	const struct lora_mix *mix;
	bool window;
};

/* Room for passes: 0, or -1 with ERR_MEM. */
int cpu_work_open(struct cpu *b, struct err *e);
void cpu_work_close(struct cpu *b);
/* Room for the adapters' inner values of one pass. */
int cpu_work_reserve(struct cpu *b, const struct cpu_span *span, int n_spans, struct err *e);
int cpu_head_reserve(struct cpu *b, int rows, struct err *e);

/* One pass: @ids [columns]; states, windows, keys and values move on; the residual stream of all
 * columns stays for cpu_head(). Pages are there and are the slots' own. */
void cpu_forward(struct cpu *b, const struct cpu_span *span, int n_spans, const int32_t *ids);
/* Logits of @n <= CPU_HEAD_ROWS columns of the last pass: [n, V], borrowed. */
const float *cpu_head(struct cpu *b, const int *column, int n);
/* The slot as after the first @n of its window. */
void cpu_rewind(struct cpu *b, struct cpu_slot *s, int n);

static inline float *cpu_recurrent(const struct cpu *b, float *state, int delta)
{
	return state + (size_t)delta * b->recurrent_floats;
}

static inline float *cpu_window(const struct cpu *b, float *state, int delta)
{
	return state + (size_t)b->c.n_delta * b->recurrent_floats +
	       (size_t)delta * (size_t)(b->c.conv - 1) * b->ld_channels;
}

/* Keys (or values) of a page for one layer and kv head: [CPU_PAGE][hd_pad]. */
static inline float *cpu_page(const struct cpu *b, int32_t page, int attention, int kv_head,
                              int values)
{
	size_t part =
		((size_t)attention * (size_t)b->c.kv_heads + (size_t)kv_head) * 2 + (size_t)values;
	return b->kv + (size_t)page * b->page_floats + part * CPU_PAGE * b->hd_pad;
}

#endif
