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

/* A step that is stored, before its answer. */
struct env_stepped {
	const char *task; /* NULL: none that is known */
	enum openenv_mode mode;
	int64_t episode;
	int turn;
	double reward, seconds;
	bool built;
};

struct environment_options {
	const struct app *app; /* after app_find() and app_catch_interrupt() */
	struct store *store;   /* required */
	const struct task_set *tasks;
	const struct prompt_set *prompts;
	int64_t run; /* of the store */
	bool light;  /* no pictures, meshes and shapes are made and kept */
	void *ctx;
	/* While a task's reference is being got ready, which takes seconds of environment_work(),
	 * so that the net can be served; not 0: stop. May be NULL */
	int (*tick)(void *ctx);
	void (*stepped)(void *ctx, struct env_session *s,
	                const struct env_stepped *x); /* or NULL */
	/* The answer to a session's ask, a message of /ws; @body: the same as a body of HTTP. */
	void (*answer)(void *ctx, struct env_session *s, const char *message, size_t len,
	               const char *body, size_t body_len);
};

enum { ENVIRONMENT_WAIT_S = 45 };

struct environment;

struct environment *environment_open(const struct environment_options *o, struct err *e);
void environment_close(struct environment *v);

/* NULL: no memory. @user is the caller's. */
struct env_session *environment_session(struct environment *v, void *user);
/* What it has under way is finished and stored, and answered to nobody. */
void environment_leave(struct environment *v, struct env_session *s);
void *env_session_user(const struct env_session *s);
/* Whether a step is under way: then no other ask may come. */
bool env_session_busy(const struct env_session *s);

/* Carries out a reset, a step or a state: the answer comes at once or, of a step, later, from
 * environment_work(). */
void environment_ask(struct environment *v, struct env_session *s, const struct openenv_ask *a);
/* Of the last step: what it printed, what was measured; "" before any. Borrowed. */
const char *env_session_log(const struct env_session *s);
const cJSON *env_session_score(const struct env_session *s); /* NULL: none */

/* Splits of the tasks: "train", "validation", "test"; the tasks of one, by id. */
int environment_split(const struct environment *v, const char *split, const struct task **out,
                      int cap); /* how many; -1: no such split */

enum { ENVIRONMENT_BOUNDS = 11 };
extern const double environment_step_bounds[ENVIRONMENT_BOUNDS]; /* seconds, rising */

struct environment_figures {
	int64_t resets, steps, built;
	int64_t lost;          /* programs that our own machinery lost */
	int64_t put_off;       /* that waited for too long */
	int64_t stored_failed; /* steps that the database did not take */
	int under_way;         /* programs that are built, measured, or wait for it */
	int64_t within[ENVIRONMENT_BOUNDS + 1]; /* steps by their time, each in one class alone */
	double step_s;                          /* sum: from the message to the stored turn */
};
struct environment_figures environment_figures(const struct environment *v);

int environment_poll_fds(struct environment *v, struct pollfd *out, int cap);
/* What is there to be done without waiting; call it once a second at least. */
int environment_work(struct environment *v, struct err *e);

#endif
