/*
 * workbench_live_line.c - the line to the host: joined, kept up, and the settings that go over it.
 */
#include "src/workbench_live_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/settings.h"

/* ---- the line ---- */

void wb_host_greet(struct workbench *w, int attach)
{
	struct host_about about[8];
	struct host_ops ops = wb_live_ops(w);
	struct err e = { 0 };
	int pid = attach, n;

	if (!wb_live_state_of(w))
		return;
	if (attach < 0) {
		/* one whose line broke, or that was left alone; not another screen's */
		n = host_find(w->db, about, 8);
		if (n <= 0 || about[0].attached)
			return;
		pid = about[0].pid;
	}
	w->live_state->attach = true;
	if (host_attach(&w->host, w->db, pid, &ops, &e) < 0) {
		w->host = NULL;
		w->live_state->attach = false;
		if (attach >= 0)
			wb_fail(w, &e);
	}
}

int wb_ask_host(struct workbench *w, cJSON *command, struct err *e)
{
	struct wb_live *v = wb_live_state_of(w);
	struct host_ops ops = wb_live_ops(w);

	if (!v || !command) {
		cJSON_Delete(command);
		return err_set(e, ERR_MEM, "out of memory");
	}
	if (!w->host) {
		v->attach = v->known = false;
		if (host_start(&w->host, &w->app, NULL, w->db, &ops, e) < 0) {
			w->host = NULL;
			cJSON_Delete(command);
			return -1;
		}
	}
	if (v->known)
		return host_send(w->host, command, e);
	if (!v->waiting)
		v->waiting = cJSON_CreateArray();
	cJSON_AddItemToArray(v->waiting, command);
	return 0;
}

void wb_host_step(struct workbench *w)
{
	struct err e = { 0 };

	if (!w->host)
		return;
	host_step(w->host, &e);
	if (w->inside->host_lost) {
		w->inside->host_lost = false;
		host_close(w->host);
		w->host = NULL;
	}
}

bool wb_live_working(const struct live *x)
{
	return x->at >= LIVE_AT_GENERATE && x->at <= LIVE_AT_COMMIT;
}

bool wb_live_at_work(const struct wb_live *v)
{
	return wb_live_working(&v->live);
}

const struct live_answer *wb_live_answer(const struct live *x)
{
	return &x->answer[x->member >= 0 && x->member < LIVE_MEMBERS_MAX ? x->member : 0];
}

bool wb_host_busy(const struct workbench *w)
{
	const struct wb_live *v = w->live_state;

	return w->host && v &&
	       (wb_live_at_work(v) || v->asked || v->n_queue > 0 || v->reference_asked ||
	        cJSON_GetArraySize(v->waiting) > 0);
}

bool wb_host_runs(const struct workbench *w, const char *task)
{
	const struct wb_live *v = w->live_state;

	if (!w->host || !v)
		return false;
	for (int i = 0; i < v->n_queue; i++)
		if (strcmp(v->queue[i], task) == 0)
			return true;
	return wb_live_at_work(v) && strcmp(v->task, task) == 0;
}

bool wb_host_leave(struct workbench *w, bool end)
{
	struct err e = { 0 };
	bool busy = wb_host_busy(w);

	if (!w->host)
		return false;
	if (end) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "do", "end");
		host_send(w->host, o, &e);
		/* it is told before the line goes */
		for (int i = 0; i < 50 && w->host && host_wants_write(w->host); i++) {
			struct pollfd p = { .fd = host_fd(w->host), .events = POLLOUT };
			poll(&p, 1, 20);
			wb_host_step(w);
		}
	}
	return busy && !end;
}

void wb_host_close(struct workbench *w)
{
	struct wb_live *v = w->live_state;

	host_close(w->host);
	w->host = NULL;
	if (!v)
		return;
	live_release(&v->live);
	cJSON_Delete(v->waiting);
	cJSON_Delete(v->score);
	wb_live_forget_turns(v);
	wb_picture_release(&v->picture);
	wb_live_forget_adapters(v);
	free(v);
	w->live_state = NULL;
}

/* ---- settings ---- */

static const char *setting_text(struct workbench *w, const cJSON *x)
{
	struct buf b = { 0 };

	if (cJSON_IsString(x))
		buf_adds(&b, x->valuestring);
	else if (x)
		json_print(&b, x);
	const char *t = wb_text(w, "%s", buf_str(&b));
	buf_release(&b);
	return t;
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* What was typed as the value of that setting; NULL with @e. "none" is none where there may be
 * none, and of what is on or off any word for it will do. */
static cJSON *typed_value(const char *name, const char *text, struct err *e)
{
	static const char *const may_lack[] = { "model", "command", "dtype", "enough", NULL };
	static const char *const flags[] = { "guard", "stop_on_error", "early", NULL };
	static const char *const yes[] = { "on", "yes", "true", NULL };
	static const char *const no[] = { "off", "no", "false", NULL };
	char *end;
	double number = strtod(text, &end);

	if (strcmp(text, "none") == 0 && strcmp(name, "adapters") == 0)
		return cJSON_CreateArray();
	if (strcmp(text, "none") == 0 && is_one_of(name, may_lack))
		return cJSON_CreateNull();
	if (is_one_of(name, flags) && (is_one_of(text, yes) || is_one_of(text, no)))
		return cJSON_CreateBool(is_one_of(text, yes));
	if (*text && !*end && isfinite(number) && strlen(text) < 16)
		return cJSON_CreateNumber(number);
	if (*text == '[' || *text == '{')
		return json_parse(text, strlen(text), e);
	return cJSON_CreateString(text);
}

/* As a host will see it: what it would refuse is said while the line is still in mind. */
static int try_setting(const char *name, const cJSON *value, struct err *e)
{
	struct settings s;
	cJSON *o = cJSON_CreateObject();

	settings_init(&s);
	cJSON_AddItemToObject(o, name, cJSON_Duplicate(value, true));
	int rc = settings_set(&s, o, NULL, e);
	cJSON_Delete(o);
	settings_release(&s);
	return rc;
}

void wb_set(struct workbench *w, const char *text, struct err *e)
{
	char name[64];
	size_t n = strcspn(text, " \t=");
	const char *value = text + n + strspn(text + n, " \t=");

	if (n == 0) {
		wb_settings_page(w);
		return;
	}
	if (n >= sizeof(name)) {
		err_set(e, ERR_USAGE, ":set NAME VALUE was expected, as in :set temperature 0.7");
		return;
	}
	memcpy(name, text, n);
	name[n] = '\0';
	/* as the command line has it: --max-tokens */
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p;
	if (!*value) {
		const cJSON *x = cJSON_GetObjectItemCaseSensitive(w->settings, name);
		wb_say(w, MESSAGE_SAY, "%s is %s", name,
		       x ? setting_text(w, x) : "not set: as the host has it");
		return;
	}
	/* as a shell would have it */
	char *plain = strdup(value);
	size_t len = plain ? strlen(plain) : 0;
	if (len > 1 && (*plain == '"' || *plain == '\'') && plain[len - 1] == *plain) {
		memmove(plain, plain + 1, len);
		plain[len - 2] = '\0';
	}
	value = plain ? plain : "";
	cJSON *v = typed_value(name, value, e);
	if (!v || try_setting(name, v, e) < 0) {
		cJSON_Delete(v);
		free(plain);
		return;
	}
	cJSON_DeleteItemFromObjectCaseSensitive(w->inside->own, name);
	cJSON_AddItemToObject(w->inside->own, name, v);
	if (w->host) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "do", "set");
		cJSON_AddItemToObject(o, name, cJSON_Duplicate(v, true));
		if (wb_ask_host(w, o, e) == 0)
			wb_say(w, MESSAGE_SAY, "%s %s, from the next turn on", name, value);
	} else {
		cJSON_DeleteItemFromObjectCaseSensitive(w->settings, name);
		cJSON_AddItemToObject(w->settings, name, cJSON_Duplicate(v, true));
		wb_say(w, MESSAGE_SAY, "%s %s, when work begins", name, value);
	}
	free(plain);
}

void wb_settings_page(struct workbench *w)
{
	struct buf b = { 0 };
	const cJSON *x;

	cJSON_ArrayForEach(x, w->settings)
	{
		buf_printf(&b, "%-18s %s\n", x->string, setting_text(w, x));
	}
	if (b.len == 0)
		buf_adds(&b, "Nothing is set yet: the defaults of 'cadforge run' count.\n");
	buf_adds(&b, "\n:set NAME VALUE changes one, from the next turn on.\n");
	wb_page(w, "Settings", TEXT_PLAIN, buf_str(&b), b.len);
	buf_release(&b);
}
