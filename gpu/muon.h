/*
 * muon.h - Muon's update of matrices (gpu/optimizer.h has the rule), without a BLAS.
 */
#ifndef GPU_MUON_H
#define GPU_MUON_H

#include "gpu/optimizer.h"
#include "gpu/threads.h"

struct muon_matrix {
	int rows, cols;
	float *value;
	const float *gradient;
	float *momentum;
};
/* One step for all of them, one an item of the pool; gradients are multiplied by @scale. 0, or -1
 * with ERR_MEM and nothing changed. */
int muon_update(struct pool *pool, const struct muon_matrix *m, int n, const struct update *u,
                double scale, struct err *e);

#endif
