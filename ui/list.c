#include "ui/pane.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

void list_init(struct list *l)
{
	*l = (struct list){ .selected = -1 };
}

void list_release(struct list *l)
{
	buf_release(&l->filter);
}

/* @word (of @n bytes) somewhere in @text, whatever the case of ASCII letters. */
static bool has_word(const char *text, const char *word, size_t n)
{
	for (; *text; text++)
		if (strncasecmp(text, word, n) == 0)
			return true;
	return false;
}

bool filter_match(const char *filter, const char *words)
{
	while (*filter) {
		size_t n;
		while (*filter == ' ')
			filter++;
		n = strcspn(filter, " ");
		if (n && !has_word(words ? words : "", filter, n))
			return false;
		filter += n;
	}
	return true;
}

static bool passes(const struct list *l, const struct list_source *s, int row)
{
	return l->filter.len == 0 || !s->words ||
	       filter_match(buf_str(&l->filter), s->words(s->ctx, row));
}

/* The source's row of the @k-th that the filter lets through; -1: there is none. */
static int nth(const struct list *l, const struct list_source *s, int k)
{
	if (l->filter.len == 0)
		return k >= 0 && k < s->n ? k : -1;
	for (int row = 0; row < s->n; row++)
		if (passes(l, s, row) && k-- == 0)
			return row;
	return -1;
}

/* Where the selected item stands among those shown, and how many are shown. */
static int place(const struct list *l, const struct list_source *s, int *shown)
{
	int at = -1;

	*shown = 0;
	for (int row = 0; row < s->n; row++)
		if (passes(l, s, row)) {
			if (at < 0 && l->selected >= 0 && s->id(s->ctx, row) == l->selected)
				at = *shown;
			(*shown)++;
		}
	return at;
}

int list_count(const struct list *l, const struct list_source *s)
{
	int shown;

	place(l, s, &shown);
	return shown;
}

static void settle(struct list *l, const struct list_source *s, int height)
{
	int at = place(l, s, &l->shown);

	l->page = height > 0 ? height : 1;
	if (l->shown == 0) {
		/* nothing to stand on; the id stays, for when the item comes back */
		l->top = 0;
		return;
	}
	if (at < 0) {
		at = l->row < l->shown ? l->row : l->shown - 1;
		l->selected = s->id(s->ctx, nth(l, s, at));
	}
	l->row = at;
	if (l->top > at)
		l->top = at;
	if (at >= l->top + l->page)
		l->top = at - l->page + 1;
	if (l->top > l->shown - l->page)
		l->top = l->shown - l->page;
	if (l->top < 0)
		l->top = 0;
}

/* Selected, but the keys go elsewhere: what is plain is strong. */
static void quietly(struct canvas *c, struct rect r)
{
	for (int y = r.y; y < r.y + r.h; y++)
		for (int x = r.x; x < r.x + r.w; x++) {
			struct cell *a = cell_at(c, x, y);

			if (a && a->role == ROLE_NORMAL)
				a->role = ROLE_STRONG;
		}
}

void list_draw(struct list *l, struct canvas *c, struct rect r, const struct list_source *s,
               bool focused)
{
	int height = s->height > 0 ? s->height : 1, row, k = 0;

	l->area = r;
	l->height = height;
	settle(l, s, r.h / height);
	for (row = nth(l, s, l->top); row >= 0 && row < s->n && k < l->page; row++) {
		struct rect item = { r.x, r.y + k * height, r.w, height };
		bool selected;
		if (item.y + height > r.y + r.h)
			break;
		if (!passes(l, s, row))
			continue;
		selected = s->id(s->ctx, row) == l->selected;
		s->draw(s->ctx, c, item, row, selected);
		if (s->reversed > 0 && s->reversed < height)
			item.h = s->reversed;
		if (selected && focused)
			draw_reverse(c, item);
		else if (selected)
			quietly(c, item);
		k++;
	}
}

bool list_key(struct list *l, struct key k, const struct list_source *s)
{
	int shown, at = place(l, s, &shown), half = l->page / 2 > 0 ? l->page / 2 : 1;

	switch (k.code) {
	case KEYS_UP:
		at--;
		break;
	case KEYS_DOWN:
		at++;
		break;
	case KEYS_HOME:
		at = 0;
		break;
	case KEYS_END:
		at = shown - 1;
		break;
	case KEYS_PAGE_UP:
		at -= l->page;
		break;
	case KEYS_PAGE_DOWN:
		at += l->page;
		break;
	case KEYS_HALF_UP:
		at -= half;
		break;
	case KEYS_HALF_DOWN:
		at += half;
		break;
	default:
		return false;
	}
	if (at >= shown)
		at = shown - 1;
	if (at < 0)
		at = 0;
	if (shown > 0) {
		l->selected = s->id(s->ctx, nth(l, s, at));
		l->row = at;
	}
	return true;
}
