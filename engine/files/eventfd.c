/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eventfds: a counter. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"

/*
 * The message has no field for EFD_SEMAPHORE. It goes into the flags, at the place of the access
 * mode, which is O_RDWR in every eventfd: a reader that does not know it is not disturbed by it.
 */
#define SEMAPHORE_FLAG O_WRONLY

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:[eventfd]") == 0;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	EventfdFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct proc_eventfd info;
	int r;

	if (!e)
		return err_nomem(err);
	eventfd_file_entry__init(e);
	fe->efd = e;
	r = proc_fdinfo_eventfd(&ref->info, &info);
	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of an eventfd");
	e->id = ref->id;
	e->counter = info.count;
	/* before 6.5 the kernel does not tell */
	e->flags = ref->facts.flags | (info.semaphore == 1 ? SEMAPHORE_FLAG : 0);
	return files_capture_fown(d, ref, &e->fown, err);
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const EventfdFileEntry *e = obj->entry->efd;

	if (!e)
		return err_image(err, "an eventfd without a description");
	if (e->counter == UINT64_MAX)
		return err_image(err, "an eventfd whose counter has overflowed");
	return files_check_fown(obj, e->fown, err);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const EventfdFileEntry *e = obj->entry->efd;
	bool semaphore = (e->flags & O_ACCMODE) == (O_RDWR | SEMAPHORE_FLAG);
	cleanup_fd int fd = eventfd(0, EFD_CLOEXEC | (semaphore ? EFD_SEMAPHORE : 0));

	if (fd < 0)
		return err_sys(err, -errno, "making an eventfd");
	/* eventfd(2) takes 32 bits, a write takes 64 */
	if (e->counter && write(fd, &e->counter, sizeof(e->counter)) < 0)
		return err_sys(err, -errno, "setting the counter of an eventfd");
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_eventfd = {
	.name = "eventfd",
	.type = FD_TYPES__EVENTFD,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = files_finish_owner,
};
