/*
 * host.h - where the work is done: a process of its own that outlives the screen.
 *
 * `cadforge host` (a verb that people need not know) owns one session: engine, model, the writing
 * connection to the store. The workbench is a viewer of it: it sends what is to be done and gets
 * events, so that it never waits, and that losing the line, `cadforge --detach`, or a crash of the
 * screen ends nothing.
 *
 * It listens on a Unix socket, 0600, in a folder of the user's alone ($XDG_RUNTIME_DIR/cadforge,
 * else /tmp/cadforge-UID, both refused when they are not ours), named by the database's hash and
 * its own process number. One workbench at a time is attached; a further one takes its place, and
 * the first is told. With nobody attached it goes on until its work is done, then a minute longer,
 * and ends; ended by "end", by SIGTERM, or at once when nobody is attached and it has nothing to
 * do.
 *
 * Frames (src/base/frame): HOST_JSON in both directions, HOST_BYTES after a JSON that announces
 * them.
 *
 * To the host, {"do": ...}:
 *   "start"   {"task", "turns", "group", "auto"}  an episode; auto: turn after turn by the rules,
 * else it waits after each (phase "wait") "turn"    {"episode", "parent", "prompt"}     one more
 * turn, a repair of @parent (0: the best); prompt: the user's message instead of the one made; NULL
 *   "prompt"  {"episode", "parent"}               what that prompt would be: answered by "prompt"
 * {"text"} "hand"    {"episode", "parent", "program"}    a hand-made turn: built, scored, stored
 *   "branch"  {"episode", "turn", "token", "id"}  a sibling of that turn that begins with its
 * tokens up to
 *                                                 @token, then @id
 *   "stop" {} · "stop-after" {} · "set" {"temperature" | "seed" | "profile" | "prompts" | "model" |
 * "adapters" | ...} "warm" {} · "detach" {} · "end" {} From it, {"time", "kind", "turn", "data"}:
 * the events of src/live.h; and "hello"    {"pid", "db", "version", "settings", "episode", "busy"}
 * then all events of the turn in flight "settings" {...} after each change "turn"     the object of
 * run --json, when it is stored "refused"  {"do", "why"} what cannot be done, in words "model"
 * {"name", "backend", "device", ...}                       when the engine is ready "trouble"
 * {"text"}                                                 something of ours failed
 */
#ifndef SRC_HOST_H
#define SRC_HOST_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/app.h"
#include "src/base/err.h"

/* ---- the workbench's end ---- */

struct host; /* a line to one */

struct host_ops {
	void *ctx;
	/* @bytes: what HOST_BYTES brought with it, or NULL */
	void (*event)(void *ctx, int64_t time_us, const char *kind, const cJSON *data,
	              const void *bytes, size_t len);
	void (*lost)(void *ctx, const char *why); /* it died, or another workbench took it over */
};

/* Starts one for this database and attaches; returns at once, "hello" comes when it is there. */
int host_start(struct host **out, const struct app *a, const char *db, const struct host_ops *ops,
               struct err *e);
/* Hosts of this database that are alive: process numbers, those without a workbench first. */
int host_find(const char *db, int *pids, bool *attached, int max);
int host_attach(struct host **out, const char *db, int pid, const struct host_ops *ops,
                struct err *e);
/* Takes @command (deletes it). -1 when the line is gone. */
int host_send(struct host *h, cJSON *command, struct err *e);
int host_fd(const struct host *h);
bool host_wants_write(const struct host *h);
int host_step(struct host *h, struct err *e); /* what is there, without waiting; calls the ops */
int host_pid(const struct host *h);
void host_close(struct host *h); /* hangs up; the host goes on */

#endif
