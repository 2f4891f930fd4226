#include "src/source_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/cad_names.h"

/* One sibling's answer, as far as it has come. */
struct sibling {
	struct buf text;
	size_t told;       /* bytes of it that were handed on */
	bool thinks, over; /* inside <think> now */
	struct completion
		completion; /* its author's tokens and figures; text and finish at the end */
	cJSON *ids, *logprobs, *entropy, *top, *at;
	struct err why; /* it failed */
	bool failed, cancelled;
	double begun_s, ended_s;
};

struct model_source {
	const struct app *app;
	const struct model_flags *flags;
	struct gpu *gpu;
	char names[4200]; /* the guard's file; "" without */
	char model[256], model_hash[65], backend[256], adapter[512];
	bool told_instead;
	/* the prompt under way */
	uint32_t request;
	int n, next; /* siblings asked for, handed out */
	int before;  /* siblings of the same prompt in requests before this one */
	bool more;   /* and there are to be further ones */
	struct sibling *sibling;
};

/* ---- what the engine says ---- */

static void on_ready(void *ctx, const cJSON *about)
{
	struct model_source *m = ctx;
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(about, "model");
	const char *because = json_string_or(about, "because", NULL);
	const char *dtype = json_string_or(about, "dtype", NULL);

	snprintf(m->model_hash, sizeof(m->model_hash), "%s", json_string_or(model, "hash", ""));
	snprintf(m->backend, sizeof(m->backend), "%s%s%s, %.180s",
	         json_string_or(about, "backend", "?"), dtype ? " " : "", dtype ? dtype : "",
	         json_string_or(about, "device", "?"));
	if (because && !m->app->quiet && !m->told_instead)
		app_tell("on the CPU: %s", because);
	m->told_instead = true;
}

static void write_mark(struct sibling *s, bool in_thought)
{
	if (in_thought == s->thinks)
		return;
	buf_adds(&s->text, in_thought ? "<think>\n" : "\n</think>\n\n");
	s->thinks = in_thought;
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct model_source *m = ctx;
	struct sibling *s = &m->sibling[sequence];

	(void)index;
	if (request != m->request || sequence >= m->n)
		return;
	if (len > 0)
		write_mark(s, in_thought);
	if (p)
		cJSON_AddItemToArray(s->at, cJSON_CreateNumber((double)s->text.len));
	if (len > 0)
		buf_add(&s->text, text, len);
	if (!p)
		return;
	cJSON_AddItemToArray(s->ids, cJSON_CreateNumber(p->id));
	cJSON_AddItemToArray(s->logprobs, isfinite(p->logprob)
	                                          ? cJSON_CreateNumber((double)p->logprob)
	                                          : cJSON_CreateNull());
	cJSON_AddItemToArray(s->entropy, isfinite(p->entropy)
	                                         ? cJSON_CreateNumber((double)p->entropy)
	                                         : cJSON_CreateNull());
	cJSON *list = cJSON_CreateArray();
	for (int i = 0; i < p->n_top; i++) {
		cJSON *pair = cJSON_CreateArray();
		cJSON_AddItemToArray(pair, cJSON_CreateNumber(p->top[i].id));
		cJSON_AddItemToArray(pair, cJSON_CreateNumber((double)p->top[i].logprob));
		cJSON_AddItemToArray(list, pair);
	}
	cJSON_AddItemToArray(s->top, list);
}

static void add_count(cJSON *o, const char *key, int v)
{
	json_add_figure(o, key, v >= 0 ? v : NAN);
}

static void keep_tokens(struct sibling *s, const struct gpu_done *d, struct buf *out)
{
	cJSON *o = cJSON_CreateObject();
	cJSON *list[] = { s->ids, s->logprobs, s->entropy, s->top, s->at };
	static const char *const key[] = { "ids", "logprobs", "entropy", "top", "at" };

	for (int i = 0; i < 5; i++) {
		/* those of a stop text are no part of the answer */
		while (d->ids && cJSON_GetArraySize(list[i]) > d->n)
			cJSON_DeleteItemFromArray(list[i], cJSON_GetArraySize(list[i]) - 1);
		if (i == 0 && !d->ids) {
			cJSON_Delete(list[i]);
			cJSON_AddNullToObject(o, key[i]);
		} else {
			cJSON_AddItemToObject(o, key[i], list[i]);
		}
	}
	s->ids = s->logprobs = s->entropy = s->top = s->at = NULL;
	json_print(out, o);
	cJSON_Delete(o);
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct model_source *m = ctx;
	struct sibling *s = &m->sibling[sequence];
	struct author *a = &s->completion.author;
	cJSON *o;

	if (request != m->request || sequence >= m->n)
		return;
	s->over = true;
	s->ended_s = clock_now_s();
	if (s->thinks)
		write_mark(s, false);
	s->cancelled = d->end == GPU_CANCELLED;
	s->failed = d->end == GPU_ERROR;
	if (s->failed)
		err_set(&s->why, d->kind, "%s", d->error);
	s->completion.finish = d->end == GPU_STOP ? FINISH_STOP : FINISH_LENGTH;
	*a = (struct author){
		.known = true,
		.prompt_tokens = d->prompt_tokens,
		.completion_tokens = d->n > 0 ? d->n
		                     : d->ids ? 0
		                              : -1,
	};
	snprintf(a->model, sizeof(a->model), "%s", m->model);
	snprintf(a->model_hash, sizeof(a->model_hash), "%s", m->model_hash);
	snprintf(a->backend, sizeof(a->backend), "%s", m->backend);
	snprintf(a->adapter, sizeof(a->adapter), "%s", m->adapter);
	snprintf(a->adapter_hash, sizeof(a->adapter_hash), "%s",
	         d->adapter_hash ? d->adapter_hash : "");
	keep_tokens(s, d, &a->tokens);
	o = model_flags_sampling(m->flags);
	if (m->n > 1)
		cJSON_AddNumberToObject(o, "sequence", m->before + sequence);
	json_print(&a->sampling, o);
	cJSON_Delete(o);
	o = cJSON_CreateObject();
	add_count(o, "prompt_tokens", d->prompt_tokens);
	add_count(o, "cached_tokens", d->cached_tokens);
	add_count(o, "tokens", a->completion_tokens);
	add_count(o, "drafted", d->drafted);
	add_count(o, "accepted", d->accepted);
	json_add_figure(o, "wait_s", d->wait_s);
	json_add_figure(o, "prefill_s", d->prefill_s);
	json_add_figure(o, "decode_s", d->decode_s);
	json_print(&a->figures, o);
	cJSON_Delete(o);
}

/* ---- a prompt ---- */

static void drop_siblings(struct model_source *m)
{
	for (int i = 0; i < m->n; i++) {
		struct sibling *s = &m->sibling[i];
		buf_release(&s->text);
		completion_release(&s->completion);
		cJSON_Delete(s->ids);
		cJSON_Delete(s->logprobs);
		cJSON_Delete(s->entropy);
		cJSON_Delete(s->top);
		cJSON_Delete(s->at);
	}
	free(m->sibling);
	m->sibling = NULL;
	m->n = m->next = 0;
}

static cJSON *part(const char *text, size_t len)
{
	cJSON *o = cJSON_CreateObject();
	struct buf b = { 0 };

	buf_add(&b, text, len);
	cJSON_AddStringToObject(o, "type", "text");
	cJSON_AddStringToObject(o, "text", buf_str(&b));
	buf_release(&b);
	return o;
}

/* The messages with the last content cut where other prompts of the task go on otherwise. */
static cJSON *with_head(const struct ask *a)
{
	cJSON *list = cJSON_Duplicate(a->messages, true);
	cJSON *last = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
	const char *content = json_string_or(last, "content", "");
	size_t len = strlen(content);

	if (a->shared > 0 && a->shared <= len) {
		cJSON *parts = cJSON_CreateArray();
		cJSON_AddItemToArray(parts, part(content, a->shared));
		if (a->shared < len)
			cJSON_AddItemToArray(parts, part(content + a->shared, len - a->shared));
		cJSON_ReplaceItemInObjectCaseSensitive(last, "content", parts);
	}
	return list;
}

static int begin(struct model_source *m, const struct ask *a, struct err *e)
{
	struct gpu_request r;
	int n = a->siblings < INFER_SEQUENCES_MAX ? a->siblings : INFER_SEQUENCES_MAX, rc;
	cJSON *messages;

	m->before = m->more ? m->before + m->n : 0;
	m->more = a->siblings > n;
	drop_siblings(m);
	if (!(m->sibling = calloc((size_t)n, sizeof(*m->sibling))))
		return err_set(e, ERR_MEM, "no memory for %d answers", n);
	m->n = n;
	for (int i = 0; i < n; i++) {
		struct sibling *s = &m->sibling[i];
		s->begun_s = clock_now_s();
		s->ids = cJSON_CreateArray();
		s->logprobs = cJSON_CreateArray();
		s->entropy = cJSON_CreateArray();
		s->top = cJSON_CreateArray();
		s->at = cJSON_CreateArray();
	}
	model_flags_request(m->flags, &r);
	messages = with_head(a);
	r.messages = messages;
	r.n = n;
	r.sampling.seed += (uint64_t)m->before;
	r.draft = a->previous && *a->previous ? a->previous : NULL;
	r.speculate = r.draft != NULL;
	r.guard = *m->names ? m->names : NULL;
	/* what the workbench shows of a token: where the model was unsure */
	r.sampling.top = r.sampling.top > 0 ? r.sampling.top : 4;
	rc = gpu_generate(m->gpu, &r, &m->request, e);
	cJSON_Delete(messages);
	return rc;
}

static int turn_gpu(struct model_source *m, struct err *e)
{
	struct pollfd fd[80];
	int ms = gpu_timeout_ms(m->gpu);

	poll(fd, (nfds_t)gpu_poll_fds(m->gpu, fd, 80), ms >= 0 && ms < 100 ? ms : 100);
	return gpu_step(m->gpu, e);
}

static void hand_on(struct sibling *s, const struct ask *a)
{
	if (a->text && s->text.len > s->told)
		a->text(a->ctx, s->text.data + s->told, s->text.len - s->told);
	s->told = s->text.len;
}

static int next_answer(void *ctx, const struct ask *a, struct completion *out, struct err *e)
{
	struct model_source *m = ctx;

	if (m->next == m->n && begin(m, a, e) < 0)
		return -1;
	struct sibling *s = &m->sibling[m->next++];
	while (!s->over) {
		if (a->tick && a->tick(a->ctx)) {
			gpu_cancel(m->gpu, m->request, -1);
			hand_on(s, a);
			buf_add(&out->text, buf_str(&s->text), s->text.len);
			out->finish = FINISH_CANCELLED;
			return err_set(e, ERR_CANCELLED, "interrupted while the model wrote");
		}
		if (turn_gpu(m, e) < 0)
			return -1;
		hand_on(s, a);
	}
	hand_on(s, a);
	if (s->failed || s->cancelled) {
		out->finish = s->failed ? FINISH_ERROR : FINISH_CANCELLED;
		*e = s->why;
		return s->failed ? -1 : err_set(e, ERR_CANCELLED, "the answer was cancelled");
	}
	if (buf_failed(&s->text) || s->text.len > COMPLETION_BYTES_MAX)
		return err_set(e, ERR_MEM, "an answer of %zu bytes is more than is kept",
		               s->text.len);
	*out = s->completion;
	s->completion = (struct completion){ 0 };
	out->text = s->text;
	s->text = (struct buf){ 0 };
	out->rule = EXTRACT_ANSWER;
	out->seconds = s->ended_s - s->begun_s;
	return 0;
}

static void close_source(void *ctx)
{
	struct model_source *m = ctx;

	gpu_close(m->gpu);
	drop_siblings(m);
	if (*m->names)
		unlink(m->names);
	free(m);
}

/* A folder's own name, or what stands behind the '#'. */
static void name_model(char *out, size_t size, const char *model)
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

static void name_adapters(char *out, size_t size, const struct model_flags *f)
{
	size_t at = 0;

	*out = '\0';
	for (int i = 0; i < f->n_adapters && at < size; i++) {
		char name[256];
		name_model(name, sizeof(name), f->adapter[i].dir);
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? "+" : "", name);
		if (f->adapter[i].weight != 1 && at < size)
			at += (size_t)snprintf(out + at, size - at, ":%g",
			                       (double)f->adapter[i].weight);
	}
}

int source_model(struct source *out, const struct app *a, const struct model_flags *f,
                 struct err *e)
{
	struct model_source *m = calloc(1, sizeof(*m));
	struct gpu_options o;

	if (!m)
		return err_set(e, ERR_MEM, "out of memory");
	const struct gpu_ops ops = { m, on_ready, on_token, on_done };
	m->app = a;
	m->flags = f;
	name_model(m->model, sizeof(m->model), f->model);
	name_adapters(m->adapter, sizeof(m->adapter), f);
	if (f->guard && cad_names_file(a, m->names, sizeof(m->names), e) < 0) {
		*m->names = '\0';
		close_source(m);
		return -1;
	}
	model_flags_options(f, a, &o);
	if (!(m->gpu = gpu_open(&o, &ops, e))) {
		close_source(m);
		return -1;
	}
	*out = (struct source){ .ctx = m, .next = next_answer, .close = close_source };
	snprintf(out->name, sizeof(out->name), "%.120s", m->model);
	return 0;
}
