#include "src/cast.h"

#include <string.h>

#include "src/base/json.h"
#include "src/base/utf8.h"

static int put(struct cast *c, cJSON *o, struct err *e)
{
	struct buf line = { 0 };
	int rc = 0;

	json_print(&line, o);
	cJSON_Delete(o);
	buf_addc(&line, '\n');
	if (buf_failed(&line))
		rc = err_set(e, ERR_MEM, "%s: no memory for a frame", c->name);
	else if (fwrite(buf_str(&line), 1, line.len, c->out) != line.len)
		rc = err_errno(e, ERR_IO, "%s: writing", c->name);
	buf_release(&line);
	return rc;
}

int cast_begin(struct cast *c, FILE *out, const char *name, int cols, int rows, int64_t time_us,
               const char *title, const char *term, struct err *e)
{
	cJSON *o = cJSON_CreateObject(), *env;

	*c = (struct cast){ .out = out, .name = name };
	cJSON_AddNumberToObject(o, "version", 2);
	cJSON_AddNumberToObject(o, "width", cols);
	cJSON_AddNumberToObject(o, "height", rows);
	cJSON_AddNumberToObject(o, "timestamp", (double)(time_us / 1000000));
	cJSON_AddStringToObject(o, "title", title);
	env = cJSON_AddObjectToObject(o, "env");
	cJSON_AddStringToObject(env, "TERM", term);
	return put(c, o, e);
}

int cast_add(struct cast *c, double at_s, const char *bytes, size_t len, struct err *e)
{
	struct buf text = { 0 };
	uint32_t cp;

	if (len == 0)
		return 0;
	for (size_t i = 0; i < len;) {
		int n = bytes[i] ? utf8_decode(bytes + i, len - i, &cp) : 0;
		if (n > 0)
			buf_add(&text, bytes + i, (size_t)n);
		else if (bytes[i]) /* a NUL shows nothing anyway */
			buf_addc(&text, '?');
		i += n > 0 ? (size_t)n : 1;
	}
	if (buf_failed(&text)) {
		buf_release(&text);
		return err_set(e, ERR_MEM, "%s: no memory for a frame", c->name);
	}
	if (at_s < c->last_s)
		at_s = c->last_s;
	c->last_s = at_s;
	c->events++;
	cJSON *a = cJSON_CreateArray();
	/* to the microsecond: players read no more */
	cJSON_AddItemToArray(a, cJSON_CreateNumber((double)(int64_t)(at_s * 1e6 + 0.5) / 1e6));
	cJSON_AddItemToArray(a, cJSON_CreateString("o"));
	cJSON_AddItemToArray(a, cJSON_CreateString(buf_str(&text)));
	buf_release(&text);
	return put(c, a, e);
}
