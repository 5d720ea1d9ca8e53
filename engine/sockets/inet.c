/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Internet sockets: the kind, and loading of the images. inet-dump.c captures, inet-make.c makes
 * them again.
 *
 * TCP sockets that listen, or are not connected; open connections come back as they were
 * (--tcp-established, see tcp.h) or closed (--tcp-close). UDP, UDP-Lite, raw and ICMP sockets, with
 * the unread datagrams of UDP; those of the others are refused. Pending errors (SO_ERROR) cannot be
 * put back.
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "engine/sockets/inet-priv.h"
#include "engine/sockets/socket-ns.h"
#include "proto/files.pb-c.h"

static bool claims(const struct fd_facts *f)
{
	return f->family == AF_INET || f->family == AF_INET6;
}

/* CRIU keeps the peer of a connection that has ended, and those of old images have no state. */
bool inet_is_connection(const InetSkEntry *e)
{
	return e->type == SOCK_STREAM && e->state != INET_LISTEN &&
	       (e->state != INET_CLOSE || e->dst_port);
}

/* A byte of the header, and the kernel's own numbers above (IPPROTO_MPTCP). */
enum { RAW_PROTOCOLS = 1024 };

static bool is_protocol(const InetSkEntry *e)
{
	switch (e->type) {
	case SOCK_STREAM:
		return e->proto == IPPROTO_TCP || e->proto == IPPROTO_IP;
	case SOCK_RAW:
		return e->proto < RAW_PROTOCOLS;
	case SOCK_DGRAM:
		return e->proto == IPPROTO_UDP || e->proto == IPPROTO_UDPLITE ||
		       e->proto == IPPROTO_IP ||
		       e->proto == (e->family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	default:
		return false;
	}
}

static int check_address(const InetSkEntry *e, struct err *err)
{
	size_t words = e->family == AF_INET6 ? WORDS_V6 : WORDS_V4;

	/* CRIU 0.1 had four words for IPv4 as well */
	if (e->n_src_addr < words || e->n_src_addr > WORDS_V6 || e->n_dst_addr < words ||
	    e->n_dst_addr > WORDS_V6)
		return err_image(err, "addresses of %zu and %zu words", e->n_src_addr,
				 e->n_dst_addr);
	if (e->src_port > UINT16_MAX || e->dst_port > UINT16_MAX)
		return err_image(err, "ports %u and %u", e->src_port, e->dst_port);
	if (e->ifname && strlen(e->ifname) >= IFNAMSIZ)
		return err_image(err, "'%s' is no name of a network device", e->ifname);
	return 0;
}

static int check_entry(const struct file_obj *obj, const InetSkEntry *e, struct err *err)
{
	struct sk_ident who = { (int)e->family, (int)e->type, (int)e->proto, false };

	if (who.type == SOCK_STREAM && !who.protocol)
		who.protocol = IPPROTO_TCP;
	if (who.type == SOCK_DGRAM && !who.protocol)
		who.protocol = IPPROTO_UDP;
	if (e->family != AF_INET && e->family != AF_INET6)
		return err_image(err, "an internet socket of family %u", e->family);
	if (!is_protocol(e))
		return err_image(err, "an internet socket of type %u and protocol %u", e->type,
				 e->proto);
	if (e->state < INET_ESTABLISHED || e->state > INET_CLOSING ||
	    (e->type != SOCK_STREAM && e->state != INET_CLOSE && e->state != INET_ESTABLISHED))
		return err_image(err, "an internet socket in state %u", e->state);
	if (e->backlog > INT32_MAX)
		return err_image(err, "an internet socket with a backlog of %u", e->backlog);
	if (e->has_shutdown && (e->shutdown < 0 || e->shutdown > SK_SHUTDOWN__BOTH))
		return err_image(err, "an internet socket with shutdown %d", (int)e->shutdown);
	if (check_address(e, err) < 0 || inet_opts_check(e, err) < 0 ||
	    inet_groups_check(e, err) < 0 || sockopts_check(obj->id, &who, e->opts, err) < 0)
		return err->code;
	return files_check_fown(obj, e->fown, err);
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_inet *all = files_restore_state(r, &kind_inet, sizeof(*all));
	const InetSkEntry *e = obj->entry->isk;
	struct isk *s = arena_alloc(&r->arena, sizeof(*s)), **end;
	int n;

	if (!all || !s)
		return err_nomem(err);
	if (!e)
		return err_image(err, "an internet socket without a description");
	n = check_entry(obj, e, err);
	if (n < 0)
		return n;
	*s = (struct isk){ .obj = obj, .e = e, .fd = -EBADF };
	/* in the order of the dump: sockets that share a port get their packets by it */
	for (end = &all->first; *end; end = &(*end)->next)
		;
	*end = s;
	obj->state = s;
	if (all->datagrams_loaded)
		return 0;
	all->datagrams_loaded = true;
	return inet_queue_load(r, all, err);
}

static int load_connection(struct restore *r, struct isk *s, struct err *err)
{
	if (!tcp_is_open(s->e->state) && s->e->state != INET_CLOSE)
		return err_image(err, "TCP connection %u is in state %u", s->e->ino, s->e->state);
	if (r->opts->tcp_established)
		return tcp_load(r, s->e, &s->stream, err);
	/* it has ended: only what was not read yet is given up */
	if (s->e->state == INET_CLOSE)
		return 0;
	err_refuse(err, "TCP connection %u is open (state %u)", s->e->ino, s->e->state);
	err_hint(err, "--tcp-established restores it, --tcp-close as a closed one");
	return -EOPNOTSUPP;
}

static int link_socket(struct restore *r, struct file_obj *obj, struct err *err)
{
	const InetSkEntry *e = obj->entry->isk;
	int n;

	if (files_is_inherited(r, obj))
		return 0;
	if (inet_is_connection(e) && !r->opts->tcp_close) {
		n = load_connection(r, obj->state, err);
		if (n < 0)
			return n;
	}
	return socket_check_ns(r, e->has_ns_id, e->ns_id, err);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_inet *all = files_restore_state(r, &kind_inet, sizeof(*all));
	struct isk *s = obj->state;
	int fd = -EBADF, n = files_inherit(r, obj, &fd, err);

	if (n != 0)
		return n == FILES_INHERITED ? fd : n;
	if (!all)
		return err_nomem(err);
	if (!all->made) {
		n = inet_make_all(r, all, err);
		if (n < 0)
			return n;
		all->made = true;
	}
	return take_fd(&s->fd);
}

const struct file_kind kind_inet = {
	.name = "internet socket",
	.type = FD_TYPES__INETSK,
	.claims = claims,
	.capture = inet_capture,
	.load = load,
	.link = link_socket,
	.create = create,
	.finish = files_finish_owner,
};
