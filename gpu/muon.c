#include "gpu/muon.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/blas.h"
#include "gpu/train_kernels.h"

enum { NEWTON_SCHULZ_STEPS = 5 };

struct stepping {
	const struct muon_matrix *matrix;
	const int *order; /* largest first, so that no thread ends with the largest */
	const struct update *u;
	double scale;
	float *scratch;
	size_t floats; /* of a thread */
};

static double work(const struct muon_matrix *m)
{
	double less = m->rows < m->cols ? m->rows : m->cols;

	return less * less * ((double)m->rows + m->cols + less);
}

static size_t scratch_floats(const struct muon_matrix *m)
{
	size_t less = (size_t)(m->rows < m->cols ? m->rows : m->cols);
	size_t more = (size_t)(m->rows < m->cols ? m->cols : m->rows);

	return 2 * less * more + 2 * less * less;
}

/* x [less][more] towards the orthogonal matrix nearest to it; @spare as large, @a and @b [less]
 * [less]. Returns the one of the two that has the result. */
static float *orthogonal(float *x, float *spare, float *a, float *b, int less, int more)
{
	const float c1 = 3.4445f, c2 = -4.7750f, c3 = 2.0315f;
	size_t wide = (size_t)more, small = (size_t)less;

	for (int i = 0; i < NEWTON_SCHULZ_STEPS; i++) {
		/* A = X Xt; B = c2 A + c3 A A; X = c1 X + B X */
		blas_product(NULL, &(struct product_of){ .tb = true,
		                                         .m = less,
		                                         .n = less,
		                                         .k = more,
		                                         .alpha = 1,
		                                         .a = x,
		                                         .b = x,
		                                         .lda = wide,
		                                         .ldb = wide,
		                                         .c = a,
		                                         .ldc = small });
		memcpy(b, a, small * small * sizeof(float));
		blas_product(NULL, &(struct product_of){ .m = less,
		                                         .n = less,
		                                         .k = less,
		                                         .alpha = c3,
		                                         .beta = c2,
		                                         .a = a,
		                                         .b = a,
		                                         .lda = small,
		                                         .ldb = small,
		                                         .c = b,
		                                         .ldc = small });
		memcpy(spare, x, small * wide * sizeof(float));
		blas_product(NULL, &(struct product_of){ .m = less,
		                                         .n = more,
		                                         .k = less,
		                                         .alpha = 1,
		                                         .beta = c1,
		                                         .a = b,
		                                         .b = x,
		                                         .lda = small,
		                                         .ldb = wide,
		                                         .c = spare,
		                                         .ldc = wide });
		float *t = x;
		x = spare;
		spare = t;
	}
	return x;
}

static void step_item(void *arg, int item, int thread)
{
	const struct stepping *s = arg;
	const struct muon_matrix *m = &s->matrix[s->order[item]];
	const bool turned = m->rows > m->cols;
	const int less = turned ? m->cols : m->rows, more = turned ? m->rows : m->cols;
	const size_t n = (size_t)m->rows * (size_t)m->cols, small = (size_t)less;
	const size_t rows = (size_t)m->rows, cols = (size_t)m->cols;
	const float mu = (float)s->u->momentum, scale = (float)s->scale;
	float *x = s->scratch + (size_t)thread * s->floats, *spare = x + n, *a = spare + n,
	      *b = a + small * small;

	/* the spare one as it stands, x as the iteration wants it: not higher than wide */
	for (size_t i = 0; i < n; i++) {
		float g = m->gradient[i] * scale;
		m->momentum[i] = mu * m->momentum[i] + g;
		spare[i] = g + mu * m->momentum[i];
	}
	float by = (float)(1 / (sqrt(squares(spare, n)) + 1e-7));
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < cols; c++)
			x[turned ? c * rows + r : r * cols + c] = by * spare[r * cols + c];
	x = orthogonal(x, spare, a, b, less, more);

	const float keep = (float)(1 - s->u->lr_muon * s->u->decay);
	const float rate = (float)(s->u->lr_muon * sqrt(fmax(1, (double)rows / (double)cols)));
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < cols; c++)
			m->value[r * cols + c] = m->value[r * cols + c] * keep -
			                         rate * x[turned ? c * rows + r : r * cols + c];
}

int muon_update(struct pool *pool, const struct muon_matrix *m, int n, const struct update *u,
                double scale, struct err *e)
{
	struct stepping s = { .matrix = m, .u = u, .scale = scale };
	int *order = malloc(((size_t)n + 1) * sizeof(*order)), rc = 0;

	for (int i = 0; i < n; i++) {
		size_t floats = scratch_floats(&m[i]);
		s.floats = floats > s.floats ? floats : s.floats;
	}
	s.scratch = malloc((size_t)pool_threads(pool) * s.floats * sizeof(float) + 1);
	if (!order || !s.scratch) {
		rc = err_set(e, ERR_MEM, "no memory for Muon's step: %zu MiB wanted",
		             (size_t)pool_threads(pool) * s.floats * sizeof(float) >> 20);
		goto out;
	}
	for (int i = 0; i < n; i++) {
		int k = i;
		for (; k > 0 && work(&m[order[k - 1]]) < work(&m[i]); k--)
			order[k] = order[k - 1];
		order[k] = i;
	}
	s.order = order;
	pool_run(pool, step_item, &s, n);
out:
	free(order);
	free(s.scratch);
	return rc;
}
