/*
 * cmd_db.c - looking after the database: is it whole, copies, thinning out, figures.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/utf8.h"
#include "src/db.h"
#include "src/show.h"

/* ---- fsck ---- */

struct look {
	const struct app *app;
	int remarks;
	bool bar;
};

static void clear_bar(struct look *w)
{
	if (w->bar)
		fputs("\r\x1b[K", stderr);
	w->bar = false;
}

static int on_finding(void *ctx, const struct store_finding *f)
{
	struct look *w = ctx;

	clear_bar(w);
	w->remarks += !f->loss;
	if (w->app->json) {
		cJSON *o = cJSON_CreateObject();
		json_add_text(o, "what", f->what);
		json_add_text(o, "remedy", f->remedy);
		cJSON_AddBoolToObject(o, "loss", f->loss);
		show_json_line(o);
		cJSON_Delete(o);
		return app_interrupted();
	}
	fputs(f->loss ? "LOSS  " : "note  ", stdout);
	db_print_line(stdout, f->what);
	if (f->remedy)
		printf("\n      -> %s", f->remedy);
	putchar('\n');
	return app_interrupted();
}

static void on_progress(void *ctx, const char *what, int64_t done, int64_t all)
{
	struct look *w = ctx;

	if (w->app->quiet || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\x1b[K%s", what);
	if (all)
		fprintf(stderr, " %" PRId64 " of %" PRId64, done, all);
	fflush(stderr);
	w->bar = true;
}

static int run_fsck(const struct cmd *self, int argc, char **argv)
{
	enum { SHORT = DB_FLAGS_END, REPAIR };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "short", no_argument, NULL, SHORT },
		                                 { "repair", no_argument, NULL, REPAIR },
		                                 { NULL, 0, NULL, 0 } };
	struct db_flags f;
	struct look w = { 0 };
	struct store_fsck_options o = { .progress = on_progress, .finding = on_finding, .ctx = &w };
	struct err e = { 0 };
	struct store *s;
	int opt, rc, problems = 0;

	db_flags_init(&f);
	w.app = &f.app;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = db_flag(&f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (opt == SHORT)
			o.quick = true;
		else if (opt == REPAIR)
			o.repair = true;
		else if (rc == 0)
			return app_bad_flag(self, opt, argv);
	}
	if (optind < argc)
		return app_usage(self, "fsck takes no argument, got '%.60s'; --db names a file",
		                 argv[optind]);
	app_catch_interrupt();
	/* looking makes no database */
	struct app quiet = f.app;
	f.app.quiet = true;
	char path[PATH_MAX];
	if (store_path(path, sizeof(path), f.db, &e) < 0)
		return app_fail(&e);
	if (access(path, F_OK) < 0) {
		s = db_open(&f, STORE_READ, &e);
		store_close(s);
		return app_fail(&e);
	}
	/* the search index can be looked at only by who may write */
	s = db_open(&f, STORE_WRITE, &e);
	if (!s && !o.repair && e.kind == ERR_IO) {
		e = (struct err){ 0 };
		s = db_open(&f, STORE_READ, &e);
	}
	f.app = quiet;
	if (!s)
		return app_fail(&e);
	rc = store_fsck(s, &o, &problems, &e);
	clear_bar(&w);
	if (rc == 0 && !app_interrupted() && !f.app.json && !f.app.quiet) {
		if (problems)
			printf("%d problem%s in %s\n", problems, problems == 1 ? "" : "s",
			       store_file(s));
		else
			printf("%s is whole\n", store_file(s));
	}
	store_close(s);
	if (rc < 0)
		return app_fail(&e);
	if (app_interrupted())
		return EXIT_INTERRUPTED;
	return problems ? EXIT_NO : EXIT_DONE;
}

const struct cmd cmd_fsck = {
	.name = "fsck",
	.usage = "fsck [--short] [--repair] [--db FILE] [--json]",
	.summary = "check that everything committed is there, as it was committed",
	.help = "  --short           leave out the content of artifacts\n"
		"  --repair          make anew what follows from the rest: search index, summaries,\n"
		"                    triggers and indexes, FILE.head; nothing is ever thrown away\n" DB_HELP
		"\nJSON: {what, remedy, loss} a finding. Exit status 1 when something is lost or "
		"changed.\n",
	.run = run_fsck,
};

/* ---- db ---- */

static void bytes_text(char *out, size_t size, double bytes)
{
	static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	int i = 0;

	while (bytes >= 1024 && i < 4) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, size, i ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
}

static double figure(const cJSON *o, const char *key)
{
	return json_number_or(o, key, NAN);
}

static void print_stats(const cJSON *o)
{
	const cJSON *a = cJSON_GetObjectItemCaseSensitive(o, "artifacts"), *x;
	char size[32], log[32], kept[32];

	bytes_text(size, sizeof(size), figure(o, "bytes"));
	bytes_text(log, sizeof(log), figure(o, "wal_bytes"));
	printf("%s\n  %s, and %s in its log; schema version %.0f\n", json_string_or(o, "file", "?"),
	       size, log, figure(o, "version"));
	printf("  %.0f episodes, %.0f turns, %.0f events, %.0f judgements, %.0f runs in %.0f "
	       "sessions\n",
	       figure(o, "episodes"), figure(o, "turns"), figure(o, "events"),
	       figure(o, "judgements"), figure(o, "runs"), figure(o, "sessions"));
	bytes_text(size, sizeof(size), figure(a, "bytes"));
	bytes_text(kept, sizeof(kept), figure(a, "stored_bytes"));
	printf("  %.0f artifacts: %s, packed %s; %.0f pruned\n", figure(a, "count"), size, kept,
	       figure(a, "pruned"));
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(a, "by_kind"))
	{
		bytes_text(size, sizeof(size), figure(x, "bytes"));
		bytes_text(kept, sizeof(kept), figure(x, "stored_bytes"));
		printf("    %-12s %8.0f  %12s  packed %12s\n", x->string, figure(x, "count"), size,
		       kept);
	}
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "tasks"))
	{
		char best[32], mean[32];
		db_total(best, sizeof(best), figure(x, "best"));
		db_total(mean, sizeof(mean), figure(x, "mean_best"));
		printf("  %-34s %6.0f episodes %7.0f turns  best %s  mean of bests %s\n",
		       json_string_or(x, "task", "?"), figure(x, "episodes"), figure(x, "turns"),
		       best, mean);
	}
	x = cJSON_GetObjectItemCaseSensitive(o, "head");
	printf("  chain of %.0f links, the last %.16s of %s\n", figure(x, "links"),
	       json_string_or(x, "hash", "?"), json_string_or(x, "time", "?"));
}

static int db_stats(const struct db_flags *f)
{
	struct err e = { 0 };
	struct store *s = db_open(f, STORE_READ, &e);
	cJSON *o;

	if (!s)
		return app_fail(&e);
	o = store_stats(s, &e);
	store_close(s);
	if (!o)
		return app_fail(&e);
	if (f->app.json)
		show_json_line(o);
	else
		print_stats(o);
	cJSON_Delete(o);
	return EXIT_DONE;
}

static int db_backup(const struct db_flags *f, const char *to)
{
	struct err e = { 0 };
	struct store *s = db_open(f, STORE_READ, &e);
	int rc;

	if (!s)
		return app_fail(&e);
	rc = store_backup(s, to, &e);
	store_close(s);
	return rc < 0 ? app_fail(&e) : EXIT_DONE;
}

static int db_prune(const struct db_flags *f, const struct store_prune *p)
{
	struct store_pruned gone;
	struct err e = { 0 };
	struct store *s;
	char size[32];
	int rc;

	/* thinning out makes no database */
	if (!(s = db_open(f, STORE_READ, &e)))
		return app_fail(&e);
	store_close(s);
	if (!(s = db_open(f, STORE_WRITE, &e)))
		return app_fail(&e);
	rc = store_prune(s, p, &gone, &e);
	store_close(s);
	if (rc < 0)
		return app_fail(&e);
	if (f->app.json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "artifacts", (double)gone.artifacts);
		cJSON_AddNumberToObject(o, "bytes", (double)gone.bytes);
		cJSON_AddNumberToObject(o, "episodes", (double)gone.episodes);
		cJSON_AddNumberToObject(o, "turns", (double)gone.turns);
		cJSON_AddBoolToObject(o, "dry_run", p->dry_run);
		show_json_line(o);
		cJSON_Delete(o);
		return EXIT_DONE;
	}
	bytes_text(size, sizeof(size), (double)gone.bytes);
	if (p->whole_episodes)
		printf("%s%" PRId64 " episodes with %" PRId64 " turns, %" PRId64
		       " artifacts of their own (%s)\n",
		       p->dry_run ? "would remove " : "removed ", gone.episodes, gone.turns,
		       gone.artifacts, size);
	else
		printf("%sthe content of %" PRId64 " artifacts (%s)\n",
		       p->dry_run ? "would drop " : "dropped ", gone.artifacts, size);
	return EXIT_DONE;
}

static int run_db(const struct cmd *self, int argc, char **argv)
{
	enum { OLDER = DB_FLAGS_END, EPISODE, KIND, ALL, WHOLE, DRY, WHY, KINDS_MAX = 16 };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "older", required_argument, NULL, OLDER },
		                                 { "episode", required_argument, NULL, EPISODE },
		                                 { "kind", required_argument, NULL, KIND },
		                                 { "best-too", no_argument, NULL, ALL },
		                                 { "whole-episodes", no_argument, NULL, WHOLE },
		                                 { "dry-run", no_argument, NULL, DRY },
		                                 { "why", required_argument, NULL, WHY },
		                                 { NULL, 0, NULL, 0 } };
	const char *kinds[KINDS_MAX], *what;
	struct store_prune p = { .keep_best = true };
	struct db_flags f;
	struct err e = { 0 };
	bool prune_flag = false;
	int opt, rc, turn;

	db_flags_init(&f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = db_flag(&f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		prune_flag = true;
		switch (opt) {
		case OLDER:
			if (store_parse_time(optarg, &p.before_us, &e) < 0) {
				app_tell("--older: %s", e.text);
				return EXIT_USAGE;
			}
			break;
		case EPISODE:
			if (store_parse_ref(optarg, &p.episode, &turn, &e) < 0 || turn)
				return app_usage(self,
				                 "--episode: an episode (12) was expected, got "
				                 "'%.60s'",
				                 optarg);
			break;
		case KIND:
			if (p.n_kinds == KINDS_MAX)
				return app_usage(self, "at most %d kinds", KINDS_MAX);
			kinds[p.n_kinds++] = optarg;
			p.kinds = kinds;
			break;
		case ALL:
			p.keep_best = false;
			break;
		case WHOLE:
			p.whole_episodes = true;
			break;
		case DRY:
			p.dry_run = true;
			break;
		case WHY:
			p.why = optarg;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	what = optind < argc ? argv[optind] : "";
	int n = argc - optind - 1;
	if (prune_flag && strcmp(what, "prune") != 0)
		return app_usage(self, "these flags are for 'db prune'");
	if (strcmp(what, "stats") == 0 && n == 0)
		return db_stats(&f);
	if (strcmp(what, "backup") == 0 && n == 1)
		return db_backup(&f, argv[optind + 1]);
	if (strcmp(what, "backup") == 0)
		return app_usage(self, "one name for the copy is expected: db backup FILE");
	if (strcmp(what, "prune") != 0 || n != 0)
		return app_usage(self, "'backup FILE', 'prune' or 'stats' is expected%s%.40s%s",
		                 *what ? ", got '" : "", what, *what ? "'" : "");
	if (!p.before_us && !p.episode)
		return app_usage(self,
		                 "what is to be pruned? --older TIME or --episode EP says it");
	if (p.whole_episodes && p.n_kinds)
		return app_usage(self, "--whole-episodes takes all kinds: leave out --kind");
	return db_prune(&f, &p);
}

const struct cmd cmd_db = {
	.name = "db",
	.usage =
		"db backup FILE | db prune --older TIME | --episode EP [--kind KIND]... | db stats",
	.summary = "copy the database, thin it out, say what is in it",
	.help = "  backup FILE       a whole, checked copy; others may write meanwhile\n"
		"  prune             drop the content of artifacts that can be made again (brep, step,\n"
		"                    stl, view); names, hashes and figures stay\n"
		"  stats             how much of what\n"
		"  --older TIME      of turns before then: 30d, 2026-11-22\n"
		"  --episode EP      of that episode only\n"
		"  --kind KIND       of these kinds instead; may be repeated\n"
		"  --best-too        of the best turn of each episode too\n"
		"  --whole-episodes  remove the episodes (last turn before --older) with all they "
		"have\n"
		"  --why TEXT        kept with the record of it\n"
		"  --dry-run         only say what would go\n" DB_HELP,
	.run = run_db,
};
