/*
 * pretokenize.h - where the pieces of a text end: Qwen3.5's split pattern as a scanner.
 *
 * Equal to PCRE2 and to Hugging Face tokenizers on PRETOKENIZE_PATTERN (tests/t_tokenizer.c), and
 * linear in the text whatever it holds. The pattern's alternatives never need to look back further
 * than a run of one class, so no regex engine runs over the text.
 */
#ifndef GPU_PRETOKENIZE_H
#define GPU_PRETOKENIZE_H

#include <stddef.h>

#define PRETOKENIZE_PATTERN                                                                        \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|"               \
	" ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Bytes of the piece that begins at @text: valid UTF-8, @len > 0. Always at least one character. */
size_t pretokenize(const char *text, size_t len);

#endif
