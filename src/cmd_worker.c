/*
 * cmd_worker.c - a farm's worker, and the table of all workers of a farm.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/app.h"
#include "src/show.h"
#include "src/worker.h"

struct telling {
	const struct app *app;
	const char *shown; /* the queue's address, without a password */
};

static void print_line(cJSON *o)
{
	struct buf line = { 0 };

	json_print(&line, o);
	puts(buf_str(&line));
	fflush(stdout);
	buf_release(&line);
	cJSON_Delete(o);
}

static void on_joined(void *ctx, const char *name, const char *versions)
{
	const struct telling *t = ctx;

	if (!t->app->quiet)
		app_tell("worker %s: takes jobs from %s, %d at once; %s", name, t->shown,
		         t->app->jobs, versions);
	if (t->app->json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "worker", name);
		cJSON_AddStringToObject(o, "queue", t->shown);
		cJSON_AddNumberToObject(o, "jobs", t->app->jobs);
		cJSON_AddStringToObject(o, "versions", versions);
		print_line(o);
	}
}

static void on_draws(void *ctx, const char *name, const char *engine)
{
	const struct telling *t = ctx;

	if (!t->app->quiet)
		app_tell("worker %s: draws answers with %s", name, engine);
	if (t->app->json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "worker", name);
		cJSON_AddStringToObject(o, "queue", t->shown);
		cJSON_AddStringToObject(o, "engine", engine);
		print_line(o);
	}
}

static void on_done(void *ctx, const struct worker_job *j)
{
	const struct telling *t = ctx;

	if (t->app->json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "job", j->hash);
		if (!j->drawn) {
			cJSON_AddBoolToObject(o, "built", j->built);
			json_add_figure(o, "total", j->total);
		} else {
			cJSON_AddTrueToObject(o, "drawn");
		}
		json_add_figure(o, "wait_s", j->wait_s);
		json_add_figure(o, "work_s", j->work_s);
		cJSON_AddBoolToObject(o, "taken_over", j->taken_over);
		json_add_text(o, "error", j->why ? j->why->text : NULL);
		print_line(o);
	} else if (j->why) {
		app_tell("job %.12s: %s", j->hash, j->why->text);
	}
}

static void on_trouble(void *ctx, const char *what)
{
	const struct telling *t = ctx;

	if (!t->app->quiet)
		app_tell("%s", *what ? what : "the queue is there again");
}

/* ---- the table ---- */

static cJSON *row_json(const struct queue_row *r)
{
	static const char *const parts[QUEUE_PARTS][2] = { { "wait_median_s", "wait_p95_s" },
		                                           { "build_median_s", "build_p95_s" },
		                                           { "score_median_s", "score_p95_s" },
		                                           { "median_s", "p95_s" } };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "worker", r->name);
	cJSON_AddStringToObject(o, "host", r->host);
	cJSON_AddNumberToObject(o, "pid", r->pid);
	cJSON_AddStringToObject(o, "state", queue_state_name(queue_row_state(r)));
	json_add_text(o, "model", r->model[0] ? r->model : NULL);
	cJSON_AddNumberToObject(o, "at_once", r->at_once);
	cJSON_AddNumberToObject(o, "under_way", r->under_way);
	cJSON_AddNumberToObject(o, "jobs", (double)r->jobs);
	cJSON_AddNumberToObject(o, "built", (double)r->built);
	cJSON_AddNumberToObject(o, "failed", (double)r->failed);
	cJSON_AddNumberToObject(o, "lost", (double)r->lost);
	cJSON_AddNumberToObject(o, "taken_over", (double)r->taken_over);
	cJSON_AddNumberToObject(o, "poison", (double)r->poison);
	cJSON_AddNumberToObject(o, "bytes", (double)r->bytes);
	json_add_figure(o, "since_s", r->since_s);
	json_add_figure(o, "seen_s", r->seen_s);
	json_add_figure(o, "per_s", r->per_s);
	json_add_figure(o, "work_s", r->work_s);
	json_add_figure(o, "cpu_s", r->cpu_s);
	json_add_figure(o, "wait_s", r->wait_s);
	for (int i = 0; i < QUEUE_PARTS; i++) {
		json_add_figure(o, parts[i][0], r->took[i].median_s);
		json_add_figure(o, parts[i][1], r->took[i].p95_s);
	}
	json_add_figure(o, "slowest_s", r->slowest_s);
	cJSON_AddStringToObject(o, "versions", r->versions);
	return o;
}

static void print_row(const struct queue_row *r)
{
	const double figure[] = { r->per_s,
		                  r->took[QUEUE_WAIT].median_s,
		                  r->took[QUEUE_BUILD].median_s,
		                  r->took[QUEUE_SCORE].median_s,
		                  r->took[QUEUE_WORK].median_s,
		                  r->took[QUEUE_WORK].p95_s,
		                  r->jobs > 0 ? r->cpu_s / (double)r->jobs : NAN };

	printf("%-32s %-6s %7lld %7lld %6lld %6lld %6lld", r->name,
	       queue_state_name(queue_row_state(r)), r->jobs, r->built, r->failed, r->taken_over,
	       r->poison);
	for (size_t i = 0; i < sizeof(figure) / sizeof(*figure); i++)
		printf(isfinite(figure[i]) ? " %8.3g" : "        -", figure[i]);
	printf("  %s\n", r->model);
}

static int list(const struct app *app, const struct redis_address *a, struct err *e)
{
	struct queue_table t = { 0 };

	if (queue_list(&t, a, e) < 0)
		return -1;
	if (!app->json) {
		printf("%s: %d live, %lld jobs waiting, %lld under way", a->shown, t.live,
		       t.waiting, t.under_way);
		if (isfinite(t.oldest_s))
			printf(", the oldest for %.3g s", t.oldest_s);
		putchar('\n');
		if (t.versions[0])
			printf("made of %s\n", t.versions);
		if (t.n)
			printf("%-32s %-6s %7s %7s %6s %6s %6s %8s %8s %8s %8s %8s %8s %8s  %s\n",
			       "worker", "state", "jobs", "built", "failed", "taken", "poison",
			       "jobs/s", "wait s", "build s", "score s", "median s", "95% s",
			       "cpu s/job", "model");
	}
	for (int i = 0; i < t.n; i++)
		if (app->json)
			print_line(row_json(&t.row[i]));
		else
			print_row(&t.row[i]);
	queue_table_release(&t);
	return 0;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, APP_JSON },
		{ "quiet", no_argument, NULL, APP_QUIET },
		{ "help", no_argument, NULL, APP_HELP },
		{ "python-env", required_argument, NULL, APP_PYTHON_ENV },
		APP_QUEUE_OPTION,
		MODEL_ONLY_OPTIONS,
		{ "slots", required_argument, NULL, 's' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct redis_address address;
	struct model_flags model;
	struct app app;
	struct err e = { 0 };
	bool table = false;
	int opt, slots = 0;

	app_init(&app);
	model_flags_init(&model);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":j:", options, NULL)) >= 0) {
		int f = app_flag(&app, self, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 0)
			f = model_flag(&model, opt, optarg);
		if (f < 0)
			return EXIT_USAGE;
		if (f == 1)
			continue;
		if (opt == 'l')
			table = true;
		else if (opt != 'j' && opt != 's')
			return app_bad_flag(self, opt, argv);
		else if (opt == 'j' ? app_whole("--jobs", optarg, 1, 64, &app.jobs) < 0
		                    : app_whole("--slots", optarg, 1, 256, &slots) < 0)
			return EXIT_USAGE;
	}
	if (optind < argc)
		return app_usage(self, "worker takes flags alone, got '%.80s'", argv[optind]);
	if (!app.queue)
		return app_usage(self, "--queue redis://HOST is expected");
	if (model.far)
		return app_usage(self, "--backend queue: a worker's model is its own, auto, cuda "
		                       "or cpu was expected");
	if (slots && !model.given)
		return app_usage(self, "--slots is of a model: --model DIR is expected");
	if (redis_address_parse(&address, app.queue, &e) < 0)
		return app_fail(&e);
	app_find(&app);
	app_catch_interrupt();
	if (model.given && !table && model_flags_finish(&model, &app, &e) < 0)
		return app_fail(&e);
	const struct telling t = { &app, address.shown };
	const struct worker_options o = {
		.app = &app,
		.address = &address,
		.model = model.given ? &model : NULL,
		.slots = slots,
		.draws = on_draws,
		.ctx = (void *)(uintptr_t)&t,
		.joined = on_joined,
		.done = on_done,
		.trouble = on_trouble,
	};
	if ((table ? list(&app, &address, &e) : worker_run(&o, &e)) < 0)
		return app_fail(&e);
	return EXIT_DONE;
}

const struct cmd cmd_worker = {
	.name = "worker",
	.usage = "worker --queue redis://HOST [-j N] [--model DIR] [--list] [--json]",
	.summary = "build, score and answer for other machines; the table of workers",
	.help = "  --queue URL       where jobs are taken from: redis://[USER:PASSWORD@]HOST[:PORT][/DB];\n"
		"                    rediss:// with TLS, then also ?ca=FILE&cert=FILE&key=FILE; the\n"
		"                    password may be in $CADFORGE_QUEUE_PASSWORD instead\n"
		"  -j, --jobs N      jobs at once (default: the number of cores)\n"
		"  --model DIR       draw answers with this model as well, for run, fork, eval and train\n"
		"                    grpo with --queue; no others take it than those who ask for this\n"
		"                    very model: its hash, --backend, --dtype and --context are looked at\n"
		"  --adapter DIR     an adapter that need not travel; others come with what is asked\n"
		"  --backend B, --dtype D, --threads N, --context N   of the model: see run\n"
		"  --slots N         requests the model works on at once (4 on a CPU, 32 on a GPU)\n"
		"  --list            only show the workers: how many jobs, what they took, what they cost\n"
		"  --python-env DIR  virtual environment that holds CadQuery\n"
		"  --json            a line a job; with --list a line a worker\n"
		"  --quiet           nothing but errors\n"
		"  --help            this text\n"
		"The first SIGINT or SIGTERM ends it when what is under way is finished.\n",
	.run = run,
};
