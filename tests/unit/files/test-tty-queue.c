/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits in a pseudo terminal is taken out and put back, and reads are what they would have
 * been. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/files/tty-queue.h"
#include "tests/lib/test.h"

static struct tty_queue in, out;

struct pair {
	int master, slave;
};

static bool pair_open(struct pair *p)
{
	int no = 0;

	p->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (p->master < 0 || ioctl(p->master, TIOCSPTLCK, &no) < 0)
		return false;
	p->slave = ioctl(p->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return p->slave >= 0;
}

static void pair_close(struct pair *p)
{
	close(p->slave);
	close(p->master);
}

/* Each character is echoed as it is. */
static struct termios2 settings(struct pair *p)
{
	struct termios2 t;

	check_int(ioctl(p->slave, TCGETS2, &t), 0);
	t.c_oflag &= ~(tcflag_t)OPOST;
	t.c_lflag &= ~(tcflag_t)(ECHOCTL | ECHOE);
	check_int(ioctl(p->slave, TCSETS2, &t), 0);
	return t;
}

/* The kernel's worker processes what was written. */
static void wait_queued(int fd, int n)
{
	int have = 0, ms;

	for (ms = 0; ms < 5000; ms++) {
		if (ioctl(fd, TIOCINQ, &have) < 0 || have >= n)
			break;
		poll(NULL, 0, 1);
	}
	check_int(have, n);
}

/* The kernel's worker makes room without waking anybody. */
static void put(int fd, const char *text, size_t len)
{
	int flags = fcntl(fd, F_GETFL), ms;

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	for (ms = 0; len && ms < 5000; ms++) {
		ssize_t n = write(fd, text, len);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else {
			poll(NULL, 0, 1);
		}
	}
	check_int(len, 0);
	fcntl(fd, F_SETFL, flags);
}

/* Until that many bytes of echo tell that it was processed; they are taken away. */
static void type(struct pair *p, const char *text, size_t len, int echo)
{
	char ignored[64];

	put(p->master, text, len);
	wait_queued(p->master, echo);
	check_int(read(p->master, ignored, sizeof(ignored)), echo);
}

static void move(struct pair *p)
{
	struct termios2 t;

	check_int(ioctl(p->slave, TCGETS2, &t), 0);
	check_int(tty_queue_take_input(p->slave, &in), 0);
	check_int(tty_queue_take_output(p->master, &out), 0);
	check_int(tty_queue_put_input(p->master, p->slave, &t, &in), 0);
	check_int(tty_queue_put_output(p->slave, &t, &out), 0);
}

static void expect_read(int fd, const char *want, size_t len)
{
	char got[8192];
	ssize_t n = read(fd, got, sizeof(got));

	if (check_int(n, (long)len) && len)
		check(memcmp(got, want, len) == 0);
}

static void expect_none(int fd)
{
	check_int(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
}

TEST(lines_are_kept_one_by_one)
{
	struct pair p;

	if (!pair_open(&p))
		skip("no pseudo terminals here");
	settings(&p);
	type(&p, "first\nsecond\n", 13, 13);
	move(&p);
	expect_read(p.slave, "first\n", 6);
	expect_read(p.slave, "second\n", 7);
	expect_none(p.slave);
	pair_close(&p);
}

TEST(open_line_can_still_be_edited)
{
	struct pair p;

	if (!pair_open(&p))
		skip("no pseudo terminals here");
	settings(&p);
	type(&p, "whole\npartX", 11, 11);
	move(&p);
	type(&p, "\177\n", 2, 2); /* erase, newline */
	expect_read(p.slave, "whole\n", 6);
	expect_read(p.slave, "part\n", 5);
	expect_none(p.slave);
	pair_close(&p);
}

TEST(marks_of_end_of_file_are_kept)
{
	struct pair p;

	if (!pair_open(&p))
		skip("no pseudo terminals here");
	settings(&p);
	type(&p, "a\004\004b\n\004z", 7, 4);
	move(&p);
	check_int(in.n_lines, 5);
	expect_read(p.slave, "a", 1);
	expect_read(p.slave, "", 0);
	expect_read(p.slave, "b\n", 2);
	expect_read(p.slave, "", 0);
	expect_none(p.slave);
	pair_close(&p);
}

TEST(special_bytes_are_taken_literally)
{
	static const char typed[] = "a\026\nb\026\004\026\026\026\010\n";
	static const char read_as[] = "a\nb\004\026\010\n";
	struct pair p;

	if (!pair_open(&p))
		skip("no pseudo terminals here");
	settings(&p);
	type(&p, typed, sizeof(typed) - 1, sizeof(read_as) - 1);
	move(&p);
	expect_read(p.slave, read_as, sizeof(read_as) - 1);
	expect_none(p.slave);
	pair_close(&p);
}

TEST(own_ends_of_lines)
{
	struct termios2 t;
	struct pair p;

	if (!pair_open(&p))
		skip("no pseudo terminals here");
	t = settings(&p);
	t.c_cc[VEOL] = 'x';
	t.c_cc[VEOL2] = 'y';
	check_int(ioctl(p.slave, TCSETS2, &t), 0);
	type(&p, "1x2y3\026x\n", 8, 7);
	move(&p);
	expect_read(p.slave, "1x", 2);
	expect_read(p.slave, "2y", 2);
	expect_read(p.slave, "3x\n", 3);
	expect_none(p.slave);
	pair_close(&p);
}

TEST(echo_is_not_repeated)
{
	struct termios2 t, after;
	struct pair p;

	if (!pair_open(&p))
		skip("no pseudo terminals here");
	check_int(ioctl(p.slave, TCGETS2, &t), 0);
	put(p.master, "hello\nwo", 8);
	wait_queued(p.master, 9);
	check_int(write(p.slave, "out\n", 4), 4);
	move(&p);
	check_int(ioctl(p.slave, TCGETS2, &after), 0);
	check(memcmp(&t, &after, sizeof(t)) == 0);
	expect_read(p.master, "hello\r\nwoout\r\n", 14);
	expect_none(p.master);
	expect_read(p.slave, "hello\n", 6);
	expect_none(p.slave);
	pair_close(&p);
}

TEST(raw_streams_of_any_length)
{
	enum { SIZE = 11000 };
	static char text[SIZE], got[SIZE];
	struct termios2 t;
	struct pair p;
	size_t i, n;

	if (!pair_open(&p))
		skip("no pseudo terminals here");
	t = settings(&p);
	t.c_iflag = t.c_oflag = t.c_lflag = 0;
	t.c_cc[VMIN] = 100;
	check_int(ioctl(p.slave, TCSETS2, &t), 0);
	for (i = 0; i < SIZE; i++)
		text[i] = (char)(i * 7);
	put(p.master, text, SIZE);
	wait_queued(p.slave, TTY_PROCESSED_MAX);
	put(p.slave, text, SIZE);
	move(&p);
	check_int(in.len, SIZE);
	check_int(out.len, SIZE);
	for (n = 0; n < SIZE;) {
		ssize_t k = read(p.slave, got + n, SIZE - n);

		if (!check(k > 0))
			break;
		n += (size_t)k;
	}
	check(memcmp(text, got, SIZE) == 0);
	fcntl(p.master, F_SETFL, O_RDWR | O_NONBLOCK);
	for (n = 0; n < SIZE;) {
		ssize_t k = read(p.master, got + n, SIZE - n);

		if (!check(k > 0))
			break;
		n += (size_t)k;
	}
	check(memcmp(text, got, SIZE) == 0);
	pair_close(&p);
}

TEST(bytes_without_lines_are_split)
{
	struct termios2 t = { .c_lflag = ICANON };

	in.len = 7;
	memcpy(in.bytes, "a\nbc\nde", 7);
	check_int(tty_queue_split(&t, &in), 0);
	if (!check_int(in.n_lines, 3))
		return;
	check_int(in.lines[1].len, 3);
	check_int(in.lines[1].end, TTY_LINE_CHAR);
	check_int(in.lines[2].len, 2);
	check_int(in.lines[2].end, TTY_LINE_EOF);
	t.c_lflag = 0;
	check_int(tty_queue_split(&t, &in), 0);
	check_int(in.n_lines, 0);
}

TEST_MAIN()
