/*
 * dataset.h - rows of chat JSONL as samples of token ids and labels.
 *
 * A row is one JSON object a line:
 *   {"messages": [{"role", "content"}, ...]}      the last message is the assistant's: what is
 *                                                 learnt is its text and the <|im_end|> after it
 *                                                 (@loss_all: every token of the row)
 *   {"prompt": text | messages, "completion": text | messages}   the same; a text is a user's, an
 *                                                 assistant's message
 *   {"text": "..."}                               raw text, every token learnt, no chat marks;
 *                                                 <|endoftext|> after it where there is one
 * and may have
 *   "weight"          0 < w <= 1000 (1): 3 = as if it stood there three times; fractions are drawn
 *   "from", "until"   0 <= from < until <= 1 (0 and 1): the row is learnt in that part of the run
 *                     alone, so that a mix may change over time (gpu/order.h)
 *   "task", "kind"    words of its maker; reported by
 * Other keys are kept out of it. Whether a turn thinks is seen from the row: an answer with
 * reasoning is learnt with it, after "<think>\n"; one without after the empty thought, as chat.h
 * renders both. Blank lines are passed over.
 *
 * A bad row is no error: it is left out, counted under a reason, and the first of each reason is
 * remembered with its line. A file without one good row is an error.
 */
#ifndef GPU_DATASET_H
#define GPU_DATASET_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "gpu/tokenizer.h"

enum drop_reason {
	DROP_NOT_JSON,
	DROP_NO_MESSAGES,
	DROP_BAD_MESSAGE, /* roles or contents that chat.h refuses; the last is no assistant's */
	DROP_EMPTY,       /* nothing to learn: an empty completion */
	DROP_NOT_UTF8,    /* or with a NUL */
	DROP_TOO_LONG,    /* more tokens than a sample may have, or a line over DATASET_LINE_MAX */
	DROP_BAD_WEIGHT,  /* also "from", "until" */
	DROP_REASONS
};
const char *drop_reason_name(enum drop_reason r); /* "not JSON", ... */

enum { DATASET_LINE_MAX = 32 << 20, DATASET_KINDS_MAX = 16 };

struct dataset_options {
	int longest;   /* tokens of a sample; longer rows are dropped, never cut */
	bool loss_all; /* labels on all tokens */
};

struct sample {
	uint64_t at; /* first token in id/label */
	int n;       /* tokens fed: id[at .. at+n-1]; label[i] is the token after id[i], or -1. What
	              * stands behind the last label is not fed */
	int labels;  /* rows that have one; >= 1 */
	float weight, from, until;
	int32_t line; /* of its file, from 1 */
};

struct dataset {
	struct sample *sample;
	int samples;
	int32_t *id, *label;
	uint64_t tokens, labels;
	int longest; /* tokens fed of the longest sample */
	int dropped[DROP_REASONS];
	struct {
		int line; /* 0: none */
		char why[200];
	} first[DROP_REASONS];
	struct {
		char name[40];
		int samples;
		uint64_t tokens;
	} kind[DATASET_KINDS_MAX]; /* the last one takes what has no place: "others" */
	int kinds;
	int tasks;              /* different ones */
	unsigned char hash[32]; /* of all ids, labels, weights, parts of the run: a resumed run must
	                         * have the same */
};

/* ERR_INPUT: no such file, no regular file, not one good row (with what was wrong with the first);
 * a tokenizer without chat marks when a row has messages. ERR_MEM. @d is {0} after a failure. */
int dataset_open(struct dataset *d, const char *path, const struct tokenizer *t,
                 const struct dataset_options *o, struct err *e);
void dataset_close(struct dataset *d); /* safe on {0} and twice */
/* {samples, tokens, labels, longest, median, tasks, kinds: [{kind, samples, tokens}], dropped:
 * [{reason, rows, line, why}]}; the caller's to delete. */
cJSON *dataset_describe(const struct dataset *d);

#endif
