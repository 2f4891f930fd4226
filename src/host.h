/*
 * host.h - where the work is done: a process of its own that outlives the screen.
 *
 * `cadforge host` (a verb that people need not know) owns one session: engine, model, the writing
 * connection to the store. The workbench is a viewer of it: it sends what is to be done and gets
 * news, so that it never waits, and that losing the line, `cadforge detach`, or a crash of the
 * screen ends nothing.
 *
 * It listens on a Unix socket in a folder of the user's alone (0700, ours, no link:
 * $XDG_RUNTIME_DIR/cadforge, else /tmp/cadforge-UID), named by the database's hash and its own
 * process number, and talks to processes of the same user only. One workbench at a time is
 * attached; a further one takes its place, and the first is told. With nobody attached it goes on
 * until its work is done, waits a minute for somebody to come back, and ends; at once when it never
 * had work. SIGHUP changes nothing; SIGTERM is "end".
 *
 * Frames (src/base/frame) of one type, HOST_FRAME: a JSON object, with bytes beside it where the
 * kind says so.
 *
 * To the host, {"do": ...}. What cannot be done is answered by "refused" and changes nothing.
 *     "start"       {"task", "group"?, "auto"?, "queue"?}   a new episode; auto: turn after turn by
 *                   the rules, else it waits after each round (phase "wait"); queue: when what is
 *                   under way is over, in order
 *     "turn"        {"episode", "parent"?, "prompt"?, "group"?, "auto"?}   one more turn: repairs
 *                   @parent (0 or left out: the best; of an episode without turns: a first try);
 *                   prompt: the user's message instead of the one made. Profile and prompt set
 *                   are the episode's own unless "set" named others
 *     "prompt"      {"episode", "parent"?} or {"task"}      what that message would be; answered by
 *                   "prompt-is"; at any time
 *     "hand"        {"episode", "parent"?, "program"} or {"task", "program"}   a hand-made turn:
 *                   built, scored, stored (of a task: in a new episode)
 *     "branch"      {"episode", "turn", "token", "id", "auto"?}   a sibling of that turn: its
 * answer begins with that turn's first @token tokens, then @id "stop"        {}    generate no
 * more: what came is built, scored and stored "drop"        {}    end the turn in flight; nothing
 * of it is stored "stop-after"  {}    the turn in flight is the last; the queue is emptied "set"
 * {"temperature": 0.7, ...}   settings (src/settings.h), from the next turn on "warm" {"model"?}
 * start the engine now, and the model too where that is true "end"         {}    as "stop" and
 * "stop-after", then the process ends "who"         {}    answered by "hello", and the line is
 * closed: not for a workbench "release"     {}    hangs up on the attached workbench (kind
 * "released"); not for a workbench "attach"      {}    I am the workbench (host_attach() says it)
 * Only one round is under way at a time: "start", "turn", "hand" and "branch" are refused while it
 * is, but for a queued start.
 *
 * From it, {"time", "kind", "turn", "member", "data"}: struct live_news of src/live.h. Kinds are
 * those of live.h, and
 *     "hello"     {"pid", "version", "db", "settings", "busy", "attached", "episode", "task",
 *                 "queue": [tasks]}; all news of the round in flight (or of the last) follow
 *     "settings"  {...}      all of them, after each change
 *     "turn"      {...}      the object of run --json, when it is stored
 *     "prompt-is" {"episode", "parent", "text"}
 *     "reference" {"task", "error"?}   binary STL as bytes, or why there is none
 *     "model"     {"program", "backend", "device", "model": {...}, ...}   it is ready
 *     "refused"   {"do", "why"}
 *     "trouble"   {"text"}   something of ours failed; what was committed stays
 *     "taken"     {}         another workbench took over; the line ends
 *     "released"  {}         `cadforge detach` was said; the line ends
 *     "bye"       {}         the host ends
 */
#ifndef SRC_HOST_H
#define SRC_HOST_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/app.h"
#include "src/base/err.h"
#include "src/live.h"

enum { HOST_FRAME = 1, HOST_JSON_MAX = 48 << 20, HOST_BYTES_MAX = 256 << 20 };

/* ---- the workbench's end ---- */

enum { HOST_NICE = 5 }; /* a host and all that it starts, where a workbench started it */

struct host; /* a line to one */

struct host_ops {
	void *ctx;
	/* Borrowed for the call. Feed it to live_feed(), which passes over what is not its own. */
	void (*news)(void *ctx, const struct live_news *n);
	/* It died, or another workbench took it over; @h is dead and to be closed. Called once. */
	void (*lost)(void *ctx, const char *why);
};

/* Starts one for this database and attaches; returns at once, "hello" comes when it is there.
 * @program: the cadforge to run; NULL: this one. */
int host_start(struct host **out, const struct app *a, const char *program, const char *db,
               const struct host_ops *ops, struct err *e);

struct host_about {
	int pid;
	bool attached, busy;
	int64_t episode; /* 0: none */
	char task[128];
};
/* Hosts of this database that are alive, those without a workbench first. Asks each, waiting at
 * most half a second for one that does not answer. How many there are. */
int host_find(const char *db, struct host_about *out, int max);
/* @pid 0: the first of host_find(). ERR_INPUT when there is none. */
int host_attach(struct host **out, const char *db, int pid, const struct host_ops *ops,
                struct err *e);
/* Says one thing to a host without attaching: {"do": "release"}, {"do": "end"}. Takes @command. */
int host_tell(const char *db, int pid, cJSON *command, struct err *e);

/* Takes @command (deletes it). -1 when the line is gone. */
int host_send(struct host *h, cJSON *command, struct err *e);
int host_fd(const struct host *h);
bool host_wants_write(const struct host *h);
/* What is there, without waiting; calls the ops. -1 with @e after lost() was called. */
int host_step(struct host *h, struct err *e);
int host_pid(const struct host *h);
void host_close(struct host *h); /* hangs up; the host goes on. NULL is fine */

/* ---- the folder of the sockets, for both ends ---- */

/* Opens the folder, made when @make; or -1 with @e: not ours, open to others, a link. The @n-th of
 * the places where it may be, from 0; ERR_LACKS past the last. */
int host_folder(int n, bool make, struct err *e);
/* "HASH16-": how the names of this database's sockets begin. @out: 20 bytes or more. */
void host_prefix(char *out, size_t size, const char *db);
/* Whether the process at the other end of @fd is of this user. */
bool host_peer_is_us(int fd);

/* ---- the host's end ---- */

struct host_options {
	const struct app *app;
	const char *db;
	int fd; /* a workbench that is attached from the beginning; -1: none */
};
/* Until it ends; the exit status. */
int host_serve(const struct host_options *o);

#endif
