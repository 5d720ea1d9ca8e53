/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of level SOL_SOCKET, common to sockets of every family. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

struct SkOptsEntry;

/* Reads the options of a socket into a message of the dump's arena. */
int sockopts_capture(struct dump *d, int sk, int family, struct SkOptsEntry **ret, struct err *err)
	__attribute__((warn_unused_result));

/* Whether the message is one that sockopts_restore() can use. */
int sockopts_check(uint32_t file_id, const struct SkOptsEntry *e, struct err *err)
	__attribute__((warn_unused_result));

/* Sets all of them. SO_REUSEADDR and SO_REUSEPORT are left to the family. */
int sockopts_restore(int sk, const struct SkOptsEntry *e, struct err *err)
	__attribute__((warn_unused_result));

/* Makes room for sending a whole queue; sockopts_restore() sets the right size afterwards. */
int sockopts_make_room(int sk, struct err *err) __attribute__((warn_unused_result));
