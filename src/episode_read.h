/*
 * episode_read.h - an exported episode (src/export.h) back into the store, as it was: its turns,
 * events, judgements, artifacts, and their times.
 *
 * All of it comes in, or nothing. What is in the folder is a stranger's: keys, numbers, names and
 * sums are checked, a file that leads elsewhere is refused, an artifact must be what it was when it
 * was exported (SHA-256).
 */
#ifndef SRC_EPISODE_READ_H
#define SRC_EPISODE_READ_H

#include "src/store.h"

struct episode_read {
	/* given */
	int (*tick)(void *ctx); /* between turns; not 0: stop. May be NULL */
	void *ctx;
	/* found */
	int64_t episode; /* its number here */
	int turns;       /* that came in */
	bool already;    /* it was here: nothing was written */
	char task[128];  /* as far as it could be read, also after an error */
};

/* @dir holds episode.json. 0; -1: ERR_INPUT (what is wrong with it, and where), ERR_CANCELLED, or
 * what the store says. */
int episode_read(struct store *s, const char *dir, struct episode_read *io, struct err *e);

#endif
