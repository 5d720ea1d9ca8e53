/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many of one thing, for limits and for speed; and io_uring, which is expected to be refused. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/workloads/groups.h"
#include "tests/workloads/threads.h"

#define PAGE 4096u

/* ---- many-processes ---- */

static struct workload_param process_params[] = {
	{ "n", 100, "number of processes" },
	{ 0 },
};

static struct {
	struct station *stations;
	unsigned char page[PAGE] __attribute__((aligned(4096)));
} procs;

static int proc_verify(void *arg)
{
	return pattern_check(procs.page, PAGE, (uint64_t)(uintptr_t)arg, "own page");
}

static void proc_run(void *arg)
{
	pattern_fill(procs.page, PAGE, (uint64_t)(uintptr_t)arg);
	station_serve(&procs.stations[(uintptr_t)arg], proc_verify, arg);
}

static int procs_verify(void)
{
	char who[32];

	for (long i = 0; i < param("n", 100); i++) {
		snprintf(who, sizeof(who), "process %ld", i);
		if (station_ask(&procs.stations[i], who) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

static int procs_setup(void)
{
	long n = param("n", 100);

	procs.stations = stations_new((size_t)n);
	if (!procs.stations)
		return fail_errno("mmap");
	for (long i = 0; i < n; i++)
		if (child_start(proc_run, (void *)i) < 0)
			return fail_errno("process %ld", i);
	return procs_verify();
}

/* ---- many-threads ---- */

static struct workload_param many_thread_params[] = {
	{ "n", 200, "number of threads" },
	{ 0 },
};

static int many_threads_setup(void)
{
	return ring_setup((unsigned int)param("n", 200));
}

/* ---- many-fds: one file opened again and again, each time at another place ---- */

static struct workload_param fd_params[] = {
	{ "n", 1000, "number of descriptors" },
	{ "child", 0, "1: a child has them" },
	{ 0 },
};

static int *fds;

static int fds_open(void)
{
	long n = param("n", 1000);
	struct rlimit rl;
	int fd = file_make("file", O_RDWR, 10000, 1);

	getrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_max < (rlim_t)n + 50)
		return skip("only %llu descriptors are allowed", (unsigned long long)rl.rlim_max);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	fds = calloc((size_t)n, sizeof(*fds));
	if (fd < 0 || !fds)
		return fail_errno("file");
	close(fd);
	for (long i = 0; i < n; i++) {
		fds[i] = open(path_in("file"), i % 2 ? O_RDONLY : O_RDWR | O_CLOEXEC);
		if (fds[i] < 0 || lseek(fds[i], i * 3, SEEK_SET) != i * 3)
			return fail_errno("descriptor %ld", i);
	}
	return WL_OK;
}

static int fds_look(void)
{
	for (long i = 0; i < param("n", 1000); i++) {
		if (lseek(fds[i], 0, SEEK_CUR) != i * 3)
			return fail("descriptor %ld: offset is %lld", i,
				    (long long)lseek(fds[i], 0, SEEK_CUR));
		if ((fcntl(fds[i], F_GETFL) & O_ACCMODE) != (i % 2 ? O_RDONLY : O_RDWR) ||
		    fcntl(fds[i], F_GETFD) != (i % 2 ? 0 : FD_CLOEXEC))
			return fail("descriptor %ld: flags changed", i);
	}
	return WL_OK;
}

static struct station *fds_station;
static int fds_opened;

static int fds_child_verify(void *arg)
{
	return fds_opened == WL_OK ? fds_look() : fds_opened;
}

static void fds_child(void *arg)
{
	fds_opened = fds_open();
	station_serve(fds_station, fds_child_verify, NULL);
}

static int fds_verify(void)
{
	return param("child", 0) ? station_ask(fds_station, "the child") : fds_look();
}

static int fds_setup(void)
{
	if (!param("child", 0))
		return fds_open();
	fds_station = stations_new(1);
	if (!fds_station || child_start(fds_child, NULL) < 0)
		return fail_errno("a child");
	return fds_verify();
}

/* ---- many-mappings: pages of one region that differ in protection, so they cannot merge ---- */

static struct workload_param mapping_params[] = {
	{ "n", 2000, "number of mappings" },
	{ 0 },
};

static unsigned char *mappings;

static int mapping_prot(long i)
{
	return i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
}

static int mappings_setup(void)
{
	long n = param("n", 2000);

	mappings = mmap(NULL, (size_t)n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	if (mappings == MAP_FAILED)
		return fail_errno("mmap");
	for (long i = 0; i < n; i++) {
		pattern_fill(mappings + i * PAGE, PAGE, (uint64_t)i);
		if (mprotect(mappings + i * PAGE, PAGE, mapping_prot(i)) < 0)
			return fail_errno("mapping %ld (see vm.max_map_count)", i);
	}
	return WL_OK;
}

/* The kernel's list must show each page as a mapping of its own, with its protection. */
static int mappings_verify_list(void)
{
	long n = param("n", 2000), seen = 0;
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[4096], perms[8];
	int r = WL_OK;

	while (f && r == WL_OK && fgets(line, sizeof(line), f)) {
		unsigned long at;
		long i;

		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) != 3)
			continue;
		at = start - (unsigned long)mappings;
		if (start < (unsigned long)mappings || at >= (unsigned long)n * PAGE)
			continue;
		i = (long)(at / PAGE);
		seen++;
		/* The last may have merged with a neighbour that the C library has mapped. */
		if ((end - start != PAGE && i != n - 1) ||
		    strcmp(perms, mapping_prot(i) & PROT_WRITE ? "rw-p" : "r--p"))
			r = fail("mapping %ld is %lx-%lx %s", i, start, end, perms);
	}
	if (f)
		fclose(f);
	/* The first may have merged with what lies below it. */
	if (r == WL_OK && seen < n - 1)
		r = fail("%ld mappings, were %ld", seen, n);
	return r;
}

static int mappings_verify(void)
{
	for (long i = 0; i < param("n", 2000); i++)
		if (pattern_check(mappings + i * PAGE, PAGE, (uint64_t)i, "a mapping") != WL_OK)
			return fail("mapping %ld", i);
	return mappings_verify_list();
}

/* ---- io-uring: a ring that works ---- */

static struct {
	int fd;
	struct io_uring_params p;
	unsigned char *sq, *cq;
	struct io_uring_sqe *sqes;
	uint64_t sent;
} uring;

static _Atomic uint32_t *ring_word(unsigned char *ring, uint32_t offset)
{
	return (_Atomic uint32_t *)(ring + offset);
}

static int uring_setup(void)
{
	if (param("sqpoll", 0))
		uring.p.flags = IORING_SETUP_SQPOLL;
	uring.fd = (int)syscall(SYS_io_uring_setup, 8, &uring.p);
	if (uring.fd < 0 && (errno == ENOSYS || errno == EPERM))
		return skip("io_uring is not available: %s", strerrordesc_np(errno));
	if (uring.fd < 0)
		return fail_errno("io_uring_setup");
	uring.sq = mmap(NULL, uring.p.sq_off.array + uring.p.sq_entries * 4, PROT_READ | PROT_WRITE,
			MAP_SHARED, uring.fd, IORING_OFF_SQ_RING);
	uring.cq = mmap(NULL,
			uring.p.cq_off.cqes + uring.p.cq_entries * sizeof(struct io_uring_cqe),
			PROT_READ | PROT_WRITE, MAP_SHARED, uring.fd, IORING_OFF_CQ_RING);
	uring.sqes = mmap(NULL, uring.p.sq_entries * sizeof(*uring.sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED, uring.fd, IORING_OFF_SQES);
	if (uring.sq == MAP_FAILED || uring.cq == MAP_FAILED || uring.sqes == MAP_FAILED)
		return fail_errno("mapping the ring");
	return WL_OK;
}

static int uring_verify(void)
{
	_Atomic uint32_t *tail = ring_word(uring.sq, uring.p.sq_off.tail);
	_Atomic uint32_t *head = ring_word(uring.cq, uring.p.cq_off.head);
	uint32_t at = *tail & *ring_word(uring.sq, uring.p.sq_off.ring_mask);
	uint32_t done = *head & *ring_word(uring.cq, uring.p.cq_off.ring_mask);
	/* the kernel's own thread may have gone to sleep */
	unsigned int flags = IORING_ENTER_GETEVENTS |
			     (param("sqpoll", 0) ? IORING_ENTER_SQ_WAKEUP : 0);
	struct io_uring_cqe *cqe = (struct io_uring_cqe *)(uring.cq + uring.p.cq_off.cqes) + done;

	uring.sqes[at] =
		(struct io_uring_sqe){ .opcode = IORING_OP_NOP, .user_data = ++uring.sent };
	*ring_word(uring.sq, uring.p.sq_off.array + at * 4) = at;
	++*tail;
	if (syscall(SYS_io_uring_enter, uring.fd, 1, 1, flags, NULL, 0) != 1)
		return fail_errno("io_uring_enter");
	if (*head == *ring_word(uring.cq, uring.p.cq_off.tail))
		return fail("the ring gives no completion");
	if (cqe->user_data != uring.sent || cqe->res != 0)
		return fail("the completion is %llu, result %d", (unsigned long long)cqe->user_data,
			    cqe->res);
	++*head;
	return WL_OK;
}

static struct workload_param uring_params[] = {
	{ "sqpoll", 0, "1: with a thread of the kernel that takes what is submitted" }, { 0 }
};

const struct workload many_workloads[] = {
	{ "many-processes", "children with one page of their own", process_params, procs_setup,
	  procs_verify },
	{ "many-threads", "threads that pass a token", many_thread_params, many_threads_setup,
	  ring_verify },
	{ "many-fds", "descriptors at different offsets", fd_params, fds_setup, fds_verify },
	{ "many-mappings", "pages that are mappings of their own", mapping_params, mappings_setup,
	  mappings_verify },
	{ "io-uring", "a ring; a checkpoint is expected to refuse it", uring_params, uring_setup,
	  uring_verify },
	{ 0 },
};
