/*
 * bench_grpo.c - reinforcement learning: what a device waits for, what a candidate takes beside the
 * published way, and how many candidates a second the whole loop makes of a small model.
 *
 * The device is imagined (src/paced.h), and so are the programs' authors: the tasks' references
 * come as answers at the pace that is expected of an H200 with a 9B model, 64 at once, while
 * everything behind them is real: rollouts, builder, scorer, store. What the update would take is
 * counted as expected too. Of a step, then, the share in which nothing is decoded since builds are
 * waited for.
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
	CANDIDATES_MAX = LOOP_STEPS * PROMPTS * LOOP_MEMBERS * 2,
	SAMPLED = 12, /* candidates that a peer is given */
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
#define MORE         0.5
#define REMARK       "# what is said of it here is as long as a line mostly is\n"

static int tick(void *ctx)
{
	(void)ctx;
	return bench_go_on(NULL) < 0;
}

/* ---- programs ---- */

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

/* ---- what a device waits for ---- */

/* What a large model is asked for, and writes when it does well: the tasks that come with the
 * program, and their references. */
struct author {
	struct task_set tasks;
	struct buf *program;  /* of each */
	double slower;        /* than what is expected: 1, or more */
	int now[PROMPTS], at; /* tasks of the groups that are asked for, in order */
	int written;          /* answers so far */
	double tokens;        /* of prompts and answers */
	struct buf one;
};

static void author_close(struct author *a)
{
	for (int i = 0; a->program && i < a->tasks.n; i++)
		buf_release(&a->program[i]);
	free(a->program);
	buf_release(&a->one);
	task_set_release(&a->tasks);
}

static int author_open(struct author *a, const struct bench *b, struct err *e)
{
	if (packs_load(&a->tasks, &b->app, e) < 0)
		return -1;
	int n = 0;
	for (int i = 0; i < a->tasks.n; i++) {
		const struct task *t = &a->tasks.tasks[i];
		const char *end = t->reference ? strrchr(t->reference, '.') : NULL;
		if (end && strcmp(end, ".py") == 0)
			n++;
	}
	if (n < a->tasks.n)
		return err_set(e, ERR_LACKS,
		               "%d of %d tasks have a program as their reference; all should", n,
		               a->tasks.n);
	if (!(a->program = calloc((size_t)n, sizeof(*a->program))))
		return err_set(e, ERR_MEM, "out of memory");
	for (int i = 0; i < n; i++)
		if (buf_read_file(&a->program[i], a->tasks.tasks[i].reference, 1 << 20, e) < 0)
			return -1;
	return 0;
}

/* The reference of the task, with what no two answers to a prompt have in common: a remark, up to
 * MORE of the program long, so that members end one after the other as a model's do. */
static void write_answer(void *ctx, const struct gpu_request *r, int sequence,
                         struct paced_answer *out)
{
	struct author *a = ctx;
	const struct buf *program = &a->program[a->now[a->at % PROMPTS]];
	/* evenly over 0 to 1, the same in every run (Weyl's sequence) */
	double share = fmod(++a->written * 0.6180339887498949, 1);
	int lines = (int)(share * MORE * (double)program->len / sizeof(REMARK));

	(void)r;
	buf_clear(&a->one);
	buf_printf(&a->one, "```python\n# %d\n", a->written);
	for (int i = 0; i < lines; i++)
		buf_adds(&a->one, REMARK);
	buf_printf(&a->one, "%s\n```\n", buf_str(program));
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
		a->now[i] = (step * PROMPTS + i) % a->tasks.n;
		const struct rollout_group g = { .task = &a->tasks.tasks[a->now[i]],
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
	struct author a = { .slower = b->rate > 0 ? usual / b->rate : 1 };
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

	if (!flags)
		return err_set(e, ERR_MEM, "out of memory");
	model_flags_init(flags);
	flags->model = "random:9b"; /* a name: nothing is drawn from it */
	o.model = flags;
	snprintf(path, sizeof(path), "%s/waits.db", b->dir);
	bench_say(b, "what a device would wait for: 4 groups of 16, answers at its pace");
	if (author_open(&a, b, e) < 0 || !(o.store = store_open(path, STORE_WRITE, NULL, e)) ||
	    draw(b, &a, &o, &f, e) < 0)
		goto out;
	/* the limit is for a host that such a device has: where this one is smaller, the device is
	 * slowed to match, and that row is held against it */
	waits_figures(b, &a, &f, "imagined", less > 1 ? NAN : SHARE_LIMIT);
	if (less > 1) {
		a.slower *= less;
		bench_say(b, "the same of a device that is slower as this machine is smaller");
		if (draw(b, &a, &o, &f, e) < 0)
			goto out;
		waits_figures(b, &a, &f, "scaled", SHARE_LIMIT);
	}
	rc = 0;
out:
	store_close(o.store);
	author_close(&a);
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
                    int64_t *run, struct err *e)
{
	struct task task[MADE];
	int number[MADE], rc = -1;
	struct task_set tasks = { .tasks = task, .n = m->n };
	cJSON *all = loop_settings(b, flags);
	struct grpo_result result = { 0 };
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
		*run = result.run;
	}
	store_close(o.store);
	cJSON_Delete(policy);
	cJSON_Delete(all);
	return rc;
}

static int bench_loop(struct bench *b, struct made *m, int64_t *run, struct err *e)
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
	if (model_flags_finish(flags, &b->app, e) == 0 && run_loop(b, m, flags, &l, run, e) == 0)
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

/* ---- what a candidate takes ---- */

/* A candidate that the loop learnt from. */
struct candidate {
	int64_t episode;
	int turn;
	const struct task *task;
	struct buf text;    /* its whole answer */
	char program[1200]; /* of a peer: its file; "" */
};

struct candidates {
	const struct made *made;
	struct candidate *v;
	int n, n_built;
};

static int add_candidate(void *ctx, const struct store_rollout *r)
{
	struct candidates *c = ctx;

	if (c->n == CANDIDATES_MAX || !r->task)
		return c->n == CANDIDATES_MAX;
	struct candidate *x = &c->v[c->n];
	*x = (struct candidate){ .episode = r->episode, .turn = r->turn };
	for (int i = 0; i < c->made->n; i++)
		if (strcmp(c->made->doc[i].task.id, r->task) == 0)
			x->task = &c->made->doc[i].task;
	c->n += x->task != NULL;
	return 0;
}

static int read_candidates(struct candidates *c, const struct bench *b, const struct made *m,
                           int64_t run, struct err *e)
{
	char path[128];
	int rc;

	c->made = m;
	snprintf(path, sizeof(path), "%s/loop.db", b->dir);
	struct store *s = store_open(path, STORE_READ, NULL, e);
	if (!s)
		return -1;
	rc = store_rollouts(s, run, 1, INT64_MAX, add_candidate, c, e);
	for (int i = 0; i < c->n && rc >= 0; i++)
		rc = store_artifact(s, c->v[i].episode, c->v[i].turn, "completion.txt",
		                    &c->v[i].text, e);
	store_close(s);
	if (rc >= 0 && c->n == 0)
		return err_set(e, ERR_IO, "the loop wrote no candidate");
	return rc < 0 ? -1 : 0;
}

static void count(void *ctx, size_t item, struct scored *out)
{
	struct candidates *c = ctx;

	(void)item;
	c->n_built += out->built;
}

/* Seconds of all of them under one profile, one at a time, in the order in which they were drawn,
 * as the loop builds and scores them: what equals an earlier one is not built again. Their tasks
 * are ready, which happens once in a run. */
static double score_all(struct bench *b, struct candidates *c, const char *profile, int *equal,
                        struct err *e)
{
	static const enum dialect dialect = DIALECT_OPEN;
	const struct scoring_options o = { .app = &b->app,
		                           .profile = profile,
		                           .dialect = &dialect,
		                           .rebuilds = -1,
		                           .remember = CANDIDATES_MAX,
		                           .ears.tick = tick };
	struct scoring_input *in = calloc((size_t)c->n, sizeof(*in));
	struct scoring *sc = NULL;
	double took = NAN;
	int jobs = b->app.jobs;

	b->app.jobs = 1;
	c->n_built = 0;
	if (!in)
		err_set(e, ERR_MEM, "out of memory");
	else
		sc = scoring_open(&o, e);
	for (int i = 0; sc && i < c->n; i++) {
		in[i] = (struct scoring_input){ .task = c->v[i].task,
			                        .text = buf_str(&c->v[i].text),
			                        .len = c->v[i].text.len,
			                        .rule = EXTRACT_ANSWER };
		if (scoring_prepare(sc, c->v[i].task, e) < 0)
			break;
	}
	if (sc && !e->kind && bench_go_on(e) == 0 && scoring_warm(sc, e) == 0) {
		double start = clock_now_s();
		if (scoring_run_all(sc, in, (size_t)c->n, count, c, e) == 0) {
			took = clock_now_s() - start;
			*equal = (int)scoring_remembered(sc);
		}
	}
	scoring_close(sc);
	free(in);
	b->app.jobs = jobs;
	return took;
}

static int write_program(struct candidate *x, const struct bench *b, int i, struct err *e)
{
	struct extract what = { 0 };

	if (extract_program(&what, EXTRACT_ANSWER, buf_str(&x->text), x->text.len, e) < 0)
		return -1;
	snprintf(x->program, sizeof(x->program), "%s/candidate-%d.py", b->dir, i);
	FILE *f = fopen(x->program, "we");
	bool good = f && fwrite(what.program.data, 1, what.program.len, f) == what.program.len;
	if (f)
		good &= fclose(f) == 0;
	extract_release(&what);
	return good ? 0 : err_errno(e, ERR_IO, "%s", x->program);
}

/* Seconds a candidate of the published system, as its trainer has each evaluated; or, without it,
 * of one Python process that does no more than to run the program. Of a few, evenly taken. */
static double others(struct bench *b, struct candidates *c, struct err *e)
{
	struct bench_set s = { .name = "demo", .p = calloc(SAMPLED, sizeof(*s.p)) };
	double start, took = NAN;

	if (!s.p) {
		err_set(e, ERR_MEM, "out of memory");
		return NAN;
	}
	for (; s.n < SAMPLED && s.n < c->n; s.n++) {
		struct candidate *x = &c->v[(size_t)s.n * (size_t)c->n / SAMPLED];
		if (write_program(x, b, s.n, e) < 0)
			goto out;
		snprintf(s.p[s.n].bare, sizeof(s.p[s.n].bare), "%s", x->program);
		s.p[s.n].builds = true;
	}
	if (!b->published) {
		bench_say(b, "one Python process a program, one at a time");
		took = bench_cold(b, &s, 1, e) / s.n;
		goto out;
	}
	bench_say(b, "the published evaluator, as its trainer calls it");
	start = clock_now_s();
	for (int i = 0; i < s.n; i++)
		if (bench_go_on(e) < 0 || bench_published(b, s.p[i].bare, e) < 0)
			goto out;
	took = (clock_now_s() - start) / s.n;
out:
	free(s.p);
	return e->kind ? NAN : took;
}

static int bench_environment(struct bench *b, const struct made *m, int64_t run, struct err *e)
{
	static const char *const profile[] = { "exact-train", "seed-fast" };
	static const char *const name[] = { "grpo.environment", "grpo.environment_seed_fast" };
	struct candidates c = { .v = calloc(CANDIDATES_MAX, sizeof(*c.v)) };
	double ours[2] = { NAN, NAN }, peer;
	int equal = 0, rc = -1;

	if (!c.v)
		return err_set(e, ERR_MEM, "out of memory");
	if (read_candidates(&c, b, m, run, e) < 0)
		goto out;
	bench_say(b, "what its candidates take: built and scored, one at a time");
	for (int i = 0; i < 2; i++)
		for (int round = 0; round < b->rounds; round++) {
			double v = score_all(b, &c, profile[i], &equal, e);
			if (isnan(v))
				goto out;
			ours[i] = !(ours[i] <= v) ? v : ours[i];
		}
	peer = others(b, &c, e);
	if (isnan(peer))
		goto out;
	for (int i = 0; i < 2; i++) {
		double v = ours[i] / c.n;
		bench_figure(b, name[i], v, "s", peer / OTHERS_TIMES, peer, v / peer, "demo");
	}
	bench_figure(b, "grpo.environment_differ", ours[0] / (c.n - equal), "s", NAN, peer,
	             ours[0] / (c.n - equal) / peer, "demo");
	bench_figure(b, "grpo.candidates_equal", (double)equal / c.n, "", NAN, NAN, NAN, "demo");
	rc = 0;
out:
	for (int i = 0; i < c.n; i++)
		buf_release(&c.v[i].text);
	free(c.v);
	return rc;
}

int bench_grpo(struct bench *b, struct err *e)
{
	struct made m = { 0 };
	int64_t run = 0;
	int rc = -1;

	if (made_open(&m, b, e) == 0 && bench_waits(b, &m, e) == 0 &&
	    bench_loop(b, &m, &run, e) == 0)
		rc = bench_environment(b, &m, run, e);
	made_release(&m);
	return rc;
}
