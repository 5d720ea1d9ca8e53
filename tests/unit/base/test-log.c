/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/err.h"
#include "tests/lib/test.h"

/* A log to a memory file, and what has been written to it since. */
static struct log open_log(enum log_level level)
{
	struct log log;

	log_init(&log, memfd_create("log", MFD_CLOEXEC), level);
	return log;
}

static const char *written(const struct log *log, char *text, size_t size)
{
	ssize_t n = pread(log->fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* "(00.000123) " and gives what stands behind. */
static const char *behind_stamp(const char *line)
{
	check_int(line[0], '(');
	check(isdigit((unsigned char)line[1]) && isdigit((unsigned char)line[2]));
	check_int(line[3], '.');
	for (int i = 4; i < 10; i++)
		check(isdigit((unsigned char)line[i]));
	check_mem(line + 10, ") ", 2);
	return line + 12;
}

TEST(lines_have_the_shape_runtimes_quote)
{
	struct log log = open_log(LOG_DEBUG);
	cleanup_fd int fd = log.fd;
	char text[1024];

	if (!check(fd >= 0))
		return;
	log_write(&log, LOG_ERROR, "engine/files/pipe.c", 42, "cannot %s", "read");
	check_str(behind_stamp(written(&log, text, sizeof(text))),
		  "Error (pipe.c:42): cannot read\n");
	check_int(ftruncate(fd, 0), 0);
	check_int(lseek(fd, 0, SEEK_SET), 0);
	log_write(&log, LOG_WARN, "x.c", 1, "odd");
	check_str(behind_stamp(written(&log, text, sizeof(text))), "Warn  (x.c:1): odd\n");
	check_int(ftruncate(fd, 0), 0);
	check_int(lseek(fd, 0, SEEK_SET), 0);
	log_info(&log, "plain");
	check_str(behind_stamp(written(&log, text, sizeof(text))), "plain\n");
}

TEST(level_drops_lines)
{
	struct log log = open_log(LOG_WARN);
	char text[1024];

	log_info(&log, "no");
	log_debug(&log, "no");
	check_str(written(&log, text, sizeof(text)), "");
	log_warn(&log, "yes");
	check(strstr(written(&log, text, sizeof(text)), "yes\n"));
	close(log.fd);
}

TEST(no_log_is_no_crash)
{
	struct log log;

	log_init(&log, -1, LOG_DEBUG);
	log_error(&log, "nowhere");
	log_error(NULL, "nowhere");
}

TEST(error_object_is_one_line_with_its_hint)
{
	struct log log = open_log(LOG_ERROR);
	struct err err = ERR_INIT;
	char text[1024], expect[256];

	err_new(&err, ERR_BUSY, -EAGAIN, "tree keeps forking");
	snprintf(expect, sizeof(expect), "Error (test-log.c:%d): tree keeps forking", err.line);
	log_err(&log, &err);
	err_hint(&err, "freeze it");
	log_err(&log, &err);
	check(strstr(written(&log, text, sizeof(text)), expect));
	check(strstr(text, "tree keeps forking\n"));
	check(strstr(text, "tree keeps forking; hint: freeze it\n"));
	close(log.fd);
}

TEST(long_lines_are_cut_and_ended)
{
	struct log log = open_log(LOG_ERROR);
	static char big[20000], text[30000];

	memset(big, 'x', sizeof(big) - 1);
	log_error(&log, "%s", big);
	written(&log, text, sizeof(text));
	check(strlen(text) > ERR_TEXT_SIZE);
	check(strlen(text) < sizeof(big));
	check_int(text[strlen(text) - 1], '\n');
	close(log.fd);
}

TEST(a_full_disk_does_not_matter)
{
	cleanup_fd int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct log log;

	if (fd < 0)
		skip("no /dev/full");
	log_init(&log, fd, LOG_ERROR);
	log_error(&log, "lost");
}

TEST_MAIN()
