/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of the vDSO, called through pointers that are kept for ever, as C libraries do. */
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { BUSY_MAX = 8 };

static struct {
	int (*clock_gettime)(clockid_t, struct timespec *);
	int (*clock_getres)(clockid_t, struct timespec *);
	int (*gettimeofday)(struct timeval *, void *);
	time_t (*time)(time_t *);
	long (*getcpu)(unsigned int *, unsigned int *, void *);
	atomic_ulong rounds[BUSY_MAX];
	atomic_bool backwards;
	int busy;
} v;

static uintptr_t find(const Elf64_Sym *symbols, const char *strings, const char *name)
{
	const Elf64_Sym *s;

	/* the names follow the symbols */
	for (s = symbols; (const char *)(s + 1) <= strings; s++)
		if (strcmp(strings + s->st_name, name) == 0)
			return s->st_value;
	return 0;
}

static bool find_all(uintptr_t base, uintptr_t shift)
{
	const Elf64_Ehdr *h = (void *)base;
	const Elf64_Phdr *p = (void *)(base + h->e_phoff);
	const Elf64_Sym *symbols = NULL;
	const char *strings = NULL;
	const Elf64_Dyn *d;
	struct {
		const char *name;
		void *pointer;
	} list[] = {
		{ "__vdso_clock_gettime", &v.clock_gettime },
		{ "__vdso_clock_getres", &v.clock_getres },
		{ "__vdso_gettimeofday", &v.gettimeofday },
		{ "__vdso_time", &v.time },
		{ "__vdso_getcpu", &v.getcpu },
	};

	while (p->p_type != PT_DYNAMIC)
		p++;
	for (d = (void *)(base + p->p_offset); d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			symbols = (void *)(base + d->d_un.d_ptr);
		if (d->d_tag == DT_STRTAB)
			strings = (void *)(base + d->d_un.d_ptr);
	}
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		uintptr_t at = symbols ? find(symbols, strings, list[i].name) : 0;

		if (!at)
			return false;
		at += base + shift;
		memcpy(list[i].pointer, &at, sizeof(at));
	}
	return true;
}

static void *spin(void *arg)
{
	atomic_ulong *rounds = arg;
	struct timespec last = { 0 }, now;

	for (;;) {
		v.clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec < last.tv_sec ||
		    (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec))
			v.backwards = true;
		last = now;
		++*rounds;
		/* it is inside for some of the time only */
		for (volatile int i = 0; i < 100; i++)
			;
	}
	return NULL;
}

static bool has_moved(void *arg)
{
	unsigned long *before = arg;

	for (int i = 0; i < v.busy; i++)
		if (v.rounds[i] == before[i])
			return false;
	return true;
}

static int vdso_setup(void)
{
	uintptr_t base = getauxval(AT_SYSINFO_EHDR);
	pthread_t t;

	if (!base || !find_all(base, (uintptr_t)param("shift", 0)))
		return skip("no vDSO");
	v.busy = (int)param("busy", 0);
	for (int i = 0; i < v.busy && i < BUSY_MAX; i++)
		if (pthread_create(&t, NULL, spin, &v.rounds[i]))
			return fail("a thread");
	/* a thread begins with all signals blocked */
	return wait_until(has_moved, (unsigned long[BUSY_MAX]){ 0 }, 10000)
		       ? WL_OK
		       : fail("a thread does not begin");
}

static double seconds(struct timespec t)
{
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What the function says lies between what the kernel says before and after it. */
static int check_clock(clockid_t clock)
{
	struct timespec before, said = { -1, 0 }, after, fine = { 0 }, want = { 0 };

	if (syscall(SYS_clock_gettime, clock, &before) || v.clock_gettime(clock, &said) ||
	    syscall(SYS_clock_gettime, clock, &after))
		return fail("clock %d", clock);
	if (seconds(said) < seconds(before) || seconds(said) > seconds(after))
		return fail("clock %d: %f is not between %f and %f", clock, seconds(said),
			    seconds(before), seconds(after));
	if (v.clock_getres(clock, &fine) || syscall(SYS_clock_getres, clock, &want) ||
	    seconds(fine) != seconds(want))
		return fail("clock %d: resolution %f", clock, seconds(fine));
	return WL_OK;
}

static int check_times(void)
{
	struct timespec before, after, coarse;
	struct timeval said;
	time_t kept, returned;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &before);
	if (v.gettimeofday(&said, NULL))
		return fail("gettimeofday");
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &after);
	if (said.tv_sec < before.tv_sec || said.tv_sec > after.tv_sec ||
	    (said.tv_sec == before.tv_sec && said.tv_usec < before.tv_nsec / 1000))
		return fail("gettimeofday: %ld.%06ld, and not %f", said.tv_sec, said.tv_usec,
			    seconds(before));
	syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &coarse);
	returned = v.time(&kept);
	if (returned != kept || returned < coarse.tv_sec || returned > coarse.tv_sec + 2)
		return fail("time: %ld and %ld, and not %ld", returned, kept, coarse.tv_sec);
	return WL_OK;
}

static int check_cpu(void)
{
	cpu_set_t all, one;
	unsigned int cpu = ~0u, node = ~0u, kernel_cpu = ~0u, kernel_node = ~0u;
	int i = 0, r = WL_OK;

	if (sched_getaffinity(0, sizeof(all), &all))
		return fail_errno("affinity");
	while (i < CPU_SETSIZE && !CPU_ISSET(i, &all))
		i++;
	CPU_ZERO(&one);
	CPU_SET(i, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return fail_errno("affinity");
	if (v.getcpu(&cpu, &node, NULL) || syscall(SYS_getcpu, &kernel_cpu, &kernel_node, NULL) ||
	    cpu != (unsigned int)i || cpu != kernel_cpu || node != kernel_node)
		r = fail("getcpu: %u of %u, and not %u of %u", cpu, node, kernel_cpu, kernel_node);
	sched_setaffinity(0, sizeof(all), &all);
	return r;
}

static int check_busy(void)
{
	unsigned long before[BUSY_MAX];

	for (int i = 0; i < v.busy; i++)
		before[i] = v.rounds[i];
	if (!wait_until(has_moved, before, 10000))
		return fail("a thread stands still");
	return v.backwards ? fail("time went backwards") : WL_OK;
}

static int vdso_verify(void)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
					    CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID };
	struct timespec libc, kernel;
	int r = WL_OK;

	for (size_t i = 0; i < ARRAY_SIZE(clocks) && r == WL_OK; i++)
		r = check_clock(clocks[i]);
	if (r == WL_OK)
		r = check_times();
	if (r == WL_OK)
		r = check_cpu();
	if (r == WL_OK)
		r = check_busy();
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &kernel);
	clock_gettime(CLOCK_MONOTONIC, &libc);
	if (r == WL_OK && (seconds(libc) < seconds(kernel) || seconds(libc) > seconds(kernel) + 60))
		return fail("the C library says %f, and the kernel %f", seconds(libc),
			    seconds(kernel));
	return r;
}

static struct workload_param vdso_params[] = {
	{ "shift", 0, "bytes that the functions will have moved by" },
	{ "busy", 0, "threads that call one of them all the time" },
	{ 0 },
};

const struct workload vdso_workloads[] = {
	{ .name = "vdso",
	  .help = "calls functions of the vDSO through kept pointers",
	  .params = vdso_params,
	  .setup = vdso_setup,
	  .verify = vdso_verify },
	{ 0 },
};
