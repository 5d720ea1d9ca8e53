/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unread datagrams of UDP sockets. They are looked at from outside, with the addresses they came
 * from and went to; a restore sends them again with just these, over the loopback device, as whole
 * IP packets. What cannot be told or sent so (groups, broadcasts, segments put together by the
 * kernel, ports that several sockets share) is refused.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/files/kinds.h"
#include "engine/sockets/inet-priv.h"
#include "engine/sockets/inside.h"
#include "engine/sockets/queue.h"
#include "engine/sockets/raw-packet.h"
#include "proto/inet.pb-c.h"
#include "proto/sockets.pb-c.h"

/* SO_MEMINFO, since 4.12: the first number is what the queue takes. */
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

/* Of UDP over IPv4; over IPv6 a little more. */
enum { DATAGRAM_MAX = 65535 };

union packet_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* ---- dump: in a process of its own, see inside.h ---- */

struct peek {
	int sk, family, out;
};

/* What is written to out for each datagram; its bytes follow. */
struct found {
	uint32_t len;
	union packet_address from;
	uint32_t to[4]; /* all zero: not known */
};

static int pktinfo_level(int family)
{
	return family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
}

static int pktinfo_name(int family)
{
	return family == AF_INET6 ? IPV6_RECVPKTINFO : IP_PKTINFO;
}

static int set_number(int sk, int level, int name, int value)
{
	return setsockopt(sk, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void take_destination(struct msghdr *m, struct found *f)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			const struct in_pktinfo *i = (const void *)CMSG_DATA(c);

			memcpy(f->to, &i->ipi_addr, sizeof(i->ipi_addr));
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			const struct in6_pktinfo *i = (const void *)CMSG_DATA(c);

			memcpy(f->to, &i->ipi6_addr, sizeof(i->ipi6_addr));
		}
	}
}

static int peek_all(const struct peek *p)
{
	static char bytes[DATAGRAM_MAX];
	static union {
		char bytes[1024];
		struct cmsghdr align;
	} control;
	int off = 0, r = 0;

	while (r == 0) {
		struct found f = { 0 };
		struct iovec iov = { bytes, sizeof(bytes) };
		struct msghdr m = { .msg_name = &f.from,
				    .msg_namelen = sizeof(f.from),
				    .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };
		ssize_t n;

		r = set_number(p->sk, SOL_SOCKET, SO_PEEK_OFF, off);
		n = r < 0 ? r : recvmsg(p->sk, &m, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0)
			return r < 0 ? r : errno == EAGAIN ? 0 : -errno;
		take_destination(&m, &f);
		f.len = (uint32_t)n;
		off += (int)n;
		r = io_write_all(p->out, &f, sizeof(f));
		if (r == 0 && n)
			r = io_write_all(p->out, bytes, (size_t)n);
	}
	return r;
}

/* Both options are the socket's, and back as they were at the end. */
static int peek(void *arg)
{
	const struct peek *p = arg;
	int level = pktinfo_level(p->family), name = pktinfo_name(p->family), was = 0, back, r;
	socklen_t len = sizeof(was);

	if (getsockopt(p->sk, level, name, &was, &len) < 0)
		return -errno;
	r = set_number(p->sk, level, name, 1);
	if (r == 0)
		r = peek_all(p);
	back = set_number(p->sk, SOL_SOCKET, SO_PEEK_OFF, -1);
	if (back == 0)
		back = set_number(p->sk, level, name, was != 0);
	return r == 0 ? back : r;
}

/* ---- dump ---- */

static bool is_mapped(const uint32_t a[4])
{
	return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)a);
}

static bool is_unicast(int family, const uint32_t *to)
{
	const struct in6_addr *a = (const void *)to;

	if (family == AF_INET6 && is_mapped(to))
		return is_unicast(AF_INET, to + 3);
	if (family == AF_INET6)
		return !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_LINKLOCAL(a) &&
		       !IN6_IS_ADDR_UNSPECIFIED(a);
	return to[0] && !IN_MULTICAST(ntohl(to[0])) && to[0] != htonl(INADDR_BROADCAST);
}

/* KIND_UNSUPPORTED: this one cannot be sent again. */
static int write_one(struct dump *d, uint32_t id, int family, const struct found *f,
		     const char *bytes, struct err *err)
{
	struct image *img = image_get(d->images, IMG_SK_QUEUES, "sk-queues.img");
	SkPacketEntry e = SK_PACKET_ENTRY__INIT;
	DatagramPathEntry path = DATAGRAM_PATH_ENTRY__INIT;
	uint32_t from[4] = { 0 }, to[4];
	bool v6 = family == AF_INET6;

	if (!is_unicast(family, f->to))
		return KIND_UNSUPPORTED;
	memcpy(to, f->to, sizeof(to));
	if (v6)
		memcpy(from, &f->from.v6.sin6_addr, sizeof(from));
	else
		memcpy(from, &f->from.v4.sin_addr, sizeof(f->from.v4.sin_addr));
	path.n_src_addr = path.n_dst_addr = v6 ? WORDS_V6 : WORDS_V4;
	path.src_addr = from;
	path.dst_addr = to;
	path.src_port = ntohs(v6 ? f->from.v6.sin6_port : f->from.v4.sin_port);
	e.id_for = id;
	e.length = f->len;
	e.path = &path;
	if (!img || image_add(img, &e.base) < 0 ||
	    (f->len && image_add_raw(img, bytes, f->len) < 0))
		return err_nomem(err);
	return 0;
}

int inet_queue_capture(struct dump *d, struct file_ref *ref, int family, struct err *err)
{
	cleanup_fd int out = memfd_create("queue", MFD_CLOEXEC);
	cleanup_buf struct buf b = BUF_INIT;
	struct peek p = { ref->lfd, family, out };
	size_t at = 0;
	int result = 0, r;

	if (out < 0)
		return err_sys(err, -errno, "making memory for the queue");
	r = inside_run(d, peek, &p, &result, err);
	if (r < 0)
		return r;
	if (result < 0)
		return err_sys(err, result, "looking into the queue");
	if (lseek(out, 0, SEEK_SET) < 0 || (r = io_read_fd(out, &b)) < 0)
		return err_sys(err, r ?: -errno, "reading the copy of the queue");
	for (r = 0; at < b.len && r == 0;) {
		struct found f;

		memcpy(&f, b.data + at, sizeof(f));
		at += sizeof(f);
		r = write_one(d, ref->id, family, &f, b.data + at, err);
		at += f.len;
	}
	return r;
}

/* ---- loading ---- */

static int load_one(struct restore *r, struct image_reader *reader, const SkPacketEntry *e,
		    const void *bytes, void *arg, struct err *err)
{
	struct restore_inet *all = arg;
	const DatagramPathEntry *path = e->path;
	struct inet_datagram *p;

	if (!path) /* of a unix socket */
		return 0;
	if (e->length > DATAGRAM_MAX || path->src_port > UINT16_MAX ||
	    path->n_src_addr != path->n_dst_addr ||
	    (path->n_src_addr != WORDS_V4 && path->n_src_addr != WORDS_V6))
		return err_image(err,
				 "image '%s': a datagram of %u bytes from port %u, with addresses "
				 "of %zu and %zu words",
				 image_name(reader), e->length, path->src_port, path->n_src_addr,
				 path->n_dst_addr);
	p = arena_alloc(&r->arena, sizeof(*p));
	if (!p)
		return err_nomem(err);
	p->id_for = e->id_for;
	p->len = e->length;
	p->v6 = path->n_src_addr == WORDS_V6;
	p->src_port = path->src_port;
	memcpy(p->src, path->src_addr, path->n_src_addr * sizeof(uint32_t));
	memcpy(p->dst, path->dst_addr, path->n_dst_addr * sizeof(uint32_t));
	if (p->len && !(p->bytes = arena_dup(&r->arena, bytes, p->len)))
		return err_nomem(err);
	*all->datagrams_end = p;
	all->datagrams_end = &p->next;
	return 0;
}

int inet_queue_load(struct restore *r, struct restore_inet *all, struct err *err)
{
	all->datagrams_end = &all->datagrams;
	return queue_each(r, load_one, all, err);
}

/* ---- sending again ---- */

/* Nobody but this machine may see the packet. */
static bool is_local(int family, const uint32_t *addr)
{
	cleanup_fd int sk = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union packet_address a = { 0 };
	socklen_t len = family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4);

	a.any.sa_family = (sa_family_t)family;
	if (family == AF_INET6)
		memcpy(&a.v6.sin6_addr, addr, sizeof(a.v6.sin6_addr));
	else
		memcpy(&a.v4.sin_addr, addr, sizeof(a.v4.sin_addr));
	return sk >= 0 && bind(sk, &a.any, len) == 0 && connect(sk, &a.any, len) == 0;
}

static int send_again(const struct inet_datagram *p, uint32_t port)
{
	/* to a socket of IPv6 that takes IPv4 as well it came with mapped addresses */
	bool mapped = p->v6 && is_mapped(p->dst), v6 = p->v6 && !mapped;
	struct udphdr udp = { .source = htons((uint16_t)p->src_port),
			      .dest = htons((uint16_t)port),
			      .len = htons((uint16_t)(sizeof(udp) + p->len)) };
	struct raw_packet packet = { .family = v6 ? AF_INET6 : AF_INET,
				     .protocol = IPPROTO_UDP,
				     .src = p->src + (mapped ? 3 : 0),
				     .dst = p->dst + (mapped ? 3 : 0),
				     .parts = { { &udp, sizeof(udp) },
						{ (void *)p->bytes, p->len } } };
	cleanup_fd int sk = socket(packet.family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (sk < 0)
		return -errno;
	if (!is_local(packet.family, packet.dst))
		return -EADDRNOTAVAIL;
	udp.check = raw_packet_checksum(&packet);
	return raw_packet_send(sk, &packet);
}

static uint32_t queue_memory(int sk)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(sk, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0
								      : info[SK_MEMINFO_RMEM_ALLOC];
}

/* It comes in through the kernel's receiving side, maybe a moment later. */
static int put_back(const struct isk *s, const struct inet_datagram *p)
{
	uint32_t before = queue_memory(s->fd);
	int i, r;

	r = send_again(p, s->e->src_port);
	for (i = 0; r == 0 && i < 200 && queue_memory(s->fd) == before; i++)
		poll(NULL, 0, 1);
	return r < 0 ? r : queue_memory(s->fd) == before ? -ETIMEDOUT : 0;
}

/* A dump refuses those that others could get; images of somebody else may have them. */
static bool shares_port(const struct restore_inet *all, const struct isk *s)
{
	const struct isk *o;

	for (o = all->first; o; o = o->next)
		if (o != s && o->obj->needed && o->e->family == s->e->family &&
		    o->e->type == s->e->type && o->e->proto == s->e->proto &&
		    o->e->src_port == s->e->src_port)
			return true;
	return false;
}

int inet_queue_fill(const struct restore_inet *all, const struct isk *s, struct err *err)
{
	const struct inet_datagram *p;
	int r;

	for (p = all->datagrams; p; p = p->next) {
		if (p->id_for != s->obj->id)
			continue;
		if (shares_port(all, s))
			return err_refuse(err,
					  "UDP socket %u has unread datagrams, and another socket "
					  "has the same port",
					  s->e->ino);
		r = put_back(s, p);
		if (r < 0)
			return err_sys(err, r,
				       "putting an unread datagram of %zu bytes back into UDP "
				       "socket %u (it comes over the loopback device)",
				       p->len, s->e->ino);
	}
	return 0;
}
