/*
 * wire.h - the frames (src/base/frame.h) between a program that asks (gpu/client) and
 * cadforge-infer, on fd 3.
 *
 * A frame's job is the number of the request, chosen by the asker, never 0 and never used twice.
 * Each GENERATE is answered by one TAKEN or one REFUSED; after TAKEN come TOKENs of any of its
 * sequences and exactly one DONE for each. Numbers in blobs are little endian, without padding.
 * The engine leaves when fd 3 is closed.
 *
 *     cadforge-infer --model DIR [--dtype D] [--threads N] [--context N] [--slots N]
 *     cadforge-infer --model random:NAME ...    weights of a size of config_named(), made on the
 * spot
 */
#ifndef GPU_WIRE_H
#define GPU_WIRE_H

#include <stdint.h>
#include <string.h>

enum infer_wire {
	/* asker -> engine */
	INFER_GENERATE = 1, /* json: one of messages, text, ids; thinking: true|false|absent;
	                     * adapters: [{dir, weight}]; n, max_tokens, seconds, ignore_eos,
	                     * speculate, guard, stop: [texts], draft: text, forced: [ids],
	                     * forced_begin; temperature, top_p, top_k, min_p, presence, frequency,
	                     * repetition, seed (a decimal string: 64 bits), top */
	INFER_CANCEL = 2,   /* json: {sequence}; -1: all of that request */
	INFER_LOGITS = 3,   /* json: {ids, adapters}; answered by ROWS, in order, or REFUSED */
	INFER_SWEEP = 4,    /* json: {bytes}; answered by SWEPT or REFUSED */
	/* engine -> asker */
	INFER_READY = 16,   /* once. json: {program, pid, seconds, backend, device, dtype, threads,
	                     * context, slots, weight_bytes, ..., model: {dir, hash, parameters,
	                     * layers, hidden, vocabulary, context}}; or {program, error, kind:
	                     * "lacks" | "input" | ...} when it cannot work here, after which it
	                     * exits */
	INFER_TAKEN = 17,   /* json: {prompt_tokens, in_thought: the answer begins inside <think>,
	                     * adapter_hash: 64 hex digits | null} */
	INFER_TOKEN = 18,   /* blob: struct infer_token's fields in their order, then the
	                     * alternatives as (i32 id, f32 logprob, u8 length, that
	                     * many bytes of its text), then the text. index -1: no
	                     * token, only text that was held back */
	INFER_DONE = 19,    /* json: {sequence, end: "stop"|"length"|"cancelled"|"error", error,
	                     * prompt_tokens, cached_tokens, drafted, accepted, wait_s, prefill_s,
	                     * decode_s, stop: {id, logprob, drawn, entropy} of the token that
	                     * ended it, absent when none did}; blob: the answer's ids, i32 */
	INFER_REFUSED = 20, /* json: {error, kind} */
	INFER_ROWS = 21,    /* json: {from, rows, of, vocabulary}; blob: [rows, vocabulary] f32 */
	INFER_SWEPT = 22,   /* json: {bytes_per_s} */
};

/* Limits of what an asker may send; an engine takes no more. */
enum {
	INFER_IDS_MAX = 1 << 20,
	INFER_SEQUENCES_MAX = 64,
	INFER_STOPS_MAX = 16,
	INFER_JSON_MAX = 48 << 20,
};

struct infer_token {
	int32_t sequence, index, id;
	float logprob, drawn, entropy;
	uint32_t n_top;
};
enum { INFER_TOKEN_BYTES = 28 };

static inline void wire_put32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static inline uint32_t wire_get32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void wire_put_float(unsigned char *p, float v)
{
	uint32_t u;

	memcpy(&u, &v, 4);
	wire_put32(p, u);
}

static inline float wire_get_float(const unsigned char *p)
{
	uint32_t u = wire_get32(p);
	float v;

	memcpy(&v, &u, 4);
	return v;
}

#endif
