#include "ui/parts.h"

#include <stdio.h>
#include <string.h>

#include "ui/bars.h"
#include "ui/certainty.h"

struct rect part_inside(struct rect r)
{
	return r.w < 2 || r.h < 2 ? (struct rect){ r.x, r.y, 0, 0 }
	                          : (struct rect){ r.x + 1, r.y + 1, r.w - 2, r.h - 2 };
}

struct rect part_padded(struct rect r)
{
	r = part_inside(r);
	if (r.w > 4) {
		r.x++;
		r.w -= 2;
	}
	return r;
}

int part_say(struct canvas *c, struct rect r, enum role role, const char *text)
{
	int rows = 0;

	while (text && *text && rows < r.h && r.w > 0) {
		size_t len = strcspn(text, "\n"), whole = len;

		while (text_width(text, len) > r.w) {
			size_t cut = len;

			while (cut > 0 && text[cut - 1] != ' ')
				cut--;
			if (cut < 2)
				break;
			len = cut - 1;
		}
		draw_text(c, r.x, r.y + rows++, r.w, role, text, len);
		text += len == whole && text[len] == '\n' ? len + 1 : len;
		text += strspn(text, " ");
	}
	return rows;
}

const struct view_text *part_text(const struct view_live *l)
{
	return l->code.len || !l->answer.len ? &l->code : &l->answer;
}

const struct view_text *part_certain(const struct view_live *l)
{
	return l->code.n_tokens || !l->answer.n_tokens ? part_text(l) : &l->answer;
}

static void code_title(const struct view_live *l, const char *word, char *out, size_t size)
{
	int turn = l->code_turn ? l->code_turn : l->turn, n;

	n = snprintf(out, size, "%s%s%s", word, l->task ? "  " : "", l->task ? l->task : "");
	if (turn > 0 && n > 0 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, "  turn %d", turn);
}

/* What stands there before there is code. */
static void nothing_yet(struct canvas *c, struct rect r, const struct view_live *l)
{
	char text[160];
	int row;

	r.y += r.h > 6;
	r.h -= r.h > 6;
	if (l->why_not) {
		part_say(c, r, ROLE_NORMAL, l->why_not);
		return;
	}
	if (l->phase == LIVE_GENERATE) {
		snprintf(text, sizeof text, "%s",
		         l->thinking.len ? "it thinks; the program comes after"
		                         : "the prompt is being read; nothing has come yet");
		part_say(c, r, ROLE_FAINT, text);
		return;
	}
	if (!l->task) {
		part_say(c, r, ROLE_NORMAL,
		         "No task is open. Choose one on the first screen (1), Enter opens it.");
		return;
	}
	row = part_say(c, r, ROLE_NORMAL, "Nothing has been generated for this task here.");
	if (row < r.h) {
		r.y += row;
		r.h -= row;
		snprintf(text, sizeof text, "Enter: %s", l->next ? l->next : "start");
		part_say(c, r, ROLE_FAINT, text);
	}
}

void part_rule(struct canvas *c, struct rect r, int y)
{
	for (int i = 0; i < r.w; i++)
		draw_sign(c, r.x + i, y, ROLE_FAINT, "─", '-');
}

/* The thinking, folded to a line or open above the program; takes its rows off @r. */
static void thinking_draw(struct screen_state *s, const struct view_live *l, struct canvas *c,
                          struct rect *r)
{
	const struct view_text *t = &l->thinking;
	char n[32];
	struct rect top;

	if (!t->len)
		return;
	if (!s->think) {
		/* a line of a small pane is not spent on what is over */
		if (r->h >= 8 && (t->streaming || r->h >= 24 || !part_text(l)->len)) {
			top = rect_take_top(r, 1);
			draw_f(c, top.x, top.y, top.w, t->streaming ? ROLE_RUN : ROLE_FAINT,
			       "%s %s characters (t shows them)",
			       t->streaming ? "thinking," : "thought,",
			       count_text(n, (int64_t)t->len));
		}
		return;
	}
	top = rect_take_top(r, part_text(l)->len ? (r->h * 2 + 3) / 5 : r->h - 1);
	if (top.h < 2)
		return;
	draw_f(c, top.x, top.y, top.w, ROLE_TITLE, "thinking, %s characters (t folds them)",
	       count_text(n, (int64_t)t->len));
	s->texts[PART_THINKING].wrap = true;
	text_draw(&s->texts[PART_THINKING], c, (struct rect){ top.x, top.y + 1, top.w, top.h - 2 },
	          t, false);
	part_rule(c, top, top.y + top.h - 1);
}

/* What failed is shown once, as soon as it is known; after that the reader goes where he wants. */
static void error_in_sight(struct screen_state *s, struct text_pane *p, struct canvas *c,
                           struct rect r, const struct view_text *t, bool focused)
{
	uint64_t key = t->id * 1000003 + (uint64_t)t->error_line;
	int line = 0;

	if (t->error_line <= 0 || t->streaming || s->error_of == key)
		return;
	s->error_of = key;
	while (line + 1 < p->n_lines && p->lines[line].number < t->error_line)
		line++;
	if (line < p->top + r.h)
		return;
	p->follow = false;
	p->top = line - r.h * 2 / 3;
	draw_clear(c, r);
	text_draw(p, c, r, t, focused);
}

void part_code(struct screen_state *s, int pane, const struct view_live *l, struct canvas *c,
               struct rect at, bool focused)
{
	const struct view_text *t = part_text(l);
	struct text_pane *p = &s->texts[pane];
	struct rect r = part_padded(at);
	char title[200], fact[80], place[40];

	if (s->certainty) {
		code_title(l, "Certainty", title, sizeof title);
		draw_pane(c, at, title, r.w >= 60 ? "n next unsure  u leave" : "u leave", focused);
		certainty_draw(&s->texts[PART_CERTAIN], s->alternative, c, r, part_certain(l));
		return;
	}
	thinking_draw(s, l, c, &r);
	if (l->early && t->streaming && r.h > 3) {
		char text[300];
		struct rect row;

		snprintf(text, sizeof text, "%s so far: %s", mark_sign(MARK_FAILED, c->ascii),
		         l->early);
		row = rect_take_bottom(&r, text_width(text, strlen(text)) > r.w && r.h > 5 ? 2 : 1);
		part_say(c, row, ROLE_BAD, text);
	}
	p->numbers = r.w >= 60;
	if (t->len) {
		text_draw(p, c, r, t, focused);
		error_in_sight(s, p, c, r, t, focused);
	} else if (r.h > 0 && !(s->think && l->thinking.len))
		nothing_yet(c, r, l);
	text_fact(p, place);
	if (!t->len)
		fact[0] = 0;
	else if (t->streaming && p->follow)
		snprintf(fact, sizeof fact, at.w >= 60 ? "following  line %d" : "following",
		         p->n_lines);
	else
		snprintf(fact, sizeof fact, "%s", place);
	code_title(l, t == &l->answer ? "Answer" : "Code", title, sizeof title);
	draw_pane(c, at, title, fact, focused);
}

/* The cursor's first place: the first token of what is being read. */
static void certain_begin(struct screen_state *s, int pane, const struct view_live *l)
{
	const struct view_text *t = part_certain(l);
	const struct text_pane *p = &s->texts[pane];
	int *token = &s->texts[PART_CERTAIN].token;

	*token = 0;
	if (t == part_text(l) && p->top > 0 && p->top < p->n_lines)
		while (*token + 1 < t->n_tokens && t->tokens[*token].start < p->lines[p->top].at)
			(*token)++;
}

bool part_code_key(struct screen_state *s, int pane, const struct view_live *l, struct key k,
                   struct intent *out)
{
	if (s->certainty) {
		if (k.code == KEYS_ESC || k.code == 'q' || k.code == KEYS_CERTAINTY) {
			s->certainty = false;
			return true;
		}
		return certainty_key(&s->texts[PART_CERTAIN], &s->alternative, k, part_certain(l),
		                     out);
	}
	if (k.code == KEYS_CERTAINTY) {
		s->certainty = true;
		s->alternative = 0;
		certain_begin(s, pane, l);
		return true;
	}
	if (k.code == KEYS_THINK) {
		s->think = !s->think;
		return true;
	}
	if (s->think && l->thinking.len)
		return text_key(&s->texts[PART_THINKING], k, &l->thinking);
	return text_key(&s->texts[pane], k, part_text(l));
}

bool part_certain_status(const struct screen_state *s, struct canvas *c, struct rect row)
{
	if (!s->certainty)
		return false;
	draw_str(c, row.x, row.y, row.w, ROLE_RUN,
	         row.w >= 100
	                 ? "how sure: left right by token   n N to the unsure ones   up down an "
	                   "alternative   Enter goes on from it"
	         : row.w >= 70
	                 ? "left right token   n N unsure ones   up down what else   Enter go on "
	                   "from it"
	                 : "n unsure   up down what else   Enter go on from it");
	return true;
}

bool part_scroll(int *at, struct key k)
{
	switch (k.code) {
	case KEYS_UP:
		*at -= *at > 0;
		return true;
	case KEYS_DOWN:
		*at += 1;
		return true;
	case KEYS_HOME:
		*at = 0;
		return true;
	case KEYS_END:
		*at = 1 << 20;
		return true;
	case KEYS_HALF_UP:
	case KEYS_PAGE_UP:
		*at = *at > 8 ? *at - 8 : 0;
		return true;
	case KEYS_HALF_DOWN:
	case KEYS_PAGE_DOWN:
	case ' ':
		*at += 8;
		return true;
	default:
		return false;
	}
}
