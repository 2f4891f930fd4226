/*
 * drawing_told.c - what an engine told, as bytes, and told again:
 *
 * 'T' u32 sequence, i32 index, u8 flags (1: a token, 2: in thought), of a token i32 id, f32
 * logprob, drawn, entropy, u8 alternatives, each i32 id, f32 logprob, u8 length, text; u32 length,
 * text. 'D' u32 sequence, u32 length, JSON of figures, u32 length, text, u32 length, thinking, u32
 * ids, i32 each, u32 log-probabilities, f32 each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/door.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/drawing.h"
#include "src/job.h"

enum { TEXT_BYTES_MAX = 64 << 20, PACKED_MAX = 250 << 20 };

static void put32(struct buf *out, uint32_t v)
{
	unsigned char b[4];

	wire_put32(b, v);
	buf_add(out, b, 4);
}

static void put_float(struct buf *out, float v)
{
	unsigned char b[4];

	wire_put_float(b, v);
	buf_add(out, b, 4);
}

static void put_text(struct buf *out, const char *text, size_t len)
{
	put32(out, (uint32_t)len);
	buf_add(out, text, len);
}

void drawing_tell_token(struct buf *out, const struct gpu *g, int sequence, int index,
                        const struct picked *p, bool in_thought, const char *text, size_t len)
{
	buf_addc(out, 'T');
	put32(out, (uint32_t)sequence);
	put32(out, (uint32_t)index);
	buf_addc(out, (char)((p ? 1 : 0) | (in_thought ? 2 : 0)));
	if (p) {
		put32(out, (uint32_t)p->id);
		put_float(out, p->logprob);
		put_float(out, p->drawn);
		put_float(out, p->entropy);
		buf_addc(out, (char)p->n_top);
		for (int i = 0; i < p->n_top; i++) {
			const char *top = gpu_top_text(g, i);
			put32(out, (uint32_t)p->top[i].id);
			put_float(out, p->top[i].logprob);
			buf_addc(out, (char)strlen(top));
			buf_adds(out, top);
		}
	}
	put_text(out, text, len);
}

void drawing_tell_done(struct buf *out, int sequence, const struct gpu_done *d)
{
	cJSON *o = cJSON_CreateObject();
	struct buf line = { 0 };
	const char *thinking = d->thinking ? d->thinking : "";
	int n = d->ids ? d->n : 0, n_logprobs = d->logprobs ? d->n : 0;

	cJSON_AddNumberToObject(o, "end", d->end);
	cJSON_AddNumberToObject(o, "n", d->n);
	cJSON_AddNumberToObject(o, "prompt_tokens", d->prompt_tokens);
	cJSON_AddNumberToObject(o, "cached_tokens", d->cached_tokens);
	cJSON_AddNumberToObject(o, "drafted", d->drafted);
	cJSON_AddNumberToObject(o, "accepted", d->accepted);
	json_add_figure(o, "wait_s", d->wait_s);
	json_add_figure(o, "prefill_s", d->prefill_s);
	json_add_figure(o, "decode_s", d->decode_s);
	json_add_text(o, "adapter_hash", d->adapter_hash);
	if (d->stop) {
		cJSON *s = cJSON_AddObjectToObject(o, "stop");
		cJSON_AddNumberToObject(s, "id", d->stop->id);
		json_add_figure(s, "logprob", (double)d->stop->logprob);
		json_add_figure(s, "drawn", (double)d->stop->drawn);
		json_add_figure(s, "entropy", (double)d->stop->entropy);
	}
	json_print(&line, o);
	cJSON_Delete(o);
	buf_addc(out, 'D');
	put32(out, (uint32_t)sequence);
	put_text(out, buf_str(&line), line.len);
	if (buf_failed(&line))
		out->failed = true;
	buf_release(&line);
	put_text(out, d->text, d->text_len);
	put_text(out, thinking, strlen(thinking));
	put32(out, (uint32_t)n);
	for (int i = 0; i < n; i++)
		put32(out, (uint32_t)d->ids[i]);
	put32(out, (uint32_t)n_logprobs);
	for (int i = 0; i < n_logprobs; i++)
		put_float(out, d->logprobs[i]);
}

int drawing_pack(struct buf *out, const struct buf *told, struct err *e)
{
	return job_pack(out, told, e);
}

/* ---- and again ---- */

struct tape {
	const unsigned char *at, *end;
	struct gpu *g;
	const struct drawing_ears *to; /* NULL: it is looked through alone */
	int n;
	bool over[INFER_SEQUENCES_MAX];
};

static uint32_t get32(struct tape *t, bool *bad)
{
	uint32_t v = 0;

	if (t->end - t->at < 4) {
		*bad = true;
		return 0;
	}
	v = wire_get32(t->at);
	t->at += 4;
	return v;
}

static float get_float(struct tape *t, bool *bad)
{
	float v = NAN;

	if (t->end - t->at < 4) {
		*bad = true;
		return v;
	}
	v = wire_get_float(t->at);
	t->at += 4;
	return v;
}

static unsigned get8(struct tape *t, bool *bad)
{
	if (t->end == t->at) {
		*bad = true;
		return 0;
	}
	return *t->at++;
}

static const char *get_bytes(struct tape *t, size_t n, bool *bad)
{
	const char *p = (const char *)t->at;

	if ((size_t)(t->end - t->at) < n) {
		*bad = true;
		return "";
	}
	t->at += n;
	return p;
}

static const char *get_text(struct tape *t, size_t *len, bool *bad)
{
	size_t n = get32(t, bad), at;
	const char *p = n <= TEXT_BYTES_MAX ? get_bytes(t, n, bad) : "";

	*bad = *bad || n > TEXT_BYTES_MAX || !utf8_valid(p, n, &at);
	*len = *bad ? 0 : n;
	return *bad ? "" : p;
}

static int get_sequence(struct tape *t, bool *bad)
{
	uint32_t v = get32(t, bad);

	*bad = *bad || v >= (uint32_t)t->n || (!t->to && t->over[v]);
	return *bad ? 0 : (int)v;
}

static bool token_again(struct tape *t)
{
	struct picked p = { .n_top = 0 };
	bool bad = false;
	size_t len;
	int sequence = get_sequence(t, &bad), index = (int)get32(t, &bad);
	unsigned flags = get8(t, &bad);

	bad = bad || flags > 3;
	if (!bad && (flags & 1)) {
		p.id = (int32_t)get32(t, &bad);
		p.logprob = get_float(t, &bad);
		p.drawn = get_float(t, &bad);
		p.entropy = get_float(t, &bad);
		p.n_top = (int)get8(t, &bad);
		if (bad || p.id < -1 || p.n_top > SAMPLER_TOP_MAX)
			return false;
		t->g->n_top_text = 0;
		for (int i = 0; i < p.n_top; i++) {
			p.top[i].id = (int32_t)get32(t, &bad);
			p.top[i].logprob = get_float(t, &bad);
			size_t n = get8(t, &bad), at;
			const char *text = get_bytes(t, n, &bad);
			if (bad || !utf8_valid(text, n, &at))
				return false;
			door_top_text(t->g, i, text, n);
		}
	}
	const char *text = get_text(t, &len, &bad);
	if (bad)
		return false;
	if (t->to && !t->over[sequence] &&
	    !t->to->token(t->to->ctx, sequence, index, flags & 1 ? &p : NULL, flags & 2, text, len))
		t->over[sequence] = true;
	return true;
}

/* A copy that ends with a zero. */
static char *text_of(const char *p, size_t n)
{
	char *v = malloc(n + 1);

	if (v) {
		memcpy(v, p, n);
		v[n] = '\0';
	}
	return v;
}

static int count(const cJSON *o, const char *key)
{
	double v = json_number_or(o, key, -1);

	return v >= 0 && v <= INFER_IDS_MAX ? (int)v : -1;
}

static void read_figures(struct gpu_done *d, struct picked *stop, const cJSON *o)
{
	const cJSON *s = cJSON_GetObjectItemCaseSensitive(o, "stop");

	d->prompt_tokens = count(o, "prompt_tokens");
	d->cached_tokens = count(o, "cached_tokens");
	d->drafted = count(o, "drafted");
	d->accepted = count(o, "accepted");
	d->wait_s = json_number_or(o, "wait_s", NAN);
	d->prefill_s = json_number_or(o, "prefill_s", NAN);
	d->decode_s = json_number_or(o, "decode_s", NAN);
	const char *hash = json_string_or(o, "adapter_hash", NULL);
	d->adapter_hash = hash && strlen(hash) == SHA256_HEX - 1 &&
	                                  strspn(hash, "0123456789abcdef") == SHA256_HEX - 1
	                          ? hash
	                          : NULL;
	if (!s)
		return;
	*stop = (struct picked){
		.id = count(s, "id"),
		.logprob = (float)json_number_or(s, "logprob", NAN),
		.drawn = (float)json_number_or(s, "drawn", NAN),
		.entropy = (float)json_number_or(s, "entropy", NAN),
	};
	d->stop = stop->id >= 0 ? stop : NULL;
}

static bool done_again(struct tape *t)
{
	bool bad = false, good = false;
	size_t line_len, text_len, thought_len;
	int sequence = get_sequence(t, &bad);
	const char *line = get_text(t, &line_len, &bad), *text = get_text(t, &text_len, &bad),
		   *thought = get_text(t, &thought_len, &bad);
	uint32_t n_ids = get32(t, &bad);
	const unsigned char *ids = (const unsigned char *)get_bytes(t, 4 * (size_t)n_ids, &bad);
	uint32_t n_logprobs = get32(t, &bad);
	const unsigned char *logprobs =
		(const unsigned char *)get_bytes(t, 4 * (size_t)n_logprobs, &bad);
	cJSON *o = bad ? NULL : json_parse_bounded(line, line_len, 100, NULL);
	int end = count(o, "end"), n = count(o, "n");
	struct picked stop = { .id = -1 };
	struct gpu_done d = { .n = n };

	if (!o || end < GPU_STOP || end > GPU_LENGTH || n < 0 || (n_ids && (int)n_ids != n) ||
	    (n_logprobs && (int)n_logprobs != n)) {
		cJSON_Delete(o);
		return false;
	}
	char *whole = text_of(text, text_len), *thinking = text_of(thought, thought_len);
	int32_t *id = malloc(((size_t)n_ids + 1) * sizeof(*id));
	float *logprob = malloc(((size_t)n_logprobs + 1) * sizeof(*logprob));
	if (whole && thinking && id && logprob) {
		for (uint32_t i = 0; i < n_ids; i++)
			id[i] = (int32_t)wire_get32(ids + 4 * (size_t)i);
		for (uint32_t i = 0; i < n_logprobs; i++)
			logprob[i] = wire_get_float(logprobs + 4 * (size_t)i);
		d.end = (enum gpu_end)end;
		d.text = whole;
		d.text_len = text_len;
		d.thinking = thinking;
		d.ids = n_ids ? id : NULL;
		d.logprobs = n_logprobs ? logprob : NULL;
		read_figures(&d, &stop, o);
		if (t->to && !t->over[sequence])
			t->to->done(t->to->ctx, sequence, &d);
		t->over[sequence] = true;
		good = true;
	}
	free(whole);
	free(thinking);
	free(id);
	free(logprob);
	cJSON_Delete(o);
	return good;
}

static bool play(struct tape t)
{
	int over = 0;

	while (t.at < t.end) {
		unsigned char what = *t.at++;
		if (what == 'D' ? !done_again(&t) : what == 'T' ? !token_again(&t) : true)
			return false;
	}
	for (int i = 0; i < t.n; i++)
		over += t.over[i];
	return over == t.n;
}

int drawing_tell_again(struct gpu *g, const void *bytes, size_t len, int n,
                       const struct drawing_ears *to, struct err *e)
{
	struct buf told = { 0 };
	int rc = 0;

	if (len > PACKED_MAX)
		return err_set(e, ERR_PROTOCOL, "an answer of %zu bytes", len);
	if (job_unpack(&told, bytes, len, DRAWING_TOLD_BYTES_MAX, e) < 0) {
		buf_release(&told);
		return -1;
	}
	struct tape t = { .at = (const unsigned char *)told.data,
		          .end = (const unsigned char *)told.data + told.len,
		          .g = g,
		          .n = n };
	if (told.len == 0 || !play(t)) {
		rc = err_set(e, ERR_PROTOCOL, "what a worker says that it drew is none of ours");
	} else {
		t.to = to;
		play(t);
	}
	buf_release(&told);
	return rc;
}
