/*
 * store_inside.h - what the files of the store share: src/store*.c and nobody else.
 *
 *     store.c       open, migrate, close
 *     store_sql.c   statements, values, the schema's functions, words for faults
 *     store_chain.c transactions, and the chain that each adds a link to
 *     store_write.c episodes, runs, turns, events, judgements
 *     store_read.c  listings, one thing, search
 *     store_care.c  fsck, backup, prune, statistics
 *     store_tally.c sums over turns, and what the curriculum was told by hand
 *     store_steps.c what a training tells, and which episodes are its answers
 *     store_rollouts.c  what answers were to a run that learns from its own
 *     store_head.c  FILE.head, and who holds a flight: no SQL
 *     store_text.c  times and references as people write them: no SQL
 */
#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H

#include <sqlite3.h>
#include <zstd.h>

#include "src/base/sha256.h"
#include "src/store.h"

/* An end of the chain. */
struct tip {
	int64_t seq; /* 0: nothing known */
	unsigned char hash[SHA256_BYTES];
};

enum {
	STORE_STATEMENTS = 192,
	STORE_ID = 33,
	STORE_HOLDER = 320,
	STORE_BUSY_MS = 5000 /* how long another's transaction is waited for, unless options say */
};

struct store {
	sqlite3 *db;
	char *file; /* the real one, links followed */
	enum store_mode mode;
	struct store_options o;
	char id[STORE_ID];
	/* by the address of their SQL, which is a literal */
	struct {
		const char *sql;
		sqlite3_stmt *stmt;
	} statement[STORE_STATEMENTS];
	int n_statements;
	struct buf warning;
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
	char holder[STORE_HOLDER];
	int begun;     /* flights of ours */
	int log_pages; /* in the log after the last commit */
	bool known;    /* store_open() has read what it must: damage is elsewhere */
	/* the transaction */
	int depth;                     /* of batches */
	bool open;                     /* BEGIN was done */
	bool failed;                   /* something in the batch was: it cannot be kept */
	int64_t session, session_kept; /* 0: no row yet; kept: as of the last commit */
	struct tip tip;                /* of the transaction */
	/* FILE.head spoke of more than there is: the next transaction begins with a link that says
	 * so */
	bool loss_seen, loss_told;
	struct tip loss;
	bool fresh; /* made just now */
};

/* ---- statements ---- */

/* The statement for that literal, reset and without bindings; NULL with @e set. */
sqlite3_stmt *store_sql(struct store *s, const char *sql, struct err *e);
/* Binds by letters from ?1 on: i int64, I int64 (0 is NULL), n int (negative is NULL), t text or
 * NULL, d double (NAN is NULL), b blob (pointer, size_t). Returns 0, or -1 with @e set. */
int store_bind(struct store *s, sqlite3_stmt *q, struct err *e, const char *letters, ...);
/* 1: a row; 0: no more (reset); -1: @e set (reset). */
int store_step(struct store *s, sqlite3_stmt *q, struct err *e);
/* A statement without rows. */
int store_do(struct store *s, struct err *e, const char *sql, const char *letters, ...);
/* Its first column as a number; *@out stays when there is no row. */
int store_ask(struct store *s, struct err *e, int64_t *out, const char *sql, const char *letters,
              ...);
const char *store_column_text(sqlite3_stmt *q, int column); /* NULL for NULL */
double store_column_figure(sqlite3_stmt *q, int column);    /* NAN for NULL */

/* Adds the functions that the schema calls; SQLite's code. */
int store_functions(sqlite3 *db);

/* The folder that @file lies in; cut at @size. */
void store_folder_of(char *out, size_t size, const char *file);
/* What SQLite last said, as words for people; returns -1. */
int store_fault(struct store *s, int rc, struct err *e);

void store_at(struct store *s, const char *step);

/* ---- transactions and the chain ---- */

int store_begin(struct store *s, struct err *e);
/* Commits when @rc is 0, else takes everything back. Returns @rc, or -1 when the commit failed. */
int store_end(struct store *s, int rc, struct err *e);
/* The transaction as if it had never been. */
void store_take_back(struct store *s);
/* Moves the log into the database, as far as SQLite's @mode says and nobody reads. */
void store_checkpoint(struct store *s, int mode);
/* For sqlite3_wal_hook(): @ctx is where the log's pages are counted. */
int store_on_log(void *ctx, sqlite3 *db, const char *name, int pages);
int store_link_next(struct store *s, int64_t *seq, struct err *e);
int store_link_add(struct store *s, const char *kind, int64_t subject, const char *about,
                   const unsigned char digest[SHA256_BYTES], struct err *e);
/* What a link's hash is, from the one before it. */
void store_link_hash(unsigned char out[SHA256_BYTES], const unsigned char before[SHA256_BYTES],
                     int64_t seq, int64_t time_us, const char *kind, int64_t subject,
                     const char *about, const unsigned char digest[SHA256_BYTES]);
/* The digest of what a link of that kind speaks of, from the rows as they are. 1: done, 0: there is
 * no such row, -1: @e set. Kinds whose @about is all their content (store, prune, loss) too. */
int store_digest(struct store *s, const char *kind, int64_t subject, const char *about,
                 unsigned char out[SHA256_BYTES], struct err *e);
/* The last link; seq 0 when there is none. */
int store_tip(struct store *s, struct tip *out, struct err *e);

/* The digest of the row, then its link. */
int store_link_row(struct store *s, const char *kind, int64_t subject, const char *about,
                   struct err *e);

/* ERR_INPUT when there is no run of that id; says which there are. */
int store_run_there(struct store *s, int64_t run, struct err *e);

/* ---- store_tally.c: within a transaction ---- */

/* Counts a turn that was just written. */
int store_tally_turn(struct store *s, int64_t turn, struct err *e);
/* Before the turns of the episodes in temp.chosen are removed: takes them out of all sums. */
int store_tally_forget(struct store *s, struct err *e);
/* All sums anew, from the turns. */
int store_tally_rebuild(struct store *s, struct err *e);
/* Whether they are what the turns give: 1, 0; -1: @e. */
int store_tally_agrees(struct store *s, struct err *e);

/* Makes @path a checked copy of the database as it is committed. @path must not be there. */
int store_copy(struct store *s, const char *path, const char *steps, struct err *e);

/* Unpacks one zstd frame of at most @bytes to @out. */
int store_unpack(struct store *s, const void *data, size_t len, size_t bytes, struct buf *out);

/* ---- store_head.c ---- */

/* FILE.head: "cadforge-head-1 STORE SEQ HASH". */
enum head_state { HEAD_NONE, HEAD_READ, HEAD_UNREADABLE };
enum head_state head_read(const char *file, char id[STORE_ID], struct tip *out);
/* Writes it unless it is already further on; @anyway: even then. -1: it could not be written. */
int head_write(const char *file, const char *id, const struct tip *t, bool anyway);

void holder_self(char out[STORE_HOLDER]);
bool holder_dead(const char *holder, int64_t started_us);
/* The process that holds the write lock of that database now; 0: not known. */
long lock_holder(const char *file);

void hex_of(char out[SHA256_HEX], const unsigned char hash[SHA256_BYTES]);
bool hex_to(unsigned char hash[SHA256_BYTES], const char *hex);

/* The script that leads from schema version @i to the next one, the built-in ones first; NULL:
 * there is none. */
const char *store_script(const struct store *s, int i);
/* Tells each trigger and index of the schema that is not there (@gone), or not as it was made; with
 * @repair it is made anew, and @why says why it could not be (its kind is 0 when it was). -1: it
 * could not be looked at. */
int store_guards(struct store *s, bool repair,
                 void (*tell)(void *ctx, const char *name, bool gone, const struct err *why),
                 void *ctx, struct err *e);

#endif
