/*
 * draw.h - cells: rectangles, boxes, clipped text, in roles.
 *
 * A canvas is the grid of one frame; curses gets it from ui/term once it is complete. So screens
 * are drawn without a terminal, a frame is compared with the last one, and nothing a model wrote
 * can reach the terminal but as cells.
 */
#ifndef UI_DRAW_H
#define UI_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(CONSTANT, "name", 'letter of the dump') */
/* clang-format off */
#define UI_ROLES(X)                                                                                \
	X(NORMAL, "normal", '.')                                                                   \
	X(FAINT, "faint", 'f')                                                                     \
	X(STRONG, "strong", 's')                                                                   \
	X(TITLE, "title", 't')                                                                     \
	X(FOCUS, "focus", 'F')                                                                     \
	X(SELECT, "select", 'S')                                                                   \
	X(MATCH, "match", 'm')                                                                     \
	X(GOOD, "good", 'g')                                                                       \
	X(WEAK, "weak", 'w')                                                                       \
	X(BAD, "bad", 'b')                                                                         \
	X(RUN, "run", 'r')                                                                         \
	X(ADD, "add", '+')                                                                         \
	X(DEL, "del", '-')                                                                         \
	X(BAR, "bar", '#')                                                                         \
	X(BAR_REST, "bar_rest", '_')                                                               \
	X(KEY, "key", 'k')                                                                         \
	X(CODE_WORD, "code_word", 'W')                                                             \
	X(CODE_TEXT, "code_text", 'T')                                                             \
	X(CODE_NUMBER, "code_number", 'N')                                                         \
	X(CODE_COMMENT, "code_comment", 'C')                                                       \
	X(CODE_NAME, "code_name", 'D')
/* clang-format on */
enum role {
#define X(constant, name, letter) ROLE_##constant,
	UI_ROLES(X)
#undef X
		N_ROLES
};

/* How many colours the terminal has: screens need it for pictures alone (TIER_8 and less: ASCII
 * shades), text has roles. */
enum tier { TIER_NONE, TIER_8, TIER_256, TIER_DIRECT };

struct rect {
	int x, y, w, h;
};

struct cell {
	uint32_t ch[3]; /* a character and what combines with it; ch[0] 0: the right half of a wide
	                   one */
	uint8_t role;
	uint8_t line; /* draw.c's own: which ways a border goes from here, so that borders join */
	bool reverse; /* selection: whatever the role */
	bool pixel;   /* fg and bg below are colours of a picture, 0xRRGGBB; role does not count */
	uint32_t fg, bg; /* CELL_DEFAULT: the terminal's own */
};
#define CELL_DEFAULT 0xffffffffu

struct canvas {
	int w, h;
	struct cell *cells; /* w * h, rows from the top */
	bool ascii;         /* no character beyond ASCII */
	enum tier tier;
};

/* 0, or -1 without memory (the canvas is then as it was). Blank, in ROLE_NORMAL. */
int cells_size(struct canvas *c, int w, int h);
void cells_release(struct canvas *c); /* safe on {0} and twice */
void cells_clear(struct canvas *c);
struct cell *cell_at(const struct canvas *c, int x, int y); /* NULL outside */

/* Cut pieces off a rectangle; never more than there is. */
struct rect rect_take_top(struct rect *r, int h);
struct rect rect_take_bottom(struct rect *r, int h);
struct rect rect_take_left(struct rect *r, int w);
struct rect rect_take_right(struct rect *r, int w);
/* The same for panes, which share a border with what is left: both have the line between them. */
struct rect pane_take_top(struct rect *r, int h);
struct rect pane_take_bottom(struct rect *r, int h);
struct rect pane_take_left(struct rect *r, int w);
struct rect pane_take_right(struct rect *r, int w);

/* UTF-8 of strangers at x, y, at most @w cells wide (East Asian width by utf8proc), inside the
 * canvas: control characters, escapes, bidi marks and broken bytes as visible signs ("?" or U+FFFD,
 * one cell each), tabs to 8. Stops at a newline. Returns the cells used. */
int draw_text(struct canvas *c, int x, int y, int w, enum role role, const char *text, size_t len);
/* The same of a NUL-terminated text (NULL: nothing), cut with "~" when it does not fit ("…" is
 * never used: it would be another width in ASCII). */
int draw_str(struct canvas *c, int x, int y, int w, enum role role, const char *text);
/* Ends before x_end; at most w cells of it. Figures go this way: they are never cut but from the
 * left. */
int draw_right(struct canvas *c, int x_end, int y, int w, enum role role, const char *text);
int draw_f(struct canvas *c, int x, int y, int w, enum role role, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* One character a program chose (a border, a block): @utf8 or, in ASCII, @ascii. */
void draw_sign(struct canvas *c, int x, int y, enum role role, const char *utf8, char ascii);
/* Cells that a text takes on one line; tabs as draw_text at a column that is a multiple of 8. */
int text_width(const char *text, size_t len);
/* One step through a text: bytes taken, *@cells it needs at column @column, *@cp the character to
 * show (already harmless). Joiners and combining marks have 0 cells. @len must be > 0. */
size_t text_step(const char *text, size_t len, int column, uint32_t *cp, int *cells);

void draw_clear(struct canvas *c, struct rect r);   /* blank, borders forgotten */
void draw_reverse(struct canvas *c, struct rect r); /* selection */
void draw_role(struct canvas *c, struct rect r, enum role role);
/* Lines at r's border, joined with neighbours where they meet; title left, fact right; a focused
 * one has "*" and is strong. Returns the inside. Nothing is drawn in less than 2 x 2. */
struct rect draw_pane(struct canvas *c, struct rect r, const char *title, const char *fact,
                      bool focused);
/* A bar of @w cells, @share 0..1 of it full ("#" and "." in ASCII); NAN: blank. */
void draw_bar(struct canvas *c, int x, int y, int w, double share, enum role role);
/* One of the signs of enum mark (ui/view.h), and what it is drawn in. */
const char *mark_sign(int mark, bool ascii);
enum role mark_role(int mark);
/* "0.785", "-0.750", "-" (NAN) into @out (at least 12 bytes), fixed to 3 places; returns @out. */
const char *figure_text(char *out, double v);

#endif
