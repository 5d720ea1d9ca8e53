/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mappings of devices, which only a plugin understands. It is asked on dump whether a mapping is
 * its own, and on restore what to map: where in which file. The answers come in the root builder,
 * and the mapping is a step of the program that the engine has built before that: the offsets come
 * back through shared memory and are put into the program before it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/files.h"
#include "engine/files/kind.h"
#include "engine/files/restore-files.h"
#include "engine/mem/areas.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "engine/plugin/plugin.h"
#include "proto/files.pb-c.h"
#include "proto/memory.pb-c.h"

/* ---- dump ---- */

static bool is_device(const struct stat *st)
{
	return (S_ISCHR(st->st_mode) && st->st_rdev != makedev(1, 5)) || S_ISBLK(st->st_mode);
}

int device_collect(struct dump *d, struct dump_task *task, const struct proc_vma *vma, VmaEntry *e,
		   struct err *err)
{
	cleanup_fd int fd = -EBADF;
	uint32_t flags = 0, id = 0;
	struct stat st;
	int r;

	if (!plugins_any(d->plugins) || vma->path[0] != '/')
		return 0;
	fd = mem_open_mapped(task, vma, &flags);
	if (fd < 0 || fstat(fd, &st) < 0 || !is_device(&st))
		return 0; /* whoever else is asked will find out */
	r = plugins_handle_device_vma(d->plugins, fd, &st);
	if (r == -ENOTSUP)
		return 0;
	if (r < 0)
		return plugin_failed(err, r, "HANDLE_DEVICE_VMA");
	r = files_add_path(d, task, fd, vma->path, flags, "mapped device", &id, err);
	if (r < 0)
		return r;
	e->shmid = id;
	e->pgoff = vma->offset;
	e->has_fdflags = true;
	e->fdflags = flags;
	e->flags = (area_map_flags(vma) & ~(uint32_t)MAP_ANONYMOUS);
	e->status = AREA_REGULAR | AREA_PLUGIN |
		    (vma->shared ? AREA_FILE_SHARED : AREA_FILE_PRIVATE);
	return DEVICE_TAKEN;
}

/* ---- restore ---- */

struct device {
	struct restore_task *task;
	VmaEntry *e;
	struct file_obj *obj;
	int fd, step;
};

struct restore_devices {
	VEC(struct device) list;
	uint64_t *offsets; /* shared with the builders; one a device */
	size_t size;	   /* of the mapping, in bytes */
};

static struct restore_devices *devices_of(struct restore *r)
{
	if (!r->devices)
		r->devices = arena_alloc(&r->arena, sizeof(*r->devices));
	return r->devices;
}

int device_need(struct restore *r, struct restore_task *task, VmaEntry *e, struct err *err)
{
	struct file_obj *obj = files_find(r, (uint32_t)e->shmid);
	struct restore_devices *all = devices_of(r);
	struct device *it = all ? vec_add(&all->list) : NULL;

	if (!it)
		return err_nomem(err);
	if (!obj || !obj->entry->reg || !obj->kind->open_mapping)
		return err_image(err, "mapped device %u is not in 'files.img'", (uint32_t)e->shmid);
	*it = (struct device){ task, e, obj, restore_reserve_fd(r), -1 };
	return 0;
}

int device_prepare(struct restore *r, struct err *err)
{
	struct restore_devices *all = r->devices;

	if (!all)
		return 0;
	all->size = all->list.n * sizeof(*all->offsets);
	all->offsets =
		mmap(NULL, all->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all->offsets != MAP_FAILED)
		return 0;
	all->offsets = NULL;
	return err_sys(err, -errno, "mapping memory for offsets in devices");
}

static struct device *find(const struct restore *r, const VmaEntry *e)
{
	struct device *it;

	if (r->devices)
		vec_foreach (it, &r->devices->list)
			if (it->e == e)
				return it;
	return NULL;
}

int device_fd(const struct restore *r, const VmaEntry *e)
{
	const struct device *it = find(r, e);

	return it ? it->fd : -EBADF;
}

void device_note_step(const struct restore *r, const VmaEntry *e, int step)
{
	struct device *it = find(r, e);

	if (it)
		it->step = step;
}

static int make(struct restore *r, struct device *it, uint64_t *ret_offset, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	int given, n = plugins_update_vma_map(r->plugins, it->obj->entry->reg->name, it->e->start,
					      it->e->pgoff, ret_offset, &given);

	if (n < 0 && n != -ENOTSUP)
		return plugin_failed(err, n, "UPDATE_VMA_MAP");
	if (n != 1)
		*ret_offset = it->e->pgoff;
	/* what the plugin gave stays its own: it may give the same for other areas */
	if (given < 0) {
		int flags = it->e->has_fdflags ? (int)it->e->fdflags : O_RDWR;

		fd = given = it->obj->kind->open_mapping(r, it->obj, flags, err);
	}
	if (given < 0)
		return given;
	if (dup3(given, it->fd, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "moving a device to descriptor %d", it->fd);
	return 0;
}

int device_make_all(struct restore *r, struct err *err)
{
	struct restore_devices *all = r->devices;
	int n = 0;

	for (size_t i = 0; all && n == 0 && i < all->list.n; i++) {
		n = make(r, &all->list.v[i], &all->offsets[i], err);
		if (n < 0)
			err_wrap(err, n, "%s: device mapped at 0x%lx",
				 restore_task_name(r, all->list.v[i].task),
				 (long)all->list.v[i].e->start);
	}
	return n;
}

void device_take_offsets(struct restore *r)
{
	struct restore_devices *all = r->devices;

	for (size_t i = 0; all && i < all->list.n; i++) {
		struct device *it = &all->list.v[i];

		if (it->step >= 0)
			it->task->prog_mm.steps.v[it->step].args[5] = PN(all->offsets[i]);
	}
}

void device_done(struct restore *r)
{
	if (!r->devices)
		return;
	if (r->devices->offsets)
		munmap(r->devices->offsets, r->devices->size);
	vec_free(&r->devices->list);
}
