#include "ui/bars.h"

#include <stdio.h>
#include <string.h>

#include "src/base/buf.h"

const char *delta_text(char *out, double v)
{
	if (isfinite(v) && fabs(v) < 100)
		snprintf(out, 8, "%+.3f", v);
	else
		strcpy(out, "-");
	return out;
}

const char *count_text(char *out, int64_t v)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%lld", (long long)v), at = 0;

	for (int i = 0; i < n; i++) {
		if (i && digits[i - 1] != '-' && (n - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = 0;
	return out;
}

/* A total in the role of the state it stands for. */
static enum role total_role(double v)
{
	if (!isfinite(v))
		return ROLE_FAINT;
	return v < 0 ? ROLE_BAD : v < 0.6 ? ROLE_WEAK : ROLE_GOOD;
}

static enum role delta_role(double v)
{
	if (!isfinite(v) || v == 0)
		return ROLE_FAINT;
	return v < 0 ? ROLE_BAD : ROLE_GOOD;
}

static double clamp(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* ---- the reward ---- */

enum { WIDE = 43 }; /* cells inside a pane, from which weights and what they add are shown */

static void term_narrow(struct canvas *c, int x, int y, int w, const struct view_term *t)
{
	int bar = w - 18 > 12 ? 12 : w - 18;

	draw_str(c, x, y, 10, ROLE_NORMAL, t->name);
	if (isfinite(t->value))
		draw_f(c, x + 11, y, 5, ROLE_STRONG, "%4.2f", clamp(t->value, -9, 9));
	else
		draw_str(c, x + 11, y, 5, t->pending ? ROLE_RUN : ROLE_FAINT,
		         t->pending ? " ..." : "   -");
	if (isfinite(t->value) && bar > 1)
		draw_bar(c, x + 16, y, bar, clamp(t->value, 0, 1), ROLE_BAR);
}

static void term_wide(struct canvas *c, int x, int y, int w, const struct view_term *t)
{
	char text[16];
	int bar = w - 31 > 20 ? 20 : w - 31;

	draw_str(c, x, y, 11, ROLE_NORMAL, t->name);
	if (isfinite(t->value))
		draw_str(c, x + 12, y, 6, ROLE_STRONG, figure_text(text, clamp(t->value, -9, 9)));
	else
		draw_str(c, x + 12, y, 6, t->pending ? ROLE_RUN : ROLE_FAINT,
		         t->pending ? "  ..." : "    -");
	if (isfinite(t->weight))
		draw_f(c, x + 18, y, 6, ROLE_FAINT, "x%.2f", clamp(t->weight, 0, 9));
	if (isfinite(t->value))
		draw_bar(c, x + 24, y, bar, clamp(t->value, 0, 1), ROLE_BAR);
	if (isfinite(t->adds) && isfinite(t->value))
		draw_f(c, x + 25 + bar, y, 7, ROLE_NORMAL, "%.3f", clamp(t->adds, -9, 9));
}

/* "total  0.785  +0.075": also while nothing is known yet. */
static void total_row(struct canvas *c, int x, int y, int w, const struct view_score *s, bool wide)
{
	char text[16];
	int end = x + w;

	x += draw_str(c, x, y, w, ROLE_TITLE, "total");
	x += wide ? 7 : 6;
	if (x < end)
		draw_f(c, x, y, end - x, total_role(s->total), "%6s",
		       figure_text(text, clamp(s->total, -9, 9)));
	x += wide ? 10 : 9;
	if (!isfinite(s->delta) || x >= end)
		return;
	if (wide && isfinite(s->total) && w >= 55 && !s->delta_is_best) {
		char was[16];

		x += draw_f(c, x, y, end - x, ROLE_FAINT, "was %s   delta ",
		            figure_text(was, clamp(s->total - s->delta, -9, 9)));
	}
	if (x < end)
		x += draw_str(c, x, y, end - x, delta_role(s->delta), delta_text(text, s->delta));
	if (wide && s->delta_is_best && x < end)
		draw_str(c, x, y, end - x, ROLE_FAINT, s->delta < 0 ? " below best" : " over best");
}

/* "Label   value" when there is one. */
static int label_row(struct canvas *c, struct rect r, int row, const char *label, const char *value,
                     enum role role)
{
	if (row >= r.h || !value || !*value)
		return row;
	draw_str(c, r.x + 3, r.y + row, r.w - 3, ROLE_FAINT, label);
	draw_str(c, r.x + 15, r.y + row, r.w - 16, role, value);
	return row + 1;
}

static int score_wide(struct canvas *c, struct rect r, const struct view_score *s)
{
	/* with little height the blank lines go first, then what is below the terms */
	int spare = r.h - s->n_terms - 2 - (s->base > 0), row = 0;
	int bar = r.w - 2 - 31 > 20 ? 20 : r.w - 2 - 31;
	char text[96];

	if (spare > 4) {
		row++;
		spare--;
	}
	total_row(c, r.x + 2, r.y + row++, r.w - 3, s, true);
	if (spare > 3)
		row++;
	if (row < r.h) {
		draw_str(c, r.x + 2, r.y + row, 18, ROLE_FAINT, "TERM        VALUE ");
		draw_str(c, r.x + 20, r.y + row, 6, ROLE_FAINT, "WEIGHT");
		draw_str(c, r.x + 28 + bar, r.y + row, 4, ROLE_FAINT, "ADDS");
		row++;
	}
	if (s->base > 0 && row < r.h) {
		draw_str(c, r.x + 2, r.y + row, 20, ROLE_FAINT, "having built");
		draw_f(c, r.x + 27 + bar, r.y + row, 7, ROLE_FAINT, "%.3f", clamp(s->base, 0, 9));
		row++;
	}
	for (int i = 0; i < s->n_terms && row < r.h; i++)
		term_wide(c, r.x + 2, r.y + row++, r.w - 2, &s->terms[i]);
	if (r.h - row > 2)
		row++;
	row = label_row(c, r, row, "failure", s->failure, ROLE_WEAK);
	if (isfinite(s->mastery) && s->failure) {
		snprintf(text, sizeof text, "%.2f   weight %.2f", clamp(s->mastery, 0, 1),
		         isfinite(s->class_weight) ? clamp(s->class_weight, 0, 999) : 0);
		row = label_row(c, r, row, "mastery", text, ROLE_NORMAL);
	}
	for (int i = 0; i < s->n_notes; i++)
		row = label_row(c, r, row, i ? "" : "repair", s->notes[i], ROLE_NORMAL);
	return row;
}

int bars_score(struct canvas *c, struct rect r, const struct view_score *s)
{
	int row = 0;
	bool tail = s->n_checks > 0 || s->failure;

	if (r.w < 12 || r.h < 1)
		return 0;
	if (r.w >= WIDE)
		return score_wide(c, r, s);
	total_row(c, r.x + 2, r.y + row++, r.w - 2, s, false);
	if (r.h > s->n_terms + 1 + tail)
		row++;
	for (int i = 0; i < s->n_terms && row < r.h - (tail && r.h > 4); i++)
		term_narrow(c, r.x + 2, r.y + row++, r.w - 2, &s->terms[i]);
	if (tail && row < r.h) {
		int x = r.x + 2;

		if (s->n_checks > 0)
			x += draw_f(c, x, r.y + row, r.w - 2,
			            s->checks_ok == s->n_checks ? ROLE_GOOD : ROLE_NORMAL,
			            "checks %d/%d ", s->checks_ok, s->n_checks);
		if (s->failure && x < r.x + r.w)
			draw_str(c, x, r.y + row, r.x + r.w - x, ROLE_WEAK, s->failure);
		row++;
	}
	return row;
}

int bars_score_brief(struct canvas *c, struct rect r, const struct view_score *s)
{
	char text[16];
	int x = r.x, row = 0;

	if (r.h < 1 || r.w < 12)
		return 0;
	x += draw_str(c, x, r.y, r.w, ROLE_TITLE, "total ");
	x += draw_str(c, x, r.y, r.x + r.w - x, total_role(s->total),
	              figure_text(text, clamp(s->total, -9, 9)));
	if (isfinite(s->delta) && !s->n_terms) {
		x += 2;
		if (x < r.x + r.w)
			x += draw_str(c, x, r.y, r.x + r.w - x, delta_role(s->delta),
			              delta_text(text, s->delta));
	}
	for (int i = 0; i < s->n_terms; i++) {
		const struct view_term *t = &s->terms[i];
		int name = t->name ? text_width(t->name, strlen(t->name)) : 0;
		int gap = x == r.x ? 0 : i ? 2 : 3;

		if (isfinite(t->value))
			snprintf(text, sizeof text, " %.2f", clamp(t->value, -9, 9));
		else
			strcpy(text, t->pending ? " ..." : " -");
		if (x + gap + name + (int)strlen(text) > r.x + r.w) {
			if (row + 1 >= r.h)
				break;
			row++;
			x = r.x;
			gap = 0;
		}
		x += gap;
		x += draw_str(c, x, r.y + row, r.x + r.w - x, ROLE_NORMAL, t->name);
		x += draw_str(c, x, r.y + row, r.x + r.w - x,
		              isfinite(t->value) ? ROLE_STRONG : ROLE_FAINT, text);
	}
	return row + 1;
}

/* ---- checks ---- */

static int check_mark(const struct view_check *k)
{
	return k->ok > 0 ? MARK_BUILT : k->ok == 0 ? MARK_FAILED : MARK_NEVER;
}

static void check_row(struct canvas *c, int x, int y, int w, int name_w, const struct view_check *k)
{
	struct buf b = { 0 };
	int mark = check_mark(k), end = x + w;

	draw_str(c, x, y, 1, mark_role(mark), mark_sign(mark, c->ascii));
	draw_str(c, x + 2, y, name_w, k->ok == 0 ? ROLE_STRONG : ROLE_NORMAL, k->id);
	x += 3 + name_w;
	/* one that holds says what was got; one that does not, what was wanted as well */
	if (k->ok > 0 || !k->want || !*k->want)
		buf_adds(&b, k->got && *k->got ? k->got : k->why ? k->why : "");
	else if (k->got && *k->got)
		buf_printf(&b, "%s wanted, %s", k->want, k->got);
	else
		buf_printf(&b, "%s wanted%s%s", k->want, k->why && *k->why ? ": " : "",
		           k->why ? k->why : "");
	if (x < end)
		draw_str(c, x, y, end - x, k->ok < 0 ? ROLE_FAINT : ROLE_NORMAL, buf_str(&b));
	buf_release(&b);
}

int bars_checks(struct canvas *c, struct rect r, const struct view_check *checks, int n,
                const char *more)
{
	int name_w = 4, row = 0, shown = 0, room;
	bool all = n <= r.h;

	if (r.h < 1 || r.w < 8)
		return 0;
	for (int i = 0; i < n; i++) {
		int w = checks[i].id ? text_width(checks[i].id, strlen(checks[i].id)) : 0;

		name_w = w > name_w ? w : name_w;
	}
	if (name_w > r.w / 3)
		name_w = r.w / 3;
	/* in their own order when all fit; else those that say something first, and the last row
	 * counts the rest, where that does not cost half of what there is */
	room = all || r.h < 3 ? r.h : r.h - 1;
	for (int pass = 0; pass < (all ? 1 : 3); pass++)
		for (int i = 0; i < n; i++) {
			int of = checks[i].ok == 0 ? 0 : checks[i].ok < 0 ? 2 : 1;

			if (!all && (of != pass || row >= room))
				continue;
			check_row(c, r.x, r.y + row++, r.w, name_w, &checks[i]);
			shown++;
		}
	if (shown < n && row < r.h)
		draw_f(c, r.x, r.y + row++, r.w, ROLE_FAINT, "+ %d more%s%s", n - shown,
		       more ? " " : "", more ? more : "");
	return row;
}

int bars_measured(struct canvas *c, struct rect r, const struct view_score *s, int from)
{
	int row = -from, name_w = 4, label_w = 8;

	for (int i = 0; i < s->n_checks; i++) {
		int w = s->checks[i].id ? text_width(s->checks[i].id, strlen(s->checks[i].id)) : 0;

		name_w = w > name_w ? w : name_w;
	}
	for (int i = 0; i < s->n_facts; i++) {
		const struct view_fact *f = &s->facts[i];
		int w = f->label && f->value ? text_width(f->label, strlen(f->label)) : 0;

		label_w = w > label_w ? w : label_w;
	}
	name_w = name_w > r.w / 3 ? r.w / 3 : name_w;
	label_w = label_w > r.w / 2 ? r.w / 2 : label_w;
	for (int i = 0; i < s->n_checks; i++) {
		const struct view_check *k = &s->checks[i];

		if (row >= 0 && row < r.h)
			check_row(c, r.x, r.y + row, r.w, name_w, k);
		row++;
		/* the sentence says where and by how much; it is worth a row where it failed */
		if (k->ok == 0 && k->why && *k->why && k->got && *k->got) {
			if (row >= 0 && row < r.h)
				draw_str(c, r.x + 3 + name_w, r.y + row, r.w - 3 - name_w,
				         ROLE_FAINT, k->why);
			row++;
		}
	}
	for (int i = 0; i < s->n_facts; i++) {
		const struct view_fact *f = &s->facts[i];

		if (!f->value && row > -from)
			row++;
		if (row >= 0 && row < r.h) {
			draw_str(c, r.x, r.y + row, f->value ? label_w : r.w,
			         f->value ? ROLE_NORMAL : ROLE_TITLE, f->label);
			draw_str(c, r.x + label_w + 2, r.y + row, r.w - label_w - 2, ROLE_STRONG,
			         f->value);
		}
		row++;
	}
	return row + from;
}

/* ---- columns ---- */

/* One column of @w cells, filled from the bottom by @share of @h cells, from @bottom upwards. */
static void column_up(struct canvas *c, int x, int bottom, int w, int h, double share,
                      enum role role)
{
	static const char *const eighths[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	int n = (int)lround(clamp(share, 0, 1) * h * 8);

	/* what is there at all is seen */
	if (share > 0 && n < 1)
		n = 1;
	for (int k = 0; k < h; k++) {
		int part = n - 8 * k;

		if (part <= 0)
			break;
		for (int i = 0; i < w; i++)
			draw_str(c, x + i, bottom - k, 1, role,
			         c->ascii    ? (part >= 4 || k == 0 ? "#" : " ")
			         : part >= 8 ? "█"
			                     : eighths[part - 1]);
	}
}

void bars_columns(struct canvas *c, struct rect r, const double *v, int n, double lo, double hi,
                  const char *lo_text, const char *hi_text, const char *x_text, int first)
{
	const char *v_line = c->ascii ? "|" : "│", *corner = c->ascii ? "+" : "└";
	int left = (int)strlen(hi_text) > (int)strlen(lo_text) ? (int)strlen(hi_text)
	                                                       : (int)strlen(lo_text);
	int x0 = r.x + left + 1, h = r.h - 2, room = r.x + r.w - x0, step = 3, fit;

	if (h < 1 || room < 4)
		return;
	while (step > 1 && n * step > room)
		step--;
	fit = room / step;
	if (n > fit) {
		v += n - fit;
		first += n - fit;
		n = fit;
	}
	draw_right(c, r.x + left, r.y, left, ROLE_FAINT, hi_text);
	draw_right(c, r.x + left, r.y + h, left, ROLE_FAINT, lo_text);
	for (int i = 0; i < h; i++)
		draw_str(c, x0 - 1, r.y + i, 1, ROLE_FAINT, v_line);
	draw_str(c, x0 - 1, r.y + h, 1, ROLE_FAINT, corner);
	for (int i = 0; i < room; i++)
		draw_str(c, x0 + i, r.y + h, 1, ROLE_FAINT, c->ascii ? "-" : "─");
	for (int i = 0; i < n; i++)
		if (isfinite(v[i]))
			column_up(c, x0 + i * step + (step > 2), r.y + h - 1, step > 2 ? 2 : 1, h,
			          (v[i] - lo) / (hi - lo), ROLE_BAR);
	if (n > 0) {
		int last = x0 + (n - 1) * step + (step > 2);
		char end[16];

		snprintf(end, sizeof end, "%d", first + n - 1);
		draw_f(c, x0 + (step > 2), r.y + h + 1, room, ROLE_FAINT, "%d", first);
		if (n > 1 && last + 1 - (int)strlen(end) > x0 + 6)
			draw_right(c, last + 2, r.y + h + 1, 8, ROLE_FAINT, end);
		if (x_text && (last - x0) / 2 + (int)strlen(x_text) < last - x0 - 8)
			draw_str(c, x0 + (last - x0) / 2, r.y + h + 1, room, ROLE_FAINT, x_text);
	}
}

/* The mean of those of @v from @from to before @to; NAN: none is there. */
static double mean_of(const double *v, int from, int to)
{
	double sum = 0;
	int n = 0;

	for (int i = from; i < to; i++)
		if (isfinite(v[i])) {
			sum += v[i];
			n++;
		}
	return n ? sum / n : NAN;
}

static void axis_text(char *out, size_t size, const struct view_curve *k, double v)
{
	if (k->share)
		snprintf(out, size, "%.0f %%", 100 * v);
	else if (v == 0)
		snprintf(out, size, "0");
	else
		snprintf(out, size, fabs(v) >= 1e4 ? "%.0f" : fabs(v) < 0.01 ? "%.2g" : "%.3g", v);
}

void bars_curve(struct canvas *c, struct rect r, const struct view_curve *k)
{
	const char *v_line = c->ascii ? "|" : "│", *corner = c->ascii ? "+" : "└";
	int left = 7, x0 = r.x + left + 1, h = r.h - 2, room = r.x + r.w - x0, used, n = k->n;
	char text[32];
	double lo = k->lo, hi = k->hi;

	if (h < 1 || room < 8 || n < 1)
		return;
	used = n < room ? n * (room / n > 3 ? 3 : room / n) : room;
	for (int x = 0; x < used && k->lo >= k->hi; x++) {
		int from = (int)((int64_t)x * n / used), to = (int)((int64_t)(x + 1) * n / used);
		double m = mean_of(k->v, from, to > from ? to : from + 1);

		hi = m > hi ? m : hi;
	}
	axis_text(text, sizeof text, k, hi);
	draw_right(c, r.x + left, r.y, left, ROLE_FAINT, text);
	axis_text(text, sizeof text, k, lo);
	draw_right(c, r.x + left, r.y + h, left, ROLE_FAINT, text);
	for (int i = 0; i < h; i++)
		draw_str(c, x0 - 1, r.y + i, 1, ROLE_FAINT, v_line);
	draw_str(c, x0 - 1, r.y + h, 1, ROLE_FAINT, corner);
	for (int i = 0; i < room; i++)
		draw_str(c, x0 + i, r.y + h, 1, ROLE_FAINT, c->ascii ? "-" : "─");
	for (int x = 0; x < used && hi > lo; x++) {
		int from = (int)((int64_t)x * n / used), to = (int)((int64_t)(x + 1) * n / used);
		double m = mean_of(k->v, from, to > from ? to : from + 1);

		m = m < lo ? lo : m > hi ? hi : m;
		if (isfinite(m))
			column_up(c, x0 + x, r.y + h - 1, 1, h, (m - lo) / (hi - lo), ROLE_BAR);
	}
	draw_f(c, x0, r.y + h + 1, room, ROLE_FAINT, "%lld", (long long)k->first);
	snprintf(text, sizeof text, "%lld", (long long)k->last);
	if (used > 12)
		draw_right(c, x0 + used, r.y + h + 1, 12, ROLE_FAINT, text);
	if (used > 30)
		draw_str(c, x0 + used / 2 - 2, r.y + h + 1, 5, ROLE_FAINT, "step");
}

void bars_turns(struct canvas *c, struct rect r, const struct view_turn *turns, int n, int shown)
{
	/* Above the line at 0 as many cells as below; the mark of the shown turn is its number's
	 * role. */
	int left = 5, half = (r.h - 2) / 2, x0 = r.x + left + 1, room = r.w - left - 1, step,
	    from = 0;
	int zero = r.y + half;
	static const char *const hanging[] = { "▔", "▀", "█" };

	if (half < 1 || room < 4 || n < 1)
		return;
	half = half > 4 ? 4 : half;
	zero = r.y + half;
	step = room / n >= 4 ? 4 : room / n >= 3 ? 3 : 2;
	if (n * step > room) {
		/* the shown one stays in sight */
		int fit = room / step, at = n - 1;

		for (int i = 0; i < n; i++)
			if (turns[i].number == shown)
				at = i;
		from = at - fit + 1 < 0 ? 0 : at - fit + 1;
		n = from + fit < n ? from + fit : n;
	}
	for (int i = -half; i <= half; i++) {
		double v = -(double)i / half;

		if (i == -half || i == half || i == 0 || half <= 2 || i % 2 == 0)
			draw_f(c, r.x, zero + i, left, ROLE_FAINT, "%4.1f", v == 0 ? 0 : v);
		draw_str(c, x0 - 1, zero + i, 1, ROLE_FAINT,
		         i == 0     ? (c->ascii ? "+" : "┼")
		         : c->ascii ? "|"
		                    : "│");
	}
	for (int i = 0; i < room && i < (n - from) * step + 1; i++)
		draw_str(c, x0 + i, zero, 1, ROLE_FAINT, c->ascii ? "-" : "─");
	for (int i = from; i < n; i++) {
		const struct view_turn *t = &turns[i];
		int x = x0 + (i - from) * step + 1, w = step > 2 ? step - 2 : 1;
		bool here = t->number == shown;

		if (isfinite(t->reward)) {
			enum role role = total_role(t->reward);
			double v = clamp(t->reward, -1, 1);

			if (v >= 0)
				column_up(c, x, zero - 1, w, half, v, role);
			else
				for (int k = 0; k < half; k++) {
					/* hanging: blocks for upper eighths are in few fonts, so
					 * by halves */
					int part = (int)lround(-v * half * 2) - 2 * k;

					if (part <= 0 && k > 0)
						break;
					for (int j = 0; j < w; j++)
						draw_str(c, x + j, zero + 1 + k, 1, role,
						         c->ascii    ? "#"
						         : part >= 2 ? hanging[2]
						         : part == 1 ? hanging[1]
						                     : hanging[0]);
				}
		}
		draw_f(c, x, zero + half + 1, step, here ? ROLE_FOCUS : ROLE_FAINT, "%d",
		       t->number);
	}
}
