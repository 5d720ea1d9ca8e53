/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors of namespaces, as /proc/PID/ns/ gives them: of those that the tasks live in. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"
#include "proto/namespaces.pb-c.h"

/* Not by the path of a bind mount: that is a file like others. */
static bool claims(const struct fd_facts *f)
{
	return f->fs_magic == NSFS_MAGIC && f->link[0] != '/';
}

/* ---- dump ---- */

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	NsFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	size_t i;

	if (!e)
		return err_nomem(err);
	ns_file_entry__init(e);
	fe->nsf = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	for (i = 0; i < NS_TYPE_COUNT; i++) {
		if (d->root_ns.ino[i] != ref->facts.st.st_ino)
			continue;
		e->ns_id = d->root_ns.id[i];
		e->ns_cflag = (uint32_t)ns_types[i].clone_flag;
		return 0;
	}
	dump_refuse(d, ref->task, "%s: '%s' is a namespace that no task of the tree is in",
		    ref->what, ref->facts.link);
	return KIND_UNSUPPORTED;
}

/* ---- restore ---- */

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const NsFileEntry *e = obj->entry->nsf;
	size_t i;

	if (!e)
		return err_image(err, "a namespace without a description");
	for (i = 0; i < NS_TYPE_COUNT; i++)
		if (e->ns_cflag == (uint32_t)ns_types[i].clone_flag)
			break;
	if (i == NS_TYPE_COUNT)
		return err_image(err, "a namespace of type 0x%x", e->ns_cflag);
	if ((e->flags & O_ACCMODE) != O_RDONLY || e->flags & (O_CREAT | O_TRUNC | O_EXCL))
		return err_image(err, "a namespace opened with flags 0%o", e->flags);
	obj->state = (void *)&ns_types[i];
	return 0;
}

/* The namespaces are loaded after the files. */
static int link_namespace(struct restore *r, struct file_obj *obj, struct err *err)
{
	const struct ns_type_info *type = obj->state;
	uint32_t id = obj->entry->nsf->ns_id;

	if (r->root_ns.id[type - ns_types] != id)
		return err_refuse(err, "%s namespace %u is not the one that the tasks are in",
				  type->name, id);
	return 0;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const struct ns_type_info *type = obj->state;
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "self/ns/%s", type->name);
	fd = openat(r->proc_fd, path, (int)obj->entry->nsf->flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? err_sys(err, -errno, "opening the %s namespace", type->name) : fd;
}

const struct file_kind kind_nsfd = {
	.name = "namespace",
	.type = FD_TYPES__NS,
	.claims = claims,
	.capture = capture,
	.load = load,
	.link = link_namespace,
	.create = create,
};
