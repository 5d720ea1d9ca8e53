/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How to fork a tree of processes so that each has the parent and the session that it had.
 *
 * A process cannot be put into a session: it is born there, and leaves it only for one of its own.
 * So it is forked by a member of its session, who need not be its parent: the parent got it when
 * whoever forked it had died. The plan repeats that with helpers, processes that end before
 * anybody could notice them:
 *
 * - in place of a session's leader that has died and been waited for: a helper with that number;
 * - between such a forker and a process that has another parent: a helper that ends while that
 *   parent is the only subreaper on the way up, so that it inherits the process.
 *
 * All are forked first. Then the helpers in between end in rounds, deepest first, so that
 * everybody above is still there; then those that stand for leaders.
 *
 * Pure functions over numbers: used by a dump to refuse what a restore could not do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/vec.h"

#define HISTORY_NOBODY SIZE_MAX

/* sid 0: the session that the first process is born into. */
struct history_task {
	pid_t pid, sid;
	size_t parent; /* an index below its own; HISTORY_NOBODY for the first */
};

struct history_birth {
	size_t forker;	    /* HISTORY_NOBODY for the first */
	bool early;	    /* forked before its forker makes its session */
	bool leads;	    /* makes a session */
	pid_t pid;	    /* of helpers: the number that it stands for, or 0 for any */
	size_t heir;	    /* of helpers in between: who inherits its child; else HISTORY_NOBODY */
	unsigned int round; /* of helpers in between: when it ends, from 1; equal rounds have one
			       heir */
};

/* births: those of the tasks, at their indexes, then those of helpers. */
struct history {
	VEC(struct history_birth) births;
	unsigned int rounds;
	size_t failed; /* a task that cannot be had */
};

enum { HISTORY_IMPOSSIBLE = 1 };

/* 0, HISTORY_IMPOSSIBLE, or -ENOMEM. */
int history_plan(const struct history_task *tasks, size_t n, struct history *ret)
	__attribute__((warn_unused_result));

void history_done(struct history *h);
