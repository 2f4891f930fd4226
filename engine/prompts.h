/*
 * prompts.h - what a model is told: named sets of texts with {placeholders}, data and not code.
 *
 * A set is a folder <name>/ with set.json {"format": "cadforge-prompts-1", "name", "about",
 * "base"} and
 *     system.txt           what holds for every task
 *     task.txt             one task
 *     repair/<class>.txt   the previous turn ended in this class of engine.h; nine of them
 *     repair/checks.txt    it built, and checks or terms fell short
 * "base" (may be left out) names the set from which missing files are taken.
 *
 * In a text {name} is replaced by a value, {?name} ... {/name} is kept only when that value is not
 * empty (not nested; alone on their lines the tags take these with them), {{ and }} are braces. A
 * placeholder that its kind of text does not have is an error when the set is read, with file and
 * line. What the placeholders of a kind are: prompt_placeholders(), cadforge-tasks(5).
 */
#ifndef ENGINE_PROMPTS_H
#define ENGINE_PROMPTS_H

#include "engine/engine.h"
#include "engine/task.h"
#include "src/base/sha256.h"

#define PROMPTS_DEFAULT "default"

enum prompt_kind {
	PROMPT_SYSTEM,
	PROMPT_TASK,
	PROMPT_CHECKS,
	PROMPT_REPAIR, /* + enum build_class */
	PROMPT_KINDS = PROMPT_REPAIR + CLASS_COUNT
};

/* "system.txt", "repair/syntax_closure.txt": its file in the set's folder; static. */
const char *prompt_file(enum prompt_kind k);
/* Names that may stand in braces in this kind of text, NULL at the end. */
const char *const *prompt_placeholders(enum prompt_kind k);

struct prompt_set {
	char *name, *about;
	char *base; /* NULL: none */
	char *dir;  /* its folder */
	/* As in the files, without blanks at the end. */
	char *text[PROMPT_KINDS];
	bool inherited[PROMPT_KINDS]; /* taken from the base */
	/* SHA-256 of all texts with their files' names: equal texts, equal hash, whatever the name
	 */
	char hash[SHA256_HEX];
};

/* The set of that name in the first of @dirs that has a folder so called. 0; -1: ERR_USAGE (no such
 * set; names those there are), ERR_INPUT (file, line, what is wrong), ERR_MEM. */
int prompt_set_load(struct prompt_set *out, const char *const *dirs, int n_dirs, const char *name,
                    struct err *e);
void prompt_set_release(struct prompt_set *s);

/* Names of all sets in @dirs, sorted, each once. Caller frees each and the array. The count, or -1
 * (ERR_MEM). A folder that does not exist holds none. */
int prompt_set_names(char ***out, const char *const *dirs, int n_dirs, struct err *e);

struct prompt_value {
	const char *name, *text; /* text NULL: "" */
};

/* Appends the text with its values. -1 (ERR_INPUT) when one that it names is not among them. */
int prompt_render(struct buf *out, const struct prompt_set *s, enum prompt_kind k,
                  const struct prompt_value *values, int n, struct err *e);

/* The two that need no turn: what holds for all tasks, and one task. */
int prompt_system(struct buf *out, const struct prompt_set *s, struct err *e);
int prompt_task(struct buf *out, const struct prompt_set *s, const struct task *t, struct err *e);

#endif
