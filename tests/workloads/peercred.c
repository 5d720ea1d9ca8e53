/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whom sockets tell as the maker of their connection: SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum { CHILD_USER = 20001, CHILD_GROUP = 20002, MORE_GROUP = 20003 };

static struct {
	struct station *station;
	pid_t child, dead;
	int way[2];	   /* descriptors come from the children */
	int alive_end;	   /* of a pair that the child made and has the other end of */
	int dead_end;	   /* of a pair whose maker has ended */
	int packet_end;	   /* of a pair of datagrams, likewise */
	int listener;	   /* the child connects to it */
	int accepted;	   /* from the child */
	int to_child;	   /* connected to the listener of the child */
	int waiting;	   /* listens; a connection of the child waits there */
	int alone, closed; /* not connected; connected to one that is closed */
} pc;

static socklen_t name_of(struct sockaddr_un *a, const char *what)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1,
					    "peercred-%d-%.40s", getppid(), what));
}

static int listen_at(const struct sockaddr_un *a, socklen_t len)
{
	int sk = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sk < 0 || bind(sk, (const struct sockaddr *)a, len) < 0 || listen(sk, 4) < 0)
		return -1;
	return sk;
}

static int connect_to(const struct sockaddr_un *a, socklen_t len)
{
	int sk = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return sk < 0 || connect(sk, (const struct sockaddr *)a, len) < 0 ? -1 : sk;
}

static int pass(int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 'f';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(pc.way[1], &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int take(void)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(pc.way[0], &m, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&m))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* ---- the children ---- */

static struct sockaddr_un child_addr, first_addr, second_addr;
static socklen_t child_len, first_len, second_len;
static int child_end[4] = { -1, -1, -1, -1 };

static int change_user(void)
{
	gid_t more = MORE_GROUP;

	return setgroups(1, &more) < 0 || setgid(CHILD_GROUP) < 0 || setuid(CHILD_USER) < 0 ? -1
											    : 0;
}

static int give_pair(int type, int *ret_own)
{
	int p[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, p) < 0 || pass(p[1]) < 0)
		return -1;
	close(p[1]);
	*ret_own = p[0];
	return 0;
}

static void dead_child(void *arg)
{
	int own;

	if (change_user() < 0 || give_pair(SOCK_STREAM, &own) < 0 ||
	    give_pair(SOCK_DGRAM, &own) < 0)
		_exit(1);
	_exit(0);
}

static int check_cred(int sk, pid_t pid, bool child, const char *what)
{
	struct ucred c = { 0 };
	uid_t uid = child ? CHILD_USER : 0;
	gid_t gid = child ? CHILD_GROUP : 0;
	socklen_t len = sizeof(c);

	if (getsockopt(sk, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0)
		return fail_errno("%s: SO_PEERCRED", what);
	if (c.pid != pid || c.uid != uid || c.gid != gid)
		return fail("%s: the other end is of pid %d, user %u, group %u", what, c.pid, c.uid,
			    c.gid);
	return WL_OK;
}

/* In the child: connects once more, to the listener that keeps the connection waiting. */
static int child_verify(void *arg)
{
	if (check_cred(child_end[1], getppid(), false, "client in the child") != WL_OK)
		return WL_FAIL;
	if (child_end[2] >= 0)
		close(child_end[2]);
	child_end[2] = connect_to(&second_addr, second_len);
	return child_end[2] < 0 ? fail_errno("connecting again") : WL_OK;
}

static void live_child(void *arg)
{
	int listener;

	if (change_user() < 0 || give_pair(SOCK_SEQPACKET, &child_end[0]) < 0)
		_exit(1);
	child_end[1] = connect_to(&first_addr, first_len);
	listener = listen_at(&child_addr, child_len);
	if (child_end[1] < 0 || listener < 0 || pass(listener) < 0)
		_exit(1);
	child_end[3] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	station_serve(pc.station, child_verify, NULL);
}

/* ---- the parent ---- */

static int start_children(void)
{
	int status, listener;

	pc.dead = child_start(dead_child, NULL);
	pc.dead_end = take();
	pc.packet_end = take();
	if (pc.dead < 0 || waitpid(pc.dead, &status, 0) != pc.dead || status)
		return fail("the child that shall end does not");
	child_forget(pc.dead);
	pc.child = child_start(live_child, NULL);
	pc.alive_end = take();
	listener = take();
	pc.to_child = connect_to(&child_addr, child_len);
	pc.accepted = accept4(pc.listener, NULL, NULL, SOCK_CLOEXEC);
	if (pc.dead_end < 0 || pc.packet_end < 0 || pc.alive_end < 0 || listener < 0 ||
	    pc.to_child < 0 || pc.accepted < 0)
		return fail_errno("sockets with a child");
	close(listener);
	return station_ask(pc.station, "child");
}

static int close_peer(void)
{
	int p[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, p) < 0)
		return fail_errno("socketpair");
	close(p[1]);
	pc.closed = p[0];
	return WL_OK;
}

static int peercred_setup(void)
{
	if (geteuid() != 0)
		return skip("this needs root");
	first_len = name_of(&first_addr, "first");
	second_len = name_of(&second_addr, "second");
	child_len = name_of(&child_addr, "child");
	pc.station = stations_new(1);
	pc.listener = listen_at(&first_addr, first_len);
	pc.waiting = listen_at(&second_addr, second_len);
	pc.alone = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!pc.station || pc.listener < 0 || pc.waiting < 0 || pc.alone < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pc.way) < 0)
		return fail_errno("sockets");
	if (close_peer() != WL_OK)
		return WL_FAIL;
	return start_children();
}

static int check_groups(void)
{
	gid_t list[8] = { 0 };
	socklen_t len = sizeof(list);

	if (getsockopt(pc.alive_end, SOL_SOCKET, SO_PEERGROUPS, list, &len) < 0)
		return fail_errno("SO_PEERGROUPS");
	if (len != sizeof(gid_t) || list[0] != MORE_GROUP)
		return fail("the other end has %zu more groups, the first is %u",
			    len / sizeof(gid_t), list[0]);
	return WL_OK;
}

/* The process itself is known, not its number alone. */
static int check_pidfd(void)
{
	int fd = -1;
	socklen_t len = sizeof(fd);
	char path[64], line[128];
	pid_t pid = 0;
	FILE *f;

	if (getsockopt(pc.alive_end, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) < 0)
		return errno == ENOPROTOOPT ? WL_OK : fail_errno("SO_PEERPIDFD");
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Pid:", 4))
			pid = atoi(line + 4);
	if (f)
		fclose(f);
	close(fd);
	return pid == pc.child ? WL_OK : fail("the other end's pidfd is of %d", pid);
}

static int check_unconnected(void)
{
	struct ucred c = { 0 };
	socklen_t len = sizeof(c);

	if (getsockopt(pc.alone, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0 || c.pid ||
	    c.uid != (uid_t)-1)
		return fail("an unconnected socket tells pid %d, user %u", c.pid, c.uid);
	if (check_cred(pc.closed, getpid(), false, "socket whose other end is closed") != WL_OK)
		return WL_FAIL;
	if (send(pc.closed, "x", 1, MSG_NOSIGNAL) != -1 || errno != ECONNREFUSED)
		return fail_errno("sending to a closed end");
	close(pc.closed);
	return close_peer();
}

static int check_waiting(void)
{
	int sk = accept4(pc.waiting, NULL, NULL, SOCK_CLOEXEC), r;

	if (sk < 0)
		return fail_errno("accepting");
	r = check_cred(sk, pc.child, true, "connection that waited");
	close(sk);
	return r == WL_OK ? station_ask(pc.station, "child") : r;
}

static int peercred_verify(void)
{
	int r = check_cred(pc.alive_end, pc.child, true, "pair of the child");

	if (r == WL_OK)
		r = check_cred(pc.dead_end, pc.dead, true, "pair of the child that has ended");
	if (r == WL_OK)
		r = check_cred(pc.packet_end, pc.dead, true,
			       "datagrams of the child that has ended");
	if (r == WL_OK)
		r = check_cred(pc.accepted, pc.child, true, "accepted socket");
	if (r == WL_OK)
		r = check_cred(pc.to_child, pc.child, true, "socket to the child's listener");
	if (r == WL_OK)
		r = check_cred(pc.listener, getpid(), false, "listener");
	if (r == WL_OK)
		r = check_groups();
	if (r == WL_OK)
		r = check_pidfd();
	if (r == WL_OK)
		r = check_unconnected();
	return r == WL_OK ? check_waiting() : r;
}

const struct workload peercred_workloads[] = {
	{ "unix-peercred", "sockets that tell who made their connection", NULL, peercred_setup,
	  peercred_verify },
	{ 0 },
};
