/* Messages as JSON, NUL, a chat template: refused in words, or rendered and encoded alike with as
 * many turns as the format wrote; and a template never does more than say yes or no. */
#include "tests/fuzz/fuzz.h"

#include "gpu/chat.h"
#include "gpu/unicode.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "tests/fuzz/folder.h"
#include "tests/tiny_tokenizer.h"

static struct tokenizer *good;

static void close_good(void)
{
	tokenizer_close(good);
}

static void open_good(void)
{
	static const char *const added[] = { "!<|im_start|>", "!<|im_end|>",     "<think>",
		                             "</think>",      "<tool_response>", NULL };
	struct buf json = { 0 };
	struct err e = { 0 };

	tiny_json(&json, NULL, NULL, added, true);
	fuzz_put("tokenizer.json", json.data, json.len);
	good = tokenizer_open(fuzz_folder(), &e);
	FUZZ_CLAIM(good);
	buf_release(&json);
	atexit(close_good);
}

static void check(const cJSON *messages)
{
	struct buf text = { 0 }, back = { 0 };
	struct chat_ids c = { 0 };
	struct err e = { 0 };
	int starts = 0, ends = 0;
	size_t at;

	int rc = chat_render(&text, messages, true, CHAT_THINKING_OFF, false, &e);
	FUZZ_CLAIM(rc == 0 || (e.kind == ERR_INPUT && strncmp(e.text, "messages", 8) == 0));
	FUZZ_CLAIM(chat_encode(&c, good, messages, true, CHAT_THINKING_OFF, false, &e) == rc);
	for (int i = 0; i < c.ids.n; i++) {
		starts += c.ids.id[i] == 256;
		ends += c.ids.id[i] == 257;
	}
	if (rc == 0) {
		FUZZ_CLAIM(starts == ends + 1 && ends <= cJSON_GetArraySize(messages));
		FUZZ_CLAIM(c.n_heads >= ends);
		for (int i = 0; i < c.n_heads; i++)
			FUZZ_CLAIM(c.head[i] > (i ? c.head[i - 1] : 0) && c.head[i] <= c.ids.n);
		tokenizer_decode(good, c.ids.id, c.ids.n, false, &back);
		if (utf8_valid(buf_str(&text), text.len, &at) &&
		    unicode_nfc_span(buf_str(&text), text.len) == text.len)
			FUZZ_CLAIM(back.len == text.len &&
			           memcmp(back.data, text.data, text.len) == 0);
	}
	chat_ids_release(&c);
	buf_release(&text);
	buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *json = (const char *)bytes, *end = json + len;
	struct err e = { 0 };

	if (!good)
		open_good();
	if (len == 0)
		return 0;
	const char *template = memchr(json, '\0', len);
	cJSON *messages =
		json_parse_bounded(json, (size_t)((template ? template : end) - json), 10000, &e);
	if (messages)
		check(messages);
	cJSON_Delete(messages);
	if (template) {
		fuzz_put("chat_template.jinja", template + 1, (size_t)(end - template - 1));
		(void)chat_thinks_by_default(fuzz_folder());
	}
	return 0;
}
