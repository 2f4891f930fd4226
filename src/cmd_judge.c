/*
 * cmd_judge.c - what people think of a turn, how far they agree with each other, and how far the
 * reward agrees with them.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/db.h"
#include "src/judging.h"
#include "src/show.h"

/* ---- agreement ---- */

static cJSON *agreement_json(const struct agreement *a, const struct preferences_agreement *q)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "judges", a->judges);
	cJSON_AddNumberToObject(o, "grades", a->grades);
	cJSON_AddNumberToObject(o, "turns", a->turns);
	cJSON_AddNumberToObject(o, "pairs", a->pairs);
	json_add_figure(o, "exact", a->exact);
	json_add_figure(o, "within_one", a->within_one);
	json_add_figure(o, "mean_difference", a->mean_difference);
	json_add_figure(o, "alpha", a->alpha);
	cJSON_AddNumberToObject(o, "reward_pairs", (double)a->reward_pairs);
	json_add_figure(o, "reward_agrees", a->reward_agrees);
	cJSON_AddNumberToObject(o, "preferences", q->pairs);
	cJSON_AddNumberToObject(o, "preferences_equal", q->equal);
	cJSON_AddNumberToObject(o, "preferences_shared", q->shared);
	json_add_figure(o, "preferences_same", q->same);
	cJSON_AddNumberToObject(o, "preferences_reward_pairs", q->reward_pairs);
	json_add_figure(o, "preferences_reward_agrees", q->reward_agrees);
	return o;
}

static void print_agreement(const struct agreement *a, const struct preferences_agreement *q)
{
	if (a->grades || !q->pairs)
		printf("%d grade%s in force by %d judge%s", a->grades, a->grades == 1 ? "" : "s",
		       a->judges, a->judges == 1 ? "" : "s");
	if (a->pairs) {
		printf("; %d turn%s graded by two or more: %.0f %% the same, %.0f %% within one, "
		       "%.2f apart on average",
		       a->turns, a->turns == 1 ? "" : "s", 100 * a->exact, 100 * a->within_one,
		       a->mean_difference);
		if (!isnan(a->alpha))
			printf(", Krippendorff's alpha %.2f", a->alpha);
	}
	if (a->grades || !q->pairs)
		putchar('\n');
	if (a->reward_pairs)
		printf("of %lld pair%s of turns that a judge graded differently, the reward puts "
		       "%.0f %% in the same order\n",
		       a->reward_pairs, a->reward_pairs == 1 ? "" : "s", 100 * a->reward_agrees);
	if (!q->pairs)
		return;
	printf("%d preference%s in force by %d judge%s", q->pairs, q->pairs == 1 ? "" : "s",
	       q->judges, q->judges == 1 ? "" : "s");
	if (q->equal)
		printf(", %d of them equal", q->equal);
	if (q->shared)
		printf("; of %d given to the same two turns %.0f %% say the same", q->shared,
		       100 * q->same);
	if (q->reward_pairs)
		printf("; the reward puts %.0f %% of %d in the same order", 100 * q->reward_agrees,
		       q->reward_pairs);
	putchar('\n');
}

static int collect(const struct db_flags *f, int64_t episode, int turn, const char *as,
                   struct judgements *out, struct err *e)
{
	struct store *s = db_open(f, STORE_READ, e);
	int rc;

	*out = (struct judgements){ 0 };
	if (!s)
		return -1;
	rc = judgements_read(out, s, episode, turn, f->filter.task, as, e);
	store_close(s);
	return rc;
}

/* Both, of what is in force. False: no memory. */
static bool agree(const struct judgements *r, struct agreement *a, struct preferences_agreement *q)
{
	size_t n, n_pairs;
	struct graded *v = judgements_grades(r, &n);
	struct preference *p = judgements_preferences(r, &n_pairs);
	bool done = v && p;

	if (done) {
		agreement_of(v, n, a);
		preferences_of(p, n_pairs, q);
	}
	free(v);
	free(p);
	return done;
}

/* ---- judgements ---- */

static void print_row(const struct judged *x, bool json)
{
	char when[32];

	if (json) {
		struct store_judgement j = { .id = x->id,
			                     .episode = x->episode,
			                     .time_us = x->time_us,
			                     .turn = x->turn,
			                     .grade = x->grade,
			                     .as = x->as,
			                     .note = x->note,
			                     .tags = x->tags,
			                     .task = x->task,
			                     .total = x->total };
		cJSON *o = db_judgement_json(&j);
		show_json_line(o);
		cJSON_Delete(o);
		return;
	}
	store_local_time(when, sizeof(when), x->time_us);
	printf("%s  %" PRId64 ".%d  %s  ", when, x->episode, x->turn, x->task);
	db_print_line(stdout, x->as);
	if (x->grade >= 0)
		printf(": %d of 5", x->grade);
	if (!isnan(x->total))
		printf(" (reward %.3f)", x->total);
	if (x->tags)
		printf(" [%s]", x->tags);
	if (x->note) {
		fputs(" - ", stdout);
		db_print_line(stdout, x->note);
	}
	putchar('\n');
}

static int run_judgements(const struct cmd *self, int argc, char **argv)
{
	enum { AS = DB_FLAGS_END };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "task", required_argument, NULL, DB_TASK },
		                                 { "as", required_argument, NULL, AS },
		                                 { NULL, 0, NULL, 0 } };
	struct judgements r = { 0 };
	struct preferences_agreement q;
	struct agreement a;
	struct db_flags f;
	struct err e = { 0 };
	const char *as = NULL;
	int64_t episode = 0;
	int opt, turn = 0, rc;

	db_flags_init(&f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = db_flag(&f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt != AS)
			return app_bad_flag(self, opt, argv);
		as = optarg;
	}
	if (argc - optind > 1)
		return app_usage(self, "one episode or turn at most");
	if (optind < argc && store_parse_ref(argv[optind], &episode, &turn, &e) < 0)
		return app_fail(&e);
	rc = collect(&f, episode, turn, as, &r, &e);
	if (rc == 0) {
		for (size_t i = 0; i < r.n; i++)
			print_row(&r.v[i], f.app.json);
		if (!agree(&r, &a, &q)) {
			rc = err_set(&e, ERR_MEM, "out of memory for %zu judgements", r.n);
		} else if (f.app.json) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddItemToObject(o, "agreement", agreement_json(&a, &q));
			show_json_line(o);
			cJSON_Delete(o);
		} else if (r.n) {
			print_agreement(&a, &q);
		} else if (!f.app.quiet) {
			fputs("nothing was judged yet\n", stderr);
		}
	}
	judgements_release(&r);
	return rc < 0 ? app_fail(&e) : EXIT_DONE;
}

const struct cmd cmd_judgements = {
	.name = "judgements",
	.usage = "judgements [EP[.T]] [--task ID] [--as NAME] [--json]",
	.summary = "list judgements, and how far judges and reward agree",
	.help = "  EP, EP.T          of that episode or turn only\n"
		"  --task ID         on that task only\n"
		"  --as NAME         by that judge only\n" DB_HELP
		"\nJSON: {judgement, episode, turn, task, as, grade, note, tags, total, time} a line, "
		"and last\n{agreement {judges, grades, turns, pairs, exact, within_one, "
		"mean_difference, alpha, reward_pairs,\nreward_agrees, preferences, "
		"preferences_equal, preferences_shared, preferences_same,\n"
		"preferences_reward_pairs, preferences_reward_agrees}}. Of several grades by one "
		"judge on one\nturn, and of several preferences about the same two, the last is "
		"in force.\n",
	.run = run_judgements,
};

/* ---- judge ---- */

/* One preference: by what judge, of grades or said so. @grades: -1 each, it was said. */
static void print_pair(const struct db_flags *f, const struct judged *by, const char *better,
                       const char *worse, bool equal, const int grades[2], const double totals[2])
{
	bool known = !isnan(totals[0]) && !isnan(totals[1]);

	if (f->app.json) {
		cJSON *o = cJSON_CreateObject();
		json_add_text(o, "task", by->task);
		json_add_text(o, "as", by->as);
		json_add_text(o, "better", better);
		json_add_text(o, "worse", worse);
		cJSON_AddBoolToObject(o, "equal", equal);
		json_add_figure(o, "grade_better", grades[0] >= 0 ? grades[0] : NAN);
		json_add_figure(o, "grade_worse", grades[1] >= 0 ? grades[1] : NAN);
		json_add_figure(o, "total_better", totals[0]);
		json_add_figure(o, "total_worse", totals[1]);
		if (known && !equal)
			cJSON_AddBoolToObject(o, "reward_agrees", totals[0] > totals[1]);
		else
			cJSON_AddNullToObject(o, "reward_agrees");
		show_json_line(o);
		cJSON_Delete(o);
		return;
	}
	printf("%-32s  %s %s %s  (", by->task, better, equal ? "level with" : "over", worse);
	if (grades[0] >= 0)
		printf("%d, %d of 5, by ", grades[0], grades[1]);
	else
		fputs("beside each other, by ", stdout);
	db_print_line(stdout, by->as);
	fputs(")  ", stdout);
	if (known)
		printf("reward %.3f, %.3f%s\n", totals[0], totals[1],
		       equal || totals[0] > totals[1] ? "" : "  <- against the judge");
	else
		puts("reward -");
}

/* The pairs of turns that one judge graded differently on the same task, and those that were said
 * to be better than another: what a preference is. */
static int judge_pairs(const struct db_flags *f, const char *as)
{
	struct judgements r = { 0 };
	struct preferences_agreement q;
	struct err e = { 0 };
	struct agreement a;

	if (collect(f, 0, 0, as, &r, &e) < 0)
		return app_fail(&e);
	for (size_t i = 0; i < r.n && !app_interrupted(); i++) {
		const struct judged *x = &r.v[i];
		char better[64], worse[64];
		if (x->grade >= 0 && judgements_grade_of(&r, x->as, x->episode, x->turn) == (long)i)
			for (size_t k = i + 1; k < r.n; k++) {
				const struct judged *hi = x, *lo = &r.v[k];
				if (lo->grade < 0 || lo->grade == hi->grade ||
				    strcmp(lo->as, hi->as) != 0 ||
				    strcmp(lo->task, hi->task) != 0 ||
				    judgements_grade_of(&r, lo->as, lo->episode, lo->turn) !=
				            (long)k)
					continue;
				if (hi->grade < lo->grade) {
					hi = lo;
					lo = x;
				}
				snprintf(better, sizeof(better), "%" PRId64 ".%d", hi->episode,
				         hi->turn);
				snprintf(worse, sizeof(worse), "%" PRId64 ".%d", lo->episode,
				         lo->turn);
				print_pair(f, hi, better, worse, false,
				           (const int[]){ hi->grade, lo->grade },
				           (const double[]){ hi->total, lo->total });
			}
		if (!judgements_pair_stands(&r, i))
			continue;
		snprintf(better, sizeof(better), "%" PRId64 ".%d", x->episode, x->turn);
		snprintf(worse, sizeof(worse), "%" PRId64 ".%d", x->other_episode, x->other_turn);
		print_pair(f, x, better, worse, x->equal, (const int[]){ -1, -1 },
		           (const double[]){ x->total, x->other_total });
	}
	if (agree(&r, &a, &q)) {
		if (f->app.json) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddItemToObject(o, "agreement", agreement_json(&a, &q));
			show_json_line(o);
			cJSON_Delete(o);
		} else if (a.reward_pairs || q.pairs) {
			print_agreement(&a, &q);
		} else if (!f->app.quiet) {
			fputs("no judge has graded two turns of one task differently yet\n",
			      stderr);
		}
	}
	judgements_release(&r);
	return app_interrupted() ? EXIT_INTERRUPTED : EXIT_DONE;
}

static int is_there(void *ctx, const struct store_turn *t)
{
	(void)ctx;
	(void)t;
	return 0;
}

static int keep_task(void *ctx, const struct store_episode *x)
{
	snprintf(ctx, 256, "%s", x->task);
	return 0;
}

/* What is set against each other must be there, and be of one task. */
static int same_task(struct store *s, const struct store_judgement_new *j, int64_t episode,
                     int turn, struct err *e)
{
	char task[2][256] = { "", "" };

	if (episode == j->episode && turn == j->turn)
		return err_set(e, ERR_USAGE, "a turn cannot be set against itself");
	if (store_turn(s, episode, turn, is_there, NULL, e) < 0 ||
	    store_episode(s, j->episode, keep_task, task[0], e) < 0 ||
	    store_episode(s, episode, keep_task, task[1], e) < 0)
		return -1;
	if (strcmp(task[0], task[1]) != 0)
		return err_set(e, ERR_USAGE,
		               "%" PRId64 ".%d is of %.80s and %" PRId64 ".%d of %.80s: two turns "
		               "of one task were expected",
		               j->episode, j->turn, task[0], episode, turn, task[1]);
	return 0;
}

static int run_judge(const struct cmd *self, int argc, char **argv)
{
	enum { GRADE = DB_FLAGS_END, NOTE, TAG, AS, OVER, LEVEL, WITHDRAW, TAGS_MAX = 32 };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "grade", required_argument, NULL, GRADE },
		                                 { "note", required_argument, NULL, NOTE },
		                                 { "tag", required_argument, NULL, TAG },
		                                 { "as", required_argument, NULL, AS },
		                                 { "over", required_argument, NULL, OVER },
		                                 { "level", required_argument, NULL, LEVEL },
		                                 { "withdraw", no_argument, NULL, WITHDRAW },
		                                 { "task", required_argument, NULL, DB_TASK },
		                                 { NULL, 0, NULL, 0 } };
	const char *tags[TAGS_MAX + 2], *as = NULL, *other = NULL;
	char pair[JUDGING_TAG];
	int64_t other_episode = 0;
	int other_turn = 0;
	bool level = false;
	struct store_judgement_new j = { .grade = -1, .tags = tags };
	struct db_flags f;
	struct err e = { 0 };
	struct store *s;
	int64_t id = 0;
	int opt, rc;

	db_flags_init(&f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = db_flag(&f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		switch (opt) {
		case GRADE:
			if (app_whole("--grade", optarg, 0, 5, &j.grade) < 0)
				return EXIT_USAGE;
			break;
		case NOTE:
			j.note = optarg;
			break;
		case TAG:
			if (j.n_tags >= TAGS_MAX)
				return app_usage(self, "at most %d tags", TAGS_MAX);
			tags[j.n_tags++] = optarg;
			break;
		case AS:
			as = optarg;
			break;
		case OVER:
		case LEVEL:
			if (other)
				return app_usage(self, "one --over or --level at a time");
			other = optarg;
			level = opt == LEVEL;
			break;
		case WITHDRAW:
			if (j.n_tags < TAGS_MAX)
				tags[j.n_tags++] = JUDGING_WITHDRAWN;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	if (argc - optind != 1)
		return app_usage(self, "one turn (12.3) is expected, or 'pairs'");
	if (as && !*as)
		return app_usage(self, "--as: a name was expected, got nothing");
	if (strcmp(argv[optind], "pairs") == 0) {
		if (j.grade >= 0 || j.note || j.n_tags || other)
			return app_usage(self, "pairs lists what was judged; it takes no grade, "
			                       "note or tag");
		app_catch_interrupt();
		return judge_pairs(&f, as);
	}
	if (f.filter.task)
		return app_usage(self, "--task is for 'judge pairs'");
	if (store_parse_ref(argv[optind], &j.episode, &j.turn, &e) < 0)
		return app_fail(&e);
	if (!j.turn)
		return app_usage(self, "a turn is expected, %s.1 is the first", argv[optind]);
	if (other) {
		if (store_parse_ref(other, &other_episode, &other_turn, &e) < 0)
			return app_fail(&e);
		if (!other_turn)
			return app_usage(self, "a turn is expected, %s.1 is the first", other);
		judging_tag(pair, level, j.episode, other_episode, other_turn);
		tags[j.n_tags++] = pair;
	}
	if (j.grade < 0 && !(j.note && *j.note) && !j.n_tags)
		return app_usage(self, "--grade 0-5, --over EP.T, --note TEXT or --tag WORD is "
		                       "expected");
	j.as = db_who(as);
	if (!j.as)
		return app_usage(self,
		                 "who judges? --as NAME says it, since the login has no name");
	/* a judgement makes no database: what it judges must be there */
	if (!(s = db_open(&f, STORE_READ, &e)))
		return app_fail(&e);
	rc = other ? same_task(s, &j, other_episode, other_turn, &e) : 0;
	store_close(s);
	if (rc < 0)
		return app_fail(&e);
	f.app.quiet = true; /* its warning was told */
	if (!(s = db_open(&f, STORE_WRITE, &e)))
		return app_fail(&e);
	rc = store_judge(s, &j, &id, &e);
	store_close(s);
	if (rc < 0)
		return app_fail(&e);
	if (f.app.json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "judgement", (double)id);
		cJSON_AddNumberToObject(o, "episode", (double)j.episode);
		cJSON_AddNumberToObject(o, "turn", j.turn);
		json_add_text(o, "as", j.as);
		json_add_figure(o, "grade", j.grade >= 0 ? j.grade : NAN);
		show_json_line(o);
		cJSON_Delete(o);
	}
	return EXIT_DONE;
}

const struct cmd cmd_judge = {
	.name = "judge",
	.usage = "judge EP.T [--grade 0-5] [--over EP.T] [--note TEXT] [--tag WORD]... [--as NAME] "
		 "| judge pairs",
	.summary = "grade a turn; list what was preferred to what",
	.help = "  EP.T              the turn\n"
		"  pairs             pairs of turns that one judge graded differently on one task,\n"
		"                    or preferred, and whether the reward agrees; --task ID,\n"
		"                    --as NAME\n"
		"  --grade N         0 (of no use) to 5 (as an engineer would draw it)\n"
		"  --over EP.T       it is better than that turn of the same task; --level EP.T: as\n"
		"                    good as it\n"
		"  --withdraw        takes back one's last judgement of the turn\n"
		"  --note TEXT       why\n"
		"  --tag WORD        may be repeated\n"
		"  --as NAME         who judges (the login's name)\n" DB_HELP
		"\nJudgements are added, never replaced; the last grade of a judge counts.\n",
	.run = run_judge,
};
