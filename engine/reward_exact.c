#include "engine/reward_exact.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *label;
} terms[TERM_COUNT] = {
	[TERM_BUILD] = { "build", "build" },
	[TERM_TOPOLOGY] = { "topology", "topology" },
	[TERM_CONTACT] = { "contact", "contact" },
	[TERM_SEMANTIC_PARTS] = { "semantic_parts", "semantic parts" },
	[TERM_REFERENCE_SIMILARITY] = { "reference_similarity", "reference similarity" },
	[TERM_SILHOUETTE] = { "silhouette", "silhouette" },
	[TERM_EDITABILITY] = { "editability", "editability" },
	[TERM_EFFICIENCY] = { "efficiency", "efficiency" },
};

const char *reward_term_name(enum reward_term t)
{
	return t < TERM_COUNT ? terms[t].name : "?";
}

const char *reward_term_label(enum reward_term t)
{
	return t < TERM_COUNT ? terms[t].label : "?";
}

void reward_terms(const struct reward *r, double out[TERM_COUNT])
{
	const double v[TERM_COUNT] = {
		[TERM_BUILD] = r->build,
		[TERM_TOPOLOGY] = r->topology,
		[TERM_CONTACT] = r->contact,
		[TERM_SEMANTIC_PARTS] = r->semantic_parts,
		[TERM_REFERENCE_SIMILARITY] = r->reference_similarity,
		[TERM_SILHOUETTE] = r->silhouette,
		[TERM_EDITABILITY] = r->editability,
		[TERM_EFFICIENCY] = r->efficiency,
	};

	memcpy(out, v, sizeof(v));
}

/* ---- profiles ---- */

/* The member @key of @o (a number in [@min, @max]); where it stands is @in, "" at the top. */
static int number(const cJSON *o, const char *in, const char *key, double min, double max,
                  double *out, struct err *e)
{
	const char *dot = *in ? "." : "";
	double v;

	if (json_get_number(o, key, &v, e) < 0)
		return *in ? err_wrap(e, "%s", in) : -1;
	if (!(v >= min && v <= max))
		return err_set(e, ERR_INPUT, "%s%s%s: a number from %g to %g was expected, got %g",
		               in, dot, key, min, max, v);
	*out = v;
	return 0;
}

/* Nothing but @keys (NULL at the end) is in @o: a misspelt key would else be no key at all. */
static int only(const cJSON *o, const char *in, const char *const *keys, struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, o)
	{
		const char *const *k = keys;
		while (*k && strcmp(*k, v->string) != 0)
			k++;
		if (!*k)
			return err_set(e, ERR_INPUT, "%s%s%.60s: no key of a profile", in,
			               *in ? "." : "", v->string);
	}
	return 0;
}

static const cJSON *object(const cJSON *o, const char *key, const char *const *keys, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!cJSON_IsObject(v)) {
		err_set(e, ERR_INPUT, "%s: an object was expected, got %s", key,
		        v ? "something else" : "nothing");
		return NULL;
	}
	return only(v, key, keys, e) < 0 ? NULL : v;
}

static int span(const cJSON *failed, const char *key, struct exact_failure_total *out,
                struct err *e)
{
	static const char *const keys[] = { "base", "span", NULL };
	const cJSON *o = object(failed, key, keys, e);

	if (!o || number(o, key, "base", -1, 0, &out->base, e) < 0 ||
	    number(o, key, "span", 0, -out->base, &out->span, e) < 0)
		return err_wrap(e, "failed");
	return 0;
}

static int sums_to_one(const char *what, double sum, struct err *e)
{
	if (fabs(sum - 1) > 1e-9)
		return err_set(e, ERR_INPUT, "%s: a sum of 1 was expected, got %.10g", what, sum);
	return 0;
}

static int parse_weights(struct exact_profile *p, const cJSON *top, struct err *e)
{
	const char *names[TERM_COUNT + 1] = { NULL };
	double sum = 0;

	for (int t = 0; t < TERM_COUNT; t++)
		names[t] = terms[t].name;
	const cJSON *w = object(top, "weights", names, e);
	if (!w)
		return -1;
	for (int t = 0; t < TERM_COUNT; t++) {
		if (number(w, "weights", terms[t].name, 0, 1, &p->weight[t], e) < 0)
			return -1;
		sum += p->weight[t];
	}
	if (sums_to_one("weights", sum, e) < 0)
		return -1;
	const cJSON *gated = cJSON_GetObjectItemCaseSensitive(top, "gated"), *g;
	if (!cJSON_IsArray(gated))
		return err_set(e, ERR_INPUT, "gated: an array of terms was expected");
	cJSON_ArrayForEach(g, gated)
	{
		int t = 0;
		while (t < TERM_COUNT && !(cJSON_IsString(g) && !strcmp(g->valuestring, names[t])))
			t++;
		if (t == TERM_COUNT)
			return err_set(e, ERR_INPUT,
			               "gated: the name of a term was expected, got %.60s",
			               cJSON_IsString(g) ? g->valuestring : "no text");
		if (t == TERM_SEMANTIC_PARTS)
			return err_set(e, ERR_INPUT,
			               "gated: semantic_parts is the gate; it is not behind it");
		p->gated[t] = true;
	}
	return 0;
}

static int parse_parts(struct exact_profile *p, const cJSON *top, struct err *e)
{
	static const char *const built_keys[] = { "floor", "scale", NULL };
	static const char *const failed_keys[] = { "syntax",    "stopped",         "unknown_name",
		                                   "exception", "no_final_object", "no_solid",
		                                   NULL };
	static const char *const edit_keys[] = {
		"rebuilds",  "change", "rebuilds_weight", "named_weight", "functions_weight",
		"functions", NULL
	};
	static const char *const slack_keys[] = { "slack", NULL };
	static const char *const checks_keys[] = { "together", NULL };
	static const char *const contact_keys[] = { "touch_mm", NULL };
	static const char *const reference_keys[] = { "iou_weight", "chamfer_scale", NULL };
	const cJSON *o = object(top, "built", built_keys, e);
	double n;

	if (!o || number(o, "built", "floor", 0, 1, &p->floor, e) < 0 ||
	    number(o, "built", "scale", 0, 1 - p->floor, &p->scale, e) < 0)
		return -1;
	o = object(top, "failed", failed_keys, e);
	if (!o || span(o, "syntax", &p->syntax, e) < 0 ||
	    span(o, "unknown_name", &p->unknown_name, e) < 0 ||
	    span(o, "exception", &p->exception, e) < 0 ||
	    number(o, "failed", "stopped", -1, 0, &p->stopped, e) < 0 ||
	    number(o, "failed", "no_final_object", -1, 0, &p->no_final_object, e) < 0 ||
	    number(o, "failed", "no_solid", -1, 0, &p->no_solid, e) < 0)
		return -1;
	o = object(top, "editability", edit_keys, e);
	if (!o || number(o, "editability", "rebuilds", 0, 64, &n, e) < 0 ||
	    number(o, "editability", "change", 0.001, 1, &p->change, e) < 0 ||
	    number(o, "editability", "rebuilds_weight", 0, 0.99, &p->rebuilds_weight, e) < 0 ||
	    number(o, "editability", "named_weight", 0, 1, &p->named_weight, e) < 0 ||
	    number(o, "editability", "functions_weight", 0, 1, &p->functions_weight, e) < 0 ||
	    number(o, "editability", "functions", 1, 1000, &p->functions, e) < 0 ||
	    sums_to_one("editability: the three weights",
	                p->rebuilds_weight + p->named_weight + p->functions_weight, e) < 0)
		return -1;
	if (n != floor(n))
		return err_set(e, ERR_INPUT,
		               "editability.rebuilds: a whole number was expected, got %g", n);
	p->rebuilds = (int)n;
	o = object(top, "efficiency", slack_keys, e);
	if (!o || number(o, "efficiency", "slack", 1, 1000, &p->slack, e) < 0)
		return -1;
	o = object(top, "checks", checks_keys, e);
	if (!o || number(o, "checks", "together", 0, 10, &p->together, e) < 0)
		return -1;
	o = object(top, "contact", contact_keys, e);
	if (!o || number(o, "contact", "touch_mm", 0, 1000, &p->touch_mm, e) < 0)
		return -1;
	o = object(top, "reference", reference_keys, e);
	if (!o || number(o, "reference", "iou_weight", 0, 1, &p->iou_weight, e) < 0 ||
	    number(o, "reference", "chamfer_scale", 1e-6, 1000, &p->chamfer_scale, e) < 0)
		return -1;
	return 0;
}

static int parse_top(struct exact_profile *p, const cJSON *top, struct err *e)
{
	static const char *const keys[] = { "format",     "name",   "about",   "weights",
		                            "gated",      "built",  "failed",  "editability",
		                            "efficiency", "checks", "contact", "reference",
		                            NULL };
	const char *format, *name, *about;

	if (!cJSON_IsObject(top))
		return err_set(e, ERR_INPUT, "a JSON object was expected");
	if (json_get_string(top, "format", &format, e) < 0 ||
	    json_get_string(top, "name", &name, e) < 0 ||
	    json_get_string(top, "about", &about, e) < 0)
		return -1;
	if (strcmp(format, "cadforge-profile-1") != 0)
		return err_set(e, ERR_INPUT, "format: cadforge-profile-1 was expected, got %.60s",
		               format);
	if (!*name || strlen(name) >= sizeof(p->name) ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_")])
		return err_set(
			e, ERR_INPUT,
			"name: 1 to %zu small letters, digits, - and _ were expected, got '%.80s'",
			sizeof(p->name) - 1, name);
	if (only(top, "", keys, e) < 0 || parse_weights(p, top, e) < 0)
		return -1;
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->about, sizeof(p->about), "%s", about);
	return parse_parts(p, top, e);
}

int exact_profile_parse(struct exact_profile *out, const char *text, size_t len, const char *name,
                        struct err *e)
{
	struct exact_profile p = { .rebuilds = 0 };
	cJSON *top = json_parse(text, len, e);
	int rc = top ? parse_top(&p, top, e) : -1;

	cJSON_Delete(top);
	if (rc < 0)
		return err_wrap(e, "%s", name);
	*out = p;
	return 0;
}

cJSON *exact_profile_constants(const struct exact_profile *p)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "touch_mm", p->touch_mm);
	cJSON_AddNumberToObject(o, "iou_weight", p->iou_weight);
	cJSON_AddNumberToObject(o, "chamfer_scale", p->chamfer_scale);
	return o;
}

/* ---- terms and totals ---- */

static double clip(double v)
{
	return v < 0 ? 0 : v > 1 ? 1 : v;
}

void exact_built(struct exact_reward *out, const struct exact_profile *p,
                 const double term[TERM_COUNT])
{
	struct exact_reward r = { .gate = 1 };
	double present = 0, dense = 0;

	for (int t = 0; t < TERM_COUNT; t++) {
		r.term[t] = isfinite(term[t]) ? clip(term[t]) : NAN;
		if (isfinite(r.term[t]))
			present += p->weight[t];
	}
	if (isfinite(r.term[TERM_SEMANTIC_PARTS]))
		r.gate = r.term[TERM_SEMANTIC_PARTS];
	for (int t = 0; t < TERM_COUNT; t++) {
		r.weight[t] = r.adds[t] = NAN;
		if (!isfinite(r.term[t]))
			continue;
		r.weight[t] = present > 0 ? p->weight[t] / present : 0;
		double v = r.weight[t] * (p->gated[t] ? r.gate : 1) * r.term[t];
		r.adds[t] = p->scale * v;
		dense += v;
	}
	r.total = p->floor + p->scale * dense;
	*out = r;
}

static double share(int part, int whole)
{
	return part > 0 && whole > 0 ? clip((double)part / whole) : 0;
}

double exact_failed_total(const struct exact_profile *p, const struct exact_failure *f)
{
	double done = share(f->statements_done, f->statements_all);

	switch (f->cause) {
	case CAUSE_SYNTAX:
	case CAUSE_BAD_INPUT: /* no UTF-8: there is no text that could be parsed */
		return p->syntax.base + p->syntax.span * share(f->line, f->lines);
	case CAUSE_REFUSED:
	case CAUSE_WALL_LIMIT:
	case CAUSE_CPU_LIMIT:
	case CAUSE_MEMORY_LIMIT:
	case CAUSE_OUTPUT_LIMIT:
	case CAUSE_PROCESS_LIMIT:
	case CAUSE_SHAPE_LIMIT:
		return p->stopped;
	case CAUSE_NAME:
	case CAUSE_ATTRIBUTE:
		return p->unknown_name.base + p->unknown_name.span * done;
	case CAUSE_TYPE:
	case CAUSE_VALUE:
	case CAUSE_KERNEL_ERROR:
	case CAUSE_OTHER_EXCEPTION:
	case CAUSE_CRASH:
		return p->exception.base + p->exception.span * done;
	case CAUSE_NO_FINAL_OBJECT:
	case CAUSE_NOT_A_SHAPE:
		return p->no_final_object;
	case CAUSE_EMPTY_SHAPE:
		return p->no_solid;
	case CAUSE_OK:
	case CAUSE_BUILDER_LOST:
	case CAUSE_COUNT:
		break;
	}
	return NAN;
}

void exact_failed(struct exact_reward *out, const struct exact_profile *p,
                  const struct exact_failure *f)
{
	*out = (struct exact_reward){ .total = exact_failed_total(p, f), .gate = NAN };
	for (int t = 0; t < TERM_COUNT; t++)
		out->term[t] = out->weight[t] = out->adds[t] = NAN;
}

/* As it was measured, also when it was credited before. */
static double raw_score(const cJSON *check)
{
	return json_number_or(check, "raw", json_number_or(check, "score", 0));
}

/* The weighted mean that is left of the scores by one blank. With @write they are written, each
 * @times what is left. */
static double credit_by(cJSON *checks, const double *blank, bool write, double times)
{
	double met = 0, room = 0, sum = 0, all = 0;
	cJSON *c;
	int i = 0;

	cJSON_ArrayForEach(c, checks)
	{
		double w = json_number_or(c, "weight", 1), s = raw_score(c);
		double b = blank ? clip(blank[i]) : 0;
		met += w * fmax(0, s - b);
		room += w * (1 - b);
		i++;
	}
	double rest = room > 0 ? met / room : 1;
	i = 0;
	cJSON_ArrayForEach(c, checks)
	{
		double w = json_number_or(c, "weight", 1), s = raw_score(c);
		double credit = blank ? fmax(0, s - clip(blank[i]) * (1 - rest)) : s;
		if (write) {
			cJSON_DeleteItemFromObjectCaseSensitive(c, "raw");
			cJSON_AddNumberToObject(c, "raw", s);
			cJSON_ReplaceItemInObjectCaseSensitive(c, "score",
			                                       cJSON_CreateNumber(times * credit));
		}
		sum += w * credit;
		all += w;
		i++;
	}
	return all > 0 ? sum / all : NAN;
}

double exact_credit(cJSON *checks, const double *blanks, int n_blanks, int n, double together)
{
	const double *least = NULL;
	double mean = INFINITY;

	if (cJSON_GetArraySize(checks) != n)
		n_blanks = 0;
	for (int k = 0; k < n_blanks; k++) {
		double m = credit_by(checks, blanks + (size_t)k * (size_t)n, false, 1);
		if (m < mean) {
			mean = m;
			least = blanks + (size_t)k * (size_t)n;
		}
	}
	double times = pow(credit_by(checks, least, false, 1), together);
	return credit_by(checks, least, true, times) * times;
}

void exact_edits_from_facts(struct exact_edits *x, const cJSON *facts)
{
	const cJSON *numbers = cJSON_GetObjectItemCaseSensitive(facts, "numbers");

	x->parsed = numbers != NULL;
	x->named_used = (int)json_number_or(numbers, "named_used", 0);
	x->numbers = (int)json_number_or(numbers, "counted", 0);
	x->functions = (int)json_number_or(facts, "functions_used", 0);
}

double exact_editability(const struct exact_profile *p, const struct exact_edits *x, int wanted)
{
	if (!x->parsed)
		return NAN;
	double named = share(x->named_used, x->numbers);
	double functions = fmin(1, x->functions / p->functions);
	double tree = p->named_weight * named + p->functions_weight * functions;

	if (wanted == 0)
		return clip(tree / (p->named_weight + p->functions_weight));
	return clip(p->rebuilds_weight * share(x->rebuilds_ok, x->rebuilds) + tree);
}

double exact_efficiency(const struct exact_profile *p, double faces, double reference_faces,
                        double nodes, double reference_nodes)
{
	double sum = 0;
	int n = 0;

	if (faces > 0 && reference_faces > 0) {
		sum += fmin(1, p->slack * reference_faces / faces);
		n++;
	}
	if (nodes > 0 && reference_nodes > 0) {
		sum += fmin(1, p->slack * reference_nodes / nodes);
		n++;
	}
	return n ? sum / n : NAN;
}

bool exact_shape_sound(const cJSON *g)
{
	return json_number_or(g, "solids", 0) >= 1 && json_bool_or(g, "closed", false) &&
	       json_bool_or(g, "valid", false) && json_number_or(g, "volume_mm3", 0) > 0;
}

static bool differs(double a, double b, double scale)
{
	if (!isfinite(a) || !isfinite(b))
		return isfinite(a) != isfinite(b);
	return fabs(a - b) > 1e-6 * fmax(scale, fmax(fabs(a), fabs(b)));
}

bool exact_shape_changed(const cJSON *before, const cJSON *after)
{
	static const char *const counts[] = { "solids", "shells", "faces", "edges", "vertices" };
	static const char *const sizes[] = { "volume_mm3", "area_mm2" };
	static const struct {
		const char *key;
		bool place; /* lengths: measured against the box */
	} lists[] = { { "bbox_mm", true },
		      { "center_of_mass_mm", true },
		      { "inertia_mm5", false } };
	const cJSON *box = cJSON_GetObjectItemCaseSensitive(before, "bbox_mm"), *v;
	double size = 0;

	cJSON_ArrayForEach(v, box) size = fmax(size, v->valuedouble);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		if (json_number_or(before, counts[i], -1) != json_number_or(after, counts[i], -1))
			return true;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		if (differs(json_number_or(before, sizes[i], NAN),
		            json_number_or(after, sizes[i], NAN), 0))
			return true;
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		const cJSON *a = cJSON_GetObjectItemCaseSensitive(before, lists[i].key);
		const cJSON *b = cJSON_GetObjectItemCaseSensitive(after, lists[i].key);
		double scale = lists[i].place ? size : 0;
		if (!lists[i].place) /* products of inertia near 0 are noise beside the moments */
			cJSON_ArrayForEach(v, a) if (cJSON_IsNumber(v)) scale =
				fmax(scale, fabs(v->valuedouble));
		if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b))
			return true;
		for (int k = 0; k < cJSON_GetArraySize(a); k++) {
			const cJSON *x = cJSON_GetArrayItem(a, k), *y = cJSON_GetArrayItem(b, k);
			if (differs(cJSON_IsNumber(x) ? x->valuedouble : NAN,
			            cJSON_IsNumber(y) ? y->valuedouble : NAN, scale))
				return true;
		}
	}
	return false;
}

/* ---- rebuilds ---- */

/* Digits enough to read back as the same number, none that are not needed, and as people write it:
 * 550, not 5.5e+02, which would be no whole number to Python. */
static void print_number(char *out, size_t size, double v)
{
	bool plain = fabs(v) >= 1e-4 && fabs(v) < 1e15;

	for (int digits = plain ? 0 : 1; digits <= 20; digits++) {
		if (plain)
			snprintf(out, size, "%.*f", digits, v);
		else
			snprintf(out, size, "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			break;
	}
}

int exact_edit(struct buf *out, const char *program, size_t len, const cJSON *d, double change,
               bool whole, struct err *e)
{
	double from = json_number_or(d, "from", NAN), to = json_number_or(d, "to", NAN);
	double value = json_number_or(d, "value", NAN);
	char text[64], number_text[64];
	size_t n = 0;

	if (!isfinite(value) || value == 0 || !(from >= 0 && to > from && to <= (double)len) ||
	    to - from >= 256)
		return 1;
	/* the span must be what the facts say: of a cleaned text it may not be */
	size_t a = (size_t)from, b = (size_t)to;
	for (size_t i = a; i < b; i++)
		if (n + 1 < sizeof(text) && !strchr("_ \t()", program[i]))
			text[n++] = program[i];
	text[n] = '\0';
	char *end, *digits = text;
	double sign = 1;
	while (*digits == '-' || *digits == '+')
		sign *= *digits++ == '-' ? -1 : 1;
	/* 0x and 0b are whole numbers to Python; strtod() knows the first of them */
	double read = sign * strtod(digits, &end);
	if (end == digits || *end || fabs(read - value) > 1e-12 * fabs(value))
		return 1;
	double now = value + change * value;
	if (whole)
		now = value > 0 ? fmax(value + 1, floor(now)) : fmin(value - 1, ceil(now));
	/* 100 + 10 % is 110 and not 110.00000000000001 */
	snprintf(number_text, sizeof(number_text), "%.12g", now);
	now = strtod(number_text, NULL);
	if (!isfinite(now))
		return 1;
	print_number(number_text, sizeof(number_text), now);
	/* "1e+20" is a float to Python and a whole one was wanted, or the other way round: a whole
	 * number written as one stays one, and 5.0 does not become 6 */
	bool was_whole = !strpbrk(text, ".eE") || strncmp(digits, "0x", 2) == 0;
	bool is_whole = !strpbrk(number_text, ".eE");
	if (whole && !is_whole)
		snprintf(number_text, sizeof(number_text), "%.0f", now);
	else if (!was_whole && is_whole)
		strcat(number_text, ".0");
	buf_add(out, program, a);
	buf_printf(out, "%s", number_text);
	buf_add(out, program + b, len - b);
	return buf_failed(out) ? err_set(e, ERR_MEM, "out of memory for a rebuild") : 0;
}

/* ---- words ---- */

enum { CHECK_NOTES_MAX = 8 };

static int add(struct notes *n, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int add(struct notes *n, struct err *e, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	char **more = realloc(n->text, ((size_t)n->n + 1) * sizeof(*more));
	if (more)
		n->text = more;
	char *text = more ? buf_take(&b, NULL) : NULL;
	buf_release(&b);
	if (!text)
		return err_set(e, ERR_MEM, "no memory for a note");
	n->text[n->n++] = text;
	return 0;
}

static int failure_note(struct notes *n, const struct build *b, struct err *e)
{
	const char *said = b->error ? b->error : build_cause_label(b->cause);
	const char *source = b->line > 0 && b->source ? b->source : "";
	size_t len = strlen(said);
	const char *stop = len > 0 && strchr(".?!", said[len - 1]) ? "" : ".";

	source += strspn(source, " \t");
	return add(n, e, "Not built: %s%s%s%s", said, stop, *source ? " The line: " : "", source);
}

struct fallen {
	const cJSON *check;
	double lost;
	int order;
};

static int heavier_first(const void *a, const void *b)
{
	const struct fallen *x = a, *y = b;

	if (x->lost != y->lost)
		return x->lost > y->lost ? -1 : 1;
	return x->order - y->order;
}

/* As it was evaluated, whatever the rest of the part is. */
static double own_score(const cJSON *check, double def)
{
	return json_number_or(check, "raw", json_number_or(check, "score", def));
}

static int check_notes(struct notes *n, const cJSON *checks, struct err *e)
{
	int all = cJSON_GetArraySize(checks), n_fallen = 0, i = 0, rc = 0;
	struct fallen *f = calloc((size_t)all + 1, sizeof(*f));
	const cJSON *c;

	if (!f)
		return err_set(e, ERR_MEM, "no memory for notes");
	cJSON_ArrayForEach(c, checks)
	{
		double lost = json_number_or(c, "weight", 1) * (1 - own_score(c, 0));
		i++;
		if (!json_bool_or(c, "ok", false) && lost > 0)
			f[n_fallen++] = (struct fallen){ c, lost, i };
	}
	qsort(f, (size_t)n_fallen, sizeof(*f), heavier_first);
	for (i = 0; i < n_fallen && i < CHECK_NOTES_MAX && rc == 0; i++)
		rc = add(n, e, "Check %s: %s.", json_string_or(f[i].check, "id", "?"),
		         json_string_or(f[i].check, "why", "fell short"));
	if (rc == 0 && n_fallen > CHECK_NOTES_MAX)
		rc = add(n, e, "%d more checks fell short.", n_fallen - CHECK_NOTES_MAX);
	free(f);
	return rc;
}

static int reason_note(struct notes *n, const cJSON *exact, const char *key, const char *label,
                       double term, struct err *e)
{
	const cJSON *d = cJSON_GetObjectItemCaseSensitive(exact, key);
	const char *why = json_string_or(d, "why", NULL);

	if (!why || !*why || !(term < 1))
		return 0;
	return add(n, e, "%s: %s.", label, why);
}

static int edit_notes(struct notes *n, const struct exact_advice *a, struct err *e)
{
	const struct exact_edits *x = a->edits;
	const cJSON *r;
	int rc = 0;

	cJSON_ArrayForEach(r, a->rebuilds)
	{
		const char *why = json_string_or(r, "why", NULL);
		if (why && rc == 0)
			rc = add(n, e, "Editing %s from %s to %s: %s.",
			         json_string_or(r, "name", "?"), json_string_or(r, "from", "?"),
			         json_string_or(r, "to", "?"), why);
	}
	if (rc == 0 && x->numbers > 0 && x->named_used * 2 < x->numbers)
		rc = add(
			n, e,
			"%d of %d numbers have a name that the part is made by: give each dimension a name "
			"at the top and use it.",
			x->named_used, x->numbers);
	if (rc == 0 && x->functions == 0)
		rc = add(n, e, "No helper function makes a piece of the part: write one for each.");
	return rc;
}

int exact_notes(struct notes *out, const struct exact_advice *a, struct err *e)
{
	struct notes n = { 0 };
	const double *t = a->reward->term;
	int rc = 0;

	if (!a->build->ok) {
		rc = failure_note(&n, a->build, e);
	} else {
		const cJSON *checks = cJSON_GetObjectItemCaseSensitive(a->exact, "checks");
		if (check_notes(&n, checks, e) < 0 ||
		    reason_note(&n, a->exact, "topology_details", "Topology", t[TERM_TOPOLOGY], e) <
		            0 ||
		    reason_note(&n, a->exact, "contact_details", "Contact", t[TERM_CONTACT], e) < 0)
			rc = -1;
		/* a part that does what was asked may look otherwise than the reference */
		if (rc == 0 && t[TERM_REFERENCE_SIMILARITY] < 0.5 &&
		    !(t[TERM_SEMANTIC_PARTS] > 0.9))
			rc = add(
				&n, e,
				"The solid shares %.0f %% of its volume with the reference and lies "
				"%.1f mm from it on the mean: sizes and places are mm, from the text "
				"of the task.",
				100 * json_number_or(a->exact, "iou", 0),
				json_number_or(a->exact, "chamfer_mm", 0));
		if (rc == 0)
			rc = edit_notes(&n, a, e);
		if (rc == 0 && t[TERM_EFFICIENCY] < 0.5)
			rc = add(
				&n, e,
				"It takes %.0f faces and %.0f syntax nodes; the reference has %.0f "
				"and %.0f.",
				json_number_or(a->exact, "faces", 0), a->nodes,
				json_number_or(a->exact, "reference_faces", 0), a->reference_nodes);
		if (rc == 0 && n.n == 0)
			rc = add(&n, e, "%s",
			         cJSON_GetArraySize(checks) ? "Every check is met."
			                                    : "It is built and sound.");
	}
	if (rc < 0) {
		notes_release(&n);
		return -1;
	}
	*out = n;
	return 0;
}

static double figure(const cJSON *score, const char *key)
{
	return json_number_or(cJSON_GetObjectItemCaseSensitive(score, "reward"), key, NAN);
}

cJSON *exact_delta(const cJSON *parent, const cJSON *score)
{
	const cJSON *before = cJSON_GetObjectItemCaseSensitive(parent, "checks"), *old, *now;
	const cJSON *after = cJSON_GetObjectItemCaseSensitive(score, "checks");
	cJSON *d = cJSON_CreateObject(), *list;

	json_add_figure(d, "total", figure(score, "total") - figure(parent, "total"));
	for (int t = 0; t < TERM_COUNT; t++)
		json_add_figure(d, terms[t].name,
		                figure(score, terms[t].name) - figure(parent, terms[t].name));
	list = cJSON_AddArrayToObject(d, "checks");
	cJSON_ArrayForEach(now, after)
	{
		const char *id = json_string_or(now, "id", "");
		old = NULL;
		for (const cJSON *o = before ? before->child : NULL; o && !old; o = o->next)
			if (strcmp(json_string_or(o, "id", ""), id) == 0)
				old = o;
		double a = own_score(old, NAN), b = own_score(now, NAN);
		if (a == b || (isnan(a) && isnan(b)))
			continue;
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "id", id);
		json_add_figure(o, "from", a);
		json_add_figure(o, "to", b);
		cJSON_AddItemToArray(list, o);
	}
	return d;
}
