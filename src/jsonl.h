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

/* Whether a line has nothing to read: blank. */
bool jsonl_blank(const char *line, size_t len);

/* A text as JSON may have it: bytes that are no UTF-8, and NUL, become U+FFFD. True when there were
 * any. */
bool jsonl_text(struct buf *out, const char *text, size_t len);

#endif
