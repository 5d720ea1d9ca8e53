/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process whose first thread has ended while others live on. /proc/PID shows no memory and no
 * files of it any more, and it cannot be traced. So one of the others stands in for it: it answers
 * for the process, and /proc/TID shows through it what /proc/PID would.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "engine/task/task.h"

/* What can still be asked of the thread that has ended is restored as the stand-in has it. */
static int check_like_leader(struct dump *d, const struct dump_task *task, struct err *err)
{
	const struct proc_status *s = &task->threads.v[0]->status;
	struct proc_status of_leader = { 0 };
	cleanup_buf struct buf b = BUF_INIT;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", task->pid);
	r = io_read_file(AT_FDCWD, path, &b);
	if (r == 0)
		r = proc_status_parse(b.data, b.len, &of_leader);
	if (r < 0)
		return err_sys(err, r, "reading /proc/%d/status", task->pid);
	if (memcmp(of_leader.uid, s->uid, sizeof(s->uid)) != 0 ||
	    memcmp(of_leader.gid, s->gid, sizeof(s->gid)) != 0 || of_leader.cap_prm != s->cap_prm)
		dump_refuse(d, task, "its first thread has ended, and had other credentials");
	/* it could not end when it is restored: a stop is for all of them */
	if (task->threads.v[0]->t.stop_signal)
		dump_refuse(d, task, "its first thread has ended, and the others are stopped");
	proc_status_done(&of_leader);
	return 0;
}

int tree_stand_in(struct dump *d, struct dump_task *task, struct err *err)
{
	struct dump_thread *th = task->threads.v[0];
	int r = proc_stat_read(task->pid, &task->leader_stat);

	if (r < 0)
		return err_sys(err, r, "reading /proc/%d/stat", task->pid);
	close(task->proc_fd);
	task->proc_fd = io_open_proc(th->t.tid);
	if (task->proc_fd < 0)
		return err_sys(err, task->proc_fd, "opening /proc/%d", th->t.tid);
	task->dead_leader = th->leader = true;
	task->tid = th->t.tid;
	/* of a thread: since 6.9 */
	task->files_pidfd = proc_open_pidfd(task->tid, true);
	if (task->files_pidfd < 0) {
		err_refuse(err,
			   "%s: its first thread has ended and others live on, and this kernel "
			   "cannot copy their files",
			   dump_task_name(d, task));
		err_hint(err, "this needs Linux 6.9");
		return err->code;
	}
	return check_like_leader(d, task, err);
}
