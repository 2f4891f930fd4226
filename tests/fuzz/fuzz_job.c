/* Any bytes as a job, as an answer, and as what an answer is packed from: each is read, and then
 * says the same when it is written again, or is refused in words. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/job.h"

/* Of src/scoring.c, which needs the engine: what it owns here. */
void scored_release(struct scored *s)
{
	for (int i = 0; i < s->n_pictures; i++)
		buf_release(&s->pictures[i].png);
	free(s->pictures);
	cJSON_Delete(s->json);
	cJSON_Delete(s->facts);
	cJSON_Delete(s->build.refused);
	free(s->build.error);
	free(s->build.exception);
	free(s->build.source);
	free(s->build.traceback);
	buf_release(&s->program);
	buf_release(&s->log);
	buf_release(&s->brep);
	buf_release(&s->stl);
	buf_release(&s->step);
	*s = (struct scored){ .total = NAN };
}

static void check_job(const uint8_t *bytes, size_t len)
{
	struct job_asked j, again;
	struct buf b = { 0 }, kind = { 0 }, other = { 0 };
	struct err e = { 0 };

	if (job_read(&j, bytes, len, &e) < 0) {
		FUZZ_CLAIM(e.kind == ERR_INPUT && e.text[0]);
		return;
	}
	FUZZ_CLAIM(j.len <= len && j.rebuilds >= 0 && j.rebuilds <= 64 && j.limits.wall_s > 0);
	FUZZ_CLAIM(!strpbrk(j.ending, "/.") && !strchr(j.profile, '/'));
	job_kind(&kind, &j);
	job_write(&b, &j);
	FUZZ_CLAIM(job_read(&again, buf_str(&b), b.len, &e) == 0);
	job_kind(&other, &again);
	FUZZ_CLAIM(kind.len == other.len && memcmp(buf_str(&kind), buf_str(&other), kind.len) == 0);
	FUZZ_CLAIM(again.len == j.len && (j.len == 0 || memcmp(again.text, j.text, j.len) == 0));
	buf_release(&b);
	buf_release(&kind);
	buf_release(&other);
}

static void check_answer(const void *bytes, size_t len)
{
	struct scored s, again;
	struct buf b = { 0 };
	struct err e = { 0 };

	if (scored_read(&s, bytes, len, &e) < 0) {
		FUZZ_CLAIM((e.kind == ERR_INPUT || e.kind == ERR_PROTOCOL) && e.text[0]);
		return;
	}
	FUZZ_CLAIM(isnan(s.total) || fabs(s.total) <= 1 + 1e-9);
	FUZZ_CLAIM(s.json && s.cls >= 0 && s.cls < CLASS_COUNT && s.build.cause < CAUSE_COUNT);
	for (int i = 0; i < s.n_pictures; i++)
		FUZZ_CLAIM(!strpbrk(s.pictures[i].name, "/."));
	/* the parts may come in another order, and twice: they are the same */
	FUZZ_CLAIM(scored_write(&b, &s, &e) == 0);
	FUZZ_CLAIM(scored_read(&again, buf_str(&b), b.len, &e) == 0);
	FUZZ_CLAIM(again.built == s.built && again.brep.len == s.brep.len &&
	           again.n_pictures == s.n_pictures && again.build.line == s.build.line);
	scored_release(&s);
	scored_release(&again);
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf plain = { 0 }, packed = { 0 };
	struct err e = { 0 };

	check_job(bytes, len);
	check_answer(bytes, len);
	buf_add(&plain, bytes, len);
	if (len > 0 && job_pack(&packed, &plain, &e) == 0)
		check_answer(buf_str(&packed), packed.len);
	buf_release(&plain);
	buf_release(&packed);
	return 0;
}
