#include "engine/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/wire.h"

#define POLL_MAX 512
#define OUT_HIGH (32u << 20) /* while this much waits to be taken, no log is read */

int serve_loop(const struct serve *s, struct err *e)
{
	struct pollfd fds[POLL_MAX];

	for (;;) {
		int left = frame_flush(s->out, ASKER_FD, e);
		if (left < 0)
			return -1;
		fds[0] = (struct pollfd){ .fd = ASKER_FD,
			                  .events = (short)(POLLIN | (left ? POLLOUT : 0)) };
		int n = 1, timeout = -1;
		/* an asker that does not read holds up its own children's pipes, not our memory,
		 * and no deadline */
		if (*s->nursery) {
			nursery_hold_logs(*s->nursery, s->out->len > OUT_HIGH);
			n += nursery_poll_fds(*s->nursery, fds + 1, POLL_MAX - 1);
			timeout = nursery_timeout_ms(*s->nursery);
		}
		if (poll(fds, (nfds_t)n, timeout) < 0 && errno != EINTR)
			return err_errno(e, ERR_IO, "poll");
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) {
			ssize_t got = frame_fill(s->in, ASKER_FD, e);
			if (got == 0)
				return 0;
			if (got == -1 || (got > 0 && s->take_frames(s->ctx, e) < 0))
				return -1;
		}
		if (*s->nursery)
			nursery_step(*s->nursery);
	}
}

cJSON *serve_layers_json(const struct sandbox_layers *l)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddBoolToObject(o, "no_new_privs", l->no_new_privs);
	cJSON_AddBoolToObject(o, "seccomp", l->seccomp);
	cJSON_AddBoolToObject(o, "rlimits", l->rlimits);
	cJSON_AddBoolToObject(o, "own_uid", l->own_uid);
	cJSON_AddBoolToObject(o, "landlock_fs", l->landlock_fs);
	cJSON_AddBoolToObject(o, "landlock_net", l->landlock_net);
	cJSON_AddBoolToObject(o, "landlock_scope", l->landlock_scope);
	cJSON_AddBoolToObject(o, "pdeathsig", l->pdeathsig);
	cJSON_AddNumberToObject(o, "landlock_abi", l->landlock_abi);
	return o;
}

int serve_begin(const char *program)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* the asker decides when we leave */
	if (fcntl(ASKER_FD, F_GETFD) < 0) {
		fprintf(stderr,
		        "%s: descriptor 3 is no socket: this program is started by cadforge\n",
		        program);
		return 2;
	}
	fcntl(ASKER_FD, F_SETFL, fcntl(ASKER_FD, F_GETFL) | O_NONBLOCK);
	fcntl(ASKER_FD, F_SETFD, FD_CLOEXEC);
	return 0;
}

void serve_say_ready(struct buf *out, const char *program, const char *kernel, double seconds,
                     const struct sandbox_layers *l, const struct err *failed)
{
	cJSON *o = cJSON_CreateObject();
	struct buf text = { .secret = true };
	struct err e = { 0 };

	cJSON_AddStringToObject(o, "program", program);
	cJSON_AddNumberToObject(o, "pid", getpid());
	if (failed) {
		json_add_text(o, "error", failed->text);
		cJSON_AddStringToObject(o, "remedy",
		                        "cadforge doctor says what this machine has and lacks");
	} else {
		cJSON_AddNumberToObject(o, "seconds", seconds);
		json_add_text(cJSON_AddObjectToObject(o, "versions"), "occt", kernel);
	}
	cJSON_AddItemToObject(o, "jail", serve_layers_json(l));
	json_print(&text, o);
	frame_append(out, WIRE_READY, 0, buf_str(&text), text.len, NULL, 0);
	buf_release(&text);
	cJSON_Delete(o);
	while (failed && frame_flush(out, ASKER_FD, &e) == 1) {
		struct pollfd p = { .fd = ASKER_FD, .events = POLLOUT };
		poll(&p, 1, 1000);
	}
}
