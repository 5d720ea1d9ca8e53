/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * POSIX file locks, taken by the task itself: any close of a descriptor of the file gives them up,
 * and the last one of a restore was that of the builder's own descriptors.
 */
#include "engine/files/restore-files.h"
#include "engine/task/attr.h"

static int capture(struct dump *d, struct dump_thread *th, const struct program *p,
		   struct CoreEntry *core, struct err *err)
{
	return 0; /* with the descriptors, in filelocks.img */
}

static void put(struct restore *r, struct restore_thread *th, struct program *p)
{
	restore_files_put_locks(r, th->task, p);
}

const struct task_attr attr_locks = { .name = "file locks", .capture = capture, .put = put };
