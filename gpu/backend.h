/*
 * backend.h - one model on one device: slots, adapters, forward passes, picks. The one place where
 * CPU and CUDA differ.
 *
 * A *slot* is the timeline of one sequence: recurrent states, convolution windows, keys and values,
 * a position. A *step* feeds consecutive tokens to any number of slots at once (*runs*), and picks
 * tokens from rows of logits. Steps are queued with backend_submit() and come back in order with
 * backend_collect(); a backend of depth 1 computes within submit.
 *
 * Promise (engine and tests build on it): for a given backend, dtype and adapters the values of a
 * row depend on the tokens before it in its slot and on where its prefill was cut (struct run), on
 * nothing else: not on what else is in the step, not on the batch's size, not on whether the tokens
 * came one by one or in a window of up to BACKEND_WINDOW_MAX, not on copies of slots. Equal bits.
 *
 * Not thread-safe: one caller.
 */
#ifndef GPU_BACKEND_H
#define GPU_BACKEND_H

#include "gpu/lora.h"
#include "gpu/sampler.h"

enum {
	BACKEND_WINDOW_MAX = 16, /* tokens of a run that may be cut back, and that are computed as
	                            decoding would */
	BACKEND_DECODE_MAX = 64, /* columns of a step that are computed as decoding would */
	BACKEND_PIECE = 512      /* longest prefill run that one step takes */
};

enum backend_dtype { BACKEND_AS_STORED, BACKEND_BF16, BACKEND_F32, BACKEND_INT8 };

struct backend_options {
	enum backend_dtype dtype;
	int threads;       /* 0: as many as the process may use */
	int slots;         /* slots at once, snapshots included; 0: 64 */
	int context;       /* tokens a slot may hold; 0: the model's own, at most 32768 */
	uint64_t kv_bytes; /* memory for keys and values of all slots; 0: a share of what is free */
	bool precise;      /* CUDA: x as high and low bf16 parts (cuda.md, 1.3) */
};

enum rows { ROWS_NONE, ROWS_LAST, ROWS_ALL };

/* Consecutive tokens of one slot; a slot is in at most one run of a step. */
struct run {
	int slot;
	int n;              /* 1..BACKEND_PIECE */
	const int32_t *ids; /* NULL with n = 1: the token last picked for this slot (struct pick),
	                     * which may still be on the device */
	struct lora_mix mix;
	enum rows rows; /* whose logits are wanted */
	bool window;    /* n <= BACKEND_WINDOW_MAX; may be cut back by backend_keep(). Decoding and
	                 * windows are computed    alike; a prefill run (neither n = 1 nor window) may
	                 * be    computed otherwise, and where it is    cut may matter for the last bits:
	                 * so    callers cut the same prompt the same way */
	float *logits;  /* NULL, or [rows, V], written by the time of collect */
};

struct pick {
	int run, row; /* row of that run's tokens, 0..n-1; it must be among its rows */
	struct sampler_input input;
};

struct step {
	const struct run *run;
	int n_runs;
	const struct pick *pick;
	int n_picks;
};

struct backend_figures {
	char device[160]; /* for people */
	uint64_t weight_bytes, slot_bytes, kv_bytes_per_token, kv_bytes_free;
	int slots_free, context, threads;
	int vocabulary; /* rows of the head: values of a row of logits */
};

struct backend; /* starts with const struct backend_ops *ops */

struct backend_ops {
	const char *name; /* "cpu", "cuda" */
	int depth;        /* steps that may be queued before one is collected */
	void (*close)(struct backend *b);
	void (*figures)(const struct backend *b, struct backend_figures *out);
	/* A new slot at position 0, or a copy of @from (-1: none) as it stands (keys and values are
	 * shared until one of them writes): its number, or -1 with ERR_MEM in words when there is
	 * no room. */
	int (*slot_open)(struct backend *b, int from, struct err *e);
	void (*slot_close)(struct backend *b, int slot);
	int (*slot_position)(const struct backend *b, int slot); /* tokens it has taken */
	/* After a window of n tokens: the slot is as if only the first @n_kept (1..n) had been fed.
	 */
	int (*keep)(struct backend *b, int slot, int n_kept, struct err *e);
	/* The adapter's values are copied to the device; its number, from 1, or -1. Takes effect at
	 * once in any step that names it. */
	int (*adapter_add)(struct backend *b, const struct adapter *a, struct err *e);
	void (*adapter_drop)(struct backend *b, int adapter);
	/* 0, or -1: ERR_USAGE for a step that breaks the rules above, ERR_MEM when keys and values
	 * don't fit, ERR_LOST when the device failed (then close it). Nothing of a refused step is
	 * done. */
	int (*submit)(struct backend *b, const struct step *s, struct err *e);
	/* The picks of the oldest queued step, in order. A pick that cannot be made has id -1 (all
	 * masked, NaN). */
	int (*collect)(struct backend *b, struct picked *out, struct err *e);
};

struct backend {
	const struct backend_ops *ops;
};

/* @m stays the caller's and must outlive the backend. NULL with @e. */
struct backend *cpu_open(const struct model *m, const struct backend_options *o, struct err *e);
/* Only in programs that link CUDA. ERR_LACKS when there is no device, with the driver's own words.
 */
struct backend *cuda_open(const struct model *m, const struct backend_options *o, struct err *e);

#endif
