/*
 * policy_loss.c - the loss of a group of answers, and its derivative by every log-probability.
 */
#include "gpu/policy_loss.h"

#include <math.h>
#include <string.h>

static const char *const names[] = { "grpo", "dapo", "dr_grpo" };

int policy_reduction_parse(const char *name)
{
	for (int i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

const char *policy_reduction_name(enum policy_reduction r)
{
	return names[r];
}

struct token {
	double loss, slope, kl, ratio;
	bool clipped;
};

static struct token token_loss(const struct policy_options *o, const struct policy_answer *a, int i)
{
	double lp = (double)a->logp[i], old = a->old ? (double)a->old[i] : lp;
	double adv = a->advantage;
	struct token t = { .ratio = exp(lp - old), .kl = NAN };
	double low = 1 - o->low, high = 1 + o->high;

	t.clipped = (t.ratio < low && adv < 0) || (t.ratio > high && adv > 0);
	if (t.clipped) {
		t.loss = -(t.ratio < low ? low : high) * adv;
	} else {
		t.loss = -t.ratio * adv;
		t.slope = -t.ratio * adv;
	}
	if (!a->reference)
		return t;
	double d = (double)a->reference[i] - lp, k = exp(d) - d - 1, dk = 1 - exp(d);
	if (o->weighted_kl) {
		dk = t.ratio * (k + dk);
		k *= t.ratio;
	}
	t.kl = k;
	if (o->beta != 0) {
		t.loss += o->beta * k;
		t.slope += o->beta * dk;
	}
	return t;
}

int policy_loss(const struct policy_options *o, const struct policy_answer *v, int n,
                struct policy_figures *out, struct err *e)
{
	struct policy_figures f = { 0 };
	bool reference = n > 0;

	if (n < 1)
		return err_set(e, ERR_INPUT, "a group of at least one answer was expected");
	if (o->reduction == POLICY_DR_GRPO && o->longest < 1)
		return err_set(e, ERR_INPUT, "dr_grpo needs how long an answer may be");
	for (int a = 0; a < n; a++) {
		if (v[a].n < 1)
			return err_set(e, ERR_INPUT, "answer %d has no token", a + 1);
		if (o->beta != 0 && !v[a].reference)
			return err_set(e, ERR_INPUT, "answer %d has no reference, and beta is %g",
			               a + 1, o->beta);
		reference = reference && v[a].reference;
		f.tokens += v[a].n;
	}
	for (int a = 0; a < n; a++) {
		double share = o->reduction == POLICY_GRPO   ? 1.0 / v[a].n / n
		               : o->reduction == POLICY_DAPO ? 1.0 / (double)f.tokens
		                                             : 1.0 / ((double)n * o->longest);
		for (int i = 0; i < v[a].n; i++) {
			struct token t = token_loss(o, &v[a], i);
			if (!isfinite(t.loss) || !isfinite(t.slope))
				return err_set(
					e, ERR_INPUT,
					"answer %d, token %d: the loss is no finite number (log-"
					"probability %g, old %g, advantage %g)",
					a + 1, i + 1, (double)v[a].logp[i],
					v[a].old ? (double)v[a].old[i] : (double)v[a].logp[i],
					v[a].advantage);
			v[a].coef[i] = (float)(share * t.slope);
			f.loss += share * t.loss;
			f.kl += reference ? t.kl / (double)f.tokens : 0;
			f.clipped += t.clipped / (double)f.tokens;
			f.ratio_max = t.ratio > f.ratio_max ? t.ratio : f.ratio_max;
		}
	}
	if (!reference)
		f.kl = NAN;
	*out = f;
	return 0;
}

void policy_advantages(const double *reward, int n, double *out)
{
	double mean = 0, sum = 0;

	for (int i = 0; i < n; i++)
		mean += reward[i] / n;
	for (int i = 0; i < n; i++)
		sum += (reward[i] - mean) * (reward[i] - mean);
	double std = n > 1 ? sqrt(sum / (n - 1)) : 0;
	for (int i = 0; i < n; i++)
		out[i] = n > 1 ? (reward[i] - mean) / (std + 1e-4) : 0;
}
