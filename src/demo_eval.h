/*
 * demo_eval.h - the demonstration model put to the test: prompts that it has not seen, answered,
 * built, measured.
 *
 * A *set* is one kind of prompt under one way of asking:
 *     held        held-out prompts of known families; greedy, and at temperature 0.7
 *     repair      broken programs of known families, with the log and notes of their real builds;
 *                 one turn to mend them
 *     unseen      prompts of whole families that training never had
 *     tasks       the tasks of tasks/, as the workbench asks for them: up to three turns, each
 *                 later one a repair of the best so far, scored under exact
 * each by base and adapter together, some by the base alone. A rate has the Wilson interval of
 * 95 % (src/compare.h).
 *
 * Figures, in evaluate.json: {"sets": [{"set", "adapter", "temperature", "n", "built", "solid",
 * "box", "numbers", "all": {"k", "n", "rate", "low", "high"}, "asked_numbers", "found_numbers",
 * "families": {NAME: {"n", "built", "all"}}, "classes": {NAME: n}, "tokens", "seconds"}]}, of tasks
 * {"set": "tasks", "adapter", "n", "built", "reached", "tasks": [{"task", "built", "best",
 * "totals"}]}. "numbers": all asked ones are in the program; "all": built, one solid, the asked box
 * and all asked numbers.
 */
#ifndef SRC_DEMO_EVAL_H
#define SRC_DEMO_EVAL_H

#include "src/demo.h"

#define DEMO_REACHED 0.6 /* of a task's total, to count as reached */

int demo_make_evaluate(void *demo, cJSON *figures, struct err *e);

#endif
