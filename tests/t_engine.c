/*
 * t_engine.c - scheduler, sampler and look-up over the CPU backend: the oracle's greedy texts in
 * company and drafted, and repairs of real programs in half the steps.
 *
 * The clock is the test's own: every look at it is a millisecond later, so that all steps seem to
 * take the same time and drafting always pays; what is drafted does not depend on the machine then.
 */
#include "tests/model.h"

#include "gpu/scheduler.h"
#include "src/base/clock.h"

double clock_now_s(void)
{
	static long looks;
	return (double)++looks * 1e-3;
}

enum { ANSWERS = 40, TOKENS = 4096 };

struct desk {
	struct answer {
		int32_t id[TOKENS];
		float logprob[TOKENS];
		int n;
		struct buf text;
		bool over;
		enum sequence_end end;
		struct sequence_figures f;
		char error[300];
	} answer[ANSWERS]; /* by request; requests of one sequence */
};

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     const char *text, size_t len)
{
	struct answer *a = &((struct desk *)ctx)->answer[request];
	(void)sequence;
	(void)index;
	buf_add(&a->text, text, len);
	if (p) {
		assert_true(a->n < TOKENS);
		a->logprob[a->n] = p->logprob;
		a->id[a->n++] = p->id;
	}
}

static void on_done(void *ctx, uint32_t request, int sequence, enum sequence_end end,
                    const int32_t *ids, int n, const struct sequence_figures *f, const char *error)
{
	struct answer *a = &((struct desk *)ctx)->answer[request];
	(void)sequence;
	(void)ids;
	assert_int_equal(n, a->n);
	a->over = true;
	a->end = end;
	a->f = *f;
	snprintf(a->error, sizeof(a->error), "%s", error ? error : "");
}

struct rig {
	struct model m;
	struct backend *b;
	struct scheduler *s;
	struct desk *d;
	int steps;
};

static void rig_scheduler(struct rig *r, const struct tokenizer *t,
                          const struct backend_options *options, const struct scheduler_options *o)
{
	struct err e = { 0 };
	r->d = calloc(1, sizeof(*r->d));
	struct scheduler_ops ops = { r->d, on_token, on_done };
	if (!(r->b = cpu_open(&r->m, options, &e)) ||
	    !(r->s = scheduler_open(r->b, t, o, &ops, &e)))
		fail_msg("%s", e.text);
}

static void rig_close(struct rig *r)
{
	scheduler_close(r->s);
	struct backend_figures f;
	r->b->ops->figures(r->b, &f);
	r->b->ops->close(r->b);
	for (int i = 0; i < ANSWERS; i++)
		buf_release(&r->d->answer[i].text);
	free(r->d);
}

static struct answer *ask(struct rig *r, const struct scheduler_request *q)
{
	struct err e = { 0 };
	uint32_t id;
	if (scheduler_add(r->s, q, &id, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(id < ANSWERS);
	return &r->d->answer[id];
}

static void run(struct rig *r)
{
	struct err e = { 0 };
	int rc;
	while ((rc = scheduler_step(r->s, &e)) == 1)
		r->steps++;
	if (rc < 0)
		fail_msg("%s", e.text);
}

static cJSON *read_json(const char *path)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	if (buf_read_file(&text, path, 64 << 20, &e) < 0)
		fail_msg("%s", e.text);
	cJSON *o = cJSON_ParseWithLength(text.data, text.len);
	assert_non_null(o);
	buf_release(&text);
	return o;
}

static int ints(const cJSON *list, int32_t *out)
{
	int n = 0;
	const cJSON *x;
	cJSON_ArrayForEach(x, list) out[n++] = (int32_t)x->valuedouble;
	return n;
}

static struct scheduler_request request_of(const int32_t *prompt, int n)
{
	struct scheduler_request r = { .prompt = prompt, .n_prompt = n, .n = 1 };
	sampling_default(&r.sampling);
	return r;
}

/* ---- the oracle ---- */

static void the_oracles_texts(const char *model, const char *const *names,
                              const char *const *adapters, int n)
{
	char path[4096], dir[4096];
	struct err e = { 0 };
	cJSON *expected = read_json(oracle(path, "expected/greedy.json"));
	struct tokenizer *t = tokenizer_open(oracle(dir, model), &e);
	if (!t)
		fail_msg("%s", e.text);
	struct rig r = { 0 };
	if (model_open(&r.m, dir, &e) < 0)
		fail_msg("%s", e.text);
	rig_scheduler(&r, t, &(struct backend_options){ .dtype = BACKEND_F32 }, NULL);
	unsigned char key[4][32] = { { 0 } };
	struct lora_mix mix[4] = { { 0 } };
	struct adapter a[4] = { { 0 } };
	for (int i = 0; i < n; i++) {
		char where[4096];
		if (!adapters[i])
			continue;
		if (adapter_open(&a[i], oracle(where, adapters[i]), &r.m.config, &e) < 0)
			fail_msg("%s", e.text);
		mix[i].n = 1;
		mix[i].part[0].weight = 1;
		mix[i].part[0].adapter = r.b->ops->adapter_add(r.b, &a[i], &e);
		memcpy(key[i], a[i].hash, 32);
	}
	/* plain; drafted; both once more from kept prefixes, all in one batch with others */
	static int32_t prompt[4][200], want[4][200];
	struct answer *got[4][4], *other = NULL;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < n; i++) {
			const cJSON *x = cJSON_GetObjectItem(expected, names[i]);
			struct scheduler_request q = request_of(
				prompt[i], ints(cJSON_GetObjectItem(x, "prompt_ids"), prompt[i]));
			ints(cJSON_GetObjectItem(x, "greedy_ids"), want[i]);
			q.mix = mix[i];
			q.mix_key = key[i];
			q.max_tokens = 64;
			q.ignore_eos = true;
			got[i][2 * round] = ask(&r, &q);
			q.speculate = true;
			q.draft = want[i];
			q.n_draft = 64;
			got[i][2 * round + 1] = ask(&r, &q);
			q.sampling.temperature = 1;
			q.n = 1;
			other = ask(&r, &q);
		}
		run(&r);
	}
	assert_true(other->over);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < 4; k++) {
			const cJSON *x = cJSON_GetObjectItem(expected, names[i]);
			assert_int_equal(got[i][k]->n, 64);
			assert_memory_equal(got[i][k]->id, want[i], 64 * sizeof(int32_t));
			assert_string_equal(buf_str(&got[i][k]->text),
			                    cJSON_GetStringValue(cJSON_GetObjectItem(x, "text")));
			assert_memory_equal(got[i][k]->logprob, got[i][0]->logprob,
			                    64 * sizeof(float));
			if (k % 2)
				assert_true(got[i][k]->f.accepted > 45);
			if (k > 1)
				assert_true(got[i][k]->f.cached_tokens > 0);
		}
	for (int i = 0; i < n; i++)
		adapter_close(&a[i]);
	rig_close(&r);
	model_close(&r.m);
	tokenizer_close(t);
	cJSON_Delete(expected);
}

static void the_oracles_greedy_texts_come_in_company_and_drafted(void **state)
{
	static const char *const names[] = { "base", "lora_a", "lora_b" };
	static const char *const adapters[] = { NULL, "lora-a", "lora-b" };
	(void)state;
	the_oracles_texts("tiny-f32", names, adapters, 3);
}

static void so_do_those_of_the_sharded_model(void **state)
{
	static const char *const names[] = { "bf16_f32compute", "bf16_lora_vl_f32compute" };
	static const char *const adapters[] = { NULL, "lora-vl" };
	(void)state;
	the_oracles_texts("tiny-bf16-sharded", names, adapters, 2);
}

/* ---- a model of our own: no oracle needed ---- */

static void model_of(struct rig *r, int vocabulary)
{
	struct model_config c = tiny_config();
	struct err e = { 0 };
	c.hidden = 48;
	c.head_dim = 24;
	c.rotary = 12;
	c.vocabulary = vocabulary;
	c.context = 16384;
	if (model_random(&r->m, &c, DTYPE_F32, 3, false, &e) < 0)
		fail_msg("%s", e.text);
	for (int i = 0; i < r->m.tensors.n; i++) { /* livelier than a fresh model */
		const struct tensor *t = &r->m.tensors.item[i];
		for (uint64_t j = 0; t->n_dims == 2 && j < t->n; j++)
			((float *)(uintptr_t)t->data)[j] *= 6;
	}
}

static void a_sequence_is_the_same_alone_in_company_drafted_and_short_of_memory(void **state)
{
	static int32_t prompt[12][700];
	struct rig alone = { 0 }, company = { 0 }, tight = { 0 };
	struct scheduler_request q[12];
	int heads[] = { 100, 300 };
	(void)state;
	model_of(&alone, 211);
	company.m = tight.m = alone.m;
	for (int i = 0; i < 12; i++) {
		int n = 20 + 57 * i;
		for (int k = 0; k < n; k++)
			prompt[i][k] = (k < 400 ? k * k : k * (i + 3)) % 53;
		q[i] = request_of(prompt[i], n);
		q[i].max_tokens = 60;
		q[i].ignore_eos = true;
		q[i].sampling.temperature = i % 3 ? 0.4f : 0;
		q[i].sampling.top_p = i % 2 ? 0.9f : 1;
		q[i].sampling.seed = (uint64_t)i;
		q[i].sampling.frequency = i % 4 ? 0 : 0.1f;
		q[i].head = heads;
		q[i].n_heads = n > 300 ? 2 : n > 100 ? 1 : 0;
	}
	struct answer *want[12], *got[12], *late[12];
	rig_scheduler(&alone, NULL, &(struct backend_options){ .threads = 1 },
	              &(struct scheduler_options){ .snapshots = -1 });
	rig_scheduler(&company, NULL, &(struct backend_options){ .threads = 2 }, NULL);
	rig_scheduler(&tight, NULL, &(struct backend_options){ .threads = 1, .slots = 3 }, NULL);
	for (int i = 0; i < 12; i++) {
		want[i] = ask(&alone, &q[i]);
		run(&alone);
		q[i].speculate = i % 5 != 4;
		q[i].draft = want[i]->id;
		q[i].n_draft = i % 2 ? want[i]->n : 0;
		got[i] = ask(&company, &q[i]);
		late[i] = ask(&tight, &q[i]);
	}
	run(&company);
	run(&tight);
	int accepted = 0, cached = 0;
	for (int i = 0; i < 12; i++) {
		assert_int_equal(want[i]->n, 60);
		assert_int_equal(got[i]->n, 60);
		assert_memory_equal(got[i]->id, want[i]->id, 60 * sizeof(int32_t));
		assert_memory_equal(got[i]->logprob, want[i]->logprob, 60 * sizeof(float));
		assert_int_equal(late[i]->n, 60);
		assert_memory_equal(late[i]->id, want[i]->id, 60 * sizeof(int32_t));
		assert_memory_equal(late[i]->logprob, want[i]->logprob, 60 * sizeof(float));
		assert_int_equal(want[i]->f.cached_tokens, 0);
		accepted += got[i]->f.accepted;
		cached += got[i]->f.cached_tokens;
	}
	assert_true(accepted > 200);
	assert_true(cached > 1000);
	rig_close(&alone);
	rig_close(&company);
	rig_close(&tight);
	model_close(&alone.m);
}

/* ---- repairs ---- */

/* A text as tokens: by words, spaces and signs, numbered as they come; one numbering for all. */
static int words(struct buf *known, const char *text, int32_t *out, int vocabulary)
{
	int n = 0;
	for (const char *p = text; *p;) {
		size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
		if (!len)
			len = strspn(p, " ");
		if (!len)
			len = 1;
		char word[64];
		snprintf(word, sizeof(word), "\x01%.*s\x01", (int)(len < 60 ? len : 60), p);
		const char *at = strstr(buf_str(known), word);
		if (!at) {
			buf_adds(known, word);
			at = buf_str(known) + known->len - strlen(word);
		}
		int id = 0;
		for (const char *k = buf_str(known); k < at; k++)
			id += *k == '\x01';
		assert_true(n < TOKENS);
		out[n++] = id / 2 % vocabulary;
		p += len;
	}
	return n;
}

static void replace_once(struct buf *text, const char *what, const char *by)
{
	const char *at = strstr(buf_str(text), what);
	struct buf out = { 0 };
	assert_non_null(at);
	assert_null(strstr(at + 1, what));
	buf_add(&out, text->data, (size_t)(at - text->data));
	buf_adds(&out, by);
	buf_adds(&out, at + strlen(what));
	buf_release(text);
	*text = out;
}

static void repairs_take_less_than_a_third_of_the_steps(void **state)
{
	cJSON *pairs = read_json(SRCDIR "/tests/data/repairs/pairs.json");
	struct rig r = { 0 };
	struct buf known = { 0 };
	const cJSON *pair;
	int n_pairs = 0, below = 0;
	(void)state;
	model_of(&r, 1500);
	cJSON_ArrayForEach(pair, pairs)
	{
		static int32_t broken[TOKENS], repaired[TOKENS];
		struct buf text = { 0 };
		struct err e = { 0 };
		char path[600];
		if (n_pairs++ % 5) /* a few here; all of them by the bench */
			continue;
		snprintf(path, sizeof(path), "%s/tasks/cadforge/references/%s", SRCDIR,
		         json_string_or(pair, "program", ""));
		if (buf_read_file(&text, path, 1 << 20, &e) < 0)
			fail_msg("%s", e.text);
		int n_repaired = words(&known, text.data, repaired, 1500);
		const cJSON *change;
		cJSON_ArrayForEach(change, cJSON_GetObjectItem(pair, "changes"))
			replace_once(&text, json_string_or(change, "repaired", NULL),
		                     json_string_or(change, "broken", NULL));
		int n_broken = words(&known, text.data, broken, 1500);
		struct scheduler_request q = request_of(broken, n_broken);
		q.forced = repaired;
		q.n_forced = n_repaired;
		q.draft = broken;
		q.n_draft = n_broken;
		q.speculate = true;
		rig_scheduler(&r, NULL, &(struct backend_options){ .threads = 2 }, NULL);
		struct answer *a = ask(&r, &q);
		r.steps = 0;
		run(&r);
		assert_int_equal(a->n, n_repaired);
		assert_memory_equal(a->id, repaired, (size_t)n_repaired * sizeof(*repaired));
		below += r.steps * 3 < n_repaired;
		rig_close(&r);
		buf_release(&text);
	}
	assert_true(n_pairs >= 20);
	assert_true(below >= 4);
	model_close(&r.m);
	buf_release(&known);
	cJSON_Delete(pairs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oracles_greedy_texts_come_in_company_and_drafted),
		cmocka_unit_test(so_do_those_of_the_sharded_model),
		cmocka_unit_test(
			a_sequence_is_the_same_alone_in_company_drafted_and_short_of_memory),
		cmocka_unit_test(repairs_take_less_than_a_third_of_the_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
