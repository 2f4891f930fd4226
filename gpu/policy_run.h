/*
 * policy_run.h - a policy that learns from answers with advantages, a step at a time: what
 * gpu/policy.h tells of, in the process that does it.
 *
 * One pass does forward and backward: a token's coefficient depends on its own log-probability
 * alone, and is asked for between the two (gpu/train.h, slope). Only a reference costs a forward of
 * its own, once a step: the base with adapters off, or for a policy that learns in full the model
 * it began with. That one is no copy: a second trainer stands on the model's file, which is mapped,
 * with an adapter that is never switched on, and takes memory for the activations of a forward
 * alone (and 4 bytes a parameter where the file is not F32).
 *
 * Answers without advantage have no part in the gradient: without a reference they are not passed
 * at all, though their tokens count in the mean.
 */
#ifndef GPU_POLICY_RUN_H
#define GPU_POLICY_RUN_H

#include "gpu/learner.h"
#include "gpu/policy_wire.h"

struct policy_run;
/* As train_run_open(), with settings of gpu/policy.h. Tells "ready". */
struct policy_run *policy_run_open(const cJSON *settings, bool resume,
                                   const struct train_run_ops *ops, struct err *e);
void policy_run_close(struct policy_run *r); /* NULL is fine */

/* One step. 0; 1: a stop was wanted before anything had changed; -1 with @e: ERR_INPUT names the
 * answer (too long, no prompt, a step that is not the next, an advantage, loss or gradient that is
 * no number; nothing was learnt); ERR_IO the policy cannot be written; ERR_MEM, ERR_LOST the
 * trainer's.
 */
int policy_run_learn(struct policy_run *r, const struct policy_batch *b, struct err *e);
bool policy_run_done(const struct policy_run *r); /* all steps */
void policy_run_save(struct policy_run *r);       /* a checkpoint on the way */
/* The last checkpoint, unless nothing was learnt. */
int policy_run_end(struct policy_run *r, struct err *e);

#endif
