/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making the unix sockets of a restore: all at once, phase by phase, because what one phase does to
 * a socket the other end must not see too early.
 *
 *  1. sockets and pairs;  2. names;  3. listening; then all files are in their places;
 *  4. queues of datagrams;  5. connections;  6. other queues;  7. options, shutdowns, and helpers
 *  closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/sockets/sockopts.h"
#include "engine/sockets/unix-priv.h"
#include "proto/rpc.pb-c.h"
#include "proto/sockets.pb-c.h"

/* A listener for one moment, bound to a name out of sight. */
struct temp_listener {
	const struct usk *name_of;
	const struct errand_cred *who;
	int fd;
};

struct maker {
	struct restore *r;
	struct restore_unix *all;
	VEC(struct temp_listener) listeners;
};

bool unix_is_made_here(const struct usk *u)
{
	return u->obj->needed && !u->obj->inherited &&
	       !(u->e->uflags & (USK_EXTERN | USK_CALLBACK));
}

bool unix_is_mutual(const struct usk *u)
{
	return u->peer && u->peer != u && u->peer->peer == u && unix_is_made_here(u->peer);
}

static bool is_connection(const struct usk *u)
{
	return u->e->type != SOCK_DGRAM && u->e->state == SK_ESTABLISHED;
}

/* Whether somebody in the tree is connected to it. */
static bool has_client(const struct maker *m, const struct usk *u)
{
	const struct usk *s;

	for (s = m->all->first; s; s = s->next)
		if (unix_is_made_here(s) && s->peer == u)
			return true;
	return false;
}

/* ---- 1. sockets ---- */

/* The two of a pair tell of each other whoever made it. */
static int make_pair(struct maker *m, const struct usk *u, int *a, int *b, struct err *err)
{
	struct errand e = { .call = ERRAND_PAIR, .type = (int)u->e->type };
	int r = errand_run(m->r, u->peer_cred, &e);

	if (r < 0)
		return err_sys(err, r, "making a pair of unix sockets");
	*a = e.pair[0];
	*b = e.pair[1];
	return 0;
}

static bool a_listener_has_name_of(const struct maker *m, const struct usk *u)
{
	const struct usk *l;

	for (l = m->all->first; l; l = l->next)
		if (l->e->state == SK_LISTEN && unix_same_name(l, u))
			return true;
	return false;
}

/* The end that was accepted: it has its listener's name, which cannot be given to it by bind(2). */
static struct usk *accepted_end(const struct maker *m, struct usk *u)
{
	if (!unix_has_name(u) || !unix_has_name(u->peer))
		return unix_has_name(u) ? u : u->peer;
	return a_listener_has_name_of(m, u) ? u : u->peer;
}

static int listen_as(struct maker *m, const struct errand_cred *who, int fd, int backlog)
{
	struct errand e = { .call = ERRAND_LISTEN, .fd = fd, .backlog = backlog };

	return errand_run(m->r, who, &e);
}

/* who listened last is told to clients */
static int temp_listener(struct maker *m, const struct usk *name_of, const struct errand_cred *who,
			 struct err *err)
{
	cleanup_fd int fd = -EBADF;
	struct temp_listener *l;
	int r;

	vec_foreach (l, &m->listeners) {
		if (l->name_of->e->type != name_of->e->type || !unix_same_name(l->name_of, name_of))
			continue;
		r = unix_same_cred(l->who, who) ? 0 : listen_as(m, who, l->fd, 1);
		l->who = who;
		return r < 0 ? err_sys(err, r, "listening for a connection of our own") : l->fd;
	}
	fd = socket(AF_UNIX, (int)name_of->e->type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, -errno, "making a unix socket");
	r = unix_bind_hidden(fd, name_of, err);
	if (r < 0)
		return r;
	r = listen_as(m, who, fd, 1);
	if (r < 0)
		return err_sys(err, r, "listening for a connection of our own");
	l = vec_add(&m->listeners);
	if (!l)
		return err_nomem(err);
	*l = (struct temp_listener){ name_of, who, take_fd(&fd) };
	return l->fd;
}

/* A pair with the name at the one end that accept(2) gives it, so getpeername(2) tells it as
 * before. */
static int make_accepted_pair(struct maker *m, struct usk *accepted, struct err *err)
{
	struct usk *client = accepted->peer;
	int listener = temp_listener(m, accepted, client->peer_cred, err), r;

	if (listener < 0)
		return listener;
	client->fd = socket(AF_UNIX, (int)client->e->type | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return err_sys(err, -errno, "making a unix socket");
	r = unix_connect_as(m->r, accepted->peer_cred, client->fd, accepted, listener, err);
	if (r < 0)
		return r;
	accepted->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (accepted->fd < 0)
		return err_sys(err, -errno, "accepting a connection of our own");
	accepted->named = true;
	accepted->connected = client->connected = true;
	return 0;
}

/* Connects to a socket that has a name for the moment, so that nobody is noted. */
static int connect_to_nobody(struct usk *u, struct err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(a);

	u->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	u->helper = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* with nothing but the family the kernel chooses a name */
	if (u->fd < 0 || u->helper < 0 ||
	    bind(u->helper, (struct sockaddr *)&a, sizeof(sa_family_t)) < 0 ||
	    getsockname(u->helper, (struct sockaddr *)&a, &len) < 0 ||
	    connect(u->fd, (struct sockaddr *)&a, len) < 0)
		return err_sys(err, -errno, "connecting unix sockets of our own");
	return 0;
}

/*
 * A datagram socket that was joined to another and is not any more, or that nothing leads to: it
 * gets its queue from the other end of a pair. Connecting to nothing takes away only its own side
 * of the connection; with the other end closed at the end it has not noticed yet.
 */
static int make_with_sender(struct maker *m, struct usk *u, struct err *err)
{
	struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	int r;

	if (u->e->peer_closed && unix_is_unjoined(u))
		return connect_to_nobody(u, err);
	r = make_pair(m, u, &u->fd, &u->helper, err);
	if (r == 0 && !u->e->peer_closed && connect(u->fd, &nothing, sizeof(nothing)) < 0)
		return err_sys(err, -errno, "disconnecting a unix socket");
	return r;
}

static bool needs_sender(const struct maker *m, const struct usk *u)
{
	if (u->e->type != SOCK_DGRAM)
		return false;
	return u->e->peer_closed || unix_is_joined(u) ||
	       (!unix_has_name(u) && !has_client(m, u) &&
		!queue_is_empty(&m->all->packets, u->obj->id));
}

/* Two that are connected to each other by their names, and so were never joined. */
static bool are_unjoined(const struct usk *u)
{
	return u->e->type == SOCK_DGRAM && unix_is_unjoined(u) && unix_has_name(u) &&
	       unix_has_name(u->peer);
}

static int make_one(struct maker *m, struct usk *u, struct err *err)
{
	int type = (int)u->e->type;
	bool mutual = unix_is_mutual(u) && !are_unjoined(u);

	if (mutual && type != SOCK_DGRAM && (unix_has_name(u) || unix_has_name(u->peer)))
		return make_accepted_pair(m, accepted_end(m, u), err);
	if (mutual) {
		u->connected = u->peer->connected = true;
		return make_pair(m, u, &u->fd, &u->peer->fd, err);
	}
	if ((is_connection(u) || u->e->uflags & USK_SERVICE) && !u->peer)
		return make_pair(m, u, &u->fd, &u->helper, err);
	if (needs_sender(m, u))
		return make_with_sender(m, u, err);
	u->fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	return u->fd < 0 ? err_sys(err, -errno, "making a unix socket") : 0;
}

static int make_socket(struct maker *m, struct usk *u, struct err *err)
{
	struct usk *both[] = { u, unix_is_mutual(u) ? u->peer : NULL };
	int r = u->fd < 0 ? make_one(m, u, err) : 0;
	size_t i;

	for (i = 0; i < 2 && r == 0; i++) {
		if (!both[i] || both[i]->fd < 0)
			continue;
		both[i]->fd = files_put_in_place(both[i]->obj, both[i]->fd, err);
		if (both[i]->fd < 0)
			r = both[i]->fd;
	}
	return r;
}

/* ---- 2. and 3. ---- */

static int bind_socket(struct maker *m, struct usk *u, struct err *err)
{
	return unix_bind(u, err);
}

static int start_listening(struct maker *m, struct usk *u, struct err *err)
{
	int r = 0;

	if (u->e->state == SK_LISTEN)
		r = listen_as(m, u->peer_cred, u->fd, (int)u->e->backlog);
	return r < 0 ? err_sys(err, r, "listening on unix socket %u", u->e->ino) : 0;
}

/* ---- 4. datagrams ---- */

/* Before anything is connected: a connected socket takes packets from its other end only. */
static int fill_datagrams(struct maker *m, struct usk *u, struct err *err)
{
	return u->e->type == SOCK_DGRAM ? unix_fill_datagrams(m->r, m->all, u, err) : 0;
}

/* ---- 5. connections ---- */

/* A datagram socket that is connected elsewhere takes no new peers: who goes to it comes first. */
static bool must_wait(const struct maker *m, const struct usk *u)
{
	const struct usk *s;

	for (s = m->all->first; s; s = s->next)
		if (s != u && unix_is_made_here(s) && s->peer == u && !s->connected)
			return true;
	return false;
}

static int connect_one(struct maker *m, struct usk *u, struct err *err)
{
	bool ours = unix_is_made_here(u->peer);
	int r;

	if (!ours && !(u->peer->e->uflags & USK_EXTERN))
		return err_image(err, "unix socket %u is connected to %u, which nobody has",
				 u->e->ino, u->peer->e->ino);
	/* a connection that waits to be accepted will tell who made it */
	if (ours && u->e->type != SOCK_DGRAM)
		r = unix_connect_as(m->r, u->own_cred, u->fd, u->peer, u->peer->fd, err);
	else
		r = unix_connect(u->fd, u->peer, ours ? u->peer->fd : -1, err);
	u->connected = r == 0;
	return r;
}

static int connect_all(struct maker *m, struct err *err)
{
	bool more = true, force = false;
	struct usk *u;
	int r;

	while (more) {
		bool progress = false;

		more = false;
		for (u = m->all->first; u; u = u->next) {
			if (!unix_is_made_here(u) || !u->peer || u->connected)
				continue;
			if (u->e->type == SOCK_DGRAM && !force && must_wait(m, u)) {
				more = true;
				continue;
			}
			r = connect_one(m, u, err);
			if (r < 0)
				return r;
			progress = true;
		}
		/* a ring: the kernel must say whether it can be */
		force = !progress;
	}
	return 0;
}

/* ---- 6. and 7. ---- */

/* A task that dumped itself still waits for the answer, and learns from it that time has passed. */
static int send_restored(const struct usk *u, struct err *err)
{
	CriuResp resp = CRIU_RESP__INIT;
	CriuDumpResp dump = CRIU_DUMP_RESP__INIT;
	uint8_t data[64];
	size_t len;

	resp.type = CRIU_REQ_TYPE__DUMP;
	resp.success = true;
	resp.dump = &dump;
	dump.has_restored = dump.restored = true;
	len = criu_resp__pack(&resp, data);
	if (send(u->helper, data, len, MSG_NOSIGNAL) != (ssize_t)len)
		return err_sys(err, -errno, "answering the task that dumped itself");
	return 0;
}

static int fill_queue(struct maker *m, struct usk *u, struct err *err)
{
	const struct sk_packet *p = queue_next(m->all->packets.first, u->obj->id);
	int sender = unix_is_mutual(u) ? u->peer->fd : u->helper, r = 0;

	if (u->e->uflags & USK_SERVICE && u->helper >= 0 && send_restored(u, err) < 0)
		return err->code;
	if (!p || u->e->type == SOCK_DGRAM)
		return 0;
	if (sender < 0)
		return err_image(
			err, "unix socket %u has something in its queue, and nobody can send to it",
			u->e->ino);
	for (; p && r == 0; p = queue_next(p->next, u->obj->id))
		r = queue_send(m->r, p, sender, NULL, 0, err);
	return r < 0 ? err_wrap(err, r, "unix socket %u", u->e->ino) : 0;
}

static int set_options(struct maker *m, struct usk *u, struct err *err)
{
	int on = 1, r = files_restore_flags(u->fd, u->e->flags, err);

	if (r == 0)
		r = files_restore_fown(u->fd, u->e->fown, err);
	if (r == 0)
		r = sockopts_restore(u->fd, u->e->opts, err);
	if (r == 0 && u->e->opts->reuseaddr &&
	    setsockopt(u->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return err_sys(err, -errno, "setting SO_REUSEADDR");
	if (r == 0 && u->e->has_peek_off &&
	    setsockopt(u->fd, SOL_SOCKET, SO_PEEK_OFF, &u->e->peek_off, sizeof(int)) < 0)
		return err_sys(err, -errno, "setting SO_PEEK_OFF");
	return r < 0 ? err_wrap(err, r, "unix socket %u", u->e->ino) : 0;
}

static int shut_down(struct maker *m, struct usk *u, struct err *err)
{
	/* the image's bits are 1 for reading and 2 for writing, the call counts from 0 */
	if (u->e->has_shutdown && u->e->shutdown && shutdown(u->fd, (int)u->e->shutdown - 1) < 0)
		return err_sys(err, -errno, "shutting down unix socket %u", u->e->ino);
	if (u->helper >= 0)
		close(take_fd(&u->helper));
	return 0;
}

typedef int (*phase_fn)(struct maker *m, struct usk *u, struct err *err);

static int for_all(struct maker *m, phase_fn fn, struct err *err)
{
	struct usk *u;
	int r;

	for (u = m->all->first; u; u = u->next) {
		if (!unix_is_made_here(u))
			continue;
		r = fn(m, u, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void close_listeners(struct maker *m)
{
	struct temp_listener *l;

	vec_foreach (l, &m->listeners)
		close(l->fd);
	vec_free(&m->listeners);
}

int unix_make_all(struct restore *r, struct restore_unix *all, struct err *err)
{
	struct maker m = { .r = r, .all = all };
	int n = for_all(&m, make_socket, err);

	/* their names are free again now */
	close_listeners(&m);
	if (n == 0)
		n = for_all(&m, bind_socket, err);
	return n == 0 ? for_all(&m, start_listening, err) : n;
}

int unix_fill_all(struct restore *r, struct restore_unix *all, struct err *err)
{
	struct maker m = { .r = r, .all = all };
	int n = for_all(&m, fill_datagrams, err);

	if (n == 0)
		n = connect_all(&m, err);
	if (n == 0)
		n = for_all(&m, fill_queue, err);
	if (n == 0)
		n = for_all(&m, set_options, err);
	return n == 0 ? for_all(&m, shut_down, err) : n;
}
