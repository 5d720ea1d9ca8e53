/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/more-opts.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/sockets.pb-c.h"

/* Newer than the headers of old systems. */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_INQ
#define SO_INQ 84
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef UDPLITE_SEND_CSCOV
#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11
#endif

enum {
	LEVEL_TCP = 6,
	LEVEL_UDP = 17,
	LEVEL_UDPLITE = 136,
	LEVEL_PACKET = 263,
	LEVEL_NETLINK = 270,
};

/* Which sockets have an option. */
enum {
	W_ALL = 1,
	W_IP = 2, /* IPv4, and IPv6 sockets that speak IPv4 as well */
	W_IPV6 = 4,
	W_TCP = 8,
	W_UDP = 16,
	W_UDPLITE = 32,
	W_RAW6 = 64,
	W_PACKET = 128,
	W_NETLINK = 256,
	W_GROUPS = 512, /* can send to multicast groups by IPv4, or by IPv6 */
	W_GROUPS6 = 1024,
	W_UNIX = 2048,
};

/* A value that the kernel never gives: there is no fixed one in a fresh socket. */
#define NO_DEFAULT INT64_MIN

struct more_opt {
	int level, name;
	const char *text;
	int who;
	int64_t fresh; /* what a fresh socket has, which is not written */
	enum more_opts_time when;
	size_t size;	       /* 0: an int; TEXT: a name */
	bool unless_connected; /* a connection puts something of its own there */
};

/* The size of TCP_CA_NAME_MAX. */
#define TEXT 16

#define ROW(level, name, ...)                   \
	{                                       \
		level, name, #name, __VA_ARGS__ \
	}
#define SOCK(name, ...)                                        \
	{                                                      \
		SOL_SOCKET, name, #name, W_ALL, 0, __VA_ARGS__ \
	}
#define IP(name, ...)                                      \
	{                                                  \
		IPPROTO_IP, name, #name, W_IP, __VA_ARGS__ \
	}
#define IP6(name, ...)                                         \
	{                                                      \
		IPPROTO_IPV6, name, #name, W_IPV6, __VA_ARGS__ \
	}
#define TCP(name, ...)                                     \
	{                                                  \
		LEVEL_TCP, name, #name, W_TCP, __VA_ARGS__ \
	}

static const struct more_opt rows[] = {
	SOCK(SO_TIMESTAMP_OLD),
	SOCK(SO_TIMESTAMPNS_OLD),
	SOCK(SO_TIMESTAMP_NEW),
	SOCK(SO_TIMESTAMPNS_NEW),
	SOCK(SO_TIMESTAMPING_OLD),
	SOCK(SO_TIMESTAMPING_NEW),
	SOCK(SO_RXQ_OVFL),
	SOCK(SO_SELECT_ERR_QUEUE),
	SOCK(SO_BUSY_POLL),
	ROW(SOL_SOCKET, SO_MAX_PACING_RATE, W_ALL, -1, .size = 8),
	SOCK(SO_ZEROCOPY),
	SOCK(SO_PREFER_BUSY_POLL),
	SOCK(SO_RESERVE_MEM),
	SOCK(SO_RCVMARK),
	SOCK(SO_LOCK_FILTER, .when = MORE_OPTS_LAST),
	ROW(SOL_SOCKET, SO_PASSPIDFD, W_UNIX, 0),
	ROW(SOL_SOCKET, SO_PASSRIGHTS, W_UNIX, 1),
	ROW(SOL_SOCKET, SO_INQ, W_UNIX, 0),

	IP(IP_TRANSPARENT, 0, .when = MORE_OPTS_EARLY),
	IP(IP_BIND_ADDRESS_NO_PORT, 0, .when = MORE_OPTS_EARLY),
	IP(IP_LOCAL_PORT_RANGE, 0, .when = MORE_OPTS_EARLY),
	IP(IP_MTU_DISCOVER, NO_DEFAULT),
	IP(IP_RECVERR, 0),
	IP(IP_RECVTTL, 0),
	IP(IP_RECVTOS, 0),
	IP(IP_RECVOPTS, 0),
	IP(IP_RETOPTS, 0),
	IP(IP_MINTTL, 0),
	IP(IP_RECVORIGDSTADDR, 0),
	IP(IP_CHECKSUM, 0),
	IP(IP_PASSSEC, 0),
	IP(IP_RECVFRAGSIZE, 0),
	IP(IP_UNICAST_IF, 0),
	ROW(IPPROTO_IP, IP_MULTICAST_IF, W_GROUPS, 0),
	ROW(IPPROTO_IP, IP_MULTICAST_TTL, W_GROUPS, 1),
	ROW(IPPROTO_IP, IP_MULTICAST_LOOP, W_GROUPS, 1),
	ROW(IPPROTO_IP, IP_MULTICAST_ALL, W_GROUPS, 1),

	IP6(IPV6_TRANSPARENT, 0, .when = MORE_OPTS_EARLY),
	IP6(IPV6_MTU_DISCOVER, NO_DEFAULT),
	IP6(IPV6_UNICAST_HOPS, NO_DEFAULT),
	IP6(IPV6_TCLASS, 0),
	IP6(IPV6_AUTOFLOWLABEL, NO_DEFAULT),
	IP6(IPV6_ADDR_PREFERENCES, NO_DEFAULT),
	IP6(IPV6_DONTFRAG, 0),
	IP6(IPV6_FLOWINFO_SEND, 0),
	IP6(IPV6_RECVERR, 0),
	IP6(IPV6_RECVHOPLIMIT, 0),
	IP6(IPV6_RECVTCLASS, 0),
	IP6(IPV6_RECVRTHDR, 0),
	IP6(IPV6_RECVHOPOPTS, 0),
	IP6(IPV6_RECVDSTOPTS, 0),
	IP6(IPV6_RECVPATHMTU, 0),
	IP6(IPV6_RECVORIGDSTADDR, 0),
	IP6(IPV6_RECVFRAGSIZE, 0),
	IP6(IPV6_MINHOPCOUNT, 0),
	IP6(IPV6_UNICAST_IF, 0),
	ROW(IPPROTO_IPV6, IPV6_MULTICAST_IF, W_GROUPS6, 0),
	ROW(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, W_GROUPS6, 1),
	ROW(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, W_GROUPS6, 1),
	ROW(IPPROTO_IPV6, IPV6_MULTICAST_ALL, W_GROUPS6, 1),
	ROW(IPPROTO_IPV6, IPV6_CHECKSUM, W_RAW6, NO_DEFAULT),

	TCP(TCP_CONGESTION, NO_DEFAULT, .size = TEXT),
	TCP(TCP_USER_TIMEOUT, 0),
	TCP(TCP_DEFER_ACCEPT, 0),
	TCP(TCP_SYNCNT, NO_DEFAULT),
	TCP(TCP_LINGER2, NO_DEFAULT),
	TCP(TCP_WINDOW_CLAMP, 0, .unless_connected = true),
	TCP(TCP_MAXSEG, TCP_MSS_DEFAULT, .unless_connected = true),
	TCP(TCP_THIN_LINEAR_TIMEOUTS, 0),
	TCP(TCP_NOTSENT_LOWAT, 0),
	TCP(TCP_FASTOPEN, 0),
	TCP(TCP_FASTOPEN_CONNECT, 0),
	TCP(TCP_FASTOPEN_NO_COOKIE, 0),
	TCP(TCP_SAVE_SYN, 0),
	TCP(TCP_INQ, 0),
	TCP(TCP_TX_DELAY, 0),

	ROW(LEVEL_UDP, UDP_NO_CHECK6_TX, W_UDP, 0),
	ROW(LEVEL_UDP, UDP_NO_CHECK6_RX, W_UDP, 0),
	ROW(LEVEL_UDP, UDP_SEGMENT, W_UDP, 0),
	ROW(LEVEL_UDP, UDP_GRO, W_UDP, 0),
	ROW(LEVEL_UDPLITE, UDPLITE_SEND_CSCOV, W_UDPLITE, 0),
	ROW(LEVEL_UDPLITE, UDPLITE_RECV_CSCOV, W_UDPLITE, 0),

	ROW(LEVEL_PACKET, PACKET_TX_HAS_OFF, W_PACKET, 0, .when = MORE_OPTS_EARLY),
	ROW(LEVEL_PACKET, PACKET_VNET_HDR_SZ, W_PACKET, 0, .when = MORE_OPTS_EARLY),
	ROW(LEVEL_PACKET, PACKET_QDISC_BYPASS, W_PACKET, 0),
	ROW(LEVEL_PACKET, PACKET_IGNORE_OUTGOING, W_PACKET, 0),

	ROW(LEVEL_NETLINK, NETLINK_PKTINFO, W_NETLINK, 0),
	ROW(LEVEL_NETLINK, NETLINK_BROADCAST_ERROR, W_NETLINK, 0),
	ROW(LEVEL_NETLINK, NETLINK_NO_ENOBUFS, W_NETLINK, 0),
	ROW(LEVEL_NETLINK, NETLINK_LISTEN_ALL_NSID, W_NETLINK, 0),
	ROW(LEVEL_NETLINK, NETLINK_CAP_ACK, W_NETLINK, 0),
	ROW(LEVEL_NETLINK, NETLINK_EXT_ACK, W_NETLINK, 0),
	ROW(LEVEL_NETLINK, NETLINK_GET_STRICT_CHK, W_NETLINK, 0),
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static int kinds_of(const struct sk_ident *who)
{
	bool raw = who->type == SOCK_RAW;
	int bits = W_ALL;

	switch (who->family) {
	case AF_PACKET:
		return bits | W_PACKET;
	case AF_UNIX:
		return bits | W_UNIX;
	case AF_NETLINK:
		return bits | W_NETLINK;
	case AF_INET:
		bits |= W_IP;
		break;
	case AF_INET6:
		bits |= W_IPV6 | (raw ? W_RAW6 : W_IP);
		break;
	default:
		return bits;
	}
	if (who->type != SOCK_STREAM)
		bits |= (bits & W_IP ? W_GROUPS : 0) | (bits & W_IPV6 ? W_GROUPS6 : 0);
	if (raw)
		return bits;
	return bits | (who->protocol == LEVEL_TCP	? W_TCP
		       : who->protocol == LEVEL_UDP	? W_UDP
		       : who->protocol == LEVEL_UDPLITE ? W_UDPLITE
							: 0);
}

static size_t size_of(const struct more_opt *o)
{
	return o->size ? o->size : sizeof(int);
}

union value {
	int number;
	int64_t large;
	char bytes[TEXT];
};

/* 0, or -errno: this kernel or this socket does not have it. A name is told with its zero byte. */
static int read_opt(int sk, const struct more_opt *o, union value *ret, size_t *ret_len)
{
	socklen_t len = (socklen_t)size_of(o);

	memset(ret, 0, sizeof(*ret));
	if (getsockopt(sk, o->level, o->name, ret, &len) < 0)
		return -errno;
	/* some kernels answer with one byte where one is enough */
	if (o->size == 0 && len == 1)
		ret->number = (unsigned char)ret->bytes[0];
	*ret_len = o->size == TEXT ? strnlen(ret->bytes, TEXT - 1) + 1 : size_of(o);
	return 0;
}

static bool is_fresh(const struct more_opt *o, const union value *v)
{
	if (o->fresh == NO_DEFAULT)
		return false;
	return (o->size == 8 ? v->large : (int64_t)v->number) == o->fresh;
}

static int add(struct dump *d, SkOptsEntry *e, const struct more_opt *o, const union value *v,
	       size_t len)
{
	SkOptionEntry *m = arena_alloc(&d->arena, sizeof(*m));

	if (!m)
		return -ENOMEM;
	sk_option_entry__init(m);
	m->level = (uint32_t)o->level;
	m->name = (uint32_t)o->name;
	m->value.len = len;
	m->value.data = arena_dup(&d->arena, v->bytes, len);
	e->more[e->n_more++] = m;
	return m->value.data ? 0 : -ENOMEM;
}

int more_opts_capture(struct dump *d, int sk, const struct sk_ident *who, SkOptsEntry *e,
		      struct err *err)
{
	const struct more_opt *o;
	int kinds = kinds_of(who);

	e->more = arena_alloc(&d->arena, N_ROWS * sizeof(*e->more));
	if (!e->more)
		return err_nomem(err);
	for (o = rows; o < rows + N_ROWS; o++) {
		union value v;
		size_t len;

		if (!(o->who & kinds) || (o->unless_connected && who->was_connected) ||
		    read_opt(sk, o, &v, &len) < 0 || is_fresh(o, &v))
			continue;
		if (add(d, e, o, &v, len) < 0)
			return err_nomem(err);
	}
	return 0;
}

static const struct more_opt *row_of(const SkOptionEntry *m)
{
	const struct more_opt *o;

	for (o = rows; o < rows + N_ROWS; o++)
		if ((uint32_t)o->level == m->level && (uint32_t)o->name == m->name)
			return o;
	return NULL;
}

int more_opts_check(uint32_t file_id, const struct sk_ident *who, const SkOptsEntry *e,
		    struct err *err)
{
	int kinds = kinds_of(who);
	size_t i;

	for (i = 0; i < e->n_more; i++) {
		const SkOptionEntry *m = e->more[i];
		const struct more_opt *o = row_of(m);

		if (!o || !(o->who & kinds))
			return err_image(err, "file %u: a socket of its kind has no option %u:%u",
					 file_id, m->level, m->name);
		if (o->size == TEXT ? !m->value.len || m->value.len > TEXT
				    : m->value.len != size_of(o))
			return err_image(err, "file %u: a value of %zu bytes for %s", file_id,
					 m->value.len, o->text);
	}
	return 0;
}

int more_opts_restore(int sk, const SkOptsEntry *e, enum more_opts_time when, struct err *err)
{
	size_t i, len;

	for (i = 0; i < e->n_more; i++) {
		const SkOptionEntry *m = e->more[i];
		const struct more_opt *o = row_of(m);
		union value now;

		if (!o || o->when != when)
			continue;
		/* what the socket has already need not be set: some take privileges */
		if (read_opt(sk, o, &now, &len) == 0 && len == m->value.len &&
		    memcmp(now.bytes, m->value.data, len) == 0)
			continue;
		if (setsockopt(sk, o->level, o->name, m->value.data, (socklen_t)m->value.len) < 0)
			return sockopts_failed(err, -errno, o->text);
	}
	return 0;
}
