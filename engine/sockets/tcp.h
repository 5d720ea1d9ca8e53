/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open TCP connections (--tcp-established), by the kernel's repair mode (TCP_REPAIR): a socket in
 * it sends nothing, shows and takes its queues and sequence numbers, and ends without a word to
 * its peer. Images are tcp-stream-INODE.img.
 *
 * A dump cuts the connections off (net-lock.h) and leaves the sockets in repair mode: they end with
 * their tasks, or are taken out of it when the tasks go on. A restore makes sockets in repair mode,
 * and lets the network in when all tasks are there.
 */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

struct file_ref;
struct FileEntry;
struct InetSkEntry;
struct TcpStreamEntry;
struct isk;

/*
 * States of the kernel that an open connection of a task can be in. One that has ended (CLOSE) is
 * treated like these while it has something to read.
 */
bool tcp_is_open(uint32_t state);

/* ---- dump ---- */

/*
 * Notes a connection; nothing is touched yet. fe is filled, and written when tcp_dump() knows the
 * state that the connection was stopped in. 0 or negative.
 */
int tcp_note(struct dump *d, const struct file_ref *ref, const struct FileEntry *fe,
	     struct err *err) __attribute__((warn_unused_result));

/* Cuts off all that were noted, stops them and adds their images. */
int tcp_dump(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* The undo of tcp_dump(): goes_on says whether the tasks do. */
void tcp_release(struct dump *d, bool goes_on);

/* For the inventory: how the network was cut off (enum net_lock_method), and the name of that. */
int tcp_lock_method(const struct dump *d);
const char *tcp_lock_id(const struct dump *d);

/* ---- restore ---- */

/* One connection as its image has it; bytes live as long as the restore. */
struct tcp_stream {
	const struct TcpStreamEntry *e;
	const uint8_t *in, *out;
};

/* Reads and checks the image of a connection. */
int tcp_load(struct restore *r, const struct InetSkEntry *e, struct tcp_stream *ret,
	     struct err *err) __attribute__((warn_unused_result));

/* In the root builder: gives a new socket its addresses and what the image has. It stays in repair
 * mode. */
int tcp_make(struct isk *s, struct err *err) __attribute__((warn_unused_result));

/*
 * In the engine, when the root has its namespaces and nobody has files: cuts the connections off.
 * The ends of one connection are made one after the other, and what the host or a new namespace
 * gets for an end that is not there yet it answers with a reset.
 */
int tcp_cut_off(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Undoes that after a failure. */
void tcp_abandon(struct restore *r);

/* In the engine, when all builders have their files: takes hold of the connections. */
int tcp_adopt(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Lets the network in and ends repair mode; from here on peers are answered. */
int tcp_resume(struct restore *r, struct err *err) __attribute__((warn_unused_result));
