/*
 * train_grad.h - one batch, its loss and its gradients as a file: the mode `--grad` of
 * cadforge-train, so that people can check us against other implementations (cli.md).
 *
 *     cadforge-train --grad MODEL [--adapter DIR] --batch FILE.json --loss sft|grpo --out FILE
 *                    [--labels prompt_masked|all_tokens] [--case NAME] [--threads N]
 *
 * Batch of sft: {"input_ids": [[...]], "attention_mask"?: [[1 or 0]], "labels_NAME": [[...]]}:
 * right padded; a label is that of its own position, -100: none. Without the key of that name all
 * tokens are labels when --labels is all_tokens. Batch of grpo: {"prompt_ids", "completion_ids":
 * [[...]], "rewards" or "advantages", "epsilon_low", "epsilon_high",
 * "dr_grpo_max_completion_length", "cases": {NAME: {"loss_type", "beta",
 * "kl_importance_correction", "on_policy"}}}; the answers were drawn by: the policy itself
 * ("on_policy"), else "old_logps": [[...]], else "old_policy": "... every lora_B times S".
 * Without --adapter all parameters learn, and gradients have the model's names.
 */
#ifndef GPU_TRAIN_GRAD_H
#define GPU_TRAIN_GRAD_H

#include "gpu/train.h"

typedef struct trainer *train_open_fn(const struct model *m, const struct train_options *o,
                                      struct err *e);

/* @argv[0] is "--grad". Prints {"loss", "grad_norm", "labels"} (grpo: also "mean_kl",
 * "clip_fraction"), all in one line, on standard output and why it could not on standard error;
 * returns the exit status. */
int train_grad_main(int argc, char **argv, train_open_fn *open);

#endif
