/*
 * contamination.h - nothing that was learnt from may be evaluated on: what a model learnt, as far
 * as that is known, against the tasks of an evaluation.
 *
 * A task was learnt when
 *     its id is the task of a row or of a prompt that was learnt from;
 *     what it asks (its own words, or its whole prompt as rendered) is a message that was learnt,
 *     whatever layout and case, or is contained in one but for @near of its words (five in a row;
 *     src/near.h), or
 *     its reference program is, likewise.
 * Words that are too few to tell anything by themselves (fewer than 16) count only as a whole
 * message.
 *
 * Where it is looked: a folder of a model or adapter leads to the run that made it, itself or a
 * folder above (checkpoint-000400, policy/12): settings.json names the rows, and the adapter and
 * base it began from, which are looked at in turn; learnt.json (contamination_record()) lists tasks
 * and prompts where no file of rows does. A run of the store leads to both, and to the tasks that
 * its rollouts were of.
 */
#ifndef SRC_CONTAMINATION_H
#define SRC_CONTAMINATION_H

#include "engine/prompts.h"
#include "engine/task.h"
#include "src/store.h"

enum learnt { LEARNT_NOT, LEARNT_TASK, LEARNT_PROMPT, LEARNT_NEAR, LEARNT_PROGRAM };
const char *learnt_words(enum learnt l); /* "its task", "its prompt", "nearly its prompt", ... */

struct contaminated {
	enum learnt how;
	double share;    /* of its words that are in what was learnt; 1 */
	char where[200]; /* "train.jsonl:12", "run 7", ... */
};

struct contamination;
/* What is looked for: @n tasks, borrowed. @near: 0.9 is usual. */
struct contamination *contamination_open(const struct task *const *task, int n,
                                         const struct prompt_set *prompts, double near,
                                         struct err *e);
void contamination_close(struct contamination *c); /* NULL is fine */

/* What came to be in the folder @dir of a model or an adapter, or a run's folder. 1; 0: that is
 * not known, and stands in the report; -1: what it names cannot be read (ERR_INPUT). Looking twice
 * at one is looking once. */
int contamination_folder(struct contamination *c, const char *dir, struct err *e);
/* A file of rows: chat JSON lines as training_rows.h reads them, a task's file, or a folder of
 * tasks. 0, or -1. */
int contamination_file(struct contamination *c, const char *path, struct err *e);
int contamination_run(struct contamination *c, struct store *s, int64_t run, struct err *e);

/* Of task @i; the first that was found. */
const struct contaminated *contamination_of(const struct contamination *c, int i);
int contamination_count(const struct contamination *c); /* tasks that were learnt */
/* {"near", "rows": looked at, "sources": [what was looked at], "unknown": [folders of which
 * nothing is known], "learnt": [{"task", "how", "share", "where"}]}; the caller's to delete. */
cJSON *contamination_report(const struct contamination *c);

/* near_same() of each user's message in a file of rows, each once; the caller frees *out. 0, or -1.
 */
int contamination_hashes(const char *path, uint64_t **out, int *n, struct err *e);
/* DIR/learnt.json, for folders that have no file of rows: {"format": "cadforge-learnt-1", "tasks":
 * [{"task", "prompt"}], "messages": [16 hex digits: near_same() of each message learnt]}. @hash may
 * be NULL. */
int contamination_record(const char *dir, const struct task *const *task, int n,
                         const uint64_t *hash, int n_hashes, struct err *e);

#endif
