#include "src/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"

enum {
	CHILDREN_MAX = 16, /* for one answer: each block of a text may begin another program */
	SHAPE_MIB = 32,
	FACES_MAX = 20000,
	TRIANGLES_MAX = 400000,
};
#define SHAPE_EVERY_S 0.25
#define SHAPE_WALL_S  5.0
/* looking for the program in a long answer may take one part in so many of the time */
#define LOOK_COSTS 20
/* between two looks at the engine while nothing is handed on: a token may come every millisecond */
#define STEP_EVERY_S 0.004

struct watch {
	struct pipeline *pipeline;
	struct watch_options o;
	struct watch_ops ops;
	enum extract_rule rule;
	bool begun;
	struct buf text;         /* the answer */
	struct buf sent;         /* its program, as far as the child has it */
	size_t looked;           /* bytes of the answer that were looked at */
	double look_at, step_at; /* not before */
	bool settled;            /* the text is a program, by all that can be told */
	uint32_t job;            /* 0: nothing runs */
	int children;
	/* the picture */
	uint32_t shape_job;
	bool asked;
	double shape_at, shape_begun;
	char shape_name[64];
	int shape_line;
};

static struct engine *engine_of(const struct watch *w)
{
	return pipeline_engine(w->pipeline);
}

/* ---- what the engine says ---- */

/* Bytes of the answer up to the end of the program's line @line. */
static size_t answer_at(const struct watch *w, int line)
{
	struct extract x;
	size_t at = 0, cut = w->text.len;

	if (line <= 0 || extract_program(&x, w->rule, buf_str(&w->text), w->text.len, NULL) < 0)
		return cut;
	const char *p = buf_str(&x.program);
	for (int k = 0; k < line && at < x.program.len; k++) {
		const char *nl = memchr(p + at, '\n', x.program.len - at);
		at = nl ? (size_t)(nl - p) + 1 : x.program.len;
	}
	int piece = 0;
	while (piece + 1 < x.n_pieces && x.pieces[piece + 1].at < at)
		piece++;
	cut = x.pieces[piece].source + (at - x.pieces[piece].at);
	extract_release(&x);
	return cut < w->text.len ? cut : w->text.len;
}

/* An error of the program's own making, which the same text makes again. */
static bool is_lasting(const struct build *b)
{
	switch (b->cause) {
	case CAUSE_SYNTAX:
	case CAUSE_NAME:
	case CAUSE_ATTRIBUTE:
	case CAUSE_TYPE:
	case CAUSE_VALUE:
	case CAUSE_KERNEL_ERROR:
	case CAUSE_REFUSED:
	case CAUSE_PROCESS_LIMIT:
	case CAUSE_BAD_INPUT:
		return b->line > 0;
	case CAUSE_OTHER_EXCEPTION:
		/* how deep one may call depends on who calls first */
		return b->line > 0 && b->exception && strcmp(b->exception, "RecursionError") != 0;
	default:
		return false;
	}
}

static void on_over(struct watch *w, const struct watch_sight *sight)
{
	const struct build *b = sight->over;
	struct watch_news n = { .statements = sight->statements, .why = b->ok ? NULL : b };

	w->job = 0;
	if (b->cause == CAUSE_BUILDER_LOST) {
		/* once more from the beginning, with all that is there */
		buf_clear(&w->sent);
		w->looked = 0;
		return;
	}
	if (b->ok)
		return;
	n.line = b->line;
	n.name = sight->name;
	n.name_line = sight->name_line;
	n.cut = answer_at(w, sight->cut_line);
	n.certain = w->settled && is_lasting(b);
	w->ops.news(w->ops.ctx, &n);
}

static void on_shape(struct watch *w, const struct watch_sight *sight)
{
	struct shape_request r = {
		.bytes = sight->brep,
		.len = sight->brep_len,
		.format = SHAPE_BREP,
		.export_stl = true,
		.limits = w->o.limits,
	};
	struct err e;

	w->asked = false;
	if (w->shape_job)
		return;
	r.limits.faces_max = FACES_MAX;
	r.limits.triangles_max = TRIANGLES_MAX;
	r.limits.score_cpu_s = SHAPE_WALL_S;
	snprintf(w->shape_name, sizeof(w->shape_name), "%s", sight->shape_name);
	w->shape_line = sight->shape_line;
	w->shape_begun = clock_now_s();
	if (engine_measure(engine_of(w), &r, &w->shape_job, &e) < 0)
		w->shape_job = 0;
}

static void on_watched(void *ctx, uint32_t job, const struct watch_sight *sight)
{
	struct watch *w = ctx;

	if (job != w->job)
		return;
	if (sight->over) {
		on_over(w, sight);
		return;
	}
	if (sight->brep)
		on_shape(w, sight);
	if (sight->facts && w->ops.facts)
		w->ops.facts(w->ops.ctx, sight->facts);
	const struct watch_news n = { .statements = sight->statements,
		                      .line = sight->line,
		                      .name = sight->name,
		                      .name_line = sight->name_line };
	w->ops.news(w->ops.ctx, &n);
}

static void on_measured(void *ctx, uint32_t job, struct shape_report *r)
{
	struct watch *w = ctx;
	double now = clock_now_s();

	if (job != w->shape_job)
		return;
	w->shape_job = 0;
	/* one that takes long is not asked for as often */
	w->shape_at = now + SHAPE_EVERY_S + (now - w->shape_begun);
	if (r->ok && r->stl.len > 0 && w->begun)
		w->ops.shape(w->ops.ctx, r->stl.data, r->stl.len, w->shape_name, w->shape_line);
}

/* ---- what is written ---- */

static bool is_blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\n\r\f\v", p[i]) || !p[i])
			return false;
	return true;
}

/* Bytes of the answer to look at: not a last line that may become a fence or a mark. */
static size_t readable(const struct buf *text)
{
	const char *p = buf_str(text), *nl = memrchr(p, '\n', text->len);
	size_t line = nl ? (size_t)(nl - p) + 1 : 0, at = line;

	while (at < text->len && (p[at] == ' ' || p[at] == '\t'))
		at++;
	return at < text->len && !strchr("`~<", p[at]) ? text->len : line;
}

/* The program as far as it is written, with the white space at its end, which says where a line
 * ends. */
static int program_so_far(struct watch *w, struct buf *out)
{
	const char *text = buf_str(&w->text);
	size_t n = readable(&w->text), end;
	struct extract x;

	if (extract_program(&x, w->rule, text, n, NULL) < 0)
		return -1;
	const char *p = buf_str(&x.program);
	buf_add(out, p, x.program.len);
	bool imports = memmem(p, x.program.len, "import cadquery", 15) ||
	               memmem(p, x.program.len, "from cadquery", 13);
	w->settled = w->rule == EXTRACT_FILE || imports;
	end = x.program.len > 0 ? x.pieces[x.n_pieces - 1].source +
	                                  (x.program.len - x.pieces[x.n_pieces - 1].at)
	                        : n;
	if (end < n && is_blank(text + end, n - end))
		buf_add(out, text + end, n - end);
	extract_release(&x);
	return buf_failed(out) ? -1 : 0;
}

static void child_begin(struct watch *w, const struct buf *program)
{
	struct build_request r = {
		.program = buf_str(program),
		.len = program->len,
		.dialect = w->o.dialect,
		.no_filter = w->o.no_filter,
		.facts = w->ops.facts != NULL,
		.limits = w->o.limits,
	};
	struct err e;

	if (w->job)
		engine_cancel(engine_of(w), w->job);
	w->job = 0;
	w->asked = false;
	if (program->len == 0 || w->children++ >= CHILDREN_MAX)
		return;
	if (r.limits.brep_mib > SHAPE_MIB)
		r.limits.brep_mib = SHAPE_MIB;
	if (engine_watch_begin(engine_of(w), &r, &w->job, &e) < 0) {
		w->job = 0;
		w->children = CHILDREN_MAX;
	}
}

/* Hands on what has come to the program since the last time. */
static void look(struct watch *w)
{
	struct buf now = { 0 };
	const struct buf *was = &w->sent;

	w->looked = w->text.len;
	if (program_so_far(w, &now) < 0) {
		buf_release(&now);
		return;
	}
	size_t common = now.len < was->len ? now.len : was->len;
	bool same = common == 0 || memcmp(now.data, was->data, common) == 0;
	if (was->len > 0 && same && now.len >= was->len) {
		if (w->job && now.len > was->len)
			engine_watch_text(engine_of(w), w->job, now.data + common,
			                  now.len - common);
	} else if (was->len > 0 && same && is_blank(was->data + common, was->len - common)) {
		buf_release(&now); /* the end of a block: its last blank lines are no part of it */
		return;
	} else if (now.len > 0 || was->len > 0) {
		bool again = was->len > 0;
		child_begin(w, &now);
		if (again)
			w->ops.news(w->ops.ctx, &(struct watch_news){ 0 });
	}
	buf_release(&w->sent);
	w->sent = now;
}

/* ---- the door ---- */

struct watch *watch_open(struct pipeline *p, const struct watch_options *o,
                         const struct watch_ops *ops, struct err *e)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	w->pipeline = p;
	w->o = *o;
	w->ops = *ops;
	const struct engine_ops ears = { .ctx = w, .watched = on_watched, .measured = on_measured };
	pipeline_listen(p, &ears);
	return w;
}

void watch_close(struct watch *w)
{
	if (!w)
		return;
	watch_stop(w);
	pipeline_listen(w->pipeline, NULL);
	buf_release(&w->text);
	buf_release(&w->sent);
	free(w);
}

void watch_begin(struct watch *w, enum extract_rule rule)
{
	watch_stop(w);
	w->begun = true;
	w->rule = rule;
	w->looked = 0;
	w->look_at = w->shape_at = 0;
	w->children = 0;
	w->settled = false;
}

void watch_text(struct watch *w, const char *text, size_t len)
{
	if (w->begun)
		buf_add(&w->text, text, len);
}

void watch_step(struct watch *w)
{
	double now = clock_now_s();
	struct err e;
	bool moved = false;

	if (!w->begun || buf_failed(&w->text))
		return;
	/* inside a line nothing is closed: when it ends, and when the next begins */
	const char *new = buf_str(&w->text) + w->looked;
	size_t n = w->text.len - w->looked;
	bool worth = n > 0 && (w->looked == 0 || new[-1] == '\n' || memchr(new, '\n', n));
	if (worth && now >= w->look_at) {
		look(w);
		w->look_at = now + LOOK_COSTS * (clock_now_s() - now);
		moved = true;
	}
	if (w->o.shapes && w->job && !w->asked && !w->shape_job && now >= w->shape_at) {
		engine_watch_shape(engine_of(w), w->job);
		w->asked = moved = true;
	}
	if (!moved && now < w->step_at)
		return;
	w->step_at = now + STEP_EVERY_S;
	/* what is wrong with the engine is told when something is built */
	if (engine_wait(engine_of(w), 0, &e) < 0)
		watch_stop(w);
}

void watch_stop(struct watch *w)
{
	if (w->job)
		engine_cancel(engine_of(w), w->job);
	if (w->shape_job)
		engine_cancel(engine_of(w), w->shape_job);
	w->job = w->shape_job = 0;
	w->asked = w->begun = false;
	buf_clear(&w->text);
	buf_clear(&w->sent);
}
