/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory of a dump: areas, their pages, shared segments. */
#pragma once

#include <sys/mman.h>

#include "engine/core/dump.h"

/* vma_entry.status: bit numbers are part of the image format. */
enum area_status {
	AREA_REGULAR = 1 << 0,
	AREA_STACK = 1 << 1,
	AREA_VSYSCALL = 1 << 2,
	AREA_VDSO = 1 << 3,
	AREA_HEAP = 1 << 5,
	AREA_FILE_PRIVATE = 1 << 6,
	AREA_FILE_SHARED = 1 << 7,
	AREA_ANON_SHARED = 1 << 8,
	AREA_ANON_PRIVATE = 1 << 9,
	AREA_SYSVIPC = 1 << 10,
	AREA_SOCKET = 1 << 11,
	AREA_VVAR = 1 << 12,
	AREA_AIO_RING = 1 << 13,
	AREA_MEMFD = 1 << 14,
	AREA_SHADOW_STACK = 1 << 15,
	AREA_GUARD = 1 << 16,
	AREA_PLUGIN = 1 << 27, /* a device that a plugin maps */
};

/* pagemap_entry.flags */
enum { PE_PARENT = 1, PE_LAZY = 2, PE_PRESENT = 4 };

/* Area madvise bits: bit n of vma_entry.madv stands for madvise(n). */

struct VmaEntry;

/* Fills task->vmas of all tasks. Before mem_collect(). */
int mem_read(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * Classifies every area of the task, registers mapped files and shared segments,
 * refuses what cannot be kept. Fills task->areas.
 */
int mem_collect(struct dump *d, struct dump_task *task, struct err *err)
	__attribute__((warn_unused_result));
void mem_collect_done(struct dump *d);

/*
 * For a thread that has just been stopped, before anything else is read of its task: lets it out of
 * the functions of the vDSO if it can be had outside. Positive TRACEE_IS_GONE.
 */
int vdso_leave(struct dump_thread *th, struct err *err) __attribute__((warn_unused_result));

/* Asks in the leader's program for what only the task knows (the break). */
void mem_ask(struct dump *d, struct dump_thread *leader, struct program *p);

/* mm-PID.img. Answers of the program are in p. */
int mem_write_areas(struct dump *d, struct dump_task *task, const struct program *p,
		    struct err *err) __attribute__((warn_unused_result));

/* pagemap-PID.img and pages-N.img of one task, copied from outside. */
int mem_dump_pages(struct dump *d, struct dump_task *task, struct err *err)
	__attribute__((warn_unused_result));

/*
 * An address range of len bytes clear of every area of the task, from that address on. -ENOMEM if
 * there is none.
 */
int mem_find_hole(const struct proc_vmas *vmas, uint64_t from, uint64_t len, uint64_t *ret);

/* ---- shared memory with a file behind it (shmem.c) ---- */

/*
 * Registers memory (a memfd, shared anonymous memory): its pages are copied with those of the
 * tasks. fd is a description of its own, open for reading, and is taken. The id names its page map.
 */
int shmem_add(struct dump *d, int fd, const struct stat *st, uint32_t *ret_id, struct err *err)
	__attribute__((warn_unused_result));

/* pagemap-shmem-ID.img and its pages for all that was registered. */
int shmem_dump(struct dump *d, struct err *err) __attribute__((warn_unused_result));
void shmem_done(struct dump *d);

/* ---- page files (page-writer.c) ---- */

struct page_writer;

/*
 * Starts a page file and its pagemap image (whose name is given by fmt). skip_zero: pages of zeros
 * are left out, because what is not in the image reads as zeros.
 */
int page_writer_new(struct dump *d, enum image_type type, const char *pagemap_name,
		    struct page_writer **ret, struct err *err) __attribute__((warn_unused_result));

/* Copies pages of a task's memory that starts at addr; they appear in the image at image_addr. */
int page_writer_copy(struct page_writer *w, pid_t pid, uint64_t addr, uint64_t image_addr,
		     uint64_t n_pages, bool skip_zero, struct err *err)
	__attribute__((warn_unused_result));

/* The same from an open file. */
int page_writer_copy_fd(struct page_writer *w, int fd, uint64_t offset, uint64_t image_addr,
			uint64_t n_pages, bool skip_zero, struct err *err)
	__attribute__((warn_unused_result));

int page_writer_finish(struct page_writer *w, struct err *err) __attribute__((warn_unused_result));
void page_writer_free(struct page_writer *w);

/* Frees the buffers of all page files. */
void pages_done(struct dump *d);

/* Waits until all page files are written. */
int pages_finish(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* Removes the page files of a dump that failed. */
void pages_discard(struct dump *d);
