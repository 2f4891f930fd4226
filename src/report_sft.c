/*
 * report_sft.c - trainings on rows as a page: what was learnt from, curves, samples.
 */
#include "src/report_inside.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_SHOWN = 12, PROGRAM_LINES = 60 };

struct series {
	double *x, *y;
	int n, cap;
};

struct sampled {
	int64_t step;
	int n, built, scored;
	double total;
};

struct sft_run {
	struct train_run row;
	char name[32];
	struct series loss, smooth, lr, norm, speed, eval, built;
	int64_t step, steps;
	double tokens, seconds, last_loss, last_eval, best_eval;
	cJSON *ready;
	char error[400];
	int resumed, checkpoints;
	struct sampled *sampled;
	int n_sampled;
	int64_t shown[SAMPLES_SHOWN]; /* episodes of the last step that has samples */
	int n_shown;
	bool failed;
};

/* ---- reading ---- */

static void add_point(struct sft_run *r, struct series *v, double x, double y)
{
	if (v->n == v->cap) {
		int cap = v->cap ? 2 * v->cap : 256;
		double *xs = realloc(v->x, (size_t)cap * sizeof(*xs));
		double *ys = xs ? realloc(v->y, (size_t)cap * sizeof(*ys)) : NULL;
		if (xs)
			v->x = xs;
		if (!ys) {
			r->failed = true;
			return;
		}
		v->y = ys;
		v->cap = cap;
	}
	v->x[v->n] = x;
	v->y[v->n++] = y;
}

/* A run that went on from a checkpoint takes some steps again: the later ones hold. */
static void back_to(struct series *v, double x)
{
	while (v->n > 0 && v->x[v->n - 1] >= x)
		v->n--;
}

static int see_step(void *ctx, const struct store_step *v)
{
	struct sft_run *r = ctx;
	cJSON *o = v->data ? json_parse(v->data, strlen(v->data), NULL) : NULL;
	double x = (double)v->step;

	if (strcmp(v->kind, "ready") == 0) {
		r->steps = (int64_t)json_number_or(o, "steps", 0);
		r->resumed += r->ready != NULL;
		cJSON_Delete(r->ready);
		r->ready = o;
		o = NULL;
	} else if (strcmp(v->kind, "step") == 0) {
		struct series *all[] = { &r->loss, &r->lr, &r->norm, &r->speed };
		for (int i = 0; i < 4; i++)
			back_to(all[i], x);
		add_point(r, &r->loss, x, v->loss);
		add_point(r, &r->lr, x, v->lr);
		add_point(r, &r->norm, x, v->norm);
		add_point(r, &r->speed, x,
		          v->seconds > 0 && v->tokens >= 0 ? (double)v->tokens / v->seconds : NAN);
		r->step = v->step;
		r->last_loss = v->loss;
		r->tokens += v->tokens > 0 ? (double)v->tokens : 0;
		r->seconds += isfinite(v->seconds) ? v->seconds : 0;
	} else if (strcmp(v->kind, "eval") == 0) {
		back_to(&r->eval, x);
		add_point(r, &r->eval, x, v->loss);
		r->last_eval = v->loss;
		r->best_eval =
			isnan(r->best_eval) || v->loss < r->best_eval ? v->loss : r->best_eval;
	} else if (strcmp(v->kind, "checkpoint") == 0) {
		r->checkpoints++;
	} else if (strcmp(v->kind, "end") == 0) {
		snprintf(r->error, sizeof(r->error), "%s", json_string_or(o, "error", ""));
	}
	cJSON_Delete(o);
	return 0;
}

static int see_sample(void *ctx, const struct store_sample *v)
{
	struct sft_run *r = ctx;
	struct sampled *last = r->n_sampled ? &r->sampled[r->n_sampled - 1] : NULL;

	if (!last || last->step != v->step) {
		struct sampled *more =
			realloc(r->sampled, (size_t)(r->n_sampled + 1) * sizeof(*more));
		if (!more) {
			r->failed = true;
			return 1;
		}
		r->sampled = more;
		last = &r->sampled[r->n_sampled++];
		*last = (struct sampled){ .step = v->step };
		r->n_shown = 0;
	}
	last->n++;
	last->built += v->built;
	if (isfinite(v->total)) {
		last->total += v->total;
		last->scored++;
	}
	if (r->n_shown < SAMPLES_SHOWN)
		r->shown[r->n_shown++] = v->episode;
	return 0;
}

void sft_release(struct sft_run *r)
{
	if (!r)
		return;
	struct series *all[] = { &r->loss,  &r->smooth, &r->lr,   &r->norm,
		                 &r->speed, &r->eval,   &r->built };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		free(all[i]->x);
		free(all[i]->y);
	}
	cJSON_Delete(r->ready);
	free(r->sampled);
	train_run_release(&r->row);
	free(r);
}

struct sft_run *sft_read(struct store *s, struct train_run *row, struct err *e)
{
	struct sft_run *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	r->last_loss = r->last_eval = r->best_eval = NAN;
	r->row = *row;
	*row = (struct train_run){ 0 };
	snprintf(r->name, sizeof(r->name), "run %" PRId64, r->row.id);
	if (store_steps(s, r->row.id, 0, INT_MAX, see_step, r, e) < 0 ||
	    store_samples(s, r->row.id, 0, see_sample, r, e) < 0) {
		sft_release(r);
		return NULL;
	}
	for (int i = 0; i < r->n_sampled; i++)
		add_point(r, &r->built, (double)r->sampled[i].step,
		          (double)r->sampled[i].built / r->sampled[i].n);
	for (int i = 0; i < r->loss.n; i++)
		add_point(r, &r->smooth, r->loss.x[i], 0);
	if (r->failed) {
		err_set(e, ERR_MEM, "out of memory for %d steps", r->loss.n);
		sft_release(r);
		return NULL;
	}
	if (r->loss.n)
		plot_smooth(r->loss.y, r->loss.n, r->loss.n / 25 > 3 ? r->loss.n / 25 : 3,
		            r->smooth.y);
	return r;
}

/* ---- curves ---- */

/* One figure of all runs over the steps. */
static void plot_series(struct paper *p, struct sft_run *const *run, int n, const char *name,
                        struct plot plot, size_t series, bool points)
{
	struct plot_line line[REPORT_RUNS_MAX];

	plot.line = line;
	plot.x_label = "step";
	plot.whole_x = true;
	for (int i = 0; i < n; i++) {
		const struct series *v =
			(const struct series *)(const void *)((const char *)run[i] + series);
		if (v->n == 0)
			continue;
		line[plot.n++] = (struct plot_line){ .name = n > 1 ? run[i]->name : NULL,
			                             .x = v->x,
			                             .y = v->y,
			                             .n = v->n,
			                             .points = points };
	}
	if (plot.n)
		paper_plot(p, name, &plot, "%s", "");
}

static void plot_loss(struct paper *paper, struct sft_run *const *run, int n)
{
	struct plot_line line[3 * REPORT_RUNS_MAX];
	char names[2 * REPORT_RUNS_MAX][48];
	struct plot p = { .title = "Loss",
		          .x_label = "step",
		          .whole_x = true,
		          .y_label = "loss a token",
		          .line = line };
	double low = INFINITY, high = 0;

	for (int i = 0; i < n; i++) {
		const struct sft_run *r = run[i];
		bool few = r->loss.n < 50;
		for (int k = 0; k < r->loss.n; k++) {
			low = r->loss.y[k] > 0 && r->loss.y[k] < low ? r->loss.y[k] : low;
			high = r->loss.y[k] > high ? r->loss.y[k] : high;
		}
		snprintf(names[2 * i], sizeof(names[0]), "%s%strain", n > 1 ? r->name : "",
		         n > 1 ? ", " : "");
		snprintf(names[2 * i + 1], sizeof(names[0]), "%s%sheld out", n > 1 ? r->name : "",
		         n > 1 ? ", " : "");
		if (p.n + 3 > PLOT_LINES_MAX)
			break;
		int mine = p.n + 1;
		line[p.n++] = (struct plot_line){ .name = names[2 * i],
			                          .x = r->smooth.x,
			                          .y = few ? r->loss.y : r->smooth.y,
			                          .n = r->loss.n };
		if (r->eval.n)
			line[p.n++] = (struct plot_line){ .name = names[2 * i + 1],
				                          .x = r->eval.x,
				                          .y = r->eval.y,
				                          .n = r->eval.n,
				                          .points = r->eval.n < 60 };
		if (!few)
			line[p.n++] = (struct plot_line){ .x = r->loss.x,
				                          .y = r->loss.y,
				                          .n = r->loss.n,
				                          .faint = true,
				                          .colour = mine };
	}
	p.log_y = high > 20 * low;
	p.zero_y = !p.log_y;
	paper_plot(paper, "loss.svg", &p, "%s", "");
}

static void add_curves(struct paper *p, struct sft_run *const *run, int n)
{
	paper_heading(p, 2, "Curves");
	plot_loss(p, run, n);
	plot_series(p, run, n, "builds-held-out.svg",
	            (struct plot){ .title = "Build rate of held-out prompts",
	                           .y_label = "answers that build",
	                           .share_y = true },
	            offsetof(struct sft_run, built), true);
	plot_series(p, run, n, "rate.svg",
	            (struct plot){
			    .title = "Learning rate", .y_label = "learning rate", .zero_y = true },
	            offsetof(struct sft_run, lr), false);
	plot_series(p, run, n, "norm.svg",
	            (struct plot){ .title = "Gradient norm, before clipping",
	                           .y_label = "norm",
	                           .log_y = true },
	            offsetof(struct sft_run, norm), false);
	plot_series(p, run, n, "throughput.svg",
	            (struct plot){
			    .title = "Throughput", .y_label = "tokens a second", .zero_y = true },
	            offsetof(struct sft_run, speed), false);
}

/* ---- words ---- */

static void add_heading(struct paper *p, struct sft_run *const *run, int n)
{
	static const char *const columns[] = { "run",     "kind",  "begun",     "state",
		                               ">steps",  ">loss", ">held out", ">best held out",
		                               ">tokens", "time",  ">tokens/s" };
	char text[32];

	paper_table(p, columns, 11);
	for (int i = 0; i < n; i++) {
		const struct sft_run *r = run[i];
		store_local_time(text, sizeof(text), r->row.started_us);
		paper_cell(p, "%" PRId64, r->row.id);
		paper_cell(p, "%s", r->row.kind);
		paper_cell(p, "%s", text);
		paper_cell(p, "%s", r->row.outcome[0] ? r->row.outcome : "not ended");
		paper_cell(p, "%" PRId64 "/%" PRId64, r->step, r->steps);
		paper_figure(p, "%.4f", r->last_loss);
		paper_figure(p, "%.4f", r->last_eval);
		paper_figure(p, "%.4f", r->best_eval);
		paper_figure(p, "%.0f", r->tokens);
		report_duration(text, sizeof(text), r->seconds);
		paper_cell(p, "%s", text);
		paper_figure(p, "%.0f", r->seconds > 0 ? r->tokens / r->seconds : NAN);
	}
	paper_table_end(p);
	for (int i = 0; i < n; i++) {
		if (run[i]->error[0])
			paper_warn(p, "Run %" PRId64 " failed: %s", run[i]->row.id, run[i]->error);
		if (run[i]->resumed)
			paper_text(p, "Run %" PRId64 " went on from a checkpoint %d time%s.",
			           run[i]->row.id, run[i]->resumed,
			           run[i]->resumed == 1 ? "" : "s");
	}
}

static void add_drops(struct paper *p, const cJSON *list)
{
	static const char *const columns[] = { "left out", ">rows", "the first" };
	const cJSON *d;

	if ((!cJSON_IsArray(list) && !cJSON_IsObject(list)) || !list->child)
		return;
	paper_table(p, columns, 3);
	cJSON_ArrayForEach(d, list)
	{
		double n = cJSON_IsNumber(d) ? d->valuedouble : json_number_or(d, "count", 0);
		if (!(n > 0))
			continue;
		paper_cell(p, "%s", json_string_or(d, "reason", d->string ? d->string : "?"));
		paper_cell(p, "%.0f", n);
		paper_cell(p, "%s", json_string_or(d, "first", json_string_or(d, "why", "")));
	}
	paper_table_end(p);
}

static void add_data(struct paper *p, const struct sft_run *r, bool several)
{
	const cJSON *rows = cJSON_GetObjectItemCaseSensitive(r->row.about, "rows");
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(r->ready, "data");

	paper_heading(p, 2, "Data%s%s", several ? " of " : "", several ? r->name : "");
	if (rows) {
		paper_text(
			p,
			"%.0f rows were read and %.0f kept: %.0f to learn from (%.0f programs, "
			"%.0f repairs; with their weights they count as %g), %.0f held out: whole "
			"tasks, %.0f of %.0f.",
			json_number_or(rows, "read", 0), json_number_or(rows, "kept", 0),
			json_number_or(rows, "train", 0), json_number_or(rows, "programs", 0),
			json_number_or(rows, "repairs", 0), json_number_or(rows, "weighted", 0),
			json_number_or(rows, "eval", 0), json_number_or(rows, "held_tasks", 0),
			json_number_or(rows, "tasks", 0));
		add_drops(p, cJSON_GetObjectItemCaseSensitive(rows, "dropped"));
	}
	if (r->ready)
		paper_text(p, "The training took %.0f samples, and %.0f held out, on %s (%s).",
		           json_number_or(r->ready, "samples", 0),
		           json_number_or(r->ready, "eval_samples", 0),
		           json_string_or(r->ready, "backend", "?"),
		           json_string_or(r->ready, "device", "?"));
	add_drops(p, cJSON_GetObjectItemCaseSensitive(data, "dropped"));
}

/* ---- samples ---- */

struct episode_seen {
	char task[128], class_name[64];
	double total;
	bool built;
};

static int see_turn(void *ctx, const struct store_turn *t)
{
	struct episode_seen *x = ctx;

	x->built = t->built;
	x->total = t->total;
	snprintf(x->class_name, sizeof(x->class_name), "%s", t->class_name ? t->class_name : "");
	return 0;
}

static int see_episode(void *ctx, const struct store_episode *v)
{
	struct episode_seen *x = ctx;

	snprintf(x->task, sizeof(x->task), "%s", v->task);
	return 0;
}

static void picture_of(struct report_work *w, int64_t episode)
{
	static const char *const views[] = { "isometric.png", "sheet.png", "front.png" };
	struct buf png = { 0 };
	char name[64];

	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++) {
		buf_clear(&png);
		if (store_artifact(w->s, episode, 1, views[i], &png, NULL) < 0)
			continue;
		snprintf(name, sizeof(name), "sample-%" PRId64 ".png", episode);
		paper_picture(w->p, name, buf_str(&png), png.len, "what it built");
		break;
	}
	buf_release(&png);
}

static void add_samples(struct report_work *w, const struct sft_run *r, bool several)
{
	static const char *const columns[] = { ">step", ">answers", ">built", ">mean total" };
	const struct sampled *last = r->n_sampled ? &r->sampled[r->n_sampled - 1] : NULL;
	struct paper *p = w->p;
	struct buf program = { 0 };

	if (!last)
		return;
	paper_heading(p, 2, "Answers to held-out prompts%s%s", several ? " of " : "",
	              several ? r->name : "");
	paper_table(p, columns, 4);
	for (int i = 0; i < r->n_sampled; i++) {
		const struct sampled *x = &r->sampled[i];
		paper_cell(p, "%" PRId64, x->step);
		paper_cell(p, "%d", x->n);
		paper_cell(p, "%d", x->built);
		paper_figure(p, "%.3f", x->scored ? x->total / x->scored : NAN);
	}
	paper_table_end(p);
	paper_text(p, "Of step %" PRId64 ":", last->step);
	for (int i = 0; i < r->n_shown; i++) {
		struct episode_seen x = { .total = NAN };
		char total[40] = "";
		if (store_episode(w->s, r->shown[i], see_episode, &x, NULL) < 0 ||
		    store_turn(w->s, r->shown[i], 1, see_turn, &x, NULL) < 0)
			continue;
		if (isfinite(x.total))
			snprintf(total, sizeof(total), "; total %.3f", x.total);
		paper_heading(p, 3, "Episode %" PRId64 ": %s", r->shown[i], x.task);
		paper_text(p, "%s%s%s",
		           x.built ? "Built" : "Did not build: ", x.built ? "" : x.class_name,
		           total);
		picture_of(w, r->shown[i]);
		buf_clear(&program);
		if (store_artifact(w->s, r->shown[i], 1, "program.py", &program, NULL) == 0)
			paper_block(p, "python", buf_str(&program), program.len, PROGRAM_LINES);
	}
	buf_release(&program);
}

void sft_add(struct report_work *w, struct sft_run **run, int n)
{
	add_heading(w->p, run, n);
	add_curves(w->p, run, n);
	for (int i = 0; i < n; i++)
		add_data(w->p, run[i], n > 1);
	for (int i = 0; i < n; i++)
		add_samples(w, run[i], n > 1);
	paper_heading(w->p, 2, "Settings");
	for (int i = 0; i < n; i++)
		report_settings(w->p, run[i]->name,
		                cJSON_GetObjectItemCaseSensitive(run[i]->row.about, "settings"),
		                run[i]->ready);
}
