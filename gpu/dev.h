/*
 * dev.h - the words that kernels are written in, for two compilers.
 *
 * Under nvcc they are the real thing. Under g++ they are those of gpu/emu.h, a host emulation that
 * runs one fibre a thread and is unkind on purpose, so that indexing, bounds, barrier and
 * arithmetic faults show without a GPU. Kernels (gpu/k_*.cuh) include this header and nothing of
 * CUDA's; they are compiled by both, so they keep to what both know:
 *
 *   threadIdx blockIdx blockDim gridDim, __global__, __device__, __launch_bounds__, float4, uint4
 * ... LAUNCH(kernel, grid, block, shared_bytes, stream, args...)   host side SHARED(type, name,
 * count)   one-dimensional, per block; holds NaN (all bits set) at first DYN_SHARED(type, name) the
 * launch's shared_bytes, 16-byte aligned; likewise block_sync(), warp_sync(),
 * warp_xor/from/down/up(), warp_any(), warp_ballot(), warp_sum() mma_bf16(), ldmatrix_*(),
 * cp_async_*(), load_*(), prefetch_l2(), atomic_*(), fence()
 *
 * Warp words are for all 32 lanes together, block_sync() for all threads of the block; blocks have
 * a multiple of 32 threads. No block waits for another block of the same launch (the emulation runs
 * them one after another); "the last one to count up does the rest" is fine, in any order.
 */
#ifndef GPU_DEV_H
#define GPU_DEV_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef uint16_t bf16;                  /* the upper half of a float */
typedef struct dev_stream_ *dev_stream; /* a cudaStream_t; NULL in the emulation; as in device.h */

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define DEV           static __device__ __forceinline__
#define HOSTDEV       static __host__ __device__ __forceinline__
#define UNROLL        _Pragma("unroll")
#define UNROLL_N(n)   DEV_PRAGMA(unroll n)
#define DEV_PRAGMA(x) _Pragma(#x)

/* @kernel with @bytes of dynamic shared memory, also beyond 48 KB. Errors are cudaGetLastError()'s.
 */
#define LAUNCH(kernel, grid, block, bytes, stream, ...)                                            \
	dev_launch(false, kernel, grid, block, bytes, stream, __VA_ARGS__)
/* Programmatic dependent launch: may start while its predecessor ends; every kernel launched so
 * calls grid_wait() before it reads anything an earlier kernel wrote, or writes at all. */
#define LAUNCH_EARLY(kernel, grid, block, bytes, stream, ...)                                      \
	dev_launch(true, kernel, grid, block, bytes, stream, __VA_ARGS__)

template <class... P, class... A>
static inline void dev_launch(bool early, void (*kernel)(P...), dim3 grid, dim3 block, size_t bytes,
                              dev_stream stream, A... args)
{
	if (bytes > 48 * 1024)
		cudaFuncSetAttribute((const void *)kernel,
		                     cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
	cudaLaunchAttribute attribute[1] = {};
	attribute[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
	attribute[0].val.programmaticStreamSerializationAllowed = 1;
	cudaLaunchConfig_t c = {};
	c.gridDim = grid;
	c.blockDim = block;
	c.dynamicSmemBytes = bytes;
	c.stream = (cudaStream_t)stream;
	c.attrs = attribute;
	c.numAttrs = early ? 1 : 0;
	cudaLaunchKernelEx(&c, kernel, (P)args...);
}

#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define DYN_SHARED(type, name)                                                                     \
	extern __shared__ __align__(16) unsigned char dev_dynamic[];                               \
	type *name = (type *)dev_dynamic

DEV void block_sync()
{
	__syncthreads();
}
DEV void warp_sync()
{
	__syncwarp();
}
template <class T>
DEV T warp_xor(T v, int lanes)
{
	return __shfl_xor_sync(0xffffffffu, v, lanes);
}
template <class T>
DEV T warp_from(T v, int lane)
{
	return __shfl_sync(0xffffffffu, v, lane);
}
template <class T>
DEV T warp_down(T v, int by)
{
	return __shfl_down_sync(0xffffffffu, v, by);
}
template <class T>
DEV T warp_up(T v, int by)
{
	return __shfl_up_sync(0xffffffffu, v, by);
}
DEV unsigned warp_ballot(bool p)
{
	return __ballot_sync(0xffffffffu, p);
}
DEV bool warp_any(bool p)
{
	return __any_sync(0xffffffffu, p);
}

/* d += a b, one 16x8 tile, K = 16; fragments as PTX lays them out for mma.m16n8k16: with g = lane /
 * 4, t = lane % 4, a[0] = A[g][2t, 2t+1], a[1] = A[g+8][..], a[2] = A[g][2t+8, 2t+9], a[3] =
 * A[g+8][2t+8, ..]; b[0] = B[2t, 2t+1][g], b[1] = B[2t+8, 2t+9][g]; d[0], d[1] = D[g][2t, 2t+1],
 * d[2], d[3] = D[g+8][..]. The lower index sits in the lower half of a word. */
DEV void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
	             "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
	             : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEV uint32_t dev_shared_address(const void *p)
{
	return (uint32_t)__cvta_generic_to_shared(p);
}
/* Lane l gives the 16-byte aligned address in shared memory of row l % 8 (eight bf16) of 8x8 matrix
 * l / 8 (x2: lanes 0..15 count, the rest must still be valid addresses); r[m] = M_m[lane /
 * 4][2(lane % 4), +1], or with _trans M_m[2(lane % 4), +1][lane / 4]. */
DEV void ldmatrix_x4(uint32_t r[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(dev_shared_address(row))
	             : "memory");
}
DEV void ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(dev_shared_address(row))
	             : "memory");
}
DEV void ldmatrix_x2(uint32_t r[2], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1},[%2];"
	             : "=r"(r[0]), "=r"(r[1])
	             : "r"(dev_shared_address(row))
	             : "memory");
}
DEV void ldmatrix_x2_trans(uint32_t r[2], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1},[%2];"
	             : "=r"(r[0]), "=r"(r[1])
	             : "r"(dev_shared_address(row))
	             : "memory");
}

/* 16 bytes from global to shared memory, both aligned; there only after the wait (own thread) and a
 * barrier (others). With !@valid zeros are written and @global is not read, but it must be an
 * address. */
DEV void cp_async_16(void *shared, const void *global)
{
	asm volatile("cp.async.cg.shared.global [%0],[%1],16;" ::"r"(dev_shared_address(shared)),
	             "l"(global)
	             : "memory");
}
DEV void cp_async_16_or_zero(void *shared, const void *global, bool valid)
{
	asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(dev_shared_address(shared)),
	             "l"(global), "r"(valid ? 16 : 0)
	             : "memory");
}
DEV void cp_async_commit()
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Until at most @N of this thread's groups are under way. */
template <int N>
DEV void cp_async_wait()
{
	asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* 16 bytes: weights, read once and not kept in caches; values that nobody writes during the launch;
 * and values that other blocks may have written (L2, past L1). */
DEV uint4 load_stream(const void *p)
{
	return __ldcs((const uint4 *)p);
}
DEV uint4 load_const(const void *p)
{
	return __ldg((const uint4 *)p);
}
DEV uint4 load_fresh(const void *p)
{
	return __ldcg((const uint4 *)p);
}
DEV float load_fresh(const float *p)
{
	return __ldcg(p);
}
DEV void prefetch_l2(const void *p) /* the 128-byte line */
{
	asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

DEV int atomic_add(int *p, int v)
{
	return atomicAdd(p, v);
}
DEV unsigned atomic_add(unsigned *p, unsigned v)
{
	return atomicAdd(p, v);
}
DEV unsigned long long atomic_add(unsigned long long *p, unsigned long long v)
{
	return atomicAdd(p, v);
}
DEV int atomic_or(int *p, int v)
{
	return atomicOr(p, v);
}
DEV unsigned atomic_inc_wrap(unsigned *p, unsigned last) /* old; wraps to 0 after @last */
{
	return atomicInc(p, last);
}
DEV unsigned atomic_max(unsigned *p, unsigned v)
{
	return atomicMax(p, v);
}
DEV unsigned long long atomic_max(unsigned long long *p, unsigned long long v)
{
	return atomicMax(p, v);
}
DEV void fence() /* what this thread wrote is seen by all before what it writes next */
{
	__threadfence();
}
/* Programmatic launches: the successor may start; and wait for the predecessors' writes. */
DEV void grid_trigger()
{
	cudaTriggerProgrammaticLaunchCompletion();
}
DEV void grid_wait()
{
	cudaGridDependencySynchronize();
}

DEV float float_bits(uint32_t u)
{
	return __uint_as_float(u);
}
DEV uint32_t bits_float(float f)
{
	return __float_as_uint(f);
}
/* Nearest, ties to even; NaN gives NaN. */
DEV bf16 to_bf16(float f)
{
	bf16 r;
	asm("cvt.rn.bf16.f32 %0,%1;" : "=h"(r) : "f"(f));
	return r;
}
DEV uint32_t to_bf16x2(float low, float high)
{
	uint32_t r;
	asm("cvt.rn.bf16x2.f32 %0,%1,%2;" : "=r"(r) : "f"(high), "f"(low));
	return r;
}
DEV float rsqrt_near(float x) /* 2 units in the last place */
{
	return rsqrtf(x);
}
DEV int bit_count(unsigned v)
{
	return __popc(v);
}

#else

#include "gpu/emu.h"

#endif

/* Two names, one meaning. */
DEV float from_bf16(bf16 v)
{
	return float_bits((uint32_t)v << 16);
}
DEV float low_bf16(uint32_t pair)
{
	return float_bits(pair << 16);
}
DEV float high_bf16(uint32_t pair)
{
	return float_bits(pair & 0xffff0000u);
}
/* Sum and largest over the warp, the same bits in every lane. */
DEV float warp_sum(float v)
{
	UNROLL
	for (int m = 16; m; m >>= 1)
		v += warp_xor(v, m);
	return v;
}
DEV float warp_max(float v)
{
	UNROLL
	for (int m = 16; m; m >>= 1)
		v = fmaxf(v, warp_xor(v, m));
	return v;
}

#endif
