/*
 * train_delta_isa.h - one item of the gated DeltaNet, a key head of a sample with the value heads
 * that read it, in one instruction set: gpu/train_delta.c has the frame. Letters as in cuda.md
 * section 10: T = (I + A)^-1, [U|W] = T [beta V | beta e^G K], V' = U - W S, P = QKt . D.
 */

/* ---- element-wise ---- */

/* c = silu(conv(u)) of rows [0, t) and n channels; @before rows of the sample stand before u.
 * Columns from n up to a multiple of 16 and rows from t up to @tp become zero. w: [K][ldw]. */
INLINE void ID(conv_lanes)(const float *u, size_t ldu, int before, int t, int lanes, const float *w,
                           size_t ldw, int K, float *c, size_t ldc)
{
	V weight[DELTA_CONV_MAX] = { { 0 } };
	UNROLL
	for (int j = 0; j < K; j++)
		weight[j] = ID(load)(w + (size_t)j * ldw, lanes);
	for (int i = 0; i < t; i++) {
		AHEAD(u + (size_t)(i + DELTA_AHEAD) * ldu);
		V x = { 0 };
		UNROLL
		for (int j = 0; j < K; j++) {
			const int at = i - (K - 1) + j;
			if (at + before >= 0)
				x = FMA(weight[j],
				        ID(load)(u + (ptrdiff_t)at * (ptrdiff_t)ldu, lanes), x);
		}
		STORE(c + (size_t)i * ldc, x * ID(sigmoid)(x));
	}
}

APART void ID(conv)(const float *u, size_t ldu, int before, int t, int tp, int n, const float *w,
                    size_t ldw, int K, float *c, size_t ldc)
{
	const int end = (int)delta_pad(n);
	for (int at = 0; at < n; at += LANES) {
		const int lanes = n - at < LANES ? n - at : LANES;
		if (K == 4 && lanes == LANES)
			ID(conv_lanes)(u + at, ldu, before, t, LANES, w + at, ldw, 4, c + at, ldc);
		else
			ID(conv_lanes)(u + at, ldu, before, t, lanes, w + at, ldw, K, c + at, ldc);
	}
	const int filled = (n + LANES - 1) / LANES * LANES;
	for (int i = 0; i < t && filled < end; i++)
		memset(c + (size_t)i * ldc + filled, 0, (size_t)(end - filled) * sizeof *c);
	for (int i = t; i < tp; i++)
		memset(c + (size_t)i * ldc, 0, (size_t)end * sizeof *c);
}

/* Back through conv() from dc, last row first. @ahead [K-1][ldc]: d/dx of the rows that follow,
 * nearest first; moved on. dw is added to. */
INLINE void ID(conv_back_lanes)(const float *u, size_t ldu, int before, int t, int lanes,
                                const float *w, size_t ldw, int K, const float *dc, size_t ldc,
                                float *ahead, float *du, size_t lddu, float *dw)
{
	V weight[DELTA_CONV_MAX] = { { 0 } }, next[DELTA_CONV_MAX] = { { 0 } };
	V sum[DELTA_CONV_MAX] = { { 0 } };
	UNROLL
	for (int j = 0; j < K; j++) {
		weight[j] = ID(load)(w + (size_t)j * ldw, lanes);
		sum[j] = (V){ 0 };
	}
	UNROLL
	for (int j = 0; j < K - 1; j++)
		next[j] = LOAD(ahead + (size_t)j * ldc);
	for (int i = t - 1; i >= 0; i--) {
		AHEAD(u + (ptrdiff_t)(i - DELTA_AHEAD) * (ptrdiff_t)ldu);
		AHEAD_WRITE(du + (ptrdiff_t)(i - DELTA_AHEAD) * (ptrdiff_t)lddu);
		V in[DELTA_CONV_MAX] = { { 0 } }, x = { 0 };
		UNROLL
		for (int j = 0; j < K; j++) {
			const int at = i - (K - 1) + j;
			in[j] = at + before >= 0
			                ? ID(load)(u + (ptrdiff_t)at * (ptrdiff_t)ldu, lanes)
			                : (V){ 0 };
			x = FMA(weight[j], in[j], x);
		}
		V s = ID(sigmoid)(x);
		V dx = LOAD(dc + (size_t)i * ldc) * FMA(x * s, SPLAT(1.0f) - s, s);
		V back = weight[K - 1] * dx;
		UNROLL
		for (int j = 0; j < K - 1; j++)
			back = FMA(weight[K - 2 - j], next[j], back);
		ID(store)(du + (size_t)i * lddu, back, lanes);
		UNROLL
		for (int j = 0; j < K; j++)
			sum[j] = FMA(dx, in[j], sum[j]);
		UNROLL
		for (int j = K - 2; j > 0; j--)
			next[j] = next[j - 1];
		if (K > 1)
			next[0] = dx;
	}
	UNROLL
	for (int j = 0; j < K - 1; j++)
		STORE(ahead + (size_t)j * ldc, next[j]);
	if (!dw)
		return;
	UNROLL
	for (int j = 0; j < K; j++) {
		float *to = dw + (size_t)j * ldw;
		ID(store)(to, ID(load)(to, lanes) + sum[j], lanes);
	}
}

APART void ID(conv_back)(const float *u, size_t ldu, int before, int t, int n, const float *w,
                         size_t ldw, int K, const float *dc, size_t ldc, float *ahead, float *du,
                         size_t lddu, float *dw)
{
	for (int at = 0; at < n; at += LANES) {
		const int lanes = n - at < LANES ? n - at : LANES;
		float *to = dw ? dw + at : NULL;
		if (K == 4 && lanes == LANES)
			ID(conv_back_lanes)
		(u + at, ldu, before, t, LANES, w + at, ldw, 4, dc + at, ldc, ahead + at, du + at,
		 lddu, to);
		else ID(conv_back_lanes)(u + at, ldu, before, t, lanes, w + at, ldw, K, dc + at,
		                         ldc, ahead + at, du + at, lddu, to);
	}
}

/* x = x * scale / sqrt(sum x^2 + eps), and the inverse root. */
INLINE void ID(unit)(float *x, int n, float scale, float *inverse)
{
	float inv = 1.0f / sqrtf(ID(dot)(x, x, n) + DELTA_UNIT_EPS);
	V f = SPLAT(inv * scale);
	for (int c = 0; c < n; c += LANES)
		STORE(x + c, f * LOAD(x + c));
	*inverse = inv;
}

/* dx from dy, in place; y is what unit() left. */
INLINE void ID(unit_back)(float *dy, const float *y, int n, float scale, float inverse)
{
	V along = SPLAT(ID(dot)(dy, y, n) / (scale * scale)), f = SPLAT(inverse * scale);
	for (int c = 0; c < n; c += LANES)
		STORE(dy + c, f * (LOAD(dy + c) - along * LOAD(y + c)));
}

/* y = o / sqrt(mean o^2 + eps) * w * silu(z); o is padded, the others are not. */
INLINE void ID(gated_norm)(const float *o, const float *z, const float *w, int n, float eps,
                           float *y)
{
	const int end = (int)delta_pad(n);
	V inv = SPLAT(1.0f / sqrtf(ID(dot)(o, o, end) / (float)n + eps));
	for (int c = 0; c < n; c += LANES) {
		V g = ID(load)(z + c, n - c);
		ID(store)
		(y + c, LOAD(o + c) * inv * ID(load)(w + c, n - c) * g * ID(sigmoid)(g), n - c);
	}
}

/* do (padded) and dz from dy; dw [padded] is added to. */
INLINE void ID(gated_norm_back)(const float *o, const float *z, const float *w, int n, float eps,
                                const float *dy, float *d_o, float *dz, float *dw)
{
	const int end = (int)delta_pad(n);
	const float inv = 1.0f / sqrtf(ID(dot)(o, o, end) / (float)n + eps);
	V dots = { 0 };
	for (int c = 0; c < end; c += LANES) {
		const int left = n - c;
		if (left <= 0) {
			STORE(d_o + c, (V){ 0 });
			continue;
		}
		V g = ID(load)(z + c, left), s = ID(sigmoid)(g), up = ID(load)(dy + c, left);
		V weight = ID(load)(w + c, left), oc = LOAD(o + c), norm = oc * SPLAT(inv);
		ID(store)(dz + c, up * norm * weight * FMA(g * s, SPLAT(1.0f) - s, s), left);
		V dn = up * g * s;
		if (dw)
			STORE(dw + c, FMA(dn, norm, LOAD(dw + c)));
		dn *= weight;
		dots = FMA(dn, oc, dots);
		STORE(d_o + c, dn);
	}
	V along = SPLAT(ID(lanes_sum)(dots) / (float)n * inv * inv);
	for (int c = 0; c < end; c += LANES)
		STORE(d_o + c, SPLAT(inv) * (LOAD(d_o + c) - along * LOAD(o + c)));
}

/* D_ij = e^(G_i - G_j) for j <= i < t, 0 elsewhere; [tp][64]. */
INLINE void ID(decays)(const float *G, int t, int tp, float *D)
{
	for (int i = 0; i < tp; i++, D += DELTA_CHUNK) {
		const int valid = i < t ? i + 1 : 0;
		int j = 0;
		for (; j < valid; j += LANES)
			STORE(D + j, ID(first)(ID(exp)(SPLAT(G[i]) - LOAD(G + j)), valid - j));
		for (; j < tp; j += LANES)
			STORE(D + j, (V){ 0 });
	}
}

/* y = s[i] x . D in the lower triangle (@strict: below the diagonal), 0 in the rest; s NULL: 1. The
 * product that made x has filled the vectors that the diagonal goes through. */
INLINE void ID(mask)(const float *x, const float *D, const float *s, int tp, bool strict, float *y)
{
	for (int i = 0; i < tp; i++, x += DELTA_CHUNK, y += DELTA_CHUNK, D += DELTA_CHUNK) {
		V f = SPLAT(s ? s[i] : 1.0f);
		int j = 0;
		for (; j <= i; j += LANES)
			STORE(y + j, f * LOAD(x + j) * LOAD(D + j));
		for (; j < tp; j += LANES)
			STORE(y + j, (V){ 0 });
		if (strict)
			y[i] = 0;
	}
}

/* ---- T = (I + A)^-1, A strictly lower, [tp][64] ---- */

INLINE void ID(inverse_16)(const float *A, float *T)
{
	for (int c = 0; c < 16; c += LANES) {
		V x[16];
		UNROLL
		for (int i = 0; i < 16; i++)
			x[i] = LOAD(delta_unit + 15 - i + c);
		UNROLL
		for (int j = 0; j < 16; j++) {
			STORE(T + (size_t)j * DELTA_CHUNK + c, x[j]);
			UNROLL
			for (int i = j + 1; i < 16; i++)
				x[i] -= SPLAT(A[(size_t)i * DELTA_CHUNK + (size_t)j]) * x[j];
		}
	}
}

APART void ID(inverse)(const float *A, int tp, float *T, float *tmp)
{
	const size_t ld = DELTA_CHUNK;
	for (int b = 0; b < tp; b += 16) {
		const float *row = A + (size_t)b * ld;
		float *to = T + (size_t)b * ld;
		ID(inverse_16)(row + b, to + b);
		if (b > 0) {
			ID(product)(ALL, 0, 16, b, b, row, ld, T, ld, tmp, ld, SET);
			ID(product)(ALL, 0, 16, b, 16, to + b, ld, tmp, ld, to, ld, NEG);
		}
		for (int i = 0; i < 16; i++)
			memset(to + (size_t)i * ld + b + 16, 0, (size_t)(tp - b - 16) * sizeof *to);
	}
}

/* ---- a chunk ---- */

/* beta and G of a chunk: beta 0 and G level from t on. x->sum: a + dt_bias. */
INLINE void ID(gates)(const struct delta_job *j, int row, int t, int head, float *G, float *beta,
                      struct delta_work *x)
{
	const float rate = -expf(j->w->a_log[head]), bias = j->w->dt_bias[head];
	for (int i = 0; i < DELTA_CHUNK; i++) {
		const size_t at = (size_t)(row + i) * (size_t)j->nv + (size_t)head;
		beta[i] = i < t ? j->b[at] : 0;
		x->sum[i] = i < t ? j->a[at] + bias : 0;
	}
	for (int i = 0; i < DELTA_CHUNK; i += LANES) {
		STORE(beta + i, ID(first)(ID(sigmoid)(LOAD(beta + i)), t - i));
		STORE(G + i, ID(first)(SPLAT(rate) * ID(softplus)(LOAD(x->sum + i)), t - i));
	}
	for (int i = 1; i < DELTA_CHUNK; i++)
		G[i] += G[i - 1];
}

/* The factors of a chunk's rows. */
INLINE void ID(factors)(const float *G, const float *beta, int t, struct delta_work *x)
{
	const float last = G[t - 1];
	for (int i = 0; i < DELTA_CHUNK; i += LANES) {
		V up = ID(exp)(LOAD(G + i));
		STORE(x->eg + i, up);
		STORE(x->bg + i, up * LOAD(beta + i));
		STORE(x->h + i, ID(exp)(SPLAT(last) - LOAD(G + i)));
	}
}

/* [U|W] and V' from T, S and the rest. */
INLINE void ID(chunk_values)(const struct delta_job *j, const struct delta_head *k, int tp,
                             struct delta_work *x)
{
	const size_t w = j->w_pad;
	ID(scale_rows)(k->beta, x->v, j->dvp, tp, (int)j->dvp, x->right, w);
	ID(scale_rows)(x->bg, x->k, j->dkp, tp, (int)j->dkp, x->right + j->dvp, w);
	ID(product)
	(LEFT_LOWER, 0, tp, (int)w, tp, k->t, DELTA_CHUNK, x->right, w, x->uw, w, SET);
	for (int i = 0; i < tp; i++)
		memcpy(x->values + (size_t)i * j->dvp, x->uw + (size_t)i * w,
		       j->dvp * sizeof(float));
	if (k->s)
		ID(product)
	(ALL, 0, tp, (int)j->dvp, (int)j->dkp, x->uw + j->dvp, w, k->s, j->dvp, x->values, j->dvp,
	 SUB);
}

APART void ID(forward_chunk)(const struct delta_job *j, const struct delta_head *k, int row, int t,
                             int tp, float *next, struct delta_work *x)
{
	const int dkp = (int)j->dkp, dvp = (int)j->dvp;
	ID(factors)(k->G, k->beta, t, x);
	ID(decays)(k->G, t, tp, x->decay);
	/* A */
	ID(mask)(x->kk, x->decay, k->beta, tp, true, x->a);
	ID(inverse)(x->a, tp, k->t, x->tmp);
	ID(chunk_values)(j, k, tp, x);
	/* P */
	ID(mask)(x->qk, x->decay, NULL, tp, false, x->p);
	/* O = e^G Q S + P V' */
	ID(product)
	(LEFT_LOWER, 0, tp, dvp, tp, x->p, DELTA_CHUNK, x->values, j->dvp, k->o, j->dvp, SET);
	if (k->s) {
		ID(scale_rows)(x->eg, x->q, j->dkp, tp, dkp, x->rows, j->dkp);
		ID(product)
		(ALL, 0, tp, dvp, dkp, x->rows, j->dkp, k->s, j->dvp, k->o, j->dvp, ADD);
	}
	if (next) { /* S = e^(G_C) S + (e^(G_C - G) K)t V' */
		ID(scale_rows)(x->h, x->k, j->dkp, tp, dkp, x->rows, j->dkp);
		ID(product_ta)
		(ALL, 0, dkp, dvp, tp, x->rows, j->dkp, x->values, j->dvp, next, j->dvp, SET);
		if (k->s) {
			V all = SPLAT(x->eg[t - 1]);
			for (int i = 0; i < dkp * dvp; i += LANES)
				STORE(next + i, FMA(all, LOAD(k->s + i), LOAD(next + i)));
		}
	}
	for (int i = 0; i < t; i++) {
		const size_t at = (size_t)(row + i) * j->z_row + (size_t)k->head * (size_t)j->dv;
		ID(gated_norm)
		(k->o + (size_t)i * j->dvp, j->z + at, j->w->norm, j->dv, j->eps, j->y + at);
	}
}

/* q and k of a chunk as convolved and normed, and QKt, KKt of them, lower triangles. */
INLINE void ID(chunk_keys)(const struct delta_job *j, int row, int done, int t, int tp, int key,
                           bool kk, struct delta_work *x)
{
	const size_t dkp = j->dkp, q_at = (size_t)key * (size_t)j->dk;
	const size_t k_at = (size_t)j->nk * (size_t)j->dk + q_at;
	const float *u = j->u + (size_t)row * j->channels;
	ID(conv)
	(u + q_at, j->channels, done, t, tp, j->dk, j->conv + q_at, j->conv_row, j->K, x->q, dkp);
	ID(conv)
	(u + k_at, j->channels, done, t, tp, j->dk, j->conv + k_at, j->conv_row, j->K, x->k, dkp);
	for (int i = 0; i < t; i++) {
		ID(unit)(x->q + (size_t)i * dkp, (int)dkp, j->q_scale, x->q_inv + i);
		ID(unit)(x->k + (size_t)i * dkp, (int)dkp, 1.0f, x->k_inv + i);
	}
	ID(transpose)(x->k, dkp, tp, (int)dkp, x->kt, DELTA_CHUNK);
	if (kk)
		ID(product)
	(OUT_LOWER, 0, tp, tp, (int)dkp, x->k, dkp, x->kt, DELTA_CHUNK, x->kk, DELTA_CHUNK, SET);
	ID(product)
	(OUT_LOWER, 0, tp, tp, (int)dkp, x->q, dkp, x->kt, DELTA_CHUNK, x->qk, DELTA_CHUNK, SET);
}

/* Where a value head's channels begin. */
INLINE size_t ID(value_at)(const struct delta_job *j, int head)
{
	return 2 * (size_t)j->nk * (size_t)j->dk + (size_t)head * (size_t)j->dv;
}

INLINE void ID(chunk_v)(const struct delta_job *j, int row, int done, int t, int tp, int head,
                        struct delta_work *x)
{
	const size_t at = ID(value_at)(j, head);
	ID(conv)
	(j->u + (size_t)row * j->channels + at, j->channels, done, t, tp, j->dv, j->conv + at,
	 j->conv_row, j->K, x->v, j->dvp);
}

static void ID(delta_item_forward)(const struct delta_job *j, int sample, int key, float *scratch)
{
	struct delta_work x;
	delta_work_in(&x, j, scratch);
	const int first = j->r->start[sample], len = j->r->start[sample + 1] - first;
	for (int done = 0, c = 0; done < len; done += DELTA_CHUNK, c++) {
		const int t = len - done < DELTA_CHUNK ? len - done : DELTA_CHUNK;
		const int tp = (t + 15) / 16 * 16, row = first + done;
		ID(chunk_keys)(j, row, done, t, tp, key, true, &x);
		for (int head = key * j->group; head < (key + 1) * j->group; head++) {
			struct delta_head k, next = { 0 };
			delta_head_at(&k, j, sample, c, head);
			if (done + t < len)
				delta_head_at(&next, j, sample, c + 1, head);
			ID(chunk_v)(j, row, done, t, tp, head, &x);
			ID(gates)(j, row, t, head, k.G, k.beta, &x);
			ID(forward_chunk)(j, &k, row, t, tp, next.s, &x);
		}
	}
}

/* ---- back ---- */

/* One value head of a chunk: dq and dk (of the normed ones) are added to x->dq and x->dk, dv is
 * left in x->dv, ds becomes the gradient of the state that came in; @more: a chunk follows, so ds
 * holds something. */
APART void ID(backward_chunk)(const struct delta_job *j, const struct delta_head *k, int row, int t,
                              int tp, bool more, float *ds, const float *next, float *part_norm,
                              float *part_gate, struct delta_work *x)
{
	const size_t dks = j->dkp, dvs = j->dvp, w = j->w_pad, C = DELTA_CHUNK;
	const int dkp = (int)dks, dvp = (int)dvs;

	ID(factors)(k->G, k->beta, t, x);
	ID(decays)(k->G, t, tp, x->decay);
	ID(chunk_values)(j, k, tp, x);
	ID(mask)(x->qk, x->decay, NULL, tp, false, x->p);

	/* dO */
	for (int i = 0; i < t; i++) {
		const size_t at = (size_t)(row + i) * j->z_row + (size_t)k->head * (size_t)j->dv;
		ID(gated_norm_back)
		(k->o + (size_t)i * dvs, j->z + at, j->w->norm, j->dv, j->eps, j->dy + at,
		 x->d_o + (size_t)i * dvs, j->dz + at, part_norm);
	}
	for (int i = t; i < tp; i++)
		memset(x->d_o + (size_t)i * dvs, 0, dvs * sizeof(float));

	/* dV' = Pt dO + H K dS, and dW = -dV' St, side by side */
	ID(product_ta)(LEFT_UPPER, 0, tp, dvp, tp, x->p, C, x->d_o, dvs, x->duw, w, SET);
	if (more) {
		ID(scale_rows)(x->h, x->k, dks, tp, dkp, x->rows, dks);
		ID(product)(ALL, 0, tp, dvp, dkp, x->rows, dks, ds, dvs, x->duw, w, ADD);
	}
	if (k->s) {
		ID(transpose)(k->s, dvs, dkp, dvp, x->st, dks);
		ID(product)
		(ALL, 0, tp, dkp, dvp, x->duw, w, x->st, dks, x->duw + dvs, w, NEG);
	} else {
		for (int i = 0; i < tp; i++)
			memset(x->duw + (size_t)i * w + dvs, 0, dks * sizeof(float));
	}
	/* dX = Tt [dV' | dW]: dX_u, dX_w */
	ID(product_ta)(LEFT_UPPER, 0, tp, (int)w, tp, k->t, C, x->duw, w, x->dx, w, SET);

	/* dP . D into p */
	ID(transpose)(x->values, dvs, tp, dvp, x->tmp, C);
	ID(product)(OUT_LOWER, 0, tp, tp, dvp, x->d_o, dvs, x->tmp, C, x->p, C, SET);
	ID(mask)(x->p, x->decay, NULL, tp, false, x->p);
	/* E0 = dA . D = -stril(dX [U|W]t) . D into a */
	ID(transpose)(x->uw, w, tp, (int)w, x->tmp, C);
	ID(product)(OUT_LOWER, 0, tp, tp, (int)w, x->dx, w, x->tmp, C, x->a, C, NEG);
	ID(mask)(x->a, x->decay, NULL, tp, true, x->a);

	/* dQ = e^G dO St + (dP . D) K */
	if (k->s) {
		ID(product)(ALL, 0, tp, dkp, dvp, x->d_o, dvs, x->st, dks, x->right, dks, SET);
		ID(scale_rows)(x->eg, x->right, dks, tp, dkp, x->right, dks);
	} else {
		memset(x->right, 0, (size_t)tp * dks * sizeof(float));
	}
	ID(product)(LEFT_LOWER, 0, tp, dkp, tp, x->p, C, x->k, dks, x->right, dks, ADD);
	for (int i = 0; i < t; i++) {
		float *sum = x->dq + (size_t)i * dks;
		const float *add = x->right + (size_t)i * dks;
		x->dg[i] = ID(dot)(x->q + (size_t)i * dks, add, dkp);
		for (int c = 0; c < dkp; c += LANES)
			STORE(sum + c, LOAD(sum + c) + LOAD(add + c));
	}

	/* Y = E0 K + e^G dX_w: dK has beta Y, dbeta k.Y */
	ID(scale_rows)(x->eg, x->dx + dvs, w, tp, dkp, x->right, dks);
	ID(product)(LEFT_LOWER, 0, tp, dkp, tp, x->a, C, x->k, dks, x->right, dks, ADD);
	/* Z = e^(G_C - G) V' dSt + (dP . D)t Q + E0t beta K: dK has it too */
	float *z = x->dx + dvs; /* dX_w has been used */
	if (more) {
		ID(transpose)(ds, dvs, dkp, dvp, x->tmp, dks);
		ID(product)(ALL, 0, tp, dkp, dvp, x->values, dvs, x->tmp, dks, z, w, SET);
		ID(scale_rows)(x->h, z, w, tp, dkp, z, w);
	} else {
		for (int i = 0; i < tp; i++)
			memset(z + (size_t)i * w, 0, dks * sizeof(float));
	}
	ID(product_ta)(LEFT_UPPER, 0, tp, dkp, tp, x->p, C, x->q, dks, z, w, ADD);
	ID(scale_rows)(k->beta, x->k, dks, tp, dkp, x->rows, dks);
	ID(product_ta)(LEFT_UPPER, 0, tp, dkp, tp, x->a, C, x->rows, dks, z, w, ADD);
	for (int i = 0; i < t; i++) {
		const float *y = x->right + (size_t)i * dks, *zi = z + (size_t)i * w;
		const float *ki = x->k + (size_t)i * dks;
		float *sum = x->dk + (size_t)i * dks, *dv = x->dv + (size_t)i * dvs;
		const float *dxu = x->dx + (size_t)i * w;
		const float ky = ID(dot)(ki, y, dkp);
		V beta = SPLAT(k->beta[i]);
		x->dg[i] += k->beta[i] * ky - ID(dot)(ki, zi, dkp);
		x->dbeta[i] = ky + ID(dot)(x->v + (size_t)i * dvs, dxu, dvp);
		for (int c = 0; c < dkp; c += LANES)
			STORE(sum + c, LOAD(sum + c) + FMA(beta, LOAD(y + c), LOAD(zi + c)));
		for (int c = 0; c < dvp; c += LANES)
			STORE(dv + c, beta * LOAD(dxu + c));
	}
	if (more)
		x->dg[t - 1] += ID(dot)(ds, next, dkp * dvp);

	/* dS = e^(G_C) dS + (e^G Q)t dO - Wt dV' */
	if (k->s) {
		V all = SPLAT(more ? x->eg[t - 1] : 0.0f);
		for (int i = 0; i < dkp * dvp; i += LANES)
			STORE(ds + i, more ? all * LOAD(ds + i) : (V){ 0 });
		ID(scale_rows)(x->eg, x->q, dks, tp, dkp, x->rows, dks);
		ID(product_ta)(ALL, 0, dkp, dvp, tp, x->rows, dks, x->d_o, dvs, ds, dvs, ADD);
		ID(product_ta)(ALL, 0, dkp, dvp, tp, x->uw + dvs, w, x->duw, w, ds, dvs, SUB);
	}

	/* gates */
	const float rate = -expf(j->w->a_log[k->head]), bias = j->w->dt_bias[k->head];
	for (int i = 0; i < DELTA_CHUNK; i++)
		x->sum[i] = i < t ? j->a[(size_t)(row + i) * (size_t)j->nv + (size_t)k->head] + bias
		                  : 0;
	for (int i = 0; i < t; i += LANES) {
		V a = LOAD(x->sum + i);
		STORE(x->slope + i, SPLAT(rate) * ID(sigmoid)(a));
		STORE(x->sum + i, SPLAT(rate) * ID(softplus)(a));
	}
	float sum = 0, to_a_log = 0, to_bias = 0;
	for (int i = t - 1; i >= 0; i--) {
		const size_t at = (size_t)(row + i) * (size_t)j->nv + (size_t)k->head;
		sum += x->dg[i];
		/* dg is e^g of what the state held: of less than that sum's rounding it is better
		 * taken for nothing, since A_log and a multiply it by up to g */
		const float dg = x->sum[i] < DELTA_FORGOTTEN ? 0.0f : sum;
		const float da = dg * x->slope[i];
		to_a_log += dg * x->sum[i];
		to_bias += da;
		j->da[at] = da;
		j->db[at] = x->dbeta[i] * k->beta[i] * (1.0f - k->beta[i]);
	}
	part_gate[0] += to_a_log;
	part_gate[1] += to_bias;
}

static void ID(delta_item_backward)(const struct delta_job *j, int sample, int key, float *scratch)
{
	struct delta_work x;
	delta_work_in(&x, j, scratch);
	const int first = j->r->start[sample], len = j->r->start[sample + 1] - first;
	const size_t heads = (size_t)j->nk * (size_t)j->dk, before = (size_t)(j->K - 1);
	struct delta_part part;
	delta_part_at(&part, j, sample, key);
	memset(x.ahead, 0, before * (2 * j->dkp + (size_t)j->group * j->dvp) * sizeof(float));

	const int chunks = (len + DELTA_CHUNK - 1) / DELTA_CHUNK;
	for (int c = chunks - 1; c >= 0; c--) {
		const int done = c * DELTA_CHUNK;
		const int t = len - done < DELTA_CHUNK ? len - done : DELTA_CHUNK;
		const int tp = (t + 15) / 16 * 16, row = first + done;
		const size_t at = (size_t)row * j->channels;
		const size_t q_at = (size_t)key * (size_t)j->dk, k_at = heads + q_at;
		ID(chunk_keys)(j, row, done, t, tp, key, false, &x);
		memset(x.dq, 0, (size_t)tp * j->dkp * sizeof(float));
		memset(x.dk, 0, (size_t)tp * j->dkp * sizeof(float));
		for (int v = 0; v < j->group; v++) {
			struct delta_head k, next = { 0 };
			const int head = key * j->group + v;
			const size_t v_at = ID(value_at)(j, head);
			delta_head_at(&k, j, sample, c, head);
			if (c + 1 < chunks)
				delta_head_at(&next, j, sample, c + 1, head);
			ID(chunk_v)(j, row, done, t, tp, head, &x);
			ID(backward_chunk)
			(j, &k, row, t, tp, c + 1 < chunks, x.ds + (size_t)v * j->dkp * j->dvp,
			 next.s, part.norm, part.gate + 2 * v, &x);
			ID(conv_back)
			(j->u + at + v_at, j->channels, done, t, j->dv, j->conv + v_at, j->conv_row,
			 j->K, x.dv, j->dvp, x.ahead + before * (2 * j->dkp + (size_t)v * j->dvp),
			 j->du + at + v_at, j->channels, part.conv ? part.conv + v_at : NULL);
		}
		for (int i = 0; i < t; i++) {
			const size_t r = (size_t)i * j->dkp;
			ID(unit_back)(x.dq + r, x.q + r, (int)j->dkp, j->q_scale, x.q_inv[i]);
			ID(unit_back)(x.dk + r, x.k + r, (int)j->dkp, 1.0f, x.k_inv[i]);
		}
		ID(conv_back)
		(j->u + at + q_at, j->channels, done, t, j->dk, j->conv + q_at, j->conv_row, j->K,
		 x.dq, j->dkp, x.ahead, j->du + at + q_at, j->channels,
		 part.conv ? part.conv + q_at : NULL);
		ID(conv_back)
		(j->u + at + k_at, j->channels, done, t, j->dk, j->conv + k_at, j->conv_row, j->K,
		 x.dk, j->dkp, x.ahead + before * j->dkp, j->du + at + k_at, j->channels,
		 part.conv ? part.conv + k_at : NULL);
	}
}
