/*
 * random_weight.h - the values of model_random(): a function of seed, tensor and place alone, so
 * that host and device make the same ones without a copy, in any order, on any number of threads.
 *
 * Bell-shaped: the sum of four uniforms of 16 bits, mean 0, within 3.5 standard deviations. All in
 * integers but for one product, so that the bits are the same everywhere. C, C++ and CUDA.
 */
#ifndef GPU_RANDOM_WEIGHT_H
#define GPU_RANDOM_WEIGHT_H

#include <stdint.h>

#ifdef __CUDACC__
#define RANDOM_WEIGHT_BOTH __host__ __device__
#else
#define RANDOM_WEIGHT_BOTH
#endif

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014): the finaliser of
 * SplitMix64. */
static inline RANDOM_WEIGHT_BOTH uint64_t random_weight_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* What random_weight() takes for tensor number @tensor (its index in model.tensors.item). */
static inline RANDOM_WEIGHT_BOTH uint64_t random_weight_key(uint64_t seed, uint64_t tensor)
{
	return random_weight_mix(random_weight_mix(seed + 0x9e3779b97f4a7c15u) + tensor);
}

/* Element @i (row-major) of a matrix: mean 0, standard deviation 0.02. */
static inline RANDOM_WEIGHT_BOTH float random_weight(uint64_t key, uint64_t i)
{
	uint64_t z = random_weight_mix(key + i * 0x9e3779b97f4a7c15u);
	int32_t sum = (int32_t)(z & 0xffff) + (int32_t)(z >> 16 & 0xffff) +
	              (int32_t)(z >> 32 & 0xffff) + (int32_t)(z >> 48);

	/* four uniforms of 0..65535 have a standard deviation of sqrt((2^32 - 1) / 3) */
	return (float)(sum - 131070) * (0.02f / 37837.227f);
}

/* From 0 on, under 1: 24 bits. */
static inline RANDOM_WEIGHT_BOTH float random_weight_uniform(uint64_t key, uint64_t i)
{
	return (float)(random_weight_mix(key + i * 0x9e3779b97f4a7c15u) >> 40) * 0x1p-24f;
}

#endif
