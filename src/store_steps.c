/*
 * store_steps.c - what a training tells, row by row in stretches that are one link each; and which
 * episodes are its answers to what it had not learnt.
 */
#include "src/store_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int store_run_there(struct store *s, int64_t run, struct err *e)
{
	int64_t last = 0, there = 0;

	if (store_ask(s, e, &there, "SELECT 1 FROM runs WHERE id = ?1", "i", run) < 0)
		return -1;
	if (there)
		return 0;
	if (store_ask(s, e, &last, "SELECT ifnull(max(id), 0) FROM runs", "") < 0)
		return -1;
	return last ? err_set(e, ERR_INPUT,
	                      "%s: there is no run %" PRId64
	                      ": they are numbered from 1 to %" PRId64,
	                      s->file, run, last)
	            : err_set(e, ERR_INPUT, "%s: there is no run %" PRId64 ", nor any other yet",
	                      s->file, run);
}

int store_run_again(struct store *s, int64_t run, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_run_there(s, run, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "UPDATE runs SET ended_us = NULL, outcome = NULL WHERE id = ?1 "
		              "AND ended_us IS NOT NULL",
		              "i", run);
	return store_end(s, rc, e);
}

int store_steps_add(struct store *s, int64_t run, const struct store_step *v, int n, struct err *e)
{
	int64_t first = 1;
	char about[96];

	if (n <= 0)
		return 0;
	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_run_there(s, run, e);
	if (rc == 0)
		rc = store_ask(s, e, &first,
		               "SELECT number + 1 FROM steps WHERE run = ?1 "
		               "ORDER BY number DESC LIMIT 1",
		               "i", run);
	for (int i = 0; i < n && rc == 0; i++)
		rc = store_do(
			s, e,
			"INSERT INTO steps (run, number, kind, step, time_us, loss, lr, norm, "
			"tokens, seconds, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
			"iif(?9 < 0, NULL, ?9), ?10, ?11)",
			"iitiidddidt", run, first + i, v[i].kind, v[i].step,
			v[i].time_us ? v[i].time_us : store_now_us(), v[i].loss, v[i].lr, v[i].norm,
			v[i].tokens, v[i].seconds, v[i].data);
	snprintf(about, sizeof(about), "%" PRId64 " %" PRId64 " %" PRId64, run, first,
	         first + n - 1);
	if (rc == 0)
		rc = store_link_row(s, "steps", run, about, e);
	return store_end(s, rc, e);
}

int store_sample_add(struct store *s, int64_t run, int64_t step, int64_t episode, struct err *e)
{
	int64_t seq = 0;
	char about[96];

	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "INSERT INTO run_samples (episode, run, step, link) "
		              "VALUES (?1, ?2, ?3, ?4)",
		              "iiii", episode, run, step, seq);
	/* the episode first: what was pruned is found by it */
	snprintf(about, sizeof(about), "%" PRId64 " %" PRId64 " %" PRId64, episode, run, step);
	if (rc == 0)
		rc = store_link_row(s, "sample", episode, about, e);
	return store_end(s, rc, e);
}

int store_steps(struct store *s, int64_t run, int after, int limit, store_step_fn fn, void *ctx,
                struct err *e)
{
	sqlite3_stmt *q = store_sql(s,
	                            "SELECT number, kind, step, time_us, loss, lr, norm, tokens, "
	                            "seconds, data FROM steps WHERE run = ?1 AND number > ?2 "
	                            "ORDER BY number LIMIT ?3",
	                            e);
	int rc;

	if (!q || store_bind(s, q, e, "iii", run, (int64_t)after, (int64_t)limit) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		struct store_step row = {
			.number = sqlite3_column_int(q, 0),
			.kind = store_column_text(q, 1),
			.step = sqlite3_column_int64(q, 2),
			.time_us = sqlite3_column_int64(q, 3),
			.loss = store_column_figure(q, 4),
			.lr = store_column_figure(q, 5),
			.norm = store_column_figure(q, 6),
			.tokens = sqlite3_column_type(q, 7) == SQLITE_NULL
			                  ? -1
			                  : sqlite3_column_int64(q, 7),
			.seconds = store_column_figure(q, 8),
			.data = store_column_text(q, 9),
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_samples(struct store *s, int64_t run, int64_t after, store_sample_fn fn, void *ctx,
                  struct err *e)
{
	sqlite3_stmt *q =
		store_sql(s,
	                  "SELECT x.episode, x.step, e.created_us, e.task, e.turns, e.best_built, "
	                  "e.best_total FROM run_samples x JOIN episodes e ON e.id = x.episode "
	                  "WHERE x.run = ?1 AND x.episode > ?2 ORDER BY x.step, x.episode",
	                  e);
	int rc;

	if (!q || store_bind(s, q, e, "ii", run, after) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		struct store_sample row = {
			.episode = sqlite3_column_int64(q, 0),
			.step = sqlite3_column_int64(q, 1),
			.created_us = sqlite3_column_int64(q, 2),
			.task = store_column_text(q, 3),
			.turns = sqlite3_column_int(q, 4),
			.built = sqlite3_column_int(q, 5) != 0,
			.total = store_column_figure(q, 6),
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_sample_step(struct store *s, int64_t episode, int64_t *step, struct err *e)
{
	*step = -1;
	return store_ask(s, e, step,
	                 "SELECT ifnull((SELECT step FROM run_samples WHERE episode = ?1), -1)",
	                 "i", episode);
}
