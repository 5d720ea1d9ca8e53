/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Probes of sockets. */
#include "engine/kernel/probes.h"

/* These come first, so that the kernel's headers leave out what they define. */
#include <net/if.h>
#include <netinet/in.h>

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894c
#endif
#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (0x89e0)
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

int probe_so_peek_off(void)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int off = 0;

	return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0 ? -errno
											: 0;
}

int probe_sockopt_buf_lock(void)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int lock;
	socklen_t len = sizeof(lock);

	return fd < 0 || getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &lock, &len) < 0 ? -errno : 0;
}

int probe_sk_ns(void)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), ns = -EBADF;

	if (fd < 0)
		return -errno;
	ns = ioctl(fd, SIOCGSKNS);
	return ns < 0 ? -errno : 0;
}

/* A socket with a name that is no file has no file: a kernel without the call does not know the
 * number. */
int probe_sk_unix_file(void)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), file = -EBADF;
	struct sockaddr_un any = { .sun_family = AF_UNIX };

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0)
		return -errno;
	file = ioctl(fd, SIOCUNIXFILE);
	return file >= 0 || errno == ENOENT ? 0 : -errno;
}

int probe_ipv6_freebind(void)
{
	cleanup_fd int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;

	return fd < 0 || setsockopt(fd, SOL_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* Asks for one unix socket that does not exist: the answer is that it is not found. */
int probe_sock_diag_unix(void)
{
	cleanup_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} ask = {
		.head = { .nlmsg_len = sizeof(ask),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST },
		.req = { .sdiag_family = AF_UNIX,
			 .udiag_states = ~0u,
			 .udiag_ino = 1,
			 .udiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } },
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char more[512];
	} answer;
	ssize_t n;

	if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
	if (n < (ssize_t)sizeof(answer.head))
		return n < 0 ? -errno : -EIO;
	if (answer.head.nlmsg_type != NLMSG_ERROR || answer.error.error == -ENOENT)
		return 0;
	/* the module of this family is not there */
	return answer.error.error ? answer.error.error : 0;
}

/* The windows are what repair mode learned last (4.8); a FIN can be put into a queue since 4.10. */
int probe_tcp_repair(void)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct tcp_repair_window w;
	socklen_t len = sizeof(w);
	int on = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0 ||
	    getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, &len) < 0)
		return -errno;
	return 0;
}

int probe_nft(void)
{
	static const char *const places[] = { "/usr/sbin/nft", "/usr/bin/nft", "/sbin/nft",
					      "/bin/nft" };
	cleanup_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], X_OK) == 0)
			return 0;
	return -ENOENT;
}

/* Asking for a table makes the kernel load what it has of the old interface. */
int probe_ipt_legacy(void)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct ipt_getinfo info = { .name = "filter" };
	socklen_t len = sizeof(info);

	if (fd < 0 || getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &len) < 0)
		return -errno;
	return 0;
}
