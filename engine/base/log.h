/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log of one operation. Lines have the shape that runtimes quote:
 * "(00.001234) Error (file:line): text". A library never prints: it is given a log.
 */
#pragma once

#include <time.h>

enum log_level {
	LOG_MSG = 0,
	LOG_ERROR = 1,
	LOG_WARN = 2,
	LOG_INFO = 3,
	LOG_DEBUG = 4,
};

struct err;

/* fd is borrowed; -1 drops everything. start is CLOCK_MONOTONIC at log_init(). */
struct log {
	int fd;
	enum log_level level;
	struct timespec start;
};

/* Starts the clock of the log; fd stays the caller's. */
void log_init(struct log *log, int fd, enum log_level level);

/* Writes one line with a single write(2), so that lines of several processes do not mix. */
void log_write(const struct log *log, enum log_level level, const char *file, int line,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Writes the error as one "Error (file:line): text; hint: ..." line. */
void log_err(const struct log *log, const struct err *err);

#define log_error(log, ...) log_write(log, LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(log, ...) log_write(log, LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(log, ...) log_write(log, LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(log, ...) log_write(log, LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__)
