/*
 * cmd_demo.c - train demo: the demonstration model from nothing, with one command.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/app.h"
#include "src/demo.h"

enum flag {
	FLAG_TOKENS = APP_FLAGS_END,
	FLAG_MINUTES,
	FLAG_THREADS,
	FLAG_JOBS,
	FLAG_DB,
};

static void print_help(const struct cmd *self)
{
	(void)self;
	fputs("usage: cadforge train demo --out DIR [--tokens N | --minutes N] [--stage S] [--set NAME=VALUE]...\n\n"
	      "The demonstration model from nothing: programs are made, built and scored, a tokenizer and\n"
	      "a base are trained on them, then an adapter; both are put to the test. Stages: corpus,\n"
	      "tokenizer, base, sft, evaluate, report. One that is done is passed over; after ^C or a kill\n"
	      "the same command goes on. What is to be installed is then in DIR/demo.\n\n"
	      "  --out DIR         the folder of all of it; made when it is not there\n"
	      "  --tokens N        tokens fed to both trainings together, shared as base_tokens and\n"
	      "                    sft_tokens are\n"
	      "  --minutes N       as many as fit into so many minutes, by a short measurement first\n" STAGES_HELP
	      "  --threads N       of the trainings and of the answers; all by default\n"
	      "  --jobs N          programs built at once (as many as there are cores)\n"
	      "  --db FILE         the database that keeps the trainings' steps (CADFORGE_DB, else the\n"
	      "                    user's)\n",
	      stdout);
	fputs(app_limits_help, stdout);
	stages_print_recipe(&demo_plan);
}

struct given {
	struct demo demo;
	struct app app;
	const char *db;
};

/* Both trainings keep their shares. */
static int set_tokens(struct given *g, const char *arg)
{
	struct demo_recipe *r = &g->demo.recipe;
	double n, share = r->base_tokens / (r->base_tokens + r->sft_tokens);

	if (app_number("--tokens", arg, 2000, 1e10, &n) < 0)
		return -1;
	r->base_tokens = round(n * share);
	r->sft_tokens = round(n - r->base_tokens);
	stages_given(&g->demo.stages, "base_tokens");
	stages_given(&g->demo.stages, "sft_tokens");
	return 0;
}

static int take(struct given *g, int opt)
{
	struct demo *d = &g->demo;
	int f;

	switch (opt) {
	case FLAG_TOKENS:
		return set_tokens(g, optarg);
	case FLAG_MINUTES:
		return app_number("--minutes", optarg, 0.01, 1e5, &d->minutes);
	case FLAG_THREADS:
		return app_whole("--threads", optarg, 1, 1024, &d->threads);
	case FLAG_JOBS:
		return app_whole("--jobs", optarg, 1, 64, &g->app.jobs);
	case FLAG_DB:
		g->db = optarg;
		return 0;
	default:
		f = stages_flag(&d->stages, opt, optarg);
		return f > 0 ? 0 : f < 0 ? -1 : 1;
	}
}

static int make_all(struct given *g, struct err *e)
{
	char path[PATH_MAX];
	int rc = -1;

	if (demo_open(&g->demo, e) < 0)
		return -1;
	if (store_path(path, sizeof(path), g->db, e) < 0 ||
	    !(g->demo.store = store_open(path, STORE_WRITE, NULL, e)))
		goto out;
	rc = stages_make(&g->demo.stages, e);
	if (rc == 0 && g->demo.stages.until == DEMO_REPORT && !g->app.quiet)
		printf("%s/demo/README.md\n", g->demo.stages.out);
out:
	store_close(g->demo.store);
	demo_close(&g->demo);
	return rc;
}

int cmd_train_demo(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		STAGES_LONG_OPTIONS,
		{ "tokens", required_argument, NULL, FLAG_TOKENS },
		{ "minutes", required_argument, NULL, FLAG_MINUTES },
		{ "threads", required_argument, NULL, FLAG_THREADS },
		{ "jobs", required_argument, NULL, FLAG_JOBS },
		{ "db", required_argument, NULL, FLAG_DB },
		{ NULL, 0, NULL, 0 },
	};
	struct given *g = calloc(1, sizeof(*g));
	struct err e = { 0 };
	int opt, rc = EXIT_USAGE;

	if (!g)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	app_init(&g->app);
	stages_begin(&g->demo.stages, &g->app, &demo_plan, &g->demo.recipe, &g->demo);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		if (opt == APP_HELP) {
			print_help(self);
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
	if (!g->demo.stages.out[0]) {
		rc = app_usage(self,
		               "train demo --out DIR: the folder that it is made in is expected");
		goto out;
	}
	app_find(&g->app);
	app_catch_interrupt();
	rc = make_all(g, &e) == 0 ? EXIT_DONE : app_fail(&e);
out:
	stages_close(&g->demo.stages);
	free(g);
	return rc;
}
