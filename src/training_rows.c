/*
 * training_rows.c - rows looked through, mixed, split and written.
 */
#include "src/training_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/extract.h"
#include "engine/failure.h"
#include "engine/repair.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"
#include "src/jsonl.h"
#include "src/near.h"

enum { EPISODES_AT_ONCE = 500 };

static const char *const names[ROW_DROPS] = {
	[ROW_NOT_JSON] = "not JSON",
	[ROW_NOT_UTF8] = "not UTF-8",
	[ROW_NO_MESSAGES] = "no messages",
	[ROW_BAD_MESSAGE] = "messages that are none",
	[ROW_EMPTY] = "empty completion",
	[ROW_DUPLICATE] = "duplicate",
	[ROW_NEAR_DUPLICATE] = "nearly a duplicate",
	[ROW_NO_OBJECT] = "no final object",
	[ROW_NOT_BUILT] = "does not build",
	[ROW_BELOW] = "total below the least",
	[ROW_NO_GAIN] = "repair without gain",
	[ROW_NOT_GRADED] = "not graded as asked",
	[ROW_NO_PROMPT] = "no prompt is known",
};

const char *row_drop_name(enum row_drop d)
{
	return names[d];
}

/* ---- what was left out ---- */

static void drop(struct training_rows *r, enum row_drop d, const char *where, const char *why)
{
	if (r->dropped[d]++)
		return;
	snprintf(r->first[d].where, sizeof(r->first[d].where), "%s", where);
	snprintf(r->first[d].why, sizeof(r->first[d].why), "%.199s", why ? why : "");
}

/* ---- one row ---- */

bool training_row_object(const char *program, size_t len)
{
	static const char *const final[] = {
		"fixture", "result", "model", "solid", "body", "part"
	};
	const char *end = program + len;

	for (const char *p = program; p < end;) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((line_end ? line_end : end) - p);
		for (size_t i = 0; i < sizeof(final) / sizeof(*final); i++) {
			size_t k = strlen(final[i]);
			if (n <= k || memcmp(p, final[i], k) != 0)
				continue;
			while (k < n && (p[k] == ' ' || p[k] == '\t'))
				k++;
			/* an annotation may stand between: fixture: cq.Workplane = ... */
			if (k < n && p[k] == ':' && (k = (size_t)strcspn(p, "=\n")) >= n)
				continue;
			if (k < n && p[k] == '=' && !(k + 1 < n && p[k + 1] == '='))
				return true;
		}
		if (memmem(p, n, "show_object(", 12))
			return true;
		if (!line_end)
			break;
		p = line_end + 1;
	}
	return false;
}

static void row_release(struct training_row *x)
{
	free(x->body);
	free(x->task);
	free(x->program);
	*x = (struct training_row){ 0 };
}

void training_rows_drop(struct training_rows *r, int i, enum row_drop d, const char *why)
{
	drop(r, d, r->row[i].where, why);
	row_release(&r->row[i]);
}

/* What a row is like before it is looked at. Texts are borrowed. */
struct offer {
	const char *where, *task, *completion, *kind;
	const cJSON *messages; /* or: */
	const char *text;
	bool repair, stored;
	double weight, from, until;
};

static char *hash_name(const cJSON *messages, const char *text)
{
	char hex[SHA256_HEX];
	const cJSON *m;

	if (messages)
		cJSON_ArrayForEach(m,
		                   messages) if (strcmp(json_string_or(m, "role", ""), "user") == 0)
		{
			text = json_string_or(m, "content", "");
			break;
		}
	sha256_hex(text ? text : "", text ? strlen(text) : 0, hex);
	return strdup(hex);
}

static int keep(struct training_rows *r, struct training_row *x, struct err *e)
{
	if (r->n == r->cap) {
		int cap = r->cap ? 2 * r->cap : 256;
		struct training_row *more = realloc(r->row, (size_t)cap * sizeof(*more));
		if (!more)
			return err_set(e, ERR_MEM, "no memory for %d rows", cap);
		r->row = more;
		r->cap = cap;
	}
	r->row[r->n++] = *x;
	*x = (struct training_row){ 0 };
	return 0;
}

static int take_offer(struct training_rows *r, const struct offer *f, struct err *e)
{
	struct training_row x = {
		.repair = f->repair, .stored = f->stored, .named = f->task, .text = f->text
	};
	struct extract program = { 0 };
	struct buf body = { 0 }, words = { 0 };
	const cJSON *m;
	int rc = -1, seen;

	r->read++;
	if (f->text)
		json_print(&body, &(cJSON){ .type = cJSON_String, .valuestring = (char *)f->text });
	else
		json_print(&body, f->messages);
	if (f->text)
		buf_adds(&words, f->text);
	else
		cJSON_ArrayForEach(m, f->messages)
		{
			buf_adds(&words, json_string_or(m, "content", ""));
			buf_addc(&words, '\n');
		}
	if (buf_failed(&body) || buf_failed(&words)) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	if (!f->text && !r->o.any_text) {
		if (extract_program(&program, EXTRACT_ANSWER, f->completion, strlen(f->completion),
		                    e) < 0)
			goto out;
		if (!training_row_object(buf_str(&program.program), program.program.len)) {
			drop(r, ROW_NO_OBJECT, f->where,
			     "no line assigns fixture, and show_object is not called");
			rc = 0;
			goto out;
		}
		x.program = strdup(buf_str(&program.program));
	}
	seen = near_seen_key(r->seen, near_hash(NEAR_START, body.data, body.len));
	if (seen == 1) {
		drop(r, ROW_DUPLICATE, f->where, NULL);
		rc = 0;
		goto out;
	}
	if (seen == 0 && r->o.near > 0) {
		seen = near_seen_text(r->seen, buf_str(&words), words.len, r->o.near);
		if (seen == 1) {
			drop(r, ROW_NEAR_DUPLICATE, f->where, NULL);
			rc = 0;
			goto out;
		}
	}
	x.body = buf_take(&body, NULL);
	x.task = f->task ? strdup(f->task) : hash_name(f->messages, f->text);
	x.from = f->from;
	x.until = f->until;
	x.weight = f->weight * (f->repair ? r->o.repair_weight : r->o.program_weight);
	snprintf(x.where, sizeof(x.where), "%s", f->where);
	if (seen < 0 || !x.body || !x.task) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	rc = keep(r, &x, e);
out:
	row_release(&x);
	extract_release(&program);
	buf_release(&body);
	buf_release(&words);
	return rc;
}

/* ---- files ---- */

static bool says_repair(const cJSON *o, const cJSON *messages)
{
	const char *kind = json_string_or(o, "kind", ""), *cls = json_string_or(o, "class", "");
	const cJSON *m;
	int answers = 0;

	if (json_bool_or(o, "repair", false) || strstr(kind, "repair"))
		return true;
	if (*cls && strcmp(cls, build_class_name(CLASS_BUILD_OK)) != 0)
		return true;
	cJSON_ArrayForEach(m, messages) answers +=
		strcmp(json_string_or(m, "role", ""), "assistant") == 0;
	return answers > 1;
}

static cJSON *messages_of(const struct jsonl_completion *c)
{
	const cJSON *given = cJSON_GetObjectItemCaseSensitive(c->json, "messages"), *x;
	const cJSON *from = cJSON_IsArray(given) ? given : c->prompt;
	cJSON *list = cJSON_CreateArray(), *m;

	/* role and content alone: what else a stranger put there is none of the template's */
	cJSON_ArrayForEach(x, from)
	{
		m = cJSON_CreateObject();
		cJSON_AddStringToObject(m, "role", json_string_or(x, "role", ""));
		cJSON_AddStringToObject(m, "content", json_string_or(x, "content", ""));
		cJSON_AddItemToArray(list, m);
	}
	if (!cJSON_IsArray(given)) {
		m = cJSON_CreateObject();
		cJSON_AddStringToObject(m, "role", "assistant");
		cJSON_AddStringToObject(m, "content", c->completion);
		cJSON_AddItemToArray(list, m);
	}
	return list;
}

static bool only_blanks(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

static int file_line(struct training_rows *r, const char *where, const char *line, size_t len,
                     struct err *e)
{
	struct jsonl_completion c = { 0 };
	struct err why = { 0 };
	cJSON *o, *messages = NULL;
	int rc = 0;

	if (!utf8_valid(line, len, NULL)) {
		r->read++;
		drop(r, ROW_NOT_UTF8, where, NULL);
		return 0;
	}
	o = json_parse(line, len, &why);
	if (!o) {
		r->read++;
		drop(r, ROW_NOT_JSON, where, why.text);
		return 0;
	}
	double weight = json_number_or(o, "weight", 1);
	double from = json_number_or(o, "from", NAN), until = json_number_or(o, "until", NAN);
	const char *text = json_string_or(o, "text", NULL);
	const char *task = json_string_or(o, "task", json_string_or(o, "task_id", NULL));
	if (text && !cJSON_HasObjectItem(o, "messages") && !cJSON_HasObjectItem(o, "completion")) {
		if (only_blanks(text)) {
			r->read++;
			drop(r, ROW_EMPTY, where, NULL);
		} else {
			rc = take_offer(r,
			                &(struct offer){ .where = where,
			                                 .task = task,
			                                 .text = text,
			                                 .weight = weight,
			                                 .from = from,
			                                 .until = until },
			                e);
		}
	} else if (!cJSON_HasObjectItem(o, "messages") && !cJSON_HasObjectItem(o, "completion")) {
		r->read++;
		drop(r, ROW_NO_MESSAGES, where,
		     "\"messages\", \"prompt\" and \"completion\", or \"text\" were expected");
	} else if (!(weight > 0) || !isfinite(weight)) {
		r->read++;
		drop(r, ROW_BAD_MESSAGE, where, "weight: a number above 0 was expected");
	} else if (jsonl_completion_parse(&c, line, len, &why) < 0) {
		r->read++;
		drop(r, strstr(why.text, "empty list") ? ROW_NO_MESSAGES : ROW_BAD_MESSAGE, where,
		     why.text);
	} else if (only_blanks(c.completion)) {
		r->read++;
		drop(r, ROW_EMPTY, where, NULL);
	} else if (!cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(o, "messages")) && !c.prompt) {
		r->read++;
		drop(r, ROW_NO_PROMPT, where, "there is a completion, and no prompt");
	} else {
		messages = messages_of(&c);
		rc = take_offer(r,
		                &(struct offer){ .where = where,
		                                 .task = c.task,
		                                 .messages = messages,
		                                 .completion = c.completion,
		                                 .repair = says_repair(o, messages),
		                                 .weight = weight,
		                                 .from = from,
		                                 .until = until },
		                e);
	}
	cJSON_Delete(messages);
	jsonl_completion_release(&c);
	cJSON_Delete(o);
	return rc;
}

int training_rows_file(struct training_rows *r, const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");
	const char *base = strrchr(path, '/');
	char *line = NULL, where[160];
	size_t cap = 0;
	ssize_t len;
	int n = 0, rc = 0;

	if (!f)
		return err_errno(e, ERR_INPUT, "%s", path);
	while (rc == 0 && (len = getline(&line, &cap, f)) >= 0) {
		n++;
		while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = '\0';
		if (jsonl_blank(line, (size_t)len))
			continue;
		snprintf(where, sizeof(where), "%.120s:%d", base ? base + 1 : path, n);
		if (len > JSONL_LINE_MAX) {
			r->read++;
			drop(r, ROW_NOT_JSON, where, "the line is longer than 32 MiB");
		} else {
			rc = file_line(r, where, line, (size_t)len, e);
		}
	}
	if (rc == 0 && ferror(f))
		rc = err_errno(e, ERR_INPUT, "%s: reading", path);
	free(line);
	fclose(f);
	return rc;
}

/* ---- the store's own ---- */

struct listing {
	struct training_rows *r;
	struct store *s;
	const struct store_filter *f;
	struct err *e;
	int64_t *id;
	char (*task)[128];
	int n;
	int64_t last;
	/* of one episode */
	int64_t episode;
	const char *task_name;
	int grade[4096];
	int rc;
};

static int see_episode(void *ctx, const struct store_episode *x)
{
	struct listing *l = ctx;

	l->last = x->id;
	snprintf(l->task[l->n], sizeof(l->task[l->n]), "%s", x->task);
	l->id[l->n++] = x->id;
	return 0;
}

static int see_grade(void *ctx, const struct store_judgement *j)
{
	struct listing *l = ctx;

	/* oldest first: the last with a grade is in force, of each judge; of several the best */
	if (j->grade >= 0 && j->turn > 0 && j->turn < 4096)
		l->grade[j->turn] = l->r->o.judge || j->grade > l->grade[j->turn]
		                            ? j->grade
		                            : l->grade[j->turn];
	return 0;
}

static cJSON *turn_messages(struct listing *l, const struct store_turn *t, struct err *e)
{
	struct buf text = { 0 };
	struct err gone = { 0 };
	cJSON *list = NULL;
	const struct task *task;

	if (store_artifact(l->s, l->episode, t->number, "prompt.json", &text, &gone) == 0)
		list = json_parse(buf_str(&text), text.len, &gone);
	buf_release(&text);
	if (cJSON_IsArray(list) && cJSON_GetArraySize(list) > 0)
		return list;
	cJSON_Delete(list);
	if (!l->r->o.prompts || !l->r->o.tasks || t->parent ||
	    !(task = task_find(l->r->o.tasks, l->task_name, &gone)))
		return NULL;
	(void)e;
	return repair_messages(l->r->o.prompts, task, NULL, NULL);
}

static int see_turn(void *ctx, const struct store_turn *t)
{
	struct listing *l = ctx;
	struct training_rows *r = l->r;
	const struct training_rows_options *o = &r->o;
	struct buf program = { 0 }, clean = { 0 };
	struct err gone = { 0 };
	cJSON *messages = NULL, *answer;
	char where[64], why[64];
	int reason = -1;

	if ((l->f->model && (!t->model || strcmp(t->model, l->f->model) != 0)) ||
	    (l->f->adapter && (!t->adapter || strcmp(t->adapter, l->f->adapter) != 0)))
		return 0;
	snprintf(where, sizeof(where), "%lld.%d", (long long)l->episode, t->number);
	snprintf(why, sizeof(why), "%.4f", t->total);
	if (!t->built) {
		reason = ROW_NOT_BUILT;
		snprintf(why, sizeof(why), "%s", t->class_name ? t->class_name : "");
	} else if (!(t->total >= o->min)) {
		reason = ROW_BELOW;
	} else if (t->parent && !(t->total - t->parent_total >= o->margin)) {
		reason = ROW_NO_GAIN;
	} else if (o->grade >= 0 && (t->number >= 4096 || l->grade[t->number] < o->grade)) {
		reason = ROW_NOT_GRADED;
	} else if (store_artifact(l->s, l->episode, t->number, "program.py", &program, &gone) < 0 ||
	           program.len == 0) {
		reason = ROW_EMPTY;
	} else if (!(messages = turn_messages(l, t, l->e))) {
		reason = ROW_NO_PROMPT;
	}
	if (reason >= 0) {
		r->read++;
		drop(r, (enum row_drop)reason, where, why);
	} else {
		jsonl_text(&clean, buf_str(&program), program.len);
		answer = cJSON_CreateObject();
		cJSON_AddStringToObject(answer, "role", "assistant");
		cJSON_AddStringToObject(answer, "content", buf_str(&clean));
		cJSON_AddItemToArray(messages, answer);
		l->rc = take_offer(r,
		                   &(struct offer){ .where = where,
		                                    .task = l->task_name,
		                                    .messages = messages,
		                                    .completion = buf_str(&clean),
		                                    .repair = t->parent > 0,
		                                    .stored = true,
		                                    .weight = 1,
		                                    .from = NAN,
		                                    .until = NAN },
		                   l->e);
	}
	cJSON_Delete(messages);
	buf_release(&program);
	buf_release(&clean);
	return l->rc < 0;
}

int training_rows_store(struct training_rows *r, struct store *s, const struct store_filter *f,
                        struct err *e)
{
	struct listing *l = calloc(1, sizeof(*l));
	bool more = true;
	int rc = -1;

	if (!l)
		return err_set(e, ERR_MEM, "out of memory");
	*l = (struct listing){ .r = r, .s = s, .f = f, .e = e };
	l->id = calloc(EPISODES_AT_ONCE, sizeof(*l->id));
	l->task = calloc(EPISODES_AT_ONCE, sizeof(*l->task));
	if (!l->id || !l->task) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	while (more) {
		l->n = 0;
		if (store_episodes(s, f, l->last, EPISODES_AT_ONCE, see_episode, l, &more, e) < 0)
			goto out;
		for (int i = 0; i < l->n; i++) {
			l->episode = l->id[i];
			l->task_name = l->task[i];
			memset(l->grade, -1, sizeof(l->grade));
			if (r->o.grade >= 0 && store_judgements(s, l->episode, 0, NULL, r->o.judge,
			                                        see_grade, l, e) < 0)
				goto out;
			if (store_turns(s, l->episode, see_turn, l, e) < 0 || l->rc < 0)
				goto out;
		}
	}
	rc = 0;
out:
	free(l->id);
	free(l->task);
	free(l);
	return rc;
}

/* ---- the split ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct training_part *)a)->name,
	              ((const struct training_part *)b)->name);
}

static int by_key(const void *pa, const void *pb)
{
	const struct training_part *a = pa, *b = pb;

	if (a->held != b->held)
		return a->held ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key ? 1 : strcmp(a->name, b->name);
}

int training_hold_out(struct training_part *v, int n, double share, uint64_t seed)
{
	int held = (int)lround(share * n), all = 0;

	if (held == 0 && share > 0 && n > 1)
		held = 1;
	for (int i = 0; i < n; i++)
		v[i].key = near_mix(near_hash(near_mix(seed + 1), v[i].name, strlen(v[i].name)));
	qsort(v, (size_t)n, sizeof(*v), by_key);
	for (int i = 0; i < n && i < held; i++)
		v[i].held = true;
	for (int i = 0; i < n; i++)
		all += v[i].held;
	qsort(v, (size_t)n, sizeof(*v), by_name);
	return all;
}

static int nothing_left(const struct training_rows *r, struct err *e)
{
	struct buf why = { 0 };

	for (int i = 0; i < ROW_DROPS; i++)
		if (r->dropped[i])
			buf_printf(&why, "%s%d %s (%s)", why.len ? ", " : "", r->dropped[i],
			           names[i], r->first[i].where);
	err_set(e, ERR_INPUT, "of %d rows none is left to learn from%s%.380s", r->read,
	        why.len ? ": " : "", buf_str(&why));
	buf_release(&why);
	return -1;
}

int training_rows_split(struct training_rows *r, struct err *e)
{
	struct training_part *part = calloc((size_t)r->n + 1, sizeof(*part));
	int n = 0, kept = 0;

	if (!part)
		return err_set(e, ERR_MEM, "out of memory");
	for (int i = 0; i < r->n; i++)
		if (r->row[i].body)
			r->row[kept++] = r->row[i];
	r->n = kept;
	if (r->n == 0) {
		free(part);
		return nothing_left(r, e);
	}
	for (int i = 0; i < r->n; i++)
		part[i].name = r->row[i].task;
	qsort(part, (size_t)r->n, sizeof(*part), by_name);
	for (int i = 0; i < r->n; i++)
		if (n == 0 || strcmp(part[n - 1].name, part[i].name) != 0)
			part[n++] = part[i];
	for (int i = 0; i < n; i++)
		for (int k = 0; k < r->o.n_held_tasks; k++)
			part[i].held |= strcmp(part[i].name, r->o.held_tasks[k]) == 0;
	r->held_tasks = training_hold_out(part, n, r->o.held_out, r->o.seed);
	r->tasks = n;
	r->train = r->eval = r->programs = r->repairs = 0;
	r->weighted = 0;
	for (int i = 0; i < r->n; i++) {
		struct training_row *x = &r->row[i];
		const struct training_part key = { .name = x->task };
		const struct training_part *p =
			bsearch(&key, part, (size_t)n, sizeof(*part), by_name);
		x->held = p->held;
		r->eval += x->held;
		if (x->held)
			continue;
		r->train++;
		r->weighted += x->weight;
		*(x->repair ? &r->repairs : &r->programs) += 1;
	}
	free(part);
	if (r->train == 0)
		return err_set(e, ERR_INPUT,
		               "all %d tasks are held out: lower --held-out (%g), or give rows of "
		               "more tasks",
		               r->tasks, r->o.held_out);
	return 0;
}

static int write_part(const struct training_rows *r, const char *dir, const char *name, bool held,
                      struct err *e)
{
	struct buf path = { 0 }, out = { 0 };
	int rc = -1;

	buf_printf(&path, "%s/%s", dir, name);
	for (int i = 0; i < r->n; i++) {
		const struct training_row *x = &r->row[i];
		cJSON *rest;
		struct buf text = { 0 };
		if (x->held != held)
			continue;
		rest = cJSON_CreateObject();
		/* weights make a mix: of what is held out each row counts once */
		cJSON_AddNumberToObject(rest, "weight", held ? 1 : x->weight);
		json_add_text(rest, "task", x->named ? x->task : NULL);
		cJSON_AddStringToObject(rest, "kind",
		                        x->text     ? "text"
		                        : x->repair ? "repair"
		                                    : "program");
		cJSON_AddStringToObject(rest, "row", x->where);
		if (isfinite(x->from))
			cJSON_AddNumberToObject(rest, "from", x->from);
		if (isfinite(x->until))
			cJSON_AddNumberToObject(rest, "until", x->until);
		json_print(&text, rest);
		cJSON_Delete(rest);
		buf_printf(&out, "{\"%s\":", x->text ? "text" : "messages");
		buf_adds(&out, x->body);
		buf_addc(&out, ',');
		buf_adds(&out, buf_str(&text) + (text.len > 0));
		buf_addc(&out, '\n');
		buf_release(&text);
	}
	if (buf_failed(&path) || buf_failed(&out))
		err_set(e, ERR_MEM, "out of memory");
	else
		rc = file_write_atomic(path.data, buf_str(&out), out.len, e);
	buf_release(&path);
	buf_release(&out);
	return rc;
}

int training_rows_write(const struct training_rows *r, const char *dir, struct err *e)
{
	if (write_part(r, dir, "train.jsonl", false, e) < 0)
		return -1;
	return r->eval ? write_part(r, dir, "eval.jsonl", true, e) : 0;
}

cJSON *training_rows_report(const struct training_rows *r)
{
	cJSON *o = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(o, "read", r->read);
	cJSON_AddNumberToObject(o, "kept", r->n);
	cJSON_AddNumberToObject(o, "train", r->train);
	cJSON_AddNumberToObject(o, "eval", r->eval);
	cJSON_AddNumberToObject(o, "tasks", r->tasks);
	cJSON_AddNumberToObject(o, "held_tasks", r->held_tasks);
	cJSON_AddNumberToObject(o, "programs", r->programs);
	cJSON_AddNumberToObject(o, "repairs", r->repairs);
	cJSON_AddNumberToObject(o, "weighted", r->weighted);
	list = cJSON_AddArrayToObject(o, "dropped");
	for (int i = 0; i < ROW_DROPS; i++) {
		cJSON *d;
		struct buf first = { 0 };
		if (!r->dropped[i])
			continue;
		d = cJSON_CreateObject();
		cJSON_AddStringToObject(d, "reason", names[i]);
		cJSON_AddNumberToObject(d, "count", r->dropped[i]);
		buf_printf(&first, "%s%s%s", r->first[i].where, r->first[i].why[0] ? ": " : "",
		           r->first[i].why);
		cJSON_AddStringToObject(d, "first", buf_str(&first));
		buf_release(&first);
		cJSON_AddItemToArray(list, d);
	}
	return o;
}

/* ---- its life ---- */

void training_rows_usual(struct training_rows_options *o)
{
	*o = (struct training_rows_options){ .near = 0.95,
		                             .program_weight = 1,
		                             .repair_weight = 1,
		                             .held_out = 0.1,
		                             .min = 0.6,
		                             .margin = 0.001,
		                             .grade = -1 };
}

int training_rows_open(struct training_rows *r, const struct training_rows_options *o,
                       struct err *e)
{
	*r = (struct training_rows){ .o = *o };
	r->seen = near_seen_open();
	return r->seen ? 0 : err_set(e, ERR_MEM, "out of memory");
}

void training_rows_close(struct training_rows *r)
{
	for (int i = 0; i < r->n; i++)
		row_release(&r->row[i]);
	free(r->row);
	near_seen_close(r->seen);
	*r = (struct training_rows){ 0 };
}
