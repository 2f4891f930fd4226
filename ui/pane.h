/*
 * pane.h - the two things that scroll: a list of items and a text. State that ui keeps between
 * frames.
 *
 * What is shown comes anew with each view; a pane remembers where the reader stands: the selected
 * item by id, the line at the top, whether the end is followed, what is searched.
 */
#ifndef UI_PANE_H
#define UI_PANE_H

#include "src/base/buf.h"
#include "ui/draw.h"
#include "ui/view.h"

/* A key, as curses and the script both give it. */
struct key {
	uint32_t code; /* a Unicode character, or KEYS_* below */
	bool ctrl;     /* with code a letter */
};
enum keys_special {
	KEYS_UP = 0x110000,
	KEYS_DOWN,
	KEYS_LEFT,
	KEYS_RIGHT,
	KEYS_HOME,
	KEYS_END,
	KEYS_PAGE_UP,
	KEYS_PAGE_DOWN,
	KEYS_ENTER,
	KEYS_TAB,
	KEYS_BACKTAB,
	KEYS_ESC,
	KEYS_BACKSPACE,
	KEYS_DELETE,
	KEYS_MOUSE,
	KEYS_PASTE
};

/* ---- a list ---- */
struct list {
	int64_t selected; /* id; -1: none */
	int top;          /* first row shown, among those the filter lets through */
	struct buf filter;
	int shown; /* rows that the filter let through at the last drawing */
	int page;  /* rows that fitted */
};

struct list_source {
	void *ctx;
	int n;
	int64_t (*id)(void *ctx, int row);
	/* text the filter looks in */
	const char *(*words)(void *ctx, int row);
	/* draws it into @r (its height is list rows_per_item) */
	void (*draw)(void *ctx, struct canvas *c, struct rect r, int row, bool selected);
	int height; /* cells of an item, at least 1 */
};
/* Draws what fits; keeps the selected item in sight; when it is gone its neighbour is selected. */
void list_draw(struct list *l, struct canvas *c, struct rect r, const struct list_source *s,
               bool focused);
/* j k arrows g G Home End ^D ^U PgDn PgUp: true when taken. */
bool list_key(struct list *l, struct key k, const struct list_source *s);
void list_release(struct list *l);

/* ---- a text ---- */
struct text_pane {
	uint64_t id, version; /* of the text it was laid out for */
	size_t *lines;        /* where each begins; extended, not made again, while a text grows */
	int n_lines, cap_lines;
	uint8_t *state; /* at each line's beginning: inside which kind of string (Python) */
	int top, left;  /* first line and cell shown */
	bool follow, wrap;
	bool numbers; /* line numbers at the left; the screen says so before it draws */
	struct buf find;
	int missed; /* lines that came while not following: "+37" in the frame */
	int token;  /* the token under the certainty cursor; -1: not shown */
	int page;
};
void text_draw(struct text_pane *p, struct canvas *c, struct rect r, const struct view_text *t,
               bool focused);
/* j k h l arrows g G Home End ^D ^U PgDn PgUp Space F w n N; tokens are
 * ui/certainty's. */
bool text_key(struct text_pane *p, struct key k, const struct view_text *t);
/* Finds from the place one is at; the count of all matches. */
int text_find(struct text_pane *p, const struct view_text *t, const char *what, int direction);
void text_release(struct text_pane *p);

#endif
