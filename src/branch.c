#include "src/branch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"

struct author_of {
	int parent;
	char model[256], model_hash[65];
};

static int read_author(void *ctx, const struct store_turn *t)
{
	struct author_of *a = ctx;

	a->parent = t->parent;
	snprintf(a->model, sizeof(a->model), "%s", t->model ? t->model : "");
	snprintf(a->model_hash, sizeof(a->model_hash), "%s", t->model_hash ? t->model_hash : "");
	return 0;
}

static int read_forced(struct branch *b, const cJSON *tokens, int turn, long long token,
                       long long id, struct err *e)
{
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(tokens, "ids"), *one;

	if (!cJSON_IsArray(ids) || token > cJSON_GetArraySize(ids))
		return err_set(e, ERR_INPUT, "turn %d has no token %lld to go on from: it has %d",
		               turn, token, cJSON_GetArraySize(ids));
	if (!(b->forced = malloc(((size_t)token + 1) * sizeof(*b->forced))))
		return err_set(e, ERR_MEM, "out of memory");
	cJSON_ArrayForEach(one, ids)
	{
		if (b->n_forced == token)
			break;
		b->forced[b->n_forced++] = (int32_t)one->valuedouble;
	}
	if (id != BRANCH_FREE)
		b->forced[b->n_forced++] = (int32_t)id;
	return 0;
}

int branch_read(struct branch *out, struct store *s, int64_t episode, int turn, long long token,
                long long id, const char *model_hash, struct err *e)
{
	struct author_of was = { .parent = 0 };
	struct buf text = { 0 };
	cJSON *tokens = NULL;
	int rc = -1;

	*out = (struct branch){ 0 };
	if (store_turn(s, episode, turn, read_author, &was, e) < 0 ||
	    store_artifact(s, episode, turn, "tokens.json", &text, e) < 0)
		goto out;
	if (model_hash && *model_hash && *was.model_hash &&
	    strcmp(model_hash, was.model_hash) != 0) {
		err_set(e, ERR_INPUT,
		        "turn %d was written by %s, and another model is set: its tokens mean "
		        "something else there",
		        turn, was.model);
		goto out;
	}
	out->parent = was.parent;
	if (!(tokens = json_parse_bounded(buf_str(&text), text.len, 32 << 20, e)) ||
	    read_forced(out, tokens, turn, token, id, e) < 0)
		goto out;
	buf_clear(&text);
	if (store_artifact(s, episode, turn, "prompt.json", &text, e) < 0 ||
	    !(out->messages = json_parse(buf_str(&text), text.len, e)))
		goto out;
	rc = 0;
out:
	if (rc < 0)
		branch_release(out);
	cJSON_Delete(tokens);
	buf_release(&text);
	return rc;
}

void branch_release(struct branch *b)
{
	free(b->forced);
	cJSON_Delete(b->messages);
	*b = (struct branch){ 0 };
}
