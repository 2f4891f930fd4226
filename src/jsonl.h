/*
 * jsonl.h - completions as JSON lines: an object a line, as data sets have them.
 *
 *     {"task": "four_leg_chair_700n", "prompt": "..." or [messages], "completion": "..."}
 *     {"task": "four_leg_chair_700n", "messages": [..., {"role": "assistant", "content": "..."}]}
 *
 * task        the id of a task ("task_id" is taken as well); may be missing: NULL
 * prompt      a text (becomes one user message), or messages {"role", "content"}; may be missing
 * completion  what was answered: a text, or a list of one assistant message; needed, unless
 * messages    holds the whole conversation: the last one is the answer, those before the prompt
 * model, adapter, finish   texts; may be missing
 * Other keys are passed over: data sets have many. Pure: text in, struct out.
 */
#ifndef SRC_JSONL_H
#define SRC_JSONL_H

#include "src/base/json.h"

enum { JSONL_LINE_MAX = 32 << 20 };

struct jsonl_completion {
	const char *task, *model, *adapter, *finish; /* NULL: not said */
	const char *completion;
	cJSON *prompt; /* messages, or NULL */
	cJSON *json;   /* owns the texts above */
};

/* One line, without its end. 0; or -1 (ERR_INPUT) saying which key, what was wanted, what is there.
 * Released by jsonl_completion_release() after success. */
int jsonl_completion_parse(struct jsonl_completion *out, const char *line, size_t len,
                           struct err *e);
void jsonl_completion_release(struct jsonl_completion *c); /* safe on {0} and twice */

/* A line whose "completion" is a list of answers: a table kept by column, as trainers log a whole
 * batch. The caller deletes it; NULL: it is none. */
cJSON *jsonl_columns(const char *line, size_t len);
/* Its row @i, from 0: of each list its @i-th item, what is no list as it is. The caller's. */
cJSON *jsonl_row(const cJSON *columns, int i);

/* What every line of a stranger's must be: UTF-8 without NUL, also without one that JSON writes as
 * an escape. 0; -1 (ERR_INPUT) says which byte. */
int jsonl_checked(const char *line, size_t len, struct err *e);

/* Whether a line has nothing to read: blank. */
bool jsonl_blank(const char *line, size_t len);

/* A text as JSON may have it: bytes that are no UTF-8, and NUL, become U+FFFD. True when there were
 * any. */
bool jsonl_text(struct buf *out, const char *text, size_t len);

#endif
