/*
 * bpe.h - byte-pair merges: the bytes of a piece to token ids, by rank.
 *
 * Built once (bpe_init, bpe_token..., bpe_index, bpe_merge..., bpe_finish), const afterwards. Ids
 * are 0 to BPE_IDS_MAX - 1 and may have gaps.
 */
#ifndef GPU_BPE_H
#define GPU_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/buf.h"

enum { BPE_IDS_MAX = 1 << 22 };

struct bpe_token {
	uint32_t at, len; /* in bytes; len 0: the id is unused */
};

struct bpe {
	struct buf bytes; /* of all tokens, one after the other */
	struct bpe_token *token;
	int n, cap; /* ids: one past the largest */

	/* Open addressing, sizes are powers of two less one. */
	struct bpe_piece *piece; /* bytes -> id */
	uint32_t piece_mask;
	struct bpe_pair *pair; /* (id, id) -> rank, id */
	uint32_t pair_mask, n_pairs;
	struct bpe_join *first; /* (byte, byte) -> rank, id; [256 * 256] */
	uint32_t *whole;        /* a bit an id: its own bytes encode to it alone */
	size_t longest;         /* bytes of the longest token in @piece */
	int32_t byte[256];      /* the token of each byte; -1: none */
	uint64_t seed;          /* of the hashes: a stranger's file cannot aim at them */
};

void bpe_init(struct bpe *b);
void bpe_release(struct bpe *b); /* safe on {0} and twice */

/* Gives @id these bytes. 0; -1 with @e: ERR_INPUT (id out of range or already given, or too many
 * bytes), ERR_MEM. */
int bpe_token(struct bpe *b, int64_t id, const void *bytes, size_t len, struct err *e);

/* Makes tokens findable by their bytes: call it after the base vocabulary is there. Ids whose bit
 * in @hidden is set are left out (NULL: none). Two tokens of equal bytes are ERR_INPUT. */
int bpe_index(struct bpe *b, const uint32_t *hidden, struct err *e);
/* The id of these bytes among what was indexed, or -1. */
int32_t bpe_find(const struct bpe *b, const void *bytes, size_t len);

/* Joins tokens @left and @right to @to; ranks rise from call to call. The last one counts when a
 * pair comes twice. 0; -1 (ERR_MEM). */
int bpe_merge(struct bpe *b, int32_t left, int32_t right, int32_t to, uint32_t rank, struct err *e);

/* Ends the making: finds which tokens are whole. Every byte must have a token. */
int bpe_finish(struct bpe *b, struct err *e);

/* Writes the ids of a piece of @len > 0 bytes to @out, which has room for @len of them; returns how
 * many, or -1 (ERR_MEM). Lowest rank first, leftmost on ties; n log n at worst. */
int bpe_encode(const struct bpe *b, const unsigned char *piece, size_t len, int32_t *out,
               struct err *e);

#endif
