/*
 * t_bpe_train.c - a learned vocabulary: the pairs that a plain recount finds, in a file that our
 * tokenizer opens, with a template that says what chat_render() says.
 */
#include "tests/model.h"

#include "gpu/bpe_train.h"
#include "gpu/chat.h"

struct place {
	char dir[64], out[100];
	struct bpe_trainer *t;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct err e = { 0 };

	folder_make(p->dir);
	snprintf(p->out, sizeof(p->out), "%s/out", p->dir);
	p->t = bpe_trainer_open(&e);
	assert_non_null(p->t);
	*state = p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;

	bpe_trainer_close(p->t);
	folder_remove(p->dir);
	free(p);
	return 0;
}

static void feed(const struct place *p, const char *text, size_t len)
{
	struct err e = { 0 };

	if (bpe_trainer_feed(p->t, text, len, &e) < 0)
		fail_msg("%s", e.text);
}

/* Learns @size entries of what was fed and opens them. */
static struct tokenizer *learn(const struct place *p, int size, int *reached)
{
	struct err e = { 0 };
	struct tokenizer *t;

	*reached = bpe_trainer_write(p->t, p->out, size, &e);
	if (*reached < 0)
		fail_msg("%s", e.text);
	if (!(t = tokenizer_open(p->out, &e)))
		fail_msg("%s", e.text);
	assert_int_equal(tokenizer_size(t), *reached);
	return t;
}

/* ---- the plain way: all pairs of all words counted anew for every merge ---- */

enum { WORDS = 200, WORD = 12, TOKENS = 600 };

struct plain {
	char text[TOKENS][64];
	int n;
	int symbol[WORDS][WORD], len[WORDS], count[WORDS];
};

static int order(const struct plain *x, int a, int b)
{
	return strcmp(x->text[a], x->text[b]);
}

/* Joins the most frequent pair; false: none comes twice. */
static bool plain_join(struct plain *x)
{
	static int count[TOKENS][TOKENS];
	int l = -1, r = -1, most = 1, to;

	memset(count, 0, sizeof(count));
	for (int w = 0; w < WORDS; w++)
		for (int i = 0; i + 1 < x->len[w]; i++)
			count[x->symbol[w][i]][x->symbol[w][i + 1]] += x->count[w];
	for (int a = 0; a < x->n; a++)
		for (int b = 0; b < x->n; b++)
			if (count[a][b] > most ||
			    (count[a][b] == most && l >= 0 &&
			     (order(x, a, l) < 0 || (a == l && order(x, b, r) < 0)))) {
				most = count[a][b];
				l = a;
				r = b;
			}
	if (l < 0)
		return false;
	char both[128];
	snprintf(both, sizeof(both), "%s%s", x->text[l], x->text[r]);
	for (to = 0; to < x->n && strcmp(x->text[to], both) != 0; to++)
		;
	if (to == x->n)
		memcpy(x->text[x->n++], both, strlen(both) + 1);
	for (int w = 0; w < WORDS; w++) {
		int n = 0, *s = x->symbol[w];
		for (int i = 0; i < x->len[w]; n++) {
			bool join = i + 1 < x->len[w] && s[i] == l && s[i + 1] == r;
			s[n] = join ? to : s[i];
			i += join ? 2 : 1;
		}
		x->len[w] = n;
	}
	return true;
}

/* Words of few letters, so that pairs overlap, tie, and make equal tokens in several ways. */
static void joins_are_those_of_a_plain_recount(void **state)
{
	struct place *p = *state;
	struct plain *x = calloc(1, sizeof(*x));
	uint32_t seed = 7;
	struct buf text = { 0 };
	char word[WORDS][WORD + 1];
	int reached, n_words = 0;

	for (int letter = 'a'; letter <= 'd'; letter++)
		x->text[x->n++][0] = (char)letter;
	while (n_words < WORDS) {
		char *s = word[n_words];
		bool known = false;
		memset(s, 0, WORD + 1);
		int len = 1 + (int)((seed = seed * 1664525 + 1013904223) >> 16) % (WORD - 1);
		for (int i = 0; i < len; i++)
			s[i] = (char)('a' + ((seed = seed * 1664525 + 1013904223) >> 20) % 4);
		for (int i = 0; i < n_words; i++)
			known |= strcmp(s, word[i]) == 0;
		if (known)
			continue;
		x->len[n_words] = len;
		x->count[n_words] = 1 + (int)((seed >> 8) % 5);
		for (int i = 0; i < len; i++)
			x->symbol[n_words][i] = s[i] - 'a';
		for (int i = 0; i < x->count[n_words]; i++) /* a newline is a piece of its own */
			buf_printf(&text, "%s\n", s);
		n_words++;
	}
	feed(p, text.data, text.len);
	buf_release(&text);
	struct tokenizer *t = learn(p, 256 + 7 + 300, &reached);
	assert_int_equal(reached, 256 + 7 + 300);
	while (x->n < 4 + 300)
		assert_true(plain_join(x));
	for (int i = 0; i < 300; i++) {
		size_t len;
		bool special;
		const char *got = tokenizer_bytes(t, 256 + i, &len, &special);
		if (len != strlen(x->text[4 + i]) || memcmp(got, x->text[4 + i], len) != 0)
			fail_msg("token %d: '%.*s', a recount gives '%s'", i, (int)len, got,
			         x->text[4 + i]);
	}
	/* every piece is encoded as it was joined */
	for (int w = 0; w < WORDS; w++) {
		struct ids ids = { 0 };
		struct err e = { 0 };
		assert_int_equal(tokenizer_encode(t, word[w], strlen(word[w]), false, &ids, &e), 0);
		assert_int_equal(ids.n, x->len[w]);
		for (int i = 0; i < ids.n; i++) {
			size_t len;
			bool special;
			const char *got = tokenizer_bytes(t, ids.id[i], &len, &special);
			assert_int_equal(len, strlen(x->text[x->symbol[w][i]]));
			assert_memory_equal(got, x->text[x->symbol[w][i]], len);
		}
		ids_release(&ids);
	}
	tokenizer_close(t);
	free(x);
}

static const char *token(const struct tokenizer *t, int id, char out[64])
{
	size_t len;
	bool special;
	const char *text = tokenizer_bytes(t, id, &len, &special);

	snprintf(out, 64, "%.*s", (int)len, text);
	return out;
}

static void ties_go_to_the_bytes_that_come_first_and_single_pairs_are_left(void **state)
{
	struct place *p = *state;
	char text[64];
	int reached;

	feed(p, "zy zy\nab ab\nonce", strlen("zy zy\nab ab\nonce"));
	struct tokenizer *t = learn(p, 1000, &reached);
	/* "ab", " ab": twice, once; so "ab" and "zy" only */
	assert_int_equal(reached, 256 + 2 + 7);
	assert_string_equal(token(t, 256, text), "ab");
	assert_string_equal(token(t, 257, text), "zy");
	assert_string_equal(token(t, 258, text), "<|endoftext|>");
	assert_string_equal(token(t, 264, text), "</tool_response>");
	assert_int_equal(tokenizer_added(t, "<|im_start|>"), 259);
	assert_int_equal(tokenizer_added(t, "<|im_end|>"), 260);
	tokenizer_close(t);
}

static void equal_texts_give_equal_files(void **state)
{
	struct place *p = *state;
	struct buf a = { 0 }, b = { 0 };
	struct err e = { 0 };
	char path[200], text[3000];
	int reached;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "result = cq.Workplane().box(1, 2, 3)\n    # side"[i * i % 46];
	feed(p, text, sizeof(text));
	tokenizer_close(learn(p, 400, &reached));
	snprintf(path, sizeof(path), "%s/tokenizer.json", p->out);
	assert_int_equal(buf_read_file(&a, path, 1 << 24, &e), 0);
	folder_remove(p->out);
	tokenizer_close(learn(p, 400, &reached)); /* the counts are still there */
	assert_int_equal(buf_read_file(&b, path, 1 << 24, &e), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	buf_release(&a);
	buf_release(&b);
}

static void added_tokens_in_the_text_teach_nothing(void **state)
{
	struct place *p = *state;
	int reached;

	for (int i = 0; i < 50; i++)
		feed(p, "<|im_start|><think></think><|im_end|>", 37);
	struct tokenizer *t = learn(p, 1000, &reached);
	assert_int_equal(reached, 256 + 7);
	tokenizer_close(t);
}

static void any_bytes_and_any_length_are_taken(void **state)
{
	struct place *p = *state;
	size_t n = 3 << 20;
	char *text = malloc(n);
	uint32_t seed = 3;
	int reached;

	memset(text, ' ', n); /* one piece */
	feed(p, text, n);
	memset(text, 'a', n);
	feed(p, text, n);
	for (size_t i = 0; i < n; i++) /* no UTF-8 */
		text[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
	feed(p, text, n / 16);
	for (size_t i = 0; i < n; i++) /* letters without an end */
		text[i] = (char)('a' + ((seed = seed * 1664525 + 1013904223) >> 24) % 26);
	feed(p, text, n / 16);
	feed(p, "e\xcc\x81", 3);
	feed(p, "", 0);
	free(text);
	tokenizer_close(learn(p, 1000, &reached));
	assert_int_equal(reached, 1000);
}

static void sizes_and_folders_that_cannot_be_are_refused(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	assert_int_equal(bpe_trainer_write(p->t, p->out, 262, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_contains(e.text, "from 263");
	assert_int_equal(bpe_trainer_write(p->t, p->out, 1 << 30, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	put_text(p->dir, "out", "");
	assert_int_equal(bpe_trainer_write(p->t, p->out, 300, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "is a file");
}

static void the_template_is_there_and_does_not_think(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct buf text = { 0 };
	char path[200];
	int reached;

	tokenizer_close(learn(p, 263, &reached));
	snprintf(path, sizeof(path), "%s/chat_template.jinja", p->out);
	assert_int_equal(buf_read_file(&text, path, 1 << 20, &e), 0);
	assert_contains(buf_str(&text), "<|im_start|>");
	buf_release(&text);
	assert_false(chat_thinks_by_default(p->out));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
	const struct CMUnitTest tests[] = {
		T(joins_are_those_of_a_plain_recount),
		T(ties_go_to_the_bytes_that_come_first_and_single_pairs_are_left),
		T(equal_texts_give_equal_files),
		T(added_tokens_in_the_text_teach_nothing),
		T(any_bytes_and_any_length_are_taken),
		T(sizes_and_folders_that_cannot_be_are_refused),
		T(the_template_is_there_and_does_not_think),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
