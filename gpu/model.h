/*
 * model.h - a Qwen3.5 text model as people have it: a Hugging Face folder, mapped, checked tensor
 * by tensor.
 *
 * Sizes, names and rules: qwen35.md, sections 1 to 3. Notation there and here: h hidden, H/KV
 * heads, hd head dim, nk/nv DeltaNet key/value heads, dk/dv their dims, K conv kernel, I MLP width,
 * V vocabulary rows. All matrices are [out, in] row-major, y = x Wt. Nothing is copied: a tensor
 * points into the map.
 */
#ifndef GPU_MODEL_H
#define GPU_MODEL_H

#include <cjson/cJSON.h>

#include "gpu/safetensors.h"

enum { MODEL_LAYERS_MAX = 512, CONFIG_EOS_MAX = 8 };

enum layer_kind { LAYER_DELTA, LAYER_ATTENTION };

/* The linear layers of a layer: what LoRA may stand beside. */
enum module {
	MODULE_Q,    /* attention: query and gate, per head [2][hd]; [2*H*hd, h] */
	MODULE_K,    /* [KV*hd, h] */
	MODULE_V,    /* [KV*hd, h] */
	MODULE_O,    /* [h, H*hd] */
	MODULE_QKV,  /* DeltaNet: q, k, v before the convolution; [2*nk*dk + nv*dv, h] */
	MODULE_Z,    /* output gate; [nv*dv, h] */
	MODULE_A,    /* decay; [nv, h] */
	MODULE_B,    /* beta; [nv, h] */
	MODULE_OUT,  /* [h, nv*dv] */
	MODULE_GATE, /* MLP of either; [I, h] */
	MODULE_UP,   /* [I, h] */
	MODULE_DOWN, /* [h, I] */
	MODULE_COUNT
};
const char *module_name(enum module m); /* "q_proj", "in_proj_qkv", ... as in tensor names */
const char *
module_path(enum module m); /* "self_attn.q_proj", "linear_attn.in_proj_qkv", "mlp.gate_proj" */

struct model_config {
	int hidden, layers, heads, kv_heads, head_dim;
	int key_heads, value_heads, key_dim, value_dim, conv; /* nk nv dk dv K */
	int mlp, vocabulary;
	int rotary; /* R = int(hd * partial_rotary_factor): leading values of a head that turn */
	double rope_theta, norm_eps;
	int context; /* max_position_embeddings */
	bool tied;   /* the head is the embedding */
	enum layer_kind kind[MODEL_LAYERS_MAX];
	int n_delta, n_attention;
	int eos[CONFIG_EOS_MAX], n_eos; /* as config.json and generation_config.json have them
	                                 * together, those of the vocabulary */
};

/* From the text of a config.json (nested or flat). @where names it in errors. What is absent has
 * the default of qwen35.md section 2; absurd values (zero, negative, products over 2^40, H not a
 * multiple of KV, nv not of nk, R odd or over hd) are ERR_INPUT with field, want and got. There is
 * no default for rope_theta: a wrong one gives fluent nonsense. */
int config_parse(struct model_config *out, const char *text, size_t len, const char *where,
                 struct err *e);

/* The ids of an eos_token_id (a number, a list, null or NULL), those that are new, into @c. */
int config_add_eos(struct model_config *c, const cJSON *v, struct err *e);

/* [out, in] of a module of layer @l; false when that kind of layer has none. */
bool module_shape(const struct model_config *c, int l, enum module m, int *out, int *in);

int config_channels(const struct model_config *c); /* 2*nk*dk + nv*dv */
uint64_t
config_parameters(const struct model_config *c); /* of the text model; the tied head not twice */
uint64_t config_state_bytes(
	const struct model_config *c); /* per sequence: recurrent state f32 + conv window bf16 */
uint64_t config_kv_bytes_per_token(const struct model_config *c); /* bf16 keys and values */

struct layer {
	enum layer_kind kind;
	const struct tensor *input_norm, *post_norm; /* [h]; (1 + w) */
	const struct tensor *linear[MODULE_COUNT];   /* NULL where the kind has none */
	const struct tensor *q_norm, *k_norm;        /* attention: [hd]; (1 + w) */
	const struct tensor *conv;                   /* DeltaNet: [channels, 1, K] */
	const struct tensor *a_log, *dt_bias, *norm; /* [nv], [nv], [dv]; norm plain w */
};

struct model {
	char *dir; /* "random" for model_random() */
	struct model_config config;
	struct tensors tensors;
	const struct tensor *embedding;  /* [V, h] */
	const struct tensor *final_norm; /* [h]; (1 + w) */
	const struct tensor *head;       /* [V, h]; the embedding when tied */
	struct layer *layer;
	unsigned char hash[32]; /* SHA-256 of config.json and of every tensor's name, dtype, shape
	                         * and of a sample of its bytes: tells models apart, quickly */
	int skipped;            /* tensors of vision and MTP parts, left out */
	uint64_t random_seed;   /* not 0: model_random(); matrices whose data is NULL are the
	                         * backend's to make (gpu/random_weight.h) */
	void *own;              /* memory of model_random() */
	uint64_t own_bytes;
};

/* Opens @dir: config.json, generation_config.json when there, weights by index or single. Every
 * tensor of qwen35.md section 3 must be there with its shape and a dtype of F32, F16, BF16; unknown
 * names that are neither vision nor MTP are errors too. ERR_INPUT names file, tensor, want, got.
 *
 * Values that are no finite numbers: tensors of up to 16,384 elements are looked through, of larger
 * ones four places, so that 18 GB need not be read to open them. What that misses shows when a
 * token is picked: struct picked's id is -1, and the answer ends with an error (backend.h,
 * collect). */
int model_open(struct model *m, const char *dir, struct err *e);
void model_close(struct model *m); /* safe on {0} and twice */

/* Random weights of a shape, for benches: matrices and convolutions of gpu/random_weight.h in
 * @dtype (DTYPE_F32 or DTYPE_BF16), norms 0 (or 1 for the plain one), A_log and dt_bias as a fresh
 * model has them; A_log and the plain norm are F32. @seed is not 0. With @on_device the matrices
 * (linear layers, embedding, head) take no memory: their data is NULL and the backend makes element
 * i of tensor t as random_weight(random_weight_key(m->random_seed, t - m->tensors.item), i),
 * rounded to the tensor's dtype. */
int model_random(struct model *m, const struct model_config *c, enum dtype dtype, uint64_t seed,
                 bool on_device, struct err *e);

/* "0.8b", "2b", "4b", "9b", or the bench's own "10m" (10.5 M parameters), "110m" (445 MB in f32). 0
 * or -1. */
int config_named(struct model_config *out, const char *name);

/* What `model info --json` prints; the caller's to delete. */
cJSON *model_describe(const struct model *m);

#endif
