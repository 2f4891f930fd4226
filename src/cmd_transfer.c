/*
 * cmd_transfer.c - episodes out of the database and into it: export, import.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/app.h"
#include "src/base/clock.h"
#include "src/cmd_replay.h"
#include "src/export.h"
#include "src/export_shape.h"
#include "src/import.h"
#include "src/packs.h"
#include "src/part_glb.h"
#include "src/refs.h"
#include "src/show.h"

enum flag {
	FLAG_DB = APP_FLAGS_END,
	FLAG_FOLDER, /* + enum export_kind */
	FLAG_LAST_KIND = FLAG_FOLDER + EXPORT_PROMPTS,
	FLAG_MIN,
	FLAG_MARGIN,
	FLAG_PROMPT_SET,
	FLAG_TASK,
	FLAG_PROFILE,
	FLAG_REFERENCE,
	FLAG_JOBS,
};

static struct store *open_store(const struct app *a, const char *flag, enum store_mode mode,
                                struct err *e)
{
	char path[PATH_MAX];

	if (store_path(path, sizeof(path), flag, e) < 0)
		return NULL;
	struct store *s = store_open(path, mode, NULL, e);
	if (s && store_warning(s) && !a->quiet)
		app_tell("%s", store_warning(s));
	return s;
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted() || app_output_lost();
}

/* ---- export ---- */

/* The episodes that the words name; one turn alone is told how it comes out. */
static int add_episodes(struct store *s, struct refs *refs, const char *text, bool one,
                        struct err *e)
{
	int before = refs->n;

	if (refs_add(refs, s, text, e) < 0)
		return -1;
	if (refs->v[before].turn && !one)
		return err_set(
			e, ERR_USAGE,
			"%s: a whole episode was expected: %" PRId64
			"; of one turn come its part (FILE.step, .stl, .brep, .glb, .png), and by "
			"'cadforge show %s --artifact NAME -o FILE' its other files",
			text, refs->v[before].episode, text);
	return 0;
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcasecmp(name + n - m, end) == 0;
}

/* What the name asks for, unless a flag said it. */
static enum export_kind kind_of(const char *path)
{
	if (ends_in(path, ".md"))
		return EXPORT_MARKDOWN;
	if (ends_in(path, ".html") || ends_in(path, ".htm"))
		return EXPORT_HTML;
	if (ends_in(path, ".jsonl"))
		return EXPORT_JSONL;
	return EXPORT_FOLDER;
}

static void tell_export(const struct app *a, const struct export_options *o, const char *path,
                        const struct exported *d)
{
	bool lines = o->kind >= EXPORT_JSONL;

	if (a->json) {
		cJSON *j = cJSON_CreateObject();
		show_add_path(j, "path", strcmp(path, "-") == 0 ? NULL : path);
		cJSON_AddNumberToObject(j, "episodes", d->episodes);
		cJSON_AddNumberToObject(j, "turns", d->turns);
		json_add_figure(j, "lines", lines ? d->lines : NAN);
		json_add_figure(j, "files", lines ? NAN : d->files);
		cJSON_AddNumberToObject(j, "left_out", d->left_out);
		cJSON_AddNumberToObject(j, "mended", d->mended);
		cJSON_AddNumberToObject(j, "damaged", d->damaged);
		if (strcmp(path, "-") != 0)
			show_json_line(j);
		cJSON_Delete(j);
	}
	if (d->damaged)
		app_tell("%d artifact%s in the database %s damaged or missing, and left out; "
		         "'cadforge fsck' names %s",
		         d->damaged, d->damaged == 1 ? "" : "s", d->damaged == 1 ? "is" : "are",
		         d->damaged == 1 ? "it" : "them");
	if (a->quiet)
		return;
	if (!a->json && strcmp(path, "-") != 0 && lines)
		app_tell("%s: %d line%s from %d turn%s", path, d->lines, d->lines == 1 ? "" : "s",
		         d->turns, d->turns == 1 ? "" : "s");
	else if (!a->json && strcmp(path, "-") != 0)
		app_tell("%s: %d turn%s, %d file%s", path, d->turns, d->turns == 1 ? "" : "s",
		         d->files, d->files == 1 ? "" : "s");
	if (d->left_out)
		app_tell(
			"%d turn%s left out: no prompt was kept with %s, or the content was pruned",
			d->left_out, d->left_out == 1 ? " was" : "s were",
			d->left_out == 1 ? "it" : "them");
	if (d->mended)
		app_tell("%d text%s bytes that are no UTF-8, which JSON cannot have: U+FFFD is in "
		         "their place",
		         d->mended, d->mended == 1 ? " has" : "s have");
}

/* One part, or one replay: what the ending of the name asks for. */
static int export_one(const struct app *a, const char *db, struct store *s, const struct refs *refs,
                      const char *path, struct err *e)
{
	struct db_flags f;
	struct exported_shape done = { 0 };

	if (refs->n != 1)
		return err_set(e, ERR_USAGE, "%s: it is of one episode, and %d were named", path,
		               refs->n);
	const struct ref *r = &refs->v[0];
	if (ends_in(path, ".cast")) {
		db_flags_init(&f);
		f.app = *a;
		f.db = db;
		return replay_write_cast(&f, r->episode, r->turn, path, e);
	}
	if (export_shape(a, s, r->episode, r->turn, path, &done, e) < 0)
		return -1;
	if (a->json) {
		cJSON *o = cJSON_CreateObject();
		show_add_path(o, "path", path);
		cJSON_AddNumberToObject(o, "episode", (double)r->episode);
		cJSON_AddNumberToObject(o, "turn", done.turn);
		cJSON_AddNumberToObject(o, "bytes", (double)done.bytes);
		cJSON_AddBoolToObject(o, "made", done.made);
		show_json_line(o);
		cJSON_Delete(o);
	} else if (!a->quiet) {
		app_tell("%s: turn %" PRId64 ".%d, %zu bytes%s", path, r->episode, done.turn,
		         done.bytes, done.made ? ", made of the shape that is stored" : "");
	}
	return 0;
}

static int run_export(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		{ "db", required_argument, NULL, FLAG_DB },
		{ "md", no_argument, NULL, FLAG_FOLDER + EXPORT_MARKDOWN },
		{ "html", no_argument, NULL, FLAG_FOLDER + EXPORT_HTML },
		{ "jsonl", no_argument, NULL, FLAG_FOLDER + EXPORT_JSONL },
		{ "sft", no_argument, NULL, FLAG_FOLDER + EXPORT_SFT },
		{ "pairs", no_argument, NULL, FLAG_FOLDER + EXPORT_PAIRS },
		{ "prompts", no_argument, NULL, FLAG_FOLDER + EXPORT_PROMPTS },
		{ "min", required_argument, NULL, FLAG_MIN },
		{ "margin", required_argument, NULL, FLAG_MARGIN },
		{ "prompt-set", required_argument, NULL, FLAG_PROMPT_SET },
		{ NULL, 0, NULL, 0 },
	};
	struct app app;
	struct export_options o = { .min = NAN, .margin = NAN, .tick = on_tick };
	struct refs refs = { 0 };
	int64_t *list = NULL;
	struct task_set tasks = { 0 };
	struct prompt_set prompts = { 0 };
	struct prompts_dirs dirs;
	struct episode_mesher mesher = { .glb = part_glb_make };
	struct exported done;
	struct store *s = NULL;
	struct err e = { 0 };
	const char *db = NULL, *set = PROMPTS_DEFAULT;
	int opt, rc = EXIT_USAGE, kind = -1;

	app_init(&app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int f = app_flag(&app, self, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 1)
			continue;
		if (opt >= FLAG_FOLDER && opt <= FLAG_LAST_KIND) {
			if (kind >= 0 && kind != opt - FLAG_FOLDER)
				return app_usage(self, "two formats were asked for: one at a time");
			kind = opt - FLAG_FOLDER;
			continue;
		}
		switch (opt) {
		case FLAG_DB:
			db = optarg;
			break;
		case FLAG_MIN:
			if (app_number("--min", optarg, -1, 1, &o.min) < 0)
				return EXIT_USAGE;
			break;
		case FLAG_MARGIN:
			if (app_number("--margin", optarg, 0, 2, &o.margin) < 0)
				return EXIT_USAGE;
			break;
		case FLAG_PROMPT_SET:
			set = optarg;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	if (argc - optind < 2)
		return app_usage(self,
		                 "an episode and where it is to go were expected: EP... DIR|FILE");
	const char *path = argv[argc - 1];
	bool one = kind < 0 && (ends_in(path, ".cast") || export_shape_named(path));
	o.kind = kind >= 0 ? (enum export_kind)kind : kind_of(path);
	/* what the published recipes took: a repair at 0.60, and any gain */
	if (isnan(o.min))
		o.min = o.kind == EXPORT_SFT ? 0.6 : -1;
	if (isnan(o.margin))
		o.margin = o.kind == EXPORT_PAIRS ? 0.05 : 0.001;
	app_find(&app);
	if (!(s = open_store(&app, db, STORE_READ, &e)))
		goto fail;
	for (int i = optind; i < argc - 1; i++)
		if (add_episodes(s, &refs, argv[i], one, &e) < 0)
			goto fail;
	if (one) {
		app_catch_interrupt();
		if (export_one(&app, db, s, &refs, path, &e) < 0)
			goto fail;
		rc = EXIT_DONE;
		goto out;
	}
	if (!(list = calloc((size_t)refs.n, sizeof(*list)))) {
		err_set(&e, ERR_MEM, "no memory for %d episodes", refs.n);
		goto fail;
	}
	for (int i = 0; i < refs.n; i++)
		list[i] = refs.v[i].episode;
	/* without the tasks there is less on a page, and no prompt for what was asked without one
	 */
	if (packs_load(&tasks, &app, &e) == 0) {
		o.tasks = &tasks;
		prompts_dirs(&dirs, &app);
		if (o.kind >= EXPORT_SFT) {
			if (prompt_set_load(&prompts, dirs.dir, dirs.n, set, &e) < 0)
				goto fail;
			o.prompts = &prompts;
		}
	}
	o.episodes = list;
	o.n_episodes = refs.n;
	if (o.kind == EXPORT_HTML) {
		if (!(mesher.ctx = part_glb_open(&app, &e)))
			goto fail;
		o.mesher = &mesher;
	}
	app_catch_interrupt();
	if (export_to(s, &o, path, &done, &e) < 0) {
		/* whoever closed the pipe knows */
		if (strcmp(path, "-") != 0 || !app_output_lost() || app_interrupted())
			goto fail;
		rc = EXIT_NO;
		goto out;
	}
	tell_export(&app, &o, path, &done);
	rc = done.damaged ? EXIT_NO : EXIT_DONE;
	goto out;
fail:
	rc = app_fail(&e);
out:
	part_glb_close(mesher.ctx);
	free(list);
	refs_release(&refs);
	prompt_set_release(&prompts);
	task_set_release(&tasks);
	store_close(s);
	return rc;
}

/* ---- import ---- */

struct importing {
	struct app app;
	int in, already, problems;
	double told;
	bool bar;
};

static void show_progress(struct importing *w)
{
	double now = clock_now_s();

	if (!w->bar || now - w->told < 0.2)
		return;
	w->told = now;
	fprintf(stderr, "\r\033[K%d in", w->in);
	if (w->problems)
		fprintf(stderr, ", %d with a problem", w->problems);
}

static int import_tick(void *ctx)
{
	show_progress(ctx);
	return on_tick(NULL);
}

static void print_one(const struct imported_one *x, const char *place)
{
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(x->score, "reward");
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(x->score, "build");
	double total = json_number_or(reward, "total", NAN);

	if (x->already) {
		printf("%s: is in already, as episode %" PRId64 "\n", place, x->episode);
	} else if (!x->score) {
		printf("%s: episode %" PRId64 ", %s, %d turn%s\n", place, x->episode, x->task,
		       x->turns, x->turns == 1 ? "" : "s");
	} else {
		printf("%s: episode %" PRId64 ", %s, ", place, x->episode, x->task);
		if (x->turns > 1)
			printf("%d turns, the best with ", x->turns);
		if (isnan(total))
			printf("no total");
		else
			printf("total %.4f", total);
		printf(", %s\n", json_string_or(build, "class", "-"));
	}
}

static void on_one(void *ctx, const struct imported_one *x)
{
	struct importing *w = ctx;
	char *name = show_name(x->file);
	struct buf place = { 0 };

	if (w->bar && w->told > 0)
		fputs("\r\033[K", stderr);
	buf_adds(&place, name ? name : "?");
	if (x->line)
		buf_printf(&place, ":%d", x->line);
	w->in += !x->problem && !x->already;
	w->already += x->already;
	w->problems += x->problem != NULL;
	if (x->problem && !w->app.json)
		app_tell("%s: %s", buf_str(&place), x->problem);
	if (w->app.json) {
		cJSON *o = cJSON_CreateObject();
		show_add_path(o, "file", x->file);
		json_add_figure(o, "line", x->line ? x->line : NAN);
		json_add_text(o, "task", x->task);
		json_add_figure(o, "episode", x->episode ? (double)x->episode : NAN);
		json_add_figure(o, "turns", x->turns ? x->turns : NAN);
		cJSON_AddBoolToObject(o, "already", x->already);
		json_add_figure(o, "total",
		                json_number_or(cJSON_GetObjectItemCaseSensitive(x->score, "reward"),
		                               "total", NAN));
		json_add_text(o, "class",
		              json_string_or(cJSON_GetObjectItemCaseSensitive(x->score, "build"),
		                             "class", NULL));
		json_add_text(o, "problem", x->problem);
		show_json_line(o);
		cJSON_Delete(o);
	} else if (!x->problem) {
		print_one(x, buf_str(&place));
		fflush(stdout);
	}
	buf_release(&place);
	free(name);
}

static void tell_import(const struct importing *w)
{
	if (w->app.quiet || w->in + w->already + w->problems < 2)
		return;
	app_tell("%d came in%s", w->in, w->already || w->problems ? "" : ", nothing was wrong");
	if (w->already)
		app_tell("%d %s there already", w->already, w->already == 1 ? "was" : "were");
	if (w->problems)
		app_tell("%d had a problem and %s left out", w->problems,
		         w->problems == 1 ? "is" : "are");
}

static int run_import(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		{ "db", required_argument, NULL, FLAG_DB },
		{ "task", required_argument, NULL, FLAG_TASK },
		{ "profile", required_argument, NULL, FLAG_PROFILE },
		{ "reference", required_argument, NULL, FLAG_REFERENCE },
		{ "jobs", required_argument, NULL, FLAG_JOBS },
		{ NULL, 0, NULL, 0 },
	};
	struct importing w = { .told = 0 };
	struct import_options o = { .ctx = &w, .tick = import_tick, .one = on_one };
	struct task_set tasks = { 0 };
	struct import *im = NULL;
	struct err e = { 0 };
	const char *db = NULL, *task = NULL;
	int opt, rc = EXIT_USAGE;

	app_init(&w.app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":j:", options, NULL)) >= 0) {
		int f = app_flag(&w.app, self, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 1)
			continue;
		switch (opt) {
		case FLAG_DB:
			db = optarg;
			break;
		case FLAG_TASK:
			task = optarg;
			break;
		case FLAG_PROFILE:
			o.scoring.profile = optarg;
			break;
		case FLAG_REFERENCE:
			o.scoring.reference = optarg;
			break;
		case FLAG_JOBS:
		case 'j':
			if (app_whole("--jobs", optarg, 1, 64, &w.app.jobs) < 0)
				return EXIT_USAGE;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	if (optind == argc)
		return app_usage(self, "what is to come in was expected: FILE.jsonl, FILE.py, "
		                       "FILE.step or a folder");
	app_find(&w.app);
	o.app = &w.app;
	o.scoring.app = &w.app;
	o.scoring.rebuilds = -1;
	o.scoring.artifacts = SCORING_BREP | SCORING_STL | SCORING_VIEWS;
	o.tasks = &tasks;
	if (packs_load(&tasks, &w.app, &e) < 0 ||
	    (task && !(o.task = task_find(&tasks, task, &e))) ||
	    !(o.store = open_store(&w.app, db, STORE_WRITE, &e)) || !(im = import_open(&o, &e)))
		goto fail;
	w.bar = !w.app.quiet && isatty(STDERR_FILENO);
	app_catch_interrupt();
	for (int i = optind; i < argc; i++)
		if (import_path(im, argv[i], &e) < 0) {
			if (app_interrupted())
				err_set(&e, ERR_CANCELLED,
				        "interrupted, %d came in; the same import again goes on",
				        w.in);
			goto fail;
		}
	tell_import(&w);
	rc = w.problems ? EXIT_NO : EXIT_DONE;
	goto out;
fail:
	rc = app_fail(&e);
out:
	import_close(im);
	store_close(o.store);
	task_set_release(&tasks);
	return rc;
}

const struct cmd cmd_export = {
	.name = "export",
	.usage = "export EP... DIR|FILE [--md|--html|--jsonl|--sft|--pairs|--prompts]",
	.summary = "stored episodes as a folder, a page, a part, a cast, or lines to train on",
	.help = "  EP                an episode's number, a range (3-9), or all\n"
		"  DIR               a folder that is not there yet: all of it, can be imported again\n"
		"  FILE.md, --md     a page, pictures in FILE.files\n"
		"  FILE.html, --html a page as one file, the part in it to be turned\n"
		"  FILE.step, .stl, .brep, .glb, .png\n"
		"                    the part of EP's best turn, or of turn EP.T, or its picture\n"
		"  FILE.cast         an asciicast of the replay\n"
		"  FILE.jsonl, --jsonl  every turn: task, prompt, completion, total\n"
		"  --sft             messages of the turns worth learning from\n"
		"  --pairs           of answers to the same prompt a better and a worse one: as people\n"
		"                    judged, else by their totals\n"
		"  --prompts         each prompt once\n"
		"  --min TOTAL       of --sft (0.6), and of the better one of --pairs (-1)\n"
		"  --margin D        the least difference of a pair (0.05), the least gain of a repair\n"
		"                    under --sft (0.001)\n"
		"  --prompt-set NAME prompts of turns that were kept without one (default)\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n"
		"                    FILE may be -, standard output, but for a folder\n",
	.engine = false,
	.run = run_export,
};

const struct cmd cmd_import = {
	.name = "import",
	.usage = "import FILE|DIR... [--task ID] [--profile P] [-j N] [--json]",
	.summary = "bring in completions, transcripts, programs, parts, exported episodes",
	.help = "  FILE.jsonl        a line: {\"task\", \"prompt\", \"completion\"} or {\"task\", \"messages\"}\n"
		"                    (also a table of lists, as trainers log a batch), or the messages\n"
		"                    of an OpenEnv session: {\"type\": \"step\", \"data\": {\"code\"}}\n"
		"  FILE.py           a program; FILE.step: a part without one\n"
		"  DIR               an exported episode; else all of these in it\n"
		"  --task ID         the task of what names none; without it that of the file's name:\n"
		"                    TASK.py, TASK-anything.py, TASK/anything.py\n"
		"  --profile P       the reward (exact); --reference R: see score\n"
		"  -j, --jobs N      programs at once (default: the number of cores)\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n",
	.engine = true,
	.run = run_import,
};
