#include "src/verify.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/limits_json.h"
#include "src/base/sha256.h"

enum { BATCH = 16, ARTIFACTS_MAX = 64, PATH_LEN = 200, TEXT_TOLD = 200 };

static const char *const verdicts[] = { "same", "differs", "unable" };

const char *verdict_name(enum verdict v)
{
	return verdicts[v];
}

/* ---- scores ---- */

static void drop(cJSON *o, const char *key)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
}

/* Without what depends on the machine and the hour. */
static cJSON *comparable(const cJSON *score)
{
	cJSON *o = cJSON_Duplicate(score, true);
	cJSON *build = cJSON_GetObjectItemCaseSensitive(o, "build");

	drop(o, "seconds");
	drop(o, "file");
	drop(build, "seconds");
	drop(cJSON_GetObjectItemCaseSensitive(build, "limit"), "used");
	return o;
}

void verify_print(struct buf *out, const cJSON *score)
{
	cJSON *o = comparable(score);

	json_print(out, o);
	cJSON_Delete(o);
}

/* As much of a value as is worth telling. */
static cJSON *told(const cJSON *v)
{
	char text[TEXT_TOLD + 1];

	if (!v)
		return cJSON_CreateNull();
	if (cJSON_IsString(v) && strlen(v->valuestring) > TEXT_TOLD) {
		size_t n = TEXT_TOLD;
		/* a character is not cut in two */
		while (n > 0 && ((unsigned char)v->valuestring[n] & 0xc0) == 0x80)
			n--;
		memcpy(text, v->valuestring, n);
		text[n] = '\0';
		return cJSON_CreateString(text);
	}
	return cJSON_Duplicate(v, !cJSON_IsObject(v) && !cJSON_IsArray(v));
}

static void differ(cJSON *list, int *n, const char *path, const cJSON *stored, const cJSON *now)
{
	if ((*n)++ >= VERIFY_TOLD)
		return;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "what", path);
	cJSON_AddItemToObject(o, "stored", told(stored));
	cJSON_AddItemToObject(o, "now", told(now));
	cJSON_AddItemToArray(list, o);
}

static void differ_text(cJSON *list, int *n, const char *what, const char *stored, const char *now)
{
	cJSON *a = stored ? cJSON_CreateString(stored) : NULL;
	cJSON *b = now ? cJSON_CreateString(now) : NULL;

	differ(list, n, what, a, b);
	cJSON_Delete(a);
	cJSON_Delete(b);
}

static void walk(cJSON *list, int *n, const char *path, const cJSON *a, const cJSON *b)
{
	char below[PATH_LEN];
	const cJSON *x, *y;
	int i = 0;

	if (cJSON_IsObject(a) && cJSON_IsObject(b)) {
		cJSON_ArrayForEach(x, a)
		{
			snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", x->string);
			walk(list, n, below, x, cJSON_GetObjectItemCaseSensitive(b, x->string));
		}
		cJSON_ArrayForEach(y, b)
		{
			snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", y->string);
			if (!cJSON_GetObjectItemCaseSensitive(a, y->string))
				differ(list, n, below, NULL, y);
		}
		return;
	}
	if (cJSON_IsArray(a) && cJSON_IsArray(b)) {
		for (x = a->child, y = b->child; x || y; i++) {
			snprintf(below, sizeof(below), "%s[%d]", path, i);
			walk(list, n, below, x, y);
			x = x ? x->next : NULL;
			y = y ? y->next : NULL;
		}
		return;
	}
	if (!a || !b || !cJSON_Compare(a, b, true))
		differ(list, n, path, a, b);
}

int verify_compare(cJSON *list, const cJSON *stored, const cJSON *now)
{
	cJSON *a = comparable(stored), *b = comparable(now);
	struct buf x = { 0 }, y = { 0 };
	int n = 0;

	walk(list, &n, "", a, b);
	/* the bytes decide: the order of keys and the last digit of a number are part of them */
	json_print(&x, a);
	json_print(&y, b);
	if (n == 0 && strcmp(buf_str(&x), buf_str(&y)) != 0) {
		size_t at = 0;
		while (x.data[at] == y.data[at])
			at++;
		char what[80];
		snprintf(what, sizeof(what), "byte %zu of the score", at + 1);
		differ_text(list, &n, what, NULL, NULL);
	}
	buf_release(&x);
	buf_release(&y);
	cJSON_Delete(a);
	cJSON_Delete(b);
	return n;
}

/* ---- one turn, as it is stored ---- */

struct kept {
	char name[128], hash[SHA256_HEX];
	bool there;
};

/* What a scoring has to be opened with. */
struct key {
	char profile[128], reference[512]; /* reference "": the profile's own */
	int dialect;                       /* -1: the profile's own */
	unsigned artifacts;
	struct limits limits; /* zeroed before it was filled, as all of it */
};

struct item {
	int number, parent;
	char source[32], finish[32];
	struct kept kept[ARTIFACTS_MAX];
	int n_kept;
	struct buf text, log, program;
	cJSON *score, *parent_score;
	struct key key;
	struct scoring_input in;
	cJSON *differences;
	struct verified v;
	char why[400], remark[200];
	bool able;
	bool guessed; /* its reference, which is not recorded */
};

struct verify {
	struct verify_options o;
	struct scoring *scoring;
	struct key key;
	const enum dialect *dialect;
	enum dialect dialects[2];
	struct app app; /* with the limits of the key */
	/* of the episode in hand */
	int64_t episode;
	char task[128], task_hash[SHA256_HEX], profile[128], profile_hash[SHA256_HEX], source[32];
	cJSON *settings, *run_settings; /* of its run, which has what all of them share */
	struct limits limits;           /* under which it was made, */
	bool limits_known;              /* or those of today */
	int64_t run;
	struct item *item;
	int n;
	struct item **batch;
	struct err failed;
};

static void item_release(struct item *it)
{
	buf_release(&it->text);
	buf_release(&it->log);
	buf_release(&it->program);
	cJSON_Delete(it->score);
	cJSON_Delete(it->parent_score);
	cJSON_Delete(it->differences);
	it->score = it->parent_score = it->differences = NULL;
}

static void episode_release(struct verify *v)
{
	for (int i = 0; i < v->n; i++)
		item_release(&v->item[i]);
	free(v->item);
	v->item = NULL;
	v->n = 0;
	cJSON_Delete(v->settings);
	cJSON_Delete(v->run_settings);
	v->settings = v->run_settings = NULL;
}

static int take_episode(void *ctx, const struct store_episode *x)
{
	struct verify *v = ctx;

	snprintf(v->task, sizeof(v->task), "%s", x->task);
	snprintf(v->task_hash, sizeof(v->task_hash), "%s", x->task_hash ? x->task_hash : "");
	snprintf(v->profile, sizeof(v->profile), "%s", x->profile);
	snprintf(v->profile_hash, sizeof(v->profile_hash), "%s",
	         x->profile_hash ? x->profile_hash : "");
	snprintf(v->source, sizeof(v->source), "%s", x->source);
	v->settings = x->settings ? json_parse(x->settings, strlen(x->settings), NULL) : NULL;
	v->run = x->run;
	return 0;
}

static int take_run(void *ctx, const struct store_run *x)
{
	struct verify *v = ctx;

	v->run_settings = x->settings ? json_parse(x->settings, strlen(x->settings), NULL) : NULL;
	return 0;
}

static int take_turn(void *ctx, const struct store_turn *t)
{
	struct verify *v = ctx;
	struct item *more = realloc(v->item, (size_t)(v->n + 1) * sizeof(*more));

	if (!more) {
		err_set(&v->failed, ERR_MEM, "no memory for %d turns", v->n + 1);
		return 1;
	}
	v->item = more;
	struct item *it = &v->item[v->n++];
	*it = (struct item){ .number = t->number, .parent = t->parent };
	snprintf(it->source, sizeof(it->source), "%s", t->source);
	snprintf(it->finish, sizeof(it->finish), "%s", t->finish ? t->finish : "");
	return 0;
}

static int take_artifact(void *ctx, const struct store_artifact *a)
{
	struct item *it = ctx;

	if (it->n_kept == ARTIFACTS_MAX)
		return 1;
	struct kept *k = &it->kept[it->n_kept++];
	*k = (struct kept){ .there = a->there };
	snprintf(k->name, sizeof(k->name), "%s", a->name);
	snprintf(k->hash, sizeof(k->hash), "%s", a->hash);
	return 0;
}

static const struct kept *kept_of(const struct item *it, const char *name)
{
	for (int i = 0; i < it->n_kept; i++)
		if (strcmp(it->kept[i].name, name) == 0)
			return &it->kept[i];
	return NULL;
}

static bool is_there(const struct item *it, const char *name)
{
	const struct kept *k = kept_of(it, name);

	return k && k->there;
}

static int unable(struct item *it, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int unable(struct item *it, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(it->why, sizeof(it->why), fmt, ap);
	va_end(ap);
	it->v.why = it->why;
	it->v.verdict = VERIFY_UNABLE;
	it->able = false;
	return 0;
}

/* Every content that is there against its hash; a damaged one is a difference. What the rest needs
 * is kept. */
static int read_contents(struct verify *v, struct item *it, struct err *e)
{
	struct buf content = { 0 };
	int rc = 0;

	for (int i = 0; i < it->n_kept && rc == 0; i++) {
		struct kept *k = &it->kept[i];
		char what[160];
		if (!k->there)
			continue;
		buf_clear(&content);
		rc = store_artifact(v->o.store, v->episode, it->number, k->name, &content, e);
		if (rc < 0 && e->kind == ERR_INPUT) {
			snprintf(what, sizeof(what), "content of %s", k->name);
			differ_text(it->differences, &it->v.n_differences, what, k->hash,
			            "damaged");
			k->there = false;
			*e = (struct err){ 0 };
			rc = 0;
			continue;
		}
		it->v.contents++;
		if (rc == 0 && strcmp(k->name, "reward.json") == 0)
			it->score = json_parse(buf_str(&content), content.len, NULL);
		else if (rc == 0 && strcmp(k->name, "program.py") == 0)
			buf_add(&it->program, buf_str(&content), content.len);
		else if (rc == 0 && strcmp(k->name, "completion.txt") == 0)
			buf_add(&it->text, buf_str(&content), content.len);
	}
	buf_release(&content);
	return rc;
}

static int take_rule(void *ctx, const struct store_event *x)
{
	bool *file = ctx;

	if (strcmp(x->kind, "completion") != 0 || !x->data)
		return 0;
	cJSON *o = json_parse(x->data, strlen(x->data), NULL);
	*file = strcmp(json_string_or(o, "rule", ""), "file") == 0;
	cJSON_Delete(o);
	return 1;
}

/* The rule by which the stored program is what the stored completion holds; false: by none. */
static bool find_rule(struct item *it, bool file, enum extract_rule *rule)
{
	const enum extract_rule order[] = { file ? EXTRACT_FILE : EXTRACT_ANSWER,
		                            file ? EXTRACT_ANSWER : EXTRACT_FILE,
		                            EXTRACT_COMPLETION };

	*rule = order[0];
	for (int i = 0; i < 3; i++) {
		struct extract x;
		if (extract_program(&x, order[i], buf_str(&it->text), it->text.len, NULL) < 0)
			return false;
		bool same =
			x.program.len == it->program.len &&
			memcmp(buf_str(&x.program), buf_str(&it->program), it->program.len) == 0;
		extract_release(&x);
		if (same) {
			*rule = order[i];
			return true;
		}
	}
	return false;
}

/* What is built again: the completion, or the program where that is all there is, or a part that
 * came without one. */
static int find_text(struct verify *v, struct item *it, struct err *e)
{
	struct scoring_input *in = &it->in;
	bool served = strcmp(it->source, "serve") == 0, file = served, text;

	in->program_lines = !served;
	in->file = "program.py";
	if (!served && store_events(v->o.store, v->episode, it->number, take_rule, &file, e) < 0)
		return -1;
	text = is_there(it, "completion.txt");
	/* what was ended while it was being written was built as far as it had been executed */
	in->unfinished = strcmp(it->finish, "failed") == 0;
	if (text && !in->unfinished &&
	    (find_rule(it, file, &in->rule) || !is_there(it, "program.py"))) {
		in->text = buf_str(&it->text);
		in->len = it->text.len;
		return 0;
	}
	if (is_there(it, "program.py") && (it->program.len > 0 || text)) {
		in->rule = EXTRACT_FILE;
		in->text = buf_str(&it->program);
		in->len = it->program.len;
		return 0;
	}
	if (!kept_of(it, "completion.txt") && is_there(it, "shape.step")) {
		buf_clear(&it->text);
		if (store_artifact(v->o.store, v->episode, it->number, "shape.step", &it->text, e) <
		    0)
			return -1;
		in->shape = it->text.data;
		in->shape_len = it->text.len;
		in->shape_is_step = true;
		in->file = NULL;
		return 0;
	}
	return unable(it, "its program is not in the database any more");
}

static void find_key(const struct verify *v, struct item *it)
{
	struct key *k = &it->key;
	const char *dialect =
		json_string_or(cJSON_GetObjectItemCaseSensitive(it->score, "build"), "dialect", "");
	bool seed = strncmp(v->profile, "seed-", 5) == 0 || strcmp(v->profile, "strict") == 0;
	const char *reference = json_string_or(v->settings, "reference",
	                                       json_string_or(v->run_settings, "reference", ""));

	/* a server records its reference; those that did not yet took this one */
	it->guessed = seed && strcmp(v->source, "serve") == 0 &&
	              !cJSON_GetObjectItemCaseSensitive(v->settings, "reference");
	if (it->guessed)
		reference = "seed-task";
	memset(k, 0, sizeof(*k));
	snprintf(k->profile, sizeof(k->profile), "%s", v->profile);
	snprintf(k->reference, sizeof(k->reference), "%s", reference);
	k->limits = v->limits;
	k->dialect = strcmp(dialect, "open") == 0   ? DIALECT_OPEN
	             : strcmp(dialect, "seed") == 0 ? DIALECT_SEED
	                                            : -1;
	for (int i = 0; i < it->n_kept; i++) {
		const char *name = it->kept[i].name;
		size_t n = strlen(name);
		if (strcmp(name, "shape.brep") == 0)
			k->artifacts |= SCORING_BREP;
		else if (strcmp(name, "shape.stl") == 0)
			k->artifacts |= SCORING_STL;
		else if (strcmp(name, "shape.step") == 0 && !it->in.shape)
			k->artifacts |= SCORING_STEP;
		else if (n > 4 && strcmp(name + n - 4, ".png") == 0)
			k->artifacts |= SCORING_VIEWS;
	}
}

static int cmp_key(const struct key *a, const struct key *b)
{
	return memcmp(a, b, sizeof(*a));
}

/* Fills @it; it is able to be built again, or says why not. */
static int read_item(struct verify *v, struct item *it, struct err *e)
{
	const char *id;

	it->v = (struct verified){
		.episode = v->episode, .turn = it->number, .stored_total = NAN, .now_total = NAN
	};
	it->able = true;
	if (!(it->differences = cJSON_CreateArray()))
		return err_set(e, ERR_MEM, "out of memory");
	if (store_artifacts(v->o.store, v->episode, it->number, take_artifact, it, e) < 0 ||
	    read_contents(v, it, e) < 0)
		return -1;
	if (!cJSON_IsObject(it->score))
		return unable(it, "its score (reward.json) is not in the database any more");
	it->v.stored_total =
		json_number_or(cJSON_GetObjectItemCaseSensitive(it->score, "reward"), "total", NAN);
	if (strcmp(json_string_or(cJSON_GetObjectItemCaseSensitive(it->score, "build"), "cause",
	                          ""),
	           "builder_lost") == 0)
		return unable(it, "its builder was lost when it was made: there is no reward of "
		                  "the program's own");
	id = json_string_or(it->score, "task", NULL);
	it->in.task = id ? task_find(v->o.tasks, id, NULL) : NULL;
	if (id && !it->in.task)
		return unable(it,
		              "the task %.80s is not here ('cadforge tasks' lists those that "
		              "are)",
		              id);
	if (find_text(v, it, e) < 0)
		return -1;
	find_key(v, it);
	if (it->able && it->parent &&
	    cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(it->score, "delta"))) {
		struct buf text = { 0 };
		struct err lost;
		if (store_artifact(v->o.store, v->episode, it->parent, "reward.json", &text,
		                   &lost) == 0)
			it->parent_score = json_parse(buf_str(&text), text.len, NULL);
		buf_release(&text);
		it->in.parent = it->parent_score;
	}
	return 0;
}

/* ---- built again ---- */

static void set_hash(char out[SHA256_HEX], const struct buf *b)
{
	sha256_hex(buf_str(b), b->len, out);
}

static void compare_artifact(struct item *it, const char *name, const struct buf *now)
{
	const struct kept *k = kept_of(it, name);
	char hash[SHA256_HEX];

	/* what nobody asked for then is no difference */
	if (!k)
		return;
	it->v.artifacts++;
	set_hash(hash, now);
	if (strcmp(hash, k->hash) != 0)
		differ_text(it->differences, &it->v.n_differences, name, k->hash,
		            now->len ? hash : "none");
}

/* Where the shape begins in STEP text: the hour of its making is before it. */
static void step_body(const struct buf *step, struct buf *out)
{
	const char *at = memmem(buf_str(step), step->len, "\nDATA;", 6);
	size_t head = at ? (size_t)(at - buf_str(step)) : 0;

	buf_add(out, buf_str(step) + head, step->len - head);
}

static int compare_step(struct verify *v, struct item *it, const struct buf *now, struct err *e)
{
	struct buf was = { 0 }, a = { 0 }, b = { 0 };
	char x[SHA256_HEX], y[SHA256_HEX];
	int rc = 0;

	if (it->in.shape || !is_there(it, "shape.step"))
		return 0;
	rc = store_artifact(v->o.store, v->episode, it->number, "shape.step", &was, e);
	if (rc == 0) {
		it->v.artifacts++;
		step_body(&was, &a);
		step_body(now, &b);
		set_hash(x, &a);
		set_hash(y, &b);
		if (strcmp(x, y) != 0)
			differ_text(it->differences, &it->v.n_differences,
			            "shape.step behind its head", x, now->len ? y : "none");
	}
	buf_release(&was);
	buf_release(&a);
	buf_release(&b);
	return rc;
}

static void compare(struct item *it, const struct scored *out)
{
	struct buf was = { 0 }, now = { 0 }, notes = { 0 };
	const cJSON *note;

	if (out->lost) {
		unable(it, "our builder was lost under it: verify it again");
		return;
	}
	verify_print(&was, it->score);
	verify_print(&now, out->json);
	it->v.stored_bytes = was.len;
	it->v.now_bytes = now.len;
	set_hash(it->v.stored_hash, &was);
	set_hash(it->v.now_hash, &now);
	it->v.now_total = out->total;
	cJSON *list = cJSON_CreateArray();
	int n = verify_compare(list, it->score, out->json);
	for (cJSON *x; (x = cJSON_DetachItemFromArray(list, 0));)
		if (cJSON_GetArraySize(it->differences) < VERIFY_TOLD)
			cJSON_AddItemToArray(it->differences, x);
		else
			cJSON_Delete(x);
	cJSON_Delete(list);
	it->v.n_differences += n;
	if (!it->in.shape && it->in.text != buf_str(&it->program))
		compare_artifact(it, "program.py", &out->program);
	compare_artifact(it, "build.log", &out->log);
	cJSON_ArrayForEach(note, cJSON_GetObjectItemCaseSensitive(out->json, "notes"))
	{
		if (cJSON_IsString(note))
			buf_printf(&notes, "%s\n", note->valuestring);
	}
	compare_artifact(it, "notes.txt", &notes);
	compare_artifact(it, "shape.brep", &out->brep);
	compare_artifact(it, "shape.stl", &out->stl);
	for (int i = 0; i < it->n_kept; i++) {
		const struct buf none = { 0 }, *png = &none;
		size_t len = strlen(it->kept[i].name);
		if (len < 5 || strcmp(it->kept[i].name + len - 4, ".png") != 0)
			continue;
		for (int k = 0; k < out->n_pictures; k++)
			if (strncmp(out->pictures[k].name, it->kept[i].name, len - 4) == 0 &&
			    !out->pictures[k].name[len - 4])
				png = &out->pictures[k].png;
		compare_artifact(it, it->kept[i].name, png);
	}
	buf_release(&was);
	buf_release(&now);
	buf_release(&notes);
}

static void on_done(void *ctx, size_t index, struct scored *out)
{
	struct verify *v = ctx;

	compare(v->batch[index], out);
}

static int on_tick(void *ctx)
{
	struct verify *v = ctx;

	return v->o.tick ? v->o.tick(v->o.ctx) : 0;
}

/* A scoring that does what was done then. 1: this profile or reference is not to be had, @e says
 * why. */
static int open_scoring(struct verify *v, const struct key *k, struct err *e)
{
	if (v->scoring && cmp_key(&v->key, k) == 0)
		return 0;
	scoring_close(v->scoring);
	v->app = *v->o.app;
	v->app.limits = k->limits;
	const struct scoring_options so = {
		.app = &v->app,
		.profile = k->profile,
		.reference = *k->reference ? k->reference : NULL,
		.dialect = k->dialect < 0 ? NULL : &v->dialects[k->dialect == DIALECT_SEED],
		.rebuilds = (int)json_number_or(v->settings, "rebuilds", -1),
		.artifacts = k->artifacts,
		.ears = { .ctx = v, .tick = on_tick },
	};
	v->key = *k;
	v->scoring = scoring_open(&so, e);
	if (v->scoring)
		return 0;
	return e->kind == ERR_USAGE || e->kind == ERR_INPUT ? 1 : -1;
}

static int hash_of_task(const struct task *t, char out[SHA256_HEX])
{
	struct buf text = { 0 };
	int rc = t && t->file ? buf_read_file(&text, t->file, 16 << 20, NULL) : -1;

	if (rc == 0)
		sha256_hex(buf_str(&text), text.len, out);
	buf_release(&text);
	return rc;
}

static void find_remark(struct verify *v, struct item *it)
{
	char hash[SHA256_HEX];

	if (*v->profile_hash && strcmp(v->profile_hash, scoring_profile_hash(v->scoring)) != 0)
		snprintf(it->remark, sizeof(it->remark),
		         "the profile %.60s is not what it was then", v->profile);
	else if (*v->task_hash && hash_of_task(it->in.task, hash) == 0 &&
	         strcmp(hash, v->task_hash) != 0)
		snprintf(it->remark, sizeof(it->remark), "the task %.60s is not what it was then",
		         v->task);
	else if (it->guessed)
		snprintf(it->remark, sizeof(it->remark),
		         "its reference is not recorded: the task's published one was taken");
	else if (!v->limits_known)
		snprintf(it->remark, sizeof(it->remark),
		         "its limits are not recorded: those of now were taken (%g s, %g s of CPU, "
		         "%d MiB)",
		         v->limits.wall_s, v->limits.cpu_s, v->limits.memory_mib);
	it->v.remark = *it->remark ? it->remark : NULL;
}

static int run_alone(struct verify *v, struct item *it, struct err *e)
{
	struct scored out = { 0 };

	if (scoring_run(v->scoring, &it->in, &out, e) < 0)
		return -1;
	compare(it, &out);
	int rc = out.lost ? 0 : compare_step(v, it, &out.step, e);
	scored_release(&out);
	return rc;
}

/* Those of @n from @first on that are scored alike; builds several at once. */
static int run_batch(struct verify *v, struct item *first, int n, struct err *e)
{
	struct scoring_input in[BATCH];
	struct item *batch[BATCH];
	int k = 0, rc = 0;

	for (int i = 0; i < n; i++)
		if (first[i].able && k < BATCH &&
		    (k == 0 || cmp_key(&batch[0]->key, &first[i].key) == 0)) {
			batch[k] = &first[i];
			in[k++] = first[i].in;
		}
	if (k == 0)
		return 0;
	rc = open_scoring(v, &batch[0]->key, e);
	if (rc == 1) {
		for (int i = 0; i < k; i++)
			unable(batch[i], "%s", e->text);
		*e = (struct err){ 0 };
		return 0;
	}
	v->batch = batch;
	for (int i = 0; rc == 0 && i < k; i++)
		find_remark(v, batch[i]);
	/* pictures and STEP are made of one at a time */
	bool alone = batch[0]->key.artifacts & (SCORING_VIEWS | SCORING_STEP);
	if (rc == 0 && !alone)
		rc = scoring_run_all(v->scoring, in, (size_t)k, on_done, v, e);
	for (int i = 0; rc == 0 && alone && i < k; i++)
		rc = run_alone(v, batch[i], e);
	v->batch = NULL;
	/* a reference that is not there any more is no failure of ours */
	if (rc < 0 && (e->kind == ERR_USAGE || e->kind == ERR_INPUT)) {
		for (int i = 0; i < k; i++)
			unable(batch[i], "%s", e->text);
		*e = (struct err){ 0 };
		rc = 0;
	}
	for (int i = 0; i < k; i++)
		batch[i]->able = false; /* done */
	return rc;
}

static void tell(struct verify *v, struct item *it)
{
	it->v.differences = it->differences;
	if (it->v.n_differences > 0)
		it->v.verdict = VERIFY_DIFFERS;
	if (v->o.one)
		v->o.one(v->o.ctx, &it->v);
	/* an episode may have very many turns */
	item_release(it);
}

static int run_items(struct verify *v, struct err *e)
{
	for (int at = 0; at < v->n;) {
		int n = v->n - at < BATCH ? v->n - at : BATCH;
		bool more = true;
		for (int i = 0; i < n; i++) {
			if (on_tick(v))
				return err_set(e, ERR_CANCELLED, "interrupted");
			if (read_item(v, &v->item[at + i], e) < 0)
				return -1;
		}
		/* most of an episode is scored alike; else as many batches as there are ways */
		while (more) {
			more = false;
			if (run_batch(v, &v->item[at], n, e) < 0)
				return -1;
			for (int i = 0; i < n; i++)
				more = more || v->item[at + i].able;
		}
		for (int i = 0; i < n; i++)
			tell(v, &v->item[at + i]);
		at += n;
	}
	return 0;
}

/* Those that the episode was made under, else its run's, else those of now. */
static int find_limits(struct verify *v, struct err *e)
{
	int rc = limits_json_get(&v->limits, v->settings, e);

	if (rc == 0)
		rc = limits_json_get(&v->limits, v->run_settings, e);
	v->limits_known = rc == 1;
	if (rc == 0) {
		/* by way of the same words, so that all bytes of it are written */
		cJSON *o = cJSON_CreateObject();
		limits_json_add(o, &v->o.app->limits);
		rc = limits_json_get(&v->limits, o, e);
		cJSON_Delete(o);
	}
	return rc < 0 ? -1 : 0;
}

int verify_episode(struct verify *v, int64_t episode, int turn, struct err *e)
{
	int rc;

	episode_release(v);
	v->episode = episode;
	v->failed = (struct err){ 0 };
	if (store_episode(v->o.store, episode, take_episode, v, e) < 0 ||
	    (v->run && store_runs(v->o.store, v->run, 1, take_run, v, e) < 0))
		return -1;
	if (find_limits(v, e) < 0)
		return err_wrap(e, "episode %lld", (long long)episode);
	rc = turn ? store_turn(v->o.store, episode, turn, take_turn, v, e)
	          : store_turns(v->o.store, episode, take_turn, v, e);
	if (rc == 0 && v->failed.kind) {
		*e = v->failed;
		rc = -1;
	}
	if (rc == 0)
		rc = run_items(v, e);
	episode_release(v);
	return rc;
}

struct verify *verify_open(const struct verify_options *o, struct err *e)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	v->o = *o;
	v->dialects[0] = DIALECT_OPEN;
	v->dialects[1] = DIALECT_SEED;
	return v;
}

void verify_close(struct verify *v)
{
	if (!v)
		return;
	episode_release(v);
	scoring_close(v->scoring);
	free(v);
}
