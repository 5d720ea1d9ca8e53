/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory of a restore: loading areas and page maps, and the program that rebuilds an address space.
 */
#pragma once

#include "engine/core/restore.h"

/* mm-PID.img and pagemap-PID.img of a task: read, validated, files marked as needed. */
int mem_load(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* Room behind the scratch data where the vDSO waits during the rebuild. */
enum { SCRATCH_RESERVE = 1 << 20 };

/* An upper bound for the size of task->prog_mm and prog_filled, before they are built. */
uint64_t mem_program_bound(const struct restore_task *task);

/* Chooses the scratch area: clear of every area of every task and of our own; maps it here. */
int mem_place_scratch(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Builds task->prog_mm and prog_filled. After all loads, with descriptor numbers given out. */
int mem_build_program(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/*
 * In the task's builder, with all files made, before it forks: makes the memory that its children
 * inherit, and changes what came from its parent into its own.
 */
int inherit_make(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Between the two programs of all tasks: puts the stored pages into their areas, which are mapped
 * and writable.
 */
int mem_fill(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* After prog_filled: whether it could do everything. */
int mem_check_result(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* Shared segments: makes and fills them in the engine; builders inherit the descriptors. */
int shmem_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

void shmem_load_done(struct restore *r);

/* Registers an area of a shared segment; gives the descriptor number that builders will see. */
int shmem_need(struct restore *r, uint64_t shmid, uint64_t size, struct err *err)
	__attribute__((warn_unused_result));
int shmem_fd(const struct restore *r, uint64_t shmid);

/*
 * A System V segment that the tasks can attach once they live in their IPC namespace, which tells
 * it here before mem_load(). size: of an attachment, in whole pages of the segment.
 */
int sysv_note(struct restore *r, uint32_t id, uint64_t size, struct err *err)
	__attribute__((warn_unused_result));
void sysv_done(struct restore *r);

/* ---- mapped devices of plugins ---- */

/* After all mem_load(); in the root builder, with all files made; before programs run. */
int device_prepare(struct restore *r, struct err *err) __attribute__((warn_unused_result));
int device_make_all(struct restore *r, struct err *err) __attribute__((warn_unused_result));
void device_take_offsets(struct restore *r);
void device_done(struct restore *r);

/* ---- page maps ---- */

struct page_run {
	uint64_t addr, n_pages;
	uint64_t offset; /* in the page file */
};

struct page_map {
	VEC(struct page_run) runs; /* ascending addresses */
	uint32_t pages_id;
	int fd;	     /* page file, at a number that builders see; -1: it is not open */
	int bulk_fd; /* the same for large aligned reads: maybe past the page cache */
	bool direct; /* bulk_fd is, or will be */
};

/* Reads a page map; checks order, counts and the size of the page file. ABSENT: *ret stays empty.
 */
int page_map_load(struct restore *r, enum image_type type, const char *name, struct page_map *ret,
		  struct err *err) __attribute__((warn_unused_result));
void page_map_done(struct page_map *m);

/*
 * Before the first fork: closes the page files of tasks that can be opened again by whoever reads
 * them. Each would be copied to every builder.
 */
void page_files_close(struct restore *r);

/*
 * The page file, in the engine or a builder; given back with page_file_done(). bulk: for large
 * aligned reads, maybe past the page cache. A descriptor, or negative.
 */
int page_file_open(const struct restore *r, const struct page_map *m, bool bulk, struct err *err)
	__attribute__((warn_unused_result));
void page_file_done(const struct page_map *m, int fd);

/* Moves fd to the next number above those of the tasks, so that builders can keep it. */
int restore_keep_fd(struct restore *r, int fd, struct err *err) __attribute__((warn_unused_result));

/* Gives out such a number for a descriptor that the root builder will put there. */
int restore_reserve_fd(struct restore *r);
