/*
 * What a byte means depends on where it stands: at the beginning of a line (INDENT), in code, in a
 * comment, in a string, behind a backslash, behind a '!', or in a row of backticks that may close
 * the program. In code, letters make words; everything else ends the word before it. A word's
 * meaning is settled by the next byte that is neither blank nor comment (settle()): cq is the
 * module when a point follows, and no longer certainly the module when it is handed to somebody.
 */
#include "gpu/pylex.h"

#include <string.h>

enum {
	LEX_INDENT,
	LEX_CODE,
	LEX_COMMENT,
	LEX_QUOTE, /* a quote was opened: of a string, of an empty one, or of one in three quotes */
	LEX_QUOTES, /* two of them */
	LEX_STRING,
	LEX_BACKSLASH,
	LEX_BANG,
	LEX_TICKS,
	LEX_CLOSED
};

enum {
	NOT_PENDING,
	PENDING_ALIAS,
	PENDING_CLASS,
	PENDING_METHOD,
	PENDING_MODULE_NAME,
	PENDING_CLASS_NAME
};

/* what the word behind a point is looked up in */
enum { DOT_NONE, DOT_ANY, DOT_MODULE, DOT_CLASS, DOT_OF_CLASS };

/* suites in which a name need not exist, or an assignment is not the program's */
enum { SUITE_DEF = 1, SUITE_TRY = 2 };

enum keyword {
	KW_NONE,
	KW_OTHER,
	KW_AS,
	KW_CLASS,
	KW_DEF,
	KW_FOR,
	KW_FROM,
	KW_GLOBAL,
	KW_IMPORT,
	KW_IN,
	KW_TRY,
	KW_LOOSE /* can bind or reach names in ways that are not followed here */
};

static const struct {
	const char *word;
	enum keyword keyword;
} keywords[] = { { "as", KW_AS },          { "async", KW_OTHER },    { "class", KW_CLASS },
	         { "def", KW_DEF },        { "for", KW_FOR },        { "from", KW_FROM },
	         { "global", KW_GLOBAL },  { "import", KW_IMPORT },  { "in", KW_IN },
	         { "try", KW_TRY },        { "exec", KW_LOOSE },     { "eval", KW_LOOSE },
	         { "globals", KW_LOOSE },  { "locals", KW_LOOSE },   { "vars", KW_LOOSE },
	         { "setattr", KW_LOOSE },  { "suppress", KW_LOOSE }, { "hasattr", KW_LOOSE },
	         { "getattr", KW_LOOSE },  { "__dict__", KW_LOOSE }, { "__import__", KW_LOOSE },
	         { "importlib", KW_LOOSE } };

/* Names that the evaluator takes the final object from. */
static const char *const final_names[] = { "fixture", "result", "model", "solid", "body", "part" };

static bool is_word(unsigned char c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
	       c >= 128;
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static void statement_begins(struct pylex *p)
{
	p->first = p->before = KW_NONE;
	p->flags = 0;
	p->last = 0;
	p->equals = false;
	p->attribute = p->first_word = false;
	p->pending = NOT_PENDING;
	p->dot = DOT_NONE;
	p->chain = p->open_chain = 0;
	p->target = p->target_word = false;
	p->import_cadquery = p->import_dotted = p->import_as = false;
}

void pylex_begin(struct pylex *p, bool in_fence)
{
	memset(p, 0, sizeof(*p));
	p->lex = LEX_INDENT;
	p->in_fence = in_fence;
	p->line_begins = true;
	/* the published evaluator gives the program cq without an import */
	strcpy(p->alias[0], "cq");
	p->n_aliases = 1;
}

bool pylex_closed(const struct pylex *p)
{
	return p->lex == LEX_CLOSED || (p->lex == LEX_TICKS && p->ticks >= 3);
}

bool pylex_over(const struct pylex *p)
{
	return p->lex == LEX_CLOSED;
}

static bool in_suite(const struct pylex *p, int flag)
{
	if (p->flags & flag)
		return true;
	for (int i = 0; i < p->n_indents; i++)
		if (p->indent[i].flags & flag)
			return true;
	return false;
}

static bool is_alias(const struct pylex *p)
{
	for (int i = 0; i < p->n_aliases; i++)
		if (strcmp(p->word, p->alias[i]) == 0)
			return true;
	return false;
}

static void add_alias(struct pylex *p, const char *word)
{
	for (int i = 0; i < p->n_aliases; i++)
		if (strcmp(p->alias[i], word) == 0)
			return;
	if (p->n_aliases < 2)
		strcpy(p->alias[p->n_aliases++], word);
}

static void assign(struct pylex *p)
{
	if (p->global || !in_suite(p, SUITE_DEF))
		p->assigned = true;
}

static enum keyword keyword_of(const char *word)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
		if (strcmp(word, keywords[i].word) == 0)
			return keywords[i].keyword;
	return KW_NONE;
}

static bool is_final(const char *word)
{
	for (size_t i = 0; i < sizeof(final_names) / sizeof(*final_names); i++)
		if (strcmp(word, final_names[i]) == 0)
			return true;
	return false;
}

static const struct pylex_names *names_of(const struct pylex *p, const struct pylex_api *api)
{
	if (p->dot == DOT_MODULE)
		return &api->module;
	return &api->class_[p->dot_class - 1];
}

/* Keeps of the names that begin with the word so far those that go on with @c. */
static bool narrow(struct pylex *p, const struct pylex_names *v, unsigned char c)
{
	int at = p->word_len, low = p->low, high = p->high;

	while (low < high && (unsigned char)v->name[low][at] < c)
		low++;
	int end = low;
	while (end < high && (unsigned char)v->name[end][at] == c)
		end++;
	p->low = (uint16_t)low;
	p->high = (uint16_t)end;
	return low < end;
}

static bool is_checked(const struct pylex *p)
{
	return p->dot == DOT_MODULE || p->dot == DOT_CLASS;
}

/* The word is over. */
static const char *word_end(struct pylex *p, const struct pylex_api *api)
{
	bool number = p->word[0] >= '0' && p->word[0] <= '9';
	bool overlong = p->word_len > PYLEX_WORD_MAX;
	uint8_t dot = p->dot;

	p->target_word = false;
	if (is_checked(p)) {
		const struct pylex_names *v = names_of(p, api);
		bool there = p->low < p->high && !overlong && v->name[p->low][p->word_len] == '\0';
		p->dot = DOT_NONE;
		if (!there && !p->soft)
			return dot == DOT_MODULE ? "cadquery has no such name"
			                         : "the chain's object has no such method";
		if (there) {
			p->pending_class = v->then[p->low];
			p->pending = dot == DOT_CLASS        ? PENDING_METHOD
			             : p->pending_class != 0 ? PENDING_CLASS
			                                     : PENDING_MODULE_NAME;
		} else if (dot == DOT_MODULE) {
			p->pending = PENDING_MODULE_NAME;
		}
		p->before = KW_NONE;
		goto out;
	}
	p->dot = DOT_NONE;
	if (dot == DOT_OF_CLASS)
		p->pending = PENDING_CLASS_NAME;
	if (number || overlong || p->attribute) {
		if (p->first == KW_IMPORT && p->attribute)
			p->import_dotted = true;
		p->before = KW_NONE;
		goto out;
	}
	enum keyword k = keyword_of(p->word);
	if (p->first_word) {
		p->first = k ? k : KW_OTHER;
		if (k == KW_DEF || k == KW_CLASS)
			p->flags |= SUITE_DEF;
		if (k == KW_TRY)
			p->flags |= SUITE_TRY;
	} else if (k == KW_DEF) {
		p->flags |= SUITE_DEF; /* async def */
	}
	if (k == KW_GLOBAL)
		p->global = true;
	if (k == KW_LOOSE) {
		p->module_unsure = p->chain_unsure = true;
		p->assigned = true;
	}
	if (p->first == KW_IMPORT && !p->first_word) {
		if (k == KW_AS) {
			p->import_as = true;
		} else if (p->before == KW_AS) {
			if (p->import_cadquery && !p->import_dotted)
				add_alias(p, p->word);
			else if (is_alias(p))
				p->module_unsure = true;
			if (is_final(p->word))
				assign(p);
		} else {
			p->import_cadquery = strcmp(p->word, "cadquery") == 0;
			p->import_dotted = p->import_as = false;
			if (is_final(p->word))
				assign(p);
		}
	} else if (p->first == KW_FROM) {
		if (is_alias(p))
			p->module_unsure = true;
		if (is_final(p->word))
			assign(p);
	} else if (is_alias(p)) {
		p->pending = PENDING_ALIAS;
		p->alias_after = p->word_after;
		p->soft = p->first_word; /* cq.name = ... may give it a new one */
	} else if (is_final(p->word)) {
		p->target_word = true;
		if (p->before == KW_AS || p->before == KW_DEF || p->before == KW_CLASS)
			assign(p);
		/* or in (fixture, x) = ... */
		if (p->depth == 0 || p->first == KW_NONE)
			p->target = true;
	} else if (strcmp(p->word, "show_object") == 0) {
		p->assigned = true;
	}
	if (k == KW_IN && p->first == KW_FOR && p->target) {
		assign(p);
		p->target = false;
	}
	p->before = (uint8_t)k;
out:
	p->word_len = 0;
	p->word[0] = '\0';
	p->attribute = p->first_word = false;
	return NULL;
}

/* A byte of code that is neither blank nor comment is there: what the words before it were is now
 * known. */
static void settle(struct pylex *p, unsigned char c)
{
	p->open_chain = 0;
	switch (p->pending) {
	case PENDING_ALIAS:
		if (c == '.')
			p->dot = DOT_MODULE;
		else
			p->module_unsure = true;
		break;
	case PENDING_CLASS:
		if (c == '(') {
			p->open_chain = p->pending_class;
		} else if (c == '.') {
			p->dot = DOT_OF_CLASS;
		} else if (c == '=' || p->alias_after == '=') {
			/* the class has another name now, or the name another class */
			p->chain_unsure = true;
			p->module_unsure |= c == '=';
		}
		break;
	case PENDING_METHOD:
		if (c == '(')
			p->open_chain = p->pending_class;
		break;
	case PENDING_MODULE_NAME:
		if (c == '=')
			p->module_unsure = true;
		break;
	case PENDING_CLASS_NAME:
		if (c == '=')
			p->chain_unsure = true;
		break;
	default:
		break;
	}
	p->pending = NOT_PENDING;
	if (p->chain != 0 && c == '.') {
		p->dot = DOT_CLASS;
		p->dot_class = p->chain;
		p->soft = false;
	}
	p->chain = 0;
	/* fixture.x, fixture[0], fixture(...) assign nothing to the name */
	if (p->target_word && (c == '.' || c == '[' || c == '('))
		p->target = false;
	if (p->target_word && c != ':' && c != '=')
		p->target_word = false;
}

static const char *word_byte(struct pylex *p, const struct pylex_api *api, unsigned char c)
{
	if (p->word_len == 0) {
		settle(p, c);
		p->attribute = p->dot != DOT_NONE;
		p->first_word = p->last == 0;
		p->word_after = p->last;
		if (is_checked(p)) {
			bool exempt = in_suite(p, SUITE_TRY) ||
			              (p->dot == DOT_MODULE ? p->module_unsure : p->chain_unsure);
			if (exempt)
				p->soft = true;
			if (c >= '0' && c <= '9')
				return "a point is followed by a name";
			p->low = 0;
			p->high = (uint16_t)names_of(p, api)->n;
		}
	}
	if (is_checked(p) && !narrow(p, names_of(p, api), c) && !p->soft)
		return p->dot == DOT_MODULE ? "cadquery has no such name"
		                            : "the chain's object has no such method";
	if (p->word_len < PYLEX_WORD_MAX) {
		p->word[p->word_len] = (char)c;
		p->word[p->word_len + 1] = '\0';
	}
	if (p->word_len < 255)
		p->word_len++;
	p->last = (char)c;
	return NULL;
}

/* r, b, f, u and their pairs, before a quote. */
static bool is_prefix(const struct pylex *p, bool *formatted)
{
	*formatted = false;
	if (p->word_len == 0 || p->word_len > 2 || p->attribute)
		return false;
	for (int i = 0; i < p->word_len; i++) {
		char c = (char)(p->word[i] | 32);
		if (!strchr("rbfu", c))
			return false;
		*formatted |= c == 'f';
	}
	return true;
}

static void string_begins(struct pylex *p, unsigned char c, bool formatted)
{
	p->lex = LEX_QUOTE;
	p->quote = (char)c;
	p->quotes = 0;
	p->triple = p->escape = false;
	p->formatted = formatted;
	p->braces = 0;
	p->last = (char)c;
}

static const char *string_byte(struct pylex *p, unsigned char c)
{
	if (p->escape) {
		p->escape = false;
		return NULL;
	}
	if (c == (unsigned char)p->quote) {
		if (p->braces > 0)
			p->lost = true; /* from Python 3.12 on it begins a string in the braces */
		else if (!p->triple || ++p->quotes == 3)
			p->lex = LEX_CODE;
		return NULL;
	}
	p->quotes = 0;
	if (c == '\\')
		p->escape = true;
	else if (p->formatted && c == '{')
		p->braces += p->braces < 255;
	else if (p->formatted && c == '}' && p->braces > 0)
		p->braces--;
	else if (!p->triple && (c == '\n' || c == '\r'))
		return "a line ends inside a string";
	return NULL;
}

static const char *line_ends(struct pylex *p)
{
	p->line_begins = true;
	if (p->depth > 0)
		return NULL;
	settle(p, '\n');
	if (p->dot == DOT_MODULE || p->dot == DOT_CLASS ||
	    (p->last && strchr("=+-/%&|^<>@~", p->last)))
		return "the line ends where something must follow";
	if (p->first == KW_IMPORT && p->import_cadquery && !p->import_dotted && !p->import_as)
		add_alias(p, "cadquery");
	p->expect_indent = p->last == ':';
	p->header = p->expect_indent ? p->flags : 0;
	statement_begins(p);
	p->lex = LEX_INDENT;
	p->column = 0;
	p->tabs = p->blanks = false;
	return NULL;
}

static const char *code_byte(struct pylex *p, const struct pylex_api *api, unsigned char c);

/* The first byte of a logical line that is neither blank nor comment. */
static const char *indent_ends(struct pylex *p, const struct pylex_api *api, unsigned char c)
{
	int top = p->n_indents > 0 ? p->indent[p->n_indents - 1].column : -1;

	if (p->tabs && p->blanks)
		p->lost = true;
	else if (p->n_indents == 0 || (p->expect_indent && p->column > top)) {
		if (p->n_indents == PYLEX_INDENTS_MAX) {
			p->lost = true;
		} else {
			p->indent[p->n_indents].column = p->column;
			p->indent[p->n_indents++].flags = p->header;
		}
	} else if (p->expect_indent) {
		return "an indented line must follow the colon";
	} else if (p->column > top) {
		return "indented deeper without a reason";
	} else {
		while (p->n_indents > 0 && p->indent[p->n_indents - 1].column > p->column)
			p->n_indents--;
		if (p->n_indents == 0 || p->indent[p->n_indents - 1].column != p->column)
			return "indented as no line before";
	}
	p->expect_indent = false;
	p->header = 0;
	p->lex = LEX_CODE;
	return code_byte(p, api, c);
}

static const char *indent_byte(struct pylex *p, const struct pylex_api *api, unsigned char c)
{
	switch (c) {
	case ' ':
		p->blanks = true;
		p->column += p->column < 60000;
		return NULL;
	case '\t':
		p->tabs = true;
		p->column = (uint16_t)(p->column < 60000 ? p->column / 8 * 8 + 8 : p->column);
		return NULL;
	case '\f':
	case '\n':
	case '\r':
		p->column = 0;
		p->tabs = p->blanks = false;
		return NULL;
	case '#':
		p->lex = LEX_COMMENT;
		return NULL;
	case '\\':
		p->lost = true;
		return NULL;
	case '`':
		if (!p->in_fence) {
			p->lost = true; /* the program may be the fenced block that begins here */
			return NULL;
		}
		if (p->expect_indent)
			return "an indented line must follow the colon";
		p->lex = LEX_TICKS;
		p->ticks = 1;
		return NULL;
	default:
		return indent_ends(p, api, c);
	}
}

static const char *open_bracket(struct pylex *p, unsigned char c)
{
	if (p->depth == PYLEX_DEPTH_MAX) {
		p->lost = true;
		return NULL;
	}
	p->bracket[p->depth].open = (char)c;
	p->bracket[p->depth++].chain = c == '(' ? p->open_chain : 0;
	p->open_chain = 0;
	p->before = KW_NONE;
	return NULL;
}

static const char *close_bracket(struct pylex *p, unsigned char c)
{
	char want = c == ')' ? '(' : c == ']' ? '[' : '{';

	if (p->depth == 0)
		return "a bracket closes that was not opened";
	if (p->bracket[p->depth - 1].open != want)
		return "another bracket must close first";
	p->chain = p->bracket[--p->depth].chain;
	return NULL;
}

/* One '=': something is assigned. */
static void single_equals(struct pylex *p)
{
	if (p->target && p->depth == 0)
		assign(p);
	if (p->target_word && p->previous == ':')
		assign(p);
}

static const char *sign_byte(struct pylex *p, unsigned char c)
{
	bool was_target = p->target_word;

	if (p->dot == DOT_MODULE || p->dot == DOT_CLASS)
		return "a point is followed by a name";
	p->dot = DOT_NONE;
	settle(p, c);
	switch (c) {
	case '(':
	case '[':
	case '{':
		open_bracket(p, c);
		break;
	case ')':
	case ']':
	case '}': {
		const char *why = close_bracket(p, c);
		if (why)
			return why;
		break;
	}
	case '.':
		if (p->dot == DOT_NONE)
			p->dot = DOT_ANY;
		break;
	case '=':
		if (!strchr("=!<>", p->previous) || p->previous == 0)
			p->equals = true;
		if (p->previous == ':' && was_target)
			assign(p);
		break;
	case ';':
		if (p->depth == 0) {
			uint8_t flags = p->flags;
			statement_begins(p);
			p->flags = flags;
			return NULL;
		}
		break;
	case ',':
		if (p->first == KW_IMPORT) {
			if (p->import_cadquery && !p->import_dotted && !p->import_as)
				add_alias(p, "cadquery");
			p->import_cadquery = p->import_dotted = p->import_as = false;
		}
		break;
	case '*':
		if (p->first == KW_FROM)
			p->assigned = p->module_unsure = true;
		break;
	case '!':
		p->lex = LEX_BANG;
		break;
	case '$':
	case '?':
	case '`':
	case '\0':
		return "Python has no such character";
	default:
		break;
	}
	p->last = (char)c;
	p->before = c == ',' || c == '(' ? KW_NONE : p->before;
	return NULL;
}

static const char *code_byte(struct pylex *p, const struct pylex_api *api, unsigned char c)
{
	bool formatted;

	if (p->equals) {
		p->equals = false;
		if (c != '=')
			single_equals(p);
	}
	if (is_word(c))
		return word_byte(p, api, c);
	if ((c == '"' || c == '\'') && p->word_len > 0 && is_prefix(p, &formatted)) {
		p->word_len = 0;
		p->word[0] = '\0';
		p->first_word = false;
		string_begins(p, c, formatted);
		return NULL;
	}
	if (p->word_len > 0) {
		const char *why = word_end(p, api);
		if (why)
			return why;
	}
	if (is_blank(c))
		return NULL;
	switch (c) {
	case '\n':
	case '\r':
		return line_ends(p);
	case '#':
		p->lex = LEX_COMMENT;
		return NULL;
	case '\\':
		p->lex = LEX_BACKSLASH;
		p->carriage = false;
		return NULL;
	case '"':
	case '\'':
		if (p->dot == DOT_MODULE || p->dot == DOT_CLASS)
			return "a point is followed by a name";
		p->dot = DOT_NONE;
		settle(p, c);
		string_begins(p, c, false);
		return NULL;
	default:
		return sign_byte(p, c);
	}
}

static const char *ticks_byte(struct pylex *p, unsigned char c)
{
	if (c == '`' && p->ticks < 255) {
		p->ticks++;
		return NULL;
	}
	if (p->ticks < 3)
		return "Python has no such character";
	if (c == '\n') {
		p->lex = LEX_CLOSED;
		return NULL;
	}
	if (is_blank(c) || c == '\r') {
		return NULL;
	}
	return "a closing fence stands alone on its line";
}

const char *pylex_step(struct pylex *p, const struct pylex_api *api, unsigned char c)
{
	const char *why = NULL;
	bool line_begins = p->line_begins;

	if (p->lost) {
		return NULL;
	}
	if (c == '\n' || c == '\r')
		p->line_begins = true;
	else if (!is_blank(c))
		p->line_begins = false;
	/* a fence at a line's beginning ends the block, or begins one, wherever Python is */
	if (c == '`' && line_begins && p->lex != LEX_INDENT && p->lex != LEX_TICKS) {
		if (p->in_fence && p->lex == LEX_CODE && p->depth > 0)
			return "brackets are still open";
		p->lost = true;
		return NULL;
	}
	switch (p->lex) {
	case LEX_INDENT:
		why = indent_byte(p, api, c);
		break;
	case LEX_CODE:
		why = code_byte(p, api, c);
		break;
	case LEX_COMMENT:
		if (c == '\n' || c == '\r') {
			if (p->last == 0 && p->depth == 0) {
				p->lex = LEX_INDENT;
				p->column = 0;
				p->tabs = p->blanks = false;
			} else {
				p->lex = LEX_CODE;
				why = line_ends(p);
			}
		}
		break;
	case LEX_QUOTE:
		if (c == (unsigned char)p->quote) {
			p->lex = LEX_QUOTES;
		} else {
			p->lex = LEX_STRING;
			why = string_byte(p, c);
		}
		break;
	case LEX_QUOTES:
		if (c == (unsigned char)p->quote) {
			p->lex = LEX_STRING;
			p->triple = true;
		} else {
			p->lex = LEX_CODE;
			why = code_byte(p, api, c);
		}
		break;
	case LEX_STRING:
		why = string_byte(p, c);
		break;
	case LEX_BACKSLASH:
		if (c == '\r' && !p->carriage) {
			p->carriage = true;
		} else if (c == '\n') {
			p->lex = LEX_CODE;
			p->line_begins = false;
		} else if (p->carriage) {
			p->lex = LEX_CODE;
			p->line_begins = false;
			why = code_byte(p, api, c);
		} else {
			why = "a backslash must end its line";
		}
		break;
	case LEX_BANG:
		if (c == '=') {
			p->lex = LEX_CODE;
			p->last = '=';
		} else {
			why = "'!' is followed by '='";
		}
		break;
	case LEX_TICKS:
		why = ticks_byte(p, c);
		break;
	default:
		why = "the program has ended";
		break;
	}
	p->previous = (char)c;
	return why;
}

const char *pylex_incomplete(const struct pylex *p, const struct pylex_api *api)
{
	if (p->lost || pylex_closed(p))
		return NULL;
	if (p->lex == LEX_QUOTE || p->lex == LEX_STRING)
		return "a string is still open";
	if (p->depth > 0)
		return "brackets are still open";
	struct pylex end = *p;
	const char *why = pylex_step(&end, api, '\n');
	if (why)
		return why;
	return end.expect_indent ? "an indented line must follow the colon" : NULL;
}

bool pylex_takes_words(const struct pylex *p)
{
	if (p->lost)
		return true;
	switch (p->lex) {
	case LEX_CODE:
	case LEX_QUOTES:
		return !is_checked(p);
	case LEX_COMMENT:
	case LEX_QUOTE:
	case LEX_STRING:
		return true;
	default:
		return false;
	}
}

void pylex_essence(struct pylex *out, const struct pylex *p)
{
	*out = *p;
	out->target = out->target_word = out->assigned = out->global = false;
	if (p->lex != LEX_INDENT) {
		out->column = 0;
		out->tabs = out->blanks = false;
	}
	out->word_after = p->word_after == '=' ? '=' : 0;
	out->alias_after = p->alias_after == '=' ? '=' : 0;
	/* a word like any other: not looked up, no keyword, too long for a string's prefix */
	if (p->lex == LEX_CODE && p->word_len > 2 && !is_checked(p) && p->first != KW_IMPORT &&
	    p->first != KW_FROM && !keyword_of(p->word) && !is_alias(p)) {
		memset(out->word, 0, sizeof(out->word));
		out->word_len = 3;
		memset(out->word, 'x', 3);
		out->last = out->previous = 'x';
	} else if (p->lex != LEX_CODE) {
		out->previous = p->previous == p->quote ? p->quote : 0;
	}
	/* what lies behind the ends of text and stacks is left over from earlier */
	size_t word = out->word_len < PYLEX_WORD_MAX ? out->word_len : PYLEX_WORD_MAX;
	memset(out->word + word, 0, sizeof(out->word) - word);
	memset(out->bracket + p->depth, 0,
	       (PYLEX_DEPTH_MAX - (size_t)p->depth) * sizeof(*p->bracket));
	memset(out->indent + p->n_indents, 0,
	       (PYLEX_INDENTS_MAX - (size_t)p->n_indents) * sizeof(*p->indent));
}

bool pylex_at_line_begin(const struct pylex *p)
{
	return !p->lost && p->lex == LEX_INDENT;
}
