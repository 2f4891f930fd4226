/*
 * demo_train.c - the stages base and sft: settings for the two trainings, each watched and stored
 * like any other (src/training_run.h), and what they leave as it is installed.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/tokenizer.h"
#include "src/base/folder.h"
#include "src/base/json.h"
#include "src/demo.h"
#include "src/grpo_budget.h"

enum { LONGEST = 2048, MEASURED_STEPS = 12, FILE_MAX = 64 << 20 };

static const char *const base_files[] = { "config.json", "model.safetensors", "tokenizer.json",
	                                  "tokenizer_config.json", "chat_template.jinja" };
static const char *const adapter_files[] = { "adapter_config.json", "adapter_model.safetensors" };

/* ---- settings ---- */

/* The recipe's shape over the tokenizer that is there: a text may have too few pairs for as many
 * entries as were asked for. */
static cJSON *fresh_config(const struct demo *d, struct err *e)
{
	const struct demo_recipe *r = &d->recipe;
	cJSON *o, *rope, *kinds;
	char path[PATH_MAX];

	stages_path(&d->stages, path, sizeof(path), "tokenizer");
	struct tokenizer *t = tokenizer_open(path, e);
	if (!t)
		return NULL;
	int vocabulary = (tokenizer_size(t) + 63) / 64 * 64;
	int32_t stop = tokenizer_added(t, "<|im_end|>");
	tokenizer_close(t);
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "eos_token_id", stop);
	cJSON_AddStringToObject(o, "model_type", "qwen3_5_text");
	cJSON_AddNumberToObject(o, "hidden_size", r->hidden);
	cJSON_AddNumberToObject(o, "num_hidden_layers", r->layers);
	cJSON_AddNumberToObject(o, "num_attention_heads", r->heads);
	cJSON_AddNumberToObject(o, "num_key_value_heads", r->kv_heads);
	cJSON_AddNumberToObject(o, "head_dim", r->head_dim);
	cJSON_AddNumberToObject(o, "linear_num_key_heads", r->delta_heads);
	cJSON_AddNumberToObject(o, "linear_num_value_heads", r->delta_heads);
	cJSON_AddNumberToObject(o, "linear_key_head_dim", r->delta_dim);
	cJSON_AddNumberToObject(o, "linear_value_head_dim", r->delta_dim);
	cJSON_AddNumberToObject(o, "linear_conv_kernel_dim", r->conv);
	cJSON_AddNumberToObject(o, "intermediate_size", r->mlp);
	cJSON_AddNumberToObject(o, "vocab_size", vocabulary);
	cJSON_AddNumberToObject(o, "max_position_embeddings", r->context);
	cJSON_AddNumberToObject(o, "rms_norm_eps", 1e-6);
	cJSON_AddBoolToObject(o, "tie_word_embeddings", true);
	cJSON_AddBoolToObject(o, "attn_output_gate", true);
	cJSON_AddStringToObject(o, "hidden_act", "silu");
	rope = cJSON_AddObjectToObject(o, "rope_parameters");
	cJSON_AddStringToObject(rope, "rope_type", "default");
	cJSON_AddNumberToObject(rope, "rope_theta", r->rope_theta);
	cJSON_AddNumberToObject(rope, "partial_rotary_factor", r->rotary_share);
	cJSON_AddNumberToObject(o, "full_attention_interval", r->attention_every);
	kinds = cJSON_AddArrayToObject(o, "layer_types");
	for (int i = 0; i < (int)r->layers; i++)
		cJSON_AddItemToArray(kinds,
		                     cJSON_CreateString((i + 1) % (int)r->attention_every == 0
		                                                ? "full_attention"
		                                                : "linear_attention"));
	return o;
}

static void add_path(const struct demo *d, cJSON *o, const char *key, const char *before,
                     const char *name)
{
	char path[PATH_MAX], text[PATH_MAX + 16];

	stages_path(&d->stages, path, sizeof(path), name);
	snprintf(text, sizeof(text), "%s%s", before, path);
	cJSON_AddStringToObject(o, key, text);
}

static cJSON *shared_settings(const struct demo *d, double tokens, double decay)
{
	const struct demo_recipe *r = &d->recipe;
	cJSON *o = cJSON_CreateObject();
	double steps = ceil(tokens / r->batch_tokens);

	add_path(d, o, "eval_data", "", "held.jsonl");
	cJSON_AddStringToObject(o, "schedule", decay > 0 ? "flat-linear" : "constant");
	if (decay > 0)
		cJSON_AddNumberToObject(o, "decay_share", decay);
	cJSON_AddNumberToObject(o, "warmup", 0.02);
	cJSON_AddNumberToObject(o, "steps", steps);
	cJSON_AddBoolToObject(o, "by_length", false);
	cJSON_AddNumberToObject(o, "batch_samples", 0);
	cJSON_AddNumberToObject(o, "batch_tokens", r->batch_tokens);
	cJSON_AddNumberToObject(o, "pass_rows", fmax(r->batch_tokens, LONGEST));
	cJSON_AddNumberToObject(o, "longest", fmin(r->context, LONGEST));
	cJSON_AddNumberToObject(o, "seed", r->seed);
	cJSON_AddNumberToObject(o, "threads", d->threads);
	cJSON_AddNumberToObject(o, "eval_every", fmax(1, fmin(100, floor(steps / 8))));
	cJSON_AddNumberToObject(o, "save_every", fmax(1, fmin(200, floor(steps / 4))));
	cJSON_AddNumberToObject(o, "keep", 2);
	return o;
}

static cJSON *base_settings(const struct demo *d, double tokens, const char *out)
{
	const struct demo_recipe *r = &d->recipe;
	cJSON *o = shared_settings(d, tokens, r->base_decay);

	add_path(d, o, "model", "fresh:", "base-config.json");
	add_path(d, o, "tokenizer", "", "tokenizer");
	add_path(d, o, "data", "", "base.jsonl");
	add_path(d, o, "out", "", out);
	cJSON_AddStringToObject(o, "method", "full");
	cJSON_AddStringToObject(o, "optimizer", "muon");
	cJSON_AddNumberToObject(o, "lr", r->base_lr);
	cJSON_AddNumberToObject(o, "lr_muon", r->base_muon);
	cJSON_AddNumberToObject(o, "beta2", 0.95);
	cJSON_AddStringToObject(o, "loss", r->base_all ? "all" : "completions");
	cJSON_AddStringToObject(o, "dtype", "bf16");
	return o;
}

static cJSON *sft_settings(const struct demo *d, double tokens)
{
	static const char *const targets[] = { "q_proj",      "k_proj",    "v_proj",   "o_proj",
		                               "in_proj_qkv", "in_proj_z", "out_proj", "gate_proj",
		                               "up_proj",     "down_proj" };
	const struct demo_recipe *r = &d->recipe;
	cJSON *o = shared_settings(d, tokens, r->sft_decay), *list;

	add_path(d, o, "model", "", "demo/base");
	add_path(d, o, "data", "", "sft-rows.jsonl");
	add_path(d, o, "out", "", "sft-run");
	cJSON_AddStringToObject(o, "method", "lora");
	cJSON_AddStringToObject(o, "base_name", "../base"); /* where it lies beside the adapter */
	cJSON_AddNumberToObject(o, "rank", r->sft_rank);
	cJSON_AddNumberToObject(o, "alpha", r->sft_alpha);
	list = cJSON_AddArrayToObject(o, "targets");
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(targets[i]));
	cJSON_AddNumberToObject(o, "lr", r->sft_lr);
	cJSON_AddStringToObject(o, "loss", "completions");
	return o;
}

/* ---- a training ---- */

/* Tokens a second, by some steps of the base. */
static int measure(struct demo *d, double *tokens_per_s, struct err *e)
{
	cJSON *s = base_settings(d, MEASURED_STEPS * d->recipe.batch_tokens, "measure-run");
	struct stage_training t;
	int rc;

	cJSON_DeleteItemFromObjectCaseSensitive(s, "eval_data");
	rc = stages_train(&d->stages, NULL, NULL, "measure", s, &t, e);
	if (rc == 0)
		rc = stages_remove(&d->stages, "measure-run", e);
	cJSON_Delete(s);
	if (rc < 0)
		return err_wrap(e, "measuring the rate");
	*tokens_per_s = t.seconds > 0 && t.tokens > 0 ? t.tokens / t.seconds : t.tokens_per_s;
	if (!(*tokens_per_s > 0))
		return err_set(e, ERR_LOST, "the training did not say how fast it is");
	stages_say(&d->stages, false, "%.0f tokens a second", *tokens_per_s);
	return 0;
}

/* Tokens that each training is fed: of the recipe, or of so many minutes; then the same when it is
 * interrupted and goes on. */
static int budget(struct demo *d, double *base, double *sft, struct err *e)
{
	const struct demo_recipe *r = &d->recipe;
	double rate = 0;
	cJSON *o;

	*base = r->base_tokens;
	*sft = r->sft_tokens;
	if (!(d->minutes > 0))
		return 0;
	if ((o = stages_read(&d->stages, "budget.json", NULL)) &&
	    json_number_or(o, "minutes", 0) == d->minutes) {
		*base = json_number_or(o, "base_tokens", *base);
		*sft = json_number_or(o, "sft_tokens", *sft);
		cJSON_Delete(o);
		return 0;
	}
	cJSON_Delete(o);
	if (measure(d, &rate, e) < 0)
		return -1;
	double share = r->base_tokens / (r->base_tokens + r->sft_tokens);
	*base = round(d->minutes * 60 * rate * share);
	*sft = round(d->minutes * 60 * rate * (1 - share));
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "minutes", d->minutes);
	cJSON_AddNumberToObject(o, "tokens_per_s", rate);
	cJSON_AddNumberToObject(o, "base_tokens", *base);
	cJSON_AddNumberToObject(o, "sft_tokens", *sft);
	int rc = stages_write(&d->stages, "budget.json", o, e);
	cJSON_Delete(o);
	return rc;
}

/* ---- what is installed ---- */

/* @files of @from become OUT/demo/@name, with @texts beside them. */
static int install(struct demo *d, const char *from, const char *name, const char *const *files,
                   int n, const char *const texts[][2], int n_texts, struct err *e)
{
	struct new_folder f = { 0 };
	struct buf path = { 0 };
	char demo[PATH_MAX], to[PATH_MAX], inside[64];
	int rc = -1;

	stages_path(&d->stages, demo, sizeof(demo), "demo");
	mkdir(demo, 0777);
	snprintf(inside, sizeof(inside), "demo/%s", name);
	stages_path(&d->stages, to, sizeof(to), inside);
	if (stages_remove(&d->stages, inside, e) < 0 || new_folder_begin(&f, to, 0, e) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		int has = new_folder_copy(&f, from, files[i], FILE_MAX, e);
		if (has < 0)
			goto out;
		if (!has && strcmp(files[i], "chat_template.jinja") != 0) {
			err_set(e, ERR_INPUT, "%s: there is no %s", from, files[i]);
			goto out;
		}
	}
	for (int i = 0; i < n_texts; i++) {
		buf_clear(&path);
		if (!new_folder_path(&f, texts[i][0], &path, e) ||
		    file_write_atomic(buf_str(&path), texts[i][1], strlen(texts[i][1]), e) < 0)
			goto out;
	}
	rc = new_folder_end(&f, e);
out:
	new_folder_drop(&f);
	buf_release(&path);
	return rc;
}

static const char about_demo[] =
	"{\n"
	"  \"name\": \"demo\",\n"
	"  \"label\": \"A demonstration model: short programs of the families it was trained on, ignorant of all else.\",\n"
	"  \"about\": \"Trained from nothing by cadforge train demo, on programs that CADForge generated, built and scored. "
	"README.md in the folder above says what it can do, in figures. The adapter sft beside it is part of it: the base alone is weaker.\",\n"
	"  \"prompts\": \"demo\",\n"
	"  \"answer_tokens\": %d\n"
	"}\n";
static const char greedy[] = "{\n  \"do_sample\": false,\n  \"temperature\": 0\n}\n";

/* What the base's folder says of itself; the budget of reinforcement learning goes by it. */
static int write_about(const struct demo *d, const char *model, struct buf *out, struct err *e)
{
	char rows[PATH_MAX];
	struct tokenizer *t = tokenizer_open(model, e);

	if (!t)
		return -1;
	stages_path(&d->stages, rows, sizeof(rows), "sft.jsonl");
	buf_printf(out, about_demo, grpo_budget_rows(t, rows));
	tokenizer_close(t);
	return buf_failed(out) ? err_set(e, ERR_MEM, "out of memory") : 0;
}

int demo_make_base(void *demo, cJSON *figures, struct err *e)
{
	struct demo *d = demo;
	const char *texts[][2] = { { "cadforge.json", NULL },
		                   { "generation_config.json", greedy } };
	struct buf about = { 0 };
	cJSON *config = fresh_config(d, e), *settings = NULL;
	struct stage_training t;
	double base, sft;
	int rc = -1;

	if (!config || stages_write(&d->stages, "base-config.json", config, e) < 0 ||
	    budget(d, &base, &sft, e) < 0)
		goto out;
	settings = base_settings(d, base, "base-run");
	if (stages_train(&d->stages, d->store, "demo-base", "base", settings, &t, e) < 0 ||
	    write_about(d, t.checkpoint, &about, e) < 0)
		goto out;
	texts[0][1] = buf_str(&about);
	if (install(d, t.checkpoint, "base", base_files,
	            (int)(sizeof(base_files) / sizeof(*base_files)), texts, 2, e) < 0)
		goto out;
	stages_training_figures(figures, &t, settings);
	rc = 0;
out:
	buf_release(&about);
	cJSON_Delete(config);
	cJSON_Delete(settings);
	return rc;
}

int demo_make_sft(void *demo, cJSON *figures, struct err *e)
{
	struct demo *d = demo;
	cJSON *settings;
	struct stage_training t;
	double base, sft;
	int rc = -1;

	if (budget(d, &base, &sft, e) < 0 ||
	    demo_mix_drills(d, "sft.jsonl", "sft-rows.jsonl", d->recipe.sft_drills, e) < 0)
		return -1;
	settings = sft_settings(d, sft);
	if (stages_train(&d->stages, d->store, "demo-sft", "sft", settings, &t, e) < 0 ||
	    install(d, t.checkpoint, "sft", adapter_files,
	            (int)(sizeof(adapter_files) / sizeof(*adapter_files)), NULL, 0, e) < 0)
		goto out;
	stages_training_figures(figures, &t, settings);
	rc = 0;
out:
	cJSON_Delete(settings);
	return rc;
}
