// SPDX-License-Identifier: LGPL-2.1-or-later
/* Asking the kernel for everything that is in the network namespace of this process. */
#include "engine/ns/net-priv.h"

/* This comes first, so that the kernel's headers leave out what it defines. */
#include <netinet/in.h>

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/cleanup.h"

struct survey {
	struct net_lo lo;
	bool have_lo, oom;
	struct net_links *links;
	struct buf *foreign;
};

/* Called for every message; a negative return ends the dump. */
typedef int (*message_fn)(struct survey *s, struct nlmsghdr *h);

struct dumping {
	message_fn fn;
	struct survey *s;
	int r;
};

static int on_message(struct nl_msg *msg, void *arg)
{
	struct dumping *d = arg;

	d->r = d->fn(d->s, nlmsg_hdr(msg));
	return d->r < 0 ? NL_STOP : NL_OK;
}

static void free_sock(struct nl_sock **s)
{
	if (*s)
		nl_socket_free(*s);
}

/*
 * One dump request and its answers. Positive NOT_THERE if this kernel does not know the protocol or
 * the request: then there is nothing of it in the namespace either.
 */
enum { NOT_THERE = 1 };

static int query(struct survey *s, int protocol, int type, const void *head, size_t head_len,
		 message_fn fn, struct err *err)
{
	cleanup_with(free_sock) struct nl_sock *sk = nl_socket_alloc();
	struct dumping d = { .fn = fn, .s = s };
	int r;

	if (!sk)
		return err_nomem(err);
	nl_socket_disable_seq_check(sk);
	nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_message, &d);
	r = nl_connect(sk, protocol);
	if (r == -NLE_PROTO_MISMATCH || r == -NLE_AF_NOSUPPORT || r == -NLE_NOATTR)
		return NOT_THERE;
	if (r >= 0)
		r = nl_send_simple(sk, type, NLM_F_DUMP, (void *)head, head_len);
	if (r >= 0)
		r = nl_recvmsgs_default(sk);
	if (d.r < 0)
		return err_sys(err, d.r, "reading an answer of netlink");
	if (r == -NLE_OPNOTSUPP || r == -NLE_INVAL || r == -NLE_AF_NOSUPPORT)
		return NOT_THERE;
	if (r < 0)
		return err_new(err, ERR_ENVIRONMENT, -EIO, "asking netlink: %s", nl_geterror(r));
	return 0;
}

/* The names of netlink's attributes end where the attribute does, if not before. */
static const char *text_of(const struct nlattr *a, char *buf, size_t size)
{
	size_t n = a ? (size_t)nla_len(a) : 0;

	if (n >= size)
		n = size - 1;
	if (n)
		memcpy(buf, nla_data(a), n);
	buf[n] = '\0';
	return buf;
}

static int on_link(struct survey *s, struct nlmsghdr *h)
{
	struct ifinfomsg *m = nlmsg_data(h);
	struct nlattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1] = { 0 };
	struct net_link *link;
	char name[IFNAMSIZ];

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (nlmsg_parse(h, sizeof(*m), tb, IFLA_MAX, NULL) < 0)
		return -EBADMSG;
	text_of(tb[IFLA_IFNAME], name, sizeof(name));
	if (m->ifi_flags & IFF_LOOPBACK) {
		s->have_lo = true;
		s->lo.ifindex = (uint32_t)m->ifi_index;
		s->lo.flags = m->ifi_flags;
		s->lo.mtu = tb[IFLA_MTU] ? nla_get_u32(tb[IFLA_MTU]) : 0;
		return 0;
	}
	if (net_is_fallback(name) && !(m->ifi_flags & IFF_UP))
		return 0;
	if (tb[IFLA_LINKINFO])
		nla_parse_nested(info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], NULL);
	link = vec_add(s->links);
	if (!link)
		return -ENOMEM;
	*link = (struct net_link){ .ifindex = (uint32_t)m->ifi_index,
				   .flags = m->ifi_flags,
				   .type = m->ifi_type,
				   .mtu = tb[IFLA_MTU] ? nla_get_u32(tb[IFLA_MTU]) : 0 };
	memcpy(link->name, name, sizeof(link->name));
	text_of(info[IFLA_INFO_KIND], link->kind, sizeof(link->kind));
	if (tb[IFLA_ADDRESS] && (size_t)nla_len(tb[IFLA_ADDRESS]) <= sizeof(link->address)) {
		link->address_len = (uint32_t)nla_len(tb[IFLA_ADDRESS]);
		memcpy(link->address, nla_data(tb[IFLA_ADDRESS]), link->address_len);
	}
	return 0;
}

/* What the check says about an address or a route of a device that is not the loopback one. */
static int note_extra(struct survey *s, uint32_t ifindex, const struct buf *what)
{
	struct net_link *it;

	if (!what->len)
		return 0;
	vec_foreach (it, s->links) {
		size_t n = strlen(it->extra);

		if (it->ifindex == ifindex)
			snprintf(it->extra + n, sizeof(it->extra) - n, "%s%s", n ? ", " : "",
				 what->data);
	}
	return 0;
}

static int on_addr(struct survey *s, struct nlmsghdr *h)
{
	cleanup_buf struct buf what = BUF_INIT;
	const struct ifaddrmsg *m = nlmsg_data(h);
	uint32_t index = net_addr_index(h);
	struct net_lo none = { 0 };
	int r;

	if (h->nlmsg_type != RTM_NEWADDR)
		return 0;
	if (index == s->lo.ifindex)
		return net_check_addr(h, index, &s->lo, s->foreign);
	/* the kernel makes one of its own for every device */
	if (m->ifa_family == AF_INET6 && m->ifa_scope == RT_SCOPE_LINK)
		return 0;
	r = net_check_addr(h, index, &none, &what);
	return r < 0 ? r : note_extra(s, index, &what);
}

static int on_route(struct survey *s, struct nlmsghdr *h)
{
	cleanup_buf struct buf what = BUF_INIT;
	uint32_t index = net_route_index(h);
	int r;

	if (h->nlmsg_type != RTM_NEWROUTE)
		return 0;
	if (!index || index == s->lo.ifindex)
		return net_check_route(h, s->lo.ifindex, s->foreign);
	r = net_check_route(h, index, &what);
	return r < 0 ? r : note_extra(s, index, &what);
}

static int on_rule(struct survey *s, struct nlmsghdr *h)
{
	return h->nlmsg_type == RTM_NEWRULE ? net_check_rule(h, s->foreign) : 0;
}

static int on_qdisc(struct survey *s, struct nlmsghdr *h)
{
	struct tcmsg *m = nlmsg_data(h);
	struct nlattr *tb[TCA_MAX + 1];
	char kind[32];

	if (h->nlmsg_type != RTM_NEWQDISC || (uint32_t)m->tcm_ifindex != s->lo.ifindex)
		return 0;
	if (nlmsg_parse(h, sizeof(*m), tb, TCA_MAX, NULL) < 0)
		return -EBADMSG;
	text_of(tb[TCA_KIND], kind, sizeof(kind));
	return strcmp(kind, "noqueue") == 0
		       ? 0
		       : net_foreign(s->foreign, "queueing discipline '%s' of 'lo'", kind);
}

static const char *nft_family(int family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_NETDEV:
		return "netdev";
	case NFPROTO_BRIDGE:
		return "bridge";
	}
	return "unknown";
}

static int on_table(struct survey *s, struct nlmsghdr *h)
{
	struct nfgenmsg *m = nlmsg_data(h);
	struct nlattr *tb[NFTA_TABLE_MAX + 1];
	char name[128];

	if (nlmsg_parse(h, sizeof(*m), tb, NFTA_TABLE_MAX, NULL) < 0)
		return -EBADMSG;
	text_of(tb[NFTA_TABLE_NAME], name, sizeof(name));
	/* The lock of the network for the time of the dump: it is not the tree's. */
	if (strncmp(name, "CRIU-", 5) == 0)
		return 0;
	return net_foreign(s->foreign, "nftables table '%s %s'", nft_family(m->nfgen_family), name);
}

static int on_xfrm(struct survey *s, struct nlmsghdr *h)
{
	return h->nlmsg_type == XFRM_MSG_NEWSA ? net_foreign(s->foreign, "an IPsec association")
					       : net_foreign(s->foreign, "an IPsec policy");
}

static int look_filters(struct survey *s, struct err *err)
{
	const struct nfgenmsg nf = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 };
	const struct xfrm_usersa_id sa = { 0 };
	const struct xfrm_userpolicy_id policy = { 0 };
	int r = query(s, NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, &nf,
		      sizeof(nf), on_table, err);

	if (r >= 0)
		r = query(s, NETLINK_XFRM, XFRM_MSG_GETSA, &sa, sizeof(sa), on_xfrm, err);
	if (r >= 0)
		r = query(s, NETLINK_XFRM, XFRM_MSG_GETPOLICY, &policy, sizeof(policy), on_xfrm,
			  err);
	return r < 0 ? r : net_look_iptables(s->foreign, err);
}

/* What the loopback device would get back by itself must not be missing, or it would come back. */
static int check_lo(const struct survey *s)
{
	char v6_off[16];

	if (!(s->lo.flags & IFF_UP))
		return 0;
	if (!s->lo.has4 && net_foreign(s->foreign, "'lo' without its address 127.0.0.1/8") < 0)
		return -ENOMEM;
	if (s->lo.has6 ||
	    ns_sysctl_read("net/ipv6/conf/lo/disable_ipv6", v6_off, sizeof(v6_off)) < 0 ||
	    strcmp(v6_off, "0") != 0)
		return 0;
	return net_foreign(s->foreign, "'lo' without its address ::1/128");
}

int net_look(struct net_lo *ret, struct net_links *links, struct buf *foreign, struct err *err)
{
	static const struct {
		int type;
		message_fn fn;
	} dumps[] = { { RTM_GETADDR, on_addr },
		      { RTM_GETROUTE, on_route },
		      { RTM_GETRULE, on_rule } };
	const struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	const struct tcmsg qdisc = { .tcm_family = AF_UNSPEC };
	const struct rtmsg any = { .rtm_family = AF_UNSPEC }; /* as long as any of the heads */
	struct survey s = { .links = links, .foreign = foreign };
	int r = query(&s, NETLINK_ROUTE, RTM_GETLINK, &link, sizeof(link), on_link, err);

	if (r == 0 && !s.have_lo)
		return err_new(err, ERR_ENVIRONMENT, -ENODEV, "there is no loopback device");
	for (size_t i = 0; i < sizeof(dumps) / sizeof(dumps[0]) && r >= 0; i++)
		r = query(&s, NETLINK_ROUTE, dumps[i].type, &any, sizeof(any), dumps[i].fn, err);
	if (r >= 0)
		r = query(&s, NETLINK_ROUTE, RTM_GETQDISC, &qdisc, sizeof(qdisc), on_qdisc, err);
	if (r >= 0)
		r = look_filters(&s, err);
	if (r >= 0 && check_lo(&s) < 0)
		r = err_nomem(err);
	if (r >= 0)
		*ret = s.lo;
	return r < 0 ? r : 0;
}
