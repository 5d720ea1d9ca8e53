/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signalfds: a set of signals. Whose signals are read is decided by the reader, not by the file. */
#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:[signalfd]") == 0;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	SignalfdEntry *e = arena_alloc(&d->arena, sizeof(*e));
	int r;

	if (!e)
		return err_nomem(err);
	signalfd_entry__init(e);
	fe->sgfd = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	r = proc_fdinfo_signalfd(&ref->info, &e->sigmask);
	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of a signalfd");
	return files_capture_fown(d, ref, &e->fown, err);
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	if (!obj->entry->sgfd)
		return err_image(err, "a signalfd without a description");
	return files_check_fown(obj, obj->entry->sgfd->fown, err);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const SignalfdEntry *e = obj->entry->sgfd;
	/* the kernel's set has 64 signals, libc's more */
	cleanup_fd int fd =
		(int)syscall(SYS_signalfd4, -1, &e->sigmask, sizeof(e->sigmask), SFD_CLOEXEC);

	if (fd < 0)
		return err_sys(err, -errno, "making a signalfd");
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_signalfd = {
	.name = "signalfd",
	.type = FD_TYPES__SIGNALFD,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = files_finish_owner,
};
