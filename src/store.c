/*
 * store.c - opens and closes a database: connects, migrates, looks at its head and at what was left
 * under way.
 */
#include "src/store_inside.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "src/schema_2_sql.h"
#include "src/schema_3_sql.h"
#include "src/schema_4_sql.h"
#include "src/schema_sql.h"

enum {
	APPLICATION = 0x43414446, /* "CADF" */
	PAGE_BYTES = 8192,        /* artifacts are long: fewer, larger pages */
};

static const char *const migrations[STORE_VERSION] = { (const char *)schema_sql,
	                                               (const char *)schema_2_sql,
	                                               (const char *)schema_3_sql,
	                                               (const char *)schema_4_sql };

/* ---- the schema ---- */

const char *store_script(const struct store *s, int i)
{
	if (i < STORE_VERSION)
		return migrations[i];
	return i < STORE_VERSION + s->o.n_more_migrations ? s->o.more_migrations[i - STORE_VERSION]
	                                                  : NULL;
}

/* ---- opening ---- */

static int make_folders(const char *file, struct err *e)
{
	char dir[PATH_MAX];

	store_folder_of(dir, sizeof(dir), file);
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
	int rc = sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_EXRESCODE, s->o.vfs);

	if (!s->db)
		return err_set(e, ERR_MEM, "%s: out of memory", s->file);
	if (rc != SQLITE_OK)
		return store_fault(s, rc, e);
	sqlite3_busy_timeout(s->db, s->o.busy_ms ? s->o.busy_ms : STORE_BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	rc = store_functions(s->db);
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
		store_take_back(s);
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
	sqlite3_wal_hook(s->db, store_on_log,
	                 &s->log_pages); /* in place of the automatic checkpoint */
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
			store_take_back(s);
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
