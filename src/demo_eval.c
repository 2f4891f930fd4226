#include "src/demo_eval.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/extract.h"
#include "engine/repair.h"
#include "gpu/gpu.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/compare.h"
#include "src/demo_build.h"
#include "src/packs.h"

enum {
	AT_ONCE = 32, /* prompts under way */
	TOKENS_MAX = 1024
};
#define HELD_NUMBER   0u
#define REPAIR_NUMBER 500000u
#define HOT           0.7f

struct answer {
	cJSON *messages;
	const char *draft; /* the program to be repaired; NULL */
	char *text;
	int tokens;
	bool whole; /* it ended by itself */
};

struct eval {
	struct demo *d;
	char base[PATH_MAX], adapter[PATH_MAX], folder[PATH_MAX];
	struct gpu *gpu;
	struct scoring *scoring; /* of documents */
	/* the asking under way */
	struct answer *answer;
	uint32_t *request; /* of each */
	int n, done;
	struct err failed;
	const char *what;
};

/* ---- asking ---- */

static void on_ready(void *ctx, const cJSON *about)
{
	(void)ctx;
	(void)about;
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	(void)ctx;
	(void)request;
	(void)sequence;
	(void)index;
	(void)p;
	(void)in_thought;
	(void)text;
	(void)len;
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *g)
{
	struct eval *v = ctx;

	(void)sequence;
	for (int i = 0; i < v->n; i++)
		if (v->request[i] == request && !v->answer[i].text) {
			v->answer[i].text = strndup(g->text ? g->text : "", g->text_len);
			v->answer[i].tokens = g->n;
			v->answer[i].whole = g->end == GPU_STOP;
			v->done++;
		}
	/* a prompt that the model cannot take is an answer that is none */
	if (g->end == GPU_ERROR && g->kind != ERR_INPUT && !v->failed.kind)
		err_set(&v->failed, g->kind ? g->kind : ERR_LOST, "%s", g->error);
}

static int begin(struct eval *v, int i, bool adapter, float temperature, struct err *e)
{
	const struct gpu_adapter with = { v->adapter, 1 };
	struct gpu_request r = {
		.messages = v->answer[i].messages,
		.thinking = CHAT_THINKING_OFF,
		.adapter = &with,
		.n_adapters = adapter,
		.n = 1,
		.max_tokens = TOKENS_MAX,
		.draft = v->answer[i].draft,
		.speculate = v->answer[i].draft != NULL,
	};

	sampling_default(&r.sampling);
	r.sampling.temperature = temperature;
	r.sampling.top_p = 0.95f;
	r.sampling.top_k = 20;
	r.sampling.seed = (uint64_t)v->d->recipe.seed + (uint64_t)i;
	return gpu_generate(v->gpu, &r, &v->request[i], e);
}

/* Answers to all @n; several are under way at once. */
static int ask_all(struct eval *v, struct answer *a, int n, bool adapter, float temperature,
                   struct err *e)
{
	int asked = 0, rc = -1;

	v->answer = a;
	v->n = v->done = 0;
	v->failed = (struct err){ 0 };
	if (!(v->request = calloc((size_t)n + 1, sizeof(*v->request))))
		return err_set(e, ERR_MEM, "no memory for %d prompts", n);
	while (v->done < n) {
		struct pollfd fd[16];
		for (; asked < n && asked - v->done < AT_ONCE; v->n = ++asked)
			if (begin(v, asked, adapter, temperature, e) < 0)
				goto out;
		poll(fd, (nfds_t)gpu_poll_fds(v->gpu, fd, 16), 200);
		if (gpu_step(v->gpu, e) < 0)
			goto out;
		if (v->failed.kind) {
			*e = v->failed;
			goto out;
		}
		if (app_interrupted()) {
			err_set(e, ERR_CANCELLED, "interrupted");
			goto out;
		}
		stages_say(&v->d->stages, true, "evaluate: %s: %d of %d answered", v->what, v->done,
		           n);
	}
	rc = 0;
out:
	for (int i = 0; i < asked; i++)
		if (!a[i].text)
			gpu_cancel(v->gpu, v->request[i], -1);
	free(v->request);
	v->request = NULL;
	v->n = 0;
	return rc;
}

/* ---- figures ---- */

static void add_rate(cJSON *o, const char *name, int k, int n)
{
	cJSON *r = cJSON_AddObjectToObject(o, name);
	double w[3];

	compare_wilson(k, n, w);
	cJSON_AddNumberToObject(r, "k", k);
	cJSON_AddNumberToObject(r, "n", n);
	json_add_figure(r, "rate", w[0]);
	json_add_figure(r, "low", w[1]);
	json_add_figure(r, "high", w[2]);
}

struct outcomes {
	int n, built, solid, box, numbers, all, asked, found, tokens, cut, cls[CLASS_COUNT];
};

static bool right(const struct demo_verdict *v)
{
	return v->built && v->solid && v->box && v->numbers == v->numbers_asked;
}

static void count(struct outcomes *t, const struct demo_verdict *v, const struct answer *a)
{
	t->n++;
	t->built += v->built;
	t->solid += v->solid;
	t->box += v->box;
	t->numbers += v->numbers == v->numbers_asked;
	t->all += right(v);
	t->asked += v->numbers_asked;
	t->found += v->numbers;
	t->tokens += a->tokens;
	t->cut += !a->whole;
	t->cls[v->cls]++;
}

static cJSON *tally_json(const struct outcomes *t, const struct outcomes *family)
{
	cJSON *o = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(o, "n", t->n);
	add_rate(o, "built", t->built, t->n);
	add_rate(o, "solid", t->solid, t->n);
	add_rate(o, "box", t->box, t->n);
	add_rate(o, "numbers", t->numbers, t->n);
	add_rate(o, "all", t->all, t->n);
	cJSON_AddNumberToObject(o, "asked_numbers", t->asked);
	cJSON_AddNumberToObject(o, "found_numbers", t->found);
	cJSON_AddNumberToObject(o, "tokens", t->tokens);
	cJSON_AddNumberToObject(o, "cut_off", t->cut);
	list = cJSON_AddObjectToObject(o, "classes");
	for (int i = 0; i < CLASS_COUNT; i++)
		if (t->cls[i])
			cJSON_AddNumberToObject(list, build_class_name((enum build_class)i),
			                        t->cls[i]);
	list = cJSON_AddObjectToObject(o, "families");
	for (int i = 0; i < corpus_families(); i++) {
		cJSON *one;
		if (!family[i].n)
			continue;
		one = cJSON_AddObjectToObject(list, corpus_family_name(i));
		cJSON_AddNumberToObject(one, "n", family[i].n);
		cJSON_AddNumberToObject(one, "built", family[i].built);
		cJSON_AddNumberToObject(one, "box", family[i].box);
		cJSON_AddNumberToObject(one, "all", family[i].all);
	}
	return o;
}

/* ---- a set of documents ---- */

struct set {
	const char *name, *title;
	enum corpus_stream stream;
	uint64_t first;
	bool repairs, adapter;
	float temperature;
	int n;
};

static FILE *open_answers(const struct eval *v, const struct set *s, struct err *e)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%.*s/%s%s%s.jsonl", PATH_MAX - 80, v->folder, s->name,
	         s->adapter ? "" : "-base", s->temperature > 0 ? "-hot" : "");
	if (!(f = fopen(path, "we")))
		err_errno(e, ERR_IO, "%s", path);
	return f;
}

static void write_answer(FILE *f, const struct corpus_document *d, const struct answer *a,
                         const struct demo_verdict *v)
{
	cJSON *o = cJSON_CreateObject();
	struct buf line = { 0 };

	cJSON_AddNumberToObject(o, "document", (double)d->number_of);
	cJSON_AddStringToObject(o, "family", d->family >= 0 ? corpus_family_name(d->family) : "");
	cJSON_AddStringToObject(o, "prompt", d->task.prompt ? d->task.prompt : "");
	cJSON_AddStringToObject(o, "answer", a->text ? a->text : "");
	cJSON_AddNumberToObject(o, "tokens", a->tokens);
	cJSON_AddBoolToObject(o, "whole", a->whole);
	cJSON_AddBoolToObject(o, "built", v->built);
	cJSON_AddBoolToObject(o, "solid", v->solid);
	cJSON_AddBoolToObject(o, "box", v->box);
	cJSON_AddNumberToObject(o, "numbers", v->numbers);
	cJSON_AddNumberToObject(o, "numbers_asked", v->numbers_asked);
	json_add_figure(o, "total", v->total);
	cJSON_AddStringToObject(o, "why", v->why);
	json_print(&line, o);
	buf_addc(&line, '\n');
	fwrite(buf_str(&line), 1, line.len, f);
	buf_release(&line);
	cJSON_Delete(o);
}

static cJSON *prompt_of(const struct eval *v, const struct corpus_document *x,
                        const struct demo_built *broken, struct err *e)
{
	const struct repair_turn turn = {
		.number = 1,
		.program = x->broken,
		.program_len = x->broken ? strlen(x->broken) : 0,
		.log = broken->log ? broken->log : "",
		.log_len = broken->log ? strlen(broken->log) : 0,
		.score = broken->score,
	};

	return repair_messages(&v->d->prompts, &x->task, x->broken ? &turn : NULL, e);
}

/* @n documents of the set's kind from number @from on; the number after the last, 0 with @e. */
static uint64_t find_documents(const struct eval *v, const struct set *s, uint64_t from,
                               struct corpus_document *out, int n, struct err *e)
{
	const struct corpus_options o = {
		.seed = (uint64_t)v->d->recipe.seed,
		.repairs = s->repairs,
		.plain = 0.65,
	};
	uint64_t number = from;

	for (int made = 0; made < n; number++) {
		if (number > from + 20 * (uint64_t)n + 100) {
			err_set(e, ERR_INPUT, "%s: the corpus has only %d such documents", s->name,
			        made);
			return 0;
		}
		if (corpus_make(&out[made], &o, s->stream, number, e) < 0)
			return 0;
		if ((out[made].kind == CORPUS_REPAIR) == s->repairs)
			made++;
		else
			corpus_release(&out[made]);
	}
	return number;
}

/* Documents for the set and their prompts; of a repair the broken program is built for its log and
 * notes, and what is right by accident is nothing to repair. */
static int make_documents(struct eval *v, const struct set *s, struct demo_builds *b,
                          struct corpus_document *doc, struct answer *a, struct err *e)
{
	struct demo_built *built = calloc((size_t)s->n + 1, sizeof(*built));
	uint64_t next = s->first;
	int made = 0, rc = -1;

	if (!built)
		return err_set(e, ERR_MEM, "no memory for %d documents", s->n);
	while (made < s->n) {
		int n = s->n - made, kept = 0;
		v->what = s->title;
		if (!(next = find_documents(v, s, next, doc + made, n, e)))
			goto out;
		for (int i = 0; i < n; i++)
			built[i] = (struct demo_built){ .document = &doc[made + i],
				                        .text = doc[made + i].broken };
		if (s->repairs && demo_builds_run(b, built, n, NULL, NULL, e) < 0)
			goto out;
		for (int i = 0; i < n; i++) {
			struct corpus_document *x = &doc[made + i];
			if (s->repairs && !built[i].verdict.why[0]) {
				corpus_release(x);
				continue;
			}
			struct answer *to = &a[made + kept];
			to->draft = x->broken;
			to->messages = prompt_of(v, x, &built[i], e);
			if (x != &doc[made + kept]) {
				doc[made + kept] = *x;
				*x = (struct corpus_document){ .kind = CORPUS_PROGRAM };
			}
			kept++;
			if (!to->messages) {
				made += kept;
				goto out;
			}
		}
		for (int i = 0; i < n; i++) {
			free(built[i].log);
			cJSON_Delete(built[i].score);
			built[i] = (struct demo_built){ .text = NULL };
		}
		made += kept;
	}
	rc = 0;
out:
	for (int i = 0; i < s->n; i++) {
		free(built[i].log);
		cJSON_Delete(built[i].score);
	}
	free(built);
	return rc;
}

struct judging {
	const struct set *set;
	const struct corpus_document *doc;
	const struct answer *answer;
	struct demo_verdict *verdict;
};

static void on_scored(void *ctx, size_t item, struct scored *s)
{
	struct judging *j = ctx;

	demo_judge(&j->verdict[item], &j->doc[item], s);
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static int score_all(struct eval *v, struct judging *j, int n, struct err *e)
{
	struct scoring_input *in = calloc((size_t)n + 1, sizeof(*in));
	int rc;

	if (!in)
		return err_set(e, ERR_MEM, "no memory for %d programs", n);
	for (int i = 0; i < n; i++)
		in[i] = (struct scoring_input){
			.task = &j->doc[i].task,
			.text = j->answer[i].text,
			.len = strlen(j->answer[i].text),
			.rule = EXTRACT_ANSWER,
		};
	scoring_forget_tasks(v->scoring);
	rc = scoring_run_all(v->scoring, in, (size_t)n, on_scored, j, e);
	free(in);
	return rc;
}

static int run_set(struct eval *v, const struct set *s, struct demo_builds *b, cJSON *sets,
                   struct err *e)
{
	struct corpus_document *doc = calloc((size_t)s->n + 1, sizeof(*doc));
	struct answer *a = calloc((size_t)s->n + 1, sizeof(*a));
	struct demo_verdict *verdict = calloc((size_t)s->n + 1, sizeof(*verdict));
	struct outcomes all = { 0 }, *family = calloc((size_t)corpus_families(), sizeof(*family));
	struct judging j = { s, doc, a, verdict };
	double began = clock_now_s(), answered = NAN;
	FILE *f = NULL;
	int rc = -1;

	v->what = s->title;
	if (!doc || !a || !verdict || !family) {
		err_set(e, ERR_MEM, "no memory for %d prompts", s->n);
		goto out;
	}
	if (make_documents(v, s, b, doc, a, e) < 0 ||
	    ask_all(v, a, s->n, s->adapter, s->temperature, e) < 0)
		goto out;
	answered = clock_now_s() - began;
	for (int i = 0; i < s->n; i++)
		if (!a[i].text) {
			err_set(e, ERR_MEM, "no memory for an answer");
			goto out;
		}
	if (score_all(v, &j, s->n, e) < 0 || !(f = open_answers(v, s, e)))
		goto out;
	for (int i = 0; i < s->n; i++) {
		count(&all, &verdict[i], &a[i]);
		if (doc[i].family >= 0)
			count(&family[doc[i].family], &verdict[i], &a[i]);
		write_answer(f, &doc[i], &a[i], &verdict[i]);
	}
	cJSON *o = tally_json(&all, family);
	cJSON_AddStringToObject(o, "set", s->name);
	cJSON_AddStringToObject(o, "title", s->title);
	cJSON_AddBoolToObject(o, "adapter", s->adapter);
	cJSON_AddNumberToObject(o, "temperature", round((double)s->temperature * 100) / 100);
	cJSON_AddNumberToObject(o, "seconds_answering", answered);
	cJSON_AddNumberToObject(o, "seconds", clock_now_s() - began);
	cJSON_AddItemToArray(sets, o);
	stages_say(&v->d->stages, false,
	           "evaluate: %s: %d of %d build, %d have the box, %d all that was asked", s->title,
	           all.built, all.n, all.box, all.all);
	rc = 0;
out:
	if (f)
		fclose(f);
	for (int i = 0; i < s->n; i++) {
		if (doc)
			corpus_release(&doc[i]);
		if (a) {
			cJSON_Delete(a[i].messages);
			free(a[i].text);
		}
	}
	free(doc);
	free(a);
	free(verdict);
	free(family);
	return rc;
}

/* ---- the tasks ---- */

struct tried {
	const struct task *task;
	struct buf program, log; /* of the best turn */
	cJSON *score;
	int best;
	bool built;
	double total, totals[128];
	int turns;
	bool same; /* the last answer did not better it: asked again it would answer the same */
};

struct trying {
	struct tried *t;
	int *of;
	int turn;
};

static void on_tried(void *ctx, size_t item, struct scored *s)
{
	struct trying *g = ctx;
	struct tried *t = &g->t[g->of[item]];
	bool better = t->turns == 0 || s->total > t->total;

	if (t->turns < (int)(sizeof(t->totals) / sizeof(*t->totals)))
		t->totals[t->turns++] = s->total;
	t->built = t->built || s->built;
	t->same = !better;
	if (!better)
		return;
	t->total = s->total;
	t->best = g->turn;
	buf_clear(&t->program);
	buf_add(&t->program, s->program.data, s->program.len);
	buf_clear(&t->log);
	buf_add(&t->log, s->log.data, s->log.len);
	cJSON_Delete(t->score);
	t->score = s->json;
	s->json = NULL;
}

/* One more turn of every task that is not good enough yet. */
static int try_turn(struct eval *v, struct scoring *sc, struct tried *t, int n, int turn,
                    bool adapter, FILE *f, struct err *e)
{
	struct answer *a = calloc((size_t)n + 1, sizeof(*a));
	struct scoring_input *in = calloc((size_t)n + 1, sizeof(*in));
	struct trying g = { t, calloc((size_t)n + 1, sizeof(int)), turn };
	int asked = 0, rc = -1;

	if (!a || !in || !g.of) {
		err_set(e, ERR_MEM, "no memory for %d tasks", n);
		goto out;
	}
	for (int i = 0; i < n; i++) {
		const struct repair_turn last = {
			.number = t[i].best,
			.program = buf_str(&t[i].program),
			.program_len = t[i].program.len,
			.log = buf_str(&t[i].log),
			.log_len = t[i].log.len,
			.score = t[i].score,
		};
		if (turn > 1 && (t[i].same || (t[i].built && t[i].total >= 0.92)))
			continue;
		g.of[asked] = i;
		a[asked].draft = turn > 1 ? buf_str(&t[i].program) : NULL;
		a[asked].messages =
			repair_messages(&v->d->prompts, t[i].task, turn > 1 ? &last : NULL, e);
		if (!a[asked++].messages)
			goto out;
	}
	if (asked == 0) {
		rc = 0;
		goto out;
	}
	if (ask_all(v, a, asked, adapter, 0, e) < 0)
		goto out;
	for (int i = 0; i < asked; i++)
		in[i] = (struct scoring_input){
			.task = t[g.of[i]].task,
			.text = a[i].text ? a[i].text : "",
			.len = a[i].text ? strlen(a[i].text) : 0,
			.rule = EXTRACT_ANSWER,
		};
	if (scoring_run_all(sc, in, (size_t)asked, on_tried, &g, e) < 0)
		goto out;
	for (int i = 0; i < asked; i++) {
		const struct tried *x = &t[g.of[i]];
		cJSON *o = cJSON_CreateObject();
		struct buf line = { 0 };
		cJSON_AddStringToObject(o, "task", x->task->id);
		cJSON_AddNumberToObject(o, "turn", turn);
		cJSON_AddItemToObject(o, "messages", cJSON_Duplicate(a[i].messages, true));
		cJSON_AddStringToObject(o, "answer", a[i].text ? a[i].text : "");
		json_add_figure(o, "total", x->turns ? x->totals[x->turns - 1] : NAN);
		json_print(&line, o);
		buf_addc(&line, '\n');
		fwrite(buf_str(&line), 1, line.len, f);
		buf_release(&line);
		cJSON_Delete(o);
	}
	rc = 0;
out:
	for (int i = 0; a && i < asked; i++) {
		cJSON_Delete(a[i].messages);
		free(a[i].text);
	}
	free(a);
	free(in);
	free(g.of);
	return rc;
}

static cJSON *tasks_json(const struct tried *t, int n, bool adapter)
{
	cJSON *o = cJSON_CreateObject(), *list;
	int built = 0, reached = 0;

	for (int i = 0; i < n; i++) {
		built += t[i].built;
		reached += t[i].total >= DEMO_REACHED;
	}
	cJSON_AddStringToObject(o, "set", "tasks");
	cJSON_AddBoolToObject(o, "adapter", adapter);
	cJSON_AddNumberToObject(o, "temperature", 0);
	cJSON_AddNumberToObject(o, "n", n);
	add_rate(o, "built", built, n);
	add_rate(o, "reached", reached, n);
	list = cJSON_AddArrayToObject(o, "tasks");
	for (int i = 0; i < n; i++) {
		cJSON *one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "task", t[i].task->id);
		cJSON_AddBoolToObject(one, "built", t[i].built);
		json_add_figure(one, "best", t[i].turns ? t[i].total : NAN);
		cJSON_AddNumberToObject(one, "turn", t[i].best);
		json_add_figures(one, "totals", t[i].totals, t[i].turns);
		cJSON_AddStringToObject(
			one, "class",
			json_string_or(cJSON_GetObjectItemCaseSensitive(t[i].score, "build"),
		                       "class", ""));
		cJSON_AddItemToArray(list, one);
	}
	return o;
}

static int run_tasks(struct eval *v, const struct task_set *tasks, bool adapter, cJSON *sets,
                     struct err *e)
{
	const struct scoring_options so = {
		.app = v->d->stages.app,
		.rebuilds = -1,
		.ears = { .tick = on_tick },
	};
	struct set s = { .name = "tasks", .adapter = adapter };
	struct tried *t = calloc((size_t)tasks->n + 1, sizeof(*t));
	struct scoring *sc = t ? scoring_open(&so, e) : NULL;
	FILE *f = sc ? open_answers(v, &s, e) : NULL;
	int rc = -1, n = 0;

	v->what = adapter ? "tasks" : "tasks, base alone";
	if (!t)
		err_set(e, ERR_MEM, "no memory for %d tasks", tasks->n);
	if (!f)
		goto out;
	/* those that come with the program; a person's own are no part of the test */
	for (int i = 0; i < tasks->n; i++)
		if (strcmp(tasks->tasks[i].pack, "cadforge") == 0)
			t[n++].task = &tasks->tasks[i];
	for (int turn = 1; turn <= (int)v->d->recipe.turns; turn++)
		if (try_turn(v, sc, t, n, turn, adapter, f, e) < 0)
			goto out;
	cJSON *o = tasks_json(t, n, adapter);
	cJSON_AddItemToArray(sets, o);
	stages_say(&v->d->stages, false, "evaluate: %s: %g of %d build, %g reach %g", v->what,
	           json_number_or(cJSON_GetObjectItemCaseSensitive(o, "built"), "k", 0), n,
	           json_number_or(cJSON_GetObjectItemCaseSensitive(o, "reached"), "k", 0),
	           DEMO_REACHED);
	rc = 0;
out:
	if (f)
		fclose(f);
	for (int i = 0; t && i < n; i++) {
		buf_release(&t[i].program);
		buf_release(&t[i].log);
		cJSON_Delete(t[i].score);
	}
	scoring_close(sc);
	free(t);
	return rc;
}

/* ---- all of it ---- */

int demo_make_evaluate(void *demo, cJSON *figures, struct err *e)
{
	struct demo *d = demo;
	const struct demo_recipe *r = &d->recipe;
	const int held = (int)r->held, repairs = (int)r->repairs, unseen = (int)r->unseen;
	const struct set sets[] = {
		{ "held", "held-out prompts", CORPUS_HELD, HELD_NUMBER, false, true, 0, held },
		{ "repair", "repairs", CORPUS_HELD, REPAIR_NUMBER, true, true, 0, repairs },
		{ "held", "held-out prompts, temperature 0.7", CORPUS_HELD, HELD_NUMBER, false,
		  true, HOT, held },
		{ "unseen", "families never seen", CORPUS_UNSEEN, HELD_NUMBER, false, true, 0,
		  unseen },
		{ "held", "held-out prompts, base alone", CORPUS_HELD, HELD_NUMBER, false, false, 0,
		  (held + 1) / 2 },
		{ "repair", "repairs, base alone", CORPUS_HELD, REPAIR_NUMBER, true, false, 0,
		  (repairs + 1) / 2 },
	};
	const struct gpu_ops ops = { NULL, on_ready, on_token, on_done };
	struct gpu_ops own = ops;
	struct task_set tasks = { 0 };
	struct eval v = { .d = d };
	char builds[PATH_MAX];
	cJSON *list = cJSON_AddArrayToObject(figures, "sets");
	struct demo_builds *b = NULL;
	int rc = -1;

	own.ctx = &v;
	stages_path(&d->stages, v.base, sizeof(v.base), "demo/base");
	stages_path(&d->stages, v.adapter, sizeof(v.adapter), "demo/sft");
	stages_path(&d->stages, v.folder, sizeof(v.folder), "evaluate");
	stages_path(&d->stages, builds, sizeof(builds), "builds.jsonl");
	mkdir(v.folder, 0777);
	const struct gpu_options o = {
		.libexec_dir = d->stages.app->libexec,
		.model = v.base,
		.slots = AT_ONCE,
		.threads = d->threads,
		.quiet = d->stages.app->quiet,
		.backend = GPU_CPU,
	};
	const struct scoring_options so = {
		.app = d->stages.app,
		.profile = "exact",
		.reference = "none",
		.rebuilds = 0,
		.no_blanks = true,
		.ears = { .tick = on_tick },
	};
	if (!(v.gpu = gpu_open(&o, &own, e)) || !(v.scoring = scoring_open(&so, e)) ||
	    !(b = demo_builds_open(d->stages.app, builds, e)) ||
	    (r->turns > 0 && packs_load(&tasks, d->stages.app, e) < 0))
		goto out;
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
		if (sets[i].n > 0 && run_set(&v, &sets[i], b, list, e) < 0)
			goto out;
	if (r->turns > 0 &&
	    (run_tasks(&v, &tasks, true, list, e) < 0 || run_tasks(&v, &tasks, false, list, e) < 0))
		goto out;
	rc = 0;
out:
	gpu_close(v.gpu);
	scoring_close(v.scoring);
	demo_builds_close(b);
	task_set_release(&tasks);
	return rc;
}
