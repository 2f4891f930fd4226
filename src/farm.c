#include "src/farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/app.h"
#include "src/queue.h"

/* Beyond the wall limit of its build a worker may be silent for this long. */
#define LEASE_MORE_S 10.0
enum { REFERENCE_BYTES_MAX = 64 << 20 };

struct farm {
	struct queue *q;
	struct farm_ops ops;
	bool quiet;
	char told[400];
};

static void on_done(void *ctx, void *user, enum queue_fate fate, const void *bytes, size_t len,
                    const struct err *why)
{
	struct farm *f = ctx;
	struct scored out = { 0 };
	struct err e = { 0 };

	if (fate != QUEUE_ANSWERED) {
		f->ops.done(f->ops.ctx, user, NULL, why);
	} else if (scored_read(&out, bytes, len, &e) < 0) {
		f->ops.done(f->ops.ctx, user, NULL, &e);
	} else {
		f->ops.done(f->ops.ctx, user, &out, NULL);
		scored_release(&out);
	}
}

struct farm *farm_open(const char *url, bool quiet, const struct farm_ops *ops, struct err *e)
{
	struct farm *f = calloc(1, sizeof(*f));
	struct redis_address a;

	if (!f) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	f->ops = *ops;
	f->quiet = quiet;
	const struct queue_ops to = { .ctx = f, .done = on_done };
	if (redis_address_parse(&a, url, e) == 0)
		f->q = queue_open(&a, &to, e);
	explicit_bzero(a.password, sizeof(a.password));
	if (f->q)
		return f;
	free(f);
	return NULL;
}

void farm_close(struct farm *f)
{
	if (!f)
		return;
	queue_close(f->q);
	free(f);
}

int farm_share(struct farm *f, const void *bytes, size_t len, char sha[SHA256_HEX], struct err *e)
{
	return queue_blob(f->q, bytes, len, sha, e);
}

int farm_share_file(struct farm *f, const char *path, char sha[SHA256_HEX], char ending[8],
                    struct err *e)
{
	const char *dot = strrchr(path, '.');
	struct buf b = { 0 };

	if (!dot || strlen(dot) < 3 || strlen(dot) > 5 || strchr(dot, '/'))
		return err_set(e, ERR_INPUT,
		               "%s: a name that ends in .py, .step, .stp, .stl, .glb or .brep was "
		               "expected",
		               path);
	snprintf(ending, 8, "%s", dot + 1);
	int rc = buf_read_file(&b, path, REFERENCE_BYTES_MAX, e);
	if (rc == 0)
		rc = farm_share(f, buf_str(&b), b.len, sha, e);
	buf_release(&b);
	return rc;
}

int farm_add(struct farm *f, const struct job_asked *j, void *user, struct err *e)
{
	char blob[3][SHA256_HEX];
	struct buf body = { 0 };
	int n = 0;

	if (j->len > JOB_TEXT_BYTES_MAX)
		return err_set(e, ERR_INPUT, "a text of %zu bytes is too long for other machines",
		               j->len);
	for (const char *const *p =
	             (const char *const[]){ j->profile_sha, j->task_sha, j->reference_sha, NULL };
	     *p; p++)
		if (**p)
			memcpy(blob[n++], *p, SHA256_HEX);
	job_write(&body, j);
	int rc = queue_submit(f->q, &body, (const char(*)[SHA256_HEX])blob, n,
	                      j->limits.wall_s + LEASE_MORE_S, user, e);
	buf_release(&body);
	return rc;
}

int farm_waiting(const struct farm *f)
{
	return queue_waiting(f->q);
}

void farm_drop(struct farm *f)
{
	queue_cancel_all(f->q);
}

int farm_poll_fds(const struct farm *f, struct pollfd *out, int cap)
{
	return queue_poll_fds(f->q, out, cap);
}

int farm_timeout_ms(const struct farm *f)
{
	return queue_timeout_ms(f->q);
}

int farm_work(struct farm *f, struct err *e)
{
	if (queue_step(f->q, e) < 0)
		return -1;
	const char *trouble = queue_trouble(f->q);
	if (!f->quiet && *trouble && strcmp(trouble, f->told) != 0)
		app_tell("%s", trouble);
	snprintf(f->told, sizeof(f->told), "%s", trouble);
	return 0;
}
