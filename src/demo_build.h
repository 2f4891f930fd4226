/*
 * demo_build.h - what became of a program that answers a document of the corpus, and programs of
 * the corpus built in numbers, each only once.
 */
#ifndef SRC_DEMO_BUILD_H
#define SRC_DEMO_BUILD_H

#include "src/corpus.h"
#include "src/scoring.h"

#define DEMO_BOX_MM 0.02 /* so far a side may be from what was asked */

struct demo_verdict {
	bool built, solid, box; /* solid: one, valid and closed */
	int numbers, numbers_asked;
	enum build_class cls;
	double total;
	char why[200]; /* the first thing that is not as it should be; "" when all is */
};
/* @s: of scoring_run_all() under exact. */
void demo_judge(struct demo_verdict *out, const struct corpus_document *d, const struct scored *s);

struct demo_builds;
/* @file: what is known already, a line a program; more lines are added as programs are built. */
struct demo_builds *demo_builds_open(const struct app *a, const char *file, struct err *e);
void demo_builds_close(struct demo_builds *b);

struct demo_built {
	const struct corpus_document *document;
	const char *text;            /* its program, or the broken one */
	struct demo_verdict verdict; /* numbers are not looked for */
	char *log;    /* of a broken one, or what did not come out right: what it printed, and */
	cJSON *score; /* its score; else NULL. Owned by the caller */
};
/* All of them, several at once, those known already not again. @tick between: not 0: stop. */
int demo_builds_run(struct demo_builds *b, struct demo_built *v, int n, int (*tick)(void *ctx),
                    void *ctx, struct err *e);

#endif
