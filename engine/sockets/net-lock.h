/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cutting off TCP connections for the time in which nobody answers for them: between the dump and
 * the restore, the host would reset them. Rules of the packet filter drop their packets in both
 * directions, but for those with our mark.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/vec.h"
#include "engine/engine.h"

/* The mark of packets that pass; CRIU's, since its rules and ours must let each other's through. */
#define NET_LOCK_MARK 0xC114

/* Numbers of the inventory: not those of the RPC, which begin with 1. */
enum net_lock_method { NET_LOCK_IPTABLES, NET_LOCK_NFTABLES, NET_LOCK_SKIP };

/* Addresses in network order, ports in the host's. */
struct net_flow {
	int family;
	uint32_t src[4], dst[4];
	uint16_t src_port, dst_port;
};

enum { NET_LOCK_ID_SIZE = 40 };

/* A new id of a lock. */
int net_lock_make_id(char ret[NET_LOCK_ID_SIZE], struct err *err);

struct net_flows {
	VEC(struct net_flow) list;
};

/* An address of four words; v4-mapped ones of IPv6 become IPv4. */
struct net_flow net_flow_of(int family, const uint32_t *src, unsigned int src_port,
			    const uint32_t *dst, unsigned int dst_port);

/*
 * The first method that is wanted and works: nft, else iptables. ns_fd: a network namespace, or -1
 * for our own. id names the table of nft: text without blanks. All or nothing: on failure no rule
 * is left.
 */
int net_lock(int ns_fd, enum ckpt_network_lock wanted, const char *id,
	     const struct net_flows *flows, enum net_lock_method *ret, struct err *err)
	__attribute__((warn_unused_result));

/* Takes the rules away. That some are gone already is no error. */
int net_unlock(int ns_fd, enum net_lock_method method, const char *id,
	       const struct net_flows *flows, struct err *err);

/* The input of nft and iptables-restore, for tests. 0 or -ENOMEM. */
struct buf;
int net_lock_nft_text(struct buf *b, const char *id, const struct net_flows *flows);
int net_lock_iptables_text(struct buf *b, int family, bool add, const struct net_flows *flows);
