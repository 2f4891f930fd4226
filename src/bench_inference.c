/*
 * bench_inference.c - what the inference engine does of what the machine could: random weights of
 * real sizes, made on the spot, through the same door as any answer.
 *
 * Every bound is measured in the same run: the memory's read sweep beside decoding, one sequence
 * beside a group, a decode step beside a first token, plain decoding beside drafted, and with
 * --peer llama.cpp and OpenBLAS on the same cores (python/bench_llama.py). Peer and engine take
 * turns, and the round whose ratio is the median one is what is told: a machine that swings decides
 * nothing. Elsewhere the best of the rounds: what disturbs only ever adds time.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu/cpu.h"
#include "gpu/gpu.h"
#include "gpu/lora.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/base/spawn.h"
#include "src/bench.h"

enum {
	PROMPT = 512,
	GROUP = 32,
	PAIRS_MAX = 64,
	PAIR_IDS_MAX = 6000,
	PAIRS_BYTES_MAX = 4 << 20,
	PEER_FIGURES_MAX = 32,
	PEER_PATIENCE_S = 300, /* for its model, and for any one figure */
	TURNS_MIN = 5,         /* of peer and engine */
	RANK = 16,
};

extern char **environ;

/* What came of one request. */
struct outcome {
	bool first;
	double first_s; /* when its first token came */
	int done, tokens, drafted, accepted;
	double prefill_s, decode_s; /* the longest of its sequences */
	char error[400];
};

struct subject {
	struct bench *b;
	struct gpu *gpu;
	const char *size;
	char set[32];
	struct outcome now;
	double weight_bytes;
	int threads, vocabulary;
	unsigned seed;  /* of the next prompt: none is twice the same */
	int product[3]; /* under way: rows, depth, columns */
	bool cuda;
};

/* ---- python/bench_llama.py, which measures what it is asked for by name ---- */

struct peer {
	struct helper process;
	char name[PEER_FIGURES_MAX][48]; /* what it measures */
	int n;
	char in[4096]; /* that it said and nobody took */
	size_t in_len;
};

static bool peer_has(const struct peer *p, const char *name)
{
	for (int i = 0; i < p->n; i++)
		if (strcmp(p->name[i], name) == 0)
			return true;
	return false;
}

/* Its next line as an object; NULL: it is gone, or silent. */
static cJSON *peer_line(struct peer *p)
{
	const double until = clock_now_s() + PEER_PATIENCE_S;

	for (;;) {
		char *end = memchr(p->in, '\n', p->in_len);
		if (end) {
			size_t len = (size_t)(end - p->in);
			cJSON *o = json_parse(p->in, len, NULL);
			p->in_len -= len + 1;
			memmove(p->in, end + 1, p->in_len);
			return o;
		}
		if (p->in_len == sizeof(p->in) || clock_now_s() > until || app_interrupted())
			return NULL;
		struct pollfd f = { .fd = p->process.fd, .events = POLLIN };
		poll(&f, 1, 200);
		ssize_t n = read(p->process.fd, p->in + p->in_len, sizeof(p->in) - p->in_len);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return NULL;
		p->in_len += n > 0 ? (size_t)n : 0;
	}
}

static void peer_end(struct peer *p)
{
	helper_stop(&p->process, 1);
	*p = (struct peer){ .n = 0 };
}

/* One figure, now. NAN: it has none, or is gone. */
static double peer_measure(struct peer *p, const char *name)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%s\n", name);
	double v = NAN;

	if (!peer_has(p, name))
		return NAN;
	cJSON *o = write(p->process.fd, line, (size_t)len) == len ? peer_line(p) : NULL;
	if (o && strcmp(json_string_or(o, "name", ""), name) == 0)
		v = json_number_or(o, "value", NAN);
	cJSON_Delete(o);
	if (isnan(v))
		peer_end(p);
	return v;
}

/* A peer that is not installed is no error: its columns stay empty, and it is said. */
static void peer_begin(struct peer *p, const struct bench *b, const struct subject *s)
{
	static const char *const large[] = { "--parameters", "110000000", "--hidden",     "768",
		                             "--layers",     "12",        "--vocabulary", "16384" };
	const char *argv[24];
	char script[4400], threads[16];
	int n = 0;
	bool ready = false;
	struct err e = { 0 };

	*p = (struct peer){ .n = 0 };
	if (!b->peer_python || s->cuda)
		return;
	bench_say(b, "llama.cpp and OpenBLAS on the same cores, by turns");
	snprintf(script, sizeof(script), "%s/bench_llama.py", b->app.data);
	snprintf(threads, sizeof(threads), "%d", s->threads);
	argv[n++] = "/usr/bin/env"; /* finds a bare name as a shell would */
	argv[n++] = b->peer_python;
	argv[n++] = script;
	argv[n++] = "--serve";
	argv[n++] = "--seconds";
	argv[n++] = "0.5";
	argv[n++] = "--threads";
	argv[n++] = threads;
	for (size_t i = 0; strcmp(s->size, "110m") == 0 && i < sizeof(large) / sizeof(*large); i++)
		argv[n++] = large[i];
	argv[n] = NULL;
	cJSON *o = NULL;
	if (helper_start(&p->process, argv, (const char *const *)environ, false, &e) == 0)
		while (!ready && p->n < PEER_FIGURES_MAX && (o = peer_line(p))) {
			const char *name = json_string_or(o, "name", "");
			ready = strcmp(name, "ready") == 0;
			if (!ready)
				snprintf(p->name[p->n++], sizeof(p->name[0]), "%s", name);
			cJSON_Delete(o);
		}
	if (!ready) {
		peer_end(p);
		app_tell("--peer: bench_llama.py failed; it needs numpy, gguf and "
		         "llama-cpp-python%s%s",
		         e.kind ? ": " : "", e.kind ? e.text : "");
	}
}

/* One of our figures beside the peer's, a round of each in turn. */
struct duel {
	double ours, peer, ratio; /* of the round in the middle; without peer the best of ours */
	double best;              /* of ours */
};

typedef int once_fn(struct subject *s, int n, double *rate, struct err *e);

static int by_ratio(const void *a, const void *b)
{
	double x = ((const struct duel *)a)->ratio, y = ((const struct duel *)b)->ratio;

	return (x > y) - (x < y);
}

static int duel(struct subject *s, struct peer *p, const char *name, once_fn *once, int n,
                struct duel *out, struct err *e)
{
	const int rounds =
		s->b->rounds > TURNS_MIN || !peer_has(p, name) ? s->b->rounds : TURNS_MIN;
	struct duel *all = calloc((size_t)rounds, sizeof(*all));
	double best = 0;
	int rc = all ? 0 : err_set(e, ERR_MEM, "out of memory");

	for (int i = 0; i < rounds && rc == 0; i++) {
		all[i].peer = peer_measure(p, name);
		rc = once(s, n, &all[i].ours, e);
		all[i].ratio = all[i].ours / all[i].peer;
		best = fmax(best, all[i].ours);
	}
	*out = (struct duel){ best, NAN, NAN, best };
	if (rc == 0 && peer_has(p, name)) {
		qsort(all, (size_t)rounds, sizeof(*all), by_ratio);
		*out = all[rounds / 2];
		out->best = best;
	}
	free(all);
	return rc;
}

/* ---- one request ---- */

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct subject *s = ctx;

	(void)request;
	(void)sequence;
	(void)index;
	(void)p;
	(void)in_thought;
	(void)text;
	(void)len;
	if (!s->now.first)
		s->now.first_s = clock_now_s();
	s->now.first = true;
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct outcome *o = &((struct subject *)ctx)->now;

	(void)request;
	(void)sequence;
	o->done++;
	o->tokens += d->n;
	o->drafted += d->drafted > 0 ? d->drafted : 0;
	o->accepted += d->accepted > 0 ? d->accepted : 0;
	o->prefill_s = fmax(o->prefill_s, d->prefill_s);
	o->decode_s = fmax(o->decode_s, d->decode_s);
	if (d->end == GPU_ERROR)
		snprintf(o->error, sizeof(o->error), "%s", d->error);
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted() || app_output_lost();
}

static int ask(struct subject *s, const struct gpu_request *r, struct err *e)
{
	uint32_t request;

	s->now = (struct outcome){ .first = false };
	if (gpu_generate(s->gpu, r, &request, e) < 0 || gpu_wait(s->gpu, on_tick, s, e) < 0)
		return -1;
	return s->now.error[0] ? err_set(e, ERR_IO, "%s", s->now.error) : 0;
}

/* A request for @max tokens whatever they are. */
static struct gpu_request plain(const int32_t *ids, int n_ids, int n, int max)
{
	struct gpu_request r = {
		.ids = ids, .n_ids = n_ids, .n = n, .max_tokens = max, .ignore_eos = true
	};

	sampling_default(&r.sampling);
	return r;
}

static void fill(struct subject *s, int32_t *ids, int n)
{
	for (int i = 0; i < n; i++) {
		s->seed = s->seed * 1664525u + 1013904223u;
		ids[i] = (int32_t)((s->seed >> 8) % (unsigned)s->vocabulary);
	}
}

static int open_subject(struct subject *s, struct bench *b, const char *size, const char *dtype,
                        enum gpu_backend backend, struct err *e)
{
	const struct gpu_ops ops = { .ctx = s, .token = on_token, .done = on_done };
	char model[32];
	struct gpu_options o = {
		.libexec_dir = b->app.libexec,
		.model = model,
		.backend = backend,
		.dtype = dtype,
		.quiet = b->app.quiet,
	};

	*s = (struct subject){ .b = b, .size = size, .seed = 1 };
	snprintf(model, sizeof(model), "random:%s", size);
	snprintf(s->set, sizeof(s->set), "%s %s", size, dtype);
	if (!(s->gpu = gpu_open(&o, &ops, e)))
		return -1;
	const cJSON *about = gpu_about(s->gpu, on_tick, s, e);
	if (!about)
		return -1;
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(about, "model");
	s->weight_bytes = json_number_or(about, "weight_bytes", NAN);
	s->threads = (int)json_number_or(about, "threads", 0);
	s->vocabulary = (int)json_number_or(m, "vocabulary", 2);
	s->cuda = strcmp(json_string_or(about, "backend", ""), "cuda") == 0;
	if (s->cuda)
		snprintf(b->where, sizeof(b->where), "%.290s",
		         json_string_or(about, "device", "?"));
	return 0;
}

/* ---- figures ---- */

static int decode_with(struct subject *s, const struct gpu_adapter *adapter, int n, double *rate,
                       struct err *e)
{
	int32_t ids[16];

	fill(s, ids, 16);
	struct gpu_request r = plain(ids, 16, 1, n);
	r.adapter = adapter;
	r.n_adapters = adapter != NULL;
	if (ask(s, &r, e) < 0)
		return -1;
	*rate = (s->now.tokens - 1) / s->now.decode_s;
	return 0;
}

/* Tokens a second at batch 1. */
static int decode_once(struct subject *s, int n, double *rate, struct err *e)
{
	return decode_with(s, NULL, n, rate, e);
}

static int prefill_once(struct subject *s, int n, double *rate, struct err *e)
{
	int32_t ids[2048];

	fill(s, ids, n);
	struct gpu_request r = plain(ids, n, 1, 1);
	if (ask(s, &r, e) < 0)
		return -1;
	*rate = n / s->now.prefill_s;
	return 0;
}

/* The time from asking to the first token when the prompt is known, as a count of decode steps. */
static int warm_first_token(struct subject *s, double step_s, struct err *e)
{
	int32_t ids[PROMPT];
	double best = INFINITY;

	fill(s, ids, PROMPT);
	struct gpu_request r = plain(ids, PROMPT, 1, 2);
	for (int i = 0; i <= s->b->rounds; i++) {
		double since = clock_now_s();
		if (ask(s, &r, e) < 0)
			return -1;
		if (i > 0)
			best = fmin(best, s->now.first_s - since);
	}
	bench_figure(s->b, "inference.first_token_warm", best * 1e3, "ms", 2 * step_s * 1e3,
	             step_s * 1e3, best / step_s, s->set);
	return 0;
}

static int group_rate(struct subject *s, double alone, int n, struct err *e)
{
	int32_t ids[PROMPT];
	double rate = 0;

	for (int i = 0; i < s->b->rounds; i++) {
		fill(s, ids, PROMPT);
		struct gpu_request r = plain(ids, PROMPT, GROUP, n);
		r.sampling.temperature = 1;
		r.sampling.seed = (uint64_t)i;
		if (ask(s, &r, e) < 0)
			return -1;
		rate = fmax(rate, (s->now.tokens - GROUP) / s->now.decode_s);
	}
	bench_figure(s->b, "inference.group_of_32", rate, "1/s", s->cuda ? 20 * alone : NAN, alone,
	             rate / alone, s->set);
	return 0;
}

/* A rank-16 adapter on all linear layers, as a PEFT folder in @dir. */
static int make_adapter(const char *size, const char *dir, struct err *e)
{
	struct model_config c;
	struct adapter a = { .rank_max = RANK };
	struct adapter_save_options o = { .dtype = DTYPE_F32, .base_model = "random" };
	float *v = NULL;
	size_t most = 0;
	int rc = -1, out, in;

	if (config_named(&c, size) < 0 || c.layers < 1 || c.layers > MODEL_LAYERS_MAX)
		return err_set(e, ERR_USAGE, "no size '%s'", size);
	for (int l = 0; l < c.layers; l++)
		for (int m = 0; m < MODULE_COUNT; m++)
			if (module_shape(&c, l, (enum module)m, &out, &in)) {
				most = (size_t)out * RANK > most ? (size_t)out * RANK : most;
				most = (size_t)in * RANK > most ? (size_t)in * RANK : most;
			}
	a.layers = c.layers;
	a.part = calloc((size_t)c.layers, sizeof(*a.part));
	v = malloc(most * sizeof(*v));
	if (!a.part || !v) {
		err_set(e, ERR_MEM, "no memory for an adapter");
		goto out;
	}
	for (size_t i = 0; i < most; i++)
		v[i] = (float)((int)(i * 2654435761u >> 20 & 0xff) - 128) * 1e-4f;
	/* the same values everywhere: only the work counts */
	for (int l = 0; l < c.layers; l++)
		for (int m = 0; m < MODULE_COUNT; m++)
			if (module_shape(&c, l, (enum module)m, &out, &in)) {
				a.part[l][m] = (struct lora_part){ RANK, 1, v, v };
				a.modules++;
			}
	rc = adapter_save(&a, dir, &c, &o, e);
out:
	free(a.part);
	free(v);
	return rc;
}

static int adapter_cost(struct subject *s, int n, struct err *e)
{
	char dir[128];
	struct gpu_adapter a = { dir, 1 };
	double without = 0, with = 0;

	snprintf(dir, sizeof(dir), "%s/adapter-%s", s->b->dir, s->size);
	bench_say(s->b, "the cost of an adapter");
	int rc = make_adapter(s->size, dir, e);
	/* by turns, so that what disturbs one disturbs the other */
	for (int i = 0; i < 2 * s->b->rounds && rc == 0; i++) {
		double rate = 0;
		rc = decode_with(s, i % 2 ? &a : NULL, n, &rate, e);
		*(i % 2 ? &with : &without) = fmax(i % 2 ? with : without, rate);
	}
	if (rc == 0)
		bench_figure(s->b, "inference.decode_with_adapter", with, "1/s", without / 1.05,
		             without, with / without, s->set);
	char name[200];
	snprintf(name, sizeof(name), "%s/adapter_config.json", dir);
	unlink(name);
	snprintf(name, sizeof(name), "%s/adapter_model.safetensors", dir);
	unlink(name);
	rmdir(dir);
	return rc;
}

/* ---- repairs ---- */

/* A stand-in for tokens of code: words with the blank before them, and single other characters. */
static int as_ids(const char *text, int vocabulary, int32_t *out, int cap)
{
	int n = 0;

	for (size_t at = 0; text[at] && n < cap;) {
		size_t len = text[at] == ' ', word = 0;
		uint32_t h = 2166136261u;
		while (text[at + len + word] && (strchr("_.", text[at + len + word]) ||
		                                 ((text[at + len + word] | 32) >= 'a' &&
		                                  (text[at + len + word] | 32) <= 'z')))
			word++;
		len = word ? len + word : 1;
		for (size_t i = 0; i < len; i++)
			h = (h ^ (unsigned char)text[at + i]) * 16777619u;
		out[n++] = (int32_t)(h % (uint32_t)vocabulary);
		at += len;
	}
	return n;
}

/* Every @from of @text becomes @to. */
static void replace(struct buf *text, const char *from, const char *to)
{
	struct buf out = { 0 };
	const char *at = buf_str(text), *hit;

	while (*from && (hit = strstr(at, from))) {
		buf_add(&out, at, (size_t)(hit - at));
		buf_adds(&out, to);
		at = hit + strlen(from);
	}
	buf_adds(&out, at);
	buf_release(text);
	*text = out;
}

/* The ratio of plain to drafted decoding of one pair; NAN when its program is not there. */
static int repair_pair(struct subject *s, const cJSON *pair, double *ratio, struct err *e)
{
	int32_t *ids = malloc(2 * PAIR_IDS_MAX * sizeof(*ids)), *right = ids + PAIR_IDS_MAX;
	struct buf good = { 0 }, broken = { 0 };
	char path[4400];
	const cJSON *c;
	double took[2] = { INFINITY, INFINITY };
	int rc = 0;

	*ratio = NAN;
	snprintf(path, sizeof(path), "%s/cadforge/references/%s", s->b->app.tasks,
	         json_string_or(pair, "program", "?"));
	if (!ids || buf_read_file(&good, path, PAIRS_BYTES_MAX, NULL) < 0)
		goto out;
	buf_add(&broken, buf_str(&good), good.len);
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(pair, "changes")) replace(
		&broken, json_string_or(c, "repaired", ""), json_string_or(c, "broken", ""));
	int n = as_ids(buf_str(&broken), s->vocabulary, ids, PAIR_IDS_MAX);
	int m = as_ids(buf_str(&good), s->vocabulary, right, PAIR_IDS_MAX);
	/* the model's own tokens would be noise: the repair's are forced upon it */
	for (int i = 0; i < 4 && rc == 0; i++) {
		struct gpu_request r = plain(ids, n, 1, m);
		r.forced = right;
		r.n_forced = m;
		r.speculate = i % 2;
		rc = ask(s, &r, e);
		if (rc == 0)
			took[i % 2] = fmin(took[i % 2], s->now.decode_s);
	}
	*ratio = took[0] / took[1];
out:
	buf_release(&good);
	buf_release(&broken);
	free(ids);
	return rc;
}

static int repairs(struct subject *s, struct err *e)
{
	struct buf text = { 0 };
	double ratio[PAIRS_MAX];
	char path[4300];
	const cJSON *pair;
	int n = 0, rc = 0;

	snprintf(path, sizeof(path), "%s/../tests/data/repairs/pairs.json", s->b->app.tasks);
	if (buf_read_file(&text, path, PAIRS_BYTES_MAX, NULL) < 0) {
		bench_say(s->b, "no repairs to measure: tests/data/repairs is not installed");
		return 0;
	}
	bench_say(s->b, "repairs, plain and drafted");
	cJSON *o = json_parse(buf_str(&text), text.len, e);
	cJSON_ArrayForEach(pair, o)
	{
		if (rc < 0 || n == PAIRS_MAX)
			break;
		rc = repair_pair(s, pair, &ratio[n], e);
		n += rc == 0 && !isnan(ratio[n]);
	}
	if (rc == 0 && n > 0) {
		char set[64];
		snprintf(set, sizeof(set), "%d pairs, %s", n, s->size);
		double middle = bench_median(ratio, n);
		bench_figure(s->b, "inference.repair_drafted", middle, "x", 2, 1, middle, set);
		bench_figure(s->b, "inference.repair_drafted_least", ratio[0], "x", NAN, 1,
		             ratio[0], set);
	}
	cJSON_Delete(o);
	buf_release(&text);
	return e->kind ? -1 : 0;
}

/* Prefill's own product beside OpenBLAS' on the shapes that the peer measures. */
static int product_once(struct subject *s, int n, double *rate, struct err *e)
{
	(void)n;
	(void)e;
	*rate = cpu_product_rate(s->threads, s->product[0], s->product[1], s->product[2]) / 1e9;
	return 0;
}

static int products(struct subject *s, struct peer *p, struct err *e)
{
	for (int i = 0; i < p->n; i++) {
		char set[48], name[48];
		struct duel d;
		snprintf(name, sizeof(name), "%s", p->name[i]);
		if (sscanf(name, "sgemm_%dx%dx%d", &s->product[0], &s->product[1],
		           &s->product[2]) != 3)
			continue;
		if (duel(s, p, name, product_once, 0, &d, e) < 0)
			return -1;
		snprintf(set, sizeof(set), "%s", name + strlen("sgemm_"));
		bench_figure(s->b, "inference.prefill_product", d.ours, "GF/s", 0.6 * d.peer,
		             d.peer, d.ratio, set);
	}
	return 0;
}

/* ---- a size ---- */

struct plan {
	const char *size, *dtype;
	enum gpu_backend backend;
	int decode, prefill, group; /* tokens */
	double of_sweep, of_peer;   /* limits; NAN: none */
	bool all;                   /* warm prompt, group, repairs as well */
	bool adapter;               /* what one costs */
};

static int measure(struct bench *b, const struct plan *p, double *decode, struct err *e)
{
	struct subject *s = calloc(1, sizeof(*s));
	struct peer peer = { .n = 0 };
	double sweep = NAN;
	struct duel rate, prefill;
	char text[120];
	int rc = -1;

	if (!s)
		return err_set(e, ERR_MEM, "out of memory");
	snprintf(text, sizeof(text), "%s, %s", p->size, p->dtype);
	bench_say(b, text);
	if (open_subject(s, b, p->size, p->dtype, p->backend, e) < 0)
		goto out;
	peer_begin(&peer, b, s);
	if (gpu_sweep(s->gpu, &sweep, e) < 0 ||
	    duel(s, &peer, "llama_decode", decode_once, p->decode, &rate, e) < 0 ||
	    duel(s, &peer, "llama_prefill_512", prefill_once, p->prefill, &prefill, e) < 0)
		goto out;
	bench_figure(b, "inference.decode", rate.ours, "1/s", p->of_peer * rate.peer, rate.peer,
	             rate.ratio, s->set);
	/* what decoding reads a second, beside what a sweep reads */
	double read = rate.best * s->weight_bytes / 1e9;
	bench_figure(b, "inference.decode_reads", read, "GB/s", p->of_sweep * sweep / 1e9,
	             sweep / 1e9, read / (sweep / 1e9), s->set);
	bench_figure(b, "inference.prefill", prefill.ours, "1/s", 1.3 * prefill.peer, prefill.peer,
	             prefill.ratio, s->set);
	if (products(s, &peer, e) < 0)
		goto out;
	peer_end(&peer);
	if (p->all && (warm_first_token(s, 1 / rate.best, e) < 0 ||
	               group_rate(s, rate.best, p->group, e) < 0))
		goto out;
	if (p->adapter && adapter_cost(s, p->decode, e) < 0)
		goto out;
	if (p->all && p->backend == GPU_CPU && repairs(s, e) < 0)
		goto out;
	*decode = rate.best;
	rc = 0;
out:
	peer_end(&peer);
	gpu_close(s->gpu);
	free(s);
	return rc;
}

int bench_inference(struct bench *b, struct err *e)
{
	static const struct plan plans[] = {
		{ "10m", "f32", GPU_CPU, 512, 512, 64, NAN, 1.2, true, true },
		{ "110m", "f32", GPU_CPU, 64, 512, 16, 0.8, 1.0, false, true },
		{ "110m", "int8", GPU_CPU, 128, 512, 16, NAN, NAN, false, false },
	};
	double rate[3] = { NAN, NAN, NAN };

	for (int i = 0; i < 3; i++)
		if (measure(b, &plans[i], &rate[i], e) < 0)
			return -1;
	bench_figure(b, "inference.decode_int8", rate[2], "1/s", 2.5 * rate[1], rate[1],
	             rate[2] / rate[1], "110m");
	return 0;
}

int bench_gpu(struct bench *b, struct err *e)
{
	static const struct plan plans[] = {
		{ "2b", "bf16", GPU_CUDA, 256, 2048, 1024, 0.8, NAN, false, true },
		{ "9b", "bf16", GPU_CUDA, 256, 2048, 1024, 0.92, NAN, true, true },
	};
	struct err no = { 0 };
	double rate;

	for (int i = 0; i < 2; i++)
		if (measure(b, &plans[i], &rate, &no) < 0) {
			if (no.kind != ERR_LACKS) {
				*e = no;
				return -1;
			}
			app_tell("no figures of a GPU: %s", no.text);
			return 0;
		}
	return 0;
}
