/*
 * order.h - which samples make step s of a run: the plan of all steps, a pure function of dataset
 * and options, so that going on needs the step's number alone.
 *
 * The data is gone through in *rounds*: each is every sample, as often as its weight says (what is
 * left over a whole number is drawn anew in each round), in an order drawn anew. A sample whose
 * part of the run ("from", "until") does not hold the present share of the run is passed over.
 * The share of the run is (s - 1) / steps with a given number of steps, else how much of the rounds
 * is behind.
 */
#ifndef GPU_ORDER_H
#define GPU_ORDER_H

#include "gpu/dataset.h"

struct order_options {
	int batch_tokens;  /* a step's samples have at most so many tokens together ... */
	int batch_samples; /* ... or so many are in it (0: no bound); the smaller bound counts, one
	                    * of them is needed, and a step has one sample at least */
	int pass_rows;     /* tokens of one pass; a step has as many passes as it needs. At least
	                    * the longest sample */
	bool as_file;      /* rounds are in the file's order, copies of a row one after another;
	                    * @by_length and @seed (but for parts of weights) have no say then */
	bool by_length;    /* the samples of a step have about the same length: of each 50 steps'
	                    * samples (fewer where rows have parts of the run) */
	double epochs;     /* rounds; or: */
	int64_t steps;     /* > 0: so many steps, going round as often as needed */
	uint64_t seed;
};

struct order;
/* ERR_INPUT: options out of range, a sample longer than a pass, a part of the run in which no row
 * may be learnt, a run of more than 2^31 - 1 samples; ERR_MEM. @d is borrowed to the end. */
struct order *order_open(const struct dataset *d, const struct order_options *o, struct err *e);
void order_close(struct order *o); /* NULL is fine */
int64_t order_steps(const struct order *o);
/* The sample numbers of step 1..steps, borrowed; as the file has them when weights repeat one. */
const int32_t *order_samples(const struct order *o, int64_t step, int *n);
/* The passes of step 1..steps: each calls @fn with sample numbers; -1 as soon as @fn says so. */
typedef int order_pass_fn(void *ctx, const int32_t *sample, int n, struct err *e);
int order_step(const struct order *o, int64_t step, order_pass_fn *fn, void *ctx, struct err *e);
/* Every sample of @d once, longest first, in passes of at most @pass_rows tokens: evaluation. */
int order_passes_of_all(const struct dataset *d, int pass_rows, order_pass_fn *fn, void *ctx,
                        struct err *e);

double order_epoch(const struct order *o, int64_t step); /* rounds behind when the step is done */
uint64_t order_tokens(const struct order *o, int64_t step); /* fed up to and with the step */
int order_longest_pass(const struct order *o);              /* tokens */

#endif
