/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of level SOL_SOCKET, common to sockets of every family. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

struct SkOptsEntry;
struct file_ref;

/* What decides which options a socket has. */
struct sk_ident {
	int family, type, protocol; /* as of socket(2), with the protocol that 0 stands for */
	bool was_connected;	    /* a stream that has or had a peer */
};

/*
 * Reads the options of a socket into a message of the dump's arena. KIND_UNSUPPORTED after
 * dump_refuse() when they cannot be kept.
 */
int sockopts_capture(struct dump *d, struct file_ref *ref, const struct sk_ident *who,
		     struct SkOptsEntry **ret, struct err *err) __attribute__((warn_unused_result));

/* Whether the message is one that sockopts_restore() can use. */
int sockopts_check(uint32_t file_id, const struct sk_ident *who, const struct SkOptsEntry *e,
		   struct err *err) __attribute__((warn_unused_result));

/* Sets what must be set before the socket gets an address. */
int sockopts_restore_early(int sk, const struct SkOptsEntry *e, struct err *err)
	__attribute__((warn_unused_result));

/* Sets all others. SO_REUSEADDR and SO_REUSEPORT are left to the family. */
int sockopts_restore(int sk, const struct SkOptsEntry *e, struct err *err)
	__attribute__((warn_unused_result));

/* Makes room for sending a whole queue; sockopts_restore() sets the right size afterwards. */
int sockopts_make_room(int sk, struct err *err) __attribute__((warn_unused_result));

/* Tells that an option could not be set. Returns r. */
int sockopts_failed(struct err *err, int r, const char *option);
