/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the queue of a unix socket without taking anything from it: data with the borders that
 * matter, descriptors in flight (as duplicates), credentials, names of senders.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct packet_cred {
	pid_t pid;
	uint32_t uid, gid;
};

struct peek_args {
	int sk, type;
	int peek_off;  /* its SO_PEEK_OFF, to be brought back */
	bool passcred; /* its SO_PASSCRED, likewise */
	bool rcv_shut; /* shut down for reading: nothing read means the end, not an empty
			* packet */
	size_t unread; /* bytes of a stream (SIOCINQ) */
};

/* Most descriptors that one message can carry (SCM_MAX_FD). */
enum { PEEK_FDS = 253, PEEK_NAME = 128 };

/* What is written to out for each packet; the name of the sender and the bytes follow. */
struct peeked {
	uint64_t len;
	uint32_t n_fds, name_len;
	int fds[PEEK_FDS];
	struct packet_cred cred; /* as this process sees them; all of nobody if there are none */
};

/* Writes everything to out. 0, PEEK_ODD, or -errno. The socket is as before at the end. */
enum { PEEK_ODD = 1 };
int queue_peek(const struct peek_args *q, int out);
