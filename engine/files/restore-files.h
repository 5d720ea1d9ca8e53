/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a restore: objects, mappings, descriptor tables. */
#pragma once

#include <fcntl.h>

#include "engine/core/restore.h"
#include "engine/files/kind.h"

/* files.img and the ghosts. Before anything that names a file by its id. */
int restore_files_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* fdinfo-N.img and fs-PID.img of a task. */
int restore_files_load_table(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));
int restore_files_load_fs(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* File locks, when the descriptors of all tasks are loaded. */
int restore_files_load_locks(struct restore *r, struct err *err)
	__attribute__((warn_unused_result));

/* Runs link() of the kinds that are needed, and gives out descriptor numbers above fd_base. */
int restore_files_link(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* A file is mapped, opened with these flags. */
int restore_files_need_mapping(struct restore *r, uint32_t id, int flags, struct err *err)
	__attribute__((warn_unused_result));

/* A file that was needed for a mapping with these flags is locked when it is opened (LOCK_SH or
 * LOCK_EX); the mapping keeps the lock. */
void restore_files_lock_mapping(struct restore *r, uint32_t id, int flags, int lock);

/* The number of its descriptor in builders; flags -1: whatever it was needed with. */
int restore_files_mapping_fd(const struct restore *r, uint32_t id, int flags);

/* In the root builder: makes every object and opens every mapped file. */
int restore_files_create(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* In the root builder, when all tasks are born: the kinds that are late. */
int restore_files_create_late(struct restore *r, struct err *err)
	__attribute__((warn_unused_result));

/*
 * In the engine: when the files are made and builders are still in the root of their mounts; and
 * right before the tasks are let go, when the names that the dump has made for files go away.
 */
int restore_files_made(struct restore *r, struct err *err) __attribute__((warn_unused_result));
void restore_files_letting_go(struct restore *r);

/* It is made when all tasks are born. */
static inline bool files_is_late(const struct file_obj *obj)
{
	return obj->kind->late || obj->late;
}

/* In every builder: descriptors of the task in their places, everything else below fd_base closed.
 */
int restore_files_place(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* How working and root directories are opened. */
enum { DIRECTORY_FLAGS = O_PATH | O_DIRECTORY };

/* In every builder: root directory, working directory, umask. */
int restore_files_enter(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* POSIX locks of a task, to be taken when nothing of ours is left to be closed in it. */
void restore_files_put_locks(struct restore *r, struct restore_task *task, struct program *p);

/* Highest descriptor number of all tasks, -1 if there is none. */
int restore_files_highest(const struct restore *r);

/* How many descriptors at the most are open while others are made. */
int restore_files_waiting(const struct restore *r);

/* Frees what is not of the arena. */
void restore_files_done(struct restore *r);
