/*
 * screen_compare.c - models, adapters, prompts or settings in columns, tasks in rows; below, the
 * selected row's best of two columns side by side.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/bars.h"
#include "ui/layout.h"
#include "ui/screen.h"

enum { PANE_TABLE, PANE_PAIR, PANE_IMAGES, N_PANES };
static const char *const pane_names[N_PANES] = { "Compare", "Pair", "Images" };

enum { CELL_W = 13, NAME_MIN = 22, SPREAD_W = 9 };

/* ---- the table ---- */

struct table {
	const struct view_compare *v;
	int name_w, first, shown; /* columns that fit, and the first of them */
	bool spread;
};

static struct table table_for(const struct view_compare *v, int w)
{
	struct table t = { .v = v };
	int room = w - NAME_MIN - SPREAD_W;

	t.spread = room >= CELL_W || v->n_columns == 0;
	if (!t.spread)
		room += SPREAD_W;
	t.shown = room / CELL_W;
	if (t.shown > v->n_columns)
		t.shown = v->n_columns;
	if (t.shown < 0)
		t.shown = 0;
	/* the selected column is in sight */
	if (v->column >= t.shown)
		t.first = v->column - t.shown + 1;
	if (t.first > v->n_columns - t.shown)
		t.first = v->n_columns - t.shown;
	if (t.first < 0)
		t.first = 0;
	t.name_w = w - t.shown * CELL_W - (t.spread ? SPREAD_W : 0);
	if (t.name_w > 44)
		t.name_w = 44;
	return t;
}

static int64_t row_id(void *ctx, int row)
{
	return ((struct table *)ctx)->v->rows[row].id;
}

static const char *row_words(void *ctx, int row)
{
	return ((struct table *)ctx)->v->rows[row].name;
}

/* " + 0.785 " or "[+ 0.785]": the best of a row reads without colour. */
static void draw_cell(struct canvas *c, int x, int y, const struct view_cell *cell)
{
	char figure[16];

	if (cell->best_of_row) {
		draw_str(c, x, y, 1, ROLE_STRONG, "[");
		draw_str(c, x + 10, y, 1, ROLE_STRONG, "]");
	}
	draw_str(c, x + 1, y, 1, mark_role(cell->mark), mark_sign(cell->mark, c->ascii));
	draw_right(c, x + 10, y, 8, cell->best_of_row ? ROLE_STRONG : mark_role(cell->mark),
	           figure_text(figure, cell->mean));
}

static void draw_row(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct table *t = ctx;
	const struct view_compare_row *k = &t->v->rows[row];
	char figure[16];
	int x = r.x + t->name_w;

	draw_str(c, r.x, r.y, 1, ROLE_RUN, selected ? mark_sign(MARK_RUNNING, c->ascii) : " ");
	draw_str(c, r.x + 1, r.y, t->name_w - 2, ROLE_NORMAL, k->name);
	for (int i = 0; i < t->shown; i++, x += CELL_W)
		draw_cell(c, x, r.y, &k->cells[t->first + i]);
	if (t->spread)
		draw_right(c, x + SPREAD_W - 2, r.y, SPREAD_W - 2, ROLE_FAINT,
		           figure_text(figure, k->spread));
}

static struct list_source source(struct table *t)
{
	return (struct list_source){ .ctx = t,
		                     .n = t->v->n_rows,
		                     .id = row_id,
		                     .words = row_words,
		                     .draw = draw_row,
		                     .height = 1 };
}

/* "2b base" over its column; the selected one stands out and is marked. */
static void draw_head(struct canvas *c, struct rect r, const struct table *t)
{
	int x = r.x + t->name_w;

	draw_str(c, r.x + 1, r.y, t->name_w - 2, ROLE_TITLE, "TASK");
	for (int i = t->first; i < t->first + t->shown; i++, x += CELL_W) {
		bool here = i == t->v->column;
		draw_str(c, x, r.y, 1, ROLE_FOCUS, here ? "*" : " ");
		draw_str(c, x + 1, r.y, CELL_W - 2, here ? ROLE_FOCUS : ROLE_TITLE,
		         t->v->columns[i]);
	}
	if (t->spread)
		draw_str(c, x, r.y, SPREAD_W - 1, ROLE_TITLE, " SPREAD");
}

/* A line a figure of the columns: the mean, the build rate with its interval, the failures. */
static void draw_foot(struct canvas *c, struct rect r, const struct table *t)
{
	const struct view_compare *v = t->v;
	int y = r.y;

	if (v->means && y < r.y + r.h) {
		int x = r.x + t->name_w;
		draw_f(c, r.x + 1, y, t->name_w - 2, ROLE_TITLE, "mean over these %d", v->n_rows);
		for (int i = t->first; i < t->first + t->shown; i++, x += CELL_W) {
			char figure[16];
			draw_right(c, x + 10, y, 9, ROLE_STRONG,
			           figure_text(figure, v->means[i].mean));
		}
		y++;
	}
	for (int line = 0; v->rate && line < 2 && y < r.y + r.h; line++, y++) {
		int x = r.x + t->name_w;
		draw_str(c, r.x + 1, y, t->name_w - 2, line ? ROLE_FAINT : ROLE_TITLE,
		         line ? "  95 % interval" : "built");
		for (int i = t->first; i < t->first + t->shown; i++, x += CELL_W) {
			const double *rate = v->rate[i];
			char text[32] = "-";
			if (line && isfinite(rate[1]))
				snprintf(text, sizeof(text), "%.0f-%.0f %%", 100 * rate[1],
				         100 * rate[2]);
			else if (!line && isfinite(rate[0]))
				snprintf(text, sizeof(text), "%.0f %%", 100 * rate[0]);
			draw_right(c, x + 10, y, 10, line ? ROLE_FAINT : ROLE_STRONG, text);
		}
	}
	if (v->failures && v->column < v->n_columns && v->failures[v->column] && y < r.y + r.h)
		draw_f(c, r.x + 1, y, r.w - 2, ROLE_NORMAL, "%s failed by: %s",
		       v->columns[v->column], v->failures[v->column]);
}

static void draw_table(struct screen_state *s, const struct view *v, struct canvas *c,
                       struct rect r)
{
	const struct view_compare *k = &v->compare;
	struct rect in, foot;
	struct table t;
	struct list_source src;
	struct list *l = &s->lists[PANE_TABLE];
	char fact[120];
	int lines = (k->means ? 1 : 0) + (k->rate ? 2 : 0) + (k->failures ? 1 : 0);

	t = table_for(k, r.w - 2);
	src = source(&t);
	snprintf(fact, sizeof(fact), "reward, best in brackets");
	if (l->filter.len)
		snprintf(fact, sizeof(fact), "filter: %.60s  %d of %d", buf_str(&l->filter),
		         l->shown, k->n_rows);
	in = draw_pane(c, r, "Compare", fact, s->focus == PANE_TABLE);
	if (k->n_columns == 0 || k->n_rows == 0) {
		draw_str(c, in.x + 1, in.y + 1, in.w - 2, ROLE_NORMAL,
		         k->n_columns ? "Nothing was run with these yet: run some tasks first (1)."
		                      : "No column yet: a adds a model, adapter, prompt set or "
		                        "sampling.");
		return;
	}
	draw_head(c, rect_take_top(&in, 1), &t);
	/* figures of the whole come after at least five rows */
	foot = rect_take_bottom(&in, in.h - lines > 6 ? lines + 1 : in.h > 6 ? 1 : 0);
	if (foot.h > 1)
		rect_take_top(&foot, 1);
	list_draw(l, c, in, &src, s->focus == PANE_TABLE);
	draw_foot(c, foot, &t);
}

/* ---- the pair ---- */

static const char *row_name(const struct screen_state *s, const struct view *v)
{
	for (int i = 0; i < v->compare.n_rows; i++)
		if (v->compare.rows[i].id == s->lists[PANE_TABLE].selected)
			return v->compare.rows[i].name;
	return "Pair";
}

static int term_rows(const struct view_score *a, const struct view_score *b)
{
	return a->n_terms > b->n_terms ? a->n_terms : b->n_terms;
}

static void draw_side(struct canvas *c, int x, int y, int bar, const struct view_score *s, int i)
{
	char figure[16] = "-";

	if (i >= s->n_terms)
		return;
	if (isfinite(s->terms[i].value))
		snprintf(figure, sizeof(figure), "%.2f", s->terms[i].value);
	draw_right(c, x + 5, y, 5, ROLE_NORMAL, figure);
	draw_bar(c, x + 6, y, bar, s->terms[i].value, ROLE_BAR);
}

static void draw_pair(struct screen_state *s, const struct view *v, struct canvas *c, struct rect r)
{
	const struct view_compare *k = &v->compare;
	char fact[120] = "", figure[2][16];
	struct rect in;
	int bar, side, rows = term_rows(&k->left, &k->right);

	if (k->left_name && k->right_name)
		snprintf(fact, sizeof(fact), "%.50s | %.50s", k->left_name, k->right_name);
	in = draw_pane(c, r, row_name(s, v), fact, s->focus == PANE_PAIR);
	if (rows == 0) {
		draw_str(c, in.x + 1, in.y, in.w - 2, ROLE_FAINT,
		         "The best of two columns is set side by side here, when both built.");
		return;
	}
	bar = (in.w - 14 - 2 * 8) / 2;
	bar = bar < 4 ? 4 : bar > 24 ? 24 : bar;
	side = bar + 9;
	draw_str(c, in.x + 1, in.y, 10, ROLE_STRONG, "total");
	draw_right(c, in.x + 17, in.y, 6, ROLE_STRONG, figure_text(figure[0], k->left.total));
	draw_right(c, in.x + 17 + side, in.y, 6, ROLE_STRONG,
	           figure_text(figure[1], k->right.total));
	for (int i = 0; i < rows && i + 1 < in.h; i++) {
		const struct view_score *named = i < k->left.n_terms ? &k->left : &k->right;
		int y = in.y + 1 + i;
		draw_str(c, in.x + 1, y, 10, ROLE_NORMAL, named->terms[i].name);
		draw_side(c, in.x + 12, y, bar, &k->left, i);
		draw_side(c, in.x + 12 + side, y, bar, &k->right, i);
	}
}

static void draw_images(struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect r)
{
	const struct view_compare *k = &v->compare;
	struct rect right = r;
	struct rect left = pane_take_left(&right, r.w / 2 + 1), in;

	in = draw_pane(c, left, k->left_name ? k->left_name : "left", k->left_image.which,
	               s->focus == PANE_IMAGES);
	image_draw(&s->images[0], c, in, &k->left_image, s->image_mode);
	in = draw_pane(c, right, k->right_name ? k->right_name : "right", k->right_image.which,
	               s->focus == PANE_IMAGES);
	image_draw(&s->images[1], c, in, &k->right_image, s->image_mode);
}

/* ---- the screen ---- */

static struct rect place(const struct screen_state *s, struct rect r, int pane)
{
	enum layout_kind kind = layout_kind(r.w);
	struct rect below, none = { r.x, r.y, 0, 0 };
	int rows;

	if (s->zoom || kind == LAYOUT_ONE) {
		if (kind == LAYOUT_ONE && !s->zoom)
			rect_take_top(&r, 1);
		return pane == s->focus ? r : none;
	}
	rows = r.h / 3 > 6 ? r.h / 3 : 6;
	if (rows > 16)
		rows = 16;
	/* i: the images want more than a third */
	if (kind == LAYOUT_TWO && s->focus == PANE_IMAGES)
		rows = r.h / 2;
	below = rect_take_bottom(&r, rows);
	if (pane == PANE_TABLE)
		return r;
	if (kind == LAYOUT_THREE) {
		struct rect images = pane_take_right(&below, below.w / 2);
		return pane == PANE_PAIR ? below : images;
	}
	return (pane == PANE_IMAGES) == (s->focus == PANE_IMAGES) ? below : none;
}

static void draw(struct screen_state *s, const struct view *v, struct canvas *c, struct rect r)
{
	static void (*const panes[N_PANES])(struct screen_state *, const struct view *,
	                                    struct canvas *,
	                                    struct rect) = { draw_table, draw_pair, draw_images };
	struct rect tabs = r;

	if (layout_kind(r.w) == LAYOUT_ONE && !s->zoom)
		layout_tabs(c, &tabs, pane_names, N_PANES, s->focus);
	for (int i = 0; i < N_PANES; i++) {
		struct rect at = place(s, r, i);
		if (at.w > 1 && at.h > 1)
			panes[i](s, v, c, at);
	}
}

static bool key(struct screen_state *s, const struct view *v, struct key k, struct intent *out)
{
	struct table t = { .v = &v->compare };
	struct list_source src = source(&t);

	if (s->focus != PANE_TABLE)
		return false;
	if (k.code == KEYS_LEFT || k.code == KEYS_RIGHT) {
		*out = (struct intent){ .kind = INTENT_COLUMN, .n = k.code == KEYS_LEFT ? -1 : 1 };
		return true;
	}
	return list_key(&s->lists[PANE_TABLE], k, &src);
}

static void fill(struct screen_state *s, const struct view *v, struct intent *out)
{
	(void)v;
	/* the images have a pane of their own: i goes there, and back */
	if (out->kind == INTENT_IMAGE) {
		s->focus = s->focus == PANE_IMAGES ? PANE_TABLE : PANE_IMAGES;
		return;
	}
	if (out->kind == INTENT_PAIR)
		s->focus = s->focus == PANE_PAIR ? PANE_TABLE : PANE_PAIR;
	if ((out->kind == INTENT_OPEN || out->kind == INTENT_PAIR) && out->n == 0)
		out->n = s->lists[PANE_TABLE].selected;
}

static int64_t selected(const struct screen_state *s)
{
	return s->lists[PANE_TABLE].selected;
}

static void select_id(struct screen_state *s, int64_t id)
{
	s->lists[PANE_TABLE].selected = id;
}

/* Of the left one; the right one is as large. */
static struct rect image(const struct screen_state *s, const struct view *v, struct rect r)
{
	struct rect at = place(s, r, PANE_IMAGES);

	(void)v;
	if (at.w < 8 || at.h < 4)
		return (struct rect){ 0 };
	return (struct rect){ at.x + 1, at.y + 1, at.w / 2 - 1, at.h - 2 };
}

const struct screen screen_compare = { .name = "Compare",
	                               .panes = pane_names,
	                               .n_panes = N_PANES,
	                               .draw = draw,
	                               .key = key,
	                               .fill = fill,
	                               .selected = selected,
	                               .select = select_id,
	                               .image = image };
