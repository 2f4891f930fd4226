/*
 * train_dropout.h - which inputs of an adapter are dropped: a function of seed, module and place
 * alone, so that both trainers, any number of threads and a layer that is computed again drop the
 * same ones. C, C++ and CUDA.
 *
 * y = W x + s B (A x'), x'[i] = dropped ? 0 : x[i] / (1 - p). Each module has a mask of its own (as
 * PEFT's lora_dropout has), also where modules share their input.
 */
#ifndef GPU_TRAIN_DROPOUT_H
#define GPU_TRAIN_DROPOUT_H

#include <stdbool.h>

#include "gpu/random_weight.h"

enum { TRAIN_DROPOUT_MODULES = 16 }; /* more than MODULE_COUNT */

/* What train_dropped() takes for a module (enum module) of a layer; @seed: struct train_batch's. */
static inline RANDOM_WEIGHT_BOTH uint64_t train_dropout_key(uint64_t seed, int layer, int module)
{
	return random_weight_key(seed, (uint64_t)layer * TRAIN_DROPOUT_MODULES + (uint64_t)module);
}

/* Whether value @column of the module's @in inputs is dropped at row @row of the packed batch. */
static inline RANDOM_WEIGHT_BOTH bool train_dropped(uint64_t key, int row, int in, int column,
                                                    float p)
{
	return random_weight_uniform(key, (uint64_t)row * (uint64_t)in + (uint64_t)column) < p;
}

#endif
