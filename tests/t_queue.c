/*
 * The queue between a client and workers, over a real redis-server: all of them in this process, on
 * one loop, so that each can be stopped, forgotten and woken at will.
 */
#include "tests/lib.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include "src/base/clock.h"
#include "src/queue_watch.h"
#include "tests/redis.h"

enum { ANSWERS_MAX = 600, WORKERS_MAX = 5 };

struct answer {
	int times;
	enum queue_fate fate;
	char text[300];
};

struct bench;

struct hand {
	struct bench *b;
	struct queue_worker *w;
	bool asleep; /* it is not stepped: frozen, or dead */
	bool holds;  /* it takes jobs and does not answer */
	struct queue_take *held[64];
	int n_held, n_taken;
	char blob[64];
};

struct bench {
	struct redis_server server;
	struct redis_address a;
	struct queue *q;
	struct hand hand[WORKERS_MAX];
	int n_hands;
	struct answer answer[ANSWERS_MAX];
	int n_done;
	struct err hopeless; /* of a worker that was refused */
};

/* ---- both ends ---- */

static void on_done(void *ctx, void *user, enum queue_fate fate, const void *bytes, size_t len,
                    const struct err *why)
{
	struct bench *b = ctx;
	struct answer *a = &b->answer[(uintptr_t)user];

	a->times++;
	a->fate = fate;
	snprintf(a->text, sizeof(a->text), "%.*s", fate == QUEUE_ANSWERED ? (int)len : 299,
	         fate == QUEUE_ANSWERED ? (const char *)bytes : why->text);
	b->n_done++;
}

static void say(struct hand *h, struct queue_take *t)
{
	struct buf out = { 0 };

	buf_printf(&out, "did %.*s%s", (int)t->body.len, buf_str(&t->body), h->blob);
	queue_worker_answer(h->w, t, QUEUE_ANSWERED, &out, NULL, false);
}

static void on_take(void *ctx, struct queue_take *t)
{
	struct hand *h = ctx;

	h->n_taken++;
	if (h->holds)
		h->held[h->n_held++] = t;
	else if (t->body.len > 5 && memcmp(buf_str(&t->body), "blob ", 5) == 0)
		queue_worker_want(h->w, t, buf_str(&t->body) + 5);
	else if (t->body.len > 5 && memcmp(buf_str(&t->body), "fail ", 5) == 0)
		queue_worker_answer(h->w, t, QUEUE_FAILED, NULL,
		                    &(const struct err){ ERR_INPUT, "it cannot be read" }, true);
	else
		say(h, t);
}

static void on_blob(void *ctx, struct queue_take *t, const char *sha, const void *bytes, size_t len)
{
	struct hand *h = ctx;

	(void)sha;
	snprintf(h->blob, sizeof(h->blob), " with %.*s", (int)len,
	         bytes ? (const char *)bytes : "");
	say(h, t);
	h->blob[0] = '\0';
}

static struct hand *more_hands(struct bench *b, int at_once, const char *versions)
{
	struct hand *h = &b->hand[b->n_hands++];
	const struct queue_worker_ops ops = { .ctx = h, .take = on_take, .blob = on_blob };
	char name[QUEUE_NAME_MAX];
	struct err e = { 0 };

	h->b = b;
	queue_worker_name(name);
	h->w = queue_worker_open(&b->a, name, versions, at_once, &ops, &e);
	assert_non_null(h->w);
	return h;
}

static void turn(struct bench *b)
{
	struct pollfd p[2 + 2 * WORKERS_MAX];
	int n = 0;
	struct err e = { 0 };

	if (b->q) {
		n += queue_poll_fds(b->q, p, 2);
	}
	for (int i = 0; i < b->n_hands; i++)
		if (b->hand[i].w && !b->hand[i].asleep)
			n += queue_worker_poll_fds(b->hand[i].w, p + n, 2);
	poll(p, (nfds_t)n, 10);
	if (b->q && queue_step(b->q, &e) < 0)
		fail_msg("the queue gives up: %s", e.text);
	for (int i = 0; i < b->n_hands; i++)
		if (b->hand[i].w && !b->hand[i].asleep && queue_worker_step(b->hand[i].w, &e) < 0) {
			b->hopeless = e;
			b->hand[i].asleep = true;
		}
}

#define turn_until(b, claim)                                                                       \
	do {                                                                                       \
		double until_ = clock_now_s() + 20;                                                \
		while (!(claim)) {                                                                 \
			turn(b);                                                                   \
			if (clock_now_s() > until_)                                                \
				fail_msg("not within 20 s: %s", #claim);                           \
		}                                                                                  \
	} while (0)

static void submit(struct bench *b, uintptr_t number, const char *text, double lease_s)
{
	struct buf body = { 0 };
	struct err e = { 0 };

	buf_adds(&body, text);
	assert_int_equal(queue_submit(b->q, &body, NULL, 0, lease_s, (void *)number, &e), 0);
}

static void start_client(struct bench *b)
{
	const struct queue_ops ops = { .ctx = b, .done = on_done };
	struct err e = { 0 };

	b->q = queue_open(&b->a, &ops, &e);
	assert_non_null(b->q);
}

static int set_up_with(void **state, const char *const *more)
{
	struct bench *b = calloc(1, sizeof(*b));
	char url[64];
	struct err e = { 0 };

	*state = b;
	if (!redis_is_installed())
		return 0;
	for (int i = 0; more && more[i]; i++)
		b->server.more[i] = more[i];
	redis_server_start(&b->server);
	snprintf(url, sizeof(url), "redis://127.0.0.1:%d", b->server.port);
	assert_int_equal(redis_address_parse(&b->a, url, &e), 0);
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, NULL);
}

static int set_up_lasting(void **state)
{
	return set_up_with(state, (const char *const[]){ "--appendonly", "yes", "--appendfsync",
	                                                 "always", NULL });
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	queue_close(b->q);
	for (int i = 0; i < b->n_hands; i++)
		queue_worker_close(b->hand[i].w);
	if (b->server.dir[0]) {
		redis_server_stop(&b->server, SIGKILL);
		redis_server_remove(&b->server);
	}
	free(b);
	return 0;
}

#define need_redis(b)                                                                              \
	do {                                                                                       \
		if (!(b)->server.dir[0]) {                                                         \
			print_message("skipped: redis-server is not installed\n");                 \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- claims ---- */

static void every_job_is_answered_once(void **state)
{
	struct bench *b = *state;
	char text[32];

	need_redis(b);
	start_client(b);
	more_hands(b, 4, "v1");
	more_hands(b, 4, "v1");
	for (uintptr_t i = 0; i < ANSWERS_MAX; i++) {
		snprintf(text, sizeof(text), "job %d", (int)i);
		submit(b, i, text, 55);
	}
	turn_until(b, b->n_done == ANSWERS_MAX);
	for (int i = 0; i < 20; i++)
		turn(b);
	for (int i = 0; i < ANSWERS_MAX; i++) {
		snprintf(text, sizeof(text), "did job %d", i);
		assert_int_equal(b->answer[i].times, 1);
		assert_string_equal(b->answer[i].text, text);
	}
	assert_int_equal(b->hand[0].n_taken + b->hand[1].n_taken, ANSWERS_MAX);
	assert_true(b->hand[0].n_taken > 0 && b->hand[1].n_taken > 0);
}

static void equal_jobs_are_worked_out_once_and_an_error_again(void **state)
{
	struct bench *b = *state;

	need_redis(b);
	start_client(b);
	struct hand *h = more_hands(b, 1, "v1");
	submit(b, 0, "the same", 55);
	submit(b, 1, "the same", 55);
	turn_until(b, b->n_done == 2);
	submit(b, 2, "the same", 55);
	turn_until(b, b->n_done == 3);
	assert_int_equal(h->n_taken, 1);
	for (int i = 0; i < 3; i++)
		assert_string_equal(b->answer[i].text, "did the same");
	submit(b, 3, "fail me", 55);
	turn_until(b, b->n_done == 4);
	assert_int_equal(b->answer[3].fate, QUEUE_FAILED);
	assert_string_equal(b->answer[3].text, "it cannot be read");
}

static void what_jobs_share_travels_once_beside_them(void **state)
{
	struct bench *b = *state;
	char sha[1][SHA256_HEX], text[100];
	struct buf body = { 0 };
	struct err e = { 0 };

	need_redis(b);
	start_client(b);
	more_hands(b, 1, "v1");
	assert_int_equal(queue_blob(b->q, "a task", 6, sha[0], &e), 0);
	snprintf(text, sizeof(text), "blob %s", sha[0]);
	buf_adds(&body, text);
	assert_int_equal(queue_submit(b->q, &body, (const char(*)[SHA256_HEX])sha, 1, 55, NULL, &e),
	                 0);
	turn_until(b, b->n_done == 1);
	assert_contains(b->answer[0].text, " with a task");
}

static void a_job_of_a_worker_that_died_is_taken_over(void **state)
{
	struct bench *b = *state;

	need_redis(b);
	start_client(b);
	struct hand *dead = more_hands(b, 1, "v1");
	dead->holds = true;
	submit(b, 0, "job", 0.5);
	turn_until(b, dead->n_held == 1);
	dead->asleep = true;
	double since = clock_now_s();
	more_hands(b, 1, "v1");
	turn_until(b, b->n_done == 1);
	assert_true(clock_now_s() - since >= 0.3);
	assert_string_equal(b->answer[0].text, "did job");
	assert_int_equal(queue_worker_row(b->hand[1].w)->taken_over, 1);
	/* the frozen one wakes and answers too: nobody hears it twice */
	dead->asleep = false;
	say(dead, dead->held[0]);
	turn_until(b, queue_worker_under_way(dead->w) == 0);
	assert_int_equal(b->answer[0].times, 1);
}

static void a_job_that_takes_longer_than_its_lease_is_kept_by_a_worker_that_lives(void **state)
{
	struct bench *b = *state;

	need_redis(b);
	start_client(b);
	struct hand *slow = more_hands(b, 1, "v1");
	slow->holds = true;
	submit(b, 0, "job", 0.4);
	turn_until(b, slow->n_held == 1);
	struct hand *other = more_hands(b, 1, "v1");
	double until = clock_now_s() + 1.5;
	turn_until(b, clock_now_s() > until);
	assert_int_equal(other->n_taken, 0);
	say(slow, slow->held[0]);
	turn_until(b, b->n_done == 1);
	assert_string_equal(b->answer[0].text, "did job");
}

static void a_job_that_killed_three_workers_is_poison(void **state)
{
	struct bench *b = *state;

	need_redis(b);
	start_client(b);
	for (int i = 0; i < 3; i++) {
		struct hand *h = more_hands(b, 1, "v1");
		h->holds = true;
		if (i == 0)
			submit(b, 0, "killer", 0.3);
		turn_until(b, h->n_held == 1);
		h->asleep = true;
	}
	struct hand *last = more_hands(b, 1, "v1");
	turn_until(b, b->n_done == 1);
	assert_int_equal(b->answer[0].fate, QUEUE_POISON);
	assert_contains(b->answer[0].text, "3 workers took this job");
	assert_int_equal(last->n_taken, 0);
	assert_int_equal(queue_worker_row(last->w)->poison, 1);
	/* and the worker goes on with others */
	submit(b, 1, "good", 0.3);
	turn_until(b, b->n_done == 2);
	assert_string_equal(b->answer[1].text, "did good");
}

static void restart(struct bench *b, bool lasting)
{
	char text[32];

	need_redis(b);
	start_client(b);
	struct hand *h = more_hands(b, 2, "v1");
	h->holds = true;
	for (uintptr_t i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "job %d", (int)i);
		submit(b, i, text, 55);
	}
	turn_until(b, h->n_held == 2);
	redis_server_stop(&b->server, SIGKILL);
	for (int i = 0; i < 10; i++)
		turn(b);
	/* one answer is there while nobody can hear it */
	say(h, h->held[0]);
	redis_server_start(&b->server);
	h->holds = false;
	for (int i = 0; i < 10; i++)
		turn(b);
	say(h, h->held[1]);
	turn_until(b, b->n_done == 20);
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "did job %d", i);
		assert_int_equal(b->answer[i].times, 1);
		assert_string_equal(b->answer[i].text, text);
	}
	if (lasting)
		assert_int_equal(h->n_taken, 20);
}

static void nothing_is_lost_when_redis_is_started_again_with_nothing_in_it(void **state)
{
	restart(*state, false);
}

static void nothing_is_lost_or_done_twice_when_redis_is_started_again_with_its_file(void **state)
{
	restart(*state, true);
}

static void what_nobody_waits_for_any_more_is_taken_out(void **state)
{
	struct bench *b = *state;
	struct queue_table t = { 0 };
	struct err e = { 0 };
	char text[32];

	need_redis(b);
	start_client(b);
	struct hand *h = more_hands(b, 1, "v1");
	h->holds = true;
	for (uintptr_t i = 0; i < 10; i++) {
		snprintf(text, sizeof(text), "job %d", (int)i);
		submit(b, i, text, 55);
	}
	turn_until(b, h->n_held == 1);
	for (int i = 0; i < 5; i++)
		turn(b);
	queue_cancel_all(b->q);
	assert_int_equal(queue_waiting(b->q), 0);
	for (int i = 0; i < 5; i++)
		turn(b);
	assert_int_equal(queue_list(&t, &b->a, &e), 0);
	assert_int_equal(t.waiting, 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.live, 1);
	assert_int_equal(t.row[0].pid, getpid());
	assert_string_equal(t.versions, "v1");
	queue_table_release(&t);
	assert_int_equal(b->n_done, 0);
}

/* Steps it until @claim; no step may take longer than a key press would be noticed. */
#define watch_until(b, watch, claim)                                                               \
	do {                                                                                       \
		double until_ = clock_now_s() + 20;                                                \
		while (!(claim)) {                                                                 \
			double before_ = clock_now_s();                                            \
			queue_watch_step(watch, 0.02);                                             \
			assert_true(clock_now_s() - before_ < 0.25);                               \
			turn(b);                                                                   \
			if (clock_now_s() > until_)                                                \
				fail_msg("not within 20 s: %s", #claim);                           \
		}                                                                                  \
	} while (0)

static const struct queue_row *watched_row(const struct queue_watch *w, int i)
{
	const struct queue_table *t = queue_watch_table(w);

	return t && i < t->n ? &t->row[i] : NULL;
}

static void the_table_is_watched_without_waiting_whatever_becomes_of_redis(void **state)
{
	struct bench *b = *state;
	const struct queue_row *r = NULL;
	struct err e = { 0 };

	need_redis(b);
	struct queue_watch *w = queue_watch_open(&b->a, &e);
	assert_non_null(w);
	assert_null(queue_watch_table(w));
	watch_until(b, w, queue_watch_table(w));
	assert_int_equal(queue_watch_table(w)->n, 0);
	assert_true(isnan(queue_watch_table(w)->oldest_s));

	struct hand *h = more_hands(b, 2, "v1");
	struct queue_row *own = queue_worker_row(h->w);
	own->jobs = 7;
	own->cpu_s = 3.5;
	own->per_s = 0.25;
	for (int i = 0; i < QUEUE_PARTS; i++)
		own->took[i] = (struct queue_took){ 1 + i, 10 + i };
	own->took[QUEUE_SCORE].p95_s = NAN;
	snprintf(own->model, sizeof(own->model), "tiny");
	h->holds = true;
	start_client(b);
	for (uintptr_t i = 0; i < 5; i++)
		submit(b, i, "job", 55 + (double)i); /* as many streams */
	submit(b, 5, "another job", 55);
	watch_until(b, w,
	            (r = watched_row(w, 0)) && r->under_way == 2 &&
	                    queue_watch_table(w)->waiting + queue_watch_table(w)->under_way >= 2);
	assert_int_equal(queue_row_state(r), QUEUE_BUSY);
	assert_int_equal(r->jobs, 7);
	assert_string_equal(r->model, "tiny");
	assert_true(r->cpu_s == 3.5 && r->per_s == 0.25 && isnan(r->slowest_s));
	for (int i = 0; i < QUEUE_PARTS; i++)
		assert_true(r->took[i].median_s == 1 + i);
	assert_true(r->took[QUEUE_WORK].p95_s == 13 && isnan(r->took[QUEUE_SCORE].p95_s));
	assert_true(queue_watch_table(w)->oldest_s >= 0 && queue_watch_table(w)->oldest_s < 20);

	/* one that holds the line and says nothing */
	kill(b->server.pid, SIGSTOP);
	double until = clock_now_s() + 20;
	while (queue_watch_silent_s(w) < 0.3 && clock_now_s() < until) {
		double before = clock_now_s();
		queue_watch_step(w, 0.02);
		assert_true(clock_now_s() - before < 0.25);
		usleep(5000);
	}
	assert_true(queue_watch_silent_s(w) >= 0.3);
	assert_non_null(queue_watch_table(w));
	kill(b->server.pid, SIGCONT);
	watch_until(b, w, queue_watch_age_s(w) < 0.3 && queue_watch_silent_s(w) < 0.3);

	/* one that is gone: what was there stays, with the reason why it is no more */
	redis_server_stop(&b->server, SIGKILL);
	watch_until(b, w, queue_watch_trouble(w)->kind);
	assert_contains(queue_watch_trouble(w)->text, "127.0.0.1");
	assert_int_equal(queue_watch_table(w)->n, 1);
	redis_server_start(&b->server);
	watch_until(b, w, !queue_watch_trouble(w)->kind);
	queue_watch_close(w);
}

static void workers_are_frozen_when_silent_and_gone_after_that(void **state)
{
	struct queue_row r = { .seen_s = 1 };

	(void)state;
	assert_string_equal(queue_state_name(queue_row_state(&r)), "live");
	r.under_way = 2;
	assert_string_equal(queue_state_name(queue_row_state(&r)), "busy");
	r.seen_s = QUEUE_LIVE_S + 1;
	assert_string_equal(queue_state_name(queue_row_state(&r)), "frozen");
	r.seen_s = QUEUE_GONE_S + 1;
	assert_string_equal(queue_state_name(queue_row_state(&r)), "gone");
	r.seen_s = 1;
	r.left = true;
	assert_string_equal(queue_state_name(queue_row_state(&r)), "gone");
	r.left = false;
	r.seen_s = NAN;
	assert_string_equal(queue_state_name(queue_row_state(&r)), "gone");
}

static void a_worker_of_other_versions_is_refused_while_the_farm_lives(void **state)
{
	struct bench *b = *state;

	need_redis(b);
	start_client(b);
	struct hand *first = more_hands(b, 1, "kernel 7.7.1");
	submit(b, 0, "job", 55);
	turn_until(b, b->n_done == 1);
	struct hand *other = more_hands(b, 1, "kernel 7.8.0");
	turn_until(b, other->asleep);
	assert_contains(b->hopeless.text, "kernel 7.7.1");
	assert_contains(b->hopeless.text, "kernel 7.8.0");
	/* those of old leave: the farm is another's, and the same job another job */
	queue_worker_close(first->w);
	first->w = NULL;
	struct hand *next = more_hands(b, 1, "kernel 7.8.0");
	queue_close(b->q);
	for (int i = 0; i < 20; i++) {
		b->q = NULL;
		turn(b);
	}
	start_client(b);
	submit(b, 1, "job", 55);
	turn_until(b, b->n_done == 2);
	assert_int_equal(next->n_taken, 1);
}

static void a_wrong_password_is_told_and_not_repeated(void **state)
{
	struct bench *b = *state;
	struct err e = { 0 };

	need_redis(b);
	snprintf(b->a.password, sizeof(b->a.password), "no%%such");
	start_client(b);
	double until = clock_now_s() + 10;
	int rc = 0;
	submit(b, 0, "job", 55);
	while (rc == 0 && clock_now_s() < until)
		rc = queue_step(b->q, &e);
	assert_int_equal(rc, -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_contains(e.text, "does not let us in");
	assert_null(strstr(e.text, "such"));
}

static void addresses_are_read_and_wrong_ones_named(void **state)
{
	static const struct {
		const char *url, *wrong;
	} cases[] = {
		{ "http://h", "redis://HOST" },
		{ "redis://", "a host was expected" },
		{ "redis://h:0", "the port" },
		{ "redis://h:65536", "the port" },
		{ "redis://h:1x", "the port" },
		{ "redis://h/x", "the database" },
		{ "redis://h?ca=x", "rediss://" },
		{ "rediss://h?cert=x", "go together" },
		{ "rediss://h?nonsense=x", "ca=FILE" },
		{ "redis://:%zz@h", "the password" },
		{ "redis://:%0@h", "the password" },
		{ "redis://:%00@h", "the password" },
		{ "redis://u@h", "a user goes with a password" },
		{ "redis://[::1", "']'" },
		{ "redis://[::1]x", "':PORT'" },
		{ "redis://a\x1b[2Jb", "the host" },
		{ "redis://h:99999999999999999999", "the port" },
	};
	struct redis_address a;
	struct err e = { 0 };

	(void)state;
	unsetenv("CADFORGE_QUEUE_PASSWORD");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(redis_address_parse(&a, cases[i].url, &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_contains(e.text, cases[i].wrong);
	}
	assert_int_equal(redis_address_parse(&a, "rediss://me:p%40ss@[::1]:7000/3?ca=/c%20a", &e),
	                 0);
	assert_true(a.tls);
	assert_string_equal(a.user, "me");
	assert_string_equal(a.password, "p@ss");
	assert_string_equal(a.host, "::1");
	assert_int_equal(a.port, 7000);
	assert_int_equal(a.database, 3);
	assert_string_equal(a.ca, "/c a");
	assert_string_equal(a.shown, "rediss://[::1]:7000");
	setenv("CADFORGE_QUEUE_PASSWORD", "quiet", 1);
	assert_int_equal(redis_address_parse(&a, "redis://farm", &e), 0);
	assert_string_equal(a.password, "quiet");
	assert_int_equal(a.port, 6379);
	unsetenv("CADFORGE_QUEUE_PASSWORD");
}

/* ---- TLS ---- */

/* A certificate that signs itself, for the address 127.0.0.1, and its key. */
static void make_certificate(const char *dir, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	char path[200];

	assert_non_null(key);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	X509_NAME *who = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(who, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, who);
	X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	X509_add_ext(x, alt, -1);
	X509_EXTENSION_free(alt);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	snprintf(path, sizeof(path), "%s/%s.pem", dir, name);
	FILE *f = fopen(path, "we");
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	snprintf(path, sizeof(path), "%s/%s.key", dir, name);
	f = fopen(path, "we");
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static int set_up_tls(void **state)
{
	static const char *const words[] = { "--tls-port", "--tls-cert-file",
		                             "server.pem", "--tls-key-file",
		                             "server.key", "--tls-ca-cert-file",
		                             "client.pem", NULL };
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	if (!redis_is_installed())
		return 0;
	snprintf(b->server.dir, sizeof(b->server.dir), "/tmp/cadforge-redis-XXXXXX");
	assert_non_null(mkdtemp(b->server.dir));
	b->server.port = redis_free_port();
	make_certificate(b->server.dir, "server");
	make_certificate(b->server.dir, "client");
	for (int i = 0; words[i]; i++)
		b->server.more[i] = words[i];
	redis_server_start(&b->server);
	return 0;
}

static void over_tls_with_certificates_of_both_sides(void **state)
{
	struct bench *b = *state;
	char url[400];
	struct err e = { 0 };

	need_redis(b);
	snprintf(url, sizeof(url),
	         "rediss://127.0.0.1:%d?ca=%s/server.pem&cert=%s/client.pem&key=%s/client.key",
	         b->server.port, b->server.dir, b->server.dir, b->server.dir);
	assert_int_equal(redis_address_parse(&b->a, url, &e), 0);
	start_client(b);
	more_hands(b, 4, "v1");
	/* larger than what one TLS record or one read takes */
	struct buf body = { 0 };
	for (int i = 0; i < 40000; i++)
		buf_printf(&body, "line %d of a long program\n", i);
	size_t len = body.len;
	assert_int_equal(queue_submit(b->q, &body, NULL, 0, 55, (void *)(uintptr_t)0, &e), 0);
	for (uintptr_t i = 1; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof(text), "job %d", (int)i);
		submit(b, i, text, 55);
	}
	turn_until(b, b->n_done == 100);
	assert_true(len > 1000000);
	assert_contains(b->answer[0].text, "did line 0 of a long program");
	assert_string_equal(b->answer[99].text, "did job 99");
}

static void gives_up(struct bench *b, const char *url, const char *why)
{
	double until = clock_now_s() + 10;
	struct err e = { 0 };
	int rc = 0;

	assert_int_equal(redis_address_parse(&b->a, url, &e), 0);
	start_client(b);
	submit(b, 0, "job", 55);
	while (rc == 0 && clock_now_s() < until)
		rc = queue_step(b->q, &e);
	assert_int_equal(rc, -1);
	assert_contains(e.text, why);
	queue_close(b->q);
	b->q = NULL;
}

static void a_certificate_that_nobody_trusts_is_refused(void **state)
{
	struct bench *b = *state;
	char url[400];

	need_redis(b);
	snprintf(url, sizeof(url), "rediss://127.0.0.1:%d", b->server.port);
	gives_up(b, url, "its certificate is not trusted");
	snprintf(url, sizeof(url), "rediss://127.0.0.1:%d?ca=%s/client.pem", b->server.port,
	         b->server.dir);
	gives_up(b, url, "its certificate is not trusted");
	/* the right certificate under another name */
	snprintf(url, sizeof(url), "rediss://localhost:%d?ca=%s/server.pem", b->server.port,
	         b->server.dir);
	gives_up(b, url, "its certificate is not trusted");
}

static void on_first_down(void *ctx, const struct err *why)
{
	struct err *first = ctx;

	if (!first->kind)
		*first = *why;
}

static void tls_is_not_spoken_to_a_plain_server_nor_the_other_way_round(void **state)
{
	struct bench *b = *state;
	struct redis_server plain = { 0 };
	struct redis *r[2];
	struct err first[2] = { { 0 } }, e = { 0 };
	double until = clock_now_s() + 15;
	char url[64];

	need_redis(b);
	redis_server_start(&plain);
	for (int i = 0; i < 2; i++) {
		const struct redis_ops ops = { .ctx = &first[i], .down = on_first_down };
		snprintf(url, sizeof(url), i ? "rediss://127.0.0.1:%d" : "redis://127.0.0.1:%d",
		         i ? plain.port : b->server.port);
		assert_int_equal(redis_address_parse(&b->a, url, &e), 0);
		assert_non_null(r[i] = redis_open(&b->a, &ops, &e));
	}
	/* a plain server may say nothing to what is no line to it, and then it takes five seconds
	 */
	while (!(first[0].kind && first[1].kind) && clock_now_s() < until) {
		struct pollfd p[2];
		int n = redis_poll_fd(r[0], p);
		poll(p, (nfds_t)(n + redis_poll_fd(r[1], p + n)), 20);
		redis_step(r[0]);
		redis_step(r[1]);
	}
	for (int i = 0; i < 2; i++) {
		redis_close(r[i]);
		assert_contains(first[i].text, "redis:// and rediss:// differ");
	}
	redis_server_stop(&plain, SIGKILL);
	redis_server_remove(&plain);
}

#define claim(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_wrong_ones_named),
		claim(every_job_is_answered_once),
		claim(equal_jobs_are_worked_out_once_and_an_error_again),
		claim(what_jobs_share_travels_once_beside_them),
		claim(a_job_of_a_worker_that_died_is_taken_over),
		claim(a_job_that_takes_longer_than_its_lease_is_kept_by_a_worker_that_lives),
		claim(a_job_that_killed_three_workers_is_poison),
		claim(nothing_is_lost_when_redis_is_started_again_with_nothing_in_it),
		cmocka_unit_test_setup_teardown(
			nothing_is_lost_or_done_twice_when_redis_is_started_again_with_its_file,
			set_up_lasting, tear_down),
		claim(what_nobody_waits_for_any_more_is_taken_out),
		claim(the_table_is_watched_without_waiting_whatever_becomes_of_redis),
		cmocka_unit_test(workers_are_frozen_when_silent_and_gone_after_that),
		claim(a_worker_of_other_versions_is_refused_while_the_farm_lives),
		claim(a_wrong_password_is_told_and_not_repeated),
		cmocka_unit_test_setup_teardown(over_tls_with_certificates_of_both_sides,
		                                set_up_tls, tear_down),
		cmocka_unit_test_setup_teardown(a_certificate_that_nobody_trusts_is_refused,
		                                set_up_tls, tear_down),
		cmocka_unit_test_setup_teardown(
			tls_is_not_spoken_to_a_plain_server_nor_the_other_way_round, set_up_tls,
			tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
