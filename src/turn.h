/*
 * turn.h - a turn's way into the store: what came of a completion, with its artifacts and events,
 * as one transaction.
 *
 * Artifacts beside those that the store makes itself (prompt.json, completion.txt, program.py,
 * build.log, reward.json), each left out where there is none:
 *     shape.brep, shape.step, shape.stl         kinds brep, step, stl
 *     front.png, ..., sheet.png                 kind view
 *     tokens.json                               kind tokens: ids and log-probabilities of a model's
 *                                               answer
 *     notes.txt                                 kind notes: a line a note
 *     turn.md                                   kind markdown: all of it as a page
 */
#ifndef SRC_TURN_H
#define SRC_TURN_H

#include "engine/prompts.h"
#include "src/scoring.h"
#include "src/source.h"
#include "src/store.h"

/* What happens while a turn is made, kept until the turn is stored. Text that comes in small pieces
 * is gathered: an event is a batch, of whole characters and, for a log, whole lines. */
struct turn_events {
	struct store_event_new *v;
	int n, cap;
	struct buf tokens; /* text that is no event yet */
	int64_t tokens_us; /* when its first byte came */
	struct err failed; /* memory ran out: said by turn_commit() */
};
void turn_events_release(struct turn_events *ev);
/* Each has the time it happened; @time_us 0: now. */
void turn_event(struct turn_events *ev, int64_t time_us, const char *kind, const char *data,
                size_t len);
/* A piece of a completion: becomes a "tokens" event when a quarter of a second or 4 KiB are full.
 * @time_us: when it came; 0: now. */
void turn_event_text(struct turn_events *ev, int64_t time_us, const char *text, size_t len);
void turn_event_text_end(struct turn_events *ev);

/* An episode that begins here, of a name that no other one anywhere has. */
struct episode_new {
	const struct task *task;
	const struct scoring *scoring;
	const struct prompt_set *prompts;
	const char *source;   /* "run", "train", "eval" */
	int64_t run;          /* 0: none */
	const char *settings; /* JSON object, or NULL */
};
int turn_episode(struct store *s, const struct episode_new *n, int64_t *episode, struct err *e);

struct turn_new {
	int64_t episode;
	int parent;
	const char *source;               /* "file", "command", "import", ... */
	const char *model, *adapter;      /* what an import says of them, or NULL; */
	const struct author *author;      /* what is known of a model that wrote it here, or NULL */
	const char *finish;               /* or NULL */
	int member;                       /* of a group, from 1; 0 */
	int64_t started_us, committed_us; /* 0: now */
	const cJSON *prompt;              /* messages, or NULL */
	const char *completion;
	size_t completion_len;
	const struct scored *scored;
	struct turn_events *events; /* or NULL */
	bool light;                 /* without turn.md */
};

/* On success *@number is its number, and it is on the disk. */
int turn_commit(struct store *s, const struct turn_new *t, int *number, struct err *e);

#endif
