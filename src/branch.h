/*
 * branch.h - an answer begun anew at one of its tokens: what was written before it is kept, another
 * token stands there, and the model goes on from that.
 */
#ifndef SRC_BRANCH_H
#define SRC_BRANCH_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "src/store.h"

struct branch {
	int parent;      /* of the turn that it is made beside: a branch is a sibling */
	int32_t *forced; /* the tokens that the new answer begins with */
	int n_forced;
	cJSON *messages; /* as that turn was asked */
};
enum { BRANCH_FREE = -1 }; /* no token is put there: the model draws anew from that place */

/* The first @token tokens of a turn's answer, then @id (or BRANCH_FREE). @model_hash: of the model
 * that is to go on, as the store has it; NULL or "": not known. ERR_INPUT: the turn was written by
 * another model, whose numbers mean other tokens; it has not so many; its tokens were not kept. */
int branch_read(struct branch *out, struct store *s, int64_t episode, int turn, long long token,
                long long id, const char *model_hash, struct err *e);
void branch_release(struct branch *b); /* safe on {0} and twice */

#endif
