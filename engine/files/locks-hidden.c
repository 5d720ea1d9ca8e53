/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks that only a mapping keeps. They are to be seen in the list of all locks alone, and to read
 * that takes the kernel some ten milliseconds, whatever is in it: it waits until every processor
 * has left all code that changes locks. So it is read only if somebody shares memory with a file,
 * which is what programs do whose lock says that they are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/mem.h"
#include "engine/files/locks-priv.h"
#include "engine/files/locks.h"
#include "proto/memory.pb-c.h"

static bool shares_a_file(const struct dump *d)
{
	struct dump_task *const *t;
	size_t i;

	vec_foreach (t, &d->tasks)
		for (i = 0; (*t)->areas && i < (*t)->vmas.n; i++)
			if ((*t)->areas[i].status & AREA_FILE_SHARED)
				return true;
	return false;
}

/* The area of a task that maps the file of a lock, or NULL. */
static VmaEntry *area_of(const struct dump_task *task, const struct proc_lock *is)
{
	size_t i;

	for (i = 0; i < task->vmas.n; i++) {
		const struct proc_vma *v = &task->vmas.v[i];

		if (v->ino == is->ino && v->dev_major == is->dev_major &&
		    v->dev_minor == is->dev_minor && task->areas)
			return &task->areas[i];
	}
	return NULL;
}

/* It belongs to the description that is mapped: who took it comes first. */
static VmaEntry *find_area(const struct dump *d, const struct proc_lock *is)
{
	const struct dump_task *owner = dump_task_by_pid(d, is->pid);
	VmaEntry *found = owner ? area_of(owner, is) : NULL;
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		if (!found)
			found = area_of(*t, is);
	return found;
}

/*
 * A lock lives on with a mapping after its last descriptor was closed (Java's virtual machine has
 * one). The format knows locks of descriptors alone, so it goes with the area; it is nobody else's
 * business and needs no option.
 */
static void note_hidden(struct dump *d, const struct proc_lock *is)
{
	VmaEntry *e;

	if (is->blocked || is->kind == PROC_LOCK_POSIX || is->pid <= 0 ||
	    !dump_task_by_pid(d, is->pid) || locks_is_noted(d, is))
		return;
	e = find_area(d, is);
	if (!e)
		return;
	if (is->kind != PROC_LOCK_FLOCK || e->has_flock) {
		dump_refuse(
			d, NULL,
			"task %d: a lock on a mapped file (inode %lu) that it has no descriptor "
			"of any more",
			is->pid, (unsigned long)is->ino);
		return;
	}
	e->has_flock = true;
	e->flock = is->type == F_WRLCK ? LOCK_EX : LOCK_SH;
}

int locks_note_hidden(struct dump *d, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct proc_cursor c;
	struct proc_lock is;
	int n;

	if (!shares_a_file(d))
		return 0;
	n = io_read_file(AT_FDCWD, "/proc/locks", &text);
	if (n < 0)
		return err_sys(err, n, "reading '/proc/locks'");
	c = proc_cursor(text.data, text.len);
	while ((n = proc_locks_next(&c, &is)) > 0)
		note_hidden(d, &is);
	return n < 0 ? err_sys(err, n, "understanding '/proc/locks'") : 0;
}
