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

struct answer {
	const struct diag_question *q;
	struct arena *arena;
	uint8_t *v;
	size_t n, cap;
	bool torn; /* sockets came or went in between */
};

static int take_message(struct answer *ans, const struct nlmsghdr *h)
{
	size_t at = NLMSG_LENGTH(ans->q->head_size), size = ans->q->item_size;
	uint8_t *item;

	if (h->nlmsg_len < at)
		return -EBADMSG;
	if (vec_grow_raw((void **)&ans->v, ans->n, &ans->cap, size) < 0)
		return -ENOMEM;
	item = memset(ans->v + ans->n++ * size, 0, size);
	return ans->q->take(ans->arena, item, h, at);
}

/* Takes the messages of one datagram. 1: the answer has ended. */
static int take_datagram(struct answer *ans, const char *buf, size_t n)
{
	size_t at;

	for (at = 0; at + NLMSG_HDRLEN <= n;) {
		const struct nlmsghdr *h = (const void *)(buf + at);
		int r;

		if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > n - at)
			return -EBADMSG;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			ans->torn = true;
		if (h->nlmsg_type == NLMSG_DONE)
			return done_code(h);
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error < 0 ? e->error
											: -EBADMSG;
		}
		r = take_message(ans, h);
		if (r < 0)
			return r;
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
	return 0;
}

static int receive(struct answer *ans, int sk)
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
		r = take_datagram(ans, buf, (size_t)n);
	}
	return r < 0 ? r : 0;
}

int diag_ask(struct arena *a, int netns_fd, const struct diag_question *q, const void **ret,
	     size_t *ret_n, struct err *err)
{
	cleanup_fd int sk = diag_netlink_in(netns_fd, NETLINK_SOCK_DIAG, err);
	struct answer ans = { .q = q, .arena = a };
	int r = 0, tries;

	if (sk < 0)
		return sk;
	for (tries = 0; tries < 10; tries++) {
		ans.n = 0;
		ans.torn = false;
		if (send(sk, q->request, q->len, 0) < 0)
			r = -errno;
		if (r == 0)
			r = receive(&ans, sk);
		if (r < 0 || !ans.torn)
			break;
	}
	if (r == 0 && ans.n && !(*ret = arena_dup(a, ans.v, ans.n * q->item_size)))
		r = -ENOMEM;
	*ret_n = r == 0 ? ans.n : 0;
	free(ans.v);
	if (r == -ENOENT && q->optional)
		return 0;
	return r < 0 ? err_sys(err, r, "reading the list of %s sockets", q->what) : 0;
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

static int take_unix(struct arena *a, void *item, const struct nlmsghdr *h, size_t at)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	const struct nlattr *attr;
	struct unix_diag *d = item;

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

int diag_unix(struct arena *a, int netns_fd, struct unix_diags *ret, struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} req = {
		.h.nlmsg_len = sizeof(req),
		.h.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.r.sdiag_family = AF_UNIX,
		.r.udiag_states = ~0u,
		.r.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS |
				UDIAG_SHOW_RQLEN,
	};
	const struct diag_question q = { .what = "unix",
					 .request = &req,
					 .len = sizeof(req),
					 .head_size = sizeof(struct unix_diag_msg),
					 .item_size = sizeof(*ret->v),
					 .take = take_unix };

	int r = diag_ask(a, netns_fd, &q, (const void **)&ret->v, &ret->n, err);
	size_t i;

	/* the kernel may tell of one twice, while others come and go */
	for (i = 0; r == 0 && i < ret->n; i++)
		if (!diag_unix_find(ret, ret->v[i].ino) &&
		    idmap_put(&ret->by_ino, a, ret->v[i].ino, 0, (void *)&ret->v[i]) < 0)
			r = err_nomem(err);
	return r;
}

const struct unix_diag *diag_unix_find(const struct unix_diags *all, uint32_t ino)
{
	return idmap_find(&all->by_ino, ino, 0);
}
