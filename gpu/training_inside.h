/*
 * training_inside.h - what gpu/policy.c has of gpu/training.c: the same program, watched in the
 * same way, which learns from what it is sent.
 */
#ifndef GPU_TRAINING_INSIDE_H
#define GPU_TRAINING_INSIDE_H

#include "gpu/training.h"

/* training_open(); @policy: of answers (gpu/policy_wire.h). */
struct training *training_start(const char *libexec_dir, enum gpu_backend backend,
                                const cJSON *settings, bool resume, bool policy,
                                const struct training_ops *ops, struct err *e);
/* One whole frame, on its way at once as far as the line takes it. 0, or -1: ERR_MEM. */
int training_send(struct training *t, const struct buf *frame, struct err *e);

#endif
