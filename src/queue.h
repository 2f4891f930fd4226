/*
 * queue.h - jobs for other machines: a client hands them to a Redis 7 server, workers take them
 * from there, and what came of each is fetched under the job's name. What a job says and what an
 * answer says is not known here: bytes (src/job.h).
 *
 * In Redis, all under "cadforge:":
 *     versions          what the workers are made of; one farm has one (below)
 *     jobs:LEASE_MS     stream with the group "workers": fields hash, body. One a lease
 *     jobs.KIND:LEASE_MS  the same, of jobs that only workers of that kind can do
 *     streams           set of those streams
 *     job:HASH          hash of a job under way: its stream and id, "w:CLIENT" for each that waits
 *     answer:HASH       an answer, kept for an hour (a small one), two minutes (a large one), or
 * ten seconds (an error: it may be tried again) blob:SHA256       what many jobs share (a task, a
 * reference, a profile), kept for a day done:CLIENT       stream of hashes: what that client need
 * wait for no longer worker:NAME, workers, live      the table of workers; see queue_list()
 *     live.KIND         those of a kind, "" for who builds, by when they were heard of
 *
 * A job's HASH is the SHA-256 of its body and of the workers' versions: equal jobs are one, whoever
 * gives them and however often, and an answer that is there is not worked out again. The first
 * answer stays; another of a worker that was thought dead changes nothing.
 *
 * A worker that takes a job holds a *lease* on it, which it renews while it works, at a third of
 * its time. One that died, froze or was cut off does not, and when the lease has run out another
 * takes the job over (XAUTOCLAIM). A job that was delivered a fourth time, after three workers did
 * not come back from it, is *poison*: it is answered with that, and not tried again.
 *
 * Rewards are the same bytes wherever they are made as long as all workers are made of the same: a
 * worker whose versions differ from those of a farm with live workers is refused, in words.
 *
 * Connections are kept up (src/redis.h). What was under way when one broke is asked for again, also
 * after a Redis that forgot everything. Nothing here waits, prints or exits.
 */
#ifndef SRC_QUEUE_H
#define SRC_QUEUE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/sha256.h"
#include "src/redis.h"

enum {
	QUEUE_BODY_BYTES_MAX = 80 << 20,    /* of a job */
	QUEUE_BLOB_BYTES_MAX = 65 << 20,    /* 64 MiB and what names them */
	QUEUE_ANSWER_BYTES_MAX = 256 << 20, /* of an answer */
	QUEUE_AHEAD = 512,                  /* jobs of one client in Redis at once */
	QUEUE_DEATHS_MAX = 3,
	QUEUE_NAME_MAX = 96,
	QUEUE_VERSIONS_MAX = 400,
	QUEUE_ABOUT_MAX = 1500,
};

/* ---- who gives jobs ---- */

enum queue_fate { QUEUE_ANSWERED, QUEUE_FAILED, QUEUE_POISON };

struct queue_ops {
	void *ctx;
	/* What came of a job, once for each that was submitted. QUEUE_ANSWERED: @bytes, borrowed.
	 * Else @why: of QUEUE_FAILED the worker's own error, or Redis's. */
	void (*done)(void *ctx, void *user, enum queue_fate fate, const void *bytes, size_t len,
	             const struct err *why);
};

struct queue;
struct queue *queue_open(const struct redis_address *a, const struct queue_ops *ops, struct err *e);
void queue_close(
	struct queue *q); /* cancels what is under way, as far as it can be told; NULL is fine */

/* Before the first job: they are for workers of this kind alone (64 hexadecimal digits). */
void queue_kind(struct queue *q, const char kind[SHA256_HEX]);

/* What other jobs share: kept by the queue, given to Redis when a job that names it is. Its name is
 * written to @sha. 0; -1: ERR_MEM, ERR_INPUT (too large). */
int queue_blob(struct queue *q, const void *bytes, size_t len, char sha[SHA256_HEX], struct err *e);
/* No further job names it: its memory goes when those under way are done, and two hours later
 * Redis's. Of a name that is none nothing happens. */
void queue_blob_drop(struct queue *q, const char *sha);

/* A job; @body is taken over. @blob: names that queue_blob() gave, @n_blobs of them. @lease_s above
 * 0: how long a worker may be silent. 0, or -1 (ERR_MEM, ERR_INPUT) without done(). */
int queue_submit(struct queue *q, struct buf *body, const char (*blob)[SHA256_HEX], int n_blobs,
                 double lease_s, void *user, struct err *e);
int queue_waiting(const struct queue *q);             /* submitted, and not done */
void queue_cancel_all(struct queue *q);               /* without done() */
void queue_cancel(struct queue *q, const void *user); /* that one's jobs, without done() */

/* For an event loop, as engine/engine.h: at most two descriptors. queue_step(): -1 when there is no
 * hope (refused; not once connected for ten seconds), with what is to be done about it. done() is
 * called from it alone. */
int queue_poll_fds(const struct queue *q, struct pollfd *out, int cap);
int queue_timeout_ms(const struct queue *q);
int queue_step(struct queue *q, struct err *e);

/* What is being waited for, for people, when it is more than a job: Redis is away, no worker of the
 * kind has come yet, or is there any more. "" when all is well. Borrowed until the next step. */
const char *queue_trouble(const struct queue *q);

/* ---- who takes them ---- */

struct queue_take {
	char hash[SHA256_HEX], id[48];
	int lease_ms;
	int before; /* workers that had it before and did not come back */
	struct buf body;
	double wait_s; /* from its submission until it was taken; NAN: not known */
	void *user;    /* the owner's */
	/* the worker's own */
	struct queue_worker *of;
	struct queue_take *next, **at;
	struct buf answer;
	int keep_s, asked;
	double renewed_s;
	bool answered, sent, renewing, known_before;
	bool forgotten; /* by its owner, see queue_worker_forget() */
};

/* Where the time of a job goes: in the queue, until a worker takes it; building; measuring, scoring
 * and rebuilding; and all that the worker has to do with it, from taking to answer. */
enum queue_part { QUEUE_WAIT, QUEUE_BUILD, QUEUE_SCORE, QUEUE_WORK, QUEUE_PARTS };
struct queue_took {
	double median_s, p95_s; /* of its last 256 jobs; NAN: none */
};

/* The row of a worker; times in seconds since it began. */
struct queue_row {
	char name[QUEUE_NAME_MAX], host[64];
	char model[64]; /* that it answers with; "": none, it builds and scores alone */
	int pid, at_once, under_way;
	long long jobs, built, failed, lost, taken_over, poison; /* jobs: answered, of any kind */
	long long bytes;                                         /* of answers */
	double since_s, seen_s; /* ago; since it began, since it was heard of */
	double work_s;          /* of its jobs, by the clock, however many at once */
	double cpu_s;           /* of processors: the worker and all its programs */
	double wait_s;          /* mean, of a job in the queue before it was taken; NAN */
	struct queue_took took[QUEUE_PARTS];
	double slowest_s;      /* of its last 256 jobs, from taking to answer; NAN */
	double per_s;          /* jobs a second in the last minute, or over the last 256; NAN */
	bool left;             /* in good order */
	char kind[SHA256_HEX]; /* "": builds and scores; else queue_worker_kind() */
	char about[QUEUE_ABOUT_MAX];
	char versions[QUEUE_VERSIONS_MAX];
};

/* FROZEN: silent for longer than QUEUE_LIVE_S: frozen, killed or cut off; its jobs go to others
 * when their lease is over. GONE: it left, or was silent for longer than QUEUE_GONE_S. */
enum queue_state { QUEUE_LIVE, QUEUE_BUSY, QUEUE_FROZEN, QUEUE_GONE };
enum queue_state queue_row_state(const struct queue_row *r);
const char *queue_state_name(enum queue_state s); /* "live", "busy", "frozen", "gone" */

struct queue_worker_ops {
	void *ctx;
	/* One more; it is the worker's until queue_worker_answer(). */
	void (*take)(void *ctx, struct queue_take *t);
	/* Of queue_worker_want(): the bytes, borrowed and checked against their name, or NULL. */
	void (*blob)(void *ctx, struct queue_take *t, const char *sha, const void *bytes,
	             size_t len);
	/* Nobody waits for its answer any more, heard of when its lease was renewed; it may be
	 * forgotten, or answered all the same. May be NULL */
	void (*unwanted)(void *ctx, struct queue_take *t);
};

struct queue_worker;
/* @name: this worker's, unlike any other's (queue_worker_name()). @at_once jobs, which
 * queue_worker_row() may be told otherwise. */
struct queue_worker *queue_worker_open(const struct redis_address *a, const char *name,
                                       const char *versions, int at_once,
                                       const struct queue_worker_ops *ops, struct err *e);
/* Tells Redis that it leaves, as far as it is there; jobs without an answer go to others when their
 * lease is over. */
void queue_worker_close(struct queue_worker *w);
void queue_worker_name(char out[QUEUE_NAME_MAX]); /* HOST-PID-CHANCE */
/* Right after it was opened: it takes jobs of this kind (64 hexadecimal digits) and no others; most
 * have a lease of @lease_s. @about: JSON of what it is, in one line of less than QUEUE_ABOUT_MAX
 * bytes, for its row. */
void queue_worker_kind(struct queue_worker *w, const char kind[SHA256_HEX], const char *about,
                       double lease_s);

/* Asks for a blob; ops.blob gets it. */
void queue_worker_want(struct queue_worker *w, struct queue_take *t, const char *sha);
/* What came of it: QUEUE_ANSWERED with @bytes (taken over), else @why. @fleeting: it is kept for
 * ten seconds only, since another try may tell more. @t is over when Redis has it; it is not to be
 * used any more. */
void queue_worker_answer(struct queue_worker *w, struct queue_take *t, enum queue_fate fate,
                         struct buf *bytes, const struct err *why, bool fleeting);
/* Without an answer: of one that is unwanted. @t is not to be used any more. */
void queue_worker_forget(struct queue_worker *w, struct queue_take *t);
/* Takes no more. */
void queue_worker_stop(struct queue_worker *w);
int queue_worker_under_way(const struct queue_worker *w); /* taken, and not yet known to Redis */
/* What the owner keeps: model, jobs, built, failed, lost, bytes, work_s, cpu_s, took, slowest_s,
 * per_s; the others are ours. */
struct queue_row *queue_worker_row(struct queue_worker *w);

int queue_worker_poll_fds(const struct queue_worker *w, struct pollfd *out, int cap);
int queue_worker_timeout_ms(const struct queue_worker *w);
/* -1: it cannot be a worker here: refused, or its versions are not the farm's. */
int queue_worker_step(struct queue_worker *w, struct err *e);
const char *queue_worker_trouble(const struct queue_worker *w);

/* ---- the table ---- */

struct queue_table {
	struct queue_row *row; /* the newest first */
	int n, live;
	long long waiting, under_way; /* jobs */
	double oldest_s;              /* since the oldest that is not answered was given; NAN */
	char versions[QUEUE_VERSIONS_MAX];
};
/* Waits, ten seconds at most, two where nobody listens. Workers that were heard of within a day. */
int queue_list(struct queue_table *out, const struct redis_address *a, struct err *e);
void queue_table_release(struct queue_table *t);
/* Heard of within this time, a worker is live; after this one it is not looked for any more. */
#define QUEUE_LIVE_S 15
#define QUEUE_GONE_S 300

#endif
