#include "gpu/blas.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum {
	/* Every item packs its own parts of both factors, so large ones lose less; small ones share
	 * out more evenly. */
	ITEMS = 12, /* that a region is cut into, as far as these allow: */
	ITEM_MFLOP_MIN = 32,
	ITEM_MFLOP_MAX = 320,
	BLOCK_MIN = 48, /* rows or columns of an item: below that packing shows */
	PRODUCTS_MAX = 16
};

/* The kernels that this processor could use; NULL: nothing better than any. */
static const char *core_type(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
		return "SkylakeX";
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return "Haswell";
#endif
	return NULL;
}

void blas_start(char *const argv[])
{
	static const char *const wide[] = { "SkylakeX", "Cooperlake", "SapphireRapids",
		                            "Haswell",  "Zen",        "Excavator" };
	const char *core = openblas_get_corename(), *better = core_type();
	bool fits = !better;
	for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
		fits |= strcasecmp(core, wide[i]) == 0;
	if (!fits && !getenv("OPENBLAS_CORETYPE") && setenv("OPENBLAS_CORETYPE", better, 1) == 0)
		execv("/proc/self/exe", argv); /* when it fails: slow, but right */
	openblas_set_num_threads(1);
}

void blas_about(char out[static 64])
{
	char version[16] = "";
	sscanf(OPENBLAS_VERSION, " OpenBLAS %15s", version);
	snprintf(out, 64, "OpenBLAS %s, %.30s", version, openblas_get_corename());
}

static void multiply(const struct product_of *p, int row, int rows, int column, int columns)
{
	const float *a = p->a + (p->ta ? (size_t)row : (size_t)row * p->lda);
	const float *b = p->b + (p->tb ? (size_t)column * p->ldb : (size_t)column);
	cblas_sgemm(CblasRowMajor, p->ta ? CblasTrans : CblasNoTrans,
	            p->tb ? CblasTrans : CblasNoTrans, rows, columns, p->k, p->alpha, a,
	            (blasint)p->lda, b, (blasint)p->ldb, p->beta,
	            p->c + (size_t)row * p->ldc + column, (blasint)p->ldc);
}

static double mflop(const struct product_of *p)
{
	return 2e-6 * p->m * p->n * p->k;
}

/* Blocks of the output: a function of the products' shapes alone. */
struct cut {
	int row_parts, column_parts;
};

static struct cut cut_of(const struct product_of *p, double item_mflop)
{
	struct cut c = { 1, 1 };
	for (;;) {
		double rows = (double)p->m / c.row_parts, columns = (double)p->n / c.column_parts;
		if (2e-6 * rows * columns * p->k <= item_mflop)
			return c;
		if (rows >= columns && rows >= 2 * BLOCK_MIN)
			c.row_parts++;
		else if (columns >= 2 * BLOCK_MIN)
			c.column_parts++;
		else if (rows >= 2 * BLOCK_MIN)
			c.row_parts++;
		else
			return c;
	}
}

/* Part @i of @parts of @n, in multiples of 16 but for the last. */
static int part_start(int n, int parts, int i)
{
	return i >= parts ? n : (int)((int64_t)n * i / parts / 16 * 16);
}

struct many {
	const struct product_of *p;
	struct cut cut[PRODUCTS_MAX];
	int first[PRODUCTS_MAX + 1]; /* item of each product */
	int n;
};

static void many_item(void *arg, int item, int thread)
{
	(void)thread;
	const struct many *w = arg;
	int i = 0;
	while (item >= w->first[i + 1])
		i++;
	const struct product_of *p = w->p + i;
	struct cut c = w->cut[i];
	int r = (item - w->first[i]) / c.column_parts, q = (item - w->first[i]) % c.column_parts;
	int row = part_start(p->m, c.row_parts, r), column = part_start(p->n, c.column_parts, q);
	multiply(p, row, part_start(p->m, c.row_parts, r + 1) - row, column,
	         part_start(p->n, c.column_parts, q + 1) - column);
}

void blas_products(struct pool *pool, const struct product_of *p, int n)
{
	while (n > 0) {
		struct many w = { .p = p, .n = n < PRODUCTS_MAX ? n : PRODUCTS_MAX };
		double share = 0;
		for (int i = 0; i < w.n; i++)
			share += mflop(p + i) / ITEMS;
		share = share < ITEM_MFLOP_MIN ? ITEM_MFLOP_MIN : share;
		share = share > ITEM_MFLOP_MAX ? ITEM_MFLOP_MAX : share;
		for (int i = 0; i < w.n; i++) {
			w.cut[i] = pool ? cut_of(p + i, share) : (struct cut){ 1, 1 };
			bool empty = p[i].m <= 0 || p[i].n <= 0;
			w.first[i + 1] = w.first[i] +
			                 (empty ? 0 : w.cut[i].row_parts * w.cut[i].column_parts);
		}
		if (pool)
			pool_run(pool, many_item, &w, w.first[w.n]);
		else
			for (int item = 0; item < w.first[w.n]; item++)
				many_item(&w, item, 0);
		p += w.n;
		n -= w.n;
	}
}

void blas_product(struct pool *pool, const struct product_of *p)
{
	blas_products(pool, p, 1);
}
