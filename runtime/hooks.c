/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks of config.json. */
#include "runtime/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "oci/json.h"

static int make_input(const struct hook_state *s, struct buf *out, struct err *err)
{
	struct arena a = { 0 };
	struct json *top = json_put(&a, NULL, NULL, JSON_OBJECT), *notes;
	int r;

	if (!top || !json_put_string(&a, top, "ociVersion", s->oci_version ?: "1.0.0") ||
	    !json_put_string(&a, top, "id", s->id) ||
	    !json_put_string(&a, top, "status", s->status) ||
	    (s->pid > 0 && !json_put_int(&a, top, "pid", s->pid)) ||
	    !json_put_string(&a, top, "bundle", s->bundle ?: "")) {
		arena_done(&a);
		return err_nomem(err);
	}
	notes = s->annotations->n ? json_put(&a, top, "annotations", JSON_OBJECT) : NULL;
	for (size_t i = 0; notes && i < s->annotations->n; i++)
		json_put_string(&a, notes, s->annotations->v[i].key, s->annotations->v[i].val);
	r = json_write(top, false, out, err);
	arena_done(&a);
	return r;
}

/* The input is in a file, so that a hook that does not read it is no concern of ours. */
static int input_file(const struct buf *text)
{
	int fd = (int)syscall(SYS_memfd_create, "hook", 1 /* MFD_CLOEXEC */);

	if (fd < 0)
		return -errno;
	if (io_write_all(fd, text->data, text->len) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static char **with_end(const struct oci_strings *list, const char *alone)
{
	char **v = calloc(list->n + 2, sizeof(*v));

	for (size_t i = 0; v && i < list->n; i++)
		v[i] = (char *)list->v[i];
	if (v && !list->n && alone)
		v[0] = (char *)alone;
	return v;
}

static void become(const struct oci_hook *hook, int input)
{
	char **argv = with_end(&hook->args, hook->path), **envp = with_end(&hook->env, NULL);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (argv && envp && dup2(input, STDIN_FILENO) == STDIN_FILENO)
		execve(hook->path, argv, envp);
	_exit(127);
}

/* Waits with the hook's time limit. The wait status, or a negative errno. */
static int wait_for(pid_t pid, uint32_t timeout_s)
{
	cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int status, r = 1;

	if (fd >= 0 && timeout_s)
		r = poll(&p, 1, timeout_s > 86400 ? 86400 * 1000 : (int)timeout_s * 1000);
	if (r == 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return r == 0 ? -ETIMEDOUT : status;
}

static int run_one(const struct oci_hook *hook, const char *name, int input, struct err *err)
{
	int status;
	pid_t pid;

	lseek(input, 0, SEEK_SET);
	pid = fork();
	if (pid < 0)
		return err_sys(err, -errno, "starting the %s hook '%s'", name, hook->path);
	if (pid == 0)
		become(hook, input);
	status = wait_for(pid, hook->timeout_s);
	if (status < 0)
		return err_sys(err, status, "running the %s hook '%s'", name, hook->path);
	if (WIFSIGNALED(status))
		return err_new(err, ERR_ENVIRONMENT, -ECANCELED, "%s hook '%s' ended by signal %d",
			       name, hook->path, WTERMSIG(status));
	if (WEXITSTATUS(status))
		return err_new(err, ERR_ENVIRONMENT, -ECANCELED,
			       "%s hook '%s' failed with exit status %d%s", name, hook->path,
			       WEXITSTATUS(status),
			       WEXITSTATUS(status) == 127 ? " (perhaps it cannot be executed)"
							  : "");
	return 0;
}

int hooks_run(const struct oci_hook_list *hooks, const char *name, const struct hook_state *state,
	      struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_fd int input = -EBADF;
	int r = hooks->n ? make_input(state, &text, err) : 0;

	if (!hooks->n || r < 0)
		return r;
	input = input_file(&text);
	if (input < 0)
		return err_sys(err, input, "preparing the %s hooks", name);
	for (size_t i = 0; r == 0 && i < hooks->n; i++)
		r = run_one(&hooks->v[i], name, input, err);
	return r;
}
