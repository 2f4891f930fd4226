/*
 * judging.h - judgements out of the store: grades and preferences in force, how far they agree, and
 * what is to be judged next without knowing whose it is.
 *
 * A preference is a judgement of the better turn with a tag: "over:31.2" (better than turn 31.2),
 * "level:31.2" (as good as it); of a turn of the same episode without the episode's number
 * ("over:2"), so that it stays true where an export is imported. Of another episode an export says
 * where that came from ("over:run:ab12.2"), which counts wherever that episode is too. "withdrawn"
 * takes back the last word of the same judge on that turn: in the store nothing is ever rewritten.
 */
#ifndef SRC_JUDGING_H
#define SRC_JUDGING_H

#include "src/agreement.h"
#include "src/store.h"

#define JUDGING_WITHDRAWN "withdrawn"

/* The tag for it, into @out. @other: the turn that @episode's is set against. */
enum { JUDGING_TAG = 48 };
void judging_tag(char out[JUDGING_TAG], bool equal, int64_t episode, int64_t other_episode,
                 int other_turn);

struct judged {
	char *as, *task, *note, *tags; /* note, tags: or NULL */
	int64_t id, episode, time_us;
	int turn, grade; /* grade -1: none */
	double total;
	/* a preference: this turn over the other one, or equal to it */
	bool prefers, equal, withdraws;
	bool standing; /* not taken back later */
	int64_t other_episode;
	int other_turn;
	double other_total; /* NAN: it has none, or is not there any more */
};

struct judgements {
	struct judged *v; /* oldest first */
	size_t n, cap;
};

/* @episode, @turn 0, @task, @as NULL: all. 0, or -1 with @e and @out empty. */
int judgements_read(struct judgements *out, struct store *s, int64_t episode, int turn,
                    const char *task, const char *as, struct err *e);
void judgements_release(struct judgements *j); /* safe on {0} and twice */

/* Those that count, as src/agreement.h wants them; NULL: no memory. The caller frees it. */
struct graded *judgements_grades(const struct judgements *j, size_t *n);
struct preference *judgements_preferences(const struct judgements *j, size_t *n);
/* Index of the judgement whose grade is in force for @as on that turn; -1: none. */
long judgements_grade_of(const struct judgements *j, const char *as, int64_t episode, int turn);
/* Whether judgement @i is a preference that is in force. */
bool judgements_pair_stands(const struct judgements *j, size_t i);
/* Whether @as has a preference in force about these two. */
bool judgements_has_pair(const struct judgements *j, const char *as, int64_t episode, int turn,
                         int64_t other_episode, int other_turn);
/* "2 judges, 14 grades: ..., alpha 0.71; reward agrees with 82 % of 34 pairs"; appends nothing when
 * nothing was judged. */
void judgements_words(const struct judgements *j, struct buf *out);

/* 0 to @n-1 in an order that follows from @seed alone. */
void judging_shuffle(uint64_t seed, int *v, int n);
/* A seed for an episode or task and a judge: the same each time it is looked at. */
uint64_t judging_seed(const char *as, const char *what);

#endif
