/*
 * What travels between machines: a job and its answer come back as they went, and what is damaged,
 * or was never ours, is refused in words.
 */
#include "tests/lib.h"

#include "src/job.h"

/* Of src/scoring.c, which needs the engine: what it owns here. */
void scored_release(struct scored *s)
{
	for (int i = 0; i < s->n_pictures; i++)
		buf_release(&s->pictures[i].png);
	free(s->pictures);
	cJSON_Delete(s->json);
	cJSON_Delete(s->facts);
	cJSON_Delete(s->build.refused);
	free(s->build.error);
	free(s->build.exception);
	free(s->build.source);
	free(s->build.traceback);
	buf_release(&s->program);
	buf_release(&s->log);
	buf_release(&s->brep);
	buf_release(&s->stl);
	buf_release(&s->step);
	*s = (struct scored){ .total = NAN };
}

static struct job_asked some_job(void)
{
	static const char text[] = "import cadquery\n\0\xff and bytes that are no text";
	struct job_asked j = {
		.reference = "task",
		.ending = "step",
		.dialect = DIALECT_OPEN,
		.rebuilds = 8,
		.unfinished = true,
		.artifacts = SCORING_BREP | SCORING_VIEWS,
		.rule = EXTRACT_ANSWER,
		.text = text,
		.len = sizeof(text) - 1,
	};

	limits_default(&j.limits);
	j.limits.wall_s = 12.3456789012345678;
	memset(j.profile_sha, 'a', 64);
	memset(j.task_sha, 'b', 64);
	memset(j.reference_sha, 'c', 64);
	return j;
}

static void a_job_is_read_as_it_was_written(void **state)
{
	struct job_asked j = some_job(), got;
	struct buf b = { 0 }, again = { 0 };
	struct err e = { 0 };

	(void)state;
	job_write(&b, &j);
	assert_int_equal(job_read(&got, b.data, b.len, &e), 0);
	assert_string_equal(got.task_sha, j.task_sha);
	assert_string_equal(got.reference, "task");
	assert_true(got.unfinished && !got.no_blanks && got.artifacts == j.artifacts);
	assert_true(got.limits.wall_s == j.limits.wall_s);
	assert_int_equal(got.len, j.len);
	assert_memory_equal(got.text, j.text, j.len);
	/* equal jobs are equal bytes, or they would be worked out twice */
	job_write(&again, &got);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	buf_release(&b);
	buf_release(&again);
}

static void every_field_of_a_job_that_is_out_of_range_is_refused(void **state)
{
	static const struct {
		const char *was, *now, *says;
	} cases[] = {
		{ "\"v\":1", "\"v\":2", "v" },
		{ "\"dialect\":1", "\"dialect\":7", "dialect" },
		{ "\"rebuilds\":8", "\"rebuilds\":100000", "rebuilds" },
		{ "\"artifacts\":9", "\"artifacts\":-1", "artifacts" },
		{ "\"rule\":2", "\"rule\":3", "rule" },
		{ "\"shape\":0", "\"shape\":\"0\"", "shape" },
		{ "\"ending\":\"step\"", "\"ending\":\"sh\"", "reference" },
		{ "\"ending\":\"step\"", "\"ending\":\"../x\"", "ending" },
		{ "\"reference\":\"task\"", "\"reference\":\"file\"", "reference" },
		{ "\"reference\":\"task\"", "\"reference\":\"etc\"", "reference" },
		{ "\"task\":\"bb", "\"task\":\"BB", "task" },
		{ "\"task\":\"bb", "\"task\":\"b", "task" },
		{ "\"profile\":\"\"", "\"profile\":\"strict\"", "profile" },
		{ "\"limits\":[12.", "\"limits\":[-12.", "limits[0]" },
	};
	struct job_asked j = some_job(), got;
	struct buf b = { 0 };

	(void)state;
	job_write(&b, &j);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf bad = { 0 };
		struct err e = { 0 };
		const char *at = strstr(b.data, cases[i].was);
		assert_non_null(at);
		buf_add(&bad, b.data, (size_t)(at - b.data));
		buf_adds(&bad, cases[i].now);
		at += strlen(cases[i].was);
		buf_add(&bad, at, b.len - (size_t)(at - b.data));
		assert_int_equal(job_read(&got, bad.data, bad.len, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, cases[i].says);
		buf_release(&bad);
	}
	buf_release(&b);
}

static void a_job_that_ends_anywhere_is_refused_or_shorter(void **state)
{
	struct job_asked j = some_job(), got;
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	job_write(&b, &j);
	size_t line = (size_t)(strchr(b.data, '\n') - b.data);
	for (size_t n = 0; n <= b.len; n++) {
		char *copy = malloc(n + 1);
		memcpy(copy, b.data, n);
		int rc = job_read(&got, copy, n, &e);
		assert_int_equal(rc, n > line ? 0 : -1);
		if (rc == 0)
			assert_int_equal(got.len, n - line - 1);
		free(copy);
	}
	buf_release(&b);
}

static void fill(struct buf *b, size_t n, char c)
{
	char *to = buf_room(b, n);

	for (size_t i = 0; i < n; i++)
		to[i] = (char)(c + (char)(i * 7 % 90));
	buf_grew(b, n);
}

static struct scored some_answer(void)
{
	struct scored s = { .built = true, .total = 1 + 2e-16, .cls = CLASS_LOW_EDITABILITY };
	static const char json[] =
		"{\"file\":null,\"reward\":{\"total\":0.30000000000000004,\"x\":1e-300}}";

	s.json = json_parse(json, strlen(json), NULL);
	assert_non_null(s.json);
	s.build = (struct build){ .ok = true,
		                  .dialect = DIALECT_OPEN,
		                  .seconds = 1.0 / 3,
		                  .cpu_s = NAN,
		                  .line = 7,
		                  .limit = { "wall_s", 45, NAN },
		                  .error = strdup("line 7: \xc3\xa9") };
	s.facts = cJSON_CreateObject();
	cJSON_AddNumberToObject(s.facts, "nodes", 12);
	fill(&s.program, 100, ' ');
	fill(&s.brep, 100000, 0);
	fill(&s.stl, 70000, 3);
	s.pictures = calloc(2, sizeof(*s.pictures));
	s.n_pictures = 2;
	strcpy(s.pictures[0].name, "front");
	strcpy(s.pictures[1].name, "sheet");
	fill(&s.pictures[0].png, 500, 1);
	fill(&s.pictures[1].png, 600, 2);
	return s;
}

static void an_answer_is_read_as_it_was_written(void **state)
{
	struct scored s = some_answer(), got;
	struct buf b = { 0 }, one = { 0 }, other = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(scored_write(&b, &s, &e), 0);
	assert_int_equal(scored_read(&got, b.data, b.len, &e), 0);
	assert_true(got.total == s.total);
	assert_true(got.built && got.build.ok && !got.lost);
	assert_int_equal(got.cls, CLASS_LOW_EDITABILITY);
	assert_true(got.build.seconds == s.build.seconds);
	assert_true(isnan(got.build.cpu_s));
	assert_string_equal(got.build.error, s.build.error);
	assert_null(got.build.traceback);
	assert_string_equal(got.build.limit.name, "wall_s");
	assert_close(json_number_or(got.facts, "nodes", 0), 12, 0);
	json_print(&one, s.json);
	json_print(&other, got.json);
	assert_string_equal(buf_str(&one), buf_str(&other));
	assert_int_equal(got.brep.len, s.brep.len);
	assert_memory_equal(got.brep.data, s.brep.data, s.brep.len);
	assert_int_equal(got.stl.len, s.stl.len);
	assert_int_equal(got.step.len, 0);
	assert_int_equal(got.n_pictures, 2);
	assert_string_equal(got.pictures[1].name, "sheet");
	assert_memory_equal(got.pictures[1].png.data, s.pictures[1].png.data, 600);
	scored_release(&s);
	scored_release(&got);
	buf_release(&b);
	buf_release(&one);
	buf_release(&other);
}

static void a_damaged_answer_is_refused(void **state)
{
	struct scored s = some_answer(), got;
	struct buf b = { 0 };
	struct err e = { 0 };
	unsigned seed = 1;
	int refused = 0;

	(void)state;
	assert_int_equal(scored_write(&b, &s, &e), 0);
	for (int k = 0; k < 2000; k++) {
		char *copy = malloc(b.len);
		size_t n = b.len;
		memcpy(copy, b.data, n);
		seed = seed * 1103515245u + 12345u;
		if (k % 4 == 0)
			n = seed % b.len;
		else
			copy[(seed >> 8) % (k % 2 ? 200 : b.len)] ^= (char)(1 << (seed >> 5) % 8);
		if (scored_read(&got, copy, n, &e) < 0) {
			refused++;
		} else {
			assert_true(got.total == s.total);
			scored_release(&got);
		}
		free(copy);
	}
	/* a few bits say nothing of the content */
	assert_true(refused > 1900);
	scored_release(&s);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_is_read_as_it_was_written),
		cmocka_unit_test(every_field_of_a_job_that_is_out_of_range_is_refused),
		cmocka_unit_test(a_job_that_ends_anywhere_is_refused_or_shorter),
		cmocka_unit_test(an_answer_is_read_as_it_was_written),
		cmocka_unit_test(a_damaged_answer_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
