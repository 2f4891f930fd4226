/*
 * sha256.h - the name of some bytes: SHA-256 (FIPS 180-4), by libnettle.
 *
 * What is stored is named by its content, and the links of the store's chain are such names.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <nettle/sha2.h>
#include <stddef.h>

enum { SHA256_BYTES = 32, SHA256_HEX = 65 /* lower-case letters and the NUL */ };

/* Bytes that come in parts: init, add as often as needed, end once. */
struct sha256 {
	struct sha256_ctx ctx;
};

void sha256_start(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
/* Writes the digest; @s may be started again after. */
void sha256_end(struct sha256 *s, unsigned char out[SHA256_BYTES]);
void sha256_end_hex(struct sha256 *s, char out[SHA256_HEX]);

/* All at once. */
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX]);

#endif
