// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * System V message queues with their messages, copied without taking them out (MSG_COPY). Times and
 * the pids of the last sender and receiver are not kept.
 */
#include "engine/ns/ipc-priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

#include "engine/base/cleanup.h"
#include "proto/ipc.pb-c.h"

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

enum { PAD = 8 };

/* As msgsnd(2) takes it. */
struct message {
	long type;
	char text[];
};

struct ipc_message {
	uint32_t size;
	const struct message *m;
	struct ipc_message *next;
};

struct ipc_queue {
	struct ipc_desc desc;
	uint64_t bytes_max;
	struct ipc_message *messages;
	struct ipc_queue *next;
};

/* What the visitor reports: a queue, then n times a message head and its bytes, padded. */
struct seen_queue {
	struct ipc_desc desc;
	uint64_t bytes_max, n;
};

struct seen_message {
	int64_t type;
	uint64_t size;
};

static uint64_t padded(uint64_t size)
{
	return (size + PAD - 1) / PAD * PAD;
}

static int look_message(int id, long index, size_t max, struct buf *ret, struct err *err)
{
	static const char zeros[PAD];
	cleanup_free struct message *m = malloc(sizeof(*m) + max);
	struct seen_message seen;
	ssize_t n;

	if (!m)
		return err_nomem(err);
	n = msgrcv(id, m, max, index, IPC_NOWAIT | MSG_COPY);
	if (n < 0) {
		err_sys(err, -errno, "copying message %ld of queue %d", index, id);
		if (err->code == -ENOSYS)
			err_hint(err, "the kernel needs CONFIG_CHECKPOINT_RESTORE");
		return err->code;
	}
	seen = (struct seen_message){ .type = m->type, .size = (uint64_t)n };
	if (buf_append(ret, &seen, sizeof(seen)) < 0 || buf_append(ret, m->text, seen.size) < 0 ||
	    buf_append(ret, zeros, padded(seen.size) - seen.size) < 0)
		return err_nomem(err);
	return 0;
}

static int look_queue(int id, const struct msqid_ds *ds, struct buf *ret, struct err *err)
{
	struct seen_queue seen = { .bytes_max = ds->msg_qbytes, .n = ds->msg_qnum };
	int r = 0;

	ipc_desc_from_perm(id, &ds->msg_perm, &seen.desc);
	if (buf_append(ret, &seen, sizeof(seen)) < 0)
		return err_nomem(err);
	/* msgmax may have been lowered since, but no message is longer than all of them together.
	 */
	for (uint64_t i = 0; i < seen.n && r == 0; i++)
		r = look_message(id, (long)i, ds->__msg_cbytes, ret, err);
	return r;
}

int ipc_msg_look(struct buf *ret, struct err *err)
{
	struct msginfo info;
	int max = msgctl(0, MSG_INFO, (struct msqid_ds *)&info), r = 0;

	if (max < 0)
		return err_sys(err, -errno, "listing message queues");
	for (int i = 0; i <= max && info.msgpool && r == 0; i++) {
		struct msqid_ds ds;
		int id = msgctl(i, MSG_STAT, &ds);

		if (id >= 0)
			r = look_queue(id, &ds, ret, err);
		else if (errno != EINVAL && errno != EIDRM)
			r = err_sys(err, -errno, "reading message queue number %d", i);
	}
	return r;
}

static int add_queue(struct image *img, const char **p, struct err *err)
{
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcMsgEntry e = IPC_MSG_ENTRY__INIT;
	struct seen_queue seen;

	memcpy(&seen, *p, sizeof(seen));
	*p += sizeof(seen);
	ipc_desc_fill(&seen.desc, &desc);
	e.desc = &desc;
	e.qbytes = (uint32_t)seen.bytes_max;
	e.qnum = (uint32_t)seen.n;
	if (image_add(img, &e.base) < 0)
		return err_nomem(err);
	for (uint64_t i = 0; i < seen.n; i++) {
		IpcMsg msg = IPC_MSG__INIT;
		struct seen_message m;

		memcpy(&m, *p, sizeof(m));
		*p += sizeof(m);
		msg.mtype = (uint64_t)m.type;
		msg.msize = (uint32_t)m.size;
		if (image_add(img, &msg.base) < 0 || image_add_raw(img, *p, padded(m.size)) < 0)
			return err_nomem(err);
		*p += padded(m.size);
	}
	return 0;
}

int ipc_msg_dump(struct dump *d, const char *seen, size_t len, struct err *err)
{
	const char *p = seen;
	struct image *img;
	int r = 0;

	if (!len)
		return 0;
	img = image_get(d->images, IMG_IPCNS_MSG, "ipcns-msg-%u.img", d->root_ns.id[NS_IPC]);
	if (!img)
		return err_nomem(err);
	while (p < seen + len && r == 0)
		r = add_queue(img, &p, err);
	return r;
}

static int load_message(struct restore *r, struct image_reader *reader, struct ipc_message **ret,
			struct err *err)
{
	cleanup_msg IpcMsg *e = NULL;
	struct ipc_message *msg = arena_alloc(&r->arena, sizeof(*msg));
	struct message *m;
	const void *raw;
	int q;

	if (!msg)
		return err_nomem(err);
	q = image_next(reader, &ipc_msg__descriptor, &e, err);
	if (q == 0)
		return err_image(err, "'%s': a message is missing", image_name(reader));
	if (q > 0)
		q = image_next_raw(reader, padded(e->msize), &raw, err);
	if (q < 0)
		return q;
	if (!e->mtype || e->mtype > INT64_MAX)
		return err_image(err, "'%s': a message has no valid type", image_name(reader));
	m = arena_alloc(&r->arena, sizeof(*m) + e->msize);
	if (!m)
		return err_nomem(err);
	m->type = (long)e->mtype;
	memcpy(m->text, raw, e->msize);
	msg->size = e->msize;
	msg->m = m;
	*ret = msg;
	return 0;
}

static int load_queue(struct restore *r, struct image_reader *reader, const IpcMsgEntry *e,
		      struct ipc_queue *queue, struct err *err)
{
	struct ipc_message **tail = &queue->messages;
	int q = ipc_desc_load(e->desc, &queue->desc, err);

	queue->bytes_max = e->qbytes;
	for (uint32_t i = 0; i < e->qnum && q == 0; i++) {
		q = load_message(r, reader, tail, err);
		if (q == 0)
			tail = &(*tail)->next;
	}
	return q;
}

int ipc_msg_load(struct restore *r, struct ns_ipc *ipc, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	struct ipc_queue **tail = &ipc->queues;
	int q = image_open(r->images_fd, IMG_IPCNS_MSG, &reader, err, "ipcns-msg-%u.img",
			   r->root_ns.id[NS_IPC]);

	if (q != 0)
		return q == IMAGE_ABSENT ? 0 : q;
	for (;;) {
		cleanup_msg IpcMsgEntry *e = NULL;
		struct ipc_queue *queue;

		q = image_next(reader, &ipc_msg_entry__descriptor, &e, err);
		if (q <= 0)
			return q;
		queue = arena_alloc(&r->arena, sizeof(*queue));
		if (!queue)
			return err_nomem(err);
		q = load_queue(r, reader, e, queue, err);
		if (q < 0)
			return q;
		*tail = queue;
		tail = &queue->next;
	}
}

static int set_queue(int id, const struct ipc_desc *desc, uint64_t bytes_max, struct err *err)
{
	struct msqid_ds ds = { .msg_qbytes = bytes_max };

	ds.msg_perm.uid = desc->uid;
	ds.msg_perm.gid = desc->gid;
	ds.msg_perm.mode = (unsigned short)(desc->mode & 0777);
	if (msgctl(id, IPC_SET, &ds) == 0)
		return 0;
	err_sys(err, -errno, "setting size and owner of message queue %d", id);
	if (err->code == -EPERM)
		err_hint(err, "a queue of more than kernel.msgmnb bytes needs CAP_SYS_RESOURCE");
	return err->code;
}

/* The kernel limits bytes and, by the same number, messages. */
static uint64_t room_needed(const struct ipc_queue *queue)
{
	uint64_t bytes = 0, n = 0;

	for (const struct ipc_message *m = queue->messages; m; m = m->next) {
		bytes += m->size;
		n++;
	}
	return bytes > n ? bytes : n;
}

/* A queue may hold more than its size, if that was lowered: then it is filled before. */
static int fill_queue(int id, const struct ipc_queue *queue, struct err *err)
{
	uint64_t need = room_needed(queue);
	struct msqid_ds now;
	int q = 0;

	if (msgctl(id, IPC_STAT, &now) < 0)
		return err_sys(err, -errno, "reading message queue %d", id);
	if (need > now.msg_qbytes)
		q = set_queue(id, &queue->desc, need, err);
	for (const struct ipc_message *m = queue->messages; m && q == 0; m = m->next)
		if (msgsnd(id, m->m, m->size, IPC_NOWAIT) < 0)
			q = err_sys(err, -errno, "refilling message queue %d", id);
	return q;
}

static int build_queue(const struct ipc_queue *queue, struct err *err)
{
	const struct ipc_desc *desc = &queue->desc;
	int id, q = ipc_next_id("kernel/msg_next_id", desc->id, err);

	if (q < 0)
		return q;
	id = msgget(desc->key, (int)(desc->mode & 0777) | IPC_CREAT | IPC_EXCL);
	if (id < 0)
		return err_sys(err, -errno, "making message queue %d", desc->id);
	if (id != desc->id)
		return err_new(err, ERR_ENVIRONMENT, -EEXIST, "message queue %d got the id %d",
			       desc->id, id);
	q = fill_queue(id, queue, err);
	return q == 0 ? set_queue(id, desc, queue->bytes_max, err) : q;
}

int ipc_msg_build(struct restore *r, struct ns_ipc *ipc, struct err *err)
{
	int q = 0;

	for (const struct ipc_queue *s = ipc->queues; s && q == 0; s = s->next)
		q = build_queue(s, err);
	return q;
}

uint64_t ipc_msg_biggest(const struct ns_ipc *ipc)
{
	uint64_t biggest = 0;

	for (const struct ipc_queue *q = ipc->queues; q; q = q->next)
		for (const struct ipc_message *m = q->messages; m; m = m->next)
			if (m->size > biggest)
				biggest = m->size;
	return biggest;
}
