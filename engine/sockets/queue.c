/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/errand.h"
#include "engine/files/kind.h"
#include "engine/ns/ns.h"
#include "engine/sockets/inside.h"
#include "engine/sockets/sockopts.h"
#include "proto/sockets.pb-c.h"

/* Bytes of a stream without descriptors are cut into records of so many. */
#define STREAM_RECORD 32768u

/* A record of more is not from a socket: the kernel's limit of a send buffer is lower. */
#define PACKET_MAX (256u << 20)

/* ---- dump ---- */

struct look {
	const struct peek_args *peek;
	int out;
};

static int peek(void *arg)
{
	const struct look *e = arg;
	int r = queue_peek(e->peek, e->out);

	return r == PEEK_ODD ? QUEUE_IS_ODD : r;
}

/* Gives ids to the files that are in flight in a packet, whose descriptors are ours now. */
static int add_rights(struct dump *d, const struct queue_source *q, const struct peeked *p,
		      ScmEntry *scm, struct err *err)
{
	uint32_t i;
	int r = 0;

	scm_entry__init(scm);
	scm->type = SCM_RIGHTS;
	scm->rights = arena_alloc(&d->arena, p->n_fds * sizeof(*scm->rights));
	if (!scm->rights)
		return err_nomem(err);
	for (i = 0; i < p->n_fds; i++) {
		const char *what = arena_printf(&d->arena, "in the queue of %s", q->what);

		if (!what)
			return err_nomem(err);
		r = files_add_in_flight(d, q->task, p->fds[i], what, &scm->rights[scm->n_rights++],
					err);
		if (r < 0)
			return r;
	}
	return r;
}

static int add_cred(struct dump *d, const struct peeked *p, SkPacketEntry *e, PacketCredEntry *c)
{
	/* what the kernel tells for a message without credentials */
	if (!p->cred.pid && p->cred.uid == 65534 && p->cred.gid == 65534)
		return 0;
	packet_cred_entry__init(c);
	c->pid = (uint32_t)p->cred.pid;
	/* a user from outside, whom the tree sees as nobody */
	if (ns_inside_uid(d, p->cred.uid, &c->uid) < 0)
		c->uid = 65534;
	if (ns_inside_gid(d, p->cred.gid, &c->gid) < 0)
		c->gid = 65534;
	e->cred = c;
	return 0;
}

static int write_record(struct dump *d, SkPacketEntry *e, const char *data, size_t len,
			struct err *err)
{
	struct image *img = image_get(d->images, IMG_SK_QUEUES, "sk-queues.img");

	e->length = (uint32_t)len;
	if (!img || image_add(img, &e->base) < 0 || (len && image_add_raw(img, data, len) < 0))
		return err_nomem(err);
	return 0;
}

static int write_packet(struct dump *d, const struct queue_source *q, const struct peeked *p,
			const char *name, const char *data, struct err *err)
{
	SkPacketEntry e = SK_PACKET_ENTRY__INIT;
	PacketCredEntry cred;
	ScmEntry scm, *scms[] = { &scm };
	size_t at = 0, len = p->len;
	int r = 0;

	e.id_for = q->id;
	add_cred(d, p, &e, &cred);
	if (q->peek.type == SOCK_DGRAM) {
		e.has_sender = true;
		e.sender.data = (uint8_t *)name;
		e.sender.len = p->name_len;
	}
	if (p->n_fds) {
		r = add_rights(d, q, p, &scm, err);
		e.scm = scms;
		e.n_scm = 1;
	}
	while (r == 0 && q->peek.type == SOCK_STREAM && !p->n_fds && len > STREAM_RECORD) {
		r = write_record(d, &e, data + at, STREAM_RECORD, err);
		at += STREAM_RECORD;
		len -= STREAM_RECORD;
	}
	return r == 0 ? write_record(d, &e, data + at, len, err) : r;
}

int queue_capture(struct dump *d, const struct queue_source *q, struct err *err)
{
	cleanup_fd int out = memfd_create("queue", MFD_CLOEXEC);
	cleanup_buf struct buf b = BUF_INIT;
	struct look look = { &q->peek, out };
	int result, r;
	size_t at = 0;

	if (out < 0)
		return err_sys(err, -errno, "making memory for the queue");
	r = inside_run(d, peek, &look, &result, err);
	if (r < 0 || result > 0)
		return r ?: result;
	if (result < 0)
		return err_sys(err, result, "looking into the queue");
	if (lseek(out, 0, SEEK_SET) < 0 || (r = io_read_fd(out, &b)) < 0)
		return err_sys(err, r ?: -errno, "reading the copy of the queue");
	while (at < b.len && r == 0) {
		struct peeked p;
		const char *name;

		memcpy(&p, b.data + at, sizeof(p));
		name = b.data + at + sizeof(p);
		at += sizeof(p) + p.name_len + p.len;
		r = write_packet(d, q, &p, name, name + p.name_len, err);
	}
	return r;
}

/* ---- restore ---- */

static int load_rights(struct restore *r, struct image_reader *reader, const SkPacketEntry *e,
		       struct sk_packet *p, struct err *err)
{
	const ScmEntry *scm = e->n_scm ? e->scm[0] : NULL;

	if (!scm)
		return 0;
	if (e->n_scm > 1 || scm->type != SCM_RIGHTS)
		return err_refuse(err,
				  "image '%s': a control message of type %u in the queue of socket "
				  "file %u, which cannot be restored",
				  image_name(reader), scm->type, e->id_for);
	if (!scm->n_rights || scm->n_rights > PEEK_FDS)
		return err_image(err, "image '%s': a message with %zu descriptors",
				 image_name(reader), scm->n_rights);
	p->n_rights = scm->n_rights;
	p->rights = arena_dup(&r->arena, scm->rights, scm->n_rights * sizeof(*scm->rights));
	return p->rights ? 0 : err_nomem(err);
}

static int load_extras(struct restore *r, struct image_reader *reader, const SkPacketEntry *e,
		       struct sk_packet *p, struct err *err)
{
	if (e->cred && e->cred->pid > INT32_MAX)
		return err_image(err, "image '%s': a message of process %u", image_name(reader),
				 e->cred->pid);
	if (e->has_sender && e->sender.len > sizeof(((struct sockaddr_un *)0)->sun_path) + 1)
		return err_image(err, "image '%s': a sender with a name of %zu bytes",
				 image_name(reader), e->sender.len);
	if (e->cred) {
		p->has_cred = true;
		p->cred = (struct packet_cred){ (pid_t)e->cred->pid, e->cred->uid, e->cred->gid };
	}
	p->has_sender = e->has_sender;
	if (e->has_sender && e->sender.len) {
		p->sender_len = e->sender.len;
		p->sender = arena_dup(&r->arena, e->sender.data, e->sender.len);
		if (!p->sender)
			return err_nomem(err);
	}
	return load_rights(r, reader, e, p, err);
}

static int load_one(struct restore *r, struct image_reader *reader, const SkPacketEntry *e,
		    const void *bytes, void *arg, struct err *err)
{
	struct sk_packets *all = arg;
	struct sk_packet *p;

	if (e->path) /* of an internet socket */
		return 0;
	p = arena_alloc(&r->arena, sizeof(*p));
	if (!p)
		return err_nomem(err);
	*p = (struct sk_packet){ .id_for = e->id_for, .len = e->length };
	if (p->len && !(p->bytes = arena_dup(&r->arena, bytes, p->len)))
		return err_nomem(err);
	*all->end = p;
	all->end = &p->next;
	return load_extras(r, reader, e, p, err);
}

int queue_load(struct restore *r, struct sk_packets *ret, struct err *err)
{
	ret->end = &ret->first;
	return queue_each(r, load_one, ret, err);
}

int queue_each(struct restore *r, queue_take_fn take, void *arg, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_SK_QUEUES, &reader, err, "sk-queues.img");

	if (n != 0)
		return n == IMAGE_ABSENT ? 0 : n;
	for (;;) {
		cleanup_msg SkPacketEntry *e = NULL;
		const void *bytes;

		n = image_next(reader, &sk_packet_entry__descriptor, &e, err);
		if (n <= 0)
			return n;
		if (e->length > PACKET_MAX)
			return err_image(err, "image '%s': a packet of %u bytes",
					 image_name(reader), e->length);
		n = image_next_raw(reader, e->length, &bytes, err);
		if (n == 0)
			n = take(r, reader, e, bytes, arg, err);
		if (n < 0)
			return n;
	}
}

const struct sk_packet *queue_next(const struct sk_packet *p, uint32_t id_for)
{
	while (p && p->id_for != id_for)
		p = p->next;
	return p;
}

bool queue_is_empty(const struct sk_packets *all, uint32_t id_for)
{
	return !queue_next(all->first, id_for);
}

int queue_reach(struct restore *r, const struct sk_packets *all, uint32_t id_for, struct err *err)
{
	const struct sk_packet *p;
	size_t i;

	for (p = queue_next(all->first, id_for); p; p = queue_next(p->next, id_for)) {
		for (i = 0; i < p->n_rights; i++) {
			struct file_obj *obj = files_find(r, p->rights[i]);

			if (!obj)
				return err_image(err,
						 "image 'sk-queues.img': file %u in the queue of "
						 "socket file %u is not in 'files.img'",
						 p->rights[i], id_for);
			files_reach(r, obj);
		}
	}
	return 0;
}

union control {
	char bytes[CMSG_SPACE(PEEK_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

static void put_control(struct msghdr *m, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((char *)m->msg_control + m->msg_controllen);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	m->msg_controllen += CMSG_SPACE(len);
}

static bool process_exists(pid_t pid)
{
	cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd >= 0;
}

static void put_cred(struct msghdr *m, const struct sk_packet *p)
{
	struct ucred c = { p->cred.pid, p->cred.uid, p->cred.gid };

	if (!p->has_cred)
		return;
	/* from outside, or of a number that cannot be had */
	if (c.pid <= 0 || !process_exists(c.pid))
		c.pid = getpid();
	put_control(m, SCM_CREDENTIALS, &c, sizeof(c));
}

struct sending {
	struct restore *r;
	const struct sk_packet *p;
	int sender;
	const void *addr;
	size_t addr_len;
};

/* 0, or -errno; -ENOBUFS if not all fits. */
static int send_packet(void *arg)
{
	const struct sending *s = arg;
	const struct sk_packet *p = s->p;
	union control control = { 0 };
	struct iovec iov = { (void *)p->bytes, p->len };
	struct msghdr m = { .msg_name = (void *)s->addr,
			    .msg_namelen = (socklen_t)s->addr_len,
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control };
	int fds[PEEK_FDS];
	ssize_t n;
	size_t i;

	for (i = 0; i < p->n_rights; i++)
		fds[i] = files_find(s->r, p->rights[i])->fd;
	if (p->n_rights)
		put_control(&m, SCM_RIGHTS, fds, p->n_rights * sizeof(int));
	put_cred(&m, p);
	/* a set of images that has more than the queue holds must fail, not hang */
	n = sendmsg(s->sender, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == p->len ? 0 : -ENOBUFS;
}

int queue_send(struct restore *r, const struct sk_packet *p, int sender, const void *addr,
	       size_t addr_len, struct err *err)
{
	struct sending s = { r, p, sender, addr, addr_len };
	int n;

	if (sockopts_make_room(sender, err) < 0)
		return err->code;
	/* a sender that has ended: the kernel takes the number only of a process that exists */
	if (!p->has_cred || process_exists(p->cred.pid) ||
	    errand_by_number(p->cred.pid, send_packet, &s, &n) != 0)
		n = send_packet(&s);
	return n < 0 ? err_sys(err, n, "filling the queue of a socket") : 0;
}
