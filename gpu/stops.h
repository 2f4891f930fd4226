/*
 * stops.h - stop texts in text that streams in: found over the borders of tokens; what may yet
 * become one is held back, and let go when it cannot.
 */
#ifndef GPU_STOPS_H
#define GPU_STOPS_H

#include "src/base/buf.h"

struct stops {
	char **text;
	size_t *len;
	int n;
};
/* Copies; empty texts are left out. 0, or -1: out of memory. */
int stops_init(struct stops *s, const char *const *text, int n);
void stops_release(struct stops *s); /* safe on {0} and twice */

/* @held is what was not given out yet, with the new text at its end. Returns how many of its first
 * bytes may go out now. @found: a stop text begins there; nothing after belongs to the answer. Of
 * several that are complete the one that begins first counts. */
size_t stops_scan(const struct stops *s, const struct buf *held, bool *found);

#endif
