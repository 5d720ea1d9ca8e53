/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making the internet sockets of a restore: all at once, phase by phase, because sockets that share
 * a port depend on each other.
 *
 *  1. sockets with what decides over addresses, and their addresses;  2. listening, connections;
 *  3. options and groups;  4. shutdowns;  5. SO_REUSEADDR and SO_REUSEPORT as they were.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/sockets/inet-priv.h"
#include "engine/sockets/socket-ns.h"
#include "proto/inet.pb-c.h"
#include "proto/sockets.pb-c.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool is_made_here(const struct isk *s)
{
	return s->obj->needed && !s->obj->inherited;
}

/* ---- 1. sockets ---- */

/*
 * ICMP sockets are for the groups of net.ipv4.ping_group_range alone, whatever capabilities one
 * has.
 */
static int ping_socket(const struct isk *s)
{
	cleanup_buf struct buf text = BUF_INIT;
	unsigned int low, high;
	gid_t own = getegid();
	int fd, r = io_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", &text);

	if (r < 0)
		return r;
	if (sscanf(text.data, "%u %u", &low, &high) != 2 || low > high)
		return -EACCES;
	/* of this thread alone, without the signals that libc sends to others */
	if (syscall(SYS_setresgid, -1, low, -1) < 0)
		return -errno;
	fd = socket((int)s->e->family, (int)s->e->type | SOCK_CLOEXEC, (int)s->e->proto);
	r = fd < 0 ? -errno : 0;
	if (syscall(SYS_setresgid, -1, own, -1) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int set_reuse(int fd, bool addr, bool port, struct err *err)
{
	int a = addr, p = port;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &a, sizeof(a)) < 0)
		return sockopts_failed(err, -errno, "SO_REUSEADDR");
	/* raw sockets of new kernels do not have this one */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &p, sizeof(p)) < 0 && port)
		return sockopts_failed(err, -errno, "SO_REUSEPORT");
	return 0;
}

static int make_socket(struct isk *s, struct err *err)
{
	const InetSkEntry *e = s->e;
	int r;

	s->fd = socket((int)e->family, (int)e->type | SOCK_CLOEXEC, (int)e->proto);
	if (s->fd < 0 && errno == EACCES && e->type == SOCK_DGRAM)
		s->fd = ping_socket(s);
	else if (s->fd < 0)
		s->fd = -errno;
	if (s->fd < 0)
		return err_sys(err, s->fd, "making a socket");
	s->fd = files_put_in_place(s->obj, s->fd, err);
	if (s->fd < 0)
		return s->fd;
	r = sockopts_restore_early(s->fd, e->opts, err);
	if (r == 0)
		r = inet_opts_restore_early(s->fd, e, err);
	return r == 0 ? set_reuse(s->fd, e->opts->reuseaddr, e->opts->so_reuseport, err) : r;
}

/* ---- 1. addresses ---- */

static socklen_t address_of(const InetSkEntry *e, const uint32_t *addr, uint32_t port,
			    union address *ret)
{
	const char *dev = e->ifname && e->ifname[0] ? e->ifname : e->opts->so_bound_dev;

	memset(ret, 0, sizeof(*ret));
	ret->any.sa_family = (sa_family_t)e->family;
	if (e->family == AF_INET) {
		ret->v4.sin_port = htons((uint16_t)port);
		memcpy(&ret->v4.sin_addr, addr, sizeof(ret->v4.sin_addr));
		return sizeof(ret->v4);
	}
	ret->v6.sin6_port = htons((uint16_t)port);
	memcpy(&ret->v6.sin6_addr, addr, sizeof(ret->v6.sin6_addr));
	if (dev && (IN6_IS_ADDR_LINKLOCAL(&ret->v6.sin6_addr) ||
		    IN6_IS_ADDR_MC_LINKLOCAL(&ret->v6.sin6_addr) ||
		    IN6_IS_ADDR_MC_NODELOCAL(&ret->v6.sin6_addr)))
		ret->v6.sin6_scope_id = if_nametoindex(dev);
	return sizeof(ret->v6);
}

static bool is_any(const InetSkEntry *e)
{
	size_t i;

	for (i = 0; i < e->n_src_addr; i++)
		if (e->src_addr[i])
			return false;
	return true;
}

static bool has_address(const InetSkEntry *e)
{
	/* the port of a raw socket is its protocol */
	return e->type == SOCK_RAW ? !is_any(e) : e->src_port != 0 || !is_any(e);
}

static bool same_port(const InetSkEntry *a, const InetSkEntry *b)
{
	return a->type == b->type && a->proto == b->proto && a->src_port == b->src_port;
}

static bool is_icmp(const InetSkEntry *e)
{
	return e->type == SOCK_DGRAM && (e->proto == IPPROTO_ICMP || e->proto == IPPROTO_ICMPV6);
}

/*
 * An IPv6 address may be new on its device and still be tested for duplicates, and nobody but
 * free binders can have it then.
 */
int inet_bind(const struct isk *s)
{
	const InetSkEntry *e = s->e;
	bool free_bind = e->ip_opts && e->ip_opts->freebind;
	bool lend = e->family == AF_INET6 && e->type != SOCK_RAW && !is_icmp(e) && !free_bind;
	union address a;
	socklen_t len = address_of(e, e->src_addr, e->type == SOCK_RAW ? 0 : e->src_port, &a);
	int on = 1, off = 0, r;

	if (lend && setsockopt(s->fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0)
		return -errno;
	r = bind(s->fd, &a.any, len) < 0 ? -errno : 0;
	if (lend && setsockopt(s->fd, IPPROTO_IP, IP_FREEBIND, &off, sizeof(off)) < 0)
		return -errno;
	return r;
}

/* Sockets of the tree shared the port somehow, and the options were changed afterwards. */
static int share_port(struct restore_inet *all, struct isk *s, bool port, struct err *err)
{
	struct isk *o;
	int r = 0;

	for (o = all->first; o && r == 0; o = o->next) {
		if (!is_made_here(o) || o->fd < 0 || !same_port(o->e, s->e))
			continue;
		o->shares = true;
		r = set_reuse(o->fd, true, port || o->e->opts->so_reuseport, err);
	}
	return r;
}

static int bind_socket(struct restore_inet *all, struct isk *s, struct err *err)
{
	const InetSkEntry *e = s->e;
	char text[SOCKET_TEXT_SIZE];
	int r;

	if (!has_address(e) || inet_is_connection(e))
		return 0;
	r = inet_bind(s);
	if (r == -EADDRINUSE && share_port(all, s, false, err) == 0)
		r = inet_bind(s);
	if (r == -EADDRINUSE && share_port(all, s, true, err) == 0)
		r = inet_bind(s);
	if (r == 0)
		return 0;
	/* a connection that has ended tells its old port, but does not have it any more */
	if (r == -EADDRINUSE && e->type == SOCK_STREAM && e->state == INET_CLOSE && e->has_shutdown)
		return 0;
	err_sys(err, r, "binding a socket to %s",
		socket_text((int)e->family, e->src_addr, e->src_port, text));
	if (r == -EADDRINUSE)
		err_hint(err, "another process has that port now");
	if (r == -EADDRNOTAVAIL)
		err_hint(err, "no device of this network namespace has that address");
	return r;
}

/* ---- 2. ---- */

static int start_listening(struct restore_inet *all, struct isk *s, struct err *err)
{
	char text[SOCKET_TEXT_SIZE];
	int r;

	if (s->e->state != INET_LISTEN)
		return 0;
	r = listen(s->fd, (int)s->e->backlog) < 0 ? -errno : 0;
	if (r == -EADDRINUSE && share_port(all, s, true, err) == 0)
		r = listen(s->fd, (int)s->e->backlog) < 0 ? -errno : 0;
	return r < 0 ? err_sys(err, r, "listening on %s",
			       socket_text((int)s->e->family, s->e->src_addr, s->e->src_port, text))
		     : 0;
}

int inet_connect(const struct isk *s)
{
	union address a;
	socklen_t len = address_of(s->e, s->e->dst_addr, s->e->dst_port, &a);

	return connect(s->fd, &a.any, len) < 0 ? -errno : 0;
}

/* A datagram socket has a peer whether anybody is there or not. */
static int connect_socket(struct restore_inet *all, struct isk *s, struct err *err)
{
	const InetSkEntry *e = s->e;
	int on = 1;
	char text[SOCKET_TEXT_SIZE];
	int r;

	if (e->type == SOCK_STREAM || e->state != INET_ESTABLISHED)
		return 0;
	/* the peer may be all hosts of the network */
	if (e->opts->so_broadcast &&
	    setsockopt(s->fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) < 0)
		return sockopts_failed(err, -errno, "SO_BROADCAST");
	r = inet_connect(s);
	if (r < 0)
		return err_sys(err, r, "connecting a socket to %s",
			       socket_text((int)e->family, e->dst_addr, e->dst_port, text));
	return 0;
}

/* After listeners: in repair mode a port may be had by others, but theirs must be free of it. */
static int make_connection(struct restore_inet *all, struct isk *s, struct err *err)
{
	return s->stream.e ? tcp_make(s, err) : 0;
}

/* ---- 3. to 5. ---- */

/* Before there is a filter, or anything else that a packet could meet on its way. */
static int fill_queue(struct restore_inet *all, struct isk *s, struct err *err)
{
	return s->e->type == SOCK_DGRAM ? inet_queue_fill(all, s, err) : 0;
}

static int set_options(struct restore_inet *all, struct isk *s, struct err *err)
{
	/* IP_TOS changes SO_PRIORITY, so it comes first */
	int r = inet_opts_restore(s->fd, s->e, err);

	if (r == 0)
		r = sockopts_restore(s->fd, s->e->opts, err);
	if (r == 0)
		r = inet_groups_restore(s->fd, s->e, err);
	if (r == 0)
		r = files_restore_flags(s->fd, s->e->flags, err);
	return r == 0 ? files_restore_fown(s->fd, s->e->fown, err) : r;
}

/* The call does what it is asked to for a socket without a peer as well, and fails all the same. */
static int shut_down(struct restore_inet *all, struct isk *s, struct err *err)
{
	int how = inet_is_connection(s->e) ? SHUT_RDWR : (int)s->e->shutdown - 1;

	if (s->stream.e)
		return 0;
	if (!inet_is_connection(s->e) && (!s->e->has_shutdown || !s->e->shutdown))
		return 0;
	if (shutdown(s->fd, how) < 0 && errno != ENOTCONN)
		return err_sys(err, -errno, "shutting down a socket");
	return 0;
}

static int stop_sharing(struct restore_inet *all, struct isk *s, struct err *err)
{
	return s->shares ? set_reuse(s->fd, s->e->opts->reuseaddr, s->e->opts->so_reuseport, err)
			 : 0;
}

static int make_and_bind(struct restore_inet *all, struct isk *s, struct err *err)
{
	int r = make_socket(s, err);

	return r == 0 ? bind_socket(all, s, err) : r;
}

typedef int (*phase_fn)(struct restore_inet *all, struct isk *s, struct err *err);

static const phase_fn phases[] = {
	make_and_bind, start_listening, make_connection, connect_socket,
	fill_queue,    set_options,	shut_down,	 stop_sharing,
};

int inet_make_all(struct restore *r, struct restore_inet *all, struct err *err)
{
	struct isk *s;
	size_t i;

	all->r = r;
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		for (s = all->first; s; s = s->next)
			if (is_made_here(s) && phases[i](all, s, err) < 0)
				return err_wrap(err, err->code, "internet socket %u", s->e->ino);
	return 0;
}
