#include "engine/reward_seed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/numeric.h"

void notes_release(struct notes *n)
{
	for (int i = 0; i < n->n; i++)
		free(n->text[i]);
	free(n->text);
	*n = (struct notes){ 0 };
}

__attribute__((format(printf, 3, 4))) static int notes_add(struct notes *n, struct err *e,
                                                           const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	char **p = realloc(n->text, ((size_t)n->n + 1) * sizeof(*p));
	if (p)
		n->text = p;
	char *text = p ? buf_take(&b, NULL) : NULL;
	buf_release(&b);
	if (!text)
		return err_set(e, ERR_MEM, "no memory for a note");
	n->text[n->n++] = text;
	return 0;
}

/* How near the two ratios of the box are to the task's. */
static double task_geometry(const struct figures *f, const struct task *t)
{
	double sum = 0;

	for (int c = 0; c < 3; c++) {
		double target = t->bbox_mm[c] / t->bbox_mm[2];
		double actual = f->normalized_len[c] / fmax(f->normalized_len[2], 1e-9);
		sum += fabs(actual - target) / fmax(target, 1e-9);
	}
	return fmax(0.0, 1.0 - sum / 3.0);
}

/* How near to an office chair: proportions, a wide foot, something high up. */
static double chair_geometry(const struct figures *f)
{
	double h = fmax(f->normalized_len[2], 1e-9);
	double x = f->normalized_len[0] / h, y = f->normalized_len[1] / h;
	double many = fmax(20.0, 0.08 * (double)f->vertices);

	return 0.45 * fmax(0.0, 1.0 - fabs(x - 0.55) - fabs(y - 0.60)) +
	       0.35 * fmin(1.0, f->low_p90_ratio / 0.30) +
	       0.20 * ((double)f->high_vertices > many ? 1.0 : 0.0);
}

static void reference_terms(struct reward *r, const struct figures *f)
{
	r->reference_similarity = f->n_ref ? 0.0 : 0.50;
	r->silhouette = f->n_ref ? 0.0 : 0.50;
	for (int i = 0; i < f->n_ref; i++) {
		const struct reference_figures *q = &f->ref[i];
		double score = 0.25 * q->bbox + 0.35 * q->chamfer + 0.40 * q->silhouette;
		r->reference_similarity += q->weight * score;
		r->silhouette += q->weight * q->silhouette;
	}
}

static double total(const struct reward *r, bool full)
{
	double s;

	if (full)
		s = 0.18 * r->build + 0.17 * r->topology + 0.10 * r->contact +
		    0.15 * r->semantic_parts + 0.15 * r->reference_similarity +
		    0.10 * r->silhouette + 0.10 * r->editability + 0.05 * r->efficiency;
	else
		s = 0.22 * r->build + 0.17 * r->topology + 0.12 * r->contact +
		    0.25 * r->semantic_parts + 0.10 * r->reference_similarity +
		    0.10 * r->editability + 0.04 * r->efficiency;
	return fmin(1.0, fmax(-1.0, s));
}

static double clamp(double x, double lo, double hi)
{
	return fmin(hi, fmax(lo, x));
}

static bool holds(struct text_ref t, const char *word)
{
	return t.n && memmem(t.p, t.n, word, strlen(word));
}

/* The words of trouble are looked for in the tail of the evaluator's answer, and of a build that
 * failed the answer quotes one line. */
static double strict_gate(const struct reward *r, const struct seed_input *in,
                          struct text_ref error_line)
{
	const char *code = in->code.p ? in->code.p : "";

	if (in->outcome == SEED_BUILT)
		return clamp(0.15 + 0.85 * r->total, 0.05, 1.0);
	double s = -0.85 + 0.30 * r->cheap;
	if (holds(error_line, "SyntaxError"))
		s -= 0.10;
	if (holds(error_line, "AttributeError") || holds(error_line, "NameError"))
		s -= 0.05;
	if (!seed_text_has_import(code, in->code.n) || !seed_text_has_fixture(code, in->code.n))
		s -= 0.10;
	return clamp(s, -1.0, -0.05);
}

static int built_notes(struct notes *notes, const struct reward *r, const struct seed_input *in,
                       struct err *e)
{
	const struct figures *f = in->figures;
	int rc = 0;

	if (f->components > 120)
		rc |= notes_add(notes, e,
		                "Candidate has %ld mesh components; acceptable for assemblies only "
		                "if the parts are intentional.",
		                f->components);
	if (!f->watertight)
		rc |= notes_add(notes, e,
		                "Candidate mesh is not fully watertight; this is tolerated for "
		                "chair assemblies but should improve for monolithic parts.");
	if (f->large_gap_components > 0)
		rc |= notes_add(notes, e,
		                "Candidate has %ld significant separated components; smaller "
		                "assembly gaps are okay, large gaps reduce contact reward.",
		                f->large_gap_components);
	if (r->semantic_parts < 0.45)
		rc |= notes_add(notes, e,
		                "Candidate is weak on %s semantic hints; add/organize recognizable "
		                "subassemblies in code.",
		                in->task ? in->task->id : "office-chair");
	if (f->n_ref && r->reference_similarity < 0.35)
		rc |= notes_add(notes, e,
		                "Candidate is still far from the ideal CadQuery/reference GLB "
		                "shape.");
	if (!f->n_ref)
		rc |= notes_add(notes, e, "No reference to compare with; its terms are 0.5 each.");
	if (notes->n == 0)
		rc |= notes_add(notes, e, "Candidate built and scored successfully.");
	return rc;
}

int reward_seed(struct reward *out, struct seed_details *details, struct notes *notes,
                const struct seed_input *in, struct err *e)
{
	const char *code = in->code.p ? in->code.p : "", *raw = in->raw.p ? in->raw.p : "";
	struct seed_details d = { .geometry_score = NAN };
	struct reward r = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
	struct notes n = { 0 };
	struct text_ref line = { 0 };

	if (seed_text_cheap(&r.cheap, code, in->code.n, raw, in->raw.n, e) < 0 ||
	    seed_text_measure(&d.text, code, in->code.n, e) < 0 ||
	    seed_text_hints(&d.hint_share, NULL, code, in->code.n,
	                    in->task ? in->task->hints : NULL, in->task ? in->task->n_hints : 0,
	                    e) < 0)
		return -1;
	switch (in->outcome) {
	case SEED_BUILT:
		d.geometry_score = in->task ? task_geometry(in->figures, in->task)
		                            : chair_geometry(in->figures);
		r.build = 1.0;
		r.topology = in->figures->topology;
		r.contact = in->figures->contact;
		r.semantic_parts = clip01(0.35 * d.hint_share + 0.45 * d.geometry_score +
		                          0.20 * fmin(1.0, (double)d.text.functions / 6.0));
		reference_terms(&r, in->figures);
		r.editability = d.text.editability;
		r.efficiency = 1.0;
		r.total = total(&r, in->full);
		r.shaped = r.total;
		if (built_notes(&n, &r, in, e) < 0)
			goto fail;
		break;
	case SEED_BUILD_FAILED:
		r.total = -1.0;
		r.build = r.topology = r.semantic_parts = r.reference_similarity = r.silhouette =
			r.editability = r.efficiency = 0.0;
		r.shaped = fmax(-0.25, -0.20 + 0.60 * r.cheap);
		line = seed_error_line(in->stderr_text);
		if (notes_add(&n, e, "CadQuery code did not execute or did not export an STL.") <
		            0 ||
		    notes_add(&n, e, "Build error: %.*s", (int)line.n, line.n ? line.p : "") < 0)
			goto fail;
		break;
	case SEED_EVALUATOR_CRASH:
		r.shaped = 0.0; /* the trainer's value for an evaluation that came to nothing */
		break;
	}
	r.strict = strict_gate(&r, in, line);
	*out = r;
	if (details)
		*details = d;
	if (notes)
		*notes = n;
	else
		notes_release(&n);
	return 0;
fail:
	notes_release(&n);
	return -1;
}

enum seed_outcome seed_outcome_of(enum build_cause cause, bool figures)
{
	switch (cause) {
	case CAUSE_OK:
		return figures ? SEED_BUILT : SEED_EVALUATOR_CRASH;
	case CAUSE_WALL_LIMIT:
	case CAUSE_CPU_LIMIT: /* the same loop, on a machine where it had a core to itself */
	case CAUSE_SHAPE_LIMIT:
		return SEED_EVALUATOR_CRASH;
	default:
		return SEED_BUILD_FAILED;
	}
}
