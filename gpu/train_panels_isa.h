/*
 * train_panels_isa.h - a block of rows times packed panels, in one instruction set:
 * gpu/train_panels.c has the frame.
 */

/* Where a tile stands: rows of A, columns of a panel, its place in C. */
struct ID(panel_at) {
	const float *a, *b, *plus; /* plus NULL: nothing is added */
	float *c;
	size_t lda, ldc;
	float alpha;
};

/* R rows x N vectors of C, from row @i. */
INLINE void ID(panel_tile)(int R, int N, int k, const struct ID(panel_at) * t, int i)
{
	const float *a = t->a + (size_t)i * t->lda, *b = t->b;
	const size_t lda = t->lda, at = (size_t)i * t->ldc;
	V s[ROWS][3];
	UNROLL
	for (int r = 0; r < R; r++)
		UNROLL
	for (int j = 0; j < N; j++)
		s[r][j] = (V){ 0 };
	for (int p = 0; p < k; p++, b += PANEL) {
		V w[3];
		UNROLL
		for (int j = 0; j < N; j++) {
			w[j] = LOAD(b + j * LANES);
			KEEP(w[j]);
		}
		UNROLL
		for (int r = 0; r < R; r++) {
			V x = SPLAT(a[(size_t)r * lda + (size_t)p]);
			UNROLL
			for (int j = 0; j < N; j++)
				s[r][j] = FMA(x, w[j], s[r][j]);
		}
	}
	UNROLL
	for (int r = 0; r < R; r++)
		UNROLL
	for (int j = 0; j < N; j++) {
		const size_t to = at + (size_t)r * t->ldc + (size_t)(j * LANES);
		V sum = SPLAT(t->alpha) * s[r][j];
		if (t->plus)
			sum += LOAD(t->plus + to);
		STORE(t->c + to, sum);
	}
}

INLINE void ID(panel_rows)(int N, int m, int k, const struct ID(panel_at) * t)
{
	int i = 0;
	for (; i + ROWS <= m; i += ROWS)
		ID(panel_tile)(ROWS, N, k, t, i);
	for (; ROWS > 4 && i + 4 <= m; i += 4)
		ID(panel_tile)(4, N, k, t, i);
	for (; i < m; i++)
		ID(panel_tile)(1, N, k, t, i);
}

/* The last columns, fewer than the vectors that hold them: by way of a copy. */
INLINE void ID(panel_edge)(int columns, int m, int k, const struct ID(panel_at) * t)
{
	enum { WIDE_ROW = 3 * LANES };
	float all[ROWS * WIDE_ROW];
	for (int i = 0; i < m; i += ROWS) {
		const int rows = m - i < ROWS ? m - i : ROWS;
		const struct ID(panel_at) some = { .a = t->a + (size_t)i * t->lda,
			                           .b = t->b,
			                           .c = all,
			                           .lda = t->lda,
			                           .ldc = WIDE_ROW,
			                           .alpha = t->alpha };
		ID(panel_rows)(3, rows, k, &some);
		for (int r = 0; r < rows; r++) {
			const size_t at = (size_t)(i + r) * t->ldc;
			for (int j = 0; j < columns; j++)
				t->c[at + (size_t)j] = all[r * WIDE_ROW + j] +
				                       (t->plus ? t->plus[at + (size_t)j] : 0.0f);
		}
	}
}

APART void ID(panels_product)(const float *panels, int m, int n, int k, float alpha, const float *a,
                              const float *plus, float *c)
{
	struct ID(panel_at) t = { .lda = (size_t)k, .ldc = (size_t)n, .alpha = alpha };
	for (int j = 0; j < n; j += PANEL, panels += (size_t)k * PANEL)
		for (int done = 0; done < k; done += PANEL_DEPTH) {
			const int depth = k - done < PANEL_DEPTH ? k - done : PANEL_DEPTH;
			const float *from = done > 0 ? c : plus;
			t.a = a + done;
			for (int v = 0; v < PANEL && j + v < n; v += 3 * LANES) {
				const int left = n - j - v;
				t.b = panels + (size_t)done * PANEL + v;
				t.plus = from ? from + j + v : NULL;
				t.c = c + j + v;
				if (left >= 3 * LANES)
					ID(panel_rows)(3, m, depth, &t);
				else if (left == 2 * LANES)
					ID(panel_rows)(2, m, depth, &t);
				else if (left == LANES)
					ID(panel_rows)(1, m, depth, &t);
				else
					ID(panel_edge)(left, m, depth, &t);
			}
		}
}

/* A panel [k][PANEL] from [columns][k] with @ldb between rows; columns that B lacks are zero. */
APART void ID(panel_turned)(const float *b, size_t ldb, int columns, int k, float *to)
{
	const int whole = columns / 4 * 4, deep = k / 4 * 4;
	ID(transpose)(b, ldb, whole, deep, to, PANEL);
	for (int p = 0; p < k; p++)
		for (int j = p < deep ? whole : 0; j < PANEL; j++)
			to[(size_t)p * PANEL + (size_t)j] =
				j < columns ? b[(size_t)j * ldb + (size_t)p] : 0.0f;
}
