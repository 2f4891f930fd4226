#include "src/agreement.h"

#include <math.h>
#include <stdlib.h>

static int by_turn(const void *a, const void *b)
{
	const struct graded *x = a, *y = b;

	if (x->turn != y->turn)
		return x->turn < y->turn ? -1 : 1;
	return (x->judge > y->judge) - (x->judge < y->judge);
}

static int by_judge_and_task(const void *a, const void *b)
{
	const struct graded *x = a, *y = b;

	if (x->judge != y->judge)
		return x->judge < y->judge ? -1 : 1;
	if (x->task != y->task)
		return x->task < y->task ? -1 : 1;
	return (x->turn > y->turn) - (x->turn < y->turn);
}

size_t graded_in_force(struct graded *v, size_t n)
{
	size_t kept = 0;

	/* judgements of one turn are few and mostly near each other; an array of them is read once
	 */
	for (size_t i = 0; i < n; i++) {
		size_t k = kept;
		while (k > 0 && !(v[k - 1].turn == v[i].turn && v[k - 1].judge == v[i].judge))
			k--;
		if (k > 0)
			v[k - 1] = v[i];
		else
			v[kept++] = v[i];
	}
	return kept;
}

void agreement_of(struct graded *v, size_t n, struct agreement *out)
{
	double count[6] = { 0 }, observed = 0, expected = 0, sum = 0, all = 0, agrees = 0;
	int highest = -1, exact = 0, near_ = 0;

	*out = (struct agreement){ .grades = (int)n,
		                   .exact = NAN,
		                   .within_one = NAN,
		                   .mean_difference = NAN,
		                   .alpha = NAN,
		                   .reward_agrees = NAN };
	qsort(v, n, sizeof(*v), by_judge_and_task);
	for (size_t i = 0; i < n; i++) {
		if (v[i].judge != highest)
			out->judges++;
		highest = v[i].judge;
		for (size_t k = i + 1; k < n && v[k].judge == v[i].judge && v[k].task == v[i].task;
		     k++) {
			if (v[k].grade == v[i].grade || isnan(v[i].total) || isnan(v[k].total))
				continue;
			double d = (v[k].total - v[i].total) * (v[k].grade - v[i].grade);
			out->reward_pairs++;
			agrees += d > 0 ? 1 : d < 0 ? 0 : 0.5;
		}
	}
	if (out->reward_pairs)
		out->reward_agrees = agrees / (double)out->reward_pairs;

	qsort(v, n, sizeof(*v), by_turn);
	for (size_t i = 0, end; i < n; i = end) {
		double apart = 0;
		end = i;
		while (end < n && v[end].turn == v[i].turn)
			end++;
		size_t m = end - i;
		if (m < 2)
			continue;
		out->turns++;
		for (size_t a = i; a < end; a++) {
			count[v[a].grade]++;
			for (size_t b = a + 1; b < end; b++) {
				int d = abs(v[a].grade - v[b].grade);
				out->pairs++;
				exact += d == 0;
				near_ += d <= 1;
				sum += d;
				apart += 2.0 * d * d;
			}
		}
		observed += apart / (double)(m - 1);
		all += (double)m;
	}
	if (!out->pairs)
		return;
	out->exact = (double)exact / out->pairs;
	out->within_one = (double)near_ / out->pairs;
	out->mean_difference = sum / out->pairs;
	for (int a = 0; a < 6; a++)
		for (int b = 0; b < 6; b++)
			expected += count[a] * count[b] * (a - b) * (a - b);
	if (expected > 0)
		out->alpha = 1 - (all - 1) * observed / expected;
}

static bool about_the_same(const struct preference *a, const struct preference *b)
{
	return (a->better == b->better && a->worse == b->worse) ||
	       (a->better == b->worse && a->worse == b->better);
}

size_t preferences_in_force(struct preference *v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = kept;
		while (k > 0 && !(v[k - 1].judge == v[i].judge && about_the_same(&v[k - 1], &v[i])))
			k--;
		if (k > 0)
			v[k - 1] = v[i];
		else
			v[kept++] = v[i];
	}
	return kept;
}

void preferences_of(const struct preference *v, size_t n, struct preferences_agreement *out)
{
	double agrees = 0;
	int same = 0;

	*out = (struct preferences_agreement){ .pairs = (int)n, .same = NAN, .reward_agrees = NAN };
	for (size_t i = 0; i < n; i++) {
		bool first = true;
		out->equal += v[i].equal;
		for (size_t k = 0; k < i; k++) {
			first = first && v[k].judge != v[i].judge;
			if (!about_the_same(&v[k], &v[i]))
				continue;
			out->shared++;
			same += v[k].equal == v[i].equal &&
			        (v[k].equal || v[k].better == v[i].better);
		}
		out->judges += first;
		if (v[i].equal || isnan(v[i].total_better) || isnan(v[i].total_worse))
			continue;
		double d = v[i].total_better - v[i].total_worse;
		out->reward_pairs++;
		agrees += d > 0 ? 1 : d < 0 ? 0 : 0.5;
	}
	if (out->shared)
		out->same = (double)same / out->shared;
	if (out->reward_pairs)
		out->reward_agrees = agrees / out->reward_pairs;
}
