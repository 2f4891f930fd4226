/*
 * dataset.h - rows of chat JSONL as samples of token ids and labels, and the order in which they
 * are learnt.
 *
 * A row is one JSON object a line:
 *   {"messages": [{"role", "content"}, ...]}      loss on the assistant's turns (the last one's
 *                                                 content and its <|im_end|>; --loss all: every
 * token)
 *   {"prompt": text | messages, "completion": text | messages}
 *   {"text": "..."}                               raw text, every token learnt, no chat marks
 * and may have "weight" (> 0; 3 = as if it stood there three times, fractions are drawn), "task",
 * "kind" (words of its maker; both reported by). Other keys are kept out of it.
 *
 * A bad row is no error: it is left out, counted under a reason, and the first of each reason is
 * remembered with its line. A file without one good row is an error.
 */
#ifndef GPU_DATASET_H
#define GPU_DATASET_H

#include <cjson/cJSON.h>

#include "gpu/chat.h"
#include "gpu/train.h"

enum drop_reason {
	DROP_NOT_JSON,
	DROP_NO_MESSAGES,
	DROP_BAD_MESSAGE, /* roles or contents that chat.h refuses */
	DROP_EMPTY,       /* nothing to learn: an empty completion */
	DROP_NOT_UTF8,
	DROP_TOO_LONG, /* more tokens than a sample may have */
	DROP_BAD_WEIGHT,
	DROP_REASONS
};
const char *drop_reason_name(enum drop_reason r); /* "not JSON", ... */

struct dataset_options {
	int longest;   /* tokens of a sample; longer rows are dropped, never cut */
	bool loss_all; /* labels on all tokens */
};

struct sample {
	uint64_t at; /* first token in id/label */
	int n;       /* tokens fed: ids at .. at+n-1; label[i] is id[i+1] or -1 */
	int labels;  /* rows that have one */
	float weight;
	int32_t line; /* of its file, from 1 */
};

struct dataset {
	struct sample *sample;
	int samples;
	int32_t *id, *label;
	uint64_t tokens, labels;
	int dropped[DROP_REASONS];
	struct {
		int line;
		char why[200];
	} first[DROP_REASONS];
	unsigned char hash[32]; /* of all ids, labels, weights: a resumed run must have the same */
};

int dataset_open(struct dataset *d, const char *path, const struct tokenizer *t, bool thinks,
                 const struct dataset_options *o, struct err *e);
void dataset_close(struct dataset *d);
cJSON *dataset_describe(const struct dataset *d); /* counts, longest, median, drops with reasons */

/* ---- order: which samples make step s. A pure function of (dataset, options, step): resuming
 * needs the step's number alone. ---- */
struct order_options {
	int batch_tokens;  /* a step's micro-batches hold at most so many rows together ... */
	int batch_samples; /* ... or so many samples (0: no bound); the smaller bound counts */
	int pass_rows;  /* rows of one pass (micro-batch); a step has as many passes as it needs */
	bool by_length; /* samples of a pass have about the same length (buckets of 50 batches) */
	double epochs;  /* or: */
	int64_t steps;  /* > 0: so many steps, going round as often as needed */
	uint64_t seed;
};
struct order; /* the plan of the whole run, computed once */
struct order *order_open(const struct dataset *d, const struct order_options *o, struct err *e);
void order_close(struct order *o);
int64_t order_steps(const struct order *o);
/* The passes of step 1..steps: each calls @fn with sample numbers. */
typedef int order_pass_fn(void *ctx, const int32_t *sample, int n, struct err *e);
int order_step(const struct order *o, int64_t step, order_pass_fn *fn, void *ctx, struct err *e);
double order_epoch(const struct order *o, int64_t step); /* how often the data has been seen */

#endif
