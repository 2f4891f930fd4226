#include "engine/task.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX  (16u << 20)
#define TASKS_MAX 10000
#define HINTS_MAX 100
#define TEXT_MAX  20000
#define ID_MAX    63
#define FORMAT    "cadforge-tasks-1"

static const char *const levels[] = { "easy", "medium", "hard" };

const char *task_level_name(enum task_level l)
{
	return levels[l];
}

void task_pack_release(struct task_pack *p)
{
	for (int i = 0; i < p->n; i++)
		free((void *)p->tasks[i].hints);
	free(p->tasks);
	cJSON_Delete(p->json);
	*p = (struct task_pack){ 0 };
}

/* cJSON takes any number of equal keys and gives the first; a task with two of one is a mistake. */
static int check_keys(const cJSON *o, const char *const *known, struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, o)
	{
		int i = 0;
		while (known[i] && strcmp(known[i], v->string) != 0)
			i++;
		if (!known[i])
			return err_set(e, ERR_INPUT, "%.60s: no such key", v->string);
		if (cJSON_GetObjectItemCaseSensitive(o, v->string) != v)
			return err_set(e, ERR_INPUT, "%s: the key is there twice", v->string);
	}
	return 0;
}

static int get_text(const cJSON *o, const char *key, size_t max, const char **out, struct err *e)
{
	if (json_get_string(o, key, out, e) < 0)
		return -1;
	if (**out == 0 || strlen(*out) > max)
		return err_set(e, ERR_INPUT, "%s: 1 to %zu bytes wanted, got %zu", key, max,
		               strlen(*out));
	return 0;
}

static int get_box(const cJSON *o, const char *key, double out[3], struct err *e)
{
	if (json_get_numbers(o, key, out, 3, e) < 0)
		return -1;
	for (int c = 0; c < 3; c++)
		if (!(out[c] > 0 && out[c] <= 1e7))
			return err_set(e, ERR_INPUT, "%s[%d]: a length above 0 wanted, got %g", key,
			               c, out[c]);
	return 0;
}

static int get_id(const cJSON *o, const char **out, struct err *e)
{
	if (get_text(o, "id", ID_MAX, out, e) < 0)
		return -1;
	if ((*out)[strspn(*out, "abcdefghijklmnopqrstuvwxyz0123456789_")])
		return err_set(e, ERR_INPUT,
		               "id: letters a-z, digits and underscores wanted, got \"%s\"", *out);
	return 0;
}

static int get_level(const cJSON *o, enum task_level *out, struct err *e)
{
	const char *name;

	if (json_get_string(o, "level", &name, e) < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		if (strcmp(name, levels[i]) == 0) {
			*out = (enum task_level)i;
			return 0;
		}
	return err_set(e, ERR_INPUT, "level: easy, medium or hard wanted, got \"%.40s\"", name);
}

static int get_hints(const cJSON *o, struct task *t, struct err *e)
{
	const cJSON *a = cJSON_GetObjectItemCaseSensitive(o, "semantic_hints"), *v;
	int n = cJSON_IsArray(a) ? cJSON_GetArraySize(a) : 0;

	if (n < 1 || n > HINTS_MAX)
		return err_set(e, ERR_INPUT, "semantic_hints: an array of 1 to %d words wanted",
		               HINTS_MAX);
	const char **hints = calloc((size_t)n, sizeof(*hints));
	if (!hints)
		return err_set(e, ERR_MEM, "no memory for %d hints", n);
	t->hints = hints;
	cJSON_ArrayForEach(v, a)
	{
		if (!cJSON_IsString(v) || v->valuestring[0] == 0)
			return err_set(e, ERR_INPUT, "semantic_hints[%d]: a word wanted",
			               t->n_hints);
		hints[t->n_hints++] = v->valuestring;
	}
	return 0;
}

static int get_task(struct task *t, const cJSON *o, struct err *e)
{
	static const char *const keys[] = { "id",
		                            "level",
		                            "family",
		                            "bbox_mm",
		                            "semantic_hints",
		                            "prompt",
		                            "expect",
		                            "seed_box_over_height",
		                            NULL };

	if (!cJSON_IsObject(o))
		return err_set(e, ERR_INPUT, "an object wanted");
	if (check_keys(o, keys, e) < 0 || get_id(o, &t->id, e) < 0)
		return -1;
	if (get_level(o, &t->level, e) < 0 || get_text(o, "family", 200, &t->family, e) < 0 ||
	    get_box(o, "bbox_mm", t->bbox_mm, e) < 0 || get_hints(o, t, e) < 0 ||
	    get_text(o, "prompt", TEXT_MAX, &t->prompt, e) < 0 ||
	    get_box(o, "seed_box_over_height", t->seed_box_over_height, e) < 0)
		return err_wrap(e, "%s", t->id);
	t->expect = cJSON_GetObjectItemCaseSensitive(o, "expect");
	if (!cJSON_IsObject(t->expect))
		return err_set(e, ERR_INPUT, "%s: expect: an object wanted", t->id);
	return 0;
}

int task_pack_parse(struct task_pack *out, const char *text, size_t len, const char *name,
                    struct err *e)
{
	static const char *const keys[] = { "format", "about", "tasks", NULL };
	struct task_pack p = { .json = json_parse(text, len, e) };
	const char *format;
	const cJSON *v;

	if (!p.json)
		goto fail;
	if (!cJSON_IsObject(p.json)) {
		err_set(e, ERR_INPUT, "an object with \"format\" and \"tasks\" wanted");
		goto fail;
	}
	if (check_keys(p.json, keys, e) < 0 || json_get_string(p.json, "format", &format, e) < 0)
		goto fail;
	if (strcmp(format, FORMAT) != 0) {
		err_set(e, ERR_INPUT, "format: \"%s\" wanted, got \"%.40s\"", FORMAT, format);
		goto fail;
	}
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(p.json, "tasks");
	int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
	if (n < 1 || n > TASKS_MAX) {
		err_set(e, ERR_INPUT, "tasks: an array of 1 to %d tasks wanted", TASKS_MAX);
		goto fail;
	}
	p.tasks = calloc((size_t)n, sizeof(*p.tasks));
	if (!p.tasks) {
		err_set(e, ERR_MEM, "no memory for %d tasks", n);
		goto fail;
	}
	cJSON_ArrayForEach(v, list)
	{
		int i = p.n++; /* counted at once: released with the pack */
		if (get_task(&p.tasks[i], v, e) < 0) {
			err_wrap(e, "tasks[%d]", i);
			goto fail;
		}
		for (int k = 0; k < i; k++)
			if (strcmp(p.tasks[k].id, p.tasks[i].id) == 0) {
				err_set(e, ERR_INPUT, "tasks[%d]: id: tasks[%d] is \"%s\" too", i,
				        k, p.tasks[i].id);
				goto fail;
			}
	}
	*out = p;
	return 0;
fail:
	task_pack_release(&p);
	return err_wrap(e, "%s", name);
}

int task_pack_load(struct task_pack *out, const char *dir, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	int rc = -1;

	buf_printf(&path, "%s/cadforge/tasks.json", dir);
	if (buf_failed(&path))
		err_set(e, ERR_MEM, "no memory for a path");
	else if (buf_read_file(&text, buf_str(&path), FILE_MAX, e) == 0)
		rc = task_pack_parse(out, buf_str(&text), text.len, buf_str(&path), e);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

/* Edits (insert, delete, replace a character) from one id to another. */
static int distance(const char *a, const char *b)
{
	int row[ID_MAX + 1], n = (int)strlen(b);

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

const struct task *task_find(const struct task_pack *p, const char *id, struct err *e)
{
	const struct task *near = NULL;
	int best = ID_MAX + 1;

	for (int i = 0; i < p->n; i++)
		if (strcmp(p->tasks[i].id, id) == 0)
			return &p->tasks[i];
	if (strlen(id) > ID_MAX) {
		err_set(e, ERR_USAGE,
		        "no task is called that; tasks/cadforge/tasks.json has them all");
		return NULL;
	}
	for (int i = 0; i < p->n; i++) {
		const char *name = p->tasks[i].id;
		int d = distance(id, name);
		/* The first word of an id is what people type. */
		if (*id && strstr(name, id) && d > 1)
			d = 1;
		if (d < best) {
			best = d;
			near = &p->tasks[i];
		}
	}
	err_set(e, ERR_USAGE,
	        "no task is called \"%s\"; the nearest is %s (tasks/cadforge/tasks.json has them all)",
	        id, near ? near->id : "none");
	return NULL;
}
