#include "engine/task.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/checks.h"
#include "src/base/utf8.h"

enum {
	FILE_MAX = 1 << 20,
	REFERENCE_MAX = 64 << 20,
	VALUES_MAX = 100000,
	TASKS_MAX = 10000,
	PACKS_MAX = 1000,
	HINTS_MAX = 100,
	DIMENSIONS_MAX = 200,
	FACTS_MAX = 200,
	PROBLEMS_MAX = 20000,
	TEXT_MAX = 20000,
	ABOUT_MAX = 500,
};
#define LENGTH_MAX_MM 1e7
#define TASK_FORMAT   "cadforge-task-1"
#define PACK_FORMAT   "cadforge-pack-1"
#define NAME_LETTERS  "abcdefghijklmnopqrstuvwxyz0123456789_"

static const char *const levels[] = { "easy", "medium", "hard" };
static const char *const reference_kinds[] = { ".py", ".step", ".stp", ".stl", ".glb" };
/* Folders beside the packs that hold something else. */
static const char *const no_packs[] = { "prompts", "profiles", "curriculum", "examples" };

const char *task_level_name(enum task_level l)
{
	return levels[l];
}

/* ---- problems ---- */

void task_problems_release(struct task_problems *p)
{
	for (int i = 0; i < p->n; i++) {
		free(p->v[i].file);
		free(p->v[i].text);
	}
	free(p->v);
	*p = (struct task_problems){ 0 };
}

static void problem_v(struct task_problems *p, const char *file, int line, bool remark,
                      const char *fmt, va_list ap)
{
	struct buf raw = { 0 }, clean = { 0 };

	if (!remark)
		p->errors++;
	if (p->n >= PROBLEMS_MAX || p->lost) {
		p->lost = true;
		return;
	}
	buf_vprintf(&raw, fmt, ap);
	utf8_clean_line(&clean, buf_str(&raw), raw.len);
	struct task_problem *more = realloc(p->v, sizeof(*more) * (size_t)(p->n + 1));
	char *name = strdup(file), *text = buf_take(&clean, NULL);
	buf_release(&raw);
	if (more)
		p->v = more;
	if (!more || !name || !text) {
		free(name);
		free(text);
		p->lost = true;
		return;
	}
	p->v[p->n++] =
		(struct task_problem){ .file = name, .line = line, .text = text, .remark = remark };
}

void task_problem(struct task_problems *p, const char *file, int line, bool remark, const char *fmt,
                  ...)
{
	va_list ap;

	va_start(ap, fmt);
	problem_v(p, file, line, remark, fmt, ap);
	va_end(ap);
}

void task_problem_print(struct buf *out, const struct task_problem *p)
{
	utf8_clean_line(out, p->file, strlen(p->file));
	if (p->line > 0)
		buf_printf(out, ":%d", p->line);
	buf_printf(out, ": %s%s", p->remark ? "remark: " : "", p->text);
}

/* The first error as err; -1. */
static int first_error(const struct task_problems *p, struct err *e)
{
	for (int i = 0; i < p->n; i++)
		if (!p->v[i].remark) {
			struct buf line = { 0 };
			task_problem_print(&line, &p->v[i]);
			err_set(e, ERR_INPUT, "%s", buf_str(&line));
			buf_release(&line);
			return -1;
		}
	return err_set(e, ERR_MEM, "out of memory");
}

/* ---- one file: its text, its values, what is wrong with them ---- */

struct reader {
	const char *file, *text;
	size_t len;
	const cJSON *root;
	struct task_problems *problems;
	bool bad; /* an error was added */
};

static void problem_at(struct reader *r, const cJSON *at, bool remark, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void problem_at(struct reader *r, const cJSON *at, bool remark, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problem_v(r->problems, r->file, json_line_of(r->text, r->len, r->root, at), remark, fmt,
	          ap);
	va_end(ap);
	r->bad = r->bad || !remark;
}

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* The value where there is one, else what it is missing from: where a person has to look. */
static const cJSON *place_of(const cJSON *o, const char *key)
{
	const cJSON *v = get(o, key);

	return v ? v : o;
}

/* Edits (insert, delete, replace a character) from one name to another; names above TASK_ID_MAX
 * are far from everything. */
static int distance(const char *a, const char *b)
{
	int row[TASK_ID_MAX + 1], n = (int)strlen(b);

	if (n > TASK_ID_MAX || strlen(a) > TASK_ID_MAX)
		return INT_MAX;
	for (int k = 0; k <= n; k++)
		row[k] = k;
	for (int i = 1; *a; a++, i++) {
		int corner = row[0];
		row[0] = i;
		for (int k = 1; k <= n; k++) {
			int best = corner + (*a != b[k - 1]);
			if (row[k] + 1 < best)
				best = row[k] + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			corner = row[k];
			row[k] = best;
		}
	}
	return row[n];
}

/* cJSON takes any number of equal keys and gives the first; a task with two of one is a mistake. */
static void read_keys(struct reader *r, const cJSON *o, const char *where, const char *const *known)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, o)
	{
		const char *near = NULL;
		int least = 4, i = 0;
		for (; known[i] && strcmp(known[i], v->string) != 0; i++) {
			int d = distance(v->string, known[i]);
			if (d < least) {
				least = d;
				near = known[i];
			}
		}
		if (!known[i])
			problem_at(r, v, false, "%s%.60s: no such key%s%s%s", where, v->string,
			           near ? "; did you mean \"" : "", near ? near : "",
			           near ? "\"?" : "");
		else if (get(o, v->string) != v)
			problem_at(r, v, false, "%s%s: the key is there twice", where, v->string);
	}
}

/* A task's texts go to terminals, pages and a model: what one does not see is a mistake in all of
 * them, or an attack. @key: of the nearest object. */
static void read_plain(struct reader *r, const cJSON *v, const char *key)
{
	const cJSON *x;
	size_t at;

	if (cJSON_IsString(v) && !utf8_plain(v->valuestring, strlen(v->valuestring), &at)) {
		uint32_t c;
		const char *sign = v->valuestring + at;
		problem_at(r, v, false, "%.60s: a sign that is not seen, \"%.*s\": leave it out",
		           key, utf8_decode(sign, strlen(sign), &c), sign);
	}
	cJSON_ArrayForEach(x, v) read_plain(r, x, x->string ? x->string : key);
}

/* A text of 1 to @max bytes, or NULL and a problem. */
static const char *read_text(struct reader *r, const cJSON *o, const char *where, const char *key,
                             size_t max)
{
	const char *text;
	struct err e;

	if (json_get_string(o, key, &text, &e) < 0) {
		problem_at(r, place_of(o, key), false, "%s%s", where, e.text);
		return NULL;
	}
	if (*text == 0 || strlen(text) > max) {
		problem_at(r, get(o, key), false, "%s%s: 1 to %zu bytes wanted, got %zu", where,
		           key, max, strlen(text));
		return NULL;
	}
	return text;
}

/* A word of a-z, 0-9 and _; @python: and it does not begin with a digit. */
static const char *read_name(struct reader *r, const cJSON *o, const char *where, const char *key,
                             bool python)
{
	const char *name = read_text(r, o, where, key, TASK_ID_MAX);

	if (!name)
		return NULL;
	if (name[strspn(name, NAME_LETTERS)] || (python && *name >= '0' && *name <= '9')) {
		problem_at(r, get(o, key), false,
		           "%s%s: %s of letters a-z, digits and underscores wanted, got \"%s\"",
		           where, key, python ? "a Python name" : "a name", name);
		return NULL;
	}
	return name;
}

static void read_format(struct reader *r, const cJSON *o, const char *want)
{
	const char *format = read_text(r, o, "", "format", 100);

	if (format && strcmp(format, want) != 0)
		problem_at(r, get(o, "format"), false, "format: \"%s\" wanted, got \"%.40s\"", want,
		           format);
}

/* One of @n words; the first where it is none. */
static int read_word(struct reader *r, const cJSON *o, const char *key, const char *const *words,
                     int n)
{
	const char *word = read_text(r, o, "", key, ABOUT_MAX);
	struct buf all = { 0 };

	if (!word)
		return 0;
	for (int i = 0; i < n; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	for (int i = 0; i < n; i++)
		buf_printf(&all, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", words[i]);
	problem_at(r, get(o, key), false, "%s: %s wanted, got \"%.40s\"", key, buf_str(&all), word);
	buf_release(&all);
	return 0;
}

static void read_box(struct reader *r, const cJSON *o, const char *key, double out[3])
{
	double v[3];
	struct err e;

	if (json_get_numbers(o, key, v, 3, &e) < 0) {
		problem_at(r, place_of(o, key), false, "%s", e.text);
		return;
	}
	for (int c = 0; c < 3; c++) {
		if (!(v[c] > 0 && v[c] <= LENGTH_MAX_MM))
			problem_at(r, cJSON_GetArrayItem(get(o, key), c), false,
			           "%s[%d]: a length above 0 and up to %g wanted, got %g", key, c,
			           LENGTH_MAX_MM, v[c]);
		out[c] = v[c];
	}
}

/* An array of @min to @max elements; NULL and a problem otherwise. */
static const cJSON *read_array(struct reader *r, const cJSON *o, const char *key, int min, int max,
                               const char *of)
{
	const cJSON *a = get(o, key);
	int n = cJSON_IsArray(a) ? cJSON_GetArraySize(a) : -1;

	if (n >= min && n <= max)
		return a;
	if (n < 0)
		problem_at(r, place_of(o, key), false, "%s: an array of %d to %d %s wanted, got %s",
		           key, min, max, of, a ? "something else" : "nothing");
	else
		problem_at(r, a, false, "%s: an array of %d to %d %s wanted, got %d", key, min, max,
		           of, n);
	return NULL;
}

static void read_hints(struct reader *r, struct task *t)
{
	const cJSON *a = read_array(r, r->root, "semantic_hints", 1, HINTS_MAX, "words"), *v;
	const char **hints = a ? calloc((size_t)cJSON_GetArraySize(a), sizeof(*hints)) : NULL;
	int i = 0;

	t->hints = hints;
	if (!hints)
		return;
	cJSON_ArrayForEach(v, a)
	{
		if (!cJSON_IsString(v) || v->valuestring[0] == 0)
			problem_at(r, v, false, "semantic_hints[%d]: a word wanted", i);
		else
			hints[t->n_hints++] = v->valuestring;
		i++;
	}
}

static void read_dimensions(struct reader *r, struct task *t)
{
	static const char *const keys[] = { "name", "value_mm", "about", NULL };
	const cJSON *a = read_array(r, r->root, "dimensions", 0, DIMENSIONS_MAX, "dimensions"), *v;
	struct task_dimension *d = a ? calloc((size_t)cJSON_GetArraySize(a) + 1, sizeof(*d)) : NULL;
	int i = 0;

	t->dimensions = d;
	if (!d)
		return;
	cJSON_ArrayForEach(v, a)
	{
		char where[40];
		struct err e;
		struct task_dimension *x = &d[t->n_dimensions];
		snprintf(where, sizeof(where), "dimensions[%d]: ", i++);
		if (!cJSON_IsObject(v)) {
			problem_at(r, v, false, "%san object with name, value_mm and about wanted",
			           where);
			continue;
		}
		read_keys(r, v, where, keys);
		x->name = read_name(r, v, where, "name", true);
		x->about = read_text(r, v, where, "about", ABOUT_MAX);
		if (json_get_number(v, "value_mm", &x->value_mm, &e) < 0)
			problem_at(r, place_of(v, "value_mm"), false, "%s%s", where, e.text);
		else if (!(x->value_mm > 0 && x->value_mm <= LENGTH_MAX_MM))
			problem_at(r, get(v, "value_mm"), false,
			           "%svalue_mm: a length above 0 and up to %g wanted, got %g",
			           where, LENGTH_MAX_MM, x->value_mm);
		if (!x->name)
			continue;
		for (int k = 0; k < t->n_dimensions; k++)
			if (strcmp(d[k].name, x->name) == 0)
				problem_at(r, v, false, "%sname: another dimension is \"%s\" too",
				           where, x->name);
		t->n_dimensions++;
	}
}

static bool is_fact(const cJSON *v, bool in_array)
{
	const cJSON *x;

	if (cJSON_IsNumber(v) || cJSON_IsBool(v) || cJSON_IsString(v))
		return true;
	if (in_array || !cJSON_IsArray(v) || cJSON_GetArraySize(v) == 0)
		return false;
	cJSON_ArrayForEach(x, v) if (!is_fact(x, true)) return false;
	return true;
}

static void read_expect(struct reader *r, struct task *t)
{
	const cJSON *o = get(r->root, "expect"), *v;

	if (!cJSON_IsObject(o)) {
		problem_at(r, o ? o : r->root, false,
		           "expect: an object of facts wanted, as {\"legs\": 4}, got %s",
		           o ? "something else" : "nothing");
		return;
	}
	t->expect = o;
	if (cJSON_GetArraySize(o) > FACTS_MAX)
		problem_at(r, o, false, "expect: at most %d facts wanted, got %d", FACTS_MAX,
		           cJSON_GetArraySize(o));
	cJSON_ArrayForEach(v, o)
	{
		const char *k = v->string;
		if (!*k || strlen(k) > TASK_ID_MAX || k[strspn(k, NAME_LETTERS)])
			problem_at(r, v, false,
			           "expect: a name of letters a-z, digits and underscores wanted, "
			           "got \"%.60s\"",
			           k);
		else if (get(o, k) != v)
			problem_at(r, v, false, "expect.%s: the key is there twice", k);
		if (!is_fact(v, false))
			problem_at(r, v, false,
			           "expect.%.60s: a number, true or false, a text or an array of "
			           "them wanted",
			           k);
	}
}

static void read_reference(struct reader *r, struct task *t)
{
	const cJSON *v = get(r->root, "reference");
	struct buf path = { 0 };
	bool known = false;

	if (cJSON_IsNull(v))
		return;
	const char *name = read_text(r, r->root, "", "reference", 500);
	if (!name)
		return;
	size_t len = strlen(name);
	for (size_t i = 0; i < sizeof(reference_kinds) / sizeof(*reference_kinds); i++) {
		size_t k = strlen(reference_kinds[i]);
		known = known || (len > k && strcmp(name + len - k, reference_kinds[i]) == 0);
	}
	if (!known) {
		problem_at(r, v, false,
		           "reference: a .py, .step, .stp, .stl or .glb file wanted, got \"%s\"",
		           name);
		return;
	}
	if (*name == '/' || strncmp(name, "../", 3) == 0 || strstr(name, "/../")) {
		problem_at(r, v, false,
		           "reference: a path inside the pack wanted, as \"references/%s.py\", got "
		           "\"%s\"",
		           t->id ? t->id : "ID", name);
		return;
	}
	const char *slash = strrchr(r->file, '/');
	if (slash)
		buf_add(&path, r->file, (size_t)(slash - r->file) + 1);
	buf_adds(&path, name);
	t->own_reference = buf_take(&path, NULL);
	t->reference = t->own_reference;
}

static void check_coverage(struct reader *r, const struct task *t)
{
	const cJSON *fact, *c, *k;

	cJSON_ArrayForEach(fact, t->expect)
	{
		bool covered = false;
		cJSON_ArrayForEach(c, t->checks) cJSON_ArrayForEach(k, get(c, "covers")) covered =
			covered || (cJSON_IsString(k) && strcmp(k->valuestring, fact->string) == 0);
		if (!covered)
			problem_at(
				r, fact, false,
				"expect.%.60s: no check covers it: name it under \"covers\" of the "
				"check that accounts for it",
				fact->string);
	}
}

static void read_covers(struct reader *r, const struct task *t, const cJSON *c, const char *id)
{
	const cJSON *covers = get(c, "covers"), *k;

	cJSON_ArrayForEach(k, covers) if (cJSON_IsString(k) && t->expect &&
	                                  !get(t->expect, k->valuestring))
		problem_at(r, k, false, "checks: %s: covers: expect has no \"%.60s\"", id,
	                   k->valuestring);
}

/* The field of the check @c that check_parse() speaks of, "check \"legs\": want: ...", so that its
 * line can be told; else the check. */
static const cJSON *blamed(const cJSON *c, const char *text)
{
	const char *after = strstr(text, ": ");
	const cJSON *v;

	cJSON_ArrayForEach(v, c)
	{
		size_t n = v->string ? strlen(v->string) : 0;
		if (n && after && strncmp(after + 2, v->string, n) == 0 &&
		    strchr(":[", after[2 + n]))
			return v;
	}
	return c;
}

/* What one check of its kind must have is checks_parse()'s; what it has to do with the others and
 * with the facts is ours. */
static void read_checks(struct reader *r, struct task *t, bool thorough)
{
	const cJSON *a = read_array(r, r->root, "checks", 0, CHECKS_MAX, "checks"), *c, *d;
	int i = 0;

	if (!a)
		return;
	t->checks = a;
	t->n_checks = cJSON_GetArraySize(a);
	cJSON_ArrayForEach(c, a)
	{
		const char *id = json_string_or(c, "id", NULL);
		char where[40];
		struct check parsed;
		struct err e;
		snprintf(where, sizeof(where), "checks[%d]", i);
		if (check_parse(&parsed, c, i++, &e) < 0)
			problem_at(r, blamed(c, e.text), false, "%s", e.text);
		if (!cJSON_IsObject(c))
			continue;
		if (id)
			for (d = a->child; d != c; d = d->next)
				if (strcmp(json_string_or(d, "id", ""), id) == 0)
					problem_at(r, c, false,
					           "%s: id: another check is \"%.60s\" too", where,
					           id);
		read_covers(r, t, c, id ? id : where);
	}
	/* what is not finished can be used all the same */
	bool bad = r->bad;
	if (thorough && t->expect)
		check_coverage(r, t);
	if (thorough && t->n_checks == 0)
		problem_at(r, a, false, "checks: none: nothing would be looked at");
	r->bad = bad;
}

/* The text as an object, or NULL and a problem. */
static cJSON *read_json(struct reader *r)
{
	struct err e;
	size_t at;

	if (!utf8_valid(r->text, r->len, &at)) {
		int line = 1;
		for (size_t i = 0; i < at; i++)
			line += r->text[i] == '\n';
		task_problem(r->problems, r->file, line, false, "byte 0x%02x is no UTF-8",
		             (unsigned char)r->text[at]);
		return NULL;
	}
	/* cJSON ends a string there without a word */
	for (size_t i = 0, backslashes = 0; i + 6 <= r->len; i++) {
		backslashes = r->text[i] == '\\' ? backslashes + 1 : 0;
		if (backslashes % 2 == 1 && strncmp(r->text + i, "\\u0000", 6) == 0) {
			int line = 1;
			for (size_t k = 0; k < i; k++)
				line += r->text[k] == '\n';
			task_problem(r->problems, r->file, line, false,
			             "\\u0000 in a text: no text has that character");
			return NULL;
		}
	}
	cJSON *v = json_parse_bounded(r->text, r->len, VALUES_MAX, &e);
	int line = 0, end = 0;
	if (!v) {
		/* it says its place in words */
		sscanf(e.text, "line %d,%n", &line, &end);
		task_problem(r->problems, r->file, line, false, "%s", e.text + (end ? end + 1 : 0));
		return NULL;
	}
	if (!cJSON_IsObject(v)) {
		task_problem(r->problems, r->file, 1, false, "an object wanted: { ... }");
		cJSON_Delete(v);
		return NULL;
	}
	return v;
}

void task_release(struct task *t)
{
	free((void *)t->hints);
	free((void *)t->dimensions);
	free(t->own_file);
	free(t->own_reference);
	free(t->own_pack);
	cJSON_Delete(t->json);
	*t = (struct task){ 0 };
}

int task_read(struct task *out, const char *text, size_t len, const char *file, bool thorough,
              struct task_problems *problems)
{
	static const char *const keys[] = {
		"format",         "id",          "level",      "family", "bbox_mm",
		"semantic_hints", "prompt",      "dimensions", "expect", "seed_box_over_height",
		"reference",      "orientation", "checks",     NULL
	};
	static const char *const orientations[] = { "free", "fixed" };
	struct reader r = { .file = file, .text = text, .len = len, .problems = problems };
	struct task t = { .json = read_json(&r), .pack = "" };

	if (!t.json)
		return -1;
	r.root = t.json;
	t.own_file = strdup(file);
	t.file = t.own_file;
	read_plain(&r, t.json, "");
	read_keys(&r, t.json, "", keys);
	read_format(&r, t.json, TASK_FORMAT);
	t.id = read_name(&r, t.json, "", "id", false);
	t.level = (enum task_level)read_word(&r, t.json, "level", levels, 3);
	t.family = read_text(&r, t.json, "", "family", 200);
	read_box(&r, t.json, "bbox_mm", t.bbox_mm);
	read_hints(&r, &t);
	t.prompt = read_text(&r, t.json, "", "prompt", TEXT_MAX);
	read_dimensions(&r, &t);
	read_expect(&r, &t);
	const cJSON *box = get(t.json, "seed_box_over_height");
	if (box && !cJSON_IsNull(box)) {
		read_box(&r, t.json, "seed_box_over_height", t.seed_box_over_height);
		t.has_seed_box = true;
	}
	read_reference(&r, &t);
	if (get(t.json, "orientation"))
		t.orientation = (enum task_orientation)read_word(&r, t.json, "orientation",
		                                                 orientations, 2);
	read_checks(&r, &t, thorough);
	if (thorough && !t.reference && cJSON_IsNull(get(t.json, "reference")))
		problem_at(&r, get(t.json, "reference"), true,
		           "reference: none, so that nothing can be compared with it");
	bool whole = t.file && (t.hints || r.bad) && (t.dimensions || r.bad) &&
	             (t.reference || r.bad || cJSON_IsNull(get(t.json, "reference")));
	if (!whole)
		task_problem(problems, file, 0, false, "out of memory");
	if (!whole || r.bad) {
		task_release(&t);
		return -1;
	}
	sha256_hex(text, len, t.hash);
	*out = t;
	return 0;
}

int task_parse(struct task *out, const char *text, size_t len, const char *file, struct err *e)
{
	struct task_problems p = { 0 };
	int rc = task_read(out, text, len, file, false, &p);

	if (rc < 0)
		first_error(&p, e);
	task_problems_release(&p);
	return rc;
}

/* ---- packs ---- */

static void pack_release(struct task_pack *p)
{
	free(p->dir);
	free(p->name);
	free(p->about);
	*p = (struct task_pack){ 0 };
}

void task_set_release(struct task_set *s)
{
	for (int i = 0; i < s->n; i++)
		task_release(&s->tasks[i]);
	free(s->tasks);
	for (int i = 0; i < s->n_packs; i++)
		pack_release(&s->packs[i]);
	free(s->packs);
	task_problems_release(&s->left_out);
	*s = (struct task_set){ 0 };
}

/* @e's words, which name the file first, without its name. */
static const char *without_name(const struct err *e, const char *file)
{
	size_t n = strlen(file);

	return strncmp(e->text, file, n) == 0 && strncmp(e->text + n, ": ", 2) == 0
	               ? e->text + n + 2
	               : e->text;
}

/* pack.json into @out. 0; -1 with an error among the problems. */
static int read_pack(struct task_pack *out, const char *dir, struct task_problems *problems)
{
	static const char *const keys[] = { "format", "name", "about", NULL };
	struct buf path = { 0 }, text = { 0 };
	struct err e;
	int rc = -1;

	buf_printf(&path, "%s/pack.json", dir);
	if (buf_read_file(&text, buf_str(&path), FILE_MAX, &e) < 0) {
		task_problem(problems, buf_str(&path), 0, false, "%s",
		             access(buf_str(&path), F_OK) != 0 && errno == ENOENT
		                     ? "a pack needs this file: {\"format\": \"" PACK_FORMAT
		                       "\", \"name\": \"...\", \"about\": \"...\"}"
		                     : without_name(&e, buf_str(&path)));
		goto out;
	}
	struct reader r = { .file = buf_str(&path),
		            .text = buf_str(&text),
		            .len = text.len,
		            .problems = problems };
	cJSON *v = read_json(&r);
	if (!v)
		goto out;
	r.root = v;
	read_plain(&r, v, "");
	read_keys(&r, v, "", keys);
	read_format(&r, v, PACK_FORMAT);
	const char *name = read_name(&r, v, "", "name", false),
		   *about = read_text(&r, v, "", "about", TEXT_MAX);
	if (!r.bad) {
		*out = (struct task_pack){ .dir = strdup(dir),
			                   .name = strdup(name),
			                   .about = strdup(about) };
		if (out->dir && out->name && out->about)
			rc = 0;
		else
			pack_release(out);
	}
	cJSON_Delete(v);
out:
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static void names_release(char **names, int n)
{
	for (int i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is in a folder, sorted, hidden files left out. The count; -1 with errno. */
static int names_of(const char *dir, char ***out)
{
	DIR *d = opendir(dir);
	char **names = NULL;
	int n = 0;

	if (!d)
		return -1;
	for (struct dirent *x; (x = readdir(d));) {
		if (x->d_name[0] == '.')
			continue;
		char **more = realloc(names, sizeof(*more) * (size_t)(n + 1));
		if (more)
			names = more;
		char *name = more ? strdup(x->d_name) : NULL;
		if (!name) {
			names_release(names, n);
			closedir(d);
			errno = ENOMEM;
			return -1;
		}
		names[n++] = name;
	}
	closedir(d);
	if (n)
		qsort(names, (size_t)n, sizeof(*names), by_name);
	*out = names;
	return n;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int add_task(struct task_set *s, struct task *t, const struct task_pack *pack)
{
	struct task *more =
		s->n < TASKS_MAX ? realloc(s->tasks, sizeof(*more) * (size_t)(s->n + 1)) : NULL;

	if (more)
		s->tasks = more;
	t->own_pack = strdup(pack->name);
	t->pack = t->own_pack;
	if (!more || !t->pack) {
		task_release(t);
		return -1;
	}
	s->tasks[s->n++] = *t;
	return 0;
}

/* A task file of a pack into @s. -1 when memory is out; a problem is none of that. */
static int load_task(struct task_set *s, const struct task_pack *pack, const char *name,
                     bool thorough, struct task_problems *problems)
{
	struct buf path = { 0 }, text = { 0 };
	struct task t;
	struct err e;
	int rc = 0;

	buf_printf(&path, "%s/%s", pack->dir, name);
	if (buf_read_file(&text, buf_str(&path), FILE_MAX, &e) < 0) {
		task_problem(problems, buf_str(&path), 0, false, "%s",
		             without_name(&e, buf_str(&path)));
	} else if (task_read(&t, buf_str(&text), text.len, buf_str(&path), thorough, problems) ==
	           0) {
		size_t stem = strlen(name) - strlen(".json");
		if (strlen(t.id) != stem || strncmp(t.id, name, stem) != 0) {
			task_problem(
				problems, t.file,
				json_line_of(buf_str(&text), text.len, t.json, get(t.json, "id")),
				false, "id: \"%.*s\" wanted, as the file is called, got \"%s\"",
				(int)stem, name, t.id);
			task_release(&t);
		} else {
			rc = add_task(s, &t, pack);
		}
	}
	if (buf_failed(&path))
		rc = -1;
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static int load_pack(struct task_set *s, const char *dir, int root, struct err *e)
{
	struct task_pack p, *more;
	char **names = NULL;
	int before = s->n, rc = 0;

	if (read_pack(&p, dir, &s->left_out) < 0)
		return 0;
	p.root = root;
	for (int i = 0; i < s->n_packs; i++)
		if (s->packs[i].root == root && strcmp(s->packs[i].name, p.name) == 0) {
			task_problem(&s->left_out, dir, 0, false,
			             "pack.json: name: %s is called \"%s\" too", s->packs[i].dir,
			             p.name);
			pack_release(&p);
			return 0;
		}
	int n = names_of(dir, &names);
	if (n < 0) {
		task_problem(&s->left_out, dir, 0, false, "cannot be read: %s", strerror(errno));
		pack_release(&p);
		return 0;
	}
	for (int i = 0; i < n && rc == 0; i++)
		if (ends_with(names[i], ".json") && strcmp(names[i], "pack.json") != 0)
			rc = load_task(s, &p, names[i], false, &s->left_out);
	names_release(names, n);
	p.n_tasks = s->n - before;
	more = rc == 0 ? realloc(s->packs, sizeof(*more) * (size_t)(s->n_packs + 1)) : NULL;
	if (!more) {
		pack_release(&p);
		return err_set(e, ERR_MEM, "no memory for the tasks of %s (%d are read)", dir,
		               s->n);
	}
	s->packs = more;
	s->packs[s->n_packs++] = p;
	return 0;
}

static int load_root(struct task_set *s, const char *dir, int root, struct err *e)
{
	char **names = NULL;
	int n = names_of(dir, &names), rc = 0, packs = 0;

	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0)
		return err_errno(e, errno == ENOMEM ? ERR_MEM : ERR_INPUT, "folder of tasks %s",
		                 dir);
	for (int i = 0; i < n && rc == 0; i++) {
		struct buf path = { 0 };
		bool other = false;
		for (size_t k = 0; k < sizeof(no_packs) / sizeof(*no_packs); k++)
			other = other || strcmp(names[i], no_packs[k]) == 0;
		buf_printf(&path, "%s/%s", dir, names[i]);
		if (buf_failed(&path))
			rc = err_set(e, ERR_MEM, "no memory for a path");
		else if (!other && is_dir(buf_str(&path)) && packs++ < PACKS_MAX)
			rc = load_pack(s, buf_str(&path), root, e);
		buf_release(&path);
	}
	names_release(names, n);
	return rc;
}

/* ---- a set ---- */

static int by_id(const void *a, const void *b)
{
	return strcmp((*(struct task *const *)a)->id, (*(struct task *const *)b)->id);
}

static int root_of(const struct task_set *s, const struct task *t)
{
	size_t n = strlen(t->file);

	for (int i = 0; i < s->n_packs; i++) {
		size_t k = strlen(s->packs[i].dir);
		if (n > k && strncmp(t->file, s->packs[i].dir, k) == 0 && t->file[k] == '/' &&
		    !strchr(t->file + k + 1, '/'))
			return s->packs[i].root;
	}
	return -1;
}

/* Of tasks with one id the first counts; the array is in the order of the roots. */
static int drop_doubles(struct task_set *s, struct err *e)
{
	struct task **p = calloc((size_t)s->n + 1, sizeof(*p));
	int kept = 0;

	if (!p)
		return err_set(e, ERR_MEM, "no memory for %d tasks", s->n);
	for (int i = 0; i < s->n; i++)
		p[i] = &s->tasks[i];
	qsort(p, (size_t)s->n, sizeof(*p), by_id);
	for (int i = 0, k; i < s->n; i = k) {
		struct task *first = p[i];
		for (k = i; k < s->n && strcmp(p[k]->id, p[i]->id) == 0; k++)
			if (p[k] < first)
				first = p[k];
		for (int d = i; d < k; d++) {
			if (p[d] == first)
				continue;
			if (root_of(s, p[d]) == root_of(s, first))
				task_problem(&s->left_out, p[d]->file, 0, false,
				             "id: %s has the same", first->file);
			for (int q = 0; q < s->n_packs; q++)
				if (strcmp(s->packs[q].name, p[d]->pack) == 0 &&
				    s->packs[q].root == root_of(s, p[d]))
					s->packs[q].n_tasks--;
			p[d]->n_hints = -1; /* to be dropped */
		}
	}
	free(p);
	for (int i = 0; i < s->n; i++) {
		if (s->tasks[i].n_hints < 0)
			task_release(&s->tasks[i]);
		else
			s->tasks[kept++] = s->tasks[i];
	}
	s->n = kept;
	return 0;
}

static int in_order(const void *a, const void *b)
{
	const struct task *x = a, *y = b;
	int d = strcmp(x->pack, y->pack);

	if (d == 0)
		d = (int)x->level - (int)y->level;
	return d ? d : strcmp(x->id, y->id);
}

int task_set_load(struct task_set *out, const char *const *dirs, int n_dirs, struct err *e)
{
	struct task_set s = { 0 };

	for (int i = 0; i < n_dirs; i++)
		if (load_root(&s, dirs[i], i, e) < 0)
			goto fail;
	if (drop_doubles(&s, e) < 0)
		goto fail;
	if (s.n)
		qsort(s.tasks, (size_t)s.n, sizeof(*s.tasks), in_order);
	*out = s;
	return 0;
fail:
	task_set_release(&s);
	return -1;
}

const struct task *task_find(const struct task_set *s, const char *id, struct err *e)
{
	const struct task *near = NULL;
	int best = INT_MAX;

	for (int i = 0; i < s->n; i++)
		if (strcmp(s->tasks[i].id, id) == 0)
			return &s->tasks[i];
	for (int i = 0; i < s->left_out.n; i++) {
		const struct task_problem *p = &s->left_out.v[i];
		const char *slash = strrchr(p->file, '/'), *name = slash ? slash + 1 : p->file;
		size_t n = strlen(id);
		if (n && strncmp(name, id, n) == 0 && strcmp(name + n, ".json") == 0) {
			struct buf line = { 0 };
			task_problem_print(&line, p);
			err_set(e, ERR_INPUT, "the task %s was left out: %s", id, buf_str(&line));
			buf_release(&line);
			return NULL;
		}
	}
	if (s->n == 0) {
		err_set(e, ERR_USAGE,
		        "no task is called \"%.80s\": no task was found at all; CADFORGE_TASKS names "
		        "the folder of the packs",
		        id);
		return NULL;
	}
	for (int i = 0; i < s->n; i++) {
		const char *name = s->tasks[i].id;
		int d = distance(id, name);
		/* The first word of an id is what people type. */
		if (*id && strstr(name, id) && d > 1)
			d = 1;
		if (d < best) {
			best = d;
			near = &s->tasks[i];
		}
	}
	if (near)
		err_set(e, ERR_USAGE,
		        "no task is called \"%s\"; the nearest is %s ('cadforge tasks' lists all)",
		        id, near->id);
	else
		err_set(e, ERR_USAGE,
		        "no task is called that: an id has at most %d letters ('cadforge tasks' "
		        "lists all)",
		        TASK_ID_MAX);
	return NULL;
}

/* ---- thoroughly ---- */

static void check_reference(const struct task *t, const char *text, size_t len,
                            struct task_problems *problems)
{
	struct stat st;
	int line = json_line_of(text, len, t->json, get(t->json, "reference"));
	const char *name = json_string_or(t->json, "reference", "");

	if (!t->reference)
		return;
	if (stat(t->reference, &st) < 0)
		task_problem(problems, t->file, line, false, "reference: %s: %s", name,
		             strerror(errno));
	else if (!S_ISREG(st.st_mode))
		task_problem(problems, t->file, line, false, "reference: %s is no regular file",
		             name);
	else if (st.st_size == 0 || st.st_size > REFERENCE_MAX)
		task_problem(problems, t->file, line, false,
		             "reference: %s: a file of 1 byte to 64 MiB wanted, got %lld bytes",
		             name, (long long)st.st_size);
	else if (access(t->reference, R_OK) < 0)
		task_problem(problems, t->file, line, false, "reference: %s: %s", name,
		             strerror(errno));
}

/* Files in references/ that no task names: left from something, or a name is misspelt. */
static void check_strays(const struct task_set *s, const char *dir, struct task_problems *problems)
{
	struct buf path = { 0 };
	char **names = NULL;

	buf_printf(&path, "%s/references", dir);
	int n = names_of(buf_str(&path), &names);
	for (int i = 0; i < n; i++) {
		struct buf one = { 0 };
		bool used = false;
		/* of a task that cannot be read nobody knows what it names */
		buf_printf(&one, "%s/%.*s.json", dir, (int)strcspn(names[i], "."), names[i]);
		used = access(buf_str(&one), F_OK) == 0;
		buf_clear(&one);
		buf_printf(&one, "%s/%s", buf_str(&path), names[i]);
		for (int k = 0; k < s->n; k++)
			used = used || (s->tasks[k].reference &&
			                strcmp(s->tasks[k].reference, buf_str(&one)) == 0);
		if (!used && !is_dir(buf_str(&one)))
			task_problem(problems, buf_str(&one), 0, true,
			             "no task names it as its reference");
		buf_release(&one);
	}
	if (n >= 0)
		names_release(names, n);
	buf_release(&path);
}

int task_pack_check(const char *dir, struct task_problems *problems, struct task_set *tasks,
                    struct err *e)
{
	struct task_set s = { 0 };
	struct task_pack p = { 0 };
	struct buf path = { 0 }, text = { 0 };
	char **names = NULL;
	int n = names_of(dir, &names), files = 0, rc = -1;
	struct err unreadable;

	if (n < 0)
		return err_errno(e, errno == ENOMEM ? ERR_MEM : ERR_INPUT, "pack %s", dir);
	bool named = read_pack(&p, dir, problems) == 0;
	if (!named) {
		/* its tasks are looked at all the same */
		p.dir = strdup(dir);
		p.name = strdup("");
	}
	if (!p.dir || !p.name)
		goto memory;
	for (int i = 0; i < n; i++) {
		buf_clear(&path);
		buf_printf(&path, "%s/%s", dir, names[i]);
		if (buf_failed(&path))
			goto memory;
		if (strcmp(names[i], "pack.json") == 0)
			continue;
		if (ends_with(names[i], ".json")) {
			files++;
			if (load_task(&s, &p, names[i], true, problems) < 0)
				goto memory;
		} else if (strcmp(names[i], "references") == 0) {
			if (!is_dir(buf_str(&path)))
				task_problem(problems, buf_str(&path), 0, false, "a folder wanted");
		} else if (strncmp(names[i], "README", 6) != 0 &&
		           strncmp(names[i], "LICENSE", 7) != 0) {
			task_problem(
				problems, buf_str(&path), 0, true,
				"no part of a pack: tasks are called ID.json, their references "
				"lie in references/");
		}
	}
	if (files == 0)
		task_problem(problems, dir, 0, false,
		             "no task in it: a file ID.json a task ('cadforge tasks new %s/ID' "
		             "writes one)",
		             dir);
	for (int i = 0; i < s.n; i++) {
		buf_clear(&text);
		if (buf_read_file(&text, s.tasks[i].file, FILE_MAX, &unreadable) == 0)
			check_reference(&s.tasks[i], buf_str(&text), text.len, problems);
	}
	check_strays(&s, dir, problems);
	if (tasks) {
		s.packs = calloc(1, sizeof(*s.packs));
		if (!s.packs)
			goto memory;
		p.n_tasks = s.n;
		s.packs[0] = p;
		s.n_packs = 1;
		p = (struct task_pack){ 0 };
		*tasks = s;
		s = (struct task_set){ 0 };
	}
	rc = 0;
	goto out;
memory:
	err_set(e, ERR_MEM, "no memory for the pack %s", dir);
out:
	names_release(names, n);
	buf_release(&text);
	buf_release(&path);
	pack_release(&p);
	task_set_release(&s);
	return rc;
}
