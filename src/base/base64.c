/*
 * base64.c - three bytes as four letters.
 */
#include "src/base/base64.h"

void base64_add(struct buf *out, const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i += 3) {
		unsigned v = (unsigned)p[i] << 16;
		if (i + 1 < len)
			v |= (unsigned)p[i + 1] << 8;
		if (i + 2 < len)
			v |= p[i + 2];
		char four[4] = { digits[v >> 18], digits[v >> 12 & 63],
			         i + 1 < len ? digits[v >> 6 & 63] : '=',
			         i + 2 < len ? digits[v & 63] : '=' };
		buf_add(out, four, 4);
	}
}
