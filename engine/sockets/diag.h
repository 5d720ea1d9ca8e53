/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel tells about sockets through sock_diag(7), asked inside any network namespace. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/idmap.h"
#include "engine/base/err.h"

struct nlattr;
struct nlmsghdr;

struct unix_diag {
	uint32_t ino;
	uint32_t peer; /* inode number of the other end, 0 if it has none or is not accepted yet */
	bool has_peer; /* it has one, be it not accepted yet or closed */
	uint8_t type, state, shutdown; /* SOCK_*, TCP_* of the kernel, bits 1 read and 2 write */
	uint32_t rqueue, wqueue;       /* listening: waiting connections and backlog; else bytes */
	size_t name_len;	       /* as in sun_path: a path has its zero byte at the end */
	const char *name;
	size_t n_icons; /* clients of the connections that wait, 0 for one that has closed */
	const uint32_t *icons;
};

struct unix_diags {
	const struct unix_diag *v;
	size_t n;
	struct idmap by_ino;
};

/*
 * Lists the unix sockets of the network namespace that netns_fd stands for, into memory of the
 * arena. Our own namespace does not change: the socket for the question is made by a thread that
 * enters it.
 */
int diag_unix(struct arena *a, int netns_fd, struct unix_diags *ret, struct err *err)
	__attribute__((warn_unused_result));

const struct unix_diag *diag_unix_find(const struct unix_diags *all, uint32_t ino);

/* A netlink socket of that protocol inside the namespace. */
int diag_netlink_in(int netns_fd, int protocol, struct err *err)
	__attribute__((warn_unused_result));

/* A dump request, and how its answer becomes an array. */
struct diag_question {
	const char *what;    /* for errors: which sockets */
	const void *request; /* with its struct nlmsghdr */
	size_t len;
	bool optional;	  /* a kernel that has no answers for this protocol has no such sockets */
	size_t head_size; /* of the struct that each message of the answer begins with */
	size_t item_size;
	/* Fills an item, zeroed before. The attributes begin at that offset. 0 or -errno. */
	int (*take)(struct arena *a, void *item, const struct nlmsghdr *h, size_t at);
};

/*
 * Asks in the network namespace that netns_fd stands for; again if sockets came and went meanwhile.
 * The array is the arena's.
 */
int diag_ask(struct arena *a, int netns_fd, const struct diag_question *q, const void **ret,
	     size_t *ret_n, struct err *err) __attribute__((warn_unused_result));

/* The attribute at that offset of a message, which moves on; NULL at the end. */
const struct nlattr *diag_next_attr(const struct nlmsghdr *h, size_t *at);

/* An internet socket; ports in host order, addresses as the kernel has them. */
struct diag_inet {
	uint32_t ino;
	uint8_t state, shutdown;
	uint16_t src_port, dst_port;
	uint32_t src[4], dst[4];
};

struct diag_inets {
	const struct diag_inet *v;
	size_t n;
};

/* Lists those of a family and protocol that are bound or connected. */
int diag_inet(struct arena *a, int netns_fd, int family, int protocol, struct diag_inets *ret,
	      struct err *err) __attribute__((warn_unused_result));

struct diag_packet_member {
	uint32_t ifindex, count;
	uint16_t type, alen;
	uint8_t addr[32];
};

struct diag_packet_ring {
	uint32_t block_size, block_nr, frame_size, frame_nr, retire_tmo, sizeof_priv, features;
};

struct diag_packet {
	uint32_t ino;
	uint8_t type;
	uint16_t protocol;						   /* in host order */
	uint32_t ifindex, version, reserve, copy_thresh, timestamp, flags; /* flags: PDI_* */
	size_t n_members;
	const struct diag_packet_member *members;
	bool has_fanout, has_rx, has_tx;
	struct diag_packet_ring rx, tx;
};

struct diag_packets {
	const struct diag_packet *v;
	size_t n;
};

int diag_packet(struct arena *a, int netns_fd, struct diag_packets *ret, struct err *err)
	__attribute__((warn_unused_result));

struct diag_netlink {
	uint32_t ino, flags; /* NDIAG_FLAG_* */
	uint8_t state;
	uint32_t dst_group;
};

struct diag_netlinks {
	const struct diag_netlink *v;
	size_t n;
};

/* Lists the bound ones of all protocols. */
int diag_netlink(struct arena *a, int netns_fd, struct diag_netlinks *ret, struct err *err)
	__attribute__((warn_unused_result));
