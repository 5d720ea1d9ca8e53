/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc tells about one process or thread, read and parsed. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "engine/base/proctext.h"

/* /proc/PID/stat. 0 or -errno; -ENOENT or -ESRCH: there is no such process. */
int proc_stat_read(pid_t pid, struct proc_stat *ret);

/*
 * Opens a pidfd, close-on-exec. Of a thread that need not be the first one (since 6.9): its
 * descriptors are those of the thread. A descriptor or -errno.
 */
int proc_open_pidfd(pid_t tid, bool thread);

/* It is a zombie, or gone. */
bool proc_has_ended(pid_t pid);

/* stat or status at a path below a directory, such as "task/7/stat" below /proc/PID. 0 or -errno.
 */
int proc_stat_read_at(int dir, const char *path, struct proc_stat *ret);
int proc_status_read_at(int dir, const char *path, struct proc_status *ret);
