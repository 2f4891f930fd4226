/*
 * train_settings.h - the settings of a training run: one JSON object, every key checked.
 *
 * A key that is unknown, of the wrong type or out of range is ERR_INPUT with the key's name, what
 * was expected and what is there. What is not said has the default below.
 *
 *   model            folder of the base; or "fresh:FILE", FILE a config.json to begin from nothing
 *   tokenizer        folder; needed with "fresh:", else the model's own
 *   data             chat JSONL (gpu/dataset.h)
 *   eval_data        the same, never learnt from; may be absent
 *   out              the run's folder, made when it is not there
 *   method           "lora" | "full" (fresh models are trained in full)
 *   base_name        what an adapter says its base is (base_model_name_or_path); @model
 *   adapter          folder of an adapter to go on from; its ranks, scales and targets are kept
 *   rank 16 (1..1024), alpha 32, dropout 0 (0..0.9), rslora false
 *   targets          names of gpu/model.h ("q_proj", ...); the published seven
 *   optimizer        "adamw" | "muon" (matrices of full training)
 *   lr 2e-4, lr_muon 0.02, beta1 0.9, beta2 0.999, eps 1e-8, decay 0, momentum 0.95 (Muon's)
 *   clip 1           largest norm of all gradients together; 0: none
 *   schedule         "cosine" | "linear" | "flat-linear" | "constant"
 *   warmup 0.03      share of the steps
 *   floor 0          the rate that the schedule ends at; lr_muon follows in proportion
 *   decay_share 0.3  of "flat-linear"
 *   order            "shuffled" | "file": rows in the order of their lines
 *   epochs 3, or steps; by_length true, batch_samples 8, batch_tokens 0 (gpu/order.h)
 *   pass_rows        tokens of one pass; the longest of 8192 and @longest
 *   longest 8192     tokens of a sample; longer rows are left out
 *   loss             "completions" | "all"
 *   seed 3407
 *   eval_every 25, save_every 50    steps; 0: at the end alone
 *   keep 3           checkpoints that stay
 *   threads 0        all that the process may use
 *   backend          "auto" | "cpu" | "cuda"
 *   recompute false  gpu/train.h
 *   memory_bytes 0   of the device, that may be used; 0: what is free
 *   dtype            of the weights that are saved for use: "f32" | "bf16"
 */
#ifndef GPU_TRAIN_SETTINGS_H
#define GPU_TRAIN_SETTINGS_H

#include <cjson/cJSON.h>

#include "gpu/gpu.h"
#include "gpu/order.h"
#include "gpu/policy_loss.h"
#include "gpu/train.h"

/* What a policy's run has beside; gpu/policy.h. */
struct policy_settings {
	struct policy_options loss;
	bool watch_kl;
	double temperature;
	enum chat_thinking thinking;
	int updates;
	bool old_is_drawn;     /* the ratio is to what the engine drew with */
	double importance_cap; /* 0: not */
};

struct train_settings {
	cJSON *all;        /* every key with its value, defaults filled in; owns the texts below */
	const char *model; /* folder, or the config.json of a fresh one */
	bool fresh;
	const char *tokenizer;                  /* folder */
	const char *data, *eval_data, *adapter; /* NULL: none */
	const char *out, *base_name;
	bool full, muon;
	int rank;
	double alpha, dropout;
	bool rslora;
	uint32_t targets;
	double lr, lr_muon, beta1, beta2, eps, decay, momentum, clip;
	enum schedule_shape schedule;
	double warmup, floor, decay_share;
	struct order_options order; /* seed included */
	struct dataset_options dataset;
	uint64_t seed;
	int eval_every, save_every, keep, threads;
	enum gpu_backend backend;
	bool recompute;
	uint64_t memory_bytes;
	enum dtype dtype;
	struct policy_settings policy;
};

/* Of a run that learns from rows; and of a policy's, whose keys gpu/policy.h tells of. */
int train_settings_read_policy(struct train_settings *s, const cJSON *given, struct err *e);
int train_settings_read(struct train_settings *s, const cJSON *given, struct err *e);
void train_settings_release(struct train_settings *s); /* safe on {0} and twice */

/* SHA-256, in hex, of the settings that shape the result: not of threads, backend, eval_every,
 * save_every, keep, recompute, memory_bytes, dtype, nor of paths, whose contents have hashes of
 * their own. @all: settings with every key. */
enum { TRAIN_HASH_HEX = 65 };
void train_settings_hash(const cJSON *all, char out[TRAIN_HASH_HEX]);
/* Whether two runs' settings agree in all that shapes the result; else ERR_INPUT naming the first
 * key that differs, and both values. @was: of the checkpoint. */
int train_settings_agree(const cJSON *was, const cJSON *now, struct err *e);

#endif
