/*
 * transcript.h - what an OpenEnv client and its server said to one another, as JSON lines, read
 * back as episodes.
 *
 * A line is one message of either side:
 *     {"type": "reset", "data": {"task_id": ..., "seed": ...}}
 *     {"type": "step", "data": {"code": ..., "task_id": ..., "reward_mode": ...}}
 *     {"type": "observation", "data": {"observation": {...}, "reward": r, "done": b}}
 * or the bodies of HTTP: {"action": {"code": ...}}, {"observation": {...}, "reward": r, "done": b};
 * or one of these under "message", "sent", "received", "request" or "response" (an object, or its
 * text) of an object that may say the "session" (a text or a number; "session_id"), where several
 * were written into one file. state, mcp, close and error messages are no steps; an error says that
 * the step before it was none.
 *
 * What is read is a list of episodes, each a task and its steps in order. A reset begins an
 * episode, and so does a step of another task. Which task: what the observation says, else the
 * step, else the reset. An observation without a step before it whose "current_code" is new is a
 * step of which only the answer was recorded.
 *
 * Pure: lines in, structs out. What a line must not be is an error of that line (ERR_INPUT), and
 * the next one may be given all the same.
 */
#ifndef SRC_TRANSCRIPT_H
#define SRC_TRANSCRIPT_H

#include "src/base/json.h"

enum {
	TRANSCRIPT_SESSIONS_MAX = 4096,
	TRANSCRIPT_STEPS_MAX = 256,       /* of an episode */
	TRANSCRIPT_BYTES_MAX = 256 << 20, /* of programs that wait for their episode's end */
};

struct transcript_step {
	char *code;
	size_t len;
	char *said; /* JSON object: {"reward", "done", "reward_mode", "notes"}; NULL: no answer */
};

struct transcript_episode {
	char *session; /* "": the file has one */
	char *task;    /* NULL: nobody said */
	int line;      /* that it begins on */
	struct transcript_step *step;
	int n, cap;
	size_t bytes;
	/* the reader's own */
	char *waits;      /* a step without its answer yet: its code */
	char *waits_task; /* what it said; NULL */
	char *waits_mode;
	int waits_line;
	char *last_code;
};

struct transcript;

/* @done gets each episode with steps when its end is known; it may keep nothing of it. Not 0: an
 * error of the caller's, which ends transcript_line() or transcript_end() with -2. */
struct transcript *transcript_new(int (*done)(void *ctx, const struct transcript_episode *ep),
                                  void *ctx);
void transcript_free(struct transcript *t); /* NULL is fine */

/* Whether a line is one of these, and no completion (src/jsonl.h). */
bool transcript_is(const char *line, size_t len);
/* 0; -1: the line is none (@e says why); -2: @done failed, or ERR_MEM. */
int transcript_line(struct transcript *t, int number, const char *line, size_t len, struct err *e);
/* The end of the file: all episodes end. */
int transcript_end(struct transcript *t, struct err *e);

#endif
