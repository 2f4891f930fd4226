/*
 * chat_default.c - what a chat template does about thinking when nobody says.
 *
 * Templates are Jinja, and there are many of them; this follows only what decides the end of the
 * generation prompt: if, elif, else, set, and the text that is put out, with add_generation_prompt
 * true and enable_thinking undefined. What depends on anything else is unknown, and text put out
 * under an unknown condition does not count. So a template that is not understood says "off".
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/chat.h"
#include "src/base/json.h"

enum { TEMPLATE_MAX = 4 << 20, CONFIG_MAX = 64 << 20, NAMES_MAX = 64, FRAMES_MAX = 64, DEEP = 48 };

enum kind { UNKNOWN, UNDEFINED, FALSE, TRUE, TEXT };

struct value {
	enum kind kind;
	/* of a text */
	bool empty;
	bool turn; /* holds "<|im_start|>assistant"; the next two are of what follows it */
	bool opened, closed; /* <think>, </think> */
};

struct name {
	const char *p;
	size_t n;
	struct value v;
};

struct frame {
	bool is_if;
	enum kind runs;  /* this branch: TRUE, FALSE, UNKNOWN */
	enum kind taken; /* one of the branches so far */
};

struct follower {
	const char *p, *end; /* of the tag that is read */
	int depth;
	bool bad; /* the tag was not understood */
	struct name name[NAMES_MAX];
	int n_names;
	struct frame frame[FRAMES_MAX];
	int n_frames;
	struct value said; /* since the assistant's turn began */
};

/* ---- values ---- */

static enum kind truth(struct value v)
{
	switch (v.kind) {
	case UNKNOWN:
		return UNKNOWN;
	case TEXT:
		return v.empty ? FALSE : TRUE;
	case TRUE:
		return TRUE;
	case UNDEFINED:
	case FALSE:
		break;
	}
	return FALSE;
}

static struct value of(enum kind k)
{
	return (struct value){ .kind = k };
}

static struct value negate(struct value v)
{
	enum kind k = truth(v);
	return of(k == UNKNOWN ? UNKNOWN : k == TRUE ? FALSE : TRUE);
}

static struct value text_of(const char *p, size_t n)
{
	static const char turn[] = "<|im_start|>assistant";
	struct value v = { .kind = TEXT, .empty = n == 0 };
	const char *at;

	while ((at = memmem(p, n, turn, sizeof(turn) - 1))) {
		v.turn = true;
		n -= (size_t)(at - p) + sizeof(turn) - 1;
		p = at + sizeof(turn) - 1;
	}
	v.opened = memmem(p, n, "<think>", 7) != NULL;
	v.closed = memmem(p, n, "</think>", 8) != NULL;
	return v;
}

static struct value concat(struct value a, struct value b)
{
	if (a.kind == UNKNOWN || b.kind == UNKNOWN) /* keep what is known of it */
		return a.kind == TEXT ? a : b.kind == TEXT ? b : of(UNKNOWN);
	if (b.turn)
		return b;
	a.kind = TEXT;
	a.empty = a.empty && b.empty;
	a.opened |= b.opened;
	a.closed |= b.closed;
	return a;
}

/* ---- reading an expression ---- */

static void blanks(struct follower *f)
{
	while (f->p < f->end && isspace((unsigned char)*f->p))
		f->p++;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Takes @what when it stands here (a whole word, if it is one). */
static bool take(struct follower *f, const char *what)
{
	size_t n = strlen(what);

	blanks(f);
	if ((size_t)(f->end - f->p) < n || memcmp(f->p, what, n) != 0)
		return false;
	if (is_word(what[0]) && f->p + n < f->end && is_word(f->p[n]))
		return false;
	f->p += n;
	return true;
}

static size_t take_word(struct follower *f, const char **word)
{
	blanks(f);
	*word = f->p;
	while (f->p < f->end && is_word(*f->p))
		f->p++;
	return (size_t)(f->p - *word);
}

static struct value expression(struct follower *f);

static struct value string(struct follower *f)
{
	char quote = *f->p++;
	const char *from = f->p;

	while (f->p < f->end && *f->p != quote)
		f->p += *f->p == '\\' && f->p + 1 < f->end ? 2 : 1;
	size_t n = (size_t)(f->p - from);
	if (f->p == f->end)
		f->bad = true;
	else
		f->p++;
	return text_of(from, n);
}

/* To the bracket that closes the one just taken. */
static void skip_past(struct follower *f)
{
	for (int open = 1; f->p < f->end;) {
		char c = *f->p;
		if (c == '\'' || c == '"') {
			string(f);
			continue;
		}
		f->p++;
		if (c == '(' || c == '[' || c == '{')
			open++;
		else if ((c == ')' || c == ']' || c == '}') && --open == 0)
			return;
	}
	f->bad = true;
}

static struct name *lookup(struct follower *f, const char *p, size_t n)
{
	for (int i = 0; i < f->n_names; i++)
		if (f->name[i].n == n && memcmp(f->name[i].p, p, n) == 0)
			return &f->name[i];
	return NULL;
}

static bool same(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(p, word, n) == 0;
}

static struct value primary(struct follower *f)
{
	const char *word;
	struct value v = of(UNKNOWN);

	blanks(f);
	if (f->p == f->end || ++f->depth > DEEP) {
		f->bad = true;
		return v;
	}
	if (*f->p == '\'' || *f->p == '"') {
		v = string(f);
	} else if (*f->p == '(') {
		f->p++;
		v = expression(f);
		if (!take(f, ")"))
			f->bad = true;
	} else if (*f->p == '[' || *f->p == '{') {
		f->p++;
		skip_past(f);
	} else {
		size_t n = take_word(f, &word);
		if (n == 0) {
			f->bad = true;
		} else if (same(word, n, "true") || same(word, n, "True")) {
			v = of(TRUE);
		} else if (same(word, n, "false") || same(word, n, "False")) {
			v = of(FALSE);
		} else if (same(word, n, "none") || same(word, n, "None")) {
			v = of(FALSE);
		} else {
			struct name *known = lookup(f, word, n);
			if (known)
				v = known->v;
		}
	}
	for (;;) {
		if (take(f, ".")) {
			take_word(f, &word);
			v = of(UNKNOWN);
		} else if (take(f, "(") || take(f, "[")) {
			skip_past(f);
			v = of(UNKNOWN);
		} else {
			break;
		}
	}
	f->depth--;
	return v;
}

/* x | default(y) and default(y, true); others leave a text as it is. */
static struct value filtered(struct follower *f)
{
	struct value v = primary(f);

	while (!f->bad && take(f, "|")) {
		const char *word;
		size_t n = take_word(f, &word);
		if ((same(word, n, "default") || same(word, n, "d")) && take(f, "(")) {
			struct value other = expression(f);
			bool falsy_too = take(f, ",") && truth(expression(f)) == TRUE;
			if (!take(f, ")"))
				f->bad = true;
			if (v.kind == UNDEFINED || (falsy_too && truth(v) == FALSE))
				v = other;
			continue;
		}
		if (take(f, "("))
			skip_past(f);
		if (v.kind != TEXT)
			v = of(UNKNOWN);
	}
	return v;
}

static struct value joined(struct follower *f)
{
	struct value v = filtered(f);

	while (!f->bad && (take(f, "~") || take(f, "+")))
		v = concat(v, filtered(f));
	return v;
}

static struct value test(struct value v, const char *p, size_t n)
{
	if (v.kind == UNKNOWN)
		return v;
	if (same(p, n, "defined"))
		return of(v.kind == UNDEFINED ? FALSE : TRUE);
	if (same(p, n, "undefined"))
		return of(v.kind == UNDEFINED ? TRUE : FALSE);
	if (same(p, n, "true"))
		return of(v.kind == TRUE ? TRUE : FALSE);
	if (same(p, n, "false"))
		return of(v.kind == FALSE ? TRUE : FALSE);
	if (same(p, n, "string"))
		return of(v.kind == TEXT ? TRUE : FALSE);
	if (same(p, n, "none") && v.kind != FALSE)
		return of(FALSE);
	return of(UNKNOWN);
}

static struct value compared(struct follower *f)
{
	struct value v = joined(f), other;
	const char *word;

	while (!f->bad) {
		bool equal = take(f, "==");
		if (equal || take(f, "!=")) {
			other = joined(f);
			if (v.kind == UNKNOWN || other.kind == UNKNOWN ||
			    (v.kind == TEXT && other.kind == TEXT))
				v = of(UNKNOWN);
			else
				v = of((v.kind == other.kind) == equal ? TRUE : FALSE);
		} else if (take(f, "is")) {
			bool no = take(f, "not");
			size_t n = take_word(f, &word);
			v = test(v, word, n);
			if (no)
				v = negate(v);
		} else if (take(f, "<=") || take(f, ">=") || take(f, "<") || take(f, ">") ||
		           take(f, "in") || take(f, "-") || take(f, "*") || take(f, "/") ||
		           take(f, "%")) {
			joined(f);
			v = of(UNKNOWN);
		} else if (take(f, "not")) { /* not in */
			if (!take(f, "in"))
				f->bad = true;
			joined(f);
			v = of(UNKNOWN);
		} else {
			break;
		}
	}
	return v;
}

static struct value inverted(struct follower *f)
{
	bool no = false;

	while (take(f, "not"))
		no = !no;
	struct value v = compared(f);
	return no ? negate(v) : v;
}

static struct value both(struct follower *f)
{
	struct value v = inverted(f);

	while (!f->bad && take(f, "and")) {
		struct value r = inverted(f);
		enum kind a = truth(v), b = truth(r);
		if (a == FALSE || b == FALSE)
			v = of(FALSE);
		else
			v = a == UNKNOWN || b == UNKNOWN ? of(UNKNOWN) : r;
	}
	return v;
}

static struct value either(struct follower *f)
{
	struct value v = both(f);

	while (!f->bad && take(f, "or")) {
		struct value r = both(f);
		enum kind a = truth(v), b = truth(r);
		if (a == FALSE)
			v = r;
		else if (a == UNKNOWN)
			v = b == TRUE ? of(TRUE) : of(UNKNOWN);
	}
	return v;
}

static struct value expression(struct follower *f)
{
	struct value v, other = of(UNDEFINED);

	if (++f->depth > DEEP) {
		f->bad = true;
		return of(UNKNOWN);
	}
	v = either(f);
	if (!f->bad && take(f, "if")) {
		enum kind k = truth(either(f));
		if (take(f, "else"))
			other = expression(f);
		v = k == TRUE ? v : k == FALSE ? other : of(UNKNOWN);
	}
	f->depth--;
	return f->bad ? of(UNKNOWN) : v;
}

/* A whole tag's expression. */
static struct value evaluate(struct follower *f)
{
	f->bad = false;
	f->depth = 0;
	struct value v = expression(f);
	blanks(f);
	return f->bad || f->p != f->end ? of(UNKNOWN) : v;
}

/* ---- following the template ---- */

/* Whether what stands here is put out. */
static enum kind running(const struct follower *f)
{
	enum kind all = TRUE;

	for (int i = 0; i < f->n_frames; i++) {
		if (f->frame[i].runs == FALSE)
			return FALSE;
		if (f->frame[i].runs == UNKNOWN)
			all = UNKNOWN;
	}
	return all;
}

static void put_out(struct follower *f, struct value v)
{
	if (v.kind == TEXT && running(f) == TRUE)
		f->said = concat(f->said, v);
}

static void assign(struct follower *f, const char *p, size_t n, struct value v)
{
	struct name *at = lookup(f, p, n);
	enum kind runs = running(f);

	if (runs == FALSE)
		return;
	if (runs == UNKNOWN)
		v = of(UNKNOWN);
	if (!at && f->n_names < NAMES_MAX) {
		at = &f->name[f->n_names++];
		at->p = p;
		at->n = n;
	}
	if (at)
		at->v = v;
}

static void branch(struct frame *top, enum kind cond)
{
	if (top->taken == TRUE)
		top->runs = FALSE;
	else if (top->taken == UNKNOWN)
		top->runs = cond == FALSE ? FALSE : UNKNOWN;
	else
		top->runs = cond;
	if (top->runs != FALSE)
		top->taken = top->runs;
}

/* False: more blocks in one another than there is room for. */
static bool statement(struct follower *f)
{
	struct frame *top = f->n_frames > 0 ? &f->frame[f->n_frames - 1] : NULL;
	const char *word, *target;
	size_t n = take_word(f, &word);

	if (same(word, n, "if")) {
		if (f->n_frames == FRAMES_MAX)
			return false;
		top = &f->frame[f->n_frames];
		*top = (struct frame){ .is_if = true, .taken = FALSE };
		branch(top, truth(evaluate(f)));
		f->n_frames++;
	} else if (same(word, n, "elif") && top && top->is_if) {
		branch(top, truth(evaluate(f)));
	} else if (same(word, n, "else") && top && top->is_if) {
		branch(top, TRUE);
	} else if (same(word, n, "set")) {
		size_t k = take_word(f, &target);
		if (take(f, "=")) {
			assign(f, target, k, evaluate(f));
		} else if (!take(f, ".")) { /* a block; of a namespace only names are kept */
			assign(f, target, k, of(UNKNOWN));
			if (f->n_frames == FRAMES_MAX)
				return false;
			f->frame[f->n_frames++] = (struct frame){ .runs = UNKNOWN };
		}
	} else if (same(word, n, "for") || same(word, n, "macro") || same(word, n, "call") ||
	           same(word, n, "filter") || same(word, n, "block") || same(word, n, "with") ||
	           same(word, n, "generation")) {
		if (f->n_frames == FRAMES_MAX)
			return false;
		f->frame[f->n_frames++] = (struct frame){ .runs = UNKNOWN };
	} else if (n > 3 && memcmp(word, "end", 3) == 0 && top) {
		f->n_frames--;
	}
	return true;
}

/* The end of a tag that @f->p stands in, strings aside; NULL when there is none. */
static const char *tag_end(const char *p, const char *end, const char *close)
{
	for (char quote = 0; p + 1 < end; p++) {
		if (quote) {
			if (*p == '\\')
				p++;
			else if (*p == quote)
				quote = 0;
		} else if (*p == '\'' || *p == '"') {
			quote = *p;
		} else if (p[0] == close[0] && p[1] == close[1]) {
			return p;
		}
	}
	return NULL;
}

static bool template_thinks(const char *text, size_t len)
{
	struct follower f = { .said = text_of("", 0) };
	const char *p = text, *end = text + len;

	f.name[f.n_names++] = (struct name){ .p = "add_generation_prompt", .n = 21, .v = of(TRUE) };
	f.name[f.n_names++] = (struct name){ .p = "enable_thinking", .n = 15, .v = of(UNDEFINED) };
	while (p < end) {
		const char *open = p, *close;
		while (open < end && !(*open == '{' && open + 1 < end &&
		                       (open[1] == '{' || open[1] == '%' || open[1] == '#')))
			open++;
		put_out(&f, text_of(p, (size_t)(open - p)));
		if (open == end)
			break;
		char kind = open[1];
		p = open + 2;
		if (kind == '#')
			close = memmem(p, (size_t)(end - p), "#}", 2);
		else
			close = tag_end(p, end, kind == '%' ? "%}" : "}}");
		if (!close)
			return false;
		f.p = p;
		f.end = close;
		p = close + 2;
		if (kind == '#')
			continue;
		if (f.p < f.end && (*f.p == '-' || *f.p == '+'))
			f.p++;
		if (f.p < f.end && (f.end[-1] == '-' || f.end[-1] == '+'))
			f.end--;
		if (kind == '{')
			put_out(&f, evaluate(&f));
		else if (!statement(&f))
			return false;
	}
	return f.said.turn && f.said.opened && !f.said.closed;
}

bool chat_thinks_by_default(const char *dir)
{
	struct buf path = { 0 }, text = { 0 };
	struct err e;
	bool thinks = false;
	cJSON *root = NULL;

	buf_printf(&path, "%s/chat_template.jinja", dir);
	if (!buf_failed(&path) && buf_read_file(&text, path.data, TEMPLATE_MAX, &e) == 0) {
		thinks = template_thinks(buf_str(&text), text.len);
		goto out;
	}
	buf_clear(&path);
	buf_clear(&text);
	buf_printf(&path, "%s/tokenizer_config.json", dir);
	if (buf_failed(&path) || buf_read_file(&text, path.data, CONFIG_MAX, &e) < 0)
		goto out;
	root = json_parse(buf_str(&text), text.len, &e);
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, "chat_template");
	/* or a list [{"name", "template"}] of which "default" is meant */
	for (const cJSON *one = cJSON_IsArray(v) ? v->child : NULL; one; one = one->next)
		if (strcmp(json_string_or(one, "name", ""), "default") == 0) {
			v = cJSON_GetObjectItemCaseSensitive(one, "template");
			break;
		}
	if (cJSON_IsString(v))
		thinks = template_thinks(v->valuestring, strlen(v->valuestring));
out:
	cJSON_Delete(root);
	buf_release(&path);
	buf_release(&text);
	return thinks;
}
