#include "src/source_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/cad_names.h"
#include "src/store.h"

/* One sibling's answer, as far as it has come. */
struct sibling {
	struct buf text;
	size_t told; /* bytes of it that were handed on */
	struct piece {
		int64_t time_us;
		size_t end; /* of the text, up to here */
	} * pieces;
	int n_pieces, told_pieces;
	bool thinks, over; /* inside <think> now */
	bool taken;        /* handed out */
	struct completion
		completion; /* its author's tokens and figures; text and finish at the end */
	cJSON *ids, *logprobs, *entropy, *top, *at;
	struct err why; /* it failed */
	bool failed, cancelled;
	double begun_s, ended_s;
	int64_t begun_us;
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
	int n, next;   /* siblings asked for, handed out */
	bool stopping; /* it is enough: the answers under way are being ended */
	uint64_t seed_add;
	struct source_ears ears;
	int before; /* siblings of the same prompt in requests before this one */
	bool more;  /* and there are to be further ones */
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
	if (m->ears.ready)
		m->ears.ready(m->ears.ctx, about);
}

/* What has come since the last piece becomes one, or a part of it when that is a moment ago. */
static void end_piece(struct sibling *s)
{
	enum { PIECE_US = 100000 };
	int64_t now = store_now_us();
	struct piece *last = s->n_pieces ? &s->pieces[s->n_pieces - 1] : NULL;

	if (s->text.len == (last ? last->end : 0))
		return;
	if (last && s->told_pieces < s->n_pieces && now - last->time_us < PIECE_US) {
		last->end = s->text.len;
		return;
	}
	if ((s->n_pieces & (s->n_pieces - 1)) == 0) {
		int cap = s->n_pieces ? 2 * s->n_pieces : 1;
		void *p = realloc(s->pieces, (size_t)cap * sizeof(*s->pieces));
		if (!p) {
			s->text.failed = true;
			return;
		}
		s->pieces = p;
	}
	s->pieces[s->n_pieces++] = (struct piece){ now, s->text.len };
}

/* Tells whoever listens of the text from @from on. */
static void let_hear(struct model_source *m, const struct sibling *s, size_t from, int index,
                     const struct picked *p, bool in_thought)
{
	struct source_token t = { .index = p ? index : -1, .id = -1, .thinking = in_thought };

	if (!m->ears.token || buf_failed(&s->text) || (!p && s->text.len == from))
		return;
	t.text = buf_str(&s->text) + from;
	t.len = s->text.len - from;
	t.logprob = t.entropy = NAN;
	if (p) {
		t.id = p->id;
		t.logprob = p->logprob;
		t.entropy = p->entropy;
		for (int i = 0; i < p->n_top && i < SOURCE_TOP; i++) {
			t.top[i].id = p->top[i].id;
			t.top[i].logprob = p->top[i].logprob;
			t.top[i].text = gpu_top_text(m->gpu, i);
			t.n_top++;
		}
	}
	m->ears.token(m->ears.ctx, m->before + (int)(s - m->sibling) + 1, &t);
}

static void write_mark(struct model_source *m, struct sibling *s, bool in_thought)
{
	size_t from = s->text.len;

	if (in_thought == s->thinks)
		return;
	buf_adds(&s->text, in_thought ? "<think>\n" : "\n</think>\n\n");
	s->thinks = in_thought;
	let_hear(m, s, from, -1, NULL, in_thought);
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct model_source *m = ctx;
	struct sibling *s = &m->sibling[sequence];
	size_t from;

	if (request != m->request || sequence >= m->n)
		return;
	if (len > 0)
		write_mark(m, s, in_thought);
	from = s->text.len;
	if (p)
		cJSON_AddItemToArray(s->at, cJSON_CreateNumber((double)from));
	if (len > 0)
		buf_add(&s->text, text, len);
	end_piece(s);
	let_hear(m, s, from, index, p, in_thought);
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
		cJSON_AddItemToArray(pair, cJSON_CreateString(gpu_top_text(m->gpu, i)));
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
		write_mark(m, s, false);
	end_piece(s);
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
	if (m->seed_add > 0) {
		struct model_flags as = *m->flags;
		as.sampling.seed += m->seed_add;
		cJSON_Delete(o);
		o = model_flags_sampling(&as);
	}
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
	if (m->ears.over)
		m->ears.over(m->ears.ctx, m->before + sequence + 1,
		             s->cancelled ? finish_name(FINISH_CANCELLED)
		             : s->failed  ? finish_name(FINISH_ERROR)
		                          : finish_name(s->completion.finish));
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
		free(s->pieces);
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

/* What the guard knows is asked for once, when it is first wanted. */
static int need_names(struct model_source *m, struct err *e)
{
	if (!m->flags->guard || *m->names)
		return 0;
	if (cad_names_file(m->app, m->names, sizeof(m->names), e) == 0)
		return 0;
	*m->names = '\0';
	return -1;
}

static int begin(struct model_source *m, const struct ask *a, struct err *e)
{
	struct gpu_request r;
	int n = a->siblings < INFER_SEQUENCES_MAX ? a->siblings : INFER_SEQUENCES_MAX, rc;
	cJSON *messages;

	m->before = m->more && a->again ? m->before + m->n : 0;
	m->more = a->siblings > n;
	if (need_names(m, e) < 0)
		return -1;
	model_flags_adapters(m->adapter, sizeof(m->adapter), m->flags);
	m->stopping = false;
	m->seed_add = a->seed_add;
	/* of an ask that was left: nobody waits for the rest */
	if (m->n > 0)
		gpu_cancel(m->gpu, m->request, -1);
	drop_siblings(m);
	if (!(m->sibling = calloc((size_t)n, sizeof(*m->sibling))))
		return err_set(e, ERR_MEM, "no memory for %d answers", n);
	m->n = n;
	for (int i = 0; i < n; i++) {
		struct sibling *s = &m->sibling[i];
		s->begun_s = clock_now_s();
		s->begun_us = store_now_us();
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
	r.sampling.seed += (uint64_t)m->before + m->seed_add;
	r.forced = a->n_forced > 0 ? a->forced : NULL;
	r.n_forced = a->n_forced;
	r.forced_begin = a->n_forced > 0;
	r.draft = a->previous && *a->previous ? a->previous : NULL;
	r.speculate = r.draft != NULL;
	r.guard = m->flags->guard ? m->names : NULL;
	/* what the workbench shows of a token: where the model was unsure */
	r.sampling.top = r.sampling.top > 0 ? r.sampling.top : 4;
	rc = gpu_generate(m->gpu, &r, &m->request, e);
	cJSON_Delete(messages);
	return rc;
}

static int turn_gpu(struct model_source *m, int tick_ms, struct err *e)
{
	struct pollfd fd[80];
	int ms = gpu_timeout_ms(m->gpu);

	tick_ms = tick_ms > 0 ? tick_ms : 100;
	poll(fd, (nfds_t)gpu_poll_fds(m->gpu, fd, 80), ms >= 0 && ms < tick_ms ? ms : tick_ms);
	return gpu_step(m->gpu, e);
}

static void hand_on(struct sibling *s, const struct ask *a)
{
	for (; s->told_pieces < s->n_pieces; s->told_pieces++) {
		const struct piece *p = &s->pieces[s->told_pieces];
		if (a->text && !buf_failed(&s->text))
			a->text(a->ctx, p->time_us, s->text.data + s->told, p->end - s->told);
		s->told = p->end;
	}
}

/* The one to wait for: the next in order, or the first that has ended; of those that were stopped
 * one that has come to something. NULL: wait. */
static struct sibling *choose(struct model_source *m, bool any)
{
	struct sibling *best = NULL;

	if (!any)
		return &m->sibling[m->next];
	for (int i = 0; i < m->n; i++) {
		struct sibling *s = &m->sibling[i];
		if (!s->taken && s->over && (!best || (best->text.len == 0 && s->text.len > 0)))
			best = s;
	}
	return best;
}

static int next_answer(void *ctx, const struct ask *a, struct completion *out, struct err *e)
{
	struct model_source *m = ctx;
	struct sibling *s;

	if ((m->next == m->n || !a->again) && begin(m, a, e) < 0)
		return -1;
	while (!(s = choose(m, a->any)) || !s->over) {
		if (s)
			hand_on(s, a);
		if (a->tick && a->tick(a->ctx)) {
			gpu_cancel(m->gpu, m->request, -1);
			out->finish = FINISH_CANCELLED;
			if (s)
				buf_add(&out->text, buf_str(&s->text), s->text.len);
			return err_set(e, ERR_CANCELLED, "interrupted while the model wrote");
		}
		if (turn_gpu(m, a->tick_ms, e) < 0)
			return -1;
	}
	hand_on(s, a);
	s->taken = true;
	m->next++;
	out->sibling = m->before + (int)(s - m->sibling) + 1;
	if (s->failed || (s->cancelled && s->text.len == 0)) {
		out->finish = s->failed ? FINISH_ERROR : FINISH_CANCELLED;
		*e = s->why;
		return s->failed ? -1
		                 : err_set(e, ERR_CANCELLED,
		                           "stopped before the model had written anything");
	}
	if (s->cancelled)
		s->completion.finish = FINISH_CANCELLED;
	if (buf_failed(&s->text) || s->text.len > COMPLETION_BYTES_MAX)
		return err_set(e, ERR_MEM, "an answer of %zu bytes is more than is kept",
		               s->text.len);
	*out = s->completion;
	s->completion = (struct completion){ 0 };
	out->text = s->text;
	s->text = (struct buf){ 0 };
	out->sibling = m->before + (int)(s - m->sibling) + 1;
	out->begun_us = s->begun_us;
	out->rule = EXTRACT_ANSWER;
	out->seconds = s->ended_s - s->begun_s;
	return 0;
}

static void stop_answers(void *ctx)
{
	struct model_source *m = ctx;

	if (m->n > 0 && !m->stopping)
		gpu_cancel(m->gpu, m->request, -1);
	m->stopping = true;
}

static void listen_to(void *ctx, const struct source_ears *ears)
{
	static const struct source_ears nobody;
	struct model_source *m = ctx;

	m->ears = ears ? *ears : nobody;
}

static int poll_fds(void *ctx, struct pollfd *out, int cap)
{
	struct model_source *m = ctx;

	return gpu_poll_fds(m->gpu, out, cap);
}

static void attend(void *ctx)
{
	struct model_source *m = ctx;
	struct err e;

	/* what is wrong is told to whoever asks next */
	gpu_step(m->gpu, &e);
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

int source_model(struct source *out, const struct app *a, const struct model_flags *f,
                 struct err *e)
{
	return source_model_of(out, a, f, NULL, NULL, e);
}

int source_model_of(struct source *out, const struct app *a, const struct model_flags *f,
                    struct gpu *(*engine)(void *ctx, const struct gpu_options *o,
                                          const struct gpu_ops *ops, struct err *e),
                    void *engine_ctx, struct err *e)
{
	struct model_source *m = calloc(1, sizeof(*m));
	struct gpu_options o;

	if (!m)
		return err_set(e, ERR_MEM, "out of memory");
	const struct gpu_ops ops = { m, on_ready, on_token, on_done };
	m->app = a;
	m->flags = f;
	struct model_about about;
	if (model_about_read(&about, f->model, e) < 0) {
		free(m);
		return -1;
	}
	if (about.name[0])
		snprintf(m->model, sizeof(m->model), "%s", about.name);
	else
		model_flags_name(m->model, sizeof(m->model), f->model);
	if (need_names(m, e) < 0) {
		close_source(m);
		return -1;
	}
	model_flags_options(f, a, &o);
	m->gpu = engine ? engine(engine_ctx, &o, &ops, e) : gpu_open(&o, &ops, e);
	if (!m->gpu) {
		close_source(m);
		return -1;
	}
	*out = (struct source){
		.ctx = m,
		.next = next_answer,
		.close = close_source,
		.stop = stop_answers,
		.listen = listen_to,
		.poll_fds = poll_fds,
		.attend = attend,
	};
	snprintf(out->name, sizeof(out->name), "%.120s", m->model);
	return 0;
}
