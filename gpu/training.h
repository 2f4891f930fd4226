/*
 * training.h - the door to training: a run in a process of its own (cadforge-train,
 * cadforge-train-cuda), watched through frames. Nothing here blocks.
 *
 * The process reads one JSON object of settings, opens model and data, steps until the end, a stop
 * or a failure, and writes checkpoints on its way. When the asker dies it writes a last checkpoint
 * and leaves. A NaN or infinite loss or gradient stops the run before the update: the last
 * checkpoint stays good, and the failure names step, file and lines of the batch.
 */
#ifndef GPU_TRAINING_H
#define GPU_TRAINING_H

#include <cjson/cJSON.h>
#include <poll.h>

#include "gpu/gpu.h"

/* Settings: one JSON object, gpu/train_settings.h. They are in the run's row, in OUT/settings.json
 * and in every checkpoint. */

struct training_ops {
	void *ctx;
	/* One JSON object each, borrowed (@kind is a literal):
	 * ready       {program, pid, backend, device, out, parameters, trainable, samples,
	 *             eval_samples, tokens (of the whole run), steps, resumed_from: step | null,
	 *             data, eval_data: dataset_describe(), memory_bytes}
	 * step        {step, steps, loss, lr, grad_norm (before clipping), clipped, tokens, labels,
	 *             samples, seconds (of this step), tokens_per_s (smoothed), epoch, left_s}
	 * eval        {step, loss, labels, seconds}; step 0 is before the first
	 * checkpoint  {step, dir (absolute; an adapter or a model, as it is), seconds, bytes}
	 * note        {step, text}: what a person should know (a spike of the loss, a slow or a
	 * full disk) A run that goes on from a checkpoint tells the steps after it again. */
	void (*event)(void *ctx, const char *kind, const cJSON *object);
	/* The end: @outcome "done" | "stopped" | "failed", with @error (kind and words) when
	 * failed. */
	void (*ended)(void *ctx, const char *outcome, enum err_kind kind, const char *error);
};

struct training;
/* Starts the program and returns at once: what it says comes with event(), what keeps it from
 * working with ended(). GPU_AUTO takes cadforge-train-cuda when it is there, and cadforge-train
 * when that says that it lacks a device (a note tells so). @resume: from the newest whole
 * checkpoint in settings' out, with the settings given (they must agree in all that shapes the
 * result; the failure names the first that does not). NULL with @e: no such program. */
struct training *training_open(const char *libexec_dir, enum gpu_backend backend,
                               const cJSON *settings, bool resume, const struct training_ops *ops,
                               struct err *e);
/* Without a stop before it: the program writes a checkpoint and leaves; waits at most 60 s for
 * that. NULL is fine. */
void training_close(struct training *t);
void training_pause(struct training *t, bool paused); /* after the step under way */
void training_checkpoint(struct training *t);
void training_stop(struct training *t); /* checkpoint, then "stopped" */

int training_poll_fds(struct training *t, struct pollfd *out, int cap);
/* What is there to be done without waiting. 0; how it ends, whatever the cause, comes with ended().
 */
int training_step(struct training *t, struct err *e);
bool training_over(const struct training *t);

#endif
