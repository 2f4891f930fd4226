/*
 * cmd_runs.c - the runs of the database (runs).
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"
#include "src/cmd_train.h"
#include "src/db.h"
#include "src/show.h"
#include "src/training_run.h"

struct work {
	struct db_flags f;
	struct store *store;
	bool any;
};

/* ---- runs ---- */

struct line {
	struct work *w;
	int64_t step, steps;
	double loss, eval_loss, tokens, seconds;
	double reward, build_rate, held_build_rate; /* of what learns from its own answers; NAN */
	char checkpoint[PATH_MAX], error[400], text[400];
};

static int see_step(void *ctx, const struct store_step *v)
{
	struct line *l = ctx;
	cJSON *o = v->data ? json_parse(v->data, strlen(v->data), NULL) : NULL;

	if (strcmp(v->kind, "ready") == 0) {
		l->steps = (int64_t)json_number_or(o, "steps", 0);
	} else if (strcmp(v->kind, "step") == 0) {
		l->step = v->step;
		l->loss = v->loss;
		l->tokens += v->tokens > 0 ? (double)v->tokens : 0;
		l->seconds += isfinite(v->seconds) ? v->seconds : 0;
		l->reward = json_number_or(o, "reward", NAN);
		l->build_rate = json_number_or(o, "build_rate", NAN);
	} else if (strcmp(v->kind, "eval") == 0) {
		l->eval_loss = v->loss;
		l->held_build_rate = json_number_or(o, "build_rate", NAN);
	} else if (strcmp(v->kind, "checkpoint") == 0) {
		snprintf(l->checkpoint, sizeof(l->checkpoint), "%s", json_string_or(o, "dir", ""));
	} else if (strcmp(v->kind, "end") == 0) {
		snprintf(l->error, sizeof(l->error), "%s", json_string_or(o, "error", ""));
	}
	cJSON_Delete(o);
	return 0;
}

/* "done", "running", or "interrupted": its process is gone without a word. */
static const char *state_of(const struct store_run *x, const char *out)
{
	if (x->ended_us)
		return x->outcome ? x->outcome : "ended";
	switch (out ? training_run_alive(out) : -1) {
	case 1:
		return "running";
	case 0:
		return "interrupted";
	default:
		return out ? "gone" : "not ended";
	}
}

static int see_run(void *ctx, const struct store_run *x)
{
	struct work *w = ctx;
	struct line *l = calloc(1, sizeof(*l));
	struct err e = { 0 };
	cJSON *about = x->settings ? json_parse(x->settings, strlen(x->settings), NULL) : NULL;
	const cJSON *settings = cJSON_GetObjectItemCaseSensitive(about, "settings");
	const char *out = json_string_or(settings, "out", NULL), *state;
	char when[32];

	if (!l)
		return 1;
	l->w = w;
	l->loss = l->eval_loss = l->reward = l->build_rate = l->held_build_rate = NAN;
	if (out)
		store_steps(w->store, x->id, 0, INT_MAX, see_step, l, &e);
	state = state_of(x, out);
	w->any = true;
	if (w->f.app.json) {
		cJSON *o = cJSON_CreateObject();
		store_utc_time(when, sizeof(when), x->started_us);
		cJSON_AddNumberToObject(o, "run", (double)x->id);
		cJSON_AddStringToObject(o, "kind", x->kind);
		cJSON_AddStringToObject(o, "state", state);
		cJSON_AddStringToObject(o, "started", when);
		json_add_figure(o, "step", out ? (double)l->step : NAN);
		json_add_figure(o, "steps", l->steps ? (double)l->steps : NAN);
		json_add_figure(o, "loss", l->loss);
		json_add_figure(o, "eval_loss", l->eval_loss);
		json_add_figure(o, "reward", l->reward);
		json_add_figure(o, "build_rate", l->build_rate);
		json_add_figure(o, "held_build_rate", l->held_build_rate);
		json_add_figure(o, "tokens_per_s", l->seconds > 0 ? l->tokens / l->seconds : NAN);
		json_add_text(o, "model", json_string_or(settings, "model", NULL));
		json_add_text(o, "out", out);
		json_add_text(o, "checkpoint", l->checkpoint[0] ? l->checkpoint : NULL);
		json_add_text(o, "error", l->error[0] ? l->error : NULL);
		show_json_line(o);
		cJSON_Delete(o);
	} else {
		store_local_time(when, sizeof(when), x->started_us);
		printf("%-4" PRId64 "  %-10s %s  %-11s", x->id, x->kind, when, state);
		if (out && l->steps)
			printf("  step %" PRId64 "/%" PRId64, l->step, l->steps);
		if (isfinite(l->reward))
			printf("  reward %.3f  built %.0f %%", l->reward, 100 * l->build_rate);
		else if (isfinite(l->loss))
			printf("  loss %.4f", l->loss);
		if (isfinite(l->eval_loss))
			printf("  held out %.4f", l->eval_loss);
		else if (isfinite(l->held_build_rate))
			printf("  held out built %.0f %%", 100 * l->held_build_rate);
		if (l->seconds > 0)
			printf("  %.0f tokens/s", l->tokens / l->seconds);
		putchar('\n');
		if (l->checkpoint[0]) {
			fputs("      ", stdout);
			db_print_line(stdout, l->checkpoint);
			putchar('\n');
		}
		if (l->error[0] && strcmp(state, "failed") == 0) {
			fputs("      ", stdout);
			db_print_line(stdout, l->error);
			putchar('\n');
		}
	}
	cJSON_Delete(about);
	free(l);
	return 0;
}

static int print_step(void *ctx, const struct store_step *v)
{
	cJSON *o = v->data ? json_parse(v->data, strlen(v->data), NULL) : NULL;
	char when[32];

	(void)ctx;
	if (!o)
		o = cJSON_CreateObject();
	store_utc_time(when, sizeof(when), v->time_us);
	cJSON_AddStringToObject(o, "event", v->kind);
	cJSON_AddNumberToObject(o, "step", (double)v->step);
	cJSON_AddStringToObject(o, "time", when);
	json_add_figure(o, "loss", v->loss);
	json_add_figure(o, "lr", v->lr);
	json_add_figure(o, "grad_norm", v->norm);
	json_add_figure(o, "tokens", v->tokens >= 0 ? (double)v->tokens : NAN);
	json_add_figure(o, "seconds", v->seconds);
	show_json_line(o);
	cJSON_Delete(o);
	return 0;
}

static int run_runs(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		DB_LONG_OPTIONS,
		{ "limit", required_argument, NULL, DB_LIMIT },
		{ NULL, 0, NULL, 0 },
	};
	struct work w = { 0 };
	struct err e = { 0 };
	struct train_run run = { 0 };
	int64_t id = 0;
	int opt, rc = EXIT_DONE;

	db_flags_init(&w.f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int f = db_flag(&w.f, self, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 0)
			return app_bad_flag(self, opt, argv);
	}
	if (argc - optind > 1)
		return app_usage(self, "one run at most was expected");
	if (argc > optind && train_run_number(argv[optind], &id) < 0)
		return EXIT_USAGE;
	w.store = db_open(&w.f, STORE_READ, &e);
	if (!w.store)
		return app_fail(&e);
	if ((id && train_run_read(w.store, id, &run, &e) < 0) ||
	    store_runs(w.store, id, w.f.limit > 0 ? w.f.limit : INT_MAX, see_run, &w, &e) < 0 ||
	    (id && w.f.app.json && store_steps(w.store, id, 0, INT_MAX, print_step, NULL, &e) < 0))
		rc = app_fail(&e);
	else if (!w.any && !w.f.app.json && !w.f.app.quiet)
		puts("no run yet: 'cadforge train sft' begins one");
	train_run_release(&run);
	store_close(w.store);
	return rc;
}

const struct cmd cmd_runs = {
	.name = "runs",
	.usage = "runs [RUN]",
	.summary = "trainings and other work over many episodes, and where they stand",
	.help = "Newest first: kind, when it began, its state (running, done, stopped, failed, alarm: a\n"
		"guard stopped it, or interrupted: its process is gone; 'cadforge train resume RUN' goes\n"
		"on), step, loss (of train grpo reward and build rate) on what is learnt and on what is\n"
		"held out, tokens a second, the newest checkpoint. With RUN that one; with --json then\n"
		"also all that it told, an object a line.\n\n"
		"  --limit N         at most so many\n" DB_HELP
		"\nJSON: {run, kind, state, started, step, steps, loss, eval_loss, reward, build_rate,\n"
		"held_build_rate, tokens_per_s, model, out, checkpoint, error} a line.\n",
	.run = run_runs,
};
