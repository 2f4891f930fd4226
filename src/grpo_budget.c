#include "src/grpo_budget.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/base/json.h"
#include "src/jsonl.h"

enum {
	CONTEXT_USUAL = 32768, /* as the engine's own */
	UNKNOWN = 8192,
	LEAST_KNOWN = 64, /* answers in the store, to go by them */
	EPISODES_LOOKED_AT = 1024,
	ROWS_BYTES_MAX = 256 << 20,
	LONGEST_ROWS = 16,       /* of so many by bytes the tokens are counted */
	REPAIR_WORDS = 700,      /* tokens that a repair has beside task and program */
	PROGRAM_BYTES_TOKEN = 2, /* bytes a token of a quoted program, at least */
};

int grpo_budget_open(struct grpo_budget *b, const char *model, enum chat_thinking thinking,
                     int context, struct err *e)
{
	char path[PATH_MAX];
	struct buf text = { 0 };
	int rc = -1;

	*b = (struct grpo_budget){ .thinking = thinking };
	if (strstr(model, "://") || strncmp(model, "random:", 7) == 0)
		return err_set(e, ERR_USAGE,
		               "--model %.100s: what learns is a folder on this machine "
		               "(config.json, tokenizer.json, safetensors; any Qwen3.5)",
		               model);
	if (snprintf(path, sizeof(path), "%s/config.json", model) >= (int)sizeof(path))
		return err_set(e, ERR_INPUT, "--model: longer than any path");
	if (buf_read_file(&text, path, 1 << 20, e) < 0 ||
	    config_parse(&b->config, buf_str(&text), text.len, path, e) < 0 ||
	    !(b->tokenizer = tokenizer_open(model, e)))
		goto out;
	b->parameters = (double)config_parameters(&b->config);
	b->thinks = chat_thinks_by_default(model);
	b->context = context > 0                         ? context
	             : b->config.context < CONTEXT_USUAL ? b->config.context
	                                                 : CONTEXT_USUAL;
	if (b->context > b->config.context)
		err_set(e, ERR_USAGE, "--context %d: the model has %d", b->context,
		        b->config.context);
	else
		rc = 0;
out:
	buf_release(&text);
	if (rc < 0)
		grpo_budget_close(b);
	return rc;
}

void grpo_budget_close(struct grpo_budget *b)
{
	if (b->tokenizer)
		tokenizer_close(b->tokenizer);
	*b = (struct grpo_budget){ 0 };
}

int grpo_budget_prompt(const struct grpo_budget *b, const cJSON *messages, struct err *e)
{
	struct chat_ids ids = { 0 };
	int n;

	if (chat_encode(&ids, b->tokenizer, messages, true, b->thinking, b->thinks, e) < 0)
		return -1;
	n = ids.ids.n;
	chat_ids_release(&ids);
	return n;
}

static void known(struct grpo_budget *b, int tokens, const char *where)
{
	if (tokens <= b->known)
		return;
	b->known = tokens;
	snprintf(b->where, sizeof(b->where), "%s", where);
}

/* ---- rows of an adapter's training ---- */

/* Places of the longest answers by bytes, the longest first. */
struct longest {
	const char *line[LONGEST_ROWS];
	size_t len[LONGEST_ROWS], bytes[LONGEST_ROWS];
	int n;
};

static void keep_long(struct longest *l, const char *line, size_t len, size_t bytes)
{
	int at = l->n < LONGEST_ROWS ? l->n++ : LONGEST_ROWS - 1;

	if (at == LONGEST_ROWS - 1 && l->n == LONGEST_ROWS && l->bytes[at] >= bytes)
		return;
	for (; at > 0 && l->bytes[at - 1] < bytes; at--) {
		l->line[at] = l->line[at - 1];
		l->len[at] = l->len[at - 1];
		l->bytes[at] = l->bytes[at - 1];
	}
	l->line[at] = line;
	l->len[at] = len;
	l->bytes[at] = bytes;
}

int grpo_budget_rows(const struct tokenizer *t, const char *file)
{
	struct buf text = { 0 };
	struct longest l = { .n = 0 };
	struct jsonl_completion c;
	int most = 0;

	if (buf_read_file(&text, file, ROWS_BYTES_MAX, NULL) < 0)
		return 0;
	for (const char *p = text.data; p && p < text.data + text.len;) {
		const char *end = memchr(p, '\n', (size_t)(text.data + text.len - p));
		size_t len = end ? (size_t)(end - p) : (size_t)(text.data + text.len - p);
		if (jsonl_completion_parse(&c, p, len, NULL) == 0) {
			keep_long(&l, p, len, strlen(c.completion));
			jsonl_completion_release(&c);
		}
		p += len + 1;
	}
	for (int i = 0; i < l.n; i++) {
		struct ids ids = { 0 };
		if (jsonl_completion_parse(&c, l.line[i], l.len[i], NULL) < 0)
			continue;
		if (tokenizer_encode(t, c.completion, strlen(c.completion), false, &ids, NULL) == 0)
			most = ids.n + 1 > most ? ids.n + 1 : most;
		ids_release(&ids);
		jsonl_completion_release(&c);
	}
	buf_release(&text);
	return most;
}

/* ---- answers in the store ---- */

struct seen {
	struct store *store;
	const char *model;
	int answers, longest;
};

static int see_turn(void *ctx, const struct store_turn *t)
{
	struct seen *s = ctx;

	if (t->model && strcmp(t->model, s->model) == 0 && t->built && t->finish &&
	    strcmp(t->finish, "stop") == 0 && t->completion_tokens > 0) {
		s->answers++;
		s->longest = t->completion_tokens > s->longest ? t->completion_tokens : s->longest;
	}
	return 0;
}

static int see_episode(void *ctx, const struct store_episode *x)
{
	struct seen *s = ctx;

	return store_turns(s->store, x->id, see_turn, s, NULL) < 0;
}

void grpo_budget_look(struct grpo_budget *b, const struct model_flags *m, struct store *store)
{
	struct store_filter f = store_filter_none();
	struct seen s = { .store = store };
	char name[256], rows[PATH_MAX + 32], real[PATH_MAX], *slash;

	known(b, m->about.answer_tokens, "the model's own cadforge.json");
	for (int i = 0; i < m->n_adapters; i++)
		if (realpath(m->adapter[i].dir, real) && (slash = strrchr(real, '/'))) {
			*slash = '\0';
			snprintf(rows, sizeof(rows), "%s/train.jsonl", real);
			known(b, grpo_budget_rows(b->tokenizer, rows),
			      "rows that the adapter was trained on");
		}
	if (!store)
		return;
	if (m->about.name[0])
		snprintf(name, sizeof(name), "%s", m->about.name);
	else
		model_flags_name(name, sizeof(name), m->model);
	f.model = s.model = name;
	if (store_episodes(store, &f, 0, EPISODES_LOOKED_AT, see_episode, &s, NULL, NULL) == 0 &&
	    s.answers >= LEAST_KNOWN)
		known(b, s.longest, "its answers in the database");
}

/* ---- the budget ---- */

int grpo_budget_room(const struct grpo_budget *b, int prompt, bool repairs)
{
	int room = b->context - prompt, half;

	if (!repairs)
		return room > 1 ? room : 1;
	/* the program that is quoted is as long as an answer, up to a bound */
	room -= REPAIR_WORDS;
	half = room / 2;
	if (half > REPAIR_PROGRAM_BYTES / PROGRAM_BYTES_TOKEN)
		half = room - REPAIR_PROGRAM_BYTES / PROGRAM_BYTES_TOKEN;
	return half > 1 ? half : 1;
}

int grpo_budget_answer(const struct grpo_budget *b, int prompt, bool repairs)
{
	int room = grpo_budget_room(b, prompt, repairs);
	int64_t wish = b->known ? ((int64_t)b->known * 3 + 1) / 2 : UNKNOWN;

	return wish < room ? (int)wish : room;
}
