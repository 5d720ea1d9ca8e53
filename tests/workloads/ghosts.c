/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files of every type whose names are gone, and what else is where they were. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/workloads/files.h"

enum { SPARSE_SIZE = 8 << 20 };

static struct {
	int outer, inner;    /* removed folders, one in the other */
	int in_removed;	     /* a file of a folder that was removed */
	int by_dir, by_file; /* a removed folder and file, whose names a folder and a file have */
	int first, second;   /* one file, by two names */
	int fifo, symlink, dev; /* dev: -1 without CAP_MKNOD */
	int unnamed, sparse;
	struct timespec mtime;
} g;

static int check_name(int fd, const char *name)
{
	char link[64], target[PATH_MAX] = "", want[PATH_MAX + 16];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "%s (deleted)", path_in(name));
	if (readlink(link, target, sizeof(target) - 1) < 0 || strcmp(target, want) != 0)
		return fail("'%s' is called '%s'", want, target);
	return WL_OK;
}

static int setup_dirs(void)
{
	if (mkdir(path_in("outer"), 0750) < 0 || mkdir(path_in("outer/inner"), 0700) < 0 ||
	    mkdir(path_in("removed"), 0700) < 0 || mkdir(path_in("by-dir"), 0700) < 0)
		return fail_errno("mkdir");
	g.outer = open(path_in("outer"), O_RDONLY | O_DIRECTORY);
	g.inner = open(path_in("outer/inner"), O_RDONLY | O_DIRECTORY);
	g.in_removed = file_make("removed/file", O_RDWR, 5000, 90);
	g.by_dir = open(path_in("by-dir"), O_RDONLY | O_DIRECTORY);
	g.by_file = file_make("by-file", O_RDWR, 6000, 91);
	if (g.outer < 0 || g.inner < 0 || g.in_removed < 0 || g.by_dir < 0 || g.by_file < 0)
		return fail_errno("opening");
	if (rmdir(path_in("outer/inner")) < 0 || rmdir(path_in("outer")) < 0 ||
	    unlink(path_in("removed/file")) < 0 || rmdir(path_in("removed")) < 0 ||
	    rmdir(path_in("by-dir")) < 0 || unlink(path_in("by-file")) < 0)
		return fail_errno("removing");
	/* a file now where the folder was, and the other way round */
	int other = file_make("by-dir", O_RDWR, 700, 92);

	if (other < 0 || close(other) < 0 || mkdir(path_in("by-file"), 0700) < 0)
		return fail_errno("other files with the same names");
	return WL_OK;
}

static int setup_special(void)
{
	if (mkfifo(path_in("fifo-gone"), 0640) < 0 || symlink("somewhere", path_in("sym-gone")) < 0)
		return fail_errno("making files");
	g.fifo = open(path_in("fifo-gone"), O_RDWR | O_NONBLOCK);
	g.symlink = open(path_in("sym-gone"), O_PATH | O_NOFOLLOW);
	g.unnamed = open(path_in("."), O_TMPFILE | O_RDWR, 0600);
	g.sparse = open(path_in("sparse"), O_RDWR | O_CREAT, 0600);
	if (g.fifo < 0 || g.symlink < 0 || g.unnamed < 0 || g.sparse < 0)
		return fail_errno("opening");
	if (write(g.fifo, "unread", 6) != 6 || write(g.unnamed, "no name", 7) != 7 ||
	    pwrite(g.sparse, "x", 1, SPARSE_SIZE / 2) != 1 || ftruncate(g.sparse, SPARSE_SIZE) < 0)
		return fail_errno("writing");
	if (unlink(path_in("fifo-gone")) < 0 || unlink(path_in("sym-gone")) < 0 ||
	    unlink(path_in("sparse")) < 0)
		return fail_errno("unlink");
	g.dev = -1;
	if (mknod(path_in("dev-gone"), S_IFCHR | 0600, makedev(1, 5)) == 0) {
		g.dev = open(path_in("dev-gone"), O_RDONLY);
		if (g.dev < 0 || unlink(path_in("dev-gone")) < 0)
			return fail_errno("a deleted device");
	}
	return WL_OK;
}

int ghosts_setup(void)
{
	const struct timespec times[2] = { { 1000000000, 0 }, { 1100000000, 123000000 } };
	struct stat st;
	int r = setup_dirs();

	if (r == WL_OK)
		r = setup_special();
	if (r != WL_OK)
		return r;
	g.first = file_make("first", O_RDWR, 3000, 93);
	if (g.first < 0 || link(path_in("first"), path_in("second")) < 0)
		return fail_errno("link");
	g.second = open(path_in("second"), O_RDONLY);
	if (g.second < 0 || unlink(path_in("first")) < 0 || unlink(path_in("second")) < 0)
		return fail_errno("unlink");
	if (utimensat(AT_FDCWD, path_in("."), times, 0) < 0 || stat(path_in("."), &st) < 0)
		return fail_errno("setting the times of the folder");
	g.mtime = st.st_mtim;
	return WL_OK;
}

static int verify_dirs(void)
{
	struct stat a, b;

	if (fstat(g.outer, &a) < 0 || fstatat(g.inner, "..", &b, 0) < 0 || a.st_ino != b.st_ino ||
	    a.st_dev != b.st_dev)
		return fail("the removed folder is not in the removed folder that it was in");
	if (a.st_nlink || (a.st_mode & 07777) != 0750)
		return fail("the removed folder has %lu names and mode %o",
			    (unsigned long)a.st_nlink, a.st_mode);
	if (check_name(g.outer, "outer") || check_name(g.inner, "outer/inner") ||
	    check_name(g.in_removed, "removed/file") || check_name(g.by_dir, "by-dir") ||
	    check_name(g.by_file, "by-file"))
		return WL_FAIL;
	if (access(path_in("outer"), F_OK) == 0 || access(path_in("removed"), F_OK) == 0)
		return fail("a removed folder is there again");
	if (stat(path_in("by-dir"), &a) < 0 || !S_ISREG(a.st_mode) || a.st_size != 700 ||
	    stat(path_in("by-file"), &b) < 0 || !S_ISDIR(b.st_mode))
		return fail("what took the names of deleted files has changed");
	return WL_OK;
}

static int check_bytes(int fd, const char *want)
{
	char have[16] = "";

	if (pread(fd, have, strlen(want), 0) != (ssize_t)strlen(want) || strcmp(have, want) != 0)
		return fail("'%s' has become '%s'", want, have);
	return WL_OK;
}

/* Linked once, it is an ordinary file: another takes its place. */
static int verify_unnamed(void)
{
	char self[64];
	int next;

	if ((fcntl(g.unnamed, F_GETFL) & O_TMPFILE) != O_TMPFILE)
		return fail("the file without a name has other flags");
	if (check_bytes(g.unnamed, "no name") != WL_OK)
		return WL_FAIL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", g.unnamed);
	if (linkat(AT_FDCWD, self, AT_FDCWD, path_in("named"), AT_SYMLINK_FOLLOW) < 0)
		return fail_errno("naming a file without a name");
	next = open(path_in("."), O_TMPFILE | O_RDWR, 0600);
	if (unlink(path_in("named")) < 0 || next < 0 || write(next, "no name", 7) != 7 ||
	    dup2(next, g.unnamed) < 0 || close(next) < 0)
		return fail_errno("making another file without a name");
	return WL_OK;
}

static int verify_special(void)
{
	char data[16] = "", target[16] = "";
	struct stat st;

	if (check_name(g.fifo, "fifo-gone") || check_name(g.symlink, "sym-gone") ||
	    check_name(g.sparse, "sparse"))
		return WL_FAIL;
	if (read(g.fifo, data, sizeof(data)) != 6 || strcmp(data, "unread") != 0 ||
	    write(g.fifo, "unread", 6) != 6)
		return fail("the deleted fifo holds '%s'", data);
	if (fstat(g.fifo, &st) < 0 || (st.st_mode & 07777) != 0640)
		return fail("the deleted fifo has another mode");
	if (readlinkat(g.symlink, "", target, sizeof(target) - 1) < 0 ||
	    strcmp(target, "somewhere") != 0)
		return fail("the deleted link leads to '%s'", target);
	if (!(fcntl(g.symlink, F_GETFL) & O_NOFOLLOW))
		return fail("the deleted link has other flags");
	if (fstat(g.sparse, &st) < 0 || st.st_size != SPARSE_SIZE ||
	    st.st_blocks * 512 > SPARSE_SIZE / 8)
		return fail("the sparse file takes %ld KiB", (long)st.st_blocks / 2);
	if (g.dev >= 0 && (check_name(g.dev, "dev-gone") || read(g.dev, data, 1) != 1 || data[0]))
		return fail("the deleted device is another one");
	return verify_unnamed();
}

int ghosts_verify(void)
{
	const struct timespec times[2] = { { 1000000000, 0 }, g.mtime };
	struct stat a, b;
	int r;

	if (stat(path_in("."), &a) < 0 || a.st_mtim.tv_sec != g.mtime.tv_sec ||
	    a.st_mtim.tv_nsec != g.mtime.tv_nsec)
		return fail("somebody has made or removed names in the folder");
	r = verify_dirs();
	if (r == WL_OK)
		r = verify_special();
	if (r == WL_OK)
		r = check_name(g.first, "first");
	if (r == WL_OK)
		r = check_name(g.second, "second");
	if (r == WL_OK && (fstat(g.first, &a) < 0 || fstat(g.second, &b) < 0 ||
			   a.st_ino != b.st_ino || a.st_dev != b.st_dev || a.st_nlink))
		r = fail("the two names were of one file");
	utimensat(AT_FDCWD, path_in("."), times, 0);
	return r;
}
