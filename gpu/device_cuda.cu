/* The device layer over the CUDA runtime and cuBLASLt; see device.h. */
extern "C" {
#include "src/base/err.h"
}
#include "gpu/device.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace
{

const size_t WORKSPACE_BYTES = (size_t)32 << 20; /* what NVIDIA advises for Hopper */
const int SHAPES_MAX = 4096, PLACES = 2 * SHAPES_MAX;

/* In cuBLASLt's columns: y (n x rows) = w (n x k, or k x n turned) times x (k x rows, or rows x k
 * turned). No gaps: compared as bytes. */
struct shape {
	int rows, n, k, ldw, ldx, ldy, align_w, align_x, align_y, batch;
	int turn_w, turn_x, y_bf16, add;
	int64_t step_w, step_x, step_y;
};

struct plan {
	struct shape shape;
	cublasLtMatmulDesc_t desc;
	cublasLtMatrixLayout_t w, x, y;
	cublasLtMatmulAlgo_t algo;
};

} // namespace

struct device {
	int index;
	cudaStream_t stream;
	cudaEvent_t event[DEVICE_EVENTS];
	cublasLtHandle_t lt;
	void *workspace;
	struct plan *plan;
	int n_plans;
	int *place;        /* [PLACES] by a hash of the shape: index into plan + 1; 0: empty */
	cudaError_t first; /* what failed first */
	cublasStatus_t first_product; /* of cuBLASLt */
};

static int words(struct err *e, enum err_kind kind, const char *what, cudaError_t r)
{
	return err_set(e, kind, "%s: %s (%s)", what, cudaGetErrorString(r), cudaGetErrorName(r));
}

static void note(struct device *d, cudaError_t r)
{
	if (r != cudaSuccess && d->first == cudaSuccess)
		d->first = r;
}

static void plan_free(struct plan *p)
{
	if (p->desc)
		cublasLtMatmulDescDestroy(p->desc);
	if (p->w)
		cublasLtMatrixLayoutDestroy(p->w);
	if (p->x)
		cublasLtMatrixLayoutDestroy(p->x);
	if (p->y)
		cublasLtMatrixLayoutDestroy(p->y);
}

static void plans_forget(struct device *d)
{
	for (int i = 0; i < d->n_plans; i++)
		plan_free(&d->plan[i]);
	d->n_plans = 0;
	memset(d->place, 0, sizeof(*d->place) * PLACES);
}

struct device *device_open(struct err *e)
{
	int count = 0;
	cudaError_t r = cudaGetDeviceCount(&count);
	if (r != cudaSuccess || count == 0) {
		if (r == cudaSuccess)
			r = cudaErrorNoDevice;
		words(e, ERR_LACKS, "no CUDA device can be used; the CPU backend needs none", r);
		return NULL;
	}
	struct device *d = (struct device *)calloc(1, sizeof(*d));
	if (d) {
		d->plan = (struct plan *)calloc(SHAPES_MAX, sizeof(*d->plan));
		d->place = (int *)calloc(PLACES, sizeof(*d->place));
	}
	if (!d || !d->plan || !d->place) {
		if (d) {
			free(d->plan);
			free(d->place);
		}
		free(d);
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	cudaDeviceProp p;
	r = cudaGetDeviceProperties(&p, 0);
	if (r == cudaSuccess && p.major != 9) {
		err_set(e, ERR_LACKS,
		        "%s has compute capability %d.%d; this program is built for 9.0 (H100, "
		        "H200)",
		        p.name, p.major, p.minor);
		device_close(d);
		return NULL;
	}
	if (r == cudaSuccess)
		r = cudaSetDevice(0);
	if (r == cudaSuccess)
		r = cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking);
	for (int i = 0; i < DEVICE_EVENTS && r == cudaSuccess; i++)
		r = cudaEventCreate(&d->event[i]);
	if (r == cudaSuccess)
		r = cudaMalloc(&d->workspace, WORKSPACE_BYTES);
	if (r != cudaSuccess) {
		words(e, ERR_LACKS, "the CUDA device cannot be opened", r);
		device_close(d);
		return NULL;
	}
	cublasStatus_t s = cublasLtCreate(&d->lt);
	if (s != CUBLAS_STATUS_SUCCESS) {
		err_set(e, ERR_LACKS, "cuBLASLt cannot be started: %s", cublasLtGetStatusString(s));
		device_close(d);
		return NULL;
	}
	return d;
}

void device_close(struct device *d)
{
	if (!d)
		return;
	plans_forget(d);
	if (d->lt)
		cublasLtDestroy(d->lt);
	if (d->workspace)
		cudaFree(d->workspace);
	for (int i = 0; i < DEVICE_EVENTS; i++)
		if (d->event[i])
			cudaEventDestroy(d->event[i]);
	if (d->stream)
		cudaStreamDestroy(d->stream);
	free(d->plan);
	free(d->place);
	free(d);
}

void device_describe(struct device *d, struct device_about *out)
{
	cudaDeviceProp p;
	size_t free_bytes = 0, total = 0;
	memset(out, 0, sizeof(*out));
	note(d, cudaMemGetInfo(&free_bytes, &total));
	if (cudaGetDeviceProperties(&p, 0) == cudaSuccess) {
		snprintf(out->name, sizeof(out->name), "%.120s, sm_%d%d, %d SMs", p.name, p.major,
		         p.minor, p.multiProcessorCount);
		out->processors = p.multiProcessorCount;
	}
	out->total_bytes = total;
	out->free_bytes = free_bytes;
	out->graphs = true;
}

dev_stream device_stream(struct device *d)
{
	return (dev_stream)d->stream;
}

void *device_take(struct device *d, uint64_t bytes, struct err *e)
{
	void *p = NULL;
	cudaError_t r = cudaMalloc(&p, bytes ? bytes : 1);
	(void)d;
	if (r != cudaSuccess) {
		cudaGetLastError(); /* a refused allocation is no lost device */
		char what[80];
		snprintf(what, sizeof(what), "%.1f MiB of device memory", (double)bytes / 1048576);
		words(e, ERR_MEM, what, r);
		return NULL;
	}
	return p;
}

void device_give(struct device *d, void *p)
{
	(void)d;
	if (p)
		cudaFree(p);
}

void *device_take_pinned(struct device *d, uint64_t bytes, struct err *e)
{
	void *p = NULL;
	cudaError_t r = cudaMallocHost(&p, bytes ? bytes : 1);
	(void)d;
	if (r != cudaSuccess) {
		cudaGetLastError();
		char what[80];
		snprintf(what, sizeof(what), "%.1f MiB of pinned memory", (double)bytes / 1048576);
		words(e, ERR_MEM, what, r);
		return NULL;
	}
	return p;
}

void device_give_pinned(struct device *d, void *p)
{
	(void)d;
	if (p)
		cudaFreeHost(p);
}

void device_upload(struct device *d, void *dst, const void *pinned, uint64_t bytes)
{
	if (bytes)
		note(d, cudaMemcpyAsync(dst, pinned, bytes, cudaMemcpyHostToDevice, d->stream));
}

void device_download(struct device *d, void *pinned, const void *src, uint64_t bytes)
{
	if (bytes)
		note(d, cudaMemcpyAsync(pinned, src, bytes, cudaMemcpyDeviceToHost, d->stream));
}

void device_copy(struct device *d, void *dst, const void *src, uint64_t bytes)
{
	if (bytes)
		note(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, d->stream));
}

void device_zero(struct device *d, void *dst, uint64_t bytes)
{
	if (bytes)
		note(d, cudaMemsetAsync(dst, 0, bytes, d->stream));
}

void device_mark(struct device *d, int event)
{
	note(d, cudaEventRecord(d->event[event], d->stream));
}

int device_wait(struct device *d, int event, struct err *e)
{
	note(d, cudaEventSynchronize(d->event[event]));
	return device_check(d, e);
}

int device_finish(struct device *d, struct err *e)
{
	note(d, cudaStreamSynchronize(d->stream));
	return device_check(d, e);
}

int device_check(struct device *d, struct err *e)
{
	note(d, cudaGetLastError());
	if (d->first != cudaSuccess)
		return words(e, ERR_LOST, "the CUDA device failed", d->first);
	if (d->first_product != CUBLAS_STATUS_SUCCESS)
		return err_set(e, ERR_LOST, "the CUDA device failed: cuBLASLt: %s",
		               cublasLtGetStatusString(d->first_product));
	return 0;
}

float device_elapsed_ms(struct device *d, int from, int to)
{
	float ms = 0;
	note(d, cudaEventElapsedTime(&ms, d->event[from], d->event[to]));
	return ms;
}

void device_capture_begin(struct device *d)
{
	note(d, cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal));
}

struct device_graph *device_capture_end(struct device *d)
{
	cudaGraph_t graph = NULL;
	cudaGraphExec_t exec = NULL;
	if (cudaStreamEndCapture(d->stream, &graph) != cudaSuccess ||
	    cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess) {
		cudaGetLastError();
		exec = NULL;
	}
	if (graph)
		cudaGraphDestroy(graph);
	return (struct device_graph *)exec;
}

void device_graph_launch(struct device *d, struct device_graph *g)
{
	note(d, cudaGraphLaunch((cudaGraphExec_t)g, d->stream));
}

void device_graph_drop(struct device *d, struct device_graph *g)
{
	if (g)
		note(d, cudaGraphExecDestroy((cudaGraphExec_t)g));
}

/* The largest power of two, up to 256, that divides the address and the row's bytes. */
static int alignment(const void *p, size_t row_bytes)
{
	size_t bits = (size_t)p | row_bytes | 256;
	return (int)(bits & -bits);
}

/* FNV-1a over the shape. */
static unsigned shape_hash(const struct shape *s)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < sizeof(*s); i++)
		h = (h ^ p[i]) * 16777619u;
	return h % PLACES;
}

static cublasStatus_t layout_make(cublasLtMatrixLayout_t *out, cudaDataType_t type, int rows,
                                  int columns, int ld, int batch, int64_t step)
{
	cublasStatus_t s = cublasLtMatrixLayoutCreate(out, type, rows, columns, ld);
	if (s == CUBLAS_STATUS_SUCCESS && batch > 1) {
		s = cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
		                                     &batch, sizeof(batch));
		if (s == CUBLAS_STATUS_SUCCESS)
			s = cublasLtMatrixLayoutSetAttribute(
				*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step,
				sizeof(step));
	}
	return s;
}

static cublasStatus_t plan_make(struct device *d, struct plan *p)
{
	const struct shape *f = &p->shape;
	cublasOperation_t turned = CUBLAS_OP_T;
	cublasLtMatmulPreference_t pref = NULL;
	uint32_t align_w = (uint32_t)f->align_w, align_x = (uint32_t)f->align_x;
	uint32_t align_y = (uint32_t)f->align_y;
	/* sums split over blocks are joined in a fixed order or not at all: no atomics */
	uint32_t joins = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
	size_t workspace = WORKSPACE_BYTES;
	cublasLtMatmulHeuristicResult_t found;
	int n_found = 0;
	cublasStatus_t s = cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
	if (s == CUBLAS_STATUS_SUCCESS && f->turn_w)
		s = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &turned,
		                                   sizeof(turned));
	if (s == CUBLAS_STATUS_SUCCESS && f->turn_x)
		s = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &turned,
		                                   sizeof(turned));
	if (s == CUBLAS_STATUS_SUCCESS)
		s = layout_make(&p->w, CUDA_R_16BF, f->turn_w ? f->k : f->n,
		                f->turn_w ? f->n : f->k, f->ldw, f->batch, f->step_w);
	if (s == CUBLAS_STATUS_SUCCESS)
		s = layout_make(&p->x, CUDA_R_16BF, f->turn_x ? f->rows : f->k,
		                f->turn_x ? f->k : f->rows, f->ldx, f->batch, f->step_x);
	if (s == CUBLAS_STATUS_SUCCESS)
		s = layout_make(&p->y, f->y_bf16 ? CUDA_R_16BF : CUDA_R_32F, f->n, f->rows, f->ldy,
		                f->batch, f->step_y);
	if (s == CUBLAS_STATUS_SUCCESS)
		s = cublasLtMatmulPreferenceCreate(&pref);
	if (s == CUBLAS_STATUS_SUCCESS) {
		cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
		                                     &workspace, sizeof(workspace));
		cublasLtMatmulPreferenceSetAttribute(
			pref, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &joins, sizeof(joins));
		cublasLtMatmulPreferenceSetAttribute(pref,
		                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
		                                     &align_w, sizeof(align_w));
		cublasLtMatmulPreferenceSetAttribute(pref,
		                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
		                                     &align_x, sizeof(align_x));
		cublasLtMatmulPreferenceSetAttribute(pref,
		                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
		                                     &align_y, sizeof(align_y));
		cublasLtMatmulPreferenceSetAttribute(pref,
		                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
		                                     &align_y, sizeof(align_y));
		s = cublasLtMatmulAlgoGetHeuristic(d->lt, p->desc, p->w, p->x, p->y, p->y, pref, 1,
		                                   &found, &n_found);
	}
	if (s == CUBLAS_STATUS_SUCCESS && n_found == 0)
		s = CUBLAS_STATUS_NOT_SUPPORTED;
	if (pref)
		cublasLtMatmulPreferenceDestroy(pref);
	if (s == CUBLAS_STATUS_SUCCESS)
		p->algo = found.algo;
	return s;
}

static struct plan *plan_find(struct device *d, const struct shape *want)
{
	/* a full table starts anew: any plan can be made again with the same outcome */
	if (d->n_plans == SHAPES_MAX)
		plans_forget(d);
	unsigned at = shape_hash(want);
	for (; d->place[at]; at = (at + 1) % PLACES)
		if (memcmp(&d->plan[d->place[at] - 1].shape, want, sizeof(*want)) == 0)
			return &d->plan[d->place[at] - 1];
	struct plan p;
	memset(&p, 0, sizeof(p));
	memcpy(&p.shape, want, sizeof(*want));
	cublasStatus_t s = plan_make(d, &p);
	if (s != CUBLAS_STATUS_SUCCESS) {
		if (d->first_product == CUBLAS_STATUS_SUCCESS)
			d->first_product = s;
		plan_free(&p);
		return NULL;
	}
	d->plan[d->n_plans] = p;
	d->place[at] = ++d->n_plans;
	return &d->plan[d->n_plans - 1];
}

static void multiply(struct device *d, const struct shape *f, float scale, const void *w,
                     const void *x, void *y)
{
	struct plan *p = plan_find(d, f);
	if (!p)
		return;
	float beta = f->add ? 1.0f : 0.0f;
	cublasStatus_t s =
		cublasLtMatmul(d->lt, p->desc, &scale, w, p->w, x, p->x, &beta, y, p->y, y, p->y,
	                       &p->algo, d->workspace, WORKSPACE_BYTES, d->stream);
	if (s != CUBLAS_STATUS_SUCCESS && d->first_product == CUBLAS_STATUS_SUCCESS)
		d->first_product = s;
}

static void product(struct device *d, const struct gemm *g, const uint16_t *w, const uint16_t *x,
                    bool add)
{
	struct shape f;
	memset(&f, 0, sizeof(f));
	f.rows = g->rows;
	f.n = g->n;
	f.k = g->k;
	f.ldw = g->ldw;
	f.ldx = g->ldx;
	f.ldy = g->ldy;
	f.align_w = alignment(w, (size_t)g->ldw * 2);
	f.align_x = alignment(x, (size_t)g->ldx * 2);
	f.align_y = alignment(g->y, (size_t)g->ldy * 4);
	f.batch = 1;
	f.turn_w = 1;
	f.add = add;
	multiply(d, &f, g->scale, w, x, g->y);
}

void device_gemm(struct device *d, const struct gemm *g)
{
	product(d, g, g->w, g->x, g->add);
	if (g->x_low)
		product(d, g, g->w, g->x_low, true);
	if (g->w_low)
		product(d, g, g->w_low, g->x, true);
}

/* c' (n x m) = b' a': what is row-major here is transposed there. */
void device_product(struct device *d, const struct product *p)
{
	struct shape f;
	bool many = p->batch > 1;
	size_t wide = p->c_bf16 ? 2 : 4;
	memset(&f, 0, sizeof(f));
	f.rows = p->m;
	f.n = p->n;
	f.k = p->k;
	f.ldw = p->ldb;
	f.ldx = p->lda;
	f.ldy = p->ldc;
	f.batch = many ? p->batch : 1;
	f.step_w = many ? p->step_b : 0;
	f.step_x = many ? p->step_a : 0;
	f.step_y = many ? p->step_c : 0;
	f.align_w = alignment(p->b, (size_t)p->ldb * 2 | (size_t)f.step_w * 2);
	f.align_x = alignment(p->a, (size_t)p->lda * 2 | (size_t)f.step_x * 2);
	f.align_y = alignment(p->c, (size_t)p->ldc * wide | (size_t)f.step_y * wide);
	f.turn_w = p->b_turned;
	f.turn_x = p->a_turned;
	f.y_bf16 = p->c_bf16;
	f.add = p->add;
	multiply(d, &f, p->scale, p->b, p->a, p->c);
}
