#include "engine/numeric.h"

#include <math.h>
#include <stdlib.h>

double clip01(double x)
{
	return fmin(1.0, fmax(0.0, x));
}

double sum_pairwise(const double *x, size_t n)
{
	if (n < 8) {
		double s = 0;
		for (size_t i = 0; i < n; i++)
			s += x[i];
		return s;
	}
	if (n > 128) {
		size_t half = n / 2;
		half -= half % 8;
		return sum_pairwise(x, half) + sum_pairwise(x + half, n - half);
	}
	double r[8];
	size_t i;
	for (int k = 0; k < 8; k++)
		r[k] = x[k];
	for (i = 8; i < n - n % 8; i += 8)
		for (int k = 0; k < 8; k++)
			r[k] += x[i + k];
	double s = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
	for (; i < n; i++)
		s += x[i];
	return s;
}

double mean_pairwise(const double *x, size_t n)
{
	return n ? sum_pairwise(x, n) / (double)n : 0.0;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double percentile_linear(double *x, size_t n, double q)
{
	if (n == 0)
		return 0;
	qsort(x, n, sizeof(*x), ascending);
	double at = (q / 100.0) * (double)(n - 1);
	double below = floor(at);
	size_t i = (size_t)below;
	if (i + 1 >= n)
		return x[n - 1];
	double t = at - below, d = x[i + 1] - x[i];
	return t >= 0.5 ? x[i + 1] - d * (1 - t) : x[i] + d * t;
}
