/*
 * t_model.c - a folder becomes a model, whatever of the allowed forms it has; and every way in
 * which it does not.
 */
#include "tests/model.h"

#include "gpu/random_weight.h"

struct place {
	char dir[64];
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	folder_make(p->dir);
	*state = p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;

	folder_remove(p->dir);
	free(p);
	return 0;
}

static void open_ok(struct model *m, const char *dir)
{
	struct err e = { 0 };

	if (model_open(m, dir, &e) < 0)
		fail_msg("%s", e.text);
}

static void open_fails(const char *dir, const char *says)
{
	struct model m;
	struct err e = { 0 };

	assert_int_equal(model_open(&m, dir, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, says);
	assert_contains(e.text, dir);
	model_close(&m);
}

/* ---- config.json ---- */

static int parse(struct model_config *c, const char *text, struct err *e)
{
	return config_parse(c, text, strlen(text), "config.json", e);
}

#define NEEDED                                                                                     \
	"\"hidden_size\":64,\"num_hidden_layers\":8,\"num_attention_heads\":4,"                    \
	"\"num_key_value_heads\":2,\"intermediate_size\":160,\"vocab_size\":300000"

static void what_a_config_leaves_out_has_its_default(void **state)
{
	struct model_config c;
	struct err e = { 0 };

	(void)state;
	if (parse(&c, "{" NEEDED ",\"rope_theta\":10000000,\"head_dim\":null}", &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(c.head_dim, 256);
	assert_int_equal(c.key_heads, 16);
	assert_int_equal(c.value_heads, 32);
	assert_int_equal(c.key_dim, 128);
	assert_int_equal(c.value_dim, 128);
	assert_int_equal(c.conv, 4);
	assert_int_equal(c.rotary, 64);
	assert_true(c.norm_eps == 1e-6 && c.rope_theta == 1e7);
	assert_false(c.tied);
	assert_int_equal(c.n_attention, 2);
	assert_int_equal(c.n_delta, 6);
	for (int l = 0; l < 8; l++)
		assert_int_equal(c.kind[l], l % 4 == 3 ? LAYER_ATTENTION : LAYER_DELTA);
	assert_int_equal(c.n_eos, 1);
	assert_int_equal(c.eos[0], 248044);
}

static void a_nested_config_is_read_from_its_text_part(void **state)
{
	struct model_config c;
	struct err e = { 0 };

	(void)state;
	if (parse(&c,
	          "{\"model_type\":\"qwen3_5\",\"hidden_size\":1,\"tie_word_embeddings\":true,"
	          "\"eos_token_id\":5,\"text_config\":{\"model_type\":\"qwen3_5_text\"," NEEDED
	          ",\"full_attention_interval\":2,\"eos_token_id\":[3,4,3,400000],"
	          "\"rope_parameters\":{\"rope_theta\":5e5,\"partial_rotary_factor\":0.5}}}",
	          &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(c.hidden, 64);
	assert_true(c.tied); /* of the top, where the text part says nothing */
	assert_int_equal(c.rotary, 128);
	assert_true(c.rope_theta == 5e5);
	assert_int_equal(c.n_attention, 4);
	assert_int_equal(c.n_eos, 2); /* once each, and those of the vocabulary */
	assert_int_equal(c.eos[0], 3);
	assert_int_equal(c.eos[1], 4);
	if (parse(&c,
	          "{\"tie_word_embeddings\":true,\"text_config\":{\"tie_word_embeddings\":false,"
	          "\"rope_theta\":1e4,\"partial_rotary_factor\":1,\"eos_token_id\":null," NEEDED
	          "}}",
	          &e) < 0)
		fail_msg("%s", e.text);
	assert_false(c.tied); /* the text part's wins */
	assert_int_equal(c.rotary, 256);
	assert_int_equal(c.n_eos, 0);
}

static void layer_types_win_over_the_interval(void **state)
{
	struct model_config c;
	struct err e = { 0 };

	(void)state;
	if (parse(&c,
	          "{" NEEDED ",\"rope_theta\":1e4,\"full_attention_interval\":4,\"layer_types\":["
	          "\"full_attention\",\"linear_attention\",\"linear_attention\","
	          "\"full_attention\",\"full_attention\",\"linear_attention\","
	          "\"linear_attention\",\"linear_attention\"]}",
	          &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(c.n_attention, 3);
	assert_int_equal(c.kind[0], LAYER_ATTENTION);
	assert_int_equal(c.kind[7], LAYER_DELTA);
}

static void what_is_wrong_with_a_config_is_named(void **state)
{
	static const struct {
		const char *more, *says;
	} cases[] = {
		{ "", "rope_theta: a number wanted, got nothing" },
		{ "\"rope_theta\":0", "rope_theta: over 0 and at most 1e+30 wanted, got 0" },
		{ "\"rope_theta\":\"big\"", "rope_theta: a number wanted, got a string" },
		{ "\"rope_parameters\":[]", "rope_parameters: an object" },
		{ "\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":1e4}", "'yarn'" },
		{ "\"rope_theta\":1e4,\"rope_scaling\":{\"type\":\"linear\"}", "'linear'" },
		{ "\"rope_theta\":1e4,\"partial_rotary_factor\":0.005",
		  "partial_rotary_factor: an even number of the 256 values of a head" },
		{ "\"rope_theta\":1e4,\"head_dim\":20,\"partial_rotary_factor\":0.25",
		  "of the 20 values of a head, from 2 on, wanted, got 5" },
		{ "\"rope_theta\":1e4,\"partial_rotary_factor\":1.5",
		  "partial_rotary_factor: over 0 and at most 1 wanted, got 1.5" },
		{ "\"model_type\":\"llama\"",
		  "model_type: \"qwen3_5\" or \"qwen3_5_text\" wanted, got 'llama'" },
		{ "\"model_type\":\"qwen3_5_moe\"", "got 'qwen3_5_moe'" },
		{ "\"hidden_act\":\"gelu\"", "hidden_act: \"silu\" wanted, got 'gelu'" },
		{ "\"attention_bias\":true", "attention_bias: false wanted, got true" },
		{ "\"attn_output_gate\":false", "attn_output_gate: true wanted, got false" },
		{ "\"attn_output_gate\":1", "attn_output_gate: true or false wanted" },
		{ "\"hidden_size\":0",
		  "hidden_size: a whole number from 1 to 16777216 wanted, got 0" },
		{ "\"num_hidden_layers\":1e9", "num_hidden_layers: a whole number from 1 to 512" },
		{ "\"num_hidden_layers\":2.5", "num_hidden_layers: a whole number" },
		{ "\"vocab_size\":-1", "vocab_size: a whole number" },
		{ "\"intermediate_size\":\"160\"",
		  "intermediate_size: a number wanted, got a string" },
		{ "\"num_attention_heads\":3",
		  "num_attention_heads: a multiple of num_key_value_heads (2) wanted, got 3" },
		{ "\"linear_num_value_heads\":17",
		  "linear_num_value_heads: a multiple of linear_num_key_heads (16) wanted, got 17" },
		{ "\"linear_conv_kernel_dim\":1", "linear_conv_kernel_dim: a whole number from 2" },
		{ "\"head_dim\":65536,\"num_attention_heads\":65536,\"rope_theta\":1e4",
		  "2 * num_attention_heads * head_dim: at most 16777216 wanted" },
		{ "\"hidden_size\":16777216,\"intermediate_size\":16777216,\"rope_theta\":1e4",
		  "at most 2^40 parameters" },
		{ "\"layer_types\":[\"full_attention\"]",
		  "layer_types: a list of num_hidden_layers = 8 words wanted, got 1" },
		{ "\"layer_types\":{\"a\":1}", "layer_types: a list" },
		{ "\"layer_types\":[1,2,3,4,5,6,7,8]", "layer_types[0]: " },
		{ "\"layer_types\":[\"full_attention\",\"sliding_attention\",3,4,5,6,7,8]",
		  "layer_types[1]: \"linear_attention\" or \"full_attention\" wanted, got 'sliding_attention'" },
		{ "\"full_attention_interval\":0", "full_attention_interval: a whole number" },
		{ "\"tie_word_embeddings\":\"no\"", "tie_word_embeddings: true or false wanted" },
		{ "\"rms_norm_eps\":0", "rms_norm_eps: over 0" },
		{ "\"eos_token_id\":\"<|im_end|>\"", "eos_token_id: " },
		{ "\"eos_token_id\":[1,[2]]", "eos_token_id: " },
		{ "\"eos_token_id\":[1,2,3,4,5,6,7,8,9]", "eos_token_id: more than 8" },
		{ "\"max_position_embeddings\":0", "max_position_embeddings: a whole number" },
	};
	struct model_config c = { .hidden = 77 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf text = { 0 };
		/* what is said first is what cJSON finds */
		buf_printf(&text, "{%s%s" NEEDED "}", cases[i].more, *cases[i].more ? "," : "");
		if (parse(&c, buf_str(&text), &e) == 0)
			fail_msg("%s was taken", cases[i].more);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, "config.json: ");
		assert_contains(e.text, cases[i].says);
		buf_release(&text);
	}
	assert_int_equal(parse(&c, "{}", &e), -1);
	assert_contains(e.text, "hidden_size: a number wanted, got nothing");
	assert_int_equal(parse(&c, "[]", &e), -1);
	assert_contains(e.text, "an object wanted");
	assert_int_equal(parse(&c, "{\"hidden_size\":64", &e), -1);
	assert_contains(e.text, "line 1");
	assert_int_equal(c.hidden, 77); /* untouched */
}

/* The counts of qwen35.md, section 1 and 6, which are exact for 2B and 9B. */
static void sizes_by_name_have_the_published_counts(void **state)
{
	static const struct {
		const char *name;
		uint64_t least, most, state_bytes, token_bytes;
	} cases[] = {
		{ "2b", 1881825088, 1881825088, 18874368 + 663552, 12288 },
		{ "9b", 8953803264, 8953803264, 50331648 + 1179648, 32768 },
		{ "0.8b", 700000000, 800000000, 0, 0 },
		{ "4b", 4100000000, 4300000000, 0, 0 },
		{ "10m", 10400000, 10600000, 0, 0 },
		{ "110m", 100000000, 120000000, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct model_config c;
		assert_int_equal(config_named(&c, cases[i].name), 0);
		assert_in_range(config_parameters(&c), cases[i].least, cases[i].most);
		assert_int_equal(c.n_delta + c.n_attention, c.layers);
		if (!cases[i].state_bytes)
			continue;
		assert_int_equal(config_state_bytes(&c), cases[i].state_bytes);
		assert_int_equal(config_kv_bytes_per_token(&c), cases[i].token_bytes);
	}
	struct model_config c;
	assert_int_equal(config_named(&c, "3b"), -1);
}

static void modules_have_the_shapes_of_the_spec(void **state)
{
	/* qwen35.md, section 12, column 9B: out, in */
	static const int want[MODULE_COUNT][2] = {
		[MODULE_Q] = { 8192, 4096 },   [MODULE_K] = { 1024, 4096 },
		[MODULE_V] = { 1024, 4096 },   [MODULE_O] = { 4096, 4096 },
		[MODULE_QKV] = { 8192, 4096 }, [MODULE_Z] = { 4096, 4096 },
		[MODULE_A] = { 32, 4096 },     [MODULE_B] = { 32, 4096 },
		[MODULE_OUT] = { 4096, 4096 }, [MODULE_GATE] = { 12288, 4096 },
		[MODULE_UP] = { 12288, 4096 }, [MODULE_DOWN] = { 4096, 12288 },
	};
	struct model_config c;
	int out, in;

	(void)state;
	config_named(&c, "9b");
	for (enum module m = 0; m < MODULE_COUNT; m++) {
		bool delta = m >= MODULE_QKV && m <= MODULE_OUT, either = m >= MODULE_GATE;
		assert_int_equal(module_shape(&c, 0, m, &out, &in), delta || either);
		assert_int_equal(module_shape(&c, 3, m, &out, &in), !delta || either);
		module_shape(&c, delta ? 0 : 3, m, &out, &in);
		assert_int_equal(out, want[m][0]);
		assert_int_equal(in, want[m][1]);
	}
	assert_false(module_shape(&c, 32, MODULE_UP, &out, &in));
	assert_false(module_shape(&c, -1, MODULE_UP, &out, &in));
}

/* ---- folders ---- */

/* Every weight is at its place: those of the random model that was written. */
static void assert_same_weights(const struct model *m, const struct model *want)
{
	const struct tensor *a[16], *b[16];

	assert_int_equal(m->embedding->n, want->embedding->n);
	assert_memory_equal(m->embedding->data, want->embedding->data, want->embedding->bytes);
	assert_memory_equal(m->head->data, want->head->data, want->head->bytes);
	assert_memory_equal(m->final_norm->data, want->final_norm->data, want->final_norm->bytes);
	for (int l = 0; l < want->config.layers; l++) {
		const struct layer *x = &m->layer[l], *y = &want->layer[l];
		int n = 0;
		assert_int_equal(x->kind, y->kind);
		for (int k = 0; k < MODULE_COUNT; k++) {
			assert_int_equal(!x->linear[k], !y->linear[k]);
			if (x->linear[k])
				assert_memory_equal(x->linear[k]->data, y->linear[k]->data,
				                    y->linear[k]->bytes);
		}
		a[n] = x->input_norm, b[n++] = y->input_norm;
		a[n] = x->post_norm, b[n++] = y->post_norm;
		a[n] = x->q_norm, b[n++] = y->q_norm;
		a[n] = x->k_norm, b[n++] = y->k_norm;
		a[n] = x->conv, b[n++] = y->conv;
		a[n] = x->a_log, b[n++] = y->a_log;
		a[n] = x->dt_bias, b[n++] = y->dt_bias;
		a[n] = x->norm, b[n++] = y->norm;
		for (int i = 0; i < n; i++) {
			assert_int_equal(!a[i], !b[i]);
			if (a[i])
				assert_memory_equal(a[i]->data, b[i]->data, b[i]->bytes);
		}
	}
}

static void a_folder_opens_in_every_form(void **state)
{
	static const char *const prefixes[] = { "model.", "model.language_model.",
		                                "language_model.model." };
	const struct place *p = *state;
	char config[200], weights[200];

	snprintf(config, sizeof(config), "%s/config.json", p->dir);
	snprintf(weights, sizeof(weights), "%s/model.safetensors", p->dir);
	for (int i = 0; i < 12; i++) {
		struct model_config c = tiny_config();
		struct model m, want;
		struct err e = { 0 };
		bool nested = i & 1;
		c.tied = i / 2 & 1;
		const char *prefix = prefixes[i / 4];
		cJSON *o = config_fields(&c);
		if (nested) {
			cJSON *top = cJSON_CreateObject();
			cJSON_AddStringToObject(top, "model_type", "qwen3_5");
			cJSON_AddItemToObject(top, "text_config", o);
			o = top;
		}
		put_json(p->dir, "config.json", o);
		cJSON_Delete(o);
		assert_int_equal(model_random(&want, &c, i % 3 ? DTYPE_BF16 : DTYPE_F32,
		                              (uint64_t)i + 1, false, &e),
		                 0);
		put_tensors(p->dir, "model.safetensors", want.tensors.item, want.tensors.n, prefix);
		open_ok(&m, p->dir);
		assert_int_equal(m.config.tied, c.tied);
		assert_int_equal(m.head == m.embedding, c.tied);
		assert_int_equal(m.config.eos[0], 7);
		assert_int_equal(m.skipped, 0);
		assert_same_weights(&m, &want);
		model_close(&m);
		model_close(&m);
		model_close(&want);
	}
}

static void shards_vision_and_generation_config_are_understood(void **state)
{
	const struct place *p = *state;
	struct model_config c = tiny_config();
	uint16_t pixel[32] = { 0 };
	struct tensor more[] = {
		{ .name = "model.visual.patch_embed.proj.weight",
		  .dtype = DTYPE_BF16,
		  .n_dims = 5,
		  .dims = { 2, 2, 2, 2, 2 },
		  .n = 32,
		  .bytes = 64,
		  .data = pixel },
		{ .name = "mtp.fc.weight",
		  .dtype = DTYPE_BF16,
		  .n_dims = 1,
		  .dims = { 2 },
		  .n = 2,
		  .bytes = 4,
		  .data = pixel },
		{ .name = "model.mtp.norm.weight",
		  .dtype = DTYPE_BF16,
		  .n_dims = 1,
		  .dims = { 2 },
		  .n = 2,
		  .bytes = 4,
		  .data = pixel },
	};
	struct model want, m;
	struct err e = { 0 };
	struct tensor all[80];
	cJSON *index = cJSON_CreateObject(), *map;

	put_model(p->dir, &c, DTYPE_BF16, 5);
	assert_int_equal(model_random(&want, &c, DTYPE_BF16, 5, false, &e), 0);
	int n = want.tensors.n, half = n / 2;
	memcpy(all, want.tensors.item, (size_t)n * sizeof(*all));
	for (int i = 0; i < 3; i++)
		all[n++] = more[i];
	put_tensors(p->dir, "first.safetensors", all, half, NULL);
	put_tensors(p->dir, "second.safetensors", all + half, n - half, NULL);
	map = cJSON_AddObjectToObject(index, "weight_map");
	for (int i = 0; i < n; i++)
		cJSON_AddStringToObject(map, all[i].name,
		                        i < half ? "first.safetensors" : "second.safetensors");
	put_json(p->dir, "model.safetensors.index.json", index);
	put_text(p->dir, "generation_config.json", "{\"eos_token_id\":[9,7]}");
	open_ok(&m, p->dir);
	assert_same_weights(&m, &want);
	assert_int_equal(m.skipped, 3);
	assert_int_equal(m.config.n_eos, 2);
	assert_int_equal(m.config.eos[1], 9);
	model_close(&m);

	put_text(p->dir, "generation_config.json", "{\"eos_token_id\":\"x\"}");
	open_fails(p->dir, "generation_config.json: eos_token_id");
	put_text(p->dir, "generation_config.json", "{\"eos_token_id\":[9,7]}");
	char path[200];
	snprintf(path, sizeof(path), "%s/second.safetensors", p->dir);
	unlink(path);
	open_fails(p->dir, "second.safetensors: No such file");
	cJSON_Delete(index);
	model_close(&want);
}

/* Writes the tiny model with tensor @name changed by @how, and opens it. */
static void spoilt(const struct place *p, const char *name, const char *how, const char *says)
{
	struct model_config c = tiny_config();
	struct model m;
	struct err e = { 0 };
	struct tensor all[80];
	int n;

	assert_int_equal(model_random(&m, &c, DTYPE_F32, 3, false, &e), 0);
	n = m.tensors.n;
	memcpy(all, m.tensors.item, (size_t)n * sizeof(*all));
	int k = (int)(tensors_find(&m.tensors, name) - m.tensors.item);
	assert_in_range(k, 0, n - 1);
	if (strcmp(how, "gone") == 0) {
		all[k] = all[--n];
	} else if (strcmp(how, "turned") == 0) {
		int64_t d = all[k].dims[0];
		all[k].dims[0] = all[k].dims[1];
		all[k].dims[1] = d;
	} else if (strcmp(how, "flat") == 0) {
		all[k].n_dims = 1;
		all[k].dims[0] = (int64_t)all[k].n;
	} else if (strcmp(how, "whole numbers") == 0) {
		all[k].dtype = DTYPE_I32;
	} else if (strcmp(how, "NaN") == 0) {
		((float *)(uintptr_t)all[k].data)[all[k].n - 1] = NAN;
	} else if (strcmp(how, "infinite") == 0) {
		((float *)(uintptr_t)all[k].data)[0] = -INFINITY;
	} else {
		all[n] = all[k];
		all[n++].name = how;
	}
	put_tensors(p->dir, "model.safetensors", all, n, NULL);
	open_fails(p->dir, says);
	model_close(&m);
}

static void a_model_that_does_not_fit_its_config_is_refused(void **state)
{
	const struct place *p = *state;
	struct model_config c = tiny_config();

	put_model(p->dir, &c, DTYPE_F32, 3);
	spoilt(p, "model.layers.1.mlp.up_proj.weight", "gone",
	       "tensor 'model.layers.1.mlp.up_proj.weight' [40, 24], which config.json asks for, is "
	       "not there");
	spoilt(p, "model.layers.1.mlp.up_proj.weight", "turned",
	       "tensor 'model.layers.1.mlp.up_proj.weight': shape [40, 24] wanted (from config.json), "
	       "got [24, 40]");
	spoilt(p, "model.layers.0.linear_attn.conv1d.weight", "flat",
	       "shape [40, 1, 4] wanted (from config.json), got [160]");
	spoilt(p, "model.layers.3.self_attn.q_norm.weight", "whole numbers",
	       "tensor 'model.layers.3.self_attn.q_norm.weight': dtype F32, F16 or BF16 wanted, got "
	       "I32");
	spoilt(p, "model.norm.weight", "model.layers.4.input_layernorm.weight",
	       "tensor 'model.layers.4.input_layernorm.weight' is none of the 4 layers");
	spoilt(p, "model.norm.weight", "model.layers.0.self_attn.q_proj.bias", "is none of the 4");
	spoilt(p, "lm_head.weight", "gone", "tensor 'lm_head.weight' [64, 24], which config.json");
	spoilt(p, "model.embed_tokens.weight", "gone",
	       "tensor 'model.embed_tokens.weight' is not there, nor with the prefix");
	spoilt(p, "model.layers.0.linear_attn.A_log", "NaN",
	       "tensor 'model.layers.0.linear_attn.A_log' holds values that are no finite numbers");
	spoilt(p, "model.layers.2.mlp.down_proj.weight", "infinite",
	       "tensor 'model.layers.2.mlp.down_proj.weight' holds values that are no finite");
}

static void a_tied_model_ignores_a_head_that_is_there_all_the_same(void **state)
{
	const struct place *p = *state;
	struct model_config c = tiny_config();
	struct model m;

	put_model(p->dir, &c, DTYPE_F32, 3);
	c.tied = true;
	cJSON *o = config_fields(&c);
	put_json(p->dir, "config.json", o);
	cJSON_Delete(o);
	open_ok(&m, p->dir);
	assert_ptr_equal(m.head, m.embedding);
	model_close(&m);
}

static void a_folder_that_is_no_model_is_told_apart(void **state)
{
	const struct place *p = *state;
	struct model m;
	struct err e = { 0 };
	struct model_config c = tiny_config();
	cJSON *o = config_fields(&c);

	open_fails(p->dir, "config.json");
	put_text(p->dir, "adapter_config.json", "{}");
	open_fails(p->dir, "is an adapter: name its base model's folder");
	put_json(p->dir, "config.json", o);
	open_fails(p->dir, "model.safetensors: No such file");
	assert_int_equal(model_open(&m, "/no/such/folder", &e), -1);
	assert_contains(e.text, "/no/such/folder/config.json");
	cJSON_Delete(o);
}

/* ---- hashes, random weights ---- */

static void the_hash_tells_models_apart(void **state)
{
	const struct place *p = *state;
	struct model_config c = tiny_config();
	struct model a, b;

	put_model(p->dir, &c, DTYPE_F32, 3);
	open_ok(&a, p->dir);
	open_ok(&b, p->dir);
	assert_memory_equal(a.hash, b.hash, 32);
	model_close(&b);
	put_model(p->dir, &c, DTYPE_F32, 4);
	open_ok(&b, p->dir);
	assert_memory_not_equal(a.hash, b.hash, 32);
	model_close(&b);
	put_model(p->dir, &c, DTYPE_F32, 3);
	c.norm_eps = 1e-5;
	cJSON *o = config_fields(&c);
	put_json(p->dir, "config.json", o);
	cJSON_Delete(o);
	open_ok(&b, p->dir);
	assert_memory_not_equal(a.hash, b.hash, 32);
	model_close(&b);
	model_close(&a);
}

static void random_weights_are_a_function_of_seed_and_place(void **state)
{
	struct model_config c;
	struct model a, b, host;
	struct err e = { 0 };
	double sum = 0, squares = 0, most = 0;

	(void)state;
	config_named(&c, "10m");
	assert_int_equal(model_random(&host, &c, DTYPE_F32, 11, false, &e), 0);
	const struct tensor *t = host.embedding;
	const float *v = t->data;
	uint64_t key = random_weight_key(11, (uint64_t)(t - host.tensors.item));
	for (uint64_t i = 0; i < t->n; i++) {
		sum += v[i];
		squares += (double)v[i] * v[i];
		most = fmax(most, fabs(v[i]));
	}
	for (uint64_t i = 0; i < t->n; i += 1000)
		assert_true(v[i] == random_weight(key, i));
	assert_close(sum / (double)t->n, 0, 1e-4);
	assert_close(sqrt(squares / (double)t->n), 0.02, 1e-4);
	assert_true(most < 0.0694 && most > 0.06);
	/* the narrow ones are the wide ones, rounded */
	assert_int_equal(model_random(&a, &c, DTYPE_BF16, 11, false, &e), 0);
	const uint16_t *narrow = a.embedding->data;
	for (uint64_t i = 0; i < t->n; i += 777)
		assert_int_equal(narrow[i], bf16_round(v[i]));
	assert_int_equal(a.layer[0].a_log->dtype, DTYPE_F32);
	assert_int_equal(a.layer[0].norm->dtype, DTYPE_F32);
	model_close(&a);
	/* on the device: matrices have no data, all else is the same */
	assert_int_equal(model_random(&b, &c, DTYPE_F32, 11, true, &e), 0);
	assert_null(b.embedding->data);
	assert_null(b.layer[3].linear[MODULE_DOWN]->data);
	assert_int_equal(b.random_seed, 11);
	assert_int_equal(b.embedding - b.tensors.item, host.embedding - host.tensors.item);
	const struct layer *x = &b.layer[1], *y = &host.layer[1];
	assert_memory_equal(x->conv->data, y->conv->data, y->conv->bytes);
	assert_memory_equal(x->a_log->data, y->a_log->data, y->a_log->bytes);
	for (uint64_t i = 0; i < y->a_log->n; i++)
		assert_true(((const float *)y->a_log->data)[i] < logf(16) + 1e-6f);
	assert_true(((const float *)y->norm->data)[0] == 1);
	assert_true(((const float *)y->input_norm->data)[0] == 0);
	assert_memory_equal(b.hash, host.hash, 32);
	model_close(&b);
	model_close(&host);
	assert_int_equal(model_random(&a, &c, DTYPE_F16, 1, false, &e), -1);
	assert_int_equal(model_random(&a, &c, DTYPE_F32, 0, false, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
}

static void no_memory_for_random_weights_is_an_error(void **state)
{
	struct model_config c;
	struct model m;
	struct err e = { 0 };

	(void)state;
	config_named(&c, "9b");
	c.hidden = 1 << 16;
	c.mlp = 1 << 24; /* 400 TB: more than there are addresses, whatever the system promises */
	if (model_random(&m, &c, DTYPE_F32, 1, false, &e) == 0)
		fail_msg("400 TB were given");
	assert_int_equal(e.kind, ERR_MEM);
	assert_contains(e.text, "GB");
}

/* ---- the oracle's ---- */

static void the_oracles_models_open(void **state)
{
	char path[4096];
	struct model m;
	cJSON *o;

	(void)state;
	open_ok(&m, oracle(path, "tiny-f32"));
	assert_int_equal(m.config.layers, 4);
	assert_int_equal(m.config.key_dim, 16);
	assert_int_equal(m.config.value_dim, 24);
	assert_int_equal(m.config.rotary, 8);
	assert_int_equal(m.config.context, 4096);
	assert_int_equal(m.config.n_eos, 2); /* 967, and 969 of generation_config.json */
	assert_int_equal(m.config.eos[0], 967);
	assert_int_equal(m.config.eos[1], 969);
	assert_ptr_not_equal(m.head, m.embedding);
	assert_int_equal(m.skipped, 0);
	o = model_describe(&m);
	assert_int_equal((int)json_number_or(o, "parameters", 0), 358496);
	cJSON_Delete(o);
	model_close(&m);
	open_ok(&m, oracle(path, "tiny-bf16-sharded"));
	assert_int_equal(m.config.n_delta, 6);
	assert_true(m.config.tied && m.head == m.embedding);
	assert_int_equal(m.layer[0].a_log->dtype, DTYPE_F32);
	assert_int_equal(m.layer[0].dt_bias->dtype, DTYPE_BF16);
	assert_int_equal(m.tensors.n_files, 2);
	assert_int_equal(m.skipped, 8);
	o = model_describe(&m);
	const cJSON *load = cJSON_GetObjectItemCaseSensitive(o, "load_bytes");
	assert_int_equal((int)json_number_or(load, "f32", 0), 1541616 * 4);
	assert_int_equal((int)json_number_or(load, "as_stored", 0), 1541400 * 2 + 216 * 4);
	cJSON_Delete(o);
	model_close(&m);
}

int main(void)
{
#define in_a_folder(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_config_leaves_out_has_its_default),
		cmocka_unit_test(a_nested_config_is_read_from_its_text_part),
		cmocka_unit_test(layer_types_win_over_the_interval),
		cmocka_unit_test(what_is_wrong_with_a_config_is_named),
		cmocka_unit_test(sizes_by_name_have_the_published_counts),
		cmocka_unit_test(modules_have_the_shapes_of_the_spec),
		in_a_folder(a_folder_opens_in_every_form),
		in_a_folder(shards_vision_and_generation_config_are_understood),
		in_a_folder(a_model_that_does_not_fit_its_config_is_refused),
		in_a_folder(a_tied_model_ignores_a_head_that_is_there_all_the_same),
		in_a_folder(a_folder_that_is_no_model_is_told_apart),
		in_a_folder(the_hash_tells_models_apart),
		cmocka_unit_test(random_weights_are_a_function_of_seed_and_place),
		cmocka_unit_test(no_memory_for_random_weights_is_an_error),
		cmocka_unit_test(the_oracles_models_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
