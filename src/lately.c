#include "src/lately.h"

#include <math.h>
#include <stdlib.h>

#define MINUTE_S 60

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of those that are finite; @slowest (may be NULL): the greatest. */
static struct queue_took took_of(const double *all, int n_all, double *slowest)
{
	double v[LATELY_JOBS];
	int n = 0;

	for (int i = 0; i < n_all; i++)
		if (isfinite(all[i]))
			v[n++] = all[i];
	if (slowest)
		*slowest = NAN;
	if (n == 0)
		return (struct queue_took){ NAN, NAN };
	qsort(v, (size_t)n, sizeof(*v), by_size);
	if (slowest)
		*slowest = v[n - 1];
	return (struct queue_took){
		.median_s = n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]),
		.p95_s = v[(95 * n + 99) / 100 - 1],
	};
}

void lately_add(struct lately *l, const double took_s[QUEUE_PARTS], double now_s)
{
	int at = (int)(l->n++ % LATELY_JOBS);

	for (int i = 0; i < QUEUE_PARTS; i++)
		l->took_s[i][at] = took_s[i];
	l->ended_s[at] = now_s;
}

void lately_sum(const struct lately *l, struct queue_row *r, double now_s)
{
	int n = l->n < LATELY_JOBS ? (int)l->n : LATELY_JOBS, ended = 0;
	double since = now_s - MINUTE_S, first = l->ended_s[l->n % LATELY_JOBS];

	for (int i = 0; i < QUEUE_PARTS; i++)
		r->took[i] = took_of(l->took_s[i], n, i == QUEUE_WORK ? &r->slowest_s : NULL);
	/* a minute may hold more jobs than are remembered */
	if (n == LATELY_JOBS && first > since)
		since = first;
	for (int i = 0; i < n; i++)
		ended += l->ended_s[i] > since;
	double over = now_s - fmax(since, l->opened_s);
	r->per_s = over > 0 ? ended / over : NAN;
}
