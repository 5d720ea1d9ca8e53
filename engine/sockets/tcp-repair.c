/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/tcp-repair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/sockets/net-lock.h"
#include "engine/sockets/raw-packet.h"

int tcp_repair(int sk, bool on, struct err *err)
{
	int value = on;

	if (setsockopt(sk, IPPROTO_TCP, TCP_REPAIR, &value, sizeof(value)) == 0)
		return 0;
	err_sys(err, -errno, "turning repair mode %s", on ? "on" : "off");
	if (on && err->code == -EPERM)
		err_hint(err, "this needs CAP_NET_ADMIN over the network namespace");
	return err->code;
}

int tcp_end_repair(int sk, bool reuse, struct err *err)
{
	int value = reuse, r = tcp_repair(sk, false, err);

	if (r == 0 && setsockopt(sk, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)) < 0)
		return err_sys(err, -errno, "setting SO_REUSEADDR");
	return r;
}

int tcp_choose_queue(int sk, int queue, struct err *err)
{
	if (setsockopt(sk, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0)
		return err_sys(err, -errno, "choosing queue %d to repair", queue);
	return 0;
}

int tcp_fake_packet(const struct net_flow *flow, uint32_t seq, uint32_t ack, uint16_t window,
		    bool fin, struct err *err)
{
	/* of this protocol a socket takes and needs whole headers */
	cleanup_fd int sk = socket(flow->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct tcphdr tcp = { .source = htons(flow->dst_port),
			      .dest = htons(flow->src_port),
			      .seq = htonl(seq),
			      .ack_seq = htonl(ack),
			      .doff = sizeof(tcp) / 4,
			      .ack = 1,
			      .fin = fin,
			      .window = htons(window) };
	/* it comes from the peer */
	struct raw_packet p = { .family = flow->family,
				.protocol = IPPROTO_TCP,
				.src = flow->dst,
				.dst = flow->src,
				.parts = { { &tcp, sizeof(tcp) } } };
	int mark = NET_LOCK_MARK, r;

	if (sk < 0 || setsockopt(sk, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return err_sys(err, -errno, "making a raw socket for the end of a connection");
	tcp.check = raw_packet_checksum(&p);
	r = raw_packet_send(sk, &p);
	return r < 0 ? err_sys(err, r, "sending the end of a connection to its socket") : 0;
}
