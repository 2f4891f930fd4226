/*
 * scoring_end.c - what a program's end comes to: rebuilds, terms, total, notes.
 */
#include "src/scoring_inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"

/* ---- one program's end ---- */

/* The scorer's word goes before the builder's: a shape that cannot be measured is no part. */
void scoring_adopt_failure(struct build *b, struct shape_report *s)
{
	b->ok = false;
	b->cause = s->cause;
	free(b->error);
	b->error = s->error;
	s->error = NULL;
	b->limit = s->limit;
}

static void hand_out(struct scoring *s, struct job *j, double total, enum build_class cls,
                     cJSON *json)
{
	struct scored out = { .built = j->build.ok,
		              .total = total,
		              .engine_s = j->item.seconds,
		              .json = json,
		              .cls = cls };

	out.lost = j->lost || j->build.cause == CAUSE_BUILDER_LOST;

	out.build = j->build;
	j->build = (struct build){ 0 };
	out.log = out.build.log;
	out.build.log = (struct buf){ 0 };
	out.brep = out.build.brep;
	out.build.brep = (struct buf){ 0 };
	if (!(s->o.artifacts & (SCORING_BREP | SCORING_STEP | SCORING_VIEWS)))
		buf_release(&out.brep);
	out.facts = out.build.facts;
	out.build.facts = NULL;
	out.stl = j->shape.stl;
	j->shape.stl = (struct buf){ 0 };
	out.program = j->what.program;
	j->what.program = (struct buf){ 0 };
	if (j->has_key)
		remembered_keep(s->remembered, j->key, &out);
	s->to.done(s->to.ctx, j->item.index, &out, NULL);
	scored_release(&out);
}

static int end_seed(struct scoring *s, struct job *j, struct err *e)
{
	struct build *b = &j->build;
	struct shape_report *shape = &j->shape;
	struct notes notes = { 0 };
	struct buf errors = { 0 };
	struct reward r;
	enum build_class cls;

	if (b->ok && !(j->measured && shape->ok))
		scoring_adopt_failure(b, shape);
	enum seed_outcome outcome = b->no_triangles ? SEED_EVALUATOR_CRASH
	                                            : seed_outcome_of(b->cause, shape->has_figures);
	if (!b->ok)
		seed_stderr(&errors, b->exception, b->error, b->traceback);
	struct seed_input in = {
		.outcome = outcome,
		.full = s->mode == MODE_SEED_FULL,
		.figures = shape->has_figures ? &shape->figures : NULL,
		.task = j->in->task,
		.code = { buf_str(&j->what.program), j->what.program.len },
		.raw = { j->in->text, j->in->len },
		.stderr_text = { buf_str(&errors), errors.len },
	};
	if (reward_seed(&r, NULL, &notes, &in, e) < 0) {
		buf_release(&errors);
		return -1;
	}
	if (b->dialect == DIALECT_OPEN) {
		cls = failure_class(b->cause, r.editability, r.semantic_parts);
	} else {
		struct seed_failure_input f = {
			.built = outcome == SEED_BUILT,
			.editability = r.editability,
			.semantic_parts = r.semantic_parts,
			.errors = in.stderr_text,
			.completion = in.raw,
			.code = in.code,
		};
		if (outcome == SEED_EVALUATOR_CRASH)
			f.error = (struct text_ref){ SEED_CRASH_TEXT, sizeof(SEED_CRASH_TEXT) - 1 };
		cls = seed_failure_class(&f);
	}
	if (s->mode == MODE_STRICT)
		r.total = r.strict;
	hand_out(s, j, r.total, cls, scoring_score_json(s, j, cls, &r, &notes, NULL));
	buf_release(&errors);
	notes_release(&notes);
	return 0;
}

static int count_lines(const struct buf *text)
{
	int n = text->len > 0 && text->data[text->len - 1] != '\n';

	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	return n;
}

/* A shape without a solid is no part, however it was built. */
void scoring_want_solid(struct job *j)
{
	struct build *b = &j->build;

	if (!b->ok || json_number_or(j->shape.geometry, "solids", 0) >= 1)
		return;
	b->ok = false;
	b->cause = CAUSE_EMPTY_SHAPE;
	free(b->error);
	b->error = strdup("the final object has no solid, only faces, edges or points: give it "
	                  "thickness, or close it");
}

void scoring_terms_of(const struct scoring *s, const struct job *j, const struct exact_edits *x,
                      double t[TERM_COUNT])
{
	const cJSON *m = j->shape.exact;
	const cJSON *g = j->shape.geometry;

	for (int i = 0; i < TERM_COUNT; i++)
		t[i] = json_number_or(m, reward_term_name((enum reward_term)i), NAN);
	t[TERM_BUILD] = 1;
	t[TERM_EDITABILITY] = exact_editability(&s->profile, x, s->rebuilds);
	/* a tree too deep to be looked at is not editable; a shape without a program has none */
	if (isnan(t[TERM_EDITABILITY]) && !j->in->shape)
		t[TERM_EDITABILITY] = 0;
	t[TERM_EFFICIENCY] = exact_efficiency(
		&s->profile, json_number_or(m, "faces", json_number_or(g, "faces", NAN)),
		json_number_or(m, "reference_faces", NAN),
		json_number_or(j->build.facts, "nodes", NAN), j->ready->nodes);
}

static int end_exact(struct scoring *s, struct job *j, struct err *e)
{
	struct build *b = &j->build;
	struct exact_edits x = { .rebuilds = j->n_edits };
	struct notes notes = { 0 };
	struct exact_reward xr;
	double t[TERM_COUNT];

	for (int i = 0; i < j->n_edits; i++)
		x.rebuilds_ok += j->edits[i].ok;
	exact_edits_from_facts(&x, b->facts);
	if (b->ok) {
		if (!j->shape.exact)
			return err_set(
				e, ERR_PROTOCOL,
				"the scorer said nothing for the exact profiles: this is our "
				"fault, run it again");
		double parts =
			exact_credit(cJSON_GetObjectItemCaseSensitive(j->shape.exact, "checks"),
		                     j->ready->blanks.score, j->ready->blanks.n_forms,
		                     j->ready->blanks.n_checks, s->profile.together);
		scoring_terms_of(s, j, &x, t);
		t[TERM_SEMANTIC_PARTS] = parts;
		exact_built(&xr, &s->profile, t);
	} else {
		struct exact_failure f = {
			.cause = b->cause,
			.line = j->in->unfinished ? 0 : b->line - j->what.line_offset,
			.lines = count_lines(&j->what.program),
			.statements_done = j->in->unfinished ? 0 : b->statements_done,
			.statements_all = b->statements_all,
		};
		/* what the scorer cannot read has no solid that anybody could measure */
		if ((j->measured || j->in->shape) && f.cause == CAUSE_BAD_INPUT)
			f.cause = CAUSE_EMPTY_SHAPE;
		exact_failed(&xr, &s->profile, &f);
	}
	struct reward r = {
		.total = xr.total,
		.build = xr.term[TERM_BUILD],
		.topology = xr.term[TERM_TOPOLOGY],
		.contact = xr.term[TERM_CONTACT],
		.semantic_parts = xr.term[TERM_SEMANTIC_PARTS],
		.reference_similarity = xr.term[TERM_REFERENCE_SIMILARITY],
		.silhouette = xr.term[TERM_SILHOUETTE],
		.editability = xr.term[TERM_EDITABILITY],
		.efficiency = xr.term[TERM_EFFICIENCY],
		.strict = NAN,
		.cheap = NAN,
		.shaped = NAN,
	};
	enum build_class cls = failure_class(b->cause, r.editability, r.semantic_parts);
	cJSON *rebuilds = scoring_rebuilds_json(j);
	struct exact_advice advice = {
		.build = b,
		.reward = &xr,
		.exact = j->shape.exact,
		.facts = b->facts,
		.rebuilds = rebuilds,
		.edits = &x,
		.nodes = json_number_or(b->facts, "nodes", NAN),
		.reference_nodes = j->ready->nodes,
	};
	if (exact_notes(&notes, &advice, e) < 0) {
		cJSON_Delete(rebuilds);
		return -1;
	}
	hand_out(s, j, r.total, cls,
	         scoring_score_json(s, j, cls, &r, &notes,
	                            scoring_exact_json(s, j, &xr, &x, rebuilds)));
	notes_release(&notes);
	return 0;
}

void scoring_job_free(struct job *j)
{
	*j->at = j->next;
	if (j->next)
		j->next->at = j->at;
	extract_release(&j->what);
	build_release(&j->build);
	shape_report_release(&j->shape);
	for (int i = 0; i < j->n_edits; i++)
		buf_release(&j->edits[i].program);
	free(j->edits);
	free(j);
}

/* ---- one program's end, whatever it is ---- */

void scoring_job_end(struct scoring *s, struct job *j)
{
	struct err e = { 0 };
	int rc = s->mode == MODE_EXACT ? end_exact(s, j, &e) : end_seed(s, j, &e);

	if (rc < 0) {
		if (j->in->file)
			err_wrap(&e, "%s", j->in->file);
		s->to.done(s->to.ctx, j->item.index, NULL, &e);
	}
	scoring_equals_end(s, j);
	scoring_job_free(j);
}

/* ---- rebuilds ---- */

/* Writes the edited program, in whole numbers or not. 0; 1: not this one; -1. */
static int edit_write(struct scoring *s, struct edit *x, struct err *e)
{
	const struct buf *program = &x->job->what.program;

	buf_release(&x->program);
	int rc = exact_edit(&x->program, buf_str(program), program->len, x->dimension,
	                    s->profile.change, x->whole, e);
	x->item = (struct pipeline_item){
		.program = buf_str(&x->program),
		.len = x->program.len,
		.line_offset = x->job->what.line_offset,
		.bare = true,
	};
	return rc;
}

/* The first named dimensions that reach the shape, each changed in a program of its own. */
int scoring_edits_start(struct scoring *s, struct job *j, struct err *e)
{
	const cJSON *all = cJSON_GetObjectItemCaseSensitive(j->build.facts, "dimensions"), *d;

	j->edits = calloc(SCORING_EDITS_MAX, sizeof(*j->edits));
	if (!j->edits)
		return err_set(e, ERR_MEM, "out of memory for rebuilds");
	cJSON_ArrayForEach(d, all)
	{
		struct edit *x = &j->edits[j->n_edits];
		if (j->n_edits == s->rebuilds || j->n_edits == SCORING_EDITS_MAX)
			break;
		if (!json_bool_or(d, "reaches", false))
			continue;
		*x = (struct edit){ .job = j, .dimension = d };
		int rc = edit_write(s, x, e);
		if (rc < 0)
			return -1;
		if (rc > 0)
			buf_release(&x->program);
		else
			j->n_edits++;
	}
	for (int i = 0; i < j->n_edits; i++) {
		pipeline_push(s->pipeline, &j->edits[i].item);
		j->waiting++;
	}
	return 0;
}

void scoring_edit_done(struct scoring *s, struct edit *x)
{
	struct job *j = x->job;
	struct build b = x->item.build;
	struct shape_report shape = x->item.shape;
	bool measured = x->item.measured;
	struct err e = { 0 };

	x->item.build = (struct build){ 0 };
	x->item.shape = (struct shape_report){ 0 };
	j->rebuild_s += b.seconds;
	j->lost = j->lost || b.cause == CAUSE_BUILDER_LOST || shape.cause == CAUSE_BUILDER_LOST;
	/* a count takes whole numbers alone, and says so by its type */
	bool again = !b.ok && b.cause == CAUSE_TYPE && !x->whole &&
	             json_bool_or(x->dimension, "whole", false);
	x->whole = x->whole || again;
	if (again) {
		int rc = edit_write(s, x, &e);
		if (rc == 0)
			pipeline_push(s->pipeline, &x->item);
		if (rc < 0)
			pipeline_fail(s->pipeline, &e);
		again = rc == 0;
	}
	if (!again && !b.ok)
		snprintf(x->why, sizeof(x->why), "it does not build any more (%s)",
		         b.error ? b.error : build_cause_label(b.cause));
	else if (!again && !(measured && shape.ok && exact_shape_sound(shape.geometry)))
		snprintf(x->why, sizeof(x->why), "what comes is no sound solid any more");
	else if (!again && !exact_shape_changed(j->shape.geometry, shape.geometry))
		snprintf(x->why, sizeof(x->why), "the part stays as it was");
	else
		x->ok = !again;
	build_release(&b);
	shape_report_release(&shape);
	if (again)
		return;
	if (--j->waiting == 0)
		scoring_job_end(s, j);
}
