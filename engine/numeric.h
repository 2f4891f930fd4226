/*
 * numeric.h - sums and means in numpy's order, where the last bit is to agree with it; the lesser
 * and the greater of two.
 */
#ifndef ENGINE_NUMERIC_H
#define ENGINE_NUMERIC_H

#include <stddef.h>

/* fmin() and fmax() of libm are calls, for the sake of NaN; where there is none, these. */
static inline double least(double a, double b)
{
	return a < b ? a : b;
}

static inline double most(double a, double b)
{
	return a > b ? a : b;
}

/* min(1, max(0, x)) */
double clip01(double x);
/* numpy.sum of contiguous float64: pairwise, in blocks of at most 128 with eight running sums. */
double sum_pairwise(const double *x, size_t n);
/* numpy.mean; 0 for none */
double mean_pairwise(const double *x, size_t n);
/* numpy.percentile with method "linear". Rearranges @x (no NAN in it). @q in 0..100; 0 for none */
double percentile_linear(double *x, size_t n, double q);

#endif
