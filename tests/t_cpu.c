/*
 * t_cpu.c - the CPU backend: the oracle's logits, traces and greedy continuations, and the promise
 * of backend.h, bit for bit.
 */
#include "tests/model.h"

#include <math.h>

#include "gpu/cpu.h"

struct rig {
	struct model m;
	struct backend *b;
	int V;
};

static void rig_backend(struct rig *r, const struct backend_options *o)
{
	struct err e = { 0 };
	r->b = cpu_open(&r->m, o, &e);
	if (!r->b)
		fail_msg("%s", e.text);
	r->V = r->m.config.vocabulary;
}

static void rig_folder(struct rig *r, const char *dir, struct backend_options o)
{
	struct err e = { 0 };
	if (model_open(&r->m, dir, &e) < 0)
		fail_msg("%s", e.text);
	rig_backend(r, &o);
}

/* Heads, groups, dims and widths of different sizes, none a whole number of vectors. */
static struct model_config odd_config(void)
{
	struct model_config c = tiny_config();
	c.hidden = 72;
	c.head_dim = 24;
	c.rotary = 12;
	c.key_dim = 20;
	c.value_dim = 28;
	c.mlp = 1100; /* more than one block of a product */
	c.vocabulary = 301;
	c.context = 2048;
	return c;
}

static void rig_random(struct rig *r, enum dtype dtype, struct backend_options o)
{
	struct model_config c = odd_config();
	struct err e = { 0 };
	if (model_random(&r->m, &c, dtype, 5, false, &e) < 0)
		fail_msg("%s", e.text);
	/* livelier than a fresh model, so that the mixers weigh beside the residual stream */
	for (int i = 0; i < r->m.tensors.n; i++) {
		const struct tensor *t = &r->m.tensors.item[i];
		if (t->n_dims == 2 && t->dtype == DTYPE_F32)
			for (uint64_t j = 0; j < t->n; j++)
				((float *)(uintptr_t)t->data)[j] *= 6;
	}
	rig_backend(r, &o);
}

static void rig_close(struct rig *r)
{
	r->b->ops->close(r->b);
	model_close(&r->m);
}

static int opened(struct rig *r, int from)
{
	struct err e = { 0 };
	int slot = r->b->ops->slot_open(r->b, from, &e);
	if (slot < 0)
		fail_msg("%s", e.text);
	return slot;
}

static void stepped(struct rig *r, const struct step *s, struct picked *out)
{
	struct err e = { 0 };
	struct picked none;
	if (r->b->ops->submit(r->b, s, &e) < 0)
		fail_msg("%s", e.text);
	if (r->b->ops->collect(r->b, out ? out : &none, &e) < 0)
		fail_msg("%s", e.text);
}

static const struct lora_mix base_mix;

static struct lora_mix one(int adapter, float weight)
{
	struct lora_mix mix = { .n = 1 };
	mix.part[0].adapter = adapter;
	mix.part[0].weight = weight;
	return mix;
}

/* Feeds @n tokens in one run. */
static void fed(struct rig *r, int slot, const int32_t *ids, int n, struct lora_mix mix,
                bool window, float *logits)
{
	struct run run = { .slot = slot, .n = n, .ids = ids, .mix = mix, .window = window };
	run.rows = logits ? ROWS_ALL : ROWS_NONE;
	run.logits = logits;
	stepped(r, &(struct step){ .run = &run, .n_runs = 1 }, NULL);
}

/* Logits of all positions, fed in pieces of @piece. The caller frees. */
static float *logits_of(struct rig *r, const int32_t *ids, int n, struct lora_mix mix, int piece)
{
	float *out = malloc((size_t)n * (size_t)r->V * sizeof *out);
	int slot = opened(r, -1);
	for (int i = 0; i < n; i += piece)
		fed(r, slot, ids + i, n - i < piece ? n - i : piece, mix, false,
		    out + (size_t)i * (size_t)r->V);
	r->b->ops->slot_close(r->b, slot);
	return out;
}

static void same_bits(const float *a, const float *b, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(a + i, b + i, sizeof *a) != 0)
			fail_msg("%s: value %zu is %.9g in one and %.9g in the other", what, i,
			         (double)a[i], (double)b[i]);
}

static int32_t *some_ids(int n, int vocabulary)
{
	int32_t *ids = malloc((size_t)n * sizeof *ids);
	uint32_t seed = 77;
	for (int i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		ids[i] = (int32_t)((seed >> 8) % (uint32_t)vocabulary);
	}
	return ids;
}

/* ---- the oracle ---- */

static const int lengths[] = { 1, 5, 63, 64, 65, 130, 257 };

static cJSON *oracle_json(const char *name)
{
	char path[4096], in[100];
	struct buf text = { 0 };
	struct err e = { 0 };
	snprintf(in, sizeof in, "expected/%s", name);
	if (buf_read_file(&text, oracle(path, in), 64 << 20, &e) < 0)
		fail_msg("%s", e.text);
	cJSON *o = json_parse(text.data, text.len, &e);
	buf_release(&text);
	assert_non_null(o);
	return o;
}

static int ids_of(const cJSON *array, int32_t *out)
{
	int n = 0;
	const cJSON *x;
	cJSON_ArrayForEach(x, array) out[n++] = x->valueint;
	return n;
}

static const struct tensor *expected(const struct tensors *t, const char *fmt, int length)
{
	char name[64];
	snprintf(name, sizeof name, fmt, length);
	const struct tensor *x = tensors_find(t, name);
	assert_non_null(x);
	return x;
}

struct oracle_case {
	const char *model, *adapter, *expected;
	float tolerance;
};

static const struct oracle_case cases[] = {
	{ "tiny-f32", NULL, "base", 2e-3f },
	{ "tiny-f32", "lora-a", "lora_a", 2e-3f },
	{ "tiny-f32", "lora-b", "lora_b", 2e-3f },
	{ "tiny-bf16-sharded", NULL, "bf16_f32compute", 5e-3f },
	{ "tiny-bf16-sharded", "lora-vl", "bf16_lora_vl_f32compute", 5e-3f },
};

static void case_open(struct rig *r, const struct oracle_case *c, struct backend_options o,
                      struct lora_mix *mix)
{
	char path[4096];
	struct err e = { 0 };
	rig_folder(r, oracle(path, c->model), o);
	*mix = base_mix;
	if (!c->adapter)
		return;
	struct adapter a;
	if (adapter_open(&a, oracle(path, c->adapter), &r->m.config, &e) < 0)
		fail_msg("%s", e.text);
	int number = r->b->ops->adapter_add(r->b, &a, &e);
	if (number < 1)
		fail_msg("%s", e.text);
	adapter_close(&a); /* its values were copied */
	*mix = one(number, 1);
}

static void oracle_logits(const struct oracle_case *c, const char *kernels)
{
	char path[4096], name[100];
	struct rig r;
	struct lora_mix mix;
	struct tensors want;
	struct err e = { 0 };
	int32_t ids[300];

	case_open(&r, c, (struct backend_options){ 0 }, &mix);
	if (cpu_use_kernels(r.b, kernels) < 0) {
		rig_close(&r);
		return;
	}
	cJSON *prompts = oracle_json("prompts.json");
	snprintf(name, sizeof name, "expected/logits_%s.safetensors", c->expected);
	if (tensors_open_file(&want, oracle(path, name), &e) < 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		snprintf(name, sizeof name, "%d", lengths[i]);
		int n = ids_of(cJSON_GetObjectItem(prompts, name), ids);
		assert_int_equal(n, lengths[i]);
		float *got = logits_of(&r, ids, n, mix, BACKEND_PIECE);
		const struct tensor *pos = expected(&want, "L%d.pos", n);
		float row[1024], top[300], lse[300];
		int32_t at, best[300];
		for (uint64_t k = 0; k < pos->n; k++) {
			memcpy(&at, (const char *)pos->data + k * 4, 4);
			tensor_read(expected(&want, "L%d.logits", n), k * 1024, 1024, row);
			for (int j = 0; j < 1024; j++)
				if (!(fabsf(row[j] - got[at * 1024 + j]) <= c->tolerance))
					fail_msg("%s, %d tokens, %s: logit %d of position %d: %g "
					         "wanted, got %g",
					         c->expected, n, kernels, j, at, (double)row[j],
					         (double)got[at * 1024 + j]);
		}
		tensor_read(expected(&want, "L%d.max", n), 0, (uint64_t)n, top);
		tensor_read(expected(&want, "L%d.lse", n), 0, (uint64_t)n, lse);
		memcpy(best, expected(&want, "L%d.argmax", n)->data, (size_t)n * 4);
		for (int t = 0; t < n; t++) {
			const float *g = got + (size_t)t * 1024;
			int high = 0;
			double sum = 0;
			for (int j = 0; j < 1024; j++)
				high = g[j] > g[high] ? j : high;
			for (int j = 0; j < 1024; j++)
				sum += exp((double)g[j] - (double)g[high]);
			assert_true(fabsf(g[high] - top[t]) <= c->tolerance);
			assert_true(fabs(g[high] + log(sum) - lse[t]) <= c->tolerance);
			/* another one only where two are as high */
			assert_true(g[best[t]] >= g[high] - 2 * c->tolerance);
		}
		free(got);
	}
	cJSON_Delete(prompts);
	tensors_close(&want);
	rig_close(&r);
}

static void logits_are_the_oracles(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		oracle_logits(&cases[i], "avx512");
		oracle_logits(&cases[i], "avx2");
		oracle_logits(&cases[i], "plain");
	}
}

static void greedy_continuations_are_the_oracles(void **state)
{
	(void)state;
	cJSON *all = oracle_json("greedy.json");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const cJSON *want = cJSON_GetObjectItem(all, cases[i].expected);
		int32_t ids[600], greedy[100];
		int n = ids_of(cJSON_GetObjectItem(want, "prompt_ids"), ids);
		int steps = ids_of(cJSON_GetObjectItem(want, "greedy_ids"), greedy);
		struct rig r;
		struct lora_mix mix;
		struct sampling s;
		struct picked p;

		assert_int_equal(steps, 64);
		sampling_default(&s);
		case_open(&r, &cases[i], (struct backend_options){ 0 }, &mix);
		struct run run = {
			.slot = opened(&r, -1), .n = n, .ids = ids, .mix = mix, .rows = ROWS_LAST
		};
		struct pick pick = { .row = n - 1, .input = { .sampling = &s } };
		for (int k = 0; k < steps; k++) {
			pick.input.position = (uint64_t)(n + k);
			stepped(&r, &(struct step){ &run, 1, &pick, 1 }, &p);
			if (p.id != greedy[k])
				fail_msg("%s: token %d is %d, not %d", cases[i].expected, k, p.id,
				         greedy[k]);
			run.n = 1;
			run.ids = NULL; /* what was picked */
			pick.row = 0;
		}
		rig_close(&r);
	}
	cJSON_Delete(all);
}

struct tracing {
	struct tensors want;
	int seen;
};

static void traced(void *ctx, int layer, const char *name, const float *v, size_t ld, int rows,
                   int n)
{
	struct tracing *a = ctx;
	char full[128];
	int head = -1;
	snprintf(full, sizeof full, "layers.%d.%s", layer, name);
	char *bracket = strchr(full, '[');
	if (bracket) {
		head = atoi(bracket + 1);
		*bracket = 0;
	}
	const struct tensor *t = tensors_find(&a->want, full);
	if (!t)
		return;
	float *want = malloc(t->n * sizeof *want), top = 0;
	tensor_read(t, 0, t->n, want);
	for (uint64_t i = 0; i < t->n; i++)
		top = fabsf(want[i]) > top ? fabsf(want[i]) : top;
	const bool heads_first = strstr(full, "rope") != NULL;
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < n; j++) {
			size_t heads = head < 0 ? 1 : (size_t)t->dims[heads_first ? 0 : 1];
			size_t at = head < 0      ? (size_t)(i * n + j)
			            : heads_first ? ((size_t)head * (size_t)rows + (size_t)i) *
			                                            (size_t)n +
			                                    (size_t)j
			                          : ((size_t)i * heads + (size_t)head) * (size_t)n +
			                                    (size_t)j;
			assert_true(at < t->n);
			if (!(fabsf(v[(size_t)i * ld + (size_t)j] - want[at]) <=
			      1e-4f + 1e-4f * top))
				fail_msg("%s, row %d, %d: %g wanted, got %g", full, i, j,
				         (double)want[at], (double)v[(size_t)i * ld + (size_t)j]);
		}
	a->seen++;
	free(want);
}

static void intermediates_are_the_oracles(void **state)
{
	char path[4096];
	struct rig r;
	struct tracing a = { 0 };
	struct err e = { 0 };
	int32_t ids[300];
	float got[4 * 16 * 24], want[4 * 16 * 24];

	(void)state;
	rig_folder(&r, oracle(path, "tiny-f32"), (struct backend_options){ 0 });
	cJSON *prompts = oracle_json("prompts.json");
	int n = ids_of(cJSON_GetObjectItem(prompts, "65"), ids), slot = opened(&r, -1);
	cJSON_Delete(prompts);
	if (tensors_open_file(&a.want, oracle(path, "expected/trace_base_L65.safetensors"), &e) < 0)
		fail_msg("%s", e.text);
	cpu_trace(r.b, traced, &a);
	fed(&r, slot, ids, n, base_mix, false, NULL);
	assert_int_equal(a.seen, 14 + 1 + 1 + 13); /* of layers 0 to 3 */
	cpu_state(r.b, slot, 0, got);
	tensor_read(expected(&a.want, "layers.%d.linear_attn.final_state", 0), 0, 4 * 16 * 24,
	            want);
	for (int i = 0; i < 4 * 16 * 24; i++)
		assert_true(fabsf(got[i] - want[i]) <= 2e-4f);
	tensors_close(&a.want);
	rig_close(&r);
}

/* ---- the promise: equal bits ---- */

static void a_prefill_may_be_cut_anywhere(void **state)
{
	static const int n[] = { 1, 63, 64, 65, 130, 257 };
	static const int piece[] = { 1, 2, 3, 7, 16, 17, 64, 65, 129, 200 };
	struct rig r;
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		rig_random(&r, kind == 1 ? DTYPE_BF16 : DTYPE_F32,
		           (struct backend_options){ .dtype = kind == 2   ? BACKEND_INT8
		                                              : kind == 3 ? BACKEND_BF16
		                                                          : BACKEND_AS_STORED });
		int32_t *ids = some_ids(257, r.V);
		for (size_t i = kind ? 4 : 0; i < sizeof n / sizeof *n; i++) {
			float *whole = logits_of(&r, ids, n[i], base_mix, BACKEND_PIECE);
			for (size_t j = 0; j < sizeof piece / sizeof *piece; j++) {
				if (piece[j] >= n[i] || (kind && j % 4 != 2))
					continue;
				float *cut = logits_of(&r, ids, n[i], base_mix, piece[j]);
				same_bits(whole, cut, (size_t)n[i] * (size_t)r.V, "pieces");
				free(cut);
			}
			free(whole);
		}
		free(ids);
		rig_close(&r);
	}
}

enum { BATCH = 64 };

/* Adapters for the batches: 1 and 2. */
static void two_adapters(struct rig *r)
{
	struct err e = { 0 };
	for (int i = 0; i < 2; i++) {
		struct adapter a;
		make_adapter(&a, &r->m.config, i ? 5 : 16, 0.5f, 9 + (uint32_t)i, NULL);
		assert_int_equal(r->b->ops->adapter_add(r->b, &a, &e), i + 1);
		adapter_close(&a);
	}
}

static struct lora_mix mix_of(int i)
{
	struct lora_mix both = { .n = 2, .part = { { 1, 0.5f }, { 2, -1 } } };
	return i % 4 == 0 ? base_mix : i % 4 == 1 ? one(1, 1) : i % 4 == 2 ? one(2, 0.7f) : both;
}

static void a_sequence_decodes_the_same_in_any_company(void **state)
{
	enum { TOKENS = 4 };
	struct rig r;
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ .slots = BATCH + 2 });
	two_adapters(&r);
	int32_t *ids = some_ids(BATCH * (70 + TOKENS), r.V);
	size_t V = (size_t)r.V;
	float *alone = malloc(BATCH * TOKENS * V * sizeof *alone);
	float *batch = malloc(BATCH * TOKENS * V * sizeof *batch);
	for (int i = 0; i < BATCH; i++) {
		int slot = opened(&r, -1), length = 1 + i;
		fed(&r, slot, ids + i * 70, length, mix_of(i), false, NULL);
		for (int t = 0; t < TOKENS; t++)
			fed(&r, slot, ids + i * 70 + length + t, 1, mix_of(i), false,
			    alone + (size_t)(i * TOKENS + t) * V);
		r.b->ops->slot_close(r.b, slot);
	}
	/* all at once, prompts too, and then with a prefill and a window beside */
	struct run run[BATCH + 2] = { 0 };
	for (int i = 0; i < BATCH; i++)
		run[i] = (struct run){
			.slot = opened(&r, -1), .n = 1 + i, .ids = ids + i * 70, .mix = mix_of(i)
		};
	stepped(&r, &(struct step){ run, BATCH, NULL, 0 }, NULL);
	int more = opened(&r, -1), windowed = opened(&r, -1);
	for (int t = 0; t < TOKENS; t++) {
		for (int i = 0; i < BATCH; i++) {
			run[i].n = 1;
			run[i].ids = ids + i * 70 + 1 + i + t;
			run[i].rows = ROWS_ALL;
			run[i].logits = batch + (size_t)(i * TOKENS + t) * V;
		}
		run[BATCH] = (struct run){ .slot = more, .n = 200 * t + 1, .ids = ids };
		run[BATCH].mix = mix_of(t);
		run[BATCH + 1] =
			(struct run){ .slot = windowed, .n = 16, .ids = ids, .window = true };
		if (t == 3)
			run[BATCH].n = BACKEND_PIECE;
		stepped(&r, &(struct step){ run, BATCH + (t > 0) * 2, NULL, 0 }, NULL);
	}
	same_bits(alone, batch, BATCH * TOKENS * V, "batch");
	free(alone);
	free(batch);
	free(ids);
	rig_close(&r);
}

static void a_window_is_as_plain_decoding_and_can_be_cut_back_anywhere(void **state)
{
	enum { PROMPT = 61, WINDOW = BACKEND_WINDOW_MAX, AFTER = 6 };
	struct rig r;
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ 0 });
	two_adapters(&r);
	size_t V = (size_t)r.V;
	int32_t *ids = some_ids(PROMPT + WINDOW + AFTER, r.V);
	float *window = malloc(WINDOW * V * sizeof *window), got[301], want[301];
	struct err e = { 0 };
	assert_int_equal(V, 301);
	for (int kept = 1; kept <= WINDOW; kept++) {
		struct lora_mix mix = mix_of(kept);
		int plain = opened(&r, -1);
		fed(&r, plain, ids, PROMPT, mix, false, NULL);
		int drafted = opened(&r, plain);
		fed(&r, drafted, ids + PROMPT, WINDOW, mix, true, window);
		assert_int_equal(r.b->ops->slot_position(r.b, drafted), PROMPT + WINDOW);
		if (r.b->ops->keep(r.b, drafted, kept, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(r.b->ops->slot_position(r.b, drafted), PROMPT + kept);
		for (int t = 0; t < kept; t++) {
			fed(&r, plain, ids + PROMPT + t, 1, mix, false, want);
			same_bits(want, window + (size_t)t * V, V, "window");
		}
		/* a copy, and on with other tokens: from a shared page into one of its own */
		int copy = opened(&r, drafted);
		for (int t = 0; t < AFTER; t++) {
			const int32_t *next = ids + PROMPT + WINDOW + t;
			fed(&r, plain, next, 1, mix, false, want);
			fed(&r, copy, next, 1, mix, false, got);
			same_bits(want, got, V, "copy");
			fed(&r, drafted, next, 1, mix, t % 2 == 0, got);
			same_bits(want, got, V, "after");
		}
		float *a = calloc(4 * 20 * 28, sizeof *a), *b = calloc(4 * 20 * 28, sizeof *b);
		cpu_state(r.b, plain, 2, a);
		cpu_state(r.b, drafted, 2, b);
		same_bits(a, b, 4 * 20 * 28, "state");
		free(a);
		free(b);
		r.b->ops->slot_close(r.b, plain);
		r.b->ops->slot_close(r.b, drafted);
		r.b->ops->slot_close(r.b, copy);
	}
	free(window);
	free(ids);
	rig_close(&r);
}

static void a_window_can_be_cut_back_twice(void **state)
{
	struct rig r;
	struct err e = { 0 };
	float want[301], got[301];
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ 0 });
	int32_t *ids = some_ids(40, r.V);
	int plain = opened(&r, -1), slot = opened(&r, -1);
	fed(&r, plain, ids, 12, base_mix, false, NULL);
	fed(&r, slot, ids, 10, base_mix, false, NULL);
	fed(&r, slot, ids + 10, 9, base_mix, true, NULL);
	assert_int_equal(r.b->ops->keep(r.b, slot, 9, &e), 0);
	assert_int_equal(r.b->ops->keep(r.b, slot, 5, &e), 0);
	assert_int_equal(r.b->ops->keep(r.b, slot, 2, &e), 0);
	assert_int_equal(r.b->ops->keep(r.b, slot, 3, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	fed(&r, plain, ids + 30, 1, base_mix, false, want);
	fed(&r, slot, ids + 30, 1, base_mix, false, got);
	same_bits(want, got, 301, "after");
	assert_int_equal(r.b->ops->keep(r.b, slot, 1, &e), -1);
	free(ids);
	rig_close(&r);
}

static void copies_go_their_own_ways(void **state)
{
	struct rig r;
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ 0 });
	int32_t *ids = some_ids(400, r.V);
	struct backend_figures before, during, after;
	r.b->ops->figures(r.b, &before);
	int first = opened(&r, -1);
	fed(&r, first, ids, 100, base_mix, false, NULL);
	r.b->ops->figures(r.b, &during);
	assert_int_equal(before.kv_bytes_free - during.kv_bytes_free,
	                 2 * CPU_PAGE * before.kv_bytes_per_token);
	int copy[4];
	for (int i = 0; i < 4; i++)
		copy[i] = opened(&r, i ? copy[i - 1] : first);
	r.b->ops->figures(r.b, &after);
	assert_int_equal(after.kv_bytes_free, during.kv_bytes_free); /* shared */
	for (int i = 0; i < 4; i++) {
		float got[301], want[301];
		int32_t other[30];
		memcpy(other, ids + 100 * (i % 3), sizeof other);
		fed(&r, copy[i], other, 29, base_mix, false, NULL);
		fed(&r, copy[i], other + 29, 1, base_mix, false, got);
		int fresh = opened(&r, -1);
		fed(&r, fresh, ids, 100, base_mix, false, NULL);
		fed(&r, fresh, other, 30 - 1, base_mix, false, NULL);
		fed(&r, fresh, other + 29, 1, base_mix, false, want);
		same_bits(want, got, 301, "copy");
		r.b->ops->slot_close(r.b, fresh);
		if (i == 1)
			r.b->ops->slot_close(r.b, first);
	}
	for (int i = 0; i < 4; i++)
		r.b->ops->slot_close(r.b, copy[i]);
	r.b->ops->figures(r.b, &after);
	assert_int_equal(after.kv_bytes_free, before.kv_bytes_free);
	assert_int_equal(after.slots_free, before.slots_free);
	free(ids);
	rig_close(&r);
}

static void the_number_of_threads_makes_no_difference(void **state)
{
	float *want = NULL;
	size_t n = 0;
	(void)state;
	for (int threads = 1; threads <= 5; threads += 2) {
		struct rig r;
		rig_random(&r, DTYPE_F32, (struct backend_options){ .threads = threads });
		two_adapters(&r);
		int32_t *ids = some_ids(130, r.V);
		float *got = logits_of(&r, ids, 130, mix_of(3), 100);
		n = 130 * (size_t)r.V;
		if (want)
			same_bits(want, got, n, "threads");
		free(want);
		want = got;
		free(ids);
		rig_close(&r);
	}
	free(want);
}

/* ---- adapters ---- */

static void adapters_blend_and_come_off(void **state)
{
	struct rig r;
	struct err e = { 0 };
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ 0 });
	int32_t *ids = some_ids(70, r.V);
	size_t n = 70 * (size_t)r.V;
	float *base = logits_of(&r, ids, 70, base_mix, BACKEND_PIECE);
	two_adapters(&r);
	float *off = logits_of(&r, ids, 70, base_mix, BACKEND_PIECE);
	same_bits(base, off, n, "adapters off");
	float *first = logits_of(&r, ids, 70, one(1, 1), BACKEND_PIECE);
	double differs = 0;
	for (size_t i = 0; i < n; i++)
		differs += fabs((double)first[i] - (double)base[i]);
	assert_true(differs / (double)n > 1e-2);
	struct lora_mix mix = { .n = 2, .part = { { 1, 1 }, { 2, 0 } } };
	float *blend = logits_of(&r, ids, 70, mix, BACKEND_PIECE);
	for (size_t i = 0; i < n; i++)
		assert_true(fabsf(blend[i] - first[i]) < 1e-5f);
	/* half and half of the same is the same */
	mix = (struct lora_mix){ .n = 2, .part = { { 1, 0.5f }, { 1, 0.5f } } };
	float *halves = logits_of(&r, ids, 70, mix, BACKEND_PIECE);
	for (size_t i = 0; i < n; i++)
		assert_true(fabsf(halves[i] - first[i]) < 1e-3f);
	/* dropped: refused in words, and its number is free again */
	r.b->ops->adapter_drop(r.b, 1);
	int slot = opened(&r, -1);
	struct run run = { .slot = slot, .n = 1, .ids = ids, .mix = one(1, 1) };
	assert_int_equal(r.b->ops->submit(r.b, &(struct step){ &run, 1, NULL, 0 }, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	struct adapter a;
	make_adapter(&a, &r.m.config, 16, 0.5f, 9, NULL);
	assert_int_equal(r.b->ops->adapter_add(r.b, &a, &e), 1);
	adapter_close(&a);
	float *again = logits_of(&r, ids, 70, one(1, 1), BACKEND_PIECE);
	same_bits(first, again, n, "added again");
	free(base);
	free(off);
	free(first);
	free(blend);
	free(halves);
	free(again);
	free(ids);
	rig_close(&r);
}

/* Merged in F32, or beside: the same within rounding. */
static void an_adapter_beside_is_as_one_merged(void **state)
{
	struct rig r, merged;
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ 0 });
	rig_random(&merged, DTYPE_F32, (struct backend_options){ 0 });
	struct adapter a;
	struct err e = { 0 };
	make_adapter(&a, &r.m.config, 3, 0.25f, 4, NULL);
	assert_int_equal(r.b->ops->adapter_add(r.b, &a, &e), 1);
	for (int l = 0; l < r.m.config.layers; l++)
		for (int m = 0; m < MODULE_COUNT; m++) {
			const struct lora_part *p = &a.part[l][m];
			if (p->rank == 0)
				continue;
			const struct tensor *t = merged.m.layer[l].linear[m];
			float *w = (float *)(uintptr_t)t->data;
			for (int64_t o = 0; o < t->dims[0]; o++)
				for (int64_t i = 0; i < t->dims[1]; i++)
					for (int j = 0; j < p->rank; j++)
						w[o * t->dims[1] + i] += p->scale *
						                         p->b[o * p->rank + j] *
						                         p->a[j * t->dims[1] + i];
		}
	adapter_close(&a);
	int32_t *ids = some_ids(80, r.V);
	float *x = logits_of(&r, ids, 80, one(1, 1), 33);
	float *y = logits_of(&merged, ids, 80, base_mix, BACKEND_PIECE);
	for (size_t i = 0; i < 80 * (size_t)r.V; i++)
		assert_true(fabsf(x[i] - y[i]) < 2e-3f);
	free(x);
	free(y);
	free(ids);
	rig_close(&r);
	rig_close(&merged);
}

/* ---- dtypes ---- */

static double worst(const float *a, const float *b, size_t n)
{
	double top = 0;
	for (size_t i = 0; i < n; i++)
		top = fabs((double)a[i] - (double)b[i]) > top ? fabs((double)a[i] - (double)b[i])
		                                              : top;
	return top;
}

/* A weight of N(0, s) is off by some 0.1 % in bf16 and 0.6 % in int8 with a scale for 64; the
 * layers of this model carry it on. */
static void dtypes_are_as_good_as_their_bits(void **state)
{
	struct rig f32, other;
	(void)state;
	rig_random(&f32, DTYPE_F32, (struct backend_options){ 0 });
	int32_t *ids = some_ids(60, f32.V);
	size_t n = 60 * (size_t)f32.V;
	float *want = logits_of(&f32, ids, 60, base_mix, BACKEND_PIECE);
	double top = 0;
	for (size_t i = 0; i < n; i++)
		top = fabs((double)want[i]) > top ? fabs((double)want[i]) : top;

	rig_random(&other, DTYPE_F32, (struct backend_options){ .dtype = BACKEND_BF16 });
	float *got = logits_of(&other, ids, 60, base_mix, BACKEND_PIECE);
	assert_true(worst(want, got, n) > 0 && worst(want, got, n) < 0.06 * top);
	free(got);
	rig_close(&other);
	rig_random(&other, DTYPE_F32, (struct backend_options){ .dtype = BACKEND_INT8 });
	got = logits_of(&other, ids, 60, base_mix, BACKEND_PIECE);
	assert_true(worst(want, got, n) > 0 && worst(want, got, n) < 0.25 * top);
	free(got);
	rig_close(&other);
	/* bf16 weights widened at load or in registers: the same numbers, the same bits */
	rig_random(&other, DTYPE_BF16, (struct backend_options){ 0 });
	float *stored = logits_of(&other, ids, 60, base_mix, BACKEND_PIECE);
	rig_close(&other);
	rig_random(&other, DTYPE_BF16, (struct backend_options){ .dtype = BACKEND_F32 });
	float *widened = logits_of(&other, ids, 60, base_mix, BACKEND_PIECE);
	rig_close(&other);
	same_bits(stored, widened, n, "widened");
	free(stored);
	free(widened);
	free(want);
	free(ids);
	rig_close(&f32);
}

/* The tensors of a file begin where its header ends, which may be anywhere. */
static void weights_may_lie_at_any_byte(void **state)
{
	char dir[64], path[100];
	struct rig r, moved;
	(void)state;
	struct model_config c = odd_config();
	folder_make(dir);
	put_model(dir, &c, DTYPE_F32, 3);
	rig_folder(&r, dir, (struct backend_options){ 0 });
	int32_t *ids = some_ids(20, r.V);
	float *want = logits_of(&r, ids, 20, base_mix, BACKEND_PIECE);
	rig_close(&r);
	for (int by = 1; by < 4; by++) {
		/* one more space after the header, and its length told */
		struct buf f = { 0 };
		struct err e = { 0 };
		uint64_t head;
		snprintf(path, sizeof path, "%s/model.safetensors", dir);
		if (buf_read_file(&f, path, 64 << 20, &e) < 0)
			fail_msg("%s", e.text);
		memcpy(&head, f.data, 8);
		size_t len = f.len + 1;
		char *data = malloc(len);
		memcpy(data + 8, f.data + 8, head);
		data[8 + head] = ' ';
		memcpy(data + 9 + head, f.data + 8 + head, f.len - 8 - head);
		head++;
		memcpy(data, &head, 8);
		put_file(dir, "model.safetensors", data, len);
		free(data);
		buf_release(&f);
		rig_folder(&moved, dir, (struct backend_options){ 0 });
		float *got = logits_of(&moved, ids, 20, base_mix, BACKEND_PIECE);
		same_bits(want, got, 20 * (size_t)moved.V, "moved");
		free(got);
		rig_close(&moved);
	}
	free(want);
	free(ids);
	folder_remove(dir);
}

/* ---- steps ---- */

static void several_picks_of_one_row_and_of_rows_apart(void **state)
{
	struct rig r;
	struct sampling s[3];
	struct picked p[6];
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ 0 });
	int32_t *ids = some_ids(30, r.V);
	float *all = logits_of(&r, ids, 30, base_mix, BACKEND_PIECE);
	for (int i = 0; i < 3; i++) {
		sampling_default(&s[i]);
		s[i].temperature = i ? 1 : 0;
		s[i].seed = (uint64_t)i;
	}
	struct run run[2] = { { .slot = opened(&r, -1), .n = 30, .ids = ids, .rows = ROWS_ALL },
		              { .slot = opened(&r, -1), .n = 5, .ids = ids, .rows = ROWS_LAST } };
	struct pick pick[6];
	static const int rows[6][2] = {
		{ 0, 29 }, { 0, 3 }, { 1, 4 }, { 0, 3 }, { 0, 29 }, { 0, 0 }
	};
	for (int i = 0; i < 6; i++)
		pick[i] = (struct pick){ rows[i][0],
			                 rows[i][1],
			                 { .sampling = &s[i % 3], .position = (uint64_t)i } };
	stepped(&r, &(struct step){ run, 2, pick, 6 }, p);
	struct sampler *own = sampler_open(r.V);
	for (int i = 0; i < 6; i++) {
		struct picked want;
		assert_int_equal(sampler_pick(own, all + (size_t)rows[i][1] * (size_t)r.V,
		                              &pick[i].input, &want),
		                 0);
		assert_int_equal(p[i].id, want.id);
		assert_memory_equal(&p[i].logprob, &want.logprob, sizeof(float));
	}
	sampler_close(own);
	free(all);
	free(ids);
	rig_close(&r);
}

static void refused(struct rig *r, const struct run *run, int n, const struct pick *pick,
                    int n_picks, enum err_kind kind, const char *words)
{
	struct err e = { 0 };
	struct step s = { run, n, pick, n_picks };
	assert_int_equal(r->b->ops->submit(r->b, &s, &e), -1);
	assert_int_equal(e.kind, kind);
	assert_contains(e.text, words);
}

static void steps_that_break_the_rules_are_refused_whole(void **state)
{
	struct rig r;
	struct err e = { 0 };
	struct sampling s;
	(void)state;
	sampling_default(&s);
	rig_random(&r, DTYPE_F32,
	           (struct backend_options){ .slots = 3, .context = 150, .threads = 2 });
	int32_t *ids = some_ids(600, r.V);
	int a = opened(&r, -1), b = opened(&r, -1);
	struct run ok = { .slot = a, .n = 100, .ids = ids }, run[2];
	stepped(&r, &(struct step){ &ok, 1, NULL, 0 }, NULL);
	struct pick pick = { .input = { .sampling = &s } };

	run[0] = ok;
	run[0].n = 51;
	refused(&r, run, 1, NULL, 0, ERR_USAGE, "context of 150");
	run[0].n = 0;
	refused(&r, run, 1, NULL, 0, ERR_USAGE, "not 0");
	run[0].n = 513;
	refused(&r, run, 1, NULL, 0, ERR_USAGE, "1 to 512");
	run[0].n = 17;
	run[0].window = true;
	refused(&r, run, 1, NULL, 0, ERR_USAGE, "1 to 16");
	run[0] = ok;
	run[0].slot = 2;
	refused(&r, run, 1, NULL, 0, ERR_USAGE, "slot 2 is not open");
	run[0] = ok;
	run[0].n = 1;
	run[0].ids = NULL;
	refused(&r, run, 1, NULL, 0, ERR_USAGE, "none was picked");
	int32_t bad[] = { 3, r.V };
	run[0].n = 2;
	run[0].ids = bad;
	refused(&r, run, 1, NULL, 0, ERR_USAGE, "id 301");
	run[0].n = 1;
	run[1] = run[0];
	refused(&r, run, 2, NULL, 0, ERR_USAGE, "both");
	run[1].slot = b;
	refused(&r, run, 2, &pick, 1, ERR_USAGE, "not among its rows");
	run[0].mix = one(4, 1);
	refused(&r, run, 2, NULL, 0, ERR_USAGE, "no adapter 4");
	assert_int_equal(r.b->ops->slot_position(r.b, a), 100);
	assert_int_equal(r.b->ops->slot_position(r.b, b), 0);
	assert_int_equal(r.b->ops->slot_position(r.b, 2), -1);
	assert_int_equal(r.b->ops->slot_open(r.b, 7, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	opened(&r, a);
	assert_int_equal(r.b->ops->slot_open(r.b, -1, &e), -1);
	assert_int_equal(e.kind, ERR_MEM);
	assert_contains(e.text, "all 3 slots");
	/* and after all that it is as if nothing had been asked */
	run[0] = (struct run){ .slot = a, .n = 50, .ids = ids };
	stepped(&r, &(struct step){ run, 1, NULL, 0 }, NULL);
	assert_int_equal(r.b->ops->slot_position(r.b, a), 150);
	free(ids);
	rig_close(&r);
}

static void keys_and_values_that_do_not_fit_are_an_error_in_words(void **state)
{
	struct rig r;
	struct err e = { 0 };
	(void)state;
	rig_random(&r, DTYPE_F32, (struct backend_options){ 0 });
	struct backend_figures f;
	r.b->ops->figures(r.b, &f);
	rig_close(&r);
	rig_random(&r, DTYPE_F32,
	           (struct backend_options){ .kv_bytes = f.kv_bytes_per_token * CPU_PAGE * 3 });
	int32_t *ids = some_ids(300, r.V);
	int a = opened(&r, -1), b = opened(&r, -1);
	struct run run[2] = { { .slot = a, .n = 100, .ids = ids },
		              { .slot = b, .n = 65, .ids = ids } };
	refused(&r, run, 2, NULL, 0, ERR_MEM, "4 pages of 64 tokens are wanted, 3 of 3 are free");
	run[1].n = 64;
	stepped(&r, &(struct step){ run, 2, NULL, 0 }, NULL);
	run[1].n = 1;
	refused(&r, run + 1, 1, NULL, 0, ERR_MEM, "1 pages");
	/* a copy shares, until it writes */
	int copy = opened(&r, a);
	run[0] = (struct run){ .slot = copy, .n = 1, .ids = ids };
	refused(&r, run, 1, NULL, 0, ERR_MEM, "1 pages");
	run[0].slot = a;
	refused(&r, run, 1, NULL, 0, ERR_MEM, "1 pages");
	r.b->ops->slot_close(r.b, copy);
	stepped(&r, &(struct step){ run, 1, NULL, 0 }, NULL);
	free(ids);
	rig_close(&r);
	struct model_config c = odd_config();
	assert_int_equal(model_random(&r.m, &c, DTYPE_F32, 5, false, &e), 0);
	struct backend_options least = { .kv_bytes = 1000 };
	assert_null(cpu_open(&r.m, &least, &e));
	assert_int_equal(e.kind, ERR_MEM);
	assert_contains(e.text, "1000 bytes");
	model_close(&r.m);
}

static void nan_weights_pick_nothing_and_do_no_harm_to_others(void **state)
{
	struct rig r;
	struct sampling s;
	struct picked p[2];
	struct err e = { 0 };
	(void)state;
	for (int int8 = 0; int8 < 2; int8++) {
		struct model_config c = odd_config();
		assert_int_equal(model_random(&r.m, &c, DTYPE_F32, 5, false, &e), 0);
		/* one token's embedding: whoever has seen it is lost, and nobody else */
		float *w = (float *)(uintptr_t)r.m.embedding->data;
		w[7 * c.hidden + 3] = NAN;
		rig_backend(&r, &(struct backend_options){ .dtype = int8 ? BACKEND_INT8
		                                                         : BACKEND_AS_STORED });
		sampling_default(&s);
		int32_t bad[] = { 1, 7, 2 }, good[] = { 1, 2, 3 };
		struct run run[2] = {
			{ .slot = opened(&r, -1), .n = 3, .ids = bad, .rows = ROWS_LAST },
			{ .slot = opened(&r, -1), .n = 3, .ids = good, .rows = ROWS_LAST },
		};
		struct pick pick[2] = { { 0, 2, { .sampling = &s } },
			                { 1, 2, { .sampling = &s } } };
		stepped(&r, &(struct step){ run, 2, pick, 2 }, p);
		assert_int_equal(p[0].id, -1);
		assert_true(p[1].id >= 0);
		run[0].n = 1;
		run[0].ids = NULL;
		refused(&r, run, 1, NULL, 0, ERR_USAGE, "none was picked");
		/* the place it had is clean */
		r.b->ops->slot_close(r.b, run[0].slot);
		int slot = opened(&r, -1);
		run[0] = (struct run){ .slot = slot, .n = 3, .ids = good, .rows = ROWS_LAST };
		pick[0].row = 2;
		stepped(&r, &(struct step){ run, 1, pick, 1 }, p);
		assert_true(p[0].id >= 0);
		rig_close(&r);
	}
	struct model_config c = odd_config();
	assert_int_equal(model_random(&r.m, &c, DTYPE_F32, 5, false, &e), 0);
	((float *)(uintptr_t)r.m.layer[1].linear[MODULE_DOWN]->data)[5] = NAN;
	rig_backend(&r, &(struct backend_options){ .dtype = BACKEND_INT8 });
	int32_t ids[] = { 1, 2 };
	struct run run = { .slot = opened(&r, -1), .n = 2, .ids = ids, .rows = ROWS_LAST };
	struct pick pick = { 0, 1, { .sampling = &s } };
	stepped(&r, &(struct step){ &run, 1, &pick, 1 }, p);
	assert_int_equal(p[0].id, -1);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_are_the_oracles),
		cmocka_unit_test(greedy_continuations_are_the_oracles),
		cmocka_unit_test(intermediates_are_the_oracles),
		cmocka_unit_test(a_prefill_may_be_cut_anywhere),
		cmocka_unit_test(a_sequence_decodes_the_same_in_any_company),
		cmocka_unit_test(a_window_is_as_plain_decoding_and_can_be_cut_back_anywhere),
		cmocka_unit_test(a_window_can_be_cut_back_twice),
		cmocka_unit_test(copies_go_their_own_ways),
		cmocka_unit_test(the_number_of_threads_makes_no_difference),
		cmocka_unit_test(adapters_blend_and_come_off),
		cmocka_unit_test(an_adapter_beside_is_as_one_merged),
		cmocka_unit_test(dtypes_are_as_good_as_their_bits),
		cmocka_unit_test(weights_may_lie_at_any_byte),
		cmocka_unit_test(several_picks_of_one_row_and_of_rows_apart),
		cmocka_unit_test(steps_that_break_the_rules_are_refused_whole),
		cmocka_unit_test(keys_and_values_that_do_not_fit_are_an_error_in_words),
		cmocka_unit_test(nan_weights_pick_nothing_and_do_no_harm_to_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
