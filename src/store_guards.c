/*
 * store_guards.c - the triggers and indexes that the schema has: are they all there, as they were
 * made? A trigger that is gone lets other programs rewrite what is committed.
 */
#include "src/store_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARDS_MAX = 128 };

struct guard {
	char name[80];
	const char *sql; /* in its script */
	size_t len;
};

struct guards {
	struct guard v[GUARDS_MAX];
	int n;
};

static void drop(struct guards *g, const char *name)
{
	for (int i = 0; i < g->n; i++)
		if (strcmp(g->v[i].name, name) == 0) {
			g->v[i] = g->v[--g->n];
			return;
		}
}

/* One statement a line begins with; of a trigger up to its END. */
static void take(struct guards *g, const char *line)
{
	static const struct {
		const char *words, *end;
		size_t more; /* of the end that is the statement's */
	} of[] = {
		{ "CREATE TRIGGER ", "END;", 3 },
		{ "CREATE INDEX ", ";", 0 },
		{ "DROP TRIGGER ", ";", 0 },
	};
	char name[80];

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		size_t n = strlen(of[i].words);
		if (strncmp(line, of[i].words, n) != 0)
			continue;
		const char *end = strstr(line, of[i].end);
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + n, " \n;"), line + n);
		drop(g, name);
		if (i == 2 || !end || g->n == GUARDS_MAX)
			return;
		struct guard *x = &g->v[g->n++];
		*x = (struct guard){ .sql = line, .len = (size_t)(end - line) + of[i].more };
		snprintf(x->name, sizeof(x->name), "%s", name);
	}
}

static void collect(struct guards *g, const struct store *s)
{
	const char *script;

	for (int i = 0; (script = store_script(s, i)); i++)
		for (const char *p = script; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
			take(g, p);
}

static int mend(struct store *s, const struct guard *x, const char *drop_sql, struct err *e)
{
	char *sql = strndup(x->sql, x->len);
	int rc = -1;

	if (!sql)
		return err_set(e, ERR_MEM, "%s: out of memory", s->file);
	/* no literals, so not for store_do(), which keeps its statements */
	if (store_begin(s, e) == 0) {
		int said = sqlite3_exec(s->db, drop_sql, NULL, NULL, NULL);
		if (said == SQLITE_OK)
			said = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
		rc = store_end(s, said == SQLITE_OK ? 0 : store_fault(s, said, e), e);
	}
	free(sql);
	return rc;
}

int store_guards(struct store *s, bool repair,
                 void (*tell)(void *ctx, const char *name, bool gone, const struct err *why),
                 void *ctx, struct err *e)
{
	struct guards *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(e, ERR_MEM, "%s: out of memory", s->file);
	collect(g, s);
	for (int i = 0; i < g->n; i++) {
		const struct guard *x = &g->v[i];
		bool trigger = strncmp(x->sql, "CREATE T", 8) == 0, same = false, there = false;
		struct err why = { 0 };
		char drop_sql[160] = "";
		sqlite3_stmt *q = store_sql(
			s, "SELECT sql FROM sqlite_schema WHERE type = ?1 AND name = ?2", e);
		if (!q || store_bind(s, q, e, "tt", trigger ? "trigger" : "index", x->name) < 0) {
			free(g);
			return -1;
		}
		if (sqlite3_step(q) == SQLITE_ROW) {
			const char *sql = store_column_text(q, 0);
			there = true;
			same = sql && strlen(sql) == x->len && memcmp(sql, x->sql, x->len) == 0;
		}
		sqlite3_reset(q);
		if (same)
			continue;
		if (there)
			snprintf(drop_sql, sizeof(drop_sql), "DROP %s %s",
			         trigger ? "TRIGGER" : "INDEX", x->name);
		if (repair)
			mend(s, x, drop_sql, &why);
		tell(ctx, x->name, !there, repair ? &why : NULL);
	}
	free(g);
	return 0;
}
