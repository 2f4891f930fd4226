#include "src/db.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/utf8.h"

void db_flags_init(struct db_flags *f)
{
	memset(f, 0, sizeof(*f));
	app_init(&f->app);
	f->filter = store_filter_none();
	f->limit = 50;
}

int db_flag(struct db_flags *f, const struct cmd *self, int opt, const char *arg)
{
	struct err e = { 0 };
	int turn;
	int rc = app_flag(&f->app, self, opt, arg);

	if (rc)
		return rc;
	switch (opt) {
	case DB_FILE:
		f->db = arg;
		return 1;
	case DB_TASK:
		f->filter.task = arg;
		return 1;
	case DB_CLASS: {
		struct buf names = { 0 };
		for (int i = 0; i < CLASS_COUNT; i++) {
			if (strcmp(arg, build_class_name((enum build_class)i)) == 0) {
				buf_release(&names);
				f->filter.class_name = arg;
				return 1;
			}
			buf_printf(&names, "%s%s", i ? ", " : "",
			           build_class_name((enum build_class)i));
		}
		app_tell("--class: one of %s was expected, got '%.60s'", buf_str(&names), arg);
		buf_release(&names);
		return -1;
	}
	case DB_MIN:
		return app_number("--min", arg, -1, 1, &f->filter.min) < 0 ? -1 : 1;
	case DB_MAX:
		return app_number("--max", arg, -1, 1, &f->filter.max) < 0 ? -1 : 1;
	case DB_MODEL:
		f->filter.model = arg;
		return 1;
	case DB_ADAPTER:
		f->filter.adapter = arg;
		return 1;
	case DB_SINCE:
		if (store_parse_time(arg, &f->filter.since_us, &e) < 0) {
			app_tell("--since: %s", e.text);
			return -1;
		}
		return 1;
	case DB_LIMIT:
		return app_whole("--limit", arg, 0, INT_MAX - 1, &f->limit) < 0 ? -1 : 1;
	case DB_AFTER:
		if (store_parse_ref(arg, &f->after, &turn, &e) < 0 || turn) {
			app_tell("--after: the number that the page before ended with was "
			         "expected, got '%.60s'",
			         arg);
			return -1;
		}
		return 1;
	default:
		return 0;
	}
}

struct store *db_open(const struct db_flags *f, enum store_mode mode, struct err *e)
{
	char path[PATH_MAX];
	struct store *s;

	if (store_path(path, sizeof(path), f->db, e) < 0)
		return NULL;
	s = store_open(path, mode, NULL, e);
	if (s && store_warning(s) && !f->app.quiet) {
		const char *p = store_warning(s);
		while (*p) {
			int n = (int)strcspn(p, "\n");
			app_tell("%.*s", n, p);
			p += n + (p[n] == '\n');
		}
	}
	return s;
}

const char *db_who(const char *flag)
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

static void add_time(cJSON *o, const char *key, int64_t us)
{
	char text[40];

	store_utc_time(text, sizeof(text), us);
	json_add_text(o, key, text);
}

static void add_count(cJSON *o, const char *key, int64_t v, int64_t none)
{
	json_add_figure(o, key, v == none ? NAN : (double)v);
}

/* JSON kept as text, as JSON again. */
static void add_object(cJSON *o, const char *key, const char *text)
{
	cJSON *v = text ? json_parse(text, strlen(text), NULL) : NULL;

	if (v)
		cJSON_AddItemToObject(o, key, v);
	else
		json_add_text(o, key, text);
}

cJSON *db_episode_json(const struct store_episode *x)
{
	cJSON *o = cJSON_CreateObject();

	add_count(o, "episode", x->id, 0);
	json_add_text(o, "task", x->task);
	json_add_text(o, "pack", x->pack);
	json_add_text(o, "task_hash", x->task_hash);
	json_add_text(o, "profile", x->profile);
	json_add_text(o, "profile_hash", x->profile_hash);
	json_add_text(o, "prompts", x->prompts);
	json_add_text(o, "prompts_hash", x->prompts_hash);
	json_add_text(o, "source", x->source);
	json_add_text(o, "origin", x->origin);
	add_count(o, "run", x->run, 0);
	add_count(o, "session", x->session, 0);
	add_time(o, "created", x->created_us);
	add_time(o, "last", x->last_us);
	cJSON_AddNumberToObject(o, "turns", x->turns);
	add_count(o, "best", x->best, 0);
	json_add_figure(o, "best_total", x->best_total);
	if (x->best)
		cJSON_AddBoolToObject(o, "best_built", x->best_built);
	else
		cJSON_AddNullToObject(o, "best_built");
	json_add_text(o, "last_class", x->last_class);
	json_add_text(o, "model", x->model);
	json_add_text(o, "adapter", x->adapter);
	add_object(o, "settings", x->settings);
	return o;
}

cJSON *db_turn_json(const struct store_turn *t)
{
	cJSON *o = cJSON_CreateObject(), *terms;

	add_count(o, "episode", t->episode, 0);
	cJSON_AddNumberToObject(o, "turn", t->number);
	add_count(o, "parent", t->parent, 0);
	add_count(o, "member", t->member, 0);
	json_add_text(o, "source", t->source);
	json_add_text(o, "model", t->model);
	json_add_text(o, "model_hash", t->model_hash);
	json_add_text(o, "adapter", t->adapter);
	json_add_text(o, "adapter_hash", t->adapter_hash);
	json_add_text(o, "backend", t->backend);
	add_object(o, "sampling", t->sampling);
	json_add_text(o, "finish", t->finish);
	add_count(o, "prompt_tokens", t->prompt_tokens, -1);
	add_count(o, "completion_tokens", t->completion_tokens, -1);
	add_time(o, "started", t->started_us);
	add_time(o, "committed", t->committed_us);
	cJSON_AddBoolToObject(o, "built", t->built);
	json_add_text(o, "class", t->class_name);
	json_add_figure(o, "total", t->total);
	json_add_figure(o, "delta", t->total - t->parent_total);
	terms = cJSON_AddObjectToObject(o, "terms");
	for (int i = 0; i < STORE_TERMS; i++)
		json_add_figure(terms, store_term_names[i], t->terms[i]);
	json_add_text(o, "hash", t->hash);
	json_add_text(o, "previous", t->previous);
	return o;
}

cJSON *db_judgement_json(const struct store_judgement *j)
{
	cJSON *o = cJSON_CreateObject(), *tags;

	cJSON_AddNumberToObject(o, "judgement", (double)j->id);
	cJSON_AddNumberToObject(o, "episode", (double)j->episode);
	cJSON_AddNumberToObject(o, "turn", j->turn);
	json_add_text(o, "task", j->task);
	json_add_text(o, "as", j->as);
	add_count(o, "grade", j->grade, -1);
	json_add_text(o, "note", j->note);
	tags = cJSON_AddArrayToObject(o, "tags");
	for (const char *p = j->tags ? j->tags : ""; *p;) {
		size_t n = strcspn(p, " ");
		char *tag = strndup(p, n);
		if (tag)
			cJSON_AddItemToArray(tags, cJSON_CreateString(tag));
		free(tag);
		p += n + (p[n] == ' ');
	}
	json_add_figure(o, "total", j->total);
	add_time(o, "time", j->time_us);
	return o;
}

void db_total(char *out, size_t size, double total)
{
	if (isnan(total))
		snprintf(out, size, "-");
	else
		snprintf(out, size, "%.3f", total);
}

void db_print_text(FILE *out, const char *text, size_t len, const char *indent)
{
	struct buf b = { 0 };

	utf8_clean(&b, text, len);
	const char *p = buf_str(&b);
	while (*p) {
		size_t n = strcspn(p, "\n");
		fprintf(out, "%s%.*s\n", n ? indent : "", (int)n, p);
		p += n + (p[n] == '\n');
	}
	buf_release(&b);
}

void db_print_line(FILE *out, const char *text)
{
	struct buf b = { 0 };

	utf8_clean_line(&b, text, strlen(text));
	fputs(buf_str(&b), out);
	buf_release(&b);
}
