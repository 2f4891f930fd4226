/*
 * store_chain.c - transactions, and the chain: what was committed cannot be changed unseen.
 *
 * Each write is one BEGIN IMMEDIATE ... COMMIT and adds one link to the chain. A link's digest is
 * taken from the rows as they lie in the database, by the same SELECT that fsck uses later, so that
 * what is checked is what was stored and not what was meant.
 */
#include "src/store_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config.h"

enum { TEND_PAGES = 512 /* 4 MiB in the log: worth moving when nobody waits */ };

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

void store_take_back(struct store *s)
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

void store_checkpoint(struct store *s, int mode)
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
		store_take_back(s);
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
	store_take_back(s);
	if (keep)
		return err_set(e, ERR_IO,
		               "%s: a write of this batch failed, so nothing of it was stored",
		               s->file);
	return 0;
}

int store_on_log(void *ctx, sqlite3 *db, const char *name, int pages)
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
		store_checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
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
