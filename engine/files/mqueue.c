/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of POSIX message queues. The image has them as regular files with the number of the
 * queue in a field of our own; what is in the queues is engine/ns/mqueue.h.
 *
 * By mq_open(3) a queue has the path "/NAME", by a mount of their file system one below that.
 */
#include "engine/ns/mqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"
#include "proto/ipc.pb-c.h"

static bool claims(const struct fd_facts *f)
{
	return f->fs_magic == MQUEUE_FS_MAGIC && S_ISREG(f->st.st_mode) && !(f->flags & O_PATH);
}

/* ---- dump ---- */

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	static const char mark[] = " (deleted)";
	RegFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	size_t len, tail = sizeof(mark) - 1;
	int r;

	if (!e)
		return err_nomem(err);
	reg_file_entry__init(e);
	e->name = arena_strdup(&d->arena, ref->facts.link);
	if (!e->name)
		return err_nomem(err);
	len = strlen(e->name);
	if (!ref->facts.st.st_nlink && len > tail && strcmp(e->name + len - tail, mark) == 0)
		e->name[len - tail] = '\0';
	fe->reg = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	e->pos = (uint64_t)ref->facts.pos;
	e->has_mqueue = true;
	r = mqueue_note(d, ref->task, ref->lfd, &ref->facts.st, strrchr(e->name, '/') + 1,
			&e->mqueue, err);
	return r == 0 ? files_capture_fown(d, ref, &e->fown, err) : r;
}

/* ---- restore ---- */

/* Of a queue without a name: all its descriptors are opened while it has one. */
struct state {
	struct state *next;
	struct file_obj *obj;
	const MqueueEntry *queue; /* NULL: one that was left where it is */
	int fd;			  /* -1: not yet */
};

struct states {
	struct state *first;
};

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const RegFileEntry *e = obj->entry->reg;
	struct states *all = files_restore_state(r, &kind_mqueue, sizeof(*all));
	struct state *s = arena_alloc(&r->arena, sizeof(*s));

	if (!s || !all)
		return err_nomem(err);
	if (e->name[0] != '/' || !e->name[1] || e->name[strlen(e->name) - 1] == '/' ||
	    strlen(strrchr(e->name, '/')) > MQUEUE_NAME_MAX || strstr(e->name, "/../"))
		return err_image(err, "a message queue with the name '%.20s'", e->name);
	if (e->mqueue && !(s->queue = mqueue_find(r, e->mqueue)))
		return err_image(err, "'inventory.img' has no message queue %u", e->mqueue);
	s->fd = -EBADF;
	s->obj = obj;
	s->next = all->first;
	all->first = obj->state = s;
	return files_check_fown(obj, e->fown, err);
}

/* leaf: the name that the queue has at the moment. */
static int open_as(const RegFileEntry *e, const char *leaf, struct err *err)
{
	int flags = (int)(e->flags & (O_ACCMODE | O_NONBLOCK)) | O_CLOEXEC, fd;

	if (strrchr(e->name, '/') == e->name)
		fd = (int)syscall(SYS_mq_open, leaf, flags, 0, NULL);
	else
		fd = open(e->name, flags | O_NOCTTY);
	if (fd >= 0)
		return fd;
	err_sys(err, -errno, "opening message queue '%s'", e->name);
	if (errno == ENOENT)
		err_hint(err, "it is not part of the images; make it again as it was");
	return err->code;
}

/* Makes a queue, opens it for all who have it, and takes its name away. */
static int make_nameless(struct restore *r, const MqueueEntry *queue, struct err *err)
{
	char name[MQUEUE_NAME_MAX];
	cleanup_fd int fd = mqueue_make(queue, name, err);
	const struct states *all = files_restore_state(r, &kind_mqueue, sizeof(*all));
	struct state *s;
	int n = fd < 0 ? fd : 0;

	for (s = all->first; s && n == 0; s = s->next) {
		if (s->queue != queue || !s->obj->needed)
			continue;
		s->fd = open_as(s->obj->entry->reg, name, err);
		n = s->fd < 0 ? s->fd : 0;
	}
	if (fd >= 0 && syscall(SYS_mq_unlink, name) < 0 && n == 0)
		n = err_sys(err, -errno, "taking the name of message queue '/%s' away", name);
	return n;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const RegFileEntry *e = obj->entry->reg;
	struct state *s = obj->state;
	cleanup_fd int fd = -EBADF;

	if (s->queue && s->queue->deleted) {
		if (s->fd < 0 && make_nameless(r, s->queue, err) < 0)
			return err->code;
		fd = take_fd(&s->fd);
	} else {
		fd = open_as(e, strrchr(e->name, '/') + 1, err);
	}
	if (fd < 0)
		return fd;
	if (e->pos && lseek(fd, (off_t)e->pos, SEEK_SET) < 0)
		return err_sys(err, -errno, "setting the position");
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_mqueue = {
	.name = "message queue",
	.type = FD_TYPES__REG, /* in the image; told apart by its field */
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = files_finish_owner,
};
