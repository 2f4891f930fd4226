/*
 * workbench_compare.c - models, adapters, prompts, sampling beside one another, over the tasks.
 *
 * The sums are in memory and kept up; the table is made anew when they have changed. Of the
 * selected row two cells are shown in full: the selected column's best turn, and the best of the
 * other columns.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/compare.h"
#include "src/curriculum.h"
#include "src/workbench.h"

enum {
	COLUMNS_SHOWN = 12,
	PAGE = 50,
	SLICE = 3000 /* rows: 3 ms */,
	STL_BYTES_MAX = 64 << 20,
	BY_ROW = 1 << 20,
	TURNS_ROW
};

enum order { BY_TASK, BY_SPREAD, BY_MEAN, BY_RATE, N_ORDERS };
static const char *const orders[] = { "task", "spread", "mean", "build rate" };
static const char *const by_words[] = { "model", "adapter", "prompts", "sampling" };
static const char *const turns_words[] = { "all turns", "first tries", "repairs" };

/* One side of the pair. */
struct side {
	int64_t turn_id; /* 0: none */
	cJSON *score;
	struct wb_picture picture;
};

struct wb_compare {
	struct tallies tallies;
	uint64_t made; /* of the tallies, that the table is of */
	bool stale;
	struct compare table;
	struct compare_options options;
	/* columns that are shown, as numbers of the table; and labels of those taken away */
	int *shown, n_shown;
	char **hidden;
	int n_hidden;
	int column; /* of those shown */
	enum order order;
	int *row; /* rows of the table, as shown */
	struct side left, right;
	int right_column; /* of the table; -1 */
	struct picture_look look;
	bool reading; /* there is more to be read */
	char why_not[480];
	/* the list of a cell that is over the screen */
	int list_row, list_column;
	int64_t list_before;
};

/* ---- the table ---- */

/* A row's id: of the task's name, so that it stays when others come. */
static int64_t id_of(const char *name)
{
	uint64_t h = 1469598103934665603u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return (int64_t)(h >> 1);
}

static bool hidden(const struct wb_compare *k, const char *label)
{
	for (int i = 0; i < k->n_hidden; i++)
		if (strcmp(k->hidden[i], label) == 0)
			return true;
	return false;
}

/* A figure to sort rows by, in the selected column. */
static double figure(const struct wb_compare *k, int row)
{
	const struct compare_row *r = &k->table.row[row];

	if (k->order == BY_SPREAD)
		return r->spread;
	if (k->n_shown == 0)
		return NAN;
	const struct compare_cell *x = &r->cell[k->shown[k->column]];
	if (k->order == BY_MEAN)
		return compare_mean(x);
	return x->n ? (double)x->built / (double)x->n : NAN;
}

static int compare_rows(const void *pa, const void *pb, void *ctx)
{
	const struct wb_compare *k = ctx;
	int a = *(const int *)pa, b = *(const int *)pb;

	if (k->order != BY_TASK) {
		double x = figure(k, a), y = figure(k, b);
		if (isnan(x) != isnan(y))
			return isnan(x) - isnan(y); /* without one: last */
		if (x != y && !isnan(x)) /* the widest spread, and what is worst here, first */
			return (k->order == BY_SPREAD ? x < y : x > y) ? 1 : -1;
	}
	return a - b; /* the table's are by name */
}

static void sort(struct wb_compare *k)
{
	if (k->table.n_rows)
		qsort_r(k->row, (size_t)k->table.n_rows, sizeof(*k->row), compare_rows, k);
}

/* Those with the most turns first. */
static int compare_columns(const void *pa, const void *pb, void *ctx)
{
	const struct compare_column *a = &((struct compare *)ctx)->column[*(const int *)pa];
	const struct compare_column *b = &((struct compare *)ctx)->column[*(const int *)pb];

	if (a->all.n != b->all.n)
		return a->all.n < b->all.n ? 1 : -1;
	return strcmp(a->label, b->label);
}

static int make(struct wb_compare *k, struct err *e)
{
	char *stay = k->n_shown ? strdup(k->table.column[k->shown[k->column]].label) : NULL;
	struct compare c;

	if (compare_make(&c, &k->tallies, &k->options, e) < 0) {
		free(stay);
		return -1;
	}
	compare_release(&k->table);
	k->table = c;
	free(k->shown);
	free(k->row);
	k->shown = calloc((size_t)c.n_columns + 1, sizeof(*k->shown));
	k->row = calloc((size_t)c.n_rows + 1, sizeof(*k->row));
	k->n_shown = k->column = 0;
	if (!k->shown || !k->row) {
		free(stay);
		compare_release(&k->table);
		return err_set(e, ERR_MEM, "out of memory");
	}
	int *all = calloc((size_t)c.n_columns + 1, sizeof(*all));
	for (int i = 0; all && i < c.n_columns; i++)
		all[i] = i;
	if (all)
		qsort_r(all, (size_t)c.n_columns, sizeof(*all), compare_columns, &k->table);
	for (int i = 0; all && i < c.n_columns && k->n_shown < COLUMNS_SHOWN; i++)
		if (!hidden(k, k->table.column[all[i]].label))
			k->shown[k->n_shown++] = all[i];
	free(all);
	for (int i = 0; stay && i < k->n_shown; i++)
		if (strcmp(k->table.column[k->shown[i]].label, stay) == 0)
			k->column = i;
	free(stay);
	for (int i = 0; i < c.n_rows; i++)
		k->row[i] = i;
	sort(k);
	k->made = k->tallies.version;
	k->stale = false;
	return 0;
}

static void remake(struct workbench *w, struct err *e)
{
	struct wb_compare *k = w->compare_state;

	k->stale = true;
	make(k, e);
	wb_dirty(w);
}

static int open_it(struct workbench *w, struct err *e)
{
	struct wb_compare *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(e, ERR_MEM, "out of memory");
	k->options.by = COMPARE_MODEL | COMPARE_ADAPTER;
	k->stale = true;
	k->right_column = -1;
	k->look.view = PICTURE_ISO;
	w->compare_state = k;
	return 0;
}

static void side_release(struct side *s)
{
	cJSON_Delete(s->score);
	wb_picture_release(&s->picture);
	*s = (struct side){ 0 };
}

static void close_it(struct workbench *w)
{
	struct wb_compare *k = w->compare_state;

	if (!k)
		return;
	side_release(&k->left);
	side_release(&k->right);
	compare_release(&k->table);
	tallies_release(&k->tallies);
	for (int i = 0; i < k->n_hidden; i++)
		free(k->hidden[i]);
	free(k->hidden);
	free(k->shown);
	free(k->row);
	free(k);
	w->compare_state = NULL;
}

static void changed(struct workbench *w)
{
	struct wb_compare *k = w->compare_state;
	struct err e = { 0 };
	struct store *s = wb_store(w, &e);
	int rc = s ? tallies_read(&k->tallies, s, SLICE, &e) : -1;

	k->why_not[0] = '\0';
	k->reading = rc > 0;
	if (rc < 0 || (rc == 0 && (k->stale || k->made != k->tallies.version) && make(k, &e) < 0))
		snprintf(k->why_not, sizeof(k->why_not), "%s", e.text);
	wb_dirty(w);
}

/* What is left of a long reading, a slice after each wait. */
static double tick(struct workbench *w, double now_s)
{
	struct wb_compare *k = w->compare_state;

	(void)now_s;
	if (k->reading)
		changed(w);
	return k->reading ? 0 : -1;
}

/* ---- what is to be seen ---- */

static enum mark cell_mark(const struct compare_cell *x)
{
	if (!x->n)
		return MARK_NEVER;
	/* the sign of the figure beside it */
	return wb_mark(x->built > 0, compare_mean(x));
}

static struct view_cell cell_view(const struct compare_cell *x, bool best)
{
	return (struct view_cell){ .mark = cell_mark(x),
		                   .mean = compare_mean(x),
		                   .best = x->scored ? x->best : NAN,
		                   .n = (int)x->n,
		                   .built = (int)x->built,
		                   .best_of_row = best };
}

/* Of the columns that are shown the one with the best mean; -1: fewer than two have one. */
static int best_of(const struct wb_compare *k, const struct compare_row *r)
{
	int best = -1, n = 0;

	for (int i = 0; i < k->n_shown; i++) {
		double mean = compare_mean(&r->cell[k->shown[i]]);
		if (isnan(mean))
			continue;
		n++;
		if (best < 0 || mean > compare_mean(&r->cell[k->shown[best]]))
			best = i;
	}
	return n > 1 ? best : -1;
}

static double spread_of(const struct wb_compare *k, const struct compare_row *r)
{
	double low = INFINITY, high = -INFINITY;
	int n = 0;

	for (int i = 0; i < k->n_shown; i++) {
		double mean = compare_mean(&r->cell[k->shown[i]]);
		if (isnan(mean))
			continue;
		n++;
		low = fmin(low, mean);
		high = fmax(high, mean);
	}
	return n > 1 ? high - low : NAN;
}

static void view_rows(struct workbench *w, struct view_compare *out)
{
	struct wb_compare *k = w->compare_state;
	struct view_compare_row *rows = wb_array(w, struct view_compare_row, k->table.n_rows);

	for (int i = 0; rows && i < k->table.n_rows; i++) {
		const struct compare_row *r = &k->table.row[k->row[i]];
		int best = best_of(k, r);
		rows[i].id = id_of(r->task);
		rows[i].name = r->task;
		rows[i].spread = spread_of(k, r);
		rows[i].cells = wb_array(w, struct view_cell, k->n_shown);
		if (!rows[i].cells)
			return;
		for (int c = 0; c < k->n_shown; c++)
			rows[i].cells[c] = cell_view(&r->cell[k->shown[c]], c == best);
	}
	out->rows = rows;
	out->n_rows = rows ? k->table.n_rows : 0;
}

static void view_columns(struct workbench *w, struct view_compare *out)
{
	struct wb_compare *k = w->compare_state;
	const char **label = wb_array(w, const char *, k->n_shown);
	const char **failures = wb_array(w, const char *, k->n_shown);
	struct view_cell *means = wb_array(w, struct view_cell, k->n_shown);
	double(*rate)[3] = arena_zero(&w->frame, sizeof(*rate) * (size_t)k->n_shown);

	if (!label || !failures || !means || !rate)
		return;
	for (int i = 0; i < k->n_shown; i++) {
		const struct compare_column *x = &k->table.column[k->shown[i]];
		struct buf mix = { 0 };
		label[i] = x->label;
		means[i] = cell_view(&x->all, false);
		means[i].mean = x->task_mean;
		memcpy(rate[i], x->rate, sizeof(rate[i]));
		compare_failures(x, true, &mix);
		failures[i] = mix.len ? wb_text(w, "%s", buf_str(&mix)) : NULL;
		buf_release(&mix);
	}
	out->columns = label;
	out->failures = failures;
	out->means = means;
	out->rate = (const double(*)[3])rate;
	out->n_columns = k->n_shown;
	out->column = k->column;
}

static const struct compare_row *selected(struct workbench *w)
{
	struct wb_compare *k = w->compare_state;
	int64_t id = wb_selected(w, SCREEN_COMPARE);

	for (int i = 0; i < k->table.n_rows; i++)
		if (id_of(k->table.row[i].task) == id)
			return &k->table.row[i];
	return k->table.n_rows ? &k->table.row[k->row[0]] : NULL;
}

/* That turn's score and solid; what cannot be read is told in their place. */
static void take_side(struct workbench *w, struct side *s, int64_t turn_id)
{
	struct err e = { 0 };
	struct store *store;
	struct buf text = { 0 };
	int64_t episode;
	int turn;

	if (s->turn_id == turn_id)
		return;
	cJSON_Delete(s->score);
	s->score = NULL;
	s->turn_id = turn_id;
	wb_picture_stl(&s->picture, 0, NULL, 0, "no turn has built here");
	if (!turn_id || !(store = wb_store(w, &e)) ||
	    store_turn_ref(store, turn_id, &episode, &turn, &e) < 0)
		return;
	if (store_artifact(store, episode, turn, "reward.json", &text, &e) == 0)
		s->score = json_parse(buf_str(&text), text.len, &e);
	if (s->score)
		cJSON_AddNumberToObject(s->score, "turn", turn);
	buf_clear(&text);
	if (store_artifact(store, episode, turn, "shape.stl", &text, &e) == 0 &&
	    text.len <= STL_BYTES_MAX)
		wb_picture_stl(&s->picture, (uint64_t)turn_id, buf_str(&text), text.len, NULL);
	else
		wb_picture_stl(&s->picture, 0, NULL, 0,
		               s->score ? "it did not build" : "its solid is not kept");
	buf_release(&text);
}

/* The selected column, and beside it the best of the others. */
static void view_pair(struct workbench *w, struct view_compare *out)
{
	struct wb_compare *k = w->compare_state;
	const struct compare_row *r = selected(w);
	int other = -1;

	if (!r || !k->n_shown)
		return;
	for (int i = 0; i < k->n_shown; i++) {
		const struct compare_cell *x = &r->cell[k->shown[i]];
		if (i != k->column && x->scored &&
		    (other < 0 || x->best > r->cell[k->shown[other]].best))
			other = i;
	}
	k->right_column = other < 0 ? -1 : k->shown[other];
	take_side(w, &k->left, r->cell[k->shown[k->column]].best_turn);
	take_side(w, &k->right, other < 0 ? 0 : r->cell[k->shown[other]].best_turn);
	wb_score_view(w, k->left.score, &out->left);
	wb_score_view(w, k->right.score, &out->right);
	out->left_name = k->table.column[k->shown[k->column]].label;
	out->right_name = other < 0 ? NULL : k->table.column[k->right_column].label;
	wb_picture_view(w, &k->left.picture, &k->look, &out->left_image);
	wb_picture_view(w, &k->right.picture, &k->look, &out->right_image);
}

static const char *by_text(struct workbench *w, unsigned by)
{
	struct buf text = { 0 };
	const char *out;

	for (int i = 0; i < 4; i++)
		if (by >> i & 1)
			buf_printf(&text, "%s%s", text.len ? ", " : "", by_words[i]);
	out = wb_text(w, "%s", buf_str(&text));
	buf_release(&text);
	return out;
}

static void view(struct workbench *w, struct view *v)
{
	struct wb_compare *k = w->compare_state;
	struct view_compare *out = &v->compare;

	out->order = orders[k->order];
	if (k->why_not[0] || k->table.n_columns == 0) {
		wb_status(w, "%s",
		          k->why_not[0] ? k->why_not
		          : k->reading  ? "reading what was run ..."
		                        : "nothing was run in this database yet");
		return;
	}
	view_columns(w, out);
	view_rows(w, out);
	view_pair(w, out);
	wb_status(w, "%d task%s x %d column%s (%s)   %s   profile %s%s", k->table.n_rows,
	          k->table.n_rows == 1 ? "" : "s", k->n_shown, k->n_shown == 1 ? "" : "s",
	          by_text(w, k->options.by), turns_words[k->options.turns], k->table.profile,
	          k->table.left_out
	                  ? wb_text(w, " (%" PRId64 " turns of others left out)", k->table.left_out)
	                  : "");
	wb_status_right(w, "sorted: %s", orders[k->order]);
}

/* ---- the turns behind a cell ---- */

static int newest_first(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int list_turn(void *ctx, const struct store_outcome *o)
{
	struct workbench *w = ctx;
	const struct tally *t = tallies_find(&w->compare_state->tallies, o->tally);
	const char *class = t && t->class < CLASS_COUNT && t->class != CLASS_BUILD_OK
	                            ? curriculum_class_words(t->class)
	                            : "";
	char total[24] = "-";

	if (!isnan(o->total))
		snprintf(total, sizeof(total), "%.3f", o->total);
	wb_choice_add(w, o->episode << 20 | o->turn, wb_mark(o->built, o->total),
	              wb_text(w, "%" PRId64 ".%d  %s%s%s", o->episode, o->turn, t ? t->task : "",
	                      *class ? "  " : "", class),
	              total);
	return 0;
}

static void more_turns(struct workbench *w, struct err *e)
{
	struct wb_compare *k = w->compare_state;
	struct store *s = wb_store(w, e);
	int64_t *id = calloc((size_t)(k->tallies.n + 1) * (PAGE + 1), sizeof(*id));
	int n = 0, got = id && s ? 0 : -1;

	if (!id)
		err_set(e, ERR_MEM, "out of memory");
	/* the newest of each sum that is in the cell; of all these the newest page */
	for (int i = 0; i < k->tallies.n && got >= 0; i++)
		if (compare_in_cell(&k->table, &k->tallies.v[i], k->list_row, k->list_column)) {
			got = store_tally_turns(s, k->tallies.v[i].id, k->list_before, PAGE + 1,
			                        id + n, e);
			n += got > 0 ? got : 0;
		}
	if (n)
		qsort(id, (size_t)n, sizeof(*id), newest_first);
	w->choice.more = n > PAGE;
	for (int i = 0; i < n && i < PAGE && got >= 0; i++) {
		got = store_outcome(s, id[i], list_turn, w, e);
		k->list_before = id[i];
	}
	free(id);
}

static void chose_turn(struct workbench *w, int64_t id, struct err *e)
{
	(void)e;
	wb_show_episode(w, id >> 20, (int)(id & ((1 << 20) - 1)));
}

static void open_cell(struct workbench *w, struct err *e)
{
	struct wb_compare *k = w->compare_state;
	const struct compare_row *r = selected(w);

	if (!r || !k->n_shown) {
		wb_say(w, MESSAGE_SAY, "no cell is selected");
		return;
	}
	k->list_row = (int)(r - k->table.row);
	k->list_column = k->shown[k->column];
	k->list_before = 0;
	wb_choose(w, wb_text(w, "%s, %s", r->task, k->table.column[k->list_column].label),
	          "Nothing of it was run: choose the task on the first screen (1) and run it (r).",
	          chose_turn);
	w->choice.next = more_turns;
	wb_choice_fact(w, wb_text(w, "%" PRId64 " of %" PRId64 " built",
	                          r->cell[k->list_column].built, r->cell[k->list_column].n));
	more_turns(w, e);
}

/* ---- columns ---- */

static void show_again(struct wb_compare *k, int at)
{
	free(k->hidden[at]);
	memmove(&k->hidden[at], &k->hidden[at + 1],
	        (size_t)(k->n_hidden - at - 1) * sizeof(*k->hidden));
	k->n_hidden--;
}

static void chose_column(struct workbench *w, int64_t id, struct err *e)
{
	struct wb_compare *k = w->compare_state;

	if (id >= TURNS_ROW) {
		k->options.turns = (enum compare_turns)(id - TURNS_ROW);
	} else if (id >= BY_ROW - 8 && id < BY_ROW) {
		unsigned by = k->options.by ^ 1u << (BY_ROW - 1 - id);
		if (!by) {
			wb_say(w, MESSAGE_SAY, "columns have to differ in something");
			return;
		}
		k->options.by = by;
	} else if (id >= 0 && id < k->n_hidden) {
		show_again(k, (int)id);
	}
	remake(w, e);
}

static void add_column(struct workbench *w)
{
	struct wb_compare *k = w->compare_state;

	wb_choose(w, "Columns", NULL, chose_column);
	for (int i = 0; i < k->n_hidden; i++)
		wb_choice_add(w, i, MARK_NONE, wb_text(w, "show %s", k->hidden[i]),
		              "was taken away");
	for (int i = 0; i < 4; i++)
		wb_choice_add(w, BY_ROW - 1 - i, MARK_NONE,
		              wb_text(w,
		                      k->options.by >> i & 1 ? "one column for every %s"
		                                             : "a column for each %s",
		                      by_words[i]),
		              k->options.by >> i & 1 ? "now: each its own" : "now: together");
	for (int i = 0; i < 3; i++)
		if (i != (int)k->options.turns)
			wb_choice_add(w, TURNS_ROW + i, MARK_NONE,
			              wb_text(w, "count %s", turns_words[i]),
			              wb_text(w, "now: %s", turns_words[k->options.turns]));
}

static void drop_column(struct workbench *w, struct err *e)
{
	struct wb_compare *k = w->compare_state;

	if (k->n_shown < 2) {
		wb_say(w, MESSAGE_SAY, "the last column stays");
		return;
	}
	char **more = realloc(k->hidden, (size_t)(k->n_hidden + 1) * sizeof(*more));
	if (more)
		k->hidden = more;
	char *label = strdup(k->table.column[k->shown[k->column]].label);
	if (!more || !label) {
		free(label);
		err_set(e, ERR_MEM, "out of memory");
		return;
	}
	k->hidden[k->n_hidden++] = label;
	int at = k->column;
	remake(w, e);
	k->column = at < k->n_shown ? at : k->n_shown - 1;
	wb_say(w, MESSAGE_SAY, "%s taken away; a brings it back", label);
}

/* ---- rows, for other programs ---- */

static void csv_figure(struct buf *out, double v)
{
	buf_addc(out, ',');
	if (!isnan(v))
		buf_printf(out, "%.6f", v);
}

static void export_table(struct workbench *w, const char *file, struct err *e)
{
	struct wb_compare *k = w->compare_state;
	struct buf out = { 0 };

	if (!file || !*file)
		file = "compare.csv";
	buf_adds(&out, "task,column,turns,built,rate,rate_low,rate_high,mean,best\n");
	for (int r = 0; r < k->table.n_rows; r++)
		for (int c = 0; c < k->n_shown; c++) {
			const struct compare_cell *x = &k->table.row[k->row[r]].cell[k->shown[c]];
			const char *label = k->table.column[k->shown[c]].label;
			double rate[3];
			compare_wilson(x->built, x->n, rate);
			buf_printf(&out, "%s,\"", k->table.row[k->row[r]].task);
			for (const char *p = label; *p; p++) {
				if (*p == '"')
					buf_addc(&out, '"');
				buf_addc(&out, *p);
			}
			buf_printf(&out, "\",%" PRId64 ",%" PRId64, x->n, x->built);
			for (int i = 0; i < 3; i++)
				csv_figure(&out, rate[i]);
			csv_figure(&out, compare_mean(x));
			csv_figure(&out, x->scored ? x->best : NAN);
			buf_addc(&out, '\n');
		}
	if (buf_failed(&out))
		err_set(e, ERR_MEM, "out of memory");
	else if (file_write_atomic(file, buf_str(&out), out.len, e) == 0)
		wb_say(w, MESSAGE_SAY, "the table as rows in %s", file);
	buf_release(&out);
}

/* ---- intents ---- */

static bool intent(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_compare *k = w->compare_state;

	/* i goes to the pictures and back, which is ui's; `:image top` says which view */
	if (in->kind == INTENT_IMAGE && !(in->text && *in->text)) {
		wb_dirty(w);
		return true;
	}
	if (wb_look_intent(&k->look, in)) {
		wb_dirty(w);
		return true;
	}
	switch (in->kind) {
	case INTENT_SELECT:
		wb_dirty(w);
		if (in->m == 2)
			open_cell(w, e);
		return true;
	case INTENT_OPEN:
		open_cell(w, e);
		return true;
	case INTENT_COLUMN:
		if (k->n_shown) {
			int64_t to = k->column + in->n;
			k->column = (int)(to < 0 ? 0 : to >= k->n_shown ? k->n_shown - 1 : to);
			sort(k);
			wb_dirty(w);
		}
		return true;
	case INTENT_ADD_COLUMN:
		add_column(w);
		return true;
	case INTENT_DROP_COLUMN:
		drop_column(w, e);
		return true;
	case INTENT_ORDER:
		k->order = (k->order + 1) % N_ORDERS;
		sort(k);
		wb_dirty(w);
		return true;
	case INTENT_PAIR:
		wb_dirty(w); /* which pane has the focus is ui's */
		return true;
	case INTENT_EXPORT:
		export_table(w, in->text, e);
		return true;
	default:
		return false;
	}
}

/* ":by model,prompts", ":count first". */
static bool command(struct workbench *w, const char *text, struct err *e)
{
	static const char *const turns[] = { "all", "first", "repairs" };
	struct wb_compare *k = w->compare_state;
	char word[16] = "", value[64] = "";

	if (sscanf(text, "%15s %63s", word, value) < 1)
		return false;
	if (strcmp(word, "by") == 0) {
		if (compare_by_parse(value, &k->options.by, e) == 0)
			remake(w, e);
		return true;
	}
	if (strcmp(word, "count") == 0) {
		for (int i = 0; i < 3; i++)
			if (strcmp(value, turns[i]) == 0) {
				k->options.turns = (enum compare_turns)i;
				remake(w, e);
				return true;
			}
		err_set(e, ERR_USAGE, "count: all, first or repairs was expected");
		return true;
	}
	return false;
}

static void keep(struct workbench *w, cJSON *o)
{
	const struct wb_compare *k = w->compare_state;
	cJSON *list = cJSON_AddArrayToObject(o, "hidden");

	cJSON_AddNumberToObject(o, "by", k->options.by);
	cJSON_AddNumberToObject(o, "turns", k->options.turns);
	cJSON_AddStringToObject(o, "order", orders[k->order]);
	for (int i = 0; i < k->n_hidden; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(k->hidden[i]));
}

static void recall(struct workbench *w, const cJSON *o)
{
	struct wb_compare *k = w->compare_state;
	double by = json_number_or(o, "by", 0), turns = json_number_or(o, "turns", 0);
	const char *order = json_string_or(o, "order", "");
	const cJSON *x;

	if (by >= 1 && by <= 15)
		k->options.by = (unsigned)by;
	if (turns >= COMPARE_ALL && turns <= COMPARE_REPAIRS)
		k->options.turns = (enum compare_turns)turns;
	for (int i = 0; i < N_ORDERS; i++)
		if (strcmp(order, orders[i]) == 0)
			k->order = (enum order)i;
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "hidden"))
	{
		char **more = cJSON_IsString(x) ? realloc(k->hidden,
		                                          (size_t)(k->n_hidden + 1) * sizeof(*more))
		                                : NULL;
		if (!more)
			break;
		k->hidden = more;
		if ((k->hidden[k->n_hidden] = strdup(x->valuestring)))
			k->n_hidden++;
	}
	k->stale = true;
}

const struct wb_screen wb_compare = {
	.open = open_it,
	.close = close_it,
	.view = view,
	.intent = intent,
	.command = command,
	.tick = tick,
	.changed = changed,
	.keep = keep,
	.recall = recall,
};
