/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The error object: one failure told as a story (what we were doing, to which object of which
 * task, why, and what to do). Fixed size, no heap, no pointers: it works after out-of-memory, in a
 * forked child, and can be copied byte for byte through shared memory.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum err_class {
	ERR_NONE = 0,
	ERR_INTERNAL,	 /* our own bug */
	ERR_USAGE,	 /* wrong options or arguments */
	ERR_UNSUPPORTED, /* an object that cannot be kept; nothing was touched */
	ERR_ENVIRONMENT, /* kernel, permission, missing tool or file */
	ERR_BUSY,	 /* raced with somebody; trying again is sane */
	ERR_IMAGE,	 /* images, configuration or other input that is not valid */
	ERR_CLASS_COUNT,
};

#define ERR_TEXT_SIZE 6144
#define ERR_HINT_SIZE 512

/*
 * text holds the frames already joined, outermost first ("a: b: c"), each without a final stop.
 * hint is the remedy, empty if none is known. file and line say where the failure began.
 */
struct err {
	enum err_class class;
	int code; /* negative errno of the origin, 0 if unset */
	int line;
	char file[48];
	char hint[ERR_HINT_SIZE];
	char text[ERR_TEXT_SIZE];
};

#define ERR_INIT                  \
	{                         \
		.class = ERR_NONE \
	}

/* Starts a story: replaces what err holds. Returns r, which must be negative. */
int err_origin(struct err *err, const char *file, int line, enum err_class class, int r,
	       const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Like err_origin(), and appends ": " and the meaning of the errno r. */
int err_origin_sys(struct err *err, const char *file, int line, enum err_class class, int r,
		   const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Puts a frame in front of the story ("outer: inner"). Returns r. Class and code stay. */
int err_wrap(struct err *err, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sets the remedy if none is set yet: the innermost hint knows most. */
void err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Exit status of a command for this error: see README.md. */
int err_exit_status(const struct err *err);

/* The word for a class as it appears in JSON ("usage", "unsupported", ...). */
const char *err_class_name(enum err_class class);

/* err_new: an error whose cause is in the text. err_sys: one whose cause is an errno (negative). */
#define err_new(err, class, r, ...) err_origin(err, __FILE__, __LINE__, class, r, __VA_ARGS__)
#define err_sys(err, r, ...) \
	err_origin_sys(err, __FILE__, __LINE__, ERR_ENVIRONMENT, r, __VA_ARGS__)
#define err_nomem(err) err_new(err, ERR_ENVIRONMENT, -ENOMEM, "out of memory")
#define err_image(err, ...) err_new(err, ERR_IMAGE, -EBADMSG, __VA_ARGS__)
#define err_refuse(err, ...) err_new(err, ERR_UNSUPPORTED, -EOPNOTSUPP, __VA_ARGS__)
#define err_usage(err, ...) err_new(err, ERR_USAGE, -EINVAL, __VA_ARGS__)
