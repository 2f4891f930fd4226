/*
 * t_transcript.c - what an OpenEnv client and its server said becomes the episodes it was, whoever
 * wrote it down and however much of it is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/transcript.h"

/* "task: code|code!said" an episode, one a line */
static int note(void *ctx, const struct transcript_episode *ep)
{
	struct buf *b = ctx;

	buf_printf(b, "%s@%d:", ep->task ? ep->task : "-", ep->line);
	for (int i = 0; i < ep->n; i++) {
		cJSON *o = ep->step[i].said
		                   ? json_parse(ep->step[i].said, strlen(ep->step[i].said), NULL)
		                   : NULL;
		assert_int_equal(ep->step[i].len, strlen(ep->step[i].code));
		buf_printf(b, " %s", ep->step[i].code);
		if (o)
			buf_printf(b, "=%g", json_number_or(o, "reward", -9));
		cJSON_Delete(o);
	}
	buf_addc(b, '\n');
	return 0;
}

/* Reads @lines; what came of them, and of the bad ones why. */
static char *read_all(const char *const *lines, char *why, size_t size)
{
	struct buf out = { 0 };
	struct transcript *t = transcript_new(note, &out);
	struct err e = { 0 };

	*why = '\0';
	for (int i = 0; lines[i]; i++) {
		int rc = transcript_line(t, i + 1, lines[i], strlen(lines[i]), &e);
		assert_int_not_equal(rc, -2);
		if (rc < 0)
			snprintf(why + strlen(why), size - strlen(why), "%d: %s\n", i + 1, e.text);
	}
	assert_int_equal(transcript_end(t, &e), 0);
	transcript_free(t);
	return buf_take(&out, NULL);
}

static void becomes(const char *const *lines, const char *want)
{
	char why[2000];
	char *got = read_all(lines, why, sizeof(why));

	assert_string_equal(got ? got : "", want);
	assert_string_equal(why, "");
	free(got);
}

#define RESET(task) "{\"type\":\"reset\",\"data\":{\"task_id\":\"" task "\"}}"
#define STEP(code)  "{\"type\":\"step\",\"data\":{\"code\":\"" code "\"}}"
#define SEEN(task, more)                                                                           \
	"{\"type\":\"observation\",\"data\":{\"observation\":{\"task_id\":\"" task "\"" more       \
	"},\"reward\":0.5,\"done\":false}}"

static void a_session_is_an_episode_and_a_reset_begins_another(void **state)
{
	(void)state;
	becomes((const char *const[]){ RESET("a"), SEEN("a", ""), STEP("x"), SEEN("a", ""),
	                               STEP("y"), SEEN("a", ""), "{\"type\":\"state\"}",
	                               "{\"type\":\"state\",\"data\":{}}", RESET("b"),
	                               SEEN("b", ""), STEP("z"), SEEN("b", ""),
	                               "{\"type\":\"close\"}", NULL },
	        "a@3: x=0.5 y=0.5\nb@11: z=0.5\n");
	/* nothing was done in it */
	becomes((const char *const[]){ RESET("a"), RESET("a"), NULL }, "");
}

static void the_observation_says_which_task_it_was(void **state)
{
	(void)state;
	/* an old server jumps to its default task when a step names none */
	becomes((const char *const[]){ RESET("a"), STEP("x"), SEEN("chair", ""), STEP("y"),
	                               SEEN("chair", ""), NULL },
	        "chair@2: x=0.5 y=0.5\n");
	/* of two tasks: two episodes */
	becomes((const char *const[]){ RESET("a"), STEP("x"), SEEN("a", ""), STEP("y"),
	                               SEEN("b", ""), STEP("z"), SEEN("b", ""), NULL },
	        "a@2: x=0.5\nb@4: y=0.5 z=0.5\n");
	becomes((const char *const[]){ "{\"action\":{\"code\":\"x\",\"task_id\":\"c\"}}",
	                               "{\"observation\":{},\"reward\":0.5,\"done\":true}", NULL },
	        "c@1: x=0.5\n");
	becomes((const char *const[]){ STEP("x"), NULL }, "-@1: x\n");
}

static void what_the_server_refused_is_no_step_and_what_it_left_unanswered_is(void **state)
{
	(void)state;
	becomes((const char *const[]){ RESET("a"), STEP("x"),
	                               "{\"type\":\"error\",\"data\":{\"message\":\"no\"}}",
	                               STEP("y"), SEEN("a", ""), STEP("z"), NULL },
	        "a@4: y=0.5 z\n");
	/* only answers were kept */
	becomes((const char *const[]){ SEEN("a", ",\"current_code\":\"\""),
	                               SEEN("a", ",\"current_code\":\"x\""),
	                               SEEN("a", ",\"current_code\":\"x\""),
	                               SEEN("a", ",\"current_code\":\"y\""), NULL },
	        "a@2: x=0.5 y=0.5\n");
}

static void sessions_in_one_file_are_kept_apart(void **state)
{
	(void)state;
	becomes(
		(const char *const[]){
			"{\"session\":1,\"sent\":" RESET("a") "}",
			"{\"session\":\"two\",\"sent\":" RESET("b") "}",
			"{\"session\":1,\"sent\":" STEP("x") "}",
			"{\"session\":\"two\",\"sent\":" STEP("y") "}",
			"{\"session\":\"two\",\"received\":" SEEN("b", "") "}",
			/* as text, as it went over the wire */
			"{\"session\":1,\"received\":\"{\\\"type\\\":\\\"observation\\\",\\\"data\\\":"
			"{\\\"observation\\\":{},\\\"reward\\\":-1}}\"}",
			NULL },
		"a@3: x=-1\nb@4: y=0.5\n");
}

static void a_line_that_is_none_is_told_and_the_others_are_read(void **state)
{
	char why[4000];
	char *got = read_all(
		(const char *const[]){
			RESET("a"), "{half", "[]", "{\"type\":\"dance\"}", "{\"type\":\"step\"}",
			"{\"type\":\"step\",\"data\":{\"code\":7}}",
			"{\"type\":\"step\",\"data\":{\"code\":\"a\\u0000b\"}}", "\xff\xfe",
			"{\"sent\":\"{\\\"type\\\":\\\"step\\\",\\\"data\\\":{\\\"code\\\":\\\"a\\\\u0000\\\"}}\"}",
			"{\"type\":\"observation\",\"data\":{}}", STEP("x"), SEEN("a", ""), NULL },
		why, sizeof(why));

	(void)state;
	assert_string_equal(got, "a@11: x=0.5\n");
	for (int i = 2; i <= 10; i++) {
		char number[8];
		snprintf(number, sizeof(number), "%d: ", i);
		if (!strstr(why, number))
			fail_msg("line %d is not told: %s", i, why);
	}
	assert_non_null(strstr(why, "a message of OpenEnv was expected"));
	assert_non_null(strstr(why, "data.code: the program was expected"));
	assert_non_null(strstr(why, "NUL"));
	free(got);
}

static void more_than_is_kept_is_refused(void **state)
{
	struct buf out = { 0 }, line = { 0 };
	struct transcript *t = transcript_new(note, &out);
	struct err e = { 0 };
	int refused = 0;

	(void)state;
	for (int i = 0; i < TRANSCRIPT_STEPS_MAX + 3; i++) {
		buf_clear(&line);
		buf_printf(&line, "{\"type\":\"step\",\"data\":{\"code\":\"c%d\"}}", i);
		refused += transcript_line(t, i + 1, line.data, line.len, &e) == -1;
	}
	assert_int_equal(refused, 3);
	assert_non_null(strstr(e.text, "more than"));
	refused = 0;
	for (int i = 0; i < TRANSCRIPT_SESSIONS_MAX + 3; i++) {
		buf_clear(&line);
		buf_printf(&line, "{\"session\":%d,\"sent\":" RESET("a") "}", i);
		refused += transcript_line(t, i + 1, line.data, line.len, &e) == -1;
	}
	/* the one without a name is one of them */
	assert_int_equal(refused, 4);
	transcript_free(t);
	buf_release(&line);
	buf_release(&out);
}

static void completions_are_no_transcript(void **state)
{
	static const char *const no[] = { "{\"completion\":\"x\",\"type\":\"step\"}",
		                          "{\"messages\":[],\"type\":\"reset\"}",
		                          "{\"task\":\"a\"}",
		                          "[1]",
		                          "",
		                          "{\"type\":\"function\"}" };

	(void)state;
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		assert_false(transcript_is(no[i], strlen(no[i])));
	assert_true(transcript_is(RESET("a"), strlen(RESET("a"))));
	assert_true(transcript_is("{\"message\":" STEP("x") "}",
	                          strlen("{\"message\":" STEP("x") "}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_an_episode_and_a_reset_begins_another),
		cmocka_unit_test(the_observation_says_which_task_it_was),
		cmocka_unit_test(what_the_server_refused_is_no_step_and_what_it_left_unanswered_is),
		cmocka_unit_test(sessions_in_one_file_are_kept_apart),
		cmocka_unit_test(a_line_that_is_none_is_told_and_the_others_are_read),
		cmocka_unit_test(more_than_is_kept_is_refused),
		cmocka_unit_test(completions_are_no_transcript),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
