/*
 * term.h - the terminal: curses, and what curses does not do.
 *
 * All of curses' state is behind this header. A frame comes as a canvas; what differs from the last
 * one goes to curses, curses writes into memory, and from there it goes to the terminal as fast as
 * that takes it: a slow line delays frames (term_busy()), never keys.
 */
#ifndef UI_TERM_H
#define UI_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "src/base/buf.h"
#include "src/base/err.h"
#include "ui/draw.h"
#include "ui/pane.h"
#include "ui/theme.h"

struct term;

/* @name: a terminfo name, NULL: $TERM; one that is not known is taken for the nearest that is.
 * @out: any stream; @in_fd: -1 without keys. @cols, @rows: 0: as the terminal says, else 80x24.
 * -1 with the terminal untouched: ERR_LACKS (it cannot move its cursor), ERR_MEM, ERR_IO. */
int term_open(struct term **out, const char *name, FILE *stream, int in_fd, int cols, int rows,
              bool mouse, struct err *e);
void term_close(struct term *t); /* gives the terminal back; NULL is fine */
/* The same with nothing but write(2) and tcsetattr(3), from anywhere. */
void term_restore(const struct term *t);

/* What it can do. utf8: the locale says so. */
enum tier term_tier(const struct term *t);
bool term_utf8(const struct term *t);
const char *term_name(const struct term *t);
int term_fd(const struct term *t); /* to poll for keys; -1 */
void term_size(const struct term *t, int *cols, int *rows);
void term_cell_px(const struct term *t, int *w, int *h); /* 0: not known */

/* 0, 0: asks the terminal. True when the size is another one now. */
bool term_resize(struct term *t, int cols, int rows);
/* Shows the canvas, whose size is the terminal's; the cursor at x, y, or hidden (-1). Bytes that it
 * took; 0 when nothing differs. While term_busy() nothing may be drawn. */
size_t term_draw(struct term *t, const struct canvas *c, enum theme theme, int x, int y);
/* Everything anew at the next drawing: somebody else wrote to the screen. */
void term_redraw(struct term *t);
/* Bytes as they are, after what was drawn so far: pictures. */
void term_send(struct term *t, const void *data, size_t len);
/* What is not sent yet. Tries again; true while something is left. */
bool term_busy(struct term *t);
/* Hands a text to the terminal's clipboard (OSC 52). False: it does not take it. */
bool term_copy(struct term *t, const char *text, size_t len);
void term_mouse(struct term *t, bool on);

/* The next key: 1, 0 none is there, -1 the keyboard is gone. Of a paste (KEYS_PASTE) the text goes
 * into @paste, cut at 1 MiB; of the mouse (KEYS_MOUSE) the cell into *x, *y, and *wheel -1, 0, 1.
 */
int term_key(struct term *t, struct key *k, struct buf *paste, int *x, int *y, int *wheel);

/* The terminal as it was, until term_resume(). */
void term_suspend(struct term *t);
void term_resume(struct term *t);

#endif
