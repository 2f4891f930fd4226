/* The prefill kernels (gpu/k_prefill.cuh), run thread by thread on the host (gpu/emu.h), against
 * twins in double that follow qwen35.md section 4 line by line. */
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "gpu/k_prefill.h"
#include "gpu/random_weight.h"
#include "tests/device_memory.h"

using std::vector;

namespace
{

struct draw {
	uint64_t state;
	double operator()() /* about N(0, 1): four uniforms */
	{
		double sum = 0;
		for (int i = 0; i < 4; i++) {
			state = state * 6364136223846793005ull + 1442695040888963407ull;
			sum += (double)(state >> 40) / (1 << 24);
		}
		return (sum - 2) * std::sqrt(3.0);
	}
};

/* "Device" memory that the emulation guards. */
template <class T>
struct guarded {
	T *p;
	size_t n;
	explicit guarded(size_t count) : p((T *)emu_alloc(count * sizeof(T))), n(count)
	{
	}
	guarded(size_t count, draw &d, double size) : guarded(count)
	{
		for (size_t i = 0; i < n; i++)
			p[i] = (T)(size * d());
	}
	guarded(const guarded &) = delete;
	~guarded()
	{
		emu_free(p);
	}
	T &operator[](size_t i)
	{
		return p[i];
	}
	vector<T> copy() const
	{
		return vector<T>(p, p + n);
	}
};

struct order {
	emu_order order;
	uint64_t seed;
} const orders[] = { { EMU_UP, 0 }, { EMU_DOWN, 0 }, { EMU_SEEDED, 1 } };

double widened(uint16_t v)
{
	uint32_t bits = (uint32_t)v << 16;
	float f;
	memcpy(&f, &bits, 4);
	return f;
}

uint16_t rounded(float f)
{
	uint32_t bits;
	memcpy(&bits, &f, 4);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

double both(guarded<uint16_t> &high, guarded<uint16_t> &low, size_t i)
{
	return widened(high[i]) + widened(low[i]);
}

/* Largest error over largest value. */
struct close_to {
	double error = 0, size = 0;
	void operator()(double got, double want)
	{
		/* a NaN is an error of any size */
		double e = std::fabs(got - want);
		error = e <= error ? error : e;
		size = std::fmax(size, std::fabs(want));
	}
	void within(double limit, const char *what) const
	{
		if (!(error <= limit * size)) {
			print_error("%s: error %g of a largest value of %g\n", what, error, size);
			fail();
		}
	}
};

double silu_of(double v)
{
	return v / (1 + std::exp(-v));
}

/* ---- DeltaNet ---- */

struct shape {
	int nk, nv, dk, dv, K;
};

/* Everything between in_proj and out_proj, token by token. @state [nv][dv][dk], @past: the K - 1
 * tokens before, [K - 1][channels], oldest first. */
void twin_delta(const shape &c, int T, const float *y, int ld, const float *conv,
                const float *a_log, const float *dt_bias, const float *norm, double eps,
                vector<double> &state, vector<double> &past, vector<double> &out)
{
	int channels = 2 * c.nk * c.dk + c.nv * c.dv;
	out.assign((size_t)T * c.nv * c.dv, 0);
	for (int t = 0; t < T; t++) {
		const float *row = y + (size_t)t * ld;
		vector<double> v(channels);
		for (int i = 0; i < channels; i++) {
			double sum = conv[i * c.K + c.K - 1] * (double)row[i];
			for (int j = 0; j + 1 < c.K; j++)
				sum += conv[i * c.K + j] * past[(size_t)j * channels + i];
			v[i] = silu_of(sum);
		}
		past.erase(past.begin(), past.begin() + channels);
		past.insert(past.end(), row, row + channels);
		for (int head = 0; head < 2 * c.nk; head++) {
			double sum = 0, *x = &v[(size_t)head * c.dk];
			for (int i = 0; i < c.dk; i++)
				sum += x[i] * x[i];
			double scale = 1 / std::sqrt(sum + 1e-6);
			if (head < c.nk)
				scale /= std::sqrt((double)c.dk);
			for (int i = 0; i < c.dk; i++)
				x[i] *= scale;
		}
		for (int j = 0; j < c.nv; j++) {
			int kh = j * c.nk / c.nv;
			const double *q = &v[(size_t)kh * c.dk],
				     *k = &v[(size_t)(c.nk + kh) * c.dk],
				     *x = &v[(size_t)2 * c.nk * c.dk + (size_t)j * c.dv];
			double a = row[channels + j] + (double)dt_bias[j];
			double g = -std::exp((double)a_log[j]) * std::log1p(std::exp(a));
			double beta = 1 / (1 + std::exp(-(double)row[channels + c.nv + j]));
			vector<double> o(c.dv);
			double square = 0;
			for (int i = 0; i < c.dv; i++) {
				double *S = &state[((size_t)j * c.dv + i) * c.dk], sk = 0, sq = 0;
				for (int n = 0; n < c.dk; n++) {
					S[n] *= std::exp(g);
					sk += S[n] * k[n];
				}
				for (int n = 0; n < c.dk; n++) {
					S[n] += beta * (x[i] - sk) * k[n];
					sq += S[n] * q[n];
				}
				o[i] = sq;
				square += sq * sq;
			}
			for (int i = 0; i < c.dv; i++) {
				double z = row[channels + 2 * c.nv + j * c.dv + i];
				out[((size_t)t * c.nv + j) * c.dv + i] =
					o[i] / std::sqrt(square / c.dv + eps) * norm[i] *
					silu_of(z);
			}
		}
	}
}

/* Feeds pieces of a sequence and compares outputs after each and the state in the end. */
void check_delta(const shape &c, const vector<int> &pieces, double correlation, double limit)
{
	draw d = { 7 };
	int channels = 2 * c.nk * c.dk + c.nv * c.dv, ring_rows = 16 + c.K - 1;
	int width = channels + 2 * c.nv, rows = width + c.nv * c.dv, dkp = (c.dk + 3) / 4 * 4;
	int ld = (rows + 15) / 16 * 16, ldo = (c.nv * c.dv + 31) / 32 * 32;
	guarded<float> conv((size_t)channels * c.K, d, 0.5), a_log(c.nv, d, 0.5),
		dt_bias(c.nv, d, 0.5), norm(c.dv, d, 1), ring((size_t)ring_rows * width),
		state((size_t)c.nv * c.dv * dkp);
	vector<double> twin_state((size_t)c.nv * c.dv * c.dk), past((size_t)(c.K - 1) * channels);
	for (size_t i = 0; i < state.n; i++)
		state[i] = 0;
	int position = 0;
	for (size_t piece = 0; piece < pieces.size(); piece++) {
		int T = pieces[piece];
		guarded<float> y((size_t)T * ld, d, 1);
		/* keys that look alike are the hard case for the inverse */
		for (int t = 1; t < T; t++)
			for (int i = 0; i < channels; i++)
				y[(size_t)t * ld + i] =
					(float)(correlation * y[i] +
				                std::sqrt(1 - correlation * correlation) *
				                        y[(size_t)t * ld + i]);
		vector<double> want;
		twin_delta(c, T, y.p, ld, conv.p, a_log.p, dt_bias.p, norm.p, 1e-6, twin_state,
		           past, want);
		vector<float> state0 = state.copy(), ring0 = ring.copy();
		vector<uint16_t> first;
		for (const order &o : orders) {
			emu_set_order(o.order, o.seed);
			std::copy(state0.begin(), state0.end(), state.p);
			std::copy(ring0.begin(), ring0.end(), ring.p);
			guarded<uint16_t> high((size_t)T * ldo), low((size_t)T * ldo);
			guarded<float> scratch(prefill_delta_scratch(T, c.nk, c.nv, c.dk, c.dv));
			struct delta_piece a = {};
			a.T = T;
			a.position = position;
			a.nk = c.nk, a.nv = c.nv, a.dk = c.dk, a.dv = c.dv, a.K = c.K;
			a.dkp = dkp;
			a.eps = 1e-6f;
			a.y = y.p;
			a.ld = ld;
			a.conv = conv.p, a.a_log = a_log.p, a.dt_bias = dt_bias.p, a.norm = norm.p;
			a.ring = ring.p;
			a.ring_rows = ring_rows, a.ring_ld = width;
			a.state = state.p;
			a.exact = limit < 5e-5;
			a.scratch = scratch.p;
			a.high = high.p, a.low = low.p, a.ldo = ldo;
			prefill_delta(NULL, &a);
			assert_string_equal(emu_fault(), "");
			close_to near;
			vector<uint16_t> bits;
			for (int t = 0; t < T; t++)
				for (int i = 0; i < c.nv * c.dv; i++) {
					near(both(high, low, (size_t)t * ldo + i),
					     want[(size_t)t * c.nv * c.dv + i]);
					bits.push_back(high[(size_t)t * ldo + i]);
					bits.push_back(low[(size_t)t * ldo + i]);
				}
			near.within(limit, "o");
			if (first.empty())
				first = bits;
			assert_true(first == bits);
		}
		position += T;
	}
	close_to near;
	for (int r = 0; r < c.nv * c.dv; r++)
		for (int i = 0; i < dkp; i++)
			near(state[(size_t)r * dkp + i],
			     i < c.dk ? twin_state[(size_t)r * c.dk + i] : 0.0);
	near.within(limit, "state");
	for (int t = 1; t < c.K && t <= position; t++)
		for (int i = 0; i < channels; i++)
			assert_true(ring[(size_t)((position - t) % ring_rows) * width + i] ==
			            (float)past[(size_t)(c.K - 1 - t) * channels + i]);
}

const shape tiny = { 2, 4, 16, 24, 4 };

void chunks_equal_the_recurrence(void **)
{
	for (int T : { 1, 63, 64, 65, 130 })
		check_delta(tiny, { T }, 0, 1e-4);
}

void a_piece_goes_on_from_state_and_window(void **)
{
	check_delta(tiny, { 2, 70, 1, 64, 21 }, 0, 1e-4);
}

void chunks_bear_keys_that_look_alike(void **)
{
	check_delta(tiny, { 130 }, 0.95, 1e-4);
	check_delta(tiny, { 66 }, 0.95, 2e-5); /* exact */
}

void chunks_have_any_shape(void **)
{
	check_delta({ 1, 1, 128, 128, 4 }, { 65 }, 0, 1e-4);
	check_delta({ 1, 2, 18, 40, 2 }, { 66 }, 0, 1e-4);
	check_delta({ 4, 4, 32, 32, 4 }, { 64, 3 }, 0.9, 1e-4);
}

/* ---- attention ---- */

struct heads {
	int H, KV, hd, R;
};

template <bool F32>
void check_attention(const heads &c, const vector<int> &pieces, double limit)
{
	draw d = { 11 };
	int hdp = (c.hd + 7) / 8 * 8, rows = (2 * c.H + 2 * c.KV) * c.hd, total = 0;
	int ld = (rows + 15) / 16 * 16, ldo = (c.H * c.hd + 31) / 32 * 32;
	for (int n : pieces)
		total += n;
	int n_pages = (total + 63) / 64;
	size_t page = (size_t)c.KV * 64 * hdp;
	typedef typename std::conditional<F32, float, uint16_t>::type element;
	guarded<element> kp(page * (n_pages + 1)), vp(page * (n_pages + 1));
	guarded<int32_t> pages(n_pages);
	for (int i = 0; i < n_pages; i++) /* not in order */
		pages[i] = n_pages - i;
	guarded<float> rope((size_t)total * c.R), qn(c.hd, d, 0.3), kn(c.hd, d, 0.3);
	for (int t = 0; t < total; t++)
		for (int i = 0; i < c.R / 2; i++) {
			double angle = t * std::pow(1e4, -2.0 * i / c.R);
			rope[((size_t)t * (c.R / 2) + i) * 2] = (float)std::cos(angle);
			rope[((size_t)t * (c.R / 2) + i) * 2 + 1] = (float)std::sin(angle);
		}
	auto turned = [&](const float *x, float *w, int position) {
		vector<double> v(c.hd), o(c.hd);
		double sum = 0;
		for (int i = 0; i < c.hd; i++)
			sum += (double)x[i] * x[i];
		for (int i = 0; i < c.hd; i++)
			v[i] = x[i] / std::sqrt(sum / c.hd + 1e-6) * (1 + (double)w[i]);
		o = v;
		for (int i = 0; i < c.R / 2; i++) {
			const float *r = &rope[((size_t)position * (c.R / 2) + i) * 2];
			o[i] = v[i] * r[0] - v[i + c.R / 2] * r[1];
			o[i + c.R / 2] = v[i + c.R / 2] * r[0] + v[i] * r[1];
		}
		return o;
	};
	auto stored = [&](double v) { return F32 ? v : widened(rounded((float)v)); };
	vector<vector<double>> keys, values; /* [position * KV + head] */
	int position = 0;
	for (int T : pieces) {
		guarded<float> y((size_t)T * ld, d, 1);
		for (int t = 0; t < T; t++)
			for (int h = 0; h < c.KV; h++) {
				const float *k = &y[(size_t)t * ld + (size_t)(2 * c.H + h) * c.hd];
				vector<double> key = turned(k, kn.p, position + t), value(c.hd);
				for (int i = 0; i < c.hd; i++) {
					key[i] = stored(key[i]);
					value[i] = stored(k[(size_t)c.KV * c.hd + i]);
				}
				keys.push_back(key);
				values.push_back(value);
			}
		vector<double> want;
		for (int t = 0; t < T; t++)
			for (int h = 0; h < c.H; h++) {
				const float *row = &y[(size_t)t * ld + (size_t)h * 2 * c.hd];
				vector<double> q = turned(row, qn.p, position + t), w, o(c.hd);
				double top = -1e300, sum = 0;
				int kv = h * c.KV / c.H;
				for (int s = 0; s <= position + t; s++) {
					double dot = 0;
					for (int i = 0; i < c.hd; i++)
						dot += q[i] * keys[(size_t)s * c.KV + kv][i];
					w.push_back(dot / std::sqrt((double)c.hd));
					top = std::fmax(top, w.back());
				}
				for (size_t s = 0; s < w.size(); s++) {
					w[s] = std::exp(w[s] - top);
					sum += w[s];
					for (int i = 0; i < c.hd; i++)
						o[i] += w[s] * values[s * c.KV + kv][i];
				}
				for (int i = 0; i < c.hd; i++)
					want.push_back(o[i] / sum /
					               (1 + std::exp(-(double)row[c.hd + i])));
			}
		vector<uint16_t> first;
		for (const order &o : orders) {
			emu_set_order(o.order, o.seed);
			guarded<float> q_turned((size_t)T * c.H * c.hd);
			guarded<uint16_t> high((size_t)T * ldo), low((size_t)T * ldo);
			struct attention_piece a = {};
			a.T = T;
			a.position = position;
			a.H = c.H, a.KV = c.KV, a.hd = c.hd, a.hdp = hdp, a.R = c.R;
			a.eps = 1e-6f;
			a.rope = rope.p;
			a.q = y.p;
			a.k = y.p + (size_t)2 * c.H * c.hd;
			a.v = a.k + (size_t)c.KV * c.hd;
			a.ld = ld;
			a.q_norm = qn.p, a.k_norm = kn.p;
			a.pages = pages.p;
			a.k_pages = kp.p, a.v_pages = vp.p;
			a.f32 = F32;
			a.q_turned = q_turned.p;
			a.high = high.p, a.low = low.p, a.ldo = ldo;
			prefill_attend(NULL, &a);
			assert_string_equal(emu_fault(), "");
			close_to near;
			vector<uint16_t> bits;
			for (int t = 0; t < T; t++)
				for (int i = 0; i < c.H * c.hd; i++) {
					near(both(high, low, (size_t)t * ldo + i),
					     want[(size_t)t * c.H * c.hd + i]);
					bits.push_back(high[(size_t)t * ldo + i]);
				}
			near.within(limit, "attention");
			if (first.empty())
				first = bits;
			assert_true(first == bits);
		}
		position += T;
	}
}

/* In bf16 a key that f32 and f64 round apart is one bf16 step off, which is not the kernel's
 * error: hence the wider limit there. */
void attention_equals_its_twin(void **)
{
	for (int T : { 1, 63, 64, 65, 130 }) {
		check_attention<true>({ 4, 2, 32, 8 }, { T }, 3e-5);
		check_attention<false>({ 4, 2, 32, 8 }, { T }, 1e-3);
	}
}

void attention_goes_on_over_pages(void **)
{
	check_attention<true>({ 4, 1, 32, 8 }, { 3, 64, 1, 61, 30 }, 3e-5);
	check_attention<false>({ 4, 1, 32, 8 }, { 3, 64, 1, 61, 30 }, 1e-3);
}

void attention_has_any_shape(void **)
{
	check_attention<false>({ 4, 1, 256, 64 }, { 20, 14 }, 1e-3);
	check_attention<true>({ 2, 2, 72, 16 }, { 40, 3 }, 3e-5);
	check_attention<false>({ 3, 1, 20, 4 }, { 70 }, 1e-3);
}

/* ---- element-wise ---- */

void norm_and_silu_split_high_and_low(void **)
{
	draw d = { 3 };
	int T = 3, h = 70, ld = 96;
	guarded<float> x((size_t)T * ld, d, 2), w(h, d, 0.4);
	guarded<uint16_t> high((size_t)T * ld), low((size_t)T * ld);
	prefill_norm(NULL, high.p, low.p, ld, x.p, ld, w.p, T, h, 1e-6f);
	assert_string_equal(emu_fault(), "");
	close_to near;
	for (int t = 0; t < T; t++) {
		double sum = 0;
		for (int i = 0; i < h; i++)
			sum += (double)x[t * ld + i] * x[t * ld + i];
		for (int i = 0; i < h; i++)
			near(both(high, low, t * ld + i),
			     x[t * ld + i] / std::sqrt(sum / h + 1e-6) * (1 + (double)w[i]));
	}
	near.within(1e-5, "norm");
	int I = 40;
	prefill_silu_mul(NULL, high.p, low.p, ld, x.p, x.p + 48, ld, T, I);
	assert_string_equal(emu_fault(), "");
	close_to near_silu;
	for (int t = 0; t < T; t++)
		for (int i = 0; i < I; i++)
			near_silu(both(high, low, t * ld + i),
			          silu_of(x[t * ld + i]) * x[t * ld + 48 + i]);
	near_silu.within(1e-5, "silu");
}

void an_adapter_adds_what_it_should(void **)
{
	draw d = { 5 };
	for (int rank : { 1, 6, 33 }) {
		int T = 37, rows = 70, ldt = 48, ldy = 80;
		guarded<float> y((size_t)T * ldy, d, 1), t((size_t)T * ldt, d, 1),
			b((size_t)rows * rank, d, 1);
		vector<float> before = y.copy();
		prefill_lora(NULL, y.p, ldy, t.p, ldt, b.p, rows, rank, T, 1.5f);
		assert_string_equal(emu_fault(), "");
		close_to near;
		for (int i = 0; i < T; i++)
			for (int r = 0; r < ldy; r++) {
				double want = before[(size_t)i * ldy + r];
				for (int k = 0; k < rank && r < rows; k++)
					want += 1.5 * t[(size_t)i * ldt + k] *
					        b[(size_t)r * rank + k];
				near(y[(size_t)i * ldy + r], want);
			}
		near.within(3e-6, "adapter");
	}
}

void rows_are_fetched_and_weights_made_up(void **)
{
	draw d = { 9 };
	guarded<float> x(5 * 16, d, 1), out(3 * 16);
	guarded<int32_t> row(3);
	row[0] = 4, row[1] = 0, row[2] = 4;
	prefill_gather(NULL, out.p, 16, x.p, 16, row.p, 3, 13);
	assert_string_equal(emu_fault(), "");
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 13; j++)
			assert_true(out[i * 16 + j] == x[row[i] * 16 + j]);
	guarded<uint16_t> w(4 * 32);
	prefill_fill(NULL, w.p, 4, 20, 32, 77);
	guarded<float> e(3 * 24);
	prefill_embed(NULL, e.p, 24, row.p + 1, w.p, NULL, 32, 1, 20);
	assert_string_equal(emu_fault(), "");
	for (int i = 0; i < 4 * 32; i++)
		assert_int_equal(
			w[i], i % 32 < 20 ? rounded(random_weight(77, i / 32 * 20 + i % 32)) : 0);
	for (int i = 0; i < 20; i++)
		assert_true(e[i] == widened(w[i]));
	assert_string_equal(emu_fault(), "");
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_equal_the_recurrence),
		cmocka_unit_test(a_piece_goes_on_from_state_and_window),
		cmocka_unit_test(chunks_bear_keys_that_look_alike),
		cmocka_unit_test(chunks_have_any_shape),
		cmocka_unit_test(attention_equals_its_twin),
		cmocka_unit_test(attention_goes_on_over_pages),
		cmocka_unit_test(attention_has_any_shape),
		cmocka_unit_test(norm_and_silu_split_high_and_low),
		cmocka_unit_test(an_adapter_adds_what_it_should),
		cmocka_unit_test(rows_are_fetched_and_weights_made_up),
	};
	emu_keep_faults(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
