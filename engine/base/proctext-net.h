/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parsers of /proc/PID/net; the rules of proctext.h hold here too. */
#pragma once

#include "engine/base/proctext.h"

/* A multicast group that a network device receives, in network order; IPv4 has one word. */
struct proc_group {
	uint32_t ifindex;
	uint32_t addr[4];
};

/* Free with vec_free(). */
struct proc_groups {
	VEC(struct proc_group);
};

/* /proc/PID/net/igmp and igmp6. */
int proc_igmp_parse(const char *text, size_t len, struct proc_groups *ret);
int proc_igmp6_parse(const char *text, size_t len, struct proc_groups *ret);

/* A socket of /proc/PID/net/raw, raw6, icmp or icmp6; addresses in network order, ports not. */
struct proc_inet {
	uint64_t ino;
	uint32_t state;
	uint32_t local[4], remote[4];
	uint32_t local_port, remote_port;
};

/* Free with vec_free(). */
struct proc_inets {
	VEC(struct proc_inet);
};

int proc_inets_parse(const char *text, size_t len, struct proc_inets *ret);
