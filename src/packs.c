#include "src/packs.h"

#include <stdio.h>
#include <string.h>

void packs_user_dir(char *out, size_t size, const struct app *a)
{
	snprintf(out, size, "%s%s", a->user_data, a->user_data[0] ? "/tasks" : "");
}

int packs_load(struct task_set *out, const struct app *a, struct err *e)
{
	enum { TOLD_MAX = 5 };
	char user[sizeof(a->user_data) + 16];
	const char *dirs[2];
	int n = 0, told = 0;

	packs_user_dir(user, sizeof(user), a);
	if (user[0])
		dirs[n++] = user;
	if (a->tasks[0])
		dirs[n++] = a->tasks;
	if (task_set_load(out, dirs, n, e) < 0)
		return -1;
	for (int i = 0; i < out->left_out.n && !a->quiet; i++) {
		struct buf line = { 0 };
		if (told++ == TOLD_MAX) {
			app_tell("%d more mistakes in packs: 'cadforge tasks check' tells all",
			         out->left_out.n - TOLD_MAX);
			break;
		}
		task_problem_print(&line, &out->left_out.v[i]);
		app_tell("left out: %s", buf_str(&line));
		buf_release(&line);
	}
	if (out->n == 0) {
		task_set_release(out);
		return err_set(e, ERR_LACKS,
		               "no task was found in %s: CADFORGE_TASKS names the folder of packs, "
		               "tasks/ in the sources",
		               a->tasks[0] ? a->tasks : "any place");
	}
	return 0;
}

void prompts_dirs(struct prompts_dirs *out, const struct app *a)
{
	out->n = 0;
	if (a->user_data[0]) {
		snprintf(out->text[0], sizeof(out->text[0]), "%s/tasks/prompts", a->user_data);
		out->dir[out->n++] = out->text[0];
	}
	if (a->tasks[0]) {
		snprintf(out->text[1], sizeof(out->text[1]), "%s/prompts", a->tasks);
		out->dir[out->n++] = out->text[1];
	}
}
