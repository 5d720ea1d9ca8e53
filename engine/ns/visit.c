// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Looking at a namespace from inside: a child enters it, looks, and reports over a pipe. This
 * process never changes its own namespaces for a dump, so nothing has to be undone; and should it
 * be killed, the child ends with it.
 */
#include "engine/ns/ns-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

/* What the child sends in front of len bytes; err only if r is negative. */
struct report {
	int r;
	size_t len;
	struct err err;
};

static int enter(pid_t pid, enum ns_type type, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns_types[type].name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "opening '%s'", path);
	if (setns(fd, (int)ns_types[type].clone_flag) < 0)
		return err_sys(err, -errno, "entering the tree's %s namespace",
			       ns_types[type].name);
	return 0;
}

/* Where to go, and what to do there. */
struct errand {
	pid_t pid;
	enum ns_type type;
	bool user_ns;
	ns_visit_fn fn;
	void *arg;
};

static _Noreturn void child(const struct errand *e, int out, int hold)
{
	struct report rep = { .r = 0, .err = ERR_INIT };
	struct buf b = BUF_INIT;
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The user namespace comes last: our rights over the other one may be those of the host. */
	rep.r = enter(e->pid, e->type, &rep.err);
	if (rep.r == 0 && e->user_ns)
		rep.r = enter(e->pid, NS_USER, &rep.err);
	if (rep.r == 0)
		rep.r = e->fn(e->arg, &b, &rep.err);
	rep.len = rep.r < 0 ? 0 : b.len;
	if (io_write_all(out, &rep, sizeof(rep)) == 0)
		io_write_all(out, b.data, rep.len);
	while (read(hold, &c, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

static int read_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive(int fd, struct buf *ret, struct err *err)
{
	struct report rep;
	int r = read_all(fd, &rep, sizeof(rep));

	if (r == 0 && rep.r < 0) {
		*err = rep.err;
		return rep.r;
	}
	if (r == 0 && buf_reserve(ret, rep.len) < 0)
		return err_nomem(err);
	if (r == 0)
		r = read_all(fd, ret->data + ret->len, rep.len);
	if (r < 0)
		return err_new(err, ERR_INTERNAL, r,
			       "the process inside of the namespace ended without an answer");
	ret->len += rep.len;
	ret->data[ret->len] = '\0';
	return 0;
}

static int begin(const struct errand *e, struct buf *ret, struct ns_visitor *ret_visitor,
		 struct err *err)
{
	cleanup_fd int rd = -EBADF, wr = -EBADF, hold_rd = -EBADF, hold_wr = -EBADF;
	cleanup_ns_visitor struct ns_visitor v = { 0 };
	int p[2], r;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "making a pipe");
	rd = p[0];
	wr = p[1];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "making a pipe");
	hold_rd = p[0];
	hold_wr = p[1];
	v.pid = fork();
	if (v.pid < 0)
		return err_sys(err, -errno, "forking a process to look into a namespace");
	if (v.pid == 0) {
		close(hold_wr);
		child(e, wr, hold_rd);
	}
	v.hold_fd = take_fd(&hold_wr);
	close(take_fd(&wr));
	r = receive(rd, ret, err);
	if (r == 0) {
		*ret_visitor = v;
		v.pid = 0;
	}
	return r;
}

int ns_visit_begin(struct dump *d, enum ns_type type, ns_visit_fn fn, void *arg, struct buf *ret,
		   struct ns_visitor *ret_visitor, struct err *err)
{
	const struct errand e = {
		.pid = dump_root_tid(d),
		.type = type,
		.user_ns = ns_is_own(&d->host_ns, &d->root_ns, NS_USER),
		.fn = fn,
		.arg = arg,
	};

	return begin(&e, ret, ret_visitor, err);
}

void ns_visit_end(struct ns_visitor *v)
{
	if (v->pid <= 0)
		return;
	close(v->hold_fd);
	while (waitpid(v->pid, NULL, 0) < 0 && errno == EINTR)
		;
	v->pid = 0;
}

int ns_visit(struct dump *d, enum ns_type type, ns_visit_fn fn, void *arg, struct buf *ret,
	     struct err *err)
{
	cleanup_ns_visitor struct ns_visitor v = { 0 };

	return ns_visit_begin(d, type, fn, arg, ret, &v, err);
}

int ns_visit_pid(pid_t pid, enum ns_type type, bool user_ns, ns_visit_fn fn, void *arg,
		 struct buf *ret, struct err *err)
{
	const struct errand e = {
		.pid = pid, .type = type, .user_ns = user_ns, .fn = fn, .arg = arg
	};
	cleanup_ns_visitor struct ns_visitor v = { 0 };

	return begin(&e, ret, &v, err);
}
