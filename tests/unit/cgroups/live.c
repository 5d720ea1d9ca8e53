/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cgroup module on real groups; run by hand, as root, best inside tests/lib/cgroup-jail:
 *
 *	live freeze DIR              freeze and thaw a new group below DIR
 *	live dump IMAGES PID [PATH]  write cgroup.img for PID and its descendants; PATH is a freezer
 *	live restore IMAGES MODE [CONTROLLERS:PATH...]
 *	                             rebuild, put a process into each set, show where it is, undo
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroups/cgroups.h"
#include "cgroups/freezer.h"
#include "cgroups/plan.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/image/image.h"

static void die(const struct err *err)
{
	fprintf(stderr, "live: %s\nhint: %s\n", err->text, err->hint);
	exit(1);
}

static void must(bool ok, const char *what)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
	fflush(stdout);
	if (!ok)
		exit(1);
}

/* ---- freeze ---- */

static pid_t spawn_counter(const char *procs, volatile unsigned long *counter)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (io_write_file(AT_FDCWD, procs, "0", 1) < 0)
		_exit(1);
	/* Forks all the time: the case that a single write of FROZEN may miss. */
	for (;;) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
		++*counter;
	}
}

static bool counts(volatile unsigned long *counter)
{
	unsigned long before = *counter;

	usleep(100000);
	return *counter != before;
}

static void freeze_round(const char *dir, volatile unsigned long *counter)
{
	cleanup_with(cleanup_freezerp) struct cgroup_freezer *f = NULL;
	struct cgroup_pids pids = { 0 };
	struct err err = ERR_INIT;
	char path[4200];

	snprintf(path, sizeof(path), "/%s", dir); /* a doubled slash, as LXC sends it */
	if (freezer_open(path, &f, &err) < 0)
		die(&err);
	must(!freezer_was_frozen(f), "not frozen before");
	must(counts(counter), "tasks run");
	if (freezer_freeze(f, 5000, &err) < 0)
		die(&err);
	must(!counts(counter), "frozen tasks stand");
	if (freezer_pids(f, &pids, &err) < 0)
		die(&err);
	must(pids.pids.n >= 3, "every process is listed");
	vec_free(&pids.pids);
	if (freezer_thaw(f, &err) < 0)
		die(&err);
	must(counts(counter), "thawed tasks run");
	if (freezer_freeze(f, 5000, &err) < 0 || freezer_restore(f, &err) < 0)
		die(&err);
	must(counts(counter), "the state before is back");
}

static void frozen_before_round(const char *dir, volatile unsigned long *counter)
{
	cleanup_with(cleanup_freezerp) struct cgroup_freezer *first = NULL, *f = NULL;
	struct err err = ERR_INIT;

	if (freezer_open(dir, &first, &err) < 0 || freezer_freeze(first, 5000, &err) < 0 ||
	    freezer_open(dir, &f, &err) < 0)
		die(&err);
	must(freezer_was_frozen(f), "frozen before is seen");
	if (freezer_thaw(f, &err) < 0)
		die(&err);
	must(counts(counter), "and can be thawed");
	if (freezer_restore(f, &err) < 0)
		die(&err);
	usleep(100000);
	must(!counts(counter), "and is frozen again in the end");
	if (freezer_thaw(first, &err) < 0)
		die(&err);
}

static int freeze(const char *parent)
{
	volatile unsigned long *counter =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cleanup_with(cleanup_freezerp) struct cgroup_freezer *f = NULL;
	char dir[4096], sub[4200], procs[4300];
	struct err err = ERR_INIT;
	pid_t pid[3];
	int r;

	must(freezer_open(parent, &f, &err) < 0, err.text);
	snprintf(dir, sizeof(dir), "%s/ckpt-test-live", parent);
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	if (mkdir(dir, 0755) < 0 || mkdir(sub, 0755) < 0)
		return perror(dir), 1;
	for (int i = 0; i < 3; i++) {
		snprintf(procs, sizeof(procs), "%s/cgroup.procs", i ? dir : sub);
		pid[i] = spawn_counter(procs, &counter[i]);
	}
	usleep(200000);
	r = freezer_open_task(pid[1], &f, &err);
	printf("# freezer of a task: %s\n", r < 0 ? err.text : r ? "none" : freezer_path(f));
	freeze_round(dir, counter);
	frozen_before_round(dir, counter);
	for (int i = 0; i < 3; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	usleep(200000);
	return rmdir(sub) < 0 || rmdir(dir) < 0 ? perror(dir), 1 : 0;
}

/* ---- dump ---- */

struct tasks {
	VEC(struct cgroup_task) list;
};

static void add_tree(struct tasks *t, pid_t leader)
{
	pid_t pid = leader;

	char path[64], children[4096] = "";
	struct cg_names names = { 0 };
	struct arena a = { 0 };
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || cg_dir_children(fd, &a, &names) < 0)
		exit(1);
	for (size_t i = 0; i < names.list.n; i++) {
		struct cgroup_task *slot = vec_add(&t->list);
		cleanup_buf struct buf text = BUF_INIT;

		*slot = (struct cgroup_task){ .pid = leader, .tid = atoi(names.list.v[i]) };
		snprintf(children, sizeof(children), "%d/children", slot->tid);
		if (io_read_file(fd, children, &text) < 0)
			continue;
		for (char *p = text.data, *end; p && (pid = (pid_t)strtol(p, &end, 10)); p = end)
			add_tree(t, pid);
	}
	close(fd);
	vec_free(&names.list);
	arena_done(&a);
}

static int dump(const char *images, pid_t pid, const char *freezer)
{
	cleanup_with(cleanup_freezerp) struct cgroup_freezer *f = NULL;
	cleanup_fd int dir = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ckpt_options opts = { .cgroup_mode = CKPT_CG_SOFT };
	struct cgroups_dump_args args = { .opts = &opts, .root = pid };
	struct image_set *set = NULL;
	struct tasks tasks = { 0 };
	struct err err = ERR_INIT;
	struct log log;
	uint32_t root_set = 0;

	log_init(&log, 2, LOG_DEBUG);
	args.log = &log;
	if (freezer && freezer_open(freezer, &f, &err) < 0)
		die(&err);
	args.freezer = f;
	add_tree(&tasks, pid);
	args.tasks = tasks.list.v;
	args.n_tasks = tasks.list.n;
	if (image_set_new(&set) < 0 || cgroups_dump(set, &args, &root_set, &err) < 0)
		die(&err);
	printf("root_cg_set %u\n", root_set);
	for (size_t i = 0; i < tasks.list.n; i++)
		printf("task %d/%d: set %u\n", tasks.list.v[i].pid, tasks.list.v[i].tid,
		       tasks.list.v[i].set_id);
	/* A dump is not complete without one. */
	if (!image_get(set, IMG_INVENTORY, "inventory.img") || image_set_commit(set, dir, &err) < 0)
		die(&err);
	image_set_free(set);
	vec_free(&tasks.list);
	return 0;
}

/* ---- restore ---- */

static void wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
		must(false, "the builder lives");
}

/* A process born in the set's cgroup2 group. */
static void check_born(struct cgroups_plan *p, uint32_t id)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	cleanup_buf struct buf a = BUF_INIT, b = BUF_INIT;
	struct err err = ERR_INIT;
	char path[64];
	int fd;
	pid_t pid;

	if (cgroups_open_set(p, id, &fd, &err) < 0)
		die(&err);
	if (fd < 0)
		return;
	args.cgroup = (uint64_t)fd;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		pause();
		_exit(0);
	}
	must(pid > 0, "clone3 into the group");
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	must(io_read_file(AT_FDCWD, path, &a) >= 0, "reading it");
	if (cgroups_enter(p, id, pid, &err) < 0)
		die(&err);
	must(io_read_file(AT_FDCWD, path, &b) >= 0, "reading it again");
	must(!strcmp(strstr(a.data, "0::"), strstr(b.data, "0::")), "it was born there");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A builder: becomes its namespace's root, then stops; the parent moves it and shows it. */
static void show_set(struct cgroups_plan *p, uint32_t id)
{
	bool ns = cgroups_set_has_ns(p, id);
	cleanup_buf struct buf text = BUF_INIT;
	struct err err = ERR_INIT;
	char path[64];
	pid_t pid = fork();

	if (pid == 0) {
		raise(SIGSTOP);
		if (ns && unshare(CLONE_NEWCGROUP) < 0)
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	wait_child(pid);
	if (ns && cgroups_enter_ns_root(p, id, pid, &err) < 0)
		die(&err);
	kill(pid, SIGCONT);
	wait_child(pid);
	if (cgroups_enter(p, id, pid, &err) < 0)
		die(&err);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	if (io_read_file(AT_FDCWD, path, &text) < 0)
		exit(1);
	printf("== set %u%s\n%s", id, ns ? " (namespace)" : "", text.data);
	if (ns) {
		struct cg_members m = { 0 };
		struct cg_member *one;

		if (cg_members_inside(pid, &m, &err) != 0)
			die(&err);
		vec_foreach (one, &m.list) {
			printf("   inside %s:%s\n", one->name, one->path);
		}
		cg_members_done(&m);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int restore(const char *images, int mode, char **roots, int n_roots)
{
	cleanup_with(cleanup_cgroups_planp) struct cgroups_plan *p = NULL;
	cleanup_fd int dir = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ckpt_pair pairs[16];
	struct ckpt_options opts = { .cgroup_mode = (enum ckpt_cgroup_mode)mode };
	struct cgroups_load_args args = { .opts = &opts, .root_set = 1 };
	struct err err = ERR_INIT;
	struct log log;
	int r;

	log_init(&log, 2, LOG_DEBUG);
	args.log = &log;
	for (int i = 0; i < n_roots && i < 16; i++) {
		char *colon = strchr(roots[i], ':');

		*colon = '\0';
		pairs[i] = (struct ckpt_pair){ .key = roots[i], .val = colon + 1 };
	}
	opts.cgroup_roots = (struct ckpt_pairs){ .v = pairs, .n = (size_t)n_roots };
	if (cgroups_load(dir, &args, &p, &err) < 0)
		die(&err);
	r = cgroups_prepare(p, &err);
	for (size_t i = 0; r >= 0 && i < p->sets.n; i++) {
		show_set(p, p->sets.v[i].id);
		check_born(p, p->sets.v[i].id);
	}
	if (r >= 0)
		r = cgroups_finish(p, &err);
	if (r >= 0)
		r = cgroups_refreeze(p, &err);
	if (r >= 0 && getenv("LIVE_PAUSE"))
		(void)!system(getenv("LIVE_PAUSE"));
	cgroups_undo(p);
	if (r < 0)
		die(&err);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "freeze"))
		return freeze(argv[2]);
	if (argc >= 4 && !strcmp(argv[1], "dump"))
		return dump(argv[2], atoi(argv[3]), argv[4]);
	if (argc >= 4 && !strcmp(argv[1], "restore"))
		return restore(argv[2], atoi(argv[3]), argv + 4, argc - 4);
	fprintf(stderr, "usage: live freeze DIR | dump IMAGES PID [FREEZER] | "
			"restore IMAGES MODE [CONTROLLERS:PATH...]\n");
	return 2;
}
