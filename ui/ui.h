/*
 * ui.h - the wing's door: a terminal that shows views and gives back intents.
 *
 * Owns the terminal while it is open (curses lives behind it, and nowhere else) and everything that
 * is about looking and not about the work: which pane has the focus, scroll, filter, find, zoom,
 * help, the prompt line. Never blocks, reads no clock but @now_s, starts nothing.
 *
 * Whatever ends the program, ui_close() (or ui_restore(), which is safe in a signal handler's
 * aftermath: it writes the strings that were prepared at open) gives the terminal back whole.
 */
#ifndef UI_UI_H
#define UI_UI_H

#include <stdio.h>

#include "src/base/buf.h"
#include "src/base/err.h"
#include "ui/intent.h"
#include "ui/view.h"

enum ui_image_mode {
	UI_IMAGE_BLOCKS,
	UI_IMAGE_KITTY,
	UI_IMAGE_SIXEL,
	UI_IMAGE_ASCII,
	UI_IMAGE_OFF
};

struct ui_options {
	const char *term;  /* terminfo name; NULL: $TERM. One that is not known is taken for the
	                    * nearest that is, in the end for a vt100 */
	FILE *out;         /* NULL: standard output. A file: for tests, casts, scripts */
	int in_fd;         /* keys; -1: none (a script, a cast) */
	int cols, rows;    /* 0: as the terminal says, else 80x24 */
	int ascii;         /* -1: as the locale says; 0, 1 */
	const char *theme; /* "dark", "light", "mono"; NULL: "dark"; NO_COLOR makes it mono */
	const char *keys;  /* a file that overlays ui/keys.default; NULL: none */
	enum ui_image_mode image;
	bool mouse;
	enum screen_id screen; /* to begin with */
};

struct ui;

/* 0, or -1 with the terminal untouched: ERR_INPUT (a key file: line, both actions of a conflict),
 * ERR_LACKS (not a terminal), ERR_MEM. */
int ui_open(struct ui **out, const struct ui_options *o, struct err *e);
void ui_close(struct ui *ui); /* NULL is fine */
/* The terminal as it was, from anywhere; write(2) only. */
void ui_restore(const struct ui *ui);

/* The descriptor to poll for keys; -1 without. */
int ui_fd(const struct ui *ui);
/* When ui wants to be drawn though nothing came (a message ends, figures were held back, a slow
 * line has not taken the last frame): seconds from now, 0: at once; -1: never. */
double ui_timeout_s(const struct ui *ui, double now_s);
/* What was typed since: the next intent, INTENT_NONE when the keys that are there are used up. Call
 * it until then. -1 when the keyboard is gone (hang-up). ui_dirty() says whether a key changed what
 * is to be seen. */
int ui_next(struct ui *ui, const struct view *v, double now_s, struct intent *out);
bool ui_dirty(const struct ui *ui);
/* Keys from elsewhere, as if typed: "j", "<Enter>", "<C-l>", "<Space>", "<lt>". -1: not understood.
 */
int ui_type(struct ui *ui, const char *keys, struct err *e);
void ui_resize(struct ui *ui, int cols, int rows); /* 0, 0: ask the terminal */
/* Draws what differs from what is on the terminal. Bytes sent. */
size_t ui_draw(struct ui *ui, const struct view *v, double now_s);
/* For $VISUAL, ^Z: the terminal is the other's until ui_resume(). */
void ui_suspend(struct ui *ui);
void ui_resume(struct ui *ui);

/* What is selected and shown now. */
enum screen_id ui_screen(const struct ui *ui);
int64_t ui_selected(const struct ui *ui, enum screen_id s); /* id; -1: none */
void ui_select(struct ui *ui, enum screen_id s, int64_t id);
/* How many cells the image has on this screen, and the pixels worth making for it (0: none is
 * shown). */
void ui_image_room(const struct ui *ui, const struct view *v, int *w_px, int *h_px);
/* The screen as text, a line a row, trailing blanks cut; with @roles a second block of one letter a
 * cell. */
void ui_dump(const struct ui *ui, bool roles, struct buf *out);
/* The screen as an SVG picture, colours as the theme has them: for README and reports. */
void ui_dump_svg(const struct ui *ui, struct buf *out);
/* State worth keeping between starts (screen, theme, wrap, order, ...): JSON, and back. */
void ui_keep(const struct ui *ui, struct buf *json);
void ui_recall(struct ui *ui, const char *json);

#endif
