/*
 * rehearsal.h - page faults taken before the job comes.
 *
 * A forked child pays for its first touch of every page: some thousands of faults, which is most of
 * what a build costs beyond the kernel's own time. Which pages they are hardly depends on the
 * program. So one throwaway child runs a job of our own; what it had touched at the end is noted;
 * and every spare touches the same pages in a few system calls while it waits.
 */
#ifndef ENGINE_REHEARSAL_H
#define ENGINE_REHEARSAL_H

#include <stddef.h>
#include <sys/types.h>

#include "src/base/err.h"

struct rehearsal {
	int done_fd; /* readable when the rehearsal is over; -1 when none runs */
	pid_t pid;
	struct rehearsal_pages *pages; /* NULL: none learnt */
};

/* Forks the child that runs @job. 0, or -1 with @e (then nothing is learnt, and nothing lost). */
int rehearsal_begin(struct rehearsal *r, void (*job)(void *ctx), void *ctx, struct err *e);

/* Once done_fd is readable: collects the child. True when pages were learnt. */
int rehearsal_finish(struct rehearsal *r);

/* In a fork of the process that learnt. */
void rehearsal_touch(const struct rehearsal *r);

/* Bytes that touch() makes private to each child, and pages it maps; for the bench and the tests.
 */
size_t rehearsal_private_bytes(const struct rehearsal *r);

#endif
