#include "src/packs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void packs_user_dir(char *out, size_t size, const struct app *a)
{
	snprintf(out, size, "%s%s", a->user_data, a->user_data[0] ? "/tasks" : "");
}

/* Of a pack's own folder the one that it lies in. */
static int root_of(char out[PATH_MAX], const char *dir, struct err *e)
{
	char real[PATH_MAX], file[PATH_MAX + 16], *slash;
	struct stat st;

	if (!realpath(dir, real) || stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_USAGE, "%.300s: a folder of tasks was expected", dir);
	snprintf(file, sizeof(file), "%s/pack.json", real);
	if (access(file, F_OK) == 0 && (slash = strrchr(real, '/')) && slash > real)
		*slash = '\0';
	memcpy(out, real, sizeof(real));
	return 0;
}

int packs_load(struct task_set *out, const struct app *a, struct err *e)
{
	return packs_load_more(out, a, NULL, 0, e);
}

int packs_load_more(struct task_set *out, const struct app *a, const char *const *more, int n_more,
                    struct err *e)
{
	enum { TOLD_MAX = 5, MORE_MAX = 64 };
	char user[sizeof(a->user_data) + 16];
	char(*roots)[PATH_MAX] = NULL;
	const char *dirs[MORE_MAX + 2];
	int n = 0, told = 0, rc;

	if (n_more > MORE_MAX)
		return err_set(e, ERR_USAGE, "more than %d packs", MORE_MAX);
	if (n_more && !(roots = calloc((size_t)n_more, sizeof(*roots))))
		return err_set(e, ERR_MEM, "out of memory");
	for (int i = 0; i < n_more; i++) {
		bool known = false;
		if (root_of(roots[i], more[i], e) < 0) {
			free(roots);
			return -1;
		}
		for (int k = 0; k < n; k++)
			known = known || strcmp(dirs[k], roots[i]) == 0;
		if (!known)
			dirs[n++] = roots[i];
	}
	packs_user_dir(user, sizeof(user), a);
	if (user[0])
		dirs[n++] = user;
	if (a->tasks[0])
		dirs[n++] = a->tasks;
	rc = task_set_load(out, dirs, n, e);
	free(roots);
	if (rc < 0)
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
