/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The restore of message queues. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/ns/mqueue.h"
#include "engine/ns/ipc-priv.h"
#include "proto/inventory.pb-c.h"
#include "proto/ipc.pb-c.h"

/* The kernel's own limits, HARD_MSGMAX and its like. */
enum { MESSAGES_MAX = 65536, SIZE_MAX_HARD = 16 << 20, PRIORITIES = 32768, TRIES = 100 };

static int check(const MqueueEntry *e, struct err *err)
{
	size_t len = strlen(e->name), i;

	if (!e->id || !len || len >= MQUEUE_NAME_MAX || strchr(e->name, '/') ||
	    strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return err_image(err, "'inventory.img': a message queue with the name '%.20s'",
				 e->name);
	if (!e->max_messages || e->max_messages > MESSAGES_MAX || !e->message_size ||
	    e->message_size > SIZE_MAX_HARD || e->n_messages > e->max_messages)
		return err_image(err,
				 "'inventory.img': message queue '/%s' has %zu messages, %u at the "
				 "most, of %u bytes",
				 e->name, e->n_messages, e->max_messages, e->message_size);
	for (i = 0; i < e->n_messages; i++)
		if (e->messages[i]->priority >= PRIORITIES ||
		    e->messages[i]->data.len > e->message_size)
			return err_image(err,
					 "'inventory.img': message queue '/%s': a message of %zu "
					 "bytes with priority %u",
					 e->name, e->messages[i]->data.len,
					 e->messages[i]->priority);
	return 0;
}

int mqueues_load(struct restore *r, const InventoryEntry *e, struct err *err)
{
	size_t i;

	r->mqueues = e->mqueues;
	r->n_mqueues = e->n_mqueues;
	for (i = 0; i < e->n_mqueues; i++) {
		if (check(e->mqueues[i], err) < 0)
			return err->code;
		if (mqueue_find(r, e->mqueues[i]->id))
			return err_image(err, "'inventory.img': message queue %u is there twice",
					 e->mqueues[i]->id);
		if (idmap_put(&r->mqueues_by_id, &r->arena, e->mqueues[i]->id, 0, e->mqueues[i]) <
		    0)
			return err_nomem(err);
	}
	return 0;
}

const MqueueEntry *mqueue_find(const struct restore *r, uint32_t id)
{
	return idmap_find(&r->mqueues_by_id, id, 0);
}

/* Only one that has lost its name may get another. */
static int open_new(const MqueueEntry *e, char *ret_name)
{
	const int flags = O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL | O_CLOEXEC;
	struct mq_attr attr = { .mq_maxmsg = e->max_messages, .mq_msgsize = e->message_size };
	int fd, i;

	snprintf(ret_name, MQUEUE_NAME_MAX, "%s", e->name);
	for (i = 0;; i++) {
		fd = (int)syscall(SYS_mq_open, ret_name, flags, 0600, &attr);
		if (fd >= 0 || errno != EEXIST || !e->deleted || i == TRIES)
			return fd < 0 ? -errno : fd;
		snprintf(ret_name, MQUEUE_NAME_MAX, "%.200s.%d", e->name, i);
	}
}

int mqueue_make(const MqueueEntry *e, char *ret_name, struct err *err)
{
	cleanup_fd int fd = open_new(e, ret_name);
	size_t i;

	if (fd < 0) {
		err_sys(err, fd, "making message queue '/%s' for %u messages of %u bytes", e->name,
			e->max_messages, e->message_size);
		if (fd == -EMFILE)
			err_hint(err, "raise RLIMIT_MSGQUEUE (ulimit -q)");
		return err->code;
	}
	if (fchown(fd, e->uid, e->gid) < 0 || fchmod(fd, e->mode & 07777) < 0)
		return err_sys(err, -errno, "setting the owner and mode of message queue '/%s'",
			       e->name);
	for (i = 0; i < e->n_messages; i++)
		if (mq_send(fd, (char *)e->messages[i]->data.data, e->messages[i]->data.len,
			    e->messages[i]->priority) < 0)
			return err_sys(err, -errno, "putting a message into queue '/%s'", e->name);
	return take_fd(&fd);
}

/* The settings of the namespace get their values when everything is there. */
static int make_room(struct restore *r, struct err *err)
{
	struct rlimit most = { RLIM_INFINITY, RLIM_INFINITY };
	uint32_t messages = 0, size = 0;
	size_t i;
	int n;

	for (i = 0; i < r->n_mqueues; i++) {
		if (r->mqueues[i]->max_messages > messages)
			messages = r->mqueues[i]->max_messages;
		if (r->mqueues[i]->message_size > size)
			size = r->mqueues[i]->message_size;
	}
	n = ipc_vars_widen(r, "fs/mqueue/queues_max", r->n_mqueues, err);
	if (n == 0)
		n = ipc_vars_widen(r, "fs/mqueue/msg_max", messages, err);
	if (n == 0)
		n = ipc_vars_widen(r, "fs/mqueue/msgsize_max", size, err);
	/* the limits of the tasks are set later; without CAP_SYS_RESOURCE as far as it goes */
	if (setrlimit(RLIMIT_MSGQUEUE, &most) < 0 && getrlimit(RLIMIT_MSGQUEUE, &most) == 0) {
		most.rlim_cur = most.rlim_max;
		setrlimit(RLIMIT_MSGQUEUE, &most);
	}
	return n;
}

int mqueues_build(struct restore *r, struct err *err)
{
	char name[MQUEUE_NAME_MAX];
	size_t i;
	int n = r->n_mqueues ? make_room(r, err) : 0;

	for (i = 0; i < r->n_mqueues && n == 0; i++) {
		if (r->mqueues[i]->deleted)
			continue;
		n = mqueue_make(r->mqueues[i], name, err);
		if (n >= 0)
			close(n);
		n = n < 0 ? n : 0;
	}
	return n;
}
