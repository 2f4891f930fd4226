/*
 * job.h - a build-and-score job and its answer as bytes, for machines that share nothing else.
 *
 * A job is a line of JSON and, after it, the text to be scored or the shape. What many jobs share
 * (the task, its reference, a profile) is named by its SHA-256 and travels beside them
 * (queue_blob(), src/queue.h). It says all that a score is made from and nothing of who asks, so
 * that equal jobs are equal bytes: a file's name and the parent of a delta are added to the answer
 * by whoever asked.
 *
 * An answer is what src/scoring.h calls a struct scored: a line of JSON, then its parts (program,
 * log, BREP, STL, STEP, pictures), all of it packed with Zstandard.
 *
 * Both are read as a stranger's: every number has its range, every size its bound.
 */
#ifndef SRC_JOB_H
#define SRC_JOB_H

#include "src/scoring.h"

enum {
	JOB_TEXT_BYTES_MAX = 64 << 20,
	JOB_PART_BYTES_MAX = 64 << 20,    /* a larger part of an answer is left out */
	JOB_ANSWER_BYTES_MAX = 240 << 20, /* and what would make it larger than this */
};

enum job_shape { JOB_PROGRAM, JOB_BREP, JOB_STEP };

struct job_asked {
	char profile[32];             /* one of the published; "": that of @profile_sha */
	char profile_sha[SHA256_HEX]; /* blob: a profile's JSON, or "" */
	char task_sha[SHA256_HEX];    /* blob: a task's JSON, or "" */
	/* blob: what it is compared with, or ""; and how its file's name ends: "py", "step" */
	char reference_sha[SHA256_HEX], ending[8];
	char reference[16]; /* "task", "none", "seed-task", or "file": one without a task */
	enum dialect dialect;
	int rebuilds;
	bool no_blanks, no_filter, unfinished, program_lines;
	unsigned artifacts; /* enum scoring_artifact */
	enum extract_rule rule;
	enum job_shape shape;
	struct limits limits;
	const char *text; /* borrowed */
	size_t len;
};

/* Appends. Memory running out is seen by buf_failed(). */
void job_write(struct buf *out, const struct job_asked *j);
/* The text points into @bytes. ERR_INPUT: it is none of ours, or out of range. */
int job_read(struct job_asked *out, const void *bytes, size_t len, struct err *e);
/* What tells a scoring that can do this job from one that cannot, as a line: all but the task, its
 * reference and the text. */
void job_kind(struct buf *out, const struct job_asked *j);

/* Appends. 0, or -1 (ERR_MEM). */
int scored_write(struct buf *out, const struct scored *s, struct err *e);
int scored_read(struct scored *out, const void *bytes, size_t len, struct err *e);

/* Zstandard, with a sum of the content, so that what was damaged on its way is no other answer.
 * Appends; 0, or -1: ERR_MEM; unpacking: ERR_PROTOCOL, also of more than @max bytes. */
int job_pack(struct buf *out, const struct buf *plain, struct err *e);
int job_unpack(struct buf *out, const void *bytes, size_t len, size_t max, struct err *e);

#endif
