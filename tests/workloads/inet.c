/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP and TCP over the loopback device. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t loopback(union address *a, int family)
{
	memset(a, 0, sizeof(*a));
	a->any.sa_family = (sa_family_t)family;
	if (family == AF_INET6) {
		a->v6.sin6_addr = in6addr_loopback;
		return sizeof(a->v6);
	}
	a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(a->v4);
}

static in_port_t *port_of(union address *a)
{
	return a->any.sa_family == AF_INET6 ? &a->v6.sin6_port : &a->v4.sin_port;
}

/* A new network namespace has its loopback device down. */
static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_UP)) {
		ifr.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &ifr);
	}
	if (fd >= 0)
		close(fd);
}

/* A bound socket; *ret gets its address with the port the kernel has chosen. -1 on failure. */
static int bound(int family, int type, union address *ret)
{
	socklen_t len = loopback(ret, family);
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, &ret->any, len) == 0 && getsockname(fd, &ret->any, &len) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int get_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t n = sizeof(value);

	return getsockopt(fd, level, option, &value, &n) < 0 ? -1 : value;
}

static int same_name(int fd, const union address *want, const char *what)
{
	union address now;
	socklen_t len = sizeof(now);

	if (getsockname(fd, &now.any, &len) < 0 ||
	    *port_of(&now) != *port_of((union address *)want))
		return fail("%s: another port", what);
	return WL_OK;
}

/* A family that this machine does not have is left out, but one must be there. */
static const int families[] = { AF_INET, AF_INET6 };

static const char *family_name(int i)
{
	return families[i] == AF_INET ? "IPv4" : "IPv6";
}

/* ---- udp ---- */

static struct {
	int server, client;
	union address server_address, client_address;
} udp[2];

static int udp_setup(void)
{
	int one = 1, made = 0;

	loopback_up();
	for (int i = 0; i < 2; i++) {
		socklen_t len = loopback(&udp[i].server_address, families[i]);

		udp[i].server = bound(families[i], SOCK_DGRAM, &udp[i].server_address);
		udp[i].client = bound(families[i], SOCK_DGRAM, &udp[i].client_address);
		if (udp[i].server < 0 || udp[i].client < 0)
			continue;
		if (connect(udp[i].client, &udp[i].server_address.any, len) < 0)
			return fail_errno("connect");
		setsockopt(udp[i].server, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
		setsockopt(udp[i].server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		made++;
	}
	return made ? WL_OK : skip("no loopback network: %s", strerrordesc_np(errno));
}

static int udp_exchange(int i)
{
	union address from;
	socklen_t len = sizeof(from);
	unsigned char data[1000], got[1000];
	struct pollfd p = { .fd = udp[i].server, .events = POLLIN };

	pattern_fill(data, sizeof(data), 80);
	/* The client is connected; the answer must come from the one it is connected to. */
	if (send(udp[i].client, data, sizeof(data), 0) != sizeof(data) || poll(&p, 1, 5000) != 1)
		return fail_errno("%s: sending", family_name(i));
	if (recvfrom(udp[i].server, got, sizeof(got), 0, &from.any, &len) != sizeof(got) ||
	    memcmp(data, got, sizeof(got)))
		return fail("%s: the datagram changed", family_name(i));
	if (*port_of(&from) != *port_of(&udp[i].client_address))
		return fail("%s: the client sends from another port", family_name(i));
	p.fd = udp[i].client;
	if (sendto(udp[i].server, data, 10, 0, &from.any, len) != 10 || poll(&p, 1, 5000) != 1 ||
	    recv(udp[i].client, got, sizeof(got), 0) != 10)
		return fail_errno("%s: answering", family_name(i));
	return WL_OK;
}

static int udp_verify(void)
{
	for (int i = 0; i < 2; i++) {
		if (udp[i].server < 0 || udp[i].client < 0)
			continue;
		if (same_name(udp[i].server, &udp[i].server_address, "UDP server") != WL_OK ||
		    same_name(udp[i].client, &udp[i].client_address, "UDP client") != WL_OK)
			return WL_FAIL;
		if (get_option(udp[i].server, SOL_SOCKET, SO_BROADCAST) != 1 ||
		    get_option(udp[i].server, SOL_SOCKET, SO_REUSEADDR) != 1 ||
		    get_option(udp[i].client, SOL_SOCKET, SO_BROADCAST) != 0)
			return fail("%s: options of a UDP socket changed", family_name(i));
		if (udp_exchange(i) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

/* ---- tcp ---- */

static int send_all(int fd, const unsigned char *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = send(fd, data + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			return fail_errno("sending after %zu of %zu bytes", at, size);
		at += (size_t)n;
	}
	return WL_OK;
}

static int send_pattern(int fd, size_t size, uint64_t seed)
{
	static unsigned char data[1 << 20];

	pattern_fill(data, size, seed);
	return send_all(fd, data, size);
}

static int recv_pattern(int fd, size_t size, uint64_t seed, const char *what)
{
	static unsigned char data[1 << 20];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (size_t at = 0; at < size;) {
		ssize_t n = poll(&p, 1, 10000) == 1 ? recv(fd, data + at, size - at, 0) : -1;

		if (n <= 0)
			return fail("%s: %zu bytes of %zu, then %s", what, at, size,
				    n == 0 ? "the end" : strerrordesc_np(errno));
		at += (size_t)n;
	}
	return pattern_check(data, size, seed, what);
}

static int tcp_connect(int listener, const union address *to, int *ret_client, int *ret_server)
{
	int client = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = listener, .events = POLLIN };

	if (client < 0 ||
	    connect(client, &to->any,
		    to->any.sa_family == AF_INET6 ? sizeof(to->v6) : sizeof(to->v4)) < 0)
		return fail_errno("connecting");
	*ret_server = poll(&p, 1, 5000) == 1 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
	*ret_client = client;
	return *ret_server < 0 ? fail_errno("accepting") : WL_OK;
}

static struct {
	int fd;
	union address address;
} listeners[2];

static int tcp_listen_setup(void)
{
	int one = 1, made = 0;

	loopback_up();
	for (int i = 0; i < 2; i++) {
		listeners[i].fd = bound(families[i], SOCK_STREAM, &listeners[i].address);
		if (listeners[i].fd < 0)
			continue;
		setsockopt(listeners[i].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(listeners[i].fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(listeners[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (listen(listeners[i].fd, 13) < 0)
			return fail_errno("listen");
		made++;
	}
	return made ? WL_OK : skip("no loopback network: %s", strerrordesc_np(errno));
}

static int tcp_listener_verify(int i)
{
	int client, server, r;

	if (same_name(listeners[i].fd, &listeners[i].address, "TCP listener") != WL_OK)
		return WL_FAIL;
	if (get_option(listeners[i].fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return fail("%s: does not listen any more", family_name(i));
	if (get_option(listeners[i].fd, SOL_SOCKET, SO_REUSEADDR) != 1 ||
	    get_option(listeners[i].fd, SOL_SOCKET, SO_KEEPALIVE) != 1 ||
	    get_option(listeners[i].fd, IPPROTO_TCP, TCP_NODELAY) != 1)
		return fail("%s: options of a listener changed", family_name(i));
	r = tcp_connect(listeners[i].fd, &listeners[i].address, &client, &server);
	if (r == WL_OK)
		r = send_pattern(client, 5000, 81);
	if (r == WL_OK)
		r = recv_pattern(server, 5000, 81, "new connection");
	if (r == WL_OK) {
		close(client);
		close(server);
	}
	return r;
}

static int tcp_listen_verify(void)
{
	for (int i = 0; i < 2; i++)
		if (listeners[i].fd >= 0 && tcp_listener_verify(i) != WL_OK)
			return WL_FAIL;
	return WL_OK;
}

/* Unread data in both directions; one side has its options changed. */
static struct {
	int client, server;
	union address client_address;
} streams[2];

enum { TO_SERVER = 100000, TO_CLIENT = 3000 };

static int stream_fill(int i)
{
	if (send_pattern(streams[i].client, TO_SERVER, 90) != WL_OK)
		return WL_FAIL;
	return send_pattern(streams[i].server, TO_CLIENT, 91);
}

static int tcp_established_setup(void)
{
	int one = 1, idle = 333, r = tcp_listen_setup();

	for (int i = 0; i < 2 && r == WL_OK; i++) {
		socklen_t len = sizeof(streams[i].client_address);

		if (listeners[i].fd < 0)
			continue;
		r = tcp_connect(listeners[i].fd, &listeners[i].address, &streams[i].client,
				&streams[i].server);
		if (r != WL_OK)
			break;
		getsockname(streams[i].client, &streams[i].client_address.any, &len);
		setsockopt(streams[i].client, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(streams[i].client, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		setsockopt(streams[i].client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		r = stream_fill(i);
	}
	return r;
}

static int stream_verify(int i)
{
	struct pollfd p = { .fd = streams[i].server, .events = POLLIN };

	if (same_name(streams[i].client, &streams[i].client_address, "TCP client") != WL_OK)
		return WL_FAIL;
	if (get_option(streams[i].client, SOL_SOCKET, SO_KEEPALIVE) != 1 ||
	    get_option(streams[i].client, IPPROTO_TCP, TCP_KEEPIDLE) != 333 ||
	    get_option(streams[i].client, IPPROTO_TCP, TCP_NODELAY) != 1)
		return fail("%s: options of a connection changed", family_name(i));
	if (recv_pattern(streams[i].server, TO_SERVER, 90, "data to the server") != WL_OK ||
	    recv_pattern(streams[i].client, TO_CLIENT, 91, "data to the client") != WL_OK)
		return WL_FAIL;
	if (poll(&p, 1, 0) != 0)
		return fail("%s: more data than was sent, or the end", family_name(i));
	return stream_fill(i);
}

static int tcp_established_verify(void)
{
	for (int i = 0; i < 2; i++)
		if (listeners[i].fd >= 0 && stream_verify(i) != WL_OK)
			return WL_FAIL;
	return tcp_listen_verify();
}

const struct workload inet_workloads[] = {
	{ "udp", "bound and connected sockets", NULL, udp_setup, udp_verify },
	{ "tcp-listen", "listeners", NULL, tcp_listen_setup, tcp_listen_verify },
	{ "tcp-established", "connections with unread data, both ends here", NULL,
	  tcp_established_setup, tcp_established_verify },
	{ 0 },
};
