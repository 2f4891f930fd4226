/*
 * checks_eval.c - all checks of a list, and the two simplest kinds.
 *
 * Each kind is one function that fills a verdict. What several checks need - the faces, the lines
 * through the part, its walls - is made when the first asks for it.
 *
 * Credit: a count is worth the smaller over the larger of what is and what should be; a figure that
 * is out of its range the ratio to the nearer end; a length loses it all at a quarter too much or
 * too little. Constants of sampling are fixed: the same shape gets the same answer.
 */
#include "engine/checks_inside.h"

#include <math.h>
#include <stdlib.h>

#define LENGTH_SLOPE 0.25 /* so much of a length too far and it is worth nothing */

static const char axis_names[] = "XYZ";

static void eval_release(struct eval *v)
{
	free(v->faces);
	free(v->holes);
	for (int i = 0; i < 3; i++)
		columns_close(&v->columns[i]);
	free(v->field.spans);
	free(v->field.first);
	for (int i = 0; i < 2; i++)
		free(v->bores[i].root);
	spans_release(&v->a);
	spans_release(&v->b);
}

/* ---- bbox_mm, solids ---- */

int check_box(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	double score = 1;
	int n = 0;

	(void)e;
	out->want = cJSON_CreateArray();
	out->got = cJSON_CreateArray();
	struct buf off = { 0 };
	for (int i = 0; i < 3; i++) {
		double want = c->want_mm[i], got = v->len[i];
		cJSON_AddItemToArray(out->want, verdict_figure(want));
		cJSON_AddItemToArray(out->got, verdict_figure(got));
		if (isnan(want))
			continue;
		double slack = fmax(c->tolerance * want, c->tolerance_mm), over = got - want;
		double low = c->max ? c->min_fraction * want : want - slack;
		double excess = fmax(over - slack, low - got);
		if (excess <= 1e-9)
			continue;
		score *= credit_length(excess, LENGTH_SLOPE * want);
		buf_adds(&off, n++ ? ", " : ": ");
		buf_printf(&off, "%c is ", axis_names[i]);
		say_number(&off, fabs(over));
		buf_adds(&off, over > 0 ? " mm too long" : " mm too short");
	}
	out->score = n ? fmin(score, 0.999999) : 1;
	buf_adds(&out->why, c->max ? "expected an envelope of at most " : "expected a box of ");
	for (int i = 0; i < 3; i++) {
		buf_adds(&out->why, i ? " x " : "");
		if (isnan(c->want_mm[i]))
			buf_adds(&out->why, "any");
		else
			say_number(&out->why, c->want_mm[i]);
	}
	if (c->max && c->min_fraction > 0) {
		buf_adds(&out->why, " mm (");
		say_number(&out->why, 100 * c->min_fraction);
		buf_adds(&out->why, " % of it used at least), got ");
	} else {
		buf_adds(&out->why, " mm, got ");
	}
	for (int i = 0; i < 3; i++) {
		buf_adds(&out->why, i ? " x " : "");
		say_number(&out->why, v->len[i]);
	}
	buf_add(&out->why, off.data, off.len);
	buf_release(&off);
	return 0;
}

void verdict_counted(struct verdict *out, const struct check *c, int got)
{
	out->want = verdict_count(c->count);
	out->got = cJSON_CreateNumber(got);
}

int check_solids(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int got = v->p->solids;

	(void)e;
	verdict_counted(out, c, got);
	out->score = credit_count(got, c->count);
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_printf(&out->why, " solid%s, got %d", say_plural(count_is_one(c->count)), got);
	if (got > c->count.max)
		buf_adds(&out->why, ": union what belongs together, or cut what overlaps");
	return 0;
}

/* ---- all ---- */

static check_fn *const functions[CHECK_KINDS] = {
	[CHECK_BBOX] = check_box,          [CHECK_SOLIDS] = check_solids,
	[CHECK_HOLES] = check_holes,       [CHECK_SECTION] = check_section,
	[CHECK_PIECES] = check_pieces,     [CHECK_WINDOWS] = check_windows,
	[CHECK_CONTACTS] = check_contacts, [CHECK_ROTATIONAL] = check_rotational,
	[CHECK_MIRROR] = check_mirror,     [CHECK_FACES] = check_faces,
	[CHECK_SLOTS] = check_slots,       [CHECK_WALL] = check_wall,
	[CHECK_VOLUME] = check_volume,     [CHECK_STANDS] = check_stands,
	[CHECK_CLEARANCE] = check_fill,    [CHECK_REACH] = check_fill,
	[CHECK_JOINT] = check_joint,
};

static cJSON *result_of(const struct check *c, struct verdict *d, bool answered)
{
	cJSON *o = cJSON_CreateObject();
	double score = answered && isfinite(d->score) ? round(d->score * 1e6) / 1e6 : 0;

	cJSON_AddStringToObject(o, "id", c->id);
	cJSON_AddStringToObject(o, "kind", check_kind_name(c->kind));
	cJSON_AddStringToObject(o, "about", c->about);
	cJSON_AddItemToObject(o, "want", d->want ? d->want : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "got", d->got ? d->got : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "ok",
	                      answered ? cJSON_CreateBool(score >= 1) : cJSON_CreateNull());
	cJSON_AddNumberToObject(o, "weight", c->weight);
	cJSON_AddNumberToObject(o, "score", fmin(fmax(score, 0), 1));
	cJSON_AddStringToObject(o, "why", buf_str(&d->why));
	cJSON_AddItemToObject(o, "covers",
	                      c->covers ? cJSON_Duplicate(c->covers, true) : cJSON_CreateArray());
	buf_release(&d->why);
	return o;
}

cJSON *checks_evaluate(const struct check_list *l, const struct probe *p, struct err *e)
{
	struct eval v = { .p = p };
	cJSON *results = cJSON_CreateArray();

	for (int i = 0; i < 3; i++)
		v.len[i] = p->box_max_mm[i] - p->box_min_mm[i];
	for (int i = 0; i < l->n; i++) {
		const struct check *c = &l->checks[i];
		struct verdict d = { 0 };
		int rc = functions[c->kind](&v, c, &d, e);
		cJSON *o = rc < 0 ? NULL : result_of(c, &d, rc == 0);
		if (rc < 0) {
			cJSON_Delete(d.want);
			cJSON_Delete(d.got);
			buf_release(&d.why);
		}
		if (!results || !o || !cJSON_AddItemToArray(results, o)) {
			if (rc >= 0)
				err_set(e, ERR_MEM, "no memory for the results of %d checks", l->n);
			cJSON_Delete(o);
			cJSON_Delete(results);
			results = NULL;
			break;
		}
	}
	eval_release(&v);
	return results;
}
