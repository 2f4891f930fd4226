/*
 * screen_tasks.c - all tasks with what has become of each, and the one selected as the model will
 * read it.
 */
#include <stdio.h>
#include <string.h>

#include "ui/layout.h"
#include "ui/screen.h"

enum { PANE_LIST, PANE_PROMPT, PANE_DRAWING, PANE_CHECKS, N_PANES };
static const char *const pane_names[N_PANES] = { "Tasks", "Prompt", "Drawing", "Checks" };

/* ---- the list ---- */

/* Columns of the list, for the width there is. */
struct columns {
	int name, level, family, failure; /* widths; 0: not shown */
};

static struct columns columns_for(int w)
{
	/* mark and sign, best and number take 17; names get what is left of the rest */
	struct columns k = { .level = 7, .family = 11 };
	int rest = w - 17 - k.level - k.family;

	if (rest < 30) {
		k.family = 0;
		rest += 11;
	}
	if (rest > 54) {
		k.family += 7;
		rest -= 7;
	}
	k.failure = rest > 60 ? 24 : rest > 42 ? 15 : 0;
	k.name = rest - k.failure;
	return k;
}

static int64_t task_id(void *ctx, int row)
{
	return ((const struct view_tasks *)ctx)->rows[row].id;
}

/* The words that "/" looks in are put together for one task at a time. */
struct task_words {
	const struct view_tasks *tasks;
	char text[512];
};

static int64_t words_id(void *ctx, int row)
{
	return task_id((void *)((struct task_words *)ctx)->tasks, row);
}

static const char *words_of(void *ctx, int row)
{
	struct task_words *w = ctx;
	const struct view_task *t = &w->tasks->rows[row];

	snprintf(w->text, sizeof(w->text), "%s %s %s %s %s", t->name ? t->name : "",
	         t->level ? t->level : "", t->family ? t->family : "", t->pack ? t->pack : "",
	         t->last_failure ? t->last_failure : "");
	return w->text;
}

static void task_draw(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct view_task *t = &((struct task_words *)ctx)->tasks->rows[row];
	struct columns k = columns_for(r.w);
	char figure[16], n[16];
	int x = r.x, end = r.x + r.w;

	draw_str(c, x, r.y, 1, ROLE_RUN, selected ? mark_sign(MARK_RUNNING, c->ascii) : " ");
	draw_str(c, x + 1, r.y, 1, ROLE_STRONG, t->marked ? "*" : " ");
	draw_str(c, x + 3, r.y, 1, mark_role(t->mark), mark_sign(t->mark, c->ascii));
	x += 5;
	draw_str(c, x, r.y, k.name - 1, ROLE_NORMAL, t->name);
	x += k.name;
	draw_str(c, x, r.y, k.level - 1, ROLE_FAINT, t->level);
	x += k.level;
	if (k.family)
		draw_str(c, x, r.y, k.family - 1, ROLE_FAINT, t->family);
	x += k.family;
	draw_right(c, x + 6, r.y, 7, mark_role(t->mark), figure_text(figure, t->best));
	snprintf(n, sizeof(n), "%d", t->runs);
	draw_right(c, x + 10, r.y, 4, ROLE_NORMAL, n);
	x += 12;
	if (k.failure)
		draw_str(c, x, r.y, end - x - 1, ROLE_FAINT,
		         t->last_failure ? t->last_failure
		         : t->runs       ? "-"
		                         : "never run");
}

static void list_head(struct canvas *c, struct rect r)
{
	struct columns k = columns_for(r.w);
	int x = r.x + 5;

	draw_str(c, x, r.y, k.name, ROLE_TITLE, "TASK");
	x += k.name;
	draw_str(c, x, r.y, k.level, ROLE_TITLE, "LEVEL");
	x += k.level;
	if (k.family)
		draw_str(c, x, r.y, k.family, ROLE_TITLE, "FAMILY");
	x += k.family;
	draw_right(c, x + 6, r.y, 7, ROLE_TITLE, "BEST");
	draw_right(c, x + 10, r.y, 4, ROLE_TITLE, "N");
	if (k.failure)
		draw_str(c, x + 12, r.y, k.failure, ROLE_TITLE, "LAST FAILURE");
}

static struct list_source source(struct task_words *w)
{
	return (struct list_source){ .ctx = w,
		                     .n = w->tasks->n_rows,
		                     .id = words_id,
		                     .words = words_of,
		                     .draw = task_draw,
		                     .height = 1 };
}

static const struct view_task *selected_task(const struct screen_state *s, const struct view *v)
{
	for (int i = 0; i < v->tasks.n_rows; i++)
		if (v->tasks.rows[i].id == s->lists[PANE_LIST].selected)
			return &v->tasks.rows[i];
	return NULL;
}

/* The pack of all rows, or how many there are. */
static const char *pack_fact(const struct view_tasks *t, char *out, size_t size)
{
	int packs = 0;

	for (int i = 0; i < t->n_rows; i++) {
		int k;
		for (k = 0; k < i; k++)
			if (strcmp(t->rows[k].pack ? t->rows[k].pack : "",
			           t->rows[i].pack ? t->rows[i].pack : "") == 0)
				break;
		packs += k == i;
	}
	if (packs > 1)
		snprintf(out, size, "%d packs", packs);
	else
		snprintf(out, size, "%s", t->n_rows && t->rows[0].pack ? t->rows[0].pack : "");
	return out;
}

static void draw_list(struct screen_state *s, const struct view *v, struct canvas *c, struct rect r)
{
	struct task_words words = { .tasks = &v->tasks };
	struct list_source src = source(&words);
	struct list *l = &s->lists[PANE_LIST];
	char fact[160], pack[64];
	struct rect in;

	pack_fact(&v->tasks, pack, sizeof(pack));
	if (l->filter.len)
		snprintf(fact, sizeof(fact), "filter: %.60s  %d of %d", buf_str(&l->filter),
		         l->shown, v->tasks.n_rows);
	else
		snprintf(fact, sizeof(fact), "%s", pack);
	in = draw_pane(c, r, "Tasks", fact, s->focus == PANE_LIST);
	if (v->tasks.n_rows == 0) {
		draw_str(
			c, in.x + 1, in.y + 1, in.w - 2, ROLE_NORMAL,
			"No task is there: A writes one, or set CADFORGE_TASKS to a folder of packs.");
		return;
	}
	list_head(c, rect_take_top(&in, 1));
	list_draw(l, c, in, &src, s->focus == PANE_LIST);
	if (l->shown == 0)
		draw_str(c, in.x + 5, in.y, in.w - 6, ROLE_FAINT,
		         "no task has these words: Esc shows all again");
}

/* ---- the selected one ---- */

static void draw_prompt(struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect r)
{
	const struct view_task *t = selected_task(s, v);
	const struct view_tasks *k = &v->tasks;
	struct rect in = draw_pane(c, r, t ? t->name : "Prompt", k->size, s->focus == PANE_PROMPT);
	bool checks = k->checks_line || k->reference;

	in.x++;
	in.w -= 2;
	if (checks && in.h > 2) {
		struct rect last = rect_take_bottom(&in, 1);
		char reference[80];
		int w;
		snprintf(reference, sizeof(reference), "reference: %s",
		         k->reference ? k->reference : "n");
		w = text_width(reference, strlen(reference));
		if (w + 3 < last.w) {
			draw_right(c, last.x + last.w, last.y, w, ROLE_NORMAL, reference);
			last.w -= w + 2;
		}
		draw_str(c, last.x, last.y, last.w, ROLE_NORMAL, k->checks_line);
		rect_take_bottom(&in, 1);
	}
	if (k->prompt.len == 0)
		draw_str(c, in.x, in.y, in.w, ROLE_FAINT,
		         "The selected task's prompt stands here.");
	text_draw(&s->texts[PANE_PROMPT], c, in, &k->prompt, s->focus == PANE_PROMPT);
}

static void draw_drawing(struct screen_state *s, const struct view *v, struct canvas *c,
                         struct rect r)
{
	const struct view_image *im = &v->tasks.drawing;
	struct rect in = draw_pane(c, r, "Drawing", im->which, s->focus == PANE_DRAWING);

	if (im->caption && in.h > 3) {
		struct rect last = rect_take_bottom(&in, 1);
		draw_str(c, last.x + 1, last.y, last.w - 2, ROLE_NORMAL, im->caption);
	}
	image_draw(&s->images[0], c, in, im, s->image_mode);
}

static void draw_checks(struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect r)
{
	const struct view_tasks *k = &v->tasks;
	char fact[32] = "";
	struct rect in;
	int most, at;

	if (k->n_checks)
		snprintf(fact, sizeof(fact), "%d", k->n_checks);
	in = draw_pane(c, r, "Checks", fact, s->focus == PANE_CHECKS);
	if (k->n_checks == 0) {
		draw_str(c, in.x + 1, in.y, in.w - 2, ROLE_FAINT,
		         "This task has no checks of its own.");
		return;
	}
	most = k->n_checks - in.h > 0 ? k->n_checks - in.h : 0;
	if (s->scroll > most)
		s->scroll = most;
	for (int i = 0; (at = i + s->scroll) < k->n_checks && i < in.h; i++) {
		const struct view_check *ch = &k->checks[at];
		int w = in.w - 2 < 34 ? 12 : 14;
		draw_str(c, in.x + 1, in.y + i, w - 1, ROLE_STRONG, ch->id);
		draw_str(c, in.x + 1 + w, in.y + i, in.w - 2 - w, ROLE_NORMAL, ch->want);
	}
}

/* ---- the screen ---- */

static struct rect place(const struct screen_state *s, const struct view *v, struct rect r,
                         int pane)
{
	enum layout_kind kind = layout_kind(r.w);
	struct rect left, side, none = { r.x, r.y, 0, 0 };

	if (s->zoom || kind == LAYOUT_ONE) {
		if (kind == LAYOUT_ONE && !s->zoom)
			rect_take_top(&r, 1);
		return pane == s->focus ? r : none;
	}
	if (kind == LAYOUT_TWO) {
		/* the task's text below; in its place the drawing or the checks, when they have
		 * the focus */
		struct rect below = rect_take_bottom(&r, r.h * 7 / 21 > 7 ? r.h * 7 / 21 : 7);
		int shown = s->focus == PANE_LIST ? PANE_PROMPT : s->focus;
		return pane == PANE_LIST ? r : pane == shown ? below : none;
	}
	(void)v;
	side = pane_take_right(&r, r.w * 2 / 5);
	left = pane_take_bottom(&r, r.h / 3);
	if (pane == PANE_LIST)
		return r;
	if (pane == PANE_PROMPT)
		return left;
	r = pane_take_bottom(&side, side.h / 3);
	return pane == PANE_CHECKS ? r : side;
}

static void draw(struct screen_state *s, const struct view *v, struct canvas *c, struct rect r)
{
	static void (*const panes[N_PANES])(
		struct screen_state *, const struct view *, struct canvas *,
		struct rect) = { draw_list, draw_prompt, draw_drawing, draw_checks };
	struct rect tabs = r;

	if (layout_kind(r.w) == LAYOUT_ONE && !s->zoom)
		layout_tabs(c, &tabs, pane_names, N_PANES, s->focus);
	/* the selection settles first: what the others show hangs on it */
	for (int i = 0; i < N_PANES; i++) {
		struct rect at = place(s, v, r, i);
		if (at.w > 1 && at.h > 1)
			panes[i](s, v, c, at);
	}
}

static bool key(struct screen_state *s, const struct view *v, struct key k, struct intent *out)
{
	struct task_words words = { .tasks = &v->tasks };
	struct list_source src = source(&words);

	(void)out;
	switch (s->focus) {
	case PANE_LIST:
		return list_key(&s->lists[PANE_LIST], k, &src);
	case PANE_PROMPT:
		return text_key(&s->texts[PANE_PROMPT], k, &v->tasks.prompt);
	case PANE_CHECKS:
		if (k.code == KEYS_DOWN || k.code == KEYS_UP) {
			s->scroll += k.code == KEYS_DOWN ? 1 : s->scroll > 0 ? -1 : 0;
			return true;
		}
		return false;
	default:
		return false;
	}
}

static void init(struct screen_state *s)
{
	s->texts[PANE_PROMPT].wrap = true;
}

static void fill(struct screen_state *s, const struct view *v, struct intent *out)
{
	(void)v;
	switch (out->kind) {
	case INTENT_OPEN:
	case INTENT_RUN:
	case INTENT_MARK:
		if (out->n == 0)
			out->n = s->lists[PANE_LIST].selected;
		break;
	default:
		break;
	}
}

static int64_t selected(const struct screen_state *s)
{
	return s->lists[PANE_LIST].selected;
}

static void select_id(struct screen_state *s, int64_t id)
{
	s->lists[PANE_LIST].selected = id;
}

static struct rect image(const struct screen_state *s, const struct view *v, struct rect r)
{
	struct rect at = place(s, v, r, PANE_DRAWING);

	if (at.w < 4 || at.h < 4)
		return (struct rect){ 0 };
	/* without its border and the caption */
	return (struct rect){ at.x + 1, at.y + 1, at.w - 2, at.h - 3 };
}

static const struct view_text *text(const struct screen_state *s, const struct view *v)
{
	return s->focus == PANE_PROMPT ? &v->tasks.prompt : NULL;
}

const struct screen screen_tasks = { .name = "Tasks",
	                             .panes = pane_names,
	                             .n_panes = N_PANES,
	                             .init = init,
	                             .draw = draw,
	                             .key = key,
	                             .fill = fill,
	                             .selected = selected,
	                             .select = select_id,
	                             .image = image,
	                             .text = text };
