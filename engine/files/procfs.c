/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of procfs that belong to a task.
 *
 * Of a task of the tree: they are opened when all tasks are born. Of a task that has ended: a
 * process with its pid is made, and ended when the files are open. Procfs keeps to the process, not
 * to the number, so such a file stays that of a dead one whoever gets the pid later.
 */
#include "engine/files/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/ghost-tables.h"
#include "engine/files/ghost.h"
#include "proto/files.pb-c.h"

pid_t procfs_pid(const char *path, const char **ret_rest)
{
	static const char top[] = "/proc/";
	char *end;
	long pid;

	if (strncmp(path, top, sizeof(top) - 1) != 0 || path[sizeof(top) - 1] < '1' ||
	    path[sizeof(top) - 1] > '9')
		return 0;
	errno = 0;
	pid = strtol(path + sizeof(top) - 1, &end, 10);
	if (errno || pid > INT32_MAX || (*end && *end != '/'))
		return 0;
	*ret_rest = end;
	return (pid_t)pid;
}

/* ---- dump ---- */

static const struct dump_task *task_inside(const struct dump *d, pid_t ns_pid)
{
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		if ((*t)->ns_pid == ns_pid)
			return *t;
	return NULL;
}

/* Threads are made after the files. */
static bool is_of_thread(const struct dump *d, pid_t pid, const char *rest)
{
	static const char below[] = "/task/";

	return task_inside(d, pid) && strncmp(rest, below, sizeof(below) - 1) == 0 &&
	       strtol(rest + sizeof(below) - 1, NULL, 10) != pid;
}

int procfs_capture(struct dump *d, struct file_ref *ref, const char *name, bool found,
		   bool task_found, struct err *err)
{
	const char *rest = "";
	pid_t pid = procfs_pid(name, &rest);

	if (pid && is_of_thread(d, pid, rest)) {
		dump_refuse(d, ref->task, "%s: '%s' is a procfs file of a thread", ref->what, name);
		return KIND_UNSUPPORTED;
	}
	if (found)
		return 0;
	if (!pid || task_found) {
		dump_refuse(d, ref->task, "%s: the procfs file '%s' is not there any more",
			    ref->what, name);
		return KIND_UNSUPPORTED;
	}
	return ghost_add_remap(d, ref->id, (uint32_t)pid, REMAP_TYPE__PROCFS, err);
}

/* ---- restore ---- */

bool procfs_is_late(const struct restore *r, const char *path)
{
	struct restore_task *const *t;
	const char *rest;
	pid_t pid = procfs_pid(path, &rest);

	if (pid)
		vec_foreach (t, &r->tasks)
			if ((*t)->parent && (*t)->ns_pid == pid)
				return true;
	return false;
}

/* Whether tasks live in a directory of an ended process, which nobody can enter later. */
static bool is_lived_in(const struct restore *r, const struct file_obj *dir)
{
	struct restore_task *const *t;

	vec_foreach (t, &r->tasks)
		if (!(*t)->dead && (*t)->cwd == dir)
			return true;
	return false;
}

/* The pid that it had, or any if another process has that one now. */
static pid_t make_process(pid_t want)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = (uint64_t)(uintptr_t)&want,
				   .set_tid_size = 1 };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid < 0 ? -errno : pid;
}

static int open_name(struct restore *r, struct ghost_name *name, pid_t pid, struct err *err)
{
	cleanup_free char *path = NULL;
	const char *rest = "";
	struct ghost_user *u;

	if (!procfs_pid(name->path, &rest))
		return err_image(err, "image 'remap-fpath.img': '%s' is no file of a task",
				 name->path);
	if (asprintf(&path, "/proc/%d%s", pid, rest) < 0)
		return err_nomem(err);
	name->fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (name->fd < 0)
		return err_sys(err, -errno, "opening '%s'", path);
	/* many of these files can be opened only while their task is there */
	for (u = name->users; u; u = u->next) {
		u->fd = open(path, (int)u->obj->entry->reg->flags | O_CLOEXEC | O_NOCTTY);
		if (u->fd < 0)
			return err_sys(err, -errno, "opening '%s'", path);
		if (!is_lived_in(r, u->obj))
			continue;
		if (r->born_in && r->born_in != u->obj)
			return err_refuse(err, "tasks live in two directories of processes that "
					       "have ended");
		r->born_in = u->obj;
		if (chdir(path) < 0)
			return err_sys(err, -errno, "entering '%s'", path);
	}
	return 0;
}

int procfs_make_dead(struct restore *r, struct restore_ghost *g, struct err *err)
{
	pid_t pid = make_process((pid_t)g->id);
	struct ghost_name *name;
	int n = 0;

	if (pid < 0)
		return err_sys(err, pid, "making a process that has files in procfs");
	if (pid != (pid_t)g->id)
		log_warn(r->log,
			 "the files of ended process %u are called by pid %d now: another "
			 "process has that pid",
			 g->id, pid);
	for (name = g->names; name && n == 0; name = name->next)
		n = open_name(r, name, pid, err);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return n;
}
