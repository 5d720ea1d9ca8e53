/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors of folders, O_PATH, and working directories, also of what was removed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* ---- directory: as working directory, as base of openat(2), and half read ---- */

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

#define N_ENTRIES 200

static struct {
	int fd;
	DIR *half_read;
	char cwd[PATH_MAX];
	unsigned char seen[N_ENTRIES];
	long at;
} dir;

static int entry_number(const char *name)
{
	int n;

	return sscanf(name, "entry-%d", &n) == 1 && n >= 0 && n < N_ENTRIES ? n : -1;
}

/* Half of the entries are read now; the rest must come later, each once. */
static int dir_setup(void)
{
	char name[32];

	if (mkdir(path_in("d"), 0755) < 0)
		return fail_errno("mkdir");
	dir.fd = open(path_in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < N_ENTRIES; i++) {
		int fd;

		snprintf(name, sizeof(name), "entry-%d", i);
		fd = openat(dir.fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0)
			return fail_errno("%s", name);
		close(fd);
	}
	dir.half_read = opendir(path_in("d"));
	if (!dir.half_read || chdir(path_in("d")) < 0 || !getcwd(dir.cwd, sizeof(dir.cwd)))
		return fail_errno("entering a folder");
	for (int i = 0; i < N_ENTRIES / 2; i++) {
		struct dirent *d = readdir(dir.half_read);
		int n = d ? entry_number(d->d_name) : -1;

		if (n >= 0)
			dir.seen[n]++;
	}
	dir.at = telldir(dir.half_read);
	return WL_OK;
}

static int dir_verify_rest(void)
{
	unsigned char seen[N_ENTRIES];
	struct dirent *d;

	memcpy(seen, dir.seen, sizeof(seen));
	while ((d = readdir(dir.half_read))) {
		int n = entry_number(d->d_name);

		if (n >= 0)
			seen[n]++;
	}
	seekdir(dir.half_read, dir.at);
	for (int i = 0; i < N_ENTRIES; i++)
		if (seen[i] != 1)
			return fail("entry %d of a half-read folder came %d times", i, seen[i]);
	return WL_OK;
}

static int dir_verify(void)
{
	char cwd[PATH_MAX] = "";
	struct stat a, b;

	if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, dir.cwd))
		return fail("the working directory is '%s'", cwd);
	if (fstat(dir.fd, &a) < 0 || stat(".", &b) < 0 || a.st_ino != b.st_ino)
		return fail("the descriptor is not of the working directory");
	if (faccessat(dir.fd, "entry-7", F_OK, 0) < 0 || access("entry-8", F_OK) < 0)
		return fail_errno("names below the folder");
	if (strict() && !(fcntl(dir.fd, F_GETFL) & O_DIRECTORY))
		return fail("the descriptor has lost O_DIRECTORY");
	return dir_verify_rest();
}

/* ---- o-path: of a file, a folder, a symbolic link and a fifo ---- */

static struct {
	const char *name;
	mode_t type;
	int extra, fd;
	struct stat st;
} paths[] = {
	{ "file", S_IFREG, 0 },
	{ "folder", S_IFDIR, O_DIRECTORY },
	{ "link", S_IFLNK, O_NOFOLLOW },
	{ "pipe", S_IFIFO, 0 },
};

/* The named pipe is the last. */
static size_t n_paths(void)
{
	return ARRAY_SIZE(paths) - !strict();
}

static int o_path_setup(void)
{
	int fd = file_make("file", O_RDWR, 1000, 80);

	if (fd < 0 || mkdir(path_in("folder"), 0700) < 0 || symlink("file", path_in("link")) < 0 ||
	    mkfifo(path_in("pipe"), 0600) < 0)
		return fail_errno("making files");
	close(fd);
	for (size_t i = 0; i < n_paths(); i++) {
		paths[i].fd = open(path_in(paths[i].name), O_PATH | O_CLOEXEC | paths[i].extra);
		if (paths[i].fd < 0 || fstat(paths[i].fd, &paths[i].st) < 0)
			return fail_errno("O_PATH of %s", paths[i].name);
	}
	return WL_OK;
}

static int o_path_verify(void)
{
	unsigned char byte, data[1000];
	char target[16] = "", link[64];
	struct stat st;

	for (size_t i = 0; i < n_paths(); i++) {
		if (fstat(paths[i].fd, &st) < 0 || (st.st_mode & S_IFMT) != paths[i].type ||
		    st.st_ino != paths[i].st.st_ino)
			return fail("O_PATH of %s: another file", paths[i].name);
		if (!(fcntl(paths[i].fd, F_GETFL) & O_PATH))
			return fail("O_PATH of %s: the flag is lost", paths[i].name);
	}
	if (read(paths[0].fd, &byte, 1) >= 0 || errno != EBADF)
		return fail("an O_PATH descriptor can be read");
	if (readlinkat(paths[2].fd, "", target, sizeof(target) - 1) < 0 || strcmp(target, "file"))
		return fail("the symbolic link leads to '%s'", target);
	/* Such a descriptor is good for opening what it names. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", paths[0].fd);
	int fd = open(link, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, data, sizeof(data)) != sizeof(data))
		return fail_errno("opening through an O_PATH descriptor");
	close(fd);
	return pattern_check(data, sizeof(data), 80, "file behind an O_PATH descriptor");
}

/* ---- deleted-dir: an open folder and a working directory that were removed ---- */

static struct {
	int fd;
	struct station *station;
} gone;

static int gone_check(int fd, const char *what)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail("%s: no folder", what);
	if (st.st_nlink != 0)
		return fail("%s: has a name again", what);
	if (openat(fd, "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0 || errno != ENOENT)
		return fail("%s: a file can be made in it", what);
	return WL_OK;
}

static int gone_child_verify(void *arg)
{
	char cwd[PATH_MAX];

	if (getcwd(cwd, sizeof(cwd)) || errno != ENOENT)
		return fail("a removed working directory has a path");
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno("removed working directory");
	int r = gone_check(fd, "removed working directory");

	close(fd);
	return r;
}

static void gone_child(void *arg)
{
	if (chdir(path_in("gone-cwd")) == 0 && rmdir(path_in("gone-cwd")) == 0)
		station_serve(gone.station, gone_child_verify, NULL);
}

static int gone_verify(void)
{
	char link[64], target[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", gone.fd);
	if (readlink(link, target, sizeof(target) - 1) < 0 || !strstr(target, "/gone-fd") ||
	    !strstr(target, " (deleted)"))
		return fail("the removed folder is named '%s'", target);
	int r = gone_check(gone.fd, "removed folder");

	return r == WL_OK ? station_ask(gone.station, "child in a removed folder") : r;
}

static int gone_setup(void)
{
	if (mkdir(path_in("gone-fd"), 0755) < 0 || mkdir(path_in("gone-cwd"), 0755) < 0)
		return fail_errno("mkdir");
	gone.fd = open(path_in("gone-fd"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	gone.station = stations_new(1);
	if (gone.fd < 0 || rmdir(path_in("gone-fd")) < 0)
		return fail_errno("rmdir");
	if (!gone.station || child_start(gone_child, NULL) < 0)
		return fail_errno("starting a child");
	return gone_verify();
}

const struct workload directory_workloads[] = {
	{ "directory", "open, half-read and working directories", strict_params, dir_setup,
	  dir_verify },
	{ "o-path", "O_PATH descriptors", strict_params, o_path_setup, o_path_verify },
	{ "deleted-dir", "removed folders, open and as working directory", NULL, gone_setup,
	  gone_verify },
	{ 0 },
};
