/*
 * extract.h - the program in a completion or a file.
 *
 * EXTRACT_FILE is the published command line's rule: the first run of three backticks, with or
 * without "python" or "py" (any case) and blanks, that ends its line and has three backticks
 * somewhere after it; what lies between is the program. Without such a pair the whole text is.
 * EXTRACT_COMPLETION is its trainer's: <think>...</think> spans go first, and in the end what
 * stands before the first "import cadquery as cq" goes too. Both strip as Python's str.strip does.
 *
 * EXTRACT_ANSWER is ours, for what language models answer. <think> spans go (also one whose opening
 * is in the prompt). Of the fenced blocks (a line that begins with three backticks or tildes and
 * names Python or nothing; the end of the text ends a block as well, as when an answer was cut off)
 * it takes the last that imports cadquery, else the longest. Without blocks the lines before the
 * first that is Python are dropped, if there is one.
 */
#ifndef ENGINE_EXTRACT_H
#define ENGINE_EXTRACT_H

#include <stdbool.h>

#include "src/base/buf.h"

enum extract_rule { EXTRACT_FILE, EXTRACT_COMPLETION, EXTRACT_ANSWER };

struct extract_piece {
	size_t at, source; /* program bytes from @at on are the text's from @source on */
};

struct extract {
	struct buf program; /* may be empty */
	bool fenced;        /* it came from between two fences */
	bool clipped;       /* an opening fence (or <think>) without an end: cut off, most likely */
	size_t offset;      /* of the program's first byte in the text */
	int line_offset;    /* lines of the text before that byte */
	struct extract_piece *pieces; /* more than one where a span was taken out of the middle */
	int n_pieces;
};

/* 0, or -1 (ERR_MEM). @text may hold any bytes; what is no UTF-8 is kept as it is. */
int extract_program(struct extract *out, enum extract_rule rule, const char *text, size_t len,
                    struct err *e);
void extract_release(struct extract *x);

/* The line of @text (from 1) on which line @line (from 1) of the program begins. @text is the one
 * that was given to extract_program. */
int extract_source_line(const struct extract *x, const char *text, size_t len, int line);

/* ---- a line at a time, for text that is on its way ---- */

/* A line that prose does not begin with: import, a definition, a comment, NAME = ... */
bool extract_is_python(const char *line, size_t len);

struct extract_fence {
	char mark;   /* '`' or '~' */
	bool bare;   /* nothing behind it: it may close a block */
	bool python; /* it names Python or nothing: it may open the program's */
};
/* Whether the line is a fence, as EXTRACT_ANSWER sees it. */
bool extract_is_fence(const char *line, size_t len, struct extract_fence *out);

#endif
