/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Named pipes. The image keeps the path as that of a regular file of its own, and the unread bytes
 * as those of a pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "engine/files/pipe-data.h"
#include "engine/files/regular.h"
#include "proto/files.pb-c.h"

static const struct pipe_image fifos_image = { IMG_FIFO_DATA, "fifo-data.img" };

static bool claims(const struct fd_facts *f)
{
	return S_ISFIFO(f->st.st_mode) && f->link[0] == '/' && !(f->flags & O_PATH);
}

/* ---- dump ---- */

struct dumped_fifo {
	struct dumped_fifo *next;
	dev_t dev;
	ino_t ino;
};

struct dump_fifos {
	struct dumped_fifo *first;
};

/* The file that keeps path, flags and owner. */
static int write_path(struct dump *d, const struct file_ref *ref, uint32_t id, struct err *err)
{
	FileEntry fe = FILE_ENTRY__INIT;
	struct file_ref path = *ref;
	int r;

	path.id = id;
	fe.type = FD_TYPES__REG;
	fe.id = id;
	r = kind_regular.capture(d, &path, &fe, err);
	if (r != 0)
		return r;
	if (image_add(image_get(d->images, IMG_FILES, "files.img"), &fe.base) < 0)
		return err_nomem(err);
	return 0;
}

/* True if it was not met before through an end for reading. */
static bool is_new(struct dump *d, const struct file_ref *ref, struct dump_fifos *all, int *ret_oom)
{
	const struct stat *st = &ref->facts.st;
	struct dumped_fifo *f;

	for (f = all->first; f; f = f->next)
		if (f->dev == st->st_dev && f->ino == st->st_ino)
			return false;
	f = arena_alloc(&d->arena, sizeof(*f));
	*ret_oom = !f;
	if (f) {
		*f = (struct dumped_fifo){ all->first, st->st_dev, st->st_ino };
		all->first = f;
	}
	return true;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	struct dump_fifos *all = files_dump_state(d, &kind_fifo, sizeof(*all));
	FifoEntry *e = arena_alloc(&d->arena, sizeof(*e));
	size_t len = 0;
	int oom = 0, r;

	if (!all || !e)
		return err_nomem(err);
	fifo_entry__init(e);
	fe->fifo = e;
	e->id = ref->id;
	e->pipe_id = (uint32_t)ref->facts.st.st_ino;
	e->has_regf_id = true;
	e->regf_id = files_new_id(d);
	r = write_path(d, ref, e->regf_id, err);
	if (r != 0 || (ref->facts.flags & O_ACCMODE) == O_WRONLY || !is_new(d, ref, all, &oom))
		return r;
	if (oom)
		return err_nomem(err);
	r = pipe_data_capture(d, ref, &fifos_image, &len, err);
	if (r == 0 && len && ref->facts.flags & O_DIRECT) {
		dump_refuse(d, ref->task,
			    "%s: '%s' is in packet mode (O_DIRECT) and holds unread packets",
			    ref->what, ref->facts.link);
		return KIND_UNSUPPORTED;
	}
	return r;
}

/* ---- restore ---- */

struct filled {
	struct filled *next;
	uint32_t pipe_id;
};

struct restore_fifos {
	bool loaded;
	struct pipe_data *data;
	struct filled *filled;
};

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_fifos *all = files_restore_state(r, &kind_fifo, sizeof(*all));

	if (!all)
		return err_nomem(err);
	if (!obj->entry->fifo)
		return err_image(err, "a named pipe without a description");
	if (all->loaded)
		return 0;
	all->loaded = true;
	return pipe_data_load(r, &fifos_image, &all->data, err);
}

static int link_path(struct restore *r, struct file_obj *obj, struct err *err)
{
	const FifoEntry *e = obj->entry->fifo;
	struct file_obj *path = files_find(r, e->has_regf_id ? e->regf_id : e->id);

	if (!path || path->kind != &kind_regular)
		return err_image(err, "a named pipe whose path, file %u, is not there", e->regf_id);
	if (path->entry->reg->has_ext && path->entry->reg->ext)
		return err_image(err, "a named pipe whose path is external");
	obj->state = path;
	return 0;
}

/* Once for each pipe, however many ends it has. */
static int fill(struct restore *r, uint32_t pipe_id, int fd, struct err *err)
{
	struct restore_fifos *all = files_restore_state(r, &kind_fifo, sizeof(*all));
	struct filled *f;

	if (!all)
		return err_nomem(err);
	for (f = all->filled; f; f = f->next)
		if (f->pipe_id == pipe_id)
			return 0;
	f = arena_alloc(&r->arena, sizeof(*f));
	if (!f)
		return err_nomem(err);
	*f = (struct filled){ all->filled, pipe_id };
	all->filled = f;
	return pipe_data_restore(pipe_data_find(all->data, pipe_id), fd, err);
}

/*
 * An open for reading alone waits for a writer, and one for writing for a reader: the other end is
 * here for that time. It also keeps the bytes until an end of the tasks holds the pipe.
 */
static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct file_obj *path = obj->state;
	const RegFileEntry *e = path->entry->reg;
	cleanup_fd int both = regular_open(r, path, O_RDWR | O_NONBLOCK, err), fd = -EBADF;
	int n;

	if (both < 0)
		return both;
	fd = regular_open(r, path, (int)e->flags, err);
	if (fd < 0)
		return fd;
	n = fill(r, obj->entry->fifo->pipe_id, both, err);
	if (n < 0)
		return err_wrap(err, n, "named pipe '%s'", e->name);
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

static int finish(struct restore *r, struct file_obj *obj, int fd, struct err *err)
{
	return files_finish_owner(r, obj->state, fd, err);
}

const struct file_kind kind_fifo = {
	.name = "named pipe",
	.type = FD_TYPES__FIFO,
	.claims = claims,
	.capture = capture,
	.load = load,
	.link = link_path,
	.create = create,
	.finish = finish,
};
