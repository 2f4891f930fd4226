#include "src/grpo_rules.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/extract.h"
#include "src/base/json.h"

#define NO_SPREAD 1e-6

const char *grpo_use_name(enum grpo_use u)
{
	static const char *const names[] = { "used", "flat", "clipped", "lost" };

	return names[u];
}

/* ---- rewards ---- */

/* The words that are no profile's name. */
static const struct {
	const char *reward, *profile;
} shaped[] = { { "dense", "seed-fast" }, { "dense-full", "seed-full" } };
enum { SHAPED = sizeof(shaped) / sizeof(*shaped) };

static bool is_shaped(const char *reward)
{
	for (int i = 0; i < SHAPED; i++)
		if (strcmp(reward, shaped[i].reward) == 0)
			return true;
	return false;
}

const char *grpo_reward_profile(const char *reward)
{
	for (int i = 0; reward && i < SHAPED; i++)
		if (strcmp(reward, shaped[i].reward) == 0)
			return shaped[i].profile;
	return reward && *reward ? reward : NULL;
}

/* As the published trainer reads a completion. */
static bool holds_no_program(const char *completion, size_t len)
{
	struct extract x;

	if (extract_program(&x, EXTRACT_COMPLETION, completion, len, NULL) < 0)
		return false;
	bool empty = x.program.len == 0;
	extract_release(&x);
	return empty;
}

double grpo_reward(const char *reward, const cJSON *score, const char *completion, size_t len)
{
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(score, "build");
	double v;

	if (!grpo_reward_profile(reward) || !cJSON_IsObject(score))
		return NAN;
	/* the published formulas take a build that came to nothing for a failed one: this one says
	 * nothing of the program */
	if (strcmp(json_string_or(build, "cause", ""), build_cause_name(CAUSE_BUILDER_LOST)) == 0)
		return NAN;
	if (is_shaped(reward))
		v = completion && holds_no_program(completion, len)
		            ? 0
		            : json_number_or(score, "shaped", NAN);
	else if (strcmp(reward, "strict") == 0)
		v = json_number_or(score, "strict", NAN);
	else
		v = json_number_or(cJSON_GetObjectItemCaseSensitive(score, "reward"), "total", NAN);
	return v >= -1 && v <= 1 ? v : NAN;
}

/* ---- a group ---- */

/* Advantages of the answers of one turn. */
static void of_turn(const struct grpo_group_options *o, struct grpo_answer *v, int n, int turn)
{
	double mean = 0, sum = 0, low = INFINITY, high = -INFINITY;
	int scored = 0;

	for (int i = 0; i < n; i++)
		scored += v[i].turn == turn && v[i].use != GRPO_LOST;
	for (int i = 0; i < n; i++)
		if (v[i].turn == turn && v[i].use != GRPO_LOST) {
			mean += v[i].credit / scored;
			low = fmin(low, v[i].credit);
			high = fmax(high, v[i].credit);
		}
	for (int i = 0; i < n; i++)
		if (v[i].turn == turn && v[i].use != GRPO_LOST)
			sum += (v[i].credit - mean) * (v[i].credit - mean);
	bool flat = scored < 2 || high - low < NO_SPREAD;
	double by = o->advantage == ADVANTAGE_GROUP && !flat ? sqrt(sum / (scored - 1)) + 1e-4 : 1;
	for (int i = 0; i < n; i++) {
		if (v[i].turn != turn || v[i].use == GRPO_LOST)
			continue;
		if (o->mask_clipped && v[i].clipped)
			v[i].use = GRPO_CLIPPED;
		else if (flat)
			v[i].use = GRPO_FLAT;
		else
			v[i].advantage = (v[i].credit - mean) / by;
	}
}

void grpo_group(const struct grpo_group_options *o, struct grpo_answer *v, int n,
                struct grpo_group_figures *out)
{
	struct grpo_group_figures f = { .answers = n, .spread = NAN };
	double sum = 0, failed = 0, square = 0;
	int scored = 0, turns = 0;

	for (int i = 0; i < n; i++) {
		struct grpo_answer *a = &v[i];
		bool lost = !isfinite(a->reward);
		a->use = lost ? GRPO_LOST : GRPO_USED;
		a->advantage = 0;
		a->credit = a->reward;
		if (isfinite(a->before) && o->delta != 0)
			a->credit += o->delta * (a->reward - a->before);
		f.lost += lost;
		f.clipped += a->clipped;
		turns = a->turn > turns ? a->turn : turns;
		if (lost)
			continue;
		scored++;
		f.built += a->built;
		sum += a->reward;
		failed += a->built ? 0 : a->reward;
	}
	for (int t = 1; t <= turns; t++)
		of_turn(o, v, n, t);
	f.mean = scored ? sum / scored : NAN;
	f.failed = scored > f.built ? failed / (scored - f.built) : NAN;
	for (int i = 0; i < n; i++) {
		f.used += v[i].use == GRPO_USED;
		if (v[i].use != GRPO_LOST)
			square += (v[i].reward - f.mean) * (v[i].reward - f.mean);
	}
	if (scored > 1)
		f.spread = sqrt(square / (scored - 1));
	f.flat = f.used == 0;
	f.all_built = scored > 0 && f.built == scored;
	f.none_built = scored > 0 && f.built == 0;
	*out = f;
}

void grpo_step_begin(struct grpo_step_figures *f, int64_t step)
{
	*f = (struct grpo_step_figures){
		.step = step, .reward = NAN, .build_rate = NAN, .failed = NAN, .kl = NAN
	};
}

/* The mean of @n values and of @m more. */
static double merged(double a, int n, double b, int m)
{
	if (n == 0 || m == 0)
		return n ? a : m ? b : NAN;
	return (a * n + b * m) / (n + m);
}

void grpo_step_add(struct grpo_step_figures *f, const struct grpo_group_figures *g)
{
	int had = f->answers - f->lost, more = g->answers - g->lost;

	f->reward = merged(f->reward, had, g->mean, more);
	f->failed = merged(f->failed, had - f->built, g->failed, more - g->built);
	f->groups++;
	f->flat += g->flat;
	f->all_built += g->all_built;
	f->none_built += g->none_built;
	f->answers += g->answers;
	f->built += g->built;
	f->clipped += g->clipped;
	f->lost += g->lost;
	f->used += g->used;
	f->build_rate = had + more ? (double)f->built / (had + more) : NAN;
}

/* ---- guards: what may be said of them ---- */

enum { REWARD_WINDOW_LEAST = 8 };

static const struct {
	const char *name;
	struct grpo_guard_rule usual;
	double limit_most;
	const char *limit_is;
} guards[ALARMS] = {
	[ALARM_REWARD] = { "reward", { GUARD_WARN, 0.05, 64 }, 2, "a rise of the mean reward" },
	[ALARM_DEAD] = { "dead", { GUARD_REPLACE, 0.5, 8 }, 1, "a share of groups" },
	[ALARM_CLIPPED] = { "clipped", { GUARD_REPLACE, 0.05, 4 }, 1, "a share of answers" },
	[ALARM_KL] = { "kl", { GUARD_WARN, 0.5, 5 }, 1e6, "nats a token" },
	[ALARM_LOST] = { "lost", { GUARD_WARN, 0.1, 4 }, 1, "a share of answers" },
};
static const char *const policies[] = { "off", "warn", "replace", "stop" };
enum { POLICIES = sizeof(policies) / sizeof(*policies) };

const char *grpo_alarm_name(enum grpo_alarm a)
{
	return guards[a].name;
}

const char *grpo_policy_name(enum grpo_policy p)
{
	return policies[p];
}

void grpo_guard_usual(struct grpo_guard_rule rule[ALARMS])
{
	for (int a = 0; a < ALARMS; a++)
		rule[a] = guards[a].usual;
}

/* "0.5" of the first @n bytes. */
static bool read_number(const char *p, size_t n, double *out)
{
	char text[32], *end;

	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	*out = strtod(text, &end);
	return *end == '\0' && end != text && isfinite(*out);
}

/* One of them, without commas: @n bytes at @p. */
static int set_one(struct grpo_guard_rule rule[ALARMS], const char *p, size_t n, struct err *e)
{
	const char *equals = memchr(p, '=', n), *end = p + n;
	int a = 0, policy = 0;

	if (!equals)
		return err_set(e, ERR_USAGE,
		               "'%.*s': NAME=POLICY[:LIMIT[:WINDOW]] was expected, as in dead=stop "
		               "or kl=warn:0.5",
		               (int)(n < 60 ? n : 60), p);
	while (a < ALARMS && (strlen(guards[a].name) != (size_t)(equals - p) ||
	                      memcmp(guards[a].name, p, (size_t)(equals - p)) != 0))
		a++;
	if (a == ALARMS)
		return err_set(e, ERR_USAGE,
		               "'%.*s': reward, dead, clipped, kl or lost was expected",
		               (int)(equals - p < 40 ? equals - p : 40), p);
	struct grpo_guard_rule r = rule[a];
	const char *word = equals + 1;
	const char *colon = memchr(word, ':', (size_t)(end - word));
	size_t len = (size_t)((colon ? colon : end) - word);
	while (policy < POLICIES &&
	       (strlen(policies[policy]) != len || memcmp(policies[policy], word, len) != 0))
		policy++;
	if (policy == POLICIES)
		return err_set(e, ERR_USAGE, "%s=%.*s: off, warn, replace or stop was expected",
		               guards[a].name, (int)(len < 40 ? len : 40), word);
	r.policy = (enum grpo_policy)policy;
	if (colon) {
		word = colon + 1;
		colon = memchr(word, ':', (size_t)(end - word));
		len = (size_t)((colon ? colon : end) - word);
		if (!read_number(word, len, &r.limit) || r.limit < 0 ||
		    r.limit > guards[a].limit_most)
			return err_set(e, ERR_USAGE,
			               "%s: a limit from 0 to %g (%s) was expected, got '%.*s'",
			               guards[a].name, guards[a].limit_most, guards[a].limit_is,
			               (int)(len < 40 ? len : 40), word);
	}
	if (colon) {
		int least = a == ALARM_REWARD ? REWARD_WINDOW_LEAST : 1;
		double window = 0;
		word = colon + 1;
		len = (size_t)(end - word);
		if (!read_number(word, len, &window) || window != floor(window) || window < least ||
		    window > GRPO_WINDOW_MAX)
			return err_set(e, ERR_USAGE,
			               "%s: a window from %d to %d steps was expected, got '%.*s'",
			               guards[a].name, least, GRPO_WINDOW_MAX,
			               (int)(len < 40 ? len : 40), word);
		r.window = (int)window;
	}
	rule[a] = r;
	return 0;
}

int grpo_guard_set(struct grpo_guard_rule rule[ALARMS], const char *text, struct err *e)
{
	struct grpo_guard_rule r[ALARMS];

	memcpy(r, rule, sizeof(r));
	for (const char *p = text;; p++) {
		size_t n = strcspn(p, ",");
		if (set_one(r, p, n, e) < 0)
			return -1;
		p += n;
		if (!*p)
			break;
	}
	memcpy(rule, r, sizeof(r));
	return 0;
}

/* ---- guards: what they see ---- */

/* The @back-th newest step, from 0. */
static const struct grpo_step_figures *step_at(const struct grpo_guard *g, int back)
{
	return &g->seen[(g->next - 1 - back + 2 * GRPO_WINDOW_MAX) % GRPO_WINDOW_MAX];
}

static int looked_at(const struct grpo_guard *g, enum grpo_alarm a)
{
	return g->n < g->rule[a].window ? g->n : g->rule[a].window;
}

/* A count that a share at its limit would hardly reach: more than 2.33 standard errors above. */
static bool is_above(int k, int n, double limit)
{
	return n > 0 && k > 0 && k - limit * n > 2.33 * sqrt(n * limit * (1 - limit));
}

struct half {
	int steps, built, scored, failed_steps;
	double mean, variance, failed;
};

/* Of the steps from the @from-th newest to the @to-th, the latter left out. */
static struct half half_of(const struct grpo_guard *g, int from, int to)
{
	struct half h = { .failed = 0 };
	double square = 0;

	for (int i = from; i < to; i++) {
		const struct grpo_step_figures *f = step_at(g, i);
		if (!isfinite(f->reward))
			continue;
		h.steps++;
		h.mean += f->reward;
		h.built += f->built;
		h.scored += f->answers - f->lost;
		if (isfinite(f->failed)) {
			h.failed += f->failed;
			h.failed_steps++;
		}
	}
	h.mean /= h.steps ? h.steps : 1;
	for (int i = from; i < to; i++)
		if (isfinite(step_at(g, i)->reward))
			square +=
				(step_at(g, i)->reward - h.mean) * (step_at(g, i)->reward - h.mean);
	h.variance = h.steps > 1 ? square / (h.steps - 1) : 0;
	h.failed = h.failed_steps ? h.failed / h.failed_steps : NAN;
	return h;
}

static bool sees_reward(const struct grpo_guard *g, char *text, size_t size)
{
	const struct grpo_guard_rule *r = &g->rule[ALARM_REWARD];
	int n = looked_at(g, ALARM_REWARD), middle = n / 2;
	struct half now = half_of(g, 0, middle), old = half_of(g, middle, 2 * middle);
	char of[160] = "";

	if (4 * n < r->window || n < REWARD_WINDOW_LEAST || now.steps < 4 || old.steps < 4 ||
	    now.scored == 0 || old.scored == 0)
		return false;
	double rise = now.mean - old.mean;
	double error = sqrt(now.variance / now.steps + old.variance / old.steps);
	double rate = (double)now.built / now.scored, was = (double)old.built / old.scored;
	double all = (double)(now.built + old.built) / (now.scored + old.scored);
	double rate_error = sqrt(all * (1 - all) * (1.0 / now.scored + 1.0 / old.scored));
	if (rise < r->limit || !(rise > 3 * error) || rate - was > rate_error || rate >= 0.9)
		return false;
	if (isfinite(now.failed) && isfinite(old.failed))
		snprintf(of, sizeof(of), " Answers that do not build earn %.2f, before %.2f%s.",
		         now.failed, old.failed,
		         now.failed - old.failed > rise / 2
		                 ? ": the reward pays for text that is no part"
		                 : "");
	snprintf(text, size,
	         "the reward rises and the build rate does not: over %d steps %.3f -> %.3f, built "
	         "%.0f %% -> %.0f %%.%s Use a reward that a build gates (strict, exact-train), or "
	         "look at the best answers: cadforge report",
	         2 * middle, old.mean, now.mean, 100 * was, 100 * rate, of);
	return true;
}

static bool sees_dead(const struct grpo_guard *g, char *text, size_t size)
{
	int n = looked_at(g, ALARM_DEAD), flat = 0, groups = 0, none = 0, whole = 0;
	const char *remedy;

	for (int i = 0; i < n; i++) {
		const struct grpo_step_figures *f = step_at(g, i);
		flat += f->flat;
		groups += f->groups;
		none += f->none_built;
		whole += f->all_built;
	}
	if (!is_above(flat, groups, g->rule[ALARM_DEAD].limit))
		return false;
	if (2 * none > groups)
		remedy =
			"Easier tasks, repairs, more SFT first, or more answers a group (--members)";
	else if (2 * whole > groups)
		remedy =
			"Harder tasks, a reward that tells good parts apart (exact), or it is learnt";
	else
		remedy =
			"A higher --temperature, more answers a group (--members), or a finer reward";
	snprintf(text, size,
	         "groups teach nothing: %d of the %d of %d step%s have no spread (no part built in "
	         "%d, every part in %d). %s",
	         flat, groups, n, n == 1 ? "" : "s", none, whole, remedy);
	return true;
}

static bool sees_answers(const struct grpo_guard *g, enum grpo_alarm a, char *text, size_t size)
{
	int n = looked_at(g, a), k = 0, answers = 0;
	double limit = g->rule[a].limit;

	for (int i = 0; i < n; i++) {
		k += a == ALARM_CLIPPED ? step_at(g, i)->clipped : step_at(g, i)->lost;
		answers += step_at(g, i)->answers;
	}
	if (!is_above(k, answers, limit))
		return false;
	const char *s = n == 1 ? "" : "s";
	if (a == ALARM_CLIPPED)
		snprintf(text, size,
		         "answers are cut off by their budget: %d of the %d of %d step%s (%.0f %%; "
		         "%.3g %% is allowed). None of them can be right. Raise --max-tokens, or "
		         "look at what goes on without an end",
		         k, answers, n, s, 100.0 * k / answers, 100 * limit);
	else
		snprintf(text, size,
		         "answers have no reward: %d of the %d of %d step%s (%.0f %%; %.3g %% is "
		         "allowed). They count for nothing. A builder that dies, or a profile "
		         "without a figure for what hangs (seed-fast): cadforge doctor",
		         k, answers, n, s, 100.0 * k / answers, 100 * limit);
	return true;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static bool sees_kl(const struct grpo_guard *g, char *text, size_t size)
{
	const struct grpo_guard_rule *r = &g->rule[ALARM_KL];
	double v[GRPO_WINDOW_MAX];
	int n = looked_at(g, ALARM_KL), m = 0;

	for (int i = 0; i < n; i++)
		if (!isnan(step_at(g, i)->kl))
			v[m++] = step_at(g, i)->kl;
	if (m == 0 || 2 * m < r->window)
		return false;
	qsort(v, (size_t)m, sizeof(*v), by_value);
	double median = m % 2 ? v[m / 2] : (v[m / 2 - 1] + v[m / 2]) / 2;
	if (!(median > r->limit))
		return false;
	snprintf(text, size,
	         "the policy runs away from its reference: %.3g nats a token over %d step%s (%.3g "
	         "is allowed). A lower --lr, a higher --beta, or fewer --updates",
	         median, m, m == 1 ? "" : "s", r->limit);
	return true;
}

static bool sees(const struct grpo_guard *g, enum grpo_alarm a, char *text, size_t size)
{
	switch (a) {
	case ALARM_REWARD:
		return sees_reward(g, text, size);
	case ALARM_DEAD:
		return sees_dead(g, text, size);
	case ALARM_KL:
		return sees_kl(g, text, size);
	default:
		return sees_answers(g, a, text, size);
	}
}

int grpo_guard_step(struct grpo_guard *g, const struct grpo_step_figures *f,
                    struct grpo_alarm_told *out)
{
	int n = 0;

	g->seen[g->next] = *f;
	g->next = (g->next + 1) % GRPO_WINDOW_MAX;
	g->n += g->n < GRPO_WINDOW_MAX;
	for (int a = 0; a < ALARMS; a++) {
		const struct grpo_guard_rule *r = &g->rule[a];
		struct grpo_alarm_told told = { .alarm = (enum grpo_alarm)a, .policy = r->policy };
		if (r->policy == GUARD_OFF ||
		    (g->told[a] && f->step > g->told[a] && f->step < g->told[a] + r->window) ||
		    !sees(g, (enum grpo_alarm)a, told.text, sizeof(told.text)))
			continue;
		g->told[a] = f->step;
		out[n++] = told;
	}
	return n;
}
