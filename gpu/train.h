/*
 * train.h - what learns: parameters, gradients and passes over packed batches, on one device. The
 * one place where CPU and CUDA differ in training (backend.h is its sister in inference).
 *
 * A *trainer* holds a model and a list of *parameters*: all of the model's (full), or the A and B
 * of a LoRA adapter beside a frozen base. A *pass* runs a packed *batch* forward and gives the
 * log-probability of every label; with coefficients it also runs backward and ADDS to the
 * gradients. An update is the optimizer's (gpu/optimizer.h tells the rule; the trainer carries it
 * out where the parameters live).
 *
 * Formulas: qwen35.md sections 4, 5, 13; cuda.md section 10. CPU: everything f32, log-probabilities
 * and norms summed in double. Promise of the CPU trainer: for a given build and processor the bits
 * of every figure depend on the parameters and the batches alone, not on the number of threads nor
 * on what else the machine does.
 *
 * Not thread-safe: one caller.
 */
#ifndef GPU_TRAIN_H
#define GPU_TRAIN_H

#include "gpu/lora.h"
#include "gpu/optimizer.h"

/* Samples side by side, without padding: rows start[s] .. start[s+1]-1 are sample s. Attention,
 * convolution and recurrent state begin anew at each start; positions count from 0 there. */
struct train_batch {
	int n, samples;       /* rows; samples >= 1 */
	const int32_t *id;    /* [n] token fed at this row */
	const int32_t *label; /* [n] token that this row's logits are to give (the next one of its
	                       * sample), or -1: none asked */
	const int32_t *start; /* [samples + 1]; start[0] = 0, start[samples] = n */
	uint64_t seed;        /* of dropout's masks: equal seeds, equal masks */
	/* Log-probabilities (and what goes back) are of logits / temperature; 0 is 1. */
	float temperature;
	/* Where a loss is no linear function of log-probabilities: d loss / d logp of row i is
	 * coef[i] x slope(slope_ctx, i, its logp), asked once for each row whose coef is not 0,
	 * between forward and backward, so that one pass does both. Called from several threads at
	 * once, for different rows; its result must depend on row and logp alone. NULL: coef as it
	 * is. Without coef it is not asked. */
	float (*slope)(void *slope_ctx, int row, float logp);
	void *slope_ctx;
};

struct train_options {
	bool full; /* all parameters; else LoRA */
	/* LoRA: a new adapter, or @from to go on with (its ranks and scales are then kept) */
	int rank;
	float alpha, dropout; /* dropout in [0, 1): of the adapter's input */
	bool rslora;
	uint32_t targets;           /* bits 1 << MODULE_... */
	const struct adapter *from; /* borrowed; open as long as the trainer */
	uint64_t seed;              /* of A's values: uniform in +-1/sqrt(in); B is 0 */
	int threads;                /* CPU; 0: as many as the process may use */
	int rows;                   /* longest batch that will come; memory is planned for it */
	bool recompute; /* keep a layer's input alone and compute the rest again going back */
	uint64_t memory_bytes; /* device memory that may be used; 0: what is free */
};

/* What an optimizer treats alike. */
enum param_kind {
	PARAM_MATRIX,    /* a linear layer, or LoRA's A or B */
	PARAM_GATE,      /* in_proj_a, in_proj_b of full training: small, never Muon */
	PARAM_EMBEDDING, /* also the head */
	PARAM_VECTOR     /* norms, A_log, dt_bias, convolutions: no weight decay */
};

struct param {
	char name[160]; /* the tensor's name in a flat Hugging Face folder
	                 * ("model.layers.0.mlp.up_proj.weight"), or PEFT's
	                 * ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight") */
	enum param_kind kind;
	int layer;          /* -1: none */
	enum module module; /* MODULE_COUNT: none */
	bool is_b;          /* LoRA */
	int64_t rows, cols; /* a vector: rows 1; a convolution [channels, K] */
	uint64_t at;        /* its first value in the flat order of all parameters */
};

enum param_slot { PARAM_VALUE, PARAM_GRADIENT, PARAM_MOMENT1, PARAM_MOMENT2, PARAM_SLOTS };

struct trainer; /* starts with const struct trainer_ops *ops */

struct trainer_ops {
	const char *name; /* "cpu", "cuda" */
	void (*close)(struct trainer *t);
	/* @logp [n]: log p(label) of rows that have one, 0 elsewhere; may be NULL. @coef [n]:
	 * d loss / d logp of each row (SFT: -1 / labels of the whole accumulated batch); NULL:
	 * forward alone, and without dropout. Rows without label must have coef 0. 0; -1 with @e:
	 * ERR_INPUT (ids or labels out of range, more rows than planned, starts that do not rise,
	 * a temperature that is no number of 0 or more),
	 * ERR_MEM (says what to lower and by how much), ERR_LOST (the device). */
	int (*pass)(struct trainer *t, const struct train_batch *b, const float *coef, float *logp,
	            struct err *e);
	/* Log-probabilities of the base alone, adapters off (LoRA): a reference policy. */
	int (*pass_base)(struct trainer *t, const struct train_batch *b, float *logp,
	                 struct err *e);
	int (*zero_gradients)(struct trainer *t, struct err *e);
	/* sqrt of the sum of squares over all gradients, in a fixed order, in double. */
	int (*gradient_norm)(struct trainer *t, double *norm, struct err *e);
	/* One step of the rule: gradients are multiplied by @scale first (clipping). */
	int (*update)(struct trainer *t, const struct update *u, double scale, struct err *e);
	/* One parameter's values out of or into a slot; f32, rows * cols of them. */
	int (*read)(struct trainer *t, int param, enum param_slot s, float *out, struct err *e);
	int (*write)(struct trainer *t, int param, enum param_slot s, const float *in,
	             struct err *e);
};

/* What every trainer begins with. */
struct trainer_base {
	const struct trainer_ops *ops;
	const struct model *model; /* borrowed; open as long as the trainer */
	struct train_options options;
	struct param *param;
	int params;
	uint64_t values;     /* of all parameters together */
	uint64_t peak_bytes; /* of memory that the trainer took, once a pass has run */
};
static inline const struct trainer_base *trainer_base(const struct trainer *t)
{
	return (const struct trainer_base *)(const void *)t;
}

/* Fills the list of parameters for a model and options: names, shapes, order. Shared by both
 * trainers; the array is the caller's to free. ERR_INPUT: targets that no layer has. */
int train_params(struct param **out, int *n, uint64_t *values, const struct model_config *c,
                 const struct train_options *o, struct err *e);

/* What A's and B's product is multiplied by: @from's, or alpha / rank, or alpha / sqrt(rank). */
float train_lora_scale(const struct train_options *o, int layer, enum module k);

/* First values into @out [values], in the flat order: the model's own (full), @from's, or new ones
 * (qwen35.md section 12). */
int train_first_values(const struct model *m, const struct train_options *o,
                       const struct param *param, int n, float *out, struct err *e);

struct trainer *train_cpu_open(const struct model *m, const struct train_options *o, struct err *e);
struct trainer *train_cuda_open(const struct model *m, const struct train_options *o,
                                struct err *e); /* linked in cadforge-train-cuda alone */

/* The adapter as it stands: values copied out of the trainer, ready for adapter_save().
 * train_adapter_release() frees it. Full training: ERR_USAGE; see gpu/model_write.h. */
int train_adapter(struct trainer *t, struct adapter *out, struct err *e);
void train_adapter_release(struct adapter *a);

#endif
