/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/files/kinds.h"

#include <stddef.h>

/* A regular file claims by path, and some paths only look like one: it stays last. */
const struct file_kind *const file_kinds[] = {
	&kind_pipe,    &kind_fifo,	   &kind_unix,	  &kind_inet,	  &kind_packet,
	&kind_netlink, &kind_other_socket, &kind_eventfd, &kind_epoll,	  &kind_signalfd,
	&kind_timerfd, &kind_pidfd,	   &kind_inotify, &kind_fanotify, &kind_memfd,
	&kind_tty,     &kind_nsfd,	   &kind_mqueue,  &kind_regular,  &kind_external,
	NULL,
};
