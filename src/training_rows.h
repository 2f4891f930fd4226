/*
 * training_rows.h - what is to be learnt: rows of chat JSON lines and the store's own turns, looked
 * through, mixed, split, and written as gpu/dataset.h reads them.
 *
 * A row that cannot be learnt from is left out under a reason, counted, and the first of each
 * reason is remembered with its place. What is longer than a sample may be is left out by the
 * training itself, which has the tokenizer, and told with its first word.
 *
 * A row's *kind* is "repair" (its "kind" says so, its "repair" is true, its "class" is a failure's,
 * or an answer came before the last one) or "program", prompt to code; up-sampling weights go by
 * it, as in the published mix: 20 prompt-to-code rows x 4 and 633 repair rows.
 *
 * Held out are whole tasks, never rows of one that is learnt from; a row without a task has its own
 * prompt as one. Which: by a hash of seed and name, so that another machine chooses the same.
 */
#ifndef SRC_TRAINING_ROWS_H
#define SRC_TRAINING_ROWS_H

#include "engine/prompts.h"
#include "engine/task.h"
#include "src/store.h"

enum row_drop {
	ROW_NOT_JSON,
	ROW_NOT_UTF8,
	ROW_NO_MESSAGES,
	ROW_BAD_MESSAGE,
	ROW_EMPTY,
	ROW_DUPLICATE,
	ROW_NEAR_DUPLICATE,
	ROW_NO_OBJECT,
	ROW_NOT_BUILT,
	/* of the store's turns alone */
	ROW_BELOW,
	ROW_NO_GAIN,
	ROW_NOT_GRADED,
	ROW_NO_PROMPT,
	ROW_DROPS
};
const char *row_drop_name(enum row_drop d); /* "not JSON", ... */

struct training_rows_options {
	double near;   /* texts that share so much of their words (0..1) are one; 0: never */
	bool any_text; /* completions need no program with a final object */
	double program_weight; /* times the row's own */
	double repair_weight;
	double held_out;               /* share of the tasks, 0..1 */
	const char *const *held_tasks; /* these too */
	int n_held_tasks;
	uint64_t seed;
	/* of the store's turns */
	double min, margin; /* least total; a repair's least gain on what it repairs */
	int grade;          /* least grade in force by @judge (NULL: anybody); -1: none needed */
	const char *judge;
	const struct prompt_set *prompts; /* for turns that have no prompt; NULL: left out */
	const struct task_set *tasks;
};

struct training_row {
	char *body;      /* JSON text of its messages, or of its raw text */
	char *task;      /* or the hash of its prompt, when it has none */
	char *program;   /* NULL: none was looked for */
	char where[160]; /* "FILE:LINE", "EP.T" */
	bool named;      /* @task is a task's name */
	bool text;       /* raw text, no messages */
	bool repair, held;
	bool stored;        /* a turn of the store: known to build */
	double weight;      /* its own times that of its kind */
	double from, until; /* part of the run in which it is learnt; NAN: not said */
};

struct training_rows {
	struct training_rows_options o;
	struct training_row *row;
	int n, cap;
	int read; /* rows and turns looked at */
	int dropped[ROW_DROPS];
	struct {
		char where[160], why[200];
	} first[ROW_DROPS];
	struct near_seen *seen; /* for duplicates */
	/* after training_rows_split() */
	int tasks, held_tasks, train, eval, programs, repairs;
	double weighted; /* rows to learn from, each times its weight */
};

/* Zeroed options are not the usual ones: those are near 0.95, weights 1, held_out 0.1, min 0.6,
 * margin 0.001, grade -1. */
void training_rows_usual(struct training_rows_options *o);
int training_rows_open(struct training_rows *r, const struct training_rows_options *o,
                       struct err *e);
void training_rows_close(struct training_rows *r); /* safe on {0} and twice */

/* All of @path. 0; -1: it cannot be read (ERR_INPUT), ERR_MEM. */
int training_rows_file(struct training_rows *r, const char *path, struct err *e);
/* The turns of the store's episodes that fit @f: built, with the least total, graded as asked. The
 * answer learnt is the program. */
int training_rows_store(struct training_rows *r, struct store *s, const struct store_filter *f,
                        struct err *e);
/* Builds the programs of all rows from files and leaves out those that fail
 * (src/training_builds.c). */
struct scoring;
int training_rows_check(struct training_rows *r, struct scoring *s, struct err *e);
/* Leaves out row @i under a reason; its place stays empty until training_rows_split(). */
void training_rows_drop(struct training_rows *r, int i, enum row_drop d, const char *why);

/* The split by task: @share of the @n names (each once; one at least, when there are two) is held
 * out, by a hash of @seed and name, beside those that are already. Sorted by name afterwards; how
 * many are held. */
struct training_part {
	const char *name;
	bool held;
	uint64_t key; /* its own */
};
int training_hold_out(struct training_part *v, int n, double share, uint64_t seed);

/* Chooses what is held out. ERR_INPUT when nothing is left to learn from; says what was dropped. */
int training_rows_split(struct training_rows *r, struct err *e);
/* @dir/train.jsonl and @dir/eval.jsonl (the latter only when something is held out), each whole or
 * not at all: {"messages" | "text", "weight", "task", "kind", "row": its place, "from", "until"}.
 */
int training_rows_write(const struct training_rows *r, const char *dir, struct err *e);

/* {read, kept, train, eval, tasks, held_tasks, programs, repairs, weighted, dropped: [{reason,
 * count, first}]}; the caller's to delete. */
cJSON *training_rows_report(const struct training_rows *r);

/* Whether a program names its final object: fixture, result, model, solid, body or part assigned
 * at the beginning of a line, or show_object called. */
bool training_row_object(const char *program, size_t len);

#endif
