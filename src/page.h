/*
 * page.h - a turn, or an episode, as a page to read: Markdown, or one HTML file.
 *
 * Pure: data in, text out. Equal data, equal text; nothing in it depends on when or where it was
 * made, nor on the numbers that a database gave out. Texts of strangers (programs, logs, notes,
 * names) are shown, never obeyed: Markdown and HTML marks in them stay text.
 */
#ifndef SRC_PAGE_H
#define SRC_PAGE_H

#include "src/base/json.h"

struct page_turn {
	int number, parent;  /* 0: not known, none */
	const char *source;  /* "model", "file", ...; NULL: not said */
	const char *finish;  /* or NULL */
	const char *model;   /* or NULL */
	const cJSON *score;  /* the object of score --json */
	const cJSON *prompt; /* messages, or NULL */
	const char *program, *log;
	size_t program_len, log_len;
	/* the contact sheet: for Markdown where it lies from the page, for HTML its bytes; or NULL
	 */
	const char *sheet_name;
	const void *sheet;
	size_t sheet_len;
	const char *judgements; /* lines of text, or NULL */
	/* for Markdown: the folder, from the page, in which its artifacts lie, and their array of
	 * episode.json; NULL: there are none to be linked */
	const char *folder;
	const cJSON *artifacts;
};

struct page_episode {
	const char *task, *level, *family; /* level and family: or NULL */
	const char *prompt;                /* of the task, or NULL */
	const char *profile, *prompts;     /* prompts: or NULL */
	const char *when;                  /* or NULL */
	const char *end;                   /* why it ended, or NULL */
	int best;                          /* number of a turn; 0: none */
	const struct page_turn *turns;
	int n_turns;
};

/* One turn alone. @level: of its heading, from 1. */
void page_turn_markdown(struct buf *out, const struct page_turn *t, int level);
/* As a forge shows it: each turn has the anchor #turn-N; a repair is what it changed, all of the
 * program folded below; what the prompts have in common stands once. */
void page_markdown(struct buf *out, const struct page_episode *ep);
/* One file, pictures in it; no script, nothing from elsewhere. */
void page_html(struct buf *out, const struct page_episode *ep);

#endif
