/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/core/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "proto/core.pb-c.h"

struct restore_task *restore_holder(const struct restore *r, size_t i)
{
	if (i < r->tasks.n)
		return r->tasks.v[i];
	i -= r->tasks.n;
	return i < r->holders.n ? r->holders.v[i] : NULL;
}

const char *restore_task_name(struct restore *r, const struct restore_task *task)
{
	const CoreEntry *core = task->threads.n ? task->threads.v[0]->core : NULL;
	char *s = arena_printf(&r->arena, "task %d (%s)", task->ns_pid,
			       core && core->tc ? arena_printable(&r->arena, core->tc->comm) : "?");

	return s ? s : "a task";
}

int restore_reopen(const struct restore *r, int fd, int flags)
{
	char self[32];
	int n;

	snprintf(self, sizeof(self), "self/fd/%d", fd);
	n = openat(r->proc_fd, self, flags | O_CLOEXEC | O_NOCTTY);
	return n < 0 ? -errno : n;
}

int restore_notify(struct restore *r, const char *stage, pid_t pid, int fd, struct err *err)
{
	const struct ckpt_options *o = r->opts;
	int n = o->notify ? o->notify(o->notify_arg, stage, pid, fd, err) : 0;

	return n < 0 ? err_wrap(err, n, "notifying '%s'", stage) : 0;
}

int restore_keep(struct restore *r, void *msg)
{
	ProtobufCMessage **slot = vec_add(&r->messages);

	if (!slot) {
		protobuf_c_message_free_unpacked(msg, NULL);
		return -ENOMEM;
	}
	*slot = msg;
	return 0;
}

static void *alloc_still(void *still, size_t size)
{
	return still_alloc(still, size);
}

static void free_still(void *still, void *p)
{
	still_free(still, p);
}

/* Builders hardly look at these messages, and there are many. */
int restore_read_one(struct restore *r, enum image_type type,
		     const ProtobufCMessageDescriptor *desc, void *ret, struct err *err,
		     const char *fmt, ...)
{
	const ProtobufCAllocator still = { alloc_still, free_still, &r->still };
	cleanup_reader struct image_reader *reader = NULL;
	char name[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	n = image_open(r->images_fd, type, &reader, err, "%s", name);
	if (n == IMAGE_ABSENT) {
		err_image(err, "image '%s' is missing", name);
		err_hint(err, "the checkpoint is not complete; copy all files of its directory");
		return -EBADMSG;
	}
	if (n < 0)
		return n;
	image_reader_alloc_from(reader, &still);
	return image_one(reader, desc, ret, err);
}
