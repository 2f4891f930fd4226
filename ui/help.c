#include "ui/help.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/screen.h"

/* The rows of the keymap that are shown; they are filtered here, and the list has no words. */
struct lines {
	const struct keymap *keys;
	int rows[512], n;
};

void help_open(struct help *h)
{
	h->open = true;
	buf_clear(&h->list.filter);
	h->list.selected = -1;
	h->list.top = h->list.row = 0;
}

void help_release(struct help *h)
{
	list_release(&h->list);
}

/* The screen's own first. */
static void gather(struct lines *l, const struct keymap *k, int screen, const char *filter)
{
	l->keys = k;
	l->n = 0;
	for (int own = 1; own >= 0; own--)
		for (int i = 0; i < k->n_rows && l->n < 512; i++) {
			const struct keymap_row *r = &k->rows[i];
			char key[16], what[96], words[512];
			if (r->screen != (own ? screen : KEYMAP_ALL))
				continue;
			snprintf(words, sizeof(words), "%s %s %s", key_text(r->key, key),
			         keymap_action(r), keymap_words(r, what));
			if (filter_match(filter, words))
				l->rows[l->n++] = i;
		}
}

static int64_t line_id(void *ctx, int row)
{
	const struct lines *l = ctx;

	return l->rows[row];
}

static void line_draw(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct lines *l = ctx;
	const struct keymap_row *k = &l->keys->rows[l->rows[row]];
	const struct keymap_row *before = row ? &l->keys->rows[l->rows[row - 1]] : NULL;
	char key[16], heading[24], words[96];
	struct rect head = rect_take_left(&r, 13);

	(void)selected;
	/* the heading stands at the first of its rows */
	if (!before || before->heading != k->heading) {
		snprintf(heading, sizeof(heading), "%s", l->keys->headings[k->heading]);
		for (char *p = heading; *p; p++)
			*p = (char)toupper((unsigned char)*p);
		draw_str(c, head.x + 1, head.y, head.w - 2, ROLE_TITLE, heading);
	}
	draw_str(c, r.x, r.y, 9, ROLE_KEY, key_text(k->key, key));
	draw_str(c, r.x + 10, r.y, r.w - 11, ROLE_NORMAL, keymap_words(k, words));
}

static struct list_source source(struct lines *l)
{
	return (struct list_source){
		.ctx = l, .n = l->n, .id = line_id, .draw = line_draw, .height = 1
	};
}

void help_draw(struct help *h, const struct keymap *k, int screen, struct canvas *c, struct rect r,
               struct rect status)
{
	struct lines *l = malloc(sizeof(*l));
	struct list_source s;
	struct rect inside;
	char title[64], count[40];
	int total = 0, used;

	if (!l)
		return;
	gather(l, k, screen, buf_str(&h->list.filter));
	for (int i = 0; i < k->n_rows; i++)
		total += k->rows[i].screen == screen || k->rows[i].screen == KEYMAP_ALL;
	if (r.w > 90) {
		r.x += (r.w - 90) / 2;
		r.w = 90;
	}
	if (r.h > 8) {
		r.y += 1;
		r.h -= 1;
	}
	snprintf(title, sizeof(title), "Keys for %s and everywhere", screens[screen]->name);
	draw_clear(c, r);
	inside = draw_pane(c, r, title, "?", true);
	s = source(l);
	if (l->n == 0)
		draw_f(c, inside.x + 1, inside.y + 1, inside.w - 2, ROLE_FAINT,
		       "no key does that; ^U clears the filter");
	list_draw(&h->list, c, inside, &s, true);
	draw_clear(c, status);
	used = draw_str(c, status.x, status.y, status.w, ROLE_STRONG, "filter: ");
	draw_f(c, status.x + used, status.y, status.w - used, ROLE_NORMAL, "%s_",
	       buf_str(&h->list.filter));
	snprintf(count, sizeof(count), "%d of %d keys", l->n, total);
	draw_right(c, status.x + status.w, status.y, 20, ROLE_NORMAL, count);
	free(l);
}

const struct keymap_row *help_key(struct help *h, const struct keymap *k, int screen,
                                  struct key key)
{
	struct lines *l;
	struct list_source s;
	const struct keymap_row *found = NULL;
	struct buf *filter = &h->list.filter;

	if (key.code == KEYS_ESC || (key.code == 'c' && key.ctrl)) {
		h->open = false;
		return NULL;
	}
	if (key.code == KEYS_BACKSPACE) {
		while (filter->len > 0 &&
		       ((unsigned char)filter->data[filter->len - 1] & 0xc0) == 0x80)
			filter->data[--filter->len] = '\0';
		if (filter->len > 0)
			filter->data[--filter->len] = '\0';
		return NULL;
	}
	if (key.ctrl && key.code == 'u') {
		buf_clear(filter);
		return NULL;
	}
	l = malloc(sizeof(*l));
	if (!l)
		return NULL;
	gather(l, k, screen, buf_str(filter));
	s = source(l);
	if (key.code == KEYS_ENTER) {
		for (int i = 0; i < l->n; i++)
			if (l->rows[i] == h->list.selected)
				found = &k->rows[l->rows[i]];
		h->open = false;
	} else if (key.ctrl) {
		key = (struct key){ .code = key.code == 'd'   ? KEYS_HALF_DOWN
			                    : key.code == 'p' ? KEYS_UP
			                    : key.code == 'n' ? KEYS_DOWN
			                                      : 0 };
		list_key(&h->list, key, &s);
	} else if (key.code >= KEYS_UP) {
		list_key(&h->list, key, &s);
	} else if (filter->len < 60 && key.code >= ' ' && key.code < 0x7f) {
		/* with nothing typed, q and ? close as they opened, j and k scroll */
		if (filter->len == 0 && (key.code == 'q' || key.code == '?'))
			h->open = false;
		else if (filter->len == 0 && (key.code == 'j' || key.code == 'k')) {
			key.code = key.code == 'j' ? KEYS_DOWN : KEYS_UP;
			list_key(&h->list, key, &s);
		} else
			buf_addc(filter, (char)key.code);
	}
	free(l);
	return found;
}
