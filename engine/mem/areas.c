/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/mem/areas.h"

#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mem/mem.h"

static bool starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static const char *unsupported_flag(const struct proc_vma *vma)
{
	if (proc_vma_has(vma, VMF_UM) || proc_vma_has(vma, VMF_UW) || proc_vma_has(vma, VMF_UI))
		return "it is registered with a userfaultfd";
	if (proc_vma_has(vma, VMF_SS))
		return "shadow stacks cannot be kept yet";
	if (proc_vma_has(vma, VMF_PF) || proc_vma_has(vma, VMF_IO) || proc_vma_has(vma, VMF_MM))
		return "it maps a device";
	/* code that is only executable has a key by the kernel's own choice */
	if (vma->pkey && vma->prot != PROT_EXEC)
		return "memory protection keys cannot be kept yet";
	return NULL;
}

static const char *unsupported_path(const char *path)
{
	if (starts(path, "anon_inode:") || starts(path, "/anon_inode:"))
		return "io_uring and other kernel objects cannot be mapped again";
	if (strcmp(path, "/secretmem (deleted)") == 0)
		return "secret memory (memfd_secret) can be read by nobody but its owner";
	if (starts(path, "[uprobes]"))
		return "it is being probed (uprobes)";
	if (path[0] == '[' && !starts(path, "[heap]") && !starts(path, "[stack]") &&
	    !starts(path, "[anon:") && !starts(path, "[anon_shmem:"))
		return "an area of the kernel that is not known";
	return NULL;
}

/* "/SYSV", the key in eight hexadecimal digits, " (deleted)" */
static bool is_sysv_name(const char *path)
{
	return starts(path, "/SYSV") && strspn(path + 5, "0123456789abcdef") == 8 &&
	       strcmp(path + 13, " (deleted)") == 0;
}

static bool is_memory_name(const char *path)
{
	return starts(path, "/memfd:") || starts(path, "[anon_shmem:") ||
	       strcmp(path, "/dev/zero (deleted)") == 0 ||
	       strcmp(path, "/anon_hugepage (deleted)") == 0;
}

static bool is_deleted(const char *path)
{
	size_t n = strlen(path), m = strlen(" (deleted)");

	return n > m && strcmp(path + n - m, " (deleted)") == 0;
}

enum area_kind area_classify(const struct proc_vma *vma, const char **ret_why)
{
	const char *path = vma->path;

	*ret_why = NULL;
	if (strcmp(path, "[vsyscall]") == 0)
		return AREA_KIND_VSYSCALL;
	if (strcmp(path, "[vdso]") == 0)
		return AREA_KIND_VDSO;
	if (strcmp(path, AREA_PATH_ASIDE) == 0)
		return AREA_KIND_ASIDE;
	if (starts(path, "[vvar"))
		return AREA_KIND_VVAR;
	/* its pages are put there by the kernel, as those of a device */
	if (starts(path, "socket:"))
		return AREA_KIND_RING;
	*ret_why = unsupported_flag(vma);
	if (!*ret_why)
		*ret_why = unsupported_path(path);
	if (*ret_why)
		return AREA_KIND_UNSUPPORTED;
	if (is_sysv_name(path) && vma->shared)
		return AREA_KIND_SYSV;
	if (strcmp(path, "/[aio] (deleted)") == 0)
		return AREA_KIND_AIO;
	/* private huge pages have a file that nobody else can reach */
	if (strcmp(path, "/anon_hugepage (deleted)") == 0 && !vma->shared)
		return AREA_KIND_ANON;
	if (proc_vma_has(vma, VMF_HT) && !is_memory_name(path) && is_deleted(path)) {
		*ret_why = "it maps a deleted file of a file system of huge pages";
		return AREA_KIND_UNSUPPORTED;
	}
	return vma->ino || path[0] == '/' ? AREA_KIND_FILE : AREA_KIND_ANON;
}

bool area_is_memory_file(const struct proc_vma *vma)
{
	return area_is_file(vma) && is_memory_name(vma->path);
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

	/* the ring holds events that nobody has fetched yet */
	if (kind == AREA_KIND_VDSO || kind == AREA_KIND_AIO)
		return true;
	if (vma->shared || proc_vma_has(vma, VMF_DP))
		return false;
	/* a private mapping holds pages of its own only once something was written */
	return (kind == AREA_KIND_ANON || kind == AREA_KIND_FILE) &&
	       (vma->anon_kib || vma->swap_kib || vma->hugetlb_kib);
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
	case AREA_KIND_SYSV:
		return AREA_REGULAR | AREA_ANON_SHARED | AREA_SYSVIPC;
	case AREA_KIND_AIO:
		return AREA_AIO_RING;
	case AREA_KIND_RING:
		return AREA_REGULAR | AREA_SOCKET;
	case AREA_KIND_FILE:
		return AREA_REGULAR | (vma->shared ? AREA_FILE_SHARED : AREA_FILE_PRIVATE) |
		       (area_is_memory_file(vma) ? AREA_MEMFD : 0);
	default:
		return AREA_REGULAR | AREA_ANON_PRIVATE |
		       (strcmp(vma->path, "[heap]") == 0 ? AREA_HEAP : 0);
	}
}

/* MAP_HUGE_2MB and its like: the logarithm of the size. */
static uint32_t huge_size_bits(const struct proc_vma *vma)
{
	return vma->page_kib ? (uint32_t)(__builtin_ctzll(vma->page_kib) + 10) << MAP_HUGE_SHIFT
			     : 0;
}

uint32_t area_map_flags(const struct proc_vma *vma)
{
	/* MAP_DROPPABLE (0x08) is a type beside shared and private, not a flag */
	uint32_t flags = proc_vma_has(vma, VMF_DP) ? 0x08 : vma->shared ? MAP_SHARED : MAP_PRIVATE;
	const char *why;
	enum area_kind kind = area_classify(vma, &why);

	if (kind != AREA_KIND_FILE && kind != AREA_KIND_RING)
		flags |= MAP_ANONYMOUS;
	if (proc_vma_has(vma, VMF_GD))
		flags |= MAP_GROWSDOWN;
	if (proc_vma_has(vma, VMF_LO))
		flags |= MAP_LOCKED;
	if (proc_vma_has(vma, VMF_NR))
		flags |= MAP_NORESERVE;
	if (proc_vma_has(vma, VMF_HT))
		flags |= MAP_HUGETLB | huge_size_bits(vma);
	return flags;
}
