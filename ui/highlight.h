/*
 * highlight.h - which role each byte of a program's line has.
 *
 * Python by its words, strings, numbers and comments: enough to read by, line by line, so that a
 * text that grows is coloured from where it grew. The state is what a line hands to the next.
 */
#ifndef UI_HIGHLIGHT_H
#define UI_HIGHLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "ui/view.h"

/* Inside what a line begins: 0 none, else the kind of an open string. */
typedef uint8_t highlight_state;

/* One line (no newline in it). @roles, one a byte (enum role), may be NULL: only the state is
 * wanted then. Returns the state of the next line. */
highlight_state highlight_line(enum text_kind kind, const char *line, size_t len,
                               highlight_state state, uint8_t *roles);

#endif
