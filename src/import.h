/*
 * import.h - episodes into the store: completions from elsewhere, built and scored here, and
 * exported episodes as they were.
 *
 *     FILE.jsonl          completions (src/jsonl.h), each an episode of one turn; a line of lists is a
 *                         table, a completion a row. Or, when its first line is one, the messages
 *                         of OpenEnv sessions (src/transcript.h): each session an episode, each
 *                         step a turn, what the server said of it an event of the episode:
 *                         "observed" {"turn", "reward", "done", "reward_mode", "notes"}
 *     FILE.py             a program
 *     FILE.step, .stp     a part without a program
 *     FOLDER              with episode.json: an exported episode (src/export.h), taken over as it
 *                         is; else all of the above in it, and in its folders
 *
 * Which task: what the line says, or the option; of a file the option, or its name: TASK.py,
 * TASK-anything.py, TASK/anything.py.
 * What is wrong with one line, file or episode is a problem that is told; the others come in. Each
 * comes in whole or not at all. What is in the database already (by its content: task, prompt,
 * completion, profile; of an exported episode by its origin) is not brought in twice, so an import
 * that was interrupted is gone on with by saying it again.
 */
#ifndef SRC_IMPORT_H
#define SRC_IMPORT_H

#include "src/scoring.h"
#include "src/store.h"

struct imported_one {
	const char *file;
	int line;         /* of a file of lines, from 1; else 0 */
	const char *task; /* NULL: not known */
	int64_t episode;  /* 0: it did not come in */
	int turns;
	bool already;        /* it was there */
	const cJSON *score;  /* of what was scored here, or NULL */
	const char *problem; /* why it did not come in, or NULL */
};

struct import_options {
	const struct app *app;
	struct store *store;
	const struct task_set *tasks;
	const struct task *task;        /* of what says none itself; NULL */
	struct scoring_options scoring; /* its ctx and tick are the import's */
	void *ctx;
	int (*tick)(void *ctx); /* not 0: stop */
	void (*one)(void *ctx, const struct imported_one *x);
};

struct import;

/* @o is borrowed. Nothing is started before something has to be scored. */
struct import *import_open(const struct import_options *o, struct err *e);
void import_close(struct import *im);
/* 0, problems told or not; -1 when there is no such path (ERR_INPUT), or our machinery failed, or
 * ERR_CANCELLED. */
int import_path(struct import *im, const char *path, struct err *e);

/* The task that a file's path names, or NULL. */
const struct task *import_task_of(const struct task_set *tasks, const char *path);

#endif
