/*
 * paced.h - an engine that thinks nothing: its answers are texts that are given, written at a given
 * pace. For benches that want to know what the rest costs at a device's speed, and for tests that
 * want to know exactly what was answered. Stands behind gpu.h's door, in this process.
 *
 * Time is the machine's: a step gives a token to each of at most @slots sequences and takes @step_s
 * + @sequence_s for each of them; a prompt takes its tokens over @prefill_per_s, once a request,
 * while nobody decodes. A token is PACED_TOKEN_BYTES of text, id 16 + its number in the answer; the
 * one that ends an answer is PACED_STOP. Log-probabilities are -0.5, entropies 0.75.
 */
#ifndef SRC_PACED_H
#define SRC_PACED_H

#include "gpu/gpu.h"

enum { PACED_TOKEN_BYTES = 4, PACED_STOP = 2 };

struct paced_answer {     /* all of {0}: an empty one */
	const char *text; /* borrowed for the call */
	size_t len;
	bool endless;      /* the text again and again, until its budget is used up */
	const char *error; /* none but this, of that kind; ERR_LOST: as if the engine had died */
	enum err_kind kind;
};

struct paced_options {
	void *ctx;
	/* What sequence @sequence of this request answers. */
	void (*answer)(void *ctx, const struct gpu_request *r, int sequence,
	               struct paced_answer *out);
	const char *device;                       /* what it says that it is; NULL: "none, paced" */
	int slots;                                /* 0: any number */
	double step_s, sequence_s, prefill_per_s; /* 0: takes no time */
};

/* NULL: no memory. */
struct gpu *paced_open(const struct paced_options *o, const struct gpu_ops *ops, struct err *e);

#endif
