// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The old tables of iptables and ip6tables, which the kernel keeps apart from nftables. It lists
 * those that were ever used in the namespace; one that was only looked at is as good as none.
 */
#include "engine/ns/net-priv.h"

/* These come first, so that the kernel's headers leave out what they define. */
#include <net/if.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

static const struct version {
	const char *name, *list;
	int family, level, get_info, get_entries;
	size_t entry_size;	 /* without matches and target */
	size_t target_offset_at; /* where an entry says where its target is */
} versions[] = {
	{ "iptables", "/proc/thread-self/net/ip_tables_names", AF_INET, IPPROTO_IP, IPT_SO_GET_INFO,
	  IPT_SO_GET_ENTRIES, sizeof(struct ipt_entry), offsetof(struct ipt_entry, target_offset) },
	{ "ip6tables", "/proc/thread-self/net/ip6_tables_names", AF_INET6, IPPROTO_IPV6,
	  IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES, sizeof(struct ip6t_entry),
	  offsetof(struct ip6t_entry, target_offset) },
};

/* How a table says "accept" in the target of a hook's last entry. */
enum { VERDICT_ACCEPT = -NF_ACCEPT - 1 };

/* The structs of both versions of iptables are the same but for the entries. */
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "one struct for both");
_Static_assert(offsetof(struct ipt_get_entries, entrytable) ==
		       offsetof(struct ip6t_get_entries, entrytable),
	       "one struct for both");

static bool policy_accepts(const struct version *v, const struct ipt_getinfo *info,
			   const struct ipt_get_entries *table, unsigned int hook)
{
	uint32_t at = info->underflow[hook];
	uint16_t target;
	int verdict;

	if (at > info->size || info->size - at < v->entry_size)
		return false;
	memcpy(&target, (const char *)table->entrytable + at + v->target_offset_at, sizeof(target));
	if (info->size - at < target + sizeof(struct xt_standard_target))
		return false;
	memcpy(&verdict,
	       (const char *)table->entrytable + at + target +
		       offsetof(struct xt_standard_target, verdict),
	       sizeof(verdict));
	return verdict == VERDICT_ACCEPT;
}

/* A table without rules has one entry for each of its hooks, its policy, and a final one. */
static int look_table(const struct version *v, int sk, const char *name, struct buf *foreign,
		      struct err *err)
{
	cleanup_free struct ipt_get_entries *table = NULL;
	struct ipt_getinfo info = { 0 };
	socklen_t len = sizeof(info);
	bool empty = true;

	snprintf(info.name, sizeof(info.name), "%s", name);
	if (getsockopt(sk, v->level, v->get_info, &info, &len) < 0)
		return err_sys(err, -errno, "asking for the %s table '%s'", v->name, name);
	len = (socklen_t)(sizeof(*table) + info.size);
	table = calloc(1, len);
	if (!table)
		return err_nomem(err);
	memcpy(table->name, info.name, sizeof(table->name));
	table->size = info.size;
	if (getsockopt(sk, v->level, v->get_entries, table, &len) < 0)
		return err_sys(err, -errno, "reading the %s table '%s'", v->name, name);
	if (info.num_entries > (unsigned int)__builtin_popcount(info.valid_hooks) + 1)
		empty = false;
	for (unsigned int hook = 0; hook < NF_INET_NUMHOOKS; hook++)
		if (info.valid_hooks & 1u << hook)
			empty &= policy_accepts(v, &info, table, hook);
	if (!empty && net_foreign(foreign, "%s table '%s'", v->name, name) < 0)
		return err_nomem(err);
	return 0;
}

static int look_version(const struct version *v, struct buf *foreign, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_fd int sk = -EBADF;
	char *save = NULL;
	int r = io_read_file(AT_FDCWD, v->list, &b);

	if (r == -ENOENT || (r == 0 && !b.len))
		return 0;
	if (r < 0)
		return err_sys(err, r, "reading '%s'", v->list);
	sk = socket(v->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (sk < 0)
		return err_sys(err, -errno, "making a socket to read the tables of %s", v->name);
	for (char *t = strtok_r(b.data, "\n", &save); t && r == 0; t = strtok_r(NULL, "\n", &save))
		r = look_table(v, sk, t, foreign, err);
	return r;
}

int net_look_iptables(struct buf *foreign, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]) && r == 0; i++)
		r = look_version(&versions[i], foreign, err);
	return r;
}
