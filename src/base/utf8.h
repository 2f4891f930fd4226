/*
 * utf8.h - text from strangers made safe to log, store and show.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdint.h>

#include "src/base/buf.h"

/* Decodes one code point at @p (n bytes are there). Returns its length 1..4 with *@cp set, or 0
 * when the bytes there are no valid UTF-8 (overlong, surrogate, above U+10FFFF, cut short). */
int utf8_decode(const char *p, size_t n, uint32_t *cp);

/* Appends @text to @out with everything a terminal or a reader could be fooled by made visible:
 * control characters other than newline and tab (ESC becomes "\x1b", NUL "\x00"), C1 controls, bidi
 * and other invisible format characters ("\u202e"), and bytes that are no UTF-8 ("\xff"). CR LF
 * becomes a newline. */
void utf8_clean(struct buf *out, const char *text, size_t len);

/* The same for text that must stay on its line: a newline becomes "\n". */
void utf8_clean_line(struct buf *out, const char *text, size_t len);

/* True when the text is valid UTF-8 throughout; else *@at is the first bad byte. */
bool utf8_valid(const char *text, size_t len, size_t *at);

/* True when utf8_clean() would show all of it as it is; else *@at is the first byte of what it would
 * not. CR LF is as good as a newline. */
bool utf8_plain(const char *text, size_t len, size_t *at);

#endif
