/* t_scheduler.c - sequences on a toy backend: the same tokens whatever stands beside them, whatever
 * was kept, drafted, refused or cancelled. What is expected comes from a plain loop over the toy's
 * model, one sequence at a time. */
#include "tests/toy_backend.h"

#include "gpu/lookup.h"
#include "gpu/scheduler.h"

/* ---- a toy tokenizer: bytes, an end, a silent token, and some strings ---- */

enum { END = 256, SILENT = 257 };
static const char *const strings[] = { "ST",       "OP",   "a STOP", "\n",    "é",    "日本",
	                               "\xe6\x97", "\xa5", "ab",     "END\n", "ENDE", "OP\xe6" };

int tokenizer_stops(const struct tokenizer *t, int32_t *out, int cap)
{
	(void)t;
	assert_true(cap > 0);
	out[0] = END;
	return 1;
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len, bool *special)
{
	static char byte[512];
	(void)t;
	*special = id == END || id == SILENT;
	if (id < 256) {
		byte[2 * id] = (char)id;
		*len = 1;
		return byte + 2 * id;
	}
	if (*special) {
		*len = 4;
		return "<|e>";
	}
	const char *s = strings[(size_t)(id - 258) % (sizeof(strings) / sizeof(strings[0]))];
	*len = strlen(s);
	return s;
}

/* Bytes that can follow in a sequence that begins with h[0..n): lowest and highest. */
static bool may_follow(const unsigned char *h, int n, unsigned char c)
{
	unsigned char low = 0x80, high = 0xbf;
	if (n == 1) {
		low = h[0] == 0xe0 ? 0xa0 : h[0] == 0xf0 ? 0x90 : low;
		high = h[0] == 0xed ? 0x9f : h[0] == 0xf4 ? 0x8f : high;
	}
	return c >= low && c <= high;
}

static int length_of(unsigned char c)
{
	return c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
}

static void push_byte(struct decoder *d, unsigned char c, struct buf *out)
{
	if (d->n_held && !may_follow(d->held, d->n_held, c)) {
		buf_adds(out, "\xef\xbf\xbd");
		d->n_held = 0;
	}
	if (!d->n_held && length_of(c) == 0) {
		buf_adds(out, "\xef\xbf\xbd");
		return;
	}
	d->held[d->n_held++] = c;
	if (d->n_held == length_of(d->held[0])) {
		buf_add(out, d->held, (size_t)d->n_held);
		d->n_held = 0;
	}
}

void decoder_push(struct decoder *d, const struct tokenizer *t, int32_t id, bool skip_special,
                  struct buf *out)
{
	size_t len;
	bool special;
	const char *s = tokenizer_bytes(t, id, &len, &special);
	for (size_t i = 0; i < len && !(special && skip_special); i++)
		push_byte(d, (unsigned char)s[i], out);
}

void decoder_finish(struct decoder *d, struct buf *out)
{
	if (d->n_held)
		buf_adds(out, "\xef\xbf\xbd");
	d->n_held = 0;
}

static const struct tokenizer *const toy_tokenizer = (const struct tokenizer *)strings;

/* ---- a toy guard: what it forbids depends on all that was accepted ---- */

struct guard {
	uint64_t h;
	uint64_t mask[(TOY_V + 63) / 64];
};
static int guards_open;

struct guard *guard_open(const struct tokenizer *t, const struct guard_names *n, int vocabulary,
                         struct err *e)
{
	struct guard *g = calloc(1, sizeof(*g));
	(void)t;
	(void)n;
	(void)e;
	assert_int_equal(vocabulary, TOY_V);
	guards_open++;
	return g;
}

void guard_prompt(struct guard *g, const int32_t *id, int n)
{
	for (int i = 0; i < n; i++)
		g->h = toy_mix(g->h, (uint64_t)id[i]);
}

void guard_close(struct guard *g)
{
	guards_open -= g != NULL;
	free(g);
}

struct guard *guard_copy(const struct guard *g, struct err *e)
{
	struct guard *copy = malloc(sizeof(*copy));
	(void)e;
	*copy = *g;
	guards_open++;
	return copy;
}

void guard_accept(struct guard *g, int32_t id)
{
	g->h = toy_mix(g->h, (uint64_t)id);
}

const uint64_t *guard_mask(struct guard *g)
{
	static uint64_t shared[(TOY_V + 63) / 64]; /* valid until the next call, no longer */
	if (g->h % 3 == 0)
		return NULL;
	for (int i = 0; i < (TOY_V + 63) / 64; i++)
		shared[i] = toy_mix(g->h, (uint64_t)i) | toy_mix(g->h, (uint64_t)i + 100);
	return shared;
}

static const struct guard_names *const toy_names = (const struct guard_names *)strings;

/* ---- what is expected: one sequence, token by token ---- */

enum { TOKENS_MAX = 512 };

struct answer {
	int32_t id[TOKENS_MAX];
	float logprob[TOKENS_MAX];
	int n;
	enum sequence_end end;
	bool error;
	struct buf text;
};

static const char *first_stop(const struct buf *text, const struct scheduler_request *r)
{
	const char *first = NULL;
	for (int i = 0; i < r->n_stop; i++) {
		const char *at = r->stop[i][0] && text->len ? memmem(text->data, text->len,
		                                                     r->stop[i], strlen(r->stop[i]))
		                                            : NULL;
		if (at && (!first || at < first))
			first = at;
	}
	return first;
}

static void expect(const struct toy *t, const struct scheduler_request *r, int sequence,
                   struct answer *a)
{
	static float row[TOY_V];
	static int32_t seen[TOY_CONTEXT + 1];
	struct sampler *sampler = sampler_open(TOY_V);
	struct sampling s = r->sampling;
	struct guard *guard = NULL;
	struct decoder d = { 0 };
	int n = 0, from = 0;
	uint64_t h = toy_start(&r->mix);

	s.seed += (uint64_t)sequence;
	*a = (struct answer){ .end = SEQUENCE_LENGTH };
	while (from < r->n_prompt) { /* pieces */
		int end = (from / BACKEND_PIECE + 1) * BACKEND_PIECE;
		for (int i = 0; i < r->n_heads; i++)
			if (r->head[i] > from && r->head[i] < end)
				end = r->head[i];
		if (from < r->n_prompt - 1 && end > r->n_prompt - 1)
			end = r->n_prompt - 1;
		if (end > r->n_prompt)
			end = r->n_prompt;
		for (int i = from; i < end; i++)
			h = toy_mix(h, (uint64_t)r->prompt[i] * 2 + (end - from == 1));
		if (end - from > 1)
			h = toy_mix(h, ~(uint64_t)0);
		from = end;
	}
	memcpy(seen, r->prompt, (size_t)r->n_prompt * sizeof(*seen));
	n = r->n_prompt;
	if (r->guard && !r->forced) {
		guard = guard_open(toy_tokenizer, r->guard, TOY_V, NULL);
		guard_prompt(guard, r->prompt, r->n_prompt);
	}
	for (;;) {
		uint64_t only[(TOY_V + 63) / 64] = { 0 };
		struct picked p;
		struct sampler_input in = { .sampling = &s,
			                    .position = (uint64_t)n,
			                    .answer = seen + r->n_prompt,
			                    .n_answer = a->n,
			                    .prompt = r->prompt,
			                    .n_prompt = r->n_prompt };
		toy_logits(h, seen, n, t->push, row);
		if (guard)
			in.mask = guard_mask(guard);
		if (r->forced) {
			only[r->forced[a->n] / 64] = (uint64_t)1 << (r->forced[a->n] % 64);
			in.mask = only;
		}
		if (sampler_pick(sampler, row, &in, &p) < 0) {
			a->end = SEQUENCE_ERROR;
			break;
		}
		if (!r->ignore_eos && p.id == END) {
			a->end = SEQUENCE_STOP;
			break;
		}
		if (guard)
			guard_accept(guard, p.id);
		assert_true(a->n < TOKENS_MAX);
		a->logprob[a->n] = p.logprob;
		a->id[a->n++] = seen[n++] = p.id;
		decoder_push(&d, toy_tokenizer, p.id, false, &a->text);
		bool full = (r->max_tokens && a->n >= r->max_tokens) ||
		            (r->forced && a->n >= r->n_forced) || n > t->context;
		if (full)
			decoder_finish(&d, &a->text);
		const char *stop = first_stop(&a->text, r);
		if (stop) {
			a->text.len = (size_t)(stop - a->text.data);
			a->end = SEQUENCE_STOP;
			d.n_held = 0;
			break;
		}
		if (full)
			break;
		h = toy_mix(h, (uint64_t)p.id * 2 + 1);
	}
	decoder_finish(&d, &a->text);
	guard_close(guard);
	sampler_close(sampler);
}

/* ---- what comes ---- */

enum { REQUESTS_MAX = 4096 };

struct got {
	struct answer a;
	int dones;
	struct sequence_figures f;
	char error[240];
	int cancel_at; /* after so many tokens; -1: never */
};

struct desk {
	struct toy *toy;
	struct scheduler *s;
	struct got *got[REQUESTS_MAX]; /* by request, [n] */
	const struct scheduler_request *asked[REQUESTS_MAX];
	int tokens;            /* calls */
	uint32_t cancel_other; /* cancelled whole when the next token of another comes */
	struct scheduler_request *add_when_done;
};

static void check_utf8(const char *text, size_t len)
{
	size_t i = 0;
	while (i < len) {
		unsigned char c = (unsigned char)text[i];
		int n = length_of(c);
		assert_true(n > 0 && i + (size_t)n <= len);
		for (int k = 1; k < n; k++)
			assert_true(may_follow((const unsigned char *)text + i, k,
			                       (unsigned char)text[i + (size_t)k]));
		i += (size_t)n;
	}
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     const char *text, size_t len)
{
	struct desk *d = ctx;
	struct got *g = &d->got[request][sequence];

	assert_int_equal(g->dones, 0);
	check_utf8(text, len);
	buf_add(&g->a.text, text, len);
	if (!p) {
		assert_int_equal(index, -1);
		assert_true(len > 0);
		return;
	}
	assert_int_equal(index, g->a.n);
	assert_true(g->a.n < TOKENS_MAX);
	g->a.logprob[g->a.n] = p->logprob;
	g->a.id[g->a.n++] = p->id;
	d->tokens++;
	if (d->cancel_other && d->cancel_other != request) {
		uint32_t other = d->cancel_other;
		d->cancel_other = 0;
		scheduler_cancel(d->s, other, -1);
	}
	if (g->cancel_at >= 0 && g->a.n >= g->cancel_at)
		scheduler_cancel(d->s, request, sequence);
}

static uint32_t ask(struct desk *d, const struct scheduler_request *r);

static void on_done(void *ctx, uint32_t request, int sequence, enum sequence_end end,
                    const int32_t *ids, int n, const struct sequence_figures *f, const char *error)
{
	struct desk *d = ctx;
	struct got *g = &d->got[request][sequence];
	g->dones++;
	g->a.end = end;
	g->f = *f;
	assert_int_equal(n, g->a.n);
	assert_int_equal(f->tokens, n);
	if (n)
		assert_memory_equal(ids, g->a.id, (size_t)n * sizeof(*ids));
	assert_true((error != NULL) == (end == SEQUENCE_ERROR));
	snprintf(g->error, sizeof(g->error), "%s", error ? error : "");
	if (d->add_when_done) {
		const struct scheduler_request *r = d->add_when_done;
		d->add_when_done = NULL;
		ask(d, r);
	}
}

static void desk_open(struct desk *d, struct toy *t, const struct scheduler_options *o)
{
	struct err e = { 0 };
	memset(d, 0, sizeof(*d));
	d->toy = t;
	struct scheduler_ops ops = { d, on_token, on_done };
	d->s = scheduler_open(&t->b, toy_tokenizer, o, &ops, &e);
	assert_non_null(d->s);
}

static uint32_t ask(struct desk *d, const struct scheduler_request *r)
{
	struct err e = { 0 };
	uint32_t id = 0;
	if (scheduler_add(d->s, r, &id, &e) < 0)
		fail_msg("%s", e.text);
	assert_in_range(id, 1, REQUESTS_MAX - 1);
	d->got[id] = calloc((size_t)r->n, sizeof(struct got));
	d->asked[id] = r;
	for (int i = 0; i < r->n; i++)
		d->got[id][i].cancel_at = -1;
	return id;
}

static int run(struct desk *d)
{
	struct err e = { 0 };
	int rc, steps = 0;
	while ((rc = scheduler_step(d->s, &e)) == 1)
		if (++steps > 200000)
			fail_msg("it goes on for ever");
	assert_int_equal(rc, 0);
	return steps;
}

/* Nothing is left open but what the cache keeps, and that closes as well. */
static void desk_close(struct desk *d)
{
	scheduler_forget(d->s);
	if (d->toy->lost_at < 0 && d->toy->lost_collect < 0)
		assert_int_equal(toy_open_slots(d->toy), 0);
	scheduler_close(d->s);
	assert_int_equal(guards_open, 0);
	for (int i = 0; i < REQUESTS_MAX; i++) {
		for (int k = 0; d->got[i] && k < d->asked[i]->n; k++)
			buf_release(&d->got[i][k].a.text);
		free(d->got[i]);
	}
}

/* @cancelled: the answer may be a beginning of what is expected. */
static void same(struct desk *d, uint32_t id, int sequence, bool cancelled)
{
	const struct got *g = &d->got[id][sequence];
	struct answer want;
	expect(d->toy, d->asked[id], sequence, &want);
	assert_int_equal(g->dones, 1);
	if (cancelled && g->a.end == SEQUENCE_CANCELLED) {
		assert_true(g->a.n <= want.n);
	} else {
		if (g->a.end == SEQUENCE_ERROR && want.end != SEQUENCE_ERROR)
			fail_msg("request %u, sequence %d: %s", id, sequence, g->error);
		assert_int_equal(g->a.n, want.n);
		assert_int_equal(g->a.end, want.end);
		assert_int_equal(g->a.text.len, want.text.len);
		if (want.text.len)
			assert_memory_equal(g->a.text.data, want.text.data, want.text.len);
	}
	for (int i = 0; i < g->a.n; i++)
		if (g->a.id[i] != want.id[i] || g->a.logprob[i] != want.logprob[i])
			fail_msg("request %u, sequence %d: token %d is %d (%g), wanted %d (%g)", id,
			         sequence, i, g->a.id[i], (double)g->a.logprob[i], want.id[i],
			         (double)want.logprob[i]);
	buf_release(&want.text);
}

static void all_same(struct desk *d)
{
	for (uint32_t id = 1; id < REQUESTS_MAX; id++)
		for (int k = 0; d->got[id] && k < d->asked[id]->n; k++)
			same(d, id, k, d->got[id][k].cancel_at >= 0);
}

static int32_t *prompt_of(int n, uint64_t seed)
{
	int32_t *id = calloc((size_t)n, sizeof(*id));
	for (int i = 0; i < n; i++)
		id[i] = (int32_t)(toy_mix(seed, (uint64_t)i / 3 % 97) % 256); /* repeats itself */
	return id;
}

static struct scheduler_request request_of(const int32_t *prompt, int n_prompt)
{
	struct scheduler_request r = {
		.prompt = prompt, .n_prompt = n_prompt, .n = 1, .max_tokens = 40
	};
	sampling_default(&r.sampling);
	return r;
}

/* ---- the same tokens ---- */

static void a_sequence_alone_is_what_the_model_says(void **state)
{
	static const int lengths[] = { 1, 2, 3, 511, 512, 513, 514, 1024, 1025, 1300 };
	(void)state;
	for (int depth = 1; depth <= 2; depth++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			struct toy *t = toy_new(depth);
			struct desk d;
			int32_t *prompt = prompt_of(lengths[i], i);
			struct scheduler_request r = request_of(prompt, lengths[i]);
			int heads[] = { 1, 100, lengths[i] };
			desk_open(&d, t, NULL);
			r.sampling.temperature = i % 2 ? 0.8f : 0;
			r.sampling.top_p = 0.9f;
			r.sampling.seed = i;
			ask(&d, &r);
			run(&d);
			all_same(&d);
			if (lengths[i] > 100) {
				r.head = heads;
				r.n_heads = 3;
				ask(&d, &r);
				run(&d);
				same(&d, 2, 0, false);
			}
			desk_close(&d);
			toy_free(t);
			free(prompt);
		}
}

static void neighbours_change_nothing(void **state)
{
	(void)state;
	for (int depth = 1; depth <= 2; depth++) {
		struct toy *t = toy_new(depth);
		struct desk d;
		struct scheduler_request r[40];
		int32_t *prompt[40];
		desk_open(&d, t, NULL);
		for (int i = 0; i < 40; i++) {
			int n = 3 + i * 37 % 700;
			prompt[i] = prompt_of(n, (uint64_t)i / 2);
			r[i] = request_of(prompt[i], n);
			r[i].n = i == 7 ? 64 : 1 + i % 5;
			r[i].max_tokens = 1 + i * 7 % 60;
			r[i].sampling.temperature = i % 3 ? 0.2f * (float)(i % 7) : 0;
			r[i].sampling.top_k = i % 4 ? 0 : 15;
			r[i].sampling.presence = i % 5 ? 0 : 0.5f;
			r[i].sampling.repetition = i % 6 ? 1 : 1.1f;
			r[i].speculate = i % 2;
			r[i].guard = i % 4 == 3 ? toy_names : NULL;
			ask(&d, &r[i]);
		}
		run(&d);
		all_same(&d);
		assert_true(t->widest >= 60);
		desk_close(&d);
		toy_free(t);
		for (int i = 0; i < 40; i++)
			free(prompt[i]);
	}
}

static void a_group_shares_its_prefill_and_draws_with_its_own_seeds(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t *prompt = prompt_of(1100, 1);
	struct scheduler_request r = request_of(prompt, 1100);
	(void)state;
	r.n = 64;
	r.sampling.temperature = 1;
	desk_open(&d, t, NULL);
	ask(&d, &r);
	run(&d);
	all_same(&d);
	assert_int_equal(t->prefills, 3); /* 512, 512, 75; the last token by itself */
	assert_int_equal(d.got[1][0].f.cached_tokens, 0);
	assert_int_equal(d.got[1][5].f.cached_tokens, 1100);
	int differ = 0;
	for (int k = 1; k < 64; k++)
		differ += d.got[1][k].a.id[0] != d.got[1][0].a.id[0];
	assert_true(differ > 10);
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

static void speculation_changes_no_token_and_saves_steps(void **state)
{
	(void)state;
	for (int sampled = 0; sampled < 2; sampled++)
		for (int guarded = 0; guarded < 2; guarded++) {
			int steps[2];
			for (int speculate = 0; speculate < 2; speculate++) {
				struct toy *t = toy_new(1 + guarded);
				struct desk d;
				int32_t *prompt = prompt_of(300, 8);
				struct scheduler_request r = request_of(prompt, 300);
				t->push = 90;
				r.max_tokens = 200;
				r.ignore_eos = true;
				r.sampling.temperature = (float)sampled * 0.5f;
				r.sampling.seed = 4;
				r.guard = guarded ? toy_names : NULL;
				r.draft = prompt + 20;
				r.n_draft = 150;
				r.speculate = speculate;
				desk_open(&d, t, NULL);
				ask(&d, &r);
				run(&d);
				all_same(&d);
				steps[speculate] = t->steps;
				const struct sequence_figures *f = &d.got[1][0].f;
				assert_true(speculate ? f->accepted > 20 : f->drafted == 0);
				assert_true(f->accepted <= f->drafted);
				desk_close(&d);
				toy_free(t);
				free(prompt);
			}
			assert_true(steps[1] < steps[0] - 15);
		}
}

static void penalties_count_the_draft_before_them(void **state)
{
	(void)state;
	for (int kind = 0; kind < 6; kind++) { /* from 3 on: nothing is queued ahead of it */
		struct toy *t = toy_new(1 + kind / 3);
		struct desk d;
		int32_t prompt[60];
		for (int i = 0; i < 60; i++)
			prompt[i] = 40 + i % 2;
		struct scheduler_request r = request_of(prompt, 60);
		t->push = 90; /* on and on, until the penalty is larger */
		r.sampling.frequency = kind % 3 == 0 ? 1.3f : 0;
		r.sampling.presence = kind % 3 == 1 ? 8 : 0;
		r.sampling.repetition = kind % 3 == 2 ? 1.6f : 1;
		r.speculate = kind < 3;
		desk_open(&d, t, NULL);
		ask(&d, &r);
		run(&d);
		all_same(&d);
		assert_true(kind >= 3 || d.got[1][0].f.drafted > 2);
		desk_close(&d);
		toy_free(t);
	}
}

static void steps_are_queued_ahead_where_the_backend_allows(void **state)
{
	struct toy *t = toy_new(2);
	struct desk d;
	int32_t *prompt = prompt_of(30, 8);
	struct scheduler_request r = request_of(prompt, 30);
	struct err e = { 0 };
	int ahead = 0;
	(void)state;
	r.n = 4;
	r.sampling.temperature = 1;
	desk_open(&d, t, NULL);
	ask(&d, &r);
	while (scheduler_step(d.s, &e) == 1)
		ahead += t->queued == 1; /* one is left when the other was collected */
	all_same(&d);
	assert_true(ahead > 30);
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

/* ---- kept prefixes ---- */

static void a_found_prefix_changes_no_token(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t *a = prompt_of(900, 1), *b = prompt_of(900, 1);
	int heads[] = { 300, 600 }, fewer[] = { 600 };
	(void)state;
	for (int i = 650; i < 900; i++)
		b[i] = (a[i] + 1) % 256;
	struct scheduler_request first = request_of(a, 900), second = request_of(b, 900), third,
				 fourth, fifth;
	first.head = second.head = heads;
	first.n_heads = second.n_heads = 2;
	third = first; /* cut elsewhere: not the same bits, so not the same entry */
	third.head = fewer;
	third.n_heads = 1;
	fourth = first; /* another adapter */
	fourth.mix.n = 1;
	fourth.mix.part[0].adapter = 3;
	fourth.mix_key = (const unsigned char *)"an adapter's hash of 32 bytes ...";
	fifth = fourth; /* an adapter that nobody can tell from others */
	fifth.mix_key = NULL;
	desk_open(&d, t, NULL);
	ask(&d, &first);
	run(&d);
	ask(&d, &second);
	run(&d);
	ask(&d, &third);
	run(&d);
	ask(&d, &fourth);
	ask(&d, &fifth);
	ask(&d, &fifth);
	run(&d);
	ask(&d, &fourth);
	run(&d);
	all_same(&d);
	assert_int_equal(d.got[1][0].f.cached_tokens, 0);
	assert_int_equal(d.got[2][0].f.cached_tokens, 600);
	assert_int_equal(d.got[3][0].f.cached_tokens, 0);
	assert_int_equal(d.got[4][0].f.cached_tokens, 0);
	assert_int_equal(d.got[5][0].f.cached_tokens, 0);
	assert_int_equal(d.got[6][0].f.cached_tokens, 0);
	assert_int_equal(d.got[7][0].f.cached_tokens, 899);
	scheduler_forget(d.s);
	ask(&d, &first);
	run(&d);
	same(&d, 8, 0, false);
	assert_int_equal(d.got[8][0].f.cached_tokens, 0);
	desk_close(&d);
	toy_free(t);
	free(a);
	free(b);
}

static void a_warm_prompt_takes_one_step_to_its_first_token(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	struct err e = { 0 };
	int32_t *prompt = prompt_of(1200, 1);
	struct scheduler_request r = request_of(prompt, 1200);
	(void)state;
	desk_open(&d, t, NULL);
	ask(&d, &r);
	run(&d);
	ask(&d, &r);
	int before = t->steps;
	while (d.got[2][0].a.n == 0)
		assert_int_equal(scheduler_step(d.s, &e), 1);
	assert_int_equal(t->steps - before, 1);
	run(&d);
	all_same(&d);
	assert_int_equal(d.got[2][0].f.cached_tokens, 1199);
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

static void the_least_recently_used_prefix_goes_first(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	struct scheduler_options o = { .snapshots = 3 };
	int32_t *prompt[4];
	struct scheduler_request r[4];
	(void)state;
	desk_open(&d, t, &o);
	for (int i = 0; i < 4; i++) {
		prompt[i] = prompt_of(50, (uint64_t)i);
		r[i] = request_of(prompt[i], 50);
	}
	static const int order[] = { 0, 1, 2, 0, 3, 0, 1 };
	static const int cached[] = { 0, 0, 0, 49, 0, 49, 0 };
	for (int i = 0; i < 7; i++) {
		uint32_t id = ask(&d, &r[order[i]]);
		run(&d);
		assert_int_equal(d.got[id][0].f.cached_tokens, cached[i]);
		assert_int_equal(toy_open_slots(t), i < 2 ? i + 1 : 3);
	}
	all_same(&d);
	desk_close(&d);
	for (int i = 0; i < 4; i++)
		free(prompt[i]);
	toy_free(t);
}

/* ---- ends ---- */

static void cancelling_anybody_at_any_token_leaves_the_others_alone(void **state)
{
	(void)state;
	for (int at = 0; at < 24; at++) {
		struct toy *t = toy_new(1 + at % 2);
		struct desk d;
		int32_t *prompt = prompt_of(600, 1);
		struct scheduler_request r = request_of(prompt, 600),
					 other = request_of(prompt, 90);
		struct err e = { 0 };
		r.n = 6;
		r.sampling.temperature = 0.7f;
		r.speculate = at % 3 == 0;
		r.max_tokens = 20;
		desk_open(&d, t, NULL);
		ask(&d, &r);
		ask(&d, &other);
		ask(&d, &r);
		if (at % 4 == 1)
			d.cancel_other = 3; /* whole, from a callback, perhaps before it began */
		d.got[1][2].cancel_at = 1 + at;
		d.got[1][5].cancel_at = 1 + at / 2;
		d.got[1][0].cancel_at = at == 3 ? 1 : -1;
		for (int k = 0; k < 6 && at % 4 == 1; k++)
			d.got[3][k].cancel_at = 1000;
		for (int i = 0; i < at; i++) /* and from outside, between steps */
			scheduler_step(d.s, &e);
		if (d.got[1][4].dones == 0)
			d.got[1][4].cancel_at = 1000;
		scheduler_cancel(d.s, 1, 4);
		scheduler_cancel(d.s, 1, 4);
		scheduler_cancel(d.s, 77, 0);
		scheduler_cancel(d.s, 1, 99);
		run(&d);
		all_same(&d);
		if (at % 4 == 1)
			assert_int_equal(d.got[3][5].a.end, SEQUENCE_CANCELLED);
		desk_close(&d);
		toy_free(t);
		free(prompt);
	}
}

static void stop_texts_are_found_over_the_borders_of_tokens(void **state)
{
	static const char *const stops[] = { "", "STOP", "日", "ND\nEND",
		                             "\xef\xbf\xbd"
		                             "ab" };
	/* each: forced ids, and the text that is to come out of them */
	static const struct {
		int32_t id[8];
		int n;
		const char *text;
		enum sequence_end end;
	} cases[] = {
		{ { 'a', 258, 259, 'x' }, 4, "a", SEQUENCE_STOP }, /* ST OP */
		{ { 'a', 'S', 'T', 'O', 'P', 'x' }, 6, "a", SEQUENCE_STOP },
		{ { 260, 'x' }, 2, "a ", SEQUENCE_STOP }, /* a STOP */
		{ { 'S', 'T', 'O', 'x' }, 4, "STOx", SEQUENCE_LENGTH },
		{ { 'S', 'S', 'T', 'S', 'T', 'O', 'P' }, 7, "SST", SEQUENCE_STOP },
		{ { 258, 269, 'x' }, 3, "", SEQUENCE_STOP }, /* and half a character after */
		{ { 258, 'O' }, 2, "STO", SEQUENCE_LENGTH }, /* held, let go */
		{ { 258, 'O', END }, 3, "STO", SEQUENCE_STOP },
		{ { 258, SILENT, 259, 'x' }, 4, "ST<|e>OPx", SEQUENCE_LENGTH },
		{ { 'x', 264, 265, 'y' }, 4, "x", SEQUENCE_STOP }, /* e6 97 | a5 */
		{ { 'x', 0xe6, 0x97, 0xa5, 'y' }, 5, "x", SEQUENCE_STOP },
		{ { 'x', 264, 'y' }, 3, "x\xef\xbf\xbdy", SEQUENCE_LENGTH },
		{ { 'x', 264 }, 2, "x\xef\xbf\xbd", SEQUENCE_LENGTH },
		{ { 'x', 264, END }, 3, "x\xef\xbf\xbd", SEQUENCE_STOP },
		{ { 'x', 264, 'a', 'b', 'c' }, 5, "x", SEQUENCE_STOP },
		{ { 267, 268, 'x' }, 3, "E", SEQUENCE_STOP }, /* END\n ENDE */
		{ { 262, 262, 0xc3, 0xa9 }, 4, "ééé", SEQUENCE_LENGTH },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int speculate = 0; speculate < 2; speculate++) {
			struct toy *t = toy_new(1);
			struct desk d;
			int32_t prompt[] = { 1, 2, 3 };
			struct scheduler_request r = request_of(prompt, 3);
			desk_open(&d, t, NULL);
			r.stop = stops;
			r.n_stop = 5;
			r.forced = cases[i].id;
			r.n_forced = cases[i].n;
			r.draft = cases[i].id;
			r.n_draft = cases[i].n;
			r.speculate = speculate;
			ask(&d, &r);
			run(&d);
			all_same(&d);
			struct got *g = &d.got[1][0];
			assert_int_equal(g->a.end, cases[i].end);
			assert_string_equal(buf_str(&g->a.text), cases[i].text);
			desk_close(&d);
			toy_free(t);
		}
}

static void held_text_comes_out_when_it_is_cancelled(void **state)
{
	static const char *const stops[] = { "STOP" };
	static const int32_t forced[] = { 'a', 258, 'O', 'x', 'y' };
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t prompt[] = { 1, 2, 3 };
	struct scheduler_request r = request_of(prompt, 3);
	(void)state;
	desk_open(&d, t, NULL);
	r.stop = stops;
	r.n_stop = 1;
	r.forced = forced;
	r.n_forced = 5;
	ask(&d, &r);
	d.got[1][0].cancel_at = 3;
	run(&d);
	assert_int_equal(d.got[1][0].a.end, SEQUENCE_CANCELLED);
	assert_string_equal(buf_str(&d.got[1][0].a.text), "aSTO");
	desk_close(&d);
	toy_free(t);
}

static void budgets_end_answers(void **state)
{
	struct toy *t = toy_new(2);
	struct desk d;
	int32_t *prompt = prompt_of(1000, 3);
	struct scheduler_request r = request_of(prompt, 1000), room, timed;
	int eos[] = { 77 };
	struct scheduler_options o = { .eos = eos, .n_eos = 1 };
	(void)state;
	t->context = 1020;
	desk_open(&d, t, &o);
	r.ignore_eos = true;
	r.max_tokens = 1;
	ask(&d, &r);
	room = r;
	room.max_tokens = 0; /* to the end of the context: one more is picked than fits in */
	room.speculate = true;
	ask(&d, &room);
	room.speculate = false;
	ask(&d, &room);
	run(&d);
	all_same(&d);
	assert_int_equal(d.got[1][0].a.n, 1);
	assert_int_equal(d.got[2][0].a.n, 21);
	assert_int_equal(d.got[3][0].a.n, 21);
	assert_int_equal(d.got[3][0].a.end, SEQUENCE_LENGTH);
	/* seconds: the toy takes 1 ms a step */
	timed = r;
	timed.max_tokens = 15;
	timed.seconds = 0.0095;
	ask(&d, &timed);
	run(&d);
	assert_in_range(d.got[4][0].a.n, 8, 10);
	assert_int_equal(d.got[4][0].a.end, SEQUENCE_LENGTH);
	assert_true(d.got[4][0].f.decode_s > 0.002 && d.got[4][0].f.decode_s < 0.011);
	/* ids that end an answer: the tokenizer's and those that were given */
	static const int32_t forced[] = { 5, 6, END, 7, 77, 8 };
	struct scheduler_request stops = request_of(prompt, 10);
	stops.forced = forced;
	stops.n_forced = 6;
	ask(&d, &stops);
	run(&d);
	assert_int_equal(d.got[5][0].a.n, 2);
	assert_int_equal(d.got[5][0].a.end, SEQUENCE_STOP);
	struct scheduler_request second = stops;
	second.forced = forced + 3;
	second.n_forced = 3;
	ask(&d, &second);
	second.ignore_eos = false;
	run(&d);
	assert_int_equal(d.got[6][0].a.n, 1);
	struct scheduler_request all = stops;
	all.ignore_eos = true;
	ask(&d, &all);
	run(&d);
	assert_int_equal(d.got[7][0].a.n, 6);
	assert_int_equal(d.got[7][0].a.end, SEQUENCE_LENGTH);
	same(&d, 7, 0, false);
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

static void forced_tokens_have_the_models_own_probabilities(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t *prompt = prompt_of(40, 3), *forced = prompt_of(300, 9), *draft = prompt_of(300, 9);
	struct scheduler_request r = request_of(prompt, 40), fast;
	(void)state;
	draft[50] = 1; /* three faults */
	draft[120] = 2;
	memmove(draft + 200, draft + 202, 98 * sizeof(*draft));
	for (int i = 0; i < 300; i++)
		forced[i] = forced[i] == END ? 1 : forced[i];
	r.forced = forced;
	r.n_forced = 300;
	r.max_tokens = 0;
	r.sampling.top = 5;
	fast = r;
	fast.draft = draft;
	fast.n_draft = 298;
	fast.speculate = true;
	desk_open(&d, t, NULL);
	ask(&d, &r);
	run(&d);
	int plain = t->steps;
	ask(&d, &fast);
	run(&d);
	all_same(&d);
	assert_int_equal(d.got[1][0].a.n, 300);
	assert_int_equal(d.got[2][0].a.n, 300);
	assert_memory_equal(d.got[2][0].a.id, forced, 300 * sizeof(*forced));
	assert_true(t->steps - plain < plain / 4);
	assert_true(d.got[2][0].f.accepted > 230);
	/* the faults are drafted and refused: what is forced is not peeked at */
	assert_true(d.got[2][0].f.drafted > d.got[2][0].f.accepted + 5);
	desk_close(&d);
	toy_free(t);
	free(prompt);
	free(forced);
	free(draft);
}

/* ---- those who stream do not stall ---- */

static void every_step_gives_a_token_to_those_who_decode_while_a_prompt_is_read(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	struct err e = { 0 };
	int32_t *prompt = prompt_of(2000, 3);
	struct scheduler_request r = request_of(prompt, 10), longer = request_of(prompt, 2000);
	(void)state;
	desk_open(&d, t, NULL);
	r.ignore_eos = true;
	r.n = 3;
	ask(&d, &r);
	while (d.got[1][2].a.n < 3)
		scheduler_step(d.s, &e);
	ask(&d, &longer);
	int steps = 0, before = d.got[1][0].a.n;
	while (d.got[2][0].a.n == 0) {
		int prefills = t->prefills, tokens = d.tokens;
		scheduler_step(d.s, &e);
		steps++;
		assert_true(t->prefills - prefills <= 1);
		assert_true(d.tokens - tokens >= 3);
	}
	assert_int_equal(steps, 5); /* four pieces and the last token */
	assert_int_equal(d.got[1][0].a.n - before, 5);
	run(&d);
	all_same(&d);
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

static void requests_are_served_as_they_came(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	struct scheduler_options o = { .batch = 2 };
	int32_t *prompt = prompt_of(600, 3);
	struct scheduler_request r[6];
	(void)state;
	desk_open(&d, t, &o);
	for (int i = 0; i < 6; i++) {
		r[i] = request_of(prompt, 600 - i);
		ask(&d, &r[i]);
	}
	run(&d);
	all_same(&d);
	assert_true(t->widest <= 2);
	for (int i = 2; i <= 6; i++)
		assert_true(d.got[i][0].f.wait_s >= d.got[i - 1][0].f.wait_s);
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

static void sequences_that_wait_and_are_cancelled_hold_nobody_up(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	struct err e = { 0 };
	struct scheduler_options o = { .batch = 2 };
	int32_t *prompt = prompt_of(60, 3);
	struct scheduler_request r = request_of(prompt, 60), next = request_of(prompt, 30);
	(void)state;
	r.n = 4;
	r.ignore_eos = true;
	r.max_tokens = 100;
	desk_open(&d, t, &o);
	ask(&d, &r);
	ask(&d, &next);
	while (d.got[1][0].a.n < 5)
		assert_int_equal(scheduler_step(d.s, &e), 1);
	for (int k = 1; k < 4; k++) {
		d.got[1][k].cancel_at = 1000;
		scheduler_cancel(d.s, 1, k);
	}
	for (int i = 0; i < 5; i++)
		scheduler_step(d.s, &e);
	assert_true(d.got[2][0].a.n > 0);
	run(&d);
	all_same(&d);
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

/* ---- what does not fit ---- */

static void few_slots_and_little_memory_only_take_longer(void **state)
{
	static const int slots[] = { 1, 2, 3, 5, 100 };
	static const int kv[] = { 260, 400, 700, 1 << 20 };
	(void)state;
	for (int s = 0; s < 5; s++)
		for (int k = 0; k < 4; k++) {
			struct toy *t = toy_new(1 + (s + k) % 2);
			struct desk d;
			int32_t *prompt[5];
			struct scheduler_request r[5];
			int head[] = { 30 };
			t->slots = slots[s];
			t->kv = kv[k];
			desk_open(&d, t, NULL);
			for (int i = 0; i < 5; i++) {
				int n = 40 + 40 * i;
				prompt[i] = prompt_of(n, (uint64_t)(i == 3));
				r[i] = request_of(prompt[i], n);
				r[i].n = 1 + i * 3 % 5;
				r[i].head = head;
				r[i].n_heads = 1;
				r[i].sampling.temperature = 1;
				r[i].speculate = i % 2;
				r[i].max_tokens = 50;
				ask(&d, &r[i]);
			}
			run(&d);
			all_same(&d);
			assert_true(t->open_most <= slots[s]);
			assert_true(k > 1 || s < 3 || t->refused > 0);
			desk_close(&d);
			toy_free(t);
			for (int i = 0; i < 5; i++)
				free(prompt[i]);
		}
}

static void what_does_not_fit_alone_ends_in_words(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t *prompt = prompt_of(600, 3);
	struct scheduler_request r = request_of(prompt, 600), small = request_of(prompt, 20), grows;
	(void)state;
	t->kv = 100;
	desk_open(&d, t, NULL);
	grows = small;
	grows.max_tokens = 200;
	grows.ignore_eos = true;
	ask(&d, &small);
	ask(&d, &r);
	ask(&d, &small);
	ask(&d, &grows);
	run(&d);
	same(&d, 1, 0, false);
	same(&d, 3, 0, false);
	assert_int_equal(d.got[2][0].a.end, SEQUENCE_ERROR);
	assert_contains(d.got[2][0].error, "do not fit");
	assert_int_equal(d.got[4][0].a.end, SEQUENCE_ERROR);
	assert_int_equal(d.got[4][0].a.n, 81); /* 20 and 80 are in the slot */
	desk_close(&d);
	t->slots = 0;
	desk_open(&d, t, NULL);
	ask(&d, &small);
	run(&d);
	assert_int_equal(d.got[1][0].a.end, SEQUENCE_ERROR);
	assert_contains(d.got[1][0].error, "slots are taken");
	desk_close(&d);
	toy_free(t);
	free(prompt);
}

/* ---- faults ---- */

static void one_sequence_of_bad_numbers_ends_and_the_others_go_on(void **state)
{
	static const int32_t forced[] = { 5, 6, TOY_POISON, 7, 8 };
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t *prompt = prompt_of(20, 3), *bad = prompt_of(20, 3);
	struct scheduler_request r = request_of(prompt, 20), poisoned = request_of(bad, 20),
				 later = r;
	(void)state;
	bad[7] = TOY_POISON;
	later.forced = forced;
	later.n_forced = 5;
	poisoned.n = 3;
	desk_open(&d, t, NULL);
	ask(&d, &r);
	ask(&d, &poisoned);
	ask(&d, &later);
	run(&d);
	all_same(&d);
	assert_int_equal(d.got[2][2].a.end, SEQUENCE_ERROR);
	assert_contains(d.got[2][2].error, "not finite");
	assert_int_equal(d.got[3][0].a.end, SEQUENCE_ERROR);
	assert_int_equal(d.got[3][0].a.n, 3);
	desk_close(&d);
	toy_free(t);
	free(prompt);
	free(bad);
}

static void a_step_that_is_refused_ends_whoever_is_at_fault(void **state)
{
	(void)state;
	for (int depth = 1; depth <= 2; depth++) {
		struct toy *t = toy_new(depth);
		struct desk d;
		struct err e = { 0 };
		int32_t *prompt = prompt_of(700, 3);
		struct scheduler_request r = request_of(prompt, 20), bad = request_of(prompt, 700);
		r.n = 5;
		bad.mix.n = 1;
		bad.mix.part[0].adapter = TOY_BAD_ADAPTER;
		desk_open(&d, t, NULL);
		ask(&d, &r);
		ask(&d, &bad);
		for (int i = 0; i < 4; i++)
			scheduler_step(d.s, &e);
		ask(&d, &r);
		ask(&d, &bad);
		run(&d);
		same(&d, 1, 4, false);
		same(&d, 3, 0, false);
		for (int i = 2; i <= 4; i += 2) {
			assert_int_equal(d.got[i][0].a.end, SEQUENCE_ERROR);
			assert_contains(d.got[i][0].error, "no such adapter");
		}
		desk_close(&d);
		toy_free(t);
		free(prompt);
	}
}

static void when_the_device_is_lost_all_end_and_nobody_is_taken_in(void **state)
{
	(void)state;
	for (int at = 0; at < 24; at++) {
		struct toy *t = toy_new(1 + at % 2);
		struct desk d;
		struct err e = { 0 };
		uint32_t id = 0;
		int rc;
		int32_t *prompt = prompt_of(700, 3);
		struct scheduler_request r = request_of(prompt, 700), more = request_of(prompt, 5);
		if (at % 4 < 2)
			t->lost_at = at / 2;
		else
			t->lost_collect = at / 2;
		r.n = 4;
		r.ignore_eos = more.ignore_eos = true;
		r.speculate = at % 3 == 0;
		desk_open(&d, t, NULL);
		ask(&d, &r);
		ask(&d, &more);
		while ((rc = scheduler_step(d.s, &e)) == 1)
			;
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_LOST);
		assert_contains(e.text, "fell off the bus");
		for (int k = 0; k < 4; k++) {
			assert_int_equal(d.got[1][k].dones, 1);
			assert_int_equal(d.got[1][k].a.end, SEQUENCE_ERROR);
			assert_contains(d.got[1][k].error, "fell off the bus");
		}
		assert_int_equal(d.got[2][0].dones, 1);
		assert_int_equal(scheduler_add(d.s, &r, &id, &e), -1);
		assert_int_equal(e.kind, ERR_LOST);
		assert_int_equal(scheduler_step(d.s, &e), -1);
		desk_close(&d);
		toy_free(t);
		free(prompt);
	}
}

static void what_cannot_be_is_refused_with_words(void **state)
{
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t prompt[] = { 1, 2, 3, 4 }, wrong[] = { 1, TOY_V, 3 }, minus[] = { 1, -1, 2 };
	int falling[] = { 3, 2 }, outside[] = { 5 }, zero[] = { 0 };
	char *long_stop = calloc(1, SCHEDULER_STOP_BYTES + 2);
	const char *stops[] = { long_stop };
	(void)state;
	memset(long_stop, 'x', SCHEDULER_STOP_BYTES + 1);
	desk_open(&d, t, NULL);
#define REFUSED(change, words)                                                                     \
	do {                                                                                       \
		struct scheduler_request r = request_of(prompt, 4);                                \
		struct err e = { 0 };                                                              \
		uint32_t id = 7;                                                                   \
		change;                                                                            \
		assert_int_equal(scheduler_add(d.s, &r, &id, &e), -1);                             \
		assert_int_equal(e.kind, ERR_USAGE);                                               \
		assert_contains(e.text, words);                                                    \
		assert_int_equal(id, 7);                                                           \
	} while (0)
	REFUSED(r.n = 0, "answers: 1 to 64 wanted, got 0");
	REFUSED(r.n = 65, "got 65");
	REFUSED(r.n_prompt = 0, "prompt: it is empty");
	REFUSED(r.n_prompt = TOY_CONTEXT + 1, "do not fit into a context of 2048");
	REFUSED(r.prompt = wrong, "token 1 is 300, the model has ids from 0 to 299");
	REFUSED(r.prompt = minus, "token 1 is -1");
	REFUSED((r.draft = wrong, r.n_draft = 3), "draft: token 1");
	REFUSED((r.forced = minus, r.n_forced = 3), "forced answer: token 1");
	REFUSED(r.forced = prompt, "forced answer: it is empty");
	REFUSED((r.head = falling, r.n_heads = 2), "number 1 is 2");
	REFUSED((r.head = outside, r.n_heads = 1), "number 0 is 5");
	REFUSED((r.head = zero, r.n_heads = 1), "number 0 is 0");
	REFUSED(r.n_heads = SCHEDULER_HEADS + 1, "heads");
	REFUSED(r.max_tokens = -1, "budget");
	REFUSED(r.seconds = NAN, "budget");
	REFUSED((r.stop = stops, r.n_stop = 1), "stop text 0");
	REFUSED(r.n_stop = SCHEDULER_STOPS + 1, "stop texts");
	REFUSED(r.sampling.temperature = -1, "temperature");
	REFUSED(r.sampling.temperature = NAN, "temperature");
	REFUSED(r.sampling.top_p = 0, "top_p");
	REFUSED(r.sampling.top_p = 1.5f, "top_p");
	REFUSED(r.sampling.top_k = -3, "top_k");
	REFUSED(r.sampling.min_p = 1, "min_p");
	REFUSED(r.sampling.presence = INFINITY, "presence");
	REFUSED(r.sampling.repetition = 0, "repetition");
	REFUSED(r.sampling.top = 21, "alternatives");
	assert_int_equal(run(&d), 0);
	struct scheduler *without = d.s;
	struct scheduler_ops ops = { &d, on_token, on_done };
	d.s = scheduler_open(&t->b, NULL, NULL, &ops, NULL);
	stops[0] = "x";
	REFUSED((r.stop = stops, r.n_stop = 1), "need a tokenizer");
	REFUSED(r.guard = toy_names, "need a tokenizer");
	struct scheduler_request silent = request_of(prompt, 4); /* all else goes, without text */
	silent.ignore_eos = true;
	ask(&d, &silent);
	run(&d);
	assert_int_equal(d.got[1][0].a.n, 40);
	assert_int_equal(d.got[1][0].a.text.len, 0);
	scheduler_close(d.s);
	d.s = without;
	desk_close(&d);
	toy_free(t);
	free(long_stop);
}

static void callbacks_may_add_and_closing_in_the_middle_is_clean(void **state)
{
	struct toy *t = toy_new(2);
	struct desk d;
	struct err e = { 0 };
	int32_t *prompt = prompt_of(700, 3);
	struct scheduler_request r = request_of(prompt, 700);
	(void)state;
	desk_open(&d, t, NULL);
	r.max_tokens = 5;
	d.add_when_done = &r;
	ask(&d, &r);
	run(&d);
	all_same(&d);
	assert_int_equal(d.got[2][0].dones, 1);
	r.max_tokens = 40;
	r.n = 7;
	ask(&d, &r);
	for (int i = 0; i < 6; i++)
		assert_int_equal(scheduler_step(d.s, &e), 1);
	scheduler_close(d.s);
	assert_int_equal(toy_open_slots(t), 0);
	assert_int_equal(d.got[3][0].dones, 0); /* without calling back */
	for (int i = 1; i <= 3; i++) {
		for (int k = 0; k < (i == 3 ? 7 : 1); k++)
			buf_release(&d.got[i][k].a.text);
		free(d.got[i]);
	}
	toy_free(t);
	free(prompt);
}

/* ---- when to draft ---- */

/* Seconds of the toy's clock that an answer takes. */
static double seconds_of(double base_s, double column_s, bool speculate, int push, bool copies)
{
	struct toy *t = toy_new(1);
	struct desk d;
	int32_t *prompt = prompt_of(300, 8), *forced = prompt_of(500, 8 + 3 * !copies);
	struct scheduler_request r = request_of(prompt, 300);
	for (int i = 0; i < 500 && !copies; i++)
		forced[i] = (int32_t)(toy_mix(11, (uint64_t)i) % 8); /* looks alike, is not */
	for (int i = 0; i < 500 && copies; i += 40)
		forced[i] = i % 256;
	t->base_s = base_s;
	t->column_s = column_s;
	t->push = push;
	r.forced = forced;
	r.n_forced = 500;
	r.max_tokens = 0;
	r.speculate = speculate;
	r.ignore_eos = true;
	desk_open(&d, t, NULL);
	ask(&d, &r);
	run(&d);
	all_same(&d);
	double s = d.got[1][0].f.decode_s;
	desk_close(&d);
	toy_free(t);
	free(prompt);
	free(forced);
	return s;
}

static void drafting_is_fast_where_columns_are_cheap_and_never_slow(void **state)
{
	(void)state;
	/* weights stream from memory: a column is 2 % of a step */
	double plain = seconds_of(1e-3, 2e-5, false, 60, true);
	double fast = seconds_of(1e-3, 2e-5, true, 60, true);
	if (!(fast * 4 < plain))
		fail_msg("%g s with, %g s without", fast, plain);
	/* a column is a third of a step */
	plain = seconds_of(1e-3, 5e-4, false, 60, true);
	fast = seconds_of(1e-3, 5e-4, true, 60, true);
	if (!(fast * 1.5 < plain))
		fail_msg("%g s with, %g s without", fast, plain);
	/* all of the cost is columns: drafting cannot win, and must not lose much */
	plain = seconds_of(1e-6, 1e-3, false, 60, true);
	fast = seconds_of(1e-6, 1e-3, true, 60, true);
	if (!(fast < 1.06 * plain))
		fail_msg("%g s with, %g s without", fast, plain);
	/* what is drafted does not come */
	for (int i = 0; i < 3; i++) {
		double column = i == 0 ? 2e-5 : i == 1 ? 2e-4 : 1e-3;
		plain = seconds_of(1e-3, column, false, 60, false);
		fast = seconds_of(1e-3, column, true, 60, false);
		if (!(fast < 1.06 * plain))
			fail_msg("%g s with, %g s without, a column %g", fast, plain, column);
	}
}

static void a_draft_goes_on_after_the_longest_match_and_over_a_fault(void **state)
{
	struct lookup l;
	struct lookup_draft d;
	const int32_t text[] = { 1, 2, 3, 4, 5, 6, 7, 8, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16, 17 };
	(void)state;
	assert_int_equal(lookup_init(&l), 0);
	assert_int_equal(lookup_add_text(&l, text, 19), 0);
	assert_int_equal(lookup_add_prompt(&l, (const int32_t[]){ 50, 51 }, 2), 0);
	lookup_find(&l, 8, &d);
	assert_int_equal(d.n, 0);
	lookup_add_token(&l, 2);
	lookup_add_token(&l, 3);
	lookup_find(&l, 3, &d);
	assert_int_equal(d.n, 3);
	/* 8, 2, 3 was the longer one */
	lookup_add_token(&l, 8);
	lookup_add_token(&l, 2);
	lookup_add_token(&l, 3);
	lookup_find(&l, 8, &d);
	assert_int_equal(d.id[0], 9);
	assert_int_equal(d.n, 8);
	assert_int_equal(d.kind, 2);
	lookup_add_token(&l, 9);
	lookup_add_token(&l, 99); /* instead of 10 */
	lookup_find(&l, 4, &d);
	assert_int_equal(d.kind, 0);
	assert_int_equal(d.id[0], 11);
	lookup_add_token(&l, 98); /* the fault was two tokens for one */
	lookup_add_token(&l, 11);
	lookup_find(&l, 4, &d);
	assert_int_equal(d.kind, 1);
	assert_int_equal(d.id[0], 12);
	lookup_add_token(&l, 12);
	lookup_find(&l, 16, &d);
	assert_int_equal(d.kind, 2);
	assert_int_equal(d.id[0], 13);
	assert_int_equal(d.n, 5); /* to the end of the text, not over it */
	double before = d.p;
	lookup_tell(&l, 2, 5, 0);
	lookup_find(&l, 16, &d);
	assert_true(d.p < before);
	lookup_tell(&l, 2, 5, 5);
	lookup_tell(&l, 2, 5, 5);
	before = d.p;
	lookup_find(&l, 16, &d);
	assert_true(d.p > before);
	lookup_release(&l);
	lookup_release(&l);
}

static void costs_are_measured_between_and_guessed_beyond(void **state)
{
	struct lookup_costs c = { 0 };
	struct lookup_draft d = { .kind = 5, .n = 15, .p = 0.95 };
	(void)state;
	assert_true(lookup_costs_of(&c, 4) == 0);
	assert_int_equal(lookup_worth(&c, 1, 1, &d, 15), 15); /* nothing known: as from memory */
	for (int i = 0; i < 5; i++) {
		lookup_costs_note(&c, 1, 1.0);
		lookup_costs_note(&c, 9, 3.0);
	}
	assert_close(lookup_costs_of(&c, 1), 1, 1e-12);
	assert_close(lookup_costs_of(&c, 5), 2, 1e-12);
	assert_true(lookup_costs_of(&c, 20) > 3 && lookup_costs_of(&c, 20) < 4);
	lookup_costs_note(&c, 16, 100); /* once is no measurement */
	assert_true(lookup_costs_of(&c, 16) < 4);
	for (int i = 0; i < 20; i++)
		lookup_costs_note(&c, 16, 16);
	for (int i = 0; i < 20; i++)
		lookup_costs_note(&c, 9, 9);
	for (int i = 0; i < 20; i++)
		lookup_costs_note(&c, 2, 2);
	for (int i = 0; i < 80; i++)
		lookup_costs_note(&c, 9, 9);
	assert_int_equal(lookup_worth(&c, 1, 1, &d, 15), 0);
	/* beside others: 60 sequences at 64 columns leave room for 4 */
	struct lookup_costs wide = { 0 };
	lookup_costs_note(&wide, 60, 1);
	assert_in_range(lookup_worth(&wide, 60, 60, &d, 15), 0, 4);
	lookup_costs_note(&wide, 0, 1);
	lookup_costs_note(&wide, 65, 1);
	lookup_costs_note(&wide, 3, NAN);
	assert_int_equal(wide.seen[3], 0);
}

/* ---- all at once ---- */

static uint64_t dice(uint64_t *h, uint64_t n)
{
	*h = toy_mix(*h, 12345);
	return *h % n;
}

static void storm(uint64_t seed, int requests)
{
	uint64_t h = seed;
	struct toy *t = toy_new(1 + (int)dice(&h, 2));
	struct desk *d = calloc(1, sizeof(*d));
	struct scheduler_options o = { .batch = (int)dice(&h, 3) ? 0 : 1 + (int)dice(&h, 20),
		                       .snapshots = (int)dice(&h, 3) ? 0 : (int)dice(&h, 6) - 1,
		                       .window = (int)dice(&h, 2) ? 0 : 1 + (int)dice(&h, 15) };
	struct scheduler_request *r = calloc((size_t)requests, sizeof(*r));
	static const char *const stops[] = { "STOP", "END\nEN", "ab" };
	static const int heads[] = { 20, 60, 61, 150 };
	int32_t *family[4], *forced = prompt_of(60, 5);
	struct err e = { 0 };

	for (int i = 0; i < 4; i++)
		family[i] = prompt_of(700, (uint64_t)i / 2);
	for (int i = 300; i < 700; i++)
		family[1][i] = (family[1][i] + 1) % 256;
	t->slots = dice(&h, 2) ? 100 : 1 + (int)dice(&h, 30);
	t->kv = dice(&h, 2) ? 1 << 30 : 800 + (int)dice(&h, 4000);
	t->push = (int)dice(&h, 100);
	t->column_s = dice(&h, 2) ? 1e-5 : 1e-3;
	desk_open(d, t, &o);
	for (int i = 0; i < requests; i++) {
		int n = dice(&h, 8) ? 1 + (int)dice(&h, 250) : 1 + (int)dice(&h, 700);
		r[i] = request_of(family[dice(&h, 4)], n);
		r[i].n = dice(&h, 10) ? 1 + (int)dice(&h, 4) : 1 + (int)dice(&h, 64);
		r[i].max_tokens = 1 + (int)dice(&h, 40);
		r[i].ignore_eos = dice(&h, 2);
		r[i].speculate = dice(&h, 2);
		r[i].sampling.temperature = dice(&h, 2) ? 0 : 0.3f * (float)dice(&h, 5);
		r[i].sampling.seed = h;
		r[i].sampling.top_k = (int)dice(&h, 30);
		r[i].sampling.repetition = dice(&h, 4) ? 1 : 1.2f;
		r[i].sampling.top = (int)dice(&h, 4);
		r[i].head = heads;
		while (r[i].n_heads < 4 && heads[r[i].n_heads] <= n)
			r[i].n_heads++;
		r[i].stop = stops;
		r[i].n_stop = (int)dice(&h, 4);
		r[i].guard = dice(&h, 5) ? NULL : toy_names;
		if (dice(&h, 6) == 0) {
			r[i].forced = forced;
			r[i].n_forced = 1 + (int)dice(&h, 60);
		}
		if (dice(&h, 3) == 0) {
			r[i].draft = forced;
			r[i].n_draft = 60;
		}
		if (dice(&h, 5) == 0) {
			r[i].mix.n = 1;
			r[i].mix.part[0].adapter = 1;
			r[i].mix_key = (const unsigned char *)"0123456789abcdef0123456789abcdef";
		}
		uint32_t id = ask(d, &r[i]);
		for (int k = 0; k < r[i].n; k++)
			if (dice(&h, 4) == 0)
				d->got[id][k].cancel_at = (int)dice(&h, 20);
		if (dice(&h, 20) == 0) {
			for (int k = 0; k < r[i].n; k++)
				d->got[id][k].cancel_at = 1000;
			d->cancel_other = id;
		}
		for (uint64_t s = dice(&h, 12); s > 0; s--)
			assert_true(scheduler_step(d->s, &e) >= 0);
		if (dice(&h, 30) == 0)
			scheduler_forget(d->s);
	}
	run(d);
	all_same(d);
	desk_close(d);
	toy_free(t);
	for (int i = 0; i < 4; i++)
		free(family[i]);
	free(forced);
	free(r);
	free(d);
}

static void a_storm_of_requests_loses_nothing(void **state)
{
	const char *more = getenv("STORMS"); /* for a long run by hand */
	(void)state;
	for (uint64_t seed = 1; seed <= (more ? strtoull(more, NULL, 10) : 24); seed++)
		storm(seed, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sequence_alone_is_what_the_model_says),
		cmocka_unit_test(neighbours_change_nothing),
		cmocka_unit_test(a_group_shares_its_prefill_and_draws_with_its_own_seeds),
		cmocka_unit_test(speculation_changes_no_token_and_saves_steps),
		cmocka_unit_test(penalties_count_the_draft_before_them),
		cmocka_unit_test(steps_are_queued_ahead_where_the_backend_allows),
		cmocka_unit_test(a_found_prefix_changes_no_token),
		cmocka_unit_test(a_warm_prompt_takes_one_step_to_its_first_token),
		cmocka_unit_test(the_least_recently_used_prefix_goes_first),
		cmocka_unit_test(cancelling_anybody_at_any_token_leaves_the_others_alone),
		cmocka_unit_test(stop_texts_are_found_over_the_borders_of_tokens),
		cmocka_unit_test(held_text_comes_out_when_it_is_cancelled),
		cmocka_unit_test(budgets_end_answers),
		cmocka_unit_test(forced_tokens_have_the_models_own_probabilities),
		cmocka_unit_test(
			every_step_gives_a_token_to_those_who_decode_while_a_prompt_is_read),
		cmocka_unit_test(requests_are_served_as_they_came),
		cmocka_unit_test(sequences_that_wait_and_are_cancelled_hold_nobody_up),
		cmocka_unit_test(few_slots_and_little_memory_only_take_longer),
		cmocka_unit_test(what_does_not_fit_alone_ends_in_words),
		cmocka_unit_test(one_sequence_of_bad_numbers_ends_and_the_others_go_on),
		cmocka_unit_test(a_step_that_is_refused_ends_whoever_is_at_fault),
		cmocka_unit_test(when_the_device_is_lost_all_end_and_nobody_is_taken_in),
		cmocka_unit_test(what_cannot_be_is_refused_with_words),
		cmocka_unit_test(callbacks_may_add_and_closing_in_the_middle_is_clean),
		cmocka_unit_test(drafting_is_fast_where_columns_are_cheap_and_never_slow),
		cmocka_unit_test(a_draft_goes_on_after_the_longest_match_and_over_a_fault),
		cmocka_unit_test(costs_are_measured_between_and_guessed_beyond),
		cmocka_unit_test(a_storm_of_requests_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
