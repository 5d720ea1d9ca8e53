/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attached System V segments. A segment itself belongs to its IPC namespace (engine/ns/ipc-shm.c);
 * here it is found in address spaces and attached again. shmat(2) maps a whole segment: what a task
 * has unmapped of it since, or protected otherwise, is cut out and protected again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/mem/areas.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "proto/memory.pb-c.h"

/* ---- dump ---- */

/* Segments are files of the kernel's own mount, the one that memfds are on. */
static bool is_kernels_own(const struct proc_vma *vma, const struct stat *st)
{
	bool huge = proc_vma_has(vma, VMF_HT);
	cleanup_fd int fd = memfd_create(
		"", MFD_CLOEXEC | (huge ? MFD_HUGETLB | (uint32_t)__builtin_ctzll(st->st_blksize)
								<< MFD_HUGE_SHIFT
					: 0));
	struct stat own;

	return fd >= 0 && fstat(fd, &own) == 0 && own.st_dev == st->st_dev;
}

/* Where the attachment begins that an area is a part of; ~0 for one that mremap(2) made odd. */
static uint64_t base_of(const struct proc_vma *vma)
{
	return vma->offset <= vma->start ? vma->start - vma->offset : ~0ull;
}

/* A new attachment covers the whole segment for a moment: nothing else may lie there. */
static bool has_its_place(const struct dump_task *task, const struct proc_vma *vma, uint64_t size)
{
	uint64_t base = base_of(vma), end;
	const struct proc_vma *other;

	if (base == ~0ull || __builtin_add_overflow(base, size, &end) || vma->end > end)
		return false;
	vec_foreach (other, &task->vmas)
		if (other->start < end && other->end > base &&
		    (strcmp(other->path, vma->path) != 0 || other->ino != vma->ino ||
		     base_of(other) != base))
			return false;
	return true;
}

int sysv_collect(struct dump *d, struct dump_task *task, const struct proc_vma *vma, VmaEntry *e,
		 struct err *err)
{
	uint64_t page = vma->page_kib ? vma->page_kib << 10 : IMAGE_PAGE_SIZE;
	struct stat st, link;
	char path[64];

	e->shmid = vma->ino; /* the kernel gives the file of a segment its id */
	e->pgoff = vma->offset;
	snprintf(path, sizeof(path), "map_files/%lx-%lx", (long)vma->start, (long)vma->end);
	if (fstatat(task->proc_fd, path, &st, 0) < 0 ||
	    fstatat(task->proc_fd, path, &link, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "looking at the segment behind it");
	e->has_fdflags = true;
	e->fdflags = link.st_mode & 0200 ? O_RDWR : O_RDONLY;
	if (!is_kernels_own(vma, &st)) {
		dump_refuse(d, task,
			    "area 0x%lx-0x%lx: '%s' has the name of a System V segment, "
			    "and is another file",
			    (long)vma->start, (long)vma->end, vma->path);
		return 0;
	}
	if (d->root_ns.id[NS_IPC] == d->host_ns.id[NS_IPC])
		dump_refuse(d, task,
			    "area 0x%lx-0x%lx: System V segment %lu belongs to the host's "
			    "IPC namespace; hint: run the tree in one of its own",
			    (long)vma->start, (long)vma->end, (long)vma->ino);
	if (!has_its_place(task, vma, ((uint64_t)st.st_size + page - 1) & ~(page - 1)))
		dump_refuse(d, task,
			    "area 0x%lx-0x%lx: parts of System V segment %lu were moved "
			    "or replaced (mremap)",
			    (long)vma->start, (long)vma->end, (long)vma->ino);
	return 0;
}

/* ---- restore ---- */

struct restore_sysv {
	VEC(struct sysv_size {
		uint32_t id;
		uint64_t size;
	})
	sizes;
};

int sysv_note(struct restore *r, uint32_t id, uint64_t size, struct err *err)
{
	struct sysv_size *s;

	if (!r->sysv && !(r->sysv = arena_alloc(&r->arena, sizeof(*r->sysv))))
		return err_nomem(err);
	s = vec_add(&r->sysv->sizes);
	if (!s)
		return err_nomem(err);
	*s = (struct sysv_size){ id, size };
	return 0;
}

void sysv_done(struct restore *r)
{
	if (r->sysv)
		vec_free(&r->sysv->sizes);
}

static uint64_t size_of(const struct restore *r, uint64_t id)
{
	const struct sysv_size *s;

	if (r->sysv)
		vec_foreach (s, &r->sysv->sizes)
			if (s->id == id)
				return s->size;
	return 0;
}

int sysv_check(const struct restore *r, const VmaEntry *e, struct err *err)
{
	uint64_t size = size_of(r, e->shmid);

	if (!size)
		return err_image(err, "System V segment %lu is not in 'ipcns-shm-%u.img'",
				 (long)e->shmid, r->root_ns.id[NS_IPC]);
	if (e->pgoff % IMAGE_PAGE_SIZE || e->pgoff > e->start || e->pgoff > size ||
	    e->end - e->start > size - e->pgoff)
		return err_image(err, "it is not a part of System V segment %lu (%lu bytes)",
				 (long)e->shmid, (long)size);
	return 0;
}

static bool same_attachment(const VmaEntry *a, const VmaEntry *b)
{
	return b->status & AREA_SYSVIPC && a->shmid == b->shmid &&
	       a->start - a->pgoff == b->start - b->pgoff;
}

static void unmap(struct program *p, uint64_t start, uint64_t end)
{
	if (start < end)
		prog_syscall(p, "cutting a hole into a System V segment", PROG_STOP, SYS_munmap,
			     PN(start), PN(end - start));
}

/* The size of pages decides where an attachment may be cut; it is a whole number of them. */
void sysv_put(const struct restore *r, const MmEntry *mm, size_t first, struct program *p)
{
	const VmaEntry *e = mm->vmas[first];
	uint64_t base = e->start - e->pgoff, at = base, end = base + size_of(r, e->shmid);
	bool writable = false;
	size_t i;
	int step;

	for (i = 0; i < first; i++)
		if (same_attachment(e, mm->vmas[i]))
			return; /* attached with its first part */
	for (i = first; i < mm->n_vmas; i++)
		if (same_attachment(e, mm->vmas[i]))
			writable |= !mm->vmas[i]->has_fdflags || mm->vmas[i]->fdflags == O_RDWR;
	step = prog_syscall(p, "attaching a System V segment", PROG_STOP, SYS_shmat, PN(e->shmid),
			    PN(base), PN(writable ? 0 : SHM_RDONLY));
	if (!p->broken)
		p->steps.v[step].detail = base;
	for (i = first; i < mm->n_vmas; i++) {
		const VmaEntry *part = mm->vmas[i];
		uint32_t prot = part->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);

		if (!same_attachment(e, part))
			continue;
		unmap(p, at, part->start);
		at = part->end;
		if (prot != (writable ? PROT_READ | PROT_WRITE : PROT_READ))
			prog_syscall(p, "protecting a System V segment", PROG_STOP, SYS_mprotect,
				     PN(part->start), PN(part->end - part->start), PN(prot));
	}
	unmap(p, at, end);
	for (i = first; i < mm->n_vmas; i++)
		if (same_attachment(e, mm->vmas[i]))
			attributes_put_policy(mm->vmas[i], p);
}
