/*
 * statistics.h - what evaluations are judged by. Pure; equal numbers and seed give equal results.
 * Missing values are NAN and left out.
 */
#ifndef SRC_STATISTICS_H
#define SRC_STATISTICS_H

#include <stdint.h>

struct interval {
	double value, low, high; /* NAN: nothing to tell from */
	int n;
};

/* Mean with the percentile bootstrap's interval of 95 % (Efron 1979), 10,000 resamples. @cluster
 * [n]: values of equal cluster (a task) are drawn together; NULL: each alone. */
struct interval statistics_mean(const double *v, const int *cluster, int n, uint64_t seed);
struct interval statistics_median(const double *v, const int *cluster, int n, uint64_t seed);
/* A share of n, Wilson's interval of 95 %. */
struct interval statistics_rate(int k, int n);

/* The unbiased estimate that at least one of @k answers is right when @c of @n were (Chen et al.
 * 2021, arXiv 2107.03374): 1 - C(n-c, k) / C(n, k). NAN when k > n. */
double statistics_pass_at(int n, int c, int k);

struct paired {
	int n;                      /* pairs that both have */
	struct interval difference; /* mean of b - a, bootstrap over pairs */
	double p; /* two-sided; sign-flip permutation test, exact up to 20 pairs that differ,
	           * else 100,000 draws */
	int better, worse, equal; /* b against a */
};
struct paired statistics_paired(const double *a, const double *b, int n, uint64_t seed);
/* Two answers yes or no on the same items: McNemar's exact test; @only_a: a yes and b no. */
double statistics_mcnemar(int only_a, int only_b);

#endif
