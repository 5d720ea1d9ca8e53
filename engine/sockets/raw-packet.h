/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole IP packets that a restore sends to its own sockets: raw(7) with IPPROTO_RAW. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

struct raw_packet {
	int family;	       /* AF_INET or AF_INET6 */
	int protocol;	       /* of what follows the IP header */
	const void *src, *dst; /* addresses in network order: 4 or 16 bytes */
	/* The header of the protocol and the bytes behind it. Only the last may have an odd length.
	 */
	struct iovec parts[2];
};

/* The checksum of TCP and UDP (RFC 1071, with the addresses), for a header whose own is still 0. */
uint16_t raw_packet_checksum(const struct raw_packet *p);

/* Sends it through sk, a raw socket of the family. 0 or -errno; it does not wait. */
int raw_packet_send(int sk, const struct raw_packet *p);
