/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel tells about sockets through sock_diag(7), asked inside any network namespace. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

struct unix_diag {
	uint32_t ino;
	uint32_t peer; /* inode number of the other end, 0 if it has none or is not accepted yet */
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
