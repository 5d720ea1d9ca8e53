/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine's side of the builders: fork the root, open the stages, learn pids, notice deaths. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroups/cgroups.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "engine/base/proctext.h"
#include "engine/files/restore-files.h"
#include "engine/mem/load.h"
#include "engine/ns/ns.h"
#include "engine/plugin/plugin.h"
#include "engine/sockets/tcp.h"
#include "engine/task/attr.h"
#include "engine/task/builder-run.h"
#include "engine/task/load.h"
#include "engine/task/plan.h"
#include "proto/core.pb-c.h"

static void open_stage(struct restore *r, uint32_t stage)
{
	__atomic_store_n(&r->shared->stage, stage, __ATOMIC_RELEASE);
	syscall(SYS_futex, &r->shared->stage, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Zombies and helpers, once they were told to end. */
static bool may_have_ended(const struct restore *r, const struct restore_task *t)
{
	if (t->birth.heir)
		return r->shared->stage >= round_stage(t->birth.round, ROUND_END);
	return t->dead && r->shared->stage >= STAGE_DIE;
}

/* A builder that failed told why; one that was killed did not. */
static int check_alive(struct restore *r, struct err *err)
{
	size_t i;

	if (__atomic_load_n(&r->shared->failed, __ATOMIC_ACQUIRE) == 1) {
		*err = r->shared->err;
		return err->code;
	}
	for (i = 0; i < plan_births(r); i++) {
		const struct restore_task *t = plan_birth(r, i);

		if (t->pid && !may_have_ended(r, t) && proc_has_ended(t->pid) &&
		    __atomic_load_n(&r->shared->failed, __ATOMIC_ACQUIRE) == 0)
			return err_new(err, ERR_ENVIRONMENT, -ECHILD,
				       "%s was killed while it was built", builder_name(r, t));
	}
	return 0;
}

/* Receives one word; the sender's pid comes from the kernel, in our own pid namespace. */
static int hear(int sock, struct builder_word *w, pid_t *ret_pid, struct err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { w, sizeof(*w) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	struct ucred cred;

	if (n != sizeof(*w) || !c || c->cmsg_type != SCM_CREDENTIALS)
		return err_sys(err, n < 0 ? -errno : -EIO, "hearing from a builder");
	memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	*ret_pid = cred.pid;
	return 0;
}

/* Waits until that many builders have said that they are through with a stage. */
static int wait_words(struct restore *r, uint32_t stage, size_t count, struct err *err)
{
	while (count) {
		struct pollfd p = { .fd = r->engine_socket, .events = POLLIN };
		struct builder_word w;
		pid_t pid = 0;
		int n = poll(&p, 1, 50);

		if (n <= 0 || __atomic_load_n(&r->shared->failed, __ATOMIC_ACQUIRE)) {
			n = check_alive(r, err);
			if (n < 0)
				return n;
			continue;
		}
		n = hear(r->engine_socket, &w, &pid, err);
		if (n < 0)
			return n;
		if (w.index >= plan_births(r) || w.stage != stage)
			return err_new(err, ERR_INTERNAL, -EPROTO,
				       "a builder is at stage %u instead of %u", w.stage, stage);
		plan_birth(r, w.index)->pid = pid;
		count--;
	}
	return 0;
}

static int open_sockets(struct restore *r, struct err *err)
{
	int sp[2], on = 1, self;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sp) < 0 ||
	    setsockopt(sp[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return err_sys(err, -errno, "making a socket for the builders");
	r->engine_socket = sp[0];
	r->builder_socket = restore_keep_fd(r, sp[1], err);
	if (r->builder_socket < 0)
		return r->builder_socket;
	r->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->proc_fd < 0)
		return err_sys(err, -errno, "opening '/proc'");
	r->proc_fd = restore_keep_fd(r, r->proc_fd, err);
	if (r->proc_fd < 0)
		return r->proc_fd;
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0)
		return err_sys(err, -errno, "opening a pidfd of the engine");
	r->engine_pidfd = restore_keep_fd(r, self, err);
	return r->engine_pidfd < 0 ? r->engine_pidfd : 0;
}

static int map_shared(struct restore *r, struct err *err)
{
	void *p = mmap(NULL, sizeof(*r->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		return err_sys(err, -errno, "mapping memory for the builders");
	r->shared = p;
	return 0;
}

/* A death signal is for the end of the parent that the task had, not for ours. */
static bool has_death_signal(const struct restore *r)
{
	const CoreEntry *core = r->tasks.v[0]->threads.v[0]->core;

	return core->thread_core && core->thread_core->pdeath_sig;
}

/* Our own number is known only if we are in the pid namespace that it is made from. */
static bool must_be_orphan(const struct restore *r, uint64_t flags)
{
	return r->opts->restore_detached && !r->opts->restore_sibling && !r->opts->exec_cmd.n &&
	       has_death_signal(r) &&
	       (flags & CLONE_NEWPID || r->root_ns.id[NS_PID] == r->host_ns.id[NS_PID]);
}

static pid_t clone_root(struct restore *r, uint64_t flags)
{
	pid_t pid = builder_clone(flags, r->tasks.v[0]->ns_pid, SIGCHLD);

	if (pid == 0)
		builder_main(r, r->tasks.v[0]);
	return pid < 0 ? -errno : pid;
}

/* Waits until our parent has ended and we are a child of who inherits orphans. */
static void become_orphan(pid_t parent)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* the signal is sent when the new parent is there */
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	if (getppid() == parent)
		sigwaitinfo(&set, NULL);
	prctl(PR_SET_PDEATHSIG, 0);
}

/*
 * A child of ours has a child that loses its parent and then makes the root as its own sibling. The
 * number of the root, or a negative errno, comes through a pipe.
 */
static pid_t clone_orphan(struct restore *r, uint64_t flags)
{
	cleanup_fd int reader = -EBADF, writer = -EBADF;
	pid_t first, ret = 0;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	reader = p[0];
	writer = p[1];
	first = fork();
	if (first == 0) {
		first = getpid();
		if (fork() != 0)
			_exit(0);
		become_orphan(first);
		ret = clone_root(r, flags | CLONE_PARENT);
		_exit(io_write_all(writer, &ret, sizeof(ret)) < 0);
	}
	if (first < 0)
		return -errno;
	close(take_fd(&writer));
	while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
		;
	return read(reader, &ret, sizeof(ret)) == sizeof(ret) ? ret : -ECHILD;
}

/* A cgroup namespace is made later, by the builder, from inside the right cgroup. */
static int fork_root(struct restore *r, struct err *err)
{
	struct restore_task *root = r->tasks.v[0];
	uint64_t flags = ns_clone_flags(r);
	struct ns_borrowed away;
	int n = ns_borrow(r, &away, err);
	uint32_t loginuid;
	pid_t pid;

	if (n < 0)
		return n;
	loginuid = loginuid_clear(r);
	if (r->opts->restore_sibling)
		flags |= CLONE_PARENT;
	pid = must_be_orphan(r, flags) ? clone_orphan(r, flags) : clone_root(r, flags);
	if (pid > 0)
		root->pid = pid;
	loginuid_set_back(r, loginuid);
	n = ns_return(&away, err);
	if (n < 0 || pid > 0)
		return n;
	err_sys(err, pid, "forking the root task with pid %d", root->ns_pid);
	if (pid == -EEXIST)
		err_hint(err,
			 "pid %d is taken; end its process, or restore into a new pid namespace",
			 root->ns_pid);
	return pid;
}

static int enter_cgroups(struct restore *r, struct restore_task *t, struct err *err)
{
	uint32_t set = thread_cgroup_set(t->threads.v[0]);

	/* all are born where the root is by then */
	if (!r->cgroups || t->dead ||
	    (t->parent && thread_cgroup_set(r->tasks.v[0]->threads.v[0]) == set))
		return 0;
	return cgroups_enter(r->cgroups, set, t->pid, err);
}

static int place_root(struct restore *r, struct err *err)
{
	struct restore_task *root = r->tasks.v[0];
	int n = 0;

	if (r->new_ns & CLONE_NEWUSER)
		n = ns_write_user_maps(r, root->pid, err);
	if (n == 0 && r->cgroups && r->new_ns & CLONE_NEWCGROUP)
		n = cgroups_enter_ns_root(r->cgroups, thread_cgroup_set(root->threads.v[0]),
					  root->pid, err);
	if (n < 0)
		return n;
	open_stage(r, STAGE_BORN);
	n = wait_words(r, STAGE_CGROUPNS, 1, err);
	return n == 0 ? enter_cgroups(r, root, err) : n;
}

static bool has_namespaces(const struct restore *r)
{
	int i;

	for (i = 0; i < NS_TYPE_COUNT; i++)
		if (r->root_ns.id[i] && r->root_ns.id[i] != r->host_ns.id[i])
			return true;
	return false;
}

/* The client may put into the new namespaces what it likes, before and after we do. */
static int make_spaces(struct restore *r, struct err *err)
{
	bool tell = has_namespaces(r);
	int n = tell ? restore_notify(r, "setup-namespaces", r->tasks.v[0]->pid, -1, err) : 0;

	if (n < 0)
		return n;
	open_stage(r, STAGE_SPACES);
	n = wait_words(r, STAGE_SPACES, 1, err);
	return n == 0 && tell ? restore_notify(r, "post-setup-namespaces", 0, -1, err) : n;
}

static size_t count_births(const struct restore *r, bool (*is)(const struct restore_task *t))
{
	size_t i, n = 0;

	for (i = 0; i < plan_births(r); i++)
		n += is(plan_birth(r, i));
	return n;
}

/* Stage after stage is opened for those with a part in it. */
static int pass_stage(struct restore *r, uint32_t stage, size_t words, struct err *err)
{
	if (!words)
		return 0;
	open_stage(r, stage);
	return wait_words(r, stage, words, err);
}

static int pass_rounds(struct restore *r, struct err *err)
{
	unsigned int round;
	int n = 0;

	for (round = 1; round <= r->rounds && n == 0; round++) {
		size_t i, reapers = 0;

		for (i = 0; i < plan_births(r); i++)
			reapers += builder_part(r, plan_birth(r, i), round).reaps;
		n = pass_stage(r, round_stage(round, ROUND_REAPER), 1, err);
		if (n == 0)
			n = pass_stage(r, round_stage(round, ROUND_END), reapers, err);
		if (n == 0)
			n = pass_stage(r, round_stage(round, ROUND_OVER), 1, err);
	}
	return n;
}

static bool stays(const struct restore_task *t)
{
	return !t->birth.heir;
}

/* Zombies must have ended before their parents are finished: the end leaves a SIGCHLD behind. */
static int wait_zombies(struct restore *r, struct err *err)
{
	struct restore_task **t;

	vec_foreach (t, &r->tasks) {
		int tries = 0;

		while ((*t)->dead && !proc_has_ended((*t)->pid)) {
			struct pollfd none = { .fd = -1 };

			if (++tries > 2000)
				return err_new(err, ERR_INTERNAL, -ETIMEDOUT, "%s does not end",
					       restore_task_name(r, *t));
			poll(&none, 1, 1);
		}
	}
	return 0;
}

int builders_fork(struct restore *r, struct err *err)
{
	struct restore_task **t;
	size_t births;
	int n = open_sockets(r, err);

	if (n == 0)
		n = map_shared(r, err);
	if (n == 0)
		n = fork_root(r, err);
	if (n == 0)
		n = place_root(r, err);
	if (n == 0)
		n = make_spaces(r, err);
	if (n == 0)
		n = tcp_cut_off(r, err);
	if (n < 0)
		return n;
	births = plan_births(r);
	open_stage(r, STAGE_FORK);
	/* files are being made now, and plugins that do so in builders may want to talk to us */
	n = plugin_optional(err, plugins_post_forking(r->plugins), "POST_FORKING");
	if (n == 0)
		n = pass_stage(r, STAGE_FORK, births, err);
	if (n == 0)
		n = restore_files_made(r, err);
	vec_foreach (t, &r->tasks)
		if (n == 0 && (*t)->parent)
			n = enter_cgroups(r, *t, err);
	if (n == 0)
		n = pass_stage(r, STAGE_LATE, 1, err);
	if (n == 0)
		n = pass_rounds(r, err);
	if (n == 0)
		n = pass_stage(r, STAGE_GROUPS, count_births(r, stays), err);
	if (n == 0)
		n = pass_stage(r, STAGE_LEAVE, count_births(r, builder_leaves_group), err);
	if (n < 0)
		return n;
	open_stage(r, STAGE_DIE);
	n = wait_words(r, STAGE_DIE, count_births(r, builder_reaps_leaders), err);
	return n == 0 ? wait_zombies(r, err) : n;
}

/* True when nothing of a task is left to be waited for by us. */
static bool reap_task(const struct restore_task *t)
{
	struct restore_thread *const *th;

	vec_foreach (th, &t->threads)
		if ((*th)->t.tid)
			waitpid((*th)->t.tid, NULL, __WALL | WNOHANG);
	return waitpid(t->pid, NULL, __WALL | WNOHANG) < 0 && proc_has_ended(t->pid);
}

/* A helper that has ended as it should has given its number back. */
static bool is_ours(const struct restore *r, const struct restore_task *t)
{
	return t->pid && !(t->birth.helper && may_have_ended(r, t));
}

void builders_kill(struct restore *r)
{
	struct pollfd none = { .fd = -1 };
	bool left = true;
	size_t i;
	int tries;

	for (i = 0; i < plan_births(r); i++)
		if (is_ours(r, plan_birth(r, i)))
			kill(plan_birth(r, i)->pid, SIGKILL);
	/* The root of a pid namespace ends after all others, and these only once their tracer
	 * looked. */
	for (tries = 0; left && tries < 5000; tries++) {
		left = false;
		for (i = 0; i < plan_births(r); i++)
			left |= is_ours(r, plan_birth(r, i)) && !reap_task(plan_birth(r, i));
		if (left)
			poll(&none, 1, 2);
	}
}
