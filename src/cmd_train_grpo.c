/*
 * cmd_train_grpo.c - train grpo: reinforcement learning from the command line, and going on with
 * such a run.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/prompts.h"
#include "src/cmd_train.h"
#include "src/curriculum_read.h"
#include "src/db.h"
#include "src/far_engine.h"
#include "src/grpo.h"
#include "src/grpo_budget.h"
#include "src/grpo_settings.h"
#include "src/packs.h"
#include "src/scoring.h"
#include "src/show.h"

enum { CONFIG_BYTES_MAX = 1 << 20, PACKS_MAX = 64 };

enum flag { FLAG_CONFIG = DB_FLAGS_END, FLAG_PRESET, FLAG_DRY_RUN, FLAG_SETTINGS = 9000 };

struct work {
	const struct cmd *self;
	struct db_flags f;
	cJSON *all, *policy;
	const char *config, *preset;
	bool dry_run;
	struct model_flags model;
	struct task_set tasks;
	struct prompt_set prompts;
	bool has_prompts;
	int *task, *held;
	int n_tasks, n_held;
	struct grpo_settings loop;
	struct store *store;
	char out[PATH_MAX];
};

/* ---- flags ---- */

static void print_help(void)
{
	struct buf text = { 0 };

	buf_adds(
		&text,
		"usage: cadforge train grpo [FLAGS]\n\n"
		"Reinforcement learning: a step draws groups of answers to prompts, builds and scores "
		"each as it\nends, and moves the policy towards what earned more than the rest of "
		"its group. Every answer,\nstep and alarm is in the database; 'cadforge report RUN' "
		"makes a page of it.\n\n"
		"  --config-json FILE      settings as one object: the names below with _ for -; "
		"flags come first\n"
		"  --preset NAME           published settings, where nothing else is said\n"
		"  --dry-run               say what would be done, and end\n"
		"  --queue URL             workers on other machines build and score, and answer "
		"where they\n                          have the model: see worker\n");
	grpo_settings_help(&text);
	buf_adds(&text, DB_HELP);
	fputs(buf_str(&text), stdout);
	fputs(app_limits_help, stdout);
	buf_clear(&text);
	buf_adds(&text, "\nPresets:\n");
	grpo_settings_presets(&text);
	buf_adds(&text, "\nJSON: {event: ready|step|eval|checkpoint|note, run, ...} a line.\n"
	                "^C ends a run with a checkpoint; 'cadforge train resume RUN' goes on.\n");
	fputs(buf_str(&text), stdout);
	buf_release(&text);
}

static int make_options(struct option **out, char (**names)[40])
{
	static const struct option own[] = {
		{ "db", required_argument, NULL, DB_FILE },
		APP_LONG_OPTIONS,
		APP_QUEUE_OPTION,
		{ "config-json", required_argument, NULL, FLAG_CONFIG },
		{ "preset", required_argument, NULL, FLAG_PRESET },
		{ "dry-run", no_argument, NULL, FLAG_DRY_RUN },
	};
	size_t n = sizeof(own) / sizeof(*own);

	*out = calloc(n + (size_t)grpo_setting_count + 1, sizeof(**out));
	*names = calloc((size_t)grpo_setting_count, sizeof(**names));
	if (!*out || !*names)
		return -1;
	memcpy(*out, own, sizeof(own));
	for (int i = 0; i < grpo_setting_count; i++) {
		grpo_setting_flag((*names)[i], &grpo_setting_table[i]);
		(*out)[n + (size_t)i] = (struct option){ .name = (*names)[i],
			                                 .has_arg = required_argument,
			                                 .val = FLAG_SETTINGS + i };
	}
	return 0;
}

/* 0: go on; 1000: done; else how the program ends. */
static int take_flag(struct work *w, int opt, char **argv)
{
	struct err e = { 0 };

	if (opt >= FLAG_SETTINGS && opt < FLAG_SETTINGS + grpo_setting_count)
		return grpo_setting_take(w->all, &grpo_setting_table[opt - FLAG_SETTINGS], optarg,
		                         &e) < 0
		               ? app_fail(&e)
		               : 0;
	switch (opt) {
	case FLAG_CONFIG:
		w->config = optarg;
		return 0;
	case FLAG_PRESET:
		w->preset = optarg;
		return 0;
	case FLAG_DRY_RUN:
		w->dry_run = true;
		return 0;
	case APP_HELP:
		print_help();
		return 1000;
	default:
		break;
	}
	int rc = opt < DB_FLAGS_END ? db_flag(&w->f, w->self, opt, optarg) : 0;
	return rc == 1 ? 0 : rc < 0 ? EXIT_USAGE : app_bad_flag(w->self, opt, argv);
}

static int parse(struct work *w, int argc, char **argv)
{
	struct option *options = NULL;
	char(*names)[40] = NULL;
	int opt, rc = 0;

	if (make_options(&options, &names) < 0) {
		rc = app_usage(w->self, "out of memory");
	} else {
		opterr = 0;
		while (rc == 0 && (opt = getopt_long(argc, argv, ":", options, NULL)) >= 0)
			rc = take_flag(w, opt, argv);
		if (rc == 0 && optind < argc)
			rc = app_usage(w->self,
			               "train grpo: flags alone were expected, got '%.40s'",
			               argv[optind]);
	}
	free(options);
	free(names);
	return rc;
}

static int read_config(struct work *w, struct err *e)
{
	struct buf text = { 0 };
	cJSON *o;
	int rc;

	if (w->config) {
		if (buf_read_file(&text, w->config, CONFIG_BYTES_MAX, e) < 0)
			return -1;
		o = json_parse(buf_str(&text), text.len, e);
		buf_release(&text);
		rc = o ? grpo_settings_add(w->all, o, e) : -1;
		cJSON_Delete(o);
		if (rc < 0)
			return err_wrap(e, "%s", w->config);
	}
	return w->preset ? grpo_settings_preset(w->all, w->preset, e) : 0;
}

/* ---- what the settings name ---- */

static void put(cJSON *o, const char *key, const char *text)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	cJSON_AddStringToObject(o, key, text);
}

static enum gpu_backend backend_of(const cJSON *o)
{
	const char *name = json_string_or(o, "backend", "auto");

	return strcmp(name, "cpu") == 0 ? GPU_CPU : strcmp(name, "cuda") == 0 ? GPU_CUDA : GPU_AUTO;
}

static int take_model(struct work *w, struct err *e)
{
	struct model_flags *m = &w->model;
	const char *adapter = json_string_or(w->all, "adapter", NULL);
	bool full = strcmp(json_string_or(w->all, "method", "lora"), "full") == 0;

	if (full && adapter && strcmp(adapter, "none") != 0)
		return err_set(e, ERR_USAGE,
		               "--adapter %.200s: with --method full all of a model learns, and an "
		               "adapter is not its own; 'cadforge model merge' makes one of both",
		               adapter);
	if (full)
		adapter = "none";
	m->model = json_string_or(w->all, "model", NULL);
	m->backend = backend_of(w->all);
	m->dtype = json_string_or(w->all, "engine_dtype", NULL);
	m->threads = (int)json_number_or(w->all, "threads", 0);
	m->temperature_given = true;
	if (adapter && strcmp(adapter, "none") == 0) {
		m->no_adapter = true;
	} else if (adapter) {
		snprintf(m->names[0], sizeof(m->names[0]), "%s", adapter);
		m->adapter[m->n_adapters++] = (struct gpu_adapter){ m->names[0], 1 };
	}
	if (model_flags_finish(m, &w->f.app, e) < 0)
		return -1;
	if (!cJSON_HasObjectItem(w->all, "model")) {
		char real[PATH_MAX];
		put(w->all, "model", realpath(m->model, real) ? real : m->model);
		m->model = json_string_or(w->all, "model", NULL);
	}
	put(w->all, "adapter", m->n_adapters ? m->adapter[0].dir : "none");
	return 0;
}

static int take_prompts(struct work *w, struct err *e)
{
	const char *name = json_string_or(w->all, "prompt_set",
	                                  w->model.about.prompts[0] ? w->model.about.prompts
	                                                            : PROMPTS_DEFAULT);
	struct prompts_dirs dirs;

	prompts_dirs(&dirs, &w->f.app);
	if (prompt_set_load(&w->prompts, dirs.dir, dirs.n, name, e) < 0)
		return -1;
	w->has_prompts = true;
	put(w->all, "prompt_set", w->prompts.name);
	return 0;
}

static bool is_named(const cJSON *list, const char *id)
{
	const cJSON *x;

	cJSON_ArrayForEach(x, list) if (strcmp(x->valuestring, id) == 0) return true;
	return false;
}

/* Whether the task's file lies in one of the folders. */
static bool is_in(const struct task *t, const cJSON *packs)
{
	char file[PATH_MAX];
	const cJSON *x;

	if (!realpath(t->file, file))
		return false;
	cJSON_ArrayForEach(x, packs)
	{
		size_t n = strlen(x->valuestring);
		if (strncmp(file, x->valuestring, n) == 0 && file[n] == '/')
			return true;
	}
	return false;
}

static int take_tasks(struct work *w, struct err *e)
{
	const cJSON *packs = cJSON_GetObjectItemCaseSensitive(w->all, "packs"), *x;
	const cJSON *named = cJSON_GetObjectItemCaseSensitive(w->all, "tasks");
	const cJSON *held = cJSON_GetObjectItemCaseSensitive(w->all, "held_out");
	const char *dirs[PACKS_MAX];
	int n = 0;
	cJSON *ids;

	cJSON_ArrayForEach(x, packs)
	{
		if (n == PACKS_MAX)
			return err_set(e, ERR_USAGE, "more than %d packs", PACKS_MAX);
		dirs[n++] = x->valuestring;
	}
	if (packs_load_more(&w->tasks, &w->f.app, dirs, n, e) < 0)
		return -1;
	cJSON_ArrayForEach(x, named) if (!task_find(&w->tasks, x->valuestring, e)) return err_wrap(
		e, "--task");
	cJSON_ArrayForEach(x, held)
	{
		if (!task_find(&w->tasks, x->valuestring, e))
			return err_wrap(e, "--held-out");
		if (is_named(named, x->valuestring))
			return err_set(e, ERR_USAGE,
			               "task %s is to be learnt from and held out: one of both",
			               x->valuestring);
	}
	w->task = calloc((size_t)w->tasks.n + 1, sizeof(*w->task));
	w->held = calloc((size_t)w->tasks.n + 1, sizeof(*w->held));
	if (!w->task || !w->held)
		return err_set(e, ERR_MEM, "no memory for %d tasks", w->tasks.n);
	ids = cJSON_CreateArray();
	for (int i = 0; i < w->tasks.n; i++) {
		const struct task *t = &w->tasks.tasks[i];
		if (is_named(held, t->id)) {
			w->held[w->n_held++] = i;
		} else if (named ? is_named(named, t->id) : !packs || is_in(t, packs)) {
			w->task[w->n_tasks++] = i;
			cJSON_AddItemToArray(ids, cJSON_CreateString(t->id));
		}
	}
	cJSON_DeleteItemFromObjectCaseSensitive(w->all, "tasks");
	cJSON_AddItemToObject(w->all, "tasks", ids);
	return w->n_tasks ? 0 : err_set(e, ERR_USAGE, "no task is left to learn from");
}

/* Puts @flag in the place of another's name, and @more before the words that it expects. */
static int under_flag(struct err *e, const char *other, const char *flag, const char *more)
{
	struct err was = *e;
	size_t n = strlen(other);

	if (strncmp(was.text, other, n) != 0)
		return err_wrap(e, "%s", flag);
	return err_set(e, was.kind, "%s: %s%s", flag,
	               strstr(was.text, " was expected, ") ? more : "", was.text + n);
}

/* The reward's profile and reference, and the curriculum's rules: while nothing is begun. */
static int look_at_rules(struct work *w, struct err *e)
{
	const struct scoring_options o = {
		.app = &w->f.app,
		.profile = grpo_reward_profile(w->loop.reward),
		.reference = w->loop.reference[0] ? w->loop.reference : NULL,
		.rebuilds = -1,
	};
	struct curriculum_rules rules;
	struct scoring *s;

	if (!o.profile)
		return err_set(e, ERR_USAGE, "--reward: the name of one was expected");
	if (!(s = scoring_open(&o, e)))
		return strncmp(e->text, "--reference", 11) == 0
		               ? -1
		               : under_flag(e, "--profile: ", "--reward", "dense, dense-full, ");
	scoring_close(s);
	if (curriculum_rules_load(&rules, NULL, &w->f.app, w->loop.curriculum, e) < 0)
		return under_flag(e, "--rules: ", "--curriculum", "");
	return 0;
}

/* All that can be wrong before anything is begun. */
static int look(struct work *w, struct err *e)
{
	if (take_model(w, e) < 0 || take_prompts(w, e) < 0 || take_tasks(w, e) < 0)
		return -1;
	if (!cJSON_HasObjectItem(w->all, "lr")) {
		struct grpo_budget b;
		bool full = strcmp(json_string_or(w->all, "method", "lora"), "full") == 0;
		if (grpo_budget_open(&b, w->model.model, w->model.thinking, 0, e) < 0)
			return -1;
		cJSON_AddNumberToObject(w->all, "lr", grpo_usual_lr(b.parameters, full));
		grpo_budget_close(&b);
	}
	if (grpo_settings_read(&w->loop, &w->policy, w->all, e) < 0)
		return -1;
	return look_at_rules(w, e);
}

static int tell_dry_run(const struct work *w)
{
	cJSON *o = cJSON_CreateObject(), *shown = cJSON_Duplicate(w->policy, true);
	const cJSON *x;
	struct buf text = { 0 };

	/* every setting with its value: what was said, and the policy's */
	cJSON_ArrayForEach(x, w->all) if (!cJSON_HasObjectItem(shown, x->string))
		cJSON_AddItemToObject(shown, x->string, cJSON_Duplicate(x, true));
	if (w->f.app.json) {
		cJSON_AddItemToObject(o, "settings", shown);
		cJSON_AddNumberToObject(o, "tasks", w->n_tasks);
		cJSON_AddNumberToObject(o, "held_out", w->n_held);
		show_json_line(o);
	} else {
		printf("%d task%s to learn from, %d held out; %lld steps of %d prompts x %d "
		       "answers, reward %s\n",
		       w->n_tasks, w->n_tasks == 1 ? "" : "s", w->n_held, (long long)w->loop.steps,
		       w->loop.prompts, w->loop.members, w->loop.reward);
		cJSON_ArrayForEach(x, shown)
		{
			buf_clear(&text);
			json_print(&text, x);
			printf("%-14s ", x->string);
			db_print_line(stdout, buf_str(&text));
			putchar('\n');
		}
		puts("everything else as 'cadforge train grpo --help' says; nothing was written");
		cJSON_Delete(shown);
	}
	buf_release(&text);
	cJSON_Delete(o);
	return EXIT_DONE;
}

/* ---- the run ---- */

static void tell_end(const struct work *w, const struct grpo_result *r)
{
	bool full = strcmp(json_string_or(w->policy, "method", "lora"), "full") == 0;

	if (w->f.app.json || w->f.app.quiet)
		return;
	printf("run %lld %s at step %lld of %lld, %lld answers", (long long)r->run, r->outcome,
	       (long long)r->step, (long long)w->loop.steps, (long long)r->answers);
	if (!isnan(r->reward))
		printf(", reward %.3f, built %.1f %%", r->reward, 100 * r->build_rate);
	putchar('\n');
	if (r->policy[0] && full)
		printf("  cadforge run TASK --model %s\n", r->policy);
	else if (r->policy[0])
		printf("  cadforge run TASK --model %s --adapter %s\n",
		       json_string_or(w->all, "model", "DIR"), r->policy);
	if (r->run && strcmp(r->outcome, "done") != 0)
		printf("  cadforge train resume %lld  goes on from there\n", (long long)r->run);
	if (r->run)
		printf("  cadforge report %lld        a page with its curves\n", (long long)r->run);
}

static int go(struct work *w, int64_t run, struct err *e)
{
	struct engine_choice choice = { &w->f.app, &w->model };
	const struct grpo_options o = {
		.engine = engine_choose,
		.engine_ctx = &choice,
		.app = &w->f.app,
		.store = w->store,
		.model = &w->model,
		.tasks = &w->tasks,
		.task = w->task,
		.n_tasks = w->n_tasks,
		.held = w->held,
		.n_held = w->n_held,
		.prompts = &w->prompts,
		.settings = w->loop,
		.policy = w->policy,
		.backend = backend_of(w->all),
		.all = w->all,
		.kind = "grpo",
		.run = run,
	};
	struct grpo_result r;

	if (grpo_run(&o, &r, e) < 0) {
		if (!run && r.run == 0)
			train_forget_out(w->out);
		if (r.run && r.step > 0 && !w->f.app.quiet)
			app_tell("what was learnt up to step %lld is kept: 'cadforge train resume "
			         "%lld' goes on from there",
			         (long long)r.step, (long long)r.run);
		return app_fail(e);
	}
	tell_end(w, &r);
	if (app_interrupted())
		return EXIT_INTERRUPTED;
	return strcmp(r.outcome, "done") == 0 ? EXIT_DONE : EXIT_NO;
}

static void release(struct work *w)
{
	store_close(w->store);
	task_set_release(&w->tasks);
	if (w->has_prompts)
		prompt_set_release(&w->prompts);
	free(w->task);
	free(w->held);
	cJSON_Delete(w->all);
	cJSON_Delete(w->policy);
	free(w);
}

int train_grpo(const struct cmd *self, int argc, char **argv)
{
	struct work *w = calloc(1, sizeof(*w));
	struct err e = { 0 };
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	w->self = self;
	w->all = cJSON_CreateObject();
	db_flags_init(&w->f);
	model_flags_init(&w->model);
	if ((rc = parse(w, argc, argv)) != 0) {
		rc = rc == 1000 ? EXIT_DONE : rc;
		goto out;
	}
	app_find(&w->f.app);
	app_catch_interrupt();
	if (read_config(w, &e) < 0 || look(w, &e) < 0) {
		rc = app_fail(&e);
		goto out;
	}
	if (w->dry_run) {
		rc = tell_dry_run(w);
		goto out;
	}
	if (!(w->store = db_open(&w->f, STORE_WRITE, &e)) ||
	    train_make_out(w->out, sizeof(w->out), &w->f.app, json_string_or(w->all, "out", NULL),
	                   "grpo", &e) < 0) {
		rc = app_fail(&e);
		goto out;
	}
	put(w->all, "out", w->out);
	put(w->policy, "out", w->out);
	rc = go(w, 0, &e);
out:
	release(w);
	return rc;
}

int train_grpo_resume(const struct cmd *self, const struct db_flags *f, struct store *store,
                      const struct train_run *run, const cJSON *changed)
{
	struct work *w = calloc(1, sizeof(*w));
	struct err e = { 0 };
	const cJSON *x;
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	w->self = self;
	w->f = *f;
	w->store = store;
	w->all = cJSON_CreateObject();
	model_flags_init(&w->model);
	cJSON_ArrayForEach(x, changed)
		cJSON_AddItemToObject(w->all, x->string, cJSON_Duplicate(x, true));
	if (grpo_settings_add(w->all, cJSON_GetObjectItemCaseSensitive(run->about, "settings"),
	                      &e) < 0) {
		err_wrap(&e, "run %lld", (long long)run->id);
		rc = app_fail(&e);
	} else if (look(w, &e) < 0) {
		rc = app_fail(&e);
	} else {
		snprintf(w->out, sizeof(w->out), "%s", json_string_or(w->all, "out", ""));
		rc = go(w, run->id, &e);
	}
	w->store = NULL; /* the caller's */
	release(w);
	return rc;
}
