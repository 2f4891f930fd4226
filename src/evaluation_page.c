/*
 * evaluation_page.c - evaluations as a page: what was asked of whom, the figures, the tests, every
 * item with the turn of the store that it comes from.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/evaluation_text.h"
#include "src/paper.h"

enum { ITEMS_SHOWN = 4000, PROGRAM_LINES = 80 };

struct page {
	struct paper *p;
	struct store *s;
	struct evaluation *v;
	int n;
	struct err *e;
};

/* ---- what was asked ---- */

static const char *last_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return !path ? "?" : slash && slash[1] ? slash + 1 : path;
}

static void who(const struct evaluation *v, struct buf *out)
{
	const char *name = json_string_or(v->settings, "model_name", "");
	const cJSON *a;

	buf_adds(out, *name ? name : last_name(json_string_or(v->settings, "model", NULL)));
	cJSON_ArrayForEach(a, cJSON_GetObjectItemCaseSensitive(v->settings, "adapters"))
	{
		double scale = json_number_or(a, "scale", 1);
		buf_printf(out, " + %s", last_name(json_string_or(a, "folder", NULL)));
		if (scale != 1)
			buf_printf(out, ":%g", scale);
		buf_printf(out, " (%.12s)", json_string_or(a, "hash", ""));
	}
}

static void write_arms(struct page *g)
{
	static const char *const columns[] = { "arm", "run", "who answers", "prompts", "sampling" };

	paper_table(g->p, columns, 5);
	for (int i = 0; i < g->n; i++) {
		const struct evaluation *v = &g->v[i];
		const cJSON *s = cJSON_GetObjectItemCaseSensitive(v->settings, "sampling");
		struct buf name = { 0 };
		who(v, &name);
		paper_cell(g->p, "%s", v->arm);
		paper_cell(g->p, "%" PRId64, v->run);
		paper_cell(g->p, "%s", buf_str(&name));
		paper_cell(g->p, "%s", v->prompts);
		paper_cell(g->p, "temperature %g, top-p %g, top-k %g",
		           json_number_or(s, "temperature", NAN), json_number_or(s, "top_p", NAN),
		           json_number_or(s, "top_k", NAN));
		buf_release(&name);
	}
	paper_table_end(g->p);
}

/* What one arm's evaluation looked at before it asked. */
static void write_checked(struct page *g, const cJSON *o, const char *arm)
{
	const cJSON *learnt = cJSON_GetObjectItemCaseSensitive(o, "learnt"), *x;
	int n = cJSON_GetArraySize(learnt);
	double rows = json_number_or(o, "rows", 0);
	struct buf names = { 0 };

	if (!cJSON_IsObject(o)) {
		paper_warn(g->p, "%sWhether these tasks were learnt from was not checked.", arm);
		return;
	}
	if (rows > 0)
		paper_text(
			g->p,
			"%sNothing here was learnt from: %.0f rows, prompts and tasks of the "
			"trainings were looked at, by name, by hash, and for %.0f %% of the words "
			"of each task, five in a row.",
			arm, rows, 100 * json_number_or(o, "near", NAN));
	if (n > 0) {
		cJSON_ArrayForEach(x, learnt)
			buf_printf(&names, "%s%s (%s)", names.len ? ", " : "",
		                   json_string_or(x, "task", "?"), json_string_or(x, "how", "?"));
		paper_text(g->p, "%s%d task%s that %s learnt %s left out: %s.", arm, n,
		           n == 1 ? "" : "s", n == 1 ? "was" : "were", n == 1 ? "is" : "are",
		           buf_str(&names));
		buf_clear(&names);
	}
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "unknown"))
		buf_printf(&names, "%s%s", names.len ? ", " : "", x->valuestring);
	if (names.len)
		paper_warn(g->p,
		           "%sWhat %s learnt from is not known: that part could not be checked.",
		           arm, buf_str(&names));
	buf_release(&names);
}

static void write_learnt(struct page *g)
{
	const cJSON *first = cJSON_GetObjectItemCaseSensitive(g->v[0].settings, "learnt");
	bool same = true;

	/* arms of one command were checked together */
	for (int i = 1; i < g->n; i++)
		same &= cJSON_Compare(
			first, cJSON_GetObjectItemCaseSensitive(g->v[i].settings, "learnt"), true);
	for (int i = 0; i < (same ? 1 : g->n); i++) {
		char arm[80] = "";
		if (!same)
			snprintf(arm, sizeof(arm), "%s: ", g->v[i].arm);
		write_checked(g, cJSON_GetObjectItemCaseSensitive(g->v[i].settings, "learnt"), arm);
	}
}

static void write_head(struct page *g)
{
	const struct evaluation *v = &g->v[0];
	char when[40];

	store_utc_time(when, sizeof(when), v->started_us);
	paper_text(g->p,
	           "%d task%s, %d seed%s each, at most %d turn%s an item, scored under %s; begun "
	           "%.10s. Figures are of an item's best turn unless they say first; in brackets "
	           "the interval of 95 %%, bootstrap over tasks.",
	           v->n_tasks, v->n_tasks == 1 ? "" : "s", v->seeds, v->seeds == 1 ? "" : "s",
	           v->turns, v->turns == 1 ? "" : "s", v->profile, when);
	write_arms(g);
	write_learnt(g);
	for (int i = 0; i < g->n; i++)
		if (g->v[i].n < g->v[i].expected)
			paper_warn(g->p, "%s: %d of %d items are there%s.", g->v[i].arm, g->v[i].n,
			           g->v[i].expected,
			           g->v[i].f.lost ? "; the rest was lost, and counts for nothing"
			                          : "; it is not done");
}

/* ---- figures ---- */

static void write_figures(struct page *g)
{
	struct evaluation_line line[EVALUATION_ARMS_MAX][EVALUATION_LINES_MAX];
	const char *column[EVALUATION_ARMS_MAX + 1] = { "" };
	char name[EVALUATION_ARMS_MAX][72];
	int lines[EVALUATION_ARMS_MAX];

	paper_heading(g->p, 2, "Figures");
	for (int i = 0; i < g->n; i++) {
		lines[i] = evaluation_lines(&g->v[i], line[i]);
		snprintf(name[i], sizeof(name[i]), ">%s", g->v[i].arm);
		column[i + 1] = name[i];
	}
	paper_table(g->p, column, g->n + 1);
	for (int k = 0; k < lines[0]; k++) {
		paper_cell(g->p, "%s", line[0][k].label);
		for (int i = 0; i < g->n; i++)
			paper_cell(g->p, "%s",
			           evaluation_cell(line[i], lines[i], line[0][k].label));
	}
	paper_table_end(g->p);
}

static void pair_cell(struct page *g, const struct paired *p, int digits, double by)
{
	const struct interval *i = &p->difference;
	char words[32];

	evaluation_p(words, sizeof(words), p->p);
	if (isnan(i->low))
		paper_cell(g->p, "%+.*f, %s", digits, by * i->value, words);
	else
		paper_cell(g->p, "%+.*f (%+.*f to %+.*f), %s", digits, by * i->value, digits,
		           by * i->low, digits, by * i->high, words);
}

static int write_pairs(struct page *g)
{
	static const char *const columns[] = { "",        ">items", "reward", "build rate, points",
		                               ">better", ">worse", ">equal", "McNemar" };
	struct evaluation_pair p[EVALUATION_ARMS_MAX];
	char words[32];

	if (g->n < 2)
		return 0;
	paper_heading(g->p, 2, "Against %s", g->v[0].arm);
	for (int i = 1; i < g->n; i++)
		if (evaluation_compare(&p[i], &g->v[0], &g->v[i], g->e) < 0)
			return -1;
	paper_table(g->p, columns, 8);
	for (int i = 1; i < g->n; i++) {
		paper_cell(g->p, "%s", g->v[i].arm);
		paper_cell(g->p, "%d", p[i].items);
		pair_cell(g, &p[i].reward, 3, 1);
		pair_cell(g, &p[i].build, 1, 100);
		paper_cell(g->p, "%d", p[i].reward.better);
		paper_cell(g->p, "%d", p[i].reward.worse);
		paper_cell(g->p, "%d", p[i].reward.equal);
		evaluation_p(words, sizeof(words), p[i].mcnemar);
		paper_cell(g->p, "%d to %d, %s", p[i].only_b, p[i].only_a, words);
	}
	paper_table_end(g->p);
	paper_text(g->p,
	           "Item by item: the same task under the same seed. Differences are means over "
	           "items, with the bootstrap over tasks; p by flipping the signs of whole "
	           "tasks. McNemar: built by the arm alone to built by the first alone.");
	for (int i = 1; i < g->n; i++)
		if (*p[i].limits)
			paper_item(g->p, "%s: %s", g->v[i].arm, p[i].limits);
	return 0;
}

/* ---- plots ---- */

static int by_value(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* Every item's total, from the lowest to the highest. */
static int plot_totals(struct page *g)
{
	struct plot_line line[EVALUATION_ARMS_MAX] = { 0 };
	struct plot p = { .title = "Reward of all items, in order",
		          .x_label = "share of the items",
		          .y_label = "reward",
		          .line = line };
	double *room = NULL;
	int most = 0, rc = -1;

	for (int i = 0; i < g->n; i++)
		most = g->v[i].n > most ? g->v[i].n : most;
	if (!(room = calloc(2 * (size_t)g->n * (size_t)(most + 1), sizeof(*room))))
		return err_set(g->e, ERR_MEM, "no memory for a plot of %d items", most);
	for (int i = 0; i < g->n; i++) {
		double *x = room + 2 * (size_t)i * (size_t)(most + 1), *y = x + most + 1;
		int n = 0;
		for (int k = 0; k < g->v[i].n; k++)
			if (!isnan(g->v[i].item[k].total))
				y[n++] = g->v[i].item[k].total;
		qsort(y, (size_t)n, sizeof(*y), by_value);
		for (int k = 0; k < n; k++)
			x[k] = (k + 1.0) / n;
		line[p.n++] = (struct plot_line){
			.name = g->v[i].arm, .x = x, .y = y, .n = n, .points = n < 20
		};
	}
	if (most > 0)
		paper_plot(g->p, "totals.svg", &p,
		           "An arm that lies above another is better at every share.");
	rc = 0;
	free(room);
	return rc;
}

static void plot_pass(struct page *g, bool right, const char *name, const char *title)
{
	struct plot_line line[EVALUATION_ARMS_MAX] = { 0 };
	struct plot p = { .title = title,
		          .x_label = "answers",
		          .y_label = "tasks",
		          .share_y = true,
		          .zero_y = true,
		          .line = line };
	double at[EVALUATION_ARMS_MAX][4][EVALUATION_KS];

	for (int i = 0; i < g->n; i++) {
		const struct evaluation_figures *f = &g->v[i].f;
		for (int k = 0; k < f->n_k; k++) {
			const struct interval *x = right ? &f->pass_at[k] : &f->built_at[k];
			at[i][0][k] = f->k[k];
			at[i][1][k] = x->value;
			at[i][2][k] = x->low;
			at[i][3][k] = x->high;
		}
		line[p.n++] = (struct plot_line){ .name = g->v[i].arm,
			                          .x = at[i][0],
			                          .y = at[i][1],
			                          /* of several they hide one another */
			                          .low = g->n == 1 ? at[i][2] : NULL,
			                          .high = g->n == 1 ? at[i][3] : NULL,
			                          .n = f->n_k,
			                          .points = true };
	}
	paper_plot(g->p, name, &p, "The unbiased estimate over first answers%s.",
	           g->n == 1 ? "; band: 95 %" : "; intervals are in the table");
}

/* Mean of each task, in the order of the first arm's. */
static int plot_tasks(struct page *g, const int *order, int n)
{
	struct plot_line line[EVALUATION_ARMS_MAX] = { 0 };
	struct plot p = { .title = "Mean reward by task",
		          .x_label = "task, in the order of the table",
		          .y_label = "reward",
		          .line = line };
	double *room = calloc((size_t)(g->n + 1) * (size_t)(n + 1), sizeof(*room));

	if (!room)
		return err_set(g->e, ERR_MEM, "no memory for a plot of %d tasks", n);
	for (int k = 0; k < n; k++)
		room[k] = k + 1;
	for (int i = 0; i < g->n; i++) {
		double *y = room + (size_t)(i + 1) * (size_t)(n + 1);
		for (int k = 0; k < n; k++) {
			const char *id = g->v[0].task[order[k]].id;
			y[k] = NAN;
			for (int t = 0; t < g->v[i].n_tasks; t++)
				if (strcmp(g->v[i].task[t].id, id) == 0)
					y[k] = g->v[i].task[t].mean;
		}
		line[p.n++] = (struct plot_line){
			.name = g->v[i].arm, .x = room, .y = y, .n = n, .dots = true
		};
	}
	paper_plot(g->p, "tasks.svg", &p, "Means over seeds; the table by task has the names.");
	free(room);
	return 0;
}

static int write_plots(struct page *g, const int *order)
{
	paper_heading(g->p, 2, "Plots");
	if (plot_totals(g) < 0 || plot_tasks(g, order, g->v[0].n_tasks) < 0)
		return -1;
	if (g->v[0].seeds > 1) {
		plot_pass(g, false, "builds.svg", "At least one of k answers builds");
		plot_pass(g, true, "right.svg", "At least one of k answers is right");
	}
	return 0;
}

/* ---- tables ---- */

static void write_failures(struct page *g)
{
	const char *column[2 * EVALUATION_ARMS_MAX + 1] = { "class" };
	char name[2 * EVALUATION_ARMS_MAX][100];
	bool turns = g->v[0].turns > 1;
	int n = 0;

	paper_heading(g->p, 2, "What came of the answers");
	for (int i = 0; i < g->n; i++) {
		if (turns) {
			snprintf(name[n], sizeof(name[n]), ">%s, first", g->v[i].arm);
			column[n + 1] = name[n];
			n++;
		}
		snprintf(name[n], sizeof(name[n]), ">%s%s", g->v[i].arm, turns ? ", best" : "");
		column[n + 1] = name[n];
		n++;
	}
	paper_table(g->p, column, n + 1);
	for (int c = 0; c < CLASS_COUNT; c++) {
		int all = 0;
		for (int i = 0; i < g->n; i++)
			all += g->v[i].f.cls[c] + g->v[i].f.first_class[c];
		if (!all)
			continue;
		paper_cell(g->p, "%s", build_class_name((enum build_class)c));
		for (int i = 0; i < g->n; i++) {
			if (turns)
				paper_cell(g->p, "%d", g->v[i].f.first_class[c]);
			paper_cell(g->p, "%d", g->v[i].f.cls[c]);
		}
	}
	paper_table_end(g->p);
}

static void write_tasks(struct page *g, const int *order)
{
	static const char *const columns[] = { "",       "task",  "level", "arm",  ">built",
		                               ">right", ">mean", ">best", ">IoU", ">chamfer mm" };

	paper_heading(g->p, 2, "By task");
	paper_table(g->p, columns, 10);
	for (int k = 0; k < g->v[0].n_tasks; k++)
		for (int i = 0; i < g->n; i++) {
			const struct evaluation_task *t = NULL;
			for (int j = 0; j < g->v[i].n_tasks && !t; j++)
				if (strcmp(g->v[i].task[j].id, g->v[0].task[order[k]].id) == 0)
					t = &g->v[i].task[j];
			if (!t)
				continue;
			paper_cell(g->p, "%d", k + 1);
			paper_cell(g->p, "%s", t->id);
			paper_cell(g->p, "%s", task_level_name(t->level));
			paper_cell(g->p, "%s", g->v[i].arm);
			paper_cell(g->p, "%d/%d", t->built, t->items);
			paper_cell(g->p, "%d", t->right);
			paper_figure(g->p, "%.3f", t->mean);
			paper_figure(g->p, "%.3f", t->best);
			paper_figure(g->p, "%.3f", t->iou);
			paper_figure(g->p, "%.2f", t->chamfer_mm);
		}
	paper_table_end(g->p);
}

static void write_items(struct page *g)
{
	static const char *const columns[] = { "arm",      "task",   "seed",  "turn of the store",
		                               ">turns",   ">total", "class", ">IoU",
		                               ">chamfer", ">tokens" };
	int shown = 0;

	paper_fold(g->p, "Every item, with the turn that it comes from (cadforge show EP.T)");
	paper_table(g->p, columns, 10);
	for (int i = 0; i < g->n; i++)
		for (int k = 0; k < g->v[i].n && shown < ITEMS_SHOWN; k++, shown++) {
			const struct evaluation_item *x = &g->v[i].item[k];
			paper_cell(g->p, "%s", g->v[i].arm);
			paper_cell(g->p, "%s", g->v[i].task[x->task].id);
			paper_cell(g->p, "%d", x->seed);
			paper_cell(g->p, "%" PRId64 ".%d", x->episode, x->best);
			paper_cell(g->p, "%d", x->turns);
			paper_figure(g->p, "%.3f", x->total);
			paper_cell(g->p, "%s",
			           x->cls < CLASS_COUNT ? build_class_name(x->cls) : "-");
			paper_figure(g->p, "%.3f", x->iou);
			paper_figure(g->p, "%.2f", x->chamfer_mm);
			paper_figure(g->p, "%.0f", x->tokens < 0 ? NAN : (double)x->tokens);
		}
	paper_table_end(g->p);
	paper_fold_end(g->p);
	if (shown == ITEMS_SHOWN)
		paper_text(g->p, "Only the first %d are listed.", ITEMS_SHOWN);
}

/* ---- examples ---- */

static void write_example(struct page *g, const struct evaluation *v,
                          const struct evaluation_item *x, const char *word, int number)
{
	struct buf png = { 0 }, program = { 0 };
	char name[64], alt[160];

	paper_text(g->p, "%s, %s: %s, seed %d, %" PRId64 ".%d, %.3f (%s)", v->arm, word,
	           v->task[x->task].id, x->seed, x->episode, x->best, x->total,
	           x->cls < CLASS_COUNT ? build_class_name(x->cls) : "-");
	snprintf(name, sizeof(name), "%s-%d.png", word, number);
	snprintf(alt, sizeof(alt), "%s: %s of %s", v->task[x->task].id, word, v->arm);
	/* of a light run there is none, of one that did not build neither */
	if (store_artifact(g->s, x->episode, x->best, "sheet.png", &png, NULL) == 0)
		paper_picture(g->p, name, png.data, png.len, alt);
	if (store_artifact(g->s, x->episode, x->best, "program.py", &program, NULL) == 0) {
		paper_fold(g->p, "its program");
		paper_block(g->p, "python", buf_str(&program), program.len, PROGRAM_LINES);
		paper_fold_end(g->p);
	}
	buf_release(&png);
	buf_release(&program);
}

static void write_examples(struct page *g)
{
	paper_heading(g->p, 2, "Best and worst");
	for (int i = 0; i < g->n; i++) {
		const struct evaluation_item *best = NULL, *worst = NULL;
		for (int k = 0; k < g->v[i].n; k++) {
			const struct evaluation_item *x = &g->v[i].item[k];
			if (isnan(x->total))
				continue;
			best = !best || x->total > best->total ? x : best;
			worst = !worst || x->total < worst->total ? x : worst;
		}
		if (best)
			write_example(g, &g->v[i], best, "best", i + 1);
		if (worst && worst != best)
			write_example(g, &g->v[i], worst, "worst", i + 1);
	}
}

/* ---- all of it ---- */

struct keyed {
	double mean;
	int at;
};

static int by_mean(const void *pa, const void *pb)
{
	const struct keyed *a = pa, *b = pb;

	return a->mean != b->mean ? (a->mean < b->mean) - (a->mean > b->mean) : a->at - b->at;
}

/* Tasks of the first arm, the best first. */
static int *order_of(const struct evaluation *v)
{
	struct keyed *k = calloc((size_t)v->n_tasks, sizeof(*k));
	int *order = calloc((size_t)v->n_tasks, sizeof(*order));

	if (k && order) {
		for (int i = 0; i < v->n_tasks; i++)
			k[i] = (struct keyed){ isnan(v->task[i].mean) ? -2 : v->task[i].mean, i };
		qsort(k, (size_t)v->n_tasks, sizeof(*k), by_mean);
		for (int i = 0; i < v->n_tasks; i++)
			order[i] = k[i].at;
	} else {
		free(order);
		order = NULL;
	}
	free(k);
	return order;
}

static int write_all(struct page *g, const char *out)
{
	int *order = order_of(&g->v[0]);
	int rc = -1;

	if (!order)
		return err_set(g->e, ERR_MEM, "no memory for %d tasks", g->v[0].n_tasks);
	if (!(g->p = paper_open(out, "cadforge eval", "Evaluation", g->e)))
		goto out;
	write_head(g);
	write_figures(g);
	if (write_pairs(g) < 0 || write_plots(g, order) < 0) {
		paper_drop(g->p);
		goto out;
	}
	write_failures(g);
	write_tasks(g, order);
	write_examples(g);
	write_items(g);
	rc = paper_close(g->p, g->e);
out:
	free(order);
	return rc;
}

int evaluation_page(struct store *s, const int64_t *run, int n, const char *out, struct err *e)
{
	struct evaluation v[EVALUATION_ARMS_MAX] = { 0 };
	struct page g = { .s = s, .v = v, .n = n, .e = e };
	int rc = 0;

	if (n < 1 || n > EVALUATION_ARMS_MAX)
		return err_set(e, ERR_USAGE, "1 to %d evaluations are set on a page",
		               EVALUATION_ARMS_MAX);
	for (int i = 0; i < n && rc == 0; i++)
		rc = evaluation_read(&v[i], s, run[i], e);
	if (rc == 0)
		rc = write_all(&g, out);
	for (int i = 0; i < n; i++)
		evaluation_release(&v[i]);
	return rc;
}
