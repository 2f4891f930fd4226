/*
 * scoring.c - the verbs, a program's way through the pipeline, and programs that are equal.
 */
#include "src/scoring_inside.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "src/watch.h"

void scored_release(struct scored *s)
{
	for (int i = 0; i < s->n_pictures; i++)
		buf_release(&s->pictures[i].png);
	free(s->pictures);
	cJSON_Delete(s->json);
	cJSON_Delete(s->facts);
	build_release(&s->build);
	buf_release(&s->program);
	buf_release(&s->log);
	buf_release(&s->brep);
	buf_release(&s->stl);
	buf_release(&s->step);
	*s = (struct scored){ .total = NAN };
}

/* ---- programs that were scored already ---- */

static void add_text(struct sha256 *h, const void *text, size_t len)
{
	uint64_t n = len;

	sha256_add(h, &n, sizeof(n));
	sha256_add(h, text, len);
}

/* All that a score is made from, beside the profile. */
static void name_job(struct scoring *s, struct job *j)
{
	const struct scoring_input *in = j->in;
	const bool exact = s->mode == MODE_EXACT;
	const int numbers[] = { in->unfinished, j->what.line_offset };
	struct buf parent = { 0 };
	struct sha256 h;

	if (!s->remembered || in->shape)
		return;
	if (in->parent)
		json_print(&parent, in->parent);
	sha256_start(&h);
	sha256_add(&h, &j->ready, sizeof(j->ready));
	sha256_add(&h, numbers, sizeof(numbers));
	add_text(&h, buf_str(&j->what.program), j->what.program.len);
	/* the published failure classes are told from the whole answer */
	add_text(&h, exact ? "" : in->text, exact ? 0 : in->len);
	add_text(&h, in->file ? in->file : "", in->file ? strlen(in->file) + 1 : 0);
	add_text(&h, buf_str(&parent), parent.len);
	sha256_end(&h, j->key);
	j->has_key = !buf_failed(&parent);
	buf_release(&parent);
}

/* Whether its score is there. */
static bool take_remembered(struct scoring *s, const struct job *j)
{
	const struct scored *got = remembered_of(s->remembered, j->key);
	struct scored out;

	if (!got || scored_copy(&out, got) < 0)
		return false;
	s->n_remembered++;
	s->to.done(s->to.ctx, j->item.index, &out, NULL);
	scored_release(&out);
	return true;
}

/* Those that waited for @of; one whose score cannot be taken is left to be built. */
void scoring_equals_end(struct scoring *s, const struct job *of)
{
	for (struct job *j = s->jobs, *next; j; j = next) {
		next = j->next;
		if (!j->waits || j->equal != of)
			continue;
		j->equal = NULL;
		if (take_remembered(s, j))
			scoring_job_free(j);
		else
			s->left = true;
	}
}

static const struct job *equal_under_way(const struct scoring *s, const struct job *of)
{
	for (const struct job *j = s->jobs; j; j = j->next)
		if (j != of && j->has_key && !j->waits &&
		    memcmp(j->key, of->key, SHA256_BYTES) == 0)
			return j;
	return NULL;
}

/* To other machines: all that the score is made from. */

static void job_send(struct scoring *s, struct job *j)
{
	const struct scoring_input *in = j->in;
	const struct ready *r = j->ready;
	struct job_asked a = {
		.dialect = s->dialect,
		.rebuilds = s->rebuilds,
		.no_blanks = s->o.no_blanks,
		.no_filter = s->o.app->no_filter,
		.unfinished = in->unfinished,
		.program_lines = in->program_lines,
		.artifacts = s->o.artifacts,
		.rule = in->rule,
		.shape = !in->shape          ? JOB_PROGRAM
		         : in->shape_is_step ? JOB_STEP
		                             : JOB_BREP,
		.limits = s->o.app->limits,
		.text = in->shape ? in->shape : in->text,
		.len = in->shape ? in->shape_len : in->len,
	};

	if (s->mode != MODE_EXACT)
		snprintf(a.profile, sizeof(a.profile), "%.31s", s->name);
	memcpy(a.profile_sha, s->profile_sha, SHA256_HEX);
	memcpy(a.task_sha, r->task_sha, SHA256_HEX);
	memcpy(a.reference_sha, r->reference_sha, SHA256_HEX);
	memcpy(a.ending, r->ending, sizeof(a.ending));
	snprintf(a.reference, sizeof(a.reference), "%.15s",
	         s->mode != MODE_EXACT ? s->reference
	         : !*r->reference_sha  ? "none"
	         : *r->task_sha        ? "task"
	                               : "file");
	if (farm_add(s->farm, &a, j, &s->failed) < 0 && j->in->file)
		err_wrap(&s->failed, "%s", j->in->file);
}

static void job_go(struct scoring *s, struct job *j)
{
	j->waits = j->has_key && (j->equal = equal_under_way(s, j)) != NULL;
	if (!j->waits && s->farm)
		job_send(s, j);
	else if (!j->waits)
		pipeline_add(s->pipeline, &j->item);
}

/* Outside of callbacks. Whether there were any. */
static bool start_left(struct scoring *s)
{
	if (!s->left)
		return false;
	s->left = false;
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->waits && !j->equal)
			job_go(s, j);
	return true;
}

/* ---- the pipeline's callbacks ---- */

/* What is known before the rebuilds: they change editability alone. */
static void tell_terms(struct scoring *s, const struct job *j, size_t index)
{
	const struct scoring_ears *to = &s->o.ears;
	struct exact_edits none = { 0 };
	double t[TERM_COUNT];

	scoring_terms_of(s, j, &none, t);
	t[TERM_SEMANTIC_PARTS] = exact_credit(
		cJSON_GetObjectItemCaseSensitive(j->shape.exact, "checks"), j->ready->blanks.score,
		j->ready->blanks.n_forms, j->ready->blanks.n_checks, s->profile.together);
	for (int i = 0; i < TERM_COUNT; i++)
		if (i != TERM_EDITABILITY && isfinite(t[i]))
			to->figure(to->ctx, index, reward_term_name((enum reward_term)i), t[i]);
}

static void tell_built(struct scoring *s, const struct job *j, size_t index)
{
	const struct scoring_ears *to = &s->o.ears;

	if (to->built)
		to->built(to->ctx, index, &j->build);
	if (!j->build.ok)
		return;
	if (to->shape && j->shape.stl.len > 0)
		to->shape(to->ctx, index, j->shape.stl.data, j->shape.stl.len);
	if (to->figure && s->mode == MODE_EXACT && j->shape.exact)
		tell_terms(s, j, index);
}

static void on_done(void *ctx, size_t index, struct pipeline_item *it)
{
	struct scoring *s = ctx;
	struct err e = { 0 };

	if (index == PIPELINE_PUSHED) {
		scoring_edit_done(s, (struct edit *)((char *)it - offsetof(struct edit, item)));
		return;
	}
	struct job *j = (struct job *)((char *)it - offsetof(struct job, item));
	j->build = it->build;
	j->shape = it->shape;
	j->measured = it->measured;
	it->build = (struct build){ 0 };
	it->shape = (struct shape_report){ 0 };
	if (s->mode == MODE_EXACT) {
		if (j->build.ok && !(j->measured && j->shape.ok))
			scoring_adopt_failure(&j->build, &j->shape);
		scoring_want_solid(j);
	}
	tell_built(s, j, index);
	if (s->mode == MODE_EXACT && j->build.ok && s->rebuilds > 0 &&
	    scoring_edits_start(s, j, &e) < 0)
		pipeline_fail(s->pipeline, &e);
	if (!j->waiting)
		scoring_job_end(s, j);
}

static int on_tick(void *ctx)
{
	struct scoring *s = ctx;

	return s->o.ears.tick ? s->o.ears.tick(s->o.ears.ctx) : 0;
}

static void on_log(void *ctx, size_t item, const char *stream, const char *text, size_t len)
{
	struct scoring *s = ctx;

	if (s->o.ears.log)
		s->o.ears.log(s->o.ears.ctx, item, stream, text, len);
}

/* ---- the verbs ---- */

struct scoring *scoring_open(const struct scoring_options *o, struct err *e)
{
	struct scoring *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	s->o = *o;
	if (scoring_farm_open(s, e) < 0 ||
	    scoring_load_profile(s, o->profile ? o->profile : "exact", e) < 0)
		goto fail;
	bool exact = s->mode == MODE_EXACT;
	snprintf(s->reference, sizeof(s->reference), "%s",
	         o->reference ? o->reference
	         : exact      ? "task"
	                      : "none");
	s->dialect = o->dialect ? *o->dialect : exact ? DIALECT_OPEN : DIALECT_SEED;
	s->rebuilds = o->rebuilds >= 0 ? o->rebuilds : s->profile.rebuilds;
	if (s->rebuilds > SCORING_EDITS_MAX)
		s->rebuilds = SCORING_EDITS_MAX;
	if ((exact ? scoring_check_reference(s, e) : scoring_load_seed_reference(s, e)) < 0)
		goto fail;
	struct pipeline_options p = {
		.dialect = s->dialect,
		.limits = o->app->limits,
		.no_filter = o->app->no_filter,
		.measure = true,
		.geometry = true,
		.facts = exact,
		.figures = exact                       ? FIGURES_NONE
		           : s->mode == MODE_SEED_FULL ? FIGURES_FULL
		                                       : FIGURES_FAST,
		.export_stl = o->artifacts & SCORING_STL,
		.tick_ms = o->ears.tick_ms,
		.ctx = s,
		.log = on_log,
		.tick = on_tick,
		.done = on_done,
	};
	if (s->farm && s->has_set) {
		err_set(e, ERR_USAGE,
		        "--reference %s: a folder of the published form does not travel: score "
		        "without --queue, or with --reference seed-task",
		        s->reference);
		goto fail;
	}
	app_engine_options(o->app, &p.engine);
	if (o->remember > 0 && !o->artifacts && !(s->remembered = remembered_new(o->remember))) {
		err_set(e, ERR_MEM, "out of memory");
		goto fail;
	}
	s->pipeline = pipeline_open(&p, e);
	if (s->pipeline)
		return s;
fail:
	scoring_close(s);
	return NULL;
}

void scoring_forget_tasks(struct scoring *s)
{
	for (int i = 0; i < s->n_ready; i++) {
		cJSON_Delete(s->ready[i]->exact);
		blanks_release(&s->ready[i]->blanks);
		reference_release(&s->ready[i]->box);
		free(s->ready[i]);
	}
	s->n_ready = 0;
	/* their names hang on these */
	if (s->remembered)
		remembered_clear(s->remembered);
}

void scoring_close(struct scoring *s)
{
	if (!s)
		return;
	farm_close(s->farm);
	pipeline_close(s->pipeline);
	scoring_forget_tasks(s);
	remembered_free(s->remembered);
	free(s->ready);
	reference_release(&s->set);
	free(s);
}

void scoring_listen(struct scoring *s, const struct scoring_ears *ears)
{
	static const struct scoring_ears nobody;

	s->o.ears = ears ? *ears : nobody;
	pipeline_tick_ms(s->pipeline, s->o.ears.tick_ms);
}

const char *scoring_profile_name(const struct scoring *s)
{
	return s->name;
}

int64_t scoring_remembered(const struct scoring *s)
{
	return s->n_remembered;
}

const char *scoring_profile_hash(const struct scoring *s)
{
	return s->hash;
}

const struct limits *scoring_limits(const struct scoring *s)
{
	return &s->o.app->limits;
}

struct watch *scoring_watch(struct scoring *s, const struct watch_ops *ops, struct err *e)
{
	const struct watch_options o = {
		.dialect = s->dialect,
		.no_filter = s->o.app->no_filter,
		.limits = s->o.app->limits,
		.shapes = ops->shape != NULL,
	};

	return watch_open(s->pipeline, &o, ops, e);
}

double scoring_editability(const struct scoring *s, const cJSON *facts)
{
	struct exact_edits x = { 0 };

	if (s->mode != MODE_EXACT)
		return NAN;
	exact_edits_from_facts(&x, facts);
	return exact_editability(&s->profile, &x, 0);
}

int scoring_poll_fds(struct scoring *s, struct pollfd *out, int cap)
{
	int n = s->farm ? farm_poll_fds(s->farm, out, cap) : 0;

	return n + engine_poll_fds(pipeline_engine(s->pipeline), out + n, cap - n);
}

void scoring_attend(struct scoring *s)
{
	struct err e = { 0 };

	/* what cannot be kept alive is told by the run that needs it */
	if (s->farm)
		farm_work(s->farm, &e);
	engine_step(pipeline_engine(s->pipeline), &e);
}

int scoring_warm(struct scoring *s, struct err *e)
{
	struct engine *en = pipeline_engine(s->pipeline);

	if (s->farm)
		return farm_work(s->farm, e);
	return engine_warm_builder(en, e) < 0 || engine_warm_scorer(en, e) < 0 ? -1 : 0;
}

static void add_versions(struct buf *out, const cJSON *info, const char *what)
{
	const cJSON *v;

	cJSON_ArrayForEach(
		v, cJSON_GetObjectItemCaseSensitive(info, "versions")) if (cJSON_IsString(v))
		buf_printf(out, "%s%s%s %s", out->len ? ", " : "", what, v->string, v->valuestring);
}

int scoring_versions(struct scoring *s, struct buf *out, struct err *e)
{
	const struct engine *en = pipeline_engine(s->pipeline);

	if (pipeline_ready(s->pipeline, true, true, e) < 0)
		return -1;
	add_versions(out, engine_builder_info(en), "");
	add_versions(out, engine_scorer_info(en), "scorer's ");
	return buf_failed(out) ? err_set(e, ERR_MEM, "out of memory") : 0;
}

int scoring_prepare(struct scoring *s, const struct task *task, struct err *e)
{
	struct ready *r = scoring_ready_of(s, task, e);

	return r ? scoring_make_ready(s, r, e) : -1;
}

int scoring_reference_mesh(struct scoring *s, const struct task *task, struct buf *out,
                           struct err *e)
{
	if (!task->reference)
		return err_set(e, ERR_INPUT, "task %s has no reference", task->id);
	return reference_mesh(out, s->pipeline, s->o.app, task->reference, e);
}

void scoring_unreadable(const struct scoring *s, const struct task *task, const char *file,
                        const char *why, struct scored *out)
{
	const struct reward none = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
	const struct scoring_input in = { .task = task, .file = file };
	const struct notes notes = { 0 };
	struct job j = { .in = &in };

	j.build = (struct build){ .cause = CAUSE_BAD_INPUT,
		                  .dialect = s->dialect,
		                  .error = strdup(why),
		                  .seconds = NAN,
		                  .cpu_s = NAN };
	*out = (struct scored){ .total = NAN, .engine_s = NAN, .cls = CLASS_UNKNOWN_BUILD_FAILURE };
	out->json = scoring_score_json(s, &j, out->cls, &none, &notes, NULL);
	out->build = j.build;
}

static const struct reference_set *seed_reference(const struct scoring *s, const struct ready *r)
{
	return s->has_set ? &s->set : r->has_box ? &r->box : NULL;
}

static int start_job(struct scoring *s, struct job *j, size_t item, struct err *e)
{
	const struct scoring_input *in = j->in;

	if (in->shape && s->mode != MODE_EXACT)
		return err_set(
			e, ERR_USAGE,
			"%s: a shape without a program is scored by the exact profiles alone, and "
			"this is %s",
			in->file ? in->file : "a shape", s->name);
	j->ready = scoring_ready_of(s, in->task, e);
	if (!j->ready || scoring_make_ready(s, j->ready, e) < 0 ||
	    (!in->shape && extract_program(&j->what, in->rule, in->text, in->len, e) < 0))
		return -1;
	if (s->farm && (in->shape ? in->shape_len : in->len) > JOB_TEXT_BYTES_MAX)
		return err_set(e, ERR_INPUT, "%s: more than %d MiB are too much for other machines",
		               in->file ? in->file : "a text", JOB_TEXT_BYTES_MAX >> 20);
	if (in->program_lines)
		j->what.line_offset = 0;
	j->item = (struct pipeline_item){
		.program = buf_str(&j->what.program),
		.len = j->what.program.len,
		.line_offset = j->what.line_offset,
		.given = in->shape,
		.given_len = in->shape_len,
		.given_is_step = in->shape_is_step,
		.reference = seed_reference(s, j->ready),
		.exact = j->ready->exact,
		.exact_reference = j->ready->exact_id,
		.index = item,
	};
	name_job(s, j);
	return 0;
}

void scoring_begin(struct scoring *s, const struct scoring_stream *to)
{
	s->to = *to;
	s->failed = (struct err){ 0 };
	pipeline_begin(s->pipeline);
}

int scoring_add(struct scoring *s, const struct scoring_input *in, size_t item, struct err *e)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return err_set(e, ERR_MEM, "out of memory for a program");
	j->in = in;
	j->next = s->jobs;
	j->at = &s->jobs;
	if (j->next)
		j->next->at = &j->next;
	s->jobs = j;
	int rc = start_job(s, j, item, e);
	if (rc < 0 || (j->has_key && take_remembered(s, j)))
		scoring_job_free(j);
	else
		job_go(s, j);
	return rc;
}

int scoring_work(struct scoring *s, struct err *e)
{
	int rc;

	do
		rc = s->farm ? farm_work(s->farm, e) : pipeline_work(s->pipeline, e);
	while (rc == 0 && start_left(s));
	if (rc == 0 && s->failed.kind) {
		*e = s->failed;
		rc = -1;
	}
	return rc;
}

void scoring_end(struct scoring *s)
{
	if (s->farm)
		farm_drop(s->farm);
	pipeline_end(s->pipeline);
	while (s->jobs)
		scoring_job_free(s->jobs);
	s->left = false;
}

/* Of a run that waits: one that cannot be scored ends it. */
struct all {
	struct scoring *s;
	void (*done)(void *ctx, size_t item, struct scored *out);
	void *ctx;
};

static void done_of_all(void *ctx, size_t item, struct scored *out, const struct err *why)
{
	const struct all *a = ctx;

	if (out)
		a->done(a->ctx, item, out);
	else if (a->s->farm)
		a->s->failed = *why;
	else
		pipeline_fail(a->s->pipeline, why);
}

int scoring_run_all(struct scoring *s, const struct scoring_input *in, size_t n,
                    void (*done)(void *ctx, size_t item, struct scored *out), void *ctx,
                    struct err *e)
{
	struct all all = { s, done, ctx };
	const struct scoring_stream to = { &all, done_of_all };
	int rc = 0;

	scoring_begin(s, &to);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = scoring_add(s, &in[i], i, e);
	do
		rc = rc != 0   ? rc
		     : s->farm ? scoring_farm_finish(s, e)
		               : pipeline_until_over(s->pipeline, e);
	while (rc == 0 && start_left(s));
	scoring_end(s);
	return rc;
}

static void take_one(void *ctx, size_t item, struct scored *out)
{
	struct scored *to = ctx;

	(void)item;
	*to = *out;
	*out = (struct scored){ 0 };
}

/* A part without pictures is a part still: what cannot be drawn is left out. */
static int draw(struct scoring *s, const struct task *task, struct scored *got, struct err *e)
{
	static const char *const views[] = { "front",     "back",    "left",  "right",     "top",
		                             "isometric", "section", "sheet", "difference" };
	const struct ready *r = scoring_ready_of(s, task, e);
	struct shape_report report = { 0 };

	if (!r)
		return -1;
	const cJSON *reference = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(got->json, "exact"), "reference");
	struct shape_request q = {
		.bytes = buf_str(&got->brep),
		.len = got->brep.len,
		.views = views,
		.n_views = (int)(sizeof(views) / sizeof(*views)) - (r->exact_id == 0),
		.view_px = 720,
		.title = task ? task->id : "",
		.exact_reference = r->exact_id,
		.rotation = (int)json_number_or(reference, "rotation", 0),
		.limits = s->o.app->limits,
	};
	if (pipeline_measure(s->pipeline, &q, &report, e) < 0)
		return -1;
	got->pictures = calloc((size_t)report.n_pictures + 1, sizeof(*got->pictures));
	for (int i = 0; got->pictures && i < report.n_pictures; i++) {
		struct scored_picture *p = &got->pictures[got->n_pictures++];
		snprintf(p->name, sizeof(p->name), "%s", report.pictures[i].name);
		p->png = report.pictures[i].png;
		report.pictures[i].png = (struct buf){ 0 };
	}
	cJSON *seconds = cJSON_GetObjectItemCaseSensitive(got->json, "seconds");
	cJSON_DeleteItemFromObject(seconds, "render");
	json_add_figure(seconds, "render", report.seconds);
	shape_report_release(&report);
	return 0;
}

int scoring_finish(struct scoring *s, const struct scoring_input *in, struct scored *got,
                   struct err *e)
{
	if (got->built && (s->o.artifacts & SCORING_VIEWS) && draw(s, in->task, got, e) < 0)
		return -1;
	if (got->built && (s->o.artifacts & SCORING_STEP)) {
		/* what cannot be expressed as STEP is a part without that file */
		if (pipeline_convert(s->pipeline, true, buf_str(&got->brep), got->brep.len,
		                     &got->step, e) < 0 &&
		    e->kind != ERR_INPUT)
			return -1;
	}
	if (!(s->o.artifacts & SCORING_BREP))
		buf_release(&got->brep);
	return 0;
}

int scoring_run(struct scoring *s, const struct scoring_input *in, struct scored *out,
                struct err *e)
{
	struct scored got = { .total = NAN };

	if (scoring_run_all(s, in, 1, take_one, &got, e) < 0 ||
	    (!s->farm && scoring_finish(s, in, &got, e) < 0))
		goto fail;
	*out = got;
	return 0;
fail:
	scored_release(&got);
	return -1;
}
