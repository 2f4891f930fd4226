/*
 * t_statistics.c - intervals and tests against values of scipy 1.x and against sums made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "src/statistics.h"

static const double values[12] = { 0.91, 0.15, -0.35, 0.62, 0.88, 0.44,
	                           0.97, -0.6, 0.71,  0.3,  0.52, 0.66 };
static const double gains[12] = {
	0.1, -0.05, 0.3, 0.02, -0.01, 0.2, 0, 0.4, 0.07, -0.12, 0.15, 0.05
};

static void near(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("%.9g was expected within %g, got %.9g", want, within, got);
}

static void bootstrap_agrees_with_scipy(void **state)
{
	struct interval i = statistics_mean(values, NULL, 12, 7);

	(void)state;
	assert_int_equal(i.n, 12);
	near(i.value, 0.4341666667, 1e-9);
	/* scipy.stats.bootstrap(method="percentile"), 200,000 resamples */
	near(i.low, 0.15083, 0.012);
	near(i.high, 0.67917, 0.012);
	i = statistics_median(values, NULL, 12, 7);
	near(i.value, 0.57, 1e-12);
	near(i.low, 0.225, 0.03);
	near(i.high, 0.795, 0.03);
}

static void values_of_one_cluster_are_drawn_together(void **state)
{
	static const int even[12] = { 9, 9, 9, 2, 2, 2, 7, 7, 7, 5, 5, 5 };
	static const int uneven[12] = { 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3 };
	struct interval alone = statistics_mean(values, NULL, 12, 1);
	struct interval i = statistics_mean(values, even, 12, 1);

	(void)state;
	/* numpy, 200,000 draws of four clusters */
	near(i.low, 0.29833, 0.01);
	near(i.high, 0.575, 0.01);
	assert_true(i.high - i.low < alone.high - alone.low);
	i = statistics_mean(values, uneven, 12, 1);
	near(i.value, 0.4341666667, 1e-9);
	near(i.low, 0.09, 0.015);
	near(i.high, 0.764, 0.015);
	i = statistics_median(values, uneven, 12, 1);
	near(i.low, 0.15, 0.02);
	near(i.high, 0.91, 0.02);
}

static void missing_values_are_left_out(void **state)
{
	double v[5] = { NAN, 1, NAN, 3, NAN };
	struct interval i = statistics_mean(v, NULL, 5, 1);

	(void)state;
	assert_int_equal(i.n, 2);
	near(i.value, 2, 0);
	near(i.low, 1, 0);
	near(i.high, 3, 0);
	i = statistics_mean(v, NULL, 1, 1);
	assert_int_equal(i.n, 0);
	assert_true(isnan(i.value) && isnan(i.low) && isnan(i.high));
	i = statistics_median(v, NULL, 0, 1);
	assert_true(isnan(i.value));
}

static void one_task_tells_nothing_of_others(void **state)
{
	static const int one[3] = { 4, 4, 4 };
	static const double v[3] = { 1, 2, 6 };
	struct interval i = statistics_mean(v, one, 3, 1);

	(void)state;
	near(i.value, 3, 1e-12);
	assert_true(isnan(i.low) && isnan(i.high));
}

static void equal_seeds_give_equal_intervals(void **state)
{
	struct interval a = statistics_mean(values, NULL, 12, 5);
	struct interval b = statistics_mean(values, NULL, 12, 5);
	struct interval c = statistics_mean(values, NULL, 12, 6);

	(void)state;
	assert_true(a.value == b.value && a.low == b.low && a.high == b.high && a.n == b.n);
	assert_true(a.low != c.low || a.high != c.high);
	near(a.low, c.low, 0.02);
}

static void rates_have_wilsons_interval(void **state)
{
	static const struct {
		int k, n;
		double low, high;
	} want[] = { { 0, 10, 0, 0.27753279986288926 },
		     { 3, 10, 0.10779126740630102, 0.6032218525388546 },
		     { 10, 10, 0.7224672001371109, 1 },
		     { 53, 180, 0.23271369718530804, 0.36476556307135516 },
		     { 1, 1, 0.20654931437723745, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct interval r = statistics_rate(want[i].k, want[i].n);
		near(r.value, (double)want[i].k / want[i].n, 1e-15);
		near(r.low, want[i].low, 1e-12);
		near(r.high, want[i].high, 1e-12);
	}
	assert_true(isnan(statistics_rate(0, 0).value));
}

static void pass_at_k_is_the_unbiased_estimate(void **state)
{
	(void)state;
	near(statistics_pass_at(10, 3, 1), 0.3, 1e-15);
	near(statistics_pass_at(10, 3, 4), 5.0 / 6, 1e-15); /* 1 - C(7,4)/C(10,4) = 1 - 35/210 */
	near(statistics_pass_at(5, 1, 5), 1, 0);
	near(statistics_pass_at(8, 7, 2), 1, 0);
	near(statistics_pass_at(8, 0, 2), 0, 0);
	near(statistics_pass_at(200, 13, 100), 0.9999194971988055, 1e-13);
	assert_true(isnan(statistics_pass_at(4, 2, 5)));
}

static void mcnemar_is_the_exact_binomial(void **state)
{
	(void)state;
	near(statistics_mcnemar(1, 8), 0.0390625, 1e-12);
	near(statistics_mcnemar(8, 1), 0.0390625, 1e-12);
	near(statistics_mcnemar(5, 5), 1, 0);
	near(statistics_mcnemar(0, 6), 0.03125, 1e-12);
	near(statistics_mcnemar(30, 55), 0.008836205876094518, 1e-9);
	near(statistics_mcnemar(300, 420), 8.807756168615114e-06, 1e-12);
	near(statistics_mcnemar(0, 0), 1, 0);
}

static void pairs_are_tested_by_flipping_signs(void **state)
{
	static const int cluster[12] = { 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3 };
	double after[12];
	struct paired p;

	(void)state;
	for (int i = 0; i < 12; i++)
		after[i] = values[i] + gains[i];
	p = statistics_paired(values, after, NULL, 12, 3);
	assert_int_equal(p.n, 12);
	assert_int_equal(p.better, 8);
	assert_int_equal(p.worse, 3);
	assert_int_equal(p.equal, 1);
	near(p.difference.value, 0.0925, 1e-12);
	/* scipy.stats.bootstrap, permutation_test(permutation_type="samples") over all flips */
	near(p.difference.low, 0.015833, 0.006);
	near(p.difference.high, 0.176667, 0.006);
	near(p.p, 0.0546875, 1e-12);
	/* four tasks flip as wholes: all four sums are above 0, so only two of the sixteen are as
	 * far */
	p = statistics_paired(values, after, cluster, 12, 3);
	assert_int_equal(p.clusters, 4);
	near(p.p, 0.125, 1e-12);
}

static void many_pairs_are_tested_by_draws(void **state)
{
	double a[30] = { 0 }, b[30];
	struct paired p, q;

	(void)state;
	for (int i = 0; i < 30; i++)
		b[i] = i * 37 % 101 / 100.0 - 0.42;
	p = statistics_paired(a, b, NULL, 30, 11);
	near(p.p, 0.2508574072, 0.006); /* counted over all 2^30 */
	q = statistics_paired(b, a, NULL, 30, 12);
	near(q.p, p.p, 0.006);
	near(q.difference.value, -p.difference.value, 1e-12);
}

static void pairs_with_a_gap_are_left_out(void **state)
{
	static const double a[4] = { 1, NAN, 1, 1 }, b[4] = { 1, 5, NAN, 1 };
	struct paired p = statistics_paired(a, b, NULL, 4, 1);

	(void)state;
	assert_int_equal(p.n, 2);
	assert_int_equal(p.equal, 2);
	near(p.p, 1, 0);
	p = statistics_paired(a, b, NULL, 0, 1);
	assert_int_equal(p.n, 0);
	assert_true(isnan(p.p) && isnan(p.difference.value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bootstrap_agrees_with_scipy),
		cmocka_unit_test(values_of_one_cluster_are_drawn_together),
		cmocka_unit_test(missing_values_are_left_out),
		cmocka_unit_test(one_task_tells_nothing_of_others),
		cmocka_unit_test(equal_seeds_give_equal_intervals),
		cmocka_unit_test(rates_have_wilsons_interval),
		cmocka_unit_test(pass_at_k_is_the_unbiased_estimate),
		cmocka_unit_test(mcnemar_is_the_exact_binomial),
		cmocka_unit_test(pairs_are_tested_by_flipping_signs),
		cmocka_unit_test(many_pairs_are_tested_by_draws),
		cmocka_unit_test(pairs_with_a_gap_are_left_out),
	};

	return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
