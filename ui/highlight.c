#include "ui/highlight.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "ui/draw.h"

/* 0, or 1..4: an open ''' """ ' " (the last two only where a backslash ends the line) */
enum { OPEN_NONE, OPEN_TRIPLE_SINGLE, OPEN_TRIPLE_DOUBLE, OPEN_SINGLE, OPEN_DOUBLE };

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool keyword(const char *w, size_t n)
{
	static const char *const words[] = { "False",    "None",    "True",  "and",   "as",
		                             "assert",   "async",   "await", "break", "class",
		                             "continue", "def",     "del",   "elif",  "else",
		                             "except",   "finally", "for",   "from",  "global",
		                             "if",       "import",  "in",    "is",    "lambda",
		                             "nonlocal", "not",     "or",    "pass",  "raise",
		                             "return",   "try",     "while", "with",  "yield" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strlen(words[i]) == n && memcmp(words[i], w, n) == 0)
			return true;
	return false;
}

static void paint(uint8_t *roles, size_t from, size_t to, enum role role)
{
	if (roles && to > from)
		memset(roles + from, (int)role, to - from);
}

/* From @i, inside a string: just past its end, or @len; *@state says whether it goes on. */
static size_t string_end(const char *s, size_t i, size_t len, highlight_state *state)
{
	bool triple = *state == OPEN_TRIPLE_SINGLE || *state == OPEN_TRIPLE_DOUBLE;
	char q = *state == OPEN_TRIPLE_SINGLE || *state == OPEN_SINGLE ? '\'' : '"';

	for (; i < len; i++) {
		if (s[i] == '\\') {
			if (i + 1 >= len)
				return len; /* goes on in the next line, whichever kind it is */
			i++;
		} else if (s[i] == q && !triple) {
			*state = OPEN_NONE;
			return i + 1;
		} else if (s[i] == q && i + 2 < len && s[i + 1] == q && s[i + 2] == q) {
			*state = OPEN_NONE;
			return i + 3;
		}
	}
	if (!triple)
		*state = OPEN_NONE; /* a plain string ends with its line, closed or not */
	return len;
}

static highlight_state python_line(const char *s, size_t len, highlight_state state, uint8_t *roles)
{
	size_t i = 0;
	bool names = false; /* the word before was def or class */

	if (state != OPEN_NONE) {
		i = string_end(s, 0, len, &state);
		paint(roles, 0, i, ROLE_CODE_TEXT);
	}
	while (i < len) {
		size_t from = i;
		if (s[i] == '#') {
			paint(roles, i, len, ROLE_CODE_COMMENT);
			break;
		}
		if (s[i] == '\'' || s[i] == '"') {
			bool triple = i + 2 < len && s[i + 1] == s[i] && s[i + 2] == s[i];
			state = triple ? (s[i] == '"' ? OPEN_TRIPLE_DOUBLE : OPEN_TRIPLE_SINGLE)
			               : (s[i] == '"' ? OPEN_DOUBLE : OPEN_SINGLE);
			i = string_end(s, i + (triple ? 3 : 1), len, &state);
			paint(roles, from, i, ROLE_CODE_TEXT);
			continue;
		}
		if (isdigit((unsigned char)s[i])) {
			while (i < len && (word_char(s[i]) || s[i] == '.' ||
			                   ((s[i] == '+' || s[i] == '-') &&
			                    (s[i - 1] == 'e' || s[i - 1] == 'E'))))
				i++;
			paint(roles, from, i, ROLE_CODE_NUMBER);
			continue;
		}
		if (!word_char(s[i])) {
			if (!isspace((unsigned char)s[i]))
				names = false;
			i++;
			continue;
		}
		while (i < len && word_char(s[i]))
			i++;
		if (keyword(s + from, i - from)) {
			paint(roles, from, i, ROLE_CODE_WORD);
			names = (i - from == 3 && memcmp(s + from, "def", 3) == 0) ||
			        (i - from == 5 && memcmp(s + from, "class", 5) == 0);
		} else {
			if (names)
				paint(roles, from, i, ROLE_CODE_NAME);
			names = false;
		}
	}
	return state;
}

static bool begins(const char *s, size_t len, const char *with)
{
	size_t n = strlen(with);

	return len >= n && memcmp(s, with, n) == 0;
}

/* A log's line: a mark and a word as our own lines begin, or the last line of a traceback. */
static enum role log_role(const char *s, size_t len)
{
	size_t word = 0;

	if (begins(s, len, "+ "))
		return ROLE_GOOD;
	if (begins(s, len, "x ") || begins(s, len, "error"))
		return ROLE_BAD;
	if (begins(s, len, "~ ") || begins(s, len, "warn"))
		return ROLE_WEAK;
	if (begins(s, len, "Traceback "))
		return ROLE_BAD;
	while (word < len && (word_char(s[word]) || s[word] == '.'))
		word++;
	if (word > 5 && word < len && s[word] == ':' &&
	    (memcmp(s + word - 5, "Error", 5) == 0 ||
	     (word > 9 && memcmp(s + word - 9, "Exception", 9) == 0)))
		return ROLE_BAD;
	return ROLE_NORMAL;
}

highlight_state highlight_line(enum text_kind kind, const char *line, size_t len,
                               highlight_state state, uint8_t *roles)
{
	paint(roles, 0, len, ROLE_NORMAL);
	switch (kind) {
	case TEXT_PYTHON:
		return python_line(line, len, state, roles);
	case TEXT_LOG:
		paint(roles, 0, len, log_role(line, len));
		break;
	case TEXT_DIFF:
		if (len && line[0] == '+')
			paint(roles, 0, len, ROLE_ADD);
		else if (len && line[0] == '-')
			paint(roles, 0, len, ROLE_DEL);
		else if (begins(line, len, "@@"))
			paint(roles, 0, len, ROLE_FAINT);
		break;
	case TEXT_PLAIN:
		break;
	}
	return OPEN_NONE;
}
