/*
 * chat.h - a conversation as the text that Qwen3.5 was trained on (qwen35.md, section 9): byte for
 * byte.
 */
#ifndef GPU_CHAT_H
#define GPU_CHAT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "src/base/buf.h"

enum chat_thinking { CHAT_THINKING_DEFAULT, CHAT_THINKING_OFF, CHAT_THINKING_ON };

/* What the model's own template does when nothing is said: read from chat_template.jinja or
 * tokenizer_config.json of
 * @dir; off when it can't be told. */
bool chat_thinks_by_default(const char *dir);

/* @messages: [{"role": "system|user|assistant|tool", "content": "...", "reasoning_content"?:
 * "..."}]. Appends to
 * @out. @default_on: what CHAT_THINKING_DEFAULT means. 0, or -1 with @e (ERR_INPUT: which message,
 * what is wrong). */
int chat_render(struct buf *out, const cJSON *messages, bool generation_prompt,
                enum chat_thinking thinking, bool default_on, struct err *e);

/* The same, and where in @out what lies: the texts of the messages, whose added tokens must have no
 * power (tokenizer_encode with @added false), and where messages end. Ranges rise and do not
 * overlap; `struct chat_parts p = {0}`. */
struct chat_part {
	size_t from, to; /* bytes of @out, from where rendering began: a message's text as rendered */
	size_t end;      /* past the "<|im_end|>\n" of its turn */
	int message;     /* its number in @messages */
};
struct chat_parts {
	struct chat_part *v;
	int n, cap;
};
void chat_parts_release(struct chat_parts *p);
int chat_render_parts(struct buf *out, struct chat_parts *parts, const cJSON *messages,
                      bool generation_prompt, enum chat_thinking thinking, bool default_on,
                      struct err *e);

#endif
