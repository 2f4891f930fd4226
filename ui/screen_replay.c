/*
 * screen_replay.c - an episode as it happened: its turns as a tree, what changed from one to the
 * next, what each was asked and what it got; judging; playing it back.
 *
 * Diff, Code and (in two columns) Preview share a place; so do Score, Prompt and Log. While it
 * plays Code and Log show what stood there at that moment. A pair to be judged takes the whole
 * width.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/bars.h"
#include "ui/diff.h"
#include "ui/layout.h"
#include "ui/parts.h"
#include "ui/screen.h"

enum { TURNS, MAIN, SCORE, PROMPT, PREVIEW, LOG, N_PANES };

enum { SIDES = 100 }; /* cells from which a diff has two sides */

static const char *const pane_names[] = {
	"Turns", "Diff", "Score", "Prompt", "Preview", "Log",
};

static bool plays(const struct view_replay *r)
{
	return r->playing || r->seeking;
}

/* What is searched for is searched for in the program: it stands there as long as something is. */
static bool as_diff(const struct screen_state *s, const struct view_replay *r)
{
	return !plays(r) && !s->certainty && s->texts[MAIN].find.len == 0 &&
	       (r->pairwise || (!s->show_code && r->other > 0)) && r->n_diff > 0;
}

/* The shown turn's program, or what stood there, as what part_code() draws. */
static struct view_live program(const struct view_replay *r)
{
	struct view_live l = { 0 };

	if (plays(r))
		l = r->live;
	else {
		l.code = r->code;
		l.thinking = r->live.thinking;
		l.code_turn = r->turn;
		l.why_not = r->why_not ? r->why_not
		            : r->turn  ? "This turn has no program: its answer holds none."
		                       : NULL;
	}
	l.task = NULL;
	return l;
}

static const struct view_score *score(const struct view_replay *r)
{
	return plays(r) ? &r->live.score : &r->score;
}

static const struct view_text *log_text(const struct view_replay *r)
{
	return plays(r) ? &r->live.log : &r->log;
}

static const struct view_turn *turn_of(const struct view_replay *r, int number)
{
	for (int i = 0; i < r->n_turns; i++)
		if (r->turns[i].number == number)
			return &r->turns[i];
	return NULL;
}

/* ---- which pane stands where ---- */

static bool is_low(int pane)
{
	return pane == SCORE || pane == PROMPT || pane == LOG;
}

static int low_of(const struct screen_state *s, const struct view *v)
{
	const struct view_replay *r = &v->replay;

	if (is_low(s->focus))
		return s->focus;
	/* played: the log has the place as soon as it speaks, until there is a score */
	if (plays(r) && s->side != PROMPT && r->live.log.len &&
	    (r->live.phase == LIVE_BUILD || r->live.phase == LIVE_SCORE))
		return LOG;
	return is_low(s->side) ? s->side : SCORE;
}

static bool image_wanted(const struct screen_state *s, const struct view *v)
{
	const char *which = v->replay.image.which;

	return s->focus == PREVIEW || (s->show_image && !(which && !strcmp(which, "off")));
}

static void places(const struct screen_state *s, const struct view *v, struct rect r,
                   struct rect out[N_PANES])
{
	enum layout_kind kind = layout_kind(r.w);
	bool image = image_wanted(s, v);
	int low = low_of(s, v), h;
	struct rect below;

	memset(out, 0, N_PANES * sizeof *out);
	if (s->zoom || kind == LAYOUT_ONE) {
		if (kind == LAYOUT_ONE && !s->zoom)
			rect_take_top(&r, 1);
		out[s->focus < N_PANES ? s->focus : MAIN] = r;
		return;
	}
	if (v->replay.pairwise && s->focus != TURNS)
		; /* both programs need the width */
	else
		out[TURNS] = pane_take_left(&r, kind == LAYOUT_THREE ? 34 : 27);
	if (s->show_score && !v->replay.pairwise) {
		out[SCORE] = r;
		return;
	}
	h = kind == LAYOUT_THREE ? (r.h >= 34 ? 18 : r.h * 2 / 5)
	    : r.h >= 34          ? 14
	    : r.h >= 20          ? 8
	                         : r.h / 3 + 1;
	below = pane_take_bottom(&r, h);
	if (kind == LAYOUT_THREE) {
		struct rect right = pane_take_right(&below, below.w / 2 + 1);

		out[SCORE] = right;
		out[image          ? PREVIEW
		    : low == SCORE ? (plays(&v->replay) ? LOG : PROMPT)
		                   : low] = below;
		out[MAIN] = r;
		return;
	}
	out[low] = below;
	out[image ? PREVIEW : MAIN] = r;
}

/* ---- the tree of turns ---- */

static int64_t turn_id(void *ctx, int row)
{
	return ((const struct view_replay *)ctx)->turns[row].number;
}

static void turn_row(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct view_replay *v = ctx;
	const struct view_turn *t = &v->turns[row];
	int depth = t->depth > 4 ? 4 : t->depth < 0 ? 0 : t->depth, x = r.x + 2 + depth;
	/* the deeper, the further right, so that a number and a minus never touch */
	int reward_end = r.x + (r.w >= 30 ? 13 : 12) + depth;
	int delta_end = r.x + (r.w >= 30 ? 22 : 20) + (depth > 1 ? depth - 1 : 0);
	char text[32];

	/* the shown turn, and the one it is compared with */
	draw_str(c, r.x, r.y, 1, ROLE_FOCUS,
	         selected                                        ? ">"
	         : t->number == v->other && t->number != v->turn ? "<"
	                                                         : " ");
	draw_str(c, x, r.y, 1, mark_role(t->mark), mark_sign(t->mark, c->ascii));
	draw_f(c, x + 2, r.y, 4, t->is_best && !t->hidden ? ROLE_STRONG : ROLE_NORMAL, "%d%s",
	       t->number, t->is_best && !t->hidden ? "*" : "");
	draw_right(c, reward_end, r.y, 7, t->hidden ? ROLE_FAINT : mark_role(t->mark),
	           t->hidden ? "?" : figure_text(text, t->reward));
	if (!t->hidden && delta_end <= r.x + r.w)
		draw_right(c, delta_end, r.y, 7, ROLE_NORMAL, delta_text(text, t->delta));
	if (t->grade >= 0 && r.w < 30 && delta_end + 2 <= r.x + r.w)
		draw_f(c, delta_end + 1, r.y, 1, ROLE_MATCH, "%d", t->grade);
	if (r.w >= 30 && !t->hidden)
		draw_right(c, r.x + 30, r.y, 8, ROLE_FAINT,
		           t->tokens > 0 ? count_text(text, t->tokens) : "-");
	if (r.h > 1) {
		int used = draw_str(c, x + 2, r.y + 1, r.x + r.w - x - 2, ROLE_FAINT,
		                    t->hidden    ? ""
		                    : t->failure ? t->failure
		                                 : "-");

		if (t->grade >= 0 && r.w >= 30)
			draw_f(c, x + 4 + used, r.y + 1, r.x + r.w - x - 4 - used, ROLE_MATCH,
			       "grade %d", t->grade);
	}
	if (r.h > 2 && !t->hidden)
		draw_str(c, x + 2, r.y + 2, r.x + r.w - x - 2, ROLE_FAINT, t->note);
}

static struct list_source turn_source(const struct view *v, int h)
{
	bool notes = false;
	int n = v->replay.n_turns;
	struct list_source out = {
		.ctx = (void *)&v->replay, .n = n, .id = turn_id, .draw = turn_row, .height = 1
	};

	for (int i = 0; i < n; i++)
		notes |= v->replay.turns[i].note && *v->replay.turns[i].note;
	/* as much of each as there is room for all of them */
	out.height = notes && n * 4 <= h ? 4 : n * 3 <= h ? 3 : n * 2 <= h ? 2 : 1;
	return out;
}

/* A list's items leave blank rows between them; these are not part of the selection. */
static void turns_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                       struct rect at, bool focused)
{
	const struct view_replay *p = &v->replay;
	struct rect r = part_padded(at), row;
	struct list_source source;
	char fact[32] = "", text[32];
	int items;

	if (p->n_turns)
		snprintf(fact, sizeof fact, "%d", p->n_turns);
	draw_pane(c, at, p->blind ? "Turns  blind" : "Turns", fact, focused);
	if (r.h < 1)
		return;
	if (!p->n_turns) {
		part_say(c, r, ROLE_FAINT, "no turn");
		return;
	}
	/* it follows the shown turn when that changes, and is free between */
	if (s->shown != p->turn) {
		s->lists[TURNS].selected = p->turn;
		s->shown = p->turn;
	}
	if (r.h > p->n_turns + 2) {
		row = rect_take_top(&r, 2);
		draw_right(c, row.x + (row.w >= 30 ? 13 : 12), row.y, 10, ROLE_FAINT,
		           row.w >= 30 ? "#   REWARD" : "#  REWARD");
		draw_right(c, row.x + (row.w >= 30 ? 22 : 20), row.y, 7, ROLE_FAINT, "DELTA");
		if (row.w >= 30)
			draw_right(c, row.x + 30, row.y, 7, ROLE_FAINT, "TOKENS");
	}
	/* figures and the chart have what the turns leave */
	source = turn_source(v, r.h);
	items = p->n_turns * (source.height > 3 ? 4 : source.height);
	if (r.h >= items + 2 && !p->blind) {
		row = rect_take_bottom(&r, 1);
		draw_str(c, row.x, row.y, row.w, ROLE_FAINT, "tokens");
		draw_right(c, row.x + (row.w >= 30 ? 30 : 20), row.y, 12, ROLE_NORMAL,
		           count_text(text, p->tokens));
		row = rect_take_bottom(&r, 1);
		snprintf(text, sizeof text, "%d/%d", p->built, p->n_turns);
		draw_str(c, row.x, row.y, row.w, ROLE_FAINT, "build rate");
		draw_right(c, row.x + (row.w >= 30 ? 30 : 20), row.y, 12, ROLE_NORMAL, text);
	}
	if (r.h >= items + 10 && !p->blind) {
		row = rect_take_bottom(&r, r.h - items > 14 ? 14 : r.h - items - 1);
		draw_str(c, row.x, row.y, row.w, ROLE_TITLE, "REWARD PER TURN");
		row.y += 2;
		row.h -= 3;
		bars_turns(c, row, p->turns, p->n_turns, p->turn);
	}
	if (s->lists[TURNS].selected < 0)
		s->lists[TURNS].selected = p->turn;
	list_draw(&s->lists[TURNS], c, r, &source, focused);
}

/* ---- the diff ---- */

static uint64_t diff_of(const struct view_replay *p)
{
	return ((uint64_t)p->episode * 1000003 + (uint64_t)p->turn) * 1000003 + (uint64_t)p->other;
}

static void side_title(const struct view_replay *p, bool right, char *out, size_t size)
{
	const char *name = right ? p->right_name : p->left_name;

	if (name)
		snprintf(out, size, "%s", name);
	else
		snprintf(out, size, "Turn %d  program.py", right ? p->turn : p->other);
}

static void side_fact(const struct canvas *c, const struct view_replay *p, bool right, char *out,
                      size_t size)
{
	const struct view_turn *t = turn_of(p, right ? p->turn : p->other);
	double reward = right ? p->right_reward : p->left_reward;
	enum mark mark = right ? p->right_mark : p->left_mark;
	bool hidden = p->blind || (t && t->hidden);
	char text[16];

	if (!mark && t && !p->pairwise) {
		mark = t->mark;
		reward = t->reward;
	}
	*out = 0;
	if (!hidden && mark)
		snprintf(out, size, "%s %s", mark_sign(mark, c->ascii), figure_text(text, reward));
}

static void sides_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                       struct rect at, bool focused)
{
	const struct view_replay *p = &v->replay;
	struct rect right = pane_take_right(&at, at.w / 2 + 1);
	char title[120], fact[64];

	for (int i = 0; i < 2; i++) {
		side_title(p, i, title, sizeof title);
		side_fact(c, p, i, fact, sizeof fact);
		draw_pane(c, i ? right : at, title, fact, focused && i);
	}
	/* a pair is read from its beginning: it is judged as a whole */
	diff_draw_sides(&s->diff, c, part_padded(at), part_padded(right), p->diff, p->n_diff,
	                diff_of(p), p->pairwise);
}

static void diff_pane_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                           struct rect at, bool focused)
{
	const struct view_replay *p = &v->replay;
	char title[120], fact[64];

	if (at.w >= SIDES || p->pairwise) {
		sides_draw(s, v, c, at, focused);
		return;
	}
	snprintf(title, sizeof title, "Diff  turn %d -> %d", p->other, p->turn);
	snprintf(fact, sizeof fact, "+%d -%d", p->added, p->removed);
	draw_pane(c, at, title, fact, focused);
	diff_draw(&s->diff, c, part_padded(at), p->diff, p->n_diff, diff_of(p));
}

/* ---- what it was asked, what it got ---- */

static void main_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                      struct rect at, bool focused)
{
	const struct view_replay *p = &v->replay;
	struct view_live l = program(p);

	if (as_diff(s, p))
		diff_pane_draw(s, v, c, at, focused);
	else
		part_code(s, MAIN, &l, c, at, focused);
}

static void question_draw(const struct view *v, struct canvas *c, struct rect at, bool focused)
{
	const struct view_replay *p = &v->replay;
	struct rect r = part_padded(at);

	draw_pane(c, at, p->blind ? "Which is better?  blind" : "Which is better?",
	          "kept with who and when", focused);
	r.y += r.h > 4;
	r.h -= r.h > 4;
	if (r.h > 0)
		part_say(c, (struct rect){ r.x, r.y, r.w, 2 }, ROLE_NORMAL,
		         p->pair_question ? p->pair_question : "Which of the two is better?");
	if (r.h > 2) {
		int x = r.x;

		x += draw_str(c, x, r.y + 2, r.w, ROLE_KEY, "(");
		x += draw_str(c, x, r.y + 2, r.w, ROLE_NORMAL, " left is better    ");
		x += draw_str(c, x, r.y + 2, r.x + r.w - x, ROLE_KEY, "e");
		x += draw_str(c, x, r.y + 2, r.x + r.w - x, ROLE_NORMAL, " equal    ");
		x += draw_str(c, x, r.y + 2, r.x + r.w - x, ROLE_KEY, ")");
		draw_str(c, x, r.y + 2, r.x + r.w - x, ROLE_NORMAL, " right is better");
	}
	if (r.h > 4 && p->agreement)
		draw_str(c, r.x, r.y + 4, r.w, ROLE_FAINT, p->agreement);
}

/* Of what did not build no term is known, and none will be: the pane is for the reason. */
static bool only_failed(const struct view_score *k)
{
	for (int i = 0; i < k->n_terms; i++)
		if (isfinite(k->terms[i].value) || k->terms[i].pending)
			return false;
	return k->failure && isfinite(k->total);
}

static void failure_draw(const struct view_replay *p, const struct view_score *k, struct canvas *c,
                         struct rect r)
{
	struct view_score total = *k;
	const char *const last[] = { p->agreement, p->asked };
	int used;

	total.n_terms = 0;
	used = bars_score_brief(c, r, &total);
	for (int i = 0; i <= k->n_notes; i++) {
		r.y += used;
		r.h -= used;
		/* what comes last keeps its rows */
		for (int n = 0; i == 0 && n < 2; n++)
			if (last[n] && *last[n] && r.h > 2) {
				struct rect row = rect_take_bottom(&r, 1);

				draw_str(c, row.x, row.y, row.w, n ? ROLE_NORMAL : ROLE_FAINT,
				         last[n]);
			}
		if (r.h > 0)
			used = part_say(c, r, i ? ROLE_NORMAL : ROLE_WEAK,
			                i ? k->notes[i - 1] : k->failure);
	}
}

static void score_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                       struct rect at, bool focused)
{
	const struct view_replay *p = &v->replay;
	const struct view_score *k = score(p);
	const struct view_turn *t = turn_of(p, k->turn ? k->turn : p->turn);
	struct rect r = part_padded(at);
	char title[64], fact[96];
	int used, bad = 0;

	if (p->pairwise) {
		question_draw(v, c, at, focused);
		return;
	}
	snprintf(title, sizeof title, "Score  turn %d", k->turn ? k->turn : p->turn);
	snprintf(fact, sizeof fact, "%s%s%s",
	         at.w >= 60 && k->profile && !p->blind ? k->profile : "",
	         at.w >= 60 && k->profile && !p->blind ? "   " : "",
	         p->judged ? p->judged : "not judged");
	draw_pane(c, at, title, fact, focused);
	if (p->blind && t && t->hidden) {
		part_say(c, r, ROLE_FAINT,
		         "Hidden until it is judged (J): the model, the adapter, the order and the "
		         "reward.");
		return;
	}
	if (!k->n_terms && !isfinite(k->total)) {
		part_say(c, r, ROLE_FAINT,
		         plays(p) ? "not scored yet" : "This turn was not scored.");
		return;
	}
	if (only_failed(k)) {
		failure_draw(p, k, c, r);
		return;
	}
	if (s->show_score || at.h >= 30) {
		struct rect top = rect_take_top(&r, k->n_terms + 9 < r.h ? k->n_terms + 9 : r.h);
		int all;

		used = bars_score(c, part_inside(at), k);
		r.h += top.h - used - 1;
		r.y = top.y + used + 1;
		if (r.h < 1)
			return;
		all = bars_measured(c, r, k, s->scroll);
		if (s->scroll > 0 && s->scroll > all - r.h) {
			s->scroll = all > r.h ? all - r.h : 0;
			draw_clear(c, r);
			bars_measured(c, r, k, s->scroll);
		}
		return;
	}
	for (int i = 0; i < k->n_checks; i++)
		bad += k->checks[i].ok == 0;
	if (r.w >= 43 && r.h >= k->n_terms + 3) {
		/* the table without what does not fit: checks are worth more than notes */
		struct view_score brief = *k;

		brief.failure = NULL;
		brief.n_notes = 0;
		used = bars_score(
			c, (struct rect){ r.x - 2, r.y, r.w + 2, k->n_terms + 4 + (k->base > 0) },
			&brief);
	} else
		used = bars_score_brief(c, r, k);
	r.y += used;
	r.h -= used;
	if (r.h > 2) {
		r.y++;
		r.h--;
	}
	if (p->agreement && r.h > 3) {
		struct rect row = rect_take_bottom(&r, 1);

		draw_str(c, row.x, row.y, row.w, ROLE_FAINT, p->agreement);
	}
	if (p->asked && r.h > 1) {
		struct rect row = rect_take_bottom(&r, 1);

		draw_str(c, row.x, row.y, row.w, ROLE_NORMAL, p->asked);
	}
	if (r.h > 0 && (bad || r.h > 1))
		bars_checks(c, r, k->checks, k->n_checks, "(v shows all)");
}

static void text_pane_draw(struct screen_state *s, int pane, const struct view_text *t,
                           const char *title, const char *empty, struct canvas *c, struct rect at,
                           bool focused)
{
	struct rect r = part_padded(at);
	char fact[40] = "";

	if (t->len) {
		text_draw(&s->texts[pane], c, r, t, focused);
		text_fact(&s->texts[pane], fact);
	} else
		part_say(c, r, ROLE_FAINT, empty);
	draw_pane(c, at, title, fact, focused);
}

static void prompt_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect at, bool focused)
{
	const struct view_turn *t = turn_of(&v->replay, v->replay.turn);
	const struct view_turn *parent = t ? turn_of(&v->replay, t->parent) : NULL;
	char title[120];

	snprintf(title, sizeof title, "Prompt of turn %d", v->replay.turn);
	if (parent && parent->failure && at.w >= 50)
		snprintf(title + strlen(title), sizeof title - strlen(title), "  (repair: %s)",
		         parent->failure);
	s->texts[PROMPT].wrap = true;
	text_pane_draw(s, PROMPT, &v->replay.prompt, title, "The prompt of this turn was not kept.",
	               c, at, focused);
}

/* The picture's cells; the first half of them when two stand side by side. */
static struct rect image_cells(const struct view *v, struct rect at, bool half)
{
	struct rect r = part_inside(at);

	if (r.h > 3)
		r.h--;
	if (half && v->replay.other > 0 && r.w >= 24)
		r.w = (r.w - 1) / 2;
	return r;
}

static void preview_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                         struct rect at, bool focused)
{
	const struct view_replay *p = &v->replay;
	struct rect all = image_cells(v, at, false), r = image_cells(v, at, true);
	bool two = r.w < all.w;
	/* the terminal's own graphics have one place: the other picture is made of cells */
	enum ui_image_mode cells =
		s->image_mode == UI_IMAGE_KITTY || s->image_mode == UI_IMAGE_SIXEL ? UI_IMAGE_BLOCKS
										   : s->image_mode;
	char text[120];

	snprintf(text, sizeof text, "Preview%s%s", p->image.which ? "  " : "",
	         p->image.which ? p->image.which : "");
	draw_pane(c, at, text, p->blind ? "" : p->image.caption, focused);
	if (two) {
		struct rect left = { all.x, all.y, r.w, all.h };

		r.x = all.x + all.w - r.w;
		for (int y = 0; y < all.h; y++)
			draw_sign(c, all.x + r.w, all.y + y, ROLE_FAINT, "│", '|');
		image_draw(&s->images[1], c, left, &p->other_image, cells);
		if (all.h + 2 < at.h)
			draw_f(c, left.x + 1, left.y + left.h, left.w - 1, ROLE_FAINT, "turn %d",
			       p->other);
	}
	image_draw(&s->images[0], c, r, &p->image, s->image_mode);
	if (all.h + 2 < at.h)
		draw_f(c, r.x + 1, r.y + r.h, r.w - 1, ROLE_NORMAL, "turn %d", p->turn);
}

static struct rect replay_image(const struct screen_state *s, const struct view *v, struct rect r)
{
	struct rect at[N_PANES], all, half;

	places(s, v, r, at);
	if (at[PREVIEW].w < 4 || at[PREVIEW].h < 3)
		return (struct rect){ 0 };
	all = image_cells(v, at[PREVIEW], false);
	half = image_cells(v, at[PREVIEW], true);
	half.x = all.x + all.w - half.w;
	return half;
}

static void replay_draw(struct screen_state *s, const struct view *v, struct canvas *c,
                        struct rect r)
{
	const struct view_replay *p = &v->replay;
	struct rect at[N_PANES], tabs = r;

	if (is_low(s->focus))
		s->side = s->focus;
	if (s->focus == PREVIEW)
		s->show_image = true;
	places(s, v, r, at);
	if (layout_kind(r.w) == LAYOUT_ONE && !s->zoom)
		layout_tabs(c, &tabs, pane_names, N_PANES, s->focus);
	if (p->why_not && !p->n_turns && at[MAIN].w && !s->zoom) {
		struct rect in = part_padded(r);

		draw_pane(c, r, "Replay", "", true);
		in.y += in.h > 6 ? 2 : 0;
		in.h -= in.h > 6 ? 2 : 0;
		part_say(c, in, ROLE_NORMAL, p->why_not);
		return;
	}
	for (int i = 0; i < N_PANES; i++) {
		bool focused = i == s->focus;

		if (at[i].w < 4 || at[i].h < 3)
			continue;
		switch (i) {
		case TURNS:
			turns_draw(s, v, c, at[i], focused);
			break;
		case MAIN:
			main_draw(s, v, c, at[i], focused);
			break;
		case SCORE:
			score_draw(s, v, c, at[i], focused);
			break;
		case PROMPT:
			prompt_draw(s, v, c, at[i], focused);
			break;
		case PREVIEW:
			preview_draw(s, v, c, at[i], focused);
			break;
		default:
			text_pane_draw(s, LOG, log_text(p), "Build log",
			               isfinite(score(p)->total)
			                       ? "It printed nothing."
			                       : "Nothing was built in this turn.",
			               c, at[i], focused);
		}
	}
}

/* ---- the status row ---- */

static void clock_text(char *out, size_t size, double s)
{
	int t = isfinite(s) && s > 0 ? (int)s : 0;

	if (t >= 3600)
		snprintf(out, size, "%d:%02d:%02d", t / 3600, t / 60 % 60, t % 60);
	else
		snprintf(out, size, "%d:%02d", t / 60, t % 60);
}

static bool replay_status(struct screen_state *s, const struct view *v, struct canvas *c,
                          struct rect row)
{
	static const char *const phases[] = { "idle",   "generate", "build", "score",
		                              "commit", "wait",     "done" };
	const struct view_replay *p = &v->replay;
	char at[16], length[16], what[64], speed[16];
	int x = row.x, bar, end;
	double share;

	if (!plays(p) && part_certain_status(s, c, row))
		return true;
	/* where one pane is shown the question has no other place */
	if (!plays(p) && p->pairwise && layout_kind(row.w) == LAYOUT_ONE) {
		draw_str(c, row.x, row.y, row.w, ROLE_RUN,
		         "which is better?  ( left   e equal   ) right   q leave");
		return true;
	}
	if (!plays(p)) {
		if (!p->head)
			return false;
		draw_str(c, row.x, row.y, row.w, ROLE_NORMAL, p->head);
		return true;
	}
	clock_text(at, sizeof at, p->at_s);
	clock_text(length, sizeof length, p->length_s);
	snprintf(speed, sizeof speed, p->speed < 1 ? "%.2gx" : "%.0fx", p->speed);
	*what = 0;
	if (p->live.turn > 0)
		snprintf(what, sizeof what, "turn %d %s", p->live.turn,
		         p->live.phase <= LIVE_DONE ? phases[p->live.phase] : "");
	x += draw_f(c, x, row.y, row.w, ROLE_RUN, "[%s] %-5s", p->playing ? "playing" : "held",
	            speed);
	x += draw_f(c, x, row.y, row.x + row.w - x, ROLE_NORMAL, " %s / %s  ", at, length);
	end = row.x + row.w - text_width(what, strlen(what)) - 2;
	bar = end - x;
	share = p->length_s > 0 && isfinite(p->at_s) ? p->at_s / p->length_s : 0;
	if (bar >= 8)
		draw_bar(c, x, row.y, bar, share < 0 ? 0 : share > 1 ? 1 : share, ROLE_BAR);
	draw_right(c, row.x + row.w, row.y, row.w / 2, ROLE_NORMAL, what);
	return true;
}

/* ---- keys ---- */

static bool replay_key(struct screen_state *s, const struct view *v, struct key k,
                       struct intent *out)
{
	const struct view_replay *p = &v->replay;
	struct view_live l = program(p);

	switch (k.code) {
	case KEYS_CERTAINTY:
		if (!s->certainty)
			s->focus = MAIN;
		return part_code_key(s, MAIN, &l, k, out);
	case KEYS_THINK:
		return part_code_key(s, MAIN, &l, k, out);
	case KEYS_DIFF:
		buf_clear(&s->texts[MAIN].find);
		s->texts[MAIN].matches = 0;
		s->show_code = !s->show_code;
		s->certainty = false;
		s->show_image = false;
		if (s->focus == PREVIEW)
			s->focus = MAIN;
		return true;
	case KEYS_PROMPT:
		s->side = low_of(s, v) == PROMPT ? SCORE : PROMPT;
		if (is_low(s->focus))
			s->focus = s->side;
		s->show_score = false;
		s->show_image = s->show_image && s->side != PROMPT;
		return true;
	case KEYS_SCORE:
		s->show_score = !s->show_score;
		s->scroll = 0;
		s->focus = s->show_score ? SCORE : MAIN;
		s->side = SCORE;
		return true;
	case KEYS_ESC:
		if (s->certainty)
			return part_code_key(s, MAIN, &l, k, out);
		if (s->show_score) {
			s->show_score = false;
			s->focus = MAIN;
			return true;
		}
		if (s->focus == MAIN && s->texts[MAIN].find.len) {
			buf_clear(&s->texts[MAIN].find);
			s->texts[MAIN].matches = 0;
			return true;
		}
		/* a playback, a pair: back to the turns as they stand */
		if (plays(p) || p->pairwise) {
			*out = (struct intent){ .kind = INTENT_BACK };
			return true;
		}
		return false;
	default:
		break;
	}
	switch (s->focus) {
	case TURNS: {
		struct list_source source = turn_source(v, 0);

		return list_key(&s->lists[TURNS], k, &source);
	}
	case MAIN:
		if (as_diff(s, p))
			return diff_key(&s->diff, k, p->diff, p->n_diff);
		return part_code_key(s, MAIN, &l, k, out);
	case SCORE:
		return part_scroll(&s->scroll, k);
	case PROMPT:
		return text_key(&s->texts[PROMPT], k, &p->prompt);
	case LOG:
		return text_key(&s->texts[LOG], k, log_text(p));
	default:
		return false;
	}
}

static void replay_fill(struct screen_state *s, const struct view *v, struct intent *out)
{
	switch (out->kind) {
	case INTENT_IMAGE:
		/* asked for where it is not seen: first of all it is shown, as it is */
		if (!image_wanted(s, v) && !out->text && v->replay.image.which &&
		    strcmp(v->replay.image.which, "off"))
			out->text = v->replay.image.which;
		s->show_image = true;
		break;
	case INTENT_TURN_PART:
	case INTENT_SECTION:
	case INTENT_DIFFERENCE:
		s->show_image = true;
		break;
	case INTENT_FORK:
		out->n = v->replay.turn;
		break;
	default:
		break;
	}
}

static int64_t replay_selected(const struct screen_state *s)
{
	return s->lists[TURNS].selected;
}

static void replay_select(struct screen_state *s, int64_t id)
{
	s->lists[TURNS].selected = id;
}

static const struct view_text *replay_text(const struct screen_state *s, const struct view *v)
{
	const struct view_replay *p = &v->replay;

	switch (s->focus) {
	case MAIN:
		return plays(p) ? part_text(&p->live) : &p->code;
	case PROMPT:
		return &p->prompt;
	case LOG:
		return log_text(p);
	default:
		return NULL;
	}
}

static void replay_init(struct screen_state *s)
{
	s->focus = MAIN;
	s->side = SCORE;
	s->texts[PROMPT].wrap = true;
	s->texts[PROMPT].follow = false;
	s->texts[MAIN].follow = false;
	s->texts[LOG].follow = false;
}

const struct screen screen_replay = {
	.name = "Replay",
	.panes = pane_names,
	.n_panes = N_PANES,
	.init = replay_init,
	.draw = replay_draw,
	.key = replay_key,
	.fill = replay_fill,
	.status = replay_status,
	.selected = replay_selected,
	.select = replay_select,
	.image = replay_image,
	.text = replay_text,
};
