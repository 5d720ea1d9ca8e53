/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What thread libraries register with the kernel: tid address, robust list, restartable sequences.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/task/attr.h"
#include "engine/task/task.h"
#include "proto/core.pb-c.h"
#include "proto/task.pb-c.h"

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

static void ask_tid_address(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_TID_ADDRESS];

	a->data = prog_bytes(p, NULL, sizeof(uint64_t));
	a->step = prog_syscall(p, "asking for the tid address", PROG_GO_ON, SYS_prctl,
			       PN(PR_GET_TID_ADDRESS), PD(a->data));
}

/* The registers are captured here, because the image keeps the tid address among them. */
static int capture_tid_address(struct dump *d, struct dump_thread *th, const struct program *p,
			       CoreEntry *core, struct err *err)
{
	const struct asked *a = &th->asked[ASKED_TID_ADDRESS];
	const char *why = arch_context_unsupported(th->t.ctx);
	cleanup_free struct arch_context *settled = arch_context_new();
	uint64_t addr = 0;

	if (!settled)
		return err_nomem(err);
	if (why)
		dump_refuse(d, th->task, "thread %d: %s", th->t.tid, why);
	if (prog_result(p, a->step) < 0)
		return err_sys(err, (int)prog_result(p, a->step), "asking for the tid address");
	memcpy(&addr, prog_out(p, a->data), sizeof(addr));
	*settled = *th->t.ctx;
	arch_context_settle(settled);
	if (arch_core_fill(settled, addr, core) < 0)
		return err_nomem(err);
	return 0;
}

/* A trial on a context of this machine's form; the real one is made when the thread exists. */
static int check_tid_address(struct restore *r, struct restore_thread *th, struct err *err)
{
	cleanup_free struct arch_context *ctx = arch_context_new();

	if (!ctx)
		return err_nomem(err);
	arch_context_template(ctx);
	return arch_core_load(th->core, ctx, &th->clear_tid_addr, err);
}

static void put_tid_address(struct restore *r, struct restore_thread *th, struct program *p)
{
	prog_syscall(p, "setting the tid address", PROG_STOP, SYS_set_tid_address,
		     PN(th->clear_tid_addr));
}

const struct task_attr attr_tid_address = { .name = "tid address",
					    .per_thread = true,
					    .ask = ask_tid_address,
					    .capture = capture_tid_address,
					    .check = check_tid_address,
					    .put = put_tid_address };

static int capture_robust(struct dump *d, struct dump_thread *th, const struct program *p,
			  CoreEntry *core, struct err *err)
{
	void *head = NULL;
	size_t len = 0;

	if (syscall(SYS_get_robust_list, th->t.tid, &head, &len) < 0)
		return err_sys(err, -errno, "reading the robust futex list of thread %d",
			       th->t.tid);
	core->thread_core->futex_rla = (uint64_t)(uintptr_t)head;
	core->thread_core->futex_rla_len = (uint32_t)len;
	return 0;
}

enum { ROBUST_LIST_BYTES = 24 }; /* the only length that the kernel takes */

static void put_robust(struct restore *r, struct restore_thread *th, struct program *p)
{
	const ThreadCoreEntry *c = th->core->thread_core;

	/* a builder has the C library's own, at an address that means nothing in the task */
	if (c->futex_rla_len || th->leader)
		prog_syscall(p, "setting the robust futex list", PROG_STOP, SYS_set_robust_list,
			     PN(c->futex_rla_len ? c->futex_rla : 0),
			     PN(c->futex_rla_len ?: ROBUST_LIST_BYTES));
}

const struct task_attr attr_robust_list = {
	.name = "robust list", .per_thread = true, .capture = capture_robust, .put = put_robust
};

/* struct ptrace_rseq_configuration, Linux 5.13 */
struct rseq_config {
	uint64_t addr;
	uint32_t size, signature, flags, pad;
};

/* struct rseq_cs of linux/rseq.h */
struct rseq_section {
	uint32_t version, flags;
	uint64_t start, len, abort;
};

enum { RSEQ_SECTION_AT = 8 /* in struct rseq */, RSEQ_KEEP_ON_SIGNAL = 2 };

int rseq_leave_section(struct dump_thread *th, struct err *err)
{
	struct rseq_config c = { 0 };
	struct rseq_section cs;
	uint64_t at = 0;
	int r;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->t.tid, sizeof(c), &c) < 0 || !c.addr ||
	    tracee_read(th->t.tid, c.addr + RSEQ_SECTION_AT, &at, sizeof(at)) < 0 || !at ||
	    tracee_read(th->t.tid, at, &cs, sizeof(cs)) < 0)
		return 0;
	if (arch_context_ip(th->t.ctx) - cs.start >= cs.len)
		return 0;
	if (cs.flags & RSEQ_KEEP_ON_SIGNAL) {
		th->rseq_section = at;
		return 0;
	}
	arch_context_jump(th->t.ctx, cs.abort);
	r = arch_regs_set(th->t.tid, th->t.ctx);
	return r < 0 ? err_sys(err, r, "leaving a critical section of thread %d", th->t.tid) : 0;
}

void rseq_enter_section(const struct dump_thread *th)
{
	struct rseq_config c = { 0 };

	if (th->rseq_section &&
	    ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->t.tid, sizeof(c), &c) >= 0 && c.addr)
		tracee_write(th->t.tid, c.addr + RSEQ_SECTION_AT, &th->rseq_section,
			     sizeof(th->rseq_section));
}

static int capture_rseq(struct dump *d, struct dump_thread *th, const struct program *p,
			CoreEntry *core, struct err *err)
{
	struct rseq_config c = { 0 };
	RseqEntry *e;
	long n = ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->t.tid, sizeof(c), &c);

	if (n < 0)
		return err_sys(err, -errno, "reading the rseq registration of thread %d",
			       th->t.tid);
	if (!c.addr)
		return 0;
	e = arena_alloc(&d->arena, sizeof(*e));
	if (!e)
		return err_nomem(err);
	rseq_entry__init(e);
	e->rseq_abi_pointer = c.addr;
	e->rseq_abi_size = c.size;
	e->signature = c.signature;
	e->has_rseq_cs_pointer = th->rseq_section != 0;
	e->rseq_cs_pointer = th->rseq_section;
	core->thread_core->rseq_entry = e;
	return 0;
}

int rseq_forget(struct restore_thread *th, struct program *p, struct err *err)
{
	struct rseq_config c = { 0 };

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->t.tid, sizeof(c), &c) < 0)
		return err_sys(err, -errno, "reading the rseq registration of a builder");
	if (c.addr)
		prog_syscall(p, "unregistering restartable sequences", PROG_STOP, SYS_rseq,
			     PN(c.addr), PN(c.size), PN(1 /* RSEQ_FLAG_UNREGISTER */),
			     PN(c.signature));
	return 0;
}

static void put_rseq(struct restore *r, struct restore_thread *th, struct program *p)
{
	const RseqEntry *e = th->core->thread_core->rseq_entry;

	if (e && e->rseq_abi_pointer)
		prog_syscall(p, "registering restartable sequences", PROG_STOP, SYS_rseq,
			     PN(e->rseq_abi_pointer), PN(e->rseq_abi_size), PN(0),
			     PN(e->signature));
}

/* The kernel clears the pointer while the thread runs programs: they are not in the section. */
int rseq_finish(struct restore_thread *th, struct err *err)
{
	const RseqEntry *e = th->core->thread_core->rseq_entry;
	int n = 0;

	if (e && e->rseq_abi_pointer && e->has_rseq_cs_pointer && e->rseq_cs_pointer)
		n = tracee_write(th->t.tid, e->rseq_abi_pointer + RSEQ_SECTION_AT,
				 &e->rseq_cs_pointer, sizeof(e->rseq_cs_pointer));
	return n < 0 ? err_sys(err, n, "setting the critical section of thread %d", th->ns_tid) : 0;
}

const struct task_attr attr_rseq = {
	.name = "rseq", .per_thread = true, .capture = capture_rseq, .put = put_rseq
};
