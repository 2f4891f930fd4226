/*
 * t_model_write.c - a model that is written opens again with the same values; what cannot be whole
 * is not there at all.
 */
#include "tests/model.h"

#include <sys/resource.h>
#include <signal.h>

#include "gpu/model_write.h"

struct place {
	char dir[64], out[100];
	struct model_config config;
	struct model model; /* fresh */
	struct model_values *value;
	int n;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct err e = { 0 };

	folder_make(p->dir);
	snprintf(p->out, sizeof(p->out), "%s/out", p->dir);
	p->config = tiny_config();
	p->config.eos[0] = 7;
	p->config.n_eos = 1;
	if (model_fresh(&p->model, &p->config, 5, &e) < 0)
		fail_msg("%s", e.text);
	p->n = p->model.tensors.n;
	p->value = calloc((size_t)p->n, sizeof(*p->value));
	for (int i = 0; i < p->n; i++) {
		const struct tensor *t = &p->model.tensors.item[i];
		p->value[i].name = t->name;
		p->value[i].n_dims = t->n_dims;
		memcpy(p->value[i].dims, t->dims, sizeof(p->value[i].dims));
		p->value[i].value = t->data;
	}
	*state = p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;

	model_close(&p->model);
	folder_remove(p->dir);
	free(p->value);
	free(p);
	return 0;
}

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	for (struct dirent *x; d && (x = readdir(d));)
		n += x->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static void write_ok(const struct place *p, enum dtype dtype)
{
	struct err e = { 0 };

	if (model_write(p->out, &p->config, p->value, p->n, dtype, NULL, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(entries(p->dir), 1); /* nothing left beside it */
}

static void write_fails(const struct place *p, enum err_kind kind, const char *says)
{
	struct err e = { 0 };
	int before = entries(p->dir);

	if (model_write(p->out, &p->config, p->value, p->n, DTYPE_BF16, NULL, &e) == 0)
		fail_msg("written: %s", says);
	assert_int_equal(e.kind, kind);
	assert_contains(e.text, says);
	assert_int_equal(entries(p->dir), before);
}

static void a_written_model_opens_with_the_same_config_and_values(void **state)
{
	struct place *p = *state;
	struct model m;
	struct err e = { 0 };

	write_ok(p, DTYPE_F32);
	if (model_open(&m, p->out, &e) < 0)
		fail_msg("%s", e.text);
	assert_memory_equal(&m.config, &p->config, sizeof(m.config));
	assert_int_equal(m.tensors.n, p->n);
	for (int i = 0; i < p->n; i++) {
		const struct tensor *a = &m.tensors.item[i], *b = &p->model.tensors.item[i];
		assert_string_equal(a->name, b->name);
		assert_int_equal(a->dtype, DTYPE_F32);
		assert_int_equal(a->n_dims, b->n_dims);
		assert_memory_equal(a->data, b->data, b->bytes);
	}
	model_close(&m);
}

static void narrow_models_keep_the_decays_wide(void **state)
{
	struct place *p = *state;
	struct model m;
	struct err e = { 0 };

	write_ok(p, DTYPE_BF16);
	if (model_open(&m, p->out, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(m.embedding->dtype, DTYPE_BF16);
	assert_int_equal(m.layer[0].a_log->dtype, DTYPE_F32);
	assert_int_equal(m.layer[0].norm->dtype, DTYPE_F32);
	assert_int_equal(m.layer[0].dt_bias->dtype, DTYPE_BF16);
	const struct tensor *a = m.layer[1].linear[MODULE_UP];
	const struct tensor *b = p->model.layer[1].linear[MODULE_UP];
	for (uint64_t i = 0; i < a->n; i++) {
		float got, want;
		tensor_read(a, i, 1, &got);
		tensor_read(b, i, 1, &want);
		assert_true(got == bf16_widen(bf16_round(want)));
	}
	model_close(&m);
}

static void rotary_parts_survive_the_factor(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	/* sizes whose quotient, rounded, times the head is less than the part; and a plain one */
	static const int sizes[][2] = {
		{ 30, 44 }, { 26, 46 }, { 62, 78 }, { 46, 86 }, { 64, 256 }
	};

	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		struct model_config c = p->config;
		struct model m, got;

		c.rotary = sizes[k][0];
		c.head_dim = sizes[k][1];
		if (model_fresh(&m, &c, 1, &e) < 0)
			fail_msg("%s", e.text);
		for (int i = 0; i < p->n; i++) {
			p->value[i].value = m.tensors.item[i].data;
			memcpy(p->value[i].dims, m.tensors.item[i].dims, sizeof(p->value[i].dims));
		}
		if (model_write(p->out, &c, p->value, p->n, DTYPE_F32, NULL, &e) < 0 ||
		    model_open(&got, p->out, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(got.config.rotary, c.rotary);
		folder_remove(p->out);
		model_close(&got);
		model_close(&m);
	}
}

static void a_value_that_is_missing_or_misshapen_or_too_many_is_named(void **state)
{
	struct place *p = *state;
	struct model_values last = p->value[p->n - 1];

	p->value[p->n - 1].name = "model.layers.9.nothing";
	write_fails(p, ERR_USAGE, last.name);
	p->value[p->n - 1] = last;
	p->value[p->n - 1].dims[0]++;
	write_fails(p, ERR_USAGE, "of shape");
	p->value[p->n - 1] = p->value[0];
	write_fails(p, ERR_USAGE, last.name);
	p->value[p->n - 1] = last;
	p->config.tied = true; /* then the head is one too many */
	write_fails(p, ERR_USAGE, "values given");
	p->config.tied = false;
	p->n--;
	write_fails(p, ERR_USAGE, last.name);
}

static void values_that_are_no_numbers_are_not_written(void **state)
{
	struct place *p = *state;
	float *v = malloc((size_t)p->model.embedding->n * sizeof(*v));

	memcpy(v, p->model.embedding->data, p->model.embedding->bytes);
	v[17] = NAN;
	for (int i = 0; i < p->n; i++)
		if (strcmp(p->value[i].name, "model.embed_tokens.weight") == 0)
			p->value[i].value = v;
	write_fails(p, ERR_INPUT, "model.embed_tokens.weight': value 17 is no finite number");
	v[17] = 3.4e38f; /* fits f32, not bf16 */
	write_fails(p, ERR_INPUT, "too large for BF16");
	free(v);
}

static void a_folder_that_is_taken_is_refused_and_left_alone(void **state)
{
	struct place *p = *state;
	char path[200];

	mkdir(p->out, 0777);
	write_ok(p, DTYPE_F32); /* an empty one is as good as none */
	write_fails(p, ERR_INPUT, "is there already and not empty");
	snprintf(path, sizeof(path), "%s/model.safetensors", p->out);
	assert_int_equal(access(path, F_OK), 0);
	folder_remove(p->out);
	put_text(p->dir, "out", "a file");
	write_fails(p, ERR_INPUT, "is a file");
	unlink(p->out);
	snprintf(p->out, sizeof(p->out), "%.60s/not/there", p->dir);
	write_fails(p, ERR_IO, "No such file");
}

static void a_full_disk_leaves_nothing(void **state)
{
	struct place *p = *state;
	struct rlimit was, small = { 8192, 0 };

	/* a limit on a file's size fails a write as a full disk does */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	small.rlim_max = was.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	write_fails(p, ERR_IO, "model.safetensors: writing");
	setrlimit(RLIMIT_FSIZE, &was);
	write_ok(p, DTYPE_BF16);
}

static void a_folder_without_permission_is_said_in_words(void **state)
{
	struct place *p = *state;

	bool root = geteuid() == 0;

	chmod(p->dir, 0555);
	if (root)
		assert_int_equal(seteuid(65534), 0); /* whom permissions bind */
	write_fails(p, ERR_IO, "Permission denied");
	if (root)
		assert_int_equal(seteuid(0), 0);
	chmod(p->dir, 0700);
}

static double deviation(const struct tensor *t)
{
	const float *v = t->data;
	double sum = 0;

	for (uint64_t i = 0; i < t->n; i++)
		sum += (double)v[i] * v[i];
	return sqrt(sum / (double)t->n);
}

static void fresh_values_are_those_of_the_recipe(void **state)
{
	struct place *p = *state;
	struct model_config c = p->config;
	struct model m, again, other;
	struct err e = { 0 };

	c.hidden = 64;
	c.mlp = 200;
	c.vocabulary = 512;
	if (model_fresh(&m, &c, 0, &e) < 0 || model_fresh(&again, &c, 0, &e) < 0 ||
	    model_fresh(&other, &c, 1, &e) < 0)
		fail_msg("%s", e.text);
	assert_close(deviation(m.embedding), 0.02, 0.001);
	assert_close(deviation(m.head), 0.02, 0.001);
	assert_close(deviation(m.layer[0].linear[MODULE_UP]), 1 / sqrt(64), 0.005);
	assert_close(deviation(m.layer[0].linear[MODULE_DOWN]), 1 / sqrt(200 * 8.), 0.001);
	assert_close(deviation(m.layer[3].linear[MODULE_O]), 1 / sqrt(32 * 8.), 0.005);
	assert_close(deviation(m.layer[0].linear[MODULE_OUT]), 1 / sqrt(24 * 8.), 0.005);
	assert_true(((const float *)m.layer[0].norm->data)[3] == 1);
	assert_true(((const float *)m.layer[0].input_norm->data)[3] == 0);
	assert_true(((const float *)m.layer[0].a_log->data)[1] == 0);
	for (int i = 0; i < c.value_heads; i++) {
		static const double tokens[] = { 4, 32, 256, 2048 };
		double bias = ((const float *)m.layer[0].dt_bias->data)[i];
		assert_close(1 / log1p(exp(bias)), tokens[i % 4], tokens[i % 4] * 1e-5);
	}
	for (int i = 0; i < 4; i++) {
		float v = ((const float *)m.layer[1].conv->data)[4 * 5 + i];
		assert_true(i == 3 ? v == 1 : fabsf(v) < 0.1f);
	}
	assert_memory_equal(m.head->data, again.head->data, m.head->bytes);
	assert_memory_equal(m.hash, again.hash, sizeof(m.hash));
	assert_memory_not_equal(m.head->data, other.head->data, m.head->bytes);
	assert_memory_not_equal(m.head->data, m.embedding->data, m.head->bytes);
	model_close(&m);
	model_close(&again);
	model_close(&other);
}

static void the_tokenizer_comes_along_and_must_fit(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char from[4096], path[200];

	oracle(from, "tiny-f32");
	assert_int_equal(model_write(p->out, &p->config, p->value, p->n, DTYPE_F32, from, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "1000 entries, the model's vocabulary 64 rows");
	assert_int_equal(entries(p->dir), 0);

	struct model_config c = p->config;
	struct model m;
	c.vocabulary = 1000;
	model_close(&p->model);
	if (model_fresh(&p->model, &c, 5, &e) < 0)
		fail_msg("%s", e.text);
	for (int i = 0; i < p->n; i++) {
		p->value[i].name = p->model.tensors.item[i].name;
		p->value[i].value = p->model.tensors.item[i].data;
		memcpy(p->value[i].dims, p->model.tensors.item[i].dims, sizeof(p->value[i].dims));
	}
	if (model_write(p->out, &c, p->value, p->n, DTYPE_F32, from, &e) < 0 ||
	    model_open(&m, p->out, &e) < 0)
		fail_msg("%s", e.text);
	/* <|im_end|> and <|endoftext|> of that tokenizer, and the config's own */
	assert_int_equal(m.config.n_eos, 3);
	snprintf(path, sizeof(path), "%s/tokenizer.json", p->out);
	assert_int_equal(access(path, R_OK), 0);
	model_close(&m);
}

/* ---- merging ---- */

/* A base in DIR/base, stored as @dtype, and an adapter of it in DIR/tuned. */
static void make_pair(const struct place *p, enum dtype dtype, struct adapter *a, char base[100],
                      char tuned[100])
{
	const struct adapter_save_options o = { .dtype = DTYPE_F32, .base_model = "base" };
	struct err e = { 0 };

	snprintf(base, 100, "%s/base", p->dir);
	snprintf(tuned, 100, "%s/tuned", p->dir);
	if (dtype == DTYPE_F16) { /* as strangers write them */
		struct tensor *item = calloc((size_t)p->n, sizeof(*item));
		mkdir(base, 0777);
		put_model(base, &p->config, DTYPE_F32, 3);
		for (int i = 0; i < p->n; i++) {
			item[i] = p->model.tensors.item[i];
			uint16_t *narrow = malloc(item[i].n * 2);
			assert_true(tensor_narrow(DTYPE_F16, item[i].data, item[i].n, narrow));
			item[i].dtype = DTYPE_F16;
			item[i].bytes = item[i].n * 2;
			item[i].data = narrow;
		}
		put_tensors(base, "model.safetensors", item, p->n, "model.language_model.");
		for (int i = 0; i < p->n; i++)
			free((void *)(uintptr_t)item[i].data);
		free(item);
	} else if (model_write(base, &p->config, p->value, p->n, dtype, NULL, &e) < 0) {
		fail_msg("%s", e.text);
	}
	make_adapter(a, &p->config, 3, 0.5f, 11, NULL);
	if (adapter_save(a, tuned, &p->config, &o, &e) < 0)
		fail_msg("%s", e.text);
}

/* That @dir holds base + s B A, as far as its dtype goes. */
static void assert_merged(const struct place *p, const char *base_dir, const struct adapter *a,
                          enum dtype dtype)
{
	struct model base, m;
	struct err e = { 0 };
	int out, in;

	if (model_open(&base, base_dir, &e) < 0 || model_open(&m, p->out, &e) < 0)
		fail_msg("%s", e.text);
	for (int l = 0; l < p->config.layers; l++)
		for (enum module k = 0; k < MODULE_COUNT; k++) {
			const struct lora_part *x = &a->part[l][k];
			const struct tensor *t = m.layer[l].linear[k];
			if (!module_shape(&p->config, l, k, &out, &in))
				continue;
			assert_int_equal(t->dtype, dtype);
			for (int r = 0; r < out; r++)
				for (int c = 0; c < in; c++) {
					float got, want;
					double sum = 0;
					uint64_t at = (uint64_t)r * (uint64_t)in + (uint64_t)c;
					tensor_read(t, at, 1, &got);
					tensor_read(base.layer[l].linear[k], at, 1, &want);
					for (int i = 0; i < x->rank; i++)
						sum += (double)x->b[r * x->rank + i] *
						       x->a[i * in + c];
					sum = want + x->scale * sum;
					assert_close(got, sum,
					             fabs(sum) * (dtype == DTYPE_BF16  ? 0x1p-8
					                          : dtype == DTYPE_F16 ? 0x1p-11
					                                               : 1e-6) +
					                     1e-6);
				}
		}
	assert_memory_equal(m.embedding->data, base.embedding->data,
	                    dtype == base.embedding->dtype ? base.embedding->bytes : 0);
	model_close(&base);
	model_close(&m);
}

static void a_merged_model_holds_base_and_adapter_in_the_bases_dtype(void **state)
{
	static const enum dtype dtypes[] = { DTYPE_F32, DTYPE_BF16, DTYPE_F16 };
	struct place *p = *state;

	for (size_t i = 0; i < 3; i++) {
		const struct merge_options o = { .dtype = DTYPE_OTHER };
		struct adapter a;
		struct err e = { 0 };
		char base[100], tuned[100];
		make_pair(p, dtypes[i], &a, base, tuned);
		if (model_merge(base, tuned, p->out, &o, &e) < 0)
			fail_msg("%s", e.text);
		assert_merged(p, base, &a, dtypes[i]);
		assert_int_equal(entries(p->out), dtypes[i] == DTYPE_F16 ? 2 : 3);
		adapter_close(&a);
		folder_remove(p->out);
		folder_remove(base);
		folder_remove(tuned);
	}
}

static void large_models_are_merged_in_several_files(void **state)
{
	const struct merge_options o = { .dtype = DTYPE_F32, .shard_bytes = 20000 };
	struct place *p = *state;
	struct adapter a;
	struct model m;
	struct err e = { 0 };
	char base[100], tuned[100], text[200];

	make_pair(p, DTYPE_BF16, &a, base, tuned);
	if (model_merge(base, tuned, p->out, &o, &e) < 0)
		fail_msg("%s", e.text);
	assert_merged(p, base, &a, DTYPE_F32);
	if (model_open(&m, p->out, &e) < 0)
		fail_msg("%s", e.text);
	assert_in_range(m.tensors.n_files, 5, 12);
	for (int i = 0; i < m.tensors.n_files; i++)
		assert_true(m.tensors.file[i].bytes < 20000 + 4096); /* and its header */
	model_close(&m);
	snprintf(text, sizeof(text), "%s/model.safetensors", p->out);
	assert_int_equal(access(text, F_OK), -1);
	adapter_close(&a);
}

static bool always(void)
{
	return true;
}

static void a_merge_that_is_stopped_or_does_not_fit_leaves_nothing(void **state)
{
	struct merge_options o = { .dtype = DTYPE_OTHER, .stop = always };
	struct place *p = *state;
	struct adapter a;
	struct err e = { 0 };
	char base[100], tuned[100];

	make_pair(p, DTYPE_F32, &a, base, tuned);
	assert_int_equal(model_merge(base, tuned, p->out, &o, &e), -1);
	assert_int_equal(e.kind, ERR_CANCELLED);
	assert_int_equal(entries(p->dir), 2);
	o = (struct merge_options){ .dtype = DTYPE_I32 };
	assert_int_equal(model_merge(base, tuned, p->out, &o, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	o.dtype = DTYPE_OTHER;
	assert_int_equal(model_merge(base, base, p->out, &o, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_int_equal(model_merge(base, tuned, base, &o, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_int_equal(entries(p->dir), 2);
	adapter_close(&a);
}

static void a_sum_that_does_not_fit_is_refused_by_name(void **state)
{
	const struct merge_options o = { .dtype = DTYPE_BF16 };
	struct place *p = *state;
	struct adapter a;
	struct err e = { 0 };
	char base[100], tuned[100];

	make_pair(p, DTYPE_F32, &a, base, tuned);
	folder_remove(tuned);
	for (uint64_t i = 0; i < a.parameters; i++)
		((float *)a.own)[i] *= 1e20f;
	const struct adapter_save_options s = { .dtype = DTYPE_F32, .base_model = "base" };
	assert_int_equal(adapter_save(&a, tuned, &p->config, &s, &e), 0);
	assert_int_equal(model_merge(base, tuned, p->out, &o, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "in_proj_a.weight': a sum is");
	assert_int_equal(entries(p->dir), 2);
	adapter_close(&a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
	const struct CMUnitTest tests[] = {
		T(a_written_model_opens_with_the_same_config_and_values),
		T(narrow_models_keep_the_decays_wide),
		T(rotary_parts_survive_the_factor),
		T(a_value_that_is_missing_or_misshapen_or_too_many_is_named),
		T(values_that_are_no_numbers_are_not_written),
		T(a_folder_that_is_taken_is_refused_and_left_alone),
		T(a_full_disk_leaves_nothing),
		T(a_folder_without_permission_is_said_in_words),
		T(fresh_values_are_those_of_the_recipe),
		T(the_tokenizer_comes_along_and_must_fit),
		T(a_merged_model_holds_base_and_adapter_in_the_bases_dtype),
		T(large_models_are_merged_in_several_files),
		T(a_merge_that_is_stopped_or_does_not_fit_leaves_nothing),
		T(a_sum_that_does_not_fit_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
