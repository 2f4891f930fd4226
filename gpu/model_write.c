#include "gpu/model_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/model_inside.h"
#include "gpu/tokenizer.h"
#include "src/base/folder.h"
#include "src/base/json.h"

enum { COPY_MAX_BYTES = 64 << 20 }; /* of a tokenizer's file; Qwen3.5's has 13 million */

/* ---- config.json, generation_config.json ---- */

/* What the tokenizer says: ids that end an answer, and the one that fills up. */
struct ends {
	int32_t eos[CONFIG_EOS_MAX + 8];
	int n;
	int32_t pad; /* -1: none */
};

static void add_end(struct ends *x, int32_t id)
{
	for (int i = 0; i < x->n; i++)
		if (x->eos[i] == id)
			return;
	if (x->n < CONFIG_EOS_MAX)
		x->eos[x->n++] = id;
}

static int find_ends(struct ends *x, const struct model_config *c, const char *tokenizer_dir,
                     struct err *e)
{
	int32_t stop[8];
	struct tokenizer *t;

	*x = (struct ends){ .pad = -1 };
	if (tokenizer_dir) {
		if (!(t = tokenizer_open(tokenizer_dir, e)))
			return -1;
		int n = tokenizer_stops(t, stop, 8), size = tokenizer_size(t);
		for (int i = 0; i < n; i++)
			add_end(x, stop[i]);
		x->pad = tokenizer_added(t, "<|endoftext|>");
		tokenizer_close(t);
		if (size > c->vocabulary)
			return err_set(e, ERR_INPUT,
			               "%.200s: its tokenizer has %d entries, the model's "
			               "vocabulary %d rows: as many rows at least are wanted",
			               tokenizer_dir, size, c->vocabulary);
	}
	for (int i = 0; i < c->n_eos; i++)
		add_end(x, c->eos[i]);
	return 0;
}

static void add_ends(cJSON *o, const struct ends *x)
{
	cJSON *list;

	if (x->n == 0) {
		cJSON_AddNullToObject(o, "eos_token_id");
		return;
	}
	list = cJSON_AddArrayToObject(o, "eos_token_id");
	for (int i = 0; i < x->n; i++)
		cJSON_AddItemToArray(list, cJSON_CreateNumber(x->eos[i]));
}

static void add_pad(cJSON *o, const struct ends *x)
{
	if (x->pad < 0)
		cJSON_AddNullToObject(o, "pad_token_id");
	else
		cJSON_AddNumberToObject(o, "pad_token_id", x->pad);
}

/* The rotary part of a head as the factor that gives it back: int(head_dim * factor). */
static double rotary_factor(const struct model_config *c)
{
	double v = (double)c->rotary / c->head_dim;

	while ((int)(c->head_dim * v) < c->rotary)
		v = nextafter(v, 2);
	return v;
}

static void add_rope(cJSON *o, const struct model_config *c)
{
	cJSON *rope = cJSON_AddObjectToObject(o, "rope_parameters"), *section;
	int half = c->rotary / 2;

	cJSON_AddStringToObject(rope, "rope_type", "default");
	cJSON_AddNumberToObject(rope, "rope_theta", c->rope_theta);
	cJSON_AddNumberToObject(rope, "partial_rotary_factor", rotary_factor(c));
	/* shares of time, height and width; of a text all three are the position */
	section = cJSON_AddArrayToObject(rope, "mrope_section");
	for (int i = 0; i < 3; i++)
		cJSON_AddItemToArray(section, cJSON_CreateNumber((half + 2 - i) / 3));
	cJSON_AddBoolToObject(rope, "mrope_interleaved", true);
}

static cJSON *config_object(const struct model_config *c, const struct ends *x, enum dtype dtype)
{
	const struct {
		const char *key;
		int v;
	} sizes[] = {
		{ "hidden_size", c->hidden },
		{ "num_hidden_layers", c->layers },
		{ "num_attention_heads", c->heads },
		{ "num_key_value_heads", c->kv_heads },
		{ "head_dim", c->head_dim },
		{ "linear_num_key_heads", c->key_heads },
		{ "linear_num_value_heads", c->value_heads },
		{ "linear_key_head_dim", c->key_dim },
		{ "linear_value_head_dim", c->value_dim },
		{ "linear_conv_kernel_dim", c->conv },
		{ "intermediate_size", c->mlp },
		{ "vocab_size", c->vocabulary },
		{ "max_position_embeddings", c->context },
	};
	cJSON *o = cJSON_CreateObject(), *list;

	list = cJSON_AddArrayToObject(o, "architectures");
	cJSON_AddItemToArray(list, cJSON_CreateString("Qwen3_5ForCausalLM"));
	cJSON_AddStringToObject(o, "model_type", "qwen3_5_text");
	cJSON_AddStringToObject(o, "dtype", dtype == DTYPE_BF16 ? "bfloat16" : "float32");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		cJSON_AddNumberToObject(o, sizes[i].key, sizes[i].v);
	list = cJSON_AddArrayToObject(o, "layer_types");
	for (int l = 0; l < c->layers; l++)
		cJSON_AddItemToArray(list, cJSON_CreateString(c->kind[l] == LAYER_ATTENTION
		                                                      ? "full_attention"
		                                                      : "linear_attention"));
	cJSON_AddStringToObject(o, "hidden_act", "silu");
	cJSON_AddNumberToObject(o, "rms_norm_eps", c->norm_eps);
	cJSON_AddBoolToObject(o, "tie_word_embeddings", c->tied);
	cJSON_AddBoolToObject(o, "attention_bias", false);
	cJSON_AddNumberToObject(o, "attention_dropout", 0);
	cJSON_AddNumberToObject(o, "initializer_range", 0.02);
	add_rope(o, c);
	cJSON_AddBoolToObject(o, "use_cache", true);
	cJSON_AddNullToObject(o, "bos_token_id");
	add_ends(o, x);
	add_pad(o, x);
	return o;
}

static cJSON *generation_object(const struct ends *x)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddBoolToObject(o, "do_sample", false);
	add_ends(o, x);
	add_pad(o, x);
	return o;
}

/* Takes @o. */
static int put_json(const struct new_folder *f, const char *name, cJSON *o, struct err *e)
{
	struct buf text = { 0 }, path = { 0 };
	const char *to = new_folder_path(f, name, &path, e);
	int rc = -1;

	json_print(&text, o);
	buf_addc(&text, '\n');
	if (buf_failed(&text))
		err_set(e, ERR_MEM, "no memory for %s", name);
	else if (to)
		rc = file_write_atomic(to, text.data, text.len, e);
	cJSON_Delete(o);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

/* ---- model.safetensors ---- */

struct writing {
	const struct model_values *given;
	int n_given;
	enum dtype dtype;
	struct tensor *item;
	const float **value; /* of each item */
	int n;
	uint64_t bytes;
};

/* Equal but for dimensions of 1: a convolution is [channels, 1, K] in files, [channels, K] to those
 * who train it. */
static bool same_shape(const int64_t *a, int n_a, const int64_t *b, int n_b)
{
	int i = 0, k = 0;

	for (;;) {
		while (i < n_a && a[i] == 1)
			i++;
		while (k < n_b && b[k] == 1)
			k++;
		if (i == n_a || k == n_b)
			return i == n_a && k == n_b;
		if (a[i++] != b[k++])
			return false;
	}
}

/* One tensor of the config: which of the values it is, and whether they fit. */
static int match(void *ctx, const struct wanted *want, struct err *e)
{
	struct writing *w = ctx;
	struct tensor *t = &w->item[w->n];
	const struct model_values *v = NULL;

	for (int i = 0; i < w->n_given && !v; i++)
		if (strcmp(w->given[i].name, want->name) == 0)
			v = &w->given[i];
	if (!v)
		return err_set(e, ERR_USAGE, "tensor '%s', which the config asks for, has no value",
		               want->name);
	t->name = v->name;
	t->dtype = role_dtype(want->role, w->dtype);
	t->n_dims = want->n_dims;
	t->n = 1;
	for (int i = 0; i < want->n_dims; i++) {
		t->dims[i] = want->dims[i];
		t->n *= (uint64_t)want->dims[i];
	}
	if (!same_shape(v->dims, v->n_dims, want->dims, want->n_dims)) {
		char shape[128];
		tensor_shape(t, shape, sizeof(shape));
		return err_set(e, ERR_USAGE, "tensor '%s': a value of shape %s wanted", want->name,
		               shape);
	}
	for (uint64_t i = 0; i < t->n; i++)
		if (!isfinite(v->value[i]))
			return err_set(e, ERR_INPUT,
			               "tensor '%s': value %" PRIu64
			               " is no finite number: the training diverged",
			               want->name, i);
	t->bytes = t->n * dtype_bytes(t->dtype);
	t->data = t->dtype == DTYPE_F32 ? v->value : NULL;
	w->value[w->n++] = v->value;
	w->bytes += t->bytes;
	return 0;
}

static int rows(void *ctx, int i, int64_t from, int64_t n, void *out, struct err *e)
{
	const struct writing *w = ctx;
	const struct tensor *t = &w->item[i];
	uint64_t width = t->n / (uint64_t)t->dims[0];

	if (!tensor_narrow(t->dtype, w->value[i] + (uint64_t)from * width, (uint64_t)n * width,
	                   out))
		return err_set(e, ERR_INPUT, "tensor '%.120s' holds a value too large for %s",
		               t->name, dtype_name(t->dtype));
	return 0;
}

static int match_all(struct writing *w, const struct model_config *c, struct err *e)
{
	struct model look = { .config = *c };
	int rc = -1;

	w->item = calloc((size_t)w->n_given + 1, sizeof(*w->item));
	w->value = calloc((size_t)w->n_given + 1, sizeof(*w->value));
	look.layer = calloc((size_t)c->layers, sizeof(*look.layer));
	if (!w->item || !w->value || !look.layer)
		err_set(e, ERR_MEM, "no memory for %d tensors", w->n_given);
	else
		rc = model_each(&look, "model.", "lm_head.weight", match, w, e);
	/* each name was found once, so that as many as were given means: no other */
	if (rc == 0 && w->n != w->n_given)
		rc = err_set(e, ERR_USAGE, "%d values given, the config asks for %d tensors",
		             w->n_given, w->n);
	free(look.layer);
	return rc;
}

static int write_weights(const struct new_folder *f, struct writing *w, struct err *e)
{
	static const char *const metadata[] = { "format", "pt", NULL };
	struct buf path = { 0 };
	const char *to = new_folder_path(f, "model.safetensors", &path, e);
	int rc = to ? tensors_write_made(to, w->item, w->n, metadata, rows, w, e) : -1;

	buf_release(&path);
	return rc;
}

static int copy_tokenizer(const struct new_folder *f, const char *dir, struct err *e)
{
	static const char *const name[] = {
		"tokenizer.json",          "tokenizer_config.json", "chat_template.jinja",
		"special_tokens_map.json", "added_tokens.json",
	};

	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++)
		if (new_folder_copy(f, dir, name[i], COPY_MAX_BYTES, e) < 0)
			return -1;
	return 0;
}

int model_write(const char *dir, const struct model_config *c, const struct model_values *v, int n,
                enum dtype dtype, const char *tokenizer_dir, struct err *e)
{
	struct writing w = { .given = v, .n_given = n, .dtype = dtype };
	struct new_folder f = { 0 };
	struct ends ends;
	int rc = -1;

	if (dtype != DTYPE_F32 && dtype != DTYPE_BF16)
		return err_set(e, ERR_USAGE, "%.200s: a model is written as F32 or BF16", dir);
	if (find_ends(&ends, c, tokenizer_dir, e) < 0)
		return -1;
	if (match_all(&w, c, e) < 0)
		err_wrap(e, "%.200s", dir);
	else if (new_folder_begin(&f, dir, w.bytes, e) == 0 &&
	         put_json(&f, "config.json", config_object(c, &ends, dtype), e) == 0 &&
	         put_json(&f, "generation_config.json", generation_object(&ends), e) == 0 &&
	         write_weights(&f, &w, e) == 0 &&
	         (!tokenizer_dir || copy_tokenizer(&f, tokenizer_dir, e) == 0))
		rc = new_folder_end(&f, e);
	new_folder_drop(&f);
	free(w.item);
	free(w.value);
	return rc;
}
