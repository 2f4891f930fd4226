/*
 * report_log.c - logs that other trainers wrote, as pages.
 *
 * JSON lines, a list, or one object that holds such a list; what a row is, is seen by its keys:
 *     completion   an answer: completion (a text, or messages), prompt, step, advantage, and its
 *                  rewards: reward, rewards (a number, or one of each function by name), else every
 *                  other column that names a reward or a score; as TRL's GRPOTrainer logs them.
 *                  Several functions are summed. A row of lists (a column each) is as many rows
 *     debug row    of the published runs (reward-seed.md, section 8): reward_call, score, task_id,
 *                  code_chars, cadforge_build, cadforge_total, has_fixture, has_cadquery_import,
 *                  error_kind
 *     step         of a trainer_state.json's log_history, or a line each: step, loss, reward,
 *                  reward_std, kl, entropy, grad_norm, learning_rate, completions/mean_length, ...
 * Every figure may be missing. It is then missing in the page, which says so: a build rate that
 * nobody logged is not 0.
 */
#include "src/report_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/extract.h"
#include "src/jsonl.h"
#include "src/training_rows.h"

enum {
	FILE_MAX = 512 << 20,
	ROWS_MAX = 2000000,
	VALUES = 4000000, /* of a file that is one value */
	COLUMNS_MAX = 8,
	TEXT_KEPT = 32 << 10,
	ENDS = 4,
	LINES = 60,
	DEPTH = 4,
};

/* More than this the published shaping never gives without a build (reward-seed.md, section 6). */
static const double shaped_most = 0.37;

struct end {
	double reward;
	int line; /* or the number of its row, when the file is one value */
	int64_t step;
	char task[80];
	char *text; /* NULL: the log has none */
};

struct log {
	const char *file;
	struct grpo_run run;
	int rows, bad, first_bad, unknown; /* unknown: objects without any key of ours */
	char why_bad[200];
	int completions, debug, steps, without_step;
	int with_reward, with_build, with_total, with_class, with_text, with_advantage,
		with_clipped;
	int above_shaped; /* rewards above shaped_most */
	char column[COLUMNS_MAX][48];
	int n_columns;
	struct end best[ENDS], worst[ENDS];
	int n_best, n_worst;
	double *chars; /* of each answer; NAN */
	bool full;
};

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* ---- rows ---- */

/* true, 1 and "build_ok" are yes; what is none of such words is not known. */
static int yes_or_no(const cJSON *v)
{
	if (cJSON_IsBool(v))
		return cJSON_IsTrue(v);
	if (cJSON_IsNumber(v) && isfinite(v->valuedouble))
		return v->valuedouble > 0.5;
	return -1;
}

static int first_known(const cJSON *o, const char *const *key, int n)
{
	int v = -1;

	for (int i = 0; i < n && v < 0; i++)
		v = yes_or_no(get(o, key[i]));
	return v;
}

static double first_number(const cJSON *o, const char *const *key, int n)
{
	double v = NAN;

	for (int i = 0; i < n && !isfinite(v); i++)
		v = json_number_or(get(o, key[i]) ? o : NULL, key[i], NAN);
	return isfinite(v) ? v : NAN;
}

static const char *first_text(const cJSON *o, const char *const *key, int n)
{
	for (int i = 0; i < n; i++) {
		const cJSON *v = get(o, key[i]);
		if (cJSON_IsString(v) && *v->valuestring)
			return v->valuestring;
	}
	return NULL;
}

static void know_column(struct log *g, const char *name)
{
	for (int i = 0; i < g->n_columns; i++)
		if (strncmp(g->column[i], name, sizeof(g->column[0]) - 1) == 0)
			return;
	if (g->n_columns < COLUMNS_MAX)
		snprintf(g->column[g->n_columns++], sizeof(g->column[0]), "%s", name);
}

static double sum_of_rewards(struct log *g, const cJSON *v, const char *name)
{
	double sum = NAN;
	const cJSON *x;

	if (cJSON_IsNumber(v)) {
		know_column(g, name);
		return v->valuedouble;
	}
	cJSON_ArrayForEach(x, v) if (cJSON_IsNumber(x) && isfinite(x->valuedouble))
	{
		know_column(g, x->string ? x->string : name);
		sum = (isnan(sum) ? 0 : sum) + x->valuedouble;
	}
	return sum;
}

static double reward_of(struct log *g, const cJSON *o)
{
	double v = sum_of_rewards(g, get(o, "reward"), "reward");
	const cJSON *x;

	if (isnan(v))
		v = sum_of_rewards(g, get(o, "rewards"), "rewards");
	if (isnan(v))
		v = sum_of_rewards(g, get(o, "score"), "score");
	if (isnan(v))
		cJSON_ArrayForEach(x, o)
		{
			if (cJSON_IsNumber(x) && x->string && isfinite(x->valuedouble) &&
			    (strstr(x->string, "reward") || strstr(x->string, "score")) &&
			    strcmp(x->string, "reward_call") != 0) {
				know_column(g, x->string);
				v = (isnan(v) ? 0 : v) + x->valuedouble;
			}
		}
	return isfinite(v) ? v : NAN;
}

/* The text of an answer: as it is, or the last message of a list. */
static const char *completion_of(const cJSON *o)
{
	const cJSON *v = get(o, "completion"), *x, *last = NULL;

	if (!v)
		v = get(o, "raw_completion");
	if (cJSON_IsString(v))
		return v->valuestring;
	cJSON_ArrayForEach(x, v) if (cJSON_IsString(get(x, "content"))) last = get(x, "content");
	return last ? last->valuestring : NULL;
}

/* Among the ENDS highest or lowest; equal ones: the earlier. */
static void keep_end(struct end *list, int *n, bool best, const struct end *x, const char *text)
{
	int at = *n;

	while (at > 0 && (best ? x->reward > list[at - 1].reward : x->reward < list[at - 1].reward))
		at--;
	if (at == ENDS)
		return;
	if (*n == ENDS)
		free(list[--*n].text);
	memmove(&list[at + 1], &list[at], (size_t)(*n - at) * sizeof(*list));
	list[at] = *x;
	list[at].text = text ? strndup(text, TEXT_KEPT) : NULL;
	++*n;
}

static void *room(struct log *g, void *at, int n, size_t size)
{
	void **p = at, *more;

	if (n & (n - 1))
		return *p;
	more = realloc(*p, (size_t)(n ? 2 * n : 1) * size);
	if (!more) {
		g->run.failed = true;
		return NULL;
	}
	return *p = more;
}

static bool step_of(const cJSON *o, int64_t *step)
{
	static const char *const keys[] = { "step", "global_step", "reward_call" };
	double v = first_number(o, keys, 3);

	if (!(v >= 0) || v > 1e15)
		return false;
	*step = (int64_t)v;
	return true;
}

static void take_text(struct grpo_seen_answer *a, const char *text)
{
	struct extract x = { 0 };

	if (extract_program(&x, EXTRACT_ANSWER, text, strlen(text), NULL) == 0) {
		const char *program = buf_str(&x.program);
		a->object = training_row_object(program, x.program.len);
		a->import = grpo_imports(program, x.program.len);
		a->program = 1;
	}
	extract_release(&x);
}

static void take_answer(struct log *g, const cJSON *o, int line)
{
	static const char *const built[] = { "cadforge_build", "built", "build", "build_ok", "ok" };
	static const char *const total[] = { "cadforge_total", "total" };
	static const char *const task[] = { "task_id", "task" };
	static const char *const kind[] = { "error_kind", "class", "failure_class" };
	static const char *const length[] = { "code_chars", "completion_chars" };
	static const char *const advantage[] = { "advantage", "advantages" };
	const char *text = completion_of(o), *finish = json_string_or(o, "finish_reason", NULL), *s;
	struct grpo_seen_answer *a;
	struct grpo_run *r = &g->run;
	double chars = first_number(o, length, 2);
	int known = first_known(o, built, 5), clipped = yes_or_no(get(o, "clipped"));

	if (!room(g, &r->answer, r->n_answers, sizeof(*r->answer)) ||
	    !room(g, &g->chars, r->n_answers, sizeof(*g->chars)))
		return;
	a = &r->answer[r->n_answers];
	*a = (struct grpo_seen_answer){ .turn = line,
		                        .tokens = -1,
		                        .reward = reward_of(g, o),
		                        .advantage = first_number(o, advantage, 2),
		                        .total = first_number(o, total, 2),
		                        .built = known == 1,
		                        .program = -1,
		                        .object = yes_or_no(get(o, "has_fixture")),
		                        .import = yes_or_no(get(o, "has_cadquery_import")) };
	if (text) {
		take_text(a, text);
		chars = isnan(chars) ? (double)strlen(text) : chars;
	} else if (a->object >= 0 || a->import >= 0) {
		a->program = 1;
	}
	if (finish)
		clipped = strcmp(finish, "length") == 0;
	g->chars[r->n_answers] = chars;
	a->built_known = known >= 0;
	a->clipped = clipped == 1;
	a->clipped_known = clipped >= 0;
	s = first_text(o, task, 2);
	snprintf(a->task, sizeof(a->task), "%s", s ? s : "");
	s = first_text(o, kind, 3);
	snprintf(a->cls, sizeof(a->cls), "%s", s ? s : "");
	if (!step_of(o, &a->step)) {
		a->step = r->n_answers + 1;
		g->without_step++;
	}
	g->with_reward += isfinite(a->reward);
	g->with_build += known >= 0;
	g->with_total += isfinite(a->total);
	g->with_class += s != NULL;
	g->with_text += text != NULL;
	g->with_advantage += isfinite(a->advantage);
	g->with_clipped += clipped >= 0;
	g->above_shaped += a->reward > shaped_most + 1e-9;
	if (isfinite(a->reward)) {
		struct end x = { .reward = a->reward, .line = line, .step = a->step };
		snprintf(x.task, sizeof(x.task), "%s", a->task);
		keep_end(g->best, &g->n_best, true, &x, text);
		keep_end(g->worst, &g->n_worst, false, &x, text);
	}
	r->n_answers++;
}

/* A row of lists, as tables are kept by column. */
static void take_columns(struct log *g, const cJSON *o, int line)
{
	const cJSON *v;
	int n = cJSON_GetArraySize(get(o, "completion"));
	const cJSON **at;
	int columns = 0, k;

	cJSON_ArrayForEach(v, o) columns += cJSON_IsArray(v);
	at = calloc((size_t)columns + 1, sizeof(*at));
	if (!at) {
		g->run.failed = true;
		return;
	}
	k = 0;
	cJSON_ArrayForEach(v, o) if (cJSON_IsArray(v)) at[k++] = v->child;
	for (int i = 0; i < n && !g->run.failed; i++) {
		cJSON *row = cJSON_CreateObject();
		k = 0;
		cJSON_ArrayForEach(v, o) if (cJSON_IsArray(v))
		{
			if (at[k]) {
				cJSON_AddItemToObject(row, v->string ? v->string : "",
				                      cJSON_Duplicate(at[k], true));
				at[k] = at[k]->next;
			}
			k++;
		}
		take_answer(g, row, line);
		g->completions++;
		cJSON_Delete(row);
	}
	free(at);
}

static void take_step(struct log *g, const cJSON *o)
{
	static const struct {
		enum grpo_figure f;
		const char *key[3];
	} figures[] = { { F_LOSS, { "loss" } },
		        { F_LR, { "learning_rate", "lr" } },
		        { F_NORM, { "grad_norm" } },
		        { F_SECONDS, { "step_time", "seconds" } },
		        { F_REWARD, { "reward" } },
		        { F_REWARD_STD, { "reward_std" } },
		        { F_KL, { "kl" } },
		        { F_ENTROPY, { "entropy" } },
		        { F_CLIP_SHARE, { "clip_ratio", "clip_ratio/region_mean" } },
		        { F_LENGTH, { "completions/mean_length", "completion_length" } },
		        { F_LENGTH_MAX, { "completions/max_length" } },
		        { F_CLIPPED_RATE, { "completions/clipped_ratio" } } };
	struct grpo_run *r = &g->run;
	struct grpo_point *x;
	int64_t step;

	if (!step_of(o, &step)) {
		g->without_step++;
		return;
	}
	if (!room(g, &r->point, r->n, sizeof(*r->point)))
		return;
	x = &r->point[r->n++];
	*x = (struct grpo_point){ .step = step, .row = g->steps };
	for (int i = 0; i < FIGURES; i++)
		x->v[i] = NAN;
	for (int i = 0; i < GRPO_CLASSES_MAX; i++)
		x->classes[i] = x->weights[i] = NAN;
	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		for (int k = 0; k < 3 && figures[i].key[k] && !isfinite(x->v[figures[i].f]); k++)
			x->v[figures[i].f] = json_number_or(o, figures[i].key[k], NAN);
}

static void take(struct log *g, const cJSON *o, int line, int depth)
{
	static const char *const step_keys[] = { "loss",    "reward",    "kl",
		                                 "entropy", "grad_norm", "learning_rate" };
	const cJSON *v, *x;
	bool any = false;

	if (g->run.failed || g->full)
		return;
	if (g->rows >= ROWS_MAX) {
		g->full = true;
		return;
	}
	if (cJSON_IsArray(o)) {
		cJSON_ArrayForEach(x, o) if (depth < DEPTH) take(g, x, line, depth + 1);
		return;
	}
	if (!cJSON_IsObject(o)) {
		g->rows++;
		g->unknown++;
		return;
	}
	v = get(o, "completion");
	if (cJSON_IsArray(v) && !get(v->child, "content") &&
	    (cJSON_IsString(v->child) || cJSON_IsArray(v->child))) {
		g->rows++;
		take_columns(g, o, line);
		return;
	}
	if (completion_of(o) || get(o, "reward_call") || get(o, "cadforge_build") ||
	    (get(o, "score") && get(o, "task_id"))) {
		g->rows++;
		g->completions += completion_of(o) != NULL;
		g->debug += completion_of(o) == NULL;
		/* of a file that is one value: which row of it */
		take_answer(g, o, depth ? g->rows : line);
		return;
	}
	if (cJSON_IsNumber(get(o, "step")) || cJSON_IsNumber(get(o, "global_step")))
		for (size_t i = 0; i < sizeof(step_keys) / sizeof(*step_keys); i++)
			any |= cJSON_IsNumber(get(o, step_keys[i]));
	if (any) {
		g->rows++;
		g->steps++;
		take_step(g, o);
		return;
	}
	/* one object that holds the rows: trainer_state.json, a summary */
	cJSON_ArrayForEach(x, o) if (cJSON_IsArray(x) && cJSON_IsObject(x->child) && depth < DEPTH)
	{
		any = true;
		take(g, x, line, depth + 1);
	}
	if (!any) {
		g->rows++;
		g->unknown++;
	}
}

/* ---- a file ---- */

static int take_file(struct log *g, struct err *e)
{
	struct buf text = { 0 };
	struct err why = { 0 };
	const char *p, *end;
	int line = 0, rc = buf_read_file(&text, g->file, FILE_MAX, e);
	cJSON *o;

	if (rc < 0) {
		buf_release(&text);
		return -1;
	}
	p = buf_str(&text);
	end = p + text.len;
	for (bool first = true; p < end && !g->run.failed && !g->full;) {
		const char *at_end = memchr(p, '\n', (size_t)(end - p));
		size_t len = at_end ? (size_t)(at_end - p) : (size_t)(end - p);
		line++;
		if (!jsonl_blank(p, len)) {
			why = (struct err){ 0 };
			o = len > JSONL_LINE_MAX ? NULL : json_parse(p, len, &why);
			if (!o && first) {
				/* not a value a line: the file is one */
				o = json_parse_bounded(buf_str(&text), text.len, VALUES, NULL);
				if (o)
					p = end;
			}
			first = false;
			if (o) {
				take(g, o, line, 0);
			} else {
				if (g->bad++ == 0) {
					g->first_bad = line;
					snprintf(g->why_bad, sizeof(g->why_bad), "%.190s",
					         len > JSONL_LINE_MAX ? "the line is too long"
					                              : why.text);
				}
			}
			cJSON_Delete(o);
		}
		if (p < end)
			p += len + 1;
	}
	buf_release(&text);
	if (g->run.failed)
		return err_set(e, ERR_MEM, "%s: out of memory", g->file);
	if (g->completions + g->debug + g->steps > 0)
		return 0;
	if (g->bad)
		return err_set(
			e, ERR_INPUT,
			"%s: no row of it is known: line %d: %.200s. Expected JSON lines with "
			"prompt, completion and rewards (TRL), debug rows with reward_call and "
			"score, or a trainer_state.json",
			g->file, g->first_bad, g->why_bad);
	return err_set(e, ERR_INPUT,
	               "%s: no row of it is known: %d object%s without completion, reward_call or "
	               "score, nor step with loss or reward",
	               g->file, g->unknown, g->unknown == 1 ? "" : "s");
}

static int by_step(const void *a, const void *b)
{
	const struct grpo_seen_answer *x = a, *y = b;

	return x->step != y->step ? (x->step > y->step) - (x->step < y->step)
	                          : (x->turn > y->turn) - (x->turn < y->turn);
}

static int by_point(const void *a, const void *b)
{
	const struct grpo_point *x = a, *y = b;

	return x->step != y->step ? (x->step > y->step) - (x->step < y->step)
	                          : (x->row > y->row) - (x->row < y->row);
}

static int class_number(struct grpo_run *r, const char *name)
{
	for (int i = 0; i < r->n_cls; i++)
		if (strcmp(r->cls[i], name) == 0)
			return i;
	if (r->n_cls == GRPO_CLASSES_MAX)
		return -1;
	snprintf(r->cls[r->n_cls], sizeof(r->cls[0]), "%s", name);
	return r->n_cls++;
}

static void add_to(double *v, double x)
{
	if (isfinite(x))
		*v = (isnan(*v) ? 0 : *v) + x;
}

/* The figures of one step from its answers; a figure of which none is known stays unknown. */
static void sum_step(struct log *g, struct grpo_point *x, int from, int to)
{
	struct grpo_run *r = &g->run;
	double rewards = NAN, squares = NAN, n = 0, chars = NAN, with_chars = 0, lost = 0;

	for (int i = from; i < to; i++) {
		const struct grpo_seen_answer *a = &r->answer[i];
		int cls = *a->cls ? class_number(r, a->cls) : -1;
		if (isfinite(a->reward)) {
			add_to(&rewards, a->reward);
			add_to(&squares, a->reward * a->reward);
			n++;
		}
		if (a->built_known)
			add_to(&x->v[F_BUILT], a->built);
		else
			lost++;
		if (a->clipped_known)
			add_to(&x->v[F_CLIPPED], a->clipped);
		if (a->program == 1) {
			add_to(&x->v[F_PROGRAMS], 1);
			add_to(&x->v[F_OBJECT], a->object == 1);
			add_to(&x->v[F_IMPORT], a->import == 1);
		}
		if (isfinite(g->chars[i])) {
			add_to(&chars, g->chars[i]);
			with_chars++;
		}
		if (cls >= 0)
			add_to(&x->classes[cls], 1);
	}
	x->v[F_ANSWERS] = to - from;
	/* those of which nobody said whether they build are in no rate */
	x->v[F_LOST] = lost;
	if (isfinite(x->v[F_BUILT]))
		x->v[F_BUILD_RATE] = x->v[F_BUILT] / (to - from - lost);
	if (isfinite(x->v[F_CLIPPED]))
		x->v[F_CLIPPED_RATE] = x->v[F_CLIPPED] / (to - from);
	x->v[F_REWARD] = n > 0 ? rewards / n : NAN;
	if (n > 1) {
		double v = (squares - rewards * rewards / n) / (n - 1);
		x->v[F_REWARD_STD] = v > 0 ? sqrt(v) : 0;
	}
	x->v[F_CHARS] = with_chars > 0 ? chars / with_chars : NAN;
}

static int make_points(struct log *g, struct err *e)
{
	struct grpo_run *r = &g->run;

	if (r->n)
		qsort(r->point, (size_t)r->n, sizeof(*r->point), by_point);
	/* a trainer that went on wrote some steps twice: the later ones hold */
	for (int i = 1; i < r->n;)
		if (r->point[i].step == r->point[i - 1].step) {
			for (int f = 0; f < FIGURES; f++)
				if (!isfinite(r->point[i].v[f]))
					r->point[i].v[f] = r->point[i - 1].v[f];
			memmove(&r->point[i - 1], &r->point[i],
			        (size_t)(r->n - i) * sizeof(*r->point));
			r->n--;
		} else {
			i++;
		}
	if (r->n == 0) {
		/* chars are by answer: in their order before they are sorted */
		struct grpo_seen_answer *a = r->answer;
		double *chars = malloc((size_t)(r->n_answers + 1) * sizeof(*chars));
		if (!chars)
			return err_set(e, ERR_MEM, "%s: out of memory", g->file);
		for (int i = 0; i < r->n_answers; i++)
			a[i].group = i; /* for the moment */
		qsort(a, (size_t)r->n_answers, sizeof(*a), by_step);
		for (int i = 0; i < r->n_answers; i++) {
			chars[i] = g->chars[a[i].group];
			a[i].group = 0;
		}
		free(g->chars);
		g->chars = chars;
		for (int from = 0, to; from < r->n_answers; from = to) {
			struct grpo_point *x;
			for (to = from; to < r->n_answers && a[to].step == a[from].step; to++)
				;
			if (!room(g, &r->point, r->n, sizeof(*r->point)))
				return err_set(e, ERR_MEM, "%s: out of memory", g->file);
			x = &r->point[r->n++];
			*x = (struct grpo_point){ .step = a[from].step, .row = a[from].turn };
			for (int i = 0; i < FIGURES; i++)
				x->v[i] = NAN;
			for (int i = 0; i < GRPO_CLASSES_MAX; i++)
				x->classes[i] = x->weights[i] = NAN;
			sum_step(g, x, from, to);
		}
	}
	if (r->n)
		r->steps = r->point[r->n - 1].step;
	return 0;
}

/* ---- the page ---- */

static const char *base_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash && slash[1] ? slash + 1 : file;
}

/* What of @all rows say a thing; nothing is told when all do. */
static void has(struct paper *p, const char *what, int n, int all, const char *so)
{
	paper_cell(p, "%s", what);
	if (n == 0)
		paper_cell(p, "missing");
	else if (n == all)
		paper_cell(p, "in all rows");
	else
		paper_cell(p, "in %d of %d rows", n, all);
	paper_cell(p, "%s", n == all ? "" : so);
}

static void tell_log(struct paper *p, const struct log *g)
{
	static const char *const columns[] = { "figure", "in the log", "so" };
	const struct grpo_run *r = &g->run;
	int all = g->run.n_answers, with_object = 0, with_import = 0, built = 0;
	struct buf rewards = { 0 };
	char text[64];

	paper_heading(p, 3, "%s", r->name);
	paper_text(p, "%d row%s: %d completion%s, %d debug row%s, %d step%s of the trainer.",
	           g->rows, g->rows == 1 ? "" : "s", g->completions, g->completions == 1 ? "" : "s",
	           g->debug, g->debug == 1 ? "" : "s", g->steps, g->steps == 1 ? "" : "s");
	if (g->bad)
		paper_warn(p,
		           "%d line%s could not be read and %s left out; the first is line %d: %s",
		           g->bad, g->bad == 1 ? "" : "s", g->bad == 1 ? "is" : "are", g->first_bad,
		           g->why_bad);
	if (g->unknown)
		paper_text(p, "%d object%s had no key that is known, and %s left out.", g->unknown,
		           g->unknown == 1 ? "" : "s", g->unknown == 1 ? "is" : "are");
	if (g->full)
		paper_warn(p, "The log has more than %d rows: those after them are left out.",
		           ROWS_MAX);
	if (g->steps && all)
		paper_text(p,
		           "The curves are the trainer's steps; its completions are at the end.");
	if (all) {
		for (int i = 0; i < all; i++) {
			with_object += r->answer[i].object >= 0;
			with_import += r->answer[i].import >= 0;
			built += r->answer[i].built_known && r->answer[i].built;
		}
		for (int i = 0; i < g->n_columns; i++)
			buf_printf(&rewards, "%s%s", i ? " + " : "", g->column[i]);
		paper_table(p, columns, 3);
		has(p, "step", all - g->without_step, all,
		    "rows without one are counted by their place in the file");
		has(p, "reward", g->with_reward, all, "no reward curve from the others");
		has(p, "whether it builds (cadforge_build)", g->with_build, all,
		    g->with_build ? "the others are in no build rate"
		                  : "the build rate is not known; it is not 0 %");
		has(p, "total (cadforge_total)", g->with_total, all, "");
		has(p, "failure class (error_kind)", g->with_class, all,
		    "the others are in no plot of classes");
		has(p, "names its final object", with_object, all, "");
		has(p, "imports cadquery", with_import, all, "");
		has(p, "cut off (clipped, finish_reason)", g->with_clipped, all,
		    "how many answers were cut off is not known");
		has(p, "text of the answer", g->with_text, all,
		    "it cannot be built again: 'cadforge import' builds and scores texts");
		has(p, "advantage", g->with_advantage, all, "");
		paper_table_end(p);
		if (g->n_columns > 1)
			paper_text(p, "The reward of a row is %s.", buf_str(&rewards));
		if (g->with_build)
			paper_item(p, "Build rate of the rows that say it: %s, %d of %d.",
			           grpo_percent(text, statistics_rate(built, g->with_build)), built,
			           g->with_build);
		if (g->with_reward && g->debug && g->with_build < all)
			paper_item(
				p,
				"Without a build the published shaping gives %.2f at most: %d of "
				"%d rows have more (%.1f %%). If this log is of a run under it, at "
				"least so many built.",
				shaped_most, g->above_shaped, g->with_reward,
				100.0 * g->above_shaped / g->with_reward);
	}
	if (r->n) {
		double first = grpo_mean(r, F_REWARD, 0, GRPO_WINDOW);
		int from = r->n > GRPO_WINDOW ? r->n - GRPO_WINDOW : 0;
		struct grpo_trend t = grpo_trend(r, F_REWARD);
		if (isfinite(first))
			paper_item(p,
			           "Mean reward: %.3f in its first %d steps, %.3f in its last %d.",
			           first, r->n < GRPO_WINDOW ? r->n : GRPO_WINDOW,
			           grpo_mean(r, F_REWARD, from, r->n), r->n - from);
		if (isfinite(t.slope))
			paper_item(
				p,
				"Trend of the reward: %+.4f in ten steps (95 %%: %+.4f to %+.4f, as "
				"if steps were independent).",
				10 * t.slope, 10 * t.low, 10 * t.high);
		if (isfinite(grpo_mean(r, F_CLIPPED_RATE, 0, r->n)))
			paper_item(p, "Clipped by the budget: %.1f %% of the answers.",
			           100 * grpo_mean(r, F_CLIPPED_RATE, 0, r->n));
	}
	buf_release(&rewards);
}

static void tell_ends(struct paper *p, const struct log *g, bool best)
{
	const struct end *list = best ? g->best : g->worst;
	int n = best ? g->n_best : g->n_worst;

	for (int i = 0; i < n; i++) {
		const struct end *x = &list[i];
		paper_heading(p, 4, "%s, row %d%s%s", base_of(g->file), x->line,
		              *x->task ? ": " : "", x->task);
		paper_text(p, "Step %" PRId64 ", reward %.3f.%s", x->step, x->reward,
		           x->text ? "" : " The log has no text of it.");
		if (x->text) {
			paper_fold(p, "its text");
			paper_block(p, "", x->text, strlen(x->text), LINES);
			paper_fold_end(p);
		}
	}
}

static void release(struct log *g)
{
	for (int i = 0; i < g->n_best; i++)
		free(g->best[i].text);
	for (int i = 0; i < g->n_worst; i++)
		free(g->worst[i].text);
	free(g->chars);
	free(g->run.point);
	free(g->run.answer);
}

int report_logs(const char *const *file, int n, const struct report_options *o, struct err *e)
{
	struct log *g = calloc((size_t)n, sizeof(*g));
	struct grpo_run *run[REPORT_LOGS_MAX];
	struct report_work w = { .o = o };
	int rc = -1;

	if (!g)
		return err_set(e, ERR_MEM, "out of memory");
	for (int i = 0; i < n; i++) {
		g[i].file = file[i];
		g[i].run.row.id = i + 1;
		g[i].run.log = true;
		run[i] = &g[i].run;
		snprintf(run[i]->name, sizeof(run[i]->name), "%d %.40s", i + 1, base_of(file[i]));
		if (take_file(&g[i], e) < 0 || make_points(&g[i], e) < 0)
			goto out;
	}
	w.p = paper_open(o->out, "cadforge report", n > 1 ? "Logs" : base_of(file[0]), e);
	if (!w.p)
		goto out;
	paper_heading(w.p, 2, "What is in %s", n > 1 ? "the logs" : "the log");
	for (int i = 0; i < n; i++)
		tell_log(w.p, &g[i]);
	grpo_curves(&w, run, n);
	for (int best = 1; best >= 0; best--) {
		bool any = false;
		for (int i = 0; i < n; i++)
			any |= g[i].n_best > 0;
		if (any)
			paper_heading(w.p, 2, best ? "Best completions" : "Worst completions");
		for (int i = 0; i < n; i++)
			tell_ends(w.p, &g[i], best);
	}
	grpo_files(w.p, run, n);
	rc = paper_close(w.p, e);
out:
	for (int i = 0; i < n; i++)
		release(&g[i]);
	free(g);
	return rc;
}
