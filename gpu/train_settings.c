#include "gpu/train_settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"

enum kind {
	TEXT,
	WHOLE,
	NUMBER,
	SWITCH,
	CHOICE, /* one of @words */
	TARGETS
};

/* Whether a run that goes on must have the same value. */
enum shaping { FREE, SHAPES };

/* Whose key it is: of runs that learn from rows, of a policy's, of both (0). */
enum whose { BOTH, ROWS, POLICY };

struct key {
	const char *name;
	enum kind kind;
	enum shaping shapes;
	double def, min, max;
	bool above;        /* min itself is out of range */
	const char *words; /* "adamw|muon"; the first is the default */
	enum whose of;
};

static const struct key keys[] = {
	{ "model", TEXT, FREE, .def = 0 },
	{ "tokenizer", TEXT, FREE, .def = 0, .of = ROWS },
	{ "data", TEXT, FREE, .def = 0, .of = ROWS },
	{ "eval_data", TEXT, FREE, .def = 0, .of = ROWS },
	{ "out", TEXT, FREE, .def = 0 },
	{ "base_name", TEXT, FREE, .def = 0 },
	{ "method", CHOICE, SHAPES, .words = "lora|full" },
	{ "adapter", TEXT, FREE, .def = 0 },
	{ "rank", WHOLE, SHAPES, .def = 16, .min = 1, .max = 1024 },
	{ "alpha", NUMBER, SHAPES, .def = 32, .min = 0, .max = 1e6, .above = true },
	{ "dropout", NUMBER, SHAPES, .def = 0, .min = 0, .max = 0.9, .of = ROWS },
	{ "rslora", SWITCH, SHAPES, .def = 0 },
	{ "targets", TARGETS, SHAPES, .def = 0 },
	{ "optimizer", CHOICE, SHAPES, .words = "adamw|muon" },
	{ "lr", NUMBER, SHAPES, .def = 2e-4, .min = 0, .max = 10, .above = true },
	{ "lr_muon", NUMBER, SHAPES, .def = 0.02, .min = 0, .max = 10, .above = true },
	{ "beta1", NUMBER, SHAPES, .def = 0.9, .min = 0, .max = 0.99999 },
	{ "beta2", NUMBER, SHAPES, .def = 0.999, .min = 0, .max = 0.9999999 },
	{ "eps", NUMBER, SHAPES, .def = 1e-8, .min = 0, .max = 1, .above = true },
	{ "decay", NUMBER, SHAPES, .def = 0, .min = 0, .max = 10 },
	{ "momentum", NUMBER, SHAPES, .def = 0.95, .min = 0, .max = 0.9999 },
	{ "clip", NUMBER, SHAPES, .def = 1, .min = 0, .max = 1e9 },
	{ "schedule", CHOICE, SHAPES, .words = "cosine|linear|flat-linear|constant" },
	{ "warmup", NUMBER, SHAPES, .def = 0.03, .min = 0, .max = 1 },
	{ "floor", NUMBER, SHAPES, .def = 0, .min = 0, .max = 10 },
	{ "decay_share", NUMBER, SHAPES, .def = 0.3, .min = 0, .max = 1 },
	{ "order", CHOICE, SHAPES, .words = "shuffled|file", .of = ROWS },
	{ "epochs", NUMBER, SHAPES, .def = NAN, .min = 0, .max = 1e6, .above = true, .of = ROWS },
	{ "steps", WHOLE, SHAPES, .def = NAN, .min = 1, .max = 50000000 },
	{ "batch_samples", WHOLE, SHAPES, .def = NAN, .min = 0, .max = 1 << 24, .of = ROWS },
	{ "batch_tokens", WHOLE, SHAPES, .def = 0, .min = 0, .max = 1 << 30, .of = ROWS },
	{ "pass_rows", WHOLE, SHAPES, .def = NAN, .min = 1, .max = 1 << 24 },
	{ "longest", WHOLE, SHAPES, .def = NAN, .min = 1, .max = 1 << 24, .of = ROWS },
	/* of answers it is a bound alone: none is left out */
	{ "longest", WHOLE, FREE, .def = NAN, .min = 1, .max = 1 << 24, .of = POLICY },
	{ "by_length", SWITCH, SHAPES, .def = 1, .of = ROWS },
	{ "loss", CHOICE, SHAPES, .words = "completions|all", .of = ROWS },
	{ "seed", WHOLE, SHAPES, .def = 3407, .min = 0, .max = 9007199254740991.0 },
	{ "eval_every", WHOLE, FREE, .def = 25, .min = 0, .max = 50000000, .of = ROWS },
	{ "save_every", WHOLE, FREE, .def = 50, .min = 0, .max = 50000000 },
	{ "keep", WHOLE, FREE, .def = 3, .min = 1, .max = 1000000 },
	{ "threads", WHOLE, FREE, .def = 0, .min = 0, .max = 4096 },
	{ "backend", CHOICE, FREE, .words = "auto|cpu|cuda" },
	{ "recompute", SWITCH, FREE, .def = 0 },
	{ "memory_bytes", WHOLE, FREE, .def = 0, .min = 0, .max = 1e15 },
	{ "dtype", CHOICE, FREE, .words = "f32|bf16" },
	{ "reduction", CHOICE, SHAPES, .words = "dapo|grpo|dr_grpo", .of = POLICY },
	{ "beta", NUMBER, SHAPES, .def = 0, .min = 0, .max = 1000, .of = POLICY },
	{ "watch_kl", SWITCH, FREE, .def = 0, .of = POLICY },
	{ "clip_low", NUMBER, SHAPES, .def = 0.2, .min = 0, .max = 1, .of = POLICY },
	{ "clip_high", NUMBER, SHAPES, .def = 0.2, .min = 0, .max = 1e6, .of = POLICY },
	{ "weighted_kl", SWITCH, SHAPES, .def = 1, .of = POLICY },
	{ "temperature", NUMBER, SHAPES, .def = 1, .min = 0, .max = 100, .above = true,
	  .of = POLICY },
	{ "thinking", CHOICE, SHAPES, .words = "off|on|default", .of = POLICY },
	{ "updates", WHOLE, SHAPES, .def = 1, .min = 1, .max = 1000, .of = POLICY },
	{ "old", CHOICE, SHAPES, .words = "trainer|engine", .of = POLICY },
	{ "importance_cap", NUMBER, SHAPES, .def = 2, .min = 0, .max = 1e6, .of = POLICY },
	{ "answer_longest", WHOLE, SHAPES, .def = NAN, .min = 1, .max = 1 << 24, .of = POLICY },
};
enum {
	KEYS = sizeof(keys) / sizeof(*keys),
	TEXT_MAX = 4000,
	ROWS_DEFAULT = 8192,
	POLICY_ROWS_DEFAULT = 4096
};

static const enum module published[] = { MODULE_Q,    MODULE_K,  MODULE_V,   MODULE_O,
	                                 MODULE_GATE, MODULE_UP, MODULE_DOWN };

static const char *what_is(const cJSON *v)
{
	return cJSON_IsString(v)   ? "a text"
	       : cJSON_IsNumber(v) ? "a number"
	       : cJSON_IsArray(v)  ? "a list"
	       : cJSON_IsObject(v) ? "an object"
	       : cJSON_IsNull(v)   ? "null"
	                           : "true or false";
}

/* A stranger's text, short and on its line. */
static const char *shown(struct buf *b, const char *text)
{
	buf_clear(b);
	utf8_clean_line(b, text, strnlen(text, 60));
	return buf_str(b);
}

/* ---- one key ---- */

static bool is_word(const char *words, const char *w)
{
	size_t n = strlen(w);

	for (const char *p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strncmp(p, w, n) == 0 && (p[n] == '|' || p[n] == '\0'))
			return n > 0 && !strchr(w, '|');
	return false;
}

static int check_number(const struct key *k, const cJSON *v, struct err *e)
{
	double d = v->valuedouble;

	if (!cJSON_IsNumber(v))
		return err_set(e, ERR_INPUT, "setting %s: a number was expected, got %s", k->name,
		               what_is(v));
	if (k->kind == WHOLE && d != floor(d))
		return err_set(e, ERR_INPUT, "setting %s: a whole number was expected, got %g",
		               k->name, d);
	if (!(d >= k->min && d <= k->max) || (k->above && d <= k->min))
		return err_set(e, ERR_INPUT,
		               "setting %s: %s %g, at most %.10g, was expected, got %g", k->name,
		               k->above ? "above" : "at least", k->min, k->max, d);
	return 0;
}

static int check_targets(const cJSON *v, struct err *e)
{
	const cJSON *t;
	struct buf b = { 0 };
	int rc = 0;

	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) == 0)
		return err_set(e, ERR_INPUT,
		               "setting targets: a list of names (\"q_proj\", ...) was expected");
	cJSON_ArrayForEach(t, v)
	{
		enum module m = MODULE_COUNT;
		for (enum module i = 0; cJSON_IsString(t) && i < MODULE_COUNT; i++)
			if (strcmp(module_name(i), t->valuestring) == 0)
				m = i;
		if (m == MODULE_COUNT && rc == 0)
			rc = err_set(e, ERR_INPUT,
			             "setting targets: %s is none of q_proj, k_proj, v_proj, "
			             "o_proj, in_proj_qkv, in_proj_z, in_proj_a, in_proj_b, "
			             "out_proj, gate_proj, up_proj, down_proj",
			             cJSON_IsString(t) ? shown(&b, t->valuestring) : what_is(t));
	}
	buf_release(&b);
	return rc;
}

static int check_key(const struct key *k, const cJSON *v, struct err *e)
{
	struct buf b = { 0 };
	int rc = 0;

	switch (k->kind) {
	case WHOLE:
	case NUMBER:
		return check_number(k, v, e);
	case SWITCH:
		return cJSON_IsBool(v) ? 0
		                       : err_set(e, ERR_INPUT,
		                                 "setting %s: true or false was expected, got %s",
		                                 k->name, what_is(v));
	case TARGETS:
		return check_targets(v, e);
	case TEXT:
	case CHOICE:
		break;
	}
	if (!cJSON_IsString(v))
		return err_set(e, ERR_INPUT, "setting %s: a text was expected, got %s", k->name,
		               what_is(v));
	if (k->kind == CHOICE && !is_word(k->words, v->valuestring))
		rc = err_set(e, ERR_INPUT, "setting %s: one of %s was expected, got \"%s\"",
		             k->name, k->words, shown(&b, v->valuestring));
	else if (k->kind == TEXT && (!*v->valuestring || strlen(v->valuestring) > TEXT_MAX))
		rc = err_set(e, ERR_INPUT, "setting %s: %s", k->name,
		             *v->valuestring ? "longer than any path" : "an empty path");
	buf_release(&b);
	return rc;
}

static cJSON *default_value(const struct key *k)
{
	switch (k->kind) {
	case WHOLE:
	case NUMBER:
		return isnan(k->def) ? cJSON_CreateNull() : cJSON_CreateNumber(k->def);
	case SWITCH:
		return cJSON_CreateBool(k->def != 0);
	case CHOICE: {
		char word[16];
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(k->words, "|"), k->words);
		return cJSON_CreateString(word);
	}
	case TARGETS: {
		cJSON *list = cJSON_CreateArray();
		for (size_t i = 0; i < sizeof(published) / sizeof(*published); i++)
			cJSON_AddItemToArray(list, cJSON_CreateString(module_name(published[i])));
		return list;
	}
	case TEXT:
		break;
	}
	return cJSON_CreateNull();
}

/* ---- all of them ---- */

static bool is_of(const struct key *k, enum whose of)
{
	return k->of == BOTH || k->of == of;
}

static int check_names(const cJSON *given, enum whose of, struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, given)
	{
		size_t k = 0;
		while (k < KEYS && (strcmp(keys[k].name, v->string) != 0 || !is_of(&keys[k], of)))
			k++;
		if (k < KEYS)
			continue;
		struct buf b = { 0 };
		err_set(e, ERR_INPUT, "setting %s: there is none of that name",
		        shown(&b, v->string));
		buf_release(&b);
		return -1;
	}
	return 0;
}

static bool said(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return v && !cJSON_IsNull(v);
}

static double number(const cJSON *all, const char *key)
{
	return json_number_or(all, key, 0);
}

static bool is(const cJSON *all, const char *key, const char *word)
{
	return strcmp(json_string_or(all, key, ""), word) == 0;
}

static void put(cJSON *all, const char *key, cJSON *v)
{
	cJSON_ReplaceItemInObjectCaseSensitive(all, key, v);
}

/* Defaults that depend on other keys. */
static void late_defaults(cJSON *all, const cJSON *given, enum whose of)
{
	double rows = ROWS_DEFAULT;

	if (of == ROWS && strncmp(json_string_or(all, "model", ""), "fresh:", 6) == 0 &&
	    !said(given, "method"))
		put(all, "method", cJSON_CreateString("full"));
	if (of == ROWS && !said(all, "steps") && !said(all, "epochs"))
		put(all, "epochs", cJSON_CreateNumber(3));
	if (of == ROWS && !said(all, "batch_samples"))
		put(all, "batch_samples",
		    cJSON_CreateNumber(number(all, "batch_tokens") > 0 ? 0 : 8));
	if (!said(all, "longest"))
		put(all, "longest",
		    cJSON_CreateNumber(said(all, "pass_rows") ? fmin(rows, number(all, "pass_rows"))
		                                              : rows));
	if (!said(all, "pass_rows"))
		put(all, "pass_rows",
		    cJSON_CreateNumber(fmax(of == POLICY ? POLICY_ROWS_DEFAULT : rows,
		                            number(all, "longest"))));
	if (of == POLICY && !said(all, "answer_longest"))
		put(all, "answer_longest", cJSON_CreateNumber(number(all, "longest")));
}

static int check_needed(const struct train_settings *s, enum whose of, struct err *e)
{
	static const char *const needed[2][3] = { { "model", "data", "out" },
		                                  { "model", "steps", "out" } };

	for (size_t i = 0; i < 3; i++)
		if (!said(s->all, needed[of == POLICY][i]))
			return err_set(e, ERR_INPUT, "setting %s: it is needed",
			               needed[of == POLICY][i]);
	return 0;
}

static int check_fresh(const struct train_settings *s, enum whose of, struct err *e)
{
	if (s->fresh && of == POLICY)
		return err_set(e, ERR_INPUT,
		               "setting model: the folder of a model was expected; what was never "
		               "trained has no answers to learn from");
	if (s->fresh && !*s->model)
		return err_set(e, ERR_INPUT,
		               "setting model: \"fresh:\" and the path of a "
		               "config.json was expected");
	if (s->fresh && !s->full)
		return err_set(e, ERR_INPUT,
		               "setting method: a fresh model is trained in full; an adapter of "
		               "what was never trained is none");
	if (s->fresh && !said(s->all, "tokenizer"))
		return err_set(e, ERR_INPUT,
		               "setting tokenizer: a fresh model needs the folder of "
		               "a tokenizer");
	if (!s->fresh && said(s->all, "tokenizer"))
		return err_set(e, ERR_INPUT,
		               "setting tokenizer: only with a fresh model; a model's folder has "
		               "its own");
	return 0;
}

static int check_together(const struct train_settings *s, enum whose of, struct err *e)
{
	if (check_needed(s, of, e) < 0 || check_fresh(s, of, e) < 0)
		return -1;
	if (s->full && s->adapter)
		return err_set(e, ERR_INPUT,
		               "setting adapter: not with method \"full\"; `cadforge model merge` "
		               "makes a base of it");
	if (s->full && s->dropout > 0)
		return err_set(e, ERR_INPUT, "setting dropout: it is of adapters alone");
	if (!s->full && s->muon)
		return err_set(e, ERR_INPUT,
		               "setting optimizer: muon is for method \"full\" alone");
	if (said(s->all, "steps") && said(s->all, "epochs"))
		return err_set(e, ERR_INPUT, "settings steps and epochs: one of them");
	if (of == ROWS && s->order.batch_samples == 0 && s->order.batch_tokens == 0)
		return err_set(e, ERR_INPUT,
		               "settings batch_samples and batch_tokens: one of them above 0");
	if (s->dataset.longest > s->order.pass_rows)
		return err_set(e, ERR_INPUT,
		               "setting longest: %d tokens, of which one pass takes %d (setting "
		               "pass_rows)",
		               s->dataset.longest, s->order.pass_rows);
	if (s->floor > s->lr)
		return err_set(e, ERR_INPUT, "setting floor: %g is above lr, %g", s->floor, s->lr);
	return 0;
}

static void fill_in(struct train_settings *s)
{
	const cJSON *o = s->all, *t;

	s->model = json_string_or(o, "model", "");
	s->fresh = strncmp(s->model, "fresh:", 6) == 0;
	s->model += s->fresh ? 6 : 0;
	s->tokenizer = json_string_or(o, "tokenizer", s->model);
	s->data = json_string_or(o, "data", NULL);
	s->eval_data = json_string_or(o, "eval_data", NULL);
	s->adapter = json_string_or(o, "adapter", NULL);
	s->out = json_string_or(o, "out", NULL);
	s->base_name = json_string_or(o, "base_name", s->model);
	s->full = is(o, "method", "full");
	s->muon = is(o, "optimizer", "muon");
	s->rank = (int)number(o, "rank");
	s->alpha = number(o, "alpha");
	s->dropout = number(o, "dropout");
	s->rslora = json_bool_or(o, "rslora", false);
	cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(o, "targets"))
	{
		for (enum module m = 0; m < MODULE_COUNT; m++)
			if (strcmp(module_name(m), t->valuestring) == 0)
				s->targets |= 1u << m;
	}
	s->lr = number(o, "lr");
	s->lr_muon = number(o, "lr_muon");
	s->beta1 = number(o, "beta1");
	s->beta2 = number(o, "beta2");
	s->eps = number(o, "eps");
	s->decay = number(o, "decay");
	s->momentum = number(o, "momentum");
	s->clip = number(o, "clip");
	s->schedule = (enum schedule_shape)schedule_parse(json_string_or(o, "schedule", ""));
	s->warmup = number(o, "warmup");
	s->floor = number(o, "floor");
	s->decay_share = number(o, "decay_share");
	s->seed = (uint64_t)number(o, "seed");
	s->order = (struct order_options){
		.batch_tokens = (int)number(o, "batch_tokens"),
		.batch_samples = (int)number(o, "batch_samples"),
		.pass_rows = (int)number(o, "pass_rows"),
		.as_file = is(o, "order", "file"),
		.by_length = json_bool_or(o, "by_length", true),
		.epochs = number(o, "epochs"),
		.steps = (int64_t)number(o, "steps"),
		.seed = s->seed,
	};
	s->dataset.longest = (int)number(o, "longest");
	s->dataset.loss_all = is(o, "loss", "all");
	s->eval_every = (int)number(o, "eval_every");
	s->save_every = (int)number(o, "save_every");
	s->keep = (int)number(o, "keep");
	s->threads = (int)number(o, "threads");
	s->backend = is(o, "backend", "cpu")    ? GPU_CPU
	             : is(o, "backend", "cuda") ? GPU_CUDA
	                                        : GPU_AUTO;
	s->recompute = json_bool_or(o, "recompute", false);
	s->memory_bytes = (uint64_t)number(o, "memory_bytes");
	s->dtype = is(o, "dtype", "bf16") ? DTYPE_BF16 : DTYPE_F32;
}

static void fill_in_policy(struct train_settings *s)
{
	const cJSON *o = s->all;
	struct policy_settings *p = &s->policy;

	p->loss = (struct policy_options){
		.reduction = (enum policy_reduction)policy_reduction_parse(
			json_string_or(o, "reduction", "")),
		.beta = number(o, "beta"),
		.low = number(o, "clip_low"),
		.high = number(o, "clip_high"),
		.weighted_kl = json_bool_or(o, "weighted_kl", true),
		.longest = (int)number(o, "answer_longest"),
	};
	p->watch_kl = json_bool_or(o, "watch_kl", false);
	p->temperature = number(o, "temperature");
	p->thinking = is(o, "thinking", "on")    ? CHAT_THINKING_ON
	              : is(o, "thinking", "off") ? CHAT_THINKING_OFF
	                                         : CHAT_THINKING_DEFAULT;
	p->updates = (int)number(o, "updates");
	p->old_is_drawn = is(o, "old", "engine");
	p->importance_cap = number(o, "importance_cap");
}

static int settings_read(struct train_settings *s, const cJSON *given, enum whose of, struct err *e)
{
	memset(s, 0, sizeof(*s));
	if (!cJSON_IsObject(given))
		return err_set(e, ERR_INPUT, "settings: one JSON object was expected");
	if (check_names(given, of, e) < 0)
		return -1;
	s->all = cJSON_CreateObject();
	for (size_t k = 0; k < KEYS; k++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(given, keys[k].name);
		if (!is_of(&keys[k], of))
			continue;
		if (v && !cJSON_IsNull(v)) {
			if (check_key(&keys[k], v, e) < 0)
				goto fail;
			cJSON_AddItemToObject(s->all, keys[k].name, cJSON_Duplicate(v, true));
		} else {
			cJSON_AddItemToObject(s->all, keys[k].name, default_value(&keys[k]));
		}
	}
	late_defaults(s->all, given, of);
	fill_in(s);
	if (of == POLICY)
		fill_in_policy(s);
	if (check_together(s, of, e) < 0)
		goto fail;
	return 0;
fail:
	train_settings_release(s);
	return -1;
}

int train_settings_read(struct train_settings *s, const cJSON *given, struct err *e)
{
	return settings_read(s, given, ROWS, e);
}

int train_settings_read_policy(struct train_settings *s, const cJSON *given, struct err *e)
{
	return settings_read(s, given, POLICY, e);
}

void train_settings_release(struct train_settings *s)
{
	cJSON_Delete(s->all);
	memset(s, 0, sizeof(*s));
}

/* ---- what shapes the result ---- */

/* Whether a key of settings with every key says what comes out of the run. */
static bool shapes(const struct key *k, const cJSON *all)
{
	return k->shapes == SHAPES &&
	       is_of(k, cJSON_HasObjectItem(all, "reduction") ? POLICY : ROWS);
}

static void value_text(struct buf *out, const cJSON *all, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(all, key);

	if (v)
		json_print(out, v);
	else
		buf_adds(out, "null");
}

void train_settings_hash(const cJSON *all, char out[TRAIN_HASH_HEX])
{
	struct buf text = { 0 };

	for (size_t k = 0; k < KEYS; k++) {
		if (!shapes(&keys[k], all))
			continue;
		buf_printf(&text, "%s=", keys[k].name);
		value_text(&text, all, keys[k].name);
		buf_addc(&text, '\n');
	}
	sha256_hex(buf_str(&text), text.len, out);
	buf_release(&text);
}

int train_settings_agree(const cJSON *was, const cJSON *now, struct err *e)
{
	struct buf a = { 0 }, b = { 0 }, clean = { 0 };
	int rc = 0;

	for (size_t k = 0; k < KEYS && rc == 0; k++) {
		if (!shapes(&keys[k], now))
			continue;
		buf_clear(&a);
		buf_clear(&b);
		value_text(&a, was, keys[k].name);
		value_text(&b, now, keys[k].name);
		if (strcmp(buf_str(&a), buf_str(&b)) == 0)
			continue;
		utf8_clean_line(&clean, buf_str(&a), a.len);
		rc = err_set(e, ERR_INPUT,
		             "setting %s: the run that is to go on has %.120s, now it is %.120s; "
		             "what shapes the result cannot change on the way: give the old value, "
		             "or begin a new run",
		             keys[k].name, buf_str(&clean), buf_str(&b));
	}
	buf_release(&clean);
	buf_release(&a);
	buf_release(&b);
	return rc;
}
