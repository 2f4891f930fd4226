/*
 * gpu.h - the wing's door: prompts go in, tokens come out, from our own engine in a process of its
 * own (cadforge-infer), or from an OpenAI-compatible server.
 *
 * Nothing here blocks but gpu_wait(). A device fault, an out-of-memory or a line that breaks is the
 * end of the answers that were under way, each told by done() with words; the engine is started
 * again when next asked.
 */
#ifndef GPU_GPU_H
#define GPU_GPU_H

#include <cjson/cJSON.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "gpu/chat.h"
#include "gpu/sampler.h"
#include "src/base/buf.h"
#include "src/base/err.h"

enum gpu_backend { GPU_AUTO, GPU_CUDA, GPU_CPU };

struct gpu_options {
	const char *libexec_dir; /* holds cadforge-infer and perhaps cadforge-infer-cuda */
	const char *model; /* a folder; http(s)://HOST/v1#NAME; or random:NAME, weights of a size
	                    * of config_named() made on the spot, for benches */
	enum gpu_backend backend;
	const char *dtype;           /* "bf16", "f32", "int8"; NULL: as stored */
	int threads, context, slots; /* 0: the engine's choice */
	bool quiet;                  /* what it says on stderr is dropped */
	double timeout_s;            /* remote: no byte for so long; 0: 60 */
	int retries;                 /* remote: before the first token; default 3 when negative */
};

struct gpu_adapter {
	const char *dir;
	float weight;
};

struct gpu_request {
	/* exactly one of: */
	const cJSON
		*messages; /* chat.h; what other prompts may share is kept computed: up to the end
	                    * of a message, and of each part of a content that is a list of parts */
	const char *text;  /* raw text, added tokens without power */
	const int32_t *ids;
	int n_ids;
	enum chat_thinking thinking;
	const struct gpu_adapter *adapter; /* blended; they must be folders */
	int n_adapters;
	struct sampling sampling;
	int n;          /* answers, 1..64 */
	int max_tokens; /* 0: 4096 */
	double seconds;
	bool ignore_eos, speculate;
	const char *guard; /* file of guard_names_parse(), or NULL */
	const char *const *stop;
	int n_stop;
	const char *draft; /* the previous program, or NULL */
	/* The answer is these tokens; with @forced_begin it only begins with them and goes on as
	 * the sampling says. Not from a server. */
	const int32_t *forced;
	int n_forced;
	bool forced_begin;
};

enum gpu_end { GPU_STOP, GPU_LENGTH, GPU_CANCELLED, GPU_ERROR };

struct gpu_done {
	enum gpu_end end;
	const char *text; /* the whole answer, whole characters */
	size_t text_len;
	const char *thinking;  /* what stood between <think> and </think>, "" when none; not part of
	                          text */
	const int32_t *ids;    /* NULL from a server that gives none */
	const float *logprobs; /* as many; NULL when not known */
	int n;
	/* The token that ended it and is none of @ids, as it was picked (without rivals); NULL:
	 * none did, or it is not known */
	const struct picked *stop;
	int prompt_tokens, cached_tokens, drafted, accepted; /* -1: not known */
	double wait_s, prefill_s, decode_s;                  /* NAN: not known */
	const char *adapter_hash; /* of all adapters in force and their weights: 64 hex digits; NULL
	                           * without, and from a server */
	const char *error;        /* for GPU_ERROR, in words to act on */
	enum err_kind kind;       /* what kind of error that is */
};

/* Called from gpu_step(); what they are given is borrowed for the call. */
struct gpu_ops {
	void *ctx;
	void (*ready)(void *ctx, const cJSON *about); /* {program, backend, device, model, seconds,
	                                                 ...}; again after a restart */
	/* @p NULL when the server tells nothing of single tokens. @in_thought: this text is
	 * thinking. */
	void (*token)(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
	              bool in_thought, const char *text, size_t len);
	void (*done)(void *ctx, uint32_t request, int sequence, const struct gpu_done *d);
};

struct gpu;
/* While token() is called: the text of the alternative picked->top[i], whole characters, cut to
 * GPU_TOP_TEXT - 1 bytes; "" when it has none that is known. */
enum { GPU_TOP_TEXT = 24 };
const char *gpu_top_text(const struct gpu *g, int i);

/* The name of an end: "stop", "length", "cancelled", "error". */
const char *gpu_end_name(enum gpu_end end);

/* Starts the engine and returns at once: what it says of itself comes with ready(), what keeps it
 * from working with the answers that were asked for. GPU_AUTO takes cadforge-infer-cuda when it is
 * there, and cadforge-infer when that says that it lacks a device (ready() then has "instead_of"
 * and "because"). NULL with @e: a model that is neither a folder nor an address, no such program.
 */
struct gpu *gpu_open(const struct gpu_options *o, const struct gpu_ops *ops, struct err *e);
void gpu_close(struct gpu *g);

/* Adds temperature ... top as the programs of ours read them. */
void gpu_sampling_add(cJSON *o, const struct sampling *s);

/* 0 and @request, or -1 with @e: what in the request cannot be. What the engine itself refuses
 * comes as done() of all its sequences. */
int gpu_generate(struct gpu *g, const struct gpu_request *r, uint32_t *request, struct err *e);
void gpu_cancel(struct gpu *g, uint32_t request, int sequence); /* -1: all of it */
/* Blocks until the engine is ready: what ready() was told; borrowed until the next call. NULL with
 * @e: why it cannot work. */
const cJSON *gpu_about(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e);
/* How many bytes a second the device reads from its memory, all of it at once: what decoding is
 * measured against. Blocks; ERR_LACKS from a server. */
int gpu_sweep(struct gpu *g, double *bytes_per_s, struct err *e);
/* Logits of every position, [n, vocabulary]: blocks; @out is the caller's to free. Not from a
 * server (ERR_LACKS). */
int gpu_logits(struct gpu *g, const int32_t *ids, int n, const struct gpu_adapter *adapter,
               int n_adapters, float **out, int *vocabulary, struct err *e);

int gpu_poll_fds(struct gpu *g, struct pollfd *out, int cap);
int gpu_timeout_ms(struct gpu *g); /* -1: none */
/* What is there to be done without waiting. 0; -1 with @e when there is nothing left to talk to and
 * nobody under way who could be told. */
int gpu_step(struct gpu *g, struct err *e);
int gpu_busy(const struct gpu *g); /* answers under way */
/* Polls and steps until nothing is under way or @tick (four times a second; may be NULL) is not 0.
 */
int gpu_wait(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e);

#endif
