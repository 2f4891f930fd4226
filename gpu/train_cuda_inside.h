/*
 * train_cuda_inside.h - what the parts of the CUDA trainer share: train_cuda_load.c (memory plan,
 * weights, parameters), train_cuda_layer.c (the order of kernels and products in a layer), and
 * train_cuda.c (passes and the trainer's other verbs).
 *
 * A linear stage is one matrix of stacked modules, as in the CUDA backend, with the adapters in its
 * own rows: W is stored as [rows][kp + ext], its last ext columns hold s B of each module (zero in
 * other modules' rows), and the input has t = A x in the same columns, so that y = W x + s B t is
 * one product; going back, e [W | s B] gives dx and s e B at once.
 */
#ifndef GPU_TRAIN_CUDA_INSIDE_H
#define GPU_TRAIN_CUDA_INSIDE_H

#include "gpu/device.h"
#include "gpu/k_train.h"
#include "gpu/train.h"

enum {
	TRAIN_HEAD_ROWS = 512,   /* rows of logits at once */
	TRAIN_STRIP = 512,       /* query tokens of attention at once */
	TRAIN_ROUND = 64,        /* what strips, keys and rows of logits are rounded up to */
	TRAIN_ROWS_MOST = 65024, /* a grid's second side ends at 65,535 */
	TRAIN_STAGING_BYTES = 32 << 20
};
/* Marks of a pass, for benches: begin, head done, all done. */
enum { TRAIN_MARK_BEGIN, TRAIN_MARK_HEAD, TRAIN_MARK_END };

enum site_kind { SITE_IN, SITE_OUT, SITE_GATE_UP, SITE_DOWN, SITES };

struct site {
	uint16_t *w; /* [rows][ld], ld = kp + ext */
	uint16_t *a; /* [ext][kp]: A of the modules; NULL: no adapters */
	int rows, k, kp, ext, ld;
	int n;
	struct {
		enum module module;
		int row, rows;
		int rank, at; /* rank 0: none; its columns of ext */
		float scale;
		uint64_t pa, pb; /* places of A and B in the flat buffers */
	} m[4];
};

/* What going back needs of a layer beside its input. */
struct kept {
	uint16_t *in; /* in-projections' outputs [room][rows of SITE_IN] */
	float *mid;   /* residual between mixer and MLP */
	uint16_t *gu; /* gate and up [room][2 ip] */
	uint16_t *o;  /* attention before its gate, by head */
	float *lse;
};

struct train_layer {
	enum layer_kind kind;
	struct site site[SITES];
	const float *input_norm, *post_norm;
	const float *q_norm, *k_norm;               /* attention */
	const float *conv, *a_log, *dt_bias, *norm; /* DeltaNet */
	struct kept kept;                           /* all the same one when recomputing */
};

struct train_cuda {
	struct trainer_base base;
	struct device *device;
	dev_stream stream;
	bool recompute, stale;  /* stale: bf16 copies lag behind the values */
	bool adapters;          /* of the pass under way */
	float dropout;          /* likewise: only where there is going back */
	int rows, room;         /* planned; and what buffers have room for */
	int h, hp, ip, longest; /* longest sample: rows or the model's context */
	int chunks_most;        /* chunks that the DeltaNet's buffers hold */
	int ld_act;             /* widest input of a stage */

	void *arena;
	uint64_t arena_bytes, weight_bytes;
	uint16_t *embedding, *head; /* [V][hp] */
	const float *final_norm, *rope;
	struct train_layer *layer;
	float **x; /* [layers + 1] residual at each layer's start, [room][hp] */

	/* parameters: flat, each padded to 8 values */
	float *value, *gradient, *moment1, *moment2;
	uint64_t flat;
	uint64_t *place; /* [params] */
	struct train_copy *copies;
	int n_copies;
	double *squares; /* 1 + TRAIN_SQUARES */

	/* scratch */
	uint16_t *xin, *y, *m; /* inputs of stages, with their t */
	uint16_t *e, *d;       /* gradient of a stage's output, and of its input */
	uint16_t *drop;
	float *dx;
	uint16_t *dxb; /* dx rounded */
	uint16_t *q, *k, *d_o, *p, *ds;
	float *s, *dp, *dot, *dq, *dk, *dv;
	struct delta_train delta; /* its buffers */
	float *logits;
	uint16_t *dlogits, *head_x, *head_d;

	/* the batch */
	int32_t *ids, *first, *pick, *label, *chunk_row, *chunk_n, *sample_chunk;
	float *coef, *logp;

	/* host */
	char *staging; /* pinned */
	uint64_t staged;
	char *pinned; /* pinned mirror of the batch's tables, and logp */
	uint64_t pinned_bytes;
	int n, padded, samples, picks; /* of the pass under way; padded: rows of products */
	const int32_t *start;
	uint64_t seed;
	int32_t *host_sample_chunk; /* [rows + 2], pinned */
};

static inline uint64_t round_up(uint64_t n, uint64_t multiple)
{
	return (n + multiple - 1) / multiple * multiple;
}

/* ---- train_cuda_load.c ---- */

/* Plans memory, takes it and loads weights and first values. */
int train_cuda_load(struct train_cuda *t, struct err *e);
void train_cuda_release(struct train_cuda *t);
/* Pinned memory for @bytes to be uploaded next; good until it is full again. */
void *train_cuda_stage(struct train_cuda *t, uint64_t bytes, struct err *e);

/* ---- train_cuda_layer.c ---- */

/* x[l] to x[l + 1]. */
void train_cuda_forward(struct train_cuda *t, int l);
/* dx and dxb from layer @l's output to its input; gradients are added to. */
void train_cuda_back(struct train_cuda *t, int l);

#endif
