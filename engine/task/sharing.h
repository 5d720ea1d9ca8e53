/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What processes share: tables of descriptors (CLONE_FILES), directories and umask (CLONE_FS),
 * lists of semaphore operations to undo (CLONE_SYSVSEM), memory (CLONE_VM), and with that also
 * signal handlers (CLONE_SIGHAND). It is shared at birth or never. So while the tree is forked, it
 * is handed on along the way between the members of a group, also through processes that do not
 * belong to it. These unshare a table later, and then have one of their own; memory and handlers
 * nobody can leave, so only helpers, which end, can hand them on. A process has only one of each at
 * a time, so two ways may not cross.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/core/restore.h"

struct share_node {
	size_t forker;	/* index; SHARE_NOBODY: the first */
	uint32_t group; /* members have the same number; 0: none */
	uint32_t carry; /* the group whose table it hands on, itself a member or not; 0: none */
	size_t depth;	/* for the plan itself */
};

/* What share_siblings() looks at. */
struct share_kin {
	size_t forker;	    /* as above */
	size_t parent;	    /* who has it in the end; SHARE_NOBODY: it is a helper, or the first */
	bool helper, leads; /* leads a session */
	pid_t sid;
	int exit_signal;
	uint32_t memory, handlers; /* groups; 0: none */
	bool sibling; /* the answer: forker is a sibling who clones it (CLONE_PARENT) */
};

/*
 * Memory can also come from a sibling: two have it in common whose parent had it, and has ended or
 * executed another program. Gives those who can have it so, and not by their forkers, a new forker.
 * 0 or -ENOMEM.
 */
int share_siblings(struct share_kin *kin, size_t n);

#define SHARE_NOBODY SIZE_MAX

enum shared_table {
	SHARED_FILES,
	SHARED_DIRS,
	SHARED_UNDO,
	SHARED_MEMORY,
	SHARED_HANDLERS,
	SHARED_TABLES,
};

/* For messages. */
const char *share_name(enum shared_table table);

/*
 * Fills carry. 0, -ENOMEM, or SHARE_CROSSES with *ret_index of a process that would have to carry
 * two tables.
 */
enum { SHARE_CROSSES = 1 };
int share_plan(struct share_node *nodes, size_t n, size_t *ret_index);

/* After the plan: whether a process has what it carries for good, can leave it, or ends. */
bool share_stays_with(const struct share_node *node, enum shared_table table, bool ends);

/*
 * Fills files, dirs, undo, memory and handlers of all tasks and helpers, and what follows from
 * them, by the ids of the images. After tree_plan().
 */
int share_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Flags for the clone of a child by its forker. */
uint64_t share_clone_flags(const struct restore_task *forker, const struct restore_task *child);

/*
 * In a builder, before it forks: the task whose memory begins with it, for all who will share that;
 * NULL if it was there before.
 */
struct restore_task *share_memory_begins(const struct restore *r, struct restore_task *task);

/* In a builder, when it has forked all: a table that it only handed on becomes its own. */
int share_leave(const struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));
