/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parsers of procfs text about a task. Text goes in, a struct comes out; nothing here opens a file.
 * The text needs no terminating zero. Lines and fields that are not known are skipped, so newer
 * kernels do no harm; what an older kernel does not print keeps the value named in the comment.
 *
 * Every parser returns 0, -EINVAL for text that is malformed, or -ENOMEM; *ret is written only on
 * success. Areas of memory are in proctext-maps.h, descriptors in proctext-fdinfo.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "engine/base/vec.h"

/*
 * /proc/PID/stat and /proc/PID/task/TID/stat. Addresses and exit_code are 0 (addresses partly 1)
 * where the kernel hides them from a reader without ptrace rights. comm is as the kernel holds it,
 * any bytes.
 */
struct proc_stat {
	pid_t pid;
	char comm[64];
	char state;
	pid_t ppid, pgrp, session;
	int tty_nr;
	pid_t tty_pgrp;
	uint32_t flags; /* PF_* of the kernel */
	int nice;
	uint32_t num_threads;
	uint64_t starttime; /* clock ticks since boot */
	uint64_t start_code, end_code, start_stack;
	int exit_signal;
	uint32_t rt_priority, policy;
	uint64_t start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	int exit_code; /* as wait(2) tells it */
};

int proc_stat_parse(const char *text, size_t len, struct proc_stat *ret);

/* The same id in a stack of pid namespaces, seen from the one of the procfs mount inwards. */
struct proc_nsid {
	pid_t outer, inner;
	uint32_t levels; /* 0: the kernel has no such line */
};

enum proc_x86_features {
	PROC_X86_SHSTK = 1 << 0,
	PROC_X86_WRSS = 1 << 1,
	PROC_X86_UNKNOWN = 1 << 31,
};

/* /proc/PID/status. Free with proc_status_done(). */
struct proc_status {
	char state;
	pid_t tgid, pid, ppid, tracer_pid;
	uid_t uid[4]; /* real, effective, saved, file system */
	gid_t gid[4];
	gid_t *groups; /* owned */
	size_t n_groups;
	struct proc_nsid nstgid, nspid, nspgid, nssid;
	int umask; /* -1: not shown (a zombie has none) */
	uint32_t threads;
	uint64_t vm_lck_kib;
	int seccomp_mode;    /* SECCOMP_MODE_*, 0 if not shown */
	int seccomp_filters; /* -1: not shown (before 5.9) */
	bool no_new_privs;
	bool coredumping;
	int thp_enabled; /* -1: not shown (before 5.0) */
	uint64_t sig_pnd, shd_pnd, sig_blk, sig_ign, sig_cgt;
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	uint32_t x86_features, x86_features_locked; /* enum proc_x86_features */
};

int proc_status_parse(const char *text, size_t len, struct proc_status *ret);
void proc_status_done(struct proc_status *s);

/* /proc/PID/limits, indexed by RLIMIT_*. "unlimited" is RLIM_INFINITY; limits not shown have
 * present false. */
struct proc_limits {
	struct {
		bool present;
		uint64_t cur, max;
	} v[RLIM_NLIMITS];
};

int proc_limits_parse(const char *text, size_t len, struct proc_limits *ret);

/* /proc/PID/task/TID/children. Free with vec_free(). */
struct proc_pids {
	VEC(pid_t);
};

int proc_children_parse(const char *text, size_t len, struct proc_pids *ret);

/* One POSIX timer of /proc/PID/timers. */
struct proc_timer {
	int id;
	int signo;
	uint64_t sigev_value;
	int notify;	/* SIGEV_SIGNAL, SIGEV_NONE or SIGEV_THREAD */
	bool thread_id; /* SIGEV_THREAD_ID: target is a thread, else a process */
	pid_t target;	/* in the reader's pid namespace */
	int clock_id;
};

/* Free with vec_free(). */
struct proc_timers {
	VEC(struct proc_timer);
};

int proc_timers_parse(const char *text, size_t len, struct proc_timers *ret);

/* One line of /proc/PID/cgroup. The unified hierarchy has id 0 and no controllers. */
struct proc_cgroup {
	uint32_t id;
	char *controllers; /* owned: "cpu,cpuacct", "name=systemd", "" */
	char *path;	   /* owned: ends in " (deleted)" for a removed cgroup */
};

struct proc_cgroups {
	VEC(struct proc_cgroup);
};

int proc_cgroups_parse(const char *text, size_t len, struct proc_cgroups *ret);
void proc_cgroups_done(struct proc_cgroups *c);

/* A place in borrowed text, for files that are read line by line. */
struct proc_cursor {
	const char *p, *end;
};

static inline struct proc_cursor proc_cursor(const char *text, size_t len)
{
	return (struct proc_cursor){ text, text + len };
}

enum proc_lock_kind {
	PROC_LOCK_POSIX,
	PROC_LOCK_OFD,
	PROC_LOCK_FLOCK,
	PROC_LOCK_LEASE,
	PROC_LOCK_DELEG,
	PROC_LOCK_OTHER,
};

/* One line of /proc/locks, or one "lock:" line of a fdinfo file. */
struct proc_lock {
	int64_t id;
	bool blocked; /* a waiter, not a holder */
	enum proc_lock_kind kind;
	bool mandatory; /* before 5.15 */
	bool breaking;	/* a lease that is being broken */
	int type;	/* F_RDLCK, F_WRLCK or F_UNLCK */
	pid_t pid;	/* -1 for OFD locks; 0 for a task outside the pid namespace */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	int64_t start, end; /* both inside the lock; end is INT64_MAX for "EOF" */
};

/* The next line of /proc/locks. 1: got one, 0: end of text, -EINVAL. */
int proc_locks_next(struct proc_cursor *c, struct proc_lock *ret);

static inline void cleanup_proc_statusp(struct proc_status *s)
{
	proc_status_done(s);
}

static inline void cleanup_proc_cgroupsp(struct proc_cgroups *c)
{
	proc_cgroups_done(c);
}
#define cleanup_proc_status __attribute__((__cleanup__(cleanup_proc_statusp)))
#define cleanup_proc_cgroups __attribute__((__cleanup__(cleanup_proc_cgroupsp)))
