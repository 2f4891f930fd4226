#include "src/base/utf8.h"

int utf8_decode(const char *p, size_t n, uint32_t *cp)
{
	const unsigned char *u = (const unsigned char *)p;
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	int len;
	uint32_t c;

	if (n == 0)
		return 0;
	if (u[0] < 0x80) {
		*cp = u[0];
		return 1;
	}
	if (u[0] >= 0xc2 && u[0] < 0xe0) {
		len = 2;
		c = u[0] & 0x1f;
	} else if (u[0] >= 0xe0 && u[0] < 0xf0) {
		len = 3;
		c = u[0] & 0x0f;
	} else if (u[0] >= 0xf0 && u[0] < 0xf5) {
		len = 4;
		c = u[0] & 0x07;
	} else {
		return 0;
	}
	if ((size_t)len > n)
		return 0;
	for (int i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return len;
}

static bool is_invisible(uint32_t c)
{
	return (c >= 0x80 && c <= 0x9f) || c == 0xad || c == 0x61c || c == 0x180e ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe0fff);
}

/* Of what utf8_decode() said. */
static bool is_plain(int n, uint32_t c)
{
	return n > 0 && !(c < 0x20 && c != '\n' && c != '\t') && c != 0x7f &&
	       !(n > 1 && is_invisible(c));
}

bool utf8_plain(const char *text, size_t len, size_t *at)
{
	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		int n = utf8_decode(text + i, len - i, &c);
		if (!is_plain(n, c) && !(c == '\r' && i + 1 < len && text[i + 1] == '\n')) {
			*at = i;
			return false;
		}
		i += (size_t)n;
	}
	return true;
}

void utf8_clean(struct buf *out, const char *text, size_t len)
{
	size_t plain = 0; /* start of the run that can be copied as it is */
	size_t i = 0;

	while (i < len) {
		uint32_t c = 0;
		int n = utf8_decode(text + i, len - i, &c);
		if (is_plain(n, c)) {
			i += (size_t)n;
			continue;
		}
		buf_add(out, text + plain, i - plain);
		if (n == 0) {
			buf_printf(out, "\\x%02x", (unsigned char)text[i]);
			n = 1;
		} else if (c == '\r' && i + 1 < len && text[i + 1] == '\n') {
			; /* the newline that follows says it */
		} else if (n == 1) {
			buf_printf(out, "\\x%02x", c);
		} else {
			buf_printf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
		}
		i += (size_t)n;
		plain = i;
	}
	buf_add(out, text + plain, len - plain);
}

void utf8_clean_line(struct buf *out, const char *text, size_t len)
{
	size_t from = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] != '\n')
			continue;
		utf8_clean(out, text + from, i - from);
		if (i < len)
			buf_adds(out, "\\n");
		from = i + 1;
	}
}

bool utf8_valid(const char *text, size_t len, size_t *at)
{
	for (size_t i = 0; i < len;) {
		uint32_t c;
		int n = utf8_decode(text + i, len - i, &c);
		if (n == 0) {
			if (at)
				*at = i;
			return false;
		}
		i += (size_t)n;
	}
	return true;
}
