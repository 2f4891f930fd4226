/*
 * Answers of a model over HTTP, in the form of OpenAI's completions and chat completions, whole or
 * token by token ("stream": true), with what trainers need beside it: the ids of the tokens and
 * their log-probabilities.
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
	size_t told;   /* of a stream: bytes of its text that were sent */
};

struct asked {
	struct asked *next;
	uint64_t conn; /* 0: whoever asked has left */
	uint32_t request;
	int n, left, prompt_tokens, tokens;
	bool chat, stream, usage; /* usage: a stream tells it at its end */
	bool begun;               /* something of the stream was sent */
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

/* ---- streams ---- */

/* What every answer and every piece of one begins with. */
static cJSON *heading(const struct completions *k, const struct asked *a)
{
	cJSON *o = cJSON_CreateObject();
	char id[40];

	snprintf(id, sizeof(id), "%s-%u", a->chat ? "chatcmpl" : "cmpl", a->request);
	cJSON_AddStringToObject(o, "id", id);
	cJSON_AddStringToObject(o, "object",
	                        !a->chat    ? "text_completion"
	                        : a->stream ? "chat.completion.chunk"
	                                    : "chat.completion");
	cJSON_AddNumberToObject(o, "created", (double)time(NULL));
	cJSON_AddStringToObject(o, "model", k->name);
	return o;
}

static void add_usage(cJSON *o, const struct asked *a)
{
	cJSON *usage = cJSON_AddObjectToObject(o, "usage");

	cJSON_AddNumberToObject(usage, "prompt_tokens", a->prompt_tokens);
	cJSON_AddNumberToObject(usage, "completion_tokens", a->tokens);
	cJSON_AddNumberToObject(usage, "total_tokens", a->prompt_tokens + a->tokens);
}

/* Takes @o. */
static void send_event(struct completions *k, struct asked *a, cJSON *o)
{
	struct buf b = { 0 };

	if (!a->begun)
		net_begin(k->s->net, a->conn, "text/event-stream");
	a->begun = true;
	buf_adds(&b, "data: ");
	json_print(&b, o);
	buf_adds(&b, "\n\n");
	cJSON_Delete(o);
	net_more(k->s->net, a->conn, buf_str(&b), b.len);
	buf_release(&b);
}

static void add_logprob(cJSON *o, const char *key, double v)
{
	if (isfinite(v))
		cJSON_AddNumberToObject(o, key, v);
	else
		cJSON_AddNullToObject(o, key);
}

/* One token's figures, in the form of the interface that was asked. Takes @tops, which may be NULL.
 */
static cJSON *token_logprobs(const struct asked *a, const char *text, double logprob, cJSON *tops)
{
	cJSON *o = cJSON_CreateObject(), *list, *one;

	if (a->chat) {
		list = cJSON_AddArrayToObject(o, "content");
		cJSON_AddItemToArray(list, one = cJSON_CreateObject());
		cJSON_AddStringToObject(one, "token", text);
		add_logprob(one, "logprob", logprob);
		cJSON_AddItemToObject(one, "top_logprobs", tops ? tops : cJSON_CreateArray());
		return o;
	}
	list = cJSON_AddArrayToObject(o, "tokens");
	cJSON_AddItemToArray(list, cJSON_CreateString(text));
	list = cJSON_AddArrayToObject(o, "token_logprobs");
	cJSON_AddItemToArray(list,
	                     isfinite(logprob) ? cJSON_CreateNumber(logprob) : cJSON_CreateNull());
	if (tops) {
		list = cJSON_AddArrayToObject(o, "top_logprobs");
		cJSON_AddItemToArray(list, tops);
	}
	return o;
}

/* A piece of one answer: @text "" when only its end is told, @end NULL before that. */
static void send_piece(struct completions *k, struct asked *a, int sequence, const char *text,
                       bool in_thought, const struct picked *p, cJSON *tops, const char *end)
{
	cJSON *o = heading(k, a), *list = cJSON_AddArrayToObject(o, "choices"), *c, *to;

	cJSON_AddItemToArray(list, c = cJSON_CreateObject());
	cJSON_AddNumberToObject(c, "index", sequence);
	to = a->chat ? cJSON_AddObjectToObject(c, "delta") : c;
	if (a->chat && !end)
		cJSON_AddStringToObject(to, "role", "assistant");
	if (in_thought)
		cJSON_AddStringToObject(to, a->chat ? "reasoning_content" : "thinking", text);
	if (!a->chat || (*text && !in_thought))
		cJSON_AddStringToObject(to, a->chat ? "content" : "text", in_thought ? "" : text);
	if (p && p->id >= 0) {
		double id = p->id;
		cJSON_AddItemToObject(c, "token_ids", cJSON_CreateDoubleArray(&id, 1));
	}
	if (p && !in_thought)
		cJSON_AddItemToObject(c, "logprobs",
		                      token_logprobs(a, text, (double)p->logprob, tops));
	else
		cJSON_AddNullToObject(c, "logprobs");
	if (end)
		cJSON_AddStringToObject(c, "finish_reason", end);
	else
		cJSON_AddNullToObject(c, "finish_reason");
	send_event(k, a, o);
}

static void end_stream(struct completions *k, struct asked *a)
{
	static const char done[] = "data: [DONE]\n\n";
	cJSON *o;

	if (a->error[0]) {
		cJSON *error;
		o = cJSON_CreateObject();
		error = cJSON_AddObjectToObject(o, "error");
		cJSON_AddStringToObject(error, "message", a->error);
		cJSON_AddStringToObject(error, "type", "server_error");
		send_event(k, a, o);
	} else if (a->usage) {
		o = heading(k, a);
		cJSON_AddArrayToObject(o, "choices");
		add_usage(o, a);
		send_event(k, a, o);
	}
	net_more(k->s->net, a->conn, done, sizeof(done) - 1);
	net_end(k->s->net, a->conn);
}

/* ---- what comes ---- */

static cJSON *rivals(const struct completions *k, const struct picked *p)
{
	cJSON *top = cJSON_CreateArray();

	for (int i = 0; i < p->n_top; i++) {
		cJSON *one = cJSON_CreateObject();
		cJSON_AddNumberToObject(one, "id", p->top[i].id);
		cJSON_AddStringToObject(one, "token", gpu_top_text(k->gpu, i));
		json_add_figure(one, "logprob", (double)p->top[i].logprob);
		cJSON_AddItemToArray(top, one);
	}
	return top;
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct completions *k = ctx;
	struct asked *a = asked_of(k, request);
	struct answer *x = a ? &a->answer[sequence] : NULL;
	char *copy;

	(void)index;
	if (!x)
		return;
	copy = strndup(text, len);
	if (a->stream && a->conn) {
		send_piece(k, a, sequence, copy ? copy : "", in_thought, p,
		           p && x->tops && !in_thought ? rivals(k, p) : NULL, NULL);
		x->told += in_thought ? 0 : len;
	} else if (!a->stream && p) {
		cJSON_AddItemToArray(x->texts, cJSON_CreateString(copy ? copy : ""));
		if (x->tops)
			cJSON_AddItemToArray(x->tops, rivals(k, p));
	}
	free(copy);
}

/* As many of @list as there are tokens. */
static void cut(cJSON *list, int n)
{
	while (cJSON_GetArraySize(list) > n)
		cJSON_DeleteItemFromArray(list, cJSON_GetArraySize(list) - 1);
}

/* {"content": [{"token", "logprob", "top_logprobs"}]} of all tokens. Takes @x's lists. */
static cJSON *chat_logprobs(struct answer *x, const struct gpu_done *d)
{
	cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "content"), *one;

	for (int i = 0; d->logprobs && i < d->n; i++) {
		const cJSON *text = cJSON_GetArrayItem(x->texts, 0);
		cJSON_AddItemToArray(list, one = cJSON_CreateObject());
		cJSON_AddStringToObject(one, "token", text ? text->valuestring : "");
		cJSON_DeleteItemFromArray(x->texts, 0);
		add_logprob(one, "logprob", (double)d->logprobs[i]);
		cJSON *top = x->tops ? cJSON_DetachItemFromArray(x->tops, 0) : NULL;
		cJSON_AddItemToObject(one, "top_logprobs", top ? top : cJSON_CreateArray());
	}
	return o;
}

static cJSON *chat_choice(struct answer *x, int index, const struct gpu_done *d)
{
	cJSON *o = cJSON_CreateObject(), *m;

	cJSON_AddNumberToObject(o, "index", index);
	m = cJSON_AddObjectToObject(o, "message");
	cJSON_AddStringToObject(m, "role", "assistant");
	cJSON_AddStringToObject(m, "content", d->text);
	if (*d->thinking)
		cJSON_AddStringToObject(m, "reasoning_content", d->thinking);
	cJSON_AddStringToObject(o, "finish_reason", gpu_end_name(d->end));
	if (d->ids)
		cJSON_AddItemToObject(o, "token_ids", cJSON_CreateIntArray(d->ids, d->n));
	cJSON_AddItemToObject(o, "logprobs", chat_logprobs(x, d));
	return o;
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
	cJSON *o = heading(k, a), *list = cJSON_AddArrayToObject(o, "choices");
	struct buf b = { 0 };

	for (int i = 0; i < a->n; i++) {
		cJSON_AddItemToArray(list, a->answer[i].choice);
		a->answer[i].choice = NULL;
	}
	add_usage(o, a);
	json_print(&b, o);
	cJSON_Delete(o);
	serve_json(k->s, a->conn, 200, &b);
}

/* What was not told of its text yet, and why it ended. */
static void end_piece(struct completions *k, struct asked *a, int sequence,
                      const struct gpu_done *d)
{
	const struct answer *x = &a->answer[sequence];

	send_piece(k, a, sequence, x->told < d->text_len ? d->text + x->told : "", false, NULL,
	           NULL, gpu_end_name(d->end));
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
		if (a->stream && a->conn)
			end_piece(k, a, sequence, d);
		else if (!a->stream)
			a->answer[sequence].choice =
				a->chat ? chat_choice(&a->answer[sequence], sequence, d)
					: choice(&a->answer[sequence], sequence, d);
		a->tokens += d->n;
		a->prompt_tokens = d->prompt_tokens > 0 ? d->prompt_tokens : a->prompt_tokens;
		k->tokens += d->n;
	}
	if (--a->left > 0)
		return;
	if (a->conn && a->begun)
		end_stream(k, a);
	else if (a->conn && a->error[0])
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
	bool stream, usage;
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

static int read_prompt(struct wish *w, const cJSON *o, bool chat, struct err *e)
{
	const cJSON *prompt = cJSON_GetObjectItemCaseSensitive(o, "prompt");
	const cJSON *messages = cJSON_GetObjectItemCaseSensitive(o, "messages");

	if (chat && (prompt || !cJSON_IsArray(messages)))
		return err_set(e, ERR_INPUT,
		               "messages, an array of {\"role\", \"content\"}, wanted");
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
	if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, key)))
		return 0; /* as if it was not said */
	return json_get_number_between(o, key, *v, min, max, v, e);
}

/* "logprobs": of completions how many rivals of each token are told; of chat true, and
 * "top_logprobs" says how many. */
static int read_logprobs(struct wish *w, const cJSON *o, struct err *e)
{
	bool chat = cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(o, "logprobs"));
	double top = 0;

	if (number(o, chat ? "top_logprobs" : "logprobs", 0, SAMPLER_TOP_MAX, &top, e) < 0)
		return -1;
	w->r.sampling.top = w->logprobs = (int)top;
	return 0;
}

/* What only some clients say. */
static void read_manners(struct wish *w, const cJSON *o)
{
	const cJSON *more = cJSON_GetObjectItemCaseSensitive(o, "chat_template_kwargs");
	const cJSON *thinking = cJSON_GetObjectItemCaseSensitive(more, "enable_thinking");

	w->stream = json_bool_or(o, "stream", false);
	w->usage = json_bool_or(cJSON_GetObjectItemCaseSensitive(o, "stream_options"),
	                        "include_usage", false);
	w->r.ignore_eos = json_bool_or(o, "ignore_eos", false);
	if (cJSON_IsBool(thinking))
		w->r.thinking = cJSON_IsTrue(thinking) ? CHAT_THINKING_ON : CHAT_THINKING_OFF;
}

static int read_wish(struct wish *w, const cJSON *o, bool chat, struct err *e)
{
	struct sampling *s = &w->r.sampling;
	double temperature = (double)s->temperature, top_p = (double)s->top_p, top_k = s->top_k,
	       min_p = (double)s->min_p, presence = (double)s->presence,
	       frequency = (double)s->frequency, seed = (double)s->seed, n = 1,
	       repetition = (double)s->repetition, tokens = w->r.max_tokens;

	if (!cJSON_IsObject(o))
		return err_set(e, ERR_INPUT, "an object with \"prompt\" wanted");
	if (json_bool_or(o, "echo", false))
		return err_set(e, ERR_INPUT, "echo is not served: the answer alone comes back");
	if (read_prompt(w, o, chat, e) < 0 || read_stops(w, o, e) < 0 ||
	    number(o, "temperature", 0, 100, &temperature, e) < 0 ||
	    number(o, "top_p", 1e-6, 1, &top_p, e) < 0 ||
	    number(o, "top_k", -1, 1 << 20, &top_k, e) < 0 ||
	    number(o, "min_p", 0, 1, &min_p, e) < 0 ||
	    number(o, "presence_penalty", -2, 2, &presence, e) < 0 ||
	    number(o, "frequency_penalty", -2, 2, &frequency, e) < 0 ||
	    number(o, "repetition_penalty", 1e-3, 1000, &repetition, e) < 0 ||
	    number(o, "seed", 0, 9007199254740992.0, &seed, e) < 0 ||
	    number(o, "n", 1, INFER_SEQUENCES_MAX, &n, e) < 0 ||
	    number(o, "max_tokens", 1, TOKENS_MAX, &tokens, e) < 0 ||
	    number(o, "max_completion_tokens", 1, TOKENS_MAX, &tokens, e) < 0 ||
	    read_logprobs(w, o, e) < 0)
		return -1;
	s->temperature = (float)temperature;
	s->top_p = (float)top_p;
	s->top_k = top_k < 0 ? 0 : (int)top_k;
	s->min_p = (float)min_p;
	s->presence = (float)presence;
	s->frequency = (float)frequency;
	s->seed = (uint64_t)seed;
	s->repetition = (float)repetition;
	w->r.n = (int)n;
	w->r.max_tokens = (int)tokens;
	read_manners(w, o);
	return 0;
}

void completions_ask(struct completions *k, uint64_t conn, bool chat, const char *body, size_t len)
{
	struct err e = { 0 };
	cJSON *o = json_parse(body, len, &e);
	struct wish w = { 0 };
	struct asked *a = NULL;

	model_flags_request(k->flags, &w.r);
	if (!o || read_wish(&w, o, chat, &e) < 0) {
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
		a->chat = chat;
		a->stream = w.stream;
		a->usage = w.usage;
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
