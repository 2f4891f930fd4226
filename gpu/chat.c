#include "gpu/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/unicode.h"
#include "src/base/json.h"
#include "src/base/utf8.h"

enum { MESSAGES_MAX = 1 << 20 };

/* Bytes of somebody else's. */
struct span {
	const char *p;
	size_t n;
};

enum role { SYSTEM, USER, ASSISTANT, TOOL };

struct message {
	enum role role;
	struct span text;      /* trimmed */
	struct span reasoning; /* trimmed; p NULL: none given */
	struct buf joined;     /* of a list of parts; text is in it */
	size_t *end;           /* of each part in joined */
	int n_parts;
};

/* ---- text ---- */

/* What Python's str.strip() takes away, as the templates' trim filter does. */
static bool is_blank(uint32_t cp)
{
	enum unicode_class k = unicode_class(cp);
	return k == UNICODE_SPACE || k == UNICODE_NEWLINE || (cp >= 0x1c && cp <= 0x1f);
}

static struct span trim(struct span s)
{
	uint32_t cp;
	int n;

	while (s.n > 0 && (n = utf8_decode(s.p, s.n, &cp)) > 0 && is_blank(cp)) {
		s.p += n;
		s.n -= (size_t)n;
	}
	while (s.n > 0) {
		size_t k = 1; /* bytes of the last character */
		while (k < s.n && k < 4 && ((unsigned char)s.p[s.n - k] & 0xc0) == 0x80)
			k++;
		n = utf8_decode(s.p + s.n - k, k, &cp);
		if (n <= 0 || (size_t)n != k || !is_blank(cp))
			break;
		s.n -= k;
	}
	return s;
}

static struct span strip_newlines(struct span s, bool left, bool right)
{
	while (left && s.n > 0 && *s.p == '\n') {
		s.p++;
		s.n--;
	}
	while (right && s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	return s;
}

static bool starts(struct span s, const char *with)
{
	size_t n = strlen(with);
	return s.n >= n && memcmp(s.p, with, n) == 0;
}

static bool ends(struct span s, const char *with)
{
	size_t n = strlen(with);
	return s.n >= n && memcmp(s.p + s.n - n, with, n) == 0;
}

/* The place of the first or last @what in @s, or NULL. */
static const char *find(struct span s, const char *what, bool last)
{
	size_t n = strlen(what);
	const char *at = NULL;

	for (;;) {
		const char *next = s.n >= n ? memmem(s.p, s.n, what, n) : NULL;
		if (!next)
			return at;
		at = next;
		if (!last)
			return at;
		s.n -= (size_t)(at - s.p) + n;
		s.p = at + n;
	}
}

/* An assistant's text into what it thought and what it said. */
static void split_reasoning(struct message *m)
{
	const struct span whole = m->text;
	const char *first = find(whole, "</think>", false);
	struct span before;

	if (m->reasoning.p || !first)
		return;
	before = strip_newlines((struct span){ whole.p, (size_t)(first - whole.p) }, false, true);
	const char *open = find(before, "<think>", true);
	if (open) {
		open += strlen("<think>");
		before.n -= (size_t)(open - before.p);
		before.p = open;
	}
	m->reasoning = trim(before);
	const char *said = find(whole, "</think>", true) + strlen("</think>");
	m->text = strip_newlines((struct span){ said, (size_t)(whole.p + whole.n - said) }, true,
	                         false);
}

/* ---- reading the messages ---- */

static const char *kind_of(const cJSON *v)
{
	if (!v)
		return "nothing";
	if (cJSON_IsString(v))
		return "a text";
	if (cJSON_IsNumber(v))
		return "a number";
	if (cJSON_IsArray(v))
		return "a list";
	if (cJSON_IsObject(v))
		return "an object";
	return cJSON_IsNull(v) ? "null" : "true or false";
}

static int read_parts(struct message *m, const cJSON *list, int index, struct err *e)
{
	int n = cJSON_GetArraySize(list), k = 0;
	const cJSON *v;

	m->end = calloc((size_t)n + 1, sizeof(*m->end));
	if (!m->end)
		return err_set(e, ERR_MEM, "no memory for messages[%d]", index);
	cJSON_ArrayForEach(v, list)
	{
		const char *type = json_string_or(v, "type", "text");
		const cJSON *text = cJSON_GetObjectItemCaseSensitive(v, "text");
		if (strcmp(type, "text") != 0) {
			struct buf shown = { 0 };
			utf8_clean_line(&shown, type, strnlen(type, 40));
			err_set(e, ERR_INPUT,
			        "messages[%d].content[%d]: a part of type text was expected, got "
			        "\"%s\": this engine reads text only",
			        index, k, buf_str(&shown));
			buf_release(&shown);
			return -1;
		}
		if (!cJSON_IsString(text))
			return err_set(e, ERR_INPUT,
			               "messages[%d].content[%d].text: a text was expected, got %s",
			               index, k, kind_of(text));
		buf_adds(&m->joined, text->valuestring);
		m->end[k++] = m->joined.len;
	}
	m->n_parts = n;
	if (buf_failed(&m->joined))
		return err_set(e, ERR_MEM, "no memory for messages[%d]", index);
	m->text = trim((struct span){ buf_str(&m->joined), m->joined.len });
	return 0;
}

static int read_message(struct message *m, const cJSON *v, int index, struct err *e)
{
	static const char *const roles[] = { "system", "user", "assistant", "tool" };
	const cJSON *role = cJSON_GetObjectItemCaseSensitive(v, "role");
	const cJSON *content = cJSON_GetObjectItemCaseSensitive(v, "content");
	const cJSON *why = cJSON_GetObjectItemCaseSensitive(v, "reasoning_content");
	int k = 0;

	if (!cJSON_IsObject(v))
		return err_set(e, ERR_INPUT,
		               "messages[%d]: an object {\"role\", \"content\"} was expected, "
		               "got %s",
		               index, kind_of(v));
	if (!cJSON_IsString(role))
		return err_set(e, ERR_INPUT, "messages[%d].role: a text was expected, got %s",
		               index, kind_of(role));
	while (k < 4 && strcmp(roles[k], role->valuestring) != 0)
		k++;
	if (k == 4) {
		struct buf shown = { 0 };
		utf8_clean_line(&shown, role->valuestring, strnlen(role->valuestring, 40));
		err_set(e, ERR_INPUT,
		        "messages[%d].role: system, user, assistant or tool was expected, got "
		        "\"%s\"",
		        index, buf_str(&shown));
		buf_release(&shown);
		return -1;
	}
	m->role = (enum role)k;
	if (m->role == SYSTEM && index > 0)
		return err_set(e, ERR_INPUT,
		               "messages[%d]: a system message is the first one or none", index);
	if (cJSON_IsArray(content)) {
		if (read_parts(m, content, index, e) < 0)
			return -1;
	} else if (cJSON_IsString(content)) {
		m->text = trim((struct span){ content->valuestring, strlen(content->valuestring) });
	} else {
		return err_set(e, ERR_INPUT,
		               "messages[%d].content: a text, or a list of text parts, was "
		               "expected, got %s",
		               index, kind_of(content));
	}
	if (m->role != ASSISTANT)
		return 0;
	if (cJSON_IsString(why))
		m->reasoning = trim((struct span){ why->valuestring, strlen(why->valuestring) });
	else if (why && !cJSON_IsNull(why))
		return err_set(e, ERR_INPUT,
		               "messages[%d].reasoning_content: a text was expected, got %s", index,
		               kind_of(why));
	split_reasoning(m);
	return 0;
}

struct conversation {
	struct message *m;
	int n;
	int last_user; /* the last real user turn */
};

static void conversation_release(struct conversation *c)
{
	for (int i = 0; i < c->n; i++) {
		buf_release(&c->m[i].joined);
		free(c->m[i].end);
	}
	free(c->m);
	*c = (struct conversation){ 0 };
}

static int conversation_read(struct conversation *c, const cJSON *messages, struct err *e)
{
	const cJSON *v;
	int i = 0;

	*c = (struct conversation){ .last_user = -1 };
	if (!cJSON_IsArray(messages))
		return err_set(e, ERR_INPUT, "messages: a list was expected, got %s",
		               kind_of(messages));
	int n = cJSON_GetArraySize(messages);
	if (n > MESSAGES_MAX)
		return err_set(e, ERR_INPUT, "%d messages; at most %d are taken", n, MESSAGES_MAX);
	c->m = calloc((size_t)n + 1, sizeof(*c->m));
	if (!c->m)
		return err_set(e, ERR_MEM, "no memory for %d messages", n);
	c->n = n;
	cJSON_ArrayForEach(v, messages)
	{
		struct message *m = &c->m[i];
		if (read_message(m, v, i, e) < 0)
			return -1;
		if (m->role == USER &&
		    !(starts(m->text, "<tool_response>") && ends(m->text, "</tool_response>")))
			c->last_user = i;
		i++;
	}
	if (c->last_user < 0)
		return err_set(e, ERR_INPUT,
		               "messages: none is a user's (one that is more than a "
		               "<tool_response>); a conversation needs a user turn");
	return 0;
}

/* ---- writing ---- */

/* Where the conversation goes: all of it as text, or as ids. */
struct writer {
	struct buf *text; /* for ids: what was not encoded yet */
	const struct tokenizer *t;
	struct chat_ids *to; /* NULL: text is wanted */
	struct err *e;
	int rc;
};

static void flush(struct writer *w)
{
	if (!w->to || w->rc < 0)
		return;
	if (buf_failed(w->text))
		w->rc = err_set(w->e, ERR_MEM, "no memory for a prompt");
	else if (tokenizer_encode(w->t, buf_str(w->text), w->text->len, false, &w->to->ids, w->e) <
	         0)
		w->rc = -1;
	buf_clear(w->text);
}

/* One of the format's own marks: an added token where the tokenizer has it. */
static void mark(struct writer *w, const char *text)
{
	int32_t id = w->to ? tokenizer_added(w->t, text) : -1;

	if (id < 0) {
		buf_adds(w->text, text);
		return;
	}
	flush(w);
	if (w->rc == 0 && ids_add(&w->to->ids, &id, 1) < 0)
		w->rc = err_set(w->e, ERR_MEM, "no memory for a prompt");
}

static void say(struct writer *w, const char *text)
{
	buf_adds(w->text, text);
}

static void say_span(struct writer *w, struct span s)
{
	buf_add(w->text, s.p, s.n);
}

/* What was written so far is a head: only where a piece surely ends, whatever follows. */
static void head(struct writer *w)
{
	struct chat_ids *c = w->to;

	flush(w);
	if (!c || w->rc < 0 || (c->n_heads > 0 && c->head[c->n_heads - 1] == c->ids.n))
		return;
	if ((c->n_heads & (c->n_heads - 1)) == 0) {
		int *p = realloc(c->head,
		                 sizeof(*p) * (size_t)(c->n_heads > 0 ? 2 * c->n_heads : 1));
		if (!p) {
			w->rc = err_set(w->e, ERR_MEM, "no memory for a prompt");
			return;
		}
		c->head = p;
	}
	c->head[c->n_heads++] = c->ids.n;
}

static void open_turn(struct writer *w, const char *role)
{
	mark(w, "<|im_start|>");
	say(w, role);
}

static void close_turn(struct writer *w)
{
	mark(w, "<|im_end|>");
	say(w, "\n");
	head(w);
}

/* A content. In one of parts there is a head where the last line of a part begins: the pattern
 * always ends a piece between a newline and what is no white space, and neither normal form nor
 * merges reach across. */
static void say_content(struct writer *w, const struct message *m)
{
	const char *from = m->text.p, *stop = from + m->text.n;

	for (int k = 0; k < m->n_parts && w->to; k++) {
		const char *at = m->joined.data + m->end[k];
		uint32_t cp;
		if (at > stop)
			at = stop;
		for (at--; at > from; at--)
			if (at[-1] == '\n' && utf8_decode(at, (size_t)(stop - at), &cp) > 0 &&
			    !is_blank(cp))
				break;
		if (at <= from)
			continue;
		say_span(w, (struct span){ from, (size_t)(at - from) });
		head(w);
		from = at;
	}
	say_span(w, (struct span){ from, (size_t)(stop - from) });
}

static void write_turn(struct writer *w, const struct conversation *c, int i)
{
	const struct message *m = &c->m[i];

	switch (m->role) {
	case SYSTEM:
	case USER:
		open_turn(w, m->role == SYSTEM ? "system\n" : "user\n");
		say_content(w, m);
		close_turn(w);
		break;
	case ASSISTANT:
		open_turn(w, "assistant\n");
		if (i > c->last_user) {
			mark(w, "<think>");
			say(w, "\n");
			say_span(w, m->reasoning);
			say(w, "\n");
			mark(w, "</think>");
			say(w, "\n\n");
		}
		say_span(w, m->text);
		close_turn(w);
		break;
	case TOOL:
		if (i == 0 || c->m[i - 1].role != TOOL)
			open_turn(w, "user");
		say(w, "\n");
		mark(w, "<tool_response>");
		say(w, "\n");
		say_span(w, m->text);
		say(w, "\n");
		mark(w, "</tool_response>");
		if (i + 1 == c->n || c->m[i + 1].role != TOOL)
			close_turn(w);
		break;
	}
}

static int write_all(struct writer *w, const cJSON *messages, bool generation_prompt, bool thinks)
{
	struct conversation c;
	int rc = conversation_read(&c, messages, w->e);

	for (int i = 0; i < c.n && rc == 0 && w->rc == 0; i++)
		write_turn(w, &c, i);
	conversation_release(&c);
	if (rc < 0 || w->rc < 0)
		return -1;
	if (generation_prompt) {
		open_turn(w, "assistant\n");
		mark(w, "<think>");
		say(w, thinks ? "\n" : "\n\n");
		if (!thinks) {
			mark(w, "</think>");
			say(w, "\n\n");
		}
	}
	flush(w);
	return w->rc;
}

static bool resolve(enum chat_thinking thinking, bool default_on)
{
	return thinking == CHAT_THINKING_DEFAULT ? default_on : thinking == CHAT_THINKING_ON;
}

int chat_render(struct buf *out, const cJSON *messages, bool generation_prompt,
                enum chat_thinking thinking, bool default_on, struct err *e)
{
	struct buf text = { 0 };
	struct writer w = { .text = &text, .e = e };
	int rc = write_all(&w, messages, generation_prompt, resolve(thinking, default_on));

	if (rc == 0) {
		buf_add(out, buf_str(&text), text.len);
		if (buf_failed(&text) || buf_failed(out))
			rc = err_set(e, ERR_MEM, "no memory for a prompt");
	}
	buf_release(&text);
	return rc;
}

int chat_encode(struct chat_ids *out, const struct tokenizer *t, const cJSON *messages,
                bool generation_prompt, enum chat_thinking thinking, bool default_on, struct err *e)
{
	static const char *const needed[] = { "<|im_start|>", "<|im_end|>" };
	struct buf text = { 0 };
	struct chat_ids ids = { 0 };
	struct writer w = { .text = &text, .t = t, .to = &ids, .e = e };

	for (int i = 0; i < 2; i++)
		if (tokenizer_added(t, needed[i]) < 0)
			return err_set(e, ERR_INPUT,
			               "the tokenizer has no added token %s: it is not one of a "
			               "chat model of Qwen3.5's family",
			               needed[i]);
	int rc = write_all(&w, messages, generation_prompt, resolve(thinking, default_on));
	buf_release(&text);
	if (rc < 0)
		chat_ids_release(&ids);
	else
		*out = ids;
	return rc;
}

void chat_ids_release(struct chat_ids *c)
{
	ids_release(&c->ids);
	free(c->head);
	*c = (struct chat_ids){ 0 };
}
