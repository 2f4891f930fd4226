#include "src/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mt19937.h"
#include "src/curriculum.h"

enum { BOOTSTRAP = 10000, FLIPS = 65536, EXACT_MAX = 16 };

static const char *const by_names[] = { "model", "adapter", "prompts", "sampling" };

int compare_by_parse(const char *text, unsigned *out, struct err *e)
{
	unsigned by = 0;

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ",");
		int i = 0;
		while (i < 4 && !(strlen(by_names[i]) == n && strncmp(p, by_names[i], n) == 0))
			i++;
		if (i == 4)
			return err_set(e, ERR_USAGE,
			               "model, adapter, prompts, sampling with commas between were "
			               "expected, got '%.60s'",
			               text);
		by |= 1u << i;
		p += n + (p[n] == ',');
	}
	if (!by)
		return err_set(e, ERR_USAGE,
		               "what columns differ in was expected (model, adapter, prompts, "
		               "sampling), got nothing");
	*out = by;
	return 0;
}

double compare_mean(const struct compare_cell *c)
{
	return c->scored ? c->total / (double)c->scored : NAN;
}

void compare_wilson(int64_t built, int64_t n, double out[3])
{
	const double z = 1.959963984540054;

	if (n <= 0) {
		out[0] = out[1] = out[2] = NAN;
		return;
	}
	double p = (double)built / (double)n, d = 1 + z * z / (double)n;
	double middle = (p + z * z / (2 * (double)n)) / d;
	double half = z / d * sqrt(p * (1 - p) / (double)n + z * z / (4 * (double)n * (double)n));
	out[0] = p;
	out[1] = built == 0 ? 0 : fmax(0, middle - half);
	out[2] = built == n ? 1 : fmin(1, middle + half);
}

/* ---- filling ---- */

static void count(struct compare_cell *to, const struct compare_cell *x)
{
	if (x->scored && (!to->scored || x->best > to->best)) {
		to->best = x->best;
		to->best_turn = x->best_turn;
	}
	to->n += x->n;
	to->built += x->built;
	to->scored += x->scored;
	to->total += x->scored ? x->total : 0;
}

/* A column's fields, "" where columns do not differ in them. */
static void key_of(const struct compare *c, const struct tally *k, struct compare_column *out)
{
	*out = (struct compare_column){ .model = c->o.by & COMPARE_MODEL ? k->model : "",
		                        .adapter = c->o.by & COMPARE_ADAPTER ? k->adapter : "",
		                        .prompts = c->o.by & COMPARE_PROMPTS ? k->prompts : "",
		                        .sampling = c->o.by & COMPARE_SAMPLING ? k->sampling : "",
		                        .source = *k->model ? "" : k->source };
}

static bool same_column(const struct compare_column *a, const struct compare_column *b)
{
	return a->run == b->run && strcmp(a->model, b->model) == 0 &&
	       strcmp(a->adapter, b->adapter) == 0 && strcmp(a->prompts, b->prompts) == 0 &&
	       strcmp(a->sampling, b->sampling) == 0 && strcmp(a->source, b->source) == 0;
}

static bool wanted(const struct compare *c, const struct tally *k)
{
	const struct compare_options *o = &c->o;

	if (o->turns == COMPARE_FIRST && k->repairs != CLASS_COUNT)
		return false;
	if (o->turns == COMPARE_REPAIRS && k->repairs == CLASS_COUNT)
		return false;
	return (!o->task || strcmp(k->task, o->task) == 0) &&
	       (!o->model || strcmp(k->model, o->model) == 0) &&
	       (!o->adapter || strcmp(k->adapter, o->adapter) == 0);
}

static int column_of(struct compare *c, const struct compare_column *key, struct err *e)
{
	for (int i = 0; i < c->n_columns; i++)
		if (same_column(&c->column[i], key))
			return i;
	if (c->n_columns == c->cap_columns) {
		int cap = c->cap_columns ? 2 * c->cap_columns : 8;
		struct compare_column *more = realloc(c->column, (size_t)cap * sizeof(*more));
		if (!more)
			return err_set(e, ERR_MEM, "no memory for %d columns", cap);
		c->column = more;
		/* rows are as wide as there is room for columns */
		for (int i = 0; i < c->n_rows; i++) {
			struct compare_cell *cell =
				realloc(c->row[i].cell, (size_t)cap * sizeof(*cell));
			if (!cell)
				return err_set(e, ERR_MEM, "no memory for %d columns", cap);
			memset(cell + c->cap_columns, 0,
			       (size_t)(cap - c->cap_columns) * sizeof(*cell));
			c->row[i].cell = cell;
		}
		c->cap_columns = cap;
	}
	c->column[c->n_columns] = *key;
	return c->n_columns++;
}

static int row_of(struct compare *c, const char *task, struct err *e)
{
	for (int i = 0; i < c->n_rows; i++)
		if (strcmp(c->row[i].task, task) == 0)
			return i;
	if (c->n_rows == c->cap_rows) {
		int cap = c->cap_rows ? 2 * c->cap_rows : 32;
		struct compare_row *more = realloc(c->row, (size_t)cap * sizeof(*more));
		if (!more)
			return err_set(e, ERR_MEM, "no memory for %d tasks", cap);
		c->row = more;
		c->cap_rows = cap;
	}
	struct compare_row *r = &c->row[c->n_rows];
	*r = (struct compare_row){ .task = strdup(task),
		                   .cell = calloc((size_t)c->cap_columns + 1, sizeof(*r->cell)) };
	c->n_rows++;
	if (!r->task || !r->cell)
		return err_set(e, ERR_MEM, "no memory for %d tasks", c->n_rows);
	return c->n_rows - 1;
}

static int put(struct compare *c, const struct compare_column *key, const struct tally *k,
               const struct compare_cell *x, struct err *e)
{
	int column, row;

	if (strcmp(k->profile, c->profile) != 0) {
		c->left_out += x->n;
		return 0;
	}
	if ((column = column_of(c, key, e)) < 0 || (row = row_of(c, k->task, e)) < 0)
		return -1;
	count(&c->row[row].cell[column], x);
	count(&c->column[column].all, x);
	if (k->class < CLASS_COUNT)
		c->column[column].failure[k->class] += x->n;
	return 0;
}

/* The last part of a path. */
static const char *short_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash && slash[1] ? slash + 1 : name;
}

static void add_part(struct buf *out, const char *between, const char *text)
{
	buf_printf(out, "%s%s", out->len ? between : "", text);
}

/* How tokens were drawn, as far as the columns differ in it: "temperature 0.6". */
static void sampling_label(const struct compare *c, const struct compare_column *x, struct buf *out)
{
	cJSON *mine = json_parse(x->sampling, strlen(x->sampling), NULL);
	const cJSON *v;

	cJSON_ArrayForEach(v, mine)
	{
		bool differs = false;
		for (int i = 0; v->string && i < c->n_columns && !differs; i++) {
			const char *text = c->column[i].sampling;
			cJSON *other = *text ? json_parse(text, strlen(text), NULL) : NULL;
			differs = other &&
			          !cJSON_Compare(v,
			                         cJSON_GetObjectItemCaseSensitive(other, v->string),
			                         true);
			cJSON_Delete(other);
		}
		if (!differs)
			continue;
		buf_printf(out, "%s%s ", out->len ? " " : "", v->string);
		json_print(out, v);
	}
	cJSON_Delete(mine);
}

static char *label_of(const struct compare *c, const struct compare_column *x)
{
	struct buf out = { 0 };

	if (x->run)
		buf_printf(&out, "run %" PRId64, x->run);
	if (*x->model)
		add_part(&out, " ", short_name(x->model));
	else if (!x->run && *x->source && strcmp(x->source, "model") != 0)
		buf_printf(&out, "(%s)", x->source);
	if (*x->adapter)
		add_part(&out, "+", short_name(x->adapter));
	else if (c->o.by == COMPARE_ADAPTER && !x->run && !out.len)
		add_part(&out, "", "base");
	if (*x->prompts)
		add_part(&out, " ", x->prompts);
	if (*x->sampling)
		sampling_label(c, x, &out);
	if (!out.len)
		buf_adds(&out, "all");
	return buf_take(&out, NULL);
}

static int by_task(const void *a, const void *b)
{
	return strcmp(((const struct compare_row *)a)->task, ((const struct compare_row *)b)->task);
}

/* Labels, intervals, the best of each row. */
static int finish(struct compare *c, struct err *e)
{
	if (c->n_rows)
		qsort(c->row, (size_t)c->n_rows, sizeof(*c->row), by_task);
	for (int i = 0; i < c->n_columns; i++) {
		struct compare_column *x = &c->column[i];
		double sum = 0;
		compare_wilson(x->all.built, x->all.n, x->rate);
		x->mean = compare_mean(&x->all);
		for (int r = 0; r < c->n_rows; r++) {
			double mean = compare_mean(&c->row[r].cell[i]);
			if (!isnan(mean)) {
				sum += mean;
				x->tasks++;
			}
		}
		x->task_mean = x->tasks ? sum / x->tasks : NAN;
		if (!(x->label = label_of(c, x)))
			return err_set(e, ERR_MEM, "no memory for a column's name");
	}
	for (int r = 0; r < c->n_rows; r++) {
		struct compare_row *row = &c->row[r];
		double low = INFINITY, high = -INFINITY;
		int n = 0;
		row->best = -1;
		for (int i = 0; i < c->n_columns; i++) {
			double mean = compare_mean(&row->cell[i]);
			if (isnan(mean))
				continue;
			n++;
			low = fmin(low, mean);
			if (mean > high) {
				high = mean;
				row->best = i;
			}
		}
		row->spread = n > 1 ? high - low : NAN;
		if (n < 2)
			row->best = -1;
	}
	return 0;
}

/* The profile of the table: asked for, else the one with the most turns. */
static void choose_profile(struct compare *c, const struct tallies *t)
{
	int64_t most = -1;

	if (c->o.profile) {
		snprintf(c->profile, sizeof(c->profile), "%s", c->o.profile);
		return;
	}
	/* profiles are few: each is summed up where it is met first */
	for (int i = 0; i < t->n; i++) {
		int64_t n = 0;
		bool met = false;
		for (int k = 0; k < i && !met; k++)
			met = strcmp(t->v[k].profile, t->v[i].profile) == 0;
		for (int k = i; k < t->n && !met; k++)
			if (wanted(c, &t->v[k]) && strcmp(t->v[k].profile, t->v[i].profile) == 0)
				n += t->v[k].turns;
		if (!met && n > most) {
			most = n;
			snprintf(c->profile, sizeof(c->profile), "%s", t->v[i].profile);
		}
	}
}

int compare_make(struct compare *out, const struct tallies *t, const struct compare_options *o,
                 struct err *e)
{
	struct compare c = { .o = *o };
	int rc = 0;

	choose_profile(&c, t);
	for (int i = 0; i < t->n && rc == 0; i++) {
		const struct tally *k = &t->v[i];
		struct compare_column key;
		struct compare_cell x = { .n = k->turns,
			                  .built = k->built,
			                  .scored = k->scored,
			                  .total = k->total,
			                  .best = k->best,
			                  .best_turn = k->best_turn };
		if (!wanted(&c, k))
			continue;
		key_of(&c, k, &key);
		rc = put(&c, &key, k, &x, e);
	}
	if (rc == 0)
		rc = finish(&c, e);
	if (rc < 0) {
		compare_release(&c);
		return -1;
	}
	*out = c;
	return 0;
}

struct runs {
	struct compare *c;
	const struct tallies *t;
	int64_t run;
	bool count_profiles; /* a first look: which profile has the most */
	struct {
		const char *name;
		int64_t n;
	} profile[32];
	int n_profiles, rc;
	struct err *e;
};

static int see_run(void *ctx, const struct store_outcome *o)
{
	struct runs *r = ctx;
	const struct tally *k = tallies_find(r->t, o->tally);
	struct compare_column key;
	struct compare_cell x = { .n = 1,
		                  .built = o->built,
		                  .scored = !isnan(o->total),
		                  .total = o->total,
		                  .best = o->total,
		                  .best_turn = o->id };

	if (!k || !wanted(r->c, k))
		return 0;
	if (r->count_profiles) {
		int i = 0;
		while (i < r->n_profiles && strcmp(r->profile[i].name, k->profile) != 0)
			i++;
		if (i == r->n_profiles && i < 32)
			r->profile[r->n_profiles++].name = k->profile;
		if (i < 32)
			r->profile[i].n++;
		return 0;
	}
	key = (struct compare_column){ .model = "",
		                       .adapter = "",
		                       .prompts = "",
		                       .sampling = "",
		                       .source = "",
		                       .run = r->run };
	r->rc = put(r->c, &key, k, &x, r->e);
	return r->rc;
}

int compare_runs(struct compare *out, struct tallies *t, struct store *s, const int64_t *run, int n,
                 const struct compare_options *o, struct err *e)
{
	struct compare c = { .o = *o };
	struct runs r = { .c = &c, .t = t, .e = e };
	int rc = tallies_read(t, s, 0, e);

	for (int pass = 0; pass < 2 && rc == 0; pass++) {
		r.count_profiles = pass == 0;
		for (int i = 0; i < n && rc == 0; i++) {
			r.run = run[i];
			if (pass == 1) {
				/* a run without turns has its column too */
				struct compare_column key = { .model = "",
					                      .adapter = "",
					                      .prompts = "",
					                      .sampling = "",
					                      .source = "",
					                      .run = run[i] };
				rc = column_of(&c, &key, e) < 0 ? -1 : 0;
			}
			if (rc == 0)
				rc = store_run_outcomes(s, run[i], see_run, &r, e);
			rc = rc < 0 || r.rc < 0 ? -1 : 0;
		}
		if (pass == 0) {
			int best = 0;
			for (int i = 1; i < r.n_profiles; i++)
				if (r.profile[i].n > r.profile[best].n)
					best = i;
			snprintf(c.profile, sizeof(c.profile), "%s",
			         o->profile     ? o->profile
			         : r.n_profiles ? r.profile[best].name
			                        : "");
		}
	}
	if (rc == 0)
		rc = finish(&c, e);
	if (rc < 0) {
		compare_release(&c);
		return -1;
	}
	*out = c;
	return 0;
}

void compare_release(struct compare *c)
{
	for (int i = 0; i < c->n_columns; i++)
		free(c->column[i].label);
	for (int i = 0; i < c->n_rows; i++) {
		free(c->row[i].task);
		free(c->row[i].cell);
	}
	free(c->column);
	free(c->row);
	*c = (struct compare){ 0 };
}

bool compare_in_cell(const struct compare *c, const struct tally *k, int row, int column)
{
	struct compare_column key;

	if (!wanted(c, k) || strcmp(k->profile, c->profile) != 0 ||
	    (row >= 0 && strcmp(k->task, c->row[row].task) != 0))
		return false;
	key_of(c, k, &key);
	return column < 0 || same_column(&c->column[column], &key);
}

void compare_failures(const struct compare_column *c, bool labels, struct buf *out)
{
	bool told[CLASS_COUNT] = { [CLASS_BUILD_OK] = true };
	size_t before = out->len;

	for (;;) {
		int most = -1;
		for (int i = 0; i < CLASS_COUNT; i++)
			if (!told[i] && c->failure[i] > 0 &&
			    (most < 0 || c->failure[i] > c->failure[most]))
				most = i;
		if (most < 0)
			break;
		told[most] = true;
		buf_printf(out, "%s%s %" PRId64, out->len > before ? ", " : "",
		           labels ? curriculum_class_words((enum build_class)most)
		                  : build_class_name((enum build_class)most),
		           c->failure[most]);
	}
}

/* ---- two columns ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Mean of @d, its bootstrap interval, the sign-flip test. @draw: room for BOOTSTRAP values. */
static void paired(const double *d, int n, double *draw, double *mean, double *low, double *high,
                   double *p)
{
	struct mt19937 g;
	double sum = 0;
	long as_far = 0, all = n <= EXACT_MAX ? 1L << n : FLIPS;

	*mean = *low = *high = *p = NAN;
	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		sum += d[i];
	*mean = sum / n;
	mt19937_seed(&g, 0);
	for (int k = 0; k < BOOTSTRAP; k++) {
		double s = 0;
		for (int i = 0; i < n; i++) {
			int at = (int)(mt19937_double(&g) * n);
			s += d[at < n ? at : n - 1];
		}
		draw[k] = s / n;
	}
	qsort(draw, BOOTSTRAP, sizeof(*draw), by_value);
	*low = draw[BOOTSTRAP * 25 / 1000];
	*high = draw[BOOTSTRAP * 975 / 1000 - 1];
	for (long k = 0; k < all; k++) {
		double s = 0;
		for (int i = 0; i < n; i++) {
			bool minus = n <= EXACT_MAX ? k >> i & 1 : mt19937_double(&g) < 0.5;
			s += minus ? -d[i] : d[i];
		}
		/* equal but for the order of the sum */
		as_far += fabs(s) >= fabs(sum) - 1e-12 * n;
	}
	*p = (double)as_far / (double)all;
}

int compare_paired(const struct compare *c, int first, int second, struct compare_pair *out,
                   struct err *e)
{
	double *reward = calloc((size_t)c->n_rows + 1, sizeof(*reward));
	double *rate = calloc((size_t)c->n_rows + 1, sizeof(*rate));
	double *draw = calloc(BOOTSTRAP, sizeof(*draw));
	struct compare_pair p = { 0 };
	int n_rate = 0, rc = 0;

	if (!reward || !rate || !draw) {
		rc = err_set(e, ERR_MEM, "no memory to compare %d tasks", c->n_rows);
		goto out;
	}
	for (int r = 0; r < c->n_rows; r++) {
		const struct compare_cell *a = &c->row[r].cell[first], *b = &c->row[r].cell[second];
		if (!a->n || !b->n)
			continue;
		rate[n_rate++] = (double)b->built / (double)b->n - (double)a->built / (double)a->n;
		double d = compare_mean(b) - compare_mean(a);
		if (isnan(d))
			continue;
		reward[p.tasks++] = d;
		p.better += d > 0;
		p.worse += d < 0;
	}
	paired(reward, p.tasks, draw, &p.reward, &p.reward_low, &p.reward_high, &p.reward_p);
	paired(rate, n_rate, draw, &p.rate, &p.rate_low, &p.rate_high, &p.rate_p);
	*out = p;
out:
	free(reward);
	free(rate);
	free(draw);
	return rc;
}
