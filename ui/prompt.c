#include "ui/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_text(struct prompt *p, const char *text)
{
	buf_clear(&p->text);
	buf_adds(&p->text, text);
	p->at = p->text.len;
}

void prompt_open(struct prompt *p, enum prompt_kind kind, const char *question, const char *initial)
{
	p->kind = kind;
	snprintf(p->question, sizeof(p->question), "%s", question);
	p->back = 0;
	set_text(p, initial ? initial : "");
}

void prompt_release(struct prompt *p)
{
	for (int k = 0; k < N_PROMPTS; k++) {
		for (int i = 0; i < p->n_history[k]; i++)
			free(p->history[k][i]);
		p->n_history[k] = 0;
	}
	buf_release(&p->text);
	buf_release(&p->now);
	p->kind = PROMPT_NONE;
}

/* The newest last, and once. */
static void remember(struct prompt *p)
{
	char **list = p->history[p->kind], *mine;
	int *n = &p->n_history[p->kind], from;

	if (p->text.len == 0 || !(mine = strdup(buf_str(&p->text))))
		return;
	for (from = 0; from < *n && strcmp(list[from], mine) != 0; from++)
		;
	if (from == *n && *n < PROMPT_HISTORY) {
		list[(*n)++] = mine;
		return;
	}
	if (from == *n)
		from = 0; /* the oldest goes */
	free(list[from]);
	memmove(list + from, list + from + 1, (size_t)(*n - from - 1) * sizeof(*list));
	list[*n - 1] = mine;
}

static void recall(struct prompt *p, int by)
{
	int n = p->n_history[p->kind], back = p->back + by;

	if (back < 0 || back > n || back == p->back)
		return;
	if (p->back == 0) {
		buf_clear(&p->now);
		buf_adds(&p->now, buf_str(&p->text));
	}
	p->back = back;
	set_text(p, back == 0 ? buf_str(&p->now) : p->history[p->kind][n - back]);
}

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t before(const struct prompt *p, size_t at)
{
	if (at > 0)
		at--;
	while (at > 0 && continues(p->text.data[at]))
		at--;
	return at;
}

static size_t after(const struct prompt *p, size_t at)
{
	if (at < p->text.len)
		at++;
	while (at < p->text.len && continues(p->text.data[at]))
		at++;
	return at;
}

/* Takes [from, to) out; the cursor stands there. */
static enum prompt_result cut(struct prompt *p, size_t from, size_t to)
{
	if (from >= to)
		return PROMPT_GOES_ON;
	memmove(p->text.data + from, p->text.data + to, p->text.len - to + 1);
	p->text.len -= to - from;
	p->at = from;
	return PROMPT_EDITED;
}

static void insert(struct prompt *p, const char *bytes, size_t n)
{
	size_t tail = p->text.len - p->at;

	if (p->text.len + n > PROMPT_MAX)
		return;
	buf_add(&p->text, bytes, n);
	if (buf_failed(&p->text))
		return;
	memmove(p->text.data + p->at + n, p->text.data + p->at, tail);
	memcpy(p->text.data + p->at, bytes, n);
	p->at += n;
}

static size_t encode(uint32_t cp, char out[4])
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

static enum prompt_result confirm(struct prompt *p, struct key k)
{
	bool yes = !k.ctrl && (k.code == 'y' || k.code == 'Y');

	p->kind = PROMPT_NONE;
	return yes ? PROMPT_DONE : PROMPT_CANCELLED;
}

static enum prompt_result control(struct prompt *p, uint32_t letter)
{
	size_t from = p->at;

	switch (letter) {
	case 'a':
		p->at = 0;
		return PROMPT_GOES_ON;
	case 'e':
		p->at = p->text.len;
		return PROMPT_GOES_ON;
	case 'b':
		p->at = before(p, p->at);
		return PROMPT_GOES_ON;
	case 'f':
		p->at = after(p, p->at);
		return PROMPT_GOES_ON;
	case 'p':
		recall(p, 1);
		return PROMPT_EDITED;
	case 'n':
		recall(p, -1);
		return PROMPT_EDITED;
	case 'u':
		return cut(p, 0, p->at);
	case 'k':
		return cut(p, p->at, p->text.len);
	case 'd':
		return cut(p, p->at, after(p, p->at));
	case 'w':
		while (from > 0 && p->text.data[from - 1] == ' ')
			from--;
		while (from > 0 && p->text.data[from - 1] != ' ')
			from--;
		return cut(p, from, p->at);
	case 'c':
	case 'g':
		p->kind = PROMPT_NONE;
		return PROMPT_CANCELLED;
	default:
		return PROMPT_GOES_ON;
	}
}

enum prompt_result prompt_key(struct prompt *p, struct key k)
{
	char bytes[4];

	if (p->kind == PROMPT_CONFIRM)
		return confirm(p, k);
	if (k.ctrl)
		return control(p, k.code);
	switch (k.code) {
	case KEYS_ENTER:
		remember(p);
		p->kind = PROMPT_NONE;
		return PROMPT_DONE;
	case KEYS_ESC:
		p->kind = PROMPT_NONE;
		return PROMPT_CANCELLED;
	case KEYS_BACKSPACE:
		/* out of an empty line it leads back */
		if (p->text.len == 0) {
			p->kind = PROMPT_NONE;
			return PROMPT_CANCELLED;
		}
		return cut(p, before(p, p->at), p->at);
	case KEYS_DELETE:
		return cut(p, p->at, after(p, p->at));
	case KEYS_LEFT:
		p->at = before(p, p->at);
		return PROMPT_GOES_ON;
	case KEYS_RIGHT:
		p->at = after(p, p->at);
		return PROMPT_GOES_ON;
	case KEYS_HOME:
		p->at = 0;
		return PROMPT_GOES_ON;
	case KEYS_END:
		p->at = p->text.len;
		return PROMPT_GOES_ON;
	case KEYS_UP:
		recall(p, 1);
		return PROMPT_EDITED;
	case KEYS_DOWN:
		recall(p, -1);
		return PROMPT_EDITED;
	default:
		if (k.code < ' ' || k.code >= KEYS_UP)
			return PROMPT_GOES_ON;
		insert(p, bytes, encode(k.code, bytes));
		return PROMPT_EDITED;
	}
}

void prompt_paste(struct prompt *p, const char *text, size_t len)
{
	size_t n = 0;

	if (p->kind == PROMPT_NONE || p->kind == PROMPT_CONFIRM)
		return;
	while (n < len && text[n] != '\n' && text[n] != '\r' && text[n] != '\0')
		n++;
	if (n > PROMPT_MAX - p->text.len) {
		n = PROMPT_MAX - p->text.len;
		while (n > 0 && continues(text[n]))
			n--;
	}
	insert(p, text, n);
}

int prompt_draw(const struct prompt *p, struct canvas *c, struct rect row)
{
	const char *text = buf_str(&p->text);
	int x, room, at;
	size_t from = 0;

	draw_clear(c, row);
	x = row.x + draw_str(c, row.x, row.y, row.w, ROLE_STRONG, p->question);
	room = row.x + row.w - 1 - x;
	if (room < 1)
		return row.x + row.w - 1;
	/* what the cursor stands on is in sight */
	while ((at = text_width(text + from, p->at - from)) > room)
		from = after(p, from);
	draw_text(c, x, row.y, room, ROLE_NORMAL, text + from, p->text.len - from);
	return x + at;
}
