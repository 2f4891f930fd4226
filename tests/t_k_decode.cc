/* The decode stages (gpu/k_*.cuh), thread by thread on the host (gpu/emu.h) or, compiled by nvcc,
 * on a device: against twins in double, and against themselves where bits must be equal. */
#include <csetjmp>
#include <cfloat>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

extern "C" {
#include <cmocka.h>
#include "gpu/sampler.h"
}

#include "gpu/kernels.h"
#include "tests/device_memory.h"

using std::vector;

namespace
{

/* ---- helpers ---- */

struct random_source {
	uint64_t state;
	double uniform()
	{
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		return (double)(state >> 11) / 9007199254740992.0;
	}
	double normal()
	{
		double sum = 0;
		for (int i = 0; i < 4; i++)
			sum += uniform();
		return (sum - 2) * std::sqrt(3.0);
	}
};

/* Device memory that goes away with its block. */
template <class T>
struct device {
	T *p;
	size_t n;
	explicit device(size_t count) : p((T *)emu_alloc(count * sizeof(T))), n(count)
	{
	}
	device(const device &) = delete;
	device &operator=(const device &) = delete;
	~device()
	{
		emu_free(p);
	}
	void fill(T v)
	{
		for (size_t i = 0; i < n; i++)
			p[i] = v;
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

/* What was queued is done, without a fault. */
void done()
{
	const char *fault = emu_fault();
	if (*fault)
		fail_msg("%s", fault);
}

const struct {
	emu_order order;
	uint64_t seed;
} orders[] = {
	{ EMU_UP, 0 }, { EMU_DOWN, 0 }, { EMU_SEEDED, 1 }, { EMU_SEEDED, 2 }, { EMU_SEEDED, 3 }
};

float widened(uint16_t v)
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

double sigmoid_of(double v)
{
	return 1 / (1 + std::exp(-v));
}

/* Largest error over largest value. */
struct closeness {
	double error = 0, size = 0;
	void operator()(double got, double want)
	{
		double e = std::fabs(got - want);
		error = e <= error ? error : e; /* a NaN stays */
		size = std::fmax(size, std::fabs(want));
	}
	void within(double limit, const char *what) const
	{
		if (!(error <= limit * size))
			fail_msg("%s: error %g of a largest value of %g", what, error, size);
	}
};

bool same(const vector<float> &a, const vector<float> &b)
{
	return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

int padded(int n, int to)
{
	return (n + to - 1) / to * to;
}

const double F32 = 3e-6, BF16_STEP = 1.0 / 256;

struct k_tuning tuning(int processors, int fused_max)
{
	struct k_tuning t;
	memset(&t, 0, sizeof(t));
	t.processors = processors;
	t.fused_max = fused_max;
	return t;
}

/* ---- weight streaming ---- */

struct matrix {
	device<uint16_t> high, low;
	int rows, k, ld;
	bool two;
	matrix(int arows, int ak, bool parts, double size, random_source &r)
	    : high((size_t)padded(arows, 16) * padded(ak, 32)), low(parts ? high.n : 8),
	      rows(arows), k(ak), ld(padded(ak, 32)), two(parts)
	{
		high.fill(0);
		low.fill(0);
		for (int i = 0; i < rows; i++)
			for (int j = 0; j < k; j++) {
				float v = (float)(r.normal() * size);
				high[(size_t)i * ld + j] = rounded(v);
				if (two)
					low[(size_t)i * ld + j] = rounded(v - widened(rounded(v)));
			}
	}
	double at(int i, int j)
	{
		size_t n = (size_t)i * ld + j;
		return (double)widened(high[n]) + (two ? (double)widened(low[n]) : 0);
	}
	struct k_matrix view()
	{
		struct k_matrix m = { high.p, two ? low.p : nullptr, rows, k, ld };
		return m;
	}
};

struct stream_case {
	const char *name;
	int rows, k;
	k_prologue prologue;
	k_epilogue epilogue;
	bool precise, low_weights, lora;
	int dim;
};

/* A matrix with all that stands around it, for columns of fixed identity: column values depend on
 * their number alone, so that any of them can be computed alone or together. */
struct streaming {
	enum { ALL = 64, RING = 32, SLOTS = 3, ADAPTERS = 3 };
	stream_case c;
	random_source r;
	matrix w;
	int ld, out_rows, ld_y;
	vector<float> x, z, y0; /* [ALL][...] */
	device<float> norm, in_x, in_z, y, ring, t, partial;
	device<uint16_t> high, low, out_high, out_low;
	device<uint32_t> counter;
	device<k_step> step;
	vector<matrix *> lora_a;
	vector<device<float> *> lora_b;
	device<k_adapter_stage> table;
	static constexpr int T_ROWS = 48;

	explicit streaming(const stream_case &a)
	    : c(a), r{ (uint64_t)a.rows * 1000 + (uint64_t)a.k },
	      w(a.rows, a.k, a.low_weights, 1 / std::sqrt((double)a.k), r), ld(padded(a.k, 32)),
	      out_rows(a.epilogue == K_SILU_MUL ? a.rows / 2 : a.rows), ld_y(padded(a.rows, 4)),
	      x((size_t)ALL * a.k), z((size_t)ALL * a.k), y0((size_t)ALL * ld_y), norm((size_t)a.k),
	      in_x((size_t)ALL * padded(a.k, 4)), in_z((size_t)ALL * padded(a.k, 4)),
	      y((size_t)ALL * ld_y), ring((size_t)SLOTS * RING * ld_y),
	      t((size_t)K_DISTINCT * T_ROWS * K_COLUMNS),
	      partial((size_t)k_stream_scratch(a.rows, ALL) + 4), high((size_t)ALL * ld),
	      low((size_t)ALL * ld), out_high((size_t)ALL * padded(out_rows, 32)),
	      out_low(out_high.n), counter((size_t)k_stream_counters(a.rows)), step(1),
	      table(ADAPTERS * 2)
	{
		for (auto &v : x)
			v = (float)r.normal();
		for (auto &v : z)
			v = (float)r.normal();
		for (auto &v : y0)
			v = (float)r.normal();
		for (size_t i = 0; i < norm.n; i++)
			norm[i] = (float)(0.3 * r.normal());
		counter.fill(0);
		memset(table.p, 0, sizeof(*table.p) * table.n);
		for (int i = 1; i < ADAPTERS; i++) { /* number 0: an adapter with nothing here */
			k_adapter_stage &s = table[(size_t)i * 2 + 1];
			int rank[2] = { 4 * i + 1, 16 * i - 3 }, half = a.rows / 2;
			lora_a.push_back(new matrix(rank[0] + rank[1], a.k, true,
			                            1 / std::sqrt((double)a.k), r));
			s.a = lora_a.back()->view();
			s.n = 2;
			for (int j = 0; j < 2; j++) {
				s.segment[j].row = j ? half : 0;
				s.segment[j].rows = j ? a.rows - half : half;
				s.segment[j].rank = rank[j];
				s.segment[j].at = j ? rank[0] : 0;
				s.segment[j].scale = 0.5f + (float)j;
				auto b = new device<float>(
					(size_t)s.segment[j].rows * (size_t)rank[j] + 1);
				for (size_t n = 0; n < b->n; n++)
					(*b)[n] = (float)r.normal();
				s.segment[j].b = b->p;
				lora_b.push_back(b);
			}
		}
	}
	~streaming()
	{
		for (auto m : lora_a)
			delete m;
		for (auto b : lora_b)
			delete b;
	}

	/* Mix of column @id: none, one, or two adapters. */
	void mix_of(int id, k_column *column)
	{
		column->n_mix = c.lora ? id % 3 : 0;
		for (int p = 0; p < column->n_mix; p++) {
			column->mix[p].distinct = (id + p) % ADAPTERS;
			column->mix[p].weight = 1.0f - 0.25f * (float)p;
		}
	}

	struct k_stream args()
	{
		struct k_stream a;
		memset(&a, 0, sizeof(a));
		a.step = step.p;
		a.w = w.view();
		a.prologue = c.prologue;
		a.epilogue = c.epilogue;
		a.in.high = high.p;
		a.in.low = c.precise ? low.p : nullptr;
		a.in.ld = ld;
		a.in_x = in_x.p;
		a.ld_in_x = padded(c.k, 4);
		a.norm = norm.p;
		a.z = in_z.p;
		a.ld_z = padded(c.k, 4);
		a.dim = c.dim;
		a.eps = 1e-6f;
		a.precise = c.precise;
		a.y = y.p;
		a.ld_y = ld_y;
		a.split = c.rows / 3;
		a.ring = ring.p;
		a.ring_slot = (int64_t)RING * ld_y;
		a.ring_rows = RING;
		a.ld_ring = ld_y;
		a.out.high = out_high.p;
		a.out.low = c.precise ? out_low.p : nullptr;
		a.out.ld = padded(out_rows, 32);
		if (c.lora) {
			a.lora.table = table.p + 1;
			a.lora.stride = 2;
			a.lora.t_rows = T_ROWS;
			a.lora.t = t.p;
		}
		a.partial = partial.p;
		a.counter = counter.p;
		return a;
	}

	/* Results of the columns @ids, one after the other. */
	vector<float> run(const vector<int> &ids, int bound, const k_tuning &tune)
	{
		int n = (int)ids.size();
		k_step *s = step.p;
		memset(s, 0, sizeof(*s));
		s->n_columns = s->n_rows = n;
		s->n_adapters = ADAPTERS;
		for (int i = 0; i < ADAPTERS; i++)
			s->adapter[i] = i;
		high.fill(c.prologue == K_READY ? 0 : 0xffff);
		low.fill(c.prologue == K_READY ? 0 : 0xffff);
		t.fill(NAN);
		ring.fill(NAN);
		partial.fill(NAN);
		out_high.fill(0);
		out_low.fill(0);
		for (int i = 0; i < n; i++) {
			int id = ids[(size_t)i], from = c.epilogue == K_LOGITS ? n - 1 - i : i;
			s->row[i] = from; /* logits: rows in another order than columns */
			s->column[i].slot = id % SLOTS;
			s->column[i].position = 5 + 7 * (id / SLOTS);
			mix_of(id, &s->column[i]);
			for (int k = 0; k < c.k; k++) {
				float v = x[(size_t)id * c.k + k];
				in_x[(size_t)from * padded(c.k, 4) + k] = v;
				in_z[(size_t)from * padded(c.k, 4) + k] = z[(size_t)id * c.k + k];
				if (c.prologue == K_READY) {
					high[(size_t)i * ld + k] = rounded(v);
					low[(size_t)i * ld + k] = rounded(v - widened(rounded(v)));
				}
			}
			for (int k = 0; k < ld_y; k++)
				y[(size_t)i * ld_y + k] =
					c.epilogue == K_ADD ? y0[(size_t)id * ld_y + k] : NAN;
		}
		struct k_stream a = args();
		queue_stream(&a, bound, &tune, nullptr);
		done();
		vector<float> out;
		for (int i = 0; i < n; i++)
			for (int row = 0; row < out_rows; row++)
				out.push_back(value(i, row));
		return out;
	}

	float value(int i, int row)
	{
		const k_column &column = step[0].column[i];
		if (c.epilogue == K_SILU_MUL) {
			size_t at = (size_t)i * padded(out_rows, 32) + row;
			return widened(out_high[at]) + (c.precise ? widened(out_low[at]) : 0);
		}
		if (c.epilogue == K_SPLIT && row < c.rows / 3)
			return ring[((size_t)column.slot * RING + column.position % RING) * ld_y +
			            row];
		return y[(size_t)i * ld_y + (c.epilogue == K_SPLIT ? row - c.rows / 3 : row)];
	}

	/* What the matrix is fed, from the definition. */
	vector<double> input(int id)
	{
		vector<double> v((size_t)c.k);
		const float *from = &x[(size_t)id * c.k];
		int dim = c.prologue == K_GATED ? c.dim : c.k;
		for (int at = 0; at < c.k; at += dim) {
			double sum = 0;
			for (int i = 0; i < dim; i++)
				sum += (double)from[at + i] * from[at + i];
			double scale = 1 / std::sqrt(sum / dim + 1e-6);
			for (int i = 0; i < dim; i++) {
				double gate = z[(size_t)id * c.k + at + i];
				v[(size_t)(at + i)] =
					c.prologue == K_READY ? (double)from[at + i]
					: c.prologue == K_RMS
						? from[at + i] * scale *
							  (1.0 + norm[(size_t)(at + i)])
						: from[at + i] * scale * norm[(size_t)i] * gate *
							  sigmoid_of(gate);
			}
		}
		return v;
	}

	/* The step's results against the twin, fed with what the prologue left (which is compared
	 * with its definition first). */
	void compare(const vector<int> &ids, const vector<float> &got)
	{
		closeness prologue, product;
		for (size_t i = 0; i < ids.size(); i++) {
			vector<double> want_x = input(ids[i]), fed((size_t)c.k);
			double scale = 0;
			for (double v : want_x)
				scale = std::fmax(scale, std::fabs(v));
			for (int k = 0; k < c.k; k++) {
				fed[(size_t)k] = widened(high[i * ld + k]);
				if (c.precise)
					fed[(size_t)k] += widened(low[i * ld + k]);
				double e = std::fabs(fed[(size_t)k] - want_x[(size_t)k]);
				double limit = c.precise
				                       ? 2e-5 * std::fabs(want_x[(size_t)k]) + 1e-6
				                       : BF16_STEP * std::fabs(want_x[(size_t)k]);
				if (!(e <= limit + 1e-30))
					fail_msg("%s: prologue, column %zu, value %d: %g, not %g",
					         c.name, i, k, fed[(size_t)k], want_x[(size_t)k]);
			}
			for (int k = c.k; k < ld; k++)
				assert_int_equal(high[i * ld + k], 0);
			vector<double> plain((size_t)c.rows);
			for (int row = 0; row < c.rows; row++) {
				double sum = 0;
				for (int k = 0; k < c.k; k++)
					sum += w.at(row, k) * fed[(size_t)k];
				plain[(size_t)row] = sum;
			}
			const k_column &column = step[0].column[i];
			for (int p = 0; p < column.n_mix; p++) {
				int number = column.mix[p].distinct;
				const k_adapter_stage &s = table[(size_t)number * 2 + 1];
				for (int j = 0; j < s.n; j++)
					for (int q = 0; q < s.segment[j].rank; q++) {
						double along = 0;
						for (int k = 0; k < c.k; k++)
							along += lora_a[(size_t)number - 1]->at(
									 s.segment[j].at + q, k) *
							         fed[(size_t)k];
						for (int row = 0; row < s.segment[j].rows; row++)
							plain[(size_t)(s.segment[j].row + row)] +=
								column.mix[p].weight *
								s.segment[j].scale * along *
								s.segment[j]
									.b[row * s.segment[j].rank +
							                   q];
					}
			}
			for (int row = 0; row < out_rows; row++) {
				double want = plain[(size_t)row];
				if (c.epilogue == K_SILU_MUL)
					want *= sigmoid_of(want) * plain[(size_t)(row + out_rows)];
				if (c.epilogue == K_ADD)
					want += y0[(size_t)ids[i] * ld_y + row];
				product(got[i * (size_t)out_rows + (size_t)row], want);
			}
		}
		bool coarse = c.epilogue == K_SILU_MUL && !c.precise;
		product.within(coarse ? BF16_STEP : c.epilogue == K_SILU_MUL ? 1e-5 : F32, c.name);
	}
};

/* rows in multiples of 8 where they come in pairs */
const stream_case stream_cases[] = {
	{ "plain", 48, 64, K_READY, K_STORE, false, false, false, 0 },
	{ "odd rows and K", 37, 100, K_RMS, K_STORE, false, true, false, 0 },
	{ "ring", 77, 64, K_RMS, K_SPLIT, true, false, true, 0 },
	{ "gated, residual", 64, 96, K_GATED, K_ADD, false, false, true, 24 },
	{ "gated, precise", 40, 96, K_GATED, K_ADD, true, true, true, 24 },
	{ "gate and up", 320, 64, K_RMS, K_SILU_MUL, false, false, true, 0 },
	{ "gate and up, precise", 80, 288, K_RMS, K_SILU_MUL, true, false, false, 0 },
	{ "head", 200, 128, K_RMS, K_LOGITS, false, false, false, 0 },
	{ "more chunks than slices", 16, 33, K_READY, K_ADD, true, false, true, 0 },
	{ "rows of three row blocks", 150, 544, K_READY, K_STORE, false, true, true, 0 },
};

vector<int> range(int from, int n)
{
	vector<int> v;
	for (int i = 0; i < n; i++)
		v.push_back((from + i) % streaming::ALL);
	return v;
}

void streaming_equals_its_twin_at_every_width(void **)
{
	for (const stream_case &c : stream_cases) {
		streaming s(c);
		for (int n : { 1, 8, 13, 33 }) {
			vector<int> ids = range(n, n);
			vector<float> got = s.run(ids, n, tuning(132, 0));
			s.compare(ids, got);
		}
	}
}

void a_column_has_the_same_bits_alone_and_in_any_company(void **)
{
	for (const stream_case &c : stream_cases) {
		streaming s(c);
		vector<float> all = s.run(range(0, 64), 64, tuning(2, 0));
		size_t rows = (size_t)s.out_rows;
		for (int n : { 1, 3, 8, 12, 40 }) {
			/* the bound (tiles), the processors (splits) and fused_max (where the
			 * prologue is done) differ, and do not show */
			int from = 63 - n, bound = n % 2 ? n : n < 8 ? 8 : 64;
			vector<float> some = s.run(range(from, n), bound,
			                           tuning(n % 2 ? 132 : 5, n % 3 ? 8 : 0));
			vector<float> part(all.begin() + (long)((size_t)from * rows),
			                   all.begin() + (long)((size_t)(from + n) * rows));
			if (!same(some, part))
				fail_msg("%s: %d columns of a bound of %d", c.name, n, bound);
		}
	}
}

void streaming_gives_the_same_bits_in_every_order(void **)
{
	int turn = 0;
	for (const stream_case &c : stream_cases) {
		streaming s(c);
		for (int n : { turn % 2 ? 11 : 3, turn % 4 == 2 ? 50 : 1 }) {
			vector<float> first;
			for (auto o : orders) {
				emu_set_order(o.order, o.seed);
				vector<float> got = s.run(range(1, n), n, tuning(9, 8));
				if (first.empty())
					first = got;
				if (!same(first, got))
					fail_msg("%s: %d columns, order %d", c.name, n, o.order);
			}
			emu_set_order(EMU_UP, 0);
		}
		turn++;
	}
}

void streaming_holds_at_the_real_widths(void **)
{
	const stream_case real[] = {
		{ "9B in-projection", 32, 4096, K_RMS, K_SPLIT, false, false, false, 0 },
		{ "9B gate and up", 16, 4096, K_RMS, K_SILU_MUL, true, false, false, 0 },
		{ "9B down", 16, 12288, K_READY, K_ADD, false, false, false, 0 },
		{ "2B out", 16, 2048, K_GATED, K_ADD, false, false, false, 128 },
	};
	for (const stream_case &c : real) {
		streaming s(c);
		vector<float> all = s.run(range(0, 17), 17, tuning(132, 0));
		s.compare(range(0, 17), all);
		vector<float> one = s.run(range(7, 1), 1, tuning(132, 1));
		assert_true(memcmp(one.data(), &all[7 * (size_t)s.out_rows],
		                   sizeof(float) * one.size()) == 0);
	}
}

void embedding_takes_the_given_or_the_picked_token(void **)
{
	random_source r = { 5 };
	matrix table(50, 40, true, 1, r);
	device<int32_t> slot_token(3);
	device<float> x(4 * 40);
	device<k_step> step(1);
	memset(step.p, 0, sizeof(*step.p));
	slot_token[0] = 11;
	slot_token[1] = 49;
	slot_token[2] = -1; /* no pick could be made: some row, nothing out of bounds */
	step[0].n_columns = 4;
	int ids[] = { -1, 7, -1, -1 }, slots[] = { 1, 1, 0, 2 }, want[] = { 49, 7, 11, 0 };
	for (int i = 0; i < 4; i++) {
		step[0].column[i].id = ids[i];
		step[0].column[i].slot = slots[i];
	}
	struct k_embed a = { step.p, table.view(), slot_token.p, x.p, 40 };
	struct k_tuning t = tuning(132, 8);
	queue_embed(&a, 64, &t, nullptr);
	done();
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 40; k++)
			assert_true(x[(size_t)i * 40 + k] == (float)table.at(want[i], k));
}

void the_yardstick_reads_everything_once(void **)
{
	device<uint32_t> words(4 * 5003), sum(1);
	uint32_t want = 0;
	for (size_t i = 0; i < words.n; i++)
		want += words[i] = (uint32_t)(i * 2654435761u);
	for (int blocks : { 1, 3, 40 }) {
		struct k_sweep a = { words.p, (int64_t)words.n * 4, sum.p };
		struct k_tuning t = tuning(132, 8);
		sum[0] = 0;
		queue_sweep(&a, blocks, &t, nullptr);
		done();
		assert_true(sum[0] == want);
	}
}

/* ---- gated DeltaNet ---- */

struct delta_shape {
	int nk, nv, dk, dv, conv;
};

struct delta_model {
	enum { RING = 32, SLOTS = 3, STATES = 4 };
	delta_shape c;
	int channels, ld_ring, dkp;
	int64_t stride;
	device<float> ring, conv, a_log, dt_bias, state, o;
	device<k_step> step;

	explicit delta_model(const delta_shape &a)
	    : c(a), channels(2 * a.nk * a.dk + a.nv * a.dv),
	      ld_ring(padded(channels + 2 * a.nv, 4)), dkp(padded(a.dk, 4)),
	      stride((int64_t)a.nv * a.dv * dkp + 8), ring((size_t)SLOTS * RING * ld_ring),
	      conv((size_t)channels * a.conv), a_log((size_t)a.nv), dt_bias((size_t)a.nv),
	      state((size_t)(STATES * stride)), o((size_t)K_COLUMNS * a.nv * a.dv), step(1)
	{
		random_source r = { (uint64_t)(a.dk * 100 + a.dv) };
		for (size_t i = 0; i < conv.n; i++)
			conv[i] = (float)(0.5 * r.normal());
		for (size_t i = 0; i < a_log.n; i++) {
			a_log[i] = (float)r.normal();
			dt_bias[i] = (float)r.normal();
		}
		memset(step.p, 0, sizeof(*step.p));
	}
	/* u, a, b of token @p of the sequence in @slot: the same whenever asked. */
	vector<float> token(int slot, int p) const
	{
		random_source r = { (uint64_t)(slot * 1000 + p) * 77 + 1 };
		vector<float> v((size_t)channels + 2 * (size_t)c.nv);
		for (auto &f : v)
			f = (float)r.normal();
		return v;
	}
	void put(int slot, int p)
	{
		vector<float> v = token(slot, p);
		memcpy(&ring[((size_t)slot * RING + (size_t)p % RING) * (size_t)ld_ring], v.data(),
		       sizeof(float) * v.size());
	}
	void clear_state(int s)
	{
		for (int64_t i = 0; i < stride; i++)
			state[(size_t)(s * stride + i)] = 0;
	}
	struct k_delta args(bool with_o)
	{
		struct k_delta a;
		memset(&a, 0, sizeof(a));
		a.step = step.p;
		a.ring = ring.p;
		a.ring_slot = (int64_t)RING * ld_ring;
		a.ring_rows = RING;
		a.ld_ring = ld_ring;
		a.conv = conv.p;
		a.a_log = a_log.p;
		a.dt_bias = dt_bias.p;
		a.state = state.p;
		a.state_stride = stride;
		a.nk = c.nk;
		a.nv = c.nv;
		a.dk = c.dk;
		a.dv = c.dv;
		a.conv_k = c.conv;
		a.o = with_o ? o.p : nullptr;
		a.ld_o = c.nv * c.dv;
		return a;
	}
	/* @groups as given; outputs of column @i to @o. */
	void run(const vector<k_group> &groups, int bound, bool with_o = true)
	{
		step[0].n_groups = (int)groups.size();
		for (size_t i = 0; i < groups.size(); i++)
			step[0].group[i] = groups[i];
		o.fill(NAN);
		struct k_delta a = args(with_o);
		struct k_tuning t = tuning(132, 8);
		queue_delta(&a, bound, &t, nullptr);
		done();
	}
	vector<float> out(int column) const
	{
		size_t n = (size_t)c.nv * (size_t)c.dv;
		return vector<float>(o.p + (size_t)column * n, o.p + (size_t)(column + 1) * n);
	}
	vector<float> state_of(int s) const
	{
		return vector<float>(state.p + s * stride,
		                     state.p + s * stride + (int64_t)c.nv * c.dv * dkp);
	}
};

/* Walks token @p; S [nv][dv][dk]. */
vector<double> twin_delta(const delta_model &m, int slot, int p, vector<double> &S)
{
	const delta_shape &c = m.c;
	vector<double> act((size_t)m.channels), o((size_t)c.nv * c.dv);
	vector<vector<float>> u;
	for (int j = 0; j < c.conv; j++)
		u.push_back(p - (c.conv - 1) + j >= 0 ? m.token(slot, p - (c.conv - 1) + j)
		                                      : vector<float>());
	for (int n = 0; n < m.channels; n++) {
		double sum = 0;
		for (int j = 0; j < c.conv; j++)
			if (!u[(size_t)j].empty())
				sum += (double)m.conv.p[n * c.conv + j] *
				       (double)u[(size_t)j][(size_t)n];
		act[(size_t)n] = sum * sigmoid_of(sum);
	}
	const vector<float> &now = u.back();
	for (int h = 0; h < c.nv; h++) {
		int kh = h * c.nk / c.nv;
		double qq = 0, kk = 0;
		const double *q = &act[(size_t)(kh * c.dk)];
		const double *k = &act[(size_t)((c.nk + kh) * c.dk)];
		const double *v = &act[(size_t)(2 * c.nk * c.dk + h * c.dv)];
		for (int i = 0; i < c.dk; i++) {
			qq += q[i] * q[i];
			kk += k[i] * k[i];
		}
		qq = 1 / std::sqrt(qq + 1e-6) / std::sqrt((double)c.dk);
		kk = 1 / std::sqrt(kk + 1e-6);
		double beta = sigmoid_of(now[(size_t)(m.channels + c.nv + h)]);
		double in = (double)now[(size_t)(m.channels + h)] + (double)m.dt_bias.p[h];
		double g = -std::exp((double)m.a_log.p[h]) * std::log1p(std::exp(in));
		for (int r = 0; r < c.dv; r++) {
			double *row = &S[(size_t)((h * c.dv + r) * c.dk)], along = 0, sum = 0;
			for (int i = 0; i < c.dk; i++) {
				row[i] *= std::exp(g);
				along += row[i] * k[i] * kk;
			}
			double d = beta * (v[r] - along);
			for (int i = 0; i < c.dk; i++) {
				row[i] += k[i] * kk * d;
				sum += row[i] * q[i] * qq;
			}
			o[(size_t)(h * c.dv + r)] = sum;
		}
	}
	return o;
}

k_group group_of(int slot, int column, int n, int position, int from, int to, int replay, int store)
{
	k_group g = { slot, column, n, position, from, to, replay, store };
	return g;
}

const delta_shape delta_shapes[] = {
	{ 2, 4, 16, 24, 4 },   /* the oracle's tiny model */
	{ 1, 2, 128, 128, 4 }, /* one key head of 9B */
	{ 1, 1, 20, 17, 2 },   { 1, 3, 64, 16, 1 }, { 1, 1, 200, 5, 8 },
};

void the_delta_step_equals_its_twin(void **)
{
	for (const delta_shape &c : delta_shapes) {
		delta_model m(c);
		closeness outs, states;
		vector<double> S[2];
		for (int s = 0; s < 2; s++) {
			S[s].assign((size_t)(c.nv * c.dv * c.dk), 0);
			m.clear_state(s + 1);
		}
		int tokens = c.dk == 128 ? 6 : 36; /* more than the ring has rows */
		for (int p = 0; p < tokens; p++) {
			m.put(0, p);
			m.put(2, p);
			m.run({ group_of(0, 0, 1, p, 1, 1, 0, 1),
			        group_of(2, 1, 1, p, 2, 2, 0, 1) },
			      64);
			for (int s = 0; s < 2; s++) {
				vector<double> want = twin_delta(m, 2 * s, p, S[s]);
				vector<float> got = m.out(s);
				for (size_t i = 0; i < want.size(); i++)
					outs(got[i], want[i]);
			}
		}
		for (int s = 0; s < 2; s++) {
			vector<float> got = m.state_of(s + 1);
			for (int row = 0; row < c.nv * c.dv; row++)
				for (int i = 0; i < m.dkp; i++) {
					float v = got[(size_t)(row * m.dkp + i)];
					if (i >= c.dk)
						assert_true(v == 0);
					else
						states(v, S[s][(size_t)(row * c.dk + i)]);
				}
		}
		outs.within(F32, "outputs");
		states.within(F32, "state");
	}
}

/* Plain decode, then the same tokens in windows that are cut back, replayed later, with writes put
 * off: equal bits everywhere. */
void windows_and_replays_give_the_bits_of_plain_decode(void **)
{
	for (const delta_shape &c : { delta_shapes[0], delta_shapes[2] }) {
		delta_model m(c);
		vector<vector<float>> plain, states;
		m.clear_state(0);
		for (int p = 0; p < 20; p++) {
			m.put(1, p);
			m.run({ group_of(1, 0, 1, p, 0, 0, 0, 1) }, 1);
			plain.push_back(m.out(0));
			states.push_back(m.state_of(0));
		}
		/* A window of 6 at 0 of which 4 are kept, one of 8 of which 1 is, one of 9 whole;
		 * what was not kept is overwritten with other tokens' rows first. */
		m.clear_state(2);
		int position = 0, replay = 0;
		const int window[] = { 6, 8, 9 }, kept[] = { 4, 1, 9 };
		for (int w = 0; w < 3; w++) {
			for (int i = 0; i < window[w]; i++)
				m.put(1, position + i);
			m.run({ group_of(1, 3, window[w], position, 2, 2, replay,
			                 replay ? replay : -1) },
			      1);
			for (int i = 0; i < window[w]; i++)
				assert_true(same(m.out(3 + i), plain[(size_t)(position + i)]));
			if (replay)
				assert_true(same(m.state_of(2), states[(size_t)(position - 1)]));
			position += kept[w];
			replay = kept[w];
		}
		/* To another state, without outputs: what a snapshot or a cut back slot needs. */
		m.run({ group_of(1, 0, 0, position, 2, 3, replay, replay) }, 1, false);
		assert_true(same(m.state_of(3), states[(size_t)(position - 1)]));
		/* Writes put off: three tokens walked at each step, written at the third. */
		m.clear_state(2);
		for (int p = 0; p < 9; p++) {
			int waiting = p % 3;
			m.put(1, p);
			m.run({ group_of(1, 0, 1, p, 2, 2, waiting, waiting == 2 ? 3 : -1) }, 1);
			assert_true(same(m.out(0), plain[(size_t)p]));
		}
		assert_true(same(m.state_of(2), states[8]));
	}
}

void the_delta_step_gives_the_same_bits_in_every_order_and_company(void **)
{
	delta_model m(delta_shapes[0]);
	vector<float> first, alone;
	for (auto o : orders) {
		emu_set_order(o.order, o.seed);
		for (int s = 0; s < 3; s++)
			m.clear_state(s);
		for (int p = 0; p < 5; p++) {
			for (int s = 0; s < 3; s++)
				m.put(s, p);
			m.run({ group_of(0, 0, 1, p, 0, 0, 0, 1), group_of(1, 1, 1, p, 1, 1, 0, 1),
			        group_of(2, 2, 1, p, 2, 2, 0, 1) },
			      8);
		}
		vector<float> got = m.out(2), state = m.state_of(2);
		got.insert(got.end(), state.begin(), state.end());
		if (first.empty())
			first = got;
		assert_true(same(first, got));
	}
	emu_set_order(EMU_UP, 0);
	m.clear_state(0);
	for (int p = 0; p < 5; p++)
		m.run({ group_of(2, 0, 1, p, 0, 0, 0, 1) }, 1);
	alone = m.out(0);
	vector<float> state = m.state_of(0);
	alone.insert(alone.end(), state.begin(), state.end());
	assert_true(same(first, alone));
}

/* ---- attention ---- */

struct attention_shape {
	int heads, kv_heads, hd, rotary;
	bool f32;
};

struct attention_model {
	enum { SLOTS = 4 };
	attention_shape c;
	int hdp, context, pages, parts, ld_qkv, ld_out;
	device<float> qkv, q_norm, k_norm, rope, partial, kv;
	device<int32_t> table;
	device<uint32_t> counter;
	device<uint16_t> high, low;
	device<k_step> step;

	attention_model(const attention_shape &a, int tokens)
	    : c(a), hdp(padded(a.hd, 8)), context(tokens), pages((tokens + 63) / 64),
	      parts(k_attention_parts(tokens)),
	      ld_qkv(padded(2 * a.heads * a.hd + 2 * a.kv_heads * a.hd, 4)),
	      ld_out(padded(a.heads * a.hd, 32)), qkv((size_t)K_COLUMNS * ld_qkv),
	      q_norm((size_t)a.hd), k_norm((size_t)a.hd), rope((size_t)tokens * a.rotary),
	      partial((size_t)k_attention_scratch(K_COLUMNS, a.heads, a.kv_heads, a.hd, parts)),
	      kv((size_t)2 * SLOTS * pages * a.kv_heads * 64 * hdp), table((size_t)SLOTS * pages),
	      counter((size_t)K_COLUMNS * a.kv_heads * 8), high((size_t)K_COLUMNS * ld_out),
	      low(high.n), step(1)
	{
		random_source r = { (uint64_t)(a.hd * 10 + a.heads) };
		for (size_t i = 0; i < q_norm.n; i++) {
			q_norm[i] = (float)(0.2 * r.normal());
			k_norm[i] = (float)(0.2 * r.normal());
		}
		for (int p = 0; p < tokens; p++)
			for (int i = 0; i < a.rotary / 2; i++) {
				double angle = p * std::pow(1e4, -2.0 * i / a.rotary);
				rope[(size_t)(p * a.rotary + 2 * i)] = (float)std::cos(angle);
				rope[(size_t)(p * a.rotary + 2 * i + 1)] = (float)std::sin(angle);
			}
		/* pages of slots lie mixed: slot s has page number (pages - 1 - i) SLOTS + s */
		for (int s = 0; s < SLOTS; s++)
			for (int i = 0; i < pages; i++)
				table[(size_t)(s * pages + i)] = (pages - 1 - i) * SLOTS + s;
		counter.fill(0);
		memset(step.p, 0, sizeof(*step.p));
	}
	/* Row of the in-projection of token @p of @slot. */
	vector<float> token(int slot, int p) const
	{
		random_source r = { (uint64_t)(slot * 100000 + p) * 131 + 7 };
		vector<float> v((size_t)(2 * c.heads * c.hd + 2 * c.kv_heads * c.hd));
		for (auto &f : v)
			f = (float)r.normal();
		return v;
	}
	/* N and RoPE from the definition. */
	vector<double> turned(const float *x, const float *norm, int p) const
	{
		vector<double> v((size_t)c.hd), out;
		double sum = 0;
		for (int i = 0; i < c.hd; i++)
			sum += (double)x[i] * x[i];
		for (int i = 0; i < c.hd; i++)
			v[(size_t)i] = x[i] / std::sqrt(sum / c.hd + 1e-6) * (1.0 + norm[i]);
		out = v;
		int half = c.rotary / 2;
		for (int i = 0; i < half; i++) {
			double co = rope.p[p * c.rotary + 2 * i],
			       si = rope.p[p * c.rotary + 2 * i + 1];
			out[(size_t)i] = v[(size_t)i] * co - v[(size_t)(i + half)] * si;
			out[(size_t)(i + half)] = v[(size_t)(i + half)] * co + v[(size_t)i] * si;
		}
		return out;
	}
	size_t place(int slot, int p, int kv_head, bool values) const
	{
		size_t page = (size_t)table.p[slot * pages + p / 64];
		return ((values ? (size_t)SLOTS * pages : 0) + page) * c.kv_heads * 64 * hdp +
		       ((size_t)kv_head * 64 + (size_t)p % 64) * hdp;
	}
	double cached(size_t at) const
	{
		return c.f32 ? kv.p[at] : widened(((const uint16_t *)kv.p)[at]);
	}
	/* Keys and values of tokens before @p as prefill would have left them. */
	void fill_before(int slot, int p)
	{
		for (int t = 0; t < p; t++) {
			vector<float> row = token(slot, t);
			for (int h = 0; h < c.kv_heads; h++) {
				const float *k = &row[(size_t)(2 * c.heads * c.hd + h * c.hd)];
				vector<double> turn = turned(k, k_norm.p, t);
				for (int d = 0; d < hdp; d++) {
					float kd = d < c.hd ? (float)turn[(size_t)d] : 0;
					float vd = d < c.hd ? k[c.kv_heads * c.hd + d] : 0;
					size_t at = place(slot, t, h, false) + (size_t)d;
					size_t vat = place(slot, t, h, true) + (size_t)d;
					if (c.f32) {
						kv[at] = kd;
						kv[vat] = vd;
					} else {
						((uint16_t *)kv.p)[at] = rounded(kd);
						((uint16_t *)kv.p)[vat] = rounded(vd);
					}
				}
			}
		}
	}
	struct run_of {
		int slot, position, n;
	};
	void run(const vector<run_of> &runs, int bound)
	{
		k_step *s = step.p;
		int column = 0;
		s->n_groups = (int)runs.size();
		high.fill(0xffff);
		low.fill(0xffff);
		partial.fill(NAN);
		for (size_t g = 0; g < runs.size(); g++) {
			s->group[g] = group_of(runs[g].slot, column, runs[g].n, runs[g].position, 0,
			                       0, 0, -1);
			for (int i = 0; i < runs[g].n; i++, column++) {
				s->column[column].slot = runs[g].slot;
				s->column[column].position = runs[g].position + i;
				s->column[column].group = (int)g;
				vector<float> row = token(runs[g].slot, runs[g].position + i);
				memcpy(&qkv[(size_t)column * ld_qkv], row.data(),
				       sizeof(float) * row.size());
			}
		}
		s->n_columns = column;
		struct k_attention a;
		memset(&a, 0, sizeof(a));
		a.step = s;
		a.qkv = qkv.p;
		a.ld_qkv = ld_qkv;
		a.q_norm = q_norm.p;
		a.k_norm = k_norm.p;
		a.eps = 1e-6f;
		a.rope = rope.p;
		a.heads = c.heads;
		a.kv_heads = c.kv_heads;
		a.hd = c.hd;
		a.rotary = c.rotary;
		size_t half = (size_t)SLOTS * pages * c.kv_heads * 64 * hdp;
		a.k_pages = kv.p;
		a.v_pages = c.f32 ? (void *)(kv.p + half) : (void *)((uint16_t *)kv.p + half);
		a.kv_f32 = c.f32;
		a.table = table.p;
		a.table_stride = pages;
		a.parts = parts;
		a.partial = partial.p;
		a.counter = counter.p;
		a.out.high = high.p;
		a.out.low = c.f32 ? low.p : nullptr;
		a.out.ld = ld_out;
		struct k_tuning t = tuning(132, 8);
		queue_attention(&a, bound, &t, nullptr);
		done();
		for (size_t i = 0; i < counter.n; i++)
			assert_int_equal(counter[i], 0);
	}
	vector<float> out(int column) const
	{
		vector<float> v;
		for (int i = 0; i < c.heads * c.hd; i++) {
			size_t at = (size_t)column * ld_out + (size_t)i;
			v.push_back(widened(high.p[at]) + (c.f32 ? widened(low.p[at]) : 0));
		}
		return v;
	}
	/* The columns against the definition, over keys and values as the pages now hold them. */
	void compare(const char *what)
	{
		closeness outs, keys;
		for (int column = 0; column < step[0].n_columns; column++) {
			int slot = step[0].column[column].slot, p = step[0].column[column].position;
			vector<float> row = token(slot, p), got = out(column);
			for (int h = 0; h < c.kv_heads; h++) {
				const float *k = &row[(size_t)(2 * c.heads * c.hd + h * c.hd)];
				vector<double> turn = turned(k, k_norm.p, p);
				for (int d = 0; d < c.hd; d++) {
					double v = cached(place(slot, p, h, true) + (size_t)d);
					keys(cached(place(slot, p, h, false) + (size_t)d),
					     turn[(size_t)d]);
					assert_true(v ==
					            (c.f32 ? k[c.kv_heads * c.hd + d]
					                   : widened(rounded(
								     k[c.kv_heads * c.hd + d]))));
				}
				for (int d = c.hd; d < hdp; d++)
					assert_true(cached(place(slot, p, h, false) + (size_t)d) ==
					            0);
			}
			for (int h = 0; h < c.heads; h++) {
				const float *from = &row[(size_t)(2 * h * c.hd)];
				int kh = h * c.kv_heads / c.heads;
				vector<double> q = turned(from, q_norm.p, p), score,
					       o((size_t)c.hd);
				double most = -INFINITY, sum = 0;
				for (int t = 0; t <= p; t++) {
					double s = 0;
					for (int d = 0; d < c.hd; d++)
						s += q[(size_t)d] *
						     cached(place(slot, t, kh, false) + (size_t)d);
					score.push_back(s / std::sqrt((double)c.hd));
					most = std::fmax(most, score.back());
				}
				for (int t = 0; t <= p; t++) {
					double by = std::exp(score[(size_t)t] - most);
					sum += by;
					for (int d = 0; d < c.hd; d++)
						o[(size_t)d] +=
							by * cached(place(slot, t, kh, true) +
						                    (size_t)d);
				}
				for (int d = 0; d < c.hd; d++)
					outs(got[(size_t)(h * c.hd + d)],
					     o[(size_t)d] / sum * sigmoid_of(from[c.hd + d]));
			}
		}
		outs.within(c.f32 ? 1e-5 : BF16_STEP, what);
		keys.within(c.f32 ? F32 : BF16_STEP, "keys");
	}
};

const attention_shape attention_shapes[] = {
	{ 4, 2, 32, 8, true },
	{ 4, 2, 32, 8, false },   /* the oracle's tiny models */
	{ 4, 1, 256, 64, false }, /* one kv head of 9B */
	{ 4, 1, 256, 64, true },
	{ 6, 1, 20, 4, true },   /* 6 query heads a kv head, a head dim that is no multiple of 8 */
	{ 3, 3, 40, 40, false }, /* no sharing, all dims turn */
};

void attention_equals_its_twin_at_every_length(void **)
{
	for (const attention_shape &c : attention_shapes) {
		attention_model m(c, 320);
		for (int s = 0; s < 4; s++)
			m.fill_before(s, 300);
		for (int tokens : { 1, 2, 63, 64, 65, 128, 129, 257 }) {
			m.run({ { 2, tokens - 1, 1 } }, 1);
			m.compare("one column");
		}
		m.run({ { 0, 290, 1 }, { 3, 0, 1 }, { 1, 128, 1 } }, 8);
		m.compare("three columns");
	}
}

void long_sequences_are_cut_into_larger_parts(void **)
{
	const attention_shape c = { 1, 1, 8, 4, true };
	attention_model m(c, 9000);
	m.fill_before(1, 8192);
	for (int position : { 8191, 8192 }) { /* 64 parts of 128; 17 of 512 */
		m.run({ { 1, position, 1 } }, 1);
		m.compare("long");
	}
}

void a_window_gives_the_bits_of_one_by_one(void **)
{
	for (const attention_shape &c : { attention_shapes[0], attention_shapes[1] })
		for (int from :
		     { 0, 60, 120 }) { /* from nothing, over a page's end, over a part's */
			attention_model m(c, 200);
			vector<vector<float>> plain;
			m.fill_before(1, from);
			for (int i = 0; i < 16; i++) {
				m.run({ { 1, from + i, 1 } }, 1);
				plain.push_back(m.out(0));
			}
			vector<float> kv = m.kv.copy();
			/* what the window is not to read: its own places in the pages */
			for (int i = 0; i < 16; i++)
				for (int h = 0; h < c.kv_heads; h++)
					for (int d = 0; d < m.hdp; d++)
						for (bool values : { false, true }) {
							size_t at =
								m.place(1, from + i, h, values) +
								(size_t)d;
							if (c.f32)
								m.kv[at] = NAN;
							else
								((uint16_t *)m.kv.p)[at] = 0x7fff;
						}
			m.fill_before(2, 33);
			for (auto o : orders) {
				if (from != 120 && o.order != EMU_DOWN)
					continue; /* once is enough there */
				emu_set_order(o.order, o.seed);
				m.run({ { 2, 33, 1 }, { 1, from, 16 } }, 24);
				for (int i = 0; i < 16; i++)
					assert_true(same(m.out(1 + i), plain[(size_t)i]));
			}
			emu_set_order(EMU_UP, 0);
			for (int i = 0; i < 16; i++)
				for (int h = 0; h < c.kv_heads; h++)
					for (int d = 0; d < m.hdp; d++) {
						size_t at =
							m.place(1, from + i, h, true) + (size_t)d;
						double was =
							c.f32 ? kv[at]
							      : widened((
									(uint16_t *)kv.data())[at]);
						assert_true(m.cached(at) == was);
					}
		}
}

/* ---- picks ---- */

struct pick_bench {
	int vocabulary, rows;
	device<float> logits;
	device<int32_t> count, slot_token;
	device<char> scratch;
	device<k_step> step;
	device<k_pick_input> input;
	device<picked> out;
	struct sampler *twin;

	pick_bench(int v, int n)
	    : vocabulary(v), rows(n), logits((size_t)n * padded(v, 4)), count((size_t)n * v),
	      slot_token(8), scratch((size_t)k_pick_scratch_bytes(n, v)), step(1), input((size_t)n),
	      out((size_t)n), twin(sampler_open(v))
	{
		count.fill(0);
		slot_token.fill(-7);
		memset(step.p, 0, sizeof(*step.p));
		memset((void *)input.p, 0, sizeof(*input.p) * input.n);
		for (int i = 0; i < n; i++) {
			sampling_default(&input[(size_t)i].sampling);
			input[(size_t)i].row = i;
			input[(size_t)i].slot = -1;
		}
		assert_non_null(twin);
	}
	~pick_bench()
	{
		sampler_close(twin);
	}
	float *row(int i)
	{
		return logits.p + (size_t)i * padded(vocabulary, 4);
	}
	void run(int n)
	{
		step[0].n_picks = n;
		struct k_pick a = { step.p,     input.p, logits.p,  padded(vocabulary, 4),
			            vocabulary, count.p, scratch.p, slot_token.p,
			            out.p };
		struct k_tuning t = tuning(132, 8);
		queue_pick(&a, rows, &t, nullptr);
		done();
		for (size_t i = 0; i < count.n; i++)
			if (count[i])
				fail_msg("a count was left behind");
	}
	void compare(int i)
	{
		const k_pick_input &in = input[(size_t)i];
		const picked &got = out[(size_t)i];
		struct sampler_input s;
		memset(&s, 0, sizeof(s));
		s.sampling = &in.sampling;
		s.position = in.position;
		s.mask = in.mask;
		s.prompt = in.history;
		s.n_prompt = in.n_prompt;
		s.answer = in.history ? in.history + in.n_prompt : nullptr;
		s.n_answer = in.n_answer;
		struct picked want;
		sampler_pick(twin, row(in.row), &s, &want);
		if (got.id != want.id)
			fail_msg(
				"pick %d (temperature %g, top_k %d, top_p %g, min_p %g): %d, not %d",
				i, (double)in.sampling.temperature, in.sampling.top_k,
				(double)in.sampling.top_p, (double)in.sampling.min_p, got.id,
				want.id);
		if (want.id < 0)
			return;
		assert_true(std::fabs(got.logprob - want.logprob) < 1e-4f);
		assert_true(std::fabs(got.drawn - want.drawn) < 1e-4f);
		assert_true(std::fabs(got.entropy - want.entropy) < 1e-4f);
		assert_int_equal(got.n_top, want.n_top);
		for (int t = 0; t < want.n_top; t++) {
			assert_int_equal(got.top[t].id, want.top[t].id);
			assert_true(std::fabs(got.top[t].logprob - want.top[t].logprob) < 1e-4f);
		}
	}
};

void picks_equal_the_samplers(void **)
{
	for (int v : { 3, 1000, 1024, 5003 }) {
		const int n = v < 2000 ? 48 : 24;
		pick_bench b(v, n);
		random_source r = { (uint64_t)v };
		device<uint64_t> mask((size_t)(v + 63) / 64);
		device<int32_t> history(300);
		for (size_t i = 0; i < mask.n; i++)
			mask[i] = (uint64_t)(r.uniform() * 1.8e19) | 1;
		for (size_t i = 0; i < history.n; i++)
			history[i] = (int32_t)(r.uniform() * r.uniform() * v *
			                       1.01); /* some too large */
		for (int i = 0; i < n; i++) {
			k_pick_input &in = b.input[(size_t)i];
			struct sampling &s = in.sampling;
			double spread = 0.1 + 6 * r.uniform();
			for (int k = 0; k < v; k++) {
				double x = spread * r.normal();
				/* ties: some rows in coarse steps */
				b.row(i)[k] = (float)(i % 4 == 3 ? std::round(x) : x);
			}
			s.temperature = i % 5 ? (float)(0.1 + 1.5 * r.uniform()) : 0;
			s.top_k = i % 2 ? (int)(1 + r.uniform() * (i % 8 == 1 ? v : 40)) : 0;
			s.top_p = i % 3 ? (float)(0.3 + 0.69 * r.uniform()) : 1;
			s.min_p = i % 7 == 6 ? (float)(0.2 * r.uniform()) : 0;
			s.seed = (uint64_t)(r.uniform() * 1e18);
			s.top = i % 6 == 5 ? 20 : i % 4;
			in.position = (uint64_t)(r.uniform() * 1e5);
			if (i % 3 == 1)
				in.mask = mask.p;
			if (i % 4 >= 2) {
				in.history = history.p;
				in.n_prompt = (int)(r.uniform() * 150);
				in.n_answer = (int)(r.uniform() * 150);
				s.presence = i % 8 >= 4 ? 0.7f : 0;
				s.frequency = i % 8 >= 6 ? 0.2f : 0;
				s.repetition = i % 8 == 3 ? 1.3f : 1;
			}
		}
		b.run(n);
		for (int i = 0; i < n; i++)
			b.compare(i);
	}
}

void a_pick_does_not_depend_on_its_neighbours_or_the_order(void **)
{
	pick_bench b(2500, 6);
	random_source r = { 99 };
	for (int i = 0; i < 6; i++) {
		for (int k = 0; k < 2500; k++)
			b.row(i)[k] = (float)(3 * r.normal());
		b.input[(size_t)i].sampling.temperature = 0.9f;
		b.input[(size_t)i].sampling.top_p = i % 2 ? 0.9f : 1;
		b.input[(size_t)i].sampling.top = 5;
		b.input[(size_t)i].slot = i;
	}
	b.run(6);
	vector<picked> first = b.out.copy();
	for (int i = 0; i < 6; i++)
		assert_int_equal(b.slot_token[(size_t)i], first[(size_t)i].id);
	assert_int_equal(b.slot_token[6], -7);
	for (auto o : orders) {
		emu_set_order(o.order, o.seed);
		memset((void *)b.out.p, 0xff, sizeof(picked) * 6);
		b.run(6);
		for (int i = 0; i < 6; i++) {
			const picked &p = b.out[(size_t)i], &q = first[(size_t)i];
			assert_true(p.id == q.id && p.logprob == q.logprob && p.drawn == q.drawn &&
			            p.entropy == q.entropy && p.n_top == q.n_top);
			assert_memory_equal(p.top, q.top, sizeof(p.top[0]) * 5);
		}
	}
	emu_set_order(EMU_UP, 0);
	k_pick_input last = b.input[5];
	b.input[0] = last;
	b.run(1);
	assert_int_equal(b.out[0].id, first[5].id);
	assert_true(b.out[0].drawn == first[5].drawn && b.out[0].logprob == first[5].logprob);
}

/* Greedy picks that turn on one penalty each: of ids 5 and 6 the first is ahead by a little. */
void penalties_turn_picks_as_the_samplers_do(void **)
{
	const struct {
		float five, six, repetition, presence, frequency;
		int n_prompt, n_answer, want;
	} cases[] = {
		{ -1, -1.2f, 1.3f, 0, 0, 1, 0, 6 }, /* negative: multiplied */
		{ 1.2f, 1, 1.3f, 0, 0, 1, 0, 6 },   /* positive: divided */
		{ 1.2f, 1, 1.1f, 0, 0, 0, 4, 5 },   /* once, however often it occurs */
		{ 1.2f, 1, 1, 0.3f, 0, 0, 1, 6 },   { 1.2f, 1, 1, 0.3f, 0, 4, 0, 5 },
		{ 1.2f, 1, 1, 0.15f, 0, 0, 4, 5 },  { 1.2f, 1, 1, 0, 0.15f, 0, 4, 6 },
		{ 1.2f, 1, 1, 0, 0.15f, 3, 1, 5 },
	};
	pick_bench b(100, 8);
	device<int32_t> history(8);
	history.fill(5);
	for (int i = 0; i < 8; i++) {
		k_pick_input &in = b.input[(size_t)i];
		for (int k = 0; k < 100; k++)
			b.row(i)[k] = -9;
		b.row(i)[5] = cases[i].five;
		b.row(i)[6] = cases[i].six;
		in.sampling.repetition = cases[i].repetition;
		in.sampling.presence = cases[i].presence;
		in.sampling.frequency = cases[i].frequency;
		in.history = history.p;
		in.n_prompt = cases[i].n_prompt;
		in.n_answer = cases[i].n_answer;
	}
	b.run(8);
	for (int i = 0; i < 8; i++) {
		b.compare(i);
		assert_int_equal(b.out[(size_t)i].id, cases[i].want);
	}
}

void what_cannot_be_picked_has_id_minus_one(void **)
{
	pick_bench b(1500, 5);
	device<uint64_t> none(24);
	none.fill(0);
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < 1500; k++)
			b.row(i)[k] = (float)(k % 17);
		b.input[(size_t)i].sampling.temperature = i % 2 ? 1.0f : 0.0f;
		b.input[(size_t)i].sampling.top_k = 5;
		b.input[(size_t)i].slot = i;
	}
	b.row(0)[1499] = NAN;
	b.row(1)[3] = INFINITY;
	b.row(2)[1027] = -INFINITY;
	b.input[3].mask = none.p;
	b.run(5);
	for (int i = 0; i < 5; i++) {
		b.compare(i);
		assert_true((b.out[(size_t)i].id < 0) == (i < 4));
		assert_int_equal(b.slot_token[(size_t)i], b.out[(size_t)i].id);
	}
}

void a_row_of_the_real_vocabulary_is_picked_from(void **)
{
	pick_bench b(248320, 3);
	random_source r = { 4 };
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 248320; k++)
			b.row(i)[k] = (float)(2.5 * r.normal());
	b.input[1].sampling.temperature = 0.7f;
	b.input[1].sampling.top_k = 20;
	b.input[1].sampling.top_p = 0.95f;
	b.input[1].sampling.top = 8;
	b.input[2].sampling.temperature = 1;
	b.input[2].sampling.top_p = 0.9f; /* flat: most of the vocabulary is in it */
	b.run(3);
	for (int i = 0; i < 3; i++)
		b.compare(i);
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streaming_equals_its_twin_at_every_width),
		cmocka_unit_test(a_column_has_the_same_bits_alone_and_in_any_company),
		cmocka_unit_test(streaming_gives_the_same_bits_in_every_order),
		cmocka_unit_test(streaming_holds_at_the_real_widths),
		cmocka_unit_test(embedding_takes_the_given_or_the_picked_token),
		cmocka_unit_test(the_yardstick_reads_everything_once),
		cmocka_unit_test(the_delta_step_equals_its_twin),
		cmocka_unit_test(windows_and_replays_give_the_bits_of_plain_decode),
		cmocka_unit_test(the_delta_step_gives_the_same_bits_in_every_order_and_company),
		cmocka_unit_test(attention_equals_its_twin_at_every_length),
		cmocka_unit_test(long_sequences_are_cut_into_larger_parts),
		cmocka_unit_test(a_window_gives_the_bits_of_one_by_one),
		cmocka_unit_test(picks_equal_the_samplers),
		cmocka_unit_test(a_pick_does_not_depend_on_its_neighbours_or_the_order),
		cmocka_unit_test(penalties_turn_picks_as_the_samplers_do),
		cmocka_unit_test(what_cannot_be_picked_has_id_minus_one),
		cmocka_unit_test(a_row_of_the_real_vocabulary_is_picked_from),
	};
	return cmocka_run_group_tests_name("k_decode", tests, nullptr, nullptr);
}
