/*
 * bench_score.c - what the exact profile costs, beside the published one on the same programs.
 *
 * Both through the whole of src/scoring, one program at a time and turn about, so that what else
 * the machine does falls on both alike. Of the time of each the build's own is taken off. Programs:
 * those of the sets that bear a task's name; without a set, the tasks' own references.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/bench.h"
#include "src/packs.h"
#include "src/scoring.h"

enum { PROFILES = 2 };

struct case_of {
	const struct task *task;
	struct buf text;
	double beyond_s[PROFILES]; /* least of the rounds */
};

struct cases {
	struct task_set tasks;
	struct case_of *v;
	int n;
};

static int tick(void *ctx)
{
	(void)ctx;
	return bench_go_on(NULL) < 0;
}

static int add_case(struct cases *c, const struct task *t, const char *path, struct err *e)
{
	struct case_of *more = realloc(c->v, sizeof(*more) * (size_t)(c->n + 1));

	if (!more)
		return err_set(e, ERR_MEM, "out of memory");
	c->v = more;
	c->v[c->n] = (struct case_of){ .task = t, .beyond_s = { NAN, NAN } };
	if (buf_read_file(&c->v[c->n].text, path, 8u << 20, e) < 0)
		return -1;
	c->n++;
	return 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* A file's task is that whose id its name is. */
static const struct task *task_of_file(const struct task_set *set, const char *path)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (int i = 0; i < set->n; i++) {
		size_t len = strlen(set->tasks[i].id);
		if (strncmp(base, set->tasks[i].id, len) == 0 && strcmp(base + len, ".py") == 0)
			return &set->tasks[i];
	}
	return NULL;
}

static int find_cases(struct cases *c, const struct bench *b, struct err *e)
{
	for (int i = 0; i < b->n_sets; i++)
		for (int k = 0; k < b->set[i].n; k++) {
			const struct task *t = task_of_file(&c->tasks, b->set[i].p[k].path);
			if (t && add_case(c, t, b->set[i].p[k].path, e) < 0)
				return -1;
		}
	if (c->n > 0)
		return 0;
	for (int i = 0; i < c->tasks.n; i++) {
		const struct task *t = &c->tasks.tasks[i];
		if (t->reference && ends_with(t->reference, ".py") &&
		    add_case(c, t, t->reference, e) < 0)
			return -1;
	}
	return 0;
}

/* One program under one profile; what it took beyond the build is kept when it is the least. */
static int measure(struct scoring *s, struct case_of *k, int profile, struct err *e)
{
	struct scoring_input in = {
		.task = k->task, .text = buf_str(&k->text), .len = k->text.len, .rule = EXTRACT_FILE
	};
	struct scored out;
	double start = clock_now_s();

	if (scoring_run(s, &in, &out, e) < 0)
		return -1;
	double took = clock_now_s() - start;
	const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(out.json, "seconds");
	double beyond = took - json_number_or(seconds, "build", NAN);
	if (out.built && !(k->beyond_s[profile] <= beyond))
		k->beyond_s[profile] = beyond;
	scored_release(&out);
	return 0;
}

static int measure_all(struct bench *b, struct cases *c, struct err *e)
{
	static const char *const names[PROFILES] = { "seed-fast", "exact-train" };
	static const enum dialect dialect = DIALECT_OPEN;
	struct scoring *s[PROFILES] = { NULL, NULL };
	int rc = -1;

	b->app.jobs = 1;
	for (int i = 0; i < PROFILES; i++) {
		struct scoring_options o = {
			.app = &b->app, .profile = names[i], .dialect = &dialect, .ears.tick = tick
		};
		s[i] = scoring_open(&o, e);
		if (!s[i] || scoring_warm(s[i], e) < 0)
			goto out;
	}
	/* references are prepared once and kept, which is no cost of a score */
	for (int i = 0; i < c->n; i++)
		if (bench_go_on(e) < 0 || scoring_prepare(s[1], c->v[i].task, e) < 0)
			goto out;
	for (int round = 0; round < b->rounds; round++)
		for (int i = 0; i < c->n; i++)
			for (int k = 0; k < PROFILES; k++)
				if (bench_go_on(e) < 0 || measure(s[k], &c->v[i], k, e) < 0)
					goto out;
	rc = 0;
out:
	for (int i = 0; i < PROFILES; i++)
		scoring_close(s[i]);
	return rc;
}

int bench_score(struct bench *b, struct err *e)
{
	struct cases c = { 0 };
	double sum[PROFILES] = { 0 };
	double *ratio = NULL;
	int n = 0, rc = -1;

	bench_say(b, "the exact profile beside the published one");
	if (packs_load(&c.tasks, &b->app, e) < 0)
		return -1;
	if (find_cases(&c, b, e) < 0 || measure_all(b, &c, e) < 0)
		goto out;
	ratio = calloc((size_t)c.n + 1, sizeof(*ratio));
	if (!ratio) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	for (int i = 0; i < c.n; i++) {
		const double *t = c.v[i].beyond_s;
		if (!isfinite(t[0]) || !isfinite(t[1]))
			continue;
		sum[0] += t[0];
		sum[1] += t[1];
		ratio[n++] = t[1] / t[0];
	}
	bench_figure(b, "score.seed_fast_beyond_build", 1e3 * sum[0] / n, "ms", NAN, NAN, NAN,
	             NULL);
	bench_figure(b, "score.exact_train_beyond_build", 1e3 * sum[1] / n, "ms", NAN,
	             1e3 * sum[0] / n, sum[1] / sum[0], NULL);
	bench_figure(b, "score.exact_over_seed", sum[1] / sum[0], "x", 2, NAN, NAN, NULL);
	bench_figure(b, "score.exact_over_seed_median", bench_median(ratio, n), "x", NAN, NAN, NAN,
	             NULL);
	rc = 0;
out:
	free(ratio);
	for (int i = 0; i < c.n; i++)
		buf_release(&c.v[i].text);
	free(c.v);
	task_set_release(&c.tasks);
	return rc;
}
