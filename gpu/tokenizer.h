/*
 * tokenizer.h - byte-level BPE from a tokenizer.json, as qwen35.md section 8 has it.
 *
 * Encoding: cut at added tokens, NFC, split by the pattern, bytes, merges by rank. Decoding: bytes,
 * UTF-8 with maximal-subpart replacement. Const after opening: any number of threads may use one.
 */
#ifndef GPU_TOKENIZER_H
#define GPU_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/buf.h"

struct tokenizer;

/* From @dir's tokenizer.json and, for added tokens that are only there, tokenizer_config.json. Only
 * what this project implements is accepted (BPE, byte level, that split pattern, NFC): anything
 * else is ERR_INPUT naming the field. */
struct tokenizer *tokenizer_open(const char *dir, struct err *e);
void tokenizer_close(struct tokenizer *t);

int tokenizer_size(const struct tokenizer *t); /* one past the largest id */
/* The id of an added token by its text, or -1. */
int32_t tokenizer_added(const struct tokenizer *t, const char *text);
/* The bytes of one token (an added token's text); borrowed. *len 0 and special false for an id that
 * is unused. */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len, bool *special);

/* Ids that end an answer: <|im_end|>, <|endoftext|> and tokenizer_config's eos_token, as far as
 * they are there. */
int tokenizer_stops(const struct tokenizer *t, int32_t *out, int cap);

struct ids {
	int32_t *id;
	int n, cap;
};
void ids_release(struct ids *v);                      /* safe on {0} and twice */
int ids_add(struct ids *v, const int32_t *id, int n); /* 0, or -1: out of memory */

/* Appends to @out. @added false: the text of added tokens has no power (strangers' text). Bytes
 * that are no UTF-8 become U+FFFD. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool added,
                     struct ids *out, struct err *e);

/* Appends the text of @n ids; ids out of range are left out. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *id, int n, bool skip_special,
                      struct buf *out);

/* Text as it streams in: never half a character. `struct decoder d = {0}`. */
struct decoder {
	unsigned char held[4];
	int n_held;
};
/* Appends what is now certain to @out. */
void decoder_push(struct decoder *d, const struct tokenizer *t, int32_t id, bool skip_special,
                  struct buf *out);
void decoder_finish(struct decoder *d, struct buf *out); /* what was held comes out as U+FFFD */

#endif
