/*
 * scheduler.h - several sequences at once on one backend: shared prefill, continuous batching,
 * prefix snapshots, look-up speculation, cancelling at any token.
 *
 * A *request* asks for n answers (*sequences*) to one prompt. scheduler_step() does one step of the
 * backend for whoever is there and calls back; nothing blocks longer than one step. Tokens of a
 * sequence are the same whatever else runs, with and without speculation, and whether or not the
 * prefix was found in the cache.
 *
 * A step: one token of every sequence that decodes (with speculation: a window of several), and
 * beside them at most one piece of prefill, so that those who stream do not stall. Prefill is
 * first come first served. It is cut at the heads, at every BACKEND_PIECE tokens counted from the
 * prompt's start and before the prompt's last token, found in the cache or not; at heads and there
 * a copy of the slot is kept (gpu/prefix.h), so that a warm prompt takes one token's step. The
 * sequences of a request start from copies of one slot.
 *
 * Memory: when slots or keys and values run out, kept prefixes go first, then prefills wait, then
 * the youngest sequence gives its slot back and is computed again later, to the same bits (prompt
 * in the same pieces, answer in windows). Only what does not fit alone ends in an error.
 *
 * Speculation: drafts come from gpu/lookup.h, which also has the cost model that decides when to
 * draft: what a step takes is measured by its columns, and columns are added while they bring more
 * tokens a second. A draft's token holds when it is the one that is picked there, drawn with the
 * same seed and position and under the same penalties, mask and guard; so greedy or sampled, the
 * tokens are those of plain decode. Sequences that speculate, are guarded, are forced or have
 * penalties need each token on the host before the next step; all others are queued ahead where
 * the backend's depth allows (what follows a stop is dropped).
 *
 * One thread; callbacks may add and cancel, not step or close.
 */
#ifndef GPU_SCHEDULER_H
#define GPU_SCHEDULER_H

#include "gpu/backend.h"
#include "gpu/guard.h"
#include "gpu/tokenizer.h"

struct scheduler_request {
	const int32_t *prompt; /* copied */
	int n_prompt;
	/* Leading ids that other prompts will share (end of system + task, ...), rising, 1 to
	 * n_prompt, at most SCHEDULER_HEADS; a snapshot is kept at each, and prefill is cut there,
	 * found or not. */
	const int *head;
	int n_heads;
	struct lora_mix mix;
	const unsigned char *mix_key; /* 32 bytes: hash of the adapters and weights in force; NULL
	                               * for none. Adapters without it: nothing is kept or found */
	struct sampling sampling;     /* sequence i draws with seed + i */
	int n;                        /* sequences, 1..64 */
	int max_tokens;               /* 0: to the end of the context */
	double seconds;               /* from scheduler_add() on, waiting included; 0: no limit */
	bool ignore_eos;
	const char *const *stop; /* texts that end an answer and are not part of it; copied */
	int n_stop;
	const int32_t *draft; /* text that the answer may repeat, beside the prompt (the previous
	                         program); NULL */
	int n_draft;
	bool speculate;
	/* Not asked for tokens that are forced, but for those after forced_begin. */
	const struct guard_names *guard; /* NULL: off; borrowed till the end */
	const int32_t *forced; /* the answer's tokens are these (replays, benches), by a mask that
	                        * leaves no other: log-probabilities and rivals are the model's. The
	                        * answer ends with the last (SEQUENCE_LENGTH), but with
	                        * forced_begin: then it goes on freely. Copied; NULL: off */
	int n_forced;
	bool forced_begin;
};

enum { SCHEDULER_HEADS = 64, SCHEDULER_STOPS = 64, SCHEDULER_STOP_BYTES = 4096 };

enum sequence_end { SEQUENCE_STOP, SEQUENCE_LENGTH, SEQUENCE_CANCELLED, SEQUENCE_ERROR };

struct sequence_figures {
	int prompt_tokens, cached_tokens, tokens; /* cached: found, or computed for a sister */
	int drafted, accepted;                    /* by speculation */
	/* till its prefill began; till its first token; till its end */
	double wait_s, prefill_s, decode_s;
	/* The stop id that ended it, which is none of its tokens, as it was picked; NULL: none did.
	 * Borrowed for the call */
	const struct picked *stop;
};

struct scheduler_ops {
	void *ctx;
	/* @text: whole characters, special tokens as their text; may be empty while one is
	 * incomplete or a stop text may be beginning; all of them together are the answer. What is
	 * still held when the answer ends other than by a token (stop id, cancelled, seconds,
	 * error) comes in a last call with @p NULL and index -1. */
	void (*token)(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
	              const char *text, size_t len);
	/* @error: for SEQUENCE_ERROR. @ids: all tokens of the answer, the stop token not among
	 * them (those that spelt a stop text are). */
	void (*done)(void *ctx, uint32_t request, int sequence, enum sequence_end end,
	             const int32_t *ids, int n, const struct sequence_figures *f,
	             const char *error);
};

struct scheduler_options {
	int batch;      /* sequences that decode at once; 0: BACKEND_DECODE_MAX */
	int snapshots;  /* kept prefixes; 0: what the backend's slots allow; -1: none */
	int window;     /* tokens drafted at once, at most; 0: BACKEND_WINDOW_MAX - 1; -1: none */
	const int *eos; /* ids that end an answer beside tokenizer_stops(): the model_config's */
	int n_eos;
};

struct scheduler;
/* @t NULL: no text, no stop ids but options->eos, neither stop texts nor guard. All are borrowed
 * till the end. */
struct scheduler *scheduler_open(struct backend *b, const struct tokenizer *t,
                                 const struct scheduler_options *o, const struct scheduler_ops *ops,
                                 struct err *e);
void scheduler_close(struct scheduler *s); /* without calling back */

/* 0 and @request (never 0), or -1 with @e: what in the request cannot be (too long for the context,
 * ids out of range). */
int scheduler_add(struct scheduler *s, const struct scheduler_request *r, uint32_t *request,
                  struct err *e);
/* sequence -1: all of the request. done() is called from here. What is not there is no error. */
void scheduler_cancel(struct scheduler *s, uint32_t request, int sequence);
/* One step. 1: there is more to do; 0: nothing is left; -1 with @e: the backend is lost, and all
 * sequences have ended with that error. */
int scheduler_step(struct scheduler *s, struct err *e);
/* Drops kept prefixes (an adapter was replaced). */
void scheduler_forget(struct scheduler *s);

#endif
