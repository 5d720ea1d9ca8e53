/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watched files. The image has the handle that the kernel shows, and the path as well; the restore
 * watches by path, since handles do not outlive a file system that is made anew.
 */
#include "engine/files/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/ghost.h"
#include "engine/files/kinds.h"
#include "mounts/mounts.h"
#include "proto/files.pb-c.h"

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif

/* The handle of the image has this many 64-bit words, whatever its length. */
#define HANDLE_WORDS 16

/* ---- dump ---- */

int watch_refuse_unread(struct dump *d, struct file_ref *ref)
{
	int waiting = 0;

	if (ioctl(ref->lfd, FIONREAD, &waiting) < 0 || !waiting)
		return 0;
	dump_refuse(d, ref->task,
		    "%s: '%s' has %d bytes of events that are not read yet, which cannot be kept; "
		    "hint: "
		    "try again when they have been read",
		    ref->what, ref->facts.link, waiting);
	return KIND_UNSUPPORTED;
}

struct handle_buf {
	struct file_handle h;
	uint8_t bytes[MAX_HANDLE_SZ];
};

/* Handles of file systems that cannot be exported (overlayfs) are good for comparing at least. */
static bool has_handle(int fd, const struct proc_fhandle *want)
{
	struct handle_buf b = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mnt;

	return want->n &&
	       name_to_handle_at(fd, "", &b.h, &mnt, AT_EMPTY_PATH | AT_HANDLE_FID) == 0 &&
	       b.h.handle_bytes == want->n && b.h.handle_type == want->type &&
	       memcmp(b.h.f_handle, want->bytes, want->n) == 0;
}

/* Whether the path, looked up from the task's root, is the watched file. */
static bool leads_to(const struct dump_task *task, const char *path, const struct watched *w)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_IN_ROOT,
	};
	cleanup_fd int root = openat(task->proc_fd, "root", O_PATH | O_CLOEXEC), fd = -EBADF;
	struct stat st;

	if (root < 0)
		return false;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	if (has_handle(fd, w->handle))
		return true;
	/* the kernel's encoding of a device number has the minor in the low 20 bits */
	return st.st_ino == w->ino &&
	       gnu_dev_makedev(w->sdev >> 20, w->sdev & 0xfffff) == st.st_dev;
}

static char *path_in_mount(const struct mount_tree *tree, const struct mount *m,
			   const struct watched *w)
{
	struct err ignored = ERR_INIT;
	cleanup_fd int root = mounts_open_root(tree, m, &ignored), dir = -EBADF, fd = -EBADF;
	struct handle_buf b = { .h.handle_bytes = w->handle->n, .h.handle_type = w->handle->type };
	char self[40], *link = NULL;

	if (root < 0 || !w->handle->n)
		return NULL;
	memcpy(b.bytes, w->handle->bytes, w->handle->n);
	/* the kernel does not take an O_PATH descriptor here */
	dir = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? dir : open_by_handle_at(dir, &b.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return io_readlink(AT_FDCWD, self, &link) == 0 ? link : NULL;
}

int watched_mounts(struct dump *d, const struct dump_task *task, struct mount_tree **own,
		   const struct mount_tree **ret, struct err *err)
{
	int r = 0;

	*ret = d->mounts;
	if (!d->mounts) {
		r = mounts_collect(own, task->tid, err);
		*ret = *own;
	}
	return r;
}

static int find_by_handle(struct dump *d, const struct dump_task *task, const struct watched *w,
			  char **ret, int *ret_mnt_id, struct err *err)
{
	struct mount_tree *own __attribute__((__cleanup__(cleanup_mount_treep))) = NULL;
	const struct mount_tree *tree;
	size_t i;
	int r = watched_mounts(d, task, &own, &tree, err);

	for (i = 0; r == 0 && !*ret && i < mounts_count(tree); i++) {
		const struct mount *m = mounts_at(tree, i);
		cleanup_free char *path = mount_sdev(m) == w->sdev ? path_in_mount(tree, m, w)
								   : NULL;

		if (!path || !leads_to(task, path, w))
			continue;
		*ret = arena_strdup(&d->arena, path);
		*ret_mnt_id = mount_id(m);
		if (!*ret)
			return err_nomem(err);
	}
	return r;
}

/* Tries the path and every directory above it. */
static char *try_path(struct dump *d, const struct dump_task *task, const char *path,
		      const struct watched *w)
{
	char *p = path[0] == '/' ? arena_strdup(&d->arena, path) : NULL, *slash;

	while (p && *p) {
		if (leads_to(task, p, w))
			return p;
		slash = strrchr(p, '/');
		slash[slash == p && p[1]] = '\0';
	}
	return NULL;
}

/* Without handles that can be opened: what is watched is often open too, or a usual place. */
static char *find_by_guess(struct dump *d, const struct dump_task *task, const struct watched *w)
{
	static const char *const usual[] = { "/etc/resolv.conf",
					     "/etc/hosts",
					     "/etc/localtime",
					     "/var/log",
					     "/var/run",
					     "/var/spool/cron",
					     "/run",
					     "/tmp",
					     "/dev",
					     "/home",
					     "/root",
					     "/usr/share" };
	struct dump_task *const *t;
	char *found = NULL;
	size_t i;
	int fd;

	for (i = 0; !found && i < sizeof(usual) / sizeof(usual[0]); i++)
		found = try_path(d, task, usual[i], w);
	vec_foreach (t, &d->tasks) {
		for (fd = -1; !found && fd < 256; fd++) {
			cleanup_free char *link = NULL;
			char name[16] = "cwd";

			if (fd >= 0)
				snprintf(name, sizeof(name), "fd/%d", fd);
			if ((*t)->state != TASK_DEAD &&
			    io_readlink((*t)->proc_fd, name, &link) == 0)
				found = try_path(d, task, link, w);
		}
	}
	return found;
}

/* ---- --irmap-scan-path: a search by name, where handles cannot be opened ---- */

enum { SCAN_DEPTH = 32 };

static char *scan(struct dump *d, const struct dump_task *task, int dir_fd, const char *path,
		  const struct watched *w, int depth)
{
	cleanup_dir DIR *dir = fdopendir(dir_fd);
	struct dirent *e;
	char *found = NULL;

	if (!dir)
		close(dir_fd);
	while (dir && !found && (e = readdir(dir))) {
		cleanup_free char *sub = NULL;
		int fd;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (asprintf(&sub, "%s/%s", strcmp(path, "/") ? path : "", e->d_name) < 0)
			return NULL;
		if (e->d_ino == w->ino && leads_to(task, sub, w))
			return arena_strdup(&d->arena, sub);
		if ((e->d_type != DT_DIR && e->d_type != DT_UNKNOWN) || depth == SCAN_DEPTH)
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			found = scan(d, task, fd, sub, w, depth + 1);
	}
	return found;
}

static char *find_by_scan(struct dump *d, const struct dump_task *task, const struct watched *w)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	cleanup_fd int root = openat(task->proc_fd, "root", O_PATH | O_CLOEXEC);
	char *found = NULL;
	size_t i;

	for (i = 0; !found && root >= 0 && i < d->opts->irmap_scan_paths.n; i++) {
		const char *path = d->opts->irmap_scan_paths.v[i];
		int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

		if (leads_to(task, path, w))
			found = arena_strdup(&d->arena, path);
		if (fd >= 0 && !found)
			found = scan(d, task, fd, path, w, 0);
		else if (fd >= 0)
			close(fd);
	}
	return found;
}

/* A file that was deleted is watched through a description that has it open. */
static int is_watched(void *arg, int lfd)
{
	const struct watched *w = arg;
	struct stat st;

	if (fstat(lfd, &st) < 0 || st.st_ino != w->ino ||
	    (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return 0;
	return has_handle(lfd, w->handle) ||
	       gnu_dev_makedev(w->sdev >> 20, w->sdev & 0xfffff) == st.st_dev;
}

static FhEntry *handle_new(struct dump *d, const struct watched *w)
{
	FhEntry *h = arena_alloc(&d->arena, sizeof(*h));
	uint64_t *words = arena_alloc(&d->arena, HANDLE_WORDS * sizeof(*words));

	if (!h || !words)
		return NULL;
	fh_entry__init(h);
	memcpy(words, w->handle->bytes, w->handle->n);
	h->bytes = w->handle->n;
	h->type = (uint32_t)w->handle->type;
	h->n_handle = HANDLE_WORDS;
	h->handle = words;
	return h;
}

int watched_capture(struct dump *d, const struct file_ref *ref, const struct watched *w,
		    FhEntry **ret, struct err *err)
{
	FhEntry *h = handle_new(d, w);
	uint32_t file_id = 0;
	int mnt_id = -1, r;

	if (!h)
		return err_nomem(err);
	*ret = h;
	r = find_by_handle(d, ref->task, w, &h->path, &mnt_id, err);
	if (r == 0 && !h->path)
		h->path = find_by_guess(d, ref->task, w);
	if (r == 0 && !h->path)
		h->path = find_by_scan(d, ref->task, w);
	if (r == 0 && !h->path)
		r = files_search(d, is_watched, (void *)w, &file_id);
	if (r < 0)
		return r;
	h->has_file_id = file_id != 0;
	h->file_id = file_id;
	if (!h->path && !file_id) {
		dump_refuse(d, ref->task,
			    "%s: %s is for a file (inode %lu of device %u:%u) that no path leads "
			    "to; hint: --irmap-scan-path DIR searches below DIR",
			    ref->what, w->what, (unsigned long)w->ino, w->sdev >> 20,
			    w->sdev & 0xfffff);
		return KIND_UNSUPPORTED;
	}
	if (mnt_id >= 0 && d->mounts) {
		h->has_mnt_id = true;
		h->mnt_id = (uint32_t)mnt_id;
	}
	return 0;
}

/* ---- restore ---- */

int watched_check(const FhEntry *h, struct err *err)
{
	if (h->path && h->path[0] != '/')
		return err_image(err, "'%s' is no absolute path", h->path);
	if (h->path && strlen(h->path) >= sizeof(((struct watched_place *)0)->path))
		return err_image(err, "a path of %zu bytes", strlen(h->path));
	if (h->bytes > MAX_HANDLE_SZ || h->bytes > h->n_handle * sizeof(*h->handle))
		return err_image(err, "a handle of %u bytes", h->bytes);
	return 0;
}

/* A deleted file, that the descriptor of another object leads to. */
static int place_of_object(struct restore *r, struct file_obj *obj, struct watched_place *p,
			   struct err *err)
{
	int n = files_need(r, obj, err);

	if (n < 0)
		return n;
	p->fd = fcntl(obj->fd, F_DUPFD_CLOEXEC, 3);
	return p->fd < 0 ? err_sys(err, -errno, "taking watched file %u", obj->id) : 0;
}

/* CRIU's images may have no path. Handles are good only while the file system is the same. */
static int place_by_handle(const FhEntry *h, uint32_t sdev, struct watched_place *p,
			   struct err *err)
{
	struct mount_tree *tree __attribute__((__cleanup__(cleanup_mount_treep))) = NULL;
	struct handle_buf b = { .h.handle_bytes = h->bytes, .h.handle_type = (int)h->type };
	size_t i;
	int n = mounts_collect(&tree, getpid(), err);

	memcpy(b.bytes, h->handle, h->bytes);
	for (i = 0; n == 0 && p->fd < 0 && i < mounts_count(tree); i++) {
		cleanup_fd int dir = -EBADF;

		if (mount_sdev(mounts_at(tree, i)) != sdev)
			continue;
		dir = open(mount_path(mounts_at(tree, i)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0)
			p->fd = open_by_handle_at(dir, &b.h, O_PATH | O_CLOEXEC);
	}
	if (n == 0 && p->fd < 0)
		n = err_new(err, ERR_ENVIRONMENT, -ESTALE,
			    "a watched file of device %u:%u has no path, and its handle leads to "
			    "nothing",
			    sdev >> 20, sdev & 0xfffff);
	return n;
}

/*
 * The container may have no /proc, through which a descriptor is a path; the host's is at hand as a
 * directory.
 */
static int name_descriptor(struct restore *r, struct watched_place *p, struct err *err)
{
	p->old_dir = open(".", O_PATH | O_CLOEXEC);
	if (p->old_dir < 0 || fchdir(r->proc_fd) < 0)
		return err_sys(err, -errno, "entering /proc");
	snprintf(p->path, sizeof(p->path), "self/fd/%d", p->fd);
	p->follow = true;
	return 0;
}

int watched_find(struct restore *r, const FhEntry *h, uint32_t sdev, uint64_t ino,
		 struct watched_place *ret, struct err *err)
{
	struct file_obj *obj;
	int n;

	ret->fd = ret->old_dir = -EBADF;
	ret->follow = false;
	if (h->path) {
		snprintf(ret->path, sizeof(ret->path), "%s", h->path);
		return 0;
	}
	/* CRIU's images do not tell which file it is, if it was deleted: its inode does */
	obj = h->has_file_id ? files_find(r, h->file_id) : ghost_of_inode(r, sdev, ino);
	if (h->has_file_id && !obj)
		return err_image(err, "watched file %u is not in 'files.img'", h->file_id);
	n = obj ? place_of_object(r, obj, ret, err) : place_by_handle(h, sdev, ret, err);
	if (n == 0)
		n = name_descriptor(r, ret, err);
	if (n < 0)
		watched_done(ret);
	return n;
}

void watched_done(struct watched_place *p)
{
	if (p->old_dir >= 0) {
		(void)!fchdir(p->old_dir);
		close(take_fd(&p->old_dir));
	}
	if (p->fd >= 0)
		close(take_fd(&p->fd));
}
