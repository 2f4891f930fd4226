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

/* Settings (all of them in the run's row, in DIR/settings.json and in state.json's hash):
 *   model            folder of the base, or "fresh:FILE.json" (a config.json to begin from nothing)
 *   tokenizer        folder; only with fresh
 *   data, eval_data  chat JSONL (gpu/dataset.h); eval_data may be absent
 *   out              the run's folder
 *   method           "lora" | "full";  adapter: folder to go on from
 *   rank 16, alpha 32, dropout 0, rslora false, targets ["q_proj", ...] (the published seven)
 *   lr 2e-4, lr_muon 0.02, optimizer "adamw"|"muon", beta1 .9, beta2 .999, eps 1e-8, decay 0, clip
 * 1 schedule "cosine", warmup 0.03 (share of the steps) , floor 0, decay_share 0.3 epochs 3 |
 * steps;  batch_samples 8, batch_tokens 0, pass_rows 8192, longest 8192, by_length true loss
 * "completions"|"all";  seed 3407;  eval_every 25, save_every 50, keep 3 threads, backend,
 * recompute, dtype (of what is saved: "f32"|"bf16") Unknown keys and values out of range are errors
 * with the key's name. */

struct training_ops {
	void *ctx;
	/* One JSON object each, borrowed:
	 * ready   {program, backend, device, parameters, trainable, samples, eval_samples, tokens,
	 * steps, resumed_from, data: dataset_describe(), memory_bytes} step    {step, loss, lr,
	 * grad_norm, clipped, tokens, labels, samples, seconds, tokens_per_s, epoch, left_s} eval
	 * {step, loss, labels, seconds} checkpoint {step, dir, seconds, bytes} note    {text}: what
	 * a person should know (loss spikes, slow disk)
	 */
	void (*event)(void *ctx, const char *kind, const cJSON *object);
	/* The end: @outcome "done" | "stopped" | "failed", with @error (kind and words) when
	 * failed. */
	void (*ended)(void *ctx, const char *outcome, enum err_kind kind, const char *error);
};

struct training;
/* @resume: from the newest checkpoint in settings' out, with the settings given (they must agree in
 * all that shapes the result; ERR_INPUT names the first that does not). NULL with @e. */
struct training *training_open(const char *libexec_dir, enum gpu_backend backend,
                               const cJSON *settings, bool resume, const struct training_ops *ops,
                               struct err *e);
void training_close(struct training *t); /* waits for the last checkpoint, at most 60 s */
void training_pause(struct training *t, bool paused); /* after the step under way */
void training_checkpoint(struct training *t);
void training_stop(struct training *t); /* checkpoint, then "stopped" */

int training_poll_fds(struct training *t, struct pollfd *out, int cap);
int training_step(struct training *t, struct err *e); /* what is there to be done without waiting */
bool training_over(const struct training *t);

#endif
