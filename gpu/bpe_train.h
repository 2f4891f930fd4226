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

struct bpe_trainer;
struct bpe_trainer *bpe_trainer_open(struct err *e);
void bpe_trainer_close(struct bpe_trainer *t);
int bpe_trainer_feed(struct bpe_trainer *t, const char *text, size_t len,
                     struct err *e); /* UTF-8 */
/* Learns and writes tokenizer.json, tokenizer_config.json (Qwen2Tokenizer, eos <|im_end|>, pad
 * <|endoftext|>) and chat_template.jinja (the published form's structure in our words; thinking off
 * by default) into @dir. @size: all entries, added tokens included. Returns entries reached, -1. */
int bpe_trainer_write(struct bpe_trainer *t, const char *dir, int size, struct err *e);

#endif
