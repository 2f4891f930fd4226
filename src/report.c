/*
 * report.c - trainings as a page: what was set, what was learnt from, curves, samples.
 */
#include "src/report.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/utf8.h"
#include "src/cmd_train.h"
#include "src/plot.h"

#define MARK "<!-- written by cadforge report -->\n"
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

struct run {
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

struct work {
	struct store *s;
	struct run run[REPORT_RUNS_MAX];
	int n;
	const char *out;
	struct buf page;
	struct err *e;
};

/* ---- reading ---- */

static void add_point(struct run *r, struct series *v, double x, double y)
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
	struct run *r = ctx;
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
	struct run *r = ctx;
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

static int read_run(struct work *w, struct run *r, int64_t id, struct err *e)
{
	r->last_loss = r->last_eval = r->best_eval = NAN;
	snprintf(r->name, sizeof(r->name), "run %" PRId64, id);
	if (train_run_read(w->s, id, &r->row, e) < 0)
		return -1;
	if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(r->row.about, "settings")))
		return err_set(e, ERR_INPUT,
		               "run %" PRId64 " (%s) is no training, so there is nothing to report",
		               id, r->row.kind);
	if (store_steps(w->s, id, 0, INT_MAX, see_step, r, e) < 0 ||
	    store_samples(w->s, id, 0, see_sample, r, e) < 0)
		return -1;
	for (int i = 0; i < r->n_sampled; i++)
		add_point(r, &r->built, (double)r->sampled[i].step,
		          (double)r->sampled[i].built / r->sampled[i].n);
	for (int i = 0; i < r->loss.n; i++)
		add_point(r, &r->smooth, r->loss.x[i], 0);
	if (r->loss.n && !r->failed)
		plot_smooth(r->loss.y, r->loss.n, r->loss.n / 25 > 3 ? r->loss.n / 25 : 3,
		            r->smooth.y);
	return r->failed ? err_set(e, ERR_MEM, "out of memory for %d steps", r->loss.n) : 0;
}

/* ---- texts of strangers on a page ---- */

static void add_clean(struct buf *out, const char *text)
{
	struct buf clean = { 0 };

	utf8_clean_line(&clean, text, strlen(text));
	for (const char *p = buf_str(&clean); *p; p++) {
		if (strchr("\\`*_[]<>|#", *p))
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
	buf_release(&clean);
}

static void add_value(struct buf *out, const cJSON *v)
{
	struct buf text = { 0 };

	if (cJSON_IsString(v)) {
		/* a folder's name is enough, and its place is nobody's business */
		const char *slash = strrchr(v->valuestring, '/');
		add_clean(out, slash && slash[1] ? slash + 1 : v->valuestring);
		return;
	}
	json_print(&text, v);
	add_clean(out, buf_str(&text));
	buf_release(&text);
}

static void duration(char *out, size_t size, double s)
{
	if (!(s > 0))
		snprintf(out, size, "-");
	else if (s < 120)
		snprintf(out, size, "%.1f s", s);
	else if (s < 7200)
		snprintf(out, size, "%.1f min", s / 60);
	else
		snprintf(out, size, "%.2f h", s / 3600);
}

/* ---- files ---- */

static int put_file(struct work *w, const char *name, const struct buf *b)
{
	char path[PATH_MAX];

	if (buf_failed(b))
		return err_set(w->e, ERR_MEM, "out of memory for %s", name);
	if (snprintf(path, sizeof(path), "%s/%s", w->out, name) >= (int)sizeof(path))
		return err_set(w->e, ERR_INPUT, "%s: the name is too long", w->out);
	return file_write_atomic(path, buf_str(b), b->len, w->e);
}

static int begin_folder(const char *out, struct err *e)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	bool ours, empty = true;
	DIR *d;

	if (mkdir(out, 0777) == 0)
		return 0;
	if (errno != EEXIST || !(d = opendir(out)))
		return err_errno(e, ERR_IO, "%s: cannot be made", out);
	for (struct dirent *x; empty && (x = readdir(d));)
		empty = strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0;
	closedir(d);
	snprintf(path, sizeof(path), "%s/README.md", out);
	ours = empty || (buf_read_file(&text, path, 64 << 20, NULL) == 0 &&
	                 strncmp(buf_str(&text), MARK, strlen(MARK)) == 0);
	buf_release(&text);
	return ours ? 0
	            : err_set(e, ERR_USAGE,
	                      "%s: is there already, and no report of ours; name another folder "
	                      "with --out",
	                      out);
}

static int plot_file(struct work *w, const char *name, struct plot *p, const char *what)
{
	struct buf svg = { 0 };
	int rc;

	plot_svg(&svg, p);
	rc = put_file(w, name, &svg);
	buf_release(&svg);
	buf_printf(&w->page, "![%s](%s)\n\n", what, name);
	return rc;
}

/* One figure of all runs over the steps. */
static int plot_series(struct work *w, const char *name, struct plot p, size_t series, bool points,
                       bool *any)
{
	struct plot_line line[PLOT_LINES_MAX];

	p.line = line;
	p.x_label = "step";
	for (int i = 0; i < w->n; i++) {
		const struct series *v =
			(const struct series *)(const void *)((const char *)&w->run[i] + series);
		if (v->n == 0)
			continue;
		line[p.n++] = (struct plot_line){ .name = w->n > 1 ? w->run[i].name : NULL,
			                          .x = v->x,
			                          .y = v->y,
			                          .n = v->n,
			                          .points = points };
	}
	*any = p.n > 0;
	return p.n ? plot_file(w, name, &p, p.title) : 0;
}

static int plot_loss(struct work *w)
{
	struct plot_line line[3 * REPORT_RUNS_MAX];
	char names[2 * REPORT_RUNS_MAX][48];
	struct plot p = {
		.title = "Loss", .x_label = "step", .y_label = "loss a token", .line = line
	};
	double low = INFINITY, high = 0;

	for (int i = 0; i < w->n; i++) {
		struct run *r = &w->run[i];
		bool few = r->loss.n < 50;
		for (int k = 0; k < r->loss.n; k++) {
			low = r->loss.y[k] > 0 && r->loss.y[k] < low ? r->loss.y[k] : low;
			high = r->loss.y[k] > high ? r->loss.y[k] : high;
		}
		snprintf(names[2 * i], sizeof(names[0]), "%s%strain", w->n > 1 ? r->name : "",
		         w->n > 1 ? ", " : "");
		snprintf(names[2 * i + 1], sizeof(names[0]), "%s%sheld out",
		         w->n > 1 ? r->name : "", w->n > 1 ? ", " : "");
		if (p.n + 3 > PLOT_LINES_MAX)
			break;
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
			line[p.n++] = (struct plot_line){
				.x = r->loss.x, .y = r->loss.y, .n = r->loss.n, .faint = true
			};
	}
	p.log_y = high > 20 * low;
	p.zero_y = !p.log_y;
	return plot_file(w, "loss.svg", &p, "loss over steps");
}

/* ---- the page ---- */

static void add_heading(struct work *w)
{
	struct buf *b = &w->page;
	char when[32], took[32];

	buf_adds(b, MARK);
	if (w->n == 1)
		buf_printf(b, "# Training run %" PRId64 "\n\n", w->run[0].row.id);
	else
		buf_adds(b, "# Training runs\n\n");
	buf_adds(b, "| run | kind | begun | state | steps | loss | held out | best held out | "
	            "tokens | time | tokens/s |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
	for (int i = 0; i < w->n; i++) {
		const struct run *r = &w->run[i];
		store_local_time(when, sizeof(when), r->row.started_us);
		duration(took, sizeof(took), r->seconds);
		buf_printf(b, "| %" PRId64 " | ", r->row.id);
		add_clean(b, r->row.kind);
		buf_printf(b, " | %s | %s | %" PRId64 "/%" PRId64 " |", when,
		           r->row.outcome[0] ? r->row.outcome : "not ended", r->step, r->steps);
		const double figures[] = { r->last_loss, r->last_eval, r->best_eval };
		for (int k = 0; k < 3; k++) {
			if (isfinite(figures[k]))
				buf_printf(b, " %.4f |", figures[k]);
			else
				buf_adds(b, " - |");
		}
		buf_printf(b, " %.0f | %s | %.0f |\n", r->tokens, took,
		           r->seconds > 0 ? r->tokens / r->seconds : 0);
	}
	buf_addc(b, '\n');
	for (int i = 0; i < w->n; i++) {
		if (w->run[i].error[0]) {
			buf_printf(b, "Run %" PRId64 " failed: ", w->run[i].row.id);
			add_clean(b, w->run[i].error);
			buf_adds(b, "\n\n");
		}
		if (w->run[i].resumed)
			buf_printf(b, "Run %" PRId64 " went on from a checkpoint %d time%s.\n\n",
			           w->run[i].row.id, w->run[i].resumed,
			           w->run[i].resumed == 1 ? "" : "s");
	}
}

static void add_drops(struct buf *b, const cJSON *list)
{
	const cJSON *d;

	if (!cJSON_IsArray(list) && !cJSON_IsObject(list))
		return;
	if (!list->child)
		return;
	buf_adds(b, "| left out | rows | the first |\n|---|---|---|\n");
	cJSON_ArrayForEach(d, list)
	{
		double n = cJSON_IsNumber(d) ? d->valuedouble : json_number_or(d, "count", 0);
		if (!(n > 0))
			continue;
		buf_adds(b, "| ");
		add_clean(b, json_string_or(d, "reason", d->string ? d->string : "?"));
		buf_printf(b, " | %.0f | ", n);
		add_clean(b, json_string_or(d, "first", json_string_or(d, "why", "")));
		buf_adds(b, " |\n");
	}
	buf_addc(b, '\n');
}

static void add_data(struct work *w, const struct run *r)
{
	struct buf *b = &w->page;
	const cJSON *rows = cJSON_GetObjectItemCaseSensitive(r->row.about, "rows");
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(r->ready, "data");

	buf_printf(b, "## Data%s%s\n\n", w->n > 1 ? " of " : "", w->n > 1 ? r->name : "");
	if (rows) {
		buf_printf(
			b,
			"%.0f rows were read and %.0f kept: %.0f to learn from (%.0f programs, "
			"%.0f repairs; with their weights they count as %g), %.0f held out: whole "
			"tasks, %.0f of %.0f.\n\n",
			json_number_or(rows, "read", 0), json_number_or(rows, "kept", 0),
			json_number_or(rows, "train", 0), json_number_or(rows, "programs", 0),
			json_number_or(rows, "repairs", 0), json_number_or(rows, "weighted", 0),
			json_number_or(rows, "eval", 0), json_number_or(rows, "held_tasks", 0),
			json_number_or(rows, "tasks", 0));
		add_drops(b, cJSON_GetObjectItemCaseSensitive(rows, "dropped"));
	}
	if (r->ready)
		buf_printf(b, "The training took %.0f samples, and %.0f held out, on %s (%s).\n\n",
		           json_number_or(r->ready, "samples", 0),
		           json_number_or(r->ready, "eval_samples", 0),
		           json_string_or(r->ready, "backend", "?"),
		           json_string_or(r->ready, "device", "?"));
	add_drops(b, cJSON_GetObjectItemCaseSensitive(data, "dropped"));
}

static void add_settings(struct work *w, const struct run *r)
{
	struct buf *b = &w->page;
	const cJSON *settings = cJSON_GetObjectItemCaseSensitive(r->row.about, "settings"), *v;

	buf_printf(b, "## Settings%s%s\n\n", w->n > 1 ? " of " : "", w->n > 1 ? r->name : "");
	buf_adds(b, "| setting | value |\n|---|---|\n");
	if (r->ready)
		buf_printf(b, "| parameters that learn | %.0f of %.0f |\n",
		           json_number_or(r->ready, "trainable", NAN),
		           json_number_or(r->ready, "parameters", NAN));
	cJSON_ArrayForEach(v, settings)
	{
		buf_adds(b, "| ");
		add_clean(b, v->string);
		buf_adds(b, " | ");
		add_value(b, v);
		buf_adds(b, " |\n");
	}
	buf_adds(b, "\nWhat is not named here had its usual value (`cadforge train --help`).\n\n");
}

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

static int picture_of(struct work *w, int64_t episode, char *name, size_t size)
{
	static const char *const views[] = { "isometric.png", "sheet.png", "front.png" };
	struct buf png = { 0 };
	int rc = 0;

	*name = '\0';
	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++) {
		buf_clear(&png);
		if (store_artifact(w->s, episode, 1, views[i], &png, NULL) < 0)
			continue;
		snprintf(name, size, "sample-%" PRId64 ".png", episode);
		rc = put_file(w, name, &png);
		break;
	}
	buf_release(&png);
	return rc;
}

/* In a block that nothing in it can end. */
static void add_program(struct buf *b, const char *text, size_t len)
{
	struct buf clean = { 0 };
	int lines = 0, run = 0, fence = 3;

	utf8_clean(&clean, text, len);
	for (const char *p = buf_str(&clean); *p; p++) {
		run = *p == '`' ? run + 1 : 0;
		fence = run >= fence ? run + 1 : fence;
	}
	for (int i = 0; i < fence; i++)
		buf_addc(b, '`');
	buf_adds(b, "python\n");
	for (const char *p = buf_str(&clean); *p && lines < PROGRAM_LINES;) {
		size_t n = strcspn(p, "\n");
		buf_add(b, p, n > 400 ? 400 : n);
		buf_addc(b, '\n');
		lines++;
		p += n + (p[n] == '\n');
		if (*p && lines == PROGRAM_LINES)
			buf_adds(b, "# ...\n");
	}
	for (int i = 0; i < fence; i++)
		buf_addc(b, '`');
	buf_adds(b, "\n\n");
	buf_release(&clean);
}

static int add_samples(struct work *w, const struct run *r)
{
	struct buf *b = &w->page, program = { 0 };
	const struct sampled *last;
	char name[64];
	int rc = 0;

	if (!r->n_sampled)
		return 0;
	last = &r->sampled[r->n_sampled - 1];
	buf_printf(b,
	           "## Samples%s%s\n\nPrompts of tasks that were held out, answered greedily.\n\n",
	           w->n > 1 ? " of " : "", w->n > 1 ? r->name : "");
	buf_adds(b, "| step | answers | built | mean total |\n|---|---|---|---|\n");
	for (int i = 0; i < r->n_sampled; i++) {
		const struct sampled *x = &r->sampled[i];
		buf_printf(b, "| %" PRId64 " | %d | %d | ", x->step, x->n, x->built);
		if (x->scored)
			buf_printf(b, "%.3f |\n", x->total / x->scored);
		else
			buf_adds(b, "- |\n");
	}
	buf_printf(b, "\nOf step %" PRId64 ":\n\n", last->step);
	for (int i = 0; i < r->n_shown && rc == 0; i++) {
		struct episode_seen x = { .total = NAN };
		if (store_episode(w->s, r->shown[i], see_episode, &x, w->e) < 0 ||
		    store_turn(w->s, r->shown[i], 1, see_turn, &x, w->e) < 0)
			return -1;
		buf_printf(b, "### Episode %" PRId64 ": ", r->shown[i]);
		add_clean(b, x.task);
		buf_printf(b, "\n\n%s", x.built ? "Built" : "Did not build: ");
		if (!x.built)
			add_clean(b, x.class_name);
		if (isfinite(x.total))
			buf_printf(b, "; total %.3f", x.total);
		buf_adds(b, "\n\n");
		rc = picture_of(w, r->shown[i], name, sizeof(name));
		if (*name)
			buf_printf(b, "![what it built](%s)\n\n", name);
		buf_clear(&program);
		if (store_artifact(w->s, r->shown[i], 1, "program.py", &program, NULL) == 0)
			add_program(b, buf_str(&program), program.len);
	}
	buf_release(&program);
	return rc;
}

static int add_curves(struct work *w)
{
	bool any;

	buf_adds(&w->page, "## Curves\n\n");
	if (plot_loss(w) < 0)
		return -1;
	if (plot_series(w, "builds.svg",
	                (struct plot){ .title = "Build rate of held-out prompts",
	                               .y_label = "answers that build",
	                               .share_y = true },
	                offsetof(struct run, built), true, &any) < 0 ||
	    plot_series(w, "rate.svg",
	                (struct plot){ .title = "Learning rate",
	                               .y_label = "learning rate",
	                               .zero_y = true },
	                offsetof(struct run, lr), false, &any) < 0 ||
	    plot_series(w, "norm.svg",
	                (struct plot){ .title = "Gradient norm, before clipping",
	                               .y_label = "norm",
	                               .log_y = true },
	                offsetof(struct run, norm), false, &any) < 0 ||
	    plot_series(w, "throughput.svg",
	                (struct plot){ .title = "Throughput",
	                               .y_label = "tokens a second",
	                               .zero_y = true },
	                offsetof(struct run, speed), false, &any) < 0)
		return -1;
	return 0;
}

static void run_release(struct run *r)
{
	struct series *all[] = { &r->loss,  &r->smooth, &r->lr,   &r->norm,
		                 &r->speed, &r->eval,   &r->built };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		free(all[i]->x);
		free(all[i]->y);
	}
	cJSON_Delete(r->ready);
	free(r->sampled);
	train_run_release(&r->row);
}

int report_write(struct store *s, const int64_t *runs, int n, const char *out, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));
	int rc = -1;

	if (!w)
		return err_set(e, ERR_MEM, "out of memory");
	*w = (struct work){ .s = s, .n = n, .out = out, .e = e };
	for (int i = 0; i < n; i++)
		if (read_run(w, &w->run[i], runs[i], e) < 0)
			goto out;
	if (begin_folder(out, e) < 0)
		goto out;
	add_heading(w);
	if (add_curves(w) < 0)
		goto out;
	for (int i = 0; i < n; i++)
		add_data(w, &w->run[i]);
	for (int i = 0; i < n; i++)
		if (add_samples(w, &w->run[i]) < 0)
			goto out;
	for (int i = 0; i < n; i++)
		add_settings(w, &w->run[i]);
	rc = put_file(w, "README.md", &w->page);
out:
	for (int i = 0; i < n; i++)
		run_release(&w->run[i]);
	buf_release(&w->page);
	free(w);
	return rc;
}
