/*
 * store.h - the database one works in: sessions, episodes, turns with their artifacts and events,
 * judgements, runs. SQLite behind it; no SQL and no SQLite type leaves store.c and schema.sql.
 * The schema for readers with other tools: cadforge-store(5).
 *
 * What it promises
 *   - A turn with its artifacts, notes, events and chain link is one transaction, on the disk (WAL,
 *     synchronous=FULL) when store_turn_commit() returns. It is never rewritten: the database
 *     itself refuses, but for store_prune().
 *   - Everything written is a link of one hash chain. How far it reached is also kept beside the
 *     database, in FILE.head, so that links lost in the middle or at the end are seen: at open by a
 *     cheap look (store_warning()), by store_fsck() thoroughly.
 *   - Several processes may write; a writer waits for another one, 5 seconds unless told otherwise.
 *   - A database of an older schema is copied to FILE.v<N>-<utc>.bak, the copy checked, then
 *     migrated. One of a newer schema, of another program, or damaged, is refused in words.
 *   - Errors name the file and the remedy: ERR_INPUT (no such episode, not ours, newer, damaged),
 *     ERR_IO (full, read-only, locked for long, a device's error), ERR_MEM.
 *   - A failed write leaves nothing behind; the store stays usable and the same call may be tried
 *     again.
 *
 * Times are microseconds since 1970 UTC (store_now_us()). EP is an episode's id, EP.T its turn
 * number T, from 1 in order of commit. Strings given are copied; strings handed to a callback are
 * borrowed until it returns. A callback returns 0 to go on; anything else ends the listing, and the
 * verb returns 0. It may read from the store, not write to it.
 * Text is UTF-8; bytes that are none are kept in artifacts and made visible in columns.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/json.h"

struct store;

/* ---- opening ---- */

enum store_mode {
	STORE_WRITE, /* made when it is not there, with its folder; migrated when it is older */
	STORE_READ,  /* never written to; works on a read-only disk; must be there */
};

/* For tests and tools; NULL gives the ordinary ones. */
struct store_options {
	int busy_ms;     /* how long to wait for another writer; 0: 5000 */
	int log_pages;   /* in the log before store_tend() moves it; 0: 512 (4 MiB) */
	const char *vfs; /* a SQLite VFS by name; NULL: the system's */
	/* Called at named steps of a write, in this order: "begin", "turn.artifacts", "turn.row",
	 * "turn.events", "link", "commit", "committed" (durable, the caller not yet told), "head";
	 * "checkpoint", "checkpointed"; "migrate.copy", "migrate.copied", "migrate.step",
	 * "migrate.commit", "migrated"; "backup.copied", "backup.named". Tests end the process
	 * there. May be NULL. */
	void (*step)(void *ctx, const char *name);
	void *ctx;
	/* Migrations beyond the built-in ones: more[i] leads from version STORE_VERSION + i to the
	 * next one. Tests prove the machinery with them. */
	const char *const *more_migrations;
	int n_more_migrations;
};

enum { STORE_VERSION = 4 }; /* of the schema; PRAGMA user_version */

/* --db FILE, else $CADFORGE_DB, else $XDG_DATA_HOME/cadforge/sessions.db, else
 * ~/.local/share/cadforge/sessions.db. ERR_LACKS when there is no home either. */
int store_path(char *out, size_t size, const char *flag, struct err *e);

struct store *store_open(const char *path, enum store_mode mode, const struct store_options *o,
                         struct err *e);
void store_close(struct store *s); /* NULL is fine */

/* What was seen at open that a person should know, or NULL: links that are missing, a turn that a
 * dead process left unfinished, a log that cannot be read here. Sentences; borrowed. */
const char *store_warning(const struct store *s);
const char *store_file(const struct store *s);

int64_t store_now_us(void);
/* Local time for people, "2026-11-22 14:03:09"; @size >= 20. */
void store_local_time(char *out, size_t size, int64_t us);
/* "2026-11-22T13:03:09.123456Z", as JSON has it; @size >= 28. */
void store_utc_time(char *out, size_t size, int64_t us);
/* A point in time from a person: the two forms above, a date alone (its first second, local), or
 * "7d", "12h", "30m" ago. -1 (ERR_USAGE) says what was expected. */
int store_parse_time(const char *text, int64_t *us, struct err *e);

/* "12" or "12.3". @turn is 0 without one. -1 (ERR_USAGE) says what was expected. */
int store_parse_ref(const char *text, int64_t *episode, int *turn, struct err *e);

/* ---- writing ---- */

/* Everything that follows is committed together when the outermost end is reached, or not at all;
 * for imports and exports of many: each write alone waits for the disk. Nests. After a failed write
 * inside, only store_batch_end() with @keep false is possible. */
int store_batch_begin(struct store *s, struct err *e);
int store_batch_end(struct store *s, bool keep, struct err *e);

struct store_episode_new {
	const char *task;         /* required */
	const char *pack;         /* or NULL */
	const char *task_hash;    /* of the task's file, or NULL */
	const char *profile;      /* required */
	const char *profile_hash; /* or NULL */
	const char *prompts;      /* prompt set, or NULL */
	const char *prompts_hash;
	const char *source; /* "run", "import", "serve", ...; required */
	const char *origin; /* where an import came from, unique; or NULL: "<database>/<episode>" */
	int64_t run;        /* 0: none */
	int64_t created_us; /* 0: now */
	const char *settings; /* JSON object, or NULL: everything else that is worth keeping */
};
int store_episode_start(struct store *s, const struct store_episode_new *n, int64_t *episode,
                        struct err *e);
/* The episode that came from there; 0 when none. */
int store_episode_by_origin(struct store *s, const char *origin, int64_t *episode, struct err *e);

/* Says that this process works on a turn of the episode now, so that, should it die, the next open
 * can tell what was lost. Gone with the turn's commit, with store_turn_drop(), or at close. */
int store_turn_begin(struct store *s, int64_t episode, struct err *e);
int store_turn_drop(struct store *s, int64_t episode, struct err *e);

struct store_artifact_new {
	const char *name; /* unique in its turn: "front.png"; no slash */
	const char
		*kind; /* code log brep step stl view reward notes markdown prompt completion ... */
	const void *data;
	size_t len;
	/* Of an episode from elsewhere: its content was pruned there, and this is its SHA-256 (64
	 * hex digits; @len: how many bytes it had; @data: NULL). NULL: the content is @data. */
	const char *pruned;
};

struct store_event_new {
	int64_t time_us;
	const char *kind; /* "tokens", "log", "figure", "decision", ... */
	const char *data; /* text or JSON; NULL: none */
};

/* Artifacts made by the store itself, from the fields above: "prompt.json" (kind prompt),
 * "completion.txt" (completion), "program.py" (code), "build.log" (log), "reward.json" (reward);
 * those that are NULL are left out. Names of @artifacts must differ from these. */
struct store_turn_new {
	int64_t episode;
	int parent;           /* number of a turn in this episode; 0: none */
	const char *source;   /* "model", "file", "command", "import", "fork" */
	int64_t started_us;   /* 0: now */
	int64_t committed_us; /* 0: now; else as it was where it came from */
	const char *model;    /* name, or NULL: no model wrote it */
	const char *model_hash;
	const char *adapter; /* name and scale, or NULL */
	const char *adapter_hash;
	const char *backend;  /* or NULL */
	const char *sampling; /* JSON object: seed, temperature, ...; or NULL */
	const char *finish;   /* "stop", "length", "cancelled", "error", ...; or NULL */
	int member;           /* of a group of siblings, from 1; 0: no group */
	int prompt_tokens, completion_tokens; /* -1: unknown */
	const void *prompt;
	size_t prompt_len; /* the messages, as JSON */
	const void *completion;
	size_t completion_len;
	const void *program;
	size_t program_len;
	const void *log;
	size_t log_len;
	/* The object of score --json; required. From it: total, the eight terms, class, whether it
	 * was built, the notes. */
	const cJSON *score;
	const struct store_artifact_new *artifacts;
	int n_artifacts;
	const struct store_event_new *events;
	int n_events;
};
/* On success *@number is its T, and it is on the disk. */
int store_turn_commit(struct store *s, const struct store_turn_new *t, int *number, struct err *e);

/* Events that belong to the episode and no turn: why it stopped, that it was exported. */
int store_events_add(struct store *s, int64_t episode, const struct store_event_new *v, int n,
                     struct err *e);

struct store_judgement_new {
	int64_t episode;
	int turn;
	const char *as; /* who; required */
	int grade;      /* 0 to 5; -1: a note without a grade */
	const char *note;
	const char *const *tags; /* words without blanks and commas */
	int n_tags;
	int64_t time_us; /* 0: now */
};
/* Adds; never replaces. Of several by one person on one turn the last with a grade is in force. */
int store_judge(struct store *s, const struct store_judgement_new *j, int64_t *id, struct err *e);

/* A run: one command's work over many episodes (a group, an evaluation, a training). */
int store_run_start(struct store *s, const char *kind, const char *settings_json, int64_t *run,
                    struct err *e);
int store_run_end(struct store *s, int64_t run, const char *outcome, struct err *e);
/* A run that ended goes on, as the same one; one that has not ended stays as it is. ERR_INPUT when
 * there is none of that id. */
int store_run_again(struct store *s, int64_t run, struct err *e);

/* What a training tells on its way: a row each, never rewritten. After a run went on from a
 * checkpoint some steps are there twice, and the later row holds. */
struct store_step {
	int number;                     /* from 1 in the order of arrival; adding gives it */
	const char *kind;               /* "ready", "step", "eval", "checkpoint", "note", "end" */
	int64_t step;                   /* of the optimizer; 0: before the first */
	int64_t time_us;                /* 0: now */
	double loss, lr, norm, seconds; /* NAN: none */
	int64_t tokens;                 /* -1: none */
	const char *data;               /* JSON object, or NULL */
};
/* All of @v in one transaction with one link: give it many at once, each call waits for the disk.
 */
int store_steps_add(struct store *s, int64_t run, const struct store_step *v, int n, struct err *e);
/* Says that an episode is the answer of a run's model as it was after @step. */
int store_sample_add(struct store *s, int64_t run, int64_t step, int64_t episode, struct err *e);

/* What an answer was to a run: which step and group it was drawn for, what it earned, and whether
 * it was learnt from. Never rewritten or removed; one a turn at most. Added when a step is done, so
 * that what a killed step drew has none. */
struct store_rollout {
	int64_t turn_id;          /* of its turn */
	int64_t step;             /* of the run; 0: an evaluation */
	int group, member, round; /* group from 0; members and rounds from 1 */
	const char *kind;         /* "first", "repair" of a turn of the store; "eval" */
	double reward, advantage; /* NAN: none */
	const char *use; /* "used", "flat", "clipped", "lost", "replaced"; "" in an evaluation */
	/* given by reading alone */
	int64_t episode;
	int turn;
	const char *task, *class_name, *repairs; /* repairs: class of the turn before; NULL: none */
	bool built, clipped;                     /* clipped: it ended by "length" */
	double total;                            /* NAN: none */
	int completion_tokens;                   /* -1: not known */
};
/* All of a step at once, in one transaction with one link: when a run that went on from a
 * checkpoint takes a step again, the rows of the later call hold, and those of steps after it do no
 * more. Any number of calls with step 0. */
int store_rollouts_add(struct store *s, int64_t run, const struct store_rollout *v, int n,
                       struct err *e);

/* What a person says of a failure class of the curriculum, by hand. Adds; never replaces. */
enum store_hand { STORE_HAND_FREE, STORE_HAND_PIN, STORE_HAND_BAN, STORE_HAND_WEIGHT };
const char *store_hand_name(enum store_hand h); /* "free", "pin", "ban", "weight" */
struct store_hand_new {
	const char *class_name; /* required */
	const char *as;         /* who; required */
	enum store_hand change;
	double weight;   /* of STORE_HAND_WEIGHT: 0 or more */
	const char *why; /* or NULL */
};
int store_hand_add(struct store *s, const struct store_hand_new *n, int64_t *id, struct err *e);

/* Moves what commits have left in the write-ahead log into the database when that is worth it. Call
 * it when nobody waits: between turns, when idle. Never fails: what is in the log is safe there. */
void store_tend(struct store *s);

/* ---- reading ---- */

enum { STORE_TERMS = 8 };
/* build topology contact semantic_parts reference_similarity silhouette editability efficiency */
extern const char *const store_term_names[STORE_TERMS];

/* NULL and 0 and NAN: not asked for. An episode is listed when its own columns fit task, min, max,
 * since, and one of its turns fits class, model and adapter together. */
struct store_filter {
	const char *task, *class_name, *model, *adapter;
	double min,
		max; /* of the best total, both included; episodes without a total fit neither */
	int64_t since_us; /* created then or later */
	int64_t run;
};
/* The one without any condition: min and max are NAN. */
struct store_filter store_filter_none(void);

struct store_episode {
	int64_t id, created_us, last_us; /* last: of the newest turn, or created_us */
	const char *task, *pack, *task_hash, *profile, *profile_hash, *prompts, *prompts_hash;
	const char *source, *origin, *settings;
	int64_t run, session;
	int turns, best;   /* best: the turn with the highest total, the first of equals; 0: none */
	double best_total; /* NAN: none */
	bool best_built;
	const char *last_class;      /* failure class of the newest turn; NULL: none */
	const char *model, *adapter; /* of the newest turn */
};

struct store_turn {
	int64_t id, episode, session, started_us, committed_us;
	int number, parent, member, prompt_tokens, completion_tokens;
	const char *source, *model, *model_hash, *adapter, *adapter_hash, *backend, *sampling,
		*finish;
	bool built;
	const char *class_name; /* NULL: none */
	double total;           /* NAN: none; so the others */
	double parent_total;
	double terms[STORE_TERMS];
	const char *hash, *previous; /* its link of the chain and the one before: 64 hex digits */
};

struct store_artifact {
	const char *name, *kind, *hash;
	int64_t bytes, stored_bytes;
	bool there; /* false: pruned, or missing */
	bool pruned;
};

struct store_event {
	int number, turn; /* turn 0: the episode's own */
	int64_t time_us;
	const char *kind, *data;
};

struct store_judgement {
	int64_t id, episode, time_us;
	int turn, grade;              /* grade -1: none */
	const char *as, *note, *tags; /* tags: blank-separated, NULL without */
	const char *task;
	double total;
};

struct store_hit {
	int64_t turn_id, episode;
	int turn;
	const char *task, *class_name;
	double total;
	int64_t committed_us;
	const char *where;   /* "prompt", "program", "log", "notes" or "judgement" */
	const char *excerpt; /* one line around the match, clean, match between \x02 and \x03 */
};

/* What there is of one task, over the whole database. */
struct store_task {
	const char *task;
	int64_t episodes, last; /* how many; the newest one's id */
	int64_t best;           /* the episode with the highest total, or 0 */
	double best_total;      /* NAN: none */
	bool best_built;
	const char *last_class; /* failure class of its newest turn; NULL: none */
	int64_t last_us;
};

typedef int (*store_episode_fn)(void *ctx, const struct store_episode *);
typedef int (*store_task_fn)(void *ctx, const struct store_task *);
typedef int (*store_turn_fn)(void *ctx, const struct store_turn *);
typedef int (*store_artifact_fn)(void *ctx, const struct store_artifact *);
typedef int (*store_event_fn)(void *ctx, const struct store_event *);
typedef int (*store_judgement_fn)(void *ctx, const struct store_judgement *);
typedef int (*store_note_fn)(void *ctx, int number, const char *text);
typedef int (*store_hit_fn)(void *ctx, const struct store_hit *);

/* Newest first, at most @limit, only those with an id below @after (0: from the newest). *@more, if
 * not NULL, says whether there are further ones. */
int store_episodes(struct store *s, const struct store_filter *f, int64_t after, int limit,
                   store_episode_fn fn, void *ctx, bool *more, struct err *e);
/* One; ERR_INPUT when there is none of that id, with the range there is. */
int store_episode(struct store *s, int64_t id, store_episode_fn fn, void *ctx, struct err *e);
/* Every task that has episodes, by name; reads one index and two rows a task. */
int store_tasks(struct store *s, store_task_fn fn, void *ctx, struct err *e);
/* A number that is another one after every commit by anybody but this connection; cheap. -1: @e. */
int64_t store_version_seen(struct store *s, struct err *e);
/* In order of their numbers. */
int store_turns(struct store *s, int64_t episode, store_turn_fn fn, void *ctx, struct err *e);
int store_turn(struct store *s, int64_t episode, int number, store_turn_fn fn, void *ctx,
               struct err *e);
int store_notes(struct store *s, int64_t episode, int turn, store_note_fn fn, void *ctx,
                struct err *e);
int store_artifacts(struct store *s, int64_t episode, int turn, store_artifact_fn fn, void *ctx,
                    struct err *e);
/* Appends the content to @out, checked against its hash. ERR_INPUT when there is no such name (says
 * which there are), when it was pruned, is missing or damaged. */
int store_artifact(struct store *s, int64_t episode, int turn, const char *name, struct buf *out,
                   struct err *e);
/* @turn 0: all of the episode. */
int store_events(struct store *s, int64_t episode, int turn, store_event_fn fn, void *ctx,
                 struct err *e);
/* Oldest first; @episode 0: all; @turn 0: all of the episode; @as NULL: everybody's. */
int store_judgements(struct store *s, int64_t episode, int turn, const char *task, const char *as,
                     store_judgement_fn fn, void *ctx, struct err *e);
/* Turns whose prompt, program, log, notes or judgement notes have all the words of @query; newest
 * first, one hit a turn. "several words" in quotes are a phrase, word* a beginning, -word must not
 * be there, program:word looks in one place only. @after: a turn_id. */
int store_search(struct store *s, const char *query, const struct store_filter *f, int64_t after,
                 int limit, store_hit_fn fn, void *ctx, bool *more, struct err *e);

/* ---- sums, for curriculum and comparison ----
 *
 * Turns that are alike in task, profile, prompts, source, model, adapter, sampling (without its
 * seed), the class that they were to repair, and their own class, are counted with each commit. So
 * a table over a million episodes is read from a few hundred rows, and what is new since from the
 * turns after the last one seen. */

struct store_tally {
	int64_t id;
	const char *task, *profile, *prompts, *source, *model, *adapter, *sampling; /* "": none */
	const char *repairs;    /* class of the turn before; "": a first try, or it has no class */
	const char *class_name; /* "": none */
	int64_t turns, built, scored;
	double total, best; /* sum over those scored; NAN: none is */
	int64_t best_turn;  /* id; 0: none */
};
typedef int (*store_tally_fn)(void *ctx, const struct store_tally *);
/* By id: the next @limit with an id above @after; or the one of that @id. */
int store_tallies(struct store *s, int64_t after, int limit, store_tally_fn fn, void *ctx,
                  struct err *e);
int store_tally(struct store *s, int64_t id, store_tally_fn fn, void *ctx, struct err *e);

/* A turn, as little of it as a table needs. */
struct store_outcome {
	int64_t id, tally, episode;
	int turn;
	bool built;
	double total; /* NAN: none */
};
typedef int (*store_outcome_fn)(void *ctx, const struct store_outcome *);
/* The next @limit turns with an id above @after, oldest first. */
int store_outcomes(struct store *s, int64_t after, int limit, store_outcome_fn fn, void *ctx,
                   struct err *e);
/* The ids of turns counted by @tally that are below @before (0: from the newest), newest first: at
 * most @limit into @ids; how many, or -1. Looks at no turn. */
int store_tally_turns(struct store *s, int64_t tally, int64_t before, int limit, int64_t *ids,
                      struct err *e);
/* The one turn of that id; nothing is told when there is none. */
int store_outcome(struct store *s, int64_t id, store_outcome_fn fn, void *ctx, struct err *e);
/* The id of the newest turn, or of the one that has @newer newer ones; 0: there is none. */
int store_newest_turn(struct store *s, int newer, int64_t *id, struct err *e);
/* Which turn of which episode has that id. ERR_INPUT: none has. */
int store_turn_ref(struct store *s, int64_t id, int64_t *episode, int *turn, struct err *e);
/* All turns of a run, oldest first. ERR_INPUT when there is no such run. */
int store_run_outcomes(struct store *s, int64_t run, store_outcome_fn fn, void *ctx, struct err *e);
/* The newest @limit turns that go on from one of class @class_name, newest first: their ids (as
 * outcomes without a tally and a total) and whether they were built. */
int store_repairs(struct store *s, const char *class_name, int limit, store_outcome_fn fn,
                  void *ctx, struct err *e);

struct store_run {
	int64_t id, started_us, ended_us; /* ended 0: it has not */
	const char *kind, *settings, *outcome;
};
typedef int (*store_run_fn)(void *ctx, const struct store_run *);
/* Newest first; @id 0: all, at most @limit. */
int store_runs(struct store *s, int64_t id, int limit, store_run_fn fn, void *ctx, struct err *e);

typedef int (*store_step_fn)(void *ctx, const struct store_step *);
/* In order of arrival, those with a number above @after; at most @limit. */
int store_steps(struct store *s, int64_t run, int after, int limit, store_step_fn fn, void *ctx,
                struct err *e);

struct store_sample {
	int64_t episode, step, created_us;
	const char *task;
	int turns;
	bool built;   /* its best turn is */
	double total; /* of it; NAN: none */
};
typedef int (*store_sample_fn)(void *ctx, const struct store_sample *);
/* A run's answers to what it had not learnt, by step and then as they were made; those of episodes
 * with an id above @after. */
int store_samples(struct store *s, int64_t run, int64_t after, store_sample_fn fn, void *ctx,
                  struct err *e);

typedef int (*store_rollout_fn)(void *ctx, const struct store_rollout *);
/* A run's that hold, by step, group, round, member; those of steps from @from to @to, both
 * included. A row whose turn was pruned is not told. */
int store_rollouts(struct store *s, int64_t run, int64_t from, int64_t to, store_rollout_fn fn,
                   void *ctx, struct err *e);

/* What a turn was to the run that drew it, the last that was told; nothing is told when it was to
 * none. As store_rollouts() tells a row. */
int store_rollout_of(struct store *s, int64_t episode, int turn, store_rollout_fn fn, void *ctx,
                     struct err *e);
/* The step of a run whose model was asked for this episode as a sample; -1: it is none. */
int store_sample_step(struct store *s, int64_t episode, int64_t *step, struct err *e);

struct store_hand_row {
	int64_t id, time_us;
	const char *as, *class_name, *why;
	enum store_hand change;
	double weight; /* NAN: none */
};
typedef int (*store_hand_fn)(void *ctx, const struct store_hand_row *);
/* What was said by hand, oldest first; the last of a class is in force. */
int store_hands(struct store *s, store_hand_fn fn, void *ctx, struct err *e);

/* ---- looking after it ---- */

struct store_finding {
	const char *what;   /* "turn 12.3: artifact front.png: content is damaged" */
	const char *remedy; /* or NULL */
	bool loss;          /* false: worth knowing, nothing is lost */
};
struct store_fsck_options {
	bool quick; /* leave out the content of artifacts */
	/* rebuild what can be: search index, episode summaries, triggers and indexes, FILE.head */
	bool repair;
	void (*progress)(void *ctx, const char *what, int64_t done, int64_t all); /* or NULL */
	int (*finding)(void *ctx, const struct store_finding *f);
	void *ctx;
};
/* 0 with *@problems: how many findings were a loss. -1 when it could not be looked at at all. */
int store_fsck(struct store *s, const struct store_fsck_options *o, int *problems, struct err *e);

/* A whole, checked copy of the database as of now, under a name that is not there yet; others may
 * write meanwhile. */
int store_backup(struct store *s, const char *path, struct err *e);

struct store_prune {
	int64_t before_us;        /* turns committed before then; 0: of any time */
	int64_t episode;          /* only this one; 0: all */
	bool keep_best;           /* leave the best turn of each episode whole */
	const char *const *kinds; /* of artifacts; NULL: brep step stl view (can be built again) */
	int n_kinds;
	bool whole_episodes; /* remove the episodes with all they have; their links stay */
	bool dry_run;
	const char *why; /* for the record, or NULL */
};
struct store_pruned {
	int64_t artifacts, bytes, episodes, turns;
};
/* Drops the content of artifacts (names, hashes and sizes stay), or whole episodes, records it in
 * the chain, and gives the room back to the file system. */
int store_prune(struct store *s, const struct store_prune *p, struct store_pruned *out,
                struct err *e);

/* {file, version, bytes, wal_bytes, sessions, episodes, turns, events, judgements, runs, artifacts
 * {count, bytes, stored_bytes, by_kind {...}}, tasks [...], head {links, hash, time}}. Caller
 * deletes it. */
cJSON *store_stats(struct store *s, struct err *e);

#endif
