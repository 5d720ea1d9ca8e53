/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything in one tree: the parts of the other workloads, set up in one process. The order of the
 * parts matters:
 *
 * 1. masks first, for a signal that must stay pending would go to any thread that does not block
 * it;
 * 2. then the parts that fork, so that a child holds no threads' locks and none of the big memory;
 * 3. then threads and memory;
 * 4. last what changes the process itself, so that children and threads do not inherit it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/workloads/cpu.h"
#include "tests/workloads/events.h"
#include "tests/workloads/files.h"
#include "tests/workloads/groups.h"
#include "tests/workloads/identity.h"
#include "tests/workloads/memory.h"
#include "tests/workloads/pipes.h"
#include "tests/workloads/processes.h"
#include "tests/workloads/signals.h"
#include "tests/workloads/threads.h"
#include "tests/workloads/timers.h"

#define MIB (1024u * 1024)

static struct workload_param full_params[] = {
	{ "mem_mib", 256, "memory in MiB, in private, shared and file mappings" },
	{ "threads", 8, "threads in the ring" },
	{ "fds", 0, "1: eventfd, epoll, signalfd and timerfd too" },
	{ "packets", 0, "1: a pipe in packet mode too" },
	STRICT_PARAM,
	{ "children", 1, "0: without the tree of processes, groups and sessions" },
	{ 0 },
};

/* ---- parts that only this workload has ---- */

static struct {
	pid_t pid, tid, ppid, pgid, sid;
	char cwd[PATH_MAX];
} self;

/* The parent of a tree's first process is outside of the tree: only that it is 0 in a container
 * stays. */
static int self_setup(void)
{
	if (mkdir(path_in("cwd"), 0755) < 0 || chdir(path_in("cwd")) < 0 ||
	    !getcwd(self.cwd, sizeof(self.cwd)))
		return fail_errno("changing the working directory");
	self.pid = getpid();
	self.tid = (pid_t)syscall(SYS_gettid);
	self.ppid = getppid();
	self.pgid = getpgid(0);
	self.sid = getsid(0);
	return WL_OK;
}

static int self_verify(void)
{
	char cwd[PATH_MAX] = "";

	if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, self.cwd))
		return fail("the working directory is '%s', was '%s'", cwd, self.cwd);
	if (getpid() != self.pid || syscall(SYS_gettid) != self.tid)
		return fail("pid %d, tid %ld; were %d, %d", getpid(), syscall(SYS_gettid), self.pid,
			    self.tid);
	if (self.ppid == 0 && getppid() != 0)
		return fail("the parent is %d, was 0", getppid());
	if (self.pgid == self.pid && getpgid(0) != self.pgid)
		return fail("the process group is %d, was %d", getpgid(0), self.pgid);
	if (self.sid == self.pid && getsid(0) != self.sid)
		return fail("the session is %d, was %d", getsid(0), self.sid);
	return WL_OK;
}

static int masks_setup(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (int sig = SIGRTMIN + 1; sig <= SIGRTMIN + 6; sig++)
		sigaddset(&set, sig);
	sigaddset(&set, SIGRTMIN + 22);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGURG);
	sigaddset(&set, SIGXCPU);
	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? fail_errno("sigprocmask") : WL_OK;
}

static int masks_verify(void)
{
	return WL_OK; /* signals_pending_verify() compares the whole mask */
}

static size_t share(unsigned int quarters)
{
	return (size_t)param("mem_mib", 256) * MIB / 4 * quarters;
}

static int private_part(void)
{
	return memory_setup(share(2));
}

static int shared_part(void)
{
	return shared_memory_setup(share(1));
}

static int mapping_part(void)
{
	return file_mapping_setup(share(1));
}

static int ring_part(void)
{
	return ring_setup((unsigned int)param("threads", 8));
}

/* ---- the table ---- */

static const struct part {
	const char *name;
	const char *param; /* left out if this parameter is 0 */
	int (*setup)(void);
	int (*verify)(void);
} parts[] = {
	{ "signal masks", NULL, masks_setup, masks_verify },
	{ "heap", NULL, heap_setup, heap_verify },
	{ "dead children", NULL, zombies_setup, zombies_verify },
	{ "process tree", "children", family_setup, family_verify },
	{ "pipes", NULL, pipes_setup, pipes_verify },
	{ "unix sockets", NULL, unix_pair_setup, unix_pair_verify },
	{ "duplicated descriptors", NULL, dup_fds_setup, dup_fds_verify },
	{ "shared memory", NULL, shared_part, shared_memory_verify },
	{ "signalfd", "fds", signalfd_setup, signalfd_verify },
	{ "eventfd", "fds", eventfd_setup, eventfd_verify },
	{ "epoll", "fds", epoll_setup, epoll_verify },
	{ "timerfd", "fds", timerfd_setup, timerfd_verify },
	{ "files", NULL, file_offsets_setup, file_offsets_verify },
	{ "deleted files", NULL, deleted_file_setup, deleted_file_verify },
	{ "private memory", NULL, private_part, memory_verify },
	{ "file mappings", NULL, mapping_part, file_mapping_verify },
	{ "POSIX timers", NULL, posix_timers_setup, posix_timers_verify },
	{ "threads", NULL, ring_part, ring_verify },
	{ "joined thread", NULL, spare_setup, spare_verify },
	{ "registers", NULL, fpu_setup, fpu_verify },
	{ "signal stack", NULL, sigaltstack_setup, sigaltstack_verify },
	{ "interval timers", NULL, itimers_setup, itimers_verify },
	{ "limits", NULL, rlimits_setup, rlimits_verify },
	{ "attributes", NULL, attributes_setup, attributes_verify },
	{ "pending signals", NULL, signals_pending_setup, signals_pending_verify },
	{ "working directory and ids", NULL, self_setup, self_verify },
};

static int full_setup(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = !parts[i].param || param(parts[i].param, 1) ? parts[i].setup() : WL_OK;

		if (r != WL_OK) {
			char why[300];

			snprintf(why, sizeof(why), "%s", reason());
			reason_clear();
			return r == WL_SKIP ? skip("%s: %s", parts[i].name, why)
					    : fail("%s: %s", parts[i].name, why);
		}
	}
	return WL_OK;
}

static int full_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		char why[300];

		if (parts[i].param && !param(parts[i].param, 1))
			continue;
		if (parts[i].verify() == WL_OK)
			continue;
		snprintf(why, sizeof(why), "%s", reason());
		reason_clear();
		return fail("%s: %s", parts[i].name, why);
	}
	return WL_OK;
}

const struct workload full_workloads[] = {
	{ "full", "everything in one tree", full_params, full_setup, full_verify },
	{ 0 },
};
