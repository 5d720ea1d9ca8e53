/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Namespaces of a tree: which it has of its own, what is in them, and how they are made again. All
 * tasks of a tree are in the namespaces of its root task. Mount and cgroup namespaces get their ids
 * here and their contents from mounts/ and cgroups/.
 *
 * The kernel's rules decide who does what at a restore:
 * - pid, user, mnt, net, ipc and uts namespaces are made by the clone of the root builder, all in
 * one call, so that the others belong to the new user namespace;
 * - the maps of a user namespace are written from outside, by the engine, before the builder goes
 * on;
 * - a pid namespace can only be entered by being born in it, and a process in a new user namespace
 *   may not enter what its parent namespace owns: the engine enters such namespaces around the
 * clone;
 * - a time namespace takes its offsets while nobody is in it: the builder unshares one, writes the
 *   offsets and enters it;
 * - a cgroup namespace has for its root the cgroup of the moment it is made:
 * cgroups_enter_ns_root().
 */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

/* ---- dump ---- */

/*
 * Reads the namespaces of this process and of the stopped tree and gives them their ids: first
 * those of this process, then those of the root task that differ. Refuses tasks and threads that
 * are in other namespaces than the root task.
 */
int ns_collect(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * Images of the tree's own namespaces, and the clocks. Refuses what cannot be kept of them. The
 * tasks must be stopped; nothing in the namespaces is changed.
 */
int ns_dump(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * The key of "TYPE[INODE]:KEY" in opts->externals (borrowed), or NULL: a namespace that is not
 * dumped, because it will be handed over at restore. It may be shared with processes outside of the
 * tree.
 */
const char *ns_external_key(const struct ckpt_options *opts, enum ns_type type, uint64_t ino);

/*
 * Images have user and group ids as the tree sees them; this process sees others if the tree has
 * its own user namespace. After ns_collect(). 0, -EOVERFLOW for an id that is not mapped inside, or
 * another -errno.
 */
int ns_inside_uid(const struct dump *d, uint32_t uid, uint32_t *ret);
int ns_inside_gid(const struct dump *d, uint32_t gid, uint32_t *ret);

/* The semaphore sets of the namespace in which the tree lives. The values are the arena's. */
struct ns_sem_set {
	int id;
	uint32_t n;
	int64_t last; /* operation: seconds of the clock; 0: none */
	const uint16_t *values;
};

struct ns_sems {
	VEC(struct ns_sem_set) sets; /* the caller's to free */
};

int ns_sems_look(struct dump *d, struct ns_sems *ret, struct err *err)
	__attribute__((warn_unused_result));

/* ---- restore ---- */

/* The value of a semaphore in a set that the restore makes; after ns_load(). */
bool ns_sem_value(const struct restore *r, int id, uint32_t num, uint16_t *ret);

/*
 * Reads and checks everything about namespaces. Needs r->tasks with their ids, r->host_ns.id[] from
 * the inventory's root_ids, and the options. Sets r->root_ns.id[], r->new_ns (the namespaces to
 * make, without those that are joined) and r->ns. Joined namespaces are opened here; ns_done()
 * closes them.
 */
int ns_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));
void ns_done(struct restore *r);

/* The part of r->new_ns that belongs into the flags of the root builder's clone. */
uint64_t ns_clone_flags(const struct restore *r);

/* Namespaces that this process has left for a moment: descriptors of its own ones, -1 for others.
 */
struct ns_borrowed {
	int own[NS_TYPE_COUNT];
};

/*
 * Right before the clone of the root builder: enters the namespaces into which it must be born.
 * Right after the clone, whether it went well or not, ns_return() goes back. Nearly always nothing
 * is to do. A failed ns_return() leaves this process in namespaces of the container: it must not go
 * on.
 */
int ns_borrow(struct restore *r, struct ns_borrowed *ret, struct err *err)
	__attribute__((warn_unused_result));
int ns_return(struct ns_borrowed *b, struct err *err) __attribute__((warn_unused_result));

/*
 * Writes the maps of the root builder's new user namespace; does nothing if it has none. In the
 * engine, after the clone and before the builder goes on.
 */
int ns_write_user_maps(struct restore *r, pid_t builder, struct err *err)
	__attribute__((warn_unused_result));

/*
 * In the root builder, once the maps are written, before mounts and files are made and before it
 * forks: becomes root of the user namespace, enters joined namespaces and fills new ones. Needs
 * /proc of a pid namespace in which the builder is visible. The process must have one thread.
 */
int ns_build(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/*
 * In the engine, when the memory of all tasks is complete but before they run: what has to wait
 * until then. Nearly always nothing is to do.
 */
int ns_finish(struct restore *r, pid_t root, struct err *err) __attribute__((warn_unused_result));
