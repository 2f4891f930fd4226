/*
 * threads.c - one 64-bit ticket holds the region's number, its count of items and the next item, so
 * that one fetch-and-add claims an item and tells whether it was one: a thread that comes late,
 * from a region long past, can neither miss the change nor run an item twice.
 *
 *   ticket = region (16 bits) | items (24 bits) | next (24 bits)
 *
 * The region's function stays as it is while any claimed item is not done, and the caller does not
 * leave before all are: so after a claim it may be read without a lock.
 */
#include "gpu/threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	NEXT_BITS = 24,
	SPINS = 3000,        /* pauses before a thread sleeps: some tens of microseconds */
	SPINS_TO_YIELD = 400 /* pauses before the waiting caller lets others have its core */
};
#define NEXT_MASK (((uint64_t)1 << NEXT_BITS) - 1)

struct pool {
	_Alignas(64) _Atomic uint64_t ticket;
	_Alignas(64) _Atomic uint32_t done;
	_Alignas(64) _Atomic uint32_t wake; /* futex: counts regions and the end */
	_Atomic uint32_t asleep;
	_Atomic bool closing;
	pool_fn *fn;
	void *arg;
	int threads;
	struct worker {
		pthread_t id;
		struct pool *pool;
		int number;
	} * worker; /* [threads - 1] */
};

static void pool_work(struct pool *p, int thread)
{
	for (;;) {
		uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
		if ((t & NEXT_MASK) >= ((t >> NEXT_BITS) & NEXT_MASK))
			return;
		t = atomic_fetch_add_explicit(&p->ticket, 1, memory_order_acq_rel);
		if ((t & NEXT_MASK) >= ((t >> NEXT_BITS) & NEXT_MASK))
			return;
		p->fn(p->arg, (int)(t & NEXT_MASK), thread);
		atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
	}
}

static bool pool_has_work(struct pool *p)
{
	uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
	return (t & NEXT_MASK) < ((t >> NEXT_BITS) & NEXT_MASK);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pool *p = w->pool;
	while (!atomic_load(&p->closing)) {
		int spins = 0;
		while (!pool_has_work(p) && !atomic_load(&p->closing) && spins < SPINS) {
			pool_pause();
			spins++;
		}
		if (spins >= SPINS) {
			uint32_t seen = atomic_load(&p->wake);
			atomic_fetch_add(&p->asleep, 1);
			/* after this the caller either sees us asleep or we see its region */
			if (!pool_has_work(p) && !atomic_load(&p->closing))
				syscall(SYS_futex, &p->wake, FUTEX_WAIT_PRIVATE, seen, NULL, NULL,
				        0);
			atomic_fetch_sub(&p->asleep, 1);
		}
		pool_work(p, w->number);
	}
	return NULL;
}

static void pool_wake(struct pool *p)
{
	atomic_fetch_add(&p->wake, 1);
	if (atomic_load(&p->asleep) > 0)
		syscall(SYS_futex, &p->wake, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void pool_run(struct pool *p, pool_fn *fn, void *arg, int n)
{
	if (n <= 0)
		return;
	if (n == 1 || p->threads == 1) {
		for (int i = 0; i < n; i++)
			fn(arg, i, 0);
		return;
	}
	p->fn = fn;
	p->arg = arg;
	atomic_store_explicit(&p->done, 0, memory_order_relaxed);
	uint64_t region = (atomic_load(&p->ticket) >> (2 * NEXT_BITS)) + 1;
	atomic_store(&p->ticket, region << (2 * NEXT_BITS) | (uint64_t)n << NEXT_BITS);
	pool_wake(p);
	pool_work(p, 0);
	int spins = 0;
	while (atomic_load_explicit(&p->done, memory_order_acquire) < (uint32_t)n) {
		pool_pause();
		if (++spins >= SPINS_TO_YIELD) {
			sched_yield();
			spins = 0;
		}
	}
}

static int usable_cores(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		return CPU_COUNT(&set);
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 && n < 1024 ? (int)n : 1;
}

struct pool *pool_open(int threads, struct err *e)
{
	if (threads <= 0)
		threads = usable_cores();
	if (threads > 1024)
		threads = 1024;
	struct pool *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
	if (!p) {
		err_set(e, ERR_MEM, "no memory for a pool of threads");
		return NULL;
	}
	memset(p, 0, sizeof *p);
	p->threads = 1;
	p->worker = calloc((size_t)threads, sizeof *p->worker);
	if (!p->worker) {
		err_set(e, ERR_MEM, "no memory for a pool of threads");
		free(p);
		return NULL;
	}
	/* signals are the program's own, whose thread is the caller's */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = 0;
	for (int i = 1; i < threads && rc == 0; i++) {
		struct worker *w = &p->worker[i - 1];
		w->pool = p;
		w->number = i;
		rc = pthread_create(&w->id, NULL, worker_main, w);
		if (rc == 0)
			p->threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		err_set(e, ERR_MEM, "cannot start %d threads: %s: try fewer", threads,
		        strerror(rc));
		pool_close(p);
		return NULL;
	}
	return p;
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	atomic_store(&p->closing, true);
	pool_wake(p);
	for (int i = 0; i < p->threads - 1; i++)
		pthread_join(p->worker[i].id, NULL);
	free(p->worker);
	free(p);
}

int pool_threads(const struct pool *p)
{
	return p->threads;
}
