/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which tasks share memory, descriptor tables, fs structs and signal handlers: kcmp(2) gives an
 * order of the kernel's objects, so each task finds its equals by binary search.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/task/task.h"
#include "engine/tracee/guardian.h"

struct known {
	pid_t pid;
	uint32_t id;
};

struct identity {
	VEC(struct known) sorted;
	uint32_t last;
};

/* kcmp: 0 equal, 1 less, 2 greater, 3 not equal without order. */
static int identify(struct identity *ids, pid_t pid, int type, uint32_t *ret)
{
	size_t lo = 0, hi = ids->sorted.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		long r = syscall(SYS_kcmp, pid, ids->sorted.v[mid].pid, type, 0, 0);

		if (r < 0)
			return -errno;
		if (r == 0) {
			*ret = ids->sorted.v[mid].id;
			return 0;
		}
		if (r == 1)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (!vec_add(&ids->sorted))
		return -ENOMEM;
	memmove(&ids->sorted.v[lo + 1], &ids->sorted.v[lo],
		(ids->sorted.n - 1 - lo) * sizeof(ids->sorted.v[0]));
	ids->sorted.v[lo] = (struct known){ pid, ++ids->last };
	*ret = ids->last;
	return 0;
}

/* What those who share it have once is kept by the first of them. */
static int find_memory(struct dump *d, struct err *err)
{
	/* by id: the first is 2, and there is one a task at most; and how many have it */
	cleanup_free struct dump_task **first = calloc(d->tasks.n + 2, sizeof(struct dump_task *));
	cleanup_free unsigned int *n = calloc(d->tasks.n + 2, sizeof(*n));
	struct dump_task **t;

	if (!first || !n)
		return err_nomem(err);
	vec_foreach (t, &d->tasks) {
		uint32_t id = (*t)->vm_id;

		(*t)->memory_of = *t;
		if ((*t)->state == TASK_DEAD)
			continue;
		if (!first[id])
			first[id] = *t;
		(*t)->memory_of = first[id];
		(*t)->memory_rank = n[id]++;
	}
	return 0;
}

/* A thread can have left the tables of its process. */
static int identify_threads(struct identity *ids, const struct dump_task *task, int type,
			    size_t field)
{
	size_t i;

	for (i = 1; i < task->threads.n; i++) {
		struct dump_thread *th = task->threads.v[i];
		long same = syscall(SYS_kcmp, task->tid, th->t.tid, type, 0, 0);
		int r = same < 0 ? -errno : 0;

		if (same > 0)
			r = identify(ids, th->t.tid, type, (uint32_t *)((char *)th + field));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Most have no such list, and that is the same for all of them: also for the guardian. */
static int identify_undo(struct dump *d, struct err *err)
{
	pid_t nobody = guardian_pid(d->guardian);
	struct identity ids = { .last = 0 };
	struct dump_task **task;
	int r = 0;

	vec_foreach (task, &d->tasks) {
		long n;

		if ((*task)->state == TASK_DEAD)
			continue;
		n = syscall(SYS_kcmp, (*task)->tid, nobody, KCMP_SYSVSEM, 0, 0);
		if (n < 0 && errno == EOPNOTSUPP)
			break;
		r = n < 0 ? -errno : 0;
		if (n > 0)
			r = identify(&ids, (*task)->tid, KCMP_SYSVSEM, &(*task)->undo_id);
		if (r < 0) {
			err_sys(err, r, "comparing task %d with others", (*task)->pid);
			break;
		}
	}
	vec_free(&ids.sorted);
	return r;
}

int tree_identify(struct dump *d, struct err *err)
{
	static const struct {
		int type;
		size_t field, of_thread; /* 0: threads cannot have one of their own */
	} what[] = { { KCMP_VM, offsetof(struct dump_task, vm_id), 0 },
		     { KCMP_FILES, offsetof(struct dump_task, files_id),
		       offsetof(struct dump_thread, files_id) },
		     { KCMP_FS, offsetof(struct dump_task, fs_id),
		       offsetof(struct dump_thread, fs_id) },
		     { KCMP_SIGHAND, offsetof(struct dump_task, sighand_id), 0 } };
	struct dump_task **task;
	size_t i;
	int r = 0;

	for (i = 0; i < sizeof(what) / sizeof(what[0]) && r == 0; i++) {
		/* 1 is the engine's own in the images' numbering (root_ids of the inventory) */
		struct identity ids = { .last = 1 };

		vec_foreach (task, &d->tasks) {
			if ((*task)->state == TASK_DEAD)
				continue;
			r = identify(&ids, (*task)->tid, what[i].type,
				     (uint32_t *)((char *)*task + what[i].field));
			if (r == 0 && what[i].of_thread)
				r = identify_threads(&ids, *task, what[i].type, what[i].of_thread);
			if (r < 0) {
				err_sys(err, r, "comparing task %d with others", (*task)->pid);
				if (r == -ENOSYS)
					err_hint(err, "the kernel needs CONFIG_KCMP");
				break;
			}
		}
		vec_free(&ids.sorted);
	}
	if (r == 0)
		r = identify_undo(d, err);
	return r == 0 ? find_memory(d, err) : r;
}
