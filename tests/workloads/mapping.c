/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory by attributes: advice, locks, memfd files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/workloads/groups.h"
#include "tests/workloads/memory.h"

#define PAGE 4096u
#define MIB (1024u * 1024)

/* ---- madvise: what the VmFlags of a mapping say ---- */

static struct {
	int advice;
	const char *flag, *name;
	unsigned char *p;
} advices[] = {
	{ MADV_DONTFORK, "dc", "MADV_DONTFORK" },     { MADV_DONTDUMP, "dd", "MADV_DONTDUMP" },
	{ MADV_HUGEPAGE, "hg", "MADV_HUGEPAGE" },     { MADV_NOHUGEPAGE, "nh", "MADV_NOHUGEPAGE" },
	{ MADV_MERGEABLE, "mg", "MADV_MERGEABLE" },   { MADV_WIPEONFORK, "wf", "MADV_WIPEONFORK" },
	{ MADV_SEQUENTIAL, "sr", "MADV_SEQUENTIAL" }, { MADV_RANDOM, "rr", "MADV_RANDOM" },
};

static unsigned char *locked, *grows;

/* Two pages apart from each other, so that neighbours with equal flags do not merge. */
static unsigned char *map_alone(size_t size, int flags)
{
	unsigned char *p =
		mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = mmap(p + PAGE, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int advice_setup(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		advices[i].p = map_alone(16 * PAGE, 0);
		if (!advices[i].p)
			return fail_errno("mmap");
		pattern_fill(advices[i].p, 16 * PAGE, i);
		/* EINVAL: this kernel was built without it. */
		if (madvise(advices[i].p, 16 * PAGE, advices[i].advice) < 0 && errno == EINVAL)
			advices[i].flag = NULL;
		else if (!smaps_flag(advices[i].p, advices[i].flag))
			return fail("%s shows no flag '%s'", advices[i].name, advices[i].flag);
	}
	locked = map_alone(16 * PAGE, 0);
	grows = map_alone(16 * PAGE, MAP_GROWSDOWN);
	if (!locked || !grows)
		return fail_errno("mmap");
	pattern_fill(locked, 16 * PAGE, 50);
	pattern_fill(grows, 16 * PAGE, 51);
	return mlock(locked, 16 * PAGE) < 0 ? fail_errno("mlock") : WL_OK;
}

static int advice_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		if (advices[i].flag && !smaps_flag(advices[i].p, advices[i].flag))
			return fail("%s is lost", advices[i].name);
		for (size_t j = 0; j < ARRAY_SIZE(advices); j++)
			if (i != j && advices[j].flag && smaps_flag(advices[i].p, advices[j].flag))
				return fail("%s has come to a mapping of %s", advices[j].name,
					    advices[i].name);
		if (pattern_check(advices[i].p, 16 * PAGE, i, advices[i].name) != WL_OK)
			return WL_FAIL;
	}
	if (!smaps_flag(locked, "lo") || smaps_field(locked, "Locked") < 64)
		return fail("locked memory is not locked any more");
	if (smaps_flag(advices[0].p, "lo"))
		return fail("memory is locked that was not");
	if (!smaps_flag(grows, "gd"))
		return fail("MAP_GROWSDOWN is lost");
	if (pattern_check(locked, 16 * PAGE, 50, "locked memory") != WL_OK)
		return WL_FAIL;
	return pattern_check(grows, 16 * PAGE, 51, "MAP_GROWSDOWN memory");
}

/* ---- area-attributes: guard pages, locks on fault and of the future, seals, NUMA policies ---- */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static struct {
	unsigned char *guarded, *on_fault, *sealed, *bound;
	unsigned char copy[16 * PAGE];
	bool has_guards, has_seals, has_numa;
} attr;

/* Whether the kernel can read it. */
static bool can_read(const void *p)
{
	int pipes[2];
	bool ok;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return false;
	ok = write(pipes[1], p, 1) == 1;
	close(pipes[0]);
	close(pipes[1]);
	return ok;
}

static int numa_setup(void)
{
	unsigned long node = 1;

	attr.has_numa = syscall(SYS_mbind, attr.bound, 16 * PAGE, MPOL_BIND, &node, 64, 0) == 0;
	if (attr.has_numa && syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &node, 64) < 0)
		return fail_errno("set_mempolicy");
	return WL_OK;
}

static int attr_setup(void)
{
	attr.guarded = map_alone(16 * PAGE, 0);
	attr.on_fault = map_alone(16 * PAGE, 0);
	attr.sealed = map_alone(16 * PAGE, 0);
	attr.bound = map_alone(16 * PAGE, 0);
	if (!attr.guarded || !attr.on_fault || !attr.sealed || !attr.bound)
		return fail_errno("mmap");
	pattern_fill(attr.guarded, 16 * PAGE, 70);
	memcpy(attr.copy, attr.guarded, 16 * PAGE);
	pattern_fill(attr.sealed, 16 * PAGE, 71);
	attr.has_guards = madvise(attr.guarded + 3 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL) == 0 &&
			  madvise(attr.guarded + 9 * PAGE, PAGE, MADV_GUARD_INSTALL) == 0;
	if (!strict())
		return WL_OK;
	if (mlock2(attr.on_fault, 16 * PAGE, MLOCK_ONFAULT) < 0)
		return fail_errno("mlock2");
	attr.on_fault[5 * PAGE] = 1;
	attr.has_seals = syscall(SYS_mseal, attr.sealed, 16 * PAGE, 0) == 0;
	if (numa_setup() != WL_OK)
		return WL_FAIL;
	return mlockall(MCL_FUTURE | MCL_ONFAULT) < 0 ? fail_errno("mlockall") : WL_OK;
}

static int verify_numa(void)
{
	unsigned long nodes[16] = { 0 };
	int mode = -1;

	if (syscall(SYS_get_mempolicy, &mode, nodes, 1024, attr.bound, MPOL_F_ADDR) < 0 ||
	    mode != MPOL_BIND || nodes[0] != 1)
		return fail("the NUMA policy of an area is %d, of nodes 0x%lx", mode, nodes[0]);
	if (syscall(SYS_get_mempolicy, &mode, nodes, 1024, NULL, 0) < 0 ||
	    mode != MPOL_INTERLEAVE || nodes[0] != 1)
		return fail("the NUMA policy of the thread is %d, of nodes 0x%lx", mode, nodes[0]);
	if (syscall(SYS_get_mempolicy, &mode, nodes, 1024, attr.on_fault, MPOL_F_ADDR) < 0 ||
	    mode != MPOL_DEFAULT)
		return fail("an area has NUMA policy %d", mode);
	return WL_OK;
}

static int verify_locks(void)
{
	void *p;
	bool kept;

	if (!smaps_flag(attr.on_fault, "lo") || !smaps_flag(attr.on_fault, "lf") ||
	    smaps_field(attr.on_fault, "Rss") != 4 || attr.on_fault[5 * PAGE] != 1)
		return fail("memory that is locked when it is touched has %ld KiB",
			    smaps_field(attr.on_fault, "Rss"));
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kept = smaps_flag(p, "lo") && smaps_flag(p, "lf");
	munmap(p, PAGE);
	return kept ? WL_OK : fail("new memory is not locked any more");
}

static int verify_guards(void)
{
	for (size_t page = 0; page < 16; page++) {
		bool guard = page == 3 || page == 4 || page == 9;
		unsigned char *at = attr.guarded + page * PAGE;

		if (can_read(at) == guard)
			return fail("page %zu is %s guard page", page, guard ? "no" : "a");
		if (!guard && memcmp(at, attr.copy + page * PAGE, PAGE) != 0)
			return fail("page %zu, beside guard pages, changed", page);
	}
	if (!strcmp(maps_perms(attr.guarded), "rw-p"))
		return WL_OK;
	return fail("memory with guard pages is %s", maps_perms(attr.guarded));
}

static int attr_verify(void)
{
	int r = attr.has_guards ? verify_guards() : WL_OK;

	if (r == WL_OK)
		r = pattern_check(attr.sealed, 16 * PAGE, 71, "sealed memory");
	if (r == WL_OK && strict())
		r = verify_locks();
	if (r == WL_OK && attr.has_numa)
		r = verify_numa();
	if (r == WL_OK && attr.has_seals && munmap(attr.sealed, PAGE) == 0)
		r = fail("sealed memory can be unmapped");
	return r;
}

/* ---- memfd: sealed and unsealed, mapped and not, two descriptors with one offset ---- */

static struct {
	int fd, same, sealed;
	unsigned char *shared, *private;
	size_t size;
} memfd;

static int memfd_setup(void)
{
	memfd.size = (size_t)param("mem_mib", 2) * MIB;
	memfd.fd = memfd_create("plain name", MFD_CLOEXEC);
	memfd.sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd.fd < 0 || memfd.sealed < 0)
		return fail_errno("memfd_create");
	memfd.same = dup(memfd.fd);
	if (ftruncate(memfd.fd, (off_t)memfd.size) < 0 || ftruncate(memfd.sealed, 3 * PAGE) < 0)
		return fail_errno("ftruncate");
	memfd.shared = mmap(NULL, memfd.size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.fd, 0);
	memfd.private = mmap(NULL, memfd.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd.fd, 0);
	if (memfd.shared == MAP_FAILED || memfd.private == MAP_FAILED)
		return fail_errno("mmap");
	pages_fill(memfd.shared, memfd.size, 60);
	pattern_fill(memfd.private, PAGE, 61);
	if (pwrite(memfd.sealed, memfd.shared, 3 * PAGE, 0) != 3 * PAGE)
		return fail_errno("pwrite");
	if (fcntl(memfd.sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return fail_errno("F_ADD_SEALS");
	lseek(memfd.fd, 12345, SEEK_SET);
	fchmod(memfd.fd, 0640);
	return WL_OK;
}

static int memfd_verify_identity(void)
{
	char path[64], target[128] = "";
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd.fd);
	if (readlink(path, target, sizeof(target) - 1) < 0 ||
	    strcmp(target, "/memfd:plain name (deleted)"))
		return fail("the memfd is named '%s'", target);
	if (fstat(memfd.fd, &st) < 0 || st.st_size != (off_t)memfd.size ||
	    (st.st_mode & 0777) != 0640)
		return fail("the memfd has size %lld and mode %o", (long long)st.st_size,
			    st.st_mode);
	if (lseek(memfd.fd, 0, SEEK_CUR) != 12345)
		return fail("the memfd's offset is %lld", (long long)lseek(memfd.fd, 0, SEEK_CUR));
	lseek(memfd.same, 1, SEEK_CUR);
	if (lseek(memfd.fd, 0, SEEK_CUR) != 12346)
		return fail("duplicates of the memfd do not share an offset");
	lseek(memfd.fd, 12345, SEEK_SET);
	if (!(fcntl(memfd.fd, F_GETFD) & FD_CLOEXEC) || (fcntl(memfd.same, F_GETFD) & FD_CLOEXEC))
		return fail("close-on-exec flags of the memfd changed");
	return WL_OK;
}

static int memfd_verify(void)
{
	unsigned char byte = 0x5a, was;
	int seals = fcntl(memfd.sealed, F_GET_SEALS);

	if (memfd_verify_identity() != WL_OK ||
	    pages_check(memfd.shared, memfd.size, 60, "memfd") != WL_OK ||
	    pattern_check(memfd.private, PAGE, 61, "private page of the memfd") != WL_OK)
		return WL_FAIL;
	if (seals != (F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL))
		return fail("the seals are 0x%x", seals);
	if (pwrite(memfd.sealed, &byte, 1, 0) >= 0 || ftruncate(memfd.sealed, 1) == 0)
		return fail("a sealed memfd can be changed");
	was = memfd.shared[PAGE];
	byte = (unsigned char)~was;
	if (pwrite(memfd.fd, &byte, 1, PAGE) != 1 || memfd.shared[PAGE] != byte ||
	    memfd.private[PAGE] != byte)
		return fail("mappings do not show what is written to the memfd");
	memfd.shared[PAGE] = was;
	return WL_OK;
}

static struct workload_param memfd_params[] = {
	{ "mem_mib", 2, "size in MiB" },
	{ 0 },
};

static struct workload_param attr_params[] = { STRICT_PARAM, { 0 } };

const struct workload mapping_workloads[] = {
	{ "madvise", "advice, locks and growth of mappings", NULL, advice_setup, advice_verify },
	{ "area-attributes", "guard pages, locks, seals and NUMA policies", attr_params, attr_setup,
	  attr_verify },
	{ "memfd", "memory files: seals, mappings, offset", memfd_params, memfd_setup,
	  memfd_verify },
	{ 0 },
};
