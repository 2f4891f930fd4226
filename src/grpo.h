/*
 * grpo.h - reinforcement learning, the loop: prompts -> groups of answers (src/rollouts.h) ->
 * rewards and advantages (src/grpo_rules.h) -> a step of the policy (gpu/policy.h) -> the next
 * prompts; every step and every answer in the store.
 *
 * Prompts: first tries at tasks (each task once before any comes again, in an order by seed), and a
 * share of repairs from the curriculum (src/curriculum.h), which is fed with the run's own answers
 * and, with @mine, with the newest turns that the store had when the run began. A repair's answers
 * go on from the turn they repair.
 *
 * The run goes on after a kill from its newest checkpoint, with the order of prompts, the
 * curriculum's state and the guards as they were: what is kept with the checkpoint, and what the
 * store's rollouts of earlier steps give again. Answers of the step that was under way are in the
 * store and count for nothing.
 *
 * What a step tells (store steps, kind "step"; data): {"reward", "reward_std", "build_rate",
 * "groups", "flat", "all_built", "none_built", "replaced", "answers", "used", "clipped", "lost",
 * "kl", "clip_share", "ratio_max", "mismatch", "entropy", "length": mean tokens, "length_max",
 * "generate_s", "wait_s", "learn_s", "classes": {NAME: n}, "weights": {NAME: weight}, "stage",
 * "repairs": groups, "repair_built", "best": {"episode", "turn", "reward"}, "worst": {...}}; loss,
 * lr, norm, tokens, seconds are columns. A guard that goes off is a note: data {"alarm", "policy",
 * "text"}.
 */
#ifndef SRC_GRPO_H
#define SRC_GRPO_H

#include "gpu/policy.h"
#include "src/app.h"
#include "src/grpo_rules.h"
#include "src/model_flags.h"
#include "src/store.h"

/* Settings of the loop, beside those of gpu/policy.h; one table in src/grpo_settings.c has names,
 * defaults, ranges and words for --help, and each is a flag and a key of --config-json. */
struct grpo_settings {
	int64_t steps;
	int prompts;          /* groups a step learns from */
	int members;          /* answers a group */
	int turns;            /* of an answer's chain */
	char reward[256];     /* "exact-train"; grpo_rules.h, or a profile */
	char reference[4096]; /* of the scoring (src/scoring.h); "": the profile's own */
	double enough;        /* total with which a chain ends */
	struct grpo_group_options group;
	int tries;      /* dynamic sampling: groups drawn at most, times @prompts; 1: off */
	double repairs; /* share of prompts from the curriculum, 0..1 */
	char curriculum[256], stage[16], weight[16]; /* rules' name; "auto"...; "mastery"|"seed" */
	bool mine;
	double temperature, top_p;
	int top_k;
	int max_tokens;   /* 0: a budget from the data, src/grpo_budget.h */
	int context;      /* tokens of prompt and answer; 0: the model's, at most 32768 */
	int slots;        /* answers decoded together; 0: the engine's choice */
	int eval_every;   /* steps, and before the first; 0: at the end alone; -1: never */
	int eval_answers; /* to each held-out task; 1: the likeliest one */
	uint64_t seed;
	struct grpo_guard_rule guard[ALARMS];
};

struct grpo_options {
	const struct app *app;
	struct store *store; /* required */
	const struct model_flags *model;
	const struct task_set *tasks; /* to learn from, */
	const int *task;              /* these of them */
	int n_tasks;
	const int *held; /* these are answered on the way and never learnt from */
	int n_held;
	const struct prompt_set *prompts;
	struct grpo_settings settings;
	const cJSON *policy; /* settings of gpu/policy.h; out is the run's folder */
	enum gpu_backend backend;
	const cJSON *all; /* of src/grpo_settings.h: for the run's row */
	const char *kind; /* of the run: "grpo" */
	int64_t run;      /* goes on with this one; 0: a new one */
	void *ctx;
	void (*event)(void *ctx, const char *kind, const cJSON *object); /* or NULL */
	/* Another engine than gpu_open()'s (src/rollouts.h), for tests; NULL */
	struct gpu *(*engine)(void *ctx, const struct gpu_options *o, const struct gpu_ops *ops,
	                      struct err *e);
	void *engine_ctx;
};
struct grpo_result {
	int64_t run, step;
	char outcome[16];          /* "done", "stopped", "alarm" */
	char policy[4096];         /* folder of the policy at the end, */
	double reward, build_rate; /* of the last step */
	double seconds;
	int64_t answers;
};
/* Blocks. 0 with @out; -1 with @e when it could not begin, or failed. */
int grpo_run(const struct grpo_options *o, struct grpo_result *out, struct err *e);

#endif
