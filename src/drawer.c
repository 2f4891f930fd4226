#include "src/drawer.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/cad_names.h"
#include "src/drawing.h"
#include "src/lately.h"

enum { KEPT_MAX = 12, TRIES_MAX = 2, SLOTS_CPU = 4, SLOTS_CUDA = 32 };
static const char config_name[] = "adapter_config.json",
		  weights_name[] = "adapter_model.safetensors";

/* An adapter's folder: the worker's own, or made of what came with a request. */
struct kept {
	char config[SHA256_HEX], weights[SHA256_HEX];
	char dir[4200];
	bool own;
	int in_use;
	double used_s;
};

struct draw {
	struct drawer *d;
	struct queue_take *take; /* NULL: nobody waits for it any more */
	struct drawing_asked asked;
	struct kept *kept[LORA_BLEND_MAX];
	int missing, tries, left; /* blobs; sequences that are not over */
	bool asking, over;
	uint32_t request;
	struct buf told;
	struct err why;
	double began_s;
	struct draw *next;
};

struct drawer {
	struct drawer_options o;
	struct gpu *gpu;
	struct queue_worker *q;
	struct drawing_engine engine;
	char kind[SHA256_HEX];
	char names[4200]; /* the guard's file; "": not yet */
	struct kept kept[KEPT_MAX];
	struct draw *first;
	struct lately lately;
	double summed_s; /* when it was summed up last */
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

/* ---- the end of a request ---- */

static void let_go(struct draw *k)
{
	for (int i = 0; i < LORA_BLEND_MAX; i++)
		if (k->kept[i]) {
			k->kept[i]->in_use--;
			k->kept[i]->used_s = clock_now_s();
			k->kept[i] = NULL;
		}
}

/* Answers with what was told, or with @why. */
static void draw_end(struct draw *k, const struct err *why)
{
	struct drawer *d = k->d;
	struct queue_row *r = queue_worker_row(d->q);
	struct buf bytes = { 0 };
	struct err e;

	k->over = true;
	let_go(k);
	if (!k->take)
		return;
	if (!why && drawing_pack(&bytes, &k->told, &e) < 0)
		why = &e;
	const struct worker_job j = {
		.hash = k->take->hash,
		.fate = why ? QUEUE_FAILED : QUEUE_ANSWERED,
		.drawn = true,
		.taken_over = k->take->before > 0,
		.total = NAN,
		.wait_s = k->take->wait_s,
		.work_s = clock_now_s() - k->began_s,
		.why = why,
	};
	const double took[QUEUE_PARTS] = { [QUEUE_WAIT] = j.wait_s,
		                           [QUEUE_BUILD] = NAN,
		                           [QUEUE_SCORE] = NAN,
		                           [QUEUE_WORK] = j.work_s };
	lately_add(&d->lately, took, clock_now_s());
	r->jobs++;
	r->failed += why != NULL;
	r->work_s += j.work_s;
	if (d->o.done)
		d->o.done(d->o.ctx, &j);
	queue_worker_answer(d->q, k->take, j.fate, why ? NULL : &bytes, why, why != NULL);
	k->take = NULL;
	buf_release(&bytes);
}

/* Not while something is told. */
static void sweep(struct drawer *d)
{
	for (struct draw **at = &d->first, *k; (k = *at) != NULL;) {
		if (!k->over || k->left > 0) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		drawing_release(&k->asked);
		buf_release(&k->told);
		free(k);
	}
}

/* ---- what the engine tells ---- */

static struct draw *find(struct drawer *d, uint32_t request)
{
	struct draw *k = d->first;

	while (k && !(k->left > 0 && k->request == request))
		k = k->next;
	return k;
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct drawer *d = ctx;
	struct draw *k = find(d, request);

	if (k && !k->over)
		drawing_tell_token(&k->told, d->gpu, sequence, index, p, in_thought, text, len);
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct draw *k = find(ctx, request);

	if (!k)
		return;
	k->left--;
	if (d->end == GPU_ERROR || d->end == GPU_CANCELLED) {
		if (!k->why.kind)
			err_set(&k->why, d->end == GPU_ERROR ? d->kind : ERR_CANCELLED, "%s",
			        d->error ? d->error : "it was cancelled");
	} else if (!k->over) {
		drawing_tell_done(&k->told, sequence, d);
	}
	if (k->left > 0 || k->over)
		return;
	/* the engine died under it, perhaps of something else: it is started again for another try
	 */
	if (k->why.kind == ERR_LOST && k->tries < TRIES_MAX)
		k->asking = true;
	else
		draw_end(k, k->why.kind ? &k->why : NULL);
}

/* ---- adapters ---- */

static struct kept *kept_of(struct drawer *d, const struct drawing_adapter *a)
{
	for (int i = 0; i < KEPT_MAX; i++)
		if (strcmp(d->kept[i].config, a->config) == 0 &&
		    strcmp(d->kept[i].weights, a->weights) == 0)
			return &d->kept[i];
	return NULL;
}

static void kept_drop(struct kept *k)
{
	if (*k->dir && !k->own)
		nftw(k->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	*k = (struct kept){ 0 };
}

/* A place for one more; the one that was not used for longest goes. NULL: all are in use. */
static struct kept *place(struct drawer *d)
{
	struct kept *best = NULL;

	for (int i = 0; i < KEPT_MAX; i++) {
		struct kept *k = &d->kept[i];
		if (!k->in_use && !k->own && (!best || k->used_s < best->used_s))
			best = k;
	}
	if (best)
		kept_drop(best);
	return best;
}

static void blob_path(const struct drawer *d, const char *sha, char out[4300])
{
	snprintf(out, 4300, "%s/%s.blob", d->o.dir, sha);
}

static bool has_blob(const struct drawer *d, const char *sha)
{
	char path[4300];

	blob_path(d, sha, path);
	return access(path, R_OK) == 0;
}

/* The folder of one whose files are here. */
static int make_folder(struct drawer *d, const struct drawing_adapter *a, struct kept **out,
                       struct err *e)
{
	struct kept *k = kept_of(d, a);
	char from[4300], to[4300];

	if (!k) {
		if (!(k = place(d)))
			return err_set(e, ERR_MEM, "more than %d adapters are in use at once",
			               KEPT_MAX);
		snprintf(k->dir, sizeof(k->dir), "%s/adapter-XXXXXX", d->o.dir);
		if (!mkdtemp(k->dir)) {
			err_errno(e, ERR_IO, "%s", k->dir);
			*k = (struct kept){ 0 };
			return -1;
		}
		for (int i = 0; i < 2; i++) {
			blob_path(d, i ? a->weights : a->config, from);
			snprintf(to, sizeof(to), "%s/%s", k->dir, i ? weights_name : config_name);
			/* a link, since two adapters may have the same configuration */
			if (link(from, to) < 0) {
				err_errno(e, ERR_IO, "%s", to);
				kept_drop(k);
				return -1;
			}
		}
		memcpy(k->config, a->config, SHA256_HEX);
		memcpy(k->weights, a->weights, SHA256_HEX);
	}
	k->in_use++;
	k->used_s = clock_now_s();
	*out = k;
	return 0;
}

static int hash_of(const char *dir, const char *name, char sha[SHA256_HEX], struct err *e)
{
	char path[4300];
	struct buf b = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int rc = buf_read_file(&b, path, (size_t)4 << 30, e);
	if (rc == 0)
		sha256_hex(buf_str(&b), b.len, sha);
	buf_release(&b);
	return rc;
}

/* Those that this worker was started with need not travel. */
static int keep_own(struct drawer *d, struct err *e)
{
	for (int i = 0; i < d->o.model->n_adapters; i++) {
		struct kept *k = &d->kept[i];
		snprintf(k->dir, sizeof(k->dir), "%s", d->o.model->adapter[i].dir);
		k->own = true;
		if (hash_of(k->dir, config_name, k->config, e) < 0 ||
		    hash_of(k->dir, weights_name, k->weights, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- its beginning ---- */

static void want(struct draw *k, const char *sha)
{
	if (has_blob(k->d, sha))
		return;
	k->missing++;
	queue_worker_want(k->d->q, k->take, sha);
}

static void on_take(void *ctx, struct queue_take *t)
{
	struct drawer *d = ctx;
	struct draw *k = calloc(1, sizeof(*k));
	struct err e = { 0 };

	if (!k) {
		err_set(&e, ERR_MEM, "out of memory for a request");
		queue_worker_answer(d->q, t, QUEUE_FAILED, NULL, &e, true);
		return;
	}
	k->d = d;
	k->take = t;
	t->user = k;
	k->began_s = clock_now_s();
	k->next = d->first;
	d->first = k;
	if (drawing_read(&k->asked, buf_str(&t->body), t->body.len, &e) == 0 &&
	    strcmp(k->asked.kind, d->kind) != 0)
		err_set(&e, ERR_INPUT,
		        "a request for an engine of kind %.12s came to one of kind %.12s",
		        k->asked.kind, d->kind);
	if (e.kind) {
		draw_end(k, &e);
		return;
	}
	for (int i = 0; i < k->asked.n_adapters; i++)
		if (!kept_of(d, &k->asked.adapter[i])) {
			want(k, k->asked.adapter[i].config);
			want(k, k->asked.adapter[i].weights);
		}
	k->asking = k->missing == 0;
}

static void on_blob(void *ctx, struct queue_take *t, const char *sha, const void *bytes, size_t len)
{
	struct drawer *d = ctx;
	struct draw *k = t->user;
	char path[4300];
	struct err e = { 0 };

	if (k->over)
		return;
	blob_path(d, sha, path);
	if (!bytes)
		err_set(&e, ERR_LACKS,
		        "the adapter that is asked for (file %.12s) is not in Redis: a file of more "
		        "than %d MiB a worker has to have of its own (worker --adapter DIR)",
		        sha, QUEUE_BLOB_BYTES_MAX >> 20);
	else if (file_write_atomic(path, bytes, len, &e) < 0)
		err_wrap(&e, "a worker's folder");
	if (e.kind)
		draw_end(k, &e);
	else if (--k->missing == 0)
		k->asking = true;
}

static void on_unwanted(void *ctx, struct queue_take *t)
{
	struct drawer *d = ctx;
	struct draw *k = t->user;

	k->take = NULL;
	k->asking = false;
	if (k->left > 0)
		gpu_cancel(d->gpu, k->request, -1);
	draw_end(k, NULL);
	queue_worker_forget(d->q, t);
}

/* Files that came are in their folders by now, or not needed any more. */
static void forget_blobs(struct drawer *d)
{
	char path[4300];

	for (struct draw *k = d->first; k; k = k->next)
		if (!k->over && k->missing > 0)
			return;
	for (int i = 0; i < KEPT_MAX; i++)
		for (int n = 0; n < 2 && *d->kept[i].dir && !d->kept[i].own; n++) {
			blob_path(d, n ? d->kept[i].weights : d->kept[i].config, path);
			unlink(path);
		}
}

static int ask(struct draw *k, struct err *e)
{
	struct drawer *d = k->d;
	struct gpu_adapter adapter[LORA_BLEND_MAX];
	struct gpu_request r = k->asked.r;

	k->asking = false;
	k->tries++;
	k->why = (struct err){ 0 };
	buf_clear(&k->told);
	for (int i = 0; i < k->asked.n_adapters; i++) {
		if (!k->kept[i] && !kept_of(d, &k->asked.adapter[i])) {
			/* another's made room for, since it was here */
			want(k, k->asked.adapter[i].config);
			want(k, k->asked.adapter[i].weights);
			if (k->missing > 0) {
				k->tries--;
				return 0;
			}
		}
		if (!k->kept[i] && make_folder(d, &k->asked.adapter[i], &k->kept[i], e) < 0)
			return -1;
		adapter[i] = (struct gpu_adapter){ k->kept[i]->dir, k->asked.adapter[i].weight };
	}
	if (k->asked.guard && !*d->names &&
	    cad_names_file(d->o.app, d->names, sizeof(d->names), e) < 0) {
		*d->names = '\0';
		return -1;
	}
	r.adapter = adapter;
	r.n_adapters = k->asked.n_adapters;
	r.guard = k->asked.guard ? d->names : NULL;
	if (gpu_generate(d->gpu, &r, &k->request, e) < 0)
		return -1;
	k->left = r.n;
	return 0;
}

/* ---- the verbs ---- */

int drawer_step(struct drawer *d, struct err *e)
{
	struct err why = { 0 };

	if (!d)
		return 0;
	if (clock_now_s() > d->summed_s + 1) {
		d->summed_s = clock_now_s();
		lately_sum(&d->lately, queue_worker_row(d->q), d->summed_s);
	}
	if (queue_worker_step(d->q, e) < 0)
		return -1;
	for (struct draw *k = d->first; k; k = k->next)
		if (k->asking && !k->over && ask(k, &why) < 0)
			draw_end(k, &why);
	forget_blobs(d);
	/* an engine that is gone is started again when it is asked next */
	gpu_step(d->gpu, &why);
	sweep(d);
	return queue_worker_step(d->q, e);
}

int drawer_poll_fds(struct drawer *d, struct pollfd *out, int cap)
{
	int n;

	if (!d)
		return 0;
	n = queue_worker_poll_fds(d->q, out, cap);
	return n + gpu_poll_fds(d->gpu, out + n, cap - n);
}

int drawer_timeout_ms(struct drawer *d)
{
	int ms = d ? queue_worker_timeout_ms(d->q) : -1, engine = d ? gpu_timeout_ms(d->gpu) : -1;

	return engine >= 0 && (ms < 0 || engine < ms) ? engine : ms;
}

void drawer_stop(struct drawer *d)
{
	if (d)
		queue_worker_stop(d->q);
}

int drawer_under_way(const struct drawer *d)
{
	return d ? queue_worker_under_way(d->q) : 0;
}

static int tick(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static int join(struct drawer *d, struct err *e)
{
	const struct queue_worker_ops ops = {
		.ctx = d, .take = on_take, .blob = on_blob, .unwanted = on_unwanted
	};
	char name[QUEUE_NAME_MAX], model[SHA256_HEX], called[64];
	const struct model_flags *m = d->o.model;
	struct buf about = { 0 };
	const cJSON *ready;

	if (drawing_model(m->model, model, e) < 0 || keep_own(d, e) < 0 ||
	    !(ready = gpu_about(d->gpu, tick, NULL, e)))
		return -1;
	if (*m->about.name)
		snprintf(called, sizeof(called), "%s", m->about.name);
	else
		model_flags_name(called, sizeof(called), m->model);
	drawing_engine_of(&d->engine, model, called, m->context, ready);
	drawing_kind(&d->engine, d->kind);
	drawing_engine_write(&about, &d->engine);
	int slots = d->o.slots                               ? d->o.slots
	            : strcmp(d->engine.backend, "cuda") == 0 ? SLOTS_CUDA
	                                                     : SLOTS_CPU;
	queue_worker_name(name);
	if (buf_failed(&about) || about.len >= QUEUE_ABOUT_MAX)
		err_set(e, ERR_MEM, "what the engine says of itself is too long");
	else
		d->q = queue_worker_open(d->o.address, name, d->o.versions, slots, &ops, e);
	if (d->q) {
		queue_worker_kind(d->q, d->kind, buf_str(&about), DRAWING_LEASE_S);
		snprintf(queue_worker_row(d->q)->model, sizeof(queue_worker_row(d->q)->model), "%s",
		         called);
		if (d->o.joined) {
			buf_clear(&about);
			buf_printf(&about, "%s (%.12s), %s %s, %s, context %d; %d at once", called,
			           d->engine.hash, d->engine.backend, d->engine.dtype,
			           d->engine.device, d->engine.context, slots);
			d->o.joined(d->o.ctx, name, buf_str(&about));
		}
	}
	buf_release(&about);
	return d->q ? 0 : -1;
}

struct drawer *drawer_open(const struct drawer_options *o, struct err *e)
{
	struct drawer *d = calloc(1, sizeof(*d));
	struct gpu_options go;

	if (!d) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	d->o = *o;
	d->lately.opened_s = clock_now_s();
	const struct gpu_ops ops = { d, NULL, on_token, on_done };
	model_flags_options(o->model, o->app, &go);
	if (strstr(o->model->model, "://"))
		err_set(e, ERR_USAGE,
		        "--model %.200s: a worker's model is a folder, since a server's answers "
		        "are not known by their seeds",
		        o->model->model);
	else
		d->gpu = gpu_open(&go, &ops, e);
	if (d->gpu && join(d, e) == 0)
		return d;
	drawer_close(d);
	return NULL;
}

void drawer_close(struct drawer *d)
{
	if (!d)
		return;
	if (d->gpu)
		gpu_close(d->gpu);
	queue_worker_close(d->q);
	for (struct draw *k = d->first; k; k = k->next) {
		k->over = true;
		k->left = 0;
	}
	sweep(d);
	for (int i = 0; i < KEPT_MAX; i++)
		kept_drop(&d->kept[i]);
	if (*d->names)
		unlink(d->names);
	free(d);
}
