#include "src/import_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "engine/limits_json.h"
#include "src/episode_read.h"
#include "src/turn.h"

enum { BATCH = IMPORT_BATCH, PROGRAM_MAX = 8 << 20, SHAPE_MAX = 256 << 20, DEPTH_MAX = 8 };

struct seen {
	char key[SHA256_HEX];
	int times;
};

static void item_release(struct import_item *it)
{
	free(it->file);
	buf_release(&it->text);
	jsonl_completion_release(&it->said);
	if (it->done)
		scored_release(&it->scored);
	*it = (struct import_item){ 0 };
}

void import_tell(struct import *im, const struct imported_one *x)
{
	if (im->o.one)
		im->o.one(im->o.ctx, x);
}

void import_problem(struct import *im, const char *file, int line, const char *task,
                    const struct err *why)
{
	import_tell(im, &(struct imported_one){
				.file = file, .line = line, .task = task, .problem = why->text });
}

int import_tick(struct import *im)
{
	return im->o.tick ? im->o.tick(im->o.ctx) : 0;
}

static int on_tick(void *ctx)
{
	return import_tick(ctx);
}

/* ---- what is in already ---- */

static int compare_seen(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->key, ((const struct seen *)b)->key);
}

/* A group may have equal answers: they are counted. */
int import_origin(struct import *im, const struct buf *content, char out[IMPORT_ORIGIN],
                  struct err *e)
{
	struct seen *s = calloc(1, sizeof(*s)), **at = NULL;

	if (s && !buf_failed(content)) {
		sha256_hex(buf_str(content), content->len, s->key);
		at = tsearch(s, &im->seen, compare_seen);
	}
	if (!at) {
		free(s);
		return err_set(e, ERR_MEM, "out of memory");
	}
	if (*at != s)
		free(s);
	snprintf(out, IMPORT_ORIGIN, "import:%s:%d", (*at)->key, ++(*at)->times);
	return 0;
}

static int name_origin(struct import *im, struct import_item *it, struct err *e)
{
	struct buf all = { 0 };

	buf_printf(&all, "%s\n%s\n%s\n", im->profile_hash, it->task->id,
	           it->step ? "shape" : "completion");
	if (it->said.prompt)
		json_print(&all, it->said.prompt);
	buf_addc(&all, '\n');
	buf_add(&all, it->text.data, it->text.len);
	int rc = import_origin(im, &all, it->origin, e);
	buf_release(&all);
	return rc;
}

/* ---- scoring and storing ---- */

int import_start_scoring(struct import *im, struct err *e)
{
	struct scoring_options so = im->o.scoring;

	if (im->scoring)
		return 0;
	so.ears.ctx = im;
	so.ears.tick = on_tick;
	im->scoring = scoring_open(&so, e);
	if (im->scoring)
		snprintf(im->profile_hash, sizeof(im->profile_hash), "%s",
		         scoring_profile_hash(im->scoring));
	return im->scoring ? 0 : -1;
}

void import_settings(const struct import *im, struct buf *out)
{
	cJSON *o = cJSON_CreateObject();

	json_add_text(o, "version", PACKAGE_VERSION);
	/* what 'cadforge verify' has to do alike */
	json_add_text(o, "reference", im->o.scoring.reference);
	limits_json_add(o, &im->o.app->limits);
	json_print(out, o);
	cJSON_Delete(o);
}

static int store_one(struct import *im, const struct import_item *it, const struct scored *sc,
                     int64_t *episode, struct err *e)
{
	struct store *s = im->o.store;
	struct buf settings = { 0 };
	int number;

	import_settings(im, &settings);
	struct store_episode_new n = {
		.task = it->task->id,
		.pack = *it->task->pack ? it->task->pack : NULL,
		.profile = scoring_profile_name(im->scoring),
		.profile_hash = im->profile_hash,
		.source = "import",
		.origin = it->origin,
		.settings = buf_str(&settings),
	};
	struct turn_new t = {
		.source = "import",
		.model = it->said.model,
		.adapter = it->said.adapter,
		.finish = it->said.finish,
		.prompt = it->said.prompt,
		.completion = it->step ? NULL : buf_str(&it->text),
		.completion_len = it->step ? 0 : it->text.len,
		.scored = sc,
	};

	if (store_batch_begin(s, e) < 0) {
		buf_release(&settings);
		return -1;
	}
	int rc = store_episode_start(s, &n, episode, e);
	if (rc == 0) {
		t.episode = *episode;
		rc = turn_commit(s, &t, &number, e);
	}
	if (store_batch_end(s, rc == 0, rc == 0 ? e : NULL) < 0)
		rc = -1;
	buf_release(&settings);
	return rc;
}

static int store_next(struct import *im, struct err *e)
{
	struct import_item *it = &im->item[im->stored++];
	struct scored *sc = &it->scored;
	int64_t episode;

	/* what it came as is its STEP */
	if (it->step && sc->step.len == 0)
		buf_add(&sc->step, it->text.data, it->text.len);
	if (store_one(im, it, sc, &episode, e) < 0)
		return err_wrap(e, "%s", it->file);
	import_tell(im, &(struct imported_one){ .file = it->file,
	                                        .line = it->line,
	                                        .task = it->task->id,
	                                        .episode = episode,
	                                        .turns = 1,
	                                        .score = sc->json });
	scored_release(sc);
	it->done = false;
	return 0;
}

/* They end in any order; numbers are given out in that of the file. */
static void on_done(void *ctx, size_t index, struct scored *out)
{
	struct import *im = ctx;
	struct err e = { 0 };

	im->item[index].scored = *out;
	im->item[index].done = true;
	*out = (struct scored){ 0 };
	while (!im->failed.kind && im->stored < im->n && im->item[im->stored].done)
		if (store_next(im, &e) < 0)
			im->failed = e;
}

static int flush(struct import *im, struct err *e)
{
	struct scoring_input in[BATCH] = { 0 };
	int rc = 0;

	for (int i = 0; i < im->n; i++) {
		struct import_item *it = &im->item[i];
		in[i] = (struct scoring_input){
			.task = it->task,
			.text = buf_str(&it->text),
			.len = it->text.len,
			.rule = it->rule,
			.program_lines = true,
			.file = "program.py",
		};
		if (it->step) {
			in[i].text = NULL;
			in[i].len = 0;
			in[i].shape = it->text.data;
			in[i].shape_len = it->text.len;
			in[i].shape_is_step = true;
			in[i].file = NULL;
		}
	}
	if (im->n > 0)
		rc = scoring_run_all(im->scoring, in, (size_t)im->n, on_done, im, e);
	/* after an interruption also those behind one that never ended */
	struct err late = { 0 };
	for (; rc < 0 && e->kind == ERR_CANCELLED && im->stored < im->n;)
		if (!im->item[im->stored].done)
			im->stored++;
		else if (store_next(im, &late) < 0)
			break;
	for (int i = 0; i < im->n; i++)
		item_release(&im->item[i]);
	im->n = im->stored = 0;
	if (rc == 0 && im->failed.kind) {
		*e = im->failed;
		rc = -1;
	}
	return rc;
}

/* Takes @it over. */
static int add_item(struct import *im, struct import_item *it, struct err *e)
{
	int64_t there = 0;

	if (import_start_scoring(im, e) < 0 || name_origin(im, it, e) < 0 ||
	    store_episode_by_origin(im->o.store, it->origin, &there, e) < 0) {
		item_release(it);
		return -1;
	}
	if (there) {
		import_tell(im, &(struct imported_one){ .file = it->file,
		                                        .line = it->line,
		                                        .task = it->task->id,
		                                        .episode = there,
		                                        .already = true });
		item_release(it);
		return 0;
	}
	im->item[im->n++] = *it;
	return im->n == BATCH ? flush(im, e) : 0;
}

/* ---- lines ---- */

static int add_line(struct import *im, const char *file, int line, const char *text, size_t len,
                    struct err *e);

/* Of its line there is only one. */
static void one_line(struct err *why)
{
	static const char first[] = "line 1, ";
	size_t n = strlen(first);

	if (strncmp(why->text, first, n) == 0)
		memmove(why->text, why->text + n, strlen(why->text + n) + 1);
}

/* A table kept by column, as trainers log a whole batch: a row of it is a line. */
static int add_columns(struct import *im, const char *file, int line, const cJSON *table,
                       struct err *e)
{
	int n = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(table, "completion")), rc = 0;

	for (int i = 0; rc == 0 && i < n; i++) {
		cJSON *row = jsonl_row(table, i);
		struct buf text = { 0 };
		json_print(&text, row);
		cJSON_Delete(row);
		rc = buf_failed(&text) ? err_set(e, ERR_MEM, "out of memory")
		                       : add_line(im, file, line, buf_str(&text), text.len, e);
		buf_release(&text);
	}
	return rc;
}

static int add_line(struct import *im, const char *file, int line, const char *text, size_t len,
                    struct err *e)
{
	struct import_item it = { .line = line, .rule = EXTRACT_ANSWER };
	struct err why = { 0 };

	if (jsonl_blank(text, len))
		return 0;
	cJSON *table = jsonl_columns(text, len);
	if (table) {
		int rc = add_columns(im, file, line, table, e);
		cJSON_Delete(table);
		return rc;
	}
	if (jsonl_completion_parse(&it.said, text, len, &why) < 0) {
		one_line(&why);
		import_problem(im, file, line, NULL, &why);
		return 0;
	}
	it.task = it.said.task ? task_find(im->o.tasks, it.said.task, &why) : im->o.task;
	if (!it.task) {
		if (!it.said.task)
			err_set(&why, ERR_INPUT,
			        "task: the id of a task was expected, and there is none; --task "
			        "ID says it for all lines without");
		import_problem(im, file, line, it.said.task, &why);
		item_release(&it);
		return 0;
	}
	it.file = strdup(file);
	buf_adds(&it.text, it.said.completion);
	if (!it.file || buf_failed(&it.text)) {
		item_release(&it);
		return err_set(e, ERR_MEM, "out of memory");
	}
	return add_item(im, &it, e);
}

/* The next line into @line, without its end, as far as it is no longer than may be; *@len is its
 * length. False at the end of the file. */
static bool next_line(FILE *f, struct buf *line, size_t *len)
{
	int c;

	buf_clear(line);
	for (*len = 0; (c = getc_unlocked(f)) != EOF && c != '\n'; ++*len)
		if (*len < JSONL_LINE_MAX)
			buf_addc(line, (char)c);
	return c != EOF || *len > 0;
}

/* Of a transcript's -2: the error is the import's own, or memory's. */
static int message_failed(struct import *im, int rc, struct err *e)
{
	if (rc == -2 && im->failed.kind) {
		*e = im->failed;
		im->failed = (struct err){ 0 };
	}
	return rc == -2 ? -1 : 0;
}

static int add_message(struct import *im, struct transcript *t, const char *path, int line,
                       const char *text, size_t len, struct err *e)
{
	struct err why = { 0 };

	if (jsonl_blank(text, len))
		return 0;
	int rc = transcript_line(t, line, text, len, &why);
	one_line(&why);
	if (rc == -1)
		import_problem(im, path, line, NULL, &why);
	if (rc == -2)
		*e = why;
	return message_failed(im, rc, e);
}

static int import_lines(struct import *im, const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");
	struct transcript *t = NULL;
	struct buf text = { 0 };
	size_t len;
	int line = 0, rc = 0;
	bool begun = false;

	if (!f)
		return err_errno(e, ERR_INPUT, "%s", path);
	im->file = path;
	while (rc == 0 && next_line(f, &text, &len)) {
		struct err why;
		size_t skip =
			++line == 1 && strncmp(buf_str(&text), "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
		if (on_tick(im)) {
			rc = err_set(e, ERR_CANCELLED, "interrupted");
		} else if (buf_failed(&text)) {
			rc = err_set(e, ERR_MEM, "%s:%d: no memory for a line", path, line);
		} else if (len > JSONL_LINE_MAX) {
			err_set(&why, ERR_INPUT, "a line of %zu bytes; at most %d are read", len,
			        JSONL_LINE_MAX);
			import_problem(im, path, line, NULL, &why);
		} else {
			const char *p = buf_str(&text) + skip;
			/* the first line says what the file is */
			if (!begun && !jsonl_blank(p, len - skip)) {
				begun = true;
				if (transcript_is(p, len - skip) &&
				    !(t = transcript_new(import_transcript_episode, im)))
					rc = err_set(e, ERR_MEM, "out of memory");
			}
			if (rc == 0)
				rc = t ? add_message(im, t, path, line, p, len - skip, e)
				       : add_line(im, path, line, p, len - skip, e);
		}
	}
	if (rc == 0 && t)
		rc = message_failed(im, transcript_end(t, e), e);
	transcript_free(t);
	if (rc == 0 && ferror(f))
		rc = err_errno(e, ERR_INPUT, "%s: reading", path);
	buf_release(&text);
	fclose(f);
	return rc;
}

/* ---- programs and parts ---- */

static bool id_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The task whose id @name begins with, the longest of several. */
static const struct task *task_named(const struct task_set *tasks, const char *name, size_t n)
{
	const struct task *best = NULL;
	size_t longest = 0;

	for (int i = 0; i < tasks->n; i++) {
		size_t len = strlen(tasks->tasks[i].id);
		if (len > n || len <= longest || strncmp(name, tasks->tasks[i].id, len) != 0 ||
		    (len < n && id_letter(name[len])))
			continue;
		best = &tasks->tasks[i];
		longest = len;
	}
	return best;
}

const struct task *import_task_of(const struct task_set *tasks, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	const struct task *t = task_named(tasks, name, dot ? (size_t)(dot - name) : strlen(name));

	/* else the folder that it is in */
	const char *begin = slash;
	while (!t && begin && begin > path && begin[-1] != '/')
		begin--;
	if (!t && slash)
		t = task_named(tasks, begin, (size_t)(slash - begin));
	return t;
}

static int import_file(struct import *im, const char *path, bool step, struct err *e)
{
	struct import_item it = { .rule = EXTRACT_FILE, .step = step };
	struct err why = { 0 };

	it.task = im->o.task ? im->o.task : import_task_of(im->o.tasks, path);
	if (!it.task) {
		err_set(&why, ERR_INPUT,
		        "no task is in its name: call it TASK%s or TASK-anything%s, put it into a "
		        "folder TASK, or give --task ID",
		        step ? ".step" : ".py", step ? ".step" : ".py");
		import_problem(im, path, 0, NULL, &why);
		return 0;
	}
	if (buf_read_file(&it.text, path, step ? SHAPE_MAX : PROGRAM_MAX, &why) < 0) {
		import_problem(im, path, 0, it.task->id, &why);
		item_release(&it);
		return 0;
	}
	if (!(it.file = strdup(path))) {
		item_release(&it);
		return err_set(e, ERR_MEM, "out of memory");
	}
	return add_item(im, &it, e);
}

/* ---- exported episodes ---- */

/* Whether a failure is the matter of what is imported, or of ours. */
static bool is_problem(const struct err *e)
{
	return e->kind == ERR_INPUT || e->kind == ERR_USAGE;
}

static int import_episode(struct import *im, const char *dir, struct err *e)
{
	struct imported_one told = { .file = dir };
	struct episode_read in = { .tick = on_tick, .ctx = im };
	struct err why = { 0 };
	int rc = episode_read(im->o.store, dir, &in, &why);

	told.task = in.task[0] ? in.task : NULL;
	if (rc < 0 && is_problem(&why)) {
		import_problem(im, dir, 0, told.task, &why);
		return 0;
	}
	if (rc < 0) {
		*e = why;
		return why.kind == ERR_CANCELLED ? -1 : err_wrap(e, "%s", dir);
	}
	told.episode = in.episode;
	told.turns = in.turns;
	told.already = in.already;
	import_tell(im, &told);
	return 0;
}

/* ---- paths ---- */

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcasecmp(name + n - m, end) == 0;
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* @found counts what was one of ours. */
static int import_any(struct import *im, const char *path, int depth, int *found, struct err *e);

static int import_folder(struct import *im, const char *dir, int depth, int *found, struct err *e)
{
	char path[PATH_MAX];
	struct dirent **list = NULL;
	int rc = 0, n;

	snprintf(path, sizeof(path), "%s/episode.json", dir);
	if (access(path, F_OK) == 0) {
		++*found;
		return import_episode(im, dir, e);
	}
	n = scandir(dir, &list, not_hidden, alphasort);
	if (n < 0)
		return err_errno(e, ERR_INPUT, "%s", dir);
	for (int i = 0; i < n; i++) {
		int len = snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		if (rc == 0 && len > 0 && (size_t)len < sizeof(path))
			rc = import_any(im, path, depth + 1, found, e);
		free(list[i]);
	}
	free(list);
	return rc;
}

static int import_any(struct import *im, const char *path, int depth, int *found, struct err *e)
{
	struct stat st;

	/* inside a folder, links are passed over: they may go round in a circle */
	if ((depth == 0 ? stat(path, &st) : lstat(path, &st)) < 0)
		return err_errno(e, ERR_INPUT, "%s", path);
	if (on_tick(im))
		return err_set(e, ERR_CANCELLED, "interrupted");
	if (S_ISDIR(st.st_mode))
		return depth < DEPTH_MAX ? import_folder(im, path, depth, found, e) : 0;
	if (depth > 0 && !S_ISREG(st.st_mode))
		return 0;
	++*found;
	if (ends_in(path, ".jsonl") || ends_in(path, ".ndjson"))
		return import_lines(im, path, e);
	if (ends_in(path, ".py"))
		return import_file(im, path, false, e);
	if (ends_in(path, ".step") || ends_in(path, ".stp"))
		return import_file(im, path, true, e);
	--*found;
	return depth > 0 ? 0
	                 : err_set(e, ERR_USAGE, "%s: .jsonl, .py, .step, or a folder was expected",
	                           path);
}

int import_path(struct import *im, const char *path, struct err *e)
{
	char clean[PATH_MAX];
	size_t n = strlen(path);
	int found = 0;

	while (n > 1 && path[n - 1] == '/')
		n--;
	snprintf(clean, sizeof(clean), "%.*s", (int)(n < sizeof(clean) ? n : sizeof(clean) - 1),
	         path);
	int rc = import_any(im, clean, 0, &found, e);
	if (rc == 0 && found == 0)
		return err_set(e, ERR_INPUT,
		               "%s: nothing in it that can be imported: an exported episode, "
		               ".jsonl, .py or .step",
		               path);
	/* what waits comes in, whatever became of the rest */
	struct err late;
	if (flush(im, rc == 0 ? e : &late) < 0 && rc == 0)
		rc = -1;
	return rc;
}

struct import *import_open(const struct import_options *o, struct err *e)
{
	struct import *im = calloc(1, sizeof(*im));

	if (!im) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	im->o = *o;
	return im;
}

void import_close(struct import *im)
{
	if (!im)
		return;
	for (int i = 0; i < im->n; i++)
		item_release(&im->item[i]);
	scoring_close(im->scoring);
	tdestroy(im->seen, free);
	free(im);
}
