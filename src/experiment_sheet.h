/*
 * experiment_sheet.h - what every policy answered to every prompt, side by side, and the figures
 * that the page is made of. Pure.
 *
 * Prompts are held-out tasks (first tries) and broken programs (by failure class). An arm's figures
 * are over all answers of all its seeds. Intervals are of 95 % by bootstrap over prompts: what
 * another run of the training would give is not in them, which is why seeds stand beside one
 * another too. Differences are paired: the same prompt, member and seed.
 */
#ifndef SRC_EXPERIMENT_SHEET_H
#define SRC_EXPERIMENT_SHEET_H

#include "engine/engine.h"
#include "src/statistics.h"
#include "engine/task.h"

/* The failure classes that are no build, in the order of the tables. */
enum { EXPERIMENT_CLASSES = 5 };
extern const enum build_class experiment_class[EXPERIMENT_CLASSES];

/* ---- policies: base, sft, and of each seed dense-N, strict-N, repair-N, control-N ---- */

enum experiment_arm { ARM_BASE, ARM_SFT, ARM_DENSE, ARM_STRICT, ARM_REPAIR, ARM_CONTROL, ARMS };
const char *experiment_arm_name(enum experiment_arm a);
bool experiment_arm_seeds(enum experiment_arm a); /* there is one a seed */
void experiment_policy_name(char out[32], enum experiment_arm a, int seed);
/* ---- the sheet ---- */

enum { SHEET_SEEDS_MAX = 16, SHEET_HELD = -1, SHEET_MEND = -2 };

enum sheet_measure {
	SHEET_BUILT, /* 0 or 1 */
	SHEET_BOX,   /* built, with the asked box: 0 or 1 */
	SHEET_DENSE, /* rewards */
	SHEET_STRICT,
	SHEET_TOTAL, /* seed-fast, of those that built */
	SHEET_MEASURES
};
const char *sheet_measure_name(enum sheet_measure m); /* "built", "box", "dense", ... */

struct sheet_answer {
	bool there, built, box, clipped;
	double dense, strict, total;
	int failure; /* enum build_class */
};

struct sheet {
	int seeds, prompts, members;
	char (*task)[TASK_ID_MAX + 1]; /* of each prompt */
	int *set;                      /* SHEET_HELD, or the class that is mended: an index into
	                                * experiment_class */
	/* [prompts * members] of each policy; arms without seeds have one */
	struct sheet_answer *answer[ARMS][SHEET_SEEDS_MAX];
};
/* The lines of one file of answers (src/experiment_eval.c) into a policy's place; @s: {0} with
 * seeds and members, at first. */
int sheet_add(struct sheet *s, enum experiment_arm a, int seed, const char *text, size_t len,
              struct err *e);
void sheet_release(struct sheet *s); /* safe on {0} and twice */

/* Of one arm; @seed 0: all of them. @set: SHEET_HELD, SHEET_MEND (all classes), or a class. */
struct interval sheet_mean(const struct sheet *s, enum experiment_arm a, int seed, int set,
                           enum sheet_measure m);
struct paired sheet_paired(const struct sheet *s, enum experiment_arm a, enum experiment_arm b,
                           int seed, int set, enum sheet_measure m);

#endif
