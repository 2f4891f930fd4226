/*
 * door.h - what stands behind gpu.h: one of two ways to answers, and what both keep of an answer
 * under way.
 */
#ifndef GPU_DOOR_H
#define GPU_DOOR_H

#include "gpu/gpu.h"
#include "gpu/think.h"

struct door {
	const char *name;
	/* why there are none: where logits, or sweep, is NULL */
	const char *no_logits, *no_sweep;
	void (*close)(struct gpu *g);
	int (*generate)(struct gpu *g, const struct gpu_request *r, uint32_t *request,
	                struct err *e);
	void (*cancel)(struct gpu *g, uint32_t request, int sequence);
	int (*logits)(struct gpu *g, const int32_t *ids, int n, const struct gpu_adapter *adapter,
	              int n_adapters, float **out, int *vocabulary, struct err *e);
	const cJSON *(*about)(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e);
	int (*sweep)(struct gpu *g, double *bytes_per_s, struct err *e);
	int (*poll_fds)(struct gpu *g, struct pollfd *out, int cap);
	int (*timeout_ms)(struct gpu *g);
	int (*step)(struct gpu *g, struct err *e);
	int (*busy)(const struct gpu *g);
};

/* The beginning of both. */
struct gpu {
	const struct door *door;
	struct gpu_ops ops;
	char top_text[SAMPLER_TOP_MAX][GPU_TOP_TEXT]; /* of the token that is told */
	int n_top_text;
};
/* @text, cut at a whole character, becomes that of alternative @i. */
void door_top_text(struct gpu *g, int i, const char *text, size_t len);

struct gpu *client_open(const struct gpu_options *o, const struct gpu_ops *ops, struct err *e);
struct gpu *remote_open(const struct gpu_options *o, const struct gpu_ops *ops, struct err *e);
bool remote_address(const char *model); /* whether it is an address and no folder */

/* The strings of our environment that a program of ours may have, NULL at the end: what the driver,
 * the loader, the sanitizers and the BLAS read; a key is not among it. */
enum { DOOR_ENV_MAX = 64 };
void door_environment(const char *out[DOOR_ENV_MAX + 1]);
/* The kind that a program of ours named; ERR_IO for a word that is none. */
enum err_kind door_error_kind(const char *name);

/* Polls once for at most @ms or what the door itself wants, and steps. */
int door_turn(struct gpu *g, int ms, struct err *e);

/* One answer under way. `struct answer a = {0}`, then answer_begin(). */
struct answer {
	uint32_t request;
	int sequence;
	bool over; /* done() was called */
	struct think think;
	struct buf text, thought;
	struct buf ids;      /* int32_t[n]; of tokens whose id is known */
	struct buf logprobs; /* float[n] */
	int n;               /* tokens told so far */
	bool ids_known, logprobs_known;
};
void answer_begin(struct answer *a, uint32_t request, int sequence, bool in_thought);
void answer_release(struct answer *a);
/* Tells a piece of text, and the token that it belongs to (@p may be NULL). */
void answer_token(struct answer *a, const struct gpu_ops *ops, int index, const struct picked *p,
                  const char *text, size_t len);
/* Tells text that belongs to tokens which were told before. */
void answer_rest(struct answer *a, const struct gpu_ops *ops, const char *text, size_t len);
/* Thoughts that came by a way of their own. */
void answer_thought(struct answer *a, const struct gpu_ops *ops, const char *text, size_t len);
/* Tells the end. What the caller knows is in @d (figures, end, error); text, thinking, ids and
 * logprobs are filled in here, of ids those that @d has when it has any. */
void answer_end(struct answer *a, const struct gpu_ops *ops, struct gpu_done *d);
/* An end without figures. */
void answer_fail(struct answer *a, const struct gpu_ops *ops, enum gpu_end end,
                 const struct err *why);

#endif
