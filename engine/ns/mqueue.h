/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * POSIX message queues, mq_overview(7): objects of the IPC namespace with names, attributes and
 * messages. A tree with a namespace of its own takes all of them along; of the host's, only those
 * that have lost their name and live by the tree's descriptors. Others stay where they are.
 *
 * Nobody can look at a message without taking it. So a keeper, a child that outlives us, takes the
 * messages out when the dump has come to its end, and puts them back if the tree lives on or if we
 * are killed.
 */
#pragma once

#include <sys/stat.h>

#include "engine/core/dump.h"
#include "engine/core/restore.h"

struct InventoryEntry;
struct MqueueEntry;

#define MQUEUE_FS_MAGIC 0x19800202

/* ---- dump ---- */

/*
 * The queue that a descriptor of the task leads to. fd: a duplicate that stays open until the end
 * of the dump, st: of it; name: without a slash. *ret_id is the queue's number in the images, or 0
 * if it stays where it is. May dump_refuse().
 */
int mqueue_note(struct dump *d, const struct dump_task *task, int fd, const struct stat *st,
		const char *name, uint32_t *ret_id, struct err *err)
	__attribute__((warn_unused_result));

/* The queues of the tree's own namespace that have a name. */
int mqueues_collect(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* As terminals_drain() and its like. */
int mqueues_drain(struct dump *d, struct err *err) __attribute__((warn_unused_result));
void mqueues_put_back(struct dump *d);
void mqueues_done(struct dump *d);

/* Tells the inventory of them, after mqueues_drain(). Memory from the arena. */
int mqueues_fill(struct dump *d, struct InventoryEntry *e) __attribute__((warn_unused_result));

/* ---- restore ---- */

/* Checks those of the inventory, which lives as long as the restore. */
int mqueues_load(struct restore *r, const struct InventoryEntry *e, struct err *err)
	__attribute__((warn_unused_result));

/* By the number in the images, or NULL. */
const struct MqueueEntry *mqueue_find(const struct restore *r, uint32_t id);

/* In the root builder, in a new namespace: makes those that have a name. */
int mqueues_build(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/*
 * Makes one under its name, or a similar one if that is taken, with its messages. ret_name (at
 * least MQUEUE_NAME_MAX bytes) is the name that it has got. A descriptor, or negative.
 */
enum { MQUEUE_NAME_MAX = 256 };
int mqueue_make(const struct MqueueEntry *e, char *ret_name, struct err *err);
