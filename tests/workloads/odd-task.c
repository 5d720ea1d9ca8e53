/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes with a rare setting that a checkpoint is expected to refuse. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

enum { DISPATCH_ON = 1, ALLOW = 0, BLOCK = 1 };

/* ---- user-dispatch: calls become signals while the program wants it ---- */

static volatile char selector = ALLOW;
static volatile int caught;

static void on_call(int sig)
{
	selector = ALLOW;
	caught++;
}

static int dispatch_setup(void)
{
	struct sigaction sa = { .sa_handler = on_call };

	if (sigaction(SIGSYS, &sa, NULL) < 0)
		return fail_errno("sigaction");
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, 0, 0, &selector) < 0)
		return skip("PR_SET_SYSCALL_USER_DISPATCH: %s", strerror(errno));
	return WL_OK;
}

static int dispatch_verify(void)
{
	int before = caught;

	selector = BLOCK;
	syscall(SYS_getppid);
	selector = ALLOW;
	return caught == before + 1 ? WL_OK : fail("a call did not become a signal");
}

const struct workload odd_task_workloads[] = {
	{ .name = "user-dispatch",
	  .help = "system calls that become signals",
	  .setup = dispatch_setup,
	  .verify = dispatch_verify },
	{ 0 },
};
