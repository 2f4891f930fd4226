#include "src/source.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"

const char *finish_name(enum finish f)
{
	static const char *const names[] = { "stop", "length", "cancelled", "error", "failed" };

	return names[f];
}

void completion_release(struct completion *c)
{
	buf_release(&c->text);
	buf_release(&c->author.sampling);
	buf_release(&c->author.tokens);
	buf_release(&c->author.figures);
	*c = (struct completion){ 0 };
}

void source_close(struct source *s)
{
	if (s->close)
		s->close(s->ctx);
	*s = (struct source){ 0 };
}

/* ---- files ---- */

struct files {
	int n;
	struct file {
		struct buf text;
		enum extract_rule rule;
	} file[];
};

static void files_close(void *ctx)
{
	struct files *f = ctx;

	for (int i = 0; i < f->n; i++)
		buf_release(&f->file[i].text);
	free(f);
}

static int files_next(void *ctx, const struct ask *a, struct completion *out, struct err *e)
{
	const struct files *f = ctx;

	if (a->number >= f->n)
		return err_set(e, ERR_INPUT, "turn %d: there are only %d files", a->turn, f->n);
	const struct file *one = &f->file[a->number];
	buf_add(&out->text, one->text.data, one->text.len);
	if (buf_failed(&out->text))
		return err_set(e, ERR_MEM, "no memory for a completion of %zu bytes",
		               one->text.len);
	out->rule = one->rule;
	out->finish = FINISH_STOP;
	out->seconds = NAN;
	if (a->text)
		a->text(a->ctx, 0, buf_str(&out->text), out->text.len);
	return 0;
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && strcasecmp(name + n - m, end) == 0;
}

int source_files(struct source *out, const char *const *files, int n, struct err *e)
{
	struct files *f = calloc(1, sizeof(*f) + (size_t)n * sizeof(f->file[0]));

	if (!f)
		return err_set(e, ERR_MEM, "out of memory for %d files", n);
	for (f->n = 0; f->n < n; f->n++) {
		struct file *one = &f->file[f->n];
		one->rule = ends_in(files[f->n], ".py") ? EXTRACT_FILE : EXTRACT_ANSWER;
		if (buf_read_file(&one->text, files[f->n], COMPLETION_BYTES_MAX, e) < 0) {
			f->n++;
			files_close(f);
			return -1;
		}
	}
	*out = (struct source){
		.ctx = f, .count = n, .next = files_next, .close = files_close, .name = "files"
	};
	return 0;
}

/* ---- a text ---- */

struct given {
	const char *text;
	size_t len;
};

static int text_next(void *ctx, const struct ask *a, struct completion *out, struct err *e)
{
	const struct given *g = ctx;

	buf_add(&out->text, g->text, g->len);
	if (buf_failed(&out->text))
		return err_set(e, ERR_MEM, "no memory for a program of %zu bytes", g->len);
	out->rule = EXTRACT_FILE;
	out->finish = FINISH_STOP;
	out->seconds = NAN;
	if (a->text)
		a->text(a->ctx, 0, g->text, g->len);
	return 0;
}

int source_text(struct source *out, const char *text, size_t len, struct err *e)
{
	struct given *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(e, ERR_MEM, "out of memory");
	*g = (struct given){ text, len };
	*out = (struct source){
		.ctx = g, .count = 1, .next = text_next, .close = free, .name = "by hand"
	};
	return 0;
}

/* ---- a command ---- */

struct command {
	struct command_options o;
	char shown[64]; /* the command, short enough for a message */
	bool stop;      /* what it printed is enough */
};

struct run {
	pid_t pid;
	int pidfd, in, out; /* -1 when closed */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void exec_shell(const struct command *c, const struct ask *a, int in, int out, pid_t parent)
{
	static const int reset[] = { SIGPIPE, SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGCHLD };
	char turn[32];
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	for (size_t i = 0; i < sizeof(reset) / sizeof(*reset); i++)
		signal(reset[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* both are above 2: main() sees to it that 0 to 2 are open */
	dup2(in, 0);
	dup2(out, 1);
	if (c->o.quiet) {
		int null_fd = open("/dev/null", O_WRONLY);
		if (null_fd >= 0)
			dup2(null_fd, 2);
	}
	syscall(SYS_close_range, 3u, ~0u, 0);
	for (const char *const *v = c->o.env; v && *v; v++)
		putenv((char *)(void *)*v);
	snprintf(turn, sizeof(turn), "%d", a->turn);
	setenv("CADFORGE_TURN", turn, 1);
	execl("/bin/sh", "sh", "-c", c->o.command, (char *)NULL);
	_exit(127);
}

static int start(struct run *r, const struct command *c, const struct ask *a, struct err *e)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	pid_t parent = getpid();

	*r = (struct run){ .pidfd = -1, .in = -1, .out = -1 };
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0) {
		err_errno(e, ERR_IO, "pipe");
		goto fail;
	}
	fflush(NULL);
	r->pid = fork();
	if (r->pid == 0)
		exec_shell(c, a, in[0], out[1], parent);
	if (r->pid < 0) {
		err_errno(e, ERR_IO, "fork");
		goto fail;
	}
	setpgid(r->pid, r->pid); /* here too: a kill may come before the child got that far */
	close_fd(&in[0]);
	close_fd(&out[1]);
	r->in = in[1];
	r->out = out[0];
	fcntl(r->in, F_SETFL, O_NONBLOCK);
	fcntl(r->out, F_SETFL, O_NONBLOCK);
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->pidfd >= 0)
		return 0;
	err_errno(e, ERR_IO, "pidfd_open");
	kill(-r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	close_fd(&r->in);
	close_fd(&r->out);
	return -1;
fail:
	for (int i = 0; i < 2; i++) {
		close_fd(&in[i]);
		close_fd(&out[i]);
	}
	return -1;
}

/* Ends whatever of the group is left; the shell's own status, or that of the kill. */
static int stop(struct run *r)
{
	int status = 0;

	kill(-r->pid, SIGKILL);
	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		;
	close_fd(&r->pidfd);
	close_fd(&r->in);
	close_fd(&r->out);
	return status;
}

static void feed(struct run *r, const struct ask *a, size_t *sent)
{
	ssize_t n = write(r->in, a->prompt + *sent, a->prompt_len - *sent);

	if (n > 0)
		*sent += (size_t)n;
	/* EPIPE: it does not want (the rest of) its prompt, which is its own affair */
	if (*sent == a->prompt_len || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(&r->in);
}

/* Reads what is there. 1: some came; 0: nothing now; -1: the end. */
static int drink(struct run *r, const struct ask *a, struct completion *out)
{
	char some[16384];
	ssize_t n = read(r->out, some, sizeof(some));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		close_fd(&r->out);
		return -1;
	}
	buf_add(&out->text, some, (size_t)n);
	if (a->text)
		a->text(a->ctx, 0, some, (size_t)n);
	return 1;
}

enum outcome { ENDED, STOPPED, ENOUGH, TOO_LONG, TOO_MUCH };

/* Until the shell has ended. Its output may be held open by something it left behind: that is not
 * waited for. */
static enum outcome attend(struct run *r, const struct command *c, const struct ask *a,
                           struct completion *out)
{
	enum { TICK_MS = 100 };
	double deadline = clock_now_s() + c->o.wall_s;
	size_t sent = 0;

	for (;;) {
		/* a descriptor of -1 is passed over by poll */
		struct pollfd p[] = { { r->pidfd, POLLIN, 0 },
			              { r->out, POLLIN, 0 },
			              { r->in, POLLOUT, 0 } };
		poll(p, 3, a->tick_ms > 0 ? a->tick_ms : TICK_MS);
		if (a->tick && a->tick(a->ctx))
			return STOPPED;
		if (c->stop)
			return ENOUGH;
		if (r->in >= 0 && p[2].revents)
			feed(r, a, &sent);
		if (r->out >= 0 && p[1].revents)
			drink(r, a, out);
		if (out->text.len > c->o.bytes_max)
			return TOO_MUCH;
		if (p[0].revents)
			break;
		if (clock_now_s() > deadline)
			return TOO_LONG;
	}
	while (r->out >= 0 && drink(r, a, out) > 0)
		if (out->text.len > c->o.bytes_max)
			return TOO_MUCH;
	return ENDED;
}

static int command_next(void *ctx, const struct ask *a, struct completion *out, struct err *e)
{
	struct command *c = ctx;
	double begun = clock_now_s();
	struct run r;

	c->stop = false;
	if (a->n_forced > 0)
		return err_set(e, ERR_LACKS,
		               "a command cannot begin its answer with given tokens: name a model");
	out->rule = EXTRACT_ANSWER;
	if (start(&r, c, a, e) < 0)
		return err_wrap(e, "--from-command '%s'", c->shown);
	enum outcome how = attend(&r, c, a, out);
	int status = stop(&r);

	out->seconds = clock_now_s() - begun;
	if (buf_failed(&out->text))
		return err_set(e, ERR_MEM, "no memory for a completion");
	out->finish = FINISH_ERROR;
	switch (how) {
	case STOPPED:
		out->finish = FINISH_CANCELLED;
		return err_set(e, ERR_CANCELLED, "interrupted while '%s' ran", c->shown);
	case ENOUGH:
		out->finish = FINISH_CANCELLED;
		if (out->text.len > 0)
			return 0;
		return err_set(e, ERR_CANCELLED, "stopped before '%s' had printed anything",
		               c->shown);
	case TOO_LONG:
		return err_set(e, ERR_INPUT,
		               "--from-command '%s': turn %d took longer than %g s and was killed; "
		               "--command-wall S allows more",
		               c->shown, a->turn, c->o.wall_s);
	case TOO_MUCH:
		return err_set(e, ERR_INPUT,
		               "--from-command '%s': turn %d printed more than %zu bytes and was "
		               "killed; a completion is at most that long",
		               c->shown, a->turn, c->o.bytes_max);
	case ENDED:
		break;
	}
	if (WIFSIGNALED(status))
		return err_set(e, ERR_INPUT,
		               "--from-command '%s': turn %d: ended by signal %d (%s)", c->shown,
		               a->turn, WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) == 127)
		return err_set(e, ERR_INPUT,
		               "--from-command '%s': turn %d: exit status 127: there is no such "
		               "command; the shell has told which",
		               c->shown, a->turn);
	if (WEXITSTATUS(status) != 0)
		return err_set(e, ERR_INPUT, "--from-command '%s': turn %d: exit status %d",
		               c->shown, a->turn, WEXITSTATUS(status));
	if (out->text.len == 0)
		return err_set(e, ERR_INPUT,
		               "--from-command '%s': turn %d: it printed nothing; a completion was "
		               "expected on its standard output",
		               c->shown, a->turn);
	out->finish = FINISH_STOP;
	return 0;
}

static void command_stop(void *ctx)
{
	struct command *c = ctx;

	c->stop = true;
}

int source_command(struct source *out, const struct command_options *o, struct err *e)
{
	struct command *c;

	if (!*o->command)
		return err_set(e, ERR_USAGE, "--from-command: a command was expected");
	if (!(c = calloc(1, sizeof(*c))))
		return err_set(e, ERR_MEM, "out of memory");
	c->o = *o;
	snprintf(c->shown, sizeof(c->shown), "%s", o->command);
	if (strlen(o->command) >= sizeof(c->shown))
		memcpy(c->shown + sizeof(c->shown) - 4, "...", 4);
	*out = (struct source){
		.ctx = c, .next = command_next, .close = free, .stop = command_stop
	};
	snprintf(out->name, sizeof(out->name), "command: %s", o->command);
	return 0;
}
