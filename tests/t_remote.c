/*
 * t_remote.c - the door to a server, against one that does what the model's name says
 * (tests/fake_server.py): well, slowly, wrongly, or not at all.
 */
#include "tests/lib.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "src/base/clock.h"
#include "src/base/json.h"

static const char key[] = "sk-secret-0123456789";

static struct server {
	pid_t pid;
	int in;
	FILE *out;
	int port, other;
} server;

struct heard {
	struct buf log;
	int done;
	enum gpu_end end;
	enum err_kind kind;
	char text[64], thinking[64], error[480];
	double logprob[4], rival;
	int n, prompt_tokens, cached_tokens, pieces;
	struct gpu *gpu;
};

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct heard *h = ctx;

	(void)request;
	(void)sequence;
	(void)index;
	(void)in_thought;
	(void)text;
	h->pieces += len > 0;
	if (p && p->n_top > 1)
		h->rival = (double)p->top[1].logprob;
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct heard *h = ctx;

	(void)request;
	(void)sequence;
	h->done++;
	h->end = d->end;
	h->kind = d->kind;
	snprintf(h->text, sizeof(h->text), "%s", d->text);
	snprintf(h->thinking, sizeof(h->thinking), "%s", d->thinking);
	snprintf(h->error, sizeof(h->error), "%s", d->error ? d->error : "");
	h->prompt_tokens = d->prompt_tokens;
	h->cached_tokens = d->cached_tokens;
	h->n = d->logprobs ? d->n : -1;
	for (int i = 0; i < 4 && i < h->n; i++)
		h->logprob[i] = (double)d->logprobs[i];
	assert_null(d->ids);
}

static void open_door(struct heard *h, const char *how, double timeout_s, int retries)
{
	const struct gpu_ops ops = { .ctx = h, .token = on_token, .done = on_done };
	char address[128];
	struct gpu_options o = { .model = address, .timeout_s = timeout_s, .retries = retries };
	struct err e = { 0 };

	*h = (struct heard){ .rival = NAN };
	snprintf(address, sizeof(address), "http://127.0.0.1:%d/v1/#%s", server.port, how);
	if (!(h->gpu = gpu_open(&o, &ops, &e)))
		fail_msg("%s", e.text);
}

static uint32_t ask(struct heard *h, int n)
{
	cJSON *messages = cJSON_Parse("[{\"role\": \"system\", \"content\": \"s\"}, {\"role\": "
	                              "\"user\", \"content\": [{\"type\": \"text\", \"text\": "
	                              "\"a\"}, {\"type\": \"text\", \"text\": \"b\"}]}]");
	struct gpu_request r = { .messages = messages, .n = n, .max_tokens = 50 };
	struct err e = { 0 };
	uint32_t request = 0;

	sampling_default(&r.sampling);
	r.sampling.seed = 5;
	r.thinking = CHAT_THINKING_OFF;
	if (gpu_generate(h->gpu, &r, &request, &e) < 0)
		fail_msg("%s", e.text);
	cJSON_Delete(messages);
	return request;
}

static int in_time(void *ctx)
{
	return clock_now_s() > *(double *)ctx;
}

static void wait_all(struct heard *h)
{
	double end = clock_now_s() + 90;
	struct err e = { 0 };

	if (gpu_wait(h->gpu, in_time, &end, &e) < 0)
		fail_msg("%s", e.text);
}

/* What the server was asked next. */
static cJSON *next_asked(void)
{
	char *line = NULL;
	size_t cap = 0;

	assert_true(getline(&line, &cap, server.out) > 0);
	cJSON *o = cJSON_Parse(line);
	free(line);
	assert_non_null(o);
	return o;
}

static void forget_asked(int n)
{
	for (int i = 0; i < n; i++)
		cJSON_Delete(next_asked());
}

static void end(struct heard *h)
{
	gpu_close(h->gpu);
	buf_release(&h->log);
}

/* ---- claims ---- */

static void an_answer_streams_in_with_its_figures(void **state)
{
	struct heard h;

	(void)state;
	open_door(&h, "well", 10, 0);
	ask(&h, 1);
	wait_all(&h);
	assert_string_equal(h.error, "");
	assert_string_equal(h.text, "Grüß dich!");
	assert_int_equal(h.end, GPU_STOP);
	assert_int_equal(h.pieces, 3);
	assert_int_equal(h.prompt_tokens, 11);
	assert_int_equal(h.cached_tokens, 4);
	assert_int_equal(h.n, -1);
	cJSON *o = next_asked(), *asked = cJSON_GetObjectItem(o, "asked");
	assert_string_equal(json_string_or(o, "path", ""), "/v1/chat/completions");
	assert_string_equal(json_string_or(o, "key", ""), "Bearer sk-secret-0123456789");
	cJSON *user = cJSON_GetArrayItem(cJSON_GetObjectItem(asked, "messages"), 1);
	assert_string_equal(json_string_or(user, "content", ""), "ab");
	assert_int_equal((int)json_number_or(asked, "max_tokens", 0), 50);
	assert_int_equal((int)json_number_or(asked, "seed", 0), 5);
	assert_true(json_bool_or(asked, "stream", false));
	assert_false(json_bool_or(cJSON_GetObjectItem(asked, "chat_template_kwargs"),
	                          "enable_thinking", true));
	cJSON_Delete(o);
	end(&h);
}

static void a_group_is_as_many_requests_with_seeds_of_their_own(void **state)
{
	struct heard h;
	int seeds = 0;

	(void)state;
	open_door(&h, "well", 10, 0);
	ask(&h, 5);
	wait_all(&h);
	assert_int_equal(h.done, 5);
	for (int i = 0; i < 5; i++) {
		cJSON *o = next_asked();
		seeds |= 1 << (int)json_number_or(cJSON_GetObjectItem(o, "asked"), "seed", 0);
		cJSON_Delete(o);
	}
	assert_int_equal(seeds, 0x1f << 5);
	end(&h);
}

static void whatever_the_server_does_ends_in_an_answer_or_in_words(void **state)
{
	static const struct {
		const char *how;
		int asked;
		enum gpu_end end;
		const char *text, *thinking, *error;
	} cases[] = {
		{ "bytewise", 1, GPU_LENGTH, "abcé", "", "" },
		{ "thinks", 1, GPU_STOP, "yes", "hm", "" },
		{ "marks", 1, GPU_STOP, "yes", "hm", "" },
		{ "plain", 1, GPU_STOP, "all at once", "", "" },
		{ "no-logprobs", 2, GPU_STOP, "Grüß dich!", "", "" },
		{ "bad-utf8", 1, GPU_STOP,
		  "a\xef\xbf\xbd"
		  "b",
		  "", "" },
		{ "drops", 1, GPU_ERROR, "half an ans", "",
		  "the connection broke after 11 bytes of the answer" },
		{ "error-event", 1, GPU_ERROR, "so far", "",
		  "the server broke off: out of memory on rank 3" },
		{ "filter", 1, GPU_ERROR, "x", "", "the server ended the answer: content_filter" },
		{ "nonsense", 1, GPU_ERROR, "", "",
		  "an event that is no JSON object: '{not json'" },
		{ "html", 1, GPU_ERROR, "", "",
		  "no answer of an OpenAI-compatible server: '<html>welcome</html>'" },
		{ "huge-line", 1, GPU_ERROR, "", "", "a line of more than 1048576 bytes" },
		{ "huge-body", 1, GPU_ERROR, "", "", "more than 1048576 bytes that are no event" },
		{ "huge-answer", 1, GPU_ERROR, NULL, "", "an answer of more than 8388608 bytes" },
		{ "detail", 1, GPU_ERROR, "", "", "status 404: no model \\x1b[31m here" },
		{ "key", 1, GPU_ERROR, "", "", "status 401: bad key Bearer [key]" },
		{ "much-later", 1, GPU_ERROR, "", "", "it wants to be asked again in 9999 s" },
		{ "file", 1, GPU_ERROR, "", "", "127.0.0.1" },
		{ "circle", 6, GPU_ERROR, "", "", "redirects" },
		{ "stalls", 1, GPU_ERROR, "some", "", "no byte for 1.5 s, in the middle" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct heard h;
		open_door(&h, cases[i].how, strcmp(cases[i].how, "stalls") ? 30 : 1.5, 2);
		ask(&h, 1);
		wait_all(&h);
		if (h.end != cases[i].end)
			fail_msg("%s: %s", cases[i].how, h.error);
		if (cases[i].text)
			assert_string_equal(h.text, cases[i].text);
		assert_string_equal(h.thinking, cases[i].thinking);
		assert_contains(h.error, cases[i].error);
		assert_null(strstr(h.error, key));
		forget_asked(cases[i].asked);
		end(&h);
	}
}

static void log_probabilities_are_told_when_they_are_offered(void **state)
{
	struct heard h;

	(void)state;
	open_door(&h, "logprobs", 10, 0);
	ask(&h, 1);
	wait_all(&h);
	assert_string_equal(h.text, "ab");
	assert_int_equal(h.n, 2);
	assert_close(h.logprob[0], -0.5, 0);
	assert_close(h.logprob[1], -1.5, 0);
	assert_close(h.rival, -2, 0);
	forget_asked(1);
	end(&h);
}

static void what_means_later_is_tried_again_before_the_first_token(void **state)
{
	struct heard h;
	double since = clock_now_s();

	(void)state;
	open_door(&h, "later", 10, 3);
	ask(&h, 1);
	wait_all(&h);
	assert_string_equal(h.error, "");
	assert_string_equal(h.text, "Grüß dich!");
	/* the server's own second, then a pause of ours */
	assert_true(clock_now_s() - since > 1.4);
	forget_asked(3);
	end(&h);
	open_door(&h, "drops-at-once", 10, 3);
	ask(&h, 1);
	wait_all(&h);
	assert_string_equal(h.text, "Grüß dich!");
	forget_asked(3);
	end(&h);
	open_door(&h, "always-429", 10, 1);
	ask(&h, 1);
	wait_all(&h);
	assert_contains(h.error, "status 429: no quota; tried 2 times");
	forget_asked(2);
	end(&h);
	open_door(&h, "empty-stream", 10, 1);
	ask(&h, 1);
	wait_all(&h);
	assert_contains(h.error, "before anything of the answer came; tried 2 times");
	forget_asked(2);
	end(&h);
	open_door(&h, "silent", 0.5, 0);
	ask(&h, 1);
	wait_all(&h);
	assert_contains(h.error, "no byte for 0.5 s");
	forget_asked(1);
	end(&h);
}

static void a_slow_server_is_no_dead_one(void **state)
{
	struct heard h;

	(void)state;
	open_door(&h, "slow", 5, 0);
	ask(&h, 1);
	wait_all(&h);
	assert_string_equal(h.text, "wwwwww");
	forget_asked(1);
	end(&h);
}

static void a_redirect_is_followed_without_the_key(void **state)
{
	struct heard h;

	(void)state;
	open_door(&h, "elsewhere", 10, 0);
	ask(&h, 1);
	wait_all(&h);
	assert_string_equal(h.text, "Grüß dich!");
	cJSON *first = next_asked(), *second = next_asked();
	assert_int_equal((int)json_number_or(first, "port", 0), server.port);
	assert_int_equal((int)json_number_or(second, "port", 0), server.other);
	assert_non_null(cJSON_GetObjectItem(first, "key")->valuestring);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(second, "key")));
	cJSON_Delete(first);
	cJSON_Delete(second);
	end(&h);
}

static void an_answer_may_be_cancelled(void **state)
{
	struct heard h;
	struct err e = { 0 };

	(void)state;
	open_door(&h, "stalls", 10, 0);
	uint32_t r = ask(&h, 1);
	while (h.pieces == 0) {
		struct pollfd p[8];
		poll(p, (nfds_t)gpu_poll_fds(h.gpu, p, 8), 50);
		assert_int_equal(gpu_step(h.gpu, &e), 0);
	}
	gpu_cancel(h.gpu, r, -1);
	wait_all(&h);
	assert_int_equal(h.end, GPU_CANCELLED);
	assert_string_equal(h.text, "some");
	forget_asked(1);
	end(&h);
}

static void addresses_that_cannot_be_are_told_at_once(void **state)
{
	static const char *const cases[][2] = {
		{ "http://host/v1", "name is missing" },
		{ "http://host/v1#", "name is missing" },
		{ "https://user:pass@host/v1#m", "CADFORGE_API_KEY" },
		{ "http:///#m", "no address" },
		{ "http://host/v1?key=x#m", "without a '?'" },
		{ "http://host /v1#m", "blank" },
	};
	const struct gpu_ops ops = { .ctx = NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct gpu_options o = { .model = cases[i][0] };
		struct err e = { 0 };
		assert_null(gpu_open(&o, &ops, &e));
		assert_int_equal(e.kind, ERR_USAGE);
		assert_contains(e.text, cases[i][1]);
		assert_null(strstr(e.text, "pass@"));
	}
	struct heard h;
	struct err e = { 0 };
	uint32_t request;
	struct gpu_adapter a = { "x", 1 };
	struct gpu_request r = { .text = "x", .n = 1, .adapter = &a, .n_adapters = 1 };
	sampling_default(&r.sampling);
	open_door(&h, "well", 1, 0);
	assert_int_equal(gpu_generate(h.gpu, &r, &request, &e), -1);
	assert_contains(e.text, "adapters");
	end(&h);
}

static int set_up(void **state)
{
	int in[2], out[2];
	char line[64];

	(void)state;
	if (pipe(in) < 0 || pipe(out) < 0)
		return -1;
	if ((server.pid = fork()) == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execl("/usr/bin/python3", "python3", "-u", SRCDIR "/tests/fake_server.py", NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.in = in[1];
	server.out = fdopen(out[0], "r");
	setenv("CADFORGE_API_KEY", key, 1);
	setenv("no_proxy", "127.0.0.1", 1);
	return fgets(line, sizeof(line), server.out) &&
	                       sscanf(line, "[%d, %d]", &server.port, &server.other) == 2
	               ? 0
	               : -1;
}

static int tear_down(void **state)
{
	(void)state;
	close(server.in);
	kill(server.pid, SIGKILL);
	waitpid(server.pid, NULL, 0);
	fclose(server.out);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_streams_in_with_its_figures),
		cmocka_unit_test(a_group_is_as_many_requests_with_seeds_of_their_own),
		cmocka_unit_test(whatever_the_server_does_ends_in_an_answer_or_in_words),
		cmocka_unit_test(log_probabilities_are_told_when_they_are_offered),
		cmocka_unit_test(what_means_later_is_tried_again_before_the_first_token),
		cmocka_unit_test(a_slow_server_is_no_dead_one),
		cmocka_unit_test(a_redirect_is_followed_without_the_key),
		cmocka_unit_test(an_answer_may_be_cancelled),
		cmocka_unit_test(addresses_that_cannot_be_are_told_at_once),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
