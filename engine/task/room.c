/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Room for the scratch mapping in a task that may not have more memory than it has: its limits are
 * raised for the moment in which the mapping is made. The guardian knows them before.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "engine/task/task.h"
#include "engine/tracee/guardian.h"

/* What mmap(2) looks at. */
static const struct {
	int which;
	const char *name;
} limits[] = { { RLIMIT_AS, "RLIMIT_AS" }, { RLIMIT_DATA, "RLIMIT_DATA" } };

enum { N_LIMITS = sizeof(limits) / sizeof(limits[0]) };

/* Beyond the hard limit where that is allowed, else up to it. */
static void raise_one(struct dump *d, const struct dump_task *task, int which)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit old, high;

	/* for a task of another user this takes CAP_SYS_RESOURCE, which mmap(2) will tell */
	if (prlimit(task->tid, which, NULL, &old) < 0 || old.rlim_cur == RLIM_INFINITY)
		return;
	if (guardian_note_limit(d->guardian, task->tid, task->threads.v[0]->stat.starttime, which,
				&old) < 0)
		return;
	high = (struct rlimit){ old.rlim_max, old.rlim_max };
	if (prlimit(task->tid, which, &none, NULL) < 0)
		prlimit(task->tid, which, &high, NULL);
}

void room_make(struct dump *d, const struct dump_task *task)
{
	size_t i;

	for (i = 0; i < N_LIMITS; i++)
		raise_one(d, task, limits[i].which);
}

int room_give_back(struct dump *d, struct err *err)
{
	return guardian_limits_back(d->guardian, err);
}

void room_explain(const struct dump_task *task, struct err *err)
{
	struct rlimit l;
	size_t i;

	for (i = 0; i < N_LIMITS; i++) {
		if (prlimit(task->tid, limits[i].which, NULL, &l) < 0)
			err_hint(err, "its resource limits cannot be raised: run with "
				      "CAP_SYS_RESOURCE, or raise them with prlimit(1)");
		else if (l.rlim_cur != RLIM_INFINITY)
			err_hint(
				err,
				"its %s of %lu leaves no room: run with CAP_SYS_RESOURCE, or raise "
				"the hard limit with prlimit(1)",
				limits[i].name, (unsigned long)l.rlim_cur);
	}
}
