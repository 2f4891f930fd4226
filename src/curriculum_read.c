#include "src/curriculum_read.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/repair.h"
#include "src/base/utf8.h"

enum { RULES_BYTES_MAX = 1 << 20 };

static void list_rules(struct buf *out, const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *f; d && (f = readdir(d));) {
		size_t n = strlen(f->d_name);
		if (n > 5 && f->d_name[0] != '.' && strcmp(f->d_name + n - 5, ".json") == 0)
			buf_printf(out, "%s%.*s", out->len ? ", " : "", (int)(n - 5), f->d_name);
	}
	if (d)
		closedir(d);
}

static int find_rules(char *path, size_t size, const struct app *a, const char *name, struct err *e)
{
	char dirs[2][PATH_MAX + 16];
	struct buf known = { 0 };
	int n = 0;

	if (a->user_data[0])
		snprintf(dirs[n++], sizeof(dirs[0]), "%s/curriculum", a->user_data);
	if (a->tasks[0])
		snprintf(dirs[n++], sizeof(dirs[0]), "%s/curriculum", a->tasks);
	for (int i = 0; i < n; i++) {
		int len = snprintf(path, size, "%s/%s.json", dirs[i], name);
		if (len > 0 && (size_t)len < size && access(path, F_OK) == 0)
			return 0;
	}
	for (int i = 0; i < n; i++)
		list_rules(&known, dirs[i]);
	if (known.len)
		err_set(e, ERR_USAGE, "--rules: %s or a file .json was expected, got '%.80s'",
		        buf_str(&known), name);
	else
		err_set(e, ERR_LACKS,
		        "no curriculum was found: CADFORGE_TASKS names the folder that holds "
		        "curriculum/");
	buf_release(&known);
	return -1;
}

int curriculum_rules_load(struct curriculum_rules *out, char *hash, const struct app *a,
                          const char *name, struct err *e)
{
	char path[2 * PATH_MAX];
	struct buf text = { 0 };
	size_t n = strlen(name);
	int rc;

	if (strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".json") == 0))
		snprintf(path, sizeof(path), "%s", name);
	else if (find_rules(path, sizeof(path), a, name, e) < 0)
		return -1;
	rc = buf_read_file(&text, path, RULES_BYTES_MAX, e);
	if (rc < 0)
		err_wrap(e, "--rules");
	else
		rc = curriculum_rules_parse(out, buf_str(&text), text.len, path, e);
	if (rc == 0 && hash)
		sha256_hex(buf_str(&text), text.len, hash);
	buf_release(&text);
	return rc;
}

/* ---- the newest turns ---- */

/* Also those that were written since. */
static int know_tasks(struct curriculum_feed *f, struct err *e)
{
	for (int i = 0; i < f->tasks->n; i++)
		if (curriculum_task(f->c, f->tasks->tasks[i].id, (int)f->tasks->tasks[i].level) < 0)
			return err_set(e, ERR_MEM, "no memory for %d tasks", f->tasks->n);
	return 0;
}

int curriculum_feed_open(struct curriculum_feed *f, const struct curriculum_rules *r,
                         const struct task_set *tasks, struct err *e)
{
	*f = (struct curriculum_feed){ .tasks = tasks, .c = curriculum_open(r, e) };
	if (!f->c)
		return -1;
	if (know_tasks(f, e) < 0) {
		curriculum_feed_close(f);
		return -1;
	}
	return 0;
}

void curriculum_feed_close(struct curriculum_feed *f)
{
	curriculum_close(f->c);
	*f = (struct curriculum_feed){ 0 };
}

struct outcomes {
	struct store_outcome *v;
	int n, cap;
	bool failed;
};

static int collect(void *ctx, const struct store_outcome *o)
{
	struct outcomes *x = ctx;

	if (x->n == x->cap) {
		int cap = x->cap ? 2 * x->cap : 64;
		struct store_outcome *more = realloc(x->v, (size_t)cap * sizeof(*more));
		if (!more) {
			x->failed = true;
			return 1;
		}
		x->v = more;
		x->cap = cap;
	}
	x->v[x->n++] = *o;
	return 0;
}

/* Repairs from before the turns that are counted. */
static int older_repairs(struct curriculum_feed *f, struct store *s, int64_t before, struct err *e)
{
	int rc = 0;

	for (int i = 0; i < CLASS_COUNT && rc == 0; i++) {
		struct outcomes x = { 0 };
		enum build_class class = (enum build_class)i;
		rc = store_repairs(s, build_class_name(class), curriculum_rules(f->c)->repairs,
		                   collect, &x, e);
		if (x.failed)
			rc = err_set(e, ERR_MEM, "no memory for the repairs of a class");
		for (int k = x.n - 1; k >= 0 && rc == 0; k--)
			if (x.v[k].id < before)
				curriculum_add_repair(f->c, class, x.v[k].built);
		free(x.v);
	}
	return rc;
}

struct hands {
	struct curriculum *c;
	int n;
};

static int take_hand(void *ctx, const struct store_hand_row *h)
{
	static const enum curriculum_hand hand[] = { HAND_FREE, HAND_PIN, HAND_BAN, HAND_WEIGHT };
	struct hands *x = ctx;

	x->n++;
	curriculum_set_hand(x->c, curriculum_class_of(h->class_name), hand[h->change], h->weight);
	return 0;
}

/* Where the turns that are counted begin, and the repairs from before. */
static int begin(struct curriculum_feed *f, struct store *s, struct err *e)
{
	int64_t first = 0;

	curriculum_forget(f->c);
	f->hands = 0;
	f->last = 0;
	if (store_newest_turn(s, curriculum_rules(f->c)->completions - 1, &first, e) < 0)
		return -1;
	if (first && older_repairs(f, s, first, e) < 0)
		return -1;
	f->last = first ? first - 1 : 0;
	f->begun = true;
	return 0;
}

/* The next turns; how many, or -1. */
static int take_turns(struct curriculum_feed *f, const struct tallies *t, struct store *s,
                      int limit, struct err *e)
{
	struct outcomes x = { 0 };
	int rc = store_outcomes(s, f->last, limit, collect, &x, e), n = x.n;

	if (rc == 0 && x.failed)
		rc = err_set(e, ERR_MEM, "no memory for the newest turns");
	if (rc == 0 && n)
		rc = know_tasks(f, e);
	for (int i = 0; i < n && rc == 0; i++) {
		const struct store_outcome *o = &x.v[i];
		const struct tally *k = tallies_find(t, o->tally);
		if (!k) { /* it was committed after the sums were read: the next time */
			n = i;
			break;
		}
		f->last = o->id;
		if (k->class >= CLASS_COUNT) /* of a class that this program does not know */
			continue;
		int task = curriculum_task(f->c, k->task, -1);
		if (task < 0) {
			rc = err_set(e, ERR_MEM, "no memory for a task");
			break;
		}
		struct curriculum_turn turn = { .id = o->id,
			                        .episode = o->episode,
			                        .number = o->turn,
			                        .task = task,
			                        .class = k->class,
			                        .repairs = k->repairs,
			                        .built = o->built };
		curriculum_add(f->c, &turn);
	}
	free(x.v);
	return rc < 0 ? -1 : n;
}

int curriculum_feed_read(struct curriculum_feed *f, struct tallies *t, struct store *s, int rows,
                         struct err *e)
{
	struct hands h = { .c = f->c };
	int limit = rows > 0 ? rows : curriculum_rules(f->c)->completions, n;
	int64_t newest = 0;

	if (store_newest_turn(s, 0, &newest, e) < 0)
		return -1;
	if (newest < f->last) /* another database, or the newest were pruned: all anew */
		f->begun = false;
	int more = tallies_read(t, s, rows, e);
	if (more)
		return more;
	if (!f->begun) {
		if (begin(f, s, e) < 0)
			return -1;
		if (rows > 0)
			return 1;
	}
	do {
		n = take_turns(f, t, s, limit, e);
	} while (n == limit && rows <= 0);
	if (n < 0 || n == limit)
		return n < 0 ? -1 : 1;
	if (store_hands(s, take_hand, &h, e) < 0)
		return -1;
	f->hands = h.n;
	return 0;
}

/* ---- examples ---- */

/* One line of clean text, cut to fit. */
static void put_line(char *out, size_t size, const char *text)
{
	struct buf clean = { 0 };
	size_t n = strcspn(text, "\n");

	utf8_clean(&clean, text, n);
	n = clean.len < size ? clean.len : size - 1;
	while (n < clean.len && n > 0 && (buf_str(&clean)[n] & 0xc0) == 0x80)
		n--;
	memcpy(out, buf_str(&clean), n);
	out[n] = '\0';
	buf_release(&clean);
}

/* What an error says without "line 12: " and "SyntaxError: ", which are told beside it. */
static const char *bare(const char *error, const char *exception)
{
	const char *p = error;
	size_t n = strlen(exception);

	if (strncmp(p, "line ", 5) == 0) {
		size_t digits = strspn(p + 5, "0123456789");
		if (digits && strncmp(p + 5 + digits, ": ", 2) == 0)
			p += 5 + digits + 2;
	}
	return n && strncmp(p, exception, n) == 0 && strncmp(p + n, ": ", 2) == 0 ? p + n + 2 : p;
}

static void describe(struct curriculum_example *x, const cJSON *score)
{
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(score, "build");
	const cJSON *note = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(score, "notes"), 0);
	const char *exception = json_string_or(build, "exception", "");
	const char *error = bare(json_string_or(build, "error", ""), exception);
	double line = json_number_or(build, "line", 0);
	struct buf said = { 0 };

	if (json_bool_or(build, "ok", false))
		buf_adds(&said, cJSON_IsString(note) ? note->valuestring : "");
	else if (*exception && *error)
		buf_printf(&said, "%s: %s", exception, error);
	else
		buf_adds(&said, *error       ? error
		                : *exception ? exception
		                             : json_string_or(build, "cause", ""));
	put_line(x->error, sizeof(x->error), buf_str(&said));
	put_line(x->source, sizeof(x->source), json_string_or(build, "source", ""));
	x->line = line >= 1 && line <= INT_MAX ? (int)line : 0;
	buf_release(&said);
}

static int see_finish(void *ctx, const struct store_turn *t)
{
	*(bool *)ctx = t->finish && strcmp(t->finish, "length") == 0;
	return 0;
}

int curriculum_examples(const struct curriculum_feed *f, struct store *s, enum build_class class,
                        struct curriculum_example *out, int max, struct err *e)
{
	struct curriculum_turn *v = calloc((size_t)max + 1, sizeof(*v));
	int n = 0, found = v ? curriculum_newest(f->c, class, v, max) : 0;

	if (!v)
		return err_set(e, ERR_MEM, "no memory for %d examples", max);
	for (int i = 0; i < found; i++) {
		struct curriculum_example x = { .episode = v[i].episode, .turn = v[i].number };
		struct buf text = { 0 };
		struct err gone = { 0 };
		if (store_artifact(s, x.episode, x.turn, "reward.json", &text, &gone) == 0) {
			cJSON *score = json_parse(buf_str(&text), text.len, &gone);
			snprintf(x.task, sizeof(x.task), "%s",
			         curriculum_task_name(f->c, v[i].task));
			describe(&x, score);
			store_turn(s, x.episode, x.turn, see_finish, &x.clipped, &gone);
			cJSON_Delete(score);
			out[n++] = x;
		} else if (gone.kind != ERR_INPUT) {
			if (e)
				*e = gone;
			n = -1;
		}
		buf_release(&text);
		if (n < 0)
			break;
	}
	free(v);
	return n;
}

/* ---- prompts ---- */

cJSON *curriculum_prompt(struct store *s, const struct prompt_set *set, const struct task *task,
                         int64_t episode, int turn, struct err *e)
{
	struct repair_turn r = { .number = turn };
	struct buf text = { 0 }, program = { 0 }, log = { 0 };
	cJSON *score = NULL, *messages = NULL;
	struct err gone;

	if (turn == 0)
		return repair_messages(set, task, NULL, e);
	if (store_turn(s, episode, turn, see_finish, &r.clipped, e) < 0 ||
	    store_artifact(s, episode, turn, "reward.json", &text, e) < 0)
		goto out;
	score = json_parse(buf_str(&text), text.len, e);
	if (!score) {
		err_wrap(e, "turn %" PRId64 ".%d: reward.json", episode, turn);
		goto out;
	}
	/* a program or log that is not there (nothing was found in the answer) is an empty one */
	store_artifact(s, episode, turn, "program.py", &program, &gone);
	store_artifact(s, episode, turn, "build.log", &log, &gone);
	r.program = buf_str(&program);
	r.program_len = program.len;
	r.log = buf_str(&log);
	r.log_len = log.len;
	r.score = score;
	messages = repair_messages(set, task, &r, e);
out:
	cJSON_Delete(score);
	buf_release(&text);
	buf_release(&program);
	buf_release(&log);
	return messages;
}

struct best_answer {
	int parent, best;
	double min, margin, total;
};

static int see_answer(void *ctx, const struct store_turn *t)
{
	struct best_answer *a = ctx;

	if (t->parent == a->parent && t->built && t->total >= a->min &&
	    (isnan(t->parent_total) || t->total - t->parent_total >= a->margin) &&
	    (!a->best || t->total > a->total)) {
		a->best = t->number;
		a->total = t->total;
	}
	return 0;
}

int curriculum_answer(struct store *s, int64_t episode, int turn, double min, double margin,
                      struct buf *out, int *answer, struct err *e)
{
	struct best_answer a = { .parent = turn, .min = min, .margin = margin };

	*answer = 0;
	if (store_turns(s, episode, see_answer, &a, e) < 0)
		return -1;
	if (!a.best || store_artifact(s, episode, a.best, "completion.txt", out, e) < 0)
		return a.best && e->kind != ERR_INPUT ? -1 : 0;
	*answer = a.best;
	return 1;
}

/* ---- rows ---- */

cJSON *curriculum_item_json(const struct curriculum *c, const struct curriculum_item *x)
{
	cJSON *o = cJSON_CreateObject();
	char ref[48];

	snprintf(ref, sizeof(ref), "%" PRId64 ".%d", x->episode, x->turn);
	cJSON_AddStringToObject(o, "task", curriculum_task_name(c, x->task));
	cJSON_AddStringToObject(o, "kind", x->kind == ITEM_REPAIR ? "repair" : "first");
	json_add_text(o, "class", x->kind == ITEM_REPAIR ? build_class_name(x->class) : NULL);
	json_add_text(o, "turn", x->kind == ITEM_REPAIR ? ref : NULL);
	json_add_figure(o, "weight", x->weight);
	cJSON_AddStringToObject(o, "why", x->why);
	return o;
}

int curriculum_row(struct buf *out, struct store *s, const struct curriculum_feed *f,
                   const struct prompt_set *set, const struct curriculum_item *x,
                   const struct curriculum_answers *answers, struct err *e)
{
	const struct task *task = task_find(f->tasks, curriculum_task_name(f->c, x->task), e);
	struct buf answer = { 0 };
	int number = 0, rc = 1;
	cJSON *messages = NULL, *o, *about;

	if (!task)
		return -1;
	if (answers)
		rc = x->kind == ITEM_REPAIR
		             ? curriculum_answer(s, x->episode, x->turn, answers->min,
		                                 answers->margin, &answer, &number, e)
		             : 0;
	if (rc > 0 && !(messages = curriculum_prompt(s, set, task, x->episode, x->turn, e)))
		rc = -1;
	if (rc <= 0) {
		buf_release(&answer);
		return rc;
	}
	o = cJSON_CreateObject();
	cJSON_AddItemToObject(o, "messages", messages);
	about = curriculum_item_json(f->c, x);
	for (cJSON *c = about->child; c;) {
		cJSON *after = c->next;
		cJSON_DetachItemViaPointer(about, c);
		cJSON_AddItemToObject(o, c->string, c);
		c = after;
	}
	cJSON_Delete(about);
	if (answers) {
		struct buf clean = { 0 };
		cJSON *m = cJSON_CreateObject();
		char ref[48];
		snprintf(ref, sizeof(ref), "%" PRId64 ".%d", x->episode, number);
		utf8_clean(&clean, buf_str(&answer), answer.len);
		cJSON_AddStringToObject(m, "role", "assistant");
		cJSON_AddStringToObject(m, "content", buf_str(&clean));
		cJSON_AddItemToArray(messages, m);
		cJSON_AddStringToObject(o, "answer", ref);
		buf_release(&clean);
	}
	json_print(out, o);
	buf_addc(out, '\n');
	cJSON_Delete(o);
	buf_release(&answer);
	return 1;
}
