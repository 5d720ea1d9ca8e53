/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of network namespaces. */
#pragma once

#include "engine/ns/ns-priv.h"

struct NetnsEntry;
struct SysctlEntry;
struct NetDeviceEntry;

/* ---- net-look.c ---- */

/* The state of the loopback device. */
struct net_lo {
	uint32_t ifindex, mtu, flags;
	bool has4, has6; /* 127.0.0.1/8, ::1/128 */
};

/* A device that is not of every new namespace. Fixed size: it travels through a pipe. */
struct net_link {
	uint32_t ifindex, mtu, flags, type; /* type: ARPHRD_* */
	char name[16], kind[32];	    /* kind: of rtnetlink, "" for hardware */
	uint8_t address[32];
	uint32_t address_len;
	char extra[128]; /* addresses and routes that somebody gave it, as a list for messages */
};

struct net_links {
	VEC(struct net_link);
};

/*
 * Looks at everything in the network namespace of this process. Devices are added to links; what
 * else is not of every new namespace is described in foreign, as a list: "nftables table ...".
 */
int net_look(struct net_lo *ret, struct net_links *links, struct buf *foreign, struct err *err);

/* The part of it in net-iptables.c. */
int net_look_iptables(struct buf *foreign, struct err *err);

/* Adds an item to such a list. */
int net_foreign(struct buf *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Whether a device is one of those that tunnel modules put into every new namespace. */
bool net_is_fallback(const char *name);

/*
 * Addresses, routes and rules as the kernel reports them, and as iproute2 saves them. True: every
 * new namespace has it (or its loopback device brings it when it is up). Else it is added to list,
 * if that belongs to the loopback device or to none; what belongs to others goes with them.
 */
struct nlmsghdr;
int net_check_addr(const struct nlmsghdr *h, uint32_t lo_index, struct net_lo *lo,
		   struct buf *list);
int net_check_route(const struct nlmsghdr *h, uint32_t lo_index, struct buf *list);

/* The device that a message speaks of, 0: none. */
uint32_t net_addr_index(const struct nlmsghdr *h);
uint32_t net_route_index(const struct nlmsghdr *h);
int net_check_rule(const struct nlmsghdr *h, struct buf *list);

/* ---- net-conf.c: settings of devices, which the image keeps as lists without names ---- */

enum net_family { NET_IPV4, NET_IPV6 };

/* Reads net/FAMILY/conf/TARGET/...; the entries are malloc'ed, freed with net_conf_free(). */
int net_conf_read(enum net_family family, const char *target, size_t *ret_n,
		  struct SysctlEntry ***ret, struct err *err);
void net_conf_free(size_t n, struct SysctlEntry **list);

/* Writes what differs. weak: settings that this kernel does not have are left out. */
int net_conf_write(enum net_family family, const char *target, size_t n,
		   struct SysctlEntry *const *list, bool weak, struct err *err);

/* Checks that every entry has the type of its place. */
int net_conf_check(enum net_family family, size_t n, struct SysctlEntry *const *list,
		   struct err *err);

/* The few settings outside of conf/. */
int net_misc_read(struct NetnsEntry *e, struct err *err);
void net_misc_free(struct NetnsEntry *e);
int net_misc_check(const struct NetnsEntry *e, struct err *err);
int net_misc_write(const struct NetnsEntry *e, bool weak, struct err *err);

/* ---- net-raw.c: images in other programs' formats, in checkpoints of CRIU ---- */

/* Reads them and adds what is not of every new namespace to list. */
int net_raw_load(struct restore *r, struct buf *list, struct err *err);

/* The same for one file's bytes; for tests. */
int net_raw_iproute(uint32_t magic, const void *data, size_t len, struct buf *list);
int net_raw_nft(const char *text, size_t len, struct buf *list);
int net_raw_iptables(const char *text, size_t len, struct buf *list);
