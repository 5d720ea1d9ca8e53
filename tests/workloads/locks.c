/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases, given and being broken, and a task that waits for a lock. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/files.h"

/* ---- leases ---- */

static struct {
	int read, write, going, to_read; /* the last two are being broken */
	int sig;
} lease;

/* An open against a lease fails at once; the lease waits to be given up. */
static int open_against(const char *name, int flags)
{
	int fd = open(path_in(name), flags | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return fail("%s: nothing keeps others from opening it", name);
	}
	return errno == EWOULDBLOCK ? WL_OK : fail_errno("%s: opening it against the lease", name);
}

/* Giving a lease up forgets owner and signal too. */
static int take_again(int fd, const char *name, int type)
{
	if (fcntl(fd, F_SETLEASE, F_UNLCK) < 0 || fcntl(fd, F_SETSIG, lease.sig) < 0 ||
	    fcntl(fd, F_SETLEASE, type) < 0)
		return fail_errno("%s: giving it up and taking it again", name);
	return WL_OK;
}

static int lease_make(const char *name, int flags, int type)
{
	int fd = file_make(name, O_RDWR, 100, 80);

	if (fd < 0 || close(fd) < 0)
		return -1;
	fd = open(path_in(name), flags | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_SETSIG, lease.sig) < 0 || fcntl(fd, F_SETLEASE, type) < 0)
		return -1;
	return fd;
}

/* The one signal that a breaking lease sends, and no other. */
static int take_signal(int fd)
{
	const struct timespec none = { 0, 0 };
	siginfo_t si;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, lease.sig);
	if (sigtimedwait(&set, &si, &none) < 0)
		return fail("nobody was told that a lease is being broken");
	if (si.si_fd != fd)
		return fail("told of fd %d instead of %d", si.si_fd, fd);
	return WL_OK;
}

int leases_setup(void)
{
	sigset_t set;
	int r;

	lease.sig = SIGRTMIN + 5;
	sigemptyset(&set);
	sigaddset(&set, lease.sig);
	sigprocmask(SIG_BLOCK, &set, NULL);
	lease.read = lease_make("lease-read", O_RDONLY, F_RDLCK);
	lease.write = lease_make("lease-write", O_RDWR, F_WRLCK);
	lease.going = lease_make("lease-going", O_RDONLY, F_RDLCK);
	lease.to_read = lease_make("lease-to-read", O_RDWR, F_WRLCK);
	if (lease.read < 0 || lease.write < 0 || lease.going < 0 || lease.to_read < 0)
		return fail_errno("taking leases");
	r = open_against("lease-going", O_WRONLY);
	if (r == WL_OK)
		r = take_signal(lease.going);
	if (r == WL_OK)
		r = open_against("lease-to-read", O_RDONLY);
	return r == WL_OK ? take_signal(lease.to_read) : r;
}

static int check_lease(int fd, int want, const char *what)
{
	int have = fcntl(fd, F_GETLEASE);

	return have == want ? WL_OK : fail("%s is %d, was %d", what, have, want);
}

/* Others are kept out, the owner is told, and the lease can be given up and taken again. */
static int check_works(int fd, const char *name, int type)
{
	int r = open_against(name, O_WRONLY);

	if (r == WL_OK)
		r = take_signal(fd);
	return r == WL_OK ? take_again(fd, name, type) : r;
}

/*
 * Whoever opens the file is told to wait, and the owner is not told again. A lease that is being
 * broken lasts for 45 s: it begins again.
 */
static int check_breaking(int fd, const char *name, int type, int against)
{
	sigset_t pending;

	if (open_against(name, against) != WL_OK)
		return WL_FAIL;
	sigpending(&pending);
	if (sigismember(&pending, lease.sig))
		return fail("%s: it was not being broken", name);
	if (take_again(fd, name, type) != WL_OK || open_against(name, against) != WL_OK)
		return WL_FAIL;
	return take_signal(fd);
}

int leases_verify(void)
{
	sigset_t pending;
	int r = check_lease(lease.read, F_RDLCK, "read lease");

	if (r == WL_OK)
		r = check_lease(lease.write, F_WRLCK, "write lease");
	if (r == WL_OK)
		r = check_lease(lease.going, F_UNLCK, "lease that has to go");
	if (r == WL_OK)
		r = check_lease(lease.to_read, F_RDLCK, "lease that has to become a read lease");
	sigpending(&pending);
	if (r == WL_OK && sigismember(&pending, lease.sig))
		r = fail("a signal of a lease that nobody has broken");
	if (r == WL_OK)
		r = check_works(lease.read, "lease-read", F_RDLCK);
	if (r == WL_OK)
		r = check_works(lease.write, "lease-write", F_WRLCK);
	if (r == WL_OK)
		r = check_breaking(lease.going, "lease-going", F_RDLCK, O_WRONLY);
	if (r == WL_OK)
		r = check_breaking(lease.to_read, "lease-to-read", F_WRLCK, O_RDONLY);
	return r;
}

/* ---- lock-queue: a child waits for a lock that its parent has ---- */

struct queue_shared {
	_Atomic uint32_t turns; /* how often the child got it */
	_Atomic uint32_t again; /* how often it shall wait */
};

static struct {
	int fd;
	pid_t child;
	uint32_t rounds;
	struct queue_shared *shared;
} queue;

static int lock_range(int fd, int cmd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = 100, .l_len = 50 };

	return fcntl(fd, cmd, &l);
}

static void queue_child(void *arg)
{
	uint32_t n;

	for (n = 0;; n++) {
		while (queue.shared->again == n)
			futex_wait(&queue.shared->again, n);
		if (lock_range(queue.fd, F_SETLKW, F_WRLCK) < 0)
			return;
		queue.shared->turns = n + 1;
		lock_range(queue.fd, F_SETLK, F_UNLCK);
		futex_wake(&queue.shared->turns);
	}
}

/* procfs shows waiters behind an arrow. */
static bool child_waits(void *arg)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[256];
	bool found = false;
	int pid;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, "->") &&
			sscanf(strstr(line, "->"), "-> %*s %*s %*s %d", &pid) == 1 &&
			pid == queue.child;
	if (f)
		fclose(f);
	return found;
}

static int queue_again(void)
{
	if (lock_range(queue.fd, F_SETLK, F_WRLCK) < 0)
		return fail_errno("locking");
	queue.shared->again = ++queue.rounds;
	futex_wake(&queue.shared->again);
	return wait_until(child_waits, NULL, 20000) ? WL_OK : fail("the child does not wait");
}

int lock_queue_setup(void)
{
	queue.fd = file_make("queue", O_RDWR, 1000, 81);
	queue.shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (queue.fd < 0 || queue.shared == MAP_FAILED)
		return fail_errno("preparing");
	queue.child = child_start(queue_child, NULL);
	return queue.child < 0 ? fail_errno("starting a child") : queue_again();
}

static bool got_turn(void *arg)
{
	return queue.shared->turns == queue.rounds;
}

int lock_queue_verify(void)
{
	if (queue.shared->turns != queue.rounds - 1)
		return fail("the child did not wait for the lock");
	if (!wait_until(child_waits, NULL, 20000))
		return fail("the child does not wait any more");
	if (lock_range(queue.fd, F_SETLK, F_UNLCK) < 0)
		return fail_errno("unlocking");
	if (!wait_until(got_turn, NULL, 20000))
		return fail("the child does not get the lock");
	return queue_again();
}
