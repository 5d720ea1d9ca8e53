/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What inotify and fanotify watch: a file, which the kernel shows as a handle. */
#pragma once

#include "engine/base/proctext-fdinfo.h"
#include "engine/files/kind.h"

struct FhEntry;
struct mount_tree;

struct watched {
	const char *what; /* "watch 3", "a mark" */
	uint64_t ino;
	uint32_t sdev; /* kernel encoding */
	const struct proc_fhandle *handle;
};

/*
 * Dump: the handle, and the path that leads to the file, or the open file that it is if it was
 * deleted. KIND_UNSUPPORTED after dump_refuse(). For a capture() that comes last.
 */
int watched_capture(struct dump *d, const struct file_ref *ref, const struct watched *w,
		    struct FhEntry **ret, struct err *err);

/* Events that wait to be read are told by nothing but a read, and cannot be made again. For met().
 */
int watch_refuse_unread(struct dump *d, struct file_ref *ref);

/* The mounts that a task sees: *own is to be freed by the caller, and may stay NULL. */
int watched_mounts(struct dump *d, const struct dump_task *task, struct mount_tree **own,
		   const struct mount_tree **ret, struct err *err);

/* Restore, for load(). */
int watched_check(const struct FhEntry *h, struct err *err);

/*
 * For create(): a place to watch. path is good until watched_done(), and to be followed if follow
 * is set.
 */
struct watched_place {
	char path[4096];
	bool follow;
	int fd, old_dir;
};

int watched_find(struct restore *r, const struct FhEntry *h, uint32_t sdev, uint64_t ino,
		 struct watched_place *ret, struct err *err);
void watched_done(struct watched_place *p);

/*
 * In the engine, before the tasks run: what the restore itself did to watched files is nothing that
 * they should hear of.
 */
void watches_forget_events(struct restore *r);
