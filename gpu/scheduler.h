/*
 * scheduler.h - several sequences at once on one backend: shared prefill, continuous batching,
 * prefix snapshots, look-up speculation, cancelling at any token.
 *
 * A *request* asks for n answers (*sequences*) to one prompt. scheduler_step() does one step of the
 * backend for whoever is there and calls back; nothing blocks longer than one step. Tokens of a
 * sequence are the same whatever else runs, with and without speculation, and whether or not the
 * prefix was found in the cache.
 */
#ifndef GPU_SCHEDULER_H
#define GPU_SCHEDULER_H

#include "gpu/backend.h"
#include "gpu/guard.h"
#include "gpu/tokenizer.h"

struct scheduler_request {
	const int32_t *prompt; /* copied */
	int n_prompt;
	/* Leading ids that other prompts will share (end of system + task, ...), rising; a snapshot
	 * is kept at each, and prefill is cut there, found or not. */
	const int *head;
	int n_heads;
	struct lora_mix mix;
	const unsigned char
		*mix_key; /* 32 bytes: hash of the adapters and weights in force; NULL for none */
	struct sampling sampling; /* sequence i draws with seed + i */
	int n;                    /* sequences, 1..64 */
	int max_tokens;           /* 0: to the end of the context */
	double seconds;           /* 0: no limit */
	bool ignore_eos;
	const char *const *stop; /* texts that end an answer and are not part of it; copied */
	int n_stop;
	const int32_t *draft; /* text that the answer may repeat, beside the prompt (the previous
	                         program); NULL */
	int n_draft;
	bool speculate;
	const struct guard_names *guard; /* NULL: off; borrowed till the end */
	const int32_t *forced; /* the answer's tokens are these, whatever is picked (replays,
	                        * benches); their log-probabilities are the model's; NULL: off */
	int n_forced;
};

enum sequence_end { SEQUENCE_STOP, SEQUENCE_LENGTH, SEQUENCE_CANCELLED, SEQUENCE_ERROR };

struct sequence_figures {
	int prompt_tokens, cached_tokens, tokens;
	int drafted, accepted; /* by speculation */
	double wait_s, prefill_s, decode_s;
};

struct scheduler_ops {
	void *ctx;
	/* @text: whole characters, may be empty while one is incomplete or a stop text may be
	 * beginning; all of them together are the answer. */
	void (*token)(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
	              const char *text, size_t len);
	/* @error: for SEQUENCE_ERROR. @ids: all tokens of the answer, the stop token not among
	 * them. */
	void (*done)(void *ctx, uint32_t request, int sequence, enum sequence_end end,
	             const int32_t *ids, int n, const struct sequence_figures *f,
	             const char *error);
};

struct scheduler_options {
	int batch;     /* sequences that decode at once; 0: BACKEND_DECODE_MAX */
	int snapshots; /* kept prefixes; 0: what the backend's slots allow */
	int window;    /* tokens drafted at once; 0: 8 */
};

struct scheduler;
struct scheduler *scheduler_open(struct backend *b, const struct tokenizer *t,
                                 const struct scheduler_options *o, const struct scheduler_ops *ops,
                                 struct err *e);
void scheduler_close(struct scheduler *s); /* without calling back */

/* 0 and @request (never 0), or -1 with @e: what in the request cannot be (too long for the context,
 * ids out of range). */
int scheduler_add(struct scheduler *s, const struct scheduler_request *r, uint32_t *request,
                  struct err *e);
/* sequence -1: all of the request. done() is called from here. */
void scheduler_cancel(struct scheduler *s, uint32_t request, int sequence);
/* One step. 1: there is more to do; 0: nothing is left; -1 with @e: the backend is lost, and all
 * sequences have ended with that error. */
int scheduler_step(struct scheduler *s, struct err *e);
/* Drops kept prefixes (an adapter was replaced). */
void scheduler_forget(struct scheduler *s);

#endif
