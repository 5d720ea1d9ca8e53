/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper of messages: a child that takes them out of the queues. It works in memory that it
 * shares with us and outlives us: an end of file on its socket means that the messages go back.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/keeper.h"
#include "engine/ns/mqueue-priv.h"
#include "engine/ns/ns-priv.h"

enum { ALIGN = 8, ROOT_COMMAND_CREATE = 6 /* FSCONFIG_CMD_CREATE */ };

/* Of one queue. Written by the keeper before it says that it is through. */
struct kept {
	size_t at, room; /* where its messages lie, behind the list of these */
	size_t used;
	int fd; /* the keeper's */
};

struct mqueue_keeper {
	struct keeper keeper;
	const struct dump *d;
	size_t n, size;
	struct kept *kept; /* shared; in the order of the queues */
	int *failed;	   /* shared: negative errno */
};

static size_t room_of(size_t len)
{
	return (sizeof(struct kept_message) + len + ALIGN - 1) / ALIGN * ALIGN;
}

/* A mount that is nowhere: mount(2) would need a place, and be seen. */
int mqueue_open_root(void)
{
	cleanup_fd int fs = (int)syscall(SYS_fsopen, "mqueue", 1 /* close on exec */), mnt = -EBADF;
	int fd;

	if (fs < 0 || syscall(SYS_fsconfig, fs, ROOT_COMMAND_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = (int)syscall(SYS_fsmount, fs, 1, 0);
	if (mnt < 0)
		return -errno;
	fd = openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- in the keeper ---- */

static int open_queue(const struct dump_mqueue *q, int root)
{
	const int flags = O_RDWR | O_NONBLOCK | O_CLOEXEC;
	char self[40];
	int fd;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", q->fd);
	fd = q->fd < 0 ? openat(root, q->name, flags) : open(self, flags);
	return fd < 0 ? -errno : fd;
}

static int take(struct kept *k, char *memory, size_t message_size)
{
	for (;;) {
		struct kept_message *m = (void *)(memory + k->at + k->used);
		unsigned int priority = 0;
		ssize_t n;

		if (k->used + room_of(message_size) > k->room)
			return 0; /* there are no more than it has told */
		n = mq_receive(k->fd, m->bytes, message_size, &priority);
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		m->priority = priority;
		m->len = (uint32_t)n;
		k->used += room_of((size_t)n);
	}
}

/* In the order in which they came out: the queue sorts by priority, and then by arrival. */
static void put(const struct kept *k, const char *memory)
{
	size_t at;

	for (at = 0; at < k->used;) {
		const struct kept_message *m = (const void *)(memory + k->at + at);

		mq_send(k->fd, m->bytes, m->len, m->priority);
		at += room_of(m->len);
	}
}

static int enter(const struct dump *d)
{
	cleanup_fd int ns = openat(d->tasks.v[0]->proc_fd, "ns/ipc", O_RDONLY | O_CLOEXEC);

	return ns < 0 || setns(ns, CLONE_NEWIPC) < 0 ? -errno : 0;
}

static int take_queues(const struct mqueue_keeper *k)
{
	const struct dump *d = k->d;
	const struct dump_mqueue *q;
	size_t i = 0;
	int root = -EBADF, r = 0;

	if (ns_is_own(&d->host_ns, &d->root_ns, NS_IPC)) {
		r = enter(d);
		root = r == 0 ? mqueue_open_root() : -EBADF;
		if (r == 0 && root < 0)
			r = root;
	}
	for (q = d->mqueues->first; q && r == 0; q = q->next, i++) {
		if (!q->attr.mq_curmsgs)
			continue;
		k->kept[i].fd = open_queue(q, root);
		r = k->kept[i].fd < 0
			    ? k->kept[i].fd
			    : take(&k->kept[i], (char *)k->kept, (size_t)q->attr.mq_msgsize);
	}
	return r;
}

static void take_all(void *arg)
{
	const struct mqueue_keeper *k = arg;

	*k->failed = take_queues(k);
}

static void put_all(void *arg)
{
	const struct mqueue_keeper *k = arg;
	size_t i;

	for (i = 0; i < k->n; i++)
		put(&k->kept[i], (const char *)k->kept);
}

/* ---- in the engine ---- */

static int keeper_new(struct dump *d, struct dump_mqueues *all, struct mqueue_keeper **ret,
		      struct err *err)
{
	struct mqueue_keeper *k = arena_alloc(&d->arena, sizeof(*k));
	const struct dump_mqueue *q;
	size_t i = 0, messages = 0;

	if (!k)
		return err_nomem(err);
	for (q = all->first; q; q = q->next) {
		k->n++;
		messages += (size_t)q->attr.mq_curmsgs;
	}
	if (!messages)
		return 0;
	k->size = k->n * sizeof(*k->kept) + ALIGN;
	for (q = all->first; q; q = q->next)
		k->size += (size_t)q->attr.mq_curmsgs * room_of((size_t)q->attr.mq_msgsize);
	k->kept = mmap(NULL, k->size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (k->kept == MAP_FAILED)
		return err_nomem(err);
	k->failed = (int *)(k->kept + k->n);
	messages = k->n * sizeof(*k->kept) + ALIGN;
	for (q = all->first; q; q = q->next, i++) {
		k->kept[i].at = messages;
		k->kept[i].room = (size_t)q->attr.mq_curmsgs * room_of((size_t)q->attr.mq_msgsize);
		messages += k->kept[i].room;
	}
	k->keeper.socket = -EBADF;
	k->d = d;
	*ret = k;
	return 0;
}

int mqueue_keeper_start(struct dump *d, struct dump_mqueues *all, struct err *err)
{
	struct keeper_work work = { .what = "messages", .take = take_all, .put_back = put_all };
	struct mqueue_keeper *k = NULL;
	int r = keeper_new(d, all, &k, err);

	if (r < 0 || !k)
		return r;
	all->keeper = k;
	work.arg = k;
	r = keeper_start(&k->keeper, &work, err);
	if (r < 0)
		return r;
	return *k->failed < 0 ? err_sys(err, *k->failed, "taking the messages of a queue") : 0;
}

const struct kept_message *mqueue_keeper_next(const struct dump_mqueues *all,
					      const struct dump_mqueue *q,
					      const struct kept_message *last)
{
	const struct mqueue_keeper *k = all->keeper;
	const char *memory, *at;
	const struct kept *kept;
	const struct dump_mqueue *other;

	if (!k)
		return NULL;
	memory = (const char *)k->kept;
	kept = k->kept;
	for (other = all->first; other != q; other = other->next)
		kept++;
	at = last ? (const char *)last + room_of(last->len) : memory + kept->at;
	return at < memory + kept->at + kept->used ? (const void *)at : NULL;
}

void mqueue_keeper_end(struct dump_mqueues *all, bool put_back)
{
	struct mqueue_keeper *k = all->keeper;

	if (!k)
		return;
	all->keeper = NULL;
	keeper_end(&k->keeper, put_back);
	munmap(k->kept, k->size);
}
