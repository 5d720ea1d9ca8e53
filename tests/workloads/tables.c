/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables that processes share: of descriptors (CLONE_FILES), of directories (CLONE_FS). */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { NOBODY = -1, PROBE_FD = 77 };

/* Who is whose child, and which group of each kind it is in: by the number of the first in it. */
static const struct sharer {
	const char *name;
	int forker;
	unsigned long flags;
	int files, dirs;
	bool crossing; /* only with crossing=1 */
} sharers[] = {
	{ "first", NOBODY, 0, 0, 0 },
	{ "shares descriptors", 0, CLONE_FILES, 0, 1 },
	{ "shares directories", 0, CLONE_FS, 2, 0 },
	{ "shares nothing", 0, 0, 3, 3 },
	{ "its child", 3, 0, 4, 4 },
	{ "sibling that shares both", 4, CLONE_FILES | CLONE_FS | CLONE_PARENT, 4, 4 },
	{ "grandchild that shares descriptors", 5, CLONE_FILES, 4, 6 },
	{ "crossing", 3, CLONE_FILES | CLONE_PARENT, 3, 7, true },
};

enum { N_SHARERS = ARRAY_SIZE(sharers) };

static struct {
	struct station *stations;
	struct shared_state {
		_Atomic uint32_t ready;
		pid_t pid;
		int op;
	} * shared;
} t;

static bool is_there(size_t i)
{
	if (sharers[i].crossing)
		return param("crossing", 0);
	/* CRIU hands descriptors on, from parents to children, and no directories */
	return strict() || (sharers[i].forker < 3 && !(sharers[i].flags & CLONE_FS));
}

/* What the first in a group does, and the others must see. */
enum { OP_NONE, OP_OPEN, OP_CLOSE, OP_MOVE, OP_BACK };

static int do_op(void *arg)
{
	const struct shared_state *s = arg;
	int fd;

	switch (s->op) {
	case OP_OPEN:
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || dup3(fd, PROBE_FD, O_CLOEXEC) < 0)
			return fail_errno("opening fd %d", PROBE_FD);
		close(fd);
		return WL_OK;
	case OP_CLOSE:
		return close(PROBE_FD) == 0 ? WL_OK : fail_errno("closing fd %d", PROBE_FD);
	case OP_MOVE:
		umask(0111);
		return chdir("/proc") == 0 ? WL_OK : fail_errno("chdir");
	case OP_BACK:
		umask(0022);
		return chdir(path_in("")) == 0 ? WL_OK : fail_errno("chdir");
	}
	return WL_OK;
}

static void start_sharers_of(int forker);

static void sharer_run(void *arg)
{
	size_t i = (size_t)((struct shared_state *)arg - t.shared);

	t.shared[i].pid = getpid();
	start_sharers_of((int)i);
	t.shared[i].ready = 1;
	futex_wake(&t.shared[i].ready);
	station_serve(&t.stations[i], do_op, arg);
}

static void start_sharers_of(int forker)
{
	for (size_t i = 1; i < N_SHARERS; i++)
		if (sharers[i].forker == forker && is_there(i) &&
		    child_clone(sharers[i].flags, sharer_run, &t.shared[i]) > 0)
			while (!t.shared[i].ready)
				futex_wait(&t.shared[i].ready, 0);
}

static int compare_pair(size_t i, size_t k)
{
	static const struct {
		int type;
		const char *what;
	} types[] = { { KCMP_FILES, "descriptors" }, { KCMP_FS, "directories" } };

	for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
		long r = syscall(SYS_kcmp, t.shared[i].pid, t.shared[k].pid, types[n].type, 0, 0);
		bool want = n ? sharers[i].dirs == sharers[k].dirs
			      : sharers[i].files == sharers[k].files;

		if (r < 0)
			return fail_errno("kcmp");
		if ((r == 0) != want)
			return fail("'%s' and '%s' %s a table of %s", sharers[i].name,
				    sharers[k].name, r ? "do not share" : "share", types[n].what);
	}
	return WL_OK;
}

static int tell(size_t i, int op)
{
	t.shared[i].op = op;
	return station_ask(&t.stations[i], sharers[i].name);
}

/* The table that one has changed is changed for the first as well, or is not. */
static int see_changes(size_t i)
{
	char cwd[64], text[64] = "";
	bool files, dirs;
	int r = tell(i, OP_OPEN);

	if (r == WL_OK)
		r = tell(i, OP_MOVE);
	if (r != WL_OK)
		return r;
	files = fcntl(PROBE_FD, F_GETFD) >= 0;
	if (readlink("/proc/self/cwd", text, sizeof(text) - 1) < 0)
		return fail_errno("reading the working directory");
	snprintf(cwd, sizeof(cwd), "%s", "/proc");
	dirs = strcmp(text, cwd) == 0;
	r = tell(i, OP_CLOSE);
	if (r == WL_OK)
		r = tell(i, OP_BACK);
	if (r == WL_OK && files != (sharers[i].files == sharers[0].files))
		return fail("what '%s' opens is %s", sharers[i].name, files ? "seen" : "not seen");
	if (r == WL_OK && dirs != (sharers[i].dirs == sharers[0].dirs))
		return fail("where '%s' goes is %s", sharers[i].name, dirs ? "seen" : "not seen");
	return r;
}

static int tables_setup(void)
{
	t.stations = stations_new(N_SHARERS +
				  sizeof(*t.shared) * N_SHARERS / sizeof(struct station) + 1);
	if (!t.stations)
		return fail_errno("mmap");
	t.shared = (struct shared_state *)(t.stations + N_SHARERS);
	t.shared[0].pid = getpid();
	umask(0022);
	if (chdir(path_in("")) < 0)
		return fail_errno("chdir");
	start_sharers_of(0);
	return WL_OK;
}

static int tables_verify(void)
{
	for (size_t i = 0; i < N_SHARERS; i++)
		for (size_t k = 0; k < i && is_there(i); k++)
			if (is_there(k) && compare_pair(i, k) != WL_OK)
				return WL_FAIL;
	for (size_t i = 1; i < N_SHARERS; i++)
		if (is_there(i) && see_changes(i) != WL_OK)
			return WL_FAIL;
	return WL_OK;
}

/* ---- thread-table: threads that have left the tables of their process ---- */

/* A number that is another file in the process and in the thread. */
enum { OWN_FD = 92 };

/* One has its own descriptors, one its own directories, one both. */
static struct loner {
	int flags;
	mode_t mask;
	const char *dir;
	struct station *station;
	int set, counter; /* an epoll set with an event counter, in the thread alone */
} loners[] = {
	{ CLONE_FILES, 0, NULL, NULL, -1, -1 },
	{ CLONE_FS, 0123, "loner-1", NULL, -1, -1 },
	{ CLONE_FILES | CLONE_FS, 0321, "loner-2", NULL, -1, -1 },
};

/* Both are in the C library's hands otherwise. */
static mode_t current_mask(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return mask;
}

static bool is_in(const char *dir)
{
	struct stat here, there;

	return stat(".", &here) == 0 && stat(dir, &there) == 0 && here.st_ino == there.st_ino &&
	       here.st_dev == there.st_dev;
}

static int check_number(const char *text, int want_flags)
{
	char found[16] = "";
	int flags = fcntl(OWN_FD, F_GETFD);

	if (pread(OWN_FD, found, sizeof(found) - 1, 0) < 0 || strcmp(found, text) != 0)
		return fail("fd %d is '%s', and not '%s'", OWN_FD, found, text);
	if (lseek(OWN_FD, 0, SEEK_CUR) != (off_t)strlen(text) || flags != want_flags)
		return fail("fd %d is at %ld, with flags %d", OWN_FD,
			    (long)lseek(OWN_FD, 0, SEEK_CUR), flags);
	return WL_OK;
}

static int loner_check(void *arg)
{
	struct loner *l = arg;
	struct epoll_event ev = { 0 };
	eventfd_t value = 0;

	if (l->flags & CLONE_FS && (!is_in(path_in(l->dir)) || current_mask() != l->mask))
		return fail("the directory or the mask (0%o) is another one", current_mask());
	if (!(l->flags & CLONE_FILES))
		return check_number("process", 0);
	if (fcntl(PROBE_FD, F_GETFD) >= 0)
		return fail("the thread sees the process's fd");
	if (check_number("thread", FD_CLOEXEC) != WL_OK)
		return WL_FAIL;
	if (epoll_wait(l->set, &ev, 1, 0) != 0 || eventfd_write(l->counter, 3) < 0 ||
	    epoll_wait(l->set, &ev, 1, 0) != 1 || ev.data.u32 != 0x10e5 ||
	    eventfd_read(l->counter, &value) < 0 || value != 3)
		return fail("the set or the counter of the thread is not what it was");
	return WL_OK;
}

static int open_number(const char *name, const char *text, int flags)
{
	int fd = file_make(name, O_RDWR, 0, 0);

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || dup3(fd, OWN_FD, flags) < 0)
		return fail_errno("'%s'", name);
	close(fd);
	return WL_OK;
}

static void *bystander(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static int loner_begin(struct loner *l)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = 0x10e5 };
	pthread_t thread;

	if (unshare(l->flags) < 0)
		return fail_errno("unshare");
	if (l->flags & CLONE_FS) {
		umask(l->mask);
		if ((mkdir(path_in(l->dir), 0700) < 0 && errno != EEXIST) ||
		    chdir(path_in(l->dir)) < 0)
			return fail_errno("'%s'", l->dir);
	}
	if (!(l->flags & CLONE_FILES))
		return WL_OK;
	l->set = epoll_create1(EPOLL_CLOEXEC);
	l->counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (epoll_ctl(l->set, EPOLL_CTL_ADD, l->counter, &ev) < 0)
		return fail_errno("epoll");
	if (open_number(l->flags & CLONE_FS ? "thread-2" : "thread-0", "thread", O_CLOEXEC) !=
	    WL_OK)
		return WL_FAIL;
	/* what cannot be kept */
	if (param("shared", 0) && pthread_create(&thread, NULL, bystander, NULL))
		return fail("pthread_create");
	return param("lock", 0) && flock(OWN_FD, LOCK_EX) < 0 ? fail_errno("flock") : WL_OK;
}

static void *loner_run(void *arg)
{
	struct loner *l = arg;

	if (loner_begin(l) == WL_OK)
		station_serve(l->station, loner_check, l);
	for (;;)
		station_answer(l->station, station_wait(l->station), WL_FAIL);
}

static int loner_verify(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), r = WL_OK;

	if (fd < 0 || dup3(fd, PROBE_FD, O_CLOEXEC) < 0)
		return fail_errno("opening fd %d", PROBE_FD);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(loners) && r == WL_OK; i++)
		r = station_ask(loners[i].station, "thread");
	close(PROBE_FD);
	if (r == WL_OK && (is_in(path_in("loner-1")) || current_mask() == 0123))
		return fail("the process has the directory of a thread");
	return r == WL_OK ? check_number("process", 0) : r;
}

static int loner_setup(void)
{
	struct station *s = stations_new(ARRAY_SIZE(loners));
	pthread_t thread;

	if (!s || open_number("process", "process", 0) != WL_OK)
		return WL_FAIL;
	for (size_t i = 0; i < ARRAY_SIZE(loners); i++) {
		loners[i].station = &s[i];
		if (pthread_create(&thread, NULL, loner_run, &loners[i]))
			return fail_errno("pthread_create");
		if (station_ask(&s[i], "thread") != WL_OK)
			return WL_FAIL;
	}
	return loner_verify();
}

static struct workload_param loner_params[] = {
	{ "shared", 0, "1: another thread has the table of the thread" },
	{ "lock", 0, "1: a file lock is held through it" },
	{ 0 },
};

static struct workload_param tables_params[] = {
	{ "crossing", 0, "1: and two groups whose ways through the tree cross" },
	STRICT_PARAM,
	{ 0 }
};

const struct workload table_workloads[] = {
	{ "shared-tables", "processes that share descriptors, directories, both or nothing",
	  tables_params, tables_setup, tables_verify },
	{ "thread-table", "threads with descriptors and directories of their own", loner_params,
	  loner_setup, loner_verify },
	{ 0 },
};
