/* The training kernels (gpu/k_train.cuh, gpu/k_train_delta.cuh), run thread by thread on the host
 * (gpu/emu.h) or on a device, against twins in double that follow qwen35.md section 4 line by line;
 * gradients against finite differences of those twins. */
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "gpu/k_train.h"
#include "gpu/train_dropout.h"
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

double value(uint16_t v)
{
	return widened(v);
}
double value(float v)
{
	return v;
}

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
			set(p[i], size * d());
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
	vector<double> wide() const
	{
		vector<double> v(n);
		for (size_t i = 0; i < n; i++)
			v[i] = value(p[i]);
		return v;
	}
	static void set(uint16_t &to, double v)
	{
		to = rounded((float)v);
	}
	static void set(float &to, double v)
	{
		to = (float)v;
	}
};

struct order {
	emu_order order;
	uint64_t seed;
} const orders[] = { { EMU_UP, 0 }, { EMU_DOWN, 0 }, { EMU_SEEDED, 1 } };

/* Largest error over largest value; with @step, errors up to that share of a value are none. */
struct close_to {
	double error = 0, size = 0, step = 0;
	void operator()(double got, double want)
	{
		/* a NaN is an error of any size */
		double e = std::fabs(got - want) - step * std::fabs(want);
		error = e <= error ? error : e;
		size = std::fmax(size, std::fabs(want));
	}
	void within(double limit, const char *what) const
	{
		if (!(error <= limit * size)) {
			print_error("%s: error %g of a largest value of %g\n", what, error, size);
			fail();
		}
		assert_true(size > 0);
	}
};
const double BF16 = 1.0 / 256; /* one step, at most */

double sigmoid_of(double v)
{
	return 1 / (1 + std::exp(-v));
}
double silu_of(double v)
{
	return v * sigmoid_of(v);
}

/* d f / d x[i], x as it was afterwards. */
double slope(vector<double> &x, size_t i, double h, const std::function<double()> &f)
{
	double was = x[i];
	x[i] = was + h;
	double up = f();
	x[i] = was - h;
	double down = f();
	x[i] = was;
	return (up - down) / (2 * h);
}

/* ---- DeltaNet ---- */

struct shape {
	int nk, nv, dk, dv, K;
	int channels() const
	{
		return 2 * nk * dk + nv * dv;
	}
};

/* The rule alone, token by token, from q, k, v, g, beta. */
vector<double> twin_rule(const shape &c, const vector<int> &start, const vector<double> &q,
                         const vector<double> &k, const vector<double> &v, const vector<double> &g,
                         const vector<double> &beta)
{
	vector<double> o((size_t)start.back() * c.nv * c.dv);
	for (size_t s = 0; s + 1 < start.size(); s++)
		for (int j = 0; j < c.nv; j++) {
			int kh = j * c.nk / c.nv;
			vector<double> S((size_t)c.dv * c.dk);
			for (int t = start[s]; t < start[s + 1]; t++) {
				const double *qt = &q[((size_t)t * c.nk + kh) * c.dk];
				const double *kt = &k[((size_t)t * c.nk + kh) * c.dk];
				double fade = std::exp(g[(size_t)t * c.nv + j]);
				for (int i = 0; i < c.dv; i++) {
					double *row = &S[(size_t)i * c.dk], sk = 0, sq = 0;
					size_t at = ((size_t)t * c.nv + j) * c.dv + i;
					for (int n = 0; n < c.dk; n++) {
						row[n] *= fade;
						sk += row[n] * kt[n];
					}
					double d = beta[(size_t)t * c.nv + j] * (v[at] - sk);
					for (int n = 0; n < c.dk; n++) {
						row[n] += d * kt[n];
						sq += row[n] * qt[n];
					}
					o[at] = sq;
				}
			}
		}
	return o;
}

struct delta_weights {
	vector<double> conv, a_log, dt_bias, norm;
};

/* The whole mixer; y: rows of u | z | a | b. */
vector<double> twin_mixer(const shape &c, const vector<int> &start, const vector<double> &y, int ld,
                          const delta_weights &w)
{
	int T = start.back(), channels = c.channels(), values = c.nv * c.dv;
	vector<double> q((size_t)T * c.nk * c.dk), k(q), v((size_t)T * values), g((size_t)T * c.nv),
		beta(g);
	for (size_t s = 0; s + 1 < start.size(); s++)
		for (int t = start[s]; t < start[s + 1]; t++) {
			vector<double> x(channels);
			for (int i = 0; i < channels; i++) {
				double sum = 0;
				for (int j = 0; j < c.K; j++) {
					int from = t - (c.K - 1) + j;
					if (from >= start[s])
						sum += w.conv[(size_t)i * c.K + j] *
						       y[(size_t)from * ld + i];
				}
				x[i] = silu_of(sum);
			}
			for (int head = 0; head < 2 * c.nk; head++) {
				double sum = 0;
				for (int i = 0; i < c.dk; i++)
					sum += x[head * c.dk + i] * x[head * c.dk + i];
				double scale = 1 / std::sqrt(sum + 1e-6);
				bool query = head < c.nk;
				if (query)
					scale /= std::sqrt((double)c.dk);
				for (int i = 0; i < c.dk; i++)
					(query ? q
					       : k)[((size_t)t * c.nk + head % c.nk) * c.dk + i] =
						x[head * c.dk + i] * scale;
			}
			for (int i = 0; i < values; i++)
				v[(size_t)t * values + i] = x[2 * c.nk * c.dk + i];
			const double *ab = &y[(size_t)t * ld + channels + values];
			for (int j = 0; j < c.nv; j++) {
				g[(size_t)t * c.nv + j] =
					-std::exp(w.a_log[j]) *
					std::log1p(std::exp(ab[j] + w.dt_bias[j]));
				beta[(size_t)t * c.nv + j] = sigmoid_of(ab[c.nv + j]);
			}
		}
	vector<double> o = twin_rule(c, start, q, k, v, g, beta);
	for (int t = 0; t < T; t++)
		for (int j = 0; j < c.nv; j++) {
			double *at = &o[((size_t)t * c.nv + j) * c.dv], sum = 0;
			for (int i = 0; i < c.dv; i++)
				sum += at[i] * at[i];
			for (int i = 0; i < c.dv; i++)
				at[i] = at[i] / std::sqrt(sum / c.dv + 1e-6) * w.norm[i] *
				        silu_of(y[(size_t)t * ld + channels + j * c.dv + i]);
		}
	return o;
}

/* Every @each-th gradient is compared. */
void check_delta(const shape &c, const vector<int> &start, int each, int n_orders)
{
	draw d = { 7 };
	const int C = TRAIN_CHUNK;
	int T = start.back(), channels = c.channels(), values = c.nv * c.dv;
	int ld = channels + values + 2 * c.nv + 3, ldo = values + 5;
	size_t keys = (size_t)T * c.nk * c.dk, gates = (size_t)T * c.nv;
	vector<int32_t> row, n, chunk;
	guarded<int32_t> first(T);
	for (size_t s = 0; s + 1 < start.size(); s++) {
		chunk.push_back((int32_t)row.size());
		for (int t = start[s]; t < start[s + 1]; t += C) {
			row.push_back(t);
			n.push_back(std::min(C, start[s + 1] - t));
		}
		for (int t = start[s]; t < start[s + 1]; t++)
			first[t] = start[s];
	}
	chunk.push_back((int32_t)row.size());
	guarded<int32_t> chunk_row(row.size()), chunk_n(row.size()), sample_chunk(chunk.size());
	std::copy(row.begin(), row.end(), chunk_row.p);
	std::copy(n.begin(), n.end(), chunk_n.p);
	std::copy(chunk.begin(), chunk.end(), sample_chunk.p);
	size_t places = row.size() * c.nv;
	guarded<uint16_t> y((size_t)T * ld, d, 1), dout((size_t)T * ldo, d, 1);
	guarded<float> conv((size_t)channels * c.K, d, 0.5), a_log(c.nv, d, 0.5),
		dt_bias(c.nv, d, 0.5), norm(c.dv, d, 1);
	const delta_weights w = { conv.wide(), a_log.wide(), dt_bias.wide(), norm.wide() };
	vector<double> wide = y.wide(), up = dout.wide();
	vector<double> want = twin_mixer(c, start, wide, ld, w);
	vector<uint16_t> bits;
	for (int turn = 0; turn < n_orders; turn++) {
		emu_set_order(orders[turn].order, orders[turn].seed);
		guarded<float> q(keys), k(keys), v((size_t)T * values), g(gates), beta(gates),
			W(places * C * c.dk), U(places * C * c.dv), P(places * C * C),
			X(places * C * C), G(places * C), S(places * c.dk * c.dv),
			vn(places * C * c.dv), o((size_t)T * values), d_o((size_t)T * values),
			dS(places * c.dk * c.dv), dvn(places * C * c.dv), dq(keys), d_k(keys),
			d_v((size_t)T * values), dg(gates), dbeta(gates);
		guarded<uint16_t> out((size_t)T * ldo), dy((size_t)T * ld);
		struct delta_train a = {};
		a.n = T;
		a.first = first.p;
		a.chunk_row = chunk_row.p, a.chunk_n = chunk_n.p, a.sample_chunk = sample_chunk.p;
		a.nk = c.nk, a.nv = c.nv, a.dk = c.dk, a.dv = c.dv, a.K = c.K;
		a.eps = 1e-6f;
		a.y = y.p, a.dy = dy.p, a.ld = ld;
		a.conv = conv.p, a.a_log = a_log.p, a.dt_bias = dt_bias.p, a.norm = norm.p;
		a.q = q.p, a.k = k.p, a.v = v.p, a.g = g.p, a.beta = beta.p;
		a.W = W.p, a.U = U.p, a.P = P.p, a.X = X.p, a.G = G.p, a.S = S.p, a.vn = vn.p;
		a.o = o.p, a.out = out.p, a.ldo = ldo;
		a.dout = dout.p, a.ldd = ldo, a.d_o = d_o.p, a.dS = dS.p, a.dvn = dvn.p;
		a.dq = dq.p, a.d_k = d_k.p, a.d_v = d_v.p, a.dg = dg.p, a.dbeta = dbeta.p;
		train_delta_conv(NULL, &a);
		/* in two groups, where there are samples for two */
		int half = (int)start.size() > 2 ? 1 : 0, all = (int)start.size() - 1;
		for (int from = 0; from < all; from += half && from == 0 ? 1 : all - half) {
			int to = half && from == 0 ? 1 : all;
			a.sample0 = from, a.samples = to - from;
			a.chunk0 = chunk[from], a.chunks = chunk[to] - chunk[from];
			a.row0 = start[from], a.rows = start[to] - start[from];
			train_delta_forward(NULL, &a, false);
			train_delta_forward(NULL, &a, true);
			if (to == all)
				train_delta_gate(NULL, &a);
			train_delta_back(NULL, &a);
		}
		assert_string_equal(emu_fault(), "");
		close_to near;
		near.step = BF16;
		for (int t = 0; t < T; t++)
			for (int i = 0; i < values; i++)
				near(widened(out[(size_t)t * ldo + i]),
				     want[(size_t)t * values + i]);
		near.within(1e-4, "out");

		/* the rule's gradients, from the kernels' own q .. d_o */
		vector<double> x[5] = { q.wide(), k.wide(), v.wide(), g.wide(), beta.wide() };
		vector<double> got[5] = { dq.wide(), d_k.wide(), d_v.wide(), dg.wide(),
			                  dbeta.wide() };
		vector<double> weight = d_o.wide();
		static const char *const name[5] = { "dq", "dk", "dv", "dg", "dbeta" };
		for (int part = 0; part < 5 && turn == 0; part++) {
			close_to grad;
			for (size_t i = part; i < x[part].size(); i += each)
				grad(got[part][i], slope(x[part], i, 1e-4, [&] {
					     vector<double> r = twin_rule(c, start, x[0], x[1],
					                                  x[2], x[3], x[4]);
					     double sum = 0;
					     for (size_t m = 0; m < r.size(); m++)
						     sum += r[m] * weight[m];
					     return sum;
				     }));
			grad.within(1e-4, name[part]);
		}
		train_delta_conv_back(NULL, &a);
		assert_string_equal(emu_fault(), "");
		close_to grad[4];
		for (size_t i = 0; i < (size_t)T * ld && turn == 0; i += each + 4) {
			int column = (int)(i % ld);
			int kind = column < channels                       ? 0
			           : column < channels + values            ? 1
			           : column < channels + values + c.nv     ? 2
			           : column < channels + values + 2 * c.nv ? 3
			                                                   : 4;
			if (kind == 4)
				continue;
			grad[kind].step = BF16;
			grad[kind](widened(dy[i]), slope(wide, i, 1e-4, [&] {
					   vector<double> r = twin_mixer(c, start, wide, ld, w);
					   double sum = 0;
					   for (int t = 0; t < T; t++)
						   for (int m = 0; m < values; m++)
							   sum += r[(size_t)t * values + m] *
						                  up[(size_t)t * ldo + m];
					   return sum;
				   }));
		}
		static const char *const kinds[4] = { "du", "dz", "da", "db" };
		for (int kind = 0; kind < 4 && turn == 0; kind++)
			grad[kind].within(3e-4, kinds[kind]);
		vector<uint16_t> now = out.copy(), more = dy.copy();
		now.insert(now.end(), more.begin(), more.end());
		if (turn == 0)
			bits = now;
		assert_true(now == bits);
	}
}

void the_delta_rule_goes_back_as_the_recurrence_does(void **)
{
	check_delta({ 1, 2, 6, 5, 3 }, { 0, 1, 67 }, 37, 3);
}

void the_delta_rule_has_any_shape(void **)
{
	check_delta({ 1, 1, 40, 72, 4 }, { 0, 65 }, 61, 1);
}

/* ---- attention ---- */

void attention_is_split_and_joined_as_the_twin_does(void **)
{
	const int T = 9, H = 4, KV = 2, hd = 10, R = 6, group = H / KV, room = 12;
	const int ld = 2 * H * hd + 2 * KV * hd + 3, ldo = H * hd + 2, starts = 4;
	draw d = { 11 };
	guarded<int32_t> first(T);
	guarded<float> rope((size_t)T * R), qn(hd, d, 0.3), kn(hd, d, 0.3);
	guarded<uint16_t> y((size_t)T * ld, d, 1), dy((size_t)T * ld), out((size_t)T * ldo),
		dout((size_t)T * ldo, d, 1);
	size_t queries = (size_t)KV * room * group * hd, keys = (size_t)KV * room * hd;
	guarded<uint16_t> q(queries), k(keys), o(queries, d, 1), d_o(queries);
	guarded<float> lse((size_t)KV * room * group), dot((size_t)KV * room * group),
		dq(queries, d, 1), dk(keys, d, 1), dv(keys, d, 1);
	for (int t = 0; t < T; t++) {
		first[t] = t < starts ? 0 : starts;
		for (int i = 0; i < R / 2; i++) {
			double angle = t * std::pow(1e4, -2.0 * i / R);
			rope[((size_t)t * (R / 2) + i) * 2] = (float)std::cos(angle);
			rope[((size_t)t * (R / 2) + i) * 2 + 1] = (float)std::sin(angle);
		}
	}
	struct attention_train a = {};
	a.n = T, a.first = first.p, a.H = H, a.KV = KV, a.hd = hd, a.R = R, a.eps = 1e-6f;
	a.rope = rope.p, a.q_norm = qn.p, a.k_norm = kn.p, a.y = y.p, a.dy = dy.p, a.ld = ld;
	a.room = room, a.q = q.p, a.k = k.p, a.o = o.p, a.lse = lse.p, a.out = out.p, a.ldo = ldo;
	a.dout = dout.p, a.ldd = ldo, a.d_o = d_o.p, a.dot = dot.p;
	a.dq = dq.p, a.dk = dk.p, a.dv = dv.p;
	vector<double> wide = y.wide();
	/* value @i of head @head of token @t (query heads, then key heads), turned and scaled */
	auto turned = [&](int t, int head) {
		bool query = head < H;
		const double *x = &wide[(size_t)t * ld +
		                        (query ? head * 2 * hd : 2 * H * hd + (head - H) * hd)];
		vector<double> v(hd), r;
		double sum = 0;
		for (int i = 0; i < hd; i++)
			sum += x[i] * x[i];
		for (int i = 0; i < hd; i++)
			v[i] = x[i] / std::sqrt(sum / hd + 1e-6) *
			       (1 + (double)(query ? qn : kn)[i]) /
			       (query ? std::sqrt((double)hd) : 1);
		r = v;
		for (int i = 0; i < R / 2; i++) {
			const float *e = &rope[((size_t)(t - first[t]) * (R / 2) + i) * 2];
			r[i] = v[i] * e[0] - v[i + R / 2] * e[1];
			r[i + R / 2] = v[i + R / 2] * e[0] + v[i] * e[1];
		}
		return r;
	};
	auto place = [&](int t, int head) {
		int kv = head < H ? head / group : head - H;
		return head < H ? (((size_t)kv * room + t) * group + head % group) * hd
		                : ((size_t)kv * room + t) * hd;
	};
	vector<uint16_t> bits;
	for (const order &turn : orders) {
		emu_set_order(turn.order, turn.seed);
		train_attention_split(NULL, &a);
		train_attention_gate(NULL, &a);
		train_attention_gate_back(NULL, &a);
		train_attention_split_back(NULL, &a);
		assert_string_equal(emu_fault(), "");
		vector<uint16_t> now;
		for (int t = 0; t < T; t++)
			now.insert(now.end(), dy.p + (size_t)t * ld,
			           dy.p + (size_t)t * ld + 2 * (H + KV) * hd);
		if (bits.empty())
			bits = now;
		assert_true(bits == now);
	}
	close_to split, gate, d_gate, d_split, dots, rest;
	split.step = gate.step = d_gate.step = d_split.step = rest.step = BF16;
	for (int t = 0; t < T; t++) {
		for (int head = 0; head < H + KV; head++) {
			vector<double> want = turned(t, head);
			size_t at = place(t, head);
			for (int i = 0; i < hd; i++)
				split(widened((head < H ? q : k)[at + i]), want[i]);
			size_t from = (size_t)t * ld +
			              (head < H ? head * 2 * hd : 2 * H * hd + (head - H) * hd);
			for (int i = 0; i < hd; i++)
				d_split(widened(dy[from + i]), slope(wide, from + i, 1e-5, [&] {
						vector<double> r = turned(t, head);
						double sum = 0;
						for (int m = 0; m < hd; m++)
							sum += r[m] * (head < H ? dq : dk)[at + m];
						return sum;
					}));
		}
		for (int kv = 0; kv < KV; kv++)
			for (int i = 0; i < hd; i++)
				rest(widened(dy[(size_t)t * ld + (2 * H + KV + kv) * hd + i]),
				     dv[((size_t)kv * room + t) * hd + i]);
		for (int head = 0; head < H; head++) {
			double sum = 0;
			for (int i = 0; i < hd; i++) {
				double g = wide[(size_t)t * ld + head * 2 * hd + hd + i];
				double s = sigmoid_of(g), v = widened(o[place(t, head) + i]);
				double up = widened(dout[(size_t)t * ldo + head * hd + i]);
				gate(widened(out[(size_t)t * ldo + head * hd + i]), v * s);
				d_gate(widened(dy[(size_t)t * ld + head * 2 * hd + hd + i]),
				       up * v * s * (1 - s));
				rest(widened(d_o[place(t, head) + i]), up * s);
				sum += widened(d_o[place(t, head) + i]) * v;
			}
			dots(dot[place(t, head) / hd], sum);
		}
	}
	split.within(1e-6, "q, k");
	gate.within(1e-6, "out");
	d_gate.within(1e-6, "gates' gradient");
	d_split.within(1e-5, "dq, dk");
	rest.within(1e-6, "dv, do");
	dots.within(1e-5, "sums of do o");
}

void weights_see_no_key_after_their_own(void **)
{
	const int H = 2, KV = 1, group = 2, room = 80, n = 11, from = 4, tokens = 8, keys = 64;
	const int row0 = 3, ld = keys, rows = tokens * group;
	draw d = { 12 };
	guarded<float> s((size_t)rows * ld, d, 2), dp((size_t)rows * ld, d, 1),
		lse((size_t)room * group), dot((size_t)room * group, d, 1);
	guarded<uint16_t> p((size_t)rows * ld), again((size_t)rows * ld), ds((size_t)rows * ld);
	struct attention_train a = {};
	a.H = H, a.KV = KV, a.room = room, a.lse = lse.p, a.dot = dot.p;
	struct attention_strip x = {};
	x.row0 = row0, x.n = n, x.from = from, x.tokens = tokens, x.keys = keys;
	x.s = s.p, x.dp = dp.p, x.p = p.p, x.ds = ds.p, x.ld = ld;
	for (const order &turn : orders) {
		emu_set_order(turn.order, turn.seed);
		x.p = p.p;
		train_softmax(NULL, &a, &x);
		x.p = again.p;
		train_softmax_back(NULL, &a, &x);
		assert_string_equal(emu_fault(), "");
		assert_true(p.copy() == again.copy());
		close_to weight, sum_log, grad;
		weight.step = grad.step = BF16;
		for (int r = 0; r < rows; r++) {
			int token = from + r / group, seen = token < n ? token + 1 : 0;
			size_t at = ((size_t)row0 + token) * group + r % group;
			double sum = 0;
			for (int i = 0; i < seen; i++)
				sum += std::exp((double)s[(size_t)r * ld + i]);
			if (seen)
				sum_log(lse[at], std::log(sum));
			for (int i = 0; i < keys; i++) {
				size_t j = (size_t)r * ld + i;
				double want = i < seen ? std::exp((double)s[j]) / sum : 0;
				weight(widened(p[j]), want);
				grad(widened(ds[j]),
				     i < seen ? want * ((double)dp[j] - dot[at]) : 0);
				if (i >= seen)
					assert_true(p[j] == 0 && ds[j] == 0);
			}
		}
		weight.within(1e-5, "weights");
		sum_log.within(1e-6, "log of sums");
		grad.within(1e-5, "gradient of scores");
	}
}

/* ---- row by row ---- */

void norms_go_there_and_back(void **)
{
	const int rows = 4, h = 300, ld = 304;
	draw d = { 13 };
	guarded<float> x((size_t)5 * ld, d, 2), w(h, d, 0.3), dx((size_t)5 * ld, d, 1);
	guarded<uint16_t> out((size_t)rows * ld), dy((size_t)rows * ld, d, 1), dxb((size_t)5 * ld);
	guarded<int32_t> row(rows);
	const int32_t which[rows] = { 3, -1, 0, 4 };
	std::copy(which, which + rows, row.p);
	vector<double> wide = x.wide();
	auto twin = [&](int r) {
		vector<double> v(h);
		double sum = 0;
		for (int i = 0; i < h; i++)
			sum += wide[(size_t)r * ld + i] * wide[(size_t)r * ld + i];
		for (int i = 0; i < h; i++)
			v[i] = wide[(size_t)r * ld + i] / std::sqrt(sum / h + 1e-6) *
			       (1 + (double)w[i]);
		return v;
	};
	vector<float> dx0 = dx.copy(), first;
	for (const order &turn : orders) {
		emu_set_order(turn.order, turn.seed);
		std::copy(dx0.begin(), dx0.end(), dx.p);
		train_norm(NULL, out.p, ld, x.p, ld, row.p, w.p, rows, h, 1e-6f);
		train_norm_back(NULL, dx.p, ld, dxb.p, ld, dy.p, ld, x.p, row.p, w.p, rows, h,
		                1e-6f);
		assert_string_equal(emu_fault(), "");
		if (first.empty())
			first = dx.copy();
		assert_memory_equal(first.data(), dx.p, first.size() * sizeof(float));
	}
	close_to norm, grad;
	norm.step = BF16;
	for (int i = 0; i < rows; i++) {
		int r = which[i];
		if (r < 0) {
			assert_true(out[(size_t)i * ld + 7] == 0);
			continue;
		}
		vector<double> want = twin(r);
		for (int j = 0; j < h; j++)
			norm(widened(out[(size_t)i * ld + j]), want[j]);
		for (int j = 0; j < h; j += 41) {
			size_t at = (size_t)r * ld + j;
			grad(dx[at], dx0[at] + slope(wide, at, 1e-4, [&] {
					     vector<double> v = twin(r);
					     double sum = 0;
					     for (int m = 0; m < h; m++)
						     sum += v[m] * widened(dy[(size_t)i * ld + m]);
					     return sum;
				     }));
			assert_true(dxb[at] == rounded(dx[at]));
		}
	}
	norm.within(1e-6, "norm");
	grad.within(1e-5, "gradient");
	assert_memory_equal(&dx[ld], &dx0[ld], 2 * ld * sizeof(float)); /* rows 1 and 2 */
}

void silu_and_dropout_go_there_and_back(void **)
{
	const int rows = 3, width = 2056, ld = 2 * width + 8, ldm = width + 16, in = 70;
	const float p = 0.25f;
	draw d = { 14 };
	guarded<uint16_t> gu((size_t)rows * ld, d, 2), m((size_t)rows * ldm),
		dm((size_t)rows * ldm, d, 1), dgu((size_t)rows * ld);
	emu_set_order(EMU_SEEDED, 5);
	train_silu_mul(NULL, m.p, ldm, gu.p, ld, width, rows);
	train_silu_back(NULL, dgu.p, dm.p, ldm, gu.p, ld, width, rows);
	assert_string_equal(emu_fault(), "");
	close_to there, back;
	there.step = back.step = BF16;
	for (int t = 0; t < rows; t++)
		for (int i = 0; i < width; i++) {
			double g = widened(gu[(size_t)t * ld + i]);
			double u = widened(gu[(size_t)t * ld + width + i]);
			double up = widened(dm[(size_t)t * ldm + i]), s = sigmoid_of(g);
			there(widened(m[(size_t)t * ldm + i]), silu_of(g) * u);
			back(widened(dgu[(size_t)t * ld + i]), up * u * s * (1 + g * (1 - s)));
			back(widened(dgu[(size_t)t * ld + width + i]), up * g * s);
		}
	there.within(1e-6, "silu(gate) up");
	back.within(1e-6, "gradient");

	guarded<uint16_t> out((size_t)rows * in), dx((size_t)rows * in, d, 1);
	vector<uint16_t> before = dx.copy();
	uint64_t key = train_dropout_key(3, 1, 2);
	train_drop(NULL, out.p, in, gu.p, ld, rows, in, key, p);
	train_drop_add(NULL, dx.p, in, gu.p, ld, rows, in, key, p);
	assert_string_equal(emu_fault(), "");
	int dropped = 0;
	for (int t = 0; t < rows; t++)
		for (int i = 0; i < in; i++) {
			size_t at = (size_t)t * in + i;
			bool gone = train_dropped(key, t, in, i, p);
			double v = gone ? 0 : widened(gu[(size_t)t * ld + i]) / (1 - (double)p);
			dropped += gone;
			assert_true(std::fabs(widened(out[at]) - v) <= BF16 * std::fabs(v));
			double sum = widened(before[at]) + v;
			assert_true(std::fabs(widened(dx[at]) - sum) <=
			            BF16 * std::fabs(sum) + 1e-6);
		}
	assert_in_range(dropped, 30, 75); /* of 210 */
}

void losses_and_their_gradients_are_the_twins(void **)
{
	const int rows = 3, V = 700, ld = 704, T = 9;
	draw d = { 15 };
	guarded<float> logits((size_t)rows * ld, d, 5), coef(T, d, 1), logp(T);
	guarded<int32_t> label(rows), row(rows);
	guarded<uint16_t> dl((size_t)rows * ld);
	const int32_t labels[rows] = { 699, 0, 13 }, which[rows] = { 8, -1, 2 };
	std::copy(labels, labels + rows, label.p);
	std::copy(which, which + rows, row.p);
	for (int t = 0; t < T; t++)
		logp[t] = 77;
	for (const order &turn : orders) {
		emu_set_order(turn.order, turn.seed);
		train_loss(NULL, logits.p, ld, V, label.p, row.p, coef.p, logp.p, dl.p, ld, rows);
		assert_string_equal(emu_fault(), "");
		close_to near, grad;
		grad.step = BF16;
		for (int i = 0; i < rows; i++) {
			double sum = 0;
			for (int j = 0; j < V; j++)
				sum += std::exp((double)logits[(size_t)i * ld + j]);
			for (int j = 0; j < V; j++) {
				double c = which[i] < 0 ? 0 : coef[which[i]];
				double share = std::exp((double)logits[(size_t)i * ld + j]) / sum;
				grad(widened(dl[(size_t)i * ld + j]),
				     c * ((j == labels[i]) - share));
			}
			if (which[i] >= 0)
				near(logp[which[i]],
				     (double)logits[(size_t)i * ld + labels[i]] - std::log(sum));
		}
		near.within(1e-6, "log-probabilities");
		grad.within(1e-5, "gradient of logits");
		assert_true(logp[0] == 77);
	}
}

/* ---- parameters ---- */

void a_step_of_adamw_is_the_formula(void **)
{
	const int n = 3000;
	draw d = { 16 };
	guarded<float> p(n, d, 1), g(n, d, 1), m(n, d, 0.1), v(n);
	guarded<double> norm(1 + TRAIN_SQUARES);
	double sum = 0;
	for (int i = 0; i < n; i++) {
		v[i] = (float)std::fabs(d());
		sum += (double)g[i] * g[i];
	}
	train_squares(NULL, norm.p, norm.p + 1, g.p, n);
	assert_string_equal(emu_fault(), "");
	assert_true(std::fabs(norm[0] / sum - 1) < 1e-12);
	vector<double> p0 = p.wide(), m0 = m.wide(), v0 = v.wide();
	struct adamw_train a = {};
	a.p = p.p, a.g = g.p, a.m = m.p, a.v = v.p, a.n = n;
	a.lr = 0.01, a.beta1 = 0.9, a.beta2 = 0.99, a.eps = 1e-8, a.decay = 0.1, a.scale = 0.5;
	a.correction1 = 1 - std::pow(0.9, 3), a.correction2 = 1 - std::pow(0.99, 3);
	train_adamw(NULL, &a);
	guarded<uint16_t> bf((size_t)30 * 110);
	guarded<struct train_copy> table(1);
	table[0] = { p.p, bf.p, 30, 100, 110, 2.0f };
	train_refresh(NULL, table.p, 1);
	assert_string_equal(emu_fault(), "");
	for (int i = 0; i < n; i++) {
		double gi = (double)g[i] * 0.5;
		double mi = 0.9 * m0[i] + (1 - 0.9) * gi, vi = 0.99 * v0[i] + (1 - 0.99) * gi * gi;
		double want = p0[i] * (1 - 0.01 * 0.1) -
		              0.01 * (mi / a.correction1) / (std::sqrt(vi / a.correction2) + 1e-8);
		assert_true(std::fabs(p[i] - want) <= 1e-7 * (std::fabs(want) + 1e-3));
		assert_true(std::fabs(m[i] - mi) <= 1e-7 * (std::fabs(mi) + 1e-3));
		assert_true(std::fabs(v[i] - vi) <= 1e-7 * (std::fabs(vi) + 1e-3));
		assert_true(bf[(size_t)(i / 100) * 110 + i % 100] == rounded(2 * p[i]));
	}
}

} // namespace

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_delta_rule_goes_back_as_the_recurrence_does),
		cmocka_unit_test(the_delta_rule_has_any_shape),
		cmocka_unit_test(attention_is_split_and_joined_as_the_twin_does),
		cmocka_unit_test(weights_see_no_key_after_their_own),
		cmocka_unit_test(norms_go_there_and_back),
		cmocka_unit_test(silu_and_dropout_go_there_and_back),
		cmocka_unit_test(losses_and_their_gradients_are_the_twins),
		cmocka_unit_test(a_step_of_adamw_is_the_formula),
	};
	emu_keep_faults(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
