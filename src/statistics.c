/*
 * statistics.c - bootstrap, permutation, and closed forms.
 */
#include "src/statistics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 10000, EXACT_CLUSTERS = 20, FLIPS = 100000 };
#define Z95 1.959963984540054

/* splitmix64 (Steele, Lea, Flood 2014): the same everywhere. */
static uint64_t draw(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static int draw_below(uint64_t *state, int n)
{
	return (int)((draw(state) >> 32) * (uint64_t)n >> 32);
}

static int by_value(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* ---- values in clusters ---- */

struct sample {
	double *v;    /* those that are no NAN, ascending for a median */
	int *cluster; /* of each, numbered from 0 without gaps */
	int n, clusters;
};

struct keyed {
	double v;
	int key, at;
};

static int by_key(const void *pa, const void *pb)
{
	const struct keyed *a = pa, *b = pb;

	return a->key != b->key ? (a->key > b->key) - (a->key < b->key) : a->at - b->at;
}

static int by_keyed_value(const void *pa, const void *pb)
{
	const struct keyed *a = pa, *b = pb;

	return a->v != b->v ? (a->v > b->v) - (a->v < b->v) : a->at - b->at;
}

static void sample_release(struct sample *s)
{
	free(s->v);
	free(s->cluster);
}

static int sample_make(struct sample *s, const double *v, const int *cluster, int n, bool sorted)
{
	struct keyed *k = calloc((size_t)n + 1, sizeof(*k));

	*s = (struct sample){ .v = calloc((size_t)n + 1, sizeof(*s->v)),
		              .cluster = calloc((size_t)n + 1, sizeof(*s->cluster)) };
	if (!k || !s->v || !s->cluster) {
		free(k);
		sample_release(s);
		return -1;
	}
	for (int i = 0; i < n; i++)
		if (!isnan(v[i])) {
			k[s->n] = (struct keyed){ v[i], cluster ? cluster[i] : i, s->n };
			s->n++;
		}
	qsort(k, (size_t)s->n, sizeof(*k), by_key);
	for (int i = 0, before = 0; i < s->n; i++) {
		s->clusters += i == 0 || k[i].key != before;
		before = k[i].key;
		k[i].key = s->clusters - 1;
	}
	if (sorted)
		qsort(k, (size_t)s->n, sizeof(*k), by_keyed_value);
	for (int i = 0; i < s->n; i++) {
		s->v[i] = k[i].v;
		s->cluster[i] = k[i].key;
	}
	free(k);
	return 0;
}

static double percentile(const double *sorted, int n, double q)
{
	double at = q * (n - 1);
	int i = (int)at;

	return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* The median of the values, each as often as its cluster was drawn. */
static double drawn_median(const struct sample *s, const int *times)
{
	long all = 0, seen = 0;
	double low = NAN;

	for (int i = 0; i < s->n; i++)
		all += times[s->cluster[i]];
	for (int i = 0; i < s->n; i++) {
		seen += times[s->cluster[i]];
		if (isnan(low) && 2 * seen >= all)
			low = s->v[i];
		if (2 * seen > all)
			return (low + s->v[i]) / 2;
	}
	return low;
}

static double drawn_mean(const double *sum, const int *count, const int *times, int clusters)
{
	double total = 0;
	long all = 0;

	for (int c = 0; c < clusters; c++) {
		total += times[c] * sum[c];
		all += (long)times[c] * count[c];
	}
	return total / (double)all;
}

static struct interval bootstrap(const double *v, const int *cluster, int n, uint64_t seed,
                                 bool median)
{
	struct interval out = { NAN, NAN, NAN, 0 };
	struct sample s;
	double *sum = NULL, *found = NULL;
	int *count = NULL, *times = NULL;

	if (sample_make(&s, v, cluster, n, median) < 0)
		return out;
	out.n = s.n;
	sum = calloc((size_t)s.clusters + 1, sizeof(*sum));
	count = calloc((size_t)s.clusters + 1, sizeof(*count));
	times = calloc((size_t)s.clusters + 1, sizeof(*times));
	found = calloc(RESAMPLES, sizeof(*found));
	if (s.n == 0 || !sum || !count || !times || !found)
		goto done;
	for (int i = 0; i < s.n; i++) {
		sum[s.cluster[i]] += s.v[i];
		count[s.cluster[i]]++;
		times[s.cluster[i]] = 1;
	}
	out.value = median ? drawn_median(&s, times) : drawn_mean(sum, count, times, s.clusters);
	if (s.clusters < 2)
		goto done;
	for (int k = 0; k < RESAMPLES; k++) {
		memset(times, 0, (size_t)s.clusters * sizeof(*times));
		for (int c = 0; c < s.clusters; c++)
			times[draw_below(&seed, s.clusters)]++;
		found[k] = median ? drawn_median(&s, times)
		                  : drawn_mean(sum, count, times, s.clusters);
	}
	qsort(found, RESAMPLES, sizeof(*found), by_value);
	out.low = percentile(found, RESAMPLES, 0.025);
	out.high = percentile(found, RESAMPLES, 0.975);
done:
	free(sum);
	free(count);
	free(times);
	free(found);
	sample_release(&s);
	return out;
}

struct interval statistics_mean(const double *v, const int *cluster, int n, uint64_t seed)
{
	return bootstrap(v, cluster, n, seed, false);
}

struct interval statistics_median(const double *v, const int *cluster, int n, uint64_t seed)
{
	return bootstrap(v, cluster, n, seed, true);
}

/* ---- closed forms ---- */

struct interval statistics_rate(int k, int n)
{
	struct interval out = { NAN, NAN, NAN, n };

	if (n <= 0)
		return out;
	double p = (double)k / n, zz = Z95 * Z95 / n;
	double middle = (p + zz / 2) / (1 + zz);
	double half = Z95 / (1 + zz) * sqrt(p * (1 - p) / n + zz / (4 * n));
	out.value = p;
	out.low = k == 0 ? 0 : fmax(0, middle - half);
	out.high = k == n ? 1 : fmin(1, middle + half);
	return out;
}

double statistics_pass_at(int n, int c, int k)
{
	double none = 1;

	if (k > n || k < 1 || c < 0 || c > n)
		return NAN;
	if (n - c < k)
		return 1;
	for (int i = n - c + 1; i <= n; i++)
		none *= 1 - (double)k / i;
	return 1 - none;
}

double statistics_mcnemar(int only_a, int only_b)
{
	int n = only_a + only_b, least = only_a < only_b ? only_a : only_b;
	double sum = 0;

	if (n == 0)
		return 1;
	for (int i = 0; i <= least; i++)
		sum += exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) - n * M_LN2);
	return fmin(1, 2 * sum);
}

/* ---- pairs ---- */

/* How likely signs alone make the sum of @d as far from 0 as it is. */
static double flip_signs(const double *d, int n, uint64_t seed)
{
	double sum = 0, size = 0, far;
	long as_far = 0, all = n <= EXACT_CLUSTERS ? 1L << n : FLIPS;

	for (int i = 0; i < n; i++) {
		sum += d[i];
		size += fabs(d[i]);
	}
	/* sums that are equal but for the order of adding are equal */
	far = fabs(sum) - 1e-12 * size;
	for (long k = 0; k < all; k++) {
		uint64_t signs = (uint64_t)k;
		double s = 0;
		for (int i = 0; i < n; i++) {
			if (n > EXACT_CLUSTERS && i % 64 == 0)
				signs = draw(&seed);
			s += signs >> i % 64 & 1 ? -d[i] : d[i];
		}
		as_far += fabs(s) >= far;
	}
	return n <= EXACT_CLUSTERS ? (double)as_far / (double)all
	                           : (double)(as_far + 1) / (double)(all + 1);
}

struct paired statistics_paired(const double *a, const double *b, const int *cluster, int n,
                                uint64_t seed)
{
	struct paired out = { .difference = { NAN, NAN, NAN, 0 }, .p = NAN };
	double *d = calloc((size_t)n + 1, sizeof(*d)), *sum = NULL;
	struct sample s = { 0 };
	int differ = 0;

	if (!d)
		return out;
	for (int i = 0; i < n; i++) {
		d[i] = b[i] - a[i];
		out.better += d[i] > 0;
		out.worse += d[i] < 0;
		out.equal += d[i] == 0;
	}
	out.difference = statistics_mean(d, cluster, n, seed);
	out.n = out.difference.n;
	if (out.n == 0 || sample_make(&s, d, cluster, n, false) < 0)
		goto done;
	out.clusters = s.clusters;
	if (!(sum = calloc((size_t)s.clusters + 1, sizeof(*sum))))
		goto done;
	for (int i = 0; i < s.n; i++)
		sum[s.cluster[i]] += s.v[i];
	/* what sums up to nothing stays nothing under either sign */
	for (int c = 0; c < s.clusters; c++)
		if (sum[c] != 0)
			sum[differ++] = sum[c];
	out.p = flip_signs(sum, differ, seed ^ 0x5851f42d4c957f2du);
done:
	free(sum);
	free(d);
	sample_release(&s);
	return out;
}
