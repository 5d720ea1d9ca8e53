/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc tells about one process or thread, read and parsed. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "engine/base/proctext.h"

/* /proc/PID/stat. 0 or -errno; -ENOENT or -ESRCH: there is no such process. */
int proc_stat_read(pid_t pid, struct proc_stat *ret);

/* It is a zombie, or gone. */
bool proc_has_ended(pid_t pid);
