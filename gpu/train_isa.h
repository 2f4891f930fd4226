/*
 * train_isa.h - brings the text MIXER_TEXT in once for each instruction set, with the vectors of
 * gpu/train_vector.h: names end in _plain, _avx2, _avx512 (ID(x) in the text). For train_delta.c
 * and train_attention.c, which choose a version when they are called (mixer_version()).
 */
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Within an item numbers below 1.2e-38 are taken for 0: decays and probabilities make many, and
 * each costs a processor that handles them apart a hundred cycles. */
static inline unsigned tiny_numbers_off(void)
{
#if defined(__x86_64__)
	const unsigned was = _mm_getcsr();
	_mm_setcsr(was | 0x8040); /* flush to zero, denormals are zero */
	return was;
#else
	return 0;
#endif
}

static inline void tiny_numbers_restore(unsigned was)
{
#if defined(__x86_64__)
	_mm_setcsr(was);
#else
	(void)was;
#endif
}

/* ---- any processor: vectors of four that the compiler knows how to carry out ---- */

#define LANES         4
#define ROWS          4
#define ID(x)         x##_plain
#define FMA(a, b, c)  ((a) * (b) + (c))
#define MIN(a, b)     choose_plain((a) < (b), a, b)
#define MAX(a, b)     choose_plain((a) > (b), a, b)
#define KEEP(x)       (void)(x)
#define RECIPROCAL(x) (1.0f / (x))
#define LANES_SUM(x)  (((x)[0] + (x)[2]) + ((x)[1] + (x)[3]))
#define LANES_MAX(x)  across_max_plain(x)
typedef float four __attribute__((vector_size(16)));
typedef int32_t four_i __attribute__((vector_size(16)));
static inline four choose_plain(four_i yes, four a, four b)
{
	return (four)((yes & (four_i)a) | (~yes & (four_i)b));
}
static inline float across_max_plain(four x)
{
	float most = x[0];
	for (int l = 1; l < 4; l++)
		most = x[l] > most ? x[l] : most;
	return most;
}
#include "gpu/train_vector.h"
#include MIXER_TEXT
#undef LANES
#undef ROWS
#undef ID
#undef FMA
#undef MIN
#undef MAX
#undef KEEP
#undef RECIPROCAL
#undef LANES_SUM
#undef LANES_MAX

#if defined(__x86_64__)

/* ---- AVX2: 16 registers: 4 x 3 sums, 3 of the right matrix, one of the left ---- */

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES         8
#define ROWS          4
#define ID(x)         x##_avx2
#define FMA(a, b, c)  ((v_avx2)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define MIN(a, b)     ((v_avx2)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MAX(a, b)     ((v_avx2)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define KEEP(x)       __asm__("" : "+x"(x))
#define RECIPROCAL(x) reciprocal_avx2((__m256)(x))
#define LANES_SUM(x)  across_sum_avx2((__m256)(x))
#define LANES_MAX(x)  across_max_avx2((__m256)(x))
/* To a unit in the last place or two: a step of Newton's from twelve bits. */
static inline __attribute__((always_inline)) __m256 reciprocal_avx2(__m256 x)
{
	__m256 r = _mm256_rcp_ps(x);
	return _mm256_fmadd_ps(_mm256_fnmadd_ps(x, r, _mm256_set1_ps(1.0f)), r, r);
}
static inline __attribute__((always_inline)) float across_sum_avx2(__m256 x)
{
	__m128 h = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
	h = _mm_add_ps(h, _mm_movehl_ps(h, h));
	return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}
static inline __attribute__((always_inline)) float across_max_avx2(__m256 x)
{
	__m128 h = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
	h = _mm_max_ps(h, _mm_movehl_ps(h, h));
	return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}
#include "gpu/train_vector.h"
#include MIXER_TEXT
#undef LANES
#undef ROWS
#undef ID
#undef FMA
#undef MIN
#undef MAX
#undef KEEP
#undef RECIPROCAL
#undef LANES_SUM
#undef LANES_MAX
#pragma GCC pop_options

/* ---- AVX-512: 32 registers: 8 x 3 sums ---- */

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define LANES         16
#define ROWS          8
#define ID(x)         x##_avx512
#define FMA(a, b, c)  ((v_avx512)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define MIN(a, b)     ((v_avx512)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MAX(a, b)     ((v_avx512)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define KEEP(x)       __asm__("" : "+v"(x))
#define RECIPROCAL(x) reciprocal_avx512((__m512)(x))
#define LANES_SUM(x)  _mm512_reduce_add_ps((__m512)(x))
#define LANES_MAX(x)  _mm512_reduce_max_ps((__m512)(x))
static inline __attribute__((always_inline)) __m512 reciprocal_avx512(__m512 x)
{
	__m512 r = _mm512_rcp14_ps(x);
	return _mm512_fmadd_ps(_mm512_fnmadd_ps(x, r, _mm512_set1_ps(1.0f)), r, r);
}
#include "gpu/train_vector.h"
#include MIXER_TEXT
#undef LANES
#undef ROWS
#undef ID
#undef FMA
#undef MIN
#undef MAX
#undef KEEP
#undef RECIPROCAL
#undef LANES_SUM
#undef LANES_MAX
#pragma GCC pop_options

#endif
#undef V
#undef VI
#undef VU
#undef VIU

/* By @isa of struct mixer_rows: the version's name for x. */
#if defined(__x86_64__)
#define MIXER_PICK(isa, x)                                                                         \
	((isa) == MIXER_AVX512 ? x##_avx512 : (isa) == MIXER_AVX2 ? x##_avx2 : x##_plain)
#else
#define MIXER_PICK(isa, x) ((void)(isa), x##_plain)
#endif
