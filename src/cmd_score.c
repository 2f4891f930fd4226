/*
 * cmd_score.c - programs, built, measured and rewarded: lines in the order of the arguments.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/extract.h"
#include "engine/failure.h"
#include "engine/reward_seed.h"
#include "engine/task.h"
#include "src/app.h"
#include "src/packs.h"
#include "src/pipeline.h"
#include "src/show.h"
#include "src/base/clock.h"

enum { PROGRAM_MAX = 8 << 20, LIST_MAX = 64 << 20 };

enum profile { PROFILE_SEED_FAST, PROFILE_SEED_FULL, PROFILE_STRICT };

static const char *const profile_names[] = { "seed-fast", "seed-full", "strict" };

struct entry {
	char *file;
	const struct task *task;
	struct buf text;
	struct extract what;
	struct err unreadable; /* kind != ERR_NONE: no program could be read */
	char *json_line, *plain;
	bool done, ok;
};

struct work {
	struct app app;
	enum profile profile;
	bool dialect_given;
	enum dialect dialect;
	struct task_set pack;
	const struct task *task;        /* of the programs named as arguments */
	struct reference_set reference; /* one for all, */
	bool has_reference;
	struct reference_set *of_task; /* or one for each task of the pack */
	struct entry *entry;
	size_t n, shown;
	size_t *of_item; /* entry of the pipeline's item */
	struct err failed;
	size_t log_shown; /* with one program: bytes of its log that were passed on as they came */
	/* progress */
	size_t ended;
	double started, told; /* when the work began, when the last line of progress was written */
	bool bar;             /* standard error is a terminal: one line, written over */
	bool nobody_reads;    /* standard output is a closed pipe, or full */
};

static void add_reward(cJSON *o, const struct reward *r)
{
	cJSON *x = cJSON_AddObjectToObject(o, "reward");

	json_add_figure(x, "total", r->total);
	json_add_figure(x, "build", r->build);
	json_add_figure(x, "topology", r->topology);
	json_add_figure(x, "contact", r->contact);
	json_add_figure(x, "semantic_parts", r->semantic_parts);
	json_add_figure(x, "reference_similarity", r->reference_similarity);
	json_add_figure(x, "silhouette", r->silhouette);
	json_add_figure(x, "editability", r->editability);
	json_add_figure(x, "efficiency", r->efficiency);
	json_add_figure(o, "strict", r->strict);
	json_add_figure(o, "cheap", r->cheap);
	json_add_figure(o, "shaped", r->shaped);
}

/* ---- one program's answer ---- */

static void note_all(cJSON *o, const struct notes *n)
{
	cJSON *a = cJSON_AddArrayToObject(o, "notes");

	for (int i = 0; i < n->n; i++)
		cJSON_AddItemToArray(a, cJSON_CreateString(n->text[i]));
}

/* The scorer's word goes before the builder's: a shape that cannot be measured is no part. */
static void adopt_shape_failure(struct build *b, struct shape_report *s)
{
	b->ok = false;
	b->cause = s->cause;
	free(b->error);
	b->error = s->error;
	s->error = NULL;
	b->limit = s->limit;
}

static enum build_class classify(const struct entry *en, const struct build *b,
                                 enum seed_outcome outcome, const struct reward *r,
                                 struct text_ref errors)
{
	if (b->dialect == DIALECT_OPEN)
		return failure_class(b->cause, r->editability, r->semantic_parts);
	struct seed_failure_input in = {
		.built = outcome == SEED_BUILT,
		.editability = r->editability,
		.semantic_parts = r->semantic_parts,
		.errors = errors,
		.completion = { buf_str(&en->text), en->text.len },
		.code = { buf_str(&en->what.program), en->what.program.len },
	};
	if (outcome == SEED_EVALUATOR_CRASH)
		in.error = (struct text_ref){ SEED_CRASH_TEXT, sizeof(SEED_CRASH_TEXT) - 1 };
	return seed_failure_class(&in);
}

static void plain_terms(FILE *f, const struct reward *r)
{
	const struct {
		const char *name;
		double v;
	} t[] = { { "build", r->build },
		  { "topology", r->topology },
		  { "contact", r->contact },
		  { "semantic parts", r->semantic_parts },
		  { "reference similarity", r->reference_similarity },
		  { "silhouette", r->silhouette },
		  { "editability", r->editability },
		  { "efficiency", r->efficiency } };

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		char bar[21] = "....................";
		if (!isfinite(t[i].v)) {
			fprintf(f, "  %-22s -\n", t[i].name);
			continue;
		}
		for (int k = 0; k < 20 && k < (int)lround(t[i].v * 20); k++)
			bar[k] = '#';
		fprintf(f, "  %-22s %6.3f  %s\n", t[i].name, t[i].v, bar);
	}
}

static void plain_score(FILE *f, const struct work *w, const struct entry *en,
                        const struct build *b, enum build_class cls, const struct reward *r,
                        const struct notes *notes, const struct pipeline_item *it)
{
	char *shown = show_name(en->file);
	const char *file = shown ? shown : "?", *task = en->task ? en->task->id : "no task";

	if (b->ok) {
		fprintf(f, "%s: total %.4f (%s, %s), %s\n", file, r->total,
		        profile_names[w->profile], task, build_class_name(cls));
		plain_terms(f, r);
		show_geometry(f, it->shape.geometry);
	} else {
		show_build_failure(f, en->file, b, cls);
		if (isfinite(r->total))
			fprintf(f, "  total %.4f (%s, %s)\n", r->total, profile_names[w->profile],
			        task);
		else
			fprintf(f,
			        "  no total: the published evaluator has none for this (%s, %s)\n",
			        profile_names[w->profile], task);
	}
	for (int i = 0; i < notes->n; i++)
		fprintf(f, "  note: %s\n", notes->text[i]);
	fprintf(f, "  build %.0f ms, measure and score %.0f ms\n", b->seconds * 1e3,
	        it->shape.seconds * 1e3);
	free(shown);
}

static void add_seconds(cJSON *o, double build, const struct shape_report *s)
{
	cJSON *t = cJSON_AddObjectToObject(o, "seconds");

	json_add_figure(t, "build", build);
	json_add_figure(t, "read", s ? s->read_s : NAN);
	json_add_figure(t, "measure", s ? s->measure_s : NAN);
	json_add_figure(t, "mesh", s ? s->mesh_s : NAN);
	json_add_figure(t, "score", s ? s->score_s : NAN);
	json_add_figure(t, "render", NAN);
}

static int score_item(struct work *w, struct entry *en, struct pipeline_item *it, struct err *e)
{
	struct build *b = &it->build;
	struct shape_report *s = &it->shape;
	struct reward r;
	struct notes notes = { 0 };
	struct buf errors = { 0 }, line = { 0 };
	int rc = -1;

	if (b->ok && !(it->measured && s->ok))
		adopt_shape_failure(b, s);
	enum seed_outcome outcome =
		b->no_triangles ? SEED_EVALUATOR_CRASH : seed_outcome_of(b->cause, s->has_figures);
	if (!b->ok)
		seed_stderr(&errors, b->exception, b->error, b->traceback);
	struct seed_input in = {
		.outcome = outcome,
		.full = w->profile == PROFILE_SEED_FULL,
		.figures = s->has_figures ? &s->figures : NULL,
		.task = en->task,
		.code = { buf_str(&en->what.program), en->what.program.len },
		.raw = { buf_str(&en->text), en->text.len },
		.stderr_text = { buf_str(&errors), errors.len },
	};
	if (reward_seed(&r, NULL, &notes, &in, e) < 0)
		goto out;
	enum build_class cls = classify(en, b, outcome, &r, in.stderr_text);
	if (w->profile == PROFILE_STRICT)
		r.total = r.strict;

	cJSON *o = cJSON_CreateObject();
	show_add_file(o, en->file);
	json_add_text(o, "task", en->task ? en->task->id : NULL);
	cJSON_AddStringToObject(o, "profile", profile_names[w->profile]);
	cJSON_AddItemToObject(o, "build", show_build_json(b, cls));
	add_reward(o, &r);
	cJSON_AddItemToObject(o, "geometry", show_geometry_json(s->geometry));
	cJSON_AddItemToObject(o, "mesh", show_mesh_json(s->has_figures ? &s->figures : NULL));
	cJSON_AddItemToObject(o, "contact", show_contact_json(s->has_figures ? &s->figures : NULL));
	cJSON_AddArrayToObject(o, "checks");
	note_all(o, &notes);
	cJSON_AddNullToObject(o, "delta");
	add_seconds(o, b->seconds, it->measured ? s : NULL);
	json_print(&line, o);
	cJSON_Delete(o);
	en->json_line = buf_take(&line, NULL);
	if (!w->app.json) {
		char *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);
		if (f) {
			plain_score(f, w, en, b, cls, &r, &notes, it);
			fclose(f);
			en->plain = text;
		}
	}
	en->ok = b->ok;
	rc = 0;
out:
	buf_release(&errors);
	notes_release(&notes);
	return rc;
}

/* A file that could not be read still gets its line. */
static void answer_unreadable(struct work *w, struct entry *en)
{
	struct build b = {
		.cause = CAUSE_BAD_INPUT, .error = en->unreadable.text, .seconds = NAN, .cpu_s = NAN
	};
	struct reward r = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
	struct buf line = { 0 };
	cJSON *o = cJSON_CreateObject();

	b.dialect = w->dialect;
	show_add_file(o, en->file);
	json_add_text(o, "task", en->task ? en->task->id : NULL);
	cJSON_AddStringToObject(o, "profile", profile_names[w->profile]);
	cJSON_AddItemToObject(o, "build", show_build_json(&b, CLASS_UNKNOWN_BUILD_FAILURE));
	add_reward(o, &r);
	cJSON_AddNullToObject(o, "geometry");
	cJSON_AddItemToObject(o, "mesh", show_mesh_json(NULL));
	cJSON_AddItemToObject(o, "contact", show_contact_json(NULL));
	cJSON_AddArrayToObject(o, "checks");
	cJSON_AddArrayToObject(o, "notes");
	cJSON_AddNullToObject(o, "delta");
	add_seconds(o, NAN, NULL);
	json_print(&line, o);
	cJSON_Delete(o);
	en->json_line = buf_take(&line, NULL);
	app_tell("%s", en->unreadable.text);
	en->done = true;
	w->ended++;
}

static void clear_bar(const struct work *w)
{
	if (w->bar && w->told > 0)
		fputs("\r\033[K", stderr);
}

/* "12/40, 8.1 a second, 3 s left": over itself on a terminal, else a line every few seconds. */
static void show_progress(struct work *w)
{
	enum { EVERY_S = 5, CELLS = 20 };
	double now = clock_now_s(), taken = now - w->started;
	char text[160], cells[CELLS + 1];

	if (w->app.quiet || w->n < 2 || now - w->told < (w->bar ? 0.2 : EVERY_S) ||
	    (!w->bar && taken < EVERY_S))
		return;
	w->told = now;
	int n = snprintf(text, sizeof(text), "%zu/%zu", w->ended, w->n);
	if (w->ended > 0 && taken > 0)
		snprintf(text + n, sizeof(text) - (size_t)n, ", %.3g a second, %.0f s left",
		         (double)w->ended / taken,
		         (double)(w->n - w->ended) * taken / (double)w->ended);
	if (!w->bar) {
		fprintf(stderr, "score: %s\n", text);
		return;
	}
	for (int i = 0; i < CELLS; i++)
		cells[i] = (size_t)i * w->n < w->ended * CELLS ? '#' : '.';
	cells[CELLS] = '\0';
	fprintf(stderr, "\r\033[K%s %s", cells, text);
}

/* @out_of_order: after an interruption also those behind one that never ended. */
static void show_what_is_due(struct work *w, bool out_of_order)
{
	clear_bar(w);
	while (w->shown < w->n && (out_of_order || w->entry[w->shown].done)) {
		struct entry *en = &w->entry[w->shown++];
		if (w->app.json && en->json_line)
			puts(en->json_line);
		else if (!w->app.json && en->plain)
			fputs(en->plain, stdout);
		free(en->json_line);
		free(en->plain);
		en->json_line = en->plain = NULL;
	}
	if (fflush(stdout))
		w->nobody_reads = true;
}

/* Between any two steps of the engine: whether to go on. */
static int on_tick(void *ctx)
{
	struct work *w = ctx;

	w->nobody_reads = w->nobody_reads || app_output_lost();
	if (app_interrupted() || w->nobody_reads)
		return 1;
	show_progress(w);
	return 0;
}

static void on_done(void *ctx, size_t item, struct pipeline_item *it)
{
	struct work *w = ctx;
	struct entry *en = &w->entry[w->of_item[item]];
	struct err e = { 0 };

	if (!w->app.quiet && w->n == 1)
		show_rest_of_log(stderr, &it->build, w->log_shown);
	if (score_item(w, en, it, &e) < 0 && !w->failed.kind) {
		w->failed = e;
		err_wrap(&w->failed, "%s", en->file);
	}
	en->done = true;
	w->ended++;
	show_what_is_due(w, false);
}

/* With one program what it prints is shown as it comes; with many nobody could tell whose it is. */
static void on_log(void *ctx, size_t item, const char *stream, const char *text, size_t len)
{
	struct work *w = ctx;

	(void)item;
	(void)stream;
	w->log_shown += len;
	if (!w->app.quiet && w->n == 1)
		fwrite(text, 1, len, stderr);
}

/* ---- the verb ---- */

static int load_reference(struct work *w, const char *what, struct err *e)
{
	if (strcmp(what, "none") == 0)
		return 0;
	if (strcmp(what, "seed-task") == 0) {
		if (!w->task && !w->pack.n)
			return err_set(e, ERR_USAGE,
			               "--reference seed-task needs a task: give --task ID");
		if (w->profile == PROFILE_SEED_FULL)
			return err_set(
				e, ERR_USAGE,
				"--reference seed-task has a box alone, and seed-full needs points and masks: "
				"use seed-fast, or name a folder");
		w->of_task = calloc((size_t)w->pack.n, sizeof(*w->of_task));
		if (!w->of_task)
			return err_set(e, ERR_MEM, "out of memory");
		for (int i = 0; i < w->pack.n; i++)
			if (w->pack.tasks[i].has_seed_box)
				reference_from_box(&w->of_task[i],
				                   w->pack.tasks[i].seed_box_over_height);
		return 0;
	} else if (reference_load(&w->reference, what, e) < 0) {
		return err_wrap(e, "--reference");
	}
	w->has_reference = true;
	if (w->profile == PROFILE_SEED_FULL && !reference_is_full(&w->reference))
		return err_set(e, ERR_USAGE,
		               "--reference %s: seed-full needs points and masks in it", what);
	return 0;
}

static const struct reference_set *reference_of(const struct work *w, const struct entry *en)
{
	if (w->has_reference)
		return &w->reference;
	return w->of_task && en->task ? &w->of_task[en->task - w->pack.tasks] : NULL;
}

static int add_entry(struct work *w, const char *file, const struct task *task, struct err *e)
{
	struct entry *more = realloc(w->entry, sizeof(*more) * (w->n + 1));
	char *name = strdup(file);

	if (more)
		w->entry = more;
	if (!more || !name) {
		free(name);
		return err_set(e, ERR_MEM, "out of memory for %zu programs", w->n);
	}
	w->entry[w->n++] = (struct entry){ .file = name, .task = task };
	return 0;
}

/* A line a program: its file, a tab, its task (or none); a file alone has the task of --task
 * (@task_given). Empty lines and those that begin with # are passed over. */
static int read_list(struct work *w, const char *path, bool task_given, struct err *e)
{
	size_t before = w->n;
	struct buf text = { 0 };
	int line = 0, rc = -1;

	if (buf_read_file(&text, path, LIST_MAX, e) < 0)
		return err_wrap(e, "--list");
	char *rest = text.data, *one;
	if (rest && strncmp(rest, "\xef\xbb\xbf", 3) == 0)
		rest += 3;
	while (rest && (one = strsep(&rest, "\n"))) {
		const struct task *t = w->task;
		char *tab = strchr(one, '\t');
		line++;
		one[strcspn(one, "\r")] = '\0';
		if (!*one || *one == '#')
			continue;
		if (tab == one || (!tab && !task_given)) {
			err_set(e, ERR_INPUT,
			        "%s:%d: FILE, a tab and a task were expected, got '%.80s'; or give "
			        "--task for the lines without one",
			        path, line, one);
			goto out;
		}
		if (tab && strchr(tab + 1, '\t')) {
			err_set(e, ERR_INPUT,
			        "%s:%d: FILE, a tab and a task were expected, and there is a "
			        "second tab",
			        path, line);
			goto out;
		}
		if (tab) {
			*tab = '\0';
			t = NULL;
		}
		if (tab && strcmp(tab + 1, "none") != 0 && !(t = task_find(&w->pack, tab + 1, e))) {
			err_wrap(e, "%s:%d", path, line);
			goto out;
		}
		if (add_entry(w, one, t, e) < 0)
			goto out;
	}
	rc = w->n > before ? 0 : err_set(e, ERR_INPUT, "--list %s: no program in it", path);
out:
	buf_release(&text);
	return rc;
}

static int parse_profile(const char *text, enum profile *out)
{
	for (size_t i = 0; i < sizeof(profile_names) / sizeof(*profile_names); i++)
		if (strcmp(text, profile_names[i]) == 0) {
			*out = (enum profile)i;
			return 0;
		}
	app_tell("--profile: seed-fast, seed-full or strict was expected, got '%s'", text);
	return -1;
}

static int score_all(struct work *w, struct err *e)
{
	struct pipeline_item *items = calloc(w->n, sizeof(*items));
	struct pipeline_options o = {
		.dialect = w->dialect,
		.limits = w->app.limits,
		.no_filter = w->app.no_filter,
		.measure = true,
		.geometry = true,
		.figures = w->profile == PROFILE_SEED_FULL ? FIGURES_FULL : FIGURES_FAST,
		.ctx = w,
		.log = on_log,
		.tick = on_tick,
		.done = on_done,
	};
	size_t n = 0;
	int rc = -1;

	w->of_item = calloc(w->n, sizeof(*w->of_item));
	if (!items || !w->of_item) {
		free(items);
		return err_set(e, ERR_MEM, "out of memory for %zu programs", w->n);
	}
	for (size_t i = 0; i < w->n; i++) {
		struct entry *en = &w->entry[i];
		if (en->unreadable.kind) {
			answer_unreadable(w, en);
			continue;
		}
		w->of_item[n] = i;
		items[n++] = (struct pipeline_item){ .program = buf_str(&en->what.program),
			                             .len = en->what.program.len,
			                             .line_offset = en->what.line_offset,
			                             .reference = reference_of(w, en) };
	}
	show_what_is_due(w, false);
	struct pipeline *p = NULL;
	if (n) {
		app_engine_options(&w->app, &o.engine);
		if (o.engine.jobs > (int)n)
			o.engine.jobs = (int)n;
		p = pipeline_open(&o, e);
		rc = p ? pipeline_run(p, items, n, e) : -1;
		pipeline_close(p);
	} else {
		rc = 0;
	}
	if (app_interrupted()) {
		show_what_is_due(w, true);
		clear_bar(w);
		err_set(e, ERR_CANCELLED, "interrupted, %zu of %zu done", w->ended, w->n);
	} else {
		clear_bar(w);
	}
	if (rc == 0 && w->failed.kind) {
		*e = w->failed;
		rc = -1;
	}
	free(items);
	return rc;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		{ "task", required_argument, NULL, 't' },
		{ "profile", required_argument, NULL, 'p' },
		{ "reference", required_argument, NULL, 'r' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "dialect", required_argument, NULL, 'd' },
		{ "list", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct work w = { .profile = PROFILE_SEED_FAST, .dialect = DIALECT_SEED };
	struct err e = { 0 };
	const char *task = NULL, *reference = "none", *list = NULL;
	int opt, rc = EXIT_USAGE;

	app_init(&w.app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":t:p:r:j:d:l:", options, NULL)) >= 0) {
		int f = app_flag(&w.app, self, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 1)
			continue;
		switch (opt) {
		case 't':
			task = optarg;
			break;
		case 'p':
			if (parse_profile(optarg, &w.profile) < 0)
				return EXIT_USAGE;
			break;
		case 'r':
			reference = optarg;
			break;
		case 'l':
			list = optarg;
			break;
		case 'j':
			if (app_whole("--jobs", optarg, 1, 64, &w.app.jobs) < 0)
				return EXIT_USAGE;
			break;
		case 'd':
			if (app_dialect(optarg, &w.dialect) < 0)
				return EXIT_USAGE;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	if (optind == argc && !list)
		return app_usage(self, "a program is expected: FILE.py");
	if (!task && optind < argc)
		return app_usage(self, "--task ID is expected, or --task none");
	app_find(&w.app);
	if (((task && strcmp(task, "none") != 0) || list) &&
	    packs_load(&w.pack, &w.app, &e) < 0)
		goto fail;
	if (task && strcmp(task, "none") != 0 && !(w.task = task_find(&w.pack, task, &e)))
		goto fail;
	if (load_reference(&w, reference, &e) < 0)
		goto fail;
	for (int i = optind; i < argc; i++)
		if (add_entry(&w, argv[i], w.task, &e) < 0)
			goto fail;
	if (list && read_list(&w, list, task != NULL, &e) < 0)
		goto fail;
	bool unreadable = false;
	for (size_t i = 0; i < w.n; i++) {
		struct entry *en = &w.entry[i];
		if (buf_read_file(&en->text, en->file, PROGRAM_MAX, &en->unreadable) < 0 ||
		    extract_program(&en->what, EXTRACT_FILE, buf_str(&en->text), en->text.len,
		                    &en->unreadable) < 0)
			unreadable = true;
	}
	w.started = clock_now_s();
	w.bar = !w.app.quiet && w.n > 1 && isatty(STDERR_FILENO);
	app_catch_interrupt();
	if (score_all(&w, &e) < 0) {
		if (!w.nobody_reads || app_interrupted())
			goto fail;
		rc = EXIT_NO;
		goto out;
	}
	rc = unreadable ? EXIT_USAGE : EXIT_DONE;
	for (size_t i = 0; i < w.n && rc == EXIT_DONE; i++)
		if (!w.entry[i].ok)
			rc = EXIT_NO;
	goto out;
fail:
	rc = app_fail(&e);
out:
	for (size_t i = 0; w.entry && i < w.n; i++) {
		buf_release(&w.entry[i].text);
		extract_release(&w.entry[i].what);
		free(w.entry[i].json_line);
		free(w.entry[i].plain);
		free(w.entry[i].file);
	}
	free(w.entry);
	free(w.of_item);
	reference_release(&w.reference);
	for (int i = 0; w.of_task && i < w.pack.n; i++)
		reference_release(&w.of_task[i]);
	free(w.of_task);
	task_set_release(&w.pack);
	return rc;
}

const struct cmd cmd_score = {
	.name = "score",
	.usage =
		"score FILE.py... --task ID|none [--list FILE] [--profile P] [--reference R] [-j N] [--json]",
	.summary = "build and score programs",
	.help = "  --task ID         the task they were written for, or none\n"
		"  --profile P       seed-fast (default), seed-full: the published reward;\n"
		"                    strict: its build gate over seed-fast\n"
		"  --reference R     a reference folder; seed-task: the box of the task's published reference;\n"
		"                    none (default)\n"
		"  --list FILE       programs named in a file, a line each: FILE, a tab, its task; FILE alone\n"
		"                    has the task of --task; lines that begin with # are passed over\n"
		"  -j, --jobs N      programs at once (default: the number of cores)\n"
		"  --dialect D       seed (default): what the published environment allows; open: see build\n",
	.engine = true,
	.run = run,
};
