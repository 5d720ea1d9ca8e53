// SPDX-License-Identifier: LGPL-2.1-or-later
/* Rebuild: mounting a file system anew, with fsopen(2) so that the kernel says what it dislikes. */
#include "mounts/mounts-priv.h"

#include <fcntl.h>
#include <string.h>

/* The kernel's last words on a file system context ("e tmpfs: Bad value for 'size'"). */
static void kernel_message(int fsfd, char *text, size_t size)
{
	ssize_t n;

	text[0] = '\0';
	while ((n = read(fsfd, text, size - 1)) > 0)
		text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int fail(int fsfd, const struct mount *m, int r, const char *what, struct err *err)
{
	char text[256];

	kernel_message(fsfd, text, sizeof(text));
	return err_sys(err, r, "mount '%s' (%s): %s%s%s", m->path, m->fstype, what,
		       *text ? ": " : "", strlen(text) > 2 ? text + 2 : "");
}

/*
 * Words that the kernel shows but does not take (seclabel), that mean nothing any more
 * (newinstance), or that are the host's to say (release_agent).
 */
static bool is_shown_only(const char *key)
{
	return !strcmp(key, "seclabel") || !strcmp(key, "newinstance") ||
	       !strcmp(key, "release_agent");
}

/*
 * The kernel shows owner ids as the initial user namespace has them, and takes them as the caller's
 * namespace has them.
 */
static int translate_id(const char *key, struct buf *val, const struct pack_ids *ids)
{
	const struct idmap *map = !strcmp(key, "uid")	? &ids->uids
				  : !strcmp(key, "gid") ? &ids->gids
							: NULL;
	unsigned long id;
	char *end;

	if (!map || !map->ranges.n || !val->len)
		return 0;
	id = strtoul(val->data, &end, 10);
	if (*end)
		return 0;
	buf_done(val);
	return buf_printf(val, "%u", idmap_to_inside(map, (uint32_t)id));
}

static int set_options(int fsfd, const struct mount *m, const struct pack_ids *ids, struct err *err)
{
	cleanup_buf struct buf key = BUF_INIT, val = BUF_INIT;
	const char *pos = m->options;
	bool has_val = false;
	int r;

	while ((r = options_next(&pos, &key, &val, &has_val)) > 0) {
		if (is_shown_only(key.data))
			continue;
		if (translate_id(key.data, &val, ids) < 0)
			return err_nomem(err);
		if (has_val)
			r = fsconfig(fsfd, FSCONFIG_SET_STRING, key.data, val.data, 0);
		else
			r = fsconfig(fsfd, FSCONFIG_SET_FLAG, key.data, NULL, 0);
		if (r < 0) {
			r = -errno;
			fail(fsfd, m, r, "setting its options", err);
			return err_wrap(err, r, "option '%s'", key.data);
		}
	}
	return r < 0 ? err_nomem(err) : 0;
}

static int set_sb_flags(int fsfd, unsigned int flags)
{
	if (flags & MS_RDONLY && fsconfig(fsfd, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -errno;
	if (flags & MS_SYNCHRONOUS && fsconfig(fsfd, FSCONFIG_SET_FLAG, "sync", NULL, 0) < 0)
		return -errno;
	if (flags & MS_DIRSYNC && fsconfig(fsfd, FSCONFIG_SET_FLAG, "dirsync", NULL, 0) < 0)
		return -errno;
	return 0;
}

static int configure(int fsfd, const struct mount *m, unsigned int sb_flags,
		     const struct pack_ids *ids, struct err *err)
{
	const char *source = m->ext_path ? m->ext_path : m->source;
	int r;

	if (*source && fsconfig(fsfd, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return fail(fsfd, m, -errno, "setting its source", err);
	r = set_options(fsfd, m, ids, err);
	if (r < 0)
		return r;
	r = set_sb_flags(fsfd, sb_flags);
	if (r < 0)
		return fail(fsfd, m, r, "setting its flags", err);
	if (fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail(fsfd, m, -errno, "mounting it", err);
	return 0;
}

/* Read-only for all of the superblock can only come after its files. */
static int fill(int fsfd, const struct mount *m, struct err *err)
{
	int r = mounts_unpack(m->archive_fd, m->fd, err);

	if (r < 0)
		return err_wrap(err, r, "content of mount '%s'", m->path);
	if (!(m->sb_flags & MS_RDONLY))
		return 0;
	if (fsconfig(fsfd, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    fsconfig(fsfd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return fail(fsfd, m, -errno, "making it read-only", err);
	return 0;
}

/* The same for the mount itself: flags that would keep its files from being written. */
static int set_readonly(const struct mount *m)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (!(m->flags & MS_RDONLY))
		return 0;
	return mount_setattr(m->fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int mount_make_new(struct mount *m, const struct pack_ids *ids, struct err *err)
{
	cleanup_fd int fsfd = fsopen(m->fstype, FSOPEN_CLOEXEC);
	bool content = m->kind->traits & KIND_CONTENT;
	unsigned int late = content ? MS_RDONLY : 0;
	int r;

	if (fsfd < 0)
		return err_sys(err, -errno, "mount '%s': file system type %s", m->path, m->fstype);
	r = configure(fsfd, m, m->sb_flags & ~late, ids, err);
	if (r < 0)
		return r;
	m->fd = fsmount(fsfd, FSMOUNT_CLOEXEC, (unsigned int)options_attrs(m->flags & ~late));
	if (m->fd < 0)
		return fail(fsfd, m, -errno, "making the mount", err);
	if (!content)
		return 0;
	r = fill(fsfd, m, err);
	if (r < 0)
		return r;
	r = set_readonly(m);
	return r < 0 ? err_sys(err, r, "mount '%s': making it read-only", m->path) : 0;
}
