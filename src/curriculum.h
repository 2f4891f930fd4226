/*
 * curriculum.h - which failures are to be trained next, how much each, and why: pure rules over the
 * newest turns. Reads no store and no clock.
 *
 * A turn whose class is not build_ok is a failure of that class. Over the newest @completions turns
 *
 *     weight(class) = base(class) * (1 - m)^2 * difficulty
 *     m             = (built + 1) / (n + 2)   of the class's newest @repairs repairs (0.5 without)
 *     difficulty    = mean over the class's failures of the task's (easy 1, medium 1.5, hard 2)
 *
 * where a repair of a class is a turn that goes on from one of it. A batch draws a class by its
 * weight, and within the class a failure by its task's difficulty; equal failures (class, task) are
 * a group, of which the newest turn is taken first, then the next one.
 *
 * By hand a class is pinned (m counts as 0, and every batch has one of it), banned (weight 0), or
 * has a weight of its own.
 *
 * Stages, from the build rate of the newest turns: *foundation* draws from the lowest level that
 * has failures, *balanced* from all, both a group once before any comes again; *hard* draws by
 * weight alone.
 *
 * CURRICULUM_SEED is the published code's own formula, to the letter (reward-seed.md, section 7):
 *     weight = round((1 + (1 - build rate of the task)^2) * (1 + 0.20 * (classes - rank)), 4)
 * and its stages, which draw nothing: hard takes turns by weight; balanced takes in turn from each
 * group, the heaviest first; foundation the same, by level, class, weight.
 *
 * Bases, difficulties and all numbers above are data: tasks/curriculum/NAME.json
 * ("cadforge-curriculum-1", tasks/curriculum.schema.json).
 */
#ifndef SRC_CURRICULUM_H
#define SRC_CURRICULUM_H

#include "engine/engine.h"
#include "engine/task.h"

enum curriculum_stage {
	STAGE_AUTO, /* as the build rate says */
	STAGE_FOUNDATION,
	STAGE_BALANCED,
	STAGE_HARD
};
/* "auto", "foundation", "balanced", "hard". */
const char *curriculum_stage_name(enum curriculum_stage s);

enum curriculum_formula { CURRICULUM_MASTERY, CURRICULUM_SEED };

struct curriculum_rules {
	char name[64], about[240];
	double base[CLASS_COUNT]; /* build_ok: 0 */
	double difficulty[3];     /* by enum task_level */
	int completions, repairs;
	int over, least; /* of a stage: the newest turns, and how many there must be */
	double balanced_from, hard_from;
};
/* @where names the text in errors. 0; -1: ERR_INPUT (key, what was wanted, what is there). */
int curriculum_rules_parse(struct curriculum_rules *out, const char *text, size_t len,
                           const char *where, struct err *e);

enum curriculum_hand { HAND_FREE, HAND_PIN, HAND_BAN, HAND_WEIGHT };

struct curriculum_turn {
	int64_t id, episode; /* ids grow with time */
	int number;
	int task; /* curriculum_task()'s */
	enum build_class class;
	enum build_class repairs; /* class of the turn before; CLASS_COUNT: none */
	bool built;
};

struct curriculum; /* what is known of the newest turns; a few hundred KiB */

struct curriculum *curriculum_open(const struct curriculum_rules *r, struct err *e);
void curriculum_close(struct curriculum *c); /* NULL is fine */
const struct curriculum_rules *curriculum_rules(const struct curriculum *c);

/* The number of a task; @level -1: it is in no pack (counted, never drawn; difficulty as easy).
 * -1: out of memory. */
int curriculum_task(struct curriculum *c, const char *name, int level);
const char *curriculum_task_name(const struct curriculum *c, int task);
/* One turn more, newer than those before. */
void curriculum_add(struct curriculum *c, const struct curriculum_turn *t);
/* One repair more of a class, newer than those before. curriculum_add() does this for its own; at
 * the start the older ones come first, by this. */
void curriculum_add_repair(struct curriculum *c, enum build_class class, bool built);
void curriculum_set_hand(struct curriculum *c, enum build_class class, enum curriculum_hand h,
                         double weight);
void curriculum_forget(struct curriculum *c); /* all turns, repairs and hands; tasks stay */

struct curriculum_class {
	enum build_class class;
	int64_t count;      /* failures of it */
	double share;       /* of all that is counted, 0..1 */
	int repairs, built; /* the newest repairs, and those that built */
	double mastery;     /* m */
	double base, difficulty;
	double weight;
	enum curriculum_hand hand;
	int rank; /* from 1, the most frequent; 0: none */
	/* its newest failure; episode 0: none */
	int64_t episode;
	int turn;
};

struct curriculum_state {
	struct curriculum_class class[CLASS_COUNT]; /* by enum build_class; build_ok's weight is 0
	                                             */
	int64_t completions, built;                 /* that are counted */
	int classes;                                /* of failures, that occur */
	int stage_turns, stage_built;               /* what the stage is taken from */
	enum curriculum_stage stage;                /* never STAGE_AUTO */
};
void curriculum_look(const struct curriculum *c, enum curriculum_formula f,
                     struct curriculum_state *out);

/* "weight 0.39 = base 1.00 x (1 - 0.43)^2 x difficulty 1.21; m = (27 + 1) / (64 + 2), ...". */
void curriculum_explain(const struct curriculum *c, const struct curriculum_state *s,
                        enum curriculum_formula f, enum build_class class, struct buf *out);

/* Why the stage is what it is, a sentence: "foundation, since 12 of the newest 100 turns built:
 * ...".
 * @asked: the one that is asked for by hand, or STAGE_AUTO. */
void curriculum_explain_stage(const struct curriculum *c, const struct curriculum_state *s,
                              enum curriculum_stage asked, struct buf *out);

/* The newest turns of a class that are counted, newest first; how many. */
int curriculum_newest(const struct curriculum *c, enum build_class class,
                      struct curriculum_turn *out, int max);

enum curriculum_kind { ITEM_REPAIR, ITEM_FIRST };
struct curriculum_item {
	enum curriculum_kind kind;
	int task;
	enum build_class class; /* of ITEM_REPAIR: */
	int64_t episode;
	int turn;      /* that is to be repaired */
	double weight; /* of its group */
	char why[200];
};
struct curriculum_ask {
	enum curriculum_formula formula;
	enum curriculum_stage stage;
	uint32_t seed;
	int n;
};
/* The next @ask->n items into @out. How many: fewer only when there is nothing at all to draw from.
 * Without any failure to repair (or all banned) they are first tries at tasks, those that were
 * never built before the others, by level. -1: out of memory. */
int curriculum_next(const struct curriculum *c, const struct curriculum_ask *ask,
                    struct curriculum_item *out, struct err *e);

/* Build rate per batch of as many turns, oldest first, at most @max values; how many there are.
 * *@batch: turns in each (the last one may have fewer). */
int curriculum_rates(const struct curriculum *c, double *out, int max, int *batch);

/* In two or three words, for a table: "invented API". */
const char *curriculum_class_words(enum build_class c);
/* Of a name; CLASS_COUNT: there is none such. */
enum build_class curriculum_class_of(const char *name);

#endif
