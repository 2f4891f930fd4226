/*
 * bpe_train.h - learns a byte-level BPE from text, with Qwen3.5's split pattern, and writes it as a
 * tokenizer.json that tokenizer_open() and the field's own library read.
 *
 * The 256 bytes come first, then merges by falling count of the pair (ties: the pair whose bytes
 * come first), until @size entries less the added tokens are there or no pair occurs twice. Added
 * tokens stand at the end: <|endoftext|>, <|im_start|>, <|im_end|> (special), <think>, </think>,
 * <tool_response>, </tool_response>. Equal texts, equal bytes out.
 */
#ifndef GPU_BPE_TRAIN_H
#define GPU_BPE_TRAIN_H

#include <stddef.h>

#include "src/base/err.h"

struct bpe_trainer; /* one caller at a time */
struct bpe_trainer *bpe_trainer_open(struct err *e);
void bpe_trainer_close(struct bpe_trainer *t);
/* Counts one document: cut at added tokens, which teach nothing, normal form C, split. Bytes that
 * are no UTF-8 become U+FFFD. 0, or -1 with @e: ERR_MEM, ERR_INPUT (more than 2 GiB of different
 * pieces). */
int bpe_trainer_feed(struct bpe_trainer *t, const char *text, size_t len, struct err *e);
/* Learns and writes tokenizer.json, tokenizer_config.json (Qwen2Tokenizer, eos <|im_end|>, pad
 * <|endoftext|>) and chat_template.jinja (what chat_render() gives, in our own words; thinking off
 * when nothing is said) into @dir, which must not exist or be empty. @size: all entries, added
 * tokens included; at least 263. Returns the entries reached, which are fewer when the text has no
 * more pairs, or -1. May be called again. */
int bpe_trainer_write(struct bpe_trainer *t, const char *dir, int size, struct err *e);

#endif
