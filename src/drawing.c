#include "src/drawing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/model.h"
#include "src/base/json.h"

enum { VERSION = 1 };

/* ---- engines ---- */

/* A file that is not there counts as well: it may be there elsewhere. */
static int add_file(struct sha256 *h, const char *dir, const char *name, struct err *e)
{
	char path[4200], block[1 << 16];
	ssize_t n = 0;
	int fd = -1;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return err_set(e, ERR_INPUT, "%.300s: too long a path", dir);
	sha256_add(h, name, strlen(name) + 1);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 && errno != ENOENT)
		return err_errno(e, ERR_INPUT, "%s", path);
	while (fd >= 0 && (n = read(fd, block, sizeof(block))) > 0)
		sha256_add(h, block, (size_t)n);
	if (fd >= 0)
		close(fd);
	return n < 0 ? err_errno(e, ERR_IO, "%s: reading", path) : 0;
}

int drawing_model(const char *model, char out[SHA256_HEX], struct err *e)
{
	static const char *const files[] = { "tokenizer.json", "tokenizer_config.json",
		                             "chat_template.jinja", "generation_config.json" };
	struct sha256 h;
	struct model m;

	sha256_start(&h);
	if (strncmp(model, "random:", 7) == 0) {
		sha256_add(&h, model, strlen(model));
	} else {
		if (model_open(&m, model, e) < 0)
			return -1;
		sha256_add(&h, m.hash, sizeof(m.hash));
		model_close(&m);
		for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
			if (add_file(&h, model, files[i], e) < 0)
				return -1;
	}
	sha256_end_hex(&h, out);
	return 0;
}

/* Printable ASCII alone: it may be another machine's. */
static void plain(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		out[n++] = *text >= ' ' && *text < 127 ? *text : '?';
	out[n] = '\0';
}

void drawing_engine_of(struct drawing_engine *out, const char *model_sha, const char *name,
                       int context_asked, const cJSON *about)
{
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(about, "model");
	double context = json_number_or(about, "context", 0);

	*out = (struct drawing_engine){ .context_asked = context_asked };
	plain(out->model, sizeof(out->model), model_sha);
	plain(out->name, sizeof(out->name), name);
	plain(out->backend, sizeof(out->backend), json_string_or(about, "backend", "?"));
	plain(out->dtype, sizeof(out->dtype), json_string_or(about, "dtype", "?"));
	plain(out->device, sizeof(out->device), json_string_or(about, "device", "?"));
	plain(out->hash, sizeof(out->hash), json_string_or(m, "hash", ""));
	out->context = context > 0 && context < 1e9 ? (int)context : 0;
	out->thinks = json_bool_or(m, "thinks_by_default", false);
}

/* What the CPU's kernels are called belongs to it, since their sums differ; how many threads and
 * what else the device is called does not. */
void drawing_kind(const struct drawing_engine *g, char out[SHA256_HEX])
{
	const char *threads = strstr(g->device, " thread");
	size_t n = strlen(g->device);
	struct sha256 h;
	char text[64];

	if (strcmp(g->backend, "cpu") != 0)
		n = 0;
	for (const char *c = threads; c && c > g->device; c--)
		if (*c == ',') {
			n = (size_t)(c - g->device);
			break;
		}
	sha256_start(&h);
	sha256_add(&h, g->model, strlen(g->model) + 1);
	sha256_add(&h, g->backend, strlen(g->backend) + 1);
	sha256_add(&h, g->dtype, strlen(g->dtype) + 1);
	sha256_add(&h, g->device, n);
	snprintf(text, sizeof(text), "%d", g->context);
	sha256_add(&h, text, strlen(text) + 1);
	sha256_end_hex(&h, out);
}

void drawing_engine_write(struct buf *out, const struct drawing_engine *g)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "model", g->model);
	cJSON_AddStringToObject(o, "name", g->name);
	cJSON_AddStringToObject(o, "hash", g->hash);
	cJSON_AddStringToObject(o, "backend", g->backend);
	cJSON_AddStringToObject(o, "dtype", g->dtype);
	cJSON_AddStringToObject(o, "device", g->device);
	cJSON_AddNumberToObject(o, "context", g->context);
	cJSON_AddNumberToObject(o, "context_asked", g->context_asked);
	cJSON_AddBoolToObject(o, "thinks", g->thinks);
	json_print(out, o);
	cJSON_Delete(o);
}

int drawing_engine_read(struct drawing_engine *out, const char *text, struct err *e)
{
	cJSON *o = json_parse_bounded(text, strlen(text), 50, e);
	double context = json_number_or(o, "context", 0),
	       asked = json_number_or(o, "context_asked", 0);

	if (!o)
		return -1;
	*out = (struct drawing_engine){
		.context = context > 0 && context < 1e9 ? (int)context : 0,
		.context_asked = asked > 0 && asked < 1e9 ? (int)asked : 0,
		.thinks = json_bool_or(o, "thinks", false),
	};
	plain(out->model, sizeof(out->model), json_string_or(o, "model", ""));
	plain(out->name, sizeof(out->name), json_string_or(o, "name", "?"));
	plain(out->hash, sizeof(out->hash), json_string_or(o, "hash", ""));
	plain(out->backend, sizeof(out->backend), json_string_or(o, "backend", "?"));
	plain(out->dtype, sizeof(out->dtype), json_string_or(o, "dtype", "?"));
	plain(out->device, sizeof(out->device), json_string_or(o, "device", "?"));
	cJSON_Delete(o);
	return strlen(out->model) == SHA256_HEX - 1 && out->context > 0
	               ? 0
	               : err_set(e, ERR_INPUT, "what a worker says of its engine is none of ours");
}

/* ---- what is asked ---- */

static void add_ids(cJSON *o, const char *key, const int32_t *id, int n)
{
	cJSON_AddItemToObject(o, key, cJSON_CreateIntArray(id, n));
}

void drawing_write(struct buf *out, const char kind[SHA256_HEX], const struct gpu_request *r,
                   const struct drawing_adapter *adapter)
{
	cJSON *o = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(o, "v", VERSION);
	cJSON_AddStringToObject(o, "kind", kind);
	list = cJSON_AddArrayToObject(o, "adapters");
	for (int i = 0; i < r->n_adapters; i++) {
		cJSON *a = cJSON_CreateObject();
		cJSON_AddStringToObject(a, "config", adapter[i].config);
		cJSON_AddStringToObject(a, "weights", adapter[i].weights);
		cJSON_AddNumberToObject(a, "weight", (double)adapter[i].weight);
		cJSON_AddItemToArray(list, a);
	}
	cJSON_AddNumberToObject(o, "thinking", r->thinking);
	cJSON_AddNumberToObject(o, "n", r->n);
	cJSON_AddNumberToObject(o, "max_tokens", r->max_tokens);
	cJSON_AddNumberToObject(o, "seconds", r->seconds > 0 ? r->seconds : 0);
	cJSON_AddBoolToObject(o, "ignore_eos", r->ignore_eos);
	cJSON_AddBoolToObject(o, "speculate", r->speculate);
	cJSON_AddBoolToObject(o, "guard", r->guard != NULL);
	json_add_text(o, "draft", r->draft);
	cJSON_AddBoolToObject(o, "forced_begin", r->forced_begin);
	if (r->n_forced > 0)
		add_ids(o, "forced", r->forced, r->n_forced);
	list = cJSON_AddArrayToObject(o, "stop");
	for (int i = 0; i < r->n_stop; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(r->stop[i]));
	gpu_sampling_add(o, &r->sampling);
	if (r->messages)
		cJSON_AddItemToObject(o, "messages", cJSON_Duplicate(r->messages, true));
	else if (r->text)
		cJSON_AddStringToObject(o, "text", r->text);
	else
		add_ids(o, "ids", r->ids, r->n_ids);
	json_print(out, o);
	cJSON_Delete(o);
}

static int read_sha(const cJSON *o, const char *key, char out[SHA256_HEX], struct err *e)
{
	const char *v;

	if (json_get_string(o, key, &v, e) < 0)
		return -1;
	if (strlen(v) != SHA256_HEX - 1 || strspn(v, "0123456789abcdef") != SHA256_HEX - 1)
		return err_set(e, ERR_INPUT, "%s: a SHA-256 was expected", key);
	memcpy(out, v, SHA256_HEX);
	return 0;
}

static int read_float(const cJSON *o, const char *key, double least, double most, float *out,
                      struct err *e)
{
	double v;

	if (json_get_number(o, key, &v, e) < 0)
		return -1;
	if (!(v >= least && v <= most))
		return err_set(e, ERR_INPUT, "%s: %g to %g was expected", key, least, most);
	*out = (float)v;
	return 0;
}

static int read_int(const cJSON *o, const char *key, long long least, long long most, int *out,
                    struct err *e)
{
	long long v;

	if (json_get_int(o, key, least, most, &v, e) < 0)
		return -1;
	*out = (int)v;
	return 0;
}

static int read_ids(const cJSON *list, int32_t **out, int *n, struct err *e)
{
	int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0, i = 0;
	const cJSON *x;

	if (size < 1 || size > INFER_IDS_MAX)
		return err_set(e, ERR_INPUT, "1 to %d ids were expected", INFER_IDS_MAX);
	if (!(*out = malloc((size_t)size * sizeof(**out))))
		return err_set(e, ERR_MEM, "no memory for %d ids", size);
	cJSON_ArrayForEach(x, list)
	{
		if (!cJSON_IsNumber(x) || !(x->valuedouble >= 0 && x->valuedouble <= INT32_MAX))
			return err_set(e, ERR_INPUT, "id %d: a whole number was expected", i + 1);
		(*out)[i++] = (int32_t)x->valuedouble;
	}
	*n = size;
	return 0;
}

static int read_adapters(struct drawing_asked *a, const cJSON *list, struct err *e)
{
	const cJSON *x;

	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > LORA_BLEND_MAX)
		return err_set(e, ERR_INPUT, "at most %d adapters were expected", LORA_BLEND_MAX);
	cJSON_ArrayForEach(x, list)
	{
		struct drawing_adapter *d = &a->adapter[a->n_adapters++];
		if (read_sha(x, "config", d->config, e) < 0 ||
		    read_sha(x, "weights", d->weights, e) < 0 ||
		    read_float(x, "weight", -1e6, 1e6, &d->weight, e) < 0)
			return -1;
	}
	return 0;
}

static int read_stops(struct drawing_asked *a, const cJSON *list, struct err *e)
{
	const cJSON *x;

	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > INFER_STOPS_MAX)
		return err_set(e, ERR_INPUT, "at most %d stop texts were expected",
		               INFER_STOPS_MAX);
	cJSON_ArrayForEach(x, list)
	{
		if (!cJSON_IsString(x) || !*x->valuestring)
			return err_set(e, ERR_INPUT, "stop: texts were expected");
		a->stop[a->r.n_stop++] = x->valuestring;
	}
	a->r.stop = a->stop;
	return 0;
}

static int read_sampling(struct sampling *s, const cJSON *o, struct err *e)
{
	const char *seed;
	char *end;

	if (read_float(o, "temperature", 0, 100, &s->temperature, e) < 0 ||
	    read_float(o, "top_p", 0, 1, &s->top_p, e) < 0 ||
	    read_int(o, "top_k", 0, 1 << 24, &s->top_k, e) < 0 ||
	    read_float(o, "min_p", 0, 1, &s->min_p, e) < 0 ||
	    read_float(o, "presence", -1e6, 1e6, &s->presence, e) < 0 ||
	    read_float(o, "frequency", -1e6, 1e6, &s->frequency, e) < 0 ||
	    read_float(o, "repetition", 0, 1e6, &s->repetition, e) < 0 ||
	    read_int(o, "top", 0, SAMPLER_TOP_MAX, &s->top, e) < 0 ||
	    json_get_string(o, "seed", &seed, e) < 0)
		return -1;
	errno = 0;
	s->seed = strtoull(seed, &end, 10);
	return *seed < '0' || *seed > '9' || *end || errno
	               ? err_set(e, ERR_INPUT, "seed: a whole number was expected")
	               : 0;
}

static int read_asked(struct drawing_asked *a, struct err *e)
{
	const cJSON *o = a->json, *ids, *forced;
	int version, thinking;

	if (read_int(o, "v", VERSION, VERSION, &version, e) < 0 ||
	    read_sha(o, "kind", a->kind, e) < 0 ||
	    read_adapters(a, cJSON_GetObjectItemCaseSensitive(o, "adapters"), e) < 0 ||
	    read_int(o, "thinking", CHAT_THINKING_DEFAULT, CHAT_THINKING_ON, &thinking, e) < 0 ||
	    read_int(o, "n", 1, INFER_SEQUENCES_MAX, &a->r.n, e) < 0 ||
	    read_int(o, "max_tokens", 0, INFER_IDS_MAX, &a->r.max_tokens, e) < 0 ||
	    json_get_number_between(o, "seconds", 0, 0, 1e9, &a->r.seconds, e) < 0 ||
	    read_stops(a, cJSON_GetObjectItemCaseSensitive(o, "stop"), e) < 0 ||
	    read_sampling(&a->r.sampling, o, e) < 0)
		return -1;
	a->r.thinking = (enum chat_thinking)thinking;
	a->r.ignore_eos = json_bool_or(o, "ignore_eos", false);
	a->r.speculate = json_bool_or(o, "speculate", false);
	a->r.forced_begin = json_bool_or(o, "forced_begin", false);
	a->r.draft = json_string_or(o, "draft", NULL);
	a->guard = json_bool_or(o, "guard", false);
	forced = cJSON_GetObjectItemCaseSensitive(o, "forced");
	if (forced && read_ids(forced, &a->forced, &a->r.n_forced, e) < 0)
		return -1;
	a->r.forced = a->forced;
	a->r.messages = cJSON_GetObjectItemCaseSensitive(o, "messages");
	a->r.text = json_string_or(o, "text", NULL);
	ids = cJSON_GetObjectItemCaseSensitive(o, "ids");
	if (ids && read_ids(ids, &a->ids, &a->r.n_ids, e) < 0)
		return -1;
	a->r.ids = a->ids;
	return 0;
}

int drawing_read(struct drawing_asked *out, const void *bytes, size_t len, struct err *e)
{
	struct drawing_asked *a = out;

	*a = (struct drawing_asked){ 0 };
	if (len > DRAWING_ASKED_BYTES_MAX)
		return err_set(e, ERR_INPUT, "a request: at most %d MiB were expected",
		               DRAWING_ASKED_BYTES_MAX >> 20);
	if (!(a->json = json_parse_bounded(bytes, len, 2 * INFER_IDS_MAX + 10000, e)) ||
	    read_asked(a, e) < 0) {
		drawing_release(a);
		return err_wrap(e, "a request for answers");
	}
	return 0;
}

void drawing_release(struct drawing_asked *a)
{
	cJSON_Delete(a->json);
	free(a->ids);
	free(a->forced);
	*a = (struct drawing_asked){ 0 };
}
