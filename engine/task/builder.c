/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Builders: what runs in the processes that become tasks, while they are still copies of the
 * engine. Plain C with libc. A builder that fails fills the shared error and exits; the engine ends
 * the others.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/core/errand.h"
#include "engine/core/turn.h"
#include "engine/files/restore-files.h"
#include "engine/files/terminals.h"
#include "engine/mem/load.h"
#include "engine/ns/ns.h"
#include "engine/task/attr.h"
#include "engine/task/builder-run.h"
#include "engine/task/plan.h"
#include "engine/task/sharing.h"
#include "engine/task/thread-tables.h"
#include "mounts/mounts.h"

const char *builder_name(struct restore *r, const struct restore_task *task)
{
	const char *s;

	if (!task->birth.helper)
		return restore_task_name(r, task);
	if (task->birth.heir)
		return "a helper that hands on a process";
	s = arena_printf(&r->arena, "the helper that leads session %d", task->ns_pid);
	return s ? s : "a helper that leads a session";
}

_Noreturn void builder_fail(struct restore *r, const struct restore_task *task, struct err *err)
{
	uint32_t none = 0;

	err_wrap(err, err->code ? err->code : -EIO, "building %s", builder_name(r, task));
	if (__atomic_compare_exchange_n(&r->shared->failed, &none, 2, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED)) {
		r->shared->err = *err;
		__atomic_store_n(&r->shared->failed, 1, __ATOMIC_RELEASE);
	}
	turn_exit(task->turn, 1);
}

static void wait_stage(struct restore *r, uint32_t *turn, uint32_t stage)
{
	uint32_t now;

	while ((now = __atomic_load_n(&r->shared->stage, __ATOMIC_ACQUIRE)) < stage)
		turn_wait(r, turn, &r->shared->stage, now);
}

static int say(struct restore *r, const struct restore_task *task, uint32_t stage, struct err *err)
{
	struct builder_word w = { (uint32_t)task->index, stage };

	if (send(r->builder_socket, &w, sizeof(w), MSG_NOSIGNAL) != sizeof(w))
		return err_sys(err, -errno, "reporting to the engine");
	return 0;
}

pid_t builder_clone(uint64_t flags, pid_t ns_pid, int exit_signal)
{
	/* a sibling takes over our own exit signal, and may not be given one */
	struct clone_args args = { .flags = flags,
				   .exit_signal = flags & CLONE_PARENT ? 0 : exit_signal };

	if (ns_pid) {
		args.set_tid = (uint64_t)(uintptr_t)&ns_pid;
		args.set_tid_size = 1;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* ---- children with the memory of their forker ---- */

enum { STACK_LEN = 1 << 20 };

/* At the top of the new stack. */
struct member {
	struct restore *r;
	struct restore_task *task;
} __attribute__((aligned(64)));

static void member_main(void *arg)
{
	const struct member *m = arg;

	builder_main(m->r, m->task);
}

/* The stack goes when the memory is made the task's. */
static pid_t clone_member(struct restore *r, struct restore_task *child, uint64_t flags,
			  pid_t ns_pid, int exit_signal)
{
	const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
	struct clone_args args = { .flags = flags,
				   .exit_signal = flags & CLONE_PARENT ? 0 : exit_signal };
	char *stack = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, kind, -1, 0);
	struct member *m = (struct member *)(stack + STACK_LEN - sizeof(*m));
	int64_t pid;

	if (stack == MAP_FAILED || mprotect(stack, IMAGE_PAGE_SIZE, PROT_NONE) < 0)
		return -1;
	*m = (struct member){ r, child };
	args.stack = (uint64_t)(uintptr_t)stack;
	args.stack_size = STACK_LEN - sizeof(*m);
	if (ns_pid) {
		args.set_tid = (uint64_t)(uintptr_t)&ns_pid;
		args.set_tid_size = 1;
	}
	pid = arch_clone(&args, sizeof(args), member_main, m);
	if (pid < 0)
		errno = (int)-pid;
	return pid < 0 ? -1 : (pid_t)pid;
}

static pid_t clone_child(struct restore *r, struct restore_task *child, pid_t ns_pid)
{
	uint64_t flags = share_clone_flags(child->birth.forker, child);
	/* what a helper forks gets SIGCHLD when it is handed on: so it had lost its parent before
	 */
	int signal = child->birth.helper ? SIGCHLD : child->exit_signal;
	pid_t pid = flags & CLONE_VM ? clone_member(r, child, flags, ns_pid, signal)
				     : builder_clone(flags, ns_pid, signal);

	if (pid == 0)
		builder_main(r, child);
	return pid;
}

/* A helper that may have any number gets one that no task needs: these are forked meanwhile. */
static pid_t clone_helper(struct restore *r, struct restore_task *h)
{
	pid_t number = plan_free_pid(r, (pid_t)(h->index - r->tasks.n) + 1), pid = -1;

	errno = EAGAIN;
	while (number) {
		pid = clone_child(r, h, number);
		if (pid >= 0 || errno != EEXIST)
			break;
		number = plan_free_pid(r, number);
	}
	return pid;
}

static int fork_one(struct restore *r, struct restore_task *child, struct err *err)
{
	pid_t pid = child->ns_pid ? clone_child(r, child, child->ns_pid) : clone_helper(r, child);

	child->pid = pid; /* of our copy: to wait for helpers */
	if (pid > 0)
		return 0;
	err_sys(err, -errno, "forking %s with pid %d", builder_name(r, child), child->ns_pid);
	if (errno == EEXIST)
		err_hint(err,
			 "that pid is taken; end its process, or restore into a new pid namespace");
	return err->code;
}

static int fork_all(struct restore *r, struct restore_task *task, bool early, struct err *err)
{
	struct restore_task **c;
	int n = 0;

	vec_foreach (c, &task->birth.forks)
		if ((*c)->birth.early == early && n == 0)
			n = fork_one(r, *c, err);
	return n;
}

/* The state that a new process inherits from the engine, and that must not show in a task. */
static void reset_signals(void)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* not through libc, which would leave a flag of its own */
	for (sig = 1; sig <= 64; sig++) {
		uint64_t none[4] = { 0 };

		syscall(SYS_rt_sigaction, sig, none, NULL, 8);
	}
}

static int make_session(struct restore_task *task, struct err *err)
{
	if (task->birth.leads && getsid(0) != getpid() && setsid() < 0)
		return err_sys(err, -errno, "making a session");
	return 0;
}

/* After the forks: children without a group of their own keep that of the session's leader. */
static int make_group(struct restore_task *task, struct err *err)
{
	if (task->birth.founds_group && !task->birth.leads && setpgid(0, 0) < 0)
		return err_sys(err, -errno, "making a process group");
	return 0;
}

static int reap(struct restore *r, struct restore_task *task, pid_t pid, struct err *err)
{
	int n = turn_reap(r, task->turn, pid);

	return n < 0 ? err_sys(err, n, "waiting for helper %d", pid) : 0;
}

static _Noreturn void lead_dead_group(struct restore *r, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	wait_stage(r, NULL, STAGE_DIE);
	_exit(0);
}

/* A group whose leader is dead: a child of a member leads it until all have joined. */
static int make_dead_group(struct restore *r, struct restore_task *task, struct err *err)
{
	pid_t pid, self = getpid();

	if (!task->birth.dead_group)
		return 0;
	pid = builder_clone(0, task->birth.dead_group, SIGCHLD);
	if (pid == 0)
		lead_dead_group(r, self);
	if (pid < 0)
		return err_sys(err, -errno, "forking a leader of process group %d",
			       task->birth.dead_group);
	if (setpgid(pid, pid) < 0)
		return err_sys(err, -errno, "making process group %d", pid);
	return 0;
}

/* The part of this builder in the rounds in which helpers end and hand on what they forked. */
static int take_part_in_rounds(struct restore *r, struct restore_task *task, struct err *err)
{
	unsigned int round;
	int n = 0;

	for (round = 1; round <= r->rounds && n == 0; round++) {
		struct builder_part part = builder_part(r, task, round);

		if (part.heir) {
			wait_stage(r, task->turn, round_stage(round, ROUND_REAPER));
			if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
				return err_sys(err, -errno, "becoming a subreaper");
			n = say(r, task, round_stage(round, ROUND_REAPER), err);
		}
		if (part.ends) {
			wait_stage(r, task->turn, round_stage(round, ROUND_END));
			turn_exit(task->turn, 0);
		}
		if (part.reaps && n == 0) {
			struct restore_task **c;

			wait_stage(r, task->turn, round_stage(round, ROUND_END));
			vec_foreach (c, &task->birth.forks)
				if ((*c)->birth.heir && (*c)->birth.round == round && n == 0)
					n = reap(r, task, (*c)->pid, err);
			if (n == 0)
				n = say(r, task, round_stage(round, ROUND_END), err);
		}
		if (part.heir && n == 0) {
			wait_stage(r, task->turn, round_stage(round, ROUND_OVER));
			prctl(PR_SET_CHILD_SUBREAPER, 0);
			n = say(r, task, round_stage(round, ROUND_OVER), err);
		}
	}
	return n;
}

/* Helpers that lead are not needed any more; nothing is left of them but a SIGCHLD. */
static int reap_leaders(struct restore *r, struct restore_task *task, struct err *err)
{
	struct restore_task **c;
	int n = 0;

	if (!builder_reaps_leaders(task))
		return 0;
	wait_stage(r, task->turn, STAGE_DIE);
	vec_foreach (c, &task->birth.forks)
		if ((*c)->birth.helper && !(*c)->birth.heir && n == 0)
			n = reap(r, task, (*c)->pid, err);
	if (n == 0 && task->birth.dead_group)
		n = reap(r, task, task->birth.dead_group, err);
	return n == 0 ? say(r, task, STAGE_DIE, err) : n;
}

static int join_group(struct restore_task *task, struct err *err)
{
	if (!task->ns_pgid || task->ns_pgid == task->ns_pid || getpgrp() == task->ns_pgid)
		return 0;
	if (setpgid(0, task->ns_pgid) < 0)
		return err_sys(err, -errno, "joining process group %d", task->ns_pgid);
	return 0;
}

/* The root builder makes what all of them share, before they are born. */
static int build_shared(struct restore *r, struct restore_task *root, struct err *err)
{
	int n;

	wait_stage(r, root->turn, STAGE_BORN);
	if (r->new_ns & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(err, -errno, "making a cgroup namespace");
	n = say(r, root, STAGE_CGROUPNS, err);
	if (n < 0)
		return n;
	wait_stage(r, root->turn, STAGE_SPACES);
	n = ns_build(r, err);
	if (n == 0 && r->mounts)
		n = mounts_rebuild(r->mounts, r->images_fd, err);
	if (n == 0)
		n = say(r, root, STAGE_SPACES, err);
	if (n < 0)
		return n;
	wait_stage(r, root->turn, STAGE_FORK);
	n = restore_files_create(r, err);
	return n == 0 ? device_make_all(r, err) : n;
}

static _Noreturn void end_as_zombie(struct restore *r, struct restore_task *task)
{
	struct rlimit no_core = { 0, 0 };
	int sig = task->exit_code & 0x7f;
	sigset_t none;

	wait_stage(r, task->turn, STAGE_DIE);
	setrlimit(RLIMIT_CORE, &no_core);
	if (sig) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		kill(getpid(), sig);
	}
	turn_exit(task->turn, task->exit_code >> 8 & 0xff);
}

static int give_birth(struct restore *r, struct restore_task *task, struct err *err)
{
	struct restore_task *first = share_memory_begins(r, task);
	int n = first ? inherit_make(r, first, err) : 0;

	if (n == 0)
		n = fork_all(r, task, true, err);
	if (n == 0)
		n = make_session(task, err);
	if (n == 0)
		n = terminals_lead(r, task, err);
	if (n == 0)
		n = fork_all(r, task, false, err);
	if (n == 0)
		n = make_group(task, err);
	if (n == 0)
		n = make_dead_group(r, task, err);
	/* from its word on the engine knows its pid, and can end it itself */
	if (n == 0 && task->birth.moves)
		prctl(PR_SET_PDEATHSIG, 0);
	if (n == 0)
		n = say(r, task, STAGE_FORK, err);
	if (n == 0 && !task->index) {
		wait_stage(r, task->turn, STAGE_LATE);
		n = restore_files_create_late(r, err);
		errands_end(r);
		if (n == 0)
			n = say(r, task, STAGE_LATE, err);
	} else if (n == 0) {
		errands_serve(r, task);
	}
	return n == 0 ? take_part_in_rounds(r, task, err) : n;
}

static int enter_places(struct restore *r, struct restore_task *task, struct err *err)
{
	int n = builder_leaves_group(task) ? 0 : join_group(task, err);

	if (n < 0 || task->dead)
		return n;
	n = terminals_groups(r, task, err);
	if (n == 0)
		n = share_leave(task, err);
	if (n == 0)
		n = loginuid_enter(r, task, err);
	/* of a shared table, one does the work */
	if (n == 0 && task->dirs.first)
		n = restore_files_enter(r, task, err);
	if (n == 0 && task->files.first)
		n = restore_files_place(r, task, err);
	return n == 0 ? thread_tables_make(r, task, err) : n;
}

/* It has founded its group, and the members have joined: now it can go to another one. */
static int leave_group(struct restore *r, struct restore_task *task, struct err *err)
{
	int n;

	if (!builder_leaves_group(task))
		return 0;
	wait_stage(r, task->turn, STAGE_LEAVE);
	n = join_group(task, err);
	return n == 0 ? say(r, task, STAGE_LEAVE, err) : n;
}

static int build(struct restore *r, struct restore_task *task, struct err *err)
{
	int n = task->index ? 0 : build_shared(r, task, err);

	if (n == 0)
		n = keyring_enter(r, task, err);
	if (n == 0)
		n = give_birth(r, task, err);
	if (n < 0)
		return n;
	wait_stage(r, task->turn, STAGE_GROUPS);
	n = enter_places(r, task, err);
	if (n == 0)
		n = say(r, task, STAGE_GROUPS, err);
	if (n == 0)
		n = leave_group(r, task, err);
	return n == 0 ? reap_leaders(r, task, err) : n;
}

void builder_main(struct restore *r, struct restore_task *task)
{
	struct err err = ERR_INIT;

	turn_take(r, task->turn);
	reset_signals();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || build(r, task, &err) < 0)
		builder_fail(r, task, &err);
	if (task->dead)
		end_as_zombie(r, task);
	/* from here on the engine drives it from outside */
	turn_rest(r, task->turn);
}
