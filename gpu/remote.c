/*
 * remote.c - gpu.h's door to an OpenAI-compatible server: a streamed request an answer, over
 * libcurl's multi interface.
 *
 * The key (CADFORGE_API_KEY) is read when the door opens, given to libcurl as a bearer token, which
 * it sends to the host of the address alone, and stands nowhere else; should a server quote it in
 * an error, it is struck out.
 *
 * Again is tried only while nothing of the answer has come: after a lost connection, silence, and
 * the statuses that mean "later", with growing pauses or the server's own Retry-After. A server
 * that does not know an optional field (logprobs, stream_options, ...) is asked without it.
 */
#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "gpu/door.h"
#include "gpu/sse.h"
#include "gpu/wire.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/base/utf8.h"

enum {
	EVENT_MAX = 1 << 20,  /* bytes of an event, and of an answer that comes in one piece */
	TEXT_MAX = 8 << 20,   /* of an answer */
	BODY_KEPT = 16 << 10, /* of what is no answer, for words */
	VALUES_MAX = 100000,  /* in an event's JSON */
	REDIRECTS_MAX = 5,
};
static const double timeout_default_s = 60, connect_s = 15, pause_first_s = 0.5, pause_most_s = 30,
		    retry_after_most_s = 120;

/* Fields that not every server knows. */
enum {
	WITHOUT_LOGPROBS = 1,
	WITHOUT_STREAM_OPTIONS = 2,
	WITHOUT_SEED = 4,
	WITH_MAX_COMPLETION_TOKENS = 8,
};

struct remote;

/* One answer: a request to the server, perhaps made several times. */
struct call {
	struct call *next;
	struct remote *remote;
	struct answer answer;
	CURL *easy;
	struct curl_slist *headers;
	cJSON *body; /* what is asked, with every optional field */
	struct buf sent;
	unsigned without;
	int tried;
	double due_s;  /* not under way: when it is tried again; else 0 */
	double last_s; /* a byte came */
	double begun_s, first_s;
	/* what has come of this try */
	struct sse sse;
	struct buf plain;  /* a body that is no event stream */
	bool stream, told; /* told: a piece of the answer has come */
	bool said_done;    /* "[DONE]" */
	bool finished;     /* a finish_reason came */
	enum gpu_end end;
	int prompt_tokens, cached_tokens;
	size_t told_bytes;
	char finish[48];
	struct err wrong; /* kind 0: nothing */
	bool cancelled;
};

struct remote {
	struct gpu gpu;
	CURLM *multi;
	char *url, *name, *key; /* without its last slash; the model; NULL */
	double timeout_s;
	int retries;
	uint32_t last_request;
	struct call *first;
	cJSON *about;
	bool introduced; /* ready() was called */
};

bool remote_address(const char *model)
{
	return strncasecmp(model, "http://", 7) == 0 || strncasecmp(model, "https://", 8) == 0;
}

/* ---- words ---- */

/* Appends a server's text for people: one line, at most @most bytes, without the key. */
static void quote(const struct remote *r, char *out, size_t size, const char *text, size_t len)
{
	struct buf plain = { 0 }, line = { 0 };
	size_t key = r->key ? strlen(r->key) : 0;

	for (size_t i = 0; i < len;) {
		if (key > 0 && len - i >= key && memcmp(text + i, r->key, key) == 0) {
			buf_adds(&plain, "[key]");
			i += key;
		} else {
			buf_addc(&plain, text[i++]);
		}
	}
	utf8_clean_line(&line, buf_str(&plain), plain.len);
	size_t n = line.len < size - 1 ? line.len : size - 1;
	while (n > 0 && n < line.len && ((unsigned char)line.data[n] & 0xc0) == 0x80)
		n--;
	memcpy(out, buf_str(&line), n);
	out[n] = '\0';
	buf_release(&plain);
	buf_release(&line);
}

/* What a server says is wrong: {"error": {"message"}}, {"error": "..."}, {"message"}, {"detail"},
 * or the text itself. */
static void said(const struct remote *r, char *out, size_t size, const char *text, size_t len)
{
	cJSON *o = json_parse_bounded(text, len, VALUES_MAX, NULL);
	const cJSON *error = cJSON_GetObjectItemCaseSensitive(o, "error");
	const char *words = json_string_or(error, "message", NULL);
	struct buf all = { 0 };

	if (!words && cJSON_IsString(error))
		words = error->valuestring;
	if (!words)
		words = json_string_or(o, "message", NULL);
	if (!words)
		words = json_string_or(o, "detail", NULL);
	if (!words && cJSON_GetObjectItemCaseSensitive(o, "detail")) {
		json_print(&all, cJSON_GetObjectItemCaseSensitive(o, "detail"));
		words = buf_str(&all);
	}
	if (words)
		quote(r, out, size, words, strlen(words));
	else
		quote(r, out, size, text, len);
	buf_release(&all);
	cJSON_Delete(o);
}

/* ---- what is asked ---- */

/* Contents that are lists of text parts become one text: not every server takes lists. */
static cJSON *plain_messages(const cJSON *messages)
{
	cJSON *list = cJSON_CreateArray();
	const cJSON *m, *part;

	cJSON_ArrayForEach(m, messages)
	{
		const cJSON *content = cJSON_GetObjectItemCaseSensitive(m, "content");
		const cJSON *thought = cJSON_GetObjectItemCaseSensitive(m, "reasoning_content");
		struct buf text = { 0 };
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "role", json_string_or(m, "role", ""));
		if (cJSON_IsString(content))
			buf_adds(&text, content->valuestring);
		else
			cJSON_ArrayForEach(part, content)
				buf_adds(&text, json_string_or(part, "text", ""));
		cJSON_AddStringToObject(o, "content", buf_str(&text));
		buf_release(&text);
		if (cJSON_IsString(thought))
			cJSON_AddStringToObject(o, "reasoning_content", thought->valuestring);
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

static cJSON *describe(const struct remote *r, const struct gpu_request *q, int sequence)
{
	const struct sampling *s = &q->sampling;
	cJSON *o = cJSON_CreateObject(), *list;

	cJSON_AddStringToObject(o, "model", r->name);
	if (q->messages)
		cJSON_AddItemToObject(o, "messages", plain_messages(q->messages));
	if (q->text)
		cJSON_AddStringToObject(o, "prompt", q->text);
	if (q->ids)
		cJSON_AddItemToObject(o, "prompt", cJSON_CreateIntArray(q->ids, q->n_ids));
	cJSON_AddTrueToObject(o, "stream");
	list = cJSON_AddObjectToObject(o, "stream_options");
	cJSON_AddTrueToObject(list, "include_usage");
	cJSON_AddNumberToObject(o, "max_tokens", q->max_tokens > 0 ? q->max_tokens : 4096);
	cJSON_AddNumberToObject(o, "temperature", (double)s->temperature);
	if (s->top_p < 1)
		cJSON_AddNumberToObject(o, "top_p", (double)s->top_p);
	if (s->top_k > 0)
		cJSON_AddNumberToObject(o, "top_k", s->top_k);
	if (s->min_p > 0)
		cJSON_AddNumberToObject(o, "min_p", (double)s->min_p);
	if (s->presence != 0)
		cJSON_AddNumberToObject(o, "presence_penalty", (double)s->presence);
	if (s->frequency != 0)
		cJSON_AddNumberToObject(o, "frequency_penalty", (double)s->frequency);
	if (s->repetition != 1)
		cJSON_AddNumberToObject(o, "repetition_penalty", (double)s->repetition);
	/* servers keep it as a signed number */
	cJSON_AddNumberToObject(o, "seed", (double)((s->seed + (uint64_t)sequence) & 0x7fffffff));
	if (q->messages) {
		cJSON_AddTrueToObject(o, "logprobs");
		if (s->top > 0)
			cJSON_AddNumberToObject(o, "top_logprobs", s->top);
	} else {
		cJSON_AddNumberToObject(o, "logprobs", s->top);
	}
	if (q->ignore_eos)
		cJSON_AddTrueToObject(o, "ignore_eos");
	if (q->n_stop > 0) {
		list = cJSON_AddArrayToObject(o, "stop");
		for (int i = 0; i < q->n_stop; i++)
			cJSON_AddItemToArray(list, cJSON_CreateString(q->stop[i]));
	}
	if (q->messages && q->thinking != CHAT_THINKING_DEFAULT) {
		list = cJSON_AddObjectToObject(o, "chat_template_kwargs");
		cJSON_AddBoolToObject(list, "enable_thinking", q->thinking == CHAT_THINKING_ON);
	}
	return o;
}

static int print_body(struct call *c, struct err *e)
{
	cJSON *o = cJSON_Duplicate(c->body, true);

	if (c->without & WITHOUT_LOGPROBS) {
		cJSON_DeleteItemFromObjectCaseSensitive(o, "logprobs");
		cJSON_DeleteItemFromObjectCaseSensitive(o, "top_logprobs");
	}
	if (c->without & WITHOUT_STREAM_OPTIONS)
		cJSON_DeleteItemFromObjectCaseSensitive(o, "stream_options");
	if (c->without & WITHOUT_SEED)
		cJSON_DeleteItemFromObjectCaseSensitive(o, "seed");
	if (c->without & WITH_MAX_COMPLETION_TOKENS)
		cJSON_AddItemToObject(o, "max_completion_tokens",
		                      cJSON_DetachItemFromObjectCaseSensitive(o, "max_tokens"));
	buf_clear(&c->sent);
	json_print(&c->sent, o);
	cJSON_Delete(o);
	return buf_failed(&c->sent) ? err_set(e, ERR_MEM, "no memory for a request") : 0;
}

/* ---- what comes ---- */

/* Appends text with U+FFFD for what is no UTF-8: JSON promises it, servers may not keep to it. */
static void whole_text(struct buf *out, const char *text)
{
	size_t len = strlen(text), at = 0;
	uint32_t cp;

	while (at < len) {
		int n = utf8_decode(text + at, len - at, &cp);
		if (n > 0)
			buf_add(out, text + at, (size_t)n);
		else
			buf_adds(out, "\xef\xbf\xbd");
		at += n > 0 ? (size_t)n : 1;
	}
}

static bool too_long(struct call *c, size_t more)
{
	c->told_bytes += more;
	if (c->told_bytes <= TEXT_MAX)
		return false;
	err_set(&c->wrong, ERR_PROTOCOL, "an answer of more than %d bytes", TEXT_MAX);
	return true;
}

static void tell(struct call *c, const struct picked *p, const char *text, bool thought)
{
	struct buf t = { 0 };

	if (too_long(c, strlen(text)))
		return;
	if (!c->told)
		c->first_s = clock_now_s();
	c->told = true;
	whole_text(&t, text);
	if (thought)
		answer_thought(&c->answer, &c->remote->gpu.ops, buf_str(&t), t.len);
	else
		answer_token(&c->answer, &c->remote->gpu.ops, c->answer.n, p, buf_str(&t), t.len);
	buf_release(&t);
}

/* {"content": [{"token", "logprob", "top_logprobs": [{"logprob"}]}]} of chat, or {"tokens": [],
 * "token_logprobs": []}: figures of the tokens whose texts together are @content. False: not
 * offered, or another text. */
static bool tell_tokens(struct call *c, const cJSON *logprobs, const char *content)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(logprobs, "content"), *t, *one;
	const cJSON *texts = cJSON_GetObjectItemCaseSensitive(logprobs, "tokens");
	const cJSON *values = cJSON_GetObjectItemCaseSensitive(logprobs, "token_logprobs");
	bool chat = cJSON_IsArray(list);
	const cJSON *all = chat ? list : texts;
	size_t at = 0, len = strlen(content);

	if (!chat && (!cJSON_IsArray(texts) || !cJSON_IsArray(values) ||
	              cJSON_GetArraySize(texts) != cJSON_GetArraySize(values)))
		return false;
	/* the texts must be the content's pieces: a token of half a character has none of its own
	 */
	cJSON_ArrayForEach(t, all)
	{
		const char *text = chat ? json_string_or(t, "token", "") : cJSON_GetStringValue(t);
		size_t n = text ? strlen(text) : 0;
		if (!text || n > len - at || memcmp(content + at, text, n) != 0)
			return false;
		at += n;
	}
	if (at != len || !all->child)
		return false;
	one = chat ? NULL : values->child;
	cJSON_ArrayForEach(t, all)
	{
		struct picked p = { .id = -1, .drawn = NAN, .entropy = NAN };
		const cJSON *rival;
		p.logprob = (float)(chat                  ? json_number_or(t, "logprob", NAN)
		                    : cJSON_IsNumber(one) ? one->valuedouble
		                                          : NAN);
		c->remote->gpu.n_top_text = 0;
		cJSON_ArrayForEach(rival, cJSON_GetObjectItemCaseSensitive(t, "top_logprobs"))
		{
			if (p.n_top == SAMPLER_TOP_MAX)
				break;
			const char *text = json_string_or(rival, "token", "");
			door_top_text(&c->remote->gpu, p.n_top, text, strlen(text));
			p.top[p.n_top].id = -1;
			p.top[p.n_top++].logprob = (float)json_number_or(rival, "logprob", NAN);
		}
		tell(c, &p, chat ? json_string_or(t, "token", "") : t->valuestring, false);
		one = one ? one->next : NULL;
	}
	return true;
}

static void take_usage(struct call *c, const cJSON *o)
{
	const cJSON *u = cJSON_GetObjectItemCaseSensitive(o, "usage");
	const cJSON *d = cJSON_GetObjectItemCaseSensitive(u, "prompt_tokens_details");

	if (!cJSON_IsObject(u))
		return;
	c->prompt_tokens = (int)json_number_or(u, "prompt_tokens", -1);
	c->cached_tokens = (int)json_number_or(d, "cached_tokens", -1);
}

static void take_finish(struct call *c, const char *why)
{
	c->finished = true;
	snprintf(c->finish, sizeof(c->finish), "%s", why);
	if (strcmp(why, "length") == 0) {
		c->end = GPU_LENGTH;
	} else if (strcmp(why, "content_filter") == 0 || strcmp(why, "error") == 0 ||
	           strcmp(why, "abort") == 0) {
		char words[64];
		quote(c->remote, words, sizeof(words), why, strlen(why));
		err_set(&c->wrong, ERR_IO, "the server ended the answer: %s", words);
	} else {
		c->end = GPU_STOP;
	}
}

/* One event's object, or a whole answer: {"choices": [{"delta"|"message"|"text", "logprobs",
 * "finish_reason"}], "usage"}. */
static void take_object(struct call *c, const cJSON *o)
{
	const cJSON *choice = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, "choices"), 0);
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(choice, "delta");
	const char *why = json_string_or(choice, "finish_reason", NULL);

	take_usage(c, o);
	if (!cJSON_IsObject(m))
		m = cJSON_GetObjectItemCaseSensitive(choice, "message");
	const char *thought = json_string_or(m, "reasoning_content", NULL);
	if (!thought)
		thought = json_string_or(m, "reasoning", "");
	const char *text = json_string_or(m, "content", NULL);
	if (!text)
		text = json_string_or(choice, "text", "");
	if (*thought)
		tell(c, NULL, thought, true);
	if (*text && !c->wrong.kind &&
	    !tell_tokens(c, cJSON_GetObjectItemCaseSensitive(choice, "logprobs"), text))
		tell(c, NULL, text, false);
	if (why && !c->wrong.kind)
		take_finish(c, why);
}

static bool is_error(const cJSON *o)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, "error");

	return v && !cJSON_IsNull(v);
}

static int on_event(void *ctx, const char *event, const char *data, size_t len)
{
	struct call *c = ctx;
	struct err e = { 0 };
	char words[300];

	if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
		c->said_done = true;
		return 0;
	}
	cJSON *o = json_parse_bounded(data, len, VALUES_MAX, &e);
	if (!cJSON_IsObject(o) || is_error(o) || strcmp(event, "error") == 0) {
		bool error = o != NULL;
		said(c->remote, words, sizeof(words), data, len);
		if (error)
			err_set(&c->wrong, ERR_IO, "the server broke off: %s", words);
		else
			err_set(&c->wrong, ERR_PROTOCOL,
			        "the server sent an event that is no JSON object: '%.100s'", words);
	} else {
		take_object(c, o);
	}
	cJSON_Delete(o);
	return c->wrong.kind != 0;
}

static long look_at_status(struct call *c)
{
	long status = 0;
	char *type = NULL;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
	c->stream = status == 200 && type && strncasecmp(type, "text/event-stream", 17) == 0;
	return status;
}

static size_t on_bytes(char *bytes, size_t one, size_t n, void *ctx)
{
	struct call *c = ctx;
	long status = look_at_status(c);

	(void)one;
	c->last_s = clock_now_s();
	if (c->stream) {
		struct err e = { 0 };
		if (sse_feed(&c->sse, bytes, n, on_event, c, &e) < 0 && !c->wrong.kind)
			err_set(&c->wrong, e.kind, "the server sent %s", e.text);
		return c->wrong.kind ? CURL_WRITEFUNC_ERROR : n;
	}
	/* an answer in one piece, or what is wrong */
	size_t most = status == 200 ? EVENT_MAX : BODY_KEPT;
	if (status == 200 && c->plain.len + n > most) {
		err_set(&c->wrong, ERR_PROTOCOL,
		        "the server sent more than %d bytes that are no event stream", EVENT_MAX);
		return CURL_WRITEFUNC_ERROR;
	}
	buf_add(&c->plain, bytes, c->plain.len + n > most ? most - c->plain.len : n);
	return n;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *ctx)
{
	struct call *c = ctx;

	(void)bytes;
	(void)one;
	c->last_s = clock_now_s();
	return n;
}

/* ---- a try ---- */

static void stop_try(struct call *c)
{
	if (!c->easy)
		return;
	curl_multi_remove_handle(c->remote->multi, c->easy);
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	c->easy = NULL;
	c->headers = NULL;
}

static int start_try(struct call *c, struct err *e)
{
	struct remote *r = c->remote;
	bool secure = strncasecmp(r->url, "https:", 6) == 0;
	char url[4200];
	CURL *h;

	stop_try(c);
	sse_release(&c->sse);
	c->sse.max = EVENT_MAX;
	buf_clear(&c->plain);
	c->stream = c->told = c->said_done = c->finished = false;
	c->wrong = (struct err){ 0 };
	c->prompt_tokens = c->cached_tokens = -1;
	c->due_s = 0;
	c->tried++;
	c->begun_s = c->last_s = clock_now_s();
	if (print_body(c, e) < 0)
		return -1;
	if (!(h = c->easy = curl_easy_init()))
		return err_set(e, ERR_MEM, "out of memory");
	snprintf(url, sizeof(url), "%s/%s", r->url,
	         cJSON_HasObjectItem(c->body, "messages") ? "chat/completions" : "completions");
	c->headers = curl_slist_append(NULL, "Content-Type: application/json");
	c->headers = curl_slist_append(c->headers, "Accept: text/event-stream, application/json");
	c->headers = curl_slist_append(c->headers, "Expect:");
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(h, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(h, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
	curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->sent.len);
	curl_easy_setopt(h, CURLOPT_POSTFIELDS, buf_str(&c->sent));
	curl_easy_setopt(h, CURLOPT_USERAGENT, "cadforge/" PACKAGE_VERSION);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS,
	                 (long)(fmin(connect_s, r->timeout_s) * 1000));
	curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(h, CURLOPT_PRIVATE, c);
	if (r->key) {
		/* goes to this host alone, also when the server sends us on */
		curl_easy_setopt(h, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(h, CURLOPT_XOAUTH2_BEARER, r->key);
	}
	if (curl_multi_add_handle(r->multi, h) != CURLM_OK)
		return err_set(e, ERR_MEM, "libcurl takes no more requests");
	return 0;
}

static void end_call(struct call *c, enum gpu_end end, const struct err *why)
{
	struct gpu_done d = {
		.end = end,
		.prompt_tokens = c->prompt_tokens,
		.cached_tokens = c->cached_tokens,
		.drafted = -1,
		.accepted = -1,
		.wait_s = NAN,
		.prefill_s = c->told ? c->first_s - c->begun_s : NAN,
		.decode_s = c->told ? clock_now_s() - c->first_s : NAN,
		.error = end == GPU_ERROR ? why->text : NULL,
		.kind = end == GPU_ERROR ? why->kind : ERR_NONE,
	};

	stop_try(c);
	answer_end(&c->answer, &c->remote->gpu.ops, &d);
}

static double pause_before(const struct call *c)
{
	double s = pause_first_s * pow(2, c->tried - 1);

	/* a group's answers shall not all come back at once */
	s = fmin(s, pause_most_s);
	return s * (0.75 + 0.5 * (double)((c->answer.sequence * 37 + c->tried * 11) % 64) / 63);
}

/* Tries again later when that is allowed; else the answer has failed. */
static void retry_or_fail(struct call *c, double pause_s, const struct err *why)
{
	struct err e = *why;

	if (!c->told && c->tried <= c->remote->retries) {
		stop_try(c);
		c->due_s = clock_now_s() + (pause_s >= 0 ? pause_s : pause_before(c));
		return;
	}
	if (c->tried > 1 && !c->told) {
		size_t n = strlen(e.text);
		snprintf(e.text + n, sizeof(e.text) - n, "; tried %d times", c->tried);
	}
	end_call(c, GPU_ERROR, &e);
}

/* A server that names a field it does not know is asked without that. */
static bool leave_out(struct call *c, const char *words)
{
	static const struct {
		const char *word;
		unsigned bit;
	} optional[] = {
		{ "max_completion_tokens", WITH_MAX_COMPLETION_TOKENS },
		{ "logprobs", WITHOUT_LOGPROBS },
		{ "stream_options", WITHOUT_STREAM_OPTIONS },
		{ "seed", WITHOUT_SEED },
	};

	for (size_t i = 0; i < sizeof(optional) / sizeof(*optional); i++)
		if (strstr(words, optional[i].word) && !(c->without & optional[i].bit)) {
			c->without |= optional[i].bit;
			return true;
		}
	return false;
}

static bool means_later(long status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
	       status == 503 || status == 504 || status == 529;
}

static void bad_status(struct call *c, long status)
{
	struct remote *r = c->remote;
	struct err e = { 0 };
	char words[300];
	curl_off_t after = 0;

	said(r, words, sizeof(words), buf_str(&c->plain), c->plain.len);
	if ((status == 400 || status == 422) && leave_out(c, buf_str(&c->plain))) {
		if (start_try(c, &e) < 0)
			end_call(c, GPU_ERROR, &e);
		else
			c->tried--;
		return;
	}
	err_set(&e, status == 401 || status == 403 ? ERR_LACKS : ERR_IO, "%s: status %ld%s%s%s",
	        r->url, status, *words ? ": " : "", words,
	        status == 401 && !r->key ? "; CADFORGE_API_KEY is not set" : "");
	curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &after);
	if (!means_later(status)) {
		end_call(c, GPU_ERROR, &e);
	} else if ((double)after > retry_after_most_s) {
		size_t n = strlen(e.text);
		snprintf(e.text + n, sizeof(e.text) - n, "; it wants to be asked again in %lld s",
		         (long long)after);
		end_call(c, GPU_ERROR, &e);
	} else {
		retry_or_fail(c, after > 0 ? (double)after : -1, &e);
	}
}

static void whole_answer(struct call *c)
{
	cJSON *o = json_parse_bounded(buf_str(&c->plain), c->plain.len, VALUES_MAX, NULL);
	struct err e = { 0 };
	char words[200];

	if (cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(o, "choices"))) {
		take_object(c, o);
		end_call(c, c->wrong.kind ? GPU_ERROR : c->end, &c->wrong);
	} else {
		said(c->remote, words, sizeof(words), buf_str(&c->plain), c->plain.len);
		err_set(&e, ERR_PROTOCOL, "%s: no answer of an OpenAI-compatible server: '%s'",
		        c->remote->url, words);
		end_call(c, GPU_ERROR, &e);
	}
	cJSON_Delete(o);
}

/* A try is over. */
static void try_over(struct call *c, CURLcode rc)
{
	struct remote *r = c->remote;
	struct err e = { 0 };
	long status = look_at_status(c);

	if (c->stream && !c->wrong.kind && sse_end(&c->sse, on_event, c, &e) < 0 && !c->wrong.kind)
		c->wrong = e;
	if (c->wrong.kind) {
		char words[sizeof(e.text)];
		snprintf(words, sizeof(words), "%s", c->wrong.text);
		err_set(&e, c->wrong.kind, "%s: %s", r->url, words);
		end_call(c, GPU_ERROR, &e);
	} else if (c->finished || (c->stream && c->said_done)) {
		end_call(c, c->end, NULL);
	} else if (rc == CURLE_OK && status == 200 && !c->stream) {
		whole_answer(c);
	} else if (rc == CURLE_OK && status != 200) {
		bad_status(c, status);
	} else if (c->told) {
		err_set(&e, ERR_LOST,
		        "%s: the connection broke after %zu bytes of the answer, before its end%s%s",
		        r->url, c->told_bytes, rc ? ": " : "", rc ? curl_easy_strerror(rc) : "");
		end_call(c, GPU_ERROR, &e);
	} else {
		bool again = rc != CURLE_URL_MALFORMAT && rc != CURLE_UNSUPPORTED_PROTOCOL &&
		             rc != CURLE_PEER_FAILED_VERIFICATION && rc != CURLE_TOO_MANY_REDIRECTS;
		err_set(&e, ERR_LOST, "%s: %s", r->url,
		        rc ? curl_easy_strerror(rc)
		           : "the connection broke before anything of the answer came");
		if (again)
			retry_or_fail(c, -1, &e);
		else
			end_call(c, GPU_ERROR, &e);
	}
}

/* ---- the door ---- */

static void introduce(struct remote *r)
{
	if (r->introduced)
		return;
	r->introduced = true;
	if (r->gpu.ops.ready)
		r->gpu.ops.ready(r->gpu.ops.ctx, r->about);
}

static void free_calls(struct remote *r, bool all)
{
	for (struct call **at = &r->first; *at;) {
		struct call *c = *at;
		if (!c->answer.over && !all) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		stop_try(c);
		answer_release(&c->answer);
		sse_release(&c->sse);
		buf_release(&c->plain);
		buf_release(&c->sent);
		cJSON_Delete(c->body);
		free(c);
	}
}

static int remote_generate(struct gpu *g, const struct gpu_request *q, uint32_t *request,
                           struct err *e)
{
	struct remote *r = (struct remote *)(void *)g;
	struct call **at = &r->first, *made = NULL;

	if (q->n_adapters > 0)
		return err_set(
			e, ERR_USAGE,
			"adapters are for a model in a folder; a server has its own: name it "
			"in the address, http(s)://HOST/v1#NAME");
	if (q->guard)
		return err_set(e, ERR_LACKS, "the code guard needs a model in a folder");
	if (q->n_forced > 0)
		return err_set(e, ERR_LACKS, "forced tokens need a model in a folder");
	while (*at)
		at = &(*at)->next;
	r->last_request++;
	for (int i = 0; i < q->n; i++) {
		struct call *c = calloc(1, sizeof(*c));
		if (!c) {
			err_set(e, ERR_MEM, "out of memory");
			goto fail;
		}
		*at = c;
		at = &c->next;
		made = made ? made : c;
		c->remote = r;
		answer_begin(&c->answer, r->last_request, i, false);
		if (!q->messages)
			c->answer.think.at = THINK_OUT;
		c->body = describe(r, q, i);
		if (start_try(c, e) < 0)
			goto fail;
	}
	*request = r->last_request;
	return 0;
fail:
	for (; made; made = made->next)
		made->answer.over = true;
	free_calls(r, false);
	return -1;
}

static void remote_cancel(struct gpu *g, uint32_t request, int sequence)
{
	struct remote *r = (struct remote *)(void *)g;

	/* told by the next step: libcurl may be calling us now */
	for (struct call *c = r->first; c; c = c->next)
		if (c->answer.request == request &&
		    (sequence < 0 || c->answer.sequence == sequence))
			c->cancelled = true;
}

static int remote_step(struct gpu *g, struct err *e)
{
	struct remote *r = (struct remote *)(void *)g;
	double now = clock_now_s();
	int running, left;
	CURLMsg *m;

	introduce(r);
	for (struct call *c = r->first; c; c = c->next) {
		struct err why = { 0 };
		if (c->answer.over)
			continue;
		if (c->cancelled)
			end_call(c, GPU_CANCELLED, NULL);
		else if (!c->easy && now >= c->due_s && start_try(c, &why) < 0)
			end_call(c, GPU_ERROR, &why);
	}
	if (curl_multi_perform(r->multi, &running) != CURLM_OK)
		return err_set(e, ERR_IO, "libcurl failed");
	while ((m = curl_multi_info_read(r->multi, &left))) {
		struct call *c = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode rc = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)(void *)&c);
		if (c && !c->answer.over)
			try_over(c, rc);
	}
	now = clock_now_s();
	for (struct call *c = r->first; c; c = c->next)
		if (c->easy && !c->answer.over && now - c->last_s > r->timeout_s) {
			struct err why = { 0 };
			err_set(&why, ERR_LOST, "%s: no byte for %g s%s", r->url, r->timeout_s,
			        c->told ? ", in the middle of the answer" : "");
			if (c->told)
				end_call(c, GPU_ERROR, &why);
			else
				retry_or_fail(c, -1, &why);
		}
	free_calls(r, false);
	return 0;
}

static int remote_poll_fds(struct gpu *g, struct pollfd *out, int cap)
{
	struct remote *r = (struct remote *)(void *)g;
	fd_set in, output, except;
	int most = -1, n = 0;

	FD_ZERO(&in);
	FD_ZERO(&output);
	FD_ZERO(&except);
	if (curl_multi_fdset(r->multi, &in, &output, &except, &most) != CURLM_OK)
		return 0;
	for (int fd = 0; fd <= most && n < cap; fd++)
		if (FD_ISSET(fd, &in) || FD_ISSET(fd, &output))
			out[n++] = (struct pollfd){
				.fd = fd,
				.events = (short)((FD_ISSET(fd, &in) ? POLLIN : 0) |
				                  (FD_ISSET(fd, &output) ? POLLOUT : 0))
			};
	return n;
}

static int remote_timeout_ms(struct gpu *g)
{
	struct remote *r = (struct remote *)(void *)g;
	double now = clock_now_s(), least = INFINITY;
	long own = -1;

	curl_multi_timeout(r->multi, &own);
	if (own >= 0)
		least = (double)own / 1000;
	for (const struct call *c = r->first; c; c = c->next)
		if (c->answer.over || c->cancelled)
			least = 0;
		else
			least = fmin(least,
			             c->easy ? c->last_s + r->timeout_s - now : c->due_s - now);
	if (!isfinite(least))
		return -1;
	/* a name that is being looked up has no descriptor yet */
	least = fmin(fmax(least, 0), 0.1);
	return (int)ceil(least * 1000);
}

static int remote_busy(const struct gpu *g)
{
	const struct remote *r = (const struct remote *)(const void *)g;
	int n = 0;

	for (const struct call *c = r->first; c; c = c->next)
		n += !c->answer.over;
	return n;
}

static const cJSON *remote_about(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e)
{
	(void)tick;
	(void)ctx;
	(void)e;
	return ((struct remote *)(void *)g)->about;
}

static void remote_close(struct gpu *g)
{
	struct remote *r = (struct remote *)(void *)g;

	free_calls(r, true);
	if (r->multi)
		curl_multi_cleanup(r->multi);
	if (r->key)
		explicit_bzero(r->key, strlen(r->key));
	free(r->key);
	free(r->url);
	free(r->name);
	cJSON_Delete(r->about);
	free(r);
	curl_global_cleanup();
}

static const struct door door = {
	.name = "server",
	.close = remote_close,
	.generate = remote_generate,
	.cancel = remote_cancel,
	.no_logits = "a server gives no logits: they need a model in a folder",
	.about = remote_about,
	.no_sweep = "a server's memory cannot be measured from here",
	.poll_fds = remote_poll_fds,
	.timeout_ms = remote_timeout_ms,
	.step = remote_step,
	.busy = remote_busy,
};

/* Into address and name; refuses what would put a secret where addresses go. */
static int split_address(struct remote *r, const char *model, struct err *e)
{
	const char *hash = strchr(model, '#'), *host = strstr(model, "://") + 3;
	size_t n = hash ? (size_t)(hash - model) : strlen(model);

	if (!hash || !hash[1])
		return err_set(e, ERR_USAGE,
		               "the model's name is missing: http(s)://HOST/v1#NAME was expected");
	if (memchr(host, '@', strcspn(host, "/#?")))
		return err_set(e, ERR_USAGE,
		               "an address with a user and password in it would be stored with "
		               "them; a key goes into CADFORGE_API_KEY");
	if (memchr(model, '?', n))
		return err_set(e, ERR_USAGE, "the address of a server ends in /v1, without a '?'");
	while (n > 0 && model[n - 1] == '/')
		n--;
	if (n > 4000 || model + n <= host)
		return err_set(e, ERR_USAGE, "no address: http(s)://HOST/v1#NAME was expected");
	for (const char *p = model; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return err_set(e, ERR_USAGE, "an address with a blank or a control in it");
	r->url = strndup(model, n);
	r->name = strdup(hash + 1);
	return r->url && r->name ? 0 : err_set(e, ERR_MEM, "out of memory");
}

static int take_key(struct remote *r, struct err *e)
{
	const char *key = getenv("CADFORGE_API_KEY");

	if (!key || !*key)
		return 0;
	for (const char *p = key; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return err_set(
				e, ERR_USAGE,
				"CADFORGE_API_KEY has a blank or another character in it that "
				"no key has");
	r->key = strdup(key);
	return r->key ? 0 : err_set(e, ERR_MEM, "out of memory");
}

struct gpu *remote_open(const struct gpu_options *o, const struct gpu_ops *ops, struct err *e)
{
	struct remote *r = calloc(1, sizeof(*r));

	if (!r || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(r);
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	r->gpu = (struct gpu){ .door = &door, .ops = *ops };
	r->timeout_s = o->timeout_s > 0 ? o->timeout_s : timeout_default_s;
	r->retries = o->retries >= 0 ? o->retries : 3;
	if (split_address(r, o->model, e) < 0 || take_key(r, e) < 0)
		goto fail;
	if (!(r->multi = curl_multi_init())) {
		err_set(e, ERR_MEM, "out of memory");
		goto fail;
	}
	r->about = cJSON_CreateObject();
	cJSON_AddStringToObject(r->about, "program", "server");
	cJSON_AddStringToObject(r->about, "backend", "remote");
	cJSON_AddStringToObject(r->about, "device", r->url);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(r->about, "model"), "dir", r->name);
	return &r->gpu;
fail:
	remote_close(&r->gpu);
	return NULL;
}
