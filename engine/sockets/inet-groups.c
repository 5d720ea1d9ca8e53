/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Multicast groups that sockets have joined. The kernel does not list those of a socket, but tells
 * the filter of a socket for a group: so it is asked for all groups of the namespace's devices.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext-net.h"
#include "engine/files/kinds.h"
#include "engine/sockets/inet-priv.h"
#include "proto/inet.pb-c.h"

/* As many as a program may have by default (net.ipv4.igmp_max_msf) several times over. */
enum { SENDERS_MAX = 1024 };

static size_t words_of(int family)
{
	return family == AF_INET6 ? WORDS_V6 : WORDS_V4;
}

static int level_of(int family)
{
	return family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
}

static void put_address(struct sockaddr_storage *ss, int family, const uint32_t *addr)
{
	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET6)
		memcpy(&((struct sockaddr_in6 *)ss)->sin6_addr, addr, 16);
	else
		memcpy(&((struct sockaddr_in *)ss)->sin_addr, addr, 4);
}

static void get_address(const struct sockaddr_storage *ss, int family, uint32_t *addr)
{
	if (family == AF_INET6)
		memcpy(addr, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
	else
		memcpy(addr, &((const struct sockaddr_in *)ss)->sin_addr, 4);
}

/* ---- dump ---- */

static int add(struct dump *d, InetSkEntry *e, int family, const struct proc_group *g,
	       const struct group_filter *gf)
{
	InetMembershipEntry *m = arena_alloc(&d->arena, sizeof(*m));
	InetMembershipEntry **list = arena_alloc(&d->arena, (e->n_memberships + 1) * sizeof(*list));
	size_t words = words_of(family), i;

	if (!m || !list)
		return -ENOMEM;
	inet_membership_entry__init(m);
	m->ifindex = g->ifindex;
	m->include = gf->gf_fmode == MCAST_INCLUDE;
	m->n_group = words;
	m->group = arena_dup(&d->arena, g->addr, sizeof(g->addr));
	m->senders = arena_alloc(&d->arena, (gf->gf_numsrc * words + 1) * sizeof(*m->senders));
	if (!m->group || !m->senders)
		return -ENOMEM;
	for (i = 0; i < gf->gf_numsrc; i++)
		get_address(&gf->gf_slist[i], family, m->senders + i * words);
	m->n_senders = gf->gf_numsrc * words;
	if (e->n_memberships)
		memcpy(list, e->memberships, e->n_memberships * sizeof(*list));
	list[e->n_memberships++] = m;
	e->memberships = list;
	return 0;
}

static int ask(struct dump *d, int sk, int family, const struct proc_group *g, InetSkEntry *e,
	       struct err *err)
{
	socklen_t len = GROUP_FILTER_SIZE(SENDERS_MAX);
	cleanup_free struct group_filter *gf = calloc(1, len);

	if (!gf)
		return err_nomem(err);
	gf->gf_interface = g->ifindex;
	gf->gf_numsrc = SENDERS_MAX;
	put_address(&gf->gf_group, family, g->addr);
	/* it has not joined this one, or is of a kind that cannot */
	if (getsockopt(sk, level_of(family), MCAST_MSFILTER, gf, &len) < 0)
		return 0;
	if (gf->gf_numsrc > SENDERS_MAX)
		return err_new(err, ERR_UNSUPPORTED, -EOPNOTSUPP,
			       "a multicast group with %u senders is more than can be kept",
			       gf->gf_numsrc);
	return add(d, e, family, g, gf) < 0 ? err_nomem(err) : 0;
}

static int ask_family(struct dump *d, struct file_ref *ref, int family, InetSkEntry *e,
		      struct err *err)
{
	const char *path = family == AF_INET6 ? "net/igmp6" : "net/igmp";
	cleanup_buf struct buf text = BUF_INIT;
	struct proc_groups groups = { 0 };
	struct proc_group *g;
	int r = io_read_file(ref->task->proc_fd, path, &text);

	/* a kernel without multicast has no such file */
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = (family == AF_INET6 ? proc_igmp6_parse : proc_igmp_parse)(text.data, text.len,
									      &groups);
	if (r < 0)
		return err_sys(err, r, "reading the multicast groups of '%s'", path);
	vec_foreach (g, &groups)
		if (r == 0)
			r = ask(d, ref->lfd, family, g, e, err);
	vec_free(&groups);
	return r;
}

int inet_groups_capture(struct dump *d, struct file_ref *ref, InetSkEntry *e, struct err *err)
{
	int r = 0;

	if (e->type == SOCK_STREAM)
		return 0;
	if (e->family == AF_INET6)
		r = ask_family(d, ref, AF_INET6, e, err);
	if (r == 0 && (e->family == AF_INET || e->type != SOCK_RAW))
		r = ask_family(d, ref, AF_INET, e, err);
	return r;
}

/* ---- restore ---- */

int inet_groups_check(const InetSkEntry *e, struct err *err)
{
	size_t i;

	for (i = 0; i < e->n_memberships; i++) {
		const InetMembershipEntry *m = e->memberships[i];

		if ((m->n_group != WORDS_V4 && m->n_group != WORDS_V6) ||
		    (m->n_group == WORDS_V6 && e->family != AF_INET6) ||
		    m->n_senders % m->n_group || m->n_senders / m->n_group > SENDERS_MAX)
			return err_image(err, "a multicast group of %zu words with %zu of senders",
					 m->n_group, m->n_senders);
	}
	return 0;
}

static int join(int sk, int family, const InetMembershipEntry *m)
{
	struct group_req req = { .gr_interface = m->ifindex };

	put_address(&req.gr_group, family, m->group);
	return setsockopt(sk, level_of(family), MCAST_JOIN_GROUP, &req, sizeof(req)) < 0 ? -errno
											 : 0;
}

static int exclude(int sk, int family, const InetMembershipEntry *m)
{
	size_t words = words_of(family), n = m->n_senders / words, i;
	cleanup_free struct group_filter *gf = calloc(1, GROUP_FILTER_SIZE(n + 1));

	if (!n)
		return 0;
	if (!gf)
		return -ENOMEM;
	gf->gf_interface = m->ifindex;
	put_address(&gf->gf_group, family, m->group);
	gf->gf_fmode = MCAST_EXCLUDE;
	gf->gf_numsrc = (uint32_t)n;
	for (i = 0; i < n; i++)
		put_address(&gf->gf_slist[i], family, m->senders + i * words);
	return setsockopt(sk, level_of(family), MCAST_MSFILTER, gf,
			  (socklen_t)GROUP_FILTER_SIZE(n)) < 0
		       ? -errno
		       : 0;
}

static int include(int sk, int family, const InetMembershipEntry *m)
{
	struct group_source_req req = { .gsr_interface = m->ifindex };
	size_t words = words_of(family), i;

	put_address(&req.gsr_group, family, m->group);
	for (i = 0; i < m->n_senders; i += words) {
		put_address(&req.gsr_source, family, m->senders + i);
		if (setsockopt(sk, level_of(family), MCAST_JOIN_SOURCE_GROUP, &req, sizeof(req)) <
		    0)
			return -errno;
	}
	return 0;
}

int inet_groups_restore(int sk, const InetSkEntry *e, struct err *err)
{
	size_t i;

	for (i = 0; i < e->n_memberships; i++) {
		const InetMembershipEntry *m = e->memberships[i];
		int family = m->n_group == WORDS_V6 ? AF_INET6 : AF_INET, r;
		char text[INET6_ADDRSTRLEN] = "";

		r = m->include ? include(sk, family, m) : join(sk, family, m);
		if (r == 0 && !m->include)
			r = exclude(sk, family, m);
		if (r < 0)
			return err_sys(err, r, "joining multicast group %s on device %u",
				       inet_ntop(family, m->group, text, sizeof(text)), m->ifindex);
	}
	return 0;
}
