/*
 * cmd_experiment.c - train experiment: the published experiment in miniature, with one command.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/app.h"
#include "src/experiment.h"

enum flag { FLAG_THREADS = APP_FLAGS_END, FLAG_JOBS };

static void print_help(void)
{
	fputs("usage: cadforge train experiment --out DIR [--stage S] [--set NAME=VALUE]...\n\n"
	      "The published experiment in miniature, with the demonstration model on the CPU: a short\n"
	      "training on programs, then reinforcement learning from there under a dense and under a\n"
	      "build-gated reward, then repairs aimed at one failure class; all of it tested on prompts\n"
	      "that nobody learnt from. Stages: tasks, sft, dense, strict, repair, evaluate, report. One\n"
	      "that is done is passed over; after ^C or a kill the same command goes on. The page is then\n"
	      "DIR/report/README.md; every step and answer of the runs is in DIR/seed-N.db.\n\n"
	      "  --out DIR         the folder of all of it; made when it is not there\n",
	      stdout);
	fputs(STAGES_HELP
	      "  --threads N       of trainings and answers; all by default\n"
	      "  --jobs N          programs built at once (as many as there are cores)\n"
	      "  --queue URL       workers on other machines build and score: see worker\n",
	      stdout);
	fputs(app_limits_help, stdout);
	stages_print_recipe(&experiment_plan);
}

struct given {
	struct experiment experiment;
	struct app app;
};

static int take(struct given *g, int opt)
{
	int f;

	switch (opt) {
	case FLAG_THREADS:
		return app_whole("--threads", optarg, 1, 1024, &g->experiment.threads);
	case FLAG_JOBS:
		return app_whole("--jobs", optarg, 1, 64, &g->app.jobs);
	default:
		f = stages_flag(&g->experiment.stages, opt, optarg);
		return f > 0 ? 0 : f < 0 ? -1 : 1;
	}
}

static int make_all(struct given *g, struct err *e)
{
	struct experiment *x = &g->experiment;

	if (experiment_open(x, e) < 0 || stages_make(&x->stages, e) < 0)
		return -1;
	if (x->stages.until == EXPERIMENT_REPORT && !g->app.quiet)
		printf("%s/report/README.md\n", x->stages.out);
	return 0;
}

int cmd_train_experiment(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		APP_QUEUE_OPTION,
		STAGES_LONG_OPTIONS,
		{ "threads", required_argument, NULL, FLAG_THREADS },
		{ "jobs", required_argument, NULL, FLAG_JOBS },
		{ NULL, 0, NULL, 0 },
	};
	struct given *g = calloc(1, sizeof(*g));
	struct err e = { 0 };
	int opt, rc = EXIT_USAGE;

	if (!g)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	app_init(&g->app);
	stages_begin(&g->experiment.stages, &g->app, &experiment_plan, &g->experiment.recipe,
	             &g->experiment);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		if (opt == APP_HELP) {
			print_help();
			rc = EXIT_DONE;
			goto out;
		}
		int f = app_flag(&g->app, self, opt, optarg);
		if (f < 0)
			goto out;
		if (f == 1)
			continue;
		if ((f = take(g, opt)) != 0) {
			rc = f > 0 ? app_bad_flag(self, opt, argv) : EXIT_USAGE;
			goto out;
		}
	}
	if (optind < argc) {
		rc = app_usage(self, "'%.40s': a flag was expected", argv[optind]);
		goto out;
	}
	if (!g->experiment.stages.out[0]) {
		rc = app_usage(
			self,
			"train experiment --out DIR: the folder that it is made in is expected");
		goto out;
	}
	app_find(&g->app);
	app_catch_interrupt();
	rc = make_all(g, &e) == 0 ? EXIT_DONE : app_fail(&e);
out:
	experiment_close(&g->experiment);
	free(g);
	return rc;
}
