/* Any bytes as a message of /ws, as a body of HTTP and as a request of JSON-RPC: each is either
 * something to be carried out, with what it needs, or refused in words that are JSON. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"
#include "src/openenv.h"

static void check_words(const struct buf *words)
{
	cJSON *o = json_parse(buf_str(words), words->len, NULL);

	FUZZ_CLAIM(o && cJSON_IsObject(o) && utf8_valid(buf_str(words), words->len, NULL));
	cJSON_Delete(o);
}

static void check_rpc(const cJSON *o)
{
	struct openenv_rpc r;

	openenv_rpc(&r, o);
	if (r.want == RPC_REFUSED)
		check_words(&r.refusal);
	else
		FUZZ_CLAIM(r.want != RPC_END || r.session);
	openenv_rpc_release(&r);
}

static void check(struct openenv_ask *a)
{
	if (a->want == OPENENV_REFUSED)
		check_words(&a->refusal);
	if (a->want == OPENENV_STEP)
		FUZZ_CLAIM(a->code && *a->code);
	if (a->want == OPENENV_RESET)
		FUZZ_CLAIM(a->seed >= -1 && a->index >= -1);
	if (a->want == OPENENV_RPC)
		check_rpc(a->rpc);
	openenv_ask_release(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct openenv_ask a;
	char *text = malloc(len + 1);
	cJSON *o;

	if (!text)
		return 0;
	memcpy(text, bytes, len);
	text[len] = '\0';
	/* the net lets no other texts through */
	if (utf8_valid(text, len, NULL)) {
		openenv_message(&a, text, len);
		check(&a);
		o = json_parse(text, len, NULL);
		check_rpc(o);
		cJSON_Delete(o);
	}
	openenv_reset_body(&a, text, len);
	check(&a);
	openenv_step_body(&a, text, len);
	check(&a);
	free(text);
	return 0;
}
