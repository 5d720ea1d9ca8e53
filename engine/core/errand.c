/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/core/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/restore.h"
#include "engine/core/turn.h"

/* TAKEN: the root builder has its duplicates of a pair. */
enum box_state { BOX_IDLE, BOX_ASKED, BOX_ANSWERED, BOX_TAKEN, BOX_CLOSED };

/* Of one builder, in shared memory. Each state but the first is written by one side alone. */
struct errand_box {
	uint32_t state; /* a futex */
	bool expected;
	const struct errand_cred *cred;
	struct errand e;
	int result;
};

int errands_init(struct restore *r, size_t n)
{
	void *p = mmap(NULL, n * sizeof(struct errand_box), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	r->errands = p;
	r->n_errands = n;
	return 0;
}

void errands_done(struct restore *r)
{
	if (r->errands)
		munmap(r->errands, r->n_errands * sizeof(struct errand_box));
	r->errands = NULL;
}

/* The process with that number: a task, or a helper in place of one that has ended. */
static const struct restore_task *find(const struct restore *r, pid_t ns_pid)
{
	struct restore_task *const *t;

	vec_foreach (t, &r->tasks)
		if ((*t)->ns_pid == ns_pid)
			return *t;
	vec_foreach (t, &r->helpers)
		if ((*t)->ns_pid == ns_pid)
			return *t;
	return NULL;
}

void errand_expect(struct restore *r, pid_t ns_pid)
{
	const struct restore_task *t = find(r, ns_pid);

	if (t && t->index && t->index < r->n_errands)
		r->errands[t->index].expected = true;
}

/* ---- ids ---- */

struct ids {
	uid_t euid;
	gid_t egid;
	int n_groups, dumpable, securebits, death_signal;
	gid_t groups[65536];
};

/*
 * The system calls themselves, for this thread alone. The saved ids stay to come back by, and with
 * the secure bit the capabilities stay. What the kernel takes away at a change of ids is given back
 * by leave_ids().
 */
static void take_ids(const struct errand_cred *c, struct ids *old)
{
	old->euid = geteuid();
	old->egid = getegid();
	old->n_groups = getgroups(65536, old->groups);
	old->dumpable = prctl(PR_GET_DUMPABLE);
	old->securebits = prctl(PR_GET_SECUREBITS);
	prctl(PR_GET_PDEATHSIG, &old->death_signal);
	prctl(PR_SET_SECUREBITS, old->securebits | SECBIT_NO_SETUID_FIXUP);
	/* ids that are not mapped here stay as they are: nobody inside could have told them apart
	 */
	syscall(SYS_setgroups, c->n_groups, c->groups);
	syscall(SYS_setresgid, -1, c->gid, -1);
	syscall(SYS_setresuid, -1, c->uid, -1);
}

static void leave_ids(const struct ids *old)
{
	syscall(SYS_setresuid, -1, old->euid, -1);
	syscall(SYS_setresgid, -1, old->egid, -1);
	if (old->n_groups >= 0)
		syscall(SYS_setgroups, old->n_groups, old->groups);
	prctl(PR_SET_SECUREBITS, old->securebits);
	if (old->dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, old->death_signal);
}

/* ---- the calls ---- */

static int connect_by_path(const struct errand *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", e->path_fd);
	return connect(e->fd, (struct sockaddr *)&a, sizeof(a));
}

static int make_call(struct errand *e)
{
	int r = -1;

	switch (e->call) {
	case ERRAND_PAIR:
		r = socketpair(AF_UNIX, e->type | SOCK_CLOEXEC, 0, e->pair);
		break;
	case ERRAND_LISTEN:
		r = listen(e->fd, e->backlog);
		break;
	case ERRAND_CONNECT:
		r = e->path_fd >= 0 ? connect_by_path(e)
				    : connect(e->fd, (const struct sockaddr *)e->addr,
					      (socklen_t)e->addr_len);
		break;
	}
	return r < 0 ? -errno : 0;
}

static int make_call_as(const struct errand_cred *c, struct errand *e)
{
	cleanup_free struct ids *old = malloc(sizeof(*old));
	int r;

	if (!old)
		return -ENOMEM;
	take_ids(c, old);
	r = make_call(e);
	leave_ids(old);
	return r;
}

/* ---- between two builders ---- */

static uint32_t state_of(const struct errand_box *b)
{
	return __atomic_load_n(&b->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct errand_box *b, enum box_state s)
{
	__atomic_store_n(&b->state, s, __ATOMIC_RELEASE);
	syscall(SYS_futex, &b->state, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static enum box_state wait_while(const struct restore *r, const struct restore_task *self,
				 struct errand_box *b, enum box_state s)
{
	while (state_of(b) == (uint32_t)s)
		turn_wait(r, self->turn, &b->state, s);
	return state_of(b);
}

static int fetch(pid_t ns_pid, int fd)
{
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, ns_pid, 0);
	int got = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return got < 0 ? -errno : got;
}

static int ask(struct restore *r, const struct restore_task *t, const struct errand_cred *c,
	       struct errand *e)
{
	const struct restore_task *root = r->tasks.v[0];
	struct errand_box *b = &r->errands[t->index];
	int n, i;

	if (wait_while(r, root, b, BOX_TAKEN) != BOX_IDLE)
		return -EPROTO;
	b->cred = c;
	b->e = *e;
	set_state(b, BOX_ASKED);
	wait_while(r, root, b, BOX_ASKED);
	n = b->result;
	for (i = 0; i < 2 && n == 0 && e->call == ERRAND_PAIR; i++) {
		e->pair[i] = fetch(t->ns_pid, b->e.pair[i]);
		if (e->pair[i] < 0)
			n = e->pair[i];
	}
	set_state(b, BOX_TAKEN);
	return n;
}

static int serve_one(struct restore *r, struct errand_box *b)
{
	pid_t root = r->tasks.v[0]->ns_pid;
	cleanup_fd int fd = -EBADF, path_fd = -EBADF;
	struct errand *e = &b->e;

	if (e->call == ERRAND_PAIR)
		return make_call_as(b->cred, e);
	fd = fetch(root, e->fd);
	if (fd < 0)
		return fd;
	e->fd = fd;
	if (e->call == ERRAND_CONNECT && e->path_fd >= 0) {
		path_fd = fetch(root, e->path_fd);
		if (path_fd < 0)
			return path_fd;
		e->path_fd = path_fd;
	}
	return make_call_as(b->cred, e);
}

void errands_serve(struct restore *r, const struct restore_task *self)
{
	struct errand_box *b = &r->errands[self->index];

	if (!b->expected)
		return;
	while (wait_while(r, self, b, BOX_IDLE) != BOX_CLOSED) {
		b->result = serve_one(r, b);
		set_state(b, BOX_ANSWERED);
		wait_while(r, self, b, BOX_ANSWERED);
		if (b->result == 0 && b->e.call == ERRAND_PAIR) {
			close(b->e.pair[0]);
			close(b->e.pair[1]);
		}
		set_state(b, BOX_IDLE);
	}
}

void errands_end(struct restore *r)
{
	size_t i;

	for (i = 0; i < r->n_errands; i++) {
		struct errand_box *b = &r->errands[i];

		if (!b->expected)
			continue;
		wait_while(r, r->tasks.v[0], b, BOX_TAKEN);
		set_state(b, BOX_CLOSED);
	}
}

/* ---- in place of one that has ended ---- */

int errand_by_number(pid_t ns_pid, int (*fn)(void *arg), void *arg, int *ret)
{
	struct clone_args args = { .flags = CLONE_FILES,
				   .set_tid = (uint64_t)(uintptr_t)&ns_pid,
				   .set_tid_size = 1 };
	pid_t pid = ns_pid > 0 ? (pid_t)syscall(SYS_clone3, &args, sizeof(args)) : -1;
	int status;

	if (pid < 0)
		return ERRAND_TAKEN;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(-fn(arg));
	}
	/* without a signal at its end: the root builder becomes a task, which has none pending */
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return ERRAND_TAKEN;
	*ret = WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
	return 0;
}

struct by_number {
	const struct errand_cred *cred;
	struct errand *e; /* shared: the answer comes back in it */
};

static int call_by_number(void *arg)
{
	const struct by_number *b = arg;

	return make_call_as(b->cred, b->e);
}

static int run_by_number(const struct errand_cred *c, struct errand *e, int *ret)
{
	struct by_number b = { c, NULL };
	int n;

	b.e = mmap(NULL, sizeof(*e), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b.e == MAP_FAILED)
		return ERRAND_TAKEN;
	*b.e = *e;
	n = errand_by_number(c->pid, call_by_number, &b, ret);
	*e = *b.e;
	munmap(b.e, sizeof(*e));
	return n;
}

int errand_run(struct restore *r, const struct errand_cred *cred, struct errand *e)
{
	const struct restore_task *t = cred ? find(r, cred->pid) : NULL;
	int ret;

	if (!cred)
		return make_call(e);
	if (t && t->index)
		return r->errands[t->index].expected ? ask(r, t, cred, e) : -EPROTO;
	/* a number that is taken by somebody outside cannot be had: only the ids are right then */
	if (!t && run_by_number(cred, e, &ret) == 0)
		return ret;
	return make_call_as(cred, e);
}
