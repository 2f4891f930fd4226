/*
 * redis.h - a Redis server of the test's own, in a folder of its own, on a port nobody else has.
 */
#ifndef TESTS_REDIS_H
#define TESTS_REDIS_H

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct redis_server {
	char dir[64];
	int port;
	pid_t pid;
	const char *more[24]; /* words of its command line, NULL at the end */
};

/* Debian's redis-tools has the server under another name: which of the two it is, the first word of
 * the command line says. */
static inline const char *redis_program(void)
{
	return access("/usr/bin/redis-check-rdb", X_OK) == 0 ? "/usr/bin/redis-check-rdb"
	                                                     : "/usr/bin/redis-server";
}

static inline bool redis_is_installed(void)
{
	return access(redis_program(), X_OK) == 0;
}

static inline int redis_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static inline bool redis_answers(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		                 .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return yes;
}

/* Starts it, or starts it again where it was. */
static inline void redis_server_start(struct redis_server *s)
{
	char port[16];

	if (!s->dir[0]) {
		snprintf(s->dir, sizeof(s->dir), "/tmp/cadforge-redis-XXXXXX");
		assert_non_null(mkdtemp(s->dir));
		s->port = redis_free_port();
	}
	snprintf(port, sizeof(port), "%d", s->port);
	s->pid = fork();
	if (s->pid == 0) {
		const char *v[48] = { "redis-server", "--dir",     s->dir, "--bind",
			              "127.0.0.1",    "--save",    "",     "--loglevel",
			              "warning",      "--logfile", "log" };
		int n = 11;
		bool tls = s->more[0] && strcmp(s->more[0], "--tls-port") == 0;
		v[n++] = "--port";
		v[n++] = tls ? "0" : port;
		for (int i = 0; s->more[i]; i++) {
			v[n++] = s->more[i];
			if (tls && i == 0)
				v[n++] = port;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(redis_program(), (char **)(uintptr_t)v);
		_exit(127);
	}
	for (int i = 0; i < 2000 && !redis_answers(s->port); i++) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
			fail_msg("redis-server ended: see %s/log", s->dir);
		usleep(5000);
	}
	assert_true(redis_answers(s->port));
}

static inline void redis_server_stop(struct redis_server *s, int signal)
{
	kill(s->pid, signal);
	waitpid(s->pid, NULL, 0);
}

static inline int redis_remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

static inline void redis_server_remove(struct redis_server *s)
{
	nftw(s->dir, redis_remove_one, 8, FTW_DEPTH | FTW_PHYS);
	s->dir[0] = '\0';
}

#endif
