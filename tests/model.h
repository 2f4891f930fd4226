/*
 * model.h - folders of models and adapters for tests: the oracle's, and tiny ones made on the spot.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "tests/lib.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/lora.h"
#include "src/base/json.h"

/* The path of a folder or file of ../shared/oracle, or skips the test in words. */
static inline const char *oracle(char out[4096], const char *name)
{
	const char *shared = getenv("CADFORGE_SHARED");

	snprintf(out, 4096, "%s/oracle/%s", shared && *shared ? shared : SRCDIR "/../shared", name);
	if (access(out, R_OK) < 0) {
		print_message("%s is not there: CADFORGE_SHARED names the folder with oracle/\n",
		              out);
		skip();
	}
	return out;
}

/* A new folder under /tmp. */
static inline void folder_make(char out[64])
{
	strcpy(out, "/tmp/cadforge-test-XXXXXX");
	assert_non_null(mkdtemp(out));
}

/* Removes it with the files and folders of files in it. */
static inline void folder_remove(const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *x; d && (x = readdir(d));) {
		char path[600];
		if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%.300s/%.255s", dir, x->d_name);
		if (unlink(path) < 0)
			folder_remove(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static inline void put_file(const char *dir, const char *name, const void *data, size_t len)
{
	struct err e = { 0 };
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (file_write_atomic(path, data, len, &e) < 0)
		fail_msg("%s", e.text);
}

static inline void put_text(const char *dir, const char *name, const char *text)
{
	put_file(dir, name, text, strlen(text));
}

/* 4 layers (the last one attention), dk and dv, H*hd and h, nk and nv all different. */
static inline struct model_config tiny_config(void)
{
	struct model_config c = {
		.hidden = 24,
		.layers = 4,
		.heads = 4,
		.kv_heads = 2,
		.head_dim = 8,
		.key_heads = 2,
		.value_heads = 4,
		.key_dim = 4,
		.value_dim = 6,
		.conv = 4,
		.mlp = 40,
		.vocabulary = 64,
		.rotary = 4,
		.rope_theta = 1e6,
		.norm_eps = 1e-6,
		.context = 512,
		.n_delta = 3,
		.n_attention = 1,
		.kind = { LAYER_DELTA, LAYER_DELTA, LAYER_DELTA, LAYER_ATTENTION },
	};

	return c;
}

/* The text fields of @c, as config.json has them; the caller's to delete. */
static inline cJSON *config_fields(const struct model_config *c)
{
	cJSON *o = cJSON_CreateObject(), *rope;

	cJSON_AddStringToObject(o, "model_type", "qwen3_5_text");
	cJSON_AddNumberToObject(o, "hidden_size", c->hidden);
	cJSON_AddNumberToObject(o, "num_hidden_layers", c->layers);
	cJSON_AddNumberToObject(o, "num_attention_heads", c->heads);
	cJSON_AddNumberToObject(o, "num_key_value_heads", c->kv_heads);
	cJSON_AddNumberToObject(o, "head_dim", c->head_dim);
	cJSON_AddNumberToObject(o, "linear_num_key_heads", c->key_heads);
	cJSON_AddNumberToObject(o, "linear_num_value_heads", c->value_heads);
	cJSON_AddNumberToObject(o, "linear_key_head_dim", c->key_dim);
	cJSON_AddNumberToObject(o, "linear_value_head_dim", c->value_dim);
	cJSON_AddNumberToObject(o, "linear_conv_kernel_dim", c->conv);
	cJSON_AddNumberToObject(o, "intermediate_size", c->mlp);
	cJSON_AddNumberToObject(o, "vocab_size", c->vocabulary);
	cJSON_AddNumberToObject(o, "max_position_embeddings", c->context);
	cJSON_AddNumberToObject(o, "rms_norm_eps", c->norm_eps);
	cJSON_AddBoolToObject(o, "tie_word_embeddings", c->tied);
	cJSON_AddNumberToObject(o, "eos_token_id", 7);
	rope = cJSON_AddObjectToObject(o, "rope_parameters");
	cJSON_AddStringToObject(rope, "rope_type", "default");
	cJSON_AddNumberToObject(rope, "rope_theta", c->rope_theta);
	cJSON_AddNumberToObject(rope, "partial_rotary_factor", (double)c->rotary / c->head_dim);
	return o;
}

static inline void put_json(const char *dir, const char *name, const cJSON *o)
{
	struct buf text = { 0 };

	json_print(&text, o);
	assert_false(buf_failed(&text));
	put_file(dir, name, text.data, text.len);
	buf_release(&text);
}

/* Writes @n tensors of @item to DIR/NAME, those whose names begin with "model." with @prefix
 * instead of that. */
static inline void put_tensors(const char *dir, const char *name, const struct tensor *item, int n,
                               const char *prefix)
{
	struct tensor *copy = calloc((size_t)n + 1, sizeof(*copy));
	char(*names)[200] = calloc((size_t)n + 1, sizeof(*names)), path[600];
	struct err e = { 0 };

	for (int i = 0; i < n; i++) {
		const char *from = item[i].name;
		bool begins = prefix && strncmp(from, "model.", 6) == 0;
		snprintf(names[i], sizeof(names[i]), "%s%s", begins ? prefix : "",
		         begins ? from + 6 : from);
		copy[i] = item[i];
		copy[i].name = names[i];
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (tensors_write(path, copy, n, NULL, &e) < 0)
		fail_msg("%s", e.text);
	free(copy);
	free(names);
}

/* A folder of a model of @c with random values. @seed not 0. */
static inline void put_model(const char *dir, const struct model_config *c, enum dtype dtype,
                             uint64_t seed)
{
	cJSON *o = config_fields(c);
	struct model m;
	struct err e = { 0 };

	put_json(dir, "config.json", o);
	cJSON_Delete(o);
	if (model_random(&m, c, dtype, seed, false, &e) < 0)
		fail_msg("%s", e.text);
	put_tensors(dir, "model.safetensors", m.tensors.item, m.tensors.n, NULL);
	model_close(&m);
}

/* An adapter in memory: @rank on every module for which @takes is not 0, with values that @seed
 * tells. adapter_close() is for it too. */
static inline void make_adapter(struct adapter *a, const struct model_config *c, int rank,
                                float scale, uint32_t seed, int (*takes)(int l, enum module m))
{
	uint64_t n = 0;
	int out, in;

	memset(a, 0, sizeof(*a));
	a->layers = c->layers;
	a->part = calloc((size_t)c->layers, sizeof(*a->part));
	for (int l = 0; l < c->layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++)
			if (module_shape(c, l, m, &out, &in) && (!takes || takes(l, m)))
				n += (uint64_t)rank * (uint64_t)(out + in);
	float *at = a->own = malloc(n * sizeof(float) + 1);
	assert_non_null(at);
	for (uint64_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		at[i] = (float)((int)(seed >> 16 & 255) - 128) / 512; /* exact in BF16 */
	}
	for (int l = 0; l < c->layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++) {
			if (!module_shape(c, l, m, &out, &in) || (takes && !takes(l, m)))
				continue;
			struct lora_part *p = &a->part[l][m];
			*p = (struct lora_part){ rank, scale, at, at + rank * in };
			at += rank * (out + in);
			a->modules++;
		}
	a->parameters = n;
	a->rank_max = rank;
}

#endif
