/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/raw-packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>
#include <sys/socket.h>

enum { ADDR_V4 = 4, ADDR_V6 = 16, HOPS = 64 };

static size_t addr_len(const struct raw_packet *p)
{
	return p->family == AF_INET6 ? ADDR_V6 : ADDR_V4;
}

static size_t body_len(const struct raw_packet *p)
{
	return p->parts[0].iov_len + p->parts[1].iov_len;
}

static uint32_t sum_words(uint32_t sum, const void *data, size_t len)
{
	const unsigned char *b = data;
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (len & 1)
		sum += (uint32_t)b[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

uint16_t raw_packet_checksum(const struct raw_packet *p)
{
	uint32_t sum = sum_words(0, p->src, addr_len(p));

	sum = sum_words(sum, p->dst, addr_len(p));
	sum += (uint32_t)body_len(p) + (uint32_t)p->protocol;
	sum = sum_words(sum, p->parts[0].iov_base, p->parts[0].iov_len);
	sum = ~sum_words(sum, p->parts[1].iov_base, p->parts[1].iov_len) & 0xffff;
	/* to UDP 0 means: none; in sums of this sort 0 and 0xffff are the same */
	return htons((uint16_t)(sum ? sum : 0xffff));
}

static int send_head(int sk, const struct raw_packet *p, struct iovec head,
		     const struct sockaddr *to, socklen_t to_len)
{
	struct iovec iov[] = { head, p->parts[0], p->parts[1] };
	struct msghdr m = {
		.msg_name = (void *)to, .msg_namelen = to_len, .msg_iov = iov, .msg_iovlen = 3
	};

	return sendmsg(sk, &m, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int send_v4(int sk, const struct raw_packet *p)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	/* the kernel fills in the length and the checksum of the header */
	struct iphdr ip = {
		.version = 4, .ihl = sizeof(ip) / 4, .ttl = HOPS, .protocol = (uint8_t)p->protocol
	};

	memcpy(&ip.saddr, p->src, ADDR_V4);
	memcpy(&ip.daddr, p->dst, ADDR_V4);
	memcpy(&to.sin_addr, p->dst, ADDR_V4);
	return send_head(sk, p, (struct iovec){ &ip, sizeof(ip) }, (struct sockaddr *)&to,
			 sizeof(to));
}

static int send_v6(int sk, const struct raw_packet *p)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	struct ip6_hdr ip = { 0 };

	ip.ip6_vfc = 6 << 4;
	ip.ip6_plen = htons((uint16_t)body_len(p));
	ip.ip6_nxt = (uint8_t)p->protocol;
	ip.ip6_hlim = HOPS;
	memcpy(&ip.ip6_src, p->src, ADDR_V6);
	memcpy(&ip.ip6_dst, p->dst, ADDR_V6);
	memcpy(&to.sin6_addr, p->dst, ADDR_V6);
	return send_head(sk, p, (struct iovec){ &ip, sizeof(ip) }, (struct sockaddr *)&to,
			 sizeof(to));
}

int raw_packet_send(int sk, const struct raw_packet *p)
{
	return p->family == AF_INET6 ? send_v6(sk, p) : send_v4(sk, p);
}
