/*
 * unicode.h - what the tokenizer asks of characters: which class, is this UTF-8, normal form C.
 *
 * Properties come from utf8proc. Two things are our own, so that ids equal those of the library
 * that the models were trained with (Hugging Face tokenizers 0.23, asked code point by code point):
 *   - letters, marks and numbers that Unicode 15.1 and 16 added, where utf8proc has nothing yet;
 *   - its normal form is that of Unicode 9: what was assigned later neither moves nor composes.
 */
#ifndef GPU_UNICODE_H
#define GPU_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/buf.h"

/* \p{L}, \p{M}, \p{N}, White_Space less the next, CR and LF, and all else. */
enum unicode_class {
	UNICODE_OTHER,
	UNICODE_LETTER,
	UNICODE_MARK,
	UNICODE_NUMBER,
	UNICODE_SPACE,
	UNICODE_NEWLINE
};

enum unicode_class unicode_class(uint32_t cp);

/* Looks at the @n > 0 bytes at @p. Returns how many make one character, with *@cp set; or how many
 * are a maximal subpart that no character begins with (at least 1), with *@cp UNICODE_BAD; or 0
 * when all @n are the beginning of a character that is cut off. */
#define UNICODE_BAD UINT32_MAX
int unicode_step(const char *p, size_t n, uint32_t *cp);

/* Characters to UTF-8; returns 1..4. @cp is no surrogate and at most U+10FFFF. */
int unicode_put(char out[4], uint32_t cp);

/* Appends @text with each maximal subpart that is no UTF-8 replaced by U+FFFD. */
void unicode_mend(struct buf *out, const char *text, size_t len);

/* Bytes at the beginning of @text (valid UTF-8) that normal form C surely leaves as they are,
 * whatever follows: @len when all of it is normal. Quick. */
size_t unicode_nfc_span(const char *text, size_t len);

/* Appends the normal form C of @text (valid UTF-8). Time is linear in the text, whatever it holds.
 * 0; -1 (ERR_MEM). */
int unicode_nfc(struct buf *out, const char *text, size_t len, struct err *e);

#endif
