/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the stories and the builders do for terminals, beyond what a file kind does. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

/* ---- dump ---- */

/*
 * After all descriptors are collected: which sides belong together, whose controlling terminals
 * they are; refuses what cannot be kept; writes tty-info.img.
 */
int terminals_resolve(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * Takes what is on its way out of the tree's pseudo terminals into tty-data.img: the last thing
 * before the images are written, as it cannot be looked at otherwise.
 */
int terminals_drain(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* The tree lives on: puts it back, while the tasks are still held. */
void terminals_put_back(struct dump *d);

/* The tree has ended, or everything is back. */
void terminals_done(struct dump *d);

/* ---- restore ---- */

/* In the builder of a session leader, before its children are forked: they inherit the terminal. */
int terminals_lead(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* In every builder, when all process groups exist. */
int terminals_groups(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/*
 * In the engine: calls tell(arg, fd) for each master that the client is to have. fd is borrowed.
 * The root builder must still have its descriptors.
 */
int terminals_orphans(struct restore *r, int (*tell)(void *arg, int fd, struct err *err), void *arg,
		      struct err *err) __attribute__((warn_unused_result));
