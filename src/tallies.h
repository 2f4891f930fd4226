/*
 * tallies.h - the store's sums over turns, in memory and kept up: what the tables of Curriculum and
 * Compare are made of. Read once; after that what is new costs as much as there is new.
 */
#ifndef SRC_TALLIES_H
#define SRC_TALLIES_H

#include "engine/engine.h"
#include "src/store.h"

/* As struct store_tally, its texts kept. */
struct tally {
	int64_t id;
	const char *task, *profile, *prompts, *source, *model, *adapter, *sampling; /* "": none */
	enum build_class repairs, class; /* CLASS_COUNT: none, or a word that is no class */
	int64_t turns, built, scored;
	double total, best;
	int64_t best_turn;
	char *own; /* what the texts point into */
};

struct tallies {
	struct tally *v; /* by id */
	int n, cap;
	int64_t last;     /* the newest turn that is in them */
	uint64_t version; /* grows when something changed */
};

/* Brings them up to what the store has now. */
int tallies_read(struct tallies *t, struct store *s, struct err *e);
/* NULL: none such. */
const struct tally *tallies_find(const struct tallies *t, int64_t id);
void tallies_release(struct tallies *t); /* safe on {0} and twice */

#endif
