/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of procfs: of this process, of a child, of a process that has ended; namespaces; sysfs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/workloads/files.h"

static struct {
	int maps, stat, dir; /* of this process; of the first child */
	int ended, ended_dir, sysfs;
	int net, uts;
	pid_t first, second, dead;
	char home[32]; /* what the working directory of the second child is called */
	struct station *stations;
} p;

static int check_stat(int fd, pid_t pid)
{
	char text[512] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return fail_errno("reading the stat of a child");
	if (strstr(text, ") Z"))
		return fail("the stat of a child is of one that has ended");
	return atoi(text) == pid ? WL_OK : fail("the stat of a child is of process %d", atoi(text));
}

static int first_verify(void *arg)
{
	return WL_OK;
}

static void first_child(void *arg)
{
	station_serve(&p.stations[0], first_verify, NULL);
}

static bool at_home(void *arg)
{
	char link[64], name[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/%d/cwd", p.second);
	return readlink(link, name, sizeof(name) - 1) > 0 &&
	       strncmp(name, p.home, strlen(p.home)) == 0;
}

/* It shares the description with its parent, and lives in the directory of the ended process. */
static int second_verify(void *arg)
{
	char name[PATH_MAX] = "", want[64];

	if (check_stat(p.stat, p.first) != WL_OK)
		return WL_FAIL;
	if (lseek(p.stat, 3, SEEK_SET) != 3)
		return fail_errno("seeking");
	snprintf(want, sizeof(want), "%s (deleted)", p.home);
	if (readlink("/proc/self/cwd", name, sizeof(name) - 1) < 0 || strcmp(name, want) != 0)
		return fail("the working directory is called '%s'", name);
	if (access("stat", F_OK) == 0)
		return fail("the working directory is that of a process that lives");
	return WL_OK;
}

static void second_child(void *arg)
{
	if (chdir(p.home) == 0)
		station_serve(&p.stations[1], second_verify, NULL);
}

static int open_all(void)
{
	char path[80];

	p.maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/stat", p.first);
	p.stat = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d", p.first);
	p.dir = open(path, O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof(path), "%s/status", p.home);
	p.ended = open(path, O_RDONLY | O_CLOEXEC);
	p.ended_dir = open(p.home, O_RDONLY | O_DIRECTORY);
	p.sysfs = open("/sys/kernel", O_RDONLY | O_DIRECTORY);
	p.net = open("/proc/self/ns/net", O_RDONLY);
	p.uts = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	if (p.maps < 0 || p.stat < 0 || p.dir < 0 || p.ended < 0 || p.ended_dir < 0 ||
	    p.sysfs < 0 || p.net < 0 || p.uts < 0)
		return fail_errno("opening files of procfs and sysfs");
	return WL_OK;
}

int procfs_setup(void)
{
	p.stations = stations_new(2);
	p.first = p.stations ? child_start(first_child, NULL) : -1;
	p.dead = fork();
	if (p.dead == 0)
		for (;;)
			pause();
	if (p.first < 0 || p.dead < 0)
		return fail_errno("starting processes");
	snprintf(p.home, sizeof(p.home), "/proc/%d", p.dead);
	if (open_all() != WL_OK)
		return WL_FAIL;
	p.second = child_start(second_child, NULL);
	if (p.second < 0 || !wait_until(at_home, NULL, 20000))
		return fail("the second child does not enter '%s'", p.home);
	kill(p.dead, SIGKILL);
	return waitpid(p.dead, NULL, 0) == p.dead ? WL_OK : fail_errno("waitpid");
}

static int check_namespace(int fd, const char *path)
{
	struct stat a, b;

	if (fstat(fd, &a) < 0 || stat(path, &b) < 0)
		return fail_errno("'%s'", path);
	return a.st_ino == b.st_ino && a.st_dev == b.st_dev
		       ? WL_OK
		       : fail("the descriptor of '%s' is of another namespace", path);
}

int procfs_verify(void)
{
	char text[4096];
	int r = check_stat(p.stat, p.first);

	if (r == WL_OK)
		r = check_namespace(p.net, "/proc/self/ns/net");
	if (r == WL_OK)
		r = check_namespace(p.uts, "/proc/self/ns/uts");
	if (r != WL_OK)
		return r;
	if (faccessat(p.dir, "status", F_OK, 0) < 0 || faccessat(p.sysfs, "mm", F_OK, 0) < 0)
		return fail_errno("names below directories of procfs and sysfs");
	if (lseek(p.maps, 0, SEEK_SET) != 0 || read(p.maps, text, sizeof(text)) <= 0)
		return fail_errno("reading the own maps");
	lseek(p.maps, 0, SEEK_SET);
	if (read(p.ended, text, 1) >= 0 || errno != ESRCH)
		return fail("the status of the ended process can be read");
	if (faccessat(p.ended_dir, "status", F_OK, 0) == 0)
		return fail("the directory of the ended process has files");
	lseek(p.stat, 1, SEEK_SET);
	r = station_ask(&p.stations[1], "child in the directory of an ended process");
	if (r == WL_OK && lseek(p.stat, 0, SEEK_CUR) != 3)
		r = fail("the child has a description of its own");
	return r;
}
