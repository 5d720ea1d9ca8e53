/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dump: one more name for files that have lost the name they were opened by (--link-remap). The
 * names are made late, when nothing can be refused any more, and taken away if the dump fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/files/files.h"
#include "engine/files/ghost-tables.h"
#include "engine/files/ghost.h"
#include "engine/tracee/guardian.h"
#include "proto/files.pb-c.h"

static struct dump_link *find(struct dump *d, const struct stat *st)
{
	struct dump_link *l;

	for (l = d->ghosts ? d->ghosts->links : NULL; l; l = l->next)
		if (l->st.st_dev == st->st_dev && l->st.st_ino == st->st_ino)
			return l;
	return NULL;
}

/* The directory of a path, as the tree's mount namespace leads there. A descriptor or -errno. */
static int open_dir(const struct dump *d, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	int root = files_root(d), fd;

	if (root < 0)
		return root;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

static int mount_of(int fd)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || !(sx.stx_mask & STATX_MNT_ID))
		return -1;
	return (int)sx.stx_mnt_id;
}

/* The nearest directory above the lost name that is still there. */
static int choose_dir(struct dump *d, const char *name, char *path, struct err *err)
{
	int fd = -ENOENT;

	strcpy(path, name);
	while (fd == -ENOENT && path[0]) {
		char *slash = strrchr(path, '/');

		*slash = '\0';
		fd = open_dir(d, path[0] ? path : "/");
	}
	return fd;
}

/* The file without the name: enough for a restore on this machine, as long as it has any name. */
static int capture_handle(struct dump *d, int fd, FhEntry **ret, struct err *err)
{
	struct {
		struct file_handle head;
		uint64_t data[MAX_HANDLE_SZ / sizeof(uint64_t)];
	} h = { .head.handle_bytes = MAX_HANDLE_SZ };
	FhEntry *e;
	int mnt_id;

	if (name_to_handle_at(fd, "", &h.head, &mnt_id, AT_EMPTY_PATH) < 0)
		return 0; /* a file system without handles */
	e = arena_alloc(&d->arena, sizeof(*e));
	if (!e)
		return err_nomem(err);
	fh_entry__init(e);
	e->bytes = h.head.handle_bytes;
	e->type = (uint32_t)h.head.handle_type;
	e->n_handle = sizeof(h.data) / sizeof(h.data[0]);
	e->handle = arena_alloc(&d->arena, sizeof(h.data));
	if (!e->handle)
		return err_nomem(err);
	memcpy(e->handle, h.head.f_handle, h.head.handle_bytes);
	*ret = e;
	return 0;
}

/* The files.img entry under which remap-fpath.img refers to the new name. */
static int write_entry(struct dump *d, const struct dump_link *l, struct err *err)
{
	FileEntry fe = FILE_ENTRY__INIT;
	RegFileEntry e = REG_FILE_ENTRY__INIT;
	FownEntry fown = FOWN_ENTRY__INIT;

	e.id = l->id;
	e.fown = &fown;
	e.name = arena_printf(&d->arena, "%s/%s", l->dir_path, l->leaf);
	if (!e.name)
		return err_nomem(err);
	if (l->has_mnt_id) {
		e.has_mnt_id = true;
		e.mnt_id = l->mnt_id;
	}
	if (capture_handle(d, l->lfd, &e.handle, err) < 0)
		return err->code;
	fe.type = FD_TYPES__REG;
	fe.id = l->id;
	fe.reg = &e;
	if (image_add(image_get(d->images, IMG_FILES, "files.img"), &fe.base) < 0)
		return err_nomem(err);
	return 0;
}

static int add_link(struct dump *d, struct file_ref *ref, const char *name, struct dump_link **ret,
		    struct err *err)
{
	struct dump_link *l = arena_alloc(&d->arena, sizeof(*l));
	char *path = arena_strdup(&d->arena, name);
	int fd;

	if (!l || !path)
		return err_nomem(err);
	fd = files_keep_open(d, choose_dir(d, name, path, err));
	if (fd < 0 || faccessat(fd, ".", W_OK, 0) < 0) {
		dump_refuse(d, ref->task,
			    "%s: '%s' has lost this name, and none can be made beside it (%s)",
			    ref->what, name, strerrordesc_np(fd < 0 ? -fd : errno));
		return KIND_UNSUPPORTED;
	}
	if (mount_of(fd) != mount_of(ref->lfd)) {
		dump_refuse(d, ref->task,
			    "%s: '%s' has lost this name, and is not on the mount at '%s'",
			    ref->what, name, path[0] ? path : "/");
		return KIND_UNSUPPORTED;
	}
	l->st = ref->facts.st;
	l->dir_path = path;
	l->dir_fd = fd;
	l->lfd = files_keep_open(d, fcntl(ref->lfd, F_DUPFD_CLOEXEC, 3));
	l->has_mnt_id = d->mounts && ref->fd >= 0;
	l->mnt_id = ref->facts.mnt_id;
	if (l->lfd < 0)
		return err_sys(err, l->lfd, "duplicating a descriptor");
	/* another checkpoint may have made its own there */
	do {
		l->id = files_new_id(d);
		l->leaf = arena_printf(&d->arena, "link_remap.%u", l->id);
		if (!l->leaf)
			return err_nomem(err);
	} while (faccessat(fd, l->leaf, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	l->next = d->ghosts->links;
	d->ghosts->links = *ret = l;
	return 0;
}

int link_remap_capture(struct dump *d, struct file_ref *ref, const char *name, struct err *err)
{
	struct link_user *u = arena_alloc(&d->arena, sizeof(*u));
	struct dump_link *l;
	int r = 0;

	if (!u || !ghosts_of(d))
		return err_nomem(err);
	if (!d->opts->link_remap) {
		dump_refuse(d, ref->task,
			    "%s: '%s' was deleted, but has other names (hard links); hint: "
			    "--link-remap",
			    ref->what, name);
		return KIND_UNSUPPORTED;
	}
	l = find(d, &ref->facts.st);
	if (!l)
		r = add_link(d, ref, name, &l, err);
	if (r != 0)
		return r;
	u->ref = *ref;
	u->ref.lfd = l->lfd;
	u->next = l->users;
	l->users = u;
	return 0;
}

/* Should we die, the guardian takes it away: it goes by the real path, in which no link leads
 * elsewhere. */
static int note(struct dump *d, const struct dump_link *l, struct err *err)
{
	cleanup_free char *real = NULL;
	char path[512], fd[32];
	int n, r;

	snprintf(fd, sizeof(fd), "/proc/self/fd/%d", l->dir_fd);
	r = io_readlink(AT_FDCWD, fd, &real);
	if (r < 0)
		return err_sys(err, r, "reading the name of '%s'", l->dir_path);
	n = snprintf(path, sizeof(path), "/proc/%d/root%s/%s", dump_root_tid(d), real, l->leaf);
	if (n < (int)sizeof(path))
		guardian_note_file(d->guardian, path, &l->st, d->images_fd, "inventory.img");
	return 0;
}

/* Overlay file systems make no link to a file whose names are gone from the upper layer. */
static bool is_on_overlay(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

static int keep_as_ghosts(struct dump *d, struct dump_link *l, struct err *err)
{
	struct link_user *u;
	int r = 0;

	for (u = l->users; u && r == 0; u = u->next)
		r = ghost_capture(d, &u->ref, err);
	return r > 0 ? err_refuse(err, "%s: %s", dump_task_name(d, l->users->ref.task),
				  d->refusals.text.data)
		     : r;
}

static int link_it(const struct dump_link *l)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", l->lfd);
	return linkat(AT_FDCWD, self, l->dir_fd, l->leaf, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A file system of a user namespace takes names only from users that it knows: a child becomes one.
 */
static int link_inside(const struct dump *d, const struct dump_link *l)
{
	cleanup_fd int ns = openat(d->tasks.v[0]->proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
	int status = 0;
	pid_t pid = ns < 0 ? -1 : fork();

	if (pid == 0) {
		if (setns(ns, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 ||
		    setresuid(0, 0, 0) < 0)
			_exit(errno);
		_exit(-link_it(l));
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int make_link(struct dump *d, struct dump_link *l, struct err *err)
{
	struct link_user *u;
	int r = note(d, l, err);

	if (r < 0)
		return r;
	r = link_it(l);
	if (r == -EOVERFLOW)
		r = link_inside(d, l);
	if (r == -ENOENT && is_on_overlay(l->lfd))
		return keep_as_ghosts(d, l, err);
	if (r < 0)
		return err_sys(err, r, "making the name '%s/%s'", l->dir_path, l->leaf);
	l->made = true;
	r = write_entry(d, l, err);
	for (u = l->users; u && r == 0; u = u->next)
		r = ghost_add_remap(d, u->ref.id, l->id, REMAP_TYPE__LINKED, err);
	return r;
}

int files_make_links(struct dump *d, struct err *err)
{
	struct dump_link *l;
	int r = 0;

	for (l = d->ghosts ? d->ghosts->links : NULL; l && r == 0; l = l->next)
		r = make_link(d, l, err);
	return r;
}

/* Tasks that go on would see that their file has one more name. */
void files_undo_links(struct dump *d, bool failed)
{
	struct dump_link *l;

	for (l = d->ghosts ? d->ghosts->links : NULL; l; l = l->next)
		if (l->made && (failed || d->opts->leave_running))
			unlinkat(l->dir_fd, l->leaf, 0);
}
