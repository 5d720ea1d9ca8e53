/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What crun and runc keep on disk about a container: crun's "status" and runc's "state.json", read
 * into one struct, and written for a container that we restored, so that the runtime's list, state,
 * kill, exec and delete work on it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "oci/spec.h"
#include "oci/types.h"

enum oci_runtime { OCI_CRUN, OCI_RUNC };

struct oci_state {
	struct arena arena; /* owns what a reader made; a caller may point fields elsewhere */
	enum oci_runtime runtime;
	const char *id;
	pid_t pid;	     /* 0 or less: no process */
	uint64_t start_time; /* field 22 of /proc/PID/stat; 0: not known */
	const char *bundle;  /* absolute; NULL if runc's labels do not have it */
	const char *rootfs;  /* crun: as in config.json; runc: absolute */
	const char *created; /* RFC 3339 */
	bool systemd_cgroup;
	bool no_cgroup; /* crun runs it without a cgroup of its own */

	/* crun */
	const char *cgroup_path; /* below the mount point of every hierarchy */
	const char *scope;	 /* systemd unit or NULL */
	const char *owner, *intelrdt;
	bool detached;

	/* runc */
	struct oci_pairs cgroup_paths; /* controller ("" unified, "name=x") -> absolute folder */
	struct oci_pairs namespaces;   /* "NEWNET" -> /proc/PID/ns/net */
	bool rootless;

	struct oci_strings descriptors; /* link texts of descriptors 0 to 2 at creation */
};

/*
 * Read a state file. The text is not trusted (see oci_spec_parse()). crun does not write the id
 * into the file: it is the folder's name. On success the caller releases ret with oci_state_done();
 * on failure ret is untouched. 0, -EBADMSG (class ERR_IMAGE) or -ENOMEM.
 */
int oci_state_parse_crun(struct oci_state *ret, const char *id, const char *file, const char *text,
			 size_t len, struct err *err) __attribute__((warn_unused_result));
int oci_state_parse_runc(struct oci_state *ret, const char *file, const char *text, size_t len,
			 struct err *err) __attribute__((warn_unused_result));

/* Frees what the state owns. Safe on a zeroed struct. */
void oci_state_done(struct oci_state *state);

static inline void cleanup_oci_statep(struct oci_state *state)
{
	oci_state_done(state);
}
#define cleanup_oci_state __attribute__((cleanup(cleanup_oci_statep)))

/*
 * Writes crun's status for a restored container and appends it to out. Refuses a cgroup path that
 * is empty or the root of a hierarchy: crun's delete kills every process of that cgroup. A state
 * with no_cgroup gets an empty path. 0, -EINVAL (class ERR_INTERNAL or ERR_USAGE) or -ENOMEM.
 */
int oci_state_write_crun(const struct oci_state *state, struct buf *out, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Writes runc's state.json for a restored container: saved (the file kept at the checkpoint, not
 * trusted) with what changed, everything else and the order of keys as they were. Takes from state:
 * id, pid, start_time, created, cgroup_paths, descriptors, and rootfs and bundle if they are set.
 * spec is the configuration used now: the paths of namespaces and of the cgroup are taken from it;
 * NULL keeps the saved ones. Refuses a root cgroup as above. Appends to out. 0, -EBADMSG, -EINVAL
 * or -ENOMEM.
 */
int oci_state_write_runc(const struct oci_state *state, const struct oci_spec *spec,
			 const char *file, const char *saved, size_t saved_len, struct buf *out,
			 struct err *err) __attribute__((warn_unused_result));

/*
 * True if a cgroup is safe to hand to a runtime as a container's own: an absolute or relative path
 * below a hierarchy, not empty, not "/", and without "..".
 */
bool oci_cgroup_is_own(const char *path);

/*
 * linux.cgroupsPath in the form "SLICE:PREFIX:NAME" that is used with systemd. The parts are in the
 * arena; an empty slice is left empty. True if the text has that form.
 */
bool oci_cgroups_path_split(struct arena *a, const char *text, const char **ret_slice,
			    const char **ret_prefix, const char **ret_name);

/*
 * descriptors.json of an image folder: a JSON list of link texts, the same in crun and runc. The
 * strings are in the arena.
 */
int oci_descriptors_parse(struct arena *a, const char *file, const char *text, size_t len,
			  struct oci_strings *ret, struct err *err)
	__attribute__((warn_unused_result));
int oci_descriptors_write(const struct oci_strings *descriptors, struct buf *out, struct err *err)
	__attribute__((warn_unused_result));
