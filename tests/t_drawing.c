/*
 * Answers drawn on another machine, as bytes: what is asked and what was told come back as they
 * were, whatever else comes is refused and told to nobody; and on the queue, over a real
 * redis-server, only workers of the kind that is asked for take a job.
 */
#include "tests/lib.h"

#include <poll.h>

#include "gpu/door.h"
#include "src/base/clock.h"
#include "src/drawing.h"
#include "src/job.h"
#include "src/queue.h"
#include "tests/redis.h"

static const char kind_a[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		  kind_b[] = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/* Of src/scoring.c, which needs the engine: no score is read here. */
void scored_release(struct scored *s)
{
	fail_msg("a score was read: %p", (void *)s);
}

/* ---- what is asked ---- */

static void a_request_comes_back_as_it_was(void **state)
{
	static const int32_t forced[] = { 5, 0, 248319 };
	static const char *const stops[] = { "\n\n\n", "```" };
	cJSON *messages =
		cJSON_Parse("[{\"role\":\"user\",\"content\":\"a \\\"chair\\\" \\u00e4\"}]");
	const struct gpu_request r = {
		.messages = messages,
		.thinking = CHAT_THINKING_ON,
		.n_adapters = 1,
		.sampling = { 0.7f, 0.95f, 20, 0.05f, 0.1f, -0.2f, 1.1f, 18446744073709551615u, 4 },
		.n = 3,
		.max_tokens = 1 << 20,
		.seconds = 2.5,
		.ignore_eos = true,
		.speculate = true,
		.guard = "/a/file/here",
		.stop = stops,
		.n_stop = 2,
		.draft = "import cadquery as cq\n",
		.forced = forced,
		.n_forced = 3,
		.forced_begin = true,
	};
	struct drawing_adapter adapter = { .weight = 0.3f };
	struct drawing_asked a;
	struct buf out = { 0 };
	struct err e = { 0 };

	(void)state;
	memcpy(adapter.config, kind_a, SHA256_HEX);
	memcpy(adapter.weights, kind_b, SHA256_HEX);
	drawing_write(&out, kind_a, &r, &adapter);
	assert_int_equal(drawing_read(&a, buf_str(&out), out.len, &e), 0);
	assert_string_equal(a.kind, kind_a);
	assert_true(cJSON_Compare(a.r.messages, messages, true));
	assert_null(a.r.text);
	assert_null(a.r.ids);
	assert_int_equal(a.r.thinking, CHAT_THINKING_ON);
	assert_int_equal(a.n_adapters, 1);
	assert_memory_equal(&a.adapter[0], &adapter, sizeof(adapter));
	assert_memory_equal(&a.r.sampling, &r.sampling, sizeof(r.sampling));
	assert_int_equal(a.r.n, 3);
	assert_int_equal(a.r.max_tokens, 1 << 20);
	assert_true(a.r.seconds == 2.5);
	assert_true(a.r.ignore_eos && a.r.speculate && a.guard && a.r.forced_begin);
	assert_null(strstr(buf_str(&out), "/a/file")); /* no path of whoever asks */
	assert_int_equal(a.r.n_stop, 2);
	assert_string_equal(a.r.stop[0], "\n\n\n");
	assert_string_equal(a.r.draft, r.draft);
	assert_int_equal(a.r.n_forced, 3);
	assert_memory_equal(a.r.forced, forced, sizeof(forced));
	drawing_release(&a);
	buf_release(&out);
	cJSON_Delete(messages);
}

static void other_requests_are_refused_in_words(void **state)
{
	static const struct {
		const char *from, *to, *words;
	} wrong[] = {
		{ "\"v\":1", "\"v\":2", "v" },
		{ "\"n\":1", "\"n\":65", "n" },
		{ "\"n\":1", "\"n\":0", "n" },
		{ "\"top_p\":1", "\"top_p\":2", "top_p" },
		{ "\"seed\":\"7\"", "\"seed\":\"-7\"", "seed" },
		{ "\"seed\":\"7\"", "\"seed\":7", "seed" },
		{ "\"kind\":\"0011", "\"kind\":\"XX11", "kind" },
		{ "\"stop\":[]", "\"stop\":[\"\"]", "stop" },
		{ "\"stop\":[]", "\"stop\":7", "stop" },
		{ "\"adapters\":[]", "\"adapters\":[{}]", "config" },
		{ "\"ids\":[3]", "\"ids\":[-3]", "id 1" },
		{ "\"ids\":[3]", "\"ids\":[]", "ids" },
	};
	static const int32_t id = 3;
	struct gpu_request r = { .ids = &id, .n_ids = 1, .n = 1 };
	struct drawing_asked a;
	struct buf out = { 0 };

	(void)state;
	sampling_default(&r.sampling);
	r.sampling.seed = 7;
	drawing_write(&out, kind_a, &r, NULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char *at = strstr(buf_str(&out), wrong[i].from);
		struct buf bad = { 0 };
		struct err e = { 0 };
		assert_non_null(at);
		buf_add(&bad, out.data, (size_t)(at - out.data));
		buf_adds(&bad, wrong[i].to);
		buf_adds(&bad, at + strlen(wrong[i].from));
		assert_int_equal(drawing_read(&a, buf_str(&bad), bad.len, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, wrong[i].words);
		buf_release(&bad);
	}
	buf_release(&out);
}

static void what_an_answer_depends_on_makes_the_kind(void **state)
{
	struct drawing_engine a = { .backend = "cpu",
		                    .dtype = "as stored",
		                    .device = "CPU, avx512, 1 thread",
		                    .context = 4096 },
			      b, back;
	char of_a[SHA256_HEX], of_b[SHA256_HEX];
	struct buf line = { 0 };
	struct err e = { 0 };

	(void)state;
	memcpy(a.model, kind_a, SHA256_HEX);
	drawing_kind(&a, of_a);
	b = a;
	snprintf(b.device, sizeof(b.device), "CPU, avx512, 16 threads");
	drawing_kind(&b, of_b);
	assert_string_equal(of_a, of_b);
	snprintf(b.device, sizeof(b.device), "CPU, avx2, 1 thread");
	drawing_kind(&b, of_b);
	assert_string_not_equal(of_a, of_b);
	b = a;
	b.context = 8192;
	drawing_kind(&b, of_b);
	assert_string_not_equal(of_a, of_b);
	b = a;
	snprintf(b.dtype, sizeof(b.dtype), "int8");
	drawing_kind(&b, of_b);
	assert_string_not_equal(of_a, of_b);
	b = a;
	memcpy(b.model, kind_b, SHA256_HEX);
	drawing_kind(&b, of_b);
	assert_string_not_equal(of_a, of_b);
	drawing_engine_write(&line, &a);
	assert_int_equal(drawing_engine_read(&back, buf_str(&line), &e), 0);
	drawing_kind(&back, of_b);
	assert_string_equal(of_a, of_b);
	assert_int_equal(drawing_engine_read(&back, "{\"model\":\"x\"}", &e), -1);
	buf_release(&line);
}

/* ---- what was told ---- */

struct heard {
	struct buf all;
	int tokens, dones, stop_after; /* no more of a sequence after so many tokens; 0: all */
	struct gpu *g;
};

static void hear(struct buf *out, int sequence, int index, const struct picked *p, bool in_thought,
                 const char *text, size_t len)
{
	buf_printf(out, "token %d %d %d %.*s", sequence, index, in_thought, (int)len, text);
	if (p)
		buf_printf(out, " id %d %a %a %a top %d", p->id, (double)p->logprob,
		           (double)p->drawn, (double)p->entropy, p->n_top);
	buf_addc(out, '\n');
}

static bool hear_token(void *ctx, int sequence, int index, const struct picked *p, bool in_thought,
                       const char *text, size_t len)
{
	struct heard *h = ctx;

	hear(&h->all, sequence, index, p, in_thought, text, len);
	for (int i = 0; p && i < p->n_top; i++)
		buf_printf(&h->all, "top %d %a '%s'\n", p->top[i].id, (double)p->top[i].logprob,
		           gpu_top_text(h->g, i));
	return ++h->tokens != h->stop_after;
}

static void hear_done(void *ctx, int sequence, const struct gpu_done *d)
{
	struct heard *h = ctx;

	buf_printf(&h->all, "done %d %d '%.*s' '%s' %d %d %d %a %a %s", sequence, (int)d->end,
	           (int)d->text_len, d->text, d->thinking, d->n, d->prompt_tokens, d->cached_tokens,
	           d->wait_s, d->decode_s, d->adapter_hash ? d->adapter_hash : "none");
	for (int i = 0; i < d->n && d->ids; i++)
		buf_printf(&h->all, " %d", d->ids[i]);
	for (int i = 0; i < d->n && d->logprobs; i++)
		buf_printf(&h->all, " %a", (double)d->logprobs[i]);
	if (d->stop)
		buf_printf(&h->all, " stop %d %a", d->stop->id, (double)d->stop->drawn);
	buf_addc(&h->all, '\n');
	h->dones++;
}

/* Two answers, of which the second thinks and has no known tokens. */
static void tell(struct buf *told, struct gpu *g, struct heard *h)
{
	static const int32_t ids[] = { 17, 4 };
	static const float logprobs[] = { -0.125f, -3.4028235e38f };
	struct picked p = {
		.id = 17, .logprob = -0.125f, .drawn = -0.1f, .entropy = 1.5f, .n_top = 2
	};
	const struct picked stop = { .id = 2, .logprob = -1, .drawn = -0.25f, .entropy = 0 };
	struct gpu_done d = { .end = GPU_STOP,
		              .text = "bö",
		              .text_len = 3,
		              .thinking = "",
		              .ids = ids,
		              .logprobs = logprobs,
		              .n = 2,
		              .stop = &stop,
		              .prompt_tokens = 30,
		              .cached_tokens = 20,
		              .wait_s = 0.1,
		              .prefill_s = NAN,
		              .decode_s = 1e-9,
		              .adapter_hash = kind_a };

	p.top[0].id = 17;
	p.top[1].id = 9;
	p.top[1].logprob = -7;
	door_top_text(g, 0, "b", 1);
	door_top_text(g, 1, "ü", 2);
	drawing_tell_token(told, g, 0, 0, &p, false, "b", 1);
	hear_token(h, 0, 0, &p, false, "b", 1);
	p.n_top = 0;
	p.entropy = NAN;
	drawing_tell_token(told, g, 1, 0, NULL, true, "hm", 2);
	hear_token(h, 1, 0, NULL, true, "hm", 2);
	drawing_tell_token(told, g, 0, 1, &p, false, "ö", 2);
	hear_token(h, 0, 1, &p, false, "ö", 2);
	drawing_tell_done(told, 0, &d);
	hear_done(h, 0, &d);
	d = (struct gpu_done){ .end = GPU_LENGTH,
		               .text = "",
		               .thinking = "hm",
		               .n = 1,
		               .prompt_tokens = -1,
		               .cached_tokens = -1,
		               .wait_s = NAN,
		               .prefill_s = NAN,
		               .decode_s = NAN };
	drawing_tell_done(told, 1, &d);
	hear_done(h, 1, &d);
}

static void what_was_told_is_told_again_to_the_bit(void **state)
{
	struct gpu there = { 0 }, here = { 0 };
	struct heard want = { .g = &there }, got = { .g = &here },
		     part = { .g = &here, .stop_after = 1 };
	const struct drawing_ears ears = { &got, hear_token, hear_done },
				  part_ears = { &part, hear_token, hear_done };
	struct buf told = { 0 }, bytes = { 0 };
	struct err e = { 0 };

	(void)state;
	tell(&told, &there, &want);
	assert_int_equal(drawing_pack(&bytes, &told, &e), 0);
	assert_int_equal(drawing_tell_again(&here, bytes.data, bytes.len, 2, &ears, &e), 0);
	assert_string_equal(buf_str(&got.all), buf_str(&want.all));
	/* who wants no more of one hears of it no more, and of the other one all */
	assert_int_equal(drawing_tell_again(&here, bytes.data, bytes.len, 2, &part_ears, &e), 0);
	assert_int_equal(part.tokens, 2);
	assert_int_equal(part.dones, 1);
	buf_release(&want.all);
	buf_release(&got.all);
	buf_release(&part.all);
	buf_release(&told);
	buf_release(&bytes);
}

static int again(const struct buf *told, int n, struct heard *got)
{
	struct gpu here = { 0 };
	const struct drawing_ears ears = { got, hear_token, hear_done };
	struct buf bytes = { 0 };
	struct err e = { 0 };

	got->g = &here;
	assert_int_equal(drawing_pack(&bytes, told, &e), 0);
	int rc = drawing_tell_again(&here, bytes.data, bytes.len, n, &ears, &e);
	if (rc < 0)
		assert_int_equal(e.kind, ERR_PROTOCOL);
	buf_release(&bytes);
	return rc;
}

static void what_is_no_answer_is_told_to_nobody(void **state)
{
	struct gpu there = { 0 };
	struct heard want = { .g = &there }, got = { 0 };
	const struct gpu_done d = { .text = "", .thinking = "" };
	struct buf told = { 0 }, other = { 0 };
	struct err e = { 0 };

	(void)state;
	tell(&told, &there, &want);
	/* a sequence too few and one too many, one that ends twice, text that is none */
	assert_int_equal(again(&told, 1, &got), -1);
	assert_int_equal(again(&told, 3, &got), -1);
	size_t whole = told.len;
	drawing_tell_done(&told, 1, &d);
	assert_int_equal(again(&told, 2, &got), -1);
	drawing_tell_token(&other, &there, 0, 0, NULL, false, "\xff", 1);
	drawing_tell_done(&other, 0, &d);
	assert_int_equal(again(&other, 1, &got), -1);
	/* cut anywhere */
	for (size_t n = 1; n < whole; n += 3) {
		struct buf cut = { 0 };
		buf_add(&cut, told.data, n);
		assert_int_equal(again(&cut, 2, &got), -1);
		buf_release(&cut);
	}
	/* damaged on its way */
	struct buf bytes = { 0 };
	const struct drawing_ears ears = { &got, hear_token, hear_done };
	buf_clear(&other);
	buf_add(&other, told.data, whole);
	assert_int_equal(drawing_pack(&bytes, &other, &e), 0);
	for (size_t i = 0; i < bytes.len; i += 5) {
		bytes.data[i] ^= 0x20;
		assert_int_equal(drawing_tell_again(&there, bytes.data, bytes.len, 2, &ears, &e),
		                 -1);
		bytes.data[i] ^= 0x20;
	}
	assert_int_equal(got.tokens + got.dones, 0);
	buf_release(&bytes);
	buf_release(&want.all);
	buf_release(&got.all);
	buf_release(&told);
	buf_release(&other);
}

/* Bytes turned at random before they are packed: refused, or told as far as they make sense. */
static void turned_bytes_do_no_harm(void **state)
{
	struct gpu there = { 0 };
	struct heard want = { .g = &there };
	struct buf told = { 0 };
	uint64_t x = 88172645463325252u;

	(void)state;
	tell(&told, &there, &want);
	for (int i = 0; i < 4000; i++) {
		struct heard got = { 0 };
		struct buf bad = { 0 };
		buf_add(&bad, told.data, told.len);
		for (int k = 0; k < 3; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			bad.data[x % bad.len] = (char)(x >> 32);
		}
		if (again(&bad, 2, &got) == 0)
			assert_true(got.dones <= 2);
		else
			assert_int_equal(got.tokens + got.dones, 0);
		buf_release(&bad);
		buf_release(&got.all);
	}
	buf_release(&want.all);
	buf_release(&told);
}

/* ---- kinds on the queue ---- */

struct hand {
	struct queue_worker *w;
	struct queue_take *held[8];
	int n_taken, n_unwanted;
};

struct bench {
	struct redis_server server;
	struct redis_address a;
	struct queue *q;
	struct hand hand[2];
	int n_done;
};

static void on_done(void *ctx, void *user, enum queue_fate fate, const void *bytes, size_t len,
                    const struct err *why)
{
	struct bench *b = ctx;

	(void)user, (void)bytes, (void)len, (void)why;
	assert_int_equal(fate, QUEUE_ANSWERED);
	b->n_done++;
}

static void on_take(void *ctx, struct queue_take *t)
{
	struct hand *h = ctx;

	h->held[h->n_taken++] = t;
}

static void on_blob(void *ctx, struct queue_take *t, const char *sha, const void *bytes, size_t len)
{
	(void)ctx, (void)t, (void)sha, (void)bytes, (void)len;
}

static void on_unwanted(void *ctx, struct queue_take *t)
{
	struct hand *h = ctx;

	h->n_unwanted++;
	queue_worker_forget(h->w, t);
}

static void turn(struct bench *b)
{
	struct pollfd p[6];
	struct err e;
	int n = queue_poll_fds(b->q, p, 2);

	for (int i = 0; i < 2; i++)
		n += queue_worker_poll_fds(b->hand[i].w, p + n, 2);
	poll(p, (nfds_t)n, 10);
	assert_int_equal(queue_step(b->q, &e), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(queue_worker_step(b->hand[i].w, &e), 0);
}

#define turn_until(b, claim)                                                                       \
	do {                                                                                       \
		double until_ = clock_now_s() + 20;                                                \
		while (!(claim)) {                                                                 \
			turn(b);                                                                   \
			if (clock_now_s() > until_)                                                \
				fail_msg("not within 20 s: %s", #claim);                           \
		}                                                                                  \
	} while (0)

static void submit(struct bench *b, int *user, const char *text)
{
	struct buf body = { 0 };
	struct err e = { 0 };

	buf_adds(&body, text);
	assert_int_equal(queue_submit(b->q, &body, NULL, 0, 0.9, user, &e), 0);
}

/* One hand builds, the other is of kind a. */
static void set_up(struct bench *b)
{
	const struct queue_ops ops = { .ctx = b, .done = on_done };
	char url[64], name[QUEUE_NAME_MAX];
	struct err e = { 0 };

	redis_server_start(&b->server);
	snprintf(url, sizeof(url), "redis://127.0.0.1:%d", b->server.port);
	assert_int_equal(redis_address_parse(&b->a, url, &e), 0);
	b->q = queue_open(&b->a, &ops, &e);
	assert_non_null(b->q);
	for (int i = 0; i < 2; i++) {
		const struct queue_worker_ops to = { &b->hand[i], on_take, on_blob, on_unwanted };
		queue_worker_name(name);
		b->hand[i].w = queue_worker_open(&b->a, name, "v1", 4, &to, &e);
		assert_non_null(b->hand[i].w);
	}
	queue_worker_kind(b->hand[1].w, kind_a, "{}", 0.9);
}

static void tear_down(struct bench *b)
{
	queue_close(b->q);
	for (int i = 0; i < 2; i++)
		queue_worker_close(b->hand[i].w);
	redis_server_stop(&b->server, SIGKILL);
	redis_server_remove(&b->server);
}

static void jobs_of_a_kind_go_to_its_workers_alone(void **state)
{
	struct bench b = { 0 };
	struct queue_table t;
	struct buf bytes = { 0 };
	struct err e;
	int one = 1, kinds = 0;

	(void)state;
	if (!redis_is_installed()) {
		print_message("skipped: redis-server is not installed\n");
		skip();
	}
	set_up(&b);
	queue_kind(b.q, kind_a);
	submit(&b, &one, "a request");
	turn_until(&b, b.hand[1].n_taken == 1);
	buf_adds(&bytes, "an answer");
	queue_worker_answer(b.hand[1].w, b.hand[1].held[0], QUEUE_ANSWERED, &bytes, NULL, false);
	turn_until(&b, b.n_done == 1);
	assert_int_equal(b.hand[0].n_taken, 0);
	assert_int_equal(queue_list(&t, &b.a, &e), 0);
	for (int i = 0; i < t.n; i++)
		kinds += strcmp(t.row[i].kind, kind_a) == 0 && strcmp(t.row[i].about, "{}") == 0;
	assert_int_equal(t.n, 2);
	assert_int_equal(kinds, 1);
	queue_table_release(&t);
	tear_down(&b);
}

static void a_worker_hears_that_nobody_waits_any_more(void **state)
{
	struct bench b = { 0 };
	int one = 1, two = 2;

	(void)state;
	if (!redis_is_installed()) {
		print_message("skipped: redis-server is not installed\n");
		skip();
	}
	set_up(&b);
	queue_kind(b.q, kind_a);
	submit(&b, &one, "one");
	submit(&b, &two, "two");
	turn_until(&b, b.hand[1].n_taken == 2);
	queue_cancel(b.q, &one);
	assert_int_equal(queue_waiting(b.q), 1);
	turn_until(&b, b.hand[1].n_unwanted == 1);
	turn_until(&b, queue_worker_under_way(b.hand[1].w) == 1);
	assert_int_equal(b.n_done, 0);
	/* and the other one is still its own */
	for (int i = 0; i < 60; i++)
		turn(&b);
	assert_int_equal(b.hand[1].n_unwanted, 1);
	tear_down(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_comes_back_as_it_was),
		cmocka_unit_test(other_requests_are_refused_in_words),
		cmocka_unit_test(what_an_answer_depends_on_makes_the_kind),
		cmocka_unit_test(what_was_told_is_told_again_to_the_bit),
		cmocka_unit_test(what_is_no_answer_is_told_to_nobody),
		cmocka_unit_test(turned_bytes_do_no_harm),
		cmocka_unit_test(jobs_of_a_kind_go_to_its_workers_alone),
		cmocka_unit_test(a_worker_hears_that_nobody_waits_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
