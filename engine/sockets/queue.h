/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits in the receive queue of a unix socket, and sk-queues.img. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/sockets/queue-peek.h"

struct file_obj;

struct sk_packet {
	struct sk_packet *next; /* of any socket, in the order of the image */
	uint32_t id_for;
	size_t len;
	const void *bytes;
	size_t n_rights;
	const uint32_t *rights; /* ids of files in flight */
	bool has_cred, has_sender;
	struct packet_cred cred;
	size_t sender_len; /* a name as in sun_path */
	const void *sender;
};

struct sk_packets {
	struct sk_packet *first, **end;
};

/* ---- dump ---- */

/* A socket to look into. */
struct queue_source {
	struct dump_task *task;
	const char *what; /* for messages: which descriptor of the task */
	uint32_t id;	  /* of its file */
	struct peek_args peek;
};

/*
 * Copies what is unread; it stays where it is. Files in flight get ids (files_add_in_flight()).
 * QUEUE_IS_ODD when it holds something that cannot be copied: urgent data.
 */
enum { QUEUE_IS_ODD = 1 };
int queue_capture(struct dump *d, const struct queue_source *q, struct err *err);

/* ---- restore ---- */

struct image_reader;
struct SkPacketEntry;

/* Takes one record of sk-queues.img; the message and the bytes are good until it returns. */
typedef int (*queue_take_fn)(struct restore *r, struct image_reader *reader,
			     const struct SkPacketEntry *e, const void *bytes, void *arg,
			     struct err *err);

/* All records, in their order, until take fails; none if there is no such image. */
int queue_each(struct restore *r, queue_take_fn take, void *arg, struct err *err);

/* Reads those of unix sockets into memory of the restore's arena. */
int queue_load(struct restore *r, struct sk_packets *ret, struct err *err);

/* The files in flight in the queue of a socket are needed: files_reach(). */
int queue_reach(struct restore *r, const struct sk_packets *all, uint32_t id_for, struct err *err);

/* Whether anything waits for that socket. */
bool queue_is_empty(const struct sk_packets *all, uint32_t id_for);

/* The first packet for that socket from p on, or NULL. */
const struct sk_packet *queue_next(const struct sk_packet *p, uint32_t id_for);

/*
 * Sends one packet through the socket sender: to the address, if there is one, else to its other
 * end. All files in flight and all processes named must exist.
 */
int queue_send(struct restore *r, const struct sk_packet *p, int sender, const void *addr,
	       size_t addr_len, struct err *err);
