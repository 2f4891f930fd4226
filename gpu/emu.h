/*
 * emu.h - kernels without a GPU: the words of dev.h on one core, one fibre a thread.
 *
 * What it does that hardware would not: shared memory is NaN (all bits set) when a block begins;
 * asynchronous copies land only in the wait; blocks, warps and lanes run in an order of choice (up,
 * down, seeded), each warp as far ahead of the others as barriers let it, so that a missing barrier
 * gives other bits in some order; threads that stand at different barriers, lanes that are missing
 * from a shuffle, misaligned 16-byte accesses and writes past a shared buffer end the launch with
 * file and line. With -fsanitize=address overruns of shared and global buffers are found as they
 * happen (each buffer is a malloc of its own), without it by a page that nobody may touch.
 *
 * What it cannot show: speed, memory order between blocks, mma's own order of summation.
 * Test code only; it keeps its state in one struct, for one thread.
 */
#ifndef GPU_EMU_H
#define GPU_EMU_H

#include <algorithm>
#include <cstring>

struct dim3 {
	unsigned x, y, z;
	constexpr dim3(unsigned ax = 1, unsigned ay = 1, unsigned az = 1) : x(ax), y(ay), z(az)
	{
	}
};
struct uint3 {
	unsigned x, y, z;
};
struct alignas(8) float2 {
	float x, y;
};
struct alignas(16) float4 {
	float x, y, z, w;
};
struct alignas(8) uint2 {
	unsigned x, y;
};
struct alignas(16) uint4 {
	unsigned x, y, z, w;
};
struct alignas(8) int2 {
	int x, y;
};
struct alignas(16) int4 {
	int x, y, z, w;
};
static inline float2 make_float2(float x, float y)
{
	return { x, y };
}
static inline float4 make_float4(float x, float y, float z, float w)
{
	return { x, y, z, w };
}
static inline uint2 make_uint2(unsigned x, unsigned y)
{
	return { x, y };
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
	return { x, y, z, w };
}

/* ---- the tests' side ---- */

enum emu_order { EMU_UP, EMU_DOWN, EMU_SEEDED };
/* Of all launches from here on. */
void emu_set_order(enum emu_order order, uint64_t seed);
/* With @on a fault ends its launch and is kept for emu_fault(); else it is printed and the program
 * aborts. */
void emu_keep_faults(bool on);
/* What the last launches did wrong, the first of it; "" when nothing. Forgets it. */
const char *emu_fault();
/* Memory of the "device", all bits set, overruns found as above. */
void *emu_alloc(size_t bytes);
void emu_free(void *p);

/* ---- what dev.h's words stand for ---- */

struct emu_thread {
	uint3 thread, block;
	dim3 block_dim, grid_dim;
	int lane;
};
extern struct emu_thread *emu_self; /* the fibre that runs */

#define threadIdx (emu_self->thread)
#define blockIdx  (emu_self->block)
#define blockDim  (emu_self->block_dim)
#define gridDim   (emu_self->grid_dim)
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define DEV          static inline __attribute__((unused))
#define HOSTDEV      static inline __attribute__((unused))
#define UNROLL
#define UNROLL_N(n)

#define EMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

void emu_launch(dim3 grid, dim3 block, size_t bytes, const char *name, void (*body)(void *),
                void *ctx);
template <class F>
static inline void emu_launch_of(dim3 grid, dim3 block, size_t bytes, const char *name, F body)
{
	emu_launch(
		grid, block, bytes, name, [](void *f) { (*(F *)f)(); }, &body);
}
#define LAUNCH(kernel, grid, block, bytes, stream, ...)                                            \
	((void)(stream), emu_launch_of(grid, block, bytes, #kernel, [=] { kernel(__VA_ARGS__); }))
#define LAUNCH_EARLY LAUNCH

void *emu_shared(const void *key, size_t bytes, const char *file, int line);
void *emu_dynamic();
#define SHARED(type, name, count)                                                                  \
	static const char name##_key = 0;                                                          \
	type *const name =                                                                         \
		(type *)emu_shared(&name##_key, sizeof(type) * (count), __FILE__, __LINE__)
#define DYN_SHARED(type, name) type *const name = (type *)emu_dynamic()

void emu_block_sync(const char *file, int line);
/* All lanes of the warp leave a record; the last one in calls @finish over the 32 of them. */
void emu_meet(const char *what, void *record, void (*finish)(void **record), const char *file,
              int line);
void emu_stop(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), noreturn));

static inline void block_sync(EMU_HERE)
{
	emu_block_sync(file, line);
}
static inline void warp_sync(EMU_HERE)
{
	emu_meet(
		"warp_sync", nullptr, [](void **) {}, file, line);
}
template <class T>
struct emu_exchange {
	T in, out;
	int from;
};
template <class T>
static inline T emu_shuffle(const char *what, T v, int from, const char *file, int line)
{
	static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take 4 or 8 bytes");
	emu_exchange<T> x = { v, v, from };
	emu_meet(
		what, &x,
		[](void **record) {
			for (int i = 0; i < 32; i++) {
				emu_exchange<T> *to = (emu_exchange<T> *)record[i];
				to->out = ((emu_exchange<T> *)record[to->from])->in;
			}
		},
		file, line);
	return x.out;
}
template <class T>
static inline T warp_xor(T v, int lanes, EMU_HERE)
{
	return emu_shuffle("warp_xor", v, (emu_self->lane ^ lanes) & 31, file, line);
}
template <class T>
static inline T warp_from(T v, int lane, EMU_HERE)
{
	return emu_shuffle("warp_from", v, lane & 31, file, line);
}
template <class T>
static inline T warp_down(T v, int by, EMU_HERE)
{
	int from = emu_self->lane + by;
	return emu_shuffle("warp_down", v, from < 32 ? from : emu_self->lane, file, line);
}
template <class T>
static inline T warp_up(T v, int by, EMU_HERE)
{
	int from = emu_self->lane - by;
	return emu_shuffle("warp_up", v, from >= 0 ? from : emu_self->lane, file, line);
}
unsigned warp_ballot(bool p, EMU_HERE);
static inline bool warp_any(bool p, EMU_HERE)
{
	return warp_ballot(p, file, line) != 0;
}

void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], EMU_HERE);
void ldmatrix_x4(uint32_t r[4], const void *row, EMU_HERE);
void ldmatrix_x4_trans(uint32_t r[4], const void *row, EMU_HERE);
void ldmatrix_x2(uint32_t r[2], const void *row, EMU_HERE);
void ldmatrix_x2_trans(uint32_t r[2], const void *row, EMU_HERE);

void cp_async_16_or_zero(void *shared, const void *global, bool valid, EMU_HERE);
static inline void cp_async_16(void *shared, const void *global, EMU_HERE)
{
	cp_async_16_or_zero(shared, global, true, file, line);
}
void cp_async_commit();
void emu_async_wait(int n);
template <int N>
static inline void cp_async_wait()
{
	emu_async_wait(N);
}

static inline uint4 emu_load(const void *p, const char *file, int line)
{
	if ((uintptr_t)p % 16)
		emu_stop(file, line,
		         "16 bytes are read at an address that is not a multiple of 16");
	return *(const uint4 *)p;
}
static inline uint4 load_stream(const void *p, EMU_HERE)
{
	return emu_load(p, file, line);
}
static inline uint4 load_const(const void *p, EMU_HERE)
{
	return emu_load(p, file, line);
}
static inline uint4 load_fresh(const void *p, EMU_HERE)
{
	return emu_load(p, file, line);
}
static inline float load_fresh(const float *p)
{
	return *(const volatile float *)p;
}
static inline void prefetch_l2(const void *p)
{
	(void)p; /* a hint; hardware drops it too when the address is none */
}

template <class T>
static inline T atomic_add(T *p, T v)
{
	T old = *p;
	*p = old + v;
	return old;
}
static inline int atomic_or(int *p, int v)
{
	int old = *p;
	*p = old | v;
	return old;
}
static inline unsigned atomic_inc_wrap(unsigned *p, unsigned last)
{
	unsigned old = *p;
	*p = old >= last ? 0 : old + 1;
	return old;
}
template <class T>
static inline T atomic_max(T *p, T v)
{
	T old = *p;
	if (v > old)
		*p = v;
	return old;
}
static inline void fence()
{
}
static inline void grid_trigger()
{
}
static inline void grid_wait()
{
}

static inline float float_bits(uint32_t u)
{
	float f;
	memcpy(&f, &u, 4);
	return f;
}
static inline uint32_t bits_float(float f)
{
	uint32_t u;
	memcpy(&u, &f, 4);
	return u;
}
static inline bf16 to_bf16(float f)
{
	uint32_t u = bits_float(f);
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return 0x7fff;
	return (bf16)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}
static inline uint32_t to_bf16x2(float low, float high)
{
	return to_bf16(low) | (uint32_t)to_bf16(high) << 16;
}
static inline float rsqrt_near(float x)
{
	return 1.0f / sqrtf(x);
}
static inline int bit_count(unsigned v)
{
	return __builtin_popcount(v);
}
using std::max;
using std::min;

#endif
