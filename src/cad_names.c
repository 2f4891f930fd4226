#include "src/cad_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct asked {
	struct buf *out;
	bool done, there;
	char why[240];
};

static void named(void *ctx, uint32_t job, cJSON *facts, const char *error)
{
	struct asked *a = ctx;

	(void)job;
	a->done = true;
	a->there = cJSON_IsObject(facts) && cJSON_GetObjectItemCaseSensitive(facts, "classes");
	if (a->there)
		json_print(a->out, facts);
	snprintf(a->why, sizeof(a->why), "%s", error ? error : "the builder gave no names");
}

int cad_names(const struct app *app, struct buf *out, struct err *e)
{
	struct asked a = { .out = out };
	const struct engine_ops ops = { .ctx = &a, .facts = named };
	struct engine_options o;
	uint32_t job;
	int rc = -1;

	app_engine_options(app, &o);
	struct engine *en = engine_open(&o, &ops, e);
	if (!en)
		return -1;
	if (engine_names(en, &job, e) < 0)
		goto out;
	while (!a.done) {
		if (app_interrupted()) {
			err_set(e, ERR_CANCELLED, "interrupted");
			goto out;
		}
		if (engine_wait(en, 250, e) < 0)
			goto out;
	}
	if (!a.there)
		err_set(e, ERR_LACKS, "the names of CadQuery: %s", a.why);
	else
		rc = buf_failed(out) ? err_set(e, ERR_MEM, "out of memory for names") : 0;
out:
	engine_close(en);
	return rc;
}

int cad_names_file(const struct app *app, char *path, size_t cap, struct err *e)
{
	struct buf text = { 0 };
	const char *dir = getenv("TMPDIR");
	int rc = -1;

	if ((size_t)snprintf(path, cap, "%s/cadforge-names-XXXXXX",
	                     dir && *dir == '/' ? dir : "/tmp") >= cap)
		return err_set(e, ERR_USAGE, "TMPDIR: the path is too long");
	if (cad_names(app, &text, e) < 0)
		goto out;
	int fd = mkstemp(path);
	if (fd < 0) {
		err_errno(e, ERR_IO, "%s", path);
		goto out;
	}
	size_t at = 0;
	while (at < text.len) {
		ssize_t n = write(fd, text.data + at, text.len - at);
		if (n <= 0) {
			err_errno(e, ERR_IO, "%s", path);
			close(fd);
			unlink(path);
			goto out;
		}
		at += (size_t)n;
	}
	close(fd);
	rc = 0;
out:
	buf_release(&text);
	return rc;
}
