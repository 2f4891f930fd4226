#include "gpu/lookup.h"

#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 64, MATCH_MAX = 32, NEAR = 24, LOST = 16, SURE = 3 };

/* What a fresh answer believes of each class: share held, as if seen four times. Classes: goes on
 * after one token that was replaced; one token matches at the place expected; 2-3, 4-7, 8-15, 16
 * and more tokens match. */
static const double prior[LOOKUP_CLASSES] = { 0.3, 0.4, 0.5, 0.7, 0.85, 0.95 };

int lookup_init(struct lookup *l)
{
	*l = (struct lookup){ .at = -1 };
	for (int i = 0; i < LOOKUP_CLASSES; i++) {
		l->trust[i].tried = 4;
		l->trust[i].held = 4 * prior[i];
	}
	return 0;
}

void lookup_release(struct lookup *l)
{
	free(l->id);
	free(l->before);
	free(l->bucket);
	*l = (struct lookup){ .at = -1 };
}

static int bucket_of(const struct lookup *l, int i)
{
	uint64_t h = (uint64_t)(uint32_t)l->id[i - 1] << 32 | (uint32_t)l->id[i];
	h *= 0x9E3779B97F4A7C15u;
	return (int)(h >> 40 & (uint64_t)(l->n_buckets - 1));
}

static void index_pair(struct lookup *l, int i)
{
	l->before[i] = -1;
	if (i < 1 || l->id[i] < 0 || l->id[i - 1] < 0)
		return;
	int b = bucket_of(l, i);
	l->before[i] = l->bucket[b];
	l->bucket[b] = i;
}

static int grow(struct lookup *l, int n)
{
	if (n <= l->cap)
		return 0;
	int cap = l->cap ? l->cap : 1024;
	while (cap < n)
		cap *= 2;
	int32_t *id = realloc(l->id, (size_t)cap * sizeof(*id));
	if (!id)
		return -1;
	l->id = id;
	int32_t *before = realloc(l->before, (size_t)cap * sizeof(*before));
	if (!before)
		return -1;
	l->before = before;
	int32_t *bucket = realloc(l->bucket, (size_t)cap * sizeof(*bucket));
	if (!bucket)
		return -1;
	l->bucket = bucket;
	l->cap = cap;
	l->n_buckets = cap;
	memset(l->bucket, 0xff, (size_t)cap * sizeof(*bucket));
	for (int i = 0; i < l->n; i++)
		index_pair(l, i);
	return 0;
}

static int add(struct lookup *l, const int32_t *id, int n)
{
	if (n > (1 << 28) - l->n || grow(l, l->n + n) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		l->id[l->n] = id[i];
		index_pair(l, l->n);
		l->n++;
	}
	return 0;
}

int lookup_add_text(struct lookup *l, const int32_t *id, int n)
{
	const int32_t end = -1;
	if (add(l, id, n) < 0 || add(l, &end, 1) < 0)
		return -1;
	return 0;
}

int lookup_add_prompt(struct lookup *l, const int32_t *id, int n)
{
	return add(l, id, n);
}

int lookup_add_token(struct lookup *l, int32_t id)
{
	if (add(l, &id, 1) < 0)
		return -1;
	if (l->at < 0)
		return 0;
	l->missed = l->id[l->at] == id ? 0 : l->missed + 1;
	l->at++;
	if (l->missed > LOST || l->at >= l->n - 1 || l->id[l->at] < 0)
		l->at = -1;
	return 0;
}

/* How many tokens before @at are as those at the end. */
static int match(const struct lookup *l, int at)
{
	int n = 0;
	while (n < MATCH_MAX && n < at && l->id[at - 1 - n] >= 0 &&
	       l->id[at - 1 - n] == l->id[l->n - 1 - n])
		n++;
	return n;
}

void lookup_find(struct lookup *l, int max, struct lookup_draft *out)
{
	int best = -1, best_score = 0, length = 0;

	*out = (struct lookup_draft){ .n = 0 };
	if (max < 1 || l->n < 2)
		return;
	/* near where the followed text was left: after a replaced, added or dropped piece. Two
	 * tokens' worth of a longer match is given for being there. */
	for (int d = 0; l->at >= 0 && d < NEAR; d++) {
		int at = l->at - (d & 1 ? (d + 1) / 2 : -d / 2);
		if (at < 1 || at >= l->n - 1 || l->id[at] < 0)
			continue;
		int m = match(l, at);
		if (m > 0 && m + 2 > best_score) {
			best = at;
			best_score = m + 2;
			length = m;
		}
	}
	int i = l->before[l->n - 1];
	for (int tried = 0; i >= 0 && tried < CHAIN_MAX; tried++, i = l->before[i]) {
		int at = i + 1;
		if (at >= l->n || l->id[at] < 0)
			continue;
		int m = match(l, at);
		if (m >= 2 && m > best_score) {
			best = at;
			best_score = length = m;
		}
	}
	if (best < 0 && l->at >= 0 && l->missed == 1)
		best = l->at;
	if (best < 0)
		return;
	if (length >= 2 || best == l->at) {
		l->at = best;
		if (length >= 2)
			l->missed = 0;
	}
	out->kind = length >= 16 ? 5 : length >= 8 ? 4 : length >= 4 ? 3 : length >= 2 ? 2 : length;
	out->id = l->id + best;
	out->p = l->trust[out->kind].held / l->trust[out->kind].tried;
	while (out->n < max && best + out->n < l->n && out->id[out->n] >= 0)
		out->n++;
}

void lookup_tell(struct lookup *l, int kind, int n, int held)
{
	const double fade = 0.9;
	if (n < 1)
		return;
	l->trust[kind].tried = fade * l->trust[kind].tried + held + (held < n);
	l->trust[kind].held = fade * l->trust[kind].held + held;
}

/* ---- costs ---- */

static const double column_guess = 0.02;

void lookup_costs_note(struct lookup_costs *c, int columns, double seconds)
{
	if (columns < 1 || columns > LOOKUP_COLUMNS || !(seconds > 0))
		return;
	double *s = &c->s[columns];
	if (c->seen[columns] < 3) /* the first may have warmed things up */
		*s = c->seen[columns] && *s < seconds ? *s : seconds;
	else
		*s += 0.1 * ((seconds < 3 * *s ? seconds : 3 * *s) - *s);
	if (c->seen[columns] < 1000)
		c->seen[columns]++;
}

double lookup_costs_of(const struct lookup_costs *c, int columns)
{
	int below = columns, above = columns;
	while (below > 0 && !c->seen[below])
		below--;
	while (above <= LOOKUP_COLUMNS && !c->seen[above])
		above++;
	if (below < 1 && above > LOOKUP_COLUMNS)
		return 0;
	if (below < 1)
		return c->s[above];
	double guess = c->s[below] * (1 + column_guess * (columns - below));
	if (above > LOOKUP_COLUMNS)
		return guess;
	if (below == above) {
		/* once is no measurement, where a guess from fewer columns says less */
		int lower = below - 1;
		while (lower > 0 && !c->seen[lower])
			lower--;
		if (c->seen[below] > 1 || lower < 1)
			return c->s[below];
		guess = c->s[lower] * (1 + column_guess * (columns - lower));
		return guess < c->s[below] ? guess : c->s[below];
	}
	if (c->seen[above] < 2) {
		double upper = lookup_costs_of(c, above);
		return c->s[below] +
		       (upper - c->s[below]) * (columns - below) / (double)(above - below);
	}
	return c->s[below] +
	       (c->s[above] - c->s[below]) * (columns - below) / (double)(above - below);
}

int lookup_worth(struct lookup_costs *c, int columns, double tokens, const struct lookup_draft *d,
                 int max)
{
	double plain = lookup_costs_of(c, columns);
	int n = d->n < max ? d->n : max, best = 0;

	if (n > LOOKUP_COLUMNS - columns)
		n = LOOKUP_COLUMNS - columns;
	if (n < 1)
		return 0;
	double rate = plain > 0 ? 1.03 * tokens / plain : 0;
	double expected = tokens, chain = 1;
	for (int m = 1; m <= n; m++) {
		chain *= d->p;
		expected += chain;
		if (m != n && (m & (m + 1)) != 0)
			continue;
		double seconds = lookup_costs_of(c, columns + m);
		if (!(plain > 0)) /* nothing is known: as if weights came from memory */
			seconds = 1 + column_guess * m;
		if (expected / seconds > rate) {
			rate = expected / seconds;
			best = m;
		}
	}
	if (best == 0 && d->kind >= SURE && ++c->refused % 256 == 0)
		best = n < 4 ? n : 4;
	return best;
}
