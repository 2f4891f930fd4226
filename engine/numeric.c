#include "engine/numeric.h"

#include <math.h>

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

/* Rearranges @x so that x[k] is what sorting would put there, with nothing larger before it and
 * nothing smaller after it (Hoare's selection). */
static void select_place(double *x, size_t n, size_t k)
{
	size_t lo = 0, hi = n - 1;

	while (lo < hi) {
		double pivot = x[lo + (hi - lo) / 2];
		size_t i = lo, j = hi;
		for (;;) {
			while (x[i] < pivot)
				i++;
			while (x[j] > pivot)
				j--;
			if (i >= j)
				break;
			double t = x[i];
			x[i++] = x[j];
			x[j--] = t;
		}
		/* All before i are at most the pivot, all after j at least. */
		if (k <= j && j < hi)
			hi = j;
		else if (k >= i && i > lo)
			lo = i;
		else
			return;
	}
}

double percentile_linear(double *x, size_t n, double q)
{
	if (n == 0)
		return 0;
	double at = (q / 100.0) * (double)(n - 1);
	double below = floor(at);
	size_t i = (size_t)below;
	select_place(x, n, i);
	if (i + 1 >= n)
		return x[n - 1];
	double next = x[i + 1];
	for (size_t k = i + 2; k < n; k++)
		if (x[k] < next)
			next = x[k];
	double t = at - below, d = next - x[i];
	return t >= 0.5 ? next - d * (1 - t) : x[i] + d * t;
}
