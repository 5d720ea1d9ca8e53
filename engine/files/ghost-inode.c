/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore: contents and attributes of ghosts. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/restore.h"
#include "engine/files/ghost-tables.h"
#include "proto/files.pb-c.h"

static int fill_chunks(struct restore_ghost *g, int fd, struct err *err)
{
	const GhostFileEntry *e = g->entry;
	const void *data;
	int r;

	while (image_left(g->reader)) {
		cleanup_msg GhostChunkEntry *c = NULL;

		r = image_next(g->reader, &ghost_chunk_entry__descriptor, &c, err);
		if (r > 0)
			r = image_next_raw(g->reader, c->len, &data, err);
		if (r < 0)
			return r;
		if (c->off > INT64_MAX - c->len || (e->has_size && c->off + c->len > e->size))
			return err_image(err, "image '%s': contents behind the end",
					 image_name(g->reader));
		if (pwrite(fd, data, c->len, (off_t)c->off) != (ssize_t)c->len)
			return err_sys(err, errno ? -errno : -EIO, "writing contents");
	}
	return 0;
}

int ghost_fill(struct restore_ghost *g, int fd, struct err *err)
{
	const void *data;
	size_t len;
	int r;

	if (g->entry->has_size && ftruncate(fd, (off_t)g->entry->size) < 0)
		return err_sys(err, -errno, "setting the size");
	if (g->entry->has_chunks && g->entry->chunks)
		return fill_chunks(g, fd, err);
	len = image_left(g->reader);
	r = image_next_raw(g->reader, len, &data, err);
	if (r == 0 && (r = io_write_all(fd, data, len)) < 0)
		err_sys(err, r, "writing contents");
	return r;
}

int ghost_dress(const GhostFileEntry *e, int dir, const char *leaf, struct err *err)
{
	int how = AT_SYMLINK_NOFOLLOW | (leaf[0] ? 0 : AT_EMPTY_PATH), n = 0;

	if (fchownat(dir, leaf, e->uid, e->gid, how) < 0)
		return err_sys(err, -errno, "setting the owner");
	/* after the owner: a change of it takes the set-user-id bit away */
	if (!leaf[0])
		n = fchmod(dir, e->mode & 07777);
	else if (!S_ISLNK(e->mode))
		n = fchmodat(dir, leaf, e->mode & 07777, 0);
	if (n < 0)
		return err_sys(err, -errno, "setting the mode");
	if (e->atim && e->mtim) {
		struct timespec ts[2] = {
			{ (time_t)e->atim->tv_sec, (long)e->atim->tv_usec * 1000 },
			{ (time_t)e->mtim->tv_sec, (long)e->mtim->tv_usec * 1000 },
		};

		n = leaf[0] ? utimensat(dir, leaf, ts, AT_SYMLINK_NOFOLLOW) : futimens(dir, ts);
		if (n < 0)
			return err_sys(err, -errno, "setting the times");
	}
	return 0;
}
