/*
 * packs.h - the tasks that a verb knows: those installed, or in $CADFORGE_TASKS, and the user's own
 * in $XDG_DATA_HOME/cadforge/tasks. Of two tasks with one id the user's counts.
 */
#ifndef PACKS_H
#define PACKS_H

#include "engine/task.h"
#include "src/app.h"

/* After app_find(). What was left out is told on standard error, a line a problem (unless
 * --quiet), and stays in @out->left_out. 0; -1: ERR_MEM, ERR_INPUT, or ERR_LACKS when there is no
 * task at all. */
int packs_load(struct task_set *out, const struct app *a, struct err *e);

/* The same, and before them the packs in @dirs, each a pack's own folder (it holds pack.json; those
 * beside it are known too) or a folder of packs. ERR_USAGE: one of them is no such folder. */
int packs_load_more(struct task_set *out, const struct app *a, const char *const *dirs, int n,
                    struct err *e);

/* The user's own folder of packs, "" when nobody says where; @out: PATH_MAX bytes or more. */
void packs_user_dir(char *out, size_t size, const struct app *a);

/* The folders of prompt sets, the user's first, for prompt_set_load(). Points into itself. */
struct prompts_dirs {
	char text[2][8192];
	const char *dir[2];
	int n;
};
void prompts_dirs(struct prompts_dirs *out, const struct app *a);

#endif
