#include "src/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "engine/limits_json.h"

enum { VERSION = 1, LINE_BYTES_MAX = 32 << 20, PICTURES_MAX = 32, LEVEL = 1 };

/* ---- the job ---- */

static cJSON *kind_json(const struct job_asked *j)
{
	double limits[LIMITS];
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "v", VERSION);
	cJSON_AddStringToObject(o, "profile", j->profile);
	cJSON_AddStringToObject(o, "profile_sha", j->profile_sha);
	cJSON_AddStringToObject(o, "reference", j->reference);
	cJSON_AddNumberToObject(o, "dialect", j->dialect);
	cJSON_AddNumberToObject(o, "rebuilds", j->rebuilds);
	cJSON_AddBoolToObject(o, "no_blanks", j->no_blanks);
	cJSON_AddBoolToObject(o, "no_filter", j->no_filter);
	cJSON_AddNumberToObject(o, "artifacts", j->artifacts);
	limits_values(limits, &j->limits);
	json_add_figures(o, "limits", limits, LIMITS);
	return o;
}

void job_kind(struct buf *out, const struct job_asked *j)
{
	cJSON *o = kind_json(j);

	/* a file without a task is a scoring's own reference */
	if (strcmp(j->reference, "file") == 0)
		cJSON_AddStringToObject(o, "reference_sha", j->reference_sha);
	json_print(out, o);
	cJSON_Delete(o);
}

void job_write(struct buf *out, const struct job_asked *j)
{
	cJSON *o = kind_json(j);

	cJSON_AddStringToObject(o, "task", j->task_sha);
	cJSON_AddStringToObject(o, "reference_sha", j->reference_sha);
	cJSON_AddStringToObject(o, "ending", j->ending);
	cJSON_AddBoolToObject(o, "unfinished", j->unfinished);
	cJSON_AddBoolToObject(o, "program_lines", j->program_lines);
	cJSON_AddNumberToObject(o, "rule", j->rule);
	cJSON_AddNumberToObject(o, "shape", j->shape);
	json_print(out, o);
	cJSON_Delete(o);
	buf_addc(out, '\n');
	buf_add(out, j->text, j->len);
}

static int read_word(const cJSON *o, const char *key, char *out, size_t size, struct err *e)
{
	const char *v;

	if (json_get_string(o, key, &v, e) < 0)
		return -1;
	if (strlen(v) >= size)
		return err_set(e, ERR_INPUT, "%s: at most %zu bytes were expected", key, size - 1);
	for (const char *c = v; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-'))
			return err_set(e, ERR_INPUT, "%s: a word or a SHA-256 was expected", key);
	memset(out, 0, size);
	memcpy(out, v, strlen(v));
	return 0;
}

static int read_sha(const cJSON *o, const char *key, char out[SHA256_HEX], struct err *e)
{
	if (read_word(o, key, out, SHA256_HEX, e) < 0)
		return -1;
	return *out && strspn(out, "0123456789abcdef") != SHA256_HEX - 1
	               ? err_set(e, ERR_INPUT, "%s: a SHA-256 or nothing was expected", key)
	               : 0;
}

static int read_limits(const cJSON *o, struct limits *l, struct err *e)
{
	double v[LIMITS], least, most;

	if (json_get_numbers(o, "limits", v, LIMITS, e) < 0)
		return -1;
	int bad = limits_from_values(l, v, &least, &most);
	if (bad >= 0)
		return err_set(e, ERR_INPUT, "limits[%d]: %g to %g was expected, got %g", bad,
		               least, most, v[bad]);
	return 0;
}

static int read_line(struct job_asked *j, const cJSON *o, struct err *e)
{
	static const char *const references[] = { "task", "none", "seed-task", "file" };
	static const char *const endings[] = { "", "py", "step", "stp", "stl", "glb", "brep" };
	long long version, dialect, rebuilds, artifacts, rule, shape;
	bool known = false, ends = false;

	if (json_get_int(o, "v", VERSION, VERSION, &version, e) < 0 ||
	    read_word(o, "profile", j->profile, sizeof(j->profile), e) < 0 ||
	    read_sha(o, "profile_sha", j->profile_sha, e) < 0 ||
	    read_sha(o, "task", j->task_sha, e) < 0 ||
	    read_sha(o, "reference_sha", j->reference_sha, e) < 0 ||
	    read_word(o, "reference", j->reference, sizeof(j->reference), e) < 0 ||
	    read_word(o, "ending", j->ending, sizeof(j->ending), e) < 0 ||
	    json_get_int(o, "dialect", DIALECT_SEED, DIALECT_OPEN, &dialect, e) < 0 ||
	    json_get_int(o, "rebuilds", 0, 64, &rebuilds, e) < 0 ||
	    json_get_int(o, "artifacts", 0, 15, &artifacts, e) < 0 ||
	    json_get_int(o, "rule", EXTRACT_FILE, EXTRACT_ANSWER, &rule, e) < 0 ||
	    json_get_int(o, "shape", JOB_PROGRAM, JOB_STEP, &shape, e) < 0 ||
	    read_limits(o, &j->limits, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(references) / sizeof(*references); i++)
		known = known || strcmp(j->reference, references[i]) == 0;
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
		ends = ends || strcmp(j->ending, endings[i]) == 0;
	if (!known || !ends || !j->ending[0] != !j->reference_sha[0] ||
	    (strcmp(j->reference, "file") == 0) != (j->reference_sha[0] && !j->task_sha[0]))
		return err_set(e, ERR_INPUT, "the reference: none of ours");
	if (!j->profile[0] == !j->profile_sha[0])
		return err_set(e, ERR_INPUT, "a profile's name or its SHA-256 was expected");
	j->dialect = (enum dialect)dialect;
	j->rebuilds = (int)rebuilds;
	j->artifacts = (unsigned)artifacts;
	j->rule = (enum extract_rule)rule;
	j->shape = (enum job_shape)shape;
	j->no_blanks = json_bool_or(o, "no_blanks", false);
	j->no_filter = json_bool_or(o, "no_filter", false);
	j->unfinished = json_bool_or(o, "unfinished", false);
	j->program_lines = json_bool_or(o, "program_lines", false);
	return 0;
}

int job_read(struct job_asked *out, const void *bytes, size_t len, struct err *e)
{
	const char *end = len ? memchr(bytes, '\n', len > 8192 ? 8192 : len) : NULL;
	struct job_asked j = { 0 };

	if (!end)
		return err_set(e, ERR_INPUT, "a job of this program was expected");
	cJSON *o = json_parse_bounded(bytes, (size_t)(end - (const char *)bytes), 100, e);
	int rc = o ? read_line(&j, o, e) : -1;
	cJSON_Delete(o);
	if (rc < 0)
		return err_wrap(e, "a job");
	j.text = end + 1;
	j.len = len - (size_t)(end + 1 - (const char *)bytes);
	if (j.len > JOB_TEXT_BYTES_MAX)
		return err_set(e, ERR_INPUT, "a job: at most %d MiB of text were expected",
		               JOB_TEXT_BYTES_MAX >> 20);
	*out = j;
	return 0;
}

/* ---- the answer ---- */

static void add_part(cJSON *parts, struct buf *bytes, const char *name, const struct buf *part)
{
	if (part->len == 0 || part->len > JOB_PART_BYTES_MAX ||
	    bytes->len + part->len > JOB_ANSWER_BYTES_MAX)
		return;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", name);
	cJSON_AddNumberToObject(o, "bytes", (double)part->len);
	cJSON_AddItemToArray(parts, o);
	buf_add(bytes, part->data, part->len);
}

static cJSON *scored_json(const struct scored *s, struct buf *bytes)
{
	const struct build *b = &s->build;
	cJSON *o = cJSON_CreateObject(), *limit, *parts;

	cJSON_AddNumberToObject(o, "v", VERSION);
	cJSON_AddBoolToObject(o, "built", s->built);
	cJSON_AddBoolToObject(o, "lost", s->lost);
	json_add_figure(o, "total", s->total);
	json_add_figure(o, "engine_s", s->engine_s);
	cJSON_AddNumberToObject(o, "class", s->cls);
	cJSON_AddBoolToObject(o, "ok", b->ok);
	cJSON_AddNumberToObject(o, "cause", b->cause);
	cJSON_AddNumberToObject(o, "dialect", b->dialect);
	json_add_text(o, "error", b->error);
	json_add_text(o, "exception", b->exception);
	json_add_text(o, "source", b->source);
	json_add_text(o, "traceback", b->traceback);
	cJSON_AddNumberToObject(o, "line", b->line);
	cJSON_AddNumberToObject(o, "column", b->column);
	cJSON_AddBoolToObject(o, "no_triangles", b->no_triangles);
	limit = cJSON_AddObjectToObject(o, "limit");
	cJSON_AddStringToObject(limit, "name", b->limit.name);
	json_add_figure(limit, "limit", b->limit.limit);
	json_add_figure(limit, "used", b->limit.used);
	cJSON_AddNumberToObject(o, "statements_done", b->statements_done);
	cJSON_AddNumberToObject(o, "statements_all", b->statements_all);
	json_add_figure(o, "seconds", b->seconds);
	json_add_figure(o, "cpu_s", b->cpu_s);
	json_add_figure(o, "peak_mib", b->peak_mib);
	cJSON_AddNumberToObject(o, "log_bytes", (double)b->log_bytes);
	cJSON_AddNumberToObject(o, "log_dropped", (double)b->log_dropped);
	if (b->refused)
		cJSON_AddItemToObject(o, "refused", cJSON_Duplicate(b->refused, true));
	if (s->facts)
		cJSON_AddItemToObject(o, "facts", cJSON_Duplicate(s->facts, true));
	cJSON_AddItemToObject(o, "score",
	                      s->json ? cJSON_Duplicate(s->json, true) : cJSON_CreateNull());
	parts = cJSON_AddArrayToObject(o, "parts");
	add_part(parts, bytes, "program", &s->program);
	add_part(parts, bytes, "log", &s->log);
	add_part(parts, bytes, "brep", &s->brep);
	add_part(parts, bytes, "stl", &s->stl);
	add_part(parts, bytes, "step", &s->step);
	for (int i = 0; i < s->n_pictures && i < PICTURES_MAX; i++) {
		char name[48];
		snprintf(name, sizeof(name), "picture:%s", s->pictures[i].name);
		add_part(parts, bytes, name, &s->pictures[i].png);
	}
	return o;
}

int job_pack(struct buf *out, const struct buf *plain, struct err *e)
{
	size_t cap = ZSTD_compressBound(plain->len), n = 0;
	char *to = buf_failed(plain) ? NULL : buf_room(out, cap);
	ZSTD_CCtx *c = to ? ZSTD_createCCtx() : NULL;

	if (c && !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, LEVEL)) &&
	    !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)))
		n = ZSTD_compress2(c, to, cap, plain->data, plain->len);
	ZSTD_freeCCtx(c);
	if (n == 0 || ZSTD_isError(n))
		return err_set(e, ERR_MEM, "out of memory for an answer");
	buf_grew(out, n);
	return 0;
}

int scored_write(struct buf *out, const struct scored *s, struct err *e)
{
	struct buf bytes = { 0 }, plain = { 0 };
	cJSON *o = scored_json(s, &bytes);

	json_print(&plain, o);
	cJSON_Delete(o);
	buf_addc(&plain, '\n');
	buf_add(&plain, buf_str(&bytes), bytes.len);
	int rc = buf_failed(&bytes) ? err_set(e, ERR_MEM, "out of memory for an answer")
	                            : job_pack(out, &plain, e);
	buf_release(&bytes);
	buf_release(&plain);
	return rc;
}

static int take_text(const cJSON *o, const char *key, char **out, struct err *e)
{
	const char *v = json_string_or(o, key, NULL);

	if (v && !(*out = strdup(v)))
		return err_set(e, ERR_MEM, "out of memory for an answer");
	return 0;
}

static int take_picture(struct scored *s, const char *name, const char *at, size_t n, struct err *e)
{
	struct scored_picture *more;

	if (s->n_pictures == PICTURES_MAX)
		return err_set(e, ERR_INPUT, "more pictures than there are views");
	for (const char *c = name; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || *c == '_' || *c == '-'))
			return err_set(e, ERR_INPUT, "a picture's name: a word was expected");
	if (!(more = realloc(s->pictures, sizeof(*more) * (size_t)(s->n_pictures + 1))))
		return err_set(e, ERR_MEM, "out of memory for an answer");
	s->pictures = more;
	more[s->n_pictures] = (struct scored_picture){ 0 };
	snprintf(more[s->n_pictures].name, sizeof(more->name), "%s", name);
	buf_add(&more[s->n_pictures++].png, at, n);
	return 0;
}

static int take_parts(struct scored *s, const cJSON *parts, const char *at, size_t left,
                      struct err *e)
{
	const cJSON *p;

	cJSON_ArrayForEach(p, parts)
	{
		const char *name;
		long long n;
		if (json_get_string(p, "name", &name, e) < 0 ||
		    json_get_int(p, "bytes", 1, JOB_PART_BYTES_MAX, &n, e) < 0)
			return -1;
		struct buf *to = strcmp(name, "program") == 0 ? &s->program
		                 : strcmp(name, "log") == 0   ? &s->log
		                 : strcmp(name, "brep") == 0  ? &s->brep
		                 : strcmp(name, "stl") == 0   ? &s->stl
		                 : strcmp(name, "step") == 0  ? &s->step
		                                              : NULL;
		if ((size_t)n > left)
			return err_set(e, ERR_INPUT,
			               "%.20s: %lld bytes were announced, %zu are there", name, n,
			               left);
		if (!to && strncmp(name, "picture:", 8) != 0)
			return err_set(e, ERR_INPUT, "a part that is none of ours");
		if (!to && take_picture(s, name + 8, at, (size_t)n, e) < 0)
			return -1;
		if (to)
			buf_add(to, at, (size_t)n);
		if (to && buf_failed(to))
			return err_set(e, ERR_MEM, "out of memory for an answer");
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

static int take_all(struct scored *s, cJSON *o, const char *at, size_t left, struct err *e)
{
	const cJSON *limit = cJSON_GetObjectItemCaseSensitive(o, "limit");
	long long v, cls, cause, dialect, line, column, done, all;
	struct build *b = &s->build;

	if (json_get_int(o, "v", VERSION, VERSION, &v, e) < 0 ||
	    json_get_int(o, "class", 0, CLASS_COUNT - 1, &cls, e) < 0 ||
	    json_get_int(o, "cause", 0, CAUSE_COUNT - 1, &cause, e) < 0 ||
	    json_get_int(o, "dialect", DIALECT_SEED, DIALECT_OPEN, &dialect, e) < 0 ||
	    json_get_int(o, "line", 0, 1 << 30, &line, e) < 0 ||
	    json_get_int(o, "column", 0, 1 << 30, &column, e) < 0 ||
	    json_get_int(o, "statements_done", 0, 1 << 30, &done, e) < 0 ||
	    json_get_int(o, "statements_all", 0, 1 << 30, &all, e) < 0 ||
	    take_text(o, "error", &b->error, e) < 0 ||
	    take_text(o, "exception", &b->exception, e) < 0 ||
	    take_text(o, "source", &b->source, e) < 0 ||
	    take_text(o, "traceback", &b->traceback, e) < 0)
		return -1;
	s->built = json_bool_or(o, "built", false);
	s->lost = json_bool_or(o, "lost", false);
	s->total = json_number_or(o, "total", NAN);
	/* a sum of weighted terms may be a last place beyond 1 */
	if (!isnan(s->total) && !(fabs(s->total) <= 1 + 1e-9))
		return err_set(e, ERR_INPUT, "total: -1 to 1 was expected");
	s->engine_s = json_number_or(o, "engine_s", NAN);
	s->cls = (enum build_class)cls;
	b->ok = json_bool_or(o, "ok", false);
	b->cause = (enum build_cause)cause;
	b->dialect = (enum dialect)dialect;
	b->line = (int)line;
	b->column = (int)column;
	b->no_triangles = json_bool_or(o, "no_triangles", false);
	snprintf(b->limit.name, sizeof(b->limit.name), "%s", json_string_or(limit, "name", ""));
	b->limit.limit = json_number_or(limit, "limit", NAN);
	b->limit.used = json_number_or(limit, "used", NAN);
	b->statements_done = (int)done;
	b->statements_all = (int)all;
	b->seconds = json_number_or(o, "seconds", NAN);
	b->cpu_s = json_number_or(o, "cpu_s", NAN);
	b->peak_mib = json_number_or(o, "peak_mib", NAN);
	double bytes = json_number_or(o, "log_bytes", 0),
	       dropped = json_number_or(o, "log_dropped", 0);
	b->log_bytes = bytes > 0 && bytes < 1e15 ? (long long)bytes : 0;
	b->log_dropped = dropped > 0 && dropped < 1e15 ? (long long)dropped : 0;
	b->refused = cJSON_DetachItemFromObjectCaseSensitive(o, "refused");
	s->facts = cJSON_DetachItemFromObjectCaseSensitive(o, "facts");
	s->json = cJSON_DetachItemFromObjectCaseSensitive(o, "score");
	if (!cJSON_IsObject(s->json) ||
	    !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(s->json, "reward")))
		return err_set(e, ERR_INPUT, "score: an object was expected");
	return take_parts(s, cJSON_GetObjectItemCaseSensitive(o, "parts"), at, left, e);
}

int job_unpack(struct buf *out, const void *bytes, size_t len, size_t max, struct err *e)
{
	unsigned long long n = ZSTD_getFrameContentSize(bytes, len);
	char *to;

	if (n == ZSTD_CONTENTSIZE_ERROR || n == ZSTD_CONTENTSIZE_UNKNOWN || n == 0 || n > max)
		return err_set(e, ERR_PROTOCOL, "a worker's answer is none of ours");
	if (!(to = buf_room(out, n)))
		return err_set(e, ERR_MEM, "out of memory for an answer of %llu bytes", n);
	size_t got = ZSTD_decompress(to, n, bytes, len);
	if (ZSTD_isError(got) || got != n)
		return err_set(e, ERR_PROTOCOL, "a worker's answer is damaged");
	buf_grew(out, n);
	return 0;
}

int scored_read(struct scored *out, const void *bytes, size_t len, struct err *e)
{
	struct scored s = { .total = NAN };
	struct buf plain = { 0 };
	cJSON *o = NULL;
	int rc = -1;

	if (job_unpack(&plain, bytes, len, JOB_ANSWER_BYTES_MAX + LINE_BYTES_MAX, e) < 0)
		goto out;
	size_t n = plain.len;
	const char *end = memchr(plain.data, '\n', n > LINE_BYTES_MAX ? LINE_BYTES_MAX : n);
	if (!end || !(o = json_parse(plain.data, (size_t)(end - plain.data), e)) ||
	    take_all(&s, o, end + 1, n - (size_t)(end + 1 - plain.data), e) < 0) {
		if (!end)
			err_set(e, ERR_PROTOCOL, "a worker's answer is none of ours");
		err_wrap(e, "a worker's answer");
		goto out;
	}
	*out = s;
	s = (struct scored){ .total = NAN };
	rc = 0;
out:
	cJSON_Delete(o);
	buf_release(&plain);
	scored_release(&s);
	return rc;
}
