#include "src/paced.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/door.h"
#include "src/base/clock.h"
#include "src/base/json.h"

struct sequence {
	struct sequence *next;
	uint32_t request;
	int index, n, max; /* tokens given, and to be given at most */
	int prompt;
	char *text, *error;
	enum err_kind kind;
	size_t len, at;
	bool endless, over;
	double asked_s, begun_s; /* begun 0: it waits for a slot */
	struct answer answer;
};

struct paced {
	struct gpu gpu;
	struct paced_options o;
	uint32_t last;
	struct sequence *first;
	bool greeted;
	double due_s;     /* end of the step under way; 0: none is */
	double prefill_s; /* that is still to be done */
	cJSON *about;
};

static struct paced *self(struct gpu *g)
{
	return (struct paced *)(void *)g;
}

static void free_sequence(struct sequence *q)
{
	answer_release(&q->answer);
	free(q->text);
	free(q->error);
	free(q);
}

static void sweep(struct paced *p)
{
	for (struct sequence **at = &p->first; *at;) {
		struct sequence *q = *at;
		if (!q->over) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		free_sequence(q);
	}
}

static void end(struct paced *p, struct sequence *q, enum gpu_end how)
{
	static const struct picked stop = {
		.id = PACED_STOP, .logprob = -0.5f, .drawn = -0.5f, .entropy = 0.75f
	};
	double now = clock_now_s();
	struct gpu_done d = {
		.end = how,
		.stop = how == GPU_STOP ? &stop : NULL,
		.prompt_tokens = q->prompt,
		.cached_tokens = q->index > 0 ? q->prompt : 0,
		.drafted = 0,
		.accepted = 0,
		.wait_s = (q->begun_s > 0 ? q->begun_s : now) - q->asked_s,
		.prefill_s = 0,
		.decode_s = q->begun_s > 0 ? now - q->begun_s : 0,
		.error = how == GPU_ERROR ? q->error : NULL,
		.kind = how == GPU_ERROR ? q->kind : ERR_NONE,
	};

	q->over = true;
	answer_end(&q->answer, &p->gpu.ops, &d);
}

static void give_token(struct paced *p, struct sequence *q)
{
	const struct picked t = {
		.id = 16 + q->n, .logprob = -0.5f, .drawn = -0.5f, .entropy = 0.75f
	};

	if (q->error) {
		end(p, q, GPU_ERROR);
		return;
	}
	if (q->at == q->len && q->endless && q->len > 0)
		q->at = 0;
	if (q->at == q->len) {
		end(p, q, GPU_STOP);
		return;
	}
	size_t n = q->len - q->at < PACED_TOKEN_BYTES ? q->len - q->at : PACED_TOKEN_BYTES;
	answer_token(&q->answer, &p->gpu.ops, q->n, &t, q->text + q->at, n);
	q->at += n;
	if (++q->n >= q->max)
		end(p, q, GPU_LENGTH);
}

/* Those that have a slot now; how many. */
static int begin(struct paced *p, double now)
{
	int n = 0;

	for (struct sequence *q = p->first; q; q = q->next)
		n += q->begun_s > 0 && !q->over;
	for (struct sequence *q = p->first; q && (n < p->o.slots || p->o.slots == 0); q = q->next)
		if (!(q->begun_s > 0) && !q->over) {
			q->begun_s = now;
			n++;
		}
	return n;
}

static int paced_step(struct gpu *g, struct err *e)
{
	struct paced *p = self(g);
	double now = clock_now_s();

	(void)e;
	if (!p->greeted) {
		p->greeted = true;
		if (g->ops.ready)
			g->ops.ready(g->ops.ctx, p->about);
	}
	for (;;) {
		if (p->due_s > 0) {
			if (now < p->due_s)
				break;
			/* callbacks may ask: who came meanwhile has no slot yet */
			for (struct sequence *q = p->first; q; q = q->next)
				if (q->begun_s > 0 && !q->over)
					give_token(p, q);
			sweep(p);
		}
		int n = begin(p, now);
		if (n == 0) {
			p->due_s = 0;
			break;
		}
		p->due_s = (p->due_s > 0 ? p->due_s : now) + p->o.step_s + n * p->o.sequence_s +
		           p->prefill_s;
		p->prefill_s = 0;
	}
	return 0;
}

static int paced_generate(struct gpu *g, const struct gpu_request *r, uint32_t *request,
                          struct err *e)
{
	struct paced *p = self(g);
	struct sequence *first = NULL, **last = &first;
	char *prompt = r->messages ? cJSON_PrintUnformatted(r->messages) : NULL;
	int tokens = prompt ? (int)(strlen(prompt) / PACED_TOKEN_BYTES) : r->n_ids;

	free(prompt);
	for (int i = 0; i < r->n; i++) {
		struct paced_answer a = { 0 };
		struct sequence *q = calloc(1, sizeof(*q));
		if (!q)
			goto no_memory;
		*last = q;
		last = &q->next;
		p->o.answer(p->o.ctx, r, i, &a);
		q->request = p->last + 1;
		q->index = i;
		q->max = r->max_tokens > 0 ? r->max_tokens : 4096;
		q->prompt = tokens;
		q->len = a.len;
		q->endless = a.endless;
		q->kind = a.kind;
		q->asked_s = clock_now_s();
		answer_begin(&q->answer, q->request, i, false);
		q->text = malloc(a.len + 1);
		q->error = a.error ? strdup(a.error) : NULL;
		if (!q->text || (a.error && !q->error))
			goto no_memory;
		if (a.len > 0)
			memcpy(q->text, a.text, a.len);
	}
	if (p->o.prefill_per_s > 0)
		p->prefill_s += tokens / p->o.prefill_per_s;
	struct sequence **at = &p->first;
	while (*at)
		at = &(*at)->next;
	*at = first;
	*request = ++p->last;
	return 0;
no_memory:
	while (first) {
		struct sequence *q = first;
		first = q->next;
		free_sequence(q);
	}
	return err_set(e, ERR_MEM, "no memory for %d answers", r->n);
}

static void paced_cancel(struct gpu *g, uint32_t request, int sequence)
{
	struct paced *p = self(g);

	for (struct sequence *q = p->first; q; q = q->next)
		if (q->request == request && !q->over && (sequence < 0 || q->index == sequence))
			end(p, q, GPU_CANCELLED);
}

static const cJSON *paced_about(struct gpu *g, int (*tick)(void *ctx), void *ctx, struct err *e)
{
	(void)tick;
	(void)ctx;
	(void)e;
	return self(g)->about;
}

static int paced_poll_fds(struct gpu *g, struct pollfd *out, int cap)
{
	(void)g;
	(void)out;
	(void)cap;
	return 0;
}

static int paced_timeout_ms(struct gpu *g)
{
	const struct paced *p = self(g);
	double left;

	if (!p->greeted)
		return 0;
	if (!p->first)
		return -1;
	left = p->due_s > 0 ? p->due_s - clock_now_s() : 0;
	return left > 0 ? (int)ceil(left * 1e3) : 0;
}

static int paced_busy(const struct gpu *g)
{
	const struct paced *p = (const struct paced *)(const void *)g;
	int n = 0;

	for (const struct sequence *q = p->first; q; q = q->next)
		n += !q->over;
	return n;
}

static void paced_close(struct gpu *g)
{
	struct paced *p = self(g);

	while (p->first) {
		struct sequence *q = p->first;
		p->first = q->next;
		free_sequence(q);
	}
	cJSON_Delete(p->about);
	free(p);
}

struct gpu *paced_open(const struct paced_options *o, const struct gpu_ops *ops, struct err *e)
{
	static const struct door door = {
		.name = "paced",
		.close = paced_close,
		.generate = paced_generate,
		.cancel = paced_cancel,
		.no_logits = "a paced engine has no logits",
		.about = paced_about,
		.no_sweep = "a paced engine reads nothing",
		.poll_fds = paced_poll_fds,
		.timeout_ms = paced_timeout_ms,
		.step = paced_step,
		.busy = paced_busy,
	};
	struct paced *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	p->gpu = (struct gpu){ .door = &door, .ops = *ops };
	p->o = *o;
	p->about = cJSON_CreateObject();
	cJSON_AddStringToObject(p->about, "program", "paced");
	cJSON_AddStringToObject(p->about, "backend", "paced");
	cJSON_AddStringToObject(p->about, "device", o->device ? o->device : "none, paced");
	return &p->gpu;
}
