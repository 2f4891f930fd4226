#include "src/model_flags.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/json.h"

enum { IDS_FILE_MAX = 64 << 20 };

void model_flags_init(struct model_flags *m)
{
	*m = (struct model_flags){ .max_tokens = 4096, .thinking = CHAT_THINKING_OFF };
	/* precise coding, qwen35.md section 10 */
	sampling_default(&m->sampling);
	m->sampling.temperature = 0.6f;
	m->sampling.top_p = 0.95f;
	m->sampling.top_k = 20;
}

/* DIR[:SCALE]: what follows the last colon is a scale when it is a number. */
static int add_adapter(struct model_flags *m, const char *arg)
{
	const char *colon = strrchr(arg, ':');
	char *end = NULL;
	double scale = 1;
	size_t n = strlen(arg);

	if (m->n_adapters == LORA_BLEND_MAX) {
		app_tell("--adapter: at most %d are blended", LORA_BLEND_MAX);
		return -1;
	}
	if (colon && colon[1]) {
		double v = strtod(colon + 1, &end);
		if (!*end && isfinite(v)) {
			scale = v;
			n = (size_t)(colon - arg);
		}
	}
	if (n == 0 || n >= sizeof(m->names[0])) {
		app_tell("--adapter: DIR or DIR:SCALE was expected, got '%s'", arg);
		return -1;
	}
	char *name = m->names[m->n_adapters];
	memcpy(name, arg, n);
	name[n] = '\0';
	m->adapter[m->n_adapters++] = (struct gpu_adapter){ name, (float)scale };
	return 1;
}

static int word(const char *flag, const char *arg, const char *const *words, int n, int *out)
{
	struct buf all = { 0 };

	for (int i = 0; i < n; i++)
		if (strcmp(words[i], arg) == 0) {
			*out = i;
			return 1;
		}
	for (int i = 0; i < n; i++)
		buf_printf(&all, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", words[i]);
	app_tell("%s: %s was expected, got '%s'", flag, buf_str(&all), arg);
	buf_release(&all);
	return -1;
}

static int number(const char *flag, const char *arg, double min, double max, float *out)
{
	double v;

	if (app_number(flag, arg, min, max, &v) < 0)
		return -1;
	*out = (float)v;
	return 1;
}

static int seed(const char *arg, uint64_t *out)
{
	char *end = NULL;

	errno = 0;
	*out = strtoull(arg, &end, 10);
	if (end == arg || *end || errno || *arg == '-') {
		app_tell("--seed: a whole number from 0 to 18446744073709551615 was expected, got "
		         "'%s'",
		         arg);
		return -1;
	}
	return 1;
}

static int above_zero(const char *flag, const char *arg, float *out)
{
	if (number(flag, arg, 0, 1, out) < 0)
		return -1;
	if (*out > 0)
		return 1;
	app_tell("%s: a number above 0 was expected, got '%s'", flag, arg);
	return -1;
}

int model_flag(struct model_flags *m, int opt, const char *arg)
{
	static const char *const backends[] = { "auto", "cuda", "cpu", "queue" };
	static const char *const dtypes[] = { "bf16", "f32", "int8" };
	static const char *const onoff[] = { "off", "on" };
	int i = 0, rc;

	if (opt < MODEL_MODEL || opt > MODEL_GUARD)
		return 0;
	m->given = true;
	switch (opt) {
	case MODEL_MODEL:
		m->model = arg;
		return 1;
	case MODEL_ADAPTER:
		if (strcmp(arg, "none") == 0) {
			m->no_adapter = true;
			m->n_adapters = 0;
			return 1;
		}
		return add_adapter(m, arg);
	case MODEL_BACKEND:
		rc = word("--backend", arg, backends, 4, &i);
		m->far = i == 3;
		m->backend = m->far ? GPU_AUTO : (enum gpu_backend)i;
		return rc;
	case MODEL_DTYPE:
		rc = word("--dtype", arg, dtypes, 3, &i);
		m->dtype = dtypes[i];
		return rc;
	case MODEL_THREADS:
		return app_whole("--threads", arg, 1, 1024, &m->threads) < 0 ? -1 : 1;
	case MODEL_CONTEXT:
		return app_whole("--context", arg, 1, 1 << 20, &m->context) < 0 ? -1 : 1;
	case MODEL_TIMEOUT:
		return app_number("--timeout", arg, 0.1, 86400, &m->timeout_s) < 0 ? -1 : 1;
	case MODEL_TEMPERATURE:
		m->temperature_given = true;
		return number("--temperature", arg, 0, 100, &m->sampling.temperature);
	case MODEL_TOP_P:
		return above_zero("--top-p", arg, &m->sampling.top_p);
	case MODEL_TOP_K:
		return app_whole("--top-k", arg, 0, 1 << 20, &m->sampling.top_k) < 0 ? -1 : 1;
	case MODEL_MIN_P:
		return number("--min-p", arg, 0, 0.999, &m->sampling.min_p);
	case MODEL_PRESENCE:
		return number("--presence-penalty", arg, -10, 10, &m->sampling.presence);
	case MODEL_SEED:
		return seed(arg, &m->sampling.seed);
	case MODEL_MAX_TOKENS:
		return app_whole("--max-tokens", arg, 1, 1 << 20, &m->max_tokens) < 0 ? -1 : 1;
	case MODEL_STOP:
		if (m->n_stop == INFER_STOPS_MAX || !*arg) {
			app_tell(*arg ? "--stop: at most %d texts" : "--stop: an empty text",
			         INFER_STOPS_MAX);
			return -1;
		}
		m->stop[m->n_stop++] = arg;
		return 1;
	case MODEL_THINKING:
		rc = word("--thinking", arg, onoff, 2, &i);
		m->thinking = i ? CHAT_THINKING_ON : CHAT_THINKING_OFF;
		return rc;
	case MODEL_GUARD:
		m->guard = true;
		return 1;
	default:
		return 0;
	}
}

bool model_demo_base(const struct app *app, char *out, size_t size)
{
	return app->demo[0] && snprintf(out, size, "%s/base", app->demo) < (int)size;
}

bool model_demo_adapter(const struct app *app, char *out, size_t size)
{
	char config[4300];

	if (!app->demo[0] || snprintf(out, size, "%s/sft", app->demo) >= (int)size)
		return false;
	snprintf(config, sizeof(config), "%s/adapter_config.json", out);
	return access(config, R_OK) == 0;
}

int model_flags_finish(struct model_flags *m, const struct app *app, struct err *e)
{
	const char *env = getenv("CADFORGE_MODEL");

	if (m->far && !app->queue)
		return err_set(e, ERR_USAGE,
		               "--backend queue: --queue redis://HOST was expected, from where "
		               "workers with a model take what is asked (run, fork, eval)");
	if (!m->model && env && *env)
		m->model = env;
	if (!m->model && model_demo_base(app, m->demo, sizeof(m->demo))) {
		m->model = m->demo;
		if (!m->n_adapters && !m->no_adapter &&
		    model_demo_adapter(app, m->names[0], sizeof(m->names[0])))
			m->adapter[m->n_adapters++] = (struct gpu_adapter){ m->names[0], 1 };
	}
	if (!m->model)
		return err_set(
			e, ERR_LACKS,
			"no model was named, and there is no demonstration model here: --model DIR "
			"takes a folder with config.json, tokenizer.json and safetensors (any "
			"Qwen3.5), --model http(s)://HOST/v1#NAME a server; CADFORGE_MODEL says it "
			"for good; 'cadforge train demo' makes a demonstration model");
	if (model_about_read(&m->about, m->model, e) < 0)
		return -1;
	if (m->about.greedy && !m->temperature_given)
		m->sampling.temperature = 0;
	return 0;
}

void model_flags_options(const struct model_flags *m, const struct app *app,
                         struct gpu_options *out)
{
	*out = (struct gpu_options){
		.libexec_dir = app->libexec,
		.model = m->model,
		.backend = m->backend,
		.dtype = m->dtype,
		.threads = m->threads,
		.context = m->context,
		.quiet = app->quiet,
		.timeout_s = m->timeout_s,
		.retries = -1,
	};
}

void model_flags_request(const struct model_flags *m, struct gpu_request *out)
{
	*out = (struct gpu_request){
		.thinking = m->thinking,
		.adapter = m->adapter,
		.n_adapters = m->n_adapters,
		.sampling = m->sampling,
		.n = 1,
		.max_tokens = m->max_tokens,
		.stop = m->stop,
		.n_stop = m->n_stop,
	};
}

static int add_id(int32_t **v, int *n, int *cap, double id, const char *where, struct err *e)
{
	if (!(id >= 0 && id <= INT32_MAX) || id != floor(id))
		return err_set(e, ERR_INPUT, "%s: id %d is %g; a whole number from 0 was expected",
		               where, *n + 1, id);
	if (*n == INFER_IDS_MAX)
		return err_set(e, ERR_INPUT, "%s: more than %d ids", where, INFER_IDS_MAX);
	if (*n == *cap) {
		int more = *cap ? 2 * *cap : 64;
		int32_t *p = realloc(*v, (size_t)more * sizeof(*p));
		if (!p)
			return err_set(e, ERR_MEM, "%s: no memory for %d ids", where, more);
		*v = p;
		*cap = more;
	}
	(*v)[(*n)++] = (int32_t)id;
	return 0;
}

int model_ids_parse(const char *text, const char *where, int32_t **out, int *n, struct err *e)
{
	int32_t *v = NULL;
	int cap = 0;

	*n = 0;
	for (const char *p = text; *p;) {
		char *end = NULL;
		double id = strtod(p, &end);
		if (end == p || (*end && *end != ',' && *end != ' ') || (*end == ',' && !end[1])) {
			free(v);
			return err_set(e, ERR_INPUT,
			               "%s: ids as in 1,2,3 were expected, got '%.40s'", where, p);
		}
		if (add_id(&v, n, &cap, id, where, e) < 0) {
			free(v);
			return -1;
		}
		p = end + strspn(end, ", ");
	}
	if (*n == 0)
		return err_set(e, ERR_INPUT, "%s: no ids", where);
	*out = v;
	return 0;
}

int model_ids_read(const char *file, int32_t **out, int *n, struct err *e)
{
	struct buf text = { 0 };
	cJSON *o = NULL;
	const cJSON *id;
	int32_t *v = NULL;
	int cap = 0, rc = -1;

	*n = 0;
	if (buf_read_file(&text, file, IDS_FILE_MAX, e) < 0)
		goto out;
	if (!(o = json_parse_bounded(buf_str(&text), text.len, 2 * INFER_IDS_MAX, e))) {
		err_wrap(e, "%s", file);
		goto out;
	}
	if (!cJSON_IsArray(o) || !o->child) {
		err_set(e, ERR_INPUT, "%s: a JSON array of ids was expected", file);
		goto out;
	}
	cJSON_ArrayForEach(id,
	                   o) if (add_id(&v, n, &cap, cJSON_IsNumber(id) ? id->valuedouble : NAN,
	                                 file, e) < 0) goto out;
	*out = v;
	v = NULL;
	rc = 0;
out:
	free(v);
	cJSON_Delete(o);
	buf_release(&text);
	return rc;
}

/* As it was given: a float's nearest double would show digits that nobody typed. */
static double typed(float v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.7g", (double)v);
	return strtod(text, NULL);
}

cJSON *model_flags_sampling(const struct model_flags *m)
{
	const struct sampling *s = &m->sampling;
	cJSON *o = cJSON_CreateObject(), *list;
	char text[24];

	cJSON_AddNumberToObject(o, "temperature", typed(s->temperature));
	cJSON_AddNumberToObject(o, "top_p", typed(s->top_p));
	cJSON_AddNumberToObject(o, "top_k", s->top_k);
	cJSON_AddNumberToObject(o, "min_p", typed(s->min_p));
	cJSON_AddNumberToObject(o, "presence_penalty", typed(s->presence));
	/* 64 bits do not fit into a double */
	snprintf(text, sizeof(text), "%llu", (unsigned long long)s->seed);
	if (s->seed < 1ull << 53)
		cJSON_AddNumberToObject(o, "seed", (double)s->seed);
	else
		cJSON_AddStringToObject(o, "seed", text);
	cJSON_AddNumberToObject(o, "max_tokens", m->max_tokens);
	cJSON_AddStringToObject(o, "thinking", m->thinking == CHAT_THINKING_ON ? "on" : "off");
	cJSON_AddBoolToObject(o, "guard", m->guard);
	list = cJSON_AddArrayToObject(o, "stop");
	for (int i = 0; i < m->n_stop; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(m->stop[i]));
	return o;
}

void model_flags_name(char *out, size_t size, const char *model)
{
	const char *hash = strstr(model, "://") ? strchr(model, '#') : NULL;
	size_t n = strlen(model), from;

	if (hash) {
		snprintf(out, size, "%s", hash + 1);
		return;
	}
	while (n > 1 && model[n - 1] == '/')
		n--;
	for (from = n; from > 0 && model[from - 1] != '/';)
		from--;
	snprintf(out, size, "%.*s", (int)(n - from), model + from);
}

void model_flags_adapters(char *out, size_t size, const struct model_flags *f)
{
	size_t at = 0;

	*out = '\0';
	for (int i = 0; i < f->n_adapters && at < size; i++) {
		char name[256];
		model_flags_name(name, sizeof(name), f->adapter[i].dir);
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? "+" : "", name);
		if (f->adapter[i].weight != 1 && at < size)
			at += (size_t)snprintf(out + at, size - at, ":%g",
			                       (double)f->adapter[i].weight);
	}
}
