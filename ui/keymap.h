/*
 * keymap.h - one table: where, key, action. The dispatch, the footer, the help and the manual page
 * are made from it.
 *
 * An action is either ui's own (UI_ACTIONS) or an intent (ui/intent.h). The defaults are
 * ui/keys.default, compiled in; a user's file of the same form goes over them.
 */
#ifndef UI_KEYMAP_H
#define UI_KEYMAP_H

#include "src/base/buf.h"
#include "src/base/err.h"
#include "ui/intent.h"
#include "ui/pane.h"
#include "ui/view.h"

/* X(CONSTANT, "name", what a pane or screen gets (0: ui.c does it), "words for help") */
/* clang-format off */
#define UI_ACTIONS(X)                                                                              \
	X(UP, "up", KEYS_UP, "one up")                                                             \
	X(DOWN, "down", KEYS_DOWN, "one down")                                                     \
	X(LEFT, "left", KEYS_LEFT, "sideways to the left")                                         \
	X(RIGHT, "right", KEYS_RIGHT, "sideways to the right")                                     \
	X(TOP, "top", KEYS_HOME, "to the beginning")                                               \
	X(BOTTOM, "bottom", KEYS_END, "to the end, and follow it")                                 \
	X(HALF_UP, "half-up", KEYS_HALF_UP, "half a page up")                                      \
	X(HALF_DOWN, "half-down", KEYS_HALF_DOWN, "half a page down")                              \
	X(PAGE_UP, "page-up", KEYS_PAGE_UP, "a page up")                                           \
	X(PAGE_DOWN, "page-down", KEYS_PAGE_DOWN, "a page down")                                   \
	X(FOLLOW, "follow", KEYS_FOLLOW, "follow the end; scrolling up stops following")           \
	X(WRAP, "wrap", KEYS_WRAP, "wrap long lines, or not")                                      \
	X(MATCH_NEXT, "next-match", KEYS_MATCH_NEXT, "the next match")                             \
	X(MATCH_PREVIOUS, "previous-match", KEYS_MATCH_PREVIOUS, "the match before")               \
	X(CERTAINTY, "certainty", KEYS_CERTAINTY,                                                  \
	  "how sure the model was; Enter goes on otherwise")          \
	X(THINK, "think", KEYS_THINK, "think text shown or folded")                                \
	X(DIFF, "diff", KEYS_DIFF, "the diff, or the program")                                     \
	X(PROMPT, "prompt", KEYS_PROMPT, "the prompt of this turn")                                \
	X(SCORE, "score", KEYS_SCORE, "the whole score of this turn")                              \
	X(NEXT_PANE, "next-pane", 0, "the next pane")                                              \
	X(PREVIOUS_PANE, "previous-pane", 0, "the pane before")                                    \
	X(ZOOM, "zoom", 0, "this pane alone, or all")                                              \
	X(FIND, "find", 0, "filter a list, find in a text, as you type")                           \
	X(COPY, "copy", 0, "copy what the pane shows to the terminal's clipboard")                 \
	X(COMMAND_LINE, "command-line", 0, "a command by its name: every action has one")          \
	X(HELP, "help", 0, "this")                                                                 \
	X(MOUSE, "mouse", 0, "the mouse: scroll and select with it, or leave it to the terminal")  \
	X(ASCII, "ascii", 0, "ASCII alone, or UTF-8")                                              \
	X(REDRAW, "redraw", 0, "draw everything anew")                                             \
	X(INTERRUPT, "interrupt", 0, "stop the generation; again: quit")                           \
	X(BACK, "back", 0, "close the topmost thing; at the bottom, quit")                         \
	X(QUIT, "quit", 0, "quit, asking if something runs")
/* clang-format on */
enum ui_action {
	ACTION_NONE,
#define X(constant, name, key, words) ACTION_##constant,
	UI_ACTIONS(X)
#undef X
		N_ACTIONS
};

enum { KEYMAP_ALL = -1, RANK_NONE = 99 };

struct keymap_row {
	int screen; /* enum screen_id, or KEYMAP_ALL */
	struct key key;
	enum ui_action action;   /* ACTION_NONE: an intent */
	enum intent_kind intent; /* with these numbers */
	int64_t n, m;
	char ask[72];   /* question whose answer is the argument; "" */
	int rank;       /* RANK_NONE: not in the footer */
	char label[24]; /* in the footer */
	int heading;    /* index into headings */
	bool of_user;
	int line; /* in its file */
};

struct keymap {
	struct keymap_row *rows;
	int n_rows, cap_rows;
	char headings[12][24];
	int n_headings;
};

/* The defaults, then @user (a path; NULL: none) over them. -1 with the map released: ERR_INPUT with
 * file, line, and for a conflict both actions; ERR_MEM. */
int keymap_open(struct keymap *k, const char *user, struct err *e);
/* One text in the file's form. @file is its name for errors. */
int keymap_read(struct keymap *k, const char *text, size_t len, const char *file, bool of_user,
                struct err *e);
/* No key means two things in one place, and quit has a key. */
int keymap_check(const struct keymap *k, struct err *e);
void keymap_release(struct keymap *k); /* safe on {0} and twice */

const struct keymap_row *keymap_find(const struct keymap *k, int screen, struct key key);
/* The name and the words of what a row does; the words into @out (at least 96 bytes). */
const char *keymap_action(const struct keymap_row *r);
const char *keymap_words(const struct keymap_row *r, char *out);
/* By name, ui's own first: both are ACTION_NONE and INTENT_NONE when there is none. */
void action_find(const char *name, size_t len, enum ui_action *a, enum intent_kind *i);
/* What a pane gets for one of ui's own actions; code 0: it is not for panes. */
struct key action_key(enum ui_action a);

/* "Enter", "^D", "S-Tab", "Space", "a" into @out (at least 16 bytes); returns @out. */
const char *key_text(struct key k, char *out);
/* The same back, and "C-d" besides. False: no such key. */
bool key_parse(const char *name, size_t len, struct key *k);
/* The next key of a script's text: "j", "<Enter>", "<C-l>", "<lt>"; bytes taken, 0: not understood.
 */
size_t key_script(const char *text, size_t len, struct key *k);

/* The footer for @screen in @w cells: " Enter open  r run ...  ? help"; what has no room goes, from
 * the right-most of the highest rank on. @filters: "/" filters here (a list) and does not find. */
void keymap_footer(const struct keymap *k, int screen, int w, bool filters, struct buf *out);
/* What cadforge-keys(7) says of them, in mdoc: the keys, then the names of all actions. */
void keymap_manual(const struct keymap *k, struct buf *out);

#endif
