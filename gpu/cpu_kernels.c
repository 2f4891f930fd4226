/*
 * cpu_kernels.c - the versions of the kernels, and which one this processor runs.
 */
#include "gpu/cpu_kernels.h"

#include <math.h>
#include <string.h>

#include "gpu/safetensors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Narrow weights have short rows, which end before the hardware has begun to read ahead. */
enum { AHEAD_BYTES = 8 << 10 };

/* ---- any processor: vectors of four that the compiler knows how to carry out ---- */

#define NAME         "plain"
#define LANES        4
#define TILE         4
#define ID(x)        x##_plain
#define FMA(a, b, c) ((a) * (b) + (c))
#define MIN(a, b)    choose_plain((a) < (b), a, b)
#define MAX(a, b)    choose_plain((a) > (b), a, b)
#define PREFETCH(p)  __builtin_prefetch(p)
typedef float four __attribute__((vector_size(16)));
typedef int32_t four_i __attribute__((vector_size(16)));

static inline four choose_plain(four_i yes, four a, four b)
{
	return (four)((yes & (four_i)a) | (~yes & (four_i)b));
}

static inline four bf16_plain(const char *p)
{
	uint16_t __attribute__((vector_size(8))) h;
	memcpy(&h, p, sizeof h);
	return (four)(__builtin_convertvector(h, four_i) << 16);
}

static inline four f16_plain(const char *p)
{
	uint16_t h[4];
	memcpy(h, p, sizeof h);
	return (four){ f16_widen(h[0]), f16_widen(h[1]), f16_widen(h[2]), f16_widen(h[3]) };
}

static inline four q8_plain(const char *p)
{
	int8_t __attribute__((vector_size(4))) q;
	memcpy(&q, p, sizeof q);
	return __builtin_convertvector(q, four);
}

static inline four sum_plain(const four *a)
{
	four t;
	for (int i = 0; i < 4; i++)
		t[i] = (a[i][0] + a[i][2]) + (a[i][1] + a[i][3]);
	return t;
}
#define KEEP(x)       (void)(x)
#define WIDEN_BF16(p) bf16_plain(p)
#define WIDEN_F16(p)  f16_plain(p)
#define WIDEN_Q8(p)   q8_plain(p)
#define SUM_TILE(a)   sum_plain(a)
#include "gpu/cpu_kernels_isa.h"

#if defined(__x86_64__)

/* ---- AVX2, FMA, F16C: 16 registers: 4 x 3 sums, 3 columns, a weight ---- */

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define NAME          "avx2"
#define LANES         8
#define TILE          4
#define ID(x)         x##_avx2
#define FMA(a, b, c)  ((v_avx2)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define MIN(a, b)     ((v_avx2)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MAX(a, b)     ((v_avx2)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define PREFETCH(p)   _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define HALF_LOAD(p)  _mm_loadu_si128((const __m128i *)(p))
#define WIDEN_BF16(p) ((v_avx2)_mm256_slli_epi32(_mm256_cvtepu16_epi32(HALF_LOAD(p)), 16))
#define WIDEN_F16(p)  ((v_avx2)_mm256_cvtph_ps(HALF_LOAD(p)))
#define WIDEN_Q8(p)                                                                                \
	((v_avx2)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p)))))
#define SUM_TILE(a) sum_avx2((const __m256 *)(a))
#define KEEP(x)     __asm__("" : "+x"(x))
static inline __attribute__((always_inline)) __m128 sum_avx2(const __m256 *a)
{
	__m256 t = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
	return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}
#include "gpu/cpu_kernels_isa.h"
#undef HALF_LOAD
#pragma GCC pop_options

/* ---- AVX-512: 32 registers: 8 x 3 sums, 3 columns, a weight; eleven loads for 24 products ---- */

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
#define NAME          "avx512"
#define LANES         16
#define TILE          8
#define ID(x)         x##_avx512
#define FMA(a, b, c)  ((v_avx512)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define MIN(a, b)     ((v_avx512)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MAX(a, b)     ((v_avx512)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define PREFETCH(p)   _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define HALF_LOAD(p)  _mm256_loadu_si256((const __m256i *)(p))
#define WIDEN_BF16(p) ((v_avx512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(HALF_LOAD(p)), 16))
#define WIDEN_F16(p)  ((v_avx512)_mm512_cvtph_ps(HALF_LOAD(p)))
#define WIDEN_Q8(p)                                                                                \
	((v_avx512)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p)))))
#define SUM_TILE(a) sum_avx512((const __m512 *)(a))
#define KEEP(x)     __asm__("" : "+v"(x))
/* Two rows' sums meet in one register at each of three steps, then the quarters are added. */
static inline __attribute__((always_inline)) __m512 sum_two_avx512(__m512 a, __m512 b)
{
	return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
}
static inline __attribute__((always_inline)) __m512 sum_four_avx512(__m512 a, __m512 b)
{
	__m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
	return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
	                     _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
static inline __attribute__((always_inline)) __m256 sum_avx512(const __m512 *a)
{
	__m512 low = sum_four_avx512(sum_two_avx512(a[0], a[1]), sum_two_avx512(a[2], a[3]));
	__m512 high = sum_four_avx512(sum_two_avx512(a[4], a[5]), sum_two_avx512(a[6], a[7]));
	__m512 t = _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88),
	                         _mm512_shuffle_f32x4(low, high, 0xdd));
	__m256 x = _mm512_castps512_ps256(t), y = _mm512_extractf32x8_ps(t, 1);
	return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20),
	                     _mm256_permute2f128_ps(x, y, 0x31));
}
#include "gpu/cpu_kernels_isa.h"
#undef HALF_LOAD
#pragma GCC pop_options

#endif

size_t mat_row_bytes(const struct mat *m)
{
	size_t n = (size_t)m->cols;
	switch (m->kind) {
	case MAT_F32:
		return n * 4;
	case MAT_F16:
	case MAT_BF16:
		return n * 2;
	case MAT_Q8:
		return n + (n + Q8_GROUP - 1) / Q8_GROUP * sizeof(float);
	case MAT_NONE:
		break;
	}
	return 0;
}

const struct kernels *kernels_named(const char *name)
{
#if defined(__x86_64__)
	if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
		return &kernels_avx512;
	if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") &&
	    __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
		return &kernels_avx2;
#endif
	return strcmp(name, "plain") == 0 ? &kernels_plain : NULL;
}

const struct kernels *kernels_best(void)
{
	const struct kernels *k = kernels_named("avx512");
	if (!k)
		k = kernels_named("avx2");
	return k ? k : &kernels_plain;
}
