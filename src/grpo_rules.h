/*
 * grpo_rules.h - from scored answers to what is learnt: rewards, advantages, which groups count,
 * and the guards that watch a run. Pure: no files, no clock, no processes.
 *
 * Reward of an answer under a profile ("dense" is the published GRPO's shaping of seed-fast; see
 * reward-seed.md, section 6):
 *     seed-fast, seed-full, exact, exact-train    the total (-1 .. 1)
 *     dense, dense-full   the published shaping of the one or the other: a failed build may earn up
 *                   to 0.37 for its text, what makes the evaluator crash or hang, and an answer
 *                   without any program, 0
 *     strict        the published gate: never more than -0.05 without a build
 * An answer without a measured score has no reward; it is no member of its group. So has one that
 * our own builder was lost under, whatever its score says, and one whose figure is no number from
 * -1 to 1.
 *
 * Of a member's later turns (repairs): reward + @delta x (reward - the turn's before it).
 *
 * Advantages are taken within a group, over the answers of equal turn:
 *     ADVANTAGE_GROUP   (r - mean) / (std + 1e-4), std with n - 1    GRPO, arXiv 2402.03300
 *     ADVANTAGE_CENTRED r - mean                                     Dr. GRPO, arXiv 2503.20783
 * A group whose rewards are all equal (spread below 1e-6) teaches nothing: with dynamic sampling
 * (DAPO, arXiv 2503.14476) it is replaced by another prompt's, as long as there are tries left. An
 * answer that was cut off by its budget is masked (DAPO's overlong filtering): its reward counts in
 * the mean, its tokens are not learnt from.
 */
#ifndef SRC_GRPO_RULES_H
#define SRC_GRPO_RULES_H

#include <cjson/cJSON.h>

#include "src/base/buf.h"
#include "src/base/err.h"

enum grpo_advantage { ADVANTAGE_GROUP, ADVANTAGE_CENTRED };

/* Why an answer's tokens are learnt from, or not: the word in the store. */
enum grpo_use {
	GRPO_USED,
	GRPO_FLAT,    /* its group has no spread, or it is alone in it */
	GRPO_CLIPPED, /* masked */
	GRPO_LOST     /* no reward */
};
const char *grpo_use_name(enum grpo_use u); /* "used", "flat", "clipped", "lost" */

struct grpo_answer {
	int turn, member; /* from 1 */
	bool built, clipped;
	double reward; /* NAN: none */
	double before; /* reward of the turn it goes on from, when that was of this member; NAN */
	/* found */
	double credit;    /* what the advantage is taken from */
	double advantage; /* 0 when it is not used */
	enum grpo_use use;
};

struct grpo_group_options {
	enum grpo_advantage advantage;
	double delta; /* 0: the reward alone */
	bool mask_clipped;
};
struct grpo_group_figures {
	int answers, used, clipped, lost;
	int built;                  /* of those with a reward */
	double mean, spread;        /* of rewards: mean, std with n - 1; NAN without */
	double failed;              /* mean reward of those that did not build; NAN without */
	bool flat;                  /* nothing in it is learnt from */
	bool all_built, none_built; /* of those with a reward; of none: neither */
};
void grpo_group(const struct grpo_group_options *o, struct grpo_answer *v, int n,
                struct grpo_group_figures *out);

/* The reward of a scored answer: @score is the object of score --json under the profile that
 * grpo_reward_profile() names for @reward, @completion its raw text (NULL: not known; it is looked
 * at to see whether it is empty, which the published trainer does before it evaluates). NAN: none.
 */
double grpo_reward(const char *reward, const cJSON *score, const char *completion, size_t len);
/* The scoring profile that a reward is computed from ("dense" -> "seed-fast"); what is no word of
 * ours is a profile's name or file itself. NULL: @reward is NULL or "". */
const char *grpo_reward_profile(const char *reward);

/*
 * ---- guards ----
 *
 * Each looks at the newest @window steps, its @limit is
 *     reward   0.05, 64 steps   rise of the mean reward from the older half of the window to the
 *              newer one. Told when it rose by so much, that is more than 3 standard errors, and
 *              the build rate did not rise by more than one standard error of its own and is below
 *              90 %. From a quarter of the window on.
 *     dead     0.5, 8 steps     share of the groups drawn that teach nothing
 *     clipped  0.05, 4 steps    share of the answers without an end
 *     lost     0.1, 4 steps     share of the answers without a reward
 *              A share is told when it is above its limit by more than 2.33 standard errors of a
 *              share that is at its limit (one in a hundred): 3 clipped answers of a first step of
 *              16, or 8 flat groups of 8.
 *     kl       0.5, 5 steps     nats a token; the median of the window, from half of it on. A run
 *              without a reference has none.
 * Measured (tests/t_grpo_rules.c: runs of 200 steps, 4 groups of 8 answers each, tasks that differ,
 * 1 % clipped, 0.2 % lost, a fifth of the groups flat; builds rising, standing still, nearly all
 * there; dense, strict and exact rewards): no false alarm of any of the five in 1,200 runs. Of runs
 * that fail as the published ones did (80 steps, failed builds learn to earn 0.35), 299 of 300 are
 * told, after 30 steps when next to nothing builds, 53 when 30 % does.
 */

enum grpo_alarm {
	ALARM_REWARD,  /* reward rises while the build rate does not */
	ALARM_DEAD,    /* groups that teach nothing: all zero, all one, no spread */
	ALARM_CLIPPED, /* answers without an end */
	ALARM_KL,      /* the policy runs away from the reference */
	ALARM_LOST,    /* answers that were never scored: a builder that keeps dying, no figure */
	ALARMS
};
const char *grpo_alarm_name(enum grpo_alarm a); /* "reward", "dead", "clipped", "kl", "lost" */
enum grpo_policy { GUARD_OFF, GUARD_WARN, GUARD_REPLACE, GUARD_STOP };
const char *grpo_policy_name(enum grpo_policy p); /* "off", "warn", "replace", "stop" */
/* GUARD_REPLACE: what the alarm is about is replaced where that can be done (dead groups: other
 * prompts; clipped: a larger budget; lost: asked again); else it warns. */

struct grpo_guard_rule {
	enum grpo_policy policy;
	double limit;
	int window; /* steps looked at, 1 to GRPO_WINDOW_MAX; of reward at least 8 */
};
/* dead and clipped replace, the others warn. */
void grpo_guard_usual(struct grpo_guard_rule rule[ALARMS]);
/* NAME=POLICY[:LIMIT[:WINDOW]], several with commas between: "dead=stop", "kl=warn:0.5",
 * "clipped=replace:0.05:1". ERR_USAGE says what there is, and nothing is changed. */
int grpo_guard_set(struct grpo_guard_rule rule[ALARMS], const char *text, struct err *e);

struct grpo_step_figures { /* of one step; all of {0} is one without groups */
	int64_t step;
	int groups, flat, all_built, none_built; /* groups drawn, those that teach nothing, ... */
	int answers, built, clipped, lost, used;
	double reward, build_rate; /* means over the answers with a reward; without any NAN */
	double failed;             /* mean reward of those that did not build; NAN without */
	double kl;                 /* NAN: none */
};
/* Begins with no group and no figure. */
void grpo_step_begin(struct grpo_step_figures *f, int64_t step);
/* A group more, with its part in the means. */
void grpo_step_add(struct grpo_step_figures *f, const struct grpo_group_figures *g);

enum { GRPO_WINDOW_MAX = 256 };
struct grpo_guard {
	struct grpo_guard_rule rule[ALARMS];
	struct grpo_step_figures seen[GRPO_WINDOW_MAX]; /* a ring, the newest n */
	int n, next;
	int64_t told[ALARMS]; /* step of the last alarm; 0: none. It is told again after a window */
};
struct grpo_alarm_told {
	enum grpo_alarm alarm;
	enum grpo_policy policy;
	char text[400]; /* what is seen, with figures, and what to do */
};
/* Takes a step in; alarms that go off into @out [ALARMS]; how many. @g: zeroed but for its rules at
 * first. After a resume the steps before are given again, and what they tell is dropped. */
int grpo_guard_step(struct grpo_guard *g, const struct grpo_step_figures *f,
                    struct grpo_alarm_told *out);

#endif
