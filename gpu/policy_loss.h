/*
 * policy_loss.h - the loss of a group of answers to one prompt (GRPO and its kin), and what of it
 * falls to each token: a pure function of log-probabilities and advantages.
 *
 * Formulas: qwen35.md, section 13. Per token, with lp the policy that learns, old the one that drew
 * the answer, ref the reference:
 *   ratio = exp(lp - old)
 *   l = -min(ratio A, clip(ratio, 1 - low, 1 + high) A) + beta k
 *   k = exp(ref - lp) - (ref - lp) - 1, times ratio when it is weighted
 * times @weight, where answers have one. The sum over tokens is reduced as @reduction says.
 * Log-probabilities are of logits divided by the temperature of sampling, without top-k and top-p.
 */
#ifndef GPU_POLICY_LOSS_H
#define GPU_POLICY_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"

enum policy_reduction {
	POLICY_GRPO,   /* mean over answers of each one's mean over its tokens */
	POLICY_DAPO,   /* sum over all tokens / their number */
	POLICY_DR_GRPO /* sum over all tokens / (answers x longest) */
};
/* "grpo", "dapo", "dr_grpo"; -1: unknown */
int policy_reduction_parse(const char *name);
const char *policy_reduction_name(enum policy_reduction r);

struct policy_options {
	enum policy_reduction reduction;
	double beta;      /* of the pull to the reference; 0: none */
	double low, high; /* of the clip; 0.2 as published */
	bool weighted_kl; /* k is multiplied by the ratio, through which gradients flow too */
	int longest;      /* tokens an answer may have; POLICY_DR_GRPO */
};

struct policy_answer {
	int n; /* tokens, at least 1 */
	double advantage;
	const float *logp;
	const float *old;       /* NULL: the policy that learns drew them */
	const float *reference; /* NULL: none; then beta must be 0 */
	const float *weight;    /* of each token's part; NULL: 1 */
	float *coef;            /* out [n]: d loss / d logp; NULL: not wanted */
};

struct policy_figures {
	double loss;
	double kl;      /* mean of k over tokens; NAN without a reference */
	double clipped; /* share of tokens that the clip holds, 0..1 */
	double ratio_max;
	int64_t tokens;
};

struct policy_token {
	double loss, slope; /* l, and d l / d lp; without the share */
	double kl, ratio;   /* k, NAN without a reference */
	bool clipped;
};
/* One token of an answer: @old NULL: the policy that learns drew it; @reference NULL: none. */
struct policy_token policy_token(const struct policy_options *o, double advantage, float logp,
                                 const float *old, const float *reference, float weight);
/* What each token of an answer of @n tokens, one of @answers with @tokens together, is multiplied
 * by in the sum. */
double policy_share(const struct policy_options *o, int n, int answers, int64_t tokens);

/* ERR_INPUT: no answer, one without tokens, no reference where beta asks for one, or a figure that
 * is no finite number (says which answer and token). */
int policy_loss(const struct policy_options *o, const struct policy_answer *v, int n,
                struct policy_figures *out, struct err *e);

/* (r - mean) / (std + 1e-4), std with n - 1; all 0 for one answer. */
void policy_advantages(const double *reward, int n, double *out);

#endif
