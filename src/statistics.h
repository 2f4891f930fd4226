/*
 * statistics.h - what evaluations are judged by. Pure; equal numbers and seed give equal results on
 * every machine. Missing values are NAN and left out. Where memory runs out an interval has NAN for
 * its ends.
 */
#ifndef SRC_STATISTICS_H
#define SRC_STATISTICS_H

#include <stdint.h>

struct interval {
	double value, low, high; /* NAN: nothing to tell from; the ends also with one cluster */
	int n;                   /* values that are there */
};

/* Mean with the percentile bootstrap's interval of 95 % (Efron 1979), 10,000 resamples, ends
 * interpolated as numpy.percentile does. @cluster [n]: values of equal cluster (a task) are drawn
 * together, as many clusters as there are; NULL: each alone. */
struct interval statistics_mean(const double *v, const int *cluster, int n, uint64_t seed);
struct interval statistics_median(const double *v, const int *cluster, int n, uint64_t seed);
/* A share of n, Wilson's interval of 95 % (E. B. Wilson 1927). */
struct interval statistics_rate(int k, int n);

/* The unbiased estimate that at least one of @k answers is right when @c of @n were (Chen et al.
 * 2021, arXiv 2107.03374): 1 - C(n-c, k) / C(n, k). NAN when k > n. */
double statistics_pass_at(int n, int c, int k);

struct paired {
	int n, clusters;            /* pairs that both have, and clusters of them */
	struct interval difference; /* mean of b - a over pairs, bootstrap over clusters */
	/* Two-sided; sign-flip permutation test of that mean, the pairs of a cluster flipped
	 * together: exact up to 20 clusters that differ, else 100,000 draws, p = (1 + as far) / (1
	 * + draws) (Phipson, Smyth 2010). 1 when nothing differs */
	double p;
	int better, worse, equal; /* pairs: b against a */
};
/* @cluster as above; a pair of which one is NAN is left out. */
struct paired statistics_paired(const double *a, const double *b, const int *cluster, int n,
                                uint64_t seed);
/* Two answers yes or no on the same items: McNemar's exact test, two-sided; @only_a: a yes and b
 * no. 1 when there is no item in which they differ. */
double statistics_mcnemar(int only_a, int only_b);

#endif
