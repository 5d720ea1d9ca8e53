/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The areas of a task: reading, refusing, registering files and segments, and mm-PID.img. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "engine/base/cleanup.h"
#include "engine/base/crew.h"
#include "engine/base/io.h"
#include "engine/files/files.h"
#include "engine/mem/areas.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "engine/sockets/packet.h"
#include "engine/task/task-asked.h"
#include "proto/memory.pb-c.h"

/* A mapped file that has been registered. */
struct mapped_file {
	uint32_t dev_major, dev_minor, flags, id;
	uint64_t ino;
	const char *path; /* of the area that it was met at first */
};

struct dump_mapped {
	VEC(struct mapped_file) files;
};

/* How the file behind an area was opened: its link has the file's rights. */
static int mapped_flags(struct dump_task *task, const char *link, uint32_t *ret)
{
	struct stat st;

	if (fstatat(task->proc_fd, link, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret = (st.st_mode & 0600) == 0600 ? O_RDWR : st.st_mode & 0200 ? O_WRONLY : O_RDONLY;
	return 0;
}

int mem_open_mapped(struct dump_task *task, const struct proc_vma *vma, uint32_t *ret_flags)
{
	char link[64];
	int fd, r;

	snprintf(link, sizeof(link), "map_files/%lx-%lx", (unsigned long)vma->start,
		 (unsigned long)vma->end);
	r = mapped_flags(task, link, ret_flags);
	if (r < 0)
		return r;
	fd = openat(task->proc_fd, link, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* procfs shows the name that a program gave to shared memory instead of that of the file. */
static const char *file_name(const struct proc_vma *vma)
{
	return strncmp(vma->path, "[anon_shmem:", 12) == 0 ? "/dev/zero (deleted)" : vma->path;
}

/* Most tasks of a tree map the same few files: each is opened once. */
static const struct mapped_file *find_mapped(const struct dump_mapped *m,
					     const struct proc_vma *vma, uint32_t flags)
{
	size_t i;

	for (i = m->files.n; i-- > 0;) {
		const struct mapped_file *f = &m->files.v[i];

		if (f->ino == vma->ino && f->dev_major == vma->dev_major &&
		    f->dev_minor == vma->dev_minor && f->flags == flags &&
		    strcmp(f->path, vma->path) == 0)
			return f;
	}
	return NULL;
}

static int add_mapped(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
		      const char *link, uint32_t flags, uint32_t *ret_id, struct err *err)
{
	cleanup_fd int fd = openat(task->proc_fd, link, O_PATH | O_CLOEXEC);
	struct mapped_file *slot;
	int r;

	if (fd < 0)
		return -errno;
	r = files_add_path(d, task, fd, file_name(vma), flags, "mapped file", ret_id, err);
	slot = r == 0 ? vec_add(&d->mapped->files) : NULL;
	if (slot)
		*slot = (struct mapped_file){ vma->dev_major, vma->dev_minor, flags,
					      *ret_id,	      vma->ino,	      vma->path };
	return r;
}

static int file_id(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
		   uint32_t *ret_flags, uint32_t *ret_id, struct err *err)
{
	int flags = task->opened[vma - task->vmas.v];
	const struct mapped_file *known;
	char link[64];

	if (!d->mapped && !(d->mapped = arena_alloc(&d->arena, sizeof(*d->mapped))))
		return err_nomem(err);
	snprintf(link, sizeof(link), "map_files/%lx-%lx", (unsigned long)vma->start,
		 (unsigned long)vma->end);
	if (flags < 0)
		return flags;
	*ret_flags = (uint32_t)flags;
	known = find_mapped(d->mapped, vma, *ret_flags);
	if (!known)
		return add_mapped(d, task, vma, link, *ret_flags, ret_id, err);
	*ret_id = known->id;
	return 0;
}

static int collect_file(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
			VmaEntry *e, struct err *err)
{
	uint32_t flags = 0, id = 0;
	int r = file_id(d, task, vma, &flags, &id, err);

	if (r < 0 && err->code == 0) {
		err_sys(err, r, "opening the file mapped at 0x%lx ('%s')", (long)vma->start,
			vma->path);
		if (r == -EPERM)
			err_hint(err, "this needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE");
	}
	if (r < 0)
		return r;
	e->shmid = id;
	e->pgoff = vma->offset;
	e->has_fdflags = true;
	e->fdflags = flags;
	return 0;
}

void mem_collect_done(struct dump *d)
{
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		free((*t)->opened);
	if (d->mapped)
		vec_free(&d->mapped->files);
}

/* NULL for most areas, and when out of memory: the next allocation tells that. */
static char *area_anon_name(struct dump *d, const struct proc_vma *vma)
{
	static const char *const prefixes[] = { "[anon:", "[anon_shmem:" };
	char *name = NULL;
	size_t i;

	for (i = 0; i < 2; i++)
		if (strncmp(vma->path, prefixes[i], strlen(prefixes[i])) == 0)
			name = arena_strdup(&d->arena, vma->path + strlen(prefixes[i]));
	if (name && *name)
		name[strlen(name) - 1] = '\0'; /* the bracket */
	return name;
}

static void collect_ring(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
			 VmaEntry *e)
{
	uint32_t id = 0;
	const char *why = NULL;

	if (!packet_find(d, vma->ino, &id))
		why = "maps a socket that nobody has open any more";
	else if (vma->anon_kib || vma->swap_kib)
		why = "has pages of its own over the rings of a packet socket";
	else if (proc_vma_has(vma, VMF_UM) || proc_vma_has(vma, VMF_UW))
		why = "is registered with a userfaultfd";
	if (why)
		dump_refuse(d, task, "area 0x%lx-0x%lx '%s' %s", (long)vma->start, (long)vma->end,
			    vma->path, why);
	e->shmid = id;
}

static int collect_area(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
			VmaEntry *e, struct err *err)
{
	const char *why;
	int r = 0;

	vma_entry__init(e);
	e->start = vma->start;
	e->end = vma->end;
	e->prot = (uint32_t)vma->prot;
	e->fd = -1;
	e->status = area_status(vma);
	e->flags = area_map_flags(vma);
	e->madv = area_madv(vma);
	e->has_madv = e->madv != 0;
	e->has_lock_on_fault = e->lock_on_fault = proc_vma_has(vma, VMF_LF);
	e->has_sealed = e->sealed = proc_vma_has(vma, VMF_SL);
	e->anon_name = area_anon_name(d, vma);
	r = device_collect(d, task, vma, e, err);
	if (r != 0)
		return r < 0 ? r : 0;
	switch (area_classify(vma, &why)) {
	case AREA_KIND_UNSUPPORTED:
		dump_refuse(d, task, "area 0x%lx-0x%lx '%s': %s", (long)vma->start, (long)vma->end,
			    vma->path, why);
		break;
	case AREA_KIND_FILE:
		r = collect_file(d, task, vma, e, err);
		break;
	case AREA_KIND_RING:
		collect_ring(d, task, vma, e);
		break;
	case AREA_KIND_AIO:
		r = aio_collect(d, task, vma, e, err);
		break;
	case AREA_KIND_SYSV:
		r = sysv_collect(d, task, vma, e, err);
		break;
	default:
		break;
	}
	return r < 0 ? err_wrap(err, r, "%s: area 0x%lx-0x%lx", dump_task_name(d, task),
				(long)vma->start, (long)vma->end)
		     : 0;
}

static int read_areas(void *arg, size_t i, struct err *err)
{
	struct dump_task *task = ((struct dump *)arg)->tasks.v[i];
	cleanup_buf struct buf text = BUF_INIT;
	size_t k;
	int r;

	if (task->state == TASK_DEAD || task->memory_of != task)
		return 0;
	r = io_read_file(task->proc_fd, "smaps", &text);
	if (r == 0)
		r = proc_vmas_parse(text.data, text.len, &task->vmas);
	if (r < 0)
		return err_sys(err, r, "reading the areas of task %d", task->pid);
	task->opened = calloc(task->vmas.n + 1, sizeof(*task->opened));
	if (!task->opened)
		return err_nomem(err);
	for (k = 0; k < task->vmas.n; k++) {
		const struct proc_vma *vma = &task->vmas.v[k];
		uint32_t flags = 0;
		char link[64];

		if (!area_is_file(vma))
			continue;
		snprintf(link, sizeof(link), "map_files/%lx-%lx", (unsigned long)vma->start,
			 (unsigned long)vma->end);
		r = mapped_flags(task, link, &flags);
		task->opened[k] = r < 0 ? r : (int)flags;
	}
	return 0;
}

int mem_read(struct dump *d, struct err *err)
{
	return crew_run(d->tasks.n, 4, read_areas, d, err);
}

int mem_collect(struct dump *d, struct dump_task *task, struct err *err)
{
	VmaEntry *entries;
	size_t i;
	int r = vdso_collect(d, task, err);

	if (r < 0)
		return r;
	entries = arena_alloc(&d->arena, (task->vmas.n + 1) * sizeof(*entries));
	if (!entries)
		return err_nomem(err);
	task->areas = entries;
	for (i = 0; i < task->vmas.n; i++) {
		const struct proc_vma *vma = &task->vmas.v[i];

		r = collect_area(d, task, vma, &entries[i], err);
		if (r < 0)
			return r;
	}
	return guards_collect(d, task, err);
}

void mem_ask(struct dump *d, struct dump_thread *leader, struct program *p)
{
	leader->asked[ASKED_BREAK].step =
		prog_syscall(p, "asking for the break", PROG_STOP, SYS_brk, PN(0));
	policies_ask(d, leader, p);
}

static int read_auxv(struct dump *d, struct dump_task *task, MmEntry *mm, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(task->proc_fd, "auxv", &b);

	if (r < 0)
		return err_sys(err, r, "reading the auxiliary vector of %s",
			       dump_task_name(d, task));
	mm->n_mm_saved_auxv = b.len / 8;
	/* Without the end mark, which the kernel adds itself: CRIU's array has no room for it. */
	if (mm->n_mm_saved_auxv >= 2)
		mm->n_mm_saved_auxv -= 2;
	mm->mm_saved_auxv = arena_dup(&d->arena, b.data ? b.data : "", b.len);
	return mm->mm_saved_auxv ? 0 : err_nomem(err);
}

/* Pointers to the entries, as protobuf wants them; neighbours of one vvar are one area in the
 * image. */
static int entry_list(struct dump *d, struct dump_task *task, MmEntry *mm, struct err *err)
{
	VmaEntry *entries = task->areas, *last = NULL;
	size_t i;

	mm->vmas = arena_alloc(&d->arena, (task->vmas.n + task->guards.n + 1) * sizeof(*mm->vmas));
	if (!mm->vmas)
		return err_nomem(err);
	for (i = 0; i < task->vmas.n; i++) {
		VmaEntry *e = &entries[i];
		const char *why;

		if (area_classify(&task->vmas.v[i], &why) == AREA_KIND_ASIDE)
			continue;
		if (last && e->status & AREA_VVAR && last->status & AREA_VVAR &&
		    last->end == e->start) {
			last->end = e->end;
			continue;
		}
		mm->vmas[mm->n_vmas++] = last = e;
	}
	for (i = 0; i < task->guards.n; i++)
		mm->vmas[mm->n_vmas++] = task->guards.v[i];
	return 0;
}

int mem_write_areas(struct dump *d, struct dump_task *task, const struct program *p,
		    struct err *err)
{
	const struct dump_thread *leader = task->threads.v[0];
	const struct proc_stat *st = &leader->stat;
	MmEntry mm = MM_ENTRY__INIT;
	int64_t thp;
	int r;

	mm.mm_start_code = st->start_code;
	mm.mm_end_code = st->end_code;
	mm.mm_start_data = st->start_data;
	mm.mm_end_data = st->end_data;
	mm.mm_start_stack = st->start_stack;
	mm.mm_start_brk = st->start_brk;
	mm.mm_brk = (uint64_t)prog_result(p, leader->asked[ASKED_BREAK].step);
	mm.mm_arg_start = st->arg_start;
	mm.mm_arg_end = st->arg_end;
	mm.mm_env_start = st->env_start;
	mm.mm_env_end = st->env_end;
	mm.exe_file_id = task->exe_id;
	mm.has_vdso_aside = task->vdso_aside != 0;
	mm.vdso_aside = task->vdso_aside;
	mm.has_dumpable = true;
	mm.dumpable = (int32_t)prog_result(p, leader->asked[ASKED_DUMPABLE].step);
	mm.has_thp_disabled = true;
	thp = prog_result(p, leader->asked[ASKED_THP].step);
	mm.thp_disabled = thp != 0;
	/* since 6.18 it has flags, which are above the first bit */
	mm.has_thp_disable_flags = thp > 1;
	mm.thp_disable_flags = (uint32_t)thp & ~1u;
	r = read_auxv(d, task, &mm, err);
	if (r == 0)
		r = policies_capture(d, task, p, err);
	if (r == 0)
		r = future_locks(task, &mm.lock_future, err);
	mm.has_lock_future = mm.lock_future != 0;
	if (r == 0)
		r = entry_list(d, task, &mm, err);
	if (r == 0 && aio_write(d, task, &mm) < 0)
		r = err_nomem(err);
	if (r < 0)
		return r;
	if (image_add(image_get(d->images, IMG_MM, "mm-%d.img", task->ns_pid), &mm.base) < 0)
		return err_nomem(err);
	return 0;
}

int mem_find_hole(const struct proc_vmas *vmas, uint64_t from, uint64_t len, uint64_t *ret)
{
	uint64_t low = from > 1 << 20 ? from : 1 << 20, guard = 1 << 20;
	size_t i;

	/* Clear of neighbours by a guard, so that no stack can grow into it and nothing merges. */
	for (i = 0; i < vmas->n; i++) {
		const struct proc_vma *v = &vmas->v[i];

		if (v->start > low && v->start - low > len + 2 * guard) {
			*ret = (low + guard + 0xfffff) & ~0xfffffull;
			return 0;
		}
		if (v->end > low && v->end <= arch_task_size())
			low = v->end;
	}
	if (arch_task_size() - low > len + 2 * guard) {
		*ret = (low + guard + 0xfffff) & ~0xfffffull;
		return 0;
	}
	return -ENOMEM;
}
