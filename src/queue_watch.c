#include "src/queue_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"

/* What the process says: this, then t.n rows. Both ends are one program, so it is as it lies in
 * memory. */
struct said {
	struct err why; /* ERR_NONE: the table is there */
	struct queue_table t;
};

struct queue_watch {
	struct redis_address a;
	int fd; /* -1: the process is gone */
	pid_t pid;
	bool asked;
	double asked_s, came_s, table_s; /* when; 0: never */
	struct buf in;
	struct queue_table table;
	bool has_table;
	struct err why;
};

/* ---- the process ---- */

static bool send_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static void answer(int fd, const struct redis_address *a)
{
	for (char c; recv(fd, &c, 1, 0) == 1;) {
		struct said s;
		memset(&s, 0, sizeof(s));
		if (queue_list(&s.t, a, &s.why) == 0)
			s.why.kind = ERR_NONE;
		bool sent = send_all(fd, &s, sizeof(s)) &&
		            send_all(fd, s.t.row, sizeof(*s.t.row) * (size_t)s.t.n);
		queue_table_release(&s.t);
		if (!sent)
			return;
	}
}

/* Nothing of its owner's stays open in it: neither the terminal nor what ends when the last who has
 * it is gone. */
static void become(int fd, pid_t owner, const struct redis_address *a)
{
	static const int reset[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < sizeof(reset) / sizeof(*reset); i++)
		signal(reset[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	setpgid(0, 0); /* the terminal's signals are not for it */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null_fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(null_fd, i);
	if (fd != 3)
		dup2(fd, 3);
	syscall(SYS_close_range, 4u, ~0u, 0);
	if (getppid() == owner)
		answer(3, a);
	_exit(0);
}

static int start(struct queue_watch *w, struct err *e)
{
	int pair[2];
	pid_t owner = getpid();

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, ERR_IO, "socketpair");
	w->pid = fork();
	if (w->pid == 0)
		become(pair[1], owner, &w->a);
	close(pair[1]);
	if (w->pid < 0) {
		close(pair[0]);
		return err_errno(e, ERR_IO, "fork");
	}
	fcntl(pair[0], F_SETFL, fcntl(pair[0], F_GETFL) | O_NONBLOCK);
	w->fd = pair[0];
	w->asked = false;
	buf_clear(&w->in);
	return 0;
}

static void stop(struct queue_watch *w)
{
	if (w->fd < 0)
		return;
	close(w->fd);
	w->fd = -1;
	kill(w->pid, SIGKILL);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- its owner ---- */

struct queue_watch *queue_watch_open(const struct redis_address *a, struct err *e)
{
	struct queue_watch *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	w->a = *a;
	w->fd = -1;
	if (start(w, e) == 0)
		return w;
	queue_watch_close(w);
	return NULL;
}

void queue_watch_close(struct queue_watch *w)
{
	if (!w)
		return;
	stop(w);
	queue_table_release(&w->table);
	buf_release(&w->in);
	explicit_bzero(w->a.password, sizeof(w->a.password));
	free(w);
}

/* A whole answer, when it is there. */
static bool take(struct queue_watch *w)
{
	struct said s;

	if (w->in.len < sizeof(s))
		return false;
	memcpy(&s, w->in.data, sizeof(s));
	size_t rows = sizeof(*s.t.row) * (size_t)s.t.n;
	if (w->in.len < sizeof(s) + rows)
		return false;
	w->asked = false;
	w->came_s = clock_now_s();
	w->why = s.why;
	s.t.row = s.t.n ? malloc(rows) : NULL;
	if (s.why.kind == ERR_NONE && (s.t.row || !s.t.n)) {
		if (s.t.n)
			memcpy(s.t.row, w->in.data + sizeof(s), rows);
		queue_table_release(&w->table);
		w->table = s.t;
		w->has_table = true;
		w->table_s = w->came_s;
	} else {
		free(s.t.row);
	}
	buf_clear(&w->in);
	return true;
}

bool queue_watch_step(struct queue_watch *w, double every_s)
{
	char bytes[16 << 10];
	double now = clock_now_s();
	struct err e = { 0 };
	bool news = false;
	ssize_t n = 0;

	while (w->fd >= 0 && (n = recv(w->fd, bytes, sizeof(bytes), 0)) > 0)
		buf_add(&w->in, bytes, (size_t)n);
	if (w->fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
		/* killed by somebody: another takes its place with the next question */
		stop(w);
		w->came_s = now;
	}
	news = take(w);
	if (w->asked || (w->came_s > 0 && now < w->came_s + every_s))
		return news;
	if (w->fd < 0 && start(w, &e) < 0) {
		w->why = e;
		w->came_s = now;
		return true;
	}
	w->asked = send(w->fd, "?", 1, MSG_NOSIGNAL) == 1;
	w->asked_s = now;
	return news;
}

const struct queue_table *queue_watch_table(const struct queue_watch *w)
{
	return w->has_table ? &w->table : NULL;
}

double queue_watch_age_s(const struct queue_watch *w)
{
	return w->has_table ? clock_now_s() - w->table_s : NAN;
}

double queue_watch_silent_s(const struct queue_watch *w)
{
	return w->asked ? clock_now_s() - w->asked_s : 0;
}

const struct err *queue_watch_trouble(const struct queue_watch *w)
{
	return &w->why;
}
