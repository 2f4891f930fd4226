/*
 * client.c - gpu.h's door to our own engine: starts cadforge-infer, turns requests into frames and
 * frames into calls, and survives its death.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/door.h"
#include "gpu/wire.h"
#include "src/base/clock.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/spawn.h"

enum { ROWS_MAX_BYTES = 1 << 30 };
static const char program_cpu[] = "cadforge-infer", program_cuda[] = "cadforge-infer-cuda";

struct request {
	struct request *next;
	uint32_t job;
	int n, left;
	bool taken;
	char adapter_hash[65];
	struct buf frame; /* as sent, until it is taken: sent again to the engine that stands in */
	struct answer answer[];
};

/* A question that somebody waits for: logits, a sweep. */
struct question {
	uint32_t job;
	bool over;
	struct err why; /* kind 0: answered */
	float *row;
	int n, got, vocabulary;
	double bytes_per_s;
};

/* An engine that was asked to stop answers between two passes; one that is silent for so long
 * hangs. */
#define DEAF_S 30.0

struct client {
	struct gpu gpu;
	char *libexec, *model, *dtype;
	enum gpu_backend backend;
	int threads, context, slots;
	bool quiet;
	struct helper engine;
	bool cuda;         /* the engine that runs is cadforge-infer-cuda */
	bool no_cuda;      /* it was tried and lacks something */
	char because[400]; /* what */
	struct frame_reader in;
	struct buf out;
	cJSON *about;    /* of the engine that runs, once it is ready */
	struct err fate; /* why the last one ended */
	double asked_s;  /* to stop something, and nothing was heard since; 0: not so */
	uint32_t last_job;
	struct request *first;
	struct question *question;
};

/* ---- the process ---- */

static bool has_program(const struct client *c, const char *name)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/%s", c->libexec, name);
	return access(path, X_OK) == 0;
}

static int start(struct client *c, struct err *e)
{
	char path[4200], threads[16], context[16], slots[16];
	const char *env[DOOR_ENV_MAX + 1];
	const char *argv[16];
	int n = 0;

	c->cuda = c->backend == GPU_CUDA ||
	          (c->backend == GPU_AUTO && !c->no_cuda && has_program(c, program_cuda));
	snprintf(path, sizeof(path), "%s/%s", c->libexec, c->cuda ? program_cuda : program_cpu);
	argv[n++] = path;
	argv[n++] = "--model";
	argv[n++] = c->model;
	if (c->dtype) {
		argv[n++] = "--dtype";
		argv[n++] = c->dtype;
	}
	const struct {
		const char *flag;
		int value;
		char *text;
	} number[] = { { "--threads", c->threads, threads },
		       { "--context", c->context, context },
		       { "--slots", c->slots, slots } };
	for (size_t i = 0; i < 3; i++)
		if (number[i].value > 0) {
			snprintf(number[i].text, 16, "%d", number[i].value);
			argv[n++] = number[i].flag;
			argv[n++] = number[i].text;
		}
	argv[n] = NULL;
	door_environment(env);
	if (c->cuda && !has_program(c, program_cuda))
		return err_set(e, ERR_LACKS,
		               "%s is not there: this build has no CUDA half; configure it where "
		               "nvcc is, or take --backend cpu",
		               path);
	c->fate = (struct err){ 0 };
	return helper_start(&c->engine, argv, env, c->quiet, e);
}

static struct request *find(struct client *c, uint32_t job)
{
	struct request *r = c->first;

	while (r && r->job != job)
		r = r->next;
	return r;
}

/* Frees requests of which all is told. Not while one of theirs is being told: callbacks may ask. */
static void sweep_requests(struct client *c)
{
	for (struct request **at = &c->first; *at;) {
		struct request *r = *at;
		if (r->left > 0) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		for (int i = 0; i < r->n; i++)
			answer_release(&r->answer[i]);
		buf_release(&r->frame);
		free(r);
	}
}

static void fail_request(struct client *c, struct request *r, const struct err *why)
{
	for (int i = 0; i < r->n; i++)
		if (!r->answer[i].over) {
			r->left--;
			answer_fail(&r->answer[i], &c->gpu.ops, GPU_ERROR, why);
		}
}

static void let_go(struct client *c)
{
	frame_reader_release(&c->in);
	c->in = (struct frame_reader){ 0 };
	buf_release(&c->out);
	cJSON_Delete(c->about);
	c->about = NULL;
	c->asked_s = 0;
}

/* Everything that was under way ends with @why. Requests made by the callbacks meanwhile belong to
 * the next engine. */
static void end_all(struct client *c, const struct err *why)
{
	uint32_t last = c->last_job;

	c->fate = *why;
	let_go(c);
	if (c->question) {
		c->question->why = *why;
		c->question->over = true;
		c->question = NULL;
	}
	for (struct request *r = c->first; r; r = r->next)
		if (r->job <= last)
			fail_request(c, r, why);
}

static void stand_in(struct client *c, const char *because);

/* The engine is gone or must go: @why, or how it died. */
static void engine_lost(struct client *c, const struct err *why)
{
	char how[64] = "";
	struct err e = { 0 };
	bool was_ready = c->about != NULL;

	struct pollfd p = { .fd = c->engine.pidfd, .events = POLLIN };
	if (!why)
		poll(&p, 1, 2000);
	if (why || !helper_gone(&c->engine, how, sizeof(how)))
		helper_stop(&c->engine, 0);
	if (why)
		e = *why;
	else
		err_set(&e, ERR_LOST, "the inference engine died%s (%s%s)",
		        was_ready ? "" : " before it was ready",
		        *how ? how : "it closed its connection",
		        strstr(how, "signal 9") ? "; out of memory?" : "");
	if (!was_ready && !why && c->cuda && c->backend == GPU_AUTO)
		stand_in(c, e.text);
	else
		end_all(c, &e);
}

/* cadforge-infer does what cadforge-infer-cuda cannot. */
static void stand_in(struct client *c, const char *because)
{
	struct err e = { 0 };

	c->no_cuda = true;
	snprintf(c->because, sizeof(c->because), "%s", because);
	helper_stop(&c->engine, 0);
	let_go(c);
	if (start(c, &e) < 0) {
		end_all(c, &e);
		return;
	}
	for (struct request *r = c->first; r; r = r->next)
		if (r->left > 0)
			buf_add(&c->out, r->frame.data, r->frame.len);
}

/* ---- what the engine says ---- */

static void said_error(const cJSON *o, struct err *e)
{
	err_set(e, door_error_kind(json_string_or(o, "kind", "")), "%s",
	        json_string_or(o, "error", "the inference engine says no more"));
}

/* Whether the engine stays. */
static bool on_ready(struct client *c, cJSON *o)
{
	struct err e = { 0 };

	if (cJSON_HasObjectItem(o, "error")) {
		said_error(o, &e);
		if (c->cuda && c->backend == GPU_AUTO && e.kind == ERR_LACKS)
			stand_in(c, e.text);
		else
			engine_lost(c, &e);
		return false;
	}
	if (c->no_cuda) {
		cJSON_AddStringToObject(o, "instead_of", program_cuda);
		cJSON_AddStringToObject(o, "because", c->because);
	}
	cJSON_Delete(c->about);
	c->about = cJSON_Duplicate(o, true);
	if (c->gpu.ops.ready)
		c->gpu.ops.ready(c->gpu.ops.ctx, c->about);
	return true;
}

static void on_taken(struct request *r, const cJSON *o)
{
	bool in_thought = json_bool_or(o, "in_thought", false);

	r->taken = true;
	buf_release(&r->frame);
	snprintf(r->adapter_hash, sizeof(r->adapter_hash), "%s",
	         json_string_or(o, "adapter_hash", ""));
	for (int i = 0; in_thought && i < r->n && r->answer[i].think.at == THINK_BEGIN; i++)
		think_begin(&r->answer[i].think, true);
}

static int on_token(struct client *c, struct request *r, const struct frame *f, struct err *e)
{
	const unsigned char *p = f->blob;
	struct picked k = { .n_top = 0 };

	if (f->blob_len < INFER_TOKEN_BYTES)
		return err_set(e, ERR_PROTOCOL, "a token of %u bytes", f->blob_len);
	int sequence = (int)wire_get32(p), index = (int)wire_get32(p + 4);
	uint32_t n_top = wire_get32(p + 24);
	k.id = (int32_t)wire_get32(p + 8);
	k.logprob = wire_get_float(p + 12);
	k.drawn = wire_get_float(p + 16);
	k.entropy = wire_get_float(p + 20);
	if (n_top > SAMPLER_TOP_MAX || f->blob_len - INFER_TOKEN_BYTES < 9 * n_top)
		return err_set(e, ERR_PROTOCOL, "a token with %u alternatives in %u bytes", n_top,
		               f->blob_len);
	if (sequence < 0 || sequence >= r->n || r->answer[sequence].over)
		return err_set(e, ERR_PROTOCOL, "a token of sequence %d, which is not under way",
		               sequence);
	struct answer *a = &r->answer[sequence];
	if (index == -1 && n_top == 0) {
		answer_rest(a, &c->gpu.ops, (const char *)p + INFER_TOKEN_BYTES,
		            f->blob_len - INFER_TOKEN_BYTES);
		return 0;
	}
	if (index != a->n)
		return err_set(e, ERR_PROTOCOL, "token %d came where token %d was due", index,
		               a->n);
	const unsigned char *end = p + f->blob_len;
	p += INFER_TOKEN_BYTES;
	k.n_top = (int)n_top;
	c->gpu.n_top_text = 0;
	for (int i = 0; i < k.n_top; i++) {
		if (end - p < 9 || end - p - 9 < p[8])
			return err_set(e, ERR_PROTOCOL,
			               "alternative %d of a token goes past its end", i);
		k.top[i].id = (int32_t)wire_get32(p);
		k.top[i].logprob = wire_get_float(p + 4);
		door_top_text(&c->gpu, i, (const char *)p + 9, p[8]);
		p += 9 + p[8];
	}
	answer_token(a, &c->gpu.ops, index, &k, (const char *)p, (size_t)(end - p));
	return 0;
}

static int figure(const cJSON *o, const char *key)
{
	return (int)json_number_or(o, key, -1);
}

static int on_done(struct client *c, struct request *r, const cJSON *o, const struct frame *f,
                   struct err *e)
{
	const char *end = json_string_or(o, "end", "");
	const cJSON *stop = cJSON_GetObjectItemCaseSensitive(o, "stop");
	const struct picked stopped = {
		.id = figure(stop, "id"),
		.logprob = (float)json_number_or(stop, "logprob", NAN),
		.drawn = (float)json_number_or(stop, "drawn", NAN),
		.entropy = (float)json_number_or(stop, "entropy", NAN),
	};
	int sequence = figure(o, "sequence");
	struct gpu_done d = {
		.stop = stopped.id >= 0 ? &stopped : NULL,
		.prompt_tokens = figure(o, "prompt_tokens"),
		.cached_tokens = figure(o, "cached_tokens"),
		.drafted = figure(o, "drafted"),
		.accepted = figure(o, "accepted"),
		.wait_s = json_number_or(o, "wait_s", NAN),
		.prefill_s = json_number_or(o, "prefill_s", NAN),
		.decode_s = json_number_or(o, "decode_s", NAN),
		.adapter_hash = *r->adapter_hash ? r->adapter_hash : NULL,
		.error = json_string_or(o, "error", NULL),
	};

	if (sequence < 0 || sequence >= r->n || r->answer[sequence].over)
		return err_set(e, ERR_PROTOCOL, "the end of sequence %d, which is not under way",
		               sequence);
	while (d.end < GPU_ERROR && strcmp(gpu_end_name(d.end), end) != 0)
		d.end++;
	if (d.end == GPU_ERROR) {
		d.kind = door_error_kind(json_string_or(o, "kind", "lost"));
		if (!d.error)
			d.error = "the inference engine says no more";
	} else {
		d.error = NULL;
	}
	int32_t *ids = f->blob_len >= 4 ? malloc(f->blob_len) : NULL;
	if (f->blob_len % 4 || f->blob_len / 4 > INFER_IDS_MAX) {
		free(ids);
		return err_set(e, ERR_PROTOCOL, "an answer's ids in %u bytes", f->blob_len);
	}
	d.n = (int)(f->blob_len / 4);
	for (int i = 0; ids && i < d.n; i++)
		ids[i] = (int32_t)wire_get32((const unsigned char *)f->blob + 4 * (size_t)i);
	d.ids = ids;
	r->left--;
	answer_end(&r->answer[sequence], &c->gpu.ops, &d);
	free(ids);
	return 0;
}

static int on_rows(struct client *c, const cJSON *o, const struct frame *f, struct err *e)
{
	struct question *q = c->question;
	int from = figure(o, "from"), rows = figure(o, "rows"), v = figure(o, "vocabulary");

	if (!q || q->job != f->job)
		return 0; /* nobody waits any more */
	if (from != q->got || rows < 1 || rows > q->n - q->got || v < 1 ||
	    (q->row && v != q->vocabulary) || (uint64_t)rows * (uint64_t)v * 4 != f->blob_len)
		return err_set(e, ERR_PROTOCOL, "rows %d to %d of %d logits in %u bytes", from,
		               from + rows, v, f->blob_len);
	if (!q->row) {
		q->vocabulary = v;
		q->row = malloc((size_t)q->n * (size_t)v * sizeof(float));
	}
	if (!q->row) {
		err_set(&q->why, ERR_MEM, "no memory for %d rows of %d logits", q->n, v);
		q->over = true;
		c->question = NULL;
		return 0;
	}
	memcpy(q->row + (size_t)from * (size_t)v, f->blob, f->blob_len);
	q->got += rows;
	if (q->got == q->n) {
		q->over = true;
		c->question = NULL;
	}
	return 0;
}

static int on_refused(struct client *c, const cJSON *o, const struct frame *f)
{
	struct request *r = find(c, f->job);
	struct err why;

	said_error(o, &why);
	if (r) {
		fail_request(c, r, &why);
	} else if (c->question && c->question->job == f->job) {
		c->question->why = why;
		c->question->over = true;
		c->question = NULL;
	}
	return 0;
}

/* 0; 1: the engine that said it is gone; -1: it spoke nonsense. */
static int on_frame(struct client *c, const struct frame *f, struct err *e)
{
	struct request *r = find(c, f->job);
	cJSON *o = NULL;
	int rc = 0;

	if (f->type != INFER_TOKEN) {
		if (!(o = json_parse(f->json, f->json_len, e)))
			return -1;
		if (!cJSON_IsObject(o))
			rc = err_set(e, ERR_PROTOCOL, "a message that is no object");
	}
	if (rc == 0 && f->type != INFER_READY && !c->about)
		rc = err_set(e, ERR_PROTOCOL, "it spoke before it was ready");
	if (rc == 0)
		switch (f->type) {
		case INFER_READY:
			rc = on_ready(c, o) ? 0 : 1;
			break;
		case INFER_TAKEN:
			if (r)
				on_taken(r, o);
			break;
		case INFER_TOKEN:
			rc = r ? on_token(c, r, f, e) : 0;
			break;
		case INFER_DONE:
			rc = r ? on_done(c, r, o, f, e) : 0;
			break;
		case INFER_REFUSED:
			rc = on_refused(c, o, f);
			break;
		case INFER_ROWS:
			rc = on_rows(c, o, f, e);
			break;
		case INFER_SWEPT:
			if (c->question && c->question->job == f->job) {
				c->question->bytes_per_s = json_number_or(o, "bytes_per_s", NAN);
				c->question->over = true;
				c->question = NULL;
			}
			break;
		default:
			rc = err_set(e, ERR_PROTOCOL, "a message of type %u", f->type);
		}
	cJSON_Delete(o);
	return rc;
}

static void nonsense(struct client *c, const struct err *said)
{
	struct err e;

	err_set(&e, ERR_PROTOCOL, "the inference engine spoke nonsense and was ended: %.380s",
	        said->text);
	engine_lost(c, &e);
}

/* Reads all that is there now. 0; 1: the engine is gone. */
static int listen(struct client *c)
{
	struct err e = { 0 };
	struct frame f;
	int rc;

	for (;;) {
		while ((rc = frame_next(&c->in, &f, &e)) > 0) {
			rc = on_frame(c, &f, &e);
			if (rc < 0)
				nonsense(c, &e);
			if (rc)
				return 1;
		}
		if (rc < 0) {
			nonsense(c, &e);
			return 1;
		}
		ssize_t n = frame_fill(&c->in, c->engine.fd, &e);
		if (n == -2)
			return 0;
		if (n <= 0) {
			engine_lost(c, NULL);
			return 1;
		}
		c->asked_s = 0;
	}
}

static int client_step(struct gpu *g, struct err *e)
{
	struct client *c = (struct client *)(void *)g;
	struct err lost = { 0 };

	(void)e;
	if (c->engine.pid > 0 && listen(c) == 0 && c->out.len > 0 &&
	    frame_flush(&c->out, c->engine.fd, &lost) < 0 && listen(c) == 0)
		engine_lost(c, NULL);
	if (c->engine.pid > 0 && c->asked_s > 0 && clock_now_s() - c->asked_s > DEAF_S) {
		err_set(&lost, ERR_LOST,
		        "the inference engine was asked to stop and said nothing for %.0f s: it is "
		        "ended, and started again when it is needed",
		        DEAF_S);
		engine_lost(c, &lost);
	}
	sweep_requests(c);
	return 0;
}

/* ---- what it is asked ---- */

static void add_ids(cJSON *o, const char *key, const int32_t *id, int n)
{
	cJSON *a = cJSON_CreateIntArray(id, n);

	cJSON_AddItemToObject(o, key, a);
}

static void add_adapters(cJSON *o, const struct gpu_adapter *v, int n)
{
	cJSON *list = n > 0 ? cJSON_AddArrayToObject(o, "adapters") : NULL;

	for (int i = 0; i < n; i++) {
		cJSON *a = cJSON_CreateObject();
		cJSON_AddStringToObject(a, "dir", v[i].dir);
		cJSON_AddNumberToObject(a, "weight", (double)v[i].weight);
		cJSON_AddItemToArray(list, a);
	}
}

static cJSON *describe(const struct gpu_request *r)
{
	cJSON *o = cJSON_CreateObject(), *stop;

	if (r->messages)
		cJSON_AddItemToObject(o, "messages", cJSON_Duplicate(r->messages, true));
	if (r->text)
		cJSON_AddStringToObject(o, "text", r->text);
	if (r->ids)
		add_ids(o, "ids", r->ids, r->n_ids);
	if (r->thinking != CHAT_THINKING_DEFAULT)
		cJSON_AddBoolToObject(o, "thinking", r->thinking == CHAT_THINKING_ON);
	add_adapters(o, r->adapter, r->n_adapters);
	cJSON_AddNumberToObject(o, "n", r->n);
	cJSON_AddNumberToObject(o, "max_tokens", r->max_tokens > 0 ? r->max_tokens : 4096);
	cJSON_AddNumberToObject(o, "seconds", r->seconds > 0 ? r->seconds : 0);
	cJSON_AddBoolToObject(o, "ignore_eos", r->ignore_eos);
	cJSON_AddBoolToObject(o, "speculate", r->speculate);
	if (r->guard)
		cJSON_AddStringToObject(o, "guard", r->guard);
	if (r->draft)
		cJSON_AddStringToObject(o, "draft", r->draft);
	if (r->n_forced > 0)
		add_ids(o, "forced", r->forced, r->n_forced);
	if (r->forced_begin)
		cJSON_AddTrueToObject(o, "forced_begin");
	stop = cJSON_AddArrayToObject(o, "stop");
	for (int i = 0; i < r->n_stop; i++)
		cJSON_AddItemToArray(stop, cJSON_CreateString(r->stop[i]));
	gpu_sampling_add(o, &r->sampling);
	return o;
}

static int put(struct buf *out, uint32_t type, uint32_t job, cJSON *o, struct err *e)
{
	struct buf text = { 0 };
	int rc = 0;

	json_print(&text, o);
	cJSON_Delete(o);
	if (text.len > INFER_JSON_MAX)
		rc = err_set(e, ERR_INPUT, "a request of %zu bytes; at most %d are taken", text.len,
		             INFER_JSON_MAX);
	else
		frame_append(out, type, job, buf_str(&text), text.len, NULL, 0);
	if (rc == 0 && (buf_failed(&text) || buf_failed(out)))
		rc = err_set(e, ERR_MEM, "no memory for a request");
	buf_release(&text);
	return rc;
}

static int client_generate(struct gpu *g, const struct gpu_request *r, uint32_t *request,
                           struct err *e)
{
	struct client *c = (struct client *)(void *)g;
	struct request *q, **at = &c->first;

	if (r->n_ids > INFER_IDS_MAX || r->n_forced > INFER_IDS_MAX)
		return err_set(e, ERR_INPUT, "more than %d ids", INFER_IDS_MAX);
	if (!(q = calloc(1, sizeof(*q) + (size_t)r->n * sizeof(q->answer[0]))))
		return err_set(e, ERR_MEM, "no memory for %d answers", r->n);
	q->job = ++c->last_job;
	q->n = q->left = r->n;
	for (int i = 0; i < r->n; i++) {
		answer_begin(&q->answer[i], q->job, i, false);
		/* raw text goes on as it is: thoughts are an affair of conversations */
		if (!r->messages)
			q->answer[i].think.at = THINK_OUT;
	}
	if (put(&q->frame, INFER_GENERATE, q->job, describe(r), e) < 0 ||
	    (c->engine.pid <= 0 && start(c, e) < 0)) {
		buf_release(&q->frame);
		free(q);
		return -1;
	}
	while (*at)
		at = &(*at)->next;
	*at = q;
	buf_add(&c->out, q->frame.data, q->frame.len);
	*request = q->job;
	return 0;
}

static void client_cancel(struct gpu *g, uint32_t request, int sequence)
{
	struct client *c = (struct client *)(void *)g;
	struct request *r = find(c, request);
	cJSON *o;

	if (!r || r->left == 0 || c->engine.pid <= 0)
		return;
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "sequence", sequence);
	put(&c->out, INFER_CANCEL, request, o, NULL);
	/* one that still loads is silent for as long as that takes */
	if (c->about && c->asked_s == 0)
		c->asked_s = clock_now_s();
	/* now: the caller may be about to wait for something else */
	frame_flush(&c->out, c->engine.fd, NULL);
}

static const cJSON *client_about(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e)
{
	struct client *c = (struct client *)(void *)g;

	if (c->engine.pid <= 0 && start(c, e) < 0)
		return NULL;
	while (!c->about) {
		if (tick && tick(ctx)) {
			err_set(e, ERR_CANCELLED, "interrupted");
			return NULL;
		}
		if (c->engine.pid <= 0) {
			*e = c->fate;
			return NULL;
		}
		if (door_turn(g, 100, e) < 0)
			return NULL;
	}
	return c->about;
}

/* Asks and waits. @q's why.kind is 0 when it was answered. */
static int ask(struct client *c, uint32_t type, cJSON *o, struct question *q, struct err *e)
{
	if (!client_about(&c->gpu, NULL, NULL, e)) {
		cJSON_Delete(o);
		return -1;
	}
	q->job = ++c->last_job;
	if (put(&c->out, type, q->job, o, e) < 0)
		return -1;
	c->question = q;
	while (!q->over)
		if (door_turn(&c->gpu, 1000, e) < 0) {
			c->question = NULL;
			return -1;
		}
	if (!q->why.kind)
		return 0;
	*e = q->why;
	return -1;
}

static int client_logits(struct gpu *g, const int32_t *ids, int n,
                         const struct gpu_adapter *adapter, int n_adapters, float **out,
                         int *vocabulary, struct err *e)
{
	struct client *c = (struct client *)(void *)g;
	struct question q = { .n = n };
	cJSON *o;

	if (n > INFER_IDS_MAX)
		return err_set(e, ERR_INPUT, "%d ids; at most %d are taken", n, INFER_IDS_MAX);
	o = cJSON_CreateObject();
	add_ids(o, "ids", ids, n);
	add_adapters(o, adapter, n_adapters);
	if (ask(c, INFER_LOGITS, o, &q, e) < 0) {
		free(q.row);
		return -1;
	}
	*out = q.row;
	*vocabulary = q.vocabulary;
	return 0;
}

static int client_sweep(struct gpu *g, double *bytes_per_s, struct err *e)
{
	struct client *c = (struct client *)(void *)g;
	struct question q = { .bytes_per_s = NAN };

	if (ask(c, INFER_SWEEP, cJSON_CreateObject(), &q, e) < 0)
		return -1;
	*bytes_per_s = q.bytes_per_s;
	return 0;
}

static int client_poll_fds(struct gpu *g, struct pollfd *out, int cap)
{
	struct client *c = (struct client *)(void *)g;

	if (c->engine.pid <= 0 || cap < 1)
		return 0;
	out[0] = (struct pollfd){ .fd = c->engine.fd,
		                  .events = (short)(POLLIN | (c->out.len ? POLLOUT : 0)) };
	return 1;
}

static int client_timeout_ms(struct gpu *g)
{
	const struct client *c = (const struct client *)(const void *)g;

	return c->asked_s > 0 ? 1000 : -1;
}

static int client_busy(const struct gpu *g)
{
	const struct client *c = (const struct client *)(const void *)g;
	int n = 0;

	for (const struct request *r = c->first; r; r = r->next)
		n += r->left;
	return n;
}

static void client_close(struct gpu *g)
{
	struct client *c = (struct client *)(void *)g;

	helper_stop(&c->engine, 0.5);
	let_go(c);
	for (struct request *r = c->first; r; r = r->next)
		r->left = 0;
	sweep_requests(c);
	free(c->libexec);
	free(c->model);
	free(c->dtype);
	free(c);
}

static const struct door door = {
	.name = "engine",
	.close = client_close,
	.generate = client_generate,
	.cancel = client_cancel,
	.logits = client_logits,
	.about = client_about,
	.sweep = client_sweep,
	.poll_fds = client_poll_fds,
	.timeout_ms = client_timeout_ms,
	.step = client_step,
	.busy = client_busy,
};

struct gpu *client_open(const struct gpu_options *o, const struct gpu_ops *ops, struct err *e)
{
	struct client *c;
	struct stat st;

	if (strncmp(o->model, "random:", 7) != 0 &&
	    (stat(o->model, &st) < 0 || !S_ISDIR(st.st_mode))) {
		err_set(e, ERR_INPUT,
		        "%s: no such folder; a model is a folder with config.json, tokenizer.json "
		        "and safetensors, or http(s)://HOST/v1#NAME",
		        o->model);
		return NULL;
	}
	if (!(c = calloc(1, sizeof(*c)))) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	c->gpu = (struct gpu){ .door = &door, .ops = *ops };
	c->engine = (struct helper){ .fd = -1, .pidfd = -1 };
	c->backend = o->backend;
	c->threads = o->threads;
	c->context = o->context;
	c->slots = o->slots;
	c->quiet = o->quiet;
	c->libexec = strdup(o->libexec_dir);
	c->model = strdup(o->model);
	c->dtype = o->dtype ? strdup(o->dtype) : NULL;
	if (!c->libexec || !c->model || (o->dtype && !c->dtype))
		err_set(e, ERR_MEM, "out of memory");
	else if (start(c, e) == 0)
		return &c->gpu;
	client_close(&c->gpu);
	return NULL;
}
