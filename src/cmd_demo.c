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
	FLAG_OUT = APP_FLAGS_END,
	FLAG_STAGE,
	FLAG_UNTIL,
	FLAG_SEED,
	FLAG_TOKENS,
	FLAG_MINUTES,
	FLAG_SET,
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
	      "  --minutes N       as many as fit into so many minutes, by a short measurement first\n"
	      "  --seed N          of all that is drawn (3407)\n"
	      "  --stage S         make S anew, and what comes after it\n"
	      "  --until S         no further than S\n"
	      "  --set NAME=VALUE  another value of the recipe; may be repeated\n"
	      "  --threads N       of the trainings and of the answers; all by default\n"
	      "  --jobs N          programs built at once (as many as there are cores)\n"
	      "  --db FILE         the database that keeps the trainings' steps (CADFORGE_DB, else the\n"
	      "                    user's)\n",
	      stdout);
	fputs(app_limits_help, stdout);
	fputs("\nThe recipe:\n", stdout);
	for (int i = 0; i < demo_settings_count; i++)
		printf("  %-16s %-8g %s\n", demo_settings[i].name, demo_settings[i].usual,
		       demo_settings[i].what);
}

static int stage_of(const char *flag, const char *word, enum demo_stage *out)
{
	for (int i = 0; i < DEMO_STAGES; i++)
		if (strcmp(word, demo_stage_name((enum demo_stage)i)) == 0) {
			*out = (enum demo_stage)i;
			return 0;
		}
	app_tell("%s: corpus, tokenizer, base, sft, evaluate or report was expected, got '%.40s'",
	         flag, word);
	return -1;
}

struct given {
	struct demo demo;
	struct app app;
	const char *db;
	enum demo_stage again, until;
	struct buf names; /* of the recipe's values that were given */
};

static void note(struct given *g, const char *text)
{
	buf_printf(&g->names, "%s%.*s", g->names.len ? "," : "", (int)strcspn(text, "="), text);
}

static int set(struct given *g, const char *text)
{
	struct err e;

	if (demo_recipe_set(&g->demo.recipe, text, &e) < 0) {
		app_tell("%s", e.text);
		return -1;
	}
	note(g, text);
	return 0;
}

/* Both trainings keep their shares. */
static int set_tokens(struct given *g, const char *arg)
{
	struct demo_recipe *r = &g->demo.recipe;
	double n, share = r->base_tokens / (r->base_tokens + r->sft_tokens);

	if (app_number("--tokens", arg, 2000, 1e10, &n) < 0)
		return -1;
	r->base_tokens = round(n * share);
	r->sft_tokens = round(n - r->base_tokens);
	note(g, "base_tokens");
	note(g, "sft_tokens");
	return 0;
}

static int take(struct given *g, int opt)
{
	struct demo *d = &g->demo;
	char text[80];

	switch (opt) {
	case FLAG_OUT:
		snprintf(d->out, sizeof(d->out), "%s", optarg);
		return 0;
	case FLAG_STAGE:
		return stage_of("--stage", optarg, &g->again);
	case FLAG_UNTIL:
		return stage_of("--until", optarg, &g->until);
	case FLAG_SEED:
		snprintf(text, sizeof(text), "seed=%.60s", optarg);
		return set(g, text);
	case FLAG_TOKENS:
		return set_tokens(g, optarg);
	case FLAG_MINUTES:
		return app_number("--minutes", optarg, 0.01, 1e5, &d->minutes);
	case FLAG_SET:
		return set(g, optarg);
	case FLAG_THREADS:
		return app_whole("--threads", optarg, 1, 1024, &d->threads);
	case FLAG_JOBS:
		return app_whole("--jobs", optarg, 1, 64, &g->app.jobs);
	case FLAG_DB:
		g->db = optarg;
		return 0;
	default:
		return 1;
	}
}

static int make_all(struct given *g, struct err *e)
{
	char path[PATH_MAX];
	int rc = -1;

	if (demo_open(&g->demo, buf_str(&g->names), g->again, e) < 0)
		return -1;
	if (store_path(path, sizeof(path), g->db, e) < 0 ||
	    !(g->demo.store = store_open(path, STORE_WRITE, NULL, e)))
		goto out;
	rc = 0;
	for (int s = 0; s <= (int)g->until && rc == 0; s++)
		rc = demo_make(&g->demo, (enum demo_stage)s, e);
	if (rc == 0 && g->until == DEMO_REPORT && !g->app.quiet)
		printf("%s/demo/README.md\n", g->demo.out);
out:
	store_close(g->demo.store);
	demo_close(&g->demo);
	return rc;
}

int cmd_train_demo(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		{ "out", required_argument, NULL, FLAG_OUT },
		{ "stage", required_argument, NULL, FLAG_STAGE },
		{ "until", required_argument, NULL, FLAG_UNTIL },
		{ "seed", required_argument, NULL, FLAG_SEED },
		{ "tokens", required_argument, NULL, FLAG_TOKENS },
		{ "minutes", required_argument, NULL, FLAG_MINUTES },
		{ "set", required_argument, NULL, FLAG_SET },
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
	demo_recipe_default(&g->demo.recipe);
	g->demo.app = &g->app;
	g->again = DEMO_STAGES;
	g->until = DEMO_REPORT;
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
	if (!g->demo.out[0]) {
		rc = app_usage(self,
		               "train demo --out DIR: the folder that it is made in is expected");
		goto out;
	}
	app_find(&g->app);
	app_catch_interrupt();
	rc = make_all(g, &e) == 0 ? EXIT_DONE : app_fail(&e);
out:
	buf_release(&g->names);
	free(g);
	return rc;
}
