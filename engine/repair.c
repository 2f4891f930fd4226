#include "engine/repair.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"

static void add_one(struct buf *out, const cJSON *v)
{
	if (cJSON_IsNumber(v))
		buf_printf(out, "%.6g", v->valuedouble);
	else if (cJSON_IsString(v))
		buf_adds(out, v->valuestring);
	else if (cJSON_IsBool(v))
		buf_adds(out, cJSON_IsTrue(v) ? "yes" : "no");
	else
		buf_adds(out, "any");
}

void repair_value(struct buf *out, const cJSON *v)
{
	const cJSON *a = cJSON_IsArray(v) ? v->child : NULL, *b = a ? a->next : NULL;
	bool pair = b && !b->next && (cJSON_IsNumber(a) || cJSON_IsNumber(b)) &&
	            !cJSON_IsString(a) && !cJSON_IsString(b);

	if (!v || cJSON_IsNull(v)) {
		buf_adds(out, "-");
	} else if (pair) {
		if (!cJSON_IsNumber(a) || !cJSON_IsNumber(b))
			buf_adds(out, cJSON_IsNumber(a) ? "at least " : "at most ");
		add_one(out, cJSON_IsNumber(a) ? a : b);
		if (cJSON_IsNumber(a) && cJSON_IsNumber(b)) {
			buf_adds(out, " to ");
			add_one(out, b);
		}
	} else if (cJSON_IsArray(v)) {
		for (; a; a = a->next) {
			add_one(out, a);
			if (a->next)
				buf_adds(out, cJSON_IsString(a) ? ", " : " x ");
		}
	} else {
		add_one(out, v);
	}
}

/* ---- pieces of a turn as text ---- */

/* Where the line that holds byte @at begins. */
static size_t line_begin(const char *p, size_t at)
{
	while (at > 0 && p[at - 1] != '\n')
		at--;
	return at;
}

static int count_lines(const char *p, size_t n)
{
	int lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	return lines;
}

/* @p as clean text, to an empty @out; the length without line ends behind it. */
static size_t add_clean(struct buf *out, const char *p, size_t n)
{
	utf8_clean(out, p ? p : "", n);
	n = out->len;
	while (n > 0 && out->data[n - 1] == '\n')
		n--;
	return n;
}

/* Whole lines from both ends: the imports and the dimensions are at the top, the final object at
 * the bottom. */
static void add_program(struct buf *out, const char *p, size_t n)
{
	struct buf clean = { 0 };

	n = add_clean(&clean, p, n);
	p = buf_str(&clean);
	if (n <= REPAIR_PROGRAM_BYTES) {
		buf_add(out, p, n);
	} else {
		size_t head = line_begin(p, REPAIR_PROGRAM_BYTES * 2 / 3);
		size_t tail = n - REPAIR_PROGRAM_BYTES / 3;
		if (head == 0) /* one line of that length */
			head = REPAIR_PROGRAM_BYTES * 2 / 3;
		while (head > 0 && (p[head] & 0xc0) == 0x80)
			head--;
		size_t begin = line_begin(p, tail);
		/* the line that @tail is in is left out, unless it is all there is */
		if (begin < tail) {
			const char *nl = memchr(p + tail, '\n', n - tail);
			begin = nl ? (size_t)(nl - p) + 1 : tail;
		}
		while (begin < n && (p[begin] & 0xc0) == 0x80)
			begin++;
		buf_add(out, p, head);
		if (head > 0 && p[head - 1] != '\n')
			buf_addc(out, '\n');
		buf_printf(out, "# ... %d lines are left out here ...\n",
		           count_lines(p + head, begin - head));
		buf_add(out, p + begin, n - begin);
	}
	buf_release(&clean);
}

static void add_log(struct buf *out, const char *p, size_t n)
{
	struct buf clean = { 0 };

	n = add_clean(&clean, p, n);
	p = buf_str(&clean);
	size_t begin = 0;
	if (n > REPAIR_LOG_BYTES) {
		size_t tail = n - REPAIR_LOG_BYTES;
		const char *nl = memchr(p + tail, '\n', n - tail);
		begin = nl ? (size_t)(nl - p) + 1 : tail;
		while (begin < n && (p[begin] & 0xc0) == 0x80)
			begin++;
	}
	buf_add(out, p + begin, n - begin);
	buf_release(&clean);
}

/* What the check is called for people: its "about" in the task. */
static const char *about_of(const struct task *task, const char *id)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, task->checks)
	{
		const char *about = json_string_or(c, "about", "");
		if (strcmp(json_string_or(c, "id", ""), id) == 0 && *about)
			return about;
	}
	return id;
}

struct short_check {
	const cJSON *check;
	double cost;
	int place;
};

static int costlier(const void *a, const void *b)
{
	const struct short_check *x = a, *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? 1 : -1;
	return x->place - y->place;
}

static void add_checks_held(struct buf *out, const cJSON *checks)
{
	int held = 0, all = 0;
	const cJSON *c;

	cJSON_ArrayForEach(c, checks)
	{
		const cJSON *ok = cJSON_GetObjectItemCaseSensitive(c, "ok");
		held += cJSON_IsTrue(ok);
		all += cJSON_IsBool(ok);
	}
	if (all > 0)
		buf_printf(out, "%d of %d checks hold", held, all);
}

static void add_held_checks(struct buf *out, const struct task *task, const cJSON *checks)
{
	int held = 0;
	const cJSON *c;

	cJSON_ArrayForEach(c, checks)
	{
		if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "ok")))
			continue;
		if (++held <= REPAIR_CHECKS_MAX)
			buf_printf(out, "%s%s", held > 1 ? "; " : "",
			           about_of(task, json_string_or(c, "id", "check")));
	}
	if (held > REPAIR_CHECKS_MAX)
		buf_printf(out, "; and %d more", held - REPAIR_CHECKS_MAX);
}

/* The reward's figures that there are, as JSON: to the third decimal, since the rest would be read
 * for what it is not. */
static void add_reward(struct buf *out, const cJSON *reward)
{
	const cJSON *figures = cJSON_IsObject(reward) ? reward : NULL, *v;

	cJSON_ArrayForEach(v, figures)
	{
		if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble) ||
		    v->string[strspn(v->string, "abcdefghijklmnopqrstuvwxyz_")])
			continue;
		buf_printf(out, "%s\"%s\": %.3f", out->len ? ", " : "{", v->string, v->valuedouble);
	}
	if (out->len)
		buf_addc(out, '}');
}

static int add_failed_checks(struct buf *out, const struct task *task, const cJSON *checks,
                             struct err *e)
{
	int n = 0, all = cJSON_IsArray(checks) ? cJSON_GetArraySize(checks) : 0;
	struct short_check *v = calloc((size_t)all + 1, sizeof(*v));
	const cJSON *c;

	if (!v)
		return err_set(e, ERR_MEM, "no memory for %d checks", all);
	cJSON_ArrayForEach(c, checks) if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(c, "ok")))
	{
		v[n] = (struct short_check){ .check = c, .place = n };
		v[n++].cost = json_number_or(c, "weight", 1) * (1 - json_number_or(c, "score", 0));
	}
	qsort(v, (size_t)n, sizeof(*v), costlier);
	for (int i = 0; i < n && i < REPAIR_CHECKS_MAX; i++) {
		const char *why = json_string_or(v[i].check, "why", "");
		buf_printf(out, "%s- %s: wanted ", i ? "\n" : "",
		           about_of(task, json_string_or(v[i].check, "id", "check")));
		repair_value(out, cJSON_GetObjectItemCaseSensitive(v[i].check, "want"));
		buf_adds(out, ", got ");
		repair_value(out, cJSON_GetObjectItemCaseSensitive(v[i].check, "got"));
		if (*why)
			buf_printf(out, ". %s", why);
	}
	if (n > REPAIR_CHECKS_MAX)
		buf_printf(out, "\n- and %d more", n - REPAIR_CHECKS_MAX);
	free(v);
	return 0;
}

static void add_terms(struct buf *out, const cJSON *reward)
{
	static const struct {
		const char *name, *words;
	} terms[] = {
		{ "topology", "the solid is valid, closed, and as many solids as asked for" },
		{ "contact", "all solids touch each other and do not overlap" },
		{ "semantic_parts", "the task's checks hold" },
		{ "reference_similarity", "shape and size are those of the part wanted" },
		{ "silhouette", "the outlines are those of the part wanted" },
		{ "editability",
		  "named dimensions at the top drive the geometry; helper functions" },
		{ "efficiency", "no more faces and code than the part needs" },
	};
	enum { N = sizeof(terms) / sizeof(*terms) };
	bool told[N] = { false };

	for (int shown = 0; shown < N; shown++) {
		int lowest = -1;
		double low = REPAIR_TERM_LOW;
		for (int i = 0; i < N; i++) {
			double v = json_number_or(reward, terms[i].name, NAN);
			if (!told[i] && v < low) {
				low = v;
				lowest = i;
			}
		}
		if (lowest < 0)
			break;
		told[lowest] = true;
		buf_printf(out, "%s- %s %.3f of 1: %s", shown ? "\n" : "", terms[lowest].name, low,
		           terms[lowest].words);
	}
}

static void add_notes(struct buf *out, const cJSON *notes)
{
	const cJSON *note;

	cJSON_ArrayForEach(note, notes) if (cJSON_IsString(note))
		buf_printf(out, "%s- %s", out->len ? "\n" : "", note->valuestring);
}

static void add_limit(struct buf *out, const cJSON *limit)
{
	double allowed = json_number_or(limit, "limit", NAN),
	       used = json_number_or(limit, "used", NAN);

	if (!cJSON_IsObject(limit))
		return;
	buf_adds(out, json_string_or(limit, "name", "limit"));
	if (!isnan(allowed))
		buf_printf(out, ": %.6g allowed", allowed);
	if (!isnan(used))
		buf_printf(out, ", %.6g used", used);
}

/* ---- prompts ---- */

static enum build_class class_of(const cJSON *build)
{
	const char *name = json_string_or(build, "class", "");

	for (int c = 0; c < CLASS_COUNT; c++)
		if (strcmp(build_class_name((enum build_class)c), name) == 0)
			return (enum build_class)c;
	return CLASS_UNKNOWN_BUILD_FAILURE;
}

enum value {
	TURN,
	CLASS,
	LABEL,
	CAUSE,
	TOTAL,
	EXCEPTION,
	ERROR,
	LINE,
	SOURCE,
	LIMIT,
	CLIPPED,
	PROGRAM,
	LOG,
	NOTES,
	CHECKS,
	FAILED,
	TERMS,
	REWARD,
	HELD,
	VALUES
};

static int find_values(struct buf v[VALUES], const struct task *task, const struct repair_turn *t,
                       struct err *e)
{
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(t->score, "build");
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(t->score, "reward");
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(t->score, "checks");
	enum build_class cls = class_of(build);
	double total = json_number_or(reward, "total", NAN),
	       line = json_number_or(build, "line", 0);
	bool built = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(build, "ok"));

	buf_printf(&v[TURN], "%d", t->number);
	buf_adds(&v[CLASS], build_class_name(cls));
	buf_adds(&v[LABEL], build_class_label(cls));
	buf_adds(&v[CAUSE], json_string_or(build, "cause", ""));
	if (isnan(total))
		buf_adds(&v[TOTAL], "none");
	else
		buf_printf(&v[TOTAL], "%.3f", total);
	if (!built) {
		buf_adds(&v[EXCEPTION], json_string_or(build, "exception", ""));
		buf_adds(&v[ERROR], json_string_or(build, "error", ""));
		buf_adds(&v[SOURCE], json_string_or(build, "source", ""));
		if (line >= 1)
			buf_printf(&v[LINE], "%.0f", line);
	}
	add_limit(&v[LIMIT], cJSON_GetObjectItemCaseSensitive(build, "limit"));
	if (t->clipped)
		buf_adds(&v[CLIPPED],
		         "The answer was cut off before its end: write a shorter program.");
	add_program(&v[PROGRAM], t->program, t->program_len);
	add_log(&v[LOG], t->log, t->log_len);
	add_notes(&v[NOTES], cJSON_GetObjectItemCaseSensitive(t->score, "notes"));
	add_checks_held(&v[CHECKS], checks);
	add_terms(&v[TERMS], built ? reward : NULL);
	add_reward(&v[REWARD], reward);
	add_held_checks(&v[HELD], task, checks);
	return add_failed_checks(&v[FAILED], task, checks, e);
}

static int add_repair(struct buf *out, const struct prompt_set *set, const struct task *task,
                      const struct repair_turn *t, struct err *e)
{
	static const char *const names[VALUES] = {
		[TURN] = "turn",         [CLASS] = "class",
		[LABEL] = "class_label", [CAUSE] = "cause",
		[TOTAL] = "total",       [EXCEPTION] = "exception",
		[ERROR] = "error",       [LINE] = "line",
		[SOURCE] = "source",     [LIMIT] = "limit",
		[CLIPPED] = "clipped",   [PROGRAM] = "program",
		[LOG] = "log",           [NOTES] = "notes",
		[CHECKS] = "checks",     [FAILED] = "failed_checks",
		[TERMS] = "terms",       [REWARD] = "reward",
		[HELD] = "held_checks",
	};
	struct buf v[VALUES] = { 0 };
	struct prompt_value values[VALUES];
	int rc = find_values(v, task, t, e);

	for (int i = 0; i < VALUES; i++) {
		if (buf_failed(&v[i]) && rc == 0)
			rc = err_set(e, ERR_MEM, "no memory for a repair prompt");
		values[i] = (struct prompt_value){ names[i], buf_str(&v[i]) };
	}
	enum build_class cls = class_of(cJSON_GetObjectItemCaseSensitive(t->score, "build"));
	bool short_of = v[FAILED].len > 0 || v[TERMS].len > 0;
	/* what its class says is well, and yet it falls short */
	enum prompt_kind kind = cls == CLASS_BUILD_OK && short_of
	                                ? PROMPT_CHECKS
	                                : (enum prompt_kind)((int)PROMPT_REPAIR + (int)cls);
	if (rc == 0)
		rc = prompt_render(out, set, kind, values, VALUES, e);
	for (int i = 0; i < VALUES; i++)
		buf_release(&v[i]);
	return rc;
}

static void add_message(cJSON *list, const char *role, const struct buf *content)
{
	cJSON *m = cJSON_CreateObject();

	cJSON_AddStringToObject(m, "role", role);
	cJSON_AddStringToObject(m, "content", buf_str(content));
	cJSON_AddItemToArray(list, m);
}

cJSON *repair_messages(const struct prompt_set *set, const struct task *task,
                       const struct repair_turn *turn, struct err *e)
{
	struct buf system = { 0 }, user = { 0 };
	cJSON *list = NULL;

	if (prompt_system(&system, set, e) < 0 || prompt_task(&user, set, task, e) < 0)
		goto out;
	if (turn) {
		buf_adds(&user, "\n\n");
		if (add_repair(&user, set, task, turn, e) < 0)
			goto out;
	}
	if (buf_failed(&system) || buf_failed(&user)) {
		err_set(e, ERR_MEM, "no memory for a prompt");
		goto out;
	}
	list = cJSON_CreateArray();
	add_message(list, "system", &system);
	add_message(list, "user", &user);
out:
	buf_release(&system);
	buf_release(&user);
	return list;
}

void repair_text(struct buf *out, const cJSON *messages)
{
	const cJSON *m;
	bool first = true;

	cJSON_ArrayForEach(m, messages)
	{
		if (!first)
			buf_adds(out, "\n\n");
		first = false;
		buf_adds(out, json_string_or(m, "content", ""));
	}
	buf_addc(out, '\n');
}
