// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Network namespaces. One that was made by others, as container engines do, is declared external
 * and joined at restore, or is restored empty for a hook to fill. Of one that is dumped, the
 * loopback device and the settings are kept; whatever else is in it is refused by name.
 */
#include "engine/ns/net-priv.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/plugin/plugin.h"
#include "proto/network.pb-c.h"

/* The flags of the loopback device that can be set; the others are its state. */
enum { LO_FLAGS = IFF_UP | IFF_DEBUG | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST | IFF_NOARP };

struct ns_net {
	const NetnsEntry *conf;		   /* may be NULL */
	const NetDeviceEntry *lo;	   /* may be NULL */
	VEC(const NetDeviceEntry *) links; /* that a script moves in */
};

/* What the visitor reports: four parts with their lengths in front. */
static int add_part(struct buf *b, const void *data, size_t len)
{
	uint32_t n = (uint32_t)len;

	return buf_append(b, &n, sizeof(n)) < 0 || buf_append(b, data, len) < 0 ? -ENOMEM : 0;
}

static int add_message(struct buf *b, const ProtobufCMessage *msg)
{
	size_t n = protobuf_c_message_get_packed_size(msg);
	cleanup_free uint8_t *data = malloc(n + 1);

	if (!data)
		return -ENOMEM;
	protobuf_c_message_pack(msg, data);
	return add_part(b, data, n);
}

static int look_device(const struct net_lo *lo, struct buf *ret, struct err *err)
{
	NetDeviceEntry e = NET_DEVICE_ENTRY__INIT;
	int r;

	e.type = ND_TYPE__LOOPBACK;
	e.ifindex = lo->ifindex;
	e.mtu = lo->mtu;
	e.flags = lo->flags;
	e.name = (char *)"lo";
	r = net_conf_read(NET_IPV4, "lo", &e.n_conf4, &e.conf4, err);
	if (r == 0)
		r = net_conf_read(NET_IPV6, "lo", &e.n_conf6, &e.conf6, err);
	if (r == 0 && add_message(ret, &e.base) < 0)
		r = err_nomem(err);
	net_conf_free(e.n_conf4, e.conf4);
	net_conf_free(e.n_conf6, e.conf6);
	return r;
}

static int look_conf(struct buf *ret, struct err *err)
{
	NetnsEntry e = NETNS_ENTRY__INIT;
	int r = net_conf_read(NET_IPV4, "default", &e.n_def_conf4, &e.def_conf4, err);

	if (r == 0)
		r = net_conf_read(NET_IPV4, "all", &e.n_all_conf4, &e.all_conf4, err);
	if (r == 0)
		r = net_conf_read(NET_IPV6, "default", &e.n_def_conf6, &e.def_conf6, err);
	if (r == 0)
		r = net_conf_read(NET_IPV6, "all", &e.n_all_conf6, &e.all_conf6, err);
	if (r == 0)
		r = net_misc_read(&e, err);
	if (r == 0 && add_message(ret, &e.base) < 0)
		r = err_nomem(err);
	net_conf_free(e.n_def_conf4, e.def_conf4);
	net_conf_free(e.n_all_conf4, e.all_conf4);
	net_conf_free(e.n_def_conf6, e.def_conf6);
	net_conf_free(e.n_all_conf6, e.all_conf6);
	net_misc_free(&e);
	return r;
}

static int look(void *unused, struct buf *ret, struct err *err)
{
	cleanup_buf struct buf foreign = BUF_INIT;
	struct net_links links = { 0 };
	struct net_lo lo = { 0 };
	int r = net_look(&lo, &links, &foreign, err);

	if (r == 0 && add_part(ret, links.v ? (void *)links.v : "", links.n * sizeof(*links.v)) < 0)
		r = err_nomem(err);
	vec_free(&links);
	if (r == 0 && add_part(ret, foreign.len ? foreign.data : "", foreign.len) < 0)
		r = err_nomem(err);
	if (r == 0)
		r = look_device(&lo, ret, err);
	return r == 0 ? look_conf(ret, err) : r;
}

static const char *next_part(const char **p, uint32_t *ret_len)
{
	const char *data = *p + sizeof(*ret_len);

	memcpy(ret_len, *p, sizeof(*ret_len));
	*p = data + *ret_len;
	return data;
}

/* A packed message with its length in front is just what an image has. */
static int add_record(struct image *img, const char **p)
{
	const char *from = *p;
	uint32_t len;

	next_part(p, &len);
	return img ? image_add_raw(img, from, (size_t)(*p - from)) : -ENOMEM;
}

static void refuse_foreign(struct dump *d, const struct buf *list)
{
	if (!list->len)
		return;
	dump_refuse(d, NULL,
		    "the network namespace has what cannot be kept yet: %.*s%s; hint: "
		    "--empty-ns net restores it empty, for a hook to fill; or declare it with "
		    "--external 'net[%llu]:KEY' and hand over another at restore",
		    list->len > 700 ? 700 : (int)list->len, list->data,
		    list->len > 700 ? " ..." : "", (unsigned long long)d->root_ns.ino[NS_NET]);
}

/* A device that a plugin takes: an action script moves it in again, at "setup-namespaces". */
static int add_link(struct image *img, const struct net_link *l)
{
	NetDeviceEntry e = NET_DEVICE_ENTRY__INIT;

	e.type = ND_TYPE__EXTLINK;
	e.ifindex = l->ifindex;
	e.mtu = l->mtu;
	e.flags = l->flags;
	e.name = (char *)l->name;
	e.has_address = l->address_len > 0;
	e.address.data = (uint8_t *)l->address;
	e.address.len = l->address_len;
	return img ? image_add(img, &e.base) : -ENOMEM;
}

static int dump_link(struct dump *d, struct image *img, const struct net_link *l,
		     struct buf *foreign, struct err *err)
{
	int r = plugins_dump_ext_link(d->plugins, (int)l->ifindex, (int)l->type, l->kind);

	if (r == -ENOTSUP)
		return net_foreign(foreign, "device '%s' (%s)", l->name,
				   l->kind[0] ? l->kind : "hardware") < 0
			       ? err_nomem(err)
			       : 0;
	if (r < 0)
		return plugin_failed(err, r, "DUMP_EXT_LINK");
	if (l->extra[0])
		dump_refuse(d, NULL,
			    "device '%s', which a plugin takes, has what cannot be kept yet: %s",
			    l->name, l->extra);
	return add_link(img, l) < 0 ? err_nomem(err) : 0;
}

static int dump_links(struct dump *d, struct image *img, const char *data, uint32_t len,
		      struct buf *foreign, struct err *err)
{
	int r = 0;

	for (uint32_t at = 0; r == 0 && at + sizeof(struct net_link) <= len;
	     at += sizeof(struct net_link)) {
		struct net_link l;

		memcpy(&l, data + at, sizeof(l));
		r = dump_link(d, img, &l, foreign, err);
	}
	return r;
}

static int dump_contents(struct dump *d, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT, devices = BUF_INIT;
	uint32_t id = d->root_ns.id[NS_NET], len, links_len;
	struct image *img = image_get(d->images, IMG_NETDEV, "netdev-%u.img", id);
	const char *p, *links, *others;
	int r = ns_visit(d, NS_NET, look, NULL, &b, err);

	if (r < 0)
		return r;
	p = b.data;
	links = next_part(&p, &links_len);
	others = next_part(&p, &len);
	if (add_record(img, &p) < 0 ||
	    add_record(image_get(d->images, IMG_NETNS, "netns-%u.img", id), &p) < 0)
		return err_nomem(err);
	r = dump_links(d, img, links, links_len, &devices, err);
	if (r < 0)
		return r;
	if (len && net_foreign(&devices, "%.*s", (int)len, others) < 0)
		return err_nomem(err);
	refuse_foreign(d, &devices);
	return 0;
}

static int net_dump(struct dump *d, struct err *err)
{
	const char *key = ns_external_key(d->opts, NS_NET, d->root_ns.ino[NS_NET]);
	NetnsEntry e = NETNS_ENTRY__INIT;
	struct image *img;

	if (!key)
		return d->opts->empty_ns & CLONE_NEWNET ? 0 : dump_contents(d, err);
	e.ext_key = (char *)key;
	img = image_get(d->images, IMG_NETNS, "netns-%u.img", d->root_ns.id[NS_NET]);
	if (!img || image_add(img, &e.base) < 0)
		return err_nomem(err);
	return 0;
}

static int check_conf(const NetnsEntry *e, struct err *err)
{
	int r = net_conf_check(NET_IPV4, e->n_def_conf4, e->def_conf4, err);

	if (r == 0)
		r = net_conf_check(NET_IPV4, e->n_all_conf4, e->all_conf4, err);
	if (r == 0)
		r = net_conf_check(NET_IPV6, e->n_def_conf6, e->def_conf6, err);
	if (r == 0)
		r = net_conf_check(NET_IPV6, e->n_all_conf6, e->all_conf6, err);
	return r == 0 ? net_misc_check(e, err) : r;
}

/* Of old images the settings are numbers in other lists, which are not taken over. */
static int load_conf(struct restore *r, struct ns_net *net, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	NetnsEntry *e = NULL;
	int q = image_open(r->images_fd, IMG_NETNS, &reader, err, "netns-%u.img",
			   r->root_ns.id[NS_NET]);

	if (q == IMAGE_ABSENT)
		return 0;
	if (q == 0)
		q = image_next(reader, &netns_entry__descriptor, &e, err);
	if (q <= 0)
		return q;
	if (restore_keep(r, e) < 0)
		return err_nomem(err);
	net->conf = e;
	return check_conf(e, err);
}

static int load_device(struct restore *r, struct ns_net *net, NetDeviceEntry *e, struct buf *list,
		       struct err *err)
{
	int q;

	if (restore_keep(r, e) < 0)
		return err_nomem(err);
	if (!e->name[0] || strlen(e->name) >= IFNAMSIZ)
		return err_image(err, "'%.32s' is no name of a device", e->name);
	if (e->type == ND_TYPE__EXTLINK) {
		const NetDeviceEntry **slot = vec_add(&net->links);

		if (!slot)
			return err_nomem(err);
		*slot = e;
		return 0;
	}
	if (e->type != ND_TYPE__LOOPBACK) {
		if (net_is_fallback(e->name) && !(e->flags & IFF_UP))
			return 0;
		return net_foreign(list, "device '%s'", e->name) < 0 ? err_nomem(err) : 0;
	}
	if (net->lo)
		return err_image(err, "the image has two loopback devices");
	net->lo = e;
	q = net_conf_check(NET_IPV4, e->n_conf4, e->conf4, err);
	return q == 0 ? net_conf_check(NET_IPV6, e->n_conf6, e->conf6, err) : q;
}

static int load_devices(struct restore *r, struct ns_net *net, struct buf *list, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int q = image_open(r->images_fd, IMG_NETDEV, &reader, err, "netdev-%u.img",
			   r->root_ns.id[NS_NET]);

	if (q != 0)
		return q == IMAGE_ABSENT ? 0 : q;
	do {
		NetDeviceEntry *e = NULL;

		q = image_next(reader, &net_device_entry__descriptor, &e, err);
		if (q > 0) {
			q = load_device(r, net, e, list, err);
			if (q == 0)
				q = 1;
		}
	} while (q > 0);
	return q;
}

static int net_load(struct restore *r, struct err *err)
{
	cleanup_buf struct buf foreign = BUF_INIT;
	struct ns_net *net = arena_alloc(&r->arena, sizeof(*net));
	int q;

	if (!net)
		return err_nomem(err);
	q = load_conf(r, net, err);
	if (q < 0)
		return q;
	if (net->conf && net->conf->ext_key)
		return ns_join_inherited(r, NS_NET, net->conf->ext_key, err);
	r->ns->net = net;
	if (r->opts->empty_ns & CLONE_NEWNET) {
		*net = (struct ns_net){ 0 };
		return 0;
	}
	q = load_devices(r, net, &foreign, err);
	if (q == 0)
		q = net_raw_load(r, &foreign, err);
	if (q == 0 && foreign.len) {
		err_refuse(err, "what cannot be restored yet: %s", foreign.data);
		err_hint(err, "--empty-ns net restores it empty, for a hook to fill");
		return -EOPNOTSUPP;
	}
	return q;
}

static int set_device(const NetDeviceEntry *lo, struct err *err)
{
	cleanup_fd int sk = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };
	short flags;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", lo->name);
	if (sk < 0 || ioctl(sk, SIOCGIFMTU, &req) < 0) {
		err_sys(err, -errno, "reading device '%s'", lo->name);
		err_hint(err, "an action script moves it in at \"setup-namespaces\"");
		return err->code;
	}
	if (lo->mtu && req.ifr_mtu != (int)lo->mtu) {
		req.ifr_mtu = (int)lo->mtu;
		if (ioctl(sk, SIOCSIFMTU, &req) < 0)
			return err_sys(err, -errno, "setting the MTU of '%s' to %u", lo->name,
				       lo->mtu);
	}
	if (ioctl(sk, SIOCGIFFLAGS, &req) < 0)
		return err_sys(err, -errno, "reading device '%s'", lo->name);
	flags = (short)((req.ifr_flags & ~LO_FLAGS) | (int)(lo->flags & LO_FLAGS));
	if (flags == req.ifr_flags)
		return 0;
	req.ifr_flags = flags;
	if (ioctl(sk, SIOCSIFFLAGS, &req) < 0)
		return err_sys(err, -errno, "setting the flags of '%s'", lo->name);
	return 0;
}

/* "all" before "default" before the device: each changes those behind it. */
static int net_build(struct restore *r, struct err *err)
{
	const NetDeviceEntry *lo = r->ns->net->lo;
	const NetnsEntry *e = r->ns->net->conf;
	const NetDeviceEntry **it;
	bool weak = r->opts->weak_sysctls;
	int q = 0;

	if (e) {
		q = net_conf_write(NET_IPV4, "all", e->n_all_conf4, e->all_conf4, weak, err);
		if (q == 0)
			q = net_conf_write(NET_IPV4, "default", e->n_def_conf4, e->def_conf4, weak,
					   err);
		if (q == 0)
			q = net_conf_write(NET_IPV6, "all", e->n_all_conf6, e->all_conf6, weak,
					   err);
		if (q == 0)
			q = net_conf_write(NET_IPV6, "default", e->n_def_conf6, e->def_conf6, weak,
					   err);
		if (q == 0)
			q = net_misc_write(e, weak, err);
	}
	if (q == 0 && lo)
		q = net_conf_write(NET_IPV4, "lo", lo->n_conf4, lo->conf4, weak, err);
	if (q == 0 && lo)
		q = net_conf_write(NET_IPV6, "lo", lo->n_conf6, lo->conf6, weak, err);
	if (q == 0 && lo)
		q = set_device(lo, err);
	vec_foreach (it, &r->ns->net->links)
		if (q == 0)
			q = set_device(*it, err);
	return q;
}

static void net_done(struct restore *r)
{
	if (r->ns->net)
		vec_free(&r->ns->net->links);
}

const struct ns_kind ns_kind_net = {
	.type = NS_NET,
	.dump = net_dump,
	.load = net_load,
	.build = net_build,
	.done = net_done,
};
