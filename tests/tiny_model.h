/*
 * tiny_model.h - the smallest model that has every kind of layer, and a tokenizer of bytes for it,
 * as a folder to begin a training from: config.json, tokenizer.json.
 */
#ifndef TESTS_TINY_MODEL_H
#define TESTS_TINY_MODEL_H

#include "tests/model.h"
#include "tests/tiny_tokenizer.h"

static const char smallest_config[] =
	"{\"model_type\": \"qwen3_5_text\", \"hidden_size\": 32, \"num_hidden_layers\": 2, "
	"\"layer_types\": [\"linear_attention\", \"full_attention\"], \"num_attention_heads\": 2, "
	"\"num_key_value_heads\": 1, \"head_dim\": 16, \"linear_num_key_heads\": 1, "
	"\"linear_num_value_heads\": 2, \"linear_key_head_dim\": 16, \"linear_value_head_dim\": "
	"16, \"linear_conv_kernel_dim\": 4, \"intermediate_size\": 48, \"vocab_size\": 264, "
	"\"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-6, \"tie_word_embeddings\": true, "
	"\"partial_rotary_factor\": 0.25, \"rope_theta\": 10000, \"eos_token_id\": 258}";

/* @dir: there. Ids: bytes, then <|endoftext|> 256, <|im_start|>, <|im_end|>, <think>, </think>. */
static inline void tiny_model_files(const char *dir)
{
	static const char *const added[] = { "!<|endoftext|>", "!<|im_start|>", "!<|im_end|>",
		                             "<think>",        "</think>",      NULL };
	struct buf json = { 0 };

	tiny_json(&json, NULL, NULL, added, false);
	tiny_write(dir, "tokenizer.json", json.data, json.len);
	tiny_write(dir, "config.json", smallest_config, sizeof(smallest_config) - 1);
	buf_release(&json);
}

#endif
