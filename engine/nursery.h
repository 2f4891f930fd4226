/*
 * nursery.h - children forked ahead of time, one job each: fed, watched, killed at the deadline,
 * reaped.
 *
 * Both engine programs are a nursery around a warm process. A spare child is forked before it is
 * needed, goes through sandbox_enter_early() and waits; a job wakes it, and the next spare is
 * forked meanwhile. Request and reply travel in memory files made before the fork, so neither side
 * can block the other.
 *
 * A stream (limits.stream) is a job that goes on: the owner feeds it frames while it runs, and it
 * gives notices before its reply. It takes no place among the jobs that run at once. Its notices go
 * the way of the reply, one at a time, and not more than a few a second: the next may be written
 * when the one before was taken, so a child that floods us waits for itself. Its wall time counts
 * only from what it was fed until it says that it has used all of that.
 *
 * What one child gets or says is kept from the children that are forked while it is here: requests
 * and replies lie in secret buffers (struct buf). The owner does the same with what it copies.
 *
 * The owner polls: nursery_poll_fds() fills struct pollfd, nursery_step() does what is due and
 * calls back.
 */
#ifndef ENGINE_NURSERY_H
#define ENGINE_NURSERY_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/sandbox.h"
#include "src/base/buf.h"
#include "src/base/frame.h"

/* The child's side of a stream. */
struct nursery_feed {
	int fd; /* -1: the job is no stream */
	struct frame_reader in;
	uint32_t got, used; /* frames fed, the request itself counted; of them, told to be used */
	bool told;          /* a notice is out and was not taken yet */
};

/* The child's side of a job. */
struct nursery_io {
	struct nursery_feed *feed;
	int reply_fd;  /* memory file for the reply */
	int status_fd; /* bytes here say: begun, and then: the reply is whole */
	int place_fd;  /* memory file of 4 KiB, no more and no less: where the program was when time
	                  ran out (SIGUSR2 handler  writes) */
};

/* The child calls this once, when it is jailed and before any of the stranger's program runs: from
 * then on what happens is the program's own doing. */
void nursery_began(const struct nursery_io *io);

/* Before nursery_began(): the child cannot do its job. @why comes out as NURSERY_LOST. */
void nursery_cannot(const char *why) __attribute__((noreturn));

/* After nursery_began(). Writes the reply frame and the done byte. The child should then _exit(0);
 * the parent kills it anyway. 0 or -1. */
int nursery_reply(const struct nursery_io *io, const char *json, size_t json_len, const void *blob,
                  size_t blob_len);

/* A stream's next frame into @f, borrowed until the next call. 1; 0: none within @timeout_ms (-1:
 * wait), or a notice was taken meanwhile; -1: the parent is gone. */
int nursery_next(const struct nursery_io *io, int timeout_ms, struct frame *f);
/* All that came is used: till more comes, no wall time counts. 0 or -1. */
int nursery_idle(const struct nursery_io *io);
/* A notice, if the one before was taken. 1; 0: not now; -1. */
int nursery_notice(const struct nursery_io *io, const char *json, size_t json_len, const void *blob,
                   size_t blob_len);

struct nursery_limits {
	double wall_s, cpu_s;
	uint64_t memory_bytes, file_bytes;
	uint64_t log_kept_bytes; /* passed on; what comes after is counted */
	bool first;              /* goes before the jobs that wait */
	uint64_t log_max_bytes;  /* past it the job ends with NURSERY_OUTPUT */
	/* a reply that claims more is not read: NURSERY_EXITED; 0 means the frame's own limits */
	uint32_t reply_json_max, reply_blob_max;
	bool stream; /* then they hold for its notices, and its reply has no blob */
	/* no limit: how many programs are worked on as the asker knows it, by other nurseries too;
	 * see nursery_ops.child_idle. 0: not known */
	int under_way;
};

enum nursery_end {
	NURSERY_REPLIED,
	NURSERY_EXITED,    /* without a reply that can be used; status is the exit code */
	NURSERY_SIGNALLED, /* status is the signal */
	NURSERY_WALL,
	NURSERY_CPU,
	NURSERY_OUTPUT,
	NURSERY_CANCELLED,
	NURSERY_LOST, /* our own fault: no child could be forked, or its reply is no frame */
};

struct nursery_verdict {
	uint32_t job, type;
	enum nursery_end end;
	int status;
	double wall_s, cpu_s;
	long peak_kib;
	struct frame reply; /* when NURSERY_REPLIED; borrowed for the call */
	const char *place;  /* "" unless the child said where it was */
	uint64_t log_bytes, log_dropped;
	uint32_t
		over; /* with NURSERY_EXITED: bytes of blob that the reply claims, over its limit */
	char error[240]; /* for NURSERY_LOST; for NURSERY_EXITED when the reply it left is damaged
	                  */
};

struct nursery_ops {
	void *ctx;
	/* In the child, after sandbox_enter_early(), before it waits: may be NULL. */
	void (*child_ready)(void *ctx);
	/* In the child, while it waits and no job has come for a moment: step 0, 1, ..., until it
	 * returns false. A job that comes meanwhile waits for the end of the step: a few
	 * milliseconds at most. Put off while the processors have work enough. May be NULL. */
	bool (*child_idle)(void *ctx, int step);
	/* In the child, with the request: calls sandbox_enter() itself, then nursery_began(),
	 * replies, returns (the nursery then _exits). */
	void (*child_run)(void *ctx, const struct frame *request, const struct nursery_io *io);
	/* In the parent. */
	void (*log)(void *ctx, uint32_t job, const char *stream, const void *bytes, size_t len);
	void (*done)(void *ctx, const struct nursery_verdict *v);
	/* what a stream says; a blob comes only when nursery_feed() asked for one. May be NULL */
	void (*notice)(void *ctx, uint32_t job, const struct frame *notice);
	int streams; /* at most so many at once; further ones are refused */
};

struct nursery;

/* @jail NULL: the children are not jailed, which is for tests alone.
 * @spares children are kept waiting; at most @jobs_max run at once, further ones queue. Raises the
 * limit on open files as far as it may and has to; ERR_LACKS when that is not enough. */
struct nursery *nursery_open(const struct nursery_ops *ops, const struct sandbox *jail, int spares,
                             int jobs_max, struct err *e);
void nursery_close(struct nursery *n); /* kills and reaps all */

/* Lets go of the waiting spares and forks new ones, which see the process as it is now. */
void nursery_refresh(struct nursery *n);

/* Takes a copy of the request. 0 or -1. */
int nursery_submit(struct nursery *n, const struct frame *request, const struct nursery_limits *l,
                   struct err *e);
void nursery_cancel(struct nursery *n, uint32_t job);
/* One more frame for a stream; of a job that is no stream (any more) nothing happens. @asks: one
 * notice with a blob is taken after this. @last: no more follows, so its wall time counts to its
 * end. */
void nursery_feed(struct nursery *n, const struct frame *f, bool asks, bool last);

/* While @hold nothing is read of what children print, and no further reply is taken: they wait at
 * their full pipes. Deadlines stand. */
void nursery_hold_logs(struct nursery *n, bool hold);

int nursery_poll_fds(struct nursery *n, struct pollfd *out, int cap); /* number written */
int nursery_timeout_ms(struct nursery *n); /* till the next deadline; -1: none */
void nursery_step(struct nursery *n);
int nursery_busy(const struct nursery *n); /* jobs running or queued */

#endif
