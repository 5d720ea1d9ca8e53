/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As the parent of a restored container, until it ends. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "runtime/restore.h"

/* Errors of our own must still end us, and what stops a program is for the terminal to say. */
static void forwarded(sigset_t *set)
{
	static const int not [] = { SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,	SIGABRT, SIGTRAP,
				    SIGSYS,  SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU };

	sigfillset(set);
	for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++)
		sigdelset(set, not [i]);
}

void restoring_block_signals(void)
{
	sigset_t set;

	forwarded(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Takes every child that has ended. True if the container's first process is among them. */
static bool reap(pid_t root, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != root)
			continue;
		ended = true;
		*ret_status = status;
	}
	if (pid < 0 && errno == ECHILD && !ended) {
		/* somebody else is its parent; there is nothing to wait for */
		*ret_status = 0;
		return true;
	}
	return ended;
}

int restoring_stay(pid_t pid)
{
	sigset_t set;
	int status = 0, sig;

	forwarded(&set);
	while (!reap(pid, &status)) {
		siginfo_t info;

		sig = sigwaitinfo(&set, &info);
		if (sig > 0 && sig != SIGCHLD)
			kill(pid, sig);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
