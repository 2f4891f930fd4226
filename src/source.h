/*
 * source.h - where completions come from: files that are there already, or a command that is run
 * for each. A model is a source as well.
 *
 * A source is asked for one completion at a time and blocks until it has it, is stopped, or has
 * failed; its text is handed on as it comes.
 */
#ifndef SRC_SOURCE_H
#define SRC_SOURCE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "engine/extract.h"
#include "src/base/buf.h"

/* How a completion ended: the word "finish" of run --json. FINISH_FAILED: by us, in mid-stream,
 * since its program had failed. */
enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_CANCELLED, FINISH_ERROR, FINISH_FAILED };
const char *finish_name(enum finish f);

struct ask {
	int number;         /* how many this source was asked for before, from 0 */
	int turn;           /* the number that the turn is going to have */
	const char *prompt; /* the whole prompt as text */
	size_t prompt_len;
	const cJSON *messages; /* the same as messages, the last one the user's; */
	size_t shared;         /* of whose content so many bytes begin every prompt of the task */
	const char *previous;  /* the program that is to be repaired; NULL: a first try */
	int siblings;          /* asks for this same prompt from here on, this one counted */
	bool again;            /* the ask before was for this same prompt */
	bool any;              /* of the siblings the one that ends first, not the next in order */
	/* A model's answer begins with these tokens; others cannot (ERR_LACKS). n_forced 0: none */
	const int32_t *forced;
	int n_forced;
	uint64_t seed_add; /* on top of the seed that was set: this prompt was answered before */
	void *ctx;
	int tick_ms;            /* so often at least tick() is called; 0: 100 */
	int (*tick)(void *ctx); /* not 0: stop */
	/* the text as it comes, in pieces of any bytes; all of them together are the completion.
	 * @time_us: when it came (store_now_us()); 0: now */
	void (*text)(void *ctx, int64_t time_us, const char *text, size_t len);
};

enum { SOURCE_TOP = 5 };

/* A piece of an answer as it comes, of whichever sibling. */
struct source_token {
	int index;              /* -1: only text, of no token that is known */
	int32_t id;             /* -1: not known */
	float logprob, entropy; /* NAN: not known */
	bool thinking;
	const char *text;
	size_t len;
	int n_top;
	struct {
		int32_t id;
		float logprob;
		const char *text; /* "" when it is not known */
	} top[SOURCE_TOP];
};

/* Who hears what an ask does not tell: of all siblings at once, and of the engine. */
struct source_ears {
	void *ctx;
	void (*token)(void *ctx, int sibling, const struct source_token *t); /* sibling from 1 */
	void (*over)(void *ctx, int sibling, const char *finish);
	void (*ready)(void *ctx, const cJSON *about); /* the engine, and what it is */
};

/* A model's part in a completion, for the store. */
struct author {
	bool known; /* a model wrote it: the rest holds */
	char model[256], model_hash[65], adapter[512], adapter_hash[65],
		backend[256];                 /* "": none */
	int prompt_tokens, completion_tokens; /* -1: not known */
	struct buf sampling;                  /* JSON object */
	/* JSON: {"ids", "logprobs", "entropy", "top", "at"}; an array item a token. at: the byte of
	 * the text at which what the token wrote begins */
	struct buf tokens;
	struct buf figures; /* JSON object: what making it took */
};

struct completion {
	struct buf text;
	struct author author;
	enum finish finish;
	enum extract_rule rule; /* how the program is found in it */
	double seconds;
	int sibling;      /* which of them, from 1; 0: in the order in which they are asked for */
	int64_t begun_us; /* when it was begun; 0: when it was asked for */
};
void completion_release(struct completion *c);

struct source {
	void *ctx;
	int count; /* completions that it has; 0: any number */
	/* 0; or -1: ERR_CANCELLED when tick() said stop (@out then has what came so far), else why
	 * there is none. @out is released by the caller in any case. */
	int (*next)(void *ctx, const struct ask *a, struct completion *out, struct err *e);
	void (*close)(void *ctx);
	/* The rest may be NULL. */
	/* Ends the answers under way: what came is handed on (FINISH_CANCELLED), and nothing at all
	 * is ERR_CANCELLED. From within tick(). */
	void (*stop)(void *ctx);
	void (*listen)(void *ctx, const struct source_ears *ears); /* NULL: nobody */
	/* For an event loop while nothing is asked for, or something else is waited for: what to
	 * poll, and to take what has come. */
	int (*poll_fds)(void *ctx, struct pollfd *out, int cap);
	void (*attend)(void *ctx);
	char name[128]; /* for people, and the model column of the store: "files", "command: ..." */
};
void source_close(struct source *s); /* safe on {0} and twice */

enum { COMPLETION_BYTES_MAX = 8 << 20 };

/* File k is the completion of turn k. A file whose name ends in .py is the program (EXTRACT_FILE),
 * any other what a model answered (EXTRACT_ANSWER). All are read now, so that one that cannot be is
 * told before any work; errors name it (ERR_INPUT). */
int source_files(struct source *out, const char *const *files, int n, struct err *e);

/* One completion, there already: a program made by hand (EXTRACT_FILE). Borrowed. */
int source_text(struct source *out, const char *text, size_t len, struct err *e);

struct command_options {
	const char *command;    /* for sh -c */
	double wall_s;          /* time that one completion may take */
	size_t bytes_max;       /* at most COMPLETION_BYTES_MAX */
	const char *const *env; /* "NAME=value" beside our own environment; NULL at the end */
	bool quiet;             /* what it says on its standard error is dropped */
};
/* Runs @command for each completion: the prompt on its standard input, CADFORGE_TURN in its
 * environment, the completion on its standard output. It has a process group of its own, which is
 * killed when the command has ended, when it is stopped, and when a limit is hit. A command that
 * fails, prints nothing, or hits a limit is ERR_INPUT with its name and what happened; a command
 * need not read its prompt. Borrows @o's texts until it is closed. */
int source_command(struct source *out, const struct command_options *o, struct err *e);

#endif
