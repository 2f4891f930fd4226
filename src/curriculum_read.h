/*
 * curriculum_read.h - what the curriculum's rules (src/curriculum.h) are fed with: their data, the
 * newest turns of the store, what was said by hand; and the prompt that an item gives.
 */
#ifndef SRC_CURRICULUM_READ_H
#define SRC_CURRICULUM_READ_H

#include <cjson/cJSON.h>

#include "engine/prompts.h"
#include "src/app.h"
#include "src/curriculum.h"
#include "src/tallies.h"

/* By name: NAME.json in the user's curriculum/ or in that of the tasks; or a file. ERR_USAGE,
 * ERR_INPUT. @hash: 65 bytes for that of its text, or NULL. */
int curriculum_rules_load(struct curriculum_rules *out, char *hash, const struct app *a,
                          const char *name, struct err *e);

struct curriculum_feed {
	struct curriculum *c;
	const struct task_set *tasks;
	bool begun;
	int64_t last; /* the newest turn that is in */
	int hands;    /* of the log, that are in */
};
/* Opens @f->c with the rules and the tasks; nothing is read yet. */
int curriculum_feed_open(struct curriculum_feed *f, const struct curriculum_rules *r,
                         const struct task_set *tasks, struct err *e);
/* What is new in the store since; @t is brought up before. With @rows above 0 about so many rows
 * are read and no more. 1: further ones are to be had by the next call; 0: all is in; -1. */
int curriculum_feed_read(struct curriculum_feed *f, struct tallies *t, struct store *s, int rows,
                         struct err *e);
void curriculum_feed_close(struct curriculum_feed *f); /* safe on {0} and twice */

/* The messages that an item gives: a repair of EP.T, or with @turn 0 a first try. Caller deletes
 * it. */
cJSON *curriculum_prompt(struct store *s, const struct prompt_set *set, const struct task *task,
                         int64_t episode, int turn, struct err *e);

/* An answer that is known for the repair of EP.T: the completion of the turn that went on from it,
 * built, has a total of @min or more and @margin more than it had; of several the best. 1: @out has
 * it, @turn its number; 0: none; -1. */
int curriculum_answer(struct store *s, int64_t episode, int turn, double min, double margin,
                      struct buf *out, int *answer, struct err *e);

/* What became of a turn, as little of it as tells one failure from another. */
struct curriculum_example {
	int64_t episode;
	int turn;
	char task[TASK_ID_MAX + 1];
	int line; /* of the program, from 1; 0: not known */
	/* "AttributeError: 'Workplane' object has no attribute 'cone'"; of what built the first
	 * note. One line of clean text, cut to fit; "" when nothing was kept */
	char error[240];
	char source[120]; /* that line of the program; "" */
	bool clipped;     /* the answer was cut off by its budget */
};
/* The newest failures of a class, newest first: at most @max; how many, or -1. One whose score was
 * lost is left out. */
int curriculum_examples(const struct curriculum_feed *f, struct store *s, enum build_class class,
                        struct curriculum_example *out, int max, struct err *e);

/* {task, kind, class, turn, weight, why}; the caller's to delete. */
cJSON *curriculum_item_json(const struct curriculum *c, const struct curriculum_item *x);

struct curriculum_answers {
	double min, margin;
};
/* An item as a row to train on, a line appended to @out: {"messages": [system, user], and what
 * curriculum_item_json() has}. With @answers only when one is known, as the last message, and
 * "answer": its EP.T. 1; 0: left out; -1. */
int curriculum_row(struct buf *out, struct store *s, const struct curriculum_feed *f,
                   const struct prompt_set *set, const struct curriculum_item *x,
                   const struct curriculum_answers *answers, struct err *e);

#endif
