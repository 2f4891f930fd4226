#include "src/curriculum.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mt19937.h"

struct known_task {
	char name[TASK_ID_MAX + 1];
	int level;
};

struct curriculum {
	struct curriculum_rules rules;
	struct curriculum_turn *turn; /* a ring of rules.completions */
	int first, n;
	struct {
		bool *built; /* a ring of rules.repairs */
		int first, n;
	} repair[CLASS_COUNT];
	struct {
		enum curriculum_hand hand;
		double weight;
	} hand[CLASS_COUNT];
	struct known_task *task;
	int n_tasks, cap_tasks;
};

static const char *const stage_names[] = { "auto", "foundation", "balanced", "hard" };

const char *curriculum_stage_name(enum curriculum_stage s)
{
	return stage_names[s];
}

const char *curriculum_class_words(enum build_class c)
{
	static const char *const words[CLASS_COUNT] = {
		[CLASS_BUILD_OK] = "build ok",
		[CLASS_LOW_EDITABILITY] = "low editability",
		[CLASS_DISCONNECTED_OR_WEAK] = "weak geometry",
		[CLASS_SYNTAX_CLOSURE] = "syntax closure",
		[CLASS_MISSING_FIXTURE] = "missing fixture",
		[CLASS_INVENTED_API] = "invented API",
		[CLASS_UNDEFINED_NAME] = "undefined name",
		[CLASS_TYPE_OR_VALUE] = "type/value/kernel",
		[CLASS_UNKNOWN_BUILD_FAILURE] = "unknown build failure",
	};

	return c < CLASS_COUNT ? words[c] : "";
}

enum build_class curriculum_class_of(const char *name)
{
	for (int i = 0; name && i < CLASS_COUNT; i++)
		if (strcmp(name, build_class_name((enum build_class)i)) == 0)
			return (enum build_class)i;
	return CLASS_COUNT;
}

/* ---- the rules as data ---- */

static int only(const cJSON *o, const char *where, const char *const *keys, struct err *e)
{
	const cJSON *x;

	cJSON_ArrayForEach(x, o)
	{
		int i = 0;
		while (keys[i] && strcmp(keys[i], x->string) != 0)
			i++;
		if (!keys[i])
			return err_set(e, ERR_INPUT, "%s%s%.60s: there is no such key", where,
			               *where ? "." : "", x->string);
		if (cJSON_GetObjectItemCaseSensitive(o, x->string) != x)
			return err_set(e, ERR_INPUT, "%s%s%.60s: is there twice", where,
			               *where ? "." : "", x->string);
	}
	return 0;
}

static const cJSON *object(const cJSON *top, const char *key, const char *const *keys,
                           struct err *e)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(top, key);

	if (!cJSON_IsObject(o)) {
		err_set(e, ERR_INPUT, "%s: an object was expected", key);
		return NULL;
	}
	return only(o, key, keys, e) < 0 ? NULL : o;
}

static int number(const cJSON *o, const char *where, const char *key, double min, double max,
                  double *out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!cJSON_IsNumber(v) || !(v->valuedouble >= min && v->valuedouble <= max))
		return err_set(e, ERR_INPUT, "%s%s%s: a number from %g to %g was expected%s", where,
		               *where ? "." : "", key, min, max, v ? "" : ", and there is none");
	*out = v->valuedouble;
	return 0;
}

static int whole(const cJSON *o, const char *where, const char *key, int min, int max, int *out,
                 struct err *e)
{
	double v = 0;

	if (number(o, where, key, min, max, &v, e) < 0)
		return -1;
	if (v != floor(v))
		return err_set(e, ERR_INPUT, "%s%s%s: a whole number was expected, got %g", where,
		               *where ? "." : "", key, v);
	*out = (int)v;
	return 0;
}

static int parse_rules(struct curriculum_rules *r, const cJSON *top, struct err *e)
{
	static const char *const keys[] = { "format",  "name",       "about",
		                            "base",    "difficulty", "completions",
		                            "repairs", "stages",     NULL };
	static const char *const stage_keys[] = { "over", "least", "balanced_from", "hard_from",
		                                  NULL };
	const char *classes[CLASS_COUNT] = { NULL }, *levels[4] = { NULL };
	const char *format, *name, *about;
	const cJSON *o;

	if (!cJSON_IsObject(top))
		return err_set(e, ERR_INPUT, "a JSON object was expected");
	if (json_get_string(top, "format", &format, e) < 0 ||
	    json_get_string(top, "name", &name, e) < 0 ||
	    json_get_string(top, "about", &about, e) < 0)
		return -1;
	if (strcmp(format, "cadforge-curriculum-1") != 0)
		return err_set(e, ERR_INPUT,
		               "format: cadforge-curriculum-1 was expected, got %.60s", format);
	if (!*name || strlen(name) >= sizeof(r->name) ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_")])
		return err_set(
			e, ERR_INPUT,
			"name: 1 to %zu small letters, digits, - and _ were expected, got '%.80s'",
			sizeof(r->name) - 1, name);
	if (only(top, "", keys, e) < 0)
		return -1;
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->about, sizeof(r->about), "%s", about);
	for (int i = CLASS_BUILD_OK + 1; i < CLASS_COUNT; i++)
		classes[i - 1] = build_class_name((enum build_class)i);
	if (!(o = object(top, "base", classes, e)))
		return -1;
	for (int i = CLASS_BUILD_OK + 1; i < CLASS_COUNT; i++)
		if (number(o, "base", classes[i - 1], 0, 1000, &r->base[i], e) < 0)
			return -1;
	for (int i = 0; i < 3; i++)
		levels[i] = task_level_name((enum task_level)i);
	if (!(o = object(top, "difficulty", levels, e)))
		return -1;
	for (int i = 0; i < 3; i++)
		if (number(o, "difficulty", levels[i], 0, 1000, &r->difficulty[i], e) < 0)
			return -1;
	if (whole(top, "", "completions", 16, 65536, &r->completions, e) < 0 ||
	    whole(top, "", "repairs", 1, 4096, &r->repairs, e) < 0 ||
	    !(o = object(top, "stages", stage_keys, e)) ||
	    whole(o, "stages", "over", 1, 65536, &r->over, e) < 0 ||
	    whole(o, "stages", "least", 1, 65536, &r->least, e) < 0 ||
	    number(o, "stages", "balanced_from", 0, 1, &r->balanced_from, e) < 0)
		return -1;
	return number(o, "stages", "hard_from", 0, 1, &r->hard_from, e);
}

int curriculum_rules_parse(struct curriculum_rules *out, const char *text, size_t len,
                           const char *where, struct err *e)
{
	struct curriculum_rules r = { 0 };
	cJSON *top = json_parse(text, len, e);
	int rc = top ? parse_rules(&r, top, e) : -1;

	cJSON_Delete(top);
	if (rc < 0)
		return err_wrap(e, "%s", where);
	*out = r;
	return 0;
}

/* ---- what is known ---- */

struct curriculum *curriculum_open(const struct curriculum_rules *r, struct err *e)
{
	struct curriculum *c = calloc(1, sizeof(*c));
	bool ok = c != NULL;

	if (c) {
		c->rules = *r;
		c->turn = calloc((size_t)r->completions, sizeof(*c->turn));
		ok = c->turn != NULL;
		for (int i = 0; i < CLASS_COUNT; i++) {
			c->repair[i].built = calloc((size_t)r->repairs, sizeof(bool));
			ok = ok && c->repair[i].built;
		}
	}
	if (!ok) {
		curriculum_close(c);
		err_set(e, ERR_MEM, "no memory for %d turns of the curriculum", r->completions);
		return NULL;
	}
	return c;
}

void curriculum_close(struct curriculum *c)
{
	if (!c)
		return;
	for (int i = 0; i < CLASS_COUNT; i++)
		free(c->repair[i].built);
	free(c->turn);
	free(c->task);
	free(c);
}

const struct curriculum_rules *curriculum_rules(const struct curriculum *c)
{
	return &c->rules;
}

int curriculum_task(struct curriculum *c, const char *name, int level)
{
	for (int i = 0; i < c->n_tasks; i++)
		if (strncmp(c->task[i].name, name, TASK_ID_MAX) == 0) {
			c->task[i].level = level >= 0 ? level : c->task[i].level;
			return i;
		}
	if (c->n_tasks == c->cap_tasks) {
		int cap = c->cap_tasks ? 2 * c->cap_tasks : 64;
		struct known_task *more = realloc(c->task, (size_t)cap * sizeof(*more));
		if (!more)
			return -1;
		c->task = more;
		c->cap_tasks = cap;
	}
	snprintf(c->task[c->n_tasks].name, sizeof(c->task[0].name), "%s", name);
	c->task[c->n_tasks].level = level;
	return c->n_tasks++;
}

const char *curriculum_task_name(const struct curriculum *c, int task)
{
	return task >= 0 && task < c->n_tasks ? c->task[task].name : "";
}

void curriculum_add_repair(struct curriculum *c, enum build_class class, bool built)
{
	if (class >= CLASS_COUNT)
		return;
	int all = c->rules.repairs, *n = &c->repair[class].n, *first = &c->repair[class].first;

	c->repair[class].built[(*first + *n) % all] = built;
	if (*n < all)
		++*n;
	else
		*first = (*first + 1) % all;
}

void curriculum_add(struct curriculum *c, const struct curriculum_turn *t)
{
	int all = c->rules.completions;

	if (t->task < 0 || t->task >= c->n_tasks || t->class >= CLASS_COUNT)
		return;
	c->turn[(c->first + c->n) % all] = *t;
	if (c->n < all)
		c->n++;
	else
		c->first = (c->first + 1) % all;
	curriculum_add_repair(c, t->repairs, t->built);
}

void curriculum_set_hand(struct curriculum *c, enum build_class class, enum curriculum_hand h,
                         double weight)
{
	if (class >= CLASS_COUNT || class == CLASS_BUILD_OK)
		return;
	c->hand[class].hand = h;
	c->hand[class].weight = weight;
}

void curriculum_forget(struct curriculum *c)
{
	c->n = c->first = 0;
	memset(c->hand, 0, sizeof(c->hand));
	for (int i = 0; i < CLASS_COUNT; i++)
		c->repair[i].n = c->repair[i].first = 0;
}

/* The i-th of the turns that are counted, the oldest first. */
static const struct curriculum_turn *turn_at(const struct curriculum *c, int i)
{
	return &c->turn[(c->first + i) % c->rules.completions];
}

static double difficulty_of(const struct curriculum *c, int task)
{
	int level = c->task[task].level;

	return c->rules.difficulty[level < 0 ? TASK_EASY : level];
}

/* ---- weights ---- */

/* The most frequent class first; of equals the one that comes first in enum build_class. */
static void rank_classes(struct curriculum_state *s)
{
	for (int i = CLASS_BUILD_OK + 1; i < CLASS_COUNT; i++) {
		struct curriculum_class *x = &s->class[i];
		if (!x->count)
			continue;
		s->classes++;
		x->rank = 1;
		for (int k = CLASS_BUILD_OK + 1; k < CLASS_COUNT; k++)
			x->rank += s->class[k].count > x->count ||
			           (s->class[k].count == x->count && k < i);
	}
}

static enum curriculum_stage stage_of(const struct curriculum_rules *r, int n, int built)
{
	if (n < r->least || built < r->balanced_from * n)
		return STAGE_FOUNDATION;
	return built < r->hard_from * n ? STAGE_BALANCED : STAGE_HARD;
}

static double round4(double v)
{
	/* as Python's round(v, 4): to the nearest decimal, which printf finds as well */
	char text[64];

	snprintf(text, sizeof(text), "%.4f", v);
	return strtod(text, NULL);
}

static double seed_weight(double rate, int classes, int rank)
{
	return round4((1 + (1 - rate) * (1 - rate)) * (1 + 0.20 * (classes - rank)));
}

/* How often each task was built among the turns that are counted; caller frees. */
static double *task_rates(const struct curriculum *c)
{
	double *rate = calloc((size_t)c->n_tasks + 1, sizeof(*rate));
	int *n = calloc((size_t)c->n_tasks + 1, sizeof(*n));

	for (int i = 0; rate && n && i < c->n; i++) {
		const struct curriculum_turn *t = turn_at(c, i);
		n[t->task]++;
		rate[t->task] += t->built;
	}
	for (int i = 0; rate && n && i < c->n_tasks; i++)
		rate[i] = n[i] ? rate[i] / n[i] : 0;
	if (!n) {
		free(rate);
		rate = NULL;
	}
	free(n);
	return rate;
}

void curriculum_look(const struct curriculum *c, enum curriculum_formula f,
                     struct curriculum_state *out)
{
	const struct curriculum_rules *r = &c->rules;
	struct curriculum_state s = { .completions = c->n };
	double *rate = f == CURRICULUM_SEED ? task_rates(c) : NULL;

	for (int i = 0; i < CLASS_COUNT; i++)
		s.class[i].class = (enum build_class)i;
	for (int i = 0; i < c->n; i++) {
		const struct curriculum_turn *t = turn_at(c, i);
		struct curriculum_class *x = &s.class[t->class];
		x->count++;
		x->difficulty += difficulty_of(c, t->task);
		x->episode = t->episode;
		x->turn = t->number;
		s.built += t->built;
		if (i >= c->n - r->over) {
			s.stage_turns++;
			s.stage_built += t->built;
		}
	}
	rank_classes(&s);
	s.stage = stage_of(r, s.stage_turns, s.stage_built);
	for (int i = 0; i < CLASS_COUNT; i++) {
		struct curriculum_class *x = &s.class[i];
		x->share = c->n ? (double)x->count / c->n : 0;
		x->difficulty = x->count ? x->difficulty / (double)x->count : NAN;
		x->repairs = c->repair[i].n;
		for (int k = 0; k < x->repairs; k++)
			x->built += c->repair[i].built[k];
		x->mastery = (x->built + 1.0) / (x->repairs + 2.0);
		x->base = r->base[i];
		x->hand = c->hand[i].hand;
		double m = x->hand == HAND_PIN ? 0 : x->mastery;
		/* a class that has not occurred: as if its next failure were on an easy task */
		x->weight = x->base * (1 - m) * (1 - m) *
		            (x->count ? x->difficulty : r->difficulty[TASK_EASY]);
		if (rate) { /* the mean over its turns */
			x->weight = 0;
			for (int k = 0; k < c->n; k++)
				if ((int)turn_at(c, k)->class == i)
					x->weight += seed_weight(rate[turn_at(c, k)->task],
					                         s.classes, x->rank) /
					             (double)x->count;
		}
		if (x->hand == HAND_WEIGHT)
			x->weight = c->hand[i].weight;
		if (x->hand == HAND_BAN || i == CLASS_BUILD_OK)
			x->weight = 0;
	}
	free(rate);
	*out = s;
}

void curriculum_explain(const struct curriculum *c, const struct curriculum_state *s,
                        enum curriculum_formula f, enum build_class class, struct buf *out)
{
	const struct curriculum_class *x = &s->class[class];

	if (x->hand == HAND_BAN) {
		buf_printf(out, "weight 0: banned by hand; ");
	} else if (x->hand == HAND_WEIGHT) {
		buf_printf(out, "weight %.4g by hand; computed: ", x->weight);
	} else if (f == CURRICULUM_SEED) {
		buf_printf(out,
		           "weight %.4f, the mean over its turns of (1 + (1 - build rate of the "
		           "task)^2) x (1 + 0.20 x (%d - %d))",
		           x->weight, s->classes, x->rank);
		return;
	} else {
		buf_printf(out, "weight %.4g = ", x->weight);
	}
	buf_printf(out, "base %.2f x (1 - %.3f)^2 x difficulty %.2f", x->base,
	           x->hand == HAND_PIN ? 0 : x->mastery,
	           x->count ? x->difficulty : c->rules.difficulty[TASK_EASY]);
	if (x->hand == HAND_PIN)
		buf_printf(out, "; pinned, so m counts as 0 and not %.3f", x->mastery);
	if (x->repairs)
		buf_printf(out, "; m = (%d + 1) / (%d + 2): %d of its newest %d repair%s built",
		           x->built, x->repairs, x->built, x->repairs, x->repairs == 1 ? "" : "s");
	else
		buf_printf(out, "; m = (0 + 1) / (0 + 2): none of it was repaired yet");
}

void curriculum_explain_stage(const struct curriculum *c, const struct curriculum_state *s,
                              enum curriculum_stage asked, struct buf *out)
{
	static const char *const draws[] = {
		[STAGE_FOUNDATION] = "the lowest level that has failures",
		[STAGE_BALANCED] = "all levels, each class and task once before any comes again",
		[STAGE_HARD] = "all, by weight alone",
	};
	const struct curriculum_rules *r = &c->rules;

	if (asked != STAGE_AUTO) {
		buf_printf(out, "%s, as was asked for (the build rate would say %s): %s",
		           curriculum_stage_name(asked), curriculum_stage_name(s->stage),
		           draws[asked]);
		return;
	}
	buf_printf(out, "%s, since ", curriculum_stage_name(s->stage));
	if (s->stage_turns < r->least)
		buf_printf(out, "there are %d turns and %d are needed to measure a build rate",
		           s->stage_turns, r->least);
	else
		buf_printf(out, "%d of the newest %d turns built (%.0f %%)", s->stage_built,
		           s->stage_turns, 100.0 * s->stage_built / s->stage_turns);
	if (s->stage == STAGE_FOUNDATION)
		buf_printf(out, "; balanced from %.0f %% on", 100 * r->balanced_from);
	else if (s->stage == STAGE_BALANCED)
		buf_printf(out, "; hard from %.0f %% on, foundation below %.0f %%",
		           100 * r->hard_from, 100 * r->balanced_from);
	else
		buf_printf(out, "; balanced below %.0f %%", 100 * r->hard_from);
	buf_printf(out, ". It draws from %s", draws[s->stage]);
}

int curriculum_newest(const struct curriculum *c, enum build_class class,
                      struct curriculum_turn *out, int max)
{
	int n = 0;

	for (int i = c->n - 1; i >= 0 && n < max; i--)
		if (turn_at(c, i)->class == class)
			out[n++] = *turn_at(c, i);
	return n;
}

/* ---- the next batch ---- */

struct group {
	enum build_class class;
	int task, level, count, taken;
	double weight; /* of a draw */
	double shown;  /* in words */
	bool out;      /* was drawn in this round */
};

struct draw {
	const struct curriculum *c;
	const struct curriculum_ask *ask;
	struct curriculum_state s;
	struct group *group;
	int n;
	struct mt19937 random;
};

/* The @taken-th newest turn of a group; after the last one it begins anew. */
static const struct curriculum_turn *turn_of(const struct curriculum *c, const struct group *g,
                                             int taken)
{
	int skip = taken % g->count;

	for (int i = c->n - 1; i >= 0; i--) {
		const struct curriculum_turn *t = turn_at(c, i);
		if (t->class == g->class && t->task == g->task && skip-- == 0)
			return t;
	}
	return NULL;
}

static void why(const struct draw *d, const struct group *g, bool pinned,
                struct curriculum_item *out)
{
	const struct curriculum_class *x = &d->s.class[g->class];
	char of[80];

	if (x->repairs)
		snprintf(of, sizeof(of), "%d of its newest %d repairs built", x->built, x->repairs);
	else
		snprintf(of, sizeof(of), "none of it was repaired yet");
	snprintf(out->why, sizeof(out->why),
	         "%s%s: %" PRId64 " of %" PRId64 ", %s; %s task, %d of them",
	         pinned ? "pinned; " : "", curriculum_class_words(g->class), x->count,
	         d->s.completions, of, task_level_name((enum task_level)g->level), g->count);
}

static void take(struct draw *d, struct group *g, bool pinned, struct curriculum_item *out)
{
	const struct curriculum_turn *t = turn_of(d->c, g, g->taken++);

	*out = (struct curriculum_item){ .kind = ITEM_REPAIR,
		                         .task = g->task,
		                         .class = g->class,
		                         .episode = t->episode,
		                         .turn = t->number,
		                         .weight = g->shown };
	why(d, g, pinned, out);
}

/* By weight among those that are in; NULL when all of them weigh nothing. */
static struct group *draw_group(struct draw *d, int class, int level)
{
	double sum = 0, at;
	struct group *last = NULL;

	for (int i = 0; i < d->n; i++) {
		struct group *g = &d->group[i];
		if (!g->out && (class < 0 || (int)g->class == class) &&
		    (level < 0 || g->level == level))
			sum += g->weight;
	}
	if (!(sum > 0))
		return NULL;
	at = mt19937_double(&d->random) * sum;
	for (int i = 0; i < d->n; i++) {
		struct group *g = &d->group[i];
		if (g->out || !(g->weight > 0) || (class >= 0 && (int)g->class != class) ||
		    (level >= 0 && g->level != level))
			continue;
		last = g;
		at -= g->weight;
		if (at < 0)
			break;
	}
	return last;
}

static int draw_mastery(struct draw *d, enum curriculum_stage stage, struct curriculum_item *out)
{
	int n = 0, level = -1;

	if (stage == STAGE_FOUNDATION)
		for (int i = 0; i < d->n; i++)
			if (d->group[i].weight > 0 && (level < 0 || d->group[i].level < level))
				level = d->group[i].level;
	for (int i = 0; i < CLASS_COUNT && n < d->ask->n; i++) {
		struct group *g = d->s.class[i].hand == HAND_PIN ? draw_group(d, i, -1) : NULL;
		if (!g)
			continue;
		take(d, g, true, &out[n++]);
		g->out = stage != STAGE_HARD;
	}
	while (n < d->ask->n) {
		struct group *g = draw_group(d, -1, level);
		if (!g) { /* each was in once: the next round */
			bool again = false;
			for (int i = 0; i < d->n; i++) {
				again = again || d->group[i].out;
				d->group[i].out = false;
			}
			if (!again)
				break;
			continue;
		}
		take(d, g, false, &out[n++]);
		g->out = stage != STAGE_HARD;
	}
	return n;
}

/* The order of the classes in the published foundation stage. */
static int seed_order(enum build_class c)
{
	static const enum build_class order[] = {
		CLASS_MISSING_FIXTURE,      CLASS_UNDEFINED_NAME,        CLASS_INVENTED_API,
		CLASS_TYPE_OR_VALUE,        CLASS_SYNTAX_CLOSURE,        CLASS_LOW_EDITABILITY,
		CLASS_DISCONNECTED_OR_WEAK, CLASS_UNKNOWN_BUILD_FAILURE,
	};

	for (int i = 0; i < 8; i++)
		if (order[i] == c)
			return i;
	return 8;
}

static int by_weight(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	return x->task < y->task ? -1 : x->task > y->task;
}

static int by_level(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	if (x->class != y->class)
		return seed_order(x->class) < seed_order(y->class) ? -1 : 1;
	return by_weight(a, b);
}

static int take_seed(struct draw *d, enum curriculum_stage stage, struct curriculum_item *out)
{
	int n = 0;

	qsort(d->group, (size_t)d->n, sizeof(*d->group),
	      stage == STAGE_FOUNDATION ? by_level : by_weight);
	for (int i = 0; i < d->n && n < d->ask->n; i++)
		if (d->s.class[d->group[i].class].hand == HAND_PIN)
			take(d, &d->group[i], true, &out[n++]);
	if (stage == STAGE_HARD) {
		/* all turns of a group weigh the same: group after group, each to its end */
		for (int i = 0; i < d->n; i++)
			while (d->group[i].taken < d->group[i].count && n < d->ask->n)
				take(d, &d->group[i], false, &out[n++]);
	} else {
		for (bool any = true; any && n < d->ask->n;) {
			any = false;
			for (int i = 0; i < d->n && n < d->ask->n; i++)
				if (d->group[i].taken < d->group[i].count) {
					take(d, &d->group[i], false, &out[n++]);
					any = true;
				}
		}
	}
	/* when all were taken once: from the first one again */
	for (int i = 0; n < d->ask->n && d->n > 0; i++)
		take(d, &d->group[i % d->n], false, &out[n++]);
	return n;
}

/* Groups that may be drawn: known tasks, classes with a weight. */
static int gather(struct draw *d, struct err *e)
{
	const struct curriculum *c = d->c;
	size_t cells = (size_t)c->n_tasks * CLASS_COUNT;
	int *count = calloc(cells + 1, sizeof(*count));
	double *rate = task_rates(c);
	double of_class[CLASS_COUNT] = { 0 };

	d->group = calloc(cells + 1, sizeof(*d->group));
	if (!count || !rate || !d->group) {
		free(count);
		free(rate);
		return err_set(e, ERR_MEM, "no memory for the next batch");
	}
	for (int i = 0; i < c->n; i++) {
		const struct curriculum_turn *t = turn_at(c, i);
		count[(size_t)t->class * (size_t)c->n_tasks + (size_t)t->task]++;
		if (c->task[t->task].level >= 0)
			of_class[t->class] += difficulty_of(c, t->task);
	}
	for (int k = CLASS_BUILD_OK + 1; k < CLASS_COUNT; k++) {
		const struct curriculum_class *x = &d->s.class[k];
		for (int t = 0; t < c->n_tasks && x->weight > 0; t++) {
			int n = count[(size_t)k * (size_t)c->n_tasks + (size_t)t];
			if (!n || c->task[t].level < 0)
				continue;
			struct group g = { .class = (enum build_class)k,
				           .task = t,
				           .level = c->task[t].level,
				           .count = n };
			if (d->ask->formula == CURRICULUM_SEED) {
				g.shown = x->hand == HAND_WEIGHT
				                  ? x->weight
				                  : seed_weight(rate[t], d->s.classes, x->rank);
				g.weight = g.shown;
			} else {
				g.shown = x->weight;
				g.weight = of_class[k] > 0 ? x->weight * n * difficulty_of(c, t) /
				                                     of_class[k]
				                           : 0;
			}
			d->group[d->n++] = g;
		}
	}
	free(count);
	free(rate);
	return 0;
}

/* First tries: never built before built, by level. */
static int first_tries(const struct draw *d, struct curriculum_item *out)
{
	const struct curriculum *c = d->c;
	bool *built = calloc((size_t)c->n_tasks + 1, sizeof(*built));
	int n = 0, known = 0;

	if (!built)
		return 0;
	for (int i = 0; i < c->n; i++)
		if (turn_at(c, i)->built)
			built[turn_at(c, i)->task] = true;
	for (int i = 0; i < c->n_tasks; i++)
		known += c->task[i].level >= 0;
	while (known && n < d->ask->n)
		for (int round = 0; round < 2; round++)
			for (int level = 0; level < 3; level++)
				for (int i = 0; i < c->n_tasks && n < d->ask->n; i++) {
					if (c->task[i].level != level || built[i] != (round == 1))
						continue;
					out[n] = (struct curriculum_item){
						.kind = ITEM_FIRST,
						.task = i,
						.class = CLASS_COUNT,
						.weight = difficulty_of(c, i),
					};
					snprintf(out[n].why, sizeof(out[n].why),
					         "no failure to repair; %s task, %s",
					         task_level_name((enum task_level)level),
					         built[i] ? "built before" : "never built yet");
					n++;
				}
	free(built);
	return n;
}

int curriculum_next(const struct curriculum *c, const struct curriculum_ask *ask,
                    struct curriculum_item *out, struct err *e)
{
	struct draw d = { .c = c, .ask = ask };
	int n;

	curriculum_look(c, ask->formula, &d.s);
	if (gather(&d, e) < 0) {
		free(d.group);
		return -1;
	}
	enum curriculum_stage stage = ask->stage == STAGE_AUTO ? d.s.stage : ask->stage;
	mt19937_seed(&d.random, ask->seed);
	n = ask->formula == CURRICULUM_SEED ? take_seed(&d, stage, out)
	                                    : draw_mastery(&d, stage, out);
	if (n == 0)
		n = first_tries(&d, out);
	free(d.group);
	return n;
}

int curriculum_rates(const struct curriculum *c, double *out, int max, int *batch)
{
	int size = (c->n + max - 1) / (max > 0 ? max : 1), n = 0;

	*batch = size < 8 ? 8 : size;
	for (int i = 0; i < c->n; i += *batch) {
		int end = i + *batch < c->n ? i + *batch : c->n, built = 0;
		for (int k = i; k < end; k++)
			built += turn_at(c, k)->built;
		out[n++] = (double)built / (end - i);
	}
	return n;
}
