/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues are read with MSG_PEEK. The packets behind the first one can be seen only with a peek
 * offset (SO_PEEK_OFF), which is a state of the socket: it is set, used and taken back in a child
 * process, so that it is taken back also if the engine is killed meanwhile.
 */
#include "engine/sockets/queue.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/sockets/sockopts.h"
#include "proto/sockets.pb-c.h"

/* Of a stream, so many bytes go into one record. */
#define STREAM_RECORD 32768u

/* A record of more is not from a socket: the kernel's limit of a send buffer is lower. */
#define PACKET_MAX (256u << 20)

/* ---- dump ---- */

static int write_packet(struct dump *d, uint32_t id, const void *data, size_t len, struct err *err)
{
	struct image *img = image_get(d->images, IMG_SK_QUEUES, "sk-queues.img");
	SkPacketEntry e = SK_PACKET_ENTRY__INIT;

	e.id_for = id;
	e.length = (uint32_t)len;
	if (!img || image_add(img, &e.base) < 0 || (len && image_add_raw(img, data, len) < 0))
		return err_nomem(err);
	return 0;
}

int queue_capture_stream(struct dump *d, int sk, uint32_t id, struct err *err)
{
	cleanup_free char *data = NULL;
	int len = 0, r;
	ssize_t n;
	size_t at;

	if (ioctl(sk, SIOCINQ, &len) < 0)
		return err_sys(err, -errno, "asking for the length of the queue");
	if (!len)
		return 0;
	data = malloc((size_t)len + 1);
	if (!data)
		return err_nomem(err);
	n = recv(sk, data, (size_t)len + 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return err_sys(err, -errno, "looking into the queue");
	/* one read stops where descriptors or other credentials come along, and at urgent data */
	if (n != len)
		return QUEUE_HAS_CONTROL;
	for (at = 0; at < (size_t)n; at += STREAM_RECORD) {
		size_t part = (size_t)n - at < STREAM_RECORD ? (size_t)n - at : STREAM_RECORD;

		r = write_packet(d, id, data + at, part, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What the child hands back in a memfd: this, then the bytes, for each packet. */
struct peeked {
	uint64_t len;
};

static int set_offset(int sk, int off)
{
	return setsockopt(sk, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0 ? -errno : 0;
}

/* Looks at the next packet, with a buffer that grows until the packet fits. */
static ssize_t peek_one(int sk, struct buf *b, int off, int *ret_flags)
{
	for (;;) {
		struct iovec iov = { b->data, b->cap };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n = recvmsg(sk, &m, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
		int r;

		if (n < 0)
			return -errno;
		*ret_flags = m.msg_flags;
		if (!(m.msg_flags & MSG_TRUNC))
			return n;
		/* the offset went as far as the buffer did */
		r = set_offset(sk, off);
		if (r == 0)
			r = buf_reserve(b, (size_t)n + 1);
		if (r < 0)
			return r;
	}
}

static int peek_all(int sk, int out, bool rcv_shut)
{
	struct buf b = BUF_INIT;
	int off = 0, flags = 0, r = buf_reserve(&b, 65536);

	while (r == 0) {
		ssize_t n = peek_one(sk, &b, off, &flags);
		struct peeked p = { (uint64_t)n };

		if (n == -EAGAIN || (n == 0 && rcv_shut))
			break;
		/* without a place for control messages the kernel only tells that there are some */
		if (n >= 0 && flags & MSG_CTRUNC)
			r = QUEUE_HAS_CONTROL;
		else if (n < 0)
			r = (int)n;
		else if ((r = io_write_all(out, &p, sizeof(p))) == 0 && n > 0)
			r = io_write_all(out, b.data, (size_t)n);
		off += (int)n;
	}
	buf_done(&b);
	return r;
}

/* In the child. The exit status is an errno, or QUEUE_CODE for QUEUE_HAS_CONTROL. */
enum { QUEUE_CODE = 255 };

static void peek_child(int sk, int out, bool rcv_shut)
{
	int r = set_offset(sk, 0), back;

	if (r == 0)
		r = peek_all(sk, out, rcv_shut);
	back = set_offset(sk, -1);
	if (r == 0)
		r = back;
	_exit(r == QUEUE_HAS_CONTROL ? QUEUE_CODE : -r);
}

static int run_child(int sk, int out, bool rcv_shut, struct err *err)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(err, -errno, "starting a process to look into the queue");
	if (pid == 0)
		peek_child(sk, out, rcv_shut);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno,
				       "waiting for the process that looks into the queue");
	if (!WIFEXITED(status))
		return err_new(err, ERR_ENVIRONMENT, -EINTR,
			       "the process that looks into the queue was killed");
	if (WEXITSTATUS(status) == QUEUE_CODE)
		return QUEUE_HAS_CONTROL;
	return WEXITSTATUS(status) ? err_sys(err, -WEXITSTATUS(status), "looking into the queue")
				   : 0;
}

int queue_capture_packets(struct dump *d, int sk, uint32_t id, bool rcv_shut, struct err *err)
{
	cleanup_fd int out = memfd_create("queue", MFD_CLOEXEC);
	cleanup_buf struct buf b = BUF_INIT;
	size_t at = 0;
	int r;

	if (out < 0)
		return err_sys(err, -errno, "making memory for the queue");
	r = run_child(sk, out, rcv_shut, err);
	if (r != 0)
		return r;
	if (lseek(out, 0, SEEK_SET) < 0 || (r = io_read_fd(out, &b)) < 0)
		return err_sys(err, r ?: -errno, "reading the copy of the queue");
	while (at < b.len) {
		struct peeked p;

		memcpy(&p, b.data + at, sizeof(p));
		at += sizeof(p);
		r = write_packet(d, id, b.data + at, p.len, err);
		if (r < 0)
			return r;
		at += p.len;
	}
	return 0;
}

/* ---- restore ---- */

static int load_one(struct restore *r, struct image_reader *reader, const SkPacketEntry *e,
		    struct sk_packets *all, struct err *err)
{
	struct sk_packet *p = arena_alloc(&r->arena, sizeof(*p));
	const void *bytes;
	int n;

	if (!p)
		return err_nomem(err);
	if (e->n_scm)
		return err_refuse(err,
				  "image '%s': socket file %u has passed descriptors in its queue, "
				  "which cannot be restored yet",
				  image_name(reader), e->id_for);
	if (e->length > PACKET_MAX)
		return err_image(err, "image '%s': a packet of %u bytes", image_name(reader),
				 e->length);
	n = image_next_raw(reader, e->length, &bytes, err);
	if (n < 0)
		return n;
	*p = (struct sk_packet){ .id_for = e->id_for, .len = e->length };
	if (p->len && !(p->bytes = arena_dup(&r->arena, bytes, p->len)))
		return err_nomem(err);
	*all->end = p;
	all->end = &p->next;
	return 0;
}

int queue_load(struct restore *r, struct sk_packets *ret, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_SK_QUEUES, &reader, err, "sk-queues.img");

	ret->end = &ret->first;
	if (n != 0)
		return n == IMAGE_ABSENT ? 0 : n;
	for (;;) {
		cleanup_msg SkPacketEntry *e = NULL;

		n = image_next(reader, &sk_packet_entry__descriptor, &e, err);
		if (n > 0)
			n = load_one(r, reader, e, ret, err);
		else
			return n;
		if (n < 0)
			return n;
	}
}

bool queue_is_empty(const struct sk_packets *all, uint32_t id_for)
{
	const struct sk_packet *p;

	for (p = all->first; p; p = p->next)
		if (p->id_for == id_for)
			return false;
	return true;
}

int queue_send(const struct sk_packets *all, uint32_t id_for, int sender, struct err *err)
{
	const struct sk_packet *p;
	bool room = false;

	for (p = all->first; p; p = p->next) {
		ssize_t n;

		if (p->id_for != id_for)
			continue;
		if (!room && sockopts_make_room(sender, err) < 0)
			return err->code;
		room = true;
		/* a set of images that has more than the queue holds must fail, not hang */
		n = send(sender, p->bytes, p->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return err_sys(err, -errno, "filling the queue of a socket");
		if ((size_t)n != p->len)
			return err_new(err, ERR_ENVIRONMENT, -ENOBUFS,
				       "only %zd of %zu bytes fit into the queue of a socket", n,
				       p->len);
	}
	return 0;
}
