/*
 * replay.h - an episode of the store as it happened: its events on a line of time, played, held,
 * sought, folded into what stood there (src/live).
 *
 * The line has the events' own times, but nobody waits for what nobody did: between turns a pause
 * of more than REPLAY_PAUSE_S is that long. What the store keeps elsewhere comes in where it was
 * made: the shape after its build, the score when the turn was committed, the tokens with the
 * answer's end; a turn without events (an imported one) is its text, then its score.
 *
 * Reads the store, which must outlive it, while it is folded: an event's artifacts a piece.
 */
#ifndef SRC_REPLAY_H
#define SRC_REPLAY_H

#include "src/base/arena.h"
#include "src/live.h"
#include "src/store.h"

#define REPLAY_PAUSE_S 1.0
#define REPLAY_BARE_S  1.0 /* that a turn without events takes */

struct replay_event {
	int64_t time_us;
	double at_s; /* on the line */
	int turn;    /* number; 0: of the episode */
	int member;
	const char *kind, *data; /* data NULL: none, or made when it is folded */
	bool made;               /* by us: "begin", "tokens" of a bare turn, "shape", "turn" */
};

struct replay_turn {
	int number, parent, member;
	double from_s, to_s;                         /* on the line */
	int begin;                                   /* the event its round begins with */
	int64_t started_us, committed_us, latest_us; /* latest: of its events */
	bool built, bare;
	double total;
	char finish[16];
};

struct replay {
	struct store *store;
	int64_t episode;
	char task[128], profile[64];
	struct replay_event *event;
	int n, cap;
	struct replay_turn *turn; /* in order of their numbers */
	int n_turns, cap_turns;
	double length_s;
	struct arena mem;

	struct live live; /* what stood there after @done events */
	int done;
	unsigned rewinds;   /* times @live was begun anew: its versions begin at 0 again */
	double at_s, speed; /* speed: 0.25 to 16, a power of two */
	bool playing;
	double clock_s; /* of the last tick */
};

/* All events of the episode; stands at the beginning, held, at speed 1. NULL with @e. */
struct replay *replay_open(struct store *s, int64_t episode, struct err *e);
void replay_close(struct replay *r); /* NULL is fine */

/* Each is 0, or -1 with @e (of the store, ERR_MEM); what is beyond the ends is the end. */
int replay_seek(struct replay *r, double at_s, struct err *e);
int replay_seek_share(struct replay *r, int permille, struct err *e);
int replay_step(struct replay *r, int events, struct err *e);      /* back: negative */
int replay_seek_turn(struct replay *r, int number, struct err *e); /* to its beginning */

/* At the end it begins anew. @now_s: of a clock that is never set back. */
int replay_play(struct replay *r, bool on, double now_s, struct err *e);
void replay_speed(struct replay *r, int steps); /* twice as fast a step */
/* Plays on to @now_s. *@changed: an event was folded. Returns seconds until the next one, at most
 * half a second; -1: it is held, or over, or @e says what failed (it is held then). */
double replay_tick(struct replay *r, double now_s, bool *changed, struct err *e);

/* The turn in progress there, or that was last; 0: none yet. */
int replay_turn_at(const struct replay *r);

#endif
