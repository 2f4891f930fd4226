#include "gpu/policy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/policy_wire.h"
#include "gpu/training_inside.h"

struct policy {
	struct policy_ops ops;
	struct training *training;
	bool ready;
	/* The step under way; and its frame until the program is ready, which may be another one
	 * than was started first. */
	bool learning;
	int64_t step;
	struct buf frame;
};

static void on_event(void *ctx, const char *kind, const cJSON *object)
{
	struct policy *p = ctx;

	if (strcmp(kind, "ready") == 0)
		p->ready = true;
	if (strcmp(kind, "step") == 0)
		p->learning = false;
	p->ops.event(p->ops.ctx, kind, object);
}

static void on_ended(void *ctx, const char *outcome, enum err_kind kind, const char *error)
{
	struct policy *p = ctx;

	p->ops.ended(p->ops.ctx, outcome, kind, error);
}

/* What waits for the program goes out once it can take it. */
static int send_step(struct policy *p, struct err *e)
{
	int rc = 0;

	if (p->ready && p->frame.len > 0) {
		rc = training_send(p->training, &p->frame, e);
		buf_release(&p->frame);
	}
	return rc;
}

struct policy *policy_open(const char *libexec_dir, enum gpu_backend backend, const cJSON *settings,
                           bool resume, const struct policy_ops *ops, struct err *e)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	p->ops = *ops;
	const struct training_ops to = { .ctx = p, .event = on_event, .ended = on_ended };
	p->training = training_start(libexec_dir, backend, settings, resume, true, &to, e);
	if (p->training)
		return p;
	policy_close(p);
	return NULL;
}

int policy_learn(struct policy *p, int64_t step, const struct policy_sample *v, int n,
                 const cJSON *state, bool checkpoint, struct err *e)
{
	if (p->learning)
		return err_set(e, ERR_USAGE, "step %" PRId64 " is still being learnt", p->step);
	if (policy_frame(&p->frame, step, v, n, state, checkpoint, e) < 0) {
		buf_release(&p->frame);
		return -1;
	}
	p->learning = true;
	p->step = step;
	return send_step(p, e);
}

void policy_stop(struct policy *p)
{
	training_stop(p->training);
}

void policy_close(struct policy *p)
{
	if (!p)
		return;
	training_close(p->training);
	buf_release(&p->frame);
	free(p);
}

int policy_poll_fds(struct policy *p, struct pollfd *out, int cap)
{
	return training_poll_fds(p->training, out, cap);
}

int policy_step(struct policy *p, struct err *e)
{
	return training_step(p->training, e) < 0 ? -1 : send_step(p, e);
}

bool policy_over(const struct policy *p)
{
	return training_over(p->training);
}
