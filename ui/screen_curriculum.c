/*
 * screen_curriculum.c - what fails, how often, how well it is mastered by now, and what is trained
 * next because of it.
 *
 * Below the classes: while a training runs its build rate and its step; else why the selected class
 * has its weight, with the repair prompt it would give, and the next batch. Each can be had with
 * Tab.
 */
#include <stdio.h>
#include <string.h>

#include "ui/bars.h"
#include "ui/layout.h"
#include "ui/parts.h"
#include "ui/screen.h"

enum { CLASSES, WHY, NEXT, RATE, STEP, N_PANES };

static const char *const pane_names[] = { "Classes", "Why", "Next", "Rate", "Step" };

/* ---- which pane stands where ---- */

static void places(const struct screen_state *s, const struct view *v, struct rect r,
                   struct rect out[N_PANES])
{
	const struct view_curriculum *u = &v->curriculum;
	enum layout_kind kind = layout_kind(r.w);
	int left = u->run ? RATE : WHY, right = u->run ? STEP : NEXT, h;
	struct rect low;

	memset(out, 0, N_PANES * sizeof *out);
	if (s->zoom || kind == LAYOUT_ONE) {
		if (kind == LAYOUT_ONE && !s->zoom)
			rect_take_top(&r, 1);
		out[s->focus < N_PANES ? s->focus : CLASSES] = r;
		return;
	}
	if (s->focus == WHY || s->focus == RATE)
		left = s->focus;
	if (s->focus == NEXT || s->focus == STEP)
		right = s->focus;
	if (kind == LAYOUT_THREE && r.h >= 20) {
		low = rect_take_bottom(&r, r.h * 2 / 5);
		out[WHY] = pane_take_right(&r, r.w * 2 / 5);
		out[CLASSES] = r;
		out[STEP] = pane_take_right(&low, 34);
		out[RATE] = pane_take_left(&low, low.w / 2);
		out[NEXT] = low;
		return;
	}
	/* the classes have what they need, the rest of the height is for reading why */
	h = u->n_rows + 4 > 12 ? u->n_rows + 4 : 12;
	h = h > r.h * 4 / 7 ? r.h * 4 / 7 : h;
	out[CLASSES] = rect_take_top(&r, h);
	low = r;
	out[right] = pane_take_right(&low, kind == LAYOUT_TWO && r.w < 100 ? 33 : r.w * 2 / 5);
	out[left] = low;
}

/* ---- the classes ---- */

static int64_t class_id(void *ctx, int row)
{
	return ((const struct view_curriculum *)ctx)->rows[row].id;
}

static const char *class_words(void *ctx, int row)
{
	return ((const struct view_curriculum *)ctx)->rows[row].name;
}

static char hand_sign(const struct view_class *k)
{
	switch (k->hand) {
	case CLASS_PINNED:
		return '+';
	case CLASS_BANNED:
		return '!';
	case CLASS_SET:
		return '=';
	default:
		return ' ';
	}
}

/* Where the columns of a row of @w cells end. */
struct columns {
	int name, count, bar, bar_w, mastery, weight, next;
};

static struct columns columns(int w)
{
	struct columns c = { .name = 22 };

	/* with more room the names and the bars get it, half each */
	if (w > 76)
		c.name += (w - 76) / 3;
	if (c.name > 34)
		c.name = 34;
	c.next = w - 1;
	c.weight = c.next - 8;
	c.mastery = c.weight - 8;
	c.count = c.name + 6;
	c.bar = c.count + 2;
	c.bar_w = c.mastery - 9 - c.bar;
	if (c.bar_w > 40)
		c.bar_w = 40;
	return c;
}

static void class_row(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct view_class *k = &((const struct view_curriculum *)ctx)->rows[row];
	struct columns at = columns(r.w);
	char text[32];
	bool banned = k->hand == CLASS_BANNED;

	(void)selected;
	draw_str(c, r.x, r.y, at.name, banned ? ROLE_FAINT : ROLE_NORMAL, k->name);
	draw_right(c, r.x + at.count, r.y, 9, ROLE_STRONG, count_text(text, k->count));
	if (at.bar_w > 3)
		draw_bar(c, r.x + at.bar, r.y, at.bar_w, k->share, ROLE_BAR);
	if (isfinite(k->mastery))
		snprintf(text, sizeof text, "%.2f", k->mastery);
	else
		strcpy(text, "-");
	draw_right(c, r.x + at.mastery, r.y, 7, ROLE_NORMAL, text);
	if (isfinite(k->weight))
		snprintf(text, sizeof text, "%.2f", k->weight);
	else
		strcpy(text, "-");
	draw_right(c, r.x + at.weight, r.y, 7, banned ? ROLE_FAINT : ROLE_NORMAL, text);
	draw_f(c, r.x + at.weight + 1, r.y, 1, ROLE_MATCH, "%c", hand_sign(k));
	snprintf(text, sizeof text, "%d", k->next);
	draw_right(c, r.x + at.next, r.y, 5, k->next ? ROLE_STRONG : ROLE_FAINT, text);
}

static struct list_source class_source(const struct view *v)
{
	return (struct list_source){ .ctx = (void *)&v->curriculum,
		                     .n = v->curriculum.n_rows,
		                     .id = class_id,
		                     .words = class_words,
		                     .draw = class_row,
		                     .height = 1 };
}

static const struct view_class *selected_class(const struct screen_state *s, const struct view *v)
{
	for (int i = 0; i < v->curriculum.n_rows; i++)
		if (v->curriculum.rows[i].id == s->lists[CLASSES].selected)
			return &v->curriculum.rows[i];
	return NULL;
}

static void classes_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                         struct rect at, bool focused)
{
	const struct view_curriculum *u = &v->curriculum;
	struct list_source source = class_source(v);
	struct rect r = part_padded(at), row;
	struct columns col = columns(r.w);
	char fact[64] = "", n[32];

	if (u->completions > 0)
		snprintf(fact, sizeof fact, "last %s completion%s", count_text(n, u->completions),
		         u->completions == 1 ? "" : "s");
	draw_pane(c, at, "Failure classes", fact, focused);
	if (!u->n_rows) {
		r.y += r.h > 4;
		r.h -= r.h > 4;
		part_say(c, r, ROLE_NORMAL,
		         u->why_not
		                 ? u->why_not
		                 : "Nothing has failed yet: classes are counted from what is run. "
		                   "Choose a task on the first screen (1) and run it (r).");
		return;
	}
	if (r.h > 2) {
		row = rect_take_top(&r, 1);
		draw_str(c, row.x, row.y, col.name, ROLE_FAINT, "CLASS");
		draw_right(c, row.x + col.count, row.y, 5, ROLE_FAINT, "COUNT");
		if (col.bar_w > 4)
			draw_str(c, row.x + col.bar, row.y, 5, ROLE_FAINT, "SHARE");
		draw_right(c, row.x + col.mastery, row.y, 7, ROLE_FAINT, "MASTERY");
		draw_right(c, row.x + col.weight, row.y, 6, ROLE_FAINT, "WEIGHT");
		draw_right(c, row.x + col.next, row.y, 4, ROLE_FAINT, "NEXT");
	}
	for (int i = 0; i < u->n_rows; i++)
		if (u->rows[i].hand != CLASS_FREE && r.h > u->n_rows) {
			row = rect_take_bottom(&r, 1);
			draw_str(c, row.x, row.y, row.w, ROLE_FAINT,
			         "set by hand: + always trained, ! never, = this weight");
			break;
		}
	list_draw(&s->lists[CLASSES], c, r, &source, focused);
}

/* ---- why, and what comes next ---- */

static void why_draw(struct screen_state *s, const struct view *v, struct canvas *c, struct rect at,
                     bool focused)
{
	const struct view_curriculum *u = &v->curriculum;
	const struct view_class *k = selected_class(s, v);
	struct rect r = part_padded(at);
	char title[96], fact[40] = "";

	snprintf(title, sizeof title, "Why%s%s", k ? "  " : "", k ? k->name : "");
	if (u->formula && r.h > 0) {
		int used = part_say(c, r, ROLE_NORMAL, u->formula);

		r.y += used;
		r.h -= used;
	}
	if (u->repair.len && r.h > 2) {
		r.y += r.h > 4;
		r.h -= r.h > 4;
		draw_str(c, r.x, r.y, r.w, ROLE_TITLE, "REPAIR PROMPT");
		r.y++;
		r.h--;
		s->texts[WHY].wrap = true;
		text_draw(&s->texts[WHY], c, r, &u->repair, focused);
		text_fact(&s->texts[WHY], fact);
	} else if (!u->formula)
		part_say(c, r, ROLE_FAINT, "What a class weighs, and why, once one is there.");
	draw_pane(c, at, title, fact, focused);
}

static void next_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                      struct rect at, bool focused)
{
	const struct view_curriculum *u = &v->curriculum;
	struct rect r = part_padded(at);
	int per, page;
	char title[32];

	snprintf(title, sizeof title, u->n_next ? "Next %d" : "Next", u->n_next);
	draw_pane(c, at, title, "task, why", focused);
	if (!u->n_next) {
		part_say(c, r, ROLE_FAINT, "The next batch stands here when there are classes.");
		return;
	}
	/* why on a row of its own while that shows all of them, or a good part */
	per = u->n_next * 2 <= r.h || r.h >= 10 || focused ? 2 : 1;
	page = r.h / per;
	if (s->scroll > u->n_next - page)
		s->scroll = u->n_next > page ? u->n_next - page : 0;
	for (int i = s->scroll, y = r.y; i < u->n_next && y + per <= r.y + r.h; i++, y += per) {
		const struct view_next *n = &u->next[i];
		char weight[16] = "";
		int w = r.w - 6;

		if (isfinite(n->weight))
			snprintf(weight, sizeof weight, "%.2f", n->weight);
		draw_str(c, r.x, y, w, ROLE_NORMAL, n->task);
		if (n->kind && w > 44)
			draw_str(c, r.x + w - 16, y, 16, ROLE_FAINT, n->kind);
		draw_right(c, r.x + r.w, y, 5, ROLE_NORMAL, weight);
		if (per > 1)
			draw_f(c, r.x + 2, y + 1, r.w - 2, ROLE_FAINT, "%s%s%s",
			       n->kind && w <= 44 ? n->kind : "",
			       n->kind && w <= 44 && n->why ? ": " : "", n->why ? n->why : "");
	}
}

/* ---- a training ---- */

/* What a training's steps gave: the chosen one, and with more room those after it. */
static void curves_draw(const struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect at, bool focused)
{
	const struct view_curriculum *u = &v->curriculum;
	struct rect r = part_padded(at);
	int chosen = s->column % u->n_curve, fit = r.h / 8;
	char title[64];

	fit = fit < 1 ? 1 : fit > u->n_curve ? u->n_curve : fit;
	snprintf(title, sizeof title, "%s%s", u->curve[chosen].name,
	         focused && fit < u->n_curve ? "  (down: the next)" : "");
	draw_pane(c, at, title, u->curve[chosen].now, focused);
	for (int i = 0; i < fit; i++) {
		const struct view_curve *k = &u->curve[(chosen + i) % u->n_curve];
		struct rect part = rect_take_top(&r, r.h / (fit - i));

		if (i > 0) {
			struct rect head = rect_take_top(&part, 1);

			draw_str(c, head.x, head.y, head.w, ROLE_TITLE, k->name);
			draw_right(c, head.x + head.w, head.y, 12, ROLE_STRONG, k->now);
		}
		bars_curve(c, part, k);
	}
}

static void rate_draw(const struct screen_state *s, const struct view *v, struct canvas *c,
                      struct rect at, bool focused)
{
	const struct view_curriculum *u = &v->curriculum;
	struct rect r = part_padded(at);
	char fact[32] = "";

	if (u->n_curve > 0 && u->run) {
		curves_draw(s, v, c, at, focused);
		return;
	}
	if (u->n_rate > 0 && isfinite(u->rate[u->n_rate - 1]))
		snprintf(fact, sizeof fact, "%.1f %%", 100 * u->rate[u->n_rate - 1]);
	draw_pane(c, at, "Build rate per batch", fact, focused);
	if (!u->n_rate) {
		part_say(c, r, ROLE_FAINT, "A column a batch of completions, once there is one.");
		return;
	}
	bars_columns(c, r, u->rate, u->n_rate > 64 ? 64 : u->n_rate, 0, 1, "0", "100", "batch", 1);
}

static void step_draw(const struct view *v, struct canvas *c, struct rect at, bool focused)
{
	const struct view_curriculum *u = &v->curriculum;
	struct rect r = part_padded(at);
	int label = 8;

	draw_pane(c, at, "This step", u->paused ? "paused" : "", focused);
	if (!u->n_step) {
		part_say(c, r, ROLE_FAINT, "No training runs in this database.");
		return;
	}
	for (int i = 0; i < u->n_step; i++) {
		int w = u->step[i].label ? text_width(u->step[i].label, strlen(u->step[i].label))
		                         : 0;

		if (u->step[i].value && w > label)
			label = w;
	}
	label = label > r.w / 2 ? r.w / 2 : label;
	for (int i = 0; i < u->n_step && i < r.h; i++) {
		const struct view_fact *f = &u->step[i];

		/* one without a value is a sentence of its own */
		draw_str(c, r.x, r.y + i, f->value ? label : r.w, ROLE_NORMAL, f->label);
		if (f->value) {
			/* in one column; a long one as far to the left as it needs */
			int w = text_width(f->value, strlen(f->value)), x = label + 2;
			int own = f->label ? text_width(f->label, strlen(f->label)) + 2 : 0;

			x = x + w > r.w ? r.w - w : x;
			x = x < own ? own : x;
			draw_str(c, r.x + x, r.y + i, r.w - x, ROLE_STRONG, f->value);
		}
	}
}

/* Over all panes, as many rows as its words need, two or three at most: nothing else on the screen
 * says that the training goes wrong. */
static void alarm_draw(const struct view *v, struct canvas *c, struct rect *r)
{
	const char *text = v->curriculum.alarm;
	struct rect at = *r;
	char cut[600];
	int w = at.w - 8, most = r->h < 30 ? 2 : 3, rows;

	if (!text || r->h < 12 || w < 24)
		return;
	snprintf(cut, sizeof cut, "%s", text);
	/* broken at blanks a row has a few cells less than its width */
	if (text_width(cut, strlen(cut)) > most * (w - 6)) {
		size_t n = (size_t)(most * (w - 6) - 3);

		while (n > 0 && ((unsigned char)cut[n] & 0xc0) == 0x80)
			n--;
		strcpy(cut + n, "...");
	}
	rows = (text_width(cut, strlen(cut)) + w - 7) / (w - 6);
	rect_take_top(r, rows);
	at.h = rows;
	draw_str(c, at.x, at.y, 8, ROLE_BAD, "! ALARM");
	at.x += 8;
	at.w = w;
	part_say(c, at, ROLE_BAD, cut);
}

static void curriculum_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                            struct rect r)
{
	struct rect at[N_PANES], tabs;

	alarm_draw(v, c, &r);
	tabs = r;
	places(s, v, r, at);
	if (layout_kind(r.w) == LAYOUT_ONE && !s->zoom)
		layout_tabs(c, &tabs, pane_names, N_PANES, s->focus);
	for (int i = 0; i < N_PANES; i++) {
		bool focused = i == s->focus;

		if (at[i].w < 4 || at[i].h < 3)
			continue;
		switch (i) {
		case CLASSES:
			classes_draw(s, v, c, at[i], focused);
			break;
		case WHY:
			why_draw(s, v, c, at[i], focused);
			break;
		case NEXT:
			next_draw(s, v, c, at[i], focused);
			break;
		case RATE:
			rate_draw(s, v, c, at[i], focused);
			break;
		default:
			step_draw(v, c, at[i], focused);
		}
	}
}

static bool curriculum_status(struct screen_state *s, const struct view *v, struct canvas *c,
                              struct rect row)
{
	int x = row.x;

	(void)s;
	if (!v->curriculum.run)
		return false;
	x += draw_str(c, x, row.y, row.w, ROLE_RUN, v->curriculum.paused ? "PAUSED " : "TRAIN ");
	draw_str(c, x, row.y, row.x + row.w - x, ROLE_NORMAL, v->curriculum.run);
	return true;
}

/* ---- keys ---- */

static bool curriculum_key(struct screen_state *s, const struct view *v, struct key k,
                           struct intent *out)
{
	(void)out;
	switch (s->focus) {
	case CLASSES: {
		struct list_source source = class_source(v);

		return list_key(&s->lists[CLASSES], k, &source);
	}
	case WHY:
		return text_key(&s->texts[WHY], k, &v->curriculum.repair);
	case NEXT:
		return part_scroll(&s->scroll, k);
	case RATE:
		if (v->curriculum.n_curve < 1 || (k.code != KEYS_DOWN && k.code != KEYS_UP))
			return false;
		s->column += k.code == KEYS_DOWN ? 1 : v->curriculum.n_curve - 1;
		s->column %= v->curriculum.n_curve;
		return true;
	default:
		return false;
	}
}

static void curriculum_fill(struct screen_state *s, const struct view *v, struct intent *out)
{
	(void)v;
	switch (out->kind) {
	case INTENT_OPEN:
	case INTENT_PIN:
	case INTENT_BAN:
	case INTENT_WEIGHT:
		out->n = s->lists[CLASSES].selected;
		break;
	default:
		break;
	}
}

static int64_t curriculum_selected(const struct screen_state *s)
{
	return s->lists[CLASSES].selected;
}

static void curriculum_select(struct screen_state *s, int64_t id)
{
	s->lists[CLASSES].selected = id;
}

static const struct view_text *curriculum_text(const struct screen_state *s, const struct view *v)
{
	return s->focus == WHY ? &v->curriculum.repair : NULL;
}

static void curriculum_init(struct screen_state *s)
{
	s->texts[WHY].wrap = true;
	s->texts[WHY].follow = false;
}

const struct screen screen_curriculum = {
	.name = "Curriculum",
	.panes = pane_names,
	.n_panes = N_PANES,
	.init = curriculum_init,
	.draw = curriculum_draw,
	.key = curriculum_key,
	.fill = curriculum_fill,
	.status = curriculum_status,
	.selected = curriculum_selected,
	.select = curriculum_select,
	.text = curriculum_text,
};
