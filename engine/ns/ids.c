// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which namespaces a tree is in, and the ids that images give them. */
#include "engine/ns/ns-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/task/task.h"

void ns_assign_ids(struct ns_set *host, struct ns_set *root)
{
	/* The order of CRIU's, so that images of the same tree look the same. */
	static const enum ns_type order[] = { NS_PID,  NS_NET, NS_IPC,	NS_UTS,
					      NS_TIME, NS_MNT, NS_USER, NS_CGROUP };
	uint32_t next = 1;

	for (size_t i = 0; i < NS_TYPE_COUNT; i++)
		host->id[order[i]] = host->ino[order[i]] ? next++ : 0;
	for (size_t i = 0; i < NS_TYPE_COUNT; i++) {
		enum ns_type t = order[i];

		root->id[t] = root->ino[t] == host->ino[t] ? host->id[t] : next++;
	}
}

/*
 * What /proc/PID/task/TID/ns lists. The ..._for_children links show what unshare(2) or setns(2) has
 * prepared for the children of a task; they differ from the task's own only then.
 */
static const struct link {
	const char *name;
	enum ns_type type;
} links[] = {
	{ "net", NS_NET },   { "ipc", NS_IPC },
	{ "uts", NS_UTS },   { "mnt", NS_MNT },
	{ "user", NS_USER }, { "cgroup", NS_CGROUP },
	{ "pid", NS_PID },   { "pid_for_children", NS_PID },
	{ "time", NS_TIME }, { "time_for_children", NS_TIME },
};

/* Inode of "net:[4026531840]". */
static int link_ino(int dirfd, const char *name, uint64_t *ret)
{
	char text[64];
	ssize_t n = readlinkat(dirfd, name, text, sizeof(text) - 1);
	const char *p;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	p = strchr(text, '[');
	if (!p)
		return -EINVAL;
	*ret = strtoull(p + 1, NULL, 10);
	return 0;
}

static int check_link(struct dump *d, struct dump_task *task, pid_t tid, int dirfd,
		      const struct link *l, struct err *err)
{
	const char *for_children = strstr(l->name, "_for_children");
	uint64_t ino = 0;
	int r;

	if (!d->root_ns.ino[l->type])
		return 0;
	r = link_ino(dirfd, l->name, &ino);
	/* A pid namespace without a first process yet has no name to be read. */
	if (r == -ENOENT && l->type == NS_PID && for_children)
		r = 0;
	if (r < 0)
		return err_sys(err, r, "reading namespace '%s' of thread %d of %s", l->name, tid,
			       dump_task_name(d, task));
	if (ino == d->root_ns.ino[l->type])
		return 0;
	if (for_children)
		dump_refuse(d, task,
			    "thread %d has set another %s namespace for its children than the root "
			    "task's, and namespaces inside of the tree's cannot be kept yet",
			    tid, ns_types[l->type].name);
	else
		dump_refuse(d, task,
			    "thread %d is in another %s namespace (%llu) than the root task "
			    "(%llu), and "
			    "namespaces inside of the tree's cannot be kept yet",
			    tid, ns_types[l->type].name, (unsigned long long)ino,
			    (unsigned long long)d->root_ns.ino[l->type]);
	return 0;
}

/* Threads of one process can be in different namespaces, of all kinds but user and pid. */
static int check_thread(struct dump *d, struct dump_thread *th, struct err *err)
{
	cleanup_fd int dirfd = -EBADF;
	char path[64];
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/ns", th->task->tid, th->t.tid);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_sys(err, -errno, "opening the namespaces of %s",
			       dump_task_name(d, th->task));
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]) && r == 0; i++)
		r = check_link(d, th->task, th->t.tid, dirfd, &links[i], err);
	return r;
}

int ns_collect(struct dump *d, struct err *err)
{
	struct dump_thread **th;
	struct dump_task **task;
	int r = ns_set_read(getpid(), &d->host_ns, err);

	if (r == 0)
		r = ns_set_read(dump_root_tid(d), &d->root_ns, err);
	if (r < 0)
		return r;
	ns_assign_ids(&d->host_ns, &d->root_ns);
	vec_foreach (task, &d->tasks) {
		if ((*task)->state == TASK_DEAD)
			continue;
		vec_foreach (th, &(*task)->threads) {
			r = check_thread(d, *th, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}
