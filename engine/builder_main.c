/*
 * cadforge-builder: one warm Python with CadQuery, and a jailed child for every program.
 *
 *     cadforge-builder [--python-env DIR] [--gl-stubs DIR] [--jobs N] [--font FILE] [--unforked]
 *
 * Speaks frames (src/base/frame.h, engine/wire.h) on descriptor 3 and leaves when that is closed.
 * By hand: `cadforge-builder 3<>SOCKET`, or any program that gives it a socket pair.
 *
 * This process runs no stranger's code: it neither parses programs nor shapes. It hands them to
 * children (engine/nursery.h) and judges what came of them by what it sees from outside - replies,
 * signals, clocks - and takes their word only for what concerns themselves.
 *
 * An heir (WIRE_HEIR) is a fork of this process that waits with its own socket; when this one is
 * killed the asker goes on with the heir at once.
 *
 * --unforked is for the bench alone: builds run in this very process, one after the other, without
 * jail or child, which is the kernel's own time. Never give it a stranger's program.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/nursery.h"
#include "engine/python.h"
#include "engine/sandbox.h"
#include "engine/serve.h"
#include "engine/wire.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/base/clock.h"

#define FONT_DEFAULT "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
#define MIB          1048576.0
#define LOG_KEPT     (256u << 10)
/* the report on a program: builder.py keeps each of its texts and lists under a size of its own */
#define REPORT_MAX    (4u << 20)
#define REPORT_VALUES 50000
/* watched at once; what one of them may say of itself, and how long a program may get */
#define WATCHED_MAX   4
#define NOTICE_MAX    (512u << 10)
#define NOTICE_VALUES 500
#define PROGRAM_MAX   (8u << 20)

extern char **environ;

/* What is kept of a job while a child works on it: to name lines and limits if the child cannot. */
struct known_job {
	uint32_t id;
	struct buf program;
	int line_offset;
	double wall_s, cpu_s, memory_mib, output_kib, brep_mib;
	bool watched, too_long;
	int statements; /* of a watched one: done, by its latest notice */
	struct known_job *next;
};

struct builder {
	struct python_options python;
	struct sandbox *jail;
	struct sandbox_layers layers;
	struct nursery *nursery;
	struct frame_reader in;
	struct buf out;
	struct known_job *jobs;
	int jobs_max;
	bool unforked;
	pid_t heir; /* 0: none that is still to be collected */
};

/* ---- what a request asks for ---- */

struct request {
	double wall_s, cpu_s, memory_mib, output_kib, brep_mib;
	int line_offset, under_way;
};

static double between(const cJSON *o, const char *key, double def, double min, double max)
{
	return fmin(fmax(json_number_or(o, key, def), min), max);
}

static int request_read(struct request *r, const struct frame *f, struct err *e)
{
	cJSON *o = f->json_len ? json_parse(f->json, f->json_len, e) : cJSON_CreateObject();

	if (!o)
		return -1;
	bool runs = f->type == WIRE_BUILD || f->type == WIRE_WATCH;
	r->wall_s = between(o, "wall_s", runs ? 45 : 20, 0.01, 86400);
	r->cpu_s = between(o, "cpu_s", runs ? 40 : 20, 0.01, 86400);
	r->under_way = (int)between(o, "under_way", 0, 0, 1e6);
	r->memory_mib = between(o, "memory_mib", 2048, 16, 1 << 20);
	r->output_kib = between(o, "output_kib", 512, 1, 1 << 20);
	r->brep_mib = between(o, "brep_mib", 256, 1, 900);
	r->line_offset = (int)between(o, "line_offset", 0, 0, 1e8);
	cJSON_Delete(o);
	return 0;
}

/* ---- the child's side ---- */

static enum python_job kind_of(uint32_t type)
{
	return type == WIRE_BUILD   ? PYTHON_BUILD
	       : type == WIRE_WATCH ? PYTHON_WATCH
	       : type == WIRE_FACTS ? PYTHON_FACTS
	                            : PYTHON_CONVERT;
}

static void child_ready(void *ctx)
{
	(void)ctx;
	python_settle();
}

static bool child_idle(void *ctx, int step)
{
	(void)ctx;
	return python_rehearse(step);
}

/* What the reply may take as a memory file, which lives outside the limit on memory: the shape, the
 * report on it, and for a conversion the triangles or the text that the shape becomes. */
static uint64_t file_bytes(uint32_t type, const struct request *r)
{
	return (uint64_t)((r->brep_mib + (type == WIRE_BUILD || type == WIRE_WATCH ? 1 : 64)) *
	                  MIB) +
	       REPORT_MAX;
}

static void child_run(void *ctx, const struct frame *f, const struct nursery_io *io)
{
	const struct builder *b = ctx;
	struct buf json = { 0 }, blob = { 0 };
	struct request r;
	struct err e = { 0 };

	if (request_read(&r, f, &e) < 0)
		nursery_cannot(e.text);
	unsigned long long memory = (unsigned long long)(r.memory_mib * MIB);
	struct sandbox_limits limits = {
		.memory_bytes = memory,
		.cpu_s = r.cpu_s,
		.file_bytes = file_bytes(f->type, &r),
	};
	python_watch(io->place_fd, memory);
	if (sandbox_enter(b->jail, &limits, &e) < 0) {
		err_wrap(&e, "the jail");
		nursery_cannot(e.text);
	}
	nursery_began(io);
	python_stream(io);
	if (python_run(kind_of(f->type), f->json, f->json_len, f->blob, f->blob_len, &json, &blob) <
	    0) {
		buf_release(&blob);
		buf_release(&json);
		buf_adds(&json,
		         "{\"ok\":false,\"cause\":\"memory_limit\","
		         "\"error\":\"the memory is used up: there is none left for the shape\"}");
	}
	if (nursery_reply(io, buf_str(&json), json.len, blob.data, blob.len) < 0) {
		static const char over[] =
			"{\"ok\":false,\"cause\":\"shape_limit\",\"error\":\"the shape is larger than its "
			"limit\"}";
		nursery_reply(io, over, sizeof(over) - 1, NULL, 0);
	}
	_exit(0);
}

/* ---- jobs ---- */

static struct known_job **job_slot(struct builder *b, uint32_t id)
{
	struct known_job **p = &b->jobs;

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

static void job_forget(struct builder *b, uint32_t id)
{
	struct known_job **p = job_slot(b, id);
	struct known_job *j = *p;

	if (!j)
		return;
	*p = j->next;
	buf_release(&j->program);
	free(j);
}

static void jobs_forget_all(struct builder *b)
{
	while (b->jobs)
		job_forget(b, b->jobs->id);
}

static void result_send(struct builder *b, uint32_t job, const cJSON *o, const void *blob,
                        size_t len)
{
	struct buf text = { .secret = true };

	json_print(&text, o);
	frame_append(&b->out, WIRE_RESULT, job, buf_str(&text), text.len, blob, len);
	buf_release(&text);
}

/* Copies line @n (from 1) of a program into the report, cleaned; nothing when it has no such line.
 */
static void add_source_line(cJSON *o, const struct buf *program, int n)
{
	const char *p = buf_str(program), *end = p + program->len;
	struct buf line = { .secret = true };

	for (int k = 1; k < n && p; k++) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	if (n >= 1 && p) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((stop ? stop : end) - p);
		utf8_clean(&line, p, len > 500 ? 500 : len);
		cJSON_ReplaceItemInObjectCaseSensitive(o, "source",
		                                       cJSON_CreateString(buf_str(&line)));
	}
	buf_release(&line);
}

struct place {
	int line, module, done, all;
	double space, room;
};

static double word(const char *text, const char *name)
{
	char key[24];

	snprintf(key, sizeof(key), "%s=", name);
	const char *p = strstr(text, key);
	return p ? fmin(fmax(strtod(p + strlen(key), NULL), 0), 1e18) : 0;
}

static void place_read(struct place *p, const char *text)
{
	p->line = (int)fmin(word(text, "line"), 1e8);
	p->module = (int)fmin(word(text, "module"), 1e8);
	p->done = (int)fmin(word(text, "done"), 1e8);
	p->all = (int)fmin(word(text, "all"), 1e8);
	p->space = word(text, "space");
	p->room = word(text, "room");
}

static cJSON *limit_object(const char *name, double limit, double used)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", name);
	json_add_figure(o, "limit", limit);
	json_add_figure(o, "used", used);
	return o;
}

static const char *signal_words(int sig)
{
	const char *name = sigabbrev_np(sig);

	return name ? name : "?";
}

/* The report on a child that could not tell itself: by what was seen from outside. */
static cJSON *report_from_outside(const struct nursery_verdict *v, const struct known_job *j)
{
	static const struct buf nothing;
	cJSON *o = cJSON_CreateObject(), *limit = NULL;
	const char *cause = "crash", *remedy = "";
	char what[300], where[40] = "", sentence[600];
	struct place p;

	place_read(&p, v->place);
	int line = p.line ? p.line + (j ? j->line_offset : 0) : 0;
	if (line)
		snprintf(where, sizeof(where), "line %d: ", line);
	/* within an eighth of the room, or what it asked for in vain was larger than the rest */
	bool memory_gone = p.room > 0 && p.space > 0.875 * p.room;
	switch (v->end) {
	case NURSERY_WALL:
		cause = "wall_limit";
		snprintf(what, sizeof(what), "still running after %g s, the limit on wall time",
		         j ? j->wall_s : 0);
		remedy =
			"make the program end sooner (a loop that never ends? too many booleans?) or "
			"raise --wall";
		limit = limit_object("wall", j ? j->wall_s : 0, v->wall_s);
		break;
	case NURSERY_CPU:
		cause = "cpu_limit";
		snprintf(what, sizeof(what), "%g s of CPU time are used up, the limit",
		         j ? j->cpu_s : 0);
		remedy =
			"make the program do less (a loop that never ends? too many booleans?) or raise "
			"--cpu";
		limit = limit_object("cpu", j ? j->cpu_s : 0, v->cpu_s);
		break;
	case NURSERY_OUTPUT:
		cause = "output_limit";
		snprintf(what, sizeof(what), "it printed more than %g KiB, the limit on output",
		         j ? j->output_kib : 0);
		remedy = "print less";
		limit = limit_object("output", j ? j->output_kib : 0, (double)v->log_bytes / 1024);
		break;
	case NURSERY_SIGNALLED:
		if (v->status == SIGXCPU) {
			cause = "cpu_limit";
			snprintf(what, sizeof(what), "%g s of CPU time are used up, the limit",
			         j ? j->cpu_s : 0);
			limit = limit_object("cpu", j ? j->cpu_s : 0, v->cpu_s);
			remedy = "make the program do less or raise --cpu";
		} else if (memory_gone) {
			cause = "memory_limit";
			snprintf(
				what, sizeof(what),
				"the CAD kernel ended (SIG%s) when the memory was used up, limit %g MiB",
				signal_words(v->status), p.room / MIB);
			limit = limit_object("memory", p.room / MIB, p.space / MIB);
			remedy = "use fewer or simpler parts, or raise --memory";
		} else if (v->status == SIGKILL) {
			/* the jail lets no program send it, and it was not we */
			cause = "builder_lost";
			snprintf(what, sizeof(what), "the child was killed from outside");
			remedy = "run it again";
		} else if (v->status == SIGSYS) {
			cause = "refused";
			snprintf(
				what, sizeof(what),
				"a system call was refused and the program had switched off its handler");
			remedy = "remove what asks the system for files, network or processes";
		} else {
			snprintf(what, sizeof(what),
			         "the CAD kernel or the interpreter crashed (SIG%s)",
			         signal_words(v->status));
			remedy = "build the shape of this line another way";
		}
		break;
	case NURSERY_EXITED:
		/* a watched one has no blob to give */
		if (v->over && !(j && j->watched)) {
			cause = "shape_limit";
			snprintf(what, sizeof(what),
			         "the shape takes %u MiB as BREP, at most %g are taken",
			         v->over >> 20, j ? j->brep_mib : 0);
			limit = limit_object("brep", j ? j->brep_mib : 0, v->over / MIB);
			remedy = "use fewer faces";
			break;
		}
		if (v->error[0])
			snprintf(what, sizeof(what), "%s", v->error);
		else
			snprintf(what, sizeof(what),
			         "the program ended its process (exit status %d) without a part",
			         v->status);
		remedy = "let the program run to its end";
		break;
	case NURSERY_CANCELLED:
		if (j && j->too_long) {
			cause = "bad_input";
			snprintf(what, sizeof(what), "the program is longer than %u MiB",
			         PROGRAM_MAX >> 20);
			remedy = "write a shorter one";
			break;
		}
		cause = "builder_lost";
		snprintf(what, sizeof(what), "cancelled");
		cJSON_AddStringToObject(o, "end", "cancelled");
		break;
	case NURSERY_REPLIED:
	case NURSERY_LOST:
		cause = "builder_lost";
		snprintf(what, sizeof(what), "the builder could not run the program: %.200s",
		         v->error);
		break;
	}
	snprintf(sentence, sizeof(sentence), "%s%s%s%s", where, what, *remedy ? "; " : "", remedy);
	cJSON_AddBoolToObject(o, "ok", false);
	cJSON_AddStringToObject(o, "cause", cause);
	cJSON_AddNullToObject(o, "exception");
	cJSON_AddStringToObject(o, "error", sentence);
	json_add_figure(o, "line", line ? line : NAN);
	cJSON_AddNullToObject(o, "column");
	cJSON_AddNullToObject(o, "source");
	add_source_line(o, j ? &j->program : &nothing, p.line);
	cJSON_AddItemToObject(o, "limit", limit ? limit : cJSON_CreateNull());
	if (j && j->watched)
		p.done = p.all = j->statements;
	cJSON_AddNumberToObject(o, "statements_done", p.done < p.all ? p.done : p.all);
	cJSON_AddNumberToObject(o, "statements_all", p.all);
	cJSON_AddItemToObject(o, "refused", cJSON_CreateObject());
	cJSON_AddNullToObject(o, "traceback");
	cJSON_AddNullToObject(o, "facts");
	return o;
}

/* A copy of what a child said, with each key once and nothing that is long beyond reason: what
 * stands in a reply is the program's word. NULL: nothing of it can be used. */
static cJSON *plain_copy(const cJSON *v, int depth)
{
	int n = 0;

	if (cJSON_IsBool(v))
		return cJSON_CreateBool(cJSON_IsTrue(v));
	if (cJSON_IsNumber(v))
		return isfinite(v->valuedouble) ? cJSON_CreateNumber(v->valuedouble)
		                                : cJSON_CreateNull();
	if (cJSON_IsString(v))
		return cJSON_CreateString(v->valuestring);
	if (cJSON_IsNull(v) || depth == 0)
		return cJSON_CreateNull();
	bool object = cJSON_IsObject(v);
	cJSON *copy = object ? cJSON_CreateObject() : cJSON_CreateArray();
	for (const cJSON *c = v->child; c && n < (object ? 200 : 5000); c = c->next) {
		if (object && cJSON_GetObjectItemCaseSensitive(copy, c->string))
			continue;
		cJSON *item = plain_copy(c, depth - 1);
		if (object)
			cJSON_AddItemToObject(copy, c->string, item);
		else
			cJSON_AddItemToArray(copy, item);
		n++;
	}
	return copy;
}

/* What a program can come to by itself. That the builder was lost is not its to say. */
static bool is_own_cause(const char *cause)
{
	static const char *const own[] = {
		"ok",           "wall_limit",    "cpu_limit",       "memory_limit",
		"output_limit", "process_limit", "refused",         "shape_limit",
		"syntax",       "name",          "attribute",       "type",
		"value",        "kernel_error",  "other_exception", "no_final_object",
		"not_a_shape",  "empty_shape",   "bad_input",       "crash",
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (strcmp(cause, own[i]) == 0)
			return true;
	return false;
}

enum kind { FLAG, NUMBER, TEXT, OBJECT };

static bool is_kind(const cJSON *v, enum kind kind)
{
	return kind == FLAG     ? cJSON_IsBool(v)
	       : kind == NUMBER ? cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 1e9
	       : kind == TEXT   ? cJSON_IsString(v)
	                        : cJSON_IsObject(v);
}

/* The report that a child made, built anew from the keys that a report has (engine/wire.h); NULL
 * with @e when it is none. Figures that the parent knows better are not among them. */
static cJSON *report_taken(const struct nursery_verdict *v, struct err *e)
{
	static const struct {
		const char *key;
		enum kind kind;
	} keys[] = {
		{ "exception", TEXT },
		{ "error", TEXT },
		{ "line", NUMBER },
		{ "column", NUMBER },
		{ "source", TEXT },
		{ "limit", OBJECT },
		{ "statements_done", NUMBER },
		{ "statements_all", NUMBER },
		{ "refused", OBJECT },
		{ "traceback", TEXT },
		{ "facts", OBJECT },
		{ "no_triangles", FLAG },
		{ "cut_line", NUMBER },
		{ "name", TEXT },
		{ "name_line", NUMBER },
	};
	cJSON *said = json_parse_bounded(v->reply.json, v->reply.json_len, REPORT_VALUES, e);
	cJSON *o = NULL;

	if (!said)
		return NULL;
	const cJSON *flag = cJSON_GetObjectItemCaseSensitive(said, "ok");
	bool ok = cJSON_IsTrue(flag);
	const char *cause = json_string_or(said, "cause", ok ? "ok" : "other_exception");
	bool bare = v->type == WIRE_WATCH;
	if (v->type != WIRE_FACTS &&
	    (!cJSON_IsBool(flag) || (ok && !bare && v->reply.blob_len == 0) ||
	     !is_own_cause(cause) || (strcmp(cause, "ok") == 0) != ok)) {
		err_set(e, ERR_PROTOCOL, "it contradicts itself, or parts of it are missing");
		goto out;
	}
	o = cJSON_CreateObject();
	if (v->type != WIRE_FACTS) {
		cJSON_AddBoolToObject(o, "ok", ok);
		cJSON_AddStringToObject(o, "cause", cause);
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(said, keys[i].key);
		if (item)
			cJSON_AddItemToObject(o, keys[i].key,
			                      is_kind(item, keys[i].kind) ? plain_copy(item, 6)
			                                                  : cJSON_CreateNull());
	}
out:
	cJSON_Delete(said);
	return o;
}

static void put_number(cJSON *o, const char *key, double v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	json_add_figure(o, key, v);
}

static void job_done(void *ctx, const struct nursery_verdict *verdict)
{
	struct builder *b = ctx;
	struct nursery_verdict v = *verdict;
	const struct known_job *j = *job_slot(b, v.job);
	struct err e = { 0 };
	cJSON *o = NULL;

	if (v.end == NURSERY_REPLIED) {
		o = report_taken(&v, &e);
		if (!o) {
			v.end = NURSERY_EXITED;
			snprintf(v.error, sizeof(v.error),
			         "the program spoiled the report on itself: %.150s", e.text);
		}
	}
	bool told = o != NULL;
	if (!told)
		o = report_from_outside(&v, j);
	if (!told && v.type == WIRE_FACTS)
		cJSON_AddNullToObject(o, "facts");
	put_number(o, "seconds", v.wall_s);
	put_number(o, "cpu_s", v.cpu_s);
	put_number(o, "peak_mib", (double)v.peak_kib / 1024);
	put_number(o, "log_bytes", (double)v.log_bytes);
	put_number(o, "log_dropped", (double)v.log_dropped);
	bool ok = told &&
	          (v.type == WIRE_FACTS || cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "ok")));
	result_send(b, v.job, o, ok ? v.reply.blob : NULL, ok ? v.reply.blob_len : 0);
	cJSON_Delete(o);
	job_forget(b, v.job);
}

/* What a watched child says of itself, built anew from the keys that a notice has. */
static void job_notice(void *ctx, uint32_t job, const struct frame *notice)
{
	static const char *const numbers[] = { "statements", "line", "name_line", "shape_line" };
	static const char *const texts[] = { "name", "shape_name" };
	struct builder *b = ctx;
	struct known_job *j = *job_slot(b, job);
	struct err e = { 0 };
	cJSON *said = json_parse_bounded(notice->json, notice->json_len, NOTICE_VALUES, &e);

	/* nonsense is no news: the child has used its turn, and is heard again */
	if (!j || !cJSON_IsObject(said)) {
		cJSON_Delete(said);
		return;
	}
	cJSON *o = cJSON_CreateObject();
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(said, numbers[i]);
		if (is_kind(v, NUMBER))
			cJSON_AddNumberToObject(o, numbers[i], floor(v->valuedouble));
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(said, texts[i]);
		if (is_kind(v, TEXT) && strlen(v->valuestring) <= 1000)
			cJSON_AddStringToObject(o, texts[i], v->valuestring);
	}
	const cJSON *facts = cJSON_GetObjectItemCaseSensitive(said, "facts");
	if (is_kind(facts, OBJECT))
		cJSON_AddItemToObject(o, "facts", plain_copy(facts, 3));
	j->statements = (int)json_number_or(o, "statements", j->statements);
	struct buf text = { .secret = true };
	json_print(&text, o);
	frame_append(&b->out, WIRE_NOTICE, job, buf_str(&text), text.len, notice->blob,
	             notice->blob_len);
	buf_release(&text);
	cJSON_Delete(o);
	cJSON_Delete(said);
}

/* More of a watched program. */
static void job_more(struct builder *b, const struct frame *f)
{
	struct known_job *j = *job_slot(b, f->job);
	struct err e = { 0 };
	cJSON *o = json_parse(f->json, f->json_len, &e);

	/* one that has ended meanwhile is not there */
	if (j && j->watched && b->nursery && j->program.len + f->blob_len > PROGRAM_MAX) {
		j->too_long = true;
		nursery_cancel(b->nursery, f->job);
	} else if (j && j->watched && b->nursery) {
		buf_add(&j->program, f->blob, f->blob_len);
		nursery_feed(b->nursery, f, json_bool_or(o, "shape", false),
		             json_bool_or(o, "end", false));
	}
	cJSON_Delete(o);
}

static void job_log(void *ctx, uint32_t job, const char *stream, const void *bytes, size_t len)
{
	struct builder *b = ctx;
	char json[40];
	int k = snprintf(json, sizeof(json), "{\"stream\":\"%s\"}", stream);

	frame_append(&b->out, WIRE_LOG, job, json, (size_t)k, bytes, len);
}

static void job_refuse(struct builder *b, uint32_t job, const char *cause, const char *why)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddBoolToObject(o, "ok", false);
	cJSON_AddStringToObject(o, "cause", cause);
	cJSON_AddStringToObject(o, "error", why);
	result_send(b, job, o, NULL, 0);
	cJSON_Delete(o);
}

static void job_unforked(struct builder *b, const struct frame *f)
{
	struct buf json = { 0 }, blob = { 0 };
	struct err e = { 0 };
	double t0 = clock_now_s();

	python_run(kind_of(f->type), f->json, f->json_len, f->blob, f->blob_len, &json, &blob);
	cJSON *o = json_parse(buf_str(&json), json.len, &e);
	if (o) {
		put_number(o, "seconds", clock_now_s() - t0);
		result_send(b, f->job, o, blob.data, blob.len);
	} else {
		job_refuse(b, f->job, "builder_lost", e.text);
	}
	cJSON_Delete(o);
	buf_release(&json);
	buf_release(&blob);
}

static void job_begin(struct builder *b, const struct frame *f)
{
	struct request r;
	struct err e = { 0 };

	if (request_read(&r, f, &e) < 0) {
		job_refuse(b, f->job, "builder_lost", e.text);
		return;
	}
	if (b->unforked && f->type == WIRE_WATCH) {
		job_refuse(b, f->job, "builder_lost", "nothing is watched without a jail");
		return;
	}
	if (b->unforked) {
		job_unforked(b, f);
		return;
	}
	struct nursery_limits limits = {
		.wall_s = r.wall_s,
		.cpu_s = r.cpu_s,
		.memory_bytes = (uint64_t)(r.memory_mib * MIB),
		.file_bytes = file_bytes(f->type, &r),
		.reply_json_max = f->type == WIRE_WATCH ? NOTICE_MAX : REPORT_MAX,
		.reply_blob_max = f->type == WIRE_BUILD || f->type == WIRE_WATCH
		                          ? (uint32_t)(r.brep_mib * MIB)
		                          : 0,
		.stream = f->type == WIRE_WATCH,
		.under_way = r.under_way,
		.log_kept_bytes = LOG_KEPT,
		/* the end of a measurement under way, before the begin of others */
		.first = f->type == WIRE_CONVERT,
		.log_max_bytes = (uint64_t)(r.output_kib * 1024),
	};
	struct known_job *j = calloc(1, sizeof(*j));
	if (!j) {
		job_refuse(b, f->job, "builder_lost", "the builder is out of memory");
		return;
	}
	j->program.secret = true;
	j->id = f->job;
	j->line_offset = r.line_offset;
	j->wall_s = r.wall_s;
	j->cpu_s = r.cpu_s;
	j->memory_mib = r.memory_mib;
	j->output_kib = r.output_kib;
	j->brep_mib = r.brep_mib;
	j->watched = f->type == WIRE_WATCH;
	if (f->type == WIRE_BUILD || j->watched)
		buf_add(&j->program, f->blob, f->blob_len);
	j->next = b->jobs;
	b->jobs = j;
	if (nursery_submit(b->nursery, f, &limits, &e) < 0) {
		job_refuse(b, f->job, "builder_lost", e.text);
		job_forget(b, f->job);
	}
}

/* ---- the heir ---- */

static int nursery_begin(struct builder *b, struct err *e)
{
	const struct nursery_ops ops = { .ctx = b,
		                         .child_ready = child_ready,
		                         .child_idle = child_idle,
		                         .child_run = child_run,
		                         .log = job_log,
		                         .done = job_done,
		                         .notice = job_notice,
		                         .streams = WATCHED_MAX };
	struct sandbox_policy policy = { .read_only = python_read_only(&b->python), .max_fds = 32 };

	b->jail = sandbox_prepare(&policy, e);
	if (!b->jail)
		return -1;
	/* one more than run at once: a build is followed by the meshing of its shape */
	b->nursery =
		nursery_open(&ops, b->jail, b->jobs_max < 4 ? b->jobs_max + 1 : 4, b->jobs_max, e);
	return b->nursery ? 0 : -1;
}

/* In the fork: everything of the old process's that is not shared memory is let go; then it waits,
 * without children of its own, until somebody speaks to it. */
static int heir_begin(struct builder *b, int socket_fd, struct err *e)
{
	struct pollfd p = { .fd = ASKER_FD, .events = POLLIN };

	if (dup2(socket_fd, ASKER_FD) < 0 || syscall(SYS_close_range, ASKER_FD + 1, ~0u, 0) < 0)
		return err_errno(e, ERR_IO, "the heir's socket");
	fcntl(ASKER_FD, F_SETFL, fcntl(ASKER_FD, F_GETFL) | O_NONBLOCK);
	/* the nursery and the jail of the old process are left as they are: their descriptors are
	 * closed, their children are not ours, and freeing would only unshare pages */
	b->nursery = NULL;
	b->jail = NULL;
	jobs_forget_all(b);
	frame_reader_release(&b->in);
	buf_release(&b->out);
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	return nursery_begin(b, e);
}

static int send_heir(struct builder *b, pid_t pid, int fd, struct err *e)
{
	char json[40];
	struct buf frame = { 0 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	int k = snprintf(json, sizeof(json), "{\"pid\":%d}", (int)pid), rc = -1;

	frame_append(&frame, WIRE_HEIR, 0, json, (size_t)k, NULL, 0);
	struct iovec iov = { .iov_base = frame.data, .iov_len = frame.len };
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = control.room,
		            .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	/* not between the halves of another frame */
	for (;;) {
		int left = frame_flush(&b->out, ASKER_FD, e);
		if (left < 0)
			goto out;
		if (left == 0) {
			ssize_t n = sendmsg(ASKER_FD, &m, MSG_NOSIGNAL);
			if (n == (ssize_t)frame.len) {
				rc = 0;
				goto out;
			}
			if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
				err_errno(e, ERR_LOST, "sending the heir");
				goto out;
			}
		}
		struct pollfd p = { .fd = ASKER_FD, .events = POLLOUT };
		poll(&p, 1, 1000);
	}
out:
	buf_release(&frame);
	return rc;
}

/* Nobody asks for an heir while the one before lives: it is dead, or dying, or of no use. */
static void heir_collect(struct builder *b)
{
	if (b->heir <= 0)
		return;
	kill(b->heir, SIGKILL);
	while (waitpid(b->heir, NULL, 0) < 0 && errno == EINTR)
		;
	b->heir = 0;
}

/* 0: this is still the old process; 1: this is the heir, at work. */
static int heir_make(struct builder *b, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, ERR_IO, "a socket pair for the heir");
	pid_t pid = fork();
	if (pid == 0) {
		b->heir = 0;
		if (heir_begin(b, pair[1], e) < 0) {
			fprintf(stderr, "cadforge-builder: %s\n", e->text);
			_exit(1);
		}
		return 1;
	}
	heir_collect(b);
	if (pid > 0)
		b->heir = pid;
	int rc = pid < 0 ? err_errno(e, ERR_LOST, "fork of the heir")
	                 : send_heir(b, pid, pair[0], e);
	close(pair[0]);
	close(pair[1]);
	return rc;
}

/* ---- the loop ---- */

static int take_frames(void *ctx, struct err *e)
{
	struct builder *b = ctx;
	struct frame f;
	int got;

	while ((got = frame_next(&b->in, &f, e)) == 1) {
		switch (f.type) {
		case WIRE_BUILD:
		case WIRE_FACTS:
		case WIRE_CONVERT:
		case WIRE_WATCH:
			job_begin(b, &f);
			break;
		case WIRE_MORE:
			job_more(b, &f);
			break;
		case WIRE_CANCEL:
			if (b->nursery)
				nursery_cancel(b->nursery, f.job);
			break;
		case WIRE_HEIR:
			if (b->unforked)
				break;
			if (heir_make(b, e) < 0)
				return -1;
			break;
		default:
			return err_set(e, ERR_PROTOCOL, "message of unknown type %u", f.type);
		}
	}
	return got;
}

/* ---- start ---- */

static int flush_all(struct builder *b)
{
	struct err e = { 0 };
	int left;

	while ((left = frame_flush(&b->out, ASKER_FD, &e)) == 1) {
		struct pollfd p = { .fd = ASKER_FD, .events = POLLOUT };
		poll(&p, 1, 1000);
	}
	return left;
}

/* @failed with @remedy: why this program cannot work here, and what helps; NULL: it can. */
static void say_ready(struct builder *b, const struct buf *versions, double seconds,
                      const struct err *failed, const char *remedy)
{
	cJSON *o = cJSON_CreateObject();
	struct err ignored = { 0 };
	struct buf text = { 0 };

	cJSON_AddStringToObject(o, "program", "cadforge-builder");
	cJSON_AddNumberToObject(o, "pid", getpid());
	if (failed) {
		cJSON_AddStringToObject(o, "error", failed->text);
		cJSON_AddStringToObject(o, "remedy", remedy);
	} else {
		cJSON *v = json_parse(buf_str(versions), versions->len, &ignored);
		cJSON_AddItemToObject(o, "versions", v ? v : cJSON_CreateObject());
		cJSON_AddNumberToObject(o, "seconds", seconds);
		cJSON_AddBoolToObject(o, "heir", !b->unforked);
	}
	cJSON_AddItemToObject(o, "jail", serve_layers_json(&b->layers));
	json_print(&text, o);
	/* main() saw to the room for this one */
	static const char starved[] =
		"{\"program\":\"cadforge-builder\",\"error\":\"out of memory while Python "
		"started: the limit on memory is too low\",\"remedy\":\"raise it (ulimit -v)\"}";
	if (failed && (buf_failed(&text) || !text.len))
		frame_append(&b->out, WIRE_READY, 0, starved, sizeof(starved) - 1, NULL, 0);
	else
		frame_append(&b->out, WIRE_READY, 0, buf_str(&text), text.len, NULL, 0);
	flush_all(b);
	buf_release(&text);
	cJSON_Delete(o);
}

/* cJSON's memory, wiped before it is given back: reports pass through it, and the children that are
 * forked later can read the whole heap. */
static void wiping_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void wipe_json(void)
{
	cJSON_Hooks hooks = { .malloc_fn = malloc, .free_fn = wiping_free };

	cJSON_InitHooks(&hooks);
}

/* Children can read their whole image. What the environment held is wiped where it stands, since
 * taking a name out of a list leaves the bytes. */
static void forget_environment(void)
{
	for (char **v = environ; v && *v; v++)
		memset(*v, 0, strlen(*v));
	clearenv();
	/* one thread: OpenBLAS would start its own, and they do not survive a fork */
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
}

static int options(struct builder *b, int argc, char **argv, struct err *e)
{
	b->python.font = FONT_DEFAULT;
	b->jobs_max = 2;
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(argv[i], "--unforked") == 0) {
			b->unforked = true;
			continue;
		}
		if (!value)
			return err_set(e, ERR_USAGE, "%s: unknown, or its value is missing",
			               argv[i]);
		if (strcmp(argv[i], "--python-env") == 0)
			b->python.env_dir = value;
		else if (strcmp(argv[i], "--gl-stubs") == 0)
			b->python.gl_stubs = value;
		else if (strcmp(argv[i], "--font") == 0)
			b->python.font = value;
		else if (strcmp(argv[i], "--jobs") == 0)
			b->jobs_max = (int)fmin(fmax(strtod(value, NULL), 1), 64);
		else
			return err_set(e, ERR_USAGE, "unknown option %s", argv[i]);
		i++;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct builder b = { .in.in.secret = true, .out.secret = true };
	struct buf versions = { 0 };
	struct err e = { 0 };
	double t0 = clock_now_s();

	forget_environment();
	wipe_json();
	if (options(&b, argc, argv, &e) < 0) {
		fprintf(stderr, "cadforge-builder: %s\n", e.text);
		return 2;
	}
	int rc = serve_begin("cadforge-builder");
	if (rc)
		return rc;
	/* no descriptor of ours may be where the children keep theirs open by chance */
	sandbox_probe(&b.layers);
	/* READY can be said even when there is no memory left */
	buf_room(&b.out, 4096);
	const char *remedy = "./quickstart build makes a Python environment with CadQuery; "
			     "--python-env DIR or CADFORGE_PYTHON_ENV names another one";
	struct rlimit space;
	if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur < 1u << 30)
		remedy =
			"raise the limit on memory (ulimit -v): CadQuery needs about 1 GiB to start";
	rc = python_start(&b.python, &versions, &e);
	if (rc == 0 && !b.unforked) {
		remedy = "cadforge doctor says what this machine has and lacks";
		rc = nursery_begin(&b, &e);
	}
	if (rc < 0) {
		say_ready(&b, &versions, 0, &e, remedy);
		buf_release(&versions);
		return 3;
	}
	if (b.unforked)
		python_settle();
	say_ready(&b, &versions, clock_now_s() - t0, NULL, NULL);
	buf_release(&versions);
	const struct serve loop = { .in = &b.in,
		                    .out = &b.out,
		                    .nursery = &b.nursery,
		                    .ctx = &b,
		                    .take_frames = take_frames };
	rc = serve_loop(&loop, &e);
	if (rc < 0 && e.kind != ERR_LOST)
		fprintf(stderr, "cadforge-builder: %s\n", e.text);
	nursery_close(b.nursery);
	/* no Py_Finalize, no frees: the process ends here and its pages with it */
	_exit(rc < 0 ? 1 : 0);
}
