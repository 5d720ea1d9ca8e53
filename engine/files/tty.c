/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Terminals as a kind of file: what a description is, and its entry in the image. */
#include "engine/files/tty.h"

#include <fcntl.h>
#include <linux/major.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"

/* Majors that <linux/major.h> does not have. */
enum { SERIAL_USB = 188, SERIAL_SMALL = 204, SERIAL_HYPERVISOR = 229 };

enum { VT_LAST = 63 };

enum tty_class tty_class_of(dev_t rdev)
{
	switch (major(rdev)) {
	case TTYAUX_MAJOR:
		return minor(rdev) == 0	  ? TTY_CURRENT
		       : minor(rdev) == 1 ? TTY_CONSOLE
		       : minor(rdev) == 2 ? TTY_MASTER
					  : TTY_OTHER;
	case TTY_MAJOR:
		return minor(rdev) && minor(rdev) <= VT_LAST ? TTY_VIRTUAL : TTY_SERIAL;
	case UNIX98_PTY_MASTER_MAJOR:
		return TTY_MASTER;
	case UNIX98_PTY_SLAVE_MAJOR:
		return TTY_SLAVE;
	case SERIAL_USB:
	case SERIAL_SMALL:
	case SERIAL_HYPERVISOR:
		return TTY_SERIAL;
	}
	return TTY_OTHER;
}

int tty_image_type(enum tty_class class)
{
	switch (class) {
	case TTY_MASTER:
	case TTY_SLAVE:
		return TTY_TYPE__PTY;
	case TTY_CONSOLE:
		return TTY_TYPE__CONSOLE;
	case TTY_CURRENT:
		return TTY_TYPE__CTTY;
	case TTY_VIRTUAL:
		return TTY_TYPE__VT;
	case TTY_SERIAL:
		return TTY_TYPE__SERIAL;
	case TTY_OTHER:
		break;
	}
	return TTY_TYPE__UNKNOWN;
}

static bool claims(const struct fd_facts *f)
{
	return S_ISCHR(f->st.st_mode) && !(f->flags & O_PATH) &&
	       tty_class_of(f->st.st_rdev) != TTY_OTHER;
}

int tty_create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const TtyFileEntry *e = obj->entry->tty;
	struct tty_end *end = obj->state;
	cleanup_fd int fd = -EBADF;

	if (!end->terminal->made && tty_make(r, end->terminal, err) < 0)
		return err->code;
	end->terminal->made = true;
	fd = take_fd(&end->fd);
	if (fd < 0)
		return err_image(err, "file %u: its terminal was made without it", obj->id);
	if (obj->inherited)
		return take_fd(&fd);
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_tty = {
	.name = "terminal",
	.type = FD_TYPES__TTY,
	.claims = claims,
	.capture = tty_capture,
	.load = tty_load,
	.link = tty_link,
	.create = tty_create,
	.finish = files_finish_owner,
};
