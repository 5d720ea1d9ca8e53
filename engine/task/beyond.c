/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * State of a thread that CRIU's format has no place for: kept in fields of our own, which other
 * readers skip; or, where it is rare, refused by name instead of lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/task/attr.h"
#include "proto/core.pb-c.h"

/* ---- CPU affinity ---- */

enum { CPU_BYTES = 1024 }; /* 8192 processors */

static int capture_affinity(struct dump *d, struct dump_thread *th, const struct program *p,
			    CoreEntry *core, struct err *err)
{
	uint8_t mask[CPU_BYTES] = { 0 };
	long n = syscall(SYS_sched_getaffinity, th->t.tid, sizeof(mask), mask);

	if (n < 0)
		return err_sys(err, -errno, "reading the CPU affinity of thread %d", th->t.tid);
	core->thread_core->has_cpu_affinity = true;
	core->thread_core->cpu_affinity.data = arena_dup(&d->arena, mask, (size_t)n);
	core->thread_core->cpu_affinity.len = (size_t)n;
	return core->thread_core->cpu_affinity.data ? 0 : err_nomem(err);
}

/* On a machine without any of those processors the thread keeps what it has. */
static int finish_affinity(struct restore *r, struct restore_thread *th, struct err *err)
{
	const ProtobufCBinaryData *m = &th->core->thread_core->cpu_affinity;

	if (!th->core->thread_core->has_cpu_affinity || m->len > CPU_BYTES)
		return 0;
	if (syscall(SYS_sched_setaffinity, th->t.tid, m->len, m->data) < 0 && errno != EINVAL)
		return err_sys(err, -errno, "setting the CPU affinity of thread %d", th->ns_tid);
	return 0;
}

const struct task_attr attr_affinity = { .name = "CPU affinity",
					 .per_thread = true,
					 .capture = capture_affinity,
					 .finish = finish_affinity };

/* ---- I/O priority ---- */

enum { IOPRIO_WHO_PROCESS = 1 };

static int capture_ioprio(struct dump *d, struct dump_thread *th, const struct program *p,
			  CoreEntry *core, struct err *err)
{
	long v = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, th->t.tid);

	if (v < 0)
		return errno == ENOSYS
			       ? 0
			       : err_sys(err, -errno, "reading the I/O priority of thread %d",
					 th->t.tid);
	core->thread_core->has_ioprio = true;
	core->thread_core->ioprio = (uint32_t)v;
	return 0;
}

static int finish_ioprio(struct restore *r, struct restore_thread *th, struct err *err)
{
	const ThreadCoreEntry *c = th->core->thread_core;

	if (!c->has_ioprio ||
	    syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, th->t.tid) == (long)c->ioprio)
		return 0;
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, th->t.tid, c->ioprio) < 0)
		return err_sys(err, -errno, "setting the I/O priority of thread %d", th->ns_tid);
	return 0;
}

const struct task_attr attr_ioprio = { .name = "I/O priority",
				       .per_thread = true,
				       .capture = capture_ioprio,
				       .finish = finish_ioprio };

/* ---- timer slack ---- */

static int capture_slack(struct dump *d, struct dump_thread *th, const struct program *p,
			 CoreEntry *core, struct err *err)
{
	char path[64];
	int64_t v;

	snprintf(path, sizeof(path), "/proc/%d/timerslack_ns", th->t.tid);
	if (io_read_int(AT_FDCWD, path, &v) == 0) {
		core->thread_core->has_timer_slack_ns = true;
		core->thread_core->timer_slack_ns = (uint64_t)v;
	}
	return 0;
}

static void put_slack(struct restore *r, struct restore_thread *th, struct program *p)
{
	const ThreadCoreEntry *c = th->core->thread_core;

	if (c->has_timer_slack_ns && c->timer_slack_ns)
		prog_syscall(p, "setting the timer slack", PROG_STOP, SYS_prctl,
			     PN(PR_SET_TIMERSLACK), PN(c->timer_slack_ns), PN(0), PN(0), PN(0));
}

const struct task_attr attr_timer_slack = {
	.name = "timer slack", .per_thread = true, .capture = capture_slack, .put = put_slack
};

/* ---- what a core dump shall hold ---- */

static int capture_filter(struct dump *d, struct dump_thread *th, const struct program *p,
			  CoreEntry *core, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;

	if (io_read_file(th->task->proc_fd, "coredump_filter", &b) == 0 && b.len) {
		core->tc->has_coredump_filter = true;
		core->tc->coredump_filter = (uint32_t)strtoul(b.data, NULL, 16);
	}
	return 0;
}

static int finish_filter(struct restore *r, struct restore_thread *th, struct err *err)
{
	char path[64], text[24];
	int n;

	if (!th->core->tc->has_coredump_filter)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/coredump_filter", th->t.tid);
	snprintf(text, sizeof(text), "0x%x", th->core->tc->coredump_filter);
	n = io_write_file(AT_FDCWD, path, text, strlen(text));
	return n < 0 ? err_sys(err, n, "setting the core dump filter") : 0;
}

const struct task_attr attr_coredump_filter = { .name = "core dump filter",
						.capture = capture_filter,
						.finish = finish_filter };

/* ---- the time stamp counter ---- */

static void ask_tsc(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_TSC];

	a->data = prog_bytes(p, NULL, sizeof(int));
	a->step = prog_syscall(p, "asking for the time stamp counter's mode", PROG_GO_ON, SYS_prctl,
			       PN(PR_GET_TSC), PD(a->data));
}

static int capture_tsc(struct dump *d, struct dump_thread *th, const struct program *p,
		       CoreEntry *core, struct err *err)
{
	const int mode = *(const int *)prog_out(p, th->asked[ASKED_TSC].data);

	/* strict seccomp mode brings that with it */
	if (mode != PR_TSC_SIGSEGV || th->status.seccomp_mode == SECCOMP_MODE_STRICT)
		return 0;
	core->thread_core->has_tsc_mode = true;
	core->thread_core->tsc_mode = (uint32_t)mode;
	return 0;
}

static int check_tsc(struct restore *r, struct restore_thread *th, struct err *err)
{
	const ThreadCoreEntry *c = th->core->thread_core;

	if (c->has_tsc_mode && c->tsc_mode != PR_TSC_ENABLE && c->tsc_mode != PR_TSC_SIGSEGV)
		return err_image(err, "thread %d: mode %u of the time stamp counter", th->ns_tid,
				 c->tsc_mode);
	return 0;
}

/* Every thread sets its own, whoever has made it. */
static void put_tsc(struct restore *r, struct restore_thread *th, struct program *p)
{
	const ThreadCoreEntry *c = th->core->thread_core;

	if (c->has_tsc_mode)
		prog_syscall(p, "setting the time stamp counter's mode", PROG_STOP, SYS_prctl,
			     PN(PR_SET_TSC), PN(c->tsc_mode));
}

const struct task_attr attr_tsc = { .name = "mode of the time stamp counter",
				    .per_thread = true,
				    .ask = ask_tsc,
				    .capture = capture_tsc,
				    .check = check_tsc,
				    .put = put_tsc };

/* ---- rare settings, refused ---- */

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif
#ifndef PR_GET_MEMORY_MERGE
#define PR_GET_MEMORY_MERGE 68
#endif
#ifndef PR_GET_IO_FLUSHER
#define PR_GET_IO_FLUSHER 58
#endif

/* The usual answer, or an error of a kernel that lacks the setting, is no reason to refuse. */
static const struct {
	int option;
	const char *what;
} settings[] = {
	{ PR_GET_MDWE, "it forbids itself writable code (PR_SET_MDWE)" },
	{ PR_GET_MEMORY_MERGE, "it merges its memory (PR_SET_MEMORY_MERGE)" },
	{ PR_GET_IO_FLUSHER, "it is an I/O flusher (PR_SET_IO_FLUSHER)" },
};

enum { N_SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static void ask_oddities(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_ODDITIES];
	int i, step;

	for (i = 0; i < N_SETTINGS; i++) {
		step = prog_syscall(p, "asking for a rare setting", PROG_GO_ON, SYS_prctl,
				    PN(settings[i].option), PN(0), PN(0), PN(0), PN(0));
		if (i == 0)
			a->step = step;
	}
}

static int capture_oddities(struct dump *d, struct dump_thread *th, const struct program *p,
			    CoreEntry *core, struct err *err)
{
	const struct asked *a = &th->asked[ASKED_ODDITIES];
	int i;

	for (i = 0; i < N_SETTINGS; i++)
		if (prog_result(p, a->step + i) > 0)
			dump_refuse(d, th->task, "thread %d: %s, which cannot be kept yet",
				    th->t.tid, settings[i].what);
	return 0;
}

const struct task_attr attr_oddities = { .name = "rare settings",
					 .per_thread = true,
					 .ask = ask_oddities,
					 .capture = capture_oddities };
