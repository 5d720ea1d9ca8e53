/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command does at the stages of an operation: action scripts and the status descriptor. */
#include "runtime/stages.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/io.h"

static int run_script(const char *script, const char *stage, struct err *err)
{
	int status = system(script);

	if (status < 0)
		return err_sys(err, -errno, "running the action script '%s'", script);
	if (WIFSIGNALED(status))
		return err_new(err, ERR_ENVIRONMENT, -ECANCELED,
			       "action script '%s' at %s: ended by signal %d", script, stage,
			       WTERMSIG(status));
	if (WEXITSTATUS(status))
		return err_new(err, ERR_ENVIRONMENT, -ECANCELED,
			       "action script '%s' at %s: exit status %d", script, stage,
			       WEXITSTATUS(status));
	return 0;
}

/* All scripts run, also behind one that fails; the first failure is told. */
static int run_scripts(const struct stages *s, const char *stage, struct err *err)
{
	struct err later = ERR_INIT;
	const char **it;
	char pid[16];
	int r = 0, n;

	if (!s->cli->scripts.n)
		return 0;
	setenv("CRTOOLS_SCRIPT_ACTION", stage, 1);
	if (s->root > 0) {
		snprintf(pid, sizeof(pid), "%d", s->root);
		setenv("CRTOOLS_INIT_PID", pid, 1);
	}
	vec_foreach (it, &s->cli->scripts) {
		n = run_script(*it, stage, r == 0 ? err : &later);
		if (r == 0)
			r = n;
	}
	return r;
}

static int tell_ready(int fd, struct err *err)
{
	int r = io_write_all(fd, "", 1);

	if (r < 0)
		return err_sys(err, r, "writing to descriptor %d (--status-fd)", fd);
	close(fd);
	return 0;
}

int stages_run(struct stages *s, const char *stage, pid_t pid, struct err *err)
{
	int r;

	if (pid > 0)
		s->root = pid;
	if (s->cli->status_fd >= 0 && strcmp(stage, "status-ready") == 0) {
		r = tell_ready(s->cli->status_fd, err);
		if (r < 0)
			return r;
	}
	return run_scripts(s, stage, err);
}

static int at_stage(void *arg, const char *stage, pid_t pid, int fd, struct err *err)
{
	/* a question to a client of the RPC; nor can a terminal be given to a script */
	if (strcmp(stage, "query-ext-files") == 0 || strcmp(stage, "orphan-pts-master") == 0)
		return 0;
	return stages_run(arg, stage, pid, err);
}

int stages_init(struct stages *stages, struct cli *cli, struct err *err)
{
	char dir[PATH_MAX];

	stages->cli = cli;
	stages->root = cli->ckpt.pid;
	if (!cli->scripts.n && cli->status_fd < 0)
		return 0;
	if (realpath(cli->ckpt.images_dir ?: ".", dir))
		setenv("CRTOOLS_IMAGE_DIR", dir, 1);
	cli->ckpt.notify = at_stage;
	cli->ckpt.notify_arg = stages;
	return 0;
}
