// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What every new network namespace has by itself, told from what somebody has put there. Works on
 * messages of rtnetlink, whether they come from the kernel or from a file: every length is checked.
 */
#include "engine/ns/net-priv.h"

#include <errno.h>
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int net_foreign(struct buf *list, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return buf_printf(list, "%s%s", list->len ? ", " : "", text);
}

bool net_is_fallback(const char *name)
{
	static const char *const names[] = { "sit0",	"tunl0",   "ip6tnl0",  "gre0",	 "gretap0",
					     "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Finds an attribute behind a fixed head; NULL if it is absent or shorter than min bytes. */
static const struct rtattr *attr(const struct nlmsghdr *h, size_t head, unsigned short type,
				 size_t min)
{
	const struct rtattr *a;
	int len = (int)h->nlmsg_len - (int)NLMSG_SPACE(head);

	if (len < 0)
		return NULL;
	for (a = (const void *)((const char *)h + NLMSG_SPACE(head)); RTA_OK(a, len);
	     a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return RTA_PAYLOAD(a) >= min ? a : NULL;
	return NULL;
}

static const void *payload(const struct nlmsghdr *h, size_t head)
{
	return h->nlmsg_len >= NLMSG_LENGTH(head) ? NLMSG_DATA(h) : NULL;
}

static bool attr_u32(const struct nlmsghdr *h, size_t head, unsigned short type, uint32_t *ret)
{
	const struct rtattr *a = attr(h, head, type, sizeof(*ret));

	if (a)
		memcpy(ret, RTA_DATA(a), sizeof(*ret));
	return a;
}

/* "10.0.0.1/8", or "default" without an address. */
static const char *prefix(int family, const struct rtattr *a, unsigned int len, char *buf,
			  size_t size)
{
	char text[INET6_ADDRSTRLEN];

	if (!a)
		return "default";
	if (!inet_ntop(family, RTA_DATA(a), text, sizeof(text)))
		return "an address";
	snprintf(buf, size, "%s/%u", text, len);
	return buf;
}

static size_t addr_len(int family)
{
	return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

int net_check_addr(const struct nlmsghdr *h, uint32_t lo_index, struct net_lo *lo, struct buf *list)
{
	const struct ifaddrmsg *m = payload(h, sizeof(*m));
	const struct rtattr *a;
	char text[64];

	if (!m)
		return -EBADMSG;
	if (m->ifa_index != lo_index)
		return 0;
	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return net_foreign(list, "an address of family %u of 'lo'", m->ifa_family);
	a = attr(h, sizeof(*m), IFA_LOCAL, addr_len(m->ifa_family));
	if (!a)
		a = attr(h, sizeof(*m), IFA_ADDRESS, addr_len(m->ifa_family));
	if (!a)
		return -EBADMSG;
	if (m->ifa_family == AF_INET && m->ifa_prefixlen == 8) {
		struct in_addr ip;

		memcpy(&ip, RTA_DATA(a), sizeof(ip));
		if (ip.s_addr == htonl(INADDR_LOOPBACK)) {
			lo->has4 = true;
			return 0;
		}
	}
	if (m->ifa_family == AF_INET6 && m->ifa_prefixlen == 128) {
		struct in6_addr ip;

		memcpy(&ip, RTA_DATA(a), sizeof(ip));
		if (IN6_IS_ADDR_LOOPBACK(&ip)) {
			lo->has6 = true;
			return 0;
		}
	}
	return net_foreign(list, "address %s of 'lo'",
			   prefix(m->ifa_family, a, m->ifa_prefixlen, text, sizeof(text)));
}

int net_check_route(const struct nlmsghdr *h, uint32_t lo_index, struct buf *list)
{
	const struct rtmsg *m = payload(h, sizeof(*m));
	uint32_t oif = 0;
	char text[64];

	if (!m)
		return -EBADMSG;
	if (m->rtm_flags & RTM_F_CLONED)
		return 0; /* a cached decision */
	/* What the kernel makes for addresses comes back with them. */
	if (m->rtm_protocol == RTPROT_KERNEL)
		return 0;
	if (m->rtm_family != AF_INET && m->rtm_family != AF_INET6)
		return net_foreign(list, "a route of family %u", m->rtm_family);
	if (attr_u32(h, sizeof(*m), RTA_OIF, &oif) && oif != lo_index)
		return 0;
	return net_foreign(list, "route %s",
			   prefix(m->rtm_family,
				  attr(h, sizeof(*m), RTA_DST, addr_len(m->rtm_family)),
				  m->rtm_dst_len, text, sizeof(text)));
}

uint32_t net_addr_index(const struct nlmsghdr *h)
{
	const struct ifaddrmsg *m = payload(h, sizeof(*m));

	return m ? m->ifa_index : 0;
}

uint32_t net_route_index(const struct nlmsghdr *h)
{
	const struct rtmsg *m = payload(h, sizeof(*m));
	uint32_t oif = 0;

	if (m)
		attr_u32(h, sizeof(*m), RTA_OIF, &oif);
	return oif;
}

/* A rule that does nothing but look into the given table. */
static bool is_plain_rule(const struct nlmsghdr *h, const struct fib_rule_hdr *m)
{
	static const unsigned short conditions[] = { FRA_DST,	     FRA_SRC,	   FRA_IIFNAME,
						     FRA_GOTO,	     FRA_FWMARK,   FRA_FLOW,
						     FRA_TUN_ID,     FRA_OIFNAME,  FRA_L3MDEV,
						     FRA_UID_RANGE,  FRA_IP_PROTO, FRA_SPORT_RANGE,
						     FRA_DPORT_RANGE };
	uint32_t suppress;

	if (attr_u32(h, sizeof(*m), FRA_SUPPRESS_PREFIXLEN, &suppress) && suppress != UINT32_MAX)
		return false;
	if (m->action != FR_ACT_TO_TBL || m->src_len || m->dst_len || m->tos ||
	    m->flags & FIB_RULE_INVERT)
		return false;
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
		if (attr(h, sizeof(*m), conditions[i], 0))
			return false;
	return true;
}

int net_check_rule(const struct nlmsghdr *h, struct buf *list)
{
	static const struct {
		uint32_t priority, table;
		int family;
	} usual[] = {
		{ 0, RT_TABLE_LOCAL, AF_INET },
		{ 32766, RT_TABLE_MAIN, AF_INET },
		{ 32767, RT_TABLE_DEFAULT, AF_INET },
		{ 0, RT_TABLE_LOCAL, AF_INET6 },
		{ 32766, RT_TABLE_MAIN, AF_INET6 },
		{ 32767, RT_TABLE_DEFAULT, RTNL_FAMILY_IPMR },
		{ 32767, RT_TABLE_MAIN, RTNL_FAMILY_IP6MR },
	};
	const struct fib_rule_hdr *m = payload(h, sizeof(*m));
	uint32_t priority = 0, table;

	if (!m)
		return -EBADMSG;
	table = m->table;
	attr_u32(h, sizeof(*m), FRA_PRIORITY, &priority);
	attr_u32(h, sizeof(*m), FRA_TABLE, &table);
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (usual[i].priority == priority && usual[i].table == table &&
		    usual[i].family == m->family && is_plain_rule(h, m))
			return 0;
	return net_foreign(list, "routing rule %u for table %u", priority, table);
}
