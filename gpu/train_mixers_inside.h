/*
 * train_mixers_inside.h - what the two mixers share.
 */
#ifndef GPU_TRAIN_MIXERS_INSIDE_H
#define GPU_TRAIN_MIXERS_INSIDE_H

#include "gpu/train_mixers.h"

/* The samples, longest first, so that threads end together; at the start of a scratch (8-byte
 * aligned), which is moved on by mixers_order_floats(). */
size_t mixers_order_floats(int samples);
const uint64_t *mixers_order(const struct mixer_rows *r, float **scratch);
static inline int mixers_sample(const uint64_t *order, int i)
{
	return (int)(uint32_t)order[i];
}

#endif
