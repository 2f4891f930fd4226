/*
 * screen_workers.c - the machines that build and score for this one: what each does, how long it
 * takes and what it costs; below, the selected one.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/bars.h"
#include "ui/layout.h"
#include "ui/parts.h"
#include "ui/screen.h"

enum { TABLE, ONE, N_PANES };
static const char *const pane_names[N_PANES] = { "Workers", "Worker" };

enum { NAME_MAX_W = 40, ONE_ROWS = 10, TEXT = 24 };

/* ---- words ---- */

/* "12 ms", "0.42 s", "3.1 min", "2.4 h", "-" */
static const char *time_text(char out[TEXT], double s)
{
	if (!isfinite(s))
		snprintf(out, TEXT, "-");
	else if (s < 0.0995)
		snprintf(out, TEXT, s < 0.00995 ? "%.1f ms" : "%.0f ms", 1e3 * s);
	else if (s < 99.5)
		snprintf(out, TEXT, s < 9.995 ? "%.2f s" : "%.1f s", s);
	else if (s < 5970)
		snprintf(out, TEXT, "%.1f min", s / 60);
	else
		snprintf(out, TEXT, s < 1e9 ? "%.1f h" : "%.0g h", s / 3600);
	return out;
}

static const char *rate_text(char out[TEXT], double v)
{
	snprintf(out, TEXT, isfinite(v) ? v < 99.95 ? "%.2f" : "%.0f" : "-", v < 1e9 ? v : 1e9);
	return out;
}

/* "12345", "1.2e6": no room for more. */
static const char *number_text(char out[TEXT], int64_t v)
{
	if (v < 1000000)
		snprintf(out, TEXT, "%lld", (long long)v);
	else
		snprintf(out, TEXT, "%.3g M", (double)v / 1e6);
	return out;
}

static const char *state_word(enum worker_state s)
{
	static const char *const words[] = { "live", "busy", "frozen", "gone" };

	return words[s];
}

static enum role state_role(enum worker_state s)
{
	static const enum role roles[] = { ROLE_GOOD, ROLE_RUN, ROLE_BAD, ROLE_FAINT };

	return roles[s];
}

static double a_job(double all, int64_t jobs)
{
	return jobs > 0 ? all / (double)jobs : NAN;
}

/* ---- the table ---- */

enum column {
	STATE,
	JOBS,
	FAILED,
	TAKEN,
	RATE,
	WAIT,
	BUILD,
	SCORE,
	MEDIAN,
	P95,
	CPU_JOB,
	CPU,
	SEEN,
	MODEL,
	N_COLUMNS
};

static const struct {
	const char *head;
	int w, from; /* cells; of tables this wide and wider */
} columns[N_COLUMNS] = {
	[STATE] = { "STATE", 7, 0 },      [JOBS] = { "JOBS", 7, 0 },
	[FAILED] = { "FAILED", 7, 70 },   [TAKEN] = { "TAKEN", 6, 70 },
	[RATE] = { "JOBS/S", 7, 70 },     [WAIT] = { "WAIT", 9, 118 },
	[BUILD] = { "BUILD", 9, 118 },    [SCORE] = { "SCORE", 9, 118 },
	[MEDIAN] = { "MEDIAN", 8, 0 },    [P95] = { "95 %", 9, 0 },
	[CPU_JOB] = { "CPU/JOB", 8, 0 },  [CPU] = { "CPU", 9, 136 },
	[SEEN] = { "HEARD OF", 10, 136 }, [MODEL] = { "  MODEL", 16, 150 },
};

struct table {
	const struct view_workers *v;
	int name_w, w;
};

static struct table table_for(const struct view_workers *v, int w)
{
	struct table t = { .v = v, .w = w, .name_w = w };

	for (int i = 0; i < N_COLUMNS; i++)
		if (w >= columns[i].from)
			t.name_w -= columns[i].w;
	if (t.name_w > NAME_MAX_W)
		t.name_w = NAME_MAX_W;
	return t;
}

static int64_t row_id(void *ctx, int row)
{
	return ((struct table *)ctx)->v->rows[row].id;
}

static const char *row_words(void *ctx, int row)
{
	return ((struct table *)ctx)->v->rows[row].name;
}

/* What stands in a column. */
static const char *cell_text(char out[TEXT], const struct view_worker *k, enum column i)
{
	switch (i) {
	case STATE:
		return state_word(k->state);
	case JOBS:
		return number_text(out, k->jobs);
	case FAILED:
		return number_text(out, k->failed);
	case TAKEN:
		return number_text(out, k->taken_over);
	case RATE:
		return rate_text(out, k->per_s);
	case WAIT:
		return time_text(out, k->wait.median_s);
	case BUILD:
		return time_text(out, k->build.median_s);
	case SCORE:
		return time_text(out, k->score.median_s);
	case MEDIAN:
		return time_text(out, k->work.median_s);
	case P95:
		return time_text(out, k->work.p95_s);
	case CPU_JOB:
		return time_text(out, a_job(k->cpu_s, k->jobs));
	case CPU:
		return time_text(out, k->cpu_s);
	case SEEN:
		return time_text(out, k->seen_s);
	case MODEL:
	case N_COLUMNS:
		break;
	}
	return k->model ? k->model : "-";
}

static enum role cell_role(const struct view_worker *k, enum column i)
{
	if (i == STATE)
		return state_role(k->state);
	if (i == FAILED && k->failed > 0)
		return ROLE_BAD;
	if (i == TAKEN && k->taken_over > 0)
		return ROLE_WEAK;
	return k->state == WORKER_GONE ? ROLE_FAINT : ROLE_NORMAL;
}

static void draw_row(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct table *t = ctx;
	const struct view_worker *k = &t->v->rows[row];
	int x = r.x + t->name_w;
	char text[TEXT];

	draw_str(c, r.x, r.y, 1, ROLE_RUN, selected ? mark_sign(MARK_RUNNING, c->ascii) : " ");
	draw_str(c, r.x + 1, r.y, t->name_w - 2, k->state == WORKER_GONE ? ROLE_FAINT : ROLE_NORMAL,
	         k->name);
	for (int i = 0; i < N_COLUMNS; i++) {
		if (t->w < columns[i].from)
			continue;
		const char *words = cell_text(text, k, (enum column)i);
		enum role role = cell_role(k, (enum column)i);
		if (i == STATE)
			draw_str(c, x, r.y, columns[i].w - 1, role, words);
		else if (i == MODEL)
			draw_str(c, x + 2, r.y, columns[i].w - 2, role, words);
		else
			draw_right(c, x + columns[i].w, r.y, columns[i].w - 1, role, words);
		x += columns[i].w;
	}
}

static struct list_source source(struct table *t)
{
	return (struct list_source){ .ctx = t,
		                     .n = t->v->n_rows,
		                     .id = row_id,
		                     .words = row_words,
		                     .draw = draw_row,
		                     .height = 1 };
}

static void draw_heads(struct canvas *c, struct rect r, const struct table *t)
{
	int x = r.x + t->name_w;

	draw_str(c, r.x + 1, r.y, t->name_w - 2, ROLE_TITLE, "WORKER");
	for (int i = 0; i < N_COLUMNS; i++) {
		if (t->w < columns[i].from)
			continue;
		if (i == STATE || i == MODEL)
			draw_str(c, x, r.y, columns[i].w, ROLE_TITLE, columns[i].head);
		else
			draw_right(c, x + columns[i].w, r.y, columns[i].w, ROLE_TITLE,
			           columns[i].head);
		x += columns[i].w;
	}
}

/* All of them as one; medians of medians would say nothing. */
static void draw_totals(struct canvas *c, struct rect r, const struct table *t)
{
	const struct view_workers *v = t->v;
	struct view_worker all = { .per_s = NAN, .cpu_s = 0 };
	int x = r.x + t->name_w;
	char text[TEXT];

	for (int i = 0; i < v->n_rows; i++) {
		const struct view_worker *k = &v->rows[i];
		all.jobs += k->jobs;
		all.failed += k->failed;
		all.taken_over += k->taken_over;
		all.poison += k->poison;
		if (isfinite(k->cpu_s))
			all.cpu_s += k->cpu_s;
		if (isfinite(k->per_s) && k->state <= WORKER_BUSY)
			all.per_s = (isfinite(all.per_s) ? all.per_s : 0) + k->per_s;
	}
	draw_f(c, r.x + 1, r.y, t->name_w - 2, ROLE_STRONG, "all %d, %d live", v->n_rows, v->live);
	for (int i = 0; i < N_COLUMNS; i++) {
		if (t->w < columns[i].from)
			continue;
		if (i == JOBS || i == FAILED || i == TAKEN || i == RATE || i == CPU_JOB || i == CPU)
			draw_right(c, x + columns[i].w, r.y, columns[i].w - 1, ROLE_STRONG,
			           cell_text(text, &all, (enum column)i));
		x += columns[i].w;
	}
	if (all.poison > 0 && r.h > 1)
		draw_f(c, r.x + 1, r.y + 1, r.w - 2, ROLE_BAD,
		       "%s job%s killed three workers and %s not tried again: poison",
		       number_text(text, all.poison), all.poison == 1 ? "" : "s",
		       all.poison == 1 ? "is" : "are");
}

static void draw_table(struct screen_state *s, const struct view *v, struct canvas *c,
                       struct rect at)
{
	const struct view_workers *u = &v->workers;
	struct list *l = &s->lists[TABLE];
	struct rect in, foot = { 0 };
	struct table t;
	struct list_source src;
	int64_t poison = 0;
	char fact[120] = "";

	if (l->filter.len)
		snprintf(fact, sizeof(fact), "filter: %.60s  %d of %d", buf_str(&l->filter),
		         l->shown, u->n_rows);
	else if (u->queue)
		snprintf(fact, sizeof(fact), "%.100s", u->queue);
	in = draw_pane(c, at, "Workers", fact, s->focus == TABLE);
	if (u->n_rows == 0) {
		struct rect r = part_padded(at);
		r.y += r.h > 4;
		r.h -= r.h > 4;
		if (u->trouble) {
			int used = part_say(c, r, ROLE_BAD, u->trouble);
			r.y += used + 1;
			r.h -= used + 1;
		}
		part_say(c, r, ROLE_NORMAL,
		         u->why_not ? u->why_not
		                    : "No queue: builds and scores are made on this machine. To "
		                      "let others make them, start a Redis 7 server, 'cadforge "
		                      "worker --queue redis://HOST' on each machine, and this "
		                      "program with --queue redis://HOST.");
		return;
	}
	if (u->trouble) {
		char ago[TEXT];
		struct rect row = rect_take_top(&in, 2);
		draw_str(c, row.x + 1, row.y, row.w - 2, ROLE_BAD, u->trouble);
		draw_f(c, row.x + 1, row.y + 1, row.w - 2, ROLE_WEAK,
		       "what stands here was so %s ago", time_text(ago, u->age_s));
	}
	t = table_for(u, in.w - 1);
	src = source(&t);
	for (int i = 0; i < u->n_rows; i++)
		poison += u->rows[i].poison;
	draw_heads(c, rect_take_top(&in, 1), &t);
	if (in.h > 4)
		foot = rect_take_bottom(&in, 1 + (poison > 0));
	if (in.h > u->n_rows && foot.h > 0)
		rect_take_bottom(&in, 1);
	list_draw(l, c, in, &src, s->focus == TABLE);
	if (foot.h > 0)
		draw_totals(c, foot, &t);
}

/* ---- the selected one ---- */

static const struct view_worker *selected_worker(const struct screen_state *s, const struct view *v)
{
	for (int i = 0; i < v->workers.n_rows; i++)
		if (v->workers.rows[i].id == s->lists[TABLE].selected)
			return &v->workers.rows[i];
	return v->workers.n_rows ? &v->workers.rows[0] : NULL;
}

static void draw_latency(struct canvas *c, struct rect r, const struct view_worker *k)
{
	static const char *const names[] = { "in the queue", "build", "measure and score",
		                             "taken to answer" };
	const struct view_took *const took[] = { &k->wait, &k->build, &k->score, &k->work };
	char text[TEXT];

	draw_str(c, r.x, r.y, r.w, ROLE_TITLE, "LATENCY");
	draw_right(c, r.x + r.w - 9, r.y, 8, ROLE_TITLE, "MEDIAN");
	draw_right(c, r.x + r.w, r.y, 8, ROLE_TITLE, "95 %");
	for (int i = 0; i < 4 && i + 1 < r.h; i++) {
		int y = r.y + 1 + i;
		draw_str(c, r.x, y, r.w - 18, ROLE_NORMAL, names[i]);
		draw_right(c, r.x + r.w - 9, y, 8, ROLE_NORMAL, time_text(text, took[i]->median_s));
		draw_right(c, r.x + r.w, y, 8, ROLE_NORMAL, time_text(text, took[i]->p95_s));
	}
}

static void draw_facts(struct canvas *c, struct rect r, const struct view_worker *k)
{
	char text[8][TEXT];
	int y = r.y, end = r.y + r.h;

	if (y < end)
		draw_f(c, r.x, y++, r.w, ROLE_NORMAL, "%s, process %d", k->host ? k->host : "?",
		       k->pid);
	if (y < end)
		draw_f(c, r.x, y++, r.w, ROLE_NORMAL, "%d of %d jobs at once, for %s", k->under_way,
		       k->at_once, time_text(text[0], k->since_s));
	if (y < end)
		draw_f(c, r.x, y++, r.w, ROLE_NORMAL, "%s job%s, %s built, %s failed",
		       number_text(text[0], k->jobs), k->jobs == 1 ? "" : "s",
		       number_text(text[1], k->built), number_text(text[2], k->failed));
	if (y < end)
		draw_f(c, r.x, y++, r.w, ROLE_NORMAL, "%s taken over, %s poison",
		       number_text(text[0], k->taken_over), number_text(text[1], k->poison));
	if (y < end)
		draw_f(c, r.x, y++, r.w, ROLE_NORMAL, "cost: %s of CPU, %s a job",
		       time_text(text[0], k->cpu_s), time_text(text[1], a_job(k->cpu_s, k->jobs)));
	if (y < end)
		draw_f(c, r.x, y++, r.w, ROLE_NORMAL, "model: %s",
		       k->model ? k->model : "none, it builds and scores");
}

static void draw_one(struct screen_state *s, const struct view *v, struct canvas *c, struct rect at)
{
	const struct view_worker *k = selected_worker(s, v);
	struct rect r = part_padded(at), left;
	char fact[80] = "", ago[TEXT], words[200];

	if (!k) {
		draw_pane(c, at, "Worker", "", s->focus == ONE);
		part_say(c, r, ROLE_FAINT, "The selected worker: what its jobs took and cost.");
		return;
	}
	snprintf(fact, sizeof(fact), "%s, heard of %s ago", state_word(k->state),
	         time_text(ago, k->seen_s));
	draw_pane(c, at, k->name, fact, s->focus == ONE);
	if (r.w >= 70) {
		struct rect right = r;
		left = rect_take_left(&right, r.w / 2 > 46 ? 46 : r.w / 2 - 1);
		rect_take_left(&right, 3);
		draw_latency(c, left, k);
		draw_facts(c, right, k);
		rect_take_top(&r, 6);
	} else {
		draw_latency(c, r, k);
		rect_take_top(&r, 6);
		draw_facts(c, r, k);
		rect_take_top(&r, 6);
	}
	if (r.h > 2)
		rect_take_top(&r, 1);
	if (k->state == WORKER_FROZEN && r.h > 0) {
		int used = part_say(c, r, ROLE_BAD,
		                    "Silent: frozen, killed or cut off. Its jobs go to others when "
		                    "their lease is over; one that comes back goes on.");
		rect_take_top(&r, used);
	}
	if (k->versions && r.h > 0) {
		snprintf(words, sizeof(words), "made of %.180s", k->versions);
		part_say(c, r, ROLE_FAINT, words);
	}
}

/* ---- the screen ---- */

static struct rect place(const struct screen_state *s, struct rect r, int pane)
{
	enum layout_kind kind = layout_kind(r.w);
	struct rect below, none = { r.x, r.y, 0, 0 };
	int rows = ONE_ROWS + (r.h > 30);

	if (s->zoom || kind == LAYOUT_ONE) {
		if (kind == LAYOUT_ONE && !s->zoom)
			rect_take_top(&r, 1);
		return pane == s->focus ? r : none;
	}
	below = rect_take_bottom(&r, rows);
	return pane == TABLE ? r : below;
}

static void draw(struct screen_state *s, const struct view *v, struct canvas *c, struct rect r)
{
	static void (*const panes[N_PANES])(struct screen_state *, const struct view *,
	                                    struct canvas *,
	                                    struct rect) = { draw_table, draw_one };
	struct rect tabs = r;

	if (layout_kind(r.w) == LAYOUT_ONE && !s->zoom)
		layout_tabs(c, &tabs, pane_names, N_PANES, s->focus);
	for (int i = 0; i < N_PANES; i++) {
		struct rect at = place(s, r, i);
		if (at.w > 1 && at.h > 1)
			panes[i](s, v, c, at);
	}
}

static bool key(struct screen_state *s, const struct view *v, struct key k, struct intent *out)
{
	struct table t = { .v = &v->workers };
	struct list_source src = source(&t);

	(void)out;
	/* the selection is the same below */
	return list_key(&s->lists[TABLE], k, &src);
}

static int64_t selected(const struct screen_state *s)
{
	return s->lists[TABLE].selected;
}

static void select_id(struct screen_state *s, int64_t id)
{
	s->lists[TABLE].selected = id;
}

const struct screen screen_workers = { .name = "Workers",
	                               .panes = pane_names,
	                               .n_panes = N_PANES,
	                               .draw = draw,
	                               .key = key,
	                               .selected = selected,
	                               .select = select_id };
