/*
 * t_checkpoint.c - a run's state on disk: whole or not at all, whatever happens.
 */
#include "tests/tiny_model.h"
#include "tests/toy_trainer.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "gpu/checkpoint.h"

static struct model model;

static int set_up(void **state)
{
	struct model_config c;
	struct err e = { 0 };

	(void)state;
	if (config_parse(&c, smallest_config, sizeof(smallest_config) - 1, "config", &e) < 0 ||
	    model_random(&model, &c, DTYPE_F32, 1, false, &e) < 0)
		fail_msg("%s", e.text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	model_close(&model);
	return 0;
}

static struct trainer *open_toy(bool full, int rank)
{
	struct err e = { 0 };
	const struct train_options o = { .full = full,
		                         .rank = rank,
		                         .alpha = 2.0f * (float)rank,
		                         .targets = 1u << MODULE_Q | 1u << MODULE_UP,
		                         .seed = 1,
		                         .rows = 8 };
	struct trainer *t = toy_open(&model, &o, &e);

	if (!t)
		fail_msg("%s", e.text);
	return t;
}

/* Something else in every slot but the gradients. */
static void stir(struct trainer *t, uint64_t seed)
{
	struct toy *y = (struct toy *)(void *)t;

	for (int s = 0; s < PARAM_SLOTS; s++)
		for (uint64_t i = 0; s != PARAM_GRADIENT && i < y->base.values; i++)
			y->slot[s][i] = random_weight(random_weight_key(seed, (uint64_t)s), i);
}

static void same(const struct trainer *a, const struct trainer *b)
{
	const struct toy *x = (const struct toy *)(const void *)a,
			 *y = (const struct toy *)(const void *)b;

	assert_true(x->base.values == y->base.values);
	for (int s = 0; s < PARAM_SLOTS; s++)
		if (s != PARAM_GRADIENT)
			assert_memory_equal(x->slot[s], y->slot[s], x->base.values * sizeof(float));
}

static int try_write(struct trainer *t, const char *run, int64_t step, int keep, struct err *e)
{
	const struct checkpoint_options o = {
		.run_dir = run, .base_name = "/some/base", .dtype = DTYPE_BF16, .keep = keep
	};
	struct checkpoint_written w = { 0 };
	cJSON *state = cJSON_CreateObject();

	cJSON_AddNumberToObject(state, "tokens", 12345);
	int rc = checkpoint_write(t, &o, step, state, &w, e);
	cJSON_Delete(state);
	if (rc == 0) {
		assert_true(w.bytes > 1000);
		assert_int_equal(access(w.dir, R_OK), 0);
	}
	free(w.dir);
	return rc;
}

static void write_it(struct trainer *t, const char *run, int64_t step, int keep)
{
	struct err e = { 0 };

	if (try_write(t, run, step, keep, &e) < 0)
		fail_msg("%s", e.text);
}

static void expect_newest(const char *run, int64_t step, char **dir)
{
	struct err e = { 0 };
	int64_t got = -1;
	char *at = NULL;
	int rc = checkpoint_newest(run, &at, &got, NULL, &e);

	if (rc != 0)
		fail_msg("%d: %s", rc, e.text);
	assert_int_equal(got, step);
	if (dir)
		*dir = at;
	else
		free(at);
}

/* How many entries the run's folder has. */
static int entries(const char *run)
{
	DIR *d = opendir(run);
	int n = -2; /* . and .. */

	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

static void a_state_comes_back_to_the_bit(void **state)
{
	(void)state;
	for (int full = 0; full < 2; full++) {
		char run[64], *dir;
		struct err e = { 0 };
		struct trainer *a = open_toy(full, 4), *b = open_toy(full, 4);
		folder_make(run);
		stir(a, 7);
		write_it(a, run, 40, 3);
		expect_newest(run, 40, &dir);
		assert_int_equal(checkpoint_read(b, dir, &e), 0);
		same(a, b);
		cJSON *s = checkpoint_state(dir, &e);
		assert_close(json_number_or(s, "step", 0), 40, 0);
		assert_close(json_number_or(s, "tokens", 0), 12345, 0);
		cJSON_Delete(s);
		free(dir);
		toy_close(a);
		toy_close(b);
		folder_remove(run);
	}
}

static void what_is_written_is_an_adapter_or_a_model(void **state)
{
	(void)state;
	for (int full = 0; full < 2; full++) {
		char run[64], *dir;
		struct err e = { 0 };
		struct trainer *t = open_toy(full, 4);
		folder_make(run);
		write_it(t, run, 1, 1);
		expect_newest(run, 1, &dir);
		if (full) {
			struct model m;
			if (model_open(&m, dir, &e) < 0)
				fail_msg("%s", e.text);
			model_close(&m);
		} else {
			struct adapter a;
			if (adapter_open(&a, dir, &model.config, &e) < 0)
				fail_msg("%s", e.text);
			assert_int_equal(a.rank_max, 4);
			assert_string_equal(a.base_model, "/some/base");
			adapter_close(&a);
		}
		free(dir);
		toy_close(t);
		folder_remove(run);
	}
}

static void only_the_newest_are_kept(void **state)
{
	char run[64];
	struct trainer *t = open_toy(false, 2);

	(void)state;
	folder_make(run);
	for (int i = 1; i <= 5; i++)
		write_it(t, run, 10 * i, 2);
	assert_int_equal(entries(run), 2);
	expect_newest(run, 50, NULL);
	/* one is enough when room is needed */
	assert_int_equal(checkpoint_drop_older(run), 1);
	assert_int_equal(entries(run), 1);
	expect_newest(run, 50, NULL);
	/* the same step once more takes the place of the first */
	write_it(t, run, 50, 2);
	assert_int_equal(entries(run), 1);
	toy_close(t);
	folder_remove(run);
}

static void an_empty_folder_has_none(void **state)
{
	char run[64], *dir;
	int64_t step;
	struct err e = { 0 };

	(void)state;
	folder_make(run);
	assert_int_equal(checkpoint_newest(run, &dir, &step, NULL, &e), 1);
	folder_remove(run);
	assert_int_equal(checkpoint_newest(run, &dir, &step, NULL, &e), 1);
}

static void what_a_crash_left_is_no_checkpoint_and_goes(void **state)
{
	static const char *const left[] = { ".checkpoint-000090.partial",
		                            ".checkpoint-000090.partial.a8sdf7",
		                            ".checkpoint-000010.old" };
	char run[64], path[200];
	struct trainer *t = open_toy(false, 2);

	(void)state;
	folder_make(run);
	write_it(t, run, 20, 3);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", run, left[i]);
		assert_int_equal(mkdir(path, 0777), 0);
		tiny_write(path, "state.json", "{\"format\": 1, \"step\": 90}", 25);
	}
	/* nor is what a person put there */
	snprintf(path, sizeof(path), "%s/checkpoint-best", run);
	assert_int_equal(mkdir(path, 0777), 0);
	expect_newest(run, 20, NULL);
	write_it(t, run, 30, 3);
	expect_newest(run, 30, NULL);
	assert_int_equal(entries(run), 3);
	toy_close(t);
	folder_remove(run);
}

static void a_damaged_one_is_passed_over(void **state)
{
	static const char *const file[] = { "state.safetensors", "state.json" };
	char run[64], path[200], *dir;
	int64_t step;
	struct trainer *t = open_toy(false, 2);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct err e = { 0 }, over = { 0 };
		folder_make(run);
		write_it(t, run, 10, 3);
		write_it(t, run, 20, 3);
		snprintf(path, sizeof(path), "%s/checkpoint-000020/%s", run, file[i]);
		assert_int_equal(truncate(path, 100), 0);
		assert_int_equal(checkpoint_newest(run, &dir, &step, &over, &e), 0);
		assert_int_equal(step, 10);
		assert_contains(over.text, "checkpoint-000020");
		free(dir);
		/* none that is whole is no beginning from nothing */
		snprintf(path, sizeof(path), "%s/checkpoint-000010/%s", run, file[i]);
		assert_int_equal(truncate(path, 0), 0);
		assert_int_equal(checkpoint_newest(run, &dir, &step, NULL, &e), -1);
		assert_contains(e.text, "not one checkpoint is whole");
		folder_remove(run);
	}
	toy_close(t);
}

static void other_parameters_are_refused_by_name(void **state)
{
	char run[64], *dir;
	struct err e = { 0 };
	struct trainer *a = open_toy(false, 2), *b = open_toy(false, 4), *c = open_toy(true, 0);

	(void)state;
	folder_make(run);
	write_it(a, run, 1, 1);
	expect_newest(run, 1, &dir);
	assert_int_equal(checkpoint_read(b, dir, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "lora_A.weight: F32 [4, 32] was expected, got F32 [2, 32]");
	assert_int_equal(checkpoint_read(c, dir, &e), -1);
	assert_contains(e.text, "tensors were expected");
	toy_close(b);
	toy_close(c);
	/* values that are no numbers: the file's last one */
	float none = NAN;
	char path[300];
	snprintf(path, sizeof(path), "%s/state.safetensors", dir);
	FILE *f = fopen(path, "r+b");
	assert_non_null(f);
	assert_int_equal(fseek(f, -4, SEEK_END), 0);
	assert_int_equal(fwrite(&none, 4, 1, f), 1);
	fclose(f);
	assert_int_equal(checkpoint_read(a, dir, &e), -1);
	assert_contains(e.text, "holds what is no number");
	free(dir);
	toy_close(a);
	folder_remove(run);
}

static void what_is_no_number_is_not_written(void **state)
{
	(void)state;
	for (int s = 0; s < PARAM_SLOTS; s++)
		for (int full = 0; full < 2 && s != PARAM_GRADIENT; full++) {
			char run[64];
			struct err e = { 0 };
			struct trainer *t = open_toy(full, 2);
			folder_make(run);
			write_it(t, run, 1, 1);
			((struct toy *)(void *)t)->slot[s][3] = s ? NAN : INFINITY;
			assert_int_equal(try_write(t, run, 2, 1, &e), -1);
			assert_int_equal(e.kind, ERR_INPUT);
			assert_int_equal(entries(run), 1);
			expect_newest(run, 1, NULL);
			toy_close(t);
			folder_remove(run);
		}
}

/* A limit of the file's size fails as a full disk does, in the middle of any file. */
static void a_full_disk_leaves_the_older_one_whole(void **state)
{
	struct rlimit was, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	for (int full = 0; full < 2; full++) {
		char run[64], *dir;
		struct trainer *a = open_toy(full, 4), *b = open_toy(full, 4);
		int failed = 0, written = 0;
		folder_make(run);
		stir(a, 3);
		write_it(a, run, 10, 1);
		for (rlim_t bytes = 0; written == 0; bytes = bytes * 3 / 2 + 100) {
			struct err e = { 0 };
			small = was;
			small.rlim_cur = bytes;
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
			int rc = try_write(a, run, 20, 1, &e);
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
			if (rc == 0) {
				written++;
				continue;
			}
			failed++;
			assert_int_equal(e.kind, ERR_IO);
			assert_contains(e.text, "File too large");
			assert_int_equal(entries(run), 1);
			expect_newest(run, 10, &dir);
			assert_int_equal(checkpoint_read(b, dir, &e), 0);
			same(a, b);
			free(dir);
		}
		assert_true(failed > 5);
		expect_newest(run, 20, NULL);
		toy_close(a);
		toy_close(b);
		folder_remove(run);
	}
}

/* Killed anywhere, again and again. */
static void a_kill_at_any_moment_leaves_a_whole_one(void **state)
{
	char run[64];
	struct trainer *t = open_toy(false, 4);
	int64_t last = 0;
	uint64_t chance = 5;

	(void)state;
	folder_make(run);
	write_it(t, run, 0, 2);
	for (int round = 0; round < 25; round++) {
		int told[2];
		assert_int_equal(pipe(told), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct err e = { 0 };
			close(told[0]);
			for (int64_t step = last + 1;; step++) {
				stir(t, (uint64_t)step);
				if (try_write(t, run, step, 2, &e) < 0 || write(told[1], "", 1) < 0)
					_exit(1);
			}
		}
		/* some have been written; then anywhere in the next ones */
		char one;
		close(told[1]);
		assert_int_equal(read(told[0], &one, 1), 1);
		chance = random_weight_mix(chance + 1);
		usleep((useconds_t)(chance % 10000));
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		close(told[0]);

		struct err e = { 0 }, over = { 0 };
		struct trainer *b = open_toy(false, 4);
		int64_t step;
		char *dir;
		assert_int_equal(checkpoint_newest(run, &dir, &step, &over, &e), 0);
		assert_int_equal(over.kind, 0);
		assert_true(step > last);
		assert_int_equal(checkpoint_read(b, dir, &e), 0);
		stir(t, (uint64_t)step);
		same(t, b);
		last = step;
		free(dir);
		toy_close(b);
	}
	toy_close(t);
	folder_remove(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_comes_back_to_the_bit),
		cmocka_unit_test(what_is_written_is_an_adapter_or_a_model),
		cmocka_unit_test(only_the_newest_are_kept),
		cmocka_unit_test(an_empty_folder_has_none),
		cmocka_unit_test(what_a_crash_left_is_no_checkpoint_and_goes),
		cmocka_unit_test(a_damaged_one_is_passed_over),
		cmocka_unit_test(other_parameters_are_refused_by_name),
		cmocka_unit_test(what_is_no_number_is_not_written),
		cmocka_unit_test(a_full_disk_leaves_the_older_one_whole),
		cmocka_unit_test(a_kill_at_any_moment_leaves_a_whole_one),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
