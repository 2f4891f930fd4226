/*
 * blas.h - matrix products of the CPU trainer: OpenBLAS within an item, gpu/threads across items.
 *
 * OpenBLAS is held to one thread; a product is cut into blocks of its output whose shapes depend on
 * the product alone, so equal bits with any number of threads.
 */
#ifndef GPU_BLAS_H
#define GPU_BLAS_H

#include <stdbool.h>
#include <stddef.h>

#include "gpu/threads.h"

/* Once per process, first thing in main(). OpenBLAS picks its kernels when it is loaded, and takes
 * those of 2004 for a processor that is younger than itself: then the program is executed anew
 * (@argv) with OPENBLAS_CORETYPE set to what the processor can do. Does nothing where OpenBLAS
 * knows the processor, or a person has set the variable. */
void blas_start(char *const argv[]);
void blas_about(char out[static 64]); /* "OpenBLAS 0.3.21, SkylakeX" */

/* C [m][n] = alpha op(A) op(B) + beta C; op(A) [m][k], op(B) [k][n]; row-major, lda/ldb/ldc floats
 * between stored rows. @pool NULL: within the caller's thread (inside an item). */
struct product_of {
	bool ta, tb;
	int m, n, k;
	float alpha, beta;
	const float *a, *b;
	size_t lda, ldb;
	float *c;
	size_t ldc;
};
void blas_product(struct pool *pool, const struct product_of *p);
/* Several products whose outputs do not overlap, in one region of the pool. */
void blas_products(struct pool *pool, const struct product_of *p, int n);

#endif
