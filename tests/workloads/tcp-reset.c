/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection whose one side was reset, and whose other side does not know it yet. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { STATE_CLOSE = 7, RECV_QUEUE = 1, NO_QUEUE = 0 };

static struct {
	int client, server;
} ends;

static const char unread[] = "not read yet";

/* The next byte that the socket waits for. */
static int next_seq(int sk, uint32_t *ret)
{
	int on = 1, off = 0, queue = RECV_QUEUE, none = NO_QUEUE;
	socklen_t len = sizeof(*ret);

	if (setsockopt(sk, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		return skip("TCP_REPAIR: %s", strerror(errno));
	if (setsockopt(sk, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
	    getsockopt(sk, IPPROTO_TCP, TCP_QUEUE_SEQ, ret, &len) < 0 ||
	    setsockopt(sk, IPPROTO_TCP, TCP_REPAIR_QUEUE, &none, sizeof(none)) < 0 ||
	    setsockopt(sk, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) < 0)
		return fail_errno("reading a sequence number");
	return WL_OK;
}

static uint16_t checksum(const void *data, size_t len)
{
	const uint16_t *w = data;
	uint32_t sum = 0;

	while (len) {
		sum += *w++;
		len -= 2;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* As if it came from the server. */
static int send_reset(const struct sockaddr_in *server, const struct sockaddr_in *client,
		      uint32_t seq)
{
	struct {
		uint32_t src, dst;
		uint8_t zero, protocol;
		uint16_t len;
		struct tcphdr tcp;
	} p = { .src = server->sin_addr.s_addr,
		.dst = client->sin_addr.s_addr,
		.protocol = IPPROTO_TCP,
		.len = htons(sizeof(p.tcp)),
		.tcp = { .source = server->sin_port,
			 .dest = client->sin_port,
			 .seq = htonl(seq),
			 .doff = sizeof(p.tcp) / 4,
			 .rst = 1 } };
	struct sockaddr_in to = *client;
	int sk = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP), r;

	if (sk < 0)
		return skip("a raw socket: %s", strerror(errno));
	p.tcp.check = checksum(&p, sizeof(p));
	to.sin_port = 0;
	r = sendto(sk, &p.tcp, sizeof(p.tcp), 0, (struct sockaddr *)&to, sizeof(to)) < 0
		    ? fail_errno("sending a reset")
		    : WL_OK;
	close(sk);
	return r;
}

static int connect_ends(struct sockaddr_in *server, struct sockaddr_in *client)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*server);

	*server = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_addr = { htonl(INADDR_LOOPBACK) } };
	ends.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)server, len) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)server, &len) < 0 ||
	    connect(ends.client, (struct sockaddr *)server, len) < 0 ||
	    getsockname(ends.client, (struct sockaddr *)client, &len) < 0)
		return fail_errno("connecting");
	ends.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	return ends.server < 0 ? fail_errno("accepting") : WL_OK;
}

static int state_of(int sk)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(sk, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? -1 : info.tcpi_state;
}

static int reset_setup(void)
{
	struct sockaddr_in server, client;
	struct pollfd p;
	uint32_t seq = 0;
	int r = connect_ends(&server, &client), error;
	socklen_t len = sizeof(error);

	if (r == WL_OK && send(ends.server, unread, sizeof(unread), 0) != sizeof(unread))
		return fail_errno("sending");
	p = (struct pollfd){ .fd = ends.client, .events = POLLIN };
	if (r == WL_OK && poll(&p, 1, 5000) != 1)
		return fail("nothing comes");
	if (r == WL_OK)
		r = next_seq(ends.client, &seq);
	if (r == WL_OK)
		r = send_reset(&server, &client, seq);
	p.events = 0;
	if (r == WL_OK && poll(&p, 1, 5000) != 1)
		return fail("the reset does not come");
	/* an error that nobody has asked for is not kept */
	if (r == WL_OK && getsockopt(ends.client, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return fail_errno("SO_ERROR");
	return r;
}

static int reset_verify(void)
{
	char data[sizeof(unread) + 1];

	/* the other side learns it by the first packet that it sends, as when repair mode ends */
	if (state_of(ends.client) != STATE_CLOSE)
		return fail("the socket is in state %d", state_of(ends.client));
	if (recv(ends.client, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT) != sizeof(unread) ||
	    memcmp(data, unread, sizeof(unread)) != 0)
		return fail("what was not read is gone");
	if (send(ends.client, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno != EPIPE)
		return fail("an ended connection takes data");
	return WL_OK;
}

const struct workload tcp_reset_workloads[] = {
	{ .name = "tcp-reset",
	  .help = "a connection that one side knows to be reset",
	  .setup = reset_setup,
	  .verify = reset_verify },
	{ 0 },
};
