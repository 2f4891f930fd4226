/*
 * infer_main.c - cadforge-infer: a model behind frames on fd 3 (gpu/wire.h).
 *
 * One step of the scheduler, then a look at fd 3: so a cancel takes effect, and a new request joins
 * the batch, within a step. Nothing is kept of a request but what its answers need; adapters stay
 * loaded until others need their place. It leaves when fd 3 is closed.
 *
 * The same source with -DINFER_CUDA is cadforge-infer-cuda.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/chat.h"
#include "gpu/scheduler.h"
#include "gpu/sweep.h"
#include "gpu/wire.h"
#include "src/base/clock.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/sha256.h"

#ifdef INFER_CUDA
static const char program[] = "cadforge-infer-cuda";
#define BACKEND_OPEN cuda_open
#else
static const char program[] = "cadforge-infer";
#define BACKEND_OPEN cpu_open
#endif

enum {
	DOOR = 3,
	ADAPTERS_MAX = 16,   /* loaded at once */
	GUARDS_MAX = 4,      /* lists of names read */
	OUT_MOST = 64 << 20, /* bytes that wait for the asker before we wait for it */
	VALUES_MAX = 3 * INFER_IDS_MAX,
	ROWS_BYTES = 16 << 20, /* of one ROWS frame */
	NAMES_BYTES_MAX = 4 << 20,
};

/* A file as it was when it was read. */
struct stamp {
	struct timespec changed;
	off_t bytes;
	ino_t inode;
};

struct loaded {
	char *dir;
	struct stamp stamp[2];
	unsigned char hash[32];
	int number; /* of the backend; 0: this place is free */
	int users;
	uint64_t used; /* when last, counted */
};

struct names {
	char *path;
	struct stamp stamp;
	struct guard_names *names; /* kept to the end: answers may be using it */
};

/* A request that has answers under way: what the scheduler borrows. */
struct job {
	struct job *next;
	uint32_t number, request; /* of the asker; of the scheduler */
	int left;
	struct ids prompt, draft, forced;
	int *head;
	int n_heads;
	const char *stop[INFER_STOPS_MAX];
	int n_stop;
	cJSON *asked;                            /* owns the stop texts */
	int adapter[LORA_BLEND_MAX], n_adapters; /* places in loaded[] */
	struct lora_mix mix;
	unsigned char mix_key[SHA256_BYTES];
};

struct infer {
	/* flags */
	const char *model_dir;
	struct backend_options options;
	const char *dtype;
	/* */
	struct model model;
	struct tokenizer *tokenizer; /* NULL for a random model */
	bool thinks;
	struct backend *backend;
	struct scheduler *scheduler;
	struct loaded loaded[ADAPTERS_MAX];
	uint64_t uses;
	struct names names[GUARDS_MAX];
	int n_names;
	struct job *first;
	struct frame_reader in;
	struct buf out;
	bool lost; /* the backend failed: leave when that is told */
};

/* ---- saying ---- */

static const char *kind_name(enum err_kind k)
{
	switch (k) {
	case ERR_USAGE:
		return "usage";
	case ERR_INPUT:
		return "input";
	case ERR_MEM:
		return "memory";
	case ERR_LACKS:
		return "lacks";
	case ERR_LOST:
		return "lost";
	default:
		return "io";
	}
}

static void say(struct infer *in, uint32_t type, uint32_t job, cJSON *o, const void *blob,
                size_t len)
{
	struct buf text = { 0 };

	json_print(&text, o);
	cJSON_Delete(o);
	frame_append(&in->out, type, job, buf_str(&text), text.len, blob, len);
	buf_release(&text);
}

static void refuse(struct infer *in, uint32_t job, const struct err *why)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "error", why->text);
	cJSON_AddStringToObject(o, "kind", kind_name(why->kind));
	say(in, INFER_REFUSED, job, o, NULL, 0);
}

/* 0, or -1: the asker is gone. Waits for it only when too much lies here. */
static int flush(struct infer *in)
{
	for (;;) {
		int rc = frame_flush(&in->out, DOOR, NULL);
		if (rc <= 0)
			return rc;
		if (in->out.len < OUT_MOST)
			return 0;
		struct pollfd p = { .fd = DOOR, .events = POLLOUT };
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -1;
	}
}

/* ---- what is loaded on demand ---- */

static bool stamp_file(struct stamp *s, const char *dir, const char *name)
{
	char path[4200];
	struct stat st;

	*s = (struct stamp){ .bytes = -1 };
	snprintf(path, sizeof(path), "%s%s%s", dir, name ? "/" : "", name ? name : "");
	if (stat(path, &st) < 0)
		return false;
	*s = (struct stamp){ st.st_mtim, st.st_size, st.st_ino };
	return true;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
	       a->bytes == b->bytes && a->inode == b->inode;
}

static void unload(struct infer *in, struct loaded *l)
{
	if (l->number > 0)
		in->backend->ops->adapter_drop(in->backend, l->number);
	free(l->dir);
	*l = (struct loaded){ 0 };
}

static bool as_loaded(const struct loaded *l)
{
	struct stamp now[2];

	return stamp_file(&now[0], l->dir, "adapter_config.json") &&
	       stamp_file(&now[1], l->dir, "adapter_model.safetensors") &&
	       same_stamp(&l->stamp[0], &now[0]) && same_stamp(&l->stamp[1], &now[1]);
}

/* Nobody can ask for these again: their folders are gone, or hold others. A training leaves one
 * behind with each step. */
static void unload_gone(struct infer *in)
{
	for (int i = 0; i < ADAPTERS_MAX; i++) {
		struct loaded *l = &in->loaded[i];
		if (l->number > 0 && l->users == 0 && !as_loaded(l))
			unload(in, l);
	}
}

/* The adapter that nobody uses for the longest time gives up its place; NULL: all are in use. */
static struct loaded *unload_oldest(struct infer *in)
{
	struct loaded *oldest = NULL;

	for (int i = 0; i < ADAPTERS_MAX; i++) {
		struct loaded *l = &in->loaded[i];
		if (l->number > 0 && l->users == 0 && (!oldest || l->used < oldest->used))
			oldest = l;
	}
	if (oldest)
		unload(in, oldest);
	return oldest;
}

static struct loaded *place(struct infer *in)
{
	for (int i = 0; i < ADAPTERS_MAX; i++)
		if (in->loaded[i].number == 0)
			return &in->loaded[i];
	return unload_oldest(in);
}

/* Its number in the backend; where there is no room for it, those that nobody uses make some. */
static int add_adapter(struct infer *in, const struct adapter *a, struct err *e)
{
	int number;

	do {
		*e = (struct err){ 0 };
		number = in->backend->ops->adapter_add(in->backend, a, e);
	} while (number < 1 && e->kind == ERR_MEM && unload_oldest(in));
	return number;
}

/* The place of @dir's adapter as its files are now, loaded when it is not. */
static struct loaded *load_adapter(struct infer *in, const char *dir, struct err *e)
{
	struct stamp now[2];
	struct adapter a = { 0 };
	struct loaded *l;

	stamp_file(&now[0], dir, "adapter_config.json");
	stamp_file(&now[1], dir, "adapter_model.safetensors");
	for (int i = 0; i < ADAPTERS_MAX; i++) {
		l = &in->loaded[i];
		if (l->number > 0 && strcmp(l->dir, dir) == 0 && now[1].bytes >= 0 &&
		    same_stamp(&l->stamp[0], &now[0]) && same_stamp(&l->stamp[1], &now[1])) {
			l->used = ++in->uses;
			return l;
		}
	}
	if (adapter_open(&a, dir, &in->model.config, e) < 0)
		return NULL;
	/* the same values under new dates, or in another folder */
	for (int i = 0; i < ADAPTERS_MAX; i++) {
		l = &in->loaded[i];
		if (l->number == 0 || memcmp(l->hash, a.hash, sizeof(a.hash)) != 0)
			continue;
		char *name = strdup(dir);
		if (name) {
			free(l->dir);
			l->dir = name;
			memcpy(l->stamp, now, sizeof(now));
		}
		l->used = ++in->uses;
		adapter_close(&a);
		return l;
	}
	unload_gone(in);
	if (!(l = place(in))) {
		err_set(e, ERR_MEM, "%d adapters are in use at once; no more are taken",
		        ADAPTERS_MAX);
	} else if (!(l->dir = strdup(dir))) {
		err_set(e, ERR_MEM, "out of memory");
		l = NULL;
	} else if ((l->number = add_adapter(in, &a, e)) < 1) {
		l->number = 0;
		unload(in, l);
		l = NULL;
	} else {
		memcpy(l->stamp, now, sizeof(now));
		memcpy(l->hash, a.hash, sizeof(a.hash));
		l->used = ++in->uses;
	}
	adapter_close(&a);
	return l;
}

static const struct guard_names *load_names(struct infer *in, const char *path, struct err *e)
{
	struct buf text = { 0 };
	struct stamp now;

	stamp_file(&now, path, NULL);
	for (int i = 0; i < in->n_names; i++)
		if (strcmp(in->names[i].path, path) == 0 && same_stamp(&in->names[i].stamp, &now))
			return in->names[i].names;
	if (in->n_names == GUARDS_MAX) {
		err_set(e, ERR_MEM, "%d lists of names have been read; no more are taken",
		        GUARDS_MAX);
		return NULL;
	}
	struct names *n = &in->names[in->n_names];
	if (buf_read_file(&text, path, NAMES_BYTES_MAX, e) == 0 && (n->path = strdup(path))) {
		n->stamp = now;
		n->names = guard_names_parse(buf_str(&text), text.len, path, e);
		if (!n->names) {
			free(n->path);
			*n = (struct names){ 0 };
		}
	}
	buf_release(&text);
	if (!n->names)
		return NULL;
	in->n_names++;
	return n->names;
}

/* ---- a request ---- */

static void free_job(struct infer *in, struct job *j)
{
	for (int i = 0; i < j->n_adapters; i++)
		in->loaded[j->adapter[i]].users--;
	ids_release(&j->prompt);
	ids_release(&j->draft);
	ids_release(&j->forced);
	free(j->head);
	cJSON_Delete(j->asked);
	free(j);
}

static int take_ids(struct ids *out, const cJSON *list, const char *what, int vocabulary,
                    struct err *e)
{
	int n = 0;
	const cJSON *v;

	cJSON_ArrayForEach(v, list)
	{
		if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) ||
		    !(v->valuedouble >= 0 && v->valuedouble < vocabulary))
			return err_set(e, ERR_INPUT,
			               "%s: number %d is %g; a whole number from 0 to %d was "
			               "expected",
			               what, n + 1, cJSON_IsNumber(v) ? v->valuedouble : NAN,
			               vocabulary - 1);
		int32_t id = (int32_t)v->valuedouble;
		if (++n > INFER_IDS_MAX)
			return err_set(e, ERR_INPUT, "%s: more than %d", what, INFER_IDS_MAX);
		if (ids_add(out, &id, 1) < 0)
			return err_set(e, ERR_MEM, "no memory for ids");
	}
	return 0;
}

static int need_tokenizer(const struct infer *in, const char *what, struct err *e)
{
	return in->tokenizer ? 0
	                     : err_set(e, ERR_USAGE,
	                               "a random model has no tokenizer: ids are what it takes, "
	                               "not %s",
	                               what);
}

static int take_prompt(struct infer *in, struct job *j, const cJSON *o, struct err *e)
{
	const cJSON *messages = cJSON_GetObjectItemCaseSensitive(o, "messages");
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(o, "ids");
	const char *text = json_string_or(o, "text", NULL);
	const cJSON *thinking = cJSON_GetObjectItemCaseSensitive(o, "thinking");

	if (cJSON_IsArray(ids))
		return take_ids(&j->prompt, ids, "ids", in->model.config.vocabulary, e);
	if (need_tokenizer(in, "text", e) < 0)
		return -1;
	if (text)
		return tokenizer_encode(in->tokenizer, text, strlen(text), false, &j->prompt, e);
	struct chat_ids c = { 0 };
	enum chat_thinking how = cJSON_IsTrue(thinking)    ? CHAT_THINKING_ON
	                         : cJSON_IsFalse(thinking) ? CHAT_THINKING_OFF
	                                                   : CHAT_THINKING_DEFAULT;
	if (chat_encode(&c, in->tokenizer, messages, true, how, in->thinks, e) < 0)
		return -1;
	j->prompt = c.ids;
	j->head = c.head;
	j->n_heads = c.n_heads;
	return 0;
}

/* Whether the answer to these ids begins inside <think>. */
static bool in_thought(const struct infer *in, const struct ids *prompt)
{
	int32_t open = in->tokenizer ? tokenizer_added(in->tokenizer, "<think>") : -1;
	int32_t close = in->tokenizer ? tokenizer_added(in->tokenizer, "</think>") : -1;
	int32_t turn = in->tokenizer ? tokenizer_added(in->tokenizer, "<|im_start|>") : -1;

	for (int i = prompt->n - 1; open >= 0 && i >= 0; i--) {
		if (prompt->id[i] == open)
			return true;
		if (prompt->id[i] == close || prompt->id[i] == turn)
			return false;
	}
	return false;
}

static int take_adapters(struct infer *in, struct job *j, const cJSON *list, struct err *e)
{
	struct sha256 h;
	const cJSON *a;

	sha256_start(&h);
	cJSON_ArrayForEach(a, list)
	{
		const char *dir = json_string_or(a, "dir", "");
		float weight = (float)json_number_or(a, "weight", NAN);
		unsigned char w[4];
		if (j->n_adapters == LORA_BLEND_MAX)
			return err_set(e, ERR_USAGE, "at most %d adapters are blended",
			               LORA_BLEND_MAX);
		if (!isfinite(weight))
			return err_set(e, ERR_USAGE, "adapter %s: its scale is no number", dir);
		struct loaded *l = load_adapter(in, dir, e);
		if (!l)
			return -1;
		l->users++;
		j->adapter[j->n_adapters++] = (int)(l - in->loaded);
		j->mix.part[j->mix.n].adapter = l->number;
		j->mix.part[j->mix.n++].weight = weight;
		sha256_add(&h, l->hash, sizeof(l->hash));
		wire_put_float(w, weight);
		sha256_add(&h, w, sizeof(w));
	}
	sha256_end(&h, j->mix_key);
	return 0;
}

static int take_stops(struct job *j, const cJSON *list, struct err *e)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, list)
	{
		if (!cJSON_IsString(s) || !*s->valuestring)
			return err_set(e, ERR_USAGE, "a stop text is empty or no text");
		if (j->n_stop == INFER_STOPS_MAX)
			return err_set(e, ERR_USAGE, "at most %d stop texts", INFER_STOPS_MAX);
		j->stop[j->n_stop++] = s->valuestring;
	}
	return 0;
}

static int whole(const cJSON *o, const char *key, int min, int max, int *out, struct err *e)
{
	long long v;

	if (json_get_int(o, key, min, max, &v, e) < 0)
		return -1;
	*out = (int)v;
	return 0;
}

static int take_sampling(struct sampling *s, const cJSON *o, struct err *e)
{
	sampling_default(s);
	s->temperature = (float)json_number_or(o, "temperature", 0);
	s->top_p = (float)json_number_or(o, "top_p", 1);
	s->min_p = (float)json_number_or(o, "min_p", 0);
	s->presence = (float)json_number_or(o, "presence", 0);
	s->frequency = (float)json_number_or(o, "frequency", 0);
	s->repetition = (float)json_number_or(o, "repetition", 1);
	s->seed = strtoull(json_string_or(o, "seed", "0"), NULL, 10);
	return whole(o, "top_k", 0, 1 << 30, &s->top_k, e) < 0
	               ? -1
	               : whole(o, "top", 0, SAMPLER_TOP_MAX, &s->top, e);
}

static int take(struct infer *in, struct job *j, struct err *e)
{
	const cJSON *o = j->asked;
	struct scheduler_request r = { 0 };
	const char *guard = json_string_or(o, "guard", NULL);
	const char *draft = json_string_or(o, "draft", NULL);

	if (take_prompt(in, j, o, e) < 0 ||
	    take_adapters(in, j, cJSON_GetObjectItemCaseSensitive(o, "adapters"), e) < 0 ||
	    take_stops(j, cJSON_GetObjectItemCaseSensitive(o, "stop"), e) < 0 ||
	    take_sampling(&r.sampling, o, e) < 0 ||
	    whole(o, "n", 1, INFER_SEQUENCES_MAX, &r.n, e) < 0 ||
	    whole(o, "max_tokens", 0, INFER_IDS_MAX, &r.max_tokens, e) < 0 ||
	    take_ids(&j->forced, cJSON_GetObjectItemCaseSensitive(o, "forced"), "forced",
	             in->model.config.vocabulary, e) < 0)
		return -1;
	if (draft && in->tokenizer &&
	    tokenizer_encode(in->tokenizer, draft, strlen(draft), false, &j->draft, e) < 0)
		return -1;
	if (guard &&
	    (need_tokenizer(in, "the code guard", e) < 0 || !(r.guard = load_names(in, guard, e))))
		return -1;
	r.prompt = j->prompt.id;
	r.n_prompt = j->prompt.n;
	r.head = j->head;
	r.n_heads = j->n_heads;
	r.mix = j->mix;
	r.mix_key = j->mix.n ? j->mix_key : NULL;
	r.seconds = json_number_or(o, "seconds", 0);
	r.ignore_eos = json_bool_or(o, "ignore_eos", false);
	r.speculate = json_bool_or(o, "speculate", false);
	r.stop = j->n_stop ? j->stop : NULL;
	r.n_stop = j->n_stop;
	r.draft = j->draft.n ? j->draft.id : NULL;
	r.n_draft = j->draft.n;
	r.forced = j->forced.n ? j->forced.id : NULL;
	r.n_forced = j->forced.n;
	r.forced_begin = json_bool_or(o, "forced_begin", false);
	j->left = r.n;
	return scheduler_add(in->scheduler, &r, &j->request, e);
}

static void hex(const unsigned char hash[SHA256_BYTES], char out[SHA256_HEX])
{
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static void on_generate(struct infer *in, uint32_t number, cJSON *o)
{
	struct job *j = calloc(1, sizeof(*j));
	struct err e = { 0 };
	char hash[SHA256_HEX];

	if (!j) {
		cJSON_Delete(o);
		err_set(&e, ERR_MEM, "out of memory");
		refuse(in, number, &e);
		return;
	}
	j->number = number;
	j->asked = o;
	if (take(in, j, &e) < 0) {
		refuse(in, number, &e);
		free_job(in, j);
		return;
	}
	j->next = in->first;
	in->first = j;
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "prompt_tokens", j->prompt.n);
	cJSON_AddBoolToObject(o, "in_thought", in_thought(in, &j->prompt));
	hex(j->mix_key, hash);
	json_add_text(o, "adapter_hash", j->mix.n ? hash : NULL);
	say(in, INFER_TAKEN, number, o, NULL, 0);
}

static void on_cancel(struct infer *in, uint32_t number, const cJSON *o)
{
	for (struct job *j = in->first; j; j = j->next)
		if (j->number == number) {
			scheduler_cancel(in->scheduler, j->request,
			                 (int)json_number_or(o, "sequence", -1));
			return;
		}
}

/* ---- what the scheduler tells ---- */

static struct job *job_of(struct infer *in, uint32_t request)
{
	struct job *j = in->first;

	while (j && j->request != request)
		j = j->next;
	return j;
}

enum { TOP_TEXT_MAX = 23 };

/* What a token alone would say, cut at a whole character; bytes written. */
static size_t top_text(const struct infer *in, int32_t id, unsigned char *out)
{
	struct buf text = { 0 };
	size_t n;

	if (in->tokenizer)
		tokenizer_decode(in->tokenizer, &id, 1, false, &text);
	for (n = text.len < TOP_TEXT_MAX ? text.len : TOP_TEXT_MAX;
	     n > 0 && n < text.len && ((unsigned char)text.data[n] & 0xc0) == 0x80;)
		n--;
	if (n > 0)
		memcpy(out, text.data, n);
	buf_release(&text);
	return n;
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     const char *text, size_t len)
{
	struct infer *in = ctx;
	struct job *j = job_of(in, request);
	unsigned char head[INFER_TOKEN_BYTES + (9 + TOP_TEXT_MAX) * SAMPLER_TOP_MAX];
	unsigned char frame[FRAME_HEADER_BYTES], *at;

	struct picked none = { .id = -1 };

	if (!j)
		return;
	p = p ? p : &none; /* text that was held back; index is -1 then */
	wire_put32(head, (uint32_t)sequence);
	wire_put32(head + 4, (uint32_t)index);
	wire_put32(head + 8, (uint32_t)p->id);
	wire_put_float(head + 12, p->logprob);
	wire_put_float(head + 16, p->drawn);
	wire_put_float(head + 20, p->entropy);
	wire_put32(head + 24, (uint32_t)p->n_top);
	at = head + INFER_TOKEN_BYTES;
	for (int i = 0; i < p->n_top; i++) {
		wire_put32(at, (uint32_t)p->top[i].id);
		wire_put_float(at + 4, p->top[i].logprob);
		at[8] = (unsigned char)top_text(in, p->top[i].id, at + 9);
		at += 9 + at[8];
	}
	frame_header(frame, INFER_TOKEN, j->number, 0, (uint32_t)((size_t)(at - head) + len));
	buf_add(&in->out, frame, sizeof(frame));
	buf_add(&in->out, head, (size_t)(at - head));
	buf_add(&in->out, text, len);
}

static void on_done(void *ctx, uint32_t request, int sequence, enum sequence_end end,
                    const int32_t *ids, int n, const struct sequence_figures *f, const char *error)
{
	static const char *const ends[] = { "stop", "length", "cancelled", "error" };
	struct infer *in = ctx;
	struct job *j = job_of(in, request);
	struct buf blob = { 0 };
	cJSON *o;

	if (!j)
		return;
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "sequence", sequence);
	cJSON_AddStringToObject(o, "end", ends[end]);
	json_add_text(o, "error", error);
	cJSON_AddNumberToObject(o, "prompt_tokens", f->prompt_tokens);
	cJSON_AddNumberToObject(o, "cached_tokens", f->cached_tokens);
	cJSON_AddNumberToObject(o, "drafted", f->drafted);
	cJSON_AddNumberToObject(o, "accepted", f->accepted);
	json_add_figure(o, "wait_s", f->wait_s);
	json_add_figure(o, "prefill_s", f->prefill_s);
	json_add_figure(o, "decode_s", f->decode_s);
	if (f->stop) {
		cJSON *p = cJSON_AddObjectToObject(o, "stop");
		cJSON_AddNumberToObject(p, "id", f->stop->id);
		json_add_figure(p, "logprob", (double)f->stop->logprob);
		json_add_figure(p, "drawn", (double)f->stop->drawn);
		json_add_figure(p, "entropy", (double)f->stop->entropy);
	}
	for (int i = 0; i < n; i++) {
		unsigned char b[4];
		wire_put32(b, (uint32_t)ids[i]);
		buf_add(&blob, b, 4);
	}
	say(in, INFER_DONE, j->number, o, blob.data, blob.len);
	buf_release(&blob);
	/* freed between steps: the scheduler may still be looking at it */
	j->left--;
}

static void free_done(struct infer *in)
{
	for (struct job **at = &in->first; *at;) {
		struct job *j = *at;
		if (j->left > 0) {
			at = &j->next;
			continue;
		}
		*at = j->next;
		free_job(in, j);
	}
}

/* ---- logits, sweep ---- */

/* All positions of @j's ids through a slot of its own, ROWS by ROWS. */
static int give_rows(struct infer *in, struct job *j, struct err *e)
{
	struct backend *b = in->backend;
	int v = in->model.config.vocabulary, most = ROWS_BYTES / 4 / v, rc = -1;
	float *row;

	if (j->prompt.n == 0)
		return err_set(e, ERR_INPUT, "ids: none");
	most = most < 1 ? 1 : most > BACKEND_PIECE ? BACKEND_PIECE : most;
	if (j->prompt.n > in->options.context && in->options.context > 0)
		return err_set(e, ERR_INPUT, "%d ids; the context holds %d (--context N)",
		               j->prompt.n, in->options.context);
	int slot = b->ops->slot_open(b, -1, e);
	if (slot < 0)
		return -1;
	if (!(row = malloc((size_t)most * (size_t)v * sizeof(float)))) {
		err_set(e, ERR_MEM, "no memory for %d rows of logits", most);
		goto out;
	}
	for (int from = 0; from < j->prompt.n; from += most) {
		int n = j->prompt.n - from < most ? j->prompt.n - from : most;
		struct run run = { .slot = slot,
			           .n = n,
			           .ids = j->prompt.id + from,
			           .mix = j->mix,
			           .rows = ROWS_ALL,
			           .logits = row };
		struct step step = { .run = &run, .n_runs = 1 };
		struct picked none;
		cJSON *o;
		if (b->ops->submit(b, &step, e) < 0 || b->ops->collect(b, &none, e) < 0)
			goto out;
		o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "from", from);
		cJSON_AddNumberToObject(o, "rows", n);
		cJSON_AddNumberToObject(o, "of", j->prompt.n);
		cJSON_AddNumberToObject(o, "vocabulary", v);
		say(in, INFER_ROWS, j->number, o, row, (size_t)n * (size_t)v * sizeof(float));
		if (flush(in) < 0)
			goto out;
	}
	rc = 0;
out:
	free(row);
	b->ops->slot_close(b, slot);
	return rc;
}

static void on_logits(struct infer *in, uint32_t number, cJSON *o)
{
	struct job j = { .number = number };
	struct err e = { 0 };

	if (take_ids(&j.prompt, cJSON_GetObjectItemCaseSensitive(o, "ids"), "ids",
	             in->model.config.vocabulary, &e) < 0 ||
	    take_adapters(in, &j, cJSON_GetObjectItemCaseSensitive(o, "adapters"), &e) < 0 ||
	    give_rows(in, &j, &e) < 0)
		refuse(in, number, &e);
	for (int i = 0; i < j.n_adapters; i++)
		in->loaded[j.adapter[i]].users--;
	ids_release(&j.prompt);
	cJSON_Delete(o);
}

static void on_sweep(struct infer *in, uint32_t number)
{
	struct err e = { 0 };
	cJSON *o;
	double rate = backend_read_sweep(in->backend, &e);

	if (!(rate > 0)) {
		refuse(in, number, &e);
		return;
	}
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "bytes_per_s", rate);
	say(in, INFER_SWEPT, number, o, NULL, 0);
}

/* ---- fd 3 ---- */

/* 0, or -1: what came is no message of ours. */
static int on_frame(struct infer *in, const struct frame *f)
{
	struct err e = { 0 };
	cJSON *o = json_parse_bounded(f->json, f->json_len, VALUES_MAX, &e);

	if (!cJSON_IsObject(o)) {
		cJSON_Delete(o);
		return -1;
	}
	switch (f->type) {
	case INFER_GENERATE:
		on_generate(in, f->job, o);
		return 0;
	case INFER_LOGITS:
		on_logits(in, f->job, o);
		return 0;
	case INFER_CANCEL:
		on_cancel(in, f->job, o);
		break;
	case INFER_SWEEP:
		on_sweep(in, f->job);
		break;
	default:
		cJSON_Delete(o);
		return -1;
	}
	cJSON_Delete(o);
	return 0;
}

/* Takes all that is there; waits for something when @wait. 0; 1: the asker is gone; -1: nonsense.
 */
static int listen(struct infer *in, bool wait)
{
	struct err e = { 0 };
	struct frame f;
	int rc;

	if (wait) {
		struct pollfd p = { .fd = DOOR,
			            .events = (short)(POLLIN | (in->out.len ? POLLOUT : 0)) };
		poll(&p, 1, -1);
	}
	for (;;) {
		while ((rc = frame_next(&in->in, &f, &e)) > 0)
			if (on_frame(in, &f) < 0) {
				fprintf(stderr, "%s: a message of type %u that is none of ours\n",
				        program, f.type);
				return -1;
			}
		if (rc < 0) {
			fprintf(stderr, "%s: %s\n", program, e.text);
			return -1;
		}
		ssize_t n = frame_fill(&in->in, DOOR, &e);
		if (n == -2)
			return 0;
		if (n <= 0)
			return 1;
	}
}

/* ---- beginning ---- */

static int open_model(struct infer *in, struct err *e)
{
	const struct scheduler_ops ops = { .ctx = in, .token = on_token, .done = on_done };
	struct scheduler_options so = { 0 };
	enum dtype dtype = DTYPE_BF16;

	if (strncmp(in->model_dir, "random:", 7) == 0) {
		struct model_config c;
		if (config_named(&c, in->model_dir + 7) < 0)
			return err_set(e, ERR_USAGE,
			               "%s: random:10m, 110m, 0.8b, 2b, 4b or 9b was expected",
			               in->model_dir);
		if (in->options.dtype == BACKEND_F32 || in->options.dtype == BACKEND_INT8)
			dtype = DTYPE_F32;
#ifdef INFER_CUDA
		const bool on_device = true;
#else
		const bool on_device = false;
#endif
		if (model_random(&in->model, &c, dtype, 1, on_device, e) < 0)
			return -1;
	} else {
		if (model_open(&in->model, in->model_dir, e) < 0 ||
		    !(in->tokenizer = tokenizer_open(in->model_dir, e)))
			return -1;
		if (tokenizer_size(in->tokenizer) > in->model.config.vocabulary)
			return err_set(
				e, ERR_INPUT,
				"%s: tokenizer.json has ids up to %d, the model has rows for "
				"%d: they do not belong together",
				in->model_dir, tokenizer_size(in->tokenizer) - 1,
				in->model.config.vocabulary);
		in->thinks = chat_thinks_by_default(in->model_dir);
	}
	if (!(in->backend = BACKEND_OPEN(&in->model, &in->options, e)))
		return -1;
	so.eos = in->model.config.eos;
	so.n_eos = in->model.config.n_eos;
	in->scheduler = scheduler_open(in->backend, in->tokenizer, &so, &ops, e);
	return in->scheduler ? 0 : -1;
}

static void say_ready(struct infer *in, double since)
{
	struct backend_figures f = { .device = "" };
	cJSON *o = cJSON_CreateObject(), *m;
	const struct model_config *c = &in->model.config;
	char hash[SHA256_HEX];

	in->backend->ops->figures(in->backend, &f);
	in->options.context = f.context;
	cJSON_AddStringToObject(o, "program", program);
	cJSON_AddNumberToObject(o, "pid", getpid());
	cJSON_AddNumberToObject(o, "seconds", clock_now_s() - since);
	cJSON_AddStringToObject(o, "backend", in->backend->ops->name);
	cJSON_AddStringToObject(o, "device", f.device);
	cJSON_AddStringToObject(o, "dtype", in->dtype ? in->dtype : "as stored");
	cJSON_AddNumberToObject(o, "threads", f.threads);
	cJSON_AddNumberToObject(o, "context", f.context);
	cJSON_AddNumberToObject(o, "slots", f.slots_free);
	cJSON_AddNumberToObject(o, "weight_bytes", (double)f.weight_bytes);
	cJSON_AddNumberToObject(o, "slot_bytes", (double)f.slot_bytes);
	cJSON_AddNumberToObject(o, "kv_bytes_per_token", (double)f.kv_bytes_per_token);
	cJSON_AddNumberToObject(o, "kv_bytes_free", (double)f.kv_bytes_free);
	m = cJSON_AddObjectToObject(o, "model");
	cJSON_AddStringToObject(m, "dir", in->model_dir);
	hex(in->model.hash, hash);
	cJSON_AddStringToObject(m, "hash", hash);
	cJSON_AddNumberToObject(m, "parameters", (double)config_parameters(c));
	cJSON_AddNumberToObject(m, "layers", c->layers);
	cJSON_AddNumberToObject(m, "hidden", c->hidden);
	cJSON_AddNumberToObject(m, "vocabulary", c->vocabulary);
	cJSON_AddNumberToObject(m, "context", c->context);
	cJSON_AddBoolToObject(m, "thinks_by_default", in->thinks);
	say(in, INFER_READY, 0, o, NULL, 0);
}

static void close_all(struct infer *in)
{
	scheduler_close(in->scheduler);
	while (in->first) {
		struct job *j = in->first;
		in->first = j->next;
		free_job(in, j);
	}
	for (int i = 0; i < ADAPTERS_MAX; i++)
		if (in->loaded[i].number > 0)
			unload(in, &in->loaded[i]);
	for (int i = 0; i < in->n_names; i++) {
		guard_names_close(in->names[i].names);
		free(in->names[i].path);
	}
	if (in->backend)
		in->backend->ops->close(in->backend);
	if (in->tokenizer)
		tokenizer_close(in->tokenizer);
	model_close(&in->model);
	frame_reader_release(&in->in);
	buf_release(&in->out);
}

static void usage(void)
{
	fprintf(stderr,
	        "usage: %s --model DIR [--dtype bf16|f32|int8] [--threads N] [--context N] "
	        "[--slots N]\n"
	        "Started by cadforge with a socket on fd 3; the messages are in gpu/wire.h.\n",
	        program);
}

static int flags(struct infer *in, int argc, char **argv)
{
	static const struct option options[] = {
		{ "model", required_argument, NULL, 'm' },
		{ "dtype", required_argument, NULL, 'd' },
		{ "threads", required_argument, NULL, 't' },
		{ "context", required_argument, NULL, 'c' },
		{ "slots", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	static const char *const dtypes[] = { "as-stored", "bf16", "f32", "int8" };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (opt) {
		case 'm':
			in->model_dir = optarg;
			break;
		case 'd':
			in->dtype = optarg;
			while (in->options.dtype <= BACKEND_INT8 &&
			       strcmp(dtypes[in->options.dtype], optarg) != 0)
				in->options.dtype++;
			if (in->options.dtype > BACKEND_INT8)
				return -1;
			break;
		case 't':
			in->options.threads = atoi(optarg);
			break;
		case 'c':
			in->options.context = atoi(optarg);
			break;
		case 's':
			in->options.slots = atoi(optarg);
			break;
		default:
			return -1;
		}
	return in->model_dir && optind == argc && in->options.threads >= 0 &&
	                       in->options.context >= 0 && in->options.slots >= 0
	               ? 0
	               : -1;
}

/* When memory runs out the kernel shall take us and not the workbench. */
static void first_to_go(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "600", 3) < 0)
		errno = 0; /* a system that does not let us: nothing is lost */
	close(fd);
}

int main(int argc, char **argv)
{
	struct infer in = { .model_dir = NULL };
	double since = clock_now_s();
	struct err e = { 0 };
	int rc = 0;

	if (flags(&in, argc, argv) < 0 || fcntl(DOOR, F_GETFD) < 0) {
		usage();
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	fcntl(DOOR, F_SETFL, fcntl(DOOR, F_GETFL) | O_NONBLOCK);
	first_to_go();
	in.in.json_max = INFER_JSON_MAX;
	if (open_model(&in, &e) < 0) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "program", program);
		cJSON_AddStringToObject(o, "error", e.text);
		cJSON_AddStringToObject(o, "kind", kind_name(e.kind));
		say(&in, INFER_READY, 0, o, NULL, 0);
		flush(&in);
		close_all(&in);
		return e.kind == ERR_LACKS ? 3 : 2;
	}
	say_ready(&in, since);
	for (;;) {
		if (flush(&in) < 0 || (rc = listen(&in, in.first == NULL)) != 0)
			break;
		free_done(&in);
		if (in.first && scheduler_step(in.scheduler, &e) < 0) {
			/* every answer has been told so; the next request starts another of us */
			fprintf(stderr, "%s: %s\n", program, e.text);
			rc = -1;
			break;
		}
		free_done(&in);
	}
	if (rc < 0) {
		fcntl(DOOR, F_SETFL, fcntl(DOOR, F_GETFL) & ~O_NONBLOCK);
		flush(&in);
	}
	close_all(&in);
	return rc < 0 ? 1 : 0;
}
