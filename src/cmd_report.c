/*
 * cmd_report.c - what came of trainings, and of others' logs, as a page (report).
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd_train.h"
#include "src/db.h"
#include "src/evaluation.h"
#include "src/report.h"
#include "src/scoring.h"
#include "src/show.h"

struct work {
	struct db_flags f;
	struct scoring *scoring; /* opened when the first picture is asked for */
	bool no_pictures;        /* or it could not be: told once */
	int64_t run[REPORT_RUNS_MAX];
	const char *log[REPORT_LOGS_MAX];
	int n_runs, n_logs;
};

/* A program is built once more when its picture was not kept: runs keep no pictures of their
 * answers, which are many. */
static bool draw(void *ctx, const char *task, const char *program, size_t len, struct buf *png)
{
	struct work *w = ctx;
	const struct scoring_input in = { .text = program, .len = len, .rule = EXTRACT_FILE };
	struct scored s = { .total = NAN };
	struct err e = { 0 };
	(void)task;

	if (w->no_pictures || app_interrupted())
		return false;
	if (!w->scoring) {
		const struct scoring_options o = { .app = &w->f.app,
			                           .reference = "none",
			                           .rebuilds = 0,
			                           .artifacts = SCORING_VIEWS };
		w->scoring = scoring_open(&o, &e);
	}
	if (w->scoring && scoring_run(w->scoring, &in, &s, &e) == 0)
		for (int i = 0; i < s.n_pictures && png->len == 0; i++)
			if (strcmp(s.pictures[i].name, "isometric") == 0)
				buf_add(png, s.pictures[i].png.data, s.pictures[i].png.len);
	if (e.kind) {
		w->no_pictures = true;
		app_tell("no pictures: %s", e.text);
	}
	scored_release(&s);
	return png->len > 0;
}

static int write_it(struct work *w, const char *out, struct err *e)
{
	const struct report_options o = {
		.out = out, .evaluations = evaluation_page, .picture = draw, .ctx = w
	};
	struct store *s;
	int rc;

	if (w->n_logs)
		return report_logs(w->log, w->n_logs, &o, e);
	s = db_open(&w->f, STORE_READ, e);
	rc = s ? report_write(s, w->run, w->n_runs, &o, e) : -1;
	store_close(s);
	return rc;
}

static int run_report(const struct cmd *self, int argc, char **argv)
{
	enum { OUT = DB_FLAGS_END, LOG };
	static const struct option options[] = {
		DB_LONG_OPTIONS,
		{ "out", required_argument, NULL, OUT },
		{ "log", required_argument, NULL, LOG },
		{ NULL, 0, NULL, 0 },
	};
	struct work w = { 0 };
	struct err e = { 0 };
	char made[64];
	const char *out = NULL;
	int opt, rc;

	db_flags_init(&w.f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = opt < DB_FLAGS_END ? db_flag(&w.f, self, opt, optarg) : 0;
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 0 && opt != OUT && opt != LOG)
			return app_bad_flag(self, opt, argv);
		if (rc == 0 && opt == OUT)
			out = optarg;
		if (rc == 0 && opt == LOG && w.n_logs == REPORT_LOGS_MAX)
			return app_usage(self, "at most %d logs", REPORT_LOGS_MAX);
		if (rc == 0 && opt == LOG)
			w.log[w.n_logs++] = optarg;
	}
	for (; optind < argc; optind++) {
		/* "--log A B": a log too */
		if (w.n_logs) {
			if (w.n_logs == REPORT_LOGS_MAX)
				return app_usage(self, "at most %d logs", REPORT_LOGS_MAX);
			w.log[w.n_logs++] = argv[optind];
			continue;
		}
		if (w.n_runs == REPORT_RUNS_MAX)
			return app_usage(self, "at most %d runs", REPORT_RUNS_MAX);
		if (train_run_number(argv[optind], &w.run[w.n_runs++]) < 0)
			return EXIT_USAGE;
	}
	if (!w.n_runs && !w.n_logs)
		return app_usage(self, "the number of a run was expected, or --log FILE; 'cadforge "
		                       "runs' lists runs");
	if (!out) {
		snprintf(made, sizeof(made), w.n_logs ? "report-log" : "report-%lld",
		         (long long)w.run[0]);
		out = made;
	}
	app_find(&w.f.app);
	app_catch_interrupt();
	rc = write_it(&w, out, &e);
	scoring_close(w.scoring);
	if (rc < 0)
		return app_fail(&e);
	if (w.f.app.json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "out", out);
		cJSON_AddStringToObject(o, "page", "README.md");
		cJSON_AddStringToObject(o, "html", "index.html");
		show_json_line(o);
		cJSON_Delete(o);
	} else if (!w.f.app.quiet) {
		printf("%s/README.md\n%s/index.html\n", out, out);
	}
	return EXIT_DONE;
}

const struct cmd cmd_report = {
	.name = "report",
	.usage = "report (RUN... | --log FILE...) [--out DIR]",
	.summary = "a page about trainings: curves, data, completions with pictures",
	.help = "Writes DIR/README.md (Markdown) with its plots (SVG) and pictures beside it, and the\n"
		"same as one file, DIR/index.html. Of a training on rows: how the run was set, what it\n"
		"learnt from and what was left out, loss on training and held-out samples, learning\n"
		"rate, gradient norm, throughput, build rate over the steps, sample completions. Of\n"
		"reinforcement learning: reward and build rate with intervals, alarms, failure classes\n"
		"over time, code health, weights of the curriculum and what its repairs came to,\n"
		"groups, the policy's figures, time, the best and the worst completions; with\n"
		"steps-RUN.csv, answers-RUN.csv and data.json, the rows that every figure is made of.\n"
		"Of evaluations: the page of eval, in DIR/evaluations beside other runs.\n"
		"Several runs stand in the same plots, for comparing.\n\n"
		"  --log FILE        not a run of ours but another trainer's log, several times for\n"
		"                    several: completions as TRL logs them (JSON lines with prompt,\n"
		"                    completion, rewards, advantage, step), the published runs' debug\n"
		"                    rows (reward_call, score, cadforge_build, ...), or a\n"
		"                    trainer_state.json. What a log lacks is said to be missing\n"
		"  --out DIR         the folder (report-RUN, report-log): new, empty, or an earlier\n"
		"                    report's\n" DB_HELP "\nJSON: {out, page, html}.\n",
	.run = run_report,
};
