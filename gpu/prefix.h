/*
 * prefix.h - kept states of prompts' beginnings: slots of a backend by the hash of what made them.
 *
 * The key covers the adapters in force, the ids, and where prefill was cut on the way, since the
 * last bits of a state depend on that: what is found is what would be computed, bit for bit. The
 * least recently used one goes first, when there are too many or when somebody needs the room.
 */
#ifndef GPU_PREFIX_H
#define GPU_PREFIX_H

#include "gpu/backend.h"
#include "src/base/sha256.h"

enum { PREFIX_KEY = SHA256_BYTES };

struct prefix_cache {
	struct prefix_entry {
		unsigned char key[PREFIX_KEY];
		int slot;
		uint64_t used;
	} * entry;
	int n, cap; /* cap: most that are kept; 0: none */
	uint64_t clock;
};

int prefix_init(struct prefix_cache *c, int cap); /* 0, or -1: out of memory */
void prefix_release(struct prefix_cache *c);      /* prefix_forget() first */

/* A kept slot, now the most recently used, or -1. Copy it; it stays the cache's. */
int prefix_find(struct prefix_cache *c, const unsigned char key[PREFIX_KEY]);
/* Keeps a copy of @slot as it stands; makes room by dropping older ones. Where there is none it is
 * not kept. -1 with ERR_LOST only. */
int prefix_keep(struct prefix_cache *c, struct backend *b, const unsigned char key[PREFIX_KEY],
                int slot, struct err *e);
/* Drops the least recently used; false when there is none. */
bool prefix_drop(struct prefix_cache *c, struct backend *b);
void prefix_forget(struct prefix_cache *c, struct backend *b); /* all of them */

/* Keys of rising heads of one prompt: start, then for each head in turn next. */
struct prefix_hash {
	struct sha256 sum;
	const int32_t *id;
	int at;
};
void prefix_hash_start(struct prefix_hash *h, const unsigned char mix_key[32], const int32_t *id);
void prefix_hash_next(struct prefix_hash *h, int head, unsigned char key[PREFIX_KEY]);

#endif
