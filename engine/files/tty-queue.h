/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is on its way through a pseudo terminal: taken out of the kernel's queues, and put back so
 * that whoever reads gets the same bytes in the same portions.
 *
 * The kernel shows these queues to nobody: they can only be read. Input of a slave in canonical
 * mode is a list of lines, each of which is one read(2), and perhaps a line that is still being
 * typed, which no read(2) gives. The masters' side is a plain stream.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <asm/termbits.h>

/* How a line ends. Numbers of the image. */
enum tty_line_end {
	TTY_LINE_CHAR = 0, /* with its last byte: newline, VEOL or VEOL2 */
	TTY_LINE_EOF = 1,  /* with a mark that is not read: VEOF */
	TTY_LINE_OPEN = 2, /* not at all: it is still being typed */
};

struct tty_line {
	uint32_t len, end;
};

/* Two buffers of the kernel's, for what was processed and for what was not, hold less than that. */
enum { TTY_QUEUE_MAX = 64 * 1024, TTY_LINES_MAX = 4096 };

/* What the kernel has processed at most; a full buffer means that more may wait in front of it. */
enum { TTY_PROCESSED_MAX = 4095 };

/* Has no pointers, as it is kept in shared memory. */
struct tty_queue {
	uint32_t len, n_lines; /* n_lines: 0 outside of canonical mode */
	char bytes[TTY_QUEUE_MAX];
	struct tty_line lines[TTY_LINES_MAX];
};

/* Whether a terminal with these settings keeps its input by lines. */
static inline bool tty_is_canonical(const struct termios2 *t)
{
	return (t->c_lflag & (ICANON | EXTPROC)) == ICANON;
}

/*
 * Takes all input out of a slave. slave is a description of our own, with O_NONBLOCK. Settings are
 * changed for a moment and set back. 0, -E2BIG for more than there can be, or another -errno; what
 * was read is in *q in any case.
 */
int tty_queue_take_input(int slave, struct tty_queue *q);

/* Takes all output that waits to be read from a master, which is not in packet mode. */
int tty_queue_take_output(int master, struct tty_queue *q);

/*
 * Puts input back through the master of a terminal whose queues are empty; slave is any description
 * of the other end. The settings are *settings afterwards. -EIO if the kernel did not take it.
 */
int tty_queue_put_input(int master, int slave, const struct termios2 *settings,
			const struct tty_queue *q);

/* Puts output back through a slave. After the input, which makes the terminal echo for a while. */
int tty_queue_put_output(int slave, const struct termios2 *settings, const struct tty_queue *q);

/*
 * Describes bytes without lines as lines (images of CRIU have none): newlines and the settings' own
 * characters end them, the rest ends with a mark.
 */
int tty_queue_split(const struct termios2 *settings, struct tty_queue *q);
