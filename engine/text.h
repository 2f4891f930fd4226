/*
 * text.h - what Python's str methods and regular expressions mean by blank, word and lower case.
 *
 * Texts are UTF-8 from strangers; a byte that is no UTF-8 counts as one character that is neither
 * blank nor of a word.
 */
#ifndef ENGINE_TEXT_H
#define ENGINE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/buf.h"

/* Bytes of the blank character (str.isspace, \s) at @p, or 0. */
size_t text_blank(const char *p, size_t n);
/* Bytes of the run of blanks at @p. */
size_t text_blanks(const char *p, size_t n);
/* Bytes of the run of word characters (\w) at @p: letters, numbers, underscore of any script. */
size_t text_word(const char *p, size_t n);
/* Bytes of the decimal digit (\d) at @p, or 0. */
size_t text_digit(const char *p, size_t n);
/* True when the character that ends just before @at is of a word (the left side of \b). */
bool text_word_before(const char *text, size_t at);
/* The text without blanks at both ends: *at and *len are set. */
void text_strip(const char *text, size_t n, size_t *at, size_t *len);
/* Appends str.lower() as far as ASCII is concerned: A-Z, U+212A (k) and U+0130 (i and a combining
 * dot); other letters stay, so search it for ASCII words only. */
void text_lower(struct buf *out, const char *text, size_t n);
/* Appends the text with CR LF and CR made LF, as Python reads files. */
void text_newlines(struct buf *out, const char *text, size_t n);
/* The text holds @word. */
bool text_has(const char *text, size_t n, const char *word);

#endif
