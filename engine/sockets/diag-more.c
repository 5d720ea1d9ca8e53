/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sock_diag(7) of internet, packet and netlink sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/base/cleanup.h"
#include "engine/sockets/diag.h"

/* Copies as much as there is: a newer kernel may say more, an older one less. */
static void take_struct(void *to, size_t size, const struct nlattr *a)
{
	size_t len = a->nla_len - NLA_HDRLEN;

	memcpy(to, (const char *)a + NLA_HDRLEN, len < size ? len : size);
}

static int type_of(const struct nlattr *a)
{
	return a->nla_type & NLA_TYPE_MASK;
}

/* ---- internet ---- */

static int take_inet(struct arena *a, void *item, const struct nlmsghdr *h, size_t at)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	const struct nlattr *attr;
	struct diag_inet *d = item;

	d->ino = m->idiag_inode;
	d->state = m->idiag_state;
	d->src_port = ntohs(m->id.idiag_sport);
	d->dst_port = ntohs(m->id.idiag_dport);
	memcpy(d->src, m->id.idiag_src, sizeof(d->src));
	memcpy(d->dst, m->id.idiag_dst, sizeof(d->dst));
	while ((attr = diag_next_attr(h, &at)))
		if (type_of(attr) == INET_DIAG_SHUTDOWN)
			take_struct(&d->shutdown, sizeof(d->shutdown), attr);
	return 0;
}

int diag_inet(struct arena *a, int netns_fd, int family, int protocol, struct diag_inets *ret,
	      struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} req = {
		.h.nlmsg_len = sizeof(req),
		.h.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.r.sdiag_family = (uint8_t)family,
		.r.sdiag_protocol = (uint8_t)protocol,
		.r.idiag_states = ~0u,
	};
	const struct diag_question q = { .what = "internet",
					 .request = &req,
					 .len = sizeof(req),
					 .optional = true,
					 .head_size = sizeof(struct inet_diag_msg),
					 .item_size = sizeof(*ret->v),
					 .take = take_inet };

	return diag_ask(a, netns_fd, &q, (const void **)&ret->v, &ret->n, err);
}

/* ---- packet ---- */

static int take_members(struct arena *arena, struct diag_packet *d, const struct nlattr *a)
{
	size_t n = (a->nla_len - NLA_HDRLEN) / sizeof(struct packet_diag_mclist), i;
	struct diag_packet_member *list = arena_alloc(arena, (n + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct packet_diag_mclist m;

		memcpy(&m, (const char *)a + NLA_HDRLEN + i * sizeof(m), sizeof(m));
		list[i].ifindex = m.pdmc_index;
		list[i].count = m.pdmc_count;
		list[i].type = m.pdmc_type;
		list[i].alen = m.pdmc_alen < sizeof(m.pdmc_addr) ? m.pdmc_alen
								 : sizeof(m.pdmc_addr);
		memcpy(list[i].addr, m.pdmc_addr, list[i].alen);
	}
	d->members = list;
	d->n_members = n;
	return 0;
}

static void take_ring(struct diag_packet_ring *ring, const struct nlattr *a)
{
	struct packet_diag_ring r = { 0 };

	take_struct(&r, sizeof(r), a);
	*ring = (struct diag_packet_ring){ r.pdr_block_size, r.pdr_block_nr,   r.pdr_frame_size,
					   r.pdr_frame_nr,   r.pdr_retire_tmo, r.pdr_sizeof_priv,
					   r.pdr_features };
}

static void take_info(struct diag_packet *d, const struct nlattr *a)
{
	struct packet_diag_info i = { 0 };

	take_struct(&i, sizeof(i), a);
	d->ifindex = i.pdi_index;
	d->version = i.pdi_version;
	d->reserve = i.pdi_reserve;
	d->copy_thresh = i.pdi_copy_thresh;
	d->timestamp = i.pdi_tstamp;
	d->flags = i.pdi_flags;
}

static int take_packet_attr(struct arena *arena, struct diag_packet *d, const struct nlattr *a)
{
	switch (type_of(a)) {
	case PACKET_DIAG_INFO:
		take_info(d, a);
		break;
	case PACKET_DIAG_MCLIST:
		return take_members(arena, d, a);
	case PACKET_DIAG_RX_RING:
		d->has_rx = true;
		take_ring(&d->rx, a);
		break;
	case PACKET_DIAG_TX_RING:
		d->has_tx = true;
		take_ring(&d->tx, a);
		break;
	case PACKET_DIAG_FANOUT:
		d->has_fanout = true;
		break;
	}
	return 0;
}

static int take_packet(struct arena *a, void *item, const struct nlmsghdr *h, size_t at)
{
	const struct packet_diag_msg *m = NLMSG_DATA(h);
	const struct nlattr *attr;
	struct diag_packet *d = item;
	int r = 0;

	d->ino = m->pdiag_ino;
	d->type = m->pdiag_type;
	d->protocol = m->pdiag_num;
	while (r == 0 && (attr = diag_next_attr(h, &at)))
		r = take_packet_attr(a, d, attr);
	return r;
}

int diag_packet(struct arena *a, int netns_fd, struct diag_packets *ret, struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct packet_diag_req r;
	} req = {
		.h.nlmsg_len = sizeof(req),
		.h.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.r.sdiag_family = AF_PACKET,
		.r.pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG |
				PACKET_SHOW_FANOUT,
	};
	const struct diag_question q = { .what = "packet",
					 .request = &req,
					 .len = sizeof(req),
					 .optional = true,
					 .head_size = sizeof(struct packet_diag_msg),
					 .item_size = sizeof(*ret->v),
					 .take = take_packet };

	return diag_ask(a, netns_fd, &q, (const void **)&ret->v, &ret->n, err);
}

/* ---- netlink ---- */

static int take_netlink(struct arena *a, void *item, const struct nlmsghdr *h, size_t at)
{
	const struct netlink_diag_msg *m = NLMSG_DATA(h);
	const struct nlattr *attr;
	struct diag_netlink *d = item;

	d->ino = m->ndiag_ino;
	d->state = m->ndiag_state;
	d->dst_group = m->ndiag_dst_group;
	while ((attr = diag_next_attr(h, &at)))
		if (type_of(attr) == NETLINK_DIAG_FLAGS)
			take_struct(&d->flags, sizeof(d->flags), attr);
	return 0;
}

int diag_netlink(struct arena *a, int netns_fd, struct diag_netlinks *ret, struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct netlink_diag_req r;
	} req = {
		.h.nlmsg_len = sizeof(req),
		.h.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.r.sdiag_family = AF_NETLINK,
		.r.sdiag_protocol = NDIAG_PROTO_ALL,
		.r.ndiag_show = NDIAG_SHOW_FLAGS,
	};
	const struct diag_question q = { .what = "netlink",
					 .request = &req,
					 .len = sizeof(req),
					 .optional = true,
					 .head_size = sizeof(struct netlink_diag_msg),
					 .item_size = sizeof(*ret->v),
					 .take = take_netlink };

	return diag_ask(a, netns_fd, &q, (const void **)&ret->v, &ret->n, err);
}
