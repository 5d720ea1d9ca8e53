/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/tracee/guardian.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "engine/base/proctext.h"
#include "engine/tracee/tracee-priv.h"

enum {
	NOTES_MAX = 16384,
	KILLS_MAX = 65536,
	WRITES_MAX = 8,
	DIRS_MAX = 256,
	FILES_MAX = 256,
	LIMITS_MAX = 4096,
	TRIES = 5000
};

struct scratch_note {
	pid_t pid;
	uint64_t start, addr, len;
};

struct limit_note {
	pid_t pid;
	uint64_t start;
	int which;
	struct rlimit old;
};

/* Written by the engine, read by the guardian after the engine's death; counts are written last. */
struct guardian_shared {
	uint32_t n_scratch, n_writes, n_dirs, n_files, n_kills, n_limits, committed;
	struct {
		char path[512], text[32];
		bool last;
	} writes[WRITES_MAX];
	struct {
		int fd;
		char path[512];
	} dirs[DIRS_MAX];
	pid_t kills[KILLS_MAX];
	struct {
		dev_t dev;
		ino_t ino;
		int done_dir;
		char path[512], done[32];
	} files[FILES_MAX];
	struct limit_note limits[LIMITS_MAX];
	struct scratch_note scratch[NOTES_MAX];
};

struct guardian {
	struct guardian_shared *shared;
	pid_t pid;
	int pipe; /* our end: closing it without a word means that we died */
};

pid_t guardian_pid(const struct guardian *g)
{
	return g->pid;
}

void guardian_note_scratch(struct guardian *g, pid_t pid, uint64_t start, uint64_t addr,
			   uint64_t len)
{
	uint32_t n = g->shared->n_scratch;

	if (n == NOTES_MAX)
		return;
	g->shared->scratch[n] = (struct scratch_note){ pid, start, addr, len };
	__atomic_store_n(&g->shared->n_scratch, n + 1, __ATOMIC_RELEASE);
}

void guardian_note_write(struct guardian *g, const char *path, const char *text, bool last)
{
	uint32_t n = g->shared->n_writes;

	if (n == WRITES_MAX)
		return;
	snprintf(g->shared->writes[n].path, sizeof(g->shared->writes[n].path), "%s", path);
	snprintf(g->shared->writes[n].text, sizeof(g->shared->writes[n].text), "%s", text);
	g->shared->writes[n].last = last;
	__atomic_store_n(&g->shared->n_writes, n + 1, __ATOMIC_RELEASE);
}

void guardian_note_dir(struct guardian *g, int fd, const char *path)
{
	uint32_t n = g->shared->n_dirs;

	if (n == DIRS_MAX || strlen(path) >= sizeof(g->shared->dirs[n].path))
		return;
	g->shared->dirs[n].fd = fd;
	snprintf(g->shared->dirs[n].path, sizeof(g->shared->dirs[n].path), "%s", path);
	__atomic_store_n(&g->shared->n_dirs, n + 1, __ATOMIC_RELEASE);
}

void guardian_note_kill(struct guardian *g, pid_t pid)
{
	uint32_t n = g->shared->n_kills;

	if (n == KILLS_MAX)
		return;
	g->shared->kills[n] = pid;
	__atomic_store_n(&g->shared->n_kills, n + 1, __ATOMIC_RELEASE);
}

void guardian_commit(struct guardian *g)
{
	__atomic_store_n(&g->shared->committed, 1, __ATOMIC_RELEASE);
}

void guardian_note_file(struct guardian *g, const char *path, const struct stat *st, int done_dir,
			const char *done)
{
	uint32_t n = g->shared->n_files;

	if (n == FILES_MAX || strlen(path) >= sizeof(g->shared->files[n].path))
		return;
	g->shared->files[n].dev = st->st_dev;
	g->shared->files[n].ino = st->st_ino;
	g->shared->files[n].done_dir = done_dir;
	snprintf(g->shared->files[n].path, sizeof(g->shared->files[n].path), "%s", path);
	snprintf(g->shared->files[n].done, sizeof(g->shared->files[n].done), "%s", done);
	__atomic_store_n(&g->shared->n_files, n + 1, __ATOMIC_RELEASE);
}

static bool still_same(pid_t pid, uint64_t start)
{
	struct proc_stat st;

	return proc_stat_read(pid, &st) == 0 && st.starttime == start;
}

int guardian_note_limit(struct guardian *g, pid_t pid, uint64_t start, int which,
			const struct rlimit *old)
{
	uint32_t n = g->shared->n_limits;

	if (n == LIMITS_MAX)
		return -ENOSPC;
	g->shared->limits[n] = (struct limit_note){ pid, start, which, *old };
	__atomic_store_n(&g->shared->n_limits, n + 1, __ATOMIC_RELEASE);
	return 0;
}

static int limits_back(const struct guardian_shared *shared)
{
	const struct limit_note *l = shared->limits;
	uint32_t i;
	int r = 0;

	for (i = 0; i < shared->n_limits; i++, l++)
		if (still_same(l->pid, l->start) && prlimit(l->pid, l->which, &l->old, NULL) < 0)
			r = -errno;
	return r;
}

int guardian_limits_back(struct guardian *g, struct err *err)
{
	int r = limits_back(g->shared);

	__atomic_store_n(&g->shared->n_limits, 0, __ATOMIC_RELEASE);
	return r < 0 ? err_sys(err, r, "giving a task its resource limits back") : 0;
}

/* The area is there, and looks as we make it. */
static bool still_mapped(const struct scratch_note *n, struct proc_vmas *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[32];
	size_t i;

	snprintf(path, sizeof(path), "/proc/%d/maps", n->pid);
	if (io_read_file(AT_FDCWD, path, &b) < 0 || proc_vmas_parse(b.data, b.len, ret) < 0)
		return false;
	for (i = 0; i < ret->n; i++)
		if (ret->v[i].start == n->addr)
			return ret->v[i].end == n->addr + 4096 && !ret->v[i].ino &&
			       ret->v[i].prot == (PROT_READ | PROT_EXEC);
	return false;
}

struct stopped {
	VEC(struct tracee *) threads;
};

static void let_go(struct stopped *s)
{
	struct tracee **t;

	vec_foreach (t, &s->threads) {
		struct err err = ERR_INIT;

		if (tracee_release(*t, &err) < 0)
			continue;
		tracee_done(*t);
		free(*t);
	}
	vec_free(&s->threads);
}

static int stop_all(pid_t pid, struct stopped *s)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		struct tracee *t, **slot;
		struct err err = ERR_INIT;

		if (atoi(e->d_name) <= 0)
			continue;
		t = calloc(1, sizeof(*t));
		slot = t ? vec_add(&s->threads) : NULL;
		if (!slot)
			return -ENOMEM;
		*slot = t;
		t->tid = atoi(e->d_name);
		t->tgid = pid;
		if (tracee_seize(t, false, &err) < 0)
			return -EBUSY;
	}
	return s->threads.n ? 0 : -ESRCH;
}

/* The thread has not left what the engine has begun with it: a program in the area, or a borrowed
 * call. */
static bool is_inside(const struct tracee *t, const struct scratch_note *n)
{
	uint64_t ip = t->state == TRACEE_STOPPED ? arch_context_ip(t->ctx) : 0;

	return (ip >= n->addr && ip < n->addr + n->len) ||
	       (t->state == TRACEE_STOPPED && tracee_in_borrowed_call(t));
}

/*
 * 0 when there is no area any more, and no call under way that would still make one. Else the
 * threads have to run a little more.
 */
static int take_away(const struct scratch_note *n)
{
	struct scratch area = { .code = n->addr, .code_len = 4096, .data_len = n->len - 4096 };
	cleanup_proc_vmas struct proc_vmas vmas = { 0 };
	struct gadgets g;
	struct err err = ERR_INIT;
	struct stopped s = { 0 };
	struct tracee **t;
	int r = stop_all(n->pid, &s);

	vec_foreach (t, &s.threads)
		if (is_inside(*t, n))
			r = -EAGAIN;
	if (r == 0 && still_mapped(n, &vmas)) {
		r = gadgets_find(s.threads.v[0], &vmas, NULL, &g, &err);
		if (r == 0)
			r = scratch_unmap(
				&(struct scratch_job){ .t = s.threads.v[0], .g = &g, .ret = &area },
				1, &err);
	}
	let_go(&s);
	return r;
}

static void undo_scratch(const struct scratch_note *n)
{
	int i;

	for (i = 0; i < TRIES && still_same(n->pid, n->start); i++) {
		struct timespec pause = { 0, 2 * 1000 * 1000 };

		if (take_away(n) == 0)
			return;
		nanosleep(&pause, NULL);
	}
}

static void undo_writes(const struct guardian_shared *shared, bool last)
{
	uint32_t i;

	for (i = 0; i < shared->n_writes; i++)
		if (shared->writes[i].last == last)
			io_write_file(AT_FDCWD, shared->writes[i].path, shared->writes[i].text,
				      strlen(shared->writes[i].text));
}

/* Last made, first removed. A directory is busy until the last task in it is gone. */
static void undo_dirs(const struct guardian_shared *shared)
{
	uint32_t i;
	int tries = 1000;

	for (i = shared->n_dirs; i-- > 0;)
		while (unlinkat(shared->dirs[i].fd, shared->dirs[i].path, AT_REMOVEDIR) < 0 &&
		       errno == EBUSY && --tries > 0) {
			struct timespec pause = { 0, 2 * 1000 * 1000 };

			nanosleep(&pause, NULL);
		}
}

static void undo_files(const struct guardian_shared *shared)
{
	struct stat st;
	uint32_t i;

	for (i = 0; i < shared->n_files; i++)
		if (faccessat(shared->files[i].done_dir, shared->files[i].done, F_OK, 0) < 0 &&
		    lstat(shared->files[i].path, &st) == 0 && st.st_dev == shared->files[i].dev &&
		    st.st_ino == shared->files[i].ino)
			unlink(shared->files[i].path);
}

static void undo_all(void *arg)
{
	struct guardian_shared *shared = arg;
	uint32_t i;

	if (shared->committed)
		return;
	for (i = 0; i < shared->n_kills; i++)
		kill(shared->kills[i], SIGKILL);
	limits_back(shared);
	undo_writes(shared, false);
	for (i = 0; i < shared->n_scratch; i++)
		undo_scratch(&shared->scratch[i]);
	undo_writes(shared, true);
	undo_files(shared);
	undo_dirs(shared);
}

static _Noreturn void guard(int fd, void (*fn)(void *arg), void *arg)
{
	char word;

	prctl(PR_SET_NAME, "ckpt-guardian");
	setsid();
	while (read(fd, &word, 1) < 0 && errno == EINTR)
		;
	fn(arg);
	_exit(0);
}

int guardian_fork(struct guardian **ret, void (*fn)(void *arg), void *arg, struct err *err)
{
	struct guardian *g = calloc(1, sizeof(*g));
	int fds[2];

	if (!g)
		return err_nomem(err);
	if (pipe2(fds, O_CLOEXEC) < 0) {
		free(g);
		return err_sys(err, -errno, "starting a guardian");
	}
	g->pid = fork();
	if (g->pid == 0) {
		close(fds[1]);
		guard(fds[0], fn, arg);
	}
	close(fds[0]);
	g->pipe = fds[1];
	*ret = g;
	if (g->pid > 0)
		return 0;
	close(g->pipe);
	free(g);
	*ret = NULL;
	return err_sys(err, -errno, "starting a guardian");
}

int guardian_start(struct guardian **ret, struct err *err)
{
	struct guardian_shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int r;

	if (shared == MAP_FAILED)
		return err_sys(err, -errno, "starting the guardian");
	r = guardian_fork(ret, undo_all, shared, err);
	if (r == 0)
		(*ret)->shared = shared;
	else
		munmap(shared, sizeof(*shared));
	return r;
}

void guardian_stop(struct guardian *g)
{
	if (!g)
		return;
	kill(g->pid, SIGKILL);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(g->pipe);
	if (g->shared)
		munmap(g->shared, sizeof(*g->shared));
	free(g);
}
