/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MSG_PEEK shows only the first packet; those behind it are seen with a peek offset (SO_PEEK_OFF),
 * and credentials only with SO_PASSCRED. Both are states of the socket that are set for the time
 * of reading. So this runs in a process of its own (inside.h), that ends the work also if the
 * engine is killed meanwhile.
 */
#include "engine/sockets/queue-peek.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/io.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

/* Of a stream, so many bytes are read at once. */
enum { STREAM_READ = 1 << 20 };

struct peeker {
	const struct peek_args *q;
	struct buf b; /* bytes of the packet */
	struct peeked p;
	struct sockaddr_un name;
	int flags; /* of recvmsg() */
};

static int set_option(int sk, int name, int value)
{
	return setsockopt(sk, SOL_SOCKET, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void drop_fds(struct peeker *k)
{
	while (k->p.n_fds)
		close(k->p.fds[--k->p.n_fds]);
}

static void take_control(struct peeker *k, struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0), n = len / sizeof(int);
		int fd;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS && n <= PEEK_FDS - k->p.n_fds) {
			memcpy(k->p.fds + k->p.n_fds, CMSG_DATA(c), n * sizeof(int));
			k->p.n_fds += (uint32_t)n;
		} else if (c->cmsg_type == SCM_CREDENTIALS && len >= sizeof(struct ucred)) {
			memcpy(&k->p.cred, CMSG_DATA(c), sizeof(k->p.cred));
		} else if (c->cmsg_type == SCM_PIDFD && n == 1) {
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
			if (fd >= 0)
				close(fd);
		}
	}
}

/* Peeks at up to max bytes at the offset. The number of bytes of the packet, or -errno. */
static ssize_t peek_at(struct peeker *k, size_t off, size_t max)
{
	static union {
		char bytes[8192];
		struct cmsghdr align;
	} control;
	struct iovec iov = { k->b.data, max };
	struct msghdr m = { .msg_name = &k->name,
			    .msg_namelen = sizeof(k->name),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n;
	int r = set_option(k->q->sk, SO_PEEK_OFF, (int)off);

	if (r < 0)
		return r;
	drop_fds(k);
	memset(&k->p, 0, sizeof(k->p));
	k->p.cred = (struct packet_cred){ 0, 65534, 65534 };
	n = recvmsg(k->q->sk, &m, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	take_control(k, &m);
	/* the place for control messages is large enough: there is no number left for a descriptor
	 */
	if (m.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	k->flags = m.msg_flags;
	if (m.msg_namelen > sizeof(sa_family_t))
		k->p.name_len = (uint32_t)(m.msg_namelen - sizeof(sa_family_t));
	return n;
}

/* The descriptors now belong to who reads out. */
static int put(struct peeker *k, int out, const char *bytes, size_t len)
{
	int r;

	k->p.len = len;
	if (k->p.name_len > PEEK_NAME)
		k->p.name_len = PEEK_NAME;
	r = io_write_all(out, &k->p, sizeof(k->p));
	if (r == 0 && k->p.name_len)
		r = io_write_all(out, k->name.sun_path, k->p.name_len);
	if (r == 0 && len)
		r = io_write_all(out, bytes, len);
	if (r == 0)
		k->p.n_fds = 0;
	return r;
}

static int peek_packets(struct peeker *k, int out)
{
	size_t off = 0;
	int r = buf_reserve(&k->b, 65536);

	while (r == 0) {
		ssize_t n = peek_at(k, off, k->b.cap);

		if (n == -EAGAIN || (n == 0 && k->q->rcv_shut))
			break;
		if (n < 0)
			return (int)n;
		if (k->flags & MSG_TRUNC) {
			r = buf_reserve(&k->b, (size_t)n + 1);
			continue;
		}
		r = put(k, out, k->b.data, (size_t)n);
		off += (size_t)n;
	}
	return r;
}

/*
 * A read ends behind the bytes that carry descriptors, but it may begin before them. They come with
 * every read that touches their bytes, so the first of these is found by halving.
 */
static int first_with_fds(struct peeker *k, size_t off, size_t n, size_t *ret)
{
	size_t lo = 1, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		ssize_t got = peek_at(k, off, mid);

		if (got < 0)
			return (int)got;
		if (k->p.n_fds)
			hi = mid;
		else
			lo = mid + 1;
	}
	*ret = lo - 1;
	return 0;
}

static int put_with_fds(struct peeker *k, int out, size_t off, size_t n)
{
	size_t plain = 0;
	ssize_t got;
	int r = first_with_fds(k, off, n, &plain);

	if (r == 0 && plain) {
		got = peek_at(k, off, plain);
		r = got < 0 ? (int)got : put(k, out, k->b.data, plain);
	}
	if (r < 0)
		return r;
	got = peek_at(k, off + plain, n - plain);
	if (got < 0)
		return (int)got;
	return put(k, out, k->b.data, n - plain);
}

/* An urgent byte, which readers may get out of line: reads do not show where it was. */
static bool has_urgent(int sk)
{
	int inline_now = 0;
	socklen_t len = sizeof(inline_now);
	char byte;
	bool has;

	if (getsockopt(sk, SOL_SOCKET, SO_OOBINLINE, &inline_now, &len) == 0 && inline_now)
		set_option(sk, SO_OOBINLINE, 0);
	has = recv(sk, &byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) == 1;
	if (inline_now)
		set_option(sk, SO_OOBINLINE, 1);
	return has;
}

static int peek_stream(struct peeker *k, int out)
{
	size_t off = 0;
	int r = has_urgent(k->q->sk) ? PEEK_ODD : buf_reserve(&k->b, STREAM_READ);

	while (r == 0 && off < k->q->unread) {
		ssize_t n = peek_at(k, off, STREAM_READ);

		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n <= 0)
			return -EAGAIN;
		r = k->p.n_fds ? put_with_fds(k, out, off, (size_t)n)
			       : put(k, out, k->b.data, (size_t)n);
		off += (size_t)n;
	}
	return r;
}

int queue_peek(const struct peek_args *q, int out)
{
	struct peeker k = { .q = q, .b = BUF_INIT };
	int rights = 1, back, r = set_option(q->sk, SO_PASSCRED, 1);
	socklen_t len = sizeof(rights);

	/* Linux 6.16: a socket may take no descriptors any more, and hides those that it has */
	if (getsockopt(q->sk, SOL_SOCKET, SO_PASSRIGHTS, &rights, &len) == 0 && !rights)
		set_option(q->sk, SO_PASSRIGHTS, 1);
	if (r == 0)
		r = q->type == SOCK_STREAM ? peek_stream(&k, out) : peek_packets(&k, out);
	drop_fds(&k);
	buf_done(&k.b);
	if (!rights)
		set_option(q->sk, SO_PASSRIGHTS, 0);
	back = set_option(q->sk, SO_PASSCRED, q->passcred);
	if (back == 0)
		back = set_option(q->sk, SO_PEEK_OFF, q->peek_off);
	return r == 0 ? back : r;
}
