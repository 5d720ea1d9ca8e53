/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parser of /proc/PID/maps and /proc/PID/smaps; the rules of proctext.h hold here too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/vec.h"

/* The two-letter words of the VmFlags line, as bits. The names are the kernel's words. */
enum proc_vmflag {
	VMF_RD = 0, /* VM_READ */
	VMF_WR,	    /* VM_WRITE */
	VMF_EX,	    /* VM_EXEC */
	VMF_SH,	    /* VM_SHARED */
	VMF_MR,	    /* VM_MAYREAD */
	VMF_MW,	    /* VM_MAYWRITE */
	VMF_ME,	    /* VM_MAYEXEC */
	VMF_MS,	    /* VM_MAYSHARE */
	VMF_GD,	    /* VM_GROWSDOWN */
	VMF_PF,	    /* VM_PFNMAP */
	VMF_DW,	    /* VM_DENYWRITE, gone in 5.15 */
	VMF_LO,	    /* VM_LOCKED */
	VMF_IO,	    /* VM_IO */
	VMF_SR,	    /* VM_SEQ_READ */
	VMF_RR,	    /* VM_RAND_READ */
	VMF_DC,	    /* VM_DONTCOPY */
	VMF_DE,	    /* VM_DONTEXPAND */
	VMF_LF,	    /* VM_LOCKONFAULT */
	VMF_AC,	    /* VM_ACCOUNT */
	VMF_NR,	    /* VM_NORESERVE */
	VMF_HT,	    /* VM_HUGETLB */
	VMF_SF,	    /* VM_SYNC */
	VMF_NL,	    /* VM_NONLINEAR, gone in 4.0 */
	VMF_AR,	    /* VM_ARCH_1 */
	VMF_WF,	    /* VM_WIPEONFORK */
	VMF_DD,	    /* VM_DONTDUMP */
	VMF_SD,	    /* VM_SOFTDIRTY */
	VMF_MM,	    /* VM_MIXEDMAP */
	VMF_HG,	    /* VM_HUGEPAGE */
	VMF_NH,	    /* VM_NOHUGEPAGE */
	VMF_MG,	    /* VM_MERGEABLE */
	VMF_UM,	    /* VM_UFFD_MISSING */
	VMF_UW,	    /* VM_UFFD_WP */
	VMF_UI,	    /* VM_UFFD_MINOR */
	VMF_SS,	    /* VM_SHADOW_STACK */
	VMF_SL,	    /* VM_SEALED */
	VMF_DP,	    /* VM_DROPPABLE */
	VMF_BT,	    /* VM_ARM64_BTI */
	VMF_MT,	    /* VM_MTE */
	VMF_MP,	    /* VM_MPX, gone in 5.6 */
	VMF_GU,	    /* VM_MAYBE_GUARD */
	VMF_OTHER,  /* a word this list does not have, or the kernel's "??" */
};

#define VMF_BIT(f) (UINT64_C(1) << (f))

struct proc_vma {
	uint64_t start, end;
	int prot; /* PROT_* */
	bool shared;
	uint64_t offset;
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	/*
	 * Belongs to the list; "" if there is none. Newlines are decoded, and " (deleted)" is left
	 * at the end: whether the file's name really ends so, only a stat(2) of the path can tell.
	 */
	const char *path;

	/* From here on: smaps only, else 0. */
	uint64_t vmflags; /* VMF_BIT(VMF_*) */
	uint64_t page_kib;
	uint64_t rss_kib;
	uint64_t anon_kib;
	uint64_t shared_kib;  /* Shared_Clean and Shared_Dirty */
	uint64_t private_kib; /* Private_Clean and Private_Dirty */
	uint64_t hugetlb_kib; /* Shared_Hugetlb and Private_Hugetlb, in none of the others */
	uint64_t swap_kib;
	uint64_t locked_kib;
	uint32_t pkey;
};

/* Free with proc_vmas_done(). */
struct proc_vmas {
	VEC(struct proc_vma);
	char *paths;
};

/* Parses maps or smaps, in one pass. */
int proc_vmas_parse(const char *text, size_t len, struct proc_vmas *ret);
void proc_vmas_done(struct proc_vmas *vmas);

static inline bool proc_vma_has(const struct proc_vma *vma, enum proc_vmflag f)
{
	return vma->vmflags & VMF_BIT(f);
}

static inline void cleanup_proc_vmasp(struct proc_vmas *vmas)
{
	proc_vmas_done(vmas);
}
#define cleanup_proc_vmas __attribute__((__cleanup__(cleanup_proc_vmasp)))
