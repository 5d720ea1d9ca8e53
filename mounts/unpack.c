// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Unpacks a tar into an empty tmpfs. The archive is hostile: names with "..", absolute names and
 * names through symbolic links are errors, and the target is a mount that holds nothing else.
 */
#include "mounts/mounts-priv.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { BLOCK = 1 << 17 };

struct acl {
	char *path, *name;
	void *value;
	size_t len;
};

struct unpack {
	struct archive *in, *out;
	VEC(struct acl) acls;
	struct timespec root_mtime;
	bool has_root;
	struct err *err;
};

static int fail(struct unpack *u, struct archive *a, const char *path)
{
	int code = archive_errno(a);

	return err_new(u->err, ERR_IMAGE, code > 0 ? -code : -EBADMSG, "unpacking '%s': %s", path,
		       archive_error_string(a) ? archive_error_string(a) : "not a valid archive");
}

/*
 * libarchive writes every extended attribute but the two that hold POSIX ACLs, which it leaves to
 * its own ACL code. Ours are raw, so they are set at the end, when no chmod(2) follows that would
 * change them.
 */
static int keep_acls(struct unpack *u, struct archive_entry *e)
{
	const char *name;
	const void *value;
	size_t len;

	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &len) == ARCHIVE_OK) {
		struct acl *acl;

		if (strcmp(name, "system.posix_acl_access") &&
		    strcmp(name, "system.posix_acl_default"))
			continue;
		acl = vec_add(&u->acls);
		if (!acl)
			return err_nomem(u->err);
		acl->path = strdup(archive_entry_pathname(e));
		acl->name = strdup(name);
		acl->value = malloc(len + 1);
		acl->len = len;
		if (!acl->path || !acl->name || !acl->value)
			return err_nomem(u->err);
		memcpy(acl->value, value, len);
	}
	return 0;
}

static int set_acls(struct unpack *u)
{
	struct acl *a;

	vec_foreach (a, &u->acls)
		if (lsetxattr(a->path, a->name, a->value, a->len, 0) < 0)
			return err_sys(u->err, -errno, "setting the access list of '%s'", a->path);
	return 0;
}

/* libarchive gives "." its mode and owner, but not its times. */
static int set_root_time(struct unpack *u)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, u->root_mtime };

	if (u->has_root && utimensat(AT_FDCWD, ".", times, 0) < 0)
		return err_sys(u->err, -errno, "setting the time of the root directory");
	return 0;
}

static int unpack_one(struct unpack *u, struct archive_entry *e)
{
	const char *path = archive_entry_pathname(e);

	if (!path)
		return err_image(u->err, "an entry without a name");
	if (keep_acls(u, e) < 0)
		return -ENOMEM;
	if (!strcmp(path, ".") || !strcmp(path, "./")) {
		u->root_mtime.tv_sec = archive_entry_mtime(e);
		u->root_mtime.tv_nsec = archive_entry_mtime_nsec(e);
		u->has_root = archive_entry_mtime_is_set(e);
	}
	if (archive_read_extract2(u->in, e, u->out) < ARCHIVE_OK)
		return fail(u, archive_errno(u->out) ? u->out : u->in, path);
	return 0;
}

static int unpack_all(struct unpack *u, int archive_fd)
{
	struct archive_entry *e;
	int r;

	if (archive_read_support_filter_gzip(u->in) || archive_read_support_format_tar(u->in) ||
	    archive_read_open_fd(u->in, archive_fd, BLOCK))
		return fail(u, u->in, "archive");
	while ((r = archive_read_next_header(u->in, &e)) == ARCHIVE_OK) {
		r = unpack_one(u, e);
		if (r < 0)
			return r;
	}
	if (r != ARCHIVE_EOF)
		return fail(u, u->in, "archive");
	/* Directories get their modes and times here, after their files. */
	if (archive_write_close(u->out))
		return fail(u, u->out, "archive");
	r = set_acls(u);
	return r < 0 ? r : set_root_time(u);
}

int mounts_unpack(int archive_fd, int dirfd, struct err *err)
{
	cleanup_fd int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct unpack u = { .in = archive_read_new(), .out = archive_write_disk_new(), .err = err };
	mode_t mask = umask(0);
	struct acl *a;
	int r = 0;

	if (!u.in || !u.out)
		r = err_nomem(err);
	else if (cwd < 0 || fchdir(dirfd) < 0 || lseek(archive_fd, 0, SEEK_SET) < 0)
		r = err_sys(err, -errno, "changing to the mount");
	else if (archive_write_disk_set_options(
			 u.out, ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM |
					ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_XATTR |
					ARCHIVE_EXTRACT_ACL | ARCHIVE_EXTRACT_SPARSE |
					ARCHIVE_EXTRACT_SECURE_SYMLINKS |
					ARCHIVE_EXTRACT_SECURE_NODOTDOT |
					ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS))
		r = fail(&u, u.out, "archive");
	else
		r = unpack_all(&u, archive_fd);
	if (cwd >= 0 && fchdir(cwd) < 0 && r == 0)
		r = err_sys(err, -errno, "changing back");
	umask(mask);
	archive_read_free(u.in);
	archive_write_free(u.out);
	vec_foreach (a, &u.acls) {
		free(a->path);
		free(a->name);
		free(a->value);
	}
	vec_free(&u.acls);
	return r;
}
