/* The OpenEnv protocol's messages: what is asked, what is refused and how, what answers look like.
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "src/openenv.h"

static struct openenv_ask message(const char *text)
{
	struct openenv_ask a;

	openenv_message(&a, text, strlen(text));
	return a;
}

/* The error's code, and the first fault's type where there are faults. */
static void check_refused(const char *text, const char *code, const char *type, bool fatal)
{
	struct openenv_ask a = message(text);
	cJSON *o = json_parse(buf_str(&a.refusal), a.refusal.len, NULL);
	const cJSON *data = cJSON_GetObjectItem(o, "data");
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(data, "errors"), 0);

	assert_int_equal(a.want, OPENENV_REFUSED);
	assert_string_equal(json_string_or(o, "type", ""), "error");
	assert_string_equal(json_string_or(data, "code", ""), code);
	assert_string_equal(json_string_or(first, "type", ""), type ? type : "");
	assert_int_equal(a.fatal, fatal);
	cJSON_Delete(o);
	openenv_ask_release(&a);
}

static void each_wrong_message_has_its_code(void **state)
{
	(void)state;
	check_refused("", "INVALID_JSON", NULL, false);
	check_refused("{\"type\":", "INVALID_JSON", NULL, false);
	check_refused("[]", "SESSION_ERROR", NULL, true);
	check_refused("{}", "UNKNOWN_TYPE", NULL, false);
	check_refused("{\"type\":\"dance\"}", "UNKNOWN_TYPE", NULL, false);
	check_refused("{\"type\":7}", "UNKNOWN_TYPE", NULL, false);
	check_refused("{\"type\":\"step\"}", "VALIDATION_ERROR", "missing", false);
	check_refused("{\"type\":\"step\",\"data\":{}}", "VALIDATION_ERROR", "missing", false);
	check_refused("{\"type\":\"step\",\"data\":{\"code\":\"\"}}", "VALIDATION_ERROR",
	              "string_too_short", false);
	check_refused("{\"type\":\"step\",\"data\":{\"code\":\"x\",\"reward_mode\":\"slow\"}}",
	              "VALIDATION_ERROR", "string_pattern_mismatch", false);
	check_refused("{\"type\":\"step\",\"data\":{\"code\":\"x\",\"more\":1}}",
	              "VALIDATION_ERROR", "extra_forbidden", false);
	check_refused("{\"type\":\"reset\",\"data\":null}", "VALIDATION_ERROR", "dict_type", false);
	check_refused("{\"type\":\"state\",\"data\":{}}", "VALIDATION_ERROR", "extra_forbidden",
	              false);
	check_refused("{\"type\":\"state\",\"request_id\":\"1\"}", "VALIDATION_ERROR",
	              "extra_forbidden", false);
}

static void a_refusal_repeats_whole_characters_only(void **state)
{
	char text[400] = "{\"type\":\"";
	struct openenv_ask a;

	(void)state;
	for (int i = 0; i < 27; i++)
		strcat(text, "\xE2\x82\xAC");
	strcat(text, "\"}");
	a = message(text);
	/* 80 bytes would end within the 27th */
	assert_non_null(strstr(buf_str(&a.refusal), "\xE2\x82\xAC\""));
	openenv_ask_release(&a);
}

static void a_step_without_a_task_names_none(void **state)
{
	struct openenv_ask a = message("{\"type\":\"step\",\"data\":{\"code\":\"x\"}}");

	(void)state;
	assert_int_equal(a.want, OPENENV_STEP);
	assert_null(a.task_id);
	assert_int_equal(a.mode, OPENENV_FAST);
	openenv_ask_release(&a);
	a = message("{\"type\":\"step\",\"data\":{\"code\":\"x\",\"task_id\":\"t\","
	            "\"reward_mode\":\"exact\",\"task_prompt\":null}}");
	assert_string_equal(a.task_id, "t");
	assert_int_equal(a.mode, OPENENV_EXACT);
	assert_null(a.task_prompt);
	openenv_ask_release(&a);
}

static void a_reset_takes_what_it_knows(void **state)
{
	struct openenv_ask a = message("{\"type\":\"reset\"}");

	(void)state;
	assert_int_equal(a.want, OPENENV_RESET);
	assert_int_equal(a.seed, -1);
	openenv_ask_release(&a);
	a = message("{\"type\":\"reset\",\"data\":{\"seed\":\"no\",\"prompt\":[1],\"index\":3,"
	            "\"split\":\"test\"}}");
	assert_int_equal(a.want, OPENENV_RESET);
	assert_int_equal(a.index, 3);
	assert_string_equal(a.split, "test");
	openenv_ask_release(&a);
}

static void check_body(bool step, const char *text, int status)
{
	struct openenv_ask a;

	if (step)
		openenv_step_body(&a, text, strlen(text));
	else
		openenv_reset_body(&a, text, strlen(text));
	assert_int_equal(a.want == OPENENV_REFUSED ? a.status : 200, status);
	if (a.want == OPENENV_REFUSED)
		assert_int_equal(strncmp(buf_str(&a.refusal), "{\"detail\":[", 11), 0);
	openenv_ask_release(&a);
}

static void bodies_are_checked_by_type(void **state)
{
	(void)state;
	check_body(false, "", 200);
	check_body(false, "{\"seed\":0,\"other\":1}", 200);
	check_body(false, "{\"seed\":-1}", 422);
	check_body(false, "{\"seed\":\"x\"}", 422);
	check_body(false, "[]", 422);
	check_body(true, "{\"action\":{\"code\":\"x\"},\"timeout_s\":2}", 200);
	check_body(true, "{\"action\":{\"code\":\"x\"},\"timeout_s\":0}", 422);
	check_body(true, "{\"action\":{\"code\":5}}", 422);
	check_body(true, "{\"code\":\"x\"}", 422);
	check_body(true, "", 422);
	check_body(true, "{\"action\":{\"code\":\"\xFF\"}}", 422);
}

static void check_rpc(const char *text, int code)
{
	struct openenv_rpc r;
	cJSON *o = json_parse(text, strlen(text), NULL), *answer;

	openenv_rpc(&r, o);
	answer = json_parse(buf_str(&r.refusal), r.refusal.len, NULL);
	assert_int_equal(r.want == RPC_REFUSED, code != 0);
	assert_true(json_number_or(cJSON_GetObjectItem(answer, "error"), "code", 0) == code);
	cJSON_Delete(answer);
	cJSON_Delete(o);
	openenv_rpc_release(&r);
}

static void requests_of_json_rpc_are_refused_by_their_codes(void **state)
{
	(void)state;
	check_rpc("{", -32700);
	check_rpc("{}", -32600);
	check_rpc("{\"jsonrpc\":\"1.0\",\"method\":\"tools/list\",\"id\":1}", -32600);
	check_rpc("{\"jsonrpc\":\"2.0\",\"method\":\"tools/list\",\"id\":[]}", -32600);
	check_rpc("{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":1}", -32601);
	check_rpc("{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{},\"id\":1}", -32602);
	check_rpc("{\"jsonrpc\":\"2.0\",\"method\":\"tools/list\",\"id\":\"a\"}", 0);
	check_rpc(
		"{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"name\":\"get_task\","
		"\"arguments\":{\"task_id\":\"t\"}},\"id\":1}",
		0);
}

static void five_tools_are_offered(void **state)
{
	cJSON *o = openenv_tools();

	(void)state;
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(o, "tools")), 5);
	cJSON_Delete(o);
}

/* Typed clients of 0.2.3 refuse an observation with any other key. */
static void an_observation_has_the_published_keys(void **state)
{
	static const char *const known[] = { "task_brief",    "task_id",     "constraints",
		                             "current_code",  "reward_json", "verifier_notes",
		                             "artifacts_dir", "renders",     "trace",
		                             "metadata" };
	const struct openenv_seen seen = { .task_id = "t", .value = NAN, .delta = NAN };
	struct buf b = { 0 };
	const cJSON *v;
	size_t n = 0;

	(void)state;
	openenv_result(&b, &seen);
	cJSON *o = json_parse(buf_str(&b), b.len, NULL);
	cJSON_ArrayForEach(v, cJSON_GetObjectItem(o, "observation"))
	{
		size_t i = 0;
		while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], v->string) != 0)
			i++;
		assert_true(i < sizeof(known) / sizeof(known[0]));
		n++;
	}
	assert_int_equal(n, sizeof(known) / sizeof(known[0]));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(o, "reward")));
	cJSON_Delete(o);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_wrong_message_has_its_code),
		cmocka_unit_test(a_refusal_repeats_whole_characters_only),
		cmocka_unit_test(a_step_without_a_task_names_none),
		cmocka_unit_test(a_reset_takes_what_it_knows),
		cmocka_unit_test(bodies_are_checked_by_type),
		cmocka_unit_test(requests_of_json_rpc_are_refused_by_their_codes),
		cmocka_unit_test(five_tools_are_offered),
		cmocka_unit_test(an_observation_has_the_published_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
