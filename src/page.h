/*
 * page.h - a turn, or an episode, as a page to read, in Markdown. (As one HTML file:
 * src/episode_page.h.)
 *
 * Pure: data in, text out. Equal data, equal text; nothing in it depends on when or where it was
 * made, nor on the numbers that a database gave out. Texts of strangers (programs, logs, notes,
 * names) are shown, never obeyed: Markdown marks in them stay text.
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
	const char *sheet_name; /* where the contact sheet lies from the page; or NULL */
	const char *judgements; /* lines of text, or NULL */
	/* the folder, from the page, in which its artifacts lie, and their array of episode.json;
	 * NULL: there are none to be linked */
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

/* ---- what both forms say ---- */

enum { PAGE_TERMS = 8 };
struct page_term {
	const char *name, *label;
};
extern const struct page_term page_terms[PAGE_TERMS];

double page_total(const struct page_turn *t); /* NAN: none */
bool page_built(const struct page_turn *t);
/* Of the object under "build": "line 3: NameError: ..."; nothing when it says none. */
void page_error_line(struct buf *out, const cJSON *build);
/* "2 solids, 14 faces; 10.00 x 20.00 x 30.50 mm; volume 6100 mm3"; nothing without a shape. */
void page_box_line(struct buf *out, const cJSON *geometry);
/* The turn of that number, or NULL. */
const struct page_turn *page_turn_in(const struct page_episode *ep, int number);

#endif
