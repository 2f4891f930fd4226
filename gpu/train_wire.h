/*
 * train_wire.h - the frames (src/base/frame.h) between a program that asks (gpu/training.c) and
 * cadforge-train, on fd 3. JSON alone but for TRAIN_LEARN, job 0.
 *
 *     cadforge-train                              settings come with TRAIN_BEGIN, on fd 3
 *     cadforge-train --settings FILE [--resume]   by hand: what happens goes to stdout, an object
 *                                                 a line: {"event": "step", ...}; ^C = TRAIN_STOP
 *
 * When fd 3 is closed the program writes a checkpoint and leaves.
 */
#ifndef GPU_TRAIN_WIRE_H
#define GPU_TRAIN_WIRE_H

enum train_wire {
	/* asker -> program */
	TRAIN_BEGIN = 1, /* first and once: {settings, resume, policy: false: rows of a file are
	                  * learnt from (gpu/train_run.h); true: what comes with TRAIN_LEARN
	                  * (gpu/policy_run.h)} */
	TRAIN_PAUSE = 2, /* {paused}; after the step under way */
	TRAIN_CHECKPOINT = 3, /* {}: one now, after the step under way */
	TRAIN_STOP = 4,       /* {}: checkpoint, then ENDED */
	TRAIN_LEARN = 5,      /* of a policy: the answers of its next step (gpu/policy_wire.h); not
	                       * before TRAIN_STEP tells of the one before */
	/* program -> asker: the objects of gpu/training.h's and gpu/policy.h's event() */
	TRAIN_READY = 16,
	TRAIN_STEP = 17,
	TRAIN_EVAL = 18,
	TRAIN_SAVED = 19, /* event "checkpoint" */
	TRAIN_NOTE = 20,
	TRAIN_ENDED = 21, /* last: {outcome: "done"|"stopped"|"failed", error, kind: "lacks" |
	                   * "input" | ...} */
};

enum { TRAIN_JSON_MAX = 48 << 20 };

#endif
