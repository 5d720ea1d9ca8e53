/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture of internet sockets. Our duplicate of the descriptor tells nearly everything, in whatever
 * namespace we are; what only sock_diag(7) knows (which way a socket is shut down, a peer without a
 * port) is looked up there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext-net.h"
#include "engine/core/dump.h"
#include "engine/files/kinds.h"
#include "engine/sockets/diag.h"
#include "engine/sockets/inet-priv.h"
#include "engine/sockets/socket-ns.h"
#include "proto/files.pb-c.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { OWN_SCTP = 132, OWN_DCCP = 33, OWN_SMC = 256, OWN_L2TP = 115 };

/* Lists that were asked for already, one for a family and protocol. */
struct diag_list {
	struct diag_list *next;
	int family, protocol;
	struct diag_inets list;
};

struct dump_inet {
	struct diag_list *lists;
};

/* What was found out about a socket. */
struct look {
	struct sk_ident who;
	uint32_t state, backlog, pending, shutdown;
	bool keeps_stream; /* a connection that is kept, by tcp.h */
	bool shares_port;  /* with another socket of its protocol and namespace */
	unsigned int src_port, dst_port;
	uint32_t src[4], dst[4], scope;
};

#define REFUSE(d, ref, l, fmt, ...)                                                     \
	(dump_refuse(d, (ref)->task, "%s: %s '%s' " fmt, (ref)->what, protocol_name(l), \
		     (ref)->facts.link, ##__VA_ARGS__),                                 \
	 KIND_UNSUPPORTED)

static const char *protocol_name(const struct look *l)
{
	if (l->who.type == SOCK_RAW)
		return "raw socket";
	switch (l->who.protocol) {
	case IPPROTO_TCP:
		return "TCP socket";
	case IPPROTO_UDP:
		return "UDP socket";
	case IPPROTO_UDPLITE:
		return "UDP-Lite socket";
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return "ICMP socket";
	case IPPROTO_MPTCP:
		return "MPTCP socket";
	case OWN_SCTP:
		return "SCTP socket";
	case OWN_DCCP:
		return "DCCP socket";
	case OWN_SMC:
		return "SMC socket";
	case OWN_L2TP:
		return "L2TP socket";
	default:
		return "internet socket";
	}
}

static int get_int(int sk, int level, int name, int fallback)
{
	int value = fallback;
	socklen_t len = sizeof(value);

	return getsockopt(sk, level, name, &value, &len) < 0 ? fallback : value;
}

static bool is_known(const struct look *l)
{
	if (l->who.type == SOCK_RAW)
		return true;
	switch (l->who.protocol) {
	case IPPROTO_TCP:
		return l->who.type == SOCK_STREAM;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return l->who.type == SOCK_DGRAM;
	case IPPROTO_ICMP:
		return l->who.type == SOCK_DGRAM && l->who.family == AF_INET;
	case IPPROTO_ICMPV6:
		return l->who.type == SOCK_DGRAM && l->who.family == AF_INET6;
	default:
		return false;
	}
}

static int look_ident(struct dump *d, struct file_ref *ref, struct look *l)
{
	l->who.family = ref->facts.family;
	l->who.type = get_int(ref->lfd, SOL_SOCKET, SO_TYPE, -1);
	l->who.protocol = get_int(ref->lfd, SOL_SOCKET, SO_PROTOCOL, -1);
	if (is_known(l))
		return 0;
	if (l->who.protocol == IPPROTO_MPTCP)
		return REFUSE(d, ref, l,
			      "cannot be kept yet; hint: programs in Go use MPTCP unless they are "
			      "started with GODEBUG=multipathtcp=0");
	return REFUSE(d, ref, l, "(type %d, protocol %d) cannot be kept yet", l->who.type,
		      l->who.protocol);
}

/* ---- addresses ---- */

static void take_address(const struct sockaddr_storage *ss, uint32_t *addr, unsigned int *port,
			 uint32_t *scope)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *a = (const void *)ss;

		memcpy(addr, &a->sin_addr, sizeof(a->sin_addr));
		*port = ntohs(a->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)ss;

		memcpy(addr, &a->sin6_addr, sizeof(a->sin6_addr));
		*port = ntohs(a->sin6_port);
		*scope = a->sin6_scope_id;
	}
}

static int look_addresses(int sk, struct look *l, struct err *err)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	uint32_t scope = 0;

	if (getsockname(sk, (struct sockaddr *)&ss, &len) < 0)
		return err_sys(err, -errno, "reading the address of the socket");
	take_address(&ss, l->src, &l->src_port, &l->scope);
	/* unlike getpeername(2), this tells the peer of a connection that has ended as well, and
	 * fails if there is room for more than an address of the family */
	len = l->who.family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	if (getsockopt(sk, SOL_SOCKET, SO_PEERNAME, &ss, &len) == 0)
		take_address(&ss, l->dst, &l->dst_port, &scope);
	else if (errno != ENOTCONN)
		return err_sys(err, -errno, "reading the address of the socket's peer");
	if (!l->scope)
		l->scope = scope;
	return 0;
}

/* ---- the kernel's lists ---- */

/* Raw and ICMP sockets: the kernel may lack the module that lists the former, and has none for the
 * latter. */
static int read_proc_list(struct dump *d, struct file_ref *ref, const struct sk_ident *who,
			  struct diag_inets *ret, struct err *err)
{
	static const char *const names[2][2] = { { "net/icmp", "net/icmp6" },
						 { "net/raw", "net/raw6" } };
	const char *path = names[who->type == SOCK_RAW][who->family == AF_INET6];
	cleanup_buf struct buf text = BUF_INIT;
	struct proc_inets all = { 0 };
	struct diag_inet *list;
	size_t i;
	int r = io_read_file(ref->task->proc_fd, path, &text);

	if (r == 0)
		r = proc_inets_parse(text.data, text.len, &all);
	if (r < 0)
		return err_sys(err, r, "reading '%s'", path);
	list = arena_alloc(&d->arena, (all.n + 1) * sizeof(*list));
	for (i = 0; list && i < all.n; i++) {
		const struct proc_inet *p = &all.v[i];

		list[i] = (struct diag_inet){ .ino = (uint32_t)p->ino,
					      .state = (uint8_t)p->state,
					      .src_port = (uint16_t)p->local_port,
					      .dst_port = (uint16_t)p->remote_port };
		memcpy(list[i].src, p->local, sizeof(list[i].src));
		memcpy(list[i].dst, p->remote, sizeof(list[i].dst));
	}
	ret->v = list;
	ret->n = all.n;
	vec_free(&all);
	return list ? 0 : err_nomem(err);
}

static bool is_udp(const struct look *l)
{
	return l->who.type == SOCK_DGRAM &&
	       (l->who.protocol == IPPROTO_UDP || l->who.protocol == IPPROTO_UDPLITE);
}

static int list_of(struct dump *d, struct file_ref *ref, int ns, const struct look *k,
		   const struct diag_inets **ret, struct err *err)
{
	struct dump_inet *all = files_dump_state(d, &kind_inet, sizeof(*all));
	int protocol = k->who.type == SOCK_RAW ? IPPROTO_RAW : k->who.protocol;
	struct diag_list *l;
	int r;

	if (!all)
		return err_nomem(err);
	for (l = all->lists; l; l = l->next)
		if (l->family == k->who.family && l->protocol == protocol)
			break;
	if (!l) {
		l = arena_alloc(&d->arena, sizeof(*l));
		if (!l)
			return err_nomem(err);
		*l = (struct diag_list){ all->lists, k->who.family, protocol, { 0 } };
		if (is_udp(k))
			r = diag_inet(&d->arena, ns, l->family, protocol, &l->list, err);
		else
			r = read_proc_list(d, ref, &k->who, &l->list, err);
		if (r < 0)
			return r;
		all->lists = l;
	}
	*ret = &l->list;
	return 0;
}

/* Sockets without an address are in no list; then polling tells half of what there is. */
static uint32_t polled_shutdown(int sk)
{
	struct pollfd p = { .fd = sk, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP ? SK_SHUTDOWN__READ : 0;
}

static int look_in_list(struct dump *d, struct file_ref *ref, int ns, struct look *l,
			struct err *err)
{
	const struct diag_inets *list = NULL;
	size_t i;
	int r = list_of(d, ref, ns, l, &list, err);

	if (r < 0)
		return r;
	l->shutdown = polled_shutdown(ref->lfd);
	l->state = l->dst_port ? INET_ESTABLISHED : INET_CLOSE;
	for (i = 0; i < list->n; i++) {
		const struct diag_inet *k = &list->v[i];

		if (k->ino != (uint32_t)ref->facts.st.st_ino) {
			l->shares_port |= k->src_port == l->src_port;
			continue;
		}
		l->state = k->state;
		l->shutdown |= k->shutdown & SK_SHUTDOWN__BOTH;
		l->src_port = k->src_port;
		l->dst_port = k->dst_port;
		memcpy(l->src, k->src, sizeof(l->src));
		memcpy(l->dst, k->dst, sizeof(l->dst));
	}
	return 0;
}

/* ---- TCP ---- */

static int look_tcp(int sk, struct look *l, struct err *err)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(sk, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return err_sys(err, -errno, "reading TCP_INFO");
	l->state = info.tcpi_state;
	if (l->state == INET_LISTEN) {
		/* of a listener these two are the length of its queue and its limit */
		l->pending = info.tcpi_unacked;
		l->backlog = info.tcpi_sacked;
	} else {
		l->shutdown = polled_shutdown(sk);
	}
	l->who.was_connected = l->state != INET_LISTEN && l->dst_port;
	if (l->state == INET_CLOSE && l->dst_port && l->shutdown)
		l->shutdown = SK_SHUTDOWN__BOTH;
	return 0;
}

static bool has_unread(int sk)
{
	int unread = 0;

	return ioctl(sk, SIOCINQ, &unread) == 0 && unread;
}

static int check_closed(struct dump *d, struct file_ref *ref, struct look *l)
{
	if (d->opts->tcp_close)
		return 0;
	/* it still tells who its peer was */
	l->keeps_stream = d->opts->tcp_established && l->dst_port;
	if (has_unread(ref->lfd) && !d->opts->tcp_established)
		return REFUSE(d, ref, l,
			      "has unread bytes of a connection that has ended; hint: "
			      "--tcp-established keeps them, --tcp-close gives them up");
	return 0;
}

static int check_tcp(struct dump *d, struct file_ref *ref, struct look *l)
{
	char ulp[16] = "", a[SOCKET_TEXT_SIZE], b[SOCKET_TEXT_SIZE];
	socklen_t len = sizeof(ulp);

	if (getsockopt(ref->lfd, IPPROTO_TCP, TCP_ULP, ulp, &len) == 0 && len && ulp[0])
		return REFUSE(d, ref, l, "has the upper layer protocol '%.15s'", ulp);
	if (get_int(ref->lfd, IPPROTO_TCP, TCP_REPAIR, 0) > 0)
		return REFUSE(d, ref, l, "is in repair mode: somebody else is dumping it");
	if (l->state == INET_CLOSE)
		return check_closed(d, ref, l);
	if (l->state != INET_LISTEN) {
		l->keeps_stream = !d->opts->tcp_close && d->opts->tcp_established &&
				  tcp_is_open(l->state);
		if (d->opts->tcp_close || l->keeps_stream)
			return 0;
		return REFUSE(
			d, ref, l,
			"is a connection from %s to %s (state %u); hint: --tcp-established keeps "
			"it, --tcp-close keeps it as a closed one",
			socket_text(l->who.family, l->src, l->src_port, a),
			socket_text(l->who.family, l->dst, l->dst_port, b), l->state);
	}
	if (l->pending && !d->opts->tcp_skip_in_flight)
		return REFUSE(d, ref, l,
			      "listens, and %u connections wait to be accepted; hint: "
			      "--skip-in-flight gives them up",
			      l->pending);
	return 0;
}

/* ---- UDP and others with packets ---- */

/*
 * What was sent and has not left the machine counts as unsent as well, so it gets a moment to go;
 * what stays is a datagram that is being put together (MSG_MORE).
 */
static bool has_unsent(int sk)
{
	int i, unsent = 0;

	for (i = 0; i < 100; i++) {
		if (ioctl(sk, SIOCOUTQ, &unsent) < 0 || !unsent)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

static int check_udp(struct dump *d, struct file_ref *ref, const struct look *l)
{
	int level = l->who.protocol;

	if (get_int(ref->lfd, level, UDP_CORK, 0))
		return REFUSE(d, ref, l, "is corked (UDP_CORK)");
	if (get_int(ref->lfd, level, UDP_ENCAP, 0))
		return REFUSE(d, ref, l, "carries a tunnel of the kernel (UDP_ENCAP)");
	if (has_unsent(ref->lfd))
		return REFUSE(d, ref, l, "has a datagram that is not sent yet (MSG_MORE)");
	return 0;
}

/*
 * Why unread packets cannot be kept, or NULL: they come back by being sent once more, to this
 * socket and to nobody else.
 */
static const char *why_not_again(const struct file_ref *ref, const struct look *l, short events)
{
	char device[IFNAMSIZ] = "";
	socklen_t len = sizeof(device);

	getsockopt(ref->lfd, SOL_SOCKET, SO_BINDTODEVICE, device, &len);
	if (!is_udp(l) || l->who.protocol != IPPROTO_UDP)
		return "nobody can send them again";
	if (events & POLLERR)
		return "a look at them would take away the error that waits as well";
	if (device[0])
		return "they came in by a device of its own (SO_BINDTODEVICE)";
	if (get_int(ref->lfd, IPPROTO_UDP, UDP_GRO, 0))
		return "the kernel joins them (UDP_GRO)";
	return l->shares_port ? "another socket has the same port" : NULL;
}

static int look_at_queue(struct dump *d, struct file_ref *ref, const struct look *l,
			 struct err *err)
{
	struct pollfd p = { .fd = ref->lfd, .events = POLLIN };
	const char *why;
	int r;

	if (l->shutdown & SK_SHUTDOWN__READ || poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
		return 0;
	why = why_not_again(ref, l, p.revents);
	r = why ? KIND_UNSUPPORTED : inet_queue_capture(d, ref, l->who.family, err);
	if (r == KIND_UNSUPPORTED)
		return REFUSE(
			d, ref, l,
			"has unread packets, and %s; hint: try again when they have been read",
			why ?: "some of them went to a group of hosts");
	return r;
}

static int check(struct dump *d, struct file_ref *ref, struct look *l, struct err *err)
{
	int r = 0, off = get_int(ref->lfd, SOL_SOCKET, SO_PEEK_OFF, -1);

	if (off != -1)
		return REFUSE(d, ref, l, "has a peek offset (SO_PEEK_OFF)");
	if (l->who.type == SOCK_STREAM)
		return check_tcp(d, ref, l);
	if (is_udp(l))
		r = check_udp(d, ref, l);
	return r == 0 ? look_at_queue(d, ref, l, err) : r;
}

/* ---- the message ---- */

/* ioctl(2) answers for the socket's own namespace. */
static int capture_scope(struct dump *d, struct file_ref *ref, const struct look *l, InetSkEntry *e,
			 struct err *err)
{
	struct ifreq req = { .ifr_ifindex = (int)l->scope };

	if (!l->scope)
		return 0;
	if (ioctl(ref->lfd, SIOCGIFNAME, &req) < 0)
		return err_sys(err, -errno, "finding the name of network device %u", l->scope);
	req.ifr_name[IFNAMSIZ - 1] = '\0';
	e->ifname = arena_strdup(&d->arena, req.ifr_name);
	return e->ifname ? 0 : err_nomem(err);
}

static int fill(struct dump *d, struct file_ref *ref, const struct look *l, InetSkEntry *e,
		struct err *err)
{
	bool v6 = l->who.family == AF_INET6;
	/* the peer of a connection that has ended is nobody's any more */
	bool peer = l->state != INET_CLOSE || l->keeps_stream;

	e->id = ref->id;
	e->ino = (uint32_t)ref->facts.st.st_ino;
	e->family = (uint32_t)l->who.family;
	e->type = (uint32_t)l->who.type;
	e->proto = (uint32_t)l->who.protocol;
	e->state = l->state;
	e->src_port = l->src_port;
	e->dst_port = peer ? l->dst_port : 0;
	e->flags = ref->facts.flags;
	e->backlog = l->backlog;
	e->has_ns_id = true;
	e->ns_id = d->root_ns.id[NS_NET];
	e->n_src_addr = e->n_dst_addr = v6 ? WORDS_V6 : WORDS_V4;
	e->src_addr = arena_dup(&d->arena, l->src, sizeof(l->src));
	e->dst_addr =
		arena_dup(&d->arena, peer ? l->dst : (const uint32_t[4]){ 0 }, sizeof(l->dst));
	if (!e->src_addr || !e->dst_addr)
		return err_nomem(err);
	if (v6) {
		e->has_v6only = true;
		e->v6only = get_int(ref->lfd, IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0;
	}
	if (l->shutdown) {
		e->has_shutdown = true;
		e->shutdown = (SkShutdown)l->shutdown;
	}
	return capture_scope(d, ref, l, e, err);
}

static int look_at(struct dump *d, struct file_ref *ref, struct look *l, struct err *err)
{
	cleanup_fd int ns = -EBADF;
	int r = look_ident(d, ref, l);

	if (r == 0)
		r = socket_open_ns(d, ref, &ns, err);
	if (r == 0)
		r = look_addresses(ref->lfd, l, err);
	if (r == 0)
		r = l->who.type == SOCK_STREAM ? look_tcp(ref->lfd, l, err)
					       : look_in_list(d, ref, ns, l, err);
	return r;
}

int inet_capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	InetSkEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct look l = { 0 };
	int r;

	if (!e)
		return err_nomem(err);
	inet_sk_entry__init(e);
	fe->isk = e;
	r = look_at(d, ref, &l, err);
	if (r == 0)
		r = check(d, ref, &l, err);
	if (r == 0)
		r = fill(d, ref, &l, e, err);
	if (r == 0)
		r = files_capture_fown(d, ref, &e->fown, err);
	if (r == 0)
		r = sockopts_capture(d, ref, &l.who, &e->opts, err);
	if (r == 0)
		r = inet_opts_capture(d, ref->lfd, &l.who, e, err);
	if (r == 0)
		r = inet_groups_capture(d, ref, e, err);
	if (r != 0 || !l.keeps_stream)
		return r;
	r = tcp_note(d, ref, fe, err);
	return r == 0 ? KIND_WRITES_LATER : r;
}
