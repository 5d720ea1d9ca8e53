/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other end of a connection, as the kernel tells it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "runtime/rpc.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int read_groups(struct rpc_peer *p, int sk, struct err *err)
{
	socklen_t len = 0;

	/* the first call tells how much room is needed */
	if (getsockopt(sk, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno == ENODATA ||
	    errno == ENOPROTOOPT)
		return 0;
	if (errno != ERANGE)
		return err_sys(err, -errno, "asking for the groups of the client");
	p->groups = malloc(len);
	if (!p->groups)
		return err_nomem(err);
	if (getsockopt(sk, SOL_SOCKET, SO_PEERGROUPS, p->groups, &len) < 0)
		return err_sys(err, -errno, "asking for the groups of the client");
	p->n_groups = len / sizeof(*p->groups);
	return 0;
}

/* Before 6.5 the number has to do; it is checked when it is used. */
static int open_pidfd(int sk, pid_t pid)
{
	socklen_t len = sizeof(int);
	int fd;

	if (getsockopt(sk, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd;
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

int rpc_peer_open(struct rpc_peer *ret, int sk, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*ret = (struct rpc_peer){ .pidfd = -1 };
	if (getsockopt(sk, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_sys(err, -errno, "asking who the client is (descriptor %d)", sk);
	ret->pid = cred.pid;
	ret->uid = cred.uid;
	ret->gid = cred.gid;
	ret->trusted = cred.uid == 0 || cred.uid == geteuid();
	ret->pidfd = open_pidfd(sk, cred.pid);
	return ret->trusted ? 0 : read_groups(ret, sk, err);
}

void rpc_peer_close(struct rpc_peer *peer)
{
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	free(peer->groups);
	*peer = (struct rpc_peer){ .pidfd = -1 };
}

/*
 * The file system ids alone: the capabilities that go with them leave the effective set, while
 * those for tracing stay.
 */
int rpc_peer_enter(const struct rpc_peer *peer, struct err *err)
{
	if (peer->trusted)
		return 0;
	if (setgroups(peer->n_groups, peer->groups) < 0)
		return err_sys(err, -errno, "taking on the groups of user %u", peer->uid);
	setfsgid(peer->gid);
	setfsuid(peer->uid);
	/* they tell no errors, but what was set before */
	if ((uid_t)setfsuid((uid_t)-1) != peer->uid || (gid_t)setfsgid((gid_t)-1) != peer->gid)
		return err_new(err, ERR_ENVIRONMENT, -EPERM,
			       "the file system rights of user %u cannot be taken on", peer->uid);
	return 0;
}

void rpc_peer_leave(const struct rpc_peer *peer)
{
	if (peer->trusted)
		return;
	setfsuid(geteuid());
	setfsgid(getegid());
}

/* Whether the process that connected is still there: then its number is not another one's. */
static bool is_there(const struct rpc_peer *peer)
{
	struct pollfd p = { .fd = peer->pidfd, .events = POLLIN };

	return peer->pidfd >= 0 && poll(&p, 1, 0) == 0;
}

/* Without the right to attach to the client, which tracing policies may deny, procfs has it too. */
static int take_by_number(const struct rpc_peer *peer, int fd, int flags, const char *what,
			  struct err *err)
{
	cleanup_fd int ret = -EBADF;
	char path[64];

	if (peer->pid <= 0)
		return err_usage(err,
				 "%s is descriptor %d of the client, which is not to be seen from "
				 "this pid namespace",
				 what, fd);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", peer->pid, fd);
	ret = open(path, flags | O_CLOEXEC);
	if (ret < 0)
		return err_sys(err, -errno, "opening %s, descriptor %d of the client (task %d)",
			       what, fd, peer->pid);
	if (!is_there(peer))
		return err_new(err, ERR_ENVIRONMENT, -ESRCH, "the client (task %d) is gone",
			       peer->pid);
	return take_fd(&ret);
}

int rpc_peer_reopen(const struct rpc_peer *peer, int fd, int flags, const char *what,
		    struct err *err)
{
	cleanup_fd int taken = (int)syscall(SYS_pidfd_getfd, peer->pidfd, fd, 0);
	int ret;

	if (taken < 0 && (errno == EPERM || errno == ENOSYS || peer->pidfd < 0))
		return take_by_number(peer, fd, flags, what, err);
	if (taken < 0)
		return err_sys(err, -errno, "taking %s, descriptor %d of the client (task %d)",
			       what, fd, peer->pid);
	if (!(flags & O_DIRECTORY))
		return take_fd(&taken);
	ret = openat(taken, ".", flags | O_CLOEXEC);
	if (ret < 0)
		return err_sys(err, -errno, "opening %s, descriptor %d of the client (task %d)",
			       what, fd, peer->pid);
	return ret;
}
