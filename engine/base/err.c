/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/err.h"

#include <stdio.h>
#include <string.h>

static void frame_set(struct err *err, const char *file, int line, enum err_class class, int r)
{
	const char *base = strrchr(file, '/');

	memset(err, 0, sizeof(*err));
	err->class = class;
	err->code = r;
	err->line = line;
	snprintf(err->file, sizeof(err->file), "%s", base ? base + 1 : file);
}

int err_origin(struct err *err, const char *file, int line, enum err_class class, int r,
	       const char *fmt, ...)
{
	va_list ap;

	frame_set(err, file, line, class, r);
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return r;
}

int err_origin_sys(struct err *err, const char *file, int line, enum err_class class, int r,
		   const char *fmt, ...)
{
	va_list ap;
	size_t n;

	frame_set(err, file, line, class, r);
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	snprintf(err->text + n, sizeof(err->text) - n, ": %s",
		 strerrordesc_np(-r) ?: "unknown error");
	return r;
}

int err_wrap(struct err *err, int r, const char *fmt, ...)
{
	char frame[1024];
	size_t n, have = strlen(err->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(frame, sizeof(frame) - 2, fmt, ap);
	va_end(ap);
	strcat(frame, ": ");
	n = strlen(frame);
	if (have + n >= sizeof(err->text))
		have = sizeof(err->text) - n - 1;
	memmove(err->text + n, err->text, have);
	err->text[n + have] = '\0';
	memcpy(err->text, frame, n);
	if (err->class == ERR_NONE) {
		err->class = ERR_INTERNAL;
		err->code = r;
	}
	return r;
}

void err_hint(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (err->hint[0])
		return;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}

static const struct {
	const char *name;
	int status;
} classes[ERR_CLASS_COUNT] = {
	[ERR_NONE] = { "none", 0 },
	[ERR_INTERNAL] = { "internal", 1 },
	[ERR_USAGE] = { "usage", 2 },
	[ERR_UNSUPPORTED] = { "unsupported", 3 },
	[ERR_ENVIRONMENT] = { "environment", 4 },
	[ERR_BUSY] = { "busy", 5 },
	[ERR_IMAGE] = { "image", 6 },
};

int err_exit_status(const struct err *err)
{
	return classes[err->class].status;
}

const char *err_class_name(enum err_class class)
{
	return classes[class].name;
}
