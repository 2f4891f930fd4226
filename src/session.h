/*
 * session.h - an episode as it happens: carries out what the turn machine (src/episode) decides,
 * over a source of completions, the scoring and the store.
 *
 * The prompt is made, the completion asked for, built and scored, the turn committed; only then is
 * it told that it is done. Every batch of text, log line, figure and decision is an event with its
 * time, stored with its turn; why the episode ended is an event of the episode.
 *
 * Events: "decision" {"do": "ask", "turn", "round", "parent"} · "prompt" {"bytes"} · "tokens"
 * (text) · "completion" {"bytes", "finish", "seconds"} · "generation" (a model's: {"prompt_tokens",
 * "cached_tokens", "tokens", "drafted", "accepted", "wait_s", "prefill_s", "decode_s"}) · "log"
 * (text) · "build" {"ok", "class", "error", "seconds"} · "figure" {"name": term or "total",
 * "value"} · "decision" {"do": "commit", "best", "delta"} and, of the episode, "decision" {"do":
 * "end", "why", "best", "total", "error"}.
 *
 * A verb watches through callbacks and reads the struct; it writes nothing into it.
 */
#ifndef SRC_SESSION_H
#define SRC_SESSION_H

#include "engine/repair.h"
#include "src/episode.h"
#include "src/scoring.h"
#include "src/source.h"
#include "src/store.h"
#include "src/turn.h"

enum session_sight {
	SAW_EPISODE,    /* it has its number */
	SAW_ASK,        /* a prompt is on its way; effect, prompt, number */
	SAW_TEXT,       /* a piece of the completion */
	SAW_COMPLETION, /* all of it; it is being built */
	SAW_LOG,        /* the program printed: whole lines */
	SAW_BUILD,      /* built and measured, or not; what is left are rebuilds */
	SAW_SCORE,      /* scored; being stored */
	SAW_TURN,       /* stored: turn, scored, the machine has gone on */
	SAW_END,        /* machine.end says why */
};

struct session;

struct session_options {
	const struct app *app;
	struct store *store;
	const struct prompt_set *prompts;
	const struct task *task;
	struct source *source;
	const char *source_word;        /* of the turns: "file", "command", "model", "fork" */
	struct scoring_options scoring; /* its ctx, tick and log are the session's */
	struct episode_rules rules;
	int64_t run;          /* of the store; 0: none */
	const char *settings; /* JSON object for the episode, or NULL */
	/* A fork: go on from this turn of this episode. 0: a new episode. */
	int64_t episode;
	int parent;
	void *ctx;
	int (*tick)(void *ctx); /* at least four times a second; not 0: stop */
	void (*saw)(void *ctx, const struct session *s, enum session_sight what, const char *text,
	            size_t len);
};

struct session {
	/* to be read */
	const struct session_options *o;
	struct episode machine;
	struct episode_effect effect; /* what is being carried out, or was last */
	int64_t episode;
	int number;    /* the turn in flight: the number it is going to have */
	int turn;      /* committed last; 0: none */
	int member;    /* of its group, from 1; 0: no group */
	cJSON *prompt; /* of the turn in flight */
	struct completion completion;
	struct scored scored; /* valid from SAW_SCORE until the next SAW_ASK */
	int64_t started_us;   /* the turn in flight */
	cJSON *turn_json;     /* at SAW_TURN: the object of run --json */
	/* its own */
	struct scoring *scoring;
	struct turn_events events;
	struct best_turn {
		int turn;
		cJSON *score;
		struct buf program, log;
		bool clipped;
	} best, parent;
	int turns_known; /* that the episode had when this session began */
	bool clipped;    /* the completion in flight */
	bool open;       /* store_turn_begin() was said, and no commit since */
};

/* Opens the scoring, starts the episode (or reads the turn to go on from). @o is borrowed until
 * session_close(). 0, or -1 with nothing left open. */
int session_open(struct session *s, const struct session_options *o, struct err *e);
/* Until the machine is over. 0; or -1 with @e when the source or something of ours failed (the
 * episode is ended all the same, what was committed stays). After an interruption: ERR_CANCELLED.
 */
int session_run(struct session *s, struct err *e);
void session_close(struct session *s); /* safe on {0} and twice */

#endif
