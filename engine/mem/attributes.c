/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What areas have besides contents: protection, guard pages, advice, names, locks, seals, and
 * NUMA policies. The format of the images has no place for some of it; those fields are ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/areas.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "engine/mem/pagemap-scan.h"
#include "engine/task/task-asked.h"
#include "proto/memory.pb-c.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif
#ifndef SYS_mseal
#define SYS_mseal 462 /* 6.10 */
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* ---- dump: guard pages ---- */

static int add_guard(struct dump *d, struct dump_task *task, uint64_t start, uint64_t end)
{
	VmaEntry **slot = vec_add(&task->guards);
	VmaEntry *e = slot ? arena_alloc(&d->arena, sizeof(*e)) : NULL;

	if (!e)
		return -ENOMEM;
	vma_entry__init(e);
	e->start = start;
	e->end = end;
	e->fd = -1;
	e->status = AREA_GUARD;
	*slot = e;
	return 0;
}

/*
 * Guard pages (MADV_GUARD_INSTALL, 6.13) show nowhere but here (PAGE_IS_GUARD, 6.15). Kernels in
 * between fail to read them, so that nothing is lost in silence.
 */
int guards_collect(struct dump *d, struct dump_task *task, struct err *err)
{
	cleanup_fd int fd = openat(task->proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	struct page_region found[64];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.end = arch_task_size(),
		.vec = (uint64_t)(uintptr_t)found,
		.vec_len = sizeof(found) / sizeof(found[0]),
		.category_mask = PAGE_IS_GUARD,
		.return_mask = PAGE_IS_GUARD,
	};
	int i, n;

	if (fd < 0)
		return err_sys(err, -errno, "opening the page map of %s", dump_task_name(d, task));
	while (scan.start < scan.end) {
		n = ioctl(fd, PAGEMAP_SCAN, &scan);
		if (n < 0 && (errno == EINVAL || errno == ENOTTY))
			return 0; /* the kernel does not tell */
		if (n < 0)
			return err_sys(err, -errno, "looking for guard pages of %s",
				       dump_task_name(d, task));
		for (i = 0; i < n; i++)
			if (add_guard(d, task, found[i].start, found[i].end) < 0)
				return err_nomem(err);
		if (scan.walk_end <= scan.start)
			break;
		scan.start = scan.walk_end;
	}
	return 0;
}

/* ---- dump: NUMA policies, which only the task can ask for ---- */

enum { NODES_MAX = 1024 };

struct policy {
	int64_t mode; /* the kernel writes the lower half */
	uint64_t nodes[];
};

/* Words that a set of nodes needs, as the kernel asks for it; 0: a kernel without NUMA. */
static size_t node_words(void)
{
	cleanup_buf struct buf b = BUF_INIT;
	const char *last;
	long highest;

	if (io_read_file(AT_FDCWD, "/sys/devices/system/node/possible", &b) < 0)
		return 0;
	last = strrchr(b.data, '-');
	highest = atol(last ? last + 1 : b.data);
	return highest < 0 || highest >= NODES_MAX ? NODES_MAX / 64 : (size_t)highest / 64 + 1;
}

static size_t policy_size(size_t words)
{
	return (sizeof(struct policy) + words * 8 + 15) & ~(size_t)15;
}

void policies_ask(struct dump *d, struct dump_thread *leader, struct program *p)
{
	struct asked *asked = &leader->asked[ASKED_POLICIES];
	const struct proc_vma *vma;
	size_t words = node_words(), i = 0;

	asked->more = words;
	if (!words)
		return;
	asked->data = prog_bytes(p, NULL, leader->task->vmas.n * policy_size(words));
	asked->step = (int)p->steps.n;
	vec_foreach (vma, &leader->task->vmas) {
		uint64_t at = asked->data + i++ * policy_size(words);

		prog_syscall(p, "asking for the NUMA policy of an area", PROG_GO_ON,
			     SYS_get_mempolicy, PD(at), PD(at + sizeof(struct policy)),
			     PN(words * 64 + 1), PN(vma->start), PN(MPOL_F_ADDR));
	}
}

int policies_capture(struct dump *d, struct dump_task *task, const struct program *p,
		     struct err *err)
{
	const struct asked *asked = &task->threads.v[0]->asked[ASKED_POLICIES];
	size_t words = asked->more, i;

	for (i = 0; words && i < task->vmas.n; i++) {
		const struct policy *got = prog_out(p, asked->data + i * policy_size(words));
		VmaEntry *e = &task->areas[i];

		if (prog_result(p, asked->step + (int)i) < 0 || (int)got->mode == MPOL_DEFAULT)
			continue;
		e->has_numa_mode = true;
		e->numa_mode = (uint32_t)got->mode;
		e->n_numa_nodes = words;
		e->numa_nodes = arena_dup(&d->arena, got->nodes, words * 8);
		if (!e->numa_nodes)
			return err_nomem(err);
	}
	return 0;
}

/* ---- dump: mlockall(MCL_FUTURE), which shows only in what is mapped afterwards ---- */

static int scratch_is_on_fault(const struct dump_task *task, bool *ret)
{
	cleanup_proc_vmas struct proc_vmas vmas = { 0 };
	cleanup_buf struct buf b = BUF_INIT;
	const struct proc_vma *vma;
	int r = io_read_file(task->proc_fd, "smaps", &b);

	if (r == 0)
		r = proc_vmas_parse(b.data, b.len, &vmas);
	if (r < 0)
		return r;
	*ret = false;
	vec_foreach (vma, &vmas)
		if (vma->start <= task->scratch.data && vma->end > task->scratch.data)
			*ret = proc_vma_has(vma, VMF_LF);
	return 0;
}

int future_locks(const struct dump_task *task, uint32_t *ret_flags, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_status now = { 0 };
	bool on_fault = false;
	int r = io_read_file(task->proc_fd, "status", &b);

	if (r == 0)
		r = proc_status_parse(b.data, b.len, &now);
	if (r < 0)
		return err_sys(err, r, "reading the status of task %d", task->pid);
	*ret_flags = 0;
	/* the scratch area came in between */
	if (now.vm_lck_kib > task->threads.v[0]->status.vm_lck_kib) {
		r = scratch_is_on_fault(task, &on_fault);
		*ret_flags = MCL_FUTURE | (on_fault ? MCL_ONFAULT : 0);
	}
	proc_status_done(&now);
	return r < 0 ? err_sys(err, r, "reading the areas of task %d", task->pid) : 0;
}

/* ---- restore ---- */

int attributes_check(const VmaEntry *e, struct err *err)
{
	if (e->n_numa_nodes > NODES_MAX / 64 || (e->has_numa_mode && !e->n_numa_nodes))
		return err_image(err, "a NUMA policy of %zu words", e->n_numa_nodes);
	return 0;
}

/* Room for the operands of an area, and the number of calls. */
uint64_t attributes_bound(const VmaEntry *e)
{
	return (4 + (uint64_t)__builtin_popcountll(e->madv)) * sizeof(struct arch_step) +
	       (e->anon_name ? strlen(e->anon_name) + 32 : 0) + e->n_numa_nodes * 8 + 16;
}

void attributes_put_policy(const VmaEntry *e, struct program *p)
{
	if (e->has_numa_mode)
		prog_syscall(p, "setting a NUMA policy", PROG_GO_ON, SYS_mbind, PN(e->start),
			     PN(e->end - e->start), PN(e->numa_mode),
			     PD(prog_bytes(p, e->numa_nodes, e->n_numa_nodes * 8)),
			     PN(e->n_numa_nodes * 64 + 1), PN(0));
}

static void put_guard(const VmaEntry *e, struct program *p)
{
	int step = prog_syscall(p, "making guard pages", PROG_STOP, SYS_madvise, PN(e->start),
				PN(e->end - e->start), PN(MADV_GUARD_INSTALL));

	if (!p->broken)
		p->steps.v[step].detail = e->start;
}

/* mlock(2) faults all pages in and fails at a guard page, but locks nevertheless. */
static void put_lock(const VmaEntry *e, bool guarded, struct program *p)
{
	if (e->flags & MAP_LOCKED)
		prog_syscall(p, "locking an area", guarded ? PROG_GO_ON : PROG_STOP, SYS_mlock2,
			     PN(e->start), PN(e->end - e->start),
			     PN(e->lock_on_fault ? MLOCK_ONFAULT : 0));
}

static void put_advice(const VmaEntry *e, struct program *p)
{
	unsigned int bit;

	for (bit = 0; e->has_madv && bit < 64; bit++)
		if (e->madv & (1ull << bit))
			prog_syscall(p, "advising on an area", PROG_STOP, SYS_madvise, PN(e->start),
				     PN(e->end - e->start), PN(bit));
	if (e->anon_name)
		prog_syscall(p, "naming an area", PROG_GO_ON, SYS_prctl, PN(PR_SET_VMA),
			     PN(PR_SET_VMA_ANON_NAME), PN(e->start), PN(e->end - e->start),
			     PD(prog_bytes(p, e->anon_name, strlen(e->anon_name) + 1)));
}

static bool has_guard(const MmEntry *mm, size_t first_guard, const VmaEntry *e)
{
	size_t i;

	for (i = first_guard; i < mm->n_vmas; i++)
		if (mm->vmas[i]->start < e->end && mm->vmas[i]->end > e->start)
			return true;
	return false;
}

/* Guard pages are last in the list. They are made before locks, which the kernel wants. */
void attributes_put(const struct restore_task *task, struct program *p)
{
	const MmEntry *mm = task->mm;
	size_t i, n = mm->n_vmas;

	while (n && mm->vmas[n - 1]->status & AREA_GUARD)
		put_guard(mm->vmas[--n], p);
	for (i = 0; i < n; i++) {
		const VmaEntry *e = mm->vmas[i];

		if (!area_is_made(e))
			continue;
		put_advice(e, p);
		put_lock(e, n < mm->n_vmas && has_guard(mm, n, e), p);
		if (e->sealed)
			prog_syscall(p, "sealing an area", PROG_STOP, SYS_mseal, PN(e->start),
				     PN(e->end - e->start), PN(0));
	}
	if (mm->lock_future)
		prog_syscall(p, "locking what will be mapped", PROG_STOP, SYS_mlockall,
			     PN(mm->lock_future & (MCL_FUTURE | MCL_ONFAULT)));
}

/* A machine with other nodes runs the task as well. */
void attributes_warn(const struct restore *r, const struct restore_task *task)
{
	const struct prog_step *s;

	vec_foreach (s, &task->prog_mm.steps) {
		if (s->nr == SYS_mbind && s->result < 0) {
			log_warn(r->log,
				 "task %d: NUMA policies of areas cannot be set on this "
				 "machine (%s), ignoring",
				 task->ns_pid, strerrordesc_np((int)-s->result));
			return;
		}
	}
}
