/*
 * tokenizer_inside.h - what tokenizer.c and tokenizer_read.c share; for no one else.
 */
#ifndef GPU_TOKENIZER_INSIDE_H
#define GPU_TOKENIZER_INSIDE_H

#include "gpu/bpe.h"
#include "gpu/tokenizer.h"

/* Added tokens' texts as a tree of bytes. Its edges lie in a hash table: strangers' files may hold
 * many tokens that begin alike. */
struct edge {
	uint32_t key; /* (node it comes from << 8 | byte) + 1; 0: no edge. A node's number is its
	                 edge's place + 1, the root's is 0 */
	int32_t id;   /* of the token that ends here; -1: none */
};

struct tokenizer {
	struct bpe bpe;
	uint32_t *added, *special; /* a bit an id; BPE_IDS_MAX of them */
	struct edge *edge;
	uint32_t edge_mask;
	bool begins[256]; /* some added token begins with this byte */
	int only;         /* all of them do with this one; negative: several, or none */
	int32_t eos;      /* tokenizer_config's; -1: none */
};

/* The place of the edge from node @from by @byte, or the empty one where it would be. */
uint32_t tokenizer_edge(const struct tokenizer *t, uint32_t from, unsigned char byte);

/* Fills @t, which is zeroed, from the two files of @dir. 0, or -1 with @e, @t to be closed. */
int tokenizer_read(struct tokenizer *t, const char *dir, struct err *e);

#endif
