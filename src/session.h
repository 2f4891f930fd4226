/*
 * session.h - an episode as it happens: carries out what the turn machine (src/episode) decides,
 * over a source of completions, the scoring and the store.
 *
 * The prompt is made, the completion asked for, built and scored, the turn committed; only then is
 * it told that it is done. Every batch of text, log line, figure and decision is an event with its
 * time, stored with its turn; why the episode ended is an event of the episode.
 *
 * Events: "decision" {"do": "ask", "turn", "round", "parent"} · "prompt" {"bytes"} · "tokens"
 * (text) · "completion" {"bytes", "finish", "seconds", "rule"?: "file"} · "generation" (a model's:
 * {"prompt_tokens", "cached_tokens", "tokens", "drafted", "accepted", "wait_s", "prefill_s",
 * "decode_s"}) · "log" (text) · "early" {"line", "name", "error"} · "build" {"ok", "class",
 * "error", "seconds"} · "figure" {"name": term or "total", "value"} · "decision" {"do": "commit",
 * "best", "delta"} and, of the episode, "decision" {"do": "end", "why", "best", "total", "error"}.
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
	struct scoring_options scoring; /* its ears are the session's */
	/* One that is open already, borrowed, instead of @scoring: its ears are the session's until
	 * session_close(). NULL: one of its own. */
	struct scoring *kept;
	struct episode_rules rules;
	int64_t run;          /* of the store; 0: none */
	const char *settings; /* JSON object for the episode, or NULL */
	/* A fork: go on from this turn of this episode. 0: a new episode. */
	int64_t episode;
	int parent; /* 0: of an episode that is there: as if nothing had been tried yet */
	/* The first prompt of this session, where it is not the one that is made: the whole
	 * messages, or the user's alone. Borrowed; NULL. */
	const cJSON *messages;
	const char *user;
	/* The first answer begins with these tokens (src/source.h). */
	const int32_t *forced;
	int n_forced;
	uint64_t seed_add;
	/* While an answer is written its program is executed (src/watch.h; of a group, while the
	 * first is waited for): "early" events {"line", "name", "error"}, early_shape(), and
	 * figure() with the terms that the text alone makes. With @stop_early an answer whose
	 * program is certain to fail is ended there (FINISH_FAILED), and what was executed of it is
	 * built and stored. */
	bool early, stop_early;
	/* The programs are scored as ones of no task: what was asked is known by its prompt alone,
	 * and @task has its name and nothing to check. */
	bool unjudged;
	bool any;  /* a group's answers are built in the order in which they end */
	bool open; /* that its rounds are over does not end the episode: more are to come */
	void *ctx;
	int tick_ms;            /* so often at least tick() is called; 0: four times a second */
	int (*tick)(void *ctx); /* not 0: stop */
	void (*saw)(void *ctx, const struct session *s, enum session_sight what, const char *text,
	            size_t len);
	/* The rest may be NULL. Every event but text that is on its way ("tokens"), when it
	 * happens. */
	void (*event)(void *ctx, const struct session *s, int64_t time_us, const char *kind,
	              const char *data, size_t len);
	/* The mesh of what was built, before it is scored. */
	void (*shape)(void *ctx, const struct session *s, const void *stl, size_t len);
	/* The mesh of the program as far as it is written: of @name, bound up to @line. */
	void (*early_shape)(void *ctx, const struct session *s, const void *stl, size_t len,
	                    const char *name, int line);
	/* A term that is known before the score is. */
	void (*figure)(void *ctx, const struct session *s, const char *name, double value);
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
	int64_t round_us;     /* its round */
	cJSON *turn_json;     /* at SAW_TURN: the object of run --json */
	/* its own */
	struct scoring *scoring;
	struct watch *watch; /* NULL without @early */
	char early_name[64]; /* told last */
	double early_figure; /* editability, told last; NAN */
	size_t cut;          /* the answer in flight was ended by us: so much of it is built; 0 */
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
	bool last;       /* session_stop_after() */
};

/* Opens the scoring where none is kept, starts the episode (or reads the turn to go on from). @o is
 * borrowed until session_close(). 0, or -1 with nothing left open. */
int session_open(struct session *s, const struct session_options *o, struct err *e);
/* Until the machine is over. 0; or -1 with @e when the source or something of ours failed (the
 * episode is ended all the same, what was committed stays). After an interruption: ERR_CANCELLED.
 */
int session_run(struct session *s, struct err *e);
/* The turn in flight is the last. From within tick() or saw(), or before session_run(). */
void session_stop_after(struct session *s);
void session_close(struct session *s); /* safe on {0} and twice */

/* What a turn that answers to @parent would be asked for, of the task alone when @parent is 0: the
 * messages, the caller's to delete. */
cJSON *session_prompt(struct store *store, const struct prompt_set *prompts,
                      const struct task *task, int64_t episode, int parent, struct err *e);

#endif
