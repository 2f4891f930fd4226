/*
 * muon_isa.h - products of Muon's step in one instruction set: gpu/muon.c has the frame.
 *
 * All matrices lie in panels of PANEL columns, [columns / PANEL][rows][PANEL], so that each can
 * stand on either side of a product as it is; columns are padded with zeros.
 */

/* ROWS x N vectors of C, from row @i of panel @j: the sum over panels q of A's [ROWS][PANEL] times
 * PANEL rows of B. @m, @k: rows of A and of B. */
INLINE void ID(muon_tile)(int N, int m, int k, int i, const float *a, const float *b, float *c)
{
	V s[ROWS][3];
	UNROLL
	for (int r = 0; r < ROWS; r++)
		UNROLL
	for (int j = 0; j < N; j++)
		s[r][j] = (V){ 0 };
	a += (size_t)i * PANEL;
	for (int q = 0; q < k; q += PANEL, a += (size_t)m * PANEL)
		for (int p = 0; p < PANEL; p++, b += PANEL) {
			V w[3];
			UNROLL
			for (int j = 0; j < N; j++) {
				w[j] = LOAD(b + j * LANES);
				KEEP(w[j]);
			}
			UNROLL
			for (int r = 0; r < ROWS; r++) {
				V x = SPLAT(a[r * PANEL + p]);
				UNROLL
				for (int j = 0; j < N; j++)
					s[r][j] = FMA(x, w[j], s[r][j]);
			}
		}
	UNROLL
	for (int r = 0; r < ROWS; r++)
		UNROLL
	for (int j = 0; j < N; j++)
		STORE(c + (size_t)(i + r) * PANEL + (size_t)(j * LANES), s[r][j]);
}

/* Above the diagonal what is below it. */
INLINE void ID(muon_mirror)(int n, float *c)
{
	const size_t panel = (size_t)n * PANEL;
	for (int j = 0; j < n / PANEL; j++)
		for (int i = j + 1; i < n / PANEL; i++)
			ID(transpose)
	(c + (size_t)j * panel + (size_t)i * PANEL * PANEL, PANEL, PANEL, PANEL,
	 c + (size_t)i * panel + (size_t)j * PANEL * PANEL, PANEL);
}

/* C = A B [n][n], of symmetric ones that commute: so is C. */
APART void ID(muon_square)(int n, const float *a, const float *b, float *c)
{
	const size_t panel = (size_t)n * PANEL;
	for (int j = 0; j < n / PANEL; j++)
		for (int v = 0; v < PANEL; v += 3 * LANES)
			for (int i = j * PANEL; i < n; i += ROWS)
				ID(muon_tile)
	(3, n, n, i, a, b + (size_t)j * panel + v, c + (size_t)j * panel + v);
	ID(muon_mirror)(n, c);
}

/* C [m][n] = T [m][n] Q [n][n]; whole tiles, so rows have room up to a multiple of ROWS. */
APART void ID(muon_apply)(int m, int n, const float *t, const float *q, float *c)
{
	for (int j = 0; j < n / PANEL; j++)
		for (int v = 0; v < PANEL; v += 3 * LANES)
			for (int i = 0; i < m; i += ROWS)
				ID(muon_tile)
	(3, m, n, i, t, q + (size_t)j * (size_t)n * PANEL + v,
	 c + (size_t)j * (size_t)m * PANEL + v);
}

/* A = Tt T [n][n], T [m][n], MUON_DEPTH rows at a time. */
APART void ID(muon_gram)(int m, int n, const float *t, float *a)
{
	memset(a, 0, (size_t)n * (size_t)n * sizeof(*a));
	for (int done = 0; done < m; done += MUON_DEPTH) {
		const int depth = m - done < MUON_DEPTH ? m - done : MUON_DEPTH;
		for (int j = 0; j < n; j += PANEL)
			for (int i = j; i < n; i += PANEL)
				ID(product_ta)
		(ALL, 0, PANEL, PANEL, depth, t + ((size_t)i * (size_t)m + (size_t)done * PANEL),
		 PANEL, t + ((size_t)j * (size_t)m + (size_t)done * PANEL), PANEL,
		 a + (size_t)j * (size_t)n + (size_t)i * PANEL, PANEL, ADD);
	}
	ID(muon_mirror)(n, a);
}

/* [columns][rows] of panels [rows][PANEL] or the other way round: in [rows][cols] with @ldi between
 * rows, out [cols][rows] with @ldo. */
APART void ID(muon_turn)(const float *in, size_t ldi, int rows, int cols, float *out, size_t ldo)
{
	const int r4 = rows / 4 * 4, c4 = cols / 4 * 4;
	ID(transpose)(in, ldi, r4, c4, out, ldo);
	for (int i = 0; i < rows; i++)
		for (int j = i < r4 ? c4 : 0; j < cols; j++)
			out[(size_t)j * ldo + (size_t)i] = in[(size_t)i * ldi + (size_t)j];
}
