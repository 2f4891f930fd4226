/*
 * text.c - a text in a pane: laid out as it grows, scrolled, followed, wrapped, searched.
 *
 * Only what changed is laid out again, and only what is seen is coloured. Lines longer than
 * PIECE bytes are laid out in pieces, so that no text of a stranger's costs more than its share.
 */
#include "ui/pane.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ui/highlight.h"

enum { PIECE = 4096 };

void text_init(struct text_pane *p)
{
	*p = (struct text_pane){ .token = -1, .at_line = -1, .follow = true };
}

void text_release(struct text_pane *p)
{
	free(p->lines);
	p->lines = NULL;
	p->n_lines = p->cap_lines = 0;
	p->len = 0;
	p->id = p->version = 0;
	buf_release(&p->find);
}

/* ---- laying out ---- */

static bool line_add(struct text_pane *p, struct text_line line)
{
	if (p->n_lines == p->cap_lines) {
		int cap = p->cap_lines ? p->cap_lines * 2 : 64;
		struct text_line *lines = reallocarray(p->lines, (size_t)cap, sizeof(*lines));
		if (!lines)
			return false;
		p->lines = lines;
		p->cap_lines = cap;
	}
	p->lines[p->n_lines++] = line;
	return true;
}

/* Where line @i ends, without its newline. */
static size_t line_end(const struct text_pane *p, const struct view_text *t, int i)
{
	size_t end = i + 1 < p->n_lines ? p->lines[i + 1].at : t->len;

	if (end > p->lines[i].at && t->text[end - 1] == '\n')
		end--;
	if (end > p->lines[i].at && t->text[end - 1] == '\r')
		end--;
	return end;
}

/* Lines from the last one that is there on; without memory there are fewer. */
static void lay_rest(struct text_pane *p, const struct view_text *t)
{
	struct text_line next = { .number = 1 };

	if (p->n_lines == 0 && !line_add(p, next))
		return;
	for (;;) {
		struct text_line *l = &p->lines[p->n_lines - 1];
		size_t rest = t->len - l->at, n = rest < PIECE ? rest : PIECE;
		const char *nl = n ? memchr(t->text + l->at, '\n', n) : NULL;
		if (!nl && rest <= PIECE)
			return;
		if (nl)
			n = (size_t)(nl - (t->text + l->at)) + 1;
		else
			while (n > PIECE - 4 && ((unsigned char)t->text[l->at + n] & 0xc0) == 0x80)
				n--; /* a piece ends between characters */
		next.at = l->at + n;
		next.number = l->number + (nl != NULL);
		next.more = !nl;
		next.state =
			highlight_line(t->kind, t->text + l->at, nl ? n - 1 : n, l->state, NULL);
		if (!line_add(p, next))
			return;
	}
}

static void lay_anew(struct text_pane *p, const struct view_text *t)
{
	size_t keep = 0;

	if (!t->text) {
		p->n_lines = 0;
		return;
	}
	if (p->n_lines && t->id == p->id && t->version == p->version && t->len == p->len)
		return;
	if (t->id != p->id || !p->n_lines) {
		p->top = p->left = p->sub = 0;
		p->follow = t->streaming || t->kind == TEXT_LOG;
		p->at_line = -1;
		p->token = -1;
		p->seen = -1;
	} else if (t->version == p->version + 1) {
		keep = t->kept < p->len ? t->kept : p->len;
		keep = keep < t->len ? keep : t->len;
	}
	while (p->n_lines > 0 && (p->lines[p->n_lines - 1].at > keep || keep == 0))
		p->n_lines--;
	p->id = t->id;
	p->version = t->version;
	p->len = t->len;
	lay_rest(p, t);
}

static void lay(struct text_pane *p, const struct view_text *t)
{
	lay_anew(p, t);
	/* where one stood before a search may be beyond the end of what the text is now */
	if (p->top < 0 || p->top >= p->n_lines) {
		p->top = p->n_lines > 0 ? p->n_lines - 1 : 0;
		p->sub = 0;
	}
}

/* Lines to show: a last one that is empty shows only while more is to come. */
static int shown_lines(const struct text_pane *p, const struct view_text *t)
{
	int n = p->n_lines;

	if (n > 1 && !t->streaming && p->lines[n - 1].at >= t->len)
		n--;
	return n;
}

/* Bytes of the text from @s that go into one row of @w cells. Prose breaks at spaces. */
static size_t row_bytes(const char *s, size_t len, int w, bool prose)
{
	size_t i = 0, space = 0;
	int x = 0;

	while (i < len) {
		uint32_t cp;
		int cells;
		size_t n = text_step(s + i, len - i, x, &cp, &cells);
		if (x + cells > w && x > 0)
			return prose && space ? space : i;
		x += cells;
		i += n;
		if (cp == ' ')
			space = i;
	}
	return len;
}

static int line_rows(const struct text_pane *p, const struct view_text *t, int i, int w)
{
	size_t at = p->lines[i].at, end = line_end(p, t, i);
	int rows = 0;

	if (!p->wrap || w <= 0)
		return 1;
	do {
		at += row_bytes(t->text + at, end - at, w, t->kind == TEXT_PLAIN);
		rows++;
	} while (at < end);
	return rows;
}

/* ---- where one stands ---- */

/* The top from which the last line is the last row. */
static void bottom(struct text_pane *p, const struct view_text *t, int rows, int *top, int *sub)
{
	int i = shown_lines(p, t) - 1;

	*sub = 0;
	for (; i > 0; i--) {
		int n = line_rows(p, t, i, p->columns);
		if (n >= rows) {
			*sub = n - rows;
			break;
		}
		rows -= n;
		if (rows <= 0)
			break;
	}
	*top = i < 0 ? 0 : i;
	/* the loop ended above the first line with room left: all of it fits */
	if (i == 0) {
		int n = line_rows(p, t, 0, p->columns);
		*sub = n > rows ? n - rows : 0;
	} else if (rows <= 0 && *sub == 0) {
		*top = i;
	}
}

/* Rows from the top to the end; counted no further than @max. */
static int rows_below(const struct text_pane *p, const struct view_text *t, int max)
{
	int n = -p->sub, lines = shown_lines(p, t);

	for (int i = p->top; i < lines && n <= max; i++)
		n += line_rows(p, t, i, p->columns);
	return n;
}

static void settle(struct text_pane *p, const struct view_text *t)
{
	int top, sub, lines = shown_lines(p, t);

	p->shown = lines;
	if (p->seen < 0)
		p->seen = lines; /* all of another text is there at once: none of it was missed */
	if (p->top >= lines)
		p->top = lines - 1;
	if (p->top < 0)
		p->top = 0;
	if (!p->wrap)
		p->sub = 0;
	if (p->follow) {
		p->missed = 0;
		p->seen = lines;
		if (rows_below(p, t, p->page) > p->page) {
			/* by half a pane at a time: a line in a slow terminal is dear */
			bottom(p, t, t->streaming ? (p->page + 1) / 2 : p->page, &top, &sub);
			p->top = top;
			p->sub = sub;
		} else if (p->top > 0 && !t->streaming) {
			bottom(p, t, p->page, &top, &sub);
			if (top < p->top || (top == p->top && sub < p->sub)) {
				p->top = top;
				p->sub = sub;
			}
		}
	} else {
		p->missed = lines > p->seen ? lines - p->seen : 0;
		bottom(p, t, p->page, &top, &sub);
		if (p->top > top || (p->top == top && p->sub > sub)) {
			p->top = top;
			p->sub = sub;
		}
	}
}

static void scroll(struct text_pane *p, const struct view_text *t, int rows)
{
	int lines = shown_lines(p, t);

	if (rows < 0 && p->follow) {
		p->follow = false;
		p->seen = lines;
	}
	for (; rows > 0; rows--) {
		if (p->sub + 1 < line_rows(p, t, p->top, p->columns)) {
			p->sub++;
		} else if (p->top + 1 < lines) {
			p->top++;
			p->sub = 0;
		}
	}
	for (; rows < 0; rows++) {
		if (p->sub > 0) {
			p->sub--;
		} else if (p->top > 0) {
			p->top--;
			p->sub = line_rows(p, t, p->top, p->columns) - 1;
		}
	}
	settle(p, t);
}

/* The line that byte @at is in. */
static int line_of(const struct text_pane *p, size_t at)
{
	int lo = 0, hi = p->n_lines - 1;

	while (lo < hi) {
		int mid = (lo + hi + 1) / 2;
		if (p->lines[mid].at <= at)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

/* Brings byte @at into sight, and @cells after it. */
static void show(struct text_pane *p, const struct view_text *t, size_t at, int cells)
{
	int line, x;

	if (p->n_lines == 0)
		return;
	line = line_of(p, at);
	if (p->follow) {
		p->follow = false;
		p->seen = shown_lines(p, t);
	}
	if (line < p->top || line >= p->top + p->page || (p->wrap && line > p->top)) {
		int rows = 0;
		for (int i = p->top; i < line && rows < p->page; i++)
			rows += line_rows(p, t, i, p->columns);
		if (line < p->top || rows - p->sub >= p->page - 1) {
			p->top = line - p->page / 3 < 0 ? 0 : line - p->page / 3;
			p->sub = 0;
		}
	}
	x = text_width(t->text + p->lines[line].at, at - p->lines[line].at);
	/* how wide it is shows when it is first drawn */
	if (!p->wrap && p->columns > 0 && (x < p->left || x + cells > p->left + p->columns))
		p->left = x + cells <= p->columns  ? 0
		          : x - p->columns / 3 < 0 ? 0
		                                   : x - p->columns / 3;
	settle(p, t);
}

/* ---- finding ---- */

static bool has_capital(const char *s)
{
	for (; *s; s++)
		if (isupper((unsigned char)*s))
			return true;
	return false;
}

/* The first place of @what in [from, to); to when there is none. */
static size_t find_in(const char *text, size_t from, size_t to, const char *what)
{
	size_t n = strlen(what);
	bool exact = has_capital(what);

	if (n == 0 || to < from + n)
		return to;
	for (size_t i = from; i + n <= to; i++)
		if (exact ? memcmp(text + i, what, n) == 0 : strncasecmp(text + i, what, n) == 0)
			return i;
	return to;
}

int text_find(struct text_pane *p, const struct view_text *t, const char *what, int direction)
{
	size_t first = t->len, last = t->len, before = t->len, after = t->len, from, n;
	char *mine = strdup(what ? what : ""); /* @what may be what stands in find already */

	if (!mine)
		return 0;
	n = strlen(mine);
	buf_clear(&p->find);
	buf_adds(&p->find, mine);
	p->matches = 0;
	lay(p, t);
	if (n == 0 || p->n_lines == 0 || !t->text) {
		p->at_line = -1;
		free(mine);
		return 0;
	}
	from = p->at_line >= 0 && p->at < t->len ? p->at : p->lines[p->top].at;
	for (size_t i = 0; (i = find_in(t->text, i, t->len, mine)) < t->len; i += n) {
		p->matches++;
		if (first == t->len)
			first = i;
		last = i;
		if (i < from)
			before = i;
		if (after == t->len &&
		    (i > from || (i == from && (direction == 0 || p->at_line < 0))))
			after = i;
	}
	free(mine);
	if (p->matches == 0) {
		p->at_line = -1;
		return 0;
	}
	/* round at the ends */
	p->at = direction < 0 ? (before < t->len ? before : last)
	                      : (after < t->len ? after : first);
	p->at_line = line_of(p, p->at);
	show(p, t, p->at, (int)n);
	return p->matches;
}

/* ---- keys ---- */

static void to_end(struct text_pane *p, const struct view_text *t)
{
	p->follow = true;
	bottom(p, t, p->page, &p->top, &p->sub);
}

bool text_key(struct text_pane *p, struct key k, const struct view_text *t)
{
	int page = p->page > 1 ? p->page - 1 : 1, half = p->page > 1 ? p->page / 2 : 1;

	lay(p, t);
	if (p->n_lines == 0)
		return false;
	switch (k.code) {
	case KEYS_UP:
		scroll(p, t, -1);
		return true;
	case KEYS_DOWN:
		scroll(p, t, 1);
		return true;
	case KEYS_LEFT:
		if (!p->wrap)
			p->left = p->left > 8 ? p->left - 8 : 0;
		return true;
	case KEYS_RIGHT:
		if (!p->wrap && p->left < PIECE)
			p->left += 8;
		return true;
	case KEYS_HOME:
		p->follow = false;
		p->seen = shown_lines(p, t);
		p->top = p->sub = p->left = 0;
		settle(p, t);
		return true;
	case KEYS_END:
	case KEYS_FOLLOW:
		to_end(p, t);
		settle(p, t);
		return true;
	case KEYS_PAGE_UP:
		scroll(p, t, -page);
		return true;
	case KEYS_PAGE_DOWN:
	case ' ':
		scroll(p, t, page);
		return true;
	case KEYS_HALF_UP:
		scroll(p, t, -half);
		return true;
	case KEYS_HALF_DOWN:
		scroll(p, t, half);
		return true;
	case KEYS_WRAP:
		p->wrap = !p->wrap;
		p->left = p->sub = 0;
		settle(p, t);
		return true;
	case KEYS_MATCH_NEXT:
		text_find(p, t, buf_str(&p->find), 1);
		return true;
	case KEYS_MATCH_PREVIOUS:
		text_find(p, t, buf_str(&p->find), -1);
		return true;
	default:
		return false;
	}
}

/* ---- drawing ---- */

/* A row: the bytes [i, end) of a line, from cell @skip of it on. */
static int draw_row(struct canvas *c, int x, int y, int w, const char *s, size_t i, size_t end,
                    int skip, const uint8_t *roles)
{
	int column = 0;

	while (i < end && column - skip < w) {
		uint32_t cp;
		int cells;
		size_t n = text_step(s + i, end - i, column, &cp, &cells);
		size_t run = i + n;
		int at = column - skip, width = cells;
		/* as far as the role goes */
		if (s[i] != '\t')
			while (run < end && s[run] != '\t' && roles[run] == roles[i] && at >= 0 &&
			       at + width < w) {
				size_t m =
					text_step(s + run, end - run, column + width, &cp, &cells);
				run += m;
				width += cells;
			}
		if (at >= 0 && s[i] != '\t')
			draw_text(c, x + at, y, w - at, roles[i], s + i, run - i);
		else if (at < 0 && at + width > 0)
			draw_str(c, x, y, at + width, ROLE_NORMAL, " "); /* half of a wide one */
		column += width;
		i = run;
	}
	return column - skip < 0 ? 0 : column - skip > w ? w : column - skip;
}

static void gutter(struct canvas *c, struct rect r, int y, int w, const struct text_line *l,
                   bool bad)
{
	char number[16];

	if (w <= 0 || l->more)
		return;
	snprintf(number, sizeof(number), "%d", l->number);
	draw_right(c, r.x + w - 1, y, w - 1, bad ? ROLE_BAD : ROLE_FAINT, number);
	if (bad)
		draw_str(c, r.x, y, 1, ROLE_BAD, mark_sign(MARK_FAILED, c->ascii));
}

void text_draw(struct text_pane *p, struct canvas *c, struct rect r, const struct view_text *t,
               bool focused)
{
	int gutter_w = 0, y, lines, sub;
	const char *find = buf_str(&p->find);
	size_t find_len = strlen(find);

	(void)focused;
	if (!t->text || r.w <= 0 || r.h <= 0)
		return;
	lay(p, t);
	lines = shown_lines(p, t);
	if (p->numbers && p->n_lines > 0) {
		gutter_w = 4;
		for (int n = p->lines[lines - 1].number; n > 999 && gutter_w < 9; n /= 10)
			gutter_w++;
		gutter_w = gutter_w + 1 < r.w / 2 ? gutter_w + 1 : 0;
	}
	p->area = r;
	p->page = r.h;
	p->columns = r.w - gutter_w;
	settle(p, t);
	y = r.y;
	sub = p->sub;
	for (int i = p->top; i < lines && y < r.y + r.h; i++) {
		uint8_t roles[PIECE + 8];
		const struct text_line *l = &p->lines[i];
		const char *s = t->text + l->at;
		size_t len = line_end(p, t, i) - l->at, from = 0;
		bool bad = t->error_line > 0 && l->number == t->error_line;
		int used = 0, row = 0;
		highlight_line(t->kind, s, len, l->state, roles);
		for (size_t k = 0; find_len && (k = find_in(s, k, len, find)) < len; k += find_len)
			memset(roles + k, ROLE_MATCH, find_len);
		if (sub == 0)
			gutter(c, r, y, gutter_w, l, bad);
		do {
			size_t n = p->wrap ? row_bytes(s + from, len - from, p->columns,
			                               t->kind == TEXT_PLAIN)
			                   : len - from;
			if (row++ >= sub) {
				used = draw_row(c, r.x + gutter_w, y, p->columns, s, from, from + n,
				                p->left, roles);
				y++;
			}
			from += n;
		} while (from < len && y < r.y + r.h);
		sub = 0;
		if (bad && from >= len && used + 6 < p->columns)
			draw_f(c, r.x + gutter_w + used + 2, y - 1, p->columns - used - 2, ROLE_BAD,
			       "%s %s", mark_sign(MARK_FAILED, c->ascii), t->error ? t->error : "");
		if (i == lines - 1 && t->streaming && used < p->columns)
			draw_sign(c, r.x + gutter_w + used, y - 1, ROLE_NORMAL, "▏", '_');
	}
}

const char *text_fact(const struct text_pane *p, char *out)
{
	*out = '\0';
	if (p->matches > 0)
		snprintf(out, 40, "%d found", p->matches);
	else if (p->missed > 0)
		snprintf(out, 40, "+%d", p->missed);
	else if (p->shown > p->page && p->top < p->shown && p->shown <= p->n_lines)
		snprintf(out, 40, "%d/%d", p->lines[p->top].number, p->lines[p->shown - 1].number);
	return out;
}
