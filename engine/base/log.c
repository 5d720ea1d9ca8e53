/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/err.h"

void log_init(struct log *log, int fd, enum log_level level)
{
	log->fd = fd;
	log->level = level;
	clock_gettime(CLOCK_MONOTONIC, &log->start);
}

static size_t stamp(const struct log *log, char *buf, size_t size)
{
	struct timespec now;
	long us;

	clock_gettime(CLOCK_MONOTONIC, &now);
	us = (now.tv_sec - log->start.tv_sec) * 1000000 + (now.tv_nsec - log->start.tv_nsec) / 1000;
	return (size_t)snprintf(buf, size, "(%02ld.%06ld) ", us / 1000000, us % 1000000);
}

void log_write(const struct log *log, enum log_level level, const char *file, int line,
	       const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char buf[ERR_TEXT_SIZE + ERR_HINT_SIZE + 256];
	size_t n;
	va_list ap;

	if (!log || log->fd < 0 || level > log->level)
		return;
	base = base ? base + 1 : file;
	n = stamp(log, buf, sizeof(buf));
	if (level == LOG_ERROR || level == LOG_WARN)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n,
				      "%s (%s:%d): ", level == LOG_ERROR ? "Error" : "Warn ", base,
				      line);
	va_start(ap, fmt);
	n += (size_t)vsnprintf(buf + n, sizeof(buf) - n, fmt, ap);
	va_end(ap);
	if (n > sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	buf[n++] = '\n';
	if (write(log->fd, buf, n) < 0)
		return; /* a full disk must not fail the operation that is being logged */
}

void log_err(const struct log *log, const struct err *err)
{
	if (err->hint[0])
		log_write(log, LOG_ERROR, err->file, err->line, "%s; hint: %s", err->text,
			  err->hint);
	else
		log_write(log, LOG_ERROR, err->file, err->line, "%s", err->text);
}
