/*
 * farm.h - the programs of a scoring, built and scored by workers on other machines
 * (cadforge worker): what stands behind src/scoring.h when --queue names a Redis server.
 *
 * What a worker needs travels with the job or beside it: profile, task, reference. What comes back
 * is what a scoring here would have said, byte for byte but for "seconds".
 */
#ifndef SRC_FARM_H
#define SRC_FARM_H

#include "src/job.h"

struct farm;

struct farm_ops {
	void *ctx;
	/* Once for each that was added, from farm_work(). @out NULL: @why says why */
	void (*done)(void *ctx, void *user, struct scored *out, const struct err *why);
};

/* @url: --queue's (src/redis.h). Connects when something is added. */
struct farm *farm_open(const char *url, bool quiet, const struct farm_ops *ops, struct err *e);
void farm_close(struct farm *f); /* NULL is fine */

/* What jobs name: @sha gets its name. ERR_INPUT: too large, or the file cannot be read. */
int farm_share(struct farm *f, const void *bytes, size_t len, char sha[SHA256_HEX], struct err *e);
int farm_share_file(struct farm *f, const char *path, char sha[SHA256_HEX], char ending[8],
                    struct err *e);

/* 0; or -1 without done(). */
int farm_add(struct farm *f, const struct job_asked *j, void *user, struct err *e);
int farm_waiting(const struct farm *f);
void farm_drop(struct farm *f); /* what is under way, without done() */

int farm_poll_fds(const struct farm *f, struct pollfd *out, int cap);
int farm_timeout_ms(const struct farm *f);
/* What keeps it waiting (Redis is away, no worker has come) is told on standard error, once each
 * time, unless quiet. -1: there is no hope. */
int farm_work(struct farm *f, struct err *e);

#endif
