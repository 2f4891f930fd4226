/*
 * report_grpo.c - runs of reinforcement learning as a page: what they show, in words with their
 * intervals, alarms, tasks, the answers at both ends.
 */
#include "src/report_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ENDS = 4,       /* best and worst completions shown of a run */
	TASKS = 40,     /* in the table, the rest is in the answers' file */
	LOG_LINES = 12, /* of what a failed build said */
	PROGRAM_LINES = 80,
};

double grpo_sum(const struct grpo_run *r, enum grpo_figure f, int from, int to)
{
	double sum = NAN;

	for (int i = from < 0 ? 0 : from; i < to && i < r->n; i++)
		if (isfinite(r->point[i].v[f]))
			sum = (isnan(sum) ? 0 : sum) + r->point[i].v[f];
	return sum;
}

/* Answers with a reward. */
static double scored_of(const struct grpo_run *r, int from, int to)
{
	double lost = grpo_sum(r, F_LOST, from, to);

	return grpo_sum(r, F_ANSWERS, from, to) - (isnan(lost) ? 0 : lost);
}

/* Share built of all answers of some steps. */
struct interval grpo_rate(const struct grpo_run *r, int from, int to)
{
	double n = scored_of(r, from, to), k = grpo_sum(r, F_BUILT, from, to);

	if (!(n > 0) || !(k >= 0) || k > n)
		return (struct interval){ NAN, NAN, NAN, 0 };
	return statistics_rate((int)k, (int)n);
}

double grpo_mean(const struct grpo_run *r, enum grpo_figure f, int from, int to)
{
	double sum = 0;
	int n = 0;

	for (int i = from < 0 ? 0 : from; i < to && i < r->n; i++)
		if (isfinite(r->point[i].v[f])) {
			sum += r->point[i].v[f];
			n++;
		}
	return n ? sum / n : NAN;
}

struct grpo_trend grpo_trend(const struct grpo_run *r, enum grpo_figure f)
{
	struct grpo_trend t = { NAN, NAN, NAN, NAN };
	double n = 0, x = 0, y = 0, xx = 0, xy = 0, rest = 0;

	for (int i = 0; i < r->n; i++)
		if (isfinite(r->point[i].v[f])) {
			n++;
			x += (double)r->point[i].step;
			y += r->point[i].v[f];
		}
	if (n < 8)
		return t;
	x /= n;
	y /= n;
	for (int i = 0; i < r->n; i++)
		if (isfinite(r->point[i].v[f])) {
			double dx = (double)r->point[i].step - x;
			xx += dx * dx;
			xy += dx * (r->point[i].v[f] - y);
		}
	t.slope = xy / xx;
	t.at0 = y - t.slope * x;
	for (int i = 0; i < r->n; i++)
		if (isfinite(r->point[i].v[f])) {
			double d = r->point[i].v[f] - t.at0 - t.slope * (double)r->point[i].step;
			rest += d * d;
		}
	double error = 1.96 * sqrt(rest / (n - 2) / xx);
	t.low = t.slope - error;
	t.high = t.slope + error;
	return t;
}

const char *grpo_percent(char out[64], struct interval v)
{
	if (isnan(v.value))
		snprintf(out, 64, "-");
	else
		snprintf(out, 64, "%.1f %% (%.1f to %.1f)", 100 * v.value, 100 * v.low,
		         100 * v.high);
	return out;
}

/* ---- what it shows ---- */

/* How many steps "first" and "last" are of: a run with fewer than twice as many is halved. */
static int ends_of(const struct grpo_run *r)
{
	return r->n >= 2 * GRPO_WINDOW ? GRPO_WINDOW : r->n > 1 ? r->n / 2 : 1;
}

static void table(struct paper *p, struct grpo_run *const *run, int n)
{
	static const char *const columns[] = {
		"run",          "kind",           "reward",        "begun",
		"state",        ">steps",         ">answers",      ">built, first",
		">built, last", ">reward, first", ">reward, last", ">clipped",
		">flat groups", ">alarms",        "time",          ">answers/s"
	};
	char text[64], when[32];

	paper_table(p, columns, 16);
	for (int i = 0; i < n; i++) {
		const struct grpo_run *r = run[i];
		double s = grpo_sum(r, F_SECONDS, 0, r->n),
		       answers = grpo_sum(r, F_ANSWERS, 0, r->n);
		int ends = ends_of(r), from = r->n > ends ? r->n - ends : 0;
		store_local_time(when, sizeof(when), r->row.started_us);
		paper_cell(p, "%" PRId64, r->row.id);
		paper_cell(p, "%s", r->row.kind);
		paper_cell(p, "%s", r->reward[0] ? r->reward : "-");
		paper_cell(p, "%s", when);
		paper_cell(p, "%s", r->row.outcome[0] ? r->row.outcome : "not ended");
		paper_cell(p, "%" PRId64 "/%" PRId64, r->n ? r->point[r->n - 1].step : 0, r->steps);
		paper_figure(p, "%.0f", answers);
		paper_cell(p, "%s", grpo_percent(text, grpo_rate(r, 0, ends)));
		paper_cell(p, "%s", grpo_percent(text, grpo_rate(r, from, r->n)));
		paper_figure(p, "%.3f", grpo_mean(r, F_REWARD, 0, ends));
		paper_figure(p, "%.3f", grpo_mean(r, F_REWARD, from, r->n));
		paper_figure(p, "%.1f %%", 100 * grpo_sum(r, F_CLIPPED, 0, r->n) / answers);
		paper_figure(p, "%.1f %%",
		             100 * grpo_sum(r, F_FLAT, 0, r->n) / grpo_sum(r, F_GROUPS, 0, r->n));
		paper_cell(p, "%d", r->n_alarms);
		report_duration(text, sizeof(text), s);
		paper_cell(p, "%s", text);
		paper_figure(p, "%.2f", answers / s);
	}
	paper_table_end(p);
	paper_text(
		p,
		"First and last are means over %d steps, or over half of a shorter run; built is of answers that were "
		"scored, with the interval of 95 %% (Wilson). Every figure is from the rows in "
		"steps-RUN.csv (row: its number among the run's rows in the database) and "
		"answers-RUN.csv (turn EP.T: 'cadforge show EP.T').",
		GRPO_WINDOW);
}

static void words(struct paper *p, const struct grpo_run *r)
{
	int ends = ends_of(r), from = r->n > ends ? r->n - ends : 0;
	struct interval first = grpo_rate(r, 0, ends), last = grpo_rate(r, from, r->n);
	struct grpo_trend reward = grpo_trend(r, F_REWARD), built = grpo_trend(r, F_BUILD_RATE);
	double clipped = grpo_sum(r, F_CLIPPED, 0, r->n), answers = grpo_sum(r, F_ANSWERS, 0, r->n);
	double flat = grpo_sum(r, F_FLAT, 0, r->n), groups = grpo_sum(r, F_GROUPS, 0, r->n);
	char a[64], b[64];

	paper_heading(p, 3, "%s", r->name);
	if (r->error[0] && strcmp(r->row.outcome, "stopped") == 0)
		paper_text(p, "It was stopped: %s.", r->error);
	else if (r->error[0])
		paper_warn(p, "It failed: %s", r->error);
	if (r->n == 0) {
		paper_text(p, "It has no step yet.");
		return;
	}
	if (r->resumed)
		paper_text(p,
		           "It went on from a checkpoint %d time%s; of steps taken again the "
		           "later ones are shown.",
		           r->resumed, r->resumed == 1 ? "" : "s");
	if (isnan(first.value))
		paper_item(p, "Build rate: not told by its steps.");
	else
		paper_item(p, "Build rate: %s in its first %d steps, %s in its last %d; %s.",
		           grpo_percent(a, first), ends, grpo_percent(b, last), r->n - from,
		           r->n < 4                               ? "too few steps to tell a change"
		           : last.low > first.high                ? "it rose"
		           : last.high < first.low                ? "it fell"
		           : isfinite(built.low) && built.low > 0 ? "the trend over all steps rises"
		           : isfinite(built.high) && built.high < 0
		                   ? "the trend over all steps falls"
		                   : "no change that its answers show");
	if (isfinite(reward.slope))
		paper_item(
			p,
			"Mean reward: %.3f in its first %d steps, %.3f in its last %d; trend %+.4f "
			"in ten steps (95 %%: %+.4f to %+.4f, as if steps were independent).",
			grpo_mean(r, F_REWARD, 0, ends), ends, grpo_mean(r, F_REWARD, from, r->n),
			r->n - from, 10 * reward.slope, 10 * reward.low, 10 * reward.high);
	if (groups > 0)
		paper_item(
			p,
			"Groups: %.0f drawn, %.0f (%.0f %%) taught nothing, since their rewards were "
			"all alike.",
			groups, flat, 100 * flat / groups);
	if (isfinite(clipped))
		paper_item(p,
		           "Clipped by the budget: %.0f of %.0f answers; in its first step %.0f of "
		           "%.0f.",
		           clipped, answers, r->point[0].v[F_CLIPPED], r->point[0].v[F_ANSWERS]);
	if (grpo_sum(r, F_LOST, 0, r->n) > 0)
		paper_item(p, "Lost: %.0f answers were never scored; nothing was learnt from them.",
		           grpo_sum(r, F_LOST, 0, r->n));
	if (r->n_evals)
		paper_item(p,
		           "Held-out tasks: built %.0f of %.0f after step %" PRId64
		           ", %.0f of %.0f after step %" PRId64 ".",
		           r->eval[0].built, r->eval[0].answers, r->eval[0].step,
		           r->eval[r->n_evals - 1].built, r->eval[r->n_evals - 1].answers,
		           r->eval[r->n_evals - 1].step);
	if (isfinite(reward.low) && reward.low > 0 && last.high <= first.high)
		paper_warn(p, "The reward rose and the build rate did not: what is rewarded is not "
		              "what builds.");
	if (clipped > 0.05 * answers)
		paper_warn(
			p,
			"Of 100 answers %.0f had no end: nothing of the kind can build. A larger "
			"budget, or a shorter prompt.",
			100 * clipped / answers);
}

static void alarms(struct paper *p, struct grpo_run *const *run, int n)
{
	static const char *const columns[] = { "run", ">step", "alarm", "policy",
		                               "what was seen, and what to do" };
	int all = 0;

	paper_heading(p, 2, "Alarms");
	for (int i = 0; i < n; i++)
		all += run[i]->n_alarms;
	if (!all) {
		paper_text(p, "None went off.");
		return;
	}
	paper_table(p, columns, 5);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < run[i]->n_alarms; k++) {
			const struct grpo_seen_alarm *a = &run[i]->alarm[k];
			paper_cell(p, "%" PRId64, run[i]->row.id);
			paper_cell(p, "%" PRId64, a->step);
			paper_cell(p, "%s", a->alarm);
			paper_cell(p, "%s", a->policy);
			paper_cell(p, "%s", a->text);
		}
	paper_table_end(p);
}

/* ---- answers ---- */

static int see_note(void *ctx, int number, const char *text)
{
	struct buf *b = ctx;

	if (number <= 4)
		buf_printf(b, "%s\n", text);
	return number > 4;
}

static void show_answer(struct report_work *w, const struct grpo_seen_answer *a)
{
	static const char *const views[] = { "isometric.png", "sheet.png", "front.png" };
	struct buf png = { 0 }, text = { 0 }, notes = { 0 };
	char name[64], ref[40];
	bool named = *a->cls && strcmp(a->cls, "build_ok") != 0;

	snprintf(ref, sizeof(ref), "%" PRId64 ".%d", a->episode, a->turn);
	paper_heading(w->p, 4, "%s: %s", ref, a->task);
	paper_text(w->p,
	           "Step %" PRId64 ", group %d, member %d%s%s. Reward %.3f, total %s%.3f, "
	           "%s%s%s; %d tokens%s. 'cadforge show %s' has all of it.",
	           a->step, a->group, a->member, *a->repairs ? ", repairs " : "", a->repairs,
	           a->reward, isnan(a->total) ? "not measured " : "",
	           isnan(a->total) ? 0 : a->total, a->built ? "built" : "did not build",
	           named ? ": " : "", named ? a->cls : "", a->tokens, a->clipped ? ", clipped" : "",
	           ref);
	store_artifact(w->s, a->episode, a->turn, "program.py", &text, NULL);
	for (size_t i = 0; a->built && i < sizeof(views) / sizeof(*views) && !png.len; i++) {
		buf_clear(&png);
		if (store_artifact(w->s, a->episode, a->turn, views[i], &png, NULL) < 0)
			buf_clear(&png);
	}
	if (a->built && !png.len && text.len && w->o->picture &&
	    !w->o->picture(w->o->ctx, a->task, buf_str(&text), text.len, &png))
		buf_clear(&png);
	if (png.len) {
		snprintf(name, sizeof(name), "answer-%" PRId64 "-%d.png", a->episode, a->turn);
		paper_picture(w->p, name, buf_str(&png), png.len, "what it builds");
	} else if (a->built) {
		paper_text(w->p, "Its picture was not kept, and cannot be made here.");
	}
	if (!a->built && store_notes(w->s, a->episode, a->turn, see_note, &notes, NULL) == 0 &&
	    notes.len)
		paper_block(w->p, "", buf_str(&notes), notes.len, LOG_LINES);
	if (text.len) {
		paper_fold(w->p, "its program");
		paper_block(w->p, "python", buf_str(&text), text.len, PROGRAM_LINES);
		paper_fold_end(w->p);
	} else {
		buf_clear(&text);
		store_artifact(w->s, a->episode, a->turn, "completion.txt", &text, NULL);
		paper_fold(w->p, "its answer, which has no program");
		paper_block(w->p, "", buf_str(&text), text.len, PROGRAM_LINES);
		paper_fold_end(w->p);
	}
	buf_release(&png);
	buf_release(&text);
	buf_release(&notes);
}

/* The ENDS answers with the highest rewards, each of another task, or the lowest, each of another
 * class; then whatever is next. How many. */
static int choose(const struct grpo_run *r, bool best, const struct grpo_seen_answer **out)
{
	int n = 0;

	for (int pass = 0; pass < 2; pass++)
		while (n < ENDS) {
			const struct grpo_seen_answer *found = NULL;
			for (int i = 0; i < r->n_answers; i++) {
				const struct grpo_seen_answer *a = &r->answer[i];
				bool taken = !isfinite(a->reward);
				for (int k = 0; k < n && !taken; k++)
					taken = out[k] == a ||
					        (pass == 0 &&
					         strcmp(best ? out[k]->task : out[k]->cls,
					                best ? a->task : a->cls) == 0);
				if (!taken && (!found || (best ? a->reward > found->reward
				                               : a->reward < found->reward)))
					found = a;
			}
			if (!found)
				break;
			out[n++] = found;
		}
	return n;
}

static void answers(struct report_work *w, struct grpo_run *const *run, int n)
{
	const struct grpo_seen_answer *chosen[ENDS];

	for (int best = 1; best >= 0; best--) {
		paper_heading(w->p, 2, best ? "Best completions" : "Worst completions");
		paper_text(w->p, "By reward, %s.",
		           best ? "the best of each task, as long as there are several"
		                : "the worst of each failure class, as long as there are several");
		for (int i = 0; i < n; i++) {
			int m = choose(run[i], best, chosen);
			if (n > 1)
				paper_heading(w->p, 3, "%s", run[i]->name);
			if (m == 0)
				paper_text(w->p, "There are none in the database.");
			for (int k = 0; k < m; k++)
				show_answer(w, chosen[k]);
		}
	}
}

struct task_sum {
	const char *task;
	int n, built;
	double sum;
	const struct grpo_seen_answer *best;
};

static int by_rate(const void *a, const void *b)
{
	const struct task_sum *x = a, *y = b;
	double d = (double)x->built / x->n - (double)y->built / y->n;

	return d < 0 ? -1 : d > 0 ? 1 : strcmp(x->task, y->task);
}

static void tasks(struct report_work *w, const struct grpo_run *r)
{
	static const char *const columns[] = { "task",         ">answers", ">built",
		                               ">mean reward", "best",     ">its reward" };
	struct task_sum *t = calloc((size_t)r->n_answers + 1, sizeof(*t));
	int n = 0;

	for (int i = 0; t && i < r->n_answers; i++) {
		const struct grpo_seen_answer *a = &r->answer[i];
		int k = 0;
		if (!isfinite(a->reward))
			continue;
		while (k < n && strcmp(t[k].task, a->task) != 0)
			k++;
		n += k == n;
		t[k].task = a->task;
		t[k].n++;
		t[k].built += a->built;
		t[k].sum += a->reward;
		if (!t[k].best || a->reward > t[k].best->reward)
			t[k].best = a;
	}
	if (n > 0) {
		qsort(t, (size_t)n, sizeof(*t), by_rate);
		paper_fold(w->p, "%d tasks of %s, by build rate%s", n, r->name,
		           n > TASKS ? " (the first; answers-RUN.csv has all)" : "");
		paper_table(w->p, columns, 6);
		for (int i = 0; i < n && i < TASKS; i++) {
			paper_cell(w->p, "%s", t[i].task);
			paper_cell(w->p, "%d", t[i].n);
			paper_cell(w->p, "%.0f %%", 100.0 * t[i].built / t[i].n);
			paper_figure(w->p, "%.3f", t[i].sum / t[i].n);
			paper_cell(w->p, "%" PRId64 ".%d", t[i].best->episode, t[i].best->turn);
			paper_figure(w->p, "%.3f", t[i].best->reward);
		}
		paper_table_end(w->p);
		paper_fold_end(w->p);
	}
	free(t);
}

static void gone(struct paper *p, const struct grpo_run *r)
{
	double told = 0;

	for (int k = 0; k < r->n; k++)
		told += isfinite(r->point[k].v[F_ANSWERS]) ? r->point[k].v[F_ANSWERS] : 0;
	if (told > r->n_answers)
		paper_text(
			p,
			"%s: %d of its %.0f answers are in the database; the others were pruned, "
			"lost, or not stored, and are in no table of answers.",
			r->name, r->n_answers, told);
}

void grpo_add(struct report_work *w, struct grpo_run **run, int n)
{
	struct paper *p = w->p;

	table(p, run, n);
	paper_heading(p, 2, "What it shows");
	for (int i = 0; i < n; i++)
		words(p, run[i]);
	alarms(p, run, n);
	grpo_curves(w, run, n);
	paper_heading(p, 2, "Tasks");
	for (int i = 0; i < n; i++) {
		gone(p, run[i]);
		tasks(w, run[i]);
	}
	answers(w, run, n);
	paper_heading(p, 2, "Settings");
	for (int i = 0; i < n; i++)
		report_settings(p, run[i]->name,
		                cJSON_GetObjectItemCaseSensitive(run[i]->row.about, "settings"),
		                run[i]->ready);
	grpo_files(p, run, n);
	paper_heading(p, 2, "The rows behind it");
	for (int i = 0; i < n; i++) {
		char name[64];
		snprintf(name, sizeof(name), "steps-%" PRId64 ".csv", run[i]->row.id);
		paper_link(p, name, "steps of %s", run[i]->name);
		snprintf(name, sizeof(name), "answers-%" PRId64 ".csv", run[i]->row.id);
		paper_link(p, name, "answers of %s", run[i]->name);
	}
	paper_link(p, "data.json", "steps, classes, weights, alarms and held-out answers of all");
}
