/*
 * refs.h - which episodes a command line means: 12, 12.3, 3-9, all.
 */
#ifndef SRC_REFS_H
#define SRC_REFS_H

#include "src/store.h"

struct ref {
	int64_t episode;
	int turn; /* 0: all of it */
};

struct refs {
	struct ref *v;
	int n, cap;
};

/* Adds what @text names, oldest first; of a range those that are there. A single episode is not
 * looked for: who reads it tells that there is none. 0; -1: ERR_USAGE (none of these forms),
 * ERR_INPUT (the range is empty), or the store's. */
int refs_add(struct refs *r, struct store *s, const char *text, struct err *e);
void refs_release(struct refs *r); /* safe on {0} and twice */

#endif
