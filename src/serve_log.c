#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/serve_inside.h"

/* ---- events ---- */

cJSON *serve_why(const char *text)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "why", text);
	return o;
}

/* What people read. */
static void add_plain(struct buf *line, const cJSON *more)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, more)
	{
		buf_adds(line, v == more->child ? ": " : ", ");
		if (strcmp(v->string, "why") != 0)
			buf_printf(line, "%s ", v->string);
		if (cJSON_IsString(v))
			buf_adds(line, v->valuestring);
		else
			json_print(line, v);
	}
}

void serve_say(const struct serving *s, const char *event, const struct client *c, cJSON *more)
{
	struct buf line = { 0 };

	if (s->o->log_json) {
		cJSON *o = cJSON_CreateObject(), *v;
		char when[40];
		store_utc_time(when, sizeof(when), store_now_us());
		cJSON_AddStringToObject(o, "time", when);
		cJSON_AddStringToObject(o, "event", event);
		if (c)
			cJSON_AddStringToObject(o, "session", c->id);
		while (more && (v = cJSON_DetachItemFromArray(more, 0)))
			cJSON_AddItemToObject(o, v->string, v);
		cJSON_AddNumberToObject(o, "sessions", s->sessions);
		json_print(&line, o);
		cJSON_Delete(o);
		buf_adds(&line, "\n");
		/* one write, so that lines stay whole where others write too */
		if (!buf_failed(&line) && write(STDERR_FILENO, line.data, line.len) < 0)
			clearerr(stderr);
	} else if (!s->o->app->quiet) {
		add_plain(&line, more);
		app_tell("%s%s%s%s", event, c ? " " : "", c ? c->id : "", buf_str(&line));
	}
	buf_release(&line);
	cJSON_Delete(more);
}

/* ---- figures ---- */

static void figure(struct buf *b, const char *name, const char *type, const char *about, double v)
{
	buf_printf(b, "# HELP cadforge_%s %s\n# TYPE cadforge_%s %s\ncadforge_%s %.17g\n", name,
	           about, name, type, name, v);
}

static void memory(struct buf *b)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0, resident = 0;

	if (f && fscanf(f, "%ld %ld", &pages, &resident) == 2)
		figure(b, "resident_bytes", "gauge", "Memory of the server without its builders.",
		       (double)resident * (double)sysconf(_SC_PAGESIZE));
	if (f)
		fclose(f);
}

void serve_metrics(const struct serving *s, struct buf *out)
{
	struct environment_figures f = environment_figures(s->environment);
	int64_t sum = 0;

	figure(out, "uptime_seconds", "gauge", "Since the server began.",
	       clock_now_s() - s->started);
	figure(out, "sessions", "gauge", "Sessions that are open.", s->sessions);
	figure(out, "sessions_capacity", "gauge", "Sessions that may be open.", s->o->capacity);
	figure(out, "sessions_total", "counter", "Sessions that were begun.",
	       (double)s->sessions_begun);
	figure(out, "sessions_refused_total", "counter", "Refused at capacity.",
	       (double)s->refused);
	figure(out, "sessions_idle_total", "counter", "Ended since nothing came.",
	       (double)s->idle_ended);
	figure(out, "connections", "gauge", "Connections, of sockets and of HTTP.",
	       net_connections(s->net));
	figure(out, "requests_total", "counter", "Requests of HTTP.", (double)s->requests);
	figure(out, "messages_total", "counter", "Messages of sockets.", (double)s->messages);
	figure(out, "resets_total", "counter", "Resets.", (double)f.resets);
	figure(out, "steps_total", "counter", "Steps, built or not.", (double)f.steps);
	figure(out, "steps_built_total", "counter", "Steps whose program built.", (double)f.built);
	figure(out, "steps_lost_total", "counter", "Programs lost under the builder.",
	       (double)f.lost);
	figure(out, "steps_put_off_total", "counter", "Programs that waited for too long.",
	       (double)f.put_off);
	figure(out, "steps_not_stored_total", "counter", "Steps that the database did not take.",
	       (double)f.stored_failed);
	figure(out, "steps_under_way", "gauge", "Programs being built or waiting for it.",
	       f.under_way);
	buf_adds(out, "# HELP cadforge_step_seconds From a step's arrival to its stored turn.\n"
	              "# TYPE cadforge_step_seconds histogram\n");
	for (int i = 0; i <= ENVIRONMENT_BOUNDS; i++) {
		sum += f.within[i];
		if (i < ENVIRONMENT_BOUNDS)
			buf_printf(out, "cadforge_step_seconds_bucket{le=\"%g\"} %lld\n",
			           environment_step_bounds[i], (long long)sum);
		else
			buf_printf(out, "cadforge_step_seconds_bucket{le=\"+Inf\"} %lld\n",
			           (long long)sum);
	}
	buf_printf(out, "cadforge_step_seconds_sum %.17g\ncadforge_step_seconds_count %lld\n",
	           f.step_s, (long long)sum);
	memory(out);
	if (s->completions)
		completions_metrics(s->completions, out);
}
