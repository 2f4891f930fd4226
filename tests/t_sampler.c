/* t_sampler.c - picks: known answers, distributions, borders, and what cannot be picked. */
#include "tests/lib.h"

#include <float.h>

#include "gpu/sampler.h"

/* ---- plain, slow and in f64: what sampler.h says, by sorting ---- */

struct ranked {
	double x;
	int id;
};

static int falling(const void *a, const void *b)
{
	const struct ranked *p = a, *q = b;
	if (p->x != q->x)
		return p->x < q->x ? 1 : -1;
	return p->id - q->id;
}

/* @p [v]: the distribution that is drawn from; returns the argmax of what is left, or -1. */
static int reference(const float *logits, int v, const struct sampler_input *in, double *p)
{
	struct ranked *r = calloc((size_t)v, sizeof(*r));
	double *x = calloc((size_t)v, sizeof(*x));
	int *count = calloc((size_t)v, sizeof(*count)), *seen = calloc((size_t)v, sizeof(*seen));
	const struct sampling *s = in->sampling;
	int n = 0;

	for (int i = 0; i < in->n_answer; i++)
		if (in->answer[i] >= 0 && in->answer[i] < v)
			count[in->answer[i]]++, seen[in->answer[i]] = 1;
	for (int i = 0; i < in->n_prompt; i++)
		if (in->prompt[i] >= 0 && in->prompt[i] < v)
			seen[in->prompt[i]] = 1;
	for (int i = 0; i < v; i++) {
		x[i] = logits[i];
		if (seen[i])
			x[i] = x[i] > 0 ? x[i] / s->repetition : x[i] * s->repetition;
		if (count[i])
			x[i] -= s->presence + s->frequency * count[i];
		p[i] = 0;
		if (!in->mask || (in->mask[i / 64] >> (i % 64) & 1))
			r[n++] = (struct ranked){ x[i], i };
	}
	int best = -1;
	if (n > 0) {
		qsort(r, (size_t)n, sizeof(*r), falling);
		best = r[0].id;
		double max = r[0].x, all = 0, mass = 0;
		if (s->top_k > 0 && s->top_k < n)
			n = s->top_k;
		double t = s->temperature > 0 ? s->temperature : 1;
		for (int i = 0; i < n; i++)
			all += exp((r[i].x - max) / t);
		int kept = 0;
		while (kept < n && (kept == 0 || mass < (double)s->top_p * all))
			mass += exp((r[kept++].x - max) / t);
		if (s->top_p >= 1)
			kept = n;
		while (kept > 1 && exp((r[kept - 1].x - max) / t) < (double)s->min_p)
			kept--;
		mass = 0;
		for (int i = 0; i < kept; i++)
			mass += exp((r[i].x - max) / t);
		for (int i = 0; i < kept; i++)
			p[r[i].id] = exp((r[i].x - max) / t) / mass;
	}
	free(r);
	free(x);
	free(count);
	free(seen);
	return best;
}

/* Logits as a model has them: normal, about 4 wide. */
static void normal_row(float *x, int v, uint64_t seed, float width)
{
	for (int i = 0; i < v; i++) {
		double u = sampler_uniform(seed, (uint64_t)i, 1) + 0x1p-25;
		double w = sampler_uniform(seed, (uint64_t)i, 2);
		x[i] = width * (float)(sqrt(-2 * log(u)) * cos(2 * M_PI * w));
	}
}

static struct sampling plain(float temperature)
{
	struct sampling s;
	sampling_default(&s);
	s.temperature = temperature;
	return s;
}

static int pick(const float *x, int v, const struct sampler_input *in, struct picked *out)
{
	struct sampler *s = sampler_open(v);
	assert_non_null(s);
	int rc = sampler_pick(s, x, in, out);
	sampler_close(s);
	return rc;
}

/* ---- random numbers ---- */

static void philox_gives_the_published_answers(void **state)
{
	/* the known answers that come with Random123, philox4x32, 10 rounds */
	static const struct {
		uint32_t counter[4], key[2], out[4];
	} known[] = {
		{ { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { ~0u, ~0u, ~0u, ~0u },
		  { ~0u, ~0u },
		  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
		  { 0xa4093822, 0x299f31d0 },
		  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint32_t out[4];
		sampler_philox(known[i].counter, known[i].key, out);
		assert_memory_equal(out, known[i].out, sizeof(out));
	}
}

static void uniforms_are_24_bits_of_seed_position_and_lane(void **state)
{
	(void)state;
	assert_true(sampler_uniform(0, 0, 0) == (float)(0x6627e8d5u >> 8) * 0x1p-24f);
	/* counter {position low, high, lane, 0}, key {seed low, high} */
	const uint32_t counter[4] = { 0x89abcdef, 0x01234567, 5, 0 };
	const uint32_t key[2] = { 0x76543210, 0xfedcba98 };
	uint32_t out[4];
	sampler_philox(counter, key, out);
	assert_true(sampler_uniform(0xfedcba9876543210u, 0x0123456789abcdefu, 5) ==
	            (float)(out[0] >> 8) * 0x1p-24f);
	double sum = 0;
	for (uint64_t i = 0; i < 100000; i++) {
		float u = sampler_uniform(7, i, 0);
		assert_true(u >= 0 && u < 1);
		sum += u;
	}
	assert_close(sum / 100000, 0.5, 0.004);
}

/* ---- greedy ---- */

static void greedy_takes_the_largest_and_the_lowest_id_on_ties(void **state)
{
	static const int sizes[] = { 1, 2, 15, 16, 17, 63, 1023, 1024, 1025, 5000 };
	struct sampling s = plain(0);
	struct sampler_input in = { .sampling = &s };
	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		int v = sizes[k];
		float *x = calloc((size_t)v, sizeof(*x));
		struct picked p;
		for (int at = 0; at < v; at += 1 + v / 37) {
			for (int i = 0; i < v; i++)
				x[i] = -3;
			x[at] = x[v - 1] = 2; /* a tie unless they are one */
			assert_int_equal(pick(x, v, &in, &p), 0);
			assert_int_equal(p.id, at);
			assert_true(p.drawn == 0);
		}
		for (int i = 0; i < v; i++)
			x[i] = i % 2 ? 0.0f : -0.0f; /* equal, whatever their sign */
		assert_int_equal(pick(x, v, &in, &p), 0);
		assert_int_equal(p.id, 0);
		assert_close(p.logprob, -log(v), 1e-6 * (1 + log(v)));
		assert_close(p.entropy, log(v), 1e-6 * (1 + log(v)));
		free(x);
	}
}

static void logprob_and_entropy_are_the_models_own(void **state)
{
	static const float widths[] = { 0.1f, 1, 4, 30 };
	enum { V = 20011 };
	float *x = calloc(V, sizeof(*x));
	uint64_t mask[(V + 63) / 64];
	const int32_t answer[] = { 5, 5, 9 };
	struct sampling s = plain(0.7f);
	struct sampler_input in = {
		.sampling = &s, .mask = mask, .answer = answer, .n_answer = 3, .position = 4
	};
	(void)state;
	s.presence = 1.5f;
	s.top_k = 40;
	memset(mask, 0x55, sizeof(mask));
	for (int k = 0; k < 4; k++) {
		struct picked p;
		double max = -INFINITY, z = 0, h = 0;
		normal_row(x, V, 11 + (uint64_t)k, widths[k]);
		for (int i = 0; i < V; i++)
			max = x[i] > max ? x[i] : max;
		for (int i = 0; i < V; i++)
			z += exp(x[i] - max);
		for (int i = 0; i < V; i++)
			h -= exp(x[i] - max) / z * (x[i] - max - log(z));
		assert_int_equal(pick(x, V, &in, &p), 0);
		assert_true(mask[p.id / 64] >> (p.id % 64) & 1);
		assert_close(p.logprob, x[p.id] - max - log(z), 3e-6 * (1 + fabs(p.logprob)));
		assert_close(p.entropy, h, 1e-5 * (1 + h));
	}
	free(x);
}

static void alternatives_fall_and_ties_go_by_id(void **state)
{
	enum { V = 3000 };
	float *x = calloc(V, sizeof(*x));
	struct ranked *r = calloc(V, sizeof(*r));
	struct sampling s = plain(0);
	struct sampler_input in = { .sampling = &s };
	(void)state;
	for (int round = 0; round < 20; round++) {
		struct picked p;
		normal_row(x, V, (uint64_t)round, 4);
		for (int i = 0; i < V; i++) {
			x[i] = roundf(x[i] * (round < 10 ? 2 : 100)); /* many ties */
			r[i] = (struct ranked){ x[i], i };
		}
		qsort(r, V, sizeof(*r), falling);
		s.top = round % 2 ? SAMPLER_TOP_MAX : round;
		assert_int_equal(pick(x, V, &in, &p), 0);
		assert_int_equal(p.n_top, s.top);
		for (int i = 0; i < p.n_top; i++) {
			assert_int_equal(p.top[i].id, r[i].id);
			assert_close(p.top[i].logprob, r[i].x - r[0].x + p.logprob, 1e-4);
		}
		assert_int_equal(p.id, r[0].id);
	}
	s.top = SAMPLER_TOP_MAX; /* more than there are */
	struct picked p;
	assert_int_equal(pick(x, 3, &in, &p), 0);
	assert_int_equal(p.n_top, 3);
	for (int i = 0; i < V; i++)
		x[i] = (float)i; /* rising: the list is cut again and again */
	assert_int_equal(pick(x, V, &in, &p), 0);
	for (int i = 0; i < SAMPLER_TOP_MAX; i++)
		assert_int_equal(p.top[i].id, V - 1 - i);
	free(x);
	free(r);
}

/* ---- drawing ---- */

/* Draws at many positions against the reference's distribution: chi-square over the ids that are
 * expected often enough, the others together; ids of probability 0 must never come. */
static void draws_follow(const float *x, int v, const struct sampler_input *base, int draws)
{
	double *p = calloc((size_t)v, sizeof(*p));
	int *got = calloc((size_t)v, sizeof(*got));
	struct sampler *s = sampler_open(v);
	struct sampler_input in = *base;

	assert_true(reference(x, v, base, p) >= 0);
	for (int i = 0; i < draws; i++) {
		struct picked out;
		in.position = (uint64_t)i;
		assert_int_equal(sampler_pick(s, x, &in, &out), 0);
		if (!(p[out.id] > 0))
			fail_msg("id %d came, which is filtered out", out.id);
		assert_close(out.drawn, log(p[out.id]), 2e-5 * (1 + fabs(log(p[out.id]))));
		got[out.id]++;
	}
	double chi = 0, rest = 0, rest_got = 0;
	int cells = 0;
	for (int i = 0; i < v; i++) {
		double want = p[i] * draws;
		if (want < 8) {
			rest += want;
			rest_got += got[i];
			continue;
		}
		chi += (got[i] - want) * (got[i] - want) / want;
		cells++;
	}
	if (rest >= 8) {
		chi += (rest_got - rest) * (rest_got - rest) / rest;
		cells++;
	}
	/* chi-square of k - 1 degrees is about normal: mean k - 1, deviation sqrt(2 (k - 1)) */
	if (chi > cells - 1 + 5 * sqrt(2.0 * cells) + 6)
		fail_msg("chi-square %g over %d cells", chi, cells);
	sampler_close(s);
	free(p);
	free(got);
}

static void draws_follow_the_filtered_distribution(void **state)
{
	static const struct sampling cases[] = {
		{ .temperature = 1, .top_p = 1, .repetition = 1 },
		{ .temperature = 0.3f, .top_p = 1, .repetition = 1 },
		{ .temperature = 3, .top_p = 1, .repetition = 1 },
		{ .temperature = 0.7f, .top_p = 0.8f, .top_k = 20, .repetition = 1 },
		{ .temperature = 1,
		  .top_p = 0.95f,
		  .top_k = 20,
		  .repetition = 1,
		  .presence = 1.5f },
		{ .temperature = 0.9f, .top_p = 0.6f, .repetition = 1 },
		{ .temperature = 1, .top_p = 1, .min_p = 0.1f, .repetition = 1 },
		{ .temperature = 1, .top_p = 0.9f, .min_p = 0.2f, .top_k = 30, .repetition = 1.3f },
		{ .temperature = 2, .top_p = 0.99f, .frequency = 0.7f, .repetition = 0.8f },
		{ .temperature = 1, .top_p = 1, .top_k = 1, .repetition = 1 },
		{ .temperature = 1, .top_p = 1e-6f, .repetition = 1 },
	};
	enum { V = 2500 };
	float *x = calloc(V, sizeof(*x));
	uint64_t mask[(V + 63) / 64];
	int32_t answer[40], prompt[60];
	(void)state;
	for (int i = 0; i < 40; i++)
		answer[i] = i * i % 71;
	for (int i = 0; i < 60; i++)
		prompt[i] = i * 41 % V;
	answer[3] = -5; /* ids of another vocabulary do nothing */
	prompt[3] = V + 100;
	for (int i = 0; i < (int)(sizeof(mask) / 8); i++)
		mask[i] = i % 3 ? ~(uint64_t)0 : 0x0f0f0f0f12345678u * (uint64_t)(i + 1);
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct sampling s = cases[c];
		struct sampler_input in = { .sampling = &s,
			                    .answer = answer,
			                    .n_answer = 40,
			                    .prompt = prompt,
			                    .n_prompt = 60,
			                    .mask = c % 2 ? mask : NULL };
		s.seed = 77 + c;
		normal_row(x, V, 100 + c, c % 3 ? 4 : 1);
		draws_follow(x, V, &in, 6000);
	}
	free(x);
}

static void borders_of_the_filters_are_exact(void **state)
{
	/* all equal: every weight is exactly 1, every sum exact, ties by the lowest id */
	static const struct {
		float top_p;
		int top_k, kept;
	} cases[] = {
		{ 0.5f, 0, 4 },  { 0.25f, 0, 2 },  { 0.375f, 0, 3 },  { 0.376f, 0, 4 },
		{ 1e-9f, 0, 1 }, { 1, 3, 3 },      { 0.5f, 4, 2 },    { 0.50001f, 4, 3 },
		{ 1, 8, 8 },     { 0.875f, 0, 7 }, { 0.9999f, 0, 8 },
	};
	const float x[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct sampling s = plain(0.5f);
		struct sampler_input in = { .sampling = &s };
		int seen = 0;
		s.top_p = cases[c].top_p;
		s.top_k = cases[c].top_k;
		for (int i = 0; i < 400; i++) {
			struct picked p;
			in.position = (uint64_t)i;
			assert_int_equal(pick(x, 8, &in, &p), 0);
			assert_in_range(p.id, 0, cases[c].kept - 1);
			assert_close(p.drawn, -log(cases[c].kept), 1e-6);
			seen |= 1 << p.id;
		}
		assert_int_equal(seen, (1 << cases[c].kept) - 1);
	}
	/* min_p: weights 1, 1/2, 1/4 to the last bit would need exact exp; just above and below */
	const float y[3] = { 0, -0.693147f, -1.386294f };
	struct sampling s = plain(1);
	struct sampler_input in = { .sampling = &s };
	for (int i = 0; i < 200; i++) {
		struct picked p;
		in.position = (uint64_t)i;
		s.min_p = 0.5001f;
		assert_int_equal(pick(y, 3, &in, &p), 0);
		assert_int_equal(p.id, 0);
		s.min_p = 0.4999f;
		assert_int_equal(pick(y, 3, &in, &p), 0);
		assert_in_range(p.id, 0, 1);
	}
}

static void the_draw_walks_rising_ids(void **state)
{
	enum { V = 4000 };
	float *x = calloc(V, sizeof(*x));
	double *p = calloc(V, sizeof(*p));
	struct sampler *sampler = sampler_open(V);
	(void)state;
	normal_row(x, V, 5, 3);
	for (int c = 0; c < 3; c++) {
		struct sampling s = plain(0.8f);
		struct sampler_input in = { .sampling = &s };
		s.seed = 9;
		s.top_k = c == 1 ? 50 : 0;
		s.top_p = c == 2 ? 0.7f : 1;
		reference(x, V, &in, p);
		for (int i = 0; i < 300; i++) {
			struct picked got;
			double sum = 0;
			in.position = (uint64_t)i;
			assert_int_equal(sampler_pick(sampler, x, &in, &got), 0);
			for (int k = 0; k < got.id; k++)
				sum += p[k];
			double u = sampler_uniform(9, (uint64_t)i, 0);
			assert_true(u >= sum - 1e-6 && u <= sum + p[got.id] + 1e-6);
		}
	}
	sampler_close(sampler);
	free(x);
	free(p);
}

static void a_pick_is_a_function_of_row_seed_and_position(void **state)
{
	enum { V = 3000 };
	float *x = calloc(V, sizeof(*x)), *y = calloc(V, sizeof(*y));
	struct sampler *used = sampler_open(V);
	struct sampling s = plain(1);
	struct sampler_input in = { .sampling = &s };
	int differs = 0;
	(void)state;
	s.top_p = 0.9f;
	s.top = 5;
	normal_row(x, V, 1, 4);
	for (int i = 0; i < 200; i++) {
		struct picked fresh, again, other;
		struct sampling odd = plain(0.4f);
		int32_t answer[3] = { i, 2 * i, 1 };
		struct sampler_input between = { .sampling = &odd,
			                         .answer = answer,
			                         .n_answer = 3 };
		odd.presence = 1;
		odd.repetition = 1.2f;
		in.position = (uint64_t)i;
		assert_int_equal(pick(x, V, &in, &fresh), 0);
		normal_row(y, V, (uint64_t)i + 50, 2);
		assert_int_equal(sampler_pick(used, y, &between, &other), 0);
		assert_int_equal(sampler_pick(used, x, &in, &again), 0);
		assert_memory_equal(&fresh, &again, sizeof(fresh));
		s.seed ^= (uint64_t)1 << 40;
		assert_int_equal(sampler_pick(used, x, &in, &other), 0);
		differs += other.id != fresh.id;
		s.seed ^= (uint64_t)1 << 40;
	}
	assert_true(differs > 100);
	sampler_close(used);
	free(x);
	free(y);
}

/* ---- order of operations ---- */

static void penalties_come_before_the_mask_and_the_temperature(void **state)
{
	const float x[4] = { 2, 1.9f, -1, 0 };
	const int32_t answer[] = { 0, 0, 2 }, prompt[] = { 1 };
	struct sampling s = plain(0);
	struct sampler_input in = { .sampling = &s, .answer = answer, .n_answer = 3 };
	struct picked p;
	uint64_t mask = 0xd; /* not 1 */
	(void)state;
	assert_int_equal(pick(x, 4, &in, &p), 0);
	assert_int_equal(p.id, 0);
	s.presence = 0.2f; /* once, however often it came: 1.8 */
	assert_int_equal(pick(x, 4, &in, &p), 0);
	assert_int_equal(p.id, 1);
	s.presence = 0;
	s.frequency = 0.06f; /* twice: 1.88 */
	assert_int_equal(pick(x, 4, &in, &p), 0);
	assert_int_equal(p.id, 1);
	s.frequency = 0.04f; /* twice: 1.92 */
	assert_int_equal(pick(x, 4, &in, &p), 0);
	assert_int_equal(p.id, 0);
	s.frequency = 0;
	s.repetition = 1.1f; /* 1.818 against 1.9, which the prompt does not hold ... */
	assert_int_equal(pick(x, 4, &in, &p), 0);
	assert_int_equal(p.id, 1);
	in.prompt = prompt; /* ... or does: 1.727 */
	in.n_prompt = 1;
	assert_int_equal(pick(x, 4, &in, &p), 0);
	assert_int_equal(p.id, 0);
	s.repetition = 1;
	s.presence = 1; /* the mask takes the rival away */
	in.mask = &mask;
	assert_int_equal(pick(x, 4, &in, &p), 0);
	assert_int_equal(p.id, 0);
	/* presence is on raw logits: at T = 0.1, 2 - 1 = 1 stands 10 above 0, not 2 / 0.1 - 1 */
	s.temperature = 0.1f;
	reference(x, 4, &in, (double[4]){ 0 });
	for (int i = 0; i < 50; i++) {
		double want[4];
		in.position = (uint64_t)i;
		assert_int_equal(pick(x, 4, &in, &p), 0);
		reference(x, 4, &in, want);
		assert_close(p.drawn, log(want[p.id]), 1e-4);
	}
	/* negative logits are multiplied: -1 to -2 */
	s = plain(1);
	s.repetition = 2;
	in.mask = NULL;
	double want[4];
	reference(x, 4, &in, want);
	assert_close(want[2] / want[3], exp(-2), 1e-9);
	draws_follow(x, 4, &in, 3000);
}

static void alternatives_ignore_mask_and_penalties(void **state)
{
	const float x[5] = { 1, 5, 3, 4, 2 };
	const int32_t answer[] = { 1 };
	uint64_t mask = 1;
	struct sampling s = plain(0);
	struct sampler_input in = {
		.sampling = &s, .mask = &mask, .answer = answer, .n_answer = 1
	};
	struct picked p;
	(void)state;
	s.presence = 100;
	s.top = 3;
	assert_int_equal(pick(x, 5, &in, &p), 0);
	assert_int_equal(p.id, 0);
	assert_int_equal(p.top[0].id, 1);
	assert_int_equal(p.top[1].id, 3);
	assert_int_equal(p.top[2].id, 2);
	assert_close(p.top[0].logprob - p.logprob, 4, 1e-5);
}

/* ---- what cannot be picked, and strange numbers ---- */

static void nothing_is_picked_from_what_is_not_finite_or_all_masked(void **state)
{
	static const float odd[] = { NAN, -NAN, INFINITY, -INFINITY };
	enum { V = 2100 };
	float *x = calloc(V, sizeof(*x));
	uint64_t mask[(V + 63) / 64];
	struct sampling s = plain(0);
	struct sampler_input in = { .sampling = &s };
	struct picked p;
	(void)state;
	for (int t = 0; t < 2; t++) {
		s.temperature = (float)t;
		for (int k = 0; k < 4; k++)
			for (int at = 0; at < V; at += 299) {
				normal_row(x, V, 3, 4);
				assert_int_equal(pick(x, V, &in, &p), 0);
				x[at == 2093 ? V - 1 : at] = odd[k];
				p.id = 7;
				assert_int_equal(pick(x, V, &in, &p), -1);
				assert_int_equal(p.id, -1);
			}
		normal_row(x, V, 3, 4);
		memset(mask, 0, sizeof(mask));
		in.mask = mask;
		assert_int_equal(pick(x, V, &in, &p), -1);
		assert_int_equal(p.id, -1);
		mask[V / 64] = ~(((uint64_t)1 << (V % 64)) - 1); /* bits beyond the vocabulary */
		assert_int_equal(pick(x, V, &in, &p), -1);
		mask[V / 64] |= (uint64_t)1 << (V % 64 - 1);
		s.top_k = 5;
		s.top_p = 0.5f;
		assert_int_equal(pick(x, V, &in, &p), 0);
		assert_int_equal(p.id, V - 1);
		s.top_k = 0;
		s.top_p = 1;
		in.mask = NULL;
	}
	free(x);
}

static void extremes_stay_in_their_bounds(void **state)
{
	const float x[6] = { FLT_MAX, -FLT_MAX, 1e38f, -1e38f, 0, FLT_MAX };
	const int32_t answer[] = { 0, 1, 2, 3 };
	static const float temperatures[] = { 0, 1e-38f, 1e-6f, 1, 1e6f };
	(void)state;
	for (int t = 0; t < 5; t++)
		for (int c = 0; c < 6; c++) {
			struct sampling s = plain(temperatures[t]);
			struct sampler_input in = { .sampling = &s,
				                    .answer = answer,
				                    .n_answer = 4 };
			struct picked p;
			s.repetition = c == 1 ? 1e-30f : c == 2 ? 1e30f : 1;
			s.presence = c == 3 ? 3e38f : c == 4 ? -3e38f : 0;
			s.top_p = c == 5 ? 0.1f : 1;
			s.min_p = c == 5 ? 0.9f : 0;
			s.top = 6;
			assert_int_equal(pick(x, 6, &in, &p), 0);
			assert_in_range(p.id, 0, 5);
			assert_false(isnan(p.logprob) || isnan(p.drawn) || isnan(p.entropy));
		}
}

static void a_sampler_of_no_vocabulary_is_none(void **state)
{
	(void)state;
	assert_null(sampler_open(0));
	assert_null(sampler_open(-4));
	sampler_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(philox_gives_the_published_answers),
		cmocka_unit_test(uniforms_are_24_bits_of_seed_position_and_lane),
		cmocka_unit_test(greedy_takes_the_largest_and_the_lowest_id_on_ties),
		cmocka_unit_test(logprob_and_entropy_are_the_models_own),
		cmocka_unit_test(alternatives_fall_and_ties_go_by_id),
		cmocka_unit_test(draws_follow_the_filtered_distribution),
		cmocka_unit_test(borders_of_the_filters_are_exact),
		cmocka_unit_test(the_draw_walks_rising_ids),
		cmocka_unit_test(a_pick_is_a_function_of_row_seed_and_position),
		cmocka_unit_test(penalties_come_before_the_mask_and_the_temperature),
		cmocka_unit_test(alternatives_ignore_mask_and_penalties),
		cmocka_unit_test(nothing_is_picked_from_what_is_not_finite_or_all_masked),
		cmocka_unit_test(extremes_stay_in_their_bounds),
		cmocka_unit_test(a_sampler_of_no_vocabulary_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
