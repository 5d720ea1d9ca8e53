/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/tcp-repair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/sockets/net-lock.h"

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

/* ---- packets ---- */

/* What the checksum of TCP covers besides the segment; of IPv4 the words of addresses are zero but
 * for the first. The sum does not care for the order of its words. */
struct pseudo {
	uint32_t src[4], dst[4];
	uint32_t len, protocol;
	struct tcphdr tcp;
};

static uint16_t checksum(const void *data, size_t len)
{
	const uint16_t *w = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len / 2; i++)
		sum += w[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void fill_tcp(struct pseudo *p, const struct net_flow *f, uint32_t seq, uint32_t ack,
		     uint16_t window, bool fin)
{
	memset(p, 0, sizeof(*p));
	memcpy(p->src, f->dst, sizeof(p->src));
	memcpy(p->dst, f->src, sizeof(p->dst));
	p->len = htonl(sizeof(p->tcp));
	p->protocol = htonl(IPPROTO_TCP);
	p->tcp.source = htons(f->dst_port);
	p->tcp.dest = htons(f->src_port);
	p->tcp.seq = htonl(seq);
	p->tcp.ack_seq = htonl(ack);
	p->tcp.doff = sizeof(p->tcp) / 4;
	p->tcp.ack = 1;
	p->tcp.fin = fin;
	p->tcp.window = htons(window);
	p->tcp.check = checksum(p, sizeof(*p));
}

static int send_v4(int sk, const struct pseudo *p)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} packet = { .ip = { .version = 4,
			     .ihl = sizeof(struct iphdr) / 4,
			     .tot_len = htons(sizeof(packet)),
			     .ttl = 64,
			     .protocol = IPPROTO_TCP,
			     .saddr = p->src[0],
			     .daddr = p->dst[0] },
		     .tcp = p->tcp };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = p->dst[0] };

	/* the kernel fills in the checksum of the header */
	return sendto(sk, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

static int send_v6(int sk, const struct pseudo *p)
{
	struct {
		struct ip6_hdr ip;
		struct tcphdr tcp;
	} packet = { .tcp = p->tcp };
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };

	packet.ip.ip6_vfc = 6 << 4;
	packet.ip.ip6_plen = htons(sizeof(packet.tcp));
	packet.ip.ip6_nxt = IPPROTO_TCP;
	packet.ip.ip6_hlim = 64;
	memcpy(&packet.ip.ip6_src, p->src, sizeof(packet.ip.ip6_src));
	memcpy(&packet.ip.ip6_dst, p->dst, sizeof(packet.ip.ip6_dst));
	memcpy(&to.sin6_addr, p->dst, sizeof(to.sin6_addr));
	return sendto(sk, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

int tcp_fake_packet(const struct net_flow *flow, uint32_t seq, uint32_t ack, uint16_t window,
		    bool fin, struct err *err)
{
	/* of this protocol a socket takes and needs whole headers */
	cleanup_fd int sk = socket(flow->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	int mark = NET_LOCK_MARK, r;
	struct pseudo p;

	if (sk < 0 || setsockopt(sk, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return err_sys(err, -errno, "making a raw socket for the end of a connection");
	fill_tcp(&p, flow, seq, ack, window, fin);
	r = flow->family == AF_INET6 ? send_v6(sk, &p) : send_v4(sk, &p);
	return r < 0 ? err_sys(err, r, "sending the end of a connection to its socket") : 0;
}
