#include "src/base/sha256.h"

void sha256_start(struct sha256 *s)
{
	sha256_init(&s->ctx);
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
	if (len)
		sha256_update(&s->ctx, len, data);
}

void sha256_end(struct sha256 *s, unsigned char out[SHA256_BYTES])
{
	sha256_digest(&s->ctx, SHA256_BYTES, out);
}

void sha256_end_hex(struct sha256 *s, char out[SHA256_HEX])
{
	static const char digit[] = "0123456789abcdef";
	unsigned char d[SHA256_BYTES];

	sha256_end(s, d);
	for (int i = 0; i < SHA256_BYTES; i++) {
		out[2 * i] = digit[d[i] >> 4];
		out[2 * i + 1] = digit[d[i] & 15];
	}
	out[2 * SHA256_BYTES] = '\0';
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX])
{
	struct sha256 s;

	sha256_start(&s);
	sha256_add(&s, data, len);
	sha256_end_hex(&s, out);
}
