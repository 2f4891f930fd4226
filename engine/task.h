/*
 * task.h - the parts that a model is asked for: data, loaded once, const afterwards.
 *
 * A *pack* is a folder: pack.json {"format": "cadforge-pack-1", "name", "about"}, one file a task
 * <id>.json {"format": "cadforge-task-1", ...}, and references/. Keys, units and ranges are in
 * cadforge-tasks(5) and, for programs, in tasks/task.schema.json. A *set* is all tasks of all packs
 * under some folders (an installed one, a user's own).
 *
 * Reading is strict. What is wrong is a *problem*: file, line, field, what was wanted, what is
 * there. task_read() and task_pack_check() find all of them, not only the first. A set leaves a
 * task or a pack with a problem out, keeps the problem, and goes on: one bad pack stops no work on
 * the others.
 */
#ifndef ENGINE_TASK_H
#define ENGINE_TASK_H

#include "src/base/json.h"
#include "src/base/sha256.h"

enum task_level { TASK_EASY, TASK_MEDIUM, TASK_HARD };
const char *task_level_name(enum task_level l);

/* How a part may lie: FREE, the checks are evaluated on the part turned by the one of the 24 axis
 * rotations that fits the reference best; FIXED, as it was modelled. */
enum task_orientation { TASK_FREE, TASK_FIXED };

enum { TASK_ID_MAX = 63 };

struct task_dimension {
	const char *name; /* a Python name in lower case, unique in its task */
	double value_mm;  /* above 0 */
	const char *about;
};

struct task {
	const char *id;   /* [a-z0-9_], 1 to TASK_ID_MAX bytes; its file is <id>.json */
	const char *pack; /* the name of its pack; "" outside a set */
	const char *file; /* the path it was read from */
	enum task_level level;
	const char *family;
	double bbox_mm[3]; /* X, Y, Z; Z up */
	const char *const *hints;
	int n_hints;
	const char *prompt;
	const struct task_dimension *dimensions;
	int n_dimensions;
	const cJSON
		*expect; /* an object: fact -> number, true or false, text, or an array of them */
	/* The box of the published per-task reference over its height, longest axis Z: for the seed
	 * profiles alone. Zeros where has_seed_box is false. */
	bool has_seed_box;
	double seed_box_over_height[3];
	/* The path of the reference, beside the task's file: .py (a program), .step or .stp, .stl,
	 * .glb. NULL: none. That it is there is task_pack_check()'s matter. */
	const char *reference;
	enum task_orientation orientation;
	const cJSON *checks; /* an array; each element went through checks_parse() */
	int n_checks;
	char hash[SHA256_HEX]; /* SHA-256 of its file: what a turn was judged by */
	/* what the above points into */
	cJSON *json;
	char *own_file, *own_reference, *own_pack;
};

struct task_problem {
	char *file;
	int line;    /* from 1; 0: the file as a whole */
	char *text;  /* "bbox_mm[1]: a length above 0 wanted, got -4" */
	bool remark; /* odd, but the pack works */
};

struct task_problems {
	struct task_problem *v;
	int n, errors; /* errors: those that are no remark */
	bool lost;     /* memory ran out while collecting: there are more */
};

void task_problems_release(struct task_problems *p);
/* Adds "file:line: text". */
void task_problem(struct task_problems *p, const char *file, int line, bool remark, const char *fmt,
                  ...) __attribute__((format(printf, 5, 6)));
/* The problem as one line, "FILE:LINE: TEXT", appended to @out. */
void task_problem_print(struct buf *out, const struct task_problem *p);

/* Reads one task's file from its text. @file is its path: problems name it, the reference is looked
 * for beside it. Looks at no other file. 0, or -1 with at least one error in @problems. @thorough
 * also wants what only a finished task has, a check and every fact of expect covered by one: an
 * error too, and yet the task is read. */
int task_read(struct task *out, const char *text, size_t len, const char *file, bool thorough,
              struct task_problems *problems);
/* The same with the first problem as error (ERR_INPUT, ERR_MEM). */
int task_parse(struct task *out, const char *text, size_t len, const char *file, struct err *e);
void task_release(struct task *t);

struct task_pack {
	char *dir, *name, *about;
	int root; /* which of the folders given it lies in */
	int n_tasks;
};

struct task_set {
	struct task *tasks; /* by pack, level, id */
	int n;
	struct task_pack *packs; /* by root, name */
	int n_packs;
	struct task_problems left_out;
};

/* All packs in @dirs (each a folder of packs; one that does not exist holds none). Of two tasks
 * with the same id in different folders the one of the folder named first counts; in the same
 * folder it is a problem. 0, also when nothing was found; -1: ERR_MEM, or ERR_INPUT for a folder
 * that cannot be read. */
int task_set_load(struct task_set *out, const char *const *dirs, int n_dirs, struct err *e);
void task_set_release(struct task_set *s);

/* The task of that id; NULL with @e (ERR_USAGE) naming the nearest id, or (ERR_INPUT) what is wrong
 * with the file of that task. */
const struct task *task_find(const struct task_set *s, const char *id, struct err *e);

/* All that is wrong with the pack in @dir, thoroughly: pack.json, each task, each reference's
 * presence, files that belong to nothing. 0 (look into @problems); -1 when the folder itself cannot
 * be read or memory ran out. @tasks, if not NULL, gets the tasks that could be read. */
int task_pack_check(const char *dir, struct task_problems *problems, struct task_set *tasks,
                    struct err *e);

#endif
