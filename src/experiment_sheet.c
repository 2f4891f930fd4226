#include "src/experiment_sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"

enum { BOOTSTRAP_SEED = 20 };

const enum build_class experiment_class[EXPERIMENT_CLASSES] = {
	CLASS_SYNTAX_CLOSURE, CLASS_UNDEFINED_NAME,  CLASS_INVENTED_API,
	CLASS_TYPE_OR_VALUE,  CLASS_MISSING_FIXTURE,
};

const char *experiment_arm_name(enum experiment_arm a)
{
	static const char *const arms[] = { "base", "sft", "dense", "strict", "repair", "control" };

	return arms[a];
}

bool experiment_arm_seeds(enum experiment_arm a)
{
	return a >= ARM_DENSE;
}

void experiment_policy_name(char out[32], enum experiment_arm a, int seed)
{
	if (experiment_arm_seeds(a))
		snprintf(out, 32, "%s-%d", experiment_arm_name(a), seed);
	else
		snprintf(out, 32, "%s", experiment_arm_name(a));
}

const char *sheet_measure_name(enum sheet_measure m)
{
	static const char *const names[] = { "built", "box", "dense", "strict", "total" };

	return names[m];
}

/* ---- reading ---- */

static int class_index(const char *name)
{
	for (int i = 0; i < EXPERIMENT_CLASSES; i++)
		if (strcmp(build_class_name(experiment_class[i]), name) == 0)
			return i;
	return SHEET_HELD;
}

static int failure_of(const char *name)
{
	for (int i = 0; i < CLASS_COUNT; i++)
		if (strcmp(build_class_name((enum build_class)i), name) == 0)
			return i;
	return CLASS_BUILD_OK;
}

/* The prompt's place, a new one at the end where there is none. */
static int place_of(struct sheet *s, const char *task, int set, struct err *e)
{
	for (int i = 0; i < s->prompts; i++)
		if (s->set[i] == set && strcmp(s->task[i], task) == 0)
			return i;
	int n = s->prompts + 1;
	char(*names)[TASK_ID_MAX + 1] = realloc(s->task, (size_t)n * sizeof(*names));
	if (names)
		s->task = names;
	int *sets = realloc(s->set, (size_t)n * sizeof(*sets));
	if (sets)
		s->set = sets;
	if (!names || !sets)
		return err_set(e, ERR_MEM, "no memory for %d prompts", n);
	for (int a = 0; a < ARMS; a++)
		for (int k = 0; k < SHEET_SEEDS_MAX; k++) {
			size_t row = (size_t)s->members * sizeof(struct sheet_answer);
			struct sheet_answer *more;
			if (!s->answer[a][k])
				continue;
			if (!(more = realloc(s->answer[a][k], (size_t)n * row)))
				return err_set(e, ERR_MEM, "no memory for %d prompts", n);
			memset(more + (size_t)s->prompts * (size_t)s->members, 0, row);
			s->answer[a][k] = more;
		}
	snprintf(s->task[s->prompts], sizeof(*s->task), "%s", task);
	s->set[s->prompts] = set;
	return s->prompts++;
}

static int add_line(struct sheet *s, enum experiment_arm a, int k, const cJSON *o, struct err *e)
{
	const char *cls = json_string_or(o, "class", NULL);
	int member = (int)json_number_or(o, "member", 0);
	int at = place_of(s, json_string_or(o, "task", ""), cls ? class_index(cls) : SHEET_HELD, e);

	if (at < 0)
		return -1;
	if (member < 1 || member > s->members)
		return err_set(e, ERR_INPUT, "member: 1 to %d was expected, got %d", s->members,
		               member);
	s->answer[a][k][at * s->members + member - 1] = (struct sheet_answer){
		.there = true,
		.built = json_bool_or(o, "built", false),
		.box = json_bool_or(o, "box", false),
		.clipped = json_bool_or(o, "clipped", false),
		.dense = json_number_or(o, "dense", NAN),
		.strict = json_number_or(o, "strict", NAN),
		.total = json_number_or(o, "total", NAN),
		.failure = failure_of(json_string_or(o, "failure", "")),
	};
	return 0;
}

int sheet_add(struct sheet *s, enum experiment_arm a, int seed, const char *text, size_t len,
              struct err *e)
{
	int k = experiment_arm_seeds(a) ? seed - 1 : 0, rc = 0;

	if (!s->answer[a][k] &&
	    !(s->answer[a][k] = calloc((size_t)s->prompts * (size_t)s->members + 1,
	                               sizeof(struct sheet_answer))))
		return err_set(e, ERR_MEM, "no memory for %d prompts", s->prompts);
	for (const char *p = text, *end = text + len; rc == 0 && p < end;) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t n = line ? (size_t)(line - p) : (size_t)(end - p);
		cJSON *o = json_parse(p, n, e);
		rc = o ? add_line(s, a, k, o, e) : -1;
		cJSON_Delete(o);
		p += n + 1;
	}
	return rc;
}

void sheet_release(struct sheet *s)
{
	for (int a = 0; a < ARMS; a++)
		for (int k = 0; k < SHEET_SEEDS_MAX; k++)
			free(s->answer[a][k]);
	free(s->task);
	free(s->set);
	*s = (struct sheet){ .prompts = 0 };
}

/* ---- figures ---- */

static double value(const struct sheet *s, enum experiment_arm a, int seed, int at,
                    enum sheet_measure m)
{
	const struct sheet_answer *v = s->answer[a][experiment_arm_seeds(a) ? seed - 1 : 0];

	if (!v || !v[at].there)
		return NAN;
	switch (m) {
	case SHEET_BUILT:
		return v[at].built;
	case SHEET_BOX:
		return v[at].box;
	case SHEET_DENSE:
		return v[at].dense;
	case SHEET_STRICT:
		return v[at].strict;
	default:
		return v[at].built ? v[at].total : NAN;
	}
}

static bool is_in(const struct sheet *s, int prompt, int set)
{
	return set == SHEET_MEND ? s->set[prompt] != SHEET_HELD : s->set[prompt] == set;
}

/* Values of @a, and of @b beside them, with their prompts; how many, -1: no memory. The caller
 * frees them. */
static int collect(const struct sheet *s, enum experiment_arm a, enum experiment_arm b, int seed,
                   int set, enum sheet_measure m, double **va, double **vb, int **cluster)
{
	bool seeds = experiment_arm_seeds(a) || experiment_arm_seeds(b);
	int from = seed ? seed : 1, to = seed ? seed : seeds ? s->seeds : 1, n = 0;
	size_t most = (size_t)s->prompts * (size_t)s->members * (size_t)(to - from + 1) + 1;

	*va = calloc(most, sizeof(**va));
	*vb = calloc(most, sizeof(**vb));
	*cluster = calloc(most, sizeof(**cluster));
	if (!*va || !*vb || !*cluster)
		return -1;
	for (int k = from; k <= to; k++)
		for (int i = 0; i < s->prompts * s->members; i++) {
			if (!is_in(s, i / s->members, set))
				continue;
			(*va)[n] = value(s, a, k, i, m);
			(*vb)[n] = value(s, b, k, i, m);
			(*cluster)[n++] = i / s->members;
		}
	return n;
}

struct interval sheet_mean(const struct sheet *s, enum experiment_arm a, int seed, int set,
                           enum sheet_measure m)
{
	struct interval out = { NAN, NAN, NAN, 0 };
	double *v, *same;
	int *cluster, n = collect(s, a, a, seed, set, m, &v, &same, &cluster);

	if (n >= 0)
		out = statistics_mean(v, cluster, n, BOOTSTRAP_SEED);
	free(v);
	free(same);
	free(cluster);
	return out;
}

struct paired sheet_paired(const struct sheet *s, enum experiment_arm a, enum experiment_arm b,
                           int seed, int set, enum sheet_measure m)
{
	struct paired out = { .difference = { NAN, NAN, NAN, 0 }, .p = NAN };
	double *va, *vb;
	int *cluster, n = collect(s, a, b, seed, set, m, &va, &vb, &cluster);

	if (n >= 0)
		out = statistics_paired(va, vb, cluster, n, BOOTSTRAP_SEED);
	free(va);
	free(vb);
	free(cluster);
	return out;
}
