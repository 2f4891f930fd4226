/*
 * workbench_workers.c - the table of the machines that build and score for this one.
 *
 * Redis is asked by a process of its own (src/queue_watch.h), once a second while the screen is
 * shown; nothing is asked before it was, nor while another one is.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/queue_watch.h"
#include "src/workbench.h"

/* Between two questions, and how often it is looked whether an answer came. */
#define ASK_S    1.0
#define LOOK_S   0.1
#define SILENT_S 3.0 /* after this the silence is told */

struct wb_workers {
	struct redis_address a;
	struct queue_watch *watch;
	double told_s; /* when figures that run were drawn last */
};

static int open_it(struct workbench *w, struct err *e)
{
	struct wb_workers *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(e, ERR_MEM, "out of memory");
	if (w->app.queue && (redis_address_parse(&k->a, w->app.queue, e) < 0 ||
	                     !(k->watch = queue_watch_open(&k->a, e)))) {
		free(k);
		return -1;
	}
	explicit_bzero(k->a.password, sizeof(k->a.password));
	w->workers_state = k;
	return 0;
}

static void close_it(struct workbench *w)
{
	queue_watch_close(w->workers_state->watch);
	free(w->workers_state);
	w->workers_state = NULL;
}

static double tick(struct workbench *w, double now_s)
{
	struct wb_workers *k = w->workers_state;

	if (!k->watch)
		return -1;
	bool news = queue_watch_step(k->watch, ASK_S);
	if (news || now_s > k->told_s + 1) {
		k->told_s = now_s;
		wb_dirty(w);
	}
	return LOOK_S;
}

/* Names are unlike each other for as long as one is in the table. */
static int64_t id_of(const char *name)
{
	uint64_t h = 1469598103934665603u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return (int64_t)(h >> 2) + 1;
}

static struct view_took took(const struct queue_row *r, enum queue_part part)
{
	return (struct view_took){ r->took[part].median_s, r->took[part].p95_s };
}

static struct view_worker row_view(const struct queue_row *r, double age_s)
{
	static const enum worker_state states[] = { [QUEUE_LIVE] = WORKER_LIVE,
		                                    [QUEUE_BUSY] = WORKER_BUSY,
		                                    [QUEUE_FROZEN] = WORKER_FROZEN,
		                                    [QUEUE_GONE] = WORKER_GONE };

	return (struct view_worker){ .id = id_of(r->name),
		                     .name = r->name,
		                     .host = r->host,
		                     .model = r->model[0] ? r->model : NULL,
		                     .versions = r->versions,
		                     .state = states[queue_row_state(r)],
		                     .pid = r->pid,
		                     .at_once = r->at_once,
		                     .under_way = r->under_way,
		                     .jobs = r->jobs,
		                     .built = r->built,
		                     .failed = r->failed,
		                     .taken_over = r->taken_over,
		                     .poison = r->poison,
		                     .per_s = r->per_s,
		                     .cpu_s = r->cpu_s,
		                     .since_s = r->since_s,
		                     .seen_s = r->seen_s + age_s,
		                     .wait = took(r, QUEUE_WAIT),
		                     .build = took(r, QUEUE_BUILD),
		                     .score = took(r, QUEUE_SCORE),
		                     .work = took(r, QUEUE_WORK) };
}

static void status(struct workbench *w, const struct queue_table *t, double age_s)
{
	if (t->waiting + t->under_way == 0)
		wb_status(w, "no jobs wait, none is under way");
	else
		wb_status(w, "%lld job%s wait%s, %lld under way, the oldest for %.1f s", t->waiting,
		          t->waiting == 1 ? "" : "s", t->waiting == 1 ? "s" : "", t->under_way,
		          isfinite(t->oldest_s) ? t->oldest_s + age_s : 0.0);
	wb_status_right(w, "%d worker%s live", t->live, t->live == 1 ? "" : "s");
}

static void view(struct workbench *w, struct view *v)
{
	const struct wb_workers *k = w->workers_state;
	const struct queue_table *t = k->watch ? queue_watch_table(k->watch) : NULL;
	struct view_workers *u = &v->workers;

	u->oldest_s = u->age_s = NAN;
	if (!k->watch) {
		wb_status(w, "no queue: this machine builds and scores");
		return;
	}
	u->queue = k->a.shown;
	double silent_s = queue_watch_silent_s(k->watch);
	if (queue_watch_trouble(k->watch)->kind != ERR_NONE)
		u->trouble = queue_watch_trouble(k->watch)->text;
	else if (silent_s > SILENT_S)
		u->trouble = wb_text(w, "%s has not answered for %.0f s", k->a.shown, silent_s);
	if (!t) {
		u->why_not = u->trouble ? "It is asked again every second. A Redis 7 server is "
		                          "expected there; builds wait until it is back."
		                        : "Asking...";
		wb_status(w, "%s", u->trouble ? "the queue is away" : "");
		return;
	}
	/* what is a moment old is now; what is older says so */
	u->age_s = queue_watch_age_s(k->watch);
	double since_s = u->trouble ? u->age_s : 0;
	struct view_worker *rows = wb_array(w, struct view_worker, t->n);
	for (int i = 0; rows && i < t->n; i++)
		rows[i] = row_view(&t->row[i], since_s);
	u->rows = rows;
	u->n_rows = rows ? t->n : 0;
	u->live = t->live;
	u->waiting = t->waiting;
	u->under_way = t->under_way;
	u->oldest_s = t->oldest_s;
	if (u->n_rows == 0)
		u->why_not = wb_text(w,
		                     "No worker was heard of within a day. On each machine that is "
		                     "to build and score: cadforge worker --queue %s",
		                     k->a.shown);
	status(w, t, since_s);
	if (u->trouble)
		wb_status_right(w, "the queue is away");
}

const struct wb_screen wb_workers = {
	.open = open_it,
	.close = close_it,
	.view = view,
	.tick = tick,
};
