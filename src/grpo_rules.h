/*
 * grpo_rules.h - from scored answers to what is learnt: rewards, advantages, which groups count,
 * and the guards that watch a run. Pure: no files, no clock, no processes.
 *
 * Reward of an answer under a profile ("dense" is the published GRPO's shaping of seed-fast; see
 * reward-seed.md, section 6):
 *     seed-fast, seed-full, exact, exact-train    the total (-1 .. 1)
 *     dense         the published shaping: a failed build may earn up to 0.37 for its text
 *     strict        the published gate: never more than -0.05 without a build
 * An answer without a measured score has no reward; it is no member of its group.
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
	int answers, used, built, clipped, lost;
	double mean, spread; /* of rewards: mean, std with n - 1; NAN without */
	bool flat;           /* nothing in it is learnt from */
	bool all_built, none_built;
};
void grpo_group(const struct grpo_group_options *o, struct grpo_answer *v, int n,
                struct grpo_group_figures *out);

/* The reward of a scored answer: @score is the object of score --json under the profile that
 * grpo_reward_profile() names for @reward, @completion its raw text. NAN: none. */
double grpo_reward(const char *reward, const cJSON *score, const char *completion, size_t len);
/* The scoring profile that a reward is computed from ("dense" -> "seed-fast"); NULL: no such
 * reward; anything that is no word of ours is a profile's name itself. */
const char *grpo_reward_profile(const char *reward);

/* ---- guards ---- */

enum grpo_alarm {
	ALARM_REWARD,  /* reward rises while the build rate does not */
	ALARM_DEAD,    /* groups that teach nothing: all zero, all one, no spread */
	ALARM_CLIPPED, /* answers without an end */
	ALARM_KL,      /* the policy runs away from the reference */
	ALARM_LOST, /* answers that were never scored: a builder that keeps dying, a full store */
	ALARMS
};
const char *grpo_alarm_name(enum grpo_alarm a); /* "reward", "dead", "clipped", "kl", "lost" */
enum grpo_policy { GUARD_OFF, GUARD_WARN, GUARD_REPLACE, GUARD_STOP };
/* "off", "warn", "replace", "stop". GUARD_REPLACE: what the alarm is about is replaced where that
 * can be done (dead groups: other prompts; clipped: a larger budget; lost: asked again); else it
 * warns. */

struct grpo_guard_rule {
	enum grpo_policy policy;
	double limit; /* share of groups, share of answers, KL a token; see the .c's table */
	int window;   /* steps looked at */
};
void grpo_guard_usual(struct grpo_guard_rule rule[ALARMS]);
/* "dead=stop", "kl=warn:0.5", "clipped=replace:0.05:1". ERR_USAGE says what there is. */
int grpo_guard_set(struct grpo_guard_rule rule[ALARMS], const char *text, struct err *e);

struct grpo_step_figures { /* of one step */
	int64_t step;
	int groups, flat, all_built, none_built; /* groups drawn, those that teach nothing, ... */
	int answers, built, clipped, lost, used;
	double reward, build_rate, kl; /* NAN: none */
};
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
	char text[240]; /* what is seen, with figures, and what to do */
};
/* Takes a step in; alarms that go off into @out [ALARMS]; how many. */
int grpo_guard_step(struct grpo_guard *g, const struct grpo_step_figures *f,
                    struct grpo_alarm_told *out);

#endif
