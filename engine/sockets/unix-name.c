/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of unix sockets: binding, and connecting to them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/sockets/unix-priv.h"
#include "proto/sockets.pb-c.h"

bool unix_has_name(const struct usk *u)
{
	return u->e->name.len > 0;
}

bool unix_has_path(const struct usk *u)
{
	return u->e->name.len && u->e->name.data[0];
}

bool unix_same_name(const struct usk *a, const struct usk *b)
{
	const char *x = a->e->name_dir ? a->e->name_dir : "",
		   *y = b->e->name_dir ? b->e->name_dir : "";

	return a->e->name.len && a->e->name.len == b->e->name.len &&
	       memcmp(a->e->name.data, b->e->name.data, a->e->name.len) == 0 && strcmp(x, y) == 0;
}

/* A path of the full length has no place for its zero byte, and the kernel adds it by itself. */
static socklen_t address_of(const struct usk *u, struct sockaddr_un *ret)
{
	size_t n = u->e->name.len < sizeof(ret->sun_path) ? u->e->name.len : sizeof(ret->sun_path);

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	memcpy(ret->sun_path, u->e->name.data, n);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

/* The name as a string for files and messages; an abstract one begins with '@'. */
static const char *text_of(const struct usk *u, char buf[128])
{
	size_t n = u->e->name.len, i;

	if (n > 127)
		n = 127;
	memcpy(buf, u->e->name.data, n);
	buf[n] = '\0';
	if (n && !buf[0])
		for (i = 0; i < n; i++)
			buf[i] = buf[i] ? buf[i] : '@';
	return buf;
}

static int set_owner(const struct usk *u, const char *path, struct err *err)
{
	const FilePermsEntry *p = u->e->file_perms;

	if (!p)
		return 0;
	if (fchownat(AT_FDCWD, path, p->uid, p->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "giving '%s' to user %u", path, p->uid);
	if (fchmodat(AT_FDCWD, path, p->mode & 07777, 0) < 0)
		return err_sys(err, -errno, "setting the mode of '%s'", path);
	return 0;
}

/* Goes to the directory that a relative name starts from; *ret_old leads back. */
static int enter_dir(const struct usk *u, int *ret_old, struct err *err)
{
	if (!u->e->name_dir || !unix_has_path(u))
		return 0;
	*ret_old = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_old < 0 || chdir(u->e->name_dir) < 0)
		return err_sys(err, -errno, "going to directory '%s'", u->e->name_dir);
	return 0;
}

static int leave_dir(int old, struct err *err)
{
	if (old >= 0 && fchdir(old) < 0)
		return err_sys(err, -errno, "going back from a socket's directory");
	return 0;
}

/* The file that a dump leaves behind is in the way; anything but a socket is somebody's. */
static void unlink_stale(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
}

static int bind_visible(const struct usk *u, int fd, struct err *err)
{
	struct sockaddr_un a;
	socklen_t len = address_of(u, &a);
	char text[128];
	int r;

	text_of(u, text);
	if (unix_has_path(u))
		unlink_stale(text);
	if (bind(fd, (struct sockaddr *)&a, len) == 0)
		return unix_has_path(u) ? set_owner(u, text, err) : 0;
	r = -errno;
	err_sys(err, r, "binding unix socket %u to '%s'", u->e->ino, text);
	if (r == -EADDRINUSE)
		err_hint(err, unix_has_path(u) ? "a file of that name is in the way"
					       : "another process has that name now");
	return r;
}

int unix_bind(struct usk *u, struct err *err)
{
	cleanup_fd int old = -EBADF;
	int r, back;

	if (!unix_has_name(u) || u->named)
		return 0;
	if (u->e->has_deleted && u->e->deleted)
		return unix_bind_hidden(u->fd, u, err);
	r = enter_dir(u, &old, err);
	if (r == 0)
		r = bind_visible(u, u->fd, err);
	back = leave_dir(old, r == 0 ? err : &(struct err)ERR_INIT);
	return r < 0 ? r : back;
}

/* ---- hidden ---- */

/* Directories down to path; the last part is left out unless whole is set. */
static int make_dirs(const char *path, bool whole)
{
	char buf[4096];
	char *p;

	if (strlen(path) >= sizeof(buf))
		return -ENAMETOOLONG;
	strcpy(buf, path);
	for (p = buf + 1; *buf && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(buf, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return whole && mkdir(buf, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* A fresh tmpfs that is mounted nowhere, as root and working directory of this process. */
static int enter_empty_fs(void)
{
	cleanup_fd int fs = (int)syscall(SYS_fsopen, "tmpfs", 0), mnt = -EBADF;

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = (int)syscall(SYS_fsmount, fs, 0, 0);
	return mnt < 0 || fchdir(mnt) < 0 || chroot(".") < 0 ? -errno : 0;
}

/* In the child, whose root directory is its own. The file is deleted, as that of the dump was. */
static int bind_in_empty_fs(int fd, const struct usk *u)
{
	struct err err = ERR_INIT;
	struct sockaddr_un a;
	socklen_t len = address_of(u, &a);
	char path[128];
	int r = enter_empty_fs();

	text_of(u, path);
	if (r == 0 && u->e->name_dir)
		r = make_dirs(u->e->name_dir, true);
	if (r == 0 && u->e->name_dir && chdir(u->e->name_dir) < 0)
		r = -errno;
	if (r == 0)
		r = make_dirs(path, false);
	if (r == 0 && bind(fd, (struct sockaddr *)&a, len) < 0)
		r = -errno;
	if (r == 0)
		r = set_owner(u, path, &err);
	return r == 0 && unlink(path) < 0 ? -errno : r;
}

int unix_bind_hidden(int fd, const struct usk *u, struct err *err)
{
	struct sockaddr_un a;
	char text[128];
	int status = 0;
	pid_t pid;

	if (!unix_has_path(u)) {
		socklen_t len = address_of(u, &a);

		return bind(fd, (struct sockaddr *)&a, len) < 0
			       ? err_sys(err, -errno, "binding a socket to '%s'", text_of(u, text))
			       : 0;
	}
	/* a process of its own, since the root directory changes */
	pid = fork();
	if (pid < 0)
		return err_sys(err, -errno, "starting a process to bind a socket");
	if (pid == 0)
		_exit(-bind_in_empty_fs(fd, u));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno, "waiting for the process that binds a socket");
	if (!WIFEXITED(status))
		return err_new(err, ERR_ENVIRONMENT, -EINTR,
			       "the process that binds a socket was killed");
	return WEXITSTATUS(status)
		       ? err_sys(err, -WEXITSTATUS(status),
				 "binding a socket to '%s', out of sight", text_of(u, text))
		       : 0;
}

/* ---- connecting ---- */

/* By the file itself: a path may be hidden or gone. */
static int address_of_file(int target_fd, struct sockaddr_un *ret, int *ret_file)
{
	*ret_file = ioctl(target_fd, SIOC_UNIX_FILE);
	if (*ret_file < 0)
		return -errno;
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d", *ret_file);
	return (int)sizeof(*ret);
}

int unix_address(const struct usk *target, struct sockaddr_un *ret, int *ret_file)
{
	*ret_file = -EBADF;
	if (unix_has_path(target))
		return address_of_file(target->fd, ret, ret_file);
	return (int)address_of(target, ret);
}

static int connect_to_file(int fd, int target_fd)
{
	cleanup_fd int file = -EBADF;
	struct sockaddr_un a;
	int len = address_of_file(target_fd, &a, &file);

	if (len < 0)
		return len;
	return connect(fd, (struct sockaddr *)&a, (socklen_t)len) < 0 ? -errno : 0;
}

static int connect_to_name(int fd, const struct usk *target, struct err *err)
{
	cleanup_fd int old = -EBADF;
	struct sockaddr_un a;
	socklen_t len = address_of(target, &a);
	int r = enter_dir(target, &old, err), back;

	if (r == 0 && connect(fd, (struct sockaddr *)&a, len) < 0)
		r = -errno;
	back = leave_dir(old, err);
	return r < 0 ? r : back;
}

int unix_connect_as(struct restore *r, const struct errand_cred *who, int fd,
		    const struct usk *target, int target_fd, struct err *err)
{
	cleanup_fd int file = -EBADF;
	struct errand e = { .call = ERRAND_CONNECT, .fd = fd, .path_fd = -1 };
	struct sockaddr_un a;
	char text[128];
	int n;

	if (unix_has_path(target)) {
		file = ioctl(target_fd, SIOC_UNIX_FILE);
		if (file < 0)
			return err_sys(err, -errno, "opening the file of unix socket '%s'",
				       text_of(target, text));
		e.path_fd = file;
	} else {
		e.addr_len = address_of(target, &a);
		memcpy(e.addr, &a, e.addr_len);
	}
	n = errand_run(r, who, &e);
	return n < 0 ? err_sys(err, n, "connecting to unix socket '%s'", text_of(target, text)) : 0;
}

int unix_connect(int fd, const struct usk *target, int target_fd, struct err *err)
{
	char text[128];
	int r;

	if (unix_has_path(target) && target_fd >= 0)
		r = connect_to_file(fd, target_fd);
	else
		r = connect_to_name(fd, target, err);
	return r < 0 ? err_sys(err, r, "connecting to unix socket '%s'", text_of(target, text)) : 0;
}
