/*
 * train_vector.h - what the mixers' item texts share in one instruction set (gpu/train_isa.h
 * includes it once for each): vectors, exp, products of small matrices, transposes.
 *
 * Small matrices here are padded: rows to a multiple of 16, columns to a multiple of 16, zero
 * there. So no product has a tail.
 */
#ifndef GPU_TRAIN_VECTOR_ONCE
#define GPU_TRAIN_VECTOR_ONCE
#define V      ID(v)
#define VI     ID(vi)
#define VU     ID(vu)
#define INLINE static inline __attribute__((always_inline, unused))
#define APART  static __attribute__((noinline, unused))
#define UNROLL _Pragma("GCC unroll 16")

#define LOAD(p)     ((V) * (const VU *)(p))
#define STORE(p, x) (*(VU *)(p) = (x))
#define SPLAT(x)    ((x) - (V){})
/* Rows of a head are far apart: the hardware doesn't see them coming. */
#define AHEAD(p)       __builtin_prefetch(p)
#define AHEAD_WRITE(p) __builtin_prefetch(p, 1)

static const int32_t vector_lanes[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* What a product does to C, and which part of it is asked for. */
enum product_how { SET, ADD, SUB, NEG }; /* C = AB, C += AB, C -= AB, C = -AB */
enum product_part {
	ALL,
	LEFT_LOWER, /* A's row i is zero, or rubbish, in columns beyond i rounded up to 8, + off */
	LEFT_UPPER, /* A's row i is not read in columns below i rounded down to 8, - off */
	OUT_LOWER   /* C's row i is not wanted in columns beyond i + off */
};
#endif

typedef float V __attribute__((vector_size(LANES * 4)));
typedef int32_t VI __attribute__((vector_size(LANES * 4)));
typedef float VU __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

INLINE V ID(load_n)(const float *p, int n)
{
	float t[LANES] = { 0 };
	memcpy(t, p, (size_t)n * sizeof *t);
	return LOAD(t);
}

INLINE void ID(store_n)(float *p, V x, int n)
{
	float t[LANES];
	STORE(t, x);
	memcpy(p, t, (size_t)n * sizeof *t);
}

/* Whole vectors where they fit: @n lanes of it are there. */
INLINE V ID(load)(const float *p, int n)
{
	return n >= LANES ? LOAD(p) : ID(load_n)(p, n);
}

INLINE void ID(store)(float *p, V x, int n)
{
	if (n >= LANES)
		STORE(p, x);
	else
		ID(store_n)(p, x, n);
}

INLINE float ID(lanes_sum)(V x) /* a fixed tree */
{
	return LANES_SUM(x);
}

/* e^x to 2 units in the last place, for x in [-87, 88]; beyond, what it is at the end: as in
 * gpu/cpu_kernels_isa.h. */
INLINE V ID(exp)(V x)
{
	x = MIN(SPLAT(88.0f), x);
	x = MAX(SPLAT(-87.0f), x);
	V shift = SPLAT(12582912.0f); /* 1.5 * 2^23: rounds to an integer in the low bits */
	V n = FMA(x, SPLAT(1.44269504f), shift);
	VI power = ((VI)n - (VI)shift + 127) << 23;
	n -= shift;
	V r = FMA(n, SPLAT(-0.693359375f), x);
	r = FMA(n, SPLAT(2.12194440e-4f), r);
	V p = SPLAT(1.9875691500e-4f);
	p = FMA(p, r, SPLAT(1.3981999507e-3f));
	p = FMA(p, r, SPLAT(8.3334519073e-3f));
	p = FMA(p, r, SPLAT(4.1665795894e-2f));
	p = FMA(p, r, SPLAT(1.6666665459e-1f));
	p = FMA(p, r, SPLAT(5.0000001201e-1f));
	p = FMA(p, r * r, r + SPLAT(1.0f));
	return p * (V)power;
}

INLINE V ID(sigmoid)(V x)
{
	V below = SPLAT(1.0f) + ID(exp)(-x);
	return (V)RECIPROCAL(below);
}

/* log(1 + e^x), as max(x, 0) + 2 artanh(y / (2 + y)) with y = e^-|x|: to 3 units in the last place.
 */
INLINE V ID(softplus)(V x)
{
	V top = MAX(x, SPLAT(0.0f));
	V y = ID(exp)(x - top - top); /* x - 2 max(x, 0) is -|x| */
	V below = SPLAT(2.0f) + y;
	V z = y * (V)RECIPROCAL(below), zz = z * z;
	V p = SPLAT(1.0f / 15);
	p = FMA(p, zz, SPLAT(1.0f / 13));
	p = FMA(p, zz, SPLAT(1.0f / 11));
	p = FMA(p, zz, SPLAT(1.0f / 9));
	p = FMA(p, zz, SPLAT(1.0f / 7));
	p = FMA(p, zz, SPLAT(1.0f / 5));
	p = FMA(p, zz, SPLAT(1.0f / 3));
	p = FMA(p, zz, SPLAT(1.0f));
	return FMA(p, z + z, top);
}

/* x in lanes below @n, 0 in the others, whatever is there. */
INLINE V ID(first)(V x, int n)
{
	VI lane;
	memcpy(&lane, vector_lanes, sizeof lane);
	return (V)((VI)x & (lane < n));
}

/* sum of x y over n padded floats */
INLINE float ID(dot)(const float *x, const float *y, int n)
{
	V s = { 0 };
	for (int i = 0; i < n; i += LANES)
		s = FMA(LOAD(x + i), LOAD(y + i), s);
	return ID(lanes_sum)(s);
}

/* ROWS x N vectors of C. A's element (i, p) is a[i * lda + p], or a[p * lda + i] with @ta. */
INLINE void ID(tile)(int N, bool ta, int from, int to, const float *a, size_t lda, const float *b,
                     size_t ldb, float *c, size_t ldc, enum product_how how)
{
	V s[ROWS][3];
	UNROLL
	for (int i = 0; i < ROWS; i++)
		UNROLL
	for (int j = 0; j < N; j++)
		s[i][j] = (V){ 0 };
	b += (size_t)from * ldb;
	for (int p = from; p < to; p++, b += ldb) {
		V w[3];
		UNROLL
		for (int j = 0; j < N; j++) {
			w[j] = LOAD(b + j * LANES);
			KEEP(w[j]);
		}
		UNROLL
		for (int i = 0; i < ROWS; i++) {
			V x = SPLAT(ta ? a[(size_t)p * lda + (size_t)i]
			               : a[(size_t)i * lda + (size_t)p]);
			UNROLL
			for (int j = 0; j < N; j++)
				s[i][j] = FMA(x, w[j], s[i][j]);
		}
	}
	UNROLL
	for (int i = 0; i < ROWS; i++)
		UNROLL
	for (int j = 0; j < N; j++) {
		float *to_c = c + (size_t)i * ldc + j * LANES;
		if (how == SET)
			STORE(to_c, s[i][j]);
		else if (how == ADD)
			STORE(to_c, LOAD(to_c) + s[i][j]);
		else if (how == SUB)
			STORE(to_c, LOAD(to_c) - s[i][j]);
		else
			STORE(to_c, -s[i][j]);
	}
}

INLINE void ID(product_of)(bool ta, enum product_part part, int off, int m, int n, int k,
                           const float *a, size_t lda, const float *b, size_t ldb, float *c,
                           size_t ldc, enum product_how how)
{
	const int vectors = n / LANES;
	for (int v = 0; v < vectors;) {
		const int left = vectors - v, N = left >= 3 && left != 4 ? 3 : left >= 2 ? 2 : 1;
		int i = 0;
		if (part == OUT_LOWER && v * LANES > off)
			i = (v * LANES - off) / ROWS * ROWS;
		for (; i < m; i += ROWS) {
			int from = 0, to = k;
			if (part == LEFT_LOWER)
				to = i / 8 * 8 + 8 + off < k ? i / 8 * 8 + 8 + off : k;
			if (part == LEFT_UPPER)
				from = i / 8 * 8 > off ? i / 8 * 8 - off : 0;
			const float *at = a + (ta ? (size_t)i : (size_t)i * lda);
			float *out = c + (size_t)i * ldc + v * LANES;
			if (N == 3)
				ID(tile)
			(3, ta, from, to, at, lda, b + v * LANES, ldb, out, ldc, how);
			else if (N == 2) ID(tile)(2, ta, from, to, at, lda, b + v * LANES, ldb, out,
			                          ldc, how);
			else ID(tile)(1, ta, from, to, at, lda, b + v * LANES, ldb, out, ldc, how);
		}
		v += N;
	}
}

/* C [m][n] of op(A) [m][k] and B [k][n]; m a multiple of 8, n of 16. Each element is one sum in
 * rising k. */
APART void ID(product)(enum product_part part, int off, int m, int n, int k, const float *a,
                       size_t lda, const float *b, size_t ldb, float *c, size_t ldc,
                       enum product_how how)
{
	ID(product_of)(false, part, off, m, n, k, a, lda, b, ldb, c, ldc, how);
}

APART void ID(product_ta)(enum product_part part, int off, int m, int n, int k, const float *a,
                          size_t lda, const float *b, size_t ldb, float *c, size_t ldc,
                          enum product_how how)
{
	ID(product_of)(true, part, off, m, n, k, a, lda, b, ldb, c, ldc, how);
}

/* out [cols][rows] of in [rows][cols]; both multiples of 4. */
APART void ID(transpose)(const float *in, size_t ldi, int rows, int cols, float *out, size_t ldo)
{
	typedef float four_u __attribute__((vector_size(16), aligned(4), may_alias));
	for (int i = 0; i < rows; i += 4)
		for (int j = 0; j < cols; j += 4) {
			const float *from = in + (size_t)i * ldi + j;
			float *to = out + (size_t)j * ldo + i;
			four r[4], t[4];
			UNROLL
			for (int l = 0; l < 4; l++)
				r[l] = (four) * (const four_u *)(from + (size_t)l * ldi);
			t[0] = __builtin_shuffle(r[0], r[1], (four_i){ 0, 4, 1, 5 });
			t[1] = __builtin_shuffle(r[0], r[1], (four_i){ 2, 6, 3, 7 });
			t[2] = __builtin_shuffle(r[2], r[3], (four_i){ 0, 4, 1, 5 });
			t[3] = __builtin_shuffle(r[2], r[3], (four_i){ 2, 6, 3, 7 });
			*(four_u *)(to) = __builtin_shuffle(t[0], t[2], (four_i){ 0, 1, 4, 5 });
			*(four_u *)(to + ldo) =
				__builtin_shuffle(t[0], t[2], (four_i){ 2, 3, 6, 7 });
			*(four_u *)(to + 2 * ldo) =
				__builtin_shuffle(t[1], t[3], (four_i){ 0, 1, 4, 5 });
			*(four_u *)(to + 3 * ldo) =
				__builtin_shuffle(t[1], t[3], (four_i){ 2, 3, 6, 7 });
		}
}

/* y = s[i] * x in every row i; n padded columns. */
INLINE void ID(scale_rows)(const float *s, const float *x, size_t ldx, int rows, int n, float *y,
                           size_t ldy)
{
	for (int i = 0; i < rows; i++) {
		V f = SPLAT(s[i]);
		for (int c = 0; c < n; c += LANES)
			STORE(y + (size_t)i * ldy + c, f * LOAD(x + (size_t)i * ldx + c));
	}
}
