/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of IP, IPv6, raw sockets and TCP that CRIU's messages have fields for. */
#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "engine/sockets/inet-priv.h"
#include "proto/inet.pb-c.h"

/* Missing in the headers of libc. */
enum { OWN_IPV6_HDRINCL = 36, OWN_IPV6_FREEBIND = 78, OWN_ICMP_FILTER = 1, ICMP6_WORDS = 8 };

/* An option that is one number; has and val are offsets in its message. */
struct opt {
	int level, name;
	const char *text;
	bool is_bool;
	size_t has, val;
	bool early; /* sockets may get other addresses with it */
};

#define OPT(msg, level, name, is_bool, field, ...)                                             \
	{                                                                                      \
		level, name, #name, is_bool, offsetof(msg, has_##field), offsetof(msg, field), \
			__VA_ARGS__                                                            \
	}

static const struct opt ip_opts[] = {
	OPT(IpOptsEntry, IPPROTO_IP, IP_FREEBIND, true, freebind, .early = true),
	OPT(IpOptsEntry, IPPROTO_IP, IP_PKTINFO, true, pktinfo),
	OPT(IpOptsEntry, IPPROTO_IP, IP_TOS, false, tos),
	OPT(IpOptsEntry, IPPROTO_IP, IP_TTL, false, ttl),
	{ 0 },
};

static const struct opt ip6_opts[] = {
	OPT(IpOptsEntry, IPPROTO_IPV6, OWN_IPV6_FREEBIND, true, freebind, .early = true),
	OPT(IpOptsEntry, IPPROTO_IPV6, IPV6_RECVPKTINFO, true, pktinfo),
	{ 0 },
};

/* What an IPv6 socket does with the IPv4 that it speaks as well. CRIU does not look at these. */
static const struct opt ip4_of_6_opts[] = {
	OPT(IpOptsEntry, IPPROTO_IP, IP_TOS, false, tos),
	OPT(IpOptsEntry, IPPROTO_IP, IP_TTL, false, ttl),
	{ 0 },
};

static const struct opt raw_opts[] = {
	OPT(IpOptsRawEntry, IPPROTO_IP, IP_HDRINCL, true, hdrincl),
	OPT(IpOptsRawEntry, IPPROTO_IP, IP_NODEFRAG, true, nodefrag),
	{ 0 },
};

static const struct opt raw6_opts[] = {
	OPT(IpOptsRawEntry, IPPROTO_IPV6, OWN_IPV6_HDRINCL, true, hdrincl),
	{ 0 },
};

static const struct opt tcp_opts[] = {
	OPT(TcpOptsEntry, IPPROTO_TCP, TCP_CORK, true, cork),
	OPT(TcpOptsEntry, IPPROTO_TCP, TCP_NODELAY, true, nodelay),
	OPT(TcpOptsEntry, IPPROTO_TCP, TCP_KEEPCNT, false, keepcnt),
	OPT(TcpOptsEntry, IPPROTO_TCP, TCP_KEEPIDLE, false, keepidle),
	OPT(TcpOptsEntry, IPPROTO_TCP, TCP_KEEPINTVL, false, keepintvl),
	{ 0 },
};

/* Where CRIU before 3.18 had them. */
static const struct opt old_tcp_opts[] = {
	OPT(SkOptsEntry, IPPROTO_TCP, TCP_KEEPCNT, false, tcp_keepcnt),
	OPT(SkOptsEntry, IPPROTO_TCP, TCP_KEEPIDLE, false, tcp_keepidle),
	OPT(SkOptsEntry, IPPROTO_TCP, TCP_KEEPINTVL, false, tcp_keepintvl),
	{ 0 },
};

/* ---- dump ---- */

/* What is not set is left out: readers take that for what a fresh socket has. */
static int capture_list(int sk, const struct opt *list, void *msg, struct err *err)
{
	const struct opt *o;

	for (o = list; o->text; o++) {
		int val = 0;
		socklen_t len = sizeof(val);

		if (getsockopt(sk, o->level, o->name, &val, &len) < 0)
			return err_sys(err, -errno, "reading %s", o->text);
		if (!val)
			continue;
		*(protobuf_c_boolean *)((char *)msg + o->has) = true;
		if (o->is_bool)
			*(protobuf_c_boolean *)((char *)msg + o->val) = true;
		else
			*(uint32_t *)((char *)msg + o->val) = (uint32_t)val;
	}
	return 0;
}

static bool has_icmp_filter(uint32_t family, uint32_t proto)
{
	return proto == (family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static int icmp_level(uint32_t family)
{
	return family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_RAW;
}

static int capture_raw(struct dump *d, int sk, const InetSkEntry *e, IpOptsRawEntry *raw,
		       struct err *err)
{
	socklen_t len = (e->family == AF_INET6 ? ICMP6_WORDS : 1) * sizeof(uint32_t);
	int r = capture_list(sk, e->family == AF_INET6 ? raw6_opts : raw_opts, raw, err);

	if (r < 0 || !has_icmp_filter(e->family, e->proto))
		return r;
	raw->n_icmpv_filter = len / sizeof(uint32_t);
	raw->icmpv_filter = arena_alloc(&d->arena, len);
	if (!raw->icmpv_filter)
		return err_nomem(err);
	if (getsockopt(sk, icmp_level(e->family), OWN_ICMP_FILTER, raw->icmpv_filter, &len) < 0)
		return err_sys(err, -errno, "reading ICMP_FILTER");
	return 0;
}

int inet_opts_capture(struct dump *d, int sk, const struct sk_ident *who, InetSkEntry *e,
		      struct err *err)
{
	IpOptsEntry *ip = arena_alloc(&d->arena, sizeof(*ip));
	IpOptsRawEntry *raw = arena_alloc(&d->arena, sizeof(*raw));
	TcpOptsEntry *tcp = arena_alloc(&d->arena, sizeof(*tcp));
	bool v6 = who->family == AF_INET6;
	int r;

	if (!ip || !raw || !tcp)
		return err_nomem(err);
	ip_opts_entry__init(ip);
	ip_opts_raw_entry__init(raw);
	tcp_opts_entry__init(tcp);
	e->ip_opts = ip;
	r = capture_list(sk, v6 ? ip6_opts : ip_opts, ip, err);
	if (r == 0 && v6 && who->type != SOCK_RAW)
		r = capture_list(sk, ip4_of_6_opts, ip, err);
	if (r == 0 && who->type == SOCK_RAW) {
		ip->raw = raw;
		r = capture_raw(d, sk, e, raw, err);
	}
	if (r == 0 && who->type == SOCK_STREAM) {
		e->tcp_opts = tcp;
		r = capture_list(sk, tcp_opts, tcp, err);
	}
	return r;
}

/* ---- restore ---- */

int inet_opts_check(const InetSkEntry *e, struct err *err)
{
	const IpOptsRawEntry *raw = e->ip_opts ? e->ip_opts->raw : NULL;
	size_t words = e->family == AF_INET6 ? ICMP6_WORDS : 1;

	if (raw && raw->n_icmpv_filter &&
	    (!has_icmp_filter(e->family, e->proto) || raw->n_icmpv_filter != words))
		return err_image(err, "an ICMP filter of %zu words", raw->n_icmpv_filter);
	return 0;
}

static int restore_list(int sk, const struct opt *list, const void *msg, bool early,
			struct err *err)
{
	const struct opt *o;

	for (o = list; o->text; o++) {
		int want, now = 0;
		socklen_t len = sizeof(now);

		if (o->early != early || !*(const protobuf_c_boolean *)((const char *)msg + o->has))
			continue;
		want = o->is_bool ? *(const protobuf_c_boolean *)((const char *)msg + o->val)
				  : (int)*(const uint32_t *)((const char *)msg + o->val);
		if (getsockopt(sk, o->level, o->name, &now, &len) == 0 && now == want)
			continue;
		if (setsockopt(sk, o->level, o->name, &want, sizeof(want)) < 0)
			return sockopts_failed(err, -errno, o->text);
	}
	return 0;
}

int inet_opts_restore_early(int sk, const InetSkEntry *e, struct err *err)
{
	int on = 1;

	if (e->has_v6only && e->v6only &&
	    setsockopt(sk, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return sockopts_failed(err, -errno, "IPV6_V6ONLY");
	if (!e->ip_opts)
		return 0;
	return restore_list(sk, e->family == AF_INET6 ? ip6_opts : ip_opts, e->ip_opts, true, err);
}

static int restore_raw(int sk, const InetSkEntry *e, const IpOptsRawEntry *raw, struct err *err)
{
	int r = restore_list(sk, e->family == AF_INET6 ? raw6_opts : raw_opts, raw, false, err);

	if (r == 0 && raw->n_icmpv_filter &&
	    setsockopt(sk, icmp_level(e->family), OWN_ICMP_FILTER, raw->icmpv_filter,
		       (socklen_t)(raw->n_icmpv_filter * sizeof(uint32_t))) < 0)
		return sockopts_failed(err, -errno, "ICMP_FILTER");
	return r;
}

int inet_opts_restore(int sk, const InetSkEntry *e, struct err *err)
{
	const IpOptsEntry *ip = e->ip_opts;
	bool v6 = e->family == AF_INET6;
	int r = 0;

	if (ip)
		r = restore_list(sk, v6 ? ip6_opts : ip_opts, ip, false, err);
	if (r == 0 && ip && v6 && e->type != SOCK_RAW)
		r = restore_list(sk, ip4_of_6_opts, ip, false, err);
	if (r == 0 && ip && ip->raw && e->type == SOCK_RAW)
		r = restore_raw(sk, e, ip->raw, err);
	if (r == 0 && e->type == SOCK_STREAM)
		r = restore_list(sk, old_tcp_opts, e->opts, false, err);
	if (r == 0 && e->type == SOCK_STREAM && e->tcp_opts)
		r = restore_list(sk, tcp_opts, e->tcp_opts, false, err);
	return r;
}
