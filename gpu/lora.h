/*
 * lora.h - LoRA adapters in PEFT's folders: y = W x + s B (A x).
 *
 * Rules: qwen35.md, section 12. Values are kept in F32, as loaded; the base is never touched. An
 * adapter that does not fit its base is refused with the tensor's name and both shapes.
 */
#ifndef GPU_LORA_H
#define GPU_LORA_H

#include "gpu/model.h"

struct lora_part {
	int rank;       /* 0: this module has none */
	float scale;    /* alpha / rank, or alpha / sqrt(rank) */
	const float *a; /* [rank, in] */
	const float *b; /* [out, rank] */
};

struct adapter {
	char *dir;
	char name[128]; /* last part of the path */
	int layers;
	struct lora_part (*part)[MODULE_COUNT]; /* [layers][MODULE_COUNT] */
	int rank_max;
	int modules; /* parts that are there */
	uint64_t parameters;
	int skipped;            /* tensors of the vision part, left out */
	bool rslora;            /* scales were alpha / sqrt(rank) */
	char *base_model;       /* base_model_name_or_path, as the file has it; NULL: none */
	unsigned char hash[32]; /* of config and tensors: part of the prefix cache's key */
	void *own;
};

/* Opens @dir for a base of config @c: adapter_config.json and adapter_model.safetensors (or its
 * index). ERR_INPUT names the field or the tensor, what was wanted and what is there: DoRA, biases,
 * modules_to_save and other things that are more than y = W x + s B (A x), a tensor that finds no
 * module, A without B, ranks other than the config's (rank_pattern and alpha_pattern as PEFT
 * matches them), values that are no finite numbers. */
int adapter_open(struct adapter *a, const char *dir, const struct model_config *c, struct err *e);
/* The same without reading the values: quick, for lists. Its parts' a and b are NULL, and its hash
 * tells nothing. */
int adapter_look(struct adapter *a, const char *dir, const struct model_config *c, struct err *e);
void adapter_close(struct adapter *a); /* safe on {0} and twice */

struct adapter_save_options {
	bool language_model_prefix; /* "base_model.model.model.language_model.layers..." */
	bool rslora;
	enum dtype dtype;       /* DTYPE_F32 or DTYPE_BF16 */
	const char *base_model; /* for base_model_name_or_path */
};
/* Writes a folder that PEFT loads: adapter_config.json and adapter_model.safetensors, whole or not
 * at all. @dir must not be there yet, or be empty. */
int adapter_save(const struct adapter *a, const char *dir, const struct model_config *c,
                 const struct adapter_save_options *o, struct err *e);

/* What `model info` says of an adapter; the caller's to delete. */
cJSON *adapter_describe(const struct adapter *a);

/* Adapters in force for a sequence: y = W x + sum of weight_i s_i B_i (A_i x). */
enum { LORA_BLEND_MAX = 4 };
struct lora_mix {
	int n; /* 0: the base alone */
	struct {
		int adapter;  /* backend_adapter_add()'s number */
		float weight; /* 1: as trained */
	} part[LORA_BLEND_MAX];
};
bool lora_mix_equal(const struct lora_mix *a, const struct lora_mix *b);

#endif
