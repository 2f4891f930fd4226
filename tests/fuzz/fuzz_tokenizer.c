/* A tokenizer.json, a tokenizer_config.json and a text, with NUL between: the files are taken or
 * refused in words, and what a tokenizer makes of the text can be turned back. The text is also
 * given to a good tokenizer. */
#include "tests/fuzz/fuzz.h"

#include "gpu/tokenizer.h"
#include "gpu/unicode.h"
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
	static const char *const merges[][2] = { { "a", "b" },  { "ab", "ab" }, { " ", "a" },
		                                 { "a", "a" },  { "aa", "a" },  { "\xc3", "\xa9" },
		                                 { " ", " " },  { "'", "s" },   { "\n", "\n" },
		                                 { NULL, NULL } };
	static const char *const added[] = { "!<|im_end|>", "<a>", "<a><b>", NULL };
	struct buf json = { 0 };
	struct err e = { 0 };

	tiny_json(&json, merges, NULL, added, true);
	fuzz_put("tokenizer.json", json.data, json.len);
	good = tokenizer_open(fuzz_folder(), &e);
	FUZZ_CLAIM(good);
	buf_release(&json);
	atexit(close_good);
}

static void round_trip(const struct tokenizer *t, const char *text, size_t len)
{
	struct buf mended = { 0 }, want = { 0 }, got = { 0 }, streamed = { 0 };
	struct decoder d = { 0 };
	struct ids v = { 0 };
	struct err e = { 0 };
	size_t at;

	unicode_mend(&mended, text, len);
	FUZZ_CLAIM(utf8_valid(buf_str(&mended), mended.len, &at));
	FUZZ_CLAIM(unicode_nfc(&want, buf_str(&mended), mended.len, &e) == 0);
	FUZZ_CLAIM(tokenizer_encode(t, text, len, false, &v, &e) == 0);
	tokenizer_decode(t, v.id, v.n, false, &got);
	FUZZ_CLAIM(got.len == want.len && memcmp(buf_str(&got), buf_str(&want), got.len) == 0);
	/* with added tokens no piece is normalized across them: only that it goes through */
	v.n = 0;
	FUZZ_CLAIM(tokenizer_encode(t, text, len, true, &v, &e) == 0);
	for (int i = 0; i < v.n; i++) {
		FUZZ_CLAIM(v.id[i] >= 0 && v.id[i] < tokenizer_size(t));
		size_t was = streamed.len;
		decoder_push(&d, t, v.id[i], true, &streamed);
		FUZZ_CLAIM(utf8_valid(buf_str(&streamed) + was, streamed.len - was, &at));
	}
	/* bytes taken as ids stream as they decode */
	buf_clear(&streamed);
	buf_clear(&got);
	d = (struct decoder){ 0 };
	v.n = 0;
	for (size_t i = 0; i < len; i++) {
		int32_t id = (unsigned char)text[i];
		decoder_push(&d, t, id, false, &streamed);
		FUZZ_CLAIM(ids_add(&v, &id, 1) == 0);
	}
	decoder_finish(&d, &streamed);
	tokenizer_decode(t, v.id, v.n, false, &got);
	FUZZ_CLAIM(streamed.len == got.len &&
	           memcmp(buf_str(&streamed), buf_str(&got), got.len) == 0);
	ids_release(&v);
	buf_release(&mended);
	buf_release(&want);
	buf_release(&got);
	buf_release(&streamed);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *json = (const char *)bytes, *end = json + len;
	struct err e = { 0 };

	if (!good)
		open_good();
	if (len == 0)
		return 0;
	const char *config = memchr(json, '\0', len);
	const char *text = config ? memchr(config + 1, '\0', (size_t)(end - config - 1)) : NULL;
	fuzz_put("tokenizer.json", json, config ? (size_t)(config - json) : len);
	config = config ? config + 1 : end;
	fuzz_put("tokenizer_config.json", config, (size_t)((text ? text : end) - config));
	text = text ? text + 1 : end;

	struct tokenizer *t = tokenizer_open(fuzz_folder(), &e);
	if (t)
		round_trip(t, text, (size_t)(end - text));
	else
		FUZZ_CLAIM(e.kind == ERR_INPUT && strstr(e.text, "tokenizer"));
	tokenizer_close(t);
	round_trip(good, text, (size_t)(end - text));
	return 0;
}
