/*
 * pool.c - the asker's side of the engine: three helper programs, the jobs given to them, and what
 * to do when one dies.
 *
 * A job is kept as the frame that was sent until its RESULT has come. When a program dies, it is
 * started again and its jobs are sent once more; a job that loses two programs in a row is answered
 * builder_lost. While the builder runs it also keeps an heir: a warm copy of itself, forked, that
 * waits on a socket of its own (WIRE_HEIR), so that a builder that is killed is replaced in the
 * time of a fork instead of the second that importing CadQuery takes.
 */
#include "engine/pool_inside.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "src/base/clock.h"

#define PREPARE_S 60.0

/* by enum shape_format */
static const char *const shape_format_name[] = { "brep", "stl", "glb" };

/* ---- the door ---- */

struct engine *engine_open(const struct engine_options *o, const struct engine_ops *ops,
                           struct err *e)
{
	struct engine *en = calloc(1, sizeof(*en));
	int jobs = o->jobs < 1 ? 1 : o->jobs > 64 ? 64 : o->jobs;

	if (!en) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	en->ops = *ops;
	snprintf(en->libexec, sizeof(en->libexec), "%s", o->libexec_dir);
	if (o->python_env)
		snprintf(en->python_env, sizeof(en->python_env), "%s", o->python_env);
	en->has_python_env = o->python_env != NULL;
	snprintf(en->jobs_text, sizeof(en->jobs_text), "%d", jobs);
	en->quiet = o->quiet;
	en->unjailed = o->unjailed;
	pool_program_init(&en->builder, "cadforge-builder");
	pool_program_init(&en->scorer, "cadforge-scorer");
	pool_program_init(&en->mesher, "cadforge-mesher");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return en;
}

static void program_close(struct program *p)
{
	pool_forget_heir(p);
	helper_stop(&p->helper, 1.0);
	pool_program_reset(p);
	cJSON_Delete(p->info);
	while (p->first) {
		struct job *j = pool_job_unlink(p, &p->first);
		if (j->whole && --j->whole->waiting == 0) {
			shape_report_release(&j->whole->report);
			free(j->whole);
		}
		pool_job_free(j);
	}
}

void engine_close(struct engine *en)
{
	if (!en)
		return;
	for (int i = 0; i < PROGRAMS; i++)
		program_close(pool_program_at(en, i));
	pool_collect_orphans(en);
	for (int i = 0; i < en->n_ref; i++)
		buf_release(&en->ref[i].bytes);
	free(en->ref);
	free(en);
}

/* The bench's unjailed kernel does all in the one warm process. */
static struct program *meshing_program(struct engine *en)
{
	struct err why = { 0 };

	if (!en->unjailed && !en->no_mesher && pool_program_start(en, &en->mesher, &why) < 0)
		en->no_mesher = true;
	return en->unjailed || en->no_mesher ? &en->builder : &en->mesher;
}

int engine_warm_builder(struct engine *en, struct err *e)
{
	return pool_program_start(en, &en->builder, e);
}

int engine_warm_scorer(struct engine *en, struct err *e)
{
	meshing_program(en);
	return pool_program_start(en, &en->scorer, e);
}

/* Programs and shapes that are worked on; of a measurement's parts one counts. More than some
 * dozens need not be told apart. */
static int under_way(struct engine *en)
{
	int n = 0;

	for (int i = 0; i < PROGRAMS; i++)
		for (const struct job *j = pool_program_at(en, i)->first; j && n < 64; j = j->next)
			n += j->type != WIRE_WATCH &&
			     (!j->whole || j->part == PART_MESH || j->part == PART_FIGURES);
	return n;
}

static int submit(struct engine *en, struct program *p, uint32_t type, cJSON *json,
                  const void *blob, size_t len, double limit_s, enum dialect dialect, uint32_t *id,
                  struct err *e)
{
	struct job *j = calloc(1, sizeof(*j));
	struct buf text = { 0 };

	if (!j || len > FRAME_BLOB_MAX) {
		free(j);
		cJSON_Delete(json);
		return err_set(e, len > FRAME_BLOB_MAX ? ERR_INPUT : ERR_MEM,
		               "%zu bytes are too many for a job", len);
	}
	cJSON_AddNumberToObject(json, "under_way", under_way(en) + 1);
	json_print(&text, json);
	cJSON_Delete(json);
	j->id = ++en->next_job ? en->next_job : ++en->next_job;
	j->type = type;
	j->limit_s = limit_s;
	j->dialect = dialect;
	frame_append(&j->frame, type, j->id, buf_str(&text), text.len, blob, len);
	if (buf_failed(&text) || buf_failed(&j->frame)) {
		buf_release(&text);
		pool_job_free(j);
		return err_set(e, ERR_MEM, "out of memory for a job of %zu bytes", len);
	}
	buf_release(&text);
	*p->last = j;
	p->last = &j->next;
	if (id)
		*id = j->id;
	if (pool_program_start(en, p, e) < 0) {
		pool_job_free(pool_job_unlink(p, pool_job_find(p, j->id)));
		return -1;
	}
	pool_program_send_waiting(en, p);
	return 0;
}

static void add_limits(cJSON *o, const struct limits *l)
{
	cJSON_AddNumberToObject(o, "wall_s", l->wall_s);
	cJSON_AddNumberToObject(o, "cpu_s", l->cpu_s);
	cJSON_AddNumberToObject(o, "memory_mib", l->memory_mib);
	cJSON_AddNumberToObject(o, "output_kib", l->output_kib);
	cJSON_AddNumberToObject(o, "brep_mib", l->brep_mib);
}

static int submit_program(struct engine *en, uint32_t type, const struct build_request *r,
                          uint32_t *job, struct err *e)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "dialect", r->dialect == DIALECT_SEED ? "seed" : "open");
	cJSON_AddBoolToObject(o, "filter", !r->no_filter);
	cJSON_AddBoolToObject(o, "facts", r->facts);
	cJSON_AddNumberToObject(o, "line_offset", r->line_offset);
	add_limits(o, &r->limits);
	return submit(en, &en->builder, type, o, r->program, r->len, r->limits.wall_s, r->dialect,
	              job, e);
}

int engine_build(struct engine *en, const struct build_request *r, uint32_t *job, struct err *e)
{
	return submit_program(en, WIRE_BUILD, r, job, e);
}

int engine_watch_begin(struct engine *en, const struct build_request *r, uint32_t *job,
                       struct err *e)
{
	return submit_program(en, WIRE_WATCH, r, job, e);
}

static void feed(struct engine *en, uint32_t id, const char *json, const char *text, size_t len)
{
	struct program *p = &en->builder;
	struct job **at = pool_job_find(p, id);

	if (!at || (*at)->type != WIRE_WATCH || (*at)->cancelled)
		return;
	frame_append((*at)->sent ? &p->out : &(*at)->more, WIRE_MORE, id, json, strlen(json), text,
	             len);
}

void engine_watch_text(struct engine *en, uint32_t job, const char *text, size_t len)
{
	feed(en, job, "{}", text, len);
}

void engine_watch_shape(struct engine *en, uint32_t job)
{
	feed(en, job, "{\"shape\":true}", NULL, 0);
}

void engine_watch_end(struct engine *en, uint32_t job)
{
	feed(en, job, "{\"end\":true}", NULL, 0);
}

int engine_facts(struct engine *en, const char *program, size_t len, uint32_t *job, struct err *e)
{
	struct limits l;
	cJSON *o = cJSON_CreateObject();

	limits_default(&l);
	add_limits(o, &l);
	return submit(en, &en->builder, WIRE_FACTS, o, program, len, l.wall_s, DIALECT_OPEN, job,
	              e);
}

int engine_names(struct engine *en, uint32_t *job, struct err *e)
{
	struct limits l;
	cJSON *o = cJSON_CreateObject();

	limits_default(&l);
	cJSON_AddBoolToObject(o, "names", true);
	add_limits(o, &l);
	return submit(en, &en->builder, WIRE_FACTS, o, "", 0, l.wall_s, DIALECT_OPEN, job, e);
}

int engine_convert(struct engine *en, bool to_step, const void *bytes, size_t len, uint32_t *job,
                   struct err *e)
{
	struct limits l;
	cJSON *o = cJSON_CreateObject();

	limits_default(&l);
	cJSON_AddStringToObject(o, "to", to_step ? "step" : "brep");
	add_limits(o, &l);
	return submit(en, &en->builder, WIRE_CONVERT, o, bytes, len, l.wall_s, DIALECT_OPEN, job,
	              e);
}

static cJSON *score_request(const struct shape_request *r, const char *format, bool geometry,
                            enum figures_mode mode)
{
	static const char *const figures[] = { "none", "fast", "full" };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "format", format);
	cJSON_AddBoolToObject(o, "geometry", geometry);
	cJSON_AddStringToObject(o, "figures", figures[mode]);
	cJSON_AddNumberToObject(o, "reference", r->reference);
	cJSON_AddNumberToObject(o, "cpu_s", r->limits.score_cpu_s);
	cJSON_AddNumberToObject(o, "memory_mib", r->limits.memory_mib);
	cJSON_AddNumberToObject(o, "faces_max", (double)r->limits.faces_max);
	cJSON_AddNumberToObject(o, "triangles_max", (double)r->limits.triangles_max);
	return o;
}

static void add_exact(cJSON *o, const struct shape_request *r)
{
	if (!r->exact)
		return;
	cJSON *x = cJSON_Duplicate(r->exact, true);
	cJSON_DeleteItemFromObjectCaseSensitive(x, "reference");
	cJSON_AddNumberToObject(x, "reference", r->exact_reference);
	cJSON_AddItemToObject(o, "exact", x);
}

static void add_exports(cJSON *o, const struct shape_request *r)
{
	cJSON *x = cJSON_AddArrayToObject(o, "export");

	if (r->export_stl)
		cJSON_AddItemToArray(x, cJSON_CreateString("stl"));
	if (r->export_glb)
		cJSON_AddItemToArray(x, cJSON_CreateString("glb"));
}

static void add_pictures(cJSON *o, const struct shape_request *r)
{
	if (r->n_views == 0)
		return;
	cJSON *x = cJSON_AddObjectToObject(o, "pictures");
	cJSON *views = cJSON_AddArrayToObject(x, "views");
	for (int i = 0; i < r->n_views; i++)
		cJSON_AddItemToArray(views, cJSON_CreateString(r->views[i]));
	cJSON_AddNumberToObject(x, "px", r->view_px);
	cJSON_AddNumberToObject(x, "rotation", r->rotation);
	cJSON_AddNumberToObject(x, "reference", r->exact_reference);
	json_add_text(x, "title", r->title);
}

/* Makes the job just queued a part of @m. */
static void join(struct program *p, uint32_t id, struct measuring *m, enum part part)
{
	struct job *j = *pool_job_find(p, id);

	j->whole = m;
	j->part = part;
	m->waiting++;
}

int pool_submit_figures(struct engine *en, struct measuring *m, const void *brep, size_t len,
                        struct err *e)
{
	cJSON *o = score_request(&m->request, "meshed", false, m->request.figures);
	uint32_t id;

	add_exports(o, &m->request);
	if (submit(en, &en->scorer, WIRE_SCORE, o, brep, len,
	           wire_measure_wall_s(m->request.limits.score_cpu_s), DIALECT_OPEN, &id, e) < 0)
		return -1;
	join(&en->scorer, id, m, PART_FIGURES);
	return 0;
}

static int submit_mesh(struct engine *en, struct program *p, const struct shape_request *r,
                       uint32_t *id, struct err *e)
{
	cJSON *o = cJSON_CreateObject();

	/* the published parameters: reward-seed section 1, item 6 */
	cJSON_AddStringToObject(o, "to", "mesh");
	cJSON_AddNumberToObject(o, "linear", 0.1);
	cJSON_AddNumberToObject(o, "angular", 0.1);
	cJSON_AddNumberToObject(o, "wall_s", wire_measure_wall_s(r->limits.score_cpu_s));
	cJSON_AddNumberToObject(o, "cpu_s", r->limits.score_cpu_s);
	cJSON_AddNumberToObject(o, "memory_mib", r->limits.memory_mib);
	return submit(en, p, WIRE_CONVERT, o, r->bytes, r->len,
	              wire_measure_wall_s(r->limits.score_cpu_s), DIALECT_OPEN, id, e);
}

int engine_measure(struct engine *en, const struct shape_request *r, uint32_t *job, struct err *e)
{
	uint32_t id;

	if (r->exact && (r->format != SHAPE_BREP || r->figures != FIGURES_NONE))
		return err_set(e, ERR_USAGE,
		               "the exact profiles measure a BREP, and no figures of its mesh");
	if (r->format != SHAPE_BREP || r->figures == FIGURES_NONE) {
		cJSON *o = score_request(r, shape_format_name[r->format], r->geometry, r->figures);
		add_exports(o, r);
		add_exact(o, r);
		add_pictures(o, r);
		return submit(en, &en->scorer, WIRE_SCORE, o, r->bytes, r->len,
		              wire_measure_wall_s(r->limits.score_cpu_s), DIALECT_OPEN, job, e);
	}
	struct measuring *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, ERR_MEM, "out of memory for a job");
	m->request = *r;
	m->request.bytes = NULL;
	m->started = clock_now_s();
	m->report.limit.limit = m->report.limit.used = NAN;
	struct program *mesher = meshing_program(en);
	if (submit_mesh(en, mesher, r, &id, e) < 0) {
		free(m);
		return -1;
	}
	m->id = id; /* the first part's number stands for the whole */
	join(mesher, id, m, PART_MESH);
	if (r->geometry) {
		cJSON *o = score_request(r, "brep", true, FIGURES_NONE);
		if (submit(en, &en->scorer, WIRE_SCORE, o, r->bytes, r->len,
		           wire_measure_wall_s(r->limits.score_cpu_s), DIALECT_OPEN, &id, e) < 0) {
			struct job **at = pool_job_find(mesher, m->id);
			if (at)
				pool_job_free(pool_job_unlink(mesher, at));
			free(m);
			return -1;
		}
		join(&en->scorer, id, m, PART_GEOMETRY);
	}
	if (job)
		*job = m->id;
	return 0;
}

static struct kept_reference *reference_room(struct engine *en, struct err *e)
{
	struct kept_reference *more = realloc(en->ref, sizeof(*more) * (size_t)(en->n_ref + 1));

	if (!more) {
		err_set(e, ERR_MEM, "out of memory for a reference");
		return NULL;
	}
	en->ref = more;
	en->ref[en->n_ref] = (struct kept_reference){ 0 };
	return &en->ref[en->n_ref];
}

int engine_reference(struct engine *en, const struct reference_set *set, int *id, struct err *e)
{
	struct kept_reference *k = reference_room(en, e);

	if (!k)
		return -1;
	if (reference_serialize(set, &k->bytes, e) < 0) {
		buf_release(&k->bytes);
		return -1;
	}
	*id = ++en->n_ref;
	return 0;
}

int engine_exact_reference(struct engine *en, const void *blob, size_t len, int *id, struct err *e)
{
	struct kept_reference *k = reference_room(en, e);

	if (!k)
		return -1;
	k->exact = true;
	buf_add(&k->bytes, blob, len);
	if (buf_failed(&k->bytes)) {
		buf_release(&k->bytes);
		return err_set(e, ERR_MEM, "out of memory for a reference of %zu bytes", len);
	}
	*id = ++en->n_ref;
	return 0;
}

int engine_prepare(struct engine *en, enum shape_format format, const void *bytes, size_t len,
                   uint32_t *job, struct err *e)
{
	struct shape_request r = { .format = format };
	uint32_t id;

	limits_default(&r.limits);
	/* once for a reference, which may be a scan of a million triangles */
	r.limits.score_cpu_s = PREPARE_S;
	cJSON *o = score_request(&r, shape_format_name[format], false, FIGURES_NONE);
	cJSON_AddTrueToObject(o, "prepare");
	if (submit(en, &en->scorer, WIRE_SCORE, o, bytes, len, wire_measure_wall_s(PREPARE_S),
	           DIALECT_OPEN, &id, e) < 0)
		return -1;
	(*pool_job_find(&en->scorer, id))->prepare = true;
	if (job)
		*job = id;
	return 0;
}

void engine_cancel(struct engine *en, uint32_t id)
{
	for (int i = 0; i < PROGRAMS; i++) {
		struct program *p = pool_program_at(en, i);
		for (struct job **at = &p->first; *at;) {
			struct job *j = *at;
			if (j->id != id && !(j->whole && j->whole->id == id)) {
				at = &j->next;
				continue;
			}
			j->cancelled = true;
			if (j->sent) {
				frame_append(&p->out, WIRE_CANCEL, j->id, "{}", 2, NULL, 0);
				at = &j->next;
			} else {
				pool_job_answer(en, pool_job_unlink(p, at), NULL, "cancelled");
			}
		}
	}
}

int engine_poll_fds(struct engine *en, struct pollfd *out, int cap)
{
	int n = 0;

	for (int i = 0; i < PROGRAMS; i++) {
		const struct program *p = pool_program_at(en, i);
		if (p->helper.fd >= 0 && n < cap)
			out[n++] = (struct pollfd){ .fd = p->helper.fd,
				                    .events = (short)(POLLIN |
				                                      (p->out.len ? POLLOUT : 0)) };
		if (p->heir_fd >= 0 && n < cap)
			out[n++] = (struct pollfd){ .fd = p->heir_fd, .events = POLLIN };
	}
	return n;
}

int engine_timeout_ms(struct engine *en)
{
	/* the watchdogs above need no precision */
	for (int i = 0; i < PROGRAMS; i++)
		if (pool_program_at(en, i)->helper.fd >= 0)
			return 1000;
	return -1;
}

int engine_step(struct engine *en, struct err *e)
{
	int rc = 0;

	for (int i = 0; i < PROGRAMS && rc == 0; i++)
		rc = pool_program_step(en, pool_program_at(en, i), e);
	pool_collect_orphans(en);
	return rc;
}

int engine_wait(struct engine *en, int timeout_ms, struct err *e)
{
	struct pollfd p[8];
	int n = engine_poll_fds(en, p, 8), own = engine_timeout_ms(en);

	if (timeout_ms < 0 || (own >= 0 && own < timeout_ms))
		timeout_ms = own;
	if (poll(p, (nfds_t)n, timeout_ms) < 0 && errno != EINTR)
		return err_errno(e, ERR_IO, "poll");
	return engine_step(en, e);
}

int engine_jobs(const struct engine *en)
{
	int n = 0;

	for (const struct job *j = en->builder.first; j; j = j->next)
		n += j->type != WIRE_WATCH;
	for (const struct job *j = en->scorer.first; j; j = j->next)
		n++;
	for (const struct job *j = en->mesher.first; j; j = j->next)
		n++;
	return n;
}

const cJSON *engine_builder_info(const struct engine *en)
{
	return en->builder.info;
}

const cJSON *engine_scorer_info(const struct engine *en)
{
	return en->scorer.info;
}

const cJSON *engine_mesher_info(const struct engine *en)
{
	return en->mesher.info;
}

int engine_restarts(const struct engine *en)
{
	return en->restarts;
}

bool engine_builder_ready(const struct engine *en)
{
	return en->builder.ready;
}

int engine_builder_pid(const struct engine *en)
{
	return en->builder.helper.pid;
}

int engine_scorer_pid(const struct engine *en)
{
	return en->scorer.helper.pid;
}
