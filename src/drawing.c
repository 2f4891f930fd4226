#include "src/drawing.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/door.h"
#include "gpu/model.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/job.h"

enum { VERSION = 1, TEXT_BYTES_MAX = 64 << 20, PACKED_MAX = 250 << 20 };

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
	const struct sampling *s = &r->sampling;
	cJSON *o = cJSON_CreateObject(), *list;
	char seed[24];

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
	cJSON_AddNumberToObject(o, "temperature", (double)s->temperature);
	cJSON_AddNumberToObject(o, "top_p", (double)s->top_p);
	cJSON_AddNumberToObject(o, "top_k", s->top_k);
	cJSON_AddNumberToObject(o, "min_p", (double)s->min_p);
	cJSON_AddNumberToObject(o, "presence", (double)s->presence);
	cJSON_AddNumberToObject(o, "frequency", (double)s->frequency);
	cJSON_AddNumberToObject(o, "repetition", (double)s->repetition);
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)s->seed);
	cJSON_AddStringToObject(o, "seed", seed);
	cJSON_AddNumberToObject(o, "top", s->top);
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

/* ---- what was told ----
 *
 * 'T' u32 sequence, i32 index, u8 flags (1: a token, 2: in thought), of a token i32 id, f32
 * logprob, drawn, entropy, u8 alternatives, each i32 id, f32 logprob, u8 length, text; u32 length,
 * text. 'D' u32 sequence, u32 length, JSON of figures, u32 length, text, u32 length, thinking, u32
 * ids, i32 each, u32 log-probabilities, f32 each. */

static void put32(struct buf *out, uint32_t v)
{
	unsigned char b[4];

	wire_put32(b, v);
	buf_add(out, b, 4);
}

static void put_float(struct buf *out, float v)
{
	unsigned char b[4];

	wire_put_float(b, v);
	buf_add(out, b, 4);
}

static void put_text(struct buf *out, const char *text, size_t len)
{
	put32(out, (uint32_t)len);
	buf_add(out, text, len);
}

void drawing_tell_token(struct buf *out, const struct gpu *g, int sequence, int index,
                        const struct picked *p, bool in_thought, const char *text, size_t len)
{
	buf_addc(out, 'T');
	put32(out, (uint32_t)sequence);
	put32(out, (uint32_t)index);
	buf_addc(out, (char)((p ? 1 : 0) | (in_thought ? 2 : 0)));
	if (p) {
		put32(out, (uint32_t)p->id);
		put_float(out, p->logprob);
		put_float(out, p->drawn);
		put_float(out, p->entropy);
		buf_addc(out, (char)p->n_top);
		for (int i = 0; i < p->n_top; i++) {
			const char *top = gpu_top_text(g, i);
			put32(out, (uint32_t)p->top[i].id);
			put_float(out, p->top[i].logprob);
			buf_addc(out, (char)strlen(top));
			buf_adds(out, top);
		}
	}
	put_text(out, text, len);
}

void drawing_tell_done(struct buf *out, int sequence, const struct gpu_done *d)
{
	cJSON *o = cJSON_CreateObject();
	struct buf line = { 0 };
	const char *thinking = d->thinking ? d->thinking : "";
	int n = d->ids ? d->n : 0, n_logprobs = d->logprobs ? d->n : 0;

	cJSON_AddNumberToObject(o, "end", d->end);
	cJSON_AddNumberToObject(o, "n", d->n);
	cJSON_AddNumberToObject(o, "prompt_tokens", d->prompt_tokens);
	cJSON_AddNumberToObject(o, "cached_tokens", d->cached_tokens);
	cJSON_AddNumberToObject(o, "drafted", d->drafted);
	cJSON_AddNumberToObject(o, "accepted", d->accepted);
	json_add_figure(o, "wait_s", d->wait_s);
	json_add_figure(o, "prefill_s", d->prefill_s);
	json_add_figure(o, "decode_s", d->decode_s);
	json_add_text(o, "adapter_hash", d->adapter_hash);
	if (d->stop) {
		cJSON *s = cJSON_AddObjectToObject(o, "stop");
		cJSON_AddNumberToObject(s, "id", d->stop->id);
		json_add_figure(s, "logprob", (double)d->stop->logprob);
		json_add_figure(s, "drawn", (double)d->stop->drawn);
		json_add_figure(s, "entropy", (double)d->stop->entropy);
	}
	json_print(&line, o);
	cJSON_Delete(o);
	buf_addc(out, 'D');
	put32(out, (uint32_t)sequence);
	put_text(out, buf_str(&line), line.len);
	if (buf_failed(&line))
		out->failed = true;
	buf_release(&line);
	put_text(out, d->text, d->text_len);
	put_text(out, thinking, strlen(thinking));
	put32(out, (uint32_t)n);
	for (int i = 0; i < n; i++)
		put32(out, (uint32_t)d->ids[i]);
	put32(out, (uint32_t)n_logprobs);
	for (int i = 0; i < n_logprobs; i++)
		put_float(out, d->logprobs[i]);
}

int drawing_pack(struct buf *out, const struct buf *told, struct err *e)
{
	return job_pack(out, told, e);
}

/* ---- and again ---- */

struct tape {
	const unsigned char *at, *end;
	struct gpu *g;
	const struct drawing_ears *to; /* NULL: it is looked through alone */
	int n;
	bool over[INFER_SEQUENCES_MAX];
};

static uint32_t get32(struct tape *t, bool *bad)
{
	uint32_t v = 0;

	if (t->end - t->at < 4) {
		*bad = true;
		return 0;
	}
	v = wire_get32(t->at);
	t->at += 4;
	return v;
}

static float get_float(struct tape *t, bool *bad)
{
	float v = NAN;

	if (t->end - t->at < 4) {
		*bad = true;
		return v;
	}
	v = wire_get_float(t->at);
	t->at += 4;
	return v;
}

static unsigned get8(struct tape *t, bool *bad)
{
	if (t->end == t->at) {
		*bad = true;
		return 0;
	}
	return *t->at++;
}

static const char *get_bytes(struct tape *t, size_t n, bool *bad)
{
	const char *p = (const char *)t->at;

	if ((size_t)(t->end - t->at) < n) {
		*bad = true;
		return "";
	}
	t->at += n;
	return p;
}

static const char *get_text(struct tape *t, size_t *len, bool *bad)
{
	size_t n = get32(t, bad), at;
	const char *p = n <= TEXT_BYTES_MAX ? get_bytes(t, n, bad) : "";

	*bad = *bad || n > TEXT_BYTES_MAX || !utf8_valid(p, n, &at);
	*len = *bad ? 0 : n;
	return *bad ? "" : p;
}

static int get_sequence(struct tape *t, bool *bad)
{
	uint32_t v = get32(t, bad);

	*bad = *bad || v >= (uint32_t)t->n || (!t->to && t->over[v]);
	return *bad ? 0 : (int)v;
}

static bool token_again(struct tape *t)
{
	struct picked p = { .n_top = 0 };
	bool bad = false;
	size_t len;
	int sequence = get_sequence(t, &bad), index = (int)get32(t, &bad);
	unsigned flags = get8(t, &bad);

	bad = bad || flags > 3;
	if (!bad && (flags & 1)) {
		p.id = (int32_t)get32(t, &bad);
		p.logprob = get_float(t, &bad);
		p.drawn = get_float(t, &bad);
		p.entropy = get_float(t, &bad);
		p.n_top = (int)get8(t, &bad);
		if (bad || p.id < -1 || p.n_top > SAMPLER_TOP_MAX)
			return false;
		t->g->n_top_text = 0;
		for (int i = 0; i < p.n_top; i++) {
			p.top[i].id = (int32_t)get32(t, &bad);
			p.top[i].logprob = get_float(t, &bad);
			size_t n = get8(t, &bad), at;
			const char *text = get_bytes(t, n, &bad);
			if (bad || !utf8_valid(text, n, &at))
				return false;
			door_top_text(t->g, i, text, n);
		}
	}
	const char *text = get_text(t, &len, &bad);
	if (bad)
		return false;
	if (t->to && !t->over[sequence] &&
	    !t->to->token(t->to->ctx, sequence, index, flags & 1 ? &p : NULL, flags & 2, text, len))
		t->over[sequence] = true;
	return true;
}

/* A copy that ends with a zero. */
static char *text_of(const char *p, size_t n)
{
	char *v = malloc(n + 1);

	if (v) {
		memcpy(v, p, n);
		v[n] = '\0';
	}
	return v;
}

static int count(const cJSON *o, const char *key)
{
	double v = json_number_or(o, key, -1);

	return v >= 0 && v <= INFER_IDS_MAX ? (int)v : -1;
}

static void read_figures(struct gpu_done *d, struct picked *stop, const cJSON *o)
{
	const cJSON *s = cJSON_GetObjectItemCaseSensitive(o, "stop");

	d->prompt_tokens = count(o, "prompt_tokens");
	d->cached_tokens = count(o, "cached_tokens");
	d->drafted = count(o, "drafted");
	d->accepted = count(o, "accepted");
	d->wait_s = json_number_or(o, "wait_s", NAN);
	d->prefill_s = json_number_or(o, "prefill_s", NAN);
	d->decode_s = json_number_or(o, "decode_s", NAN);
	const char *hash = json_string_or(o, "adapter_hash", NULL);
	d->adapter_hash = hash && strlen(hash) == SHA256_HEX - 1 &&
	                                  strspn(hash, "0123456789abcdef") == SHA256_HEX - 1
	                          ? hash
	                          : NULL;
	if (!s)
		return;
	*stop = (struct picked){
		.id = count(s, "id"),
		.logprob = (float)json_number_or(s, "logprob", NAN),
		.drawn = (float)json_number_or(s, "drawn", NAN),
		.entropy = (float)json_number_or(s, "entropy", NAN),
	};
	d->stop = stop->id >= 0 ? stop : NULL;
}

static bool done_again(struct tape *t)
{
	bool bad = false, good = false;
	size_t line_len, text_len, thought_len;
	int sequence = get_sequence(t, &bad);
	const char *line = get_text(t, &line_len, &bad), *text = get_text(t, &text_len, &bad),
		   *thought = get_text(t, &thought_len, &bad);
	uint32_t n_ids = get32(t, &bad);
	const unsigned char *ids = (const unsigned char *)get_bytes(t, 4 * (size_t)n_ids, &bad);
	uint32_t n_logprobs = get32(t, &bad);
	const unsigned char *logprobs =
		(const unsigned char *)get_bytes(t, 4 * (size_t)n_logprobs, &bad);
	cJSON *o = bad ? NULL : json_parse_bounded(line, line_len, 100, NULL);
	int end = count(o, "end"), n = count(o, "n");
	struct picked stop = { .id = -1 };
	struct gpu_done d = { .n = n };

	if (!o || end < GPU_STOP || end > GPU_LENGTH || n < 0 || (n_ids && (int)n_ids != n) ||
	    (n_logprobs && (int)n_logprobs != n)) {
		cJSON_Delete(o);
		return false;
	}
	char *whole = text_of(text, text_len), *thinking = text_of(thought, thought_len);
	int32_t *id = malloc(((size_t)n_ids + 1) * sizeof(*id));
	float *logprob = malloc(((size_t)n_logprobs + 1) * sizeof(*logprob));
	if (whole && thinking && id && logprob) {
		for (uint32_t i = 0; i < n_ids; i++)
			id[i] = (int32_t)wire_get32(ids + 4 * (size_t)i);
		for (uint32_t i = 0; i < n_logprobs; i++)
			logprob[i] = wire_get_float(logprobs + 4 * (size_t)i);
		d.end = (enum gpu_end)end;
		d.text = whole;
		d.text_len = text_len;
		d.thinking = thinking;
		d.ids = n_ids ? id : NULL;
		d.logprobs = n_logprobs ? logprob : NULL;
		read_figures(&d, &stop, o);
		if (t->to && !t->over[sequence])
			t->to->done(t->to->ctx, sequence, &d);
		t->over[sequence] = true;
		good = true;
	}
	free(whole);
	free(thinking);
	free(id);
	free(logprob);
	cJSON_Delete(o);
	return good;
}

static bool play(struct tape t)
{
	int over = 0;

	while (t.at < t.end) {
		unsigned char what = *t.at++;
		if (what == 'D' ? !done_again(&t) : what == 'T' ? !token_again(&t) : true)
			return false;
	}
	for (int i = 0; i < t.n; i++)
		over += t.over[i];
	return over == t.n;
}

int drawing_tell_again(struct gpu *g, const void *bytes, size_t len, int n,
                       const struct drawing_ears *to, struct err *e)
{
	struct buf told = { 0 };
	int rc = 0;

	if (len > PACKED_MAX || job_unpack(&told, bytes, len, DRAWING_TOLD_BYTES_MAX, e) < 0)
		return len > PACKED_MAX ? err_set(e, ERR_PROTOCOL, "an answer of %zu bytes", len)
		                        : -1;
	struct tape t = { .at = (const unsigned char *)told.data,
		          .end = (const unsigned char *)told.data + told.len,
		          .g = g,
		          .n = n };
	if (told.len == 0 || !play(t)) {
		rc = err_set(e, ERR_PROTOCOL, "what a worker says that it drew is none of ours");
	} else {
		t.to = to;
		play(t);
	}
	buf_release(&told);
	return rc;
}
