/*
 * Everything of the published reward but the geometry: for each published row, its program's text
 * and its measured mesh go in, and terms, totals, training scores, notes and class must come out.
 * The programs and rows are not ours; the test is skipped where they are not at hand.
 */
#include "tests/lib.h"

#include <unistd.h>

#include "engine/extract.h"
#include "engine/reward_seed.h"

#define TOLERANCE 1e-12

/* The first place that holds the rows: CADFORGE_SHARED alone where it is set. NULL when none does.
 */
static const char *shared_dir(void)
{
	const char *named = getenv("CADFORGE_SHARED"), *found = NULL;
	const char *const places[] = { named ? named : "../shared",
		                       named ? named : SRCDIR "/../shared" };

	for (size_t i = 0; !found && i < 2; i++) {
		struct buf path = { 0 };
		buf_printf(&path, "%s/parity/expected.jsonl", places[i]);
		if (access(buf_str(&path), R_OK) == 0)
			found = places[i];
		buf_release(&path);
	}
	return found;
}

static void read_shared(struct buf *out, const char *name)
{
	struct buf path = { 0 };
	struct err e;

	buf_printf(&path, "%s/parity/%s", shared_dir(), name);
	if (buf_read_file(out, buf_str(&path), 1 << 26, &e) < 0)
		fail_msg("%s", e.text);
	buf_release(&path);
}

static double number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* The figures that the row says were measured. */
static struct figures published_figures(const cJSON *row)
{
	static const char *const keys[2] = { "ideal_cadquery", "glb_reference" };
	const cJSON *t = get(row, "topology_details"), *c = get(row, "contact_details");
	const cJSON *box = get(row, "normalized_bbox"), *refs = get(row, "reference_details");
	struct figures f = { .full = strcmp(json_string_or(row, "mode", ""), "full") == 0 };

	f.vertices = (long)number(t, "vertices");
	f.triangles = (long)number(t, "faces");
	f.components = (long)number(t, "components");
	f.watertight = cJSON_IsTrue(get(t, "watertight"));
	f.large_gap_components = (long)number(c, "large_gap_components");
	f.topology = number(row, "topology");
	f.contact = number(row, "contact");
	f.normalized_len[0] = number(box, "xlen");
	f.normalized_len[1] = number(box, "ylen");
	f.normalized_len[2] = number(box, "zlen");
	for (int i = 0; i < 2; i++) {
		const cJSON *r = get(refs, keys[i]);
		if (!r)
			continue;
		f.ref[f.n_ref++] = (struct reference_figures){
			.weight = i ? 0.4 : 0.6,
			.bbox = number(r, "bbox"),
			.chamfer = number(r, "chamfer"),
			.silhouette = number(get(r, "silhouette"), "score"),
		};
	}
	if (f.n_ref == 1)
		f.ref[0].weight = 1;
	return f;
}

static void same(const cJSON *row, const char *key, double got)
{
	double want = number(row, key);

	if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= TOLERANCE))
		fail_msg("%s, %s: %s: got %.17g, want %.17g", json_string_or(row, "case", ""),
		         json_string_or(row, "mode", ""), key, got, want);
}

static void check_row(const cJSON *row, const struct task_set *tasks)
{
	const char *name = json_string_or(row, "case", "");
	const char *line = json_string_or(row, "error_line", "");
	const char *crash = json_string_or(row, "evaluator_crash", "");
	struct figures figures = published_figures(row);
	struct buf text = { 0 }, path = { 0 };
	struct extract x;
	struct reward r;
	struct seed_details d;
	struct notes notes;
	struct err e;

	buf_printf(&path, "%s.py", name);
	read_shared(&text, buf_str(&path));
	assert_int_equal(extract_program(&x, EXTRACT_FILE, buf_str(&text), text.len, &e), 0);
	struct seed_input in = {
		.outcome = cJSON_IsTrue(get(row, "build_ok")) ? SEED_BUILT
		           : *crash                           ? SEED_EVALUATOR_CRASH
		                                              : SEED_BUILD_FAILED,
		.full = figures.full,
		.figures = &figures,
		.task = task_find(tasks, json_string_or(row, "task", ""), &e),
		.code = { buf_str(&x.program), x.program.len },
		.raw = { buf_str(&text), text.len },
		.stderr_text = { line, strlen(line) },
	};
	assert_non_null(in.task);
	assert_int_equal(reward_seed(&r, &d, &notes, &in, &e), 0);
	same(row, "total", r.total);
	same(row, "build", r.build);
	same(row, "topology", r.topology);
	same(row, "contact", r.contact);
	same(row, "semantic_parts", r.semantic_parts);
	same(row, "reference_similarity", r.reference_similarity);
	same(row, "silhouette", r.silhouette);
	same(row, "editability", r.editability);
	same(row, "efficiency", r.efficiency);
	same(row, "strict", r.strict);
	same(row, "cheap", r.cheap);
	same(row, "build_fail_shaped", r.shaped);
	if (in.outcome == SEED_BUILT) {
		const cJSON *ed = get(row, "editability_details");
		same(ed, "function_count", (double)d.text.functions);
		same(ed, "named_numeric_assignments", (double)d.text.named_values);
		same(ed, "return_count", (double)d.text.returns);
		assert_int_equal(d.text.final_object, cJSON_IsTrue(get(ed, "has_final_object")));
		same(get(row, "semantic_details"), "code_score", d.hint_share);
		same(get(row, "semantic_details"), "geometry_score", d.geometry_score);
	}
	const cJSON *want = get(row, "notes"), *note;
	int i = 0;
	cJSON_ArrayForEach(note, want)
	{
		assert_true(i < notes.n);
		/* Lines over 500 characters are cut; the row keeps a part of the line only. */
		if (strncmp(note->valuestring, "Build error: ", 13) != 0 || strlen(line) < 300)
			assert_string_equal(notes.text[i], note->valuestring);
		i++;
	}
	assert_int_equal(notes.n, i);
	struct seed_failure_input f = {
		.built = in.outcome == SEED_BUILT,
		.editability = r.editability,
		.semantic_parts = r.semantic_parts,
		.error = { crash, strlen(crash) },
		.errors = in.stderr_text,
		.completion = in.raw,
		.code = in.code,
	};
	/* A row that keeps no more of the error than the traceback's head decides nothing. */
	if (strncmp(line, "Traceback", 9) != 0)
		assert_string_equal(build_class_name(seed_failure_class(&f)),
		                    json_string_or(row, "failure_class", ""));
	notes_release(&notes);
	extract_release(&x);
	buf_release(&text);
	buf_release(&path);
}

static void every_published_row_comes_out_of_its_text_and_its_mesh(void **state)
{
	const char *dir = SRCDIR "/tasks";
	struct task_set tasks;
	struct buf rows = { 0 };
	struct err e;
	int n = 0;

	(void)state;
	if (task_set_load(&tasks, &dir, 1, &e) < 0)
		fail_msg("%s", e.text);
	read_shared(&rows, "expected.jsonl");
	for (char *p = rows.data; *p;) {
		char *nl = strchr(p, '\n');
		size_t len = nl ? (size_t)(nl - p) : strlen(p);
		cJSON *row = json_parse(p, len, &e);
		assert_non_null(row);
		check_row(row, &tasks);
		cJSON_Delete(row);
		n++;
		p += len + (nl != NULL);
	}
	assert_true(n >= 98);
	print_message("%d rows\n", n);
	buf_release(&rows);
	task_set_release(&tasks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_published_row_comes_out_of_its_text_and_its_mesh),
	};

	if (!shared_dir()) {
		puts("skipped: no parity/expected.jsonl in ../shared beside the sources "
		     "(CADFORGE_SHARED names another place)");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
