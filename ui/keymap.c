#include "ui/keymap.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"
#include "ui/keys_default.h"

static const char *const places[N_SCREENS] = { "tasks", "live", "replay", "curriculum", "compare", "workers" };

static const struct {
	const char *name, *words;
	uint32_t key;
} actions[N_ACTIONS] = {
#define X(constant, name, key, words) [ACTION_##constant] = { name, words, key },
	UI_ACTIONS(X)
#undef X
};

static const char *const intent_words[N_INTENTS] = {
#define X(constant, name, words) [INTENT_##constant] = words,
	UI_INTENTS(X)
#undef X
};

/* ---- names of keys ---- */

static const struct {
	const char *name;
	uint32_t code;
} key_names[] = { { "Space", ' ' },           { "Enter", KEYS_ENTER },
	          { "Tab", KEYS_TAB },        { "S-Tab", KEYS_BACKTAB },
	          { "Esc", KEYS_ESC },        { "Up", KEYS_UP },
	          { "Down", KEYS_DOWN },      { "Left", KEYS_LEFT },
	          { "Right", KEYS_RIGHT },    { "Home", KEYS_HOME },
	          { "End", KEYS_END },        { "PgUp", KEYS_PAGE_UP },
	          { "PgDn", KEYS_PAGE_DOWN }, { "Backspace", KEYS_BACKSPACE },
	          { "Delete", KEYS_DELETE },  { "lt", '<' },
	          { "PageUp", KEYS_PAGE_UP }, { "PageDown", KEYS_PAGE_DOWN } };
enum { N_KEY_NAMES = sizeof(key_names) / sizeof(*key_names) };

static bool named(const char *s, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(s, name, len) == 0;
}

const char *key_text(struct key k, char *out)
{
	char unit[5] = "";

	for (int i = 0; i < N_KEY_NAMES; i++)
		if (!k.ctrl && key_names[i].code == k.code && k.code != '<') {
			snprintf(out, 16, "%s", key_names[i].name);
			return out;
		}
	if (k.code < 0x80)
		unit[0] = (char)(k.ctrl ? toupper((int)k.code) : (int)k.code);
	else if (k.code < 0x800)
		snprintf(unit, sizeof(unit), "%c%c", (char)(0xc0 | k.code >> 6),
		         (char)(0x80 | (k.code & 0x3f)));
	else if (k.code < 0x10000)
		snprintf(unit, sizeof(unit), "%c%c%c", (char)(0xe0 | k.code >> 12),
		         (char)(0x80 | (k.code >> 6 & 0x3f)), (char)(0x80 | (k.code & 0x3f)));
	else
		strcpy(unit, "?");
	snprintf(out, 16, "%s%s", k.ctrl ? "^" : "", unit);
	return out;
}

bool key_parse(const char *name, size_t len, struct key *k)
{
	uint32_t cp;

	*k = (struct key){ 0 };
	for (int i = 0; i < N_KEY_NAMES; i++)
		if (named(name, len, key_names[i].name)) {
			k->code = key_names[i].code;
			return true;
		}
	if ((len == 2 && name[0] == '^') || (len == 3 && memcmp(name, "C-", 2) == 0)) {
		if (!isalpha((unsigned char)name[len - 1]))
			return false;
		k->code = (uint32_t)tolower((unsigned char)name[len - 1]);
		k->ctrl = true;
		return true;
	}
	if (len == 0 || utf8_decode(name, len, &cp) != (int)len || cp <= ' ')
		return false;
	k->code = cp;
	return true;
}

size_t key_script(const char *text, size_t len, struct key *k)
{
	const char *end;
	uint32_t cp;
	int n;

	if (len == 0)
		return 0;
	if (text[0] == '<' && (end = memchr(text, '>', len)) && end > text + 1)
		return key_parse(text + 1, (size_t)(end - text) - 1, k) ? (size_t)(end - text) + 1
		                                                        : 0;
	*k = (struct key){ 0 };
	n = utf8_decode(text, len, &cp);
	if (n == 0 || (cp < ' ' && cp != '\t' && cp != '\n'))
		return 0;
	k->code = cp == '\n' ? KEYS_ENTER : cp == '\t' ? KEYS_TAB : cp;
	return (size_t)n;
}

/* ---- actions ---- */

void action_find(const char *name, size_t len, enum ui_action *a, enum intent_kind *i)
{
	*a = ACTION_NONE;
	*i = INTENT_NONE;
	for (int k = 1; k < N_ACTIONS; k++)
		if (named(name, len, actions[k].name)) {
			*a = (enum ui_action)k;
			return;
		}
	for (int k = 1; k < N_INTENTS; k++)
		if (named(name, len, intent_name((enum intent_kind)k))) {
			*i = (enum intent_kind)k;
			return;
		}
}

struct key action_key(enum ui_action a)
{
	return (struct key){ .code = actions[a].key };
}

const char *keymap_action(const struct keymap_row *r)
{
	return r->action ? actions[r->action].name : intent_name(r->intent);
}

/* What ui/intent.h says of an intent's arguments is for those who handle it. */
static const char *plain_words(enum ui_action a, enum intent_kind i, char *out)
{
	const char *words = a ? actions[a].words : intent_words[i];
	const char *args = strstr(words, " (n:");

	if (!args)
		args = strstr(words, " (text");
	snprintf(out, 96, "%.*s", args ? (int)(args - words) : (int)strlen(words), words);
	return out;
}

const char *keymap_words(const struct keymap_row *r, char *out)
{
	/* where the numbers of one action tell two keys apart */
	static const struct {
		enum intent_kind intent;
		int64_t n;
		const char *words;
	} particular[] = { { INTENT_TURN, -1, "the previous turn" },
		           { INTENT_TURN, 1, "the next turn" },
		           { INTENT_EPISODE, -1, "the previous episode" },
		           { INTENT_EPISODE, 1, "the next episode" },
		           { INTENT_TURN_PART, -15, "turn the part to the left" },
		           { INTENT_TURN_PART, 15, "turn the part to the right" },
		           { INTENT_PREFER, 1, "of a pair: the left one is better" },
		           { INTENT_PREFER, 2, "of a pair: the right one is better" },
		           { INTENT_PREFER, 0, "of a pair: both are equal" },
		           { INTENT_SPEED, -1, "play slower" },
		           { INTENT_SPEED, 1, "play faster" },
		           { INTENT_SEEK, -1, "one event back" },
		           { INTENT_SEEK, 1, "one event on" },
		           { INTENT_COLUMN, -1, "the column to the left" },
		           { INTENT_COLUMN, 1, "the column to the right" },
		           { INTENT_SCREEN, 0, "Tasks" },
		           { INTENT_SCREEN, 1, "Live" },
		           { INTENT_SCREEN, 2, "Replay" },
		           { INTENT_SCREEN, 3, "Curriculum" },
		           { INTENT_SCREEN, 4, "Compare" } };

	for (size_t i = 0; !r->action && i < sizeof(particular) / sizeof(*particular); i++)
		if (particular[i].intent == r->intent && particular[i].n == r->n) {
			snprintf(out, 96, "%s", particular[i].words);
			return out;
		}
	return plain_words(r->action, r->intent, out);
}

/* ---- reading ---- */

/* The next word of the line; *len 0 at its end. */
static const char *word(const char **s, const char *end, size_t *len)
{
	const char *from;

	while (*s < end && isspace((unsigned char)**s))
		(*s)++;
	from = *s;
	while (*s < end && !isspace((unsigned char)**s))
		(*s)++;
	*len = (size_t)(*s - from);
	return from;
}

static void copy(char *out, size_t size, const char *s, size_t len)
{
	while (len && isspace((unsigned char)*s))
		s++, len--;
	while (len && isspace((unsigned char)s[len - 1]))
		len--;
	if (len >= size)
		len = size - 1;
	memcpy(out, s, len);
	out[len] = '\0';
}

static int place_of(const char *s, size_t len)
{
	if (named(s, len, "all"))
		return KEYMAP_ALL;
	for (int i = 0; i < N_SCREENS; i++)
		if (named(s, len, places[i]))
			return i;
	return -2;
}

/* What follows the action: numbers, "?question", "| rank label". */
static bool rest_of(struct keymap_row *r, const char *s, const char *end)
{
	const char *bar = NULL, *w;
	size_t n;
	int numbers = 0;

	for (const char *p = s; p + 1 < end; p++)
		if (p[0] == '|' && isspace((unsigned char)p[1]))
			bar = p;
	if (bar) {
		const char *p = bar + 1;
		w = word(&p, end, &n);
		if (n == 0 || n > 2 || !isdigit((unsigned char)w[0]))
			return false;
		r->rank = atoi(w);
		copy(r->label, sizeof(r->label), p, (size_t)(end - p));
		if (!r->label[0])
			return false;
		end = bar;
	}
	while ((w = word(&s, end, &n)), n > 0) {
		char number[24], *stop;
		long long v;
		if (w[0] == '?') {
			copy(r->ask, sizeof(r->ask), w + 1, (size_t)(end - w) - 1);
			return true;
		}
		if (numbers == 2 || n >= sizeof(number))
			return false;
		memcpy(number, w, n);
		number[n] = '\0';
		errno = 0;
		v = strtoll(number, &stop, 10);
		if (errno || *stop)
			return false;
		*(numbers++ ? &r->m : &r->n) = v;
	}
	return true;
}

static int row_add(struct keymap *k, const struct keymap_row *r, struct err *e)
{
	if (k->n_rows == k->cap_rows) {
		int cap = k->cap_rows ? k->cap_rows * 2 : 128;
		struct keymap_row *rows = reallocarray(k->rows, (size_t)cap, sizeof(*rows));
		if (!rows)
			return err_set(e, ERR_MEM, "no memory for the keys");
		k->rows = rows;
		k->cap_rows = cap;
	}
	k->rows[k->n_rows++] = *r;
	return 0;
}

static const char *place_name(int screen)
{
	return screen == KEYMAP_ALL ? "all" : places[screen];
}

/* A user's line takes the place of the default's; the same file twice is a conflict. */
static int row_put(struct keymap *k, struct keymap_row *r, bool none, const char *file,
                   struct err *e)
{
	char text[16];

	for (int i = 0; i < k->n_rows; i++) {
		struct keymap_row *old = &k->rows[i];
		if (old->screen != r->screen || old->key.code != r->key.code ||
		    old->key.ctrl != r->key.ctrl)
			continue;
		if (old->of_user == r->of_user)
			return err_set(e, ERR_INPUT,
			               "%s:%d: %s %s is %s here and %s in line %d: one key, two "
			               "meanings",
			               file, r->line, place_name(r->screen), key_text(r->key, text),
			               none ? "none" : keymap_action(r), keymap_action(old),
			               old->line);
		r->heading = old->heading;
		if (none) {
			memmove(old, old + 1, (size_t)(k->n_rows - i - 1) * sizeof(*old));
			k->n_rows--;
			return 0;
		}
		*old = *r;
		return 0;
	}
	return none ? 0 : row_add(k, r, e);
}

static int line_read(struct keymap *k, const char *s, const char *end, const char *file, int line,
                     bool of_user, struct err *e)
{
	struct keymap_row r = { .rank = RANK_NONE, .of_user = of_user, .line = line };
	const char *w;
	size_t n;
	bool none;

	w = word(&s, end, &n);
	if (n == 0 || w[0] == '#')
		return 0;
	if (w[0] == '[') {
		if (w[n - 1] != ']' || k->n_headings == 12)
			return err_set(e, ERR_INPUT, "%s:%d: a heading is a word in brackets", file,
			               line);
		if (!of_user)
			copy(k->headings[k->n_headings++], sizeof(k->headings[0]), w + 1, n - 2);
		return 0;
	}
	r.screen = place_of(w, n);
	if (r.screen == -2)
		return err_set(e, ERR_INPUT,
		               "%s:%d: '%.*s' is no place: all, tasks, live, replay, curriculum or "
		               "compare",
		               file, line, (int)(n > 40 ? 40 : n), w);
	w = word(&s, end, &n);
	if (n == 0 || !key_parse(w, n, &r.key))
		return err_set(
			e, ERR_INPUT,
			"%s:%d: '%.*s' is no key: a character, ^X, or Enter, Tab, S-Tab, Esc, "
			"Space, Up, Down, Left, Right, Home, End, PgUp, PgDn, Backspace, Delete",
			file, line, (int)(n > 40 ? 40 : n), w);
	w = word(&s, end, &n);
	none = n == 4 && memcmp(w, "none", 4) == 0;
	action_find(w, n, &r.action, &r.intent);
	if (!none && !r.action && !r.intent)
		return err_set(e, ERR_INPUT,
		               "%s:%d: '%.*s' is no action: cadforge-keys(7) has the list", file,
		               line, (int)(n > 40 ? 40 : n), w);
	if (!rest_of(&r, s, end))
		return err_set(e, ERR_INPUT,
		               "%s:%d: after the action come at most two numbers, ?question, and | "
		               "rank words",
		               file, line);
	r.heading = k->n_headings ? k->n_headings - 1 : 0;
	for (int i = 0; of_user && i < k->n_headings; i++)
		if (strcmp(k->headings[i],
		           r.screen == KEYMAP_ALL ? "everywhere" : places[r.screen]) == 0)
			r.heading = i;
	return row_put(k, &r, none, file, e);
}

int keymap_read(struct keymap *k, const char *text, size_t len, const char *file, bool of_user,
                struct err *e)
{
	int line = 1;

	for (size_t at = 0; at < len; line++) {
		const char *nl = memchr(text + at, '\n', len - at);
		size_t n = nl ? (size_t)(nl - (text + at)) : len - at;
		if (line_read(k, text + at, text + at + n, file, line, of_user, e) < 0)
			return -1;
		at += n + 1;
	}
	return 0;
}

int keymap_check(const struct keymap *k, struct err *e)
{
	bool quits = false;
	char text[16];

	for (int i = 0; i < k->n_rows; i++) {
		const struct keymap_row *a = &k->rows[i];
		quits |= a->action == ACTION_QUIT && a->screen == KEYMAP_ALL;
		for (int j = 0; j < k->n_rows; j++) {
			const struct keymap_row *b = &k->rows[j];
			if (a->screen == KEYMAP_ALL || b->screen != KEYMAP_ALL ||
			    a->key.code != b->key.code || a->key.ctrl != b->key.ctrl)
				continue;
			return err_set(e, ERR_INPUT,
			               "%s %s is %s (%s line %d), and everywhere it is %s (%s line "
			               "%d): one key, two meanings",
			               place_name(a->screen), key_text(a->key, text),
			               keymap_action(a), a->of_user ? "your" : "default", a->line,
			               keymap_action(b), b->of_user ? "your" : "default", b->line);
		}
	}
	if (!quits)
		return err_set(e, ERR_INPUT,
		               "no key quits any more: quit needs one that is bound in all");
	return 0;
}

int keymap_open(struct keymap *k, const char *user, struct err *e)
{
	struct buf text = { 0 };
	int rc = -1;

	*k = (struct keymap){ 0 };
	if (keymap_read(k, (const char *)keys_default, sizeof(keys_default) - 1, "keys.default",
	                false, e) < 0)
		goto out;
	if (user && (buf_read_file(&text, user, 1 << 20, e) < 0 ||
	             keymap_read(k, buf_str(&text), text.len, user, true, e) < 0))
		goto out;
	rc = keymap_check(k, e);
	if (rc < 0 && user)
		err_wrap(e, "%s", user);
out:
	buf_release(&text);
	if (rc < 0)
		keymap_release(k);
	return rc;
}

void keymap_release(struct keymap *k)
{
	free(k->rows);
	*k = (struct keymap){ 0 };
}

const struct keymap_row *keymap_find(const struct keymap *k, int screen, struct key key)
{
	for (int i = 0; i < k->n_rows; i++) {
		const struct keymap_row *r = &k->rows[i];
		if ((r->screen == screen || r->screen == KEYMAP_ALL) && r->key.code == key.code &&
		    r->key.ctrl == key.ctrl)
			return r;
	}
	return NULL;
}

/* ---- footer ---- */

struct hint {
	char keys[40];
	const char *label;
	int rank, width;
	bool gone;
};

void keymap_footer(const struct keymap *k, int screen, int w, bool filters, struct buf *out)
{
	struct hint hints[64];
	int n = 0, total = 1;

	/* what is particular to the screen first */
	for (int own = 1; own >= 0; own--)
		for (int i = 0; i < k->n_rows && n < 64; i++) {
			const struct keymap_row *r = &k->rows[i];
			const char *label = r->label;
			char text[16];
			if (r->rank == RANK_NONE || !label[0] ||
			    r->screen != (own ? screen : KEYMAP_ALL))
				continue;
			if (r->action == ACTION_FIND && filters)
				label = "filter";
			key_text(r->key, text);
			if (n > 0 && strcmp(hints[n - 1].label, label) == 0) {
				size_t len = strlen(hints[n - 1].keys);
				snprintf(hints[n - 1].keys + len, sizeof(hints[n - 1].keys) - len,
				         " %s", text);
				continue;
			}
			hints[n] = (struct hint){ .label = label, .rank = r->rank };
			snprintf(hints[n].keys, sizeof(hints[n].keys), "%s", text);
			n++;
		}
	for (int i = 0; i < n; i++) {
		hints[i].width = text_width(hints[i].keys, strlen(hints[i].keys)) + 1 +
		                 text_width(hints[i].label, strlen(hints[i].label)) + 2;
		total += hints[i].width;
	}
	while (total - 2 >= w) {
		int worst = -1;
		for (int i = 0; i < n; i++)
			if (!hints[i].gone && hints[i].rank > 0 &&
			    (worst < 0 || hints[i].rank >= hints[worst].rank))
				worst = i;
		if (worst < 0)
			break;
		hints[worst].gone = true;
		total -= hints[worst].width;
	}
	for (int i = 0; i < n; i++)
		if (!hints[i].gone)
			buf_printf(out, "%s%s %s", out->len ? "  " : " ", hints[i].keys,
			           hints[i].label);
}

/* ---- the manual page ---- */

/* What would be markup at a line's beginning or inside. */
static void mdoc(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\')
			buf_adds(out, "\\e");
		else if (*text == '-')
			buf_adds(out, "\\-");
		else if (*text == '"')
			buf_adds(out, "\\(dq");
		else if (*text == '\'')
			buf_adds(out, "\\(aq");
		else if (*text == '~')
			buf_adds(out, "\\(ti");
		else if (*text == '^')
			buf_adds(out, "\\(ha");
		else
			buf_addc(out, *text);
	}
}

void keymap_manual(const struct keymap *k, struct buf *out)
{
	char words[96];

	for (int h = 0; h < k->n_headings; h++) {
		char heading[24], text[16];
		copy(heading, sizeof(heading), k->headings[h], strlen(k->headings[h]));
		heading[0] = (char)toupper((unsigned char)heading[0]);
		buf_printf(out, ".Ss %s\n.Bl -tag -width \"Backspace\" -compact\n", heading);
		for (int i = 0; i < k->n_rows; i++) {
			const struct keymap_row *r = &k->rows[i];
			if (r->heading != h)
				continue;
			/* \& keeps what looks like punctuation to mdoc from being taken so */
			buf_adds(out, ".It Ic \\&");
			mdoc(out, key_text(r->key, text));
			buf_adds(out, "\n\\&");
			mdoc(out, keymap_words(r, words));
			buf_adds(out, "\n.Pq Cm ");
			mdoc(out, keymap_action(r));
			buf_adds(out, "\n");
		}
		buf_adds(out, ".El\n");
	}
	buf_adds(out, ".Sh ACTIONS\n"
	              "Each has a name, for the command line of the workbench and for key files:\n"
	              ".Bl -tag -width \"stop-generation\" -compact\n");
	for (int i = 1; i < N_ACTIONS + N_INTENTS - 1; i++) {
		enum ui_action a = i < N_ACTIONS ? (enum ui_action)i : ACTION_NONE;
		enum intent_kind n = a ? INTENT_NONE : (enum intent_kind)(i - N_ACTIONS + 1);
		/* these are answers of ui's to what lies over a screen, and nothing to ask for */
		if (n == INTENT_BACK || n == INTENT_CHOOSE || n == INTENT_MORE ||
		    n == INTENT_SELECT || n == INTENT_COMMAND || n == INTENT_COPY)
			continue;
		buf_adds(out, ".It Cm ");
		mdoc(out, a ? actions[a].name : intent_name(n));
		buf_adds(out, "\n\\&");
		mdoc(out, plain_words(a, n, words));
		buf_adds(out, "\n");
	}
	buf_adds(out, ".El\n");
}
