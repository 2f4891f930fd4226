/*
 * contamination.c - what was learnt, read from where it lies, against the words of tasks.
 */
#include "src/contamination.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/repair.h"
#include "src/base/utf8.h"
#include "src/jsonl.h"
#include "src/near.h"

enum { WORDS_LEAST = 16, FILE_MAX = 64 << 20, DEPTH_MAX = 16 };
#define FORMAT "cadforge-learnt-1"

/* A text that must not have been learnt. */
struct owner {
	int task;
	enum learnt how;
	uint64_t same;
	int shingles; /* different ones; 0: too few words to be looked for inside others */
	int hits;     /* of them in the message that is looked at, */
	uint32_t message;
};

struct place { /* where a shingle belongs */
	uint64_t shingle;
	int owner;
	uint32_t message; /* it was met in */
};

struct contamination {
	const struct task *const *task;
	int n;
	double near;
	struct owner *owner;
	int n_owners;
	struct place *place;
	size_t n_places, cap_places;
	struct contaminated *found; /* n */
	uint32_t message;
	long rows;
	cJSON *sources, *unknown;
	const char *where; /* of the message that is looked at */
	struct buf small;  /* it, in small letters */
	int depth;
	bool failed;
};

const char *learnt_words(enum learnt l)
{
	static const char *const words[] = { "not learnt", "the task itself", "its prompt",
		                             "nearly its prompt", "its reference program" };

	return words[l];
}

/* ---- what is looked for ---- */

static void add_place(void *ctx, uint64_t shingle)
{
	struct contamination *c = ctx;

	if (c->n_places == c->cap_places) {
		size_t cap = c->cap_places ? 2 * c->cap_places : 4096;
		struct place *more = realloc(c->place, cap * sizeof(*more));
		if (!more) {
			c->failed = true;
			return;
		}
		c->place = more;
		c->cap_places = cap;
	}
	c->place[c->n_places++] = (struct place){ shingle, c->n_owners, 0 };
}

static int by_shingle(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;

	return a->shingle != b->shingle ? (a->shingle > b->shingle) - (a->shingle < b->shingle)
	                                : a->owner - b->owner;
}

/* Capitals do not make another text. */
static void fold(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_addc(out, (char)tolower((unsigned char)text[i]));
}

/* Looked for inside of others when it has words enough, and with @whole as a message in any case.
 */
static void add_owner(struct contamination *c, int task, enum learnt how, const char *text,
                      size_t len, bool whole)
{
	struct owner *o = &c->owner[c->n_owners];
	size_t before = c->n_places, to = before;
	struct buf small = { 0 };
	int words;

	fold(&small, text, len);
	c->failed |= buf_failed(&small);
	words = near_shingles(buf_str(&small), small.len, add_place, c);
	buf_release(&small);
	*o = (struct owner){ .task = task, .how = how };
	if (words < WORDS_LEAST) {
		c->n_places = before;
		if (!whole || words == 0)
			return;
	}
	/* each shingle once */
	if (c->n_places > before)
		qsort(c->place + before, c->n_places - before, sizeof(*c->place), by_shingle);
	for (size_t i = before; i < c->n_places; i++)
		if (to == before || c->place[to - 1].shingle != c->place[i].shingle)
			c->place[to++] = c->place[i];
	o->shingles = (int)(to - before);
	c->n_places = to;
	o->same = near_same(text, len);
	c->n_owners++;
}

static void add_task(struct contamination *c, int i, const struct prompt_set *prompts)
{
	const struct task *t = c->task[i];
	struct err ignored = { 0 };
	cJSON *messages = repair_messages(prompts, t, NULL, &ignored);
	struct buf program = { 0 };
	const cJSON *m;

	cJSON_ArrayForEach(m, messages)
	{
		const char *text = json_string_or(m, "content", "");
		if (strcmp(json_string_or(m, "role", ""), "user") == 0)
			add_owner(c, i, LEARNT_PROMPT, text, strlen(text), true);
	}
	add_owner(c, i, LEARNT_PROMPT, t->prompt, strlen(t->prompt), false);
	if (t->reference && strlen(t->reference) > 3 &&
	    strcmp(t->reference + strlen(t->reference) - 3, ".py") == 0 &&
	    buf_read_file(&program, t->reference, FILE_MAX, &ignored) == 0)
		add_owner(c, i, LEARNT_PROGRAM, buf_str(&program), program.len, true);
	buf_release(&program);
	cJSON_Delete(messages);
}

struct contamination *contamination_open(const struct task *const *task, int n,
                                         const struct prompt_set *prompts, double near,
                                         struct err *e)
{
	struct contamination *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	*c = (struct contamination){ .task = task, .n = n, .near = near };
	c->found = calloc((size_t)n + 1, sizeof(*c->found));
	c->owner = calloc(4 * (size_t)n + 1, sizeof(*c->owner));
	c->sources = cJSON_CreateArray();
	c->unknown = cJSON_CreateArray();
	if (c->found && c->owner)
		for (int i = 0; i < n; i++)
			add_task(c, i, prompts);
	if (!c->found || !c->owner || !c->sources || !c->unknown || c->failed) {
		contamination_close(c);
		err_set(e, ERR_MEM, "no memory for the words of %d tasks", n);
		return NULL;
	}
	qsort(c->place, c->n_places, sizeof(*c->place), by_shingle);
	return c;
}

void contamination_close(struct contamination *c)
{
	if (!c)
		return;
	free(c->found);
	free(c->owner);
	free(c->place);
	cJSON_Delete(c->sources);
	cJSON_Delete(c->unknown);
	buf_release(&c->small);
	free(c);
}

/* ---- what was learnt ---- */

static void found(struct contamination *c, int task, enum learnt how, double share)
{
	struct contaminated *f = &c->found[task];

	if (f->how != LEARNT_NOT)
		return;
	f->how = how;
	f->share = share;
	snprintf(f->where, sizeof(f->where), "%s", c->where);
}

static void see_task(struct contamination *c, const char *id)
{
	for (int i = 0; i < c->n; i++)
		if (strcmp(c->task[i]->id, id) == 0)
			found(c, i, LEARNT_TASK, 1);
}

static void see_shingle(void *ctx, uint64_t shingle)
{
	struct contamination *c = ctx;
	size_t low = 0, high = c->n_places;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (c->place[middle].shingle < shingle)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < c->n_places && c->place[low].shingle == shingle; low++) {
		struct place *p = &c->place[low];
		struct owner *o = &c->owner[p->owner];
		if (p->message == c->message)
			continue;
		p->message = c->message;
		o->hits = o->message == c->message ? o->hits + 1 : 1;
		o->message = c->message;
	}
}

static void see_same(struct contamination *c, uint64_t same)
{
	for (int i = 0; i < c->n_owners; i++)
		if (c->owner[i].same == same)
			found(c, c->owner[i].task, c->owner[i].how, 1);
}

static void see_message(struct contamination *c, const char *text)
{
	size_t len = strlen(text);

	c->message++;
	see_same(c, near_same(text, len));
	buf_clear(&c->small);
	fold(&c->small, text, len);
	near_shingles(buf_str(&c->small), c->small.len, see_shingle, c);
	for (int i = 0; i < c->n_owners; i++) {
		const struct owner *o = &c->owner[i];
		bool all = o->hits == o->shingles;
		if (o->message == c->message && o->hits >= c->near * o->shingles)
			found(c, o->task, o->how == LEARNT_PROMPT && !all ? LEARNT_NEAR : o->how,
			      (double)o->hits / o->shingles);
	}
}

static void see_messages(struct contamination *c, const cJSON *list)
{
	const cJSON *m;

	if (cJSON_IsString(list))
		see_message(c, list->valuestring);
	else if (cJSON_IsArray(list))
		cJSON_ArrayForEach(m, list) if (strcmp(json_string_or(m, "role", ""), "system") !=
		                                0) see_message(c, json_string_or(m, "content", ""));
}

static void see_row(struct contamination *c, const cJSON *o)
{
	static const char *const keys[] = { "messages", "prompt", "completion", "text" };
	const char *task = json_string_or(o, "task", json_string_or(o, "task_id", NULL));

	c->rows++;
	if (task)
		see_task(c, task);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		see_messages(c, cJSON_GetObjectItemCaseSensitive(o, keys[i]));
}

/* Whether it was looked at already; it is from now on. */
static bool seen_source(cJSON *list, const char *path)
{
	const cJSON *x;

	cJSON_ArrayForEach(x, list) if (strcmp(x->valuestring, path) == 0) return true;
	cJSON_AddItemToArray(list, cJSON_CreateString(path));
	return false;
}

static int read_rows(struct contamination *c, const char *path, struct err *e)
{
	const char *base = strrchr(path, '/');
	FILE *f = fopen(path, "re");
	char *line = NULL, where[200];
	size_t cap = 0;
	ssize_t len;
	int rc = 0;

	if (!f)
		return err_errno(e, ERR_INPUT,
		                 "%s: what was learnt from it cannot be looked at (name a copy "
		                 "with --trained-on)",
		                 path);
	c->where = where;
	for (long n = 1; (len = getline(&line, &cap, f)) >= 0; n++) {
		cJSON *o;
		if (len > JSONL_LINE_MAX || jsonl_blank(line, (size_t)len) ||
		    !(o = json_parse(line, (size_t)len, NULL)))
			continue; /* nobody learns from such a line */
		snprintf(where, sizeof(where), "%.150s:%ld", base ? base + 1 : path, n);
		see_row(c, o);
		cJSON_Delete(o);
	}
	if (ferror(f))
		rc = err_errno(e, ERR_INPUT, "%s: reading", path);
	free(line);
	fclose(f);
	return rc;
}

static int read_tasks_file(struct contamination *c, const char *path, struct err *e)
{
	struct buf text = { 0 }, program = { 0 };
	struct task t = { 0 };
	int rc = -1;

	if (buf_read_file(&text, path, FILE_MAX, e) == 0 &&
	    task_parse(&t, buf_str(&text), text.len, path, e) == 0) {
		c->where = path;
		c->rows++;
		see_task(c, t.id);
		see_message(c, t.prompt);
		if (t.reference && buf_read_file(&program, t.reference, FILE_MAX, NULL) == 0)
			see_message(c, buf_str(&program));
		rc = 0;
	}
	task_release(&t);
	buf_release(&program);
	buf_release(&text);
	return rc;
}

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), k = strlen(with);

	return n >= k && strcmp(text + n - k, with) == 0;
}

static int read_pack(struct contamination *c, const char *dir, struct err *e)
{
	DIR *d = opendir(dir);
	char path[PATH_MAX];
	int rc = 0;

	if (!d)
		return err_errno(e, ERR_INPUT, "%s", dir);
	for (struct dirent *x; rc == 0 && (x = readdir(d));) {
		if (!ends(x->d_name, ".json") || strcmp(x->d_name, "pack.json") == 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, x->d_name) >= (int)sizeof(path))
			rc = err_set(e, ERR_INPUT, "%s: the name is too long", dir);
		else
			rc = read_tasks_file(c, path, e);
	}
	closedir(d);
	return rc;
}

static bool there(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       access(path, R_OK) == 0;
}

int contamination_file(struct contamination *c, const char *path, struct err *e)
{
	char real[PATH_MAX];
	struct stat st;

	if (!realpath(path, real) || stat(real, &st) < 0)
		return err_errno(e, ERR_INPUT,
		                 "%s: what was learnt from it cannot be looked at (name a copy "
		                 "with --trained-on)",
		                 path);
	if (S_ISDIR(st.st_mode) && !there(real, "pack.json")) {
		int known = contamination_folder(c, real, e);
		return known < 0    ? -1
		       : known == 1 ? 0
		                    : err_set(e, ERR_INPUT,
		                              "%s: is no folder of tasks (pack.json), and has no "
		                              "settings.json or learnt.json of a training",
		                              path);
	}
	if (seen_source(c->sources, real))
		return 0;
	if (S_ISDIR(st.st_mode))
		return read_pack(c, real, e);
	if (ends(real, ".json"))
		return read_tasks_file(c, real, e);
	if (ends(real, ".py")) {
		struct buf text = { 0 };
		int rc = buf_read_file(&text, real, FILE_MAX, e);
		c->where = path;
		c->rows++;
		if (rc == 0)
			see_message(c, buf_str(&text));
		buf_release(&text);
		return rc;
	}
	return read_rows(c, real, e);
}

/* ---- where it is looked ---- */

static cJSON *read_object(const char *dir, const char *name, struct err *e)
{
	char path[PATH_MAX];
	struct buf text = { 0 };
	cJSON *o = NULL;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path)) {
		err_set(e, ERR_INPUT, "%s: the name is too long", dir);
		return NULL;
	}
	if (buf_read_file(&text, path, FILE_MAX, e) == 0 &&
	    !(o = json_parse(buf_str(&text), text.len, e)))
		err_wrap(e, "%s", path);
	buf_release(&text);
	return o;
}

/* A list of tasks: ids, or {"task", "prompt"}. */
static void see_tasks(struct contamination *c, const cJSON *list)
{
	const cJSON *x;

	cJSON_ArrayForEach(x, list)
	{
		const char *prompt = json_string_or(x, "prompt", NULL);
		const char *id =
			cJSON_IsString(x) ? x->valuestring : json_string_or(x, "task", NULL);
		c->rows++;
		if (id)
			see_task(c, id);
		if (prompt)
			see_message(c, prompt);
	}
}

static int read_record(struct contamination *c, const char *dir, struct err *e)
{
	cJSON *o = read_object(dir, "learnt.json", e);
	const cJSON *x;
	char where[200];

	if (!o)
		return -1;
	if (strcmp(json_string_or(o, "format", ""), FORMAT) != 0) {
		cJSON_Delete(o);
		return err_set(e, ERR_INPUT, "%s/learnt.json: format %s was expected", dir, FORMAT);
	}
	snprintf(where, sizeof(where), "%.180s/learnt.json", strrchr(dir, '/') + 1);
	c->where = where;
	see_tasks(c, cJSON_GetObjectItemCaseSensitive(o, "tasks"));
	cJSON_ArrayForEach(x,
	                   cJSON_GetObjectItemCaseSensitive(o, "messages")) if (cJSON_IsString(x))
	{
		c->rows++;
		see_same(c, strtoull(x->valuestring, NULL, 16));
	}
	cJSON_Delete(o);
	return 1;
}

/* What a run was set to learn from, and what it began from. 1; 0: it names no rows; -1. */
static int see_settings(struct contamination *c, const cJSON *o, struct err *e)
{
	static const char *const folders[] = { "adapter", "model" };
	const char *data = json_string_or(o, "data", NULL);

	const cJSON *tasks = cJSON_GetObjectItemCaseSensitive(o, "tasks");

	if (data && contamination_file(c, data, e) < 0)
		return -1;
	if (cJSON_IsArray(tasks))
		see_tasks(c, tasks);
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		const char *dir = json_string_or(o, folders[i], NULL);
		if (!dir || strncmp(dir, "fresh:", 6) == 0 || strstr(dir, "://"))
			continue;
		if (contamination_folder(c, dir, e) < 0)
			return -1;
	}
	return data || cJSON_GetArraySize(tasks) > 0;
}

/* 1: @dir says what was learnt; 0: it does not. */
static int look_at(struct contamination *c, const char *dir, struct err *e)
{
	char where[200];
	int known = 0, rc;

	if (there(dir, "learnt.json") && (known = read_record(c, dir, e)) < 0)
		return -1;
	if (there(dir, "settings.json")) {
		cJSON *o = read_object(dir, "settings.json", e);
		if (!o)
			return -1;
		snprintf(where, sizeof(where), "%.180s/settings.json", strrchr(dir, '/') + 1);
		c->where = where;
		rc = see_settings(c, o, e);
		cJSON_Delete(o);
		if (rc < 0)
			return -1;
		known |= rc;
	}
	return known;
}

int contamination_folder(struct contamination *c, const char *dir, struct err *e)
{
	char real[PATH_MAX], above[PATH_MAX], *name;
	const cJSON *x;
	int known;

	if (!realpath(dir, real))
		return err_errno(e, ERR_INPUT, "%s", dir);
	cJSON_ArrayForEach(x, c->unknown) if (strcmp(x->valuestring, real) == 0) return 0;
	if (seen_source(c->sources, real))
		return 1;
	if (++c->depth > DEPTH_MAX)
		return err_set(e, ERR_INPUT,
		               "%s: runs began from one another in a circle, or in a "
		               "row of more than %d",
		               dir, DEPTH_MAX);
	known = look_at(c, real, e);
	snprintf(above, sizeof(above), "%s", real);
	name = strrchr(above, '/');
	if (known == 0 && name > above && strncmp(name + 1, "checkpoint-", 11) == 0) {
		*name = '\0';
		known = look_at(c, above, e);
	} else if (known == 0 && name > above) {
		*name = '\0';
		name = strrchr(above, '/');
		if (name > above && strcmp(name + 1, "policy") == 0) {
			*name = '\0';
			known = look_at(c, above, e);
		}
	}
	c->depth--;
	if (known == 0) {
		/* others may have been added after it */
		cJSON_ArrayForEach(x, c->sources) if (strcmp(x->valuestring, real) == 0) break;
		cJSON_Delete(cJSON_DetachItemViaPointer(c->sources, (cJSON *)x));
		cJSON_AddItemToArray(c->unknown, cJSON_CreateString(real));
	}
	return known;
}

/* ---- a run of the store ---- */

struct of_run {
	struct contamination *c;
	struct store *s;
	cJSON *settings;
	char kind[32];
	struct {
		char task[TASK_ID_MAX + 1];
	} * task; /* seen, with its prompt */
	int n, cap;
	struct err *e;
	bool failed;
};

static int see_run(void *ctx, const struct store_run *r)
{
	struct of_run *o = ctx;

	o->settings = r->settings ? json_parse(r->settings, strlen(r->settings), NULL) : NULL;
	snprintf(o->kind, sizeof(o->kind), "%s", r->kind);
	return 0;
}

static int see_rollout(void *ctx, const struct store_rollout *r)
{
	struct of_run *o = ctx;
	struct buf text = { 0 };
	cJSON *prompt;

	for (int i = 0; i < o->n; i++)
		if (strcmp(o->task[i].task, r->task) == 0)
			return 0;
	if (o->n == o->cap) {
		int cap = o->cap ? 2 * o->cap : 64;
		void *more = realloc(o->task, (size_t)cap * sizeof(*o->task));
		if (!more) {
			o->failed = true;
			return 1;
		}
		o->task = more;
		o->cap = cap;
	}
	snprintf(o->task[o->n++].task, sizeof(o->task[0].task), "%s", r->task);
	o->c->rows++;
	see_task(o->c, r->task);
	if (store_artifact(o->s, r->episode, r->turn, "prompt.json", &text, NULL) == 0 &&
	    (prompt = json_parse(buf_str(&text), text.len, NULL))) {
		see_messages(o->c, prompt);
		cJSON_Delete(prompt);
	}
	buf_release(&text);
	return 0;
}

int contamination_run(struct contamination *c, struct store *s, int64_t run, struct err *e)
{
	struct of_run o = { .c = c, .s = s, .e = e };
	char where[64], out[PATH_MAX];
	const cJSON *set;
	int rc = -1, known;

	snprintf(where, sizeof(where), "run %" PRId64, run);
	if (store_runs(s, run, 1, see_run, &o, e) < 0)
		return -1;
	if (!*o.kind)
		return err_set(e, ERR_INPUT, "there is no run %" PRId64, run);
	if (seen_source(c->sources, where)) {
		rc = 0;
		goto out;
	}
	if (strcmp(o.kind, "eval") == 0 || strcmp(o.kind, "group") == 0) {
		err_set(e, ERR_INPUT, "run %" PRId64 " (%s) learnt nothing", run, o.kind);
		goto out;
	}
	c->where = where;
	if (store_rollouts(s, run, 1, INT64_MAX, see_rollout, &o, e) < 0)
		goto out;
	if (o.failed) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	set = cJSON_GetObjectItemCaseSensitive(o.settings, "settings");
	snprintf(out, sizeof(out), "%s", json_string_or(set, "out", ""));
	if (*out && (there(out, "settings.json") || there(out, "learnt.json"))) {
		if (contamination_folder(c, out, e) < 0)
			goto out;
		c->where = where;
		see_tasks(c, cJSON_GetObjectItemCaseSensitive(set, "tasks"));
	} else if ((known = see_settings(c, set, e)) < 0) {
		goto out;
	} else if (!known && o.n == 0) {
		err_set(e, ERR_INPUT,
		        "run %" PRId64 " (%s): what it learnt from is not in the store", run,
		        o.kind);
		goto out;
	}
	rc = 0;
out:
	free(o.task);
	cJSON_Delete(o.settings);
	return rc;
}

/* ---- what came of it ---- */

const struct contaminated *contamination_of(const struct contamination *c, int i)
{
	return &c->found[i];
}

int contamination_count(const struct contamination *c)
{
	int n = 0;

	for (int i = 0; i < c->n; i++)
		n += c->found[i].how != LEARNT_NOT;
	return n;
}

/* A folder's last two names are enough for people, and its place is nobody's business. */
static cJSON *short_names(const cJSON *list)
{
	cJSON *out = cJSON_CreateArray();
	const cJSON *x;

	cJSON_ArrayForEach(x, list)
	{
		const char *at = x->valuestring + strlen(x->valuestring);
		for (int k = 0; k < 2 && at > x->valuestring; k++)
			while (--at > x->valuestring && *at != '/')
				;
		cJSON_AddItemToArray(out, cJSON_CreateString(at + (*at == '/')));
	}
	return out;
}

cJSON *contamination_report(const struct contamination *c)
{
	cJSON *o = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(o, "near", c->near);
	cJSON_AddNumberToObject(o, "rows", (double)c->rows);
	cJSON_AddItemToObject(o, "sources", short_names(c->sources));
	cJSON_AddItemToObject(o, "unknown", short_names(c->unknown));
	list = cJSON_AddArrayToObject(o, "learnt");
	for (int i = 0; i < c->n; i++) {
		const struct contaminated *f = &c->found[i];
		cJSON *one;
		if (f->how == LEARNT_NOT)
			continue;
		one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "task", c->task[i]->id);
		cJSON_AddStringToObject(one, "how", learnt_words(f->how));
		cJSON_AddNumberToObject(one, "share", f->share);
		cJSON_AddStringToObject(one, "where", f->where);
		cJSON_AddItemToArray(list, one);
	}
	return o;
}

static int by_hash(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return (a > b) - (a < b);
}

static int add_hash(uint64_t **v, int *n, int *cap, const char *text)
{
	if (*n == *cap) {
		int more = *cap ? 2 * *cap : 1024;
		uint64_t *p = realloc(*v, (size_t)more * sizeof(*p));
		if (!p)
			return -1;
		*v = p;
		*cap = more;
	}
	(*v)[(*n)++] = near_same(text, strlen(text));
	return 0;
}

int contamination_hashes(const char *path, uint64_t **out, int *n, struct err *e)
{
	FILE *f = fopen(path, "re");
	uint64_t *v = NULL;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int all = 0, cap_v = 0, rc = 0;

	if (!f)
		return err_errno(e, ERR_INPUT, "%s", path);
	while (rc == 0 && (len = getline(&line, &cap, f)) >= 0) {
		cJSON *o = json_parse(line, (size_t)len, NULL);
		const cJSON *m;
		cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(o, "messages"))
		{
			if (strcmp(json_string_or(m, "role", ""), "user") == 0 &&
			    add_hash(&v, &all, &cap_v, json_string_or(m, "content", "")) < 0)
				rc = err_set(e, ERR_MEM, "%s: no memory for its rows", path);
		}
		cJSON_Delete(o);
	}
	if (rc == 0 && ferror(f))
		rc = err_errno(e, ERR_INPUT, "%s: reading", path);
	free(line);
	fclose(f);
	if (rc < 0) {
		free(v);
		return -1;
	}
	qsort(v, (size_t)all, sizeof(*v), by_hash);
	*n = 0;
	for (int i = 0; i < all; i++)
		if (*n == 0 || v[*n - 1] != v[i])
			v[(*n)++] = v[i];
	*out = v;
	return 0;
}

int contamination_record(const char *dir, const struct task *const *task, int n,
                         const uint64_t *hash, int n_hashes, struct err *e)
{
	cJSON *o = cJSON_CreateObject(), *list;
	struct buf text = { 0 };
	char path[PATH_MAX], hex[20];
	int rc = -1;

	cJSON_AddStringToObject(o, "format", FORMAT);
	list = cJSON_AddArrayToObject(o, "tasks");
	for (int i = 0; i < n; i++) {
		cJSON *one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "task", task[i]->id);
		cJSON_AddStringToObject(one, "prompt", task[i]->prompt);
		cJSON_AddItemToArray(list, one);
	}
	list = cJSON_AddArrayToObject(o, "messages");
	for (int i = 0; i < n_hashes; i++) {
		snprintf(hex, sizeof(hex), "%016" PRIx64, hash[i]);
		cJSON_AddItemToArray(list, cJSON_CreateString(hex));
	}
	json_print(&text, o);
	buf_addc(&text, '\n');
	if (buf_failed(&text))
		err_set(e, ERR_MEM, "out of memory");
	else if (snprintf(path, sizeof(path), "%s/learnt.json", dir) >= (int)sizeof(path))
		err_set(e, ERR_INPUT, "%s: the name is too long", dir);
	else
		rc = file_write_atomic(path, text.data, text.len, e);
	buf_release(&text);
	cJSON_Delete(o);
	return rc;
}
