/*
 * environment.h - the environment that other programs act in: sessions, each an episode of one
 * task; a step is a program, built, scored, stored. What src/serve.h offers over the net; it knows
 * no sockets.
 *
 * Sessions take turns: each has at most one program under way, and the builder takes programs in
 * the order in which they came, so that nobody waits for more than one program of each of the
 * others.
 *
 * Every episode is in the store (source "serve"), a turn a step, committed before it is answered. A
 * program that fails to build is a step with reward -1. A program that our own machinery lost is no
 * step: the answer is an EXECUTION_ERROR that says so, and nothing is counted.
 */
#ifndef SRC_ENVIRONMENT_H
#define SRC_ENVIRONMENT_H

#include <poll.h>

#include "engine/prompts.h"
#include "src/app.h"
#include "src/openenv.h"
#include "src/scoring.h"
#include "src/store.h"

struct env_session;

struct environment_options {
	const struct app *app; /* after app_find() and app_catch_interrupt() */
	struct store *store;   /* required */
	const struct task_set *tasks;
	const struct prompt_set *prompts;
	int64_t run; /* of the store */
	void *ctx;
	/* The answer to a session's ask, a message of /ws; @body: the same as a body of HTTP. */
	void (*answer)(void *ctx, struct env_session *s, const char *message, size_t len,
	               const char *body, size_t body_len);
};

struct environment;
struct env_session;

struct environment *environment_open(const struct environment_options *o, struct err *e);
void environment_close(struct environment *v);

/* NULL: no memory. @user is the caller's. */
struct env_session *environment_session(struct environment *v, void *user);
/* What it has under way is finished and stored, and answered to nobody. */
void environment_leave(struct environment *v, struct env_session *s);
void *env_session_user(const struct env_session *s);
/* Whether a step is under way: then no other ask may come. */
bool env_session_busy(const struct env_session *s);

/* Carries out a reset, a step or a state: the answer comes at once or, of a step, later. */
void environment_ask(struct environment *v, struct env_session *s, const struct openenv_ask *a);
/* Of the last step: what it printed, what was measured; "" before any. Borrowed. */
const char *env_session_log(const struct env_session *s);
const cJSON *env_session_score(const struct env_session *s); /* NULL: none */

/* Splits of the tasks: "train", "validation", "test"; the tasks of one, by id. */
int environment_split(const struct environment *v, const char *split, const struct task **out,
                      int cap); /* how many; -1: no such split */

struct environment_figures {
	int64_t resets, steps, built, lost, stored_failed;
	int under_way;
	double build_s, score_s; /* sums */
};
struct environment_figures environment_figures(const struct environment *v);

int environment_poll_fds(struct environment *v, struct pollfd *out, int cap);
/* What is there to be done without waiting; call it once a second at least. */
int environment_work(struct environment *v, struct err *e);

#endif
