/*
 * store.c - opens, migrates, and writes: every row goes through here.
 *
 * Each write is one BEGIN IMMEDIATE ... COMMIT and adds one link to the chain. A link's digest is
 * taken from the rows as they lie in the database, by the same SELECT that fsck uses later, so that
 * what is checked is what was stored and not what was meant.
 */
#include "src/store_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "src/base/utf8.h"
#include "src/schema_2_sql.h"
#include "src/schema_3_sql.h"
#include "src/schema_4_sql.h"
#include "src/schema_sql.h"

enum {
	APPLICATION = 0x43414446, /* "CADF" */
	BUSY_MS = 5000,
	PAGE_BYTES = 8192,     /* artifacts are long: fewer, larger pages */
	TEND_PAGES = 512,      /* 4 MiB in the log: worth moving when nobody waits */
	LOG_PAGES_MAX = 16384, /* 128 MiB: is moved even when somebody does */
	PACK_LEVEL = 1,
	NAME_MAX_BYTES = 200,
};
#define CONTENT_MAX ((size_t)1 << 30)

static const char *const migrations[STORE_VERSION] = { (const char *)schema_sql,
	                                               (const char *)schema_2_sql,
	                                               (const char *)schema_3_sql,
	                                               (const char *)schema_4_sql };

const char *const store_term_names[STORE_TERMS] = {
	"build",      "topology",    "contact",   "semantic_parts", "reference_similarity",
	"silhouette", "editability", "efficiency"
};

/* ---- words for what went wrong ---- */

static void folder_of(char *out, size_t size, const char *file)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		snprintf(out, size, ".");
	else
		snprintf(out, size, "%.*s", slash == file ? 1 : (int)(slash - file), file);
}

static int fault_full(struct store *s, struct err *e)
{
	char dir[PATH_MAX], room[64] = "";
	struct statvfs v;

	folder_of(dir, sizeof(dir), s->file);
	if (statvfs(dir, &v) == 0)
		snprintf(room, sizeof(room), " (%.1f MiB free)",
		         (double)v.f_bavail * (double)v.f_frsize / (1 << 20));
	return err_set(e, ERR_IO,
	               "%s: the disk is full%s, so nothing of this was stored; what was stored "
	               "before is safe. Free some room there and try again, or take another disk "
	               "with --db",
	               s->file, room);
}

/* A log beside the file cannot be made where nothing can, which SQLite calls "cannot be opened". */
static bool folder_is_read_only(const char *file)
{
	char dir[PATH_MAX];

	folder_of(dir, sizeof(dir), file);
	return access(file, R_OK) == 0 && access(dir, W_OK) < 0 &&
	       (errno == EROFS || errno == EACCES);
}

int store_fault(struct store *s, int rc, struct err *e)
{
	int os = s->db ? sqlite3_system_errno(s->db) : 0;
	char who[64] = "";
	long pid;

	if (rc == SQLITE_ERROR && s->db)
		rc = sqlite3_extended_errcode(s->db);
	if ((rc & 0xff) == SQLITE_CANTOPEN && folder_is_read_only(s->file))
		rc = SQLITE_READONLY;
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		pid = lock_holder(s->file);
		if (pid > 0)
			snprintf(who, sizeof(who), " (process %ld)", pid);
		return err_set(
			e, ERR_IO,
			"%s: another process%s has been writing to it for more than %g s, so "
			"nothing of this was stored. Wait for it or end it, then try again",
			s->file, who, (s->o.busy_ms ? s->o.busy_ms : BUSY_MS) / 1e3);
	case SQLITE_FULL:
		return fault_full(s, e);
	case SQLITE_READONLY:
		return err_set(
			e, ERR_IO,
			"%s: cannot be written to (a read-only file, folder or disk). Listing "
			"and showing work; to write, copy it to a place of your own and name "
			"that with --db",
			s->file);
	case SQLITE_CANTOPEN:
		return err_set(
			e, ERR_IO,
			"%s: cannot be opened%s%s. Check its folder's name and rights, or name "
			"another file with --db",
			s->file, os ? ": " : "", os ? strerror(os) : "");
	case SQLITE_IOERR:
		if (os == ENOSPC || os == EDQUOT)
			return fault_full(s, e);
		return err_set(
			e, ERR_IO,
			"%s: the disk refused to read or write (%s, SQLite %d), so nothing of "
			"this was stored; what was stored before is safe. Check the disk, then "
			"'cadforge fsck'",
			s->file, os ? strerror(os) : "no reason given", rc);
	case SQLITE_CORRUPT:
		if (!s->known)
			return err_set(
				e, ERR_INPUT,
				"%s: the database is damaged (%s) where its tables are listed, or cut "
				"short, so nothing in it can be read. Put a copy of 'cadforge db "
				"backup' in its place; without one, 'sqlite3 FILE .recover' takes rows "
				"out",
				s->file, s->db ? sqlite3_errmsg(s->db) : "");
		return err_set(e, ERR_INPUT,
		               "%s: the database is damaged (%s). 'cadforge fsck' says what is "
		               "affected; 'cadforge db backup' keeps copies to go back to",
		               s->file, s->db ? sqlite3_errmsg(s->db) : "");
	case SQLITE_NOTADB:
		return err_set(e, ERR_INPUT,
		               "%s: is no SQLite database, or its first page is damaged. Name the "
		               "right file with --db, or put a copy of 'cadforge db backup' in its "
		               "place",
		               s->file);
	case SQLITE_NOMEM:
		return err_set(e, ERR_MEM, "%s: out of memory", s->file);
	case SQLITE_TOOBIG:
		return err_set(e, ERR_INPUT, "%s: a text or artifact is larger than 1 GB", s->file);
	case SQLITE_CONSTRAINT:
		return err_set(e, ERR_INPUT, "%s: refused: %s", s->file, sqlite3_errmsg(s->db));
	default:
		return err_set(e, ERR_IO, "%s: %s (SQLite %d)", s->file,
		               s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), rc);
	}
}

void store_at(struct store *s, const char *step)
{
	if (s->o.step)
		s->o.step(s->o.ctx, step);
}

/* ---- statements ---- */

sqlite3_stmt *store_sql(struct store *s, const char *sql, struct err *e)
{
	sqlite3_stmt *q = NULL;

	/* one that is being stepped through is somebody's listing, whose callback asks the same */
	for (int i = 0; i < s->n_statements; i++)
		if (s->statement[i].sql == sql && !sqlite3_stmt_busy(s->statement[i].stmt)) {
			q = s->statement[i].stmt;
			sqlite3_reset(q);
			sqlite3_clear_bindings(q);
			return q;
		}
	if (s->n_statements == STORE_STATEMENTS) {
		err_set(e, ERR_IO, "%s: more than %d kinds of question at once", s->file,
		        STORE_STATEMENTS);
		return NULL;
	}
	int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL);
	if (rc != SQLITE_OK) {
		store_fault(s, rc, e);
		return NULL;
	}
	s->statement[s->n_statements].sql = sql;
	s->statement[s->n_statements++].stmt = q;
	return q;
}

static int bind_text(sqlite3_stmt *q, int i, const char *text)
{
	struct buf clean = { 0 };
	int rc;

	if (!text)
		return sqlite3_bind_null(q, i);
	if (utf8_valid(text, strlen(text), NULL))
		return sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
	utf8_clean(&clean, text, strlen(text));
	rc = buf_failed(&clean) ? SQLITE_NOMEM
	                        : sqlite3_bind_text(q, i, buf_str(&clean), -1, SQLITE_TRANSIENT);
	buf_release(&clean);
	return rc;
}

static int bind_all(struct store *s, sqlite3_stmt *q, struct err *e, const char *letters,
                    va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; letters[i - 1] && rc == SQLITE_OK; i++) {
		int64_t v;
		double d;
		const void *p;
		switch (letters[i - 1]) {
		case 'i':
			rc = sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
			break;
		case 'I':
			v = va_arg(ap, int64_t);
			rc = v ? sqlite3_bind_int64(q, i, v) : sqlite3_bind_null(q, i);
			break;
		case 'n':
			v = va_arg(ap, int);
			rc = v >= 0 ? sqlite3_bind_int64(q, i, v) : sqlite3_bind_null(q, i);
			break;
		case 't':
			rc = bind_text(q, i, va_arg(ap, const char *));
			break;
		case 'd':
			d = va_arg(ap, double);
			rc = isnan(d) ? sqlite3_bind_null(q, i) : sqlite3_bind_double(q, i, d);
			break;
		case 'b':
			p = va_arg(ap, const void *);
			rc = sqlite3_bind_blob64(q, i, p ? p : "", va_arg(ap, size_t),
			                         SQLITE_STATIC);
			break;
		default:
			rc = SQLITE_MISUSE;
		}
	}
	return rc == SQLITE_OK ? 0 : store_fault(s, rc, e);
}

int store_bind(struct store *s, sqlite3_stmt *q, struct err *e, const char *letters, ...)
{
	va_list ap;

	va_start(ap, letters);
	int rc = bind_all(s, q, e, letters, ap);
	va_end(ap);
	return rc;
}

int store_step(struct store *s, sqlite3_stmt *q, struct err *e)
{
	int rc = sqlite3_step(q);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE) {
		sqlite3_reset(q);
		return 0;
	}
	store_fault(s, rc, e);
	sqlite3_reset(q);
	return -1;
}

int store_do(struct store *s, struct err *e, const char *sql, const char *letters, ...)
{
	sqlite3_stmt *q = store_sql(s, sql, e);
	va_list ap;
	int rc;

	if (!q)
		return -1;
	va_start(ap, letters);
	rc = bind_all(s, q, e, letters, ap);
	va_end(ap);
	if (rc == 0 && (rc = store_step(s, q, e)) > 0)
		rc = 0;
	sqlite3_reset(q);
	/* what was bound is the caller's and may be gone soon */
	sqlite3_clear_bindings(q);
	return rc;
}

int store_ask(struct store *s, struct err *e, int64_t *out, const char *sql, const char *letters,
              ...)
{
	sqlite3_stmt *q = store_sql(s, sql, e);
	va_list ap;
	int rc;

	if (!q)
		return -1;
	va_start(ap, letters);
	rc = bind_all(s, q, e, letters, ap);
	va_end(ap);
	if (rc == 0 && (rc = store_step(s, q, e)) > 0) {
		*out = sqlite3_column_int64(q, 0);
		rc = 0;
	}
	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return rc;
}

const char *store_column_text(sqlite3_stmt *q, int column)
{
	return (const char *)sqlite3_column_text(q, column);
}

double store_column_figure(sqlite3_stmt *q, int column)
{
	return sqlite3_column_type(q, column) == SQLITE_NULL ? NAN
	                                                     : sqlite3_column_double(q, column);
}

/* ---- packing ---- */

int store_unpack(struct store *s, const void *data, size_t len, size_t bytes, struct buf *out)
{
	unsigned long long n = data ? ZSTD_getFrameContentSize(data, len) : ZSTD_CONTENTSIZE_ERROR;
	char *room;

	if (n == ZSTD_CONTENTSIZE_ERROR || n == ZSTD_CONTENTSIZE_UNKNOWN || n > bytes)
		return -1;
	room = buf_room(out, (size_t)n);
	if (!room)
		return -1;
	size_t got = ZSTD_decompressDCtx(s->unpack, room, (size_t)n, data, len);
	if (ZSTD_isError(got) || got != n)
		return -1;
	buf_grew(out, (size_t)n);
	return 0;
}

static void add_words(struct buf *out, const cJSON *v)
{
	const cJSON *x;

	/* who said it is no word of it */
	if (cJSON_IsString(v) && !(v->string && strcmp(v->string, "role") == 0)) {
		if (out->len)
			buf_addc(out, '\n');
		buf_adds(out, v->valuestring);
	}
	cJSON_ArrayForEach(x, v) add_words(out, x);
}

/* cadforge_text(artifact), cadforge_words(artifact): the text that is searched. */
static void sql_text(sqlite3_context *c, int n, sqlite3_value **v)
{
	bool words = sqlite3_user_data(c) != NULL;
	struct buf raw = { 0 }, text = { 0 }, clean = { 0 };
	cJSON *json = NULL;

	(void)n;
	if (sqlite3_value_type(v[0]) != SQLITE_BLOB) {
		sqlite3_result_null(c);
		return;
	}
	const void *data = sqlite3_value_blob(v[0]);
	size_t len = (size_t)sqlite3_value_bytes(v[0]);
	unsigned long long bytes = ZSTD_getFrameContentSize(data, len);
	if (bytes == ZSTD_CONTENTSIZE_ERROR || bytes == ZSTD_CONTENTSIZE_UNKNOWN ||
	    bytes > (64 << 20))
		goto out; /* no text that a person reads */
	char *room = buf_room(&raw, (size_t)bytes);
	if (!room || ZSTD_isError(ZSTD_decompress(room, (size_t)bytes, data, len)))
		goto out;
	buf_grew(&raw, (size_t)bytes);
	if (words && (json = json_parse(buf_str(&raw), raw.len, NULL)))
		add_words(&text, json);
	const struct buf *from = json ? &text : &raw;
	utf8_clean(&clean, buf_str(from), from->len);
out:
	if (clean.data && !buf_failed(&clean) && !buf_failed(&text))
		sqlite3_result_text64(c, clean.data, clean.len, SQLITE_TRANSIENT, SQLITE_UTF8);
	else
		sqlite3_result_null(c);
	cJSON_Delete(json);
	buf_release(&raw);
	buf_release(&text);
	buf_release(&clean);
}

/* cadforge_unseeded(sampling): how tokens were drawn, without the seed, so that draws from one
 * setting are alike. */
static void sql_unseeded(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *text = (const char *)sqlite3_value_text(v[0]);
	struct buf out = { 0 };
	cJSON *json = text ? json_parse(text, (size_t)sqlite3_value_bytes(v[0]), NULL) : NULL;

	(void)n;
	if (cJSON_IsObject(json)) {
		cJSON_DeleteItemFromObjectCaseSensitive(json, "seed");
		json_print(&out, json);
		text = buf_failed(&out) ? NULL : buf_str(&out);
	}
	if (text)
		sqlite3_result_text(c, text, -1, SQLITE_TRANSIENT);
	else
		sqlite3_result_text(c, "", 0, SQLITE_STATIC);
	cJSON_Delete(json);
	buf_release(&out);
}

/* ---- transactions ---- */

int store_begin(struct store *s, struct err *e)
{
	int64_t version = 0;

	if (s->mode != STORE_WRITE)
		return err_set(e, ERR_INPUT, "%s: was opened for reading", s->file);
	if (s->failed)
		return err_set(e, ERR_INPUT,
		               "%s: an earlier write of this batch failed, so it cannot go on",
		               s->file);
	if (s->open)
		return 0;
	store_at(s, "begin");
	if (store_do(s, e, "BEGIN IMMEDIATE", "") < 0)
		return -1;
	s->open = true;
	if (store_ask(s, e, &version, "PRAGMA user_version", "") < 0)
		goto undo;
	if (version != STORE_VERSION + s->o.n_more_migrations) {
		err_set(e, ERR_INPUT,
		        "%s: another program has brought it to schema version %lld meanwhile; "
		        "end this one and start the newer one",
		        s->file, (long long)version);
		goto undo;
	}
	if (!s->session) {
		struct utsname u;
		if (uname(&u) < 0)
			strcpy(u.nodename, "-");
		if (store_do(s, e,
		             "INSERT INTO sessions (started_us, program, host, process) "
		             "VALUES (?1, ?2, ?3, ?4)",
		             "itti", store_now_us(), PACKAGE_STRING, u.nodename,
		             (int64_t)getpid()) < 0)
			goto undo;
		s->session = sqlite3_last_insert_rowid(s->db);
	}
	if (s->loss_seen && !s->loss_told) {
		char hex[SHA256_HEX], about[256];
		struct tip now;
		if (store_tip(s, &now, e) < 0)
			goto undo;
		hex_of(hex, s->loss.hash);
		snprintf(about, sizeof(about), "{\"had\":%lld,\"had_hash\":\"%s\",\"found\":%lld}",
		         (long long)s->loss.seq, hex, (long long)now.seq);
		unsigned char digest[SHA256_BYTES];
		if (store_digest(s, "loss", 0, about, digest, e) < 0 ||
		    store_link_add(s, "loss", 0, about, digest, e) < 0)
			goto undo;
		s->loss_told = true;
	}
	return 0;
undo:
	return store_end(s, -1, e);
}

static void take_back(struct store *s)
{
	/* SQLite may have rolled back by itself */
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->open = false;
	s->session = s->session_kept;
	if (s->loss_seen)
		s->loss_told = false;
	s->tip.seq = 0;
}

static void checkpoint(struct store *s, int mode)
{
	store_at(s, "checkpoint");
	/* what stays in the log is as safe there: a failure needs no words */
	sqlite3_wal_checkpoint_v2(s->db, "main", mode, NULL, NULL);
	store_at(s, "checkpointed");
}

int store_end(struct store *s, int rc, struct err *e)
{
	if (!s->open)
		return rc;
	if (s->depth > 0) {
		if (rc < 0)
			s->failed = true;
		return rc;
	}
	if (rc == 0) {
		store_at(s, "commit");
		rc = store_do(s, e, "COMMIT", "");
	}
	if (rc < 0) {
		take_back(s);
		return rc;
	}
	s->open = false;
	s->session_kept = s->session;
	store_at(s, "committed");
	if (s->loss_told) {
		s->loss_seen = s->loss_told = false;
		if (s->tip.seq)
			head_write(s->file, s->id, &s->tip, true);
	} else if (s->tip.seq) {
		/* behind is no fault: fsck says so, and the next one brings it up */
		head_write(s->file, s->id, &s->tip, s->fresh);
	}
	s->fresh = false;
	s->tip.seq = 0;
	store_at(s, "head");
	return 0;
}

int store_batch_begin(struct store *s, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	s->depth++;
	return 0;
}

int store_batch_end(struct store *s, bool keep, struct err *e)
{
	if (s->depth == 0)
		return err_set(e, ERR_INPUT, "%s: there is no batch to end", s->file);
	if (!keep)
		s->failed = true;
	s->depth--;
	if (s->depth > 0)
		return 0;
	bool failed = s->failed;
	s->failed = false;
	if (!failed)
		return store_end(s, 0, e);
	take_back(s);
	if (keep)
		return err_set(e, ERR_IO,
		               "%s: a write of this batch failed, so nothing of it was stored",
		               s->file);
	return 0;
}

static int on_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	*(int *)ctx = pages;
	return SQLITE_OK;
}

void store_tend(struct store *s)
{
	int least = s->o.log_pages ? s->o.log_pages : TEND_PAGES;

	if (s->mode == STORE_WRITE && !s->open && s->log_pages >= least) {
		checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
		s->log_pages = 0;
	}
}

/* ---- the chain ---- */

int store_tip(struct store *s, struct tip *out, struct err *e)
{
	sqlite3_stmt *q = store_sql(s, "SELECT seq, hash FROM links ORDER BY seq DESC LIMIT 1", e);
	int rc = q ? store_step(s, q, e) : -1;

	*out = (struct tip){ 0 };
	if (rc > 0 && sqlite3_column_bytes(q, 1) == SHA256_BYTES) {
		out->seq = sqlite3_column_int64(q, 0);
		memcpy(out->hash, sqlite3_column_blob(q, 1), SHA256_BYTES);
	}
	if (q)
		sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_link_next(struct store *s, int64_t *seq, struct err *e)
{
	struct tip t;

	if (store_tip(s, &t, e) < 0)
		return -1;
	*seq = t.seq + 1;
	return 0;
}

/* Typed, with lengths, so that no two different rows give the same bytes. */
static void hash_value(struct sha256 *h, char type, const void *data, size_t len)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%c%zu:", type, len);

	sha256_add(h, head, (size_t)n);
	sha256_add(h, data, len);
}

static void hash_number(struct sha256 *h, int64_t v)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRId64, v);

	hash_value(h, 'i', text, (size_t)n);
}

static void hash_column(struct sha256 *h, sqlite3_stmt *q, int i)
{
	char text[40];
	int n;

	switch (sqlite3_column_type(q, i)) {
	case SQLITE_INTEGER:
		hash_number(h, sqlite3_column_int64(q, i));
		break;
	case SQLITE_FLOAT:
		n = snprintf(text, sizeof(text), "%.17g", sqlite3_column_double(q, i));
		hash_value(h, 'd', text, (size_t)n);
		break;
	case SQLITE_TEXT:
		hash_value(h, 't', sqlite3_column_text(q, i), (size_t)sqlite3_column_bytes(q, i));
		break;
	case SQLITE_BLOB:
		hash_value(h, 'b', sqlite3_column_blob(q, i), (size_t)sqlite3_column_bytes(q, i));
		break;
	default:
		hash_value(h, 'n', "", 0);
	}
}

void store_link_hash(unsigned char out[SHA256_BYTES], const unsigned char before[SHA256_BYTES],
                     int64_t seq, int64_t time_us, const char *kind, int64_t subject,
                     const char *about, const unsigned char digest[SHA256_BYTES])
{
	struct sha256 h;

	sha256_start(&h);
	hash_value(&h, 't', "cadforge-link-1", 15);
	hash_value(&h, 'b', before, SHA256_BYTES);
	hash_number(&h, seq);
	hash_number(&h, time_us);
	hash_value(&h, 't', kind, strlen(kind));
	hash_number(&h, subject);
	hash_value(&h, 't', about, strlen(about));
	hash_value(&h, 'b', digest, SHA256_BYTES);
	sha256_end(&h, out);
}

/* Adds the rows to @h; their number, or -1. */
static int hash_rows(struct store *s, struct sha256 *h, struct err *e, const char *sql, int64_t a,
                     int64_t b, int64_t c)
{
	sqlite3_stmt *q = store_sql(s, sql, e);
	int n = 0, rc, all;

	if (!q)
		return -1;
	all = sqlite3_bind_parameter_count(q);
	sqlite3_bind_int64(q, 1, a);
	if (all > 1)
		sqlite3_bind_int64(q, 2, b);
	if (all > 2)
		sqlite3_bind_int64(q, 3, c);
	while ((rc = store_step(s, q, e)) > 0) {
		hash_value(h, 'r', "", 0);
		for (int i = 0; i < sqlite3_column_count(q); i++)
			hash_column(h, q, i);
		n++;
	}
	return rc < 0 ? -1 : n;
}

int store_digest(struct store *s, const char *kind, int64_t subject, const char *about,
                 unsigned char out[SHA256_BYTES], struct err *e)
{
	struct sha256 h;
	int n = 1;

	sha256_start(&h);
	hash_value(&h, 't', kind, strlen(kind));
	hash_value(&h, 't', about, strlen(about));
	if (strcmp(kind, "turn") == 0) {
		n = hash_rows(s, &h, e,
		              "SELECT id, episode, number, parent, session, source, started_us, "
		              "committed_us, model, model_hash, adapter, adapter_hash, backend, "
		              "sampling, finish, member, prompt_tokens, completion_tokens, built, "
		              "class, total, build, topology, contact, semantic_parts, "
		              "reference_similarity, silhouette, editability, efficiency, link "
		              "FROM turns WHERE id = ?1",
		              subject, 0, 0);
		if (n > 0 &&
		    (hash_rows(s, &h, e,
		               "SELECT x.name, x.kind, a.hash, a.bytes FROM turn_artifacts x "
		               "JOIN artifacts a ON a.id = x.artifact WHERE x.turn = ?1 "
		               "ORDER BY x.name",
		               subject, 0, 0) < 0 ||
		     hash_rows(s, &h, e,
		               "SELECT number, text FROM notes WHERE turn = ?1 ORDER BY number",
		               subject, 0, 0) < 0 ||
		     hash_rows(s, &h, e,
		               "SELECT v.number, v.time_us, v.kind, v.data FROM turns t "
		               "JOIN events v ON v.episode = t.episode AND v.turn = t.number "
		               "WHERE t.id = ?1 ORDER BY v.number",
		               subject, 0, 0) < 0))
			return -1;
	} else if (strcmp(kind, "episode") == 0) {
		n = hash_rows(s, &h, e,
		              "SELECT id, session, run, task, pack, task_hash, profile, "
		              "profile_hash, prompts, prompts_hash, source, origin, settings, "
		              "created_us, link FROM episodes WHERE id = ?1",
		              subject, 0, 0);
	} else if (strcmp(kind, "events") == 0) {
		long long episode, first, last;
		if (sscanf(about, "%lld %lld %lld", &episode, &first, &last) != 3)
			n = 0;
		else
			n = hash_rows(s, &h, e,
			              "SELECT number, time_us, kind, data FROM events "
			              "WHERE episode = ?1 AND number BETWEEN ?2 AND ?3 "
			              "ORDER BY number",
			              episode, first, last);
		if (n > 0 && n != last - first + 1)
			n = 0;
	} else if (strcmp(kind, "judgement") == 0) {
		n = hash_rows(s, &h, e,
		              "SELECT id, turn, time_us, \"as\", grade, note, tags, session, link "
		              "FROM judgements WHERE id = ?1",
		              subject, 0, 0);
	} else if (strcmp(kind, "curriculum") == 0) {
		n = hash_rows(s, &h, e,
		              "SELECT id, time_us, \"as\", class, change, weight, why, session, "
		              "link FROM curriculum WHERE id = ?1",
		              subject, 0, 0);
	} else if (strcmp(kind, "steps") == 0) {
		long long run, first, last;
		if (sscanf(about, "%lld %lld %lld", &run, &first, &last) != 3)
			n = 0;
		else
			n = hash_rows(s, &h, e,
			              "SELECT number, kind, step, time_us, loss, lr, norm, "
			              "tokens, seconds, data FROM steps WHERE run = ?1 AND "
			              "number BETWEEN ?2 AND ?3 ORDER BY number",
			              run, first, last);
		if (n > 0 && n != last - first + 1)
			n = 0;
	} else if (strcmp(kind, "rollouts") == 0) {
		long long run, first, last;
		if (sscanf(about, "%lld %lld %lld", &run, &first, &last) != 3)
			n = 0;
		else
			n = hash_rows(s, &h, e,
			              "SELECT number, turn, step, \"group\", member, round, kind, "
			              "reward, advantage, use, link FROM rollouts WHERE run = ?1 "
			              "AND number BETWEEN ?2 AND ?3 ORDER BY number",
			              run, first, last);
		if (n > 0 && n != last - first + 1)
			n = 0;
	} else if (strcmp(kind, "sample") == 0) {
		n = hash_rows(s, &h, e,
		              "SELECT episode, run, step, link FROM run_samples "
		              "WHERE episode = ?1",
		              subject, 0, 0);
	} else if (strcmp(kind, "run") == 0) {
		n = hash_rows(s, &h, e,
		              "SELECT id, session, kind, started_us, settings, link "
		              "FROM runs WHERE id = ?1",
		              subject, 0, 0);
	}
	sha256_end(&h, out);
	return n < 0 ? -1 : n > 0;
}

int store_link_add(struct store *s, const char *kind, int64_t subject, const char *about,
                   const unsigned char digest[SHA256_BYTES], struct err *e)
{
	struct tip t;
	int64_t now = store_now_us();
	unsigned char hash[SHA256_BYTES];

	if (store_tip(s, &t, e) < 0)
		return -1;
	store_link_hash(hash, t.hash, t.seq + 1, now, kind, subject, about, digest);
	if (store_do(s, e,
	             "INSERT INTO links (seq, time_us, kind, subject, about, digest, hash) "
	             "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	             "iitItbb", t.seq + 1, now, kind, subject, about, digest, (size_t)SHA256_BYTES,
	             hash, (size_t)SHA256_BYTES) < 0)
		return -1;
	s->tip.seq = t.seq + 1;
	memcpy(s->tip.hash, hash, SHA256_BYTES);
	store_at(s, "link");
	return 0;
}

int store_link_row(struct store *s, const char *kind, int64_t subject, const char *about,
                   struct err *e)
{
	unsigned char digest[SHA256_BYTES];

	if (store_digest(s, kind, subject, about, digest, e) < 0)
		return -1;
	return store_link_add(s, kind, subject, about, digest, e);
}

/* ---- opening ---- */

static int make_folders(const char *file, struct err *e)
{
	char dir[PATH_MAX];

	folder_of(dir, sizeof(dir), file);
	for (char *p = dir + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char c = *p;
		*p = '\0';
		/* sessions are nobody else's business */
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return err_errno(e, ERR_IO,
			                 "%s: its folder %s cannot be made; make it, or name "
			                 "another file with --db",
			                 file, dir);
		*p = c;
		if (!c)
			return 0;
	}
}

static int exec(struct store *s, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_fault(s, rc, e);
}

static int connect_to(struct store *s, const char *name, int flags, struct err *e)
{
	static const struct {
		const char *name;
		void *words;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = { { "cadforge_text", NULL, sql_text },
		          { "cadforge_words", "", sql_text },
		          { "cadforge_unseeded", NULL, sql_unseeded } };
	int rc = sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_EXRESCODE, s->o.vfs);

	if (!s->db)
		return err_set(e, ERR_MEM, "%s: out of memory", s->file);
	if (rc != SQLITE_OK)
		return store_fault(s, rc, e);
	sqlite3_busy_timeout(s->db, s->o.busy_ms ? s->o.busy_ms : BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < sizeof(functions) / sizeof(*functions); i++)
		rc = sqlite3_create_function(s->db, functions[i].name, 1,
		                             SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
		                             functions[i].words, functions[i].call, NULL, NULL);
	return rc == SQLITE_OK ? 0 : store_fault(s, rc, e);
}

static void disconnect(struct store *s)
{
	for (int i = 0; i < s->n_statements; i++)
		sqlite3_finalize(s->statement[i].stmt);
	s->n_statements = 0;
	sqlite3_close(s->db);
	s->db = NULL;
}

/* @version of a database of ours; 0: an empty one. -1: not ours, or not readable. */
static int inspect(struct store *s, int64_t *version, struct err *e)
{
	/* one look: another process may be making the file */
	static const char sql[] = "SELECT (SELECT count(*) FROM sqlite_schema), a.application_id, "
				  "u.user_version FROM pragma_application_id a, "
				  "pragma_user_version u";
	int64_t application = 0, tables = 0;
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		tables = sqlite3_column_int64(q, 0);
		application = sqlite3_column_int64(q, 1);
		*version = sqlite3_column_int64(q, 2);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_OK)
		store_fault(s, rc, e);
	sqlite3_finalize(q);
	if (rc != SQLITE_OK)
		return -1;
	if (tables == 0 && application == 0 && *version == 0)
		return 0;
	if (application != APPLICATION)
		return err_set(e, ERR_INPUT,
		               "%s: is a SQLite database of another program, so it is left alone. "
		               "Name another file with --db",
		               s->file);
	if (*version > STORE_VERSION + s->o.n_more_migrations)
		return err_set(
			e, ERR_INPUT,
			"%s: has schema version %lld, and this cadforge (%s) knows them up "
			"to %d, so it is left alone. Use the newer cadforge that made it, or "
			"name another file with --db",
			s->file, (long long)*version, PACKAGE_VERSION,
			STORE_VERSION + s->o.n_more_migrations);
	return 0;
}

int store_copy(struct store *s, const char *path, const char *steps, struct err *e)
{
	struct store to = { .file = s->file, .o = s->o, .known = true };
	struct store from = { .file = s->file, .o = s->o, .known = true };
	char part[PATH_MAX], name[64];
	sqlite3_backup *b = NULL;
	sqlite3_stmt *q = NULL;
	int rc = -1;

	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return err_set(e, ERR_INPUT, "%s: the name is too long", path);
	if (access(path, F_OK) == 0)
		return err_set(e, ERR_INPUT, "%s: is there already; name another file", path);
	unlink(part);
	to.file = part;
	snprintf(name, sizeof(name), "%s.copied", steps);
	/* a connection of its own: this one may be in the middle of its transaction */
	if (connect_to(&from, s->file, SQLITE_OPEN_READONLY, e) < 0 ||
	    connect_to(&to, part, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e) < 0)
		goto out;
	/* one snapshot, whoever writes meanwhile */
	if (exec(&from, "BEGIN; SELECT count(*) FROM sqlite_schema", e) < 0)
		goto out;
	b = sqlite3_backup_init(to.db, "main", from.db, "main");
	if (!b) {
		store_fault(&to, sqlite3_errcode(to.db), e);
		goto out;
	}
	int step = sqlite3_backup_step(b, -1);
	int end = sqlite3_backup_finish(b);
	if (step != SQLITE_DONE || end != SQLITE_OK) {
		store_fault(end == SQLITE_OK || sqlite3_errcode(to.db) != SQLITE_OK ? &to : &from,
		            end != SQLITE_OK ? end : step, e);
		goto out;
	}
	/* the copy has no log of its own beside it */
	if (exec(&to, "PRAGMA journal_mode = DELETE", e) < 0)
		goto out;
	if (sqlite3_prepare_v2(to.db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW ||
	    strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0) {
		err_set(e, ERR_INPUT,
		        "%s: the copy of it was read again and is damaged (%s): the database itself "
		        "is. 'cadforge fsck' says what is affected",
		        s->file,
		        q && sqlite3_column_text(q, 0) ? (const char *)sqlite3_column_text(q, 0)
		                                       : sqlite3_errmsg(to.db));
		goto out;
	}
	struct tip had, has;
	if (store_tip(&from, &had, e) < 0 || store_tip(&to, &has, e) < 0)
		goto out;
	if (had.seq != has.seq || memcmp(had.hash, has.hash, SHA256_BYTES) != 0) {
		err_set(e, ERR_IO, "%s: the copy has %lld links, the database %lld", part,
		        (long long)has.seq, (long long)had.seq);
		goto out;
	}
	rc = 0;
out:
	sqlite3_finalize(q);
	disconnect(&to);
	disconnect(&from);
	if (rc == 0) {
		store_at(s, name);
		/* never over another one: link() refuses where rename() would not */
		if (link(part, path) < 0)
			rc = err_errno(e, ERR_IO, "%s: the copy cannot be given this name", path);
		else
			store_at(s, "backup.named");
	}
	unlink(part);
	return rc;
}

static int begin_chain(struct store *s, struct err *e)
{
	unsigned char name[16];

	if (getrandom(name, sizeof(name), 0) != sizeof(name))
		return err_errno(e, ERR_IO, "%s: no random numbers", s->file);
	for (int i = 0; i < 16; i++)
		snprintf(s->id + 2 * i, 3, "%02x", name[i]);
	if (store_do(s, e, "INSERT INTO meta (key, value) VALUES ('store', ?1), ('made_by', ?2)",
	             "tt", s->id, PACKAGE_STRING) < 0 ||
	    store_link_row(s, "store", 0, s->id, e) < 0)
		return -1;
	s->fresh = true;
	return 0;
}

/* From @version to the one this program writes, in one transaction. */
static int migrate(struct store *s, struct err *e)
{
	int64_t version = 0, latest = STORE_VERSION + s->o.n_more_migrations;
	char sql[64];
	int rc = -1;

	/* another process may do the same: who comes second finds it done */
	if (exec(s, "BEGIN IMMEDIATE", e) < 0)
		return -1;
	s->open = true;
	if (inspect(s, &version, e) < 0)
		goto out;
	if (version > 0 && version < latest) {
		char path[PATH_MAX], now[40];
		time_t t = time(NULL);
		struct tm tm;
		gmtime_r(&t, &tm);
		strftime(now, sizeof(now), "%Y%m%dT%H%M%SZ", &tm);
		store_at(s, "migrate.copy");
		for (int i = 0; i < 100; i++) {
			int n = snprintf(path, sizeof(path), "%s.v%lld-%s%s%.0d.bak", s->file,
			                 (long long)version, now, i ? "-" : "", i);
			if (n >= (int)sizeof(path) || access(path, F_OK) != 0)
				break;
		}
		if (store_copy(s, path, "migrate", e) < 0) {
			err_wrap(e, "before the migration to schema version %lld",
			         (long long)latest);
			goto out;
		}
	}
	for (; version < latest; version++) {
		store_at(s, "migrate.step");
		if (exec(s,
		         version < STORE_VERSION ? migrations[version]
		                                 : s->o.more_migrations[version - STORE_VERSION],
		         e) < 0) {
			err_wrap(e, "migration to schema version %lld", (long long)version + 1);
			goto out;
		}
		if (version == 0 && begin_chain(s, e) < 0)
			goto out;
	}
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", APPLICATION);
	if (exec(s, sql, e) < 0)
		goto out;
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %lld", (long long)latest);
	if (exec(s, sql, e) < 0)
		goto out;
	store_at(s, "migrate.commit");
	if (exec(s, "COMMIT", e) < 0)
		goto out;
	s->open = false;
	rc = 0;
	store_at(s, "migrated");
out:
	if (rc < 0)
		take_back(s);
	return rc;
}

static void warn(struct store *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct store *s, const char *fmt, ...)
{
	va_list ap;

	if (s->warning.len)
		buf_addc(&s->warning, '\n');
	va_start(ap, fmt);
	buf_vprintf(&s->warning, fmt, ap);
	va_end(ap);
}

/* Whether the chain is as long as FILE.head, read before, knows it. */
static int compare_head(struct store *s, enum head_state state, const char *id,
                        const struct tip *head, struct err *e)
{
	struct tip now;
	sqlite3_stmt *q;
	int rc;

	if (state == HEAD_NONE)
		return 0;
	if (state == HEAD_UNREADABLE) {
		warn(s,
		     "%s.head cannot be read, so a loss at the end would not be seen: 'cadforge fsck "
		     "--repair' writes it anew",
		     s->file);
		return 0;
	}
	if (strcmp(id, s->id) != 0) {
		if (s->fresh)
			warn(s,
			     "%s was made anew, and %s.head speaks of another database there before "
			     "with %lld links: if that was moved or deleted by mistake, put it back",
			     s->file, s->file, (long long)head->seq);
		else
			warn(s,
			     "%s.head belongs to another database than this one: was it put here in "
			     "the place of the other?",
			     s->file);
		s->fresh = true; /* the next commit writes over it */
		return 0;
	}
	if (store_tip(s, &now, e) < 0)
		return -1;
	if (now.seq < head->seq) {
		s->loss_seen = true;
		s->loss = *head;
		warn(s,
		     "%s: %lld of %lld links are missing at its end: something that was committed is "
		     "lost (an older copy put back, or a damaged log). 'cadforge fsck' says more",
		     s->file, (long long)(head->seq - now.seq), (long long)head->seq);
		return 0;
	}
	q = store_sql(s, "SELECT hash FROM links WHERE seq = ?1", e);
	if (!q || store_bind(s, q, e, "i", head->seq) < 0 || (rc = store_step(s, q, e)) < 0)
		return -1;
	if (rc == 0 || sqlite3_column_bytes(q, 0) != SHA256_BYTES ||
	    memcmp(sqlite3_column_blob(q, 0), head->hash, SHA256_BYTES) != 0) {
		s->loss_seen = true;
		s->loss = *head;
		warn(s,
		     "%s: link %lld is not the one that was committed: the database was changed from "
		     "outside or put together from two. 'cadforge fsck' says more",
		     s->file, (long long)head->seq);
	}
	sqlite3_reset(q);
	return 0;
}

/* Turns whose process is gone: says so once, and writes it down when it may. */
static int look_for_lost_flights(struct store *s, struct err *e)
{
	struct {
		int64_t episode, started;
		char holder[STORE_HOLDER];
	} dead[16];
	int n = 0, rc;
	sqlite3_stmt *q = store_sql(
		s, "SELECT episode, holder, started_us FROM flights ORDER BY started_us", e);

	if (!q)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		const char *holder = store_column_text(q, 1);
		int64_t started = sqlite3_column_int64(q, 2);
		if (n < 16 && holder_dead(holder, started)) {
			dead[n].episode = sqlite3_column_int64(q, 0);
			dead[n].started = started;
			snprintf(dead[n++].holder, STORE_HOLDER, "%s", holder);
		}
	}
	for (int i = 0; rc == 0 && i < n; i++) {
		char when[32];
		store_local_time(when, sizeof(when), dead[i].started);
		warn(s,
		     "episode %lld: a turn that was begun at %s was not finished, its process is gone; "
		     "what was committed before is whole",
		     (long long)dead[i].episode, when);
		if (s->mode != STORE_WRITE)
			continue;
		struct store_event_new v = { .time_us = store_now_us(),
			                     .kind = "lost",
			                     .data = "the process that made a turn ended before "
			                             "the turn was committed" };
		if (store_begin(s, e) < 0)
			return -1;
		int64_t gone = 0;
		s->depth++;
		rc = store_do(s, e, "DELETE FROM flights WHERE episode = ?1 AND holder = ?2", "it",
		              dead[i].episode, dead[i].holder);
		gone = sqlite3_changes(s->db);
		if (rc == 0 && gone) /* two may be starting at once: one of them tells */
			rc = store_events_add(s, dead[i].episode, &v, 1, e);
		s->depth--;
		s->failed = false;
		rc = store_end(s, rc, e);
	}
	return rc;
}

static int read_id(struct store *s, struct err *e)
{
	sqlite3_stmt *q = store_sql(s, "SELECT value FROM meta WHERE key = 'store'", e);
	int rc = q ? store_step(s, q, e) : -1;

	if (rc > 0) {
		const char *id = store_column_text(q, 0);
		snprintf(s->id, sizeof(s->id), "%s", id ? id : "");
	}
	if (q)
		sqlite3_reset(q);
	if (rc < 0)
		return -1;
	if (strlen(s->id) != STORE_ID - 1)
		return err_set(
			e, ERR_INPUT,
			"%s: the database is damaged: it has lost its own name. Put a copy of "
			"'cadforge db backup' in its place",
			s->file);
	return 0;
}

/* On a read-only disk SQLite may not make the files beside the database that it shares with other
 * processes. Nobody can write there either, so the file can be read as it lies. */
static int open_immutable(struct store *s, struct err *e)
{
	struct buf uri = { 0 };
	char log[PATH_MAX];
	struct stat st;
	int rc;

	buf_adds(&uri, "file:");
	for (const char *p = s->file; *p; p++) {
		if (strchr("%?#", *p))
			buf_printf(&uri, "%%%02x", (unsigned)(unsigned char)*p);
		else
			buf_addc(&uri, *p);
	}
	buf_adds(&uri, "?immutable=1");
	rc = buf_failed(&uri) ? err_set(e, ERR_MEM, "%s: out of memory", s->file)
	                      : connect_to(s, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, e);
	buf_release(&uri);
	if (rc == 0 && snprintf(log, sizeof(log), "%s-wal", s->file) < (int)sizeof(log) &&
	    stat(log, &st) == 0 && st.st_size > 0)
		warn(s,
		     "%s is on a read-only disk, and what its log %s holds (%lld bytes) cannot be read "
		     "there: copy both to a folder of your own to see all",
		     s->file, log, (long long)st.st_size);
	return rc;
}

static int open_reading(struct store *s, int64_t *version, struct err *e)
{
	if (connect_to(s, s->file, SQLITE_OPEN_READONLY, e) == 0 && inspect(s, version, e) == 0)
		return 0;
	int code = s->db ? sqlite3_errcode(s->db) & 0xff : 0;
	if ((code != SQLITE_CANTOPEN && code != SQLITE_READONLY) || access(s->file, R_OK) < 0)
		return -1;
	disconnect(s);
	*e = (struct err){ 0 };
	if (open_immutable(s, e) < 0)
		return -1;
	return inspect(s, version, e);
}

static int open_writing(struct store *s, int64_t *version, struct err *e)
{
	sqlite3_stmt *q = NULL;
	char sql[64];
	int rc;

	if (connect_to(s, s->file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e) < 0 ||
	    inspect(s, version, e) < 0)
		return -1;
	if (sqlite3_db_readonly(s->db, "main") == 1)
		return store_fault(s, SQLITE_READONLY, e);
	if (*version == 0) { /* both count for a new file only, and the second writes */
		snprintf(sql, sizeof(sql), "PRAGMA page_size = %d", PAGE_BYTES);
		if (exec(s, sql, e) < 0 || exec(s, "PRAGMA auto_vacuum = INCREMENTAL", e) < 0)
			return -1;
	}
	/* two that make the file at once get in each other's way without the busy handler */
	for (int i = 0;; i++) {
		rc = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &q, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_step(q);
		bool wal = rc == SQLITE_ROW &&
		           strcmp((const char *)sqlite3_column_text(q, 0), "wal") == 0;
		sqlite3_finalize(q);
		q = NULL;
		if (wal)
			break;
		if (rc == SQLITE_ROW)
			return err_set(
				e, ERR_IO,
				"%s: a write-ahead log is not possible here (a network disk?). "
				"Name a file on a disk of this machine with --db",
				s->file);
		if ((rc & 0xff) != SQLITE_BUSY || i == 200)
			return store_fault(s, rc, e);
		usleep(25000);
	}
	if (exec(s, "PRAGMA synchronous = FULL", e) < 0 ||
	    exec(s, "PRAGMA journal_size_limit = 67108864", e) < 0)
		return -1;
	sqlite3_wal_hook(s->db, on_log, &s->log_pages); /* in place of the automatic checkpoint */
	return 0;
}

struct store *store_open(const char *path, enum store_mode mode, const struct store_options *o,
                         struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));
	struct err own = { 0 };
	enum head_state state;
	char id[STORE_ID] = "";
	struct tip head = { 0 };
	int64_t version = 0;
	struct stat st;
	char real[PATH_MAX];

	if (!e)
		e = &own;
	*e = (struct err){ 0 };
	if (!s) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	s->mode = mode;
	if (o)
		s->o = *o;
	/* "./" keeps names such as :memory: what they are: names */
	if (asprintf(&s->file, "%s%s", *path == '/' ? "" : "./", path) < 0) {
		s->file = NULL;
		err_set(e, ERR_MEM, "out of memory");
		goto fail;
	}
	if (!*path) {
		err_set(e, ERR_USAGE, "the name of a database was expected, got nothing");
		goto fail;
	}
	if (stat(s->file, &st) == 0) {
		if (S_ISDIR(st.st_mode)) {
			err_set(e, ERR_INPUT,
			        "%s: is a folder, a database was expected; name a file in it",
			        path);
			goto fail;
		}
		if (!S_ISREG(st.st_mode)) {
			err_set(e, ERR_INPUT, "%s: is no regular file, a database was expected",
			        path);
			goto fail;
		}
	} else if (mode == STORE_READ) {
		if (errno == ENOENT)
			err_set(e, ERR_INPUT,
			        "%s: there is no database there yet; 'cadforge run' makes one, --db "
			        "names another",
			        path);
		else
			err_errno(e, ERR_INPUT, "%s: cannot be opened", path);
		goto fail;
	} else if (make_folders(s->file, e) < 0) {
		goto fail;
	}
	/* the log and FILE.head lie beside the file itself, not beside a link to it */
	if (realpath(s->file, real)) {
		char *copy = strdup(real);
		if (copy) {
			free(s->file);
			s->file = copy;
		}
	}
	s->pack = ZSTD_createCCtx();
	s->unpack = ZSTD_createDCtx();
	if (!s->pack || !s->unpack) {
		err_set(e, ERR_MEM, "out of memory");
		goto fail;
	}
	holder_self(s->holder);
	/* before the database: what is committed meanwhile only makes the chain longer */
	state = head_read(s->file, id, &head);
	if (mode == STORE_READ) {
		if (open_reading(s, &version, e) < 0)
			goto fail;
		if (version == 0) {
			err_set(e, ERR_INPUT,
			        "%s: is empty; 'cadforge run' fills one, --db names another",
			        s->file);
			goto fail;
		}
		if (version < STORE_VERSION + s->o.n_more_migrations) {
			err_set(e, ERR_INPUT,
			        "%s: has the older schema version %lld: 'cadforge fsck' brings it up "
			        "to date (and keeps a copy)",
			        s->file, (long long)version);
			goto fail;
		}
	} else {
		if (open_writing(s, &version, e) < 0)
			goto fail;
		if (version < STORE_VERSION + s->o.n_more_migrations && migrate(s, e) < 0)
			goto fail;
	}
	if (read_id(s, e) < 0 || compare_head(s, state, id, &head, e) < 0)
		goto fail;
	s->known = true;
	/* what cannot be written down now, because another one writes, will be by the next */
	look_for_lost_flights(s, NULL);
	return s;
fail:
	store_close(s);
	return NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->db && s->mode == STORE_WRITE) {
		if (s->open)
			take_back(s);
		s->depth = 0;
		s->failed = false;
		if (s->begun > 0)
			store_do(s, NULL, "DELETE FROM flights WHERE holder = ?1", "t", s->holder);
		store_tend(s);
	}
	disconnect(s);
	ZSTD_freeCCtx(s->pack);
	ZSTD_freeDCtx(s->unpack);
	buf_release(&s->warning);
	free(s->file);
	free(s);
}

const char *store_warning(const struct store *s)
{
	return s->warning.len ? buf_str(&s->warning) : NULL;
}

const char *store_file(const struct store *s)
{
	return s->file;
}

/* ---- episodes, runs, flights ---- */

static int want(const char *value, const char *what, struct err *e)
{
	return value && *value ? 0 : err_set(e, ERR_INPUT, "the %s is missing", what);
}

int store_episode_start(struct store *s, const struct store_episode_new *n, int64_t *episode,
                        struct err *e)
{
	int64_t now = n->created_us ? n->created_us : store_now_us(), seq = 0, id = 0;
	char about[32];
	int rc;

	if (want(n->task, "episode's task", e) < 0 ||
	    want(n->profile, "episode's profile", e) < 0 ||
	    want(n->source, "episode's source", e) < 0 || store_begin(s, e) < 0)
		return -1;
	rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "INSERT INTO episodes (session, run, task, pack, task_hash, profile, "
		              "profile_hash, prompts, prompts_hash, source, origin, settings, "
		              "created_us, last_us, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
		              "?9, ?10, ?11, ?12, ?13, ?13, ?14)",
		              "iIttttttttttii", s->session, n->run, n->task, n->pack, n->task_hash,
		              n->profile, n->profile_hash, n->prompts, n->prompts_hash, n->source,
		              n->origin, n->settings, now, seq);
	if (rc == 0) {
		id = sqlite3_last_insert_rowid(s->db);
		snprintf(about, sizeof(about), "%" PRId64, id);
		rc = store_link_row(s, "episode", id, about, e);
	}
	rc = store_end(s, rc, e);
	if (rc == 0)
		*episode = id;
	return rc;
}

int store_episode_by_origin(struct store *s, const char *origin, int64_t *episode, struct err *e)
{
	*episode = 0;
	return store_ask(s, e, episode, "SELECT id FROM episodes WHERE origin = ?1", "t", origin);
}

int store_turn_begin(struct store *s, int64_t episode, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_do(s, e,
	                  "INSERT OR REPLACE INTO flights (episode, holder, started_us) "
	                  "VALUES (?1, ?2, ?3)",
	                  "iti", episode, s->holder, store_now_us());
	rc = store_end(s, rc, e);
	if (rc == 0)
		s->begun++;
	return rc;
}

int store_turn_drop(struct store *s, int64_t episode, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	return store_end(s,
	                 store_do(s, e, "DELETE FROM flights WHERE episode = ?1 AND holder = ?2",
	                          "it", episode, s->holder),
	                 e);
}

int store_run_start(struct store *s, const char *kind, const char *settings_json, int64_t *run,
                    struct err *e)
{
	int64_t seq = 0, id = 0;
	char about[32];
	int rc;

	if (want(kind, "run's kind", e) < 0 || store_begin(s, e) < 0)
		return -1;
	rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "INSERT INTO runs (session, kind, started_us, settings, link) "
		              "VALUES (?1, ?2, ?3, ?4, ?5)",
		              "ititi", s->session, kind, store_now_us(), settings_json, seq);
	if (rc == 0) {
		id = sqlite3_last_insert_rowid(s->db);
		snprintf(about, sizeof(about), "%" PRId64, id);
		rc = store_link_row(s, "run", id, about, e);
	}
	rc = store_end(s, rc, e);
	if (rc == 0)
		*run = id;
	return rc;
}

int store_run_end(struct store *s, int64_t run, const char *outcome, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_do(s, e, "UPDATE runs SET ended_us = ?2, outcome = ?3 WHERE id = ?1", "iit",
	                  run, store_now_us(), outcome);
	if (rc == 0 && sqlite3_changes(s->db) == 0)
		rc = err_set(e, ERR_INPUT, "%s: there is no run %lld", s->file, (long long)run);
	return store_end(s, rc, e);
}

/* ---- turns ---- */

struct content {
	const char *name, *kind;
	const void *data;
	size_t len;
	unsigned char hash[SHA256_BYTES];
	void *packed; /* NULL: it was there already */
	size_t packed_len;
	const char *pruned; /* 64 hex digits: the content is not known */
};

static int pack_content(struct store *s, struct content *c, struct err *e)
{
	size_t room = ZSTD_compressBound(c->len);

	c->packed = malloc(room);
	if (!c->packed)
		return err_set(e, ERR_MEM, "%s: out of memory", c->name);
	ZSTD_CCtx_setParameter(s->pack, ZSTD_c_compressionLevel, PACK_LEVEL);
	size_t n = ZSTD_compress2(s->pack, c->packed, room, c->len ? c->data : "", c->len);
	if (ZSTD_isError(n))
		return err_set(e, ERR_MEM, "%s: %s", c->name, ZSTD_getErrorName(n));
	c->packed_len = n;
	/* it waits for the transaction: not in a room twice its size */
	void *less = realloc(c->packed, n);
	if (less)
		c->packed = less;
	return 0;
}

static int check_artifact(const struct content *v, int i, struct err *e)
{
	const char *name = v[i].name;

	if (!name || !*name || strlen(name) > NAME_MAX_BYTES || strchr(name, '/') ||
	    name[0] == '.' || !utf8_valid(name, strlen(name), NULL))
		return err_set(
			e, ERR_INPUT,
			"artifact '%.60s': a name without a slash, a point in front, of 1 to "
			"%d bytes was expected",
			name ? name : "", NAME_MAX_BYTES);
	if (want(v[i].kind, "artifact's kind", e) < 0)
		return -1;
	if (v[i].pruned && (strlen(v[i].pruned) != (size_t)2 * SHA256_BYTES ||
	                    strspn(v[i].pruned, "0123456789abcdef") != (size_t)2 * SHA256_BYTES))
		return err_set(e, ERR_INPUT, "artifact %s: 64 hexadecimal digits were expected",
		               name);
	if (v[i].len > CONTENT_MAX || (v[i].len && !v[i].data && !v[i].pruned))
		return err_set(e, ERR_INPUT, "artifact %s: has %zu bytes, at most %zu are kept",
		               name, v[i].len, CONTENT_MAX);
	for (int k = 0; k < i; k++)
		if (strcmp(v[k].name, name) == 0)
			return err_set(e, ERR_INPUT, "artifact %s: is there twice", name);
	return 0;
}

/* One whose content nobody has any more: its row is as a prune leaves it. */
static int store_pruned(struct store *s, const struct content *c, int64_t *id, struct err *e)
{
	*id = 0;
	if (store_ask(s, e, id, "SELECT id FROM artifacts WHERE hash = ?1", "b", c->hash,
	              (size_t)SHA256_BYTES) < 0)
		return -1;
	if (*id)
		return 0;
	if (store_do(s, e, "INSERT INTO artifacts (hash, bytes, pruned_us) VALUES (?1, ?2, ?3)",
	             "bii", c->hash, (size_t)SHA256_BYTES, (int64_t)c->len, store_now_us()) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

static int store_content(struct store *s, struct content *c, int64_t *id, struct err *e)
{
	int64_t there = 0;

	*id = 0;
	if (c->pruned)
		return store_pruned(s, c, id, e);
	if (!c->packed) {
		if (store_ask(s, e, id,
		              "SELECT id FROM artifacts WHERE hash = ?1 AND data IS NOT NULL", "b",
		              c->hash, (size_t)SHA256_BYTES) < 0)
			return -1;
		if (*id)
			return 0;
		/* it was pruned since it was looked for */
		if (pack_content(s, c, e) < 0)
			return -1;
	}
	if (store_ask(s, e, &there, "SELECT id FROM artifacts WHERE hash = ?1", "b", c->hash,
	              (size_t)SHA256_BYTES) < 0)
		return -1;
	if (there) {
		*id = there;
		return store_do(s, e,
		                "UPDATE artifacts SET data = ?2, pruned_us = NULL "
		                "WHERE id = ?1 AND data IS NULL",
		                "ib", there, c->packed, c->packed_len);
	}
	if (store_do(s, e, "INSERT INTO artifacts (hash, bytes, data) VALUES (?1, ?2, ?3)", "bib",
	             c->hash, (size_t)SHA256_BYTES, (int64_t)c->len, c->packed, c->packed_len) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

static int add_events(struct store *s, int64_t episode, int turn, const struct store_event_new *v,
                      int n, int64_t *first, struct err *e)
{
	*first = 1;
	if (store_ask(s, e, first,
	              "SELECT number + 1 FROM events WHERE episode = ?1 "
	              "ORDER BY number DESC LIMIT 1",
	              "i", episode) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		if (want(v[i].kind, "event's kind", e) < 0 ||
		    store_do(s, e,
		             "INSERT INTO events (episode, number, turn, time_us, kind, data) "
		             "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		             "iiIitt", episode, *first + i, (int64_t)turn,
		             v[i].time_us ? v[i].time_us : store_now_us(), v[i].kind,
		             v[i].data) < 0)
			return -1;
	}
	return 0;
}

int store_events_add(struct store *s, int64_t episode, const struct store_event_new *v, int n,
                     struct err *e)
{
	int64_t first = 0;
	char about[96];
	int rc;

	if (n <= 0)
		return 0;
	if (store_begin(s, e) < 0)
		return -1;
	rc = add_events(s, episode, 0, v, n, &first, e);
	snprintf(about, sizeof(about), "%" PRId64 " %" PRId64 " %" PRId64, episode, first,
	         first + n - 1);
	if (rc == 0)
		rc = store_link_row(s, "events", episode, about, e);
	return store_end(s, rc, e);
}

/* The row of the turn, its notes and artifacts. */
static int insert_turn(struct store *s, const struct store_turn_new *t, int number, int64_t seq,
                       const struct content *v, const int64_t *ids, int n, int64_t *id,
                       struct err *e)
{
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(t->score, "build");
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(t->score, "reward");
	const cJSON *notes = cJSON_GetObjectItemCaseSensitive(t->score, "notes"), *x;
	int64_t now = store_now_us();
	double f[STORE_TERMS];
	int k = 0;

	for (int i = 0; i < STORE_TERMS; i++)
		f[i] = json_number_or(reward, store_term_names[i], NAN);
	if (store_do(
		    s, e,
		    "INSERT INTO turns (episode, number, parent, session, source, started_us, "
		    "committed_us, model, model_hash, adapter, adapter_hash, backend, sampling, "
		    "finish, member, prompt_tokens, completion_tokens, built, class, total, build, "
		    "topology, contact, semantic_parts, reference_similarity, silhouette, "
		    "editability, efficiency, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
		    "?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, "
		    "?25, ?26, ?27, ?28, ?29)",
		    "iiIitiitttttttInnitdddddddddi", t->episode, (int64_t)number,
		    (int64_t)t->parent, s->session, t->source, t->started_us ? t->started_us : now,
		    t->committed_us ? t->committed_us : now, t->model, t->model_hash, t->adapter,
		    t->adapter_hash, t->backend, t->sampling, t->finish, (int64_t)t->member,
		    t->prompt_tokens, t->completion_tokens,
		    (int64_t)json_bool_or(build, "ok", false), json_string_or(build, "class", NULL),
		    json_number_or(reward, "total", NAN), f[0], f[1], f[2], f[3], f[4], f[5], f[6],
		    f[7], seq) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	cJSON_ArrayForEach(x, notes)
	{
		if (!cJSON_IsString(x))
			continue;
		if (store_do(s, e, "INSERT INTO notes (turn, number, text) VALUES (?1, ?2, ?3)",
		             "iit", *id, (int64_t)++k, x->valuestring) < 0)
			return -1;
	}
	for (int i = 0; i < n; i++)
		if (store_do(s, e,
		             "INSERT INTO turn_artifacts (turn, name, kind, artifact) "
		             "VALUES (?1, ?2, ?3, ?4)",
		             "itti", *id, v[i].name, v[i].kind, ids[i]) < 0)
			return -1;
	return 0;
}

/* Within the transaction. */
static int write_turn(struct store *s, const struct store_turn_new *t, struct content *v, int n,
                      int64_t *ids, int *number, struct err *e)
{
	int64_t before = -1, seq = 0, id = 0, first;
	char about[64];

	if (store_ask(s, e, &before, "SELECT turns FROM episodes WHERE id = ?1", "i", t->episode) <
	    0)
		return -1;
	if (before < 0)
		return err_set(e, ERR_INPUT, "%s: there is no episode %" PRId64, s->file,
		               t->episode);
	if (t->parent < 0 || t->parent > before)
		return err_set(e, ERR_INPUT,
		               "%s: episode %" PRId64 " has %" PRId64
		               " turns, so %d cannot be the parent of a new one",
		               s->file, t->episode, before, t->parent);
	*number = (int)before + 1;
	for (int i = 0; i < n; i++)
		if (store_content(s, &v[i], &ids[i], e) < 0)
			return -1;
	store_at(s, "turn.artifacts");
	if (store_link_next(s, &seq, e) < 0 ||
	    insert_turn(s, t, *number, seq, v, ids, n, &id, e) < 0)
		return -1;
	store_at(s, "turn.row");
	if (add_events(s, t->episode, *number, t->events, t->n_events, &first, e) < 0 ||
	    store_do(s, e, "DELETE FROM flights WHERE episode = ?1 AND holder = ?2", "it",
	             t->episode, s->holder) < 0)
		return -1;
	store_at(s, "turn.events");
	if (store_do(s, e,
	             "INSERT INTO search (rowid, prompt, program, log, notes) "
	             "SELECT id, prompt, program, log, notes FROM search_text WHERE id = ?1",
	             "i", id) < 0 ||
	    store_do(s, e,
	             "UPDATE episodes SET turns = t.number, "
	             "best = iif(t.total > ifnull(best_total, -9e99), t.number, best), "
	             "best_built = iif(t.total > ifnull(best_total, -9e99), t.built, best_built), "
	             "best_total = iif(t.total > ifnull(best_total, -9e99), t.total, best_total), "
	             "last_us = t.committed_us, last_class = t.class, model = t.model, "
	             "adapter = t.adapter FROM turns t WHERE t.id = ?1 AND episodes.id = t.episode",
	             "i", id) < 0 ||
	    store_tally_turn(s, id, e) < 0)
		return -1;
	snprintf(about, sizeof(about), "%" PRId64 ".%d", t->episode, *number);
	return store_link_row(s, "turn", id, about, e);
}

int store_turn_commit(struct store *s, const struct store_turn_new *t, int *number, struct err *e)
{
	struct buf score = { 0 };
	int n = 0, all = t->n_artifacts + 5, rc = -1, made = 0;
	struct content *v = calloc((size_t)all, sizeof(*v));
	int64_t *ids = calloc((size_t)all, sizeof(*ids));

	if (!v || !ids) {
		err_set(e, ERR_MEM, "%s: out of memory", s->file);
		goto out;
	}
	if (!cJSON_IsObject(t->score)) {
		err_set(e, ERR_INPUT, "the turn's score is no JSON object");
		goto out;
	}
	if (want(t->source, "turn's source", e) < 0)
		goto out;
	json_print(&score, t->score);
	if (buf_failed(&score)) {
		err_set(e, ERR_MEM, "%s: out of memory", s->file);
		goto out;
	}
	const struct content own[] = {
		{ .name = "prompt.json",
		  .kind = "prompt",
		  .data = t->prompt,
		  .len = t->prompt_len },
		{ .name = "completion.txt",
		  .kind = "completion",
		  .data = t->completion,
		  .len = t->completion_len },
		{ .name = "program.py", .kind = "code", .data = t->program, .len = t->program_len },
		{ .name = "build.log", .kind = "log", .data = t->log, .len = t->log_len },
		{ .name = "reward.json", .kind = "reward", .data = score.data, .len = score.len },
	};
	for (int i = 0; i < 5; i++)
		if (own[i].data)
			v[n++] = own[i];
	for (int i = 0; i < t->n_artifacts; i++) {
		const struct store_artifact_new *a = &t->artifacts[i];
		v[n++] = (struct content){
			.name = a->name, .kind = a->kind, .data = a->data, .len = a->len,
			.pruned = a->pruned
		};
	}
	/* what takes time is done before others have to wait for the transaction */
	for (int i = 0; i < n; i++) {
		struct sha256 h;
		int64_t there = 0;
		if (check_artifact(v, i, e) < 0)
			goto out;
		if (v[i].pruned) {
			for (int k = 0; k < SHA256_BYTES; k++) {
				unsigned byte = 0;
				sscanf(v[i].pruned + (size_t)2 * k, "%2x", &byte);
				v[i].hash[k] = (unsigned char)byte;
			}
			continue;
		}
		sha256_start(&h);
		sha256_add(&h, v[i].data, v[i].len);
		sha256_end(&h, v[i].hash);
		if (store_ask(s, e, &there,
		              "SELECT id FROM artifacts WHERE hash = ?1 AND data IS NOT NULL", "b",
		              v[i].hash, (size_t)SHA256_BYTES) < 0 ||
		    (!there && pack_content(s, &v[i], e) < 0))
			goto out;
	}
	if (store_begin(s, e) < 0)
		goto out;
	rc = store_end(s, write_turn(s, t, v, n, ids, &made, e), e);
	if (rc == 0) {
		*number = made;
		if (s->log_pages > LOG_PAGES_MAX && !s->open) {
			checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
			s->log_pages = 0;
		}
	}
out:
	for (int i = 0; i < n; i++)
		free(v[i].packed);
	free(v);
	free(ids);
	buf_release(&score);
	return rc;
}

/* ---- the schema ---- */

const char *store_script(const struct store *s, int i)
{
	if (i < STORE_VERSION)
		return migrations[i];
	return i < STORE_VERSION + s->o.n_more_migrations ? s->o.more_migrations[i - STORE_VERSION]
	                                                  : NULL;
}

/* ---- judgements ---- */

int store_judge(struct store *s, const struct store_judgement_new *j, int64_t *id, struct err *e)
{
	struct buf tags = { 0 };
	int64_t turn = 0, seq = 0, made = 0;
	char about[64];
	int rc = -1;

	if (want(j->as, "judge's name", e) < 0)
		return -1;
	if (j->grade > 5)
		return err_set(e, ERR_USAGE, "a grade from 0 to 5 was expected, got %d", j->grade);
	if (j->grade < 0 && !(j->note && *j->note) && j->n_tags == 0)
		return err_set(e, ERR_USAGE, "a judgement needs a grade, a note or a tag");
	for (int i = 0; i < j->n_tags; i++) {
		const char *t = j->tags[i];
		if (!t || !*t || strpbrk(t, " ,\t\n") || !utf8_valid(t, strlen(t), NULL)) {
			err_set(e, ERR_USAGE,
			        "a tag is one word without blanks and commas, got '%.60s'",
			        t ? t : "");
			goto out;
		}
		buf_printf(&tags, "%s%s", i ? " " : "", t);
	}
	if (buf_failed(&tags)) {
		err_set(e, ERR_MEM, "%s: out of memory", s->file);
		goto out;
	}
	if (store_begin(s, e) < 0)
		goto out;
	rc = store_ask(s, e, &turn, "SELECT id FROM turns WHERE episode = ?1 AND number = ?2", "ii",
	               j->episode, (int64_t)j->turn);
	if (rc == 0 && !turn)
		rc = err_set(e, ERR_INPUT, "%s: there is no turn %" PRId64 ".%d", s->file,
		             j->episode, j->turn);
	if (rc == 0)
		rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "INSERT INTO judgements (turn, time_us, \"as\", grade, note, tags, "
		              "session, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		              "iitnttii", turn, j->time_us ? j->time_us : store_now_us(), j->as,
		              j->grade, j->note, tags.len ? tags.data : NULL, s->session, seq);
	if (rc == 0) {
		made = sqlite3_last_insert_rowid(s->db);
		snprintf(about, sizeof(about), "%" PRId64 ".%d", j->episode, j->turn);
		rc = store_do(s, e,
		              "INSERT INTO judgement_search (rowid, note, tags) "
		              "SELECT id, note, tags FROM judgements WHERE id = ?1",
		              "i", made);
	}
	if (rc == 0)
		rc = store_link_row(s, "judgement", made, about, e);
	rc = store_end(s, rc, e);
	if (rc == 0 && id)
		*id = made;
out:
	buf_release(&tags);
	return rc;
}
