/*
 * cuda.h - the CUDA backend beyond struct backend: what its tests and benches choose.
 */
#ifndef GPU_CUDA_H
#define GPU_CUDA_H

#include "gpu/backend.h"

/* None of these changes a bit of any result. */
struct cuda_choice {
	bool no_graph; /* every step's kernels are launched one by one */
	bool early;    /* programmatic dependent launches */
	int fused_max; /* struct k_tuning; 0: the default */
};

struct backend *cuda_open_as(const struct model *m, const struct backend_options *o,
                             const struct cuda_choice *choice, struct err *e);

/* Device memory that @o would take, in bytes, without a device: weights, slots (states, rings,
 * tables), scratch, and keys and values of one full context. */
struct cuda_need {
	uint64_t weights, slots, scratch, context;
};
int cuda_need(struct cuda_need *out, const struct model *m, const struct backend_options *o,
              struct err *e);

#endif
