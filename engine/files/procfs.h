/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of procfs that belong to a task. See procfs.c. */
#pragma once

#include "engine/files/kind.h"

struct restore_ghost;

/* The N of "/proc/N" and "/proc/N/...", and what is behind it. 0 for any other path. */
pid_t procfs_pid(const char *path, const char **ret_rest);

/*
 * Dump: for a file of procfs; name is without the mark of a deleted file. found: the path leads to
 * it; task_found: its /proc/N is there. KIND_UNSUPPORTED when it was refused.
 */
int procfs_capture(struct dump *d, struct file_ref *ref, const char *name, bool found,
		   bool task_found, struct err *err);

/* Restore: the path is that of a task that the root builder will fork. */
bool procfs_is_late(const struct restore *r, const char *path);

/* In the root builder: opens the files of a process that has ended. */
int procfs_make_dead(struct restore *r, struct restore_ghost *g, struct err *err);
