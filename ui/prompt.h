/*
 * prompt.h - the one line in which something is typed: a filter, a command, an answer, y or n.
 *
 * Stands in the status row. ^A ^E Home End, ^B ^F arrows, ^U ^K ^W, Backspace, Delete; Up and Down
 * go through what was typed before, kept per kind.
 */
#ifndef UI_PROMPT_H
#define UI_PROMPT_H

#include "src/base/buf.h"
#include "ui/draw.h"
#include "ui/pane.h"

enum prompt_kind {
	PROMPT_NONE,
	PROMPT_FIND,
	PROMPT_COMMAND,
	PROMPT_ASK,
	PROMPT_CONFIRM,
	N_PROMPTS
};
enum { PROMPT_HISTORY = 50, PROMPT_MAX = 4096 /* bytes */ };

struct prompt {
	enum prompt_kind kind; /* PROMPT_NONE: closed */
	char question[96];     /* before the text: "/", ":", "export to: " */
	struct buf text;
	size_t at; /* the cursor, a byte of text */
	char *history[N_PROMPTS][PROMPT_HISTORY];
	int n_history[N_PROMPTS];
	int back;       /* which of the history stands there; 0: what is typed now */
	struct buf now; /* that, while the history is looked at */
};

void prompt_open(struct prompt *p, enum prompt_kind kind, const char *question,
                 const char *initial);
enum prompt_result {
	PROMPT_GOES_ON, /* nothing to do but draw */
	PROMPT_EDITED,  /* the text is another */
	PROMPT_DONE,    /* Enter, or y: the text stands in .text until the next prompt_open() */
	PROMPT_CANCELLED
};
enum prompt_result prompt_key(struct prompt *p, struct key k);
/* The first line of a paste, at the cursor. */
void prompt_paste(struct prompt *p, const char *text, size_t len);
/* Into one row; the column of the cursor comes back. */
int prompt_draw(const struct prompt *p, struct canvas *c, struct rect row);
void prompt_release(struct prompt *p); /* safe on {0} and twice */

#endif
