/*
 * model_diff.h - what is not the same in two models, or in two adapters of one base.
 */
#ifndef GPU_MODEL_DIFF_H
#define GPU_MODEL_DIFF_H

#include "gpu/lora.h"

/* Two folders of models, in whatever dtypes, files and prefixes: {kind: "models", fields: [{field,
 * a, b}] of config.json that differ (null: not there), tensors (names in either), equal, changed,
 * only_a, only_b, differences: [{name, what: "values" | "shape" | "only in a" | "only in b",
 * dtype_a, dtype_b, shape_a, shape_b, and of values: norm_a, norm_b, norm_difference, relative
 * (difference / a), largest, differing (how many), n}]}, the largest relative difference first.
 * NULL with @e. The caller deletes it. */
cJSON *model_diff(const char *a, const char *b, struct err *e);

/* Two adapters of a base of @c, by what they add to each linear layer, s B A: {kind: "adapters",
 * fields, modules, equal, changed, only_a, only_b, differences: [{name:
 * "layers.3.self_attn.q_proj", what, rank_a, rank_b, norm_a, norm_b, norm_difference, relative,
 * cosine}]}. Norms are Frobenius's. */
cJSON *adapter_diff(const char *a, const char *b, const struct model_config *c, struct err *e);

#endif
