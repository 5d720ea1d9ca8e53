/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Probes of memory: pagemap, userfaultfd, special mappings. */
#include "engine/kernel/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* struct pm_scan_arg and struct page_region of include/uapi/linux/fs.h (6.7). */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
enum { SCAN_PRESENT = 1 << 3, SCAN_GUARD = 1 << 8 };

static int scan(uint64_t category)
{
	cleanup_fd int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t page = (uint64_t)(uintptr_t)&page & ~4095ull;
	struct scan_region found;
	struct scan_arg arg = { .size = sizeof(arg),
				.start = page,
				.end = page + 4096,
				.vec = (uint64_t)(uintptr_t)&found,
				.vec_len = 1,
				.category_anyof_mask = category,
				.return_mask = category };

	if (fd < 0)
		return -errno;
	return ioctl(fd, SCAN_IOCTL, &arg) < 0 ? -errno : 0;
}

int probe_pagemap_scan(void)
{
	return scan(SCAN_PRESENT);
}

int probe_guard_pages(void)
{
	return scan(SCAN_GUARD);
}

/* A descriptor of userfaultfd with these features, or why there is none. */
static int uffd_open(uint64_t features)
{
	cleanup_fd int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	if (fd < 0)
		return -errno;
	return ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

int probe_uffd(void)
{
	return uffd_open(0);
}

int probe_uffd_noncoop(void)
{
	return uffd_open(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
			 UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE);
}

/* Bit 55 of an entry of pagemap stays 0 in a kernel without soft-dirty. */
static int soft_dirty(void)
{
	cleanup_fd int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry = 0;
	int r = 0;

	if (page == MAP_FAILED)
		return -errno;
	*(volatile uint64_t *)page = 1;
	if (map < 0 || pread(map, &entry, sizeof(entry), (off_t)((uintptr_t)page / 4096 * 8)) < 0)
		r = -errno;
	munmap(page, 4096);
	return r < 0 ? r : entry & 1ull << 55 ? 0 : -ENOSYS;
}

/* PAGEMAP_SCAN tells pages that were written to since userfaultfd has protected them (6.7). */
int probe_mem_track(void)
{
	int r = uffd_open(UFFD_FEATURE_WP_ASYNC);

	if (r == 0)
		r = probe_pagemap_scan();
	return r == 0 ? 0 : soft_dirty() == 0 ? 0 : r;
}

/* A ring that has been moved is known by its new address. */
int probe_aio_remap(void)
{
	struct timespec none = { 0, 0 };
	uint32_t *ring = NULL;
	void *to;
	size_t len;
	int r = 0;

	if (syscall(SYS_io_setup, 1, &ring) < 0)
		return -errno;
	len = 32 + (size_t)ring[1] * 32; /* the header, and the number of events that fit */
	to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (to == MAP_FAILED ||
	    mremap(ring, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		r = -errno;
	else
		ring = to;
	if (r == 0 && syscall(SYS_io_getevents, ring, 0, 1, NULL, &none) < 0)
		r = -errno;
	syscall(SYS_io_destroy, ring);
	return r;
}

int probe_memfd_hugetlb(void)
{
	cleanup_fd int fd = (int)syscall(SYS_memfd_create, "probe", MFD_CLOEXEC | MFD_HUGETLB);

	return fd < 0 ? -errno : 0;
}

/* The file shown in /proc/PID/maps for overlayfs: a change of 6.7 without an interface of its own.
 */
int probe_overlayfs_maps(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2)
		return -EINVAL;
	return major > 6 || (major == 6 && minor >= 7) ? 0 : -ENOSYS;
}

/* It moves only as a whole, and its size is told nowhere but in /proc. */
static int move_vdso(void)
{
	uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
	size_t len;
	int r = 0;

	for (len = 4096; vdso && len <= 16 * 4096; len += 4096) {
		void *to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (to == MAP_FAILED)
			return -errno;
		if (syscall(SYS_mremap, vdso, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) >= 0)
			return 0;
		r = -errno;
	}
	return r; /* 0: there is nothing to be moved */
}

int probe_can_map_vdso(void)
{
	return probe_in_child(move_vdso);
}
