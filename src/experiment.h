/*
 * experiment.h - the published experiment in miniature, by one command on the CPU: what a dense and
 * a build-gated reward each do to build rate and reward, and whether repairs aimed at a failure
 * class raise that class's build rate.
 *
 *     tasks       three packs made from the corpus: train, held (dimensions and wordings that
 *                 training never has), mend (broken programs of held-out tasks, by failure class)
 *     sft         a short adapter on the demonstration base: the policy that all else begins from,
 *                 kept weak so that building is in question
 *     dense       reinforcement learning from it under the published dense reward, each seed
 *     strict      the same prompts, seeds and steps under the build-gated reward
 *     repair      on from each strict policy, two ways with equally many steps: with repairs drawn
 *                 by the curriculum for one class alone, and with first tries as before
 *     evaluate    every policy on the held-out prompts and on the broken programs
 *     report      the page, with tables, curves and what is and is not shown
 *
 * All of it lies in OUT (src/stages.h):
 *     tasks/{train,held,mend}, mend.jsonl   packs; the repairs' prompts and classes
 *     sft.jsonl, sft-run/, sft/             rows, training, adapter
 *     seed-N.db                             every step and answer of the runs of seed N
 *     dense-N/, strict-N/, repair-N/, control-N/   runs, src/grpo.h
 *     evaluate/POLICY.jsonl                 each answer, a line
 *     report/                               README.md, figures.json, *.svg
 */
#ifndef SRC_EXPERIMENT_H
#define SRC_EXPERIMENT_H

#include "engine/prompts.h"
#include "src/cmd.h"
#include "src/experiment_sheet.h"
#include "src/model_flags.h"
#include "src/stages.h"

enum experiment_stage {
	EXPERIMENT_TASKS,
	EXPERIMENT_SFT,
	EXPERIMENT_DENSE,
	EXPERIMENT_STRICT,
	EXPERIMENT_REPAIR,
	EXPERIMENT_EVALUATE,
	EXPERIMENT_REPORT,
	EXPERIMENT_STAGES
};
extern const struct stages_plan experiment_plan;

struct experiment_recipe {
	double seed, train, held, mend;
	double sft_tokens, sft_repairs, noise, noise_repairs, sft_lr;
	double seeds, steps, prompts, members, lr, temperature;
	double repair_steps, repair_share;
	double samples;
};

struct experiment {
	struct stages stages;
	struct experiment_recipe recipe;
	int threads; /* of trainings and answers; 0: all */
	struct prompt_set prompts;
	char base[4200]; /* the demonstration model */
};

/* stages_open(); ERR_LACKS without a demonstration model. */
int experiment_open(struct experiment *x, struct err *e);
void experiment_close(struct experiment *x);

/* ---- policies ---- */

/* The demonstration base with the adapter of that policy ("": none), sampled as the recipe says. */
int experiment_model(struct experiment *x, struct model_flags *m, const char *adapter,
                     struct err *e);
/* Folder of a policy's adapter, "" of the base; -1 when its stage is not done. */
int experiment_policy(struct experiment *x, enum experiment_arm a, int seed, char out[4200],
                      struct err *e);

/* ---- stages; experiment: struct experiment ---- */

int experiment_make_tasks(void *experiment, cJSON *figures, struct err *e);
int experiment_make_sft(void *experiment, cJSON *figures, struct err *e);
int experiment_make_dense(void *experiment, cJSON *figures, struct err *e);
int experiment_make_strict(void *experiment, cJSON *figures, struct err *e);
int experiment_make_repair(void *experiment, cJSON *figures, struct err *e);
int experiment_make_evaluate(void *experiment, cJSON *figures, struct err *e);
int experiment_make_report(void *experiment, cJSON *figures, struct err *e);

/* train experiment: argv[0] is "experiment". */
int cmd_train_experiment(const struct cmd *self, int argc, char **argv);

#endif
