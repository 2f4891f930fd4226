#include "src/jsonl.h"

#include <string.h>

#include "src/base/utf8.h"

enum { VALUES_MAX = 100000 };

static const char *kind_of(const cJSON *v)
{
	if (!v)
		return "nothing";
	if (cJSON_IsNull(v))
		return "null";
	if (cJSON_IsBool(v))
		return "true or false";
	if (cJSON_IsNumber(v))
		return "a number";
	if (cJSON_IsString(v))
		return "a text";
	return cJSON_IsArray(v) ? "a list" : "an object";
}

/* A text that may be missing or null. */
static int take_text(const cJSON *o, const char *key, const char **out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	*out = cJSON_IsString(v) ? v->valuestring : NULL;
	if (!v || cJSON_IsNull(v) || cJSON_IsString(v))
		return 0;
	return err_set(e, ERR_INPUT, "%s: a text was expected, got %s", key, kind_of(v));
}

static int check_messages(const cJSON *list, const char *key, struct err *e)
{
	const cJSON *m;
	int i = 0;

	cJSON_ArrayForEach(m, list)
	{
		const cJSON *role = cJSON_GetObjectItemCaseSensitive(m, "role");
		const cJSON *content = cJSON_GetObjectItemCaseSensitive(m, "content");
		if (!cJSON_IsObject(m))
			return err_set(
				e, ERR_INPUT,
				"%s[%d]: an object {\"role\", \"content\"} was expected, got %s",
				key, i, kind_of(m));
		if (!cJSON_IsString(role))
			return err_set(e, ERR_INPUT, "%s[%d].role: a text was expected, got %s",
			               key, i, kind_of(role));
		if (!cJSON_IsString(content))
			return err_set(e, ERR_INPUT, "%s[%d].content: a text was expected, got %s",
			               key, i, kind_of(content));
		i++;
	}
	return i > 0 ? 0 : err_set(e, ERR_INPUT, "%s: an empty list", key);
}

static void add_message(cJSON *list, const char *role, const char *content)
{
	cJSON *m = cJSON_CreateObject();

	cJSON_AddStringToObject(m, "role", role);
	cJSON_AddStringToObject(m, "content", content);
	cJSON_AddItemToArray(list, m);
}

/* role and content alone, of the first @n. */
static cJSON *copy_messages(const cJSON *list, int n)
{
	cJSON *out = cJSON_CreateArray();
	const cJSON *m;

	cJSON_ArrayForEach(m, list)
	{
		if (n-- <= 0)
			break;
		add_message(out, json_string_or(m, "role", ""), json_string_or(m, "content", ""));
	}
	return out;
}

/* The answer that a list of messages ends with. */
static int last_answer(const cJSON *list, const char *key, const char **out, struct err *e)
{
	const cJSON *last = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);

	if (check_messages(list, key, e) < 0)
		return -1;
	if (strcmp(json_string_or(last, "role", ""), "assistant") != 0)
		return err_set(e, ERR_INPUT,
		               "%s: the last message was expected to be the assistant's, got role "
		               "'%.40s'",
		               key, json_string_or(last, "role", ""));
	*out = json_string_or(last, "content", "");
	return 0;
}

static int take_completion(struct jsonl_completion *c, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(c->json, "completion");
	const cJSON *messages = cJSON_GetObjectItemCaseSensitive(c->json, "messages");

	if (cJSON_IsString(v)) {
		c->completion = v->valuestring;
		return 0;
	}
	if (cJSON_IsArray(v)) {
		if (last_answer(v, "completion", &c->completion, e) < 0)
			return -1;
		return cJSON_GetArraySize(v) == 1
		               ? 0
		               : err_set(e, ERR_INPUT,
		                         "completion: one message was expected, got %d",
		                         cJSON_GetArraySize(v));
	}
	if (v && !cJSON_IsNull(v))
		return err_set(e, ERR_INPUT, "completion: a text was expected, got %s", kind_of(v));
	if (!cJSON_IsArray(messages))
		return err_set(e, ERR_INPUT,
		               "completion: a text was expected, and there is none (nor a list of "
		               "messages that ends with one)");
	if (last_answer(messages, "messages", &c->completion, e) < 0)
		return -1;
	int before = cJSON_GetArraySize(messages) - 1;
	if (before > 0)
		c->prompt = copy_messages(messages, before);
	return 0;
}

static int take_prompt(struct jsonl_completion *c, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(c->json, "prompt");

	if (!v || cJSON_IsNull(v) || c->prompt)
		return 0;
	if (cJSON_IsString(v)) {
		c->prompt = cJSON_CreateArray();
		add_message(c->prompt, "user", v->valuestring);
		return 0;
	}
	if (!cJSON_IsArray(v))
		return err_set(e, ERR_INPUT,
		               "prompt: a text or a list of messages was expected, got %s",
		               kind_of(v));
	if (check_messages(v, "prompt", e) < 0)
		return -1;
	c->prompt = copy_messages(v, cJSON_GetArraySize(v));
	return 0;
}

/* A NUL as JSON writes it, which ends a text of C's: where it begins, else @len. */
static size_t escaped_nul(const char *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (p[i] != '\\')
			continue;
		if (len - i >= 6 && memcmp(p + i + 1, "u0000", 5) == 0)
			return i;
		i++; /* what is escaped is no beginning */
	}
	return len;
}

int jsonl_checked(const char *line, size_t len, struct err *e)
{
	size_t bad;

	if (!utf8_valid(line, len, &bad))
		return err_set(e, ERR_INPUT, "byte %zu is no UTF-8", bad + 1);
	const char *nul = memchr(line, '\0', len);
	bad = nul ? (size_t)(nul - line) : escaped_nul(line, len);
	if (bad < len)
		return err_set(e, ERR_INPUT, "byte %zu: a NUL, which no text here may have",
		               bad + 1);
	return 0;
}

int jsonl_completion_parse(struct jsonl_completion *out, const char *line, size_t len,
                           struct err *e)
{
	struct jsonl_completion c = { 0 };

	if (jsonl_checked(line, len, e) < 0)
		return -1;
	if (!(c.json = json_parse_bounded(line, len, VALUES_MAX, e)))
		return -1;
	if (!cJSON_IsObject(c.json)) {
		err_set(e, ERR_INPUT, "an object was expected, got %s", kind_of(c.json));
		goto fail;
	}
	if (take_completion(&c, e) < 0 || take_prompt(&c, e) < 0 ||
	    take_text(c.json, "task", &c.task, e) < 0 ||
	    (!c.task && take_text(c.json, "task_id", &c.task, e) < 0) ||
	    take_text(c.json, "model", &c.model, e) < 0 ||
	    take_text(c.json, "adapter", &c.adapter, e) < 0 ||
	    take_text(c.json, "finish", &c.finish, e) < 0)
		goto fail;
	*out = c;
	return 0;
fail:
	jsonl_completion_release(&c);
	return -1;
}

cJSON *jsonl_columns(const char *line, size_t len)
{
	cJSON *o;
	const cJSON *first;

	if (jsonl_checked(line, len, NULL) < 0 ||
	    !(o = json_parse_bounded(line, len, VALUES_MAX, NULL)))
		return NULL;
	first = cJSON_GetObjectItemCaseSensitive(o, "completion");
	first = cJSON_IsArray(first) ? first->child : NULL;
	if (cJSON_IsString(first) || cJSON_IsArray(first))
		return o;
	cJSON_Delete(o);
	return NULL;
}

cJSON *jsonl_row(const cJSON *columns, int i)
{
	cJSON *row = cJSON_CreateObject();
	const cJSON *v, *item;

	cJSON_ArrayForEach(v, columns)
	{
		item = cJSON_IsArray(v) ? cJSON_GetArrayItem(v, i) : v;
		if (item && v->string)
			cJSON_AddItemToObject(row, v->string, cJSON_Duplicate(item, true));
	}
	return row;
}

void jsonl_completion_release(struct jsonl_completion *c)
{
	cJSON_Delete(c->prompt);
	cJSON_Delete(c->json);
	*c = (struct jsonl_completion){ 0 };
}

bool jsonl_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '\n')
			return false;
	return true;
}

bool jsonl_text(struct buf *out, const char *text, size_t len)
{
	bool changed = false;
	uint32_t cp;

	for (size_t i = 0; i < len;) {
		int n = utf8_decode(text + i, len - i, &cp);
		if (n == 0 || text[i] == '\0') {
			buf_adds(out, "\xef\xbf\xbd");
			changed = true;
			i++;
			continue;
		}
		buf_add(out, text + i, (size_t)n);
		i += (size_t)n;
	}
	return changed;
}
