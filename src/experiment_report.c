/*
 * experiment_report.c - the stage report: a page with what came out, in tables, curves and, for
 * each thing that the published runs are said to have shown, whether it is seen here. The words
 * follow from the figures: nothing is said that they do not say.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/experiment_inside.h"
#include "src/experiment_sheet.h"
#include "src/paper.h"

/* A dense reward above it needs a build: text alone earns no more than 0.37. */
#define BUILT_ABOVE 0.38
#define BY          "cadforge train experiment"

struct page {
	struct experiment *x;
	struct sheet sheet;
	struct experiment_steps steps[ARMS][SHEET_SEEDS_MAX];
	int aim; /* index into experiment_class */
	cJSON *figures, *repair;
	struct paper *p;
};

/* ---- words ---- */

static const char *const arm_words[ARMS] = {
	"base: the demonstration model without its adapter",
	"sft: a short training on programs",
	"dense: reinforcement under the dense reward",
	"strict: the same under the build-gated reward",
	"repair: on from strict, with repairs of one class",
	"control: on from strict, without",
};
static const char *const arm_short[ARMS] = {
	"base", "sft", "dense", "strict", "repair", "control"
};

enum { FILE_MAX = 512 << 20 };

enum verdict { UP, DOWN, NOTHING, UNKNOWN };

/* Which way a difference goes, by its interval. */
static enum verdict verdict_of(const struct paired *d)
{
	if (isnan(d->difference.low) || isnan(d->difference.high))
		return UNKNOWN;
	return d->difference.low > 0 ? UP : d->difference.high < 0 ? DOWN : NOTHING;
}

static const char *verdict_words(enum verdict v)
{
	static const char *const words[] = { "rose", "fell", "did not change by more than chance",
		                             "cannot be told" };

	return words[v];
}

static void cell_rate(struct paper *p, struct interval i)
{
	if (isnan(i.value))
		paper_cell(p, "-");
	else
		paper_cell(p, "%.1f %% (%.1f to %.1f)", 100 * i.value, 100 * i.low, 100 * i.high);
}

static void cell_mean(struct paper *p, struct interval i)
{
	if (isnan(i.value))
		paper_cell(p, "-");
	else
		paper_cell(p, "%.3f (%.3f to %.3f)", i.value, i.low, i.high);
}

/* "+12.1 points (8.0 to 16.2), p 0.0001": of shares; else "+0.121 (...)" */
static void difference_words(char *out, size_t size, const struct paired *d, bool share)
{
	double k = share ? 100 : 1;

	if (isnan(d->difference.value))
		snprintf(out, size, "not measured");
	else if (share)
		snprintf(out, size, "%+.1f points (%+.1f to %+.1f), p %.2g",
		         k * d->difference.value, k * d->difference.low, k * d->difference.high,
		         d->p);
	else
		snprintf(out, size, "%+.3f (%+.3f to %+.3f), p %.2g", d->difference.value,
		         d->difference.low, d->difference.high, d->p);
}

/* ---- figures as data ---- */

static cJSON *interval_json(struct interval i)
{
	cJSON *o = cJSON_CreateObject();

	json_add_figure(o, "value", i.value);
	json_add_figure(o, "low", i.low);
	json_add_figure(o, "high", i.high);
	cJSON_AddNumberToObject(o, "n", i.n);
	return o;
}

static cJSON *paired_json(const struct paired *d)
{
	cJSON *o = interval_json(d->difference);

	json_add_figure(o, "p", d->p);
	cJSON_AddNumberToObject(o, "better", d->better);
	cJSON_AddNumberToObject(o, "worse", d->worse);
	cJSON_AddNumberToObject(o, "equal", d->equal);
	return o;
}

/* The sets that figures are of: first tries, all repairs, each class. */
static int set_at(int i)
{
	return i == 0 ? SHEET_HELD : i == 1 ? SHEET_MEND : i - 2;
}
static const char *set_name(int i)
{
	return i == 0 ? "held" : i == 1 ? "mend" : build_class_name(experiment_class[i - 2]);
}
enum { SETS = 2 + EXPERIMENT_CLASSES };

static void arms_data(struct page *g)
{
	cJSON *arms = cJSON_AddObjectToObject(g->figures, "arms");

	for (int a = 0; a < ARMS; a++) {
		cJSON *arm =
			cJSON_AddObjectToObject(arms, experiment_arm_name((enum experiment_arm)a));
		for (int i = 0; i < SETS; i++) {
			cJSON *set = cJSON_AddObjectToObject(arm, set_name(i));
			for (int m = 0; m < SHEET_MEASURES; m++)
				cJSON_AddItemToObject(
					set, sheet_measure_name((enum sheet_measure)m),
					interval_json(sheet_mean(&g->sheet, (enum experiment_arm)a,
				                                 0, set_at(i),
				                                 (enum sheet_measure)m)));
			cJSON *seeds = cJSON_AddArrayToObject(set, "built_by_seed");
			for (int k = 1;
			     experiment_arm_seeds((enum experiment_arm)a) && k <= g->sheet.seeds;
			     k++)
				cJSON_AddItemToArray(
					seeds,
					interval_json(sheet_mean(&g->sheet, (enum experiment_arm)a,
				                                 k, set_at(i), SHEET_BUILT)));
		}
	}
}

static const enum experiment_arm compared[][2] = {
	{ ARM_BASE, ARM_SFT },       { ARM_SFT, ARM_DENSE },     { ARM_SFT, ARM_STRICT },
	{ ARM_DENSE, ARM_STRICT },   { ARM_STRICT, ARM_REPAIR }, { ARM_STRICT, ARM_CONTROL },
	{ ARM_CONTROL, ARM_REPAIR },
};
enum { COMPARED = sizeof(compared) / sizeof(*compared) };

static void differences_data(struct page *g)
{
	cJSON *list = cJSON_AddArrayToObject(g->figures, "differences");

	for (int c = 0; c < COMPARED; c++)
		for (int i = 0; i < SETS; i++) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddStringToObject(o, "from", experiment_arm_name(compared[c][0]));
			cJSON_AddStringToObject(o, "to", experiment_arm_name(compared[c][1]));
			cJSON_AddStringToObject(o, "set", set_name(i));
			for (int m = 0; m < SHEET_MEASURES; m++) {
				struct paired d =
					sheet_paired(&g->sheet, compared[c][0], compared[c][1], 0,
				                     set_at(i), (enum sheet_measure)m);
				cJSON_AddItemToObject(o, sheet_measure_name((enum sheet_measure)m),
				                      paired_json(&d));
			}
			cJSON_AddItemToArray(list, o);
		}
}

static void steps_data(struct page *g)
{
	cJSON *runs = cJSON_AddObjectToObject(g->figures, "runs");

	for (int a = ARM_DENSE; a < ARMS; a++)
		for (int k = 0; k < g->sheet.seeds; k++) {
			const struct experiment_steps *s = &g->steps[a][k];
			cJSON *o, *reward, *built, *alarms;
			char name[32];
			experiment_policy_name(name, (enum experiment_arm)a, k + 1);
			o = cJSON_AddObjectToObject(runs, name);
			reward = cJSON_AddArrayToObject(o, "reward");
			built = cJSON_AddArrayToObject(o, "build_rate");
			for (int i = 0; i < s->n; i++) {
				cJSON_AddItemToArray(
					reward,
					cJSON_CreateNumber(round(1e4 * s->v[i].reward) / 1e4));
				cJSON_AddItemToArray(
					built,
					cJSON_CreateNumber(round(1e4 * s->v[i].build_rate) / 1e4));
			}
			alarms = cJSON_AddObjectToObject(o, "alarms");
			for (int i = 0; i < ALARMS; i++)
				if (s->alarms[i])
					cJSON_AddNumberToObject(alarms,
					                        grpo_alarm_name((enum grpo_alarm)i),
					                        s->alarms[i]);
		}
}

/* ---- the page ---- */

static double total_seconds(struct page *g)
{
	double all = 0;

	for (int i = 0; i < EXPERIMENT_REPORT; i++) {
		char name[32];
		cJSON *o;
		snprintf(name, sizeof(name), "%s.json", experiment_plan.name[i]);
		o = stages_read(&g->x->stages, name, NULL);
		all += json_number_or(o, "seconds", 0);
		cJSON_Delete(o);
	}
	return all;
}

static void say_setup(struct page *g)
{
	const struct experiment_recipe *r = &g->x->recipe;
	cJSON *sft = stages_read(&g->x->stages, "sft.json", NULL);
	struct buf set = { 0 };

	paper_text(
		g->p,
		"The published runs trained a 9B model on rented GPUs: examples first, then "
		"reinforcement learning under a dense reward, then under one that is gated by the "
		"build, then on repairs aimed at what failed. This is the same course with the "
		"demonstration model (3.2 million parameters) and one machine's CPU, made by one "
		"command in %.0f minutes. It is a miniature: what it shows is shown for this model and "
		"these small parts, and says nothing of how much a 9B model would gain.",
		total_seconds(g) / 60);
	paper_text(
		g->p,
		"Everything begins from one policy, sft: the demonstration base (without its adapter) "
		"and a short training on %.0f rows, of which %.0f first tries and %.0f repairs have, on "
		"purpose, an answer that does not build: the policy is to be weak, so that building is in "
		"question. From there, for each of %.0f seeds: %.0f steps of GRPO under the published "
		"dense reward, and the same prompts, seeds and steps under the published build-gated one, "
		"%.0f prompts x %.0f answers a step, drawn at temperature %g from %.0f tasks, LoRA, no pull "
		"to the base; then, from each strict policy, %.0f steps with %.0f %% of the prompts being "
		"repairs of one class, drawn by the curriculum from what the strict run itself got wrong, "
		"and %.0f steps of first tries, for comparison.",
		json_number_or(sft, "rows", NAN), json_number_or(sft, "wrong_first", NAN),
		json_number_or(sft, "wrong_repairs", NAN), r->seeds, r->steps, r->prompts,
		r->members, r->temperature, r->train, r->repair_steps, 100 * r->repair_share,
		r->repair_steps);
	cJSON_Delete(sft);
	paper_text(
		g->p,
		"Tested on %.0f held-out tasks (dimensions and wordings that training never has) and on %d "
		"broken programs of further held-out tasks, %.0f answers each, drawn as in training. In "
		"brackets: intervals of 95 %%, bootstrap over prompts. They say how far other prompts "
		"would move a figure, not how far another training would: for that the seeds stand beside "
		"one another. Differences are paired (same prompt, same draw), p by sign flips over "
		"prompts.",
		r->held, g->sheet.prompts - (int)r->held, r->samples);
	paper_text(
		g->p,
		"How the usual values of the recipe came about: by seven short trials of rates, "
		"temperatures and starting policies, until about half of the answers built at the start; "
		"the rate lies between two that were tried. While choosing, six policies were looked at on "
		"held-out tasks of this kind: the base, three starting policies (one of them this sft) and "
		"two that ten and fourteen steps had trained. Of the runs of reinforcement that are compared "
		"below none was. Numbers of steps and seeds are what fits into the time: in the run whose "
		"page lies beside the demonstration model the steps of repair were cut from 12 to 8 after "
		"the strict runs, before any result of them was there, by stopping the command and going "
		"on.");
	stages_print_set(&set, &g->x->stages);
	paper_text(g->p, "The same again: cadforge train experiment --out DIR%s", buf_str(&set));
	buf_release(&set);
}

static void say_arms(struct page *g)
{
	static const char *const columns[] = {
		"policy",         ">builds",           ">box as asked",       ">dense reward",
		">strict reward", ">total when built", "builds, seed by seed"
	};

	paper_heading(g->p, 2, "Held-out tasks, first tries");
	paper_table(g->p, columns, 7);
	for (int a = 0; a < ARMS; a++) {
		const struct sheet *s = &g->sheet;
		enum experiment_arm arm = (enum experiment_arm)a;
		struct buf seeds = { 0 };
		paper_cell(g->p, "%s", arm_words[a]);
		cell_rate(g->p, sheet_mean(s, arm, 0, SHEET_HELD, SHEET_BUILT));
		cell_rate(g->p, sheet_mean(s, arm, 0, SHEET_HELD, SHEET_BOX));
		cell_mean(g->p, sheet_mean(s, arm, 0, SHEET_HELD, SHEET_DENSE));
		cell_mean(g->p, sheet_mean(s, arm, 0, SHEET_HELD, SHEET_STRICT));
		cell_mean(g->p, sheet_mean(s, arm, 0, SHEET_HELD, SHEET_TOTAL));
		for (int k = 1; experiment_arm_seeds(arm) && k <= s->seeds; k++)
			buf_printf(&seeds, "%s%.1f %%", k > 1 ? ", " : "",
			           100 * sheet_mean(s, arm, k, SHEET_HELD, SHEET_BUILT).value);
		paper_cell(g->p, "%s", seeds.len ? buf_str(&seeds) : "-");
		buf_release(&seeds);
	}
	paper_table_end(g->p);
}

/* Of all answers to held-out tasks that did not build, by class. */
static void say_failures(struct page *g)
{
	const char *columns[1 + ARMS] = { "of all first tries" };
	struct buf heads[ARMS] = { { 0 } };
	int count[ARMS][CLASS_COUNT] = { { 0 } }, n[ARMS] = { 0 };

	for (int a = 0; a < ARMS; a++) {
		buf_printf(&heads[a], ">%s", arm_short[a]);
		columns[1 + a] = buf_str(&heads[a]);
		for (int k = 0; k < g->sheet.seeds; k++)
			for (int i = 0;
			     g->sheet.answer[a][k] && i < g->sheet.prompts * g->sheet.members;
			     i++) {
				const struct sheet_answer *v = &g->sheet.answer[a][k][i];
				if (!v->there || g->sheet.set[i / g->sheet.members] != SHEET_HELD)
					continue;
				n[a]++;
				count[a][v->built ? CLASS_BUILD_OK : v->failure]++;
			}
	}
	paper_heading(g->p, 3, "Why first tries did not build");
	paper_table(g->p, columns, 1 + ARMS);
	for (int c = 0; c < CLASS_COUNT; c++) {
		int all = 0;
		for (int a = 0; a < ARMS; a++)
			all += count[a][c];
		if (c == CLASS_BUILD_OK || all == 0)
			continue;
		paper_cell(g->p, "%s", build_class_name((enum build_class)c));
		for (int a = 0; a < ARMS; a++)
			paper_figure(g->p, "%.1f %%", n[a] ? 100.0 * count[a][c] / n[a] : NAN);
	}
	paper_table_end(g->p);
	for (int a = 0; a < ARMS; a++)
		buf_release(&heads[a]);
}

static void say_differences(struct page *g)
{
	static const char *const columns[] = { "from",         "to",           "builds",
		                               "box as asked", "dense reward", "strict reward" };
	static const enum sheet_measure of[] = { SHEET_BUILT, SHEET_BOX, SHEET_DENSE,
		                                 SHEET_STRICT };

	paper_heading(g->p, 3, "Differences");
	paper_table(g->p, columns, 6);
	for (int c = 0; c < COMPARED; c++) {
		paper_cell(g->p, "%s", arm_short[compared[c][0]]);
		paper_cell(g->p, "%s", arm_short[compared[c][1]]);
		for (int m = 0; m < 4; m++) {
			struct paired d = sheet_paired(&g->sheet, compared[c][0], compared[c][1], 0,
			                               SHEET_HELD, of[m]);
			char words[96];
			difference_words(words, sizeof(words), &d, m < 2);
			paper_cell(g->p, "%s", words);
		}
	}
	paper_table_end(g->p);
}

/* Dense and strict beside one another, a line a seed. */
static int draw_curves(struct page *g, const char *file, const char *title, bool built,
                       const enum experiment_arm arms[2], struct err *e)
{
	struct plot_line line[2 * SHEET_SEEDS_MAX];
	char names[2 * SHEET_SEEDS_MAX][32];
	double *all = NULL;
	int n = 0, most = 1;

	for (int a = 0; a < 2; a++)
		for (int k = 0; k < g->sheet.seeds; k++)
			most = g->steps[arms[a]][k].n > most ? g->steps[arms[a]][k].n : most;
	all = calloc((size_t)most * 3 * 2 * SHEET_SEEDS_MAX, sizeof(*all));
	if (!all)
		return err_set(e, ERR_MEM, "no memory for curves");
	for (int a = 0; a < 2; a++)
		for (int k = 0; k < g->sheet.seeds && n < PLOT_LINES_MAX; k++) {
			const struct experiment_steps *s = &g->steps[arms[a]][k];
			double *x = all + (size_t)n * 3 * (size_t)most, *y = x + most,
			       *smooth = y + most;
			for (int i = 0; i < s->n; i++) {
				x[i] = s->v[i].step;
				y[i] = built ? s->v[i].build_rate : s->v[i].reward;
			}
			plot_smooth(y, s->n, 5, smooth);
			experiment_policy_name(names[n], arms[a], k + 1);
			line[n] = (struct plot_line){
				.name = names[n], .x = x, .y = smooth, .n = s->n
			};
			n++;
		}
	const struct plot plot = { .title = title,
		                   .x_label = "step",
		                   .y_label = built ? "answers that build" : "mean reward",
		                   .share_y = built,
		                   .line = line,
		                   .n = n };
	paper_plot(g->p, file, &plot,
	           "Of the answers drawn in training, a running mean over 5 steps.");
	free(all);
	return 0;
}

static int say_curves(struct page *g, struct err *e)
{
	static const enum experiment_arm first[2] = { ARM_DENSE, ARM_STRICT },
					 second[2] = { ARM_REPAIR, ARM_CONTROL };

	paper_heading(g->p, 2, "In training");
	if (draw_curves(g, "build-rate.svg", "Build rate, dense and strict", true, first, e) < 0 ||
	    draw_curves(g, "reward.svg", "Reward, each under its own", false, first, e) < 0 ||
	    draw_curves(g, "repair.svg", "Build rate, repair and control", true, second, e) < 0)
		return -1;
	for (int a = ARM_DENSE; a < ARMS; a++) {
		int answers = 0, clipped = 0, flat = 0, groups = 0, alarms[ALARMS] = { 0 };
		double seconds = 0;
		struct buf told = { 0 };
		for (int k = 0; k < g->sheet.seeds; k++) {
			const struct experiment_steps *s = &g->steps[a][k];
			for (int i = 0; i < s->n; i++) {
				answers += s->v[i].answers;
				clipped += s->v[i].clipped;
				flat += s->v[i].flat;
				groups += s->v[i].groups;
				seconds += s->v[i].seconds;
			}
			for (int i = 0; i < ALARMS; i++)
				alarms[i] += s->alarms[i];
		}
		for (int i = 0; i < ALARMS; i++)
			if (alarms[i])
				buf_printf(&told, "%s%s (%d)", told.len ? ", " : "",
				           grpo_alarm_name((enum grpo_alarm)i), alarms[i]);
		paper_item(g->p,
		           "%s: %d answers in %.0f s, %.1f a second through generate, build, score "
		           "and update; %d cut off; %d of %d groups without spread; alarms: %s.",
		           arm_short[a], answers, seconds, seconds > 0 ? answers / seconds : NAN,
		           clipped, flat, groups, told.len ? buf_str(&told) : "none");
		buf_release(&told);
	}
	return 0;
}

static void say_repairs(struct page *g)
{
	static const char *const columns[] = { "class",
		                               ">sft",
		                               ">strict",
		                               ">repair",
		                               ">control",
		                               "repair less strict",
		                               "repair less control" };
	static const enum experiment_arm of[] = { ARM_SFT, ARM_STRICT, ARM_REPAIR, ARM_CONTROL };
	const cJSON *failures = cJSON_GetObjectItemCaseSensitive(g->repair, "failures"), *x;
	struct buf counts = { 0 };

	cJSON_ArrayForEach(x, failures)
		buf_printf(&counts, "%s%s %.0f", counts.len ? ", " : "", x->string, x->valuedouble);
	paper_heading(g->p, 2, "Broken programs, one turn to repair them");
	paper_text(
		g->p,
		"Aimed at %s, the commonest failure in the second half of the strict runs (%s). The "
		"broken programs here are others: of held-out tasks, broken by the corpus, each with "
		"the log and notes of its real build. Builds:",
		build_class_name(experiment_class[g->aim]), buf_str(&counts));
	buf_release(&counts);
	paper_table(g->p, columns, 7);
	for (int i = 1; i < SETS; i++) {
		struct paired before = sheet_paired(&g->sheet, ARM_STRICT, ARM_REPAIR, 0, set_at(i),
		                                    SHEET_BUILT),
			      beside = sheet_paired(&g->sheet, ARM_CONTROL, ARM_REPAIR, 0,
		                                    set_at(i), SHEET_BUILT);
		char words[96];
		paper_cell(g->p, "%s%s", i == 1 ? "all" : set_name(i),
		           i - 2 == g->aim ? ", aimed at" : "");
		for (int a = 0; a < 4; a++)
			cell_rate(g->p, sheet_mean(&g->sheet, of[a], 0, set_at(i), SHEET_BUILT));
		difference_words(words, sizeof(words), &before, true);
		paper_cell(g->p, "%s", words);
		difference_words(words, sizeof(words), &beside, true);
		paper_cell(g->p, "%s", words);
	}
	paper_table_end(g->p);
}

/* ---- what the published runs are said to have shown ---- */

static void claim(struct page *g, const char *name, const char *what, const char *judged,
                  const char *why)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "claim", what);
	cJSON_AddStringToObject(o, "here", judged);
	cJSON_AddStringToObject(o, "why", why);
	cJSON_AddItemToObject(cJSON_GetObjectItemCaseSensitive(g->figures, "claims"), name, o);
	paper_heading(g->p, 3, "%s", what);
	paper_text(g->p, "%s. %s", judged, why);
}

/* What the rule by which the published rows were counted again says of our dense runs' answers, of
 * which it is known whether they built. */
static void claim_accounting(struct page *g)
{
	int n = 0, built = 0, above = 0, wrong = 0;
	struct buf b = { 0 };

	for (int k = 0; k < g->sheet.seeds; k++)
		for (int i = 0; i < g->sheet.prompts * g->sheet.members; i++) {
			const struct sheet_answer *v = &g->sheet.answer[ARM_DENSE][k][i];
			if (!v->there || g->sheet.set[i / g->sheet.members] != SHEET_HELD)
				continue;
			n++;
			built += v->built;
			above += v->dense > BUILT_ABOVE;
			wrong += v->dense > BUILT_ABOVE && !v->built;
		}
	buf_printf(
		&b,
		"The published report says that nothing built under the dense reward (0 of 160 "
		"answers of the 9B run). Its debug rows lack the field that it counted: their own scores "
		"say otherwise. Text alone earns at most 0.37 under that reward, so that a score above "
		"%.2f needs a part that was built: 51 of the 160 rows have one, 31.9 %%, about as many as "
		"the strict run's 96 of 320, 30.0 %%. The same rule counts %d of our dense policies' %d "
		"held-out answers as built; %d were; it was wrong about %d by counting one that had not built. "
		"A program that builds and scores less than %.2f is not counted, so the rule is a lower "
		"bound.",
		BUILT_ABOVE, above, n, built, wrong, BUILT_ABOVE);
	claim(g, "zero_percent", "\"0 % of programs build under the dense reward\"",
	      built ? "Not shown, and not what the published rows say" : "Seen here", buf_str(&b));
	cJSON *o = cJSON_AddObjectToObject(g->figures, "accounting");
	cJSON_AddNumberToObject(o, "answers", n);
	cJSON_AddNumberToObject(o, "built", built);
	cJSON_AddNumberToObject(o, "above", above);
	cJSON_AddNumberToObject(o, "above_and_not_built", wrong);
	buf_release(&b);
}

static void claim_dense(struct page *g)
{
	struct paired built =
		sheet_paired(&g->sheet, ARM_SFT, ARM_DENSE, 0, SHEET_HELD, SHEET_BUILT);
	struct paired reward =
		sheet_paired(&g->sheet, ARM_SFT, ARM_DENSE, 0, SHEET_HELD, SHEET_DENSE);
	struct paired total =
		sheet_paired(&g->sheet, ARM_SFT, ARM_DENSE, 0, SHEET_HELD, SHEET_TOTAL);
	enum verdict b = verdict_of(&built), r = verdict_of(&reward);
	char wb[96], wr[96], wt[96];
	struct buf t = { 0 };

	difference_words(wb, sizeof(wb), &built, true);
	difference_words(wr, sizeof(wr), &reward, false);
	difference_words(wt, sizeof(wt), &total, false);
	buf_printf(&t,
	           "From sft to dense the dense reward %s, %s; the build rate %s, %s; the total of "
	           "answers that built (where both did): %s.",
	           verdict_words(r), wr, verdict_words(b), wb, wt);
	buf_printf(
		&t,
		" A failed build earns at most 0.37 under it, one that succeeds %.2f on the mean, "
		"and advantages are taken within a group and divided by its spread: where some of a "
		"group build and some do not, this reward points the same way as the gated one.",
		sheet_mean(&g->sheet, ARM_DENSE, 0, SHEET_HELD, SHEET_TOTAL).value);
	claim(g, "dense", "\"The dense reward raises the reward and not the build rate\"",
	      r == UP && b == UP     ? "The opposite: both rose"
	      : r == UP && b != DOWN ? "Shown"
	      : r == UP              ? "Shown, and more: the build rate fell"
	                             : "Not shown",
	      buf_str(&t));
	buf_release(&t);
}

static void claim_strict(struct page *g)
{
	struct paired built =
		sheet_paired(&g->sheet, ARM_SFT, ARM_STRICT, 0, SHEET_HELD, SHEET_BUILT);
	struct paired reward =
		sheet_paired(&g->sheet, ARM_SFT, ARM_STRICT, 0, SHEET_HELD, SHEET_STRICT);
	struct paired box = sheet_paired(&g->sheet, ARM_SFT, ARM_STRICT, 0, SHEET_HELD, SHEET_BOX);
	enum verdict v = verdict_of(&built);
	char wb[96], wr[96], wx[96];
	struct buf t = { 0 };

	difference_words(wb, sizeof(wb), &built, true);
	difference_words(wr, sizeof(wr), &reward, false);
	difference_words(wx, sizeof(wx), &box, true);
	buf_printf(
		&t,
		"From sft to strict the build rate %s, %s; the strict reward %s, %s; answers with "
		"the asked box, which the reward hardly looks at: %s.",
		verdict_words(v), wb, verdict_words(verdict_of(&reward)), wr, wx);
	claim(g, "strict", "\"The build-gated reward raises the build rate\"",
	      v == UP     ? "Shown"
	      : v == DOWN ? "The opposite"
	                  : "Not shown",
	      buf_str(&t));
	buf_release(&t);
}

static void claim_gate(struct page *g)
{
	struct paired built =
		sheet_paired(&g->sheet, ARM_DENSE, ARM_STRICT, 0, SHEET_HELD, SHEET_BUILT);
	enum verdict v = verdict_of(&built);
	char wb[96];
	struct buf t = { 0 };
	int up = 0;

	difference_words(wb, sizeof(wb), &built, true);
	buf_printf(&t, "Strict less dense: %s. Seed by seed:", wb);
	for (int k = 1; k <= g->sheet.seeds; k++) {
		struct paired one =
			sheet_paired(&g->sheet, ARM_DENSE, ARM_STRICT, k, SHEET_HELD, SHEET_BUILT);
		buf_printf(&t, "%s %+.1f points", k > 1 ? "," : "", 100 * one.difference.value);
		up += one.difference.value > 0;
	}
	buf_adds(&t, ".");
	if (v == UP && up < g->sheet.seeds)
		buf_adds(&t, " Not in every seed: runs differ by more than the interval says.");
	claim(g, "gate", "\"The gate is what makes programs build\"",
	      v == UP && up == g->sheet.seeds ? "Shown: more build than under the dense reward"
	      : v == UP                       ? "Seen on the whole, not in every seed"
	      : v == DOWN ? "The opposite: fewer build than under the dense reward"
	                  : "Not shown: between the two rewards no difference beyond chance",
	      buf_str(&t));
	buf_release(&t);
}

static void claim_repair(struct page *g)
{
	struct paired before =
		sheet_paired(&g->sheet, ARM_STRICT, ARM_REPAIR, 0, g->aim, SHEET_BUILT);
	struct paired beside =
		sheet_paired(&g->sheet, ARM_CONTROL, ARM_REPAIR, 0, g->aim, SHEET_BUILT);
	struct paired first =
		sheet_paired(&g->sheet, ARM_CONTROL, ARM_REPAIR, 0, SHEET_HELD, SHEET_BUILT);
	enum verdict b = verdict_of(&before), c = verdict_of(&beside);
	char wb[96], wc[96], wf[96];
	struct buf t = { 0 };

	difference_words(wb, sizeof(wb), &before, true);
	difference_words(wc, sizeof(wc), &beside, true);
	difference_words(wf, sizeof(wf), &first, true);
	buf_printf(
		&t,
		"Repairs of %s that build, after the aimed steps less before: %s; less what as many "
		"steps of first tries give: %s. First tries, repair less control: %s.",
		build_class_name(experiment_class[g->aim]), wb, wc, wf);
	struct interval was = sheet_mean(&g->sheet, ARM_STRICT, 0, g->aim, SHEET_BUILT);
	struct interval sft = sheet_mean(&g->sheet, ARM_SFT, 0, g->aim, SHEET_BUILT);
	buf_printf(
		&t,
		" Of the same broken programs %.1f %% were mended at sft and %.1f %% after the "
		"strict runs, which had first tries alone: the aimed steps had %.1f points left to "
		"gain, in %.0f steps. The other classes are in the table above; none of them was "
		"aimed at, and several were looked at.",
		100 * sft.value, 100 * was.value, 100 * (1 - was.value), g->x->recipe.repair_steps);
	claim(g, "repair", "\"Repairs aimed at a failure class raise its build rate\"",
	      b == UP && c == UP ? "Shown"
	      : b == UP          ? "Half shown: it rose, but not by more than without aiming"
	      : b == DOWN        ? "The opposite"
	                         : "Not shown",
	      buf_str(&t));
	buf_release(&t);
}

static void claim_clipped(struct page *g)
{
	int answers = 0, clipped = 0;
	struct buf t = { 0 };

	for (int a = ARM_DENSE; a < ARMS; a++)
		for (int k = 0; k < g->sheet.seeds; k++)
			for (int i = 0; i < g->steps[a][k].n; i++) {
				answers += g->steps[a][k].v[i].answers;
				clipped += g->steps[a][k].v[i].clipped;
			}
	buf_printf(
		&t,
		"The first published adaptive run built nothing: its budget cut off all of 120 "
		"answers before their end. Here budgets come from the data (one and a half times the "
		"longest answer that is known): %d of %d answers were cut off.",
		clipped, answers);
	claim(g, "clipped", "\"Adaptive repair v1: none of 120 builds\"",
	      "A fault of its settings, which cannot happen unseen here", buf_str(&t));
	buf_release(&t);
}

static int write_page(struct page *g, struct err *e)
{
	struct buf data = { 0 };
	char *text;

	say_setup(g);
	say_arms(g);
	say_failures(g);
	say_differences(g);
	if (say_curves(g, e) < 0)
		return -1;
	say_repairs(g);
	paper_heading(g->p, 2, "What the published runs are said to show, and what is seen here");
	cJSON_AddObjectToObject(g->figures, "claims");
	claim_accounting(g);
	claim_dense(g);
	claim_strict(g);
	claim_gate(g);
	claim_repair(g);
	claim_clipped(g);
	cJSON_AddItemToObject(g->figures, "recipe",
	                      stages_read(&g->x->stages, "recipe.json", NULL));
	cJSON_AddStringToObject(g->figures, "aim", build_class_name(experiment_class[g->aim]));
	arms_data(g);
	differences_data(g);
	steps_data(g);
	if (!(text = cJSON_PrintUnformatted(g->figures)))
		return err_set(e, ERR_MEM, "no memory for the figures");
	buf_adds(&data, text);
	buf_addc(&data, '\n');
	free(text);
	paper_file(g->p, "figures.json", &data);
	paper_link(g->p, "figures.json", "Every figure of this page, and the steps of the runs");
	buf_release(&data);
	return 0;
}

static int sheet_read(struct sheet *out, struct experiment *x, struct err *e)
{
	char name[64], path[PATH_MAX];
	int rc = 0;

	*out = (struct sheet){ .seeds = (int)x->recipe.seeds, .members = (int)x->recipe.samples };
	for (int a = 0; a < ARMS && rc == 0; a++) {
		int seeds = experiment_arm_seeds((enum experiment_arm)a) ? out->seeds : 1;
		for (int seed = 1; seed <= seeds && rc == 0; seed++) {
			struct buf text = { 0 };
			snprintf(name, sizeof(name), "evaluate/");
			experiment_policy_name(name + strlen(name), (enum experiment_arm)a, seed);
			snprintf(name + strlen(name), sizeof(name) - strlen(name), ".jsonl");
			stages_path(&x->stages, path, sizeof(path), name);
			rc = buf_read_file(&text, path, FILE_MAX, e);
			if (rc == 0 && sheet_add(out, (enum experiment_arm)a, seed, buf_str(&text),
			                         text.len, e) < 0)
				rc = err_wrap(e, "%s", path);
			buf_release(&text);
		}
	}
	if (rc < 0)
		sheet_release(out);
	return rc;
}

static int read_all(struct page *g, struct err *e)
{
	const char *aim;

	if (!(g->repair = stages_read(&g->x->stages, "repair.json", e)) ||
	    sheet_read(&g->sheet, g->x, e) < 0)
		return -1;
	aim = json_string_or(g->repair, "aim", "");
	for (int i = 0; i < EXPERIMENT_CLASSES; i++)
		if (strcmp(build_class_name(experiment_class[i]), aim) == 0)
			g->aim = i;
	for (int a = ARM_DENSE; a < ARMS; a++)
		for (int k = 0; k < g->sheet.seeds; k++)
			if (experiment_steps(g->x, (enum experiment_arm)a, k + 1, &g->steps[a][k],
			                     e) < 0)
				return -1;
	return 0;
}

int experiment_make_report(void *experiment, cJSON *figures, struct err *e)
{
	struct experiment *x = experiment;
	struct page g = { .x = x, .figures = cJSON_CreateObject() };
	char path[PATH_MAX];
	int rc = read_all(&g, e);

	if (rc == 0) {
		stages_path(&x->stages, path, sizeof(path), "report");
		g.p = paper_open(path, BY, "The published experiment, in miniature", e);
		rc = g.p ? write_page(&g, e) : -1;
	}
	if (rc == 0)
		rc = paper_close(g.p, e);
	else
		paper_drop(g.p);
	cJSON_AddNumberToObject(figures, "prompts", g.sheet.prompts);
	for (int a = 0; a < ARMS; a++)
		for (int k = 0; k < SHEET_SEEDS_MAX; k++)
			experiment_steps_release(&g.steps[a][k]);
	sheet_release(&g.sheet);
	cJSON_Delete(g.repair);
	cJSON_Delete(g.figures);
	return rc;
}
