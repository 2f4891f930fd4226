/*
 * t_live.c - what is folded from an episode's events: the same whether they come from a host, token
 * by token, or from the store, in batches; and whatever the text is.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/extract.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/live.h"

static struct err e;

static void event(struct live *l, int64_t t, const char *kind, int turn, int member,
                  const char *data)
{
	assert_int_equal(live_event(l, t, kind, turn, member, data, strlen(data), &e), 0);
}

/* @text in pieces of @size bytes, cut at whole characters or not. */
static void stream(struct live *l, const char *text, size_t size, int member)
{
	for (size_t at = 0, n; text[at]; at += n) {
		char piece[4096];
		n = strlen(text + at) < size ? strlen(text + at) : size;
		snprintf(piece, sizeof(piece), "%.*s", (int)n, text + at);
		event(l, 1000 + (int64_t)at, "tokens", 1, member, piece);
	}
}

static void code_is(const struct live *l, int member, const char *want)
{
	const struct buf *code = &l->answer[member].code;

	assert_string_equal(buf_str(code), want);
}

static const char *const answers[] = {
	"import cadquery as cq\nfixture = cq.Workplane().box(1, 2, 3)",
	"Here it is:\n\n```python\nimport cadquery as cq\nx = \"```\"\nfixture = x\n```\nDone.\n",
	"```\nimport cadquery as cq\nfixture = 1\n```",
	"Sure.\n~~~py\nimport cadquery as cq\n~~~\n",
	"<think>\nA ```python block```? Hm.\n</think>\n\nimport cadquery as cq\nb = 2\n",
	"First a shell:\n```sh\nls\n```\nThen:\n```python\nimport cadquery as cq\nc = 3\n```\n",
	"no program at all",
	"# only a comment\nfixture = None\n",
	"```python\nimport cadquery as cq\n# cut off in the mid",
	"",
};

static void what_streams_is_the_program_that_is_built(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
		for (size_t size = 1; size < 40; size = size * 2 + 1) {
			struct live l;
			struct extract x;
			struct buf streamed = { 0 };
			live_init(&l);
			event(&l, 1, "decision", 1, 0, "{\"do\":\"ask\",\"turn\":1}");
			stream(&l, answers[i], size, 0);
			buf_adds(&streamed, buf_str(&l.answer[0].code));
			event(&l, 2, "completion", 1, 0, "{\"finish\":\"stop\"}");
			assert_int_equal(extract_program(&x, EXTRACT_ANSWER, answers[i],
			                                 strlen(answers[i]), &e),
			                 0);
			code_is(&l, 0, buf_str(&x.program));
			/* what stood there before it was whole was the same but for its end */
			size_t n = streamed.len < x.program.len ? streamed.len : x.program.len;
			assert_memory_equal(buf_str(&streamed), buf_str(&x.program), n);
			/* blanks at the end, and a last line that is not yet known to be one */
			assert_true(strstr(answers[i], "no program") || i == 9 ||
			            streamed.len + 40 > x.program.len);
			extract_release(&x);
			buf_release(&streamed);
			live_release(&l);
		}
}

static void thoughts_are_kept_apart(void **state)
{
	struct live l;

	(void)state;
	live_init(&l);
	stream(&l, "<think>\nbox or cylinder?\n</think>\n\nimport cadquery\n", 3, 0);
	assert_string_equal(buf_str(&l.answer[0].thinking), "\nbox or cylinder?\n");
	code_is(&l, 0, "import cadquery\n");
	live_release(&l);
}

static void only_what_was_appended_is_new(void **state)
{
	static const char text[] = "Well:\n```python\nimport cadquery as cq\na = 1\nb = [2,\n 3]\n";
	struct live l;
	uint64_t version = 0;
	struct buf before = { 0 };

	(void)state;
	live_init(&l);
	for (size_t i = 0; text[i]; i++) {
		char one[2] = { text[i] };
		event(&l, 1, "tokens", 1, 0, one);
		const struct live_answer *a = &l.answer[0];
		assert_true(a->version > version);
		version = a->version;
		assert_true(a->code_kept <= a->code.len && a->code_kept <= before.len);
		assert_memory_equal(buf_str(&a->code), buf_str(&before), a->code_kept);
		buf_clear(&before);
		buf_add(&before, buf_str(&a->code), a->code.len);
	}
	assert_int_equal(before.len, strlen("import cadquery as cq\na = 1\nb = [2,\n 3]\n"));
	buf_release(&before);
	live_release(&l);
}

static void tokens_lie_in_the_code(void **state)
{
	static const char *const piece[] = { "Ok:\n",     "```",     "python\n", "import",
		                             " cadquery", "\nx = 1", "\n```\n" };
	struct live live, stored;
	struct live_token t[16];
	char data[256];
	struct buf at = { 0 };

	(void)state;
	live_init(&live);
	live_init(&stored);
	buf_adds(&at, "{\"at\":[");
	for (size_t i = 0, from = 0; i < 7; from += strlen(piece[i++])) {
		struct buf text = { 0 };
		cJSON *s = cJSON_CreateString(piece[i]);
		json_print(&text, s);
		cJSON_Delete(s);
		snprintf(data, sizeof(data),
		         "{\"i\":%zu,\"id\":%zu,\"text\":%s,\"p\":0.25,\"entropy\":1.5,"
		         "\"top\":[[7,0.5,\"box\"],[%zu,0.25,\"x\"]]}",
		         i, i + 100, buf_str(&text), i + 100);
		event(&live, 5, "token", 1, 0, data);
		event(&stored, 5, "tokens", 1, 0, piece[i]);
		buf_printf(&at, "%s%zu", i ? "," : "", from);
		buf_release(&text);
	}
	buf_adds(&at, "],\"ids\":[100,101,102,103,104,105,106],\"logprobs\":[-1,-1,-1,-1,-1,-1,-1],"
	              "\"entropy\":[1.5,1.5,1.5,1.5,1.5,1.5,null],"
	              "\"top\":[[[7,-0.5,\"box\"],[100,-1]],[],[],[],[],[],[]]}");
	cJSON *o = json_parse(buf_str(&at), at.len, &e);
	assert_non_null(o);
	assert_int_equal(live_tokens(&stored, 0, o, &e), 0);
	cJSON_Delete(o);
	buf_release(&at);
	event(&live, 6, "completion", 1, 0, "{}");
	event(&stored, 6, "completion", 1, 0, "{}");
	assert_int_equal(live.answer[0].n_tokens, 7);
	assert_int_equal(stored.answer[0].n_tokens, 7);
	for (int i = 0; i < 7; i++)
		assert_int_equal(live.answer[0].tokens[i].start, stored.answer[0].tokens[i].start);
	assert_true(isnan(stored.answer[0].tokens[6].entropy));
	assert_string_equal(stored.answer[0].tokens[0].top[0].text, "box");
	assert_int_equal(live_code_tokens(&live.answer[0], t, 16), 3);
	assert_int_equal(t[0].start, 0);
	assert_int_equal(t[0].id, 103);
	assert_int_equal(t[1].start, 6);
	assert_int_equal(t[2].id, 105);
	assert_int_equal(t[0].n_top, 2);
	assert_string_equal(t[0].top[0].text, "box");
	assert_int_equal(live_code_tokens(&live.answer[0], t, 2), 2);
	live_release(&live);
	live_release(&stored);
}

/* A model may well say "python\nimport" in one breath. */
static void a_token_that_the_code_begins_in_is_its_first(void **state)
{
	static const char *const piece[] = { "Well.\\n```", "python\\nimport cadquery", " as cq\\n",
		                             "```\\n" };
	struct live_token t[8];
	struct live l;
	char data[256];

	(void)state;
	live_init(&l);
	for (int i = 0; i < 4; i++) {
		snprintf(data, sizeof(data), "{\"i\":%d,\"id\":%d,\"text\":\"%s\",\"p\":0.5}", i,
		         i + 100, piece[i]);
		event(&l, 5 + i, "token", 1, 0, data);
		/* of talk and of the fence's own line nothing is the program's */
		assert_int_equal(live_code_tokens(&l.answer[0], t, 8), i < 1 ? 0 : i < 3 ? i : 2);
	}
	assert_int_equal(live_code_first(&l.answer[0]), 1);
	assert_int_equal(t[0].id, 101);
	assert_int_equal(t[0].start, 0);
	assert_int_equal(t[1].id, 102);
	assert_int_equal(t[1].start, strlen("import cadquery"));
	live_release(&l);
}

static void siblings_stream_side_by_side(void **state)
{
	struct live l;

	(void)state;
	live_init(&l);
	event(&l, 1, "begin", 0, 0, "{\"task\":\"t\",\"episode\":7,\"group\":3,\"best\":0}");
	event(&l, 2, "decision", 1, 1, "{\"do\":\"ask\",\"turn\":1}");
	assert_int_equal(l.n_answers, 3);
	stream(&l, "import cadquery\na = 1\n", 4, 2);
	stream(&l, "import cadquery\nb = 2\n", 5, 1);
	event(&l, 3, "over", 1, 2, "{\"finish\":\"stop\"}");
	assert_true(l.answer[1].over);
	assert_false(l.answer[0].over);
	event(&l, 4, "completion", 1, 2, "{\"finish\":\"stop\"}");
	event(&l, 5, "turn", 1, 2,
	      "{\"episode\":7,\"turn\":1,\"best\":1,\"finish\":\"stop\",\"build\":{\"ok\":true,"
	      "\"class\":\"build_ok\"},\"reward\":{\"total\":0.5,\"build\":1}}");
	/* the next sibling is asked for: nothing of the others goes */
	event(&l, 6, "decision", 2, 3, "{\"do\":\"ask\",\"turn\":2}");
	stream(&l, "import cadquery\nc = 3\n", 6, 3);
	code_is(&l, 0, "import cadquery\nb = 2\n");
	code_is(&l, 2, "import cadquery\nc = 3\n");
	assert_true(l.answer[1].over);
	assert_true(l.answer[1].built);
	assert_int_equal(l.answer[1].turn, 1);
	assert_float_equal(l.answer[1].total, 0.5, 0);
	assert_int_equal(l.best, 1);
	assert_true(isnan(l.answer[2].total));
	live_release(&l);
}

static void a_turn_goes_from_asked_to_stored(void **state)
{
	struct live l;

	(void)state;
	live_init(&l);
	assert_int_equal(l.at, LIVE_AT_IDLE);
	event(&l, 10, "decision", 1, 0, "{\"do\":\"ask\",\"turn\":1,\"round\":1,\"parent\":null}");
	assert_int_equal(l.at, LIVE_AT_GENERATE);
	assert_int_equal(l.turn, 1);
	stream(&l, "import cadquery\n", 100, 0);
	event(&l, 20, "figure", 1, 0, "{\"name\":\"editability\",\"value\":0.5,\"early\":true}");
	assert_true(l.early[6]);
	event(&l, 21, "early", 1, 0, "{\"line\":3,\"name\":\"plate\",\"error\":\"NameError: x\"}");
	assert_int_equal(l.early_line, 3);
	assert_string_equal(l.early_name, "plate");
	event(&l, 30, "completion", 1, 0, "{\"finish\":\"stop\"}");
	assert_int_equal(l.at, LIVE_AT_BUILD);
	event(&l, 31, "generation", 1, 0, "{\"prompt_tokens\":12,\"drafted\":null}");
	assert_int_equal(l.prompt_tokens, 12);
	assert_int_equal(l.drafted, -1);
	event(&l, 32, "log", 1, 0, "one\n");
	event(&l, 33, "log", 1, 0, "two\n");
	assert_string_equal(buf_str(&l.log), "one\ntwo\n");
	event(&l, 40, "build", 1, 0,
	      "{\"ok\":false,\"cause\":\"syntax\",\"error\":\"line 1: bad\",\"seconds\":0.5,\"line\":1}");
	assert_int_equal(l.build_line, 1);
	assert_string_equal(l.build_error, "line 1: bad");
	event(&l, 41, "figure", 1, 0, "{\"name\":\"total\",\"value\":-0.8}");
	assert_float_equal(l.total, -0.8, 0);
	event(&l, 42, "decision", 1, 0, "{\"do\":\"commit\",\"best\":true,\"delta\":null}");
	assert_int_equal(l.best, 1);
	event(&l, 43, "turn", 1, 0,
	      "{\"episode\":1,\"turn\":1,\"best\":1,\"build\":{\"ok\":false,\"class\":"
	      "\"syntax_closure\",\"error\":\"line 1: bad\",\"line\":1},\"reward\":{\"total\":-0.8}}");
	assert_string_equal(l.class_name, "syntax_closure");
	assert_non_null(l.score);
	/* the next: its text is new, the score of the one before stays in view */
	event(&l, 50, "decision", 2, 0, "{\"do\":\"ask\",\"turn\":2,\"round\":2,\"parent\":1}");
	assert_int_equal(l.parent, 1);
	assert_int_equal(l.answer[0].text.len, 0);
	assert_int_equal(l.log.len, 0);
	assert_non_null(l.score);
	assert_true(isnan(l.total));
	assert_int_equal(l.started_us, 50);
	event(&l, 60, "decision", 0, 0, "{\"do\":\"end\",\"why\":\"enough\",\"best\":2}");
	assert_int_equal(l.at, LIVE_AT_DONE);
	assert_string_equal(l.end, "enough");
	live_release(&l);
}

static void what_is_damaged_is_passed_over(void **state)
{
	static const char *const kinds[] = {
		"begin",  "token", "tokens",     "over",  "completion",
		"build",  "turn",  "generation", "phase", "decision",
		"figure", "early", "log",        "shape", "unheard of"
	};
	static const char *const data[] = {
		"",
		"{",
		"null",
		"[]",
		"7",
		"\"x\"",
		"{\"turn\":-5,\"group\":100000,\"episode\":\"x\",\"id\":1e300,\"p\":\"y\"}",
		"{\"top\":[[1],[],{},[1,2,3,4],[1,1,1],[1,1,1],[1,1,1]],\"text\":7,\"line\":1e99}",
		"{\"do\":\"ask\",\"turn\":1e99,\"phase\":\"dancing\",\"reward\":[],\"build\":7}",
		"{\"name\":\"total\",\"value\":\"much\",\"best\":-1e99,\"delta\":{}}",
	};
	struct live l;
	unsigned seed = 1;

	(void)state;
	live_init(&l);
	for (int i = 0; i < 20000; i++) {
		seed = seed * 1103515245u + 12345u;
		const char *kind = kinds[(seed >> 8) % 15], *d = data[(seed >> 16) % 10];
		assert_int_equal(live_event(&l, (int64_t)i, kind, (int)(seed % 7) - 1,
		                            (int)(seed % 99) - 3, d, strlen(d), &e),
		                 0);
	}
	assert_true(l.n_answers >= 0 && l.n_answers <= LIVE_MEMBERS_MAX);
	for (int i = 0; i < LIVE_MEMBERS_MAX; i++) {
		cJSON *o = json_parse("{\"at\":[0,1,99999],\"ids\":7,\"top\":[1,[2]]}", 37, &e);
		live_tokens(&l, i, o, &e);
		cJSON_Delete(o);
	}
	live_release(&l);
	live_release(&l);
}

/* An answer without an end must not cost more with every byte. */
static void an_endless_line_costs_no_more_than_its_bytes(void **state)
{
	static const char *const pieces[] = { "    ", "`", "x = 1 ", "<", "<think", "```python\n" };
	enum { TIMES = 100000 };
	double begun = clock_now_s();

	(void)state;
	for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++) {
		struct live l;
		live_init(&l);
		for (int head = 0; head < 2; head++)
			event(&l, 1, "tokens", 1, 0, head ? "import cadquery\n" : "```python\n");
		for (int i = 0; i < TIMES; i++) {
			cJSON s = { .type = cJSON_String,
				    .valuestring = (char *)(uintptr_t)pieces[k] };
			struct live_news n = { .time_us = 1, .kind = "tokens", .data = &s };
			assert_int_equal(live_feed(&l, &n, &e), 0);
		}
		assert_true(l.answer[0].text.len >= TIMES);
		live_release(&l);
	}
	/* 600,000 pieces; were each looked at again it would be hours */
	assert_true(clock_now_s() - begun < 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_streams_is_the_program_that_is_built),
		cmocka_unit_test(thoughts_are_kept_apart),
		cmocka_unit_test(only_what_was_appended_is_new),
		cmocka_unit_test(tokens_lie_in_the_code),
		cmocka_unit_test(a_token_that_the_code_begins_in_is_its_first),
		cmocka_unit_test(siblings_stream_side_by_side),
		cmocka_unit_test(a_turn_goes_from_asked_to_stored),
		cmocka_unit_test(what_is_damaged_is_passed_over),
		cmocka_unit_test(an_endless_line_costs_no_more_than_its_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
