#include "gpu/policy_wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/train_wire.h"
#include "gpu/wire.h"
#include "src/base/json.h"

enum { HEAD_BYTES = 20 }; /* of an answer */

/* ---- out ---- */

static int check(const struct policy_sample *v, int n, struct err *e)
{
	if (n < 0 || n > POLICY_ANSWERS_MAX)
		return err_set(e, ERR_INPUT, "%d answers in a step: at most %d", n,
		               POLICY_ANSWERS_MAX);
	for (int a = 0; a < n; a++) {
		if (v[a].n < 1 || !v[a].id || !v[a].messages)
			return err_set(e, ERR_INPUT, "answer %d has no %s", a + 1,
			               v[a].messages ? "tokens" : "prompt");
		if (!isfinite(v[a].advantage))
			return err_set(e, ERR_INPUT, "answer %d: its advantage is no number (%g)",
			               a + 1, v[a].advantage);
		for (int i = 0; v[a].drawn && i < v[a].n; i++)
			if (!isfinite(v[a].drawn[i]))
				return err_set(e, ERR_INPUT,
				               "answer %d, token %d: the log-probability with "
				               "which it was drawn is no number (%g)",
				               a + 1, i + 1, (double)v[a].drawn[i]);
	}
	return 0;
}

static void add32(struct buf *out, uint32_t v)
{
	unsigned char b[4];

	wire_put32(b, v);
	buf_add(out, b, sizeof(b));
}

static void add_answer(struct buf *out, const struct policy_sample *a, int prompt)
{
	uint64_t bits;

	memcpy(&bits, &a->advantage, sizeof(bits));
	add32(out, (uint32_t)prompt);
	add32(out, (uint32_t)a->n);
	add32(out, a->drawn != NULL);
	add32(out, (uint32_t)bits);
	add32(out, (uint32_t)(bits >> 32));
	for (int i = 0; i < a->n; i++)
		add32(out, (uint32_t)a->id[i]);
	for (int i = 0; a->drawn && i < a->n; i++) {
		unsigned char b[4];
		wire_put_float(b, a->drawn[i]);
		buf_add(out, b, sizeof(b));
	}
}

/* The number of @v[a]'s prompt: that of an answer before it which has the same. */
static int prompt_of(const struct policy_sample *v, const int *prompt, int a)
{
	/* those of a group stand side by side */
	for (int i = a - 1; i >= 0; i--)
		if (v[i].messages == v[a].messages)
			return prompt[i];
	return -1;
}

int policy_frame(struct buf *out, int64_t step, const struct policy_sample *v, int n,
                 const cJSON *state, bool checkpoint, struct err *e)
{
	if (check(v, n, e) < 0)
		return -1;
	int *prompt = malloc((size_t)(n > 0 ? n : 1) * sizeof(*prompt));
	cJSON *o = cJSON_CreateObject(), *prompts = cJSON_AddArrayToObject(o, "prompts");
	struct buf text = { 0 }, blob = { 0 };
	int rc = 0;

	cJSON_AddNumberToObject(o, "step", (double)step);
	cJSON_AddBoolToObject(o, "checkpoint", checkpoint);
	cJSON_AddItemToObject(o, "state",
	                      state ? cJSON_Duplicate(state, true) : cJSON_CreateNull());
	for (int a = 0, next = 0; a < n && prompt; a++) {
		prompt[a] = prompt_of(v, prompt, a);
		if (prompt[a] < 0) {
			prompt[a] = next++;
			cJSON_AddItemToArray(prompts, cJSON_Duplicate(v[a].messages, true));
		}
		add_answer(&blob, &v[a], prompt[a]);
	}
	json_print(&text, o);
	if (!prompt || buf_failed(&text) || buf_failed(&blob))
		rc = err_set(e, ERR_MEM, "no memory for %d answers", n);
	else if (text.len > TRAIN_JSON_MAX || blob.len > FRAME_BLOB_MAX)
		rc = err_set(e, ERR_INPUT,
		             "step %lld: prompts of %zu bytes and answers of %zu are more than one "
		             "message takes (%d and %u): smaller groups, or fewer prompts a step",
		             (long long)step, text.len, blob.len, TRAIN_JSON_MAX, FRAME_BLOB_MAX);
	else
		frame_append(out, TRAIN_LEARN, 0, text.data, text.len, buf_str(&blob), blob.len);
	if (rc == 0 && buf_failed(out))
		rc = err_set(e, ERR_MEM, "no memory for %d answers", n);
	buf_release(&blob);
	buf_release(&text);
	cJSON_Delete(o);
	free(prompt);
	return rc;
}

/* ---- in ---- */

static int strange(struct err *e, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "a step to be learnt: %s", what);
}

/* How many answers and tokens there are; whether the bytes are what they say. */
static int measure(struct policy_batch *b, const unsigned char *p, size_t left, struct err *e)
{
	int prompts = cJSON_GetArraySize(b->prompts);

	while (left > 0) {
		if (left < HEAD_BYTES)
			return strange(e, "half an answer");
		uint32_t prompt = wire_get32(p), n = wire_get32(p + 4), drawn = wire_get32(p + 8);
		if (prompt >= (uint32_t)prompts || drawn > 1 || n < 1 || n > POLICY_TOKENS_MAX)
			return strange(e, "an answer of no prompt, or without tokens");
		size_t bytes = HEAD_BYTES + (size_t)n * (drawn ? 8 : 4);
		if (left < bytes)
			return strange(e, "an answer cut off");
		p += bytes;
		left -= bytes;
		b->tokens += n;
		if (++b->n > POLICY_ANSWERS_MAX)
			return strange(e, "too many answers");
	}
	return 0;
}

static void take(struct policy_batch *b, const unsigned char *p)
{
	int64_t at = 0;

	for (int a = 0; a < b->n; a++) {
		struct policy_item *x = &b->item[a];
		uint64_t bits = wire_get32(p + 12) | (uint64_t)wire_get32(p + 16) << 32;
		*x = (struct policy_item){ .prompt = (int)wire_get32(p),
			                   .n = (int)wire_get32(p + 4),
			                   .has_drawn = wire_get32(p + 8) != 0,
			                   .at = at };
		memcpy(&x->advantage, &bits, sizeof(bits));
		p += HEAD_BYTES;
		for (int i = 0; i < x->n; i++, p += 4)
			b->id[at + i] = (int32_t)wire_get32(p);
		for (int i = 0; x->has_drawn && i < x->n; i++, p += 4)
			b->drawn[at + i] = wire_get_float(p);
		at += x->n;
	}
}

int policy_batch_read(struct policy_batch *b, const struct frame *f, struct err *e)
{
	double step;

	*b = (struct policy_batch){ 0 };
	if (!(b->json = json_parse(f->json, f->json_len, e)))
		return -1;
	b->prompts = cJSON_GetObjectItemCaseSensitive(b->json, "prompts");
	b->state = cJSON_GetObjectItemCaseSensitive(b->json, "state");
	b->state = cJSON_IsNull(b->state) ? NULL : b->state;
	b->checkpoint = json_bool_or(b->json, "checkpoint", false);
	if (!cJSON_IsArray(b->prompts) || json_get_number(b->json, "step", &step, e) < 0 ||
	    !(step >= 0 && step < 1e15) || (b->state && !cJSON_IsObject(b->state))) {
		strange(e, "prompts, a step and perhaps a state were expected");
		goto fail;
	}
	b->step = (int64_t)step;
	if (measure(b, f->blob, f->blob_len, e) < 0)
		goto fail;
	b->item = calloc((size_t)b->n + 1, sizeof(*b->item));
	b->id = calloc((size_t)b->tokens + 1, sizeof(*b->id));
	b->drawn = calloc((size_t)b->tokens + 1, sizeof(*b->drawn));
	if (!b->item || !b->id || !b->drawn) {
		err_set(e, ERR_MEM, "no memory for %d answers", b->n);
		goto fail;
	}
	take(b, f->blob);
	return 0;
fail:
	policy_batch_release(b);
	return -1;
}

void policy_batch_release(struct policy_batch *b)
{
	cJSON_Delete(b->json);
	free(b->item);
	free(b->id);
	free(b->drawn);
	*b = (struct policy_batch){ 0 };
}
