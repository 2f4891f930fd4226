/* The host emulation of kernels (gpu/emu.h): it does what the words of gpu/dev.h say, and it finds
 * what is wrong. Each planted fault is one that a GPU might let pass. */
#include <csetjmp>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include "gpu/dev.h"

namespace
{

const struct {
	enum emu_order order;
	uint64_t seed;
} orders[] = {
	{ EMU_UP, 0 }, { EMU_DOWN, 0 }, { EMU_SEEDED, 1 }, { EMU_SEEDED, 2 }, { EMU_SEEDED, 3 }
};

/* ---- kernels that are right ---- */

/* out[i] = in[n - 1 - i], per block */
__global__ void reverse(float *out, const float *in)
{
	SHARED(float, s, 96);
	int i = (int)threadIdx.x, at = (int)(blockIdx.x * 96);
	s[i] = in[at + i];
	block_sync();
	out[at + i] = s[95 - i];
}

__global__ void shuffles(int *out)
{
	int lane = (int)threadIdx.x;
	out[lane] = warp_xor(lane, 5);
	out[32 + lane] = warp_from(lane * 10, 7);
	out[64 + lane] = warp_down(lane, 3);
	out[96 + lane] = warp_up(lane, 3);
	out[128 + lane] = (int)warp_ballot(lane % 3 == 0);
	out[160 + lane] = warp_any(lane == 31) + 2 * warp_any(lane == 32);
	out[192 + lane] = (int)warp_sum((float)lane);
	out[224 + lane] = (int)warp_max((float)((lane * 7) % 32));
}

/* D = A B by mma with fragments loaded by hand. */
__global__ void product(float *D, const bf16 *A, const bf16 *B)
{
	int g = (int)threadIdx.x / 4, t = (int)threadIdx.x % 4;
	auto pair = [](const bf16 *p, int step) { return p[0] | (uint32_t)p[step] << 16; };
	uint32_t a[4], b[2];
	for (int i = 0; i < 4; i++)
		a[i] = pair(A + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8, 1);
	for (int i = 0; i < 2; i++)
		b[i] = pair(B + (2 * t + i * 8) * 8 + g, 8);
	float d[4] = { 0, 0, 0, 0 };
	mma_bf16(d, a, b);
	for (int i = 0; i < 4; i++)
		D[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

/* The same through ldmatrix: A as stored, B (k major) transposed on the way. */
__global__ void product_by_ldmatrix(float *D, const bf16 *A, const bf16 *B)
{
	SHARED(bf16, a_tile, 16 * 16);
	SHARED(bf16, b_tile, 16 * 8);
	int lane = (int)threadIdx.x;
	cp_async_16(a_tile + lane * 8, A + lane * 8);
	cp_async_16_or_zero(b_tile + lane % 16 * 8, B + lane % 16 * 8, true);
	cp_async_commit();
	cp_async_wait<0>();
	block_sync();
	uint32_t a[4], b[2];
	ldmatrix_x4(a, a_tile + (lane % 8 + lane / 8 % 2 * 8) * 16 + lane / 16 * 8);
	ldmatrix_x2_trans(b, b_tile + lane % 16 * 8);
	float d[4] = { 0, 0, 0, 0 };
	mma_bf16(d, a, b);
	for (int i = 0; i < 4; i++)
		D[(lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

/* The last block to come adds what all left. */
__global__ void join(float *out, float *partial, unsigned *counter)
{
	SHARED(unsigned, come, 1);
	if (threadIdx.x == 0) {
		partial[blockIdx.x] = 1.0f + (float)blockIdx.x;
		fence();
		*come = atomic_inc_wrap(counter, gridDim.x - 1);
	}
	block_sync();
	if (*come == gridDim.x - 1 && threadIdx.x == 0) {
		float sum = 0;
		for (unsigned i = 0; i < gridDim.x; i++)
			sum += load_fresh(partial + i);
		*out = sum;
	}
}

/* ---- kernels with a fault ---- */

__global__ void reverse_without_barrier(float *out, const float *in)
{
	SHARED(float, s, 96);
	int i = (int)threadIdx.x;
	s[i] = in[i];
	out[i] = s[95 - i];
}

__global__ void neighbour_without_warp_sync(float *out)
{
	SHARED(float, s, 32);
	int i = (int)threadIdx.x;
	s[i] = (float)i;
	out[i] = s[i ^ 1];
}

__global__ void never_written(float *out)
{
	SHARED(float, s, 64);
	if (threadIdx.x != 17)
		s[threadIdx.x] = 1;
	block_sync();
	out[threadIdx.x] = s[threadIdx.x];
}

__global__ void lane_missing(float *out)
{
	if (threadIdx.x != 31)
		out[threadIdx.x] = warp_sum(1);
}

__global__ void lanes_apart(int *out)
{
	if (threadIdx.x % 32 < 16)
		out[threadIdx.x] = warp_xor(1, 1);
	else
		out[threadIdx.x] = warp_xor(2, 1);
}

__global__ void two_barriers(int *out)
{
	if (threadIdx.x < 32)
		block_sync();
	else
		block_sync();
	out[threadIdx.x] = 1;
}

__global__ void left_before_barrier(int *out)
{
	if (threadIdx.x == 40)
		return;
	block_sync();
	out[threadIdx.x] = 1;
}

__global__ void past_shared(float *out, int n)
{
	SHARED(float, s, 63);
	for (int i = (int)threadIdx.x; i < n; i += 32)
		s[i] = 1;
	block_sync();
	out[threadIdx.x] = s[threadIdx.x];
}

__global__ void past_dynamic(float *out, int n)
{
	DYN_SHARED(float, s);
	for (int i = (int)threadIdx.x; i < n; i += 32)
		s[i] = 1;
	block_sync();
	out[threadIdx.x] = s[threadIdx.x];
}

__global__ void past_global(float *out, int n)
{
	for (int i = (int)threadIdx.x; i < n; i += 32)
		out[i] = 1;
}

__global__ void copy_not_waited_for(float *out, const float *in, int wait)
{
	SHARED(float, s, 128);
	cp_async_16(s + 4 * threadIdx.x, in + 4 * threadIdx.x);
	cp_async_commit();
	if (wait > 1)
		cp_async_wait<0>();
	else if (wait)
		cp_async_wait<1>(); /* one group may still be under way: this one */
	block_sync();
	out[threadIdx.x] = s[threadIdx.x];
	block_sync();
	cp_async_wait<0>();
}

__global__ void copy_left(const float *in)
{
	SHARED(float, s, 128);
	cp_async_16(s + 4 * threadIdx.x, in + 4 * threadIdx.x);
}

__global__ void misaligned(float *out, const float *in)
{
	uint4 v = load_const(in + 1);
	out[threadIdx.x] = float_bits(v.x);
}

/* ---- helpers ---- */

float *floats(int n)
{
	return (float *)emu_alloc(sizeof(float) * (size_t)n);
}

/* @what's first fault; "" for none. */
template <class F>
const char *fault_of(F what)
{
	emu_keep_faults(true);
	what();
	emu_keep_faults(false);
	return emu_fault();
}

void must_contain(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not speak of \"%s\"", text, part);
}

/* What @what does in a child of its own: dies, or reports a fault. */
template <class F>
bool found_in_child(F what)
{
	fflush(nullptr);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		int nowhere = open("/dev/null", O_WRONLY);
		dup2(nowhere, 1);
		dup2(nowhere, 2);
		_exit(*fault_of(what) ? 1 : 0);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	return status != 0;
}

/* ---- tests ---- */

void right_kernels_give_the_same_in_any_order(void **)
{
	float *in = floats(5 * 96), *out = floats(5 * 96), *sum = floats(1), *partial = floats(7);
	unsigned *counter = (unsigned *)emu_alloc(4);
	*counter = 0;
	for (int i = 0; i < 5 * 96; i++)
		in[i] = (float)i;
	for (auto o : orders) {
		emu_set_order(o.order, o.seed);
		memset(out, 0, sizeof(float) * 5 * 96);
		LAUNCH(reverse, 5, 96, 0, nullptr, out, in);
		for (int i = 0; i < 5 * 96; i++)
			assert_true(out[i] == (float)(i / 96 * 96 + 95 - i % 96));
		*sum = 0;
		LAUNCH(join, 7, 64, 0, nullptr, sum, partial, counter);
		assert_true(*sum == 28);
		assert_int_equal(*counter, 0);
	}
	emu_set_order(EMU_UP, 0);
	emu_free(in);
	emu_free(out);
	emu_free(sum);
	emu_free(partial);
	emu_free(counter);
	assert_string_equal(emu_fault(), "");
}

void shuffles_move_what_cuda_would(void **)
{
	int *out = (int *)emu_alloc(8 * 32 * 4);
	LAUNCH(shuffles, 1, 32, 0, nullptr, out);
	for (int l = 0; l < 32; l++) {
		assert_int_equal(out[l], l ^ 5);
		assert_int_equal(out[32 + l], 70);
		assert_int_equal(out[64 + l], l + 3 < 32 ? l + 3 : l);
		assert_int_equal(out[96 + l], l - 3 >= 0 ? l - 3 : l);
		assert_int_equal((unsigned)out[128 + l], 0x49249249u);
		assert_int_equal(out[160 + l], 1);
		assert_int_equal(out[192 + l], 496);
		assert_int_equal(out[224 + l], 31);
	}
	emu_free(out);
}

void mma_and_ldmatrix_follow_the_ptx_layout(void **)
{
	bf16 *A = (bf16 *)emu_alloc(16 * 16 * 2), *B = (bf16 *)emu_alloc(16 * 8 * 2);
	float *D = floats(128);
	for (int i = 0; i < 256; i++)
		A[i] = to_bf16((float)((i * 37) % 19 - 9));
	for (int i = 0; i < 128; i++)
		B[i] = to_bf16((float)((i * 53) % 23 - 11));
	for (int way = 0; way < 2; way++) {
		memset(D, 0, 128 * 4);
		if (way)
			LAUNCH(product_by_ldmatrix, 1, 32, 0, nullptr, D, A, B);
		else
			LAUNCH(product, 1, 32, 0, nullptr, D, A, B);
		for (int r = 0; r < 16; r++)
			for (int c = 0; c < 8; c++) {
				float sum = 0;
				for (int k = 0; k < 16; k++)
					sum += from_bf16(A[r * 16 + k]) * from_bf16(B[k * 8 + c]);
				assert_true(D[r * 8 + c] == sum);
			}
	}
	emu_free(A);
	emu_free(B);
	emu_free(D);
}

void rounding_to_bf16_is_to_nearest_even(void **)
{
	assert_int_equal(to_bf16(1.0f), 0x3f80);
	assert_int_equal(to_bf16(float_bits(0x3f808000)), 0x3f80); /* a tie, to even */
	assert_int_equal(to_bf16(float_bits(0x3f818000)), 0x3f82);
	assert_int_equal(to_bf16(float_bits(0x3f808001)), 0x3f81);
	assert_int_equal(to_bf16(3.4e38f), 0x7f80); /* beyond the largest */
	assert_true(std::isnan(from_bf16(to_bf16(NAN))));
}

void a_missing_barrier_shows_in_some_order(void **)
{
	float *in = floats(96), *out = floats(96);
	bool wrong = false;
	for (int i = 0; i < 96; i++)
		in[i] = (float)i;
	for (auto o : orders) {
		emu_set_order(o.order, o.seed);
		LAUNCH(reverse_without_barrier, 1, 96, 0, nullptr, out, in);
		for (int i = 0; i < 96; i++)
			wrong |= !(out[i] == (float)(95 - i));
	}
	assert_true(wrong);
	wrong = false;
	for (auto o : orders) {
		emu_set_order(o.order, o.seed);
		LAUNCH(neighbour_without_warp_sync, 1, 32, 0, nullptr, out);
		for (int i = 0; i < 32; i++)
			wrong |= !(out[i] == (float)(i ^ 1));
	}
	assert_true(wrong);
	emu_set_order(EMU_UP, 0);
	emu_free(in);
	emu_free(out);
}

void shared_memory_that_was_never_written_is_nan(void **)
{
	float *out = floats(64);
	LAUNCH(never_written, 2, 64, 0, nullptr, out);
	for (int i = 0; i < 64; i++)
		assert_true(i == 17 ? std::isnan(out[i]) : out[i] == 1);
	emu_free(out);
}

void missing_lanes_are_told_with_the_line(void **)
{
	float *out = floats(64);
	const char *f = fault_of([&] { LAUNCH(lane_missing, 1, 32, 0, nullptr, out); });
	must_contain(f, "lane_missing: ");
	must_contain(f, "warp_xor, but thread 31 has ended");
	f = fault_of([&] { LAUNCH(lanes_apart, 1, 32, 0, nullptr, (int *)out); });
	must_contain(f, "t_emu.cc:");
	must_contain(f, "warp_xor");
	emu_free(out);
}

void different_barriers_are_told_with_both_lines(void **)
{
	int *out = (int *)emu_alloc(64 * 4);
	for (auto o : orders) {
		emu_set_order(o.order, o.seed);
		const char *f = fault_of([&] { LAUNCH(two_barriers, 1, 64, 0, nullptr, out); });
		must_contain(f, "waits at this barrier, thread 32 at");
		f = fault_of([&] { LAUNCH(left_before_barrier, 1, 64, 0, nullptr, out); });
		must_contain(f, "block_sync, but thread 40 has ended");
	}
	emu_set_order(EMU_UP, 0);
	emu_free(out);
}

void overruns_are_found(void **)
{
	float *out = floats(62);
	/* one value past the end, and far past it */
	for (int extra = 1; extra < 9; extra += 7) {
		assert_true(found_in_child(
			[&] { LAUNCH(past_shared, 1, 32, 0, nullptr, out, 63 + extra); }));
		assert_true(found_in_child(
			[&] { LAUNCH(past_dynamic, 1, 32, 62 * 4, nullptr, out, 62 + extra); }));
		assert_true(found_in_child([&] {
			float *p = floats(61);
			LAUNCH(past_global, 1, 32, 0, nullptr, p, 61 + extra);
			emu_free(p);
		}));
	}
	assert_false(found_in_child([&] {
		LAUNCH(past_shared, 1, 32, 0, nullptr, out, 63);
		LAUNCH(past_dynamic, 1, 32, 62 * 4, nullptr, out, 62);
		LAUNCH(past_global, 1, 32, 0, nullptr, out, 62);
	}));
	emu_free(out);
}

void asynchronous_copies_land_only_in_the_wait(void **)
{
	float *in = floats(128), *out = floats(32);
	for (int i = 0; i < 128; i++)
		in[i] = (float)i;
	for (int wait = 0; wait < 3; wait++) {
		LAUNCH(copy_not_waited_for, 1, 32, 0, nullptr, out, in, wait);
		for (int i = 0; i < 32; i++)
			assert_true(wait > 1 ? out[i] == (float)i : std::isnan(out[i]));
	}
	must_contain(fault_of([&] { LAUNCH(copy_left, 1, 32, 0, nullptr, in); }),
	             "an asynchronous copy was never waited for");
	emu_free(in);
	emu_free(out);
}

void misaligned_loads_and_impossible_launches_are_told(void **)
{
	float *in = floats(128), *out = floats(64);
	must_contain(fault_of([&] { LAUNCH(misaligned, 1, 32, 0, nullptr, out, in); }),
	             "not a multiple of 16");
	must_contain(fault_of([&] { LAUNCH(reverse, 1, 95, 0, nullptr, out, in); }), "a launch of");
	must_contain(fault_of([&] { LAUNCH(reverse, 1, 96, 300 << 10, nullptr, out, in); }),
	             "a launch of");
	/* and after all that it still works */
	LAUNCH(reverse, 1, 64, 0, nullptr, out, in);
	assert_string_equal(emu_fault(), "");
	emu_free(in);
	emu_free(out);
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_kernels_give_the_same_in_any_order),
		cmocka_unit_test(shuffles_move_what_cuda_would),
		cmocka_unit_test(mma_and_ldmatrix_follow_the_ptx_layout),
		cmocka_unit_test(rounding_to_bf16_is_to_nearest_even),
		cmocka_unit_test(a_missing_barrier_shows_in_some_order),
		cmocka_unit_test(shared_memory_that_was_never_written_is_nan),
		cmocka_unit_test(missing_lanes_are_told_with_the_line),
		cmocka_unit_test(different_barriers_are_told_with_both_lines),
		cmocka_unit_test(overruns_are_found),
		cmocka_unit_test(asynchronous_copies_land_only_in_the_wait),
		cmocka_unit_test(misaligned_loads_and_impossible_launches_are_told),
	};
	return cmocka_run_group_tests_name("emu", tests, nullptr, nullptr);
}
