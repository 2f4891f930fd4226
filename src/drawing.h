/*
 * drawing.h - answers drawn by a model on another machine, as bytes: what a worker's engine is,
 * what it is asked, and what it told.
 *
 * An *engine* is known by its kind: the SHA-256 of the model's weights and tokenizer, the backend,
 * the dtype and the context, of all that an answer depends on beside the request. Two engines of
 * one kind give the same answer to the same request, so that it does not matter which of them drew
 * it.
 *
 * A request is a line of JSON: what gpu.h's struct gpu_request says, with adapters by the SHA-256
 * of their files, which travel beside it (queue_blob(), src/queue.h).
 *
 * An answer is what the engine told of it, call by call: token() and done() with all that they were
 * given, packed with Zstandard, so that whoever asked hears it as from an engine of his own.
 *
 * Both are read as a stranger's: every number has its range, every size its bound.
 */
#ifndef SRC_DRAWING_H
#define SRC_DRAWING_H

#include "gpu/gpu.h"
#include "gpu/lora.h"
#include "gpu/wire.h"
#include "src/base/sha256.h"

/* A worker may be silent for so long: it renews while its engine writes. */
#define DRAWING_LEASE_S 15.0
enum {
	DRAWING_ASKED_BYTES_MAX = INFER_JSON_MAX,
	DRAWING_TOLD_BYTES_MAX = 200 << 20, /* of an answer, unpacked */
};

/* ---- engines ---- */

/* Of a model's folder: of its weights (struct model's hash), tokenizer, template and stop tokens;
 * of "random:NAME" its name. ERR_INPUT: neither. */
int drawing_model(const char *model, char out[SHA256_HEX], struct err *e);

struct drawing_engine {
	char model[SHA256_HEX]; /* drawing_model() */
	char name[64];          /* of the model, for people */
	char backend[16], dtype[16], device[160], hash[SHA256_HEX];
	int context, context_asked; /* tokens; asked 0: the engine's choice */
	bool thinks;                /* by default */
};
/* From what the engine said when it was ready. */
void drawing_engine_of(struct drawing_engine *out, const char *model_sha, const char *name,
                       int context_asked, const cJSON *about);
void drawing_kind(const struct drawing_engine *g, char out[SHA256_HEX]);
/* One line. ERR_INPUT: it is none of ours. */
void drawing_engine_write(struct buf *out, const struct drawing_engine *g);
int drawing_engine_read(struct drawing_engine *out, const char *text, struct err *e);

/* ---- what is asked ---- */

struct drawing_adapter {
	char config[SHA256_HEX], weights[SHA256_HEX]; /* of its two files */
	float weight;
};

struct drawing_asked {        /* points into itself: not to be moved */
	struct gpu_request r; /* its adapters and guard are the reader's to fill in */
	struct drawing_adapter adapter[LORA_BLEND_MAX];
	int n_adapters;
	bool guard;
	char kind[SHA256_HEX];
	/* what @r points into */
	cJSON *json;
	int32_t *ids, *forced;
	const char *stop[INFER_STOPS_MAX];
};

/* Appends. Memory running out is seen by buf_failed(). */
void drawing_write(struct buf *out, const char kind[SHA256_HEX], const struct gpu_request *r,
                   const struct drawing_adapter *adapter);
int drawing_read(struct drawing_asked *out, const void *bytes, size_t len, struct err *e);
void drawing_release(struct drawing_asked *a); /* safe on {0} and twice */

/* ---- what was told ---- */

void drawing_tell_token(struct buf *out, const struct gpu *g, int sequence, int index,
                        const struct picked *p, bool in_thought, const char *text, size_t len);
void drawing_tell_done(struct buf *out, int sequence, const struct gpu_done *d);
/* All that was told, ready to be sent. 0, or -1 (ERR_MEM). */
int drawing_pack(struct buf *out, const struct buf *told, struct err *e);

struct drawing_ears {
	void *ctx;
	/* false: no more of this sequence */
	bool (*token)(void *ctx, int sequence, int index, const struct picked *p, bool in_thought,
	              const char *text, size_t len);
	void (*done)(void *ctx, int sequence, const struct gpu_done *d);
};
/* Tells it again; of @n sequences each ends once. ERR_PROTOCOL: it is none of ours, or damaged, and
 * nothing was told. @g: whose gpu_top_text() is set for each token. */
int drawing_tell_again(struct gpu *g, const void *bytes, size_t len, int n,
                       const struct drawing_ears *to, struct err *e);

#endif
