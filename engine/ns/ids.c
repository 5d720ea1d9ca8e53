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
#include "engine/base/crew.h"
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
	bool of_process; /* the same for all threads, or all that share their directories */
} links[] = {
	{ "net", NS_NET, false },  { "ipc", NS_IPC, false },
	{ "uts", NS_UTS, false },  { "mnt", NS_MNT, true },
	{ "user", NS_USER, true }, { "cgroup", NS_CGROUP, false },
	{ "pid", NS_PID, true },   { "pid_for_children", NS_PID, false },
	{ "time", NS_TIME, true }, { "time_for_children", NS_TIME, false },
};

enum { LINKS = sizeof(links) / sizeof(links[0]) };

/* What the links of a thread say; 0: nothing. */
struct seen {
	const struct dump_thread *th;
	uint64_t ino[LINKS];
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

static void check_link(struct dump *d, const struct dump_thread *th, const struct link *l,
		       uint64_t ino)
{
	const struct dump_task *task = th->task;
	pid_t tid = th->t.tid;

	if (ino == d->root_ns.ino[l->type])
		return;
	if (strstr(l->name, "_for_children"))
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
}

/* A thread that shares its process' directories is in its mount namespace, too. */
static bool is_asked(const struct dump *d, const struct dump_thread *th, const struct link *l)
{
	return d->root_ns.ino[l->type] &&
	       (th->leader || !l->of_process || (l->type == NS_MNT && th->fs_id));
}

struct looking {
	const struct dump *d;
	VEC(struct seen) seen;
};

/* Threads of one process can be in different namespaces, of all kinds but user and pid. */
static int look_at_thread(void *arg, size_t i, struct err *err)
{
	struct looking *l = arg;
	struct seen *seen = &l->seen.v[i];
	cleanup_fd int dirfd = -EBADF;
	char path[64];
	size_t k;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/ns", seen->th->task->tid, seen->th->t.tid);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_sys(err, -errno, "opening '%s'", path);
	for (k = 0; k < LINKS; k++) {
		int r = is_asked(l->d, seen->th, &links[k])
				? link_ino(dirfd, links[k].name, &seen->ino[k])
				: 0;

		/* A pid namespace without a first process yet has no name to be read. */
		if (r < 0 && !(r == -ENOENT && strcmp(links[k].name, "pid_for_children") == 0))
			return err_sys(err, r, "reading '%s/%s'", path, links[k].name);
	}
	return 0;
}

static int check_threads(struct dump *d, struct err *err)
{
	struct looking l = { .d = d };
	struct dump_thread *const *th;
	struct dump_task *const *task;
	const struct seen *seen;
	size_t k;
	int r = 0;

	vec_foreach (task, &d->tasks) {
		vec_foreach (th, &(*task)->threads) {
			struct seen *slot = (*task)->state == TASK_DEAD ? NULL : vec_add(&l.seen);

			if (slot)
				slot->th = *th;
			else if ((*task)->state != TASK_DEAD)
				r = err_nomem(err);
		}
	}
	if (r == 0)
		r = crew_run(l.seen.n, 16, look_at_thread, &l, err);
	if (r == 0)
		vec_foreach (seen, &l.seen)
			for (k = 0; k < LINKS; k++)
				if (is_asked(d, seen->th, &links[k]))
					check_link(d, seen->th, &links[k], seen->ino[k]);
	vec_free(&l.seen);
	return r;
}

int ns_collect(struct dump *d, struct err *err)
{
	int r = ns_set_read(getpid(), &d->host_ns, err);

	if (r == 0)
		r = ns_set_read(dump_root_tid(d), &d->root_ns, err);
	if (r < 0)
		return r;
	ns_assign_ids(&d->host_ns, &d->root_ns);
	return check_threads(d, err);
}
