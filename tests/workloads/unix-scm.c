/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes with messages that wait in unix sockets: descriptors in flight (SCM_RIGHTS), also of
 * sockets with queues of their own and of epoll sets; credentials; names of senders.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { FDS_MAX = 4 };

/* A message as it is sent and as it was received. */
struct message {
	size_t len;
	int n_fds, fd[FDS_MAX];
	bool has_cred;
	struct ucred cred;
	char name[64]; /* of the sender, from the byte after the leading zero */
	char data[4096];
};

static int message_send(int sk, struct message *m)
{
	union {
		char space[CMSG_SPACE(sizeof(m->fd))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { m->data, m->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (m->n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE((size_t)m->n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)m->n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), m->fd, (size_t)m->n_fds * sizeof(int));
	}
	return sendmsg(sk, &msg, MSG_NOSIGNAL) == (ssize_t)m->len ? WL_OK : fail_errno("sendmsg");
}

static void message_control(struct message *m, struct msghdr *msg)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_type == SCM_RIGHTS) {
			m->n_fds = (int)(n / sizeof(int));
			memcpy(m->fd, CMSG_DATA(c), n < sizeof(m->fd) ? n : sizeof(m->fd));
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			m->has_cred = true;
			memcpy(&m->cred, CMSG_DATA(c), sizeof(m->cred));
		}
	}
}

static int message_receive(int sk, struct message *m)
{
	char control[256];
	struct sockaddr_un from = { 0 };
	struct iovec iov = { m->data, sizeof(m->data) };
	struct msghdr msg = { .msg_name = &from,
			      .msg_namelen = sizeof(from),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	memset(m, 0, sizeof(*m));
	n = recvmsg(sk, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return fail_errno("recvmsg");
	m->len = (size_t)n;
	message_control(m, &msg);
	if (msg.msg_namelen > sizeof(sa_family_t) + 1)
		snprintf(m->name, sizeof(m->name), "%.*s",
			 (int)(msg.msg_namelen - sizeof(sa_family_t) - 1), from.sun_path + 1);
	return WL_OK;
}

static void close_all(struct message *m)
{
	while (m->n_fds)
		close(m->fd[--m->n_fds]);
}

static int check_count(int fd, uint64_t want, const char *what)
{
	uint64_t got = 0;

	if (read(fd, &got, sizeof(got)) != sizeof(got) || got != want)
		return fail("%s: the eventfd has count %llu, was %llu", what,
			    (unsigned long long)got, (unsigned long long)want);
	return WL_OK;
}

static int count(uint64_t value)
{
	return eventfd((unsigned int)value, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* ---- stream: bytes, bytes with two descriptors, bytes ---- */

static int stream[2], datagrams[2], packets[2], selves[2], outer[2], watchers[2];
static int optioned[2], cred_pair[2], named, sets_number;
static pid_t cred_dead;

static int stream_fill(void)
{
	struct message plain = { .len = 700 },
		       with = { .len = 900, .n_fds = 2, .fd = { count(11), count(12) } },
		       last = { .len = 1100 };
	int r;

	pattern_fill(plain.data, 700, 601);
	pattern_fill(with.data, 900, 602);
	pattern_fill(last.data, 1100, 603);
	r = message_send(stream[1], &plain);
	if (r == WL_OK)
		r = message_send(stream[1], &with);
	if (r == WL_OK)
		r = message_send(stream[1], &last);
	close_all(&with);
	return r;
}

/* One read takes the bytes before along, and ends behind those that carry descriptors. */
static int stream_verify(void)
{
	struct message m;
	int r = message_receive(stream[0], &m);

	if (r != WL_OK)
		return r;
	if (m.len != 1600 || m.n_fds != 2)
		return fail("a stream gives %zu bytes with %d descriptors, not 1600 with 2", m.len,
			    m.n_fds);
	if (pattern_check(m.data, 700, 601, "stream before") != WL_OK ||
	    pattern_check(m.data + 700, 900, 602, "stream with") != WL_OK ||
	    check_count(m.fd[0], 11, "stream") != WL_OK ||
	    check_count(m.fd[1], 12, "stream") != WL_OK)
		return WL_FAIL;
	close_all(&m);
	r = message_receive(stream[0], &m);
	if (r == WL_OK && (m.len != 1100 || m.n_fds))
		return fail("a stream gives %zu bytes with %d descriptors after that", m.len,
			    m.n_fds);
	if (r == WL_OK)
		r = pattern_check(m.data, 1100, 603, "stream after");
	return r == WL_OK ? stream_fill() : r;
}

/* A read that stops before the bytes with descriptors gets none. */
static int stream_verify_border(void)
{
	char data[701];
	struct message m;
	int r = WL_OK;

	if (recv(stream[0], data, 700, MSG_DONTWAIT) != 700)
		return fail_errno("reading up to the border");
	r = message_receive(stream[0], &m);
	if (r == WL_OK && (m.len != 900 || m.n_fds != 2))
		return fail("behind the border are %zu bytes with %d descriptors", m.len, m.n_fds);
	close_all(&m);
	if (r == WL_OK && recv(stream[0], m.data, sizeof(m.data), MSG_DONTWAIT) != 1100)
		return fail_errno("reading the rest");
	return r == WL_OK ? stream_fill() : r;
}

/* ---- both ends of a pipe, in a datagram each; nobody has them else ---- */

static int pipe_fill(int via)
{
	struct message m = { .len = 1, .n_fds = 1, .data = "p" };
	int p[2], r;

	if (pipe2(p, O_CLOEXEC) < 0 || write(p[1], "inside", 6) != 6)
		return fail_errno("pipe");
	m.fd[0] = p[0];
	r = message_send(via, &m);
	m.fd[0] = p[1];
	if (r == WL_OK)
		r = message_send(via, &m);
	close(p[0]);
	close(p[1]);
	return r;
}

static int pipe_verify(int from, int via, const char *what)
{
	struct message a, b;
	char text[16] = "";

	if (message_receive(from, &a) != WL_OK || message_receive(from, &b) != WL_OK)
		return WL_FAIL;
	if (a.n_fds != 1 || b.n_fds != 1 || a.len != 1 || b.len != 1)
		return fail("%s: the ends of the pipe are lost", what);
	if (write(b.fd[0], " pipe", 5) != 5 || read(a.fd[0], text, sizeof(text)) != 11 ||
	    strcmp(text, "inside pipe"))
		return fail("%s: the pipe holds '%s'", what, text);
	close_all(&a);
	close_all(&b);
	return pipe_fill(via);
}

/* ---- a socket in its own queue, and one whose queue has a descriptor ---- */

static int self_fill(void)
{
	struct message m = { .len = 4, .n_fds = 1, .fd = { selves[0] }, .data = "self" };

	return message_send(selves[1], &m);
}

static int self_verify(void)
{
	struct message m;
	int r = message_receive(selves[0], &m);
	char byte = 0;

	if (r != WL_OK)
		return r;
	if (m.len != 4 || m.n_fds != 1)
		return fail("the socket in its own queue is lost");
	if (send(selves[1], "x", 1, MSG_NOSIGNAL) != 1 ||
	    recv(m.fd[0], &byte, 1, MSG_DONTWAIT) != 1 || byte != 'x')
		return fail("the socket in its own queue is another one");
	close_all(&m);
	return self_fill();
}

static int outer_fill(void)
{
	struct message in = { .len = 5, .n_fds = 1, .fd = { count(77) }, .data = "inner" },
		       out = { .len = 5, .n_fds = 2, .data = "outer" };
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out.fd) < 0)
		return fail_errno("socketpair");
	r = message_send(out.fd[1], &in);
	if (r == WL_OK)
		r = message_send(outer[1], &out);
	close_all(&in);
	close_all(&out);
	return r;
}

static int outer_verify(void)
{
	struct message out, in;
	int r = message_receive(outer[0], &out);

	if (r == WL_OK && out.n_fds != 2)
		return fail("the pair in flight is lost");
	if (r == WL_OK)
		r = message_receive(out.fd[0], &in);
	if (r == WL_OK && (in.len != 5 || in.n_fds != 1))
		return fail("the descriptor in flight in a socket in flight is lost");
	if (r == WL_OK)
		r = check_count(in.fd[0], 77, "inner");
	if (r != WL_OK)
		return r;
	close_all(&in);
	close_all(&out);
	return outer_fill();
}

/* ---- an epoll set and the file it watches, both only in flight ---- */

static int watcher_fill(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 0x5ca1ab1e };
	struct message m = { .len = 7, .n_fds = 2, .data = "watcher" };
	int set = epoll_create1(EPOLL_CLOEXEC), target = count(0), r;

	/* a number that means something else in the task later */
	if (dup3(target, sets_number, O_CLOEXEC) < 0 ||
	    epoll_ctl(set, EPOLL_CTL_ADD, sets_number, &ev) < 0)
		return fail_errno("epoll");
	close(sets_number);
	m.fd[0] = set;
	m.fd[1] = target;
	r = message_send(watchers[1], &m);
	close_all(&m);
	return r;
}

static int watcher_verify(void)
{
	struct epoll_event ev = { 0 };
	struct message m;
	int r = message_receive(watchers[0], &m);

	if (r != WL_OK)
		return r;
	if (m.n_fds != 2)
		return fail("the epoll set in flight is lost");
	if (epoll_wait(m.fd[0], &ev, 1, 0) != 0)
		return fail("the epoll set in flight has an event");
	if (eventfd_write(m.fd[1], 1) < 0 || epoll_wait(m.fd[0], &ev, 1, 0) != 1 ||
	    ev.data.u64 != 0x5ca1ab1e)
		return fail("the epoll set in flight does not watch its file");
	close_all(&m);
	return watcher_fill();
}

/* ---- credentials, and the name of a sender that is closed ---- */

/* A message of a process that has ended before it is read. */
static int send_and_end(void)
{
	struct message m = { .len = 4, .data = "dead" };
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(message_send(cred_pair[1], &m));
	cred_dead = pid;
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status ? WL_OK : fail_errno("fork");
}

static int cred_fill(void)
{
	struct message with = { .len = 4, .data = "cred" }, without = { .len = 4, .data = "none" };
	int on = 1, off = 0, r;

	/* attached when one of the two wants them at the time of sending */
	if (setsockopt(cred_pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return fail_errno("SO_PASSCRED");
	r = message_send(cred_pair[1], &with);
	if (r == WL_OK)
		r = send_and_end();
	if (r == WL_OK && setsockopt(cred_pair[0], SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)) < 0)
		return fail_errno("SO_PASSCRED");
	if (r == WL_OK)
		r = message_send(cred_pair[1], &without);
	if (r == WL_OK && setsockopt(cred_pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return fail_errno("SO_PASSCRED");
	return r;
}

static int cred_verify(void)
{
	struct message a, dead, b;

	if (message_receive(cred_pair[0], &a) != WL_OK ||
	    message_receive(cred_pair[0], &dead) != WL_OK ||
	    message_receive(cred_pair[0], &b) != WL_OK)
		return WL_FAIL;
	if (a.len != 4 || memcmp(a.data, "cred", 4) || !a.has_cred)
		return fail("the message with credentials is lost");
	if (a.cred.pid != getpid() || a.cred.uid != geteuid() || a.cred.gid != getegid())
		return fail("the credentials are of pid %d, user %u, group %u", a.cred.pid,
			    a.cred.uid, a.cred.gid);
	if (memcmp(dead.data, "dead", 4) || dead.cred.pid != cred_dead)
		return fail("the credentials of an ended process are of pid %d, not %d",
			    dead.cred.pid, cred_dead);
	if (b.len != 4 || memcmp(b.data, "none", 4) || b.cred.pid)
		return fail("a message without credentials has some of pid %d", b.cred.pid);
	return cred_fill();
}

static socklen_t abstract_name(struct sockaddr_un *a, const char *what)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1,
					    "workload-%d-%.40s", getpid(), what));
}

static int named_fill(void)
{
	static const char *const senders[] = { "first", "second", "first" };
	struct sockaddr_un to, from;
	socklen_t to_len = abstract_name(&to, "receiver"), from_len;

	for (size_t i = 0; i < ARRAY_SIZE(senders); i++) {
		int sk = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		from_len = abstract_name(&from, senders[i]);
		if (sk < 0 || bind(sk, (struct sockaddr *)&from, from_len) < 0 ||
		    sendto(sk, senders[i], strlen(senders[i]), 0, (struct sockaddr *)&to, to_len) <
			    0)
			return fail_errno("a datagram of '%s'", senders[i]);
		close(sk);
	}
	return WL_OK;
}

static int named_verify(void)
{
	struct sockaddr_un from;
	struct message m;

	for (int i = 0; i < 3; i++) {
		int r = message_receive(named, &m);

		if (r != WL_OK)
			return r;
		m.data[m.len] = '\0';
		abstract_name(&from, m.data);
		if (strcmp(from.sun_path + 1, m.name))
			return fail("a datagram of '%s' comes from '%s'", m.data, m.name);
	}
	return named_fill();
}

/* ---- options that change how a queue is read ---- */

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static int set_option(int name, int value)
{
	return setsockopt(optioned[0], SOL_SOCKET, name, &value, sizeof(value));
}

/* What this kernel does not have reads as it should be. */
static bool option_is(int name, int want)
{
	int value = -77;
	socklen_t len = sizeof(value);

	if (getsockopt(optioned[0], SOL_SOCKET, name, &value, &len) < 0)
		return errno == ENOPROTOOPT || errno == EOPNOTSUPP;
	return value == want;
}

static int optioned_fill(void)
{
	if (send(optioned[1], "0123456789", 10, MSG_NOSIGNAL) != 10 ||
	    set_option(SO_PEEK_OFF, 4) < 0)
		return fail_errno("SO_PEEK_OFF");
	set_option(SO_PASSPIDFD, 1);
	set_option(SO_PASSRIGHTS, 0);
	return WL_OK;
}

static int optioned_verify(void)
{
	char data[16] = "";

	if (!option_is(SO_PEEK_OFF, 4))
		return fail("SO_PEEK_OFF is lost");
	if (!option_is(SO_PASSPIDFD, 1))
		return fail("SO_PASSPIDFD is lost");
	if (!option_is(SO_PASSRIGHTS, 0))
		return fail("SO_PASSRIGHTS is lost");
	if (recv(optioned[0], data, sizeof(data), MSG_PEEK | MSG_DONTWAIT) != 6 ||
	    memcmp(data, "456789", 6))
		return fail("peeking begins at '%.10s'", data);
	if (recv(optioned[0], data, sizeof(data), MSG_DONTWAIT) != 10 ||
	    memcmp(data, "0123456789", 10))
		return fail("the queue behind a peek offset holds '%.10s'", data);
	return optioned_fill();
}

/* ---- all of it ---- */

static int pairs_setup(void)
{
	static struct {
		int type, *pair;
	} all[] = { { SOCK_STREAM, stream },	 { SOCK_DGRAM, datagrams },
		    { SOCK_SEQPACKET, packets }, { SOCK_STREAM, selves },
		    { SOCK_STREAM, outer },	 { SOCK_SEQPACKET, watchers },
		    { SOCK_DGRAM, cred_pair },	 { SOCK_STREAM, optioned } };
	struct sockaddr_un a;
	socklen_t len = abstract_name(&a, "receiver");

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (socketpair(AF_UNIX, all[i].type | SOCK_CLOEXEC, 0, all[i].pair) < 0)
			return fail_errno("socketpair");
	named = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (named < 0 || bind(named, (struct sockaddr *)&a, len) < 0)
		return fail_errno("bind");
	sets_number = fcntl(named, F_DUPFD_CLOEXEC, 50);
	close(sets_number);
	return WL_OK;
}

static int scm_setup(void)
{
	int r = pairs_setup();

	if (r == WL_OK)
		r = stream_fill();
	if (r == WL_OK)
		r = pipe_fill(datagrams[1]);
	if (r == WL_OK)
		r = pipe_fill(packets[1]);
	if (r == WL_OK)
		r = self_fill();
	if (r == WL_OK)
		r = outer_fill();
	if (r == WL_OK && strict())
		r = watcher_fill();
	if (r == WL_OK && strict())
		r = cred_fill();
	if (r == WL_OK && strict())
		r = optioned_fill();
	return r == WL_OK && strict() ? named_fill() : r;
}

static int scm_verify(void)
{
	int r = stream_verify();

	if (r == WL_OK)
		r = stream_verify_border();
	if (r == WL_OK)
		r = pipe_verify(datagrams[0], datagrams[1], "datagrams");
	if (r == WL_OK)
		r = pipe_verify(packets[0], packets[1], "packets");
	if (r == WL_OK)
		r = self_verify();
	if (r == WL_OK)
		r = outer_verify();
	if (r == WL_OK && strict())
		r = watcher_verify();
	if (r == WL_OK && strict())
		r = cred_verify();
	if (r == WL_OK && strict())
		r = optioned_verify();
	return r == WL_OK && strict() ? named_verify() : r;
}

/* ---- unix-oob: an urgent byte in a stream ---- */

static int urgent[2];

static int oob_fill(void)
{
	if (send(urgent[1], "data", 4, MSG_NOSIGNAL) != 4)
		return fail_errno("send");
	if (send(urgent[1], "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1)
		return WL_OK;
	return errno == EOPNOTSUPP ? skip("this kernel has no urgent data for unix sockets")
				   : fail_errno("sending an urgent byte");
}

static int oob_setup(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, urgent) < 0)
		return fail_errno("socketpair");
	return oob_fill();
}

static int oob_verify(void)
{
	char data[8] = "";

	if (recv(urgent[0], data, sizeof(data), MSG_OOB | MSG_DONTWAIT) != 1 || data[0] != '!')
		return fail("the urgent byte is lost");
	if (recv(urgent[0], data, sizeof(data), MSG_DONTWAIT) != 4 || memcmp(data, "data", 4))
		return fail("the bytes before the urgent one are lost");
	return oob_fill();
}

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

/* ---- unix-set: an epoll set waits in the queue of the socket that it watches ---- */

static int set_pair[2];

static int set_send(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 0x5e7 };
	struct message m = { .len = 3, .n_fds = 1, .data = "set" };
	int r;

	m.fd[0] = epoll_create1(EPOLL_CLOEXEC);
	if (m.fd[0] < 0 || epoll_ctl(m.fd[0], EPOLL_CTL_ADD, set_pair[1], &ev) < 0)
		return fail_errno("epoll");
	r = message_send(set_pair[0], &m);
	close_all(&m);
	return r;
}

static int set_setup(void)
{
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, set_pair) < 0)
		return fail_errno("socketpair");
	return set_send() == WL_OK ? set_send() : WL_FAIL;
}

/* While there is a second one in the queue, the first says that there is something. */
static int set_verify(void)
{
	struct epoll_event ev = { 0 };
	struct message m;
	int i, n, r;

	for (i = 0; i < 2; i++) {
		r = message_receive(set_pair[1], &m);
		if (r != WL_OK)
			return r;
		if (m.n_fds != 1)
			return fail("message %d has no set", i);
		n = epoll_wait(m.fd[0], &ev, 1, 0);
		close_all(&m);
		if (n != !i || (n && ev.data.u64 != 0x5e7))
			return fail("set %d says %d", i, n);
	}
	return set_send() == WL_OK ? set_send() : WL_FAIL;
}

const struct workload unix_scm_workloads[] = {
	{ "unix-set", "epoll sets in the queue of the socket that they watch", NULL, set_setup,
	  set_verify },
	{ "unix-scm", "unread messages with descriptors, credentials and names of senders",
	  strict_params, scm_setup, scm_verify },
	{ "unix-oob", "a stream with an urgent byte", NULL, oob_setup, oob_verify },
	{ 0 },
};
