/*
 * emu.cc - the fibres behind emu.h.
 *
 * A block's threads are fibres that switch by saving six registers and a stack pointer (ucontext
 * makes a system call each time; it is used only where no switch is written below). A warp runs
 * until all its lanes stand at a barrier of the block or have ended, then the next warp: that is as
 * far apart as barriers let them be. A warp word is a meeting: each lane leaves a pointer to a
 * record on its own stack, the last one in computes for all.
 */
#include "gpu/dev.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace
{

enum { THREADS_MAX = 1024, BUFFERS_MAX = 64, STACK_BYTES = 256 << 10, PENDING_MAX = 256 };
enum state { READY, AT_MEETING, AT_BARRIER, ENDED };

struct place {
	const char *file;
	int line;
};

struct copy {
	void *to;
	const void *from; /* NULL: zeros */
	int group;
	place at;
};

struct fibre {
	emu_thread self; /* first: emu_self points here */
	enum state state;
	int warp, linear;
	place at;
	const char *what;
	void *record;
	int groups; /* committed groups of asynchronous copies so far */
	int n_pending;
	copy pending[PENDING_MAX];
	char *stack;
#if defined(__x86_64__) || defined(__aarch64__)
	void *sp;
#else
	ucontext_t context;
#endif
#if defined(__SANITIZE_ADDRESS__)
	void *fake_stack;
#endif
};

struct buffer {
	const void *key;
	size_t bytes;
	char *data;
};

struct {
	enum emu_order order;
	uint64_t seed, random;
	bool keep_faults;
	char fault[1000];

	fibre *threads; /* THREADS_MAX */
	char *stacks;
	const char *kernel;
	void (*body)(void *);
	void *ctx;
	int n;
	int arrived; /* at the block's barrier */
	int met[THREADS_MAX / 32];
	buffer shared[BUFFERS_MAX];
	int n_shared;
	char *dynamic;
	size_t dynamic_bytes;
	bool stopped;
#if defined(__x86_64__) || defined(__aarch64__)
	void *main_sp;
#else
	ucontext_t main_context;
#endif
#if defined(__SANITIZE_ADDRESS__)
	void *main_fake;
	const void *main_bottom;
	size_t main_size;
#endif
} emu;

fibre *now()
{
	return (fibre *)emu_self;
}

uint64_t next_random()
{
	uint64_t z = (emu.random += 0x9e3779b97f4a7c15ull);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void arrange(int *order, int n)
{
	for (int i = 0; i < n; i++)
		order[i] = emu.order == EMU_DOWN ? n - 1 - i : i;
	if (emu.order == EMU_SEEDED)
		for (int i = n - 1; i > 0; i--)
			std::swap(order[i], order[next_random() % (uint64_t)(i + 1)]);
}

void fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void fault(const char *fmt, ...)
{
	char text[900];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!emu.fault[0])
		snprintf(emu.fault, sizeof(emu.fault), "%s: %s", emu.kernel ? emu.kernel : "?",
		         text);
	if (!emu.keep_faults) {
		fprintf(stderr, "%s\n", emu.fault);
		abort();
	}
	emu.stopped = true;
}

} // namespace

emu_thread *emu_self;

/* ---- the switch ---- */

#if defined(__x86_64__)
extern "C" void emu_switch(void **save, void *load);
asm(".text\n.align 16\n.globl emu_switch\n.type emu_switch,@function\nemu_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
    ".size emu_switch,.-emu_switch\n");
static void *first_frame(char *top, void (*entry)())
{
	void **sp = (void **)((uintptr_t)top & ~(uintptr_t)15);
	*--sp = nullptr; /* where a caller would be: none */
	*--sp = (void *)entry;
	for (int i = 0; i < 6; i++)
		*--sp = nullptr;
	return sp;
}
#elif defined(__aarch64__)
extern "C" void emu_switch(void **save, void *load);
asm(".text\n.align 4\n.globl emu_switch\n.type emu_switch,%function\nemu_switch:\n"
    "sub sp,sp,#160\n"
    "stp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\nstp x25,x26,[sp,#48]\n"
    "stp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\n"
    "stp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\n"
    "mov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
    "ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\nldp x25,x26,[sp,#48]\n"
    "ldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\n"
    "ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\n"
    "add sp,sp,#160\nret\n"
    ".size emu_switch,.-emu_switch\n");
static void *first_frame(char *top, void (*entry)())
{
	char *sp = (char *)((uintptr_t)top & ~(uintptr_t)15) - 160;
	memset(sp, 0, 160);
	((void **)sp)[11] = (void *)entry; /* x30 */
	return sp;
}
#endif

#if defined(__SANITIZE_ADDRESS__)
#define LEAVE(fake, bottom, size)  __sanitizer_start_switch_fiber(fake, bottom, size)
#define ARRIVE(fake, bottom, size) __sanitizer_finish_switch_fiber(fake, bottom, size)
#endif

/* From the fibre that runs to the scheduler. */
static void to_main(bool for_good)
{
	fibre *f = now();
#if defined(__SANITIZE_ADDRESS__)
	LEAVE(for_good ? nullptr : &f->fake_stack, emu.main_bottom, emu.main_size);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
	emu_switch(&f->sp, emu.main_sp);
#else
	swapcontext(&f->context, &emu.main_context);
#endif
	(void)for_good;
#if defined(__SANITIZE_ADDRESS__)
	ARRIVE(f->fake_stack, nullptr, nullptr);
#endif
}

static void entry()
{
#if defined(__SANITIZE_ADDRESS__)
	ARRIVE(nullptr, &emu.main_bottom, &emu.main_size);
#endif
	emu.body(emu.ctx);
	fibre *f = now();
	if (f->n_pending)
		fault("%s:%d: an asynchronous copy was never waited for", f->pending[0].at.file,
		      f->pending[0].at.line);
	f->state = ENDED;
	to_main(true);
	abort(); /* nobody returns here */
}

static void run(fibre *f)
{
	emu_self = &f->self;
#if defined(__SANITIZE_ADDRESS__)
	LEAVE(&emu.main_fake, f->stack, STACK_BYTES);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
	emu_switch(&emu.main_sp, f->sp);
#else
	swapcontext(&emu.main_context, &f->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
	ARRIVE(emu.main_fake, nullptr, nullptr);
#endif
	emu_self = nullptr;
}

static void wait_as(enum state s, const char *what, const char *file, int line)
{
	fibre *f = now();
	f->state = s;
	f->what = what;
	f->at = { file, line };
	to_main(false);
}

void emu_stop(const char *file, int line, const char *fmt, ...)
{
	char text[700];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fibre *f = now();
	fault("%s:%d: thread %d of block (%u,%u,%u): %s", file, line, f->linear, f->self.block.x,
	      f->self.block.y, f->self.block.z, text);
	f->state = ENDED;
	to_main(true);
	abort();
}

/* ---- memory ---- */

/* @bytes that end, but for alignment to 16, at memory that nobody may touch. */
static char *guarded(size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
	void *p = nullptr;
	if (posix_memalign(&p, 16, bytes ? bytes : 1))
		abort();
	memset(p, 0xff, bytes);
	return (char *)p;
#else
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + 15) & ~(size_t)15;
	size_t whole = (room + 64 + page - 1) / page * page;
	char *base = (char *)mmap(nullptr, whole + page, PROT_READ | PROT_WRITE,
	                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED || mprotect(base + whole, page, PROT_NONE))
		abort();
	char *p = base + whole - room;
	/* For guarded_free(); underruns of a few bytes meet what is checked there. */
	memcpy(base, &whole, sizeof(whole));
	memset(p - 32, 0xa5, 32);
	memset(p, 0xff, bytes);
	memset(p + bytes, 0xa5, room - bytes);
	return p;
#endif
}

static bool guards_hold(const char *p, size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
	(void)p;
	(void)bytes;
#else
	for (int i = 1; i <= 32; i++)
		if ((unsigned char)p[-i] != 0xa5)
			return false;
	for (size_t i = bytes; i < ((bytes + 15) & ~(size_t)15); i++)
		if ((unsigned char)p[i] != 0xa5)
			return false;
#endif
	return true;
}

static void guarded_free(char *p, size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
	(void)bytes;
	free(p);
#else
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + 15) & ~(size_t)15;
	size_t whole = (room + 64 + page - 1) / page * page;
	munmap(p + room - whole, whole + page);
#endif
}

/* A buffer of the device keeps its size before itself, in a page of its own. */
struct emu_head {
	size_t bytes;
	char *data;
	emu_head *next;
};
static emu_head *heads;

void *emu_alloc(size_t bytes)
{
	emu_head *h = (emu_head *)malloc(sizeof(*h));
	if (!h)
		abort();
	*h = { bytes, guarded(bytes), heads };
	heads = h;
	return h->data;
}

void emu_free(void *p)
{
	for (emu_head **at = &heads; *at; at = &(*at)->next)
		if ((*at)->data == p) {
			emu_head *h = *at;
			*at = h->next;
			if (!guards_hold(h->data, h->bytes)) {
				emu.kernel = "emu_free";
				fault("something was written before or after a buffer of %zu bytes",
				      h->bytes);
			}
			guarded_free(h->data, h->bytes);
			free(h);
			return;
		}
	if (p)
		abort();
}

void *emu_shared(const void *key, size_t bytes, const char *file, int line)
{
	for (int i = 0; i < emu.n_shared; i++)
		if (emu.shared[i].key == key && emu.shared[i].bytes == bytes)
			return emu.shared[i].data;
	if (emu.n_shared == BUFFERS_MAX)
		emu_stop(file, line, "more than %d shared buffers", BUFFERS_MAX);
	buffer *b = &emu.shared[emu.n_shared++];
	*b = { key, bytes, guarded(bytes) };
	return b->data;
}

void *emu_dynamic()
{
	return emu.dynamic;
}

/* ---- words of the block and of the warp ---- */

void emu_block_sync(const char *file, int line)
{
	fibre *f = now();
	f->at = { file, line };
	f->what = "block_sync";
	f->state = AT_BARRIER;
	emu.arrived++;
	to_main(false);
}

void emu_meet(const char *what, void *record, void (*finish)(void **record), const char *file,
              int line)
{
	fibre *f = now(), *warp = &emu.threads[f->warp * 32];
	f->record = record;
	if (++emu.met[f->warp] < 32) {
		wait_as(AT_MEETING, what, file, line);
		return;
	}
	void *all[32];
	for (int i = 0; i < 32; i++) {
		fibre *o = &warp[i];
		if (o != f && (o->what != what || o->at.file != file || o->at.line != line))
			emu_stop(file, line, "%s, while lane %d of the warp is at %s:%d (%s)", what,
			         o->self.lane, o->at.file, o->at.line, o->what);
		all[i] = o->record;
	}
	finish(all);
	for (int i = 0; i < 32; i++)
		warp[i].state = READY;
	emu.met[f->warp] = 0;
}

unsigned warp_ballot(bool p, const char *file, int line)
{
	struct vote {
		bool in;
		unsigned out;
	} v = { p, 0 };
	emu_meet(
		"warp_ballot", &v,
		[](void **record) {
			unsigned all = 0;
			for (int i = 0; i < 32; i++)
				all |= (unsigned)((vote *)record[i])->in << i;
			for (int i = 0; i < 32; i++)
				((vote *)record[i])->out = all;
		},
		file, line);
	return v.out;
}

void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], const char *file, int line)
{
	struct fragments {
		float *d;
		const uint32_t *a, *b;
	} mine = { d, a, b };
	emu_meet(
		"mma_bf16", &mine,
		[](void **record) {
			float A[16][16], B[8][16];
			for (int l = 0; l < 32; l++) {
				const fragments *f = (const fragments *)record[l];
				int g = l / 4, t = l % 4;
				for (int r = 0; r < 4; r++) {
					float *at = &A[g + (r & 1) * 8][2 * t + (r >> 1) * 8];
					at[0] = low_bf16(f->a[r]);
					at[1] = high_bf16(f->a[r]);
				}
				for (int r = 0; r < 2; r++) {
					B[g][2 * t + r * 8] = low_bf16(f->b[r]);
					B[g][2 * t + r * 8 + 1] = high_bf16(f->b[r]);
				}
			}
			for (int l = 0; l < 32; l++) {
				const fragments *f = (const fragments *)record[l];
				int g = l / 4, t = l % 4;
				for (int i = 0; i < 4; i++) {
					const float *row = A[g + (i >> 1) * 8];
					const float *column = B[2 * t + (i & 1)];
					float part[4] = { 0, 0, 0, 0 };
					for (int k = 0; k < 16; k++)
						part[k & 3] += row[k] * column[k];
					f->d[i] += (part[0] + part[1]) + (part[2] + part[3]);
				}
			}
		},
		file, line);
}

namespace
{
struct matrix_rows {
	uint32_t *r;
	const void *row;
};
template <int N, bool TRANS>
void load_matrices(void **record)
{
	for (int l = 0; l < 32; l++)
		for (int m = 0; m < N; m++) {
			uint16_t v[2];
			for (int i = 0; i < 2; i++) {
				int row = TRANS ? 2 * (l % 4) + i : l / 4;
				int column = TRANS ? l / 4 : 2 * (l % 4) + i;
				v[i] = ((const uint16_t *)((const matrix_rows *)record[m * 8 + row])
				                ->row)[column];
			}
			((matrix_rows *)record[l])->r[m] = v[0] | (uint32_t)v[1] << 16;
		}
}
void aligned_row(const void *row, const char *file, int line)
{
	if ((uintptr_t)row % 16)
		emu_stop(file, line, "ldmatrix row at an address that is not a multiple of 16");
}
} // namespace

void ldmatrix_x4(uint32_t r[4], const void *row, const char *file, int line)
{
	aligned_row(row, file, line);
	matrix_rows mine = { r, row };
	emu_meet("ldmatrix_x4", &mine, load_matrices<4, false>, file, line);
}
void ldmatrix_x4_trans(uint32_t r[4], const void *row, const char *file, int line)
{
	aligned_row(row, file, line);
	matrix_rows mine = { r, row };
	emu_meet("ldmatrix_x4_trans", &mine, load_matrices<4, true>, file, line);
}
void ldmatrix_x2(uint32_t r[2], const void *row, const char *file, int line)
{
	aligned_row(row, file, line);
	matrix_rows mine = { r, row };
	emu_meet("ldmatrix_x2", &mine, load_matrices<2, false>, file, line);
}
void ldmatrix_x2_trans(uint32_t r[2], const void *row, const char *file, int line)
{
	aligned_row(row, file, line);
	matrix_rows mine = { r, row };
	emu_meet("ldmatrix_x2_trans", &mine, load_matrices<2, true>, file, line);
}

void cp_async_16_or_zero(void *shared, const void *global, bool valid, const char *file, int line)
{
	fibre *f = now();
	if ((uintptr_t)shared % 16 || (uintptr_t)global % 16)
		emu_stop(file, line,
		         "asynchronous copy at an address that is not a multiple of 16");
	if (f->n_pending == PENDING_MAX)
		emu_stop(file, line, "more than %d asynchronous copies of one thread under way",
		         PENDING_MAX);
	f->pending[f->n_pending++] = {
		shared, valid ? global : nullptr, f->groups, { file, line }
	};
}

void cp_async_commit()
{
	now()->groups++;
}

void emu_async_wait(int n)
{
	fibre *f = now();
	int kept = 0;
	for (int i = 0; i < f->n_pending; i++) {
		copy c = f->pending[i];
		if (c.group >= f->groups - n) {
			f->pending[kept++] = c;
			continue;
		}
		/* Element by element, so that a sanitizer looks at each. */
		for (int j = 0; j < 4; j++)
			((uint32_t *)c.to)[j] = c.from ? ((const uint32_t *)c.from)[j] : 0;
	}
	f->n_pending = kept;
}

/* ---- launches ---- */

void emu_set_order(enum emu_order order, uint64_t seed)
{
	emu.order = order;
	emu.seed = seed;
}

void emu_keep_faults(bool on)
{
	emu.keep_faults = on;
}

const char *emu_fault()
{
	static char last[sizeof(emu.fault)];
	memcpy(last, emu.fault, sizeof(last));
	emu.fault[0] = 0;
	return last;
}

/* Nobody can run: why? */
static void explain_stand_still()
{
	const fibre *wait = nullptr, *other = nullptr;
	for (int i = 0; i < emu.n; i++)
		if (emu.threads[i].state != ENDED)
			wait = &emu.threads[i];
	for (int i = 0; i < emu.n; i++) {
		const fibre *f = &emu.threads[i];
		bool same = f->state == wait->state && f->what == wait->what &&
		            f->at.file == wait->at.file && f->at.line == wait->at.line;
		if (!same && (wait->state == AT_BARRIER || f->warp == wait->warp))
			other = f;
	}
	if (!other)
		fault("%s:%d: thread %d waits in %s for good", wait->at.file, wait->at.line,
		      wait->linear, wait->what);
	else if (other->state == ENDED)
		fault("%s:%d: thread %d waits in %s, but thread %d has ended", wait->at.file,
		      wait->at.line, wait->linear, wait->what, other->linear);
	else
		fault("%s:%d: thread %d waits in %s, but thread %d is at %s:%d (%s)", wait->at.file,
		      wait->at.line, wait->linear, wait->what, other->linear, other->at.file,
		      other->at.line, other->what);
}

/* All threads have come to a barrier: the same one? */
static bool barrier_opens()
{
	const fibre *first = &emu.threads[0];
	for (int i = 1; i < emu.n; i++) {
		const fibre *f = &emu.threads[i];
		if (f->at.line != first->at.line || f->at.file != first->at.file) {
			fault("%s:%d: thread %d waits at this barrier, thread %d at %s:%d",
			      first->at.file, first->at.line, first->linear, f->linear, f->at.file,
			      f->at.line);
			return false;
		}
	}
	for (int i = 0; i < emu.n; i++)
		emu.threads[i].state = READY;
	emu.arrived = 0;
	return true;
}

static void run_block(uint3 block, dim3 grid, dim3 dim)
{
	for (int i = 0; i < emu.n_shared; i++)
		memset(emu.shared[i].data, 0xff, emu.shared[i].bytes);
	memset(emu.dynamic, 0xff, emu.dynamic_bytes);
	for (int i = 0; i < emu.n; i++) {
		fibre *f = &emu.threads[i];
		unsigned x = (unsigned)i % dim.x, rest = (unsigned)i / dim.x;
		f->self = { { x, rest % dim.y, rest / dim.y }, block, dim, grid, i % 32 };
		f->state = READY;
		f->warp = i / 32;
		f->linear = i;
		f->groups = f->n_pending = 0;
		f->stack = emu.stacks + (size_t)i * (STACK_BYTES + 4096) + 4096;
#if defined(__SANITIZE_ADDRESS__)
		/* What a fibre that never ended left marked. */
		__asan_unpoison_memory_region(f->stack, STACK_BYTES);
		f->fake_stack = nullptr;
#endif
#if defined(__x86_64__) || defined(__aarch64__)
		f->sp = first_frame(f->stack + STACK_BYTES, entry);
#else
		getcontext(&f->context);
		f->context.uc_stack.ss_sp = f->stack;
		f->context.uc_stack.ss_size = STACK_BYTES;
		f->context.uc_link = nullptr;
		makecontext(&f->context, entry, 0);
#endif
	}
	memset(emu.met, 0, sizeof(emu.met));
	emu.arrived = 0;

	int ended = 0;
	while (!emu.stopped && ended < emu.n) {
		int warps[THREADS_MAX / 32], lanes[32];
		bool any = false;
		arrange(warps, emu.n / 32);
		for (int w = 0; w < emu.n / 32 && !emu.stopped; w++) {
			fibre *warp = &emu.threads[warps[w] * 32];
			for (bool ran = true; ran && !emu.stopped;) {
				ran = false;
				arrange(lanes, 32);
				for (int l = 0; l < 32 && !emu.stopped; l++)
					if (warp[lanes[l]].state == READY) {
						run(&warp[lanes[l]]);
						ended += warp[lanes[l]].state == ENDED;
						ran = any = true;
					}
			}
		}
		if (emu.stopped || ended == emu.n)
			break;
		if (emu.arrived == emu.n)
			barrier_opens();
		else if (!any)
			explain_stand_still();
	}
	for (int i = 0; i < emu.n_shared && !emu.stopped; i++)
		if (!guards_hold(emu.shared[i].data, emu.shared[i].bytes))
			fault("something was written before or after a shared buffer of %zu bytes",
			      emu.shared[i].bytes);
	if (!emu.stopped && !guards_hold(emu.dynamic, emu.dynamic_bytes))
		fault("something was written before or after the %zu bytes of dynamic shared memory",
		      emu.dynamic_bytes);
}

void emu_launch(dim3 grid, dim3 block, size_t bytes, const char *name, void (*body)(void *),
                void *ctx)
{
	emu.kernel = name;
	emu.n = (int)(block.x * block.y * block.z);
	uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
	if (emu.n < 1 || emu.n > THREADS_MAX || emu.n % 32 || !blocks || grid.y > 65535 ||
	    grid.z > 65535 || bytes > 227 * 1024) {
		fault("a launch of (%u,%u,%u) blocks of (%u,%u,%u) threads with %zu shared bytes",
		      grid.x, grid.y, grid.z, block.x, block.y, block.z, bytes);
		emu.stopped = false;
		return;
	}
	if (!emu.threads) {
		emu.threads = (fibre *)calloc(THREADS_MAX, sizeof(fibre));
		size_t room = (size_t)THREADS_MAX * (STACK_BYTES + 4096);
		emu.stacks = (char *)mmap(nullptr, room, PROT_READ | PROT_WRITE,
		                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (!emu.threads || emu.stacks == MAP_FAILED)
			abort();
		for (int i = 0; i < THREADS_MAX; i++)
			mprotect(emu.stacks + (size_t)i * (STACK_BYTES + 4096), 4096, PROT_NONE);
	}
	emu.body = body;
	emu.ctx = ctx;
	emu.random = emu.seed;
	emu.dynamic = guarded(bytes);
	emu.dynamic_bytes = bytes;
	uint64_t step = 1, at = 0;
	if (emu.order == EMU_SEEDED && blocks > 1) {
		/* Each once: a stride that shares no factor with their number. */
		at = next_random() % blocks;
		do
			step = next_random() % blocks;
		while (std::__gcd(step, blocks) != 1);
	}
	for (uint64_t i = 0; i < blocks && !emu.stopped; i++) {
		uint64_t b = emu.order == EMU_UP     ? i
		             : emu.order == EMU_DOWN ? blocks - 1 - i
		                                     : (at + i * step) % blocks;
		uint3 at3 = { (unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
			      (unsigned)(b / grid.x / grid.y) };
		run_block(at3, grid, block);
	}
	for (int i = 0; i < emu.n_shared; i++)
		guarded_free(emu.shared[i].data, emu.shared[i].bytes);
	emu.n_shared = 0;
	guarded_free(emu.dynamic, bytes);
	emu.dynamic = nullptr;
	emu.stopped = false;
}
