/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options of sockets that CRIU's messages have no field for, in a table: a list in the image says
 * which of them differ from what a fresh socket has.
 */
#pragma once

#include "engine/core/dump.h"
#include "engine/sockets/sockopts.h"

/* Fills the list of the message with what the socket has set. */
int more_opts_capture(struct dump *d, int sk, const struct sk_ident *who, struct SkOptsEntry *e,
		      struct err *err) __attribute__((warn_unused_result));

/* Whether all of the list are options that such a socket has. */
int more_opts_check(uint32_t file_id, const struct sk_ident *who, const struct SkOptsEntry *e,
		    struct err *err) __attribute__((warn_unused_result));

/* When an option is set. */
enum more_opts_time {
	MORE_OPTS_USUAL,
	MORE_OPTS_EARLY, /* before an address or a ring */
	MORE_OPTS_LAST,	 /* after the filter */
};

int more_opts_restore(int sk, const struct SkOptsEntry *e, enum more_opts_time when,
		      struct err *err) __attribute__((warn_unused_result));
