/*
 * cmd_verify.c - episodes built and scored again, and set against what is stored.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/db.h"
#include "src/packs.h"
#include "src/refs.h"
#include "src/show.h"
#include "src/verify.h"

struct verifying {
	const struct app *app;
	int same, differs, unable;
	bool bar;
};

static void clear_bar(struct verifying *w)
{
	if (w->bar)
		fputs("\r\x1b[K", stderr);
	w->bar = false;
}

static void show_bar(struct verifying *w)
{
	if (w->app->quiet || w->app->json || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\x1b[K%d turns verified", w->same + w->differs + w->unable);
	fflush(stderr);
	w->bar = true;
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted() || app_output_lost();
}

/* A value of a difference, in a few words. */
static void print_value(const cJSON *v)
{
	struct buf text = { 0 };

	if (cJSON_IsString(v))
		buf_adds(&text, v->valuestring);
	else if (cJSON_IsArray(v))
		buf_adds(&text, "a list");
	else if (cJSON_IsObject(v))
		buf_adds(&text, "an object");
	else
		json_print(&text, v);
	db_print_line(stdout, buf_str(&text));
	buf_release(&text);
}

static void print_one(const struct verified *v)
{
	const cJSON *d;

	printf("%" PRId64 ".%d  %-7s ", v->episode, v->turn, verdict_name(v->verdict));
	if (v->verdict == VERIFY_UNABLE)
		db_print_line(stdout, v->why);
	else if (isnan(v->stored_total))
		printf("no total");
	else
		printf("total %.4f", v->stored_total);
	if (v->verdict != VERIFY_UNABLE)
		printf(", score of %zu bytes (SHA-256 %.12s), %d artifact%s", v->stored_bytes,
		       v->stored_hash, v->artifacts, v->artifacts == 1 ? "" : "s");
	putchar('\n');
	cJSON_ArrayForEach(d, v->differences)
	{
		printf("      %s: stored ", json_string_or(d, "what", ""));
		print_value(cJSON_GetObjectItemCaseSensitive(d, "stored"));
		fputs(", now ", stdout);
		print_value(cJSON_GetObjectItemCaseSensitive(d, "now"));
		putchar('\n');
	}
	if (v->n_differences > VERIFY_TOLD)
		printf("      and %d more\n", v->n_differences - VERIFY_TOLD);
	if (v->remark && v->verdict == VERIFY_DIFFERS) {
		fputs("      -> ", stdout);
		db_print_line(stdout, v->remark);
		putchar('\n');
	}
}

static void print_json(const struct verified *v)
{
	cJSON *o = cJSON_CreateObject();
	bool scored = v->verdict != VERIFY_UNABLE;

	cJSON_AddNumberToObject(o, "episode", (double)v->episode);
	cJSON_AddNumberToObject(o, "turn", v->turn);
	cJSON_AddStringToObject(o, "verdict", verdict_name(v->verdict));
	json_add_text(o, "why", v->why);
	json_add_text(o, "remark", v->remark);
	json_add_figure(o, "total", v->stored_total);
	json_add_figure(o, "total_now", v->now_total);
	json_add_figure(o, "bytes", scored ? (double)v->stored_bytes : NAN);
	json_add_text(o, "sha256", *v->stored_hash ? v->stored_hash : NULL);
	json_add_text(o, "sha256_now", *v->now_hash ? v->now_hash : NULL);
	cJSON_AddNumberToObject(o, "artifacts", v->artifacts);
	cJSON_AddNumberToObject(o, "contents", v->contents);
	cJSON_AddNumberToObject(o, "n_differences", v->n_differences);
	cJSON_AddItemToObject(o, "differences",
	                      v->differences ? cJSON_Duplicate(v->differences, true)
	                                     : cJSON_CreateArray());
	show_json_line(o);
	cJSON_Delete(o);
}

static void on_one(void *ctx, const struct verified *v)
{
	struct verifying *w = ctx;

	clear_bar(w);
	w->same += v->verdict == VERIFY_SAME;
	w->differs += v->verdict == VERIFY_DIFFERS;
	w->unable += v->verdict == VERIFY_UNABLE;
	if (w->app->json)
		print_json(v);
	else if (!w->app->quiet || v->verdict != VERIFY_SAME)
		print_one(v);
	fflush(stdout);
	show_bar(w);
}

static int run(const struct cmd *self, int argc, char **argv)
{
	enum { DB = APP_FLAGS_END, JOBS };
	static const struct option options[] = { APP_LONG_OPTIONS,
		                                 { "db", required_argument, NULL, DB },
		                                 { "jobs", required_argument, NULL, JOBS },
		                                 { NULL, 0, NULL, 0 } };
	struct db_flags f;
	struct task_set tasks = { 0 };
	struct verifying w = { .app = &f.app };
	struct refs refs = { 0 };
	struct verify *v = NULL;
	struct err e = { 0 };
	int opt, rc = EXIT_USAGE;

	db_flags_init(&f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":j:", options, NULL)) >= 0) {
		rc = app_flag(&f.app, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt == DB)
			f.db = optarg;
		else if (opt != JOBS && opt != 'j')
			return app_bad_flag(self, opt, argv);
		else if (app_whole("--jobs", optarg, 1, 64, &f.app.jobs) < 0)
			return EXIT_USAGE;
	}
	if (optind == argc)
		return app_usage(
			self, "an episode (12), a turn (12.3), a range (3-9) or all was expected");
	app_find(&f.app);
	struct store *s = db_open(&f, STORE_READ, &e);
	if (!s)
		return app_fail(&e);
	for (int i = optind; i < argc; i++)
		if (refs_add(&refs, s, argv[i], &e) < 0)
			goto fail;
	const struct verify_options o = { .app = &f.app,
		                          .store = s,
		                          .tasks = &tasks,
		                          .ctx = &w,
		                          .tick = on_tick,
		                          .one = on_one };
	if (packs_load(&tasks, &f.app, &e) < 0 || !(v = verify_open(&o, &e)))
		goto fail;
	app_catch_interrupt();
	for (int i = 0; i < refs.n; i++)
		if (verify_episode(v, refs.v[i].episode, refs.v[i].turn, &e) < 0)
			goto fail;
	clear_bar(&w);
	if (!f.app.quiet && !f.app.json)
		printf("%d turn%s: %d the same, %d differ, %d could not be verified\n",
		       w.same + w.differs + w.unable, w.same + w.differs + w.unable == 1 ? "" : "s",
		       w.same, w.differs, w.unable);
	rc = w.differs || w.unable ? EXIT_NO : EXIT_DONE;
	goto out;
fail:
	clear_bar(&w);
	rc = app_fail(&e);
out:
	verify_close(v);
	refs_release(&refs);
	task_set_release(&tasks);
	store_close(s);
	return rc;
}

const struct cmd cmd_verify = {
	.name = "verify",
	.usage = "verify EP|EP.T|FROM-TO|all... [-j N] [--json]",
	.summary = "build and score stored turns again, compare the bytes",
	.help = "  EP, EP.T          an episode, a turn, a range of episodes (3-9), or all\n"
		"  -j, --jobs N      programs at once (default: the number of cores)\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n"
		"\nCompared are the score but for its times, and program, log, notes, shape and "
		"pictures by\ntheir SHA-256. JSON: {episode, turn, verdict (same, differs, unable), why, "
		"..., differences}\na turn. Exit status 1 when one differs or cannot be verified.\n",
	.engine = true,
	.run = run,
};
