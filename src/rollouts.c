#include "src/rollouts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/repair.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/cad_names.h"
#include "src/session.h"
#include "src/turn.h"

enum {
	POLLS_MAX = 96,
	TICK_MS = 80,
	TRIES_MAX = 2,     /* that an answer is asked for, when the engine is lost under it */
	REMEMBERED = 1024, /* programs, some 20 KB each */
};

/* A token as it was drawn. */
struct token {
	int32_t id;
	float logprob, drawn, entropy;
	uint32_t at; /* where its text begins in the answer's */
};

struct group {
	struct group *next;
	struct rollout_group g;
	int number, left; /* members that are not over */
	int64_t episode;  /* 0: none yet */
	bool fresh;       /* begun in the batch that is being stored */
	bool asked;
	cJSON *messages; /* made here; NULL: the caller's */
	cJSON *parent;   /* score of the turn that it repairs */
};

struct answer {
	struct answer *next, **at; /* of the list that it is in */
	struct group *g;
	int member, turn, tries;
	/* of a turn that goes on from another one of its member */
	cJSON *messages, *parent;
	int before;   /* that one's number in the episode; 0: it is not stored */
	bool goes_on; /* there is such a turn */
	uint64_t seed;
	/* drawing */
	double asked_s, drawn_s;
	int64_t started_us;
	struct buf text, tokens; /* struct token[n] */
	bool thinks;
	struct turn_events events; /* not when it is light */
	/* drawn */
	enum gpu_end end;
	bool known, logp_known;
	int n, prompt_tokens, max_tokens;
	double generate_s;
	struct author author;
	bool clipped, open_fence;
	struct scoring_input in;
	/* scored */
	struct scored scored;
	double scored_s;
	struct err why; /* it is lost */
	int number;
	int64_t turn_id;
};

/* Answers in their order of arrival. */
struct line {
	struct answer *first, **last;
};

/* A request to the engine and whom its sequences are. */
struct asked {
	struct asked *next;
	uint32_t request;
	int n, left;
	struct answer *answer[INFER_SEQUENCES_MAX];
};

struct rollouts {
	struct rollouts_options o;
	struct model_flags flags;
	char *model, *adapter; /* folders that were set since; NULL: not so, or the base alone */
	bool adapter_set;
	char about_name[64], model_name[256], adapter_name[512], model_hash[65], backend[256];
	char names[4200]; /* the guard's file; "" */
	struct scoring *scoring;
	struct gpu *gpu;
	cJSON *about;
	bool told_instead, told_store;
	int n_groups; /* numbers given */
	struct group *first;
	struct asked *asked;
	struct line drawn, scored, again; /* to be built; to be stored; to be asked for again */
	int drawing, building;
	struct rollouts_figures figures;
	int64_t remembered; /* of the scoring, and told */
	double looked_s, ticked_s;
	bool stop;
	struct err fatal; /* from inside a callback */
};

/* ---- lines of answers ---- */

static void line_add(struct line *l, struct answer *a)
{
	a->next = NULL;
	if (!l->first)
		l->last = &l->first;
	*l->last = a;
	l->last = &a->next;
}

static struct answer *line_take(struct line *l)
{
	struct answer *a = l->first;

	if (a) {
		l->first = a->next;
		if (!l->first)
			l->last = &l->first;
		a->next = NULL;
	}
	return a;
}

static void forget_drawing(struct answer *a)
{
	buf_clear(&a->text);
	buf_clear(&a->tokens);
	turn_events_release(&a->events);
	a->thinks = false;
}

static void answer_free(struct answer *a)
{
	cJSON_Delete(a->messages);
	cJSON_Delete(a->parent);
	buf_release(&a->text);
	buf_release(&a->tokens);
	turn_events_release(&a->events);
	buf_release(&a->author.sampling);
	buf_release(&a->author.tokens);
	buf_release(&a->author.figures);
	scored_release(&a->scored);
	free(a);
}

static void line_free(struct line *l)
{
	struct answer *a;

	while ((a = line_take(l)) != NULL)
		answer_free(a);
}

static struct answer *answer_new(struct group *g, int member, int turn, struct err *e)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (!a) {
		err_set(e, ERR_MEM, "no memory for an answer");
		return NULL;
	}
	a->g = g;
	a->member = member;
	a->turn = turn;
	a->scored.total = NAN;
	return a;
}

/* ---- seeds ---- */

/* splitmix64's mixing of a counter. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* First tries of a group are drawn by one request, whose sequence i has its seed + i. */
static uint64_t seed_of(uint64_t group, int member, int turn)
{
	return turn == 1 ? mix(group) + (uint64_t)(member - 1)
	                 : mix(mix(group + (uint64_t)turn) + (uint64_t)member);
}

/* ---- what the engine says ---- */

static void on_ready(void *ctx, const cJSON *about)
{
	struct rollouts *r = ctx;
	const char *because = json_string_or(about, "because", NULL);
	const char *dtype = json_string_or(about, "dtype", NULL);

	snprintf(r->model_hash, sizeof(r->model_hash), "%s",
	         json_string_or(cJSON_GetObjectItemCaseSensitive(about, "model"), "hash", ""));
	snprintf(r->backend, sizeof(r->backend), "%s%s%s, %.180s",
	         json_string_or(about, "backend", "?"), dtype ? " " : "", dtype ? dtype : "",
	         json_string_or(about, "device", "?"));
	if (because && !r->o.app->quiet && !r->told_instead)
		app_tell("on the CPU: %s", because);
	r->told_instead = true;
	cJSON_Delete(r->about);
	r->about = cJSON_Duplicate(about, true);
}

static struct answer *find(struct rollouts *r, uint32_t request, int sequence)
{
	for (struct asked *q = r->asked; q; q = q->next)
		if (q->request == request)
			return sequence >= 0 && sequence < q->n ? q->answer[sequence] : NULL;
	return NULL;
}

static void write_mark(struct answer *a, bool in_thought)
{
	if (in_thought == a->thinks)
		return;
	buf_adds(&a->text, in_thought ? "<think>\n" : "\n</think>\n\n");
	a->thinks = in_thought;
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct rollouts *r = ctx;
	struct answer *a = find(r, request, sequence);

	(void)index;
	if (!a)
		return;
	size_t from = a->text.len;
	if (len > 0)
		write_mark(a, in_thought);
	if (p) {
		const struct token t = { p->id, p->logprob, p->drawn, p->entropy,
			                 (uint32_t)a->text.len };
		buf_add(&a->tokens, &t, sizeof(t));
	}
	buf_add(&a->text, text, len);
	if (!r->o.light && a->text.len > from && !buf_failed(&a->text))
		turn_event_text(&a->events, 0, a->text.data + from, a->text.len - from);
}

/* Where a request's sequence stood; the request goes with its last. */
static void let_go(struct rollouts *r, uint32_t request, int sequence)
{
	for (struct asked **at = &r->asked, *q; (q = *at) != NULL; at = &q->next) {
		if (q->request != request)
			continue;
		q->answer[sequence] = NULL;
		if (--q->left == 0) {
			*at = q->next;
			free(q);
		}
		return;
	}
}

/* Its tokens, the one that ended it among them. */
static void keep_tokens(struct answer *a, const struct gpu_done *d)
{
	size_t n = a->tokens.len / sizeof(struct token);

	/* those of a stop text stay, since they were drawn; what came after them was not taken */
	if (d->ids && n > (size_t)d->n)
		a->tokens.len = (size_t)d->n * sizeof(struct token);
	else if ((size_t)d->n != n)
		return;
	if (d->stop && d->end == GPU_STOP) {
		const struct token t = { d->stop->id, d->stop->logprob, d->stop->drawn,
			                 d->stop->entropy, (uint32_t)a->text.len };
		buf_add(&a->tokens, &t, sizeof(t));
	}
	if (buf_failed(&a->tokens))
		return;
	const struct token *t = (const struct token *)(const void *)a->tokens.data;
	a->n = (int)(a->tokens.len / sizeof(*t));
	a->known = a->logp_known = a->n > 0;
	for (int i = 0; i < a->n; i++) {
		a->known = a->known && t[i].id >= 0;
		a->logp_known = a->logp_known && isfinite(t[i].drawn);
	}
}

static void add_float(struct buf *out, const char *before, float v)
{
	if (isfinite(v))
		buf_printf(out, "%s%.9g", before, (double)v);
	else
		buf_printf(out, "%snull", before);
}

/* tokens.json, as src/source.h has it. */
static void print_tokens(struct buf *out, const struct answer *a)
{
	const struct token *t = (const struct token *)(const void *)a->tokens.data;

	buf_adds(out, "{\"ids\":[");
	for (int i = 0; i < a->n; i++)
		buf_printf(out, "%s%d", i ? "," : "", t[i].id);
	buf_adds(out, "],\"logprobs\":[");
	for (int i = 0; i < a->n; i++)
		add_float(out, i ? "," : "", t[i].logprob);
	buf_adds(out, "],\"entropy\":[");
	for (int i = 0; i < a->n; i++)
		add_float(out, i ? "," : "", t[i].entropy);
	buf_adds(out, "],\"top\":[],\"at\":[");
	for (int i = 0; i < a->n; i++)
		buf_printf(out, "%s%u", i ? "," : "", t[i].at);
	buf_adds(out, "]}");
}

static void add_count(cJSON *o, const char *key, int v)
{
	json_add_figure(o, key, v >= 0 ? v : NAN);
}

static void describe_author(struct rollouts *r, struct answer *a, const struct gpu_done *d)
{
	struct author *w = &a->author;
	struct model_flags as = r->flags;
	cJSON *o;

	w->known = true;
	w->prompt_tokens = d->prompt_tokens;
	w->completion_tokens = a->known ? a->n : d->n > 0 ? d->n : -1;
	snprintf(w->model, sizeof(w->model), "%s", r->model_name);
	snprintf(w->model_hash, sizeof(w->model_hash), "%s", r->model_hash);
	snprintf(w->backend, sizeof(w->backend), "%s", r->backend);
	snprintf(w->adapter, sizeof(w->adapter), "%s", r->adapter_name);
	snprintf(w->adapter_hash, sizeof(w->adapter_hash), "%s",
	         d->adapter_hash ? d->adapter_hash : "");
	as.sampling.seed = a->seed;
	as.max_tokens = a->max_tokens;
	o = model_flags_sampling(&as);
	json_print(&w->sampling, o);
	cJSON_Delete(o);
	if (a->known)
		print_tokens(&w->tokens, a);
	o = cJSON_CreateObject();
	add_count(o, "prompt_tokens", d->prompt_tokens);
	add_count(o, "cached_tokens", d->cached_tokens);
	add_count(o, "tokens", w->completion_tokens);
	add_count(o, "drafted", d->drafted);
	add_count(o, "accepted", d->accepted);
	json_add_figure(o, "wait_s", d->wait_s);
	json_add_figure(o, "prefill_s", d->prefill_s);
	json_add_figure(o, "decode_s", d->decode_s);
	json_print(&w->figures, o);
	cJSON_Delete(o);
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct rollouts *r = ctx;
	struct answer *a = find(r, request, sequence);

	if (!a)
		return;
	let_go(r, request, sequence);
	r->drawing--;
	a->drawn_s = clock_now_s();
	a->end = d->end;
	a->prompt_tokens = d->prompt_tokens;
	if (d->end == GPU_ERROR || d->end == GPU_CANCELLED) {
		err_set(&a->why, d->end == GPU_ERROR ? d->kind : ERR_CANCELLED, "%s",
		        d->error ? d->error : "it was cancelled");
		/* nobody has heard of an engine yet: there is none to be had */
		if (d->end == GPU_ERROR && !r->about && !r->fatal.kind)
			r->fatal = a->why;
		if (d->kind == ERR_LOST && a->tries < TRIES_MAX)
			line_add(&r->again, a);
		else
			line_add(&r->scored, a);
		return;
	}
	if (a->thinks)
		write_mark(a, false);
	a->clipped = d->end == GPU_LENGTH;
	a->generate_s = isfinite(d->decode_s)
	                        ? d->decode_s + (isfinite(d->prefill_s) ? d->prefill_s : 0)
	                        : a->drawn_s - a->asked_s;
	keep_tokens(a, d);
	describe_author(r, a, d);
	r->figures.tokens += a->known ? a->n : d->n > 0 ? d->n : 0;
	line_add(&r->drawn, a);
}

/* ---- asking ---- */

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

static const char *last_content(const cJSON *messages)
{
	return json_string_or(cJSON_GetArrayItem(messages, cJSON_GetArraySize(messages) - 1),
	                      "content", "");
}

/* A repair's messages with their last content cut where the task's own prompt ends, since what
 * stands before was computed for others. The text is the same. */
static cJSON *with_head(const struct rollouts *r, const struct group *g, const cJSON *messages)
{
	cJSON *first = repair_messages(r->o.prompts, g->g.task, NULL, NULL);
	cJSON *out = cJSON_Duplicate(messages, true);
	const char *head = last_content(first), *whole = last_content(messages);
	size_t n = strlen(head);

	if (n > 0 && strlen(whole) > n && strncmp(whole, head, n) == 0) {
		cJSON *parts = cJSON_CreateArray();
		cJSON_AddItemToArray(parts, part(whole, n));
		cJSON_AddItemToArray(parts, part(whole + n, strlen(whole) - n));
		cJSON_ReplaceItemInObjectCaseSensitive(
			cJSON_GetArrayItem(out, cJSON_GetArraySize(out) - 1), "content", parts);
	}
	cJSON_Delete(first);
	return out;
}

static const cJSON *messages_of(const struct answer *a)
{
	return a->messages ? a->messages : a->g->messages ? a->g->messages : a->g->g.messages;
}

/* One request for @n answers that differ in their seeds alone, which count up. What cannot be asked
 * at all is lost at once. */
static int ask(struct rollouts *r, struct answer *const *v, int n, struct err *e)
{
	struct asked *q = calloc(1, sizeof(*q));
	struct gpu_request g;
	struct err why = { 0 };

	if (!q)
		return err_set(e, ERR_MEM, "no memory for a request");
	model_flags_request(&r->flags, &g);
	cJSON *messages = with_head(r, v[0]->g, messages_of(v[0]));
	g.messages = messages;
	g.n = n;
	g.sampling.seed = v[0]->seed;
	g.sampling.top = 0;
	g.max_tokens = r->o.max_tokens > 0 ? r->o.max_tokens : INFER_IDS_MAX;
	g.guard = r->flags.guard ? r->names : NULL;
	int rc = gpu_generate(r->gpu, &g, &q->request, &why);
	cJSON_Delete(messages);
	for (int i = 0; i < n; i++) {
		v[i]->tries++;
		v[i]->asked_s = clock_now_s();
		v[i]->started_us = store_now_us();
		v[i]->max_tokens = r->o.max_tokens;
		q->answer[i] = v[i];
		if (rc < 0) {
			v[i]->why = why;
			v[i]->drawn_s = v[i]->asked_s;
			line_add(&r->scored, v[i]);
		}
	}
	if (rc < 0) {
		free(q);
		return 0;
	}
	q->n = q->left = n;
	q->next = r->asked;
	r->asked = q;
	r->drawing += n;
	return 0;
}

/* The prompt of a group, where its caller has none. */
static int make_prompt(struct rollouts *r, struct group *g, struct err *e)
{
	const struct rollout_group *o = &g->g;
	struct buf text = { 0 };
	int rc = 0;

	if (!o->messages &&
	    !(g->messages = o->episode && o->parent
	                            ? session_prompt(r->o.store, r->o.prompts, o->task, o->episode,
	                                             o->parent, e)
	                            : repair_messages(r->o.prompts, o->task, NULL, e)))
		return -1;
	if (!o->episode || !o->parent)
		return 0;
	if (store_artifact(r->o.store, o->episode, o->parent, "reward.json", &text, e) < 0 ||
	    !(g->parent = json_parse(buf_str(&text), text.len, e)))
		rc = err_wrap(e, "turn %lld.%d", (long long)o->episode, o->parent);
	buf_release(&text);
	return rc;
}

static int ask_group(struct rollouts *r, struct group *g, struct err *e)
{
	struct answer *v[INFER_SEQUENCES_MAX];
	int n = 0;

	g->asked = true;
	for (int m = 1; m <= g->g.members; m++) {
		if (!(v[n] = answer_new(g, m, 1, e))) {
			while (n > 0)
				answer_free(v[--n]);
			return -1;
		}
		v[n]->before = g->g.parent;
		v[n]->seed = seed_of(g->g.seed, m, 1);
		n++;
		if (n < INFER_SEQUENCES_MAX && m < g->g.members)
			continue;
		if (ask(r, v, n, e) < 0) {
			while (n > 0)
				answer_free(v[--n]);
			return -1;
		}
		n = 0;
	}
	return 0;
}

static int tick(void *ctx);

/* Those whose engine was lost under them; it is started again by this, or cannot be. */
static int ask_again(struct rollouts *r, struct err *e)
{
	struct answer *a;

	while ((a = line_take(&r->again)) != NULL) {
		forget_drawing(a);
		a->why = (struct err){ 0 };
		if (!gpu_about(r->gpu, tick, r, e) || ask(r, &a, 1, e) < 0) {
			answer_free(a);
			return -1;
		}
	}
	return 0;
}

static int ask_new(struct rollouts *r, struct err *e)
{
	for (struct group *g = r->first; g; g = g->next)
		if (!g->asked && ask_group(r, g, e) < 0)
			return -1;
	return ask_again(r, e);
}

/* ---- building ---- */

static void on_scored(void *ctx, size_t item, struct scored *out, const struct err *why)
{
	struct rollouts *r = ctx;
	struct answer *a = (struct answer *)(uintptr_t)item;

	r->building--;
	a->scored_s = clock_now_s();
	if (out && !out->lost) {
		a->scored = *out;
		*out = (struct scored){ 0 };
	} else if (out) {
		err_set(&a->why, ERR_LOST, "%s",
		        out->build.error ? out->build.error
		                         : "a rebuild of it was lost with its builder");
	} else {
		a->why = *why;
	}
	line_add(&r->scored, a);
}

static const cJSON *parent_score(const struct answer *a)
{
	return a->goes_on ? a->parent : a->g->parent;
}

static void happen(const struct rollouts *r, struct answer *a, const char *kind, cJSON *o)
{
	struct buf line = { 0 };

	if (!r->o.light || strcmp(kind, "decision") != 0) {
		json_print(&line, o);
		turn_event(&a->events, 0, kind, buf_str(&line), line.len);
		buf_release(&line);
	}
	cJSON_Delete(o);
}

static enum finish finish_of(const struct answer *a)
{
	return a->end == GPU_LENGTH ? FINISH_LENGTH : FINISH_STOP;
}

/* Whether all of it goes wrong, and not this one alone. */
static bool of_all(const struct err *e)
{
	return e->kind == ERR_CANCELLED || e->kind == ERR_LOST || e->kind == ERR_LACKS;
}

/* Hands a drawn answer to the builder. */
static int build(struct rollouts *r, struct answer *a, struct err *e)
{
	struct extract x = { 0 };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "bytes", (double)a->text.len);
	cJSON_AddStringToObject(o, "finish", finish_name(finish_of(a)));
	json_add_figure(o, "seconds", a->generate_s);
	happen(r, a, "completion", o);
	turn_event(&a->events, 0, "generation", buf_str(&a->author.figures), a->author.figures.len);
	if (buf_failed(&a->text) || a->text.len > COMPLETION_BYTES_MAX) {
		err_set(&a->why, ERR_MEM, "an answer of %zu bytes is more than is kept",
		        a->text.len);
		line_add(&r->scored, a);
		return 0;
	}
	a->in = (struct scoring_input){
		.task = a->g->g.task,
		.text = buf_str(&a->text),
		.len = a->text.len,
		.rule = EXTRACT_ANSWER,
		.file = "program.py",
		.program_lines = true,
		.parent = parent_score(a),
	};
	if (extract_program(&x, EXTRACT_ANSWER, a->in.text, a->in.len, &a->why) == 0) {
		a->open_fence = x.clipped;
		extract_release(&x);
		r->building++;
		if (scoring_add(r->scoring, &a->in, (size_t)(uintptr_t)a, &a->why) == 0)
			return 0;
		r->building--;
	}
	if (of_all(&a->why)) {
		*e = a->why;
		answer_free(a);
		return -1;
	}
	line_add(&r->scored, a);
	return 0;
}

static int build_drawn(struct rollouts *r, struct err *e)
{
	struct answer *a;

	while ((a = line_take(&r->drawn)) != NULL)
		if (build(r, a, e) < 0)
			return -1;
	return 0;
}

/* ---- storing ---- */

static int read_id(void *ctx, const struct store_turn *t)
{
	*(int64_t *)ctx = t->id;
	return 0;
}

static int start_episode(struct rollouts *r, struct group *g, struct err *e)
{
	struct buf settings = { 0 };
	int rc;

	if (g->g.settings)
		json_print(&settings, g->g.settings);
	const struct episode_new n = {
		.task = g->g.task,
		.scoring = r->scoring,
		.prompts = r->o.prompts,
		.source = r->o.source,
		.run = r->o.run,
		.settings = g->g.settings ? buf_str(&settings) : NULL,
	};
	rc = turn_episode(r->o.store, &n, &g->episode, e);
	g->fresh = rc == 0;
	buf_release(&settings);
	return rc;
}

static int store_one(struct rollouts *r, struct answer *a, struct err *e)
{
	struct group *g = a->g;
	struct turn_events no_events = { 0 };

	if (!g->episode && start_episode(r, g, e) < 0)
		return -1;
	const struct turn_new t = {
		.episode = g->episode,
		.parent = a->before,
		.source = "model",
		.author = &a->author,
		.finish = finish_name(finish_of(a)),
		.member = g->g.members > 1 ? a->member : 0,
		.started_us = a->started_us,
		.prompt = messages_of(a),
		.completion = buf_str(&a->text),
		.completion_len = a->text.len,
		.scored = &a->scored,
		.events = a->events.failed.kind ? &no_events : &a->events,
		.light = r->o.light,
	};
	if (turn_commit(r->o.store, &t, &a->number, e) < 0 ||
	    store_turn(r->o.store, g->episode, a->number, read_id, &a->turn_id, e) < 0) {
		a->number = 0;
		return -1;
	}
	return 0;
}

/* A turn that goes on from one that is not in the store is not stored either. */
static bool stored(const struct rollouts *r, const struct answer *a)
{
	return r->o.store && !a->why.kind && (!a->goes_on || a->before > 0);
}

static void cannot_store(struct rollouts *r, const struct err *why)
{
	if (!r->told_store)
		app_tell("an answer is not in the store, and others may not be: %s", why->text);
	r->told_store = true;
}

/* What was numbered in a batch that was taken back. */
static void take_back(struct answer *first)
{
	for (struct answer *a = first; a; a = a->next) {
		a->number = 0;
		a->turn_id = 0;
		if (a->g->fresh)
			a->g->episode = 0;
		a->g->fresh = false;
	}
}

static void keep_fresh(struct answer *first)
{
	for (struct answer *a = first; a; a = a->next)
		a->g->fresh = false;
}

/* All of them in one transaction; when that fails each by itself, as long as two in a row do not
 * fail. */
static void store_all(struct rollouts *r, struct answer *first)
{
	struct err e = { 0 };
	int failed = 0;

	if (!r->o.store)
		return;
	int rc = store_batch_begin(r->o.store, &e);
	if (rc == 0) {
		for (struct answer *a = first; a && rc == 0; a = a->next)
			if (stored(r, a))
				rc = store_one(r, a, &e);
		if (store_batch_end(r->o.store, rc == 0, rc == 0 ? &e : NULL) < 0)
			rc = -1;
	}
	if (rc == 0) {
		keep_fresh(first);
		return;
	}
	take_back(first);
	for (struct answer *a = first; a && failed < 2; a = a->next) {
		if (!stored(r, a))
			continue;
		failed = store_one(r, a, &e) < 0 ? failed + 1 : 0;
		if (failed)
			cannot_store(r, &e);
		a->g->fresh = false;
	}
}

/* ---- telling, and going on ---- */

static void tell(struct rollouts *r, struct answer *a)
{
	const struct token *t = (const struct token *)(const void *)a->tokens.data;
	int32_t *id = a->known ? malloc((size_t)a->n * sizeof(*id)) : NULL;
	float *logp = a->known && a->logp_known ? malloc((size_t)a->n * sizeof(*logp)) : NULL;
	bool lost = a->why.kind != ERR_NONE;
	double entropy = 0;

	for (int i = 0; i < a->n; i++) {
		if (id)
			id[i] = t[i].id;
		if (logp)
			logp[i] = t[i].drawn;
		entropy += (double)t[i].entropy;
	}
	const struct rollout told = {
		.group = a->g->number,
		.member = a->member,
		.turn = a->turn,
		.user = a->g->g.user,
		.task = a->g->g.task,
		.messages = messages_of(a),
		.id = id,
		.logp = logp,
		.n = a->known ? a->n : -1,
		.prompt_tokens = a->prompt_tokens,
		.entropy = a->known && a->n > 0 ? entropy / a->n : NAN,
		.text = buf_str(&a->text),
		.text_len = a->text.len,
		.clipped = a->clipped,
		.scored = lost ? NULL : &a->scored,
		.parent = parent_score(a),
		.episode = a->g->episode,
		.number = a->number,
		.turn_id = a->turn_id,
		.generate_s = a->generate_s,
		.score_s = lost ? NAN : a->scored_s - a->drawn_s,
		.why = a->why,
	};
	r->figures.answers++;
	r->figures.lost += lost;
	r->figures.built += !lost && a->scored.built;
	r->figures.clipped += a->clipped;
	if (r->o.done)
		r->o.done(r->o.ctx, &told);
	free(id);
	free(logp);
}

/* The answer that goes on from @a; it takes its score. */
static int repair(struct rollouts *r, struct answer *a, struct err *e)
{
	struct answer *n = answer_new(a->g, a->member, a->turn + 1, e);
	const struct repair_turn t = {
		.number = a->number > 0 ? a->number : a->turn,
		.program = buf_str(&a->scored.program),
		.program_len = a->scored.program.len,
		.log = buf_str(&a->scored.log),
		.log_len = a->scored.log.len,
		.score = a->scored.json,
		.clipped = a->clipped || a->open_fence,
	};

	if (!n)
		return -1;
	n->goes_on = true;
	n->before = a->number;
	n->seed = seed_of(a->g->g.seed, n->member, n->turn);
	if (!(n->messages = repair_messages(r->o.prompts, a->g->g.task, &t, e))) {
		answer_free(n);
		return -1;
	}
	n->parent = a->scored.json;
	a->scored.json = NULL;
	if (ask(r, &n, 1, e) == 0)
		return 0;
	answer_free(n);
	return -1;
}

static void group_over(struct rollouts *r, struct group *g)
{
	if (r->o.group_over)
		r->o.group_over(r->o.ctx, g->number, g->g.user);
	for (struct group **at = &r->first; *at; at = &(*at)->next)
		if (*at == g) {
			*at = g->next;
			break;
		}
	cJSON_Delete(g->messages);
	cJSON_Delete(g->parent);
	free(g);
}

static int settle(struct rollouts *r, struct err *e)
{
	struct line v = r->scored;
	struct answer *a;
	int rc = 0;

	if (!v.first)
		return 0;
	r->scored = (struct line){ 0 };
	store_all(r, v.first);
	while (rc == 0 && (a = line_take(&v)) != NULL) {
		const struct rollout_group *g = &a->g->g;
		bool on = !a->why.kind && a->turn < g->turns && !(a->scored.total >= g->enough);
		tell(r, a);
		if (on)
			rc = repair(r, a, e);
		else if (--a->g->left == 0)
			group_over(r, a->g);
		answer_free(a);
	}
	line_free(&v);
	if (r->o.store)
		store_tend(r->o.store);
	return rc;
}

/* ---- the policy ---- */

/* "policy/40" of a folder .../policy/40; in the steps of a training "policy" alone, since its turns
 * are told apart by the step that the store keeps with each, and by the hash. */
static void name_folder(const struct rollouts *r, char *out, size_t size, const char *dir)
{
	static const char policy[] = "/policy/";
	const char *at = strstr(dir, policy);

	for (const char *more; at && (more = strstr(at + 1, policy)) != NULL;)
		at = more;
	if (!at || strspn(at + sizeof(policy) - 1, "0123456789") != strlen(at + sizeof(policy) - 1))
		model_flags_name(out, size, dir);
	else if (strcmp(r->o.source, "train") == 0)
		snprintf(out, size, "policy");
	else
		snprintf(out, size, "%s", at + 1);
}

static void name_policy(struct rollouts *r)
{
	if (r->about_name[0])
		snprintf(r->model_name, sizeof(r->model_name), "%s", r->about_name);
	else
		name_folder(r, r->model_name, sizeof(r->model_name), r->flags.model);
	if (r->flags.n_adapters == 1 && r->flags.adapter[0].weight == 1)
		name_folder(r, r->adapter_name, sizeof(r->adapter_name), r->flags.adapter[0].dir);
	else
		model_flags_adapters(r->adapter_name, sizeof(r->adapter_name), &r->flags);
}

/* What is asked for now. Texts of the flags are borrowed. */
static void look_at_flags(struct rollouts *r)
{
	r->flags = *r->o.model;
	if (r->model)
		r->flags.model = r->model;
	if (r->adapter_set) {
		r->flags.n_adapters = r->adapter ? 1 : 0;
		r->flags.adapter[0] = (struct gpu_adapter){ r->adapter, 1 };
	}
	name_policy(r);
}

/* ---- the loop ---- */

/* What the time since the last look went to. */
static void account(struct rollouts *r)
{
	double now = clock_now_s(), passed = now - r->looked_s;

	r->looked_s = now;
	if (!r->about) /* the engine is starting */
		return;
	if (r->drawing > 0)
		r->figures.decoding_s += passed;
	else if (r->building > 0)
		r->figures.waiting_s += passed;
}

static int tick(void *ctx)
{
	struct rollouts *r = ctx;
	double now = clock_now_s();
	struct err e;

	/* a long scoring comes through here while answers end: the time before belongs to them */
	account(r);
	/* what is wrong is told by the loop's own step */
	gpu_step(r->gpu, &e);
	if (now - r->ticked_s >= TICK_MS / 1e3) {
		r->ticked_s = now;
		if (r->o.tick && r->o.tick(r->o.ctx))
			r->stop = true;
	}
	return r->stop;
}

static int wait_for_something(struct rollouts *r, struct err *e)
{
	struct pollfd fd[POLLS_MAX];
	int n = gpu_poll_fds(r->gpu, fd, POLLS_MAX - 8), ms = gpu_timeout_ms(r->gpu);

	n += scoring_poll_fds(r->scoring, fd + n, POLLS_MAX - n);
	ms = ms >= 0 && ms < TICK_MS ? ms : TICK_MS;
	for (const struct group *g = r->first; g; g = g->next)
		ms = g->asked ? ms : 0;
	if (r->drawn.first || r->scored.first || r->again.first)
		ms = 0;
	if (poll(fd, (nfds_t)n, ms) < 0 && errno != EINTR)
		return err_errno(e, ERR_IO, "poll");
	return 0;
}

static int turn_loop(struct rollouts *r, struct err *e)
{
	if (ask_new(r, e) < 0)
		return -1;
	account(r);
	if (wait_for_something(r, e) < 0)
		return -1;
	account(r);
	if (gpu_step(r->gpu, e) < 0 || build_drawn(r, e) < 0)
		return -1;
	account(r);
	if (scoring_work(r->scoring, e) < 0)
		return -1;
	account(r);
	if (r->fatal.kind) {
		*e = r->fatal;
		return -1;
	}
	if (tick(r))
		return err_set(e, ERR_CANCELLED, "interrupted");
	return settle(r, e);
}

/* What is under way is dropped. */
static void drop_all(struct rollouts *r)
{
	scoring_end(r->scoring);
	while (r->asked) {
		struct asked *q = r->asked;
		r->asked = q->next;
		if (r->gpu)
			gpu_cancel(r->gpu, q->request, -1);
		for (int i = 0; i < q->n; i++)
			if (q->answer[i])
				answer_free(q->answer[i]);
		free(q);
	}
	line_free(&r->drawn);
	line_free(&r->scored);
	line_free(&r->again);
	while (r->first) {
		struct group *g = r->first;
		r->first = g->next;
		cJSON_Delete(g->messages);
		cJSON_Delete(g->parent);
		free(g);
	}
	r->drawing = r->building = 0;
}

int rollouts_run(struct rollouts *r, struct err *e)
{
	const struct scoring_stream to = { r, on_scored };
	double begun = clock_now_s();
	int rc = 0;

	look_at_flags(r);
	r->looked_s = begun;
	r->stop = false;
	r->fatal = (struct err){ 0 };
	scoring_begin(r->scoring, &to);
	while (r->first && rc == 0)
		rc = turn_loop(r, e);
	drop_all(r);
	r->figures.seconds += clock_now_s() - begun;
	return rc;
}

/* ---- the verbs ---- */

static int name_and_open(struct rollouts *r, struct err *e)
{
	const struct gpu_ops ops = { r, on_ready, on_token, on_done };
	struct gpu_options o;

	if (model_about_read(&r->flags.about, r->flags.model, e) < 0)
		return -1;
	snprintf(r->about_name, sizeof(r->about_name), "%s", r->flags.about.name);
	name_policy(r);
	model_flags_options(&r->flags, r->o.app, &o);
	o.slots = r->o.slots;
	cJSON_Delete(r->about);
	r->about = NULL;
	r->gpu = r->o.engine ? r->o.engine(r->o.engine_ctx, &o, &ops, e) : gpu_open(&o, &ops, e);
	return r->gpu ? 0 : -1;
}

struct rollouts *rollouts_open(const struct rollouts_options *o, struct err *e)
{
	struct rollouts *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	r->o = *o;
	look_at_flags(r);
	r->o.scoring.remember = REMEMBERED;
	r->o.scoring.ears = (struct scoring_ears){ .ctx = r, .tick_ms = TICK_MS / 2, .tick = tick };
	if ((r->flags.guard && cad_names_file(o->app, r->names, sizeof(r->names), e) < 0) ||
	    !(r->scoring = scoring_open(&r->o.scoring, e)) || name_and_open(r, e) < 0) {
		rollouts_close(r);
		return NULL;
	}
	return r;
}

void rollouts_close(struct rollouts *r)
{
	if (!r)
		return;
	if (r->scoring)
		drop_all(r);
	gpu_close(r->gpu);
	scoring_close(r->scoring);
	if (*r->names)
		unlink(r->names);
	cJSON_Delete(r->about);
	free(r->model);
	free(r->adapter);
	free(r);
}

static int set_text(char **to, const char *text, struct err *e)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return err_set(e, ERR_MEM, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

int rollouts_adapter(struct rollouts *r, const char *dir, struct err *e)
{
	char path[4200];

	if (dir) {
		snprintf(path, sizeof(path), "%s/adapter_config.json", dir);
		if (access(path, R_OK) < 0)
			return err_errno(e, ERR_INPUT, "%s", path);
	}
	if (set_text(&r->adapter, dir, e) < 0)
		return -1;
	r->adapter_set = true;
	return 0;
}

int rollouts_model(struct rollouts *r, const char *dir, struct err *e)
{
	if (set_text(&r->model, dir, e) < 0)
		return -1;
	look_at_flags(r);
	gpu_close(r->gpu);
	r->gpu = NULL;
	return name_and_open(r, e);
}

void rollouts_budget(struct rollouts *r, int max_tokens)
{
	r->o.max_tokens = max_tokens;
}

int rollouts_add(struct rollouts *r, const struct rollout_group *o, struct err *e)
{
	struct group *g, **last = &r->first;

	if (!o->task || o->members < 1 || o->turns < 1)
		return err_set(e, ERR_USAGE,
		               "a group has a task, at least one member and at least one turn");
	if ((o->episode || o->parent) && (!r->o.store || !o->episode || o->parent < 1))
		return err_set(
			e, ERR_USAGE,
			"a repair of a stored turn needs the store, its episode and its number");
	if (!(g = calloc(1, sizeof(*g))))
		return err_set(e, ERR_MEM, "no memory for a group");
	g->g = *o;
	g->left = o->members;
	g->episode = o->episode;
	if (make_prompt(r, g, e) < 0) {
		cJSON_Delete(g->messages);
		cJSON_Delete(g->parent);
		free(g);
		return -1;
	}
	g->number = r->n_groups++;
	while (*last)
		last = &(*last)->next;
	*last = g;
	return g->number;
}

struct rollouts_figures rollouts_figures(struct rollouts *r)
{
	struct rollouts_figures f = r->figures;

	f.remembered = (int)(scoring_remembered(r->scoring) - r->remembered);
	r->remembered += f.remembered;
	r->figures = (struct rollouts_figures){ 0 };
	return f;
}

const cJSON *rollouts_about(struct rollouts *r)
{
	return r->about;
}
