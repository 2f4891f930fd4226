/*
 * The vocabulary is a tree of bytes. A mask is made by walking it beside a copy of the state: a
 * branch that cannot go on is cut, and one that holds nothing but letters, digits and blanks is
 * taken whole where those are no fault, which is nearly everywhere and nearly all tokens. Masks of
 * the states met last are kept, since answers come back to them.
 */
#include "gpu/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/pylex.h"
#include "src/base/json.h"

enum { NAMES_MAX = 20000, KEPT_MASKS = 32, LINE_MAX_BYTES = 120, STOPS_MAX = 16 };

/* ---- the vocabulary as a tree ---- */

struct node {
	unsigned char byte;
	bool plain; /* nothing but word bytes and blanks from here on */
	bool word;  /* and it begins with a word byte: of the root's children */
	int child, n_children;
	int from, to; /* tokens (in order of bytes) that go through here */
	int own;      /* of these, the first ones end here */
};

struct tree {
	const struct tokenizer *tokenizer;
	int vocabulary, words; /* of 64 bits */
	struct node *node;     /* 0 is the root; the children of one stand side by side */
	int n_nodes, cap;
	struct entry {
		const char *bytes;
		size_t len;
		int32_t id;
	} * entry;
	int n;
	uint64_t *plain;       /* tokens of nothing but word bytes and blanks */
	uint64_t *plain_words; /* of these, those that begin with a word byte */
	uint64_t *always;      /* tokens without text, and rows without token */
	int32_t stop[STOPS_MAX];
	int n_stops;
};

static bool is_word_byte(unsigned char c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
	       c >= 128;
}

static bool is_plain_byte(unsigned char c)
{
	return is_word_byte(c) || c == ' ' || c == '\t';
}

static void set_bit(uint64_t *mask, int32_t id)
{
	mask[id >> 6] |= 1ull << (id & 63);
}

static void clear_bit(uint64_t *mask, int32_t id)
{
	mask[id >> 6] &= ~(1ull << (id & 63));
}

static int by_bytes(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int d = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);

	if (d != 0)
		return d;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int new_nodes(struct tree *t, int n)
{
	if (t->n_nodes + n > t->cap) {
		int cap = t->cap ? 2 * t->cap : 4096;
		while (cap < t->n_nodes + n)
			cap *= 2;
		struct node *p = realloc(t->node, (size_t)cap * sizeof(*p));
		if (!p)
			return -1;
		t->node = p;
		t->cap = cap;
	}
	int at = t->n_nodes;
	memset(t->node + at, 0, (size_t)n * sizeof(*t->node));
	t->n_nodes += n;
	return at;
}

/* The children of node @at, whose tokens share @depth bytes; 0 or -1. Recursion is as deep as the
 * longest token. */
static int grow(struct tree *t, int at, size_t depth)
{
	int from = t->node[at].from, to = t->node[at].to, kinds = 0;

	while (from < to && t->entry[from].len == depth)
		from++;
	t->node[at].own = from;
	for (int i = from; i < to; i++)
		kinds += i == from || t->entry[i].bytes[depth] != t->entry[i - 1].bytes[depth];
	t->node[at].plain = true;
	if (kinds == 0)
		return 0;
	int child = new_nodes(t, kinds);
	if (child < 0)
		return -1;
	t->node[at].child = child;
	t->node[at].n_children = kinds;
	bool plain = true;
	for (int k = 0; k < kinds; k++) {
		int end = from;
		char c = t->entry[from].bytes[depth];
		while (end < to && t->entry[end].bytes[depth] == c)
			end++;
		t->node[child + k].byte = (unsigned char)c;
		t->node[child + k].from = from;
		t->node[child + k].to = end;
		if (grow(t, child + k, depth + 1) < 0)
			return -1;
		struct node *n = &t->node[child + k];
		n->plain = n->plain && is_plain_byte(n->byte);
		n->word = is_word_byte(n->byte);
		plain = plain && n->plain;
		from = end;
	}
	t->node[at].plain = plain;
	return 0;
}

static void tree_close(struct tree *t)
{
	if (!t)
		return;
	free(t->node);
	free(t->entry);
	free(t->plain);
	free(t->plain_words);
	free(t->always);
	free(t);
}

static struct tree *tree_open(const struct tokenizer *tokenizer, int vocabulary)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tokenizer = tokenizer;
	t->vocabulary = vocabulary;
	t->words = (vocabulary + 63) / 64;
	t->entry = calloc((size_t)vocabulary, sizeof(*t->entry));
	t->plain = calloc((size_t)t->words, sizeof(uint64_t));
	t->plain_words = calloc((size_t)t->words, sizeof(uint64_t));
	t->always = calloc((size_t)t->words, sizeof(uint64_t));
	if (!t->entry || !t->plain || !t->plain_words || !t->always || new_nodes(t, 1) < 0)
		goto fail;
	int size = tokenizer_size(tokenizer);
	for (int32_t id = 0; id < vocabulary; id++) {
		size_t len = 0;
		bool special = false;
		const char *bytes =
			id < size ? tokenizer_bytes(tokenizer, id, &len, &special) : NULL;
		if (!bytes || len == 0 || special) {
			set_bit(t->always, id);
			continue;
		}
		t->entry[t->n++] = (struct entry){ bytes, len, id };
	}
	t->n_stops = tokenizer_stops(tokenizer, t->stop, STOPS_MAX);
	qsort(t->entry, (size_t)t->n, sizeof(*t->entry), by_bytes);
	t->node[0].to = t->n;
	if (grow(t, 0, 0) < 0)
		goto fail;
	for (int i = 0; i < t->n; i++) {
		const struct entry *x = &t->entry[i];
		size_t k = 0;
		while (k < x->len && is_plain_byte((unsigned char)x->bytes[k]))
			k++;
		if (k < x->len)
			continue;
		set_bit(t->plain, x->id);
		if (is_word_byte((unsigned char)x->bytes[0]))
			set_bit(t->plain_words, x->id);
	}
	return t;
fail:
	tree_close(t);
	return NULL;
}

/* ---- names ---- */

struct guard_names {
	struct pylex_api api;
	char **own; /* all strings */
	const char **sorted[PYLEX_CLASSES_MAX + 1];
	uint8_t *then[PYLEX_CLASSES_MAX + 1];
	int n_own;
	/* what is made on the way; one caller at a time */
	struct made {
		struct tree *tree;
		struct kept {
			struct pylex state; /* of a guard in code */
			bool in_code, end_allowed;
			uint64_t *mask;
			uint64_t used;
		} kept[KEPT_MASKS];
		uint64_t clock;
	} * made;
};

struct name_row {
	const char *name;
	uint8_t then;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name_row *)a)->name, ((const struct name_row *)b)->name);
}

static int take_names(struct guard_names *n, int at, struct name_row *row, int rows,
                      struct pylex_names *out)
{
	qsort(row, (size_t)rows, sizeof(*row), by_name);
	n->sorted[at] = calloc((size_t)rows + 1, sizeof(char *));
	n->then[at] = calloc((size_t)rows + 1, 1);
	if (!n->sorted[at] || !n->then[at])
		return -1;
	int k = 0;
	for (int i = 0; i < rows; i++) {
		if (k > 0 && strcmp(n->sorted[at][k - 1], row[i].name) == 0)
			continue;
		char *copy = strdup(row[i].name);
		if (!copy)
			return -1;
		n->own[n->n_own++] = copy;
		n->sorted[at][k] = copy;
		n->then[at][k++] = row[i].then;
	}
	*out = (struct pylex_names){ n->sorted[at], n->then[at], k };
	return 0;
}

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	/* a longer one could not be told from what begins like it */
	if (len == 0 || len > PYLEX_WORD_MAX)
		return false;
	for (const char *p = s; *p; p++)
		if (!is_word_byte((unsigned char)*p))
			return false;
	return true;
}

static uint8_t class_number(const cJSON *classes, const char *name)
{
	uint8_t number = 1;

	for (const cJSON *c = classes->child; c; c = c->next, number++)
		if (strcmp(c->string, name) == 0)
			return number;
	return 0;
}

static int names_from(struct guard_names *n, const cJSON *root, struct err *e)
{
	const cJSON *module = cJSON_GetObjectItemCaseSensitive(root, "module");
	const cJSON *classes = cJSON_GetObjectItemCaseSensitive(root, "classes");
	int total = 0, rc = -1;

	if (!cJSON_IsArray(module) || cJSON_GetArraySize(module) == 0)
		return err_set(e, ERR_INPUT, "module: an array of names is wanted");
	if (!cJSON_IsObject(classes) || cJSON_GetArraySize(classes) == 0 ||
	    cJSON_GetArraySize(classes) > PYLEX_CLASSES_MAX)
		return err_set(e, ERR_INPUT, "classes: an object of 1 to %d classes is wanted",
		               PYLEX_CLASSES_MAX);
	total = cJSON_GetArraySize(module);
	for (const cJSON *c = classes->child; c; c = c->next) {
		if (!cJSON_IsObject(c) || cJSON_GetArraySize(c) == 0)
			return err_set(e, ERR_INPUT, "classes.%.40s: an object of names is wanted",
			               c->string);
		total += cJSON_GetArraySize(c);
	}
	if (total > NAMES_MAX)
		return err_set(e, ERR_INPUT, "%d names; at most %d are taken", total, NAMES_MAX);
	struct name_row *row = calloc((size_t)total, sizeof(*row));
	n->own = calloc((size_t)total, sizeof(char *));
	if (!row || !n->own) {
		err_set(e, ERR_MEM, "no memory for %d names", total);
		goto out;
	}
	int rows = 0;
	for (const cJSON *v = module->child; v; v = v->next) {
		if (!cJSON_IsString(v) || !is_name(v->valuestring)) {
			err_set(e, ERR_INPUT, "module[%d]: a name of 1 to %d letters is wanted",
			        rows, PYLEX_WORD_MAX);
			goto out;
		}
		row[rows++] =
			(struct name_row){ v->valuestring, class_number(classes, v->valuestring) };
	}
	if (take_names(n, 0, row, rows, &n->api.module) < 0) {
		err_set(e, ERR_MEM, "no memory for %d names", total);
		goto out;
	}
	for (const cJSON *c = classes->child; c; c = c->next) {
		rows = 0;
		for (const cJSON *v = c->child; v; v = v->next) {
			uint8_t then = 0;
			if (cJSON_IsString(v))
				then = class_number(classes, v->valuestring);
			if (!is_name(v->string) || !(cJSON_IsNull(v) || then != 0)) {
				err_set(e, ERR_INPUT,
				        "classes.%.40s.%.40s: a name of at most %d letters with one of the classes or "
				        "null is wanted",
				        c->string, v->string, PYLEX_WORD_MAX);
				goto out;
			}
			row[rows++] = (struct name_row){ v->string, then };
		}
		int at = n->api.n_classes + 1;
		if (take_names(n, at, row, rows, &n->api.class_[at - 1]) < 0) {
			err_set(e, ERR_MEM, "no memory for %d names", total);
			goto out;
		}
		n->api.n_classes++;
	}
	rc = 0;
out:
	free(row);
	return rc;
}

struct guard_names *guard_names_parse(const char *json, size_t len, const char *where,
                                      struct err *e)
{
	struct guard_names *n = calloc(1, sizeof(*n));
	cJSON *root = n ? json_parse_bounded(json, len, 4 * NAMES_MAX, e) : NULL;

	if (!n || !(n->made = calloc(1, sizeof(*n->made)))) {
		err_set(e, ERR_MEM, "out of memory for names");
		cJSON_Delete(root);
		root = NULL;
	}
	if (!root || names_from(n, root, e) < 0) {
		err_wrap(e, "%s", where);
		cJSON_Delete(root);
		guard_names_close(n);
		return NULL;
	}
	cJSON_Delete(root);
	return n;
}

void guard_names_close(struct guard_names *n)
{
	if (!n)
		return;
	for (int i = 0; i <= PYLEX_CLASSES_MAX; i++) {
		free(n->sorted[i]);
		free(n->then[i]);
	}
	for (int i = 0; i < n->n_own; i++)
		free(n->own[i]);
	free(n->own);
	if (n->made) {
		tree_close(n->made->tree);
		for (int i = 0; i < KEPT_MASKS; i++)
			free(n->made->kept[i].mask);
	}
	free(n->made);
	free(n);
}

/* ---- the answer ---- */

enum where { IN_PROSE, IN_THOUGHT, IN_CODE };

/* A block that is over, as far as the choice between blocks needs it. */
struct block {
	bool there, whole, assigned;
	size_t len;
};

struct guard {
	const struct guard_names *names;
	struct tree *tree;
	enum where where;
	struct pylex code;
	bool fenced, sure;         /* sure: the code's fence is one that the lexer follows */
	char line[LINE_MAX_BYTES]; /* of prose, as far as it has come */
	size_t line_len;           /* LINE_MAX_BYTES + 1: it is longer */
	struct block best, now;    /* now: of the code that is being read */
	char tail[24];             /* last bytes, to find <think>, </think>, "import cadquery" */
	size_t tail_len;
	bool prose_assigns; /* a line of prose may be a program's */
};

static const char *const final_words[] = { "fixture", "result", "model",      "solid",
	                                   "body",    "part",   "show_object" };

/* The rule of engine/extract.h: the last block that imports cadquery, else the longest. */
static void block_over(struct guard *g)
{
	struct block *b = &g->now;

	b->there = true;
	b->assigned = g->code.assigned || g->code.lost || !g->sure;
	if (!g->best.there || (b->whole && !g->best.whole) ||
	    (b->whole == g->best.whole && (b->whole || b->len > g->best.len)))
		g->best = *b;
	memset(b, 0, sizeof(*b));
}

static bool tail_is(const struct guard *g, const char *text)
{
	size_t n = strlen(text);

	return g->tail_len >= n && memcmp(g->tail + g->tail_len - n, text, n) == 0;
}

static void tail_add(struct guard *g, char c)
{
	if (g->tail_len == sizeof(g->tail)) {
		memmove(g->tail, g->tail + 1, sizeof(g->tail) - 1);
		g->tail_len--;
	}
	g->tail[g->tail_len++] = c;
}

static const char *skip_word(const char *p)
{
	while (is_word_byte((unsigned char)*p))
		p++;
	return p;
}

static const char *skip_path(const char *p)
{
	const char *q = skip_word(p);

	while (q != p && *q == '.' && is_word_byte((unsigned char)q[1]))
		q = skip_word(q + 1);
	return q;
}

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* import a.b [as c][, ...], or from a.b import ...: a line that prose does not have. */
static bool is_import(const char *line)
{
	const char *p = line, *q;

	if (strncmp(p, "from ", 5) == 0) {
		p = skip_blanks(p + 5);
		q = skip_path(p);
		return q != p && strncmp(skip_blanks(q), "import ", 7) == 0;
	}
	if (strncmp(p, "import ", 7) != 0)
		return false;
	p += 6;
	do {
		p = skip_blanks(p + 1);
		q = skip_path(p);
		if (q == p)
			return false;
		p = skip_blanks(q);
		if (strncmp(p, "as ", 3) == 0) {
			p = skip_blanks(p + 3);
			q = skip_word(p);
			if (q == p)
				return false;
			p = skip_blanks(q);
		}
	} while (*p == ',');
	return *p == '\0' || *p == '#' || *p == '\r';
}

/* Opens a fence: ``` or ~~~ with nothing or Python behind it; *sure when it is one that the lexer
 * follows. */
static bool is_fence(const char *line, bool *python, bool *sure)
{
	static const char *const words[] = {
		"", "python", "py", "python3", "cadquery", "{.python}"
	};
	const char *p = skip_blanks(line);
	char c = *p;

	if ((c != '`' && c != '~') || p[1] != c || p[2] != c)
		return false;
	*sure = c == '`';
	while (*p == c)
		p++;
	p = skip_blanks(p);
	size_t n = strlen(p);
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
		n--;
	*python = false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		*python |= n == strlen(words[i]) && strncasecmp(p, words[i], n) == 0;
	return true;
}

static void code_begins(struct guard *g, bool fenced, bool sure)
{
	g->where = IN_CODE;
	g->fenced = fenced;
	g->sure = sure;
	pylex_begin(&g->code, fenced);
	if (!sure)
		g->code.lost = true;
	memset(&g->now, 0, sizeof(g->now));
}

static const char *code_byte(struct guard *g, char c)
{
	const char *why = pylex_step(&g->code, &g->names->api, (unsigned char)c);

	/* what was picked all the same (a forced token) ends what is certain */
	if (why)
		g->code.lost = true;
	g->now.len++;
	if (tail_is(g, "import cadquery") || tail_is(g, "from cadquery"))
		g->now.whole = true;
	return why;
}

/* A whole line of prose is there. */
static void prose_line(struct guard *g)
{
	bool python, sure;
	char line[LINE_MAX_BYTES + 2];
	size_t n = g->line_len;

	if (n > LINE_MAX_BYTES) {
		g->line_len = 0;
		return;
	}
	memcpy(line, g->line, n);
	line[n] = '\0';
	g->line_len = 0;
	if (is_fence(line, &python, &sure)) {
		/* a block in another language is over at the next bare fence: not followed */
		code_begins(g, true, sure && python);
		g->now.there = python;
		return;
	}
	if (is_import(line)) {
		code_begins(g, false, true);
		line[n] = '\n';
		for (size_t i = 0; i <= n; i++)
			pylex_step(&g->code, &g->names->api, (unsigned char)line[i]);
		g->now.len = n + 1;
		g->now.whole = strstr(line, "import cadquery") || strstr(line, "from cadquery");
		return;
	}
	for (size_t i = 0; i < sizeof(final_words) / sizeof(*final_words); i++)
		if (strstr(line, final_words[i]))
			g->prose_assigns = true;
}

static const char *byte_comes(struct guard *g, char c)
{
	const char *why = NULL;

	tail_add(g, c);
	switch (g->where) {
	case IN_THOUGHT:
		if (tail_is(g, "</think>")) {
			g->where = IN_PROSE;
			g->line_len = 0;
		}
		return NULL;
	case IN_PROSE:
		if (tail_is(g, "<think>")) {
			g->where = IN_THOUGHT;
			return NULL;
		}
		if (c == '\n')
			prose_line(g);
		else if (g->line_len < LINE_MAX_BYTES)
			g->line[g->line_len++] = c;
		else
			g->line_len = LINE_MAX_BYTES + 1; /* too long to be an import or a fence */
		return NULL;
	default:
		break;
	}
	why = code_byte(g, c);
	if (tail_is(g, "<think>"))
		g->code.lost = true; /* what stands in it is no part of the program */
	if (pylex_over(&g->code)) {
		block_over(g);
		g->where = IN_PROSE;
		g->line_len = 0;
	}
	return why;
}

/* Why the answer may not end here; NULL when it may. */
static const char *end_fault(const struct guard *g)
{
	static const char missing[] =
		"no final object is assigned (fixture, result, model, solid, body, part "
		"or show_object(...))";
	const char *why;

	if (g->where == IN_THOUGHT)
		return "the thought is still open";
	if (g->where == IN_CODE) {
		if (!g->sure || g->code.lost)
			return NULL;
		/* it may not be the block that counts */
		bool counts = !g->best.there || g->now.whole ||
		              (!g->best.whole && g->now.len > g->best.len);
		if (!counts)
			return g->best.assigned ? NULL : missing;
		why = pylex_incomplete(&g->code, &g->names->api);
		if (why)
			return why;
		struct pylex end = g->code;
		pylex_step(&end, &g->names->api, '\n');
		return g->code.assigned || end.assigned ? NULL : missing;
	}
	if (g->best.there)
		return g->best.assigned ? NULL : missing;
	if (g->prose_assigns)
		return NULL;
	for (size_t i = 0; i < sizeof(final_words) / sizeof(*final_words); i++)
		if (g->line_len <= LINE_MAX_BYTES &&
		    memmem(g->line, g->line_len, final_words[i], strlen(final_words[i])))
			return NULL;
	return missing;
}

struct guard *guard_open(const struct tokenizer *t, const struct guard_names *n, int vocabulary,
                         struct err *e)
{
	struct made *made = n->made;

	if (vocabulary < 1) {
		err_set(e, ERR_USAGE, "a guard of %d tokens", vocabulary);
		return NULL;
	}
	if (!made->tree || made->tree->tokenizer != t || made->tree->vocabulary != vocabulary) {
		tree_close(made->tree);
		for (int i = 0; i < KEPT_MASKS; i++)
			free(made->kept[i].mask);
		memset(made, 0, sizeof(*made));
		made->tree = tree_open(t, vocabulary);
	}
	struct guard *g = calloc(1, sizeof(*g));
	if (!g || !made->tree) {
		err_set(e, ERR_MEM, "no memory for a guard over %d tokens", vocabulary);
		free(g);
		return NULL;
	}
	g->names = n;
	g->tree = made->tree;
	return g;
}

void guard_close(struct guard *g)
{
	free(g);
}

struct guard *guard_copy(const struct guard *g, struct err *e)
{
	struct guard *c = malloc(sizeof(*c));

	if (!c) {
		err_set(e, ERR_MEM, "no memory for a guard");
		return NULL;
	}
	*c = *g;
	return c;
}

void guard_prompt(struct guard *g, const int32_t *id, int n)
{
	int32_t open = tokenizer_added(g->tree->tokenizer, "<think>");
	int32_t close = tokenizer_added(g->tree->tokenizer, "</think>");

	for (int i = n - 1; i >= 0 && open >= 0; i--) {
		if (id[i] == close)
			return;
		if (id[i] == open) {
			/* an open one somewhere in a message is that message's */
			if (n - i <= 4)
				g->where = IN_THOUGHT;
			return;
		}
	}
}

void guard_accept(struct guard *g, int32_t id)
{
	size_t len = 0;
	bool special = false;
	const char *bytes = id >= 0 && id < tokenizer_size(g->tree->tokenizer)
	                            ? tokenizer_bytes(g->tree->tokenizer, id, &len, &special)
	                            : NULL;

	if (!bytes || special)
		return;
	for (size_t i = 0; i < len; i++)
		byte_comes(g, bytes[i]);
}

/* ---- masks ---- */

struct walk {
	const struct tree *tree;
	const struct pylex_api *api;
	uint64_t *mask;
};

static void take_all(const struct walk *w, const struct node *n)
{
	for (int i = n->from; i < n->to; i++)
		set_bit(w->mask, w->tree->entry[i].id);
}

/* which plain tokens the mask has already */
enum taken { TAKEN_NONE, TAKEN_WORDS, TAKEN_PLAIN };

/* @p has taken @n's bytes: tokens below it that can go on. */
static void walk(const struct walk *w, const struct node *n, const struct pylex *p,
                 enum taken taken)
{
	const struct tree *t = w->tree;
	struct pylex next;

	for (int i = n->from; i < n->own; i++)
		set_bit(w->mask, t->entry[i].id);
	for (int k = 0; k < n->n_children; k++) {
		const struct node *child = &t->node[n->child + k];
		if (child->plain && (taken == TAKEN_PLAIN || (taken == TAKEN_WORDS && child->word)))
			continue;
		next = *p;
		if (pylex_step(&next, w->api, child->byte))
			continue;
		/* where anything goes, and what follows the program is prose */
		if (next.lost || pylex_over(&next) || (child->plain && pylex_takes_words(&next)))
			take_all(w, child);
		else
			walk(w, child, &next,
			     taken == TAKEN_PLAIN && is_plain_byte(child->byte) ? TAKEN_PLAIN
			                                                        : TAKEN_NONE);
	}
}

static void fill(const struct guard *g, uint64_t *mask)
{
	const struct tree *t = g->tree;
	const struct walk w = { t, &g->names->api, mask };
	enum taken taken = TAKEN_NONE;

	memcpy(mask, t->always, (size_t)t->words * sizeof(*mask));
	if (pylex_takes_words(&g->code)) {
		taken = TAKEN_PLAIN;
	} else if (pylex_at_line_begin(&g->code)) {
		/* a letter ends the indentation, whichever it is */
		struct pylex one = g->code;
		if (!pylex_step(&one, &g->names->api, 'x') && pylex_takes_words(&one))
			taken = TAKEN_WORDS;
	}
	const uint64_t *more = taken == TAKEN_PLAIN ? t->plain : t->plain_words;
	for (int i = 0; taken != TAKEN_NONE && i < t->words; i++)
		mask[i] |= more[i];
	walk(&w, &t->node[0], &g->code, taken);
}

const uint64_t *guard_mask(struct guard *g)
{
	struct made *made = g->names->made;
	const char *end = end_fault(g);
	bool in_code = g->where == IN_CODE && g->sure && !g->code.lost;
	struct pylex state;
	int oldest = 0;

	if (!in_code && !end)
		return NULL;
	memset(&state, 0, sizeof(state));
	if (in_code)
		pylex_essence(&state, &g->code);
	for (int i = 0; i < KEPT_MASKS; i++) {
		struct kept *k = &made->kept[i];
		if (k->mask && k->in_code == in_code && k->end_allowed == !end &&
		    memcmp(&k->state, &state, sizeof(state)) == 0) {
			k->used = ++made->clock;
			return k->mask;
		}
		if (!k->mask || (made->kept[oldest].mask && k->used < made->kept[oldest].used))
			oldest = made->kept[oldest].mask ? i : oldest;
	}
	struct kept *k = &made->kept[oldest];
	if (!k->mask && !(k->mask = malloc((size_t)g->tree->words * sizeof(uint64_t))))
		return NULL; /* without memory there is no guard, and the answer goes on */
	k->state = state;
	k->in_code = in_code;
	k->end_allowed = !end;
	k->used = ++made->clock;
	if (in_code)
		fill(g, k->mask);
	else
		memset(k->mask, 0xff, (size_t)g->tree->words * sizeof(uint64_t));
	for (int i = 0; i < g->tree->n_stops; i++)
		if (g->tree->stop[i] < g->tree->vocabulary) {
			if (end)
				clear_bit(k->mask, g->tree->stop[i]);
			else
				set_bit(k->mask, g->tree->stop[i]);
		}
	bool any = false;
	for (int i = 0; i < g->tree->words && !any; i++)
		any = k->mask[i] != 0;
	for (int i = 0; !any && i < g->tree->n_stops; i++)
		set_bit(k->mask, g->tree->stop[i]);
	return k->mask;
}

void guard_why(struct guard *g, int32_t id, char *out, size_t len)
{
	const char *why = NULL;
	size_t n = 0;
	bool special = false, stop = false;

	for (int i = 0; i < g->tree->n_stops; i++)
		stop |= g->tree->stop[i] == id;
	if (stop) {
		why = end_fault(g);
	} else if (g->where == IN_CODE && g->sure && !g->code.lost && id >= 0 &&
	           id < tokenizer_size(g->tree->tokenizer)) {
		const char *bytes = tokenizer_bytes(g->tree->tokenizer, id, &n, &special);
		struct pylex p = g->code;
		for (size_t i = 0; bytes && !special && i < n && !why && !pylex_over(&p); i++)
			why = pylex_step(&p, &g->names->api, (unsigned char)bytes[i]);
	}
	snprintf(out, len, "%s", why ? why : "");
}
