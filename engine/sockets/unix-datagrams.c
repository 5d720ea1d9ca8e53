/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling the queue of a datagram socket. Each packet shows the name of its sender, and keeps a
 * sender alive that was closed long ago. So each is sent by the socket of that name: one of the
 * tree, or one that is made for the moment and gets the name out of sight.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/sockets/unix-priv.h"
#include "proto/sockets.pb-c.h"

/* Where packets go, and who sends them. */
struct route {
	struct restore_unix *all;
	struct usk *to;
	struct sockaddr_un addr;
	size_t addr_len; /* 0: senders are connected to it */
	int file;	 /* keeps addr valid */
	int extra;	 /* the sender made last */
	const struct sk_packet *extra_for;
};

static bool is_named(const struct usk *u, const struct sk_packet *p)
{
	return u->e->name.len == p->sender_len &&
	       (!p->sender_len || memcmp(u->e->name.data, p->sender, p->sender_len) == 0);
}

/*
 * The socket of the tree that sends: one with the name of the sender, best if it is connected to
 * the receiver. Images of others have no names: then whoever is connected, best with a name, since
 * an answer to a sender without one is not possible anyway.
 */
static struct usk *sender_in_tree(const struct route *t, const struct sk_packet *p)
{
	struct usk *s, *found = NULL;

	for (s = t->all->first; s; s = s->next) {
		bool leads = s->peer == t->to;

		if (!unix_is_made_here(s) || s->e->type != SOCK_DGRAM)
			continue;
		if (p->has_sender ? !is_named(s, p) || (!leads && !p->sender_len) : !leads)
			continue;
		if (!found || (leads && found->peer != t->to) ||
		    (!p->has_sender && unix_has_name(s) && !unix_has_name(found)))
			found = s;
	}
	return found;
}

static bool same_sender(const struct sk_packet *a, const struct sk_packet *b)
{
	return a->sender_len == b->sender_len &&
	       (!a->sender_len || memcmp(a->sender, b->sender, a->sender_len) == 0);
}

static int bind_sender(int fd, const struct sk_packet *p, struct err *err)
{
	UnixSkEntry e = UNIX_SK_ENTRY__INIT;
	struct usk u = { .e = &e };

	if (!p->sender_len)
		return 0;
	e.name.data = (uint8_t *)p->sender;
	e.name.len = p->sender_len;
	return unix_bind_hidden(fd, &u, err);
}

/* A socket for packets of that sender. Its number, which stays the route's, or -errno. */
static int extra_sender(struct route *t, const struct sk_packet *p, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	int r;

	if (t->extra >= 0 && same_sender(t->extra_for, p))
		return t->extra;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, -errno, "making a unix socket");
	r = bind_sender(fd, p, err);
	if (r < 0)
		return r;
	if (t->extra >= 0)
		close(t->extra);
	t->extra = take_fd(&fd);
	t->extra_for = p;
	return t->extra;
}

/* The receiver has no name: only its other end, or the helper of its making, can send. */
static int send_by_other_end(struct restore *r, struct route *t, const struct sk_packet *p,
			     struct err *err)
{
	struct usk *u = t->to;
	int n = 0;

	if (u->connected)
		return queue_send(r, p, u->peer->fd, NULL, 0, err);
	if (u->helper < 0)
		return err_image(
			err, "unix socket %u has something in its queue, and nobody can send to it",
			u->e->ino);
	if (!t->extra_for) {
		n = bind_sender(u->helper, p, err);
		t->extra_for = p;
	}
	return n == 0 ? queue_send(r, p, u->helper, NULL, 0, err) : n;
}

static int send_one(struct restore *r, struct route *t, const struct sk_packet *p, struct err *err)
{
	struct usk *s = sender_in_tree(t, p);
	int fd = s ? s->fd : extra_sender(t, p, err);

	return fd < 0 ? fd : queue_send(r, p, fd, &t->addr, t->addr_len, err);
}

int unix_fill_datagrams(struct restore *r, struct restore_unix *all, struct usk *u, struct err *err)
{
	const struct sk_packet *p = queue_next(all->packets.first, u->obj->id);
	struct route t = { .all = all, .to = u, .file = -EBADF, .extra = -EBADF };
	bool direct = u->connected || u->helper >= 0 || !unix_has_name(u);
	int n = 0;

	if (p && !direct) {
		n = unix_address(u, &t.addr, &t.file);
		if (n < 0)
			return err_sys(err, n, "finding the way to unix socket %u", u->e->ino);
		t.addr_len = (size_t)n;
		n = 0;
	}
	for (; p && n == 0; p = queue_next(p->next, u->obj->id))
		n = direct ? send_by_other_end(r, &t, p, err) : send_one(r, &t, p, err);
	if (t.extra >= 0)
		close(t.extra);
	if (t.file >= 0)
		close(t.file);
	return n < 0 ? err_wrap(err, n, "unix socket %u", u->e->ino) : 0;
}
