/*
 * think.h - a streamed answer in two: what stands between <think> and </think>, and the rest.
 *
 * Only thoughts at the beginning of an answer count (a prompt may already have opened them); a
 * later <think> is text. Blank lines around the marks belong to neither part. What may be the
 * beginning of a mark is held back until it is certain.
 */
#ifndef GPU_THINK_H
#define GPU_THINK_H

#include "src/base/buf.h"

struct think {
	enum { THINK_BEGIN, THINK_IN, THINK_AFTER, THINK_OUT } at;
	bool fresh; /* nothing of the thought has come out yet */
	struct buf held;
};
void think_begin(struct think *t, bool in_thought); /* @t is {0} or released */
void think_release(struct think *t);

/* Appends what is now certain of each part. */
void think_feed(struct think *t, const char *text, size_t len, struct buf *thought,
                struct buf *answer);
/* No more comes: what was held back. */
void think_end(struct think *t, struct buf *thought, struct buf *answer);

#endif
