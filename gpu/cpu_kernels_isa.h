/*
 * cpu_kernels_isa.h - the text of one version of the kernels; gpu/cpu_kernels.c includes it once
 * for each instruction set, after defining
 *
 *   LANES, TILE          floats of a vector; rows of a tile
 *   ID(x)                the version's own name for x
 *   FMA(a, b, c)         a * b + c
 *   MIN(a, b), MAX(a, b) b where either is NaN
 *   WIDEN_BF16/F16/Q8(p) LANES weights from memory of any alignment
 *   SUM_TILE(a)          TILE floats, as a vector: the sums of the lanes of a[0..TILE)
 *   KEEP(x)              x is in a register from here on: GCC would rather read it from memory
 * again for every use, and there are two loads a cycle, not three PREFETCH(p)
 *
 * Vectors are GCC's, with its operators. Tails of rows that no vector fills are read through a
 * zeroed one, so that they meet the same operations.
 */

#define V   ID(v)
#define VI  ID(vi)
#define VU  ID(vu)
#define VT  ID(vt)
#define VTU ID(vtu)
typedef float V __attribute__((vector_size(LANES * 4)));
typedef int32_t VI __attribute__((vector_size(LANES * 4)));
typedef float VU __attribute__((vector_size(LANES * 4), aligned(1), may_alias));
typedef float VT __attribute__((vector_size(TILE * 4)));
typedef float VTU __attribute__((vector_size(TILE * 4), aligned(4), may_alias));

#define INLINE      static inline __attribute__((always_inline))
#define UNROLL      _Pragma("GCC unroll 8")
#define LOAD(p)     ((V) * (const VU *)(p))
#define STORE(p, x) (*(VU *)(p) = (x))
#define SPLAT(x)    ((x) - (V){})

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

/* A fixed tree over the lanes. */
INLINE float ID(lanes_sum)(V x)
{
	float t[LANES];
	STORE(t, x);
	for (int step = LANES / 2; step > 0; step /= 2)
		for (int i = 0; i < step; i++)
			t[i] += t[i + step];
	return t[0];
}

/* e^x to 2 units in the last place, for x in [-87, 88]; beyond, what it is at the end. Cody and
 * Waite's reduction and the minimax polynomial of Cephes' expf (S. Moshier). NaN stays NaN. */
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
	return SPLAT(1.0f) / (SPLAT(1.0f) + ID(exp)(-x));
}

/* ---- matrix products ---- */

INLINE size_t ID(kind_bytes)(enum mat_kind kind)
{
	return kind == MAT_F32 ? 4 : kind == MAT_Q8 ? 1 : 2;
}

INLINE V ID(weights)(enum mat_kind kind, const char *p, float scale)
{
	switch (kind) {
	case MAT_F32:
		return LOAD(p);
	case MAT_BF16:
		return WIDEN_BF16(p);
	case MAT_F16:
		return WIDEN_F16(p);
	default:
		return WIDEN_Q8(p) * SPLAT(scale);
	}
}

INLINE V ID(weights_n)(enum mat_kind kind, const char *p, float scale, int n)
{
	char t[LANES * 4] = { 0 };
	memcpy(t, p, (size_t)n * ID(kind_bytes)(kind));
	return ID(weights)(kind, t, scale);
}

#if TILE == 8
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#else
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)
#endif

/* One weight vector against C columns. */
#define ROW_FMA(i, w)                                                                              \
	{                                                                                          \
		V w_ = (w);                                                                        \
		KEEP(w_);                                                                          \
		a0[i] = FMA(w_, x0, a0[i]);                                                        \
		if (C > 1)                                                                         \
			a1[i] = FMA(w_, x1, a1[i]);                                                \
		if (C > 2)                                                                         \
			a2[i] = FMA(w_, x2, a2[i]);                                                \
	}
#define LOAD_X(at)                                                                                 \
	V x0 = LOAD(x + (at)), x1 = C > 1 ? LOAD(x + ldx + (at)) : x0,                             \
	  x2 = C > 2 ? LOAD(x + 2 * ldx + (at)) : x0;                                              \
	(void)x1, (void)x2;

/* Of one block: the first one, or added to those before. */
INLINE void ID(sums)(int C, const V *a0, const V *a1, const V *a2, float *out, bool first)
{
	VTU *to = (VTU *)out;
	VT s0 = (VT)SUM_TILE(a0), s1 = s0, s2 = s0;
	if (C > 1)
		s1 = (VT)SUM_TILE(a1);
	if (C > 2)
		s2 = (VT)SUM_TILE(a2);
	if (!first)
		s0 += to[0];
	to[0] = s0;
	if (C > 1)
		to[1] = first ? s1 : s1 + (VT)to[1];
	if (C > 2)
		to[2] = first ? s2 : s2 + (VT)to[2];
}

/* out[c][TILE] of rows [row, row + TILE), the last row again where there are fewer. */
INLINE void ID(tile)(const struct mat *m, enum mat_kind kind, int C, int row, const float *x,
                     size_t ldx, float *out)
{
	const size_t bytes = ID(kind_bytes)(kind), row_bytes = (size_t)m->cols * bytes;
	const size_t groups = ((size_t)m->cols + Q8_GROUP - 1) / Q8_GROUP;
	const char *p[TILE];
	const float *scale[TILE];
	for (int i = 0; i < TILE; i++) {
		size_t r = (size_t)(row + i < m->rows ? row + i : m->rows - 1);
		p[i] = (const char *)m->data + r * row_bytes;
		scale[i] = kind == MAT_Q8 ? m->scale + r * groups : NULL;
	}

	for (int from = 0; from < m->cols; from += MAT_BLOCK) {
		const int to = m->cols - from < MAT_BLOCK ? m->cols : from + MAT_BLOCK;
		V a0[TILE] = { 0 }, a1[TILE] = { 0 }, a2[TILE] = { 0 };
		int k = from;
		for (; k + 64 <= to; k += 64) {
#define ROW_AHEAD(i)                                                                               \
	if (kind != MAT_F32)                                                                       \
		PREFETCH(p[i] + (size_t)k * bytes + AHEAD_BYTES);                                  \
	if (bytes == 2)                                                                            \
		PREFETCH(p[i] + (size_t)k * bytes + AHEAD_BYTES + 64);
			EACH_ROW(ROW_AHEAD)
			for (int j = 0; j < 64; j += LANES) {
				LOAD_X(k + j)
#define ROW_STEP(i)                                                                                \
	ROW_FMA(i, ID(weights)(kind, p[i] + (size_t)(k + j) * bytes,                               \
	                       kind == MAT_Q8 ? scale[i][k / Q8_GROUP] : 0))
				EACH_ROW(ROW_STEP)
			}
		}
		for (; k < to; k += LANES) {
			LOAD_X(k)
#define ROW_TAIL(i)                                                                                \
	ROW_FMA(i, ID(weights_n)(kind, p[i] + (size_t)k * bytes,                                   \
	                         kind == MAT_Q8 ? scale[i][k / Q8_GROUP] : 0,                      \
	                         to - k < LANES ? to - k : LANES))
			EACH_ROW(ROW_TAIL)
		}
		ID(sums)(C, a0, a1, a2, out, from == 0);
	}
}

/* One block of TILE rows as F32, [k / LANES][TILE][LANES], zero beyond the row's end. */
INLINE void ID(unpack)(const struct mat *m, enum mat_kind kind, int row, int from, int to,
                       float *panel)
{
	const size_t bytes = ID(kind_bytes)(kind), row_bytes = (size_t)m->cols * bytes;
	const size_t groups = ((size_t)m->cols + Q8_GROUP - 1) / Q8_GROUP;
	for (int i = 0; i < TILE; i++) {
		size_t r = (size_t)(row + i < m->rows ? row + i : m->rows - 1);
		const char *p = (const char *)m->data + r * row_bytes;
		const float *scale = kind == MAT_Q8 ? m->scale + r * groups : NULL;
		float *out = panel + i * LANES;
		int k = from;
		for (; k + LANES <= to; k += LANES, out += TILE * LANES)
			STORE(out, ID(weights)(kind, p + (size_t)k * bytes,
			                       scale ? scale[k / Q8_GROUP] : 0));
		if (k < to)
			STORE(out, ID(weights_n)(kind, p + (size_t)k * bytes,
			                         scale ? scale[k / Q8_GROUP] : 0, to - k));
	}
}

INLINE void ID(panel_tile)(const float *panel, int steps, int C, const float *x, size_t ldx,
                           float *out, bool first)
{
	V a0[TILE] = { 0 }, a1[TILE] = { 0 }, a2[TILE] = { 0 };
	for (int s = 0; s < steps; s++, panel += TILE * LANES) {
		LOAD_X((size_t)s * LANES)
#define ROW_PANEL(i) ROW_FMA(i, *(const V *)(panel + (i)*LANES))
		EACH_ROW(ROW_PANEL)
	}
	ID(sums)(C, a0, a1, a2, out, first);
}

INLINE void ID(write)(const float *out, int n, float *y, float scale, bool add)
{
	float part[TILE] = { 0 };
	float *to = n == TILE ? y : part;
	if (n < TILE && add)
		memcpy(part, y, (size_t)n * sizeof *part);
	VT sum = *(const VTU *)out * scale;
	if (add)
		sum += *(const VTU *)to;
	*(VTU *)to = sum;
	if (n < TILE)
		memcpy(y, part, (size_t)n * sizeof *part);
}

/* Many columns: through panels. Rows of one block go several tiles at a time, so that columns come
 * from L2 less often; longer ones are added up block by block. */
INLINE void ID(dot_panels)(const struct mat *m, enum mat_kind kind, int row, int end,
                           const float *x, size_t ldx, int cols, float *y, size_t ldy, float scale,
                           bool add)
{
	_Alignas(64) float panel[TILE * PANEL], out[PANEL / MAT_BLOCK * DOT_COLS * TILE];
	const int padded = (m->cols + LANES - 1) / LANES * LANES;
	const int group = PANEL / (padded < MAT_BLOCK ? padded : MAT_BLOCK);
	/* sums of several blocks wait for the last one */
	const int wait = padded > MAT_BLOCK ? DOT_COLS * TILE : 0;

	for (; row < end; row += group * TILE) {
		const int last = row + group * TILE < end ? row + group * TILE : end;
		for (int from = 0; from < m->cols; from += MAT_BLOCK) {
			int to = m->cols - from < MAT_BLOCK ? m->cols : from + MAT_BLOCK;
			int steps = (to - from + LANES - 1) / LANES, floats = steps * LANES * TILE;
			float *p = panel;
			for (int r = row; r < last; r += TILE, p += floats)
				ID(unpack)(m, kind, r, from, to, p);
			for (int c = 0; c < cols; c += 3) {
				const float *xc = x + (size_t)c * ldx + from;
				float *sum = out + (wait ? c * TILE : 0);
				p = panel;
				for (int r = row; r < last; r += TILE, p += floats, sum += wait) {
					int C = cols - c < 3 ? cols - c : 3;
					if (C == 3)
						ID(panel_tile)(p, steps, 3, xc, ldx, sum, !from);
					else if (C == 2)
						ID(panel_tile)(p, steps, 2, xc, ldx, sum, !from);
					else
						ID(panel_tile)(p, steps, 1, xc, ldx, sum, !from);
					for (int i = 0; to == m->cols && i < C; i++)
						ID(write)
					(sum + i * TILE, last - r < TILE ? last - r : TILE,
					 y + (size_t)(c + i) * ldy + r, scale, add);
				}
			}
		}
	}
}

INLINE void ID(dot_kind)(const struct mat *m, enum mat_kind kind, int row, int n, const float *x,
                         size_t ldx, int cols, float *y, size_t ldy, float scale, bool add)
{
	const int end = row + n;
	if (cols > 3) {
		ID(dot_panels)(m, kind, row, end, x, ldx, cols, y, ldy, scale, add);
		return;
	}
	for (; row < end; row += TILE) {
		_Alignas(64) float out[3 * TILE];
		if (cols == 1)
			ID(tile)(m, kind, 1, row, x, ldx, out);
		else if (cols == 2)
			ID(tile)(m, kind, 2, row, x, ldx, out);
		else
			ID(tile)(m, kind, 3, row, x, ldx, out);
		for (int c = 0; c < cols; c++)
			ID(write)
		(out + c * TILE, end - row < TILE ? end - row : TILE, y + (size_t)c * ldy + row,
		 scale, add);
	}
}

static void ID(dot)(const struct mat *m, int row, int n, const float *x, size_t ldx, int cols,
                    float *y, size_t ldy, float scale, bool add)
{
	switch (m->kind) {
	case MAT_F32:
		ID(dot_kind)(m, MAT_F32, row, n, x, ldx, cols, y, ldy, scale, add);
		break;
	case MAT_BF16:
		ID(dot_kind)(m, MAT_BF16, row, n, x, ldx, cols, y, ldy, scale, add);
		break;
	case MAT_F16:
		ID(dot_kind)(m, MAT_F16, row, n, x, ldx, cols, y, ldy, scale, add);
		break;
	case MAT_Q8:
		ID(dot_kind)(m, MAT_Q8, row, n, x, ldx, cols, y, ldy, scale, add);
		break;
	case MAT_NONE:
		break;
	}
}

/* R vectors of rows by C columns. */
INLINE void ID(spread_tile)(int R, int C, const float *m, size_t ldm, int inner, const float *t,
                            size_t ldt, float *y, size_t ldy, float scale)
{
	V a[4][4] = { { { 0 } } };
	for (int k = 0; k < inner; k++, m += ldm)
		for (int i = 0; i < R; i++) {
			V w = LOAD(m + i * LANES);
			for (int c = 0; c < C; c++)
				a[c][i] = FMA(w, SPLAT(t[(size_t)c * ldt + (size_t)k]), a[c][i]);
		}
	for (int c = 0; c < C; c++)
		for (int i = 0; i < R; i++) {
			float *to = y + (size_t)c * ldy + i * LANES;
			STORE(to, FMA(a[c][i], SPLAT(scale), LOAD(to)));
		}
}

static void ID(spread)(const float *m, size_t ldm, int inner, int row, int n, const float *t,
                       size_t ldt, int cols, float *y, size_t ldy, float scale)
{
	const int end = row + n;
	int c = 0;
	for (; c + 2 <= cols; c += 2) {
		int r = row;
		for (; r + 4 * LANES <= end; r += 4 * LANES)
			ID(spread_tile)
		(4, 2, m + r, ldm, inner, t + (size_t)c * ldt, ldt, y + (size_t)c * ldy + r, ldy,
		 scale);
		for (; r + LANES <= end; r += LANES)
			ID(spread_tile)
		(1, 2, m + r, ldm, inner, t + (size_t)c * ldt, ldt, y + (size_t)c * ldy + r, ldy,
		 scale);
	}
	if (c < cols) {
		int r = row;
		for (; r + 4 * LANES <= end; r += 4 * LANES)
			ID(spread_tile)
		(4, 1, m + r, ldm, inner, t + (size_t)c * ldt, ldt, y + (size_t)c * ldy + r, ldy,
		 scale);
		for (; r + LANES <= end; r += LANES)
			ID(spread_tile)
		(1, 1, m + r, ldm, inner, t + (size_t)c * ldt, ldt, y + (size_t)c * ldy + r, ldy,
		 scale);
	}
	/* the rows that fill no vector: what follows them in y may be another thread's */
	const int r = row + n / LANES * LANES, left = end - r;
	for (c = 0; left > 0 && c < cols; c++) {
		float *to = y + (size_t)c * ldy + r;
		V a = { 0 };
		for (int k = 0; k < inner; k++)
			a = FMA(LOAD(m + (size_t)k * ldm + r),
			        SPLAT(t[(size_t)c * ldt + (size_t)k]), a);
		ID(store_n)(to, FMA(a, SPLAT(scale), ID(load_n)(to, left)), left);
	}
}

/* ---- norms and element-wise ---- */

INLINE float ID(sum_squares)(const float *x, int n)
{
	V s = { 0 };
	int i = 0;
	for (; i + LANES <= n; i += LANES)
		s = FMA(LOAD(x + i), LOAD(x + i), s);
	if (i < n) {
		V v = ID(load_n)(x + i, n - i);
		s = FMA(v, v, s);
	}
	return ID(lanes_sum)(s);
}

static void ID(rms)(float *y, const float *x, const float *w, float eps, int n)
{
	float inv = 1.0f / sqrtf(ID(sum_squares)(x, n) / (float)n + eps);
	int i = 0;
	for (; i + LANES <= n; i += LANES)
		STORE(y + i, LOAD(x + i) * SPLAT(inv) * LOAD(w + i));
	for (; i < n; i++)
		y[i] = x[i] * inv * w[i];
}

static void ID(unit)(float *x, float scale, float eps, int n)
{
	float inv = 1.0f / sqrtf(ID(sum_squares)(x, n) + eps);
	for (int i = 0; i < n; i++)
		x[i] = x[i] * inv * scale;
}

static void ID(silu_mul)(float *gate, const float *up, int n)
{
	int i = 0;
	for (; i + LANES <= n; i += LANES) {
		V g = LOAD(gate + i);
		STORE(gate + i, g * ID(sigmoid)(g) * LOAD(up + i));
	}
	if (i < n) {
		V g = ID(load_n)(gate + i, n - i);
		ID(store_n)(gate + i, g * ID(sigmoid)(g) * ID(load_n)(up + i, n - i), n - i);
	}
}

static void ID(sigmoid_mul)(float *o, const float *gate, int n)
{
	int i = 0;
	for (; i + LANES <= n; i += LANES)
		STORE(o + i, LOAD(o + i) * ID(sigmoid)(LOAD(gate + i)));
	if (i < n)
		ID(store_n)
	(o + i, ID(load_n)(o + i, n - i) * ID(sigmoid)(ID(load_n)(gate + i, n - i)), n - i);
}

static float ID(softmax)(float *s, int n)
{
	float top = s[0];
	for (int i = 1; i < n; i++)
		top = s[i] > top ? s[i] : top;
	const int end = (int)row_pad((size_t)n);
	for (int i = n; i < end; i++)
		s[i] = 0;
	V sum = { 0 };
	for (int i = 0; i < end; i += LANES) {
		V p = ID(exp)(LOAD(s + i) - SPLAT(top));
		STORE(s + i, p);
		if (i + LANES > n)
			for (int j = n > i ? n : i; j < i + LANES; j++)
				s[j] = 0;
		sum += LOAD(s + i);
	}
	return ID(lanes_sum)(sum);
}

/* C columns and 4 vectors of a value: C * 4 accumulators. */
INLINE void ID(weigh_tile)(int C, int N, float *const *o, const float *p, size_t ldp, int from,
                           int to, const float *v, size_t ldv)
{
	V a[3][4];
	UNROLL
	for (int c = 0; c < C; c++)
		UNROLL
	for (int j = 0; j < N; j++)
		a[c][j] = LOAD(o[c] + j * LANES);
	for (int t = from; t < to; t++) {
		V w[4];
		UNROLL
		for (int j = 0; j < N; j++)
			w[j] = LOAD(v + (size_t)t * ldv + j * LANES);
		UNROLL
		for (int c = 0; c < C; c++)
			UNROLL
		for (int j = 0; j < N; j++)
			a[c][j] = FMA(SPLAT(p[(size_t)c * ldp + t]), w[j], a[c][j]);
	}
	UNROLL
	for (int c = 0; c < C; c++)
		UNROLL
	for (int j = 0; j < N; j++)
		STORE(o[c] + j * LANES, a[c][j]);
}

static void ID(weigh)(float *const *o, const float *p, size_t ldp, const int *n, int cols,
                      const float *v, size_t ldv, int hd)
{
	for (int c = 0; c < cols; c += 3) {
		int C = cols - c < 3 ? cols - c : 3, all = n[c];
		for (int i = 1; i < C; i++)
			all = n[c + i] < all ? n[c + i] : all;
		if (C < 3)
			all = 0;
		for (int at = 0; at < hd;) {
			int wide = hd - at >= 4 * LANES;
			float *head[3];
			for (int i = 0; i < C; i++)
				head[i] = o[c + i] + at;
			const float *pc = p + (size_t)c * ldp;
			if (wide) {
				if (C == 3)
					ID(weigh_tile)(3, 4, head, pc, ldp, 0, all, v + at, ldv);
				for (int i = 0; i < C; i++)
					ID(weigh_tile)
				(1, 4, head + i, pc + (size_t)i * ldp, ldp, all, n[c + i], v + at,
				 ldv);
			} else {
				if (C == 3)
					ID(weigh_tile)(3, 1, head, pc, ldp, 0, all, v + at, ldv);
				for (int i = 0; i < C; i++)
					ID(weigh_tile)
				(1, 1, head + i, pc + (size_t)i * ldp, ldp, all, n[c + i], v + at,
				 ldv);
			}
			at += wide ? 4 * LANES : LANES;
		}
	}
}

/* ---- DeltaNet ---- */

INLINE void ID(conv_lanes)(float *u, size_t ldu, int t, int n, const float *w, float *window,
                           size_t ldw, int K)
{
	V weight[CONV_MAX], past[CONV_MAX];
	UNROLL
	for (int j = 0; j < K; j++)
		weight[j] =
			n == LANES ? LOAD(w + (size_t)j * ldw) : ID(load_n)(w + (size_t)j * ldw, n);
	UNROLL
	for (int j = 0; j < K - 1; j++)
		past[j] = n == LANES ? LOAD(window + (size_t)j * ldw)
		                     : ID(load_n)(window + (size_t)j * ldw, n);
	for (int i = 0; i < t; i++, u += ldu) {
		V now = n == LANES ? LOAD(u) : ID(load_n)(u, n);
		V sum = { 0 };
		UNROLL
		for (int j = 0; j < K - 1; j++)
			sum = FMA(weight[j], past[j], sum);
		sum = FMA(weight[K - 1], now, sum);
		sum *= ID(sigmoid)(sum);
		if (n == LANES)
			STORE(u, sum);
		else
			ID(store_n)(u, sum, n);
		UNROLL
		for (int j = 0; j + 1 < K - 1; j++)
			past[j] = past[j + 1];
		if (K > 1)
			past[K - 2] = now;
	}
	UNROLL
	for (int j = 0; j < K - 1; j++) {
		if (n == LANES)
			STORE(window + (size_t)j * ldw, past[j]);
		else
			ID(store_n)(window + (size_t)j * ldw, past[j], n);
	}
}

static void ID(conv)(float *u, size_t ldu, int t, int n, const float *w, float *window, size_t ldw,
                     int k)
{
	for (int c = 0; c < n; c += LANES) {
		int lanes = n - c < LANES ? n - c : LANES;
		if (k == 4 && lanes == LANES)
			ID(conv_lanes)(u + c, ldu, t, LANES, w + c, window + c, ldw, 4);
		else
			ID(conv_lanes)(u + c, ldu, t, lanes, w + c, window + c, ldw, k);
	}
}

/* N vectors of the state's columns: they never meet the others, and N * LANES * dk floats stay in
 * L1 over all the tokens. */
INLINE void ID(delta_block)(int N, float *s, int dk, int ldv, int t, const float *k, const float *q,
                            const float *v, size_t ldk, const float *decay, const float *beta,
                            size_t ldg, float *o, size_t ldo, float *d, size_t ldd)
{
	for (int i = 0; i < t; i++) {
		V r0[4] = { 0 }, r1[4] = { 0 }, dd[4], oo[4] = { 0 };
		int a = 0;
		for (; a + 2 <= dk; a += 2)
			UNROLL
		for (int j = 0; j < N; j++) {
			const float *row = s + (size_t)a * ldv + j * LANES;
			r0[j] = FMA(SPLAT(k[a]), LOAD(row), r0[j]);
			r1[j] = FMA(SPLAT(k[a + 1]), LOAD(row + ldv), r1[j]);
		}
		if (a < dk)
			UNROLL
		for (int j = 0; j < N; j++)
			r0[j] = FMA(SPLAT(k[a]), LOAD(s + (size_t)a * ldv + j * LANES), r0[j]);
		const V e = SPLAT(*decay);
		UNROLL
		for (int j = 0; j < N; j++) {
			/* d = beta (v - (e^g S)T k) */
			dd[j] = SPLAT(*beta) * (LOAD(v + j * LANES) - e * (r0[j] + r1[j]));
			if (d)
				STORE(d + j * LANES, dd[j]);
		}
		for (a = 0; a < dk; a++)
			UNROLL
		for (int j = 0; j < N; j++) {
			float *row = s + (size_t)a * ldv + j * LANES;
			V now = FMA(SPLAT(k[a]), dd[j], e * LOAD(row));
			STORE(row, now);
			oo[j] = FMA(SPLAT(q[a]), now, oo[j]);
		}
		UNROLL
		for (int j = 0; j < N; j++)
			STORE(o + j * LANES, oo[j]);
		k += ldk, q += ldk, v += ldk, o += ldo, decay += ldg, beta += ldg;
		if (d)
			d += ldd;
	}
}

static void ID(delta)(float *s, int dk, int ldv, int t, const float *k, const float *q,
                      const float *v, size_t ldk, const float *decay, const float *beta, size_t ldg,
                      float *o, size_t ldo, float *d, size_t ldd)
{
	for (int at = 0; at < ldv;) {
		float *dd = d ? d + at : NULL;
		if (ldv - at >= 4 * LANES) {
			ID(delta_block)
			(4, s + at, dk, ldv, t, k, q, v + at, ldk, decay, beta, ldg, o + at, ldo,
			 dd, ldd);
			at += 4 * LANES;
		} else {
			ID(delta_block)
			(1, s + at, dk, ldv, t, k, q, v + at, ldk, decay, beta, ldg, o + at, ldo,
			 dd, ldd);
			at += LANES;
		}
	}
}

static void ID(delta_again)(float *s, int dk, int ldv, const float *k, const float *d, float decay)
{
	const V e = SPLAT(decay);
	for (int a = 0; a < dk; a++)
		for (int j = 0; j < ldv; j += LANES) {
			float *row = s + (size_t)a * ldv + j;
			STORE(row, FMA(SPLAT(k[a]), LOAD(d + j), e * LOAD(row)));
		}
}

static float ID(sweep)(const float *x, size_t n)
{
	V a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	for (size_t i = 0; i + 4 * LANES <= n; i += 4 * LANES) {
		for (int j = 0; j < 4 * LANES; j += 16)
			PREFETCH((const char *)(x + i + j) + 16384);
		a += LOAD(x + i);
		b += LOAD(x + i + LANES);
		c += LOAD(x + i + 2 * LANES);
		d += LOAD(x + i + 3 * LANES);
	}
	return ID(lanes_sum)((a + b) + (c + d));
}

static const struct kernels ID(kernels) = {
	.name = NAME,
	.lanes = LANES,
	.rows = TILE,
	.dot = ID(dot),
	.spread = ID(spread),
	.rms = ID(rms),
	.unit = ID(unit),
	.silu_mul = ID(silu_mul),
	.sigmoid_mul = ID(sigmoid_mul),
	.softmax = ID(softmax),
	.weigh = ID(weigh),
	.conv = ID(conv),
	.delta = ID(delta),
	.delta_again = ID(delta_again),
	.sweep = ID(sweep),
};

#undef V
#undef VI
#undef VU
#undef VT
#undef VTU
#undef INLINE
#undef UNROLL
#undef LOAD
#undef STORE
#undef SPLAT
#undef EACH_ROW
#undef ROW_FMA
#undef LOAD_X
#undef ROW_STEP
#undef ROW_AHEAD
#undef ROW_TAIL
#undef ROW_PANEL
#undef LANES
#undef TILE
#undef ID
#undef NAME
#undef FMA
#undef MIN
#undef MAX
#undef WIDEN_BF16
#undef WIDEN_F16
#undef WIDEN_Q8
#undef SUM_TILE
#undef KEEP
#undef PREFETCH
