/*
 * t_watch.c - programs that are executed while they are being written: what the engine says of
 * them, what a hostile one can do there, and how an answer's text becomes one (src/watch.h). With
 * the real builder and scorer; the hostile set itself is t_hostile's.
 */
#include "tests/lib.h"

#include <signal.h>
#include <unistd.h>

#include "engine/extract.h"
#include "src/base/clock.h"
#include "src/watch.h"

enum { JOBS_MAX = 32 };
/* what a program comes to that spoils the talk between its process and the builder */
#define SPOILED (1u << CAUSE_CRASH | 1u << CAUSE_OTHER_EXCEPTION)

/* What the engine has said of one program. */
struct seen {
	int statements, line, name_line, shape_line, cut_line, shapes;
	char name[64], shape_name[64];
	struct buf brep;
	cJSON *facts;
	bool over, ok;
	enum build_cause cause;
	int error_line, column;
	char error[600], exception[64];
};

struct bench {
	struct engine *en;
	struct seen seen[JOBS_MAX]; /* by job % JOBS_MAX */
	struct build built;
	bool has_built;
};

static void forget(struct seen *s)
{
	buf_release(&s->brep);
	cJSON_Delete(s->facts);
	*s = (struct seen){ 0 };
}

static void on_watched(void *ctx, uint32_t job, const struct watch_sight *w)
{
	struct bench *b = ctx;
	struct seen *s = &b->seen[job % JOBS_MAX];

	assert_false(s->over);
	if (w->over) {
		s->over = true;
		s->ok = w->over->ok;
		s->cause = w->over->cause;
		s->error_line = w->over->line;
		s->column = w->over->column;
		s->cut_line = w->cut_line;
		s->statements = w->statements;
		snprintf(s->error, sizeof(s->error), "%s", w->over->error ? w->over->error : "");
		if (w->name)
			snprintf(s->name, sizeof(s->name), "%s", w->name);
		snprintf(s->exception, sizeof(s->exception), "%s",
		         w->over->exception ? w->over->exception : "");
		return;
	}
	s->statements = w->statements;
	s->line = w->line;
	s->name_line = w->name_line;
	snprintf(s->name, sizeof(s->name), "%s", w->name ? w->name : "");
	if (w->brep) {
		buf_clear(&s->brep);
		buf_add(&s->brep, w->brep, w->brep_len);
		s->shape_line = w->shape_line;
		snprintf(s->shape_name, sizeof(s->shape_name), "%s", w->shape_name);
		s->shapes++;
	}
	if (w->facts) {
		cJSON_Delete(s->facts);
		s->facts = cJSON_Duplicate(w->facts, true);
	}
}

static void on_built(void *ctx, uint32_t job, struct build *r)
{
	struct bench *b = ctx;

	(void)job;
	build_release(&b->built);
	b->built = *r;
	*r = (struct build){ 0 };
	b->has_built = true;
}

static int setup(void **state)
{
	static struct bench b;
	const struct engine_options o = {
		.libexec_dir = ".",
		.python_env = getenv("PYTHON_ENV"),
		.jobs = 2,
	};
	const struct engine_ops ops = { .ctx = &b, .watched = on_watched, .built = on_built };
	struct err e = { 0 };

	b.en = engine_open(&o, &ops, &e);
	if (!b.en)
		fail_msg("%s", e.text);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	engine_close(b->en);
	build_release(&b->built);
	for (int i = 0; i < JOBS_MAX; i++)
		forget(&b->seen[i]);
	return 0;
}

static void turn(struct bench *b, double deadline)
{
	struct err e = { 0 };

	if (engine_wait(b->en, 100, &e) < 0)
		fail_msg("%s", e.text);
	if (clock_now_s() > deadline)
		fail_msg("nothing came of it for too long");
}

static struct build_request request(const char *program, size_t len)
{
	struct build_request r = { .program = program, .len = len, .dialect = DIALECT_OPEN };

	limits_default(&r.limits);
	return r;
}

static uint32_t begin(struct bench *b, const struct build_request *r)
{
	struct err e = { 0 };
	uint32_t job;

	if (engine_watch_begin(b->en, r, &job, &e) < 0)
		fail_msg("%s", e.text);
	forget(&b->seen[job % JOBS_MAX]);
	return job;
}

static struct seen *wait_over(struct bench *b, uint32_t job)
{
	struct seen *s = &b->seen[job % JOBS_MAX];
	double deadline = clock_now_s() + 60;

	while (!s->over)
		turn(b, deadline);
	return s;
}

static void wait_statements(struct bench *b, uint32_t job, int n)
{
	const struct seen *s = &b->seen[job % JOBS_MAX];
	double deadline = clock_now_s() + 60;

	while (s->statements < n && !s->over)
		turn(b, deadline);
	if (s->over && s->statements < n)
		fail_msg("it ended: %s", s->error);
}

/* What a build makes of the same text. */
static const struct build *built(struct bench *b, const struct build_request *r)
{
	struct err e = { 0 };
	double deadline = clock_now_s() + 60;

	b->has_built = false;
	if (engine_build(b->en, r, NULL, &e) < 0)
		fail_msg("%s", e.text);
	while (!b->has_built)
		turn(b, deadline);
	return &b->built;
}

/* ---- what is closed ---- */

static void statements_are_executed_as_they_close(void **state)
{
	/* each piece, and how many statements are done then, before anything else has come */
	static const struct {
		const char *text;
		int done;
	} pieces[] = {
		{ "import cadquery as cq\n", 1 },
		{ "a = 1; b = 2", 1 },
		{ "\n", 3 },
		{ "# a comment\n\nlong = (1 +\n", 3 },
		{ "    2)\n", 4 },
		{ "text = \"\"\"\nx = 1\ny = (\n", 4 },
		{ "\"\"\"\n", 5 },
		{ "c = 1 + \\\n", 5 },
		{ "2\n", 6 },
		{ "def f(x):\n    y = x\n", 6 },
		{ "\n    return y\n\n\n", 6 },
		{ "@f\n", 7 },
		{ "def g():\n    return 1\n", 7 },
		/* the first letter of what follows closes it, unless it may be an "else" */
		{ "i", 8 },
		{ "f a == 2:\n    d = 1\n", 8 },
		{ "el", 8 },
		{ "if a == 3:\n    d = 2\n", 8 },
		{ "# not yet\nelse:\n    d = 3\n", 8 },
		{ "try:\n", 9 },
		{ "    1 / 0\n", 9 },
		{ "except ZeroDivisionError:\n    h = d\n", 9 },
		{ "finally:\n    h = h + 1\n", 9 },
		{ "for k in range(3):\n    h += k\n", 10 },
		{ "assert h == 7 and c == 3, h\r\n", 12 },
		{ "\xc3", 12 },
		{ "\xa4 = 1\n", 13 },
	};
	struct bench *b = *state;
	struct build_request r = request("", 0);
	uint32_t job = begin(b, &r);
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		engine_watch_text(b->en, job, pieces[i].text, strlen(pieces[i].text));
		wait_statements(b, job, pieces[i].done);
		/* what should not be executed yet gets a moment in which it would be */
		for (int k = 0; k < 3; k++)
			engine_wait(b->en, 10, &e);
		if (b->seen[job % JOBS_MAX].statements != pieces[i].done)
			fail_msg("after '%s' %d statements are done, not %d", pieces[i].text,
			         b->seen[job % JOBS_MAX].statements, pieces[i].done);
	}
	engine_watch_text(b->en, job, "last = h", 8);
	engine_watch_end(b->en, job);
	const struct seen *s = wait_over(b, job);
	if (!s->ok)
		fail_msg("%s", s->error);
	assert_int_equal(s->statements, 14);
}

static const char part[] = "import cadquery as cq\n"
			   "\n"
			   "SIZE = 20.0\n"
			   "def plate(h):\n"
			   "    return cq.Workplane().box(SIZE, SIZE, h)\n"
			   "\n"
			   "base = plate(5)\n"
			   "points = base.faces('>Z').vertices().vals()\n"
			   "if SIZE > 10:\n"
			   "    base = base.faces('>Z').hole(6)\n"
			   "top = base.faces('>Z')\n"
			   "whole = cq.Assembly()\n"
			   "whole.add(base)\n"
			   "whole.add(plate(3), loc=cq.Location(cq.Vector(0, 0, 30)))\n"
			   "fixture = whole\n";

static void the_last_name_bound_to_a_shape_is_told_with_its_shape(void **state)
{
	static const struct {
		int lines;
		const char *name;
		int line;
		const char *shape;
		int shape_line;
	} want[] = {
		{ 7, "base", 7, "base", 7 },
		{ 10, "base", 10, "base", 10 },
		/* a face that was selected is bound, and is no picture of the part */
		{ 11, "top", 11, "base", 10 },
		{ 13, "whole", 13, "whole", 13 },
		{ 14, "whole", 14, "whole", 14 },
		{ 15, "fixture", 15, "fixture", 15 },
	};
	struct bench *b = *state;
	struct build_request r = request("", 0);
	r.facts = true;
	uint32_t job = begin(b, &r);
	struct seen *s = &b->seen[job % JOBS_MAX];
	const char *at = part, *sent = part;
	int line = 0;

	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		double deadline = clock_now_s() + 60;
		for (; line < want[i].lines; line++)
			at = strchr(at, '\n') + 1;
		/* and the first letter of what follows */
		const char *to = *at ? at + 1 : at;
		engine_watch_text(b->en, job, sent, (size_t)(to - sent));
		sent = to;
		engine_watch_shape(b->en, job);
		while (s->shape_line != want[i].shape_line || s->name_line != want[i].line)
			turn(b, deadline);
		assert_string_equal(s->name, want[i].name);
		assert_string_equal(s->shape_name, want[i].shape);
	}
	engine_watch_end(b->en, job);
	s = wait_over(b, job);
	if (!s->ok)
		fail_msg("%s", s->error);
	/* the very bytes that a build makes of it */
	r = request(part, sizeof(part) - 1);
	const struct build *clean = built(b, &r);
	assert_true(clean->ok);
	assert_int_equal(s->brep.len, clean->brep.len);
	assert_memory_equal(s->brep.data, clean->brep.data, clean->brep.len);
}

static void facts_of_what_is_written_are_told(void **state)
{
	struct bench *b = *state;
	struct build_request r = request(part, sizeof(part) - 1);
	double deadline = clock_now_s() + 60;
	r.facts = true;
	uint32_t job = begin(b, &r);
	struct seen *s = &b->seen[job % JOBS_MAX];

	while (json_number_or(s->facts, "statements", 0) < 11)
		turn(b, deadline);
	engine_watch_end(b->en, job);
	wait_over(b, job);
	const struct build *clean = built(b, &r);
	const cJSON *numbers = cJSON_GetObjectItemCaseSensitive(s->facts, "numbers");
	assert_true(json_number_or(s->facts, "functions_used", 0) == 1);
	assert_true(json_number_or(numbers, "named_used", 0) == 1);
	assert_true(json_number_or(clean->facts, "functions_used", 0) == 1);
	assert_true(json_number_or(clean->facts, "nodes", 0) ==
	            json_number_or(s->facts, "nodes", 0));
}

/* ---- what fails ---- */

/* Streamed by lines, and with all of the text after the failure. */
static void the_first_error_is_the_one_that_a_build_has(void **state)
{
	static const char *const programs[] = {
		"import cadquery as cq\na = 1\nb = undefined_name\nc = 2\nfixture = 1\n",
		"import cadquery as cq\n\ndef f():\n    return cq.Workplane().boxx(1)\n\nx = 1\ny = f()\nz = 2\n",
		"import cadquery as cq\nfixture = cq.Workplane().box(1, 1, 1).edges().fillet(5)\nx = 1\n",
		"import cadquery as cq\nfixture = cq.Workplane().box(1, 1, 0)\nx = 1\n",
		"import cadquery as cq\nx = (1 +\n     'a')\ny = 1\n",
		"import cadquery as cq\nif True:\n    a = 1\n    raise ValueError('no')\nelse:\n    b = 1\nc = 1\n",
		"import os\nx = 1\n",
		"x = 1\nx.__class__.__subclasses__()\ny = 2\n",
		"def f():\n    return f()\nf()\n",
		"exit()\nx = 1\n",
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		struct build_request r = request("", 0);
		uint32_t job = begin(b, &r);
		for (const char *p = programs[i]; *p;) {
			const char *end = strchr(p, '\n') + 1;
			engine_watch_text(b->en, job, p, (size_t)(end - p));
			p = end;
		}
		const struct seen *s = wait_over(b, job);
		r = request(programs[i], strlen(programs[i]));
		const struct build *clean = built(b, &r);
		assert_false(s->ok);
		if (s->cause != clean->cause || s->error_line != clean->line ||
		    s->column != clean->column || strcmp(s->error, clean->error) != 0)
			fail_msg("watched: %s; built: %s", s->error, clean->error);
		/* a text that ends there has the same error */
		const char *cut = programs[i];
		for (int k = 0; k < s->cut_line; k++)
			cut = strchr(cut, '\n') + 1;
		r = request(programs[i], (size_t)(cut - programs[i]));
		clean = built(b, &r);
		if (s->cause != clean->cause || strcmp(s->error, clean->error) != 0)
			fail_msg("watched: %s; built up to line %d: %s", s->error, s->cut_line,
			         clean->error);
	}
}

static void a_line_that_is_no_python_is_an_error_before_the_next_one(void **state)
{
	static const char *const wrong[] = { "x = foo bar\n", "def f(:\n",   "  y = 1\n",
		                             "z = 'a\n",      "print 'a'\n", "w = (1 2\n" };
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char text[80];
		struct build_request r = request(text, 0);
		snprintf(text, sizeof(text), "a = 1\nb = 2\n%s", wrong[i]);
		r.len = strlen(text);
		const struct seen *s = wait_over(b, begin(b, &r));
		const struct build *clean = built(b, &r);
		assert_int_equal(s->cause, CAUSE_SYNTAX);
		assert_int_equal(s->error_line, clean->line);
		assert_string_equal(s->error, clean->error);
		assert_int_equal(s->cut_line, 3);
	}
}

static void its_time_counts_only_while_there_is_something_to_execute(void **state)
{
	struct bench *b = *state;
	struct build_request r = request("import time\nx = 1\n", 18);
	struct err e = { 0 };
	r.no_filter = true;
	r.limits.wall_s = 0.6;
	uint32_t job = begin(b, &r);
	double until;

	wait_statements(b, job, 2);
	for (until = clock_now_s() + 0.8; clock_now_s() < until;)
		engine_wait(b->en, 50, &e);
	engine_watch_text(b->en, job, "y = 2\n", 6);
	wait_statements(b, job, 3);
	/* what was slept before counts with what is slept now */
	engine_watch_text(b->en, job, "time.sleep(0.4)\n", 16);
	wait_statements(b, job, 4);
	engine_watch_text(b->en, job, "\n\ntime.sleep(0.4)\nz = 1\n", 24);
	const struct seen *s = wait_over(b, job);
	assert_int_equal(s->cause, CAUSE_WALL_LIMIT);
	assert_int_equal(s->error_line, 7);
	assert_int_equal(s->statements, 4);
	assert_contains(s->error, "line 7: still running after 0.6 s");
}

/* ---- many, and the ends of them ---- */

static void four_are_watched_at_once_and_a_fifth_is_refused(void **state)
{
	struct bench *b = *state;
	struct build_request r = request("x = 1\n", 6);
	uint32_t job[5];
	double deadline = clock_now_s() + 60;

	for (int i = 0; i < 4; i++) {
		job[i] = begin(b, &r);
		wait_statements(b, job[i], 1);
	}
	job[4] = begin(b, &r);
	const struct seen *s = wait_over(b, job[4]);
	assert_int_equal(s->cause, CAUSE_BUILDER_LOST);
	assert_contains(s->error, "4 programs are watched already");
	/* they keep nobody from building */
	struct build_request clean = request(part, sizeof(part) - 1);
	assert_true(built(b, &clean)->ok);
	for (int i = 0; i < 4; i++)
		engine_cancel(b->en, job[i]);
	for (int i = 0; i < 4; i++)
		wait_over(b, job[i]);
	/* and their places are free again */
	uint32_t more = begin(b, &r);
	engine_watch_end(b->en, more);
	assert_true(wait_over(b, more)->ok);
	assert_true(clock_now_s() < deadline);
}

static void a_builder_that_dies_takes_it_along_and_says_so(void **state)
{
	struct bench *b = *state;
	struct build_request r = request("x = 1\n", 6);
	uint32_t job = begin(b, &r);

	wait_statements(b, job, 1);
	assert_int_equal(kill(engine_builder_pid(b->en), SIGKILL), 0);
	const struct seen *s = wait_over(b, job);
	assert_int_equal(s->cause, CAUSE_BUILDER_LOST);
	job = begin(b, &r);
	engine_watch_text(b->en, job, "y = x\n", 6);
	engine_watch_end(b->en, job);
	assert_true(wait_over(b, job)->ok);
}

/* ---- hostile ---- */

static void a_hostile_one_harms_itself_alone(void **state)
{
	/* descriptors: 3 brings text, 4 takes one byte a thing, 6 is the reply, 8 the place */
	static const struct {
		const char *name, *program;
		unsigned causes; /* a bit each that may come of it */
	} all[] = {
		{ "loops", "while True:\n    pass\nx = 1\n",
		  1u << CAUSE_WALL_LIMIT | 1u << CAUSE_CPU_LIMIT },
		{ "forks", "import os\nos.fork()\nx = 1\n", 1u << CAUSE_PROCESS_LIMIT },
		{ "prints megabytes", "while True:\n    print('x' * 100000)\nx = 1\n",
		  1u << CAUSE_OUTPUT_LIMIT },
		{ "writes to the pipe that text comes by", "import os\nos.write(3, b'x')\nx = 1\n",
		  1u << CAUSE_OTHER_EXCEPTION | 1u << CAUSE_REFUSED },
		{ "floods us with notices that are none",
		  "import os\nwhile True:\n    os.write(4, b'n')\nx = 1\n", SPOILED },
		{ "says that it has used what it never got",
		  "import os\nwhile True:\n    os.write(4, b'i')\nx = 1\n", SPOILED },
		{ "says what nobody says",
		  "import os\nos.write(4, b'zzzz')\nwhile True: pass\nx = 1\n", SPOILED },
		{ "sends a nonsense frame",
		  "import os\nos.pwrite(6, b'no frame at all, but long enough', 0)\nos.write(4, b'n')\n"
		  "while True: pass\nx = 1\n",
		  SPOILED },
		{ "claims a gigabyte",
		  "import os, struct\nos.pwrite(6, b'CFm1' + struct.pack('<IIII', 0, 0, 2, 1 << 30), 0)\n"
		  "os.write(4, b'n')\nwhile True: pass\nx = 1\n",
		  SPOILED | 1u << CAUSE_SHAPE_LIMIT },
		{ "sends a shape that nobody asked for",
		  "import os, struct\nos.pwrite(6, b'CFm1' + struct.pack('<IIII', 0, 0, 2, 9) + b'{}shapeless', 0)\n"
		  "os.write(4, b'n')\nwhile True: pass\nx = 1\n",
		  SPOILED | 1u << CAUSE_SHAPE_LIMIT },
		{ "sends nonsense for a notice, again and again",
		  "import sys\nc = sys.modules['cadforge_builder'].STATE['c']\n"
		  "while True:\n    c.notice(b'[[[' * 1000, b'')\nx = 1\n",
		  1u << CAUSE_WALL_LIMIT | 1u << CAUSE_CPU_LIMIT },
		{ "says that it rests, and loops",
		  "import sys\nc = sys.modules['cadforge_builder'].STATE['c']\n"
		  "c.idle()\nwhile True:\n    pass\nx = 1\n",
		  1u << CAUSE_CPU_LIMIT | 1u << CAUSE_WALL_LIMIT },
		{ "closes what it was given",
		  "import os\nfor i in range(3, 9):\n    os.close(i)\nx = 1\n", SPOILED },
		{ "reads its own text away",
		  "import os\nos.read(3, 1000)\nos.read(3, 1000)\nx = 1\n",
		  1u << CAUSE_WALL_LIMIT },
		{ "ends the process", "import os\nos._exit(0)\nx = 1\n", SPOILED },
		{ "forges a report",
		  "import os, struct\nj = b'{\"ok\": true, \"cause\": \"builder_lost\", \"error\": \"\\\\u001b[31m\"}'\n"
		  "os.pwrite(6, b'CFm1' + struct.pack('<IIII', 0, 0, len(j), 0) + j, 0)\nos.write(4, b'd')\n"
		  "while True: pass\nx = 1\n",
		  SPOILED },
	};
	struct bench *b = *state;
	int builder = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct build_request r = request("ok = 1\n", 7);
		r.no_filter = true;
		r.limits.wall_s = 1.5;
		r.limits.cpu_s = 0.7;
		r.limits.output_kib = 64;
		uint32_t job = begin(b, &r);
		wait_statements(b, job, 1);
		if (builder == 0)
			builder = engine_builder_pid(b->en);
		engine_watch_text(b->en, job, all[i].program, strlen(all[i].program));
		/* meanwhile another goes on undisturbed */
		struct build_request other = request("x = 1\n", 6);
		uint32_t beside = begin(b, &other);
		engine_watch_end(b->en, beside);
		assert_true(wait_over(b, beside)->ok);
		engine_watch_end(b->en, job);
		const struct seen *s = wait_over(b, job);
		if (!(all[i].causes >> s->cause & 1))
			fail_msg("one that %s: %s: %s", all[i].name, build_cause_name(s->cause),
			         s->error);
		assert_null(strchr(s->error, 27));
		assert_true(s->error[0] != '\0');
		assert_int_equal(engine_builder_pid(b->en), builder);
	}
	struct build_request clean = request(part, sizeof(part) - 1);
	assert_true(built(b, &clean)->ok);
	assert_int_equal(engine_restarts(b->en), 1); /* the one that was killed above */
}

/* ---- answers ---- */

struct told {
	int statements, news, shapes, shape_line;
	char name[64], shape_name[64], error[400];
	bool certain, facts;
	size_t cut, stl;
};

static void on_news(void *ctx, const struct watch_news *n)
{
	struct told *t = ctx;

	t->news++;
	t->statements = n->statements;
	snprintf(t->name, sizeof(t->name), "%s", n->name ? n->name : "");
	snprintf(t->error, sizeof(t->error), "%s", n->why && n->why->error ? n->why->error : "");
	t->certain = n->certain;
	t->cut = n->cut;
}

static void on_shape(void *ctx, const void *stl, size_t len, const char *name, int line)
{
	struct told *t = ctx;

	(void)stl;
	t->shapes++;
	t->stl = len;
	t->shape_line = line;
	snprintf(t->shape_name, sizeof(t->shape_name), "%s", name);
}

static void on_facts(void *ctx, const cJSON *facts)
{
	struct told *t = ctx;

	t->facts = cJSON_IsObject(facts);
}

struct answers {
	struct pipeline *p;
	struct watch *w;
	struct told told;
};

static int open_answers(void **state)
{
	static struct answers a;
	struct pipeline_options o = {
		.engine = { .libexec_dir = ".", .python_env = getenv("PYTHON_ENV"), .jobs = 2 }
	};
	const struct watch_ops ops = { &a.told, on_news, on_shape, on_facts };
	struct watch_options wo = { .dialect = DIALECT_OPEN, .shapes = true };
	struct err e = { 0 };

	limits_default(&o.limits);
	limits_default(&wo.limits);
	a.p = pipeline_open(&o, &e);
	a.w = a.p ? watch_open(a.p, &wo, &ops, &e) : NULL;
	if (!a.w)
		fail_msg("%s", e.text);
	*state = &a;
	return 0;
}

static int close_answers(void **state)
{
	struct answers *a = *state;

	watch_close(a->w);
	pipeline_close(a->p);
	return 0;
}

static void answer_begin(struct answers *a)
{
	a->told = (struct told){ 0 };
	watch_begin(a->w, EXTRACT_ANSWER);
}

static void answer_turn(struct answers *a, double deadline)
{
	watch_step(a->w);
	poll(NULL, 0, 5);
	if (clock_now_s() > deadline)
		fail_msg("nothing came of it for too long: %d statements, '%s', '%s'",
		         a->told.statements, a->told.name, a->told.error);
}

static void answer_text(struct answers *a, const char *text, int statements)
{
	double deadline = clock_now_s() + 60;

	/* a token is a few letters */
	for (size_t n = strlen(text), k; n > 0; n -= k, text += k) {
		k = n < 4 ? n : 4;
		watch_text(a->w, text, k);
		watch_step(a->w);
	}
	while (a->told.statements != statements)
		answer_turn(a, deadline);
}

static void the_program_of_an_answer_is_found_while_it_is_written(void **state)
{
	struct answers *a = *state;
	double deadline = clock_now_s() + 60;

	answer_begin(a);
	answer_text(a, "<think>\nFirst ```python\nboom(\n```</think>\nHere it is (in mm):\n\n", 0);
	answer_text(a, "```python\nimport cadquery as cq\nW = 5.0\n", 2);
	answer_text(a, "base = cq.Workplane().box(W, W, W)\n", 3);
	while (a->told.shapes == 0 || !a->told.facts)
		answer_turn(a, deadline);
	assert_string_equal(a->told.shape_name, "base");
	assert_int_equal(a->told.shape_line, 3);
	assert_int_equal(a->told.stl, 84 + 12 * 50);
	assert_string_equal(a->told.error, "");
	answer_text(a, "fixture = base.translate((1, 2, 3))\n``", 4);
	answer_text(a, "`\nThat was it: a cube.\n", 4);
	assert_string_equal(a->told.error, "");
	assert_string_equal(a->told.name, "fixture");
	/* a second program takes its place */
	answer_text(a, "Or rather:\n```\nimport cadquery as cq\nx = 1\n", 2);
	answer_text(a, "y = cq.Workplane().sphere(1)\n", 3);
	assert_string_equal(a->told.name, "y");
	watch_stop(a->w);
}

static void an_error_is_certain_when_the_text_so_far_is_the_program(void **state)
{
	static const char before[] =
		"Well.\n```python\nimport cadquery as cq\nbase = cq.Workplane().box(1, 1, 1)\nx = 1\n";
	static const char bad[] = "y = (x +\n  z)\n";
	struct answers *a = *state;
	struct buf text = { 0 };
	struct build b = { 0 };
	struct extract x;
	struct err e = { 0 };
	double deadline = clock_now_s() + 60;

	answer_begin(a);
	buf_adds(&text, before);
	buf_adds(&text, bad);
	answer_text(a, buf_str(&text), 3);
	while (!a->told.error[0])
		answer_turn(a, deadline);
	assert_true(a->told.certain);
	assert_true(a->told.cut == text.len || a->told.cut == text.len - 1);
	assert_contains(a->told.error, "line 5: NameError");
	assert_string_equal(a->told.name, "base");
	watch_stop(a->w);
	/* which is what a clean build says of it */
	assert_int_equal(extract_program(&x, EXTRACT_ANSWER, buf_str(&text), a->told.cut, &e), 0);
	struct build_request r = request(buf_str(&x.program), x.program.len);
	assert_int_equal(pipeline_build(a->p, &r, &b, &e), 0);
	assert_string_equal(b.error, a->told.error);
	build_release(&b);
	extract_release(&x);
	buf_release(&text);

	/* talk is no Python, and says nothing of a program that may follow */
	answer_begin(a);
	answer_text(a, "Plan = a plate with two holes.\nThen: ribs.\n", 0);
	while (!a->told.error[0])
		answer_turn(a, deadline);
	assert_false(a->told.certain);
	answer_text(a, "```python\nimport cadquery as cq\n", 1);
	assert_string_equal(a->told.error, "");
	watch_stop(a->w);
}

static void a_long_answer_costs_no_more_than_its_length(void **state)
{
	struct answers *a = *state;
	double began = clock_now_s();

	answer_begin(a);
	answer_text(a, "```python\nimport cadquery as cq\n", 1);
	for (int i = 0; i < 20000; i++) {
		char line[60];
		int n = snprintf(line, sizeof(line), "# %d: the words of a comment\n", i);
		watch_text(a->w, line, (size_t)n);
		watch_step(a->w);
	}
	answer_text(a, "x = 1\n", 2);
	/* half a megabyte; looking at all of it for each line would take a minute */
	assert_true(clock_now_s() - began < 20);
	watch_stop(a->w);
}

int main(void)
{
	const struct CMUnitTest engine[] = {
		cmocka_unit_test(statements_are_executed_as_they_close),
		cmocka_unit_test(the_last_name_bound_to_a_shape_is_told_with_its_shape),
		cmocka_unit_test(facts_of_what_is_written_are_told),
		cmocka_unit_test(the_first_error_is_the_one_that_a_build_has),
		cmocka_unit_test(a_line_that_is_no_python_is_an_error_before_the_next_one),
		cmocka_unit_test(its_time_counts_only_while_there_is_something_to_execute),
		cmocka_unit_test(four_are_watched_at_once_and_a_fifth_is_refused),
		cmocka_unit_test(a_builder_that_dies_takes_it_along_and_says_so),
		cmocka_unit_test(a_hostile_one_harms_itself_alone),
	};
	const struct CMUnitTest answers[] = {
		cmocka_unit_test(the_program_of_an_answer_is_found_while_it_is_written),
		cmocka_unit_test(an_error_is_certain_when_the_text_so_far_is_the_program),
		cmocka_unit_test(a_long_answer_costs_no_more_than_its_length),
	};

	if (!getenv("PYTHON_ENV") || !*getenv("PYTHON_ENV")) {
		printf("SKIP: no Python environment with CadQuery (PYTHON_ENV)\n");
		return 77;
	}
	return cmocka_run_group_tests(engine, setup, teardown) +
	       cmocka_run_group_tests(answers, open_answers, close_answers);
}
