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

struct policy_token policy_token(const struct policy_options *o, double adv, float logp,
                                 const float *old_logp, const float *reference, float weight)
{
	double lp = (double)logp, old = old_logp ? (double)*old_logp : lp;
	struct policy_token t = { .ratio = exp(lp - old), .kl = NAN };
	double low = 1 - o->low, high = 1 + o->high;

	t.clipped = (t.ratio < low && adv < 0) || (t.ratio > high && adv > 0);
	if (t.clipped) {
		t.loss = -(t.ratio < low ? low : high) * adv;
	} else {
		t.loss = -t.ratio * adv;
		t.slope = -t.ratio * adv;
	}
	if (reference) {
		double d = (double)*reference - lp, k = exp(d) - d - 1, dk = 1 - exp(d);
		if (o->weighted_kl) {
			dk = t.ratio * (k + dk);
			k *= t.ratio;
		}
		t.kl = k;
		if (o->beta != 0) {
			t.loss += o->beta * k;
			t.slope += o->beta * dk;
		}
	}
	t.loss *= (double)weight;
	t.slope *= (double)weight;
	return t;
}

double policy_share(const struct policy_options *o, int n, int answers, int64_t tokens)
{
	switch (o->reduction) {
	case POLICY_GRPO:
		return 1.0 / n / answers;
	case POLICY_DAPO:
		return 1.0 / (double)tokens;
	default:
		return 1.0 / ((double)answers * o->longest);
	}
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
		double share = policy_share(o, v[a].n, n, f.tokens);
		for (int i = 0; i < v[a].n; i++) {
			struct policy_token t = policy_token(
				o, v[a].advantage, v[a].logp[i], v[a].old ? &v[a].old[i] : NULL,
				v[a].reference ? &v[a].reference[i] : NULL,
				v[a].weight ? v[a].weight[i] : 1);
			if (!isfinite(t.loss) || !isfinite(t.slope))
				return err_set(
					e, ERR_INPUT,
					"answer %d, token %d: the loss is no finite number (log-"
					"probability %g, old %g, advantage %g)",
					a + 1, i + 1, (double)v[a].logp[i],
					v[a].old ? (double)v[a].old[i] : (double)v[a].logp[i],
					v[a].advantage);
			if (v[a].coef)
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
