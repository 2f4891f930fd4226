#include "ui/certainty.h"

#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"
#include "ui/parts.h"

static const float SURE = 0.9f, FAIR = 0.6f, UNSURE = 0.3f, SPREAD_NATS = 1.0f;

enum role certainty_role(float p)
{
	return isnan(p) ? ROLE_FAINT : p >= FAIR ? ROLE_NORMAL : p >= UNSURE ? ROLE_WEAK : ROLE_BAD;
}

char certainty_mark(float p)
{
	return isnan(p) || p >= SURE ? ' ' : p >= FAIR ? '.' : p >= UNSURE ? ':' : '!';
}

/* The first token that begins after @at, less one: the one @at belongs to; -1 before the first. */
static int token_at(const struct view_text *t, size_t at)
{
	int lo = 0, hi = t->n_tokens;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;

		if (t->tokens[mid].start <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

static size_t token_start(const struct view_text *t, int i)
{
	return t->tokens[i].start > t->len ? t->len : t->tokens[i].start;
}

/* Not before its start, whatever the view says. */
static size_t token_end(const struct view_text *t, int i)
{
	size_t end = i + 1 < t->n_tokens ? token_start(t, i + 1) : t->len;

	return end < token_start(t, i) ? token_start(t, i) : end;
}

/* Where line @line (from 0) begins; the text's end when there are fewer. */
static size_t line_start(const struct view_text *t, int line)
{
	size_t at = 0;

	while (line-- > 0) {
		const char *nl = memchr(t->text + at, '\n', t->len - at);

		if (!nl)
			return t->len;
		at = (size_t)(nl - t->text) + 1;
	}
	return at;
}

static int line_of(const struct view_text *t, size_t at)
{
	int n = 0;

	for (const char *p = t->text; (p = memchr(p, '\n', t->len - (size_t)(p - t->text)));) {
		if ((size_t)(p - t->text) >= at)
			break;
		n++;
		p++;
	}
	return n;
}

/* One line from @at, wrapped, with its row of marks below each row; @c NULL: only counts the rows
 * of cells it takes. Bytes past its end in @next. */
static int draw_line(struct canvas *c, struct rect r, int y, const struct view_text *t, int cursor,
                     size_t at, size_t *next)
{
	int column = 0, rows = 2, token = token_at(t, at);
	bool begins = true;

	while (at < t->len && t->text[at] != '\n') {
		uint32_t cp;
		int cells;
		size_t n = text_step(t->text + at, t->len - at, column, &cp, &cells);

		if (!n)
			break;
		/* what combines goes with what it stands on */
		for (int more = 0; at + n < t->len && t->text[at + n] != '\n';) {
			uint32_t cp2;
			size_t k = text_step(t->text + at + n, t->len - at - n, column + cells,
			                     &cp2, &more);

			if (!k || more)
				break;
			n += k;
		}
		while (token + 1 < t->n_tokens && t->tokens[token + 1].start <= at) {
			token++;
			begins = true;
		}
		if (column + cells > r.w) {
			column = 0;
			rows += 2;
		}
		if (c && y + rows - 2 < r.y + r.h) {
			float p = token >= 0 ? t->tokens[token].p : NAN;
			enum role role = certainty_role(p);
			int x = r.x + column, row = y + rows - 2;
			char mark[2] = { certainty_mark(p), 0 };

			draw_text(c, x, row, r.x + r.w - x, role, t->text + at, n);
			if (token >= 0 && begins && t->tokens[token].entropy > SPREAD_NATS)
				mark[0] = '?';
			if (mark[0] != ' ' && row + 1 < r.y + r.h)
				for (int i = 0; i < cells; i++) {
					draw_str(c, x + i, row + 1, 1, role, mark);
					if (mark[0] == '?')
						mark[0] = certainty_mark(p);
				}
			if (token == cursor && token >= 0)
				draw_reverse(c, (struct rect){ x, row, cells, 1 });
		}
		begins = false;
		column += cells;
		at += n;
	}
	/* the cursor on a newline: a blank past the line's end */
	if (c && cursor >= 0 && at < t->len && token_start(t, cursor) <= at &&
	    token_end(t, cursor) > at && column < r.w && y + rows - 2 < r.y + r.h)
		draw_reverse(c, (struct rect){ r.x + column, y + rows - 2, 1, 1 });
	*next = at < t->len ? at + 1 : t->len;
	return rows;
}

/* A token's text between quotation marks, with what cannot be seen made visible. */
static void quoted(struct buf *out, const char *text, size_t len)
{
	buf_addc(out, '"');
	utf8_clean_line(out, text, len);
	buf_addc(out, '"');
}

static void draw_alternatives(struct canvas *c, struct rect r, const struct view_text *t,
                              int cursor, int alternative)
{
	const struct view_token *k = &t->tokens[cursor];
	struct buf b = { 0 };
	int x = r.x;

	if (r.h < 1)
		return;
	for (int i = 0; i < r.w; i++)
		draw_sign(c, r.x + i, r.y, ROLE_FAINT, "─", '-');
	if (r.h < 2)
		return;
	quoted(&b, t->text + token_start(t, cursor), token_end(t, cursor) - token_start(t, cursor));
	x += draw_f(c, x, r.y + 1, r.w, ROLE_FAINT, "token %d of %d ", cursor + 1, t->n_tokens);
	if (r.x + r.w - x > 34)
		x += draw_str(c, x, r.y + 1, r.x + r.w - x - 24, ROLE_STRONG, buf_str(&b));
	buf_release(&b);
	if (!isnan(k->p))
		x += draw_f(c, x, r.y + 1, r.x + r.w - x, certainty_role(k->p), " p %.2f", k->p);
	if (!isnan(k->entropy))
		draw_f(c, x, r.y + 1, r.x + r.w - x, ROLE_FAINT, " entropy %.2f", k->entropy);
	if (k->n_top < 1 && r.h > 2)
		draw_str(c, r.x, r.y + 2, r.w, ROLE_FAINT, "no alternatives were kept for it");
	for (int i = 0; i < k->n_top && i < 5 && 2 + i < r.h; i++) {
		const struct view_alternative *a = &k->top[i];
		int y = r.y + 2 + i, bar = r.w > 60 ? 20 : 10;
		bool taken = a->id == k->id;

		draw_f(c, r.x, y, 7, taken ? ROLE_STRONG : ROLE_NORMAL, "%c%.3f",
		       i == alternative ? '>' : ' ', (double)a->p);
		draw_bar(c, r.x + 8, y, bar, a->p, ROLE_BAR);
		quoted(&b, a->text ? a->text : "", a->text ? strlen(a->text) : 0);
		if (taken)
			buf_adds(&b, "  taken");
		draw_str(c, r.x + 9 + bar, y, r.w - 9 - bar, taken ? ROLE_STRONG : ROLE_NORMAL,
		         buf_str(&b));
		buf_release(&b);
		if (i == alternative)
			draw_reverse(c, (struct rect){ r.x, y, r.w, 1 });
	}
}

void certainty_draw(struct text_pane *p, int alternative, struct canvas *c, struct rect r,
                    const struct view_text *t)
{
	struct rect below;
	size_t at, next;
	int line, rows;

	if (r.w < 4 || r.h < 1)
		return;
	if (!t->tokens || t->n_tokens < 1 || !t->text) {
		part_say(c, r, ROLE_FAINT,
		         "How sure the model was is not known here: it gave no probabilities.");
		return;
	}
	if (p->token < 0 || p->token >= t->n_tokens)
		p->token = p->token < 0 ? 0 : t->n_tokens - 1;
	below = rect_take_bottom(&r, r.h >= 14 ? 7 : r.h >= 8 ? 5 : r.h >= 5 ? 3 : 0);
	/* the cursor's line is in sight, whole if it can be */
	line = line_of(t, token_start(t, p->token));
	if (p->top > line || p->top < 0)
		p->top = line;
	for (;; p->top++) {
		at = line_start(t, p->top);
		rows = 0;
		for (int i = p->top; i <= line; i++, at = next)
			rows += draw_line(NULL, r, 0, t, -1, at, &next);
		if (rows <= r.h || p->top >= line)
			break;
	}
	p->page = r.h / 2;
	at = line_start(t, p->top);
	for (int y = r.y; y < r.y + r.h && at < t->len; at = next)
		y += draw_line(c, r, y, t, p->token, at, &next);
	draw_alternatives(c, below, t, p->token, alternative);
}

static bool unsure(const struct view_token *k)
{
	return k->p < FAIR || k->entropy > SPREAD_NATS;
}

static void move_lines(struct text_pane *p, const struct view_text *t, int lines)
{
	int line = line_of(t, token_start(t, p->token)) + lines, token;

	token = token_at(t, line_start(t, line < 0 ? 0 : line));
	p->token = token < 0 ? 0 : token;
}

bool certainty_key(struct text_pane *p, int *alternative, struct key k, const struct view_text *t,
                   struct intent *out)
{
	int was = p->token, n = t->n_tokens, step = 0, page = p->page > 1 ? p->page : 1;

	if (!t->tokens || n < 1 || !t->text)
		return false;
	if (p->token < 0 || p->token >= n)
		p->token = p->token < 0 ? 0 : n - 1;
	switch (k.code) {
	case KEYS_LEFT:
		p->token -= p->token > 0;
		break;
	case KEYS_RIGHT:
		p->token += p->token < n - 1;
		break;
	case KEYS_UP:
		*alternative -= *alternative > 0;
		return true;
	case KEYS_DOWN:
		*alternative += *alternative + 1 < t->tokens[p->token].n_top && *alternative < 4;
		return true;
	case KEYS_HOME:
		p->token = 0;
		break;
	case KEYS_END:
		p->token = n - 1;
		break;
	case KEYS_PAGE_UP:
	case KEYS_HALF_UP:
		move_lines(p, t, -(k.code == KEYS_PAGE_UP ? page : (page + 1) / 2));
		break;
	case ' ':
	case KEYS_PAGE_DOWN:
	case KEYS_HALF_DOWN:
		move_lines(p, t, k.code == KEYS_HALF_DOWN ? (page + 1) / 2 : page);
		break;
	case KEYS_MATCH_NEXT:
	case '}':
		step = 1;
		break;
	case KEYS_MATCH_PREVIOUS:
	case '{':
		step = -1;
		break;
	case KEYS_ENTER: {
		const struct view_token *at = &t->tokens[p->token];

		if (*alternative < at->n_top && *alternative < 5 &&
		    at->top[*alternative].id != at->id)
			*out = (struct intent){ .kind = INTENT_BRANCH,
				                .n = p->token,
				                .m = at->top[*alternative].id };
		return true;
	}
	default:
		return false;
	}
	for (int i = p->token + step; step && i >= 0 && i < n; i += step)
		if (unsure(&t->tokens[i])) {
			p->token = i;
			break;
		}
	if (p->token != was) {
		/* the likeliest of those that were not taken: what one most likely wants to try */
		const struct view_token *at = &t->tokens[p->token];

		*alternative = at->n_top > 1 && at->top[0].id == at->id && unsure(at) ? 1 : 0;
	}
	return true;
}
