/*
 * sampler.h - from a row of logits to a token, its log-probability and its rivals.
 *
 * Order (qwen35.md section 10): penalties on raw logits, mask, / temperature, top_k largest,
 * softmax over them, smallest prefix whose mass reaches top_p (at least one), min_p against the
 * largest, renormalise, draw. Temperature 0: argmax, lowest id on ties. The draw is a function of
 * (seed, position) alone (Philox 4x32-10), so that it does not depend on what else is in the batch.
 * This is the specification; gpu/cuda has its twin on the device.
 *
 * Exactly: repetition first, then presence and frequency; what overflows stops at +-FLT_MAX. Among
 * equal values the lowest ids are the largest, for top_k, top_p and top alike. With w = exp((x -
 * max) / temperature), top_p keeps until the sum of w reaches top_p times the sum over what top_k
 * left; min_p keeps w >= min_p. The draw walks what is kept in the order of rising ids and takes
 * the first whose running sum of w exceeds u times their whole, u = sampler_uniform(seed, position,
 * 0). No sort of the vocabulary anywhere: at 248,320 rows a greedy pick reads the row once.
 */
#ifndef GPU_SAMPLER_H
#define GPU_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

enum { SAMPLER_TOP_MAX = 20 };

struct sampling {
	float temperature;         /* 0: greedy */
	float top_p;               /* (0, 1]; 1: off */
	int top_k;                 /* 0: off */
	float min_p;               /* [0, 1); 0: off */
	float presence, frequency; /* subtracted once, and per occurrence, from ids generated in
	                              this answer */
	float repetition; /* 1: off; divides positive, multiplies negative logits of ids in prompt
	                     and answer */
	uint64_t seed;
	int top; /* alternatives to report, 0..SAMPLER_TOP_MAX */
};
void sampling_default(struct sampling *s); /* greedy, all off */

struct picked {
	int32_t id;
	float logprob; /* of id under the model: raw logits, temperature 1, no penalty, no mask */
	float drawn;   /* log-probability of id under what it was drawn from; 0 when greedy */
	float entropy; /* nats, of the model's own distribution */
	int n_top;
	struct {
		int32_t id;
		float logprob;  /* as logprob above */
	} top[SAMPLER_TOP_MAX]; /* falling; the lowest id first on ties */
};

struct sampler_input {
	const struct sampling *sampling;
	uint64_t position;     /* of the token to be drawn in its sequence; counts the prompt */
	const uint64_t *mask;  /* bit set: allowed; V bits; NULL: all are */
	const int32_t *answer; /* ids generated so far */
	int n_answer;
	const int32_t *prompt; /* for the repetition penalty */
	int n_prompt;
};

struct sampler; /* scratch for one vocabulary size; one thread at a time */
struct sampler *sampler_open(int vocabulary); /* NULL: no memory */
void sampler_close(struct sampler *s);

/* @logits [V], not changed. Returns 0, or -1 (and out->id -1) when no token may be picked: all
 * masked, or any logit that is NaN or infinite. A token whose weight is 0 in f32 is never drawn. */
int sampler_pick(struct sampler *s, const float *logits, const struct sampler_input *in,
                 struct picked *out);

/* Philox 4x32-10 of counter {position low, position high, lane, 0} and key {seed low, seed high}:
 * the upper 24 bits of the first word as [0, 1). */
float sampler_uniform(uint64_t seed, uint64_t position, uint32_t lane);
void sampler_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
