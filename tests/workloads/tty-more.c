/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Terminals by lines, their sessions, and the modes of masters. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static int open_pty(int *master, int *slave, int flags)
{
	char name[64];

	*master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*master < 0 || grantpt(*master) < 0 || unlockpt(*master) < 0)
		return skip("no pseudo terminals here: %s", strerrordesc_np(errno));
	if (ptsname_r(*master, name, sizeof(name)) != 0)
		return fail_errno("ptsname");
	*slave = open(name, O_RDWR | O_NOCTTY | flags);
	return *slave < 0 ? fail_errno("%s", name) : WL_OK;
}

/* What one read(2) gives; want NULL: there is nothing. */
static int expect(int fd, const char *want, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[256];
	ssize_t n;

	if (!want)
		return poll(&p, 1, 0) == 0 ? WL_OK : fail("%s: there is more to read", what);
	if (poll(&p, 1, 5000) != 1)
		return fail("%s: there is nothing to read", what);
	n = read(fd, got, sizeof(got));
	if (n < 0)
		return fail_errno("%s", what);
	if ((size_t)n != strlen(want) || memcmp(got, want, (size_t)n))
		return fail("%s: '%.*s' instead of '%s'", what, (int)n, got, want);
	return WL_OK;
}

/* ---- pty-lines: canonical mode, with an end of file and a line that is still typed ---- */

static struct {
	int master, slave;
} lines;

/* Typed text is echoed until the last of it is: then all of it was processed. */
static int lines_type(void)
{
	static const char keys[] = "one\ntwo\004\004thr";
	char echo[64];
	size_t n = 0;

	if (write(lines.master, keys, sizeof(keys) - 1) != sizeof(keys) - 1)
		return fail_errno("typing");
	while (n < 11) {
		ssize_t k = read(lines.master, echo + n, sizeof(echo) - n);

		if (k <= 0)
			return fail_errno("reading the echo");
		n += (size_t)k;
	}
	if (write(lines.slave, "out\n", 4) != 4)
		return fail_errno("writing");
	return n == 11 ? WL_OK : fail("the echo has %zu bytes", n);
}

static int lines_setup(void)
{
	int r = open_pty(&lines.master, &lines.slave, 0);

	return r == WL_OK ? lines_type() : r;
}

static int lines_verify(void)
{
	int r = expect(lines.slave, "one\n", "first line");

	if (r == WL_OK)
		r = expect(lines.slave, "two", "line with a mark");
	if (r == WL_OK)
		r = expect(lines.slave, "", "mark alone");
	if (r == WL_OK)
		r = expect(lines.slave, NULL, "line that is still typed");
	if (r == WL_OK)
		r = expect(lines.master, "out\r\n", "output");
	/* erase a character, and end the line */
	if (r == WL_OK && write(lines.master, "\177ee\n", 4) != 4)
		r = fail_errno("typing");
	if (r == WL_OK)
		r = expect(lines.slave, "thee\n", "line that was still typed");
	if (r == WL_OK && tcflush(lines.master, TCIFLUSH) < 0)
		r = fail_errno("tcflush");
	return r == WL_OK ? lines_type() : r;
}

/* ---- pty-session: a session on a terminal, with its groups ---- */

enum { LEADER, BACK, FRONT, WITHOUT, N_JOBS };

static struct {
	int master, slave;
	struct station *stations;
	struct jobs {
		_Atomic uint32_t ready;
		pid_t pid[N_JOBS];
	} * shared;
	int current; /* /dev/tty, of each process its own */
} session;

static int session_check(void *arg)
{
	size_t who = (size_t)((pid_t *)arg - session.shared->pid);
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	pid_t front = session.shared->pid[FRONT];

	if (who == WITHOUT)
		return fd < 0 && errno == ENXIO ? WL_OK : fail("it has a controlling terminal now");
	if (fd < 0)
		return fail_errno("opening /dev/tty");
	close(fd);
	if (tcgetsid(session.slave) != session.shared->pid[LEADER])
		return fail("the session of the terminal is %d", tcgetsid(session.slave));
	if (tcgetpgrp(session.slave) != front)
		return fail("the foreground group is %d, was %d", tcgetpgrp(session.slave), front);
	if (tcgetpgrp(session.current) != front)
		return fail_errno("/dev/tty leads to another terminal");
	return WL_OK;
}

static void session_job(void *arg)
{
	size_t who = (size_t)((pid_t *)arg - session.shared->pid);

	session.shared->pid[who] = getpid();
	if (who != WITHOUT)
		setpgid(0, 0);
	else
		ioctl(session.slave, TIOCNOTTY);
	session.shared->ready++;
	futex_wake(&session.shared->ready);
	station_serve(&session.stations[who], session_check, arg);
}

static void session_lead(void *arg)
{
	sigset_t stop;
	size_t who;

	session.shared->pid[LEADER] = getpid();
	sigemptyset(&stop);
	sigaddset(&stop, SIGTTOU);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	if (setsid() < 0 || ioctl(session.slave, TIOCSCTTY, 0) < 0)
		_exit(1);
	session.current = open("/dev/tty", O_RDWR | O_CLOEXEC);
	for (who = BACK; who < N_JOBS; who++) {
		if (child_start(session_job, &session.shared->pid[who]) < 0)
			_exit(1);
		while (session.shared->ready < who)
			futex_wait(&session.shared->ready, (uint32_t)who - 1);
	}
	if (tcsetpgrp(session.slave, session.shared->pid[FRONT]) < 0)
		_exit(1);
	session.shared->ready++;
	futex_wake(&session.shared->ready);
	station_serve(&session.stations[LEADER], session_check, arg);
}

static int session_verify(void)
{
	static const char *const names[] = { "leader", "background", "foreground", "without" };
	size_t i;

	for (i = 0; i < N_JOBS; i++)
		if (station_ask(&session.stations[i], names[i]) != WL_OK)
			return WL_FAIL;
	return WL_OK;
}

static int session_setup(void)
{
	int r = open_pty(&session.master, &session.slave, 0);

	if (r != WL_OK)
		return r;
	session.stations = stations_new(N_JOBS + 1);
	if (!session.stations)
		return fail_errno("mmap");
	session.shared = (struct jobs *)(session.stations + N_JOBS);
	if (child_start(session_lead, &session.shared->pid[LEADER]) < 0)
		return fail_errno("fork");
	while (session.shared->ready < N_JOBS)
		futex_wait(&session.shared->ready, session.shared->ready);
	return session_verify();
}

/* ---- pty-modes: what a master can be set to; sides that are left alone ---- */

static struct {
	int packet, packet_slave; /* in packet mode, its slave is exclusive */
	int locked;		  /* never unlocked */
	int closed;		  /* its slave was closed, and had written */
	int hung;		  /* a slave whose master was closed */
} modes;

static int modes_setup(void)
{
	int yes = 1, other, r = open_pty(&modes.packet, &modes.packet_slave, 0);

	if (r == WL_OK)
		r = open_pty(&modes.closed, &other, 0);
	if (r != WL_OK)
		return r;
	if (write(other, "last\n", 5) != 5)
		return fail_errno("writing");
	close(other);
	r = open_pty(&other, &modes.hung, O_NONBLOCK);
	if (r != WL_OK)
		return r;
	close(other);
	modes.locked = posix_openpt(O_RDWR | O_NOCTTY);
	if (modes.locked < 0 || ioctl(modes.packet, TIOCPKT, &yes) < 0 ||
	    ioctl(modes.packet_slave, TIOCEXCL) < 0)
		return fail_errno("setting modes");
	if (write(modes.packet_slave, "x", 1) != 1)
		return fail_errno("writing");
	return WL_OK;
}

static int modes_verify_closed(void)
{
	struct pollfd p = { .fd = modes.closed, .events = POLLIN };
	int waiting = 0;

	if (poll(&p, 1, 5000) != 1 || !(p.revents & POLLHUP))
		return fail("the slave that was closed seems to be open");
	if (ioctl(modes.closed, FIONREAD, &waiting) < 0 || waiting != 6)
		return fail("%d bytes of the slave that was closed", waiting);
	return WL_OK;
}

static int modes_verify(void)
{
	int packet = 0, locked = 0, exclusive = 0;
	struct winsize size;
	char got[8];

	if (ioctl(modes.packet, TIOCGPKT, &packet) < 0 || !packet)
		return fail("packet mode is off");
	if (strict() && (ioctl(modes.packet_slave, TIOCGEXCL, &exclusive) < 0 || !exclusive))
		return fail("the slave is not exclusive");
	if (ioctl(modes.locked, TIOCGPTLCK, &locked) < 0 || !locked)
		return fail("the master is not locked");
	if (ioctl(modes.hung, TIOCGWINSZ, &size) == 0 || errno != EIO)
		return fail("the slave without a master lives");
	if (read(modes.packet, got, sizeof(got)) != 2 || got[0] != TIOCPKT_DATA || got[1] != 'x')
		return fail("the packet is another one");
	if (write(modes.packet_slave, "x", 1) != 1)
		return fail_errno("writing");
	return modes_verify_closed();
}

/* ---- pty-stopped, pty-half: what is refused ---- */

static int stopped_setup(void)
{
	int master, slave, r = open_pty(&master, &slave, 0);

	if (r == WL_OK && tcflow(slave, TCOOFF) < 0)
		r = fail_errno("tcflow");
	return r;
}

/* The master is with a process that leaves the tree. */
static int half_setup(void)
{
	int master, slave, r = open_pty(&master, &slave, 0);
	pid_t pid;

	if (r != WL_OK)
		return r;
	pid = fork();
	if (pid == 0) {
		if (fork() > 0)
			_exit(0);
		setsid();
		close(slave);
		/* until the slave is gone */
		while (read(master, &r, 1) > 0)
			;
		_exit(0);
	}
	close(master);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return pid < 0 ? fail_errno("fork") : WL_OK;
}

static int nothing_verify(void)
{
	return WL_OK;
}

static struct workload_param strict_param[] = { STRICT_PARAM, { 0 } };

const struct workload tty_more_workloads[] = {
	{ "pty-lines", "lines that were typed and not read, and one that is still typed", NULL,
	  lines_setup, lines_verify },
	{ "pty-session", "a session with a controlling terminal and groups", NULL, session_setup,
	  session_verify },
	{ "pty-modes", "packet mode, locks, a closed slave and one that was hung up", strict_param,
	  modes_setup, modes_verify },
	{ "pty-stopped", "output that was stopped", NULL, stopped_setup, nothing_verify },
	{ "pty-half", "a slave whose master is with somebody else", NULL, half_setup,
	  nothing_verify },
	{ 0 },
};
