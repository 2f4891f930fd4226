/*
 * train_panels.h - products of blocks of rows with one matrix, for the CPU trainer: C = A B, where
 * B is a layer's weights and A comes some hundred rows at a time.
 *
 * A BLAS packs both factors anew in every call; for a block of 192 rows that is a fifth of the
 * work. Here B is packed once for all blocks, in panels of PANEL columns, and A is read as it
 * stands. Every element of C is a sum of PANEL_DEPTH terms in rising order, and of those sums in
 * rising order: equal bits however rows are cut into blocks.
 */
#ifndef GPU_TRAIN_PANELS_H
#define GPU_TRAIN_PANELS_H

#include "gpu/train_mixers.h"

enum { PANEL = 48, PANEL_DEPTH = 256 };

/* Floats that B [k][n] takes when it is packed. */
size_t panels_floats(int n, int k);

/* One B to be packed: [k][n] as it stands (@turned false), or as its transpose [n][k]. @to: 64-byte
 * aligned. */
struct panels_of {
	const float *b;
	int n, k;
	bool turned;
	float *to;
};
/* All of them, in one region of @pool. */
void panels_pack(struct pool *pool, const struct panels_of *what, int n);

/* @c [m][n] = @alpha @a [m][k] B, and @plus [m][n] where it is not NULL (may be @c). Rows close
 * together. Within the caller's thread. */
void panels_product(enum mixer_isa isa, const float *panels, int m, int n, int k, float alpha,
                    const float *a, const float *plus, float *c);

#endif
