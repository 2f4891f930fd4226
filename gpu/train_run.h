/*
 * train_run.h - a run: data, model and trainer of some settings, step after step to the end, with
 * evaluations and checkpoints on the way. What cadforge-train does, without its frames.
 *
 * A step: its samples (gpu/order.h) in passes; the loss is the mean over the labels of all of them,
 * however many passes they take; the norm of the gradients; are both numbers, the gradients are
 * clipped and the parameters updated. What the steps give is a function of settings, data and model
 * alone, so that a run that was killed and goes on from a checkpoint gives what the unbroken one
 * gives, to the bit where the trainer does. Evaluations come before the first step, every
 * @eval_every and at the end; a checkpoint every @save_every (after the evaluation) and at the end.
 *
 * One process at a time works in a run's folder: OUT/lock is held with flock().
 */
#ifndef GPU_TRAIN_RUN_H
#define GPU_TRAIN_RUN_H

#include "gpu/learner.h"

struct train_run;
/* Reads everything, makes OUT and OUT/settings.json. @resume: from the newest whole checkpoint in
 * OUT, from the beginning when there is none. NULL with @e: ERR_INPUT (what in settings, data or
 * model; which setting does not agree with the checkpoint's; OUT has checkpoints and @resume is
 * false; another process works there), ERR_MEM (what to lower and by how much), ERR_IO. */
struct train_run *train_run_open(const cJSON *settings, bool resume,
                                 const struct train_run_ops *ops, struct err *e);
void train_run_close(struct train_run *r); /* NULL is fine */

/* 0: to the end; 1: stopped as wanted, with a checkpoint; -1 with @e: failed. The last checkpoint
 * stays as it was then: ERR_INPUT a loss or gradient that is no number, with step, file and lines;
 * ERR_IO the last checkpoint cannot be written; ERR_MEM, ERR_LOST the trainer's. */
int train_run_go(struct train_run *r, struct err *e);

#endif
