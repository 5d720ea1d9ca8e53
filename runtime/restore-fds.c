/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that take the place of those in the images. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "runtime/restore.h"

static int keep_fd(struct restoring *rs, int fd)
{
	int *it = vec_add(&rs->fds);

	if (it)
		*it = fd;
	else
		close(fd);
	return it ? 0 : -ENOMEM;
}

/* Namespaces that config.json gives by path. */
int restoring_open_fds(struct restoring *rs, struct err *err)
{
	struct oci_plan *plan = &rs->p.plan;

	for (size_t i = 0; i < plan->opens.n; i++) {
		int fd = open(plan->opens.v[i].path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return err_sys(err, -errno, "opening '%s' of config.json",
				       plan->opens.v[i].path);
		if (keep_fd(rs, fd) < 0)
			return err_nomem(err);
		oci_plan_set_fd(plan, i, fd);
	}
	return 0;
}

/*
 * The very file that the container had open, at the place where it was. Looked at by path alone
 * first: nothing happens to a wrong one, and O_NOFOLLOW does not stay in the flags that the
 * container sees.
 */
static int open_same(const struct saved_file *f)
{
	cleanup_fd int at = open(f->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int fd = -EBADF;
	struct stat st;
	char self[40];

	if (at < 0)
		return -errno;
	if (fstat(at, &st) < 0 || st.st_dev != f->dev || st.st_ino != f->ino)
		return -ESTALE;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
	fd = open(self, (f->flags & ~O_CREAT) | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (lseek(fd, f->pos, SEEK_SET) < 0)
		return -ESTALE;
	return take_fd(&fd);
}

/* What the caller put there for the container: a file or a pipe, not a terminal. */
static int open_callers(int number)
{
	struct stat st;

	if (fstat(number, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)))
		return -EBADF;
	return fcntl(number, F_DUPFD_CLOEXEC, 3);
}

int restoring_add_files(struct restoring *rs, struct err *err)
{
	static const char *const names[] = { "input", "output", "error" };
	const struct saved_file *f;

	vec_foreach (f, &rs->saved.files) {
		int number = f->fd >= 0 && f->fd < 3 ? f->fd : 1;
		int fd = open_same(f), r = fd;
		struct ckpt_inherit_fd *it;

		if (fd < 0)
			fd = open_callers(number);
		if (fd < 0) {
			err_sys(err, r,
				"opening '%s', standard %s of the container at its checkpoint",
				f->path, names[number]);
			err_hint(err, "redirect the standard %s of the restore to a file or a pipe",
				 names[number]);
			return r;
		}
		it = vec_add(&rs->p.cli.inherit_fds);
		if (keep_fd(rs, fd) < 0 || !it)
			return err_nomem(err);
		*it = (struct ckpt_inherit_fd){ .key = f->key, .fd = fd };
	}
	cli_settle(&rs->p.cli);
	return 0;
}

/* The other end of the container's terminal goes to whoever listens at the console socket. */
int restoring_send_console(const struct restoring *rs, int fd, struct err *err)
{
	const char *path = rs->p.plan.console_socket;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	cleanup_fd int sock = -EBADF;
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec io = { .iov_base = (char[]){ "terminal" }, .iov_len = 8 };
	struct msghdr msg = { .msg_iov = &io,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	if (!path) {
		int r = err_usage(err, "the container has a terminal, and nobody takes it");

		err_hint(err, "give --console-socket");
		return r;
	}
	if (strlen(path) >= sizeof(to.sun_path))
		return err_usage(err, "--console-socket: the path '%s' is too long", path);
	strcpy(to.sun_path, path);
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		return err_sys(err, -errno, "handing the terminal to the console socket '%s'",
			       path);
	return 0;
}
