/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pseudo terminal: both ends, settings, and bytes on the way in each direction. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static struct {
	int master, slave;
	char name[64];
	struct termios termios;
	struct winsize size;
} pty;

static const char to_slave[] = "typed by the user", to_master[] = "printed by the program";

static int pty_send(void)
{
	if (write(pty.master, to_slave, sizeof(to_slave)) != sizeof(to_slave) ||
	    write(pty.slave, to_master, sizeof(to_master)) != sizeof(to_master))
		return fail_errno("writing to the terminal");
	return WL_OK;
}

static int pty_setup(void)
{
	struct termios t;

	pty.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty.master < 0 || grantpt(pty.master) < 0 || unlockpt(pty.master) < 0)
		return skip("no pseudo terminals here: %s", strerrordesc_np(errno));
	if (ptsname_r(pty.master, pty.name, sizeof(pty.name)) != 0)
		return fail_errno("ptsname");
	pty.slave = open(pty.name, O_RDWR | O_NOCTTY);
	if (pty.slave < 0 || tcgetattr(pty.slave, &t) < 0)
		return fail_errno("%s", pty.name);
	cfmakeraw(&t);
	t.c_cc[VMIN] = 3;
	t.c_cc[VINTR] = 7;
	cfsetspeed(&t, B19200);
	if (tcsetattr(pty.slave, TCSANOW, &t) < 0 || tcgetattr(pty.slave, &pty.termios) < 0)
		return fail_errno("tcsetattr");
	pty.size = (struct winsize){ .ws_row = 37, .ws_col = 113, .ws_xpixel = 5, .ws_ypixel = 6 };
	if (ioctl(pty.master, TIOCSWINSZ, &pty.size) < 0)
		return fail_errno("TIOCSWINSZ");
	return pty_send();
}

static int pty_verify_settings(void)
{
	struct winsize size;
	struct termios t;
	char name[64];
	struct stat a, b;

	if (tcgetattr(pty.slave, &t) < 0 || ioctl(pty.slave, TIOCGWINSZ, &size) < 0)
		return fail_errno("settings of the terminal");
	if (t.c_iflag != pty.termios.c_iflag || t.c_oflag != pty.termios.c_oflag ||
	    t.c_cflag != pty.termios.c_cflag || t.c_lflag != pty.termios.c_lflag ||
	    memcmp(t.c_cc, pty.termios.c_cc, sizeof(t.c_cc)) || cfgetospeed(&t) != B19200)
		return fail("the settings of the terminal changed");
	if (memcmp(&size, &pty.size, sizeof(size)))
		return fail("the window is %u x %u", size.ws_row, size.ws_col);
	if (ptsname_r(pty.master, name, sizeof(name)) != 0 || strcmp(name, pty.name))
		return fail("the terminal has another name than %s", pty.name);
	if (fstat(pty.slave, &a) < 0 || stat(pty.name, &b) < 0 || a.st_rdev != b.st_rdev)
		return fail("the slave is another terminal");
	return WL_OK;
}

static int pty_take(int fd, const char *want, size_t size, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[64];
	size_t at = 0;

	while (at < size) {
		ssize_t n;

		if (poll(&p, 1, 5000) != 1)
			return fail("%s: only %zu of %zu bytes", what, at, size);
		n = read(fd, got + at, size - at);
		if (n <= 0)
			return fail_errno("%s", what);
		at += (size_t)n;
	}
	if (memcmp(got, want, size))
		return fail("%s: the bytes changed", what);
	return poll(&p, 1, 0) == 0 ? WL_OK : fail("%s: more bytes than there were", what);
}

static int pty_verify(void)
{
	int r = pty_verify_settings();

	if (r == WL_OK)
		r = pty_take(pty.slave, to_slave, sizeof(to_slave), "input not read yet");
	if (r == WL_OK)
		r = pty_take(pty.master, to_master, sizeof(to_master), "output not read yet");
	return r == WL_OK ? pty_send() : r;
}

const struct workload tty_workloads[] = {
	{ "pty", "both ends of a pseudo terminal with unread bytes", NULL, pty_setup, pty_verify },
	{ 0 },
};
