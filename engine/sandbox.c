/*
 * The filter is compiled once (libseccomp is slow: milliseconds) and kept as BPF words; a child
 * only patches its own pid into a copy and hands it to the kernel, which takes microseconds.
 *
 * Refused calls raise SIGSYS. The handler counts them by number and answers EPERM, so that a
 * refusal looks to Python like any other PermissionError; a program that blocks or ignores SIGSYS
 * is killed by the kernel at its next refused call.
 */
#include "engine/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- landlock, declared here because Debian 12's headers end at ABI 2 ---- */

struct ll_ruleset {
	uint64_t fs, net, scoped;
};
struct __attribute__((packed)) ll_path {
	uint64_t allowed;
	int32_t parent_fd;
};

#define LL_CREATE       444
#define LL_ADD          445
#define LL_RESTRICT     446
#define LL_RULE_PATH    1
#define LL_VERSION_FLAG 1u

enum {
	LL_READ_FILE = 1 << 2,
	LL_READ_DIR = 1 << 3,
	LL_FS_ABI1 = (1 << 13) - 1, /* execute .. make_sym */
	LL_FS_REFER = 1 << 13,      /* ABI 2 */
	LL_FS_TRUNCATE = 1 << 14,   /* ABI 3 */
	LL_FS_IOCTL_DEV = 1 << 15,  /* ABI 5 */
	LL_NET_TCP = 3,             /* ABI 4: bind, connect */
	LL_SCOPE_ALL = 3,           /* ABI 6: abstract unix sockets, signals */
	LL_NEWEST = 6,
};

static size_t ruleset_for_abi(int abi, struct ll_ruleset *out)
{
	*out = (struct ll_ruleset){ .fs = LL_FS_ABI1 };
	if (abi >= 2)
		out->fs |= LL_FS_REFER;
	if (abi >= 3)
		out->fs |= LL_FS_TRUNCATE;
	if (abi >= 5)
		out->fs |= LL_FS_IOCTL_DEV;
	if (abi >= 4)
		out->net = LL_NET_TCP;
	if (abi >= 6)
		out->scoped = LL_SCOPE_ALL;
	return abi >= 6 ? sizeof(*out) : abi >= 4 ? offsetof(struct ll_ruleset, scoped) : 8;
}

/* The ruleset's descriptor and the ABI it was made for; -1 and 0 when the kernel has none. */
static int landlock_open(int *abi)
{
	long newest = syscall(LL_CREATE, NULL, 0, LL_VERSION_FLAG);

	*abi = 0;
	for (int v = newest > LL_NEWEST ? LL_NEWEST : (int)newest; v >= 1; v--) {
		struct ll_ruleset r;
		size_t size = ruleset_for_abi(v, &r);
		int fd = (int)syscall(LL_CREATE, &r, size, 0);
		if (fd >= 0) {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			*abi = v;
			return fd;
		}
	}
	return -1;
}

static int landlock_allow(int ruleset, const char *path, struct err *e)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0; /* what is not there need not be readable */
		return err_errno(e, ERR_IO, "%s cannot be opened for the sandbox", path);
	}
	struct ll_path rule = { .allowed = LL_READ_FILE, .parent_fd = fd };
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		rule.allowed |= LL_READ_DIR;
	long rc = syscall(LL_ADD, ruleset, LL_RULE_PATH, &rule, 0);
	int saved = errno;
	close(fd);
	errno = saved;
	if (rc < 0)
		return err_errno(e, ERR_IO, "%s cannot be put on the sandbox's list", path);
	return 0;
}

/* ---- the filter ---- */

/* Stands for the child's own pid in the compiled filter; no real pid is that large. */
#define OWN_PID 0x6bd10c4du

struct sandbox {
	struct sock_filter *filter;
	unsigned short n_filter;
	int landlock_fd;
	int max_fds;
	/* written by enter_early in the child, whose copy of this page is its own */
	uint64_t *mapped_bytes;
};

static const char *const allowed_calls[] = {
	/* memory; PROT_EXEC is no wall here: the process maps libraries already, and native code
	 * gains nothing that the other layers do not hold */
	"brk",
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	/* what is open already, and looking */
	"read",
	"pread64",
	"readv",
	"write",
	"pwrite64",
	"writev",
	"close",
	"lseek",
	"dup",
	"fstat",
	"newfstatat",
	"stat",
	"lstat",
	"statx",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getcwd",
	"getdents64",
	"poll",
	"ppoll",
	"select",
	"pselect6",
	/* time, chance, identity */
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"times",
	"getrandom",
	"getpid",
	"gettid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getrusage",
	"uname",
	"sysinfo",
	"getcpu",
	"sched_yield",
	"sched_getaffinity",
	"getrlimit",
	/* signals to oneself, locks, the end */
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"futex",
	"set_robust_list",
	"rseq",
	"restart_syscall",
	"exit",
	"exit_group",
};

/* A name this architecture or this libseccomp does not know is no error: it stays refused. */
static int rule(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned n,
                const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr == __NR_SCMP_ERROR || nr < 0)
		return 0;
	return seccomp_rule_add_array(ctx, action, nr, n, args);
}

/* @may_open: landlock says which files; without it no file at all may be opened, since a filter
 * cannot see paths (then text() fails, and what a program imports has to be there already) */
static int filter_rules(scmp_filter_ctx ctx, bool may_open)
{
	const uint64_t writing =
		O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
	static const int fcntl_safe[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL };
	int rc = 0;

	for (size_t i = 0; i < sizeof(allowed_calls) / sizeof(*allowed_calls) && !rc; i++)
		rc = rule(ctx, SCMP_ACT_ALLOW, allowed_calls[i], 0, NULL);
	if (!rc && may_open)
		rc = rule(ctx, SCMP_ACT_ALLOW, "openat", 1,
		          (struct scmp_arg_cmp[]){ SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0) });
	if (!rc && may_open)
		rc = rule(ctx, SCMP_ACT_ALLOW, "open", 1,
		          (struct scmp_arg_cmp[]){ SCMP_A1(SCMP_CMP_MASKED_EQ, writing, 0) });
	for (size_t i = 0; i < sizeof(fcntl_safe) / sizeof(*fcntl_safe) && !rc; i++)
		rc = rule(ctx, SCMP_ACT_ALLOW, "fcntl", 1,
		          (struct scmp_arg_cmp[]){
				  SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_safe[i]) });
	/* reading one's own limits, never setting them */
	if (!rc)
		rc = rule(ctx, SCMP_ACT_ALLOW, "prlimit64", 2,
		          (struct scmp_arg_cmp[]){ SCMP_A0(SCMP_CMP_EQ, 0),
		                                   SCMP_A2(SCMP_CMP_EQ, 0) });
	/* abort(), and no other signal even to oneself: a child that ends by SIGKILL was ended by
	 * somebody else */
	if (!rc)
		rc = rule(ctx, SCMP_ACT_ALLOW, "tgkill", 2,
		          (struct scmp_arg_cmp[]){ SCMP_A0(SCMP_CMP_EQ, OWN_PID),
		                                   SCMP_A2(SCMP_CMP_EQ, SIGABRT) });
	/* libc blocks all signals around these two, and SIGSYS while blocked kills: a plain EPERM,
	 * uncounted, lets the program hear of it */
	if (!rc)
		rc = rule(ctx, SCMP_ACT_ERRNO(EPERM), "clone3", 0, NULL);
	if (!rc)
		rc = rule(ctx, SCMP_ACT_ERRNO(EPERM), "vfork", 0, NULL);
	/* "is it a terminal?", asked whenever Python opens a file: no, and not worth counting */
	if (!rc)
		rc = rule(ctx, SCMP_ACT_ERRNO(ENOTTY), "ioctl", 1,
		          (struct scmp_arg_cmp[]){ SCMP_A1(SCMP_CMP_EQ, TCGETS) });
	return rc;
}

/* Compiles the filter into words of BPF. */
static int filter_compile(struct sandbox *s, struct err *e)
{
	int rc = -1, fd = -1;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);

	if (!ctx)
		return err_set(e, ERR_MEM, "out of memory for the sandbox's filter");
	seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (filter_rules(ctx, s->landlock_fd >= 0) < 0) {
		err_set(e, ERR_LACKS, "libseccomp cannot express the sandbox's filter");
		goto out;
	}
	fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0) {
		err_errno(e, ERR_IO, "a memory file for the sandbox's filter");
		goto out;
	}
	if (seccomp_export_bpf(ctx, fd) < 0) {
		err_set(e, ERR_LACKS, "libseccomp cannot compile the sandbox's filter");
		goto out;
	}
	off_t size = lseek(fd, 0, SEEK_END);
	if (size <= 0 || (size_t)size / sizeof(struct sock_filter) > BPF_MAXINSNS) {
		err_set(e, ERR_LACKS, "the sandbox's filter has an unusable size");
		goto out;
	}
	s->filter = malloc((size_t)size);
	if (!s->filter) {
		err_set(e, ERR_MEM, "out of memory for the sandbox's filter");
		goto out;
	}
	if (pread(fd, s->filter, (size_t)size, 0) != size) {
		err_errno(e, ERR_IO, "reading the sandbox's filter");
		goto out;
	}
	s->n_filter = (unsigned short)((size_t)size / sizeof(struct sock_filter));
	rc = 0;
out:
	if (fd >= 0)
		close(fd);
	seccomp_release(ctx);
	return rc;
}

/* Filled by a signal handler, which has nowhere else to write. */
#define CALLS_COUNTED 512
static volatile sig_atomic_t refused_count[CALLS_COUNTED];

static void on_refused(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	int nr = info->si_syscall;

	(void)sig;
	if (info->si_code != 1) /* SYS_SECCOMP, which glibc before 2.37 does not name */
		return;
	if (nr >= 0)
		refused_count[nr < CALLS_COUNTED ? nr : CALLS_COUNTED - 1]++;
#if defined(__x86_64__)
	uc->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
	uc->uc_mcontext.regs[0] = (unsigned long long)-EPERM;
#else
#error "the way this processor returns from a system call has to be told here"
#endif
}

static int filter_load(const struct sandbox *s, struct err *e)
{
	struct sigaction sa = { .sa_sigaction = on_refused,
		                .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	struct sock_filter *own;
	sigset_t set;
	int rc = 0;

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGSYS, &sa, NULL) < 0)
		return err_errno(e, ERR_IO, "the handler for refused system calls");
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	own = malloc(s->n_filter * sizeof(*own));
	if (!own)
		return err_set(e, ERR_MEM, "out of memory for the sandbox's filter");
	memcpy(own, s->filter, s->n_filter * sizeof(*own));
	for (unsigned i = 0; i < s->n_filter; i++)
		if (BPF_CLASS(own[i].code) == BPF_JMP && own[i].k == OWN_PID)
			own[i].k = (uint32_t)getpid();
	struct sock_fprog prog = { .len = s->n_filter, .filter = own };
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		rc = err_errno(e, ERR_LACKS, "the kernel does not take the seccomp filter");
	free(own); /* the heap only: allowed under the filter */
	return rc;
}

/* ---- identity ---- */

struct cap_header {
	uint32_t version;
	int pid;
};
struct cap_data {
	uint32_t effective, permitted, inheritable;
};

static void drop_capabilities(void)
{
	struct cap_header h = { .version = 0x20080522 };
	struct cap_data d[2] = { { 0 } };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	syscall(SYS_capset, &h, d);
}

/* A uid of the child's own, so that RLIMIT_NPROC counts it alone and no other child may signal it.
 * In a user namespace the high ones may not be mapped: then one below 65536, then nobody. */
static bool become_stranger(void)
{
	unsigned pid = (unsigned)getpid();
	const uid_t tries[] = { 0x60000000u + pid, 61184 + pid % 4000, 65534 };

	if (setgroups(0, NULL) < 0)
		return false;
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		if (setresgid(tries[i], tries[i], tries[i]) < 0)
			continue;
		if (setresuid(tries[i], tries[i], tries[i]) == 0)
			return true;
		if (setresgid(0, 0, 0) < 0)
			return false;
	}
	return false;
}

/* ---- limits ---- */

/* Where /proc is not mounted: the smallest limit under which one more page is still granted. */
static uint64_t mapped_by_trying(void)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), low = 0, high = UINT64_C(1) << 34;
	struct rlimit old, tried;

	if (getrlimit(RLIMIT_AS, &old) < 0)
		return 0;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		tried = (struct rlimit){ .rlim_cur = mid * page, .rlim_max = old.rlim_max };
		if (setrlimit(RLIMIT_AS, &tried) < 0) { /* above the hard limit, which is enough */
			high = mid;
			continue;
		}
		void *p = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) {
			low = mid + 1;
		} else {
			munmap(p, page);
			high = mid;
		}
	}
	setrlimit(RLIMIT_AS, &old);
	return low * page;
}

/* Bytes of address space in use; asked before landlock hides /proc. */
static uint64_t mapped_now(void)
{
	char text[64];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return mapped_by_trying();
	text[n] = '\0';
	return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int set_limit(int what, uint64_t soft, uint64_t hard, const char *name, struct err *e)
{
	struct rlimit have, want = { .rlim_cur = soft, .rlim_max = hard };

	/* an ordinary user cannot raise the hard limit: where it is lower already, it stays */
	if (getrlimit(what, &have) == 0 && have.rlim_max != RLIM_INFINITY) {
		if (want.rlim_max > have.rlim_max)
			want.rlim_max = have.rlim_max;
		if (want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
	}
	if (setrlimit(what, &want) < 0)
		return err_errno(e, ERR_LACKS, "limit on %s", name);
	return 0;
}

/* ---- verbs ---- */

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	if (s->landlock_fd >= 0)
		close(s->landlock_fd);
	free(s->filter);
	free(s->mapped_bytes);
	free(s);
}

static struct sandbox *sandbox_build(const struct sandbox_policy *p, struct err *e)
{
	struct sandbox *s = calloc(1, sizeof(*s));
	int abi;

	if (!s) {
		err_set(e, ERR_MEM, "out of memory for the sandbox");
		return NULL;
	}
	s->landlock_fd = -1;
	s->max_fds = p->max_fds > 0 ? p->max_fds : 32;
	s->mapped_bytes = calloc(1, sizeof(*s->mapped_bytes));
	if (!s->mapped_bytes) {
		err_set(e, ERR_MEM, "out of memory for the sandbox");
		goto fail;
	}
	s->landlock_fd = landlock_open(&abi);
	if (s->landlock_fd >= 0 && p->read_only)
		for (const char *const *path = p->read_only; *path; path++)
			if (landlock_allow(s->landlock_fd, *path, e) < 0)
				goto fail;
	if (filter_compile(s, e) < 0)
		goto fail;
	return s;
fail:
	sandbox_free(s);
	return NULL;
}

int sandbox_enter_early(const struct sandbox *s, int parent_pid, struct err *e)
{
	*s->mapped_bytes = mapped_now();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, ERR_LACKS, "no_new_privs");
	if (s->landlock_fd >= 0 && syscall(LL_RESTRICT, s->landlock_fd, 0) < 0)
		return err_errno(e, ERR_LACKS, "landlock");
	if (geteuid() == 0 && !become_stranger())
		return err_errno(e, ERR_LACKS,
		                 "a root that may not change its uid: run as an ordinary user");
	drop_capabilities();
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(e, ERR_LACKS, "making the process not dumpable");
	/* after setuid, which clears it */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_errno(e, ERR_LACKS, "the parent-death signal");
	if (getppid() != parent_pid)
		_exit(0);
	return 0;
}

int sandbox_enter(const struct sandbox *s, const struct sandbox_limits *l, struct err *e)
{
	uint64_t cpu = (uint64_t)ceil(l->cpu_s) + 1;
	uint64_t space = *s->mapped_bytes + l->memory_bytes;

	if (set_limit(RLIMIT_CORE, 0, 0, "core files", e) < 0 ||
	    set_limit(RLIMIT_CPU, cpu, cpu + 1, "CPU time", e) < 0 ||
	    set_limit(RLIMIT_FSIZE, l->file_bytes, l->file_bytes, "file size", e) < 0 ||
	    set_limit(RLIMIT_NOFILE, (uint64_t)s->max_fds, (uint64_t)s->max_fds, "descriptors", e) <
	            0 ||
	    set_limit(RLIMIT_NPROC, 0, 0, "processes", e) < 0 ||
	    set_limit(RLIMIT_MEMLOCK, 0, 0, "locked memory", e) < 0 ||
	    set_limit(RLIMIT_MSGQUEUE, 0, 0, "message queues", e) < 0 ||
	    set_limit(RLIMIT_AS, space, space, "address space", e) < 0)
		return -1;
	memset((void *)refused_count, 0, sizeof(refused_count));
	return filter_load(s, e);
}

int sandbox_refusals(struct sandbox_refusal *out, int cap)
{
	int n = 0;

	for (int nr = 0; nr < CALLS_COUNTED && n < cap; nr++) {
		if (!refused_count[nr])
			continue;
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		if (name)
			snprintf(out[n].name, sizeof(out[n].name), "%s", name);
		else
			snprintf(out[n].name, sizeof(out[n].name), "call %d", nr);
		free(name);
		out[n].count = (unsigned)refused_count[nr];
		n++;
	}
	return n;
}

/* Takes each layer in turn, in a child of its own, and tells what held. */
static void probe_child(struct sandbox_layers *out)
{
	static const char *const none[] = { NULL };
	struct sandbox_policy policy = { .read_only = none };
	struct rlimit cpu = { 60, 60 };
	struct err e = { 0 };
	int abi = 0;

	out->no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
	out->pdeathsig = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
	out->rlimits = setrlimit(RLIMIT_CPU, &cpu) == 0;
	int fd = landlock_open(&abi);
	if (fd >= 0 && syscall(LL_RESTRICT, fd, 0) == 0) {
		out->landlock_abi = abi;
		out->landlock_fs = true;
		out->landlock_net = abi >= 4;
		out->landlock_scope = abi >= 6;
	}
	out->own_uid = geteuid() == 0 && become_stranger();
	struct sandbox *s = sandbox_build(&policy, &e);
	if (s && filter_load(s, &e) == 0) {
		/* believed only when a refused call really is refused */
		errno = 0;
		out->seccomp = syscall(SYS_setpriority, 0, 0, 0) < 0 && errno == EPERM;
	}
}

void sandbox_probe(struct sandbox_layers *out)
{
	struct sandbox_layers *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	memset(out, 0, sizeof(*out));
	if (shared == MAP_FAILED)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		probe_child(shared);
		_exit(0);
	}
	int status;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*out = *shared;
	munmap(shared, sizeof(*shared));
}

struct sandbox *sandbox_prepare(const struct sandbox_policy *p, struct err *e)
{
	struct sandbox_layers have;

	sandbox_probe(&have);
	if (!have.no_new_privs || !have.seccomp || !have.rlimits) {
		err_set(e, ERR_LACKS,
		        "this machine lacks %s%s%s: untrusted programs are not run here; a Linux kernel "
		        "with seccomp filters is needed (in a container, one whose profile allows them)",
		        have.no_new_privs ? "" : "no_new_privs ", have.seccomp ? "" : "seccomp ",
		        have.rlimits ? "" : "rlimits ");
		return NULL;
	}
	return sandbox_build(p, e);
}
