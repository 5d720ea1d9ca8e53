/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Internet sockets: options, groups, shared ports, raw and ICMP sockets, ended connections. */
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static struct sockaddr_in loopback(in_port_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = port,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int bind_to(int fd, in_port_t port, struct sockaddr_in *ret)
{
	socklen_t len = sizeof(*ret);

	*ret = loopback(port);
	return bind(fd, (struct sockaddr *)ret, len) < 0 ||
			       getsockname(fd, (struct sockaddr *)ret, &len) < 0
		       ? -1
		       : 0;
}

static int get_option(int fd, int level, int name)
{
	int value = -1;
	socklen_t n = sizeof(value);

	return getsockopt(fd, level, name, &value, &n) < 0 ? -1 : value;
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* ---- options ---- */

enum { UDP4, UDP6, TCP4, N_SOCKETS };

static int sockets[N_SOCKETS];

/* lost: CRIU 4.2 has no place for it. */
static const struct {
	int sk, level, name, value;
	bool lost;
	const char *text;
} options[] = {
#define SET(sk, level, name, value, lost)                   \
	{                                                   \
		sk, level, name, value, lost, #sk " " #name \
	}
	SET(UDP4, SOL_SOCKET, SO_DONTROUTE, 1, false),
	SET(UDP4, SOL_SOCKET, SO_NO_CHECK, 1, false),
	SET(UDP4, SOL_SOCKET, SO_RCVBUF, 30000, false),
	SET(UDP4, SOL_SOCKET, SO_SNDBUF, 40000, false),
	SET(UDP4, SOL_SOCKET, SO_TIMESTAMP, 1, true),
	SET(UDP4, SOL_SOCKET, SO_RXQ_OVFL, 1, true),
	SET(UDP4, IPPROTO_IP, IP_PKTINFO, 1, false),
	SET(UDP4, IPPROTO_IP, IP_TTL, 33, false),
	SET(UDP4, IPPROTO_IP, IP_TOS, 0x10, false),
	/* IP_TOS has set it to another value */
	SET(UDP4, SOL_SOCKET, SO_PRIORITY, 3, false),
	SET(UDP4, IPPROTO_IP, IP_FREEBIND, 1, false),
	SET(UDP4, IPPROTO_IP, IP_RECVTTL, 1, true),
	SET(UDP4, IPPROTO_IP, IP_RECVERR, 1, true),
	SET(UDP4, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, true),
	SET(UDP4, IPPROTO_IP, IP_MULTICAST_TTL, 7, true),
	SET(UDP4, IPPROTO_IP, IP_MULTICAST_LOOP, 0, true),
	SET(UDP6, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, false),
	SET(UDP6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44, true),
	SET(UDP6, IPPROTO_IPV6, IPV6_TCLASS, 0x20, true),
	SET(UDP6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1, true),
	SET(TCP4, SOL_SOCKET, SO_KEEPALIVE, 1, false),
	SET(TCP4, SOL_SOCKET, SO_OOBINLINE, 1, false),
	SET(TCP4, SOL_SOCKET, SO_RCVLOWAT, 17, false),
	SET(TCP4, IPPROTO_TCP, TCP_NODELAY, 1, false),
	SET(TCP4, IPPROTO_TCP, TCP_CORK, 1, false),
	SET(TCP4, IPPROTO_TCP, TCP_KEEPIDLE, 111, false),
	SET(TCP4, IPPROTO_TCP, TCP_KEEPINTVL, 22, false),
	SET(TCP4, IPPROTO_TCP, TCP_KEEPCNT, 3, false),
	SET(TCP4, IPPROTO_TCP, TCP_USER_TIMEOUT, 4444, true),
	SET(TCP4, IPPROTO_TCP, TCP_SYNCNT, 5, true),
	SET(TCP4, IPPROTO_TCP, TCP_MAXSEG, 1000, true),
#undef SET
};

static int wanted[ARRAY_SIZE(options)];

/* Takes packets of port 9 or more only. */
static struct sock_filter program[] = {
	{ BPF_LD | BPF_H | BPF_ABS, 0, 0, 0 },
	{ BPF_JMP | BPF_JGE | BPF_K, 0, 1, 9 },
	{ BPF_RET | BPF_K, 0, 0, 0xffff },
	{ BPF_RET | BPF_K, 0, 0, 0 },
};

static int options_setup(void)
{
	struct sock_fprog prog = { ARRAY_SIZE(program), program };
	struct linger linger = { 1, 12 };
	struct timeval tv = { 3, 250000 };

	sockets[UDP4] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sockets[UDP6] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sockets[TCP4] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sockets[UDP4] < 0 || sockets[TCP4] < 0)
		return skip("no internet sockets");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int fd = sockets[options[i].sk];

		if (fd < 0 || (options[i].lost && !strict()))
			continue;
		if (set_option(fd, options[i].level, options[i].name, options[i].value) < 0)
			return fail_errno("%s", options[i].text);
		wanted[i] = get_option(fd, options[i].level, options[i].name);
	}
	if (setsockopt(sockets[UDP4], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ||
	    setsockopt(sockets[UDP4], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(sockets[TCP4], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		return fail_errno("setting an option");
	if (strict() && setsockopt(sockets[TCP4], IPPROTO_TCP, TCP_CONGESTION, "reno", 4) < 0)
		return fail_errno("TCP_CONGESTION");
	return WL_OK;
}

static int options_verify(void)
{
	struct sock_filter got[ARRAY_SIZE(program)];
	struct linger linger = { 0 };
	struct timeval tv = { 0 };
	char algorithm[16] = "";
	socklen_t n = ARRAY_SIZE(got);

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int fd = sockets[options[i].sk], now;

		if (fd < 0 || (options[i].lost && !strict()))
			continue;
		now = get_option(fd, options[i].level, options[i].name);
		if (now != wanted[i])
			return fail("%s is %d instead of %d", options[i].text, now, wanted[i]);
	}
	if (getsockopt(sockets[UDP4], SOL_SOCKET, SO_GET_FILTER, got, &n) < 0 ||
	    n != ARRAY_SIZE(got) || memcmp(got, program, sizeof(got)))
		return fail("the filter changed");
	n = sizeof(linger);
	if (getsockopt(sockets[TCP4], SOL_SOCKET, SO_LINGER, &linger, &n) < 0 || !linger.l_onoff ||
	    linger.l_linger != 12)
		return fail("SO_LINGER changed");
	n = sizeof(tv);
	if (getsockopt(sockets[UDP4], SOL_SOCKET, SO_RCVTIMEO, &tv, &n) < 0 || tv.tv_sec != 3)
		return fail("SO_RCVTIMEO changed");
	n = sizeof(algorithm);
	if (strict() &&
	    (getsockopt(sockets[TCP4], IPPROTO_TCP, TCP_CONGESTION, algorithm, &n) < 0 ||
	     strcmp(algorithm, "reno")))
		return fail("TCP_CONGESTION is '%.15s'", algorithm);
	return WL_OK;
}

/* ---- ports that are shared ---- */

static struct {
	int listeners[2], datagrams[2], former[2];
	struct sockaddr_in listening, receiving, formerly;
} shared;

static int share(int type, int option, int fds[2], struct sockaddr_in *address)
{
	for (int i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, type | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || set_option(fds[i], SOL_SOCKET, option, 1) < 0 ||
		    bind_to(fds[i], i ? address->sin_port : 0, address) < 0)
			return fail_errno("sharing a port");
		if (type == SOCK_STREAM && listen(fds[i], 5) < 0)
			return fail_errno("listen");
	}
	return WL_OK;
}

static int shared_setup(void)
{
	int r = share(SOCK_STREAM, SO_REUSEPORT, shared.listeners, &shared.listening);

	if (r == WL_OK)
		r = share(SOCK_DGRAM, SO_REUSEPORT, shared.datagrams, &shared.receiving);
	if (r == WL_OK)
		r = share(SOCK_DGRAM, SO_REUSEADDR, shared.former, &shared.formerly);
	/* they stay where they are, but nobody else may come */
	for (int i = 0; i < 2 && r == WL_OK; i++)
		if (set_option(shared.former[i], SOL_SOCKET, SO_REUSEADDR, 0) < 0)
			r = fail_errno("SO_REUSEADDR");
	return r;
}

static int shared_check(const int fds[2], const struct sockaddr_in *want, int addr, int port)
{
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in now;
		socklen_t len = sizeof(now);

		if (getsockname(fds[i], (struct sockaddr *)&now, &len) < 0 ||
		    now.sin_port != want->sin_port)
			return fail("another port");
		if (get_option(fds[i], SOL_SOCKET, SO_REUSEADDR) != addr ||
		    get_option(fds[i], SOL_SOCKET, SO_REUSEPORT) != port)
			return fail("SO_REUSEADDR or SO_REUSEPORT of a shared port changed");
	}
	return WL_OK;
}

static int shared_verify(void)
{
	int r = shared_check(shared.listeners, &shared.listening, 0, 1);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a;

	if (r == WL_OK)
		r = shared_check(shared.datagrams, &shared.receiving, 0, 1);
	if (r == WL_OK)
		r = shared_check(shared.former, &shared.formerly, 0, 0);
	if (r == WL_OK && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
	    bind_to(fd, shared.formerly.sin_port, &a) == 0)
		r = fail("a port that nobody shares any more was given away");
	close(fd);
	return r;
}

/* ---- multicast groups ---- */

static struct {
	int fd, filtered;
	struct sockaddr_in address;
	uint32_t lo;
} groups;

static const char group_text[] = "\xef\x01\x02\x03"; /* 239.1.2.3 */

static void put_v4(struct sockaddr_storage *ss, const void *addr)
{
	memset(ss, 0, sizeof(*ss));
	ss->ss_family = AF_INET;
	memcpy(&((struct sockaddr_in *)ss)->sin_addr, addr, 4);
}

static int groups_setup(void)
{
	struct group_source_req sender;
	struct group_req req;
	struct in_addr here = { htonl(INADDR_LOOPBACK) };
	struct sockaddr_in any = { .sin_family = AF_INET };
	socklen_t len = sizeof(any);

	groups.lo = req.gr_interface = sender.gsr_interface = if_nametoindex("lo");
	put_v4(&req.gr_group, group_text);
	put_v4(&sender.gsr_group, group_text);
	put_v4(&sender.gsr_source, &here);
	groups.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	groups.filtered = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (groups.fd < 0 || bind(groups.fd, (struct sockaddr *)&any, len) < 0 ||
	    getsockname(groups.fd, (struct sockaddr *)&groups.address, &len) < 0)
		return fail_errno("a socket for a group");
	if (setsockopt(groups.fd, IPPROTO_IP, MCAST_JOIN_GROUP, &req, sizeof(req)) < 0 ||
	    setsockopt(groups.fd, IPPROTO_IP, IP_MULTICAST_IF, &here, sizeof(here)) < 0 ||
	    setsockopt(groups.filtered, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &sender,
		       sizeof(sender)) < 0)
		return skip("the loopback device takes no groups");
	return WL_OK;
}

static int groups_verify(void)
{
	char memory[GROUP_FILTER_SIZE(4)] __attribute__((aligned(8))) = { 0 };
	struct group_filter *gf = (void *)memory;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = groups.address.sin_port };
	struct pollfd p = { .fd = groups.fd, .events = POLLIN };
	socklen_t len = sizeof(memory);
	char c;

	gf->gf_interface = groups.lo;
	gf->gf_numsrc = 4;
	put_v4(&gf->gf_group, group_text);
	if (getsockopt(groups.filtered, IPPROTO_IP, MCAST_MSFILTER, gf, &len) < 0 ||
	    gf->gf_fmode != MCAST_INCLUDE || gf->gf_numsrc != 1)
		return fail("the senders of a group changed");
	memcpy(&to.sin_addr, group_text, 4);
	if (sendto(groups.fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1)
		return fail_errno("sending to a group");
	if (poll(&p, 1, 5000) != 1 || recv(groups.fd, &c, 1, 0) != 1 || c != 'x')
		return fail("a group's packet does not come");
	return WL_OK;
}

/* ---- raw and ICMP sockets ---- */

/* <linux/icmp.h> does not go with <net/if.h>. */
enum { OWN_ICMP_FILTER = 1, NO_TIMESTAMPS = 1 << 13 };

static struct {
	int icmp, connected, ping;
	struct sockaddr_in ping_address;
} raw;

static int raw_setup(void)
{
	uint32_t filter = NO_TIMESTAMPS;
	struct sockaddr_in to = loopback(0);

	raw.icmp = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (raw.icmp < 0)
		return skip("no raw sockets: %s", strerrordesc_np(errno));
	raw.connected = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 253);
	if (setsockopt(raw.icmp, IPPROTO_RAW, OWN_ICMP_FILTER, &filter, sizeof(filter)) < 0 ||
	    set_option(raw.connected, IPPROTO_IP, IP_HDRINCL, 1) < 0 ||
	    connect(raw.connected, (struct sockaddr *)&to, sizeof(to)) < 0)
		return fail_errno("options of a raw socket");
	/* not everybody may have one, even with all capabilities */
	raw.ping = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (raw.ping >= 0 && bind_to(raw.ping, 0, &raw.ping_address) < 0)
		return fail_errno("binding an ICMP socket");
	return WL_OK;
}

static int raw_peer(void)
{
	struct sockaddr_in now = { 0 };
	socklen_t len = sizeof(now);

	/* a peer without a port is not told, but has made the socket take an address */
	if (getsockname(raw.connected, (struct sockaddr *)&now, &len) < 0 ||
	    now.sin_addr.s_addr != htonl(INADDR_LOOPBACK))
		return fail("a raw socket has lost its address");
	if (send(raw.connected, "", 0, 0) < 0 && errno == EDESTADDRREQ)
		return fail("a raw socket has lost its peer");
	return WL_OK;
}

static int raw_verify(void)
{
	uint32_t filter = 0;
	struct sockaddr_in now;
	socklen_t len = sizeof(filter);

	if (getsockopt(raw.icmp, IPPROTO_RAW, OWN_ICMP_FILTER, &filter, &len) < 0 ||
	    filter != NO_TIMESTAMPS)
		return fail("the ICMP filter changed");
	if (get_option(raw.connected, IPPROTO_IP, IP_HDRINCL) != 1)
		return fail("IP_HDRINCL changed");
	if (strict() && raw_peer() != WL_OK)
		return WL_FAIL;
	len = sizeof(now);
	if (strict() && raw.ping >= 0 &&
	    (getsockname(raw.ping, (struct sockaddr *)&now, &len) < 0 ||
	     now.sin_port != raw.ping_address.sin_port))
		return fail("the id of an ICMP socket changed");
	return WL_OK;
}

/* ---- TCP sockets without a connection ---- */

static struct {
	int fresh, bound, ended;
	struct sockaddr_in address, peer;
} closed;

/* A connection of which both sides have closed, the server first: nothing of it is left to wait
 * for. */
static int end_connection(void)
{
	struct sockaddr_in a;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;
	struct pollfd p = { .events = POLLIN };
	char c;

	closed.ended = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind_to(listener, 0, &a) < 0 || listen(listener, 1) < 0 ||
	    connect(closed.ended, (struct sockaddr *)&a, sizeof(a)) < 0)
		return fail_errno("connecting");
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	closed.peer = a;
	close(listener);
	close(server);
	p.fd = closed.ended;
	if (poll(&p, 1, 5000) != 1 || recv(closed.ended, &c, 1, 0) != 0 ||
	    shutdown(closed.ended, SHUT_WR) < 0)
		return fail_errno("ending a connection");
	p.events = 0;
	return poll(&p, 1, 5000) == 1 && p.revents & POLLHUP ? WL_OK
							     : fail("the connection does not end");
}

static int closed_setup(void)
{
	closed.fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	closed.bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (closed.fresh < 0 || closed.bound < 0)
		return skip("no TCP");
	if (bind_to(closed.bound, 0, &closed.address) < 0)
		return fail_errno("binding");
	return end_connection();
}

static int closed_verify(void)
{
	struct sockaddr_in now;
	socklen_t len = sizeof(now);
	char c;

	if (recv(closed.fresh, &c, 1, MSG_DONTWAIT) >= 0 || errno != ENOTCONN)
		return fail("a fresh TCP socket is not what it was");
	if (getsockname(closed.bound, (struct sockaddr *)&now, &len) < 0 ||
	    now.sin_port != closed.address.sin_port)
		return fail("a bound TCP socket has another port");
	if (recv(closed.ended, &c, 1, MSG_DONTWAIT) != 0)
		return fail("an ended connection does not tell its end");
	len = sizeof(now);
	if (param("peer", 0) &&
	    (getsockopt(closed.ended, SOL_SOCKET, SO_PEERNAME, &now, &len) < 0 ||
	     now.sin_port != closed.peer.sin_port))
		return fail("an ended connection tells another peer");
	if (send(closed.ended, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno != EPIPE)
		return fail("an ended connection takes data");
	return WL_OK;
}

/* ---- unread datagrams ---- */

enum { N_UNREAD = 5 };

/* Of each family: one that is connected to its sender, and one that takes from everybody. */
static struct {
	int connected, open, sender;
	struct sockaddr_in6 open_address, sender_address;
	socklen_t len;
} unread[2];

static socklen_t any_loopback(struct sockaddr_in6 *a, int family)
{
	struct sockaddr_in v4 = loopback(0);

	memset(a, 0, sizeof(*a));
	a->sin6_family = AF_INET6;
	a->sin6_addr = in6addr_loopback;
	if (family == AF_INET)
		memcpy(a, &v4, sizeof(v4));
	return family == AF_INET ? sizeof(v4) : sizeof(*a);
}

/* Lengths of 0, of odd numbers, and of the largest that there is. */
static size_t unread_size(int i)
{
	return i == 2 ? 0 : i == 3 ? 60001 : 100 + (size_t)i;
}

static int unread_send(int k)
{
	static unsigned char data[65536];
	struct sockaddr_in6 to;
	socklen_t len = sizeof(to);

	if (getsockname(unread[k].connected, (struct sockaddr *)&to, &len) < 0)
		return fail_errno("getsockname");
	for (int i = 0; i < N_UNREAD; i++) {
		ssize_t n = (ssize_t)unread_size(i);

		pattern_fill(data, (size_t)n, 200 + (uint64_t)i);
		if (sendto(unread[k].sender, data, (size_t)n, 0, (struct sockaddr *)&to, len) !=
			    n ||
		    sendto(unread[k].sender, data, (size_t)n, 0,
			   (struct sockaddr *)&unread[k].open_address, unread[k].len) != n)
			return fail_errno("sending");
	}
	return WL_OK;
}

static int unread_make(int k, int family)
{
	struct sockaddr_in6 a;
	socklen_t len = any_loopback(&a, family), any_len = len;

	unread[k].len = len;
	unread[k].connected = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unread[k].open = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unread[k].sender = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (unread[k].sender < 0 || bind(unread[k].sender, (struct sockaddr *)&a, len) < 0) {
		unread[k].sender = -1;
		return family == AF_INET6 ? WL_OK : skip("no loopback network");
	}
	getsockname(unread[k].sender, (struct sockaddr *)&unread[k].sender_address, &len);
	if (bind(unread[k].connected, (struct sockaddr *)&a, len) < 0 ||
	    connect(unread[k].connected, (struct sockaddr *)&unread[k].sender_address, len) < 0)
		return fail_errno("connecting");
	/* bound to all addresses of the machine */
	memset((char *)&a + 4, 0, sizeof(a) - 4);
	if (bind(unread[k].open, (struct sockaddr *)&a, len) < 0 ||
	    getsockname(unread[k].open, (struct sockaddr *)&a, &len) < 0)
		return fail_errno("binding");
	any_loopback(&unread[k].open_address, family);
	unread[k].open_address.sin6_port = a.sin6_port;
	unread[k].len = any_len;
	return unread_send(k);
}

static int unread_setup(void)
{
	int r = unread_make(0, AF_INET);

	return r == WL_OK ? unread_make(1, AF_INET6) : r;
}

static int unread_receive(int k, int fd, const char *what)
{
	static unsigned char data[65536];

	for (int i = 0; i < N_UNREAD; i++) {
		struct sockaddr_in6 from = { 0 };
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from,
				     &len);

		if (n != (ssize_t)unread_size(i))
			return fail("%s: datagram %d has %zd bytes", what, i, n);
		if (pattern_check(data, (size_t)n, 200 + (uint64_t)i, what) != WL_OK)
			return WL_FAIL;
		if (memcmp(&from, &unread[k].sender_address, len))
			return fail("%s: datagram %d has another sender", what, i);
	}
	return recv(fd, data, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN
		       ? WL_OK
		       : fail("%s: more than was sent", what);
}

static int unread_verify(void)
{
	for (int k = 0; k < 2; k++) {
		if (unread[k].sender < 0)
			continue;
		if (unread_receive(k, unread[k].connected, "connected") != WL_OK ||
		    unread_receive(k, unread[k].open, "open") != WL_OK || unread_send(k) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

/* ---- what cannot be kept ---- */

enum { ODD_CORKED, ODD_UNSENT, ODD_WAITING, ODD_MPTCP };

static struct {
	int fd, other;
} odd;

static int odd_waiting(void)
{
	struct sockaddr_in a;

	odd.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	odd.other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind_to(odd.fd, 0, &a) < 0 || listen(odd.fd, 3) < 0 ||
			       connect(odd.other, (struct sockaddr *)&a, sizeof(a)) < 0
		       ? fail_errno("a connection that waits")
		       : WL_OK;
}

static int odd_udp(bool corked)
{
	struct sockaddr_in to = loopback(htons(9));

	odd.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (connect(odd.fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return fail_errno("connect");
	if (corked)
		return set_option(odd.fd, IPPROTO_UDP, 1 /* UDP_CORK */, 1) < 0 ? fail_errno("cork")
										: WL_OK;
	return send(odd.fd, "part", 4, MSG_MORE) != 4 ? fail_errno("MSG_MORE") : WL_OK;
}

static int odd_setup(void)
{
	switch (param("what", 0)) {
	case ODD_CORKED:
		return odd_udp(true);
	case ODD_UNSENT:
		return odd_udp(false);
	case ODD_WAITING:
		return odd_waiting();
	case ODD_MPTCP:
		odd.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262 /* IPPROTO_MPTCP */);
		break;
	default:
		odd.fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
		break;
	}
	return odd.fd < 0 ? skip("no such sockets: %s", strerrordesc_np(errno)) : WL_OK;
}

static int odd_verify(void)
{
	return get_option(odd.fd, SOL_SOCKET, SO_TYPE) > 0 ? WL_OK : fail("the socket is gone");
}

static struct workload_param odd_params[] = {
	{ "what", 0, "0: corked, 1: a part of a datagram, 2: not accepted, 3: MPTCP, 4: vsock" },
	{ 0 },
};

static struct workload_param closed_params[] = {
	{ "peer", 0, "1: an ended connection tells its peer (--tcp-established)" },
	{ 0 },
};

static struct workload_param strict_param[] = { STRICT_PARAM, { 0 } };

const struct workload inet_more_workloads[] = {
	{ "inet-options", "options and filters", strict_param, options_setup, options_verify },
	{ "shared-ports", "listeners and receivers at one port", NULL, shared_setup,
	  shared_verify },
	{ "multicast", "groups and their senders", NULL, groups_setup, groups_verify },
	{ "raw", "raw and ICMP sockets", strict_param, raw_setup, raw_verify },
	{ "tcp-closed", "without a connection, or with an ended one", closed_params, closed_setup,
	  closed_verify },
	{ "udp-unread", "unread datagrams", NULL, unread_setup, unread_verify },
	{ "odd-socket", "what cannot be kept", odd_params, odd_setup, odd_verify },
	{ 0 },
};
