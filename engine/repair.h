/*
 * repair.h - what a model is asked: for a first try at a task, or to repair a turn.
 *
 * There is no hidden dialogue. A repair prompt is a fresh prompt: the system text, the task, and
 * what came of the turn that is to be repaired: its program, the end of its log, where it failed,
 * its notes, the checks that fell short with want and got. The words are those of the prompt set
 * (engine/prompts), chosen by the turn's failure class. Pure: equal turn and set, equal prompt.
 *
 * Which text: repair/<class>.txt, but for a turn of class build_ok repair/checks.txt when a check
 * or a term fell short. The texts are given these values ("" where a value does not apply):
 *     turn           the number of the turn that is repaired
 *     class          its class: "invented_api"; class_label: the same for people
 *     cause          what happened: "attribute"
 *     total          "0.412", or "none"
 *     reward         the reward as JSON: {"total": 0.412, "build": 1.000, ...}
 *     exception      "AttributeError"; error: its message; line: of the program, from 1;
 *                    source: that line
 *     limit          "wall_s: 45 allowed, 45.2 used"
 *     clipped        a sentence when the answer was cut off before its end
 *     program        the program; past REPAIR_PROGRAM_BYTES its first two thirds and last third
 *     log            the last lines of what it printed, at most REPAIR_LOG_BYTES
 *     notes          the score's notes, a line each, "- ..."
 *     checks         "5 of 7 checks hold"
 *     failed_checks  the checks that fell short, the costliest first, a line each:
 *                    "- four legs: wanted 4, got 3. expected 4 separate faces ..."
 *     held_checks    those that hold, which a repair must keep: "the box; seat at 450 mm"
 *     terms          the terms of the reward below REPAIR_TERM_LOW, lowest first, a line each
 */
#ifndef ENGINE_REPAIR_H
#define ENGINE_REPAIR_H

#include "engine/prompts.h"

enum { REPAIR_PROGRAM_BYTES = 8000, REPAIR_LOG_BYTES = 1500, REPAIR_CHECKS_MAX = 12 };
#define REPAIR_TERM_LOW 0.95

struct repair_turn {
	int number;
	const char *program, *log; /* any bytes; what is no text is made visible */
	size_t program_len, log_len;
	const cJSON *score; /* the object of score --json */
	bool clipped;       /* the completion had no end */
};

/* The messages [{"role": "system", "content"}, {"role": "user", "content"}] for @task; @turn: what
 * is to be repaired, NULL for a first try. Caller deletes it. NULL with @e (ERR_INPUT: a text of
 * the set names a value that there is not; ERR_MEM). */
cJSON *repair_messages(const struct prompt_set *set, const struct task *task,
                       const struct repair_turn *turn, struct err *e);

/* What a check wants or got, in words: "4", "2 to 6", "at least 2", "500 x any x 900", "-". */
void repair_value(struct buf *out, const cJSON *v);

/* Messages as one text, for a command that reads one: the contents, a blank line between. */
void repair_text(struct buf *out, const cJSON *messages);

#endif
