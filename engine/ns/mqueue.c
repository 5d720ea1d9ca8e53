/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dump of message queues. */
#include "engine/ns/mqueue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/ns/mqueue-priv.h"
#include "engine/ns/ns-priv.h"
#include "proto/inventory.pb-c.h"
#include "proto/ipc.pb-c.h"

/* What a queue tells of itself. */
struct seen {
	char name[MQUEUE_NAME_MAX];
	dev_t dev;
	ino_t ino;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	nlink_t nlink;
	struct mq_attr attr;
	int listener; /* the process that has asked for a signal at the next message, or 0 */
};

static struct dump_mqueues *mqueues_of(struct dump *d)
{
	if (!d->mqueues) {
		d->mqueues = arena_alloc(&d->arena, sizeof(*d->mqueues));
		if (d->mqueues)
			d->mqueues->end = &d->mqueues->first;
	}
	return d->mqueues;
}

/* A read gives the line "QSIZE:n NOTIFY:n SIGNO:n NOTIFY_PID:n", and takes nothing away. */
static int look_at(int fd, struct seen *ret)
{
	char text[128];
	const char *pid;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || syscall(SYS_mq_getsetattr, fd, NULL, &ret->attr) < 0)
		return -errno;
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	pid = strstr(text, "NOTIFY_PID:");
	if (!pid || sscanf(pid, "NOTIFY_PID:%d", &ret->listener) != 1)
		return -EPROTO;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->mode = st.st_mode & 07777;
	ret->uid = st.st_uid;
	ret->gid = st.st_gid;
	ret->nlink = st.st_nlink;
	return 0;
}

/* Takes it along. fd: of ours, or -1. */
static int add(struct dump *d, const struct dump_task *task, const struct seen *s, int fd,
	       uint32_t *ret_id, struct err *err)
{
	struct dump_mqueues *all = d->mqueues;
	struct dump_mqueue *q = arena_alloc(&d->arena, sizeof(*q));

	if (!q || !(q->name = arena_strdup(&d->arena, s->name)) ||
	    idmap_put(&all->known, &d->arena, s->dev, s->ino, q) < 0)
		return err_nomem(err);
	q->id = *ret_id = ++all->last_id;
	q->deleted = s->nlink == 0;
	q->fd = fd;
	q->mode = s->mode;
	q->attr = s->attr;
	*all->end = q;
	all->end = &q->next;
	if (ns_inside_uid(d, s->uid, &q->uid) < 0 || ns_inside_gid(d, s->gid, &q->gid) < 0)
		dump_refuse(d, task,
			    "message queue '/%s': its owner %u:%u is not known in the user "
			    "namespace",
			    s->name, s->uid, s->gid);
	if (s->listener)
		dump_refuse(d, task,
			    "message queue '/%s': process %d waits to be notified (mq_notify), "
			    "which cannot be kept",
			    s->name, s->listener);
	return 0;
}

/* One that stays: what the task has registered with it would be lost. */
static int leave_there(struct dump *d, const struct dump_task *task, const struct seen *s,
		       struct err *err)
{
	static struct dump_mqueue outside; /* its number is 0 */

	if (s->listener && dump_task_by_pid(d, s->listener))
		dump_refuse(d, task,
			    "message queue '/%s': process %d waits to be notified (mq_notify), "
			    "which cannot be kept",
			    s->name, s->listener);
	return idmap_put(&d->mqueues->known, &d->arena, s->dev, s->ino, &outside) < 0
		       ? err_nomem(err)
		       : 0;
}

int mqueue_note(struct dump *d, const struct dump_task *task, int fd, const struct stat *st,
		const char *name, uint32_t *ret_id, struct err *err)
{
	struct dump_mqueues *all = mqueues_of(d);
	const struct dump_mqueue *q;
	cleanup_fd int own = -EBADF;
	struct seen s = { 0 };
	char self[40];
	int r;

	if (!all)
		return err_nomem(err);
	q = idmap_find(&all->known, st->st_dev, st->st_ino);
	*ret_id = q ? q->id : 0;
	if (q)
		return 0;
	/* the task's may be for writing only */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	own = open(self, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	r = own < 0 ? -errno : look_at(own, &s);
	if (r < 0)
		return err_sys(err, r, "looking at message queue '/%s'", name);
	snprintf(s.name, sizeof(s.name), "%s", name);
	if (s.nlink && !ns_is_own(&d->host_ns, &d->root_ns, NS_IPC))
		return leave_there(d, task, &s, err);
	return add(d, task, &s, fd, ret_id, err);
}

/* In the visitor. */
static int list_all(void *unused, struct buf *ret, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	int root = mqueue_open_root(), r = 0;

	if (root == -ENODEV || root == -EINVAL)
		return 0; /* a kernel without message queues */
	if (root < 0 || !(dir = fdopendir(root)))
		return err_sys(err, root < 0 ? root : -errno, "listing the message queues");
	while (r == 0 && (e = readdir(dir))) {
		cleanup_fd int fd = -EBADF;
		struct seen s = { 0 };

		if (e->d_name[0] == '.' && (!e->d_name[1] || !strcmp(e->d_name, "..")))
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		r = fd < 0 ? -errno : look_at(fd, &s);
		snprintf(s.name, sizeof(s.name), "%s", e->d_name);
		if (r < 0)
			err_sys(err, r, "looking at message queue '/%s'", e->d_name);
		else if (buf_append(ret, &s, sizeof(s)) < 0)
			r = err_nomem(err);
	}
	return r;
}

int mqueues_collect(struct dump *d, struct err *err)
{
	struct dump_mqueues *all = mqueues_of(d);
	cleanup_buf struct buf b = BUF_INIT;
	size_t at;
	int r;

	if (!all)
		return err_nomem(err);
	/* our rights over the host's mounts are needed to mount anything */
	r = ns_visit_pid(d->tasks.v[0]->pid, NS_IPC, false, list_all, NULL, &b, err);
	for (at = 0; r == 0 && at < b.len; at += sizeof(struct seen)) {
		struct seen s;
		uint32_t id;

		memcpy(&s, b.data + at, sizeof(s));
		if (!idmap_find(&all->known, s.dev, s.ino))
			r = add(d, NULL, &s, -EBADF, &id, err);
	}
	return r;
}

int mqueues_drain(struct dump *d, struct err *err)
{
	return d->mqueues ? mqueue_keeper_start(d, d->mqueues, err) : 0;
}

void mqueues_put_back(struct dump *d)
{
	if (d->mqueues)
		mqueue_keeper_end(d->mqueues, true);
}

void mqueues_done(struct dump *d)
{
	if (d->mqueues)
		mqueue_keeper_end(d->mqueues, false);
}

/* ---- the image ---- */

static MqueueMessage **fill_messages(struct dump *d, const struct dump_mqueue *q, size_t *ret_n)
{
	const struct kept_message *k;
	MqueueMessage **list, *m;
	size_t n = 0;

	for (k = mqueue_keeper_next(d->mqueues, q, NULL); k;
	     k = mqueue_keeper_next(d->mqueues, q, k))
		n++;
	list = arena_alloc(&d->arena, (n + 1) * sizeof(*list));
	m = arena_alloc(&d->arena, (n + 1) * sizeof(*m));
	if (!list || !m)
		return NULL;
	for (k = mqueue_keeper_next(d->mqueues, q, NULL); k;
	     k = mqueue_keeper_next(d->mqueues, q, k)) {
		mqueue_message__init(m);
		m->priority = k->priority;
		m->data.data = (uint8_t *)k->bytes;
		m->data.len = k->len;
		list[(*ret_n)++] = m++;
	}
	return list;
}

int mqueues_fill(struct dump *d, InventoryEntry *inventory)
{
	const struct dump_mqueue *q;
	MqueueEntry *e;
	size_t n = 0;

	for (q = d->mqueues ? d->mqueues->first : NULL; q; q = q->next)
		n++;
	inventory->mqueues = arena_alloc(&d->arena, (n + 1) * sizeof(*inventory->mqueues));
	e = arena_alloc(&d->arena, (n + 1) * sizeof(*e));
	if (!inventory->mqueues || !e)
		return -ENOMEM;
	for (q = n ? d->mqueues->first : NULL; q; q = q->next, e++) {
		mqueue_entry__init(e);
		e->id = q->id;
		e->name = (char *)q->name;
		e->mode = q->mode;
		e->uid = q->uid;
		e->gid = q->gid;
		e->max_messages = (uint32_t)q->attr.mq_maxmsg;
		e->message_size = (uint32_t)q->attr.mq_msgsize;
		e->has_deleted = e->deleted = q->deleted;
		e->messages = fill_messages(d, q, &e->n_messages);
		if (!e->messages)
			return -ENOMEM;
		inventory->mqueues[inventory->n_mqueues++] = e;
	}
	return 0;
}
