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

/* A key, as curses and the script both give it, and what it means to a pane. Screens get the
 * meanings: the keymap has made KEYS_DOWN of "j". */
struct key {
	uint32_t code; /* a Unicode character, or KEYS_* below */
	bool ctrl;     /* with code a letter */
};
enum keys_special {
	KEYS_UP = 0x110000,
	KEYS_DOWN,
	KEYS_LEFT,
	KEYS_RIGHT,
	KEYS_HOME, /* the beginning of all */
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
	KEYS_PASTE,
	/* no keys of a keyboard: what the keymap makes of others, by the names of its actions */
	KEYS_HALF_UP,
	KEYS_HALF_DOWN,
	KEYS_FOLLOW,
	KEYS_WRAP,
	KEYS_MATCH_NEXT,
	KEYS_MATCH_PREVIOUS,
	KEYS_CERTAINTY, /* Live u */
	KEYS_THINK,     /* Live t */
	KEYS_DIFF,      /* Replay d: diff or code */
	KEYS_PROMPT,    /* Replay p: the prompt, or not */
	KEYS_SCORE,     /* Replay v: the whole score, or not */
	KEYS_SPECIAL_END
};

/* ---- a list ---- */
struct list {
	int64_t selected; /* id; -1: none */
	int row;          /* where it stood at the last drawing, among those shown */
	int top;          /* first row shown, among those the filter lets through */
	struct buf filter;
	int shown;        /* rows that the filter let through at the last drawing */
	int page;         /* rows that fitted */
	struct rect area; /* where it was drawn in this frame; w 0: it was not */
	int height;       /* of an item then */
};

struct list_source {
	void *ctx;
	int n;
	int64_t (*id)(void *ctx, int row);
	/* text the filter looks in; NULL: nothing is filtered */
	const char *(*words)(void *ctx, int row);
	/* draws it into @r (its height is @height); the selection's reverse is the list's work */
	void (*draw)(void *ctx, struct canvas *c, struct rect r, int row, bool selected);
	int height;   /* cells of an item, at least 1 */
	int reversed; /* of these, those that show that it is selected; 0: all */
};
void list_init(struct list *l);
/* Draws what fits; keeps the selected item in sight; when it is gone the one that took its place is
 * selected. The filter's words all have to occur, in any case of letters. */
void list_draw(struct list *l, struct canvas *c, struct rect r, const struct list_source *s,
               bool focused);
/* KEYS_UP to KEYS_PAGE_DOWN, KEYS_HALF_*: true when taken. */
bool list_key(struct list *l, struct key k, const struct list_source *s);
/* How many rows the filter lets through. */
int list_count(const struct list *l, const struct list_source *s);
/* Does @words have all the words of @filter, in any case? An empty filter lets all through. */
bool filter_match(const char *filter, const char *words);
void list_release(struct list *l);

/* ---- a text ---- */
struct text_line {
	size_t at;     /* byte it begins at */
	int number;    /* from 1, of the text's own lines */
	uint8_t state; /* inside which kind of string it begins (ui/highlight.h) */
	bool more;     /* goes on from the line before: an endless line is laid out in pieces */
};

struct text_pane {
	uint64_t id, version; /* of the text it was laid out for */
	size_t len;
	struct text_line *lines; /* extended, not made again, while a text grows */
	int n_lines, cap_lines;
	int top, left; /* first line and cell shown */
	int sub;       /* wrapped: the first row of that line which is shown */
	bool follow, wrap;
	bool numbers; /* line numbers at the left; the screen says so */
	struct buf find;
	int matches;       /* of find in the whole text at the last text_find() */
	int at_line;       /* line of the match one is at; -1: none */
	size_t at;         /* its byte */
	int missed;        /* lines that came while not following: "+37" in the frame */
	int seen;          /* lines that there were when following ended */
	int shown;         /* lines there are to be seen: without an empty last one */
	int token;         /* the token under the certainty cursor; -1: certainty is not shown */
	int page, columns; /* rows and cells of text that were shown */
	struct rect area;  /* where it was drawn in this frame; w 0: it was not */
};
void text_init(struct text_pane *p); /* follows */
/* An empty text shows nothing: say in the pane what would fill it. Certainty is drawn by
 * ui/certainty.h, not here. */
void text_draw(struct text_pane *p, struct canvas *c, struct rect r, const struct view_text *t,
               bool focused);
/* KEYS_UP to KEYS_PAGE_DOWN, KEYS_HALF_*, FOLLOW, WRAP, MATCH_*, and Space as a page. */
bool text_key(struct text_pane *p, struct key k, const struct view_text *t);
/* Finds from the place one is at (direction 1, -1; 0: the place itself counts too) and goes there;
 * the count of all matches. Letters of either case match unless @what has capitals. "" forgets. */
int text_find(struct text_pane *p, const struct view_text *t, const char *what, int direction);
/* "following", "+37", "line 31 of 400" for the frame, into @out (at least 40 bytes). */
const char *text_fact(const struct text_pane *p, char *out);
void text_release(struct text_pane *p);

#endif
