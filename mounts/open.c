// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reaching a mount of another mount namespace. What a lookup finds is opened through
 * /proc/PID/root. For the rest a child enters the namespace, copies it, and takes away in its copy
 * what covers the mount; the namespace itself is never changed.
 */
#include "mounts/mounts-priv.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "engine/base/io.h"

/* What the child tells with each descriptor: what it was doing when it failed. */
struct reply {
	int r;
	char what[60];
};

static int open_inside(int rootfd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* The mount id of a descriptor, from its fdinfo; -1 if it cannot be told. */
static int fd_mount_id(int fd)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[64];
	const char *p;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (io_read_file(AT_FDCWD, path, &b) < 0)
		return -1;
	p = strstr(b.data, "mnt_id:");
	return p ? atoi(p + 7) : -1;
}

static int open_visible(const struct mount_tree *tree, const struct mount *m)
{
	cleanup_fd int root = -EBADF, fd = -EBADF;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/root", tree->pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	fd = open_inside(root, m->path);
	if (fd < 0)
		return fd;
	return fd_mount_id(fd) == m->id ? take_fd(&fd) : -ESTALE;
}

/* ---- the child ---- */

struct inside {
	int mntns, userns, root; /* userns is -1 when it is our own */
};

static int open_namespaces(pid_t pid, struct inside *in)
{
	cleanup_fd int proc = io_open_proc(pid);
	struct stat a, b;

	if (proc < 0)
		return proc;
	in->mntns = openat(proc, "ns/mnt", O_RDONLY | O_CLOEXEC);
	in->root = openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (in->mntns < 0 || in->root < 0)
		return -errno;
	if (fstatat(proc, "ns/user", &a, 0) < 0 || stat("/proc/self/ns/user", &b) < 0)
		return -errno;
	if (a.st_ino == b.st_ino)
		return 0;
	in->userns = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	return in->userns < 0 ? -errno : 0;
}

/* Enters the mount namespace; or again, after the copy of it that was made for the mount before. */
static int enter_mounts(const struct inside *in)
{
	if (setns(in->mntns, CLONE_NEWNS) < 0)
		return -errno;
	/* The root of the namespace may lie above the task's, to which our paths are relative. */
	return fchdir(in->root) < 0 || chroot(".") < 0 ? -errno : 0;
}

static int copy_namespace(const struct inside *in)
{
	int r = enter_mounts(in);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/*
 * Takes mounts off the path of m until a lookup finds m. What is taken off is marked in the child's
 * tree for that time.
 */
static int uncover(const struct mount_tree *tree, const struct mount *m)
{
	VEC(struct mount *) off = { 0 };
	struct mount *top, **slot;
	int r = 0;

	while (r == 0 && (top = mounts_lookup(tree, m->path)) && top != m) {
		slot = vec_add(&off);
		if (!slot || !top->parent) {
			r = slot ? -ESTALE : -ENOMEM;
			off.n -= slot ? 1 : 0;
		} else if (umount2(top->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
			r = -errno;
			off.n--;
		} else {
			*slot = top;
			top->how = HOW_SKIP;
		}
	}
	vec_foreach (slot, &off)
		(*slot)->how = HOW_UNDECIDED;
	vec_free(&off);
	return r;
}

static int clone_one(const struct mount_tree *tree, const struct mount *m, const struct inside *in,
		     struct reply *reply)
{
	bool visible = mounts_lookup(tree, m->path) == m;
	/* An unbindable mount cannot be cloned, but in a copy of the namespace it can be private.
	 */
	bool as_it_is = visible && !(m->flags & MS_UNBINDABLE);
	int fd;

	snprintf(reply->what, sizeof(reply->what), "uncovering it");
	reply->r = as_it_is ? enter_mounts(in) : copy_namespace(in);
	if (reply->r == 0 && !visible)
		reply->r = uncover(tree, m);
	if (reply->r < 0)
		return reply->r;
	snprintf(reply->what, sizeof(reply->what), "cloning it");
	fd = open_tree(AT_FDCWD, m->path,
		       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
	reply->r = fd < 0 ? -errno : 0;
	return fd < 0 ? reply->r : fd;
}

static int send_reply(int sock, struct reply *reply, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { reply, sizeof(*reply) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

__attribute__((noreturn)) static void child(const struct mount_tree *tree, const struct inside *in,
					    const struct mount *const *list, size_t n, int sock)
{
	struct reply reply = { .what = "entering its user namespace" };

	/*
	 * A copy of the mount namespace that belonged to another user namespace would have all its
	 * mounts locked to each other, and nothing could be taken off.
	 */
	if (in->userns >= 0 && setns(in->userns, CLONE_NEWUSER) < 0) {
		reply.r = -errno;
		send_reply(sock, &reply, -1);
		_exit(1);
	}
	for (size_t i = 0; i < n; i++) {
		cleanup_fd int fd = clone_one(tree, list[i], in, &reply);

		if (send_reply(sock, &reply, fd) < 0 || fd < 0)
			_exit(1);
	}
	_exit(0);
}

/* ---- the parent ---- */

static int receive(int sock, const struct mount *m, struct err *err)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct reply reply = { 0 };
	struct iovec iov = { &reply, sizeof(reply) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t len;
	int fd;

	do {
		len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len != (ssize_t)sizeof(reply))
		return err_new(err, ERR_INTERNAL, -EIO, "mount '%s': its helper died", m->path);
	reply.what[sizeof(reply.what) - 1] = '\0';
	if (reply.r < 0)
		return err_sys(err, reply.r, "mount '%s': %s", m->path, reply.what);
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return err_new(err, ERR_INTERNAL, -EIO, "mount '%s': no descriptor", m->path);
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static int receive_all(int sock, const struct mount *const *list, size_t n, int *fds,
		       struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		r = receive(sock, list[i], err);
		fds[i] = r;
	}
	if (r >= 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		cleanup_closep(&fds[i]);
		fds[i] = -EBADF;
	}
	return r;
}

int mounts_open_clones(const struct mount_tree *tree, const struct mount *const *list, size_t n,
		       int *fds, struct err *err)
{
	cleanup_fd int mine = -EBADF, theirs = -EBADF, mntns = -EBADF, userns = -EBADF,
		       root = -EBADF;
	struct inside in = { -EBADF, -EBADF, -EBADF };
	int sv[2], r;
	pid_t pid;

	for (size_t i = 0; i < n; i++)
		fds[i] = -EBADF;
	if (!n)
		return 0;
	r = open_namespaces(tree->pid, &in);
	mntns = in.mntns;
	userns = in.userns;
	root = in.root;
	if (r < 0)
		return err_sys(err, r, "opening the mount namespace of task %d", tree->pid);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, -errno, "making a socket pair");
	mine = sv[0];
	theirs = sv[1];
	pid = fork();
	if (pid < 0)
		return err_sys(err, -errno, "starting a helper");
	if (pid == 0)
		child(tree, &in, list, n, theirs);
	close(take_fd(&theirs));
	r = receive_all(mine, list, n, fds, err);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

int mounts_open_root(const struct mount_tree *tree, const struct mount *m, struct err *err)
{
	int fd = -ESTALE, r;

	if (mounts_path_visible(tree, m->id, m->path))
		fd = open_visible(tree, m);
	if (fd >= 0)
		return fd;
	r = mounts_open_clones(tree, &m, 1, &fd, err);
	return r < 0 ? r : fd;
}
