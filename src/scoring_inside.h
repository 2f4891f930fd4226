/*
 * scoring_inside.h - what the files of a scoring share: src/scoring*.c and nobody else.
 *
 *     scoring.c       the verbs; a program's way through the pipeline; equal programs
 *     scoring_task.c  profiles, references, and what the programs of one task share
 *     scoring_end.c   rebuilds, terms and totals: what a program's end comes to
 *     scoring_json.c  the object of score --json
 *     scoring_farm.c  the same done by other machines
 */
#ifndef SCORING_INSIDE_H
#define SCORING_INSIDE_H

#include <limits.h>

#include "engine/reward_exact.h"
#include "engine/reward_seed.h"
#include "src/base/sha256.h"
#include "src/farm.h"
#include "src/pipeline.h"
#include "src/references.h"
#include "src/remembered.h"
#include "src/scoring.h"

enum { SCORING_EDITS_MAX = 64 }; /* numbers changed of one program, at most */

enum mode { MODE_SEED_FAST, MODE_SEED_FULL, MODE_STRICT, MODE_EXACT };

/* What the programs of one task share. */
struct ready {
	const struct task *task; /* NULL: of programs without one */
	cJSON *exact;            /* what is asked of the scorer */
	int exact_id;
	double nodes; /* of the reference's program; NAN */
	struct blanks blanks;
	bool prepared;
	struct reference_set box; /* --reference seed-task */
	bool has_box;
	/* what other machines are given of it (src/job.h) */
	bool shared;
	char task_sha[SHA256_HEX], reference_sha[SHA256_HEX], ending[8];
};

struct job;

/* A program once more, with one named number changed. */
struct edit {
	struct job *job;
	const cJSON *dimension; /* of the job's facts */
	struct buf program;
	struct pipeline_item item;
	bool whole, built, ok;
	char why[160]; /* "" when ok */
};

struct job {
	const struct scoring_input *in;
	struct ready *ready;
	struct extract what;
	struct pipeline_item item;
	struct job *next, **at; /* of all jobs, and what points to this one */
	/* of the program as it is, kept while it is rebuilt */
	struct build build;
	struct shape_report shape;
	bool measured;
	struct edit *edits;
	int n_edits, waiting;
	bool lost; /* a rebuild of it was */
	double rebuild_s;
	/* of programs that are remembered: what tells it from others; its equal that is under way,
	 * and then it waits and is in no pipeline */
	bool has_key, waits;
	unsigned char key[SHA256_BYTES];
	const struct job *equal;
};

struct scoring {
	struct scoring_options o;
	enum mode mode;
	struct exact_profile profile; /* of MODE_EXACT */
	char name[64], hash[SHA256_HEX];
	char reference[PATH_MAX]; /* "task", "none", "seed-task", or a path */
	enum dialect dialect;
	int rebuilds;
	struct reference_set set; /* a folder of the published form */
	bool has_set;
	struct pipeline *pipeline; /* NULL before it is needed */
	struct farm *farm;         /* --queue: others build and score; NULL: this machine does */
	char profile_sha[SHA256_HEX];
	struct err failed; /* of a run on the farm: one that could not be scored ends it */
	struct ready **ready;
	int n_ready;
	struct job *jobs; /* under way */
	struct scoring_stream to;
	struct remembered *remembered; /* NULL: nothing is */
	int64_t n_remembered;
	bool left; /* a job's equal came to nothing that can be taken: it is to be built after all
	            */
};

/* ---- scoring_task.c ---- */

/* By its name or its file: fills mode, profile, name and hash. */
int scoring_load_profile(struct scoring *s, const char *name, struct err *e);
/* Of the published profiles: loads what @reference names. */
int scoring_load_seed_reference(struct scoring *s, struct err *e);
/* Of the exact ones: ERR_USAGE where it cannot be one. */
int scoring_check_reference(const struct scoring *s, struct err *e);
/* What its programs share, made on the first call; the scoring's. NULL: @e. */
struct ready *scoring_ready_of(struct scoring *s, const struct task *t, struct err *e);
/* Prepares reference and blanks, or shares them with the other machines; once. */
int scoring_make_ready(struct scoring *s, struct ready *r, struct err *e);

/* ---- scoring_end.c ---- */

/* What the scorer could not measure is a failure of the build. */
void scoring_adopt_failure(struct build *b, struct shape_report *s);
/* A shape without a solid in it is a failure too. */
void scoring_want_solid(struct job *j);
/* The eight terms; NAN: there is none. */
void scoring_terms_of(const struct scoring *s, const struct job *j, const struct exact_edits *x,
                      double t[TERM_COUNT]);
/* Puts the job's rebuilds into the pipeline; job.waiting counts them. */
int scoring_edits_start(struct scoring *s, struct job *j, struct err *e);
/* One of them has ended; the last one ends its job. */
void scoring_edit_done(struct scoring *s, struct edit *x);
/* Reward, notes, JSON: handed to who waits for it, then freed. */
void scoring_job_end(struct scoring *s, struct job *j);
void scoring_job_free(struct job *j);

/* ---- scoring_json.c: owned by the caller ---- */

cJSON *scoring_exact_json(const struct scoring *s, const struct job *j,
                          const struct exact_reward *r, const struct exact_edits *x,
                          cJSON *rebuilds);
cJSON *scoring_rebuilds_json(const struct job *j);
cJSON *scoring_score_json(const struct scoring *s, const struct job *j, enum build_class cls,
                          const struct reward *r, const struct notes *notes, cJSON *exact);

/* ---- scoring_farm.c ---- */

/* Where app.queue names one; else nothing is done. */
int scoring_farm_open(struct scoring *s, struct err *e);
/* Waits until all that is under way there is over. */
int scoring_farm_finish(struct scoring *s, struct err *e);

/* ---- scoring.c ---- */

/* Those that waited for @of as its equals. */
void scoring_equals_end(struct scoring *s, const struct job *of);

#endif
