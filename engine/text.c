#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text.h"

#include <pcre2.h>
#include <string.h>

#include "src/base/utf8.h"

static bool blank_code(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
	       c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t text_blank(const char *p, size_t n)
{
	uint32_t c;
	int len = n ? utf8_decode(p, n, &c) : 0;

	return len && blank_code(c) ? (size_t)len : 0;
}

size_t text_blanks(const char *p, size_t n)
{
	size_t at = 0, len;

	while ((len = text_blank(p + at, n - at)) > 0)
		at += len;
	return at;
}

static bool ascii_word(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Bytes at @p that match an anchored pattern. For characters beyond ASCII, which are rare in
 * programs: the tables of Unicode are PCRE2's. */
static size_t match_bytes(const char *pattern, const char *p, size_t n)
{
	int code;
	size_t at, len = 0;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
	                               PCRE2_UTF | PCRE2_ANCHORED | PCRE2_MATCH_INVALID_UTF, &code,
	                               &at, NULL);
	pcre2_match_data *m = re ? pcre2_match_data_create(1, NULL) : NULL;

	if (m && pcre2_match(re, (PCRE2_SPTR)p, n, 0, 0, m, NULL) > 0)
		len = pcre2_get_ovector_pointer(m)[1];
	pcre2_match_data_free(m);
	pcre2_code_free(re);
	return len;
}

size_t text_word(const char *p, size_t n)
{
	size_t at = 0;

	while (at < n && ascii_word((unsigned char)p[at]))
		at++;
	if (at < n && (unsigned char)p[at] >= 0x80)
		at += match_bytes("[\\p{L}\\p{N}_]+", p + at, n - at);
	return at;
}

size_t text_digit(const char *p, size_t n)
{
	if (n == 0 || (unsigned char)*p < 0x80)
		return n && *p >= '0' && *p <= '9';
	return match_bytes("\\p{Nd}", p, n);
}

bool text_word_before(const char *text, size_t at)
{
	uint32_t c;
	size_t start = at;

	if (at == 0)
		return false;
	if ((unsigned char)text[at - 1] < 0x80)
		return ascii_word((unsigned char)text[at - 1]);
	while (start > 0 && at - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return false;
	start--;
	if (utf8_decode(text + start, at - start, &c) != (int)(at - start))
		return false;
	return match_bytes("[\\p{L}\\p{N}_]", text + start, at - start) > 0;
}

void text_strip(const char *text, size_t n, size_t *at, size_t *len)
{
	size_t from = text_blanks(text, n), end = n;

	while (end > from) {
		/* The last character: back over the trail bytes of one code point. */
		size_t start = end - 1;
		while (start > from && end - start < 4 &&
		       ((unsigned char)text[start] & 0xc0) == 0x80)
			start--;
		if (text_blank(text + start, end - start) != end - start)
			break;
		end = start;
	}
	*at = from;
	*len = end - from;
}

void text_lower(struct buf *out, const char *text, size_t n)
{
	char *room = buf_room(out, n + n / 2 + 1);
	size_t k = 0;

	if (!room)
		return;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 'A' && c <= 'Z') {
			room[k++] = (char)(c + 'a' - 'A');
		} else if (c == 0xe2 && n - i >= 3 && memcmp(text + i, "\xe2\x84\xaa", 3) == 0) {
			room[k++] = 'k';
			i += 2;
		} else if (c == 0xc4 && n - i >= 2 && (unsigned char)text[i + 1] == 0xb0) {
			memcpy(room + k, "i\xcc\x87", 3); /* 2 bytes become 3: hence n / 2 more */
			k += 3;
			i++;
		} else {
			room[k++] = text[i];
		}
	}
	buf_grew(out, k);
}

void text_newlines(struct buf *out, const char *text, size_t n)
{
	char *room = buf_room(out, n + 1);
	size_t k = 0;

	if (!room)
		return;
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\r') {
			room[k++] = '\n';
			if (i + 1 < n && text[i + 1] == '\n')
				i++;
		} else {
			room[k++] = text[i];
		}
	}
	buf_grew(out, k);
}

bool text_has(const char *text, size_t n, const char *word)
{
	return memmem(text, n, word, strlen(word)) != NULL;
}
