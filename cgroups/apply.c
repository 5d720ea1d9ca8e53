/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owner, mode and properties of a rebuilt group. */
#include "cgroups/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/log.h"

const char *cg_dir_text(const struct cgroups_plan *p, size_t hier, const char *path,
			char buf[static 512])
{
	char name[160];

	snprintf(buf, 512, "group '%.300s' of the %s", path,
		 cg_hier_text(p->layout.hiers.v[hier].name, name));
	return buf;
}

static int story(const struct cgroups_plan *p, const struct cg_pdir *d, int r, const char *what,
		 const CgroupPropEntry *e, struct err *err)
{
	char text[512];

	if (e)
		err_sys(err, r, "%s: %s '%s' to '%.200s'",
			cg_dir_text(p, p->lanes.v[d->lane].hier, d->path, text), what, e->name,
			e->value);
	else
		err_sys(err, r, "%s: %s", cg_dir_text(p, p->lanes.v[d->lane].hier, d->path, text),
			what);
	if (r == -ENOENT && e && p->layout.hiers.v[p->lanes.v[d->lane].hier].unified)
		err_hint(err, "the group has no such file: enable its controller in "
			      "cgroup.subtree_control of the groups above, or restore with "
			      "--manage-cgroups=none into groups of your own");
	else
		err_hint(err,
			 "prepare the group yourself and restore with --manage-cgroups=none, or "
			 "leave groups alone with --manage-cgroups=ignore");
	return r;
}

bool cg_plan_wants_props(const struct cgroups_plan *p, const struct cg_pdir *d)
{
	if (!d->entry || p->mode == CKPT_CG_NONE)
		return false;
	return p->mode != CKPT_CG_SOFT || d->created;
}

/* Only changes what differs: an unprivileged engine owns what was delegated to it. */
static int set_perms(int fd, const char *name, const CgroupPerms *perms)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if ((st.st_uid != perms->uid || st.st_gid != perms->gid) &&
	    fchownat(fd, name, perms->uid, perms->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if ((st.st_mode & 0777) != (perms->mode & 0777) &&
	    fchmodat(fd, name, perms->mode & 0777, 0) < 0)
		return -errno;
	return 0;
}

int cg_apply_devices(const struct cgroups_plan *p, const struct cg_pdir *d, int fd, struct err *err)
{
	for (size_t i = 0; d->created && i < d->entry->n_properties; i++) {
		const CgroupPropEntry *e = d->entry->properties[i];
		int r;

		if (strcmp(e->name, "devices.list") || cg_devices_is_all(e->value))
			continue;
		r = cg_devices_begin_list(fd);
		if (r < 0)
			return story(p, d, r, "preparing", e, err);
	}
	return 0;
}

int cg_apply_perms(const struct cgroups_plan *p, const struct cg_pdir *d, int fd, struct err *err)
{
	int r;

	if (d->entry->dir_perms) {
		r = set_perms(fd, ".", d->entry->dir_perms);
		if (r < 0)
			return story(p, d, r, "setting its owner and mode", NULL, err);
	}
	return 0;
}

static enum cg_prop_stage stage_of(bool unified, const CgroupPropEntry *e)
{
	const struct cg_prop *prop = cg_prop_find(unified, e->name);

	return prop ? prop->stage : CG_PROP_LATE;
}

/* Values that a group has anyway: a file that this kernel does not have loses nothing by them. */
static bool is_default(const char *value)
{
	static const char *const defaults[] = { "", "0", "max", "-1", "9223372036854771712" };

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		if (!strcmp(value, defaults[i]))
			return true;
	return false;
}

/* 0, 1 when it may work after the others, or negative with the story. */
static int apply_one(const struct cgroups_plan *p, const struct cg_pdir *d, int fd,
		     const CgroupPropEntry *e, bool last, struct err *err)
{
	bool unified = p->layout.hiers.v[p->lanes.v[d->lane].hier].unified;
	bool freeze = stage_of(unified, e) == CG_PROP_FREEZE;
	int r = 0;

	if (stage_of(unified, e) != CG_PROP_PERMS)
		r = cg_prop_write(fd, unified, e->name, e->value);
	/* A merged hierarchy, or an image that lists what the kernel has given up since. */
	if (r == -ENOENT && is_default(e->value)) {
		if (p->log)
			log_debug(p->log, "cgroups: %s: no '%s' here, ignoring", d->path, e->name);
		return 0;
	}
	if (r < 0 && !last)
		return 1;
	if (r < 0)
		return story(p, d, r, "setting", e, err);
	/* CRIU 4.2 leaves this one's mode uninitialised. */
	if (!e->perms || freeze)
		return 0;
	r = set_perms(fd, e->name, e->perms);
	return r < 0 && r != -ENOENT ? story(p, d, r, "owner and mode of", e, err) : 0;
}

/*
 * In the image's order, and what fails once more at the end: limits depend on each other (memory
 * and memory with swap, quota and burst), and which has to go first depends on the values there.
 */
int cg_apply_props(const struct cgroups_plan *p, const struct cg_pdir *d, int fd,
		   enum cg_prop_stage stage, struct err *err)
{
	bool unified = p->layout.hiers.v[p->lanes.v[d->lane].hier].unified;
	bool again = false;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < d->entry->n_properties; i++) {
			const CgroupPropEntry *e = d->entry->properties[i];
			enum cg_prop_stage s = stage_of(unified, e);
			int r;

			if (s != stage && !(s == CG_PROP_PERMS && stage == CG_PROP_EARLY))
				continue;
			r = apply_one(p, d, fd, e, round, err);
			if (r < 0)
				return r;
			again = again || r;
		}
		if (!again)
			break;
	}
	return 0;
}
