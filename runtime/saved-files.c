/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard streams that are files of the host. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext-fdinfo.h"
#include "runtime/hostview.h"
#include "runtime/saved.h"

static bool is_inside(const struct hv_mounts *mounts, int mnt_id)
{
	const struct hv_mount *m;

	vec_foreach (m, mounts)
		if (m->id == mnt_id)
			return true;
	return false;
}

/* 1: it is a file of the host. 0: it is not, or it is closed. */
static int look(struct arena *a, int proc, int fd, const struct hv_mounts *inside,
		struct saved_file *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *link = NULL;
	struct proc_fdinfo info;
	char name[24];
	struct stat st;
	int r;

	snprintf(name, sizeof(name), "fd/%d", fd);
	if (fstatat(proc, name, &st, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	r = io_readlink(proc, name, &link);
	if (r < 0 || !S_ISREG(st.st_mode) || link[0] != '/')
		return r < 0 && r != -ENOENT ? r : 0;
	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	r = io_read_file(proc, name, &text);
	if (r == 0)
		r = proc_fdinfo_parse(text.data ?: "", text.len, &info);
	if (r < 0 || is_inside(inside, info.mnt_id))
		return r;
	/* the engine's name for it */
	ret->key = arena_printf(a, "file[%x:%lx]", (unsigned int)info.mnt_id,
				(unsigned long)st.st_ino);
	ret->path = arena_strdup(a, link);
	ret->flags = (int)(info.flags &
			   (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DIRECT | O_LARGEFILE));
	ret->pos = info.pos;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->fd = fd;
	return ret->key && ret->path ? 1 : -ENOMEM;
}

static bool known(const struct saved_files *files, const char *key)
{
	const struct saved_file *f;

	vec_foreach (f, files)
		if (strcmp(f->key, key) == 0)
			return true;
	return false;
}

int saved_find_files(struct arena *a, pid_t pid, struct saved_files *ret, struct err *err)
{
	cleanup_fd int proc = io_open_proc(pid);
	cleanup_buf struct buf text = BUF_INIT;
	struct hv_mounts inside = { 0 };
	int r = proc < 0 ? proc : io_read_file(proc, "mountinfo", &text);

	if (r == 0)
		r = hv_mounts_parse(a, text.data ?: (char[]){ "" }, &inside);
	for (int fd = 0; r == 0 && fd < 3; fd++) {
		struct saved_file file = { 0 }, *it;

		r = look(a, proc, fd, &inside, &file);
		if (r <= 0 || known(ret, file.key)) {
			r = r < 0 ? r : 0;
			continue;
		}
		it = vec_add(ret);
		r = it ? 0 : -ENOMEM;
		if (it)
			*it = file;
	}
	vec_free(&inside);
	return r < 0 ? err_sys(err, r, "looking at the standard streams of process %d", pid) : 0;
}
