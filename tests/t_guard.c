/* The code guard and its lexer, over a vocabulary of the test's own. */
#include "tests/lib.h"

#include <dirent.h>

#include "gpu/guard.h"
#include "gpu/pylex.h"
#include "src/base/json.h"

/* ---- a tokenizer: every byte, and pieces that cross every border there is ---- */

static const char *const pieces[] = {
	"import",     " import",   "cadquery", " cadquery",  " as",         " cq",        "cq",
	".Workplane", ".box",      ".boxx",    ".Box",       "(\"",         "\"XY",       "\")",
	").",         "()",        "())",      ")\n",        "\n\n",        "\n    ",     "    ",
	"        ",   ":\n",       "):\n",     "\"\"\"",     "'''",         "\"\"",       " =",
	" = ",        "==",        "fixture",  "result",     "def",         "return",     " return",
	"#",          " #",        "```",      "```\n",      "```python\n", "[0]",        "[",
	"](",         ")]",        "})",       "{\"",        "f\"",         "\\\n",       "The",
	" part",      "\r\n",      ".faces",   "\">Z\"",     ".edges",      ".workplane", ".hole",
	".sketch",    ".finalize", ".val",     ".exporters", "Workplane",   "try",        "if",
	"$",          "?",         "!",        "!=",         "show_object", "(result",    "é",
	" ≥",         "</think>",  "<think>",  "\t",         ";",           " \n",        "work",
	"plane",      "x",         "y = 1\n"
};
enum {
	N_PIECES = sizeof(pieces) / sizeof(*pieces),
	ID_END = 256 + N_PIECES,
	ID_PAD,
	VOCABULARY = ID_PAD + 6
};

struct tokenizer {
	char byte[256];
};
static struct tokenizer bytes;

int tokenizer_size(const struct tokenizer *t)
{
	(void)t;
	return ID_PAD + 1;
}

int32_t tokenizer_added(const struct tokenizer *t, const char *text)
{
	(void)t;
	for (int i = 0; i < N_PIECES; i++)
		if (strcmp(pieces[i], text) == 0 && strstr(text, "think>"))
			return 256 + i;
	return -1;
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len, bool *special)
{
	*special = id >= ID_END;
	*len = id < 256 ? 1 : id < ID_END ? strlen(pieces[id - 256]) : 5;
	return id < 256 ? &t->byte[id] : id < ID_END ? pieces[id - 256] : "<end>";
}

int tokenizer_stops(const struct tokenizer *t, int32_t *out, int cap)
{
	(void)t;
	assert_true(cap > 0);
	out[0] = ID_END;
	return 1;
}

static struct guard_names *names;

static int setup(void **state)
{
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes.byte[i] = (char)i;
	if (buf_read_file(&b, SRCDIR "/tests/data/guard/names.json", 1 << 20, &e) < 0)
		fail_msg("%s", e.text);
	names = guard_names_parse(buf_str(&b), b.len, "names.json", &e);
	if (!names)
		fail_msg("%s", e.text);
	buf_release(&b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guard_names_close(names);
	return 0;
}

static struct guard *begin(void)
{
	struct err e = { 0 };
	struct guard *g = guard_open(&bytes, names, VOCABULARY, &e);

	if (!g)
		fail_msg("%s", e.text);
	return g;
}

static bool allows(struct guard *g, int32_t id)
{
	const uint64_t *m = guard_mask(g);

	return !m || (m[id >> 6] >> (id & 63) & 1);
}

static int32_t piece(const char *text)
{
	if (strlen(text) == 1)
		return (unsigned char)*text;
	for (int i = 0; i < N_PIECES; i++)
		if (strcmp(pieces[i], text) == 0)
			return 256 + i;
	fail_msg("no piece '%s'", text);
	return -1;
}

/* A small generator, for segmentations that differ. */
static uint32_t dice(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* The next token of @text, which begins there: any of those that fit. */
static int32_t some_token(const char *text, size_t len, uint32_t *seed)
{
	int fit[N_PIECES + 1], n = 0;

	fit[n++] = (unsigned char)*text;
	for (int i = 0; i < N_PIECES; i++) {
		size_t k = strlen(pieces[i]);
		if (k <= len && memcmp(text, pieces[i], k) == 0)
			fit[n++] = 256 + i;
	}
	return fit[dice(seed) % (uint32_t)n];
}

/* Goes through @text in some segmentation. -1: no token was masked, and the end isn't at the end;
 * else the offset of the masked token. */
static long replay(const char *text, size_t len, uint32_t seed, char *why, size_t why_len)
{
	struct guard *g = begin();
	size_t at = 0;
	long rc = -1;

	while (at < len) {
		int32_t id = some_token(text + at, len - at, &seed);
		if (!allows(g, id)) {
			guard_why(g, id, why, why_len);
			rc = (long)at;
			goto out;
		}
		size_t k;
		bool special;
		tokenizer_bytes(&bytes, id, &k, &special);
		guard_accept(g, id);
		at += k;
	}
	if (!allows(g, ID_END)) {
		guard_why(g, ID_END, why, why_len);
		rc = (long)len;
	}
out:
	guard_close(g);
	return rc;
}

static void goes_through(const char *text)
{
	char why[200] = "";

	for (uint32_t seed = 1; seed <= 5; seed++) {
		long at = replay(text, strlen(text), seed, why, sizeof(why));
		if (at >= 0)
			fail_msg("masked at %ld ('%.30s'): %s\n%s", at, text + at, why, text);
	}
}

/* @text stops at @at (offset of the byte that can't be) for the reason given. */
static void stops_at(const char *text, const char *before, const char *reason)
{
	const char *there = strstr(text, before);
	char why[200] = "";

	assert_non_null(there);
	for (uint32_t seed = 1; seed <= 5; seed++) {
		long at = replay(text, strlen(text), seed, why, sizeof(why));
		long want = there - text;
		if (at < 0)
			fail_msg("not masked: %s", text);
		/* a token may begin earlier and reach over it */
		if (at > want || at < want - 12)
			fail_msg("masked at %ld, not at %ld: %s: %s", at, want, why, text);
		assert_contains(why, reason);
	}
}

#define HEAD "import cadquery as cq\n"

/* ---- */

static void a_program_goes_through(void **state)
{
	(void)state;
	goes_through(HEAD "fixture = cq.Workplane(\"XY\").box(1, 2, 3)\n");
	goes_through(HEAD "result = cq.Workplane(\"XY\").box(1, 2, 3)"); /* no newline at the end */
	goes_through("```python\n" HEAD "fixture = cq.Workplane(\"XY\").box(1, 2, 3)\n```\n");
	goes_through(
		"The part:\n\n```python\n" HEAD
		"def leg(x):\n    \"\"\"A leg.\n\n    Two lines.\n    \"\"\"\n    return (cq.Workplane('XY')\n"
		"            .box(1, 2, 3)  # a comment (\n            .translate((x, 0, 0)))\n\n\n"
		"fixture = leg(1).union(leg(2))\n```\nThat's it: (done.\n");
	goes_through(
		HEAD
		"sizes = [\n    (1, 2),\n    (3, 4),\n]\nfor i, part in enumerate(sizes):\n    pass\n");
	goes_through("Some words (and a bracket\n" HEAD
	             "show_object(cq.Workplane().box(1, 1, 1))\n");
	goes_through("```python\nx = 1\n```\nThen:\n```python\n" HEAD
	             "solid = cq.Workplane().sphere(3)\n```");
	goes_through(
		"import math\nimport cadquery\nbody = cadquery.Workplane().box(1, 1, math.pi)\n");
	goes_through(
		"fixture = cq.Workplane(\"XY\").box(1, 2, 3)\n"); /* cq is given by the evaluator */
	goes_through(HEAD "if True:\n\tmodel = cq.Workplane().box(1,1,1)\nelse:\n\tmodel = None\n");
	goes_through(
		HEAD
		"x = {'a': [1, 2], \"b\": f\"{1 + 1} mm\"}\ny = x['a'][0] if x else \\\n    3\npart = cq.Workplane().box(y, 1, 1)\n");
	goes_through(
		HEAD
		"a = b = 3\nx: float = 2.\n(fixture, rest) = (cq.Workplane().box(a, b, x), None)\n");
	goes_through(
		HEAD
		"def make():\n    global result\n    result = cq.Workplane().box(1, 1, 1)\nmake()\n");
	goes_through(
		HEAD
		"def f(*, a, **k): return a\nprint(f(a=1) != 2, 3 <= 4, end='')\nbody = cq.Workplane().box(1, 1, 1)\n");
}

static void brackets_must_match(void **state)
{
	(void)state;
	stops_at(HEAD "x = (1, 2]\n", "]", "another bracket");
	stops_at(HEAD "x = 1)\n", ")\n", "was not opened");
	stops_at(HEAD "x = {'a': (1, 2}\n", "}", "another bracket");
	stops_at("```python\n" HEAD "x = (1,\n```\n", "```\n", "brackets");
}

static void strings_end_on_their_line(void **state)
{
	(void)state;
	stops_at(HEAD "x = \"abc\ny = 2\n", "\ny", "inside a string");
	stops_at(HEAD "x = 'abc\\'\ny = 2\n", "\ny", "inside a string");
	goes_through(HEAD
	             "x = 'a\\\nb'\ny = r\"\\d\"\nz = ''\nfixture = cq.Workplane().box(1, 1, 1)\n");
}

static void lines_are_indented_for_a_reason(void **state)
{
	(void)state;
	stops_at(HEAD "def f():\nx = 1\n", "x = 1", "must follow the colon");
	stops_at(HEAD "x = 1\n    y = 2\n", "y = 2", "without a reason");
	stops_at(HEAD "if x:\n        y = 1\n    z = 2\n", "z = 2", "as no line before");
	stops_at(HEAD "x =\ny = 1\n", "\ny", "must follow");
}

static void what_python_has_not_is_masked(void **state)
{
	(void)state;
	stops_at(HEAD "x = 3$\n", "$", "no such character");
	stops_at(HEAD "x = y?\n", "?", "no such character");
	stops_at(HEAD "x = !y\n", "y\n", "followed by");
	stops_at(HEAD "x = y \\ z\n", " z", "backslash");
}

static void names_of_cadquery_must_exist(void **state)
{
	(void)state;
	stops_at(HEAD "x = cq.Box(1, 2, 3)\n", "(1", "no such name");
	stops_at(HEAD "x = cq.Workplanes()\n", "s()", "no such name");
	stops_at("import cadquery as cad\nx = cad.Cube(1)\n", "ube", "no such name");
	goes_through(
		HEAD
		"from cadquery import exporters\nx = cq.exporters\nfixture = cq.Solid.makeBox(1, 2, 3)\n");
	/* what is not certain is let through */
	goes_through(HEAD "def f(cq):\n    return cq.anything()\nfixture = 1\n");
	goes_through(
		HEAD
		"try:\n    fixture = cq.NotThere()\nexcept AttributeError:\n    fixture = cq.Workplane().box(1, 1, 1)\n");
	goes_through(HEAD "cq.helper = 3\nfixture = cq.Workplane().box(1, 1, cq.helper)\n");
	goes_through("import numpy as cq\nfixture = cq.array([1])\n");
}

static void methods_in_an_unbroken_chain_must_exist(void **state)
{
	(void)state;
	stops_at(HEAD "x = cq.Workplane(\"XY\").boxx(1)\n", "x(1)", "no such method");
	stops_at(HEAD "x = cq.Workplane(\"XY\").box(1, (2), 3).faces(\">Z\").holes(3)\n", "s(3)",
	         "no such method");
	stops_at(
		HEAD
		"x = (cq.Workplane(\"XY\")\n    # as wide\n    .box(1, 2, 3)\n    .chamfered(1)\n)\n",
		"ed(1)", "no such method");
	stops_at(HEAD "x = cq.Sketch().rect(1, 2).extrude(3)\n", "trude", "no such method");
	/* a sketch's finalize() gives what nobody says, a solid has methods of its own, a name may
	 * be anything */
	goes_through(HEAD "fixture = cq.Workplane().sketch().rect(1, 2).finalize().extrude(3)\n");
	goes_through(HEAD "fixture = cq.Workplane().box(1, 1, 1).val().anything()\n");
	goes_through(HEAD "x = cq.Workplane()\nfixture = x.anything()\n");
	goes_through(
		HEAD
		"cq.Workplane.peg = lambda self: self\nfixture = cq.Workplane().box(1, 1, 1).peg()\n");
	goes_through(
		HEAD
		"W = cq.Workplane\nW.peg = lambda self: self\nfixture = cq.Workplane().box(1, 1, 1).peg()\n");
	goes_through(
		HEAD
		"def f(x: cq.Workplane) -> cq.Workplane:\n    return x\nfixture = f(cq.Workplane().box(1, 1, 1))\n");
	stops_at(HEAD "def f(x: cq.Workplane) -> cq.Workplane:\n    return cq.Workplane().bx(1)\n",
	         "x(1)", "no such method");
	goes_through(HEAD "fixture = cq.Workplane().box(1, 1, 1).objects[0].anything\n");
}

static void an_answer_does_not_end_before_its_final_object(void **state)
{
	static const char *const missing[] = {
		HEAD "x = cq.Workplane().box(1, 1, 1)\n",
		HEAD "def f():\n    fixture = cq.Workplane().box(1, 1, 1)\n    return fixture\n",
		HEAD "print(fixture == 3)\n",
		HEAD "x = f(result=3)\nresult.x = 3\n",
		"```python\n" HEAD "x = 1\n```\n",
		"```python\n" HEAD "x = 1\n```\nfixture = that\n",
		"I shall build it.\n",
		"",
	};
	static const char *const open[] = { HEAD "fixture = cq.Workplane(\"XY\"",
		                            HEAD "fixture =",
		                            HEAD "fixture = \"",
		                            HEAD "fixture = 1\nif x:",
		                            HEAD "fixture = cq.Workplane().bo",
		                            "```python\n" HEAD "fixture = (\n" };
	char why[200];

	(void)state;
	for (size_t i = 0; i < sizeof(missing) / sizeof(*missing); i++) {
		size_t n = strlen(missing[i]);
		if (replay(missing[i], n, 1, why, sizeof(why)) != (long)n)
			fail_msg("%zu: %s", i, why);
		assert_contains(why, "no final object");
	}
	for (size_t i = 0; i < sizeof(open) / sizeof(*open); i++) {
		size_t n = strlen(open[i]);
		if (replay(open[i], n, 1, why, sizeof(why)) != (long)n)
			fail_msg("%zu: %s", i, why);
	}
}

static void thinking_is_free(void **state)
{
	struct guard *g;
	int32_t prompt[3] = { 'a', piece("<think>"), '\n' };

	(void)state;
	goes_through("<think>```python\nx = (]\n</think>" HEAD
	             "fixture = cq.Workplane().box(1, 1, 1)\n");
	g = begin();
	guard_prompt(g, prompt, 3);
	guard_accept(g, piece("```python\n"));
	guard_accept(g, ')');
	assert_true(allows(g, ')'));
	assert_false(allows(g, ID_END));
	guard_accept(g, piece("</think>"));
	guard_accept(g, piece("```python\n"));
	assert_false(allows(g, ')'));
	guard_close(g);
}

static void whole_tokens_are_judged(void **state)
{
	struct guard *g = begin();

	(void)state;
	for (const char *p = HEAD "x = cq.Workplane(\"XY\")"; *p; p++)
		guard_accept(g, (unsigned char)*p);
	assert_true(allows(g, piece(".box")));
	assert_false(allows(g, piece(".Box")));
	assert_false(allows(g, piece(").")));
	assert_true(allows(g, piece("[0]")));
	assert_true(allows(g, piece("\n\n")));
	assert_false(allows(g, piece("\n    ")) && false);
	assert_true(allows(g, ID_PAD)); /* prints nothing */
	guard_accept(g, piece(".box"));
	assert_true(allows(g, '('));
	guard_accept(g, '(');
	assert_true(allows(g, ')'));
	assert_false(allows(g, piece(")]")));
	assert_false(allows(g, piece("})")));
	assert_true(allows(g, piece("{\"")));
	guard_close(g);
}

static void a_copy_goes_its_own_way(void **state)
{
	struct err e = { 0 };
	struct guard *g = begin(), *c;

	(void)state;
	for (const char *p = HEAD "x = ("; *p; p++)
		guard_accept(g, (unsigned char)*p);
	c = guard_copy(g, &e);
	assert_non_null(c);
	guard_accept(c, '[');
	assert_false(allows(c, ')'));
	assert_true(allows(g, ')'));
	guard_close(g);
	guard_close(c);
}

/* Every mask against what the lexer says of every token, over programs and their damaged copies. */
static void masks_say_what_stepping_says(void **state)
{
	static const char text[] =
		"```python\n" HEAD
		"def leg(x, y=3):\n    \"\"\"A \"leg\".\"\"\"\n    if x > y:\n        return f'{x}'\n"
		"    return (cq.Workplane('XY')  # (\n        .box(1, 2.5, [3][0])\n        .faces(\">Z\").workplane()\n"
		"        .hole(2)\n    )\n\nfixture = leg(1)\n```\nDone.\n";
	struct guard *g = begin();
	int masked = 0;

	(void)state;
	for (size_t at = 0; at + 1 < sizeof(text); at++) {
		const uint64_t *m = guard_mask(g);
		for (int32_t id = 0; m && id < ID_END; id++) {
			char why[200];
			bool allowed = m[id >> 6] >> (id & 63) & 1;
			guard_why(g, id, why, sizeof(why));
			if (allowed != (why[0] == '\0'))
				fail_msg("at %zu token %d: %d, but '%s'", at, id, allowed, why);
			masked += !allowed;
		}
		guard_accept(g, (unsigned char)text[at]);
	}
	assert_true(masked > 1000);
	guard_close(g);
}

static int files(const char *dir, int (*each)(const char *path))
{
	struct dirent **list;
	char path[4096];
	int n = scandir(dir, &list, NULL, alphasort), seen = 0;

	for (int i = 0; i < n; i++) {
		size_t k = strlen(list[i]->d_name);
		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		if (k > 3 && strcmp(list[i]->d_name + k - 3, ".py") == 0)
			seen += each(path);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return seen;
}

static int replay_file(const char *path)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	char why[200] = "";

	if (buf_read_file(&b, path, 1 << 22, &e) < 0)
		fail_msg("%s", e.text);
	long at = replay(buf_str(&b), b.len, (uint32_t)b.len, why, sizeof(why));
	if (at >= 0)
		fail_msg("%s: masked at byte %ld ('%.30s'): %s", path, at, buf_str(&b) + at, why);
	buf_release(&b);
	return 1;
}

static void every_reference_goes_through(void **state)
{
	(void)state;
	assert_true(files(SRCDIR "/tasks/cadforge/references", replay_file) >= 25);
	assert_true(files(SRCDIR "/tasks/examples", replay_file) >= 1);
}

static void other_peoples_programs_go_through(void **state)
{
	const char *shared = getenv("CADFORGE_SHARED");
	char dir[4096];

	(void)state;
	snprintf(dir, sizeof(dir), "%s/parity/solutions", shared ? shared : SRCDIR "/../shared");
	if (files(dir, replay_file) == 0) {
		print_message("skipped: %s is not there\n", dir);
		skip();
	}
}

static void names_that_are_none_are_refused(void **state)
{
	static const struct {
		const char *json, *why;
	} bad[] = { { "", "names.json" },
		    { "[]", "module" },
		    { "{\"module\":[],\"classes\":{}}", "module" },
		    { "{\"module\":[\"a b\"],\"classes\":{\"W\":{\"x\":null}}}", "module[0]" },
		    { "{\"module\":[\"a\"],\"classes\":{}}", "classes" },
		    { "{\"module\":[\"a\"],\"classes\":{\"W\":{\"x\":\"V\"}}}", "classes.W.x" },
		    { "{\"module\":[\"a\"],\"classes\":{\"W\":3}}", "classes.W" } };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct err e = { 0 };
		assert_null(guard_names_parse(bad[i].json, strlen(bad[i].json), "names.json", &e));
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, bad[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_goes_through),
		cmocka_unit_test(brackets_must_match),
		cmocka_unit_test(strings_end_on_their_line),
		cmocka_unit_test(lines_are_indented_for_a_reason),
		cmocka_unit_test(what_python_has_not_is_masked),
		cmocka_unit_test(names_of_cadquery_must_exist),
		cmocka_unit_test(methods_in_an_unbroken_chain_must_exist),
		cmocka_unit_test(an_answer_does_not_end_before_its_final_object),
		cmocka_unit_test(thinking_is_free),
		cmocka_unit_test(whole_tokens_are_judged),
		cmocka_unit_test(a_copy_goes_its_own_way),
		cmocka_unit_test(masks_say_what_stepping_says),
		cmocka_unit_test(every_reference_goes_through),
		cmocka_unit_test(other_peoples_programs_go_through),
		cmocka_unit_test(names_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
