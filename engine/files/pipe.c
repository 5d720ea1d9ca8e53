/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pipes. All descriptions of one pipe have its inode number in common; whoever is made first makes
 * the pipe and the descriptions of all others, so that an end that nobody has is closed at once and
 * the others see the end of file or EPIPE that they saw before.
 *
 * A pipe whose other end was outside of the tree (the stdio of a container) comes back with that
 * end closed, unless the caller gives a descriptor in its place (--inherit-fd fd[N]:pipe:[INO]).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "engine/files/pipe-data.h"
#include "proto/files.pb-c.h"

static const struct pipe_image pipes_image = { IMG_PIPES_DATA, "pipes-data.img" };

static bool claims(const struct fd_facts *f)
{
	return S_ISFIFO(f->st.st_mode) && strncmp(f->link, "pipe:[", 6) == 0 &&
	       !(f->flags & O_PATH);
}

/* ---- dump ---- */

struct dumped_pipe {
	struct dumped_pipe *next;
	ino_t ino;
	bool data_done;
	bool has_data, packets;
};

struct dump_pipes {
	struct dumped_pipe *first;
};

static struct dumped_pipe *pipe_of(struct dump *d, ino_t ino)
{
	struct dump_pipes *all = files_dump_state(d, &kind_pipe, sizeof(*all));
	struct dumped_pipe *p = all ? all->first : NULL;

	while (p && p->ino != ino)
		p = p->next;
	if (p || !all)
		return p;
	p = arena_alloc(&d->arena, sizeof(*p));
	if (p) {
		*p = (struct dumped_pipe){ .next = all->first, .ino = ino };
		all->first = p;
	}
	return p;
}

/*
 * O_DIRECT on an end for writing makes every write a packet. Where one packet ends cannot be seen
 * from outside, so a pipe with such an end can be kept only while it is empty.
 */
static int check_packets(struct dump *d, struct file_ref *ref, struct dumped_pipe *p)
{
	if (!p->has_data || !p->packets)
		return 0;
	dump_refuse(d, ref->task, "%s: '%s' is in packet mode (O_DIRECT) and holds unread packets",
		    ref->what, ref->facts.link);
	return KIND_UNSUPPORTED;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	PipeEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct dumped_pipe *p = pipe_of(d, ref->facts.st.st_ino);
	uint32_t access = ref->facts.flags & O_ACCMODE;
	size_t len = 0;
	int r;

	if (!e || !p)
		return err_nomem(err);
	pipe_entry__init(e);
	fe->pipe = e;
	e->id = ref->id;
	e->pipe_id = (uint32_t)ref->facts.st.st_ino;
	e->flags = ref->facts.flags;
	r = files_capture_fown(d, ref, &e->fown, err);
	if (r != 0)
		return r;
	/* without an end for reading in the tree, what is in the pipe belongs to somebody else */
	if (access != O_WRONLY && !p->data_done) {
		r = pipe_data_capture(d, ref, &pipes_image, &len, err);
		if (r < 0)
			return r;
		p->data_done = true;
		p->has_data = len > 0;
	}
	if (access != O_RDONLY && ref->facts.flags & O_DIRECT)
		p->packets = true;
	return check_packets(d, ref, p);
}

/* ---- restore ---- */

/* One description. */
struct pipe_end {
	struct pipe_end *next; /* of the same pipe */
	struct file_obj *obj;
	int fd; /* made along with another one and not yet taken */
};

struct pipe_group {
	struct pipe_group *next;
	uint32_t pipe_id;
	struct pipe_end *ends;
};

struct restore_pipes {
	bool data_loaded;
	struct pipe_data *data;
	struct pipe_group *groups;
};

static struct pipe_group *group_of(struct restore *r, uint32_t pipe_id)
{
	struct restore_pipes *all = files_restore_state(r, &kind_pipe, sizeof(*all));
	struct pipe_group *g = all ? all->groups : NULL;

	while (g && g->pipe_id != pipe_id)
		g = g->next;
	if (g || !all)
		return g;
	g = arena_alloc(&r->arena, sizeof(*g));
	if (g) {
		*g = (struct pipe_group){ all->groups, pipe_id, NULL };
		all->groups = g;
	}
	return g;
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_pipes *all = files_restore_state(r, &kind_pipe, sizeof(*all));
	const PipeEntry *e = obj->entry->pipe;
	struct pipe_group *g;
	struct pipe_end *end;

	if (!e)
		return err_image(err, "file %u: a pipe without a description", obj->id);
	if ((e->flags & O_ACCMODE) == O_ACCMODE)
		return err_image(err, "file %u: flags 0%o are not valid", obj->id, e->flags);
	if (files_check_fown(obj, e->fown, err) < 0)
		return err->code;
	g = group_of(r, e->pipe_id);
	end = arena_alloc(&r->arena, sizeof(*end));
	if (!all || !g || !end)
		return err_nomem(err);
	*end = (struct pipe_end){ g->ends, obj, -EBADF };
	g->ends = end;
	obj->state = end;
	if (all->data_loaded)
		return 0;
	all->data_loaded = true;
	return pipe_data_load(r, &pipes_image, &all->data, err);
}

/* A new description of the same pipe. */
static int reopen(const struct restore *r, int fd, uint32_t flags, struct err *err)
{
	int n = restore_reopen(r, fd, (int)(flags & (O_ACCMODE | O_NONBLOCK | O_DIRECT)));

	return n < 0 ? err_sys(err, n, "opening the pipe again") : n;
}

/* What open(2) sets by itself on 64 bits, and pipe(2) does not. */
#define KERNEL_O_LARGEFILE 0100000u

/*
 * What pipe(2) returns can serve as one description of each end. A description with O_LARGEFILE was
 * not made by pipe(2) but by opening a link of procfs, and is made that way again.
 */
static bool is_plain_end(const struct pipe_end *end, uint32_t access)
{
	uint32_t flags = end->obj->entry->pipe->flags;

	return (flags & O_ACCMODE) == access && !(flags & KERNEL_O_LARGEFILE);
}

static int make_ends(const struct restore *r, struct pipe_group *g, const struct file_obj *first,
		     int *rd, int *wr, struct err *err)
{
	struct pipe_end *end, *reader = NULL, *writer = NULL;

	for (end = g->ends; end; end = end->next) {
		/* nobody would take it, and an open end that nobody has keeps the others waiting */
		if (!end->obj->needed && end->obj != first)
			continue;
		if (!reader && is_plain_end(end, O_RDONLY)) {
			reader = end;
		} else if (!writer && is_plain_end(end, O_WRONLY)) {
			writer = end;
		} else {
			end->fd = reopen(r, *wr, end->obj->entry->pipe->flags, err);
			if (end->fd < 0)
				return end->fd;
		}
	}
	if (reader)
		reader->fd = take_fd(rd);
	if (writer)
		writer->fd = take_fd(wr);
	return 0;
}

static int make_pipe(struct restore *r, struct pipe_group *g, const struct file_obj *first,
		     struct err *err)
{
	struct restore_pipes *all = files_restore_state(r, &kind_pipe, sizeof(*all));
	cleanup_fd int rd = -EBADF, wr = -EBADF;
	int p[2], n;

	if (!all)
		return err_nomem(err);
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "making a pipe");
	rd = p[0];
	wr = p[1];
	n = pipe_data_restore(pipe_data_find(all->data, g->pipe_id), wr, err);
	return n < 0 ? n : make_ends(r, g, first, &rd, &wr, err);
}

/*
 * The caller's descriptor stands for the whole description. It is opened again, so that flags that
 * we set do not reach the caller; what cannot be opened is used as it is: a socket, and a pipe of
 * the host's root from inside a user namespace.
 */
static int use_inherited(const struct restore *r, struct file_obj *obj, int given, struct err *err)
{
	struct stat st;
	int fd;

	if (fstat(given, &st) == 0 && S_ISSOCK(st.st_mode))
		return given;
	fd = reopen(r, given, obj->entry->pipe->flags, err);
	if (fd == -EACCES)
		return given;
	close(given);
	return fd;
}

static int open_end(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct pipe_end *mine = obj->state, *end;
	struct pipe_group *g = group_of(r, obj->entry->pipe->pipe_id);
	int fd = -EBADF, n = files_inherit(r, obj, &fd, err);

	if (n != 0)
		return n == FILES_INHERITED ? use_inherited(r, obj, fd, err) : n;
	for (end = g->ends; end && mine->fd < 0; end = end->next)
		if (end->obj->fd >= 0)
			return reopen(r, end->obj->fd, obj->entry->pipe->flags, err);
	if (mine->fd < 0) {
		n = make_pipe(r, g, obj, err);
		if (n < 0)
			return n;
	}
	return take_fd(&mine->fd);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const PipeEntry *e = obj->entry->pipe;
	cleanup_fd int fd = open_end(r, obj, err);

	if (fd < 0)
		return fd;
	if (obj->inherited)
		return take_fd(&fd);
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_pipe = {
	.name = "pipe",
	.type = FD_TYPES__PIPE,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = files_finish_owner,
};
