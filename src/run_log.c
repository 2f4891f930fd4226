#include "src/run_log.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/base/utf8.h"

#define FLUSH_S 10.0 /* what a kill may cost of the store's rows */

/* ---- what a person sees ---- */

void run_log_clear_bar(const struct run_log *l)
{
	if (l->bar)
		fputs("\r\033[K", stderr);
}

void run_log_say(struct run_log *l, const char *fmt, ...)
{
	struct buf text = { 0 }, clean = { 0 };
	va_list ap;

	if (l->app->quiet)
		return;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	utf8_clean_line(&clean, buf_str(&text), text.len);
	run_log_clear_bar(l);
	fprintf(stderr, "%s\n", buf_str(&clean));
	buf_release(&text);
	buf_release(&clean);
}

void run_log_time(char *out, size_t size, double s)
{
	if (!isfinite(s) || s < 0)
		snprintf(out, size, "?");
	else if (s < 90)
		snprintf(out, size, "%.0f s", s);
	else if (s < 5400)
		snprintf(out, size, "%.0f min", s / 60);
	else
		snprintf(out, size, "%.1f h", s / 3600);
}

void run_log_print(const struct run_log *l, const char *kind, const cJSON *o)
{
	cJSON *line, *x;
	struct buf text = { 0 };

	if (!l->app->json)
		return;
	line = cJSON_CreateObject();
	cJSON_AddStringToObject(line, "event", kind);
	cJSON_AddNumberToObject(line, "run", (double)l->run);
	cJSON_ArrayForEach(x, o) if (x->string && strcmp(x->string, "event") != 0)
		cJSON_AddItemToObject(line, x->string, cJSON_Duplicate(x, true));
	json_print(&text, line);
	puts(buf_str(&text));
	fflush(stdout);
	buf_release(&text);
	cJSON_Delete(line);
}

/* ---- into the store ---- */

void run_log_init(struct run_log *l, const struct app *app, struct store *store)
{
	*l = (struct run_log){ .app = app, .store = store, .flushed = clock_now_s() };
	l->bar = !app->quiet && !app->json && isatty(STDERR_FILENO);
}

static void tell_store(struct run_log *l, const struct err *e)
{
	if (!l->store_told)
		run_log_say(l, "%s. The training goes on; its rows wait", e->text);
	l->store_told = true;
}

static void forget_rows(struct run_log *l)
{
	for (int i = 0; i < l->n_held; i++)
		free((char *)l->held[i].data);
	l->n_held = 0;
}

void run_log_release(struct run_log *l)
{
	forget_rows(l);
}

void run_log_flush(struct run_log *l)
{
	struct err e = { 0 };

	l->flushed = clock_now_s();
	if (!l->store || !l->run || l->n_held == 0)
		return;
	if (store_steps_add(l->store, l->run, l->held, l->n_held, &e) < 0) {
		tell_store(l, &e);
		return;
	}
	l->store_told = false;
	forget_rows(l);
	store_tend(l->store);
}

void run_log_tend(struct run_log *l)
{
	if (clock_now_s() - l->flushed > FLUSH_S)
		run_log_flush(l);
}

/* What has no column of its own. */
static char *rest_of(const cJSON *o)
{
	static const char *const columns[] = { "step",   "loss",    "lr",     "grad_norm",
		                               "tokens", "seconds", "left_s", "tokens_per_s" };
	cJSON *copy = cJSON_Duplicate(o, true);
	struct buf text = { 0 };

	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(copy, columns[i]);
	if (copy && copy->child)
		json_print(&text, copy);
	cJSON_Delete(copy);
	return text.len ? buf_take(&text, NULL) : NULL;
}

void run_log_row(struct run_log *l, const char *kind, int64_t step, const cJSON *o)
{
	double tokens = json_number_or(o, "tokens", -1);

	if (!l->store)
		return;
	/* a store that cannot be written for hours: the newest rows are worth most */
	if (l->n_held == RUN_LOG_HELD_MAX) {
		free((char *)l->held[0].data);
		memmove(l->held, l->held + 1, (RUN_LOG_HELD_MAX - 1) * sizeof(*l->held));
		l->n_held--;
	}
	l->held[l->n_held++] = (struct store_step){
		.kind = kind,
		.step = (int64_t)json_number_or(o, "step", (double)step),
		.time_us = store_now_us(),
		.loss = json_number_or(o, "loss", NAN),
		.lr = json_number_or(o, "lr", NAN),
		.norm = json_number_or(o, "grad_norm", NAN),
		.seconds = json_number_or(o, "seconds", NAN),
		.tokens = tokens >= 0 && strcmp(kind, "ready") != 0 ? (int64_t)tokens : -1,
		.data = rest_of(o),
	};
}

void run_log_begin(struct run_log *l, const char *kind, int64_t again, const cJSON *about)
{
	struct buf text = { 0 };
	struct err e = { 0 };

	if (!l->store)
		return;
	json_print(&text, about);
	if (again) {
		l->run = again;
		if (store_run_again(l->store, again, &e) < 0)
			tell_store(l, &e);
	} else if (store_run_start(l->store, kind, buf_str(&text), &l->run, &e) < 0) {
		tell_store(l, &e);
		l->run = 0;
	}
	buf_release(&text);
}

void run_log_end(struct run_log *l, int64_t step, const char *outcome, const struct err *failure)
{
	cJSON *o = cJSON_CreateObject();
	struct err e = { 0 };

	cJSON_AddStringToObject(o, "outcome", outcome);
	if (failure && failure->kind)
		cJSON_AddStringToObject(o, "error", failure->text);
	run_log_row(l, "end", step, o);
	cJSON_Delete(o);
	run_log_flush(l);
	if (l->store && l->run && store_run_end(l->store, l->run, outcome, &e) < 0)
		tell_store(l, &e);
	forget_rows(l);
}

/* ---- asked from outside ---- */

bool run_log_word(const char *dir, char out[RUN_LOG_WORD])
{
	char path[PATH_MAX];
	int fd;
	ssize_t n;

	out[0] = '\0';
	if (!dir)
		return false;
	snprintf(path, sizeof(path), "%s/ask", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	n = read(fd, out, RUN_LOG_WORD - 1);
	close(fd);
	unlink(path);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return out[0] != '\0';
}
