/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared inside engine/mem: kinds of areas that have a file of their own. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

/* ---- areas of a restore (build.c) ---- */

/* The program maps it; the others are the kernel's, or made in ways of their own. */
bool area_is_made(const struct VmaEntry *e);

/* Pages of it are stored. */
bool area_has_pages(const struct restore_task *task, const struct VmaEntry *e);

/* The number in builders of the file that it maps, -1: none. */
int area_file(const struct restore *r, const struct VmaEntry *e);

/* ---- what areas have besides contents (attributes.c) ---- */

/* Dump: task->guards. */
int guards_collect(struct dump *d, struct dump_task *task, struct err *err);

/* Dump: NUMA policies of areas, by the leader's program, into task->areas. */
void policies_ask(struct dump *d, struct dump_thread *leader, struct program *p);
int policies_capture(struct dump *d, struct dump_task *task, const struct program *p,
		     struct err *err);

/* Dump: MCL_FUTURE, MCL_ONFAULT, or 0; while the scratch area is mapped. */
int future_locks(const struct dump_task *task, uint32_t *ret_flags, struct err *err);

/* Restore: validates the fields of one area; what its calls and operands take at most. */
int attributes_check(const struct VmaEntry *e, struct err *err);
uint64_t attributes_bound(const struct VmaEntry *e);

/* Restore: before pages are put into an area; after all are filled and protected; what failed. */
void attributes_put_policy(const struct VmaEntry *e, struct program *p);
void attributes_put(const struct restore_task *task, struct program *p);
void attributes_warn(const struct restore *r, const struct restore_task *task);

/* ---- memory that goes from parents to children (inherit.c) ---- */

struct range {
	uint64_t start, end;
};

struct ranges {
	VEC(struct range);
};

/* After all loads: which areas children get from their parents. */
int inherit_plan(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/*
 * Chooses where builders keep these areas, and reserves the places. own: what this process has
 * mapped; all: the areas of all tasks; both sorted, without overlaps.
 */
int inherit_place(struct restore *r, const struct ranges *own, const struct ranges *all,
		  struct err *err) __attribute__((warn_unused_result));

/* Whether builders hold the area (by number) already, and where a final address is in them. */
bool inherit_has(const struct restore_task *task, size_t area);
uint64_t inherit_at(const struct restore *r, uint64_t addr);

/* ---- the vDSO (vdso.c, vdso-dump.c) ---- */

/*
 * What is written to the start of a vDSO that another one is redirected to; CRIU does the same. So
 * the next dump knows that this one does not belong to the task, and which one does.
 */
struct vdso_mark {
	uint64_t signature, vdso, version, vvar, own_vvar;
};
#define VDSO_MARK_SIGNATURE 0x4f53447655495243ull /* "CRIUvDSO" */
#define VDSO_MARK_NONE UINT64_MAX		  /* no such area */
enum { VDSO_MARK_VERSION = 3 };

/* Dump, with the areas read: names those of a redirected vDSO by what they are. */
int vdso_collect(struct dump *d, struct dump_task *task, struct err *err);

/*
 * Restore: decides what becomes of the stored vDSO. The calls that empty the address space, with
 * the running kernel's vDSO in the place of the stored one; if that is kept instead as an ordinary
 * area, the calls that put the kernel's aside, when all areas are mapped, and that protect it.
 */
int vdso_put(struct restore *r, struct restore_task *task, struct program *p, struct err *err);
void vdso_put_aside(const struct restore *r, const struct restore_task *task, struct program *p);
void vdso_protect(const struct restore_task *task, struct program *p);

/* Between the two programs, with pages filled: redirects the functions of a stored vDSO. */
int vdso_redirect(const struct restore *r, const struct restore_task *task, struct err *err);

/* ---- attached System V segments (sysv.c) ---- */

/* Dump: fills e; refuses what cannot be attached again. */
int sysv_collect(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
		 struct VmaEntry *e, struct err *err);

/* Restore: whether the area is a part of a segment that will exist. */
int sysv_check(const struct restore *r, const struct VmaEntry *e, struct err *err);

/* Restore: the calls that attach the segment of area number first, with all of its other parts. */
void sysv_put(const struct restore *r, const struct MmEntry *mm, size_t first, struct program *p);

/* ---- rings of asynchronous I/O (aio.c) ---- */

/* Dump: fills e, and refuses what is no ring; the list of rings in mm-PID.img (-ENOMEM). */
int aio_collect(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
		struct VmaEntry *e, struct err *err);
int aio_write(struct dump *d, const struct dump_task *task, struct MmEntry *mm);

/* Restore: whether rings and areas fit together; the room and the calls that they need. */
int aio_load(struct restore *r, const struct restore_task *task, struct err *err);
uint64_t aio_program_bound(const struct MmEntry *mm);
int aio_put(const struct restore *r, const struct restore_task *task, struct program *p,
	    struct err *err);

/* ---- putting pages into place (fill.c) ---- */

/* Whether all stored pages lie in areas that can take them; counts them. */
int fill_check(struct restore *r, struct restore_task *task, struct err *err);

/* ---- devices that plugins understand (device.c) ---- */

enum { DEVICE_TAKEN = 1 };

/* Opens the file of an area (O_PATH) with the flags that it was opened with. Or -errno. */
int mem_open_mapped(struct dump_task *task, const struct proc_vma *vma, uint32_t *ret_flags);

/* Dump: DEVICE_TAKEN if the area is a device that a plugin takes; e is filled then. */
int device_collect(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
		   struct VmaEntry *e, struct err *err);

/* Restore: registers an area; the descriptor that it will be mapped from, and the step that does.
 */
int device_need(struct restore *r, struct restore_task *task, struct VmaEntry *e, struct err *err);
int device_fd(const struct restore *r, const struct VmaEntry *e);
void device_note_step(const struct restore *r, const struct VmaEntry *e, int step);
