/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/proc.h"

#include <fcntl.h>
#include <stdio.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

int proc_stat_read(pid_t pid, struct proc_stat *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = io_read_file(AT_FDCWD, path, &text);
	return r < 0 ? r : proc_stat_parse(text.data, text.len, ret);
}

bool proc_has_ended(pid_t pid)
{
	struct proc_stat st;

	return proc_stat_read(pid, &st) < 0 || st.state == 'Z' || st.state == 'X';
}
