/*
 * t_client.c - the door to our own engine when that engine dies, stalls or speaks nonsense. This
 * program is its own engine: started under that name it behaves as the model's folder says.
 */
#include "tests/lib.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "gpu/wire.h"
#include "src/base/clock.h"
#include "src/base/frame.h"
#include "src/base/json.h"

/* ---- the engine ---- */

static void say(uint32_t type, uint32_t job, const char *json, const void *blob, size_t len)
{
	struct buf out = { 0 };
	size_t at = 0;

	frame_append(&out, type, job, json, strlen(json), blob, len);
	while (at < out.len) {
		ssize_t n = write(3, out.data + at, out.len - at);
		if (n < 0)
			_exit(9);
		at += (size_t)n;
	}
	buf_release(&out);
}

static void say_token(uint32_t job, int sequence, int index, int id, const char *text)
{
	unsigned char b[INFER_TOKEN_BYTES + 64] = { 0 };
	size_t len = strlen(text);

	wire_put32(b, (uint32_t)sequence);
	wire_put32(b + 4, (uint32_t)index);
	wire_put32(b + 8, (uint32_t)id);
	wire_put_float(b + 12, -0.5f);
	memcpy(b + INFER_TOKEN_BYTES, text, len);
	say(INFER_TOKEN, job, "", b, INFER_TOKEN_BYTES + len);
}

static void say_done(uint32_t job, int sequence, const char *end, int n)
{
	unsigned char ids[64] = { 0 };
	char json[200];

	for (int i = 0; i < n; i++)
		wire_put32(ids + 4 * i, (uint32_t)(100 + i));
	snprintf(json, sizeof(json),
	         "{\"sequence\": %d, \"end\": \"%s\", \"error\": null, \"prompt_tokens\": 7, "
	         "\"cached_tokens\": 3, \"drafted\": 0, \"accepted\": 0, \"wait_s\": 0, "
	         "\"prefill_s\": 0.5, \"decode_s\": 0.25}",
	         sequence, end);
	say(INFER_DONE, job, json, ids, 4 * (size_t)n);
}

/* Whether it is the first time here: a file beside the model remembers. */
static bool first_time(const char *model)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/been", model);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void answer(const char *how, const char *model, const struct frame *f)
{
	cJSON *o = json_parse_bounded(f->json, f->json_len, 10000, NULL);
	int n = (int)json_number_or(o, "n", 1);
	uint32_t job = f->job;

	cJSON_Delete(o);
	if (f->type == INFER_CANCEL) {
		say_done(job, 0, "cancelled", 1);
		return;
	}
	if (f->type == INFER_LOGITS) {
		float rows[6] = { 1, 2, 3, 4, 5, 6 };
		say(INFER_ROWS, job, "{\"from\": 0, \"rows\": 2, \"of\": 3, \"vocabulary\": 2}",
		    rows, 16);
		say(INFER_ROWS, job, "{\"from\": 2, \"rows\": 1, \"of\": 3, \"vocabulary\": 2}",
		    rows + 4, 8);
		return;
	}
	if (strcmp(how, "refuses") == 0) {
		say(INFER_REFUSED, job, "{\"error\": \"too long by 3\", \"kind\": \"input\"}", "",
		    0);
		return;
	}
	say(INFER_TAKEN, job,
	    "{\"prompt_tokens\": 7, \"in_thought\": true, \"adapter_hash\": null}", "", 0);
	if (strcmp(how, "dies") == 0 && first_time(model)) {
		say_token(job, 0, 0, 100, "half");
		raise(SIGKILL);
	}
	if (strcmp(how, "exits") == 0)
		_exit(7);
	if (strcmp(how, "raves") == 0) {
		if (write(3, "this is no message of ours at all", 33) < 0)
			_exit(9);
		pause();
	}
	if (strcmp(how, "skips") == 0) {
		say_token(job, 0, 5, 100, "x");
		pause();
	}
	if (strcmp(how, "foreign") == 0) {
		say_done(job, 64, "stop", 0);
		pause();
	}
	if (strcmp(how, "json") == 0) {
		say(INFER_DONE, job, "{\"sequence\": ", "", 0);
		pause();
	}
	say_token(job, 0, 0, 100, "hm");
	if (strcmp(how, "waits") == 0)
		return;
	say_token(job, 0, 1, 101, "</think>\n\n");
	say_token(job, 0, 2, 102, "yes");
	say_done(job, 0, "stop", 3);
	for (int i = 1; i < n; i++) {
		say_token(job, i, 0, 100, "other");
		say_done(job, i, "length", 1);
	}
}

static int be_engine(int argc, char **argv)
{
	const char *model = argc > 2 ? argv[2] : "", *how = strrchr(model, '/');
	struct frame_reader in = { .in = { 0 } };
	bool cuda = strstr(argv[0], "-cuda") != NULL;
	struct frame f;

	how = how ? how + 1 : model;
	if (getenv("CADFORGE_API_KEY"))
		_exit(8);
	if (cuda && strcmp(how, "no-device") == 0) {
		say(INFER_READY, 0,
		    "{\"program\": \"x\", \"error\": \"no CUDA device: driver says so\", "
		    "\"kind\": \"lacks\"}",
		    "", 0);
		_exit(3);
	}
	if (cuda && strcmp(how, "no-driver") == 0)
		_exit(127);
	if (strcmp(how, "bad-model") == 0) {
		say(INFER_READY, 0,
		    "{\"program\": \"x\", \"error\": \"config.json: hidden_size: absurd\", "
		    "\"kind\": \"input\"}",
		    "", 0);
		_exit(2);
	}
	if (strcmp(how, "never-ready") == 0)
		_exit(5);
	if (strcmp(how, "slow") == 0)
		usleep(400000);
	say(INFER_READY, 0, cuda ? "{\"program\": \"cuda\"}" : "{\"program\": \"cpu\"}", "", 0);
	for (;;) {
		int rc;
		while ((rc = frame_next(&in, &f, NULL)) > 0)
			answer(how, model, &f);
		if (rc < 0 || frame_fill(&in, 3, NULL) <= 0)
			break;
	}
	frame_reader_release(&in);
	return 0;
}

/* ---- what is told ---- */

struct heard {
	struct buf log;
	int ready, done, errors;
	char program[64], because[200];
	char error[300];
	enum err_kind kind;
	pid_t pid;
	struct gpu *gpu;
	bool ask_again;
};

static void on_ready(void *ctx, const cJSON *about)
{
	struct heard *h = ctx;

	h->ready++;
	snprintf(h->program, sizeof(h->program), "%s", json_string_or(about, "program", "?"));
	snprintf(h->because, sizeof(h->because), "%s", json_string_or(about, "because", ""));
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct heard *h = ctx;

	(void)request;
	buf_printf(&h->log, "%d.%d%s'%.*s' ", sequence, p ? index : -1, in_thought ? "?" : "",
	           (int)len, text);
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct heard *h = ctx;
	struct gpu_request r = { .text = "x", .n = 1 };
	uint32_t again;

	(void)request;
	h->done++;
	buf_printf(&h->log, "[%d %s '%s' '%s' %d] ", sequence, gpu_end_name(d->end), d->thinking,
	           d->text, d->n);
	if (d->end != GPU_ERROR)
		return;
	h->errors++;
	h->kind = d->kind;
	snprintf(h->error, sizeof(h->error), "%s", d->error);
	if (h->ask_again) {
		h->ask_again = false;
		sampling_default(&r.sampling);
		assert_int_equal(gpu_generate(h->gpu, &r, &again, NULL), 0);
	}
}

static char dir[64];

static struct gpu *open_door(struct heard *h, const char *how, enum gpu_backend backend)
{
	const struct gpu_ops ops = { h, on_ready, on_token, on_done };
	char model[128];
	struct gpu_options o = { .libexec_dir = dir, .model = model, .backend = backend };
	struct err e = { 0 };

	*h = (struct heard){ .ready = 0 };
	snprintf(model, sizeof(model), "%s/%s", dir, how);
	mkdir(model, 0700);
	h->gpu = gpu_open(&o, &ops, &e);
	if (!h->gpu)
		fail_msg("%s", e.text);
	return h->gpu;
}

static uint32_t ask(struct heard *h, int n, bool chat)
{
	cJSON *messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"x\"}]");
	struct gpu_request r = { .n = n };
	struct err e = { 0 };
	uint32_t request = 0;

	r.messages = chat ? messages : NULL;
	r.text = chat ? NULL : "x";
	sampling_default(&r.sampling);
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
		fail_msg("%s after '%s'", e.text, buf_str(&h->log));
	assert_int_equal(gpu_busy(h->gpu), 0);
}

static void end(struct heard *h)
{
	gpu_close(h->gpu);
	buf_release(&h->log);
}

/* ---- claims ---- */

static void answers_come_in_pieces_with_their_thoughts_apart(void **state)
{
	struct heard h;

	(void)state;
	open_door(&h, "well", GPU_CPU);
	ask(&h, 2, true);
	wait_all(&h);
	assert_string_equal(buf_str(&h.log), "0.0?'hm' 0.1'' 0.2'yes' [0 stop 'hm' 'yes' 3] "
	                                     "1.0?'other' [1 length 'other' '' 1] ");
	buf_clear(&h.log);
	ask(&h, 1, false); /* raw text has no thoughts */
	wait_all(&h);
	assert_string_equal(
		buf_str(&h.log),
		"0.0'hm' 0.1'</think>\n\n' 0.2'yes' [0 stop '' 'hm</think>\n\nyes' 3] ");
	assert_int_equal(h.ready, 1);
	end(&h);
}

static void a_death_in_mid_answer_is_told_and_the_next_request_is_answered(void **state)
{
	struct heard h;

	(void)state;
	open_door(&h, "dies", GPU_CPU);
	ask(&h, 2, true);
	ask(&h, 1, true);
	wait_all(&h);
	assert_int_equal(h.errors, 3);
	assert_int_equal(h.kind, ERR_LOST);
	assert_string_equal(h.error,
	                    "the inference engine died (signal 9 (Killed); out of memory?)");
	assert_contains(buf_str(&h.log), "[0 error 'half' '' 1]");
	ask(&h, 1, true);
	wait_all(&h);
	assert_contains(buf_str(&h.log), "[0 stop 'hm' 'yes' 3]");
	assert_int_equal(h.ready, 2);
	assert_int_equal(h.done, 4);
	end(&h);
}

static void a_listener_may_ask_again_when_it_hears_of_a_death(void **state)
{
	struct heard h;

	(void)state;
	open_door(&h, "dies", GPU_CPU);
	char been[128];
	snprintf(been, sizeof(been), "%s/dies/been", dir);
	unlink(been);
	h.ask_again = true;
	ask(&h, 1, true);
	wait_all(&h);
	assert_contains(buf_str(&h.log), "[0 stop");
	end(&h);
}

static void whatever_it_does_wrong_ends_the_answers_with_words(void **state)
{
	static const struct {
		const char *how, *words;
		enum err_kind kind;
	} cases[] = {
		{ "exits", "the inference engine died (exit status 7)", ERR_LOST },
		{ "raves", "does not begin with CFm1", ERR_PROTOCOL },
		{ "skips", "token 5 came where token 0 was due", ERR_PROTOCOL },
		{ "foreign", "sequence 64", ERR_PROTOCOL },
		{ "json", "spoke nonsense and was ended", ERR_PROTOCOL },
		{ "refuses", "too long by 3", ERR_INPUT },
		{ "bad-model", "hidden_size: absurd", ERR_INPUT },
		{ "never-ready", "died before it was ready (exit status 5)", ERR_LOST },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct heard h;
		open_door(&h, cases[i].how, GPU_AUTO);
		ask(&h, 2, true);
		wait_all(&h);
		assert_int_equal(h.errors, 2);
		assert_contains(h.error, cases[i].words);
		assert_int_equal(h.kind, cases[i].kind);
		end(&h);
	}
}

static void a_slow_start_keeps_nobody_waiting(void **state)
{
	double since = clock_now_s();
	struct heard h;
	struct err e = { 0 };

	(void)state;
	open_door(&h, "slow", GPU_CPU);
	ask(&h, 1, true);
	for (int i = 0; i < 5; i++)
		assert_int_equal(gpu_step(h.gpu, &e), 0);
	assert_true(clock_now_s() - since < 0.35);
	assert_int_equal(h.ready, 0);
	wait_all(&h);
	assert_int_equal(h.ready, 1);
	end(&h);
}

static void without_a_device_the_cpu_stands_in_and_it_is_said(void **state)
{
	static const char *const hows[] = { "no-device", "no-driver" };
	char cuda[128];

	(void)state;
	snprintf(cuda, sizeof(cuda), "%s/cadforge-infer-cuda", dir);
	assert_int_equal(symlink("/proc/self/exe", cuda), 0);
	unlink(cuda);
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	assert_int_equal(symlink(self, cuda), 0);
	for (int i = 0; i < 2; i++) {
		struct heard h;
		open_door(&h, hows[i], GPU_AUTO);
		ask(&h, 2, true);
		ask(&h, 1, true);
		wait_all(&h);
		assert_int_equal(h.done, 3);
		assert_int_equal(h.errors, 0);
		assert_string_equal(h.program, "cpu");
		assert_contains(h.because,
		                i ? "exit status 127" : "no CUDA device: driver says so");
		end(&h);
		open_door(&h, hows[i], GPU_CUDA); /* asked for by name: no other will do */
		ask(&h, 1, true);
		wait_all(&h);
		assert_int_equal(h.errors, 1);
		end(&h);
	}
	struct heard h;
	open_door(&h, "well", GPU_AUTO);
	ask(&h, 1, true);
	wait_all(&h);
	assert_string_equal(h.program, "cuda");
	end(&h);
	unlink(cuda);
}

static void an_answer_may_be_cancelled(void **state)
{
	struct heard h;
	struct err e = { 0 };

	(void)state;
	open_door(&h, "waits", GPU_CPU);
	uint32_t r = ask(&h, 1, false);
	while (h.log.len == 0) {
		struct pollfd p;
		poll(&p, (nfds_t)gpu_poll_fds(h.gpu, &p, 1), 1000);
		assert_int_equal(gpu_step(h.gpu, &e), 0);
	}
	gpu_cancel(h.gpu, r, -1);
	wait_all(&h);
	assert_string_equal(buf_str(&h.log), "0.0'hm' [0 cancelled '' 'hm' 1] ");
	gpu_cancel(h.gpu, r, -1); /* once more is no harm */
	end(&h);
}

static void logits_are_put_together_and_what_cannot_be_asked_is_said(void **state)
{
	static const int32_t ids[] = { 1, 2, 3 };
	struct heard h;
	struct err e = { 0 };
	float *rows = NULL;
	int v = 0;

	(void)state;
	open_door(&h, "well", GPU_CPU);
	assert_int_equal(gpu_logits(h.gpu, ids, 3, NULL, 0, &rows, &v, &e), 0);
	assert_int_equal(v, 2);
	for (int i = 0; i < 6; i++)
		assert_true(rows[i] == (float)(i + 1));
	free(rows);
	assert_string_equal(json_string_or(gpu_about(h.gpu, NULL, NULL, &e), "program", ""), "cpu");
	struct gpu_request r = { .text = "x", .ids = ids, .n_ids = 3, .n = 1 };
	uint32_t request;
	sampling_default(&r.sampling);
	assert_int_equal(gpu_generate(h.gpu, &r, &request, &e), -1);
	assert_contains(e.text, "exactly one");
	r.ids = NULL;
	r.n = 65;
	assert_int_equal(gpu_generate(h.gpu, &r, &request, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	end(&h);
}

static void what_is_no_model_is_told_at_once(void **state)
{
	const struct gpu_ops ops = { .ctx = NULL };
	struct gpu_options o = { .libexec_dir = dir, .model = "/no/such/folder" };
	struct err e = { 0 };

	(void)state;
	assert_null(gpu_open(&o, &ops, &e));
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "/no/such/folder");
	o.model = dir;
	o.libexec_dir = "/no/such/place";
	assert_null(gpu_open(&o, &ops, &e));
	assert_int_equal(e.kind, ERR_LACKS);
}

static int set_up(void **state)
{
	char self[4096], name[128];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	strcpy(dir, "/tmp/cadforge-t_client-XXXXXX");
	if (n <= 0 || !mkdtemp(dir))
		return -1;
	self[n] = '\0';
	snprintf(name, sizeof(name), "%s/cadforge-infer", dir);
	setenv("CADFORGE_API_KEY", "not-for-engines", 1);
	return symlink(self, name);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_in_pieces_with_their_thoughts_apart),
		cmocka_unit_test(a_death_in_mid_answer_is_told_and_the_next_request_is_answered),
		cmocka_unit_test(a_listener_may_ask_again_when_it_hears_of_a_death),
		cmocka_unit_test(whatever_it_does_wrong_ends_the_answers_with_words),
		cmocka_unit_test(a_slow_start_keeps_nobody_waiting),
		cmocka_unit_test(without_a_device_the_cpu_stands_in_and_it_is_said),
		cmocka_unit_test(an_answer_may_be_cancelled),
		cmocka_unit_test(logits_are_put_together_and_what_cannot_be_asked_is_said),
		cmocka_unit_test(what_is_no_model_is_told_at_once),
	};

	if (strstr(argv[0], "cadforge-infer"))
		return be_engine(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
