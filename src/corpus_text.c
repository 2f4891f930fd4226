#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/corpus_inside.h"

/* ---- dice: splitmix64 ---- */

uint64_t dice_next(struct dice *d)
{
	uint64_t z = d->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int dice_below(struct dice *d, int n)
{
	return (int)((dice_next(d) >> 33) % (uint64_t)n);
}

bool dice_percent(struct dice *d, int percent)
{
	return dice_below(d, 100) < percent;
}

/* ---- texts to choose from ---- */

int choices(const char *texts)
{
	int n = 1;

	for (; *texts; texts++)
		n += *texts == '|';
	return n;
}

const char *choice_at(const char *texts, int k, size_t *len)
{
	for (; k > 0 && strchr(texts, '|'); k--)
		texts = strchr(texts, '|') + 1;
	*len = strcspn(texts, "|");
	return texts;
}

/* ---- expressions ---- */

struct reading {
	const struct family *f;
	const struct number_value *v;
	const char *p, *end;
	bool bad, absent; /* absent: a number that is not there was named */
};

static double sum(struct reading *r);

static char next_sign(struct reading *r)
{
	while (r->p < r->end && *r->p == ' ')
		r->p++;
	return r->p < r->end ? *r->p : '\0';
}

static double named(struct reading *r)
{
	const char *begin = r->p;

	while (r->p < r->end && (isalnum((unsigned char)*r->p) || *r->p == '_'))
		r->p++;
	size_t n = (size_t)(r->p - begin);
	for (int i = 0; i < FAMILY_NUMBERS && r->f->number[i].name; i++)
		if (strlen(r->f->number[i].name) == n &&
		    strncmp(r->f->number[i].name, begin, n) == 0) {
			r->absent = r->absent || !r->v[i].there;
			return r->v[i].value;
		}
	r->bad = true;
	return 0;
}

static double factor(struct reading *r)
{
	char c = next_sign(r);

	if (c == '-') {
		r->p++;
		return -factor(r);
	}
	if (c == '(') {
		r->p++;
		double v = sum(r);
		r->bad = r->bad || next_sign(r) != ')';
		r->p += !r->bad;
		return v;
	}
	if (isdigit((unsigned char)c)) {
		char *end;
		double v = strtod(r->p, &end);
		r->p = end;
		return v;
	}
	return named(r);
}

static double product(struct reading *r)
{
	double v = factor(r);

	for (char c = next_sign(r); !r->bad && (c == '*' || c == '/'); c = next_sign(r)) {
		r->p++;
		double by = factor(r);
		v = c == '*' ? v * by : v / by;
	}
	return v;
}

static double sum(struct reading *r)
{
	double v = product(r);

	for (char c = next_sign(r); !r->bad && (c == '+' || c == '-'); c = next_sign(r)) {
		r->p++;
		double by = product(r);
		v = c == '+' ? v + by : v - by;
	}
	return v;
}

int corpus_evaluate(double *out, const struct family *f, const struct number_value *v,
                    const char *text, size_t len, struct err *e)
{
	struct reading r = { .f = f, .v = v, .p = text, .end = text + len };
	double left = sum(&r);
	char c = next_sign(&r);

	if (!r.bad && (c == '<' || c == '>')) {
		bool equal = r.p + 1 < r.end && r.p[1] == '=';
		r.p += 1 + equal;
		double right = sum(&r), more = c == '<' ? right - left : left - right;
		left = r.absent || (equal ? more >= -1e-9 : more > 1e-9);
	}
	if (r.bad || next_sign(&r) != '\0')
		return err_set(e, ERR_INPUT, "family %s: \"%.*s\" is no expression of its numbers",
		               f->name, (int)len, text);
	*out = left;
	return 0;
}

/* ---- programs ---- */

static bool in_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* The value of the number that is called so, in parentheses where it needs them. */
static bool add_value(struct buf *out, const struct family *f, const struct number_value *v,
                      const char *name, size_t n)
{
	for (int i = 0; i < FAMILY_NUMBERS && f->number[i].name; i++)
		if (strlen(f->number[i].name) == n && strncmp(f->number[i].name, name, n) == 0) {
			buf_printf(out, v[i].value < 0 ? "(%.10g)" : "%.10g", v[i].value);
			return true;
		}
	return false;
}

/* A text of the family as Python. */
static void add_python(struct buf *out, const struct family *f, const struct number_value *v,
                       struct program_style style, const char *p, size_t len)
{
	for (const char *end = p + len; p < end;) {
		size_t n = 1;
		if (*p == '\'') {
			buf_addc(out, '"');
		} else if (*p == '@') {
			while (p + n < end && in_name(p[n]))
				n++;
			buf_printf(out, style.flat ? "%.*s" : "make_%.*s()", (int)n - 1, p + 1);
		} else if (isalpha((unsigned char)*p) || *p == '_') {
			while (p + n < end && in_name(p[n]))
				n++;
			if (!style.plain_numbers || !add_value(out, f, v, p, n))
				buf_add(out, p, n);
		} else {
			buf_addc(out, *p);
		}
		p += n;
	}
}

static void add_part(struct buf *out, const struct family *f, const struct number_value *v,
                     struct program_style style, const struct family_part *part)
{
	if (!style.flat)
		buf_printf(out, "\ndef make_%s():\n", part->name);
	for (const char *line = part->text;;) {
		size_t len = strcspn(line, "\n");
		bool last = line[len] == '\0';
		buf_adds(out, style.flat ? "" : "    ");
		if (last && style.flat)
			buf_printf(out, "%s = ", part->name);
		else if (last)
			buf_adds(out, "return ");
		add_python(out, f, v, style, line, len);
		buf_addc(out, '\n');
		if (last)
			break;
		line += len + 1;
	}
	if (!style.flat)
		buf_addc(out, '\n');
}

static bool chosen(int option, unsigned options)
{
	return option == 0 || (options >> option & 1);
}

/* fixture = the first, joined with and cut by the others; lines of some 90 signs. */
static void add_fixture(struct buf *out, const struct family *f, unsigned options, bool flat)
{
	enum { WIDE = 90 };
	size_t begin = out->len;
	bool first = true;

	for (int i = 0; i < FAMILY_PARTS && f->part[i].name; i++) {
		const struct family_part *p = &f->part[i];
		if (!p->how || !chosen(p->option, options))
			continue;
		char word[80];
		snprintf(word, sizeof(word), flat ? "%s" : "make_%s()", p->name);
		if (!first && out->len - begin + strlen(word) + 8 > WIDE) {
			buf_adds(out, "\n");
			begin = out->len;
			buf_printf(out, "fixture = fixture.%s(%s)", p->how, word);
		} else if (first) {
			buf_printf(out, "fixture = %s", word);
		} else {
			buf_printf(out, ".%s(%s)", p->how, word);
		}
		first = false;
	}
	buf_addc(out, '\n');
}

void corpus_program(struct buf *out, const struct family *f, const struct number_value *v,
                    unsigned options, struct program_style style)
{
	buf_adds(out, "import cadquery as cq\n\n");
	for (int i = 0; i < FAMILY_NUMBERS && f->number[i].name && !style.plain_numbers; i++) {
		const struct family_number *n = &f->number[i];
		if (!v[i].there)
			continue;
		buf_printf(out, "%s = ", n->name);
		if (v[i].asked)
			buf_printf(out, "%.10g\n", v[i].value);
		else
			buf_printf(out, "%s\n", n->otherwise);
	}
	if (!style.plain_numbers)
		buf_addc(out, '\n');
	for (int i = 0; i < FAMILY_PARTS && f->part[i].name; i++)
		if (chosen(f->part[i].option, options))
			add_part(out, f, v, style, &f->part[i]);
	buf_addc(out, '\n');
	add_fixture(out, f, options, style.flat);
}
