#include "src/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/repair.h"
#include "src/base/sha256.h"
#include "src/episode.h"
#include "src/export_pairs.h"
#include "src/episode_page.h"
#include "src/jsonl.h"
#include "src/page.h"

/* ---- one episode, read ---- */

struct turn {
	struct page_turn page;
	cJSON *json, *score, *prompt; /* its object in episode.json */
	struct buf program, log, sheet, judgements;
	char *source, *finish, *model, *adapter;
	char sheet_name[64], folder[32];
	double total, parent_total;
	int64_t committed_us;
	bool built;
};

struct reading {
	struct store *store;
	int64_t id;
	cJSON *json; /* episode.json */
	struct turn *turn;
	int n;
	int best;
	char task[128], profile[128], prompts[128], when[32], end[160];
	char first[80];    /* the link of the first turn: no other episode has it */
	int64_t run;       /* that it belongs to; 0 */
	int damaged;       /* artifacts that could not be read */
	struct turn *into; /* the turn that a callback fills */
	cJSON *list;
	struct err failed;
};

static void reading_release(struct reading *r)
{
	for (int i = 0; i < r->n; i++) {
		struct turn *t = &r->turn[i];
		cJSON_Delete(t->score);
		cJSON_Delete(t->prompt);
		buf_release(&t->program);
		buf_release(&t->log);
		buf_release(&t->sheet);
		buf_release(&t->judgements);
		free(t->source);
		free(t->finish);
		free(t->model);
		free(t->adapter);
	}
	free(r->turn);
	cJSON_Delete(r->json); /* has the turns' objects */
	*r = (struct reading){ 0 };
}

static void add_time(cJSON *o, const char *key, int64_t us)
{
	char text[40];

	store_utc_time(text, sizeof(text), us);
	cJSON_AddStringToObject(o, key, text);
}

static void add_count(cJSON *o, const char *key, long v, bool known)
{
	json_add_figure(o, key, known ? (double)v : NAN);
}

/* A text column that holds JSON, as JSON. */
static void add_json(cJSON *o, const char *key, const char *text)
{
	cJSON *v = text ? json_parse(text, strlen(text), NULL) : NULL;

	cJSON_AddItemToObject(o, key, v ? v : cJSON_CreateNull());
}

static int read_event(void *ctx, const struct store_event *v)
{
	struct reading *r = ctx;
	cJSON *o;

	/* asked for all of the episode: those of turns come with their turns */
	if (!r->into && v->turn != 0)
		return 0;
	/* that it was exported, or from where it came, is no part of it */
	if (!r->into && strcmp(v->kind, "exported") == 0)
		return 0;
	o = cJSON_CreateObject();
	add_time(o, "time", v->time_us);
	cJSON_AddStringToObject(o, "kind", v->kind);
	json_add_text(o, "data", v->data);
	cJSON_AddItemToArray(r->list, o);
	if (!r->into && v->data && strcmp(v->kind, "decision") == 0) {
		cJSON *d = json_parse(v->data, strlen(v->data), NULL);
		if (strcmp(json_string_or(d, "do", ""), "end") == 0)
			snprintf(
				r->end, sizeof(r->end), "%s",
				episode_end_label(episode_end_named(json_string_or(d, "why", ""))));
		cJSON_Delete(d);
	}
	return 0;
}

static int take_origin(void *ctx, const struct store_episode *x)
{
	/* a tag is one word */
	if (x->origin && strlen(x->origin) < 200 && !strpbrk(x->origin, " ,\t\n"))
		snprintf(ctx, 200, "%s", x->origin);
	return 0;
}

static int take_first(void *ctx, const struct store_turn *t)
{
	snprintf(ctx, 200, "turn:%s", t->hash);
	return 0;
}

/* ---- what an episode was to a run ---- */

static void add_event(cJSON *list, int64_t time_us, const char *kind, cJSON *data)
{
	struct buf text = { 0 };
	cJSON *o = cJSON_CreateObject();

	json_print(&text, data);
	add_time(o, "time", time_us);
	cJSON_AddStringToObject(o, "kind", kind);
	json_add_text(o, "data", buf_str(&text));
	cJSON_AddItemToArray(list, o);
	buf_release(&text);
	cJSON_Delete(data);
}

/* A run has a number here and no name. All its episodes name it alike by what it began with. */
static void add_run_name(cJSON *o, const struct store_run *x)
{
	struct buf began = { 0 };
	char hash[SHA256_HEX];

	buf_printf(&began, "%s %lld %s", x->kind, (long long)x->started_us,
	           x->settings ? x->settings : "");
	sha256_hex(buf_str(&began), began.len, hash);
	cJSON_AddStringToObject(o, "run", hash);
	buf_release(&began);
}

static int read_run(void *ctx, const struct store_run *x)
{
	struct reading *r = ctx;
	cJSON *o = cJSON_CreateObject();
	int64_t step = -1;

	add_run_name(o, x);
	cJSON_AddStringToObject(o, "kind", x->kind);
	add_json(o, "settings", x->settings);
	if (store_sample_step(r->store, r->id, &step, &r->failed) == 0 && step >= 0)
		cJSON_AddNumberToObject(o, "sample_step", (double)step);
	add_event(r->list, x->started_us, "run", o);
	return 0;
}

struct rollout_of {
	cJSON *list;
	int64_t time_us;
};

static int read_rollout(void *ctx, const struct store_rollout *x)
{
	struct rollout_of *to = ctx;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "step", (double)x->step);
	cJSON_AddNumberToObject(o, "group", x->group);
	cJSON_AddNumberToObject(o, "member", x->member);
	cJSON_AddNumberToObject(o, "round", x->round);
	cJSON_AddStringToObject(o, "kind", x->kind);
	json_add_figure(o, "reward", x->reward);
	json_add_figure(o, "advantage", x->advantage);
	cJSON_AddStringToObject(o, "use", x->use);
	add_event(to->list, to->time_us, "rollout", o);
	return 0;
}

/* ---- judgements ---- */

/* With those that name a turn of another episode ("over:31.2") naming it by where that came from
 * ("over:run:ab12.2"): its number means nothing elsewhere. One whose episode is gone goes too.
 * NULL: none are left. */
static char *tags_of_one(struct store *s, const char *tags)
{
	struct buf kept = { 0 };

	while (tags && *tags) {
		char word[200], origin[200] = "";
		size_t n = strcspn(tags, " ");
		int64_t ep;
		int turn;
		snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : 0), tags);
		const char *colon = strchr(word, ':');
		bool pair = strncmp(word, "over:", 5) == 0 || strncmp(word, "level:", 6) == 0;
		bool other = pair && store_parse_ref(colon + 1, &ep, &turn, NULL) == 0 && turn;
		if (other && store_episode(s, ep, take_origin, origin, NULL) == 0 && !*origin)
			store_turn(s, ep, 1, take_first, origin, NULL);
		if (n > 0 && (!other || *origin))
			buf_adds(&kept, kept.len ? " " : "");
		if (other && *origin)
			buf_printf(&kept, "%.*s%s.%d", (int)(colon + 1 - word), word, origin, turn);
		else if (n > 0 && !other)
			buf_add(&kept, tags, n);
		tags += n + (tags[n] == ' ');
	}
	return buf_take(&kept, NULL);
}

/* Tags for people: which of two is better in words, the others as they are: "better than turn 1
 * [thin odd]". */
static void print_tags(struct buf *b, const char *tags, bool graded)
{
	bool open = false;

	for (int pass = 0; pass < 2; pass++) {
		const char *at = tags;
		for (size_t n; at && *at; at += n + (at[n] == ' ')) {
			n = strcspn(at, " ");
			bool over = strncmp(at, "over:", 5) == 0;
			bool pair = over || strncmp(at, "level:", 6) == 0;
			if (n == 0 || pair == (pass == 1))
				continue;
			if (!pair) {
				buf_printf(b, "%s%.*s", open ? " " : " [", (int)n, at);
				open = true;
				continue;
			}
			/* of another episode where there is one before its number */
			const char *dot = memrchr(at, '.', n);
			const char *turn = dot ? dot + 1 : at + (over ? 5 : 6);
			buf_printf(b, "%s%s turn %.*s%s", graded ? ", " : ": ",
			           over ? "better than" : "as good as", (int)(at + n - turn), turn,
			           dot ? " of another episode" : "");
			graded = true;
		}
	}
	if (open)
		buf_addc(b, ']');
}

static int read_judgement(void *ctx, const struct store_judgement *row)
{
	struct reading *r = ctx;
	struct store_judgement shown = *row, *j = &shown;
	char *tags = tags_of_one(r->store, row->tags);
	struct buf *b = &r->into->judgements;
	cJSON *o;

	j->tags = tags && *tags ? tags : NULL;
	if (j->grade < 0 && !(j->note && *j->note) && !j->tags) {
		free(tags);
		return 0;
	}
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "as", j->as);
	add_count(o, "grade", j->grade, j->grade >= 0);
	json_add_text(o, "note", j->note);
	json_add_text(o, "tags", j->tags);
	add_time(o, "time", j->time_us);
	cJSON_AddItemToArray(r->list, o);
	buf_adds(b, j->as);
	if (j->grade >= 0)
		buf_printf(b, ": %d of 5", j->grade);
	print_tags(b, j->tags, j->grade >= 0);
	buf_printf(b, "%s%s\n", j->note ? " - " : "", j->note ? j->note : "");
	free(tags);
	return 0;
}

static int read_artifact(void *ctx, const struct store_artifact *a)
{
	struct reading *r = ctx;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", a->name);
	cJSON_AddStringToObject(o, "kind", a->kind);
	cJSON_AddNumberToObject(o, "bytes", (double)a->bytes);
	cJSON_AddStringToObject(o, "sha256", a->hash);
	cJSON_AddBoolToObject(o, "there", a->there);
	cJSON_AddItemToArray(r->list, o);
	/* what a prune took is told by the turn; of anything else that is gone nobody knows */
	r->damaged += !a->there && !a->pruned;
	return 0;
}

/* The content of one that is there. 1: it is damaged, or missing, and from here on not there; that
 * is no reason to keep back the rest. */
static int read_content(struct reading *r, int number, cJSON *artifact, struct buf *out,
                        struct err *e)
{
	size_t before = out->len;
	int rc = store_artifact(r->store, r->id, number, json_string_or(artifact, "name", ""), out,
	                        e);

	if (rc == 0 || e->kind != ERR_INPUT)
		return rc;
	out->len = before;
	cJSON_ReplaceItemInObjectCaseSensitive(artifact, "there", cJSON_CreateBool(false));
	r->damaged++;
	return 1;
}

/* What the pages and lines need of a turn's artifacts; one that was pruned is an empty one. */
static int read_texts(struct reading *r, struct turn *t, int number, struct err *e)
{
	cJSON *a;
	struct buf text = { 0 };

	cJSON_ArrayForEach(a, cJSON_GetObjectItemCaseSensitive(t->json, "artifacts"))
	{
		const char *name = json_string_or(a, "name", "");
		cJSON **json = strcmp(name, "reward.json") == 0   ? &t->score
		               : strcmp(name, "prompt.json") == 0 ? &t->prompt
		                                                  : NULL;
		struct buf *to = strcmp(name, "program.py") == 0  ? &t->program
		                 : strcmp(name, "build.log") == 0 ? &t->log
		                 : strcmp(name, "sheet.png") == 0 ? &t->sheet
		                 : json                           ? &text
		                                                  : NULL;
		if (!to || !json_bool_or(a, "there", false))
			continue;
		int rc = read_content(r, number, a, to, e);
		if (rc < 0) {
			buf_release(&text);
			return -1;
		}
		if (rc == 0 && json)
			*json = json_parse(buf_str(&text), text.len, NULL);
		buf_clear(&text);
	}
	buf_release(&text);
	return 0;
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int read_turn(void *ctx, const struct store_turn *v)
{
	struct reading *r = ctx;
	struct turn *more = realloc(r->turn, (size_t)(r->n + 1) * sizeof(*more));
	cJSON *o;

	if (!more) {
		err_set(&r->failed, ERR_MEM, "no memory for %d turns", r->n + 1);
		return 1;
	}
	r->turn = more;
	struct turn *t = &r->turn[r->n++];
	if (r->n == 1)
		snprintf(r->first, sizeof(r->first), "turn:%s", v->hash);
	*t = (struct turn){ .total = v->total,
		            .parent_total = v->parent_total,
		            .built = v->built,
		            .committed_us = v->committed_us };
	t->source = copy(v->source);
	t->finish = copy(v->finish);
	t->model = copy(v->model);
	t->adapter = copy(v->adapter);
	t->page = (struct page_turn){ .number = v->number, .parent = v->parent };
	t->json = o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "turn", v->number);
	add_count(o, "parent", v->parent, v->parent > 0);
	add_count(o, "member", v->member, v->member > 0);
	json_add_text(o, "source", v->source);
	json_add_text(o, "finish", v->finish);
	add_time(o, "started", v->started_us);
	add_time(o, "committed", v->committed_us);
	json_add_text(o, "model", v->model);
	json_add_text(o, "model_hash", v->model_hash);
	json_add_text(o, "adapter", v->adapter);
	json_add_text(o, "adapter_hash", v->adapter_hash);
	json_add_text(o, "backend", v->backend);
	add_json(o, "sampling", v->sampling);
	add_count(o, "prompt_tokens", v->prompt_tokens, v->prompt_tokens >= 0);
	add_count(o, "completion_tokens", v->completion_tokens, v->completion_tokens >= 0);
	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(r->json, "turns"), o);
	return 0;
}

static int fill_turn(struct reading *r, struct turn *t, struct err *e)
{
	int number = t->page.number;

	r->into = t;
	r->list = cJSON_AddArrayToObject(t->json, "artifacts");
	if (store_artifacts(r->store, r->id, number, read_artifact, r, e) < 0)
		return -1;
	r->list = cJSON_AddArrayToObject(t->json, "events");
	struct rollout_of rollout = { r->list, t->committed_us };
	if (store_events(r->store, r->id, number, read_event, r, e) < 0 ||
	    store_rollout_of(r->store, r->id, number, read_rollout, &rollout, e) < 0)
		return -1;
	r->list = cJSON_AddArrayToObject(t->json, "judgements");
	if (store_judgements(r->store, r->id, number, NULL, NULL, read_judgement, r, e) < 0)
		return -1;
	r->into = NULL;
	if (read_texts(r, t, number, e) < 0)
		return -1;
	t->page.source = t->source;
	t->page.finish = t->finish;
	t->page.model = t->model;
	t->page.score = t->score;
	t->page.prompt = t->prompt;
	t->page.program = buf_str(&t->program);
	t->page.program_len = t->program.len;
	t->page.log = buf_str(&t->log);
	t->page.log_len = t->log.len;
	t->page.judgements = buf_str(&t->judgements);
	return 0;
}

static int read_episode(void *ctx, const struct store_episode *v)
{
	struct reading *r = ctx;
	cJSON *o = r->json = cJSON_CreateObject();
	char utc[40];

	cJSON_AddStringToObject(o, "format", EXPORT_FORMAT);
	cJSON_AddStringToObject(o, "task", v->task);
	json_add_text(o, "pack", v->pack);
	json_add_text(o, "task_hash", v->task_hash);
	cJSON_AddStringToObject(o, "profile", v->profile);
	json_add_text(o, "profile_hash", v->profile_hash);
	json_add_text(o, "prompts", v->prompts);
	json_add_text(o, "prompts_hash", v->prompts_hash);
	cJSON_AddStringToObject(o, "source", v->source);
	json_add_text(o, "origin", v->origin);
	add_time(o, "created", v->created_us);
	add_json(o, "settings", v->settings);
	cJSON_AddArrayToObject(o, "events");
	cJSON_AddArrayToObject(o, "turns");
	r->best = v->best;
	r->run = v->run;
	snprintf(r->task, sizeof(r->task), "%s", v->task);
	snprintf(r->profile, sizeof(r->profile), "%s", v->profile);
	snprintf(r->prompts, sizeof(r->prompts), "%s", v->prompts ? v->prompts : "");
	store_utc_time(utc, sizeof(utc), v->created_us);
	snprintf(r->when, sizeof(r->when), "%.10s %.5s UTC", utc, utc + 11);
	return 0;
}

static int read_all(struct reading *r, struct store *s, int64_t id, struct err *e)
{
	*r = (struct reading){ .store = s, .id = id };
	if (store_episode(s, id, read_episode, r, e) < 0)
		return -1;
	r->list = cJSON_GetObjectItemCaseSensitive(r->json, "events");
	if ((r->run && store_runs(s, r->run, 1, read_run, r, e) < 0) ||
	    store_events(s, id, 0, read_event, r, e) < 0 || store_turns(s, id, read_turn, r, e) < 0)
		goto fail;
	if (r->failed.kind) {
		*e = r->failed;
		goto fail;
	}
	for (int i = 0; i < r->n; i++)
		if (fill_turn(r, &r->turn[i], e) < 0)
			goto fail;
	if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(r->json, "origin")))
		cJSON_ReplaceItemInObjectCaseSensitive(
			r->json, "origin",
			r->n ? cJSON_CreateString(r->first)
			     : cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(r->json, "created"),
		                               true));
	return 0;
fail:
	reading_release(r);
	return -1;
}

/* ---- writing beside, then renaming ---- */

struct place {
	char final[PATH_MAX], temp[PATH_MAX], dir[PATH_MAX], name[NAME_MAX + 1];
};

struct work {
	struct store *store;
	const struct export_options *o;
	struct exported done;
	struct place place;
	FILE *lines;          /* of the kinds that are lines */
	struct said_set said; /* PAIRS, PROMPTS: what was answered to each prompt */
};

static void step(const struct work *w, const char *name)
{
	if (w->o->step)
		w->o->step(w->o->ctx, name);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st;
	(void)what;
	(void)at;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Where @path is to be, and its name until then. What exports that were killed left there goes. */
static int find_place(struct place *p, const char *path, struct err *e)
{
	char prefix[NAME_MAX + 1];
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 0 || n >= PATH_MAX - 64)
		return err_set(e, ERR_USAGE, "'%.60s': a path was expected", path);
	snprintf(p->final, sizeof(p->final), "%.*s", (int)n, path);
	const char *slash = strrchr(p->final, '/');
	const char *name = slash ? slash + 1 : p->final;
	snprintf(p->dir, sizeof(p->dir), "%.*s", slash ? (int)(slash - p->final) + 1 : 2,
	         slash ? p->final : "./");
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strlen(name) > NAME_MAX - 40)
		return err_set(e, ERR_USAGE, "%s: a new name was expected at its end", path);
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(prefix, sizeof(prefix), ".%.200s.partial-", name);
	DIR *d = opendir(p->dir);
	if (!d)
		return err_errno(e, ERR_IO, "%s", p->dir);
	for (struct dirent *f; (f = readdir(d));) {
		char old[PATH_MAX + NAME_MAX + 2];
		if (strncmp(f->d_name, prefix, strlen(prefix)) != 0)
			continue;
		pid_t pid = (pid_t)strtol(f->d_name + strlen(prefix), NULL, 10);
		if (pid <= 0 || pid == getpid() || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		snprintf(old, sizeof(old), "%s%s%s", p->dir,
		         p->dir[strlen(p->dir) - 1] == '/' ? "" : "/", f->d_name);
		remove_tree(old);
	}
	closedir(d);
	int len =
		snprintf(p->temp, sizeof(p->temp), "%s%s%d-XXXXXX", p->dir, prefix, (int)getpid());
	if (len < 0 || (size_t)len >= sizeof(p->temp))
		return err_set(e, ERR_USAGE, "%s: the path is too long", path);
	return 0;
}

static int put(struct work *w, const char *dir, const char *name, const void *data, size_t len,
               struct err *e)
{
	char path[PATH_MAX + 128 + NAME_MAX + 2];
	const char *p = data;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return err_errno(e, ERR_IO, "%s", path);
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(e, ERR_IO, "%s: writing", path);
			close(fd);
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	if (close(fd) < 0)
		return err_errno(e, ERR_IO, "%s: writing", path);
	w->done.files++;
	step(w, "file");
	return 0;
}

/* All of the file system that @path is on reaches the disk: one call for many files. */
static int settle(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0) {
		err_errno(e, ERR_IO, "%s: writing to the disk", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

static int make_temp_folder(struct place *p, struct err *e)
{
	mode_t mask = umask(0);

	umask(mask);
	if (!mkdtemp(p->temp) || chmod(p->temp, 0777 & ~mask) < 0)
		return err_errno(e, ERR_IO, "%s: a folder cannot be made there", p->dir);
	return 0;
}

/* ---- the folder ---- */

static bool plain_name(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

static int write_turn(struct work *w, struct reading *r, struct turn *t, const char *dir,
                      struct err *e)
{
	char path[PATH_MAX + 128];
	cJSON *a;
	struct buf content = { 0 };

	snprintf(path, sizeof(path), "%s/turn-%d", dir, t->page.number);
	if (mkdir(path, 0777) < 0)
		return err_errno(e, ERR_IO, "%s", path);
	cJSON_ArrayForEach(a, cJSON_GetObjectItemCaseSensitive(t->json, "artifacts"))
	{
		const char *name = json_string_or(a, "name", "");
		if (!json_bool_or(a, "there", false))
			continue;
		if (!plain_name(name))
			return err_set(e, ERR_INPUT,
			               "turn %lld.%d: an artifact is called '%.80s', which is no "
			               "name of a file",
			               (long long)r->id, t->page.number, name);
		buf_clear(&content);
		int rc = read_content(r, t->page.number, a, &content, e);
		if (rc == 0)
			rc = put(w, path, name, buf_str(&content), content.len, e);
		if (rc < 0) {
			buf_release(&content);
			return -1;
		}
	}
	buf_release(&content);
	w->done.turns++;
	return 0;
}

static const struct task *task_of(const struct work *w, const char *id)
{
	return w->o->tasks ? task_find(w->o->tasks, id, NULL) : NULL;
}

static struct page_episode page_of(const struct work *w, struct reading *r, struct page_turn *pages)
{
	const struct task *task = task_of(w, r->task);

	for (int i = 0; i < r->n; i++)
		pages[i] = r->turn[i].page;
	return (struct page_episode){
		.task = r->task,
		.level = task ? task_level_name(task->level) : NULL,
		.family = task ? task->family : NULL,
		.prompt = task ? task->prompt : NULL,
		.profile = r->profile,
		.prompts = r->prompts[0] ? r->prompts : NULL,
		.when = r->when,
		.end = r->end[0] ? r->end : NULL,
		.best = r->best,
		.turns = pages,
		.n_turns = r->n,
	};
}

/* The page of an episode in HTML: with what there is to see of its turns. */
static int print_html(const struct work *w, struct reading *r, const struct page_episode *ep,
                      struct buf *out, struct err *e)
{
	struct episode_view *view = calloc((size_t)r->n + 1, sizeof(*view));
	int rc = view ? 0 : err_set(e, ERR_MEM, "no memory for %d turns", r->n);

	for (int i = 0; i < r->n && rc == 0; i++) {
		struct turn *t = &r->turn[i];
		rc = episode_view_read(&view[i], r->store, r->id, t->page.number, t->built,
		                       cJSON_GetObjectItemCaseSensitive(t->json, "artifacts"),
		                       w->o->mesher, &r->damaged, e);
	}
	if (rc == 0)
		episode_page(out, ep, view);
	for (int i = 0; i < r->n && view; i++)
		episode_view_release(&view[i]);
	free(view);
	return rc;
}

/* The page of an episode, Markdown or HTML, appended to @out. */
static int print_page(const struct work *w, struct reading *r, bool html, struct buf *out,
                      struct err *e)
{
	struct page_turn *pages = calloc((size_t)r->n + 1, sizeof(*pages));
	int rc = 0;

	if (!pages)
		return err_set(e, ERR_MEM, "no memory for %d turns", r->n);
	struct page_episode ep = page_of(w, r, pages);
	if (html)
		rc = print_html(w, r, &ep, out, e);
	else
		page_markdown(out, &ep);
	free(pages);
	return rc == 0 && buf_failed(out) ? err_set(e, ERR_MEM, "no memory for a page") : rc;
}

static int write_folder(struct work *w, struct reading *r, const char *dir, struct err *e)
{
	struct buf text = { 0 };
	int rc = -1;

	for (int i = 0; i < r->n; i++) {
		struct turn *t = &r->turn[i];
		if (write_turn(w, r, t, dir, e) < 0)
			return -1;
		snprintf(t->sheet_name, sizeof(t->sheet_name), "turn-%d/sheet.png", t->page.number);
		t->page.sheet_name = t->sheet.len ? t->sheet_name : NULL;
		snprintf(t->folder, sizeof(t->folder), "turn-%d", t->page.number);
		t->page.folder = t->folder;
		t->page.artifacts = cJSON_GetObjectItemCaseSensitive(t->json, "artifacts");
	}
	/* laid out for people: it is the first file that they look into */
	char *json = cJSON_Print(r->json);
	if (json && put(w, dir, "episode.json", json, strlen(json), e) == 0 &&
	    print_page(w, r, false, &text, e) == 0 &&
	    put(w, dir, "README.md", buf_str(&text), text.len, e) == 0)
		rc = 0;
	else if (!json)
		err_set(e, ERR_MEM, "no memory for episode.json");
	cJSON_free(json);
	buf_release(&text);
	return rc;
}

static int is_free(const char *path, struct err *e)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return err_set(e, ERR_USAGE, "%s is there already: name a folder that is not",
		               path);
	for (struct dirent *f; (f = readdir(d));)
		n += strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0;
	closedir(d);
	return n == 0 ? 0
	              : err_set(e, ERR_USAGE,
	                        "%s is there already, and not empty: name a folder that is not",
	                        path);
}

static int cancelled(const struct work *w, struct err *e)
{
	return w->o->tick && w->o->tick(w->o->ctx)
	               ? err_set(e, ERR_CANCELLED, "interrupted; nothing was written")
	               : 0;
}

/* A file of lines or a page goes in the place of a plain file, or where nothing is; where a link
 * leads, it goes there. */
static int is_file(struct place *p, struct err *e)
{
	char real[PATH_MAX], name[PATH_MAX];
	struct stat st;

	if (lstat(p->final, &st) < 0)
		return 0;
	if (S_ISLNK(st.st_mode)) {
		if (!realpath(p->final, real) || stat(real, &st) < 0)
			return err_errno(e, ERR_USAGE, "%s: a link that leads nowhere", p->final);
		snprintf(name, sizeof(name), "%s", p->final);
		if (find_place(p, real, e) < 0)
			return err_wrap(e, "%s", name);
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE,
		               "%s is there already, and no plain file: name another, or - for "
		               "standard output",
		               p->final);
	return 0;
}

static int export_folder(struct work *w, struct err *e)
{
	struct place *p = &w->place;
	bool one = w->o->n_episodes == 1;

	if (is_free(p->final, e) < 0 || make_temp_folder(p, e) < 0)
		return -1;
	step(w, "begin");
	for (int i = 0; i < w->o->n_episodes; i++) {
		struct reading r;
		char sub[PATH_MAX + 64];
		int rc;
		if (read_all(&r, w->store, w->o->episodes[i], e) < 0)
			goto fail;
		snprintf(sub, sizeof(sub), "%s/episode-%lld", p->temp, (long long)r.id);
		if (!one && mkdir(sub, 0777) < 0)
			rc = err_errno(e, ERR_IO, "%s", sub);
		else
			rc = write_folder(w, &r, one ? p->temp : sub, e);
		w->done.damaged += r.damaged;
		reading_release(&r);
		if (rc < 0 || cancelled(w, e) < 0)
			goto fail;
		w->done.episodes++;
	}
	if (settle(p->temp, e) < 0)
		goto fail;
	step(w, "written");
	if (rename(p->temp, p->final) < 0) {
		err_errno(e, ERR_IO, "%s: cannot be given its name", p->final);
		goto fail;
	}
	step(w, "renamed");
	return settle(p->dir, e);
fail:
	remove_tree(p->temp);
	return -1;
}

/* ---- pages ---- */

/* Whether all that is in the folder came from an earlier export of the same page. */
static int is_ours(const char *path, struct err *e)
{
	DIR *d = opendir(path);
	struct stat st;
	int rc = 0;

	if (!d && lstat(path, &st) < 0)
		return 0;
	if (!d)
		return err_set(e, ERR_USAGE, "%s is there already, and no folder", path);
	for (struct dirent *f; rc == 0 && (f = readdir(d));) {
		int n, used = 0;
		if (strcmp(f->d_name, ".") == 0 || strcmp(f->d_name, "..") == 0)
			continue;
		if (sscanf(f->d_name, "turn-%d.png%n", &n, &used) != 1 || used == 0 ||
		    f->d_name[used])
			rc = err_set(e, ERR_USAGE,
			             "%s is there already, and '%.80s' in it is none of ours: name "
			             "another page",
			             path, f->d_name);
	}
	closedir(d);
	return rc;
}

/* The sheets of a Markdown page lie beside it: NAME.files/turn-2.png. */
static int write_sheets(struct work *w, struct reading *r, struct err *e)
{
	struct place p;
	char files[PATH_MAX + 16], name[64];
	const char *base = strrchr(w->place.final, '/');
	bool any = false;
	int rc = 0;

	base = base ? base + 1 : w->place.final;
	for (int i = 0; i < r->n; i++)
		any = any || r->turn[i].sheet.len > 0;
	if (!any)
		return 0;
	int stem = (int)strlen(w->place.final) -
	           (strlen(base) > 3 && strcmp(base + strlen(base) - 3, ".md") == 0 ? 3 : 0);
	snprintf(files, sizeof(files), "%.*s.files", stem, w->place.final);
	if (is_ours(files, e) < 0 || find_place(&p, files, e) < 0 || make_temp_folder(&p, e) < 0)
		return -1;
	for (int i = 0; i < r->n && rc == 0; i++) {
		struct turn *t = &r->turn[i];
		if (t->sheet.len == 0)
			continue;
		snprintf(name, sizeof(name), "turn-%d.png", t->page.number);
		rc = put(w, p.temp, name, t->sheet.data, t->sheet.len, e);
	}
	if (rc == 0)
		rc = settle(p.temp, e);
	if (rc < 0) {
		remove_tree(p.temp);
		return -1;
	}
	/* those of an earlier export of the same page: the page that shows them is replaced too */
	remove_tree(p.final);
	if (rename(p.temp, p.final) < 0) {
		err_errno(e, ERR_IO, "%s: cannot be given its name", p.final);
		remove_tree(p.temp);
		return -1;
	}
	return 0;
}

static void name_sheets(const struct work *w, struct reading *r)
{
	const char *base = w->place.name;
	int stem = (int)strlen(base) -
	           (strlen(base) > 3 && strcmp(base + strlen(base) - 3, ".md") == 0 ? 3 : 0);

	for (int i = 0; i < r->n; i++) {
		struct turn *t = &r->turn[i];
		if (t->sheet.len == 0)
			continue;
		/* blanks would end the link */
		if (stem > 40 || strcspn(base, " ()<>") < strlen(base))
			continue;
		snprintf(t->sheet_name, sizeof(t->sheet_name), "%.*s.files/turn-%d.png", stem, base,
		         t->page.number);
		t->page.sheet_name = t->sheet_name;
	}
}

static int export_page(struct work *w, bool html, bool to_stdout, struct err *e)
{
	struct reading r;
	struct buf text = { 0 };
	int rc;

	if (w->o->n_episodes != 1)
		return err_set(e, ERR_USAGE, "a page is of one episode, and %d were named",
		               w->o->n_episodes);
	if (read_all(&r, w->store, w->o->episodes[0], e) < 0)
		return -1;
	if (!html && !to_stdout)
		name_sheets(w, &r);
	rc = print_page(w, &r, html, &text, e);
	step(w, "begin");
	if (rc == 0 && to_stdout) {
		if (fwrite(buf_str(&text), 1, text.len, stdout) != text.len)
			rc = err_errno(e, ERR_IO, "standard output");
	} else if (rc == 0) {
		rc = html ? 0 : write_sheets(w, &r, e);
		step(w, "written");
		if (rc == 0)
			rc = file_write_atomic(w->place.final, buf_str(&text), text.len, e);
		step(w, "renamed");
	}
	w->done.episodes = 1;
	w->done.turns = r.n;
	w->done.files++;
	w->done.damaged = r.damaged;
	buf_release(&text);
	reading_release(&r);
	return rc;
}

/* ---- lines ---- */

static int put_line(struct work *w, cJSON *o, struct err *e)
{
	struct buf line = { 0 };

	json_print(&line, o);
	cJSON_Delete(o);
	buf_addc(&line, '\n');
	int rc = 0;
	if (buf_failed(&line))
		rc = err_set(e, ERR_MEM, "no memory for a line");
	else if (fwrite(line.data, 1, line.len, w->lines) != line.len)
		rc = err_errno(e, ERR_IO, "%s: writing", w->place.final);
	buf_release(&line);
	w->done.lines++;
	return rc;
}

/* A text of a stranger's as JSON may have it. */
static void add_text(struct work *w, cJSON *o, const char *key, const char *text, size_t len)
{
	struct buf b = { 0 };

	w->done.mended += jsonl_text(&b, text, len);
	cJSON_AddStringToObject(o, key, buf_str(&b));
	buf_release(&b);
}

/* The turn's prompt, or what would be asked of the task. NULL: neither. Caller deletes it. */
static cJSON *prompt_of(const struct work *w, const struct reading *r, const struct turn *t)
{
	const struct task *task;

	if (t->prompt)
		return cJSON_Duplicate(t->prompt, true);
	if (!w->o->prompts || t->page.parent || !(task = task_of(w, r->task)))
		return NULL;
	return repair_messages(w->o->prompts, task, NULL, NULL);
}

static void where_of(char *out, size_t size, const struct reading *r, const struct turn *t)
{
	snprintf(out, size, "%lld.%d", (long long)r->id, t->page.number);
}

static int jsonl_line(struct work *w, struct reading *r, struct turn *t, struct err *e)
{
	struct buf completion = { 0 };
	cJSON *o;

	if (store_artifact(r->store, r->id, t->page.number, "completion.txt", &completion, e) < 0) {
		if (e->kind != ERR_INPUT)
			return -1;
		w->done.left_out++;
		return 0;
	}
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "task", r->task);
	cJSON_AddItemToObject(o, "prompt",
	                      t->prompt ? cJSON_Duplicate(t->prompt, true) : cJSON_CreateNull());
	add_text(w, o, "completion", buf_str(&completion), completion.len);
	buf_release(&completion);
	json_add_text(o, "finish", t->finish);
	json_add_text(o, "model", t->model);
	json_add_text(o, "adapter", t->adapter);
	cJSON_AddNumberToObject(o, "episode", (double)r->id);
	cJSON_AddNumberToObject(o, "turn", t->page.number);
	add_count(o, "parent", t->page.parent, t->page.parent > 0);
	cJSON_AddStringToObject(o, "profile", r->profile);
	json_add_figure(o, "total", t->total);
	cJSON_AddBoolToObject(o, "built", t->built);
	return put_line(w, o, e);
}

static int sft_line(struct work *w, struct reading *r, struct turn *t, struct err *e)
{
	char where[48];
	cJSON *o, *messages, *answer;

	if (!t->built || !(t->total >= w->o->min))
		return 0;
	/* a repair that repaired nothing teaches nothing */
	if (t->page.parent && !(t->total - t->parent_total >= w->o->margin))
		return 0;
	if (t->program.len == 0 || !(messages = prompt_of(w, r, t))) {
		w->done.left_out++;
		return 0;
	}
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "task", r->task);
	answer = cJSON_CreateObject();
	cJSON_AddStringToObject(answer, "role", "assistant");
	add_text(w, answer, "content", buf_str(&t->program), t->program.len);
	cJSON_AddItemToArray(messages, answer);
	cJSON_AddItemToObject(o, "messages", messages);
	where_of(where, sizeof(where), r, t);
	cJSON_AddStringToObject(o, "turn", where);
	cJSON_AddBoolToObject(o, "repair", t->page.parent > 0);
	cJSON_AddStringToObject(o, "profile", r->profile);
	json_add_figure(o, "total", t->total);
	return put_line(w, o, e);
}

/* Under the prompt that was answered; a repair also under its parent's, which it answers as well,
 * being a whole program. */
static int remember(struct work *w, struct reading *r, struct turn *t, struct err *e)
{
	if (isnan(t->total) || t->program.len == 0)
		return 0;
	for (struct turn *from = t; from;) {
		cJSON *prompt = prompt_of(w, r, from);
		bool fresh;
		if (!prompt) {
			w->done.left_out += from == t;
			return 0;
		}
		int k = said_prompt(&w->said, r->task, prompt, &fresh, e);
		cJSON_Delete(prompt);
		if (k < 0 || said_add(&w->said, k, r->id, t->page.number, buf_str(&t->program),
		                      t->total, e) < 0)
			return -1;
		/* one step up, to the turn that was repaired */
		int parent = from == t ? t->page.parent : 0;
		from = NULL;
		for (int i = 0; i < r->n && parent; i++)
			if (r->turn[i].page.number == parent)
				from = &r->turn[i];
	}
	return 0;
}

static int pair_line(void *ctx, const struct said_pair *p, struct err *e)
{
	struct work *w = ctx;
	cJSON *o = cJSON_CreateObject();
	char where[48];

	cJSON_AddStringToObject(o, "task", p->task);
	cJSON_AddItemToObject(o, "prompt", cJSON_Duplicate(p->prompt, true));
	add_text(w, o, "chosen", p->chosen->program, strlen(p->chosen->program));
	add_text(w, o, "rejected", p->rejected->program, strlen(p->rejected->program));
	snprintf(where, sizeof(where), "%lld.%d", (long long)p->chosen->episode, p->chosen->turn);
	cJSON_AddStringToObject(o, "chosen_turn", where);
	snprintf(where, sizeof(where), "%lld.%d", (long long)p->rejected->episode,
	         p->rejected->turn);
	cJSON_AddStringToObject(o, "rejected_turn", where);
	cJSON_AddNumberToObject(o, "chosen_total", p->chosen->total);
	cJSON_AddNumberToObject(o, "rejected_total", p->rejected->total);
	cJSON_AddStringToObject(o, "by", p->judged ? "judgement" : "reward");
	json_add_text(o, "as", p->as);
	return put_line(w, o, e);
}

static int pair_lines(struct work *w, struct err *e)
{
	struct judgements j = { 0 };

	if (judgements_read(&j, w->store, 0, 0, NULL, NULL, e) < 0)
		return -1;
	int rc = said_pairs(&w->said, &j, w->o->min, w->o->margin, pair_line, w, e);
	judgements_release(&j);
	return rc;
}

static int turn_lines(struct work *w, struct reading *r, struct err *e)
{
	for (int i = 0; i < r->n; i++) {
		struct turn *t = &r->turn[i];
		int rc = 0;
		w->done.turns++;
		switch (w->o->kind) {
		case EXPORT_JSONL:
			rc = jsonl_line(w, r, t, e);
			break;
		case EXPORT_SFT:
			rc = sft_line(w, r, t, e);
			break;
		case EXPORT_PAIRS:
			rc = remember(w, r, t, e);
			break;
		default: {
			cJSON *prompt = prompt_of(w, r, t);
			bool fresh = false;
			if (!prompt) {
				w->done.left_out++;
				break;
			}
			rc = said_prompt(&w->said, r->task, prompt, &fresh, e) < 0 ? -1 : 0;
			if (rc == 0 && fresh) {
				cJSON *o = cJSON_CreateObject();
				cJSON_AddStringToObject(o, "task", r->task);
				cJSON_AddItemToObject(o, "prompt", cJSON_Duplicate(prompt, true));
				rc = put_line(w, o, e);
			}
			cJSON_Delete(prompt);
		}
		}
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int export_lines(struct work *w, bool to_stdout, struct err *e)
{
	struct place *p = &w->place;
	int fd = -1, rc = -1;
	mode_t mask = umask(0);

	umask(mask);
	if (to_stdout) {
		snprintf(p->final, sizeof(p->final), "standard output");
		w->lines = stdout;
	} else if ((fd = mkostemp(p->temp, O_CLOEXEC)) < 0 || !(w->lines = fdopen(fd, "w"))) {
		if (fd >= 0)
			close(fd);
		return err_errno(e, ERR_IO, "%s: cannot be written", p->final);
	}
	step(w, "begin");
	for (int i = 0; i < w->o->n_episodes; i++) {
		struct reading r;
		if (read_all(&r, w->store, w->o->episodes[i], e) < 0)
			goto out;
		int one = turn_lines(w, &r, e);
		w->done.damaged += r.damaged;
		reading_release(&r);
		if (one < 0 || cancelled(w, e) < 0)
			goto out;
		w->done.episodes++;
	}
	if (w->o->kind == EXPORT_PAIRS && pair_lines(w, e) < 0)
		goto out;
	if (fflush(w->lines) || (fd >= 0 && (fchmod(fd, 0666 & ~mask) < 0 || fsync(fd) < 0))) {
		err_errno(e, ERR_IO, "%s: writing", p->final);
		goto out;
	}
	step(w, "written");
	if (fd >= 0 && rename(p->temp, p->final) < 0) {
		err_errno(e, ERR_IO, "%s: cannot be replaced", p->final);
		goto out;
	}
	step(w, "renamed");
	rc = 0;
out:
	if (fd >= 0) {
		fclose(w->lines);
		if (rc < 0)
			unlink(p->temp);
	}
	return rc;
}

int export_to(struct store *s, const struct export_options *o, const char *path,
              struct exported *done, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));
	bool to_stdout = strcmp(path, "-") == 0;
	int rc;

	if (!w)
		return err_set(e, ERR_MEM, "out of memory");
	w->store = s;
	w->o = o;
	if (to_stdout && o->kind == EXPORT_FOLDER)
		rc = err_set(e, ERR_USAGE, "a folder cannot go to standard output: name one");
	else
		rc = to_stdout ? 0 : find_place(&w->place, path, e);
	if (rc == 0 && !to_stdout && o->kind != EXPORT_FOLDER)
		rc = is_file(&w->place, e);
	if (rc == 0 && o->kind == EXPORT_FOLDER)
		rc = export_folder(w, e);
	else if (rc == 0 && (o->kind == EXPORT_MARKDOWN || o->kind == EXPORT_HTML))
		rc = export_page(w, o->kind == EXPORT_HTML, to_stdout, e);
	else if (rc == 0)
		rc = export_lines(w, to_stdout, e);
	if (rc == 0)
		*done = w->done;
	said_release(&w->said);
	free(w);
	return rc;
}
