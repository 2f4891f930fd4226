#include "src/base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void helper_forget(struct helper *h)
{
	if (h->fd >= 0)
		close(h->fd);
	if (h->pidfd >= 0)
		close(h->pidfd);
	*h = (struct helper){ .fd = -1, .pidfd = -1 };
}

static void exec_child(const char *const *argv, const char *const *env, bool quiet, int sock,
                       pid_t parent, int report)
{
	sigset_t none;
	int failed;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	/* above the numbers that are about to be taken */
	sock = fcntl(sock, F_DUPFD, 16);
	report = fcntl(report, F_DUPFD_CLOEXEC, 16);
	int null_fd = open("/dev/null", O_RDWR);
	if (sock < 0 || report < 0 || null_fd < 0)
		_exit(127);
	dup2(null_fd, 0);
	dup2(null_fd, 1);
	if (quiet)
		dup2(null_fd, 2);
	dup2(sock, 3);
	for (int fd = 4; fd < report; fd++)
		close(fd);
	syscall(SYS_close_range, (unsigned)report + 1, ~0u, 0);
	execve(argv[0], (char *const *)(void *)argv, (char *const *)(void *)env);
	failed = errno;
	if (write(report, &failed, sizeof(failed)) < 0)
		_exit(126);
	_exit(127);
}

int helper_start(struct helper *h, const char *const *argv, const char *const *env, bool quiet,
                 struct err *e)
{
	int sock[2], report[2], failed = 0;
	pid_t parent = getpid();

	*h = (struct helper){ .fd = -1, .pidfd = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		return err_errno(e, ERR_IO, "socketpair");
	if (pipe2(report, O_CLOEXEC) < 0) {
		err_errno(e, ERR_IO, "pipe");
		close(sock[0]);
		close(sock[1]);
		return -1;
	}
	/* fewer wake-ups for a shape of some megabytes; the kernel caps it at its own limit */
	int bytes = 1 << 20;
	for (int i = 0; i < 2; i++) {
		setsockopt(sock[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		setsockopt(sock[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	}
	pid_t pid = fork();
	if (pid == 0)
		exec_child(argv, env, quiet, sock[1], parent, report[1]);
	close(sock[1]);
	close(report[1]);
	if (pid < 0) {
		err_errno(e, ERR_IO, "fork");
		close(sock[0]);
		close(report[0]);
		return -1;
	}
	ssize_t n;
	do
		n = read(report[0], &failed, sizeof(failed));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == (ssize_t)sizeof(failed)) {
		close(sock[0]);
		waitpid(pid, NULL, 0);
		errno = failed;
		return err_errno(e, ERR_LACKS, "%s cannot be started", argv[0]);
	}
	h->pid = pid;
	h->fd = sock[0];
	fcntl(h->fd, F_SETFL, fcntl(h->fd, F_GETFL) | O_NONBLOCK);
	h->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (h->pidfd < 0) {
		err_errno(e, ERR_IO, "pidfd_open");
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		helper_forget(h);
		return -1;
	}
	fcntl(h->pidfd, F_SETFD, FD_CLOEXEC);
	return 0;
}

bool helper_gone(struct helper *h, char *how, size_t how_len)
{
	int status;

	if (h->pid <= 0)
		return true;
	pid_t p = waitpid(h->pid, &status, WNOHANG);
	if (p == 0 || (p < 0 && errno == EINTR))
		return false;
	if (how && how_len) {
		if (p < 0)
			snprintf(how, how_len, "unknown");
		else if (WIFSIGNALED(status))
			snprintf(how, how_len, "signal %d (%s)", WTERMSIG(status),
			         strsignal(WTERMSIG(status)));
		else
			snprintf(how, how_len, "exit status %d", WEXITSTATUS(status));
	}
	helper_forget(h);
	return true;
}

void helper_stop(struct helper *h, double grace_s)
{
	if (h->pid <= 0)
		return;
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	struct pollfd p = { .fd = h->pidfd, .events = POLLIN };
	int n;
	do
		n = poll(&p, 1, (int)(grace_s * 1000));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		kill(h->pid, SIGKILL);
	while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	helper_forget(h);
}
