/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packet sockets: device and protocol, options, memberships, fanout groups, rings.
 *
 * Packets that wait, in the queue or in a ring, are dropped with a warning: traffic goes on anyway.
 * A ring starts again at its first frame. A fanout group that steers by a program of the user
 * cannot be read back, and is refused.
 */
#include "engine/sockets/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/packet_diag.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "engine/files/restore-files.h"
#include "engine/sockets/diag.h"
#include "engine/sockets/socket-ns.h"
#include "engine/sockets/sockopts.h"
#include "proto/files.pb-c.h"

/* The type of the oldest interface, without options (packet(7)). */
#define OLD_SOCK_PACKET 10

enum { NO_DEVICE = 0xffffffffu, ADDRESS_MAX = 32, RING_MAX = 1 << 30 };

struct known_packet {
	struct known_packet *next;
	uint64_t ino;
	uint32_t id;
};

struct dump_packet {
	bool asked;
	struct diag_packets list;
	struct known_packet *known;
};

#define REFUSE(d, ref, fmt, ...)                                                 \
	(dump_refuse(d, (ref)->task, "%s: packet socket '%s' " fmt, (ref)->what, \
		     (ref)->facts.link, ##__VA_ARGS__),                          \
	 KIND_UNSUPPORTED)

static bool claims(const struct fd_facts *f)
{
	return f->family == AF_PACKET;
}

/* ---- dump ---- */

bool packet_find(struct dump *d, uint64_t ino, uint32_t *ret_id)
{
	const struct dump_packet *all = files_dump_state(d, &kind_packet, sizeof(*all));
	const struct known_packet *k;

	for (k = all ? all->known : NULL; k; k = k->next) {
		if (k->ino == ino) {
			*ret_id = k->id;
			return true;
		}
	}
	return false;
}

static int ask_kernel(struct dump *d, struct file_ref *ref, const struct diag_packet **ret,
		      struct err *err)
{
	struct dump_packet *all = files_dump_state(d, &kind_packet, sizeof(*all));
	struct known_packet *known = arena_alloc(&d->arena, sizeof(*known));
	cleanup_fd int ns = -EBADF;
	size_t i;
	int r = socket_open_ns(d, ref, &ns, err);

	if (r != 0)
		return r;
	if (!all || !known)
		return err_nomem(err);
	if (!all->asked) {
		r = diag_packet(&d->arena, ns, &all->list, err);
		if (r < 0)
			return r;
		all->asked = true;
	}
	*known = (struct known_packet){ all->known, ref->facts.st.st_ino, ref->id };
	all->known = known;
	for (i = 0; i < all->list.n; i++) {
		if (all->list.v[i].ino == (uint32_t)ref->facts.st.st_ino) {
			*ret = &all->list.v[i];
			return 0;
		}
	}
	return REFUSE(d, ref, "is not in the kernel's list (is its module packet_diag missing?)");
}

static int check(struct dump *d, struct file_ref *ref, const struct diag_packet *k)
{
	struct pollfd p = { .fd = ref->lfd, .events = POLLIN };
	int off = -1;
	socklen_t len = sizeof(off);

	if (k->ifindex == NO_DEVICE)
		return REFUSE(d, ref, "was bound to a device that is gone");
	if (k->type != SOCK_RAW && k->type != SOCK_DGRAM && k->type != OLD_SOCK_PACKET)
		return REFUSE(d, ref, "is of type %d", k->type);
	if (getsockopt(ref->lfd, SOL_SOCKET, SO_PEEK_OFF, &off, &len) == 0 && off != -1)
		return REFUSE(d, ref, "has a peek offset (SO_PEEK_OFF)");
	if (poll(&p, 1, 0) == 1 && p.revents & POLLIN)
		return REFUSE(d, ref,
			      "has unread packets, which nobody can send again; hint: try again "
			      "when they have been read");
	return 0;
}

static int capture_fanout(struct dump *d, struct file_ref *ref, const struct diag_packet *k,
			  PacketSockEntry *e, struct err *err)
{
	uint32_t value = 0, type;
	socklen_t len = sizeof(value);

	if (!k->has_fanout)
		return 0;
	/* with the flags of the group, which the list does not tell */
	if (getsockopt(ref->lfd, SOL_PACKET, PACKET_FANOUT, &value, &len) < 0)
		return err_sys(err, -errno, "reading PACKET_FANOUT");
	type = value >> 16 & 0xff;
	if (type == PACKET_FANOUT_CBPF || type == PACKET_FANOUT_EBPF)
		return REFUSE(d, ref, "is in a fanout group that a BPF program steers");
	e->has_fanout = true;
	e->fanout = value;
	return 0;
}

/* A membership that was added several times must be dropped as often. */
static int capture_members(struct dump *d, const struct diag_packet *k, PacketSockEntry *e,
			   struct err *err)
{
	size_t n = 0, i;
	uint32_t j;

	for (i = 0; i < k->n_members; i++)
		n += k->members[i].count;
	if (!n)
		return 0;
	e->mclist = arena_alloc(&d->arena, n * sizeof(*e->mclist));
	if (!e->mclist)
		return err_nomem(err);
	for (i = 0; i < k->n_members; i++) {
		const struct diag_packet_member *m = &k->members[i];

		for (j = 0; j < m->count; j++) {
			PacketMclist *one = arena_alloc(&d->arena, sizeof(*one));

			if (!one)
				return err_nomem(err);
			packet_mclist__init(one);
			one->index = m->ifindex;
			one->type = m->type;
			one->addr.len = m->alen;
			one->addr.data = (uint8_t *)m->addr;
			e->mclist[e->n_mclist++] = one;
		}
	}
	return 0;
}

static int capture_ring(struct dump *d, bool there, const struct diag_packet_ring *k,
			PacketRing **ret, struct err *err)
{
	PacketRing *r;

	if (!there)
		return 0;
	r = arena_alloc(&d->arena, sizeof(*r));
	if (!r)
		return err_nomem(err);
	packet_ring__init(r);
	r->block_size = k->block_size;
	r->block_nr = k->block_nr;
	r->frame_size = k->frame_size;
	r->frame_nr = k->frame_nr;
	r->retire_tmo = k->retire_tmo;
	r->sizeof_priv = k->sizeof_priv;
	r->features = k->features;
	*ret = r;
	return 0;
}

static void fill(const struct dump *d, const struct file_ref *ref, const struct diag_packet *k,
		 PacketSockEntry *e)
{
	e->id = ref->id;
	e->type = k->type;
	e->protocol = htons(k->protocol);
	e->flags = ref->facts.flags;
	e->ifindex = k->ifindex;
	e->version = k->version;
	e->reserve = k->reserve;
	e->aux_data = (k->flags & PDI_AUXDATA) != 0;
	e->orig_dev = (k->flags & PDI_ORIGDEV) != 0;
	e->vnet_hdr = (k->flags & PDI_VNETHDR) != 0;
	e->loss = (k->flags & PDI_LOSS) != 0;
	e->timestamp = k->timestamp;
	e->copy_thresh = k->copy_thresh;
	e->has_ns_id = true;
	e->ns_id = d->root_ns.id[NS_NET];
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	PacketSockEntry *e = arena_alloc(&d->arena, sizeof(*e));
	const struct diag_packet *k = NULL;
	struct sk_ident who = { .family = AF_PACKET };
	int r;

	if (!e)
		return err_nomem(err);
	packet_sock_entry__init(e);
	fe->psk = e;
	r = ask_kernel(d, ref, &k, err);
	if (r == 0)
		r = check(d, ref, k);
	if (r != 0)
		return r;
	fill(d, ref, k, e);
	who.type = k->type;
	r = capture_fanout(d, ref, k, e, err);
	if (r == 0)
		r = capture_members(d, k, e, err);
	if (r == 0)
		r = capture_ring(d, k->has_rx, &k->rx, &e->rx_ring, err);
	if (r == 0)
		r = capture_ring(d, k->has_tx, &k->tx, &e->tx_ring, err);
	if (r == 0)
		r = files_capture_fown(d, ref, &e->fown, err);
	return r == 0 ? sockopts_capture(d, ref, &who, &e->opts, err) : r;
}

/* ---- loading ---- */

static uint64_t ring_size(const PacketRing *r)
{
	return r ? (uint64_t)r->block_size * r->block_nr : 0;
}

static int check_ring(const PacketRing *r, struct err *err)
{
	if (r && (!r->block_size || ring_size(r) > RING_MAX))
		return err_image(err, "a packet ring of %u blocks of %u bytes", r->block_nr,
				 r->block_size);
	return 0;
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const PacketSockEntry *e = obj->entry->psk;
	struct sk_ident who = { .family = AF_PACKET };
	size_t i;

	if (!e)
		return err_image(err, "a packet socket without a description");
	if (e->type != SOCK_RAW && e->type != SOCK_DGRAM && e->type != OLD_SOCK_PACKET)
		return err_image(err, "a packet socket of type %u", e->type);
	if (e->protocol > UINT16_MAX)
		return err_image(err, "a packet socket with protocol %u", e->protocol);
	if (e->version > TPACKET_V3)
		return err_image(err, "packet headers of version %u", e->version);
	for (i = 0; i < e->n_mclist; i++)
		if (e->mclist[i]->addr.len > ADDRESS_MAX || e->mclist[i]->type > UINT16_MAX)
			return err_image(err,
					 "a membership of type %u with an address of %zu bytes",
					 e->mclist[i]->type, e->mclist[i]->addr.len);
	if (check_ring(e->rx_ring, err) < 0 || check_ring(e->tx_ring, err) < 0)
		return err->code;
	who.type = (int)e->type;
	if (sockopts_check(obj->id, &who, e->opts, err) < 0)
		return err->code;
	return files_check_fown(obj, e->fown, err);
}

static int link_socket(struct restore *r, struct file_obj *obj, struct err *err)
{
	const PacketSockEntry *e = obj->entry->psk;

	return socket_check_ns(r, e->has_ns_id, e->ns_id, err);
}

int packet_need_mapping(struct restore *r, uint32_t id, uint64_t len, struct err *err)
{
	const struct file_obj *obj = files_find(r, id);

	if (!obj || obj->kind != &kind_packet)
		return err_image(err, "it maps file %u, which is no packet socket", id);
	if (ring_size(obj->entry->psk->rx_ring) + ring_size(obj->entry->psk->tx_ring) != len)
		return err_image(err,
				 "it maps the rings of packet socket %u, which are not of its "
				 "length",
				 id);
	return restore_files_need_mapping(r, id, O_RDWR, err);
}

/* ---- making ---- */

static int set(int sk, int name, const char *text, const void *val, size_t len, struct err *err)
{
	if (setsockopt(sk, SOL_PACKET, name, val, (socklen_t)len) < 0)
		return sockopts_failed(err, -errno, text);
	return 0;
}

static int set_number(int sk, int name, const char *text, uint32_t val, struct err *err)
{
	return val ? set(sk, name, text, &val, sizeof(val), err) : 0;
}

#define SET_NUMBER(sk, name, val, err) set_number(sk, name, #name, val, err)

/* None of them can be set any more when there is a ring. */
static int set_layout(int sk, const PacketSockEntry *e, struct err *err)
{
	int r = SET_NUMBER(sk, PACKET_VERSION, e->version, err);

	if (r == 0)
		r = SET_NUMBER(sk, PACKET_RESERVE, e->reserve, err);
	if (r == 0)
		r = SET_NUMBER(sk, PACKET_VNET_HDR, e->vnet_hdr, err);
	if (r == 0)
		r = SET_NUMBER(sk, PACKET_LOSS, e->loss, err);
	if (r == 0)
		r = sockopts_restore_early(sk, e->opts, err);
	if (r == 0)
		r = SET_NUMBER(sk, PACKET_TIMESTAMP, e->timestamp, err);
	if (r == 0)
		r = SET_NUMBER(sk, PACKET_COPY_THRESH, e->copy_thresh, err);
	if (r == 0)
		r = SET_NUMBER(sk, PACKET_AUXDATA, e->aux_data, err);
	return r == 0 ? SET_NUMBER(sk, PACKET_ORIGDEV, e->orig_dev, err) : r;
}

static int join_all(int sk, const PacketSockEntry *e, struct err *err)
{
	/* struct packet_mreq, with room for the longest address */
	struct {
		int ifindex;
		unsigned short type, alen;
		unsigned char addr[ADDRESS_MAX];
	} req;
	size_t i;

	for (i = 0; i < e->n_mclist; i++) {
		const PacketMclist *m = e->mclist[i];

		memset(&req, 0, sizeof(req));
		req.ifindex = (int)m->index;
		req.type = (unsigned short)m->type;
		req.alen = (unsigned short)m->addr.len;
		if (m->addr.len)
			memcpy(req.addr, m->addr.data, m->addr.len);
		if (set(sk, PACKET_ADD_MEMBERSHIP, "PACKET_ADD_MEMBERSHIP", &req, sizeof(req),
			err) < 0)
			return err_wrap(err, err->code, "on network device %u", m->index);
	}
	return 0;
}

static int set_ring(int sk, int name, const char *text, const PacketRing *r, struct err *err)
{
	struct tpacket_req3 req;

	if (!r || !r->block_nr)
		return 0;
	req = (struct tpacket_req3){
		.tp_block_size = r->block_size,
		.tp_block_nr = r->block_nr,
		.tp_frame_size = r->frame_size,
		.tp_frame_nr = r->frame_nr,
		.tp_retire_blk_tov = r->retire_tmo,
		.tp_sizeof_priv = r->sizeof_priv,
		.tp_feature_req_word = r->features,
	};
	return set(sk, name, text, &req, sizeof(req), err);
}

/* Only now packets come in: everything else, the filter above all, is in its place. */
static int bind_socket(int sk, const PacketSockEntry *e, struct err *err)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET,
		.sll_protocol = (uint16_t)e->protocol,
		.sll_ifindex = (int)e->ifindex,
	};

	if (!e->protocol && !e->ifindex)
		return 0;
	if (bind(sk, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(err, -errno, "binding a packet socket to network device %u",
			       e->ifindex);
	return 0;
}

static int make_new(const PacketSockEntry *e, struct err *err)
{
	cleanup_fd int sk = socket(AF_PACKET, (int)e->type | SOCK_CLOEXEC, 0);
	int r;

	if (sk < 0)
		return err_sys(err, -errno, "making a packet socket");
	r = set_layout(sk, e, err);
	if (r == 0)
		r = join_all(sk, e, err);
	if (r == 0)
		r = set_ring(sk, PACKET_RX_RING, "PACKET_RX_RING", e->rx_ring, err);
	if (r == 0)
		r = set_ring(sk, PACKET_TX_RING, "PACKET_TX_RING", e->tx_ring, err);
	if (r == 0)
		r = sockopts_restore(sk, e->opts, err);
	if (r == 0)
		r = bind_socket(sk, e, err);
	if (r == 0 && e->has_fanout)
		r = set(sk, PACKET_FANOUT, "PACKET_FANOUT", &e->fanout, sizeof(e->fanout), err);
	return r == 0 ? take_fd(&sk) : r;
}

/* Of the old type: bound by the name of a device, and without options of its own. */
static int make_old(const PacketSockEntry *e, struct err *err)
{
	cleanup_fd int sk = socket(AF_PACKET, OLD_SOCK_PACKET | SOCK_CLOEXEC, (int)e->protocol);
	struct ifreq req = { .ifr_ifindex = (int)e->ifindex };
	struct sockaddr a = { .sa_family = AF_PACKET };

	if (sk < 0)
		return err_sys(err, -errno, "making a packet socket");
	if (sockopts_restore(sk, e->opts, err) < 0)
		return err->code;
	if (!e->ifindex)
		return take_fd(&sk);
	if (ioctl(sk, SIOCGIFNAME, &req) < 0)
		return err_sys(err, -errno, "finding the name of network device %u", e->ifindex);
	memcpy(a.sa_data, req.ifr_name, sizeof(a.sa_data) - 1);
	if (bind(sk, &a, sizeof(a)) < 0)
		return err_sys(err, -errno, "binding a packet socket to '%s'", a.sa_data);
	return take_fd(&sk);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const PacketSockEntry *e = obj->entry->psk;
	cleanup_fd int sk = e->type == OLD_SOCK_PACKET ? make_old(e, err) : make_new(e, err);

	if (sk < 0)
		return sk;
	if (files_restore_flags(sk, e->flags, err) < 0 || files_restore_fown(sk, e->fown, err) < 0)
		return err->code;
	return take_fd(&sk);
}

const struct file_kind kind_packet = {
	.name = "packet socket",
	.type = FD_TYPES__PACKETSK,
	.claims = claims,
	.capture = capture,
	.load = load,
	.link = link_socket,
	.create = create,
	.finish = files_finish_owner,
};
