/*
 * store_sql.c - the door to SQLite: statements by their literals, values in and out, the functions
 * that the schema calls, and words for people when something went wrong.
 */
#include "src/store_inside.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "src/base/utf8.h"

/* ---- words for what went wrong ---- */

void store_folder_of(char *out, size_t size, const char *file)
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

	store_folder_of(dir, sizeof(dir), s->file);
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

	store_folder_of(dir, sizeof(dir), file);
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
			s->file, who, (s->o.busy_ms ? s->o.busy_ms : STORE_BUSY_MS) / 1e3);
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

/* ---- packing, and the functions that the schema calls ---- */

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

int store_functions(sqlite3 *db)
{
	static const struct {
		const char *name;
		void *words;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = { { "cadforge_text", NULL, sql_text },
		          { "cadforge_words", "", sql_text },
		          { "cadforge_unseeded", NULL, sql_unseeded } };
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < sizeof(functions) / sizeof(*functions); i++)
		rc = sqlite3_create_function(db, functions[i].name, 1,
		                             SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
		                             functions[i].words, functions[i].call, NULL, NULL);
	return rc;
}
