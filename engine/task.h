/*
 * task.h - the parts that a model is asked for: data, loaded once, const afterwards.
 *
 * One file, DIR/cadforge/tasks.json: {"format": "cadforge-tasks-1", "tasks": [{"id", "level",
 * "family", "bbox_mm", "semantic_hints", "prompt", "expect", "seed_box_over_height"}]}.
 * Reading is strict: errors name file, task, key, what was expected and what is there.
 */
#ifndef ENGINE_TASK_H
#define ENGINE_TASK_H

#include "src/base/json.h"

enum task_level { TASK_EASY, TASK_MEDIUM, TASK_HARD };
const char *task_level_name(enum task_level l);

struct task {
	const char *id; /* [a-z0-9_], 1 to 63 bytes */
	enum task_level level;
	const char *family;
	double bbox_mm[3]; /* X, Y, Z; Z up */
	const char *const *hints;
	int n_hints;
	const char *prompt;
	const cJSON *expect; /* an object */
	/* The box of the published per-task reference over its height; its longest axis is Z. */
	double seed_box_over_height[3];
};

struct task_pack {
	struct task *tasks;
	int n;
	cJSON *json; /* owns all texts above */
};

/* Loads @dir/cadforge/tasks.json. 0, or -1 (ERR_INPUT, ERR_MEM). */
int task_pack_load(struct task_pack *out, const char *dir, struct err *e);
/* The same from text; @name is what errors call it. */
int task_pack_parse(struct task_pack *out, const char *text, size_t len, const char *name,
                    struct err *e);
void task_pack_release(struct task_pack *p);

/* The task of that id; NULL with @e (ERR_USAGE) naming the nearest id. */
const struct task *task_find(const struct task_pack *p, const char *id, struct err *e);

#endif
