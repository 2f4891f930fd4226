/*
 * t_host.c - the host, as the workbench sees it: ./cadforge host at the other end of the line.
 * Whoever dies, whatever is said to it, and wherever a turn is cut, what was committed stays and
 * what happened is told. Turns are written by commands that wait for this test at a pipe.
 */
#include "tests/store.h"

#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "src/base/clock.h"
#include "src/base/frame.h"
#include "src/host.h"
#include "src/settings.h"

#define PATIENCE_S 120

static char dir[256], db[300], run_dir[300], program[300];
static struct app app;
static struct err e;

/* ---- a workbench ---- */

struct bench {
	struct host *h;
	struct live live;
	cJSON *last; /* data of the latest event of the kind that is waited for */
	const char *want;
	bool came;
	char lost[200];
	int turns, overs, bytes;
	char trouble[500];
	/* the tasks in the order in which work on them ended in a wait: one step may take in more
	 * than one of them, and the screen's state shows the last */
	char ended[4][64];
	int n_ended;
};

static bool is_waiting(const struct bench *b)
{
	return b->live.at == LIVE_AT_WAIT || b->live.at == LIVE_AT_DONE;
}

static void on_news(void *ctx, const struct live_news *n)
{
	struct bench *b = ctx;
	bool waited = is_waiting(b);

	assert_int_equal(live_feed(&b->live, n, &e), 0);
	if (!waited && is_waiting(b) && b->n_ended < 4)
		snprintf(b->ended[b->n_ended++], sizeof(b->ended[0]), "%s", b->live.task);
	b->turns += strcmp(n->kind, "turn") == 0;
	b->overs += strcmp(n->kind, "over") == 0;
	b->bytes += (int)n->len;
	if (strcmp(n->kind, "trouble") == 0)
		snprintf(b->trouble, sizeof(b->trouble), "%s", json_string_or(n->data, "text", ""));
	if (b->want && !b->came && strcmp(n->kind, b->want) == 0) {
		cJSON_Delete(b->last);
		b->last = cJSON_Duplicate(n->data, true);
		b->came = true;
	}
}

static void on_lost(void *ctx, const char *why)
{
	struct bench *b = ctx;

	snprintf(b->lost, sizeof(b->lost), "%s", why);
}

static struct host_ops ops_of(struct bench *b)
{
	return (struct host_ops){ .ctx = b, .news = on_news, .lost = on_lost };
}

/* Until @done, or the line is gone. */
static void attend(struct bench *b, bool (*done)(const struct bench *b), const char *what)
{
	double until = clock_now_s() + PATIENCE_S;

	while (!done(b) && !b->lost[0]) {
		struct pollfd p = { .fd = host_fd(b->h), .events = POLLIN };
		if (clock_now_s() > until)
			fail_msg("%s did not come in %d s", what, PATIENCE_S);
		poll(&p, 1, 1000);
		host_step(b->h, &e);
	}
	if (!done(b))
		fail_msg("%s: the line was lost: %s", what, b->lost);
}

static bool has_come(const struct bench *b)
{
	return b->came;
}

static const cJSON *await(struct bench *b, const char *kind)
{
	b->want = kind;
	b->came = false;
	attend(b, has_come, kind);
	b->want = NULL;
	return b->last;
}

static bool two_have_ended(const struct bench *b)
{
	return b->n_ended >= 2;
}

static bool is_lost(const struct bench *b)
{
	return b->lost[0] != '\0';
}

static bool has_text(const struct bench *b)
{
	return b->live.answer[0].text.len > 0;
}

static bool is_building(const struct bench *b)
{
	return b->live.log.len > 0;
}

static void say(struct bench *b, const char *json)
{
	cJSON *o = json_parse(json, strlen(json), &e);

	assert_non_null(o);
	assert_done(host_send(b->h, o, &e), &e);
}

static const char *refusal(struct bench *b, const char *json)
{
	say(b, json);
	return json_string_or(await(b, "refused"), "why", "");
}

static void open_bench(struct bench *b)
{
	struct host_ops ops = ops_of(b);

	live_init(&b->live);
	assert_done(host_start(&b->h, &app, program, db, &ops, &e), &e);
	await(b, "hello");
}

static void close_bench(struct bench *b)
{
	host_close(b->h);
	live_release(&b->live);
	cJSON_Delete(b->last);
	*b = (struct bench){ 0 };
}

/* Whether it has not ended; whoever is to bury it may take his time. */
static bool lives(int pid)
{
	char path[64], text[400] = "", state = 'Z';

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *f = fopen(path, "r");
	if (f && fgets(text, sizeof(text), f) && strrchr(text, ')'))
		sscanf(strrchr(text, ')') + 1, " %c", &state);
	if (f)
		fclose(f);
	return state != 'Z';
}

/* Ends the host and waits until its process is gone. */
static void end_bench(struct bench *b)
{
	int pid = host_pid(b->h);

	if (!b->lost[0]) {
		say(b, "{\"do\":\"end\"}");
		attend(b, is_lost, "the end");
		assert_string_equal(b->lost, "the host has ended");
	}
	close_bench(b);
	for (int i = 0; i < 1000 && lives(pid); i++)
		poll(NULL, 0, 10);
}

/* ---- what every test has ---- */

static int setup(void **state)
{
	char path[300];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/cadforge-host-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	snprintf(run_dir, sizeof(run_dir), "%s/run", dir);
	assert_int_equal(mkdir(run_dir, 0700), 0);
	setenv("XDG_RUNTIME_DIR", run_dir, 1);
	snprintf(path, sizeof(path), "%s/cache", dir);
	setenv("XDG_CACHE_HOME", path, 1);
	snprintf(path, sizeof(path), "%s/pipe", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	return 0;
}

static int drop_file(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	nftw(dir, drop_file, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static bool can_build(void)
{
	const char *env = getenv("CADFORGE_PYTHON_ENV");

	return env && *env && access("./cadforge-builder", X_OK) == 0;
}

#define NEEDS_CADQUERY()                                                                           \
	do {                                                                                       \
		if (!can_build())                                                                  \
			skip();                                                                    \
	} while (0)

#define PROGRAM "import cadquery as cq\\\\nfixture = cq.Workplane().box(10, 20, 30)\\\\n"

/* The next answers print a program; with @hold they then wait at the pipe. */
static void write_by_command(struct bench *b, bool hold)
{
	char json[900];

	snprintf(json, sizeof(json), "{\"do\":\"set\",\"command\":\"printf '" PROGRAM "'%s%s%s\"}",
	         hold ? "; read x < " : "", hold ? dir : "", hold ? "/pipe" : "");
	say(b, json);
}

static void let_go_on(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/pipe", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("go\n", f);
	fclose(f);
}

struct counted {
	int turns;
	char finish[16], source[16];
	int member, parent;
};

static int count_turn(void *ctx, const struct store_turn *t)
{
	struct counted *c = ctx;

	c->turns++;
	snprintf(c->finish, sizeof(c->finish), "%s", t->finish ? t->finish : "");
	snprintf(c->source, sizeof(c->source), "%s", t->source);
	c->member = t->member;
	c->parent = t->parent;
	return 0;
}

static int ignore_finding(void *ctx, const struct store_finding *f)
{
	(void)ctx;
	(void)f;
	return 0;
}

/* The turns that are stored, of a database that is whole. */
static struct counted stored(int64_t episode)
{
	struct counted c = { 0 };
	struct store_fsck_options o = { .finding = ignore_finding };
	int problems = -1;
	struct store *s = store_open(db, STORE_WRITE, NULL, &e);

	if (!s)
		fail_msg("%s", e.text);
	assert_done(store_fsck(s, &o, &problems, &e), &e);
	assert_int_equal(problems, 0);
	assert_done(store_turns(s, episode, count_turn, &c, &e), &e);
	store_close(s);
	return c;
}

struct process {
	int id, parent, session;
	char comm[64], state;
};

static bool process_read(struct process *p, const char *id)
{
	char path[300], text[400] = "";

	snprintf(path, sizeof(path), "/proc/%s/stat", id);
	FILE *s = fopen(path, "r");
	bool ok = s && fgets(text, sizeof(text), s) &&
	          sscanf(text, "%d (%63[^)]) %c %d %*d %d", &p->id, p->comm, &p->state, &p->parent,
	                 &p->session) == 5;
	if (s)
		fclose(s);
	return ok;
}

/* A child of @pid whose name begins so; 0: none. */
static int child_of(int pid, const char *name)
{
	DIR *d = opendir("/proc");
	int found = 0;

	for (struct dirent *f; d && !found && (f = readdir(d));) {
		struct process p;
		if (f->d_name[0] >= '0' && f->d_name[0] <= '9' && process_read(&p, f->d_name) &&
		    p.parent == pid && strncmp(p.comm, name, strlen(name)) == 0)
			found = p.id;
	}
	closedir(d);
	return found;
}

/* The builder under which a program of @host runs: there may be two, and one that came from an heir
 * is nobody's child. 0: none runs. */
static int builder_at_work(int host)
{
	DIR *d = opendir("/proc");
	struct process of_host = { 0 };
	char id[24];
	int found = 0;

	snprintf(id, sizeof(id), "%d", host);
	assert_true(process_read(&of_host, id));
	for (struct dirent *f; d && !found && (f = readdir(d));) {
		struct process p;
		if (f->d_name[0] < '0' || f->d_name[0] > '9' || !process_read(&p, f->d_name) ||
		    p.state != 'R' || strncmp(p.comm, "cadforge-build", 14) != 0)
			continue;
		for (struct process up = p;;) {
			snprintf(id, sizeof(id), "%d", up.parent);
			if (!process_read(&up, id) || strncmp(up.comm, "cadforge-build", 14) != 0)
				break;
			p = up;
		}
		if (p.session == of_host.session)
			found = p.id;
	}
	closedir(d);
	return found;
}

/* ---- the folder, the names, the settings ---- */

static void the_folder_must_be_ours_alone(void **state)
{
	char path[400], other[400];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/cadforge", run_dir);
	assert_int_equal(host_folder(0, false, &e), -1);
	assert_int_equal(mkdir(path, 0755), 0);
	chmod(path, 0755);
	assert_int_equal(host_folder(0, true, &e), -1);
	assert_contains(e.text, "open to others");
	assert_contains(e.text, "chmod 700");
	rmdir(path);
	snprintf(other, sizeof(other), "%s/elsewhere", run_dir);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(host_folder(0, true, &e), -1);
	unlink(path);
	fd = host_folder(0, true, &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(host_folder(2, true, &e), -1);
}

static void two_names_of_a_database_are_one(void **state)
{
	char a[32], b[32], c[32], path[600];

	(void)state;
	snprintf(path, sizeof(path), "%s/../%s/sessions.db", dir, strrchr(dir, '/') + 1);
	host_prefix(a, sizeof(a), db);
	host_prefix(b, sizeof(b), path);
	host_prefix(c, sizeof(c), "/tmp/another.db");
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
	assert_int_equal(strlen(a), 17);
}

static int set(struct settings *s, const char *json, unsigned *changed)
{
	cJSON *o = json_parse(json, strlen(json), &e);
	int rc = settings_set(s, o, changed, &e);

	cJSON_Delete(o);
	return rc;
}

static void settings_change_together_or_not_at_all(void **state)
{
	static const struct {
		const char *json, *says;
	} wrong[] = {
		{ "{\"temperature\":-1}",
		  "temperature: a number from 0 to 100 was expected, got -1" },
		{ "{\"top_k\":1.5}", "top_k: a whole number" },
		{ "{\"seed\":\"x\"}", "seed: a whole number" },
		{ "{\"seed\":-3}", "seed: a whole number" },
		{ "{\"thinking\":\"maybe\"}", "\"off\" or \"on\"" },
		{ "{\"adapters\":[{\"scale\":1}]}", "adapters: a list" },
		{ "{\"adapters\":[1,2,3,4,5]}", "adapters: a list" },
		{ "{\"profile\":null}", "profile: a text" },
		{ "{\"stop\":[\"\"]}", "none of them empty" },
		{ "{\"tempratur\":1}", "tempratur is no setting" },
		{ "{\"temperature\":0.9,\"group\":65}", "group: a whole number from 1 to 64" },
		{ "[]", "an object" },
	};
	struct settings s, t;
	unsigned changed = 0;

	(void)state;
	settings_init(&s);
	settings_init(&t);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(set(&s, wrong[i].json, &changed), -1);
		assert_contains(e.text, wrong[i].says);
	}
	assert_float_equal(s.flags.sampling.temperature, 0.6f, 0);
	assert_int_equal(changed, 0);
	assert_int_equal(set(&s,
	                     "{\"temperature\":0,\"seed\":\"18446744073709551615\",\"model\":"
	                     "\"/m\",\"adapters\":[{\"dir\":\"/a\",\"scale\":0.5},{\"dir\":"
	                     "\"/b\"}],\"stop\":[\"END\"],\"enough\":null,\"guard\":true}",
	                     &changed),
	                 0);
	assert_int_equal(changed, SETTINGS_MODEL);
	assert_done(settings_copy(&t, &s, &e), &e);
	settings_release(&s);
	assert_true(t.flags.sampling.seed == UINT64_MAX);
	assert_string_equal(t.flags.model, "/m");
	assert_int_equal(t.flags.n_adapters, 2);
	assert_string_equal(t.flags.adapter[0].dir, "/a");
	assert_float_equal(t.flags.adapter[0].weight, 0.5f, 0);
	assert_string_equal(t.flags.stop[0], "END");
	assert_true(isnan(t.rules.enough));
	assert_true(t.flags.guard);
	settings_release(&t);
}

/* ---- the line ---- */

static void one_workbench_at_a_time(void **state)
{
	struct bench a = { 0 }, b = { 0 };
	struct host_ops ops = ops_of(&b);
	struct host_about about[4];

	(void)state;
	open_bench(&a);
	assert_int_equal(host_find(db, about, 4), 1);
	assert_int_equal(about[0].pid, host_pid(a.h));
	assert_true(about[0].attached);
	assert_false(about[0].busy);
	live_init(&b.live);
	assert_done(host_attach(&b.h, db, 0, &ops, &e), &e);
	await(&b, "hello");
	attend(&a, is_lost, "that it was taken over");
	assert_string_equal(a.lost, "another workbench took over");
	close_bench(&a);
	assert_int_equal(host_attach(&a.h, db, 1, &ops, &e), -1);
	assert_contains(e.text, "process number 1");
	/* and to let it go from elsewhere */
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "do", "release");
	assert_done(host_tell(db, 0, o, &e), &e);
	attend(&b, is_lost, "that it was let go");
	assert_contains(b.lost, "detach");
	end_bench(&b);
	/* it had nothing to do, and nobody looks: it is gone, with its socket */
	assert_int_equal(host_find(db, about, 4), 0);
}

static int dial(int pid)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char prefix[32];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), folder = host_folder(0, false, &e);

	host_prefix(prefix, sizeof(prefix), db);
	snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s%d.sock", folder, prefix,
	         pid);
	assert_int_equal(connect(fd, (struct sockaddr *)(void *)&at, sizeof(at)), 0);
	close(folder);
	return fd;
}

/* What comes back for these bytes until the line ends or nothing more comes for a while. */
static void hear(int fd, const void *bytes, size_t len, struct buf *out)
{
	char some[4096];
	ssize_t n;

	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
	buf_clear(out);
	while ((n = read(fd, some, sizeof(some))) > 0) {
		buf_add(out, some, (size_t)n);
		if (memmem(out->data, out->len, "refused", 7))
			break;
	}
}

static void nonsense_is_refused_in_words(void **state)
{
	static const struct {
		uint32_t type;
		const char *json, *says;
	} said[] = {
		{ 7, "{\"do\":\"who\"}", "a type that there is not" },
		{ HOST_FRAME, "{", "line 1" },
		{ HOST_FRAME, "[]", "\\\"do\\\" was expected" },
		{ HOST_FRAME, "{\"do\":7}", "\\\"do\\\" was expected" },
		{ HOST_FRAME, "{\"do\":\"start\",\"task\":\"x\"}", "say \\\"attach\\\" first" },
	};
	struct bench b = { 0 };
	struct buf frame = { 0 }, got = { 0 };
	unsigned char head[FRAME_HEADER_BYTES];

	(void)state;
	open_bench(&b);
	int fd = dial(host_pid(b.h));
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		buf_clear(&frame);
		frame_append(&frame, said[i].type, 0, said[i].json, strlen(said[i].json), NULL, 0);
		hear(fd, frame.data, frame.len, &got);
		buf_addc(&got, '\0');
		assert_non_null(memmem(got.data, got.len, said[i].says, strlen(said[i].says)));
	}
	hear(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 26, &got);
	assert_non_null(memmem(got.data, got.len, "does not begin with", 19));
	close(fd);
	fd = dial(host_pid(b.h));
	frame_header(head, HOST_FRAME, 0, UINT32_MAX, UINT32_MAX);
	hear(fd, head, sizeof(head), &got);
	assert_non_null(memmem(got.data, got.len, "at most", 7));
	close(fd);
	/* a caller that says nothing, and many of them, keep nobody out for good */
	int idle[12];
	for (int i = 0; i < 12; i++)
		idle[i] = dial(host_pid(b.h));
	for (int i = 0; i < 12; i++)
		close(idle[i]);
	assert_contains(refusal(&b, "{\"do\":\"dance\"}"), "no such thing");
	assert_contains(refusal(&b, "{\"do\":\"stop\"}"), "nothing is under way");
	assert_contains(refusal(&b, "{\"do\":\"set\",\"temperature\":\"hot\"}"), "temperature");
	assert_contains(refusal(&b, "{\"do\":\"start\"}"), "\"task\" or \"episode\"");
	assert_contains(refusal(&b, "{\"do\":\"start\",\"task\":\"no_such_task\"}"),
	                "no_such_task");
	assert_contains(refusal(&b, "{\"do\":\"turn\",\"episode\":99}"), "99");
	assert_contains(refusal(&b, "{\"do\":\"start\",\"task\":\"four_leg_chair_700n\"}"),
	                "no model is set");
	buf_release(&frame);
	buf_release(&got);
	end_bench(&b);
}

static void a_host_that_is_killed_is_told_and_forgotten(void **state)
{
	struct bench b = { 0 };
	struct host_about about[2];

	(void)state;
	open_bench(&b);
	kill(host_pid(b.h), SIGKILL);
	attend(&b, is_lost, "that it died");
	assert_contains(b.lost, "died");
	assert_int_equal(host_send(b.h, cJSON_CreateObject(), &e), -1);
	assert_int_equal(host_find(db, about, 2), 0);
	close_bench(&b);
}

static void a_hangup_changes_nothing_and_a_term_ends_it(void **state)
{
	struct bench b = { 0 };

	(void)state;
	open_bench(&b);
	kill(host_pid(b.h), SIGHUP);
	assert_contains(refusal(&b, "{\"do\":\"dance\"}"), "no such thing");
	kill(host_pid(b.h), SIGTERM);
	attend(&b, is_lost, "its end");
	assert_string_equal(b.lost, "the host has ended");
	end_bench(&b);
}

/* ---- work ---- */

/* One host for all of it, as a person has one; a test that kills it has the next one opened. */
static struct bench work;

static void saying(struct bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void saying(struct bench *b, const char *fmt, ...)
{
	struct buf json = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&json, fmt, ap);
	va_end(ap);
	say(b, buf_str(&json));
	buf_release(&json);
}

/* What was said last leads to a round that ends in a wait. */
static void until_wait(struct bench *b)
{
	await(b, "begin");
	attend(b, is_waiting, "the wait after a round");
}

static void until_text(struct bench *b)
{
	await(b, "begin");
	attend(b, has_text, "the first text");
}

static long long episode(void)
{
	return (long long)work.live.episode;
}

static void open_work(void)
{
	open_bench(&work);
	say(&work, "{\"do\":\"set\",\"profile\":\"exact\",\"early\":false}");
}

static void start_by_command(bool hold)
{
	write_by_command(&work, hold);
	say(&work, "{\"do\":\"start\",\"task\":\"slab\"}");
	if (hold)
		until_text(&work);
	else
		until_wait(&work);
}

static void turns_wait_for_one_another(void **state)
{
	(void)state;
	NEEDS_CADQUERY();
	start_by_command(false);
	assert_int_equal(work.live.at, LIVE_AT_WAIT);
	assert_true(work.live.answer[0].built);
	assert_true(work.live.stl.len > 84);
	assert_string_equal(buf_str(&work.live.answer[0].code),
	                    "import cadquery as cq\nfixture = cq.Workplane().box(10, 20, 30)");
	/* by hand, from that turn */
	saying(&work,
	       "{\"do\":\"hand\",\"episode\":%lld,\"parent\":1,\"program\":\"import cadquery as "
	       "cq\\nprint('by hand')\\nfixture = cq.Workplane().sphere(5)\\n\"}",
	       episode());
	until_wait(&work);
	assert_int_equal(work.live.turn, 2);
	assert_string_equal(buf_str(&work.live.log), "by hand\n");
	struct counted c = stored(episode());
	assert_int_equal(c.turns, 2);
	assert_string_equal(c.source, "hand");
	assert_int_equal(c.parent, 1);
	/* what a repair would be asked for, and then with other words */
	saying(&work, "{\"do\":\"prompt\",\"episode\":%lld,\"parent\":2}", episode());
	assert_contains(json_string_or(await(&work, "prompt-is"), "text", ""), "sphere");
	saying(&work,
	       "{\"do\":\"turn\",\"episode\":%lld,\"parent\":2,\"prompt\":\"make it round\"}",
	       episode());
	until_wait(&work);
	struct buf prompt = { 0 };
	struct store *s = store_open(db, STORE_READ, NULL, &e);
	assert_done(store_artifact(s, episode(), 3, "prompt.json", &prompt, &e), &e);
	assert_contains(buf_str(&prompt), "make it round");
	store_close(s);
	buf_release(&prompt);
	assert_int_equal(stored(episode()).parent, 2);
}

static void what_was_stopped_is_kept(void **state)
{
	(void)state;
	NEEDS_CADQUERY();
	start_by_command(true);
	assert_contains(refusal(&work, "{\"do\":\"start\",\"task\":\"slab\"}"), "under way");
	say(&work, "{\"do\":\"set\",\"temperature\":0.25}");
	assert_float_equal(json_number_or(await(&work, "settings"), "temperature", 0), 0.25, 1e-9);
	say(&work, "{\"do\":\"stop\"}");
	attend(&work, is_waiting, "the wait after the stop");
	assert_true(work.live.answer[0].built);
	struct counted c = stored(episode());
	assert_int_equal(c.turns, 1);
	assert_string_equal(c.finish, "cancelled");
	/* dropped: nothing of it is there */
	saying(&work, "{\"do\":\"turn\",\"episode\":%lld}", episode());
	until_text(&work);
	say(&work, "{\"do\":\"drop\"}");
	attend(&work, is_waiting, "the wait after the drop");
	assert_string_equal(work.live.end, "interrupted");
	assert_int_equal(stored(episode()).turns, 1);
}

static void it_goes_on_without_a_workbench(void **state)
{
	struct host_ops ops = ops_of(&work);
	struct host_about about[2];
	int pid;

	(void)state;
	NEEDS_CADQUERY();
	start_by_command(true);
	pid = host_pid(work.h);
	close_bench(&work);
	kill(pid, SIGHUP);
	live_init(&work.live);
	assert_int_equal(host_find(db, about, 2), 1);
	assert_false(about[0].attached);
	assert_true(about[0].busy);
	assert_string_equal(about[0].task, "slab");
	assert_done(host_attach(&work.h, db, 0, &ops, &e), &e);
	assert_true(json_bool_or(await(&work, "hello"), "busy", false));
	/* all that had come is there */
	attend(&work, has_text, "the text that came before");
	assert_int_equal(work.live.at, LIVE_AT_GENERATE);
	long long was = episode();
	close_bench(&work);
	let_go_on();
	/* alone to the end of the turn; whoever comes then sees all of it */
	double until = clock_now_s() + PATIENCE_S;
	do {
		assert_int_equal(host_find(db, about, 2), 1);
		assert_true(clock_now_s() < until);
	} while (about[0].busy);
	live_init(&work.live);
	assert_done(host_attach(&work.h, db, pid, &ops, &e), &e);
	attend(&work, is_waiting, "the end of the turn");
	assert_int_equal(work.live.answer[0].turn, 1);
	assert_true(work.live.stl.len > 84);
	assert_int_equal(stored(was).turns, 1);
}

static void a_queue_is_worked_off_in_order(void **state)
{
	(void)state;
	NEEDS_CADQUERY();
	say(&work, "{\"do\":\"set\",\"turns\":1}");
	write_by_command(&work, false);
	work.n_ended = 0;
	say(&work, "{\"do\":\"start\",\"task\":\"slab\",\"queue\":true}");
	say(&work, "{\"do\":\"start\",\"task\":\"peg\",\"queue\":true}");
	attend(&work, two_have_ended, "the end of both");
	assert_string_equal(work.ended[0], "slab");
	assert_string_equal(work.ended[1], "peg");
	assert_int_equal(work.live.at, LIVE_AT_DONE);
	assert_string_equal(work.live.task, "peg");
}

static void a_builder_that_is_killed_is_told_and_started_again(void **state)
{
	int builder, killed = 0;

	(void)state;
	NEEDS_CADQUERY();
	say(&work, "{\"do\":\"hand\",\"task\":\"slab\",\"program\":\"print('on', flush=True)\\n"
	           "while True: pass\\n\"}");
	await(&work, "begin");
	attend(&work, is_building, "what the program prints");
	assert_string_equal(buf_str(&work.live.log), "on\n");
	/* whichever takes the program over is killed too: only then is it given up */
	double until = clock_now_s() + PATIENCE_S;
	for (; !is_waiting(&work) && !work.lost[0] && clock_now_s() < until; killed += builder > 0) {
		struct pollfd p = { .fd = host_fd(work.h), .events = POLLIN };
		if ((builder = builder_at_work(host_pid(work.h))) > 0)
			kill(builder, SIGKILL);
		poll(&p, 1, 100);
		host_step(work.h, &e);
	}
	assert_true(killed > 0);
	attend(&work, is_waiting, "the wait after it");
	/* as a turn with that cause, or as trouble: never in silence */
	if (!work.trouble[0])
		assert_contains(work.live.build_error, "builder");
	assert_false(work.live.answer[0].built);
	start_by_command(false);
	assert_true(work.live.answer[0].built);
}

static void a_host_killed_in_a_turn_loses_nothing_committed(void **state)
{
	(void)state;
	NEEDS_CADQUERY();
	start_by_command(false);
	long long was = episode();
	write_by_command(&work, true);
	saying(&work, "{\"do\":\"turn\",\"episode\":%lld}", was);
	until_text(&work);
	kill(host_pid(work.h), SIGKILL);
	attend(&work, is_lost, "that it died");
	assert_contains(work.lost, "what was stored stays");
	close_bench(&work);
	assert_int_equal(stored(was).turns, 1);
	/* and the next host goes on with it */
	open_work();
	write_by_command(&work, false);
	saying(&work, "{\"do\":\"turn\",\"episode\":%lld}", was);
	until_wait(&work);
	assert_int_equal(stored(was).turns, 2);
}

/* ---- a model ---- */

static bool set_model(int tokens)
{
	const char *shared = getenv("CADFORGE_SHARED");
	char path[600];

	snprintf(path, sizeof(path), "%s/oracle/tiny-f32", shared ? shared : SRCDIR "/../shared");
	if (access(path, R_OK) < 0 || access("./cadforge-infer", X_OK) < 0)
		return false;
	saying(&work,
	       "{\"do\":\"set\",\"command\":null,\"model\":\"%s\",\"max_tokens\":%d,"
	       "\"context\":65536,\"backend\":\"cpu\"}",
	       path, tokens);
	return true;
}

#define NEEDS_MODEL(tokens)                                                                        \
	do {                                                                                       \
		if (!can_build() || !set_model(tokens))                                            \
			skip();                                                                    \
	} while (0)

static int read_ids(int turn, int *out, int max)
{
	struct buf text = { 0 };
	struct store *s = store_open(db, STORE_READ, NULL, &e);
	const cJSON *id;
	int n = 0;

	assert_done(store_artifact(s, episode(), turn, "tokens.json", &text, &e), &e);
	store_close(s);
	cJSON *o = json_parse(buf_str(&text), text.len, &e);
	cJSON_ArrayForEach(id, cJSON_GetObjectItemCaseSensitive(o, "ids")) if (n < max) out[n++] =
		id->valueint;
	cJSON_Delete(o);
	buf_release(&text);
	return n;
}

static void a_branch_begins_with_what_was_taken(void **state)
{
	int was[64], is[64];

	(void)state;
	NEEDS_MODEL(24);
	say(&work, "{\"do\":\"start\",\"task\":\"slab\"}");
	until_wait(&work);
	const struct live_answer *a = &work.live.answer[0];
	assert_int_equal(a->n_tokens, 24);
	assert_true(a->tokens[5].p > 0 && a->tokens[5].p <= 1);
	assert_true(a->tokens[5].n_top > 1);
	assert_true(a->tokens[5].top[0].text[0] != '\0');
	int other = a->tokens[5].top[a->tokens[5].top[0].id == a->tokens[5].id].id;
	saying(&work, "{\"do\":\"branch\",\"episode\":%lld,\"turn\":1,\"token\":5,\"id\":%d}",
	       episode(), other);
	until_wait(&work);
	assert_int_equal(work.live.turn, 2);
	assert_int_equal(read_ids(1, was, 64), 24);
	assert_int_equal(read_ids(2, is, 64), 24);
	assert_memory_equal(was, is, 5 * sizeof(int));
	assert_int_equal(is[5], other);
	assert_int_not_equal(was[5], is[5]);
	assert_int_equal(stored(episode()).parent, 0);
	saying(&work, "{\"do\":\"branch\",\"episode\":%lld,\"turn\":1,\"token\":99,\"id\":1}",
	       episode());
	assert_contains(json_string_or(await(&work, "refused"), "why", ""), "no token 99");
	/* the same prompt again is answered otherwise */
	for (int i = 0; i < 2; i++) {
		saying(&work, "{\"do\":\"turn\",\"episode\":%lld,\"parent\":1}", episode());
		until_wait(&work);
	}
	assert_int_equal(read_ids(3, was, 64), 24);
	assert_int_equal(read_ids(4, is, 64), 24);
	assert_memory_not_equal(was, is, sizeof(int) * 24);
}

static void a_group_is_built_as_it_ends(void **state)
{
	(void)state;
	NEEDS_MODEL(16);
	work.turns = work.overs = 0;
	say(&work, "{\"do\":\"start\",\"task\":\"slab\",\"group\":4}");
	until_wait(&work);
	assert_int_equal(work.live.n_answers, 4);
	assert_int_equal(work.turns, 4);
	assert_int_equal(work.overs, 4);
	for (int i = 0; i < 4; i++) {
		const struct live_answer *a = &work.live.answer[i];
		assert_true(a->over && a->turn >= 1 && a->turn <= 4);
		assert_int_equal(a->n_tokens, 16);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(work.live.answer[k].turn, a->turn);
	}
	assert_int_equal(stored(episode()).turns, 4);
}

static void an_engine_that_is_killed_is_told_and_started_again(void **state)
{
	(void)state;
	NEEDS_MODEL(50000);
	say(&work, "{\"do\":\"start\",\"task\":\"slab\"}");
	until_text(&work);
	kill(child_of(host_pid(work.h), "cadforge-infer"), SIGKILL);
	attend(&work, is_waiting, "the wait after it");
	assert_contains(work.trouble, "engine died");
	assert_int_equal(stored(episode()).turns, 0);
	say(&work, "{\"do\":\"set\",\"max_tokens\":8}");
	saying(&work, "{\"do\":\"turn\",\"episode\":%lld}", episode());
	until_wait(&work);
	assert_int_equal(stored(episode()).turns, 1);
}

/* Two tasks that ask for nothing: what is measured here is the host. */
static void write_pack(void)
{
	static const char *const ids[] = { "slab", "peg" };
	char path[500], text[900];
	int n = snprintf(path, sizeof(path), "%s/data", dir);

	setenv("XDG_DATA_HOME", path, 1);
	mkdir(path, 0700);
	for (const char *part = "/cadforge\0/tasks\0/mine\0"; *part; part += strlen(part) + 1) {
		n += snprintf(path + n, sizeof(path) - (size_t)n, "%s", part);
		mkdir(path, 0700);
	}
	snprintf(path + n, sizeof(path) - (size_t)n, "/pack.json");
	snprintf(text, sizeof(text),
	         "{\"format\":\"cadforge-pack-1\",\"name\":\"mine\",\"about\":\"Two.\"}");
	assert_done(file_write_atomic(path, text, strlen(text), &e), &e);
	for (int i = 0; i < 2; i++) {
		snprintf(path + n, sizeof(path) - (size_t)n, "/%s.json", ids[i]);
		snprintf(text, sizeof(text),
		         "{\"format\":\"cadforge-task-1\",\"id\":\"%s\",\"level\":\"easy\","
		         "\"family\":\"slabs\",\"bbox_mm\":[10,20,30],\"semantic_hints\":"
		         "[\"slab\"],\"prompt\":\"A slab.\",\"dimensions\":[{\"name\":\"height\","
		         "\"value_mm\":30,\"about\":\"of all\"}],\"expect\":{\"slabs\":1},"
		         "\"seed_box_over_height\":null,\"reference\":null,\"orientation\":"
		         "\"free\",\"checks\":[]}",
		         ids[i]);
		assert_done(file_write_atomic(path, text, strlen(text), &e), &e);
	}
}

static int set_up_work(void **state)
{
	setup(state);
	write_pack();
	open_work();
	return 0;
}

static int tear_down_work(void **state)
{
	end_bench(&work);
	return teardown(state);
}

int main(void)
{
	const char *env = getenv("PYTHON_ENV"), *given = getenv("CADFORGE_PYTHON_ENV");
	char here[256];

	if ((!given || !*given) && env)
		setenv("CADFORGE_PYTHON_ENV", env, 1);
	setenv("CADFORGE_TASKS", SRCDIR "/tasks", 1);
	unsetenv("CADFORGE_MODEL");
	setenv("CADFORGE_DEMO", "/nonexistent", 1); /* no model but those that are named */
	if (!getcwd(here, sizeof(here)))
		return 1;
	snprintf(program, sizeof(program), "%s/cadforge", here);
	app_init(&app);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest line_tests[] = {
		TEST(the_folder_must_be_ours_alone),
		TEST(two_names_of_a_database_are_one),
		TEST(settings_change_together_or_not_at_all),
		TEST(one_workbench_at_a_time),
		TEST(nonsense_is_refused_in_words),
		TEST(a_host_that_is_killed_is_told_and_forgotten),
		TEST(a_hangup_changes_nothing_and_a_term_ends_it),
	};
	const struct CMUnitTest work_tests[] = {
		cmocka_unit_test(turns_wait_for_one_another),
		cmocka_unit_test(what_was_stopped_is_kept),
		cmocka_unit_test(it_goes_on_without_a_workbench),
		cmocka_unit_test(a_queue_is_worked_off_in_order),
		cmocka_unit_test(a_branch_begins_with_what_was_taken),
		cmocka_unit_test(a_group_is_built_as_it_ends),
		cmocka_unit_test(an_engine_that_is_killed_is_told_and_started_again),
		cmocka_unit_test(a_builder_that_is_killed_is_told_and_started_again),
		cmocka_unit_test(a_host_killed_in_a_turn_loses_nothing_committed),
	};
	int failed = cmocka_run_group_tests_name("the line", line_tests, NULL, NULL);

	return failed +
	       cmocka_run_group_tests_name("the work", work_tests, set_up_work, tear_down_work);
}
