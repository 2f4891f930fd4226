/*
 * cmd_curriculum.c - which failures there are, what each weighs and why; the next batch; rows to
 * train on; what is said by hand.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/curriculum_read.h"
#include "src/db.h"
#include "src/packs.h"
#include "src/show.h"
#include "engine/repair.h"

enum { NEXT_SHOWN = 16, NEXT_MAX = 100000, EXAMPLES_SHOWN = 5 };

struct work {
	struct db_flags f;
	const char *rules, *prompts, *as, *why;
	struct curriculum_ask ask;
	double min, margin;
	bool answers;
	int n; /* of export */
	/* opened by look() */
	struct task_set tasks;
	struct store *store;
	struct tallies tallies;
	struct curriculum_feed feed;
	struct curriculum_state state;
};

/* Everything but the deed: rules, tasks, store, and what follows from them. */
static int look(struct work *w, struct err *e)
{
	struct curriculum_rules rules;

	app_find(&w->f.app);
	if (curriculum_rules_load(&rules, NULL, &w->f.app, w->rules, e) < 0 ||
	    packs_load(&w->tasks, &w->f.app, e) < 0 ||
	    curriculum_feed_open(&w->feed, &rules, &w->tasks, e) < 0 ||
	    !(w->store = db_open(&w->f, STORE_READ, e)) ||
	    curriculum_feed_read(&w->feed, &w->tallies, w->store, 0, e) < 0)
		return -1;
	curriculum_look(w->feed.c, w->ask.formula, &w->state);
	return 0;
}

static void release(struct work *w)
{
	curriculum_feed_close(&w->feed);
	tallies_release(&w->tallies);
	store_close(w->store);
	task_set_release(&w->tasks);
}

/* The next @n; the caller frees them. */
static struct curriculum_item *next_items(struct work *w, int n, int *got, struct err *e)
{
	struct curriculum_item *v = calloc((size_t)n + 1, sizeof(*v));

	w->ask.n = n;
	if (!v)
		err_set(e, ERR_MEM, "no memory for %d items", n);
	else if ((*got = curriculum_next(w->feed.c, &w->ask, v, e)) < 0) {
		free(v);
		v = NULL;
	}
	return v;
}

static const char *hand_word(enum curriculum_hand h)
{
	static const char *const words[] = { "free", "pin", "ban", "weight" };

	return words[h];
}

static void ref_text(char out[48], int64_t episode, int turn)
{
	snprintf(out, 48, "%" PRId64 ".%d", episode, turn);
}

/* ---- the classes ---- */

static int add_examples(cJSON *o, const struct work *w, enum build_class class, struct err *e)
{
	struct curriculum_example v[EXAMPLES_SHOWN];
	int n = curriculum_examples(&w->feed, w->store, class, v, EXAMPLES_SHOWN, e);
	cJSON *a = cJSON_AddArrayToObject(o, "examples");
	char ref[48];

	for (int i = 0; i < n; i++) {
		cJSON *x = cJSON_CreateObject();
		ref_text(ref, v[i].episode, v[i].turn);
		cJSON_AddStringToObject(x, "turn", ref);
		cJSON_AddStringToObject(x, "task", v[i].task);
		json_add_text(x, "error", *v[i].error ? v[i].error : NULL);
		json_add_figure(x, "line", v[i].line ? v[i].line : NAN);
		json_add_text(x, "source", *v[i].source ? v[i].source : NULL);
		cJSON_AddBoolToObject(x, "clipped", v[i].clipped);
		cJSON_AddItemToArray(a, x);
	}
	return n < 0 ? -1 : 0;
}

static void print_example(const struct curriculum_example *x, const char *before)
{
	char ref[48];

	ref_text(ref, x->episode, x->turn);
	printf("%s%-9s %s", before, ref, x->task);
	if (x->line)
		printf(", line %d", x->line);
	fputs(x->clipped ? " (cut off): " : ": ", stdout);
	db_print_line(stdout, *x->error ? x->error : "nothing was kept of it");
	if (*x->source) {
		fputs("  |  ", stdout);
		db_print_line(stdout, x->source);
	}
	putchar('\n');
}

/* NULL: @e says why. */
static cJSON *class_json(const struct work *w, const struct curriculum_class *x, int next,
                         struct err *e)
{
	cJSON *o = cJSON_CreateObject();
	struct buf formula = { 0 };
	char ref[48];

	curriculum_explain(w->feed.c, &w->state, w->ask.formula, x->class, &formula);
	ref_text(ref, x->episode, x->turn);
	cJSON_AddStringToObject(o, "class", build_class_name(x->class));
	cJSON_AddStringToObject(o, "label", build_class_label(x->class));
	cJSON_AddNumberToObject(o, "count", (double)x->count);
	json_add_figure(o, "share", x->share);
	json_add_figure(o, "mastery", x->mastery);
	cJSON_AddNumberToObject(o, "repairs", x->repairs);
	cJSON_AddNumberToObject(o, "repairs_built", x->built);
	json_add_figure(o, "base", x->base);
	json_add_figure(o, "difficulty", x->difficulty);
	json_add_figure(o, "weight", x->weight);
	cJSON_AddStringToObject(o, "hand", hand_word(x->hand));
	cJSON_AddNumberToObject(o, "next", next);
	json_add_text(o, "newest", x->episode ? ref : NULL);
	cJSON_AddStringToObject(o, "formula", buf_str(&formula));
	buf_release(&formula);
	if (add_examples(o, w, x->class, e) < 0) {
		cJSON_Delete(o);
		return NULL;
	}
	return o;
}

static void print_stage(const struct work *w)
{
	const struct curriculum_state *s = &w->state;
	struct buf why = { 0 };

	curriculum_explain_stage(w->feed.c, s, w->ask.stage, &why);
	printf("\n%" PRId64 " completion%s, %" PRId64 " built. Stage %s.\n", s->completions,
	       s->completions == 1 ? "" : "s", s->built, buf_str(&why));
	buf_release(&why);
}

/* The newest failure of each class that there is. */
static int print_newest(const struct work *w, const struct curriculum_class *const *row, int n,
                        struct err *e)
{
	struct curriculum_example x;
	bool any = false;

	for (int i = 0; i < n; i++) {
		int got = row[i]->count
		                  ? curriculum_examples(&w->feed, w->store, row[i]->class, &x, 1, e)
		                  : 0;
		if (got < 0)
			return -1;
		if (got > 0 && !any)
			puts("\nThe newest of each (cadforge curriculum show CLASS has more, and why it "
			     "weighs what it does):");
		any = any || got > 0;
		if (got > 0) {
			printf("  %-22s ", build_class_name(row[i]->class));
			print_example(&x, "");
		}
	}
	return 0;
}

/* By weight down; of equals the more frequent. */
static int by_weight(const void *a, const void *b)
{
	const struct curriculum_class *x = *(const struct curriculum_class *const *)a;
	const struct curriculum_class *y = *(const struct curriculum_class *const *)b;

	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->class < y->class ? -1 : 1;
}

static int list(struct work *w, struct err *e)
{
	const struct curriculum_class *row[CLASS_COUNT];
	int next[CLASS_COUNT] = { 0 }, got = 0, n = 0;
	struct curriculum_item *v;

	if (look(w, e) < 0 || !(v = next_items(w, NEXT_SHOWN, &got, e)))
		return app_fail(e);
	for (int i = 0; i < got; i++)
		if (v[i].kind == ITEM_REPAIR)
			next[v[i].class]++;
	free(v);
	for (int i = CLASS_BUILD_OK + 1; i < CLASS_COUNT; i++)
		row[n++] = &w->state.class[i];
	qsort(row, (size_t)n, sizeof(*row), by_weight);
	if (!w->f.app.json)
		printf("%-24s %8s %7s %11s %8s %6s %10s %8s %5s\n", "CLASS", "COUNT", "SHARE",
		       "REPAIRED", "MASTERY", "BASE", "DIFFICULTY", "WEIGHT", "NEXT");
	for (int i = 0; i < n; i++) {
		const struct curriculum_class *x = row[i];
		if (w->f.app.json) {
			cJSON *o = class_json(w, x, next[x->class], e);
			if (!o)
				return app_fail(e);
			show_json_line(o);
			cJSON_Delete(o);
			continue;
		}
		char difficulty[32] = "-";
		if (x->count)
			snprintf(difficulty, sizeof(difficulty), "%.2f", x->difficulty);
		printf("%-24s %8" PRId64 " %5.1f %% %5d/%-5d %8.3f %6.2f %10s %8.4f %5d%s%s\n",
		       build_class_name(x->class), x->count, 100 * x->share, x->built, x->repairs,
		       x->mastery, x->base, difficulty, x->weight, next[x->class],
		       x->hand == HAND_FREE ? "" : "  by hand: ",
		       x->hand == HAND_FREE ? "" : hand_word(x->hand));
	}
	if (w->f.app.json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "rules", curriculum_rules(w->feed.c)->name);
		cJSON_AddNumberToObject(o, "completions", (double)w->state.completions);
		cJSON_AddNumberToObject(o, "built", (double)w->state.built);
		cJSON_AddStringToObject(o, "stage", curriculum_stage_name(w->state.stage));
		cJSON_AddNumberToObject(o, "stage_turns", w->state.stage_turns);
		cJSON_AddNumberToObject(o, "stage_built", w->state.stage_built);
		struct buf why = { 0 };
		curriculum_explain_stage(w->feed.c, &w->state, w->ask.stage, &why);
		cJSON_AddStringToObject(o, "stage_why", buf_str(&why));
		buf_release(&why);
		show_json_line(o);
		cJSON_Delete(o);
	} else {
		print_stage(w);
		if (print_newest(w, row, n, e) < 0)
			return app_fail(e);
	}
	return EXIT_DONE;
}

/* ---- one class ---- */

static int print_hand(void *ctx, const struct store_hand_row *h)
{
	const char *class_name = ((void **)ctx)[0];
	const bool *json = ((void **)ctx)[1];
	char when[40];

	if (class_name && strcmp(class_name, h->class_name) != 0)
		return 0;
	if (*json) {
		cJSON *o = cJSON_CreateObject();
		store_utc_time(when, sizeof(when), h->time_us);
		cJSON_AddNumberToObject(o, "id", (double)h->id);
		json_add_text(o, "time", when);
		json_add_text(o, "as", h->as);
		json_add_text(o, "class", h->class_name);
		json_add_text(o, "change", store_hand_name(h->change));
		json_add_figure(o, "weight", h->weight);
		json_add_text(o, "why", h->why);
		show_json_line(o);
		cJSON_Delete(o);
		return 0;
	}
	store_local_time(when, sizeof(when), h->time_us);
	printf("%s  ", when);
	db_print_line(stdout, h->as);
	printf("  %s %s", store_hand_name(h->change), h->class_name);
	if (h->change == STORE_HAND_WEIGHT)
		printf(" %g", h->weight);
	if (h->why) {
		fputs("  - ", stdout);
		db_print_line(stdout, h->why);
	}
	putchar('\n');
	return 0;
}

static int bad_class(const struct cmd *self, const char *name)
{
	struct buf names = { 0 };

	for (int i = CLASS_BUILD_OK + 1; i < CLASS_COUNT; i++)
		buf_printf(&names, "%s%s", names.len ? ", " : "",
		           build_class_name((enum build_class)i));
	int rc = app_usage(self, "one of %s was expected, got '%.60s'", buf_str(&names), name);
	buf_release(&names);
	return rc;
}

static int load_prompts(struct prompt_set *out, struct work *w, struct err *e)
{
	struct prompts_dirs dirs;

	prompts_dirs(&dirs, &w->f.app);
	return prompt_set_load(out, dirs.dir, dirs.n, w->prompts, e);
}

struct newest {
	char task[256];
};

static int see_task(void *ctx, const struct store_episode *x)
{
	struct newest *v = ctx;

	snprintf(v->task, sizeof(v->task), "%s", x->task);
	return 0;
}

/* The prompt that its newest failure gives; NULL without one, or with @e. */
static cJSON *class_prompt(struct work *w, const struct curriculum_class *x, struct err *e)
{
	struct prompt_set set;
	struct newest v = { "" };
	const struct task *task;
	cJSON *messages;

	if (!x->episode)
		return NULL;
	if (store_episode(w->store, x->episode, see_task, &v, e) < 0 ||
	    !(task = task_find(&w->tasks, v.task, e)) || load_prompts(&set, w, e) < 0)
		return NULL;
	messages = curriculum_prompt(w->store, &set, task, x->episode, x->turn, e);
	prompt_set_release(&set);
	return messages;
}

static int show(const struct cmd *self, struct work *w, const char *name, struct err *e)
{
	enum build_class class = curriculum_class_of(name);
	int got = 0, next = 0;

	if (class == CLASS_COUNT || class == CLASS_BUILD_OK)
		return bad_class(self, name);
	if (look(w, e) < 0)
		return app_fail(e);
	struct curriculum_item *v = next_items(w, NEXT_SHOWN, &got, e);
	if (!v)
		return app_fail(e);
	for (int i = 0; i < got; i++)
		next += v[i].kind == ITEM_REPAIR && v[i].class == class;
	free(v);
	const struct curriculum_class *x = &w->state.class[class];
	cJSON *messages = class_prompt(w, x, e);
	if (!messages && x->episode)
		return app_fail(e);
	if (w->f.app.json) {
		cJSON *o = class_json(w, x, next, e);
		if (!o) {
			cJSON_Delete(messages);
			return app_fail(e);
		}
		cJSON_AddItemToObject(o, "messages", messages ? messages : cJSON_CreateNull());
		show_json_line(o);
		cJSON_Delete(o);
		return EXIT_DONE;
	}
	struct buf text = { 0 };
	const void *ctx[2] = { name, &w->f.app.json };
	curriculum_explain(w->feed.c, &w->state, w->ask.formula, class, &text);
	printf("%s (%s): %" PRId64 " of %" PRId64 " completions, %d of the next %d\n%s\n",
	       build_class_name(class), build_class_label(class), x->count, w->state.completions,
	       next, NEXT_SHOWN, buf_str(&text));
	buf_clear(&text);
	store_hands(w->store, print_hand, ctx, NULL);
	struct curriculum_example newest[EXAMPLES_SHOWN];
	got = curriculum_examples(&w->feed, w->store, class, newest, EXAMPLES_SHOWN, e);
	if (got > 0)
		printf("\nThe newest of them:\n");
	for (int i = 0; i < got; i++)
		print_example(&newest[i], "  ");
	if (messages) {
		repair_text(&text, messages);
		printf("\nThe prompt that its newest failure, %" PRId64 ".%d, gives:\n\n",
		       x->episode, x->turn);
		db_print_text(stdout, buf_str(&text), text.len, "    ");
	} else {
		puts("\nThere is no failure of it among them.");
	}
	cJSON_Delete(messages);
	buf_release(&text);
	return got < 0 ? app_fail(e) : EXIT_DONE;
}

/* ---- the next batch, and rows to train on ---- */

static int next(struct work *w, int n, struct err *e)
{
	int got = 0;

	if (look(w, e) < 0)
		return app_fail(e);
	struct curriculum_item *v = next_items(w, n, &got, e);
	if (!v)
		return app_fail(e);
	for (int i = 0; i < got; i++) {
		const struct curriculum_item *x = &v[i];
		char ref[48] = "-";
		if (w->f.app.json) {
			cJSON *o = curriculum_item_json(w->feed.c, x);
			show_json_line(o);
			cJSON_Delete(o);
			continue;
		}
		if (x->kind == ITEM_REPAIR)
			ref_text(ref, x->episode, x->turn);
		printf("%-22s %-34s %-9s %7.4f  %s\n",
		       x->kind == ITEM_REPAIR ? build_class_name(x->class) : "first try",
		       curriculum_task_name(w->feed.c, x->task), ref, x->weight, x->why);
	}
	free(v);
	return EXIT_DONE;
}

static int export_rows(struct work *w, const char *file, struct err *e)
{
	struct prompt_set set;
	struct buf out = { 0 };
	const struct curriculum_answers known = { w->min, w->margin };
	int got = 0, rc = 0, rows = 0;

	if (look(w, e) < 0)
		return app_fail(e);
	struct curriculum_item *v = next_items(w, w->n, &got, e);
	if (!v || load_prompts(&set, w, e) < 0) {
		free(v);
		return app_fail(e);
	}
	app_catch_interrupt();
	for (int i = 0; i < got && rc >= 0 && !app_interrupted(); i++) {
		rc = curriculum_row(&out, w->store, &w->feed, &set, &v[i],
		                    w->answers ? &known : NULL, e);
		rows += rc > 0;
	}
	rc = rc < 0 ? -1 : 0;
	if (rc == 0 && app_interrupted())
		rc = err_set(e, ERR_CANCELLED, "interrupted");
	if (rc == 0 && buf_failed(&out))
		rc = err_set(e, ERR_MEM, "no memory for %d rows", got);
	if (rc == 0 && strcmp(file, "-") == 0)
		fwrite(buf_str(&out), 1, out.len, stdout);
	else if (rc == 0)
		rc = file_write_atomic(file, buf_str(&out), out.len, e);
	if (rc == 0 && !w->f.app.quiet) {
		fprintf(stderr, "%d row%s", rows, rows == 1 ? "" : "s");
		if (rows < got)
			fprintf(stderr, "; %d without an answer of %.2f or more left out",
			        got - rows, w->min);
		fputc('\n', stderr);
	}
	free(v);
	prompt_set_release(&set);
	buf_release(&out);
	return rc < 0 ? app_fail(e) : rows ? EXIT_DONE : EXIT_NO;
}

/* ---- by hand ---- */

static int set(const struct cmd *self, struct work *w, const char *name, const char *what,
               struct err *e)
{
	struct store_hand_new n = { .class_name = name, .as = db_who(w->as), .why = w->why };
	enum build_class class = curriculum_class_of(name);
	int64_t id = 0;

	if (class == CLASS_COUNT || class == CLASS_BUILD_OK)
		return bad_class(self, name);
	if (strcmp(what, "pin") == 0)
		n.change = STORE_HAND_PIN;
	else if (strcmp(what, "ban") == 0)
		n.change = STORE_HAND_BAN;
	else if (strcmp(what, "free") == 0)
		n.change = STORE_HAND_FREE;
	else {
		char *end;
		n.change = STORE_HAND_WEIGHT;
		n.weight = strtod(what, &end);
		if (!*what || *end || !(n.weight >= 0 && n.weight <= 1e6))
			return app_usage(self,
			                 "pin, ban, free or a weight from 0 to 1000000 was "
			                 "expected, got '%.40s'",
			                 what);
	}
	if (!n.as)
		return app_usage(self, "who says it? --as NAME");
	w->store = db_open(&w->f, STORE_WRITE, e);
	if (!w->store || store_hand_add(w->store, &n, &id, e) < 0)
		return app_fail(e);
	if (w->f.app.json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "id", (double)id);
		cJSON_AddStringToObject(o, "class", name);
		cJSON_AddStringToObject(o, "change", store_hand_name(n.change));
		json_add_figure(o, "weight", n.change == STORE_HAND_WEIGHT ? n.weight : NAN);
		json_add_text(o, "as", n.as);
		json_add_text(o, "why", n.why);
		show_json_line(o);
		cJSON_Delete(o);
	}
	return EXIT_DONE;
}

static int history(struct work *w, struct err *e)
{
	const void *ctx[2] = { NULL, &w->f.app.json };

	w->store = db_open(&w->f, STORE_READ, e);
	if (!w->store || store_hands(w->store, print_hand, ctx, e) < 0)
		return app_fail(e);
	return EXIT_DONE;
}

/* ---- the verb ---- */

static int run_words(const struct cmd *self, struct work *w, char **word, int n, struct err *e)
{
	int count = NEXT_SHOWN;

	if (n == 0)
		return list(w, e);
	if (strcmp(word[0], "show") == 0)
		return n == 2 ? show(self, w, word[1], e)
		              : app_usage(self, "curriculum show CLASS: one class is expected");
	if (strcmp(word[0], "next") == 0) {
		if (n > 2)
			return app_usage(self, "curriculum next N: one number is expected");
		if (n == 2 && app_whole("next", word[1], 1, NEXT_MAX, &count) < 0)
			return EXIT_USAGE;
		return next(w, count, e);
	}
	if (strcmp(word[0], "export") == 0)
		return n == 2 ? export_rows(w, word[1], e)
		              : app_usage(self, "curriculum export FILE: one file is expected");
	if (strcmp(word[0], "set") == 0)
		return n == 3 ? set(self, w, word[1], word[2], e)
		              : app_usage(self, "curriculum set CLASS pin|ban|free|WEIGHT");
	if (strcmp(word[0], "log") == 0 && n == 1)
		return history(w, e);
	return app_usage(self, "'%.40s': nothing, show, next, export, set or log was expected",
	                 word[0]);
}

static int choose(const char *flag, const char *arg, const char *const *words, int n, int *out)
{
	struct buf all = { 0 };

	for (int i = 0; i < n; i++) {
		if (strcmp(arg, words[i]) == 0) {
			*out = i;
			buf_release(&all);
			return 0;
		}
		buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
	}
	app_tell("%s: one of %s was expected, got '%.40s'", flag, buf_str(&all), arg);
	buf_release(&all);
	return -1;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	enum {
		RULES = DB_FLAGS_END,
		WEIGHT,
		STAGE,
		SEED,
		PROMPTS,
		COUNT,
		ANSWERS,
		MIN,
		MARGIN,
		AS,
		WHY
	};
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "rules", required_argument, NULL, RULES },
		                                 { "weight", required_argument, NULL, WEIGHT },
		                                 { "stage", required_argument, NULL, STAGE },
		                                 { "seed", required_argument, NULL, SEED },
		                                 { "prompts", required_argument, NULL, PROMPTS },
		                                 { "count", required_argument, NULL, COUNT },
		                                 { "answers", no_argument, NULL, ANSWERS },
		                                 { "min", required_argument, NULL, MIN },
		                                 { "margin", required_argument, NULL, MARGIN },
		                                 { "as", required_argument, NULL, AS },
		                                 { "why", required_argument, NULL, WHY },
		                                 { NULL, 0, NULL, 0 } };
	static const char *const formulas[] = { "mastery", "seed" };
	static const char *const stages[] = { "auto", "foundation", "balanced", "hard" };
	struct work w = { .rules = "default",
		          .prompts = PROMPTS_DEFAULT,
		          .n = 180,
		          .min = 0.6,
		          .margin = 0.001 };
	struct err e = { 0 };
	int opt, rc, v = 0;

	db_flags_init(&w.f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = opt < DB_FLAGS_END ? db_flag(&w.f, self, opt, optarg) : 0;
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		rc = 0;
		switch (opt) {
		case RULES:
			w.rules = optarg;
			break;
		case WEIGHT:
			rc = choose("--weight", optarg, formulas, 2, &v);
			w.ask.formula = (enum curriculum_formula)v;
			break;
		case STAGE:
			rc = choose("--stage", optarg, stages, 4, &v);
			w.ask.stage = (enum curriculum_stage)v;
			break;
		case SEED:
			rc = app_whole("--seed", optarg, 0, INT32_MAX, &v);
			w.ask.seed = (uint32_t)v;
			break;
		case PROMPTS:
			w.prompts = optarg;
			break;
		case COUNT:
			rc = app_whole("--count", optarg, 1, NEXT_MAX, &w.n);
			break;
		case ANSWERS:
			w.answers = true;
			break;
		case MIN:
			rc = app_number("--min", optarg, -1, 1, &w.min);
			break;
		case MARGIN:
			rc = app_number("--margin", optarg, 0, 2, &w.margin);
			break;
		case AS:
			w.as = optarg;
			break;
		case WHY:
			w.why = optarg;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
		if (rc < 0)
			return EXIT_USAGE;
	}
	rc = run_words(self, &w, argv + optind, argc - optind, &e);
	release(&w);
	return rc;
}

const struct cmd cmd_curriculum = {
	.name = "curriculum",
	.usage =
		"curriculum [show CLASS | next N | export FILE | set CLASS pin|ban|free|WEIGHT | log]",
	.summary = "failure classes, mastery, weights; the next batch and why",
	.help = "  curriculum        the classes by weight: how many failures, how many of their newest "
		"repairs\n"
		"                    built, what follows from it, how many of the next 16 are theirs; "
		"why\n"
		"                    the stage is what it is; the newest failure of each with its "
		"error\n"
		"  curriculum show CLASS  the formula with its numbers, what was said by hand, its "
		"newest\n"
		"                    failures with their errors, the repair prompt that the newest of "
		"them gives\n"
		"  curriculum next N the next batch and why each item is in it (16)\n"
		"  curriculum export FILE  the same as chat JSON lines {messages, task, kind, class, "
		"turn,\n"
		"                    weight, why}; - is standard output\n"
		"  curriculum set CLASS pin   m counts as 0, and every batch has one of it\n"
		"  curriculum set CLASS ban   none of it\n"
		"  curriculum set CLASS W     that weight\n"
		"  curriculum set CLASS free  as computed, again\n"
		"  curriculum log    what was said by hand, when, by whom, why\n\n"
		"  --rules NAME      base weights, difficulties, stages: NAME.json in curriculum/ of the "
		"tasks,\n"
		"                    or a file (default)\n"
		"  --weight W        mastery: base x (1 - m)^2 x difficulty; seed: the published code's "
		"own\n"
		"                    (mastery)\n"
		"  --stage S         foundation, balanced, hard; auto: by the build rate (auto)\n"
		"  --seed N          of the draw (0): the same seed, the same batch\n"
		"  --prompts NAME    the prompt set of show and export (default)\n"
		"  --count N         rows of export (180)\n"
		"  --answers         of export: only failures whose repair is known, with it as the "
		"last message\n"
		"  --min TOTAL, --margin X  of --answers: the least total (0.6), and the least gain "
		"(0.001)\n"
		"  --as NAME         who says it (the login's name)\n"
		"  --why TEXT        why, for the log\n" DB_HELP
		"\nJSON: {class, label, count, share, mastery, repairs, repairs_built, base, "
		"difficulty, weight,\nhand, next, newest, formula, examples [{turn, task, error, line, "
		"source,\nclipped}]} a line, and last {rules,\ncompletions, built, stage, stage_turns, "
		"stage_built, stage_why}; next: {task, kind, class, "
		"turn, weight, why}.\n",
	.run = run,
};
