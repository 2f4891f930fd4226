/*
 * device_memory.h - what tests of kernels need of gpu/emu.h, so that the same tests run on a
 * device: compiled by nvcc, memory is managed memory, there is one order (the hardware's own), and
 * faults are the runtime's words.
 */
#ifndef TESTS_DEVICE_MEMORY_H
#define TESTS_DEVICE_MEMORY_H

#include "gpu/dev.h"

#if defined(__CUDACC__)

#include <cstdio>
#include <cstdlib>
#include <cstring>

enum emu_order { EMU_UP, EMU_DOWN, EMU_SEEDED };
static inline void emu_set_order(enum emu_order, uint64_t)
{
}
static inline void emu_keep_faults(bool)
{
}
static inline void *emu_alloc(size_t bytes)
{
	void *p = nullptr;
	cudaError_t r = cudaMallocManaged(&p, bytes ? bytes : 1);
	if (r != cudaSuccess) {
		fprintf(stderr, "%zu bytes of managed memory: %s\n", bytes, cudaGetErrorString(r));
		exit(77); /* no device: the test is skipped */
	}
	memset(p, 0xff, bytes);
	return p;
}
static inline void emu_free(void *p)
{
	cudaFree(p);
}
/* Waits for what was queued. */
static inline const char *emu_fault()
{
	cudaError_t r = cudaDeviceSynchronize();
	return r == cudaSuccess ? "" : cudaGetErrorString(r);
}

#endif

#endif
