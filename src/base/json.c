#include "src/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *type_name(const cJSON *v)
{
	if (!v)
		return "nothing";
	if (cJSON_IsBool(v))
		return "true or false";
	if (cJSON_IsNull(v))
		return "null";
	if (cJSON_IsNumber(v))
		return "a number";
	if (cJSON_IsString(v))
		return "a string";
	if (cJSON_IsArray(v))
		return "an array";
	return "an object";
}

/* cJSON recurses once a level and takes 1000; a little stack may have less room than that. And it
 * makes a node of 64 bytes of every value. Says what is too much of it, and where; NULL: nothing.
 */
static const char *too_much(const char *text, size_t len, size_t values_max, size_t *at)
{
	int depth = 0;
	size_t values = 1;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			*at = i;
			if (++depth > 512)
				return "JSON nested deeper than 512 levels";
			values++;
		} else if (c == ']' || c == '}') {
			depth--;
		} else if (c == ',') {
			values++;
		}
		if (values > values_max) {
			*at = i;
			return "JSON of more values than are taken";
		}
	}
	return NULL;
}

static void place(const char *text, size_t at, int *line, int *column)
{
	*line = 1;
	*column = 1;
	for (size_t i = 0; i < at; i++) {
		if (text[i] == '\n') {
			(*line)++;
			*column = 1;
		} else {
			(*column)++;
		}
	}
}

cJSON *json_parse(const char *text, size_t len, struct err *e)
{
	return json_parse_bounded(text, len, JSON_VALUES_MAX, e);
}

cJSON *json_parse_bounded(const char *text, size_t len, size_t values_max, struct err *e)
{
	const char *end = NULL;
	size_t at = 0;
	int line, column;

	const char *much = too_much(text, len, values_max, &at);
	if (much) {
		place(text, at, &line, &column);
		err_set(e, ERR_INPUT, "line %d, column %d: %s", line, column, much);
		return NULL;
	}
	at = 0;
	cJSON *v = cJSON_ParseWithLengthOpts(text, len, &end, false);
	if (v) {
		at = (size_t)(end - text);
		while (at < len && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' ||
		                    text[at] == '\t'))
			at++;
		if (at == len)
			return v;
		cJSON_Delete(v);
		place(text, at, &line, &column);
		err_set(e, ERR_INPUT, "line %d, column %d: text after the JSON value", line,
		        column);
		return NULL;
	}
	at = end ? (size_t)(end - text) : 0;
	if (at > len)
		at = len;
	place(text, at, &line, &column);
	if (at == len)
		err_set(e, ERR_INPUT, "line %d, column %d: the JSON text ends too early", line,
		        column);
	else
		err_set(e, ERR_INPUT, "line %d, column %d: not JSON (at byte %zu, value 0x%02x)",
		        line, column, at, (unsigned char)text[at]);
	return NULL;
}

/* Values of @v that come before @node in the text, counted on in @n. */
static bool count_to(const cJSON *v, const cJSON *node, size_t *n)
{
	if (v == node)
		return true;
	(*n)++;
	for (const cJSON *child = v->child; child; child = child->next)
		if (count_to(child, node, n))
			return true;
	return false;
}

static size_t string_end(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++)
		if (text[i] == '\\')
			i++;
	return i < len ? i + 1 : len;
}

int json_line_of(const char *text, size_t len, const cJSON *root, const cJSON *node)
{
	size_t before = 0, i = 0;
	int line, column;

	if (!root || !node || !count_to(root, node, &before))
		return 1;
	/* every value in the text, in its order: keys are strings that a colon follows */
	while (i < len) {
		size_t at = i, end;
		if (strchr(" \t\r\n,:]}", text[i]) || (unsigned char)text[i] >= 0x80) {
			i++;
			continue;
		}
		if (text[i] == '"') {
			end = string_end(text, len, i);
			i = end;
			while (i < len && text[i] && strchr(" \t\r\n", text[i]))
				i++;
			if (i < len && text[i] == ':')
				continue;
			i = end;
		} else if (text[i] == '[' || text[i] == '{') {
			i++;
		} else {
			while (i < len && text[i] && !strchr(" \t\r\n,:]}[{\"", text[i]))
				i++;
			if (i == at)
				i++;
		}
		if (before-- == 0) {
			place(text, at, &line, &column);
			return line;
		}
	}
	return 1;
}

/* The shortest of 15, 16 or 17 digits that reads back as the same double. cJSON's own choice may be
 * one unit in the last place off, and rewards are compared bit for bit. */
static void exact_number(char out[32], double v)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, 32, "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			return;
	}
}

static bool exact_numbers(cJSON *v)
{
	if (cJSON_IsNumber(v) && isfinite(v->valuedouble)) {
		char text[32];
		exact_number(text, v->valuedouble);
		v->valuestring = cJSON_malloc(strlen(text) + 1);
		if (!v->valuestring)
			return false;
		strcpy(v->valuestring, text);
		v->type = (v->type & ~0xff) | cJSON_Raw;
	}
	for (cJSON *child = v->child; child; child = child->next)
		if (!exact_numbers(child))
			return false;
	return true;
}

void json_print(struct buf *out, const cJSON *v)
{
	cJSON *copy = cJSON_Duplicate(v, true);
	char *s = copy && exact_numbers(copy) ? cJSON_PrintUnformatted(copy) : NULL;

	if (s)
		buf_adds(out, s);
	else
		out->failed = true;
	cJSON_free(s);
	cJSON_Delete(copy);
}

static int wanted(const cJSON *o, const char *key, const char *what, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return err_set(e, ERR_INPUT, "%s: %s wanted, got %s", key, what, type_name(v));
}

int json_get_string(const cJSON *o, const char *key, const char **out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!cJSON_IsString(v))
		return wanted(o, key, "a string", e);
	*out = v->valuestring;
	return 0;
}

int json_get_number(const cJSON *o, const char *key, double *out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!cJSON_IsNumber(v))
		return wanted(o, key, "a number", e);
	*out = v->valuedouble;
	return 0;
}

int json_get_int(const cJSON *o, const char *key, long long min, long long max, long long *out,
                 struct err *e)
{
	double d;

	if (json_get_number(o, key, &d, e) < 0)
		return -1;
	if (!(d >= (double)min && d <= (double)max) || d != floor(d))
		return err_set(e, ERR_INPUT, "%s: a whole number from %lld to %lld wanted, got %g",
		               key, min, max, d);
	*out = (long long)d;
	return 0;
}

int json_get_number_between(const cJSON *o, const char *key, double def, double min, double max,
                            double *out, struct err *e)
{
	*out = def;
	if (!cJSON_GetObjectItemCaseSensitive(o, key))
		return 0;
	if (json_get_number(o, key, out, e) < 0)
		return -1;
	if (!(*out >= min && *out <= max))
		return err_set(e, ERR_INPUT, "%s: %g is not in %g to %g", key, *out, min, max);
	return 0;
}

int json_get_numbers(const cJSON *o, const char *key, double *out, int n, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!cJSON_IsArray(v))
		return err_set(e, ERR_INPUT, "%s: %d numbers wanted, got %s", key, n, type_name(v));
	if (cJSON_GetArraySize(v) != n)
		return err_set(e, ERR_INPUT, "%s: %d numbers wanted, got %d", key, n,
		               cJSON_GetArraySize(v));
	int i = 0;
	const cJSON *item;
	cJSON_ArrayForEach(item, v)
	{
		if (!cJSON_IsNumber(item))
			return err_set(e, ERR_INPUT, "%s[%d]: a number wanted, got %s", key, i,
			               type_name(item));
		out[i++] = item->valuedouble;
	}
	return 0;
}

double json_number_or(const cJSON *o, const char *key, double def)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(v) ? v->valuedouble : def;
}

bool json_bool_or(const cJSON *o, const char *key, bool def)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsBool(v) ? (bool)cJSON_IsTrue(v) : def;
}

const char *json_string_or(const cJSON *o, const char *key, const char *def)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsString(v) ? v->valuestring : def;
}

void json_add_figure(cJSON *o, const char *key, double v)
{
	if (isfinite(v))
		cJSON_AddNumberToObject(o, key, v);
	else
		cJSON_AddNullToObject(o, key);
}

void json_add_text(cJSON *o, const char *key, const char *text)
{
	if (text)
		cJSON_AddStringToObject(o, key, text);
	else
		cJSON_AddNullToObject(o, key);
}

void json_add_figures(cJSON *o, const char *key, const double *v, int n)
{
	cJSON *a = cJSON_AddArrayToObject(o, key);

	for (int i = 0; i < n; i++)
		cJSON_AddItemToArray(a, isfinite(v[i]) ? cJSON_CreateNumber(v[i])
		                                       : cJSON_CreateNull());
}
