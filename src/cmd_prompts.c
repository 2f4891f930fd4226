/*
 * cmd_prompts.c - the prompt sets: which there are, what is in one, what differs between two.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/prompts.h"
#include "src/app.h"
#include "src/packs.h"
#include "src/show.h"
#include "src/base/linediff.h"

struct work {
	struct app app;
	struct prompts_dirs dirs;
};

static int load(struct prompt_set *s, const struct work *w, const char *name, struct err *e)
{
	return prompt_set_load(s, w->dirs.dir, w->dirs.n, name, e);
}

static cJSON *head_json(const struct prompt_set *s)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", s->name);
	cJSON_AddStringToObject(o, "hash", s->hash);
	json_add_text(o, "base", s->base);
	cJSON_AddStringToObject(o, "about", s->about);
	show_add_path(o, "dir", s->dir);
	return o;
}

/* A set that cannot be used is told on stderr; the others are listed. */
static int list(const struct work *w, struct err *e)
{
	char **names = NULL;
	int n = prompt_set_names(&names, w->dirs.dir, w->dirs.n, e), rc = EXIT_DONE;

	if (n < 0)
		return app_fail(e);
	for (int i = 0; i < n; i++) {
		struct prompt_set s;
		if (load(&s, w, names[i], e) < 0) {
			rc = app_fail(e);
		} else if (w->app.json) {
			cJSON *o = head_json(&s);
			show_json_line(o);
			cJSON_Delete(o);
			prompt_set_release(&s);
		} else {
			printf("%-20s %.12s  %s\n", s.name, s.hash, s.about);
			prompt_set_release(&s);
		}
		free(names[i]);
	}
	free(names);
	if (n == 0) {
		err_set(e, ERR_LACKS,
		        "no prompt set was found: CADFORGE_TASKS names the folder that holds "
		        "prompts/");
		rc = app_fail(e);
	}
	return rc;
}

static int show(const struct work *w, const char *name, struct err *e)
{
	struct prompt_set s;

	if (load(&s, w, name, e) < 0)
		return app_fail(e);
	if (w->app.json) {
		cJSON *o = head_json(&s), *texts = cJSON_AddObjectToObject(o, "texts");
		for (int k = 0; k < PROMPT_KINDS; k++)
			cJSON_AddStringToObject(texts, prompt_file((enum prompt_kind)k), s.text[k]);
		show_json_line(o);
		cJSON_Delete(o);
	} else {
		printf("%s\n%s\n%s\n%s\n", s.name, s.hash, s.about, s.dir);
		for (int k = 0; k < PROMPT_KINDS; k++)
			printf("\n==== %s%s%s\n%s\n", prompt_file((enum prompt_kind)k),
			       s.inherited[k] ? ", of " : "", s.inherited[k] ? s.base : "",
			       s.text[k]);
	}
	prompt_set_release(&s);
	return EXIT_DONE;
}

/* Exit status as diff(1): 0 equal, 1 different. */
static int diff(const struct work *w, const char *name_a, const char *name_b, struct err *e)
{
	struct prompt_set a, b;
	bool equal = true;
	int rc = EXIT_DONE;

	if (load(&a, w, name_a, e) < 0)
		return app_fail(e);
	if (load(&b, w, name_b, e) < 0) {
		prompt_set_release(&a);
		return app_fail(e);
	}
	for (int k = 0; k < PROMPT_KINDS && rc != EXIT_USAGE; k++) {
		const char *file = prompt_file((enum prompt_kind)k);
		struct buf x = { 0 }, y = { 0 }, left = { 0 }, right = { 0 }, out = { 0 };
		struct linediff n = { 0 };
		/* they are kept without the newline at their end */
		buf_printf(&x, "%s\n", a.text[k]);
		buf_printf(&y, "%s\n", b.text[k]);
		buf_printf(&left, "%s/%s", a.name, file);
		buf_printf(&right, "%s/%s", b.name, file);
		if (linediff(&out, buf_str(&x), x.len, buf_str(&left), buf_str(&y), y.len,
		             buf_str(&right), 3, &n, e) < 0) {
			rc = app_fail(e);
		} else if (n.removed || n.added) {
			equal = false;
			if (w->app.json) {
				cJSON *o = cJSON_CreateObject();
				cJSON_AddStringToObject(o, "file", file);
				cJSON_AddNumberToObject(o, "removed", n.removed);
				cJSON_AddNumberToObject(o, "added", n.added);
				cJSON_AddStringToObject(o, "diff", buf_str(&out));
				show_json_line(o);
				cJSON_Delete(o);
			} else {
				fputs(buf_str(&out), stdout);
			}
		}
		buf_release(&x);
		buf_release(&y);
		buf_release(&left);
		buf_release(&right);
		buf_release(&out);
	}
	prompt_set_release(&a);
	prompt_set_release(&b);
	return rc != EXIT_DONE ? rc : equal ? EXIT_DONE : EXIT_NO;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, APP_JSON },
		{ "help", no_argument, NULL, APP_HELP },
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
		if (f != 1)
			return app_bad_flag(self, opt, argv);
	}
	app_find(&w.app);
	prompts_dirs(&w.dirs, &w.app);
	char **word = argv + optind;
	int n = argc - optind;
	if (n == 0 || (n == 1 && strcmp(word[0], "list") == 0))
		return list(&w, &e);
	if (strcmp(word[0], "show") == 0)
		return n == 2 ? show(&w, word[1], &e)
		              : app_usage(self, "prompts show NAME: one name is expected");
	if (strcmp(word[0], "diff") == 0)
		return n == 3 ? diff(&w, word[1], word[2], &e)
		              : app_usage(self, "prompts diff A B: two names are expected");
	return app_usage(self, "'%s': nothing, show or diff was expected", word[0]);
}

const struct cmd cmd_prompts = {
	.name = "prompts",
	.usage = "prompts [show NAME | diff A B] [--json]",
	.summary = "list, show, compare prompt sets",
	.help = "  prompts           the sets: name, hash, what each is for\n"
		"  prompts show NAME all texts of a set\n"
		"  prompts diff A B  what differs, file by file; exit status 1 when something does\n\n"
		"  --json            one JSON object a line on standard output\n"
		"  --help            this text\n",
	.run = run,
};
