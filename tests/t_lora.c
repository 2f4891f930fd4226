/*
 * t_lora.c - PEFT's adapters: what fits is taken with its scales, what does not is refused by name,
 * what is saved is what was there.
 */
#include "tests/model.h"

struct place {
	char dir[64], adapter[100];
	struct model_config config;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	folder_make(p->dir);
	snprintf(p->adapter, sizeof(p->adapter), "%s/tuned", p->dir);
	p->config = tiny_config();
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

static void save(const struct place *p, const struct adapter *a, bool prefix, bool rslora,
                 enum dtype dtype)
{
	const struct adapter_save_options o = { prefix, rslora, dtype, "some/base" };
	struct err e = { 0 };

	folder_remove(p->adapter);
	if (adapter_save(a, p->adapter, &p->config, &o, &e) < 0)
		fail_msg("%s", e.text);
}

static void open_ok(struct adapter *a, const struct place *p)
{
	struct err e = { 0 };

	if (adapter_open(a, p->adapter, &p->config, &e) < 0)
		fail_msg("%s", e.text);
}

static void open_fails(const struct place *p, const char *says)
{
	struct adapter a;
	struct err e = { 0 };

	if (adapter_open(&a, p->adapter, &p->config, &e) == 0)
		fail_msg("taken: %s", says);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, p->adapter);
	assert_contains(e.text, says);
	assert_null(a.part);
	assert_int_equal(adapter_look(&a, p->adapter, &p->config, &e), -1);
}

static void assert_same(const struct adapter *a, const struct adapter *b)
{
	int out, in;

	assert_int_equal(a->layers, b->layers);
	assert_int_equal(a->modules, b->modules);
	assert_int_equal(a->parameters, b->parameters);
	for (int l = 0; l < a->layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++) {
			const struct lora_part *x = &a->part[l][m], *y = &b->part[l][m];
			struct model_config c = tiny_config();
			assert_int_equal(x->rank, y->rank);
			if (!x->rank)
				continue;
			assert_true(x->scale == y->scale);
			assert_true(module_shape(&c, l, m, &out, &in));
			assert_memory_equal(x->a, y->a, sizeof(float) * (size_t)(x->rank * in));
			assert_memory_equal(x->b, y->b, sizeof(float) * (size_t)(x->rank * out));
		}
}

static int only_some(int l, enum module m)
{
	return m == MODULE_Q || m == MODULE_QKV || (m == MODULE_UP && l != 2);
}

static void what_is_saved_is_what_was_there(void **state)
{
	const struct place *p = *state;

	for (int i = 0; i < 16; i++) {
		struct adapter a, b;
		bool rslora = i & 1;
		make_adapter(&a, &p->config, 3, rslora ? (float)(6 / sqrt(3)) : 2, (uint32_t)i,
		             i & 2 ? only_some : NULL);
		if (i & 4)
			a.part[0][MODULE_UP].scale = 0.3f; /* no whole alpha */
		save(p, &a, i & 8, rslora, i & 2 ? DTYPE_BF16 : DTYPE_F32);
		open_ok(&b, p);
		assert_same(&a, &b);
		assert_int_equal(b.rslora, rslora);
		assert_string_equal(b.base_model, "some/base");
		assert_string_equal(b.name, "tuned");
		assert_int_equal(b.rank_max, 3);
		adapter_close(&b);
		adapter_close(&b);
		adapter_close(&a);
	}
}

static cJSON *read_json(const struct place *p)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	char path[200];

	snprintf(path, sizeof(path), "%s/adapter_config.json", p->adapter);
	if (buf_read_file(&text, path, 1 << 20, &e) < 0)
		fail_msg("%s", e.text);
	cJSON *o = json_parse(buf_str(&text), text.len, &e);
	assert_non_null(o);
	buf_release(&text);
	return o;
}

static void a_saved_config_says_what_peft_needs(void **state)
{
	const struct place *p = *state;
	struct adapter a;
	const cJSON *x;
	cJSON *o;

	make_adapter(&a, &p->config, 4, 2, 1, only_some);
	a.part[1][MODULE_UP].scale = 4;
	save(p, &a, true, false, DTYPE_F32);
	o = read_json(p);
	assert_string_equal(json_string_or(o, "peft_type", ""), "LORA");
	assert_true(json_number_or(o, "r", 0) == 4);
	assert_true(json_number_or(o, "lora_alpha", 0) == 8);
	x = cJSON_GetObjectItemCaseSensitive(o, "alpha_pattern");
	assert_int_equal(cJSON_GetArraySize(x), 1);
	assert_true(json_number_or(x, "layers.1.mlp.up_proj", 0) == 16);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "rank_pattern")),
	                 0);
	/* up_proj is not in every layer: PEFT must not make one for layer 2 */
	struct buf list = { 0 };
	json_print(&list, cJSON_GetObjectItemCaseSensitive(o, "target_modules"));
	assert_string_equal(buf_str(&list), "[\"q_proj\",\"in_proj_qkv\",\"layers.0.mlp.up_proj\","
	                                    "\"layers.1.mlp.up_proj\",\"layers.3.mlp.up_proj\"]");
	buf_release(&list);
	cJSON_Delete(o);
	adapter_close(&a);
}

static void a_folder_that_is_there_is_left_alone(void **state)
{
	const struct place *p = *state;
	const struct adapter_save_options o = { false, false, DTYPE_F32, NULL };
	struct adapter a;
	struct err e = { 0 };
	struct stat st;
	char path[200];

	make_adapter(&a, &p->config, 2, 1, 1, NULL);
	assert_int_equal(mkdir(p->adapter, 0700), 0); /* empty: taken */
	assert_int_equal(adapter_save(&a, p->adapter, &p->config, &o, &e), 0);
	put_text(p->adapter, "notes.md", "keep me");
	assert_int_equal(adapter_save(&a, p->adapter, &p->config, &o, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "is there already");
	snprintf(path, sizeof(path), "%s/notes.md", p->adapter);
	assert_int_equal(stat(path, &st), 0);
	snprintf(path, sizeof(path), "%s/no/such", p->dir);
	assert_int_equal(adapter_save(&a, path, &p->config, &o, &e), -1);
	assert_int_equal(e.kind, ERR_IO);
	/* no half-made folder beside it */
	folder_remove(p->adapter);
	assert_int_equal(rmdir(p->dir), 0);
	assert_int_equal(mkdir(p->dir, 0700), 0);
	adapter_close(&a);
}

/* ---- folders by hand ---- */

/* One tensor by name, its shape and, for the values, what the first one is. */
struct piece {
	const char *name;
	int64_t rows, columns;
	enum dtype dtype;
	float first;
};

static void put_pieces(const struct place *p, const char *config, const struct piece *piece, int n)
{
	struct tensor item[16] = { 0 };
	float *values = calloc(65536, sizeof(float));

	mkdir(p->adapter, 0700);
	put_text(p->adapter, "adapter_config.json", config);
	for (int i = 0; i < n; i++) {
		float *v = values + 4096 * i;
		item[i] = (struct tensor){
			.name = piece[i].name,
			.dtype = piece[i].dtype,
			.n_dims = 2,
			.dims = { piece[i].rows, piece[i].columns },
			.n = (uint64_t)(piece[i].rows * piece[i].columns),
			.data = v,
		};
		item[i].bytes = item[i].n * dtype_bytes(item[i].dtype);
		v[0] = piece[i].first;
	}
	put_tensors(p->adapter, "adapter_model.safetensors", item, n, NULL);
	free(values);
}

#define BASE "base_model.model."
#define UP0  BASE "model.layers.0.mlp.up_proj.lora_"
#define QKV1 BASE "model.layers.1.linear_attn.in_proj_qkv.lora_"

static void names_are_taken_in_every_form(void **state)
{
	static const struct piece pieces[] = {
		{ BASE "model.language_model.layers.0.mlp.up_proj.lora_A.weight", 2, 24, DTYPE_F32,
		  1 },
		{ BASE "model.language_model.layers.0.mlp.up_proj.lora_B.weight", 40, 2, DTYPE_F32,
		  2 },
		{ BASE "model.layers.3.self_attn.q_proj.lora_A.default.weight", 2, 24, DTYPE_F32,
		  3 },
		{ BASE "model.layers.3.self_attn.q_proj.lora_B.default.weight", 64, 2, DTYPE_F32,
		  4 },
		{ BASE "language_model.model.layers.2.linear_attn.in_proj_a.lora_A.weight", 2, 24,
		  DTYPE_F32, 5 },
		{ BASE "language_model.model.layers.2.linear_attn.in_proj_a.lora_B.weight", 4, 2,
		  DTYPE_F32, 6 },
		{ BASE "model.visual.blocks.0.attn.qkv.lora_A.weight", 2, 99, DTYPE_F32, 7 },
		{ BASE "model.visual.blocks.0.attn.qkv.lora_B.weight", 99, 2, DTYPE_F32, 8 },
	};
	const struct place *p = *state;
	struct adapter a;
	struct err e = { 0 };

	put_pieces(p, "{\"r\":2,\"lora_alpha\":3}", pieces, 8);
	open_ok(&a, p);
	assert_int_equal(a.modules, 3);
	assert_int_equal(a.skipped, 2);
	assert_int_equal(a.part[0][MODULE_UP].rank, 2);
	assert_true(a.part[0][MODULE_UP].scale == 1.5f);
	assert_true(a.part[0][MODULE_UP].a[0] == 1 && a.part[0][MODULE_UP].b[0] == 2);
	assert_true(a.part[3][MODULE_Q].a[0] == 3 && a.part[3][MODULE_Q].b[0] == 4);
	assert_true(a.part[2][MODULE_A].a[0] == 5 && a.part[2][MODULE_A].b[0] == 6);
	assert_int_equal(a.part[1][MODULE_UP].rank, 0);
	adapter_close(&a);
	assert_int_equal(adapter_look(&a, p->adapter, &p->config, &e), 0);
	assert_int_equal(a.modules, 3);
	assert_null(a.part[0][MODULE_UP].a);
	cJSON *o = adapter_describe(&a);
	assert_true(json_number_or(o, "parameters", 0) == 2 * (24 + 40 + 24 + 64 + 24 + 4));
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, "hash")));
	cJSON_Delete(o);
	adapter_close(&a);
}

static void ranks_and_alphas_follow_the_patterns(void **state)
{
	static const struct piece pieces[] = {
		{ UP0 "A.weight", 2, 24, DTYPE_F32, 1 },
		{ UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		{ QKV1 "A.weight", 4, 24, DTYPE_F32, 1 },
		{ QKV1 "B.weight", 40, 4, DTYPE_F32, 1 },
	};
	static const struct {
		const char *config;
		double up, qkv;
	} cases[] = {
		{ "{\"r\":2,\"lora_alpha\":8,\"rank_pattern\":{\"in_proj_qkv\":4}}", 4, 2 },
		{ "{\"r\":4,\"lora_alpha\":8,\"rank_pattern\":{\"layers.0.mlp.up_proj\":2},"
		  "\"alpha_pattern\":{\".*qkv\":1,\"in_proj_qkv\":100}}",
		  4, 0.25 },
		{ "{\"r\":4,\"lora_alpha\":8,\"use_rslora\":true,"
		  "\"rank_pattern\":{\"model\\\\.layers\\\\.[02]\\\\..*\":2},"
		  "\"alpha_pattern\":{\"up_proj|down_proj\":3}}",
		  2.1213203435596424, 4 }, /* 3 / sqrt(2) */
		/* a part of a name is no match, nor is one in the middle */
		{ "{\"r\":2,\"lora_alpha\":8,\"rank_pattern\":{\"proj_qkv\":9,\"linear_attn\":9,"
		  "\"in_proj_qkv\":4}}",
		  4, 2 },
	};
	const struct place *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct adapter a;
		put_pieces(p, cases[i].config, pieces, 4);
		open_ok(&a, p);
		assert_int_equal(a.part[0][MODULE_UP].rank, 2);
		assert_int_equal(a.part[1][MODULE_QKV].rank, 4);
		assert_int_equal(a.rank_max, 4);
		assert_close(a.part[0][MODULE_UP].scale, cases[i].up, 1e-6);
		assert_close(a.part[1][MODULE_QKV].scale, cases[i].qkv, 1e-6);
		adapter_close(&a);
	}
}

static void a_config_that_means_more_than_lora_is_refused(void **state)
{
	static const struct piece pieces[] = {
		{ UP0 "A.weight", 2, 24, DTYPE_F32, 1 },
		{ UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
	};
	static const struct {
		const char *more, *says;
	} cases[] = {
		{ "\"use_dora\":true", "use_dora: adapters with it are not taken" },
		{ "\"bias\":\"all\"", "bias: \"none\" wanted, got 'all'" },
		{ "\"modules_to_save\":[\"lm_head\"]", "modules_to_save: " },
		{ "\"fan_in_fan_out\":true", "fan_in_fan_out: " },
		{ "\"lora_bias\":true", "lora_bias: " },
		{ "\"layer_replication\":[[0,2],[1,3]]", "layer_replication: " },
		{ "\"trainable_token_indices\":[1,2]", "trainable_token_indices: " },
		{ "\"alora_invocation_tokens\":[1,2]", "alora_invocation_tokens: " },
		{ "\"target_parameters\":[\"x\"]", "target_parameters: " },
		{ "\"init_lora_weights\":\"pissa_niter_4\"", "init_lora_weights: 'pissa_niter_4'" },
		{ "\"peft_type\":\"LOHA\"", "peft_type: \"LORA\" wanted, got 'LOHA'" },
		{ "\"use_rslora\":\"yes\"", "use_rslora: true or false wanted" },
		{ "\"r\":0", "r: a whole number from 1 to 4096 wanted, got 0" },
		{ "\"r\":1e9", "r: a whole number" },
		{ "\"lora_alpha\":\"x\"", "lora_alpha: a number wanted, got a string" },
		{ "\"lora_alpha\":1e300", "lora_alpha: a number under 1e6" },
		{ "\"rank_pattern\":[1]", "rank_pattern: an object wanted" },
		{ "\"rank_pattern\":{\"x\":\"2\"}", "rank_pattern: 'x': a number over 0 wanted" },
		{ "\"rank_pattern\":{\"x(\":2}", "rank_pattern: 'x(' is no pattern" },
		{ "\"alpha_pattern\":{\"x\":-2}", "alpha_pattern: 'x': a number over 0" },
		{ "\"rank_pattern\":{\"(((.*)*)*)*[xz]\":2}", "takes too long to match" },
		{ "\"rank_pattern\":{\"up_proj\":8}",
		  "lora_A.weight' [2, 24]: adapter_config.json asks for rank 8" },
		{ "\"r\":4", "lora_A.weight' [2, 24]: adapter_config.json asks for rank 4" },
	};
	const struct place *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf config = { 0 };
		buf_printf(&config, "{%s,\"r\":2,\"lora_alpha\":2}", cases[i].more);
		put_pieces(p, buf_str(&config), pieces, 2);
		open_fails(p, cases[i].says);
		buf_release(&config);
	}
	/* what says nothing is no reason */
	struct adapter a;
	put_pieces(
		p,
		"{\"r\":2,\"lora_alpha\":2,\"use_dora\":false,\"modules_to_save\":[],"
		"\"layer_replication\":null,\"bias\":\"none\",\"init_lora_weights\":\"gaussian\","
		"\"rank_pattern\":{},\"alpha_pattern\":null,\"loftq_config\":{},\"peft_type\":"
		"\"LORA\",\"target_modules\":\"all-linear\",\"fan_in_fan_out\":false}",
		pieces, 2);
	open_ok(&a, p);
	adapter_close(&a);
	put_text(p->adapter, "adapter_config.json", "{\"r\":2");
	open_fails(p, "adapter_config.json: line 1");
	put_text(p->adapter, "adapter_config.json", "[]");
	open_fails(p, "adapter_config.json: an object wanted");
}

static void a_tensor_that_does_not_fit_is_refused_with_both_shapes(void **state)
{
	static const struct {
		struct piece a, b;
		const char *says;
	} cases[] = {
		{ { UP0 "A.weight", 2, 32, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "layers.0.mlp.up_proj.lora_A.weight': shape [r, 24] wanted by the base, got [2, 32]" },
		{ { UP0 "A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 41, 2, DTYPE_F32, 1 },
		  "layers.0.mlp.up_proj.lora_B.weight': shape [40, r] wanted by the base, got [41, 2]" },
		{ { UP0 "A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 3, DTYPE_F32, 1 },
		  "lora_A.weight' [2, 24] and 'base_model.model.model.layers.0.mlp.up_proj.lora_B.weight' "
		  "[40, 3]: they have different ranks" },
		{ { UP0 "A.weight", 2, 24, DTYPE_F32, 1 },
		  { BASE "model.visual.x.lora_B.weight", 40, 2, DTYPE_F32, 1 },
		  "lora_A.weight' has no lora_B beside it" },
		{ { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  { BASE "model.visual.x.lora_B.weight", 40, 2, DTYPE_F32, 1 },
		  "lora_B.weight' has no lora_A beside it" },
		{ { UP0 "A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "A.default.weight", 2, 24, DTYPE_F32, 1 },
		  "are the same one" },
		{ { BASE "model.layers.4.mlp.up_proj.lora_A.weight", 2, 24, DTYPE_F32, 1 },
		  { BASE "model.layers.4.mlp.up_proj.lora_B.weight", 40, 2, DTYPE_F32, 1 },
		  "layers.4.mlp.up_proj.lora_A.weight' [2, 24]: the base has 4 layers" },
		{ { BASE "model.layers.0.self_attn.q_proj.lora_A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "layer 0 of the base is a DeltaNet and has no self_attn.q_proj" },
		{ { BASE "model.layers.3.linear_attn.out_proj.lora_A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "layer 3 of the base is attention and has no linear_attn.out_proj" },
		{ { BASE "lm_head.lora_A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "'base_model.model.lm_head.lora_A.weight' [2, 24]: it is the A or B of no linear layer" },
		{ { BASE "model.layers.0.linear_attn.conv1d.lora_A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "it is the A or B of no linear layer" },
		{ { "model.layers.0.mlp.up_proj.lora_A.weight", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "it is the A or B of no linear layer" },
		{ { BASE "model.layers.0.mlp.up_proj.lora_magnitude_vector", 2, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "it is the A or B of no linear layer" },
		{ { UP0 "A.weight", 2, 24, DTYPE_I32, 0 },
		  { UP0 "B.weight", 40, 2, DTYPE_F32, 1 },
		  "lora_A.weight': dtype F32, F16 or BF16 wanted, got I32" },
		{ { UP0 "A.weight", 0, 24, DTYPE_F32, 1 },
		  { UP0 "B.weight", 40, 0, DTYPE_F32, 1 },
		  "a rank from 1 to 4096 wanted" },
		{ { BASE "model.visual.x.lora_A.weight", 2, 24, DTYPE_F32, 1 },
		  { BASE "model.visual.x.lora_B.weight", 40, 2, DTYPE_F32, 1 },
		  "it holds no LoRA tensor of the text model, only such of the vision part" },
	};
	const struct place *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct piece pair[2] = { cases[i].a, cases[i].b };
		put_pieces(p, "{\"r\":2,\"lora_alpha\":2}", pair, 2);
		open_fails(p, cases[i].says);
	}
}

static void values_that_are_no_numbers_are_refused(void **state)
{
	const struct place *p = *state;
	struct piece pair[2] = {
		{ UP0 "A.weight", 2, 24, DTYPE_F32, 1 },
		{ UP0 "B.weight", 40, 2, DTYPE_F32, NAN },
	};
	struct adapter a;
	struct err e = { 0 };

	for (int i = 0; i < 2; i++) {
		pair[1].first = i ? -INFINITY : NAN;
		put_pieces(p, "{\"r\":2,\"lora_alpha\":2}", pair, 2);
		assert_int_equal(adapter_open(&a, p->adapter, &p->config, &e), -1);
		assert_contains(e.text, "up_proj.lora_B.weight' holds values that are no finite");
	}
}

static void what_is_no_adapters_folder_is_named(void **state)
{
	const struct place *p = *state;

	open_fails(p, "adapter_config.json");
	mkdir(p->adapter, 0700);
	put_text(p->adapter, "adapter_config.json", "{\"r\":2,\"lora_alpha\":2}");
	open_fails(p, "adapter_model.safetensors: No such file");
	put_text(p->adapter, "adapter_model.bin", "x");
	open_fails(p, "adapter_model.bin: only safetensors are read");
	put_text(p->adapter, "adapter_model.safetensors", "x");
	open_fails(p, "adapter_model");
}

static void the_hash_tells_adapters_apart(void **state)
{
	const struct place *p = *state;
	struct adapter a, b, c;

	make_adapter(&a, &p->config, 3, 2, 1, NULL);
	save(p, &a, false, false, DTYPE_F32);
	open_ok(&b, p);
	open_ok(&c, p);
	assert_memory_equal(b.hash, c.hash, 32);
	adapter_close(&c);
	((float *)(uintptr_t)a.part[2][MODULE_OUT].b)[5] += 1e-6f; /* one value, by little */
	save(p, &a, false, false, DTYPE_F32);
	open_ok(&c, p);
	assert_memory_not_equal(b.hash, c.hash, 32);
	adapter_close(&c);
	((float *)(uintptr_t)a.part[2][MODULE_OUT].b)[5] =
		((const float *)b.part[2][MODULE_OUT].b)[5];
	for (int l = 0; l < 4; l++)
		for (int m = 0; m < MODULE_COUNT; m++)
			a.part[l][m].scale = 4; /* the scale alone */
	save(p, &a, false, false, DTYPE_F32);
	open_ok(&c, p);
	assert_memory_not_equal(b.hash, c.hash, 32);
	adapter_close(&c);
	adapter_close(&b);
	adapter_close(&a);
}

static void mixes_are_equal_when_their_parts_are(void **state)
{
	struct lora_mix a = { 0 }, b = { 0 };

	(void)state;
	a.part[0].adapter = 7; /* behind the end: not looked at */
	assert_true(lora_mix_equal(&a, &b));
	a.n = 1;
	assert_false(lora_mix_equal(&a, &b));
	b.n = 1;
	assert_false(lora_mix_equal(&a, &b));
	b.part[0].adapter = 7;
	assert_true(lora_mix_equal(&a, &b));
	b.part[0].weight = 0.5f;
	assert_false(lora_mix_equal(&a, &b));
}

/* ---- the oracle's ---- */

static void the_oracles_adapters_fit_their_own_models_only(void **state)
{
	static const char *const models[] = { "tiny-f32", "tiny-bf16-sharded" };
	static const struct {
		const char *name;
		int model, modules, rank;
		double scale;
	} cases[] = {
		{ "lora-a", 0, 31, 4, 2 },
		{ "lora-b", 0, 24, 6, 4.898979485566356 },
		{ "lora-vl", 1, 32, 8, 2 },
	};
	char path[4096];

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct model m;
		struct err e = { 0 };
		if (model_open(&m, oracle(path, models[k]), &e) < 0)
			fail_msg("%s", e.text);
		for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
			struct adapter a;
			int rc = adapter_open(&a, oracle(path, cases[i].name), &m.config, &e);
			assert_int_equal(rc, cases[i].model == k ? 0 : -1);
			if (rc < 0) {
				assert_contains(e.text, "wanted by the base, got [");
				continue;
			}
			assert_int_equal(a.modules, cases[i].modules);
			assert_int_equal(a.rank_max, cases[i].rank);
			for (int l = 0; l < a.layers; l++)
				for (int n = 0; n < MODULE_COUNT; n++)
					if (a.part[l][n].rank)
						assert_close(a.part[l][n].scale, cases[i].scale,
						             1e-6);
			adapter_close(&a);
		}
		model_close(&m);
	}
}

int main(void)
{
#define in_a_folder(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
	const struct CMUnitTest tests[] = {
		in_a_folder(what_is_saved_is_what_was_there),
		in_a_folder(a_saved_config_says_what_peft_needs),
		in_a_folder(a_folder_that_is_there_is_left_alone),
		in_a_folder(names_are_taken_in_every_form),
		in_a_folder(ranks_and_alphas_follow_the_patterns),
		in_a_folder(a_config_that_means_more_than_lora_is_refused),
		in_a_folder(a_tensor_that_does_not_fit_is_refused_with_both_shapes),
		in_a_folder(values_that_are_no_numbers_are_refused),
		in_a_folder(what_is_no_adapters_folder_is_named),
		in_a_folder(the_hash_tells_adapters_apart),
		cmocka_unit_test(mixes_are_equal_when_their_parts_are),
		cmocka_unit_test(the_oracles_adapters_fit_their_own_models_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
