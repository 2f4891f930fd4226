/*
 * t_sse.c - server-sent events, and an answer's thoughts: the same however the bytes are cut.
 */
#include "tests/lib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/sse.h"
#include "gpu/think.h"

static int note(void *ctx, const char *event, const char *data, size_t len)
{
	struct buf *out = ctx;

	assert_int_equal(strlen(data), len);
	buf_printf(out, "<%s|%s>", event, data);
	return strcmp(data, "stop here") == 0;
}

struct text {
	const char *bytes, *want;
};

static const struct text streams[] = {
	{ "data: one\n\ndata: two\n\n", "<|one><|two>" },
	{ "data:one\r\n\r\ndata:  two\r\rdata: three\n\n", "<|one><| two><|three>" },
	{ ": a comment\ndata: a\ndata: b\ndata:\ndata: c\n\n", "<|a\nb\n\nc>" },
	{ "event: error\nid: 7\nretry: 3\ndata: x\n\ndata: y\n\n", "<error|x><|y>" },
	{ "\xef\xbb\xbf"
	  "data: marked\n\n",
	  "<|marked>" },
	{ "\xef\xbb"
	  "data: no mark\n\ndata: x\n\n",
	  "<|x>" },
	{ "\n\n\nevent: nothing\n\ndata\n\n", "<|>" },
	{ "data: [DONE]", "<|[DONE]>" },
	{ "data: a\nx", "<|a>" },
	{ "unknown: field\nDATA: no\n data: no\n\n", "" },
	{ "", "" },
};

static void feed(struct buf *out, const char *bytes, size_t len, size_t cut, size_t step)
{
	struct sse s = { .max = 100 };
	struct err e = { 0 };

	assert_int_equal(sse_feed(&s, bytes, cut, note, out, &e), 0);
	for (size_t at = cut; at < len; at += step)
		assert_int_equal(
			sse_feed(&s, bytes + at, len - at < step ? len - at : step, note, out, &e),
			0);
	assert_int_equal(sse_end(&s, note, out, &e), 0);
	sse_release(&s);
	sse_release(&s);
}

static void a_stream_gives_the_same_events_wherever_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++) {
		size_t len = strlen(streams[i].bytes);
		for (size_t cut = 0; cut <= len; cut++) {
			struct buf out = { 0 };
			feed(&out, streams[i].bytes, len, cut, len + 1);
			assert_string_equal(buf_str(&out), streams[i].want);
			buf_release(&out);
			feed(&out, streams[i].bytes, len, cut, 1);
			assert_string_equal(buf_str(&out), streams[i].want);
			buf_release(&out);
		}
	}
}

static void what_is_too_long_is_refused(void **state)
{
	struct err e = { 0 };
	char line[256];

	(void)state;
	for (int many = 0; many < 2; many++) {
		struct sse s = { .max = 100 };
		struct buf out = { 0 };
		int rc = 0;
		if (many) { /* lines that are short enough, of an event that is not */
			for (int i = 0; i < 100 && rc == 0; i++)
				rc = sse_feed(&s, "data: 0123456789\n", 17, note, &out, &e);
		} else {
			memset(line, 'x', sizeof(line));
			rc = sse_feed(&s, line, sizeof(line), note, &out, &e);
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_PROTOCOL);
		assert_non_null(strstr(e.text, "100 bytes"));
		sse_release(&s);
		buf_release(&out);
	}
}

static void a_listener_may_stop_the_stream(void **state)
{
	static const char bytes[] = "data: stop here\n\ndata: never\n\n";
	struct sse s = { .max = 100 };
	struct buf out = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(sse_feed(&s, bytes, sizeof(bytes) - 1, note, &out, &e), -1);
	assert_string_equal(buf_str(&out), "<|stop here>");
	sse_release(&s);
	buf_release(&out);
}

/* ---- thoughts ---- */

static const struct {
	bool in_thought;
	const char *text, *thought, *answer;
} answers[] = {
	{ false, "plain", "", "plain" },
	{ false, "<think>\nhm\n</think>\n\nyes", "hm", "yes" },
	{ true, "hm\n\nhm\n</think>\n\n\nyes\n", "hm\n\nhm", "yes\n" },
	{ true, "never ends <", "never ends <", "" },
	{ true, "a < b </ c </think>d", "a < b </ c", "d" },
	{ false, "  <think></think>x <think>y</think>", "", "x <think>y</think>" },
	{ false, "<thin", "", "<thin" },
	{ false, " \n ", "", " \n " },
	{ false, "say <think>", "", "say <think>" },
	{ true, "</think>", "", "" },
	{ true, "", "", "" },
};

static void thoughts_are_told_apart_wherever_the_text_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		size_t len = strlen(answers[i].text);
		for (size_t cut = 0; cut <= len; cut++)
			for (size_t step = 1; step <= len + 1; step += len ? len : 1) {
				struct think t = { .at = THINK_OUT };
				struct buf thought = { 0 }, answer = { 0 };
				think_begin(&t, answers[i].in_thought);
				think_feed(&t, answers[i].text, cut, &thought, &answer);
				for (size_t at = cut; at < len; at += step)
					think_feed(&t, answers[i].text + at,
					           len - at < step ? len - at : step, &thought,
					           &answer);
				think_end(&t, &thought, &answer);
				assert_string_equal(buf_str(&thought), answers[i].thought);
				assert_string_equal(buf_str(&answer), answers[i].answer);
				think_release(&t);
				buf_release(&thought);
				buf_release(&answer);
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_gives_the_same_events_wherever_it_is_cut),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(a_listener_may_stop_the_stream),
		cmocka_unit_test(thoughts_are_told_apart_wherever_the_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
