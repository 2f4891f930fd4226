/*
 * pool_inside.h - what the files of the pool share: engine/pool*.c and nobody else.
 *
 *     pool.c           the door (engine.h): what is asked, and by which program it is done
 *     pool_programs.c  the programs: started, fed, heard, started again; the builder's heir
 *     pool_answers.c   what came back, as reports and results
 */
#ifndef ENGINE_POOL_INSIDE_H
#define ENGINE_POOL_INSIDE_H

#include "engine/engine.h"
#include "engine/wire.h"
#include "src/base/frame.h"
#include "src/base/spawn.h"

/* A measurement of a BREP with figures of its mesh is three jobs: the scorer measures the B-rep
 * while the mesher, with the kernel version that programs run on, meshes it (where it cannot work,
 * the builder does, in a child that runs no program); then the scorer takes the figures of that
 * mesh. (Triangle counts differ between
 * kernel versions; the published figures are those of the newer one.) */
enum part { PART_NONE, PART_GEOMETRY, PART_MESH, PART_FIGURES };

struct measuring {
	uint32_t id;
	struct shape_request request; /* bytes are not kept */
	struct shape_report report;
	int waiting; /* parts that have not answered */
	double started;
};

struct job {
	uint32_t id, type;
	struct measuring *whole; /* or NULL */
	enum part part;
	struct buf frame; /* as sent */
	struct buf more;  /* frames that follow it, of a watched program that was not sent yet */
	int losses;
	bool sent, cancelled, prepare;
	double limit_s;
	enum dialect dialect;
	struct buf log, log_partial[2];
	struct job *next;
};

struct program {
	const char *name;
	struct helper helper;
	struct frame_reader in;
	struct buf out;
	bool ready;
	double started, heard;
	int deaths_in_a_row;
	cJSON *info;
	struct job *first, **last;
	/* the builder's heir */
	int heir_fd;
	pid_t heir_pid;
	bool heir_asked;
};

struct kept_reference {
	struct buf bytes;
	bool exact, sent;
};

struct engine {
	struct engine_ops ops;
	char libexec[4096], python_env[4096], jobs_text[16];
	bool quiet, has_python_env, unjailed;
	struct program builder, scorer, mesher;
	bool no_mesher; /* it cannot work here: the builder meshes */
	struct kept_reference *ref;
	int n_ref;
	uint32_t next_job;
	int restarts;
};

enum { PROGRAMS = 3 };

/* ---- pool_answers.c ---- */

void pool_job_free(struct job *j);
/* Where the list points to it; NULL: there is none of that number. */
struct job **pool_job_find(struct program *p, uint32_t id);
/* Takes it off the list; the caller frees it. */
struct job *pool_job_unlink(struct program *p, struct job **at);
/* Its RESULT, or with @f NULL why it was @lost: told to who asked. The job is the caller's still.
 */
void pool_job_answer(struct engine *en, struct job *j, const struct frame *f, const char *lost);
/* Log bytes are cleaned by whole lines, so that an escape sequence cut by a pipe's buffer cannot
 * slip through. */
void pool_job_log(struct engine *en, struct job *j, const struct frame *f);
/* A notice on a watched program. */
void pool_job_seen(struct engine *en, const struct job *j, const struct frame *f);

/* ---- pool_programs.c ---- */

/* Number @i of PROGRAMS. */
struct program *pool_program_at(struct engine *en, int i);
void pool_program_init(struct program *p, const char *name);
void pool_program_reset(struct program *p);
/* Where it does not run. */
int pool_program_start(struct engine *en, struct program *p, struct err *e);
void pool_program_send_waiting(struct engine *en, struct program *p);
int pool_program_step(struct engine *en, struct program *p, struct err *e);
void pool_forget_heir(struct program *p);
/* Children of a program that died come to us (we are a subreaper) as bodies to collect. Only those
 * that bear our names and are no program of ours are taken: other children belong to other parts of
 * cadforge. */
void pool_collect_orphans(struct engine *en);

/* ---- pool.c ---- */

/* The last part of a measurement: the figures of its mesh. */
int pool_submit_figures(struct engine *en, struct measuring *m, const void *brep, size_t len,
                        struct err *e);

#endif
