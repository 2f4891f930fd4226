/*
 * screen_live.c - the episode that is being made: what the model writes, what it earned, what it
 * is.
 *
 * Two columns share the right one among Reward, Preview, Turns and Checks: the pane that had the
 * focus last has it. Three columns show all of them when there is height.
 */
#include <stdio.h>
#include <string.h>

#include "ui/bars.h"
#include "ui/layout.h"
#include "ui/parts.h"
#include "ui/screen.h"

enum { CODE, REWARD, LOG, PREVIEW, TURNS, CHECKS, N_PANES };

static const char *const pane_names[] = {
	"Code", "Reward", "Log", "Preview", "Turns", "Checks",
};

/* ---- which pane stands where ---- */

static bool group_shown(const struct view_live *l)
{
	return l->group_asked && l->n_group > 0;
}

static bool shares(int pane)
{
	return pane == REWARD || pane == PREVIEW || pane == TURNS || pane == CHECKS;
}

static int side_of(const struct screen_state *s, const struct view *v)
{
	const struct view_image *im = &v->live.image;
	int side = shares(s->focus) ? s->focus : shares(s->side) ? s->side : REWARD;

	/* nobody looks at a picture that is turned off, but who goes there */
	if (side == PREVIEW && s->focus != PREVIEW && im->which && !strcmp(im->which, "off"))
		side = REWARD;
	return side;
}

/* Rectangles of the panes shown in @r; the others have no width. */
static void places(const struct screen_state *s, const struct view *v, struct rect r,
                   struct rect out[N_PANES])
{
	enum layout_kind kind = layout_kind(r.w);
	int side = side_of(s, v);
	struct rect middle, right;

	memset(out, 0, N_PANES * sizeof *out);
	if (s->zoom || kind == LAYOUT_ONE) {
		if (kind == LAYOUT_ONE && !s->zoom)
			rect_take_top(&r, 1);
		out[s->focus < N_PANES ? s->focus : CODE] = r;
		return;
	}
	/* walking tokens takes two rows a line, and the log says nothing about it */
	if (!s->certainty || kind == LAYOUT_THREE || s->focus == LOG)
		out[LOG] = pane_take_bottom(&r, r.h >= 34 ? 10 : r.h >= 20 ? 8 : r.h / 3 + 1);
	if (kind == LAYOUT_TWO && group_shown(&v->live) && !shares(s->focus)) {
		/* siblings side by side need the width */
		out[CODE] = r;
		return;
	}
	if (kind == LAYOUT_TWO) {
		int w = 31 + (r.w - 80) / 3;

		out[side] = pane_take_right(&r, w > 47 ? 47 : w);
		out[CODE] = r;
		return;
	}
	right = pane_take_right(&r, r.w * 27 / 100);
	middle = pane_take_right(&r, 47);
	out[CODE] = r;
	if (r.h < 26) {
		out[side == TURNS ? TURNS : REWARD] = middle;
		out[side == CHECKS ? CHECKS : PREVIEW] = right;
		return;
	}
	out[REWARD] = pane_take_top(&middle, r.h / 2 < 19 ? r.h * 3 / 5 : 19);
	out[TURNS] = middle;
	out[PREVIEW] = pane_take_top(&right, out[REWARD].h);
	out[CHECKS] = right;
}

/* ---- a group ---- */

static int member_clamped(const struct screen_state *s, const struct view_live *l)
{
	return s->column < 0 ? 0 : s->column >= l->n_group ? l->n_group - 1 : s->column;
}

/* Still written, built or measured: its reward is to come. */
static bool busy(const struct view_member *m)
{
	return m->streaming || (!isfinite(m->reward) && !m->failure &&
	                        (m->mark == MARK_NONE || m->mark == MARK_RUNNING));
}

/* "3 + 0.785 *": one of the row that has them all. */
static void member_brief(struct canvas *c, int x, int y, const struct view_member *m, bool here)
{
	int mark = busy(m) ? MARK_RUNNING : m->mark;
	char text[16];

	draw_f(c, x, y, 3, here ? ROLE_FOCUS : ROLE_FAINT, "%2d", m->number);
	draw_str(c, x + 3, y, 1, mark_role(mark), mark_sign(mark, c->ascii));
	draw_f(c, x + 5, y, 6, m->best ? ROLE_STRONG : ROLE_NORMAL, "%s",
	       busy(m) ? "..." : figure_text(text, m->reward));
	draw_str(c, x + 11, y, 1, ROLE_STRONG, m->best ? "*" : " ");
	if (here)
		draw_reverse(c, (struct rect){ x, y, 12, 1 });
}

static void member_draw(const struct screen_state *s, struct canvas *c, struct rect r,
                        const struct view_member *m, bool here)
{
	struct text_pane p = { 0 };
	char text[32];
	int x = r.x, mark = busy(m) ? MARK_RUNNING : m->mark;

	if (r.h < 2 || r.w < 6)
		return;
	x += draw_f(c, x, r.y, r.x + r.w - x, here ? ROLE_FOCUS : ROLE_TITLE, "%s%d ",
	            here ? "*" : "", m->number);
	x += draw_str(c, x, r.y, 1, mark_role(mark), mark_sign(mark, c->ascii)) + 1;
	if (busy(m) && !m->streaming)
		draw_str(c, x, r.y, r.x + r.w - x, ROLE_RUN, "is being built");
	else if (m->streaming)
		draw_f(c, x, r.y, r.x + r.w - x, ROLE_RUN, "%s tok", count_text(text, m->tokens));
	else
		draw_f(c, x, r.y, r.x + r.w - x, m->best ? ROLE_STRONG : ROLE_NORMAL, "%s%s",
		       figure_text(text, m->reward), m->best ? "  best" : "");
	r.y++;
	r.h--;
	if (m->failure && r.h > 4) {
		draw_str(c, r.x, r.y, r.w, ROLE_WEAK, m->failure);
		r.y++;
		r.h--;
	}
	if (!m->code.len) {
		draw_str(c, r.x, r.y, r.w, ROLE_FAINT,
		         m->streaming ? (m->tokens ? "no program in it yet" : "nothing yet")
		                      : "no program");
		return;
	}
	/* siblings scroll together: a line of one is beside the same line of the others */
	text_init(&p);
	p.follow = m->streaming;
	p.wrap = s->texts[CODE].wrap;
	p.top = m->streaming ? 0 : s->scroll;
	text_draw(&p, c, r, &m->code, here);
	if (!m->streaming && s->scroll && p.top != s->scroll) {
		/* laid out just now, it began at its top */
		p.top = s->scroll < p.n_lines ? s->scroll : p.n_lines - 1;
		draw_clear(c, r);
		text_draw(&p, c, r, &m->code, here);
	}
	text_release(&p);
}

static void group_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                       struct rect at, bool focused)
{
	const struct view_live *l = &v->live;
	struct rect r = part_padded(at);
	char title[200], fact[64], best[16] = "";
	int here = member_clamped(s, l), built = 0, over = 0, fit = r.w / 30, from, w;

	for (int i = 0; i < l->n_group; i++) {
		const struct view_member *m = &l->group[i];

		over += !busy(m);
		built += m->mark == MARK_BUILT || m->mark == MARK_WEAK;
		if (m->best)
			figure_text(best, m->reward);
	}
	snprintf(title, sizeof title, "Group of %d%s%s", l->n_group, l->task ? "  " : "",
	         l->task ? l->task : "");
	snprintf(fact, sizeof fact, "%d/%d over, %d built%s%s", over, l->n_group, built,
	         at.w >= 70 && *best ? ", best " : "", at.w >= 70 ? best : "");
	draw_pane(c, at, title, fact, focused);
	if (r.h < 3 || r.w < 14)
		return;
	fit = fit < 1 ? 1 : fit > l->n_group ? l->n_group : fit;
	if (fit < l->n_group) {
		/* all of them in brief, then as many as fit with their programs */
		int per = r.w / 14, rows = (l->n_group + per - 1) / per;

		rows = rows > r.h / 2 ? r.h / 2 : rows;
		for (int i = 0; i < l->n_group && i / per < rows; i++)
			member_brief(c, r.x + i % per * 14, r.y + i / per, &l->group[i], i == here);
		r.y += rows;
		r.h -= rows;
		part_rule(c, r, r.y);
		r.y++;
		r.h--;
	}
	from = here - fit / 2;
	from = from > l->n_group - fit ? l->n_group - fit : from < 0 ? 0 : from;
	w = (r.w + 1) / fit;
	for (int k = 0; k < fit; k++) {
		struct rect one = { r.x + k * w, r.y, w - 2, r.h };

		if (k == fit - 1)
			one.w = r.x + r.w - one.x;
		else
			for (int y = 0; y < r.h; y++)
				draw_sign(c, one.x + one.w, r.y + y, ROLE_FAINT, "│", '|');
		member_draw(s, c, one, &l->group[from + k], from + k == here);
	}
}

/* ---- the others ---- */

static void reward_draw(const struct view *v, struct canvas *c, struct rect at, bool focused)
{
	const struct view_score *k = &v->live.score;
	char fact[80] = "";
	struct rect r = draw_pane(c, at, "Reward", "", focused);

	if (k->turn > 0)
		snprintf(fact, sizeof fact, "turn %d%s%s", k->turn,
		         r.w >= 43 && k->profile ? "   profile " : "",
		         r.w >= 43 && k->profile ? k->profile : "");
	draw_pane(c, at, "Reward", fact, focused);
	if (k->n_terms == 0 && !isfinite(k->total)) {
		r = part_padded(at);
		r.y += r.h > 4;
		r.h -= r.h > 4;
		part_say(c, r, ROLE_FAINT, "No score yet: it comes with the first build.");
		return;
	}
	bars_score(c, r, k);
}

static void log_draw(struct screen_state *s, const struct view *v, struct canvas *c, struct rect at,
                     bool focused, bool with_checks)
{
	const struct view_live *l = &v->live;
	struct text_pane *p = &s->texts[LOG];
	struct rect r = part_padded(at);
	char title[64] = "Build log", fact[160], place[40];
	int turn = l->log_turn;

	if (turn > 0)
		snprintf(title, sizeof title, "Build log  turn %d", turn);
	if (!l->log.len && l->why_not_build)
		part_say(c, r, ROLE_NORMAL, l->why_not_build);
	else if (!l->log.len && r.h > 0)
		part_say(c, r, ROLE_FAINT,
		         l->phase == LIVE_BUILD ? "building ..."
		         : l->log_turn > 0 && l->score.n_terms > 0 && l->score.turn == l->log_turn
		                 ? "It printed nothing."
		                 : "Nothing was built yet: the program is built when it is "
		                   "complete, or with b.");
	else {
		text_draw(p, c, r, &l->log, focused);
		/* what is left below the last line: the checks, which are why one reads a log */
		if (with_checks && !focused && p->top == 0 && p->n_lines < r.h &&
		    l->score.n_checks && l->score.turn == l->log_turn)
			bars_checks(c,
			            (struct rect){ r.x, r.y + p->n_lines, r.w, r.h - p->n_lines },
			            l->score.checks, l->score.n_checks, NULL);
	}
	text_fact(p, place);
	snprintf(fact, sizeof fact, "%s%s%s", l->log.len ? place : "",
	         l->log.len && *place && l->log_fact ? "  " : "", l->log_fact ? l->log_fact : "");
	draw_pane(c, at, title, fact, focused);
}

/* The picture's cells in its pane: what is left by the words below it. */
static struct rect image_cells(struct rect at)
{
	struct rect r = part_inside(at);

	if (r.h > 3)
		r.h -= r.h >= 15 ? 2 : 1;
	return r;
}

static void preview_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                         struct rect at, bool focused)
{
	const struct view_live *l = &v->live;
	struct rect r = image_cells(at), in = part_inside(at);
	char title[120], fact[64];

	/* what it is of is worth more than what a pane with a picture is called */
	snprintf(title, sizeof title, "%s%s%s", at.w < 40 && l->image_of ? "" : "Preview",
	         at.w >= 40 && l->image_of ? "  " : "", l->image_of ? l->image_of : "");
	snprintf(fact, sizeof fact, "%s", l->image.which ? l->image.which : "");
	draw_pane(c, at, title, fact, focused);
	image_draw(&s->images[0], c, r, &l->image, s->image_mode);
	if (in.h > 3 && l->image.caption)
		draw_str(c, in.x + 1, r.y + r.h, in.w - 2, ROLE_NORMAL, l->image.caption);
	if (in.h >= 15)
		draw_str(c, in.x + 1, r.y + r.h + 1, in.w - 2, ROLE_FAINT,
		         "i view  < > turn  | section  D diff");
}

static int64_t turn_id(void *ctx, int row)
{
	return ((const struct view_live *)ctx)->turns[row].number;
}

static void turn_row(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct view_turn *t = &((const struct view_live *)ctx)->turns[row];
	int depth = t->depth > 4 ? 4 : t->depth, x = r.x + 2;
	char text[32];

	draw_str(c, r.x, r.y, 1, ROLE_FOCUS, selected ? ">" : " ");
	draw_str(c, x + depth, r.y, 1, mark_role(t->mark), mark_sign(t->mark, c->ascii));
	draw_f(c, x + 2 + depth, r.y, 4, t->is_best ? ROLE_STRONG : ROLE_NORMAL, "%d%s", t->number,
	       t->is_best ? "*" : "");
	draw_right(c, r.x + 15, r.y, 8, ROLE_NORMAL, figure_text(text, t->reward));
	draw_right(c, r.x + 24, r.y, 8, ROLE_NORMAL, delta_text(text, t->delta));
	if (r.w >= 33)
		draw_right(c, r.x + 33, r.y, 8, ROLE_FAINT,
		           t->tokens > 0 ? count_text(text, t->tokens) : "-");
	if (r.w >= 42) {
		if (isfinite(t->build_s))
			snprintf(text, sizeof text, "%.1f s", t->build_s);
		else
			strcpy(text, "-");
		draw_right(c, r.x + 42, r.y, 8, ROLE_FAINT, text);
	}
}

static struct list_source turn_source(const struct view *v)
{
	return (struct list_source){ .ctx = (void *)&v->live,
		                     .n = v->live.n_turns,
		                     .id = turn_id,
		                     .draw = turn_row,
		                     .height = 1 };
}

static void turns_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                       struct rect at, bool focused)
{
	const struct view_live *l = &v->live;
	struct list_source source = turn_source(v);
	struct rect r = part_padded(at);
	char fact[40] = "";

	if (l->episode > 0)
		snprintf(fact, sizeof fact, "episode %lld", (long long)l->episode);
	draw_pane(c, at, "Turns", fact, focused);
	for (int i = 1; i >= 0; i--)
		if (l->session[i] && r.h > l->n_turns + 3 + i) {
			struct rect row = rect_take_bottom(&r, 1);

			draw_str(c, row.x, row.y, row.w, ROLE_FAINT, l->session[i]);
		}
	if (r.h > l->n_turns + 2)
		rect_take_top(&r, 1);
	if (r.h > 2) {
		struct rect row = rect_take_top(&r, 1);

		draw_str(c, row.x, row.y, row.w, ROLE_FAINT, "    #   REWARD    DELTA");
		if (row.w >= 33)
			draw_str(c, row.x + 27, row.y, 6, ROLE_FAINT, "TOKENS");
		if (row.w >= 42)
			draw_str(c, row.x + 37, row.y, 5, ROLE_FAINT, "BUILD");
	}
	if (!l->n_turns)
		draw_str(c, r.x, r.y, r.w, ROLE_FAINT, "no turn yet");
	/* it follows what Code shows, until one goes there to choose */
	if (!focused || s->shown != l->code_turn) {
		s->lists[TURNS].selected = l->code_turn ? l->code_turn : l->turn;
		s->shown = l->code_turn;
	}
	list_draw(&s->lists[TURNS], c, r, &source, focused);
}

static void checks_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect at, bool focused)
{
	const struct view_score *k = &v->live.score;
	struct rect r = part_padded(at);
	char fact[64] = "";
	int all;

	if (k->n_checks)
		snprintf(fact, sizeof fact, "%d of %d   turn %d", k->checks_ok, k->n_checks,
		         k->turn);
	draw_pane(c, at, "Checks", fact, focused);
	if (!k->n_checks && !k->n_facts) {
		part_say(c, r, ROLE_FAINT,
		         "What the task asks for is measured on the solid, once one is built.");
		return;
	}
	if (r.h > k->n_checks + k->n_facts + 4)
		rect_take_top(&r, 1);
	all = bars_measured(c, r, k, s->scroll);
	if (s->scroll > 0 && s->scroll > all - r.h) {
		s->scroll = all > r.h ? all - r.h : 0;
		draw_clear(c, r);
		bars_measured(c, r, k, s->scroll);
	}
}

static void live_draw(struct screen_state *s, const struct view *v, struct canvas *c, struct rect r)
{
	struct rect at[N_PANES], tabs = r;
	enum layout_kind kind = layout_kind(r.w);

	if (shares(s->focus))
		s->side = s->focus;
	places(s, v, r, at);
	if (kind == LAYOUT_ONE && !s->zoom)
		layout_tabs(c, &tabs, pane_names, N_PANES, s->focus);
	for (int i = 0; i < N_PANES; i++) {
		/* alone there is nothing else that could have the focus: its mark would say
		 * nothing, but that is where one is */
		bool focused = i == s->focus;

		if (at[i].w < 4 || at[i].h < 3)
			continue;
		switch (i) {
		case CODE:
			if (group_shown(&v->live) && !s->certainty)
				group_draw(s, v, c, at[i], focused);
			else
				part_code(s, CODE, &v->live, c, at[i], focused);
			break;
		case REWARD:
			reward_draw(v, c, at[i], focused);
			break;
		case LOG:
			log_draw(s, v, c, at[i], focused, kind != LAYOUT_THREE);
			break;
		case PREVIEW:
			preview_draw(s, v, c, at[i], focused);
			break;
		case TURNS:
			turns_draw(s, v, c, at[i], focused);
			break;
		default:
			checks_draw(s, v, c, at[i], focused);
		}
	}
}

static struct rect live_image(const struct screen_state *s, const struct view *v, struct rect r)
{
	struct rect at[N_PANES];

	places(s, v, r, at);
	return at[PREVIEW].w < 4 || at[PREVIEW].h < 3 ? (struct rect){ 0 }
	                                              : image_cells(at[PREVIEW]);
}

/* ---- the status row ---- */

struct segment {
	char text[96];
	int rank; /* the highest goes first when there is no room */
	enum role role;
};

static const char *phase_word(const struct view_live *l)
{
	switch (l->phase) {
	case LIVE_GENERATE:
		return "generate";
	case LIVE_BUILD:
		return "build";
	case LIVE_SCORE:
	case LIVE_COMMIT:
		return "score";
	case LIVE_WAIT:
		return l->failed_last ? "repair" : "";
	default:
		return "";
	}
}

static bool live_status(struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect row)
{
	static const char *const phases[] = { "generate", "build", "score", "repair" };
	const struct view_live *l = &v->live;
	bool works = l->phase == LIVE_GENERATE || l->phase == LIVE_BUILD ||
	             l->phase == LIVE_SCORE || l->phase == LIVE_COMMIT;
	const char *now = phase_word(l);
	struct segment seg[8];
	int n = 0, x = row.x, used, wide = row.w >= 140;
	char a[32], next[160] = "";

	/* what goes on stays in sight while something does */
	if (!works && part_certain_status(s, c, row))
		return true;
	if (l->phase == LIVE_IDLE || l->phase == LIVE_DONE)
		return false;
	for (int i = 0; i < 4; i++) {
		bool here = !strcmp(phases[i], now);

		if (i)
			x += draw_str(c, x, row.y, row.x + row.w - x, ROLE_FAINT, " > ");
		x += draw_f(c, x, row.y, row.x + row.w - x, here ? ROLE_RUN : ROLE_FAINT,
		            here ? "[%s]" : "%s", phases[i]);
	}
#define SEGMENT(r, o, ...)                                                                         \
	do {                                                                                       \
		snprintf(seg[n].text, sizeof seg[n].text, __VA_ARGS__);                            \
		seg[n].rank = r;                                                                   \
		seg[n++].role = o;                                                                 \
	} while (0)
	if (wide && l->episode > 0)
		SEGMENT(7, ROLE_NORMAL, "episode %lld", (long long)l->episode);
	if (l->turn > 0 && l->turns_max > 0)
		SEGMENT(1, ROLE_NORMAL, "turn %d/%d", l->turn, l->turns_max);
	else if (l->turn > 0)
		SEGMENT(1, ROLE_NORMAL, "turn %d", l->turn);
	if (l->tokens > 0 && works) {
		if (l->tokens_max > 0)
			SEGMENT(3, ROLE_NORMAL, "%d/%d tok", l->tokens, l->tokens_max);
		else
			SEGMENT(3, ROLE_NORMAL, "%s tok", count_text(a, l->tokens));
	}
	if (isfinite(l->tokens_per_s) && l->phase == LIVE_GENERATE)
		SEGMENT(4, ROLE_NORMAL, l->tokens_per_s < 10 ? "%.1f tok/s" : "%.0f tok/s",
		        l->tokens_per_s);
	if (wide && isfinite(l->first_token_s) && works)
		SEGMENT(6, ROLE_NORMAL, "first token %.2f s", l->first_token_s);
	if (isfinite(l->elapsed_s) && works)
		SEGMENT(2, ROLE_NORMAL, "%d:%02d", (int)(l->elapsed_s / 60),
		        (int)l->elapsed_s % 60);
#undef SEGMENT
	if (l->next)
		snprintf(next, sizeof next, works ? "next: %s" : "Enter: %s", l->next);
	/* what Enter does is said first of all while it waits for it; else when there is room */
	for (;;) {
		int worst = -1;

		used = x - row.x;
		for (int i = 0; i < n; i++) {
			if (seg[i].rank)
				used += 3 + text_width(seg[i].text, strlen(seg[i].text));
			if (seg[i].rank && (worst < 0 || seg[i].rank > seg[worst].rank))
				worst = i;
		}
		if (*next)
			used += 3 + text_width(next, strlen(next));
		if (used <= row.w)
			break;
		if (works && *next)
			*next = 0;
		else if (worst >= 0)
			seg[worst].rank = 0;
		else
			break;
	}
	for (int i = 0; i < n; i++)
		if (seg[i].rank && x + 3 < row.x + row.w) {
			x += 3;
			x += draw_str(c, x, row.y, row.x + row.w - x, seg[i].role, seg[i].text);
		}
	if (*next && x + 3 < row.x + row.w) {
		int w = text_width(next, strlen(next));

		if (x + 3 + w > row.x + row.w || !works)
			draw_str(c, x + 3, row.y, row.x + row.w - x - 3, ROLE_STRONG, next);
		else
			draw_right(c, row.x + row.w, row.y, w, ROLE_FAINT, next);
	}
	return true;
}

/* ---- keys ---- */

static bool group_key(struct screen_state *s, const struct view_live *l, struct key k,
                      struct intent *out)
{
	int was = member_clamped(s, l);

	s->column = was;
	switch (k.code) {
	case KEYS_LEFT:
		s->column -= s->column > 0;
		break;
	case KEYS_RIGHT:
		s->column += s->column < l->n_group - 1;
		break;
	case KEYS_WRAP:
		s->texts[CODE].wrap = !s->texts[CODE].wrap;
		return true;
	default:
		return part_scroll(&s->scroll, k);
	}
	if (s->column != was)
		*out = (struct intent){ .kind = INTENT_SELECT,
			                .n = l->group[s->column].number,
			                .m = 1 };
	return true;
}

static bool live_key(struct screen_state *s, const struct view *v, struct key k, struct intent *out)
{
	const struct view_live *l = &v->live;

	if (k.code == KEYS_CERTAINTY && !s->certainty)
		s->focus = CODE;
	if (k.code == KEYS_CERTAINTY || k.code == KEYS_THINK)
		return part_code_key(s, CODE, l, k, out);
	switch (s->focus) {
	case CODE:
		if (group_shown(l) && !s->certainty)
			return group_key(s, l, k, out);
		return part_code_key(s, CODE, l, k, out);
	case LOG:
		return text_key(&s->texts[LOG], k, &l->log);
	case TURNS: {
		struct list_source source = turn_source(v);

		return list_key(&s->lists[TURNS], k, &source);
	}
	case CHECKS:
		return part_scroll(&s->scroll, k);
	default:
		return false;
	}
}

static void live_fill(struct screen_state *s, const struct view *v, struct intent *out)
{
	bool seen = side_of(s, v) == PREVIEW;

	switch (out->kind) {
	case INTENT_IMAGE:
		/* asked for where it is not seen: first of all it is shown, as it is */
		if (!seen && !out->text && v->live.image.which &&
		    strcmp(v->live.image.which, "off"))
			out->text = v->live.image.which;
		s->side = PREVIEW;
		break;
	case INTENT_TURN_PART:
	case INTENT_SECTION:
	case INTENT_DIFFERENCE:
		s->side = PREVIEW;
		break;
	case INTENT_REPAIR:
	case INTENT_REPAIR_EDIT:
		/* of the turn one stands on, when one went there to choose it; else of the best */
		if (s->focus == TURNS && s->lists[TURNS].selected > 0)
			out->n = s->lists[TURNS].selected;
		break;
	default:
		break;
	}
}

static int64_t live_selected(const struct screen_state *s)
{
	return s->lists[TURNS].selected;
}

static void live_select(struct screen_state *s, int64_t id)
{
	s->lists[TURNS].selected = id;
}

static const struct view_text *live_text(const struct screen_state *s, const struct view *v)
{
	return s->focus == CODE ? part_text(&v->live) : s->focus == LOG ? &v->live.log : NULL;
}

const struct screen screen_live = {
	.name = "Live",
	.panes = pane_names,
	.n_panes = N_PANES,
	.draw = live_draw,
	.key = live_key,
	.fill = live_fill,
	.status = live_status,
	.selected = live_selected,
	.select = live_select,
	.image = live_image,
	.text = live_text,
};
