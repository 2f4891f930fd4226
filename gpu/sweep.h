/*
 * sweep.h - how fast the device reads its memory when it does nothing else: what decoding at batch
 * 1 is measured against.
 */
#ifndef GPU_SWEEP_H
#define GPU_SWEEP_H

#include "gpu/backend.h"

/* Bytes a second of plain reads over far more memory than any cache holds (8 GiB on a device, 1 GiB
 * on a CPU), with all that the backend computes with; the best of several rounds. NAN with @e. */
double backend_read_sweep(struct backend *b, struct err *e);

#endif
