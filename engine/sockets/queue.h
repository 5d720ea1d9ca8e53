/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits in a socket's receive queue, and sk-queues.img. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

struct sk_packet {
	struct sk_packet *next; /* of any socket, in the order of the image */
	uint32_t id_for;
	size_t len;
	const void *bytes;
};

struct sk_packets {
	struct sk_packet *first, **end;
};

/* Something in the queue, passed descriptors or credentials, cannot be kept. */
enum { QUEUE_HAS_CONTROL = 1 };

/* Copies the unread bytes of a stream; they stay where they are. */
int queue_capture_stream(struct dump *d, int sk, uint32_t id, struct err *err);

/*
 * The same for datagrams, with their borders. rcv_shut: the socket is shut down for reading, so
 * that nothing read means the end and not an empty packet.
 */
int queue_capture_packets(struct dump *d, int sk, uint32_t id, bool rcv_shut, struct err *err);

/* Reads sk-queues.img into memory of the restore's arena. */
int queue_load(struct restore *r, struct sk_packets *ret, struct err *err);

/* Whether anything waits for that socket. */
bool queue_is_empty(const struct sk_packets *all, uint32_t id_for);

/* Sends what waits for a socket through its other end; a stream or connected. */
int queue_send(const struct sk_packets *all, uint32_t id_for, int sender, struct err *err);
