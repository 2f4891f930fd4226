/*
 * experiment_inside.h - what the stages of the experiment share, for src/experiment*.c alone.
 */
#ifndef SRC_EXPERIMENT_INSIDE_H
#define SRC_EXPERIMENT_INSIDE_H

#include "engine/task.h"
#include "src/experiment.h"
#include "src/grpo.h"

/* Of an answer in the test; no program of the corpus has more than a third of it. */
enum { EXPERIMENT_TOKENS = 1536 };

/* All three packs. */
int experiment_tasks(struct experiment *x, struct task_set *out, struct err *e);

/* ---- what a run told, from the store ---- */

struct experiment_step {
	int step, answers, groups, flat, clipped, repairs;
	double reward, build_rate, seconds;
	int cls[CLASS_COUNT];
};
struct experiment_steps {
	struct experiment_step *v;
	int n;
	int alarms[ALARMS]; /* how often each went off */
};
int experiment_steps(struct experiment *x, enum experiment_arm a, int seed,
                     struct experiment_steps *out, struct err *e);
void experiment_steps_release(struct experiment_steps *s); /* safe on {0} and twice */

#endif
