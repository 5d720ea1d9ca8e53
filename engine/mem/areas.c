/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/mem/areas.h"

#include <string.h>
#include <sys/mman.h>

#include "engine/mem/mem.h"

static bool starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static const char *unsupported_flag(const struct proc_vma *vma)
{
	if (proc_vma_has(vma, VMF_HT))
		return "huge page mappings cannot be kept yet";
	if (proc_vma_has(vma, VMF_UM) || proc_vma_has(vma, VMF_UW) || proc_vma_has(vma, VMF_UI))
		return "it is registered with a userfaultfd";
	if (proc_vma_has(vma, VMF_SS))
		return "shadow stacks cannot be kept yet";
	if (proc_vma_has(vma, VMF_SL))
		return "sealed mappings cannot be kept yet";
	if (proc_vma_has(vma, VMF_PF) || proc_vma_has(vma, VMF_IO) || proc_vma_has(vma, VMF_MM))
		return "it maps a device";
	/* code that is only executable has a key by the kernel's own choice */
	if (vma->pkey && vma->prot != PROT_EXEC)
		return "memory protection keys cannot be kept yet";
	return NULL;
}

static const char *unsupported_path(const char *path, bool shared)
{
	if (starts(path, "/dev/zero (deleted)") && !shared)
		return "a private mapping of shared anonymous memory cannot be kept yet";
	if (starts(path, "/SYSV"))
		return "System V shared memory cannot be kept yet";
	if (starts(path, "/[aio]"))
		return "AIO rings cannot be kept yet";
	if (starts(path, "anon_inode:") || starts(path, "/anon_inode:"))
		return "io_uring and other kernel objects cannot be mapped again";
	if (starts(path, "socket:"))
		return "packet socket rings cannot be kept yet";
	if (starts(path, "/anon_hugepage"))
		return "huge page mappings cannot be kept yet";
	if (starts(path, "[uprobes]"))
		return "it is being probed (uprobes)";
	if (path[0] == '[' && !starts(path, "[heap]") && !starts(path, "[stack]") &&
	    !starts(path, "[anon:") && !starts(path, "[anon_shmem:"))
		return "an area of the kernel that is not known";
	return NULL;
}

enum area_kind area_classify(const struct proc_vma *vma, const char **ret_why)
{
	const char *path = vma->path;

	*ret_why = NULL;
	if (strcmp(path, "[vsyscall]") == 0)
		return AREA_KIND_VSYSCALL;
	if (strcmp(path, "[vdso]") == 0)
		return AREA_KIND_VDSO;
	if (starts(path, "[vvar"))
		return AREA_KIND_VVAR;
	*ret_why = unsupported_flag(vma);
	if (!*ret_why)
		*ret_why = unsupported_path(path, vma->shared);
	if (*ret_why)
		return AREA_KIND_UNSUPPORTED;
	if (vma->shared && (starts(path, "/dev/zero (deleted)") || starts(path, "[anon_shmem:")))
		return AREA_KIND_SHMEM;
	return vma->ino || path[0] == '/' ? AREA_KIND_FILE : AREA_KIND_ANON;
}

bool area_is_file(const struct proc_vma *vma)
{
	const char *why;

	return area_classify(vma, &why) == AREA_KIND_FILE;
}

bool area_has_own_pages(const struct proc_vma *vma)
{
	const char *why;
	enum area_kind kind = area_classify(vma, &why);

	if (kind == AREA_KIND_VDSO)
		return true;
	if (vma->shared || proc_vma_has(vma, VMF_DP))
		return false;
	/* a private mapping holds pages of its own only once something was written */
	return (kind == AREA_KIND_ANON || kind == AREA_KIND_FILE) &&
	       (vma->anon_kib || vma->swap_kib);
}

uint64_t area_madv(const struct proc_vma *vma)
{
	static const struct {
		enum proc_vmflag flag;
		int advice;
	} map[] = {
		{ VMF_SR, MADV_SEQUENTIAL }, { VMF_RR, MADV_RANDOM },	  { VMF_DC, MADV_DONTFORK },
		{ VMF_DD, MADV_DONTDUMP },   { VMF_MG, MADV_MERGEABLE },  { VMF_HG, MADV_HUGEPAGE },
		{ VMF_NH, MADV_NOHUGEPAGE }, { VMF_WF, MADV_WIPEONFORK },
	};
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (proc_vma_has(vma, map[i].flag))
			bits |= 1ull << map[i].advice;
	return bits;
}

uint32_t area_status(const struct proc_vma *vma)
{
	const char *why;

	switch (area_classify(vma, &why)) {
	case AREA_KIND_VSYSCALL:
		return AREA_VSYSCALL | AREA_ANON_PRIVATE;
	case AREA_KIND_VDSO:
		return AREA_REGULAR | AREA_VDSO | AREA_ANON_PRIVATE;
	case AREA_KIND_VVAR:
		return AREA_REGULAR | AREA_VVAR | AREA_ANON_PRIVATE;
	case AREA_KIND_SHMEM:
		return AREA_REGULAR | AREA_ANON_SHARED;
	case AREA_KIND_FILE:
		return AREA_REGULAR | (vma->shared ? AREA_FILE_SHARED : AREA_FILE_PRIVATE) |
		       (starts(vma->path, "/memfd:") ? AREA_MEMFD : 0);
	default:
		return AREA_REGULAR | AREA_ANON_PRIVATE |
		       (strcmp(vma->path, "[heap]") == 0 ? AREA_HEAP : 0);
	}
}

uint32_t area_map_flags(const struct proc_vma *vma)
{
	/* MAP_DROPPABLE (0x08) is a type beside shared and private, not a flag */
	uint32_t flags = proc_vma_has(vma, VMF_DP) ? 0x08 : vma->shared ? MAP_SHARED : MAP_PRIVATE;
	const char *why;

	if (area_classify(vma, &why) != AREA_KIND_FILE)
		flags |= MAP_ANONYMOUS;
	if (proc_vma_has(vma, VMF_GD))
		flags |= MAP_GROWSDOWN;
	if (proc_vma_has(vma, VMF_LO))
		flags |= MAP_LOCKED;
	if (proc_vma_has(vma, VMF_NR))
		flags |= MAP_NORESERVE;
	return flags;
}
