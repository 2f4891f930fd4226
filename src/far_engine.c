#include "src/far_engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gpu/door.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/drawing.h"
#include "src/queue.h"

/* Answers of one request that one worker draws: the others may be another's. */
enum { PIECE = 4, ADAPTERS_KEPT = 8, ADAPTER_BYTES_MAX = 2000 << 20 };

struct far;

struct sequence {
	bool over, cancelled; /* cancelled: to be told with the next step */
	struct buf text;      /* told so far, thoughts left out */
};

struct request {
	struct request *next;
	uint32_t number;
	int n, left;
	struct sequence sequence[];
};

/* A job: some sequences of a request. */
struct piece {
	struct piece *next;
	struct far *f;
	struct request *of;
	int from, n;
	bool over;
};

/* A folder whose files were hashed and shared. */
struct known {
	char dir[4096];
	struct timespec changed;
	off_t size;
	struct drawing_adapter a;
	double used_s;
};

struct far {
	struct gpu gpu;
	struct queue *q;
	struct drawing_engine engine;
	char kind[SHA256_HEX], shown[320], told[400];
	cJSON *about;
	bool greeted, quiet, cancelled; /* cancelled: some sequence is */
	struct request *first;
	struct piece *pieces;
	struct known known[ADAPTERS_KEPT];
	uint32_t last;
	struct err hopeless;
};

static struct far *self(struct gpu *g)
{
	return (struct far *)(void *)g;
}

/* ---- the end of answers ---- */

static void fail(struct far *f, struct request *r, int sequence, enum gpu_end end,
                 const struct err *why)
{
	struct sequence *s = &r->sequence[sequence];
	struct gpu_done d = {
		.end = end,
		.text = buf_str(&s->text),
		.text_len = s->text.len,
		.thinking = "",
		.prompt_tokens = -1,
		.cached_tokens = -1,
		.drafted = -1,
		.accepted = -1,
		.wait_s = NAN,
		.prefill_s = NAN,
		.decode_s = NAN,
		.error = end == GPU_ERROR ? why->text : NULL,
		.kind = end == GPU_ERROR ? why->kind : ERR_NONE,
	};

	if (s->over)
		return;
	s->over = true;
	r->left--;
	if (f->gpu.ops.done)
		f->gpu.ops.done(f->gpu.ops.ctx, r->number, sequence, &d);
}

/* Not while something is told: callbacks may ask and cancel. */
static void sweep(struct far *f)
{
	for (struct piece **at = &f->pieces, *p; (p = *at) != NULL;) {
		if (p->over) {
			*at = p->next;
			free(p);
		} else {
			at = &p->next;
		}
	}
	for (struct request **at = &f->first, *r; (r = *at) != NULL;) {
		if (r->left > 0) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		for (int i = 0; i < r->n; i++)
			buf_release(&r->sequence[i].text);
		free(r);
	}
}

static bool token_again(void *ctx, int sequence, int index, const struct picked *p, bool in_thought,
                        const char *text, size_t len)
{
	struct piece *k = ctx;
	const struct gpu_ops *ops = &k->f->gpu.ops;
	struct sequence *s = &k->of->sequence[k->from + sequence];

	if (s->over || s->cancelled)
		return false;
	if (!in_thought)
		buf_add(&s->text, text, len);
	if (ops->token)
		ops->token(ops->ctx, k->of->number, k->from + sequence, index, p, in_thought, text,
		           len);
	return !s->cancelled;
}

static void done_again(void *ctx, int sequence, const struct gpu_done *d)
{
	struct piece *k = ctx;
	const struct gpu_ops *ops = &k->f->gpu.ops;
	struct sequence *s = &k->of->sequence[k->from + sequence];

	if (s->over || s->cancelled)
		return;
	s->over = true;
	k->of->left--;
	if (ops->done)
		ops->done(ops->ctx, k->of->number, k->from + sequence, d);
}

static void on_answer(void *ctx, void *user, enum queue_fate fate, const void *bytes, size_t len,
                      const struct err *why)
{
	struct far *f = ctx;
	struct piece *k = user;
	const struct drawing_ears ears = { k, token_again, done_again };
	struct err e;

	k->over = true;
	if (fate == QUEUE_ANSWERED) {
		if (drawing_tell_again(&f->gpu, bytes, len, k->n, &ears, &e) == 0)
			return;
		why = &e;
	}
	for (int i = k->from; i < k->from + k->n; i++)
		fail(f, k->of, i, GPU_ERROR, why);
}

/* ---- adapters ---- */

static int share_file(struct far *f, const char *dir, const char *name, char sha[SHA256_HEX],
                      struct err *e)
{
	char path[4200];
	struct buf b = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int rc = buf_read_file(&b, path, ADAPTER_BYTES_MAX, e);
	/* what is too large for the queue a worker may have of its own (worker --adapter) */
	if (rc == 0 && b.len > QUEUE_BLOB_BYTES_MAX)
		sha256_hex(buf_str(&b), b.len, sha);
	else if (rc == 0)
		rc = queue_blob(f->q, buf_str(&b), b.len, sha, e);
	buf_release(&b);
	return rc;
}

static int adapter_of(struct far *f, const struct gpu_adapter *a, struct drawing_adapter *out,
                      struct err *e)
{
	static const char weights[] = "adapter_model.safetensors";
	struct known *k = &f->known[0];
	char path[4200];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", a->dir, weights) >= (int)sizeof(k->dir) ||
	    stat(path, &st) < 0)
		return err_errno(e, ERR_INPUT, "%s: an adapter's folder was expected", path);
	for (int i = 0; i < ADAPTERS_KEPT; i++) {
		struct known *n = &f->known[i];
		if (strcmp(n->dir, a->dir) == 0 && n->size == st.st_size &&
		    n->changed.tv_sec == st.st_mtim.tv_sec &&
		    n->changed.tv_nsec == st.st_mtim.tv_nsec) {
			n->used_s = clock_now_s();
			*out = n->a;
			out->weight = a->weight;
			return 0;
		}
		if (n->used_s < k->used_s)
			k = n;
	}
	/* the one that was not used for longest makes room, and what it shared is let go */
	if (*k->dir) {
		queue_blob_drop(f->q, k->a.config);
		queue_blob_drop(f->q, k->a.weights);
	}
	*k = (struct known){ .changed = st.st_mtim, .size = st.st_size, .used_s = clock_now_s() };
	if (share_file(f, a->dir, "adapter_config.json", k->a.config, e) < 0 ||
	    share_file(f, a->dir, weights, k->a.weights, e) < 0)
		return -1;
	snprintf(k->dir, sizeof(k->dir), "%s", a->dir);
	*out = k->a;
	out->weight = a->weight;
	return 0;
}

/* ---- asking ---- */

static int submit(struct far *f, struct request *q, const struct gpu_request *r, int from, int n,
                  const struct drawing_adapter *adapter, struct err *e)
{
	char blob[2 * LORA_BLEND_MAX][SHA256_HEX];
	struct piece *k = calloc(1, sizeof(*k));
	struct gpu_request part = *r;
	struct buf body = { 0 };

	if (!k)
		return err_set(e, ERR_MEM, "no memory for %d answers", n);
	*k = (struct piece){ .f = f, .of = q, .from = from, .n = n };
	part.n = n;
	part.sampling.seed += (uint64_t)from;
	for (int i = 0; i < r->n_adapters; i++) {
		memcpy(blob[2 * i], adapter[i].config, SHA256_HEX);
		memcpy(blob[2 * i + 1], adapter[i].weights, SHA256_HEX);
	}
	drawing_write(&body, f->kind, &part, adapter);
	if (queue_submit(f->q, &body, (const char(*)[SHA256_HEX])blob, 2 * r->n_adapters,
	                 DRAWING_LEASE_S, k, e) < 0) {
		buf_release(&body);
		free(k);
		return -1;
	}
	k->next = f->pieces;
	f->pieces = k;
	return 0;
}

static int far_generate(struct gpu *g, const struct gpu_request *r, uint32_t *request,
                        struct err *e)
{
	struct far *f = self(g);
	struct drawing_adapter adapter[LORA_BLEND_MAX];
	struct request *q, **at = &f->first;

	if (f->hopeless.kind) {
		*e = f->hopeless;
		return -1;
	}
	for (int i = 0; i < r->n_adapters; i++)
		if (adapter_of(f, &r->adapter[i], &adapter[i], e) < 0)
			return -1;
	if (!(q = calloc(1, sizeof(*q) + (size_t)r->n * sizeof(q->sequence[0]))))
		return err_set(e, ERR_MEM, "no memory for %d answers", r->n);
	q->number = ++f->last;
	q->n = q->left = r->n;
	while (*at)
		at = &(*at)->next;
	*at = q;
	for (int from = 0; from < r->n; from += PIECE) {
		int n = r->n - from < PIECE ? r->n - from : PIECE;
		if (submit(f, q, r, from, n, adapter, e) == 0)
			continue;
		/* none of it, then */
		for (struct piece *k = f->pieces; k; k = k->next)
			if (k->of == q) {
				queue_cancel(f->q, k);
				k->over = true;
			}
		q->left = 0;
		sweep(f);
		return -1;
	}
	*request = q->number;
	return 0;
}

static void far_cancel(struct gpu *g, uint32_t request, int sequence)
{
	struct far *f = self(g);
	struct request *r = f->first;

	while (r && r->number != request)
		r = r->next;
	if (!r)
		return;
	for (int i = 0; i < r->n; i++)
		if ((sequence < 0 || sequence == i) && !r->sequence[i].over)
			f->cancelled = r->sequence[i].cancelled = true;
	for (struct piece *k = f->pieces; k; k = k->next) {
		bool wanted = false;
		for (int i = k->from; k->of == r && i < k->from + k->n; i++)
			wanted = wanted || !(r->sequence[i].over || r->sequence[i].cancelled);
		if (k->of == r && !wanted && !k->over) {
			queue_cancel(f->q, k);
			k->over = true;
		}
	}
}

/* ---- the loop ---- */

static void tell_cancelled(struct far *f)
{
	f->cancelled = false;
	for (struct request *r = f->first; r; r = r->next)
		for (int i = 0; i < r->n; i++)
			if (r->sequence[i].cancelled)
				fail(f, r, i, GPU_CANCELLED, NULL);
}

static int far_step(struct gpu *g, struct err *e)
{
	struct far *f = self(g);
	struct err why;

	if (!f->greeted) {
		f->greeted = true;
		if (f->gpu.ops.ready)
			f->gpu.ops.ready(f->gpu.ops.ctx, f->about);
	}
	if (!f->hopeless.kind && queue_step(f->q, &why) < 0) {
		f->hopeless = why;
		queue_cancel_all(f->q);
		for (struct piece *k = f->pieces; k; k = k->next)
			for (int i = k->from; !k->over && i < k->from + k->n; i++)
				fail(f, k->of, i, GPU_ERROR, &why);
		for (struct piece *k = f->pieces; k; k = k->next)
			k->over = true;
	}
	if (f->cancelled)
		tell_cancelled(f);
	const char *trouble = queue_trouble(f->q);
	if (!f->quiet && *trouble && strcmp(trouble, f->told) != 0)
		app_tell("%s", trouble);
	snprintf(f->told, sizeof(f->told), "%s", trouble);
	sweep(f);
	(void)e;
	return 0;
}

static const cJSON *far_about(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e)
{
	(void)tick;
	(void)ctx;
	(void)e;
	return self(g)->about;
}

static int far_poll_fds(struct gpu *g, struct pollfd *out, int cap)
{
	return queue_poll_fds(self(g)->q, out, cap);
}

static int far_timeout_ms(struct gpu *g)
{
	const struct far *f = self(g);

	return f->greeted && !f->cancelled ? queue_timeout_ms(f->q) : 0;
}

static int far_busy(const struct gpu *g)
{
	const struct far *f = (const struct far *)(const void *)g;
	int n = 0;

	for (const struct request *r = f->first; r; r = r->next)
		n += r->left;
	return n;
}

static void far_close(struct gpu *g)
{
	struct far *f = self(g);

	queue_close(f->q);
	for (struct piece *k = f->pieces; k; k = k->next)
		k->over = true;
	for (struct request *r = f->first; r; r = r->next)
		r->left = 0;
	sweep(f);
	cJSON_Delete(f->about);
	free(f);
}

/* ---- who is there ---- */

static bool fits(const struct drawing_engine *have, const char *model, const struct gpu_options *o)
{
	return strcmp(have->model, model) == 0 &&
	       strcmp(have->dtype, o->dtype ? o->dtype : "as stored") == 0 &&
	       (o->backend == GPU_AUTO ||
	        strcmp(have->backend, o->backend == GPU_CUDA ? "cuda" : "cpu") == 0) &&
	       (o->context > 0 ? have->context == o->context : have->context_asked == 0);
}

/* The best of those that fit: on a GPU if there is one, and of the kind that most workers have. */
static int choose(struct far *f, const struct queue_table *t, const struct gpu_options *o,
                  struct err *e)
{
	char model[SHA256_HEX];
	struct buf others = { 0 };
	int best = 0, engines = 0;

	for (int i = 0; i < t->n; i++)
		engines += t->row[i].kind[0] && queue_row_state(&t->row[i]) <= QUEUE_BUSY;
	if (!engines)
		return err_set(e, ERR_LACKS,
		               "no worker at %.200s has a model: 'cadforge worker --queue URL "
		               "--model DIR' starts one that has",
		               f->shown);
	if (drawing_model(o->model, model, e) < 0)
		return -1;
	for (int i = 0; i < t->n; i++) {
		const struct queue_row *r = &t->row[i];
		struct drawing_engine have;
		char kind[SHA256_HEX];
		int same = 0;
		if (!r->kind[0] || queue_row_state(r) > QUEUE_BUSY ||
		    drawing_engine_read(&have, r->about, e) < 0)
			continue;
		drawing_kind(&have, kind);
		if (strcmp(kind, r->kind) != 0)
			continue;
		if (!fits(&have, model, o)) {
			if (others.len < 180)
				buf_printf(&others, "%s%.30s (%.8s, %s %s, context %d)",
				           others.len ? ", " : "", have.name, have.hash,
				           have.backend, have.dtype, have.context);
			continue;
		}
		for (int k = 0; k < t->n; k++)
			same += queue_row_state(&t->row[k]) <= QUEUE_BUSY &&
			        strcmp(t->row[k].kind, kind) == 0;
		same += strcmp(have.backend, "cuda") == 0 ? 1000 : 0;
		if (same > best) {
			best = same;
			f->engine = have;
			memcpy(f->kind, kind, sizeof(f->kind));
		}
	}
	if (!best)
		err_set(e, ERR_LACKS,
		        "no worker at %.100s has the model %.100s as it is asked for (%s, context "
		        "%s%.0d): there is %.200s",
		        f->shown, o->model, o->dtype ? o->dtype : "as stored",
		        o->context ? "" : "of its choice", o->context, buf_str(&others));
	buf_release(&others);
	return best ? 0 : -1;
}

static cJSON *describe(const struct far *f)
{
	const struct drawing_engine *g = &f->engine;
	cJSON *o = cJSON_CreateObject(), *m;

	cJSON_AddStringToObject(o, "program", "cadforge worker");
	cJSON_AddStringToObject(o, "queue", f->shown);
	cJSON_AddStringToObject(o, "backend", g->backend);
	cJSON_AddStringToObject(o, "device", g->device);
	cJSON_AddStringToObject(o, "dtype", g->dtype);
	cJSON_AddNumberToObject(o, "context", g->context);
	m = cJSON_AddObjectToObject(o, "model");
	cJSON_AddStringToObject(m, "hash", g->hash);
	cJSON_AddBoolToObject(m, "thinks_by_default", g->thinks);
	return o;
}

struct gpu *far_engine_open(const char *url, bool quiet, const struct gpu_options *o,
                            const struct gpu_ops *ops, struct err *e)
{
	static const struct door door = {
		.name = "workers",
		.close = far_close,
		.generate = far_generate,
		.cancel = far_cancel,
		.no_logits = "workers draw answers and give no logits: --backend cpu or cuda "
			     "has them",
		.about = far_about,
		.no_sweep = "what a worker's device reads is not known here",
		.poll_fds = far_poll_fds,
		.timeout_ms = far_timeout_ms,
		.step = far_step,
		.busy = far_busy,
	};
	struct far *f = calloc(1, sizeof(*f));
	struct queue_table t = { 0 };
	struct redis_address a;

	if (!f) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	f->gpu = (struct gpu){ .door = &door, .ops = *ops };
	f->quiet = quiet;
	const struct queue_ops to = { .ctx = f, .done = on_answer };
	if (redis_address_parse(&a, url, e) < 0) {
		free(f);
		return NULL;
	}
	snprintf(f->shown, sizeof(f->shown), "%s", a.shown);
	int rc = queue_list(&t, &a, e);
	if (rc == 0)
		rc = choose(f, &t, o, e);
	queue_table_release(&t);
	if (rc == 0 && (f->q = queue_open(&a, &to, e)) != NULL)
		queue_kind(f->q, f->kind);
	explicit_bzero(a.password, sizeof(a.password));
	if (!f->q) {
		free(f);
		return NULL;
	}
	f->about = describe(f);
	if (!quiet)
		app_tell("answers come from workers at %s: %s %s, %s", f->shown, f->engine.backend,
		         f->engine.dtype, f->engine.device);
	return &f->gpu;
}

struct gpu *engine_choose(void *ctx, const struct gpu_options *o, const struct gpu_ops *ops,
                          struct err *e)
{
	const struct engine_choice *c = ctx;
	struct gpu *g;

	if (c->model->far && !c->app->queue) {
		err_set(e, ERR_USAGE,
		        "backend queue: workers are found by --queue redis://HOST, which is not "
		        "given");
		return NULL;
	}
	if (!c->app->queue || o->backend != GPU_AUTO || strstr(o->model, "://"))
		return gpu_open(o, ops, e);
	g = far_engine_open(c->app->queue, c->app->quiet, o, ops, e);
	/* none of the workers has it: then here, unless they were asked for by name */
	return g || c->model->far || e->kind != ERR_LACKS ? g : gpu_open(o, ops, e);
}
