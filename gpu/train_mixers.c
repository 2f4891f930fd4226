/*
 * train_mixers.c - what the two mixers share: which version runs, and which sample comes first.
 */
#include "gpu/train_mixers_inside.h"

#include <stdlib.h>

enum mixer_isa mixer_version(enum mixer_isa isa, bool *runs)
{
	enum mixer_isa best = MIXER_PLAIN;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		best = MIXER_AVX2;
	if (best == MIXER_AVX2 && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		best = MIXER_AVX512;
#endif
	if (runs)
		*runs = isa <= best;
	return isa == MIXER_BEST || isa > best ? best : isa;
}

/* Length in the high half, number in the low: both fit. */
static int longest_first(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	const uint32_t x_len = (uint32_t)(x >> 32), y_len = (uint32_t)(y >> 32);
	if (x_len != y_len)
		return x_len > y_len ? -1 : 1;
	return (x > y) - (x < y);
}

size_t mixers_order_floats(int samples)
{
	return ((size_t)samples * 2 + 15) / 16 * 16;
}

const uint64_t *mixers_order(const struct mixer_rows *r, float **scratch)
{
	uint64_t *order = (uint64_t *)(void *)*scratch;
	for (int s = 0; s < r->samples; s++)
		order[s] = (uint64_t)(uint32_t)(r->start[s + 1] - r->start[s]) << 32 | (uint32_t)s;
	qsort(order, (size_t)r->samples, sizeof *order, longest_first);
	*scratch += mixers_order_floats(r->samples);
	return order;
}
