/*
 * verify.h - are the rewards of the store what their programs earn? Each turn is built and scored
 * again, here and now, and set against what was stored: the score's bytes, and the SHA-256 of every
 * artifact that is made of the program.
 *
 * Compared are
 *   - the score (reward.json), printed without what depends on the machine and the hour: "seconds",
 *     "file", and what was used of a limit. What is left must be the same bytes.
 *   - program.py, build.log, notes.txt, shape.brep, shape.stl and the pictures, by their SHA-256;
 *     of those that were pruned too. shape.step behind its head, which has the hour in it.
 *   - the content of every artifact that is there against its own SHA-256.
 * Under the profile, the reference, the dialect and the limits that the turn was scored with; of
 * episodes that do not say their limits (made before they were recorded) under those of now, and a
 * remark says so. A turn whose
 * program was pruned, whose task or profile is not here, or which our own machinery lost, cannot be
 * verified; that is told, and is no "same".
 *
 * Reads the store, never writes.
 */
#ifndef SRC_VERIFY_H
#define SRC_VERIFY_H

#include "src/scoring.h"
#include "src/store.h"

enum verdict {
	VERIFY_SAME,
	VERIFY_DIFFERS,
	VERIFY_UNABLE, /* it could not be built again; why */
};
const char *verdict_name(enum verdict v); /* "same", "differs", "unable" */

struct verified {
	int64_t episode;
	int turn;
	enum verdict verdict;
	const char *why;    /* of VERIFY_UNABLE; else NULL */
	const char *remark; /* what may explain a difference: task or profile changed since; NULL */
	/* of the score as it is compared; 0, "": there is none */
	size_t stored_bytes, now_bytes;
	char stored_hash[65], now_hash[65];
	double stored_total, now_total; /* NAN: none */
	int artifacts;                  /* built again and compared */
	int contents;                   /* looked at against their own hash */
	/* [{"what": "reward.total", "stored": ..., "now": ...}], the first VERIFY_TOLD of them */
	const cJSON *differences;
	int n_differences;
};
enum { VERIFY_TOLD = 20 };

struct verify_options {
	const struct app *app; /* after app_find() */
	struct store *store;
	const struct task_set *tasks;
	void *ctx;
	int (*tick)(void *ctx); /* not 0: stop. May be NULL */
	void (*one)(void *ctx, const struct verified *v);
};

struct verify;

/* @o is borrowed. Nothing is started before there is something to build. */
struct verify *verify_open(const struct verify_options *o, struct err *e);
void verify_close(struct verify *v); /* NULL is fine */
/* One turn, or with @turn 0 all of the episode; each is told by one(), in order. 0, whatever the
 * verdicts; -1: ERR_INPUT (there is none such), ERR_CANCELLED, or our machinery failed. */
int verify_episode(struct verify *v, int64_t episode, int turn, struct err *e);

/* ---- the pure part ---- */

/* A score as it is compared, appended to @out. */
void verify_print(struct buf *out, const cJSON *score);
/* Adds what differs between two scores to @list, by path; how many there are. */
int verify_compare(cJSON *list, const cJSON *stored, const cJSON *now);

#endif
