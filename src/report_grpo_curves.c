/*
 * report_grpo_curves.c - runs of reinforcement learning over their steps, as plots; each says which
 * columns it is made of.
 */
#include "src/report_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BINS = 48,    /* of classes over time */
	CLASSES = 11, /* with areas of their own; the rest is one */
	MARKS = 16,
};

/* A curve of a run: as many points as the run has steps. */
static double *column(const struct grpo_run *r, enum grpo_figure f)
{
	double *v = malloc((size_t)(r->n ? r->n : 1) * sizeof(*v));

	for (int i = 0; v && i < r->n; i++)
		v[i] = f < FIGURES ? r->point[i].v[f] : (double)r->point[i].step;
	return v;
}

static double *steps_of(const struct grpo_run *r)
{
	return column(r, FIGURES);
}

/* Mean of each step and the GRPO_WINDOW - 1 before it. */
static double *trailing(const double *v, int n)
{
	double *out = malloc((size_t)(n ? n : 1) * sizeof(*out));

	for (int i = 0; out && i < n; i++) {
		double sum = 0;
		int m = 0;
		for (int k = i >= GRPO_WINDOW ? i - GRPO_WINDOW + 1 : 0; k <= i; k++)
			if (isfinite(v[k])) {
				sum += v[k];
				m++;
			}
		out[i] = m ? sum / m : NAN;
	}
	return out;
}

/* A plot under way: what its lines are made of lives until it is drawn. */
struct sketch {
	struct plot plot;
	struct plot_line line[PLOT_LINES_MAX];
	struct plot_mark mark[MARKS];
	char name[PLOT_LINES_MAX][64];
	double *made[3 * PLOT_LINES_MAX];
	int n_made;
};

static void begin(struct sketch *s, const char *title, const char *y_label)
{
	memset(s, 0, sizeof(*s));
	s->plot = (struct plot){ .title = title,
		                 .x_label = "step",
		                 .y_label = y_label,
		                 .whole_x = true,
		                 .line = s->line,
		                 .mark = s->mark };
}

/* Takes @v over; NULL: no memory, and the line is left out. */
static double *keep(struct sketch *s, double *v)
{
	if (v && s->n_made < (int)(sizeof(s->made) / sizeof(*s->made))) {
		s->made[s->n_made++] = v;
		return v;
	}
	free(v);
	return NULL;
}

/* Takes @x and @y over. NULL: there is no figure in it, and no line is made. */
static struct plot_line *add(struct sketch *s, double *x, double *y, int n, const char *name)
{
	struct plot_line *l;
	bool any = false;

	x = keep(s, x);
	y = keep(s, y);
	for (int i = 0; x && y && i < n; i++)
		any |= isfinite(y[i]);
	if (!any || s->plot.n == PLOT_LINES_MAX)
		return NULL;
	l = &s->line[s->plot.n];
	snprintf(s->name[s->plot.n], sizeof(s->name[0]), "%s", name ? name : "");
	*l = (struct plot_line){ .name = name ? s->name[s->plot.n] : NULL, .x = x, .y = y, .n = n };
	s->plot.n++;
	return l;
}

static void end(struct sketch *s)
{
	for (int i = 0; i < s->n_made; i++)
		free(s->made[i]);
	s->n_made = 0;
}

/* Alarms of the only run, by name, where they went off. */
static void mark_alarms(struct sketch *s, struct grpo_run *const *run, int n)
{
	for (int i = 0; n == 1 && i < run[0]->n_alarms && s->plot.n_marks < MARKS; i++)
		s->mark[s->plot.n_marks++] =
			(struct plot_mark){ (double)run[0]->alarm[i].step, run[0]->alarm[i].alarm };
}

static void held_out(struct sketch *s, const struct grpo_run *r, bool rate, int colour,
                     const char *name)
{
	double *x = malloc((size_t)(r->n_evals + 1) * sizeof(*x));
	double *y = malloc((size_t)(r->n_evals + 1) * sizeof(*y));
	struct plot_line *l;

	for (int i = 0; x && y && i < r->n_evals; i++) {
		x[i] = (double)r->eval[i].step;
		y[i] = rate ? r->eval[i].build_rate : r->eval[i].reward;
	}
	l = add(s, x, y, r->n_evals, name);
	if (l) {
		l->points = true;
		l->colour = colour;
	}
}

static void reward_plot(struct report_work *w, struct grpo_run *const *run, int n)
{
	struct sketch s;

	begin(&s, "Mean reward", "reward");
	for (int i = 0; i < n; i++) {
		const struct grpo_run *r = run[i];
		double *y = column(r, F_REWARD);
		struct grpo_trend t = grpo_trend(r, F_REWARD);
		char name[80];
		snprintf(name, sizeof(name), "%s%smean of %d steps", n > 1 ? r->name : "",
		         n > 1 ? ", " : "", GRPO_WINDOW);
		struct plot_line *l =
			y ? add(&s, steps_of(r), trailing(y, r->n), r->n, n > 1 ? r->name : name)
			  : NULL;
		if (l)
			l->colour = i + 1;
		l = add(&s, steps_of(r), y, r->n, n > 1 ? NULL : "each step");
		if (l) {
			l->colour = i + 1;
			l->dots = l->faint = true;
		}
		if (isfinite(t.slope) && n == 1) {
			double *x2 = steps_of(r), *y2 = steps_of(r);
			for (int k = 0; x2 && y2 && k < r->n; k++)
				y2[k] = t.at0 + t.slope * x2[k];
			l = add(&s, x2, y2, r->n, "trend");
			if (l)
				l->colour = 2;
		}
		if (r->n_evals) {
			snprintf(name, sizeof(name), "%s%sheld out", n > 1 ? r->name : "",
			         n > 1 ? ", " : "");
			held_out(&s, r, false, n > 1 ? i + 1 : 3, name);
		}
	}
	mark_alarms(&s, run, n);
	if (s.plot.n == 0)
		paper_text(w->p, "No reward was told.");
	else
		paper_plot(
			w->p, "reward.svg", &s.plot,
			"Column reward of steps-RUN.csv: each step's answers that were scored; the line "
			"is the mean of a step and the %d before it.",
			GRPO_WINDOW - 1);
	end(&s);
}

static void builds_plot(struct report_work *w, struct grpo_run *const *run, int n)
{
	struct sketch s;

	begin(&s, "Build rate", "answers that build");
	s.plot.share_y = true;
	for (int i = 0; i < n; i++) {
		const struct grpo_run *r = run[i];
		double *pooled = steps_of(r), *low = keep(&s, steps_of(r));
		double *high = keep(&s, steps_of(r)), *each = column(r, F_BUILD_RATE);
		char name[80];
		struct plot_line *l;
		for (int k = 0; pooled && low && high && k < r->n; k++) {
			struct interval v =
				grpo_rate(r, k >= GRPO_WINDOW ? k - GRPO_WINDOW + 1 : 0, k + 1);
			pooled[k] = v.value;
			low[k] = v.low;
			high[k] = v.high;
		}
		snprintf(name, sizeof(name), "%d steps, with interval", GRPO_WINDOW);
		l = add(&s, steps_of(r), pooled, r->n, n > 1 ? r->name : name);
		if (l) {
			l->colour = i + 1;
			l->low = low;
			l->high = low ? high : NULL;
		}
		l = add(&s, steps_of(r), each, r->n, n > 1 ? NULL : "each step");
		if (l) {
			l->colour = i + 1;
			l->dots = l->faint = true;
		}
		if (r->n_evals) {
			snprintf(name, sizeof(name), "%s%sheld out", n > 1 ? r->name : "",
			         n > 1 ? ", " : "");
			held_out(&s, r, true, n > 1 ? i + 1 : 3, name);
		}
	}
	mark_alarms(&s, run, n);
	if (s.plot.n == 0)
		paper_text(w->p, "Whether answers build was not told: the build rate is not known. "
		                 "It is not 0 %%.");
	else
		paper_plot(
			w->p, "builds.svg", &s.plot,
			"Columns built, answers, lost of steps-RUN.csv, pooled over a step and the %d "
			"before it; the band is the interval of 95 %% (Wilson) of that share.",
			GRPO_WINDOW - 1);
	end(&s);
}

static double class_total(const struct grpo_run *r, int cls, int from, int to)
{
	double sum = 0;

	for (int k = from; k < to; k++)
		if (isfinite(r->point[k].classes[cls]))
			sum += r->point[k].classes[cls];
	return sum;
}

/* The classes of a run by how many answers they have; those that are no failure first. */
static int classes_by_count(const struct grpo_run *r, int *order)
{
	int n = 0;

	for (int i = 0; i < r->n_cls; i++) {
		bool ok = strstr(r->cls[i], "ok") != NULL;
		double count = class_total(r, i, 0, r->n);
		int at = n;
		if (count <= 0)
			continue;
		while (at > 0 && (strstr(r->cls[order[at - 1]], "ok") == NULL) &&
		       (ok || class_total(r, order[at - 1], 0, r->n) < count)) {
			order[at] = order[at - 1];
			at--;
		}
		order[at] = i;
		n++;
	}
	return n;
}

static void spaced(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s", name);
	for (char *p = out; *p; p++)
		*p = *p == '_' ? ' ' : *p;
}

/* False: there are none. */
static bool classes_plot(struct report_work *w, const struct grpo_run *r, bool several)
{
	struct sketch s;
	char file[64], title[96], name[64];
	int order[GRPO_CLASSES_MAX], n = classes_by_count(r, order);
	int bins = r->n < BINS ? r->n : BINS;

	if (n == 0)
		return false;
	snprintf(title, sizeof(title), "What answers were%s%s", several ? ", " : "",
	         several ? r->name : "");
	begin(&s, title, "share of answers");
	s.plot.share_y = s.plot.stacked = true;
	for (int i = 0; i < n && i <= CLASSES; i++) {
		double *x = malloc((size_t)bins * sizeof(*x)),
		       *y = malloc((size_t)bins * sizeof(*y));
		for (int b = 0; x && y && b < bins; b++) {
			int from = b * r->n / bins, to = (b + 1) * r->n / bins;
			double all = 0, mine = 0;
			for (int k = 0; k < n; k++) {
				double c = class_total(r, order[k], from, to);
				all += c;
				mine += k == i || (i == CLASSES && k > CLASSES) ? c : 0;
			}
			/* a bin of several steps stands at their middle */
			x[b] = ((double)r->point[from].step + (double)r->point[to - 1].step) / 2;
			y[b] = all > 0 ? mine / all : NAN;
		}
		spaced(name, sizeof(name),
		       i == CLASSES && n > CLASSES + 1 ? "others" : r->cls[order[i]]);
		add(&s, x, y, bins, name);
	}
	snprintf(file, sizeof(file), "classes-%" PRId64 ".svg", r->row.id);
	paper_plot(w->p, file, &s.plot,
	           "Columns class_NAME of steps-%" PRId64 ".csv, %s; the same by answer: column "
	           "class of answers-%" PRId64 ".csv.",
	           r->row.id, bins < r->n ? "several steps together" : "step by step", r->row.id);
	end(&s);
	return true;
}

/* A share of two columns, over GRPO_WINDOW steps. */
static double *share(const struct grpo_run *r, enum grpo_figure part, enum grpo_figure of)
{
	double *v = steps_of(r);

	for (int k = 0; v && k < r->n; k++) {
		int from = k >= GRPO_WINDOW ? k - GRPO_WINDOW + 1 : 0;
		double all = grpo_sum(r, of, from, k + 1);
		v[k] = all > 0 ? grpo_sum(r, part, from, k + 1) / all : NAN;
	}
	return v;
}

/* One column of all runs; false: nobody told it. */
static bool one_figure(struct report_work *w, struct grpo_run *const *run, int n,
                       enum grpo_figure f, const char *title, const char *y_label, bool zero,
                       bool log)
{
	struct sketch s;
	char file[64];
	double low = INFINITY, high = 0;
	bool any;

	begin(&s, title, y_label);
	for (int i = 0; i < n; i++) {
		double *v = column(run[i], f);
		for (int k = 0; v && k < run[i]->n; k++) {
			low = v[k] > 0 && v[k] < low ? v[k] : low;
			high = v[k] > high ? v[k] : high;
		}
		add(&s, steps_of(run[i]), v, run[i]->n, n > 1 ? run[i]->name : NULL);
	}
	s.plot.log_y = log && high > 20 * low;
	s.plot.zero_y = zero && !s.plot.log_y;
	snprintf(file, sizeof(file), "%s.svg", grpo_figure_name[f]);
	any = s.plot.n > 0;
	if (any)
		paper_plot(w->p, file, &s.plot, "Column %s of steps-RUN.csv.", grpo_figure_name[f]);
	end(&s);
	return any;
}

/* Share built, over GRPO_WINDOW steps. */
static double *rates(const struct grpo_run *r)
{
	double *v = steps_of(r);

	for (int k = 0; v && k < r->n; k++)
		v[k] = grpo_rate(r, k >= GRPO_WINDOW ? k - GRPO_WINDOW + 1 : 0, k + 1).value;
	return v;
}

static void health_plots(struct report_work *w, struct grpo_run *const *run, int n)
{
	struct sketch s;
	char file[64], title[96], name[80];

	for (int i = 0; i < n; i++) {
		const struct grpo_run *r = run[i];
		double *clipped = column(r, F_CLIPPED_RATE);
		snprintf(title, sizeof(title), "Code health%s%s", n > 1 ? ", " : "",
		         n > 1 ? r->name : "");
		begin(&s, title, "share of answers");
		s.plot.share_y = true;
		add(&s, steps_of(r), rates(r), r->n, "builds");
		add(&s, steps_of(r), share(r, F_OBJECT, F_PROGRAMS), r->n,
		    "names its final object");
		add(&s, steps_of(r), share(r, F_IMPORT, F_PROGRAMS), r->n, "imports cadquery");
		if (clipped)
			add(&s, steps_of(r), trailing(clipped, r->n), r->n, "clipped");
		keep(&s, clipped);
		snprintf(file, sizeof(file), "health-%" PRId64 ".svg", r->row.id);
		if (s.plot.n > 0)
			paper_plot(w->p, file, &s.plot,
			           "Columns built of answers, names_object and imports_cadquery of "
			           "programs, clipped_rate in steps-%" PRId64
			           ".csv, over %d steps. An answer without a program names and "
			           "imports nothing.",
			           r->row.id, GRPO_WINDOW);
		end(&s);
	}
	one_figure(w, run, n, F_CHARS, "Length of answers", "characters, mean", true, false);
	begin(&s, "Length of answers", "tokens");
	s.plot.zero_y = true;
	for (int i = 0; i < n; i++) {
		struct plot_line *l;
		snprintf(name, sizeof(name), "%s%smean", n > 1 ? run[i]->name : "",
		         n > 1 ? ", " : "");
		l = add(&s, steps_of(run[i]), column(run[i], F_LENGTH), run[i]->n, name);
		if (l)
			l->colour = i + 1;
		snprintf(name, sizeof(name), "%s%slongest", n > 1 ? run[i]->name : "",
		         n > 1 ? ", " : "");
		l = add(&s, steps_of(run[i]), column(run[i], F_LENGTH_MAX), run[i]->n, name);
		if (l) {
			l->colour = i + 1;
			l->faint = true;
		}
	}
	if (s.plot.n > 0)
		paper_plot(w->p, "length.svg", &s.plot,
		           "Columns length and length_max (faint) of steps-RUN.csv.");
	end(&s);
}

static void stages(struct report_work *w, const struct grpo_run *r, struct sketch *s)
{
	const char *last = "";

	for (int k = 0; k < r->n; k++) {
		const char *stage = r->point[k].stage;
		if (strcmp(stage, last) != 0 && *stage && s->plot.n_marks < MARKS)
			s->mark[s->plot.n_marks++] =
				(struct plot_mark){ (double)r->point[k].step, stage };
		last = stage;
	}
	(void)w;
}

/* What the repairs of each class came to: whether those it was asked for got more. */
static void repairs_table(struct report_work *w, const struct grpo_run *r)
{
	static const char *const columns[] = { "class that was to be repaired", ">answers",
		                               ">built", ">built, first half of the steps",
		                               ">built, second half" };
	int64_t half = r->n ? r->point[r->n / 2].step : 0;
	char a[64];
	bool any = false;

	for (int i = 0; i < r->n_answers && !any; i++)
		any = strcmp(r->answer[i].kind, "repair") == 0;
	if (!any)
		return;
	paper_table(w->p, columns, 5);
	for (int c = 0; c < r->n_cls; c++) {
		int n[2] = { 0 }, k[2] = { 0 };
		for (int i = 0; i < r->n_answers; i++) {
			const struct grpo_seen_answer *x = &r->answer[i];
			int late = x->step >= half;
			if (strcmp(x->kind, "repair") != 0 || x->round != 1 || isnan(x->reward) ||
			    strcmp(x->repairs, r->cls[c]) != 0)
				continue;
			n[late]++;
			k[late] += x->built;
		}
		if (n[0] + n[1] == 0)
			continue;
		paper_cell(w->p, "%s", r->cls[c]);
		paper_cell(w->p, "%d", n[0] + n[1]);
		paper_cell(w->p, "%s", grpo_percent(a, statistics_rate(k[0] + k[1], n[0] + n[1])));
		paper_cell(w->p, "%s", grpo_percent(a, statistics_rate(k[0], n[0])));
		paper_cell(w->p, "%s", grpo_percent(a, statistics_rate(k[1], n[1])));
	}
	paper_table_end(w->p);
	paper_text(w->p,
	           "Rows of answers-%" PRId64 ".csv with kind repair and round 1; halves at step "
	           "%" PRId64 ". What is drawn changes with the curriculum's weights, so halves "
	           "differ in more than the model.",
	           r->row.id, half);
}

static void curriculum(struct report_work *w, struct grpo_run *const *run, int n)
{
	struct sketch s;
	char file[64], title[96], name[64];

	paper_heading(w->p, 2, "Curriculum");
	for (int i = 0; i < n; i++) {
		const struct grpo_run *r = run[i];
		snprintf(title, sizeof(title), "Weights of failure classes%s%s", n > 1 ? ", " : "",
		         n > 1 ? r->name : "");
		begin(&s, title, "weight");
		s.plot.zero_y = true;
		for (int c = 0; c < r->n_cls; c++) {
			double *y = steps_of(r);
			bool any = false;
			for (int k = 0; y && k < r->n; k++) {
				y[k] = r->point[k].weights[c];
				any |= isfinite(y[k]);
			}
			spaced(name, sizeof(name), r->cls[c]);
			if (any)
				add(&s, steps_of(r), y, r->n, name);
			else
				free(y);
		}
		stages(w, r, &s);
		snprintf(file, sizeof(file), "weights-%" PRId64 ".svg", r->row.id);
		if (s.plot.n > 0)
			paper_plot(w->p, file, &s.plot,
			           "Columns weight_NAME of steps-%" PRId64
			           ".csv; dotted lines: where a stage begins (column stage).",
			           r->row.id);
		else
			paper_text(w->p, "%s told no weights.", r->name);
		end(&s);
		repairs_table(w, r);
	}
}

static void groups_plots(struct report_work *w, struct grpo_run *const *run, int n)
{
	static const struct {
		enum grpo_figure part;
		const char *name;
	} lines[] = { { F_FLAT, "teach nothing" },
		      { F_ALL_BUILT, "all built" },
		      { F_NONE_BUILT, "none built" } };
	struct sketch s;
	char file[64], title[96], name[80];

	paper_heading(w->p, 2, "Groups");
	for (int i = 0; i < n; i++) {
		const struct grpo_run *r = run[i];
		snprintf(title, sizeof(title), "Groups%s%s", n > 1 ? ", " : "",
		         n > 1 ? r->name : "");
		begin(&s, title, "share of groups drawn");
		s.plot.share_y = true;
		for (size_t k = 0; k < sizeof(lines) / sizeof(*lines); k++)
			add(&s, steps_of(r), share(r, lines[k].part, F_GROUPS), r->n,
			    lines[k].name);
		snprintf(file, sizeof(file), "groups-%" PRId64 ".svg", r->row.id);
		if (s.plot.n > 0)
			paper_plot(w->p, file, &s.plot,
			           "Columns flat, all_built, none_built of groups in "
			           "steps-%" PRId64 ".csv, over %d steps.",
			           r->row.id, GRPO_WINDOW);
		end(&s);
	}
	begin(&s, "Spread of rewards", "standard deviation");
	s.plot.zero_y = true;
	for (int i = 0; i < n; i++) {
		struct plot_line *l;
		snprintf(name, sizeof(name), "%s%swithin a group", n > 1 ? run[i]->name : "",
		         n > 1 ? ", " : "");
		l = add(&s, steps_of(run[i]), column(run[i], F_SPREAD), run[i]->n, name);
		if (l)
			l->colour = i + 1;
		snprintf(name, sizeof(name), "%s%sof all answers", n > 1 ? run[i]->name : "",
		         n > 1 ? ", " : "");
		l = add(&s, steps_of(run[i]), column(run[i], F_REWARD_STD), run[i]->n, name);
		if (l) {
			l->colour = i + 1;
			l->faint = true;
		}
	}
	if (s.plot.n > 0)
		paper_plot(
			w->p, "spread.svg", &s.plot,
			"Column spread of steps-RUN.csv (from the rewards in answers-RUN.csv, "
			"mean over groups; what advantages are made of) and, faint, reward_std.");
	end(&s);
}

static void seconds_plots(struct report_work *w, struct grpo_run *const *run, int n)
{
	static const char *const names[] = { "generate", "wait for builds", "learn", "else" };
	struct sketch s;
	char file[64], title[96];
	bool headed = false;

	for (int i = 0; i < n; i++) {
		const struct grpo_run *r = run[i];
		if (!(grpo_sum(r, F_SECONDS, 0, r->n) > 0))
			continue;
		if (!headed)
			paper_heading(w->p, 2, "Time");
		headed = true;
		snprintf(title, sizeof(title), "Seconds of a step%s%s", n > 1 ? ", " : "",
		         n > 1 ? r->name : "");
		begin(&s, title, "seconds");
		s.plot.stacked = true;
		for (int k = 0; k < 4; k++) {
			double *y = steps_of(r);
			for (int j = 0; y && j < r->n; j++) {
				const double *v = r->point[j].v;
				double rest = v[F_SECONDS];
				for (int f = F_GENERATE_S; f <= F_LEARN_S; f++)
					rest -= isfinite(v[f]) ? v[f] : 0;
				y[j] = k < 3 ? v[F_GENERATE_S + k] : rest > 0 ? rest : 0;
			}
			add(&s, steps_of(r), y, r->n, names[k]);
		}
		snprintf(file, sizeof(file), "seconds-%" PRId64 ".svg", r->row.id);
		if (s.plot.n > 0)
			paper_plot(w->p, file, &s.plot,
			           "Columns generate_s, wait_s, learn_s of seconds in "
			           "steps-%" PRId64 ".csv; %.1f %% of the time nothing was written "
			           "since builds were waited for.",
			           r->row.id,
			           100 * grpo_sum(r, F_WAIT_S, 0, r->n) /
			                   grpo_sum(r, F_SECONDS, 0, r->n));
		end(&s);
	}
}

void grpo_curves(struct report_work *w, struct grpo_run *const *run, int n)
{
	static const struct {
		enum grpo_figure f;
		const char *title, *y_label;
		bool zero, log;
	} policy[] = {
		{ F_KL, "KL to the reference", "nats a token", true, false },
		{ F_ENTROPY, "Entropy of the policy", "nats a token", true, false },
		{ F_CLIP_SHARE, "Tokens whose ratio was clipped", "share", true, false },
		{ F_RATIO_MAX, "Largest ratio of new to old policy", "ratio", false, true },
		{ F_MISMATCH, "Trainer against engine", "nats a token, mean", true, false },
		{ F_NORM, "Gradient norm, before clipping", "norm", true, true },
		{ F_LR, "Learning rate", "learning rate", true, false },
		{ F_LOSS, "Loss", "loss a token", false, false },
	};
	struct paper *p = w->p;
	bool any = false;

	paper_heading(p, 2, "Reward and builds");
	reward_plot(w, run, n);
	builds_plot(w, run, n);
	paper_heading(p, 2, "Failure classes");
	for (int i = 0; i < n; i++)
		any |= classes_plot(w, run[i], n > 1);
	if (!any)
		paper_text(p, "None was told.");
	paper_heading(p, 2, "Code health");
	health_plots(w, run, n);
	if (!run[0]->log)
		curriculum(w, run, n);
	groups_plots(w, run, n);
	paper_heading(p, 2, "Policy and optimizer");
	any = false;
	for (size_t i = 0; i < sizeof(policy) / sizeof(*policy); i++)
		any |= one_figure(w, run, n, policy[i].f, policy[i].title, policy[i].y_label,
		                  policy[i].zero, policy[i].log);
	if (!any)
		paper_text(p, "None of its figures was told.");
	seconds_plots(w, run, n);
}
