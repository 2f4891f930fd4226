/*
 * sweep_cpu.c - the read sweep of the host's memory, by as many threads as the backend has.
 */
#include "gpu/sweep.h"

#include <math.h>

#include "gpu/cpu.h"

double backend_read_sweep(struct backend *b, struct err *e)
{
	struct backend_figures f;

	b->ops->figures(b, &f);
	double rate = cpu_read_sweep(f.threads, (uint64_t)1 << 30);
	if (rate > 0)
		return rate;
	err_set(e, ERR_MEM, "no memory for a sweep of 1 GiB");
	return NAN;
}
