/*
 * OpenCASCADE is not ours and does crash on damaged B-reps; the scorer runs it in a child for that.
 * So does this target: a crash or a death at the deadline is contained and counted, and what is
 * asked is our own part: a child that lives gives a whole RESULT with sane figures or a cause in
 * words, no C++ exception gets past the door, and one that does not live can be ended.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/score_job.h"

#define DEADLINE_MS  2000
#define MEMORY_BYTES (1ull << 30)
#define BROKEN       42

static void check_exact(const cJSON *x)
{
	static const char *const terms[] = { "topology", "contact", "semantic_parts" };
	const cJSON *c;

	for (int i = 0; i < 3; i++) {
		double v = json_number_or(x, terms[i], -1);
		FUZZ_CLAIM(v >= 0 && v <= 1);
	}
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(x, "checks"))
	{
		double v = json_number_or(c, "score", -1);
		FUZZ_CLAIM(v >= 0 && v <= 1 && json_string_or(c, "why", "")[0]);
	}
}

static void check_result(const struct buf *json)
{
	static const char *const causes[] = { "bad_input", "empty_shape", "shape_limit",
		                              "memory_limit" };
	struct err e = { 0 };
	struct figures f;
	bool known = false;

	cJSON *o = json_parse(buf_str(json), json->len, &e);
	FUZZ_CLAIM(o);
	if (json_bool_or(o, "ok", false)) {
		const cJSON *figures = cJSON_GetObjectItemCaseSensitive(o, "figures");
		const cJSON *exact = cJSON_GetObjectItemCaseSensitive(o, "exact");
		if (cJSON_IsObject(exact)) {
			check_exact(exact);
		} else {
			FUZZ_CLAIM(figures_from_json(&f, figures, &e) == 0);
			FUZZ_CLAIM(f.triangles > 0 && f.vertices > 0 && f.components > 0);
			for (int i = 0; i < 3; i++)
				FUZZ_CLAIM(isfinite(f.box_len_mm[i]) && f.box_len_mm[i] >= 0);
		}
		const cJSON *g = cJSON_GetObjectItemCaseSensitive(o, "geometry");
		FUZZ_CLAIM(!cJSON_IsObject(g) || json_number_or(g, "faces", 0) > 0);
	} else {
		for (int i = 0; i < 4; i++)
			known |= strcmp(json_string_or(o, "cause", ""), causes[i]) == 0;
		FUZZ_CLAIM(known && json_string_or(o, "error", "")[0]);
	}
	cJSON_Delete(o);
}

static void on_abort(int sig)
{
	(void)sig;
	_exit(BROKEN);
}

static void child(const uint8_t *bytes, size_t len)
{
	struct rlimit memory = { MEMORY_BYTES, MEMORY_BYTES }, core = { 0, 0 }, cpu = { 10, 10 };
	struct score_request r;
	struct buf json = { 0 }, blob = { 0 };
	struct err e = { 0 };
	/* the two ways in which a shape is scored, turn about */
	static const char *const asks[] = {
		"{\"geometry\":true,\"figures\":\"fast\",\"faces_max\":2000,"
		"\"triangles_max\":200000}",
		"{\"faces_max\":2000,\"triangles_max\":200000,\"exact\":{\"solids\":1,\"genus\":0,"
		"\"checks\":["
		"{\"id\":\"a\",\"kind\":\"bbox_mm\",\"want\":[10,null,30]},"
		"{\"id\":\"b\",\"kind\":\"holes\",\"want\":4,\"axis\":\"z\"},"
		"{\"id\":\"c\",\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":1},"
		"{\"id\":\"d\",\"kind\":\"contacts\",\"want\":4},"
		"{\"id\":\"e\",\"kind\":\"mirror_symmetry\",\"plane\":\"xz\"},"
		"{\"id\":\"f\",\"kind\":\"faces\",\"surface\":\"cylinder\",\"want\":2},"
		"{\"id\":\"g\",\"kind\":\"slots\",\"axis\":\"z\",\"at\":0.5,\"radius\":0.8,\"want\":12},"
		"{\"id\":\"h\",\"kind\":\"wall_thickness_min_mm\",\"want\":2},"
		"{\"id\":\"i\",\"kind\":\"stands\"},"
		"{\"id\":\"j\",\"kind\":\"joint\",\"clearance_mm\":0.5,\"want\":1}]}}",
	};
	const char *ask = asks[len % 2];

	setrlimit(RLIMIT_AS, &memory);
	setrlimit(RLIMIT_CORE, &core);
	setrlimit(RLIMIT_CPU, &cpu);
	FUZZ_CLAIM(score_request_parse(&r, ask, strlen(ask), &e) == 0);
	if (score_job_run(&r, bytes, len, NULL, &json, &blob, &e) < 0)
		_exit(e.kind == ERR_MEM ? 0 : BROKEN);
	signal(SIGABRT, on_abort); /* from here on it is we who are judged */
	check_result(&json);
	_exit(0);
}

/* The words that the C++ runtime leaves when nobody catches. */
static bool escaped(int log_fd)
{
	char text[512];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strstr(text, "terminate called") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static bool warm; /* libFuzzer gives a target no other place */
	static unsigned long runs, crashed, late;
	struct err e = { 0 };
	int status;

	if (!warm) {
		FUZZ_CLAIM(shape_warm_up(&e) == 0);
		warm = true;
	}
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	FUZZ_CLAIM(log_fd >= 0);
	pid_t pid = fork();
	FUZZ_CLAIM(pid >= 0);
	if (pid == 0) {
		dup2(log_fd, 1);
		dup2(log_fd, 2);
		child(bytes, len);
	}
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	FUZZ_CLAIM(p.fd >= 0);
	if (poll(&p, 1, DEADLINE_MS) == 0) {
		late++;
		kill(pid, SIGKILL);
		FUZZ_CLAIM(poll(&p, 1, 5000) == 1);
	}
	close(p.fd);
	FUZZ_CLAIM(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		crashed++;
		FUZZ_CLAIM(!escaped(log_fd));
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == BROKEN) {
		char text[2000];
		ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);
		fprintf(stderr, "%.*s\n", n > 0 ? (int)n : 0, text);
		FUZZ_CLAIM(!"the child's result is broken");
	}
	close(log_fd);
	if (++runs % 1000 == 0)
		fprintf(stderr, "brep: %lu runs, %lu crashes and %lu late ends contained\n", runs,
		        crashed, late);
	return 0;
}
