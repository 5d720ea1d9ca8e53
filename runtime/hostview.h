/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The facts about host and container that a plan is made from. */
#pragma once

#include "engine/base/arena.h"
#include "engine/base/vec.h"
#include "oci/plan.h"

/* One line of /proc/PID/mountinfo, as far as it is of interest. */
struct hv_mount {
	int id;
	const char *root, *mountpoint, *fstype, *super; /* escapes are decoded */
};

struct hv_mounts {
	VEC(struct hv_mount);
};

struct hostview {
	struct arena arena; /* owns every string */
	struct oci_facts facts;
	struct hv_mounts host, inside; /* inside: dump only */
	VEC(struct oci_hierarchy) hierarchies;
	VEC(struct oci_path_fact) masked, destinations;
	VEC(struct oci_ns_fact) namespaces;
	VEC(const char *) mountpoints, descriptors;
};

/* Parses the text of a mountinfo file; strings go into the arena. 0, -EINVAL or -ENOMEM. */
int hv_mounts_parse(struct arena *a, char *text, struct hv_mounts *ret);

/* Looks at the living container. view is to be freed with hostview_done() in either case. */
int hostview_for_dump(struct hostview *view, const struct oci_spec *spec,
		      const struct oci_state *state, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Looks at the host on which a container is to be restored: its root file system, and the images.
 * hostview_hierarchies() comes first.
 */
int hostview_for_restore(struct hostview *view, const struct oci_spec *spec, const char *rootfs,
			 const char *bundle, int images_fd, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Says where a container goes in the hierarchies that its runtime puts it into, by the state it
 * had: runc names them, crun takes all. path NULL: nowhere.
 */
void hostview_place(struct hostview *view, const struct oci_state *old, const char *path);

void hostview_done(struct hostview *view);

/* The hierarchy that has this controller ("" the unified one), or NULL. */
const struct oci_hierarchy *hostview_hierarchy(const struct hostview *view, const char *controller);

/* Finds the hierarchies of this host; for every verb that deals with cgroups. */
int hostview_hierarchies(struct hostview *view, struct err *err)
	__attribute__((warn_unused_result));

static inline void cleanup_hostviewp(struct hostview *view)
{
	hostview_done(view);
}
#define cleanup_hostview __attribute__((cleanup(cleanup_hostviewp)))
