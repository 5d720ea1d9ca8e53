/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets of all other families: refused by their names. */
#include <stdio.h>
#include <sys/socket.h>

#include "engine/core/dump.h"
#include "engine/files/kinds.h"

#define NAME(family) [AF_##family] = #family

static const char *const names[] = {
	NAME(AX25),  NAME(IPX),	   NAME(APPLETALK),  NAME(NETROM), NAME(BRIDGE),    NAME(ATMPVC),
	NAME(X25),   NAME(ROSE),   NAME(KEY),	     NAME(RDS),	   NAME(PPPOX),	    NAME(LLC),
	NAME(IB),    NAME(MPLS),   NAME(CAN),	     NAME(TIPC),   NAME(BLUETOOTH), NAME(IUCV),
	NAME(RXRPC), NAME(PHONET), NAME(IEEE802154), NAME(CAIF),   NAME(ALG),	    NAME(NFC),
	NAME(VSOCK), NAME(KCM),	   NAME(QIPCRTR),    NAME(SMC),	   NAME(XDP),
};

static bool claims(const struct fd_facts *f)
{
	return f->family != 0;
}

static int capture(struct dump *d, struct file_ref *ref, struct FileEntry *fe, struct err *err)
{
	size_t family = (size_t)ref->facts.family;
	const char *name = family < sizeof(names) / sizeof(names[0]) ? names[family] : NULL;

	dump_refuse(d, ref->task, "%s: '%s' is a socket of family %d%s%s%s, which cannot be kept",
		    ref->what, ref->facts.link, ref->facts.family, name ? " (AF_" : "",
		    name ? name : "", name ? ")" : "");
	return KIND_UNSUPPORTED;
}

/* Nothing in an image is of this kind. */
static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	return err_image(err, "it is of no type");
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	return err_image(err, "it is of no type");
}

const struct file_kind kind_other_socket = {
	.name = "other socket",
	.type = -1,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
};
