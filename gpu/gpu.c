#include "gpu/gpu.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gpu/door.h"
#include "gpu/lora.h"
#include "gpu/wire.h"

extern char **environ;

const char *gpu_end_name(enum gpu_end end)
{
	static const char *const names[] = { "stop", "length", "cancelled", "error" };

	return names[end];
}

struct gpu *gpu_open(const struct gpu_options *o, const struct gpu_ops *ops, struct err *e)
{
	if (!o->model || !*o->model) {
		err_set(e, ERR_USAGE, "no model was named");
		return NULL;
	}
	return remote_address(o->model) ? remote_open(o, ops, e) : client_open(o, ops, e);
}

void gpu_close(struct gpu *g)
{
	if (g)
		g->door->close(g);
}

static int check(const struct gpu_request *r, struct err *e)
{
	const struct sampling *s = &r->sampling;

	if ((r->messages != NULL) + (r->text != NULL) + (r->ids != NULL) != 1)
		return err_set(e, ERR_USAGE,
		               "a prompt is messages, or text, or ids: exactly one of them");
	if (r->ids && r->n_ids < 1)
		return err_set(e, ERR_USAGE, "a prompt of no ids");
	if (r->n < 1 || r->n > INFER_SEQUENCES_MAX)
		return err_set(e, ERR_USAGE, "1 to %d answers to a prompt, not %d",
		               INFER_SEQUENCES_MAX, r->n);
	if (r->n_adapters < 0 || r->n_adapters > LORA_BLEND_MAX)
		return err_set(e, ERR_USAGE, "at most %d adapters are blended, not %d",
		               LORA_BLEND_MAX, r->n_adapters);
	if (r->n_stop < 0 || r->n_stop > INFER_STOPS_MAX)
		return err_set(e, ERR_USAGE, "at most %d stop texts, not %d", INFER_STOPS_MAX,
		               r->n_stop);
	for (int i = 0; i < r->n_stop; i++)
		if (!*r->stop[i])
			return err_set(e, ERR_USAGE, "an empty stop text");
	if (r->max_tokens < 0)
		return err_set(e, ERR_USAGE, "max_tokens: %d", r->max_tokens);
	if (!(s->temperature >= 0 && s->temperature <= 100))
		return err_set(e, ERR_USAGE, "temperature: 0 to 100, not %g", s->temperature);
	if (!(s->top_p > 0 && s->top_p <= 1))
		return err_set(e, ERR_USAGE, "top_p: above 0, at most 1, not %g", s->top_p);
	if (!(s->min_p >= 0 && s->min_p < 1))
		return err_set(e, ERR_USAGE, "min_p: 0 to below 1, not %g", s->min_p);
	if (s->top_k < 0)
		return err_set(e, ERR_USAGE, "top_k: %d", s->top_k);
	if (s->top < 0 || s->top > SAMPLER_TOP_MAX)
		return err_set(e, ERR_USAGE, "alternatives: 0 to %d, not %d", SAMPLER_TOP_MAX,
		               s->top);
	if (!(s->repetition > 0) || !isfinite(s->repetition) || !isfinite(s->presence) ||
	    !isfinite(s->frequency))
		return err_set(e, ERR_USAGE, "penalties are numbers, repetition above 0");
	return 0;
}

void gpu_sampling_add(cJSON *o, const struct sampling *s)
{
	char seed[24];

	cJSON_AddNumberToObject(o, "temperature", (double)s->temperature);
	cJSON_AddNumberToObject(o, "top_p", (double)s->top_p);
	cJSON_AddNumberToObject(o, "top_k", s->top_k);
	cJSON_AddNumberToObject(o, "min_p", (double)s->min_p);
	cJSON_AddNumberToObject(o, "presence", (double)s->presence);
	cJSON_AddNumberToObject(o, "frequency", (double)s->frequency);
	cJSON_AddNumberToObject(o, "repetition", (double)s->repetition);
	/* all of its 64 bits, which a number of JSON does not hold */
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)s->seed);
	cJSON_AddStringToObject(o, "seed", seed);
	cJSON_AddNumberToObject(o, "top", s->top);
}

int gpu_generate(struct gpu *g, const struct gpu_request *r, uint32_t *request, struct err *e)
{
	return check(r, e) < 0 ? -1 : g->door->generate(g, r, request, e);
}

void gpu_cancel(struct gpu *g, uint32_t request, int sequence)
{
	g->door->cancel(g, request, sequence);
}

const cJSON *gpu_about(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e)
{
	return g->door->about(g, tick, ctx, e);
}

int gpu_sweep(struct gpu *g, double *bytes_per_s, struct err *e)
{
	if (!g->door->sweep)
		return err_set(e, ERR_LACKS, "%s", g->door->no_sweep);
	return g->door->sweep(g, bytes_per_s, e);
}

int gpu_logits(struct gpu *g, const int32_t *ids, int n, const struct gpu_adapter *adapter,
               int n_adapters, float **out, int *vocabulary, struct err *e)
{
	if (n < 1)
		return err_set(e, ERR_USAGE, "no ids");
	if (n_adapters < 0 || n_adapters > LORA_BLEND_MAX)
		return err_set(e, ERR_USAGE, "at most %d adapters are blended, not %d",
		               LORA_BLEND_MAX, n_adapters);
	if (!g->door->logits)
		return err_set(e, ERR_LACKS, "%s", g->door->no_logits);
	return g->door->logits(g, ids, n, adapter, n_adapters, out, vocabulary, e);
}

int gpu_poll_fds(struct gpu *g, struct pollfd *out, int cap)
{
	return g->door->poll_fds(g, out, cap);
}

int gpu_timeout_ms(struct gpu *g)
{
	return g->door->timeout_ms(g);
}

int gpu_step(struct gpu *g, struct err *e)
{
	return g->door->step(g, e);
}

int gpu_busy(const struct gpu *g)
{
	return g->door->busy(g);
}

const char *gpu_top_text(const struct gpu *g, int i)
{
	return i >= 0 && i < g->n_top_text ? g->top_text[i] : "";
}

void door_top_text(struct gpu *g, int i, const char *text, size_t len)
{
	size_t n = len < GPU_TOP_TEXT - 1 ? len : GPU_TOP_TEXT - 1;

	while (n > 0 && n < len && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	memcpy(g->top_text[i], text, n);
	g->top_text[i][n] = '\0';
	g->n_top_text = i + 1;
}

void door_environment(const char *out[DOOR_ENV_MAX + 1])
{
	static const char *const wanted[] = {
		"CUDA_",         "NVIDIA_",       "LD_LIBRARY_PATH=", "HOME=",        "TMPDIR=",
		"ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=",   "CADFORGE_CPU", "OPENBLAS_"
	};
	int n = 0;

	for (char **v = environ; v && *v && n < DOOR_ENV_MAX; v++)
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
			if (strncmp(*v, wanted[i], strlen(wanted[i])) == 0) {
				out[n++] = *v;
				break;
			}
	out[n] = NULL;
}

enum err_kind door_error_kind(const char *name)
{
	static const struct {
		const char *name;
		enum err_kind kind;
	} kinds[] = { { "usage", ERR_USAGE }, { "input", ERR_INPUT }, { "memory", ERR_MEM },
		      { "lacks", ERR_LACKS }, { "lost", ERR_LOST },   { "io", ERR_IO } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].kind;
	return ERR_IO;
}

int door_turn(struct gpu *g, int ms, struct err *e)
{
	struct pollfd fd[80];
	int n = gpu_poll_fds(g, fd, 80), own = gpu_timeout_ms(g);

	if (own >= 0 && own < ms)
		ms = own;
	if (poll(fd, (nfds_t)n, ms) < 0 && errno != EINTR)
		return err_errno(e, ERR_IO, "poll");
	return gpu_step(g, e);
}

int gpu_wait(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e)
{
	enum { TICK_MS = 100 };

	while (gpu_busy(g) > 0) {
		if (tick && tick(ctx))
			return err_set(e, ERR_CANCELLED, "interrupted");
		if (door_turn(g, TICK_MS, e) < 0)
			return -1;
	}
	return 0;
}
