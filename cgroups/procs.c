/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes and sub-directories of a group. */
#include "cgroups/cgroups-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext.h"

/* A made-up tree must not exhaust the stack or descriptors; the kernel allows any depth. */
#define DEPTH_MAX 64

static int compare_pids(const void *x, const void *y)
{
	pid_t a = *(const pid_t *)x, b = *(const pid_t *)y;

	return (a > b) - (a < b);
}

static void sort_unique(struct cgroup_pids *p)
{
	size_t n = 0;

	if (!p->pids.n)
		return;
	qsort(p->pids.v, p->pids.n, sizeof(*p->pids.v), compare_pids);
	for (size_t i = 0; i < p->pids.n; i++)
		if (!n || p->pids.v[n - 1] != p->pids.v[i])
			p->pids.v[n++] = p->pids.v[i];
	p->pids.n = n;
}

bool cgroup_pids_has(const struct cgroup_pids *p, pid_t pid)
{
	return p->pids.n && bsearch(&pid, p->pids.v, p->pids.n, sizeof(pid), compare_pids);
}

/* The process of a thread; a thread that has just ended is of no interest: 0. */
static int thread_group(pid_t tid, pid_t *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct proc_status status = { 0 };
	char path[48];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	r = io_read_file(AT_FDCWD, path, &text);
	if (r == -ENOENT || r == -ESRCH) {
		*ret = 0;
		return 0;
	}
	if (r >= 0)
		r = proc_status_parse(text.data, text.len, &status);
	if (r < 0)
		return r;
	*ret = status.tgid;
	proc_status_done(&status);
	return 0;
}

int cg_dir_pids(int dirfd, struct cgroup_pids *pids)
{
	cleanup_buf struct buf text = BUF_INIT;
	bool threads = false;
	char *p, *end;
	int r;

	r = io_read_file(dirfd, "cgroup.procs", &text);
	/* A threaded group of v2 says EOPNOTSUPP: its processes show in the domain above. */
	if (r == -EOPNOTSUPP) {
		threads = true;
		r = io_read_file(dirfd, "cgroup.threads", &text);
	}
	/* An empty directory that was removed meanwhile holds nobody. */
	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	for (p = text.data; p && *p; p = end) {
		long v = strtol(p, &end, 10);
		pid_t pid = (pid_t)v, *slot;

		if (end == p)
			break;
		if (threads && pid) {
			r = thread_group(pid, &pid);
			if (r < 0)
				return r;
			if (!pid)
				continue;
		}
		slot = vec_add(&pids->pids);
		if (!slot)
			return -ENOMEM;
		*slot = pid;
	}
	return 0;
}

static int compare_names(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

int cg_dir_children(int dirfd, struct arena *a, struct cg_names *ret)
{
	cleanup_dir DIR *d = NULL;
	struct dirent *e;
	int fd;

	/* A descriptor of its own: the position of a shared one would be shared too. */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while ((errno = 0, e = readdir(d))) {
		char **slot;

		if (e->d_type != DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		slot = vec_add(&ret->list);
		if (!slot)
			return -ENOMEM;
		*slot = arena_strdup(a, e->d_name);
		if (!*slot)
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	if (ret->list.n)
		qsort(ret->list.v, ret->list.n, sizeof(*ret->list.v), compare_names);
	return 0;
}

static int walk(int dirfd, int depth, struct cgroup_pids *pids)
{
	cleanup_arena struct arena a = { 0 };
	struct cg_names names = { 0 };
	int r = cg_dir_pids(dirfd, pids);

	if (r >= 0)
		r = depth ? cg_dir_children(dirfd, &a, &names) : -ELOOP;
	for (size_t i = 0; r >= 0 && i < names.list.n; i++) {
		cleanup_fd int fd = cg_open(dirfd, names.list.v[i]);

		if (fd == -ENOENT)
			continue;
		r = fd < 0 ? fd : walk(fd, depth - 1, pids);
	}
	vec_free(&names.list);
	return r;
}

int cg_tree_pids(int dirfd, struct cgroup_pids *pids)
{
	int r = walk(dirfd, DEPTH_MAX, pids);

	if (r < 0)
		return r;
	sort_unique(pids);
	/* The kernel shows processes outside of the reader's pid namespace as 0. */
	return pids->pids.n && !pids->pids.v[0] ? -EXDEV : 0;
}

bool cg_dir_is_machine_root(int dirfd)
{
	/* release_agent (v1) exists in the root only, cgroup.type (v2) everywhere but there. */
	if (!faccessat(dirfd, "release_agent", F_OK, 0))
		return true;
	return faccessat(dirfd, "cgroup.type", F_OK, 0) && faccessat(dirfd, "tasks", F_OK, 0);
}
