#include "src/loop.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int loop_open(struct loop *l, struct err *e)
{
	static const int wanted[] = {
		SIGWINCH, SIGHUP, SIGTERM, SIGINT, SIGTSTP, SIGCONT, SIGUSR1
	};
	sigset_t set;

	*l = (struct loop){ .signal_fd = -1 };
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		sigaddset(&set, wanted[i]);
	if (sigprocmask(SIG_BLOCK, &set, &l->before) < 0)
		return err_errno(e, ERR_IO, "blocking signals");
	l->blocked = true;
	l->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (l->signal_fd < 0) {
		err_errno(e, ERR_IO, "a descriptor for signals");
		loop_close(l);
		return -1;
	}
	return 0;
}

void loop_close(struct loop *l)
{
	if (!l->blocked)
		return;
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	l->signal_fd = -1;
	sigprocmask(SIG_SETMASK, &l->before, NULL);
	l->blocked = false;
}

void loop_begin(struct loop *l)
{
	l->n = 0;
	if (l->signal_fd >= 0)
		loop_watch(l, l->signal_fd, POLLIN);
}

int loop_watch(struct loop *l, int fd, short events)
{
	if (fd < 0 || l->n == LOOP_FDS)
		return -1;
	l->fd[l->n] = (struct pollfd){ .fd = fd, .events = events };
	return l->n++;
}

int loop_wait(struct loop *l, double timeout_s, struct err *e)
{
	/* rounded up: to wake a moment too early is to turn in circles */
	int ms = timeout_s < 0 ? -1 : timeout_s > 86400 ? 86400000 : (int)ceil(timeout_s * 1000);

	if (poll(l->fd, (nfds_t)l->n, ms) >= 0)
		return 0;
	for (int i = 0; i < l->n; i++)
		l->fd[i].revents = 0;
	return errno == EINTR ? 0 : err_errno(e, ERR_IO, "waiting for input");
}

short loop_came(const struct loop *l, int place)
{
	return place >= 0 && place < l->n ? l->fd[place].revents : 0;
}

int loop_signal(struct loop *l)
{
	struct signalfd_siginfo s;
	ssize_t n;

	do
		n = read(l->signal_fd, &s, sizeof(s));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(s) ? (int)s.ssi_signo : 0;
}

void loop_child(const struct loop *l)
{
	sigprocmask(SIG_SETMASK, &l->before, NULL);
}
