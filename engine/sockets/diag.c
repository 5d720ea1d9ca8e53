/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/vec.h"

struct visitor {
	int netns_fd, protocol;
	int r; /* the socket or -errno */
};

/* setns(2) of a network namespace is for the calling thread alone, and ends with it. */
static void *visit(void *arg)
{
	struct visitor *v = arg;

	v->r = setns(v->netns_fd, CLONE_NEWNET);
	if (v->r == 0)
		v->r = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, v->protocol);
	if (v->r < 0)
		v->r = -errno;
	return NULL;
}

int diag_netlink_in(int netns_fd, int protocol, struct err *err)
{
	struct visitor v = { netns_fd, protocol, 0 };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, visit, &v);

	if (r != 0)
		return err_sys(err, -r, "starting a thread to visit a network namespace");
	pthread_join(thread, NULL);
	return v.r < 0 ? err_sys(err, v.r, "making a netlink socket in a network namespace") : v.r;
}

/* The end of an answer tells how the question failed, if it did after it was accepted. */
static int done_code(const struct nlmsghdr *h)
{
	int code = 0;

	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
		memcpy(&code, NLMSG_DATA(h), sizeof(code));
	return code < 0 ? code : 1;
}

/* Takes the messages of one datagram. 1: the answer has ended. */
static int take_datagram(const char *buf, size_t n, diag_take_fn take, void *arg, bool *ret_torn)
{
	size_t at;

	for (at = 0; at + NLMSG_HDRLEN <= n;) {
		const struct nlmsghdr *h = (const void *)(buf + at);
		int r;

		if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > n - at)
			return -EBADMSG;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			*ret_torn = true;
		if (h->nlmsg_type == NLMSG_DONE)
			return done_code(h);
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error < 0 ? e->error
											: -EBADMSG;
		}
		r = take(arg, h);
		if (r < 0)
			return r;
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
	return 0;
}

static int receive(int sk, diag_take_fn take, void *arg, bool *ret_torn)
{
	static const size_t size = 64 * 1024;
	cleanup_free char *buf = malloc(size);
	int r = 0;

	if (!buf)
		return -ENOMEM;
	while (r == 0) {
		ssize_t n = recv(sk, buf, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		r = take_datagram(buf, (size_t)n, take, arg, ret_torn);
	}
	return r < 0 ? r : 0;
}

int diag_dump(int sk, const void *request, size_t len, diag_take_fn take, void *arg)
{
	int r = 0, tries;

	for (tries = 0; tries < 10; tries++) {
		bool torn = false;

		r = take(arg, NULL);
		if (r == 0 && send(sk, request, len, 0) < 0)
			r = -errno;
		if (r == 0)
			r = receive(sk, take, arg, &torn);
		if (r < 0 || !torn)
			break;
	}
	return r;
}

const struct nlattr *diag_next_attr(const struct nlmsghdr *h, size_t *at)
{
	const struct nlattr *a = (const void *)((const char *)h + *at);

	if (*at + NLA_HDRLEN > h->nlmsg_len || a->nla_len < NLA_HDRLEN ||
	    a->nla_len > h->nlmsg_len - *at)
		return NULL;
	*at += NLA_ALIGN(a->nla_len);
	return a;
}

/* ---- unix ---- */

/* One attribute behind a message; the kernel aligns them to four bytes. */
static void take_attr(struct unix_diag *d, const struct nlattr *a, const void *data, size_t len)
{
	switch (a->nla_type & NLA_TYPE_MASK) {
	case UNIX_DIAG_NAME:
		d->name = data;
		d->name_len = len;
		break;
	case UNIX_DIAG_PEER:
		if (len >= sizeof(d->peer))
			memcpy(&d->peer, data, sizeof(d->peer));
		d->has_peer = true;
		break;
	case UNIX_DIAG_ICONS:
		d->icons = data;
		d->n_icons = len / sizeof(*d->icons);
		break;
	case UNIX_DIAG_RQLEN:
		if (len >= sizeof(struct unix_diag_rqlen)) {
			const struct unix_diag_rqlen *q = data;

			d->rqueue = q->udiag_rqueue;
			d->wqueue = q->udiag_wqueue;
		}
		break;
	case UNIX_DIAG_SHUTDOWN:
		if (len >= 1)
			d->shutdown = *(const uint8_t *)data;
		break;
	}
}

static int take_socket(struct arena *a, const struct nlmsghdr *h, struct unix_diag *d)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	size_t at = NLMSG_LENGTH(sizeof(*m));
	const struct nlattr *attr;

	if (h->nlmsg_len < at)
		return -EBADMSG;
	d->ino = m->udiag_ino;
	d->type = m->udiag_type;
	d->state = m->udiag_state;
	while ((attr = diag_next_attr(h, &at)))
		take_attr(d, attr, (const char *)attr + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN);
	/* the attributes lie in the buffer of the answer */
	if (d->name_len && !(d->name = arena_dup(a, d->name, d->name_len)))
		return -ENOMEM;
	if (d->n_icons && !(d->icons = arena_dup(a, d->icons, d->n_icons * sizeof(*d->icons))))
		return -ENOMEM;
	return 0;
}

struct unix_answer {
	struct arena *arena;
	VEC(struct unix_diag) list;
};

static int take_unix(void *arg, const struct nlmsghdr *h)
{
	struct unix_answer *ans = arg;
	struct unix_diag *d;

	if (!h) {
		ans->list.n = 0;
		return 0;
	}
	d = vec_add(&ans->list);
	return d ? take_socket(ans->arena, h, d) : -ENOMEM;
}

int diag_unix(struct arena *a, int netns_fd, struct unix_diags *ret, struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} q = {
		.h.nlmsg_len = sizeof(q),
		.h.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.r.sdiag_family = AF_UNIX,
		.r.udiag_states = ~0u,
		.r.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS |
				UDIAG_SHOW_RQLEN,
	};
	cleanup_fd int sk = diag_netlink_in(netns_fd, NETLINK_SOCK_DIAG, err);
	struct unix_answer ans = { .arena = a };
	int r;

	if (sk < 0)
		return sk;
	r = diag_dump(sk, &q, sizeof(q), take_unix, &ans);
	if (r < 0)
		err_sys(err, r, "reading the list of unix sockets");
	if (r == 0 && ans.list.n) {
		ret->n = ans.list.n;
		ret->v = arena_dup(a, ans.list.v, ans.list.n * sizeof(*ans.list.v));
		if (!ret->v)
			r = err_nomem(err);
	}
	vec_free(&ans.list);
	return r;
}

const struct unix_diag *diag_unix_find(const struct unix_diags *all, uint32_t ino)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->v[i].ino == ino)
			return &all->v[i];
	return NULL;
}
