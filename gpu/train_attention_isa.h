/*
 * train_attention_isa.h - the items of gated attention in one instruction set:
 * gpu/train_attention.c has the frame.
 */

/* y = x / sqrt(mean x^2 + eps) * (1 + w), turned by the position's angles, times @scale; y padded
 * with zeros. Returns the inverse root. */
INLINE float ID(norm_turn)(const struct attention_job *j, const float *x, const float *w,
                           const float *turn, float scale, float *y)
{
	const int n = j->hd, end = (int)j->hdp, half = j->rotary / 2;
	V s = { 0 };
	for (int c = 0; c < n; c += LANES) {
		V v = ID(load)(x + c, n - c);
		s = FMA(v, v, s);
	}
	const float inv = 1.0f / sqrtf(ID(lanes_sum)(s) / (float)n + j->eps);
	V f = SPLAT(inv * scale);
	for (int c = 0; c < end; c += LANES)
		STORE(y + c,
		      c < n ? f * ID(load)(x + c, n - c) * (SPLAT(1.0f) + ID(load)(w + c, n - c))
		            : (V){ 0 });
	for (int i = 0; i < half; i++) {
		const float a = y[i], b = y[i + half];
		y[i] = a * turn[i] - b * turn[half + i];
		y[i + half] = b * turn[i] + a * turn[half + i];
	}
	return inv;
}

/* From the gradient @dy of norm_turn()'s result (turned back in place) to that of x; dw is added
 * to, NULL: not wanted. */
INLINE void ID(norm_turn_back)(const struct attention_job *j, const float *x, const float *w,
                               const float *turn, float scale, float *dy, float *dx, float *dw)
{
	const int n = j->hd, half = j->rotary / 2;
	for (int i = 0; i < half; i++) {
		const float a = dy[i], b = dy[i + half];
		dy[i] = a * turn[i] + b * turn[half + i];
		dy[i + half] = b * turn[i] - a * turn[half + i];
	}
	V s = { 0 }, along = { 0 };
	for (int c = 0; c < n; c += LANES) {
		V v = ID(load)(x + c, n - c);
		V e = LOAD(dy + c) * (SPLAT(1.0f) + ID(load)(w + c, n - c));
		s = FMA(v, v, s);
		along = FMA(e, v, along);
	}
	const float inv = 1.0f / sqrtf(ID(lanes_sum)(s) / (float)n + j->eps);
	V back = SPLAT(ID(lanes_sum)(along) / (float)n * inv * inv), f = SPLAT(inv * scale);
	for (int c = 0; c < n; c += LANES) {
		V v = ID(load)(x + c, n - c), d = LOAD(dy + c);
		V e = d * (SPLAT(1.0f) + ID(load)(w + c, n - c));
		ID(store)(dx + c, f * (e - back * v), n - c);
		if (dw)
			STORE(dw + c, FMA(d * f, v, LOAD(dw + c)));
	}
}

/* Keys as normed and turned, their transpose, and values, padded, of a sample and key head. */
static void ID(attention_keys)(const struct attention_job *j, int sample, int head)
{
	struct attention_keys k;
	attention_keys_at(&k, j, sample, head);
	for (int i = 0; i < k.len; i++) {
		const size_t at =
			((size_t)(k.first + i) * (size_t)j->kv + (size_t)head) * (size_t)j->hd;
		ID(norm_turn)
		(j, j->k + at, j->w->k_norm, j->turns + (size_t)i * (size_t)j->rotary, 1.0f,
		 k.k + (size_t)i * j->hdp);
		for (int c = 0; c < (int)j->hdp; c += LANES)
			STORE(k.v + (size_t)i * j->hdp + c,
			      c < j->hd ? ID(load)(j->v + at + c, j->hd - c) : (V){ 0 });
	}
	const size_t pad = (size_t)(k.padded - k.len) * j->hdp;
	memset(k.k + (size_t)k.len * j->hdp, 0, pad * sizeof(float));
	memset(k.v + (size_t)k.len * j->hdp, 0, pad * sizeof(float));
	ID(transpose)(k.k, j->hdp, k.padded, (int)j->hdp, k.kt, k.ld);
	if (k.vt)
		ID(transpose)(k.v, j->hdp, k.padded, (int)j->hdp, k.vt, k.ld);
}

/* Row i of a strip reaches keys [0, first + i]; what is beyond, up to @n, becomes 0. */
INLINE float ID(row_exp)(float *s, int valid, int n, float top)
{
	V sum = { 0 };
	int c = 0;
	for (; c + LANES <= valid; c += LANES) {
		V p = ID(exp)(LOAD(s + c) - SPLAT(top));
		STORE(s + c, p);
		sum += p;
	}
	if (c < valid) {
		V p = ID(first)(ID(exp)(LOAD(s + c) - SPLAT(top)), valid - c);
		STORE(s + c, p);
		sum += p;
		c += LANES;
	}
	for (; c < n; c += LANES)
		STORE(s + c, (V){ 0 });
	return ID(lanes_sum)(sum);
}

INLINE float ID(row_top)(float *s, int valid)
{
	for (int rest = valid; rest % LANES; rest++)
		s[rest] = s[0];
	V most = LOAD(s);
	for (int c = LANES; c < valid; c += LANES)
		most = MAX(most, LOAD(s + c));
	return LANES_MAX(most);
}

/* Queries of rows [from, from + t) as normed, turned and scaled; zero up to @tp. */
INLINE void ID(queries)(const struct attention_job *j, const struct attention_keys *k, int from,
                        int t, int tp, int head, float *q)
{
	for (int i = 0; i < t; i++)
		ID(norm_turn)
	(j, j->q + attention_query(j, k->first + from + i, head), j->w->q_norm,
	 j->turns + (size_t)(from + i) * (size_t)j->rotary, j->scale, q + (size_t)i * j->hdp);
	memset(q + (size_t)t * j->hdp, 0, (size_t)(tp - t) * j->hdp * sizeof *q);
}

static void ID(attention_item_forward)(const struct attention_job *j, int sample, int head,
                                       float *scratch)
{
	struct attention_work x;
	struct attention_keys k;
	attention_work_in(&x, j, scratch);
	attention_keys_at(&k, j, sample, head / j->group);
	const int hdp = (int)j->hdp;
	for (int from = 0; from < k.len; from += ATTENTION_BLOCK) {
		const int t = k.len - from < ATTENTION_BLOCK ? k.len - from : ATTENTION_BLOCK;
		const int tp = (t + 15) / 16 * 16, keys = from + tp;
		ID(queries)(j, &k, from, t, tp, head, x.q);
		ID(product)
		(OUT_LOWER, from, tp, keys, hdp, x.q, j->hdp, k.kt, k.ld, x.p, j->strip, SET);
		for (int i = 0; i < tp; i++) {
			float *p = x.p + (size_t)i * j->strip;
			if (i >= t) {
				memset(p, 0, (size_t)keys * sizeof *p);
				continue;
			}
			const float top = ID(row_top)(p, from + i + 1);
			const float sum = ID(row_exp)(p, from + i + 1, keys, top);
			x.factor[i] = 1.0f / sum;
			*attention_lse(j, k.first + from + i, head) = top + logf(sum);
		}
		ID(product)
		(LEFT_LOWER, from, tp, hdp, keys, x.p, j->strip, k.v, j->hdp, x.o, j->hdp, SET);
		for (int i = 0; i < t; i++) {
			const int row = k.first + from + i;
			const float *gate = j->q + attention_query(j, row, head) + j->hd;
			const float *from_o = x.o + (size_t)i * j->hdp;
			float *kept = attention_kept_o(j, row, head);
			float *y = j->y +
			           ((size_t)row * (size_t)j->heads + (size_t)head) * (size_t)j->hd;
			for (int c = 0; c < hdp; c += LANES) {
				V o = SPLAT(x.factor[i]) * LOAD(from_o + c);
				STORE(kept + c, o);
				if (c < j->hd)
					ID(store)
				(y + c, o * ID(sigmoid)(ID(load)(gate + c, j->hd - c)), j->hd - c);
			}
		}
	}
}

static void ID(attention_item_backward)(const struct attention_job *j, int sample, int head,
                                        float *scratch)
{
	struct attention_work x;
	struct attention_keys k;
	attention_work_in(&x, j, scratch);
	attention_keys_at(&k, j, sample, head / j->group);
	const int hdp = (int)j->hdp, hd = j->hd;
	float *dk = attention_back_at(j, sample, head, j->dk_heads);
	float *dv = attention_back_at(j, sample, head, j->dv_heads);
	float *dw = j->norms_wanted ? attention_part(j, sample, head) : NULL;
	memset(dk, 0, (size_t)k.padded * j->hdp * sizeof *dk);
	memset(dv, 0, (size_t)k.padded * j->hdp * sizeof *dv);

	for (int from = 0; from < k.len; from += ATTENTION_BLOCK) {
		const int t = k.len - from < ATTENTION_BLOCK ? k.len - from : ATTENTION_BLOCK;
		const int tp = (t + 15) / 16 * 16, keys = from + tp;
		/* dO and the gate's; factor: sum of dO O */
		for (int i = 0; i < t; i++) {
			const int row = k.first + from + i;
			const size_t at = attention_query(j, row, head) + (size_t)hd;
			const float *o = attention_kept_o(j, row, head);
			const float *dy = j->dy + ((size_t)row * (size_t)j->heads + (size_t)head) *
			                                  (size_t)hd;
			float *d_o = x.o + (size_t)i * j->hdp;
			V dots = { 0 };
			for (int c = 0; c < hdp; c += LANES) {
				if (c >= hd) {
					STORE(d_o + c, (V){ 0 });
					continue;
				}
				V s = ID(sigmoid)(ID(load)(j->q + at + c, hd - c));
				V up = ID(load)(dy + c, hd - c), oc = LOAD(o + c), d = up * s;
				ID(store)
				(j->dq + at + c, d * oc * (SPLAT(1.0f) - s), hd - c);
				dots = FMA(d, oc, dots);
				STORE(d_o + c, d);
			}
			x.factor[i] = ID(lanes_sum)(dots);
		}
		memset(x.o + (size_t)t * j->hdp, 0, (size_t)(tp - t) * j->hdp * sizeof(float));

		ID(queries)(j, &k, from, t, tp, head, x.q);
		ID(product)
		(OUT_LOWER, from, tp, keys, hdp, x.q, j->hdp, k.kt, k.ld, x.p, j->strip, SET);
		ID(product)
		(OUT_LOWER, from, tp, keys, hdp, x.o, j->hdp, k.vt, k.ld, x.dp, j->strip, SET);
		for (int i = 0; i < tp; i++) {
			float *p = x.p + (size_t)i * j->strip, *dp = x.dp + (size_t)i * j->strip;
			if (i >= t) {
				memset(p, 0, (size_t)keys * sizeof *p);
				memset(dp, 0, (size_t)keys * sizeof *p);
				continue;
			}
			const int valid = from + i + 1;
			ID(row_exp)(p, valid, keys, *attention_lse(j, k.first + from + i, head));
			V less = SPLAT(x.factor[i]);
			int c = 0;
			for (; c < valid; c += LANES)
				STORE(dp + c,
				      ID(first)(LOAD(p + c) * (LOAD(dp + c) - less), valid - c));
			for (; c < keys; c += LANES)
				STORE(dp + c, (V){ 0 });
		}
		ID(product_ta)
		(LEFT_UPPER, from, keys, hdp, tp, x.p, j->strip, x.o, j->hdp, dv, j->hdp, ADD);
		ID(product_ta)
		(LEFT_UPPER, from, keys, hdp, tp, x.dp, j->strip, x.q, j->hdp, dk, j->hdp, ADD);
		ID(product)
		(LEFT_LOWER, from, tp, hdp, keys, x.dp, j->strip, k.k, j->hdp, x.o, j->hdp, SET);
		for (int i = 0; i < t; i++) {
			const size_t at = attention_query(j, k.first + from + i, head);
			ID(norm_turn_back)
			(j, j->q + at, j->w->q_norm,
			 j->turns + (size_t)(from + i) * (size_t)j->rotary, j->scale,
			 x.o + (size_t)i * j->hdp, j->dq + at, dw);
		}
	}
}

/* The group's query heads together, in order, and back to k and v. */
static void ID(attention_keys_back)(const struct attention_job *j, int sample, int head)
{
	struct attention_keys k;
	attention_keys_at(&k, j, sample, head);
	const int hdp = (int)j->hdp, hd = j->hd;
	float *dw = j->norms_wanted ? attention_part(j, sample, j->heads + head) : NULL;
	float *dk = attention_back_at(j, sample, head * j->group, j->dk_heads);
	for (int i = 0; i < k.len; i++) {
		const size_t at =
			((size_t)(k.first + i) * (size_t)j->kv + (size_t)head) * (size_t)hd;
		const size_t row = (size_t)i * j->hdp;
		for (int c = 0; c < hdp; c += LANES) {
			V sum_k = { 0 }, sum_v = { 0 };
			for (int g = 0; g < j->group; g++) {
				const int h = head * j->group + g;
				sum_k += LOAD(attention_back_at(j, sample, h, j->dk_heads) + row +
				              c);
				sum_v += LOAD(attention_back_at(j, sample, h, j->dv_heads) + row +
				              c);
			}
			STORE(dk + row + c, sum_k);
			if (c < hd)
				ID(store)(j->dv + at + c, sum_v, hd - c);
		}
		ID(norm_turn_back)
		(j, j->k + at, j->w->k_norm, j->turns + (size_t)i * (size_t)j->rotary, 1.0f,
		 dk + row, j->dk + at, dw);
	}
}
