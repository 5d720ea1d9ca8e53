/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink and packet sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static int get_option(int fd, int level, int name)
{
	int value = -1;
	socklen_t n = sizeof(value);

	return getsockopt(fd, level, name, &value, &n) < 0 ? -1 : value;
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* ---- netlink ---- */

/* In the protocol for user programs messages go from one to the other. */
static struct {
	int receiver, sender, route, fresh;
	struct sockaddr_nl receiving, sending;
	uint32_t groups[4];
	socklen_t groups_len;
} nl;

static int nl_socket(int protocol, struct sockaddr_nl *ret)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    getsockname(fd, (struct sockaddr *)ret, &len) < 0)
		return -1;
	return fd;
}

static int netlink_setup(void)
{
	struct sockaddr_nl route;

	nl.receiver = nl_socket(NETLINK_USERSOCK, &nl.receiving);
	nl.sender = nl_socket(NETLINK_USERSOCK, &nl.sending);
	nl.route = nl_socket(NETLINK_ROUTE, &route);
	nl.fresh = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (nl.receiver < 0 || nl.sender < 0 || nl.route < 0 || nl.fresh < 0)
		return skip("no netlink sockets: %s", strerrordesc_np(errno));
	if (connect(nl.sender, (struct sockaddr *)&nl.receiving, sizeof(nl.receiving)) < 0 ||
	    set_option(nl.route, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_IPV6_RULE) < 0 ||
	    (strict() &&
	     set_option(nl.route, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NEXTHOP) < 0) ||
	    (strict() && set_option(nl.route, SOL_NETLINK, NETLINK_EXT_ACK, 1) < 0))
		return fail_errno("netlink");
	if (param("unread", 0) && send(nl.sender, "unread", 6, 0) != 6)
		return fail_errno("netlink");
	nl.groups_len = sizeof(nl.groups);
	return getsockopt(nl.route, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, nl.groups,
			  &nl.groups_len) < 0
		       ? fail_errno("groups")
		       : WL_OK;
}

/* The kernel answers a question through the socket, and the sender's message arrives. */
static int netlink_speak(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} q = { .h = { sizeof(q), RTM_GETLINK, NLM_F_REQUEST, 7, 0 }, .i.ifi_index = 1 };
	struct pollfd p = { .fd = nl.route, .events = POLLIN };
	struct sockaddr_nl from;
	socklen_t len = sizeof(from);
	char buf[8192];

	if (param("unread", 0))
		return WL_OK;
	if (send(nl.route, &q, sizeof(q), 0) != sizeof(q) || poll(&p, 1, 5000) != 1 ||
	    recv(nl.route, buf, sizeof(buf), 0) < (ssize_t)sizeof(struct nlmsghdr))
		return fail_errno("asking the kernel");
	p.fd = nl.receiver;
	if (send(nl.sender, "hello", 5, 0) != 5 || poll(&p, 1, 5000) != 1 ||
	    recvfrom(nl.receiver, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len) != 5)
		return fail_errno("from one to the other");
	return from.nl_pid == nl.sending.nl_pid ? WL_OK : fail("the sender has another port");
}

static int netlink_verify(void)
{
	uint32_t groups[4] = { 0 };
	socklen_t len = sizeof(groups);

	if (getsockopt(nl.route, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len) < 0 ||
	    memcmp(groups, nl.groups, sizeof(groups)))
		return fail("the groups are not the same");
	if (get_option(nl.fresh, SOL_SOCKET, SO_PROTOCOL) != NETLINK_ROUTE ||
	    (strict() && get_option(nl.fresh, SOL_SOCKET, SO_TYPE) != SOCK_DGRAM) ||
	    (strict() && get_option(nl.route, SOL_NETLINK, NETLINK_EXT_ACK) != 1))
		return fail("type, protocol or options are not the same");
	return netlink_speak();
}

/* ---- packet ---- */

/* Experimental numbers (IEEE 802): nobody else sends them. */
enum { OWN_PROTOCOL = 0x88b5, OTHER_PROTOCOL = 0x88b6, FRAMES = 8, FANOUT_GROUP = 4711 };

static struct {
	int ring, plain, old;
	size_t ring_size;
	unsigned char *frames;
	unsigned int lo;
} pk;

static struct sockaddr_ll on_lo(int protocol)
{
	return (struct sockaddr_ll){ .sll_family = AF_PACKET,
				     .sll_protocol = htons((uint16_t)protocol),
				     .sll_ifindex = (int)pk.lo,
				     .sll_halen = 6 };
}

static int make_ring(void)
{
	struct tpacket_req req = { .tp_block_size = 4096,
				   .tp_block_nr = FRAMES / 2,
				   .tp_frame_size = 2048,
				   .tp_frame_nr = FRAMES };
	struct sockaddr_ll a = on_lo(OWN_PROTOCOL);

	pk.ring_size = 4096 * FRAMES / 2;
	if (set_option(pk.ring, SOL_PACKET, PACKET_VERSION, TPACKET_V2) < 0 ||
	    set_option(pk.ring, SOL_PACKET, PACKET_RESERVE, 16) < 0 ||
	    set_option(pk.ring, SOL_PACKET, PACKET_AUXDATA, 1) < 0 ||
	    setsockopt(pk.ring, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0 ||
	    bind(pk.ring, (struct sockaddr *)&a, sizeof(a)) < 0)
		return fail_errno("a packet socket with a ring");
	pk.frames = mmap(NULL, pk.ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, pk.ring, 0);
	return pk.frames == MAP_FAILED ? fail_errno("mapping a ring") : WL_OK;
}

static int packet_setup(void)
{
	struct packet_mreq req = { .mr_type = PACKET_MR_PROMISC };
	struct sockaddr_ll a;
	struct sockaddr old = { .sa_family = AF_PACKET, .sa_data = "lo" };

	pk.lo = if_nametoindex("lo");
	pk.ring = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	pk.plain = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	pk.old = socket(AF_PACKET, SOCK_PACKET | SOCK_CLOEXEC, htons(OTHER_PROTOCOL));
	if (pk.ring < 0 || pk.plain < 0 || pk.old < 0)
		return skip("no packet sockets: %s", strerrordesc_np(errno));
	req.mr_ifindex = (int)pk.lo;
	a = on_lo(OTHER_PROTOCOL);
	/* CRIU 4.2 refuses what is there twice */
	if (setsockopt(pk.plain, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &req, sizeof(req)) < 0 ||
	    (strict() &&
	     setsockopt(pk.plain, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &req, sizeof(req)) < 0) ||
	    bind(pk.plain, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    set_option(pk.plain, SOL_PACKET, PACKET_FANOUT, FANOUT_GROUP | PACKET_FANOUT_LB << 16) <
		    0 ||
	    bind(pk.old, &old, sizeof(old)) < 0)
		return fail_errno("a packet socket");
	if (strict() && set_option(pk.plain, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) < 0)
		return fail_errno("PACKET_IGNORE_OUTGOING");
	return make_ring();
}

/* The same frame comes in wherever the kernel writes next, and is given back. */
static int ring_receives(void)
{
	struct sockaddr_ll to = on_lo(OWN_PROTOCOL);
	struct pollfd p = { .fd = pk.ring, .events = POLLIN };
	int found = 0;

	if (sendto(pk.ring, "frame", 5, 0, (struct sockaddr *)&to, sizeof(to)) != 5)
		return fail_errno("sending a packet");
	if (poll(&p, 1, 5000) != 1)
		return fail("no packet in the ring");
	for (size_t i = 0; i < FRAMES; i++) {
		struct tpacket2_hdr *h = (void *)(pk.frames + i * 2048);

		if (!(h->tp_status & TP_STATUS_USER))
			continue;
		if (h->tp_len == 5 && !memcmp((char *)h + h->tp_net, "frame", 5))
			found++;
		h->tp_status = TP_STATUS_KERNEL;
	}
	return found ? WL_OK : fail("the ring does not have the packet that was sent");
}

/* How many want all packets of the loopback device; dropping what is not there is no error. */
static int promiscuity(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} q = { .h = { sizeof(q), RTM_GETLINK, NLM_F_REQUEST, 7, 0 }, .i.ifi_index = (int)pk.lo };
	static char buf[16384] __attribute__((aligned(8)));
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), value = -1;
	ssize_t n = send(fd, &q, sizeof(q), 0) < 0 ? -1 : recv(fd, buf, sizeof(buf), 0);
	struct rtattr *a = (void *)(buf + NLMSG_LENGTH(sizeof(struct ifinfomsg)));
	int left = (int)n - (int)NLMSG_LENGTH(sizeof(struct ifinfomsg));

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFLA_PROMISCUITY)
			value = *(int *)RTA_DATA(a);
	close(fd);
	return value;
}

/* The device counts a membership once, however often the socket has it. */
static int memberships(void)
{
	struct packet_mreq req = { .mr_ifindex = (int)pk.lo, .mr_type = PACKET_MR_PROMISC };
	int n = strict() ? 2 : 1, before = promiscuity();

	for (int i = 0; i < n; i++)
		if (setsockopt(pk.plain, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &req, sizeof(req)) <
			    0 ||
		    promiscuity() != before - (i == n - 1))
			return fail("the memberships of a packet socket changed");
	for (int i = 0; i < n; i++)
		if (setsockopt(pk.plain, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &req, sizeof(req)) < 0)
			return fail_errno("a membership");
	return WL_OK;
}

static int packet_verify(void)
{
	struct sockaddr_ll a = { 0 };
	struct sockaddr old = { 0 };
	socklen_t len = sizeof(a), old_len = sizeof(old);

	if (getsockname(pk.plain, (struct sockaddr *)&a, &len) < 0 || a.sll_ifindex != (int)pk.lo ||
	    a.sll_protocol != htons(OTHER_PROTOCOL))
		return fail("device or protocol changed");
	if (getsockname(pk.old, &old, &old_len) < 0 || strcmp(old.sa_data, "lo"))
		return fail("the device of an old packet socket changed");
	if (get_option(pk.plain, SOL_PACKET, PACKET_FANOUT) !=
		    (FANOUT_GROUP | PACKET_FANOUT_LB << 16) ||
	    get_option(pk.ring, SOL_PACKET, PACKET_VERSION) != TPACKET_V2 ||
	    get_option(pk.ring, SOL_PACKET, PACKET_RESERVE) != 16 ||
	    get_option(pk.ring, SOL_PACKET, PACKET_AUXDATA) != 1 ||
	    (strict() && get_option(pk.plain, SOL_PACKET, PACKET_IGNORE_OUTGOING) != 1))
		return fail("options of a packet socket changed");
	if (memberships() != WL_OK)
		return WL_FAIL;
	return ring_receives();
}

static struct workload_param strict_param[] = { STRICT_PARAM, { 0 } };
static struct workload_param netlink_params[] = { STRICT_PARAM,
						  { "unread", 0, "1: a message waits" },
						  { 0 } };

const struct workload net_workloads[] = {
	{ "netlink", "ports, groups and peers", netlink_params, netlink_setup, netlink_verify },
	{ "packet", "with a mapped ring, in a fanout group, of the old type", strict_param,
	  packet_setup, packet_verify },
	{ 0 },
};
