/*
 * evaluation_text.c - figures as words.
 */
#include "src/evaluation_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"

void evaluation_interval(char *out, size_t size, const struct interval *i, int digits, bool percent)
{
	double by = percent ? 100 : 1;
	const char *unit = percent ? " %" : "";

	if (isnan(i->value))
		snprintf(out, size, "-");
	else if (isnan(i->low))
		snprintf(out, size, "%.*f%s", digits, by * i->value, unit);
	else
		snprintf(out, size, "%.*f%s (%.*f to %.*f)", digits, by * i->value, unit, digits,
		         by * i->low, digits, by * i->high);
}

void evaluation_p(char *out, size_t size, double p)
{
	if (isnan(p))
		snprintf(out, size, "no p");
	else if (p < 0.0005)
		snprintf(out, size, "p < 0.001");
	else
		snprintf(out, size, "p = %.3f", p);
}

void evaluation_failures(struct buf *out, const int cls[CLASS_COUNT])
{
	bool told[CLASS_COUNT] = { [CLASS_BUILD_OK] = true };
	size_t before = out->len;

	for (;;) {
		int most = -1;
		for (int i = 0; i < CLASS_COUNT; i++)
			if (!told[i] && cls[i] > 0 && (most < 0 || cls[i] > cls[most]))
				most = i;
		if (most < 0)
			break;
		told[most] = true;
		buf_printf(out, "%s%s %d", out->len > before ? ", " : "",
		           build_class_name((enum build_class)most), cls[most]);
	}
	if (out->len == before)
		buf_adds(out, "none");
}

struct lines {
	struct evaluation_line *v;
	int n;
};

static void add(struct lines *l, const char *label, const struct interval *i, int digits,
                bool percent)
{
	struct evaluation_line *x = &l->v[l->n++];

	snprintf(x->label, sizeof(x->label), "%s", label);
	evaluation_interval(x->cell, sizeof(x->cell), i, digits, percent);
}

static void add_text(struct lines *l, const char *label, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void add_text(struct lines *l, const char *label, const char *fmt, ...)
{
	struct evaluation_line *x = &l->v[l->n++];
	va_list ap;

	snprintf(x->label, sizeof(x->label), "%s", label);
	va_start(ap, fmt);
	vsnprintf(x->cell, sizeof(x->cell), fmt, ap);
	va_end(ap);
}

int evaluation_lines(const struct evaluation *v, struct evaluation_line out[EVALUATION_LINES_MAX])
{
	const struct evaluation_figures *f = &v->f;
	struct lines l = { .v = out };
	char label[48];

	add_text(&l, "tasks x seeds, turns", "%d x %d, %d", f->tasks, v->seeds, v->turns);
	add_text(&l, "items", "%d of %d%s", f->items, v->expected, f->lost ? " (some lost)" : "");
	if (v->turns > 1)
		add(&l, "builds, first turn", &f->first_rate, 1, true);
	add(&l, v->turns > 1 ? "builds, best turn" : "builds", &f->build_rate, 1, true);
	add(&l, "no valid solid", &f->invalid, 1, true);
	/* one of one is what stands above */
	for (int k = v->turns > 1 ? 0 : 1; k < f->n_k; k++) {
		snprintf(label, sizeof(label), "one of %d builds", f->k[k]);
		add(&l, label, &f->built_at[k], 1, true);
	}
	for (int k = 0; k < f->n_k; k++) {
		snprintf(label, sizeof(label), "one of %d reaches %g", f->k[k], f->right_from);
		add(&l, label, &f->pass_at[k], 1, true);
	}
	if (v->turns > 1)
		add(&l, "reward, first turn", &f->first_reward, 3, false);
	add(&l, "reward, mean", &f->reward, 3, false);
	add(&l, "reward, median", &f->median_reward, 3, false);
	if (isnan(f->best))
		add_text(&l, "reward, best", "-");
	else
		add_text(&l, "reward, best", "%.3f", f->best);
	add(&l, "IoU, mean of those built", &f->iou, 3, false);
	add(&l, "IoU, failures as 0", &f->iou_all, 3, false);
	add(&l, "chamfer mm, mean", &f->chamfer_mm, 2, false);
	add(&l, "chamfer mm, median", &f->chamfer_median_mm, 2, false);
	add(&l, "chamfer, share of diagonal", &f->chamfer_share, 2, true);
	add_text(&l, "answers without an end", "%d", f->clipped);
	if (isnan(f->tokens) || f->items == 0)
		add_text(&l, "tokens an item", "-");
	else
		add_text(&l, "tokens an item", "%.0f", f->tokens / f->items);
	if (isnan(f->seconds))
		add_text(&l, "seconds in all", "-");
	else
		add_text(&l, "seconds in all", "%.1f", f->seconds);
	return l.n;
}

const char *evaluation_cell(const struct evaluation_line *v, int n, const char *label)
{
	for (int i = 0; i < n; i++)
		if (strcmp(v[i].label, label) == 0)
			return v[i].cell;
	return "-";
}

static void pair_line(struct buf *out, const char *what, const struct paired *p, int digits,
                      bool percent)
{
	const struct interval *i = &p->difference;
	double by = percent ? 100 : 1;
	char words[32];

	evaluation_p(words, sizeof(words), p->p);
	buf_printf(out, "    %-22s %+.*f%s", what, digits, by * i->value, percent ? " points" : "");
	if (!isnan(i->low))
		buf_printf(out, " (95 %%: %+.*f to %+.*f)", digits, by * i->low, digits,
		           by * i->high);
	buf_printf(out, ", %s; %d better, %d worse, %d equal\n", words, p->better, p->worse,
	           p->equal);
}

void evaluation_pair_text(struct buf *out, const struct evaluation_pair *p,
                          const struct evaluation *a, const struct evaluation *b)
{
	char words[32];

	buf_printf(out,
	           "%s (run %" PRId64 ") against %s (run %" PRId64
	           "), on the %d item%s of %d task%s that both have:\n",
	           b->arm, b->run, a->arm, a->run, p->items, p->items == 1 ? "" : "s", p->tasks,
	           p->tasks == 1 ? "" : "s");
	pair_line(out, "reward", &p->reward, 3, false);
	if (a->turns > 1)
		pair_line(out, "reward, first turn", &p->first_reward, 3, false);
	pair_line(out, "build rate", &p->build, 1, true);
	evaluation_p(words, sizeof(words), p->mcnemar);
	buf_printf(out,
	           "    built by both %d, by %s alone %d, by %s alone %d, by neither %d; McNemar "
	           "%s\n",
	           p->both, b->arm, p->only_b, a->arm, p->only_a, p->neither, words);
	if (*p->limits)
		buf_printf(out, "    %s\n", p->limits);
}

/* Cut where it is too wide: a name may be anything. */
static void padded(struct buf *out, const char *text, int width)
{
	struct buf clean = { 0 };
	int n = 0;

	utf8_clean_line(&clean, text, strlen(text));
	for (const char *p = buf_str(&clean); *p && n < width; n++) {
		uint32_t cp;
		int k = utf8_decode(p, strlen(p), &cp);
		buf_add(out, p, (size_t)(k ? k : 1));
		p += k ? k : 1;
	}
	for (; n < width; n++)
		buf_addc(out, ' ');
	buf_release(&clean);
}

void evaluation_table(struct buf *out, const struct evaluation *v, int n)
{
	enum { LABEL = 28, CELL = 26 };
	struct evaluation_line line[EVALUATION_ARMS_MAX][EVALUATION_LINES_MAX];
	int lines[EVALUATION_ARMS_MAX] = { 0 };
	char name[120];

	if (n > EVALUATION_ARMS_MAX)
		n = EVALUATION_ARMS_MAX;
	padded(out, "", LABEL);
	for (int i = 0; i < n; i++) {
		lines[i] = evaluation_lines(&v[i], line[i]);
		snprintf(name, sizeof(name), "%s (run %" PRId64 ")", v[i].arm, v[i].run);
		buf_addc(out, ' ');
		padded(out, name, CELL);
	}
	buf_addc(out, '\n');
	for (int k = 0; k < lines[0]; k++) {
		padded(out, line[0][k].label, LABEL);
		for (int i = 0; i < n; i++) {
			buf_addc(out, ' ');
			padded(out, evaluation_cell(line[i], lines[i], line[0][k].label), CELL);
		}
		while (out->len && out->data[out->len - 1] == ' ')
			out->data[--out->len] = '\0';
		buf_addc(out, '\n');
	}
	for (int i = 0; i < n; i++) {
		buf_printf(out, "failures, %s: ", v[i].arm);
		evaluation_failures(out, v[i].f.cls);
		buf_addc(out, '\n');
	}
}
