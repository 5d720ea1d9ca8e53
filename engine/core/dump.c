/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kinds of a dump share: names for messages, refusals, kinds of namespaces. */
#include "engine/core/dump.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

const struct ns_type_info ns_types[NS_TYPE_COUNT] = {
	[NS_PID] = { "pid", CLONE_NEWPID },	     [NS_NET] = { "net", CLONE_NEWNET },
	[NS_IPC] = { "ipc", CLONE_NEWIPC },	     [NS_UTS] = { "uts", CLONE_NEWUTS },
	[NS_MNT] = { "mnt", CLONE_NEWNS },	     [NS_USER] = { "user", CLONE_NEWUSER },
	[NS_CGROUP] = { "cgroup", CLONE_NEWCGROUP }, [NS_TIME] = { "time", CLONE_NEWTIME },
};

pid_t dump_root_tid(const struct dump *d)
{
	return d->tasks.v[0]->tid;
}

struct dump_task *dump_task_by_pid(const struct dump *d, pid_t pid)
{
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		if ((*t)->pid == pid)
			return *t;
	return NULL;
}

const char *dump_task_name(struct dump *d, const struct dump_task *task)
{
	const char *comm =
		task->threads.n ? arena_printable(&d->arena, task->threads.v[0]->stat.comm) : "?";
	char *s;

	if (task->pid == task->ns_pid)
		s = arena_printf(&d->arena, "task %d (%s)", task->pid, comm);
	else
		s = arena_printf(&d->arena, "task %d (%s, pid %d inside)", task->pid, comm,
				 task->ns_pid);
	return s ? s : "a task";
}

void dump_refuse(struct dump *d, const struct dump_task *task, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&d->refusals.text, "%s%s%s%s", d->refusals.n ? "; " : "",
		   task ? dump_task_name(d, task) : "", task ? ": " : "", text);
	d->refusals.n++;
}
