/*
 * sweep_cpu.c - the read sweep of the host's memory.
 */
#include "gpu/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/threads.h"
#include "src/base/clock.h"

enum { BLOCK = 1 << 20, ROUNDS = 6 };
static const size_t bytes = (size_t)1 << 30;

struct sweep {
	const unsigned char *at;
	uint64_t sum[4096]; /* of each block: so that nobody leaves the reads out */
};

typedef uint64_t wide __attribute__((vector_size(64)));

static void read_block(void *arg, int item, int thread)
{
	struct sweep *s = arg;
	const wide *p = (const void *)(s->at + (size_t)item * BLOCK);
	wide a[8] = { { 0 } };
	uint64_t sum = 0;

	(void)thread;
	for (size_t i = 0; i < BLOCK / sizeof(wide); i += 8)
		for (size_t k = 0; k < 8; k++)
			a[k] += p[i + k];
	for (int k = 0; k < 8; k++)
		for (int j = 0; j < 8; j++)
			sum += a[k][j];
	s->sum[item] = sum;
}

double backend_read_sweep(struct backend *b, struct err *e)
{
	struct backend_figures f;
	struct sweep *s = calloc(1, sizeof(*s));
	double best = NAN;

	b->ops->figures(b, &f);
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pool *p = s && memory != MAP_FAILED ? pool_open(f.threads, e) : NULL;
	if (!p) {
		err_set(e, ERR_MEM, "no memory for a sweep of %zu MiB", bytes >> 20);
		goto out;
	}
	madvise(memory, bytes, MADV_HUGEPAGE);
	memset(memory, 1, bytes);
	s->at = memory;
	for (int i = 0; i < ROUNDS; i++) {
		double since = clock_now_s();
		pool_run(p, read_block, s, (int)(bytes / BLOCK));
		double rate = (double)bytes / (clock_now_s() - since);
		if (s->sum[0] != 0x0101010101010101ull * (BLOCK / 8)) {
			err_set(e, ERR_IO, "memory does not hold what was written to it");
			goto out;
		}
		best = isnan(best) || rate > best ? rate : best;
	}
out:
	if (p)
		pool_close(p);
	if (memory != MAP_FAILED)
		munmap(memory, bytes);
	free(s);
	return best;
}
