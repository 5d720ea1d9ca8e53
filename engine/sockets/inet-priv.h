/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Internet sockets: what inet.c, inet-dump.c, inet-make.c, inet-opts.c and inet-groups.c share. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kind.h"
#include "engine/sockets/sockopts.h"
#include "engine/sockets/tcp.h"

struct InetSkEntry;

/* States of sockets, of the kernel's enum that all families share. */
enum { INET_ESTABLISHED = 1, INET_CLOSE = 7, INET_LISTEN = 10, INET_CLOSING = 11 };

/* Words of an address in the image. */
enum { WORDS_V4 = 1, WORDS_V6 = 4 };

/* A socket of a restore. */
struct isk {
	struct isk *next;
	struct file_obj *obj;
	const struct InetSkEntry *e;
	int fd;			  /* made along with the others and not taken yet */
	struct tcp_stream stream; /* of an open connection, else e is NULL */
	bool shares; /* SO_REUSEADDR and SO_REUSEPORT are set for the time of binding */
};

/* An unread datagram of a set of images. */
struct inet_datagram {
	struct inet_datagram *next;
	uint32_t id_for, src_port;
	uint32_t src[4], dst[4];
	bool v6;
	size_t len;
	const void *bytes;
};

struct restore_inet {
	bool made, datagrams_loaded;
	struct isk *first;
	struct inet_datagram *datagrams, **datagrams_end;
	struct restore *r; /* while they are made */
};

/* A connection, or what is left of one, that can only come back closed. */
bool inet_is_connection(const struct InetSkEntry *e);

/* The kind's capture(). */
int inet_capture(struct dump *d, struct file_ref *ref, struct FileEntry *entry, struct err *err);

/* In the root builder: makes all sockets that are needed; fd of each is set then. */
int inet_make_all(struct restore *r, struct restore_inet *all, struct err *err);

/* bind(2) and connect(2) to the addresses of the image. 0 or -errno. */
int inet_bind(const struct isk *s);
int inet_connect(const struct isk *s);

/* ---- inet-queue.c: unread datagrams ---- */

/*
 * Writes those of a UDP socket to sk-queues.img; they stay where they are. KIND_UNSUPPORTED: one of
 * them went to more than this host and cannot be sent again.
 */
int inet_queue_capture(struct dump *d, struct file_ref *ref, int family, struct err *err);
int inet_queue_load(struct restore *r, struct restore_inet *all, struct err *err);
/* Puts them back into a socket that has its address and its peer. */
int inet_queue_fill(const struct restore_inet *all, const struct isk *s, struct err *err);

/* ---- inet-opts.c: options of IP and TCP that the message has fields for ---- */

int inet_opts_capture(struct dump *d, int sk, const struct sk_ident *who, struct InetSkEntry *e,
		      struct err *err);
int inet_opts_check(const struct InetSkEntry *e, struct err *err);
/* What decides over addresses, before bind(2). */
int inet_opts_restore_early(int sk, const struct InetSkEntry *e, struct err *err);
int inet_opts_restore(int sk, const struct InetSkEntry *e, struct err *err);

/* ---- inet-groups.c: multicast groups that a socket has joined ---- */

int inet_groups_capture(struct dump *d, struct file_ref *ref, struct InetSkEntry *e,
			struct err *err);
int inet_groups_check(const struct InetSkEntry *e, struct err *err);
int inet_groups_restore(int sk, const struct InetSkEntry *e, struct err *err);
