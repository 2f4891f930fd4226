/*
 * policy.h - the door to reinforcement learning: a policy that learns in a process of its own
 * (cadforge-train, cadforge-train-cuda), one step for each batch of answers that it is given with
 * their advantages. Nothing here blocks.
 *
 * The process opens model, adapter and trainer as a training does (gpu/training.h) and then waits.
 * A step: every answer's prompt is rendered by the chat template as the engine renders it
 * (gpu/chat.h), the batch is packed into passes; log-probabilities of the answers' tokens (logits
 * divided by the temperature of sampling); the reference's where beta asks for it (LoRA: adapter
 * off; full: a frozen copy of the first values); gpu/policy_loss.h; backward; the norm; clipping;
 * the optimizer; @updates times over the same answers. The policy as it is then is written to
 * OUT/policy/STEP (an adapter, or a model when all of it learns), whole or not at all, so that the
 * engine can draw the next answers from it; of older ones the newest two stay.
 *
 * A step is a function of settings, policy and batch alone: a run that was killed and goes on from
 * a checkpoint gives what the unbroken one gives, to the bit where the trainer does, provided the
 * asker gives the same batches; what it needs for that it hands over as @state and gets back at
 * resume.
 */
#ifndef GPU_POLICY_H
#define GPU_POLICY_H

#include <cjson/cJSON.h>
#include <poll.h>

#include "gpu/gpu.h"

/* Settings: those of gpu/train_settings.h that have to do with model, method, optimizer, schedule
 * (over "steps"), clip, seed, threads, backend, recompute, memory, dtype, pass_rows, longest, keep,
 * save_every, out; and
 *   steps          of the run; needed
 *   reduction      "dapo" (usual) | "grpo" | "dr_grpo"       gpu/policy_loss.h
 *   answer_longest what dr_grpo divides by: tokens an answer may have; @longest
 *   beta 0         pull to the reference
 *   watch_kl false     the distance to the reference is measured though beta is 0: one more forward
 *                  a step
 *   clip_low 0.2, clip_high 0.2     DAPO's clip-higher: 0.28
 *   weighted_kl true
 *   temperature 1  of sampling
 *   thinking "off" | "on" | "default"      how prompts are rendered: as the engine is asked
 *   updates 1      of the parameters, on each step's answers. With more than one the policy before
 *                  the first is "old"
 *   old "trainer" | "engine"   whose log-probabilities the ratio is to: the trainer's own before
 *                  the step, or those with which the engine drew (answers without them: the
 *                  trainer's; no further weight then)
 *   importance_cap 2   each token's part of the loss is multiplied by min(cap, exp(logp before the
 *                  step - logp as the engine drew it)), since engine and trainer round differently;
 *                  0: not
 *   pass_rows      tokens of one pass; the longest of 4096 and @longest
 * longest is of prompt and answer together. A key that is unknown or out of range is ERR_INPUT as
 * in gpu/train_settings.h; so is model "fresh:...".
 *
 * Memory of a reference: gpu/policy_run.h. */

struct policy_sample {         /* one answer; all borrowed for the call */
	const cJSON *messages; /* its prompt */
	const int32_t *id;     /* its tokens, the one that ends it included */
	const float *drawn;    /* log-probability of each as the engine drew it, or NULL */
	int n;                 /* at least 1 */
	double advantage;
};

struct policy_ops {
	void *ctx;
	/* One JSON object each, borrowed (@kind is a literal):
	 * ready       {program, steps, pid, backend, device, out, parameters, trainable,
	 * memory_bytes, resumed_from: step | null, state: what was handed over with it | null,
	 *             policy: folder of the policy as it is, or null: as it was given}
	 * step        {step, steps, loss, kl | null, clip_share, ratio_max, mismatch (mean over
	 *             tokens of |trainer's - engine's logp|) | null, mismatch_max | null,
	 * grad_norm, grad_clipped, lr, answers, tokens, seconds, policy: folder} checkpoint  {step,
	 * dir, seconds, bytes} note        {step, text} */
	void (*event)(void *ctx, const char *kind, const cJSON *object);
	/* The end: @outcome "done" (the last of the steps is learnt, and a checkpoint written; it
	 * comes by itself) | "stopped" | "failed". A loss or gradient that is no number
	 * fails before the update, naming the answer. */
	void (*ended)(void *ctx, const char *outcome, enum err_kind kind, const char *error);
};

struct policy;
/* As training_open(). */
struct policy *policy_open(const char *libexec_dir, enum gpu_backend backend, const cJSON *settings,
                           bool resume, const struct policy_ops *ops, struct err *e);
/* The next step. @state: any object that is kept with checkpoints from this step on; borrowed.
 * @checkpoint: one after it, whatever save_every says. With @n 0 nothing is learnt and the step
 * counts (the rate of the schedule goes on; "step" then has null figures). One at a time: ERR_USAGE
 * while one is under way. */
int policy_learn(struct policy *p, int64_t step, const struct policy_sample *v, int n,
                 const cJSON *state, bool checkpoint, struct err *e);
void policy_stop(struct policy *p); /* a checkpoint, then "stopped" */
/* Without a stop before it: a checkpoint all the same; waits at most 60 s. NULL is fine. */
void policy_close(struct policy *p);

int policy_poll_fds(struct policy *p, struct pollfd *out, int cap);
int policy_step(struct policy *p, struct err *e); /* what is there to be done without waiting */
bool policy_over(const struct policy *p);

#endif
