#include "engine/prompts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/utf8.h"

enum { FILE_MAX = 256 << 10, SETS_MAX = 1000, BASES_MAX = 8, NAME_MAX_BYTES = 63, TAG_MAX = 40 };
#define FORMAT       "cadforge-prompts-1"
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789_-"

/* What programs may import in the open dialect (engine/builder.py refuses others before the jail
 * does). */
#define IMPORTS                                                                                    \
	"cadquery, math, numpy, random, itertools, functools, typing, dataclasses, collections"

const char *prompt_file(enum prompt_kind k)
{
	/* names of build_class_name(); t_prompts compares */
	static const char *const files[PROMPT_KINDS] = {
		[PROMPT_SYSTEM] = "system.txt",
		[PROMPT_TASK] = "task.txt",
		[PROMPT_CHECKS] = "repair/checks.txt",
		[PROMPT_REPAIR + CLASS_BUILD_OK] = "repair/build_ok.txt",
		[PROMPT_REPAIR + CLASS_LOW_EDITABILITY] = "repair/low_editability.txt",
		[PROMPT_REPAIR + CLASS_DISCONNECTED_OR_WEAK] = "repair/disconnected_or_weak.txt",
		[PROMPT_REPAIR + CLASS_SYNTAX_CLOSURE] = "repair/syntax_closure.txt",
		[PROMPT_REPAIR + CLASS_MISSING_FIXTURE] = "repair/missing_fixture.txt",
		[PROMPT_REPAIR + CLASS_INVENTED_API] = "repair/invented_api.txt",
		[PROMPT_REPAIR + CLASS_UNDEFINED_NAME] = "repair/undefined_name.txt",
		[PROMPT_REPAIR + CLASS_TYPE_OR_VALUE] = "repair/type_or_value.txt",
		[PROMPT_REPAIR + CLASS_UNKNOWN_BUILD_FAILURE] = "repair/unknown_build_failure.txt",
	};
	return files[k];
}

const char *const *prompt_placeholders(enum prompt_kind k)
{
	static const char *const of_system[] = { "imports", NULL };
	static const char *const of_task[] = { "id",     "prompt", "box",   "dimensions", "checks",
		                               "family", "level",  "hints", NULL };
	static const char *const of_repair[] = {
		"turn",          "class",       "class_label", "cause",  "total",
		"exception",     "error",       "line",        "source", "limit",
		"clipped",       "program",     "log",         "notes",  "checks",
		"failed_checks", "held_checks", "terms",       "reward", NULL
	};
	return k == PROMPT_SYSTEM ? of_system : k == PROMPT_TASK ? of_task : of_repair;
}

/* ---- templates ---- */

enum piece_kind { PIECE_TEXT, PIECE_VALUE, PIECE_OPEN, PIECE_CLOSE, PIECE_END };

struct piece {
	enum piece_kind kind;
	const char *p; /* of a text: its bytes; else the name */
	size_t n;
};

/* Whether the tag from @tag to @end is alone on its line. */
static bool alone(const char *text, const char *tag, const char *end)
{
	return (tag == text || tag[-1] == '\n') && (*end == '\n' || *end == '\0');
}

/* The next piece of @text at *@at. -1 with words in @e. */
static int next_piece(struct piece *out, const char *text, const char **at, struct err *e)
{
	const char *p = *at, *name = p + 1;

	if (*p == '\0') {
		*out = (struct piece){ PIECE_END, p, 0 };
		return 0;
	}
	if ((*p == '{' || *p == '}') && p[1] == *p) {
		*out = (struct piece){ PIECE_TEXT, p, 1 };
		*at = p + 2;
		return 0;
	}
	if (*p == '}')
		return err_set(e, ERR_INPUT, "} without {: a brace itself is written }}");
	if (*p != '{') {
		size_t n = strcspn(p, "{}");
		*out = (struct piece){ PIECE_TEXT, p, n };
		*at = p + n;
		return 0;
	}
	enum piece_kind kind = *name == '?' ? PIECE_OPEN : *name == '/' ? PIECE_CLOSE : PIECE_VALUE;
	name += kind != PIECE_VALUE;
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	if (n == 0 || n > TAG_MAX || name[n] != '}')
		return err_set(
			e, ERR_INPUT,
			"{ begins no placeholder: {name}, {?name} or {/name} wanted; a brace "
			"itself is written {{");
	*out = (struct piece){ kind, name, n };
	*at = name + n + 1;
	if (kind != PIECE_VALUE && alone(text, p, *at) && **at == '\n')
		++*at;
	return 0;
}

static bool is_name(const struct piece *piece, const char *name)
{
	return strlen(name) == piece->n && strncmp(name, piece->p, piece->n) == 0;
}

/* One walk for both: @out NULL and @values NULL only checks. *@bad: where it went wrong. */
static int walk(struct buf *out, const char *text, enum prompt_kind k,
                const struct prompt_value *values, int n, const char **bad, struct err *e)
{
	const char *const *known = prompt_placeholders(k);
	struct piece piece = { 0 }, open = { 0 };
	const char *at = text, *opened = NULL;
	bool keep = true;

	for (;;) {
		*bad = at;
		if (next_piece(&piece, text, &at, e) < 0)
			return -1;
		if (piece.kind == PIECE_END)
			break;
		if (piece.kind == PIECE_TEXT) {
			if (out && keep)
				buf_add(out, piece.p, piece.n);
			continue;
		}
		int i = 0, v = 0;
		while (known[i] && !is_name(&piece, known[i]))
			i++;
		if (!known[i]) {
			struct buf all = { 0 };
			for (i = 0; known[i]; i++)
				buf_printf(&all, "%s{%s}", i ? ", " : "", known[i]);
			err_set(e, ERR_INPUT, "{%.*s}: no such placeholder here; there are %s",
			        (int)piece.n, piece.p, buf_str(&all));
			buf_release(&all);
			return -1;
		}
		while (values && v < n && !is_name(&piece, values[v].name))
			v++;
		if (values && v == n)
			return err_set(e, ERR_INPUT, "{%.*s}: no value was given", (int)piece.n,
			               piece.p);
		const char *value = values && values[v].text ? values[v].text : "";
		switch (piece.kind) {
		case PIECE_VALUE:
			if (out && keep)
				buf_adds(out, value);
			break;
		case PIECE_OPEN:
			if (opened)
				return err_set(
					e, ERR_INPUT,
					"{?%.*s}: {?%.*s} is still open, and they do not nest",
					(int)piece.n, piece.p, (int)open.n, open.p);
			open = piece;
			opened = *bad;
			keep = *value != '\0';
			break;
		default:
			if (!opened || open.n != piece.n || strncmp(open.p, piece.p, piece.n) != 0)
				return err_set(e, ERR_INPUT, "{/%.*s}: {?%.*s} is not open",
				               (int)piece.n, piece.p, (int)piece.n, piece.p);
			opened = NULL;
			keep = true;
		}
	}
	if (opened) {
		*bad = opened;
		return err_set(e, ERR_INPUT, "{?%.*s}: its {/%.*s} is missing", (int)open.n, open.p,
		               (int)open.n, open.p);
	}
	return 0;
}

int prompt_render(struct buf *out, const struct prompt_set *s, enum prompt_kind k,
                  const struct prompt_value *values, int n, struct err *e)
{
	static const struct prompt_value none = { "", "" };
	const char *bad;

	if (walk(out, s->text[k], k, values ? values : &none, n, &bad, e) < 0)
		return err_wrap(e, "%s/%s", s->dir, prompt_file(k));
	if (buf_failed(out))
		return err_set(e, ERR_MEM, "no memory for a prompt");
	return 0;
}

/* ---- sets ---- */

void prompt_set_release(struct prompt_set *s)
{
	free(s->name);
	free(s->about);
	free(s->base);
	free(s->dir);
	for (int k = 0; k < PROMPT_KINDS; k++)
		free(s->text[k]);
	*s = (struct prompt_set){ 0 };
}

static int line_at(const char *text, const char *at)
{
	int line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

/* One text of the set; where there is no such file, *@out stays NULL. */
static int read_one(char **out, const char *dir, enum prompt_kind k, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	const char *bad;
	size_t at;
	int rc = -1;

	buf_printf(&path, "%s/%s", dir, prompt_file(k));
	if (access(buf_str(&path), F_OK) != 0 && errno == ENOENT) {
		rc = 0;
		goto out;
	}
	if (buf_read_file(&text, buf_str(&path), FILE_MAX, e) < 0)
		goto out;
	if (!utf8_valid(buf_str(&text), text.len, &at)) {
		err_set(e, ERR_INPUT, "%s:%d: byte 0x%02x is no UTF-8", buf_str(&path),
		        line_at(text.data, text.data + at), (unsigned char)text.data[at]);
		goto out;
	}
	if (memchr(buf_str(&text), 0, text.len)) {
		err_set(e, ERR_INPUT, "%s: a NUL is no text", buf_str(&path));
		goto out;
	}
	if (!utf8_plain(buf_str(&text), text.len, &at)) {
		struct buf shown = { 0 };
		uint32_t c;
		utf8_clean(&shown, text.data + at,
		           (size_t)utf8_decode(text.data + at, text.len - at, &c));
		err_set(e, ERR_INPUT,
		        "%s:%d: a sign that is not seen (%.10s): leave it out: a prompt is what "
		        "one sees",
		        buf_str(&path), line_at(text.data, text.data + at), buf_str(&shown));
		buf_release(&shown);
		goto out;
	}
	while (text.len && isspace((unsigned char)text.data[text.len - 1]))
		text.data[--text.len] = '\0';
	if (text.len == 0) {
		err_set(e, ERR_INPUT, "%s: empty", buf_str(&path));
		goto out;
	}
	if (walk(NULL, buf_str(&text), k, NULL, 0, &bad, e) < 0) {
		err_wrap(e, "%s:%d", buf_str(&path), line_at(text.data, bad));
		goto out;
	}
	*out = buf_take(&text, NULL);
	rc = *out ? 0 : err_set(e, ERR_MEM, "no memory for a prompt");
out:
	buf_release(&path);
	buf_release(&text);
	return rc;
}

/* A file of another name is one that nothing reads: likely a name misspelt. */
static int check_strays(const char *dir, const char *sub, struct err *e)
{
	struct buf path = { 0 };
	int rc = 0;

	buf_printf(&path, "%s%s%s", dir, *sub ? "/" : "", sub);
	DIR *d = opendir(buf_str(&path));
	if (!d && (errno != ENOENT || !*sub))
		rc = err_errno(e, ERR_INPUT, "prompt set %s", buf_str(&path));
	for (struct dirent *x; rc == 0 && d && (x = readdir(d));) {
		char name[600];
		bool known = x->d_name[0] == '.' || strncmp(x->d_name, "README", 6) == 0;
		snprintf(name, sizeof(name), "%s%s%s", sub, *sub ? "/" : "", x->d_name);
		known = known ||
		        (!*sub && (strcmp(name, "set.json") == 0 || strcmp(name, "repair") == 0));
		for (int k = 0; k < PROMPT_KINDS; k++)
			known = known || strcmp(name, prompt_file((enum prompt_kind)k)) == 0;
		if (!known)
			rc = err_set(e, ERR_INPUT,
			             "%s/%s: no file of a prompt set: system.txt, task.txt, "
			             "repair/checks.txt and repair/CLASS.txt are",
			             dir, name);
	}
	if (d)
		closedir(d);
	buf_release(&path);
	return rc;
}

static int read_head(struct prompt_set *s, struct err *e)
{
	static const char *const keys[] = { "format", "name", "about", "base", NULL };
	struct buf path = { 0 }, text = { 0 };
	const char *format, *name, *about;
	cJSON *o = NULL;
	int rc = -1;

	buf_printf(&path, "%s/set.json", s->dir);
	if (buf_read_file(&text, buf_str(&path), FILE_MAX, e) < 0)
		goto out;
	o = json_parse_bounded(buf_str(&text), text.len, 1000, e);
	if (!o)
		goto wrong;
	if (!cJSON_IsObject(o)) {
		err_set(e, ERR_INPUT, "an object wanted: { ... }");
		goto wrong;
	}
	for (const cJSON *v = o->child; v; v = v->next) {
		int i = 0;
		while (keys[i] && strcmp(keys[i], v->string) != 0)
			i++;
		if (!keys[i] || cJSON_GetObjectItemCaseSensitive(o, v->string) != v) {
			err_set(e, ERR_INPUT, "line %d: %.60s: %s",
			        json_line_of(buf_str(&text), text.len, o, v), v->string,
			        keys[i] ? "the key is there twice" : "no such key");
			goto wrong;
		}
	}
	if (json_get_string(o, "format", &format, e) < 0 ||
	    json_get_string(o, "name", &name, e) < 0 || json_get_string(o, "about", &about, e) < 0)
		goto wrong;
	if (strcmp(format, FORMAT) != 0) {
		err_set(e, ERR_INPUT, "format: \"" FORMAT "\" wanted, got \"%.40s\"", format);
		goto wrong;
	}
	if (strcmp(name, s->name) != 0) {
		err_set(e, ERR_INPUT, "name: \"%s\" wanted, as the folder is called, got \"%.60s\"",
		        s->name, name);
		goto wrong;
	}
	const cJSON *base = cJSON_GetObjectItemCaseSensitive(o, "base");
	if (base && !cJSON_IsNull(base) &&
	    (!cJSON_IsString(base) || strcmp(base->valuestring, s->name) == 0)) {
		err_set(e, ERR_INPUT, "base: the name of another set wanted");
		goto wrong;
	}
	s->about = strdup(about);
	s->base = cJSON_IsString(base) ? strdup(base->valuestring) : NULL;
	if (!s->about || (cJSON_IsString(base) && !s->base))
		err_set(e, ERR_MEM, "no memory for a prompt set");
	else
		rc = 0;
	goto out;
wrong:
	err_wrap(e, "%s", buf_str(&path));
out:
	cJSON_Delete(o);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static int no_such_set(const char *const *dirs, int n_dirs, const char *name, struct err *e)
{
	struct buf all = { 0 };
	char **names = NULL;
	int n = prompt_set_names(&names, dirs, n_dirs, e);

	if (n < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
		free(names[i]);
	}
	free(names);
	err_set(e, ERR_USAGE, "no prompt set is called \"%.80s\"; there %s %s", name,
	        n == 1 ? "is" : "are",
	        n ? buf_str(&all)
	          : "none: CADFORGE_TASKS names the folder "
	            "that holds prompts/");
	buf_release(&all);
	return -1;
}

static void hash_texts(struct prompt_set *s)
{
	struct sha256 h;

	sha256_start(&h);
	for (int k = 0; k < PROMPT_KINDS; k++) {
		const char *file = prompt_file((enum prompt_kind)k);
		sha256_add(&h, file, strlen(file) + 1);
		sha256_add(&h, s->text[k], strlen(s->text[k]) + 1);
	}
	sha256_end_hex(&h, s->hash);
}

static int load(struct prompt_set *out, const char *const *dirs, int n_dirs, const char *name,
                int depth, struct err *e)
{
	struct prompt_set s = { 0 }, base = { 0 };
	struct buf path = { 0 };
	struct stat st;
	int rc = -1, missing = 0;

	if (!*name || strlen(name) > NAME_MAX_BYTES || name[strspn(name, NAME_LETTERS)])
		return no_such_set(dirs, n_dirs, name, e);
	for (int i = 0; i < n_dirs && !s.dir; i++) {
		buf_clear(&path);
		buf_printf(&path, "%s/%s", dirs[i], name);
		if (stat(buf_str(&path), &st) == 0 && S_ISDIR(st.st_mode))
			s.dir = buf_take(&path, NULL);
	}
	buf_release(&path);
	if (!s.dir)
		return no_such_set(dirs, n_dirs, name, e);
	s.name = strdup(name);
	if (!s.name) {
		err_set(e, ERR_MEM, "no memory for a prompt set");
		goto out;
	}
	if (read_head(&s, e) < 0 || check_strays(s.dir, "", e) < 0 ||
	    check_strays(s.dir, "repair", e) < 0)
		goto out;
	for (int k = 0; k < PROMPT_KINDS; k++) {
		if (read_one(&s.text[k], s.dir, (enum prompt_kind)k, e) < 0)
			goto out;
		if (s.text[k])
			continue;
		if (!s.base) {
			err_set(e, ERR_INPUT,
			        "%s/%s is missing, and set.json names no \"base\" to take it from",
			        s.dir, prompt_file((enum prompt_kind)k));
			goto out;
		}
		missing++;
	}
	if (missing && depth >= BASES_MAX) {
		err_set(e, ERR_INPUT, "%s/set.json: base: more than %d sets in a row, or a circle",
		        s.dir, BASES_MAX);
		goto out;
	}
	if (s.base && load(&base, dirs, n_dirs, s.base, depth + 1, e) < 0) {
		err_wrap(e, "base of prompt set %s", s.name);
		e->kind = e->kind == ERR_USAGE ? ERR_INPUT : e->kind;
		goto out;
	}
	for (int k = 0; k < PROMPT_KINDS; k++)
		if (!s.text[k]) {
			s.text[k] = base.text[k];
			base.text[k] = NULL;
			s.inherited[k] = true;
		}
	hash_texts(&s);
	*out = s;
	s = (struct prompt_set){ 0 };
	rc = 0;
out:
	prompt_set_release(&base);
	prompt_set_release(&s);
	return rc;
}

int prompt_set_load(struct prompt_set *out, const char *const *dirs, int n_dirs, const char *name,
                    struct err *e)
{
	return load(out, dirs, n_dirs, name, 0, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int prompt_set_names(char ***out, const char *const *dirs, int n_dirs, struct err *e)
{
	char **names = NULL;
	int n = 0, kept = 0;

	for (int i = 0; i < n_dirs; i++) {
		DIR *d = opendir(dirs[i]);
		for (struct dirent *x; d && n < SETS_MAX && (x = readdir(d));) {
			struct buf path = { 0 };
			struct stat st;
			buf_printf(&path, "%s/%s", dirs[i], x->d_name);
			bool set = x->d_name[0] != '.' && stat(buf_str(&path), &st) == 0 &&
			           S_ISDIR(st.st_mode);
			buf_release(&path);
			if (!set)
				continue;
			char **more = realloc(names, sizeof(*more) * (size_t)(n + 1));
			if (more)
				names = more;
			char *name = more ? strdup(x->d_name) : NULL;
			if (!name) {
				closedir(d);
				for (int k = 0; k < n; k++)
					free(names[k]);
				free(names);
				return err_set(e, ERR_MEM, "no memory for %d prompt sets", n);
			}
			names[n++] = name;
		}
		if (d)
			closedir(d);
	}
	if (n)
		qsort(names, (size_t)n, sizeof(*names), by_name);
	for (int i = 0; i < n; i++) {
		if (kept && strcmp(names[kept - 1], names[i]) == 0)
			free(names[i]);
		else
			names[kept++] = names[i];
	}
	*out = names;
	return kept;
}

/* ---- the two that need no turn ---- */

int prompt_system(struct buf *out, const struct prompt_set *s, struct err *e)
{
	const struct prompt_value v[] = { { "imports", IMPORTS } };

	return prompt_render(out, s, PROMPT_SYSTEM, v, 1, e);
}

int prompt_task(struct buf *out, const struct prompt_set *s, const struct task *t, struct err *e)
{
	struct buf box = { 0 }, dimensions = { 0 }, checks = { 0 }, hints = { 0 };
	const cJSON *c;

	buf_printf(&box, "%s%.10g x %.10g x %.10g mm (X x Y x Z)",
	           json_bool_or(t->expect, "envelope_is_maximum", false) ? "at most " : "",
	           t->bbox_mm[0], t->bbox_mm[1], t->bbox_mm[2]);
	for (int i = 0; i < t->n_dimensions; i++) {
		const struct task_dimension *d = &t->dimensions[i];
		buf_printf(&dimensions, "%s- %s = %.10g mm: %s", i ? "\n" : "", d->name,
		           d->value_mm, d->about);
	}
	cJSON_ArrayForEach(c, t->checks)
	{
		const char *about = json_string_or(c, "about", "");
		if (*about)
			buf_printf(&checks, "%s- %s", checks.len ? "\n" : "", about);
	}
	for (int i = 0; i < t->n_hints; i++)
		buf_printf(&hints, "%s%s", i ? ", " : "", t->hints[i]);
	const struct prompt_value v[] = {
		{ "id", t->id },
		{ "prompt", t->prompt },
		{ "box", buf_str(&box) },
		{ "dimensions", buf_str(&dimensions) },
		{ "checks", buf_str(&checks) },
		{ "family", t->family },
		{ "level", task_level_name(t->level) },
		{ "hints", buf_str(&hints) },
	};
	int rc = buf_failed(&box) || buf_failed(&dimensions) || buf_failed(&checks) ||
	                         buf_failed(&hints)
	                 ? err_set(e, ERR_MEM, "no memory for a prompt")
	                 : prompt_render(out, s, PROMPT_TASK, v, sizeof(v) / sizeof(*v), e);
	buf_release(&box);
	buf_release(&dimensions);
	buf_release(&checks);
	buf_release(&hints);
	return rc;
}
