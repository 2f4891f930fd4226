/*
 * bench_grpo.c - reinforcement learning: what a device waits for, what a candidate takes beside the
 * published way, and how many candidates a second the whole loop makes of a small model.
 *
 * The device is imagined (src/paced.h), and so are the programs' authors: answers of given text
 * come at the pace that is expected of an H200 with a 9B model, 64 at once, while everything behind
 * them is real: rollouts, builder, scorer, store. What the update would take is counted as expected
 * too. Of a step, then, the share in which nothing is decoded since builds are waited for.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/bench.h"
#include "src/corpus.h"
#include "src/grpo.h"
#include "src/grpo_settings.h"
#include "src/paced.h"
#include "src/packs.h"
#include "src/rollouts.h"

enum {
	MADE = 12,       /* of the demonstration model's programs */
	PROMPTS = 4,     /* groups a step, */
	MEMBERS = 16,    /* of so many */
	SLOTS = 64,      /* answers decoded at once */
	HOST_CORES = 16, /* that stand beside such a device */
	LOOP_STEPS = 4,  /* of the loop; the first starts everything and does not count */
	LOOP_MEMBERS = 8,
	LOOP_TOKENS = 300,
};

/* Expected of one H200 with 9B, bf16: a decode step of B answers takes 3.3 ms + 0.028 ms x B (8,
 * 32 and 64 of them: 2,260, 7,600 and 12,500 tokens/s), a prompt 40,000 tokens/s, an update 0.15 s
 * for 2,048 tokens. */
#define STEP_S       3.3e-3
#define SEQUENCE_S   2.8e-5
#define PREFILL      40000.0
#define UPDATE_S     (0.15 / 2048)
#define SHARE_LIMIT  0.05
#define OTHERS_TIMES 25.0

static int tick(void *ctx)
{
	(void)ctx;
	return bench_go_on(NULL) < 0;
}

/* ---- what a candidate takes ---- */

struct made {
	struct corpus_document doc[MADE];
	struct prompt_set prompts;
	int n;
};

static void made_release(struct made *m)
{
	for (int i = 0; i < m->n; i++)
		corpus_release(&m->doc[i]);
	prompt_set_release(&m->prompts);
}

static int made_open(struct made *m, const struct bench *b, struct err *e)
{
	const struct corpus_options o = { .seed = 8 };
	struct prompts_dirs dirs;

	prompts_dirs(&dirs, &b->app);
	if (prompt_set_load(&m->prompts, dirs.dir, dirs.n, "demo", e) < 0)
		return -1;
	for (uint64_t i = 0; m->n < MADE; i++) {
		if (corpus_make(&m->doc[m->n], &o, CORPUS_HELD, i, e) < 0)
			return -1;
		m->n++;
	}
	return 0;
}

static void count_built(void *ctx, size_t item, struct scored *out)
{
	struct bench_set *s = ctx;

	s->p[item].builds = out->built;
}

/* Seconds of all of them under one profile, one at a time: the least of the rounds. */
static double score_all(struct bench *b, struct made *m, struct bench_set *s, const char *profile,
                        struct err *e)
{
	static const enum dialect dialect = DIALECT_OPEN;
	const struct scoring_options o = { .app = &b->app,
		                           .profile = profile,
		                           .dialect = &dialect,
		                           .rebuilds = -1,
		                           .ears.tick = tick };
	struct scoring_input in[MADE];
	struct scoring *sc;
	double best = NAN;
	int jobs = b->app.jobs;

	b->app.jobs = 1;
	sc = scoring_open(&o, e);
	for (int i = 0; i < m->n; i++)
		in[i] = (struct scoring_input){ .task = &m->doc[i].task,
			                        .text = m->doc[i].program,
			                        .len = strlen(m->doc[i].program),
			                        .rule = EXTRACT_FILE };
	/* the first is not counted: it starts the programs */
	for (int round = 0; sc && round <= b->rounds; round++) {
		double start = clock_now_s();
		if (bench_go_on(e) < 0 ||
		    scoring_run_all(sc, in, (size_t)m->n, count_built, s, e) < 0)
			break;
		double took = clock_now_s() - start;
		best = round > 0 && !(best <= took) ? took : best;
	}
	scoring_close(sc);
	b->app.jobs = jobs;
	return best;
}

static int write_bare(const struct bench *b, const struct made *m, struct bench_set *s,
                      struct err *e)
{
	for (int i = 0; i < m->n; i++) {
		snprintf(s->p[i].bare, sizeof(s->p[i].bare), "%s/grpo-%d.py", b->dir, i);
		FILE *f = fopen(s->p[i].bare, "we");
		bool good = f && fputs(m->doc[i].program, f) >= 0;
		if (!f || fclose(f) || !good)
			return err_errno(e, ERR_IO, "%s", s->p[i].bare);
	}
	return 0;
}

static int bench_environment(struct bench *b, struct made *m, struct err *e)
{
	static const char *const profile[] = { "exact-train", "seed-fast" };
	static const char *const name[] = { "grpo.environment", "grpo.environment_seed_fast" };
	struct bench_set s = { .name = "demo", .p = calloc(MADE, sizeof(*s.p)), .n = m->n };
	double ours[2] = { NAN, NAN };
	int n = 0, rc = -1;

	if (!s.p) {
		err_set(e, ERR_MEM, "out of memory");
		return -1;
	}
	bench_say(b, "what a candidate takes: built and scored, one at a time");
	if (write_bare(b, m, &s, e) < 0)
		goto out;
	for (int i = 0; i < 2; i++)
		if (isnan(ours[i] = score_all(b, m, &s, profile[i], e)))
			goto out;
	for (int i = 0; i < s.n; i++)
		n += s.p[i].builds;
	bench_say(b, "one Python process a program, one at a time");
	double cold = bench_cold(b, &s, 1, e) / n;
	if (e->kind)
		goto out;
	for (int i = 0; i < 2; i++) {
		double v = ours[i] / m->n;
		bench_figure(b, name[i], v, "s", cold / OTHERS_TIMES, cold, v / cold, s.name);
	}
	rc = 0;
out:
	free(s.p);
	return rc;
}

/* ---- what a device waits for ---- */

struct author {
	const struct made *made;
	double slower;        /* than what is expected: 1, or more */
	int now[PROMPTS], at; /* programs of the groups that are asked for, in order */
	int written;          /* answers so far */
	double tokens;        /* of prompts and answers */
	struct buf one;
};

/* The program of the task; every member's differs in a comment. */
static void write_answer(void *ctx, const struct gpu_request *r, int sequence,
                         struct paced_answer *out)
{
	struct author *a = ctx;

	(void)r;
	buf_clear(&a->one);
	buf_printf(&a->one, "```python\n# %d\n%s\n```\n", a->written++,
	           a->made->doc[a->now[a->at % PROMPTS]].program);
	out->text = buf_str(&a->one);
	out->len = a->one.len;
	if (sequence == MEMBERS - 1)
		a->at++;
}

static struct gpu *open_engine(void *ctx, const struct gpu_options *o, const struct gpu_ops *ops,
                               struct err *e)
{
	struct author *a = ctx;
	const struct paced_options p = {
		.ctx = a,
		.answer = write_answer,
		.device = "imagined: H200, 9B",
		.slots = SLOTS,
		.step_s = STEP_S * a->slower,
		.sequence_s = SEQUENCE_S * a->slower,
		.prefill_per_s = PREFILL / a->slower,
	};

	(void)o;
	return paced_open(&p, ops, e);
}

static void on_answer(void *ctx, const struct rollout *r)
{
	struct author *a = ctx;

	a->tokens += r->n + r->prompt_tokens;
}

static int ask_step(struct author *a, struct rollouts *r, int step, struct err *e)
{
	a->at = 0;
	for (int i = 0; i < PROMPTS; i++) {
		a->now[i] = (step * PROMPTS + i) % a->made->n;
		const struct rollout_group g = { .task = &a->made->doc[a->now[i]].task,
			                         .members = MEMBERS,
			                         .turns = 1,
			                         .enough = NAN,
			                         .seed = (uint64_t)step };
		if (rollouts_add(r, &g, e) < 0)
			return -1;
	}
	return rollouts_run(r, e);
}

/* The first step starts the programs and does not count. */
static int draw(struct bench *b, struct author *a, struct rollouts_options *o,
                struct rollouts_figures *out, struct err *e)
{
	struct rollouts *r = rollouts_open(o, e);
	int rc = r ? 0 : -1;

	for (int step = 0; rc == 0 && step <= b->rounds; step++) {
		if (step == 1) {
			rollouts_figures(r);
			a->tokens = 0;
		}
		rc = ask_step(a, r, step, e);
	}
	if (r)
		*out = rollouts_figures(r);
	rollouts_close(r);
	return rc;
}

static void waits_figures(struct bench *b, const struct author *a, const struct rollouts_figures *f,
                          const char *set, double bound)
{
	double update = a->tokens * UPDATE_S * a->slower;
	double drawing = f->decoding_s + f->waiting_s;

	bench_figure(b, "grpo.device_waits", f->waiting_s / (drawing + update), "", bound, NAN, NAN,
	             set);
	bench_figure(b, "grpo.device_waits_of_drawing", f->waiting_s / drawing, "", NAN, NAN, NAN,
	             set);
	bench_figure(b, "grpo.device_draws", (double)f->tokens / f->decoding_s, "tok/s", NAN, NAN,
	             NAN, set);
	bench_figure(b, "grpo.answers", f->answers / drawing, "1/s", NAN, NAN, NAN, set);
}

static int bench_waits(struct bench *b, const struct made *m, struct err *e)
{
	const double usual = SLOTS / (STEP_S + SLOTS * SEQUENCE_S);
	const double less = (double)HOST_CORES / (double)b->app.jobs;
	struct author a = { .made = m, .slower = b->rate > 0 ? usual / b->rate : 1 };
	struct rollouts_options o = {
		.app = &b->app,
		.source = "train",
		.prompts = &m->prompts,
		.scoring = { .app = &b->app, .profile = "exact-train", .rebuilds = -1 },
		.slots = SLOTS,
		.light = true,
		.ctx = &a,
		.done = on_answer,
		.tick = tick,
		.engine = open_engine,
		.engine_ctx = &a,
	};
	struct model_flags *flags = calloc(1, sizeof(*flags));
	struct rollouts_figures f;
	char path[128];
	int rc = -1;

	if (!flags) {
		err_set(e, ERR_MEM, "out of memory");
		return -1;
	}
	model_flags_init(flags);
	flags->model = "random:9b"; /* a name: nothing is drawn from it */
	o.model = flags;
	snprintf(path, sizeof(path), "%s/waits.db", b->dir);
	bench_say(b, "what a device would wait for: 4 groups of 16, answers at its pace");
	if (!(o.store = store_open(path, STORE_WRITE, NULL, e)) || draw(b, &a, &o, &f, e) < 0)
		goto out;
	waits_figures(b, &a, &f, "imagined", SHARE_LIMIT);
	if (less > 1) {
		a.slower *= less;
		bench_say(b, "the same of a device that is slower as this machine is smaller");
		if (draw(b, &a, &o, &f, e) < 0)
			goto out;
		waits_figures(b, &a, &f, "scaled", NAN);
	}
	rc = 0;
out:
	store_close(o.store);
	buf_release(&a.one);
	free(flags);
	return rc;
}

/* ---- the whole loop ---- */

struct loop {
	double first_s, last_s; /* ends of the first step and of the last */
	double answers;         /* after the first */
	double generate_s, wait_s, learn_s;
	int steps;
};

static void on_event(void *ctx, const char *kind, const cJSON *o)
{
	struct loop *l = ctx;
	double now = clock_now_s();

	if (strcmp(kind, "step") != 0)
		return;
	if (l->steps++ == 0) {
		l->first_s = now;
		return;
	}
	l->last_s = now;
	l->answers += json_number_or(o, "answers", 0);
	l->generate_s += json_number_or(o, "generate_s", 0);
	l->wait_s += json_number_or(o, "wait_s", 0);
	l->learn_s += json_number_or(o, "learn_s", 0);
}

static cJSON *loop_settings(const struct bench *b, const struct model_flags *m)
{
	char out[128];
	cJSON *all = cJSON_CreateObject();

	snprintf(out, sizeof(out), "%s/loop", b->dir);
	cJSON_AddStringToObject(all, "model", m->model);
	cJSON_AddStringToObject(all, "adapter", m->n_adapters ? m->adapter[0].dir : "none");
	cJSON_AddStringToObject(all, "out", out);
	cJSON_AddStringToObject(all, "backend", "cpu");
	cJSON_AddStringToObject(all, "reward", "exact-train");
	cJSON_AddNumberToObject(all, "steps", LOOP_STEPS);
	cJSON_AddNumberToObject(all, "prompts", PROMPTS);
	cJSON_AddNumberToObject(all, "members", LOOP_MEMBERS);
	cJSON_AddNumberToObject(all, "max_tokens", LOOP_TOKENS);
	cJSON_AddNumberToObject(all, "tries", 1);
	cJSON_AddNumberToObject(all, "repairs", 0);
	cJSON_AddNumberToObject(all, "eval_every", -1);
	cJSON_AddNumberToObject(all, "save_every", 1000);
	cJSON_AddNumberToObject(all, "lr", 1e-4);
	return all;
}

static int run_loop(struct bench *b, struct made *m, struct model_flags *flags, struct loop *l,
                    struct err *e)
{
	struct task task[MADE];
	int number[MADE], rc = -1;
	struct task_set tasks = { .tasks = task, .n = m->n };
	cJSON *all = loop_settings(b, flags);
	struct grpo_result result;
	char path[128];

	for (int i = 0; i < m->n; i++) {
		task[i] = m->doc[i].task;
		number[i] = i;
	}
	struct grpo_options o = {
		.app = &b->app,
		.model = flags,
		.tasks = &tasks,
		.task = number,
		.n_tasks = m->n,
		.prompts = &m->prompts,
		.backend = GPU_CPU,
		.all = all,
		.kind = "grpo",
		.ctx = l,
		.event = on_event,
	};
	cJSON *policy = NULL;

	snprintf(path, sizeof(path), "%s/loop.db", b->dir);
	if (grpo_settings_read(&o.settings, &policy, all, e) == 0 &&
	    (o.store = store_open(path, STORE_WRITE, NULL, e)) != NULL) {
		o.policy = policy;
		rc = grpo_run(&o, &result, e);
	}
	store_close(o.store);
	cJSON_Delete(policy);
	cJSON_Delete(all);
	return rc;
}

static int bench_loop(struct bench *b, struct made *m, struct err *e)
{
	struct model_flags *flags = calloc(1, sizeof(*flags));
	struct loop l = { 0 };
	bool quiet = b->app.quiet;
	int rc = -1;

	if (!flags) {
		err_set(e, ERR_MEM, "out of memory");
		return -1;
	}
	model_flags_init(flags);
	flags->backend = GPU_CPU;
	flags->temperature_given = true;
	bench_say(b, "the whole loop with the demonstration model");
	b->app.quiet = true;
	if (model_flags_finish(flags, &b->app, e) == 0 && run_loop(b, m, flags, &l, e) == 0)
		rc = bench_go_on(e);
	b->app.quiet = quiet;
	free(flags);
	if (rc < 0)
		return -1;
	double all = l.last_s - l.first_s;
	bench_figure(b, "grpo.loop", l.answers / all, "1/s", 2, NAN, NAN, "demo");
	bench_figure(b, "grpo.loop_generates", l.generate_s / all, "", NAN, NAN, NAN, "demo");
	bench_figure(b, "grpo.loop_waits", l.wait_s / all, "", NAN, NAN, NAN, "demo");
	bench_figure(b, "grpo.loop_learns", l.learn_s / all, "", NAN, NAN, NAN, "demo");
	return 0;
}

int bench_grpo(struct bench *b, struct err *e)
{
	struct made m = { 0 };
	int rc = -1;

	if (made_open(&m, b, e) == 0 && bench_environment(b, &m, e) == 0 &&
	    bench_waits(b, &m, e) == 0)
		rc = bench_loop(b, &m, e);
	made_release(&m);
	return rc;
}
