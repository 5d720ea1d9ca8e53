/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers of filelocks.img, and the lists that the contexts point to. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "engine/base/proctext.h"

/* file_lock_entry.flag */
enum lock_style { LOCK_POSIX = 1, LOCK_FLOCK = 2, LOCK_OFD = 4, LOCK_LEASE = 8 };

/* Beside F_RDLCK, F_WRLCK or F_UNLCK in file_lock_entry.type: a lease on its way to that type. */
enum { LOCK_BREAKING = 4 };

struct FileLockEntry;
struct dump_task;
struct restore_task;
struct file_obj;

struct dump_lock {
	struct dump_lock *next;
	struct dump_task *task; /* who shall take it again, through fd */
	int fd, lfd;
	uint32_t file_id;
	struct proc_lock is;
};

struct dump_locks {
	struct dump_lock *first, **end;
};

struct restore_lock {
	struct restore_lock *next;
	struct FileLockEntry *entry;
	struct restore_task *task;
	struct file_obj *obj;
};

struct restore_locks {
	struct restore_lock *first, **end;
};

struct dump;

/* Whether the lock was seen at a descriptor. */
bool locks_is_noted(const struct dump *d, const struct proc_lock *is);
