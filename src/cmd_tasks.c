/*
 * cmd_tasks.c - the tasks: which there are, what one says, what is wrong with a pack; a new one,
 * and one in the user's editor.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/checks.h"
#include "engine/prompts.h"
#include "src/app.h"
#include "src/editor.h"
#include "src/pack_write.h"
#include "src/packs.h"
#include "src/scoring.h"
#include "src/show.h"

/* What a reference must reach under exact (reward-exact.md, "What makes it trustworthy"). */
#define REFERENCE_TOTAL 0.95

struct work {
	struct app app;
	bool build, prompt;
	const char *prompts;
};

/* ---- list, show ---- */

static const char *reference_of(const struct task *t)
{
	return t->reference ? json_string_or(t->json, "reference", NULL) : NULL;
}

static cJSON *task_json(const struct task *t)
{
	cJSON *o = cJSON_Duplicate(t->json, true);

	cJSON_AddStringToObject(o, "pack", t->pack);
	show_add_path(o, "file", t->file);
	cJSON_AddStringToObject(o, "hash", t->hash);
	return o;
}

static int list(const struct work *w, struct err *e)
{
	struct task_set s;
	int wide = 0, pack = 0;

	if (packs_load(&s, &w->app, e) < 0)
		return app_fail(e);
	for (int i = 0; i < s.n; i++) {
		int n = (int)strlen(s.tasks[i].id), k = (int)strlen(s.tasks[i].pack);
		wide = n > wide ? n : wide;
		pack = k > pack ? k : pack;
	}
	for (int i = 0; i < s.n; i++) {
		const struct task *t = &s.tasks[i];
		const char *reference = reference_of(t);
		if (w->app.json) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddStringToObject(o, "id", t->id);
			cJSON_AddStringToObject(o, "level", task_level_name(t->level));
			cJSON_AddStringToObject(o, "family", t->family);
			json_add_figures(o, "bbox_mm", t->bbox_mm, 3);
			cJSON_AddNumberToObject(o, "checks", t->n_checks);
			json_add_text(o, "reference", reference);
			cJSON_AddStringToObject(o, "pack", t->pack);
			show_add_path(o, "file", t->file);
			cJSON_AddStringToObject(o, "hash", t->hash);
			show_json_line(o);
			cJSON_Delete(o);
			continue;
		}
		const char *dot = reference ? strrchr(reference, '.') : NULL;
		bool there = t->reference && access(t->reference, R_OK) == 0;
		printf("%-*s  %-6s  %2d checks  %-9s  %-*s  %s\n", wide, t->id,
		       task_level_name(t->level), t->n_checks,
		       !reference ? "none"
		       : there    ? dot + 1
		                  : "MISSING",
		       pack, t->pack, t->family);
	}
	int rc = s.left_out.errors ? EXIT_NO : EXIT_DONE;
	task_set_release(&s);
	return rc;
}

/* A fact, a want: as JSON, and words without quotation marks. */
static void print_value(const cJSON *v)
{
	struct buf b = { 0 };

	if (cJSON_IsString(v))
		buf_adds(&b, v->valuestring);
	else if (v)
		json_print(&b, v);
	fputs(buf_str(&b), stdout);
	buf_release(&b);
}

static void print_task(const struct task *t)
{
	const cJSON *v;

	printf("%s  (%s, %s, pack %s)\n%s\n\n", t->id, task_level_name(t->level), t->family,
	       t->pack, t->prompt);
	printf("box         %.10g x %.10g x %.10g mm\n", t->bbox_mm[0], t->bbox_mm[1],
	       t->bbox_mm[2]);
	for (int i = 0; i < t->n_dimensions; i++)
		printf("%s%s = %.10g mm: %s\n", i ? "            " : "dimensions  ",
		       t->dimensions[i].name, t->dimensions[i].value_mm, t->dimensions[i].about);
	int i = 0;
	cJSON_ArrayForEach(v, t->expect)
	{
		printf("%s%s: ", i++ ? "            " : "expect      ", v->string);
		print_value(v);
		putchar('\n');
	}
	i = 0;
	cJSON_ArrayForEach(v, t->checks)
	{
		const cJSON *want = cJSON_GetObjectItemCaseSensitive(v, "want");
		printf("%s%s (%s, weight %.10g", i++ ? "            " : "checks      ",
		       json_string_or(v, "about", json_string_or(v, "id", "")),
		       json_string_or(v, "kind", ""), json_number_or(v, "weight", 1));
		if (want) {
			fputs(", want ", stdout);
			print_value(want);
		}
		puts(")");
	}
	const char *reference = reference_of(t);
	printf("reference   %s\n", reference ? t->reference : "none");
	printf("orientation %s\nfile        %s\nhash        %s\n",
	       t->orientation == TASK_FIXED ? "fixed" : "free", t->file, t->hash);
}

/* What a model is told first: system, an empty line, the task. */
static int print_prompt(const struct work *w, const struct task *t, struct err *e)
{
	struct prompts_dirs dirs;
	struct prompt_set p;
	struct buf system = { 0 }, user = { 0 };
	int rc;

	prompts_dirs(&dirs, &w->app);
	if (prompt_set_load(&p, dirs.dir, dirs.n, w->prompts ? w->prompts : PROMPTS_DEFAULT, e) < 0)
		return app_fail(e);
	if (prompt_system(&system, &p, e) < 0 || prompt_task(&user, &p, t, e) < 0) {
		rc = app_fail(e);
	} else {
		if (w->app.json) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddStringToObject(o, "task", t->id);
			cJSON_AddStringToObject(o, "prompts", p.name);
			cJSON_AddStringToObject(o, "prompts_hash", p.hash);
			cJSON_AddStringToObject(o, "system", buf_str(&system));
			cJSON_AddStringToObject(o, "user", buf_str(&user));
			show_json_line(o);
			cJSON_Delete(o);
		} else {
			printf("%s\n\n%s\n", buf_str(&system), buf_str(&user));
		}
		rc = EXIT_DONE;
	}
	buf_release(&system);
	buf_release(&user);
	prompt_set_release(&p);
	return rc;
}

static int show(const struct work *w, const char *id, struct err *e)
{
	struct task_set s;
	int rc = EXIT_DONE;

	if (packs_load(&s, &w->app, e) < 0)
		return app_fail(e);
	const struct task *t = task_find(&s, id, e);
	if (!t) {
		rc = app_fail(e);
	} else if (w->prompt) {
		rc = print_prompt(w, t, e);
	} else if (w->app.json) {
		cJSON *o = task_json(t);
		show_json_line(o);
		cJSON_Delete(o);
	} else {
		print_task(t);
	}
	task_set_release(&s);
	return rc;
}

/* ---- check ---- */

static int stop_when_interrupted(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static int reference_line(const struct task *t)
{
	struct buf text = { 0 };
	struct err e;
	int line = 0;

	if (buf_read_file(&text, t->file, INT_MAX, &e) == 0)
		line = json_line_of(buf_str(&text), text.len, t->json,
		                    cJSON_GetObjectItemCaseSensitive(t->json, "reference"));
	buf_release(&text);
	return line;
}

/* "legs: expected 4 ...; stands: ...": why checks fell short, the first few. */
static void add_reasons(struct buf *out, const cJSON *score)
{
	enum { REASONS_MAX = 4 };
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(score, "checks"))
	{
		if (json_bool_or(c, "ok", false) || n == REASONS_MAX)
			continue;
		n++;
		buf_printf(out, "; %s: %s", json_string_or(c, "id", "check"),
		           json_string_or(c, "why", "not fulfilled"));
	}
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(
				      score, "reward")) if (cJSON_IsNumber(c) &&
	                                                    strcmp(c->string, "total") != 0 &&
	                                                    c->valuedouble < 0.9)
		buf_printf(out, "; %s %.3f", c->string, c->valuedouble);
}

/* Builds and scores the task's reference, or reads it where it is no program. -1: our own failure,
 * which has been told as @e. */
static int try_reference(struct scoring *s, const struct task *t, struct task_problems *problems,
                         struct err *e)
{
	size_t n = strlen(t->reference);
	struct buf text = { 0 }, why = { 0 };
	struct scored got;
	int rc = 0, line = reference_line(t);

	if (n < 3 || strcmp(t->reference + n - 3, ".py") != 0) {
		if (scoring_prepare(s, t, e) < 0) {
			if (e->kind != ERR_INPUT)
				return -1;
			task_problem(problems, t->file, line, false, "reference: %s", e->text);
		}
		return 0;
	}
	if (buf_read_file(&text, t->reference, 8 << 20, e) < 0) {
		task_problem(problems, t->file, line, false, "reference: %s", e->text);
		buf_release(&text);
		return 0;
	}
	const struct scoring_input in = { .task = t,
		                          .text = buf_str(&text),
		                          .len = text.len,
		                          .rule = EXTRACT_FILE,
		                          .file = t->reference };
	if (scoring_run(s, &in, &got, e) < 0) {
		/* the same file is the task's reference, and as such cannot be used */
		rc = e->kind == ERR_INPUT ? 0 : -1;
		if (rc == 0)
			task_problem(problems, t->file, line, false, "reference: %s", e->text);
		buf_release(&text);
		return rc;
	}
	if (!got.built) {
		const cJSON *b = cJSON_GetObjectItemCaseSensitive(got.json, "build");
		task_problem(problems, t->reference, (int)json_number_or(b, "line", 0), false,
		             "the reference does not build: %s",
		             json_string_or(b, "error", build_class_label(got.cls)));
	} else if (!(got.total >= REFERENCE_TOTAL)) {
		add_reasons(&why, got.json);
		task_problem(problems, t->file, line, false,
		             "reference: %.4f under exact, %.2f wanted%s", got.total,
		             REFERENCE_TOTAL, buf_str(&why));
	}
	buf_release(&why);
	buf_release(&text);
	scored_release(&got);
	return 0;
}

static int try_references(const struct work *w, const struct task_set *s,
                          struct task_problems *problems, struct err *e)
{
	struct scoring_options o = {
		.app = &w->app, .profile = "exact", .rebuilds = -1, .ears.tick = stop_when_interrupted
	};
	struct scoring *sc = scoring_open(&o, e);
	bool bar = !w->app.quiet && isatty(STDERR_FILENO);
	int rc = sc ? 0 : -1;

	for (int i = 0; i < s->n && rc == 0; i++) {
		if (!s->tasks[i].reference || access(s->tasks[i].reference, R_OK) < 0)
			continue;
		if (bar)
			fprintf(stderr, "\r\033[K%d/%d %s", i + 1, s->n, s->tasks[i].id);
		rc = try_reference(sc, &s->tasks[i], problems, e);
	}
	if (bar)
		fputs("\r\033[K", stderr);
	scoring_close(sc);
	return rc;
}

static void print_problem(const struct work *w, const struct task_problem *p)
{
	if (w->app.json) {
		cJSON *o = cJSON_CreateObject();
		show_add_path(o, "file", p->file);
		json_add_figure(o, "line", p->line > 0 ? p->line : NAN);
		cJSON_AddBoolToObject(o, "remark", p->remark);
		cJSON_AddStringToObject(o, "text", p->text);
		show_json_line(o);
		cJSON_Delete(o);
	} else {
		struct buf b = { 0 };
		task_problem_print(&b, p);
		puts(buf_str(&b));
		buf_release(&b);
	}
}

struct tally {
	int packs, tasks, errors, remarks;
};

static int check_pack(const struct work *w, const char *dir, struct tally *sum, struct err *e)
{
	struct task_problems problems = { 0 };
	struct task_set s = { 0 };
	int rc = task_pack_check(dir, &problems, &s, e);

	if (rc == 0 && w->build)
		rc = try_references(w, &s, &problems, e);
	for (int i = 0; i < problems.n; i++)
		print_problem(w, &problems.v[i]);
	if (problems.lost)
		app_tell("%s: there are more than are shown", dir);
	sum->packs++;
	sum->tasks += s.n;
	sum->errors += problems.errors;
	sum->remarks += problems.n - problems.errors > 0 ? problems.n - problems.errors : 0;
	task_problems_release(&problems);
	task_set_release(&s);
	return rc;
}

/* @dirs, or every pack that is known; what is wrong with a folder of packs as such is told too. */
static int check(const struct work *w, char **dirs, int n, struct err *e)
{
	struct tally sum = { 0 };
	struct task_set s = { 0 };
	struct app quiet = w->app;
	int rc = 0;

	if (n == 0) {
		quiet.quiet = true;
		if (packs_load(&s, &quiet, e) < 0)
			return app_fail(e);
	}
	for (int i = 0; i < (n ? n : s.n_packs) && rc == 0; i++)
		rc = check_pack(w, n ? dirs[i] : s.packs[i].dir, &sum, e);
	/* folders that are no packs, and tasks of one id in two packs: what no pack alone shows */
	for (int i = 0; i < s.left_out.n && rc == 0; i++) {
		const char *file = s.left_out.v[i].file;
		bool of_pack = false;
		for (int k = 0; k < s.n_packs; k++)
			of_pack = of_pack ||
			          (strncmp(file, s.packs[k].dir, strlen(s.packs[k].dir)) == 0 &&
			           file[strlen(s.packs[k].dir)] == '/');
		if (of_pack && !strstr(s.left_out.v[i].text, " has the same"))
			continue;
		print_problem(w, &s.left_out.v[i]);
		sum.errors++;
	}
	task_set_release(&s);
	if (rc < 0)
		return app_fail(e);
	if (!w->app.json && !w->app.quiet)
		printf("%d %s in %d %s: %d %s, %d %s\n", sum.tasks,
		       sum.errors       ? "readable tasks"
		       : sum.tasks == 1 ? "task"
		                        : "tasks",
		       sum.packs, sum.packs == 1 ? "pack" : "packs", sum.errors,
		       sum.errors == 1 ? "mistake" : "mistakes", sum.remarks,
		       sum.remarks == 1 ? "remark" : "remarks");
	return sum.errors ? EXIT_NO : EXIT_DONE;
}

/* ---- new, edit ---- */

static int new_task(const struct cmd *self, const struct work *w, const char *where, struct err *e)
{
	char user[sizeof(w->app.user_data) + 16];
	const char *slash = strrchr(where, '/'), *id = slash ? slash + 1 : where;
	struct buf dir = { 0 }, path = { 0 };
	int rc;

	packs_user_dir(user, sizeof(user), &w->app);
	if (slash)
		buf_add(&dir, where, slash == where ? 1 : (size_t)(slash - where));
	else if (user[0])
		buf_printf(&dir, "%s/own", user);
	else
		return app_usage(self, "without HOME and XDG_DATA_HOME a folder is expected: "
		                       "tasks new DIR/ID");
	if (buf_failed(&dir))
		rc = app_fail((err_set(e, ERR_MEM, "no memory for a path"), e));
	else if (pack_new_task(&path, buf_str(&dir), id, e) < 0)
		rc = app_fail(e);
	else {
		puts(buf_str(&path));
		rc = EXIT_DONE;
	}
	buf_release(&dir);
	buf_release(&path);
	return rc;
}

/* Where the file of a task is, also of one that was left out for what is in it. 0, or -1. */
static int file_of(struct buf *out, const struct task_set *s, const char *id, struct err *e)
{
	const struct task *t = task_find(s, id, e);

	if (t) {
		buf_adds(out, t->file);
		return 0;
	}
	for (int i = 0; i < s->left_out.n && e->kind == ERR_INPUT; i++) {
		const char *file = s->left_out.v[i].file, *slash = strrchr(file, '/');
		size_t n = strlen(id);
		if (slash && strncmp(slash + 1, id, n) == 0 &&
		    strcmp(slash + 1 + n, ".json") == 0) {
			buf_adds(out, file);
			return 0;
		}
	}
	return -1;
}

static int copy_file(const char *from, const char *to, struct err *e)
{
	struct buf bytes = { 0 };
	int rc = buf_read_file(&bytes, from, INT_MAX, e);

	if (rc == 0)
		rc = file_write_atomic(to, bytes.data, bytes.len, e);
	buf_release(&bytes);
	return rc;
}

/* A pack that is not the user's to change is copied to the user's own first, whole; where there is
 * a pack of that name already, the task and its reference go into it. @path becomes that of the
 * copy, @dir its pack's folder. */
static int make_writable(struct buf *path, struct buf *dir, const struct work *w,
                         const struct task *t, struct err *e)
{
	char user[sizeof(w->app.user_data) + 16];
	const char *slash = strrchr(buf_str(path), '/');
	struct buf to = { 0 }, file = { 0 };
	int rc = -1;

	buf_clear(dir);
	buf_add(dir, buf_str(path), (size_t)(slash - buf_str(path)));
	if (buf_failed(dir))
		return err_set(e, ERR_MEM, "no memory for a path");
	if (access(buf_str(path), W_OK) == 0 && access(buf_str(dir), W_OK) == 0)
		return 0;
	packs_user_dir(user, sizeof(user), &w->app);
	if (!user[0])
		return err_set(e, ERR_IO,
		               "%s may not be written, and HOME and XDG_DATA_HOME do not say where "
		               "a copy could be",
		               buf_str(dir));
	const char *name = strrchr(buf_str(dir), '/');
	buf_printf(&to, "%s/%s", user, name ? name + 1 : buf_str(dir));
	buf_printf(&file, "%s%s", buf_str(&to), slash);
	if (buf_failed(&to) || buf_failed(&file)) {
		err_set(e, ERR_MEM, "no memory for a path");
		goto out;
	}
	if (access(buf_str(&to), F_OK) != 0) {
		if (pack_copy(buf_str(dir), buf_str(&to), e) < 0)
			goto out;
		app_tell("%s may not be written: its copy is %s", buf_str(dir), buf_str(&to));
	} else {
		const char *reference = t ? reference_of(t) : NULL;
		if (reference) {
			struct buf r = { 0 };
			buf_printf(&r, "%s/%s", buf_str(&to), reference);
			char *end = buf_failed(&r) ? NULL : strrchr(r.data, '/');
			if (end) {
				*end = '\0';
				int made = make_folders(r.data, e);
				*end = '/';
				if (made == 0 && copy_file(t->reference, r.data, e) == 0)
					end = NULL;
			}
			buf_release(&r);
			if (end)
				goto out;
		}
		if (copy_file(buf_str(path), buf_str(&file), e) < 0)
			goto out;
		app_tell("%s may not be written: %s is a copy in your own pack", buf_str(path),
		         buf_str(&file));
	}
	buf_clear(path);
	buf_adds(path, buf_str(&file));
	buf_clear(dir);
	buf_adds(dir, buf_str(&to));
	rc = 0;
out:
	buf_release(&to);
	buf_release(&file);
	return rc;
}

static int edit(const struct work *w, const char *id, struct err *e)
{
	struct app quiet = w->app;
	struct task_set s;
	struct buf path = { 0 }, dir = { 0 };
	struct tally sum = { 0 };
	struct err ignored;
	int rc;

	quiet.quiet = true;
	if (packs_load(&s, &quiet, e) < 0)
		return app_fail(e);
	if (file_of(&path, &s, id, e) < 0 ||
	    make_writable(&path, &dir, w, task_find(&s, id, &ignored), e) < 0 ||
	    editor_open(buf_str(&path), e) < 0 || check_pack(w, buf_str(&dir), &sum, e) < 0) {
		rc = app_fail(e);
	} else {
		if (!w->app.quiet && !w->app.json)
			printf("%s: its pack has %d %s\n", buf_str(&path), sum.errors,
			       sum.errors == 1 ? "mistake" : "mistakes");
		rc = sum.errors ? EXIT_NO : EXIT_DONE;
	}
	buf_release(&path);
	buf_release(&dir);
	task_set_release(&s);
	return rc;
}

/* ---- the verb ---- */

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		{ "build", no_argument, NULL, 'b' },
		{ "prompt", no_argument, NULL, 'p' },
		{ "prompts", required_argument, NULL, 'P' },
		{ NULL, 0, NULL, 0 },
	};
	struct work w = { 0 };
	struct err e = { 0 };
	int opt;

	app_init(&w.app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int f = app_flag(&w.app, self, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 1)
			continue;
		switch (opt) {
		case 'b':
			w.build = true;
			break;
		case 'p':
			w.prompt = true;
			break;
		case 'P':
			w.prompts = optarg;
			w.prompt = true;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	app_find(&w.app);
	char **word = argv + optind;
	int n = argc - optind;
	if (n == 0 || (n == 1 && strcmp(word[0], "list") == 0))
		return list(&w, &e);
	if (strcmp(word[0], "show") == 0)
		return n == 2 ? show(&w, word[1], &e)
		              : app_usage(self, "tasks show ID: one id is expected");
	if (strcmp(word[0], "check") == 0) {
		app_catch_interrupt();
		return check(&w, word + 1, n - 1, &e);
	}
	if (strcmp(word[0], "new") == 0)
		return n == 2 ? new_task(self, &w, word[1], &e)
		              : app_usage(self, "tasks new DIR/ID: one name is expected");
	if (strcmp(word[0], "edit") == 0)
		return n == 2 ? edit(&w, word[1], &e)
		              : app_usage(self, "tasks edit ID: one id is expected");
	return app_usage(self, "'%s': nothing, show, check, new or edit was expected", word[0]);
}

const struct cmd cmd_tasks = {
	.name = "tasks",
	.usage = "tasks [show ID | check [DIR...] | new [DIR/]ID | edit ID] [--build] [--json]",
	.summary = "list, show, check, write tasks",
	.help = "  tasks             id, level, checks, reference, pack, family of each\n"
		"  tasks show ID     all that its file says\n"
		"  tasks check DIR   what is wrong with the pack in the folder, by file and line;\n"
		"                    without DIR: with every pack that is known. Exit status 1: something\n"
		"  tasks new DIR/ID  writes a small whole task to start from; without DIR to your own pack\n"
		"  tasks edit ID     in $VISUAL or $EDITOR, then checks its pack; of a pack that may not\n"
		"                    be written a copy is made among your own first\n\n"
		"  --build           check, edit: build each reference; under exact it must reach 0.95\n"
		"  --prompt          show: what a model is told, system text and task\n"
		"  --prompts NAME    show: the same by that prompt set (default)\n",
	.engine = true,
	.run = run,
};
