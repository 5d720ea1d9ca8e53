/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets: pairs with unread data, between processes and within one, and listeners. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/workloads/groups.h"
#include "tests/workloads/pipes.h"

/* ---- unix-pair ---- */

static struct pair {
	const char *name;
	int type;
	size_t messages[3]; /* sizes of what is queued from [1] to [0] */
	int fd[2];
} pairs[] = {
	{ "stream pair", SOCK_STREAM, { 30000, 1, 0 } },
	{ "datagram pair", SOCK_DGRAM, { 10, 4000, 700 } },
	{ "packet pair", SOCK_SEQPACKET, { 500, 5, 50 } },
};

static struct {
	int to_child[2], shut[2], options[2];
	struct station *station;
} ups;

static int send_bytes(int fd, size_t size, uint64_t seed)
{
	unsigned char data[32768];

	pattern_fill(data, size, seed);
	return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size ? WL_OK : fail_errno("send");
}

/* Reads what one send has put in; a peek first must give the same. */
static int recv_bytes(int fd, size_t size, uint64_t seed, const char *what)
{
	unsigned char data[32768];

	for (int peek = 1; peek >= 0; peek--) {
		ssize_t n = recv(fd, data, size, (peek ? MSG_PEEK : 0) | MSG_DONTWAIT | MSG_TRUNC);

		if (n != (ssize_t)size)
			return fail("%s: %zd bytes instead of %zu", what, n, size);
		if (pattern_check(data, size, seed, what) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

static int pair_fill(struct pair *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->messages); i++)
		if (p->messages[i] && send_bytes(p->fd[1], p->messages[i], 500 + i) != WL_OK)
			return WL_FAIL;
	return WL_OK;
}

static int pair_verify(struct pair *p)
{
	unsigned char byte;

	for (size_t i = 0; i < ARRAY_SIZE(p->messages); i++)
		if (p->messages[i] &&
		    recv_bytes(p->fd[0], p->messages[i], 500 + i, p->name) != WL_OK)
			return WL_FAIL;
	if (recv(p->fd[0], &byte, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN)
		return fail("%s: more data than there was", p->name);
	return pair_fill(p);
}

static int unix_child_verify(void *arg)
{
	int r = recv_bytes(ups.to_child[1], 2000, 510, "socket of the child");

	return r == WL_OK ? send_bytes(ups.to_child[1], 1500, 511) : r;
}

static void unix_child(void *arg)
{
	close(ups.to_child[0]);
	station_serve(ups.station, unix_child_verify, NULL);
}

static int options_setup(void)
{
	int one = 1, size = 50000;
	struct timeval timeout = { 12, 340000 };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ups.options) < 0 ||
	    setsockopt(ups.options[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
	    setsockopt(ups.options[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0 ||
	    setsockopt(ups.options[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    setsockopt(ups.options[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return fail_errno("socket options");
	return WL_OK;
}

static int options_verify(void)
{
	struct timeval timeout = { 0 };
	int sndbuf = 0, rcvbuf = 0, passcred = 0;
	socklen_t n = sizeof(int), t = sizeof(timeout);

	getsockopt(ups.options[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, &n);
	getsockopt(ups.options[0], SOL_SOCKET, SO_RCVBUF, &rcvbuf, &n);
	getsockopt(ups.options[0], SOL_SOCKET, SO_PASSCRED, &passcred, &n);
	getsockopt(ups.options[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, &t);
	/* The kernel doubles what it is given. */
	if (sndbuf != 100000 || rcvbuf != 100000)
		return fail("socket buffers are %d and %d", sndbuf, rcvbuf);
	if (passcred != 1)
		return fail("SO_PASSCRED is lost");
	/* The kernel counts in ticks, so it may round by one. */
	if (timeout.tv_sec != 12 || timeout.tv_usec < 330000 || timeout.tv_usec > 350000)
		return fail("SO_RCVTIMEO is %ld.%06ld", (long)timeout.tv_sec,
			    (long)timeout.tv_usec);
	if (!(fcntl(ups.options[0], F_GETFL) & O_NONBLOCK) ||
	    fcntl(ups.options[0], F_GETFD) != FD_CLOEXEC)
		return fail("flags of a socket changed");
	return WL_OK;
}

int unix_pair_setup(void)
{
	ups.station = stations_new(1);
	if (!ups.station || socketpair(AF_UNIX, SOCK_STREAM, 0, ups.to_child) < 0)
		return fail_errno("socketpair");
	if (child_start(unix_child, NULL) < 0)
		return fail_errno("fork");
	close(ups.to_child[1]);
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (socketpair(AF_UNIX, pairs[i].type | SOCK_CLOEXEC, 0, pairs[i].fd) < 0 ||
		    pair_fill(&pairs[i]) != WL_OK)
			return fail_errno("%s", pairs[i].name);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ups.shut) < 0 || shutdown(ups.shut[1], SHUT_WR) < 0)
		return fail_errno("shutdown");
	return options_setup() == WL_OK ? send_bytes(ups.to_child[0], 2000, 510) : WL_FAIL;
}

/* One direction is closed, the other works. */
static int shut_verify(void)
{
	char byte = 'b';

	if (recv(ups.shut[0], &byte, 1, MSG_DONTWAIT) != 0)
		return fail("a socket whose peer has shut down is not at its end");
	if (send(ups.shut[1], &byte, 1, MSG_NOSIGNAL) != -1 || errno != EPIPE)
		return fail("a shut socket can send");
	byte = 'c';
	if (send(ups.shut[0], &byte, 1, MSG_NOSIGNAL) != 1 ||
	    recv(ups.shut[1], &byte, 1, MSG_DONTWAIT) != 1 || byte != 'c')
		return fail("the open direction of a half-shut pair does not work");
	return WL_OK;
}

int unix_pair_verify(void)
{
	int r = WL_OK;

	for (size_t i = 0; i < ARRAY_SIZE(pairs) && r == WL_OK; i++)
		r = pair_verify(&pairs[i]);
	if (r == WL_OK)
		r = shut_verify();
	if (r == WL_OK)
		r = options_verify();
	if (r == WL_OK)
		r = station_ask(ups.station, "child with a socket");
	if (r == WL_OK)
		r = recv_bytes(ups.to_child[0], 1500, 511, "socket to the child");
	return r == WL_OK ? send_bytes(ups.to_child[0], 2000, 510) : r;
}

/* ---- unix-listen: by path and by abstract name, with a client that is connected ---- */

static struct listener {
	const char *name;
	bool abstract;
	int type, fd, client, server;
	struct sockaddr_un addr;
	socklen_t len;
} listeners[] = {
	{ "stream listener", false, SOCK_STREAM },
	{ "packet listener", false, SOCK_SEQPACKET },
	{ "abstract listener", true, SOCK_STREAM },
};

static void listener_address(struct listener *l)
{
	size_t n;

	l->addr.sun_family = AF_UNIX;
	if (l->abstract)
		n = (size_t)snprintf(l->addr.sun_path + 1, sizeof(l->addr.sun_path) - 1,
				     "workload-%d", getpid()) +
		    1;
	else
		n = (size_t)snprintf(l->addr.sun_path, sizeof(l->addr.sun_path), "%s",
				     path_in(l->type == SOCK_STREAM ? "sock" : "packets")) +
		    1;
	l->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static int listener_connect(struct listener *l, int *ret_client, int *ret_server)
{
	int client = socket(AF_UNIX, l->type | SOCK_CLOEXEC, 0), server;

	if (client < 0 || connect(client, (struct sockaddr *)&l->addr, l->len) < 0)
		return fail_errno("%s: connecting", l->name);
	server = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0)
		return fail_errno("%s: accepting", l->name);
	*ret_client = client;
	*ret_server = server;
	return WL_OK;
}

static int listen_setup(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
		struct listener *l = &listeners[i];

		listener_address(l);
		if (l->len > sizeof(l->addr))
			return skip("the path of the folder is too long for a socket");
		l->fd = socket(AF_UNIX, l->type | SOCK_CLOEXEC, 0);
		if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&l->addr, l->len) < 0 ||
		    listen(l->fd, 9) < 0)
			return fail_errno("%s", l->name);
		if (!l->abstract && chmod(l->addr.sun_path, 0640) < 0)
			return fail_errno("chmod");
		if (listener_connect(l, &l->client, &l->server) != WL_OK ||
		    send_bytes(l->client, 300, 520 + i) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

static int listener_verify_names(const struct listener *l)
{
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof(addr);
	int listening = 0;
	struct stat st;

	getsockopt(l->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &(socklen_t){ sizeof(int) });
	if (!listening)
		return fail("%s: does not listen", l->name);
	if (strict() && (getpeername(l->client, (struct sockaddr *)&addr, &len) < 0 ||
			 memcmp(addr.sun_path, l->addr.sun_path, 20)))
		return fail("%s: the client's peer has another name", l->name);
	len = sizeof(addr);
	if (getsockname(l->fd, (struct sockaddr *)&addr, &len) < 0 || len != l->len)
		return fail("%s: has another name", l->name);
	if (!l->abstract && (stat(l->addr.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode) ||
			     (st.st_mode & 0777) != 0640))
		return fail("%s: its file is gone or has another mode", l->name);
	return WL_OK;
}

static int listen_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
		struct listener *l = &listeners[i];
		int client, server, r;

		if (listener_verify_names(l) != WL_OK ||
		    recv_bytes(l->server, 300, 520 + i, l->name) != WL_OK ||
		    send_bytes(l->client, 300, 520 + i) != WL_OK)
			return WL_FAIL;
		if (listener_connect(l, &client, &server) != WL_OK)
			return WL_FAIL;
		r = send_bytes(server, 77, 530);
		if (r == WL_OK)
			r = recv_bytes(client, 77, 530, "new connection");
		close(client);
		close(server);
		if (r != WL_OK)
			return r;
	}
	return WL_OK;
}

/* ---- unix-chain ---- */

/*
 * Datagram sockets that are connected to the next one, which is connected to another and takes
 * nothing from them any more, but for the last.
 */
enum { CHAIN = 4 };
static int chain[CHAIN];
static struct sockaddr_un chain_names[CHAIN];

static int chain_setup(void)
{
	int i;

	for (i = 0; i < CHAIN; i++) {
		struct sockaddr_un *name = &chain_names[i];

		name->sun_family = AF_UNIX;
		snprintf(name->sun_path, sizeof(name->sun_path), "%s",
			 path_in((char[]){ 'c', (char)('0' + i), 0 }));
		chain[i] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (chain[i] < 0 || bind(chain[i], (struct sockaddr *)name, sizeof(*name)) < 0)
			return fail_errno("socket %d", i);
	}
	for (i = 0; i < CHAIN - 1; i++)
		if (connect(chain[i], (struct sockaddr *)&chain_names[i + 1],
			    sizeof(chain_names[i])) < 0)
			return fail_errno("connecting socket %d", i);
	return WL_OK;
}

static int chain_verify(void)
{
	for (int i = 0; i < CHAIN - 1; i++) {
		struct sockaddr_un peer = { 0 };
		socklen_t len = sizeof(peer);

		if (getpeername(chain[i], (struct sockaddr *)&peer, &len) < 0 ||
		    strcmp(peer.sun_path, chain_names[i + 1].sun_path) != 0)
			return fail("socket %d is connected to '%s'", i, peer.sun_path);
	}
	if (send_bytes(chain[CHAIN - 2], 100, 540) != WL_OK)
		return WL_FAIL;
	if (send(chain[0], "", 1, MSG_DONTWAIT) >= 0 || errno != EPERM)
		return fail("a socket takes what is from a third");
	return recv_bytes(chain[CHAIN - 1], 100, 540, "the last");
}

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

const struct workload unix_workloads[] = {
	{ "unix-pair", "socket pairs with unread data, one with a child, one half shut", NULL,
	  unix_pair_setup, unix_pair_verify },
	{ "unix-listen", "listeners by path and abstract name, with connections", strict_params,
	  listen_setup, listen_verify },
	{ "unix-chain", "datagram sockets, each connected to one that was made later", NULL,
	  chain_setup, chain_verify },
	{ 0 },
};
