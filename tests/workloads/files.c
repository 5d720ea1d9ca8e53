/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regular files: deleted ones, offsets and flags, shared descriptions, locks. */
#include "tests/workloads/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static int check_offset(int fd, off_t want, const char *what)
{
	off_t at = lseek(fd, 0, SEEK_CUR);

	return at == want
		       ? WL_OK
		       : fail("%s: offset is %lld, was %lld", what, (long long)at, (long long)want);
}

static int check_contents(int fd, size_t size, uint64_t seed, const char *what)
{
	unsigned char data[65536];
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size != (off_t)size)
		return fail("%s: size is %lld, not %zu", what, (long long)st.st_size, size);
	if (size > sizeof(data) || pread(fd, data, size, 0) != (ssize_t)size)
		return fail_errno("%s: reading", what);
	return pattern_check(data, size, seed, what);
}

/* ---- deleted-file: no name left, one name left, another file under the old name ---- */

static struct workload_param deleted_params[] = {
	{ "linked", 0, "1: a file that has lost the name it was opened by, and has another" },
	{ 0 },
};

static struct {
	int gone, linked, replaced;
	struct stat gone_st;
} del;

int deleted_file_setup(void)
{
	int other;

	del.gone = file_make("gone", O_RDWR, 20000, 40);
	del.linked = file_make("linked", O_RDWR, 10000, 41);
	del.replaced = file_make("replaced", O_RDWR, 12000, 42);
	if (del.gone < 0 || del.linked < 0 || del.replaced < 0)
		return fail_errno("creating files");
	if (fchmod(del.gone, 0604) < 0 || unlink(path_in("gone")) < 0)
		return fail_errno("unlink");
	if (param("linked", 0) &&
	    (link(path_in("linked"), path_in("linked-other")) < 0 || unlink(path_in("linked")) < 0))
		return fail_errno("link");
	if (unlink(path_in("replaced")) < 0)
		return fail_errno("unlink");
	other = file_make("replaced", O_RDWR, 500, 43);
	if (other < 0)
		return fail_errno("replaced");
	close(other);
	lseek(del.gone, 7777, SEEK_SET);
	return fstat(del.gone, &del.gone_st) < 0 ? fail_errno("fstat") : WL_OK;
}

static int deleted_verify_names(void)
{
	struct stat a, b;

	if (access(path_in("gone"), F_OK) == 0)
		return fail("the deleted file has its name again");
	if (fstat(del.gone, &a) < 0 || a.st_nlink != 0)
		return fail("the deleted file has %lu names", (unsigned long)a.st_nlink);
	if (a.st_mode != del.gone_st.st_mode || a.st_uid != del.gone_st.st_uid)
		return fail("the deleted file has mode %o and owner %u", a.st_mode, a.st_uid);
	if (param("linked", 0)) {
		if (access(path_in("linked"), F_OK) == 0)
			return fail("the removed link is there again");
		if (fstat(del.linked, &a) < 0 || stat(path_in("linked-other"), &b) < 0 ||
		    a.st_ino != b.st_ino)
			return fail("the descriptor is not of the file of the other link");
		if (a.st_nlink != 1)
			return fail("the linked file has %lu names", (unsigned long)a.st_nlink);
	}
	if (stat(path_in("replaced"), &a) < 0 || a.st_size != 500)
		return fail("the file that took the old name was changed");
	return WL_OK;
}

int deleted_file_verify(void)
{
	unsigned char byte = 0x77, was;
	int r = check_contents(del.gone, 20000, 40, "deleted file");

	if (r == WL_OK)
		r = check_offset(del.gone, 7777, "deleted file");
	if (r == WL_OK)
		r = check_contents(del.linked, 10000, 41, "file with one link removed");
	if (r == WL_OK)
		r = check_contents(del.replaced, 12000, 42, "file whose name went to another");
	if (r == WL_OK)
		r = deleted_verify_names();
	if (r != WL_OK)
		return r;
	if (pread(del.gone, &was, 1, 5) != 1 || pwrite(del.gone, &byte, 1, 5) != 1 ||
	    pwrite(del.gone, &was, 1, 5) != 1)
		return fail_errno("the deleted file cannot be written");
	return WL_OK;
}

/* ---- file-offsets: positions and flags of open files ---- */

static struct {
	int rw, ro, append, wo;
	off_t end;
} off;

int file_offsets_setup(void)
{
	off.rw = file_make("rw", O_RDWR, 30000, 50);
	off.append = file_make("append", O_RDWR | O_APPEND | O_TRUNC, 0, 0);
	off.wo = file_make("wo", O_WRONLY | O_NONBLOCK, 0, 0);
	off.ro = open(path_in("rw"), O_RDONLY | O_NOATIME);
	if (off.rw < 0 || off.append < 0 || off.wo < 0 || off.ro < 0)
		return fail_errno("creating files");
	lseek(off.rw, 111, SEEK_SET);
	lseek(off.ro, 29999, SEEK_SET);
	/* Far behind the end, where no byte is yet. */
	lseek(off.wo, 5000000000, SEEK_SET);
	if (write(off.append, "12345678", 8) != 8)
		return fail_errno("append");
	off.end = 8;
	lseek(off.append, 3, SEEK_SET);
	return WL_OK;
}

static int check_flags(int fd, int want, int want_fd, const char *what)
{
	int mask = O_ACCMODE | O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT | O_SYNC | O_PATH;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & mask) != want)
		return fail("%s: flags are 0%o, were 0%o", what, flags & mask, want);
	if (fcntl(fd, F_GETFD) != want_fd)
		return fail("%s: close-on-exec changed", what);
	return WL_OK;
}

/* A write must go to the end, wherever the offset is, and each one is found behind the others. */
static int verify_append(void)
{
	char text[9];

	if (lseek(off.append, 0, SEEK_END) != off.end)
		return fail("the appended file has %lld bytes, not %lld",
			    (long long)lseek(off.append, 0, SEEK_END), (long long)off.end);
	lseek(off.append, 3, SEEK_SET);
	if (write(off.append, "abcdefgh", 8) != 8)
		return fail_errno("append");
	if (pread(off.append, text, 8, off.end) != 8 || memcmp(text, "abcdefgh", 8))
		return fail("O_APPEND did not append");
	off.end += 8;
	if (pread(off.append, text, 8, 0) != 8 || memcmp(text, "12345678", 8))
		return fail("the beginning of the appended file changed");
	lseek(off.append, 3, SEEK_SET);
	return WL_OK;
}

int file_offsets_verify(void)
{
	int r = check_offset(off.rw, 111, "read-write file");

	if (r == WL_OK)
		r = check_offset(off.ro, 29999, "read-only file");
	if (r == WL_OK)
		r = check_offset(off.wo, 5000000000, "write-only file");
	if (r == WL_OK)
		r = check_offset(off.append, 3, "appended file");
	if (r == WL_OK)
		r = check_flags(off.rw, O_RDWR, FD_CLOEXEC, "read-write file");
	if (r == WL_OK)
		r = check_flags(off.ro, O_RDONLY | O_NOATIME, 0, "read-only file");
	if (r == WL_OK)
		r = check_flags(off.wo, O_WRONLY | O_NONBLOCK, FD_CLOEXEC, "write-only file");
	if (r == WL_OK)
		r = check_flags(off.append, O_RDWR | O_APPEND, FD_CLOEXEC, "appended file");
	if (r == WL_OK)
		r = check_contents(off.rw, 30000, 50, "read-write file");
	return r == WL_OK ? verify_append() : r;
}

/* ---- dup-fds: who shares an offset with whom ---- */

static struct {
	int fd, dup_low, dup_high, separate;
	struct station *station;
	uint32_t rounds;
} dups;

enum { DUP_HIGH = 200 };

/* The child inherited fd and separate; a move in one process is seen in the other. */
static int dup_child_verify(void *arg)
{
	off_t want = 1000 + ++dups.rounds;

	if (check_offset(dups.fd, want, "descriptor shared with the parent") != WL_OK)
		return WL_FAIL;
	if (check_offset(dups.separate, 0, "descriptor of its own") != WL_OK)
		return WL_FAIL;
	lseek(dups.fd, 100000, SEEK_CUR);
	return WL_OK;
}

static void dup_child(void *arg)
{
	close(dups.dup_high);
	station_serve(dups.station, dup_child_verify, NULL);
}

int dup_fds_setup(void)
{
	dups.fd = file_make("dup", O_RDWR, 3000, 60);
	dups.separate = open(path_in("dup"), O_RDWR | O_CLOEXEC);
	dups.dup_low = dup(dups.fd);
	dups.dup_high = fcntl(dups.fd, F_DUPFD_CLOEXEC, DUP_HIGH);
	dups.station = stations_new(1);
	if (dups.fd < 0 || dups.separate < 0 || dups.dup_low < 0 || dups.dup_high < DUP_HIGH)
		return fail_errno("duplicating");
	if (!dups.station || child_start(dup_child, NULL) < 0)
		return fail_errno("starting a child");
	lseek(dups.fd, 1000, SEEK_SET);
	return WL_OK;
}

int dup_fds_verify(void)
{
	off_t want = 1000 + dups.rounds;
	int r = check_offset(dups.fd, want, "duplicated descriptor");

	if (r == WL_OK)
		r = check_offset(dups.dup_low, want, "first duplicate");
	if (r == WL_OK)
		r = check_offset(dups.dup_high, want, "second duplicate");
	if (r == WL_OK)
		r = check_offset(dups.separate, 0, "separate descriptor");
	if (r == WL_OK &&
	    (fcntl(dups.fd, F_GETFD) != FD_CLOEXEC || fcntl(dups.dup_low, F_GETFD) != 0))
		r = fail("close-on-exec flags of duplicates changed");
	if (r != WL_OK)
		return r;
	dups.rounds++;
	lseek(dups.dup_high, want + 1, SEEK_SET);
	r = station_ask(dups.station, "child with shared descriptors");
	if (r == WL_OK)
		r = check_offset(dups.dup_low, want + 1 + 100000, "duplicate the child has moved");
	if (r == WL_OK)
		r = check_contents(dups.separate, 3000, 60, "file of the duplicates");
	lseek(dups.fd, want + 1, SEEK_SET);
	return r;
}

/* ---- flock: all kinds of advisory locks, tried from a child ---- */

static struct workload_param flock_params[] = {
	{ "mapped", 0, "1: a lock that nothing but a mapping keeps any more" },
	{ 0 },
};

static struct {
	int flock_fd, posix_fd, ofd_fd;
	struct station *station;
} locks;

static struct flock range(short type, off_t start, off_t len)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len
	};
}

/* Opens the file anew, so the locks of the parent are somebody else's. */
static int locks_child_verify(void *arg)
{
	struct flock fl;
	int fd;

	fd = open(path_in("flock"), O_RDWR | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return fail("the flock(2) is not held");
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return fail("the flock(2) is shared, was exclusive");
	close(fd);
	fd = open(path_in("posix"), O_RDWR | O_CLOEXEC);
	fl = range(F_WRLCK, 0, 0);
	if (fd < 0 || fcntl(fd, F_GETLK, &fl) < 0 || fl.l_type != F_WRLCK || fl.l_start != 10 ||
	    fl.l_len != 90 || fl.l_pid != getppid())
		return fail("the POSIX write lock is not held as it was");
	fl = range(F_RDLCK, 200, 100);
	if (fcntl(fd, F_GETLK, &fl) < 0 || fl.l_type != F_UNLCK)
		return fail("the POSIX read lock keeps readers out");
	fl = range(F_WRLCK, 200, 100);
	if (fcntl(fd, F_GETLK, &fl) < 0 || fl.l_type != F_RDLCK || fl.l_start != 200)
		return fail("the POSIX read lock is not held as it was");
	close(fd);
	fd = open(path_in("ofd"), O_RDWR | O_CLOEXEC);
	fl = range(F_WRLCK, 0, 0);
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &fl) < 0 || fl.l_type != F_WRLCK || fl.l_start != 5 ||
	    fl.l_len != 0)
		return fail("the OFD lock is not held as it was");
	close(fd);
	if (!param("mapped", 0))
		return WL_OK;
	fd = open(path_in("locked-mapped"), O_RDWR | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return fail("the lock of the mapped file is not held");
	close(fd);
	return WL_OK;
}

static void locks_child(void *arg)
{
	close(locks.flock_fd);
	close(locks.posix_fd);
	close(locks.ofd_fd);
	station_serve(locks.station, locks_child_verify, NULL);
}

/* A description lives as long as a mapping of it, and its lock does too. */
static int lock_mapped(void)
{
	int fd = file_make("locked-mapped", O_RDWR, 4096, 73);

	if (fd < 0 || flock(fd, LOCK_EX) < 0 ||
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
		return fail_errno("locking a mapped file");
	close(fd);
	return WL_OK;
}

static int locks_setup(void)
{
	struct flock write_lock = range(F_WRLCK, 10, 90), read_lock = range(F_RDLCK, 200, 0);
	struct flock ofd_lock = range(F_WRLCK, 5, 0);

	locks.flock_fd = file_make("flock", O_RDWR, 1000, 70);
	locks.posix_fd = file_make("posix", O_RDWR, 1000, 71);
	locks.ofd_fd = file_make("ofd", O_RDWR, 1000, 72);
	locks.station = stations_new(1);
	if (locks.flock_fd < 0 || locks.posix_fd < 0 || locks.ofd_fd < 0)
		return fail_errno("creating files");
	/* The child first: a descriptor it inherits would share the flock and the OFD lock. */
	if (!locks.station || child_start(locks_child, NULL) < 0)
		return fail_errno("starting a child");
	if (flock(locks.flock_fd, LOCK_EX) < 0 || fcntl(locks.posix_fd, F_SETLK, &write_lock) < 0 ||
	    fcntl(locks.posix_fd, F_SETLK, &read_lock) < 0 ||
	    fcntl(locks.ofd_fd, F_OFD_SETLK, &ofd_lock) < 0)
		return fail_errno("locking");
	if (param("mapped", 0) && lock_mapped() != WL_OK)
		return WL_FAIL;
	return station_ask(locks.station, "child that tries the locks");
}

static int locks_verify(void)
{
	return station_ask(locks.station, "child that tries the locks");
}

/* ---- proc-file: files of procfs that belong to a child and to the process itself ---- */

static struct {
	int child_status, own_maps;
	pid_t child;
	struct station *station;
} proc_file;

static int proc_file_child_verify(void *arg)
{
	return WL_OK;
}

static void proc_file_child(void *arg)
{
	station_serve(proc_file.station, proc_file_child_verify, NULL);
}

static int proc_file_setup(void)
{
	char path[40];

	proc_file.station = stations_new(1);
	proc_file.child = proc_file.station ? child_start(proc_file_child, NULL) : -1;
	if (proc_file.child < 0)
		return fail_errno("fork");
	if (station_ask(proc_file.station, "child") != WL_OK)
		return WL_FAIL;
	snprintf(path, sizeof(path), "/proc/%d/status", proc_file.child);
	proc_file.child_status = open(path, O_RDONLY | O_CLOEXEC);
	proc_file.own_maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	return proc_file.child_status < 0 || proc_file.own_maps < 0 ? fail_errno("procfs") : WL_OK;
}

static int proc_file_verify(void)
{
	char text[8192] = "", want[24];

	if (pread(proc_file.child_status, text, sizeof(text) - 1, 0) <= 0)
		return fail_errno("the child's status");
	snprintf(want, sizeof(want), "\nPid:\t%d\n", proc_file.child);
	if (!strstr(text, want) || strstr(text, "(zombie)"))
		return fail("the child's status is of another process, or a dead one");
	if (pread(proc_file.own_maps, text, sizeof(text) - 1, 0) <= 0 || !strstr(text, "workload"))
		return fail("the list of mappings is of another process");
	return WL_OK;
}

const struct workload file_workloads[] = {
	{ "proc-file", "open files of procfs, of a child too", NULL, proc_file_setup,
	  proc_file_verify },
	{ "deleted-file", "open files without a name, or with only another one", deleted_params,
	  deleted_file_setup, deleted_file_verify },
	{ "ghosts", "open files of all types whose names are gone", NULL, ghosts_setup,
	  ghosts_verify },
	{ "procfs", "files of procfs, of living and ended processes, and namespaces", NULL,
	  procfs_setup, procfs_verify },
	{ "file-offsets", "positions and flags of open files", NULL, file_offsets_setup,
	  file_offsets_verify },
	{ "dup-fds", "duplicates that share an offset, in one process and two", NULL, dup_fds_setup,
	  dup_fds_verify },
	{ "flock", "flock, POSIX and OFD locks", flock_params, locks_setup, locks_verify },
	{ "leases", "leases, two of them being broken", NULL, leases_setup, leases_verify },
	{ "lock-queue", "a task that waits for a file lock", NULL, lock_queue_setup,
	  lock_queue_verify },
	{ 0 },
};
