/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a restore. Each open file description is made once, in the root builder, at a number
 * above every number of the tasks; children inherit it, and each task copies it to its own numbers.
 */
#include "engine/files/restore-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/external.h"
#include "engine/files/ghost-tables.h"
#include "engine/files/ghost.h"
#include "engine/files/kinds.h"
#include "engine/files/kind-state.h"
#include "engine/files/locks.h"
#include "engine/files/regular.h"
#include "engine/mem/load.h"
#include "proto/files.pb-c.h"
#include "proto/task.pb-c.h"

/* Numbers for what else is opened, below and above those of files. */
enum { SPARE = 64 };

/* A file as it is mapped, or a directory that is lived in: the same file may also be open with
 * other flags. */
struct mapping {
	struct file_obj *obj;
	int flags, fd;
	int lock; /* LOCK_SH or LOCK_EX to be taken, or 0 */
};

struct restore_files {
	struct file_obj **objs; /* sorted by id */
	size_t n, cap;
	VEC(struct mapping) mappings;
	struct kind_state *kinds;
	bool reached; /* files_reach() found something new */
};

void *files_restore_state(struct restore *r, const struct file_kind *kind, size_t size)
{
	return kind_state_get(&r->arena, &r->files->kinds, kind, size);
}

static int by_id(const void *a, const void *b)
{
	const struct file_obj *x = *(struct file_obj *const *)a, *y = *(struct file_obj *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

struct file_obj *files_find(struct restore *r, uint32_t id)
{
	struct file_obj key = { .id = id }, *k = &key, **found;

	if (!r->files->n)
		return NULL;
	found = bsearch(&k, r->files->objs, r->files->n, sizeof(k), by_id);
	return found ? *found : NULL;
}

/* Two kinds are called regular files, so that others can read them too. */
static const struct file_kind *kind_of_entry(const FileEntry *e)
{
	const struct file_kind *const *k;

	if (e->type == FD_TYPES__REG)
		return e->reg && e->reg->has_mqueue ? &kind_mqueue : &kind_regular;
	for (k = file_kinds; *k; k++)
		if ((*k)->type == (int)e->type)
			return *k;
	return NULL;
}

static int add_object(struct restore *r, FileEntry *e, struct err *err)
{
	struct restore_files *f = r->files;
	struct file_obj *obj = arena_alloc(&r->arena, sizeof(*obj));

	if (!obj || vec_grow_raw((void **)&f->objs, f->n, &f->cap, sizeof(*f->objs)) < 0)
		return err_nomem(err);
	obj->id = e->id;
	obj->entry = e;
	obj->fd = -EBADF;
	obj->kind = kind_of_entry(e);
	f->objs[f->n++] = obj;
	if (!obj->kind)
		return err_refuse(
			err,
			"image 'files.img': file %u is of type %d, which cannot be restored "
			"yet",
			e->id, (int)e->type);
	return 0;
}

static int load_objects(struct restore *r, struct err *err)
{
	struct restore_files *f = r->files;
	size_t i;
	int n;

	if (f->n)
		qsort(f->objs, f->n, sizeof(*f->objs), by_id);
	for (i = 0; i < f->n; i++) {
		if (i && f->objs[i - 1]->id == f->objs[i]->id)
			return err_image(err, "image 'files.img': file %u is there twice",
					 f->objs[i]->id);
		n = f->objs[i]->kind->load(r, f->objs[i], err);
		if (n < 0)
			return err_wrap(err, n, "image 'files.img': file %u (%s)", f->objs[i]->id,
					f->objs[i]->kind->name);
	}
	return 0;
}

int restore_files_load(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	size_t i;
	int n;

	r->files = arena_alloc(&r->arena, sizeof(*r->files));
	if (!r->files)
		return err_nomem(err);
	n = image_open(r->images_fd, IMG_FILES, &reader, err, "files.img");
	if (n == IMAGE_ABSENT)
		return err_image(err, "image 'files.img' is missing");
	while (n >= 0) {
		FileEntry *e = NULL;

		n = image_next(reader, &file_entry__descriptor, &e, err);
		if (n <= 0)
			break;
		if (restore_keep(r, e) < 0)
			return err_nomem(err);
		n = add_object(r, e, err);
	}
	if (n == 0)
		n = load_objects(r, err);
	if (n == 0)
		n = ghost_load(r, err);
	for (i = 0; i < r->files->n && n == 0; i++)
		n = ghost_adopt(r, r->files->objs[i], err);
	return n;
}

static int add_fd(struct restore *r, struct restore_task *task, const FdinfoEntry *e,
		  struct err *err)
{
	struct file_obj *obj = files_find(r, e->id);
	struct restore_fd *fd;

	if (!obj)
		return err_image(err, "fd %u: file %u is not in 'files.img'", e->fd, e->id);
	if (e->fd > 1 << 20 || (task->fds.n && (int)e->fd <= task->fds.v[task->fds.n - 1].fd))
		return err_image(err, "fd %u is out of order", e->fd);
	fd = vec_add(&task->fds);
	if (!fd)
		return err_nomem(err);
	*fd = (struct restore_fd){ (int)e->fd, e->flags, obj };
	obj->needed = true;
	return 0;
}

static int by_fd(const void *a, const void *b)
{
	const FdinfoEntry *x = *(FdinfoEntry *const *)a, *y = *(FdinfoEntry *const *)b;

	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

int restore_files_load_table(struct restore *r, struct restore_task *task, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	VEC(FdinfoEntry *) list = { 0 };
	FdinfoEntry **e;
	int n = image_open(r->images_fd, IMG_FDINFO, &reader, err, "fdinfo-%u.img",
			   task->ids->files_id);

	if (n == IMAGE_ABSENT) /* CRIU writes none for an empty table */
		return 0;
	while (n >= 0) {
		FdinfoEntry *one = NULL;

		n = image_next(reader, &fdinfo_entry__descriptor, &one, err);
		if (n <= 0)
			break;
		e = vec_add(&list);
		if (!e) {
			protobuf_c_message_free_unpacked(&one->base, NULL);
			n = err_nomem(err);
		} else {
			*e = one;
		}
	}
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), by_fd);
	vec_foreach (e, &list) {
		if (n == 0)
			n = add_fd(r, task, *e, err);
		protobuf_c_message_free_unpacked(&(*e)->base, NULL);
	}
	vec_free(&list);
	return n < 0 ? err_wrap(err, n, "image 'fdinfo-%u.img'", task->ids->files_id) : 0;
}

int restore_files_load_fs(struct restore *r, struct restore_task *task, struct err *err)
{
	FsEntry *fs;
	int n = restore_read_one(r, IMG_FS, &fs_entry__descriptor, &fs, err, "fs-%d.img",
				 task->ns_pid);

	if (n < 0)
		return n;
	task->fs = fs;
	task->cwd = files_find(r, fs->cwd_id);
	task->root = files_find(r, fs->root_id);
	if (!task->cwd || !task->root || task->cwd->kind != &kind_regular ||
	    task->root->kind != &kind_regular)
		return err_image(err, "image 'fs-%d.img': its directories are not in 'files.img'",
				 task->ns_pid);
	n = restore_files_need_mapping(r, fs->cwd_id, DIRECTORY_FLAGS, err);
	return n == 0 ? restore_files_need_mapping(r, fs->root_id, DIRECTORY_FLAGS, err) : n;
}

static int count_needed(const struct restore_files *f)
{
	size_t i;
	int n = 0;

	for (i = 0; i < f->n; i++)
		n += f->objs[i]->needed;
	return n;
}

int restore_files_waiting(const struct restore *r)
{
	/* other ends that are made with the first one, and memory that is opened more than once */
	return ghost_count(r) + count_needed(r->files);
}

void restore_files_done(struct restore *r)
{
	struct restore_ghost *g;

	if (!r->files)
		return;
	for (g = r->ghosts ? r->ghosts->first : NULL; g; g = g->next) {
		image_reader_free(g->reader);
		if (g->linked_dir > 0)
			close(g->linked_dir);
	}
	free(r->files->objs);
	vec_free(&r->files->mappings);
}

int restore_files_highest(const struct restore *r)
{
	const struct restore_task *t;
	int high = -1;
	size_t i;

	for (i = 0; (t = restore_holder(r, i)); i++)
		if (t->fds.n && t->fds.v[t->fds.n - 1].fd > high)
			high = t->fds.v[t->fds.n - 1].fd;
	return high;
}

int restore_files_need_mapping(struct restore *r, uint32_t id, int flags, struct err *err)
{
	struct file_obj *obj = files_find(r, id);
	struct mapping *m;

	if (!obj)
		return err_image(err, "mapped file %u is not in 'files.img'", id);
	vec_foreach (m, &r->files->mappings)
		if (m->obj == obj && m->flags == flags)
			return 0;
	m = vec_add(&r->files->mappings);
	if (!m)
		return err_nomem(err);
	*m = (struct mapping){ obj, flags, -EBADF, 0 };
	if (obj->kind != &kind_regular)
		obj->needed = true;
	return 0;
}

void restore_files_lock_mapping(struct restore *r, uint32_t id, int flags, int lock)
{
	struct mapping *m;

	vec_foreach (m, &r->files->mappings)
		if (m->obj->id == id && m->flags == flags)
			m->lock = lock;
}

int restore_files_mapping_fd(const struct restore *r, uint32_t id, int flags)
{
	const struct mapping *m;

	vec_foreach (m, &r->files->mappings)
		if (m->obj->id == id && (flags < 0 || m->flags == flags))
			return m->fd;
	return -EBADF;
}

void files_reach(struct restore *r, struct file_obj *obj)
{
	obj->borrowed = true;
	if (obj->needed)
		return;
	obj->needed = obj->in_flight = true;
	r->files->reached = true;
}

/* What is in flight in a queue can be a socket with a queue. */
static int spread_needs(struct restore *r, struct err *err)
{
	struct restore_files *f = r->files;
	size_t i;
	int n;

	do {
		f->reached = false;
		for (i = 0; i < f->n; i++) {
			if (!f->objs[i]->needed || !f->objs[i]->kind->reach)
				continue;
			n = f->objs[i]->kind->reach(r, f->objs[i], err);
			if (n < 0)
				return n;
		}
	} while (f->reached);
	return 0;
}

static void find_owners(struct restore *r)
{
	struct restore_task *t;
	struct restore_fd *fd;
	size_t i;

	for (i = 0; (t = restore_holder(r, i)); i++)
		vec_foreach (fd, &t->fds)
			if (!fd->obj->owner) {
				fd->obj->owner = t;
				fd->obj->owner_fd = fd->fd;
			}
}

/* Whether the numbers above those of the tasks, one for each file, are more than may be open. */
static bool is_tight(const struct restore *r)
{
	size_t n = r->files->mappings.n + (size_t)count_needed(r->files);
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	       (rlim_t)r->fd_next + n + SPARE > limit.rlim_cur;
}

/* Files that others than one task look for by their place, until the end. */
static bool is_wanted(const struct restore *r, const struct file_obj *obj)
{
	return !obj->owner || obj->borrowed || (files_is_late(obj) && obj->owner != r->tasks.v[0]);
}

enum { PLACE_HIGH = -1 };

/* What each number stands for; a number that stands for several files stands for none. */
static void note_numbers(struct restore *r, struct file_obj **numbers, struct file_obj *several)
{
	struct restore_task *t;
	struct restore_fd *fd;
	size_t i;

	for (i = 0; (t = restore_holder(r, i)); i++)
		vec_foreach (fd, &t->fds) {
			struct file_obj **slot = &numbers[fd->fd];

			*slot = *slot && *slot != fd->obj ? several : fd->obj;
			if (fd->obj->owner != t || is_wanted(r, fd->obj))
				fd->obj->place = PLACE_HIGH;
		}
}

/*
 * Where a second number for each file is too much, those that one task alone has get one of its own
 * numbers at once, if no other task has another file there. It inherits them and keeps them; the
 * others close them, as all that they have below fd_base.
 */
static int place_low(struct restore *r, struct err *err)
{
	struct restore_files *f = r->files;
	struct file_obj **numbers, several = { 0 };
	struct restore_task *t;
	struct restore_fd *fd;
	struct mapping *m;
	int low = SPARE + ghost_count(r);
	size_t i;

	if (r->holders.n || r->helpers.n || !is_tight(r))
		return 0;
	numbers = arena_alloc(&r->arena, ((size_t)r->fd_base + 1) * sizeof(struct file_obj *));
	if (!numbers)
		return err_nomem(err);
	note_numbers(r, numbers, &several);
	vec_foreach (m, &f->mappings)
		if (!m->obj->kind->open_mapping)
			m->obj->place = PLACE_HIGH;
	if (low < r->fd_low)
		low = r->fd_low;
	for (i = 0; (t = restore_holder(r, i)); i++)
		vec_foreach (fd, &t->fds)
			if (fd->fd >= low && !fd->obj->place && numbers[fd->fd] == fd->obj)
				fd->obj->place = fd->fd;
	for (i = 0; i < f->n; i++)
		if (f->objs[i]->place == PLACE_HIGH)
			f->objs[i]->place = 0;
	return 0;
}

int restore_files_link(struct restore *r, struct err *err)
{
	struct restore_files *f = r->files;
	struct mapping *m;
	size_t i;
	int n;

	find_owners(r);
	n = spread_needs(r, err);

	if (n < 0)
		return n;
	for (i = 0; i < f->n; i++) {
		if (!f->objs[i]->needed || !f->objs[i]->kind->link)
			continue;
		n = f->objs[i]->kind->link(r, f->objs[i], err);
		if (n < 0)
			return err_wrap(err, n, "file %u (%s)", f->objs[i]->id,
					f->objs[i]->kind->name);
	}
	n = place_low(r, err);
	if (n < 0)
		return n;
	for (i = 0; i < f->n; i++)
		if (f->objs[i]->needed && !f->objs[i]->place)
			f->objs[i]->place = restore_reserve_fd(r);
	vec_foreach (m, &f->mappings)
		m->fd = m->obj->kind->open_mapping ? restore_reserve_fd(r) : m->obj->place;
	return 0;
}

/* ---- in builders ---- */

static int move_to(int fd, int place, struct err *err)
{
	if (fd == place)
		return fd;
	if (dup3(fd, place, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "moving a file to descriptor %d", place);
	close(fd);
	return place;
}

int files_put_in_place(const struct file_obj *obj, int fd, struct err *err)
{
	return obj->place > 0 ? move_to(fd, obj->place, err) : fd;
}

int files_need(struct restore *r, struct file_obj *obj, struct err *err)
{
	int fd;

	if (obj->fd >= 0)
		return 0;
	if (obj->creating)
		return err_image(err, "file %u depends on itself", obj->id);
	obj->creating = true;
	fd = obj->kind->create(r, obj, err);
	obj->creating = false;
	if (fd < 0)
		return err_wrap(err, fd, "making file %u (%s)", obj->id, obj->kind->name);
	obj->fd = files_put_in_place(obj, fd, err);
	return obj->fd < 0 ? obj->fd : 0;
}

static int open_mapping(struct restore *r, struct mapping *m, struct err *err)
{
	int fd;

	if (!m->obj->kind->open_mapping || m->obj->late)
		return 0;
	fd = m->obj->kind->open_mapping(r, m->obj, m->flags, err);
	if (fd < 0)
		return err_wrap(err, fd, "mapped file %u", m->obj->id);
	if (m->lock && flock(fd, m->lock | LOCK_NB) < 0) {
		err_sys(err, -errno, "locking mapped file %u again", m->obj->id);
		if (errno == EWOULDBLOCK)
			err_hint(err, "another process has locked it meanwhile");
		close(fd);
		return err->code;
	}
	fd = move_to(fd, m->fd, err);
	return fd < 0 ? fd : 0;
}

/* Makes what can be made now; *ret_waiting is the number of files that a plugin wants to make
 * later, and *ret_made of those that were made. */
static int create_round(struct restore *r, size_t *ret_waiting, size_t *ret_made, struct err *err)
{
	struct restore_files *f = r->files;
	size_t i;

	*ret_waiting = *ret_made = 0;
	for (i = 0; i < f->n; i++) {
		int n;

		if (!f->objs[i]->needed || files_is_late(f->objs[i]) || f->objs[i]->fd >= 0)
			continue;
		n = files_need(r, f->objs[i], err);
		if (n < 0 && n != FILES_LATER)
			return n;
		++*(n < 0 ? ret_waiting : ret_made);
	}
	return 0;
}

/*
 * Plugins may wait for files of others, and for devices that take their time: as long as nothing
 * else is left to do they are asked again in short intervals.
 */
static int create_all(struct restore *r, struct err *err)
{
	const struct timespec interval = { 0, 2 * 1000 * 1000 };
	unsigned int left = (r->opts->timeout_s ?: 10) * 500;
	size_t waiting, made;

	for (;;) {
		int n = create_round(r, &waiting, &made, err);

		if (n < 0 || !waiting)
			return n;
		if (!made && !left--)
			return FILES_LATER; /* err tells which one */
		if (!made)
			nanosleep(&interval, NULL);
	}
}

/*
 * Kinds may make any number of files before the first gets into its place, and the kernel gives
 * each the lowest free number. So that none of them lies where another is going to be put, all
 * places that are still free are taken until then.
 */
static int hold_places(struct restore *r, struct err *err)
{
	const struct restore_files *f = r->files;
	cleanup_fd int holder = eventfd(0, EFD_CLOEXEC);
	int at = r->fd_base;
	size_t i;

	if (holder < 0)
		return err_sys(err, -errno, "making a descriptor that holds places");
	for (i = 0; i < f->n; i++) {
		int place = f->objs[i]->place;

		if (!place || place >= r->fd_base || fcntl(holder, F_DUPFD_CLOEXEC, place) == place)
			continue;
		return err_new(err, ERR_INTERNAL, -EBUSY, "descriptor %d is in use", place);
	}
	while (at < r->fd_next) {
		int fd = fcntl(holder, F_DUPFD_CLOEXEC, at);

		if (fd < 0) {
			err_sys(err, -errno, "holding descriptors %d to %d", at, r->fd_next - 1);
			err_hint(err, "raise the limit of open files (ulimit -n)");
			return err->code;
		}
		if (fd >= r->fd_next)
			close(fd);
		at = fd + 1;
	}
	return 0;
}

int restore_files_create(struct restore *r, struct err *err)
{
	struct restore_files *f = r->files;
	struct mapping *m;
	int n = hold_places(r, err);

	if (n == 0)
		n = ghost_make_all(r, err);
	if (n == 0)
		n = create_all(r, err);
	vec_foreach (m, &f->mappings)
		if (n == 0)
			n = open_mapping(r, m, err);
	ghost_close_all(r);
	return n;
}

/* Files that only wait in queues have no owner to finish them. */
static int finish_in_flight(struct restore *r, bool everywhere, struct err *err)
{
	struct restore_files *f = r->files;
	size_t i;
	int n = 0;

	for (i = 0; i < f->n && n == 0; i++) {
		struct file_obj *obj = f->objs[i];

		if (!obj->in_flight || !obj->kind->finish || obj->inherited ||
		    obj->kind->finish_everywhere != everywhere)
			continue;
		n = obj->kind->finish(r, obj, obj->fd, err);
		if (n < 0)
			err_wrap(err, n, "file %u in flight (%s)", obj->id, obj->kind->name);
	}
	return n;
}

int restore_files_create_late(struct restore *r, struct err *err)
{
	const struct file_kind *const *k;
	struct restore_files *f = r->files;
	size_t i;
	int n = 0;

	for (i = 0; i < f->n && n == 0; i++)
		if (f->objs[i]->needed && files_is_late(f->objs[i]))
			n = files_need(r, f->objs[i], err);
	if (n == 0)
		n = finish_in_flight(r, true, err);
	if (n == 0)
		n = finish_in_flight(r, false, err);
	for (k = file_kinds; *k && n == 0; k++)
		if ((*k)->settle)
			n = (*k)->settle(r, err);
	return n;
}

/* What the root builder made after this one was born is fetched from there. */
int files_borrow(struct restore *r, const struct file_obj *obj)
{
	cleanup_fd int root = -EBADF;
	int fd;

	/* also if we know the number, because we share the memory of the root builder */
	if (obj->fd >= 0 && !(files_is_late(obj) && getpid() != r->tasks.v[0]->ns_pid)) {
		fd = fcntl(obj->fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	root = (int)syscall(SYS_pidfd_open, r->tasks.v[0]->ns_pid, 0);
	fd = root < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, root, obj->place, 0);
	return fd < 0 ? -errno : fd;
}
