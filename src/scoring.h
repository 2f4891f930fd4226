/*
 * scoring.h - one program or many, built, measured and rewarded under one profile: the core of
 * score, run, fork and the workbench.
 *
 * A scoring owns an engine (src/pipeline.h) and one profile. What it does to a program:
 *     extract -> build (jailed) -> measure (jailed) -> under exact: rebuild with named dimensions
 *     changed -> terms, total, notes, delta.
 * A program that does not build is a result, never an error; -1 means that our machinery failed, or
 * that a task's reference cannot be used, or ERR_CANCELLED when tick() said stop.
 * The same program gives the same JSON but for "seconds" and, in "build", the seconds and peaks.
 *
 * With app.queue (--queue) other machines build and score (src/farm.h), behind the same verbs:
 * logs, terms and shapes are then told when a program is over, and pictures and STEP come with it.
 * What is watched while it is written, and a reference's mesh, are this machine's still.
 */
#ifndef SCORING_H
#define SCORING_H

#include "engine/engine.h"
#include "engine/extract.h"
#include "engine/task.h"
#include "src/app.h"

/* What is wanted beside the figures; a bit each. */
enum scoring_artifact {
	SCORING_BREP = 1,  /* binary BREP */
	SCORING_STEP = 2,  /* STEP text (costs a jailed conversion) */
	SCORING_STL = 4,   /* binary STL of the measuring mesh */
	SCORING_VIEWS = 8, /* PNG pictures */
};

/* What a caller asked for; borrowed texts must live as long as the scoring. */
struct scoring_options {
	const struct app *app; /* paths, limits, jobs, no_filter; after app_find() */
	/* "exact", "exact-train", a profile of tasks/profiles/ or of a file (*.json), or one of the
	 * published "seed-fast", "seed-full", "strict". NULL: "exact" */
	const char *profile;
	/* "task": the task's own reference; "none"; "seed-task": the box of the task's published
	 * reference (seed profiles); a file (.py, .step, .stl, .glb, .brep) for all tasks; a
	 * folder: under exact that of <task>.py and so on, under the seed profiles of the published
	 * form. NULL: "task" under exact, "none" under the seed profiles */
	const char *reference;
	const enum dialect *dialect; /* NULL: open under exact, seed under the seed profiles */
	int rebuilds;                /* under exact; -1: as many as the profile says */
	unsigned artifacts;          /* enum scoring_artifact */
	/* Under exact: checks are not set against what a blank of the box earns, which takes nine
	 * builds a task; totals are then higher. For programs of many tasks whose facts count. */
	bool no_blanks;
	/* So many of the last programs that differ are remembered: an equal one (same text, task,
	 * file and parent) is not built again, nor while its equal is under way, and ears hear
	 * nothing of it. Its "seconds" are the first one's. Where no artifacts are wanted. 0: none
	 */
	int remember;
	/* who is told; see scoring_listen() */
	struct scoring_ears {
		void *ctx;
		int tick_ms; /* so often at least tick() is called; 0: 250 */
		/* between any two steps of the engine; not 0: stop. May be NULL, as the others */
		int (*tick)(void *ctx);
		/* clean text as the program prints it, whole lines; @item: its index in
		 * scoring_run_all() */
		void (*log)(void *ctx, size_t item, const char *stream, const char *text,
		            size_t len);
		/* built and measured, or not: what is left are rebuilds */
		void (*built)(void *ctx, size_t item, const struct build *b);
		/* of a built one, after built(): the mesh where SCORING_STL is wanted, and under
		 * the exact profiles the terms that no rebuild can change */
		void (*shape)(void *ctx, size_t item, const void *stl, size_t len);
		void (*figure)(void *ctx, size_t item, const char *name, double value);
	} ears;
};

struct scoring_input {
	const struct task *task; /* NULL: none; checks and reference are then null */
	const char *text;        /* the completion or file; borrowed for the call */
	size_t len;
	enum extract_rule rule;
	/* more of it was to come when it was known to fail: how far it would have got is not known,
	 * and a total that hangs on that counts it as nowhere */
	bool unfinished;
	bool program_lines; /* lines are counted in the program, not in the text it came from */
	/* Instead of a text: a shape that nobody's program made, binary BREP or STEP text;
	 * borrowed. Nothing is built, and what has to do with a program is null. Exact profiles
	 * alone. */
	const void *shape;
	size_t shape_len;
	bool shape_is_step;
	const char *file;    /* what "file" says in the JSON; NULL: null */
	const cJSON *parent; /* the JSON of the parent turn's score, for "delta"; NULL: none */
};

struct scored_picture {
	char name[32]; /* "front", ..., "sheet", "difference", "section" */
	struct buf png;
};

/* What came of one. Owned; scored_release() when done, safe on {0} and twice. */
struct scored {
	bool built;
	double total; /* -1 to 1; NAN: there is none */
	/* Our own machinery was lost under it or under one of its rebuilds (CAUSE_BUILDER_LOST):
	 * the figures are less than they would be, and say nothing of the program */
	bool lost;
	/* from the builder's being asked to the last answer about the program as it is, rebuilds
	 * left out, on the machine that did it; NAN: not known */
	double engine_s;
	cJSON *json; /* the object of score --json (cadforge(1)) */
	enum build_class cls;
	struct build build;   /* its brep is moved to brep below, its log to log */
	struct buf program;   /* what was extracted and run */
	struct buf log;       /* what it printed, cleaned */
	struct buf brep, stl; /* as far as wanted and there */
	struct buf step;      /* of scoring_run() and scoring_step() only */
	struct scored_picture *pictures;
	int n_pictures;
	cJSON *facts; /* of the syntax tree; NULL when it did not parse */
};
void scored_release(struct scored *s);

struct scoring;

/* Loads the profile; starts no program yet. NULL with @e (ERR_USAGE, ERR_INPUT, ERR_LACKS). */
struct scoring *scoring_open(const struct scoring_options *o, struct err *e);
void scoring_close(struct scoring *s);

/* The profile's name and the hash of its data (64 hex digits; of the published ones: of the name).
 * Borrowed. */
const char *scoring_profile_name(const struct scoring *s);
const char *scoring_profile_hash(const struct scoring *s);
/* Of its builds and scores. Borrowed. */
const struct limits *scoring_limits(const struct scoring *s);

/* Programs that were not built since their equal was (scoring_options.remember). */
int64_t scoring_remembered(const struct scoring *s);

/* From now on others are told: for a scoring that is kept open over many episodes. NULL: nobody. */
void scoring_listen(struct scoring *s, const struct scoring_ears *ears);

/* Between two runs, for an event loop: when one of these is ready, one of the programs has died or
 * has something to say; scoring_attend() hears it. A dead one is collected, and started again when
 * it is needed next. How many were written. */
int scoring_poll_fds(struct scoring *s, struct pollfd *out, int cap);
void scoring_attend(struct scoring *s);

/* Programs of this scoring, executed while they are being written (src/watch.h): as they are built.
 */
struct watch_ops;
struct watch *scoring_watch(struct scoring *s, const struct watch_ops *ops, struct err *e);
/* The term editability of what was executed so far (struct watch_ops.facts), rebuilds left out; NAN
 * when the profile has none such. */
double scoring_editability(const struct scoring *s, const cJSON *facts);

/* Starts both programs without waiting for them, e.g. while a model writes. */
int scoring_warm(struct scoring *s, struct err *e);
/* What its programs are made of, as they say it ("cadquery 2.5, ..."): machines of which this is
 * equal give equal scores. Starts them and waits until they are ready. */
int scoring_versions(struct scoring *s, struct buf *out, struct err *e);
/* Gets a task's reference ready (built, measured, cached); the run does it by itself. */
int scoring_prepare(struct scoring *s, const struct task *task, struct err *e);

/* The tasks given so far may be gone: what was got ready for them is forgotten. Between runs. */
void scoring_forget_tasks(struct scoring *s);

/* The mesh of a task's own reference, as binary STL, for a picture. ERR_INPUT: it has none. */
int scoring_reference_mesh(struct scoring *s, const struct task *task, struct buf *out,
                           struct err *e);

/* One program; blocks. @out is written only on success. */
int scoring_run(struct scoring *s, const struct scoring_input *in, struct scored *out,
                struct err *e);
/* What scoring_run() does beyond scoring_run_all(): pictures and STEP of one that was built, and
 * its BREP goes when nobody wants it. Blocks, while others that were added go on; not from within a
 * callback. -1: as scoring_run(). */
int scoring_finish(struct scoring *s, const struct scoring_input *in, struct scored *got,
                   struct err *e);
/* Many, several at once; @done gets each when it ends, in that order, and may take what @out owns
 * by zeroing it. */
int scoring_run_all(struct scoring *s, const struct scoring_input *in, size_t n,
                    void (*done)(void *ctx, size_t item, struct scored *out), void *ctx,
                    struct err *e);

/* Programs as they come, with nothing that waits: for an event loop that has something else to
 * attend to. scoring_begin(); scoring_add() at any time but inside a callback; scoring_work()
 * whenever the descriptors of scoring_poll_fds() are ready, after scoring_add(), and once a second
 * at least; done() is called from both of these. */
struct scoring_stream {
	void *ctx;
	/* @out NULL: it could not be scored, @why says why, others go on. Else as in
	 * scoring_run_all() */
	void (*done)(void *ctx, size_t item, struct scored *out, const struct err *why);
};
void scoring_begin(struct scoring *s, const struct scoring_stream *to);
/* @in and its texts are borrowed until its done(). The first program of a task that
 * scoring_prepare() was not called for waits for that, with tick(). -1: this one cannot be scored.
 */
int scoring_add(struct scoring *s, const struct scoring_input *in, size_t item, struct err *e);
int scoring_work(struct scoring *s, struct err *e); /* -1: none can be, now */
void scoring_end(struct scoring *s); /* what is under way is dropped, without done() */

/* The answer for a text that could not be read at all: cause bad_input, every figure null. */
void scoring_unreadable(const struct scoring *s, const struct task *task, const char *file,
                        const char *why, struct scored *out);

#endif
