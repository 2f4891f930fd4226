#include <ctype.h>
#include <string.h>

#include "src/corpus_inside.h"

/* A program, and a place in it: the @skip-th of @what outside its constants, -1 when there is none.
 */
static long place_of(const struct buf *b, const char *what, int skip)
{
	const char *p = buf_str(b);

	for (;; p++) {
		p = strstr(p, what);
		if (!p)
			return -1;
		if (skip-- == 0)
			return p - buf_str(b);
	}
}

static int places(const struct buf *b, const char *what)
{
	int n = 0;

	while (place_of(b, what, n) >= 0)
		n++;
	return n;
}

/* @b with @len bytes at @at replaced. */
static void replace_at(struct buf *out, const struct buf *b, long at, size_t len, const char *by)
{
	buf_add(out, buf_str(b), (size_t)at);
	buf_adds(out, by);
	buf_adds(out, buf_str(b) + at + len);
}

static int replace_any(struct buf *out, const struct buf *b, const char *what, const char *by,
                       struct dice *dice)
{
	int n = places(b, what);

	if (n == 0)
		return -1;
	replace_at(out, b, place_of(b, what, dice_below(dice, n)), strlen(what), by);
	return 0;
}

/* A call that there is, and one that there is not. */
static int invent(struct buf *out, const struct buf *b, struct dice *dice)
{
	static const char *const calls[][2] = {
		{ ".extrude(", ".extrude_solid(" },
		{ ".extrude(", ".pad(" },
		{ ".union(", ".join(" },
		{ ".union(", ".fuse_with(" },
		{ ".cut(", ".subtract(" },
		{ ".cut(", ".difference(" },
		{ ".circle(", ".disc(" },
		{ ".rect(", ".rectangle(" },
		{ ".box(", ".cuboid(" },
		{ ".polyline(", ".path(" },
		{ ".translate(", ".shift(" },
		{ ".rarray(", ".grid(" },
		{ ".pushPoints(", ".points(" },
		{ ".polarArray(", ".circularArray(" },
		{ ".cylinder(", ".rod(" },
		{ ".mirror(", ".reflect(" },
	};
	enum { CALLS = sizeof(calls) / sizeof(*calls) };

	for (int at = dice_below(dice, CALLS), i = 0; i < CALLS; i++, at++)
		if (replace_any(out, b, calls[at % CALLS][0], calls[at % CALLS][1], dice) == 0)
			return 0;
	return -1;
}

static int unclose(struct buf *out, const struct buf *b, struct dice *dice)
{
	int n = places(b, ")\n");
	long at = place_of(b, ")\n", dice_below(dice, n));

	switch (dice_below(dice, 4)) {
	case 0: /* a bracket that is open */
	case 1:
		replace_at(out, b, at, 1, "");
		return 0;
	case 2: /* cut off within a call, before the end */
		buf_add(out, buf_str(b), (size_t)at);
		return 0;
	default: /* a colon or a bracket too many */
		if (replace_any(out, b, "():\n", "()\n", dice) == 0)
			return 0;
		replace_at(out, b, at, 1, "))");
		return 0;
	}
}

/* A constant that is used loses its line, or is misspelt where it is used. */
static int unname(struct buf *out, const struct buf *b, const struct family *f,
                  const struct number_value *v, struct dice *dice)
{
	int n = 0;

	while (n < FAMILY_NUMBERS && f->number[n].name)
		n++;
	if (dice_percent(dice, 8)) {
		buf_adds(out, buf_str(b) + strcspn(buf_str(b), "\n") + 2);
		return 0;
	}
	for (int at = dice_below(dice, n), i = 0; i < n; i++, at++) {
		const char *name = f->number[at % n].name, *begin = NULL, *used = NULL;
		size_t len = strlen(name);
		if (!v[at % n].there)
			continue;
		for (const char *p = strstr(buf_str(b), name); p; p = strstr(p + 1, name)) {
			bool whole = !isalnum((unsigned char)p[len]) && p[len] != '_' &&
			             !isalnum((unsigned char)p[-1]) && p[-1] != '_';
			if (whole && p[-1] == '\n' && !begin)
				begin = p;
			else if (whole && (!used || dice_percent(dice, 40)))
				used = p;
		}
		if (!begin || !used)
			continue;
		if (dice_percent(dice, 50)) {
			replace_at(out, b, begin - buf_str(b), strcspn(begin, "\n") + 1, "");
		} else {
			static const char *const ends[] = { "_mm", "s", "_x", "_1" };
			replace_at(out, b, used + len - buf_str(b), 0, ends[dice_below(dice, 4)]);
		}
		return 0;
	}
	return -1;
}

static int mistake_value(struct buf *out, const struct buf *b, struct dice *dice)
{
	static const char *const planes[][2] = {
		{ "Workplane(\"XY\"", "Workplane(\"XYZ\"" },
		{ "Workplane(\"XZ\"", "Workplane(\"ZZ\"" },
		{ "Workplane(\"YZ\"", "Workplane(\"side\"" },
		{ "Workplane(\"XY\"", "Workplane(\"TOP\"" },
	};
	/* a call whose argument is left out, or is no number */
	static const char *const calls[] = { ".extrude(", ".circle(", ".rect(", ".union(",
		                             ".cut(" };

	if (dice_percent(dice, 40)) {
		for (int at = dice_below(dice, 4), i = 0; i < 4; i++, at++)
			if (replace_any(out, b, planes[at % 4][0], planes[at % 4][1], dice) == 0)
				return 0;
	}
	for (int at = dice_below(dice, 5), i = 0; i < 5; i++, at++) {
		const char *call = calls[at % 5];
		int n = places(b, call), depth = 1;
		if (n == 0)
			continue;
		long begin = place_of(b, call, dice_below(dice, n)) + (long)strlen(call),
		     end = begin;
		while (depth > 0) {
			char c = buf_str(b)[end++];
			depth += (c == '(') - (c == ')');
		}
		/* union() without one is no mistake */
		bool text = dice_percent(dice, 40) || strcmp(call, ".union(") == 0;
		replace_at(out, b, begin, (size_t)(end - 1 - begin), text ? "\"10\"" : "");
		return 0;
	}
	return -1;
}

/* Under none of the names that the builder takes for the part as well. */
static int lose_fixture(struct buf *out, const struct buf *b, struct dice *dice)
{
	static const char *const names[] = { "final", "product", "item", "piece" };
	long at = place_of(b, "fixture = ", 0);

	if (dice_percent(dice, 30)) { /* its line is not there at all */
		buf_add(out, buf_str(b), (size_t)at);
		return 0;
	}
	const char *name = names[dice_below(dice, 4)];
	for (const char *p = buf_str(b); *p;)
		if (strncmp(p, "fixture", 7) == 0) {
			buf_adds(out, name);
			p += 7;
		} else {
			buf_addc(out, *p++);
		}
	return 0;
}

/* The piece that is joined last is somewhere else. */
static int move_away(struct buf *out, const struct buf *b, struct dice *dice)
{
	long at, line = place_of(b, "fixture = ", 0);
	int first = 0, n = places(b, ".union(");

	while (first < n && place_of(b, ".union(", first) < line)
		first++;
	if (first == n)
		return -1;
	at = place_of(b, ".union(", first + dice_below(dice, n - first)) + 7;
	int depth = 1;
	long end = at;
	while (depth > 0) {
		char c = buf_str(b)[end++];
		depth += (c == '(') - (c == ')');
	}
	static const char *const moves[] = { ".translate((0, 0, 2000))", ".translate((1500, 0, 0))",
		                             ".translate((0, 1800, 0))" };
	replace_at(out, b, end - 1, 0, moves[dice_below(dice, 3)]);
	return 0;
}

/* A number that the box hangs on is another. */
static int missize(struct buf *out, const struct family *f, const struct number_value *v,
                   unsigned options, bool flat, struct dice *dice)
{
	struct number_value other[FAMILY_NUMBERS];
	int n = 0;

	memcpy(other, v, sizeof(other));
	while (n < FAMILY_NUMBERS && f->number[n].name)
		n++;
	for (int at = dice_below(dice, n), i = 0; i < n; i++, at++)
		for (int a = 0; a < 3; a++)
			if (v[at % n].asked && strcmp(f->bbox[a], f->number[at % n].name) == 0) {
				other[at % n].value = v[at % n].value * 1.2;
				corpus_program(out, f, other, options,
				               (struct program_style){ .flat = flat });
				return 0;
			}
	return -1;
}

int corpus_break(struct buf *out, const struct family *f, const struct number_value *v,
                 unsigned options, bool flat, enum build_class aim, struct dice *dice)
{
	struct buf b = { 0 };
	int rc = -1;

	corpus_program(&b, f, v, options, (struct program_style){ .flat = flat });
	switch (aim) {
	case CLASS_SYNTAX_CLOSURE:
		rc = unclose(out, &b, dice);
		break;
	case CLASS_UNDEFINED_NAME:
		rc = unname(out, &b, f, v, dice);
		break;
	case CLASS_INVENTED_API:
		rc = invent(out, &b, dice);
		break;
	case CLASS_TYPE_OR_VALUE:
		rc = mistake_value(out, &b, dice);
		break;
	case CLASS_MISSING_FIXTURE:
		rc = lose_fixture(out, &b, dice);
		break;
	case CLASS_DISCONNECTED_OR_WEAK:
		rc = dice_percent(dice, 50) ? move_away(out, &b, dice) : -1;
		if (rc < 0)
			rc = missize(out, f, v, options, flat, dice);
		break;
	case CLASS_LOW_EDITABILITY:
		corpus_program(out, f, v, options,
		               (struct program_style){ .flat = true, .plain_numbers = true });
		rc = 0;
		break;
	default:
		break;
	}
	buf_release(&b);
	return rc;
}
