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

struct limits {
	double wall_s, cpu_s, score_wall_s; /* 45, 40, 10 */
	int memory_mib;                     /* 2048, beyond the warm image */
	int output_kib;                     /* 512: past it output_limit; 256 KiB of log are kept */
	int brep_mib;                       /* 256 */
	long faces_max, triangles_max;      /* 200,000; 5,000,000 */
};
void limits_default(struct limits *l);

#endif
