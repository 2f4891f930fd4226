/*
 * config.json into struct model_config: qwen35.md, sections 1 and 2.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "gpu/model.h"
#include "src/base/json.h"

enum { VALUES_MAX = 100000, DIM_MAX = 1 << 24 };
#define PRODUCT_MAX ((uint64_t)1 << 40)

static const struct {
	const char *name, *path;
} modules[MODULE_COUNT] = {
	[MODULE_Q] = { "q_proj", "self_attn.q_proj" },
	[MODULE_K] = { "k_proj", "self_attn.k_proj" },
	[MODULE_V] = { "v_proj", "self_attn.v_proj" },
	[MODULE_O] = { "o_proj", "self_attn.o_proj" },
	[MODULE_QKV] = { "in_proj_qkv", "linear_attn.in_proj_qkv" },
	[MODULE_Z] = { "in_proj_z", "linear_attn.in_proj_z" },
	[MODULE_A] = { "in_proj_a", "linear_attn.in_proj_a" },
	[MODULE_B] = { "in_proj_b", "linear_attn.in_proj_b" },
	[MODULE_OUT] = { "out_proj", "linear_attn.out_proj" },
	[MODULE_GATE] = { "gate_proj", "mlp.gate_proj" },
	[MODULE_UP] = { "up_proj", "mlp.up_proj" },
	[MODULE_DOWN] = { "down_proj", "mlp.down_proj" },
};

const char *module_name(enum module m)
{
	return modules[m].name;
}

const char *module_path(enum module m)
{
	return modules[m].path;
}

/* ---- what follows from a config ---- */

int config_channels(const struct model_config *c)
{
	return 2 * c->key_heads * c->key_dim + c->value_heads * c->value_dim;
}

bool module_shape(const struct model_config *c, int l, enum module m, int *out, int *in)
{
	int h = c->hidden, queries = c->heads * c->head_dim, keys = c->kv_heads * c->head_dim;
	int values = c->value_heads * c->value_dim;
	const struct {
		int kind; /* -1: either */
		int out, in;
	} shape[MODULE_COUNT] = {
		[MODULE_Q] = { LAYER_ATTENTION, 2 * queries, h },
		[MODULE_K] = { LAYER_ATTENTION, keys, h },
		[MODULE_V] = { LAYER_ATTENTION, keys, h },
		[MODULE_O] = { LAYER_ATTENTION, h, queries },
		[MODULE_QKV] = { LAYER_DELTA, config_channels(c), h },
		[MODULE_Z] = { LAYER_DELTA, values, h },
		[MODULE_A] = { LAYER_DELTA, c->value_heads, h },
		[MODULE_B] = { LAYER_DELTA, c->value_heads, h },
		[MODULE_OUT] = { LAYER_DELTA, h, values },
		[MODULE_GATE] = { -1, c->mlp, h },
		[MODULE_UP] = { -1, c->mlp, h },
		[MODULE_DOWN] = { -1, h, c->mlp },
	};

	if (l < 0 || l >= c->layers || m >= MODULE_COUNT)
		return false;
	if (shape[m].kind >= 0 && shape[m].kind != (int)c->kind[l])
		return false;
	*out = shape[m].out;
	*in = shape[m].in;
	return true;
}

uint64_t config_parameters(const struct model_config *c)
{
	uint64_t head = (uint64_t)c->vocabulary * (uint64_t)c->hidden;
	uint64_t n = head * (c->tied ? 1 : 2) + (uint64_t)c->hidden;
	int out, in;

	for (int l = 0; l < c->layers; l++) {
		for (enum module m = 0; m < MODULE_COUNT; m++)
			if (module_shape(c, l, m, &out, &in))
				n += (uint64_t)out * (uint64_t)in;
		n += 2 * (uint64_t)c->hidden;
		if (c->kind[l] == LAYER_ATTENTION)
			n += 2 * (uint64_t)c->head_dim;
		else
			n += (uint64_t)config_channels(c) * (uint64_t)c->conv +
			     2 * (uint64_t)c->value_heads + (uint64_t)c->value_dim;
	}
	return n;
}

uint64_t config_state_bytes(const struct model_config *c)
{
	uint64_t state = (uint64_t)c->value_heads * (uint64_t)c->key_dim * (uint64_t)c->value_dim;
	uint64_t window = (uint64_t)config_channels(c) * (uint64_t)(c->conv - 1);

	return (uint64_t)c->n_delta * (4 * state + 2 * window);
}

uint64_t config_kv_bytes_per_token(const struct model_config *c)
{
	return (uint64_t)c->n_attention * 2 * (uint64_t)c->kv_heads * (uint64_t)c->head_dim * 2;
}

/* ---- reading ---- */

/* The value under @key; NULL when it is not there, or null. */
static const cJSON *field(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNull(v) ? NULL : v;
}

/* A whole number from @min to @max; @def < 0: it must be there. */
static int dimension(const cJSON *o, const char *key, int min, int max, int def, int *out,
                     struct err *e)
{
	long long v;

	if (!field(o, key) && def >= 0) {
		*out = def;
		return 0;
	}
	if (json_get_int(o, key, min, max, &v, e) < 0)
		return -1;
	*out = (int)v;
	return 0;
}

static int fraction(const cJSON *o, const char *key, double max, double *out, struct err *e)
{
	if (json_get_number(o, key, out, e) < 0)
		return -1;
	if (!(*out > 0 && *out <= max))
		return err_set(e, ERR_INPUT, "%s: over 0 and at most %g wanted, got %g", key, max,
		               *out);
	return 0;
}

/* @key must be @want, when it is there. */
static int must_be(const cJSON *o, const char *key, bool want, const char *why, struct err *e)
{
	const cJSON *v = field(o, key);

	if (v && !cJSON_IsBool(v))
		return err_set(e, ERR_INPUT, "%s: true or false wanted", key);
	if (v && (bool)cJSON_IsTrue(v) != want)
		return err_set(e, ERR_INPUT, "%s: %s wanted, got %s: %s", key,
		               want ? "true" : "false", want ? "false" : "true", why);
	return 0;
}

static int sizes(struct model_config *c, const cJSON *o, struct err *e)
{
	const struct {
		const char *key;
		int *out, min, max, def;
	} fields[] = {
		{ "hidden_size", &c->hidden, 1, DIM_MAX, -1 },
		{ "num_hidden_layers", &c->layers, 1, MODEL_LAYERS_MAX, -1 },
		{ "num_attention_heads", &c->heads, 1, 1 << 16, -1 },
		{ "num_key_value_heads", &c->kv_heads, 1, 1 << 16, -1 },
		{ "intermediate_size", &c->mlp, 1, DIM_MAX, -1 },
		{ "vocab_size", &c->vocabulary, 1, DIM_MAX, -1 },
		{ "head_dim", &c->head_dim, 1, 1 << 16, 256 },
		{ "linear_num_key_heads", &c->key_heads, 1, 1 << 16, 16 },
		{ "linear_num_value_heads", &c->value_heads, 1, 1 << 16, 32 },
		{ "linear_key_head_dim", &c->key_dim, 1, 1 << 16, 128 },
		{ "linear_value_head_dim", &c->value_dim, 1, 1 << 16, 128 },
		{ "linear_conv_kernel_dim", &c->conv, 2, 16, 4 },
		{ "max_position_embeddings", &c->context, 1, INT_MAX / 2, 32768 },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (dimension(o, fields[i].key, fields[i].min, fields[i].max, fields[i].def,
		              fields[i].out, e) < 0)
			return -1;
	if (c->heads % c->kv_heads)
		return err_set(e, ERR_INPUT,
		               "num_attention_heads: a multiple of num_key_value_heads (%d) "
		               "wanted, got %d",
		               c->kv_heads, c->heads);
	if (c->value_heads % c->key_heads)
		return err_set(e, ERR_INPUT,
		               "linear_num_value_heads: a multiple of linear_num_key_heads (%d) "
		               "wanted, got %d",
		               c->key_heads, c->value_heads);
	return 0;
}

/* No row count near the end of an int, not over 2^40 elements in all. */
static int check_products(const struct model_config *c, struct err *e)
{
	const struct {
		const char *what;
		uint64_t a, b;
	} rows[] = {
		{ "2 * num_attention_heads * head_dim", 2 * (uint64_t)c->heads,
		  (uint64_t)c->head_dim },
		{ "2 * linear_num_key_heads * linear_key_head_dim", 2 * (uint64_t)c->key_heads,
		  (uint64_t)c->key_dim },
		{ "linear_num_value_heads * linear_value_head_dim", (uint64_t)c->value_heads,
		  (uint64_t)c->value_dim },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].a * rows[i].b > DIM_MAX)
			return err_set(e, ERR_INPUT, "%s: at most %d wanted, got %" PRIu64,
			               rows[i].what, DIM_MAX, rows[i].a * rows[i].b);
	/* each dimension is at most 2^25 now, so that this does not overflow, nor does a state of
	 * at most 2^24 values times 2^16 keys */
	if (config_parameters(c) > PRODUCT_MAX)
		return err_set(e, ERR_INPUT,
		               "all sizes together: at most 2^40 parameters wanted, got %" PRIu64,
		               config_parameters(c));
	return 0;
}

static int kinds(struct model_config *c, const cJSON *o, struct err *e)
{
	const cJSON *v, *list = field(o, "layer_types");
	int interval, l = 0;

	if (list && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != c->layers))
		return err_set(e, ERR_INPUT,
		               "layer_types: a list of num_hidden_layers = %d words wanted, got %d",
		               c->layers, cJSON_GetArraySize(list));
	cJSON_ArrayForEach(v, list)
	{
		if (cJSON_IsString(v) && strcmp(v->valuestring, "full_attention") == 0)
			c->kind[l++] = LAYER_ATTENTION;
		else if (cJSON_IsString(v) && strcmp(v->valuestring, "linear_attention") == 0)
			c->kind[l++] = LAYER_DELTA;
		else
			return err_set(e, ERR_INPUT,
			               "layer_types[%d]: \"linear_attention\" or "
			               "\"full_attention\" wanted, got '%.40s'",
			               l, cJSON_IsString(v) ? v->valuestring : "no string");
	}
	if (!list) {
		if (dimension(o, "full_attention_interval", 1, INT_MAX / 2, 4, &interval, e) < 0)
			return -1;
		for (l = 0; l < c->layers; l++)
			c->kind[l] = (l + 1) % interval == 0 ? LAYER_ATTENTION : LAYER_DELTA;
	}
	for (l = 0; l < c->layers; l++)
		c->n_attention += c->kind[l] == LAYER_ATTENTION;
	c->n_delta = c->layers - c->n_attention;
	return 0;
}

/* rope_parameters, or what older files have of it beside hidden_size. */
static int rope(struct model_config *c, const cJSON *o, struct err *e)
{
	const cJSON *at, *type, *p = field(o, "rope_parameters");
	double part = 0.25;

	if (!p)
		p = field(o, "rope_scaling");
	if (p && !cJSON_IsObject(p))
		return err_set(e, ERR_INPUT, "rope_parameters: an object wanted");
	type = field(p, "rope_type") ? field(p, "rope_type") : field(p, "type");
	if (type && (!cJSON_IsString(type) || strcmp(type->valuestring, "default") != 0))
		return err_set(e, ERR_INPUT,
		               "rope_type: \"default\" wanted, got '%.40s', which this engine does "
		               "not compute",
		               cJSON_IsString(type) ? type->valuestring : "no string");
	at = field(p, "rope_theta") ? p : o;
	if (fraction(at, "rope_theta", 1e30, &c->rope_theta, e) < 0)
		return -1;
	at = field(p, "partial_rotary_factor") ? p : o;
	if (field(at, "partial_rotary_factor") &&
	    fraction(at, "partial_rotary_factor", 1, &part, e) < 0)
		return -1;
	c->rotary = (int)(c->head_dim * part);
	if (c->rotary < 2 || c->rotary % 2)
		return err_set(e, ERR_INPUT,
		               "partial_rotary_factor: an even number of the %d values of a head, "
		               "from 2 on, wanted, got %g of them",
		               c->head_dim, c->head_dim * part);
	return 0;
}

/* An id, a list of them, or nothing. Ids outside of the vocabulary can't come up: tiny models that
 * keep a large one's are usable. */
int config_add_eos(struct model_config *c, const cJSON *v, struct err *e)
{
	const cJSON *id = cJSON_IsArray(v) ? v->child : v;

	if (!v || cJSON_IsNull(v))
		return 0;
	for (; id; id = cJSON_IsArray(v) ? id->next : NULL) {
		bool known = false;
		if (!cJSON_IsNumber(id) || id->valuedouble != floor(id->valuedouble) ||
		    !(id->valuedouble >= 0 && id->valuedouble <= INT_MAX))
			return err_set(e, ERR_INPUT,
			               "eos_token_id: a token's id, a list of them or null wanted");
		if (id->valuedouble >= c->vocabulary)
			continue;
		for (int i = 0; i < c->n_eos; i++)
			known = known || c->eos[i] == (int)id->valuedouble;
		if (known)
			continue;
		if (c->n_eos == CONFIG_EOS_MAX)
			return err_set(e, ERR_INPUT, "eos_token_id: more than %d ids",
			               CONFIG_EOS_MAX);
		c->eos[c->n_eos++] = (int)id->valuedouble;
	}
	return 0;
}

static int words(const cJSON *root, const cJSON *o, struct err *e)
{
	const cJSON *type = field(o, "model_type"), *act = field(o, "hidden_act");

	if (!type)
		type = field(root, "model_type");
	if (type && (!cJSON_IsString(type) || (strcmp(type->valuestring, "qwen3_5_text") != 0 &&
	                                       strcmp(type->valuestring, "qwen3_5") != 0)))
		return err_set(e, ERR_INPUT,
		               "model_type: \"qwen3_5\" or \"qwen3_5_text\" wanted, got '%.60s': "
		               "this engine runs dense Qwen3.5 models only",
		               cJSON_IsString(type) ? type->valuestring : "no string");
	if (act && (!cJSON_IsString(act) || strcmp(act->valuestring, "silu") != 0))
		return err_set(e, ERR_INPUT, "hidden_act: \"silu\" wanted, got '%.40s'",
		               cJSON_IsString(act) ? act->valuestring : "no string");
	if (must_be(o, "attention_bias", false, "no linear layer of Qwen3.5 has one", e) < 0)
		return -1;
	return must_be(o, "attn_output_gate", true, "attention of Qwen3.5 is gated", e);
}

static int read_config(struct model_config *c, const cJSON *root, struct err *e)
{
	const cJSON *text, *tied, *eos;

	if (!cJSON_IsObject(root))
		return err_set(e, ERR_INPUT, "an object wanted");
	text = cJSON_GetObjectItemCaseSensitive(root, "text_config");
	if (!cJSON_IsObject(text))
		text = root;
	if (words(root, text, e) < 0 || sizes(c, text, e) < 0 || kinds(c, text, e) < 0)
		return -1;
	tied = field(text, "tie_word_embeddings");
	if (!tied)
		tied = field(root, "tie_word_embeddings");
	if (tied && !cJSON_IsBool(tied))
		return err_set(e, ERR_INPUT, "tie_word_embeddings: true or false wanted");
	c->tied = cJSON_IsTrue(tied);
	c->norm_eps = 1e-6;
	if (field(text, "rms_norm_eps") && fraction(text, "rms_norm_eps", 1, &c->norm_eps, e) < 0)
		return -1;
	eos = cJSON_GetObjectItemCaseSensitive(text, "eos_token_id");
	if (!eos && 248044 < c->vocabulary)
		c->eos[c->n_eos++] = 248044;
	if (config_add_eos(c, eos, e) < 0)
		return -1;
	if (rope(c, text, e) < 0)
		return -1;
	return check_products(c, e);
}

int config_parse(struct model_config *out, const char *text, size_t len, const char *where,
                 struct err *e)
{
	struct model_config c = { 0 };
	cJSON *root = json_parse_bounded(text, len, VALUES_MAX, e);
	int rc = root ? read_config(&c, root, e) : -1;

	cJSON_Delete(root);
	if (rc < 0)
		return err_wrap(e, "%.200s", where);
	*out = c;
	return 0;
}

/* ---- sizes by name ---- */

int config_named(struct model_config *out, const char *name)
{
	/* The family's share: h, layers, H, KV, hd, nk, nv, dk, dv, K, I, V, R. The two small ones
	 * are ours: 10.5 M parameters, where a token costs little more than its calls, and 111 M
	 * (445 MB in f32), which no cache holds. */
	static const struct {
		const char *name;
		int hidden, layers, heads, kv, hd, nk, nv, dk, dv, mlp, vocabulary;
		bool tied;
	} named[] = {
		{ "10m", 256, 12, 4, 2, 64, 4, 4, 64, 64, 640, 3200, true },
		{ "110m", 768, 12, 12, 4, 64, 6, 12, 64, 64, 2560, 16384, true },
		{ "0.8b", 1024, 24, 8, 2, 256, 16, 16, 128, 128, 3584, 248320, true },
		{ "2b", 2048, 24, 8, 2, 256, 16, 16, 128, 128, 6144, 248320, true },
		{ "4b", 2560, 32, 16, 4, 256, 16, 32, 128, 128, 9216, 248320, true },
		{ "9b", 4096, 32, 16, 4, 256, 16, 32, 128, 128, 12288, 248320, false },
	};

	for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
		if (strcmp(named[i].name, name) != 0)
			continue;
		*out = (struct model_config){
			.hidden = named[i].hidden,
			.layers = named[i].layers,
			.heads = named[i].heads,
			.kv_heads = named[i].kv,
			.head_dim = named[i].hd,
			.key_heads = named[i].nk,
			.value_heads = named[i].nv,
			.key_dim = named[i].dk,
			.value_dim = named[i].dv,
			.conv = 4,
			.mlp = named[i].mlp,
			.vocabulary = named[i].vocabulary,
			.rotary = named[i].hd / 4,
			.rope_theta = 1e7,
			.norm_eps = 1e-6,
			.context = 262144,
			.tied = named[i].tied,
			.n_delta = named[i].layers / 4 * 3,
			.n_attention = named[i].layers / 4,
		};
		for (int l = 0; l < out->layers; l++)
			out->kind[l] = l % 4 == 3 ? LAYER_ATTENTION : LAYER_DELTA;
		return 0;
	}
	return -1;
}
