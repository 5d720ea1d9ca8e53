/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kind of area a line of smaps describes. Pure functions, for tests as well. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/proctext-maps.h"

enum area_kind {
	AREA_KIND_ANON, /* private anonymous, heap and stack included */
	AREA_KIND_FILE, /* a file, private or shared; memory with a file behind it included */
	AREA_KIND_SYSV, /* a System V segment */
	AREA_KIND_AIO,	/* a ring of kernel asynchronous I/O */
	AREA_KIND_RING, /* the rings of a packet socket */
	AREA_KIND_VDSO,
	AREA_KIND_VVAR,
	AREA_KIND_VSYSCALL,
	AREA_KIND_ASIDE, /* a vDSO that a restore has put beside the task's own */
	AREA_KIND_UNSUPPORTED,
};

/* Classifies; for AREA_KIND_UNSUPPORTED, *ret_why is the reason. */
enum area_kind area_classify(const struct proc_vma *vma, const char **ret_why);

/* The path that vdso_collect() gives to an AREA_KIND_ASIDE, which the kernel does not know. */
#define AREA_PATH_ASIDE "[vdso aside]"

/* Private pages of it must be stored. */
bool area_has_own_pages(const struct proc_vma *vma);

/* It maps a file privately or shared. */
bool area_is_file(const struct proc_vma *vma);

/*
 * The file has no path: a memfd, or what the kernel makes behind shared anonymous memory. Two
 * mappings of it are known to be of one memory by its inode.
 */
bool area_is_memory_file(const struct proc_vma *vma);

/* vma_entry.madv of its VmFlags. */
uint64_t area_madv(const struct proc_vma *vma);

/* vma_entry.status of its kind. */
uint32_t area_status(const struct proc_vma *vma);

/* vma_entry.flags: MAP_*. */
uint32_t area_map_flags(const struct proc_vma *vma);
