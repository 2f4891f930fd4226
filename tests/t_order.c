/*
 * t_order.c - which samples make which step.
 */
#include "tests/lib.h"

#include "gpu/order.h"
#include "src/base/err.h"

enum { SAMPLES = 97 };

/* Samples of 10 to 40 tokens. */
static void some(struct dataset *d, struct sample s[SAMPLES])
{
	*d = (struct dataset){ .sample = s, .samples = SAMPLES };
	for (int i = 0; i < SAMPLES; i++) {
		s[i] = (struct sample){ .n = 10 + i * 7 % 31, .weight = 1, .until = 1 };
		d->longest = s[i].n > d->longest ? s[i].n : d->longest;
	}
}

static struct order *open_order(const struct dataset *d, struct order_options o)
{
	struct err e = { 0 };

	o.pass_rows = o.pass_rows ? o.pass_rows : 1000;
	struct order *p = order_open(d, &o, &e);
	if (!p)
		fail_msg("%s", e.text);
	return p;
}

/* How often each sample is learnt. */
static void count(const struct order *p, int seen[SAMPLES])
{
	memset(seen, 0, SAMPLES * sizeof(*seen));
	for (int64_t s = 1; s <= order_steps(p); s++) {
		int n;
		const int32_t *v = order_samples(p, s, &n);
		assert_true(n >= 1);
		for (int i = 0; i < n; i++)
			seen[v[i]]++;
	}
}

static void an_epoch_is_every_sample_once(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	int seen[SAMPLES];

	(void)state;
	some(&d, s);
	for (int by_length = 0; by_length < 2; by_length++)
		for (int epochs = 1; epochs < 4; epochs += 2) {
			struct order *p =
				open_order(&d, (struct order_options){ .batch_samples = 8,
			                                               .epochs = epochs,
			                                               .by_length = by_length,
			                                               .seed = 1 });
			count(p, seen);
			for (int i = 0; i < SAMPLES; i++)
				assert_int_equal(seen[i], epochs);
			/* by length a round ends with a step of its own */
			assert_int_equal(order_steps(p), by_length ? epochs * ((SAMPLES + 7) / 8)
			                                           : (epochs * SAMPLES + 7) / 8);
			assert_close(order_epoch(p, order_steps(p)), epochs, 1e-12);
			order_close(p);
		}
}

static void half_an_epoch_is_half_of_them(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	int seen[SAMPLES], all = 0;

	(void)state;
	some(&d, s);
	struct order *p =
		open_order(&d, (struct order_options){ .batch_samples = 1, .epochs = 0.5 });
	count(p, seen);
	for (int i = 0; i < SAMPLES; i++)
		all += seen[i];
	assert_int_equal(all, (SAMPLES + 1) / 2);
	order_close(p);
}

static void steps_go_round_as_often_as_needed(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	int seen[SAMPLES];

	(void)state;
	some(&d, s);
	for (int by_length = 0; by_length < 2; by_length++) {
		struct order *p = open_order(&d, (struct order_options){ .batch_samples = 10,
		                                                         .steps = 3 * SAMPLES,
		                                                         .by_length = by_length });
		assert_int_equal(order_steps(p), 3 * SAMPLES);
		count(p, seen);
		for (int i = 0; i < SAMPLES; i++)
			/* the last group is not learnt to its end */
			assert_in_range(seen[i], 29 - 4 * by_length, 31 + 2 * by_length);
		order_close(p);
	}
}

static void a_step_keeps_both_bounds(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];

	(void)state;
	some(&d, s);
	for (int by_length = 0; by_length < 2; by_length++) {
		struct order *p = open_order(&d, (struct order_options){ .batch_samples = 7,
		                                                         .batch_tokens = 150,
		                                                         .epochs = 3,
		                                                         .by_length = by_length });
		uint64_t before = 0;
		int64_t full = 0;
		for (int64_t k = 1; k <= order_steps(p); k++) {
			int n;
			order_samples(p, k, &n);
			uint64_t tokens = order_tokens(p, k) - before;
			before += tokens;
			assert_true(n <= 7 && (tokens <= 150 || n == 1));
			full += n == 7 || tokens > 110;
		}
		/* but for the last of a round they are well filled */
		assert_true(full >= order_steps(p) - 4);
		order_close(p);
	}
}

static void a_sample_over_the_bound_is_a_step_of_its_own(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];

	(void)state;
	some(&d, s);
	struct order *p = open_order(&d, (struct order_options){ .batch_tokens = 5, .epochs = 1 });
	assert_int_equal(order_steps(p), SAMPLES);
	order_close(p);
}

struct seen_pass {
	const struct dataset *d;
	int passes, samples, most, last_n;
};

static int on_pass(void *ctx, const int32_t *sample, int n, struct err *e)
{
	struct seen_pass *v = ctx;
	int tokens = 0;

	(void)e;
	for (int i = 0; i < n; i++)
		tokens += v->d->sample[sample[i]].n;
	v->passes++;
	v->samples += n;
	v->most = tokens > v->most ? tokens : v->most;
	return 0;
}

static int refuse(void *ctx, const int32_t *sample, int n, struct err *e)
{
	(void)sample;
	(void)n;
	++*(int *)ctx;
	return err_set(e, ERR_MEM, "no");
}

static void passes_hold_what_they_may(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	struct err e = { 0 };
	int calls = 0;

	(void)state;
	some(&d, s);
	struct order *p = open_order(
		&d, (struct order_options){ .batch_samples = 20, .epochs = 1, .pass_rows = 90 });
	struct seen_pass v = { .d = &d };
	for (int64_t k = 1; k <= order_steps(p); k++)
		assert_int_equal(order_step(p, k, on_pass, &v, &e), 0);
	assert_int_equal(v.samples, SAMPLES);
	assert_true(v.most <= 90);
	assert_int_equal(v.most, order_longest_pass(p));
	/* no more of them than a greedy hand would need */
	assert_true(v.passes <= (int)(order_tokens(p, order_steps(p)) / (90 - 40)) + 1);
	assert_int_equal(order_step(p, 1, refuse, &calls, &e), -1);
	assert_int_equal(calls, 1);
	order_close(p);

	v = (struct seen_pass){ .d = &d };
	assert_int_equal(order_passes_of_all(&d, 90, on_pass, &v, &e), 0);
	assert_int_equal(v.samples, SAMPLES);
	assert_true(v.most <= 90);
}

static void weights_repeat_samples_and_draw_fractions(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	int seen[SAMPLES];

	(void)state;
	some(&d, s);
	s[0].weight = 3;
	s[1].weight = 0.5;
	s[2].weight = 2.25;
	struct order *p = open_order(
		&d, (struct order_options){ .batch_samples = 8, .epochs = 400, .seed = 3 });
	count(p, seen);
	assert_int_equal(seen[0], 1200);
	/* four standard deviations */
	assert_in_range(seen[1], 160, 240);
	assert_in_range(seen[2], 865, 935);
	assert_int_equal(seen[3], 400);
	order_close(p);
}

static void equal_seeds_give_equal_orders_and_others_do_not(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	int n, differ = 0, m;

	(void)state;
	some(&d, s);
	for (int by_length = 0; by_length < 2; by_length++) {
		const struct order_options o = {
			.batch_samples = 8, .epochs = 2, .by_length = by_length, .seed = 7
		};
		struct order_options other = o;
		other.seed = 8;
		struct order *a = open_order(&d, o), *b = open_order(&d, o),
			     *c = open_order(&d, other);
		for (int64_t k = 1; k <= order_steps(a); k++) {
			const int32_t *x = order_samples(a, k, &n), *y = order_samples(b, k, &m);
			assert_int_equal(n, m);
			assert_memory_equal(x, y, (size_t)n * sizeof(*x));
			y = order_samples(c, k, &m);
			differ += n != m || memcmp(x, y, (size_t)n * sizeof(*x)) != 0;
		}
		assert_true(differ > 10);
		order_close(a);
		order_close(b);
		order_close(c);
	}
}

static double spread(const struct order *p, const struct dataset *d)
{
	double sum = 0;

	for (int64_t k = 1; k <= order_steps(p); k++) {
		int n, low = 1 << 30, high = 0;
		const int32_t *v = order_samples(p, k, &n);
		for (int i = 0; i < n; i++) {
			low = d->sample[v[i]].n < low ? d->sample[v[i]].n : low;
			high = d->sample[v[i]].n > high ? d->sample[v[i]].n : high;
		}
		sum += high - low;
	}
	return sum / (double)order_steps(p);
}

static void by_length_a_step_is_of_about_one_length(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	double mean[2];
	int first_longer = 0;

	(void)state;
	some(&d, s);
	for (int by_length = 0; by_length < 2; by_length++) {
		struct order *p = open_order(&d, (struct order_options){ .batch_samples = 8,
		                                                         .epochs = 4,
		                                                         .by_length = by_length });
		mean[by_length] = spread(p, &d);
		/* and the steps do not come sorted */
		for (int64_t k = 1; k < order_steps(p); k++) {
			int n;
			int a = d.sample[order_samples(p, k, &n)[0]].n;
			first_longer += by_length && a > d.sample[order_samples(p, k + 1, &n)[0]].n;
		}
		order_close(p);
	}
	assert_true(mean[1] < 3 && mean[0] > 15);
	assert_true(first_longer > 10);
}

/* Drills that fall from 45 % at 40 % of the run to none at 70 %; others come after 35 %. */
static void a_mix_changes_over_the_run(void **state)
{
	enum { N = 2000 };
	struct sample *s = calloc(N, sizeof(*s));
	struct dataset d = { .sample = s, .samples = N, .longest = 20 };

	(void)state;
	for (int i = 0; i < N; i++) {
		s[i] = (struct sample){ .n = 20, .weight = 1, .until = 1 };
		if (i < 900)
			s[i].until = 0.4f + 0.3f * ((float)i + 0.5f) / 900;
		else if (i >= 1800)
			s[i].from = 0.35f;
	}
	for (int steps = 0; steps < 2; steps++)
		for (int by_length = 0; by_length < 2; by_length++) {
			struct order *p =
				open_order(&d, (struct order_options){ .batch_samples = 10,
			                                               .steps = steps ? 1000 : 0,
			                                               .epochs = 6,
			                                               .by_length = by_length });
			int64_t n_steps = order_steps(p);
			double drills[10] = { 0 }, late[10] = { 0 }, all[10] = { 0 };
			for (int64_t k = 1; k <= n_steps; k++) {
				int n, part = (int)((k - 1) * 10 / n_steps);
				double share = (double)(k - 1) / (double)n_steps;
				const int32_t *v = order_samples(p, k, &n);
				for (int i = 0; i < n; i++) {
					all[part]++;
					drills[part] += v[i] < 900;
					late[part] += v[i] >= 1800;
					/* within a group of steps, or what the run may be
					 * longer or shorter than thought */
					if (steps && !by_length)
						assert_true((double)s[v[i]].from <= share &&
						            share < (double)s[v[i]].until);
				}
			}
			/* 900 of 1800, then falling, then none */
			if (steps) {
				assert_close(drills[0] / all[0], 0.5, 0.06);
				assert_close(drills[2] / all[2], 0.5, 0.06);
				assert_true(late[0] + late[1] + late[2] == 0);
				assert_close(drills[5] / all[5], 450 / 1550.0, 0.06);
				assert_true(drills[8] + drills[9] == 0);
				assert_close(late[9] / all[9], 200 / 1100.0, 0.06);
			} else {
				assert_true(drills[0] > 0 && drills[9] == 0);
				assert_true(late[0] == 0 && late[9] > 0);
			}
			order_close(p);
		}
	free(s);
}

static void in_the_files_order_rows_come_as_they_stand(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	int at = 0;

	(void)state;
	some(&d, s);
	struct order *p = open_order(
		&d, (struct order_options){
			    .batch_tokens = 100, .epochs = 2, .by_length = true, .as_file = true });
	for (int64_t k = 1; k <= order_steps(p); k++) {
		int n;
		const int32_t *v = order_samples(p, k, &n);
		for (int i = 0; i < n; i++)
			assert_int_equal(v[i], at++ % SAMPLES);
	}
	assert_int_equal(at, 2 * SAMPLES);
	order_close(p);
}

static void what_cannot_be_is_refused(void **state)
{
	struct dataset d;
	struct sample s[SAMPLES];
	static const struct {
		struct order_options o;
		const char *words;
	} bad[] = {
		{ { .epochs = 1, .pass_rows = 100 }, "batch_samples" },
		{ { .batch_samples = -1, .epochs = 1, .pass_rows = 100 }, "batch_samples" },
		{ { .batch_samples = 1, .epochs = 1, .pass_rows = 39 },
		  "the longest sample has 40 tokens" },
		{ { .batch_samples = 1, .pass_rows = 100 }, "epochs" },
		{ { .batch_samples = 1, .epochs = NAN, .pass_rows = 100 }, "epochs" },
		{ { .batch_samples = 1, .steps = -4, .pass_rows = 100 }, "steps" },
		{ { .batch_samples = 1, .epochs = 1e6, .pass_rows = 100 }, "steps" },
	};

	(void)state;
	some(&d, s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct err e = { 0 };
		assert_null(order_open(&d, &bad[i].o, &e));
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, bad[i].words);
	}
	/* a part of the run in which nothing may be learnt */
	struct err e = { 0 };
	const struct order_options o = { .batch_samples = 1, .epochs = 1, .pass_rows = 100 };
	for (int i = 0; i < SAMPLES; i++)
		if (i % 2)
			s[i].until = 0.5f;
		else
			s[i].from = 0.75f;
	assert_null(order_open(&d, &o, &e));
	assert_contains(e.text, "from 0.5 to 0.75");
	/* weights so small that rounds are empty */
	some(&d, s);
	for (int i = 0; i < SAMPLES; i++)
		s[i].weight = 1e-30f;
	const struct order_options many = { .batch_samples = 1, .steps = 10, .pass_rows = 100 };
	assert_null(order_open(&d, &many, &e));
	assert_contains(e.text, "weights");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_epoch_is_every_sample_once),
		cmocka_unit_test(half_an_epoch_is_half_of_them),
		cmocka_unit_test(steps_go_round_as_often_as_needed),
		cmocka_unit_test(a_step_keeps_both_bounds),
		cmocka_unit_test(a_sample_over_the_bound_is_a_step_of_its_own),
		cmocka_unit_test(passes_hold_what_they_may),
		cmocka_unit_test(weights_repeat_samples_and_draw_fractions),
		cmocka_unit_test(equal_seeds_give_equal_orders_and_others_do_not),
		cmocka_unit_test(by_length_a_step_is_of_about_one_length),
		cmocka_unit_test(a_mix_changes_over_the_run),
		cmocka_unit_test(in_the_files_order_rows_come_as_they_stand),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
