// SPDX-License-Identifier: LGPL-2.1-or-later
/* UTS namespaces: host name and NIS domain name. */
#include "engine/ns/ns-priv.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "proto/namespaces.pb-c.h"

enum { UTS_NAME_MAX = 64 }; /* __NEW_UTS_LEN of the kernel */

struct ns_uts {
	char nodename[UTS_NAME_MAX + 1], domainname[UTS_NAME_MAX + 1];
};

static int look(void *arg, struct buf *ret, struct err *err)
{
	struct utsname u;

	if (uname(&u) < 0)
		return err_sys(err, -errno, "asking for the host name");
	return buf_append(ret, &u, sizeof(u)) < 0 ? err_nomem(err) : 0;
}

static int uts_dump(struct dump *d, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	UtsnsEntry e = UTSNS_ENTRY__INIT;
	struct utsname u;
	struct image *img;
	int r = ns_visit(d, NS_UTS, look, NULL, &b, err);

	if (r < 0)
		return r;
	if (b.len != sizeof(u))
		return err_new(err, ERR_INTERNAL, -EPROTO, "the answer has a wrong length");
	memcpy(&u, b.data, sizeof(u));
	e.nodename = u.nodename;
	e.domainname = u.domainname;
	img = image_get(d->images, IMG_UTSNS, "utsns-%u.img", d->root_ns.id[NS_UTS]);
	if (!img || image_add(img, &e.base) < 0)
		return err_nomem(err);
	return 0;
}

static int uts_load(struct restore *r, struct err *err)
{
	struct ns_uts *uts = arena_alloc(&r->arena, sizeof(*uts));
	UtsnsEntry *e = NULL;
	int q;

	if (!uts)
		return err_nomem(err);
	q = restore_read_one(r, IMG_UTSNS, &utsns_entry__descriptor, &e, err, "utsns-%u.img",
			     r->root_ns.id[NS_UTS]);
	if (q < 0)
		return q;
	if (strlen(e->nodename) > UTS_NAME_MAX || strlen(e->domainname) > UTS_NAME_MAX)
		return err_image(err, "host or domain name is longer than %d bytes", UTS_NAME_MAX);
	strcpy(uts->nodename, e->nodename);
	strcpy(uts->domainname, e->domainname);
	r->ns->uts = uts;
	return 0;
}

static int uts_build(struct restore *r, struct err *err)
{
	const struct ns_uts *uts = r->ns->uts;

	if (sethostname(uts->nodename, strlen(uts->nodename)) < 0)
		return err_sys(err, -errno, "setting the host name '%s'", uts->nodename);
	if (setdomainname(uts->domainname, strlen(uts->domainname)) < 0)
		return err_sys(err, -errno, "setting the domain name '%s'", uts->domainname);
	return 0;
}

const struct ns_kind ns_kind_uts = {
	.type = NS_UTS,
	.dump = uts_dump,
	.load = uts_load,
	.build = uts_build,
};
