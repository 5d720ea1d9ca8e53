// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pid namespaces. There is nothing in one but its processes; only a namespace that is handed over
 * at restore has an image, which names its key.
 */
#include "engine/ns/ns-priv.h"

#include "proto/namespaces.pb-c.h"

static int pid_dump(struct dump *d, struct err *err)
{
	const char *key = ns_external_key(d->opts, NS_PID, d->root_ns.ino[NS_PID]);
	const struct dump_task *root = d->tasks.v[0];
	PidnsEntry e = PIDNS_ENTRY__INIT;
	struct image *img;

	if (!key) {
		if (root->ns_pid != 1)
			dump_refuse(d, root,
				    "it is not the first process of its pid namespace, so the "
				    "namespace "
				    "cannot be made again; hint: dump the tree of pid 1, or "
				    "declare the "
				    "namespace with --external 'pid[%llu]:KEY'",
				    (unsigned long long)d->root_ns.ino[NS_PID]);
		return 0;
	}
	e.ext_key = (char *)key;
	img = image_get(d->images, IMG_PIDNS, "pidns-%u.img", d->root_ns.id[NS_PID]);
	if (!img || image_add(img, &e.base) < 0)
		return err_nomem(err);
	return 0;
}

static int pid_load(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	cleanup_msg PidnsEntry *e = NULL;
	const struct restore_task *root = r->tasks.v[0];
	int q = image_open(r->images_fd, IMG_PIDNS, &reader, err, "pidns-%u.img",
			   r->root_ns.id[NS_PID]);

	if (q < 0)
		return q;
	if (q != IMAGE_ABSENT) {
		/* CRIU leaves an image without a record for a namespace of its own. */
		q = image_next(reader, &pidns_entry__descriptor, &e, err);
		if (q < 0)
			return q;
		if (q == 1 && e->ext_key)
			return ns_join_inherited(r, NS_PID, e->ext_key, err);
	}
	if (root->ns_pid != 1)
		return err_image(err,
				 "the root task has pid %d in a pid namespace of its own, where "
				 "the first process has pid 1",
				 root->ns_pid);
	return 0;
}

const struct ns_kind ns_kind_pid = {
	.type = NS_PID,
	.dump = pid_dump,
	.load = pid_load,
};
