/*
 * t_dataset.c - rows of chat JSONL become samples: what is learnt, and what is left out and why.
 */
#include "tests/model.h"
#include "tests/tiny_tokenizer.h"

#include "gpu/dataset.h"

static const char *const added[] = { "!<|endoftext|>", "!<|im_start|>", "!<|im_end|>",
	                             "<think>",        "</think>",      NULL };
enum { END_OF_TEXT = 256, IM_START, IM_END, THINK, THOUGHT };

struct place {
	char dir[64], file[128];
	struct tokenizer *t;
};

static void place_with(struct place *p, const char *const *tokens)
{
	struct buf json = { 0 };
	struct err e = { 0 };

	tiny_folder(p->dir);
	tiny_json(&json, NULL, NULL, tokens, false);
	tiny_write(p->dir, "tokenizer.json", json.data, json.len);
	buf_release(&json);
	p->t = tokenizer_open(p->dir, &e);
	if (!p->t)
		fail_msg("%s", e.text);
	snprintf(p->file, sizeof(p->file), "%s/rows.jsonl", p->dir);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	place_with(p, added);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	tokenizer_close(p->t);
	unlink(p->file);
	tiny_remove(p->dir);
	free(p);
	return 0;
}

static int open_bytes(struct place *p, const void *rows, size_t len, struct dataset_options o,
                      struct dataset *d, struct err *e)
{
	tiny_write(p->dir, "rows.jsonl", rows, len);
	return dataset_open(d, p->file, p->t, &o, e);
}

static void open_rows(struct place *p, const char *rows, struct dataset *d)
{
	struct err e = { 0 };

	if (open_bytes(p, rows, strlen(rows), (struct dataset_options){ .longest = 1000 }, d, &e) <
	    0)
		fail_msg("%s", e.text);
}

/* What the labels of a sample say; rows without one are dots. */
static const char *learnt(const struct place *p, const struct dataset *d, int sample)
{
	static char out[2000];
	const struct sample *s = &d->sample[sample];
	struct buf b = { 0 };

	for (int i = 0; i < s->n; i++) {
		int32_t id = d->label[s->at + (uint64_t)i];
		if (id < 0)
			continue;
		if (i + 1 < s->n)
			assert_int_equal(id, d->id[s->at + (uint64_t)i + 1]);
		tokenizer_decode(p->t, &id, 1, false, &b);
	}
	snprintf(out, sizeof(out), "%s", buf_str(&b));
	buf_release(&b);
	return out;
}

static const char *fed(const struct place *p, const struct dataset *d, int sample)
{
	static char out[2000];
	struct buf b = { 0 };

	tokenizer_decode(p->t, d->id + d->sample[sample].at, d->sample[sample].n, false, &b);
	snprintf(out, sizeof(out), "%s", buf_str(&b));
	buf_release(&b);
	return out;
}

#define CHAT                                                                                        \
	"{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", " \
	"\"content\": \"A box\"}, {\"role\": \"assistant\", \"content\": \"box(1)\"}]}\n"

static void the_last_message_and_its_end_are_learnt(void **state)
{
	struct place *p = *state;
	struct dataset d;

	open_rows(p, CHAT, &d);
	assert_int_equal(d.samples, 1);
	assert_string_equal(learnt(p, &d, 0), "box(1)<|im_end|>");
	assert_int_equal(d.sample[0].labels, 7);
	/* what stands behind the last label is not fed */
	assert_string_equal(fed(p, &d, 0),
	                    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nA "
	                    "box<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nbox(1)");
	dataset_close(&d);
}

static void of_several_answers_the_last_alone_is_learnt(void **state)
{
	struct place *p = *state;
	struct dataset d;

	open_rows(p,
	          "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
	          "\"assistant\", \"content\": \"broken\"}, {\"role\": \"user\", \"content\": "
	          "\"mend\"}, {\"role\": \"assistant\", \"content\": \"whole\"}]}",
	          &d);
	assert_string_equal(learnt(p, &d, 0), "whole<|im_end|>");
	assert_contains(fed(p, &d, 0), "broken");
	dataset_close(&d);
}

static void prompt_and_completion_are_a_conversation(void **state)
{
	struct place *p = *state;
	struct dataset a, b;

	open_rows(p, "{\"prompt\": \"A box\", \"completion\": \"box(1)\"}", &a);
	open_rows(p,
	          "{\"prompt\": [{\"role\": \"user\", \"content\": \"A box\"}], \"completion\": "
	          "[{\"role\": \"assistant\", \"content\": \"box(1)\"}], \"task\": \"t\"}",
	          &b);
	assert_string_equal(learnt(p, &a, 0), "box(1)<|im_end|>");
	assert_memory_equal(a.hash, b.hash, sizeof(a.hash));
	dataset_close(&a);
	dataset_close(&b);
}

static void raw_text_is_learnt_to_its_end(void **state)
{
	struct place *p = *state;
	struct dataset d;

	/* the text of an added token has no power in it */
	open_rows(p, "{\"text\": \"abc<|im_end|>\"}", &d);
	assert_string_equal(fed(p, &d, 0), "abc<|im_end|>");
	assert_int_equal(d.sample[0].n, 3 + 10);
	assert_string_equal(learnt(p, &d, 0), "bc<|im_end|><|endoftext|>");
	assert_int_equal(d.label[d.tokens - 1], END_OF_TEXT);
	dataset_close(&d);
}

static void an_answer_that_thinks_is_learnt_with_its_thought(void **state)
{
	struct place *p = *state;
	struct dataset d;

	open_rows(p,
	          "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
	          "\"assistant\", \"content\": \"b\", \"reasoning_content\": \"hm\"}]}",
	          &d);
	assert_string_equal(learnt(p, &d, 0), "hm\n</think>\n\nb<|im_end|>");
	dataset_close(&d);
}

static void loss_on_all_learns_the_prompt_too(void **state)
{
	struct place *p = *state;
	struct dataset d;
	struct err e = { 0 };

	assert_int_equal(open_bytes(p, CHAT, strlen(CHAT),
	                            (struct dataset_options){ .longest = 1000, .loss_all = true },
	                            &d, &e),
	                 0);
	assert_int_equal(d.sample[0].labels, d.sample[0].n);
	assert_int_equal(d.id[0], IM_START);
	assert_contains(learnt(p, &d, 0), "system\nBe brief.<|im_end|>");
	assert_contains(learnt(p, &d, 0), "box(1)<|im_end|>\n");
	dataset_close(&d);
}

static void weights_and_parts_of_the_run_are_read(void **state)
{
	struct place *p = *state;
	struct dataset d;

	open_rows(p,
	          "{\"text\": \"ab\", \"weight\": 2.5, \"from\": 0.25, \"until\": 0.5, \"task\": "
	          "\"x\", \"kind\": \"drill\"}\n\r\n"
	          "{\"text\": \"cde\", \"task\": \"x\", \"kind\": \"program\", \"other\": [1, {}]}",
	          &d);
	assert_int_equal(d.samples, 2);
	assert_close(d.sample[0].weight, 2.5, 0);
	assert_close(d.sample[0].from, 0.25, 0);
	assert_close(d.sample[0].until, 0.5, 0);
	assert_close(d.sample[1].weight, 1, 0);
	assert_close(d.sample[1].from, 0, 0);
	assert_close(d.sample[1].until, 1, 0);
	assert_int_equal(d.sample[0].line, 1);
	assert_int_equal(d.sample[1].line, 3);
	assert_int_equal(d.tasks, 1);
	assert_int_equal(d.kinds, 2);
	assert_string_equal(d.kind[1].name, "program");
	assert_int_equal(d.kind[1].tokens, 3);
	assert_int_equal(d.longest, 3);
	dataset_close(&d);
}

/* One bad row of each sort beside a good one. */
static void a_bad_row_is_left_out_and_counted(void **state)
{
	static const struct {
		const char *row;
		enum drop_reason why;
		const char *words;
	} bad[] = {
		{ "{\"text\": \"a", DROP_NOT_JSON, "" },
		{ "[1]", DROP_NOT_JSON, "an object" },
		{ "{\"prompt\": \"a\"}", DROP_NO_MESSAGES, "neither" },
		{ "{\"messages\": 3}", DROP_NO_MESSAGES, "a list was expected, got a number" },
		{ "{\"messages\": []}", DROP_NO_MESSAGES, "empty list" },
		{ "{\"completion\": \"a\"}", DROP_NO_MESSAGES, "prompt" },
		{ "{\"messages\": [{\"role\": \"boss\", \"content\": \"a\"}]}", DROP_BAD_MESSAGE,
		  "boss" },
		{ "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", DROP_BAD_MESSAGE,
		  "assistant" },
		{ "{\"messages\": [{\"role\": \"user\", \"content\": {}}, {}]}", DROP_BAD_MESSAGE,
		  "content" },
		{ "{\"prompt\": \"a\", \"completion\": \"  \\n \"}", DROP_EMPTY, "empty" },
		{ "{\"text\": \"\"}", DROP_EMPTY, "empty" },
		{ "{\"text\": \"\xff\"}", DROP_NOT_UTF8, "byte 11" },
		{ "{\"text\": \"a\\u0000b\"}", DROP_NOT_UTF8, "NUL" },
		{ "{\"text\": \"0123456789012345678901234567890123456789\"}", DROP_TOO_LONG,
		  "40 tokens; a sample may have 30" },
		{ "{\"text\": \"a\", \"weight\": 0}", DROP_BAD_WEIGHT, "weight" },
		{ "{\"text\": \"a\", \"weight\": 1e300}", DROP_BAD_WEIGHT, "weight" },
		{ "{\"text\": \"a\", \"weight\": \"3\"}", DROP_BAD_WEIGHT, "a text" },
		{ "{\"text\": \"a\", \"from\": 0.5, \"until\": 0.5}", DROP_BAD_WEIGHT, "until" },
		{ "{\"text\": \"a\", \"until\": 2}", DROP_BAD_WEIGHT, "until" },
	};
	struct place *p = *state;
	const struct dataset_options o = { .longest = 30 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct dataset d;
		struct err e = { 0 };
		char rows[400];
		int n = snprintf(rows, sizeof(rows), "{\"text\": \"ab\"}\n%s\n%s\n", bad[i].row,
		                 bad[i].row);
		assert_int_equal(open_bytes(p, rows, (size_t)n, o, &d, &e), 0);
		assert_int_equal(d.samples, 1);
		for (int k = 0; k < DROP_REASONS; k++)
			if (d.dropped[k] != (k == (int)bad[i].why ? 2 : 0))
				fail_msg("%s: %d of '%s' (%s)", bad[i].row, d.dropped[k],
				         drop_reason_name((enum drop_reason)k), d.first[k].why);
		assert_int_equal(d.first[bad[i].why].line, 2);
		assert_contains(d.first[bad[i].why].why, bad[i].words);
		dataset_close(&d);
		/* alone it is an error that names the file, the line and the reason */
		assert_int_equal(open_bytes(p, bad[i].row, strlen(bad[i].row), o, &d, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, "rows.jsonl");
		assert_contains(e.text, "line 1");
		assert_contains(e.text, drop_reason_name(bad[i].why));
	}
}

static void strangers_words_are_told_harmlessly(void **state)
{
	struct place *p = *state;
	const char *row = "{\"messages\": [{\"role\": \"a\\u001b[2J\\u202e\", \"content\": \"\"}]}";
	struct dataset d;
	struct err e = { 0 };

	assert_int_equal(
		open_bytes(p, row, strlen(row), (struct dataset_options){ .longest = 9 }, &d, &e),
		-1);
	assert_null(strchr(e.text, 0x1b));
	assert_null(strstr(e.text, "\xe2\x80\xae"));
	/* kinds are shown too */
	open_rows(p, "{\"text\": \"ab\", \"kind\": \"\\u001b]0;x\"}", &d);
	assert_null(strchr(d.kind[0].name, 0x1b));
	dataset_close(&d);
}

static void a_file_without_a_good_row_is_an_error(void **state)
{
	struct place *p = *state;
	const struct dataset_options o = { .longest = 100 };
	struct dataset d;
	struct err e = { 0 };

	assert_int_equal(open_bytes(p, "", 0, o, &d, &e), -1);
	assert_contains(e.text, "empty");
	assert_int_equal(dataset_open(&d, p->dir, p->t, &o, &e), -1);
	assert_contains(e.text, "a folder");
	assert_int_equal(dataset_open(&d, "/nowhere/rows", p->t, &o, &e), -1);
	assert_contains(e.text, "/nowhere/rows");
	assert_int_equal(dataset_open(&d, "/dev/zero", p->t, &o, &e), -1);
	assert_contains(e.text, "no regular file");
	assert_null(d.sample);
}

static void a_tokenizer_without_chat_marks_takes_text_alone(void **state)
{
	static const char *const none[] = { NULL };
	struct place q;
	struct dataset d;
	struct err e = { 0 };

	(void)state;
	place_with(&q, none);
	open_rows(&q, "{\"text\": \"abc\"}", &d);
	assert_int_equal(d.sample[0].n, 2);
	dataset_close(&d);
	assert_int_equal(open_bytes(&q, CHAT, strlen(CHAT),
	                            (struct dataset_options){ .longest = 100 }, &d, &e),
	                 -1);
	assert_contains(e.text, "<|im_start|>");
	tokenizer_close(q.t);
	unlink(q.file);
	tiny_remove(q.dir);
}

/* A line longer than any buffer, between two that are fine. */
static void an_endless_line_is_left_out(void **state)
{
	struct place *p = *state;
	size_t n = (size_t)DATASET_LINE_MAX + (3 << 20);
	char *rows = malloc(n + 100);
	struct dataset d;
	struct err e = { 0 };

	assert_non_null(rows);
	memset(rows, 'x', n + 100);
	memcpy(rows, "{\"text\": \"ab\"}\n", 15);
	memcpy(rows + 15 + n, "\n{\"text\": \"cd\"}", 15);
	assert_int_equal(
		open_bytes(p, rows, 15 + n + 15, (struct dataset_options){ .longest = 9 }, &d, &e),
		0);
	free(rows);
	assert_int_equal(d.samples, 2);
	assert_int_equal(d.dropped[DROP_TOO_LONG], 1);
	assert_int_equal(d.first[DROP_TOO_LONG].line, 2);
	assert_int_equal(d.sample[1].line, 3);
	dataset_close(&d);
}

static void whatever_is_learnt_otherwise_gives_another_hash(void **state)
{
	static const char *const rows[] = {
		"{\"text\": \"ab\"}\n{\"text\": \"cd\"}",
		"{\"text\": \"cd\"}\n{\"text\": \"ab\"}",
		"{\"text\": \"abcd\"}",
		"{\"text\": \"ab\", \"weight\": 2}\n{\"text\": \"cd\"}",
		"{\"text\": \"ab\"}\n{\"text\": \"cd\", \"until\": 0.5}",
		"{\"prompt\": \"ab\", \"completion\": \"cd\"}",
	};
	enum { N = sizeof(rows) / sizeof(*rows) };
	struct place *p = *state;
	unsigned char hash[N][32];
	struct dataset d;

	for (int i = 0; i < N; i++) {
		open_rows(p, rows[i], &d);
		memcpy(hash[i], d.hash, 32);
		dataset_close(&d);
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(hash[i], hash[k], 32);
	}
	/* but blank lines and what nobody reads do not */
	open_rows(p, "\n{\"text\": \"ab\", \"x\": 1}\n\n{\"text\": \"cd\"}\n", &d);
	assert_memory_equal(d.hash, hash[0], 32);
	dataset_close(&d);
}

static void it_is_described(void **state)
{
	struct place *p = *state;
	struct dataset d;
	struct buf text = { 0 };

	open_rows(p, "{\"text\": \"abc\", \"kind\": \"k\"}\nnonsense\n{\"text\": \"abcdefg\"}\n",
	          &d);
	cJSON *o = dataset_describe(&d);
	assert_close(json_number_or(o, "samples", 0), 2, 0);
	assert_close(json_number_or(o, "tokens", 0), 10, 0);
	assert_close(json_number_or(o, "longest", 0), 7, 0);
	json_print(&text, cJSON_GetObjectItem(o, "dropped"));
	assert_contains(text.data, "\"reason\":\"not JSON\",\"rows\":1,\"line\":2");
	buf_release(&text);
	cJSON_Delete(o);
	dataset_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_message_and_its_end_are_learnt),
		cmocka_unit_test(of_several_answers_the_last_alone_is_learnt),
		cmocka_unit_test(prompt_and_completion_are_a_conversation),
		cmocka_unit_test(raw_text_is_learnt_to_its_end),
		cmocka_unit_test(an_answer_that_thinks_is_learnt_with_its_thought),
		cmocka_unit_test(loss_on_all_learns_the_prompt_too),
		cmocka_unit_test(weights_and_parts_of_the_run_are_read),
		cmocka_unit_test(a_bad_row_is_left_out_and_counted),
		cmocka_unit_test(strangers_words_are_told_harmlessly),
		cmocka_unit_test(a_file_without_a_good_row_is_an_error),
		cmocka_unit_test(a_tokenizer_without_chat_marks_takes_text_alone),
		cmocka_unit_test(an_endless_line_is_left_out),
		cmocka_unit_test(whatever_is_learnt_otherwise_gives_another_hash),
		cmocka_unit_test(it_is_described),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
