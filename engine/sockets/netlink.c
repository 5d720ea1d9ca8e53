/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Netlink sockets: port, groups, peer, options. One with unread messages, or in the middle of an
 * answer of the kernel, is refused. A port that somebody else has at the restore is replaced by
 * another, as CRIU does it: ports are nearly always the kernel's choice.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/netlink_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "engine/sockets/diag.h"
#include "engine/sockets/socket-ns.h"
#include "engine/sockets/sockopts.h"
#include "proto/files.pb-c.h"

/* The kernel's states, the last one until the first connect(2). */
enum { STATE_UNCONNECTED = 0, STATE_CONNECTED = 1, STATE_FRESH = 7 };

enum { GROUP_WORDS_MAX = 64 };

struct dump_netlink {
	bool asked;
	struct diag_netlinks list;
};

#define REFUSE(d, ref, fmt, ...)                                                  \
	(dump_refuse(d, (ref)->task, "%s: netlink socket '%s' " fmt, (ref)->what, \
		     (ref)->facts.link, ##__VA_ARGS__),                           \
	 KIND_UNSUPPORTED)

static bool claims(const struct fd_facts *f)
{
	return f->family == AF_NETLINK;
}

/* ---- dump ---- */

/* NULL: it has no port yet, and is in no list. */
static int ask_kernel(struct dump *d, struct file_ref *ref, const struct diag_netlink **ret,
		      struct err *err)
{
	struct dump_netlink *all = files_dump_state(d, &kind_netlink, sizeof(*all));
	cleanup_fd int ns = -EBADF;
	size_t i;
	int r = socket_open_ns(d, ref, &ns, err);

	if (r != 0)
		return r;
	if (!all)
		return err_nomem(err);
	if (!all->asked) {
		r = diag_netlink(&d->arena, ns, &all->list, err);
		if (r < 0)
			return r;
		all->asked = true;
	}
	for (i = 0; i < all->list.n; i++)
		if (all->list.v[i].ino == (uint32_t)ref->facts.st.st_ino)
			*ret = &all->list.v[i];
	return 0;
}

static int check(struct dump *d, struct file_ref *ref, const struct diag_netlink *k)
{
	struct pollfd p = { .fd = ref->lfd, .events = POLLIN };

	if (poll(&p, 1, 0) == 1 && p.revents & POLLIN)
		return REFUSE(d, ref, "has unread messages");
	if (k && k->flags & NDIAG_FLAG_CB_RUNNING)
		return REFUSE(d, ref, "is in the middle of an answer of the kernel");
	return 0;
}

static int capture_groups(struct dump *d, struct file_ref *ref, NetlinkSkEntry *e, struct err *err)
{
	uint32_t words[GROUP_WORDS_MAX] = { 0 };
	socklen_t len = sizeof(words);
	size_t n;

	if (getsockopt(ref->lfd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &len) < 0)
		return err_sys(err, -errno, "reading NETLINK_LIST_MEMBERSHIPS");
	if (len > sizeof(words))
		return REFUSE(d, ref, "is of a protocol with %u groups", len * 8);
	for (n = len / sizeof(*words); n && !words[n - 1]; n--)
		;
	if (!n)
		return 0;
	e->n_groups = n;
	e->groups = arena_dup(&d->arena, words, n * sizeof(*words));
	return e->groups ? 0 : err_nomem(err);
}

static int capture_addresses(struct file_ref *ref, const struct diag_netlink *k, NetlinkSkEntry *e,
			     struct err *err)
{
	struct sockaddr_nl own = { 0 }, peer = { 0 };
	socklen_t len = sizeof(own), peer_len = sizeof(peer);

	if (getsockname(ref->lfd, (struct sockaddr *)&own, &len) < 0 ||
	    getpeername(ref->lfd, (struct sockaddr *)&peer, &peer_len) < 0)
		return err_sys(err, -errno, "reading the address of a netlink socket");
	e->portid = own.nl_pid;
	e->dst_portid = peer.nl_pid;
	e->dst_group = k ? k->dst_group : (uint32_t)__builtin_ffs((int)peer.nl_groups);
	e->state = k ? k->state : STATE_FRESH;
	return 0;
}

static int get_int(int sk, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(sk, SOL_SOCKET, name, &value, &len) < 0 ? -errno : value;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	NetlinkSkEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct sk_ident who = { AF_NETLINK, get_int(ref->lfd, SO_TYPE),
				get_int(ref->lfd, SO_PROTOCOL), false };
	const struct diag_netlink *k = NULL;
	int r;

	if (!e)
		return err_nomem(err);
	netlink_sk_entry__init(e);
	fe->nlsk = e;
	if (who.type < 0 || who.protocol < 0)
		return err_sys(err, who.type < 0 ? who.type : who.protocol,
			       "asking for the protocol of a netlink socket");
	r = ask_kernel(d, ref, &k, err);
	if (r == 0)
		r = check(d, ref, k);
	if (r != 0)
		return r;
	e->id = ref->id;
	e->ino = (uint32_t)ref->facts.st.st_ino;
	e->protocol = (uint32_t)who.protocol;
	e->flags = ref->facts.flags;
	e->has_ns_id = true;
	e->ns_id = d->root_ns.id[NS_NET];
	e->has_type = who.type != SOCK_RAW;
	e->type = (uint32_t)who.type;
	r = capture_addresses(ref, k, e, err);
	if (r == 0)
		r = capture_groups(d, ref, e, err);
	if (r == 0)
		r = files_capture_fown(d, ref, &e->fown, err);
	return r == 0 ? sockopts_capture(d, ref, &who, &e->opts, err) : r;
}

/* ---- restore ---- */

static int type_of(const NetlinkSkEntry *e)
{
	return e->has_type ? (int)e->type : SOCK_RAW;
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const NetlinkSkEntry *e = obj->entry->nlsk;
	struct sk_ident who = { .family = AF_NETLINK };

	if (!e)
		return err_image(err, "a netlink socket without a description");
	who.type = type_of(e);
	who.protocol = (int)e->protocol;
	if (who.type != SOCK_RAW && who.type != SOCK_DGRAM)
		return err_image(err, "a netlink socket of type %d", who.type);
	if (e->protocol >= 256)
		return err_image(err, "a netlink socket of protocol %u", e->protocol);
	if (e->n_groups > GROUP_WORDS_MAX)
		return err_image(err, "a netlink socket with %zu words of groups", e->n_groups);
	if (e->state != STATE_UNCONNECTED && e->state != STATE_CONNECTED && e->state != STATE_FRESH)
		return err_image(err, "a netlink socket in state %u", e->state);
	if (e->dst_group > 32)
		return err_image(err, "a netlink socket whose peer is group %u", e->dst_group);
	if (sockopts_check(obj->id, &who, e->opts, err) < 0)
		return err->code;
	return files_check_fown(obj, e->fown, err);
}

static int link_socket(struct restore *r, struct file_obj *obj, struct err *err)
{
	const NetlinkSkEntry *e = obj->entry->nlsk;

	return socket_check_ns(r, e->has_ns_id, e->ns_id, err);
}

static int bind_port(struct restore *r, int sk, const NetlinkSkEntry *e, struct err *err)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = e->portid };

	if (!e->portid || bind(sk, (struct sockaddr *)&a, sizeof(a)) == 0)
		return 0;
	if (errno == EADDRINUSE) {
		log_warn(r->log, "netlink socket %u: somebody has port %u, it gets another", e->ino,
			 e->portid);
		a.nl_pid = 0;
		if (bind(sk, (struct sockaddr *)&a, sizeof(a)) == 0)
			return 0;
	}
	return err_sys(err, -errno, "binding a netlink socket to port %u", e->portid);
}

/* By number: an address has a place for the first 32 only. */
static int join_groups(int sk, const NetlinkSkEntry *e, struct err *err)
{
	size_t i;
	int group;

	for (i = 0; i < e->n_groups * 32; i++) {
		if (!(e->groups[i / 32] & 1u << i % 32))
			continue;
		group = (int)i + 1;
		if (setsockopt(sk, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return err_sys(err, -errno, "joining group %d of netlink protocol %u",
				       group, e->protocol);
	}
	return 0;
}

static int connect_peer(int sk, const NetlinkSkEntry *e, struct err *err)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = e->dst_portid };

	if (e->state != STATE_CONNECTED)
		return 0;
	a.nl_groups = e->dst_group ? 1u << (e->dst_group - 1) : 0;
	if (connect(sk, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(err, -errno, "connecting a netlink socket to port %u",
			       e->dst_portid);
	return 0;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const NetlinkSkEntry *e = obj->entry->nlsk;
	cleanup_fd int sk = socket(AF_NETLINK, type_of(e) | SOCK_CLOEXEC, (int)e->protocol);
	int n;

	if (sk < 0)
		return err_sys(err, -errno, "making a socket of netlink protocol %u", e->protocol);
	/* the filter comes first: groups may bring messages at once */
	n = sockopts_restore(sk, e->opts, err);
	if (n == 0)
		n = bind_port(r, sk, e, err);
	if (n == 0)
		n = connect_peer(sk, e, err);
	if (n == 0)
		n = join_groups(sk, e, err);
	if (n == 0)
		n = files_restore_flags(sk, e->flags, err);
	if (n == 0)
		n = files_restore_fown(sk, e->fown, err);
	return n == 0 ? take_fd(&sk) : n;
}

const struct file_kind kind_netlink = {
	.name = "netlink socket",
	.type = FD_TYPES__NETLINKSK,
	.claims = claims,
	.capture = capture,
	.load = load,
	.link = link_socket,
	.create = create,
	.finish = files_finish_owner,
};
