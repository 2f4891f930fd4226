/*
 * episode.h - the turn machine: what an episode does next.
 *
 * Pure: events in, effects out. No files, no processes, no clock but the event's, no memory but the
 * struct itself, so a test feeds it events and a replay feeds it what was recorded. Whoever carries
 * out the effects (src/session) answers each with an event.
 *
 *     event                          effect
 *     EPISODE_START               -> EFFECT_ASK        get a completion: for turn 1, or a repair of
 *                                                      @parent
 *     EPISODE_COMPLETION          -> EFFECT_SCORE      build it and score it
 *     EPISODE_SCORED              -> EFFECT_COMMIT     store the turn, whole, before it is shown
 *     EPISODE_COMMITTED           -> EFFECT_ASK        the next one, or
 *                                    EFFECT_END        no more; why
 *     EPISODE_NO_COMPLETION       -> EFFECT_END        the source has none (left)
 *     EPISODE_LOST                -> EFFECT_END        our own machinery failed
 *     EPISODE_STOP                -> EFFECT_END        the user wants no more, now; the turn in
 *                                                      flight is dropped
 *     EPISODE_STOP_AFTER          -> nothing; the turn in flight is the last
 *
 * Which turn is repaired: the best so far. A turn is better than another when it built and the
 * other did not, or else when its total is strictly higher; of equals the earlier stays. So a
 * repair that made things worse is kept in the tree and left aside.
 *
 * A group is @group siblings that answer the first prompt; together they are one round. Every
 * repair is a round of one turn. All of a group are made, whatever their totals.
 *
 * An episode ends after the round in which (the first that holds names the reason)
 *     the best total is at least @enough                                  END_ENOUGH
 *     no turn of the round built and @stop_on_error is set                END_ERROR
 *     EPISODE_STOP_AFTER came                                             END_STOPPED
 *     @rounds rounds are done                                             END_TURNS
 *     @completions completions are used up                                END_SOURCE
 *     none of the last @no_gain rounds of repairs brought a new best      END_NO_GAIN
 */
#ifndef SRC_EPISODE_H
#define SRC_EPISODE_H

#include <stdbool.h>

#include "src/base/err.h"

#define EPISODE_ENOUGH 0.92 /* cli.md, run */

struct episode_rules {
	double enough;      /* EPISODE_ENOUGH; NAN: never */
	int rounds;         /* at least 1 */
	int group;          /* siblings of the first round; at least 1 */
	int no_gain;        /* rounds of repairs in a row without a new best; 0: any number */
	int completions;    /* that the source has; 0: any number */
	bool stop_on_error; /* of a program, not of ours */
};
void episode_rules_default(struct episode_rules *r); /* 0.92, 4, 1, 2, 0, false */

/* A turn as far as the machine is concerned; turn 0: there is none. */
struct episode_turn {
	int turn; /* number within the episode, from 1 */
	bool built;
	double total; /* NAN: it has none */
};

enum episode_phase {
	EPISODE_NEW,
	EPISODE_ASKING,
	EPISODE_SCORING,
	EPISODE_COMMITTING,
	EPISODE_OVER
};

enum episode_end {
	END_NONE, /* it goes on */
	END_ENOUGH,
	END_TURNS,
	END_NO_GAIN,
	END_SOURCE,
	END_ERROR,
	END_STOPPED, /* by the user, after a whole turn */
	END_INTERRUPTED,
	END_NO_COMPLETION, /* the source failed */
	END_LOST,
};
const char *episode_end_name(enum episode_end end);  /* "enough", "turns", ...; NULL for END_NONE */
const char *episode_end_label(enum episode_end end); /* a phrase for people */
/* The end of that name; END_NONE when there is none such. */
enum episode_end episode_end_named(const char *name);

enum episode_event_kind {
	EPISODE_START,
	EPISODE_COMPLETION,
	EPISODE_SCORED,
	EPISODE_COMMITTED,
	EPISODE_NO_COMPLETION,
	EPISODE_LOST,
	EPISODE_STOP,
	EPISODE_STOP_AFTER,
};

struct episode_event {
	enum episode_event_kind kind;
	double time_s; /* UTC, since 1970 */
	/* START: what is there already when an episode is gone on with (a fork); zeroes otherwise.
	 * @parent is what the first completion answers to, @best the best of all. */
	struct episode_turn parent, best;
	bool built;   /* SCORED */
	double total; /* SCORED; NAN: none */
	int turn;     /* COMMITTED: the number that the store gave it */
};

enum episode_effect_kind { EFFECT_NONE, EFFECT_ASK, EFFECT_SCORE, EFFECT_COMMIT, EFFECT_END };

struct episode_effect {
	enum episode_effect_kind kind;
	int ask;                    /* ASK: how many were asked for before, from 0 */
	int round;                  /* ASK: from 1 */
	struct episode_turn parent; /* ASK, COMMIT: turn 0 is the first prompt */
	bool is_best;               /* COMMIT: it is better than all before it */
	double delta;               /* COMMIT: total - the parent's; NAN without both */
	enum episode_end end;       /* END */
};

struct episode {
	struct episode_rules rules;
	enum episode_phase phase;
	enum episode_end end;
	struct episode_turn best, parent; /* turn 0 while there is none */
	struct episode_turn now;          /* the turn in flight, from SCORED on */
	int asked, round,
		of_round; /* completions asked for; rounds begun; turns done in this one */
	int without_gain; /* rounds of repairs in a row */
	int committed;
	bool round_built, round_gained; /* a turn of this round built, became the best */
	bool stop_after;                /* asked for */
	double started_s, changed_s;    /* times of the first and the latest event */
};

void episode_init(struct episode *ep, const struct episode_rules *rules);

/* One event. 0, or -1 (ERR_PROTOCOL: this event cannot come now) with nothing changed. After
 * EPISODE_OVER every event but another EPISODE_STOP is such a one. */
int episode_step(struct episode *ep, const struct episode_event *ev, struct episode_effect *out,
                 struct err *e);

/* Whether @a is better than @b; anything is better than turn 0. */
bool episode_better(const struct episode_turn *a, const struct episode_turn *b);

/* What an episode has come to, for an exit status: the best turn built. */
bool episode_built(const struct episode *ep);

#endif
