#include <math.h>
#include <string.h>

#include "gpu/door.h"

void answer_begin(struct answer *a, uint32_t request, int sequence, bool in_thought)
{
	*a = (struct answer){
		.request = request, .sequence = sequence, .ids_known = true, .logprobs_known = true
	};
	think_begin(&a->think, in_thought);
}

void answer_release(struct answer *a)
{
	think_release(&a->think);
	buf_release(&a->text);
	buf_release(&a->thought);
	buf_release(&a->ids);
	buf_release(&a->logprobs);
	*a = (struct answer){ .over = true };
}

/* What has come to either part since it had @text and @thought bytes. */
static void tell(struct answer *a, const struct gpu_ops *ops, int index, const struct picked *p,
                 size_t text, size_t thought)
{
	size_t t = a->text.len - text, h = a->thought.len - thought;

	if (!ops->token)
		return;
	if (h > 0)
		ops->token(ops->ctx, a->request, a->sequence, index, p, true,
		           a->thought.data + thought, h);
	if (t > 0 || h == 0)
		ops->token(ops->ctx, a->request, a->sequence, index, h > 0 ? NULL : p,
		           t == 0 && a->think.at == THINK_IN, t ? a->text.data + text : "", t);
}

void answer_token(struct answer *a, const struct gpu_ops *ops, int index, const struct picked *p,
                  const char *text, size_t len)
{
	size_t t = a->text.len, h = a->thought.len;

	think_feed(&a->think, text, len, &a->thought, &a->text);
	if (p) {
		int32_t id = p->id;
		float v = p->logprob;
		a->ids_known = a->ids_known && id >= 0;
		a->logprobs_known = a->logprobs_known && isfinite(v);
		buf_add(&a->ids, &id, sizeof(id));
		buf_add(&a->logprobs, &v, sizeof(v));
		a->n++;
	} else {
		a->ids_known = a->logprobs_known = false;
	}
	if (p || a->text.len > t || a->thought.len > h)
		tell(a, ops, index, p, t, h);
}

void answer_rest(struct answer *a, const struct gpu_ops *ops, const char *text, size_t len)
{
	size_t t = a->text.len, h = a->thought.len;

	think_feed(&a->think, text, len, &a->thought, &a->text);
	if (a->text.len > t || a->thought.len > h)
		tell(a, ops, a->n, NULL, t, h);
}

void answer_thought(struct answer *a, const struct gpu_ops *ops, const char *text, size_t len)
{
	size_t h = a->thought.len;

	buf_add(&a->thought, text, len);
	a->ids_known = a->logprobs_known = false;
	tell(a, ops, 0, NULL, a->text.len, h);
}

void answer_end(struct answer *a, const struct gpu_ops *ops, struct gpu_done *d)
{
	size_t t = a->text.len, h = a->thought.len, from = 0, to;

	if (a->over)
		return;
	think_end(&a->think, &a->thought, &a->text);
	if (a->text.len > t || a->thought.len > h)
		tell(a, ops, a->n, NULL, t, h);
	to = a->thought.len;
	while (from < to && a->thought.data[from] == '\n')
		from++;
	while (to > from && a->thought.data[to - 1] == '\n')
		a->thought.data[--to] = '\0';
	d->text = buf_str(&a->text);
	d->text_len = a->text.len;
	d->thinking = buf_str(&a->thought) + from;
	if (!d->ids) {
		d->ids = a->ids_known && a->n ? (const int32_t *)(const void *)a->ids.data : NULL;
		d->n = a->n;
	}
	d->logprobs = a->logprobs_known && d->n > 0 && d->n <= a->n
	                      ? (const float *)(const void *)a->logprobs.data
	                      : NULL;
	if (buf_failed(&a->text) || buf_failed(&a->thought) || buf_failed(&a->ids) ||
	    buf_failed(&a->logprobs)) {
		d->end = GPU_ERROR;
		d->kind = ERR_MEM;
		d->error = "no memory for the answer";
	}
	a->over = true;
	if (ops->done)
		ops->done(ops->ctx, a->request, a->sequence, d);
}

void answer_fail(struct answer *a, const struct gpu_ops *ops, enum gpu_end end,
                 const struct err *why)
{
	struct gpu_done d = {
		.end = end,
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

	answer_end(a, ops, &d);
}
