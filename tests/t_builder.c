/*
 * The real cadforge-builder, asked over its socket: what it says of a program, and how it goes on
 * after things went wrong. The hostile set is t_hostile's.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/wire.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/spawn.h"

struct bench {
	struct helper builder;
	struct frame_reader in;
	char python_env[4096];
	uint32_t job;
};

struct answer {
	cJSON *o;
	struct buf blob, log;
};

static void answer_release(struct answer *a)
{
	cJSON_Delete(a->o);
	buf_release(&a->blob);
	buf_release(&a->log);
	memset(a, 0, sizeof(*a));
}

static struct frame next_frame(struct bench *b)
{
	struct err e = { 0 };
	struct frame f;

	for (int waited = 0; waited < 120; waited++) {
		int got = frame_next(&b->in, &f, &e);
		if (got == 1)
			return f;
		if (got < 0)
			fail_msg("%s", e.text);
		struct pollfd p = { .fd = b->builder.fd, .events = POLLIN };
		poll(&p, 1, 500);
		ssize_t n = frame_fill(&b->in, b->builder.fd, &e);
		if (n == 0 || n == -1)
			fail_msg("the builder is gone: %s", e.text);
	}
	fail_msg("no answer in a minute");
	return f;
}

static void ask(struct bench *b, uint32_t type, const char *json, const void *blob, size_t len)
{
	struct buf out = { 0 };
	struct err e = { 0 };

	frame_append(&out, type, ++b->job, json, strlen(json), blob, len);
	while (out.len) {
		struct pollfd p = { .fd = b->builder.fd, .events = POLLOUT };
		poll(&p, 1, 500);
		if (frame_flush(&out, b->builder.fd, &e) < 0)
			fail_msg("%s", e.text);
	}
	buf_release(&out);
}

static struct answer answer_of(struct bench *b, uint32_t job)
{
	struct answer a = { 0 };
	struct err e = { 0 };

	for (;;) {
		struct frame f = next_frame(b);
		if (f.job != job)
			continue;
		if (f.type == WIRE_LOG) {
			buf_add(&a.log, f.blob, f.blob_len);
			continue;
		}
		assert_int_equal(f.type, WIRE_RESULT);
		a.o = json_parse(f.json, f.json_len, &e);
		assert_non_null(a.o);
		buf_add(&a.blob, f.blob, f.blob_len);
		return a;
	}
}

static struct answer asked(struct bench *b, uint32_t type, const char *json, const char *program)
{
	ask(b, type, json, program, strlen(program));
	return answer_of(b, b->job);
}

static void assert_text(const struct answer *a, const char *key, const char *want)
{
	assert_string_equal(json_string_or(a->o, key, "(absent)"), want);
}

static void assert_number(const struct answer *a, const char *key, double want)
{
	double got = json_number_or(a->o, key, -1);

	if (got != want)
		fail_msg("%s: %g, expected %g (%s)", key, got, want,
		         json_string_or(a->o, "error", ""));
}

/* ---- claims ---- */

static void ready_names_versions_and_layers(void **state)
{
	struct bench *b = *state;
	const char *argv[] = { "./cadforge-builder", "--gl-stubs", "./gl", "--python-env",
		               b->python_env,        "--jobs",     "2",    NULL };
	const char *env[] = { "SECRET=must not be seen", NULL };
	struct err e = { 0 };

	assert_int_equal(helper_start(&b->builder, argv, env, false, &e), 0);
	struct frame f = next_frame(b);
	assert_int_equal(f.type, WIRE_READY);
	cJSON *o = json_parse(f.json, f.json_len, &e);
	assert_non_null(o);
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, "versions");
	const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, "jail");
	assert_true(strlen(json_string_or(v, "cadquery", "")) > 2);
	assert_true(strlen(json_string_or(v, "ocp", "")) > 2);
	assert_true(json_bool_or(j, "seccomp", false));
	assert_true(json_bool_or(j, "no_new_privs", false));
	assert_true(json_bool_or(o, "heir", false));
	cJSON_Delete(o);
}

static void the_environment_is_not_passed_on(void **state)
{
	struct answer a = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\",\"filter\":false}",
	                        "import os, cadquery as cq\n"
	                        "print(sorted(os.environ))\n"
	                        "fixture = cq.Workplane().box(1, 1, 1)\n");
	assert_text(&a, "cause", "ok");
	assert_null(strstr(buf_str(&a.log), "SECRET"));
	answer_release(&a);
}

static void the_same_program_gives_the_same_bytes(void **state)
{
	static const char program[] = "import random\nimport cadquery as cq\n"
				      "fixture = cq.Workplane().box(random.random() + 1, 2, 3)\n";
	struct answer one = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\"}", program);
	struct answer two = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\"}", program);
	/* by a child that had the time to rehearse, too */
	usleep(300000);
	struct answer rested = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\"}", program);

	assert_text(&one, "cause", "ok");
	assert_true(one.blob.len > 100);
	assert_int_equal(one.blob.len, two.blob.len);
	assert_memory_equal(one.blob.data, two.blob.data, one.blob.len);
	assert_int_equal(one.blob.len, rested.blob.len);
	assert_memory_equal(one.blob.data, rested.blob.data, one.blob.len);
	answer_release(&one);
	answer_release(&two);
	answer_release(&rested);
}

/* Sets of shapes are in the order of hashes; those are of addresses, which each start has its own
 * of: 1 in 40,320 that two agree by chance. */
static void it_gives_them_after_another_start_too(void **state)
{
	static const char program[] =
		"import cadquery as cq\n"
		"box = cq.Workplane().box(1, 2, 3)\n"
		"for e in box.edges('|Z or |X').vals():\n"
		"    print(e.Center().toTuple())\n"
		"for e in set(box.edges().vals()):\n"
		"    print(e.Center().toTuple())\n"
		"fixture = box.edges('|Z or |X').chamfer(0.1).faces('not |Z').vertices().sphere(0.05)\n";
	struct bench *b = *state, other = { 0 };
	const char *argv[] = { "./cadforge-builder", "--gl-stubs", "./gl", "--python-env",
		               b->python_env,        "--jobs",     "2",    NULL };
	const char *env[] = { NULL };
	struct answer one = asked(b, WIRE_BUILD, "{\"dialect\":\"open\"}", program);
	struct err e = { 0 };

	assert_text(&one, "cause", "ok");
	assert_int_equal(helper_start(&other.builder, argv, env, false, &e), 0);
	assert_int_equal(next_frame(&other).type, WIRE_READY);
	usleep(300000); /* and rehearsed */
	struct answer two = asked(&other, WIRE_BUILD, "{\"dialect\":\"open\"}", program);
	helper_stop(&other.builder, 5);
	frame_reader_release(&other.in);
	assert_string_equal(buf_str(&one.log), buf_str(&two.log));
	assert_true(strlen(buf_str(&one.log)) > 300);
	assert_int_equal(one.blob.len, two.blob.len);
	assert_memory_equal(one.blob.data, two.blob.data, one.blob.len);
	answer_release(&one);
	answer_release(&two);
}

static void an_error_names_line_column_source_and_type(void **state)
{
	struct answer a = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\",\"line_offset\":10}",
	                        "import cadquery as cq\n"
	                        "a = 1\n"
	                        "fixture = cq.Workplane().boxx(a, 2, 3)\n"
	                        "b = 2\n");
	assert_text(&a, "cause", "attribute");
	assert_text(&a, "exception", "AttributeError");
	assert_number(&a, "line", 13);
	assert_number(&a, "column", 26);
	assert_text(&a, "source", "fixture = cq.Workplane().boxx(a, 2, 3)");
	assert_number(&a, "statements_done", 2);
	assert_number(&a, "statements_all", 4);
	assert_non_null(strstr(json_string_or(a.o, "error", ""), "did you mean 'box'?"));
	assert_non_null(
		strstr(buf_str(&a.log), "AttributeError: 'Workplane' object has no attribute"));
	answer_release(&a);
}

static void columns_count_characters(void **state)
{
	struct answer a = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\"}",
	                        "x = \"\xc3\xa4\xc3\xb6\xc3\xbc\" + missing\n");
	assert_text(&a, "cause", "name");
	assert_number(&a, "column", 13);
	answer_release(&a);
}

static void dropped_lines_do_not_shift_the_seeds_line_numbers(void **state)
{
	/* the import inside the string is dropped too, as the seed does it */
	struct answer a = asked(*state, WIRE_BUILD, "{\"dialect\":\"seed\"}",
	                        "\n\nimport cadquery as cq\n"
	                        "text = \"\"\"\nimport math\n\"\"\"\n"
	                        "import math\n"
	                        "fixture = cq.Workplane().box(1, 2)\n");
	assert_text(&a, "cause", "type");
	assert_number(&a, "line", 8);
	assert_text(&a, "source", "fixture = cq.Workplane().box(1, 2)");
	answer_release(&a);
}

static void the_seeds_rules_speak_in_its_words(void **state)
{
	static const struct {
		const char *program, *cause, *exception, *words;
		int line;
	} cases[] = {
		{ "import cadquery as cq\n\nimport numpy as np\n", "refused", "ValueError",
		  "Unsupported import line: import numpy as np", 3 },
		{ "import math\nx = 1\n# a socket wrench\nfixture = 1\n", "refused", "ValueError",
		  "Blocked Python token in CadQuery code: socket", 3 },
		{ "x = 1\n", "no_final_object", "ValueError",
		  "must assign the final object to fixture/result/model/solid/body/part", 0 },
		{ "print(1)\n", "name", "NameError", "name 'print' is not defined", 1 },
		{ "x = 1\nfixture = None\n", "not_a_shape", "TypeError",
		  "must be an iterable, not NoneType", 2 },
		{ "fixture = [cq.Workplane().box(1, 1, 1).val()]\n", "not_a_shape",
		  "AttributeError", "'list' object has no attribute 'BoundingBox'", 1 },
		{ "fixture = cq.Workplane().box(1, 1, 1).cut(cq.Workplane().box(2, 2, 2))\n",
		  "empty_shape", "Standard_ConstructionError", "void", 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct answer a =
			asked(*state, WIRE_BUILD, "{\"dialect\":\"seed\"}", cases[i].program);
		assert_text(&a, "cause", cases[i].cause);
		assert_text(&a, "exception", cases[i].exception);
		if (!strstr(json_string_or(a.o, "traceback", ""), cases[i].words))
			fail_msg("'%s' is not in: %s", cases[i].words,
			         json_string_or(a.o, "traceback", ""));
		assert_number(&a, "line", cases[i].line ? cases[i].line : -1);
		answer_release(&a);
	}
}

static void the_open_dialect_takes_lists_and_assemblies(void **state)
{
	static const char *const programs[] = {
		"import cadquery as cq\nfixture = [cq.Workplane().box(1, 1, 1), cq.Solid.makeSphere(2)]\n",
		"import cadquery as cq\nresult = cq.Assembly().add(cq.Workplane().box(1, 1, 1))\n",
		"from cadquery import exporters\nimport cadquery as cq\nshow_object(cq.Workplane().box(1, 1, 1))\n",
		"import numpy as np\nimport cadquery as cq\nfrom dataclasses import dataclass\n"
		"part = cq.Workplane().box(*np.ones(3))\n",
	};

	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		struct answer a = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\"}", programs[i]);
		if (!json_bool_or(a.o, "ok", false))
			fail_msg("%s: %s", programs[i], json_string_or(a.o, "error", ""));
		answer_release(&a);
	}
}

static void a_wall_limit_names_limit_line_and_progress(void **state)
{
	struct answer a =
		asked(*state, WIRE_BUILD, "{\"dialect\":\"open\",\"wall_s\":0.4,\"line_offset\":5}",
	              "a = 1\nb = 2\nfor n in iter(int, 1):\n    pass\nc = 3\n");
	const cJSON *limit = cJSON_GetObjectItemCaseSensitive(a.o, "limit");

	assert_text(&a, "cause", "wall_limit");
	assert_string_equal(json_string_or(limit, "name", ""), "wall");
	assert_true(json_number_or(limit, "used", 0) >= 0.4);
	double line = json_number_or(a.o, "line", 0);
	assert_true(line == 8 || line == 9);
	assert_number(&a, "statements_done", 2);
	assert_number(&a, "statements_all", 4);
	answer_release(&a);
}

static void a_crash_names_its_line(void **state)
{
	struct answer a = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\",\"filter\":false}",
	                        "import ctypes\nx = 1\nctypes.string_at(0)\n");
	assert_text(&a, "cause", "crash");
	assert_number(&a, "line", 3);
	assert_text(&a, "source", "ctypes.string_at(0)");
	assert_number(&a, "statements_done", 2);
	answer_release(&a);
}

static void refusals_are_counted_by_name(void **state)
{
	struct answer a = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\",\"filter\":false}",
	                        "import os, cadquery as cq\n"
	                        "for n in range(3):\n"
	                        "    try:\n"
	                        "        os.mkdir('/tmp/x')\n"
	                        "    except OSError:\n"
	                        "        pass\n"
	                        "fixture = cq.Workplane().box(1, 1, 1)\n");
	const cJSON *refused = cJSON_GetObjectItemCaseSensitive(a.o, "refused");

	assert_text(&a, "cause", "ok");
	assert_true(json_number_or(refused, "mkdir", 0) == 3 ||
	            json_number_or(refused, "mkdirat", 0) == 3);
	answer_release(&a);
}

/* The text of a job, and then programs that look for it in their own image: they were forked from
 * the process that had it in its hands. */
static void a_program_cannot_read_anothers_text(void **state)
{
	static const char secret[] = "import cadquery as cq\n"
				     "# MARK_OF_ANOTHER_PROGRAM, in a comment\n"
				     "print('MARK_OF_ANOTHER_PROGRAM in its log')\n"
				     "raise ValueError('MARK_OF_ANOTHER_PROGRAM in its report')\n";
	static const char thief[] =
		"import ctypes, os\n"
		"libc = ctypes.CDLL(None)\n"
		"libc.pwrite.restype = ctypes.c_ssize_t\n"
		"libc.sbrk.restype = ctypes.c_void_p\n"
		"at = libc.sbrk(0) - (300 << 20)\n"
		"mark, seen, found = b'MARK_OF_' + b'ANOTHER_PROGRAM', 0, []\n"
		"for at in range(at & ~4095, libc.sbrk(0), 1 << 16):\n"
		"    n = libc.pwrite(6, ctypes.c_void_p(at), ctypes.c_size_t(1 << 16), ctypes.c_long(0))\n"
		"    seen += max(n, 0)\n"
		"    text = ctypes.string_at(at, n) if n > 0 else b''\n"
		"    if mark in text:\n"
		"        i = text.index(mark)\n"
		"        found.append(text[max(0, i - 60):i + 60])\n"
		"print('looked at', 'much' if seen > 1 << 20 else 'little')\n"
		"print('found', found)\n";

#ifdef __SANITIZE_ADDRESS__
	/* its allocator does not keep the heap where the thief looks */
	skip();
#endif
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++) {
			struct answer a =
				asked(*state, WIRE_BUILD, "{\"dialect\":\"open\"}", secret);
			assert_text(&a, "cause", "value");
			answer_release(&a);
		}
		for (int i = 0; i < 3; i++) {
			struct answer a = asked(*state, WIRE_BUILD,
			                        "{\"dialect\":\"open\",\"filter\":false}", thief);
			if (!strstr(buf_str(&a.log), "looked at much") ||
			    !strstr(buf_str(&a.log), "found []"))
				fail_msg("%s", buf_str(&a.log));
			answer_release(&a);
		}
	}
}

/* Its own figures, twice, in a report that it wrote itself. */
static void a_forged_report_cannot_replace_what_was_seen_from_outside(void **state)
{
	struct answer a = asked(
		*state, WIRE_BUILD, "{\"dialect\":\"open\",\"filter\":false}",
		"import os, struct, time\n"
		"t = b'{\"ok\":false,\"cause\":\"value\",\"log_bytes\":1e300,\"log_bytes\":7,\"seconds\":-1,'\n"
		"t += b'\"seconds\":-2,\"line\":1e300,\"end\":\"cancelled\",\"x\":1}'\n"
		"os.pwrite(6, b'CFm1' + struct.pack('<IIII', 0, 0, len(t), 0) + t, 0)\n"
		"os.write(4, b'd')\n"
		"time.sleep(9)\n");

	assert_text(&a, "cause", "value");
	assert_number(&a, "log_bytes", 0);
	assert_true(json_number_or(a.o, "seconds", -1) >= 0);
	assert_null(cJSON_GetObjectItemCaseSensitive(a.o, "x"));
	assert_null(cJSON_GetObjectItemCaseSensitive(a.o, "end"));
	assert_false(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(a.o, "line")));
	int keys = 0;
	for (const cJSON *c = a.o->child; c; c = c->next)
		keys += strcmp(c->string, "log_bytes") == 0 || strcmp(c->string, "seconds") == 0;
	assert_int_equal(keys, 2);
	answer_release(&a);
}

static void facts_come_without_running(void **state)
{
	struct answer a = asked(*state, WIRE_FACTS, "{}",
	                        "import cadquery as cq\n"
	                        "leg_height = 450.0\n"
	                        "gap = -3\n"
	                        "def leg(w):\n"
	                        "    return cq.Workplane().box(w, w, leg_height)\n"
	                        "while True:\n"
	                        "    print('it runs')\n"
	                        "fixture = leg(20).faces('>Z').cilinder(3, 4)\n"
	                        "other = cq.Workplane('XY').circle(3).extruded(4)\n");
	const cJSON *f = cJSON_GetObjectItemCaseSensitive(a.o, "facts");
	const cJSON *dims = cJSON_GetObjectItemCaseSensitive(f, "dimensions");
	const cJSON *fn = cJSON_GetObjectItemCaseSensitive(f, "functions");
	const cJSON *unknown = cJSON_GetObjectItemCaseSensitive(f, "unknown_methods");

	assert_int_equal(a.log.len, 0);
	assert_int_equal(cJSON_GetArraySize(dims), 2);
	assert_string_equal(json_string_or(cJSON_GetArrayItem(dims, 0), "name", ""), "leg_height");
	assert_true(json_number_or(cJSON_GetArrayItem(dims, 0), "value", 0) == 450);
	assert_true(json_number_or(cJSON_GetArrayItem(dims, 0), "uses", 0) == 1);
	assert_true(json_number_or(cJSON_GetArrayItem(dims, 1), "value", 0) == -3);
	assert_int_equal(cJSON_GetArraySize(fn), 1);
	assert_true(json_number_or(cJSON_GetArrayItem(fn, 0), "called", 0) == 1);
	assert_int_equal(cJSON_GetArraySize(unknown), 2);
	assert_string_equal(json_string_or(cJSON_GetArrayItem(unknown, 0), "nearest", ""),
	                    "cylinder");
	assert_string_equal(json_string_or(cJSON_GetArrayItem(unknown, 1), "nearest", ""),
	                    "extrude");
	assert_true(json_number_or(cJSON_GetArrayItem(unknown, 1), "line", 0) == 9);
	assert_string_equal(json_string_or(f, "final", ""), "fixture");
	answer_release(&a);
}

/* Whether the named dimension is said to reach the final object; -1: there is no such dimension. */
static int reaches(struct bench *b, const char *program, const char *name)
{
	struct answer a = asked(b, WIRE_FACTS, "{}", program);
	const cJSON *f = cJSON_GetObjectItemCaseSensitive(a.o, "facts"), *d;
	int found = -1;

	cJSON_ArrayForEach(d, cJSON_GetObjectItemCaseSensitive(f, "dimensions"))
	{
		const char *said = json_string_or(d, "name", "");
		size_t from = (size_t)json_number_or(d, "from", 0);
		size_t to = (size_t)json_number_or(d, "to", 0);
		/* the span is the number's own text */
		assert_true(to > from && to <= strlen(program));
		assert_true(strtod(program + from, NULL) == json_number_or(d, "value", 0));
		if (strcmp(said, name) == 0)
			found = json_bool_or(d, "reaches", false);
	}
	answer_release(&a);
	return found;
}

static void a_dimension_reaches_the_part_or_does_not(void **state)
{
	static const struct {
		const char *program, *name;
		int want;
	} cases[] = {
		{ "a = 5\nb = a * 2\nfixture = box(b)\n", "a", 1 },
		{ "a = 5\nb = 6\nfixture = box(a)\n", "b", 0 },
		{ "a = 5\ndef p():\n    return a\nfixture = box(3)\n", "a", 0 },
		{ "a = 5\ndef p(x):\n    return 1\nfixture = box(p(a))\n", "a", 0 },
		{ "a = 5\ndef p(x):\n    return x\nfixture = box(p(a))\n", "a", 1 },
		{ "a = 5\nl = []\nfor i in range(a):\n    l.append(i)\nfixture = f(l)\n", "a", 1 },
		{ "def put(l, x):\n    l.append(x)\na = 5\nl = []\nput(l, a)\nfixture = f(l)\n",
		  "a", 1 },
		{ "a = 5\nif a > 3:\n    fixture = f()\n", "a", 1 },
		{ "a, b = 3, 4\nfixture = f(b)\n", "a", 0 },
		{ "a, b = 3, 4\nfixture = f(b)\n", "b", 1 },
		{ "def leg(w=5, h=6):\n    return f(w)\nfixture = leg()\n", "w", 1 },
		{ "def leg(w=5, h=6):\n    return f(w)\nfixture = leg()\n", "h", 0 },
		{ "class C:\n    w: float = 5\n    h: float = 6\nfixture = f(C().w)\n", "w", 1 },
		{ "class C:\n    w: float = 5\n    h: float = 6\nfixture = f(C().w)\n", "h", 0 },
		{ "d = {'w': 5}\nfixture = f(d['w'])\n", "d['w']", 1 },
		{ "a = 5\nfixture = 6\nshow_object(a)\n", "a", 1 },
		{ "a = 5\nasm = A()\nasm.add(f(a))\nfixture = asm\n", "a", 1 },
		{ "def go():\n    global fixture\n    r = 8\n    fixture = f(r)\ngo()\n", "r", 1 },
		{ "x = 'h\u00f6he'; a = -3.5\r\nfixture = a\r\n", "a", 1 },
		{ "t = radians(12)\nfixture = f(t)\n", "t", 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (reaches(*state, cases[i].program, cases[i].name) != cases[i].want)
			fail_msg("case %zu: %s of %s", i, cases[i].name, cases[i].program);
}

static void only_functions_that_make_the_part_are_helpers(void **state)
{
	struct answer a = asked(*state, WIRE_FACTS, "{}",
	                        "def idle():\n    return 1\n"
	                        "def called_for_nothing():\n    return 2\n"
	                        "def leg():\n    return f(3.5)\n"
	                        "class Part:\n    def made(self):\n        return leg()\n"
	                        "called_for_nothing()\n"
	                        "half = 7 / 2\n"
	                        "fixture = Part().made()\n");
	const cJSON *f = cJSON_GetObjectItemCaseSensitive(a.o, "facts");
	const cJSON *numbers = cJSON_GetObjectItemCaseSensitive(f, "numbers");

	assert_true(json_number_or(f, "functions_used", 0) == 2);
	assert_true(json_number_or(numbers, "total", 0) == 5);
	assert_true(json_number_or(numbers, "counted", 0) == 2); /* 3.5 and 7: no 1, no 2 */
	assert_true(json_number_or(numbers, "named", -1) == 0);
	answer_release(&a);
}

static void a_shape_goes_to_step_and_back(void **state)
{
	struct bench *b = *state;
	struct answer made =
		asked(b, WIRE_BUILD, "{\"dialect\":\"open\"}",
	              "import cadquery as cq\nfixture = cq.Workplane().box(1, 2, 3)\n");
	ask(b, WIRE_CONVERT, "{\"to\":\"step\"}", made.blob.data, made.blob.len);
	struct answer step = answer_of(b, b->job);
	assert_true(json_bool_or(step.o, "ok", false));
	assert_int_equal(strncmp(buf_str(&step.blob), "ISO-10303-21;", 13), 0);
	ask(b, WIRE_CONVERT, "{\"to\":\"brep\"}", step.blob.data, step.blob.len);
	struct answer brep = answer_of(b, b->job);
	assert_true(json_bool_or(brep.o, "ok", false));
	assert_non_null(memmem(brep.blob.data, brep.blob.len, "Open CASCADE Topology V4", 24));
	ask(b, WIRE_CONVERT, "{\"to\":\"brep\"}", "nonsense", 8);
	struct answer bad = answer_of(b, b->job);
	assert_false(json_bool_or(bad.o, "ok", true));
	assert_non_null(strstr(json_string_or(bad.o, "error", ""), "STEP file"));
	answer_release(&made);
	answer_release(&step);
	answer_release(&brep);
	answer_release(&bad);
}

static struct answer meshed(struct bench *b, const struct buf *brep, const char *how)
{
	ask(b, WIRE_CONVERT, how, brep->data, brep->len);
	struct answer a = answer_of(b, b->job);
	assert_true(json_bool_or(a.o, "ok", false));
	return a;
}

static void triangles_that_a_shape_brings_along_are_not_believed(void **state)
{
	static const char fine[] = "{\"to\":\"mesh\",\"linear\":0.01,\"angular\":0.05}",
			  coarse[] = "{\"to\":\"mesh\",\"linear\":0.5,\"angular\":1}";
	struct answer made = asked(*state, WIRE_BUILD, "{\"dialect\":\"open\"}",
	                           "import cadquery as cq\nfixture = cq.Workplane().sphere(9)\n");
	struct answer with_fine = meshed(*state, &made.blob, fine);
	struct answer then_coarse = meshed(*state, &with_fine.blob, coarse);
	struct answer with_coarse = meshed(*state, &made.blob, coarse);

	assert_true(with_fine.blob.len > 2 * with_coarse.blob.len);
	assert_int_equal(then_coarse.blob.len, with_coarse.blob.len);
	answer_release(&made);
	answer_release(&with_fine);
	answer_release(&then_coarse);
	answer_release(&with_coarse);
}

static void many_jobs_are_answered_each_once(void **state)
{
	struct bench *b = *state;
	uint32_t first = b->job + 1;
	int answered = 0;

	for (int i = 0; i < 12; i++) {
		static const char program[] =
			"import cadquery as cq\nfixture = cq.Workplane().box(1, 2, 3)\n";
		ask(b, WIRE_BUILD, "{\"dialect\":\"open\"}", program, sizeof(program) - 1);
	}
	unsigned seen = 0;
	while (answered < 12) {
		struct frame f = next_frame(b);
		if (f.type != WIRE_RESULT)
			continue;
		assert_true(f.job >= first && f.job < first + 12);
		assert_int_equal(seen & 1u << (f.job - first), 0);
		seen |= 1u << (f.job - first);
		assert_true(f.blob_len > 100);
		answered++;
	}
}

static void a_cancelled_job_says_so(void **state)
{
	struct bench *b = *state;
	struct buf out = { 0 };
	struct err e = { 0 };
	static const char endless[] = "while True:\n    pass\n";

	ask(b, WIRE_BUILD, "{\"dialect\":\"open\",\"wall_s\":30}", endless, sizeof(endless) - 1);
	frame_append(&out, WIRE_CANCEL, b->job, "{}", 2, NULL, 0);
	assert_int_equal(frame_flush(&out, b->builder.fd, &e), 0);
	struct answer a = answer_of(b, b->job);
	assert_text(&a, "end", "cancelled");
	answer_release(&a);
	buf_release(&out);
}

static void the_heir_goes_on_when_the_builder_is_killed(void **state)
{
	struct bench *b = *state;
	char bytes[256];
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = control.room,
		            .msg_controllen = sizeof(control.room) };
	int heir = -1;

	ask(b, WIRE_HEIR, "{}", NULL, 0);
	struct pollfd p = { .fd = b->builder.fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_true(recvmsg(b->builder.fd, &m, 0) > FRAME_HEADER_BYTES);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	assert_non_null(c);
	assert_int_equal(c->cmsg_type, SCM_RIGHTS);
	memcpy(&heir, CMSG_DATA(c), sizeof(heir));
	kill(b->builder.pid, SIGKILL);
	helper_stop(&b->builder, 5);
	b->builder = (struct helper){ .fd = heir };
	frame_reader_release(&b->in);
	struct answer a = asked(b, WIRE_BUILD, "{\"dialect\":\"open\"}",
	                        "import cadquery as cq\nfixture = cq.Workplane().box(1, 2, 3)\n");
	assert_text(&a, "cause", "ok");
	answer_release(&a);
	close(heir);
}

static bool find_python_env(struct bench *b)
{
	const char *src = getenv("srcdir");
	const char *tries[] = { getenv("CADFORGE_PYTHON_ENV"), getenv("PYTHON_ENV") };
	char cfg[4200];

	for (int i = 0; i < 3; i++) {
		if (i < 2 && (!tries[i] || !*tries[i]))
			continue;
		if (i < 2)
			snprintf(b->python_env, sizeof(b->python_env), "%s", tries[i]);
		else
			snprintf(b->python_env, sizeof(b->python_env), "%s/.venv", src ? src : ".");
		snprintf(cfg, sizeof(cfg), "%s/pyvenv.cfg", b->python_env);
		if (access(cfg, R_OK) == 0)
			return true;
	}
	return false;
}

int main(void)
{
	static struct bench b;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(ready_names_versions_and_layers, &b),
		cmocka_unit_test_prestate(the_environment_is_not_passed_on, &b),
		cmocka_unit_test_prestate(the_same_program_gives_the_same_bytes, &b),
		cmocka_unit_test_prestate(it_gives_them_after_another_start_too, &b),
		cmocka_unit_test_prestate(an_error_names_line_column_source_and_type, &b),
		cmocka_unit_test_prestate(columns_count_characters, &b),
		cmocka_unit_test_prestate(dropped_lines_do_not_shift_the_seeds_line_numbers, &b),
		cmocka_unit_test_prestate(the_seeds_rules_speak_in_its_words, &b),
		cmocka_unit_test_prestate(the_open_dialect_takes_lists_and_assemblies, &b),
		cmocka_unit_test_prestate(a_wall_limit_names_limit_line_and_progress, &b),
		cmocka_unit_test_prestate(a_crash_names_its_line, &b),
		cmocka_unit_test_prestate(refusals_are_counted_by_name, &b),
		cmocka_unit_test_prestate(a_program_cannot_read_anothers_text, &b),
		cmocka_unit_test_prestate(a_forged_report_cannot_replace_what_was_seen_from_outside,
		                          &b),
		cmocka_unit_test_prestate(facts_come_without_running, &b),
		cmocka_unit_test_prestate(a_dimension_reaches_the_part_or_does_not, &b),
		cmocka_unit_test_prestate(only_functions_that_make_the_part_are_helpers, &b),
		cmocka_unit_test_prestate(a_shape_goes_to_step_and_back, &b),
		cmocka_unit_test_prestate(triangles_that_a_shape_brings_along_are_not_believed, &b),
		cmocka_unit_test_prestate(many_jobs_are_answered_each_once, &b),
		cmocka_unit_test_prestate(a_cancelled_job_says_so, &b),
		cmocka_unit_test_prestate(the_heir_goes_on_when_the_builder_is_killed, &b),
	};

	signal(SIGPIPE, SIG_IGN);
	if (!find_python_env(&b)) {
		printf("SKIP: no Python environment with CadQuery (CADFORGE_PYTHON_ENV, configure "
		       "--with-python-env, or .venv)\n");
		return 77;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	frame_reader_release(&b.in);
	return failed ? 1 : 0;
}
