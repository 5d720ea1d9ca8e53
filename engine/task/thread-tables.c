/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads with a table of descriptors, or directories and umask, that are not those of their
 * process (unshare(2) in a thread). Such a thread is made by the builder, while there is still C to
 * fill its tables with; the engine takes it over with the builder. All others are made later, by
 * programs (threads.c).
 */
#include "engine/task/thread-tables.h"

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "engine/arch/arch.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/turn.h"
#include "engine/files/restore-files.h"
#include "engine/task/builder-run.h"
#include "engine/task/load.h"
#include "engine/task/revive.h"
#include "proto/core.pb-c.h"
#include "proto/task.pb-c.h"

/* ---- loading ---- */

/* Stands for the thread wherever a table has an owner. It is no task of the tree. */
static struct restore_task *new_holder(struct restore *r, struct restore_thread *th)
{
	const struct restore_task *task = th->task;
	struct restore_task *own = arena_alloc(&r->arena, sizeof(*own)), **slot;
	TaskKobjIdsEntry *ids = arena_dup(&r->arena, task->ids, sizeof(*ids));
	struct restore_thread **first = own ? vec_add(&own->threads) : NULL;

	slot = first && ids ? vec_add(&r->holders) : NULL;
	if (!slot) {
		if (own)
			vec_free(&own->threads);
		return NULL;
	}
	*first = th;
	*slot = own;
	own->parent = task->parent;
	own->index = task->index;
	own->ns_pid = th->ns_tid;
	own->ids = ids;
	ids->files_id = th->core->thread_core->files_id;
	return own;
}

static int load_thread(struct restore *r, struct restore_thread *th, struct err *err)
{
	const ThreadCoreEntry *c = th->core->thread_core;
	int n = 0;

	th->own_files = c->has_files_id;
	th->own_dirs = c->own_fs;
	if (!th->own_files && !th->own_dirs)
		return 0;
	if (th->leader || th->task->memory.carry)
		return err_image(err,
				 "image 'core-%d.img': this thread cannot have tables of its own",
				 th->ns_tid);
	th->own = new_holder(r, th);
	if (!th->own)
		return err_nomem(err);
	if (th->own_files)
		n = restore_files_load_table(r, th->own, err);
	return n == 0 && th->own_dirs ? restore_files_load_fs(r, th->own, err) : n;
}

int thread_tables_load(struct restore *r, struct err *err)
{
	struct restore_task *const *t;
	struct restore_thread *const *th;
	int n = 0;

	vec_foreach (t, &r->tasks)
		if (!(*t)->dead)
			vec_foreach (th, &(*t)->threads)
				if (n == 0)
					n = load_thread(r, *th, err);
	return n;
}

/* ---- in the builder ---- */

enum { STACK_LEN = 1 << 20 };

/* At the top of the new stack. */
struct birth {
	struct restore *r;
	struct restore_thread *th;
	uint32_t done;
} __attribute__((aligned(64)));

/* Its builder waits meanwhile, so that the C library has to do with one thread at a time. */
static void thread_main(void *arg)
{
	struct birth *b = arg;
	struct restore_task *own = b->th->own;
	struct err err = ERR_INIT;
	int n = b->th->own_dirs ? restore_files_enter(b->r, own, &err) : 0;

	if (n == 0 && b->th->own_files)
		n = restore_files_place(b->r, own, &err);
	if (n < 0)
		builder_fail(b->r, b->th->task, &err);
	__atomic_store_n(&b->done, 1, __ATOMIC_RELEASE);
	arch_syscall(SYS_futex, (int64_t)&b->done, FUTEX_WAKE, 1, 0);
	turn_rest(b->r, NULL);
}

/* The stack goes when the memory is made the task's. */
static int make_thread(struct restore *r, struct restore_thread *th, struct err *err)
{
	const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
	pid_t tid = th->ns_tid;
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			 (th->own_files ? 0 : CLONE_FILES) | (th->own_dirs ? 0 : CLONE_FS),
		.set_tid = (uint64_t)(uintptr_t)&tid,
		.set_tid_size = 1,
	};
	char *stack = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, kind, -1, 0);
	struct birth *b = (struct birth *)(stack + STACK_LEN - sizeof(*b));
	int64_t n;

	if (stack == MAP_FAILED)
		return err_sys(err, -errno, "mapping a stack");
	*b = (struct birth){ r, th, 0 };
	args.stack = (uint64_t)(uintptr_t)stack;
	args.stack_size = STACK_LEN - sizeof(*b);
	n = arch_clone(&args, sizeof(args), thread_main, b);
	if (n < 0)
		return err_sys(err, (int)n, "making thread %d", th->ns_tid);
	while (!__atomic_load_n(&b->done, __ATOMIC_ACQUIRE))
		turn_wait(r, NULL, &b->done, 0);
	return 0;
}

int thread_tables_make(struct restore *r, struct restore_task *task, struct err *err)
{
	struct restore_thread *const *th;
	int n = 0;

	vec_foreach (th, &task->threads)
		if (n == 0 && (*th)->own)
			n = make_thread(r, *th, err);
	return n;
}

/* ---- in the engine ---- */

/* Its number as we see it, by the one that it has inside. */
static pid_t find_tid(const struct restore_thread *th)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/task", th->task->pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		cleanup_buf struct buf text = BUF_INIT;
		struct proc_status st = { 0 };
		pid_t tid = atoi(e->d_name);
		bool found;

		snprintf(path, sizeof(path), "/proc/%d/task/%d/status", th->task->pid, tid);
		if (tid <= 0 || io_read_file(AT_FDCWD, path, &text) < 0 ||
		    proc_status_parse(text.data, text.len, &st) < 0)
			continue;
		found = (st.nspid.levels ? st.nspid.inner : tid) == th->ns_tid;
		proc_status_done(&st);
		if (found)
			return tid;
	}
	return 0;
}

int thread_tables_seize(struct restore *r, struct restore_task *task, struct err *err)
{
	struct restore_thread *const *th;
	int n = 0;

	vec_foreach (th, &task->threads) {
		if (n != 0 || !(*th)->own)
			continue;
		revive_ids(*th, find_tid(*th));
		(*th)->own->pid = (*th)->t.tid;
		n = tracee_seize(&(*th)->t, true, err);
		if (n == 0)
			n = revive_end_signal(*th, err);
		if (n < 0)
			err_wrap(err, n, "thread %d", (*th)->ns_tid);
	}
	return n;
}

void thread_tables_put(struct restore *r, struct restore_thread *th, struct program *p)
{
	if (th->own_files)
		prog_syscall(p, "closing the engine's descriptors", PROG_STOP, SYS_close_range,
			     PN(r->fd_base), PN(~0u), PN(0));
}
