/*
 * tallies.h - the store's sums over turns, in memory and kept up: what the tables of Curriculum and
 * Compare are made of. Read once, a piece at a time where nobody may wait; after
 * that what is new costs as much as there is new.
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
	bool filling;     /* at the start: not all were read yet, */
	int64_t filled;   /* as far as this one */
	uint64_t version; /* grows when something changed */
};

/* Brings them up to what the store has now. With @rows above 0 it reads about so many rows and no
 * more: 1 says that there are further ones, to be had by the next call. 0: they are up; -1. */
int tallies_read(struct tallies *t, struct store *s, int rows, struct err *e);
/* NULL: none such. */
const struct tally *tallies_find(const struct tallies *t, int64_t id);
void tallies_release(struct tallies *t); /* safe on {0} and twice */

#endif
