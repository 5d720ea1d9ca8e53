/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regular files, directories, symbolic links (O_PATH) and the memory devices: opened again by path.
 * A file that the path no longer leads to is refused, a deleted one is kept as a ghost.
 */
#include "engine/files/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/build-id.h"
#include "engine/files/ghost.h"
#include "engine/files/procfs.h"
#include "mounts/mounts.h"
#include "proto/files.pb-c.h"

/* Character devices of major 1 without a state of their own. */
static bool is_memory_device(const struct stat *st)
{
	static const unsigned int minors[] = { 3, 5, 7, 8, 9 }; /* null zero full random urandom */
	size_t i;

	if (!S_ISCHR(st->st_mode) || major(st->st_rdev) != 1)
		return false;
	for (i = 0; i < sizeof(minors) / sizeof(minors[0]); i++)
		if (minor(st->st_rdev) == minors[i])
			return true;
	return false;
}

static bool claims(const struct fd_facts *f)
{
	if (f->link[0] != '/' || strncmp(f->link, "/memfd:", 7) == 0)
		return false;
	/* memfd_secret(2): nobody but its owner can read it */
	if (f->fs_magic == SECRETMEM_MAGIC)
		return false;
	if (f->flags & O_PATH)
		return true;
	return S_ISREG(f->st.st_mode) || S_ISDIR(f->st.st_mode) || is_memory_device(&f->st);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int mount_of(int fd)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || !(sx.stx_mask & STATX_MNT_ID))
		return -1;
	return (int)sx.stx_mnt_id;
}

static int lookup(const struct dump *d, const char *path, struct stat *ret, int *ret_mnt_id)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
				.resolve = RESOLVE_IN_ROOT };
	cleanup_fd int fd = -EBADF;
	int root = files_root(d);

	if (root < 0)
		return root;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0 || fstat(fd, ret) < 0)
		return -errno;
	if (ret_mnt_id)
		*ret_mnt_id = mount_of(fd);
	return 0;
}

/* The name without the mark that procfs puts behind a deleted one. */
static char *plain_name(struct dump *d, const char *link, bool *ret_marked)
{
	static const char mark[] = " (deleted)";
	size_t n = strlen(link), m = sizeof(mark) - 1;
	char *name = arena_strdup(&d->arena, link);

	*ret_marked = n > m && strcmp(link + n - m, mark) == 0;
	if (name && *ret_marked)
		name[n - m] = '\0';
	return name;
}

static const char *external_name(struct dump *d, const struct file_ref *ref)
{
	char *id = arena_printf(&d->arena, "file[%x:%lx]", (unsigned)ref->facts.mnt_id,
				(unsigned long)ref->facts.st.st_ino);
	size_t i, n = id ? strlen(id) : 0;

	for (i = 0; n && i < d->opts->externals.n; i++)
		if (strncmp(d->opts->externals.v[i], id, n) == 0)
			return id;
	return NULL;
}

/* Procfs counts its links in its own way: a name that is gone there is that of a task that has
 * ended.
 */
static bool procfs_task_is_there(struct dump *d, const char *name)
{
	const char *rest;
	char path[32];
	struct stat st;
	pid_t pid = procfs_pid(name, &rest);

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return pid && lookup(d, path, &st, NULL) == 0;
}

/* Not so for what came in from outside, which is often bind mounted inside as well. */
static bool is_mount_of_tree(const struct dump *d, int mnt_id)
{
	size_t i;

	for (i = 0; d->mounts && i < mounts_count(d->mounts); i++)
		if (mount_id(mounts_at(d->mounts, i)) == mnt_id)
			return true;
	return false;
}

/* Decides whether the path is good, or the file must be kept as a ghost, or cannot be kept. */
static int resolve(struct dump *d, struct file_ref *ref, RegFileEntry *e, struct err *err)
{
	const struct fd_facts *f = &ref->facts;
	bool marked, found;
	int mnt_id = -1;
	struct stat st;
	char *name = plain_name(d, f->link, &marked);
	int r;

	if (!name)
		return err_nomem(err);
	found = lookup(d, f->link, &st, &mnt_id) == 0 && same_file(&st, &f->st);
	e->name = found ? (char *)f->link : name;
	if (f->fs_magic == PROC_SUPER_MAGIC)
		return procfs_capture(d, ref, e->name, found, procfs_task_is_there(d, name), err);
	if (found && ref->fd >= 0 && mnt_id != f->mnt_id && is_mount_of_tree(d, f->mnt_id)) {
		dump_refuse(d, ref->task, "%s: '%s' is on a mount that another one covers",
			    ref->what, f->link);
		return KIND_UNSUPPORTED;
	}
	if (found)
		return 0;
	if (marked && (f->st.st_nlink == 0 || (S_ISDIR(f->st.st_mode) && f->st.st_nlink <= 1)))
		return ghost_capture(d, ref, err);
	r = lookup(d, name, &st, NULL);
	if (marked && f->st.st_nlink > 0 && !S_ISDIR(f->st.st_mode))
		return link_remap_capture(d, ref, name, err);
	if (r < 0)
		dump_refuse(d, ref->task,
			    "%s: '%s' is not visible inside (%s); hint: bind mount it, or "
			    "declare it with --external file[%x:%lx]:KEY",
			    ref->what, f->link, strerrordesc_np(-r), (unsigned)f->mnt_id,
			    (unsigned long)f->st.st_ino);
	else
		dump_refuse(d, ref->task, "%s: '%s' is another file now", ref->what, f->link);
	return KIND_UNSUPPORTED;
}

/* With --file-validation buildid. */
static int capture_build_id(struct dump *d, const struct file_ref *ref, RegFileEntry *e,
			    struct err *err)
{
	cleanup_fd int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint8_t id[BUILD_ID_MAX];
	int n = build_id_read(proc, ref->lfd, id);
	size_t words = n > 0 ? ((size_t)n + 3) / 4 : 0;

	if (n < 0)
		return err_sys(err, n, "reading the build ID of '%s'", ref->facts.link);
	if (!words)
		return 0;
	e->build_id = arena_alloc(&d->arena, words * sizeof(*e->build_id));
	if (!e->build_id)
		return err_nomem(err);
	memcpy(e->build_id, id, (size_t)n);
	e->n_build_id = words;
	return 0;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	RegFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	const char *external;
	int r;

	if (!e)
		return err_nomem(err);
	reg_file_entry__init(e);
	fe->reg = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	e->pos = ref->facts.flags & O_PATH ? 0 : (uint64_t)ref->facts.pos;
	e->has_mode = true;
	e->mode = ref->facts.st.st_mode;
	/* A log grows under others' hands, and nobody minds. */
	if (S_ISREG(e->mode) && (e->flags & (O_ACCMODE | O_APPEND)) != (O_WRONLY | O_APPEND)) {
		e->has_size = true;
		e->size = (uint64_t)ref->facts.st.st_size;
	}
	r = files_capture_fown(d, ref, &e->fown, err);
	if (r < 0)
		return r;
	if (d->opts->file_validation_buildid && e->has_size && capture_build_id(d, ref, e, err) < 0)
		return err->code;
	external = ref->fd >= 0 ? external_name(d, ref) : NULL;
	if (external) {
		e->name = (char *)external;
		e->has_ext = e->ext = true;
		return 0;
	}
	if (d->mounts && ref->fd >= 0 && d->root_ns.id[NS_MNT] != d->host_ns.id[NS_MNT]) {
		e->has_mnt_id = true;
		e->mnt_id = ref->facts.mnt_id;
	}
	return resolve(d, ref, e, err);
}

/* ---- restore ---- */

const char *regular_path(const struct file_obj *obj)
{
	return obj->entry->reg->name;
}

bool regular_path_is_sane(const char *p)
{
	size_t n = strlen(p);

	return p[0] == '/' && !strstr(p, "/../") && (n < 3 || strcmp(p + n - 3, "/..") != 0);
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const RegFileEntry *e = obj->entry->reg;

	if (!e)
		return err_image(err, "file %u has no path", obj->id);
	if (!(e->has_ext && e->ext) && !regular_path_is_sane(e->name))
		return err_image(err, "file %u: '%s' is not an absolute path", obj->id, e->name);
	if (e->n_build_id > BUILD_ID_MAX / 4)
		return err_image(err, "file %u: a build ID of %zu words", obj->id, e->n_build_id);
	if (e->pos > INT64_MAX)
		return err_image(err, "file %u: position %lu is out of range", obj->id,
				 (long)e->pos);
	return 0;
}

static int check_build_id(struct restore *r, const RegFileEntry *e, int fd, struct err *err)
{
	uint8_t id[BUILD_ID_MAX] = { 0 };
	int n = build_id_read(r->proc_fd, fd, id);

	if (n < 0)
		return err_sys(err, n, "reading the build ID of '%s'", e->name);
	if (((size_t)n + 3) / 4 == e->n_build_id && memcmp(id, e->build_id, e->n_build_id * 4) == 0)
		return 0;
	err_new(err, ERR_ENVIRONMENT, -ESTALE, "'%s' has another build ID than at the dump",
		e->name);
	err_hint(err, "put back the file as it was at the dump");
	return -ESTALE;
}

/* The file that the path leads to must be the one of the dump, as far as that can be told. */
static int check_same(struct restore *r, const struct file_obj *obj, int fd, struct err *err)
{
	const RegFileEntry *e = obj->entry->reg;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "reading the attributes of '%s'", e->name);
	if (e->has_mode && (st.st_mode & S_IFMT) != (e->mode & S_IFMT))
		return err_new(err, ERR_ENVIRONMENT, -ESTALE,
			       "'%s' is of another type than at the dump", e->name);
	if (e->has_mode && st.st_mode != e->mode && !r->opts->skip_file_rwx_check) {
		err_new(err, ERR_ENVIRONMENT, -ESTALE,
			"'%s' has mode 0%o now, and had 0%o at the dump", e->name,
			st.st_mode & 07777, e->mode & 07777);
		err_hint(err, "--skip-file-rwx-check takes it as it is");
		return -ESTALE;
	}
	if (e->has_size && S_ISREG(st.st_mode) && (uint64_t)st.st_size != e->size) {
		err_new(err, ERR_ENVIRONMENT, -ESTALE,
			"'%s' has %ld bytes now, and had %lu at the dump", e->name,
			(long)st.st_size, (unsigned long)e->size);
		err_hint(err, "put back the file as it was at the dump");
		return -ESTALE;
	}
	return r->opts->file_validation_buildid && e->n_build_id && S_ISREG(st.st_mode)
		       ? check_build_id(r, e, fd, err)
		       : 0;
}

int regular_open(struct restore *r, struct file_obj *obj, int flags, struct err *err)
{
	const char *path = regular_path(obj);
	cleanup_fd int fd = -EBADF;
	int g;

	flags &= ~(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | FASYNC);
	g = ghost_open(r, obj, flags, &fd, err);
	if (g != GHOST_NONE)
		return g < 0 ? g : take_fd(&fd);
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, -errno, "opening '%s'", path);
	if (check_same(r, obj, fd, err) < 0)
		return err->code;
	return take_fd(&fd);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const RegFileEntry *e = obj->entry->reg;
	cleanup_fd int fd = -EBADF;
	int n = files_inherit(r, obj, &fd, err);

	if (n != 0)
		return n < 0 ? n : take_fd(&fd);
	if (e->has_ext && e->ext) {
		err_new(err, ERR_USAGE, -ENOENT, "external file '%s' was not given", e->name);
		err_hint(err, "give it with --inherit-fd fd[N]:%s", e->name);
		return -ENOENT;
	}
	fd = regular_open(r, obj, (int)e->flags, err);
	if (fd < 0)
		return fd;
	if (!(e->flags & O_PATH) && e->pos && lseek(fd, (off_t)e->pos, SEEK_SET) < 0 &&
	    errno != ESPIPE)
		return err_sys(err, -errno, "setting the position of '%s'", e->name);
	if (files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_regular = {
	.name = "regular",
	.type = FD_TYPES__REG,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.open_mapping = regular_open,
	.finish = files_finish_owner,
};
