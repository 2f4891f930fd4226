/*
 * cuda_sweep.c - the read sweep of a device's memory.
 */
#include "gpu/sweep.h"

#include <math.h>

#include "gpu/cuda_inside.h"

enum { ROUNDS = 5, BLOCKS = 16 /* a multiprocessor; the table of bench_kernels tells the best */ };
static const uint64_t most_bytes = (uint64_t)8 << 30;

double backend_read_sweep(struct backend *base, struct err *e)
{
	struct cuda *b = (struct cuda *)base;
	struct device_about about;
	double best = 0;

	/* what the arena has left, in whole GiB where that is possible */
	device_describe(b->device, &about);
	uint64_t bytes = about.free_bytes / 10 * 9;
	bytes = bytes > most_bytes ? most_bytes : bytes / 4096 * 4096;
	if (bytes < (uint64_t)1 << 20) {
		err_set(e, ERR_MEM, "no memory is left for the sweep");
		return NAN;
	}
	void *p = device_take(b->device, bytes, e);
	uint32_t *sum = p ? device_take(b->device, 256, e) : NULL;
	if (!sum) {
		device_give(b->device, p);
		return NAN;
	}
	const struct k_sweep sweep = { .p = p, .bytes = (int64_t)bytes, .sum = sum };
	device_zero(b->device, p, bytes);
	device_zero(b->device, sum, 4);
	for (int i = 0; i <= ROUNDS; i++) { /* the first one warms up */
		device_mark(b->device, DEPTH);
		queue_sweep(&sweep, BLOCKS * about.processors, &b->tuning, b->stream);
		device_mark(b->device, DEPTH + 1);
		if (device_finish(b->device, e) < 0)
			break;
		double ms = (double)device_elapsed_ms(b->device, DEPTH, DEPTH + 1);
		if (i > 0 && ms > 0)
			best = fmax(best, (double)bytes / ms * 1e3);
	}
	device_give(b->device, sum);
	device_give(b->device, p);
	if (device_check(b->device, e) < 0)
		return NAN;
	if (best == 0) {
		err_set(e, ERR_LACKS, "an emulated device tells no time");
		return NAN;
	}
	return best;
}
