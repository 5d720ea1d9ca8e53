/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small values of a process or thread, most of them behind prctl(2). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/task/attr.h"
#include "proto/core.pb-c.h"
#include "proto/memory.pb-c.h"

#define PRCTL(p, what, fail, ...) prog_syscall(p, what, fail, SYS_prctl, __VA_ARGS__)

/* ---- name ---- */

static int capture_name(struct dump *d, struct dump_thread *th, const struct program *p,
			CoreEntry *core, struct err *err)
{
	char *name = arena_strdup(&d->arena, th->stat.comm);

	if (!name)
		return err_nomem(err);
	core->thread_core->comm = name;
	if (core->tc)
		core->tc->comm = name;
	return 0;
}

static void put_name(struct restore *r, struct restore_thread *th, struct program *p)
{
	const char *name = th->core->thread_core->comm;
	char buf[16] = { 0 };

	if (!name && th->core->tc)
		name = th->core->tc->comm;
	if (!name)
		return;
	snprintf(buf, sizeof(buf), "%s", name);
	PRCTL(p, "setting the name", PROG_STOP, PN(PR_SET_NAME),
	      PD(prog_bytes(p, buf, sizeof(buf))));
}

const struct task_attr attr_name = {
	.name = "name", .per_thread = true, .capture = capture_name, .put = put_name
};

/* ---- personality ---- */

static int capture_personality(struct dump *d, struct dump_thread *th, const struct program *p,
			       CoreEntry *core, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(th->task->proc_fd, "personality", &b);

	if (r < 0)
		return err_sys(err, r, "reading the personality");
	core->tc->personality = (uint32_t)strtoul(b.data, NULL, 16);
	return 0;
}

static void put_personality(struct restore *r, struct restore_thread *th, struct program *p)
{
	prog_syscall(p, "setting the personality", PROG_STOP, SYS_personality,
		     PN(th->core->tc->personality));
}

const struct task_attr attr_personality = { .name = "personality",
					    .capture = capture_personality,
					    .put = put_personality };

/* ---- child subreaper ---- */

static void ask_subreaper(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_SUBREAPER];

	a->data = prog_bytes(p, NULL, sizeof(int));
	a->step = PRCTL(p, "asking for the subreaper flag", PROG_STOP, PN(PR_GET_CHILD_SUBREAPER),
			PD(a->data));
}

static int capture_subreaper(struct dump *d, struct dump_thread *th, const struct program *p,
			     CoreEntry *core, struct err *err)
{
	core->tc->has_child_subreaper = true;
	core->tc->child_subreaper = *(const int *)prog_out(p, th->asked[ASKED_SUBREAPER].data) != 0;
	return 0;
}

static void put_subreaper(struct restore *r, struct restore_thread *th, struct program *p)
{
	if (th->core->tc->child_subreaper)
		PRCTL(p, "becoming a child subreaper", PROG_STOP, PN(PR_SET_CHILD_SUBREAPER),
		      PN(1));
}

const struct task_attr attr_subreaper = { .name = "child subreaper",
					  .ask = ask_subreaper,
					  .capture = capture_subreaper,
					  .put = put_subreaper };

/* ---- signal at the parent's death ---- */

static void ask_pdeathsig(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_PDEATHSIG];

	a->data = prog_bytes(p, NULL, sizeof(int));
	a->step = PRCTL(p, "asking for the parent's death signal", PROG_STOP, PN(PR_GET_PDEATHSIG),
			PD(a->data));
}

static int capture_pdeathsig(struct dump *d, struct dump_thread *th, const struct program *p,
			     CoreEntry *core, struct err *err)
{
	int sig = *(const int *)prog_out(p, th->asked[ASKED_PDEATHSIG].data);

	/* the end of the parent's first thread, on a restore, would send it */
	if (sig && th->task->parent && th->task->parent->dead_leader)
		dump_refuse(d, th->task,
			    "it is to get signal %d when its parent ends, and the parent's first "
			    "thread has ended already",
			    sig);
	if (sig) {
		core->thread_core->has_pdeath_sig = true;
		core->thread_core->pdeath_sig = (uint32_t)sig;
	}
	return 0;
}

/* Always set: builders have one of their own, so that they die with the engine. */
static void put_pdeathsig(struct restore *r, struct restore_thread *th, struct program *p)
{
	PRCTL(p, "setting the parent's death signal", PROG_STOP, PN(PR_SET_PDEATHSIG),
	      PN(th->core->thread_core->pdeath_sig));
}

const struct task_attr attr_pdeathsig = { .name = "death signal",
					  .per_thread = true,
					  .ask = ask_pdeathsig,
					  .capture = capture_pdeathsig,
					  .put = put_pdeathsig };

/* ---- membarrier ---- */

enum { MEMBARRIER_QUERY = 0, MEMBARRIER_GET_REGISTRATIONS = 512 };

static void ask_membarrier(struct dump *d, struct dump_thread *th, struct program *p)
{
	th->asked[ASKED_MEMBARRIER].step =
		prog_syscall(p, "asking for membarrier registrations", PROG_GO_ON, SYS_membarrier,
			     PN(MEMBARRIER_GET_REGISTRATIONS), PN(0), PN(0));
}

static int capture_membarrier(struct dump *d, struct dump_thread *th, const struct program *p,
			      CoreEntry *core, struct err *err)
{
	int64_t mask = prog_result(p, th->asked[ASKED_MEMBARRIER].step);

	if (mask > 0) { /* negative before 6.3: the kernel cannot tell */
		core->tc->has_membarrier_registration_mask = true;
		core->tc->membarrier_registration_mask = (uint32_t)mask;
	}
	return 0;
}

/* A registration is the command with its own bit. */
static void put_membarrier(struct restore *r, struct restore_thread *th, struct program *p)
{
	uint32_t mask = th->core->tc->membarrier_registration_mask, bit;

	for (bit = 1; bit; bit <<= 1)
		if (mask & bit)
			prog_syscall(p, "registering membarrier", PROG_STOP, SYS_membarrier,
				     PN(bit), PN(0), PN(0));
}

const struct task_attr attr_membarrier = { .name = "membarrier",
					   .ask = ask_membarrier,
					   .capture = capture_membarrier,
					   .put = put_membarrier };

/* ---- dumpable and transparent huge pages: kept in mm-PID.img ---- */

static void ask_dumpable(struct dump *d, struct dump_thread *th, struct program *p)
{
	th->asked[ASKED_DUMPABLE].step =
		PRCTL(p, "asking for the dumpable flag", PROG_STOP, PN(PR_GET_DUMPABLE));
}

static void put_dumpable(struct restore *r, struct restore_thread *th, struct program *p)
{
	const MmEntry *mm = th->task->mm;

	/* 2 (readable by root only) cannot be asked for: it is what a change of ids leaves behind
	 */
	if (mm->has_dumpable && (mm->dumpable == 0 || mm->dumpable == 1))
		PRCTL(p, "setting the dumpable flag", PROG_STOP, PN(PR_SET_DUMPABLE),
		      PN(mm->dumpable));
}

const struct task_attr attr_dumpable = { .name = "dumpable",
					 .ask = ask_dumpable,
					 .put = put_dumpable };

static void ask_thp(struct dump *d, struct dump_thread *th, struct program *p)
{
	th->asked[ASKED_THP].step = PRCTL(p, "asking for the huge page flag", PROG_STOP,
					  PN(PR_GET_THP_DISABLE), PN(0), PN(0), PN(0), PN(0));
}

static void put_thp(struct restore *r, struct restore_thread *th, struct program *p)
{
	if (th->task->mm->has_thp_disabled && th->task->mm->thp_disabled)
		PRCTL(p, "switching huge pages off", PROG_STOP, PN(PR_SET_THP_DISABLE), PN(1),
		      PN(th->task->mm->thp_disable_flags), PN(0), PN(0));
}

const struct task_attr attr_thp = { .name = "huge pages", .ask = ask_thp, .put = put_thp };
