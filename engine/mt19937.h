/*
 * mt19937.h - the Mersenne twister as numpy's legacy generator seeds and reads it.
 *
 * numpy.random.seed(s) and numpy.random.random(): 53-bit doubles in [0, 1). With seed 7 the first
 * three are 0.07630828937395717, 0.7799187922401146, 0.4384092314408935.
 */
#ifndef ENGINE_MT19937_H
#define ENGINE_MT19937_H

#include <stdint.h>

struct mt19937 {
	uint32_t state[624];
	int at;
};

void mt19937_seed(struct mt19937 *g, uint32_t seed);
uint32_t mt19937_next(struct mt19937 *g);
double mt19937_double(struct mt19937 *g);

#endif
