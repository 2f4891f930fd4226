/*
 * live.h - an episode as it unfolds, folded from its events: the one model behind Live and Replay.
 *
 * Fed by the host while it works (src/host.h), or by the events the store kept, it comes to the
 * same state: that is what makes a replay show just what happened. Pure: no files, no clock but the
 * events'.
 *
 * Events are those of src/session.h, and from a host besides
 *     "begin"     {"task", "profile", "episode", "group", "parent", "best", "turns"}   a round
 * begins "token"     {"i", "id", "text", "p", "entropy", "top": [[id, p, text], ...], "thinking"}
 * one a token, where the model says that much, of sibling "member"; else "tokens"; stored episodes
 * have "tokens" in batches, and tokens.json (live_tokens()) "figure"    {"name", "value", "early":
 * true}   known before the program is complete "early"     {"line", "error", "name"}          what
 * building while it streams found "shape"     {"line"?, "name"?}                 binary STL as
 * bytes beside it; with line: of the program so far "phase"     {"phase", "why"?} "generate",
 * "build", "score", "commit", "wait", "done"; why: of wait and done, an end of src/episode.h "turn"
 * the object of run --json: it is stored
 */
#ifndef SRC_LIVE_H
#define SRC_LIVE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/err.h"

enum { LIVE_MEMBERS_MAX = 64, LIVE_TOP = 5, LIVE_TERMS = 8, LIVE_TOKENS_MAX = 1 << 20 };

enum live_at {
	LIVE_AT_IDLE,
	LIVE_AT_GENERATE,
	LIVE_AT_BUILD,
	LIVE_AT_SCORE,
	LIVE_AT_COMMIT,
	LIVE_AT_WAIT,
	LIVE_AT_DONE
};

/* One event. */
struct live_news {
	int64_t time_us;
	const char *kind;
	int turn;   /* number that the turn has or is going to have; 0: of the episode */
	int member; /* of a group, from 1; 0: no group */
	/* text kinds ("tokens", "log"): a string; others: an object */
	const cJSON *data;
	const void *bytes;
	size_t len;
};

struct live_token {
	size_t start; /* in the answer's text */
	int32_t id;
	float p, entropy; /* NAN: not known */
	int n_top;
	struct {
		int32_t id;
		float p;
		char text[24]; /* cut at a whole character */
	} top[LIVE_TOP];
};

/* One answer: a turn in flight, or one sibling of a group. */
struct live_answer {
	struct buf text;     /* all that came, "<think>" included */
	struct buf thinking; /* between the marks */
	struct buf code;     /* the program as far as it can be told: fence and talk left out */
	size_t code_at;      /* where in text the code begins */
	uint64_t version;    /* grows with each change */
	size_t code_kept;    /* bytes of code as they were at the version before */
	struct live_token *tokens;
	int n_tokens, cap_tokens;
	int turn; /* once committed; 0 */
	bool over, built;
	double total; /* NAN: not known */
	char class_name[48], finish[16];
	/* how far the text was looked at, and what the line under way is */
	size_t looked, line_at, passed;
	bool in_thought, whole; /* whole: the code is what was built, not what it looks like */
	int state;
	char fence;
};

struct live {
	char task[128], profile[64];
	int64_t episode;
	int turn, parent, best; /* in flight (its number to be); what it answers to; best so far */
	enum live_at at;
	struct live_answer answer[LIVE_MEMBERS_MAX];
	int n_answers, member; /* 1 without a group; the one that is built or was last, from 0 */
	struct buf log;
	uint64_t log_version;
	double terms[LIVE_TERMS], total, delta; /* NAN: not known */
	bool early[LIVE_TERMS];
	cJSON *score; /* the object of run --json (score --json and more); NULL until it is there */
	char class_name[48], build_error[240];
	int build_line;
	double build_s;
	int early_line; /* what building while it streams found; 0: nothing */
	char early_error[240], early_name[64];
	struct buf stl; /* of the shape to be seen */
	uint64_t stl_version;
	int stl_line; /* > 0: of the program so far, up to that line */
	int64_t started_us, first_token_us, last_us;         /* of the turn in flight */
	int prompt_tokens, cached_tokens, drafted, accepted; /* -1: not known */
	char end[64]; /* why the episode ended, or waits; "" while it goes on */
};

void live_init(struct live *l);
void live_release(struct live *l); /* safe on {0} and twice */
/* One event. Unknown kinds and damaged data are passed over: what is shown must not depend on the
 * version that wrote it. -1 only for ERR_MEM. */
int live_feed(struct live *l, const struct live_news *n, struct err *e);
/* The same of an event as the store has it: data is text or JSON, by its kind. */
int live_event(struct live *l, int64_t time_us, const char *kind, int turn, int member,
               const char *data, size_t len, struct err *e);
int live_shape(struct live *l, const void *stl, size_t len, int line, struct err *e);
/* tokens.json of a stored turn, against the text that stands in answer @member (from 0). */
int live_tokens(struct live *l, int member, const cJSON *tokens, struct err *e);
/* The number of the answer's token that its code begins in: its own first, or one that begins
 * before it ("python\nimport" may be a single one). n_tokens: none. */
int live_code_first(const struct live_answer *a);
/* How sure the model was of @a's *code*: its tokens from live_code_first() on, starts counted in
 * the code (0 where one begins before it). As many as fit @out; how many. */
int live_code_tokens(const struct live_answer *a, struct live_token *out, int cap);

#endif
