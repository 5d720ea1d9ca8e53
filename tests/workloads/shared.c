/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared memory in its less usual forms, and memory of huge pages. */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/workloads/groups.h"
#include "tests/workloads/memory.h"

#define PAGE 4096u
#define HUGE_PAGE (2u << 20)

/* ---- shared-private: one shared memory, seen by mappings of all sorts and by a descriptor ---- */

enum { SHARED_PAGES = 40 };

static struct {
	unsigned char *first, *private, *tail, *zero, *ro;
	int fd;
	struct stat st;
} sp;

/* The kernel's file behind a shared anonymous mapping. */
static int open_behind(const void *p, size_t size, int flags)
{
	char path[80];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)p, (long)p + (long)size);
	return open(path, flags | O_CLOEXEC);
}

static int sp_setup(void)
{
	size_t size = (size_t)SHARED_PAGES * PAGE;
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	sp.first = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sp.zero = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
	if (sp.first == MAP_FAILED || sp.zero == MAP_FAILED)
		return fail_errno("mmap");
	close(zero);
	sp.fd = open_behind(sp.first, size, O_RDWR);
	if (sp.fd < 0)
		return skip("map_files cannot be opened: %s", strerror(errno));
	sp.private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, sp.fd, 0);
	sp.tail = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, sp.fd, 32 * PAGE);
	sp.ro = mmap(NULL, size, PROT_READ, MAP_SHARED, sp.fd, 0);
	if (sp.private == MAP_FAILED || sp.tail == MAP_FAILED || sp.ro == MAP_FAILED)
		return fail_errno("mmap");
	pages_fill(sp.first, size, 40);
	pages_fill(sp.zero, size, 41);
	pattern_fill(sp.private + 3 * PAGE, PAGE, 42);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, sp.zero, size, "named");
	lseek(sp.fd, 77, SEEK_SET);
	return fstat(sp.fd, &sp.st) < 0 ? fail_errno("fstat") : WL_OK;
}

/* What is written at one place must be seen at all others. */
static int sp_verify_one_memory(void)
{
	unsigned char *all[] = { sp.first, sp.private, sp.ro, sp.tail - 32 * PAGE }, byte;
	unsigned char was = sp.first[33 * PAGE], now = (unsigned char)~was;
	bool same = true;

	sp.first[33 * PAGE] = now;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		same = same && *(volatile unsigned char *)(all[i] + 33 * PAGE) == now;
	same = same && pread(sp.fd, &byte, 1, 33 * PAGE) == 1 && byte == now;
	sp.first[33 * PAGE] = was;
	return same ? WL_OK : fail("the mappings are not of one memory any more");
}

static int sp_verify(void)
{
	size_t size = (size_t)SHARED_PAGES * PAGE;
	struct stat st;
	int r = pages_check(sp.first, size, 40, "shared memory");

	if (r == WL_OK)
		r = pages_check(sp.zero, size, 41, "shared memory of /dev/zero");
	if (r == WL_OK)
		r = pattern_check(sp.private + 3 * PAGE, PAGE, 42, "page of the private mapping");
	if (r == WL_OK)
		r = sp_verify_one_memory();
	if (r != WL_OK)
		return r;
	if (fstat(sp.fd, &st) < 0 || st.st_size != sp.st.st_size || st.st_mode != sp.st.st_mode)
		return fail("the file behind it has size %lld and mode %o", (long long)st.st_size,
			    st.st_mode);
	if (lseek(sp.fd, 0, SEEK_CUR) != 77)
		return fail("the descriptor's offset is %lld",
			    (long long)lseek(sp.fd, 0, SEEK_CUR));
	if (strcmp(maps_perms(sp.ro), "r--s") || strcmp(maps_perms(sp.private), "rw-p"))
		return fail("protections changed: %s", maps_perms(sp.private));
	return WL_OK;
}

/* ---- huge-pages: private, shared with a child's eyes, and a memfd ---- */

static struct {
	unsigned char *private, *shared, *file, *ro;
	int fd;
} huge = { .fd = -1 };

static unsigned char *map_huge(size_t size, int flags, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int huge_setup(void)
{
	const int size_bits = MAP_HUGETLB | 21 << 26;

	huge.private = map_huge(2 * HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS | size_bits, -1);
	huge.shared = map_huge(HUGE_PAGE, MAP_SHARED | MAP_ANONYMOUS | size_bits, -1);
	huge.ro = map_huge(HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS | size_bits, -1);
	huge.fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | 21 << 26);
	if (!huge.private || !huge.shared || !huge.ro || huge.fd < 0)
		return skip("no huge pages: %s", strerror(errno));
	if (ftruncate(huge.fd, 2 * HUGE_PAGE) < 0)
		return fail_errno("ftruncate");
	huge.file = map_huge(2 * HUGE_PAGE, MAP_SHARED, huge.fd);
	if (!huge.file)
		return skip("no huge pages: %s", strerror(errno));
	/* the second page of private memory and the first of the file stay untouched */
	pages_fill(huge.private, HUGE_PAGE, 90);
	pages_fill(huge.shared, HUGE_PAGE, 91);
	pages_fill(huge.file + HUGE_PAGE, HUGE_PAGE, 92);
	pages_fill(huge.ro, HUGE_PAGE, 93);
	return mprotect(huge.ro, HUGE_PAGE, PROT_READ) < 0 ? fail_errno("mprotect") : WL_OK;
}

static int huge_verify_attributes(void)
{
	const unsigned char *all[] = { huge.private, huge.shared, huge.file, huge.ro };
	unsigned char was = huge.file[HUGE_PAGE], byte = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (smaps_field(all[i], "KernelPageSize") != 2048 || !smaps_flag(all[i], "ht"))
			return fail("mapping %zu is not of huge pages any more", i);
	if (strcmp(maps_perms(huge.ro), "r--p"))
		return fail("the read-only mapping is %s", maps_perms(huge.ro));
	if (smaps_field(huge.private, "Private_Hugetlb") != 2048)
		return fail("%ld KiB of private memory are there",
			    smaps_field(huge.private, "Private_Hugetlb"));
	if (fstat(huge.fd, &st) < 0 || st.st_size != 2 * HUGE_PAGE ||
	    (strict() && st.st_blocks * 512 != HUGE_PAGE))
		return fail("the file has %lld bytes in %lld blocks", (long long)st.st_size,
			    (long long)st.st_blocks);
	huge.file[HUGE_PAGE] = (unsigned char)~was;
	if (pread(huge.fd, &byte, 1, HUGE_PAGE) != 1 || byte != (unsigned char)~was)
		return fail("the mapping is not of the file any more");
	huge.file[HUGE_PAGE] = was;
	return WL_OK;
}

static int huge_verify(void)
{
	int r = huge_verify_attributes();

	if (r == WL_OK)
		r = pages_check(huge.private, HUGE_PAGE, 90, "private huge page");
	if (r == WL_OK)
		r = pages_check(huge.shared, HUGE_PAGE, 91, "shared huge page");
	if (r == WL_OK)
		r = pages_check(huge.file + HUGE_PAGE, HUGE_PAGE, 92, "huge page of a memfd");
	return r == WL_OK ? pages_check(huge.ro, HUGE_PAGE, 93, "read-only huge page") : r;
}

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

const struct workload shared_workloads[] = {
	{ "shared-private", "shared memory that is mapped privately and open as well", NULL,
	  sp_setup, sp_verify },
	{ "huge-pages", "private, shared and memfd memory of huge pages", strict_params, huge_setup,
	  huge_verify },
	{ 0 },
};
