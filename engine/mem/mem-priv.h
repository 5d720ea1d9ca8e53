/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared inside engine/mem: kinds of areas that have a file of their own. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

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
int aio_check_result(const struct restore *r, const struct restore_task *task, struct err *err);
