/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/socket-ns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "engine/base/cleanup.h"
#include "engine/files/kind.h"

int socket_open_ns(struct dump *d, struct file_ref *ref, int *ret_fd, struct err *err)
{
	cleanup_fd int ns = ioctl(ref->lfd, SIOCGSKNS);
	struct stat st;

	if (ns < 0 || fstat(ns, &st) < 0)
		return err_sys(err, -errno, "opening the network namespace of a socket");
	if (st.st_ino != d->root_ns.ino[NS_NET]) {
		dump_refuse(d, ref->task,
			    "%s: '%s' belongs to another network namespace than the tree",
			    ref->what, ref->facts.link);
		return KIND_UNSUPPORTED;
	}
	*ret_fd = take_fd(&ns);
	return 0;
}

int socket_check_ns(const struct restore *r, bool has_id, uint32_t id, struct err *err)
{
	uint32_t net = r->root_ns.id[NS_NET];

	if (has_id && id && net && id != net)
		return err_refuse(err, "a socket of a second network namespace, which cannot be "
				       "restored yet");
	return 0;
}

const char *socket_text(int family, const uint32_t *addr, unsigned int port,
			char buf[SOCKET_TEXT_SIZE])
{
	char a[INET6_ADDRSTRLEN] = "?";

	inet_ntop(family, addr, a, sizeof(a));
	snprintf(buf, SOCKET_TEXT_SIZE, family == AF_INET6 ? "[%s]:%u" : "%s:%u", a, port);
	return buf;
}
