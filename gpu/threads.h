/*
 * threads.h - a pool that carries out a numbered list of items, for regions as short as some
 * microseconds.
 *
 * The caller works too. Items are claimed one by one, so a thread that the system has put aside
 * while it holds none keeps nobody waiting, and who carries out an item is not known: an item's
 * result must not depend on it. Between regions the threads spin for some tens of microseconds and
 * then sleep. One caller at a time; make it after the last fork().
 */
#ifndef GPU_THREADS_H
#define GPU_THREADS_H

#include "src/base/err.h"

struct pool;

/* @thread: 0 (the caller) to threads - 1; scratch may be kept by it. */
typedef void pool_fn(void *arg, int item, int thread);

/* @threads: the caller counted; 0: as many as the process may use. NULL with @e. */
struct pool *pool_open(int threads, struct err *e);
void pool_close(struct pool *p); /* NULL is fine */
int pool_threads(const struct pool *p);

/* Items 0..n-1 (n < 2^24), begun in rising order; returns when all are done. */
void pool_run(struct pool *p, pool_fn *fn, void *arg, int n);

/* For waits of a few hundred cycles inside an item (for another item that was begun earlier). */
static inline void pool_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
