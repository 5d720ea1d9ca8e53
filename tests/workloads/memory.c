/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory by content: private, shared, of files, copied on write, heap and stack. */
#include "tests/workloads/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

#define PAGE 4096u
#define MIB (1024u * 1024)

/* ---- memory: private anonymous mappings of several protections ---- */

static struct {
	size_t size;
	unsigned char *rw, *ro, *none, *hole;
	uint64_t round;
} mem;

static void *map_anon(size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int memory_setup(size_t bytes)
{
	mem.size = bytes / PAGE * PAGE;
	mem.rw = map_anon(mem.size, PROT_READ | PROT_WRITE);
	mem.ro = map_anon(64 * PAGE, PROT_READ | PROT_WRITE);
	mem.none = map_anon(64 * PAGE, PROT_READ | PROT_WRITE);
	mem.hole = map_anon(16 * PAGE, PROT_READ | PROT_WRITE);
	if (!mem.rw || !mem.ro || !mem.none || !mem.hole)
		return fail_errno("mmap");
	pages_fill(mem.rw, mem.size, 100);
	pages_fill(mem.ro, 64 * PAGE, 101);
	/* What lies under PROT_NONE is still there when it is opened again. */
	pages_fill(mem.none, 64 * PAGE, 102);
	pages_fill(mem.hole, 16 * PAGE, 103);
	if (mprotect(mem.ro, 64 * PAGE, PROT_READ) < 0 ||
	    mprotect(mem.none, 64 * PAGE, PROT_NONE) < 0)
		return fail_errno("mprotect");
	if (munmap(mem.hole + 4 * PAGE, 8 * PAGE) < 0)
		return fail_errno("munmap");
	return WL_OK;
}

/* A read(2) into the address tells whether it is mapped and writable without a signal. */
static int probe(void *p)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = read(fd, p, 1) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int memory_verify_protection(void)
{
	unsigned char resident;

	if (strcmp(maps_perms(mem.ro), "r--p"))
		return fail("the read-only mapping is %s", maps_perms(mem.ro));
	if (strcmp(maps_perms(mem.none), "---p"))
		return fail("the PROT_NONE mapping is %s", maps_perms(mem.none));
	if (probe(mem.ro) != -EFAULT || probe(mem.none) != -EFAULT)
		return fail("protected memory can be written");
	if (mincore(mem.hole + 4 * PAGE, 8 * PAGE, &resident) == 0 || errno != ENOMEM)
		return fail("unmapped memory is mapped");
	return WL_OK;
}

int memory_verify(void)
{
	int r = memory_verify_protection();

	if (r == WL_OK)
		r = pages_check(mem.rw, mem.size, 100 + mem.round, "private memory");
	if (r == WL_OK)
		r = pages_check(mem.ro, 64 * PAGE, 101, "read-only memory");
	if (r == WL_OK)
		r = pages_check(mem.hole, 4 * PAGE, 103, "memory below a hole");
	if (r == WL_OK)
		r = pattern_check(mem.hole + 15 * PAGE, PAGE, 103 + 15, "memory above a hole");
	if (r != WL_OK)
		return r;
	if (mprotect(mem.none, 64 * PAGE, PROT_READ) < 0)
		return fail_errno("mprotect");
	r = pages_check(mem.none, 64 * PAGE, 102, "PROT_NONE memory");
	mprotect(mem.none, 64 * PAGE, PROT_NONE);
	return r;
}

static struct workload_param size_params[] = {
	{ "mem_mib", 16, "memory in MiB" },
	{ 0 },
};

static size_t size_param(void)
{
	return (size_t)param("mem_mib", 16) * MIB;
}

static int memory_alone_setup(void)
{
	return memory_setup(size_param());
}

/* New contents each time, for incremental dumps: about one page in eight changes. */
static int memory_alone_verify(void)
{
	int r = memory_verify();

	if (r != WL_OK)
		return r;
	mem.round++;
	pages_fill(mem.rw, mem.size, 100 + mem.round);
	return WL_OK;
}

/* ---- big-memory: only size; a few pages change at each verification ---- */

static struct {
	unsigned char *p;
	size_t size;
	uint64_t round;
} big;

static int big_setup(void)
{
	big.size = (size_t)param("mem_mib", 1024) * MIB;
	big.p = map_anon(big.size, PROT_READ | PROT_WRITE);
	if (!big.p)
		return fail_errno("mmap");
	pages_fill(big.p, big.size, 200);
	return WL_OK;
}

/* Every 97th page that has the pattern carries the number of the round in its last word. */
static bool is_marked(size_t page)
{
	return page % 97 == 0 && page % 8 < 5;
}

static int big_verify(void)
{
	for (size_t page = 0; page < big.size / PAGE; page++) {
		uint64_t *last = (uint64_t *)(big.p + (page + 1) * PAGE) - 1;
		uint64_t want = big.round ? big.round : pattern_word(200 + page, PAGE / 8 - 1);

		if (!is_marked(page))
			continue;
		if (*last != want)
			return fail("page %zu was not saved in round %llu", page,
				    (unsigned long long)big.round);
		*last = pattern_word(200 + page, PAGE / 8 - 1);
	}
	if (pages_check(big.p, big.size, 200, "big memory") != WL_OK)
		return WL_FAIL;
	big.round++;
	for (size_t page = 0; page < big.size / PAGE; page++)
		if (is_marked(page))
			((uint64_t *)(big.p + (page + 1) * PAGE))[-1] = big.round;
	return WL_OK;
}

static struct workload_param big_params[] = {
	{ "mem_mib", 1024, "memory in MiB" },
	{ 0 },
};

/* ---- shared-memory: anonymous, shared with a child that writes and reads ---- */

static struct {
	size_t size;
	unsigned char *p;
	struct station *station;
	uint32_t rounds;
} shm;

/* The child finds what the parent wrote in the lower half and writes the upper half. */
static int shm_child_verify(void *arg)
{
	uint64_t round = ++shm.rounds;

	if (pattern_check(shm.p, PAGE, 300 + round, "shared page, seen by the child") != WL_OK)
		return WL_FAIL;
	pattern_fill(shm.p + PAGE, PAGE, 400 + round);
	return pages_check(shm.p + 8 * PAGE, shm.size - 8 * PAGE, 500,
			   "shared memory, seen by the child");
}

static void shm_child(void *arg)
{
	station_serve(shm.station, shm_child_verify, NULL);
}

int shared_memory_setup(size_t bytes)
{
	shm.size = bytes / (8 * PAGE) * (8 * PAGE);
	shm.p = mmap(NULL, shm.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shm.station = stations_new(1);
	if (shm.p == MAP_FAILED || !shm.station)
		return fail_errno("mmap");
	pages_fill(shm.p + 8 * PAGE, shm.size - 8 * PAGE, 500);
	if (child_start(shm_child, NULL) < 0)
		return fail_errno("fork");
	return shared_memory_verify();
}

int shared_memory_verify(void)
{
	int r = WL_OK;

	if (shm.rounds) {
		r = pattern_check(shm.p, PAGE, 300 + shm.rounds, "shared page of the parent");
		if (r == WL_OK)
			r = pattern_check(shm.p + PAGE, PAGE, 400 + shm.rounds,
					  "shared page of the child");
	}
	if (r == WL_OK)
		r = pages_check(shm.p + 8 * PAGE, shm.size - 8 * PAGE, 500, "shared memory");
	if (r != WL_OK)
		return r;
	/* Now both sides write: still one and the same memory? */
	shm.rounds++;
	pattern_fill(shm.p, PAGE, 300 + shm.rounds);
	r = station_ask(shm.station, "child");
	if (r == WL_OK)
		r = pattern_check(shm.p + PAGE, PAGE, 400 + shm.rounds,
				  "page the child has written");
	return r;
}

static int shared_alone_setup(void)
{
	return shared_memory_setup(size_param());
}

/* ---- file-mapping: private with modified pages, shared, and read-only ---- */

static struct {
	size_t size;
	unsigned char *private, *shared, *ro;
	int shared_fd;
	uint64_t rounds;
} maps;

static void *map_file(int fd, size_t size, int prot, int flags)
{
	void *p = mmap(NULL, size, prot, flags, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The files' patterns run through; the changed pages of the private mapping are every third. */
static int maps_change(void)
{
	for (size_t page = 0; page < maps.size / PAGE; page += 3)
		pattern_fill(maps.private + page * PAGE, PAGE, 600 + page);
	return WL_OK;
}

int file_mapping_setup(size_t bytes)
{
	int private_fd, ro_fd;

	maps.size = bytes / 2 / PAGE * PAGE;
	private_fd = file_make("mapped-private", O_RDWR | O_TRUNC, maps.size, 10);
	maps.shared_fd = file_make("mapped-shared", O_RDWR | O_TRUNC, maps.size, 11);
	ro_fd = file_make("mapped-ro", O_RDWR | O_TRUNC, 16 * PAGE + 100, 12);
	if (private_fd < 0 || maps.shared_fd < 0 || ro_fd < 0)
		return fail_errno("creating files");
	maps.private = map_file(private_fd, maps.size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	maps.shared = map_file(maps.shared_fd, maps.size, PROT_READ | PROT_WRITE, MAP_SHARED);
	maps.ro = map_file(ro_fd, 17 * PAGE, PROT_READ, MAP_PRIVATE);
	if (!maps.private || !maps.shared || !maps.ro)
		return fail_errno("mmap");
	close(private_fd);
	close(ro_fd);
	return maps_change();
}

static int verify_private_mapping(void)
{
	unsigned char *from_file = maps.private + PAGE;

	for (size_t page = 0; page < maps.size / PAGE; page++) {
		unsigned char *at = maps.private + page * PAGE;
		unsigned char want[PAGE];

		for (size_t i = 0; i < PAGE / 8; i++) {
			uint64_t w = page % 3 ? pattern_word(10, page * (PAGE / 8) + i)
					      : pattern_word(600 + page, i);

			memcpy(want + i * 8, &w, 8);
		}
		if (memcmp(at, want, PAGE))
			return fail("private file mapping: page %zu (%s) changed", page,
				    page % 3 ? "of the file" : "modified");
	}
	/* The mapping still is of the file: it sees what is written there. */
	int fd = open(path_in("mapped-private"), O_RDWR | O_CLOEXEC);
	unsigned char was = from_file[0], other = (unsigned char)~was;
	bool seen;

	if (fd < 0 || pwrite(fd, &other, 1, PAGE) != 1)
		return fail_errno("mapped-private");
	seen = *(volatile unsigned char *)from_file == other;
	if (pwrite(fd, &was, 1, PAGE) != 1)
		return fail_errno("mapped-private");
	close(fd);
	return seen ? WL_OK : fail("the private mapping is not of its file any more");
}

/* Written through the mapping, read through the descriptor, and the other way round. */
static int verify_shared_mapping(void)
{
	unsigned char page[PAGE];
	size_t differs = pattern_differs(maps.shared, maps.size, 11);

	if (differs < maps.size)
		return fail("shared file mapping: changed at byte %zu", differs);
	pattern_fill(maps.shared, PAGE, 700 + ++maps.rounds);
	if (pread(maps.shared_fd, page, PAGE, 0) != PAGE ||
	    pattern_check(page, PAGE, 700 + maps.rounds, "file behind the shared mapping") != WL_OK)
		return fail("the file does not show what the shared mapping got");
	pattern_fill(page, PAGE, 11);
	if (pwrite(maps.shared_fd, page, PAGE, 0) != PAGE)
		return fail_errno("mapped-shared");
	return pattern_check(maps.shared, PAGE, 11, "shared mapping after a write to its file");
}

int file_mapping_verify(void)
{
	int r = verify_private_mapping();

	if (r == WL_OK)
		r = verify_shared_mapping();
	if (r == WL_OK)
		r = pattern_check(maps.ro, 16 * PAGE, 12, "read-only file mapping");
	/* Behind the end of the file the last page is zero. */
	if (r == WL_OK && (maps.ro[16 * PAGE + 100] || maps.ro[17 * PAGE - 1]))
		r = fail("read-only file mapping: bytes behind the end of the file");
	if (r == WL_OK && strcmp(maps_perms(maps.ro), "r--p"))
		r = fail("read-only file mapping is %s", maps_perms(maps.ro));
	return r;
}

static int maps_alone_setup(void)
{
	return file_mapping_setup(size_param());
}

/* ---- cow: pages shared between parent and child until one writes ---- */

static struct {
	size_t size;
	unsigned char *p;
	struct station *station, *second;
	long shared_kib;
} cow;

enum { COW_PARENT = 3, COW_CHILD = 5, COW_BOTH = 7, COW_DROPPED = 9, COW_GRANDCHILD = 11 };
enum { COW_MORE = 16 };

/* Page i was written after the fork by the parent, the child, both (with different bytes), the
 * grandchild, or nobody; some pages the child has thrown away. */
static void cow_write(int who, int too, uint64_t seed)
{
	for (size_t page = 0; page < cow.size / PAGE; page++)
		if (page % 16 == (size_t)who || page % 16 == (size_t)too)
			pattern_fill(cow.p + page * PAGE, PAGE, seed + page);
}

static int cow_check(bool (*mine)(size_t page), bool child, uint64_t seed, const char *name)
{
	static const unsigned char zeros[PAGE];

	for (size_t page = 0; page < cow.size / PAGE; page++) {
		const unsigned char *at = cow.p + page * PAGE;
		uint64_t s = mine(page) ? seed : child && page % 16 == COW_BOTH ? 9000 : 800;

		if (child && page % 16 == COW_CHILD)
			s = 9000;
		if (child && page % 16 == COW_DROPPED) {
			if (memcmp(at, zeros, PAGE))
				return fail("%s: page %zu is there again", name, page);
		} else if (pattern_differs(at, PAGE, s + page) < PAGE) {
			return fail("%s: page %zu (%s) changed", name, page,
				    mine(page) ? "own" : "shared");
		}
	}
	return WL_OK;
}

static bool cow_of_parent(size_t page)
{
	return page % 16 == COW_PARENT || page % 16 == COW_BOTH;
}

static bool cow_of_child(size_t page)
{
	return page % 16 == COW_CHILD || page % 16 == COW_BOTH;
}

static bool cow_of_grandchild(size_t page)
{
	return page % 16 == COW_GRANDCHILD;
}

static int cow_grandchild_verify(void *arg)
{
	int r = cow_check(cow_of_grandchild, true, 70000, "grandchild");

	return r == WL_OK ? pattern_check(cow.p + cow.size, COW_MORE * PAGE, 60, "inherited page")
			  : r;
}

static void cow_grandchild(void *arg)
{
	cow_write(COW_GRANDCHILD, -1, 70000);
	station_serve(cow.second, cow_grandchild_verify, NULL);
}

static int cow_child_verify(void *arg)
{
	int r = cow_check(cow_of_child, true, 9000, "child");

	if (r == WL_OK)
		r = pattern_check(cow.p + cow.size, COW_MORE * PAGE, 60, "page of the child's own");
	return r == WL_OK ? station_ask(cow.second, "grandchild") : r;
}

/* The child's area is larger than the parent's: the kernel makes one of both parts. */
static void cow_child(void *arg)
{
	unsigned char *more = cow.p + cow.size;

	cow_write(COW_CHILD, COW_BOTH, 9000);
	for (size_t page = COW_DROPPED; page < cow.size / PAGE; page += 16)
		madvise(cow.p + page * PAGE, PAGE, MADV_DONTNEED);
	if (mmap(more, COW_MORE * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != more)
		_exit(1);
	pattern_fill(more, COW_MORE * PAGE, 60);
	if (child_start(cow_grandchild, NULL) < 0)
		_exit(1);
	station_serve(cow.station, cow_child_verify, NULL);
}

static long cow_shared_kib(void)
{
	return smaps_field(cow.p, "Shared_Dirty") + smaps_field(cow.p, "Shared_Clean");
}

static int cow_setup(void)
{
	cow.size = size_param();
	cow.p = map_anon(cow.size + COW_MORE * PAGE, PROT_READ | PROT_WRITE);
	cow.station = stations_new(2);
	if (!cow.p || !cow.station || munmap(cow.p + cow.size, COW_MORE * PAGE) < 0)
		return fail_errno("mmap");
	cow.second = cow.station + 1;
	for (size_t page = 0; page < cow.size / PAGE; page++)
		pattern_fill(cow.p + page * PAGE, PAGE, 800 + page);
	if (child_start(cow_child, NULL) < 0)
		return fail_errno("fork");
	cow_write(COW_PARENT, COW_BOTH, 90000);
	if (station_ask(cow.station, "child") != WL_OK)
		return WL_FAIL;
	cow.shared_kib = cow_shared_kib();
	return WL_OK;
}

static int cow_verify(void)
{
	int r = cow_check(cow_of_parent, false, 90000, "parent");

	if (r == WL_OK)
		r = station_ask(cow.station, "child");
	if (r == WL_OK && cow_shared_kib() != cow.shared_kib)
		return fail("%ld KiB are shared with the child, were %ld", cow_shared_kib(),
			    cow.shared_kib);
	return r;
}

/* ---- heap: in a child that calls no malloc(3), so that nobody else moves the break ---- */

static struct {
	struct station *station;
	unsigned char *start, *end;
} heap;

/* The break must be where it was, and must grow from there. */
static int heap_child_verify(void *arg)
{
	if (sbrk(0) != heap.end)
		return fail("the program break is %p, was %p", sbrk(0), heap.end);
	if (pattern_check(heap.start, 300 * PAGE, 900, "heap") != WL_OK)
		return WL_FAIL;
	if (sbrk(PAGE) != heap.end || sbrk(0) != heap.end + PAGE)
		return fail("the program break does not grow");
	memset(heap.end, 1, PAGE);
	sbrk(-(intptr_t)PAGE);
	return WL_OK;
}

static void heap_child(void *arg)
{
	heap.start = sbrk(300 * PAGE + 123);
	if (heap.start == (void *)-1)
		return;
	heap.end = sbrk(0);
	pattern_fill(heap.start, 300 * PAGE, 900);
	station_serve(heap.station, heap_child_verify, NULL);
}

int heap_setup(void)
{
	heap.station = stations_new(1);
	if (!heap.station || child_start(heap_child, NULL) < 0)
		return fail_errno("starting a child");
	return heap_verify();
}

int heap_verify(void)
{
	return station_ask(heap.station, "child with a heap");
}

/* ---- stack: in a child whose frames all stay alive ---- */

#define STACK_DEPTH 40

static struct {
	struct station *station;
	const unsigned char *frames[STACK_DEPTH];
} stack;

/* Deeper than the live frames, so that the stack has to grow again after a restore. */
static __attribute__((noinline)) uint64_t stack_grow(unsigned int depth)
{
	volatile unsigned char frame[8192];

	frame[0] = (unsigned char)depth;
	frame[8191] = (unsigned char)(depth * 7);
	uint64_t below = depth ? stack_grow(depth - 1) : 0;

	return frame[0] + frame[8191] + below;
}

static uint64_t stack_sum(unsigned int depth)
{
	uint64_t sum = 0;

	for (unsigned int d = 0; d <= depth; d++)
		sum += (unsigned char)d + (unsigned char)(d * 7);
	return sum;
}

static int stack_child_verify(void *arg)
{
	static unsigned int rounds;
	unsigned int depth = 20 + 20 * (rounds++ % 8);

	for (unsigned int i = 0; i < STACK_DEPTH; i++)
		if (pattern_check(stack.frames[i], 10000, 950 + i, "stack frame") != WL_OK)
			return WL_FAIL;
	if (!smaps_flag(stack.frames[0], "gd"))
		return fail("the stack does not grow down any more");
	if (stack_grow(depth) != stack_sum(depth))
		return fail("the stack gave wrong values when it grew");
	return WL_OK;
}

/* The array is used after the call, so no compiler makes this a loop. Requests never end. */
static __attribute__((noinline)) unsigned int stack_descend(unsigned int depth)
{
	unsigned char frame[10000];
	uint32_t request = 1;

	pattern_fill(frame, sizeof(frame), 950 + depth);
	stack.frames[depth] = frame;
	if (depth + 1 < STACK_DEPTH)
		return stack_descend(depth + 1) + frame[depth];
	while (request) {
		request = station_wait(stack.station);
		station_answer(stack.station, request, stack_child_verify(NULL));
	}
	return frame[depth];
}

static void stack_child(void *arg)
{
	stack_descend(0);
}

static int stack_verify(void)
{
	return station_ask(stack.station, "child with a deep stack");
}

static int stack_setup(void)
{
	stack.station = stations_new(1);
	if (!stack.station || child_start(stack_child, NULL) < 0)
		return fail_errno("starting a child");
	return stack_verify();
}

const struct workload memory_workloads[] = {
	{ "memory", "private anonymous memory, read-only, PROT_NONE, holes", size_params,
	  memory_alone_setup, memory_alone_verify },
	{ "big-memory", "one large mapping; few pages change", big_params, big_setup, big_verify },
	{ "shared-memory", "anonymous memory shared with a child", size_params, shared_alone_setup,
	  shared_memory_verify },
	{ "file-mapping", "private and shared mappings of files", size_params, maps_alone_setup,
	  file_mapping_verify },
	{ "cow", "pages that parent and child share until one writes", size_params, cow_setup,
	  cow_verify },
	{ "heap", "the heap below brk(2)", NULL, heap_setup, heap_verify },
	{ "stack", "contents and growth of the stack", NULL, stack_setup, stack_verify },
	{ 0 },
};
