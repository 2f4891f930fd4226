#include "src/stages.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/training_run.h"

enum { JSON_MAX = 64 << 20, NAME_MAX_BYTES = 32 };

/* ---- the recipe ---- */

static double *value_of(const struct stages *s, const struct stage_setting *x)
{
	return (double *)(void *)((char *)s->recipe + x->at);
}

void stages_begin(struct stages *s, const struct app *app, const struct stages_plan *plan,
                  void *recipe, void *ctx)
{
	*s = (struct stages){ .app = app, .plan = plan, .recipe = recipe, .ctx = ctx };
	s->again = plan->n;
	s->until = plan->n - 1;
	for (int i = 0; i < plan->settings; i++)
		*value_of(s, &plan->setting[i]) = plan->setting[i].usual;
}

void stages_given(struct stages *s, const char *name)
{
	buf_printf(&s->given, "%s%.*s", s->given.len ? "," : "", (int)strcspn(name, "="), name);
}

int stages_set(struct stages *s, const char *text, struct err *e)
{
	const char *is = strchr(text, '=');
	char *end = NULL;

	for (int i = 0; is && i < s->plan->settings; i++) {
		const struct stage_setting *x = &s->plan->setting[i];
		if (strlen(x->name) != (size_t)(is - text) ||
		    strncmp(x->name, text, (size_t)(is - text)) != 0)
			continue;
		double v = strtod(is + 1, &end);
		if (end == is + 1 || *end || !(v >= x->min && v <= x->max) ||
		    (x->whole && v != floor(v)))
			return err_set(e, ERR_USAGE,
			               "%s: a %snumber from %g to %g was expected, got '%.40s'",
			               x->name, x->whole ? "whole " : "", x->min, x->max, is + 1);
		*value_of(s, x) = v;
		stages_given(s, text);
		return 0;
	}
	return err_set(e, ERR_USAGE,
	               "'%.60s': NAME=VALUE was expected; 'cadforge %s --help' lists the names",
	               text, s->plan->verb);
}

void stages_print_set(struct buf *out, const struct stages *s)
{
	for (int i = 0; i < s->plan->settings; i++) {
		const struct stage_setting *x = &s->plan->setting[i];
		if (*value_of(s, x) != x->usual)
			buf_printf(out, " --set %s=%.10g", x->name, *value_of(s, x));
	}
}

static cJSON *recipe_json(const struct stages *s)
{
	cJSON *o = cJSON_CreateObject();

	for (int i = 0; i < s->plan->settings; i++)
		cJSON_AddNumberToObject(o, s->plan->setting[i].name,
		                        *value_of(s, &s->plan->setting[i]));
	return o;
}

/* ---- the folder ---- */

void stages_path(const struct stages *s, char *out, size_t size, const char *name)
{
	if (snprintf(out, size, "%s/%s", s->out, name) >= (int)size)
		out[0] = '\0'; /* opening it then fails; stages_open() refuses such folders */
}

cJSON *stages_read(const struct stages *s, const char *name, struct err *e)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	cJSON *o = NULL;

	stages_path(s, path, sizeof(path), name);
	if (buf_read_file(&text, path, JSON_MAX, e) == 0 &&
	    !(o = json_parse(buf_str(&text), text.len, e)))
		err_wrap(e, "%s", path);
	buf_release(&text);
	return o;
}

int stages_write(const struct stages *s, const char *name, const cJSON *o, struct err *e)
{
	char path[PATH_MAX], *text = cJSON_Print(o);
	int rc;

	stages_path(s, path, sizeof(path), name);
	rc = text ? file_write_atomic(path, text, strlen(text), e)
	          : err_set(e, ERR_MEM, "no memory for %s", name);
	free(text);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int stages_remove(const struct stages *s, const char *name, struct err *e)
{
	char path[PATH_MAX];

	stages_path(s, path, sizeof(path), name);
	if (access(path, F_OK) == 0 && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
		return err_errno(e, ERR_IO, "%s cannot be removed", path);
	return 0;
}

void stages_say(struct stages *s, bool often, const char *fmt, ...)
{
	enum { EVERY_S = 5 };
	double now = clock_now_s();
	struct buf text = { 0 };
	va_list ap;

	if (s->app->quiet || (often && now - s->told < EVERY_S))
		return;
	s->told = now;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	app_tell("%s", buf_str(&text));
	buf_release(&text);
}

static void stage_file(char *out, size_t size, const struct stages *s, int stage)
{
	char name[NAME_MAX_BYTES];

	snprintf(name, sizeof(name), "%s.json", s->plan->name[stage]);
	stages_path(s, out, size, name);
}

bool stages_done(const struct stages *s, int stage)
{
	char path[PATH_MAX];

	stage_file(path, sizeof(path), s, stage);
	return access(path, F_OK) == 0;
}

static bool named(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, name, n) == 0 && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

/* What was given must be as it is there, or belong to a stage that is not made yet. */
static int agree(struct stages *s, const cJSON *was, struct err *e)
{
	for (int i = 0; i < s->plan->settings; i++) {
		const struct stage_setting *x = &s->plan->setting[i];
		double now = *value_of(s, x), before = json_number_or(was, x->name, x->usual);
		if (!named(buf_str(&s->given), x->name))
			*value_of(s, x) = before;
		else if (now != before && x->stage < s->again && stages_done(s, x->stage))
			return err_set(e, ERR_USAGE,
			               "%s has %s = %g, and its stage %s is done: --stage %s makes "
			               "it anew with %g, another --out begins another",
			               s->out, x->name, before, s->plan->name[x->stage],
			               s->plan->name[x->stage], now);
	}
	return 0;
}

int stages_open(struct stages *s, struct err *e)
{
	char path[PATH_MAX];
	cJSON *o = NULL;

	if (strlen(s->out) > sizeof(s->out) - 200)
		return err_set(e, ERR_USAGE, "--out: the folder's path is too long");
	if (mkdir(s->out, 0777) < 0 && errno != EEXIST)
		return err_errno(e, ERR_IO, "%s", s->out);
	if (!realpath(s->out, path) || strlen(path) > sizeof(s->out) - 200)
		return err_errno(e, ERR_IO, "%s", s->out);
	snprintf(s->out, sizeof(s->out), "%s", path);
	stages_path(s, path, sizeof(path), "recipe.json");
	if (access(path, F_OK) == 0) {
		if (!(o = stages_read(s, "recipe.json", e)))
			return -1;
		int rc = agree(s, o, e);
		cJSON_Delete(o);
		if (rc < 0)
			return -1;
	}
	o = recipe_json(s);
	int rc = stages_write(s, "recipe.json", o, e);
	cJSON_Delete(o);
	if (rc < 0)
		return -1;
	/* what rests on a stage that is made anew is made anew with it */
	for (int i = s->again; i < s->plan->n; i++) {
		stage_file(path, sizeof(path), s, i);
		if (unlink(path) < 0 && errno != ENOENT)
			return err_errno(e, ERR_IO, "%s", path);
	}
	return 0;
}

void stages_close(struct stages *s)
{
	buf_release(&s->given);
}

static int make_one(struct stages *s, int stage, struct err *e)
{
	const char *name = s->plan->name[stage];
	double began = clock_now_s();
	char file[NAME_MAX_BYTES];
	cJSON *o;
	int rc;

	if (stages_done(s, stage)) {
		stages_say(s, false, "%s: done before", name);
		return 0;
	}
	stages_say(s, false, "%s: begins", name);
	if (!(o = cJSON_CreateObject()))
		return err_set(e, ERR_MEM, "out of memory");
	rc = s->plan->make[stage](s->ctx, o, e);
	if (rc == 0) {
		if (!cJSON_HasObjectItem(o, "seconds"))
			cJSON_AddNumberToObject(o, "seconds", clock_now_s() - began);
		snprintf(file, sizeof(file), "%s.json", name);
		rc = stages_write(s, file, o, e);
	}
	if (rc == 0)
		stages_say(s, false, "%s: done after %.0f s", name, clock_now_s() - began);
	cJSON_Delete(o);
	return rc;
}

int stages_make(struct stages *s, struct err *e)
{
	int rc = 0;

	for (int i = 0; i <= s->until && rc == 0; i++)
		rc = make_one(s, i, e);
	return rc;
}

/* ---- flags ---- */

static int stage_of(const struct stages *s, const char *flag, const char *word, int *out)
{
	struct buf names = { 0 };

	for (int i = 0; i < s->plan->n; i++)
		if (strcmp(word, s->plan->name[i]) == 0) {
			*out = i;
			return 0;
		}
	for (int i = 0; i < s->plan->n; i++)
		buf_printf(&names, "%s%s",
		           i == 0                ? ""
		           : i == s->plan->n - 1 ? " or "
		                                 : ", ",
		           s->plan->name[i]);
	app_tell("%s: %s was expected, got '%.40s'", flag, buf_str(&names), word);
	buf_release(&names);
	return -1;
}

static int set_told(struct stages *s, const char *text)
{
	struct err e;

	if (stages_set(s, text, &e) == 0)
		return 1;
	app_tell("%s", e.text);
	return -1;
}

int stages_flag(struct stages *s, int opt, const char *arg)
{
	char text[80];

	switch (opt) {
	case STAGES_OUT:
		snprintf(s->out, sizeof(s->out), "%s", arg);
		return 1;
	case STAGES_STAGE:
		return stage_of(s, "--stage", arg, &s->again) < 0 ? -1 : 1;
	case STAGES_UNTIL:
		return stage_of(s, "--until", arg, &s->until) < 0 ? -1 : 1;
	case STAGES_SEED:
		snprintf(text, sizeof(text), "seed=%.60s", arg);
		return set_told(s, text);
	case STAGES_SET:
		return set_told(s, arg);
	default:
		return 0;
	}
}

void stages_print_recipe(const struct stages_plan *plan)
{
	fputs("\nThe recipe:\n", stdout);
	for (int i = 0; i < plan->settings; i++)
		printf("  %-16s %-8g %s\n", plan->setting[i].name, plan->setting[i].usual,
		       plan->setting[i].what);
}

/* ---- a training ---- */

struct watched {
	struct stages *s;
	struct training_result result;
	struct stage_training *out;
	const char *run_file;
	FILE *events;
	bool run_kept;
};

/* The run's number is kept as soon as it has one: a kill loses it otherwise. */
static void keep_run(struct watched *w)
{
	cJSON *o = cJSON_CreateObject();
	struct err ignored;

	cJSON_AddNumberToObject(o, "run", (double)w->result.run);
	stages_write(w->s, w->run_file, o, &ignored);
	cJSON_Delete(o);
	w->run_kept = true;
}

static void on_event(void *ctx, const char *kind, const cJSON *object)
{
	struct watched *w = ctx;
	cJSON *line = cJSON_Duplicate(object, true);
	struct buf text = { 0 };

	if (!w->run_kept && w->result.run)
		keep_run(w);
	if (strcmp(kind, "step") == 0) {
		struct stage_training *t = w->out;
		t->tokens_per_s = json_number_or(object, "tokens_per_s", t->tokens_per_s);
		t->seconds += json_number_or(object, "seconds", 0);
		t->tokens += json_number_or(object, "tokens", 0);
	}
	cJSON_AddStringToObject(line, "event", kind);
	json_print(&text, line);
	buf_addc(&text, '\n');
	if (!buf_failed(&text)) {
		fwrite(text.data, 1, text.len, w->events);
		fflush(w->events);
	}
	buf_release(&text);
	cJSON_Delete(line);
}

/* Goes on with the run of before when it can. */
static int64_t run_before(const struct stages *s, const char *run_file, const char *folder)
{
	char path[PATH_MAX];
	cJSON *o = stages_read(s, run_file, NULL);
	int64_t run = (int64_t)json_number_or(o, "run", 0);

	cJSON_Delete(o);
	stages_path(s, path, sizeof(path), folder);
	return access(path, F_OK) == 0 ? run : 0;
}

int stages_train(struct stages *s, struct store *store, const char *kind, const char *name,
                 const cJSON *settings, struct stage_training *out, struct err *e)
{
	char folder[NAME_MAX_BYTES], run_file[NAME_MAX_BYTES + 8], events[NAME_MAX_BYTES + 16],
		path[PATH_MAX];
	struct watched w = { .s = s, .out = out, .run_file = run_file };
	int rc;

	*out = (struct stage_training){ .loss = NAN, .eval_loss = NAN };
	snprintf(folder, sizeof(folder), "%s-run", name);
	snprintf(run_file, sizeof(run_file), "%s-run.json", name);
	snprintf(events, sizeof(events), "%s-events.jsonl", name);
	struct training_run_options o = {
		.app = s->app,
		.store = store,
		.kind = kind,
		.settings = settings,
		.run = store ? run_before(s, run_file, folder) : 0,
		.ctx = &w,
		.event = on_event,
	};
	if (!o.run && (stages_remove(s, folder, e) < 0 || stages_remove(s, events, e) < 0))
		return -1;
	stages_path(s, path, sizeof(path), events);
	if (!(w.events = fopen(path, "ae")))
		return err_errno(e, ERR_IO, "%s", path);
	rc = training_run(&o, &w.result, e);
	/* there was nothing to go on from: from the beginning */
	if (rc < 0 && o.run && w.result.checkpoint[0] == '\0' && out->tokens == 0 &&
	    !app_interrupted()) {
		stages_say(s, false, "%s: %s; it begins anew", name, e->text);
		o.run = 0;
		w.run_kept = false;
		if (stages_remove(s, folder, e) == 0)
			rc = training_run(&o, &w.result, e);
	}
	fclose(w.events);
	if (rc < 0)
		return err_wrap(e, "%s", name);
	if (app_interrupted() || strcmp(w.result.outcome, "done") != 0)
		return err_set(e, ERR_CANCELLED,
		               "%s: stopped at step %lld of %lld; the same command goes on", name,
		               (long long)w.result.step, (long long)w.result.steps);
	out->run = w.result.run;
	out->steps = w.result.steps;
	out->loss = w.result.loss;
	out->eval_loss = w.result.eval_loss;
	snprintf(out->checkpoint, sizeof(out->checkpoint), "%s", w.result.checkpoint);
	return 0;
}

void stages_training_figures(cJSON *o, const struct stage_training *t, const cJSON *settings)
{
	cJSON_AddNumberToObject(o, "run", (double)t->run);
	cJSON_AddNumberToObject(o, "steps", (double)t->steps);
	json_add_figure(o, "loss", t->loss);
	json_add_figure(o, "eval_loss", t->eval_loss);
	json_add_figure(o, "tokens_per_s", t->tokens_per_s);
	cJSON_AddItemToObject(o, "settings", cJSON_Duplicate(settings, true));
}
