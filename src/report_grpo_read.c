/*
 * report_grpo_read.c - a run of reinforcement learning as the store has it, and the same rows as
 * files beside the page.
 */
#include "src/report_inside.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"
#include "src/training_rows.h"

const char *const grpo_figure_name[FIGURES] = { "loss",         "lr",
	                                        "grad_norm",    "seconds",
	                                        "tokens",       "reward",
	                                        "reward_std",   "build_rate",
	                                        "groups",       "flat",
	                                        "all_built",    "none_built",
	                                        "replaced",     "answers",
	                                        "built",        "used",
	                                        "clipped",      "lost",
	                                        "kl",           "clip_share",
	                                        "ratio_max",    "mismatch",
	                                        "entropy",      "length",
	                                        "length_max",   "generate_s",
	                                        "wait_s",       "learn_s",
	                                        "repairs",      "repair_built",
	                                        "spread",       "programs",
	                                        "names_object", "imports_cadquery",
	                                        "clipped_rate", "chars" };

/* Room for one more of @size at the end of @*at, which has @n. */
static void *grow(struct grpo_run *r, void *at, int n, size_t size)
{
	void **p = at, *more;

	/* doubles at powers of two */
	if (n & (n - 1))
		return (char *)*p + (size_t)n * size;
	more = realloc(*p, (size_t)(n ? 2 * n : 1) * size);
	if (!more) {
		r->failed = true;
		return NULL;
	}
	*p = more;
	return (char *)more + (size_t)n * size;
}

/* The number of a class by its name; -1: no room for so many. */
static int class_of(struct grpo_run *r, const char *name)
{
	for (int i = 0; i < r->n_cls; i++)
		if (strncmp(r->cls[i], name, sizeof(r->cls[i]) - 1) == 0)
			return i;
	if (r->n_cls == GRPO_CLASSES_MAX)
		return -1;
	snprintf(r->cls[r->n_cls], sizeof(r->cls[0]), "%s", name);
	return r->n_cls++;
}

static void take_named(struct grpo_run *r, const cJSON *o, double *out)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, o)
	{
		int i = v->string && cJSON_IsNumber(v) ? class_of(r, v->string) : -1;
		if (i >= 0)
			out[i] = v->valuedouble;
	}
}

static void take_step(struct grpo_run *r, const struct store_step *v, const cJSON *o)
{
	struct grpo_point *x;

	/* a run that went on from a checkpoint takes some steps again: the later ones hold */
	while (r->n > 0 && r->point[r->n - 1].step >= v->step)
		r->n--;
	x = grow(r, &r->point, r->n, sizeof(*x));
	if (!x)
		return;
	r->n++;
	*x = (struct grpo_point){ .step = v->step, .row = v->number };
	for (int i = 0; i < FIGURES; i++)
		x->v[i] = i >= F_REWARD && i < F_SPREAD
		                  ? json_number_or(o, grpo_figure_name[i], NAN)
		                  : NAN;
	x->v[F_LOSS] = v->loss;
	x->v[F_LR] = v->lr;
	x->v[F_NORM] = v->norm;
	x->v[F_SECONDS] = v->seconds;
	x->v[F_TOKENS] = v->tokens >= 0 ? (double)v->tokens : NAN;
	for (int i = 0; i < GRPO_CLASSES_MAX; i++)
		x->classes[i] = x->weights[i] = NAN;
	take_named(r, cJSON_GetObjectItemCaseSensitive(o, "classes"), x->classes);
	take_named(r, cJSON_GetObjectItemCaseSensitive(o, "weights"), x->weights);
	snprintf(x->stage, sizeof(x->stage), "%s", json_string_or(o, "stage", ""));
}

static int see_step(void *ctx, const struct store_step *v)
{
	struct grpo_run *r = ctx;
	cJSON *o = v->data ? json_parse(v->data, strlen(v->data), NULL) : NULL;

	if (strcmp(v->kind, "ready") == 0) {
		r->steps = (int64_t)json_number_or(o, "steps", (double)r->steps);
		r->resumed += r->ready != NULL;
		cJSON_Delete(r->ready);
		r->ready = o;
		o = NULL;
	} else if (strcmp(v->kind, "step") == 0) {
		while (r->n_alarms > 0 && r->alarm[r->n_alarms - 1].step >= v->step)
			r->n_alarms--;
		take_step(r, v, o);
	} else if (strcmp(v->kind, "note") == 0 && json_string_or(o, "alarm", NULL)) {
		struct grpo_seen_alarm *a = grow(r, &r->alarm, r->n_alarms, sizeof(*a));
		if (a) {
			const char *did = json_string_or(o, "done", "");
			r->n_alarms++;
			a->step = v->step;
			snprintf(a->alarm, sizeof(a->alarm), "%s", json_string_or(o, "alarm", ""));
			snprintf(a->policy, sizeof(a->policy), "%s",
			         json_string_or(o, "policy", ""));
			snprintf(a->text, sizeof(a->text), "%.400s%s%.70s",
			         json_string_or(o, "text", ""), *did ? ": " : "", did);
		}
	} else if (strcmp(v->kind, "eval") == 0 && !isnan(json_number_or(o, "build_rate", NAN))) {
		struct grpo_seen_eval *x;
		while (r->n_evals > 0 && r->eval[r->n_evals - 1].step >= v->step)
			r->n_evals--;
		x = grow(r, &r->eval, r->n_evals, sizeof(*x));
		if (x) {
			r->n_evals++;
			*x = (struct grpo_seen_eval){ .step = v->step,
				                      .reward = json_number_or(o, "reward", NAN),
				                      .build_rate =
				                              json_number_or(o, "build_rate", NAN),
				                      .answers = json_number_or(o, "answers", NAN),
				                      .built = json_number_or(o, "built", NAN) };
		}
	} else if (strcmp(v->kind, "end") == 0) {
		snprintf(r->error, sizeof(r->error), "%s", json_string_or(o, "error", ""));
	}
	cJSON_Delete(o);
	return r->failed;
}

static int see_answer(void *ctx, const struct store_rollout *v)
{
	struct grpo_run *r = ctx;
	struct grpo_seen_answer *a = grow(r, &r->answer, r->n_answers, sizeof(*a));

	if (!a)
		return 1;
	r->n_answers++;
	*a = (struct grpo_seen_answer){ .step = v->step,
		                        .episode = v->episode,
		                        .group = v->group,
		                        .member = v->member,
		                        .round = v->round,
		                        .turn = v->turn,
		                        .tokens = v->completion_tokens,
		                        .reward = v->reward,
		                        .advantage = v->advantage,
		                        .total = v->total,
		                        .built = v->built,
		                        .clipped = v->clipped,
		                        .built_known = true,
		                        .clipped_known = true,
		                        .program = -1,
		                        .object = -1,
		                        .import = -1 };
	snprintf(a->kind, sizeof(a->kind), "%s", v->kind);
	snprintf(a->use, sizeof(a->use), "%s", v->use);
	snprintf(a->task, sizeof(a->task), "%s", v->task);
	snprintf(a->cls, sizeof(a->cls), "%s", v->class_name ? v->class_name : "");
	snprintf(a->repairs, sizeof(a->repairs), "%s", v->repairs ? v->repairs : "");
	return 0;
}

bool grpo_imports(const char *text, size_t len)
{
	static const char *const words[] = { "import cadquery", "from cadquery" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (memmem(text, len, words[i], strlen(words[i])))
			return true;
	return false;
}

/* What the texts of the answers say, and how far rewards of a group are apart. */
static void look_at_answers(struct grpo_run *r, struct store *s)
{
	struct buf text = { 0 };
	int at = 0;

	for (int i = 0; i < r->n_answers; i++) {
		struct grpo_seen_answer *a = &r->answer[i];
		buf_clear(&text);
		if (store_artifact(s, a->episode, a->turn, "program.py", &text, NULL) == 0) {
			a->program = 1;
			a->object = training_row_object(buf_str(&text), text.len);
			a->import = grpo_imports(buf_str(&text), text.len);
		} else if (store_artifact(s, a->episode, a->turn, "completion.txt", &text, NULL) ==
		           0) {
			/* an answer without any program in it */
			a->program = a->object = a->import = 0;
		}
	}
	buf_release(&text);
	for (int i = 0; i < r->n; i++) {
		struct grpo_point *x = &r->point[i];
		double programs = 0, object = 0, import = 0, spread = 0;
		int groups = 0;
		while (at < r->n_answers && r->answer[at].step < x->step)
			at++;
		for (int k = at; k < r->n_answers && r->answer[k].step == x->step;) {
			const struct grpo_seen_answer *first = &r->answer[k];
			double n = 0, sum = 0, squares = 0;
			for (; k < r->n_answers && r->answer[k].step == x->step &&
			       r->answer[k].group == first->group &&
			       r->answer[k].round == first->round;
			     k++) {
				const struct grpo_seen_answer *a = &r->answer[k];
				programs += a->program >= 0;
				object += a->object == 1;
				import += a->import == 1;
				if (isfinite(a->reward)) {
					n++;
					sum += a->reward;
					squares += a->reward * a->reward;
				}
			}
			if (n > 1) {
				double v = (squares - sum * sum / n) / (n - 1);
				spread += v > 0 ? sqrt(v) : 0;
				groups++;
			}
		}
		x->v[F_CLIPPED_RATE] = x->v[F_CLIPPED] / x->v[F_ANSWERS];
		x->v[F_SPREAD] = groups ? spread / groups : NAN;
		x->v[F_PROGRAMS] = programs > 0 ? programs : NAN;
		x->v[F_OBJECT] = programs > 0 ? object : NAN;
		x->v[F_IMPORT] = programs > 0 ? import : NAN;
	}
}

static int see_whether(void *ctx, const struct store_step *v)
{
	if (strcmp(v->kind, "step") == 0 && v->data && strstr(v->data, "\"build_rate\""))
		*(bool *)ctx = true;
	return strcmp(v->kind, "step") == 0;
}

int grpo_is(struct store *s, const struct train_run *row, struct err *e)
{
	bool is = strstr(row->kind, "grpo") != NULL;

	if (!is && store_steps(s, row->id, 0, INT_MAX, see_whether, &is, e) < 0)
		return -1;
	return is;
}

struct grpo_run *grpo_read(struct store *s, struct train_run *row, struct err *e)
{
	struct grpo_run *r = calloc(1, sizeof(*r));
	const cJSON *settings;
	const char *reward, *slash;

	if (!r) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	r->row = *row;
	*row = (struct train_run){ 0 };
	settings = cJSON_GetObjectItemCaseSensitive(r->row.about, "settings");
	r->steps = (int64_t)json_number_or(settings, "steps", 0);
	if (store_steps(s, r->row.id, 0, INT_MAX, see_step, r, e) < 0 ||
	    (!r->failed && r->n &&
	     store_rollouts(s, r->row.id, 1, r->point[r->n - 1].step, see_answer, r, e) < 0)) {
		grpo_release(r);
		return NULL;
	}
	if (r->failed) {
		grpo_release(r);
		err_set(e, ERR_MEM, "out of memory for a run's steps");
		return NULL;
	}
	/* settings that nobody gave are not among them: what was meant, the run told */
	reward = json_string_or(settings, "reward", json_string_or(r->ready, "reward", ""));
	slash = strrchr(reward, '/');
	snprintf(r->reward, sizeof(r->reward), "%s", slash ? slash + 1 : reward);
	snprintf(r->name, sizeof(r->name), "run %" PRId64 "%s%.24s", r->row.id,
	         r->reward[0] ? " " : "", r->reward);
	look_at_answers(r, s);
	return r;
}

void grpo_release(struct grpo_run *r)
{
	if (!r)
		return;
	free(r->point);
	free(r->answer);
	free(r->alarm);
	free(r->eval);
	cJSON_Delete(r->ready);
	train_run_release(&r->row);
	free(r);
}

/* ---- as files ---- */

void report_csv_text(struct buf *out, const char *text)
{
	struct buf clean = { 0 };

	utf8_clean_line(&clean, text, strlen(text));
	buf_addc(out, ',');
	if (strpbrk(buf_str(&clean), ",\"\n")) {
		buf_addc(out, '"');
		for (const char *p = buf_str(&clean); *p; p++) {
			if (*p == '"')
				buf_addc(out, '"');
			buf_addc(out, *p);
		}
		buf_addc(out, '"');
	} else {
		buf_adds(out, buf_str(&clean));
	}
	buf_release(&clean);
}

void report_csv_figure(struct buf *out, double v)
{
	if (isfinite(v))
		buf_printf(out, ",%.10g", v);
	else
		buf_addc(out, ',');
}

static void steps_csv(struct buf *b, const struct grpo_run *r)
{
	buf_adds(b, "step,row");
	for (int i = 0; i < FIGURES; i++)
		report_csv_text(b, grpo_figure_name[i]);
	buf_adds(b, ",stage");
	for (int i = 0; i < r->n_cls; i++) {
		char name[48];
		snprintf(name, sizeof(name), "class_%s", r->cls[i]);
		report_csv_text(b, name);
		snprintf(name, sizeof(name), "weight_%s", r->cls[i]);
		report_csv_text(b, name);
	}
	buf_addc(b, '\n');
	for (int k = 0; k < r->n; k++) {
		const struct grpo_point *x = &r->point[k];
		buf_printf(b, "%" PRId64 ",%d", x->step, x->row);
		for (int i = 0; i < FIGURES; i++)
			report_csv_figure(b, x->v[i]);
		report_csv_text(b, x->stage);
		for (int i = 0; i < r->n_cls; i++) {
			report_csv_figure(b, x->classes[i]);
			report_csv_figure(b, x->weights[i]);
		}
		buf_addc(b, '\n');
	}
}

static void known(struct buf *b, int v)
{
	buf_adds(b, v < 0 ? "," : v ? ",1" : ",0");
}

static void answers_csv(struct buf *b, const struct grpo_run *r)
{
	buf_adds(b, r->log ? "row" : "turn");
	buf_adds(b, ",step,group,member,round,kind,task,repairs,class,built,clipped,total,"
	            "reward,advantage,use,tokens,names_object,imports_cadquery\n");
	for (int i = 0; i < r->n_answers; i++) {
		const struct grpo_seen_answer *a = &r->answer[i];
		if (!r->log)
			buf_printf(b, "%" PRId64 ".", a->episode);
		buf_printf(b, "%d,%" PRId64 ",%d,%d,%d", a->turn, a->step, a->group, a->member,
		           a->round);
		report_csv_text(b, a->kind);
		report_csv_text(b, a->task);
		report_csv_text(b, a->repairs);
		report_csv_text(b, a->cls);
		known(b, a->built_known ? a->built : -1);
		known(b, a->clipped_known ? a->clipped : -1);
		report_csv_figure(b, a->total);
		report_csv_figure(b, a->reward);
		report_csv_figure(b, a->advantage);
		report_csv_text(b, a->use);
		report_csv_figure(b, a->tokens < 0 ? NAN : a->tokens);
		known(b, a->object);
		known(b, a->import);
		buf_addc(b, '\n');
	}
}

static void add_column(cJSON *to, const char *key, const struct grpo_run *r, size_t at)
{
	cJSON *list = cJSON_AddArrayToObject(to, key);

	for (int k = 0; k < r->n; k++) {
		double v = *(const double *)(const void *)((const char *)&r->point[k] + at);
		cJSON_AddItemToArray(list,
		                     isfinite(v) ? cJSON_CreateNumber(v) : cJSON_CreateNull());
	}
}

static cJSON *run_json(const struct grpo_run *r)
{
	cJSON *o = cJSON_CreateObject(), *list, *in;
	char when[32];

	cJSON_AddNumberToObject(o, "run", (double)r->row.id);
	json_add_text(o, "kind", r->row.kind);
	json_add_text(o, "reward", r->reward[0] ? r->reward : NULL);
	store_utc_time(when, sizeof(when), r->row.started_us);
	json_add_text(o, "begun", when);
	json_add_text(o, "outcome", r->row.outcome[0] ? r->row.outcome : NULL);
	list = cJSON_AddArrayToObject(o, "step");
	for (int k = 0; k < r->n; k++)
		cJSON_AddItemToArray(list, cJSON_CreateNumber((double)r->point[k].step));
	list = cJSON_AddArrayToObject(o, "row");
	for (int k = 0; k < r->n; k++)
		cJSON_AddItemToArray(list, cJSON_CreateNumber(r->point[k].row));
	for (int i = 0; i < FIGURES; i++)
		add_column(o, grpo_figure_name[i], r,
		           offsetof(struct grpo_point, v) + (size_t)i * sizeof(double));
	in = cJSON_AddObjectToObject(o, "classes");
	for (int i = 0; i < r->n_cls; i++)
		add_column(in, r->cls[i], r,
		           offsetof(struct grpo_point, classes) + (size_t)i * sizeof(double));
	in = cJSON_AddObjectToObject(o, "weights");
	for (int i = 0; i < r->n_cls; i++)
		add_column(in, r->cls[i], r,
		           offsetof(struct grpo_point, weights) + (size_t)i * sizeof(double));
	list = cJSON_AddArrayToObject(o, "alarms");
	for (int i = 0; i < r->n_alarms; i++) {
		cJSON *a = cJSON_CreateObject();
		cJSON_AddNumberToObject(a, "step", (double)r->alarm[i].step);
		json_add_text(a, "alarm", r->alarm[i].alarm);
		json_add_text(a, "policy", r->alarm[i].policy);
		json_add_text(a, "text", r->alarm[i].text);
		cJSON_AddItemToArray(list, a);
	}
	list = cJSON_AddArrayToObject(o, "held_out");
	for (int i = 0; i < r->n_evals; i++) {
		cJSON *a = cJSON_CreateObject();
		cJSON_AddNumberToObject(a, "step", (double)r->eval[i].step);
		json_add_figure(a, "reward", r->eval[i].reward);
		json_add_figure(a, "build_rate", r->eval[i].build_rate);
		json_add_figure(a, "answers", r->eval[i].answers);
		json_add_figure(a, "built", r->eval[i].built);
		cJSON_AddItemToArray(list, a);
	}
	return o;
}

void grpo_files(struct paper *p, struct grpo_run *const *run, int n)
{
	cJSON *all = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(all, "runs");
	struct buf b = { 0 };
	char name[64];

	for (int i = 0; i < n; i++) {
		buf_clear(&b);
		steps_csv(&b, run[i]);
		snprintf(name, sizeof(name), "steps-%" PRId64 ".csv", run[i]->row.id);
		paper_file(p, name, &b);
		buf_clear(&b);
		answers_csv(&b, run[i]);
		snprintf(name, sizeof(name), "answers-%" PRId64 ".csv", run[i]->row.id);
		paper_file(p, name, &b);
		cJSON_AddItemToArray(runs, run_json(run[i]));
	}
	buf_clear(&b);
	json_print(&b, all);
	buf_addc(&b, '\n');
	paper_file(p, "data.json", &b);
	cJSON_Delete(all);
	buf_release(&b);
}
