/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that the caller of a restore gives in place of dumped ones (--inherit-fd). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "engine/core/restore.h"
#include "engine/files/kind.h"
#include "proto/files.pb-c.h"

/* The name a description has as a key; NULL: this kind has none, or out of memory (*ret_oom). */
static const char *key_of(struct restore *r, const struct file_obj *obj, bool *ret_oom)
{
	const FileEntry *e = obj->entry;
	const char *key = NULL;

	if (e->pipe)
		key = arena_printf(&r->arena, "pipe:[%u]", e->pipe->pipe_id);
	else if (e->usk)
		key = arena_printf(&r->arena, "socket:[%u]", e->usk->ino);
	else if (e->isk)
		key = arena_printf(&r->arena, "socket:[%u]", e->isk->ino);
	else if (e->reg)
		return e->reg->name[0] == '/' ? e->reg->name + 1 : e->reg->name;
	else
		return NULL;
	*ret_oom = !key;
	return key;
}

static const struct ckpt_inherit_fd *find(const struct ckpt_options *opts, const char *key)
{
	size_t i;

	for (i = 0; i < opts->n_inherit_fds; i++)
		if (strcmp(opts->inherit_fds[i].key, key) == 0)
			return &opts->inherit_fds[i];
	return NULL;
}

int files_inherit_key(struct restore *r, struct file_obj *obj, const char *key, int *ret_fd,
		      struct err *err)
{
	const struct ckpt_inherit_fd *given = find(r->opts, key);
	int fd;

	if (!given)
		return 0;
	fd = fcntl(given->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_sys(err, -errno, "taking over descriptor %d for '%s'", given->fd, key);
	obj->inherited = true;
	*ret_fd = fd;
	return FILES_INHERITED;
}

bool files_is_inherited(struct restore *r, const struct file_obj *obj)
{
	bool oom = false;
	const char *key = key_of(r, obj, &oom);

	return key && find(r->opts, key);
}

int files_inherit(struct restore *r, struct file_obj *obj, int *ret_fd, struct err *err)
{
	bool oom = false;
	const char *key = key_of(r, obj, &oom);

	if (oom)
		return err_nomem(err);
	return key ? files_inherit_key(r, obj, key, ret_fd, err) : 0;
}
