/*
 * k_train.cuh - the training kernels but for the DeltaNet's (k_train_delta.cuh). Launchers and
 * shapes: k_train.h.
 */
#include "gpu/dev.h"
#include "gpu/k_product.cuh"
#include "gpu/k_train.h"
#include "gpu/train_dropout.h"

/* ---- row by row ---- */

static __global__ void __launch_bounds__(256)
	kt_norm(uint16_t *out, int ldo, const float *x, int ldx, const int32_t *row, const float *w,
                int h, float eps)
{
	SHARED(float, part, 8);
	int from = row ? row[blockIdx.x] : (int)blockIdx.x;
	uint16_t *to = out + (size_t)blockIdx.x * ldo;
	if (from < 0) {
		for (int i = threadIdx.x; i < h; i += 256)
			to[i] = 0;
		return;
	}
	const float *v = x + (size_t)from * ldx;
	float sum = 0;
	for (int i = threadIdx.x; i < h; i += 256)
		sum += v[i] * v[i];
	float scale = 1.0f / sqrtf(block_sum(sum, part) / (float)h + eps);
	for (int i = threadIdx.x; i < h; i += 256)
		to[i] = to_bf16(v[i] * scale * (1.0f + w[i]));
}

/* With y_i = x_i r (1 + w_i): dx_i = r (1 + w_i) dy_i - x_i r^3 / h sum_j dy_j (1 + w_j) x_j. */
static __global__ void __launch_bounds__(256)
	kt_norm_back(float *dx, int ldx, uint16_t *dxb, int ldb, const uint16_t *dy, int ldy,
                     const float *x, const int32_t *row, const float *w, int h, float eps)
{
	SHARED(float, part, 8);
	SHARED(float, part2, 8);
	int from = row ? row[blockIdx.x] : (int)blockIdx.x;
	if (from < 0)
		return;
	const float *v = x + (size_t)from * ldx;
	const uint16_t *d = dy + (size_t)blockIdx.x * ldy;
	float *to = dx + (size_t)from * ldx;
	float square = 0, dot = 0;
	for (int i = threadIdx.x; i < h; i += 256) {
		square += v[i] * v[i];
		dot += from_bf16(d[i]) * (1.0f + w[i]) * v[i];
	}
	square = block_sum(square, part);
	dot = block_sum(dot, part2);
	float r = 1.0f / sqrtf(square / (float)h + eps), back = r * r * r / (float)h * dot;
	for (int i = threadIdx.x; i < h; i += 256) {
		float sum = to[i] + r * (1.0f + w[i]) * from_bf16(d[i]) - v[i] * back;
		to[i] = sum;
		if (dxb)
			dxb[(size_t)from * ldb + i] = to_bf16(sum);
	}
}

/* Eight bf16 at once. */
struct eight {
	float v[8];
};
DEV eight eight_load(const uint16_t *p)
{
	uint4 u = load_fresh((const void *)p);
	eight e = { { low_bf16(u.x), high_bf16(u.x), low_bf16(u.y), high_bf16(u.y), low_bf16(u.z),
		      high_bf16(u.z), low_bf16(u.w), high_bf16(u.w) } };
	return e;
}
DEV void eight_store(uint16_t *p, const eight &e)
{
	*(uint4 *)p = make_uint4(to_bf16x2(e.v[0], e.v[1]), to_bf16x2(e.v[2], e.v[3]),
	                         to_bf16x2(e.v[4], e.v[5]), to_bf16x2(e.v[6], e.v[7]));
}

static __global__ void __launch_bounds__(256)
	kt_silu_mul(uint16_t *out, int ldo, const uint16_t *gate_up, int ld, int width)
{
	int i = (int)(blockIdx.x * 256 + threadIdx.x) * 8;
	if (i >= width)
		return;
	const uint16_t *in = gate_up + (size_t)blockIdx.y * ld + i;
	eight gate = eight_load(in), up = eight_load(in + width);
	UNROLL
	for (int j = 0; j < 8; j++)
		gate.v[j] = silu(gate.v[j]) * up.v[j];
	eight_store(out + (size_t)blockIdx.y * ldo + i, gate);
}

static __global__ void __launch_bounds__(256)
	kt_silu_back(uint16_t *dgate_up, const uint16_t *dm, int ldm, const uint16_t *gate_up,
                     int ld, int width)
{
	int i = (int)(blockIdx.x * 256 + threadIdx.x) * 8;
	if (i >= width)
		return;
	size_t at = (size_t)blockIdx.y * ld + i;
	eight gate = eight_load(gate_up + at), up = eight_load(gate_up + at + width);
	eight d = eight_load(dm + (size_t)blockIdx.y * ldm + i);
	UNROLL
	for (int j = 0; j < 8; j++) {
		float s = sigmoid(gate.v[j]), g = gate.v[j];
		gate.v[j] = d.v[j] * up.v[j] * s * (1.0f + g * (1.0f - s));
		up.v[j] = d.v[j] * g * s;
	}
	eight_store(dgate_up + at, gate);
	eight_store(dgate_up + at + width, up);
}

static __global__ void kt_drop(uint16_t *out, int ldo, const uint16_t *x, int ldx, int in,
                               uint64_t key, float p)
{
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), t = (int)blockIdx.y;
	if (i < in)
		out[(size_t)t * ldo + i] =
			train_dropped(key, t, in, i, p)
				? (bf16)0
				: to_bf16(from_bf16(x[(size_t)t * ldx + i]) / (1.0f - p));
}

static __global__ void kt_drop_add(uint16_t *dx, int ldx, const uint16_t *from, int ldf, int in,
                                   uint64_t key, float p)
{
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), t = (int)blockIdx.y;
	if (i >= in || train_dropped(key, t, in, i, p))
		return;
	uint16_t *to = dx + (size_t)t * ldx + i;
	*to = to_bf16(from_bf16(*to) + from_bf16(from[(size_t)t * ldf + i]) / (1.0f - p));
}

/* Largest over a block of 256 threads, likewise block_sum(). */
DEV float block_max(float v, float *part)
{
	v = warp_max(v);
	if (threadIdx.x % 32 == 0)
		part[threadIdx.x / 32] = v;
	block_sync();
	v = part[0];
	for (int i = 1; i < 8; i++)
		v = fmaxf(v, part[i]);
	return v;
}

/* One block a row. */
static __global__ void __launch_bounds__(256)
	kt_loss(const float *logits, int ld, int V, const int32_t *label, const int32_t *row,
                const float *coef, float *logp, uint16_t *dlogits, int ldd)
{
	SHARED(float, part, 8);
	SHARED(float, part2, 8);
	int from = row[blockIdx.x], want = label[blockIdx.x];
	const float *v = logits + (size_t)blockIdx.x * ld;
	uint16_t *d = dlogits + (size_t)blockIdx.x * ldd;
	if (from < 0) {
		if (coef)
			for (int i = threadIdx.x; i < V; i += 256)
				d[i] = 0;
		return;
	}
	float top = -INFINITY, sum = 0;
	for (int i = threadIdx.x; i < V; i += 256)
		top = fmaxf(top, v[i]);
	top = block_max(top, part);
	for (int i = threadIdx.x; i < V; i += 256)
		sum += expf(v[i] - top);
	sum = block_sum(sum, part2);
	if (threadIdx.x == 0)
		logp[from] = v[want] - top - logf(sum);
	if (!coef)
		return;
	float c = coef[from], each = c / sum;
	for (int i = threadIdx.x; i < V; i += 256)
		d[i] = to_bf16((i == want ? c : 0.0f) - each * expf(v[i] - top));
}

/* ---- attention ---- */

/* A warp a head of a token: query heads, then key heads. */
static __global__ void __launch_bounds__(128) kt_attention_split(struct attention_train a)
{
	int lane = (int)threadIdx.x % 32;
	int head = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (head >= a.H + a.KV)
		return;
	bool query = head < a.H;
	int group = a.H / a.KV, kv = query ? head / group : head - a.H;
	const uint16_t *row =
		a.y + (size_t)t * a.ld +
		(query ? (size_t)head * 2 * a.hd : (size_t)a.H * 2 * a.hd + (size_t)kv * a.hd);
	uint16_t *out = query ? a.q + (((size_t)kv * a.room + t) * group + head % group) * a.hd
	                      : a.k + ((size_t)kv * a.room + t) * a.hd;
	const float *w = query ? a.q_norm : a.k_norm;
	float sum = 0;
	for (int i = lane; i < a.hd; i += 32) {
		float v = from_bf16(row[i]);
		sum += v * v;
	}
	float scale = 1.0f / sqrtf(warp_sum(sum) / (float)a.hd + a.eps);
	if (query)
		scale /= sqrtf((float)a.hd);
	int half = a.R / 2, position = t - a.first[t];
	for (int i = lane; i < a.hd; i += 32) {
		float v = from_bf16(row[i]) * scale * (1.0f + w[i]);
		if (i < a.R) {
			int j = i % half, other = i < half ? i + half : i - half;
			float o = from_bf16(row[other]) * scale * (1.0f + w[other]);
			const float *turn = a.rope + ((size_t)position * half + j) * 2;
			v = i < half ? v * turn[0] - o * turn[1] : v * turn[0] + o * turn[1];
		}
		out[i] = to_bf16(v);
	}
}

/* Gradient of value @i of a head before it was turned. */
DEV float turned_back(const struct attention_train &a, const float *d, int position, int i)
{
	if (i >= a.R)
		return d[i];
	int half = a.R / 2;
	const float *turn = a.rope + ((size_t)position * half + i % half) * 2;
	return i < half ? d[i] * turn[0] + d[i + half] * turn[1]
	                : d[i] * turn[0] - d[i - half] * turn[1];
}

/* A warp a head of a token: query heads, key heads, value heads. */
static __global__ void __launch_bounds__(128) kt_attention_split_back(struct attention_train a)
{
	int lane = (int)threadIdx.x % 32;
	int head = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (head >= a.H + 2 * a.KV)
		return;
	bool query = head < a.H, value = head >= a.H + a.KV;
	int group = a.H / a.KV, kv = query ? head / group : (head - a.H) % a.KV;
	size_t at =
		(size_t)t * a.ld + (query ? (size_t)head * 2 * a.hd
	                                  : (size_t)a.H * 2 * a.hd + (size_t)(head - a.H) * a.hd);
	size_t by_head = ((size_t)kv * a.room + t) * a.hd;
	if (value) {
		for (int i = lane; i < a.hd; i += 32)
			a.dy[at + i] = to_bf16(a.dv[by_head + i]);
		return;
	}
	const float *d =
		query ? a.dq + by_head * group + (size_t)(head % group) * a.hd : a.dk + by_head;
	const float *w = query ? a.q_norm : a.k_norm;
	float more = query ? 1.0f / sqrtf((float)a.hd) : 1.0f;
	int position = t - a.first[t];
	float square = 0, dot = 0;
	for (int i = lane; i < a.hd; i += 32) {
		float v = from_bf16(a.y[at + i]);
		square += v * v;
		dot += turned_back(a, d, position, i) * more * (1.0f + w[i]) * v;
	}
	float r = 1.0f / sqrtf(warp_sum(square) / (float)a.hd + a.eps);
	float back = r * r * r / (float)a.hd * warp_sum(dot);
	for (int i = lane; i < a.hd; i += 32)
		a.dy[at + i] = to_bf16(r * (1.0f + w[i]) * more * turned_back(a, d, position, i) -
		                       from_bf16(a.y[at + i]) * back);
}

/* A warp a query head of a token. */
static __global__ void __launch_bounds__(128) kt_attention_gate(struct attention_train a)
{
	int lane = (int)threadIdx.x % 32;
	int head = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (head >= a.H)
		return;
	int group = a.H / a.KV, kv = head / group;
	const uint16_t *gate = a.y + (size_t)t * a.ld + (size_t)head * 2 * a.hd + a.hd;
	const uint16_t *o = a.o + (((size_t)kv * a.room + t) * group + head % group) * a.hd;
	uint16_t *out = a.out + (size_t)t * a.ldo + (size_t)head * a.hd;
	for (int i = lane; i < a.hd; i += 32)
		out[i] = to_bf16(from_bf16(o[i]) * sigmoid(from_bf16(gate[i])));
}

static __global__ void __launch_bounds__(128) kt_attention_gate_back(struct attention_train a)
{
	int lane = (int)threadIdx.x % 32;
	int head = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (head >= a.H)
		return;
	int group = a.H / a.KV, kv = head / group;
	size_t gate_at = (size_t)t * a.ld + (size_t)head * 2 * a.hd + a.hd;
	size_t row = ((size_t)kv * a.room + t) * group + head % group;
	const uint16_t *d = a.dout + (size_t)t * a.ldd + (size_t)head * a.hd;
	float dot = 0;
	for (int i = lane; i < a.hd; i += 32) {
		float s = sigmoid(from_bf16(a.y[gate_at + i])), o = from_bf16(a.o[row * a.hd + i]);
		float dv = from_bf16(d[i]);
		bf16 rounded = to_bf16(dv * s);
		a.d_o[row * a.hd + i] = rounded;
		a.dy[gate_at + i] = to_bf16(dv * o * s * (1.0f - s));
		dot += from_bf16(rounded) * o;
	}
	dot = warp_sum(dot);
	if (lane == 0)
		a.dot[row] = dot;
}

/* A block a row of a strip. */
static __global__ void __launch_bounds__(256)
	kt_softmax(struct attention_train a, struct attention_strip x)
{
	SHARED(float, part, 8);
	SHARED(float, part2, 8);
	int group = a.H / a.KV, r = (int)blockIdx.x, kv = (int)blockIdx.y;
	int token = x.from + r / group, keys = token < x.n ? token + 1 : 0;
	size_t at = ((size_t)kv * x.tokens * group + r) * x.ld;
	const float *s = x.s + at;
	uint16_t *p = x.p + at;
	if (keys == 0) {
		for (int i = threadIdx.x; i < x.keys; i += 256)
			p[i] = 0;
		return;
	}
	float top = -INFINITY, sum = 0;
	for (int i = threadIdx.x; i < keys; i += 256)
		top = fmaxf(top, s[i]);
	top = block_max(top, part);
	for (int i = threadIdx.x; i < keys; i += 256)
		sum += expf(s[i] - top);
	float lse = top + logf(block_sum(sum, part2));
	if (threadIdx.x == 0)
		a.lse[((size_t)kv * a.room + x.row0 + token) * group + r % group] = lse;
	for (int i = threadIdx.x; i < x.keys; i += 256)
		p[i] = i < keys ? to_bf16(expf(s[i] - lse)) : (bf16)0;
}

static __global__ void __launch_bounds__(256)
	kt_softmax_back(struct attention_train a, struct attention_strip x)
{
	int group = a.H / a.KV, r = (int)blockIdx.x, kv = (int)blockIdx.y;
	int token = x.from + r / group, keys = token < x.n ? token + 1 : 0;
	size_t at = ((size_t)kv * x.tokens * group + r) * x.ld;
	float lse = 0, dot = 0;
	if (keys) {
		size_t row = ((size_t)kv * a.room + x.row0 + token) * group + r % group;
		lse = a.lse[row];
		dot = a.dot[row];
	}
	for (int i = threadIdx.x; i < x.keys; i += 256) {
		float p = i < keys ? expf(x.s[at + i] - lse) : 0.0f;
		x.p[at + i] = to_bf16(p);
		x.ds[at + i] = i < keys ? to_bf16(p * (x.dp[at + i] - dot)) : (bf16)0;
	}
}

/* ---- parameters ---- */

DEV double block_sum_double(double v, double *part)
{
	UNROLL
	for (int m = 16; m; m >>= 1)
		v += warp_xor(v, m);
	if (threadIdx.x % 32 == 0)
		part[threadIdx.x / 32] = v;
	block_sync();
	v = 0;
	for (int i = 0; i < 8; i++)
		v += part[i];
	return v;
}

static __global__ void __launch_bounds__(256)
	kt_squares(double *out, const float *g, uint64_t n, uint64_t each)
{
	SHARED(double, part, 8);
	uint64_t from = blockIdx.x * each, to = min(from + each, n);
	double sum = 0;
	for (uint64_t i = from + threadIdx.x; i < to; i += 256)
		sum += (double)g[i] * (double)g[i];
	sum = block_sum_double(sum, part);
	if (threadIdx.x == 0)
		out[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(256) kt_join(double *norm2, const double *in, int n)
{
	SHARED(double, part, 8);
	double sum = 0;
	for (int i = threadIdx.x; i < n; i += 256)
		sum += in[i];
	sum = block_sum_double(sum, part);
	if (threadIdx.x == 0)
		*norm2 = sum;
}

static __global__ void __launch_bounds__(256) kt_adamw(struct adamw_train a)
{
	for (uint64_t i = blockIdx.x * (uint64_t)256 + threadIdx.x; i < a.n;
	     i += (uint64_t)gridDim.x * 256) {
		double g = (double)a.g[i] * a.scale;
		double m = a.beta1 * (double)a.m[i] + (1 - a.beta1) * g;
		double v = a.beta2 * (double)a.v[i] + (1 - a.beta2) * g * g;
		a.m[i] = (float)m;
		a.v[i] = (float)v;
		a.p[i] = (float)((double)a.p[i] * (1 - a.lr * a.decay) -
		                 a.lr * (m / a.correction1) / (sqrt(v / a.correction2) + a.eps));
	}
}

static __global__ void __launch_bounds__(256) kt_refresh(const struct train_copy *table)
{
	struct train_copy c = table[blockIdx.y];
	int64_t n = (int64_t)c.rows * c.cols;
	for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < n;
	     i += (int64_t)gridDim.x * 256)
		c.dst[i / c.cols * c.ld + i % c.cols] = to_bf16(c.scale * c.src[i]);
}

/* ---- launchers ---- */

extern "C" {

void train_norm(dev_stream s, uint16_t *out, int ldo, const float *x, int ldx, const int32_t *row,
                const float *w, int rows, int h, float eps)
{
	LAUNCH(kt_norm, rows, 256, 0, s, out, ldo, x, ldx, row, w, h, eps);
}

void train_norm_back(dev_stream s, float *dx, int ldx, uint16_t *dxb, int ldb, const uint16_t *dy,
                     int ldy, const float *x, const int32_t *row, const float *w, int rows, int h,
                     float eps)
{
	LAUNCH(kt_norm_back, rows, 256, 0, s, dx, ldx, dxb, ldb, dy, ldy, x, row, w, h, eps);
}

void train_silu_mul(dev_stream s, uint16_t *out, int ldo, const uint16_t *gate_up, int ld,
                    int width, int rows)
{
	dim3 grid((unsigned)((width + 2047) / 2048), (unsigned)rows);
	LAUNCH(kt_silu_mul, grid, 256, 0, s, out, ldo, gate_up, ld, width);
}

void train_silu_back(dev_stream s, uint16_t *dgate_up, const uint16_t *dm, int ldm,
                     const uint16_t *gate_up, int ld, int width, int rows)
{
	dim3 grid((unsigned)((width + 2047) / 2048), (unsigned)rows);
	LAUNCH(kt_silu_back, grid, 256, 0, s, dgate_up, dm, ldm, gate_up, ld, width);
}

void train_drop(dev_stream s, uint16_t *out, int ldo, const uint16_t *x, int ldx, int rows, int in,
                uint64_t key, float p)
{
	dim3 grid((unsigned)((in + 255) / 256), (unsigned)rows);
	LAUNCH(kt_drop, grid, 256, 0, s, out, ldo, x, ldx, in, key, p);
}

void train_drop_add(dev_stream s, uint16_t *dx, int ldx, const uint16_t *from, int ldf, int rows,
                    int in, uint64_t key, float p)
{
	dim3 grid((unsigned)((in + 255) / 256), (unsigned)rows);
	LAUNCH(kt_drop_add, grid, 256, 0, s, dx, ldx, from, ldf, in, key, p);
}

void train_loss(dev_stream s, const float *logits, int ld, int vocabulary, const int32_t *label,
                const int32_t *row, const float *coef, float *logp, uint16_t *dlogits, int ldd,
                int rows)
{
	LAUNCH(kt_loss, rows, 256, 0, s, logits, ld, vocabulary, label, row, coef, logp, dlogits,
	       ldd);
}

void train_attention_split(dev_stream s, const struct attention_train *a)
{
	dim3 grid((unsigned)a->n, (unsigned)((a->H + a->KV + 3) / 4));
	LAUNCH(kt_attention_split, grid, 128, 0, s, *a);
}

void train_attention_gate(dev_stream s, const struct attention_train *a)
{
	LAUNCH(kt_attention_gate, dim3((unsigned)a->n, (unsigned)((a->H + 3) / 4)), 128, 0, s, *a);
}

void train_attention_gate_back(dev_stream s, const struct attention_train *a)
{
	dim3 grid((unsigned)a->n, (unsigned)((a->H + 3) / 4));
	LAUNCH(kt_attention_gate_back, grid, 128, 0, s, *a);
}

void train_attention_split_back(dev_stream s, const struct attention_train *a)
{
	dim3 grid((unsigned)a->n, (unsigned)((a->H + 2 * a->KV + 3) / 4));
	LAUNCH(kt_attention_split_back, grid, 128, 0, s, *a);
}

void train_softmax(dev_stream s, const struct attention_train *a, const struct attention_strip *x)
{
	dim3 grid((unsigned)(x->tokens * (a->H / a->KV)), (unsigned)a->KV);
	LAUNCH(kt_softmax, grid, 256, 0, s, *a, *x);
}

void train_softmax_back(dev_stream s, const struct attention_train *a,
                        const struct attention_strip *x)
{
	dim3 grid((unsigned)(x->tokens * (a->H / a->KV)), (unsigned)a->KV);
	LAUNCH(kt_softmax_back, grid, 256, 0, s, *a, *x);
}

void train_squares(dev_stream s, double *norm2, double *part, const float *g, uint64_t n)
{
	uint64_t each = (n + TRAIN_SQUARES - 1) / TRAIN_SQUARES;
	LAUNCH(kt_squares, TRAIN_SQUARES, 256, 0, s, part, g, n, each);
	LAUNCH(kt_join, 1, 256, 0, s, norm2, (const double *)part, (int)TRAIN_SQUARES);
}

void train_adamw(dev_stream s, const struct adamw_train *a)
{
	uint64_t blocks = (a->n + 255) / 256;
	LAUNCH(kt_adamw, (unsigned)(blocks < 4096 ? blocks : 4096), 256, 0, s, *a);
}

void train_refresh(dev_stream s, const struct train_copy *table, int n)
{
	LAUNCH(kt_refresh, dim3(16, (unsigned)n), 256, 0, s, table);
}

} /* extern "C" */
