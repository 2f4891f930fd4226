/*
 * cmd_episodes.c - what is in the database: a list of episodes, one of them or one turn, words
 * found, two turns beside each other.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/linediff.h"
#include "src/base/utf8.h"
#include "src/db.h"
#include "src/show.h"

/* ---- episodes ---- */

struct list {
	bool json;
	int rows;
	int64_t last;
};

static int list_row(void *ctx, const struct store_episode *x)
{
	struct list *l = ctx;
	char when[32], total[32], best[64];

	if (app_interrupted())
		return 1;
	l->last = x->id;
	if (l->json) {
		cJSON *o = db_episode_json(x);
		struct buf b = { 0 };
		json_print(&b, o);
		buf_addc(&b, '\n');
		fwrite(buf_str(&b), 1, b.len, stdout);
		buf_release(&b);
		cJSON_Delete(o);
		l->rows++;
		return ferror(stdout);
	}
	if (l->rows++ == 0)
		printf("%6s  %-16s  %5s  %6s %-7s  %-26s  %-32s  %s\n", "EP", "BEGUN", "TURNS",
		       "BEST", "OF", "LAST", "TASK", "BY");
	store_local_time(when, sizeof(when), x->created_us);
	db_total(total, sizeof(total), x->best_total);
	snprintf(best, sizeof(best), "turn %d", x->best);
	printf("%6" PRId64 "  %.16s  %5d  %6s %-7s  %-26s  ", x->id, when, x->turns, total,
	       x->best ? best : "", x->last_class ? x->last_class : "-");
	printf("%-32s  ", x->task);
	db_print_line(stdout, x->model ? x->model : x->source);
	if (x->adapter) {
		fputs(" + ", stdout);
		db_print_line(stdout, x->adapter);
	}
	putchar('\n');
	return ferror(stdout);
}

static int run_episodes(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 DB_FILTER_OPTIONS,
		                                 { NULL, 0, NULL, 0 } };
	struct list l = { 0 };
	struct db_flags f;
	struct err e = { 0 };
	struct store *s;
	bool more = false;
	int opt, rc;

	db_flags_init(&f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = db_flag(&f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 0)
			return app_bad_flag(self, opt, argv);
	}
	if (optind < argc)
		return app_usage(self,
		                 "episodes takes no argument, got '%.60s'; 'cadforge show' "
		                 "shows one",
		                 argv[optind]);
	app_catch_interrupt();
	if (!(s = db_open(&f, STORE_READ, &e)))
		return app_fail(&e);
	l.json = f.app.json;
	rc = store_episodes(s, &f.filter, f.after, f.limit ? f.limit : INT_MAX - 1, list_row, &l,
	                    &more, &e);
	store_close(s);
	if (rc < 0)
		return app_fail(&e);
	if (app_interrupted())
		return EXIT_INTERRUPTED;
	if (!f.app.quiet && more)
		fprintf(stderr, "more: --after %" PRId64 "\n", l.last);
	if (!f.app.quiet && !l.json && l.rows == 0)
		fputs("no episode fits\n", stderr);
	return EXIT_DONE;
}

const struct cmd cmd_episodes = {
	.name = "episodes",
	.usage =
		"episodes [--task ID] [--class CLASS] [--min X] [--max X] [--since TIME] ... [--json]",
	.summary = "list what is in the database, newest first",
	.help = DB_FILTER_HELP
	"  --limit N         at most N of them (50); 0: all\n"
	"  --after EP        those before episode EP: the next page\n" DB_HELP
	"\nJSON: {episode, task, profile, turns, best, best_total, last_class, "
	"model, adapter, created, ...}.\n",
	.run = run_episodes,
};

/* ---- show ---- */

enum part {
	PART_REWARD = 1,
	PART_CHECKS = 2,
	PART_NOTES = 4,
	PART_CODE = 8,
	PART_LOG = 16,
	PART_PROMPT = 32,
	PART_EVENTS = 64,
	PART_ARTIFACTS = 128,
	PART_COMPLETION = 256,
};

struct show {
	struct db_flags f;
	struct store *s;
	int64_t episode;
	int turn;
	unsigned parts;
	const char *artifact, *out;
	cJSON *json; /* array being filled */
	struct err *e;
	bool best;
	int n, column;
	int best_turn;
};

static int show_artifact_row(void *ctx, const struct store_artifact *a)
{
	struct show *w = ctx;

	if (w->json) {
		cJSON *o = cJSON_CreateObject();
		json_add_text(o, "name", a->name);
		json_add_text(o, "kind", a->kind);
		json_add_text(o, "hash", a->hash);
		cJSON_AddNumberToObject(o, "bytes", (double)a->bytes);
		json_add_text(o, "state", a->there ? "there" : a->pruned ? "pruned" : "missing");
		cJSON_AddItemToArray(w->json, o);
		return 0;
	}
	if (w->n++ == 0)
		fputs("artifacts\n", stdout);
	printf("  %-18s %-10s %10" PRId64 " bytes%s\n", a->name, a->kind, a->bytes,
	       a->there    ? ""
	       : a->pruned ? "  pruned"
	                   : "  MISSING");
	return 0;
}

static int show_event_row(void *ctx, const struct store_event *x)
{
	struct show *w = ctx;
	char when[40];

	if (w->json) {
		cJSON *o = cJSON_CreateObject();
		store_utc_time(when, sizeof(when), x->time_us);
		cJSON_AddNumberToObject(o, "number", x->number);
		json_add_figure(o, "turn", x->turn ? x->turn : NAN);
		json_add_text(o, "time", when);
		json_add_text(o, "kind", x->kind);
		json_add_text(o, "data", x->data);
		cJSON_AddItemToArray(w->json, o);
		return 0;
	}
	if (w->n++ == 0)
		fputs("events\n", stdout);
	store_local_time(when, sizeof(when), x->time_us);
	printf("  %s.%03d  %-10s ", when, (int)(x->time_us % 1000000 / 1000), x->kind);
	if (x->data)
		db_print_line(stdout, x->data);
	putchar('\n');
	return 0;
}

static int show_judgement_row(void *ctx, const struct store_judgement *j)
{
	struct show *w = ctx;
	char when[32];

	if (w->json) {
		cJSON_AddItemToArray(w->json, db_judgement_json(j));
		return 0;
	}
	if (w->n++ == 0)
		fputs("judgements\n", stdout);
	store_local_time(when, sizeof(when), j->time_us);
	printf("  %s  turn %d by ", when, j->turn);
	db_print_line(stdout, j->as);
	if (j->grade >= 0)
		printf(": %d of 5", j->grade);
	if (j->tags)
		printf(" [%s]", j->tags);
	if (j->note) {
		fputs(" - ", stdout);
		db_print_line(stdout, j->note);
	}
	putchar('\n');
	return 0;
}

static int show_note_row(void *ctx, int number, const char *text)
{
	struct show *w = ctx;

	(void)number;
	if (w->n++ == 0)
		fputs("notes\n", stdout);
	fputs("  - ", stdout);
	db_print_line(stdout, text);
	putchar('\n');
	return 0;
}

static int tree_row(void *ctx, const struct store_turn *t)
{
	struct show *w = ctx;
	char when[32], total[32], delta[32] = "";
	double d = t->total - t->parent_total;

	if (w->json) {
		cJSON_AddItemToArray(w->json, db_turn_json(t));
		return 0;
	}
	if (w->n++ == 0)
		printf("%5s %6s  %7s %7s  %-26s  %-8s  %s\n", "TURN", "PARENT", "TOTAL", "DELTA",
		       "CLASS", "AT", "BY");
	store_local_time(when, sizeof(when), t->committed_us);
	db_total(total, sizeof(total), t->total);
	if (!isnan(d))
		snprintf(delta, sizeof(delta), "%+.3f", d);
	printf("%4d%s ", t->number, t->number == w->best_turn ? "*" : " ");
	if (t->parent)
		printf("%6d  ", t->parent);
	else
		printf("%6s  ", "-");
	printf("%7s %7s  %-26s  %s  ", total, delta, t->class_name ? t->class_name : "-",
	       when + 11);
	db_print_line(stdout, t->model ? t->model : t->source);
	if (t->adapter) {
		fputs(" + ", stdout);
		db_print_line(stdout, t->adapter);
	}
	if (t->member)
		printf(" (member %d of its group)", t->member);
	if (t->finish && strcmp(t->finish, "stop") != 0)
		printf(" [%s]", t->finish);
	putchar('\n');
	return 0;
}

static int head_row(void *ctx, const struct store_episode *x)
{
	struct show *w = ctx;
	char when[32];

	w->best_turn = x->best;
	if (w->json) {
		cJSON_AddItemToArray(w->json, db_episode_json(x));
		return 0;
	}
	store_local_time(when, sizeof(when), x->created_us);
	printf("episode %" PRId64 "  %s  begun %s  profile %s", x->id, x->task, when, x->profile);
	if (x->prompts)
		printf("  prompts %s", x->prompts);
	printf("  by %s\n", x->source);
	/* run names its episodes so that an export of one is known again */
	if (x->origin && strncmp(x->origin, "run:", 4) != 0) {
		fputs("  came from ", stdout);
		db_print_line(stdout, x->origin);
		putchar('\n');
	}
	putchar('\n');
	return 0;
}

/* The one object that a callback put into an array. */
static cJSON *only(cJSON *array)
{
	cJSON *o = cJSON_DetachItemFromArray(array, 0);

	cJSON_Delete(array);
	return o ? o : cJSON_CreateObject();
}

static int keep_turn(void *ctx, const struct store_turn *t)
{
	struct show *w = ctx;

	cJSON_AddItemToArray(w->json, db_turn_json(t));
	return 0;
}

/* The artifact's text, or NULL when this turn has none of that name. Anything else is an error. */
static char *text_of(struct show *w, int turn, const char *name, size_t *len, bool *fault)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	if (store_artifact(w->s, w->episode, turn, name, &b, &e) < 0) {
		buf_release(&b);
		if (!strstr(e.text, "has no artifact") && !*fault) {
			*w->e = e;
			*fault = true;
		}
		return NULL;
	}
	return buf_take(&b, len);
}

static int show_episode(struct show *w)
{
	cJSON *o = NULL;
	int rc;

	if (!w->f.app.json) {
		if (store_episode(w->s, w->episode, head_row, w, w->e) < 0 ||
		    store_turns(w->s, w->episode, tree_row, w, w->e) < 0)
			return -1;
		if (w->n)
			fputs("      * the best so far\n", stdout);
		w->n = 0;
		rc = store_judgements(w->s, w->episode, 0, NULL, NULL, show_judgement_row, w, w->e);
		w->n = 0;
		if (rc == 0 && w->parts & PART_EVENTS)
			rc = store_events(w->s, w->episode, 0, show_event_row, w, w->e);
		return rc;
	}
	w->json = cJSON_CreateArray();
	rc = store_episode(w->s, w->episode, head_row, w, w->e);
	o = only(w->json);
	if (rc == 0) {
		w->json = cJSON_AddArrayToObject(o, "tree");
		rc = store_turns(w->s, w->episode, tree_row, w, w->e);
	}
	if (rc == 0) {
		w->json = cJSON_AddArrayToObject(o, "judgements");
		rc = store_judgements(w->s, w->episode, 0, NULL, NULL, show_judgement_row, w, w->e);
	}
	if (rc == 0 && w->parts & PART_EVENTS) {
		w->json = cJSON_AddArrayToObject(o, "events");
		rc = store_events(w->s, w->episode, 0, show_event_row, w, w->e);
	}
	if (rc == 0)
		show_json_line(o);
	cJSON_Delete(o);
	return rc;
}

/* Text with a heading; of one part alone, into a file or a pipe, just as it is kept. */
static void print_part(struct show *w, unsigned part, const char *heading, const char *text,
                       size_t len)
{
	if (!(w->parts & part) || !text)
		return;
	if (w->parts == part) {
		if (isatty(STDOUT_FILENO))
			db_print_text(stdout, text, len, "");
		else
			fwrite(text, 1, len, stdout);
		return;
	}
	printf("%s\n", heading);
	db_print_text(stdout, text, len, "    ");
}

static int show_turn_json(struct show *w, cJSON *turn, const char *score, size_t score_len)
{
	static const struct {
		const char *key, *name;
	} texts[] = { { "program", "program.py" },
		      { "log", "build.log" },
		      { "completion", "completion.txt" } };
	struct buf clean = { 0 };
	bool fault = false;
	char *text;
	size_t len;
	int rc;

	if (score)
		cJSON_AddItemToObject(turn, "score", json_parse(score, score_len, NULL));
	text = text_of(w, w->turn, "prompt.json", &len, &fault);
	cJSON *prompt = text ? json_parse(text, len, NULL) : NULL;
	cJSON_AddItemToObject(turn, "prompt", prompt ? prompt : cJSON_CreateNull());
	free(text);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		text = text_of(w, w->turn, texts[i].name, &len, &fault);
		buf_clear(&clean);
		if (text && !utf8_valid(text, len, NULL))
			utf8_clean(&clean, text, len);
		json_add_text(turn, texts[i].key, text && clean.len ? buf_str(&clean) : text);
		free(text);
	}
	buf_release(&clean);
	w->json = cJSON_AddArrayToObject(turn, "artifacts");
	rc = store_artifacts(w->s, w->episode, w->turn, show_artifact_row, w, w->e);
	w->json = cJSON_AddArrayToObject(turn, "judgements");
	if (rc == 0)
		rc = store_judgements(w->s, w->episode, w->turn, NULL, NULL, show_judgement_row, w,
		                      w->e);
	if (rc == 0 && w->parts & PART_EVENTS) {
		w->json = cJSON_AddArrayToObject(turn, "events");
		rc = store_events(w->s, w->episode, w->turn, show_event_row, w, w->e);
	}
	if (rc == 0)
		show_json_line(turn);
	return rc == 0 && fault ? -1 : rc;
}

static void print_messages(struct show *w, const char *text, size_t len)
{
	cJSON *a = text ? json_parse(text, len, NULL) : NULL;
	const cJSON *m;

	if (!cJSON_IsArray(a)) {
		print_part(w, PART_PROMPT, "prompt", text, len);
		cJSON_Delete(a);
		return;
	}
	cJSON_ArrayForEach(m, a)
	{
		const char *said = json_string_or(m, "content", "");
		printf("prompt: %s\n", json_string_or(m, "role", "?"));
		db_print_text(stdout, said, strlen(said), "    ");
	}
	cJSON_Delete(a);
}

static int show_turn(struct show *w)
{
	size_t len, score_len = 0;
	bool fault = false;
	cJSON *turn, *score;
	char *text, *kept;
	int rc;

	w->json = cJSON_CreateArray();
	rc = store_turn(w->s, w->episode, w->turn, keep_turn, w, w->e);
	turn = only(w->json);
	w->json = NULL;
	if (rc < 0) {
		cJSON_Delete(turn);
		return -1;
	}
	kept = text_of(w, w->turn, "reward.json", &score_len, &fault);
	if (w->f.app.json) {
		rc = show_turn_json(w, turn, kept, score_len);
		goto out;
	}
	score = kept ? json_parse(kept, score_len, NULL) : NULL;
	if (!w->parts)
		w->parts = PART_REWARD | PART_CHECKS | PART_CODE | PART_LOG | PART_ARTIFACTS;
	bool whole = (w->parts & (w->parts - 1)) != 0;
	if (whole) {
		char when[32];
		int64_t us = 0;
		store_parse_time(json_string_or(turn, "committed", ""), &us, NULL);
		store_local_time(when, sizeof(when), us);
		printf("turn %" PRId64 ".%d", w->episode, w->turn);
		double parent = json_number_or(turn, "parent", NAN);
		if (!isnan(parent))
			printf("  after turn %.0f", parent);
		printf("  %s  by ", when);
		const char *model = json_string_or(turn, "model", NULL);
		db_print_line(stdout, model ? model : json_string_or(turn, "source", "?"));
		double delta = json_number_or(turn, "delta", NAN);
		if (!isnan(delta))
			printf("  %+.3f", delta);
		putchar('\n');
	}
	if (w->parts == PART_REWARD)
		print_part(w, PART_REWARD, "", kept, score_len);
	else if (score && w->parts & PART_REWARD)
		show_score(stdout, score);
	if (score && w->parts & PART_CHECKS && !(w->parts & PART_REWARD)) {
		const cJSON *c;
		cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(score, "checks"))
		{
			const cJSON *ok = cJSON_GetObjectItemCaseSensitive(c, "ok");
			printf("%s  ", cJSON_IsNull(ok)   ? "none "
			               : cJSON_IsTrue(ok) ? "holds"
			                                  : "FAILS");
			db_print_line(stdout, json_string_or(c, "id", "?"));
			const char *why = json_string_or(c, "why", NULL);
			if (why) {
				fputs(": ", stdout);
				db_print_line(stdout, why);
			}
			putchar('\n');
		}
	}
	w->n = 0;
	/* the score has them already when it is shown */
	if (w->parts & PART_NOTES && !(w->parts & PART_REWARD))
		rc = store_notes(w->s, w->episode, w->turn, show_note_row, w, w->e);
	if (w->parts & PART_PROMPT) {
		text = text_of(w, w->turn, "prompt.json", &len, &fault);
		if (text)
			print_messages(w, text, len);
		free(text);
	}
	static const struct {
		enum part part;
		const char *name, *heading;
	} texts[] = { { PART_COMPLETION, "completion.txt", "completion" },
		      { PART_CODE, "program.py", "program" },
		      { PART_LOG, "build.log", "log" } };
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (!(w->parts & texts[i].part))
			continue;
		text = text_of(w, w->turn, texts[i].name, &len, &fault);
		if (text && (len || !whole))
			print_part(w, texts[i].part, texts[i].heading, text, len);
		free(text);
	}
	w->n = 0;
	if (rc == 0 && w->parts & PART_EVENTS)
		rc = store_events(w->s, w->episode, w->turn, show_event_row, w, w->e);
	w->n = 0;
	if (rc == 0 && w->parts & PART_ARTIFACTS)
		rc = store_artifacts(w->s, w->episode, w->turn, show_artifact_row, w, w->e);
	w->n = 0;
	if (rc == 0 && whole)
		rc = store_judgements(w->s, w->episode, w->turn, NULL, NULL, show_judgement_row, w,
		                      w->e);
	cJSON_Delete(score);
out:
	free(kept);
	cJSON_Delete(turn);
	return rc == 0 && fault ? -1 : rc;
}

static int save_artifact(struct show *w)
{
	struct buf b = { 0 };
	int rc = store_artifact(w->s, w->episode, w->turn, w->artifact, &b, w->e);

	if (rc == 0 && w->out && strcmp(w->out, "-") != 0)
		rc = file_write_atomic(w->out, buf_str(&b), b.len, w->e);
	else if (rc == 0)
		fwrite(buf_str(&b), 1, b.len, stdout);
	buf_release(&b);
	return rc;
}

static int run_show(const struct cmd *self, int argc, char **argv)
{
	enum {
		CODE = DB_FLAGS_END,
		LOG,
		REWARD,
		CHECKS,
		NOTES,
		EVENTS,
		PROMPT,
		COMPLETION,
		LISTED,
		ARTIFACT
	};
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "code", no_argument, NULL, CODE },
		                                 { "log", no_argument, NULL, LOG },
		                                 { "reward", no_argument, NULL, REWARD },
		                                 { "checks", no_argument, NULL, CHECKS },
		                                 { "notes", no_argument, NULL, NOTES },
		                                 { "events", no_argument, NULL, EVENTS },
		                                 { "prompt", no_argument, NULL, PROMPT },
		                                 { "completion", no_argument, NULL, COMPLETION },
		                                 { "artifacts", no_argument, NULL, LISTED },
		                                 { "artifact", required_argument, NULL, ARTIFACT },
		                                 { "out", required_argument, NULL, 'o' },
		                                 { NULL, 0, NULL, 0 } };
	static const unsigned part[] = { PART_CODE,   PART_LOG,        PART_REWARD,
		                         PART_CHECKS, PART_NOTES,      PART_EVENTS,
		                         PART_PROMPT, PART_COMPLETION, PART_ARTIFACTS };
	struct err e = { 0 };
	struct show w = { .e = &e };
	int opt, rc;

	db_flags_init(&w.f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":o:", options, NULL)) >= 0) {
		rc = db_flag(&w.f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt >= CODE && opt <= LISTED)
			w.parts |= part[opt - CODE];
		else if (opt == ARTIFACT)
			w.artifact = optarg;
		else if (opt == 'o')
			w.out = optarg;
		else
			return app_bad_flag(self, opt, argv);
	}
	if (argc - optind != 1)
		return app_usage(self, "one episode (12) or turn (12.3) is expected, got %d",
		                 argc - optind);
	if (store_parse_ref(argv[optind], &w.episode, &w.turn, &e) < 0)
		return app_fail(&e);
	if (w.out && !w.artifact)
		return app_usage(self, "-o says where --artifact NAME goes; there is none");
	if (!w.turn && (w.artifact || w.parts & ~(unsigned)PART_EVENTS))
		return app_usage(self, "a turn is expected for that: %s.1 is the first",
		                 argv[optind]);
	if (w.artifact && !w.out && isatty(STDOUT_FILENO))
		return app_usage(self, "-o FILE is expected: bytes are not for a terminal");
	if (!(w.s = db_open(&w.f, STORE_READ, &e)))
		return app_fail(&e);
	rc = w.artifact ? save_artifact(&w) : w.turn ? show_turn(&w) : show_episode(&w);
	store_close(w.s);
	return rc < 0 ? app_fail(&e) : EXIT_DONE;
}

const struct cmd cmd_show = {
	.name = "show",
	.usage =
		"show EP[.T] [--code] [--log] [--reward] [--checks] ... [--artifact NAME -o FILE] [--json]",
	.summary = "show an episode, or one of its turns",
	.help = "  EP                an episode: its turns as a tree, its judgements\n"
		"  EP.T              a turn: score, checks, program, log, artifacts\n"
		"  --code, --log, --reward, --checks, --notes, --prompt, --completion, --artifacts\n"
		"                    of a turn only these; one alone goes out just as it is kept\n"
		"  --events          all that happened, with times; of an episode or a turn\n"
		"  --artifact NAME   one artifact, e.g. shape.step, sheet.png\n"
		"  -o, --out FILE    where it goes; - is standard output\n" DB_HELP,
	.run = run_show,
};

/* ---- search ---- */

struct search {
	bool json, colour;
	int rows;
	int64_t last;
};

static int hit_row(void *ctx, const struct store_hit *h)
{
	struct search *w = ctx;
	char total[32];

	w->last = h->turn_id;
	w->rows++;
	if (w->json) {
		cJSON *o = cJSON_CreateObject(), *matches;
		struct buf text = { 0 };
		cJSON_AddNumberToObject(o, "episode", (double)h->episode);
		cJSON_AddNumberToObject(o, "turn", h->turn);
		json_add_text(o, "task", h->task);
		json_add_figure(o, "total", h->total);
		json_add_text(o, "class", h->class_name);
		json_add_text(o, "where", h->where);
		for (const char *p = h->excerpt; *p; p++)
			if (*p != 2 && *p != 3)
				buf_addc(&text, *p);
		json_add_text(o, "excerpt", buf_str(&text));
		matches = cJSON_AddArrayToObject(o, "matches");
		for (const char *p = h->excerpt; (p = strchr(p, 2)); p++) {
			size_t n = strcspn(p + 1, "\x03");
			char *match = strndup(p + 1, n);
			if (match)
				cJSON_AddItemToArray(matches, cJSON_CreateString(match));
			free(match);
		}
		cJSON_AddNumberToObject(o, "after", (double)h->turn_id);
		show_json_line(o);
		buf_release(&text);
		cJSON_Delete(o);
		return ferror(stdout);
	}
	db_total(total, sizeof(total), h->total);
	printf("%" PRId64 ".%d  %s  %s  %s\n    %s: ", h->episode, h->turn, h->task, total,
	       h->class_name ? h->class_name : "-", h->where);
	for (const char *p = h->excerpt; *p; p++) {
		if (*p == 2 || *p == 3)
			fputs(!w->colour ? "" : *p == 2 ? "\x1b[1m" : "\x1b[0m", stdout);
		else
			putchar(*p);
	}
	putchar('\n');
	return ferror(stdout);
}

static int run_search(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 DB_FILTER_OPTIONS,
		                                 { NULL, 0, NULL, 0 } };
	struct buf query = { 0 };
	struct search w = { 0 };
	struct db_flags f;
	struct err e = { 0 };
	struct store *s;
	bool more = false;
	int opt, rc;

	db_flags_init(&f);
	f.limit = 20;
	opterr = 0;
	/* "+": what comes after the first word is words, so that -word means what it says */
	while ((opt = getopt_long(argc, argv, "+:", options, NULL)) >= 0) {
		rc = db_flag(&f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 0)
			return app_bad_flag(self, opt, argv);
	}
	if (optind == argc)
		return app_usage(self, "words to search for are expected");
	for (int i = optind; i < argc; i++)
		buf_printf(&query, "%s%s", query.len ? " " : "", argv[i]);
	if (!(s = db_open(&f, STORE_READ, &e))) {
		buf_release(&query);
		return app_fail(&e);
	}
	w.json = f.app.json;
	w.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	rc = store_search(s, buf_str(&query), &f.filter, f.after, f.limit ? f.limit : INT_MAX - 1,
	                  hit_row, &w, &more, &e);
	store_close(s);
	buf_release(&query);
	if (rc < 0)
		return app_fail(&e);
	if (!f.app.quiet && more)
		fprintf(stderr, "more: --after %" PRId64 "\n", w.last);
	if (!f.app.quiet && !w.json && w.rows == 0)
		fputs("found nowhere\n", stderr);
	return w.rows ? EXIT_DONE : EXIT_NO;
}

const struct cmd cmd_search = {
	.name = "search",
	.usage = "search [--task ID] [--class CLASS] ... [--json] WORD...",
	.summary = "find words in prompts, programs, logs, notes and judgements, newest first",
	.help = "  WORD...           all of them in one turn; \"a phrase\" in quotes of its own, word*\n"
		"                    for a beginning, -word for what must not be there, program:word\n"
		"                    (prompt, log, notes, judgement) for one place\n" DB_FILTER_HELP
		"  --limit N         at most N turns (20); 0: all\n"
		"  --after N         the next page, as the page before said\n" DB_HELP
		"\nFlags come before the words. Exit status 1 when nothing was found.\n",
	.run = run_search,
};

/* ---- diff ---- */

struct side {
	int64_t episode;
	int turn;
	cJSON *row, *score;
	char *program;
	size_t len;
	char name[64];
};

static int best_of(void *ctx, const struct store_episode *x)
{
	struct show *w = ctx;

	w->best_turn = x->best ? x->best : x->turns;
	return 0;
}

static int read_side(struct show *w, struct side *d)
{
	bool fault = false;
	size_t len = 0;
	char *score;

	w->episode = d->episode;
	if (!d->turn) {
		if (store_episode(w->s, d->episode, best_of, w, w->e) < 0)
			return -1;
		d->turn = w->best_turn ? w->best_turn : 1;
	}
	w->json = cJSON_CreateArray();
	int rc = store_turn(w->s, d->episode, d->turn, keep_turn, w, w->e);
	d->row = only(w->json);
	if (rc < 0)
		return -1;
	score = text_of(w, d->turn, "reward.json", &len, &fault);
	d->score = score ? json_parse(score, len, NULL) : NULL;
	free(score);
	d->program = text_of(w, d->turn, "program.py", &d->len, &fault);
	if (!d->program && !fault) /* an answer without a program */
		d->program = strdup("");
	snprintf(d->name, sizeof(d->name), "%" PRId64 ".%d", d->episode, d->turn);
	return fault ? -1 : 0;
}

static const cJSON *check_of(const cJSON *score, const char *id)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(
				      score, "checks")) if (strcmp(json_string_or(c, "id", ""),
	                                                           id) == 0) return c;
	return NULL;
}

static double share_of(const cJSON *check)
{
	return json_number_or(check, "score", NAN);
}

static void figure_line(const char *name, double a, double b)
{
	char left[32], right[32];

	db_total(left, sizeof(left), a);
	db_total(right, sizeof(right), b);
	printf("  %-21s %7s %7s", name, left, right);
	if (!isnan(b - a) && fabs(b - a) >= 0.0005)
		printf("  %+.3f", b - a);
	putchar('\n');
}

/* Checks whose score differs, by the order of B, then those that only A has. */
static void print_checks(const struct side *a, const struct side *b, cJSON *out)
{
	for (int pass = 0; pass < 2; pass++) {
		const struct side *here = pass ? a : b, *there = pass ? b : a;
		const cJSON *c;
		cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(here->score, "checks"))
		{
			const char *id = json_string_or(c, "id", "?");
			const cJSON *other = check_of(there->score, id);
			if (pass && other)
				continue;
			double x = share_of(pass ? c : other), y = share_of(pass ? other : c);
			if (!isnan(x) && !isnan(y) && fabs(x - y) < 0.0005)
				continue;
			if (out) {
				cJSON *o = cJSON_CreateObject();
				json_add_text(o, "id", id);
				json_add_figure(o, "a", x);
				json_add_figure(o, "b", y);
				json_add_text(o, "why", json_string_or(c, "why", NULL));
				cJSON_AddItemToArray(out, o);
				continue;
			}
			fputs("  check ", stdout);
			figure_line(id, x, y);
			const char *why = json_string_or(c, "why", NULL);
			if (why && !pass && !(y >= 1)) {
				fputs("      ", stdout);
				db_print_line(stdout, why);
				putchar('\n');
			}
		}
	}
}

static int diff_json(const struct side *a, const struct side *b, const char *diff)
{
	cJSON *o = cJSON_CreateObject(), *delta = NULL, *terms;
	const cJSON *ta = cJSON_GetObjectItemCaseSensitive(a->row, "terms");
	const cJSON *tb = cJSON_GetObjectItemCaseSensitive(b->row, "terms");

	cJSON_AddItemReferenceToObject(o, "a", a->row);
	cJSON_AddItemReferenceToObject(o, "b", b->row);
	delta = cJSON_AddObjectToObject(o, "delta");
	json_add_figure(delta, "total",
	                json_number_or(b->row, "total", NAN) -
	                        json_number_or(a->row, "total", NAN));
	terms = cJSON_AddObjectToObject(delta, "terms");
	for (int i = 0; i < STORE_TERMS; i++)
		json_add_figure(terms, store_term_names[i],
		                json_number_or(tb, store_term_names[i], NAN) -
		                        json_number_or(ta, store_term_names[i], NAN));
	print_checks(a, b, cJSON_AddArrayToObject(o, "checks"));
	json_add_text(o, "diff", diff);
	show_json_line(o);
	cJSON_Delete(o);
	return 0;
}

static int parent_of(void *ctx, const struct store_turn *t)
{
	*(int *)ctx = t->parent;
	return 0;
}

static int run_diff(const struct cmd *self, int argc, char **argv)
{
	enum { CONTEXT = DB_FLAGS_END };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "context", required_argument, NULL, 'U' },
		                                 { NULL, 0, NULL, 0 } };
	struct side a = { 0 }, b = { 0 };
	struct err e = { 0 };
	struct show w = { .e = &e };
	struct buf diff = { 0 }, clean_a = { 0 }, clean_b = { 0 };
	struct linediff lines = { 0 };
	int opt, rc, context = 3;

	db_flags_init(&w.f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":U:", options, NULL)) >= 0) {
		rc = db_flag(&w.f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt != 'U')
			return app_bad_flag(self, opt, argv);
		if (app_whole("--context", optarg, 0, 100000, &context) < 0)
			return EXIT_USAGE;
	}
	if (argc - optind != 1 && argc - optind != 2)
		return app_usage(self,
		                 "two turns are expected, or one to be set beside its parent");
	if (store_parse_ref(argv[optind], &a.episode, &a.turn, &e) < 0 ||
	    (argc - optind == 2 && store_parse_ref(argv[optind + 1], &b.episode, &b.turn, &e) < 0))
		return app_fail(&e);
	if (argc - optind == 1 && !a.turn)
		return app_usage(self, "of one argument a turn is expected: %s.2", argv[optind]);
	if (!(w.s = db_open(&w.f, STORE_READ, &e)))
		return app_fail(&e);
	rc = 0;
	if (!b.episode) {
		b = a;
		rc = store_turn(w.s, b.episode, b.turn, parent_of, &a.turn, &e);
		if (rc == 0 && !a.turn)
			rc = err_set(&e, ERR_USAGE,
			             "turn %" PRId64 ".%d has no parent: name the turn to set it "
			             "beside",
			             b.episode, b.turn);
	}
	if (rc == 0)
		rc = read_side(&w, &a) < 0 || read_side(&w, &b) < 0 ? -1 : 0;
	store_close(w.s);
	if (rc == 0) {
		utf8_clean(&clean_a, a.program, a.len);
		utf8_clean(&clean_b, b.program, b.len);
		rc = linediff(&diff, buf_str(&clean_a), clean_a.len, a.name, buf_str(&clean_b),
		              clean_b.len, b.name, context, &lines, &e);
	}
	if (rc == 0 && w.f.app.json) {
		rc = diff_json(&a, &b, buf_str(&diff));
	} else if (rc == 0) {
		const cJSON *ta = cJSON_GetObjectItemCaseSensitive(a.row, "terms");
		const cJSON *tb = cJSON_GetObjectItemCaseSensitive(b.row, "terms");
		printf("  %-21s %7s %7s\n", "", a.name, b.name);
		figure_line("total", json_number_or(a.row, "total", NAN),
		            json_number_or(b.row, "total", NAN));
		for (int i = 0; i < STORE_TERMS; i++) {
			double x = json_number_or(ta, store_term_names[i], NAN);
			double y = json_number_or(tb, store_term_names[i], NAN);
			if (!isnan(x) || !isnan(y))
				figure_line(store_term_names[i], x, y);
		}
		const char *ca = json_string_or(a.row, "class", "-");
		const char *cb = json_string_or(b.row, "class", "-");
		if (strcmp(ca, cb) != 0)
			printf("  class                 %s -> %s\n", ca, cb);
		print_checks(&a, &b, NULL);
		putchar('\n');
		if (diff.len)
			fwrite(diff.data, 1, diff.len, stdout);
		else
			puts("the programs are equal");
	}
	for (int i = 0; i < 2; i++) {
		struct side *d = i ? &b : &a;
		cJSON_Delete(d->row);
		cJSON_Delete(d->score);
		free(d->program);
	}
	buf_release(&diff);
	buf_release(&clean_a);
	buf_release(&clean_b);
	return rc < 0 ? app_fail(&e) : EXIT_DONE;
}

const struct cmd cmd_diff = {
	.name = "diff",
	.usage = "diff A [B] [-U N] [--json]",
	.summary = "set two turns beside each other: reward, checks, program",
	.help = "  A, B              turns (12.3) or episodes (12: the best turn); one turn alone is\n"
		"                    set beside its parent\n"
		"  -U, --context N   lines about each change (3)\n" DB_HELP
		"\nJSON: {a, b, delta {total, terms}, checks [{id, a, b, why}], diff}.\n",
	.run = run_diff,
};
