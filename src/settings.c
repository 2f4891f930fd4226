#include "src/settings.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/prompts.h"
#include "src/base/json.h"

enum { TEXT_MAX = 64 << 10 };

void settings_init(struct settings *s)
{
	const char *model = getenv("CADFORGE_MODEL");

	*s = (struct settings){ .command_wall_s = 600, .early = true };
	model_flags_init(&s->flags);
	episode_rules_default(&s->rules);
	s->profile = strdup("exact");
	s->prompts = strdup(PROMPTS_DEFAULT);
	if (model && *model)
		s->model = strdup(model);
	s->flags.model = s->model;
}

void settings_release(struct settings *s)
{
	free(s->model);
	free(s->dtype);
	for (int i = 0; i < INFER_STOPS_MAX; i++)
		free(s->stop[i]);
	free(s->command);
	free(s->profile);
	free(s->reference);
	free(s->prompts);
	*s = (struct settings){ 0 };
}

/* ---- one setting ---- */

static const char *shown(const cJSON *v, char *out, size_t size)
{
	struct buf b = { 0 };

	json_print(&b, v);
	snprintf(out, size, "%.60s", buf_str(&b));
	buf_release(&b);
	return out;
}

static int wrong(const cJSON *v, const char *expected, struct err *e)
{
	char got[64];

	return err_set(e, ERR_USAGE, "%s: %s was expected, got %s", v->string, expected,
	               shown(v, got, sizeof(got)));
}

static int number(const cJSON *v, double min, double max, double *out, struct err *e)
{
	char expected[80];

	if (cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max) {
		*out = v->valuedouble;
		return 0;
	}
	snprintf(expected, sizeof(expected), "a number from %g to %g", min, max);
	return wrong(v, expected, e);
}

static int small(const cJSON *v, double min, double max, float *out, struct err *e)
{
	double d = 0;

	if (number(v, min, max, &d, e) < 0)
		return -1;
	*out = (float)d;
	return 0;
}

static int whole(const cJSON *v, int min, int max, int *out, struct err *e)
{
	char expected[80];

	if (cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max &&
	    v->valuedouble == floor(v->valuedouble)) {
		*out = (int)v->valuedouble;
		return 0;
	}
	snprintf(expected, sizeof(expected), "a whole number from %d to %d", min, max);
	return wrong(v, expected, e);
}

static int truth(const cJSON *v, bool *out, struct err *e)
{
	if (!cJSON_IsBool(v))
		return wrong(v, "true or false", e);
	*out = cJSON_IsTrue(v);
	return 0;
}

static int word(const cJSON *v, const char *const *words, int n, int *out, struct err *e)
{
	char expected[120] = "";
	size_t at = 0;

	for (int i = 0; i < n; i++)
		if (cJSON_IsString(v) && strcmp(v->valuestring, words[i]) == 0) {
			*out = i;
			return 0;
		}
	for (int i = 0; i < n; i++)
		at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s\"%s\"",
		                       i == 0       ? ""
		                       : i == n - 1 ? " or "
		                                    : ", ",
		                       words[i]);
	return wrong(v, expected, e);
}

/* A text, or null where there may be none. */
static int text(const cJSON *v, bool may_lack, char **out, struct err *e)
{
	char *copy = NULL;
	bool is = cJSON_IsString(v) && *v->valuestring && strlen(v->valuestring) < TEXT_MAX;

	if (!is && !(may_lack && cJSON_IsNull(v)))
		return wrong(v, may_lack ? "a text or null" : "a text", e);
	if (is && !(copy = strdup(v->valuestring)))
		return err_set(e, ERR_MEM, "out of memory");
	free(*out);
	*out = copy;
	return 0;
}

static int seed(const cJSON *v, uint64_t *out, struct err *e)
{
	char *end = NULL;

	if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 9007199254740992.0 &&
	    v->valuedouble == floor(v->valuedouble)) {
		*out = (uint64_t)v->valuedouble;
		return 0;
	}
	if (cJSON_IsString(v) && v->valuestring[0] >= '0' && v->valuestring[0] <= '9') {
		errno = 0;
		*out = strtoull(v->valuestring, &end, 10);
		if (!*end && !errno)
			return 0;
	}
	return wrong(v, "a whole number from 0 to 18446744073709551615", e);
}

static int adapters(struct model_flags *f, const cJSON *v, struct err *e)
{
	static const char expected[] = "a list of at most 4 {\"dir\": folder, \"scale\": number}";
	const cJSON *one;
	int n = 0;

	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) > LORA_BLEND_MAX)
		return wrong(v, expected, e);
	cJSON_ArrayForEach(one, v)
	{
		const char *dir = json_string_or(one, "dir", NULL);
		double scale = json_number_or(one, "scale", 1);
		if (!dir || !*dir || strlen(dir) >= sizeof(f->names[0]) || !isfinite(scale) ||
		    fabs(scale) > 1000)
			return wrong(v, expected, e);
	}
	cJSON_ArrayForEach(one, v)
	{
		snprintf(f->names[n], sizeof(f->names[0]), "%s", json_string_or(one, "dir", ""));
		f->adapter[n].dir = f->names[n];
		f->adapter[n].weight = (float)json_number_or(one, "scale", 1);
		n++;
	}
	f->n_adapters = n;
	return 0;
}

static int stops(struct settings *s, const cJSON *v, struct err *e)
{
	const cJSON *one;
	int n = 0;

	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) > INFER_STOPS_MAX)
		return wrong(v, "a list of at most 16 texts", e);
	cJSON_ArrayForEach(one, v) if (!cJSON_IsString(one) || !*one->valuestring) return wrong(
		v, "a list of texts, none of them empty", e);
	for (int i = 0; i < INFER_STOPS_MAX; i++) {
		free(s->stop[i]);
		s->stop[i] = NULL;
	}
	cJSON_ArrayForEach(one, v) if ((s->stop[n] = strdup(one->valuestring)))
	{
		s->flags.stop[n] = s->stop[n];
		n++;
	}
	s->flags.n_stop = n;
	return 0;
}

static int enough(const cJSON *v, double *out, struct err *e)
{
	if (cJSON_IsNull(v)) {
		*out = NAN;
		return 0;
	}
	return number(v, -1, 2, out, e);
}

static const char *const backends[] = { "auto", "cuda", "cpu", "queue" };
static const char *const dtypes[] = { "bf16", "f32", "int8" };
static const char *const onoff[] = { "off", "on" };

static int set_dtype(struct settings *s, const cJSON *v, struct err *e)
{
	int i;

	if (!cJSON_IsNull(v) && word(v, dtypes, 3, &i, e) < 0)
		return -1;
	return text(v, true, &s->dtype, e);
}

static int set_one(struct settings *s, const cJSON *v, unsigned *changed, struct err *e)
{
	struct model_flags *f = &s->flags;
	struct sampling *p = &f->sampling;
	const char *name = v->string;
	int i = 0, rc;

#define IS(x) (strcmp(name, x) == 0)
	if (IS("model") || IS("backend") || IS("dtype") || IS("threads") || IS("context") ||
	    IS("timeout") || IS("command") || IS("command_wall"))
		*changed |= SETTINGS_MODEL;
	if (IS("profile") || IS("reference"))
		*changed |= SETTINGS_SCORING;
	if (IS("model"))
		return text(v, true, &s->model, e);
	if (IS("adapters")) {
		s->adapters_given = true;
		return adapters(f, v, e);
	}
	if (IS("backend")) {
		if ((rc = word(v, backends, 4, &i, e)) == 0) {
			f->far = i == 3;
			f->backend = f->far ? GPU_AUTO : (enum gpu_backend)i;
		}
		return rc;
	}
	if (IS("dtype"))
		return set_dtype(s, v, e);
	if (IS("threads"))
		return whole(v, 0, 1024, &f->threads, e);
	if (IS("context"))
		return whole(v, 0, 1 << 20, &f->context, e);
	if (IS("timeout"))
		return number(v, 0, 86400, &f->timeout_s, e);
	if (IS("temperature")) {
		s->temperature_given = true;
		return small(v, 0, 100, &p->temperature, e);
	}
	if (IS("top_p"))
		return small(v, 1e-6, 1, &p->top_p, e);
	if (IS("top_k"))
		return whole(v, 0, 1 << 20, &p->top_k, e);
	if (IS("min_p"))
		return small(v, 0, 0.999, &p->min_p, e);
	if (IS("presence_penalty"))
		return small(v, -10, 10, &p->presence, e);
	if (IS("seed"))
		return seed(v, &p->seed, e);
	if (IS("max_tokens"))
		return whole(v, 1, 1 << 20, &f->max_tokens, e);
	if (IS("stop"))
		return stops(s, v, e);
	if (IS("thinking")) {
		if ((rc = word(v, onoff, 2, &i, e)) == 0)
			f->thinking = i ? CHAT_THINKING_ON : CHAT_THINKING_OFF;
		return rc;
	}
	if (IS("guard"))
		return truth(v, &f->guard, e);
	if (IS("command"))
		return text(v, true, &s->command, e);
	if (IS("command_wall"))
		return number(v, 0.01, 1e6, &s->command_wall_s, e);
	if (IS("profile"))
		return text(v, false, &s->profile, e);
	if (IS("reference"))
		return text(v, true, &s->reference, e);
	if (IS("prompts")) {
		s->prompts_given = true;
		return text(v, false, &s->prompts, e);
	}
	if (IS("turns"))
		return whole(v, 1, 10000, &s->rules.rounds, e);
	if (IS("group"))
		return whole(v, 1, 64, &s->rules.group, e);
	if (IS("enough"))
		return enough(v, &s->rules.enough, e);
	if (IS("no_gain"))
		return whole(v, 0, 10000, &s->rules.no_gain, e);
	if (IS("stop_on_error"))
		return truth(v, &s->rules.stop_on_error, e);
	if (IS("early"))
		return truth(v, &s->early, e);
#undef IS
	return err_set(e, ERR_USAGE,
	               "%.40s is no setting; there are model, adapters, backend, dtype, threads, "
	               "context, timeout, temperature, top_p, top_k, min_p, presence_penalty, "
	               "seed, max_tokens, stop, thinking, guard, command, command_wall, profile, "
	               "reference, prompts, turns, group, enough, no_gain, stop_on_error, early",
	               name);
}

/* The flags' texts are ours wherever the struct lies. */
static void point(struct settings *s)
{
	s->flags.model = s->model;
	s->flags.dtype = s->dtype;
	for (int i = 0; i < s->flags.n_adapters; i++)
		s->flags.adapter[i].dir = s->flags.names[i];
	for (int i = 0; i < s->flags.n_stop; i++)
		s->flags.stop[i] = s->stop[i];
}

/* ---- all of them ---- */

static int set_all(struct settings *s, const cJSON *o, unsigned *changed, struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, o) if (set_one(s, v, changed, e) < 0) return -1;
	point(s);
	if (!s->profile || !s->prompts)
		return err_set(e, ERR_MEM, "out of memory");
	return 0;
}

/* What the model asks for, where nobody said otherwise. */
static int ask_model(struct settings *s, struct err *e)
{
	struct model_about about;
	struct model_flags plain;

	if (model_about_read(&about, s->model, e) < 0)
		return -1;
	model_flags_init(&plain);
	if (!s->temperature_given)
		s->flags.sampling.temperature =
			about.greedy ? 0 : plain.sampling.temperature;
	if (!s->prompts_given) {
		char *name = strdup(about.prompts[0] ? about.prompts : PROMPTS_DEFAULT);
		if (!name)
			return err_set(e, ERR_MEM, "out of memory");
		free(s->prompts);
		s->prompts = name;
	}
	return 0;
}

int settings_default_model(struct settings *s, const struct app *app, struct err *e)
{
	struct model_flags *f = &s->flags;
	char dir[4200];

	if (!s->model && model_demo_base(app, dir, sizeof(dir))) {
		if (!(s->model = strdup(dir)))
			return err_set(e, ERR_MEM, "out of memory");
		if (!f->n_adapters && model_demo_adapter(app, f->names[0], sizeof(f->names[0])))
			f->adapter[f->n_adapters++] = (struct gpu_adapter){ f->names[0], 1 };
		point(s);
	}
	return ask_model(s, e);
}

static bool other_model(const struct settings *was, const struct settings *is)
{
	return was->model && is->model ? strcmp(was->model, is->model) != 0
	                               : was->model != is->model;
}

int settings_set(struct settings *s, const cJSON *o, unsigned *changed, struct err *e)
{
	struct settings try;
	unsigned bits = 0;

	if (!cJSON_IsObject(o))
		return err_set(e, ERR_USAGE,
		               "settings: an object of names and values was expected");
	settings_init(&try);
	if (settings_copy(&try, s, e) < 0 || set_all(&try, o, &bits, e) < 0)
		goto fail;
	if (other_model(s, &try)) {
		if (!try.adapters_given)
			try.flags.n_adapters = 0;
		if (ask_model(&try, e) < 0)
			goto fail;
	}
	settings_release(s);
	*s = try;
	point(s);
	if (changed)
		*changed |= bits;
	return 0;
fail:
	settings_release(&try);
	return -1;
}

int settings_copy(struct settings *to, const struct settings *from, struct err *e)
{
	cJSON *o = settings_json(from);
	struct settings now;
	unsigned bits;

	settings_init(&now);
	int rc = o ? set_all(&now, o, &bits, e) : err_set(e, ERR_MEM, "out of memory");
	cJSON_Delete(o);
	if (rc < 0) {
		settings_release(&now);
		return -1;
	}
	now.adapters_given = from->adapters_given;
	now.prompts_given = from->prompts_given;
	now.temperature_given = from->temperature_given;
	settings_release(to);
	*to = now;
	point(to);
	return 0;
}

cJSON *settings_json(const struct settings *s)
{
	const struct model_flags *f = &s->flags;
	cJSON *o = model_flags_sampling(f), *list = cJSON_AddArrayToObject(o, "adapters");

	json_add_text(o, "model", s->model);
	for (int i = 0; i < f->n_adapters; i++) {
		cJSON *a = cJSON_CreateObject();
		cJSON_AddStringToObject(a, "dir", f->adapter[i].dir);
		cJSON_AddNumberToObject(a, "scale", (double)f->adapter[i].weight);
		cJSON_AddItemToArray(list, a);
	}
	cJSON_AddStringToObject(o, "backend", f->far ? "queue" : backends[f->backend]);
	json_add_text(o, "dtype", s->dtype);
	cJSON_AddNumberToObject(o, "threads", f->threads);
	cJSON_AddNumberToObject(o, "context", f->context);
	cJSON_AddNumberToObject(o, "timeout", f->timeout_s);
	json_add_text(o, "command", s->command);
	cJSON_AddNumberToObject(o, "command_wall", s->command_wall_s);
	cJSON_AddStringToObject(o, "profile", s->profile);
	json_add_text(o, "reference", s->reference);
	cJSON_AddStringToObject(o, "prompts", s->prompts);
	cJSON_AddNumberToObject(o, "turns", s->rules.rounds);
	cJSON_AddNumberToObject(o, "group", s->rules.group);
	json_add_figure(o, "enough", s->rules.enough);
	cJSON_AddNumberToObject(o, "no_gain", s->rules.no_gain);
	cJSON_AddBoolToObject(o, "stop_on_error", s->rules.stop_on_error);
	cJSON_AddBoolToObject(o, "early", s->early);
	return o;
}
