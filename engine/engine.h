/*
 * engine.h - the engine's door: a program goes in; a build, its log, a score come out.
 *
 * An engine owns one builder and one scorer process (started when first needed, started again when
 * they die) and any number of jobs in flight. Nothing here blocks but engine_wait(). Untrusted
 * bytes are never parsed in this process: only what the two jailed programs say of them, as frames.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/figures.h"
#include "engine/shape.h"
#include "src/base/buf.h"
#include "src/base/json.h"

enum dialect { DIALECT_SEED, DIALECT_OPEN };

/* engine.md, "Outcome of a build". build_cause_name() gives the word used in JSON and the database.
 */
enum build_cause {
	CAUSE_OK,
	CAUSE_SYNTAX,
	CAUSE_NAME,
	CAUSE_ATTRIBUTE,
	CAUSE_TYPE,
	CAUSE_VALUE,
	CAUSE_KERNEL_ERROR,
	CAUSE_OTHER_EXCEPTION,
	CAUSE_NO_FINAL_OBJECT,
	CAUSE_NOT_A_SHAPE,
	CAUSE_EMPTY_SHAPE,
	CAUSE_WALL_LIMIT,
	CAUSE_CPU_LIMIT,
	CAUSE_MEMORY_LIMIT,
	CAUSE_OUTPUT_LIMIT,
	CAUSE_PROCESS_LIMIT,
	CAUSE_SHAPE_LIMIT,
	CAUSE_REFUSED,
	CAUSE_CRASH,
	CAUSE_BAD_INPUT,
	CAUSE_BUILDER_LOST,
	CAUSE_COUNT
};
const char *build_cause_name(enum build_cause c);
const char *build_cause_label(enum build_cause c);              /* a short phrase for people */
int build_cause_parse(const char *name, enum build_cause *out); /* 0 or -1 */

enum build_class {
	CLASS_BUILD_OK,
	CLASS_LOW_EDITABILITY,
	CLASS_DISCONNECTED_OR_WEAK,
	CLASS_SYNTAX_CLOSURE,
	CLASS_MISSING_FIXTURE,
	CLASS_INVENTED_API,
	CLASS_UNDEFINED_NAME,
	CLASS_TYPE_OR_VALUE,
	CLASS_UNKNOWN_BUILD_FAILURE,
	CLASS_COUNT
};
const char *build_class_name(enum build_class c);
const char *build_class_label(enum build_class c);

/* What a build may use. All of it configurable; what is hit is named. */
struct limits {
	double wall_s, cpu_s; /* 45, 40 */
	/* 10: CPU time of measuring a shape, so that a busy machine gives what a quiet one does */
	double score_cpu_s;
	int memory_mib;                /* 2048, beyond the warm image */
	int output_kib;                /* 512: past it output_limit; the first 256 KiB are kept */
	int brep_mib;                  /* 256 */
	long faces_max, triangles_max; /* 200,000; 5,000,000 */
};
void limits_default(struct limits *l);

struct limit_hit {
	char name[24]; /* "wall_s", "cpu_s", "memory_mib", "output_kib", "brep_mib", "faces", ...;
	                  "" when none */
	double limit, used; /* used: NAN when it is not known */
};

struct engine; /* opaque */

struct engine_options {
	const char *libexec_dir; /* holds cadforge-builder and cadforge-scorer */
	const char *
		python_env; /* virtual environment with CadQuery; NULL: the builder's own python3 */
	int jobs;           /* builds at once, and shapes at once; 1..64 */
	bool quiet;         /* what the two programs say on stderr is dropped */
	bool unjailed; /* for the bench's kernel time alone: see --unforked in engine/builder_main.c
	                */
};

struct build_request {
	const char *program; /* the program alone (engine/extract.h); not kept after the call */
	size_t len;
	int line_offset; /* lines before the program in the file it came from; added to what is
	                    reported */
	enum dialect dialect;
	bool no_filter; /* leave out the Python-level checks: only the kernel's walls stand */
	bool facts;     /* also the static facts */
	struct limits limits;
};

/* What came of one build. Texts are clean (src/base/utf8.h), owned, NULL where they do not apply.
 */
struct build {
	bool ok;
	enum build_cause cause;
	enum dialect dialect;
	char *error, *exception, *source, *traceback;
	int line, column;  /* from 1; 0: not known */
	bool no_triangles; /* it left an object, but one without a triangle: the published evaluator
	                      crashes */
	struct limit_hit limit;
	int statements_done, statements_all;
	double seconds, cpu_s, peak_mib;
	struct buf brep; /* binary BREP, when ok */
	struct buf log;  /* what it printed, as far as it was kept, cleaned, in order of arrival */
	long long log_bytes, log_dropped;
	cJSON *facts;   /* object, or NULL */
	cJSON *refused; /* {syscall: count}, or NULL */
};
void build_release(struct build *b);

enum figures_mode { FIGURES_NONE, FIGURES_FAST, FIGURES_FULL };
enum shape_format { SHAPE_BREP, SHAPE_STL, SHAPE_GLB };

struct shape_request {
	const void *bytes; /* not kept after the call */
	size_t len;
	enum shape_format format;
	bool geometry;
	enum figures_mode figures;
	int reference; /* from engine_reference(), or 0 */
	bool export_stl, export_glb;
	/* What the exact profiles ask (engine/exact.h: {"checks", "orientation", "solids",
	 * "genus", ...}), or NULL; borrowed for the call. Of a BREP alone, with FIGURES_NONE. */
	const cJSON *exact;
	int exact_reference; /* from engine_exact_reference(), or 0 */
	/* Pictures, and then nothing else is done: names of engine/views.h. With exact_reference,
	 * and the rotation that exact answered, "difference" is one of them. */
	const char *const *views;
	int n_views; /* 0: none; at most 16 */
	int view_px, rotation;
	const char *title; /* of the sheet; NULL: none */
	struct limits limits;
};

struct picture {
	char name[32]; /* as it was asked for */
	struct buf png;
};

/* What the scorer says of one shape. */
struct shape_report {
	bool ok;
	enum build_cause cause; /* CAUSE_OK, or why not */
	char *error;
	struct limit_hit limit;
	cJSON *geometry; /* as score --json has it, or NULL */
	bool has_figures;
	struct figures figures;
	double read_s, measure_s, mesh_s, score_s, render_s, seconds;
	struct buf stl, glb;
	struct picture *pictures;
	int n_pictures;
	cJSON *exact; /* as engine/exact.h has it, when it was asked for and @ok; or NULL */
};
void shape_report_release(struct shape_report *r);

/* How far a program is that is executed while it is being written. Texts are clean; all of it is
 * borrowed for the call. */
struct watch_sight {
	int statements, line; /* executed, at top level; where the last of them ends */
	const char *name;     /* bound last to a Workplane, Shape, Assembly or list of such; NULL */
	int name_line;
	/* its shape, as binary BREP, when it was asked for; NULL */
	const char *shape_name;
	int shape_line;
	const void *brep;
	size_t brep_len;
	/* {"numbers": {"total", "counted", "named", "named_used"}, "functions_used", "nodes",
	 * "statements"} of what was executed (exact_edits_from_facts() reads it), or NULL */
	const cJSON *facts;
	/* NULL while it goes on. What ended it: @ok when all was executed, else the first error,
	 * or the limit that it hit; CAUSE_BUILDER_LOST: nothing was found out, it may be watched
	 * again */
	const struct build *over;
	int cut_line; /* with an error: a text that ends with this line has the same; 0: not known
	               */
};

/* Called from engine_step(). What they are given is the engine's again after the call, but they may
 * take the members that own memory by zeroing them. */
struct engine_ops {
	void *ctx;
	void (*log)(void *ctx, uint32_t job, const char *stream, const char *text,
	            size_t len); /* clean text */
	void (*built)(void *ctx, uint32_t job, struct build *b);
	void (*measured)(void *ctx, uint32_t job, struct shape_report *r);
	/* of engine_facts(): an object, or NULL with why; of engine_convert(): the bytes */
	void (*facts)(void *ctx, uint32_t job, cJSON *facts, const char *error);
	void (*converted)(void *ctx, uint32_t job, const void *bytes, size_t len,
	                  const char *error);
	/* of engine_watch_begin() */
	void (*watched)(void *ctx, uint32_t job, const struct watch_sight *w);
	/* of engine_prepare(): the prepared reference, or NULL with why */
	void (*prepared)(void *ctx, uint32_t job, const void *blob, size_t len, const char *error);
};

struct engine *engine_open(const struct engine_options *o, const struct engine_ops *ops,
                           struct err *e);
void engine_close(struct engine *en);

/* Starts a program that is not running yet and returns; jobs do it by themselves. */
int engine_warm_builder(struct engine *en, struct err *e);
int engine_warm_scorer(struct engine *en, struct err *e);

/* Each queues a job, writes its number (never 0) to @job, and returns 0, or -1 with @e. */
int engine_build(struct engine *en, const struct build_request *r, uint32_t *job, struct err *e);
/* Executes a program while it is being written, jailed as a build is: @r->program is as much of it
 * as there is. Each top-level statement is executed as soon as it is closed; the first error ends
 * it, and ops.watched tells. r->limits.wall_s counts only while there is something to execute. At
 * most four at once, beside the jobs that run. What it finds is for people to see early: the build
 * that counts is always another. */
int engine_watch_begin(struct engine *en, const struct build_request *r, uint32_t *job,
                       struct err *e);
/* More of it; any bytes. Of a job that is over nothing happens, here and below. */
void engine_watch_text(struct engine *en, uint32_t job, const char *text, size_t len);
/* Asks once for the newest shape, now or when there is one that was not given yet. */
void engine_watch_shape(struct engine *en, uint32_t job);
/* That was all of it. (engine_cancel() ends it at once.) */
void engine_watch_end(struct engine *en, uint32_t job);
int engine_facts(struct engine *en, const char *program, size_t len, uint32_t *job, struct err *e);
/* What exists in CadQuery: ops.facts gets {"cadquery": version, "module": [names], "classes":
 * {"Workplane": {name: "Workplane"|"Sketch"|null, ...}, "Sketch": ...}}, null where it isn't said
 * what a call gives. */
int engine_names(struct engine *en, uint32_t *job, struct err *e);
int engine_convert(struct engine *en, bool to_step, const void *bytes, size_t len, uint32_t *job,
                   struct err *e);
int engine_measure(struct engine *en, const struct shape_request *r, uint32_t *job, struct err *e);
int engine_reference(struct engine *en, const struct reference_set *set, int *id, struct err *e);
/* Makes of a shape what the exact profiles compare with (engine/exact_reference.h), in the scorer's
 * jail. The blob may be kept: it names its version, and equal shapes give equal blobs. */
int engine_prepare(struct engine *en, enum shape_format format, const void *bytes, size_t len,
                   uint32_t *job, struct err *e);
/* Gives a prepared blob to the scorer (again, when it is started again). The engine keeps a copy
 * for its life. A blob that cannot be used fails the measurements that name it, in words. */
int engine_exact_reference(struct engine *en, const void *blob, size_t len, int *id, struct err *e);
void engine_cancel(struct engine *en, uint32_t job);

/* For an event loop: what to poll, for how long at most, and the work when something is ready.
 * engine_step() returns -1 with @e when the environment lacks something (ERR_LACKS) or a program
 * cannot be kept alive. */
int engine_poll_fds(struct engine *en, struct pollfd *out, int cap);
int engine_timeout_ms(struct engine *en);
int engine_step(struct engine *en, struct err *e);
/* poll and step once, waiting at most @timeout_ms (-1: until something happens). */
int engine_wait(struct engine *en, int timeout_ms, struct err *e);
int engine_jobs(const struct engine *en); /* in flight; what is watched is not counted */

/* What the two programs said when they were ready ({program, pid, seconds, versions, jail}); NULL
 * before. Borrowed. */
const cJSON *engine_builder_info(const struct engine *en);
const cJSON *engine_scorer_info(const struct engine *en);
/* The same of the mesher; when it said why it cannot work here, that ({program, error, remedy}),
 * and the builder does its work. */
const cJSON *engine_mesher_info(const struct engine *en);
/* Process ids, 0 while not running. */
int engine_builder_pid(const struct engine *en);
int engine_scorer_pid(const struct engine *en);
/* The builder is there and has done its warm-up. */
bool engine_builder_ready(const struct engine *en);
/* Times a program was started again after it died under us. */
int engine_restarts(const struct engine *en);

#endif
