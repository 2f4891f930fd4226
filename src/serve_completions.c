/*
 * Answers of a model over HTTP, in the form of OpenAI's completions, with what trainers need beside
 * it: the ids of the tokens and their log-probabilities.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/far_engine.h"
#include "src/serve_inside.h"

enum { UNDER_WAY_MAX = 1024, TOKENS_MAX = 1 << 20 };

struct answer {
	cJSON *choice; /* when it is done */
	cJSON *texts;  /* of its tokens */
	cJSON *tops;   /* of each: {text: log-probability}; NULL: not wanted */
};

struct asked {
	struct asked *next;
	uint64_t conn; /* 0: whoever asked has left */
	uint32_t request;
	int n, left, prompt_tokens, tokens;
	struct answer answer[INFER_SEQUENCES_MAX];
	char error[480];
	enum err_kind kind;
};

struct completions {
	struct serving *s;
	const struct model_flags *flags;
	struct gpu *gpu;
	struct asked *first;
	int under_way;
	int64_t answered, tokens;
	char name[256];
};

static struct asked *asked_of(struct completions *k, uint32_t request)
{
	struct asked *a = k->first;

	while (a && a->request != request)
		a = a->next;
	return a;
}

static void asked_free(struct asked *a)
{
	for (int i = 0; i < a->n; i++) {
		cJSON_Delete(a->answer[i].choice);
		cJSON_Delete(a->answer[i].texts);
		cJSON_Delete(a->answer[i].tops);
	}
	free(a);
}

static void asked_drop(struct completions *k, struct asked *a)
{
	struct asked **at = &k->first;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	k->under_way--;
	asked_free(a);
}

/* {"error": {"message", "type"}}, as servers of this interface say it. */
static void refuse(struct completions *k, uint64_t conn, int status, const char *why)
{
	struct buf b = { 0 };
	cJSON *o = cJSON_CreateObject(), *error = cJSON_AddObjectToObject(o, "error");

	cJSON_AddStringToObject(error, "message", why);
	cJSON_AddStringToObject(error, "type",
	                        status < 500 ? "invalid_request_error" : "server_error");
	json_print(&b, o);
	cJSON_Delete(o);
	serve_json(k->s, conn, status, &b);
}

/* ---- what comes ---- */

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct completions *k = ctx;
	struct asked *a = asked_of(k, request);
	struct answer *x = a ? &a->answer[sequence] : NULL;
	char *copy;

	(void)in_thought;
	(void)index;
	if (!x || !p)
		return;
	copy = strndup(text, len);
	cJSON_AddItemToArray(x->texts, cJSON_CreateString(copy ? copy : ""));
	free(copy);
	if (!x->tops)
		return;
	cJSON *top = cJSON_CreateArray();
	for (int i = 0; i < p->n_top; i++) {
		cJSON *one = cJSON_CreateObject();
		cJSON_AddNumberToObject(one, "id", p->top[i].id);
		cJSON_AddStringToObject(one, "token", gpu_top_text(k->gpu, i));
		json_add_figure(one, "logprob", (double)p->top[i].logprob);
		cJSON_AddItemToArray(top, one);
	}
	cJSON_AddItemToArray(x->tops, top);
}

/* As many of @list as there are tokens. */
static void cut(cJSON *list, int n)
{
	while (cJSON_GetArraySize(list) > n)
		cJSON_DeleteItemFromArray(list, cJSON_GetArraySize(list) - 1);
}

static cJSON *choice(struct answer *x, int index, const struct gpu_done *d)
{
	cJSON *o = cJSON_CreateObject(), *logprobs, *list;

	cJSON_AddNumberToObject(o, "index", index);
	cJSON_AddStringToObject(o, "text", d->text);
	cJSON_AddStringToObject(o, "finish_reason", gpu_end_name(d->end));
	if (*d->thinking)
		cJSON_AddStringToObject(o, "thinking", d->thinking);
	cJSON_AddItemToObject(o, "token_ids",
	                      d->ids      ? cJSON_CreateIntArray(d->ids, d->n)
	                      : d->n == 0 ? cJSON_CreateArray()
	                                  : cJSON_CreateNull());
	logprobs = cJSON_AddObjectToObject(o, "logprobs");
	cut(x->texts, d->n);
	cJSON_AddItemToObject(logprobs, "tokens", x->texts);
	x->texts = NULL;
	if (d->logprobs || d->n == 0) {
		list = cJSON_AddArrayToObject(logprobs, "token_logprobs");
		for (int i = 0; d->logprobs && i < d->n; i++)
			cJSON_AddItemToArray(list, isfinite(d->logprobs[i])
			                                   ? cJSON_CreateNumber(d->logprobs[i])
			                                   : cJSON_CreateNull());
	} else {
		cJSON_AddNullToObject(logprobs, "token_logprobs");
	}
	if (x->tops) {
		cut(x->tops, d->n);
		cJSON_AddItemToObject(logprobs, "top_logprobs", x->tops);
		x->tops = NULL;
	}
	return o;
}

static void answer_all(struct completions *k, struct asked *a)
{
	cJSON *o = cJSON_CreateObject(), *list, *usage;
	struct buf b = { 0 };
	char id[40];

	snprintf(id, sizeof(id), "cmpl-%u", a->request);
	cJSON_AddStringToObject(o, "id", id);
	cJSON_AddStringToObject(o, "object", "text_completion");
	cJSON_AddNumberToObject(o, "created", (double)time(NULL));
	cJSON_AddStringToObject(o, "model", k->name);
	list = cJSON_AddArrayToObject(o, "choices");
	for (int i = 0; i < a->n; i++) {
		cJSON_AddItemToArray(list, a->answer[i].choice);
		a->answer[i].choice = NULL;
	}
	usage = cJSON_AddObjectToObject(o, "usage");
	cJSON_AddNumberToObject(usage, "prompt_tokens", a->prompt_tokens);
	cJSON_AddNumberToObject(usage, "completion_tokens", a->tokens);
	cJSON_AddNumberToObject(usage, "total_tokens", a->prompt_tokens + a->tokens);
	json_print(&b, o);
	cJSON_Delete(o);
	serve_json(k->s, a->conn, 200, &b);
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct completions *k = ctx;
	struct asked *a = asked_of(k, request);

	if (!a)
		return;
	if (d->end == GPU_ERROR) {
		snprintf(a->error, sizeof(a->error), "%s", d->error);
		a->kind = d->kind;
	} else {
		a->answer[sequence].choice = choice(&a->answer[sequence], sequence, d);
		a->tokens += d->n;
		a->prompt_tokens = d->prompt_tokens > 0 ? d->prompt_tokens : a->prompt_tokens;
		k->tokens += d->n;
	}
	if (--a->left > 0)
		return;
	if (a->conn && a->error[0])
		refuse(k, a->conn, a->kind == ERR_USAGE || a->kind == ERR_INPUT ? 400 : 500,
		       a->error);
	else if (a->conn)
		answer_all(k, a);
	k->answered++;
	asked_drop(k, a);
}

/* ---- what is asked ---- */

struct wish {
	struct gpu_request r;
	const char *stop[INFER_STOPS_MAX];
	int32_t *ids;
	int logprobs;
};

static int read_ids(struct wish *w, const cJSON *list, struct err *e)
{
	int n = cJSON_GetArraySize(list), i = 0;
	const cJSON *v;

	if (n < 1 || n > INFER_IDS_MAX || !(w->ids = malloc((size_t)n * sizeof(*w->ids))))
		return err_set(e, ERR_INPUT, "prompt: 1 to %d token ids wanted", INFER_IDS_MAX);
	cJSON_ArrayForEach(v, list)
	{
		if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) ||
		    v->valuedouble < 0 || v->valuedouble > INT32_MAX)
			return err_set(e, ERR_INPUT,
			               "prompt[%d]: a token id wanted; several prompts are several "
			               "requests",
			               i);
		w->ids[i++] = (int32_t)v->valuedouble;
	}
	w->r.ids = w->ids;
	w->r.n_ids = n;
	return 0;
}

static int read_prompt(struct wish *w, const cJSON *o, struct err *e)
{
	const cJSON *prompt = cJSON_GetObjectItemCaseSensitive(o, "prompt");
	const cJSON *messages = cJSON_GetObjectItemCaseSensitive(o, "messages");

	if ((prompt != NULL) == (messages != NULL) || (messages && !cJSON_IsArray(messages)) ||
	    (prompt && !cJSON_IsString(prompt) && !cJSON_IsArray(prompt)))
		return err_set(e, ERR_INPUT,
		               "one of prompt, a text or an array of token ids, and messages, an "
		               "array of {\"role\", \"content\"}, wanted");
	if (prompt && cJSON_IsArray(prompt))
		return read_ids(w, prompt, e);
	w->r.messages = messages;
	w->r.text = prompt ? prompt->valuestring : NULL;
	return 0;
}

static int read_stops(struct wish *w, const cJSON *o, struct err *e)
{
	const cJSON *stop = cJSON_GetObjectItemCaseSensitive(o, "stop"), *v;

	if (!stop || cJSON_IsNull(stop))
		return 0;
	w->r.stop = w->stop;
	w->r.n_stop = 0;
	if (cJSON_IsString(stop)) {
		w->stop[w->r.n_stop++] = stop->valuestring;
		return 0;
	}
	cJSON_ArrayForEach(v, stop)
	{
		if (!cJSON_IsString(v) || w->r.n_stop == INFER_STOPS_MAX)
			return err_set(e, ERR_INPUT, "stop: a text, or at most %d of them, wanted",
			               INFER_STOPS_MAX);
		w->stop[w->r.n_stop++] = v->valuestring;
	}
	return 0;
}

static int number(const cJSON *o, const char *key, double min, double max, double *v, struct err *e)
{
	return json_get_number_between(o, key, *v, min, max, v, e);
}

static int read_wish(struct wish *w, const cJSON *o, struct err *e)
{
	struct sampling *s = &w->r.sampling;
	double temperature = (double)s->temperature, top_p = (double)s->top_p, top_k = s->top_k,
	       min_p = (double)s->min_p, presence = (double)s->presence,
	       frequency = (double)s->frequency, seed = (double)s->seed, n = 1,
	       tokens = w->r.max_tokens, top = 0;

	if (!cJSON_IsObject(o))
		return err_set(e, ERR_INPUT, "an object with \"prompt\" wanted");
	if (json_bool_or(o, "stream", false) || json_bool_or(o, "echo", false))
		return err_set(e, ERR_INPUT, "stream and echo are not served: answers come whole");
	if (read_prompt(w, o, e) < 0 || read_stops(w, o, e) < 0 ||
	    number(o, "temperature", 0, 100, &temperature, e) < 0 ||
	    number(o, "top_p", 1e-6, 1, &top_p, e) < 0 ||
	    number(o, "top_k", -1, 1 << 20, &top_k, e) < 0 ||
	    number(o, "min_p", 0, 1, &min_p, e) < 0 ||
	    number(o, "presence_penalty", -2, 2, &presence, e) < 0 ||
	    number(o, "frequency_penalty", -2, 2, &frequency, e) < 0 ||
	    number(o, "seed", 0, 9007199254740992.0, &seed, e) < 0 ||
	    number(o, "n", 1, INFER_SEQUENCES_MAX, &n, e) < 0 ||
	    number(o, "max_tokens", 1, TOKENS_MAX, &tokens, e) < 0 ||
	    number(o, "logprobs", 0, SAMPLER_TOP_MAX, &top, e) < 0)
		return -1;
	s->temperature = (float)temperature;
	s->top_p = (float)top_p;
	s->top_k = top_k < 0 ? 0 : (int)top_k;
	s->min_p = (float)min_p;
	s->presence = (float)presence;
	s->frequency = (float)frequency;
	s->seed = (uint64_t)seed;
	s->top = w->logprobs = (int)top;
	w->r.n = (int)n;
	w->r.max_tokens = (int)tokens;
	w->r.ignore_eos = json_bool_or(o, "ignore_eos", false);
	return 0;
}

void completions_ask(struct completions *k, uint64_t conn, const char *body, size_t len)
{
	struct err e = { 0 };
	cJSON *o = json_parse(body, len, &e);
	struct wish w = { 0 };
	struct asked *a = NULL;

	model_flags_request(k->flags, &w.r);
	if (!o || read_wish(&w, o, &e) < 0) {
		refuse(k, conn, 400, e.text);
	} else if (k->s->stopping || k->under_way >= UNDER_WAY_MAX) {
		refuse(k, conn, 503,
		       k->s->stopping ? "the server is stopping" : "too many at once");
	} else if (!(a = calloc(1, sizeof(*a)))) {
		refuse(k, conn, 503, "out of memory");
	} else if (gpu_generate(k->gpu, &w.r, &a->request, &e) < 0) {
		refuse(k, conn, 400, e.text);
		free(a);
	} else {
		a->conn = conn;
		a->n = a->left = w.r.n;
		for (int i = 0; i < a->n; i++) {
			a->answer[i].texts = cJSON_CreateArray();
			a->answer[i].tops = w.logprobs > 0 ? cJSON_CreateArray() : NULL;
		}
		a->next = k->first;
		k->first = a;
		k->under_way++;
	}
	free(w.ids);
	cJSON_Delete(o);
}

void completions_gone(struct completions *k, uint64_t conn)
{
	for (struct asked *a = k->first; a; a = a->next)
		if (a->conn == conn) {
			a->conn = 0;
			gpu_cancel(k->gpu, a->request, -1);
		}
}

/* ---- all of it ---- */

struct completions *completions_open(struct serving *s, const struct model_flags *m, struct err *e)
{
	struct completions *k = calloc(1, sizeof(*k));
	const struct gpu_ops ops = { k, NULL, on_token, on_done };
	struct gpu_options o;

	if (!k) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	k->s = s;
	k->flags = m;
	model_flags_name(k->name, sizeof(k->name), m->model);
	model_flags_options(m, s->o->app, &o);
	/* workers tell their tokens late: they answer when they are asked for by name alone */
	struct engine_choice choice = { s->o->app, m };
	k->gpu = m->far ? engine_choose(&choice, &o, &ops, e) : gpu_open(&o, &ops, e);
	if (!k->gpu) {
		free(k);
		return NULL;
	}
	return k;
}

void completions_close(struct completions *k)
{
	if (!k)
		return;
	gpu_close(k->gpu);
	while (k->first)
		asked_drop(k, k->first);
	free(k);
}

void completions_models(struct completions *k, struct buf *out)
{
	cJSON *o = cJSON_CreateObject(), *list, *one;

	cJSON_AddStringToObject(o, "object", "list");
	list = cJSON_AddArrayToObject(o, "data");
	one = cJSON_CreateObject();
	cJSON_AddStringToObject(one, "id", k->name);
	cJSON_AddStringToObject(one, "object", "model");
	cJSON_AddStringToObject(one, "owned_by", "cadforge");
	cJSON_AddItemToArray(list, one);
	json_print(out, o);
	cJSON_Delete(o);
}

int completions_under_way(const struct completions *k)
{
	return k->under_way;
}

int completions_poll_fds(struct completions *k, struct pollfd *out, int cap)
{
	return gpu_poll_fds(k->gpu, out, cap);
}

int completions_timeout_ms(struct completions *k)
{
	return gpu_timeout_ms(k->gpu);
}

int completions_work(struct completions *k, struct err *e)
{
	return gpu_step(k->gpu, e);
}

void completions_metrics(const struct completions *k, struct buf *out)
{
	buf_printf(out,
	           "# TYPE cadforge_completions_total counter\ncadforge_completions_total %lld\n"
	           "# TYPE cadforge_completion_tokens_total counter\n"
	           "cadforge_completion_tokens_total %lld\n"
	           "# TYPE cadforge_completions_under_way gauge\n"
	           "cadforge_completions_under_way %d\n",
	           (long long)k->answered, (long long)k->tokens, k->under_way);
}
