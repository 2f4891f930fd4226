#include "src/corpus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/corpus_inside.h"

/* One of so many classes of numbers, and of openings and ways to say numbers, is for prompts that
 * training does not see. */
enum { HELD_CLASSES = 8, DRAWS = 100000 };

const char *corpus_kind_name(enum corpus_kind k)
{
	static const char *const names[] = { "program", "repair", "drill" };

	return (int)k >= 0 && k < CORPUS_KINDS ? names[k] : "?";
}

int corpus_families(void)
{
	return corpus_all_count;
}

const char *corpus_family_name(int family)
{
	return corpus_all[family]->name;
}

bool corpus_family_unseen(int family)
{
	return family >= corpus_known;
}

const char *corpus_family_task(int family)
{
	return corpus_all[family]->task;
}

/* ---- numbers ---- */

enum place { UNTOLD, LISTED, IN_TEXT, IN_BOX, IN_WORDS }; /* IN_WORDS: in the description itself */

struct draft {
	const struct family *f;
	struct dice dice;
	enum corpus_stream stream;
	struct number_value v[FAMILY_NUMBERS];
	enum place place[FAMILY_NUMBERS];
	int n; /* numbers that the family has */
	unsigned options;
	double bbox[3];
	bool task;     /* the family's task: its numbers, its words */
	bool as_it_is; /* that, to the letter: as the workbench sends it */
	bool plain, flat;
	int says;
};

static bool option_on(const struct draft *d, int option)
{
	return option == 0 || (d->options >> option & 1);
}

static bool limits_hold(const struct draft *d, bool *hold, struct err *e)
{
	*hold = true;
	for (const char *p = d->f->limits; p && *p;) {
		size_t len = strcspn(p, ";");
		double yes;
		if (corpus_evaluate(&yes, d->f, d->v, p, len, e) < 0)
			return false;
		*hold = *hold && yes > 0;
		p += len + (p[len] == ';');
	}
	return true;
}

/* Numbers of the same class are in training or held out together. */
static bool held_numbers(const struct draft *d)
{
	struct dice hash = { 0x6361642d636c6173u };

	for (int i = 0; i < d->n; i++)
		if (d->v[i].asked)
			hash.state ^= dice_next(&hash) +
			              (uint64_t)llround(d->v[i].value * 1000) * 31 + (uint64_t)i;
	return dice_next(&hash) % HELD_CLASSES == 0;
}

static int draw_values(struct draft *d, struct err *e)
{
	for (int i = 0; i < d->n; i++) {
		const struct family_number *n = &d->f->number[i];
		struct number_value *v = &d->v[i];
		*v = (struct number_value){ .there = option_on(d, n->option) };
		bool may = v->there && n->labels;
		v->asked = d->task ? may && n->task != 0
		                   : may && (!n->otherwise || dice_percent(&d->dice, 45));
		if (v->asked) {
			int steps = (int)llround((n->high - n->low) / n->step);
			v->value = d->task ? n->task
			                   : n->low + n->step * dice_below(&d->dice, steps + 1);
			v->value = round(v->value * 1000) / 1000;
		} else if (n->otherwise && corpus_evaluate(&v->value, d->f, d->v, n->otherwise,
		                                           strlen(n->otherwise), e) < 0) {
			return -1;
		}
	}
	for (int a = 0; a < 3; a++)
		if (corpus_evaluate(&d->bbox[a], d->f, d->v, d->f->bbox[a], strlen(d->f->bbox[a]),
		                    e) < 0)
			return -1;
	return 0;
}

static unsigned draw_options(struct draft *d)
{
	unsigned options = 0;

	for (int i = 0; i < FAMILY_OPTIONS; i++) {
		const struct family_option *o = &d->f->option[i];
		if (o->clauses && (d->task ? o->task : dice_percent(&d->dice, o->percent)))
			options |= 2u << i;
	}
	return options;
}

static unsigned task_options(const struct family *f)
{
	unsigned options = 0;

	for (int i = 0; i < FAMILY_OPTIONS; i++)
		if (f->option[i].clauses && f->option[i].task)
			options |= 2u << i;
	return options;
}

static int says_count(const struct family *f)
{
	int n = 0;

	while (n < FAMILY_SAYS && f->says[n])
		n++;
	return n;
}

static bool whole_sentence(const char *text)
{
	return *text >= 'A' && *text <= 'Z';
}

/* Numbers and options; in training never a class that is held out, but for the tasks' own. */
static int draw(struct draft *d, struct err *e)
{
	int says = says_count(d->f);

	while (d->n < FAMILY_NUMBERS && d->f->number[d->n].name)
		d->n++;
	d->task = d->stream == CORPUS_TRAIN && d->f->task && dice_percent(&d->dice, 9);
	d->as_it_is = d->task && dice_percent(&d->dice, 40);
	d->says = d->stream == CORPUS_HELD     ? says - 1
	          : d->task                    ? 0
	          : d->stream == CORPUS_UNSEEN ? dice_below(&d->dice, says)
	                                       : dice_below(&d->dice, says - 1);
	for (int i = 0; i < DRAWS; i++) {
		bool hold;
		d->options = draw_options(d);
		if (whole_sentence(d->f->says[d->says]) && d->f->task)
			d->options = task_options(d->f);
		if (draw_values(d, e) < 0 || !limits_hold(d, &hold, e))
			return -1;
		if (hold && (d->task || d->stream == CORPUS_UNSEEN ||
		             held_numbers(d) == (d->stream == CORPUS_HELD)))
			return 0;
		if (d->task)
			break;
	}
	return err_set(e, ERR_INPUT, "family %s: no numbers found that keep its limits",
	               d->f->name);
}

/* ---- prompts ---- */

/* The last two of each are held out. */
static const char *const openings[] = {
	"Model %s",
	"Make %s",
	"Design %s",
	"Create %s",
	"Draw %s",
	"Build %s",
	"I need %s",
	"Please model %s",
	"Write CadQuery for %s",
	"Give me %s",
	"Wanted: %s",
	"Model %s in editable CadQuery",
	"CadQuery program for %s",
	"We need %s",
};
enum { OPENINGS = sizeof(openings) / sizeof(*openings), OPENINGS_HELD = 2 };

/* How a number is said: of a length (%s name, %s value), between two of them, before and behind. */
static const struct telling {
	const char *length, *count, *between, *before, *behind;
	bool constant; /* the constant's name instead of a label */
} tellings[] = {
	{ "%1$s %2$s mm", "%2$s %1$s", ", ", ". ", ".", false },
	{ "%1$s %2$s mm", "%2$s %1$s", ", ", ", ", ".", false },
	{ "%1$s: %2$s mm", "%1$s: %2$s", ", ", ". ", ".", false },
	{ "%1$s of %2$s mm", "%2$s %1$s", ", ", ", with ", ".", false },
	{ "%1$s = %2$s", "%1$s = %2$s", ", ", ". In mm: ", ".", true },
	{ "%2$s mm %1$s", "%2$s %1$s", ", ", ", ", ".", false },
	{ "the %1$s is %2$s mm", "there are %2$s %1$s", ", ", ". ", ".", false },
	{ "%1$s %2$s", "%1$s %2$s", "; ", ". Sizes in mm: ", ".", false },
	{ "- %1$s: %2$s mm", "- %1$s: %2$s", "\n", ".\n", "", false },
	{ "%1$s %2$s", "%1$s %2$s", ", ", ". ", " (mm).", true },
	{ "%1$s (%2$s mm)", "%1$s (%2$s)", ", ", ". Keep to ", ".", false },
	{ "%1$s must be %2$s mm", "%2$s %1$s", ", ", ". The ", ".", false },
};
enum { TELLINGS = sizeof(tellings) / sizeof(*tellings), TELLINGS_HELD = 2 };

static const char *const remarks[] = {
	"One solid.",      "Keep it editable.", "It is one piece.", "Use named dimensions.",
	"Nothing floats.", "All in mm.",
};
static const char *const flat_words[] = { "Flat script, no functions.", "Without functions.",
	                                  "Plain statements, no functions." };

static const char *pick(struct dice *dice, const char *const *texts, int n)
{
	return texts[dice_below(dice, n)];
}

static void say_value(char out[32], double v)
{
	snprintf(out, 32, "%.10g", v);
}

static void say_label(char out[40], struct draft *d, int i)
{
	const char *labels = d->f->number[i].labels;
	size_t len;
	const char *p = choice_at(labels, dice_below(&d->dice, choices(labels)), &len);

	snprintf(out, 40, "%.*s", (int)len, p);
}

/* The description with the values of its {names}. */
static void add_description(struct buf *out, struct draft *d)
{
	for (const char *p = d->f->says[d->says]; *p;) {
		size_t n = strcspn(p, "{");
		buf_add(out, p, n);
		p += n;
		if (*p != '{')
			break;
		size_t len = strcspn(++p, "}");
		for (int i = 0; i < d->n; i++)
			if (strlen(d->f->number[i].name) == len &&
			    strncmp(d->f->number[i].name, p, len) == 0) {
				char value[32];
				say_value(value, d->v[i].value);
				buf_adds(out, value);
				if (d->place[i] == IN_TEXT)
					d->place[i] = IN_WORDS;
			}
		p += len + 1;
	}
	if (whole_sentence(d->f->says[d->says]))
		return;
	for (int i = 0; i < FAMILY_OPTIONS; i++) {
		const char *clauses = d->f->option[i].clauses;
		size_t len;
		if (!clauses || !option_on(d, i + 1))
			continue;
		const char *c = choice_at(clauses, dice_below(&d->dice, choices(clauses)), &len);
		buf_printf(out, "%s%.*s", d->options & ((2u << i) - 1) ? " and " : ", ", (int)len,
		           c);
	}
}

/* The axis of the box that a number alone makes, or -1. */
static int box_axis(const struct draft *d, int i)
{
	for (int a = 0; a < 3; a++)
		if (strcmp(d->f->bbox[a], d->f->number[i].name) == 0)
			return a;
	return -1;
}

/* Where each number that is asked for is told. */
static void draw_places(struct draft *d)
{
	int mode = dice_below(&d->dice, 100); /* a list; in the text; both */
	bool box = !d->task && dice_percent(&d->dice, 25);

	for (int i = 0; i < d->n; i++) {
		bool list = d->task || mode < 40 || (mode >= 75 && dice_percent(&d->dice, 50));
		d->place[i] = !d->v[i].asked                          ? UNTOLD
		              : box && box_axis(d, i) >= 0            ? IN_BOX
		              : list && d->f->number[i].unit == IN_MM ? LISTED
		                                                      : IN_TEXT;
	}
}

static void draw_order(struct draft *d, int order[FAMILY_NUMBERS])
{
	for (int i = 0; i < d->n; i++)
		order[i] = i;
	for (int i = d->n - 1; i > 0 && !d->plain && !d->as_it_is; i--) {
		int k = dice_below(&d->dice, i + 1), other = order[i];
		order[i] = order[k];
		order[k] = other;
	}
}

/* "%1$s of %2$s mm" with both; own reading, since formats are literals. */
static void add_fact(struct buf *out, const char *form, const char *label, const char *value)
{
	for (; *form; form++)
		if (form[0] == '%') {
			buf_adds(out, form[1] == '1' ? label : value);
			form += 3;
		} else {
			buf_addc(out, *form);
		}
}

static void add_facts(struct buf *out, struct draft *d, const int order[FAMILY_NUMBERS],
                      const struct telling *t, struct corpus_document *doc)
{
	bool first = true;

	for (int k = 0; k < d->n; k++) {
		int i = order[k];
		const struct family_number *n = &d->f->number[i];
		char label[40], value[32];
		if (d->place[i] != IN_TEXT)
			continue;
		say_value(value, d->v[i].value);
		if (t->constant)
			snprintf(label, sizeof(label), "%s", n->name);
		else
			say_label(label, d, i);
		buf_adds(out, first ? t->before : t->between);
		size_t at = out->len;
		const char *form = n->unit == A_COUNT ? t->count : t->length;
		add_fact(out, form, label, value);
		for (int q = 0; q < doc->numbers; q++)
			if (strcmp(doc->number[q].name, n->name) == 0)
				snprintf(doc->number[q].words, sizeof(doc->number[q].words), "%s",
				         buf_str(out) + at);
		first = false;
	}
	buf_adds(out, first ? "" : t->behind);
}

static void say_prompt(struct buf *out, struct draft *d, const int order[FAMILY_NUMBERS],
                       struct corpus_document *doc)
{
	bool held = d->stream == CORPUS_HELD;
	int opening = dice_below(&d->dice, OPENINGS - (held ? 0 : OPENINGS_HELD));
	int telling = dice_below(&d->dice, TELLINGS - (held ? 0 : TELLINGS_HELD));
	struct buf description = { 0 };

	add_description(&description, d);
	if (whole_sentence(buf_str(&description))) {
		buf_adds(out, buf_str(&description));
		if (out->len && out->data[out->len - 1] == '.' &&
		    tellings[telling].before[0] != ' ')
			buf_clear(out), buf_add(out, buf_str(&description), description.len - 1);
	} else {
		const char *form = openings[opening];
		size_t n = (size_t)(strchr(form, '%') - form);
		buf_printf(out, "%.*s%s%s", (int)n, form, buf_str(&description), form + n + 2);
	}
	buf_release(&description);
	size_t before = out->len;
	add_facts(out, d, order, &tellings[telling], doc);
	if (out->len == before)
		buf_addc(out, '.');
	if (d->as_it_is)
		return;
	if (dice_percent(&d->dice, 15))
		buf_printf(out, " %s", pick(&d->dice, remarks, sizeof(remarks) / sizeof(*remarks)));
	if (d->flat)
		buf_printf(out, " %s",
		           pick(&d->dice, flat_words, sizeof(flat_words) / sizeof(*flat_words)));
}

/* ---- the task ---- */

static void add_check(cJSON *checks, const char *id, const char *kind, cJSON *want)
{
	cJSON *c = cJSON_CreateObject();

	cJSON_AddStringToObject(c, "id", id);
	cJSON_AddStringToObject(c, "kind", kind);
	cJSON_AddNumberToObject(c, "weight", 1);
	cJSON_AddStringToObject(c, "about", strcmp(kind, "solids") == 0 ? "one solid" : "the box");
	cJSON_AddItemToObject(c, "want", want);
	cJSON_AddItemToArray(checks, c);
}

/* Made as a text and read as any task's is: what it may be is decided in one place. */
static int make_task(struct corpus_document *doc, const char *name, const char *prompt,
                     bool at_most, cJSON *dimensions, struct err *e)
{
	cJSON *o = cJSON_CreateObject(), *checks = cJSON_CreateArray();
	char id[64];
	struct buf text = { 0 };

	snprintf(id, sizeof(id), "demo_%s", name);
	cJSON_AddStringToObject(o, "format", "cadforge-task-1");
	cJSON_AddStringToObject(o, "id", id);
	cJSON_AddStringToObject(o, "level", "easy");
	cJSON_AddStringToObject(o, "family", name);
	cJSON_AddItemToObject(o, "bbox_mm", cJSON_CreateDoubleArray(doc->bbox_mm, 3));
	cJSON_AddItemToObject(o, "semantic_hints", cJSON_CreateStringArray(&name, 1));
	cJSON_AddStringToObject(o, "prompt", prompt);
	cJSON_AddItemToObject(o, "dimensions", dimensions);
	cJSON *expect = cJSON_AddObjectToObject(o, "expect");
	if (at_most)
		cJSON_AddTrueToObject(expect, "envelope_is_maximum");
	cJSON_AddNullToObject(o, "reference");
	add_check(checks, "box", "bbox_mm", cJSON_CreateDoubleArray(doc->bbox_mm, 3));
	add_check(checks, "one_solid", "solids", cJSON_CreateNumber(1));
	cJSON_AddItemToObject(o, "checks", checks);
	json_print(&text, o);
	cJSON_Delete(o);
	snprintf(id + strlen(id), sizeof(id) - strlen(id), ".json");
	int rc = buf_failed(&text) ? err_set(e, ERR_MEM, "no memory for a task")
	                           : task_parse(&doc->task, buf_str(&text), text.len, id, e);
	buf_release(&text);
	return rc;
}

static cJSON *list_dimensions(struct draft *d, const int order[FAMILY_NUMBERS],
                              struct corpus_document *doc)
{
	cJSON *list = cJSON_CreateArray();

	for (int k = 0; k < d->n; k++) {
		int i = order[k];
		const struct family_number *n = &d->f->number[i];
		char label[40];
		if (d->place[i] != LISTED)
			continue;
		say_label(label, d, i);
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "name", n->name);
		cJSON_AddNumberToObject(o, "value_mm", d->v[i].value);
		cJSON_AddStringToObject(
			o, "about",
			n->about && (d->task || dice_percent(&d->dice, 70)) ? n->about : label);
		cJSON_AddItemToArray(list, o);
		for (int q = 0; q < doc->numbers; q++)
			if (strcmp(doc->number[q].name, n->name) == 0)
				snprintf(doc->number[q].words, sizeof(doc->number[q].words),
				         "%.30s = %.10g mm", n->name, d->v[i].value);
	}
	return list;
}

static void keep_numbers(struct corpus_document *doc, const struct draft *d)
{
	for (int i = 0; i < d->n && doc->numbers < CORPUS_NUMBERS_MAX; i++) {
		struct corpus_number *n = &doc->number[doc->numbers];
		if (!d->v[i].asked)
			continue;
		snprintf(n->name, sizeof(n->name), "%s", d->f->number[i].name);
		snprintf(n->words, sizeof(n->words), d->place[i] == IN_BOX ? "box %.10g" : "%.10g",
		         d->v[i].value);
		n->value = d->v[i].value;
		doc->numbers++;
	}
}

/* ---- documents ---- */

static int text_of(char **out, struct buf *b, struct err *e)
{
	*out = buf_take(b, NULL);
	return *out ? 0 : err_set(e, ERR_MEM, "no memory for a document");
}

static int make_program(struct corpus_document *doc, struct draft *d, bool broken, struct err *e)
{
	struct buf prompt = { 0 }, program = { 0 }, wrong = { 0 };
	int order[FAMILY_NUMBERS] = { 0 }, rc = -1;

	if (draw(d, e) < 0)
		return -1;
	d->flat = !d->task && dice_percent(&d->dice, 18);
	draw_places(d);
	draw_order(d, order);
	keep_numbers(doc, d);
	memcpy(doc->bbox_mm, d->bbox, sizeof(doc->bbox_mm));
	say_prompt(&prompt, d, order, doc);
	if (make_task(doc, d->f->name, buf_str(&prompt), d->f->at_most && d->says == 0,
	              list_dimensions(d, order, doc), e) < 0)
		goto out;
	corpus_program(&program, d->f, d->v, d->options, (struct program_style){ .flat = d->flat });
	/* not every program can be broken in every way */
	static const enum build_class aims[] = {
		CLASS_SYNTAX_CLOSURE,  CLASS_UNDEFINED_NAME,  CLASS_INVENTED_API,
		CLASS_TYPE_OR_VALUE,   CLASS_MISSING_FIXTURE, CLASS_DISCONNECTED_OR_WEAK,
		CLASS_LOW_EDITABILITY,
	};
	enum { AIMS = sizeof(aims) / sizeof(*aims) };
	for (int at = dice_below(&d->dice, AIMS), i = 0; broken; i++, at++) {
		doc->breakage = (int)aims[at % AIMS];
		buf_clear(&wrong);
		if (corpus_break(&wrong, d->f, d->v, d->options, d->flat, aims[at % AIMS],
		                 &d->dice) == 0)
			break;
		if (i == AIMS) {
			err_set(e, ERR_INPUT, "family %s: no way to break its program", d->f->name);
			goto out;
		}
	}
	if (text_of(&doc->program, &program, e) < 0 ||
	    (broken && text_of(&doc->broken, &wrong, e) < 0))
		goto out;
	rc = 0;
out:
	buf_release(&prompt);
	buf_release(&program);
	buf_release(&wrong);
	return rc;
}

/* Labelled numbers of several families in, assignments out, in the order of the prompt. */
static int make_drill(struct corpus_document *doc, struct draft *d, struct err *e)
{
	static const char *const heads[] = { "Only the constants", "Constants only",
		                             "Just the named numbers" };
	int want = 3 + dice_below(&d->dice, 5), order[FAMILY_NUMBERS], rc = -1;
	struct family mixed = { .name = "drill" };
	struct buf prompt = { 0 }, program = { 0 };

	for (int tries = 0; d->n < want && tries < 200; tries++) {
		const struct family *f = corpus_all[dice_below(&d->dice, corpus_known)];
		int n = 0, i;
		while (n < FAMILY_NUMBERS && f->number[n].name)
			n++;
		const struct family_number *x = &f->number[dice_below(&d->dice, n)];
		for (i = 0; i < d->n && strcmp(mixed.number[i].name, x->name) != 0; i++)
			;
		if (i < d->n || !x->labels)
			continue;
		double step = x->step < 1 || dice_percent(&d->dice, 60) ? x->step : 1;
		int steps = (int)llround((x->high * 1.25 - x->low) / step);
		d->v[d->n] = (struct number_value){ .there = true, .asked = true };
		d->v[d->n].value =
			round((x->low + step * dice_below(&d->dice, steps + 1)) * 1000) / 1000;
		mixed.number[d->n++] = *x;
	}
	d->f = &mixed;
	mixed.bbox[0] = mixed.bbox[1] = mixed.bbox[2] = "";
	/* the box: three more, sometimes all there is to say of those */
	for (int a = 0; a < 3; a++)
		doc->bbox_mm[a] = 5 + 5 * dice_below(&d->dice, 120);
	for (int i = 0; i < d->n; i++)
		if (d->v[i].value <= 0)
			d->v[i].value = mixed.number[i].step;
	draw_places(d);
	draw_order(d, order);
	keep_numbers(doc, d);
	buf_adds(&prompt, pick(&d->dice, heads, sizeof(heads) / sizeof(*heads)));
	size_t before = prompt.len;
	bool held = d->stream == CORPUS_HELD;
	add_facts(&prompt, d, order,
	          &tellings[dice_below(&d->dice, TELLINGS - (held ? 0 : TELLINGS_HELD))], doc);
	if (prompt.len == before)
		buf_addc(&prompt, '.');
	if (make_task(doc, "drill", buf_str(&prompt), false, list_dimensions(d, order, doc), e) < 0)
		goto out;
	for (int i = 0; i < d->n; i++)
		buf_printf(&program, "%s = %.10g\n", mixed.number[i].name, d->v[i].value);
	rc = text_of(&doc->program, &program, e);
out:
	buf_release(&prompt);
	buf_release(&program);
	return rc;
}

/* A family, by weight. */
static int draw_family(struct dice *dice, enum corpus_stream stream)
{
	int from = stream == CORPUS_UNSEEN ? corpus_known : 0, all = 0;
	int to = stream == CORPUS_UNSEEN ? corpus_all_count : corpus_known;

	for (int i = from; i < to; i++)
		all += corpus_all[i]->weight ? corpus_all[i]->weight : 10;
	int at = dice_below(dice, all);
	for (int i = from; i < to; i++) {
		at -= corpus_all[i]->weight ? corpus_all[i]->weight : 10;
		if (at < 0)
			return i;
	}
	return to - 1;
}

int corpus_make(struct corpus_document *out, const struct corpus_options *o,
                enum corpus_stream stream, uint64_t number, struct err *e)
{
	struct dice seeds = { o->seed * 3 + (uint64_t)stream };
	struct draft d = { .stream = stream, .dice = { dice_next(&seeds) ^ number * 0x9e3779b9u } };
	struct corpus_document doc = { .family = -1, .number_of = number };

	dice_next(&d.dice);
	double what = (double)(dice_next(&d.dice) >> 11) / (double)(1ull << 53);
	doc.kind = what < o->drills                ? CORPUS_DRILL
	           : what < o->drills + o->repairs ? CORPUS_REPAIR
	                                           : CORPUS_PROGRAM;
	d.plain = (double)(dice_next(&d.dice) >> 11) / (double)(1ull << 53) < o->plain;
	int rc;
	if (doc.kind == CORPUS_DRILL) {
		rc = make_drill(&doc, &d, e);
	} else {
		doc.family = draw_family(&d.dice, stream);
		d.f = corpus_all[doc.family];
		rc = make_program(&doc, &d, doc.kind == CORPUS_REPAIR, e);
	}
	if (rc < 0) {
		corpus_release(&doc);
		return err_wrap(e, "document %llu", (unsigned long long)number);
	}
	*out = doc;
	return 0;
}

void corpus_release(struct corpus_document *d)
{
	task_release(&d->task);
	free(d->program);
	free(d->broken);
	*d = (struct corpus_document){ 0 };
}

int corpus_row(struct buf *out, const struct corpus_document *d, const struct prompt_set *set,
               const struct repair_turn *turn, struct err *e)
{
	if (d->kind == CORPUS_REPAIR && !turn)
		return err_set(e, ERR_INPUT, "a repair needs the turn of its broken program");
	cJSON *messages = repair_messages(set, &d->task, d->kind == CORPUS_REPAIR ? turn : NULL, e);
	if (!messages)
		return -1;
	cJSON *row = cJSON_CreateObject(), *answer = cJSON_CreateObject();
	cJSON_AddStringToObject(answer, "role", "assistant");
	cJSON_AddStringToObject(answer, "content", d->program);
	cJSON_AddItemToArray(messages, answer);
	cJSON_AddItemToObject(row, "messages", messages);
	cJSON_AddStringToObject(row, "task", d->task.id);
	cJSON_AddStringToObject(row, "kind", corpus_kind_name(d->kind));
	json_print(out, row);
	buf_addc(out, '\n');
	cJSON_Delete(row);
	return buf_failed(out) ? err_set(e, ERR_MEM, "no memory for a row") : 0;
}

int corpus_numbers_found(const struct corpus_document *d, const char *program)
{
	bool found[CORPUS_NUMBERS_MAX] = { false };
	int n = 0;

	for (const char *p = program; *p;) {
		bool inside = p > program && (strchr("_.", p[-1]) || (p[-1] | 32) >= 'a');
		char *end = NULL;
		double v = *p >= '0' && *p <= '9' ? strtod(p, &end) : 0;
		for (int i = 0; end && !inside && i < d->numbers; i++)
			found[i] = found[i] || fabs(v - d->number[i].value) < 1e-9;
		p = end ? end : p + 1;
	}
	for (int i = 0; i < d->numbers; i++)
		n += found[i];
	return n;
}
