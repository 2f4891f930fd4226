/* Any bytes as rows of chat JSONL: either samples whose labels follow their ids, or words that name
 * the file; what is left out is counted under a reason. */
#include "tests/fuzz/fuzz.h"

#include "gpu/dataset.h"
#include "src/base/utf8.h"
#include "tests/fuzz/folder.h"
#include "tests/tiny_tokenizer.h"

static struct tokenizer *tokenizer(void)
{
	static const char *const added[] = { "!<|endoftext|>", "!<|im_start|>", "!<|im_end|>",
		                             "<think>",        "</think>",      NULL };
	static struct tokenizer *t;
	struct buf json = { 0 };

	if (t)
		return t;
	tiny_json(&json, NULL, NULL, added, false);
	fuzz_put("tokenizer.json", json.data, json.len);
	buf_release(&json);
	t = tokenizer_open(fuzz_folder(), NULL);
	FUZZ_CLAIM(t);
	return t;
}

static void claim(const struct dataset *d, const struct dataset_options *o)
{
	uint64_t at = 0, labels = 0;
	int32_t line = 0;

	FUZZ_CLAIM(d->samples > 0);
	for (int i = 0; i < d->samples; i++) {
		const struct sample *s = &d->sample[i];
		int learnt = 0;
		FUZZ_CLAIM(s->at == at && s->n >= 1 && s->n <= o->longest && s->line > line);
		FUZZ_CLAIM(s->weight > 0 && s->from >= 0 && s->from < s->until && s->until <= 1);
		for (int k = 0; k < s->n; k++) {
			int32_t id = d->id[at + (uint64_t)k], label = d->label[at + (uint64_t)k];
			FUZZ_CLAIM(id >= 0 && id < 261 && label >= -1 && label < 261);
			FUZZ_CLAIM(label < 0 || k + 1 == s->n ||
			           d->id[at + (uint64_t)k + 1] == label);
			learnt += label >= 0;
		}
		FUZZ_CLAIM(learnt == s->labels && learnt > 0);
		FUZZ_CLAIM(d->label[at + (uint64_t)s->n - 1] >= 0);
		at += (uint64_t)s->n;
		labels += (uint64_t)learnt;
		line = s->line;
	}
	FUZZ_CLAIM(at == d->tokens && labels == d->labels);
	cJSON_Delete(dataset_describe(d));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct dataset d;
	struct err e = { 0 };
	char path[128];

	if (len > 60000)
		return 0;
	fuzz_put("rows.jsonl", bytes, len);
	snprintf(path, sizeof(path), "%s/rows.jsonl", fuzz_folder());
	for (int all = 0; all < 2; all++) {
		const struct dataset_options o = { .longest = 2000, .loss_all = all };
		int rc = dataset_open(&d, path, tokenizer(), &o, &e);
		if (rc < 0) {
			FUZZ_CLAIM(e.kind == ERR_INPUT && strstr(e.text, "rows.jsonl"));
			FUZZ_CLAIM(utf8_plain(e.text, strlen(e.text), NULL));
			FUZZ_CLAIM(!d.sample && !d.id && !d.label);
			continue;
		}
		for (int r = 0; r < DROP_REASONS; r++) {
			FUZZ_CLAIM((d.dropped[r] > 0) == (d.first[r].line > 0));
			FUZZ_CLAIM(utf8_plain(d.first[r].why, strlen(d.first[r].why), NULL));
		}
		claim(&d, &o);
		dataset_close(&d);
	}
	return 0;
}
