// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The file system types that can be mounted anew, with their numbers in images. What is not in this
 * table can be in a tree only as its root, as an external mount, or by --enable-fs.
 */
#include "mounts/mounts-priv.h"

#include <string.h>

#include "proto/mounts.pb-c.h"

/* The first row stands for every other type, the second for those of --enable-fs. */
static const struct mount_kind kinds[] = {
	{ "unsupported", FSTYPE__UNSUPPORTED, KIND_UNKNOWN, NULL },
	{ "auto", FSTYPE__AUTO, KIND_AUTO, NULL },
	{ "proc", FSTYPE__PROC, 0, NULL },
	{ "sysfs", FSTYPE__SYSFS, KIND_SINGLE, NULL },
	{ "devtmpfs", FSTYPE__DEVTMPFS, KIND_SINGLE, NULL },
	{ "binfmt_misc", FSTYPE__BINFMT_MISC, KIND_SINGLE, NULL },
	{ "tmpfs", FSTYPE__TMPFS, KIND_CONTENT, NULL },
	{ "devpts", FSTYPE__DEVPTS, 0, NULL },
	{ "simfs", FSTYPE__SIMFS, 0, NULL },
	{ "pstore", FSTYPE__PSTORE, KIND_SINGLE | KIND_EMPTY, NULL },
	{ "mqueue", FSTYPE__MQUEUE, KIND_SINGLE, NULL },
	{ "securityfs", FSTYPE__SECURITYFS, KIND_SINGLE, NULL },
	{ "fusectl", FSTYPE__FUSECTL, KIND_SINGLE, NULL },
	{ "debugfs", FSTYPE__DEBUGFS, KIND_SINGLE, NULL },
	{ "tracefs", FSTYPE__TRACEFS, KIND_SINGLE, NULL },
	{ "cgroup", FSTYPE__CGROUP, KIND_SINGLE | KIND_CGROUP, NULL },
	{ "cgroup2", FSTYPE__CGROUP2, KIND_SINGLE | KIND_CGROUP, NULL },
	{ "aufs", FSTYPE__AUFS, KIND_REFUSE, "its layers may lie outside of the container" },
	{ "fuse", FSTYPE__FUSE, KIND_REFUSE, "the connection to its server cannot be saved" },
	{ "overlay", FSTYPE__OVERLAYFS, KIND_REFUSE,
	  "its layers may lie outside of the container" },
	{ "autofs", FSTYPE__AUTOFS, KIND_REFUSE, "the pipe to its daemon cannot be saved" },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Whether a comma list of --enable-fs names the type. */
static bool list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
		size_t n = strcspn(p, ",");

		if ((n == len && !strncmp(p, name, n)) || (n == 3 && !strncmp(p, "all", 3)))
			return true;
	}
	return false;
}

const struct mount_kind *mount_kind_by_name(const char *fstype, const struct ckpt_options *opts)
{
	/* A subtype ("fuse.sshfs") belongs to the mounting program, not to the type. */
	size_t len = strcspn(fstype, ".");

	for (size_t i = 2; i < N_KINDS; i++)
		if (strlen(kinds[i].name) == len && !strncmp(kinds[i].name, fstype, len))
			return &kinds[i];
	for (size_t i = 0; opts && i < opts->enable_fs.n; i++)
		if (list_has(opts->enable_fs.v[i], fstype))
			return &kinds[1];
	return &kinds[0];
}

const struct mount_kind *mount_kind_by_code(int code)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (kinds[i].code == code)
			return &kinds[i];
	return NULL;
}
