/*
 * cmd_compare.c - models, adapters, prompts, sampling or runs in columns, tasks in rows.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"
#include "src/compare.h"
#include "src/db.h"
#include "src/evaluation_text.h"
#include "src/show.h"

enum { RUNS_MAX = 16, TASK_WIDTH = 30, CELL_WIDTH = 22 };

static cJSON *interval_json(const double v[3])
{
	cJSON *o = cJSON_CreateObject();

	json_add_figure(o, "rate", v[0]);
	json_add_figure(o, "low", v[1]);
	json_add_figure(o, "high", v[2]);
	return o;
}

static void add_text_or_null(cJSON *o, const char *key, const char *text)
{
	json_add_text(o, key, *text ? text : NULL);
}

static cJSON *column_json(const struct compare *c, int i)
{
	const struct compare_column *x = &c->column[i];
	cJSON *o = cJSON_CreateObject(), *failures;

	cJSON_AddNumberToObject(o, "column", i + 1);
	cJSON_AddStringToObject(o, "label", x->label);
	json_add_figure(o, "run", x->run ? (double)x->run : NAN);
	add_text_or_null(o, "model", x->model);
	add_text_or_null(o, "adapter", x->adapter);
	add_text_or_null(o, "prompts", x->prompts);
	cJSON *sampling = *x->sampling ? json_parse(x->sampling, strlen(x->sampling), NULL) : NULL;
	cJSON_AddItemToObject(o, "sampling", sampling ? sampling : cJSON_CreateNull());
	add_text_or_null(o, "source", x->source);
	cJSON_AddStringToObject(o, "profile", c->profile);
	cJSON_AddNumberToObject(o, "turns", (double)x->all.n);
	cJSON_AddNumberToObject(o, "built", (double)x->all.built);
	cJSON_AddItemToObject(o, "build", interval_json(x->rate));
	json_add_figure(o, "mean", x->mean);
	json_add_figure(o, "task_mean", x->task_mean);
	cJSON_AddNumberToObject(o, "tasks", x->tasks);
	json_add_figure(o, "best", x->all.scored ? x->all.best : NAN);
	failures = cJSON_AddObjectToObject(o, "failures");
	for (int k = CLASS_BUILD_OK + 1; k < CLASS_COUNT; k++)
		if (x->failure[k])
			cJSON_AddNumberToObject(failures, build_class_name((enum build_class)k),
			                        (double)x->failure[k]);
	return o;
}

static cJSON *row_json(const struct compare *c, const struct compare_row *r)
{
	cJSON *o = cJSON_CreateObject(), *cells;

	cJSON_AddStringToObject(o, "task", r->task);
	json_add_figure(o, "spread", r->spread);
	json_add_figure(o, "best_column", r->best < 0 ? NAN : r->best + 1);
	cells = cJSON_AddArrayToObject(o, "cells");
	for (int i = 0; i < c->n_columns; i++) {
		const struct compare_cell *x = &r->cell[i];
		cJSON *cell = cJSON_CreateObject();
		double rate[3];
		compare_wilson(x->built, x->n, rate);
		cJSON_AddNumberToObject(cell, "turns", (double)x->n);
		cJSON_AddNumberToObject(cell, "built", (double)x->built);
		cJSON_AddItemToObject(cell, "build", interval_json(rate));
		json_add_figure(cell, "mean", compare_mean(x));
		json_add_figure(cell, "best", x->scored ? x->best : NAN);
		cJSON_AddItemToArray(cells, cell);
	}
	return o;
}

static cJSON *pair_json(const struct compare_pair *p)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "tasks", p->tasks);
	cJSON_AddNumberToObject(o, "better", p->better);
	cJSON_AddNumberToObject(o, "worse", p->worse);
	json_add_figure(o, "reward", p->reward);
	json_add_figure(o, "reward_low", p->reward_low);
	json_add_figure(o, "reward_high", p->reward_high);
	json_add_figure(o, "reward_p", p->reward_p);
	json_add_figure(o, "rate", p->rate);
	json_add_figure(o, "rate_low", p->rate_low);
	json_add_figure(o, "rate_high", p->rate_high);
	json_add_figure(o, "rate_p", p->rate_p);
	return o;
}

static void print_json(const struct compare *c, const struct compare_pair *p)
{
	for (int i = 0; i < c->n_columns; i++) {
		cJSON *o = column_json(c, i);
		show_json_line(o);
		cJSON_Delete(o);
	}
	for (int r = 0; r < c->n_rows; r++) {
		cJSON *o = row_json(c, &c->row[r]);
		show_json_line(o);
		cJSON_Delete(o);
	}
	if (p) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddItemToObject(o, "paired", pair_json(p));
		show_json_line(o);
		cJSON_Delete(o);
	}
}

static void print_cell(const struct compare_cell *x, bool best)
{
	char mean[24] = "-", of[40], text[80];

	if (!x->n) {
		printf("  %-*s", CELL_WIDTH, "-");
		return;
	}
	if (x->scored)
		snprintf(mean, sizeof(mean), "%.3f", compare_mean(x));
	snprintf(of, sizeof(of), "%" PRId64 "/%" PRId64, x->built, x->n);
	snprintf(text, sizeof(text), "%s%s%s", best ? "[" : " ", mean, best ? "]" : " ");
	printf("  %9s %-*s", text, CELL_WIDTH - 10, of);
}

static void print_line_cut(const char *text, int width)
{
	struct buf clean = { 0 };

	utf8_clean(&clean, text, strlen(text));
	printf("%-*.*s", width, width, buf_str(&clean));
	buf_release(&clean);
}

static void print_table(const struct compare *c, const struct compare_pair *p)
{
	printf("%-*s", TASK_WIDTH, "TASK");
	for (int i = 0; i < c->n_columns; i++)
		printf("  (%d) mean built%*s", i + 1, CELL_WIDTH - 14 - (i > 8), "");
	printf("  SPREAD\n");
	for (int r = 0; r < c->n_rows; r++) {
		const struct compare_row *row = &c->row[r];
		print_line_cut(row->task, TASK_WIDTH);
		for (int i = 0; i < c->n_columns; i++)
			print_cell(&row->cell[i], row->best == i);
		if (isnan(row->spread))
			printf("  -\n");
		else
			printf("  %.3f\n", row->spread);
	}
	putchar('\n');
	for (int i = 0; i < c->n_columns; i++) {
		const struct compare_column *x = &c->column[i];
		struct buf mix = { 0 };
		printf("(%d) ", i + 1);
		db_print_line(stdout, x->label);
		printf("\n    built %" PRId64 "/%" PRId64, x->all.built, x->all.n);
		if (x->all.n)
			printf(" = %.1f %% (95 %%: %.1f to %.1f)", 100 * x->rate[0],
			       100 * x->rate[1], 100 * x->rate[2]);
		if (!isnan(x->mean))
			printf("   reward: mean %.3f, over tasks %.3f, best %.3f", x->mean,
			       x->task_mean, x->all.best);
		compare_failures(x, false, &mix);
		printf("\n    failures: %s\n", mix.len ? buf_str(&mix) : "none");
		buf_release(&mix);
	}
	if (c->n_columns)
		printf("\nprofile %s", c->profile);
	if (c->left_out)
		printf("; %" PRId64 " turn%s under other profiles left out (--profile)",
		       c->left_out, c->left_out == 1 ? "" : "s");
	if (c->n_columns)
		putchar('\n');
	if (p && p->tasks) {
		printf("\n(2) against (1) on the %d task%s that both have: %d better, %d worse\n"
		       "    reward %+.3f (95 %%: %+.3f to %+.3f; p = %.3f)\n"
		       "    build rate %+.1f points (95 %%: %+.1f to %+.1f; p = %.3f)\n",
		       p->tasks, p->tasks == 1 ? "" : "s", p->better, p->worse, p->reward,
		       p->reward_low, p->reward_high, p->reward_p, 100 * p->rate, 100 * p->rate_low,
		       100 * p->rate_high, p->rate_p);
	} else if (p) {
		puts("\nthere is no task that both have");
	}
}

/* ---- evaluations: item by item ---- */

static int see_kind(void *ctx, const struct store_run *r)
{
	*(bool *)ctx = strcmp(r->kind, "eval") == 0;
	return 0;
}

/* Whether all of them are evaluations; -1. */
static int all_evaluations(struct store *s, const int64_t *runs, int n, struct err *e)
{
	for (int i = 0; i < n; i++) {
		bool is = false;
		if (store_runs(s, runs[i], 1, see_kind, &is, e) < 0)
			return -1;
		if (!is)
			return 0;
	}
	return n >= 2 && n <= EVALUATION_ARMS_MAX;
}

static void print_object(const char *key, cJSON *v)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddItemToObject(o, key, v);
	show_json_line(o);
	cJSON_Delete(o);
}

/* Each run against the first, over the items that both have. */
static int compare_evaluations(struct store *s, const int64_t *runs, int n, bool json,
                               struct err *e)
{
	struct evaluation v[EVALUATION_ARMS_MAX] = { 0 };
	struct evaluation_pair p[EVALUATION_ARMS_MAX];
	struct buf text = { 0 };
	int rc = 0;

	for (int i = 0; i < n && rc == 0; i++)
		rc = evaluation_read(&v[i], s, runs[i], e);
	for (int i = 1; i < n && rc == 0; i++)
		rc = evaluation_compare(&p[i], &v[0], &v[i], e);
	if (rc == 0 && !json)
		evaluation_table(&text, v, n);
	for (int i = 0; i < n && rc == 0; i++) {
		if (json)
			print_object("evaluation", evaluation_json(&v[i]));
		if (json && i > 0)
			print_object("paired", evaluation_pair_json(&p[i], &v[0], &v[i]));
		if (!json && i > 0) {
			buf_addc(&text, '\n');
			evaluation_pair_text(&text, &p[i], &v[0], &v[i]);
		}
	}
	db_print_text(stdout, buf_str(&text), text.len, "");
	buf_release(&text);
	for (int i = 0; i < n; i++)
		evaluation_release(&v[i]);
	return rc;
}

static int choose_turns(const char *arg, enum compare_turns *out)
{
	static const char *const words[] = { "all", "first", "repairs" };

	for (int i = 0; i < 3; i++)
		if (strcmp(arg, words[i]) == 0) {
			*out = (enum compare_turns)i;
			return 0;
		}
	app_tell("--turns: all, first or repairs was expected, got '%.40s'", arg);
	return -1;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	enum { BY = DB_FLAGS_END, TURNS, PROFILE };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "task", required_argument, NULL, DB_TASK },
		                                 { "model", required_argument, NULL, DB_MODEL },
		                                 { "adapter", required_argument, NULL, DB_ADAPTER },
		                                 { "by", required_argument, NULL, BY },
		                                 { "turns", required_argument, NULL, TURNS },
		                                 { "profile", required_argument, NULL, PROFILE },
		                                 { NULL, 0, NULL, 0 } };
	struct compare_options o = { .by = COMPARE_MODEL | COMPARE_ADAPTER };
	struct compare c = { 0 };
	struct compare_pair pair;
	struct tallies t = { 0 };
	struct store *s = NULL;
	struct db_flags f;
	struct err e = { 0 };
	int64_t runs[RUNS_MAX];
	bool table = false; /* asked for in words that only the table knows */
	int opt, rc = EXIT_DONE, n, items;

	db_flags_init(&f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = opt < DB_FLAGS_END ? db_flag(&f, self, opt, optarg) : 0;
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		table |= opt == BY || opt == TURNS || opt == PROFILE || opt == DB_TASK ||
		         opt == DB_MODEL || opt == DB_ADAPTER;
		if (rc == 1)
			continue;
		if (opt == BY) {
			if (compare_by_parse(optarg, &o.by, &e) < 0)
				return app_usage(self, "--by: %s", e.text);
		} else if (opt == TURNS) {
			if (choose_turns(optarg, &o.turns) < 0)
				return EXIT_USAGE;
		} else if (opt == PROFILE) {
			o.profile = optarg;
		} else {
			return app_bad_flag(self, opt, argv);
		}
	}
	n = argc - optind;
	if (n > RUNS_MAX)
		return app_usage(self, "at most %d runs are compared", RUNS_MAX);
	for (int i = 0; i < n; i++) {
		int turn = 0;
		if (store_parse_ref(argv[optind + i], &runs[i], &turn, &e) < 0 || turn)
			return app_usage(self, "the number of a run was expected, got '%.40s'",
			                 argv[optind + i]);
		for (int k = 0; k < i; k++)
			if (runs[k] == runs[i])
				return app_usage(self, "run %" PRId64 " is there twice", runs[i]);
	}
	o.task = f.filter.task;
	o.model = f.filter.model;
	o.adapter = f.filter.adapter;
	rc = 0;
	if (!(s = db_open(&f, STORE_READ, &e)))
		return app_fail(&e);
	items = table ? 0 : all_evaluations(s, runs, n, &e);
	if (items) {
		if (items < 0 || compare_evaluations(s, runs, n, f.app.json, &e) < 0)
			rc = app_fail(&e);
		store_close(s);
		return rc;
	}
	if (tallies_read(&t, s, 0, &e) < 0 ||
	    (n ? compare_runs(&c, &t, s, runs, n, &o, &e) : compare_make(&c, &t, &o, &e)) < 0 ||
	    (c.n_columns == 2 && compare_paired(&c, 0, 1, &pair, &e) < 0)) {
		rc = app_fail(&e);
	} else {
		const struct compare_pair *p = c.n_columns == 2 ? &pair : NULL;
		if (f.app.json)
			print_json(&c, p);
		else if (c.n_rows)
			print_table(&c, p);
		else if (!f.app.quiet)
			fputs("no turn fits\n", stderr);
	}
	compare_release(&c);
	tallies_release(&t);
	store_close(s);
	return rc;
}

const struct cmd cmd_compare = {
	.name = "compare",
	.usage = "compare [RUN-A RUN-B...] [--by WHAT] [--json]",
	.summary = "models, adapters, prompts, sampling or runs beside one another",
	.help = "  RUN-A RUN-B       runs in columns; without any, what the turns of all episodes "
		"differ in:\n"
		"  --by WHAT         model, adapter, prompts, sampling, commas between "
		"(model,adapter)\n"
		"  --turns T         all, first (first tries alone) or repairs (all)\n"
		"  --profile P       scored under that profile (the one with the most turns)\n"
		"  --task ID, --model NAME, --adapter NAME  of these only\n" DB_HELP
		"\nTasks in rows: mean reward and how many turns built, the best mean in brackets. Of "
		"two columns\nalso the difference over the tasks that both have. Build rates have "
		"Wilson intervals of 95 %.\nRuns of eval are set beside one another item by item, "
		"the same task under the same seed: differences\nwith intervals, sign-flip test, "
		"McNemar, and what keeps them from meaning more; what does not compare\n(other "
		"profiles, references, numbers of turns) is refused.\nJSON: a line a column {column, label, model, adapter, "
		"prompts, sampling, turns, built, build {rate,\nlow, high}, mean, task_mean, tasks, "
		"best, failures}, a line a task {task, cells, spread,\nbest_column}, and {paired} of "
		"two; of runs of eval {evaluation} a run and {paired}.\n",
	.run = run,
};
