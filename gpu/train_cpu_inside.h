/*
 * train_cpu_inside.h - between train_cpu.c (what lives as long as the trainer: parameters, their
 * memory, updates) and train_cpu_pass.c (what a pass needs, forward and back).
 */
#ifndef GPU_TRAIN_CPU_INSIDE_H
#define GPU_TRAIN_CPU_INSIDE_H

#include "gpu/threads.h"
#include "gpu/train.h"
#include "gpu/train_mixers.h"

/* A linear layer with what is learnt of it: y = W x + scale B (A x). */
struct train_linear {
	int out, in; /* out 0: this kind of layer has none */
	const float *w;
	float *dw; /* full: gradient of w */
	int rank;  /* LoRA; 0: no adapter here */
	float scale;
	const float *a, *b; /* [rank][in], [out][rank] */
	float *da, *db;
};

/* A norm and other small things: values, and where their gradient goes (NULL: frozen). */
struct train_vector {
	const float *w;
	float *dw;
};

struct train_layer {
	enum layer_kind kind;
	struct train_linear linear[MODULE_COUNT];
	struct train_vector input_norm, post_norm;
	struct train_vector q_norm, k_norm;             /* attention */
	struct train_vector conv, a_log, dt_bias, norm; /* DeltaNet */
	bool learns;                                    /* something here has a gradient */
	bool learns_before; /* ... of what stands before the mixer's out-projection */
};

struct cpu_trainer {
	struct trainer_base base; /* first */
	struct model_config c;
	struct pool *pool;
	float *slot[PARAM_SLOTS]; /* [base.values] each */
	float *owned;             /* widened copies of the base's tensors (LoRA) */
	struct train_layer *layer;
	struct train_vector final_norm;
	const float *embedding, *head;
	float *d_embedding, *d_head; /* the same when tied; NULL: frozen */
	int lowest;                  /* layer under which nothing learns; full: -1 */
	uint64_t limit_bytes;        /* that may be taken */
	uint64_t fixed_bytes;        /* taken whatever the batch */
	float *room;                 /* a pass's memory */
	size_t room_floats;
};

/* Memory for large arrays, in large pages, zero; NULL: none. */
float *train_room(size_t floats);
void train_room_free(float *p, size_t floats);

/* Floats that a pass of such a batch needs. */
enum pass_mode {
	PASS_FORWARD,  /* log-probabilities alone */
	PASS_KEEP,     /* ... and back; what layers computed is kept */
	PASS_RECOMPUTE /* ... and back; layers are computed again from their input */
};
size_t train_pass_floats(const struct cpu_trainer *t, int rows, int samples, int longest,
                         enum pass_mode mode);
/* The pass itself: @t->room is large enough, ids and labels are in range. */
void train_pass(struct cpu_trainer *t, const struct train_batch *b, int longest,
                enum pass_mode mode, bool adapters, const float *coef, float *logp);

#endif
