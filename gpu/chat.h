/*
 * chat.h - a conversation as the text that Qwen3.5 was trained on (qwen35.md, section 9): byte for
 * byte.
 */
#ifndef GPU_CHAT_H
#define GPU_CHAT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "gpu/tokenizer.h"
#include "src/base/buf.h"

enum chat_thinking { CHAT_THINKING_DEFAULT, CHAT_THINKING_OFF, CHAT_THINKING_ON };

/* What the model's own template does when nothing is said: read from chat_template.jinja, else from
 * tokenizer_config.json, of @dir, by following the template's conditions with enable_thinking
 * undefined; off when it can't be told. */
bool chat_thinks_by_default(const char *dir);

/* @messages: [{"role": "system|user|assistant|tool", "content": "...", "reasoning_content"?:
 * "..."}]. A content may also be a list of parts [{"type": "text", "text": "..."}, ...], which are
 * one text without anything between.
 *
 * Appends the rendered conversation to @out. @default_on: what CHAT_THINKING_DEFAULT means. 0, or
 * -1 with @e (ERR_INPUT: which message, what is wrong, what was expected) and @out as it was. */
int chat_render(struct buf *out, const cJSON *messages, bool generation_prompt,
                enum chat_thinking thinking, bool default_on, struct err *e);

/* A conversation as token ids in which nobody can forge a turn: the marks that the format itself
 * writes (<|im_start|>, <|im_end|>, <think>, ...) are added tokens, and whatever looks like one
 * inside a content is plain text. For contents without such texts these are the ids of
 * chat_render()'s text encoded with added tokens. */
struct chat_ids {
	struct ids ids;
	/* Counts of leading ids that other conversations may share, rising, each less than or equal
	 * to ids.n: what stands there does not depend on what follows. One at the end of every turn
	 * (a run of tool messages is one); and, for a user or system content that is a list of
	 * parts, one at the beginning of the last line of each part: two prompts whose contents
	 * begin with an equal part have an equal head there. */
	int *head;
	int n_heads;
};
void chat_ids_release(struct chat_ids *c); /* safe on {0} and twice */

/* @out must be {0}; it is written only on success. As chat_render(); and ERR_INPUT when @t has no
 * <|im_start|> or <|im_end|>, ERR_MEM. Takes time linear in the text (but for sorting). */
int chat_encode(struct chat_ids *out, const struct tokenizer *t, const cJSON *messages,
                bool generation_prompt, enum chat_thinking thinking, bool default_on,
                struct err *e);

#endif
