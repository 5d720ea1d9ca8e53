/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --exec-cmd: a command takes our place, and with it the tree that we are the parent of. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "engine/base/arena.h"
#include "runtime/cmd.h"

int become_command(const struct ckpt_options *opts, struct err *err)
{
	struct arena arena = { 0 };
	size_t n = opts->exec_cmd.n;
	char **argv = arena_alloc(&arena, (n + 1) * sizeof(*argv));
	int r;

	if (!argv)
		return err_nomem(err);
	for (size_t i = 0; i < n; i++)
		argv[i] = (char *)opts->exec_cmd.v[i];
	/* they are the tree's by now; all others of ours close themselves */
	for (size_t i = 0; i < opts->n_inherit_fds; i++)
		if (opts->inherit_fds[i].fd > STDERR_FILENO)
			close(opts->inherit_fds[i].fd);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	r = err_sys(err, -errno, "becoming the command '%s'; the restored tree goes on without it",
		    argv[0]);
	arena_done(&arena);
	return r;
}
