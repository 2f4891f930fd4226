/*
 * model_write.h - Hugging Face folders: a model with given values, a base with an adapter merged
 * into it, a new model from nothing. Whole or not at all: written beside, synced, then renamed.
 */
#ifndef GPU_MODEL_WRITE_H
#define GPU_MODEL_WRITE_H

#include "gpu/lora.h"

/* One tensor's values. Dimensions of 1 may be left out, or added. */
struct model_values {
	const char *name; /* as in a flat folder: "model.layers.0.linear_attn.conv1d.weight" */
	int64_t dims[3];
	int n_dims;
	const float *value; /* row-major */
};

/* Writes @dir, which must not exist or be empty: config.json (flat, model_type "qwen3_5_text"),
 * generation_config.json, model.safetensors in @dtype (F32 or BF16; A_log and the plain norm always
 * F32), and tokenizer.json, tokenizer_config.json, chat_template.jinja and the like copied from
 * @tokenizer_dir (NULL: none). The ids that end an answer are the tokenizer's, then @c's. @v: all
 * tensors that @c asks for, in any order. ERR_USAGE: one is missing, or one too many; ERR_INPUT:
 * @dir is taken, a value is no finite number, the tokenizer has more entries than @c rows; ERR_IO:
 * the disk is full, no permission. */
int model_write(const char *dir, const struct model_config *c, const struct model_values *v, int n,
                enum dtype dtype, const char *tokenizer_dir, struct err *e);

struct merge_options {
	enum dtype dtype;     /* F32 or BF16 (A_log and the plain norm F32, vision and MTP as they
	                       * are); DTYPE_OTHER: as the base has them */
	uint64_t shard_bytes; /* largest file of weights, one tensor aside; 0: 5 GB */
	bool (*stop)(void);   /* asked now and then: true ends it with ERR_CANCELLED; NULL: never */
};

/* Base + s B A of the adapter, summed in f32, as a model of its own. The base's other files go
 * along: config (saying the dtype), tokenizer, template, licence. @out_dir must not exist or be
 * empty, and nothing is there when an error ends it; little memory is needed. ERR_INPUT: the
 * adapter does not fit, a sum does not fit the dtype; ERR_IO: no room, no permission. */
int model_merge(const char *base_dir, const char *adapter_dir, const char *out_dir,
                const struct merge_options *o, struct err *e);

/* First values of a model to be trained from nothing (demo-model.md): matrices normal with
 * 1/sqrt(fan-in), those that write to the residual divided by sqrt(2 layers); embedding normal with
 * 0.02; norms 0 (plain: 1); convolutions near identity (last tap 1, others small); A_log 0 and
 * dt_bias such that the heads of a layer remember about 4, 32, 256, 2,048 tokens in turn.
 * @m is opened over memory of its own; model_close() frees it. */
int model_fresh(struct model *m, const struct model_config *c, uint64_t seed, struct err *e);

#endif
