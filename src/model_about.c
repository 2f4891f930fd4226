#include "src/model_about.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/utf8.h"

enum { BYTES_MAX = 1 << 20, VALUES_MAX = 10000 };

/* 1 with *out, 0 when there is no such file, -1 with @e. */
static int read_object(cJSON **out, const char *dir, const char *name, struct err *e)
{
	char path[PATH_MAX];
	struct buf text = { 0 };
	int rc = -1;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    access(path, F_OK) < 0)
		return 0;
	if (buf_read_file(&text, path, BYTES_MAX, e) < 0)
		goto out;
	if (!(*out = json_parse_bounded(buf_str(&text), text.len, VALUES_MAX, e))) {
		err_wrap(e, "%s", path);
		goto out;
	}
	if (!cJSON_IsObject(*out)) {
		cJSON_Delete(*out);
		*out = NULL;
		err_set(e, ERR_INPUT, "%s: an object was expected", path);
		goto out;
	}
	rc = 1;
out:
	buf_release(&text);
	return rc;
}

/* One clean line of at most @size - 1 bytes, whole characters. */
static int take(char *out, size_t size, const cJSON *o, const char *dir, const char *key,
                struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	struct buf line = { 0 };
	int rc = 0;

	if (!v)
		return 0;
	if (cJSON_IsString(v))
		utf8_clean_line(&line, v->valuestring, strlen(v->valuestring));
	if (!cJSON_IsString(v) || line.len >= size)
		rc = err_set(e, ERR_INPUT,
		             "%s/cadforge.json: %s: a text of at most %zu bytes was expected", dir,
		             key, size - 1);
	else
		snprintf(out, size, "%s", buf_str(&line));
	buf_release(&line);
	return rc;
}

static int take_tokens(int *out, const cJSON *o, const char *dir, struct err *e)
{
	long long n = 0;

	if (cJSON_HasObjectItem(o, "answer_tokens") &&
	    json_get_int(o, "answer_tokens", 0, 1 << 24, &n, e) < 0)
		return err_wrap(e, "%s/cadforge.json", dir);
	*out = (int)n;
	return 0;
}

int model_about_read(struct model_about *out, const char *model, struct err *e)
{
	struct model_about m = { .name = "" };
	cJSON *o = NULL;
	int rc = 0;

	*out = m;
	if (!model || strstr(model, "://") || strncmp(model, "random:", 7) == 0)
		return 0;
	if (read_object(&o, model, "cadforge.json", e) < 0)
		return -1;
	if (o)
		rc = take(m.name, sizeof(m.name), o, model, "name", e) < 0 ||
		                     take(m.label, sizeof(m.label), o, model, "label", e) < 0 ||
		                     take(m.about, sizeof(m.about), o, model, "about", e) < 0 ||
		                     take(m.prompts, sizeof(m.prompts), o, model, "prompts", e) <
		                             0 ||
		                     take_tokens(&m.answer_tokens, o, model, e) < 0
		             ? -1
		             : 0;
	cJSON_Delete(o);
	o = NULL;
	if (rc < 0 || read_object(&o, model, "generation_config.json", e) < 0)
		return -1;
	if (o) {
		const cJSON *sample = cJSON_GetObjectItemCaseSensitive(o, "do_sample");
		m.greedy = cJSON_IsFalse(sample) || json_number_or(o, "temperature", 1) == 0;
	}
	cJSON_Delete(o);
	*out = m;
	return 0;
}
