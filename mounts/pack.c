// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The files of a tmpfs as a gzip'ed tar: what GNU tar --sparse --numeric-owner reads and writes,
 * plus nanosecond times and extended attributes (POSIX ACLs are two of them). Sockets are left out,
 * as tar leaves them out: those in use belong to a task, which binds them again.
 */
#include "mounts/mounts-priv.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "engine/base/io.h"
#include "engine/image/image.h"

enum { CHUNK = 1 << 17 };

struct pack {
	struct archive *out;
	struct archive_entry_linkresolver *links;
	const struct pack_ids *ids;
	struct image *img;
	dev_t dev;
	struct buf path; /* of the entry, from "." */
	char *chunk;
	struct err *err;
};

static la_ssize_t write_image(struct archive *a, void *arg, const void *data, size_t len)
{
	struct pack *p = arg;

	if (image_add_raw(p->img, data, len) < 0) {
		archive_set_error(a, ENOMEM, "out of memory");
		return -1;
	}
	return (la_ssize_t)len;
}

static int fail_sys(struct pack *p, int r)
{
	return err_sys(p->err, r, "reading '%s'", p->path.data);
}

static int fail_archive(struct pack *p)
{
	int code = archive_errno(p->out);

	return err_new(p->err, ERR_ENVIRONMENT, code > 0 ? -code : -EIO, "packing '%s': %s",
		       p->path.data, archive_error_string(p->out));
}

/* ---- attributes ---- */

/* Labels are given by the policy and the mount's options; the rest belongs to the files. */
static bool keep_xattr(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
	       !strncmp(name, "system.posix_acl_", 17) || !strcmp(name, "security.capability");
}

static int add_xattr(struct archive_entry *e, const char *path, const char *name)
{
	cleanup_free char *value = NULL;
	ssize_t n = lgetxattr(path, name, NULL, 0);

	if (n < 0)
		return -errno;
	value = malloc((size_t)n + 1);
	if (!value)
		return -ENOMEM;
	n = lgetxattr(path, name, value, (size_t)n);
	if (n < 0)
		return -errno;
	archive_entry_xattr_add_entry(e, name, value, (size_t)n);
	return 0;
}

static int add_xattrs(struct pack *p, struct archive_entry *e, const char *path)
{
	cleanup_free char *names = NULL;
	ssize_t n = llistxattr(path, NULL, 0);
	int r;

	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : fail_sys(p, -errno);
	names = malloc((size_t)n + 1);
	if (!names)
		return err_nomem(p->err);
	n = llistxattr(path, names, (size_t)n);
	if (n < 0)
		return fail_sys(p, -errno);
	for (char *s = names; s < names + n; s += strlen(s) + 1) {
		r = keep_xattr(s) ? add_xattr(e, path, s) : 0;
		if (r < 0)
			return fail_sys(p, r);
	}
	return 0;
}

/* ---- data ---- */

static int add_holes(struct pack *p, struct archive_entry *e, int fd, off_t size)
{
	off_t data = 0, hole = 0;

	while (hole < size) {
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = size;
		if (data < 0)
			return fail_sys(p, -errno);
		if (data == 0 && hole == 0) {
			hole = lseek(fd, 0, SEEK_HOLE);
			if (hole >= size)
				return 0; /* no hole at all */
			archive_entry_sparse_add_entry(e, 0, hole);
			continue;
		}
		hole = data < size ? lseek(fd, data, SEEK_HOLE) : size;
		if (hole < 0)
			return fail_sys(p, -errno);
		archive_entry_sparse_add_entry(e, data, hole - data);
	}
	return 0;
}

/* The archive wants the bytes of holes too and drops them itself. */
static int add_data(struct pack *p, int fd, off_t size)
{
	for (off_t done = 0; done < size;) {
		size_t want = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
		ssize_t n = pread(fd, p->chunk, want, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_sys(p, -errno);
		if (n == 0)
			return fail_sys(p, -ESTALE); /* somebody truncates it: not frozen */
		if (archive_write_data(p->out, p->chunk, (size_t)n) < 0)
			return fail_archive(p);
		done += n;
	}
	return 0;
}

/* ---- entries ---- */

static int add_entry(struct pack *p, struct archive_entry *e, int fd, const struct stat *st)
{
	struct archive_entry *spare = NULL;
	int r;

	/* A name after the first of the same inode becomes a link to that, without data. */
	if (!S_ISDIR(st->st_mode))
		archive_entry_linkify(p->links, &e, &spare);
	if (!e)
		return 0;
	if (S_ISREG(st->st_mode) && !archive_entry_hardlink(e)) {
		r = add_holes(p, e, fd, st->st_size);
		if (r < 0)
			return r;
	}
	if (archive_write_header(p->out, e) < ARCHIVE_OK)
		return fail_archive(p);
	if (!S_ISREG(st->st_mode) || archive_entry_hardlink(e))
		return 0;
	return add_data(p, fd, st->st_size);
}

static int describe(struct pack *p, struct archive_entry *e, int dirfd, const char *name,
		    const struct stat *st)
{
	cleanup_free char *target = NULL, *path = NULL;
	int r;

	archive_entry_copy_stat(e, st);
	archive_entry_set_pathname(e, p->path.data);
	archive_entry_set_uid(e, idmap_to_inside(&p->ids->uids, st->st_uid));
	archive_entry_set_gid(e, idmap_to_inside(&p->ids->gids, st->st_gid));
	archive_entry_unset_atime(e); /* reading has changed it; tar has none by default either */
	archive_entry_unset_ctime(e);
	if (S_ISLNK(st->st_mode)) {
		r = io_readlink(dirfd, name, &target);
		if (r < 0)
			return fail_sys(p, r);
		archive_entry_set_symlink(e, target);
	}
	if (asprintf(&path, "/proc/self/fd/%d/%s", dirfd, name) < 0)
		return err_nomem(p->err);
	return add_xattrs(p, e, path);
}

static int pack_dir(struct pack *p, int fd);

static int pack_one(struct pack *p, int dirfd, const char *name)
{
	struct archive_entry *e;
	cleanup_fd int fd = -EBADF;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_sys(p, -errno);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (st.st_dev != p->dev)
		return err_new(p->err, ERR_INTERNAL, -EXDEV, "'%s' is of another file system",
			       p->path.data);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		fd = openat(dirfd, name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME);
		if (fd < 0)
			fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return fail_sys(p, -errno);
	}
	e = archive_entry_new2(p->out);
	if (!e)
		return err_nomem(p->err);
	r = describe(p, e, dirfd, name, &st);
	if (r == 0)
		r = add_entry(p, e, fd, &st);
	archive_entry_free(e);
	if (r == 0 && S_ISDIR(st.st_mode))
		r = pack_dir(p, fd);
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	VEC(char *) list;
};

static void names_done(struct names *n)
{
	char **s;

	vec_foreach (s, &n->list)
		free(*s);
	vec_free(&n->list);
}

/* Sorted: the same files give the same archive, and the kernel's order is a memory address's. */
static int read_names(int fd, struct names *names)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *de;
	char **s;

	if (!dir)
		return -errno;
	while ((de = readdir(dir))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		s = vec_add(&names->list);
		if (!s)
			return -ENOMEM;
		*s = strdup(de->d_name);
		if (!*s)
			return -ENOMEM;
	}
	if (names->list.n)
		qsort(names->list.v, names->list.n, sizeof(char *), compare_names);
	return 0;
}

static int pack_dir(struct pack *p, int fd)
{
	cleanup_with(names_done) struct names names = { 0 };
	size_t len = p->path.len;
	int r = read_names(fd, &names);
	char **s;

	if (r < 0)
		return fail_sys(p, r);
	vec_foreach (s, &names.list) {
		if (buf_printf(&p->path, "/%s", *s) < 0)
			return err_nomem(p->err);
		r = pack_one(p, fd, *s);
		if (r < 0)
			return r;
		p->path.len = len;
		p->path.data[len] = '\0';
	}
	return 0;
}

static int open_archive(struct pack *p)
{
	struct archive *a = p->out;

	/*
	 * No time stamp in the gzip header, and little effort: the tasks are frozen meanwhile.
	 * Names are bytes: which characters they mean depends on a locale that is not ours to know.
	 */
	if (archive_write_add_filter_gzip(a) || archive_write_set_format_pax(a) ||
	    archive_write_set_options(a, "gzip:!timestamp,gzip:compression-level=1,"
					 "pax:hdrcharset=BINARY,pax:xattrheader=SCHILY"))
		return fail_archive(p);
	archive_write_set_bytes_in_last_block(a, 1);
	if (archive_write_open2(a, p, NULL, write_image, NULL, NULL))
		return fail_archive(p);
	archive_entry_linkresolver_set_strategy(p->links, archive_format(a));
	return 0;
}

int mounts_pack(int dirfd, struct image *img, const struct pack_ids *ids, struct err *err)
{
	cleanup_free char *chunk = malloc(CHUNK);
	struct pack p = { .ids = ids, .img = img, .chunk = chunk, .err = err, .path = BUF_INIT };
	struct stat st;
	int r;

	p.out = archive_write_new();
	p.links = archive_entry_linkresolver_new();
	if (!chunk || !p.out || !p.links || buf_printf(&p.path, ".") < 0) {
		r = err_nomem(err);
	} else if (fstat(dirfd, &st) < 0) {
		r = fail_sys(&p, -errno);
	} else {
		p.dev = st.st_dev;
		r = open_archive(&p);
		if (r == 0)
			r = pack_one(&p, dirfd, ".");
		if (r == 0 && archive_write_close(p.out))
			r = fail_archive(&p);
	}
	archive_entry_linkresolver_free(p.links);
	archive_write_free(p.out);
	buf_done(&p.path);
	return r;
}
