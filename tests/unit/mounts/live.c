// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mounts of a real container, by hand and as root:
 *	live dump PID IMAGES [OPTION...]
 *	live restore IMAGES ROOT COMMAND [OPTION...]
 *	live show PID
 * OPTION is mnt[A]:B, dev[A]:B, skip=PATH or fs=NAMES. restore runs the command with sh in the new
 *tree, in new namespaces (mnt, pid, ipc, net, uts, cgroup), as a container's builder would be.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/image/image.h"
#include "mounts/mounts.h"

static int die(const struct err *err, const char *what)
{
	fprintf(stderr, "%s: %s%s%s\n", what, err->text, *err->hint ? "; hint: " : "", err->hint);
	return 1;
}

static void refuse(void *arg, const char *text)
{
	fprintf(stderr, "refused: %s\n", text);
	++*(int *)arg;
}

struct args {
	const char *externals[64], *skips[64], *fs[64];
	struct ckpt_options opts;
};

static void parse(struct args *a, char **argv)
{
	size_t n = 0, s = 0, f = 0;

	memset(&a->opts, 0, sizeof(a->opts));
	for (; *argv && n < 64 && s < 64 && f < 64; argv++) {
		if (!strncmp(*argv, "skip=", 5))
			a->skips[s++] = *argv + 5;
		else if (!strncmp(*argv, "fs=", 3))
			a->fs[f++] = *argv + 3;
		else
			a->externals[n++] = *argv;
	}
	a->opts.externals = (struct ckpt_strings){ a->externals, n };
	a->opts.skip_mounts = (struct ckpt_strings){ a->skips, s };
	a->opts.enable_fs = (struct ckpt_strings){ a->fs, f };
}

static int dump(pid_t pid, const char *dir, char **argv)
{
	struct mount_tree *tree = NULL;
	struct image_set *set = NULL;
	struct err err = ERR_INIT;
	struct args a;
	struct image *inventory;
	int refused = 0, dirfd = open(dir, O_RDONLY | O_DIRECTORY);

	parse(&a, argv);
	if (dirfd < 0 || image_set_new(&set) < 0)
		return die(&err, dir);
	if (mounts_collect(&tree, pid, &err) < 0)
		return die(&err, "collect");
	if (mounts_resolve(tree, &a.opts, refuse, &refused, &err) < 0)
		return die(&err, "resolve");
	if (refused)
		return 2;
	if (mounts_dump(tree, set, 7, &err) < 0)
		return die(&err, "dump");
	inventory = image_get(set, IMG_INVENTORY, "inventory.img");
	if (!inventory || image_set_commit(set, dirfd, &err) < 0)
		return die(&err, "commit");
	mounts_free(tree);
	image_set_free(set);
	return 0;
}

static int inside(struct mount_plan *plan, int dirfd, const char *command)
{
	struct err err = ERR_INIT;
	size_t n;
	const struct mount_pty *ptys;

	if (mounts_rebuild(plan, dirfd, &err) < 0)
		return die(&err, "rebuild");
	ptys = mounts_plan_ptys(plan, &n);
	for (size_t i = 0; i < n; i++)
		fcntl(ptys[i].fd, F_SETFD, 0); /* its slave is mounted, and dies with it */
	mounts_plan_free(plan);
	execl("/bin/sh", "sh", "-c", command, NULL);
	return 127;
}

static void write_map(pid_t pid, const char *name, const char *map)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		perror(path);
	close(fd);
}

static int wait_for(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The namespaces belong to the user namespace they are made in, so that comes first. */
static int builder(struct mount_plan *plan, int dirfd, const char *command, bool user, int go)
{
	int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWPID;
	pid_t pid;
	char c;

	if (user && unshare(CLONE_NEWUSER) < 0)
		return 9;
	if (read(go, &c, 1) < 0 || (user && (setgid(0) < 0 || setuid(0) < 0)))
		return 9;
	if (!getenv("HOST_CGROUPNS"))
		flags |= CLONE_NEWCGROUP;
	if (unshare(flags) < 0)
		return 9;
	pid = fork();
	if (pid == 0)
		_exit(inside(plan, dirfd, command));
	return wait_for(pid);
}

static int restore(const char *dir, const char *root, const char *command, char **argv)
{
	const char *map = getenv("USERNS_MAP"); /* "0 100000 65536" */
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY), go[2];
	struct mount_plan *plan = NULL;
	struct err err = ERR_INIT;
	struct args a;
	pid_t pid;
	int r;

	parse(&a, argv);
	a.opts.root = root;
	if (mounts_load(dirfd, 7, &a.opts, &plan, &err) < 0)
		return die(&err, "load");
	if ((map || getenv("PREOPEN")) && mounts_plan_open(plan, dirfd, &err) < 0)
		return die(&err, "plan_open");
	if (pipe(go) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(builder(plan, dirfd, command, map, go[0]));
	}
	if (map) {
		usleep(200000); /* the child is in its user namespace by then */
		write_map(pid, "uid_map", map);
		write_map(pid, "gid_map", map);
	}
	close(go[0]);
	close(go[1]);
	r = wait_for(pid);
	mounts_plan_free(plan);
	return r;
}

static int show(pid_t pid)
{
	struct mount_tree *tree = NULL;
	struct err err = ERR_INIT;

	if (mounts_collect(&tree, pid, &err) < 0)
		return die(&err, "collect");
	for (size_t i = 0; i < mounts_count(tree); i++) {
		const struct mount *m = mounts_at(tree, i);
		bool seen = mounts_path_visible(tree, mount_id(m), mount_path(m));
		int fd = mounts_open_root(tree, m, &err);

		printf("%d %s %s %s%s", mount_id(m), mount_fstype(m), mount_path(m), mount_root(m),
		       seen ? "" : " covered");
		printf(fd < 0 ? " %s\n" : "\n", err.text);
		if (fd >= 0)
			close(fd);
	}
	mounts_free(tree);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "dump"))
		return dump(atoi(argv[2]), argv[3], argv + 4);
	if (argc >= 5 && !strcmp(argv[1], "restore"))
		return restore(argv[2], argv[3], argv[4], argv + 5);
	if (argc == 3 && !strcmp(argv[1], "show"))
		return show(atoi(argv[2]));
	fprintf(stderr, "usage: live dump|restore|show ...\n");
	return 1;
}
