#include "src/openenv.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"

/* ---- words ---- */

static const struct {
	const char *name, *profile;
} modes[] = {
	[OPENENV_FAST] = { "fast", "seed-fast" },
	[OPENENV_FULL] = { "full", "seed-full" },
	[OPENENV_EXACT] = { "exact", "exact" },
	[OPENENV_STRICT] = { "strict", "strict" },
};
enum { MODES = sizeof(modes) / sizeof(modes[0]) };
#define MODE_PATTERN "^(fast|full|exact|strict)$"

const char *openenv_mode_name(enum openenv_mode m)
{
	return modes[m].name;
}

const char *openenv_mode_profile(enum openenv_mode m)
{
	return modes[m].profile;
}

void openenv_ask_release(struct openenv_ask *a)
{
	cJSON_Delete(a->json);
	buf_release(&a->refusal);
	*a = (struct openenv_ask){ 0 };
}

/* How many bytes of @text, at most @max, are whole characters. */
static size_t whole(const char *text, size_t max)
{
	size_t n = strnlen(text, max + 1);

	if (n <= max)
		return n;
	for (n = max; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;)
		n--;
	return n;
}

/* ---- what does not fit ----
 *
 * A list of {type, loc, msg, input, ctx?}, as the reference server's validation gives it. */

static void fault(cJSON *list, const char *type, const char *msg, const char *const *at, int n_at,
                  const cJSON *input, cJSON *context)
{
	cJSON *o = cJSON_CreateObject(), *loc = cJSON_AddArrayToObject(o, "loc");

	cJSON_AddStringToObject(o, "type", type);
	for (int i = 0; i < n_at; i++)
		cJSON_AddItemToArray(loc, cJSON_CreateString(at[i]));
	cJSON_AddStringToObject(o, "msg", msg);
	cJSON_AddItemToObject(o, "input",
	                      input ? cJSON_Duplicate(input, true) : cJSON_CreateNull());
	if (context)
		cJSON_AddItemToObject(o, "ctx", context);
	cJSON_AddItemToArray(list, o);
}

static cJSON *number_context(const char *key, double v)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, key, v);
	return o;
}

/* Where the fields of one object are looked for, and what stands before them in a fault's place. */
struct reading {
	const cJSON *o;
	const char *prefix; /* NULL: none */
	cJSON *faults;
};

static void field_fault(const struct reading *r, const char *key, const char *type, const char *msg,
                        const cJSON *input, cJSON *context)
{
	const char *at[] = { r->prefix, key };

	fault(r->faults, type, msg, r->prefix ? at : at + 1, r->prefix ? 2 : 1, input, context);
}

enum { WANTED = 1, NULLABLE = 2 };

/* A text of @min to @max characters (0: any number). NULL: not there, null, or at fault. */
static const char *text_field(const struct reading *r, const char *key, unsigned how, size_t min,
                              size_t max)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->o, key);
	char msg[80];

	if (!v) {
		if (how & WANTED)
			field_fault(r, key, "missing", "Field required", r->o, NULL);
		return NULL;
	}
	if (cJSON_IsNull(v) && (how & NULLABLE))
		return NULL;
	if (!cJSON_IsString(v)) {
		field_fault(r, key, "string_type", "Input should be a valid string", v, NULL);
		return NULL;
	}
	size_t n = 0;
	for (const char *c = v->valuestring; *c; c++)
		n += ((unsigned char)*c & 0xC0) != 0x80;
	if (n < min) {
		snprintf(msg, sizeof(msg), "String should have at least %zu character%s", min,
		         min == 1 ? "" : "s");
		field_fault(r, key, "string_too_short", msg, v,
		            number_context("min_length", (double)min));
		return NULL;
	}
	if (max > 0 && n > max) {
		snprintf(msg, sizeof(msg), "String should have at most %zu characters", max);
		field_fault(r, key, "string_too_long", msg, v,
		            number_context("max_length", (double)max));
		return NULL;
	}
	return v->valuestring;
}

/* A whole number of 0 or more; -1: not there, null, or at fault. A text of digits counts, as the
 * reference server has it. */
static long long whole_field(const struct reading *r, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->o, key);
	double d;

	if (!v || cJSON_IsNull(v))
		return -1;
	if (cJSON_IsString(v)) {
		char *end;
		errno = 0;
		long long n = strtoll(v->valuestring, &end, 10);
		if (end == v->valuestring || *end || errno) {
			field_fault(
				r, key, "int_parsing",
				"Input should be a valid integer, unable to parse string as an integer",
				v, NULL);
			return -1;
		}
		d = (double)n;
	} else if (cJSON_IsNumber(v)) {
		d = v->valuedouble;
	} else {
		field_fault(r, key, "int_type", "Input should be a valid integer", v, NULL);
		return -1;
	}
	if (d != floor(d) || fabs(d) > 9007199254740992.0) {
		field_fault(r, key, "int_from_float",
		            "Input should be a valid integer, got a number with a fractional part",
		            v, NULL);
		return -1;
	}
	if (d < 0) {
		field_fault(r, key, "greater_than_equal",
		            "Input should be greater than or equal to 0", v,
		            number_context("ge", 0));
		return -1;
	}
	return (long long)d;
}

static void only(const struct reading *r, const char *const *known, int n)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, r->o)
	{
		int i = 0;
		while (i < n && strcmp(known[i], v->string) != 0)
			i++;
		if (i == n)
			field_fault(r, v->string, "extra_forbidden",
			            "Extra inputs are not permitted", v, NULL);
	}
}

/* ---- an action, a reset ---- */

static void read_action(struct openenv_ask *out, const struct reading *r)
{
	static const char *const known[] = { "code", "task_id", "reward_mode", "task_prompt",
		                             "metadata" };
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(r->o, "metadata");
	const char *mode;

	out->want = OPENENV_STEP;
	out->code = text_field(r, "code", WANTED, 1, 0);
	out->task_id = text_field(r, "task_id", 0, 0, 0);
	mode = text_field(r, "reward_mode", 0, 0, 0);
	out->mode = OPENENV_FAST;
	if (mode) {
		int i = 0;
		while (i < MODES && strcmp(modes[i].name, mode) != 0)
			i++;
		if (i < MODES) {
			out->mode = (enum openenv_mode)i;
		} else {
			cJSON *c = cJSON_CreateObject();
			cJSON_AddStringToObject(c, "pattern", MODE_PATTERN);
			field_fault(r, "reward_mode", "string_pattern_mismatch",
			            "String should match pattern '" MODE_PATTERN "'",
			            cJSON_GetObjectItemCaseSensitive(r->o, "reward_mode"), c);
		}
	}
	out->task_prompt = text_field(r, "task_prompt", NULLABLE, 0, 0);
	if (metadata && !cJSON_IsObject(metadata))
		field_fault(r, "metadata", "dict_type", "Input should be a valid dictionary",
		            metadata, NULL);
	only(r, known, sizeof(known) / sizeof(known[0]));
}

/* What of a reset is ours; @strict: of HTTP, where types are checked. */
static void read_reset(struct openenv_ask *out, const struct reading *r, bool strict)
{
	struct reading quiet = *r;
	cJSON *dropped = cJSON_CreateArray();

	out->want = OPENENV_RESET;
	if (!strict)
		quiet.faults = dropped;
	out->seed = whole_field(&quiet, "seed");
	out->episode_id = text_field(&quiet, "episode_id", NULLABLE, 0, OPENENV_ID_MAX);
	quiet.faults = dropped; /* the environment's own: wrong ones are as if not said */
	out->index = whole_field(&quiet, "index");
	out->task_id = text_field(&quiet, "task_id", NULLABLE, 0, 0);
	out->task_brief = text_field(&quiet, "task_brief", NULLABLE, 0, 0);
	out->split = text_field(&quiet, "split", NULLABLE, 0, 0);
	cJSON_Delete(dropped);
}

static void begin(struct openenv_ask *out)
{
	*out = (struct openenv_ask){ .seed = -1, .index = -1, .timeout_s = NAN, .status = 200 };
}

/* ---- a message of /ws ---- */

void openenv_error_message(struct buf *out, const char *code, const cJSON *more, const char *fmt,
                           ...)
{
	cJSON *o = cJSON_CreateObject(), *data;
	struct buf text = { 0 };
	const cJSON *v;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	cJSON_AddStringToObject(o, "type", "error");
	data = cJSON_AddObjectToObject(o, "data");
	cJSON_AddStringToObject(data, "message", buf_str(&text));
	cJSON_AddStringToObject(data, "code", code);
	cJSON_ArrayForEach(v, more)
		cJSON_AddItemToObject(data, v->string, cJSON_Duplicate(v, true));
	json_print(out, o);
	cJSON_Delete(o);
	buf_release(&text);
}

/* Takes @faults. */
static void refuse_message(struct openenv_ask *out, cJSON *faults)
{
	cJSON *more = cJSON_CreateObject();

	cJSON_AddItemToObject(more, "errors", faults);
	out->want = OPENENV_REFUSED;
	openenv_error_message(&out->refusal, "VALIDATION_ERROR", more, "Invalid message");
	cJSON_Delete(more);
}

void openenv_message(struct openenv_ask *out, const char *text, size_t len)
{
	static const char *const with_data[] = { "type", "data" };
	static const struct {
		const char *type;
		enum openenv_want want;
		bool data;
	} types[] = { { "reset", OPENENV_RESET, true },
		      { "step", OPENENV_STEP, true },
		      { "state", OPENENV_STATE, false },
		      { "mcp", OPENENV_RPC, true },
		      { "close", OPENENV_CLOSE, false } };
	const cJSON *type, *data;
	struct err e = { 0 };
	int i = 0, n = sizeof(types) / sizeof(types[0]);

	begin(out);
	out->json = json_parse(text, len, &e);
	if (!out->json) {
		out->want = OPENENV_REFUSED;
		openenv_error_message(&out->refusal, "INVALID_JSON", NULL, "Invalid JSON: %s",
		                      e.text);
		return;
	}
	if (!cJSON_IsObject(out->json)) {
		out->want = OPENENV_REFUSED;
		out->fatal = true;
		openenv_error_message(&out->refusal, "SESSION_ERROR", NULL,
		                      "a message is a JSON object with \"type\"");
		return;
	}
	type = cJSON_GetObjectItemCaseSensitive(out->json, "type");
	while (i < n && !(cJSON_IsString(type) && strcmp(types[i].type, type->valuestring) == 0))
		i++;
	if (i == n) {
		struct buf shown = { 0 };
		if (cJSON_IsString(type))
			buf_add(&shown, type->valuestring, whole(type->valuestring, 80));
		else if (type)
			json_print(&shown, type);
		out->want = OPENENV_REFUSED;
		openenv_error_message(&out->refusal, "UNKNOWN_TYPE", NULL,
		                      "Unknown message type: %.*s",
		                      (int)whole(buf_str(&shown), 200), buf_str(&shown));
		buf_release(&shown);
		return;
	}
	out->want = types[i].want;

	cJSON *faults = cJSON_CreateArray();
	struct reading r = { .o = out->json, .faults = faults };
	only(&r, with_data, types[i].data ? 2 : 1);
	data = cJSON_GetObjectItemCaseSensitive(out->json, "data");
	if (types[i].data) {
		if (!data && types[i].want != OPENENV_RESET)
			field_fault(&r, "data", "missing", "Field required", out->json, NULL);
		else if (data && !cJSON_IsObject(data))
			field_fault(&r, "data", "dict_type", "Input should be a valid dictionary",
			            data, NULL);
	}
	if (cJSON_GetArraySize(faults) == 0) {
		r.o = data;
		if (types[i].want == OPENENV_STEP)
			read_action(out, &r);
		else if (types[i].want == OPENENV_RESET)
			read_reset(out, &r, false);
		else if (types[i].want == OPENENV_RPC)
			out->rpc = data;
	}
	if (cJSON_GetArraySize(faults) > 0)
		refuse_message(out, faults);
	else
		cJSON_Delete(faults);
}

/* ---- bodies of HTTP ---- */

/* Takes @faults. */
static void refuse_body(struct openenv_ask *out, cJSON *faults)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddItemToObject(o, "detail", faults);
	out->want = OPENENV_REFUSED;
	out->status = 422;
	buf_clear(&out->refusal);
	json_print(&out->refusal, o);
	cJSON_Delete(o);
}

/* The body as an object, or a refusal. */
static bool read_body(struct openenv_ask *out, const char *text, size_t len)
{
	static const char *const at[] = { "body" };
	struct err e = { 0 };
	cJSON *faults;
	size_t bad = 0;

	begin(out);
	out->json = utf8_valid(text, len, &bad)
	                    ? json_parse(text, len, &e)
	                    : (err_set(&e, ERR_INPUT, "byte %zu is no UTF-8", bad), NULL);
	if (out->json && cJSON_IsObject(out->json))
		return true;
	faults = cJSON_CreateArray();
	if (out->json) {
		fault(faults, "model_attributes_type",
		      "Input should be a valid dictionary or object to extract fields from", at, 1,
		      out->json, NULL);
	} else {
		cJSON *context = cJSON_CreateObject(), *empty = cJSON_CreateObject();
		cJSON_AddStringToObject(context, "error", e.text);
		fault(faults, "json_invalid", "JSON decode error", at, 1, empty, context);
		cJSON_AddItemToArray(cJSON_GetObjectItem(cJSON_GetArrayItem(faults, 0), "loc"),
		                     cJSON_CreateNumber(0));
		cJSON_Delete(empty);
	}
	refuse_body(out, faults);
	return false;
}

void openenv_reset_body(struct openenv_ask *out, const char *text, size_t len)
{
	cJSON *faults;

	if (len == 0) {
		text = "{}";
		len = 2;
	}
	if (!read_body(out, text, len))
		return;
	faults = cJSON_CreateArray();
	read_reset(out, &(struct reading){ out->json, "body", faults }, true);
	if (cJSON_GetArraySize(faults) > 0)
		refuse_body(out, faults);
	else
		cJSON_Delete(faults);
}

void openenv_step_body(struct openenv_ask *out, const char *text, size_t len)
{
	const cJSON *action, *timeout;
	cJSON *faults;

	if (!read_body(out, text, len))
		return;
	faults = cJSON_CreateArray();
	struct reading r = { out->json, "body", faults };
	/* other keys are dropped, as the reference server does */
	action = cJSON_GetObjectItemCaseSensitive(out->json, "action");
	timeout = cJSON_GetObjectItemCaseSensitive(out->json, "timeout_s");
	if (!action)
		field_fault(&r, "action", "missing", "Field required", out->json, NULL);
	else if (!cJSON_IsObject(action))
		field_fault(&r, "action", "dict_type", "Input should be a valid dictionary", action,
		            NULL);
	if (timeout && !cJSON_IsNull(timeout)) {
		if (!cJSON_IsNumber(timeout))
			field_fault(&r, "timeout_s", "float_type", "Input should be a valid number",
			            timeout, NULL);
		else if (timeout->valuedouble <= 0)
			field_fault(&r, "timeout_s", "greater_than",
			            "Input should be greater than 0", timeout,
			            number_context("gt", 0));
		else
			out->timeout_s = timeout->valuedouble;
	}
	text_field(&r, "request_id", NULLABLE, 0, OPENENV_ID_MAX);
	if (cJSON_GetArraySize(faults) == 0) {
		r = (struct reading){ action, NULL, faults };
		read_action(out, &r);
	}
	if (cJSON_GetArraySize(faults) > 0)
		refuse_body(out, faults);
	else
		cJSON_Delete(faults);
}

/* ---- what a client is shown ---- */

static cJSON *copy_or(const cJSON *v, cJSON *(*make)(void))
{
	return v ? cJSON_Duplicate(v, true) : make();
}

static cJSON *trace_json(const struct openenv_seen *s)
{
	cJSON *list = cJSON_CreateArray();

	for (int i = 0; i < s->n_trace; i++) {
		const struct openenv_trace *t = &s->trace[i];
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "step", t->step);
		cJSON_AddStringToObject(o, "task_id", t->task_id);
		cJSON_AddStringToObject(o, "reward_mode", modes[t->mode].name);
		cJSON_AddItemToObject(o, "reward", copy_or(t->terms, cJSON_CreateObject));
		cJSON_AddBoolToObject(o, "ok", t->ok);
		cJSON_AddItemToObject(o, "notes", copy_or(t->notes, cJSON_CreateArray));
		cJSON_AddStringToObject(o, "artifacts_dir", t->artifacts);
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

/* What we add to the published fields: clients whose observation is a class take no other keys. */
static cJSON *metadata_json(const struct openenv_seen *s)
{
	cJSON *o = cJSON_CreateObject();

	json_add_text(o, "build_log", s->log);
	json_add_figure(o, "reward_delta", s->delta);
	json_add_text(o, "failure_class", s->failure);
	return o;
}

static cJSON *observation_json(const struct openenv_seen *s)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "task_brief", s->task_brief ? s->task_brief : "");
	cJSON_AddStringToObject(o, "task_id", s->task_id);
	cJSON_AddItemToObject(o, "constraints", copy_or(s->constraints, cJSON_CreateArray));
	cJSON_AddStringToObject(o, "current_code", s->code ? s->code : "");
	cJSON_AddItemToObject(o, "reward_json", copy_or(s->reward, cJSON_CreateObject));
	cJSON_AddItemToObject(o, "verifier_notes", copy_or(s->notes, cJSON_CreateArray));
	json_add_text(o, "artifacts_dir", s->artifacts && *s->artifacts ? s->artifacts : NULL);
	cJSON_AddItemToObject(o, "renders", copy_or(s->renders, cJSON_CreateObject));
	cJSON_AddItemToObject(o, "trace", trace_json(s));
	cJSON_AddItemToObject(o, "metadata", metadata_json(s));
	return o;
}

static cJSON *result_json(const struct openenv_seen *s)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddItemToObject(o, "observation", observation_json(s));
	json_add_figure(o, "reward", s->value);
	cJSON_AddBoolToObject(o, "done", s->done);
	cJSON_AddItemToObject(o, "metadata", metadata_json(s));
	return o;
}

/* Takes @data. */
static void message(struct buf *out, const char *type, cJSON *data)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "type", type);
	cJSON_AddItemToObject(o, "data", data);
	json_print(out, o);
	cJSON_Delete(o);
}

void openenv_result(struct buf *out, const struct openenv_seen *s)
{
	cJSON *o = result_json(s);

	json_print(out, o);
	cJSON_Delete(o);
}

void openenv_result_message(struct buf *out, const struct openenv_seen *s)
{
	message(out, "observation", result_json(s));
}

static cJSON *state_json(const struct openenv_seen *s, bool base_alone)
{
	cJSON *o = cJSON_CreateObject();

	json_add_text(o, "episode_id", s->episode_id);
	cJSON_AddNumberToObject(o, "step_count", s->step_count);
	if (base_alone)
		return o;
	cJSON_AddStringToObject(o, "task_id", s->task_id);
	cJSON_AddStringToObject(o, "task_brief", s->task_brief ? s->task_brief : "");
	cJSON_AddStringToObject(o, "current_code", s->code ? s->code : "");
	cJSON_AddItemToObject(o, "last_reward", copy_or(s->reward, cJSON_CreateObject));
	cJSON_AddItemToObject(o, "trace", trace_json(s));
	return o;
}

void openenv_state(struct buf *out, const struct openenv_seen *s, bool base_alone)
{
	cJSON *o = state_json(s, base_alone);

	json_print(out, o);
	cJSON_Delete(o);
}

void openenv_state_message(struct buf *out, const struct openenv_seen *s)
{
	message(out, "state", state_json(s, false));
}

/* ---- fixed answers ---- */

static cJSON *typed(const char *type, const char *title)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "type", type);
	cJSON_AddStringToObject(o, "title", title);
	return o;
}

static cJSON *or_null(cJSON *schema)
{
	cJSON *o = cJSON_CreateObject(), *any = cJSON_AddArrayToObject(o, "anyOf"), *null;

	cJSON_AddItemToArray(any, schema);
	null = cJSON_CreateObject();
	cJSON_AddStringToObject(null, "type", "null");
	cJSON_AddItemToArray(any, null);
	cJSON_AddNullToObject(o, "default");
	return o;
}

static cJSON *list_of(cJSON *item, const char *title)
{
	cJSON *o = typed("array", title);

	cJSON_AddItemToObject(o, "items", item);
	return o;
}

static cJSON *schema_object(const char *title, const char *about, cJSON **properties)
{
	cJSON *o = typed("object", title);

	cJSON_AddStringToObject(o, "description", about);
	*properties = cJSON_AddObjectToObject(o, "properties");
	return o;
}

static void add_trace_schema(cJSON *properties)
{
	cJSON_AddItemToObject(properties, "trace", list_of(typed("object", "Step"), "Trace"));
}

static cJSON *action_schema(void)
{
	cJSON *p,
		*o = schema_object("CadForgeAction", "A whole CadQuery program for the task.", &p);
	cJSON *code = typed("string", "Code"), *mode = typed("string", "Reward Mode"), *wanted;

	cJSON_AddNumberToObject(code, "minLength", 1);
	cJSON_AddStringToObject(code, "description",
	                        "A complete program that leaves its part in `fixture`.");
	cJSON_AddItemToObject(p, "code", code);
	cJSON_AddItemToObject(p, "task_id", typed("string", "Task Id"));
	cJSON_AddStringToObject(mode, "pattern", MODE_PATTERN);
	cJSON_AddStringToObject(mode, "default", "fast");
	cJSON_AddItemToObject(p, "reward_mode", mode);
	cJSON_AddItemToObject(p, "task_prompt", or_null(typed("string", "Task Prompt")));
	cJSON_AddItemToObject(p, "metadata", typed("object", "Metadata"));
	cJSON_AddBoolToObject(o, "additionalProperties", false);
	wanted = cJSON_AddArrayToObject(o, "required");
	cJSON_AddItemToArray(wanted, cJSON_CreateString("code"));
	return o;
}

static cJSON *observation_schema(void)
{
	cJSON *p, *o = schema_object("CadForgeObservation",
	                             "What came of the last program, and all before it.", &p);

	cJSON_AddItemToObject(p, "done", typed("boolean", "Done"));
	cJSON_AddItemToObject(p, "reward", or_null(typed("number", "Reward")));
	cJSON_AddItemToObject(p, "metadata", typed("object", "Metadata"));
	cJSON_AddItemToObject(p, "task_brief", typed("string", "Task Brief"));
	cJSON_AddItemToObject(p, "task_id", typed("string", "Task Id"));
	cJSON_AddItemToObject(p, "constraints",
	                      list_of(typed("string", "Constraint"), "Constraints"));
	cJSON_AddItemToObject(p, "current_code", typed("string", "Current Code"));
	cJSON_AddItemToObject(p, "reward_json", typed("object", "Reward Json"));
	cJSON_AddItemToObject(p, "verifier_notes",
	                      list_of(typed("string", "Note"), "Verifier Notes"));
	cJSON_AddItemToObject(p, "artifacts_dir", or_null(typed("string", "Artifacts Dir")));
	cJSON_AddItemToObject(p, "renders", typed("object", "Renders"));
	add_trace_schema(p);
	return o;
}

static cJSON *state_schema(void)
{
	cJSON *p, *o = schema_object("CadForgeState", "Where an episode is.", &p);
	cJSON *steps = typed("integer", "Step Count");

	cJSON_AddItemToObject(p, "episode_id", or_null(typed("string", "Episode Id")));
	cJSON_AddNumberToObject(steps, "minimum", 0);
	cJSON_AddItemToObject(p, "step_count", steps);
	cJSON_AddItemToObject(p, "task_id", typed("string", "Task Id"));
	cJSON_AddItemToObject(p, "task_brief", typed("string", "Task Brief"));
	cJSON_AddItemToObject(p, "current_code", typed("string", "Current Code"));
	cJSON_AddItemToObject(p, "last_reward", typed("object", "Last Reward"));
	add_trace_schema(p);
	return o;
}

void openenv_schema(struct buf *out)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddItemToObject(o, "action", action_schema());
	cJSON_AddItemToObject(o, "observation", observation_schema());
	cJSON_AddItemToObject(o, "state", state_schema());
	cJSON_AddItemToObject(o, "reset_observation", observation_schema());
	json_print(out, o);
	cJSON_Delete(o);
}

#define ABOUT                                                                                        \
	"Parts as CadQuery programs: each is built in a sandbox, measured and rewarded; the answer " \
	"says what to mend."

void openenv_metadata(struct buf *out, const char *version, const char *readme)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", OPENENV_NAME);
	cJSON_AddStringToObject(o, "description", ABOUT);
	json_add_text(o, "readme_content", readme);
	cJSON_AddStringToObject(o, "version", version);
	cJSON_AddNullToObject(o, "author");
	cJSON_AddNullToObject(o, "documentation_url");
	json_print(out, o);
	cJSON_Delete(o);
}

/* ---- JSON-RPC ---- */

static const struct tool {
	const char *name, *about, *argument, *argument_about;
} tools[] = {
	[TOOL_LIST_TASKS] = { "list_tasks", "All tasks: id, level, what is asked.", NULL, NULL },
	[TOOL_GET_TASK] = { "get_task", "One task: its prompt, dimensions and what is checked.",
	                    "task_id", "id of a task, from list_tasks" },
	[TOOL_SUBMIT] = { "submit_cadquery",
	                  "Builds and scores a whole CadQuery program for the session's task.",
	                  "code", "a complete program that leaves its part in `fixture`" },
	[TOOL_LOG] = { "build_log", "What the last program printed, and its error.", NULL, NULL },
	[TOOL_MEASURE] = { "measure",
	                   "What was measured of the last part: box, volume, holes, checks.", NULL,
	                   NULL },
};
enum { TOOLS = sizeof(tools) / sizeof(tools[0]) };

cJSON *openenv_tools(void)
{
	cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "tools");

	for (int i = 0; i < TOOLS; i++) {
		cJSON *t = cJSON_CreateObject(), *schema, *p, *wanted;
		cJSON_AddStringToObject(t, "name", tools[i].name);
		cJSON_AddStringToObject(t, "description", tools[i].about);
		schema = cJSON_AddObjectToObject(t, "inputSchema");
		cJSON_AddStringToObject(schema, "type", "object");
		p = cJSON_AddObjectToObject(schema, "properties");
		if (tools[i].argument) {
			cJSON *a = cJSON_AddObjectToObject(p, tools[i].argument);
			cJSON_AddStringToObject(a, "type", "string");
			cJSON_AddStringToObject(a, "description", tools[i].argument_about);
			wanted = cJSON_AddArrayToObject(schema, "required");
			cJSON_AddItemToArray(wanted, cJSON_CreateString(tools[i].argument));
		}
		cJSON_AddItemToArray(list, t);
	}
	return o;
}

static cJSON *rpc_head(const cJSON *id)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "jsonrpc", "2.0");
	cJSON_AddItemToObject(o, "id", id ? cJSON_Duplicate(id, true) : cJSON_CreateNull());
	return o;
}

void openenv_rpc_result(struct buf *out, const cJSON *id, cJSON *result)
{
	cJSON *o = rpc_head(id);

	cJSON_AddItemToObject(o, "result", result);
	json_print(out, o);
	cJSON_Delete(o);
}

void openenv_rpc_error(struct buf *out, const cJSON *id, int code, const char *text)
{
	cJSON *o = rpc_head(id), *error = cJSON_AddObjectToObject(o, "error");

	cJSON_AddNumberToObject(error, "code", code);
	cJSON_AddStringToObject(error, "message", text);
	cJSON_AddNullToObject(error, "data");
	json_print(out, o);
	cJSON_Delete(o);
}

cJSON *openenv_tool_text(const char *text, bool is_error)
{
	cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "content");
	cJSON *part = cJSON_CreateObject();

	cJSON_AddStringToObject(part, "type", "text");
	cJSON_AddStringToObject(part, "text", text);
	cJSON_AddItemToArray(list, part);
	cJSON_AddBoolToObject(o, "isError", is_error);
	return o;
}

void openenv_rpc_release(struct openenv_rpc *r)
{
	buf_release(&r->refusal);
}

static void refuse_rpc(struct openenv_rpc *out, int code, const char *text)
{
	out->want = RPC_REFUSED;
	openenv_rpc_error(&out->refusal, out->id, code, text);
}

/* Neither an array nor an object: what an id may be. */
static bool is_id(const cJSON *v)
{
	return cJSON_IsString(v) || cJSON_IsNumber(v) || cJSON_IsNull(v);
}

static void read_call(struct openenv_rpc *out, const cJSON *params)
{
	const char *name = json_string_or(params, "name", NULL);
	const cJSON *arguments = cJSON_GetObjectItemCaseSensitive(params, "arguments");
	int i = 0;

	if (!name) {
		refuse_rpc(out, -32602, "params.name: the name of a tool wanted");
		return;
	}
	while (i < TOOLS && strcmp(tools[i].name, name) != 0)
		i++;
	if (i == TOOLS) {
		refuse_rpc(out, -32602, "no such tool; tools/list has them");
		return;
	}
	out->tool = (enum openenv_tool)i;
	out->want = RPC_CALL;
	if (!tools[i].argument)
		return;
	out->text = json_string_or(arguments, tools[i].argument, NULL);
	if (!out->text || !*out->text) {
		char why[120];
		snprintf(why, sizeof(why),
		         "params.arguments.%s: a text of at least 1 character wanted",
		         tools[i].argument);
		refuse_rpc(out, -32602, why);
	}
}

void openenv_rpc(struct openenv_rpc *out, const cJSON *o)
{
	static const char *const known[] = { "jsonrpc", "method", "params", "id" };
	const cJSON *version, *params, *id, *v;
	const char *method;

	*out = (struct openenv_rpc){ 0 };
	if (!o) {
		refuse_rpc(out, -32700, "Parse error: a JSON object wanted");
		return;
	}
	id = cJSON_GetObjectItemCaseSensitive(o, "id");
	out->id = is_id(id) ? id : NULL;
	version = cJSON_GetObjectItemCaseSensitive(o, "jsonrpc");
	method = json_string_or(o, "method", NULL);
	params = cJSON_GetObjectItemCaseSensitive(o, "params");
	bool ok = cJSON_IsObject(o) && cJSON_IsString(version) &&
	          strcmp(version->valuestring, "2.0") == 0 && method &&
	          (!params || cJSON_IsObject(params)) && (!id || is_id(id));
	const cJSON *keys = ok ? o : NULL;
	cJSON_ArrayForEach(v, keys)
	{
		int i = 0;
		while (i < 4 && strcmp(known[i], v->string) != 0)
			i++;
		ok = ok && i < 4;
	}
	if (!ok) {
		refuse_rpc(
			out, -32600,
			"Invalid Request: {\"jsonrpc\": \"2.0\", \"method\", \"params\", \"id\"} "
			"and no other keys wanted");
		return;
	}
	out->session = json_string_or(params, "session_id", NULL);
	if (strcmp(method, "tools/list") == 0) {
		out->want = RPC_TOOLS;
	} else if (strcmp(method, "tools/call") == 0) {
		read_call(out, params);
	} else if (strcmp(method, "openenv/session/create") == 0) {
		out->want = RPC_CREATE;
	} else if (strcmp(method, "openenv/session/close") == 0) {
		out->want = RPC_END;
		if (!out->session)
			refuse_rpc(out, -32602, "params.session_id: the id of a session wanted");
	} else {
		char why[200];
		snprintf(why, sizeof(why), "Method not found: %.*s", (int)whole(method, 100),
		         method);
		refuse_rpc(out, -32601, why);
	}
}

/* ---- openapi ---- */

static const struct {
	const char *path, *method, *about;
} paths[] = {
	{ "/health", "get", "Whether it works" },
	{ "/metadata", "get", "What environment this is" },
	{ "/schema", "get", "JSON schemas of action, observation and state" },
	{ "/reset", "post", "A new environment, reset" },
	{ "/step", "post", "A program in a new environment" },
	{ "/state", "get", "The state of a new environment" },
	{ "/mcp", "post", "JSON-RPC 2.0: tools, sessions" },
	{ "/list_environments", "get", "Names of the environments" },
	{ "/" OPENENV_NAME "/splits", "get", "Splits of the tasks" },
	{ "/" OPENENV_NAME "/tasks", "post", "Tasks of a split" },
	{ "/" OPENENV_NAME "/num_tasks", "post", "How many tasks a split has" },
	{ "/" OPENENV_NAME "/task", "post", "One task of a split" },
	{ "/" OPENENV_NAME "/task_range", "post", "Some tasks of a split" },
	{ "/artifacts/{episode}/step-{n}/{file}", "get", "What a step left" },
	{ "/v1/completions", "post",
	  "Answers of the server's model, with token ids and log-probabilities" },
	{ "/v1/chat/completions", "post", "The same in the form of a chat" },
	{ "/v1/models", "get", "The server's model" },
};

void openenv_openapi(struct buf *out, const char *version)
{
	cJSON *o = cJSON_CreateObject(), *info, *list;

	cJSON_AddStringToObject(o, "openapi", "3.1.0");
	info = cJSON_AddObjectToObject(o, "info");
	cJSON_AddStringToObject(info, "title", "CADForge");
	cJSON_AddStringToObject(info, "description", ABOUT);
	cJSON_AddStringToObject(info, "version", version);
	list = cJSON_AddObjectToObject(o, "paths");
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		cJSON *p = cJSON_AddObjectToObject(list, paths[i].path);
		cJSON *verb = cJSON_AddObjectToObject(p, paths[i].method);
		cJSON_AddStringToObject(verb, "summary", paths[i].about);
		cJSON *answers = cJSON_AddObjectToObject(verb, "responses");
		cJSON *ok = cJSON_AddObjectToObject(answers, "200");
		cJSON_AddStringToObject(ok, "description", "OK");
	}
	json_print(out, o);
	cJSON_Delete(o);
}

void openenv_docs(struct buf *out, const char *version)
{
	buf_printf(
		out,
		"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width\">"
		"<title>CADForge %s</title><style>"
		"body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em;"
		"color:#222;background:#fff}code,pre{font-family:monospace;background:#f2f2f2}"
		"pre{padding:.8em;overflow:auto}td{padding:.15em 1em .15em 0;vertical-align:top}"
		"</style><h1>CADForge %s</h1><p>" ABOUT "</p>"
		"<p>An OpenEnv server. A WebSocket at <code>/ws</code> is one session and one "
		"episode; over HTTP each request has an environment of its own. The schemas are at "
		"<a href=\"schema\">schema</a>, this list for programs at <a "
		"href=\"openapi.json\">openapi.json</a>.</p><table>",
		version, version);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		buf_printf(out, "<tr><td>%s<td><code>%s</code><td>%s",
		           strcmp(paths[i].method, "get") == 0 ? "GET" : "POST", paths[i].path,
		           paths[i].about);
	buf_adds(out, "</table><h2>A session</h2><pre>"
	              "&rarr; {\"type\": \"reset\", \"data\": {\"task_id\": "
	              "\"wall_j_hook_120n\"}}\n"
	              "&larr; {\"type\": \"observation\", \"data\": {\"observation\": {...}, "
	              "\"reward\": 0, \"done\": false}}\n"
	              "&rarr; {\"type\": \"step\", \"data\": {\"code\": \"import cadquery as "
	              "cq\\nfixture = cq.Workplane().box(10, 20, 30)\"}}\n"
	              "&larr; {\"type\": \"observation\", ...}\n"
	              "&rarr; {\"type\": \"state\"}\n"
	              "&larr; {\"type\": \"state\", \"data\": {...}}\n"
	              "&rarr; {\"type\": \"close\"}</pre></html>\n");
}
