/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network namespace of a socket. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

struct file_ref;

/*
 * A socket stays in the network namespace where it was made, also when its owner has left that.
 * Opens it; KIND_UNSUPPORTED after dump_refuse() if it is not that of the tree.
 */
int socket_open_ns(struct dump *d, struct file_ref *ref, int *ret_fd, struct err *err)
	__attribute__((warn_unused_result));

/* For link(): whether a socket of that namespace's id can be made where the tree is restored. */
int socket_check_ns(const struct restore *r, bool has_id, uint32_t id, struct err *err)
	__attribute__((warn_unused_result));

/* "[::1]:80" of an address in network order and a port. */
enum { SOCKET_TEXT_SIZE = 64 };
const char *socket_text(int family, const uint32_t *addr, unsigned int port,
			char buf[SOCKET_TEXT_SIZE]);
