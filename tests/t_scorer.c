/* t_scorer.c - the real scorer program over a socket pair: figures, limits, damage, its own death.
 */
#include "tests/lib.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/figures.h"
#include "engine/stl.h"
#include "engine/wire.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/clock.h"

struct scorer {
	pid_t pid;
	int fd;
	struct frame_reader in;
	struct frame f; /* the last one read */
	cJSON *json;
};

static struct scorer start(const char *option)
{
	struct scorer s = { 0 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s.pid = fork();
	if (s.pid == 0) {
		if (dup2(pair[1], 3) < 0)
			_exit(126);
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		execl("./cadforge-scorer", "cadforge-scorer", "--jobs", "2", option, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	s.fd = pair[0];
	return s;
}

/* The next frame, within 20 seconds. */
static const cJSON *hear(struct scorer *s)
{
	struct err e = { 0 };
	double until = clock_now_s() + 20;

	cJSON_Delete(s->json);
	s->json = NULL;
	for (;;) {
		int got = frame_next(&s->in, &s->f, &e);
		if (got < 0)
			fail_msg("%s", e.text);
		if (got > 0)
			break;
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		if (clock_now_s() > until || poll(&p, 1, 20000) <= 0)
			fail_msg("the scorer is silent");
		ssize_t n = frame_fill(&s->in, s->fd, &e);
		if (n == 0)
			fail_msg("the scorer is gone");
		if (n == -1)
			fail_msg("%s", e.text);
	}
	s->json = json_parse(s->f.json, s->f.json_len, &e);
	if (!s->json)
		fail_msg("%s", e.text);
	return s->json;
}

static void tell(struct scorer *s, enum wire_type type, uint32_t job, const char *json,
                 const void *blob, size_t len)
{
	struct buf out = { 0 };
	struct err e = { 0 };
	int left;

	frame_append(&out, type, job, json, strlen(json), blob, len);
	while ((left = frame_flush(&out, s->fd, &e)) == 1) {
		struct pollfd p = { .fd = s->fd, .events = POLLOUT };
		poll(&p, 1, 1000);
	}
	assert_int_equal(left, 0);
	buf_release(&out);
}

static struct buf file(const char *name)
{
	const char *top = getenv("srcdir");
	struct buf b = { 0 };
	struct err e = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s/tests/data/brep/%s.brep", top ? top : ".", name);
	if (buf_read_file(&b, path, 1 << 24, &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

/* One shape scored; the RESULT is in s->json and s->f. */
static const cJSON *score(struct scorer *s, uint32_t job, const char *json, const char *name)
{
	struct buf b = file(name);

	tell(s, WIRE_SCORE, job, json, b.data, b.len);
	buf_release(&b);
	hear(s);
	assert_int_equal(s->f.type, WIRE_RESULT);
	assert_int_equal(s->f.job, job);
	return s->json;
}

static void stop(struct scorer *s)
{
	int status;

	close(s->fd);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	frame_reader_release(&s->in);
	cJSON_Delete(s->json);
}

static const cJSON *in(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	if (!v)
		fail_msg("no '%s'", key);
	return v;
}

static void expect_failure(const cJSON *o, const char *cause, const char *words)
{
	assert_true(cJSON_IsFalse(in(o, "ok")));
	assert_string_equal(json_string_or(o, "cause", ""), cause);
	assert_contains(json_string_or(o, "error", ""), words);
	assert_true(cJSON_IsNull(in(o, "figures")));
}

static void it_says_ready_and_scores_a_box(void **state)
{
	struct scorer s = start(NULL);
	(void)state;
	hear(&s);
	assert_int_equal(s.f.type, WIRE_READY);
	assert_string_equal(json_string_or(s.json, "program", ""), "cadforge-scorer");
	assert_contains(json_string_or(in(s.json, "versions"), "occt", ""), "7.");
	assert_true(cJSON_IsTrue(in(in(s.json, "jail"), "seccomp")));

	const cJSON *o = score(
		&s, 5,
		"{\"format\":\"brep\",\"geometry\":true,\"figures\":\"fast\",\"export\":[\"stl\",\"glb\"]}",
		"box");
	assert_true(cJSON_IsTrue(in(o, "ok")));
	const cJSON *g = in(o, "geometry");
	assert_close(json_number_or(g, "volume_mm3", 0), 6000, 1e-6);
	assert_close(json_number_or(g, "genus", -1), 0, 0);
	assert_true(cJSON_IsNull(in(g, "min_distance_mm")));
	assert_int_equal(cJSON_GetArraySize(in(g, "holes")), 0);
	struct figures f;
	struct err e = { 0 };
	if (figures_from_json(&f, in(o, "figures"), &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(f.triangles, 12);
	assert_true(f.watertight);
	/* the exports lie one after the other in the blob */
	const cJSON *x = in(o, "exports");
	assert_int_equal(cJSON_GetArraySize(x), 2);
	size_t stl_len = (size_t)json_number_or(cJSON_GetArrayItem(x, 0), "bytes", 0);
	assert_int_equal(stl_len, 84 + 12 * 50);
	struct soup soup = { 0 };
	assert_int_equal(stl_read(&soup, s.f.blob, stl_len, 100, &e), 0);
	assert_int_equal(soup.n_tri, 12);
	assert_memory_equal((const char *)s.f.blob + stl_len, "glTF", 4);

	/* the STL it wrote is scored as the shape was */
	char *copy = malloc(stl_len);
	memcpy(copy, s.f.blob, stl_len);
	tell(&s, WIRE_SCORE, 6, "{\"format\":\"stl\",\"geometry\":true,\"figures\":\"fast\"}", copy,
	     stl_len);
	free(copy);
	hear(&s);
	assert_true(cJSON_IsTrue(in(s.json, "ok")));
	assert_true(cJSON_IsNull(in(s.json, "geometry")));
	assert_close(json_number_or(in(s.json, "figures"), "mesh_volume_mm3", 0), 6000, 1e-3);
	soup_release(&soup);
	stop(&s);
}

static void the_same_shape_gets_the_same_bytes_forked_or_not(void **state)
{
	struct scorer a = start(NULL), b = start("--unforked");
	static const char ask[] = "{\"geometry\":true,\"figures\":\"fast\",\"export\":[\"stl\"]}";
	(void)state;
	hear(&a);
	hear(&b);
	score(&a, 1, ask, "plate_holes");
	score(&b, 1, ask, "plate_holes");
	assert_true(cJSON_Compare(in(a.json, "geometry"), in(b.json, "geometry"), true));
	assert_true(cJSON_Compare(in(a.json, "figures"), in(b.json, "figures"), true));
	assert_int_equal(a.f.blob_len, b.f.blob_len);
	assert_memory_equal(a.f.blob, b.f.blob, a.f.blob_len);
	stop(&a);
	stop(&b);
}

static void what_cannot_be_scored_has_a_cause_in_words(void **state)
{
	struct scorer s = start(NULL);
	(void)state;
	hear(&s);
	expect_failure(score(&s, 1, "{\"figures\":\"fast\"}", "empty"), "empty_shape", "empty");
	expect_failure(score(&s, 2, "{\"figures\":\"fast\"}", "wire"), "empty_shape", "surface");
	expect_failure(score(&s, 3, "{\"geometry\":true}", "wire"), "empty_shape", "no face");
	const cJSON *o = score(&s, 4, "{\"figures\":\"fast\",\"faces_max\":5}", "box");
	expect_failure(o, "shape_limit", "6 faces");
	assert_string_equal(json_string_or(in(o, "limit"), "name", ""), "faces");
	o = score(&s, 5, "{\"figures\":\"fast\",\"triangles_max\":500}", "torus");
	expect_failure(o, "shape_limit", "500 triangles");
	assert_string_equal(json_string_or(in(o, "limit"), "name", ""), "triangles");
	expect_failure(score(&s, 6, "{\"format\":\"stl\",\"figures\":\"fast\"}", "box"),
	               "bad_input", "STL");
	expect_failure(score(&s, 7, "{\"format\":\"glb\",\"figures\":\"fast\"}", "box"),
	               "bad_input", "GLB: byte 0");
	expect_failure(score(&s, 8, "{\"figures\":\"slow\"}", "box"), "bad_input", "figures");
	expect_failure(score(&s, 9, "{\"figures\":\"fast\",\"reference\":3}", "box"), "bad_input",
	               "reference 3 was never sent");
	expect_failure(score(&s, 10, "not json", "box"), "bad_input", "score request");
	stop(&s);
}

static void a_shape_past_its_cpu_time_is_shape_limit(void **state)
{
	struct scorer s = start(NULL);
	double t;
	(void)state;
	hear(&s);
	t = clock_now_s();
	/* meshing this torus takes a third of a second */
	const cJSON *o = score(&s, 1, "{\"figures\":\"full\",\"cpu_s\":0.02}", "torus");
	expect_failure(o, "shape_limit", "too heavy");
	assert_close(json_number_or(in(o, "limit"), "limit", 0), 0.02, 1e-9);
	assert_true(clock_now_s() - t < 0.02 + 0.25);
	assert_true(cJSON_IsTrue(in(score(&s, 2, "{\"figures\":\"fast\"}", "box"), "ok")));
	stop(&s);
}

static void a_cancelled_job_ends_and_the_next_is_scored(void **state)
{
	struct scorer s = start(NULL);
	struct buf b = file("torus");
	(void)state;
	hear(&s);
	tell(&s, WIRE_SCORE, 1, "{\"figures\":\"full\",\"geometry\":true}", b.data, b.len);
	tell(&s, WIRE_CANCEL, 1, "{}", NULL, 0);
	hear(&s);
	assert_int_equal(s.f.job, 1);
	assert_string_equal(json_string_or(s.json, "cause", ""), "cancelled");
	assert_true(cJSON_IsTrue(in(score(&s, 2, "{\"figures\":\"fast\"}", "box"), "ok")));
	buf_release(&b);
	stop(&s);
}

static void references_are_kept_for_later_jobs(void **state)
{
	static const double flat[3] = { 1, 1, 1 };
	struct scorer s = start(NULL);
	struct reference_set set;
	struct buf b = { 0 };
	struct err e = { 0 };
	(void)state;
	hear(&s);
	reference_from_box(&set, flat);
	assert_int_equal(reference_serialize(&set, &b, &e), 0);
	tell(&s, WIRE_REFERENCE, 0, "{\"id\":7}", b.data, b.len);
	tell(&s, WIRE_REFERENCE, 0, "{\"id\":8}", b.data, b.len / 2);
	const cJSON *o = score(&s, 1, "{\"figures\":\"fast\",\"reference\":7}", "box");
	assert_true(cJSON_IsTrue(in(o, "ok")));
	struct figures f;
	if (figures_from_json(&f, in(o, "figures"), &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(f.n_ref, 1);
	o = score(&s, 2, "{\"figures\":\"fast\"}", "box");
	assert_int_equal(figures_from_json(&f, in(o, "figures"), &e), 0);
	assert_int_equal(f.n_ref, 0);
	expect_failure(score(&s, 3, "{\"figures\":\"fast\",\"reference\":8}", "box"), "bad_input",
	               "reference 8");
	reference_release(&set);
	buf_release(&b);
	stop(&s);
}

/* Bytes turned at random, with a fixed seed: some crash OpenCASCADE, which is the child's end and
 * nothing else's. */
static void damaged_breps_end_in_a_verdict_each_and_the_scorer_lives(void **state)
{
	static const char *const causes[] = { "ok",          "bad_input", "shape_limit",
		                              "empty_shape", "crash",     "memory_limit" };
	struct scorer s = start(NULL);
	struct buf b = file("hollow_sphere");
	uint64_t seed = 20261122;
	int seen[6] = { 0 };
	(void)state;
	hear(&s);
	for (uint32_t job = 1; job <= 120; job++) {
		char *copy = malloc(b.len);
		memcpy(copy, b.data, b.len);
		for (int k = 0; k < 4; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			copy[60 + (seed >> 33) % (b.len - 60)] = (char)(seed >> 20);
		}
		tell(&s, WIRE_SCORE, job,
		     "{\"figures\":\"fast\",\"geometry\":true,\"cpu_s\":0.5,\"memory_mib\":300}",
		     copy, b.len);
		free(copy);
		hear(&s);
		assert_int_equal(s.f.type, WIRE_RESULT);
		assert_int_equal(s.f.job, job);
		int which = 0;
		while (which < 6 && strcmp(json_string_or(s.json, "cause", ""), causes[which]) != 0)
			which++;
		if (which == 6)
			fail_msg("cause %s", json_string_or(s.json, "cause", "none"));
		seen[which % 6]++;
		if (which > 0)
			assert_true(json_string_or(s.json, "error", "")[0] != '\0');
	}
	for (int i = 0; i < 6; i++)
		print_message("%s: %d\n", causes[i], seen[i]);
	assert_true(seen[1] > 0);
	assert_true(cJSON_IsTrue(in(score(&s, 200, "{\"figures\":\"fast\"}", "box"), "ok")));
	buf_release(&b);
	stop(&s);
}

static int open_fds(pid_t pid)
{
	char path[40];
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void a_hundred_jobs_leave_no_descriptor(void **state)
{
	struct scorer s = start(NULL);
	(void)state;
	hear(&s);
	for (uint32_t i = 1; i <= 10; i++)
		score(&s, i, "{\"figures\":\"fast\"}", "box");
	usleep(50000); /* the spares are forked again */
	int before = open_fds(s.pid);
	for (uint32_t i = 1; i <= 100; i++)
		score(&s, i, "{\"figures\":\"fast\",\"geometry\":true}", "box");
	int after = open_fds(s.pid);
	for (int k = 0; k < 100 && after > before; k++) {
		usleep(20000);
		after = open_fds(s.pid);
	}
	assert_true(before > 0 && after <= before);
	stop(&s);
}

static void it_leaves_when_the_asker_does(void **state)
{
	struct scorer s = start(NULL);
	(void)state;
	hear(&s);
	stop(&s);
}

static void a_frame_it_cannot_read_ends_it_with_a_status(void **state)
{
	struct scorer s = start(NULL);
	int status;
	(void)state;
	hear(&s);
	assert_int_equal(write(s.fd, "GET / HTTP/1.1\r\n\r\n and more", 28), 28);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	close(s.fd);
	frame_reader_release(&s.in);
	cJSON_Delete(s.json);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_ready_and_scores_a_box),
		cmocka_unit_test(the_same_shape_gets_the_same_bytes_forked_or_not),
		cmocka_unit_test(what_cannot_be_scored_has_a_cause_in_words),
		cmocka_unit_test(a_shape_past_its_cpu_time_is_shape_limit),
		cmocka_unit_test(a_cancelled_job_ends_and_the_next_is_scored),
		cmocka_unit_test(references_are_kept_for_later_jobs),
		cmocka_unit_test(damaged_breps_end_in_a_verdict_each_and_the_scorer_lives),
		cmocka_unit_test(a_hundred_jobs_leave_no_descriptor),
		cmocka_unit_test(it_leaves_when_the_asker_does),
		cmocka_unit_test(a_frame_it_cannot_read_ends_it_with_a_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
