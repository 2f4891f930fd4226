/*
 * pool_programs.c - the helper programs: started, fed, heard, and started again when they die.
 */
#include "engine/pool_inside.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"

#define JSON_MAX          (16u << 20)
#define START_S           60.0 /* a program that is not ready by then is killed */
#define SILENCE_S         20.0 /* beyond a job's own limits; then the program is taken for hung */
#define RESTARTS_IN_A_ROW 5

/* ---- the programs ---- */

struct program *pool_program_at(struct engine *en, int i)
{
	struct program *const all[PROGRAMS] = { &en->builder, &en->scorer, &en->mesher };

	return all[i];
}

void pool_program_init(struct program *p, const char *name)
{
	memset(p, 0, sizeof(*p));
	p->name = name;
	p->helper.fd = p->helper.pidfd = -1;
	p->heir_fd = -1;
	p->last = &p->first;
	p->in.json_max = JSON_MAX;
}

void pool_program_reset(struct program *p)
{
	frame_reader_release(&p->in);
	buf_release(&p->out);
	p->in.json_max = JSON_MAX;
	p->ready = false;
	p->heir_asked = false;
}

int pool_program_start(struct engine *en, struct program *p, struct err *e)
{
	char path[4200], stubs[4200];
	const char *argv[12];
	/* The kernel's libraries are bound at the start and not, once more, in every child: that
	 * took a third of a measurement's time, and costs the start nothing that shows
	 * (2026-11-22). */
	static const char *const bound[] = { "LD_BIND_NOW=1", NULL }, *const none[] = { NULL };
	int n = 0;

	if (p->helper.pid > 0)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", en->libexec, p->name);
	snprintf(stubs, sizeof(stubs), "%s/gl", en->libexec);
	argv[n++] = path;
	argv[n++] = "--jobs";
	argv[n++] = en->jobs_text;
	if (p == &en->builder) {
		argv[n++] = "--gl-stubs";
		argv[n++] = stubs;
	}
	if (p != &en->scorer && en->has_python_env) {
		argv[n++] = "--python-env";
		argv[n++] = en->python_env;
	}
	if (en->unjailed)
		argv[n++] = "--unforked";
	argv[n] = NULL;
	pool_program_reset(p);
	if (helper_start(&p->helper, argv, p == &en->scorer ? bound : none, en->quiet, e) < 0)
		return -1;
	p->started = p->heard = clock_now_s();
	if (p == &en->scorer)
		for (int i = 0; i < en->n_ref; i++)
			en->ref[i].sent = false;
	for (struct job *j = p->first; j; j = j->next)
		j->sent = false;
	return 0;
}

void pool_program_send_waiting(struct engine *en, struct program *p)
{
	if (!p->ready)
		return;
	if (p == &en->scorer)
		for (int i = 0; i < en->n_ref; i++) {
			if (en->ref[i].sent)
				continue;
			char json[64];
			int n = snprintf(json, sizeof(json), "{\"id\":%d,\"kind\":\"%s\"}", i + 1,
			                 en->ref[i].exact ? "exact" : "seed");
			frame_append(&p->out, WIRE_REFERENCE, 0, json, (size_t)n,
			             en->ref[i].bytes.data, en->ref[i].bytes.len);
			en->ref[i].sent = true;
		}
	/* One of the jobs that were there when the program died may be the reason. They go one by
	 * one, so that it takes no other along when it strikes again. */
	bool suspects = false, flying = false;
	for (const struct job *j = p->first; j; j = j->next) {
		suspects |= j->losses > 0;
		flying |= j->sent && j->type != WIRE_WATCH;
	}
	for (struct job *j = p->first; j; j = j->next) {
		if (j->sent)
			continue;
		if (suspects && flying)
			break;
		buf_add(&p->out, j->frame.data, j->frame.len);
		buf_add(&p->out, j->more.data, j->more.len);
		buf_release(&j->more);
		j->sent = true;
		flying |= j->type != WIRE_WATCH;
	}
}

void pool_forget_heir(struct program *p)
{
	if (p->heir_fd >= 0)
		close(p->heir_fd);
	p->heir_fd = -1;
	p->heir_pid = 0;
}

static void ask_for_heir(struct program *p)
{
	if (!p->ready || p->heir_asked || p->heir_fd >= 0 || !json_bool_or(p->info, "heir", false))
		return;
	frame_append(&p->out, WIRE_HEIR, 0, "{}", 2, NULL, 0);
	p->heir_asked = true;
}

/* The heir becomes the program: its socket takes the place of the dead one's. Its pid is not our
 * child by fork but by adoption (we are a subreaper), so helper_gone() can wait for it. */
static bool take_heir(struct program *p)
{
	struct pollfd alive = { .fd = p->heir_fd, .events = POLLIN };

	if (p->heir_fd < 0)
		return false;
	/* it never speaks before it is asked, so anything here is its end */
	if (p->heir_pid <= 0 || poll(&alive, 1, 0) > 0) {
		pool_forget_heir(p);
		return false;
	}
	pool_program_reset(p);
	p->helper.fd = p->heir_fd;
	p->helper.pid = p->heir_pid;
	p->helper.pidfd = (int)syscall(SYS_pidfd_open, p->heir_pid, 0);
	p->heir_fd = -1;
	p->heir_pid = 0;
	p->ready = true;
	p->heard = clock_now_s();
	return true;
}

/* It cannot work here: what waits for it goes to the builder, which takes the same jobs. */
static int do_without_mesher(struct engine *en, struct err *e)
{
	struct program *m = &en->mesher, *b = &en->builder;

	en->no_mesher = true;
	helper_stop(&m->helper, 0);
	pool_program_reset(m);
	if (!m->first)
		return 0;
	for (struct job *j = m->first; j; j = j->next)
		j->sent = false;
	*b->last = m->first;
	b->last = m->last;
	m->first = NULL;
	m->last = &m->first;
	if (pool_program_start(en, b, e) < 0)
		return -1;
	pool_program_send_waiting(en, b);
	return 0;
}

/* A program died, or must: its jobs go to its heir or to a new one, once. @read_jobs: it may have
 * died of them, since what was sent had reached it. */
static int program_lost(struct engine *en, struct program *p, const char *why, bool read_jobs,
                        struct err *e)
{
	char how[64] = "";
	bool was_ready = p->ready;
	int rc = 0;

	if (p->helper.pid > 0) {
		if (!helper_gone(&p->helper, how, sizeof(how))) {
			kill(p->helper.pid, SIGKILL);
			helper_stop(&p->helper, 1.0);
		}
	}
	en->restarts++;
	p->deaths_in_a_row = was_ready ? p->deaths_in_a_row : p->deaths_in_a_row + 1;
	if (p->deaths_in_a_row >= RESTARTS_IN_A_ROW && p == &en->mesher)
		return do_without_mesher(en, e);
	if (p->deaths_in_a_row >= RESTARTS_IN_A_ROW)
		return err_set(e, ERR_LOST,
		               "%s does not stay alive: %s (%s); run `cadforge doctor`", p->name,
		               why, how);
	struct job *gone = NULL, **gone_last = &gone;
	for (struct job **at = &p->first; *at;) {
		struct job *j = *at;
		/* what a watched program had come to is lost with it; its owner has the text */
		bool again = j->type != WIRE_WATCH && (!read_jobs || ++j->losses < 2);
		if (!j->sent || again) {
			j->sent = false;
			buf_clear(&j->log);
			buf_clear(&j->log_partial[0]);
			buf_clear(&j->log_partial[1]);
			at = &j->next;
			continue;
		}
		*gone_last = pool_job_unlink(p, at);
		gone_last = &j->next;
	}
	if (take_heir(p)) {
		/* first of all an heir of its own: the next blow may fall at once */
		ask_for_heir(p);
		pool_program_send_waiting(en, p);
	} else {
		/* also one that was never ready and has no jobs: somebody may wait for its greeting
		 */
		rc = pool_program_start(en, p, e);
	}
	while (gone) {
		struct job *j = gone;
		char text[200];
		gone = j->next;
		snprintf(
			text, sizeof(text),
			j->type == WIRE_WATCH
				? "%s was lost while it watched this program (%s%s%s)"
				: "%s was lost twice under this job (%s%s%s): this says nothing of the program",
			p->name, why, how[0] ? ", " : "", how);
		pool_job_answer(en, j, NULL, text);
	}
	return rc;
}

static int program_frame(struct engine *en, struct program *p, const struct frame *f, struct err *e)
{
	struct job **at = f->job ? pool_job_find(p, f->job) : NULL;

	switch (f->type) {
	case WIRE_READY: {
		cJSON *o = json_parse(f->json, f->json_len, e);
		if (!o)
			return err_wrap(e, "%s", p->name);
		const char *error = json_string_or(o, "error", NULL);
		if (error && p == &en->mesher) {
			cJSON_Delete(p->info);
			p->info = o;
			return do_without_mesher(en, e);
		}
		if (error) {
			const char *remedy = json_string_or(o, "remedy", NULL);
			err_set(e, ERR_LACKS, "%s: %s%s%s", p->name, error, remedy ? "; " : "",
			        remedy ? remedy : "");
			cJSON_Delete(o);
			return -1;
		}
		cJSON_Delete(p->info);
		p->info = o;
		p->ready = true;
		p->deaths_in_a_row = 0;
		pool_program_send_waiting(en, p);
		ask_for_heir(p);
		return 0;
	}
	case WIRE_LOG:
		/* what a watched program prints is printed again by the build that counts */
		if (at && (*at)->type != WIRE_WATCH)
			pool_job_log(en, *at, f);
		return 0;
	case WIRE_NOTICE:
		if (at)
			pool_job_seen(en, *at, f);
		return 0;
	case WIRE_RESULT:
		if (at) {
			/* what the reader holds stays valid while the callback queues further jobs
			 */
			struct job *j = pool_job_unlink(p, at);
			struct frame again = *f;
			cJSON *o = NULL;
			struct err ignored = { 0 };
			if (j->type == WIRE_BUILD || j->type == WIRE_SCORE || j->whole)
				o = json_parse(f->json, f->json_len, &ignored);
			bool lost =
				o && strcmp(json_string_or(o, "cause", ""), "builder_lost") == 0;
			cJSON_Delete(o);
			if (lost && !j->cancelled && j->type != WIRE_WATCH && ++j->losses < 2) {
				/* our own fault there (a child that could not be forked, was killed
				 * from outside): once more */
				j->sent = false;
				buf_clear(&j->log);
				*p->last = j;
				p->last = &j->next;
				pool_program_send_waiting(en, p);
				return 0;
			}
			pool_job_answer(en, j, &again, NULL);
			pool_program_send_waiting(en, p);
		}
		return 0;
	case WIRE_HEIR: {
		cJSON *o = json_parse(f->json, f->json_len, e);
		p->heir_pid = (pid_t)json_number_or(o, "pid", 0);
		p->heir_asked = false;
		cJSON_Delete(o);
		if (p->heir_fd >= 0 && p->heir_pid > 0)
			fcntl(p->heir_fd, F_SETFL, fcntl(p->heir_fd, F_GETFL) | O_NONBLOCK);
		else
			pool_forget_heir(p);
		return 0;
	}
	default:
		return err_set(e, ERR_PROTOCOL, "%s sent a message of unknown type %u", p->name,
		               f->type);
	}
}

static int program_read(struct engine *en, struct program *p, struct err *e)
{
	struct err why = { 0 };
	struct frame f;

	for (int rounds = 0; rounds < 64 && p->helper.fd >= 0; rounds++) {
		pid_t pid = p->helper.pid;
		int passed = -1;
		ssize_t n = frame_fill_fd(&p->in, p->helper.fd, &passed, &why);
		if (passed >= 0) {
			if (p->heir_fd >= 0)
				close(p->heir_fd);
			p->heir_fd = passed;
		}
		if (n == -2)
			return 0;
		if (n <= 0)
			return program_lost(en, p, n == 0 ? "it died" : why.text, true, e);
		p->heard = clock_now_s();
		for (;;) {
			int have = frame_next(&p->in, &f, &why);
			if (have == 0)
				break;
			if (have < 0)
				return program_lost(en, p, why.text, true, e);
			if (program_frame(en, p, &f, e) < 0)
				return -1;
			if (p->helper.pid != pid)
				return 0;
		}
	}
	return 0;
}

void pool_collect_orphans(struct engine *en)
{
	for (int rounds = 0; rounds < 256; rounds++) {
		siginfo_t s = { 0 };
		char path[40], comm[32] = "";
		if (waitid(P_ALL, 0, &s, WEXITED | WNOHANG | WNOWAIT) < 0 || s.si_pid == 0)
			return;
		for (int i = 0; i < PROGRAMS; i++)
			if (s.si_pid == pool_program_at(en, i)->helper.pid)
				return;
		snprintf(path, sizeof(path), "/proc/%d/comm", (int)s.si_pid);
		FILE *f = fopen(path, "re");
		if (f) {
			if (!fgets(comm, sizeof(comm), f))
				comm[0] = '\0';
			fclose(f);
		}
		if (strncmp(comm, "cadforge-", 9) != 0)
			return;
		waitpid(s.si_pid, NULL, WNOHANG);
	}
}

int pool_program_step(struct engine *en, struct program *p, struct err *e)
{
	struct err why = { 0 };
	double now = clock_now_s();

	if (p->helper.fd < 0)
		return p->first ? pool_program_start(en, p, e) : 0;
	if (p->out.len && frame_flush(&p->out, p->helper.fd, &why) < 0)
		return program_lost(en, p, why.text, false, e);
	if (program_read(en, p, e) < 0)
		return -1;
	if (p->heir_fd >= 0) {
		struct pollfd x = { .fd = p->heir_fd, .events = POLLIN };
		if (poll(&x, 1, 0) > 0) {
			pool_forget_heir(p);
			ask_for_heir(p);
		}
	}
	if (p->out.len && p->helper.fd >= 0 && frame_flush(&p->out, p->helper.fd, &why) < 0)
		return program_lost(en, p, why.text, false, e);
	if (p->helper.fd < 0)
		return 0;
	if (!p->ready && now > p->started + START_S)
		return program_lost(en, p, "it was not ready after 60 s", true, e);
	if (p->ready && p->first) {
		double longest = 0;
		/* of a watched program nothing may be heard as long as nobody writes */
		for (const struct job *j = p->first; j; j = j->next)
			longest = fmax(longest, j->type == WIRE_WATCH ? INFINITY : j->limit_s);
		if (now > p->heard + longest + SILENCE_S)
			return program_lost(en, p, "it gave no answer for too long", true, e);
	}
	return 0;
}
