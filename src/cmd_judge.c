/*
 * cmd_judge.c - what people think of a turn, how far they agree with each other, and how far the
 * reward agrees with them.
 */
#include <inttypes.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/agreement.h"
#include "src/base/utf8.h"
#include "src/db.h"
#include "src/show.h"

/* Who one is: --as, else the login's name. */
static const char *who(const char *flag)
{
	const char *env = getenv("USER");
	const struct passwd *p;

	if (flag)
		return flag;
	if (env && *env)
		return env;
	p = getpwuid(geteuid());
	return p && p->pw_name && *p->pw_name ? p->pw_name : NULL;
}

/* ---- all judgements of a database ---- */

struct row {
	char *as, *task, *note, *tags;
	int64_t id, episode, time_us;
	int turn, grade;
	double total;
};

struct rows {
	struct row *v;
	size_t n, cap;
	bool failed;
};

static int keep_row(void *ctx, const struct store_judgement *j)
{
	struct rows *r = ctx;

	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		struct row *more = realloc(r->v, cap * sizeof(*more));
		if (!more) {
			r->failed = true;
			return 1;
		}
		r->v = more;
		r->cap = cap;
	}
	r->v[r->n++] = (struct row){ .as = strdup(j->as),
		                     .task = strdup(j->task),
		                     .note = j->note ? strdup(j->note) : NULL,
		                     .tags = j->tags ? strdup(j->tags) : NULL,
		                     .id = j->id,
		                     .episode = j->episode,
		                     .time_us = j->time_us,
		                     .turn = j->turn,
		                     .grade = j->grade,
		                     .total = j->total };
	r->failed = r->failed || !r->v[r->n - 1].as || !r->v[r->n - 1].task;
	return r->failed;
}

static void rows_release(struct rows *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].as);
		free(r->v[i].task);
		free(r->v[i].note);
		free(r->v[i].tags);
	}
	free(r->v);
}

/* A number for a name: the index of the first row that has it. */
static int number_of(const struct rows *r, const char *name, bool task)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(task ? r->v[i].task : r->v[i].as, name) == 0)
			return (int)i;
	return -1;
}

/* The grades in force; NULL: out of memory. Caller frees. */
static struct graded *grades_of(const struct rows *r, size_t *n)
{
	struct graded *v = calloc(r->n + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; v && i < r->n; i++) {
		const struct row *x = &r->v[i];
		if (x->grade < 0)
			continue;
		v[(*n)++] = (struct graded){ .turn = x->episode << 20 | x->turn,
			                     .task = number_of(r, x->task, true),
			                     .judge = number_of(r, x->as, false),
			                     .grade = x->grade,
			                     .total = x->total };
	}
	if (v)
		*n = graded_in_force(v, *n);
	return v;
}

static cJSON *agreement_json(const struct agreement *a)
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
	return o;
}

static void print_agreement(const struct agreement *a)
{
	printf("%d grade%s in force by %d judge%s", a->grades, a->grades == 1 ? "" : "s", a->judges,
	       a->judges == 1 ? "" : "s");
	if (a->pairs) {
		printf("; %d turn%s graded by two or more: %.0f %% the same, %.0f %% within one, "
		       "%.2f apart on average",
		       a->turns, a->turns == 1 ? "" : "s", 100 * a->exact, 100 * a->within_one,
		       a->mean_difference);
		if (!isnan(a->alpha))
			printf(", Krippendorff's alpha %.2f", a->alpha);
	}
	putchar('\n');
	if (a->reward_pairs)
		printf("of %lld pair%s of turns that a judge graded differently, the reward puts "
		       "%.0f %% in the same order\n",
		       a->reward_pairs, a->reward_pairs == 1 ? "" : "s", 100 * a->reward_agrees);
}

static int collect(const struct db_flags *f, int64_t episode, int turn, const char *as,
                   struct rows *r, struct err *e)
{
	struct store *s = db_open(f, STORE_READ, e);
	int rc;

	if (!s)
		return -1;
	rc = store_judgements(s, episode, turn, f->filter.task, as, keep_row, r, e);
	store_close(s);
	if (rc == 0 && r->failed)
		rc = err_set(e, ERR_MEM, "out of memory for %zu judgements", r->n);
	return rc;
}

/* ---- judgements ---- */

static void print_row(const struct row *x, bool json)
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
	struct rows r = { 0 };
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
		size_t n;
		struct graded *v = grades_of(&r, &n);
		for (size_t i = 0; i < r.n; i++)
			print_row(&r.v[i], f.app.json);
		if (v) {
			agreement_of(v, n, &a);
			if (f.app.json) {
				cJSON *o = cJSON_CreateObject();
				cJSON_AddItemToObject(o, "agreement", agreement_json(&a));
				show_json_line(o);
				cJSON_Delete(o);
			} else if (r.n) {
				print_agreement(&a);
			} else if (!f.app.quiet) {
				fputs("nothing was judged yet\n", stderr);
			}
		}
		free(v);
	}
	rows_release(&r);
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
		"mean_difference, alpha, reward_pairs,\nreward_agrees}}. Of several grades by one "
		"judge on one turn the last is in force.\n",
	.run = run_judgements,
};

/* ---- judge ---- */

struct pair {
	const struct row *better, *worse;
};

/* The pairs of turns that one judge graded differently on the same task: what a preference is. */
static int judge_pairs(const struct db_flags *f, const char *as)
{
	struct rows r = { 0 };
	struct err e = { 0 };
	struct agreement a;
	size_t n = 0;
	int rc = collect(f, 0, 0, as, &r, &e);

	if (rc < 0) {
		rows_release(&r);
		return app_fail(&e);
	}
	/* the last grade of each judge on each turn */
	const struct row **last = calloc(r.n + 1, sizeof(*last));
	struct graded *v = grades_of(&r, &n);
	size_t kept = 0;
	for (size_t i = 0; last && i < r.n; i++) {
		bool later = false;
		if (r.v[i].grade < 0)
			continue;
		for (size_t k = i + 1; k < r.n && !later; k++)
			later = r.v[k].grade >= 0 && r.v[k].episode == r.v[i].episode &&
			        r.v[k].turn == r.v[i].turn && strcmp(r.v[k].as, r.v[i].as) == 0;
		if (!later)
			last[kept++] = &r.v[i];
	}
	for (size_t i = 0; i < kept && !app_interrupted(); i++)
		for (size_t k = i + 1; k < kept; k++) {
			const struct row *x = last[i], *y = last[k];
			if (x->grade == y->grade || strcmp(x->as, y->as) != 0 ||
			    strcmp(x->task, y->task) != 0)
				continue;
			if (x->grade < y->grade) {
				const struct row *swap = x;
				x = y;
				y = swap;
			}
			bool known = !isnan(x->total) && !isnan(y->total);
			if (f->app.json) {
				cJSON *o = cJSON_CreateObject();
				char ref[64];
				json_add_text(o, "task", x->task);
				json_add_text(o, "as", x->as);
				snprintf(ref, sizeof(ref), "%" PRId64 ".%d", x->episode, x->turn);
				json_add_text(o, "better", ref);
				snprintf(ref, sizeof(ref), "%" PRId64 ".%d", y->episode, y->turn);
				json_add_text(o, "worse", ref);
				cJSON_AddNumberToObject(o, "grade_better", x->grade);
				cJSON_AddNumberToObject(o, "grade_worse", y->grade);
				json_add_figure(o, "total_better", x->total);
				json_add_figure(o, "total_worse", y->total);
				if (known)
					cJSON_AddBoolToObject(o, "reward_agrees",
					                      x->total > y->total);
				else
					cJSON_AddNullToObject(o, "reward_agrees");
				show_json_line(o);
				cJSON_Delete(o);
				continue;
			}
			printf("%-32s  %" PRId64 ".%d over %" PRId64 ".%d  (%d, %d of 5, by ",
			       x->task, x->episode, x->turn, y->episode, y->turn, x->grade,
			       y->grade);
			db_print_line(stdout, x->as);
			fputs(")  ", stdout);
			if (known)
				printf("reward %.3f, %.3f%s\n", x->total, y->total,
				       x->total > y->total ? "" : "  <- against the judge");
			else
				puts("reward -");
		}
	if (v) {
		agreement_of(v, n, &a);
		if (f->app.json) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddItemToObject(o, "agreement", agreement_json(&a));
			show_json_line(o);
			cJSON_Delete(o);
		} else if (a.reward_pairs) {
			print_agreement(&a);
		} else if (!f->app.quiet) {
			fputs("no judge has graded two turns of one task differently yet\n",
			      stderr);
		}
	}
	free(v);
	free(last);
	rows_release(&r);
	return app_interrupted() ? EXIT_INTERRUPTED : EXIT_DONE;
}

static int run_judge(const struct cmd *self, int argc, char **argv)
{
	enum { GRADE = DB_FLAGS_END, NOTE, TAG, AS, TAGS_MAX = 32 };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "grade", required_argument, NULL, GRADE },
		                                 { "note", required_argument, NULL, NOTE },
		                                 { "tag", required_argument, NULL, TAG },
		                                 { "as", required_argument, NULL, AS },
		                                 { "task", required_argument, NULL, DB_TASK },
		                                 { NULL, 0, NULL, 0 } };
	const char *tags[TAGS_MAX], *as = NULL;
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
			if (j.n_tags == TAGS_MAX)
				return app_usage(self, "at most %d tags", TAGS_MAX);
			tags[j.n_tags++] = optarg;
			break;
		case AS:
			as = optarg;
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
		if (j.grade >= 0 || j.note || j.n_tags)
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
	if (j.grade < 0 && !(j.note && *j.note) && !j.n_tags)
		return app_usage(self, "--grade 0-5, --note TEXT or --tag WORD is expected");
	j.as = who(as);
	if (!j.as)
		return app_usage(self,
		                 "who judges? --as NAME says it, since the login has no name");
	/* a judgement makes no database: what it judges must be there */
	if (!(s = db_open(&f, STORE_READ, &e)))
		return app_fail(&e);
	store_close(s);
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
	.usage = "judge EP.T [--grade 0-5] [--note TEXT] [--tag WORD]... [--as NAME] | judge pairs",
	.summary = "grade a turn; list what was preferred to what",
	.help = "  EP.T              the turn\n"
		"  pairs             pairs of turns that one judge graded differently on one task,\n"
		"                    and whether the reward agrees; --task ID, --as NAME\n"
		"  --grade N         0 (of no use) to 5 (as an engineer would draw it)\n"
		"  --note TEXT       why\n"
		"  --tag WORD        may be repeated\n"
		"  --as NAME         who judges (the login's name)\n" DB_HELP
		"\nJudgements are added, never replaced; the last grade of a judge counts.\n",
	.run = run_judge,
};
