/*
 * policy_wire.h - a step's answers as one frame (gpu/train_wire.h, TRAIN_LEARN): what gpu/policy.c
 * sends and cadforge-train learns from.
 *
 *     json   {step, checkpoint, state: {...} | null, prompts: [[message, ...], ...]}
 *     blob   little endian, without padding; for each answer:
 *            u32 prompt (its number, from 0), u32 tokens, u32 drawn (1: log-probabilities follow),
 *            f64 advantage, i32 id [tokens], f32 drawn [tokens]
 *
 * Answers to the same prompt share it.
 */
#ifndef GPU_POLICY_WIRE_H
#define GPU_POLICY_WIRE_H

#include "gpu/policy.h"
#include "src/base/frame.h"

enum { POLICY_ANSWERS_MAX = 1 << 20, POLICY_TOKENS_MAX = 1 << 28 };

/* Appends the frame to @out. ERR_INPUT names the answer and what is wrong with it: no tokens, an
 * advantage or a log-probability that is no number; ERR_MEM. */
int policy_frame(struct buf *out, int64_t step, const struct policy_sample *v, int n,
                 const cJSON *state, bool checkpoint, struct err *e);

struct policy_batch {
	int64_t step;
	bool checkpoint;
	const cJSON *state; /* NULL: none; of @json */
	cJSON *json, *prompts;
	int n;
	int64_t tokens;
	struct policy_item {
		int prompt, n;
		int64_t at; /* of its tokens in @id and @drawn */
		double advantage;
		bool has_drawn;
	} * item;
	int32_t *id;
	float *drawn; /* 0 where it is not known */
};
/* From a frame that anybody may have sent. ERR_PROTOCOL: none of ours; ERR_MEM. @b is {0} then. */
int policy_batch_read(struct policy_batch *b, const struct frame *f, struct err *e);
void policy_batch_release(struct policy_batch *b); /* safe on {0} and twice */

#endif
