/*
 * bench_store.c - the database: committing a turn with all it has, lists, one episode, words; with
 * ten thousand episodes in it, and with a million.
 *
 * The database lies in the bench's own folder, on a disk: what a commit costs is mostly what the
 * disk takes to say that it has the bytes, so that is measured beside it, as the peer: the same
 * bytes written to a plain file and synced.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/bench.h"
#include "src/db.h"

enum { COMMITS = 30, BATCH = 1000, TERMS_TEXT = 700 };

static uint64_t next_random(uint64_t *s) /* xorshift64, G. Marsaglia 2003 */
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* ---- what a turn of a real session has, in its sizes ---- */

struct load {
	struct buf picture[7], brep, stl;
	struct buf program, prompt, log;
	cJSON *score;
};

static void load_release(struct load *l)
{
	for (int i = 0; i < 7; i++)
		buf_release(&l->picture[i]);
	buf_release(&l->brep);
	buf_release(&l->stl);
	buf_release(&l->program);
	buf_release(&l->prompt);
	buf_release(&l->log);
	cJSON_Delete(l->score);
}

static const char *const words[] = { "seat",  "leg",   "bracket", "fillet", "bore",
	                             "arm",   "plate", "spoke",   "rib",    "bolt",
	                             "hinge", "base",  "cover",   "slot",   "shaft" };

/* A program of about 2 kB that no other is equal to. */
static void program_of(struct buf *b, uint64_t *r, long id)
{
	buf_clear(b);
	buf_printf(b, "import cadquery as cq\n\n# part_%ld\n", id);
	for (int i = 0; i < 24; i++) {
		const char *w = words[next_random(r) % 15];
		buf_printf(b, "%s_%d = cq.Workplane(\"XY\").box(%.1f, %.1f, %.1f)  # %s\n", w, i,
		           (double)(next_random(r) % 3000) / 10,
		           (double)(next_random(r) % 3000) / 10,
		           (double)(next_random(r) % 3000) / 10, words[next_random(r) % 15]);
	}
	buf_adds(b, "fixture = base_0\n");
}

static cJSON *score_of(uint64_t *r, bool built)
{
	struct buf b = { 0 };
	double t = (double)(next_random(r) % 1000) / 1000;

	buf_printf(
		&b,
		"{\"task\":\"bench\",\"profile\":\"exact\",\"build\":{\"ok\":%s,\"class\":\"%s\"},"
		"\"reward\":{\"total\":%.3f,\"build\":1,\"topology\":%.3f,\"contact\":1,"
		"\"semantic_parts\":%.3f,\"reference_similarity\":0.5,\"silhouette\":0.6,"
		"\"editability\":0.7,\"efficiency\":0.8},\"checks\":[",
		built ? "true" : "false", built ? "build_ok" : "undefined_name", built ? t : -t, t,
		t);
	for (int i = 0; i < 12; i++)
		buf_printf(&b,
		           "%s{\"id\":\"check_%d\",\"want\":4,\"got\":%d,\"ok\":false,\"weight\":1,"
		           "\"score\":%.3f,\"why\":\"expected 4 through-holes, found 2\"}",
		           i ? "," : "", i, i % 5, t);
	buf_adds(&b, "],\"notes\":[\"expected 4 through-holes, found 2\",\"the rib is missing\"],"
	             "\"delta\":null}");
	cJSON *o = buf_failed(&b) ? NULL : json_parse(b.data, b.len, NULL);
	buf_release(&b);
	return o;
}

/* 7 pictures of 40 kB that do not pack, a BREP of 200 kB, an STL of 1 MB. */
static int load_make(struct load *l, uint64_t *r, long id, struct err *e)
{
	bool failed = false;

	for (int i = 0; i < 7; i++) {
		buf_clear(&l->picture[i]);
		for (int k = 0; k < 5000; k++) {
			uint64_t v = next_random(r);
			buf_add(&l->picture[i], &v, sizeof(v));
		}
		failed = failed || buf_failed(&l->picture[i]);
	}
	/* numbers of a solid: few different ones, each many times, and some of their own */
	buf_clear(&l->brep);
	while (l->brep.len < 200000) {
		double v = next_random(r) % 4 ? (double)(next_random(r) % 200) * 0.5
		                              : (double)(next_random(r) >> 11) * 0x1p-53;
		buf_add(&l->brep, &v, sizeof(v));
	}
	buf_clear(&l->stl);
	for (int k = 0; l->stl.len < 1000000; k++) {
		float f[12];
		char attribute[2] = { 0 };
		for (int i = 0; i < 12; i++)
			f[i] = (float)(30 * sin(0.01 * (k + i) + (double)id));
		buf_add(&l->stl, f, sizeof(f));
		buf_add(&l->stl, attribute, 2);
	}
	program_of(&l->program, r, id);
	buf_clear(&l->prompt);
	buf_adds(&l->prompt, "[{\"role\":\"user\",\"content\":\"");
	for (int i = 0; i < TERMS_TEXT; i++)
		buf_printf(&l->prompt, "%s ", words[next_random(r) % 15]);
	buf_adds(&l->prompt, "\"}]");
	buf_clear(&l->log);
	buf_printf(&l->log, "part_%ld built\nsolids: 1\n", id);
	cJSON_Delete(l->score);
	l->score = score_of(r, true);
	if (failed || buf_failed(&l->brep) || buf_failed(&l->stl) || buf_failed(&l->program) ||
	    buf_failed(&l->prompt) || !l->score)
		return err_set(e, ERR_MEM, "out of memory");
	return 0;
}

static int load_commit(struct store *s, int64_t episode, const struct load *l, struct err *e)
{
	static const char *const names[] = { "front.png", "back.png",      "left.png", "right.png",
		                             "top.png",   "isometric.png", "sheet.png" };
	struct store_artifact_new a[9];
	struct store_event_new v[60];
	int number;

	for (int i = 0; i < 7; i++)
		a[i] = (struct store_artifact_new){ names[i], "view", l->picture[i].data,
			                            l->picture[i].len, NULL };
	a[7] = (struct store_artifact_new){ "shape.brep", "brep", l->brep.data,
		                            l->brep.len, NULL };
	a[8] = (struct store_artifact_new){ "shape.stl", "stl", l->stl.data,
		                            l->stl.len, NULL };
	for (int i = 0; i < 60; i++)
		v[i] = (struct store_event_new){ .kind = "tokens", .data = "cq.Workplane" };
	struct store_turn_new t = { .episode = episode,
		                    .source = "model",
		                    .model = "bench",
		                    .prompt_tokens = 900,
		                    .completion_tokens = 700,
		                    .prompt = l->prompt.data,
		                    .prompt_len = l->prompt.len,
		                    .completion = l->program.data,
		                    .completion_len = l->program.len,
		                    .program = l->program.data,
		                    .program_len = l->program.len,
		                    .log = l->log.data,
		                    .log_len = l->log.len,
		                    .score = l->score,
		                    .artifacts = a,
		                    .n_artifacts = 9,
		                    .events = v,
		                    .n_events = 60 };
	return store_turn_commit(s, &t, &number, e);
}

/* The same number of bytes to a plain file, and synced. */
static double sync_s(const char *dir, size_t bytes)
{
	struct buf path = { 0 };
	char *data = malloc(bytes);
	double began, took = NAN;

	buf_printf(&path, "%s/sync", dir);
	int fd = buf_failed(&path) ? -1 : open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && data) {
		memset(data, 'x', bytes);
		began = clock_now_s();
		if (pwrite(fd, data, bytes, 0) == (ssize_t)bytes && fdatasync(fd) == 0)
			took = clock_now_s() - began;
	}
	if (fd >= 0) {
		close(fd);
		unlink(path.data);
	}
	buf_release(&path);
	free(data);
	return took;
}

static void bench_commit(struct bench *b, struct store *s, struct err *e)
{
	struct store_episode_new n = { .task = "bench", .profile = "exact", .source = "bench" };
	struct load l = { 0 };
	double took[COMMITS], plain[COMMITS];
	uint64_t r = 88172645463325252u;
	int64_t episode;

	bench_say(b, "committing turns with all they have");
	if (store_episode_start(s, &n, &episode, e) < 0)
		return;
	for (int i = 0; i < COMMITS && !e->kind; i++) {
		if (load_make(&l, &r, i, e) < 0)
			break;
		double began = clock_now_s();
		if (load_commit(s, episode, &l, e) < 0)
			break;
		took[i] = clock_now_s() - began;
		plain[i] = sync_s(b->dir, 900000);
		/* as a session does while the model writes */
		store_tend(s);
	}
	load_release(&l);
	if (e->kind)
		return;
	double half = bench_median(took, COMMITS), disk = bench_median(plain, COMMITS);
	bench_figure(b, "store: commit a turn, 1.6 MB", 1e3 * half, "ms", 30, 1e3 * disk,
	             half / disk, NULL);
	bench_figure(b, "store: the slowest of 30", 1e3 * took[COMMITS - 1], "ms", NAN,
	             1e3 * plain[COMMITS - 1], NAN, NULL);
}

/* ---- many episodes ---- */

int bench_store_fill(struct bench *b, struct store *s, long episodes, struct err *e)
{
	static const char *const tasks[] = { "four_leg_chair_700n", "wall_j_hook_120n",
		                             "pipe_clamp_saddle", "office_chair" };
	struct buf program = { 0 }, prompt = { 0 };
	uint64_t r = 88172645463325252u;
	int rc = 0;

	for (long i = 0; i < episodes && rc == 0; i++) {
		struct store_episode_new n = { .task = tasks[next_random(&r) % 4],
			                       .profile = "exact",
			                       .prompts = "plain",
			                       .source = "bench" };
		bool built = next_random(&r) % 3 != 0;
		cJSON *score = score_of(&r, built);
		int64_t episode;
		int number;
		rc = bench_go_on(e);
		if (rc == 0 && i % BATCH == 0) {
			if (i)
				rc = store_batch_end(s, true, e);
			store_tend(s);
			if (rc == 0)
				rc = store_batch_begin(s, e);
			if (episodes > 100000 && i % 100000 == 0 && !b->app.quiet)
				fprintf(stderr, "bench: %ld of %ld episodes\n", i, episodes);
		}
		program_of(&program, &r, i);
		buf_clear(&prompt);
		buf_printf(&prompt,
		           "[{\"role\":\"user\",\"content\":\"Make a %s with a %s for part_%ld\"}]",
		           words[next_random(&r) % 15], words[next_random(&r) % 15], i);
		struct store_event_new v[] = { { .kind = "decision", .data = "ask" },
			                       { .kind = "decision", .data = "stop" } };
		struct store_turn_new t = { .source = "model",
			                    .model = i % 2 ? "small" : "large",
			                    .prompt = prompt.data,
			                    .prompt_len = prompt.len,
			                    .program = program.data,
			                    .program_len = program.len,
			                    .log = "solids: 1\n",
			                    .log_len = 10,
			                    .score = score,
			                    .events = v,
			                    .n_events = 2 };
		if (rc == 0)
			rc = store_episode_start(s, &n, &episode, e);
		t.episode = episode;
		if (rc == 0)
			rc = store_turn_commit(s, &t, &number, e);
		cJSON_Delete(score);
	}
	if (rc == 0)
		rc = store_batch_end(s, true, e);
	store_tend(s);
	buf_release(&program);
	buf_release(&prompt);
	return rc;
}

/* What a row of the list costs until it is text. */
static int row_text(void *ctx, const struct store_episode *x)
{
	struct buf *out = ctx;
	char when[32], total[32];

	store_local_time(when, sizeof(when), x->created_us);
	db_total(total, sizeof(total), x->best_total);
	buf_printf(out, "%lld %s %d %s %s %s %s\n", (long long)x->id, when, x->turns, total,
	           x->last_class ? x->last_class : "-", x->task, x->model ? x->model : "-");
	return 0;
}

static int add_turn(void *ctx, const struct store_turn *t)
{
	struct buf *out = ctx;
	cJSON *o = db_turn_json(t);

	json_print(out, o);
	cJSON_Delete(o);
	return 0;
}

static int add_artifact(void *ctx, const struct store_artifact *a)
{
	buf_printf(ctx, "%s %s\n", a->name, a->hash);
	return 0;
}

static int add_event(void *ctx, const struct store_event *v)
{
	buf_printf(ctx, "%s %s\n", v->kind, v->data ? v->data : "");
	return 0;
}

static int add_hit(void *ctx, const struct store_hit *h)
{
	buf_printf(ctx, "%lld.%d %s\n", (long long)h->episode, h->turn, h->excerpt);
	return 0;
}

/* An episode as the screen that shows it wants it: the tree, the last turn's texts and figures. */
static int read_one(struct store *s, int64_t id, struct buf *out, struct err *e)
{
	static const char *const names[] = { "program.py", "build.log", "reward.json",
		                             "prompt.json" };

	if (store_episode(s, id, row_text, out, e) < 0 ||
	    store_turns(s, id, add_turn, out, e) < 0 ||
	    store_artifacts(s, id, 1, add_artifact, out, e) < 0 ||
	    store_events(s, id, 0, add_event, out, e) < 0)
		return -1;
	for (int i = 0; i < 4; i++)
		if (store_artifact(s, id, 1, names[i], out, e) < 0)
			return -1;
	return 0;
}

enum question { LIST_ALL, PAGE, LATE_PAGE, CLASS_PAGE, ONE, RARE, COMMON, PHRASE };

/* The least of the rounds, each with its own opening of the database. */
static double ask(struct bench *b, const char *file, enum question q, long episodes, struct err *e)
{
	double best = INFINITY;
	struct buf out = { 0 };
	char word[64];

	for (int i = 0; i < b->rounds && !e->kind; i++) {
		struct store_filter f = store_filter_none();
		double began = clock_now_s();
		struct store *s = store_open(file, STORE_READ, NULL, e);
		bool more;
		int rc = -1;
		if (!s)
			break;
		buf_clear(&out);
		switch (q) {
		case LIST_ALL:
			rc = store_episodes(s, &f, 0, (int)episodes, row_text, &out, &more, e);
			break;
		case PAGE:
			rc = store_episodes(s, &f, 0, 50, row_text, &out, &more, e);
			break;
		case LATE_PAGE:
			rc = store_episodes(s, &f, episodes / 2 + 7 * i, 50, row_text, &out, &more,
			                    e);
			break;
		case CLASS_PAGE:
			f.class_name = "undefined_name";
			f.task = "office_chair";
			f.max = -0.5;
			rc = store_episodes(s, &f, episodes / 2, 50, row_text, &out, &more, e);
			break;
		case ONE:
			rc = read_one(s, episodes / 2 + 7 * i, &out, e);
			break;
		case RARE:
			snprintf(word, sizeof(word), "part_%ld", episodes / 3 + i);
			rc = store_search(s, word, &f, 0, 20, add_hit, &out, &more, e);
			break;
		case COMMON:
			rc = store_search(s, "workplane", &f, 0, 20, add_hit, &out, &more, e);
			break;
		case PHRASE:
			rc = store_search(s, "program:hinge spoke* -cover", &f, 0, 20, add_hit,
			                  &out, &more, e);
			break;
		}
		store_close(s);
		double took = clock_now_s() - began;
		if (rc == 0 && out.len == 0)
			err_set(e, ERR_INPUT, "the bench's own database answers nothing");
		best = took < best ? took : best;
	}
	buf_release(&out);
	return 1e3 * best;
}

static void bench_many(struct bench *b, long episodes, const char *set, struct err *e)
{
	static const struct {
		enum question q;
		const char *name;
		double limit;
		bool whole; /* reads every episode */
	} of[] = { { LIST_ALL, "store: list all of them", 50, true },
		   { PAGE, "store: list a page of 50", 50, false },
		   { LATE_PAGE, "store: a page in the middle", 50, false },
		   { CLASS_PAGE, "store: a page by class, task, total", 50, false },
		   { ONE, "store: open one", 20, false },
		   { RARE, "store: search, in one turn", 50, false },
		   { COMMON, "store: search, in every turn", 50, false },
		   { PHRASE, "store: search, three words", 50, false } };
	struct buf file = { 0 };
	struct store *s;

	buf_printf(&file, "%s/%s.db", b->dir, set);
	if (buf_failed(&file)) {
		err_set(e, ERR_MEM, "out of memory");
		return;
	}
	bench_say(b, "filling the database");
	double began = clock_now_s();
	s = store_open(file.data, STORE_WRITE, NULL, e);
	if (s && bench_store_fill(b, s, episodes, e) == 0)
		bench_figure(b, "store: fill, an episode with a turn",
		             1e3 * (clock_now_s() - began) / (double)episodes, "ms", NAN, NAN, NAN,
		             set);
	store_close(s);
	for (size_t i = 0; i < sizeof(of) / sizeof(*of) && !e->kind && bench_go_on(e) == 0; i++) {
		if (of[i].whole && episodes > 100000)
			continue;
		double ms = ask(b, file.data, of[i].q, episodes, e);
		if (!e->kind)
			bench_figure(b, of[i].name, ms, "ms", of[i].limit, NAN, NAN, set);
	}
	buf_release(&file);
}

int bench_store(struct bench *b, struct err *e)
{
	struct buf file = { 0 };
	struct store *s;

	buf_printf(&file, "%s/commit.db", b->dir);
	s = buf_failed(&file) ? NULL : store_open(file.data, STORE_WRITE, NULL, e);
	if (s)
		bench_commit(b, s, e);
	store_close(s);
	buf_release(&file);
	if (!e->kind)
		bench_many(b, 10000, "10000", e);
	return e->kind ? -1 : 0;
}

int bench_store_million(struct bench *b, struct err *e)
{
	bench_many(b, 1000000, "million", e);
	return e->kind ? -1 : 0;
}
