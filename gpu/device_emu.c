/* The device layer over the host's own memory: every call does its work before it returns. For
 * tests alone; see device.h. */
#include "gpu/device.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/safetensors.h"

struct device {
	uint64_t taken_bytes;
};

enum { EMULATED_BYTES = 1 << 30 };

struct device *device_open(struct err *e)
{
	struct device *d = calloc(1, sizeof(*d));
	if (!d)
		err_set(e, ERR_MEM, "out of memory");
	return d;
}

void device_close(struct device *d)
{
	free(d);
}

void device_describe(struct device *d, struct device_about *out)
{
	memset(out, 0, sizeof(*out));
	strcpy(out->name, "emulated device");
	out->total_bytes = EMULATED_BYTES;
	out->free_bytes = EMULATED_BYTES - d->taken_bytes;
	out->processors = 2;
}

dev_stream device_stream(struct device *d)
{
	(void)d;
	return NULL;
}

void *device_take(struct device *d, uint64_t bytes, struct err *e)
{
	/* not cleared: what reads before it writes shall meet NaN */
	void *p = aligned_alloc(256, (bytes + 255) & ~(uint64_t)255);
	if (!p) {
		err_set(e, ERR_MEM, "out of memory: %llu bytes", (unsigned long long)bytes);
		return NULL;
	}
	memset(p, 0xff, bytes);
	d->taken_bytes += bytes;
	return p;
}

void device_give(struct device *d, void *p)
{
	(void)d;
	free(p);
}

void *device_take_pinned(struct device *d, uint64_t bytes, struct err *e)
{
	(void)d;
	void *p = aligned_alloc(256, (bytes + 255) & ~(uint64_t)255);
	if (!p)
		err_set(e, ERR_MEM, "out of memory: %llu bytes", (unsigned long long)bytes);
	else
		memset(p, 0xff, bytes);
	return p;
}

void device_give_pinned(struct device *d, void *p)
{
	(void)d;
	free(p);
}

void device_upload(struct device *d, void *dst, const void *pinned, uint64_t bytes)
{
	device_copy(d, dst, pinned, bytes);
}

void device_download(struct device *d, void *pinned, const void *src, uint64_t bytes)
{
	device_copy(d, pinned, src, bytes);
}

void device_copy(struct device *d, void *dst, const void *src, uint64_t bytes)
{
	(void)d;
	if (bytes)
		memcpy(dst, src, bytes);
}

void device_zero(struct device *d, void *dst, uint64_t bytes)
{
	(void)d;
	if (bytes)
		memset(dst, 0, bytes);
}

void device_mark(struct device *d, int event)
{
	(void)d;
	(void)event;
}

int device_wait(struct device *d, int event, struct err *e)
{
	(void)event;
	return device_check(d, e);
}

int device_finish(struct device *d, struct err *e)
{
	return device_check(d, e);
}

int device_check(struct device *d, struct err *e)
{
	(void)d;
	(void)e;
	return 0;
}

float device_elapsed_ms(struct device *d, int from, int to)
{
	(void)d;
	(void)from;
	(void)to;
	return 0;
}

void device_capture_begin(struct device *d)
{
	(void)d;
}

struct device_graph *device_capture_end(struct device *d)
{
	(void)d;
	return NULL;
}

void device_graph_launch(struct device *d, struct device_graph *g)
{
	(void)d;
	(void)g;
}

void device_graph_drop(struct device *d, struct device_graph *g)
{
	(void)d;
	(void)g;
}

static void product(const struct gemm *g, const uint16_t *w, const uint16_t *x, bool add)
{
	float row[8192];
	for (int i = 0; i < g->n; i++) {
		if (g->k > (int)(sizeof(row) / sizeof(*row)))
			abort(); /* no model that fits the emulation */
		for (int k = 0; k < g->k; k++)
			row[k] = bf16_widen(w[(size_t)i * g->ldw + k]);
		for (int t = 0; t < g->rows; t++) {
			float part[4] = { 0 }, *y = g->y + (size_t)t * g->ldy + i;
			for (int k = 0; k < g->k; k++) /* four chains: sooner done */
				part[k % 4] += bf16_widen(x[(size_t)t * g->ldx + k]) * row[k];
			float sum = (part[0] + part[1]) + (part[2] + part[3]);
			*y = g->scale * sum + (add ? *y : 0);
		}
	}
}

void device_gemm(struct device *d, const struct gemm *g)
{
	(void)d;
	product(g, g->w, g->x, g->add);
	if (g->x_low)
		product(g, g->w, g->x_low, true);
	if (g->w_low)
		product(g, g->w_low, g->x, true);
}

/* @rows x @columns values of rows of @ld, or of their transpose, as floats close together. */
static float *widened(const uint16_t *v, int rows, int columns, int ld, bool turned)
{
	float *out = malloc(sizeof(*out) * ((size_t)rows * (size_t)columns + 1));
	if (!out)
		abort();
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < columns; j++) {
			uint32_t bits = v[turned ? (size_t)j * (size_t)ld + (size_t)i
			                         : (size_t)i * (size_t)ld + (size_t)j];
			bits <<= 16;
			memcpy(&out[(size_t)i * (size_t)columns + (size_t)j], &bits, 4);
		}
	return out;
}

static float dot(const float *a, const float *b, int n)
{
	float part[8] = { 0 };
	int k = 0;
	for (; k + 8 <= n; k += 8) /* eight chains: sooner done */
		for (int i = 0; i < 8; i++)
			part[i] += a[k + i] * b[k + i];
	for (; k < n; k++)
		part[k % 8] += a[k] * b[k];
	return ((part[0] + part[1]) + (part[2] + part[3])) +
	       ((part[4] + part[5]) + (part[6] + part[7]));
}

void device_product(struct device *d, const struct product *p)
{
	(void)d;
	for (int z = 0; z < (p->batch > 1 ? p->batch : 1); z++) {
		float *a = widened(p->a + z * p->step_a, p->m, p->k, p->lda, p->a_turned);
		float *b = widened(p->b + z * p->step_b, p->n, p->k, p->ldb, !p->b_turned);
		for (int i = 0; i < p->m; i++)
			for (int j = 0; j < p->n; j++) {
				size_t at = (size_t)(z * p->step_c) + (size_t)i * (size_t)p->ldc +
				            (size_t)j;
				float v = p->scale * dot(a + (size_t)i * (size_t)p->k,
				                         b + (size_t)j * (size_t)p->k, p->k);
				if (p->c_bf16) {
					uint16_t *c = (uint16_t *)p->c + at;
					*c = bf16_round(p->add ? v + bf16_widen(*c) : v);
				} else {
					float *c = (float *)p->c + at;
					*c = p->add ? v + *c : v;
				}
			}
		free(a);
		free(b);
	}
}
