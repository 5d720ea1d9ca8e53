/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program forbids itself: more memory than it has, the time stamp counter. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/workloads/groups.h"
#include "tests/workloads/threads.h"

/* ---- no-room: its limits leave no room for another mapping ---- */

static struct workload_param room_params[] = {
	{ "data", 0, "1: RLIMIT_DATA, 0: RLIMIT_AS" },
	{ "hard", 0, "1: the hard limit as well" },
	{ 0 },
};

static struct {
	int which;
	struct rlimit limit;
} room;

/* In KiB, from /proc/self/status. */
static unsigned long status_kib(const char *name)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			kib = strtoul(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static int room_verify(void)
{
	size_t len = 1 << 20; /* a kernel may have other areas of its own after a restore */
	struct rlimit now;
	void *p;

	if (getrlimit((__rlimit_resource_t)room.which, &now) < 0 ||
	    now.rlim_cur != room.limit.rlim_cur || now.rlim_max != room.limit.rlim_max)
		return fail("the limit is %lu of %lu, was %lu of %lu", now.rlim_cur, now.rlim_max,
			    room.limit.rlim_cur, room.limit.rlim_max);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return errno == ENOMEM ? WL_OK : fail_errno("mmap");
	munmap(p, len);
	return fail("a mapping was made beyond the limit");
}

static int room_setup(void)
{
	unsigned long kib = status_kib(param("data", 0) ? "VmData:" : "VmSize:");

	room.which = param("data", 0) ? RLIMIT_DATA : RLIMIT_AS;
	if (!kib || getrlimit((__rlimit_resource_t)room.which, &room.limit) < 0)
		return fail_errno("how much there is");
	room.limit.rlim_cur = kib << 10;
	if (param("hard", 0))
		room.limit.rlim_max = room.limit.rlim_cur;
	if (setrlimit((__rlimit_resource_t)room.which, &room.limit) < 0)
		return fail_errno("setrlimit");
	return room_verify();
}

/* ---- no-tsc: a thread that may not read the time stamp counter ---- */

#ifndef PR_TSC_ENABLE
#define PR_GET_TSC 25
#define PR_SET_TSC 26
#define PR_TSC_ENABLE 1
#define PR_TSC_SIGSEGV 2
#endif

static struct {
	struct station *station;
	pthread_t thread;
} tsc;

static int tsc_is(int want, const char *who)
{
	int mode = 0;

	if (prctl(PR_GET_TSC, &mode) < 0)
		return fail_errno("PR_GET_TSC");
	return mode == want ? WL_OK : fail("%s: the mode is %d, was %d", who, mode, want);
}

static int tsc_other(void *arg)
{
	return tsc_is(PR_TSC_SIGSEGV, "the other thread");
}

/* It asks for no time, which would take the counter. */
static void *tsc_thread(void *arg)
{
	prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
	station_serve(tsc.station, tsc_other, NULL);
	return NULL;
}

static int tsc_verify(void)
{
	int r = tsc_is(PR_TSC_ENABLE, "the first thread");

	return r == WL_OK ? station_ask(tsc.station, "the other thread") : r;
}

static int tsc_setup(void)
{
	int mode;

	if (prctl(PR_GET_TSC, &mode) < 0 && errno == EINVAL)
		return skip("this kernel has no PR_SET_TSC");
	tsc.station = stations_new(1);
	if (!tsc.station || pthread_create(&tsc.thread, NULL, tsc_thread, NULL))
		return fail_errno("a thread");
	return tsc_verify();
}

const struct workload restricted_workloads[] = {
	{ "no-room", "a limit on memory that is used up", room_params, room_setup, room_verify },
	{ "no-tsc", "a thread that may not read the time stamp counter", NULL, tsc_setup,
	  tsc_verify },
	{ 0 },
};
