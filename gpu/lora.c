/*
 * A PEFT folder becomes parts by layer and module. Which module a tensor belongs to is told by its
 * name alone: target_modules may be a list, a pattern or a word, and PEFT applies silently nothing
 * where it does not match. So every tensor must find its module here, with its A or B beside it.
 */
#include "gpu/lora.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "src/base/folder.h"
#include "src/base/json.h"
#include "src/base/sha256.h"

enum {
	CONFIG_MAX_BYTES = 16 << 20,
	VALUES_MAX = 100000,
	RANK_MAX = 4096,
	PATTERNS_MAX = 4096,  /* one a module of a large model */
	PATTERN_STEPS = 20000 /* of PCRE2's own count: a path has some 60 letters */
};

struct config {
	double r, alpha;
	bool rslora;
	struct patterns {
		int n;
		struct {
			pcre2_code *code;
			const char *text;
			double value;
		} * v;
	} ranks, alphas;
	cJSON *root;
};

/* ---- adapter_config.json ---- */

static void patterns_release(struct patterns *p)
{
	for (int i = 0; i < p->n; i++)
		pcre2_code_free(p->v[i].code);
	free(p->v);
}

static void config_release(struct config *c)
{
	patterns_release(&c->ranks);
	patterns_release(&c->alphas);
	cJSON_Delete(c->root);
}

/* PEFT: re.match(rf"(.*\.)?({key})$", path), the first key that matches. */
static int read_patterns(struct patterns *p, const cJSON *root, const char *key, struct err *e)
{
	const cJSON *v, *o = cJSON_GetObjectItemCaseSensitive(root, key);
	struct buf text = { 0 };
	int rc = -1;

	if (!o || cJSON_IsNull(o))
		return 0;
	if (!cJSON_IsObject(o))
		return err_set(e, ERR_INPUT, "%s: an object wanted", key);
	int n = cJSON_GetArraySize(o);
	if (n > PATTERNS_MAX)
		return err_set(e, ERR_INPUT, "%s: at most %d entries wanted, got %d", key,
		               PATTERNS_MAX, n);
	p->v = calloc((size_t)n + 1, sizeof(*p->v));
	if (!p->v)
		return err_set(e, ERR_MEM, "no memory for %d patterns", n);
	cJSON_ArrayForEach(v, o)
	{
		int code = 0;
		size_t at = 0;
		if (!cJSON_IsNumber(v) || !(v->valuedouble > 0 && v->valuedouble < 1e6)) {
			err_set(e, ERR_INPUT, "%s: '%.80s': a number over 0 wanted", key,
			        v->string);
			goto out;
		}
		if (strlen(v->string) > 1000) {
			err_set(e, ERR_INPUT, "%s: '%.80s...': a pattern of %zu bytes", key,
			        v->string, strlen(v->string));
			goto out;
		}
		buf_clear(&text);
		buf_printf(&text, "^(?:.*\\.)?(?:%s)$", v->string);
		if (buf_failed(&text)) {
			err_set(e, ERR_MEM, "no memory for a pattern");
			goto out;
		}
		p->v[p->n].code =
			pcre2_compile((PCRE2_SPTR)text.data, text.len, PCRE2_UTF, &code, &at, NULL);
		if (!p->v[p->n].code) {
			unsigned char why[120] = "";
			pcre2_get_error_message(code, why, sizeof(why));
			err_set(e, ERR_INPUT, "%s: '%.80s' is no pattern: %s", key, v->string,
			        (char *)why);
			goto out;
		}
		p->v[p->n].text = v->string;
		p->v[p->n++].value = v->valuedouble;
	}
	rc = 0;
out:
	buf_release(&text);
	return rc;
}

/* The value that the first pattern matching @path gives, else @def. */
static int pattern_value(const struct patterns *p, const char *path, double def, double *out,
                         struct err *e)
{
	int rc = 0;

	*out = def;
	if (p->n == 0)
		return 0;
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	if (!limits || !data) {
		rc = err_set(e, ERR_MEM, "no memory to match a pattern");
	} else {
		pcre2_set_match_limit(limits, PATTERN_STEPS);
		pcre2_set_depth_limit(limits, PATTERN_STEPS);
	}
	for (int i = 0; i < p->n && rc == 0; i++) {
		int got = pcre2_match(p->v[i].code, (PCRE2_SPTR)path, strlen(path), 0, 0, data,
		                      limits);
		if (got >= 0) {
			*out = p->v[i].value;
			break;
		}
		if (got != PCRE2_ERROR_NOMATCH)
			rc = err_set(e, ERR_INPUT,
			             "pattern '%.80s' takes too long to match '%.120s'",
			             p->v[i].text, path);
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	return rc;
}

/* There, and neither null, false, [] nor {}. */
static bool says_something(const cJSON *v)
{
	if (!v || cJSON_IsNull(v) || cJSON_IsFalse(v))
		return false;
	return !(cJSON_IsArray(v) || cJSON_IsObject(v)) || v->child;
}

static int refuse(const cJSON *root, struct err *e)
{
	static const struct {
		const char *key, *why;
	} never[] = {
		{ "use_dora", "its magnitudes are not applied here" },
		{ "modules_to_save", "it replaces parts of the base" },
		{ "fan_in_fan_out", "Qwen3.5 stores no matrix transposed" },
		{ "lora_bias", "biases are not applied here" },
		{ "layer_replication", "it changes the base's layers" },
		{ "use_qalora", "its pooled inputs are not computed here" },
		{ "use_bdlora", "its block-diagonal factors are not computed here" },
		{ "alora_invocation_tokens", "it applies to a part of the text only" },
		{ "trainable_token_indices", "it replaces rows of the embedding" },
		{ "target_parameters", "only linear layers can be targets" },
		{ "arrow_config", "its routing is not computed here" },
		{ "kasa_config", "it changes the base's weights" },
		{ "monteclora_config", "its mixture is not computed here" },
	};
	/* these start from another base than the one on disk */
	static const char *const init[] = { "pissa", "olora", "corda", "loftq", "lora_ga" };
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, "peft_type");

	if (v && !(cJSON_IsString(v) && strcmp(v->valuestring, "LORA") == 0))
		return err_set(e, ERR_INPUT, "peft_type: \"LORA\" wanted, got '%.40s'",
		               cJSON_IsString(v) ? v->valuestring : "no string");
	v = cJSON_GetObjectItemCaseSensitive(root, "bias");
	if (says_something(v) && !(cJSON_IsString(v) && strcmp(v->valuestring, "none") == 0))
		return err_set(e, ERR_INPUT,
		               "bias: \"none\" wanted, got '%.40s': biases are not applied here",
		               cJSON_IsString(v) ? v->valuestring : "no string");
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
		if (says_something(cJSON_GetObjectItemCaseSensitive(root, never[i].key)))
			return err_set(e, ERR_INPUT, "%s: adapters with it are not taken: %s",
			               never[i].key, never[i].why);
	v = cJSON_GetObjectItemCaseSensitive(root, "init_lora_weights");
	for (size_t i = 0; cJSON_IsString(v) && i < sizeof(init) / sizeof(*init); i++)
		if (strncasecmp(v->valuestring, init[i], strlen(init[i])) == 0)
			return err_set(
				e, ERR_INPUT,
				"init_lora_weights: '%.40s' changes the base's weights: save "
				"the adapter converted to plain LoRA "
				"(path_initial_model_for_weight_conversion)",
				v->valuestring);
	return 0;
}

static int read_config(struct config *c, const char *text, size_t len, struct err *e)
{
	const cJSON *rslora;
	long long r;

	c->root = json_parse_bounded(text, len, VALUES_MAX, e);
	if (!c->root)
		return -1;
	if (!cJSON_IsObject(c->root))
		return err_set(e, ERR_INPUT, "an object wanted");
	if (refuse(c->root, e) < 0 || json_get_int(c->root, "r", 1, RANK_MAX, &r, e) < 0 ||
	    json_get_number(c->root, "lora_alpha", &c->alpha, e) < 0)
		return -1;
	c->r = (double)r;
	if (!(fabs(c->alpha) < 1e6))
		return err_set(e, ERR_INPUT, "lora_alpha: a number under 1e6 wanted, got %g",
		               c->alpha);
	rslora = cJSON_GetObjectItemCaseSensitive(c->root, "use_rslora");
	if (rslora && !cJSON_IsBool(rslora) && !cJSON_IsNull(rslora))
		return err_set(e, ERR_INPUT, "use_rslora: true or false wanted");
	c->rslora = cJSON_IsTrue(rslora);
	if (read_patterns(&c->ranks, c->root, "rank_pattern", e) < 0)
		return -1;
	return read_patterns(&c->alphas, c->root, "alpha_pattern", e);
}

/* ---- names ---- */

static bool take(const char **at, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(*at, text, n) != 0)
		return false;
	*at += n;
	return true;
}

struct place {
	bool vision;
	int layer;
	enum module module;
	bool is_b;
	char path[160]; /* "model.layers.0.self_attn.q_proj": what patterns are matched against */
};

/* Where the tensor of this name belongs; -1: nowhere that a base of Qwen3.5 has. */
static int find_place(struct place *p, const char *name)
{
	const char *at = name, *end;
	long layer = 0;
	int digits = 0;

	memset(p, 0, sizeof(*p));
	if (!take(&at, "base_model.model."))
		return -1;
	const char *path = at;
	if (strncmp(at, "model.visual.", 13) == 0 || strncmp(at, "visual.", 7) == 0) {
		p->vision = true;
		return 0;
	}
	if (!take(&at, "model.language_model.") && !take(&at, "language_model.model.") &&
	    !take(&at, "model."))
		return -1;
	if (!take(&at, "layers."))
		return -1;
	for (; *at >= '0' && *at <= '9' && digits < 6; at++, digits++)
		layer = layer * 10 + (*at - '0');
	if (digits == 0 || *at++ != '.')
		return -1;
	p->layer = (int)layer;
	for (p->module = 0; p->module < MODULE_COUNT; p->module++) {
		end = at;
		if (take(&end, module_path(p->module)) && *end == '.')
			break;
	}
	if (p->module == MODULE_COUNT || (size_t)(end - path) >= sizeof(p->path))
		return -1;
	memcpy(p->path, path, (size_t)(end - path));
	if (take(&end, ".lora_B"))
		p->is_b = true;
	else if (!take(&end, ".lora_A"))
		return -1;
	take(&end, ".default");
	return strcmp(end, ".weight") == 0 ? 0 : -1;
}

static int misfit(const struct tensor *t, const char *why, struct err *e)
{
	char shape[128];

	tensor_shape(t, shape, sizeof(shape));
	return err_set(e, ERR_INPUT, "tensor '%.160s' %s: %s: this adapter is for another model",
	               t->name, shape, why);
}

/* ---- opening ---- */

struct pair {
	const struct tensor *a, *b;
	char path[160];
};

/* Puts @t at its place among @pair, [layers][MODULE_COUNT]. */
static int sort_in(struct adapter *a, struct pair *pair, const struct tensor *t,
                   const struct model_config *c, struct err *e)
{
	char want[128], got[128], why[200];
	struct place p;
	int out, in;

	if (find_place(&p, t->name) < 0)
		return misfit(t, "it is the A or B of no linear layer of Qwen3.5's text model", e);
	if (p.vision) {
		a->skipped++;
		return 0;
	}
	if (p.layer >= c->layers) {
		snprintf(why, sizeof(why), "the base has %d layers", c->layers);
		return misfit(t, why, e);
	}
	if (!module_shape(c, p.layer, p.module, &out, &in)) {
		snprintf(why, sizeof(why), "layer %d of the base is %s and has no %s", p.layer,
		         c->kind[p.layer] == LAYER_DELTA ? "a DeltaNet" : "attention",
		         module_path(p.module));
		return misfit(t, why, e);
	}
	struct pair *x = &pair[p.layer * MODULE_COUNT + (int)p.module];
	const struct tensor **slot = p.is_b ? &x->b : &x->a;
	tensor_shape(t, got, sizeof(got));
	if (t->n_dims != 2 || t->dims[p.is_b ? 0 : 1] != (p.is_b ? out : in)) {
		if (p.is_b)
			snprintf(want, sizeof(want), "[%d, r]", out);
		else
			snprintf(want, sizeof(want), "[r, %d]", in);
		return err_set(e, ERR_INPUT,
		               "tensor '%.160s': shape %s wanted by the base, got %s: this "
		               "adapter is for another model",
		               t->name, want, got);
	}
	int64_t r = t->dims[p.is_b ? 1 : 0];
	if (r < 1 || r > RANK_MAX)
		return err_set(e, ERR_INPUT, "tensor '%.160s' %s: a rank from 1 to %d wanted",
		               t->name, got, RANK_MAX);
	if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 && t->dtype != DTYPE_BF16)
		return err_set(e, ERR_INPUT,
		               "tensor '%.160s': dtype F32, F16 or BF16 wanted, got %s", t->name,
		               t->word ? t->word : dtype_name(t->dtype));
	if (*slot)
		return err_set(e, ERR_INPUT, "tensors '%.160s' and '%.160s' are the same one",
		               (*slot)->name, t->name);
	*slot = t;
	memcpy(x->path, p.path, sizeof(x->path));
	return 0;
}

/* The part that @x makes, its values read to *@at; without values when that is NULL. */
static int make_part(struct lora_part *part, const struct pair *x, const struct config *c,
                     float **at, struct err *e)
{
	double r, alpha;
	char a[128], b[128];

	if (!x->a || !x->b)
		return err_set(e, ERR_INPUT, "tensor '%.160s' has no lora_%c beside it",
		               x->a ? x->a->name : x->b->name, x->a ? 'B' : 'A');
	int rank = (int)x->a->dims[0];
	tensor_shape(x->a, a, sizeof(a));
	tensor_shape(x->b, b, sizeof(b));
	if (x->b->dims[1] != rank)
		return err_set(e, ERR_INPUT,
		               "tensors '%.120s' %s and '%.120s' %s: they have different ranks",
		               x->a->name, a, x->b->name, b);
	if (pattern_value(&c->ranks, x->path, c->r, &r, e) < 0 ||
	    pattern_value(&c->alphas, x->path, c->alpha, &alpha, e) < 0)
		return -1;
	if (r != rank)
		return err_set(e, ERR_INPUT,
		               "tensor '%.160s' %s: adapter_config.json asks for rank %g",
		               x->a->name, a, r);
	part->rank = rank;
	part->scale = (float)(c->rslora ? alpha / sqrt(rank) : alpha / rank);
	for (int k = 0; *at && k < 2; k++) {
		const struct tensor *t = k ? x->b : x->a;
		float *v = *at, sum = 0;
		tensor_read(t, 0, t->n, v);
		*(k ? &part->b : &part->a) = v;
		*at += t->n;
		/* what is not finite stays so when multiplied by 0, and when added to */
		for (uint64_t i = 0; i < t->n; i++)
			sum += v[i] * 0;
		if (sum != 0)
			return err_set(e, ERR_INPUT,
			               "tensor '%.160s' holds values that are no finite numbers: "
			               "the file is damaged, or its training diverged",
			               t->name);
	}
	return 0;
}

/* For the values; free() gives it back. In large pages where it is large: of a rank-16 adapter's
 * 173 MB, half the time of opening would go into faults of 4 KiB. */
static float *room(size_t bytes)
{
	const size_t page = (size_t)2 << 20;
	void *p;

	if (bytes < 4 * page)
		return malloc(bytes);
	if (posix_memalign(&p, page, (bytes + page - 1) / page * page) != 0)
		return NULL;
	madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static int make_parts(struct adapter *a, const struct tensors *t, const struct config *f,
                      const struct model_config *c, bool values, struct err *e)
{
	size_t n = (size_t)c->layers * MODULE_COUNT;
	struct pair *pair = calloc(n, sizeof(*pair));
	int rc = -1;

	a->part = calloc((size_t)c->layers, sizeof(*a->part));
	a->layers = c->layers;
	if (!pair || !a->part) {
		err_set(e, ERR_MEM, "no memory for %d layers", c->layers);
		goto out;
	}
	for (int i = 0; i < t->n; i++)
		if (sort_in(a, pair, &t->item[i], c, e) < 0)
			goto out;
	for (size_t i = 0; i < n; i++)
		a->parameters += (pair[i].a ? pair[i].a->n : 0) + (pair[i].b ? pair[i].b->n : 0);
	if (a->parameters == 0) {
		err_set(e, ERR_INPUT, "it holds no LoRA tensor of the text model%s",
		        a->skipped ? ", only such of the vision part" : "");
		goto out;
	}
	float *at = a->own = values ? room(a->parameters * sizeof(float)) : NULL;
	if (values && !at) {
		err_set(e, ERR_MEM, "no memory for %" PRIu64 " values", a->parameters);
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		struct lora_part *part = &a->part[i / MODULE_COUNT][i % MODULE_COUNT];
		if (!pair[i].a && !pair[i].b)
			continue;
		if (make_part(part, &pair[i], f, &at, e) < 0)
			goto out;
		a->modules++;
		if (part->rank > a->rank_max)
			a->rank_max = part->rank;
	}
	rc = 0;
out:
	free(pair);
	return rc;
}

static void hash_tensors(struct sha256 *sha, const struct tensors *t)
{
	char shape[128];

	for (int i = 0; i < t->n; i++) {
		const struct tensor *x = &t->item[i];
		tensor_shape(x, shape, sizeof(shape));
		sha256_add(sha, x->name, strlen(x->name) + 1);
		sha256_add(sha, dtype_name(x->dtype), strlen(dtype_name(x->dtype)) + 1);
		sha256_add(sha, shape, strlen(shape) + 1);
		sha256_add(sha, x->data, x->bytes);
	}
}

static void set_name(struct adapter *a, const char *dir)
{
	size_t end = strlen(dir), begin;

	while (end > 1 && dir[end - 1] == '/')
		end--;
	for (begin = end; begin > 0 && dir[begin - 1] != '/';)
		begin--;
	snprintf(a->name, sizeof(a->name), "%.*s", (int)(end - begin), dir + begin);
}

static int open_adapter(struct adapter *a, const char *dir, const struct model_config *c,
                        bool values, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	struct config f = { 0 };
	struct tensors t = { 0 };
	struct sha256 sha;
	int rc = -1;

	memset(a, 0, sizeof(*a));
	a->dir = strdup(dir);
	buf_printf(&path, "%s/adapter_config.json", dir);
	if (!a->dir || buf_failed(&path)) {
		err_set(e, ERR_MEM, "%.300s: no memory", dir);
		goto out;
	}
	set_name(a, dir);
	if (buf_read_file(&text, path.data, CONFIG_MAX_BYTES, e) < 0)
		goto out;
	if (read_config(&f, buf_str(&text), text.len, e) < 0) {
		err_wrap(e, "%.200s", path.data);
		goto out;
	}
	a->rslora = f.rslora;
	if (json_string_or(f.root, "base_model_name_or_path", NULL)) {
		a->base_model = strdup(json_string_or(f.root, "base_model_name_or_path", ""));
		if (!a->base_model) {
			err_set(e, ERR_MEM, "%.300s: no memory", dir);
			goto out;
		}
	}
	if (tensors_open_folder(&t, dir, "adapter_model", e) < 0) {
		buf_clear(&path);
		buf_printf(&path, "%s/adapter_model.bin", dir);
		if (!buf_failed(&path) && e && e->kind == ERR_INPUT && access(path.data, F_OK) == 0)
			err_set(e, ERR_INPUT,
			        "%.300s: only safetensors are read: save the adapter again with "
			        "safe_serialization",
			        path.data);
		goto out;
	}
	if (make_parts(a, &t, &f, c, values, e) < 0) {
		err_wrap(e, "%.200s", t.n_files == 1 ? t.file[0].path : dir);
		goto out;
	}
	sha256_start(&sha);
	sha256_add(&sha, text.data, text.len);
	if (values)
		hash_tensors(&sha, &t);
	sha256_end(&sha, a->hash);
	rc = 0;
out:
	tensors_close(&t);
	config_release(&f);
	buf_release(&text);
	buf_release(&path);
	if (rc < 0)
		adapter_close(a);
	return rc;
}

int adapter_open(struct adapter *a, const char *dir, const struct model_config *c, struct err *e)
{
	return open_adapter(a, dir, c, true, e);
}

int adapter_look(struct adapter *a, const char *dir, const struct model_config *c, struct err *e)
{
	return open_adapter(a, dir, c, false, e);
}

void adapter_close(struct adapter *a)
{
	free(a->own);
	free(a->part);
	free(a->base_model);
	free(a->dir);
	memset(a, 0, sizeof(*a));
}

bool lora_mix_equal(const struct lora_mix *a, const struct lora_mix *b)
{
	if (a->n != b->n)
		return false;
	for (int i = 0; i < a->n; i++)
		if (a->part[i].adapter != b->part[i].adapter ||
		    a->part[i].weight != b->part[i].weight)
			return false;
	return true;
}

/* ---- saving ---- */

/* lora_alpha of a part: its scale times what PEFT divides by. Ours came from a division, so that a
 * whole number is meant where one is near. */
static double alpha_of(const struct lora_part *p, bool rslora)
{
	double v = (double)p->scale * (rslora ? sqrt(p->rank) : p->rank);

	return fabs(v - round(v)) < 1e-5 * fabs(v) ? round(v) : v;
}

/* target_modules as names ("q_proj") where all layers that have the module have a part, else as
 * paths ("layers.3.self_attn.q_proj"): PEFT would make parts of its own for the others. */
static void add_targets(cJSON *root, const struct adapter *a, const struct model_config *c)
{
	cJSON *list = cJSON_AddArrayToObject(root, "target_modules");
	char path[96];
	int out, in;

	for (enum module m = 0; m < MODULE_COUNT; m++) {
		int there = 0, all = 0;
		for (int l = 0; l < c->layers; l++) {
			all += module_shape(c, l, m, &out, &in);
			there += a->part[l][m].rank > 0;
		}
		if (there == all && there > 0)
			cJSON_AddItemToArray(list, cJSON_CreateString(module_name(m)));
		for (int l = 0; l < c->layers && there < all; l++) {
			if (a->part[l][m].rank == 0)
				continue;
			snprintf(path, sizeof(path), "layers.%d.%s", l, module_path(m));
			cJSON_AddItemToArray(list, cJSON_CreateString(path));
		}
	}
}

static int config_text(struct buf *text, const struct adapter *a, const struct model_config *c,
                       const struct adapter_save_options *o, struct err *e)
{
	const struct lora_part *first = NULL;
	cJSON *root = cJSON_CreateObject(), *ranks, *alphas;
	char path[96];

	for (int l = 0; l < a->layers && !first; l++)
		for (int m = 0; m < MODULE_COUNT && !first; m++)
			if (a->part[l][m].rank > 0)
				first = &a->part[l][m];
	cJSON_AddStringToObject(root, "peft_type", "LORA");
	cJSON_AddStringToObject(root, "task_type", "CAUSAL_LM");
	json_add_text(root, "base_model_name_or_path", o->base_model);
	cJSON_AddNumberToObject(root, "r", first->rank);
	cJSON_AddNumberToObject(root, "lora_alpha", alpha_of(first, o->rslora));
	cJSON_AddBoolToObject(root, "use_rslora", o->rslora);
	add_targets(root, a, c);
	ranks = cJSON_AddObjectToObject(root, "rank_pattern");
	alphas = cJSON_AddObjectToObject(root, "alpha_pattern");
	for (int l = 0; l < a->layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++) {
			const struct lora_part *p = &a->part[l][m];
			if (p->rank == 0)
				continue;
			snprintf(path, sizeof(path), "layers.%d.%s", l, module_path(m));
			if (p->rank != first->rank)
				cJSON_AddNumberToObject(ranks, path, p->rank);
			if (alpha_of(p, o->rslora) != alpha_of(first, o->rslora))
				cJSON_AddNumberToObject(alphas, path, alpha_of(p, o->rslora));
		}
	cJSON_AddNumberToObject(root, "lora_dropout", 0);
	cJSON_AddStringToObject(root, "bias", "none");
	cJSON_AddBoolToObject(root, "fan_in_fan_out", false);
	cJSON_AddBoolToObject(root, "use_dora", false);
	cJSON_AddBoolToObject(root, "init_lora_weights", true);
	cJSON_AddBoolToObject(root, "inference_mode", true);
	cJSON_AddNullToObject(root, "modules_to_save");
	json_print(text, root);
	buf_addc(text, '\n');
	cJSON_Delete(root);
	return buf_failed(text) ? err_set(e, ERR_MEM, "no memory for adapter_config.json") : 0;
}

struct saving {
	struct tensor *item;
	int n;
	struct buf names;
	uint16_t *narrow; /* BF16 values */
};

static void add_tensor(struct saving *s, const float *v, int rows, int columns, enum dtype dtype,
                       uint16_t **at)
{
	struct tensor *t = &s->item[s->n++];

	t->dtype = dtype;
	t->n_dims = 2;
	t->dims[0] = rows;
	t->dims[1] = columns;
	t->n = (uint64_t)rows * (uint64_t)columns;
	t->bytes = t->n * dtype_bytes(dtype);
	t->data = v;
	if (dtype == DTYPE_BF16) {
		t->data = *at;
		for (uint64_t i = 0; i < t->n; i++)
			(*at)[i] = bf16_round(v[i]);
		*at += t->n;
	}
}

static int write_tensors(const char *path, const struct adapter *a, const struct model_config *c,
                         const struct adapter_save_options *o, struct err *e)
{
	static const char *const metadata[] = { "format", "pt", NULL };
	struct saving s = { 0 };
	uint16_t *at;
	int rc = -1, out, in;

	s.item = calloc((size_t)a->modules * 2 + 1, sizeof(*s.item));
	if (o->dtype == DTYPE_BF16)
		s.narrow = malloc(a->parameters * 2 + 1);
	if (!s.item || (o->dtype == DTYPE_BF16 && !s.narrow)) {
		err_set(e, ERR_MEM, "no memory for %" PRIu64 " values", a->parameters);
		goto out;
	}
	at = s.narrow;
	for (int l = 0; l < a->layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++) {
			const struct lora_part *p = &a->part[l][m];
			if (p->rank == 0 || !module_shape(c, l, m, &out, &in))
				continue;
			add_tensor(&s, p->a, p->rank, in, o->dtype, &at);
			add_tensor(&s, p->b, out, p->rank, o->dtype, &at);
			for (int k = 0; k < 2; k++) {
				buf_printf(&s.names,
				           "base_model.model.model.%slayers.%d.%s.lora_%c.weight",
				           o->language_model_prefix ? "language_model." : "", l,
				           module_path(m), 'A' + k);
				buf_addc(&s.names, '\0');
			}
		}
	if (buf_failed(&s.names)) {
		err_set(e, ERR_MEM, "no memory for the tensors' names");
		goto out;
	}
	const char *name = buf_str(&s.names);
	for (int i = 0; i < s.n; i++) {
		s.item[i].name = name;
		name += strlen(name) + 1;
	}
	rc = tensors_write(path, s.item, s.n, metadata, e);
out:
	buf_release(&s.names);
	free(s.narrow);
	free(s.item);
	return rc;
}

int adapter_save(const struct adapter *a, const char *dir, const struct model_config *c,
                 const struct adapter_save_options *o, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	struct new_folder f = { 0 };
	const char *to;
	int rc = -1;

	if ((o->dtype != DTYPE_F32 && o->dtype != DTYPE_BF16) || a->modules == 0 ||
	    a->layers != c->layers)
		return err_set(
			e, ERR_USAGE,
			"%.200s: an adapter of this base, to be saved as F32 or BF16, wanted", dir);
	if (new_folder_begin(&f, dir, a->parameters * dtype_bytes(o->dtype), e) == 0 &&
	    config_text(&text, a, c, o, e) == 0 &&
	    (to = new_folder_path(&f, "adapter_model.safetensors", &path, e)) &&
	    write_tensors(to, a, c, o, e) == 0 &&
	    (to = new_folder_path(&f, "adapter_config.json", &path, e)) &&
	    file_write_atomic(to, text.data, text.len, e) == 0)
		rc = new_folder_end(&f, e);
	new_folder_drop(&f);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

/* ---- telling about it ---- */

cJSON *adapter_describe(const struct adapter *a)
{
	cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateObject();
	double least = INFINITY, most = -INFINITY;
	int rank_min = RANK_MAX;
	char hex[SHA256_HEX];

	for (enum module m = 0; m < MODULE_COUNT; m++) {
		int n = 0;
		for (int l = 0; l < a->layers; l++) {
			const struct lora_part *p = &a->part[l][m];
			if (p->rank == 0)
				continue;
			n++;
			least = fmin(least, p->scale);
			most = fmax(most, p->scale);
			rank_min = p->rank < rank_min ? p->rank : rank_min;
		}
		if (n)
			cJSON_AddNumberToObject(list, module_name(m), n);
	}
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", a->hash[i]);
	json_add_text(o, "name", a->name);
	json_add_text(o, "base_model", a->base_model);
	cJSON_AddNumberToObject(o, "modules", a->modules);
	cJSON_AddNumberToObject(o, "parameters", (double)a->parameters);
	cJSON_AddNumberToObject(o, "rank_min", rank_min);
	cJSON_AddNumberToObject(o, "rank_max", a->rank_max);
	json_add_figure(o, "scale_min", least);
	json_add_figure(o, "scale_max", most);
	cJSON_AddBoolToObject(o, "rslora", a->rslora);
	cJSON_AddNumberToObject(o, "skipped_tensors", a->skipped);
	cJSON_AddItemToObject(o, "targets", list);
	json_add_text(o, "hash", a->own ? hex : NULL);
	return o;
}
