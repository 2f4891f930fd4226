/*
 * sandbox.h - the jail around a child that runs a stranger's program or reads a stranger's shape.
 *
 * Layers (engine.md, "The jail"): rlimits, PDEATHSIG, no_new_privs, landlock, own uid when root,
 * not dumpable, seccomp. prepare() is called once before forking and does what is slow (compiling
 * the seccomp filter, opening landlock paths); enter() is called in the child and costs
 * microseconds.
 */
#ifndef ENGINE_SANDBOX_H
#define ENGINE_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"

struct sandbox; /* prepared policy, inherited by the children */

struct sandbox_policy {
	const char *const
		*read_only; /* folders and files that may be opened for reading, NULL-terminated */
	int max_fds;        /* RLIMIT_NOFILE; 32 */
};

struct sandbox_limits {
	uint64_t memory_bytes; /* address space beyond what the process has mapped now */
	double cpu_s; /* RLIMIT_CPU backstop (rounded up, +1); the parent's own clock is the limit
	                 that counts */
	uint64_t file_bytes; /* RLIMIT_FSIZE: bounds memory files too */
};

/* What this machine has; for doctor and READY. Without landlock_fs a child may open no file at all.
 */
struct sandbox_layers {
	bool no_new_privs, seccomp, rlimits, own_uid, landlock_fs, landlock_net, landlock_scope,
		pdeathsig;
	int landlock_abi; /* 0 when absent */
};

/* NULL with ERR_LACKS when not even no_new_privs + seccomp + rlimits can be had (untrusted work is
 * refused). */
struct sandbox *sandbox_prepare(const struct sandbox_policy *p, struct err *e);
void sandbox_free(struct sandbox *s);
void sandbox_probe(struct sandbox_layers *out);

/* In the child, stage one, before it waits for its job: parent-death signal (exits when @parent is
 * gone already), landlock, uid, not dumpable, no_new_privs. */
int sandbox_enter_early(const struct sandbox *s, int parent_pid, struct err *e);
/* In the child, stage two, when the job's limits are known: rlimits, then the seccomp filter.
 * Nothing after it can be undone. */
int sandbox_enter(const struct sandbox *s, const struct sandbox_limits *l, struct err *e);

/* Number of system calls refused so far in this process and, for each, its name: writes at most
 * @cap entries. Filled by the filter's SIGSYS handler, which answers EPERM. */
struct sandbox_refusal {
	char name[24];
	unsigned count;
};
int sandbox_refusals(struct sandbox_refusal *out, int cap);

#endif
