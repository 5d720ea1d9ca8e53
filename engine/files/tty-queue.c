/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/files/tty-queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

/* How long the kernel's worker may take to process what was written. */
enum { PATIENCE_MS = 5000 };

/* Characters that are given a meaning while lines are put back. */
enum { CHAR_EOF = 0x04, CHAR_ERASE = 0x08, CHAR_LITERAL = 0x16 };

static int set_settings(int fd, const struct termios2 *t)
{
	return ioctl(fd, TCSETS2, t) < 0 ? -errno : 0;
}

/* Locked settings would not follow ours. */
static int unlock_settings(int fd, struct termios *ret_locked, bool *ret_any)
{
	static const struct termios none;

	memset(ret_locked, 0, sizeof(*ret_locked));
	*ret_any = false;
	if (ioctl(fd, TIOCGLCKTRMIOS, ret_locked) < 0)
		return -errno;
	if (memcmp(ret_locked, &none, sizeof(none)) == 0)
		return 0;
	*ret_any = true;
	return ioctl(fd, TIOCSLCKTRMIOS, &none) < 0 ? -errno : 0;
}

static bool is_end(const struct termios2 *t, char c)
{
	unsigned char u = (unsigned char)c;

	return c == '\n' ||
	       (u && (u == t->c_cc[VEOL] || (u == t->c_cc[VEOL2] && t->c_lflag & IEXTEN)));
}

static int note_line(struct tty_queue *q, uint32_t len, enum tty_line_end end)
{
	if (q->n_lines == TTY_LINES_MAX)
		return -E2BIG;
	q->lines[q->n_lines++] = (struct tty_line){ len, end };
	return 0;
}

/* One read(2). Positive: that many bytes were added; 0: end of file or nothing; or -errno. */
static ssize_t take_some(int fd, struct tty_queue *q)
{
	ssize_t n;

	if (q->len == TTY_QUEUE_MAX)
		return -E2BIG;
	n = read(fd, q->bytes + q->len, TTY_QUEUE_MAX - q->len);
	if (n > 0)
		q->len += (uint32_t)n;
	return n < 0 ? -errno : n;
}

/* A poll makes the kernel process what waits; a line that is there is one read. */
static int take_lines(int slave, const struct termios2 *t, struct tty_queue *q)
{
	struct pollfd p = { .fd = slave, .events = POLLIN };
	int r = 0;

	while (r == 0 && poll(&p, 1, 0) == 1 && p.revents & POLLIN) {
		ssize_t n = take_some(slave, q);

		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		r = note_line(q, (uint32_t)n,
			      n && is_end(t, q->bytes[q->len - 1]) ? TTY_LINE_CHAR : TTY_LINE_EOF);
	}
	return r;
}

/* Only once the lines are out: the change makes one of all that is there. */
static int take_open_line(int slave, const struct termios2 *t, struct tty_queue *q)
{
	struct termios2 raw = *t;
	ssize_t n;
	int r, back;

	raw.c_lflag &= ~(tcflag_t)ICANON;
	r = set_settings(slave, &raw);
	if (r < 0)
		return r;
	n = take_some(slave, q);
	if (n > 0)
		r = note_line(q, (uint32_t)n, TTY_LINE_OPEN);
	else if (n < 0 && n != -EAGAIN)
		r = (int)n;
	back = set_settings(slave, t);
	return r < 0 ? r : back;
}

static int take_stream(int fd, struct tty_queue *q)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	/* settings may ask for a number of bytes before a poll says yes: a slave is just read */
	for (;;) {
		ssize_t n = take_some(fd, q);

		if (n > 0)
			continue;
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
			return 0;
	}
}

int tty_queue_take_input(int slave, struct tty_queue *q)
{
	struct termios locked;
	struct termios2 t;
	bool any;
	int r;

	q->len = q->n_lines = 0;
	if (ioctl(slave, TCGETS2, &t) < 0)
		return -errno;
	if (!tty_is_canonical(&t))
		return take_stream(slave, q);
	r = unlock_settings(slave, &locked, &any);
	if (r < 0)
		return r;
	r = take_lines(slave, &t, q);
	if (r == 0)
		r = take_open_line(slave, &t, q);
	if (any && ioctl(slave, TIOCSLCKTRMIOS, &locked) < 0 && r == 0)
		r = -errno;
	return r;
}

/* The description is the task's, and may block: it is read only when there is something. */
int tty_queue_take_output(int master, struct tty_queue *q)
{
	struct pollfd p = { .fd = master, .events = POLLIN };

	q->len = q->n_lines = 0;
	while (poll(&p, 1, 0) == 1 && p.revents & POLLIN) {
		ssize_t n = take_some(master, q);

		if (n <= 0)
			return (int)n;
	}
	return 0;
}

static int write_some(int fd, const char *p, size_t len)
{
	int ms = 0;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			ms = 0;
		} else if (n == 0 || errno != EAGAIN || ms++ == PATIENCE_MS) {
			return n < 0 ? -errno : -EIO;
		} else {
			/* nobody is woken when the kernel's worker makes room */
			poll(NULL, 0, 1);
		}
	}
	return 0;
}

/* So much fits at once, always. More might wait for a reader, who does not come. */
enum { FITS = 4096 };

static int write_all(int fd, const char *p, size_t len)
{
	int flags = fcntl(fd, F_GETFL), r;

	if (flags < 0)
		return -errno;
	if (len <= FITS || flags & O_NONBLOCK)
		return write_some(fd, p, len);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = write_some(fd, p, len);
	return fcntl(fd, F_SETFL, flags) < 0 && r == 0 ? -errno : r;
}

/* A worker of the kernel processes what was written, with the settings of that moment. */
static int wait_processed(int slave, size_t len)
{
	int want = len < TTY_PROCESSED_MAX ? (int)len : TTY_PROCESSED_MAX, have = 0, ms;

	for (ms = 0; ms < PATIENCE_MS; ms++) {
		if (ioctl(slave, TIOCINQ, &have) < 0)
			return -errno;
		if (have >= want)
			return 0;
		poll(NULL, 0, 1);
	}
	return -EIO;
}

static int put_stream(int master, int slave, const struct termios2 *t, const struct tty_queue *q)
{
	struct termios2 plain = *t;
	int r;

	plain.c_iflag = 0;
	plain.c_lflag &= ICANON | EXTPROC;
	r = set_settings(master, &plain);
	if (r == 0)
		r = write_all(master, q->bytes, q->len);
	return r == 0 ? wait_processed(slave, q->len) : r;
}

/* ---- lines ---- */

/*
 * Canonical mode with nothing but newline, the ends of lines that the settings have, and three
 * characters of ours. It echoes, so that the master's side tells when all has been processed.
 */
static struct termios2 line_settings(const struct termios2 *t)
{
	struct termios2 s = *t;
	cc_t eol = t->c_cc[VEOL], eol2 = t->c_cc[VEOL2];

	s.c_iflag = 0;
	s.c_oflag &= ~(tcflag_t)OPOST;
	s.c_lflag = ICANON | IEXTEN | ECHO;
	memset(s.c_cc, 0, sizeof(s.c_cc));
	s.c_cc[VEOL] = eol;
	s.c_cc[VEOL2] = eol2;
	s.c_cc[VEOF] = CHAR_EOF;
	s.c_cc[VERASE] = CHAR_ERASE;
	s.c_cc[VLNEXT] = CHAR_LITERAL;
	return s;
}

struct typing {
	char *keys;
	size_t n, echoed;
};

static void type_text(struct typing *ty, const struct termios2 *t, const char *p, size_t len)
{
	for (; len; len--, p++) {
		unsigned char c = (unsigned char)*p;

		if (c == CHAR_EOF || c == CHAR_ERASE || c == CHAR_LITERAL || c == '\n' ||
		    (c && (c == t->c_cc[VEOL] || c == t->c_cc[VEOL2])))
			ty->keys[ty->n++] = CHAR_LITERAL;
		ty->keys[ty->n++] = *p;
		ty->echoed++;
	}
}

static void type_line(struct typing *ty, const struct termios2 *t, const char *p,
		      const struct tty_line *line)
{
	size_t text = line->len - (line->end == TTY_LINE_CHAR);

	type_text(ty, t, p, text);
	if (line->end == TTY_LINE_CHAR) {
		ty->keys[ty->n++] = p[text];
		ty->echoed++;
	} else if (line->end == TTY_LINE_EOF) {
		ty->keys[ty->n++] = CHAR_EOF;
	}
}

/* A character that is typed and erased again: its echo comes when all before it is processed. */
static void type_mark(struct typing *ty, const struct termios2 *t)
{
	char c = 'x';

	while (is_end(t, c))
		c++;
	ty->keys[ty->n++] = c;
	ty->keys[ty->n++] = CHAR_ERASE;
	ty->echoed += 2;
}

static int wait_echo(int master, size_t want)
{
	char echo[4096];

	while (want) {
		struct pollfd p = { .fd = master, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, PATIENCE_MS) != 1 || !(p.revents & POLLIN))
			return -EIO;
		n = read(master, echo, want < sizeof(echo) ? want : sizeof(echo));
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		want -= (size_t)n;
	}
	return 0;
}

static int put_lines(int master, const struct termios2 *t, const struct tty_queue *q)
{
	cleanup_free char *keys = malloc(2 * (size_t)q->len + q->n_lines + 8);
	struct typing ty = { .keys = keys };
	struct termios2 s = line_settings(t);
	uint32_t i, at = 0;
	int r;

	if (!keys)
		return -ENOMEM;
	for (i = 0; i < q->n_lines && q->lines[i].end != TTY_LINE_OPEN; i++) {
		type_line(&ty, t, q->bytes + at, &q->lines[i]);
		at += q->lines[i].len;
	}
	type_mark(&ty, t);
	if (i < q->n_lines)
		type_line(&ty, t, q->bytes + at, &q->lines[i]);
	r = set_settings(master, &s);
	if (r == 0)
		r = write_all(master, ty.keys, ty.n);
	return r == 0 ? wait_echo(master, ty.echoed) : r;
}

int tty_queue_put_input(int master, int slave, const struct termios2 *settings,
			const struct tty_queue *q)
{
	struct termios locked;
	bool any = false;
	int r = 0, back;

	if (!q->len && !q->n_lines)
		return set_settings(master, settings);
	r = unlock_settings(master, &locked, &any);
	if (r < 0)
		return r;
	if (tty_is_canonical(settings))
		r = put_lines(master, settings, q);
	else
		r = put_stream(master, slave, settings, q);
	back = set_settings(master, settings);
	if (any && ioctl(master, TIOCSLCKTRMIOS, &locked) < 0 && back == 0)
		back = -errno;
	return r < 0 ? r : back;
}

int tty_queue_put_output(int slave, const struct termios2 *settings, const struct tty_queue *q)
{
	struct termios2 plain = *settings;
	struct termios locked;
	bool any = false;
	int r, back;

	if (!q->len)
		return 0;
	plain.c_oflag &= ~(tcflag_t)OPOST;
	r = unlock_settings(slave, &locked, &any);
	if (r == 0)
		r = set_settings(slave, &plain);
	if (r < 0)
		return r;
	r = write_all(slave, q->bytes, q->len);
	back = set_settings(slave, settings);
	if (any && ioctl(slave, TIOCSLCKTRMIOS, &locked) < 0 && back == 0)
		back = -errno;
	return r < 0 ? r : back;
}

int tty_queue_split(const struct termios2 *settings, struct tty_queue *q)
{
	uint32_t i, start = 0;
	int r = 0;

	q->n_lines = 0;
	if (!tty_is_canonical(settings))
		return 0;
	for (i = 0; i < q->len && r == 0; i++) {
		if (!is_end(settings, q->bytes[i]))
			continue;
		r = note_line(q, i + 1 - start, TTY_LINE_CHAR);
		start = i + 1;
	}
	return r == 0 && start < q->len ? note_line(q, q->len - start, TTY_LINE_EOF) : r;
}
