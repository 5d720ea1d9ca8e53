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
