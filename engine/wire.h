/*
 * wire.h - the message types between cadforge (engine/pool) and its two engine programs, and the
 * keys in them.
 *
 * One asker, many jobs in flight; each job gets any number of LOG frames and then exactly one
 * RESULT. All times in seconds, sizes in bytes, lengths in mm unless a name says otherwise.
 */
#ifndef ENGINE_WIRE_H
#define ENGINE_WIRE_H

/* A shape's limit is of CPU time, so that a busy machine gives what a quiet one does: the time on
 * the clock that goes with it. */
static inline double wire_measure_wall_s(double cpu_s)
{
	return 20 + 6 * cpu_s;
}

/* Every job that a child is for may say under_way: how many programs are worked on, this one
 * counted, so that spare children leave the processors to them (engine/nursery.h). */
enum wire_type {
	/* cadforge -> builder */
	WIRE_BUILD = 1,   /* json: {dialect:"seed"|"open", filter:bool, wall_s, cpu_s, memory_mib,
	                   * output_kib,   brep_mib, facts:bool}; blob: the program as it came */
	WIRE_FACTS = 2,   /* json: {}; blob: the program, which is parsed and never run. With
	                   * names:true: what exists   in CadQuery (gpu/guard.h), no program */
	WIRE_CONVERT = 3, /* json: {to:"step"|"brep"|"mesh", wall_s, cpu_s, memory_mib, linear,
	                     angular}; blob: binary BREP, or STEP text */
	WIRE_WATCH = 8, /* json: as BUILD; blob: the program as far as it is written. Its top-level
	                 * statements are executed as they close; NOTICEs tell how far it is, and
	                 * RESULT comes when one fails or the end is reached. It takes no place
	                 * among the jobs that run at once; at most 4 */
	WIRE_MORE = 9,  /* json: {shape:bool, end:bool}; blob: more of a watched program. shape: one
	                 * NOTICE may bring the shape; end: that was all of it */
	/* cadforge -> scorer */
	WIRE_SCORE =
		4,          /* json: {format:"brep"|"stl"|"glb"|"meshed", geometry:bool,
	                     * figures:"none"|"fast"|"full", reference: id or 0, export:["stl","glb"],
	                     * cpu_s, memory_mib, faces_max, triangles_max, exact:{checks, orientation,
	                     * solids, genus, reference: id or 0} where it is asked for
	                     * (engine/exact.h), pictures:{views:[names], px, title, rotation, reference}
	                     * (engine/views.h; nothing else is done), prepare:bool (a reference is made for
	                     * the exact	  profiles, and nothing else)}; blob: the shape */
	WIRE_REFERENCE = 5, /* json: {id, kind:"seed"|"exact"}; blob: reference_serialize(), or what
	                     * a request with prepare gave; kept for the life of the scorer */
	/* both */
	WIRE_CANCEL = 6, /* json: {}; the job of that number is killed and answers RESULT with end
	                    "cancelled" */
	WIRE_HEIR = 7, /* asks the builder for an heir, a forked warm copy of itself that waits on a
	                * socket of its own. Answered by WIRE_HEIR with json {pid} and that socket
	                * as SCM_RIGHTS. Asked for only when READY says heir:true. */
	/* helper -> cadforge */
	WIRE_READY = 16, /* once, after the warm-up. json: {program, pid, seconds, versions:{...},
	                  * jail:{...}} or {program, error, remedy} when it cannot work here, after
	                  * which it exits with 3 */
	WIRE_LOG = 17,   /* json: {stream:"stdout"|"stderr"}; blob: bytes as printed, not cleaned */
	WIRE_RESULT = 18, /* what came of the job; keys below */
	WIRE_NOTICE = 19, /* of WATCH. json: {statements, line, name, name_line, shape_name,
	                   * shape_line, facts:{numbers:{...}, functions_used, nodes, statements}},
	                   * each left out when it is not known; blob: binary BREP or nothing */
};

/*
 * RESULT of BUILD: {ok, cause, exception|null, error|null, line|null, column|null, source|null,
 *   limit:{name,limit,used}|null, statements_done, statements_all, seconds, cpu_s, peak_mib,
 * log_bytes, log_dropped, refused:{syscall:count,...}, traceback|null, facts:{...}|null}; blob:
 * binary BREP when ok. RESULT of WATCH: the same, ok when all of it was executed, without blob and
 * facts, and with statements_all = statements_done, name, name_line and cut_line (engine.h). RESULT
 * of FACTS: {facts:{...}|null, error|null,
 * ...}. RESULT of CONVERT: {ok, error|null, seconds}; blob: the converted file. RESULT of SCORE:
 * {ok, cause:"ok"|"bad_input"|"wall_limit"|"memory_limit"|"shape_limit"|"empty_shape"|"crash"|
 *   "cancelled", error|null, limit|null, geometry:{...}|null, figures:{...}|null, exact:{...}|null,
 * seconds:{read,measure,mesh,score}, exports:[{format,bytes},...]}; blob: the exports one after the
 * other, in that order.
 */

#endif
