// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A checkpoint of CRIU's has addresses, routes, rules and filters of a network namespace as
 * iproute2, iptables and nft save them. Ours has none of these, since it keeps only what a new
 * namespace has by itself; and of CRIU's the same is accepted. The lock that CRIU sets up for the
 * time of a dump is in its images and is skipped: a restore ends without it.
 */
#include "engine/ns/net-priv.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/cleanup.h"

/* Magic numbers of `ip addr save`, `ip route save` and `ip rule save`. */
enum { IP_ADDR = 0x47361222, IP_ROUTE = 0x45311224, IP_RULE = 0x71706986 };

/* The loopback device is the first of every namespace. */
enum { LO_INDEX = 1 };

static int check_message(const struct nlmsghdr *h, struct buf *list)
{
	struct net_lo ignored = { 0 };

	switch (h->nlmsg_type) {
	case RTM_NEWADDR:
		return net_check_addr(h, LO_INDEX, &ignored, list);
	case RTM_NEWROUTE:
		return net_check_route(h, LO_INDEX, list);
	case RTM_NEWRULE:
		return net_check_rule(h, list);
	}
	return -EBADMSG;
}

int net_raw_iproute(uint32_t magic, const void *data, size_t len, struct buf *list)
{
	const char *p = data, *end = p + len;
	uint32_t word;
	int r = 0;

	if (!len)
		return 0;
	if (len < sizeof(word))
		return -EBADMSG;
	memcpy(&word, p, sizeof(word));
	if (word != magic)
		return -EBADMSG;
	p += sizeof(word);
	while (p < end && r == 0) {
		/* A copy: behind the magic word nothing in the file is aligned for what is in it.
		 */
		cleanup_free struct nlmsghdr *h = NULL;
		uint32_t size;

		if ((size_t)(end - p) < sizeof(*h))
			return -EBADMSG;
		memcpy(&size, p, sizeof(size)); /* nlmsg_len, the first member */
		if (size < sizeof(*h) || size > (size_t)(end - p))
			return -EBADMSG;
		h = malloc(NLMSG_ALIGN(size));
		if (!h)
			return -ENOMEM;
		memcpy(h, p, size);
		r = check_message(h, list);
		p += NLMSG_ALIGN(size) < (size_t)(end - p) ? NLMSG_ALIGN(size) : (size_t)(end - p);
	}
	return r;
}

/* Cuts the next line off, without blanks at both ends. False at the end. */
static bool next_line(const char **p, const char *end, char *line, size_t size)
{
	const char *from = *p, *to;

	if (from >= end)
		return false;
	to = memchr(from, '\n', (size_t)(end - from));
	*p = to ? to + 1 : end;
	if (!to)
		to = end;
	while (from < to && strchr(" \t", *from))
		from++;
	while (to > from && strchr(" \t\r", to[-1]))
		to--;
	snprintf(line, size, "%.*s", (int)(to - from), from);
	return true;
}

static bool starts(const char *s, const char *head)
{
	return strncmp(s, head, strlen(head)) == 0;
}

/* One line of the chains that lock the network, as CRIU makes them through iptables. */
static bool is_nft_lock_line(const char *s)
{
	static const char *const heads[] = {
		"chain CRIU {",
		"meta mark 0x0000c114 counter packets ",
		"meta mark 0x0000c114 accept",
		"counter packets ",
		"chain INPUT {",
		"chain OUTPUT {",
		"type filter hook input priority filter; policy accept;",
		"type filter hook output priority filter; policy accept;",
		"}",
	};

	if (!*s)
		return true;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (starts(s, heads[i]))
			break;
		else if (i + 1 == sizeof(heads) / sizeof(heads[0]))
			return false;
	/* A bare counter is part of the lock only in front of its verdicts. */
	return !starts(s, "counter packets ") || strstr(s, " jump CRIU") || strstr(s, " drop");
}

/* Skips the body of a table; *ret_lock: there is nothing in it but the lock. */
static void skip_table(const char **p, const char *end, bool *ret_lock)
{
	char line[256];
	int depth = 1;

	*ret_lock = true;
	while (depth && next_line(p, end, line, sizeof(line))) {
		size_t n = strlen(line);

		*ret_lock &= is_nft_lock_line(line);
		if (n && line[n - 1] == '{')
			depth++;
		else if (strcmp(line, "}") == 0)
			depth--;
	}
}

int net_raw_nft(const char *text, size_t len, struct buf *list)
{
	const char *p = text, *end = text + len;
	char line[256], family[16], name[160];
	bool lock;
	int r = 0;

	while (r == 0 && next_line(&p, end, line, sizeof(line))) {
		if (!*line || *line == '#')
			continue;
		if (sscanf(line, "table %15s %159s {", family, name) != 2) {
			r = net_foreign(list, "nftables '%s'", line);
			continue;
		}
		skip_table(&p, end, &lock);
		if (starts(name, "CRIU-"))
			continue;
		if (!lock || strcmp(name, "filter") != 0)
			r = net_foreign(list, "nftables table '%s %s'", family, name);
	}
	return r;
}

int net_raw_iptables(const char *text, size_t len, struct buf *list)
{
	static const char *const lock[] = {
		"-A INPUT -j CRIU",
		"-A OUTPUT -j CRIU",
		"-A CRIU -m mark --mark 0xc114 -j ACCEPT",
		"-A CRIU -j DROP",
	};
	const char *p = text, *end = text + len;
	char line[256], chain[64], policy[32];
	int r = 0;

	while (r == 0 && next_line(&p, end, line, sizeof(line))) {
		bool known = !*line || strchr("#*", *line) || strcmp(line, "COMMIT") == 0;

		if (sscanf(line, ":%63s %31s", chain, policy) == 2)
			known = strcmp(policy, "ACCEPT") == 0 || strcmp(chain, "CRIU") == 0;
		for (size_t i = 0; i < sizeof(lock) / sizeof(lock[0]); i++)
			known |= strcmp(line, lock[i]) == 0;
		if (!known)
			r = net_foreign(list, "iptables '%s'", line);
	}
	return r;
}

static int check_file(const char *name, const void *data, size_t len, struct buf *list)
{
	if (starts(name, "ifaddr"))
		return net_raw_iproute(IP_ADDR, data, len, list);
	if (starts(name, "route"))
		return net_raw_iproute(IP_ROUTE, data, len, list);
	if (starts(name, "rule"))
		return net_raw_iproute(IP_RULE, data, len, list);
	if (starts(name, "nftables"))
		return net_raw_nft(data, len, list);
	return net_raw_iptables(data, len, list);
}

int net_raw_load(struct restore *r, struct buf *list, struct err *err)
{
	static const char *const names[] = { "ifaddr",	 "route",     "route6",	 "rule",
					     "iptables", "ip6tables", "nftables" };
	uint32_t id = r->root_ns.id[NS_NET];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cleanup_reader struct image_reader *reader = NULL;
		const void *data;
		size_t len;
		int q = image_open(r->images_fd, IMG_NET_RAW, &reader, err, "%s-%u.img", names[i],
				   id);

		if (q == IMAGE_ABSENT)
			continue;
		if (q < 0)
			return q;
		len = image_left(reader);
		q = image_next_raw(reader, len, &data, err);
		if (q < 0)
			return q;
		q = check_file(names[i], data, len, list);
		if (q == -EBADMSG)
			return err_image(err, "'%s-%u.img' is not what its name says", names[i],
					 id);
		if (q < 0)
			return err_nomem(err);
	}
	return 0;
}
