/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes that live with the tree, in its cgroup or pid namespace, and do not descend from its
 * root. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cgroups/freezer.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "engine/ns/ns.h"
#include "engine/task/task.h"

static void refuse_stranger(struct dump *d, pid_t pid, const char *where)
{
	cleanup_fd int fd = io_open_proc(pid);
	struct proc_stat st = { 0 };
	struct proc_status status = { 0 };

	if (fd < 0 || proc_stat_read_at(fd, "stat", &st) < 0 ||
	    proc_status_read_at(fd, "status", &status) < 0)
		return; /* it has ended meanwhile */
	if (st.state != 'Z')
		dump_refuse(d, NULL,
			    "task %d (%s, pid %d inside) is in the same %s but is not a descendant "
			    "of the root task (exec puts such processes there), and would be lost; "
			    "hint: "
			    "let it end before the dump",
			    pid, st.comm, status.nspid.inner, where);
	proc_status_done(&status);
}

static int strangers_of_cgroup(struct dump *d, const struct cgroup_freezer *f, struct err *err)
{
	struct cgroup_pids list = { 0 };
	pid_t *pid;
	int r = freezer_pids(f, &list, err);

	vec_foreach (pid, &list.pids)
		if (r == 0 && !dump_task_by_pid(d, *pid))
			refuse_stranger(d, *pid, "cgroup");
	vec_free(&list.pids);
	return r;
}

/* Tasks of the pid namespace that the cgroup does not show. */
static int strangers_of_pidns(struct dump *d, struct err *err)
{
	cleanup_dir DIR *dir = opendir("/proc");
	struct dirent *e;
	char path[64];

	if (!dir)
		return err_sys(err, -errno, "listing /proc");
	while ((e = readdir(dir))) {
		pid_t pid = atoi(e->d_name);
		struct stat st;

		snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
		if (pid > 0 && !dump_task_by_pid(d, pid) && stat(path, &st) == 0 &&
		    st.st_ino == d->root_ns.ino[NS_PID])
			refuse_stranger(d, pid, "pid namespace");
	}
	return 0;
}

int tree_check_strangers(struct dump *d, const struct cgroup_freezer *freezer, struct err *err)
{
	if (freezer)
		return strangers_of_cgroup(d, freezer, err);
	/* a pid namespace that is handed over at restore is shared with others */
	if (d->root_ns.id[NS_PID] != d->host_ns.id[NS_PID] &&
	    !ns_external_key(d->opts, NS_PID, d->root_ns.ino[NS_PID]))
		return strangers_of_pidns(d, err);
	return 0;
}
