/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The folder in which a runtime keeps the state of one container. */
#include "runtime/statedir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

#define MAX_DEPTH 4

bool statedir_exists(const struct find_result *at)
{
	return faccessat(AT_FDCWD, at->dir, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int write_file(int dir, const char *name, const struct buf *data, mode_t mode,
		      struct err *err)
{
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int r = fd < 0 ? -errno : io_write_all(fd, data->data, data->len);

	return r < 0 ? err_sys(err, r, "writing '%s' of the container's state", name) : 0;
}

static int write_files(int dir, const struct oci_state *state, const struct oci_spec *spec,
		       const struct buf *config, const struct saved *saved, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r;

	if (state->runtime == OCI_RUNC) {
		r = oci_state_write_runc(state, spec, "state.json", saved->state.data ?: "",
					 saved->state.len, &text, err);
		return r == 0 ? write_file(dir, "state.json", &text, 0600, err) : r;
	}
	r = oci_state_write_crun(state, &text, err);
	if (r == 0)
		r = write_file(dir, "config.json", config, 0700, err);
	if (r == 0 && saved->seccomp.len)
		r = write_file(dir, "seccomp.bpf", &saved->seccomp, 0600, err);
	return r == 0 ? write_file(dir, "status", &text, 0700, err) : r;
}

static int remove_tree(int parent, const char *name, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (e = readdir(dir))) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
		else if (S_ISDIR(st.st_mode))
			r = depth < MAX_DEPTH ? remove_tree(fd, e->d_name, depth + 1) : -ELOOP;
		else if (unlinkat(fd, e->d_name, 0) < 0)
			r = -errno;
	}
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int statedir_remove(const char *dir, struct err *err)
{
	int r = remove_tree(AT_FDCWD, dir, 0);

	return r < 0 ? err_sys(err, r, "removing the container's state '%s'", dir) : 0;
}

int statedir_write(const struct find_result *at, const struct oci_state *state,
		   const struct oci_spec *spec, const struct buf *config, const struct saved *saved,
		   struct err *err)
{
	struct err later = ERR_INIT;
	cleanup_fd int dir = -EBADF;
	char temp[PATH_MAX + 32];
	int r;

	snprintf(temp, sizeof(temp), "%s/.crun-criu-%d", at->root, getpid());
	if (mkdir(at->root, 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "making the folder '%s'", at->root);
	if (mkdir(temp, state->runtime == OCI_RUNC ? 0711 : 0700) < 0)
		return err_sys(err, -errno, "making the folder '%s'", temp);
	dir = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		r = err_sys(err, -errno, "opening the folder '%s'", temp);
	else
		r = write_files(dir, state, spec, config, saved, err);
	if (r == 0 && renameat2(AT_FDCWD, temp, AT_FDCWD, at->dir, RENAME_NOREPLACE) < 0)
		r = err_sys(err, -errno, "making the container's state '%s'", at->dir);
	if (r < 0 && statedir_remove(temp, &later) < 0)
		err_hint(err, "remove the folder '%s'", temp);
	return r;
}
