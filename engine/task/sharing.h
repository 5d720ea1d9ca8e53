/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables that processes share: of descriptors (CLONE_FILES), and of directories and umask
 * (CLONE_FS). A table is shared at birth or never. So while the tree is forked, the table of a
 * group is handed on along the way between its members, also through processes that do not belong
 * to it; these unshare later, and then have a table of their own. A process has only one table at a
 * time, so two ways may not cross.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/core/restore.h"

struct share_node {
	size_t forker;	/* index; SHARE_NOBODY: the first */
	uint32_t group; /* members have the same number; 0: none */
	uint32_t carry; /* the group whose table it hands on, itself a member or not; 0: none */
	size_t depth;	/* for the plan itself */
};

#define SHARE_NOBODY SIZE_MAX

/*
 * Fills carry. 0, -ENOMEM, or SHARE_CROSSES with *ret_index of a process that would have to carry
 * two tables.
 */
enum { SHARE_CROSSES = 1 };
int share_plan(struct share_node *nodes, size_t n, size_t *ret_index);

/* Fills files and dirs of all tasks and helpers, from the ids of the images. After tree_plan(). */
int share_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Flags for the clone of a child by its forker. */
uint64_t share_clone_flags(const struct restore_task *forker, const struct restore_task *child);

/* In a builder, when it has forked all: a table that it only handed on becomes its own. */
int share_leave(const struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));
