/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of open files; each is defined in the .c file of its name. */
#pragma once

#include "engine/files/kind.h"

extern const struct file_kind kind_epoll;
extern const struct file_kind kind_eventfd;
extern const struct file_kind kind_external;
extern const struct file_kind kind_fanotify;
extern const struct file_kind kind_fifo;
extern const struct file_kind kind_inet, kind_packet, kind_netlink,
	kind_other_socket; /* engine/sockets/ */
extern const struct file_kind kind_inotify;
extern const struct file_kind kind_memfd;
extern const struct file_kind kind_mqueue;
extern const struct file_kind kind_nsfd;
extern const struct file_kind kind_pidfd;
extern const struct file_kind kind_pipe;
extern const struct file_kind kind_regular;
extern const struct file_kind kind_signalfd;
extern const struct file_kind kind_timerfd;
extern const struct file_kind kind_tty;
extern const struct file_kind kind_unix; /* engine/sockets/ */
