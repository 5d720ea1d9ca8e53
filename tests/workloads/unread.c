/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects in which something waits that cannot be put back into them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { INOTIFY, FANOTIFY, RAW_SOCKET, PACKET_SOCKET, GROUP, SAME_PORT };

static struct {
	int fd, waiting;
} unread = { .fd = -1 };

static int make_event(void)
{
	int fd = open(path_in("watched"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || close(fd) < 0)
		return fail_errno("touching a file");
	return WL_OK;
}

static int make_inotify(void)
{
	unread.fd = inotify_init1(IN_CLOEXEC);
	if (unread.fd < 0 || inotify_add_watch(unread.fd, path_in("."), IN_CREATE | IN_OPEN) < 0)
		return fail_errno("a watch");
	return make_event();
}

static int make_fanotify(void)
{
	unread.fd = fanotify_init(FAN_CLOEXEC | FAN_CLASS_NOTIF, O_RDONLY);
	if (unread.fd < 0)
		return skip("fanotify_init: %s", strerror(errno));
	if (fanotify_mark(unread.fd, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD,
			  path_in(".")) < 0)
		return fail_errno("a mark");
	return make_event();
}

/* Sends a datagram from a socket of its own that is closed again. */
static int send_to(const struct sockaddr_in *to, int type, int protocol)
{
	int sk = socket(AF_INET, type | SOCK_CLOEXEC, protocol);
	struct in_addr here = { htonl(INADDR_LOOPBACK) };

	setsockopt(sk, IPPROTO_IP, IP_MULTICAST_IF, &here, sizeof(here));
	if (sk < 0 || sendto(sk, "unread", 6, 0, (const struct sockaddr *)to, sizeof(*to)) != 6)
		return fail_errno("sending");
	close(sk);
	return WL_OK;
}

static int make_raw(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const int experiment = 253; /* a protocol that RFC 3692 leaves to tests */

	unread.fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, experiment);
	if (unread.fd < 0)
		return skip("a raw socket: %s", strerror(errno));
	return send_to(&to, SOCK_RAW, experiment);
}

static int make_packet(void)
{
	struct sockaddr_ll lo = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_IP),
				  .sll_ifindex = (int)if_nametoindex("lo") };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) },
				  .sin_port = htons(9) };

	unread.fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (unread.fd < 0)
		return skip("a packet socket: %s", strerror(errno));
	if (bind(unread.fd, (struct sockaddr *)&lo, sizeof(lo)) < 0)
		return fail_errno("binding to lo");
	return send_to(&to, SOCK_DGRAM, 0);
}

/* Of a group, or at a port that another socket has as well. */
static int make_udp(bool group)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct ip_mreqn req = { .imr_ifindex = (int)if_nametoindex("lo") };
	socklen_t len = sizeof(a);
	int on = 1, other;

	inet_pton(AF_INET, "239.1.2.4", &req.imr_multiaddr);
	if (!group)
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	unread.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (setsockopt(unread.fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(unread.fd, (struct sockaddr *)&a, len) < 0 ||
	    getsockname(unread.fd, (struct sockaddr *)&a, &len) < 0)
		return fail_errno("a UDP socket");
	if (group) {
		if (setsockopt(unread.fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof(req)) < 0)
			return skip("the loopback device takes no groups");
		a.sin_addr = req.imr_multiaddr;
		return send_to(&a, SOCK_DGRAM, 0);
	}
	if (send_to(&a, SOCK_DGRAM, 0) != WL_OK)
		return WL_FAIL;
	other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(other, (struct sockaddr *)&a, len) < 0)
		return fail_errno("a second socket of a port");
	return WL_OK;
}

static int unread_make(long what)
{
	switch (what) {
	case INOTIFY:
		return make_inotify();
	case FANOTIFY:
		return make_fanotify();
	case RAW_SOCKET:
		return make_raw();
	case PACKET_SOCKET:
		return make_packet();
	default:
		return make_udp(what == GROUP);
	}
}

static int unread_setup(void)
{
	struct pollfd p = { .events = POLLIN };
	int r = unread_make(param("what", 0));

	p.fd = unread.fd;
	if (r == WL_OK && poll(&p, 1, 5000) != 1)
		return fail("nothing comes in");
	if (r == WL_OK && ioctl(unread.fd, FIONREAD, &unread.waiting) < 0)
		return fail_errno("FIONREAD");
	return r;
}

static int unread_verify(void)
{
	struct pollfd p = { .fd = unread.fd, .events = POLLIN };
	int waiting = 0;

	if (poll(&p, 1, 0) != 1)
		return fail("what was not read is gone");
	/* a packet socket hears others as well, and tells of the first packet only */
	if (ioctl(unread.fd, FIONREAD, &waiting) < 0 || waiting != unread.waiting)
		return fail("%d bytes wait, not %d", waiting, unread.waiting);
	return WL_OK;
}

static struct workload_param unread_params[] = {
	{ "what", 0,
	  "0: inotify, 1: fanotify, 2: raw, 3: packet socket, 4: of a group, 5: shared port" },
	{ 0 }
};

const struct workload unread_workloads[] = {
	{ .name = "unread",
	  .help = "events or packets that wait and cannot be made again",
	  .params = unread_params,
	  .setup = unread_setup,
	  .verify = unread_verify },
	{ 0 },
};
