/*
 * tokenizer_write.h - the files of a tokenizer as the field has them: tokenizer.json,
 * tokenizer_config.json, chat_template.jinja.
 */
#ifndef GPU_TOKENIZER_WRITE_H
#define GPU_TOKENIZER_WRITE_H

#include <stdint.h>

#include "src/base/buf.h"

/* What a byte-level BPE has learned. Token i stands at bytes.data + at[i], and ends where the next
 * begins; at has tokens + 1 places. All are of different bytes. */
struct vocabulary {
	struct buf bytes;
	uint32_t *at;
	int tokens;
	struct merge {
		int32_t left, right;
	} * merge; /* by rank */
	int merges;
};

/* The tokens that stand behind those of the text: <|endoftext|>, <|im_start|>, <|im_end|>
 * (special), <think>, </think>, <tool_response>, </tool_response>. */
enum { ADDED_TOKENS = 7 };
const char *added_token(int i);
/* Bytes of the added token that @text begins with, or 0. */
size_t added_token_here(const char *text, size_t len);

/* Writes a new folder @dir (base/folder.h). The template renders what chat_render() does, thinking
 * off when nothing is said. 0, or -1 with @e. */
int tokenizer_write(const char *dir, const struct vocabulary *v, struct err *e);

#endif
