/*
 * t_cuda.c - the CUDA backend, whole: on the host through the kernels' emulation (make check), or
 * on a device (make check-gpu; the same source, linked with device_cuda.o). The oracle's logits and
 * greedy continuations, the CPU backend, and the promise of backend.h, bit for bit.
 */
#include "tests/model.h"

#include <math.h>

#include "gpu/cuda.h"

struct rig {
	struct model m;
	struct backend *b;
	int V;
	bool emulated;
};

static const struct backend_options few = { .slots = 12, .context = 600, .precise = true };
static const struct lora_mix base_mix;

static void rig_backend(struct rig *r, struct backend_options o)
{
	struct err e = { 0 };
	r->b = cuda_open(&r->m, &o, &e);
	if (!r->b && e.kind == ERR_LACKS) {
		print_message("%s\n", e.text);
		model_close(&r->m);
		skip();
	}
	if (!r->b)
		fail_msg("%s", e.text);
	struct backend_figures f;
	r->b->ops->figures(r->b, &f);
	r->emulated = strcmp(f.device, "emulated device") == 0;
	r->V = r->m.config.vocabulary;
}

static void rig_oracle(struct rig *r, const char *name, struct backend_options o)
{
	char path[4096];
	struct err e = { 0 };
	if (model_open(&r->m, oracle(path, name), &e) < 0)
		fail_msg("%s", e.text);
	rig_backend(r, o);
}

/* Nothing a whole number of tiles: two groups of heads, dk and dv of their own. */
static struct model_config odd_config(void)
{
	struct model_config c = tiny_config();
	c.hidden = 40;
	c.key_dim = 20;
	c.value_dim = 28;
	c.mlp = 52;
	c.vocabulary = 101;
	return c;
}

static void random_model(struct model *m)
{
	struct model_config c = odd_config();
	struct err e = { 0 };
	if (model_random(m, &c, DTYPE_F32, 5, false, &e) < 0)
		fail_msg("%s", e.text);
	/* livelier than a fresh model, so that the mixers weigh beside the residual stream */
	for (int i = 0; i < m->tensors.n; i++) {
		const struct tensor *t = &m->tensors.item[i];
		if (t->n_dims == 2 && t->dtype == DTYPE_F32)
			for (uint64_t j = 0; j < t->n; j++)
				((float *)(uintptr_t)t->data)[j] *= 6;
	}
}

static void rig_random(struct rig *r, struct backend_options o)
{
	random_model(&r->m);
	o.context = 300;
	rig_backend(r, o);
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

static void submitted(struct rig *r, const struct step *s)
{
	struct err e = { 0 };
	if (r->b->ops->submit(r->b, s, &e) < 0)
		fail_msg("%s", e.text);
}

static void collected(struct rig *r, struct picked *out)
{
	struct err e = { 0 };
	struct picked none;
	if (r->b->ops->collect(r->b, out ? out : &none, &e) < 0)
		fail_msg("%s", e.text);
}

static void stepped(struct rig *r, const struct run *run, int n)
{
	submitted(r, &(struct step){ .run = run, .n_runs = n });
	collected(r, NULL);
}

static struct lora_mix one(int adapter, float weight)
{
	struct lora_mix mix = { .n = adapter ? 1 : 0 };
	mix.part[0].adapter = adapter;
	mix.part[0].weight = weight;
	return mix;
}

static void fed(struct rig *r, int slot, const int32_t *ids, int n, struct lora_mix mix,
                bool window, float *logits)
{
	struct run run = { .slot = slot, .n = n, .ids = ids, .mix = mix, .window = window };
	run.rows = logits ? ROWS_ALL : ROWS_NONE;
	run.logits = logits;
	stepped(r, &run, 1);
}

/* Logits of all positions, fed in pieces of @piece (1: as decoding does). The caller frees. */
static float *logits_of(struct rig *r, const int32_t *ids, int n, struct lora_mix mix, int piece)
{
	float *out = malloc((size_t)n * (size_t)r->V * sizeof *out);
	int slot = opened(r, -1);
	for (int i = 0; i < n; i += piece)
		fed(r, slot, ids + i, n - i < piece ? n - i : piece, mix, false,
		    out + (size_t)i * (size_t)r->V);
	assert_int_equal(r->b->ops->slot_position(r->b, slot), n);
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

static void near_by(const float *a, const float *b, size_t n, double limit, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)a[i] - (double)b[i]) <= limit))
			fail_msg("%s: value %zu is %.9g, %.9g is wanted within %g", what, i,
			         (double)a[i], (double)b[i], limit);
}

static void some_ids(int32_t *ids, int n, int vocabulary)
{
	uint32_t seed = 77;
	for (int i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		ids[i] = (int32_t)((seed >> 8) % (uint32_t)vocabulary);
	}
}

/* ---- the oracle ---- */

static cJSON *expected_json(const char *name)
{
	char path[4096], part[200];
	struct buf text = { 0 };
	struct err e = { 0 };
	snprintf(part, sizeof(part), "expected/%s", name);
	if (buf_read_file(&text, oracle(path, part), 1 << 24, &e) < 0)
		fail_msg("%s", e.text);
	cJSON *o = cJSON_ParseWithLength(text.data, text.len);
	assert_non_null(o);
	buf_release(&text);
	return o;
}

static int ids_of(const cJSON *list, int32_t *out)
{
	int n = 0;
	const cJSON *x;
	cJSON_ArrayForEach(x, list) out[n++] = (int32_t)x->valuedouble;
	return n;
}

static int adapter_added(struct rig *r, const char *name)
{
	char path[4096];
	struct adapter a;
	struct err e = { 0 };
	if (adapter_open(&a, oracle(path, name), &r->m.config, &e) < 0)
		fail_msg("%s", e.text);
	int number = r->b->ops->adapter_add(r->b, &a, &e);
	adapter_close(&a); /* its values are on the device */
	if (number < 0)
		fail_msg("%s", e.text);
	return number;
}

/* Compares logits of prompts against logits_NAME: kept rows element by element, and of all rows
 * the largest and the log-sum-exp. In pieces of @piece. */
static void check_logits(struct rig *r, const char *name, struct lora_mix mix, double limit,
                         int shortest, int longest, int piece)
{
	char path[4096], part[200];
	struct tensors t;
	struct err e = { 0 };
	cJSON *prompts = expected_json("prompts.json");
	const cJSON *p;
	snprintf(part, sizeof(part), "expected/logits_%s.safetensors", name);
	if (tensors_open_file(&t, oracle(path, part), &e) < 0)
		fail_msg("%s", e.text);
	cJSON_ArrayForEach(p, prompts)
	{
		int32_t ids[600], pos[64];
		int n = ids_of(p, ids);
		if (n < shortest || n > longest)
			continue;
		float *got = logits_of(r, ids, n, mix, piece), *want = malloc(sizeof(float) * 1024);
		snprintf(part, sizeof(part), "L%d.pos", n);
		const struct tensor *at = tensors_find(&t, part);
		memcpy(pos, at->data, (size_t)at->bytes);
		snprintf(part, sizeof(part), "L%d.logits", n);
		for (uint64_t i = 0; i < at->n; i++) {
			tensor_read(tensors_find(&t, part), i * 1024, 1024, want);
			near_by(got + (size_t)pos[i] * 1024, want, 1024, limit, part);
		}
		snprintf(part, sizeof(part), "L%d.lse", n);
		for (int i = 0; i < n; i++) {
			double sum = 0;
			float lse;
			for (int v = 0; v < 1024; v++)
				sum += exp((double)got[(size_t)i * 1024 + v]);
			tensor_read(tensors_find(&t, part), (uint64_t)i, 1, &lse);
			assert_float_equal((float)log(sum), lse, (float)limit);
		}
		free(got);
		free(want);
	}
	tensors_close(&t);
	cJSON_Delete(prompts);
}

static void logits_are_the_oracles(void **state)
{
	struct rig r;
	(void)state;
	rig_oracle(&r, "tiny-f32", few);
	check_logits(&r, "base", base_mix, 2e-3, 1, 5, 512);
	check_logits(&r, "base", base_mix, 2e-3, r.emulated ? 65 : 63, 65, 512);
	check_logits(&r, "base", base_mix, 2e-3, 130, r.emulated ? 130 : 257,
	             50);                                  /* cut anywhere */
	check_logits(&r, "base", base_mix, 2e-3, 5, 5, 1); /* token by token */
	check_logits(&r, "lora_a", one(adapter_added(&r, "lora-a"), 1), 2e-3, 65, 65, 512);
	check_logits(&r, "lora_b", one(adapter_added(&r, "lora-b"), 1), 2e-3, 65, 65, 512);
	rig_close(&r);
	rig_oracle(&r, "tiny-bf16-sharded", few);
	check_logits(&r, "bf16_f32compute", base_mix, 5e-3, 65, 65, 512);
	check_logits(&r, "bf16_lora_vl_f32compute", one(adapter_added(&r, "lora-vl"), 1), 5e-3, 65,
	             65, 512);
	rig_close(&r);
}

/* The README's rule for bf16: the mean difference to the reference's own bf16 run or to f32 is no
 * more than twice theirs to each other. */
static void bf16_is_as_near_as_the_reference(void **state)
{
	struct rig r;
	struct backend_options o = few;
	char path[4096];
	struct tensors f32, bf16;
	struct err e = { 0 };
	(void)state;
	o.precise = false;
	rig_oracle(&r, "tiny-bf16-sharded", o);
	assert_int_equal(
		tensors_open_file(&f32, oracle(path, "expected/logits_bf16_f32compute.safetensors"),
	                          &e),
		0);
	assert_int_equal(
		tensors_open_file(&bf16,
	                          oracle(path, "expected/logits_bf16_bf16compute.safetensors"), &e),
		0);
	cJSON *prompts = expected_json("prompts.json");
	int32_t ids[600], pos[64];
	int n = ids_of(cJSON_GetObjectItem(prompts, "130"), ids), agree = 0;
	for (int piece = 1; piece <= 512; piece += 511) {
		int some = piece == 1 ? 6 : n;
		float *got = logits_of(&r, ids, some, base_mix, piece), a[1024], b[1024];
		const struct tensor *at = tensors_find(&f32, "L130.pos");
		double to_f32 = 0, to_bf16 = 0, theirs = 0;
		memcpy(pos, at->data, (size_t)at->bytes);
		int rows = 0;
		for (uint64_t i = 0; i < at->n && pos[i] < some; i++, rows++) {
			const float *row = got + (size_t)pos[i] * 1024;
			int best = 0, want = 0;
			tensor_read(tensors_find(&f32, "L130.logits"), i * 1024, 1024, a);
			tensor_read(tensors_find(&bf16, "L130.logits"), i * 1024, 1024, b);
			for (int v = 0; v < 1024; v++) {
				to_f32 += fabs((double)row[v] - (double)a[v]);
				to_bf16 += fabs((double)row[v] - (double)b[v]);
				theirs += fabs((double)a[v] - (double)b[v]);
				best = row[v] > row[best] ? v : best;
				want = a[v] > a[want] ? v : want;
			}
			agree += best == want;
		}
		assert_true(rows > 0);
		assert_true(to_f32 <= 2 * theirs);
		assert_true(to_bf16 <= 2 * theirs);
		assert_true(agree >= rows - 1);
		agree = 0;
		free(got);
	}
	tensors_close(&f32);
	tensors_close(&bf16);
	cJSON_Delete(prompts);
	rig_close(&r);
}

/* All named continuations of one model at once, each with its own adapter, tokens chained on the
 * device, two steps in flight. */
static void check_greedy(struct rig *r, const char *const *name, const int *adapter, int n)
{
	enum { ALL = 64 };
	const int TOKENS = r->emulated ? 12 : ALL; /* an emulated step takes a third of a second */
	cJSON *o = expected_json("greedy.json");
	int32_t want[4][ALL], prompt[600];
	int slot[4];
	struct sampling greedy;
	struct run run[4];
	struct pick pick[4];
	struct picked out[4];
	sampling_default(&greedy);
	for (int i = 0; i < n; i++) {
		const cJSON *x = cJSON_GetObjectItem(o, name[i]);
		int len = ids_of(cJSON_GetObjectItem(x, "prompt_ids"), prompt);
		assert_int_equal(ids_of(cJSON_GetObjectItem(x, "greedy_ids"), want[i]), ALL);
		slot[i] = opened(r, -1);
		run[i] = (struct run){ .slot = slot[i],
			               .n = len,
			               .ids = prompt,
			               .rows = ROWS_LAST,
			               .mix = one(adapter[i], 1) };
		pick[i] = (struct pick){ .run = 0, .row = len - 1 };
		pick[i].input.sampling = &greedy;
		submitted(r, &(struct step){ &run[i], 1, &pick[i], 1 });
		collected(r, out);
		assert_int_equal(out[0].id, want[i][0]);
		run[i].n = 1;
		run[i].ids = NULL;
		pick[i].run = i;
		pick[i].row = 0;
	}
	const struct step s = { run, n, pick, n };
	submitted(r, &s);
	for (int t = 1; t < TOKENS; t++) {
		if (t + 1 < TOKENS)
			submitted(r, &s);
		collected(r, out);
		for (int i = 0; i < n; i++)
			if (out[i].id != want[i][t])
				fail_msg("%s: token %d is %d, %d is wanted", name[i], t, out[i].id,
				         want[i][t]);
	}
	cJSON_Delete(o);
}

static void greedy_goes_as_the_oracle(void **state)
{
	struct rig r;
	(void)state;
	rig_oracle(&r, "tiny-f32", few);
	const int a[] = { 0, adapter_added(&r, "lora-a"), adapter_added(&r, "lora-b") };
	check_greedy(&r, (const char *const[]){ "base", "lora_a", "lora_b" }, a, 3);
	rig_close(&r);
	rig_oracle(&r, "tiny-bf16-sharded", few);
	const int b[] = { 0, adapter_added(&r, "lora-vl") };
	check_greedy(&r, (const char *const[]){ "bf16_f32compute", "bf16_lora_vl_f32compute" }, b,
	             2);
	rig_close(&r);
}

/* ---- against the CPU backend ---- */

static void agrees_with_the_cpu(void **state)
{
	struct rig r;
	struct model m;
	struct err e = { 0 };
	int32_t ids[90];
	const struct backend_options cpu = { .dtype = BACKEND_F32, .threads = 1, .slots = 4 };
	(void)state;
	rig_random(&r, few);
	random_model(&m);
	struct rig other = { .m = m, .V = r.V };
	other.b = cpu_open(&other.m, &cpu, &e);
	if (!other.b)
		fail_msg("%s", e.text);
	some_ids(ids, 90, r.V);
	struct adapter a;
	make_adapter(&a, &r.m.config, 3, 1.5f, 9, NULL);
	struct lora_mix mix = one(r.b->ops->adapter_add(r.b, &a, &e), 0.5f);
	struct lora_mix cpu_mix = one(other.b->ops->adapter_add(other.b, &a, &e), 0.5f);
	adapter_close(&a);
	for (int turn = 0; turn < 3; turn++) {
		float *want =
			logits_of(&other, ids, turn == 2 ? 9 : 90, turn ? cpu_mix : base_mix, 512);
		float *got = logits_of(&r, ids, turn == 2 ? 9 : 90, turn ? mix : base_mix,
		                       turn == 2 ? 1 : 512);
		double largest = 0;
		size_t n = (size_t)(turn == 2 ? 9 : 90) * (size_t)r.V;
		for (size_t i = 0; i < n; i++)
			largest = fmax(largest, fabs((double)want[i]));
		assert_true(largest > 0.5);
		near_by(got, want, n, 3e-4 * largest, "logits");
		free(want);
		free(got);
	}
	rig_close(&other);
	rig_close(&r);
}

/* ---- equal bits ---- */

enum { HEAD = 70, TAIL = 20 };

/* What token-by-token decoding gives after a prefill of HEAD tokens. */
static float *plain_tail(struct rig *r, const int32_t *ids, int slot)
{
	float *out = malloc(sizeof(float) * TAIL * (size_t)r->V);
	fed(r, slot, ids, HEAD, base_mix, false, NULL);
	for (int i = 0; i < TAIL; i++)
		fed(r, slot, ids + HEAD + i, 1, base_mix, false, out + i * r->V);
	return out;
}

static void windows_equal_decoding(void **state)
{
	struct rig r;
	struct err e = { 0 };
	int32_t ids[HEAD + TAIL], wrong[16];
	(void)state;
	rig_random(&r, few);
	some_ids(ids, HEAD + TAIL, r.V);
	some_ids(wrong, 16, r.V - 7);
	int plain = opened(&r, -1);
	float *want = plain_tail(&r, ids, plain), *got = malloc(sizeof(float) * 16 * (size_t)r.V);
	int slot = opened(&r, -1);
	fed(&r, slot, ids, HEAD, base_mix, false, NULL);
	/* windows of 16 right after one another: their replay does not fit the ring */
	const struct {
		int n, kept; /* the rest is wrong tokens */
	} windows[] = { { 5, 5 }, { 4, 1 }, { 16, 2 }, { 16, 3 }, { 1, 1 }, { 3, 3 }, { 2, 2 } };
	int at = 0;
	for (size_t i = 0; i < sizeof(windows) / sizeof(*windows); i++) {
		int32_t fill[16];
		for (int j = 0; j < windows[i].n; j++)
			fill[j] = j < windows[i].kept ? ids[HEAD + at + j] : wrong[j];
		fed(&r, slot, fill, windows[i].n, base_mix, true, got);
		same_bits(got, want + at * r.V, (size_t)windows[i].kept * (size_t)r.V, "a window");
		at += windows[i].kept;
		if (r.b->ops->keep(r.b, slot, windows[i].kept, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(r.b->ops->slot_position(r.b, slot), HEAD + at);
	}
	/* a copy taken while the state lags behind goes on as well */
	int copy = opened(&r, slot);
	r.b->ops->slot_close(r.b, slot);
	for (; at < TAIL; at++) {
		fed(&r, copy, ids + HEAD + at, 1, base_mix, false, got);
		same_bits(got, want + at * r.V, (size_t)r.V, "after windows");
	}
	/* and a prefill run after a window that was cut */
	int again = opened(&r, -1), slow = opened(&r, -1);
	fed(&r, again, ids, HEAD, base_mix, false, NULL);
	fed(&r, slow, ids, HEAD, base_mix, false, NULL);
	fed(&r, again, ids + HEAD, 6, base_mix, true, NULL);
	assert_int_equal(r.b->ops->keep(r.b, again, 2, &e), 0);
	fed(&r, slow, ids + HEAD, 1, base_mix, false, NULL);
	fed(&r, slow, ids + HEAD + 1, 1, base_mix, false, NULL);
	float *other = malloc(sizeof(float) * 16 * (size_t)r.V);
	fed(&r, again, ids + HEAD + 2, 5, base_mix, false, got);
	fed(&r, slow, ids + HEAD + 2, 5, base_mix, false, other);
	same_bits(got, other, 5 * (size_t)r.V, "prefill after a window");
	free(other);
	free(got);
	free(want);
	rig_close(&r);
}

static void neighbours_and_copies_change_no_bit(void **state)
{
	struct rig r;
	int32_t ids[HEAD + TAIL], others[120];
	(void)state;
	rig_random(&r, few);
	some_ids(ids, HEAD + TAIL, r.V);
	some_ids(others, 120, r.V - 1);
	float *want = plain_tail(&r, ids, opened(&r, -1));
	float *got = malloc(sizeof(float) * 64 * (size_t)r.V);
	struct adapter a;
	struct err e = { 0 };
	make_adapter(&a, &r.m.config, 2, 1, 4, NULL);
	struct lora_mix mix = one(r.b->ops->adapter_add(r.b, &a, &e), 1);
	adapter_close(&a);

	/* a copy of the prefix, in a batch of nine: single tokens, windows, adapters, and a prefill
	 * beside them */
	int head = opened(&r, -1);
	fed(&r, head, ids, HEAD, base_mix, false, NULL);
	int slot[10];
	for (int i = 0; i < 10; i++)
		slot[i] = opened(&r, i == 9 ? -1 : head);
	for (int t = 0; t < 4; t++) {
		struct run run[10];
		for (int i = 0; i < 10; i++) {
			run[i] = (struct run){ .slot = slot[i], .n = 1, .ids = others + t + i };
			if (i % 3 == 1 && i != 7)
				run[i].mix = mix;
			if (i == 2 || i == 5) {
				run[i].n = 5 + t;
				run[i].window = true;
			}
		}
		run[7].ids = ids + HEAD + t;
		run[7].rows = ROWS_LAST;
		run[7].logits = got;
		run[9].n = 11;
		run[9].rows = ROWS_ALL;
		stepped(&r, run, 10);
		same_bits(got, want + t * r.V, (size_t)r.V, "in a batch");
	}
	/* what it was copied from has not changed */
	fed(&r, head, ids + HEAD, 1, base_mix, false, got);
	same_bits(got, want, (size_t)r.V, "the prefix itself");
	free(got);
	free(want);
	rig_close(&r);
}

/* Prefill rows too: alone, and beside others in one step. */
static void prefill_rows_do_not_depend_on_neighbours(void **state)
{
	struct rig r;
	int32_t ids[HEAD + TAIL];
	(void)state;
	rig_random(&r, few);
	some_ids(ids, HEAD + TAIL, r.V);
	float *alone = logits_of(&r, ids, HEAD, base_mix, 512);
	float *got = malloc(sizeof(float) * HEAD * (size_t)r.V),
	      *last = malloc(sizeof(float) * r.V);
	struct run run[3] = {
		{ .slot = opened(&r, -1), .n = 9, .ids = ids + 3, .rows = ROWS_ALL },
		{ .slot = opened(&r, -1), .n = HEAD, .ids = ids, .rows = ROWS_ALL, .logits = got },
		{ .slot = opened(&r, -1),
		  .n = HEAD,
		  .ids = ids,
		  .rows = ROWS_LAST,
		  .logits = last },
	};
	stepped(&r, run, 3);
	same_bits(got, alone, HEAD * (size_t)r.V, "beside others");
	same_bits(last, alone + (HEAD - 1) * r.V, (size_t)r.V, "the last row alone");
	free(alone);
	free(got);
	free(last);
	rig_close(&r);
}

/* ---- picks ---- */

static void picks_are_the_samplers(void **state)
{
	struct rig r;
	int32_t ids[12], answer[3] = { 5, 5, 9 };
	uint64_t mask[2] = { 0xfff0f0f0f0f0f0f0ull, 0xff };
	(void)state;
	rig_random(&r, few);
	some_ids(ids, 12, r.V);
	struct sampling how[4];
	for (int i = 0; i < 4; i++)
		sampling_default(&how[i]);
	how[1].temperature = 0.9f;
	how[1].top_k = 20;
	how[1].top_p = 0.9f;
	how[1].seed = 42;
	how[1].top = 5;
	how[2].temperature = 1.3f;
	how[2].presence = 1.5f;
	how[2].frequency = 0.5f;
	how[2].repetition = 1.2f;
	how[2].seed = 7;
	how[3].min_p = 0.02f;
	how[3].temperature = 0.7f;
	float *logits = malloc(sizeof(float) * 12 * (size_t)r.V);
	struct run run = {
		.slot = opened(&r, -1), .n = 12, .ids = ids, .rows = ROWS_ALL, .logits = logits
	};
	struct pick pick[70];
	struct picked got[70], want;
	for (int i = 0; i < 70; i++) { /* more than one launch of picks */
		pick[i] = (struct pick){ .run = 0, .row = i * 5 % 12 };
		pick[i].input = (struct sampler_input){ .sampling = &how[i % 4],
			                                .position = 100 + (uint64_t)i,
			                                .mask = i % 3 == 1 ? mask : NULL,
			                                .answer = answer,
			                                .n_answer = 3,
			                                .prompt = ids,
			                                .n_prompt = 4 };
	}
	submitted(&r, &(struct step){ &run, 1, pick, 70 });
	collected(&r, got);
	struct sampler *s = sampler_open(r.V);
	for (int i = 0; i < 70; i++) {
		assert_int_equal(sampler_pick(s, logits + pick[i].row * r.V, &pick[i].input, &want),
		                 0);
		assert_int_equal(got[i].id, want.id);
		assert_float_equal(got[i].logprob, want.logprob, 1e-4f);
		assert_float_equal(got[i].entropy, want.entropy, 1e-3f);
		assert_int_equal(got[i].n_top, want.n_top);
		for (int j = 0; j < want.n_top; j++)
			assert_int_equal(got[i].top[j].id, want.top[j].id);
	}
	sampler_close(s);
	free(logits);
	rig_close(&r);
}

/* ---- room, and what is refused ---- */

static void refused(struct rig *r, const struct step *s, enum err_kind kind, const char *words)
{
	struct err e = { 0 };
	assert_int_equal(r->b->ops->submit(r->b, s, &e), -1);
	assert_int_equal(e.kind, kind);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

static void a_step_that_breaks_rules_does_nothing(void **state)
{
	struct rig r;
	struct err e = { 0 };
	int32_t ids[BACKEND_PIECE + 1] = { 1, 2, 3 }, bad[1] = { 5000 };
	(void)state;
	rig_random(&r, few);
	int slot = opened(&r, -1);
	struct run run = { .slot = slot, .n = 3, .ids = ids };
	struct step s = { .run = &run, .n_runs = 1 };
	run.slot = 11;
	refused(&r, &s, ERR_USAGE, "slot 11 is not open");
	run.slot = slot;
	run.n = BACKEND_PIECE + 1;
	refused(&r, &s, ERR_USAGE, "513 tokens; 1 to 512");
	run.n = 17;
	run.window = true;
	refused(&r, &s, ERR_USAGE, "17 tokens; 1 to 16");
	run.window = false;
	run.ids = bad;
	run.n = 1;
	refused(&r, &s, ERR_USAGE, "token 0 is 5000; the vocabulary has 101");
	run.ids = NULL;
	run.n = 2;
	refused(&r, &s, ERR_USAGE, "no ids");
	run.ids = ids;
	run.n = 301;
	refused(&r, &s, ERR_USAGE, "the context is 300");
	run.n = 3;
	run.mix = one(3, 1);
	refused(&r, &s, ERR_USAGE, "no adapter 3");
	run.mix = base_mix;
	const struct run twice[2] = { run, run };
	refused(&r, &(struct step){ .run = twice, .n_runs = 2 }, ERR_USAGE, "runs 0 and 1");
	struct sampling greedy;
	sampling_default(&greedy);
	struct pick pick = { .row = 1, .input = { .sampling = &greedy } };
	run.rows = ROWS_LAST;
	refused(&r, &(struct step){ &run, 1, &pick, 1 }, ERR_USAGE, "not among its rows");
	assert_int_equal(r.b->ops->slot_position(r.b, slot), 0);
	assert_int_equal(r.b->ops->keep(r.b, slot, 1, &e), -1);
	assert_int_equal(r.b->ops->slot_open(r.b, 9, &e), -1);
	rig_close(&r);
}

static void room_for_keys_and_values_is_counted(void **state)
{
	struct rig r;
	struct err e = { 0 };
	int32_t ids[300];
	struct backend_figures before, after;
	struct backend_options o = few;
	(void)state;
	o.slots = 4;
	/* one context of 300 tokens in pages of 64: 2 heads of 8 in f32, K and V */
	o.kv_bytes = 5 * 64 * 2 * 8 * 4 * 2;
	rig_random(&r, o);
	some_ids(ids, 300, r.V);
	r.b->ops->figures(r.b, &before);
	assert_true(before.kv_bytes_free == o.kv_bytes);
	int a = opened(&r, -1);
	fed(&r, a, ids, 200, base_mix, false, NULL); /* 4 pages */
	int b = opened(&r, a), c = opened(&r, -1), d = opened(&r, -1);
	assert_int_equal(r.b->ops->slot_open(r.b, -1, &e), -1);
	assert_int_equal(e.kind, ERR_MEM);
	assert_non_null(strstr(e.text, "all 4 slots"));
	struct run run = { .slot = c, .n = 80, .ids = ids };
	refused(&r, &(struct step){ .run = &run, .n_runs = 1 }, ERR_MEM, "1 of 5 are free");
	fed(&r, b, ids + 200, 1, base_mix, false, NULL); /* a copy of the last page */
	r.b->ops->figures(r.b, &after);
	assert_true(after.kv_bytes_free == 0);
	/* the first one's last page is now its own: no copy */
	fed(&r, a, ids + 200, 20, base_mix, false, NULL);
	r.b->ops->slot_close(r.b, a);
	r.b->ops->slot_close(r.b, b);
	r.b->ops->slot_close(r.b, c);
	r.b->ops->slot_close(r.b, d);
	r.b->ops->figures(r.b, &after);
	assert_true(after.kv_bytes_free == o.kv_bytes);
	rig_close(&r);
}

static void what_does_not_fit_is_told_before(void **state)
{
	struct model m;
	struct err e = { 0 };
	struct backend_options o = { .slots = 200000000, .context = 300 };
	struct cuda_need need;
	(void)state;
	random_model(&m);
	assert_null(cuda_open(&m, &o, &e));
	if (e.kind == ERR_LACKS)
		skip();
	assert_int_equal(e.kind, ERR_MEM);
	assert_non_null(strstr(e.text, "slots would fit"));
	o.slots = 3;
	assert_int_equal(cuda_need(&need, &m, &o, &e), 0);
	assert_true(need.weights > 0 && need.slots > 0 && need.scratch > 0 && need.context > 0);
	o.dtype = BACKEND_INT8;
	assert_null(cuda_open(&m, &o, &e));
	assert_int_equal(e.kind, ERR_LACKS);
	o.dtype = BACKEND_AS_STORED;
	m.config.conv = 9;
	assert_null(cuda_open(&m, &o, &e));
	assert_non_null(strstr(e.text, "linear_conv_kernel_dim up to 8"));
	model_close(&m);
}

/* Weights that the device makes equal those that the host makes. */
static void random_weights_are_made_on_the_device(void **state)
{
	struct model_config c = odd_config();
	int32_t ids[5] = { 1, 2, 3, 4, 5 };
	float *logits[2];
	struct rig r;
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct err e = { 0 };
		struct backend_options o = { .slots = 2, .context = 100 };
		if (model_random(&r.m, &c, DTYPE_BF16, 5, i == 1, &e) < 0)
			fail_msg("%s", e.text);
		rig_backend(&r, o);
		logits[i] = logits_of(&r, ids, 5, base_mix, 512);
		rig_close(&r);
	}
	same_bits(logits[0], logits[1], 5 * (size_t)c.vocabulary, "logits");
	free(logits[0]);
	free(logits[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_are_the_oracles),
		cmocka_unit_test(bf16_is_as_near_as_the_reference),
		cmocka_unit_test(greedy_goes_as_the_oracle),
		cmocka_unit_test(agrees_with_the_cpu),
		cmocka_unit_test(windows_equal_decoding),
		cmocka_unit_test(neighbours_and_copies_change_no_bit),
		cmocka_unit_test(prefill_rows_do_not_depend_on_neighbours),
		cmocka_unit_test(picks_are_the_samplers),
		cmocka_unit_test(a_step_that_breaks_rules_does_nothing),
		cmocka_unit_test(room_for_keys_and_values_is_counted),
		cmocka_unit_test(what_does_not_fit_is_told_before),
		cmocka_unit_test(random_weights_are_made_on_the_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
