#include "src/worker.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/cpu_time.h"
#include "src/drawer.h"
#include "src/job.h"
#include "src/lately.h"

enum { KITS_MAX = 4, TASKS_MAX = 512, FDS_MAX = 64, TICK_MS = 250 };
#define LEAVE_AWAY_S 10.0

/* A scoring, for all jobs of one kind. */
struct kit {
	char *kind;
	struct app app; /* with the limits of this kind */
	struct scoring *scoring;
	int in_use;
	double used_s;
};

/* A task with its reference's file here. */
struct known {
	char task_sha[SHA256_HEX], reference_sha[SHA256_HEX];
	struct task task;
	char path[256]; /* of its reference */
};

enum stage { GATHERING, READY, SCORING, SCORED, OVER };

struct work {
	struct worker *w;
	struct queue_take *take;
	struct job_asked asked;
	enum stage stage;
	int missing; /* blobs that were asked for */
	struct kit *kit;
	struct scoring_input in;
	struct scored scored;
	double began_s;
	struct work *next, **at;
};

struct worker {
	const struct worker_options *o;
	struct queue_worker *q;
	struct drawer *drawer; /* NULL: it has no model */
	char dir[64];
	struct kit kit[KITS_MAX];
	struct known *known[TASKS_MAX];
	int n_known;
	struct work *works;
	struct lately lately;
	double summed_s; /* when it was summed up last */
	bool failed;
	struct err why;
	double away_s; /* since when there is trouble; below 0: there is none */
	char trouble[480];
};

/* ---- files of what jobs share ---- */

static void blob_path(const struct worker *w, const char *sha, const char *ending, char out[256])
{
	snprintf(out, 256, "%s/%s.%s", w->dir, sha, ending);
}

static bool has_blob(const struct worker *w, const char *sha, const char *ending)
{
	char path[256];

	blob_path(w, sha, ending, path);
	return access(path, R_OK) == 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

/* ---- the end of a job ---- */

/* Of measuring, scoring and rebuilding, as the score says them; NAN: there was none. */
static double score_s(const struct scored *s)
{
	static const char *const parts[] = { "read", "measure", "mesh", "score", "rebuild" };
	const cJSON *t = cJSON_GetObjectItemCaseSensitive(s->json, "seconds");
	double sum = NAN;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		double v = json_number_or(t, parts[i], NAN);
		if (isfinite(v))
			sum = (isfinite(sum) ? sum : 0) + v;
	}
	return sum;
}

static void count(struct worker *w, const struct work *k, double took_s)
{
	struct queue_row *r = queue_worker_row(w->q);
	const double took[QUEUE_PARTS] = {
		[QUEUE_WAIT] = k->take->wait_s,
		[QUEUE_BUILD] = k->scored.json ? k->scored.build.seconds : NAN,
		[QUEUE_SCORE] = score_s(&k->scored),
		[QUEUE_WORK] = took_s,
	};

	lately_add(&w->lately, took, clock_now_s());
	r->jobs++;
	r->built += k->scored.built;
	r->lost += k->scored.lost;
	r->work_s += took_s;
}

/* What takes a while to find out is found out for the heartbeat, not for each job. */
static void sum_up(struct worker *w)
{
	struct queue_row *r = queue_worker_row(w->q);
	double now = clock_now_s();

	if (now < w->summed_s + 1)
		return;
	w->summed_s = now;
	r->cpu_s = cpu_time_s();
	lately_sum(&w->lately, r, now);
}

static void work_free(struct work *k)
{
	*k->at = k->next;
	if (k->next)
		k->next->at = k->at;
	if (k->kit) {
		k->kit->in_use--;
		k->kit->used_s = clock_now_s();
	}
	scored_release(&k->scored);
	free(k);
}

/* Answers; @why NULL: with what was scored. */
static void work_end(struct work *k, const struct err *why)
{
	struct worker *w = k->w;
	struct buf bytes = { 0 };
	struct err e;

	if (!why && scored_write(&bytes, &k->scored, &e) < 0)
		why = &e;
	struct worker_job j = {
		.hash = k->take->hash,
		.fate = why ? QUEUE_FAILED : QUEUE_ANSWERED,
		.built = !why && k->scored.built,
		.taken_over = k->take->before > 0,
		.total = why ? NAN : k->scored.total,
		.wait_s = k->take->wait_s,
		.work_s = clock_now_s() - k->began_s,
		.why = why,
	};
	count(w, k, j.work_s);
	if (why)
		queue_worker_row(w->q)->failed++;
	if (w->o->done)
		w->o->done(w->o->ctx, &j);
	queue_worker_answer(w->q, k->take, j.fate, why ? NULL : &bytes, why, why || k->scored.lost);
	buf_release(&bytes);
	work_free(k);
}

/* ---- its beginning: what it names is gathered ---- */

static void want(struct work *k, const char *sha, const char *ending)
{
	if (!*sha || has_blob(k->w, sha, ending))
		return;
	k->missing++;
	queue_worker_want(k->w->q, k->take, sha);
}

static void on_take(void *ctx, struct queue_take *t)
{
	struct worker *w = ctx;
	struct work *k = calloc(1, sizeof(*k));
	struct err e = { 0 };

	if (!k) {
		err_set(&e, ERR_MEM, "out of memory for a job");
		queue_worker_answer(w->q, t, QUEUE_FAILED, NULL, &e, true);
		return;
	}
	k->w = w;
	k->take = t;
	t->user = k;
	k->scored.total = NAN;
	k->began_s = clock_now_s();
	k->next = w->works;
	k->at = &w->works;
	if (k->next)
		k->next->at = &k->next;
	w->works = k;
	if (job_read(&k->asked, buf_str(&t->body), t->body.len, &e) < 0) {
		work_end(k, &e);
		return;
	}
	want(k, k->asked.profile_sha, "json");
	want(k, k->asked.task_sha, "task");
	want(k, k->asked.reference_sha, k->asked.ending);
	k->stage = k->missing ? GATHERING : READY;
}

static int keep_blob(const struct worker *w, const char *sha, const char *ending, const void *bytes,
                     size_t len, struct err *e)
{
	char path[256];

	blob_path(w, sha, ending, path);
	return file_write_atomic(path, bytes, len, e);
}

static void on_blob(void *ctx, struct queue_take *t, const char *sha, const void *bytes, size_t len)
{
	struct worker *w = ctx;
	struct work *k = t->user;
	const struct job_asked *a = &k->asked;
	struct err e = { 0 };

	if (k->stage != GATHERING)
		return;
	if (!bytes)
		err_set(&e, ERR_LOST,
		        "what the job names is not in Redis any more: it may have lacked memory");
	else if ((strcmp(sha, a->profile_sha) == 0 &&
	          keep_blob(w, sha, "json", bytes, len, &e) < 0) ||
	         (strcmp(sha, a->task_sha) == 0 && keep_blob(w, sha, "task", bytes, len, &e) < 0) ||
	         (strcmp(sha, a->reference_sha) == 0 &&
	          keep_blob(w, sha, a->ending, bytes, len, &e) < 0))
		err_wrap(&e, "a worker's folder");
	if (e.kind)
		work_end(k, &e);
	else if (--k->missing == 0)
		k->stage = READY;
}

/* ---- scorings and tasks ---- */

static int on_tick(void *ctx)
{
	struct worker *w = ctx;

	/* leases are renewed whatever the engine waits for; what is taken now is begun later */
	sum_up(w);
	if (!w->failed &&
	    (queue_worker_step(w->q, &w->why) < 0 || drawer_step(w->drawer, &w->why) < 0))
		w->failed = true;
	return w->failed;
}

static void on_scored(void *ctx, size_t item, struct scored *out, const struct err *why)
{
	struct work *k = (struct work *)(uintptr_t)item;

	(void)ctx;
	if (!out) {
		work_end(k, why);
		return;
	}
	k->scored = *out;
	*out = (struct scored){ .total = NAN };
	k->stage = SCORED;
}

static void kit_close(struct kit *t)
{
	if (t->scoring)
		scoring_end(t->scoring);
	scoring_close(t->scoring);
	free(t->kind);
	*t = (struct kit){ 0 };
}

static int kit_open(struct worker *w, struct kit *t, const struct job_asked *a, struct err *e)
{
	const struct scoring_stream to = { w, on_scored };
	char profile[256], reference[256];
	struct buf kind = { 0 };

	job_kind(&kind, a);
	t->kind = buf_take(&kind, NULL);
	if (!t->kind)
		return err_set(e, ERR_MEM, "out of memory for a scoring");
	t->app = *w->o->app;
	t->app.queue = NULL;
	t->app.limits = a->limits;
	t->app.no_filter = a->no_filter;
	blob_path(w, a->profile_sha, "json", profile);
	blob_path(w, a->reference_sha, a->ending, reference);
	const struct scoring_options so = {
		.app = &t->app,
		.profile = a->profile[0] ? a->profile : profile,
		.reference = strcmp(a->reference, "file") == 0 ? reference : a->reference,
		.dialect = &a->dialect,
		.rebuilds = a->rebuilds,
		.artifacts = a->artifacts,
		.no_blanks = a->no_blanks,
		.ears = { .ctx = w, .tick_ms = TICK_MS, .tick = on_tick },
	};
	if (!(t->scoring = scoring_open(&so, e)))
		return -1;
	scoring_begin(t->scoring, &to);
	return 0;
}

/* The scoring for a job. 1: it is in *@out; 0: all are busy with other kinds; -1. */
static int kit_of(struct worker *w, const struct job_asked *a, struct kit **out, struct err *e)
{
	struct kit *idle = NULL;
	struct buf kind = { 0 };
	int rc = 0;

	job_kind(&kind, a);
	for (int i = 0; i < KITS_MAX && rc == 0; i++) {
		struct kit *t = &w->kit[i];
		if (t->scoring && strcmp(t->kind, buf_str(&kind)) == 0) {
			*out = t;
			rc = 1;
		} else if (!t->in_use && (!idle || t->used_s < idle->used_s)) {
			idle = t;
		}
	}
	buf_release(&kind);
	if (rc || !idle)
		return rc;
	kit_close(idle);
	if (kit_open(w, idle, a, e) < 0) {
		kit_close(idle);
		return -1;
	}
	*out = idle;
	return 1;
}

static void known_free(struct known *n)
{
	task_release(&n->task);
	free(n);
}

/* A task as it was sent, with its reference where this worker keeps it. */
static const struct task *task_of(struct worker *w, const struct job_asked *a, struct err *e)
{
	struct buf text = { 0 };
	char path[256];

	for (int i = 0; i < w->n_known; i++)
		if (strcmp(w->known[i]->task_sha, a->task_sha) == 0 &&
		    strcmp(w->known[i]->reference_sha, a->reference_sha) == 0)
			return &w->known[i]->task;
	struct known *n = calloc(1, sizeof(*n));
	if (!n) {
		err_set(e, ERR_MEM, "out of memory for a task");
		return NULL;
	}
	memcpy(n->task_sha, a->task_sha, SHA256_HEX);
	memcpy(n->reference_sha, a->reference_sha, SHA256_HEX);
	blob_path(w, a->task_sha, "task", path);
	int rc = buf_read_file(&text, path, QUEUE_BLOB_BYTES_MAX, e);
	if (rc == 0)
		rc = task_parse(&n->task, buf_str(&text), text.len, path, e);
	buf_release(&text);
	if (rc < 0) {
		free(n);
		err_wrap(e, "the job's task");
		return NULL;
	}
	/* whatever path the task names: what counts is what came with the job */
	blob_path(w, a->reference_sha, a->ending, n->path);
	n->task.reference = a->reference_sha[0] ? n->path : NULL;
	w->known[w->n_known++] = n;
	return &n->task;
}

/* 1: begun, or over; 0: it has to wait. */
static int work_begin(struct work *k)
{
	struct worker *w = k->w;
	const struct job_asked *a = &k->asked;
	struct err e = { 0 };
	struct kit *kit;

	if (a->task_sha[0] && w->n_known == TASKS_MAX)
		return 0; /* see tidy() */
	int rc = kit_of(w, a, &kit, &e);
	if (rc == 0)
		return 0;
	const struct task *task = rc > 0 && a->task_sha[0] ? task_of(w, a, &e) : NULL;
	if (rc < 0 || (a->task_sha[0] && !task)) {
		work_end(k, &e);
		return 1;
	}
	k->kit = kit;
	kit->in_use++;
	k->in = (struct scoring_input){
		.task = task,
		.text = a->shape == JOB_PROGRAM ? a->text : NULL,
		.len = a->shape == JOB_PROGRAM ? a->len : 0,
		.rule = a->rule,
		.unfinished = a->unfinished,
		.program_lines = a->program_lines,
		.shape = a->shape != JOB_PROGRAM ? a->text : NULL,
		.shape_len = a->shape != JOB_PROGRAM ? a->len : 0,
		.shape_is_step = a->shape == JOB_STEP,
	};
	k->stage = SCORING;
	if (scoring_add(kit->scoring, &k->in, (size_t)(uintptr_t)k, &e) < 0)
		work_end(k, &e);
	return 1;
}

/* Too many tasks for one life: when nothing is under way all is forgotten. */
static void tidy(struct worker *w)
{
	if (w->n_known < TASKS_MAX)
		return;
	for (int i = 0; i < KITS_MAX; i++)
		if (w->kit[i].in_use)
			return;
	for (int i = 0; i < KITS_MAX; i++)
		if (w->kit[i].scoring)
			scoring_forget_tasks(w->kit[i].scoring);
	while (w->n_known > 0)
		known_free(w->known[--w->n_known]);
}

/* ---- the loop ---- */

/* The machinery of one kind failed: its jobs are told so, and it is made anew for the next. */
static void kit_fail(struct worker *w, struct kit *t, const struct err *why)
{
	struct kit dead = *t;

	*t = (struct kit){ 0 };
	scoring_end(dead.scoring);
	for (struct work *k = w->works, *next; k; k = next) {
		next = k->next;
		if (k->kit == t) {
			k->kit = NULL;
			work_end(k, why);
		}
	}
	scoring_close(dead.scoring);
	free(dead.kind);
}

static void finish(struct work *k)
{
	struct err e = { 0 };

	k->stage = OVER;
	if (scoring_finish(k->kit->scoring, &k->in, &k->scored, &e) < 0)
		work_end(k, &e);
	else
		work_end(k, NULL);
}

/* Whatever can go on does. */
static void go_on(struct worker *w)
{
	struct err e = { 0 };
	bool more = true;

	tidy(w);
	for (int i = 0; i < KITS_MAX; i++)
		if (w->kit[i].scoring && scoring_work(w->kit[i].scoring, &e) < 0)
			kit_fail(w, &w->kit[i], &e);
	/* what is begun or finished may take its time, and the list is another after it */
	while (more && !w->failed) {
		more = false;
		for (struct work *k = w->works; k && !more; k = k->next)
			if (k->stage == SCORED) {
				finish(k);
				more = true;
			}
		for (struct work *k = w->works; k && !more; k = k->next)
			more = k->stage == READY && work_begin(k);
	}
	for (int i = 0; i < KITS_MAX; i++)
		if (w->kit[i].scoring && scoring_work(w->kit[i].scoring, &e) < 0)
			kit_fail(w, &w->kit[i], &e);
}

static void watch_trouble(struct worker *w)
{
	const char *what = queue_worker_trouble(w->q);

	if (!*what)
		w->away_s = -1;
	else if (w->away_s < 0)
		w->away_s = clock_now_s();
	if (strcmp(what, w->trouble) == 0)
		return;
	snprintf(w->trouble, sizeof(w->trouble), "%s", what);
	if (w->o->trouble)
		w->o->trouble(w->o->ctx, w->trouble);
}

/* Asked to, and all it had is answered; or nobody is there to be answered, and its jobs go to
 * others when their leases are over. */
static bool may_leave(const struct worker *w)
{
	if (!app_interrupted())
		return false;
	return (queue_worker_under_way(w->q) == 0 && drawer_under_way(w->drawer) == 0) ||
	       (w->away_s >= 0 && clock_now_s() - w->away_s > LEAVE_AWAY_S);
}

static int loop(struct worker *w, struct err *e)
{
	while (!may_leave(w)) {
		struct pollfd fd[FDS_MAX];
		int n = queue_worker_poll_fds(w->q, fd, FDS_MAX);
		int ms = queue_worker_timeout_ms(w->q), engine_ms = drawer_timeout_ms(w->drawer);
		bool waiting = false;
		n += drawer_poll_fds(w->drawer, fd + n, FDS_MAX - n);
		ms = engine_ms >= 0 && engine_ms < ms ? engine_ms : ms;
		for (int i = 0; i < KITS_MAX; i++)
			if (w->kit[i].scoring)
				n += scoring_poll_fds(w->kit[i].scoring, fd + n, FDS_MAX - n);
		for (const struct work *k = w->works; k; k = k->next)
			waiting = waiting || k->stage == SCORED;
		if (app_interrupted()) {
			queue_worker_stop(w->q);
			drawer_stop(w->drawer);
		}
		poll(fd, (nfds_t)n, waiting ? 0 : ms);
		sum_up(w);
		if (w->failed || queue_worker_step(w->q, &w->why) < 0 ||
		    drawer_step(w->drawer, &w->why) < 0) {
			*e = w->why;
			return -1;
		}
		go_on(w);
		watch_trouble(w);
		/* an answer that is there goes out at once */
		if (!w->failed && queue_worker_step(w->q, &w->why) < 0)
			w->failed = true;
	}
	return 0;
}

/* The programs that jobs of the usual kind need are started once before the worker joins: what they
 * are made of is then known, and a machine that cannot build takes no jobs. */
static int join(struct worker *w, struct err *e)
{
	const struct queue_worker_ops ops = { .ctx = w, .take = on_take, .blob = on_blob };
	const struct scoring_options so = { .app = w->o->app,
		                            .rebuilds = -1,
		                            .profile = "seed-fast" };
	struct scoring *s = scoring_open(&so, e);
	struct buf versions = { 0 };
	char name[QUEUE_NAME_MAX];
	int rc = -1;

	buf_adds(&versions, PACKAGE_STRING);
	if (s && scoring_versions(s, &versions, e) == 0) {
		for (size_t i = 0; i < versions.len; i++)
			if (versions.data[i] < ' ' || versions.data[i] > '~')
				versions.data[i] = '?';
		if (versions.len >= QUEUE_VERSIONS_MAX)
			versions.data[QUEUE_VERSIONS_MAX - 1] = '\0';
		const struct drawer_options d = {
			.app = w->o->app,
			.model = w->o->model,
			.address = w->o->address,
			.versions = buf_str(&versions),
			.dir = w->dir,
			.slots = w->o->slots,
			.ctx = w->o->ctx,
			.joined = w->o->draws,
			.done = w->o->done,
		};
		queue_worker_name(name);
		/* the model first, since it takes its time */
		if (!w->o->model || (w->drawer = drawer_open(&d, e)))
			w->q = queue_worker_open(w->o->address, name, buf_str(&versions),
			                         w->o->app->jobs, &ops, e);
		if (w->q && w->o->joined)
			w->o->joined(w->o->ctx, name, buf_str(&versions));
		rc = w->q ? 0 : -1;
	}
	scoring_close(s);
	buf_release(&versions);
	return rc;
}

int worker_run(const struct worker_options *o, struct err *e)
{
	struct worker *w = calloc(1, sizeof(*w));
	const char *tmp = getenv("TMPDIR");
	int rc = -1;

	if (!w)
		return err_set(e, ERR_MEM, "out of memory");
	w->o = o;
	w->lately.opened_s = clock_now_s();
	w->away_s = -1;
	snprintf(w->dir, sizeof(w->dir), "%.40s/cadforge-worker-XXXXXX",
	         tmp && *tmp == '/' && strlen(tmp) <= 40 ? tmp : "/tmp");
	if (!mkdtemp(w->dir)) {
		err_errno(e, ERR_IO, "%s", w->dir);
		w->dir[0] = '\0';
	} else if (join(w, e) == 0) {
		rc = loop(w, e);
	}
	for (int i = 0; i < KITS_MAX; i++)
		kit_close(&w->kit[i]);
	while (w->works)
		work_free(w->works);
	queue_worker_close(w->q);
	drawer_close(w->drawer);
	while (w->n_known > 0)
		known_free(w->known[--w->n_known]);
	if (w->dir[0])
		nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
	return rc;
}
