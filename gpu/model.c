/*
 * A folder becomes a model in four steps: its config, its tensors by name, every tensor that the
 * config asks for at its place with its shape, and nothing left over that is not known.
 */
#include "gpu/model_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu/cpu_kernels.h"
#include "src/base/json.h"
#include "src/base/sha256.h"

enum { CONFIG_MAX_BYTES = 16 << 20, NAME_MAX_BYTES = 160 };

/* ---- the tensors there should be (qwen35.md, section 3) ---- */

int model_each(struct model *m, const char *prefix, const char *head,
               int (*each)(void *ctx, const struct wanted *w, struct err *e), void *ctx,
               struct err *e)
{
	const struct model_config *c = &m->config;
	int64_t h = c->hidden, nv = c->value_heads;
	char name[NAME_MAX_BYTES];
	int out, in, rc;

	struct wanted w = { name, ROLE_MATRIX, 2, { c->vocabulary, h }, &m->embedding };
	snprintf(name, sizeof(name), "%sembed_tokens.weight", prefix);
	if ((rc = each(ctx, &w, e)) != 0)
		return rc;
	if (!c->tied) {
		snprintf(name, sizeof(name), "%s", head);
		w.slot = &m->head;
		if ((rc = each(ctx, &w, e)) != 0)
			return rc;
	}
	w = (struct wanted){ name, ROLE_NORM, 1, { h }, &m->final_norm };
	snprintf(name, sizeof(name), "%snorm.weight", prefix);
	if ((rc = each(ctx, &w, e)) != 0)
		return rc;
	for (int l = 0; l < c->layers; l++) {
		struct layer *x = &m->layer[l];
		const struct {
			const char *name;
			enum layer_kind kind;
			bool either;
			struct wanted w;
		} small[] = {
			{ "input_layernorm.weight",
			  0,
			  true,
			  { name, ROLE_NORM, 1, { h }, &x->input_norm } },
			{ "post_attention_layernorm.weight",
			  0,
			  true,
			  { name, ROLE_NORM, 1, { h }, &x->post_norm } },
			{ "self_attn.q_norm.weight",
			  LAYER_ATTENTION,
			  false,
			  { name, ROLE_NORM, 1, { c->head_dim }, &x->q_norm } },
			{ "self_attn.k_norm.weight",
			  LAYER_ATTENTION,
			  false,
			  { name, ROLE_NORM, 1, { c->head_dim }, &x->k_norm } },
			{ "linear_attn.conv1d.weight",
			  LAYER_DELTA,
			  false,
			  { name, ROLE_CONV, 3, { config_channels(c), 1, c->conv }, &x->conv } },
			{ "linear_attn.A_log",
			  LAYER_DELTA,
			  false,
			  { name, ROLE_A_LOG, 1, { nv }, &x->a_log } },
			{ "linear_attn.dt_bias",
			  LAYER_DELTA,
			  false,
			  { name, ROLE_DT_BIAS, 1, { nv }, &x->dt_bias } },
			{ "linear_attn.norm.weight",
			  LAYER_DELTA,
			  false,
			  { name, ROLE_PLAIN_NORM, 1, { c->value_dim }, &x->norm } },
		};
		x->kind = c->kind[l];
		for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++) {
			if (!small[i].either && small[i].kind != c->kind[l])
				continue;
			snprintf(name, sizeof(name), "%slayers.%d.%s", prefix, l, small[i].name);
			if ((rc = each(ctx, &small[i].w, e)) != 0)
				return rc;
		}
		for (enum module k = 0; k < MODULE_COUNT; k++) {
			if (!module_shape(c, l, k, &out, &in))
				continue;
			w = (struct wanted){ name, ROLE_MATRIX, 2, { out, in }, &x->linear[k] };
			snprintf(name, sizeof(name), "%slayers.%d.%s.weight", prefix, l,
			         module_path(k));
			if ((rc = each(ctx, &w, e)) != 0)
				return rc;
		}
	}
	return 0;
}

/* ---- finding them ---- */

struct search {
	struct model *m;
	bool *used; /* by index of tensors.item */
};

static const char *file_of(const struct model *m, const struct tensor *t)
{
	return t->file < m->tensors.n_files ? m->tensors.file[t->file].path : m->dir;
}

static int find(void *ctx, const struct wanted *w, struct err *e)
{
	struct search *s = ctx;
	struct tensor want = { .n_dims = w->n_dims };
	const struct tensor *t = tensors_find(&s->m->tensors, w->name);
	char a[128], b[128];
	bool same;

	memcpy(want.dims, w->dims, sizeof(w->dims));
	tensor_shape(&want, a, sizeof(a));
	if (!t)
		return err_set(e, ERR_INPUT,
		               "%.200s: tensor '%s' %s, which config.json asks for, is not there",
		               s->m->dir, w->name, a);
	tensor_shape(t, b, sizeof(b));
	same = t->n_dims == w->n_dims;
	for (int i = 0; i < w->n_dims && same; i++)
		same = t->dims[i] == w->dims[i];
	if (!same)
		return err_set(e, ERR_INPUT,
		               "%.200s: tensor '%s': shape %s wanted (from config.json), got %s",
		               file_of(s->m, t), w->name, a, b);
	if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 && t->dtype != DTYPE_BF16)
		return err_set(e, ERR_INPUT,
		               "%.200s: tensor '%s': dtype F32, F16 or BF16 wanted, got %s",
		               file_of(s->m, t), w->name, t->word ? t->word : dtype_name(t->dtype));
	s->used[t - s->m->tensors.item] = true;
	*w->slot = t;
	return 0;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool left_out(const char *name)
{
	static const char *const prefix[] = { "model.visual.", "visual.", "mtp.", "model.mtp." };

	for (size_t i = 0; i < sizeof(prefix) / sizeof(*prefix); i++)
		if (begins(name, prefix[i]))
			return true;
	return false;
}

/* Every tensor at its place; what is left over must be known. */
static int place(struct model *m, struct err *e)
{
	static const struct {
		const char *text, *head;
	} prefixes[] = {
		{ "model.language_model.", "lm_head.weight" },
		{ "language_model.model.", "language_model.lm_head.weight" },
		{ "model.", "lm_head.weight" },
	};
	enum { N = sizeof(prefixes) / sizeof(*prefixes) };
	struct search s = { m, calloc((size_t)m->tensors.n + 1, sizeof(bool)) };
	const char *head;
	int rc = -1, k = 0;

	if (!s.used)
		return err_set(e, ERR_MEM, "%.200s: no memory", m->dir);
	for (; k < N; k++) {
		char name[NAME_MAX_BYTES];
		snprintf(name, sizeof(name), "%sembed_tokens.weight", prefixes[k].text);
		if (tensors_find(&m->tensors, name))
			break;
	}
	if (k == N) {
		err_set(e, ERR_INPUT,
		        "%.200s: tensor 'model.embed_tokens.weight' is not there, nor with the "
		        "prefix model.language_model. or language_model.model.: a Qwen3.5 model "
		        "wanted",
		        m->dir);
		goto out;
	}
	head = prefixes[k].head;
	if (!tensors_find(&m->tensors, head))
		head = "lm_head.weight";
	if (model_each(m, prefixes[k].text, head, find, &s, e) < 0)
		goto out;
	if (m->config.tied)
		m->head = m->embedding;
	for (int i = 0; i < m->tensors.n; i++) {
		const char *name = m->tensors.item[i].name;
		if (s.used[i] || (m->config.tied && strcmp(name, head) == 0))
			continue;
		if (!left_out(name)) {
			err_set(e, ERR_INPUT,
			        "%.200s: tensor '%.120s' is none of the %d layers that config.json "
			        "tells of, nor of a vision or MTP part",
			        file_of(m, &m->tensors.item[i]), name, m->config.layers);
			goto out;
		}
		m->skipped++;
	}
	rc = 0;
out:
	free(s.used);
	return rc;
}

/* ---- the hash, and a look at the values ---- */

static bool all_finite(const struct tensor *t, uint64_t from, uint64_t n)
{
	float v[256];

	while (n > 0) {
		uint64_t k = n < 256 ? n : 256;
		tensor_read(t, from, k, v);
		for (uint64_t i = 0; i < k; i++)
			if (!isfinite(v[i]))
				return false;
		from += k;
		n -= k;
	}
	return true;
}

struct reading {
	struct model *m;
	struct sha256 sha;
};

/* Small tensors whole, of large ones four places: a cold file of 18 GB is known by a thousand
 * pages. */
static int take_in(void *ctx, const struct wanted *w, struct err *e)
{
	enum { WHOLE = 16384, PIECE = 512, PIECES = 4 };
	struct reading *r = ctx;
	const struct tensor *t = *w->slot;
	size_t size = dtype_bytes(t->dtype);
	int pieces = t->n <= WHOLE ? 1 : PIECES;
	uint64_t n = pieces == 1 ? t->n : PIECE;
	char text[64];

	tensor_shape(t, text, sizeof(text));
	sha256_add(&r->sha, w->name, strlen(w->name) + 1);
	sha256_add(&r->sha, dtype_name(t->dtype), strlen(dtype_name(t->dtype)) + 1);
	sha256_add(&r->sha, text, strlen(text) + 1);
	for (int i = 0; i < pieces; i++) {
		uint64_t from = pieces == 1 ? 0 : (t->n - n) / (PIECES - 1) * (uint64_t)i;
		sha256_add(&r->sha, (const char *)t->data + from * size, n * size);
		if (!all_finite(t, from, n))
			return err_set(e, ERR_INPUT,
			               "%.200s: tensor '%s' holds values that are no finite "
			               "numbers: the file is damaged, or its training diverged",
			               file_of(r->m, t), t->name);
	}
	return 0;
}

/* ---- opening ---- */

static int path_in(struct buf *path, const struct model *m, const char *name, struct err *e)
{
	buf_clear(path);
	buf_printf(path, "%s/%s", m->dir, name);
	return buf_failed(path) ? err_set(e, ERR_MEM, "no memory for a path") : 0;
}

static int read_configs(struct model *m, struct sha256 *sha, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	cJSON *root = NULL;
	int rc = -1;

	if (path_in(&path, m, "adapter_config.json", e) < 0)
		goto out;
	bool adapter = access(path.data, F_OK) == 0;
	if (path_in(&path, m, "config.json", e) < 0)
		goto out;
	if (access(path.data, F_OK) < 0 && errno == ENOENT && adapter) {
		err_set(e, ERR_INPUT,
		        "%.300s is an adapter: name its base model's folder, and this one with "
		        "--adapter",
		        m->dir);
		goto out;
	}
	if (buf_read_file(&text, path.data, CONFIG_MAX_BYTES, e) < 0)
		goto out;
	sha256_add(sha, text.data, text.len);
	if (config_parse(&m->config, buf_str(&text), text.len, path.data, e) < 0 ||
	    path_in(&path, m, "generation_config.json", e) < 0)
		goto out;
	if (access(path.data, F_OK) == 0) {
		buf_clear(&text);
		if (buf_read_file(&text, path.data, CONFIG_MAX_BYTES, e) < 0)
			goto out;
		root = json_parse_bounded(buf_str(&text), text.len, 100000, e);
		if (!root ||
		    config_add_eos(&m->config,
		                   cJSON_GetObjectItemCaseSensitive(root, "eos_token_id"), e) < 0) {
			err_wrap(e, "%.200s", path.data);
			goto out;
		}
	}
	rc = 0;
out:
	cJSON_Delete(root);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

int model_open(struct model *m, const char *dir, struct err *e)
{
	struct reading r = { .m = m };
	int rc = -1;

	memset(m, 0, sizeof(*m));
	m->dir = strdup(dir);
	if (!m->dir)
		return err_set(e, ERR_MEM, "%.300s: no memory", dir);
	sha256_start(&r.sha);
	if (read_configs(m, &r.sha, e) < 0)
		goto out;
	m->layer = calloc((size_t)m->config.layers, sizeof(*m->layer));
	if (!m->layer) {
		err_set(e, ERR_MEM, "%.300s: no memory", dir);
		goto out;
	}
	if (tensors_open_folder(&m->tensors, dir, "model", e) < 0 || place(m, e) < 0 ||
	    model_each(m, "", "lm_head.weight", take_in, &r, e) < 0)
		goto out;
	sha256_end(&r.sha, m->hash);
	rc = 0;
out:
	if (rc < 0)
		model_close(m);
	return rc;
}

void model_close(struct model *m)
{
	tensors_close(&m->tensors);
	if (m->own)
		munmap(m->own, m->own_bytes);
	free(m->layer);
	free(m->dir);
	memset(m, 0, sizeof(*m));
}

/* ---- telling about it ---- */

struct sums {
	uint64_t tensors[DTYPE_OTHER], parameters[DTYPE_OTHER], bytes;
	uint64_t matrix, rest; /* elements of matrices, and of all else */
	uint64_t int8_bytes;
};

static int sum_up(void *ctx, const struct wanted *w, struct err *e)
{
	struct sums *s = ctx;
	const struct tensor *t = *w->slot;

	(void)e;
	s->tensors[t->dtype]++;
	s->parameters[t->dtype] += t->n;
	s->bytes += t->bytes;
	if (w->role == ROLE_MATRIX) {
		uint64_t rows = (uint64_t)t->dims[0], columns = (uint64_t)t->dims[1];
		s->matrix += t->n;
		s->int8_bytes += t->n + 4 * rows * ((columns + Q8_GROUP - 1) / Q8_GROUP);
	} else {
		s->rest += t->n;
	}
	return 0;
}

static void add_count(cJSON *o, const char *key, uint64_t v)
{
	cJSON_AddNumberToObject(o, key, (double)v);
}

cJSON *model_describe(const struct model *m)
{
	const struct model_config *c = &m->config;
	struct model look = *m; /* model_each() hands out places to write to */
	struct sums s = { 0 };
	cJSON *o = cJSON_CreateObject(), *part;
	char hex[SHA256_HEX];

	model_each(&look, "", "", sum_up, &s, NULL);
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", m->hash[i]);
	add_count(o, "parameters", config_parameters(c));
	part = cJSON_AddObjectToObject(o, "sizes");
	add_count(part, "layers", (uint64_t)c->layers);
	add_count(part, "delta_layers", (uint64_t)c->n_delta);
	add_count(part, "attention_layers", (uint64_t)c->n_attention);
	add_count(part, "hidden", (uint64_t)c->hidden);
	add_count(part, "mlp", (uint64_t)c->mlp);
	add_count(part, "vocabulary", (uint64_t)c->vocabulary);
	cJSON_AddBoolToObject(part, "tied", c->tied);
	add_count(part, "heads", (uint64_t)c->heads);
	add_count(part, "kv_heads", (uint64_t)c->kv_heads);
	add_count(part, "head_dim", (uint64_t)c->head_dim);
	add_count(part, "rotary", (uint64_t)c->rotary);
	cJSON_AddNumberToObject(part, "rope_theta", c->rope_theta);
	add_count(part, "key_heads", (uint64_t)c->key_heads);
	add_count(part, "value_heads", (uint64_t)c->value_heads);
	add_count(part, "key_dim", (uint64_t)c->key_dim);
	add_count(part, "value_dim", (uint64_t)c->value_dim);
	add_count(part, "conv", (uint64_t)c->conv);
	add_count(part, "context", (uint64_t)c->context);
	part = cJSON_AddArrayToObject(o, "eos");
	for (int i = 0; i < c->n_eos; i++)
		cJSON_AddItemToArray(part, cJSON_CreateNumber(c->eos[i]));
	part = cJSON_AddObjectToObject(o, "dtypes");
	for (int t = 0; t < DTYPE_OTHER; t++) {
		if (!s.tensors[t])
			continue;
		cJSON *d = cJSON_AddObjectToObject(part, dtype_name((enum dtype)t));
		add_count(d, "tensors", s.tensors[t]);
		add_count(d, "parameters", s.parameters[t]);
	}
	part = cJSON_AddArrayToObject(o, "files");
	for (int i = 0; i < m->tensors.n_files; i++) {
		const char *slash = strrchr(m->tensors.file[i].path, '/');
		cJSON *f = cJSON_CreateObject();
		json_add_text(f, "name", slash ? slash + 1 : m->tensors.file[i].path);
		add_count(f, "bytes", m->tensors.file[i].bytes);
		cJSON_AddItemToArray(part, f);
	}
	add_count(o, "skipped_tensors", (uint64_t)m->skipped);
	part = cJSON_AddObjectToObject(o, "load_bytes");
	add_count(part, "as_stored", s.bytes);
	add_count(part, "bf16", 2 * s.matrix + 4 * s.rest);
	add_count(part, "f32", 4 * (s.matrix + s.rest));
	add_count(part, "int8", s.int8_bytes + 4 * s.rest);
	add_count(o, "state_bytes", config_state_bytes(c));
	add_count(o, "kv_bytes_per_token", config_kv_bytes_per_token(c));
	json_add_text(o, "hash", hex);
	return o;
}
