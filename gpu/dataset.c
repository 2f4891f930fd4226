#include "gpu/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/chat.h"
#include "src/base/json.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"

enum { VALUES_MAX = 100000, WEIGHT_MAX = 1000, CHUNK = 1 << 20 };

const char *drop_reason_name(enum drop_reason r)
{
	static const char *const names[DROP_REASONS] = {
		"not JSON",  "no messages", "bad message", "nothing to learn",
		"not UTF-8", "too long",    "bad weight",
	};

	return names[r];
}

/* What one file is read with. */
struct reading {
	struct dataset *d;
	const struct tokenizer *t;
	const struct dataset_options *o;
	const char *path;
	int32_t im_start, im_end, text_end; /* -1: the tokenizer has none */
	uint64_t tokens_cap;
	int samples_cap, tasks_cap;
	uint64_t *task; /* hashes, one a sample that has one */
	int tasks;
	struct sha256 hash;
	int line;
};

/* ---- what is left out ---- */

/* A stranger's text on one line, cut at a whole character. */
static void clean_into(char *out, size_t size, const char *text)
{
	struct buf shown = { 0 };
	size_t n;

	utf8_clean_line(&shown, text, strnlen(text, 4 * size));
	n = shown.len < size - 1 ? shown.len : size - 1;
	while (n > 0 && n < shown.len && ((unsigned char)shown.data[n] & 0xc0) == 0x80)
		n--;
	memcpy(out, buf_str(&shown), n);
	out[n] = '\0';
	buf_release(&shown);
}

static void drop(struct reading *r, enum drop_reason why, const char *words)
{
	struct dataset *d = r->d;

	if (d->dropped[why]++ == 0) {
		d->first[why].line = r->line;
		clean_into(d->first[why].why, sizeof(d->first[why].why), words);
	}
}

/* ---- keeping a sample ---- */

/* Room for @n more of both. */
static int room(struct reading *r, int n)
{
	struct dataset *d = r->d;
	uint64_t need = d->tokens + (uint64_t)n, cap = r->tokens_cap;

	if (d->samples == r->samples_cap) {
		int more = r->samples_cap ? 2 * r->samples_cap : 256;
		struct sample *s = more > 0 ? realloc(d->sample, (size_t)more * sizeof(*s)) : NULL;
		if (!s)
			return -1;
		d->sample = s;
		r->samples_cap = more;
	}
	if (need <= cap)
		return 0;
	while (cap < need)
		cap = cap ? 2 * cap : 1 << 16;
	int32_t *id = realloc(d->id, cap * sizeof(*id));
	if (!id)
		return -1;
	d->id = id;
	int32_t *label = realloc(d->label, cap * sizeof(*label));
	if (!label)
		return -1;
	d->label = label;
	r->tokens_cap = cap;
	return 0;
}

static uint64_t text_hash(const char *p)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3u;
	return h;
}

static void count_kind(struct dataset *d, const char *name, int tokens)
{
	char shown[sizeof(d->kind[0].name)];
	int k = 0;

	clean_into(shown, sizeof(shown), name);
	while (k < d->kinds && strcmp(d->kind[k].name, shown) != 0)
		k++;
	if (k >= DATASET_KINDS_MAX - 1) {
		k = DATASET_KINDS_MAX - 1;
		strcpy(shown, "others");
	}
	if (k >= d->kinds) {
		d->kinds = k + 1;
		strcpy(d->kind[k].name, shown);
	}
	d->kind[k].samples++;
	d->kind[k].tokens += (uint64_t)tokens;
}

static int count_task(struct reading *r, const char *name)
{
	if (r->tasks == r->tasks_cap) {
		int more = r->tasks_cap ? 2 * r->tasks_cap : 256;
		uint64_t *p = realloc(r->task, (size_t)more * sizeof(*p));
		if (!p)
			return -1;
		r->task = p;
		r->tasks_cap = more;
	}
	r->task[r->tasks++] = text_hash(name);
	return 0;
}

static int out_of_memory(struct reading *r, struct err *e)
{
	return err_set(e, ERR_MEM,
	               "%.200s: no memory for more than %llu tokens of samples (8 bytes each): "
	               "take fewer rows",
	               r->path, (unsigned long long)r->d->tokens);
}

/* @id [n]: all tokens of a row; those from @learn on are learnt. */
static int keep(struct reading *r, const cJSON *row, const int32_t *id, int n, int learn,
                int last_label, struct sample s, struct err *e)
{
	struct dataset *d = r->d;
	const char *task = json_string_or(row, "task", NULL);
	const float part[] = { s.weight, s.from, s.until };
	int fed = last_label; /* id[fed] is the last label */

	if (r->o->loss_all) {
		learn = 1;
		fed = n - 1;
	}
	learn = learn < 1 ? 1 : learn;
	if (fed < learn) {
		drop(r, DROP_EMPTY, "there is nothing to learn in it");
		return 0;
	}
	if (fed > r->o->longest) {
		char why[120];
		snprintf(why, sizeof(why), "%d tokens; a sample may have %d (setting \"longest\")",
		         fed, r->o->longest);
		drop(r, DROP_TOO_LONG, why);
		return 0;
	}
	if (room(r, fed) < 0 || (task && count_task(r, task) < 0))
		return out_of_memory(r, e);
	s.at = d->tokens;
	s.n = fed;
	s.line = r->line;
	for (int i = 0; i < fed; i++) {
		bool learnt = i + 1 >= learn;
		d->id[s.at + (uint64_t)i] = id[i];
		d->label[s.at + (uint64_t)i] = learnt ? id[i + 1] : -1;
		s.labels += learnt;
	}
	sha256_add(&r->hash, &s.n, sizeof(s.n));
	sha256_add(&r->hash, part, sizeof(part));
	sha256_add(&r->hash, d->id + s.at, (size_t)fed * sizeof(*d->id));
	sha256_add(&r->hash, d->label + s.at, (size_t)fed * sizeof(*d->label));
	d->tokens += (uint64_t)fed;
	d->labels += (uint64_t)s.labels;
	d->longest = fed > d->longest ? fed : d->longest;
	d->sample[d->samples++] = s;
	count_kind(d, json_string_or(row, "kind", "-"), fed);
	return 0;
}

/* ---- one row ---- */

static const char *what_is(const cJSON *v)
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

/* 0; 1: dropped. */
static int take_numbers(struct reading *r, const cJSON *row, struct sample *s)
{
	static const char *const key[] = { "weight", "from", "until" };
	double v[3] = { 1, 0, 1 };
	char why[160];

	for (int i = 0; i < 3; i++) {
		const cJSON *x = cJSON_GetObjectItemCaseSensitive(row, key[i]);
		if (!x || cJSON_IsNull(x))
			continue;
		if (!cJSON_IsNumber(x)) {
			snprintf(why, sizeof(why), "%s: a number was expected, got %s", key[i],
			         what_is(x));
			drop(r, DROP_BAD_WEIGHT, why);
			return 1;
		}
		v[i] = x->valuedouble;
	}
	s->weight = (float)v[0];
	s->from = (float)v[1];
	s->until = (float)v[2];
	if (!(v[0] <= WEIGHT_MAX && s->weight > 0)) {
		snprintf(why, sizeof(why), "weight: above 0, at most %d, was expected, got %g",
		         WEIGHT_MAX, v[0]);
		drop(r, DROP_BAD_WEIGHT, why);
		return 1;
	}
	if (!(s->from >= 0 && s->from < s->until && s->until <= 1)) {
		snprintf(why, sizeof(why), "from %g, until %g: 0 <= from < until <= 1 was expected",
		         v[1], v[2]);
		drop(r, DROP_BAD_WEIGHT, why);
		return 1;
	}
	return 0;
}

static void add_message(cJSON *list, const char *role, const char *content)
{
	cJSON *m = cJSON_CreateObject();

	cJSON_AddStringToObject(m, "role", role);
	cJSON_AddStringToObject(m, "content", content);
	cJSON_AddItemToArray(list, m);
}

static void add_side(cJSON *list, cJSON *side, const char *role)
{
	cJSON *m;

	if (cJSON_IsString(side))
		add_message(list, role, side->valuestring);
	else
		cJSON_ArrayForEach(m, side) cJSON_AddItemReferenceToArray(list, m);
}

/* The row as messages in @list (to be deleted). 0; 1: it has none, and @why says so. */
static int find_messages(cJSON *row, cJSON **list, char why[160])
{
	static const char *const key[] = { "prompt", "completion" };
	static const char *const role[] = { "user", "assistant" };
	cJSON *messages = cJSON_GetObjectItemCaseSensitive(row, "messages");

	*list = cJSON_CreateArray();
	if (messages && !cJSON_IsNull(messages)) {
		if (!cJSON_IsArray(messages)) {
			snprintf(why, 160, "messages: a list was expected, got %s",
			         what_is(messages));
			return 1;
		}
		add_side(*list, messages, NULL);
		if (cJSON_GetArraySize(*list) == 0) {
			snprintf(why, 160, "messages: an empty list");
			return 1;
		}
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		cJSON *v = cJSON_GetObjectItemCaseSensitive(row, key[i]);
		if (!cJSON_IsString(v) && !cJSON_IsArray(v)) {
			snprintf(why, 160, "%s: a text or a list of messages was expected, got %s",
			         key[i], what_is(v));
			return 1;
		}
		add_side(*list, v, role[i]);
	}
	return 0;
}

static int common_prefix(const struct ids *a, const struct ids *b)
{
	int n = 0;

	while (n < a->n && n < b->n && a->id[n] == b->id[n])
		n++;
	return n;
}

/* Where the answer of @all begins: behind what the model is given at work, the prompt and an empty
 * thought; or behind "<think>" when the answer thinks. */
static int answer_begins(struct reading *r, cJSON *list, const struct ids *all, int *out,
                         struct err *e)
{
	cJSON *last = cJSON_DetachItemFromArray(list, cJSON_GetArraySize(list) - 1);
	struct chat_ids prompt = { 0 };
	int rc = chat_encode(&prompt, r->t, list, true, CHAT_THINKING_OFF, false, e);

	if (rc == 0) {
		*out = common_prefix(&prompt.ids, all);
		if (*out < prompt.ids.n) {
			chat_ids_release(&prompt);
			rc = chat_encode(&prompt, r->t, list, true, CHAT_THINKING_ON, false, e);
			if (rc == 0)
				*out = common_prefix(&prompt.ids, all);
		}
	}
	chat_ids_release(&prompt);
	cJSON_AddItemToArray(list, last);
	return rc;
}

/* What is wrong with a conversation is the row's fault, everything else ours. */
static int chat_failed(struct reading *r, const struct err *why, struct err *e)
{
	if (why->kind != ERR_INPUT) {
		*e = *why;
		return -1;
	}
	drop(r, DROP_BAD_MESSAGE, why->text);
	return 0;
}

static int take_messages(struct reading *r, cJSON *row, struct sample s, struct err *e)
{
	struct chat_ids all = { 0 };
	struct err why = { 0 };
	char words[160];
	cJSON *list;
	int rc = 0, learn = 0, end;

	if (r->im_start < 0 || r->im_end < 0)
		return err_set(e, ERR_INPUT,
		               "%.200s, line %d has messages, and the tokenizer has no added "
		               "tokens <|im_start|> and <|im_end|>: take rows {\"text\": ...} or "
		               "a tokenizer of Qwen3.5's family",
		               r->path, r->line);
	if (find_messages(row, &list, words) != 0) {
		drop(r, DROP_NO_MESSAGES, words);
		goto out;
	}
	const cJSON *last = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
	if (chat_encode(&all, r->t, list, false, CHAT_THINKING_OFF, false, &why) < 0) {
		rc = chat_failed(r, &why, e);
		goto out;
	}
	if (strcmp(json_string_or(last, "role", ""), "assistant") != 0) {
		snprintf(words, sizeof(words),
		         "the last message was expected to be the assistant's, got role "
		         "\"%.40s\"",
		         json_string_or(last, "role", ""));
		drop(r, DROP_BAD_MESSAGE, words);
		goto out;
	}
	if (answer_begins(r, list, &all.ids, &learn, &why) < 0) {
		rc = chat_failed(r, &why, e);
		goto out;
	}
	for (end = all.ids.n - 1; end > learn && all.ids.id[end] != r->im_end;)
		end--;
	if (end <= learn)
		drop(r, DROP_EMPTY, "the last message is empty");
	else
		rc = keep(r, row, all.ids.id, all.ids.n, learn, end, s, e);
out:
	chat_ids_release(&all);
	cJSON_Delete(list);
	return rc;
}

static int take_text(struct reading *r, const cJSON *row, const char *text, struct sample s,
                     struct err *e)
{
	struct ids all = { 0 };
	int rc = tokenizer_encode(r->t, text, strlen(text), false, &all, e);

	if (rc == 0 && all.n == 0)
		drop(r, DROP_EMPTY, "text: it is empty");
	else if (rc == 0 && r->text_end >= 0 && ids_add(&all, &r->text_end, 1) < 0)
		rc = err_set(e, ERR_MEM, "no memory for ids");
	else if (rc == 0)
		rc = keep(r, row, all.id, all.n, 1, all.n - 1, s, e);
	ids_release(&all);
	return rc;
}

static bool blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r", p[i]) || p[i] == '\0')
			return false;
	return true;
}

/* A NUL as JSON writes it would end a text of C's. */
static bool has_nul(const char *p, size_t len)
{
	if (memchr(p, '\0', len))
		return true;
	for (size_t i = 0; i + 1 < len; i++) {
		if (p[i] != '\\')
			continue;
		if (len - i >= 6 && memcmp(p + i + 1, "u0000", 5) == 0)
			return true;
		i++; /* what is escaped is no beginning */
	}
	return false;
}

static int take_row(struct reading *r, const char *p, size_t len, struct err *e)
{
	struct sample s = { 0 };
	struct err why = { 0 };
	const char *text;
	size_t bad;
	int rc = 0;

	if (blank(p, len))
		return 0;
	if (!utf8_valid(p, len, &bad)) {
		char words[60];
		snprintf(words, sizeof(words), "byte %zu is no UTF-8", bad + 1);
		drop(r, DROP_NOT_UTF8, words);
		return 0;
	}
	if (has_nul(p, len)) {
		drop(r, DROP_NOT_UTF8, "a NUL, which no text here may have");
		return 0;
	}
	cJSON *row = json_parse_bounded(p, len, VALUES_MAX, &why);
	if (!row && why.kind == ERR_MEM) {
		*e = why;
		return -1;
	}
	if (!row || !cJSON_IsObject(row)) {
		drop(r, DROP_NOT_JSON, row ? "an object was expected" : why.text);
		cJSON_Delete(row);
		return 0;
	}
	text = json_string_or(row, "text", NULL);
	if (take_numbers(r, row, &s) != 0)
		rc = 0;
	else if (cJSON_HasObjectItem(row, "messages") || cJSON_HasObjectItem(row, "completion"))
		rc = take_messages(r, row, s, e);
	else if (text)
		rc = take_text(r, row, text, s, e);
	else
		drop(r, DROP_NO_MESSAGES, "neither messages, nor prompt and completion, nor text");
	cJSON_Delete(row);
	return rc;
}

/* ---- the file ---- */

static int read_rows(struct reading *r, int fd, struct err *e)
{
	struct buf in = { 0 };
	bool skipping = false; /* the rest of a line that is too long */
	int rc = -1;

	for (;;) {
		char *p = buf_room(&in, CHUNK);
		if (!p) {
			err_set(e, ERR_MEM, "%.300s: no memory to read it", r->path);
			goto out;
		}
		ssize_t n = read(fd, p, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(e, ERR_INPUT, "%.300s: reading", r->path);
			goto out;
		}
		size_t from = in.len;
		buf_grew(&in, (size_t)n);
		/* lines that are whole; at the end of the file what is left is one too */
		size_t done = 0;
		for (;;) {
			size_t look = done > from ? done : from;
			const char *nl = memchr(in.data + look, '\n', in.len - look);
			size_t end = nl ? (size_t)(nl - in.data) : in.len;
			if (!nl && (n > 0 || done == in.len))
				break;
			r->line += !skipping;
			if (!skipping && take_row(r, in.data + done, end - done, e) < 0)
				goto out;
			skipping = false;
			done = end + (nl != NULL);
		}
		if (n == 0)
			break;
		buf_consume(&in, done);
		if (in.len > DATASET_LINE_MAX) {
			if (!skipping) {
				r->line++;
				drop(r, DROP_TOO_LONG, "a line of more than 32 MiB");
			}
			skipping = true;
			buf_clear(&in);
		}
	}
	rc = 0;
out:
	buf_release(&in);
	return rc;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void finish(struct reading *r)
{
	if (r->tasks > 0)
		qsort(r->task, (size_t)r->tasks, sizeof(*r->task), by_value);
	for (int i = 0; i < r->tasks; i++)
		r->d->tasks += i == 0 || r->task[i] != r->task[i - 1];
	sha256_end(&r->hash, r->d->hash);
}

static int nothing(const struct dataset *d, const char *path, struct err *e)
{
	int rows = 0, first = -1;

	for (int i = 0; i < DROP_REASONS; i++) {
		rows += d->dropped[i];
		if (d->dropped[i] > 0 && (first < 0 || d->first[i].line < d->first[first].line))
			first = i;
	}
	if (first < 0)
		return err_set(e, ERR_INPUT,
		               "%.200s: it is empty; rows of chat JSONL were expected", path);
	return err_set(e, ERR_INPUT, "%.200s: not one of %d rows can be learnt; line %d: %s: %s",
	               path, rows, d->first[first].line, drop_reason_name((enum drop_reason)first),
	               d->first[first].why);
}

int dataset_open(struct dataset *d, const char *path, const struct tokenizer *t,
                 const struct dataset_options *o, struct err *e)
{
	struct reading r = { .d = d,
		             .t = t,
		             .o = o,
		             .path = path,
		             .im_start = tokenizer_added(t, "<|im_start|>"),
		             .im_end = tokenizer_added(t, "<|im_end|>"),
		             .text_end = tokenizer_added(t, "<|endoftext|>") };
	struct stat st;
	int rc = -1;

	memset(d, 0, sizeof(*d));
	sha256_start(&r.hash);
	/* not to wait for a writer when it is a pipe */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		err_errno(e, ERR_INPUT, "%.300s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_INPUT, "%.300s: a file of chat JSONL was expected, this is %s", path,
		        S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
		goto out;
	}
	if (read_rows(&r, fd, e) < 0)
		goto out;
	rc = d->samples > 0 ? 0 : nothing(d, path, e);
	finish(&r);
out:
	if (fd >= 0)
		close(fd);
	free(r.task);
	if (rc < 0)
		dataset_close(d);
	return rc;
}

void dataset_close(struct dataset *d)
{
	free(d->sample);
	free(d->id);
	free(d->label);
	memset(d, 0, sizeof(*d));
}

/* ---- telling about it ---- */

static int median(const struct dataset *d)
{
	uint64_t *n = d->samples > 0 ? malloc((size_t)d->samples * sizeof(*n)) : NULL;
	int out;

	if (!n)
		return 0;
	for (int i = 0; i < d->samples; i++)
		n[i] = (uint64_t)d->sample[i].n;
	qsort(n, (size_t)d->samples, sizeof(*n), by_value);
	out = (int)n[d->samples / 2];
	free(n);
	return out;
}

cJSON *dataset_describe(const struct dataset *d)
{
	cJSON *o = cJSON_CreateObject(), *list, *x;

	cJSON_AddNumberToObject(o, "samples", d->samples);
	cJSON_AddNumberToObject(o, "tokens", (double)d->tokens);
	cJSON_AddNumberToObject(o, "labels", (double)d->labels);
	cJSON_AddNumberToObject(o, "longest", d->longest);
	cJSON_AddNumberToObject(o, "median", median(d));
	cJSON_AddNumberToObject(o, "tasks", d->tasks);
	list = cJSON_AddArrayToObject(o, "kinds");
	for (int i = 0; i < d->kinds; i++) {
		cJSON_AddItemToArray(list, x = cJSON_CreateObject());
		cJSON_AddStringToObject(x, "kind", d->kind[i].name);
		cJSON_AddNumberToObject(x, "samples", d->kind[i].samples);
		cJSON_AddNumberToObject(x, "tokens", (double)d->kind[i].tokens);
	}
	list = cJSON_AddArrayToObject(o, "dropped");
	for (int i = 0; i < DROP_REASONS; i++) {
		if (d->dropped[i] == 0)
			continue;
		cJSON_AddItemToArray(list, x = cJSON_CreateObject());
		cJSON_AddStringToObject(x, "reason", drop_reason_name((enum drop_reason)i));
		cJSON_AddNumberToObject(x, "rows", d->dropped[i]);
		cJSON_AddNumberToObject(x, "line", d->first[i].line);
		cJSON_AddStringToObject(x, "why", d->first[i].why);
	}
	return o;
}
