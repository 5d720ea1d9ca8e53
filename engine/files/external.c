/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of kinds that only a plugin knows. No facts claim them: the plugins are asked about what
 * all other kinds have left.
 */
#include "engine/files/external.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "engine/plugin/plugin.h"
#include "proto/files.pb-c.h"

bool external_is_taken(struct dump *d, const struct file_ref *ref, int *ret_error, struct err *err)
{
	int r = plugins_dump_ext_file(d->plugins, ref->lfd, ref->id);

	*ret_error = plugin_optional(err, r, "DUMP_EXT_FILE");
	return r >= 0;
}

static bool claims(const struct fd_facts *f)
{
	return false;
}

/* The plugin has done its part already. */
static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	ExtFileEntry *e = arena_alloc(&d->arena, sizeof(*e));

	if (!e)
		return err_nomem(err);
	ext_file_entry__init(e);
	e->id = ref->id;
	fe->ext = e;
	return files_capture_fown(d, ref, &e->fown, err);
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const ExtFileEntry *e = obj->entry->ext;

	if (!e)
		return err_image(err, "its part for external files is missing");
	if (plugins_wanted(r->plugins, err) < 0)
		return err->code;
	return files_check_fown(obj, e->fown, err);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	bool retry;
	int n;

	fd = plugins_restore_ext_file(r->plugins, obj->entry->ext->id, &retry);
	if (fd == -ENOTSUP) {
		err_new(err, ERR_ENVIRONMENT, -ENOTSUP, "no plugin knows this external file");
		err_hint(err, "name the folder of the plugin that saved it with --libdir");
		return -ENOTSUP;
	}
	if (fd < 0)
		return plugin_failed(err, fd, "RESTORE_EXT_FILE");
	if (retry) {
		take_fd(&fd); /* it means nothing yet */
		return err_new(err, ERR_ENVIRONMENT, FILES_LATER,
			       "the plugin is not ready to make it");
	}
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, -errno, "looking at the descriptor that a plugin gave");
	n = files_restore_fown(fd, obj->entry->ext->fown, err);
	return n < 0 ? n : take_fd(&fd);
}

const struct file_kind kind_external = {
	.name = "external",
	.type = FD_TYPES__EXT,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = files_finish_owner,
};
